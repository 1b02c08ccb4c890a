//! A plain branch in a git repository. No branch that exists is moved.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;

use super::repository::Repository;
use super::{
    Change, ChangeState, ConfigError, Error, Filed, FiledChange, FiledOutcome, Finding, Forge,
    ForgeConfig, Signature, Target, Tip,
};

/// A git repository that changes are pushed to, one branch a change.
#[derive(Debug)]
struct Git {
    repository: Repository,
    author: Signature,
}

/// Opens the forge; nothing is contacted. It works in `folder`, which can be deleted at any time.
pub(super) fn open(config: &ForgeConfig, folder: &Path) -> Result<Arc<dyn Forge>, ConfigError> {
    config.refuse_keys(&[
        "project",
        "api_url",
        "via",
        "reviewers",
        "cc",
        "labels",
        "draft",
    ])?;
    Ok(Arc::new(Git {
        repository: Repository::open(config, config.url.as_str(), folder)?,
        author: config.author(),
    }))
}

#[async_trait]
impl Forge for Git {
    fn project(&self) -> &str {
        self.repository.url()
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
        let held = self
            .repository
            .ensure_head(change, &commit, tips.head.as_deref())
            .await?;
        Ok(Filed {
            commit,
            branch: change.head.clone(),
            url: None,
            state: ChangeState::Open,
            answer: held.answer,
            outcome: held.outcome,
        })
    }

    async fn state(&self, change: &FiledChange) -> Result<ChangeState, Error> {
        let reached = self.repository.reached(change).await?;
        Ok(match (reached.is_in_branch, reached.has_head) {
            (true, _) => ChangeState::Merged,
            (false, true) => ChangeState::Open,
            (false, false) => ChangeState::Declined,
        })
    }

    async fn check(&self, target: Option<&Target>) -> Vec<Finding> {
        self.repository.findings(target).await
    }
}
