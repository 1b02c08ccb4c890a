//! Finding a merge request, and opening one.

use serde::{Deserialize, Serialize};

use super::super::http::{Answer, Method, Request, encoded};
use super::super::{Change, ChangeState, Error, FiledChange};
use super::GitLab;

/// What makes a merge request a draft, at the beginning of its title.
const DRAFT: &str = "Draft: ";

/// A merge request, as far as it matters.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct MergeRequest {
    pub(super) iid: u64,
    pub(super) web_url: String,
    /// `opened`, `locked` while it is being merged, `merged` or `closed`.
    state: String,
    /// The commit at the tip of its source branch.
    pub(super) sha: String,
    source_project_id: Option<u64>,
    target_project_id: u64,
}

/// What a merge request is found by.
#[derive(Debug)]
pub(super) struct Sought<'a> {
    source: &'a str,
    target: &'a str,
}

#[derive(Serialize)]
struct NewMergeRequest<'a> {
    source_branch: &'a str,
    target_branch: &'a str,
    title: String,
    description: String,
    remove_source_branch: bool,
    #[serde(skip_serializing_if = "str::is_empty")]
    labels: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reviewer_ids: Vec<u64>,
}

#[derive(Deserialize)]
struct User {
    id: u64,
}

impl<'a> From<&'a Change> for Sought<'a> {
    fn from(change: &'a Change) -> Self {
        Self {
            source: &change.head,
            target: &change.branch,
        }
    }
}

impl<'a> From<&'a FiledChange> for Sought<'a> {
    fn from(change: &'a FiledChange) -> Self {
        Self {
            source: &change.head,
            target: &change.branch,
        }
    }
}

impl MergeRequest {
    /// What people have made of it.
    pub(super) fn state(&self) -> ChangeState {
        match self.state.as_str() {
            "merged" => ChangeState::Merged,
            "closed" => ChangeState::Declined,
            _ => ChangeState::Open,
        }
    }
}

impl GitLab {
    /// The merge request, whatever has become of it. Of several, one that is open, else a merged one, else the newest.
    pub(super) async fn find(&self, sought: &Sought<'_>) -> Result<Option<MergeRequest>, Error> {
        let path = format!(
            "{}/merge_requests?state=all&per_page=100&source_branch={}&target_branch={}",
            self.path,
            encoded(sought.source),
            encoded(sought.target)
        );
        let answer = self.api.send(&Request::get(path)).await?;
        let Some(answer) = answer.found()? else {
            return Err(self.unseen());
        };
        let found: Vec<MergeRequest> = answer.json()?;
        let rank = |request: &MergeRequest| match request.state() {
            ChangeState::Open => 2,
            ChangeState::Merged => 1,
            ChangeState::Declined => 0,
        };
        Ok(found
            .into_iter()
            // A fork may have a branch of the same name.
            .filter(|request| request.source_project_id == Some(request.target_project_id))
            .max_by_key(|request| (rank(request), request.iid)))
    }

    /// Opens a merge request for the change's branch, unless another server has done so meanwhile; with it, what went wrong
    /// beside.
    pub(super) async fn request(
        &self,
        change: &Change,
    ) -> Result<(MergeRequest, Vec<String>), Error> {
        let (reviewer_ids, remarks) = self.reviewer_ids().await;
        let mark = if self.is_draft { DRAFT } else { "" };
        let new = NewMergeRequest {
            source_branch: &change.head,
            target_branch: &change.branch,
            title: format!("{mark}{}", change.subject),
            description: without_commands(&change.body),
            remove_source_branch: true,
            labels: &self.labels,
            reviewer_ids,
        };
        let path = format!("{}/merge_requests", self.path);
        let request = Request::new(Method::POST, path).json(&new)?;
        let answer = self.api.send(&request).await?;
        match answer.status {
            404 => Err(self.unseen()),
            403 => Err(Error::stopped(format!(
                "{}; the token needs the scope `api` and the role Developer",
                answer.words()
            ))),
            409 => match self.find(&Sought::from(change)).await? {
                Some(found) => Ok((found, remarks)),
                None => Err(Error::retry(answer.words())),
            },
            400 | 422 if is_about_source(&answer) => Err(Error::retry(answer.words())),
            _ => Ok((answer.succeeded()?.json()?, remarks)),
        }
    }

    /// The numbers of those who are asked to review, and who was not found.
    async fn reviewer_ids(&self) -> (Vec<u64>, Vec<String>) {
        let (mut ids, mut remarks) = (Vec::new(), Vec::new());
        for name in &self.reviewers {
            match self.user(name).await {
                Ok(Some(user)) => ids.push(user.id),
                Ok(None) => remarks.push(format!("there is no user `{name}` to ask")),
                Err(error) => remarks.push(format!("`{name}` was not asked: {}", error.answer())),
            }
        }
        (ids, remarks)
    }

    async fn user(&self, name: &str) -> Result<Option<User>, Error> {
        let path = format!("/users?username={}", encoded(name));
        let answer = self.api.send(&Request::get(path)).await?;
        let users: Vec<User> = answer.succeeded()?.json()?;
        Ok(users.into_iter().next())
    }

    /// The server does not tell a project that is not there from one that may not be seen.
    pub(super) fn unseen(&self) -> Error {
        Error::stopped(format!(
            "`{}` is not there, or is not for this token to see",
            self.full_name
        ))
    }
}

/// Whether the server does not know the branch, which it has, yet: it learns of pushes a little later.
fn is_about_source(answer: &Answer) -> bool {
    let body = String::from_utf8_lossy(&answer.body).to_lowercase();
    (body.contains("source branch") || body.contains("source_branch")) && body.contains("exist")
}

/// The text, in which no line begins with `/`: GitLab would carry out such lines.
fn without_commands(text: &str) -> String {
    let lines = text.split('\n').map(|line| {
        let rest = line.trim_start();
        match rest.starts_with('/') {
            true => format!("{}\\{rest}", &line[..line.len() - rest.len()]),
            false => line.to_owned(),
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_of_the_text_is_a_command() {
        assert_eq!(
            without_commands("a /b\n/merge\n  /close\n\n//\n"),
            "a /b\n\\/merge\n  \\/close\n\n\\//\n"
        );
    }
}
