//! A route as the configuration has it.

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use pinion_core::name::RouteName;
use pinion_core::notice::{Kind, Pattern};
use serde::Deserialize;
use url::Url;

use crate::config::is_loopback;
use crate::secret::{Secret, Source};

/// Patterns of one key, at most.
const PATTERNS_MAX: usize = 32;

/// One `[[notice]]` of the configuration; `deploy/pinion.toml` documents every key.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteConfig {
    /// What people call it.
    pub name: RouteName,
    /// `webhook`, `slack` or `mail`.
    pub kind: String,
    /// Patterns of the names of notices that go by it. Default: all.
    #[serde(default = "every")]
    pub events: Vec<String>,
    /// Patterns of the pin sets whose notices go by it. Default: all.
    #[serde(default = "every")]
    pub pin_sets: Vec<String>,
    /// Where a webhook goes.
    pub url: Option<PlainUrl>,
    /// A file that holds the URL, where that is a secret.
    pub url_file: Option<PathBuf>,
    /// A program that prints it.
    pub url_command: Option<Vec<String>>,
    /// A file that holds the secret that webhooks are signed with.
    pub secret_file: Option<PathBuf>,
    /// A program that prints it.
    pub secret_command: Option<Vec<String>>,
    /// A file that holds the secret before that one; webhooks are signed with both.
    pub previous_secret_file: Option<PathBuf>,
    /// The SMTP server of mail.
    pub server: Option<String>,
    /// Its port. Default: 587; 465 with `tls = "tls"`, 25 with `tls = "none"`.
    pub port: Option<u16>,
    /// How the connection is encrypted. Default: `starttls`.
    pub tls: Option<MailTls>,
    /// The account there, if it takes one.
    pub user: Option<String>,
    /// A file that holds its password.
    pub password_file: Option<PathBuf>,
    /// A program that prints it.
    pub password_command: Option<Vec<String>>,
    /// Who writes.
    pub from: Option<String>,
    /// To whom.
    #[serde(default)]
    pub to: Vec<String>,
    /// Allows plain text to what is not this machine. Default: false.
    #[serde(default)]
    pub allow_plaintext: bool,
    /// A file of certificates to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// The longest that one try takes, in seconds. 1 to 60. Default: 15.
    #[serde(default = "default_timeout_s")]
    pub timeout_s: u64,
}

/// How a connection to an SMTP server is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MailTls {
    /// After a greeting in plain text; a server that does not offer it gets nothing.
    Starttls,
    /// From the first byte.
    Tls,
    /// Not at all.
    None,
}

/// A URL whose path may say more than others should read.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct PlainUrl(String);

impl fmt::Debug for PlainUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&Url::parse(&self.0).map_or_else(|_| "no URL".to_owned(), |url| place(&url)))
    }
}

/// Why a route of the configuration cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("notice `{route}`: {problem}")]
pub struct ConfigError {
    /// The route's name.
    pub route: String,
    /// What is wrong and what would be right.
    pub problem: String,
}

impl RouteConfig {
    pub(super) fn error(&self, problem: impl Into<String>) -> ConfigError {
        ConfigError {
            route: self.name.to_string(),
            problem: problem.into(),
        }
    }

    pub(super) fn timeout(&self) -> Result<Duration, ConfigError> {
        match self.timeout_s {
            1..=60 => Ok(Duration::from_secs(self.timeout_s)),
            other => Err(self.error(format!("`timeout_s` is {other}; use 1 to 60"))),
        }
    }

    /// What goes by it: patterns of names of notices, and of pin sets.
    pub(super) fn patterns(&self) -> Result<(Vec<Pattern>, Vec<Pattern>), ConfigError> {
        let parse = |key: &str, texts: &[String]| {
            if !(1..=PATTERNS_MAX).contains(&texts.len()) {
                return Err(self.error(format!(
                    "`{key}` has {}; give 1 to {PATTERNS_MAX}",
                    texts.len()
                )));
            }
            let patterns = texts.iter().map(|text| Pattern::parse(text));
            let patterns: Result<Vec<Pattern>, _> = patterns.collect();
            patterns.map_err(|error| self.error(format!("`{key}`: {error}")))
        };
        let events = parse("events", &self.events)?;
        for event in &events {
            if !Kind::ALL.iter().any(|kind| event.matches(kind.as_str())) {
                let known: Vec<_> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
                return Err(self.error(format!(
                    "`events`: `{event}` matches none; known: {}",
                    known.join(", ")
                )));
            }
        }
        Ok((events, parse("pin_sets", &self.pin_sets)?))
    }

