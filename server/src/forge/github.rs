//! GitHub, by its REST API. No branch that exists is moved, and no pull request is altered but by its labels and
//! reviewers.
//!
//! The branch of a change is named after its key, so a pull request of that branch is the change, whatever people have
//! made of it since: more commits, another base, closed.

mod check;
mod place;
mod rest;
mod words;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;

use self::place::Place;
use self::rest::{NewCommit, NewEntry, NewPull, Pull, Rest};
use self::words::{PullMade, made, markdown};
use super::repository::{check_branch, check_change, check_path};
use super::{
    Change, ChangeState, ConfigError, Error, Filed, FiledChange, FiledOutcome, Finding, Forge,
    ForgeConfig, Signature, Target, Tip,
};

/// A repository on GitHub that changes are put forward in as pull requests.
#[derive(Debug)]
struct Github {
    /// Such as `openstack/requirements`.
    project: String,
    rest: Rest,
    author: Signature,
    labels: Vec<String>,
    reviewers: Vec<String>,
    /// Slugs of teams of the repository's owner.
    teams: Vec<String>,
    draft: bool,
}

/// Opens the forge; nothing is contacted.
pub(super) fn open(config: &ForgeConfig, _folder: &Path) -> Result<Arc<dyn Forge>, ConfigError> {
    config.refuse_keys(&["via", "cc", "user"])?;
    let place = Place::of(config)?;
    let (reviewers, teams) = place.reviewers(config)?;
    Ok(Arc::new(Github {
        rest: Rest::open(config, &place)?,
        project: place.project,
        author: config.author(),
        labels: config.labels.clone(),
        reviewers,
        teams,
        draft: config.draft,
    }))
}

#[async_trait]
impl Forge for Github {
    fn project(&self) -> &str {
        &self.project
    }

    fn author(&self) -> &Signature {
        &self.author
    }

    async fn read(&self, branch: &str, path: &str) -> Result<Tip, Error> {
        check_branch(branch)?;
        let commit = self.rest.tip(branch).await?;
        let bytes = self.read_at(branch, &commit, path).await?;
        Ok(Tip { commit, bytes })
    }

    async fn read_at(&self, branch: &str, commit: &str, path: &str) -> Result<Vec<u8>, Error> {
        check_branch(branch)?;
        check_path(path)?;
        let tree = self.rest.tree_of(commit).await?;
        let file = self.rest.file(commit, &tree, path).await?;
        self.rest.bytes(&file.blob).await
    }

    async fn ensure_change(&self, change: &Change) -> Result<Filed, Error> {
        check_change(change)?;
        if let Some(pull) = self.rest.pull(&change.head).await? {
            return Ok(self.filed(change, pull, FiledOutcome::Existed).await);
        }
        let tip = self.rest.tip(&change.branch).await?;
        if tip != change.parent && !self.rest.is_ancestor(&change.parent, &tip).await? {
            return Err(Error::stopped(format!(
                "commit {} is no longer part of `{}`; was its history rewritten?",
                change.parent, change.branch
            )));
        }
        let commit = self.commit(change).await?;
        if tip == commit {
            return Ok(in_branch(
                change,
                commit,
                "the target branch holds it already",
            ));
        }
        self.ensure_branch(change, &commit).await?;
        self.create_pull(change, commit).await
    }

    async fn state(&self, change: &FiledChange) -> Result<ChangeState, Error> {
        check_branch(&change.branch)?;
        check_branch(&change.head)?;
        if let Some(pull) = self.rest.pull(&change.head).await? {
            return Ok(pull.state(&change.branch));
        }
        // What the branch held before there was a pull request has none.
        let tip = self.rest.tip(&change.branch).await?;
        match tip == change.commit || self.rest.is_ancestor(&change.commit, &tip).await? {
            true => Ok(ChangeState::Merged),
            false => Err(Error::stopped(format!(
                "there is no pull request of `{}`, and `{}` does not hold commit {}",
                change.head, change.branch, change.commit
            ))),
        }
    }

    async fn check(&self, target: Option<&Target>) -> Vec<Finding> {
        self.findings(target).await
    }
}

impl Github {
    /// Makes the commit, on no branch: the same one every time.
    async fn commit(&self, change: &Change) -> Result<String, Error> {
        let before = self.rest.tree_of(&change.parent).await?;
        let mut entries = Vec::new();
        for edit in &change.edits {
            let file = self.rest.file(&change.parent, &before, &edit.path).await?;
            entries.push(NewEntry {
                path: &edit.path,
                mode: file.mode,
                kind: "blob",
                sha: self.rest.create_blob(&edit.bytes).await?,
            });
        }
        let tree = self.rest.create_tree(&before, &entries).await?;
        if tree == before {
            return Err(Error::stopped(format!(
                "the change alters nothing in commit {}",
                change.parent
            )));
        }
        self.rest
            .create_commit(&NewCommit::of(change, &tree)?)
            .await
    }

