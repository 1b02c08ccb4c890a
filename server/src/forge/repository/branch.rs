//! A new branch that holds a change. No branch that exists is moved.

use super::super::{Change, Error, FiledOutcome};
use super::{Destination, Repository};

/// What the two branches of a change hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::forge) struct Tips {
    /// The tip of the branch that the change is for.
    pub(in crate::forge) target: String,
    /// The tip of the branch that holds the change, if it exists.
    pub(in crate::forge) head: Option<String>,
}

/// How a branch came to hold the commit of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::forge) struct Held {
    pub(in crate::forge) outcome: FiledOutcome,
    /// What the forge said, in words.
    pub(in crate::forge) answer: String,
}

impl Repository {
    /// The tips of the change's branches; the one that it is for must exist, and nothing be in the way of the other.
    pub(in crate::forge) async fn tips(&self, change: &Change) -> Result<Tips, Error> {
        let folders = change.head.match_indices('/');
        let in_the_way: Vec<&str> = folders.map(|(at, _)| &change.head[..at]).collect();
        let names = [
            &[change.branch.as_str(), change.head.as_str()],
            in_the_way.as_slice(),
        ]
        .concat();
        let mut branches = self.branches(&names).await?;
        if let Some(name) = in_the_way.iter().find(|name| branches.contains_key(**name)) {
            return Err(Error::stopped(format!(
                "the branch `{name}` is in the way of `{}`; git cannot have both, so rename it",
                change.head
            )));
        }
        match branches.remove(&change.branch) {
            Some(target) => Ok(Tips {
                target,
                head: branches.remove(&change.head),
            }),
            None => Err(Error::stopped(format!(
                "the branch `{}` does not exist",
                change.branch
            ))),
        }
    }

    /// Makes sure that the change's branch, which had `found` at its tip, holds the commit of the change.
    pub(in crate::forge) async fn ensure_head(
        &self,
        change: &Change,
        commit: &str,
        found: Option<&str>,
    ) -> Result<Held, Error> {
        match found {
            Some(found) if found == commit => Ok(Held {
                outcome: FiledOutcome::Existed,
                answer: "the branch holds it already".to_owned(),
            }),
            Some(found) => Err(other_push(change, found)),
            None => self.push_head(change, commit).await,
        }
    }

    /// Pushes the commit as a new branch, then looks what is there: the answer to a push may be lost.
    async fn push_head(&self, change: &Change, commit: &str) -> Result<Held, Error> {
        let reference = format!("refs/heads/{}", change.head);
        let destination = Destination {
            reference: &reference,
            only_if_new: true,
            options: &[],
        };
        let pushed = self.push(change, &destination).await;
        match (self.tips(change).await?.head, pushed) {
            (Some(found), pushed) if found == commit => Ok(Held {
                outcome: FiledOutcome::Created,
                answer: pushed.map_or_else(
                    |_| "the branch holds it".to_owned(),
                    |pushed| pushed.summary,
                ),
            }),
            (Some(found), _) => Err(other_push(change, &found)),
            (None, Err(error)) => Err(error),
            (None, Ok(pushed)) if pushed.is_refused => Err(pushed.refusal()),
            (None, Ok(pushed)) => Err(Error::retry(format!(
                "the push was accepted ({}), but the branch does not exist",
                pushed.summary
            ))),
        }
    }
}

/// The change's branch holds something else.
pub(in crate::forge) fn other_push(change: &Change, found: &str) -> Error {
    Error::stopped(format!(
        "a person pushed to `{}`: it holds commit {found}, which is left as it is; delete the branch to file again",
        change.head
    ))
}