    /// The secret of `<key>_file` and `<key>_command`, if one of them is given.
    pub(super) fn secret(
        &self,
        key: &'static str,
        file: Option<&PathBuf>,
        command: Option<&Vec<String>>,
    ) -> Result<Option<Secret>, ConfigError> {
        let source = match (file, command) {
            (None, None) => return Ok(None),
            (Some(path), None) => Source::File(path.clone()),
            (None, Some(words)) if words.first().is_some_and(|word| !word.is_empty()) => {
                Source::Command(words.clone())
            }
            (None, Some(_)) => return Err(self.error(format!("`{key}_command` is empty"))),
            (Some(_), Some(_)) => {
                return Err(self.error(format!(
                    "both `{key}_file` and `{key}_command` are given; give one"
                )));
            }
        };
        Ok(Some(Secret::of(key, source)))
    }

    /// A URL that may be posted to.
    pub(super) fn checked_url(&self, text: &str) -> Result<Url, String> {
        check_url(text, self.allow_plaintext)
    }

    pub(super) fn plain_url(&self) -> Result<Option<Url>, ConfigError> {
        let checked = self.url.as_ref().map(|url| self.checked_url(&url.0));
        let checked = checked.transpose();
        checked.map_err(|why| self.error(format!("`url` {why}")))
    }

    /// The certificates of `ca_file`, PEM.
    pub(super) fn certificates(&self) -> Result<Option<Vec<u8>>, ConfigError> {
        let Some(file) = &self.ca_file else {
            return Ok(None);
        };
        let read = fs::read(file).map(Some);
        read.map_err(|error| self.error(format!("`ca_file` `{}`: {error}", file.display())))
    }

    /// Refuses keys that are set and of no use to the kind.
    pub(super) fn refuse_keys(&self, keys: &[&str]) -> Result<(), ConfigError> {
        let set = [
            ("url", self.url.is_some()),
            ("url_file", self.url_file.is_some()),
            ("url_command", self.url_command.is_some()),
            ("secret_file", self.secret_file.is_some()),
            ("secret_command", self.secret_command.is_some()),
            ("previous_secret_file", self.previous_secret_file.is_some()),
            ("server", self.server.is_some()),
            ("port", self.port.is_some()),
            ("tls", self.tls.is_some()),
            ("user", self.user.is_some()),
            ("password_file", self.password_file.is_some()),
            ("password_command", self.password_command.is_some()),
            ("from", self.from.is_some()),
            ("to", !self.to.is_empty()),
        ];
        match set
            .iter()
            .find(|(key, is_set)| *is_set && keys.contains(key))
        {
            Some((key, _)) => Err(self.error(format!(
                "`{key}` has no meaning for the kind `{}`; take it out",
                self.kind
            ))),
            None => Ok(()),
        }
    }
}

/// A URL that may be posted to; the error repeats nothing of it.
pub(super) fn check_url(text: &str, allow_plaintext: bool) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("is no URL ({error})"))?;
    match url.scheme() {
        "https" => {}
        "http" if allow_plaintext || is_loopback(url.host()) => {}
        "http" => {
            return Err(
                "is plain http, which is for loopback only; use https, or set `allow_plaintext`"
                    .to_owned(),
            );
        }
        other => return Err(format!("has the scheme `{other}`; use https")),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("has a user or a password; take them out".to_owned());
    }
    Ok(url)
}

/// Scheme, host and port: what may be shown of any URL.
pub(super) fn place(url: &Url) -> String {
    url.origin().ascii_serialization()
}

fn every() -> Vec<String> {
    vec!["*".to_owned()]
}

const fn default_timeout_s() -> u64 {
    15
}

#[cfg(test)]
mod tests {
    use super::super::Routes;
    use super::*;

    const WEBHOOK: &str = "kind = 'webhook'\nurl = 'https://x.example/s3cret'\nsecret_file = '/s'";
    const MAIL: &str =
        "kind = 'mail'\nserver = 'smtp.example.org'\nfrom = 'a@x.example'\nto = ['b@x.example']";

    /// Why a route with these keys is refused; empty: it is not.
    fn refused(keys: &str) -> String {
        let text = format!("name = 'ops'\n{keys}");
        let config: RouteConfig = match toml::from_str(&text) {
            Ok(config) => config,
            Err(error) => return error.to_string(),
        };
        Routes::open(&[config])
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default()
    }

