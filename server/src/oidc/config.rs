//! What is configured of an OpenID provider.

use std::path::PathBuf;

use pinion_core::name::PinSetName;
use serde::Deserialize;
use url::Url;

use crate::config::is_loopback;
use crate::store::records::Role;

/// A provider, and what its people may do.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OidcConfig {
    /// What the button calls it. Default: `single sign-on`.
    #[serde(default = "default_name")]
    pub name: String,
    /// The issuer, exactly as it names itself; https, or http on a loopback address.
    pub issuer: String,
    /// What this server is called there.
    pub client_id: String,
    /// A file with the secret of this server, read anew for every sign-in; none for a public client.
    pub client_secret_file: Option<PathBuf>,
    /// Certificates to trust instead of the system's, PEM.
    pub ca_file: Option<PathBuf>,
    /// What is asked for. Default: `openid email profile`.
    #[serde(default = "default_scopes")]
    pub scopes: Vec<String>,
    /// The claim by which people are called in decisions. Default: `email`, which must then be verified.
    #[serde(default = "default_name_claim")]
    pub name_claim: String,
    /// The claim that has people's groups; dots lead into objects. Default: `groups`.
    #[serde(default = "default_groups_claim")]
    pub groups_claim: String,
    /// The only domains of addresses that are let in; none named: all.
    #[serde(default)]
    pub domains: Vec<String>,
    /// How long a session lasts at most, in seconds; 300 to 604,800. Default: 28,800.
    #[serde(default = "default_session_s")]
    pub session_s: u64,
    /// What groups may do; the first that matches holds. Who has no group of these is not let in.
    #[serde(rename = "role")]
    pub roles: Vec<RoleRule>,
}

/// What a group may do.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoleRule {
    /// The group; `*`: everybody.
    pub group: String,
    /// What its people may do: viewer, release-manager or admin.
    pub role: Role,
    /// The only pin set for which; none: all.
    pub pin_set: Option<PinSetName>,
}

/// Why the configuration of a provider is refused.
#[derive(Debug, thiserror::Error)]
pub enum InvalidOidc {
    /// Without it the provider does not know where to send people back.
    #[error("`[oidc]` needs `public_url`, where the provider sends people back to")]
    NoPublicUrl,
    /// The issuer is no URL that secrets may go to.
    #[error("`issuer` of `[oidc]` is `{0}`; it is an https URL, or http on a loopback address")]
    Issuer(String),
    /// Sessions would be too short or too long.
    #[error("`session_s` of `[oidc]` is {0}; use 300 to 604800")]
    Session(u64),
    /// Nobody would be let in.
    #[error("`[oidc]` has no `[[oidc.role]]`, so that nobody may do anything")]
    NoRoles,
    /// Machines do not sign in.
    #[error("`[[oidc.role]]` gives `{0}` a machine's role; use viewer, release-manager or admin")]
    Machine(String),
    /// Only addresses have domains.
    #[error("`domains` of `[oidc]` are those of addresses, so `name_claim` must be \"email\"")]
    Domains,
    /// Its certificates cannot be used.
    #[error("`ca_file` of `[oidc]`: {0}")]
    Certificates(String),
}

impl OidcConfig {
    /// Whether it makes sense.
    ///
    /// # Errors
    /// What is wrong.
    pub fn validate(&self) -> Result<(), InvalidOidc> {
        if !Url::parse(&self.issuer).is_ok_and(|url| is_safe(&url)) {
            return Err(InvalidOidc::Issuer(self.issuer.clone()));
        }
        if !(300..=604_800).contains(&self.session_s) {
            return Err(InvalidOidc::Session(self.session_s));
        }
        if self.roles.is_empty() {
            return Err(InvalidOidc::NoRoles);
        }
        let is_machine = |rule: &&RoleRule| matches!(rule.role, Role::Environment | Role::Ci);
        if let Some(rule) = self.roles.iter().find(is_machine) {
            return Err(InvalidOidc::Machine(rule.group.clone()));
        }
        if !self.domains.is_empty() && self.name_claim != "email" {
            return Err(InvalidOidc::Domains);
        }
        Ok(())
    }
}

/// Whether secrets may be sent there.
pub(super) fn is_safe(url: &Url) -> bool {
    url.scheme() == "https" || (url.scheme() == "http" && is_loopback(url.host()))
}

fn default_name() -> String {
    "single sign-on".to_owned()
}

fn default_scopes() -> Vec<String> {
    ["openid", "email", "profile"].map(str::to_owned).to_vec()
}

fn default_name_claim() -> String {
    "email".to_owned()
}

fn default_groups_claim() -> String {
    "groups".to_owned()
}

const fn default_session_s() -> u64 {
    8 * 3600
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(more: &str) -> Result<(), String> {
        let text = format!(
            "issuer = \"https://id.example.org\"\nclient_id = \"pinion\"\n{more}\n[[role]]\ngroup = \"*\"\nrole = \"viewer\"\n"
        );
        let config: OidcConfig = toml::from_str(&text).map_err(|error| error.to_string())?;
        config.validate().map_err(|error| error.to_string())
    }

    #[test]
    fn a_provider_is_told_with_little_and_mistakes_are_named() {
        assert_eq!(read(""), Ok(()));
        for (wrong, named) in [
            ("session_s = 1", "session_s"),
            (
                "domains = [\"example.org\"]\nname_claim = \"sub\"",
                "domains",
            ),
            ("secret = \"x\"", "secret"),
        ] {
            let error = read(wrong).expect_err(wrong);
            assert!(error.contains(named), "{error}");
        }
    }

    #[test]
    fn secrets_go_to_https_or_stay_on_the_machine() {
        let safe = |text: &str| is_safe(&Url::parse(text).expect("a URL"));
        assert!(
            safe("https://id.example.org")
                && safe("http://127.0.0.1:9/")
                && safe("http://localhost")
        );
        assert!(!safe("http://id.example.org") && !safe("ftp://127.0.0.1"));
    }
}
