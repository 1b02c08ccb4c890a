//! A project on GitLab. The change is pushed as a branch, then a merge request is opened for it; the server itself keeps
//! source and target of open ones apart, so a second try finds the first one.

mod check;
mod requests;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;

use self::requests::{MergeRequest, Sought};
use super::http::{Api, Scheme, encoded};
use super::repository::Repository;
use super::{
    Change, ChangeState, ConfigError, Error, Filed, FiledChange, FiledOutcome, Finding, Forge,
    ForgeConfig, Signature, Target, Tip,
};

/// The user that git logs in as with any kind of token.
const USER_DEFAULT: &str = "oauth2";

/// A project that merge requests are filed in.
#[derive(Debug)]
struct GitLab {
    /// Where people look at it.
    address: String,
    /// Its whole path, such as `infra/pins`.
    full_name: String,
    /// Where it is in the API.
    path: String,
    api: Api,
    repository: Repository,
    /// Separated by commas.
    labels: String,
    reviewers: Vec<String>,
    is_draft: bool,
    author: Signature,
}

/// Opens the forge; nothing is contacted. It works in `folder`, which can be deleted at any time.
pub(super) fn open(config: &ForgeConfig, folder: &Path) -> Result<Arc<dyn Forge>, ConfigError> {
    config.refuse_keys(&["via", "cc"])?;
    let (Some(project), Some(_)) = (&config.project, config.secret()?) else {
        return Err(config.error(
            "`gitlab` needs `project`, its whole path, such as `infra/pins`; and a token by `password_file` or \
             `password_command`",
        ));
    };
    if !project.contains('/') || !project.split('/').all(is_name) {
        return Err(
            config.error("`project` is the whole path of the project, such as `infra/pins`")
        );
    }
    if config.labels.iter().any(|label| label.contains(',')) {
        return Err(config.error("`labels` has one with a comma, which GitLab takes for two"));
    }
    let url = config.url.as_str().trim_end_matches('/');
    let base = match &config.api_url {
        Some(api_url) => api_url.as_str().to_owned(),
        None => format!("{url}/api/v4"),
    };
    let api = Api::open(config, &base, Scheme::PrivateToken)?;
    let address = format!("{url}/{project}");
    let login = ForgeConfig {
        user: Some(config.user.clone().unwrap_or(USER_DEFAULT.to_owned())),
        ..config.clone()
    };
    Ok(Arc::new(GitLab {
        repository: Repository::open(&login, &format!("{address}.git"), folder)?,
        address,
        full_name: project.clone(),
        path: format!("/projects/{}", encoded(project)),
        api,
        labels: config.labels.join(","),
        reviewers: config.reviewers.clone(),
        is_draft: config.draft,
        author: config.author(),
    }))
}

/// Whether GitLab could call a group or a project so.
fn is_name(part: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    !matches!(part, "" | "." | "..") && part.chars().all(is_plain)
}

#[async_trait]
impl Forge for GitLab {
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
        if let Some(found) = self.find(&Sought::from(change)).await? {
            return Ok(filed(change, found, FiledOutcome::Existed, Vec::new()));
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
        self.repository
            .ensure_head(change, &commit, tips.head.as_deref())
            .await?;
        let (made, remarks) = self.request(change).await?;
        Ok(filed(change, made, FiledOutcome::Created, remarks))
    }

    async fn state(&self, change: &FiledChange) -> Result<ChangeState, Error> {
        if let Some(found) = self.find(&Sought::from(change)).await? {
            return Ok(found.state());
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

/// What is known of the merge request.
fn filed(
    change: &Change,
    found: MergeRequest,
    outcome: FiledOutcome,
    remarks: Vec<String>,
) -> Filed {
    let state = found.state();
    let mut words = vec![format!("merge request !{}", found.iid)];
    match state {
        ChangeState::Open => words.extend(remarks),
        ChangeState::Merged => words.push("a person merged it".to_owned()),
        ChangeState::Declined => words.push("a person closed it".to_owned()),
    }
    Filed {
        commit: found.sha,
        branch: change.head.clone(),
        url: Some(found.web_url),
        state,
        answer: words.join("; "),
        outcome,
    }
}
