//! Whether the server answers, takes the token, shows the project, and would take a merge request.

use serde::Deserialize;

use super::super::http::Request;
use super::super::{Error, Finding, Target};
use super::GitLab;

/// The role that may push branches and open merge requests.
const DEVELOPER: u64 = 30;

#[derive(Deserialize)]
struct Version {
    version: String,
}

/// The token that is shown.
#[derive(Deserialize)]
struct Token {
    name: String,
    scopes: Vec<String>,
    /// A date, such as `2027-01-31`.
    expires_at: Option<String>,
}

#[derive(Deserialize)]
struct User {
    username: String,
}

/// The project, as far as it matters.
#[derive(Deserialize)]
struct Project {
    archived: bool,
    empty_repo: Option<bool>,
    merge_requests_enabled: Option<bool>,
    permissions: Option<Permissions>,
}

#[derive(Deserialize)]
struct Permissions {
    project_access: Option<Access>,
    group_access: Option<Access>,
}

#[derive(Deserialize)]
struct Access {
    access_level: u64,
}

impl GitLab {
    /// Looks at everything that filing needs, and files nothing.
    pub(super) async fn findings(&self, target: Option<&Target>) -> Vec<Finding> {
        let project = self.seen().await;
        let seen = project.as_ref().map_err(Error::clone);
        let mut findings = vec![
            Finding::new("reach the server", self.version().await),
            Finding::new("log in", self.token().await),
            Finding::new(
                format!("see `{}`", self.full_name),
                seen.and_then(takes_requests),
            ),
        ];
        if let Ok(project) = &project {
            findings.push(Finding::new("have the role", may_push(project)));
        }
        findings.extend(self.repository.findings(target).await);
        findings
    }

    async fn version(&self) -> Result<String, Error> {
        let answer = self.api.send(&Request::get("/version")).await?;
        let version: Version = answer.succeeded()?.json()?;
        Ok(format!("it has version {}", version.version))
    }

    /// What the token may do and until when; where the server does not say, whose it is.
    async fn token(&self) -> Result<String, Error> {
        let request = Request::get("/personal_access_tokens/self");
        let answer = self.api.send(&request).await?;
        if !answer.is_success() {
            let answer = self.api.send(&Request::get("/user")).await?;
            let user: User = answer.succeeded()?.json()?;
            return Ok(format!("it takes the token, of `{}`", user.username));
        }
        let token: Token = answer.json()?;
        let end = token.expires_at.map_or_else(
            || "which does not expire".to_owned(),
            |date| format!("which expires on {date}"),
        );
        match token.scopes.iter().any(|scope| scope == "api") {
            true => Ok(format!("it takes the token `{}`, {end}", token.name)),
            false => Err(Error::stopped(format!(
                "the token `{}` has the scopes {}; it needs `api`",
                token.name,
                token.scopes.join(", ")
            ))),
        }
    }

    async fn seen(&self) -> Result<Project, Error> {
        let answer = self.api.send(&Request::get(&self.path)).await?;
        match answer.found()? {
            Some(answer) => answer.json(),
            None => Err(self.unseen()),
        }
    }
}

fn takes_requests(project: &Project) -> Result<String, Error> {
    if project.archived {
        Err(Error::stopped(
            "it is archived: nothing can be changed there",
        ))
    } else if project.empty_repo == Some(true) {
        Err(Error::stopped("it is empty: nothing can be changed there"))
    } else if project.merge_requests_enabled == Some(false) {
        Err(Error::stopped(
            "merge requests are switched off; switch them on in its settings",
        ))
    } else {
        Ok("it takes merge requests".to_owned())
    }
}

fn may_push(project: &Project) -> Result<String, Error> {
    let permissions = project.permissions.as_ref();
    let accesses = permissions.map(|both| [&both.project_access, &both.group_access]);
    let level = accesses
        .into_iter()
        .flatten()
        .flatten()
        .map(|access| access.access_level)
        .max();
    match level {
        Some(level) if level >= DEVELOPER => Ok("the account is a Developer or more".to_owned()),
        Some(level) => Err(Error::stopped(format!(
            "the account has the access level {level}; it needs the role Developer ({DEVELOPER})"
        ))),
        None => Err(Error::stopped(
            "the account is no member of the project; give it the role Developer",
        )),
    }
}
