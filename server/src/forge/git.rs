//! A plain branch in a git repository. No branch that exists is moved.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;

use super::repository::{Destination, Repository};
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
        let branches = self.look(change).await?;
        let Some(tip) = branches.get(&change.branch) else {
            return Err(Error::stopped(format!(
                "the branch `{}` does not exist",
                change.branch
            )));
        };
        let commit = self.repository.commit(change).await?;
        if *tip == commit {
            let filed = filed(
                change,
                commit,
                FiledOutcome::Existed,
                "the target branch holds it already",
            );
            return Ok(Filed {
                state: ChangeState::Merged,
                ..filed
            });
        }
        match branches.get(&change.head) {
            Some(found) if *found == commit => Ok(filed(
                change,
                commit,
                FiledOutcome::Existed,
                "the branch holds it already",
            )),
            Some(found) => Err(other_push(change, found)),
            None => self.create(change, commit).await,
        }
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

impl Git {
    /// The commits of the change's two branches, where they exist.
    async fn look(&self, change: &Change) -> Result<BTreeMap<String, String>, Error> {
        let folders = change.head.match_indices('/');
        let in_the_way: Vec<&str> = folders.map(|(at, _)| &change.head[..at]).collect();
        let names = [
            &[change.branch.as_str(), change.head.as_str()],
            in_the_way.as_slice(),
        ]
        .concat();
        let branches = self.repository.branches(&names).await?;
        match in_the_way.iter().find(|name| branches.contains_key(**name)) {
            Some(name) => Err(Error::stopped(format!(
                "the branch `{name}` is in the way of `{}`; git cannot have both, so rename it",
                change.head
            ))),
            None => Ok(branches),
        }
    }

    /// Pushes the commit as a new branch, then looks what is there: the answer to a push may be lost.
    async fn create(&self, change: &Change, commit: String) -> Result<Filed, Error> {
        let reference = format!("refs/heads/{}", change.head);
        let destination = Destination {
            reference: &reference,
            only_if_new: true,
            options: &[],
        };
        let pushed = self.repository.push(change, &destination).await;
        match (self.look(change).await?.get(&change.head), pushed) {
            (Some(found), pushed) if *found == commit => {
                let answer = pushed.map_or_else(
                    |_| "the branch holds it".to_owned(),
                    |pushed| pushed.summary,
                );
                Ok(filed(change, commit, FiledOutcome::Created, &answer))
            }
            (Some(found), _) => Err(other_push(change, found)),
            (None, Err(error)) => Err(error),
            (None, Ok(pushed)) if pushed.is_refused => Err(pushed.refusal()),
            (None, Ok(pushed)) => Err(Error::retry(format!(
                "the push was accepted ({}), but the branch does not exist",
                pushed.summary
            ))),
        }
    }
}

fn filed(change: &Change, commit: String, outcome: FiledOutcome, answer: &str) -> Filed {
    Filed {
        commit,
        branch: change.head.clone(),
        url: None,
        state: ChangeState::Open,
        answer: answer.to_owned(),
        outcome,
    }
}

fn other_push(change: &Change, found: &str) -> Error {
    Error::stopped(format!(
        "a person pushed to `{}`: it holds commit {found}, which is left as it is; delete the branch to file again",
        change.head
    ))
}
