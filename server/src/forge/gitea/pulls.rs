//! Finding a pull request.

use pinion_core::filing::FilingKey;
use serde::Deserialize;

use super::super::http::{Request, encoded};
use super::super::{Change, ChangeState, Error, FiledChange};
use super::Gitea;

/// How many of the newest pull requests are looked through for the trailer, in pages of 50.
const PAGES_MAX: usize = 4;

/// A pull request, as far as it matters.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Pull {
    pub(super) number: u64,
    pub(super) html_url: String,
    state: String,
    merged: bool,
    body: Option<String>,
    base: End,
    pub(super) head: End,
    labels: Option<Vec<Label>>,
    requested_reviewers: Option<Vec<User>>,
}

/// One of its two ends.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct End {
    #[serde(rename = "ref")]
    name: String,
    pub(super) sha: String,
}

/// A label of the repository or of its owner.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Label {
    pub(super) id: u64,
    pub(super) name: String,
}

/// An account.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct User {
    pub(super) login: String,
}

/// What a pull request is found by.
#[derive(Debug)]
pub(super) struct Sought<'a> {
    key: &'a FilingKey,
    branch: &'a str,
    head: &'a str,
}

impl<'a> From<&'a Change> for Sought<'a> {
    fn from(change: &'a Change) -> Self {
        Self {
            key: &change.key,
            branch: &change.branch,
            head: &change.head,
        }
    }
}

impl<'a> From<&'a FiledChange> for Sought<'a> {
    fn from(change: &'a FiledChange) -> Self {
        Self {
            key: &change.key,
            branch: &change.branch,
            head: &change.head,
        }
    }
}

impl Pull {
    /// What people have made of it.
    pub(super) fn state(&self) -> ChangeState {
        match (self.merged, self.state.as_str()) {
            (true, _) => ChangeState::Merged,
            (false, "closed") => ChangeState::Declined,
            (false, _) => ChangeState::Open,
        }
    }

    pub(super) fn has_label(&self, name: &str) -> bool {
        let labels = self.labels.as_deref().unwrap_or_default();
        labels.iter().any(|label| label.name == name)
    }

    pub(super) fn has_reviewer(&self, login: &str) -> bool {
        let asked = self.requested_reviewers.as_deref().unwrap_or_default();
        asked
            .iter()
            .any(|user| user.login.eq_ignore_ascii_case(login))
    }

    /// Whether it is for the branch, and holds the branch sought or has the trailer.
    fn is(&self, sought: &Sought<'_>) -> bool {
        let trailer = format!("Filing-Id: {}", sought.key);
        let body = self.body.as_deref().unwrap_or_default();
        self.base.name == sought.branch
            && (self.head.name == sought.head || body.lines().any(|line| line.trim() == trailer))
    }
}

impl Gitea {
    /// The pull request, whatever has become of it: by its topic, by its branch, and by its trailer, in case the account is
    /// another one than when it was filed.
    pub(super) async fn find(&self, sought: &Sought<'_>) -> Result<Option<Pull>, Error> {
        let topic = format!("{}/{}", self.login().await?.to_lowercase(), sought.head);
        for head in [topic.as_str(), sought.head] {
            if let Some(pull) = self.find_by_ends(sought.branch, head).await? {
                return Ok(Some(pull));
            }
        }
        for page in 1..=PAGES_MAX {
            let pulls = self.page(page).await?;
            if pulls.is_empty() {
                break;
            }
            if let Some(pull) = pulls.into_iter().find(|pull| pull.is(sought)) {
                return Ok(Some(pull));
            }
        }
        Ok(None)
    }

    async fn find_by_ends(&self, base: &str, head: &str) -> Result<Option<Pull>, Error> {
        let path = format!("{}/pulls/{}/{}", self.path, encoded(base), encoded(head));
        let answer = self.api.send(&Request::get(path)).await?;
        match answer.found()? {
            Some(answer) => Ok(Some(answer.json()?)),
            None => Ok(None),
        }
    }

    /// A page of all pull requests, the newest first.
    async fn page(&self, page: usize) -> Result<Vec<Pull>, Error> {
        let path = format!("{}/pulls?state=all&limit=50&page={page}", self.path);
        let answer = self.api.send(&Request::get(path)).await?;
        match answer.found()? {
            Some(answer) => answer.json(),
            None => Err(self.unseen()),
        }
    }

    /// The server does not tell a repository that is not there from one that may not be seen.
    pub(super) fn unseen(&self) -> Error {
        Error::stopped(format!(
            "`{}` is not there, takes no pull requests, or is not for this token to see",
            self.full_name
        ))
    }
}
