//! Configuration: a TOML file, then the environment, then flags. Unknown keys are refused.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use url::Url;

use crate::forge::ForgeConfig;
use crate::index::IndexConfig;
use crate::notice::RouteConfig;
use crate::oidc::{InvalidOidc, OidcConfig};
use crate::store::engine::EngineOptions;
use crate::store::etcd::InvalidOptions;
use crate::telemetry::LogFormat;

/// Everything that can be configured; `deploy/pinion.toml` documents every key.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where it listens. Default: `127.0.0.1:7460`.
    pub listen: SocketAddr,
    /// Where its state is. Default: `pinion-data`.
    pub data_dir: PathBuf,
    /// Allows plain text on an address that is not loopback. Default: false.
    pub allow_plaintext: bool,
    /// TLS, if any.
    pub tls: Option<Tls>,
    /// Where people reach this server with a browser, such as `https://pinion.example.org`: what is filed links there.
    pub public_url: Option<PublicUrl>,
    /// With whom people sign in to the dashboard beside tokens; it takes `public_url`.
    pub oidc: Option<OidcConfig>,
    /// How logs look. Default: text.
    pub log_format: LogFormat,
    /// How often the files that pin sets follow are read, in seconds; 5 to 86,400. Default: 60. A webhook makes it at once.
    pub follow_interval_s: u64,
    /// What keeps the state. Default: sled, in the data directory.
    pub store: EngineOptions,
    /// How often the indexes are asked for each package that is watched, in seconds; 60 to 604,800. Default: 3,600.
    pub track_interval_s: u64,
    /// Where versions are published, by ecosystem. None has a default.
    #[serde(rename = "index")]
    pub indexes: BTreeMap<String, IndexConfig>,
    /// Where changes are filed.
    #[serde(rename = "forge")]
    pub forges: Vec<ForgeConfig>,
    /// Who is told what.
    #[serde(rename = "notice")]
    pub routes: Vec<RouteConfig>,
}

/// Files for TLS.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The certificate chain, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7460),
            data_dir: PathBuf::from("pinion-data"),
            allow_plaintext: false,
            tls: None,
            public_url: None,
            oidc: None,
            log_format: LogFormat::Text,
            follow_interval_s: 60,
            store: EngineOptions::Sled {},
            track_interval_s: 3_600,
            indexes: BTreeMap::new(),
            forges: Vec::new(),
            routes: Vec::new(),
        }
    }
}

/// Where people reach the server with a browser.
///
/// Invariant: `https`, or `http` on a loopback address; no user, password, query or fragment; its path ends in `/`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct PublicUrl(Url);

/// Why a public URL is refused.
#[derive(Debug, thiserror::Error)]
pub enum InvalidPublicUrl {
    /// It is no URL.
    #[error("`{0}` is no URL; write it as `https://pinion.example.org`")]
    NoUrl(String),
    /// Tokens would cross a network in plain text.
    #[error("`{0}` is neither https nor on a loopback address")]
    Plaintext(String),
    /// It has parts that a page's address cannot be built on.
    #[error("a public URL has no user, password, query or fragment")]
    Parts,
}

impl TryFrom<String> for PublicUrl {
    type Error = InvalidPublicUrl;

    fn try_from(text: String) -> Result<Self, InvalidPublicUrl> {
        let Ok(mut url) = Url::parse(&text) else {
            return Err(InvalidPublicUrl::NoUrl(text));
        };
        if url.scheme() != "https" && !(url.scheme() == "http" && is_loopback(url.host())) {
            return Err(InvalidPublicUrl::Plaintext(text));
        }
        let has_user = !url.username().is_empty() || url.password().is_some();
        if has_user || url.query().is_some() || url.fragment().is_some() {
            return Err(InvalidPublicUrl::Parts);
        }
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        Ok(Self(url))
    }
}

/// Whether a host is this machine.
pub(crate) fn is_loopback<S: AsRef<str>>(host: Option<url::Host<S>>) -> bool {
    match host {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        Some(url::Host::Domain(name)) => name.as_ref() == "localhost",
        None => false,
    }
}

impl PublicUrl {
    /// The address of a page, by its path without the leading slash.
    pub fn page(&self, path: &str) -> String {
        format!("{}{path}", self.0)
    }

    /// Scheme, host and port, as browsers name the origin of a request.
    pub fn origin(&self) -> String {
        self.0.origin().ascii_serialization()
    }

