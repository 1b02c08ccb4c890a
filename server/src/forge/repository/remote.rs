//! Where the repository is, and what proves that we may write there.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use url::{Host, Url};

use crate::secret::Secret;

const FORMS: &str = "use https://, ssh://, user@host:path, file:// or an absolute path";
const USER_DEFAULT: &str = "git";

/// A remote repository.
#[derive(Debug)]
pub(super) struct Remote {
    /// Its address, without a user and without a password.
    pub(super) url: String,
    /// The one protocol that git may speak.
    pub(super) protocol: &'static str,
    login: Option<Login>,
}

/// How to log in over http. Anything else logs in with what its transport has: file permissions, ssh keys.
#[derive(Debug)]
struct Login {
    user: String,
    secret: Arc<Secret>,
}

/// What logs in for one call of git.
pub(super) struct Authorization {
    secret: String,
    /// The value of the header `Authorization`.
    pub(super) header: String,
}

impl Remote {
    /// Understands a configured address; the error says what is wrong without repeating it.
    pub(super) fn parse(
        text: &str,
        user: Option<&str>,
        secret: Option<&Arc<Secret>>,
    ) -> Result<Self, String> {
        if text.contains(|c: char| c.is_control()) {
            return Err(format!("`url` contains control characters; {FORMS}"));
        }
        let remote = match text.contains("://") {
            true => Self::parse_url(text, user, secret)?,
            false => Self::parse_path(text)?,
        };
        match (secret, &remote.login) {
            (Some(_), None) => {
                Err("`password_file` and `password_command` are for https only".to_owned())
            }
            _ => Ok(remote),
        }
    }

    fn parse_url(
        text: &str,
        user: Option<&str>,
        secret: Option<&Arc<Secret>>,
    ) -> Result<Self, String> {
        let mut url = Url::parse(text).map_err(|error| format!("`url` cannot be read: {error}"))?;
        let protocol = match url.scheme() {
            "file" => "file",
            "ssh" => "ssh",
            "https" => "https",
            "http" if is_loopback(&url) => "http",
            "http" => {
                return Err("`url` is plain http, which is for loopback only; use https".to_owned());
            }
            other => return Err(format!("`url` has the scheme `{other}`; {FORMS}")),
        };
        if url.host_str().is_some_and(|host| host.starts_with('-')) {
            return Err("`url` has a host that begins with `-`".to_owned());
        }
        if url.password().is_some() {
            return Err(
                "`url` has a password, which would show in listings and errors; use `password_file` or \
                 `password_command`, or keys with ssh"
                    .to_owned(),
            );
        }
        let login = match protocol {
            "http" | "https" => {
                let in_url = Some(url.username().to_owned()).filter(|name| !name.is_empty());
                url.set_username("")
                    .map_err(|()| "`url` has no host".to_owned())?;
                secret.map(|secret| Login {
                    user: user
                        .map(str::to_owned)
                        .or(in_url)
                        .unwrap_or_else(|| USER_DEFAULT.to_owned()),
                    secret: Arc::clone(secret),
                })
            }
            _ => None,
        };
        Ok(Self {
            url: url.into(),
            protocol,
            login,
        })
    }

    fn parse_path(text: &str) -> Result<Self, String> {
        let protocol = match text.split_once(':') {
            _ if Path::new(text).is_absolute() => "file",
            Some((host, path)) if is_scp_like(host, path) => "ssh",
            _ => return Err(format!("`url` is no address of a repository; {FORMS}")),
        };
        Ok(Self {
            url: text.to_owned(),
            protocol,
            login: None,
        })
    }

    /// What logs in now, if anything has to.
    pub(super) async fn authorization(&self) -> Result<Option<Authorization>, String> {
        match &self.login {
            None => Ok(None),
            Some(login) => Ok(Some(login.with(login.secret.get().await?))),
        }
    }

    /// What logs in after the forge refused `refused`, if that has changed.
    pub(super) async fn renewed(
        &self,
        refused: &Authorization,
    ) -> Result<Option<Authorization>, String> {
        match &self.login {
            None => Ok(None),
            Some(login) => {
                let renewed = login.secret.renewed(&refused.secret).await?;
                Ok(renewed.map(|secret| login.with(secret)))
            }
        }
    }

    /// The text without this remote's password and without the userinfo of any URL in it.
    pub(super) fn redact(&self, text: &str) -> String {
        match &self.login {
            Some(login) => without_userinfo(&login.secret.redact(text)),
            None => without_userinfo(text),
        }
    }
}

