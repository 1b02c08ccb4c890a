//! A branch that holds the change, made by requests: first the branch at the change's parent, then the commit on it. Since
//! its dates are given, it is the very commit that git would have pushed, unless the server signs.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::super::http::{Answer, Method, Request, encoded};
use super::super::repository::other_push;
use super::super::{Change, Error, FileEdit, Signature};
use super::Gitea;

/// What the server adds to the message of a commit that it signs.
const CO_AUTHOR: &str = "Co-authored-by: ";

#[derive(Serialize)]
struct NewBranch<'a> {
    new_branch_name: &'a str,
    old_ref_name: &'a str,
    /// Older servers know this one only; they take it if it has not moved on.
    old_branch_name: &'a str,
}

#[derive(Serialize)]
struct NewCommit<'a> {
    branch: &'a str,
    message: String,
    author: &'a Signature,
    committer: &'a Signature,
    dates: Dates,
    files: Vec<File<'a>>,
}

#[derive(Serialize)]
struct Dates {
    author: String,
    committer: String,
}

#[derive(Serialize)]
struct File<'a> {
    operation: &'static str,
    path: &'a str,
    /// In base64.
    content: String,
    /// The blob that it takes the place of.
    sha: String,
}

/// What stands at a path.
#[derive(Deserialize)]
struct Contents {
    sha: String,
}

/// A commit, as far as it matters.
#[derive(Deserialize)]
struct Commit {
    commit: Inner,
    parents: Vec<Reference>,
}

#[derive(Deserialize)]
struct Inner {
    message: String,
    tree: Reference,
}

#[derive(Deserialize)]
struct Reference {
    sha: String,
}

impl Gitea {
    /// Makes sure that the change's branch, which had `found` at its tip, holds the change; goes on where another try ended.
    pub(super) async fn ensure_branch(
        &self,
        change: &Change,
        commit: &str,
        found: Option<String>,
    ) -> Result<(), Error> {
        let tip = match found {
            Some(tip) => tip,
            None => self.make_branch(change).await?,
        };
        if self.is_ours(change, commit, &tip).await? {
            return Ok(());
        }
        if tip != change.parent {
            return Err(other_push(change, &tip));
        }
        let answer = self.write(change).await?;
        match self.repository.tips(change).await?.head {
            Some(tip) if self.is_ours(change, commit, &tip).await? => Ok(()),
            Some(tip) if tip == change.parent => {
                answer.succeeded()?;
                Err(Error::retry("the branch does not hold the commit yet"))
            }
            Some(tip) => Err(other_push(change, &tip)),
            None => Err(Error::retry("the branch was deleted meanwhile")),
        }
    }

    /// Makes the branch at the change's parent, unless it has come into being meanwhile; gives its tip.
    async fn make_branch(&self, change: &Change) -> Result<String, Error> {
        let branch = NewBranch {
            new_branch_name: &change.head,
            old_ref_name: &change.parent,
            old_branch_name: &change.branch,
        };
        let path = format!("{}/branches", self.path);
        let request = Request::new(Method::POST, path).json(&branch)?;
        let answer = self.api.send(&request).await?;
        match self.repository.tips(change).await?.head {
            Some(tip) => Ok(tip),
            None => {
                answer.succeeded()?;
                Err(Error::retry("the branch does not exist yet"))
            }
        }
    }

    /// Commits the edits on the branch.
    async fn write(&self, change: &Change) -> Result<Answer, Error> {
        let mut files = Vec::new();
        for edit in &change.edits {
            files.push(File {
                operation: "update",
                path: &edit.path,
                content: STANDARD.encode(&edit.bytes),
                sha: self.blob(change, edit).await?,
            });
        }
        let date = date(change.at_unix_s)?;
        let commit = NewCommit {
            branch: &change.head,
            message: message(change),
            author: &change.author,
            committer: &change.author,
            dates: Dates {
                author: date.clone(),
                committer: date,
            },
            files,
        };
        let path = format!("{}/contents", self.path);
        let request = Request::new(Method::POST, path).json(&commit)?;
        self.api.send(&request).await
    }

    async fn blob(&self, change: &Change, edit: &FileEdit) -> Result<String, Error> {
        let parts: Vec<_> = edit.path.split('/').map(encoded).collect();
        let path = format!(
            "{}/contents/{}?ref={}",
            self.path,
            parts.join("/"),
            change.parent
        );
        let answer = self.api.send(&Request::get(path)).await?;
        Ok(answer.succeeded()?.json::<Contents>()?.sha)
    }

    /// Whether `tip` is the commit of the change, or that commit signed by the server.
    async fn is_ours(&self, change: &Change, commit: &str, tip: &str) -> Result<bool, Error> {
        if tip == commit {
            return Ok(true);
        }
        if tip == change.parent {
            return Ok(false);
        }
        let path = format!("{}/git/commits/{tip}?stat=false&files=false", self.path);
        let answer = self.api.send(&Request::get(path)).await?;
        let found: Commit = answer.succeeded()?.json()?;
        let message = message(change);
        let rest = found.commit.message.trim_end().strip_prefix(&message);
        let is_said_so =
            rest.is_some_and(|rest| rest.is_empty() || rest.trim_start().starts_with(CO_AUTHOR));
        let has_parent =
            matches!(found.parents.as_slice(), [parent] if parent.sha == change.parent);
        Ok(is_said_so
            && has_parent
            && found.commit.tree.sha == self.repository.tree(commit).await?)
    }
}

/// The message, as the server trims it.
fn message(change: &Change) -> String {
    let message = format!("{}\n\n{}", change.subject, change.body);
    message.trim().to_owned()
}

/// A date in UTC, such as `2026-03-02T10:15:00Z`.
fn date(unix_s: i64) -> Result<String, Error> {
    jiff::Timestamp::from_second(unix_s)
        .map(|date| date.to_string())
        .map_err(|error| Error::stopped(format!("the date of the change is out of range: {error}")))
}