    /// Whether browsers reach it by https.
    pub fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }
}

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("the configuration `{path}` cannot be read")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// The file is no valid configuration.
    #[error("the configuration `{path}` is refused: {cause}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Where and why.
        cause: Box<toml::de::Error>,
    },
    /// Secrets would cross a network in plain text.
    #[error(
        "`{0}` is not a loopback address, and without TLS tokens would cross the network in plain text; \
         set `[tls]`, or `--allow-plaintext` where something in front of piniond does TLS"
    )]
    Plaintext(SocketAddr),
    /// The identity provider makes no sense.
    #[error(transparent)]
    Oidc(#[from] InvalidOidc),
    /// Files would be read too often, or hardly ever.
    #[error("`follow_interval_s` is {0}; use 5 to 86400")]
    FollowInterval(u64),
    /// The state cannot be kept like that.
    #[error("`[store]`: {0}")]
    Store(#[from] InvalidOptions),
    /// Indexes would be asked too often, or hardly ever.
    #[error("`track_interval_s` is {0}; use 60 to 604800")]
    TrackInterval(u64),
}

impl Config {
    /// The configuration in a file.
    ///
    /// # Errors
    /// If it cannot be read, or has a key that does not exist.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(|cause| Error::Unreadable {
            path: path.to_owned(),
            cause,
        })?;
        toml::from_str(&text).map_err(|cause| Error::Invalid {
            path: path.to_owned(),
            cause: Box::new(cause),
        })
    }

    /// Whether it is safe and makes sense.
    ///
    /// # Errors
    /// What is wrong.
    pub fn validate(&self) -> Result<(), Error> {
        if !self.listen.ip().is_loopback() && self.tls.is_none() && !self.allow_plaintext {
            return Err(Error::Plaintext(self.listen));
        }
        if let Some(oidc) = &self.oidc {
            oidc.validate()?;
            if self.public_url.is_none() {
                return Err(InvalidOidc::NoPublicUrl.into());
            }
        }
        if !(5..=86_400).contains(&self.follow_interval_s) {
            return Err(Error::FollowInterval(self.follow_interval_s));
        }
        self.store.validate()?;
        if !(60..=604_800).contains(&self.track_interval_s) {
            return Err(Error::TrackInterval(self.track_interval_s));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_configuration_is_the_default_one() {
        let sample: Config =
            toml::from_str(include_str!("../../deploy/pinion.toml")).expect("the sample is valid");
        let default = Config::default();
        assert_eq!(
            (sample.listen, sample.data_dir),
            (default.listen, default.data_dir)
        );
        assert_eq!(
            (sample.allow_plaintext, sample.log_format),
            (default.allow_plaintext, default.log_format)
        );
        assert_eq!(sample.track_interval_s, default.track_interval_s);
    }

    #[test]
    fn every_key_of_the_sample_is_understood_when_it_is_switched_on() {
        let sample = include_str!("../../deploy/pinion.toml");
        let on: String = sample
            .lines()
            .map(|line| line.strip_prefix("#| ").unwrap_or(line).to_owned() + "\n")
            .collect();
        let config: Config = toml::from_str(&on).expect("every key is known");
        assert!(config.tls.is_some() && !config.forges.is_empty() && config.indexes.len() == 3);
        assert_eq!(config.routes.len(), 3, "one of every kind");
        for route in config.routes.clone() {
            // The sample names a file that this machine does not have.
            let route = RouteConfig {
                ca_file: None,
                ..route
            };
            assert_eq!(crate::notice::Routes::open(&[route]).err(), None);
        }
        assert!(matches!(config.store, EngineOptions::Etcd(_)));
        config.validate().expect("it makes sense");
        let oidc = config.oidc.as_ref().expect("an identity provider");
        assert!(oidc.validate().is_ok() && oidc.roles.len() > 1);
    }

    #[test]
    fn a_public_url_is_https_or_on_loopback_and_nothing_but_a_place() {
        let read = |text: &str| PublicUrl::try_from(text.to_owned());
        let url = read("https://pinion.example.org/staging").expect("a URL");
        assert_eq!(
            url.page("rollouts/ro-1"),
            "https://pinion.example.org/staging/rollouts/ro-1"
        );
        assert_eq!(url.origin(), "https://pinion.example.org");
        assert!(read("http://127.0.0.1:7460").is_ok() && read("http://[::1]:7460/").is_ok());
        for refused in [
            "pinion.example.org",
            "http://pinion.example.org",
            "ftp://127.0.0.1",
            "https://me:secret@pinion.example.org",
            "https://pinion.example.org/?a=1",
        ] {
            let error = read(refused).expect_err(refused).to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn unknown_keys_are_refused() {
        let error = toml::from_str::<Config>("listne = \"127.0.0.1:1\"").expect_err("refused");
        assert!(error.to_string().contains("listne"));
        for (text, word) in [
            ("[store]\nengine = \"sled\"\nendpoints = []", "endpoints"),
            (
                "[store]\nengine = \"etcd\"\nendpoints = []\nprefx = \"\"",
                "prefx",
            ),
            ("[store]\nengine = \"redis\"", "redis"),
        ] {
            let error = toml::from_str::<Config>(text).expect_err("refused");
            assert!(error.to_string().contains(word), "{error}");
        }
    }

    #[test]
    fn plain_text_stays_on_loopback() {
        let open = Config {
            listen: SocketAddr::from(([0, 0, 0, 0], 7460)),
            ..Config::default()
        };
        assert!(matches!(open.validate(), Err(Error::Plaintext(_))));
        assert!(
            Config {
                allow_plaintext: true,
                ..open
            }
            .validate()
            .is_ok()
        );
    }
}
