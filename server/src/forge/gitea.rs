//! A repository on Gitea or Forgejo. A pull request is known by its base and its head: a topic of our account where it was
//! pushed to `refs/for/…` (AGit), else a branch of the repository.
//!
//! Either way looks for both kinds first, since the server itself keeps only equal kinds apart, and makes a new pull request
//! in the place of a closed one.

mod check;
mod files;
mod pulls;
mod requests;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;

use self::pulls::{Pull, Sought};
use super::http::{Api, Request, Scheme, encoded};
use super::repository::{Destination, Repository};
use super::{
    Change, ChangeState, ConfigError, Error, Filed, FiledChange, FiledOutcome, Finding, Forge,
    ForgeConfig, Signature, Target, Tip, Via,
};

/// What makes a pull request a draft, at the beginning of its title.
const DRAFT: &str = "WIP: ";

/// A repository that pull requests are filed in.
#[derive(Debug)]
struct Gitea {
    /// Where people look at it.
    address: String,
    /// `owner/repository`.
    full_name: String,
    /// Where it is in the API.
    path: String,
    api: Api,
    repository: Repository,
    via: Via,
    /// The account, where it is configured; else the server is asked.
    user: Option<String>,
    labels: Vec<String>,
    reviewers: Vec<String>,
    is_draft: bool,
    author: Signature,
}

/// Opens the forge; nothing is contacted. It works in `folder`, which can be deleted at any time.
pub(super) fn open(config: &ForgeConfig, folder: &Path) -> Result<Arc<dyn Forge>, ConfigError> {
    config.refuse_keys(&["cc"])?;
    let (Some(project), Some(_)) = (&config.project, config.secret()?) else {
        return Err(config.error(format!(
            "`{}` needs `project`, such as `openstack/requirements`, and a token by `password_file` or `password_command`",
            config.kind
        )));
    };
    let (owner, name) = match project.split_once('/') {
        Some((owner, name)) if is_name(owner) && is_name(name) => (encoded(owner), encoded(name)),
        _ => {
            return Err(
                config.error("`project` is the owner and the repository: `owner/repository`")
            );
        }
    };
    let url = config.url.as_str().trim_end_matches('/');
    let base = match &config.api_url {
        Some(api_url) => api_url.as_str().to_owned(),
        None => format!("{url}/api/v1"),
    };
    let api = Api::open(config, &base, Scheme::Token)?;
    let address = format!("{url}/{owner}/{name}");
    Ok(Arc::new(Gitea {
        repository: Repository::open(config, &format!("{address}.git"), folder)?,
        address,
        full_name: project.clone(),
        path: format!("/repos/{owner}/{name}"),
        api,
        via: config.via.unwrap_or(Via::Push),
        user: config.user.clone(),
        labels: config.labels.clone(),
        reviewers: config.reviewers.clone(),
        is_draft: config.draft,
        author: config.author(),
    }))
}

/// Whether Gitea could call an owner or a repository so.
fn is_name(part: &str) -> bool {
    let is_plain = |c: char| c.is_alphanumeric() || "-_.".contains(c);
    !matches!(part, "" | "." | "..") && part.chars().all(is_plain)
}

#[async_trait]
impl Forge for Gitea {
    fn project(&self) -> &str {
        &self.address
    }

    fn author(&self) -> &Signature {
        &self.author
    }

    async fn read(&self, branch: &str, path: &str) -> Result<Tip, Error> {
        self.repository.read(branch, path).await
    }

    async fn read_at(&self, branch: &str, commit: &str, path: &str) -> Result<Vec<u8>, Error> {
        self.repository.read_at(branch, commit, path).await
    }

    async fn ensure_change(&self, change: &Change) -> Result<Filed, Error> {
        let sought = Sought::from(change);
        if let Some(pull) = self.find(&sought).await? {
            return Ok(self.filed(change, pull, FiledOutcome::Existed).await);
        }
        let tips = self.repository.tips(change).await?;
        let commit = self.repository.commit(change).await?;
        if tips.target == commit {
            return Ok(Filed {
                commit,
                branch: change.head.clone(),
                url: None,
                state: ChangeState::Merged,
                answer: "the target branch holds it already".to_owned(),
                outcome: FiledOutcome::Existed,
            });
        }
        let pull = match self.via {
            Via::Push => self.push(change).await?,
            Via::Rest => {
                self.ensure_branch(change, &commit, tips.head).await?;
                self.request(change).await?
            }
        };
        Ok(self.filed(change, pull, FiledOutcome::Created).await)
    }

    async fn state(&self, change: &FiledChange) -> Result<ChangeState, Error> {
        if let Some(pull) = self.find(&Sought::from(change)).await? {
            return Ok(pull.state());
        }
        // Only a person can have deleted it; the branch may have the commit all the same.
        let reached = self.repository.reached(change).await?;
        Ok(match reached.is_in_branch {
            true => ChangeState::Merged,
            false => ChangeState::Declined,
        })
    }

    async fn check(&self, target: Option<&Target>) -> Vec<Finding> {
        self.findings(target).await
    }
}

impl Gitea {
    /// Pushes the commit for review. The server takes title and text from its message.
    async fn push(&self, change: &Change) -> Result<Pull, Error> {
        let mut options = vec![format!("topic={}", change.head)];
        if self.is_draft {
            options.push(format!("title={DRAFT}{}", change.subject));
        }
        let reference = format!("refs/for/{}", change.branch);
        let destination = Destination {
            reference: &reference,
            only_if_new: false,
            options: &options,
        };
        let pushed = self.repository.push(change, &destination).await;
        match (self.find(&Sought::from(change)).await?, pushed) {
            (Some(pull), _) => Ok(pull),
            (None, Err(error)) => Err(error),
            (None, Ok(pushed)) if pushed.is_refused => Err(pushed.refusal()),
            (None, Ok(pushed)) => Err(Error::retry(format!(
                "the push was accepted ({}), but there is no pull request; does the server take pushes to `refs/for/…`? \
                 Else set `via = \"rest\"`",
                pushed.summary
            ))),
        }
    }

    /// What is known of the pull request, after asking for what it lacks; that this fails is only remarked.
    async fn filed(&self, change: &Change, pull: Pull, outcome: FiledOutcome) -> Filed {
        let state = pull.state();
        let mut words = vec![format!("pull request #{}", pull.number)];
        match state {
            ChangeState::Open => words.extend(self.furnish(&pull).await),
            ChangeState::Merged => words.push("a person merged it".to_owned()),
            ChangeState::Declined => words.push("a person closed it".to_owned()),
        }
        Filed {
            commit: pull.head.sha.clone(),
            branch: change.head.clone(),
            url: Some(pull.html_url),
            state,
            answer: words.join("; "),
            outcome,
        }
    }

    /// The name of our account.
    async fn login(&self) -> Result<String, Error> {
        let answer = self.api.send(&Request::get("/user")).await?;
        match (answer.status, &self.user) {
            (403, Some(user)) => Ok(user.clone()),
            (403, None) => Err(Error::stopped(format!(
                "{}; give the token the scope `read:user`, or set `user` to its account",
                answer.words()
            ))),
            _ => Ok(answer.succeeded()?.json::<pulls::User>()?.login),
        }
    }
}
