//! What is configured about etcd, and what of it is refused.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use url::Url;

/// The longest prefix, in bytes.
const PREFIX_BYTES_MAX: usize = 256;

/// How etcd is reached, and where in it the store is.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EtcdOptions {
    /// The members, such as `https://etcd-1.example.org:2379`; which of them is asked is the store's choice.
    pub endpoints: Vec<String>,
    /// What all keys begin with, so that several installations share one etcd; ends in `/`. Default: `pinion/`.
    #[serde(default = "default_prefix")]
    pub prefix: String,
    /// The account, where etcd has authentication switched on.
    pub user: Option<String>,
    /// A file with its password, read again whenever etcd wants to know.
    pub password_file: Option<PathBuf>,
    /// The certificates to trust, PEM. Needed for `https`.
    pub ca_file: Option<PathBuf>,
    /// The certificate to show, PEM, where etcd asks for one.
    pub cert_file: Option<PathBuf>,
    /// Its private key, PEM.
    pub key_file: Option<PathBuf>,
    /// How long a member may take to answer until another one is asked, in seconds; 1 to 60. Default: 5.
    #[serde(default = "default_timeout_s")]
    pub timeout_s: u64,
}

fn default_prefix() -> String {
    "pinion/".to_owned()
}

const fn default_timeout_s() -> u64 {
    5
}

/// Why options are refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum InvalidOptions {
    /// Nothing could be asked.
    #[error(
        "`endpoints` is empty; name the members of etcd, such as `https://etcd-1.example.org:2379`"
    )]
    NoEndpoint,
    /// It is no address of a member. It is not shown, since it may hold a password.
    #[error(
        "endpoint {0} is no `http://` or `https://` address with nothing but a host and a port; \
         an account goes into `user` and `password_file`"
    )]
    Endpoint(usize),
    /// Some members would be reached in plain text.
    #[error("`endpoints` has both `http` and `https`; use one of them")]
    MixedSchemes,
    /// Keys would not be apart from others'.
    #[error(
        "the prefix `{0}` is refused; use 2 to 256 printable ASCII characters without spaces that end in `/`, such as `pinion/`"
    )]
    Prefix(String),
    /// One without the other.
    #[error("`{0}` is set without `{1}`; set both or none")]
    Half(&'static str, &'static str),
    /// etcd's certificates could not be checked.
    #[error("the endpoints are `https`; set `ca_file` to the certificates that sign theirs")]
    NoCa,
    /// They would be of no effect.
    #[error("`ca_file`, `cert_file` and `key_file` are for `https` endpoints")]
    TlsWithoutHttps,
    /// The password would cross the network in plain text.
    #[error("`user` is set, but the endpoint `{0}` is neither `https` nor on a loopback address")]
    PlaintextPassword(String),
    /// Too impatient, or waiting for ever.
    #[error("`timeout_s` is {0}; use 1 to 60")]
    Timeout(u64),
}

impl EtcdOptions {
    /// Everything else at its default.
    pub fn new(endpoints: Vec<String>) -> Self {
        Self {
            endpoints,
            prefix: default_prefix(),
            user: None,
            password_file: None,
            ca_file: None,
            cert_file: None,
            key_file: None,
            timeout_s: default_timeout_s(),
        }
    }

    /// Whether it makes sense and is safe.
    ///
    /// # Errors
    /// What is wrong.
    pub fn validate(&self) -> Result<(), InvalidOptions> {
        let urls = self.urls()?;
        let https = urls.iter().filter(|url| url.scheme() == "https").count();
        if https != 0 && https != urls.len() {
            return Err(InvalidOptions::MixedSchemes);
        }
        self.check_prefix()?;
        self.check_pairs()?;
        let has_tls = self.ca_file.is_some() || self.cert_file.is_some();
        if https > 0 && self.ca_file.is_none() {
            return Err(InvalidOptions::NoCa);
        }
        if https == 0 && has_tls {
            return Err(InvalidOptions::TlsWithoutHttps);
        }
        if self.user.is_some()
            && let Some(url) = urls.iter().find(|url| is_exposed(url))
        {
            return Err(InvalidOptions::PlaintextPassword(url.to_string()));
        }
        if !(1..=60).contains(&self.timeout_s) {
            return Err(InvalidOptions::Timeout(self.timeout_s));
        }
        Ok(())
    }

