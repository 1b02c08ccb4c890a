//! Opening a pull request for a branch, and asking for labels and reviewers.

use serde::Serialize;

use super::super::http::{Method, Request, encoded};
use super::super::{Change, Error};
use super::pulls::{Label, Pull, Sought};
use super::{DRAFT, Gitea};

/// How many pages of labels are read, of 50 each.
const LABEL_PAGES_MAX: usize = 20;

#[derive(Serialize)]
struct NewPull<'a> {
    head: &'a str,
    base: &'a str,
    title: String,
    body: &'a str,
}

#[derive(Serialize)]
struct Labels {
    labels: Vec<u64>,
}

#[derive(Serialize)]
struct Reviewers<'a> {
    reviewers: [&'a str; 1],
}

impl Gitea {
    /// Opens a pull request for the change's branch, unless another server has done so meanwhile.
    pub(super) async fn request(&self, change: &Change) -> Result<Pull, Error> {
        let mark = if self.is_draft { DRAFT } else { "" };
        let pull = NewPull {
            head: &change.head,
            base: &change.branch,
            title: format!("{mark}{}", change.subject),
            body: &change.body,
        };
        let path = format!("{}/pulls", self.path);
        let request = Request::new(Method::POST, path).json(&pull)?;
        let answer = self.api.send(&request).await?;
        match answer.status {
            409 => match self.find(&Sought::from(change)).await? {
                Some(pull) => Ok(pull),
                None => Err(Error::retry(answer.words())),
            },
            _ => answer.succeeded()?.json(),
        }
    }

    /// Asks for the labels and reviewers that the pull request lacks; gives what went wrong, in words.
    pub(super) async fn furnish(&self, pull: &Pull) -> Vec<String> {
        let mut remarks = Vec::new();
        let lacking: Vec<_> = self
            .labels
            .iter()
            .filter(|name| !pull.has_label(name))
            .collect();
        if !lacking.is_empty() {
            match self.label(pull, &lacking).await {
                Ok(unknown) => remarks.extend(unknown),
                Err(error) => remarks.push(format!("it has no labels: {}", error.answer())),
            }
        }
        for login in self
            .reviewers
            .iter()
            .filter(|login| !pull.has_reviewer(login))
        {
            if let Err(error) = self.ask(pull, login).await {
                remarks.push(format!("`{login}` was not asked: {}", error.answer()));
            }
        }
        remarks
    }

    /// Gives it the labels; gives which ones there are not.
    async fn label(&self, pull: &Pull, names: &[&String]) -> Result<Vec<String>, Error> {
        let (mut ids, mut unknown) = (Vec::new(), Vec::new());
        let known = self.known_labels().await?;
        for name in names {
            match known.iter().find(|label| label.name == **name) {
                Some(label) => ids.push(label.id),
                None => unknown.push(format!("there is no label `{name}`")),
            }
        }
        if !ids.is_empty() {
            let path = format!("{}/issues/{}/labels", self.path, pull.number);
            let request = Request::new(Method::POST, path).json(&Labels { labels: ids })?;
            self.api.send(&request).await?.succeeded()?;
        }
        Ok(unknown)
    }

    /// The labels of the repository, and of the organisation that owns it.
    pub(super) async fn known_labels(&self) -> Result<Vec<Label>, Error> {
        let owner = self.full_name.split('/').next().unwrap_or_default();
        let mut known = Vec::new();
        for place in [self.path.clone(), format!("/orgs/{}", encoded(owner))] {
            for page in 1..=LABEL_PAGES_MAX {
                let path = format!("{place}/labels?limit=50&page={page}");
                let answer = self.api.send(&Request::get(path)).await?;
                // A person is no organisation, and a token may see one but not the other.
                if !answer.is_success() && place != self.path {
                    break;
                }
                let labels: Vec<Label> = answer.succeeded()?.json()?;
                if labels.is_empty() {
                    break;
                }
                known.extend(labels);
            }
        }
        Ok(known)
    }

    /// Each one by itself, since the server asks none where it does not know one.
    async fn ask(&self, pull: &Pull, login: &str) -> Result<(), Error> {
        let path = format!("{}/pulls/{}/requested_reviewers", self.path, pull.number);
        let reviewers = Reviewers { reviewers: [login] };
        let request = Request::new(Method::POST, path).json(&reviewers)?;
        self.api.send(&request).await?.succeeded()?;
        Ok(())
    }
}