impl Login {
    fn with(&self, secret: String) -> Authorization {
        let pair = format!("{}:{secret}", self.user);
        Authorization {
            header: format!("Basic {}", STANDARD.encode(pair)),
            secret,
        }
    }
}

/// The text with `***` for what stands between `://` and `@`.
pub(in crate::forge) fn without_userinfo(text: &str) -> String {
    let mut parts = text.split("://");
    let mut shown = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let authority = part
            .split(|c: char| c == '/' || c.is_whitespace())
            .next()
            .unwrap_or_default();
        shown.push_str("://");
        match authority.rfind('@') {
            Some(at) => {
                shown.push_str("***");
                shown.push_str(&part[at..]);
            }
            None => shown.push_str(part),
        }
    }
    shown
}

/// Whether the address is this machine itself.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => IpAddr::from(address).is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// `user@host:path`, as ssh's copy program writes it; `name::address` is a helper program of git.
fn is_scp_like(host: &str, path: &str) -> bool {
    let is_host = !host.is_empty() && !host.starts_with('-') && !host.contains(['/', '\\', ' ']);
    let is_machine = host
        .rsplit('@')
        .next()
        .is_some_and(|name| !name.is_empty() && !name.starts_with('-'));
    is_host && is_machine && !path.is_empty() && !path.starts_with(':')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Source;

    fn parse(text: &str) -> Result<Remote, String> {
        Remote::parse(text, None, None)
    }

    fn secret(path: &Path) -> Arc<Secret> {
        Arc::new(Secret::new(Source::File(path.to_owned())))
    }

    #[test]
    fn addresses_are_taken_with_their_one_protocol_and_without_their_user() {
        for (text, url, protocol) in [
            (
                "https://eve@x.example/a/b",
                "https://x.example/a/b",
                "https",
            ),
            ("http://127.0.0.1:80/a", "http://127.0.0.1/a", "http"),
            ("http://[::1]:8080/a", "http://[::1]:8080/a", "http"),
            (
                "ssh://git@x.example:2222/a",
                "ssh://git@x.example:2222/a",
                "ssh",
            ),
            ("git@x.example:a/b.git", "git@x.example:a/b.git", "ssh"),
            ("file:///srv/a.git", "file:///srv/a.git", "file"),
            ("/srv/a b.git", "/srv/a b.git", "file"),
        ] {
            let remote = parse(text).expect(text);
            assert_eq!(
                (remote.url.as_str(), remote.protocol),
                (url, protocol),
                "{text}"
            );
        }
    }

    #[test]
    fn other_addresses_are_refused_without_being_repeated() {
        for text in [
            "",
            "pins.git",
            "../pins.git",
            "ext::sh -c s3cret",
            "git://x.example/s3cret",
            "http://eve:s3cret@x.example/a",
            "https://eve:s3cret@x.example/a",
            "http://x.example/s3cret",
            "ssh://eve:s3cret@x.example/a",
            "ssh://-oProxyCommand=s3cret/a",
            "-oProxyCommand=s3cret:a",
            "git@-oProxyCommand=s3cret:a",
            "https://eve:s3cret@/",
            "/srv/s3cret\n",
        ] {
            let problem = parse(text).expect_err(text);
            assert!(!problem.contains("s3cret"), "{problem}");
        }
        let secret = secret(Path::new("/p"));
        assert!(Remote::parse("/srv/a.git", None, Some(&secret)).is_err());
    }

    #[tokio::test]
    async fn the_header_has_the_user_and_follows_the_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("password");
        let secret = secret(&file);
        let remote = Remote::parse("https://ada@x.example/a", Some("eve"), Some(&secret));
        let remote = remote.expect("a remote");
        assert!(remote.authorization().await.is_err());
        for (password, header) in [
            ("p@ss\n", "Basic ZXZlOnBAc3M="),
            ("new", "Basic ZXZlOm5ldw=="),
        ] {
            std::fs::write(&file, password).expect("a file");
            let authorization = remote.authorization().await.expect("a secret");
            assert_eq!(authorization.expect("a login").header, header);
        }
        assert_eq!(
            remote.redact("cannot use https://eve:x@x.example/a or p@ss, see https://a/b@c"),
            "cannot use https://***@x.example/a or ***, see https://a/b@c"
        );
    }

    #[test]
    fn userinfo_is_not_shown() {
        assert_eq!(without_userinfo("ssh://a@b@c/d e@f"), "ssh://***@c/d e@f");
    }
}