    #[test]
    fn what_is_wrong_with_a_route_is_said_by_its_key() {
        let webhook = |more: &str| format!("{WEBHOOK}\n{more}");
        let mail = |more: &str| format!("{MAIL}\n{more}");
        for fine in [
            webhook("events = ['rollout.*']\npin_sets = ['a-*', 'b']"),
            mail("tls = 'tls'"),
            mail("tls = 'none'\nallow_plaintext = true"),
            "kind = 'slack'\nurl_command = ['pass', 'chat']".to_owned(),
        ] {
            assert_eq!(refused(&fine), "", "{fine}");
        }
        for (keys, words) in [
            (
                webhook("events = ['rollback.*']"),
                "`events`: `rollback.*` matches none; known: rollout.rolled_back",
            ),
            (webhook("events = []"), "`events` has 0; give 1 to 32"),
            (webhook("pin_sets = ['A']"), "`pin_sets`: `A` is no pattern"),
            (webhook("timeout_s = 0"), "`timeout_s` is 0; use 1 to 60"),
            (
                webhook("server = 'x'"),
                "`server` has no meaning for the kind `webhook`",
            ),
            (
                webhook("secret_command = ['a']"),
                "both `secret_file` and `secret_command`",
            ),
            (webhook("colour = 'red'"), "unknown field `colour`"),
            (webhook("ca_file = '/none'"), "`ca_file` `/none`: "),
            (
                "kind = 'webhook'\nurl = 'https://x.example'".to_owned(),
                "give `secret_file` or `secret_command`",
            ),
            (
                "kind = 'webhook'\nurl = 'http://x.example/s3cret'\nsecret_file = '/s'".to_owned(),
                "`url` is plain http",
            ),
            (
                "kind = 'webhook'\nsecret_file = '/s'".to_owned(),
                "give one of `url`, `url_file` and `url_command`",
            ),
            (
                "kind = 'slack'\nurl = 'https://x.example/s3cret'".to_owned(),
                "put it into a file and give `url_file`",
            ),
            (
                "kind = 'slack'".to_owned(),
                "give `url_file` or `url_command`",
            ),
            (
                "kind = 'pager'".to_owned(),
                "`kind` is `pager`; known: `webhook`, `slack`, `mail`",
            ),
            (
                mail("tls = 'none'"),
                "`tls` is `none`, which is for loopback only",
            ),
            (mail("user = 'a'"), "give both `user` and `password_file`"),
            (
                MAIL.replace("b@x.example", "nobody"),
                "`to`: `nobody` is no address",
            ),
            (
                MAIL.replace("['b@x.example']", "[]"),
                "`to` has 0; give 1 to 50",
            ),
        ] {
            let refused = refused(&keys);
            assert!(refused.contains(words), "{keys}: {refused}");
            assert!(!refused.contains("s3cret"), "{refused}");
        }
    }

    #[test]
    fn a_route_has_a_name_of_its_own_and_shows_no_path_of_its_url() {
        let config: RouteConfig =
            toml::from_str(&format!("name = 'ops'\n{WEBHOOK}")).expect("a route");
        let shown = format!("{config:?}");
        assert!(
            shown.contains("https://x.example") && !shown.contains("s3cret"),
            "{shown}"
        );
        let twice = Routes::open(&[config.clone(), config]).expect_err("twice");
        assert!(twice.to_string().contains("configured twice"), "{twice}");
    }

    #[test]
    fn the_sample_has_every_key() {
        let sample = include_str!("../../../deploy/pinion.toml");
        let notices = &sample[sample.find("[[notice]]").expect("notices")..];
        for key in [
            "name",
            "kind",
            "events",
            "pin_sets",
            "url",
            "url_file",
            "url_command",
            "secret_file",
            "secret_command",
            "previous_secret_file",
            "server",
            "port",
            "tls",
            "user",
            "password_file",
            "password_command",
            "from",
            "to",
            "allow_plaintext",
            "ca_file",
            "timeout_s",
        ] {
            let is_there = notices.lines().any(|line| {
                let line = line.trim_start_matches(['#', '|', ' ']);
                line.strip_prefix(key)
                    .is_some_and(|rest| rest.starts_with(" ="))
            });
            assert!(is_there, "{key}");
        }
    }
}
