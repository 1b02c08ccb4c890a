//! Whether the server answers, takes the token, shows the repository, and would take a pull request.

use serde::Deserialize;

use super::super::http::Request;
use super::super::{Error, Finding, Target, Via};
use super::Gitea;

#[derive(Deserialize)]
struct Version {
    version: String,
}

/// The repository, as far as it matters.
#[derive(Clone, Debug, Deserialize)]
struct Project {
    default_branch: String,
    archived: bool,
    empty: bool,
    /// Older servers do not say so.
    has_pull_requests: Option<bool>,
    permissions: Option<Permissions>,
}

#[derive(Clone, Debug, Deserialize)]
struct Permissions {
    push: bool,
}

impl Gitea {
    /// Looks at everything that filing needs, and files nothing.
    pub(super) async fn findings(&self, target: Option<&Target>) -> Vec<Finding> {
        let login = self.login().await;
        let login = login.map(|login| format!("it takes the token, of `{login}`"));
        let project = self.seen().await;
        let mut findings = vec![
            Finding::new("reach the server", self.version().await),
            Finding::new("log in", login),
            Finding::new(
                format!("see `{}`", self.full_name),
                project.as_ref().map_err(Error::clone).and_then(takes_pulls),
            ),
        ];
        findings.extend(self.repository.findings_of_reading(target).await);
        let branch = match (target, &project) {
            (Some(target), _) => Some(target.branch.as_str()),
            (None, Ok(project)) => Some(project.default_branch.as_str()),
            (None, Err(_)) => None,
        };
        match (self.via, branch) {
            (Via::Push, Some(branch)) => findings.push(self.pushed(branch).await),
            (Via::Push, None) => {}
            (Via::Rest, _) => findings.push(Finding::new(
                "make a branch",
                project.and_then(|project| may_push(&project)),
            )),
        }
        if !self.labels.is_empty() {
            findings.push(Finding::new("find the labels", self.labelled().await));
        }
        findings
    }

    async fn version(&self) -> Result<String, Error> {
        let answer = self.api.send(&Request::get("/version")).await?;
        let version: Version = answer.succeeded()?.json()?;
        Ok(format!("it has version {}", version.version))
    }

    async fn seen(&self) -> Result<Project, Error> {
        let answer = self.api.send(&Request::get(&self.path)).await?;
        match answer.found()? {
            Some(answer) => answer.json(),
            None => Err(self.unseen()),
        }
    }

    /// Tries a push for review, without pushing.
    async fn pushed(&self, branch: &str) -> Finding {
        let tried = self.repository.tried(&format!("refs/for/{branch}")).await;
        let pushed = tried.and_then(|pushed| match pushed.is_refused {
            true => Err(pushed.refusal()),
            false => Ok("it takes pushes for review".to_owned()),
        });
        Finding::new("push for review", pushed)
    }

    async fn labelled(&self) -> Result<String, Error> {
        let known = self.known_labels().await?;
        let is_known = |name: &&String| known.iter().any(|label| label.name == **name);
        match self.labels.iter().find(|name| !is_known(name)) {
            None => Ok("all are there".to_owned()),
            Some(name) => Err(Error::stopped(format!(
                "there is no label `{name}`; make it, or take it out"
            ))),
        }
    }
}

fn takes_pulls(project: &Project) -> Result<String, Error> {
    if project.archived {
        Err(Error::stopped(
            "it is archived: nothing can be changed there",
        ))
    } else if project.empty {
        Err(Error::stopped("it is empty: nothing can be changed there"))
    } else if project.has_pull_requests == Some(false) {
        Err(Error::stopped(
            "pull requests are switched off; switch them on in its settings",
        ))
    } else {
        Ok("it takes pull requests".to_owned())
    }
}

fn may_push(project: &Project) -> Result<String, Error> {
    match &project.permissions {
        Some(Permissions { push: true }) => Ok("the account may write there".to_owned()),
        Some(Permissions { push: false }) => Err(Error::stopped(
            "the account may not write there; give it write permission, or leave `via` at `push`, which needs none",
        )),
        None => Err(Error::stopped(
            "the server does not say what the account may do",
        )),
    }
}
