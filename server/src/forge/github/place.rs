//! Where a repository on GitHub is, and who reviews there: what the configuration means.

use url::Url;

use super::super::repository::is_loopback;
use super::super::{ConfigError, ForgeConfig};

/// A repository on a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Such as `openstack/requirements`.
    pub(super) project: String,
    /// Such as `openstack`.
    pub(super) owner: String,
    /// Where the API is.
    pub(super) api_url: String,
}

impl Place {
    /// What the configuration says, if it can be so.
    pub(super) fn of(config: &ForgeConfig) -> Result<Self, ConfigError> {
        let project = config
            .project
            .clone()
            .ok_or_else(|| config.error("needs `project`, such as `openstack/requirements`"))?;
        let Some((owner, _)) = project
            .split_once('/')
            .filter(|(owner, name)| is_name(owner) && is_name(name))
        else {
            return Err(config.error(format!(
                "`project` is `{}`; give owner and repository, such as `openstack/requirements`",
                project.escape_debug()
            )));
        };
        if config.password_file.is_none() && config.password_command.is_none() {
            return Err(config.error(
                "needs a token, since GitHub takes nothing without one; give `password_file` or `password_command`",
            ));
        }
        Ok(Self {
            owner: owner.to_owned(),
            api_url: api_url(config)?,
            project,
        })
    }

    /// The reviewers, people and teams apart.
    pub(super) fn reviewers(
        &self,
        config: &ForgeConfig,
    ) -> Result<(Vec<String>, Vec<String>), ConfigError> {
        let (mut people, mut teams) = (Vec::new(), Vec::new());
        for reviewer in &config.reviewers {
            match reviewer.split_once('/') {
                None => people.push(reviewer.clone()),
                Some((owner, team)) if owner.eq_ignore_ascii_case(&self.owner) => {
                    teams.push(team.to_owned());
                }
                Some(_) => {
                    return Err(config.error(format!(
                        "the reviewer `{reviewer}` is a team of another owner than `{}`, which GitHub does not take",
                        self.owner
                    )));
                }
            }
        }
        Ok((people, teams))
    }
}

/// Where the API is for this server, unless the configuration says so itself.
fn api_url(config: &ForgeConfig) -> Result<String, ConfigError> {
    let url = Url::parse(config.url.as_str())
        .map_err(|error| config.error(format!("`url` cannot be read: {error}")))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(config.error(
            "`url` has a user or a password; give the token by `password_file` or `password_command`",
        ));
    }
    let is_root = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    let is_safe = url.scheme() == "https" || (url.scheme() == "http" && is_loopback(&url));
    let host = url.host_str().unwrap_or_default();
    if !is_root || !is_safe || host.is_empty() {
        return Err(config.error(
            "`url` is not the address of a server, such as `https://github.com`; the repository goes into `project`",
        ));
    }
    Ok(match (&config.api_url, host) {
        (Some(given), _) => given.as_str().to_owned(),
        (None, "github.com" | "www.github.com") => "https://api.github.com".to_owned(),
        (None, host) if host.ends_with(".ghe.com") => format!("https://api.{host}"),
        (None, _) => format!("{url}api/v3"),
    })
}

/// Whether GitHub has owners or repositories of such names.
fn is_name(text: &str) -> bool {
    !matches!(text, "" | "." | "..")
        && text.len() <= 100
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(url: &str, project: &str) -> ForgeConfig {
        ForgeConfig {
            project: Some(project.to_owned()),
            password_file: Some("token".into()),
            ..ForgeConfig::new("a".parse().expect("a name"), "github", url)
        }
    }

    #[test]
    fn the_api_is_where_the_server_has_it() {
        for (url, api) in [
            ("https://github.com", "https://api.github.com"),
            ("https://github.com/", "https://api.github.com"),
            ("https://git.example.org", "https://git.example.org/api/v3"),
            ("https://corp.ghe.com", "https://api.corp.ghe.com"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080/api/v3"),
        ] {
            let place = Place::of(&config(url, "a/b")).expect(url);
            assert_eq!(place.api_url, api);
        }
        let given = ForgeConfig {
            api_url: Some(super::super::super::SecretUrl::new("https://x.example/api")),
            ..config("https://github.com", "a/b")
        };
        let place = Place::of(&given).expect("a place");
        assert_eq!(place.api_url, "https://x.example/api");
    }

    #[test]
    fn what_is_no_server_or_no_repository_is_refused() {
        for (url, project, why) in [
            ("https://github.com/a/b", "a/b", "goes into `project`"),
            ("http://github.com", "a/b", "not the address of a server"),
            (
                "https://eve:s3cret@github.com",
                "a/b",
                "a user or a password",
            ),
            ("github.com", "a/b", "cannot be read"),
            ("https://github.com", "a", "give owner and repository"),
            ("https://github.com", "a/b/c", "give owner and repository"),
            ("https://github.com", "a/..", "give owner and repository"),
            ("https://github.com", "a/b?c", "give owner and repository"),
        ] {
            let error = Place::of(&config(url, project)).expect_err(url).to_string();
            assert!(error.contains(why) && !error.contains("s3cret"), "{error}");
        }
        let bare = ForgeConfig {
            password_file: None,
            ..config("https://github.com", "a/b")
        };
        let error = Place::of(&bare).expect_err("no token").to_string();
        assert!(error.contains("needs a token"), "{error}");
    }

    #[test]
    fn reviewers_with_a_slash_are_teams_of_the_owner() {
        let reviewers = |names: &[&str]| {
            let config = ForgeConfig {
                reviewers: names.iter().map(|name| (*name).to_owned()).collect(),
                ..config("https://github.com", "Acme/b")
            };
            Place::of(&config).expect("a place").reviewers(&config)
        };
        assert_eq!(
            reviewers(&["ada", "acme/release"]),
            Ok((vec!["ada".to_owned()], vec!["release".to_owned()]))
        );
        assert!(reviewers(&["other/release"]).is_err());
    }
}