    /// Makes the branch unless it is there; it must then hold the commit.
    async fn ensure_branch(&self, change: &Change, commit: &str) -> Result<(), Error> {
        let Some(refusal) = self.rest.create_branch(&change.head, commit).await? else {
            return Ok(());
        };
        match self.rest.branch(&change.head).await? {
            Some(found) if found == commit => Ok(()),
            Some(found) => Err(Error::stopped(format!(
                "a person pushed to `{}`: it holds commit {found}, which is left as it is; delete the branch to file again",
                change.head
            ))),
            None => Err(Error::stopped(self.without_branch(change, refusal).await?)),
        }
    }

    /// Why a branch could not be made that is not there.
    async fn without_branch(&self, change: &Change, refusal: String) -> Result<String, Error> {
        for (at, _) in change.head.match_indices('/') {
            let name = &change.head[..at];
            if self.rest.branch(name).await?.is_some() {
                return Ok(format!(
                    "the branch `{name}` is in the way of `{}`; git cannot have both, so rename it",
                    change.head
                ));
            }
        }
        Ok(refusal)
    }

    async fn create_pull(&self, change: &Change, commit: String) -> Result<Filed, Error> {
        let answer = self
            .rest
            .create_pull(&NewPull {
                title: &change.subject,
                head: &change.head,
                base: &change.branch,
                body: markdown(&change.body),
                draft: self.draft,
            })
            .await?;
        match made(&answer)? {
            PullMade::Made(pull) => Ok(self.filed(change, *pull, FiledOutcome::Created).await),
            PullMade::NothingNew(words) => Ok(in_branch(
                change,
                commit,
                &format!("the target branch holds it already ({words})"),
            )),
            PullMade::Refused(refusal) => match self.rest.pull(&change.head).await? {
                Some(pull) => Ok(self.filed(change, pull, FiledOutcome::Created).await),
                None => Err(refusal),
            },
        }
    }

    /// What GitHub holds, once labels and reviewers have been seen to, which may fail.
    async fn filed(&self, change: &Change, pull: Pull, outcome: FiledOutcome) -> Filed {
        let state = pull.state(&change.branch);
        let mut answer = pull.words(&change.branch);
        if state == ChangeState::Open {
            for remark in self.complete(&pull).await {
                answer.push_str("; ");
                answer.push_str(&remark);
            }
        }
        Filed {
            commit: pull.head.sha,
            branch: change.head.clone(),
            url: Some(pull.html_url),
            state,
            answer,
            outcome,
        }
    }

    /// Adds the labels and asks the reviewers that are missing; says what GitHub did not take.
    async fn complete(&self, pull: &Pull) -> Vec<String> {
        let labels = missing(&self.labels, pull.labels.iter().map(|label| &label.name));
        let reviewers = missing(
            &self.reviewers,
            pull.requested_reviewers.iter().map(|user| &user.login),
        );
        let teams = missing(
            &self.teams,
            pull.requested_teams.iter().map(|team| &team.slug),
        );
        let mut remarks = Vec::new();
        if !labels.is_empty()
            && let Err(error) = self.rest.add_labels(pull.number, &labels).await
        {
            remarks.push(format!("without labels: {}", error.answer()));
        }
        if !(reviewers.is_empty() && teams.is_empty())
            && let Err(error) = self.rest.ask(pull.number, &reviewers, &teams).await
        {
            remarks.push(format!("without reviewers: {}", error.answer()));
        }
        remarks
    }
}

/// Those wanted that are not there. Names that differ in case alone are one to GitHub.
fn missing<'a>(
    wanted: &'a [String],
    there: impl Iterator<Item = &'a String> + Clone,
) -> Vec<&'a str> {
    wanted
        .iter()
        .filter(|name| {
            !there
                .clone()
                .any(|other| other.to_lowercase() == name.to_lowercase())
        })
        .map(String::as_str)
        .collect()
}

/// A change that its branch holds without a pull request.
fn in_branch(change: &Change, commit: String, answer: &str) -> Filed {
    Filed {
        commit,
        branch: change.head.clone(),
        url: None,
        state: ChangeState::Merged,
        answer: answer.to_owned(),
        outcome: FiledOutcome::Existed,
    }
}