    /// How long a member may take to answer.
    pub(super) fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_s)
    }

    fn urls(&self) -> Result<Vec<Url>, InvalidOptions> {
        if self.endpoints.is_empty() {
            return Err(InvalidOptions::NoEndpoint);
        }
        let parse = |(place, text): (usize, &String)| {
            parse_endpoint(text).ok_or(InvalidOptions::Endpoint(place + 1))
        };
        self.endpoints.iter().enumerate().map(parse).collect()
    }

    fn check_prefix(&self) -> Result<(), InvalidOptions> {
        let prefix = &self.prefix;
        let is_good = prefix.len() >= 2
            && prefix.len() <= PREFIX_BYTES_MAX
            && prefix.ends_with('/')
            && prefix.bytes().all(|byte| byte.is_ascii_graphic());
        is_good
            .then_some(())
            .ok_or_else(|| InvalidOptions::Prefix(prefix.escape_default().take(80).collect()))
    }

    fn check_pairs(&self) -> Result<(), InvalidOptions> {
        let pairs = [
            (
                "user",
                self.user.is_some(),
                "password_file",
                self.password_file.is_some(),
            ),
            (
                "cert_file",
                self.cert_file.is_some(),
                "key_file",
                self.key_file.is_some(),
            ),
        ];
        for (one, has_one, other, has_other) in pairs {
            match (has_one, has_other) {
                (true, false) => return Err(InvalidOptions::Half(one, other)),
                (false, true) => return Err(InvalidOptions::Half(other, one)),
                _ => {}
            }
        }
        Ok(())
    }
}

fn parse_endpoint(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let is_place = matches!(url.scheme(), "http" | "https")
        && url.host().is_some()
        && url.username().is_empty()
        && url.password().is_none()
        && matches!(url.path(), "" | "/")
        && url.query().is_none()
        && url.fragment().is_none();
    is_place.then_some(url)
}

fn is_exposed(url: &Url) -> bool {
    let is_loopback = match url.host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    };
    url.scheme() == "http" && !is_loopback
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(endpoint: &str) -> EtcdOptions {
        EtcdOptions::new(vec![endpoint.to_owned()])
    }

    #[test]
    fn what_cannot_work_or_is_not_safe_is_refused_with_what_to_do() {
        assert_eq!(options("http://127.0.0.1:2379").validate(), Ok(()));
        let refused = |options: EtcdOptions| options.validate().expect_err("refused");
        assert_eq!(
            refused(EtcdOptions::new(Vec::new())),
            InvalidOptions::NoEndpoint
        );
        for bad in ["127.0.0.1:2379", "ftp://a", "http://a/b", "http://a?b"] {
            assert_eq!(refused(options(bad)), InvalidOptions::Endpoint(1), "{bad}");
        }
        let with_password = refused(options("http://me:secret@127.0.0.1:2379"));
        assert!(!with_password.to_string().contains("secret"));
        assert_eq!(
            refused(options("https://etcd.example.org:2379")),
            InvalidOptions::NoCa
        );
        for bad in ["", "/", "pinion", "pin ion/", "p\u{e4}/"] {
            let prefixed = EtcdOptions {
                prefix: bad.to_owned(),
                ..options("http://127.0.0.1:2379")
            };
            assert!(
                matches!(refused(prefixed), InvalidOptions::Prefix(_)),
                "{bad}"
            );
        }
        let with_user = EtcdOptions {
            user: Some("pinion".to_owned()),
            ..options("http://etcd.example.org:2379")
        };
        assert_eq!(
            refused(with_user.clone()),
            InvalidOptions::Half("user", "password_file")
        );
        let whole = EtcdOptions {
            password_file: Some("password".into()),
            ..with_user
        };
        assert!(matches!(
            refused(whole),
            InvalidOptions::PlaintextPassword(_)
        ));
    }
}
