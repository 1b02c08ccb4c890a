//! GitHub's requests and answers, one method a request.
//!
//! Files are read by trees and blobs rather than as "contents": those follow symbolic links and tell no modes.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};

use super::super::http::{Answer, Api, Method, Request, Scheme, encoded};
use super::super::{Change, ChangeState, ConfigError, Error, ForgeConfig};
use super::place::Place;
use super::words::refusal;

/// The version of the API that this is written for.
const VERSION: &str = "2022-11-28";
/// The least time between two requests that write, as GitHub asks.
const WRITE_PAUSE: Duration = Duration::from_secs(1);

/// The API of one repository, with one request at a time.
#[derive(Debug)]
pub(super) struct Rest {
    api: Api,
    /// Such as `/repos/openstack/requirements`.
    repository: String,
    project: String,
    owner: String,
    /// When the last request that wrote ended; whoever holds it has the turn.
    last_write: Mutex<Option<Instant>>,
}

/// A file in a commit.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct File {
    pub(super) mode: String,
    pub(super) blob: String,
}

/// A pull request.
#[derive(Debug, Deserialize)]
pub(super) struct Pull {
    pub(super) number: u64,
    pub(super) html_url: String,
    pub(super) head: Head,
    base: Base,
    state: String,
    merged_at: Option<String>,
    #[serde(default)]
    pub(super) labels: Vec<Label>,
    #[serde(default)]
    pub(super) requested_reviewers: Vec<User>,
    #[serde(default)]
    pub(super) requested_teams: Vec<Team>,
}

/// The branch that a pull request is for.
#[derive(Debug, Deserialize)]
struct Base {
    #[serde(rename = "ref")]
    name: String,
}

/// The branch that a pull request is of.
#[derive(Debug, Deserialize)]
pub(super) struct Head {
    #[serde(rename = "ref")]
    name: String,
    pub(super) sha: String,
    /// None where it has been deleted.
    repo: Option<Named>,
}

/// A repository by its name.
#[derive(Debug, Deserialize)]
struct Named {
    full_name: String,
}

/// A label.
#[derive(Debug, Deserialize)]
pub(super) struct Label {
    pub(super) name: String,
}

/// A user.
#[derive(Debug, Deserialize)]
pub(super) struct User {
    pub(super) login: String,
}

/// A team.
#[derive(Debug, Deserialize)]
pub(super) struct Team {
    pub(super) slug: String,
}

/// The repository as far as we use it.
#[derive(Debug, Deserialize)]
pub(super) struct Overview {
    pub(super) full_name: String,
    pub(super) default_branch: String,
    #[serde(default)]
    pub(super) archived: bool,
    pub(super) permissions: Option<Permissions>,
}

/// What the account may do, whatever its token says.
#[derive(Debug, Deserialize)]
pub(super) struct Permissions {
    #[serde(default)]
    pub(super) push: bool,
}

/// A file of a tree that is to be made.
#[derive(Debug, Serialize)]
pub(super) struct NewEntry<'a> {
    pub(super) path: &'a str,
    pub(super) mode: String,
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) sha: String,
}

/// A commit that is to be made.
#[derive(Debug, Serialize)]
pub(super) struct NewCommit<'a> {
    message: String,
    tree: &'a str,
    parents: [&'a str; 1],
    author: NewSignature<'a>,
    committer: NewSignature<'a>,
}

#[derive(Clone, Debug, Serialize)]
struct NewSignature<'a> {
    name: &'a str,
    email: &'a str,
    date: String,
}

/// A pull request that is to be made.
#[derive(Debug, Serialize)]
pub(super) struct NewPull<'a> {
    pub(super) title: &'a str,
    pub(super) head: &'a str,
    pub(super) base: &'a str,
    pub(super) body: String,
    pub(super) draft: bool,
}

#[derive(Deserialize)]
struct Object {
    sha: String,
}

#[derive(Deserialize)]
struct Reference {
    object: Object,
}

impl NewCommit<'_> {
    /// The commit of the change with this tree; the message as `git commit-tree` ends it.
    pub(super) fn of<'a>(change: &'a Change, tree: &'a str) -> Result<NewCommit<'a>, Error> {
        let at = Timestamp::from_second(change.at_unix_s)
            .map_err(|error| Error::stopped(format!("the date is none: {error}")))?;
        let person = NewSignature {
            name: &change.author.name,
            email: &change.author.email,
            date: at.to_string(),
        };
        Ok(NewCommit {
            message: format!("{}\n\n{}\n", change.subject, change.body),
            tree,
            parents: [&change.parent],
            author: person.clone(),
            committer: person,
        })
    }
}

impl Pull {
    /// What has become of it, for the branch that it was filed for.
    pub(super) fn state(&self, branch: &str) -> ChangeState {
        match (self.state.as_str(), &self.merged_at) {
            ("open", _) => ChangeState::Open,
            (_, Some(_)) if self.base.name == branch => ChangeState::Merged,
            _ => ChangeState::Declined,
        }
    }

    /// Which it is, in words.
    pub(super) fn words(&self, branch: &str) -> String {
        let number = self.number;
        match self.base.name == branch {
            true => format!("pull request {number}"),
            false => format!(
                "pull request {number}, which a person has aimed at `{}` instead",
                self.base.name
            ),
        }
    }

    /// Whether it is of this branch of this repository, rather than of a fork's.
    fn is_of(&self, project: &str, head: &str) -> bool {
        let is_ours = |repo: &Named| repo.full_name.eq_ignore_ascii_case(project);
        self.head.name == head && self.head.repo.as_ref().is_some_and(is_ours)
    }
}

impl Rest {
    /// The API; nothing is contacted.
    pub(super) fn open(config: &ForgeConfig, place: &Place) -> Result<Self, ConfigError> {
        Ok(Self {
            api: Api::open(config, &place.api_url, Scheme::Bearer)?,
            repository: format!("/repos/{}", place.project),
            project: place.project.clone(),
            owner: place.owner.clone(),
            last_write: Mutex::default(),
        })
    }

    /// Who the token belongs to: an account, or an installation of an app.
    pub(super) async fn account(&self) -> Result<Answer, Error> {
        self.send(Request::get("/user")).await
    }

    /// What an installation of an app may see; refused to accounts.
    pub(super) async fn installation(&self) -> Result<Answer, Error> {
        self.send(Request::get("/installation/repositories?per_page=1"))
            .await
    }

    /// The repository.
    pub(super) async fn overview(&self) -> Result<Overview, Error> {
        let answer = self.get("").await?;
        match answer.status {
            404 => Err(Error::stopped(self.unseen())),
            _ => expected(&answer),
        }
    }

    /// Whether the branch is protected.
    pub(super) async fn is_protected(&self, branch: &str) -> Result<bool, Error> {
        #[derive(Deserialize)]
        struct Branch {
            protected: bool,
        }
        let answer = self.get(&format!("/branches/{}", encoded(branch))).await?;
        Ok(self
            .found::<Branch>(&answer, || no_branch(branch))
            .await?
            .protected)
    }

    /// The commit at the tip of a branch, which must exist.
    pub(super) async fn tip(&self, branch: &str) -> Result<String, Error> {
        let answer = self.reference(branch).await?;
        let reference: Reference = self.found(&answer, || no_branch(branch)).await?;
        Ok(reference.object.sha)
    }

    /// The commit at the tip of a branch, if it exists.
    pub(super) async fn branch(&self, name: &str) -> Result<Option<String>, Error> {
        let answer = self.reference(name).await?;
        match answer.status {
            404 => Ok(None),
            _ => Ok(Some(expected::<Reference>(&answer)?.object.sha)),
        }
    }

    async fn reference(&self, branch: &str) -> Result<Answer, Error> {
        self.get(&format!("/git/ref/{}", encoded(&format!("heads/{branch}"))))
            .await
    }

    /// Whether the history that ends in `tip` holds the commit.
    pub(super) async fn is_ancestor(&self, commit: &str, tip: &str) -> Result<bool, Error> {
        #[derive(Deserialize)]
        struct Comparison {
            status: String,
        }
        // The files, which may be many, come with the first page alone.
        let path = format!(
            "/compare/{}...{}?per_page=1&page=2",
            encoded(commit),
            encoded(tip)
        );
        let answer = self.get(&path).await?;
        if answer.status == 404 {
            return Ok(false);
        }
        let comparison: Comparison = expected(&answer)?;
        Ok(matches!(comparison.status.as_str(), "ahead" | "identical"))
    }

    /// The tree of a commit.
    pub(super) async fn tree_of(&self, commit: &str) -> Result<String, Error> {
        #[derive(Deserialize)]
        struct Commit {
            tree: Object,
        }
        let answer = self
            .get(&format!("/git/commits/{}", encoded(commit)))
            .await?;
        let gone = || {
            format!("commit {commit} is no longer in the repository; was its history rewritten?")
        };
        Ok(self.found::<Commit>(&answer, gone).await?.tree.sha)
    }

    /// The regular file at `path` below the tree of a commit; an error says what else stands there.
    pub(super) async fn file(&self, commit: &str, tree: &str, path: &str) -> Result<File, Error> {
        let not = |what: &str| Error::stopped(format!("`{path}` {what} in commit {commit}"));
        let mut tree = tree.to_owned();
        let mut parts = path.split('/').peekable();
        while let Some(part) = parts.next() {
            let listing = self.listing(&tree).await?;
            let Some(entry) = listing.tree.into_iter().find(|entry| entry.path == part) else {
                return Err(match listing.truncated {
                    true => not("is in a folder of more files than GitHub lists"),
                    false => not("does not exist"),
                });
            };
            match (entry.mode.as_str(), parts.peek().is_some()) {
                ("100644" | "100755", false) => {
                    return Ok(File {
                        mode: entry.mode,
                        blob: entry.sha,
                    });
                }
                ("040000", true) => tree = entry.sha,
                ("040000", false) => return Err(not("is a folder, not a file")),
                ("120000", false) => return Err(not("is a symbolic link, not a file")),
                ("160000", false) => return Err(not("is a submodule, not a file")),
                _ => return Err(not("does not exist")),
            }
        }
        Err(not("does not exist"))
    }

    async fn listing(&self, tree: &str) -> Result<Listing, Error> {
        expected(&self.get(&format!("/git/trees/{}", encoded(tree))).await?)
    }

    /// The bytes of a blob, of whatever encoding.
    pub(super) async fn bytes(&self, blob: &str) -> Result<Vec<u8>, Error> {
        #[derive(Deserialize)]
        struct Blob {
            content: String,
            encoding: String,
        }
        let answer = self.get(&format!("/git/blobs/{}", encoded(blob))).await?;
        let Blob { content, encoding } = expected(&answer)?;
        let text: String = content.split_ascii_whitespace().collect();
        match (encoding.as_str(), STANDARD.decode(text)) {
            ("base64", Ok(bytes)) => Ok(bytes),
            _ => Err(Error::stopped(format!(
                "blob {blob} came in an unknown encoding, `{}`",
                encoding.escape_debug()
            ))),
        }
    }

    /// The pull request of a branch of this repository: of several an open one, else a merged one.
    pub(super) async fn pull(&self, head: &str) -> Result<Option<Pull>, Error> {
        let path = format!(
            "/pulls?state=all&per_page=100&head={}",
            encoded(&format!("{}:{head}", self.owner))
        );
        let answer = self.get(&path).await?;
        let pulls: Vec<Pull> = self.found(&answer, || refusal(&answer)).await?;
        Ok(pulls
            .into_iter()
            .filter(|pull| pull.is_of(&self.project, head))
            .max_by_key(|pull| (pull.state == "open", pull.merged_at.is_some())))
    }

    /// Makes a blob and gives its id.
    pub(super) async fn create_blob(&self, bytes: &[u8]) -> Result<String, Error> {
        #[derive(Serialize)]
        struct NewBlob {
            content: String,
            encoding: &'static str,
        }
        let body = NewBlob {
            content: STANDARD.encode(bytes),
            encoding: "base64",
        };
        self.create("/git/blobs", &body).await
    }

    /// Makes a tree out of another one and gives its id.
    pub(super) async fn create_tree(
        &self,
        base: &str,
        entries: &[NewEntry<'_>],
    ) -> Result<String, Error> {
        #[derive(Serialize)]
        struct NewTree<'a> {
            base_tree: &'a str,
            tree: &'a [NewEntry<'a>],
        }
        let body = NewTree {
            base_tree: base,
            tree: entries,
        };
        self.create("/git/trees", &body).await
    }

    /// Makes a commit and gives its id.
    pub(super) async fn create_commit(&self, commit: &NewCommit<'_>) -> Result<String, Error> {
        self.create("/git/commits", commit).await
    }

    /// Makes a branch; `Some` with the reason where it cannot be made, perhaps since it is there.
    pub(super) async fn create_branch(
        &self,
        name: &str,
        commit: &str,
    ) -> Result<Option<String>, Error> {
        #[derive(Serialize)]
        struct NewReference<'a> {
            #[serde(rename = "ref")]
            name: String,
            sha: &'a str,
        }
        let body = NewReference {
            name: format!("refs/heads/{name}"),
            sha: commit,
        };
        let answer = self.post("/git/refs", &body).await?;
        match answer.status {
            409 | 422 => Ok(Some(refusal(&answer))),
            _ => expected::<Reference>(&answer).map(|_| None),
        }
    }

    /// Asks for a pull request; the answer may be that there is one.
    pub(super) async fn create_pull(&self, pull: &NewPull<'_>) -> Result<Answer, Error> {
        self.post("/pulls", pull).await
    }

    /// Adds labels, which are made where the repository has none of the name.
    pub(super) async fn add_labels(&self, pull: u64, labels: &[&str]) -> Result<(), Error> {
        #[derive(Serialize)]
        struct NewLabels<'a> {
            labels: &'a [&'a str],
        }
        let answer = self
            .post(&format!("/issues/{pull}/labels"), &NewLabels { labels })
            .await?;
        succeeded(&answer)
    }

    /// Asks people and teams for a review.
    pub(super) async fn ask(
        &self,
        pull: u64,
        reviewers: &[&str],
        team_reviewers: &[&str],
    ) -> Result<(), Error> {
        #[derive(Serialize)]
        struct NewReviewers<'a> {
            reviewers: &'a [&'a str],
            team_reviewers: &'a [&'a str],
        }
        let body = NewReviewers {
            reviewers,
            team_reviewers,
        };
        let answer = self
            .post(&format!("/pulls/{pull}/requested_reviewers"), &body)
            .await?;
        succeeded(&answer)
    }

    async fn create(&self, path: &str, body: &impl Serialize) -> Result<String, Error> {
        let answer = self.post(path, body).await?;
        Ok(expected::<Object>(&answer)?.sha)
    }

    async fn get(&self, path: &str) -> Result<Answer, Error> {
        self.send(Request::get(format!("{}{path}", self.repository)))
            .await
    }

    async fn post(&self, path: &str, body: &impl Serialize) -> Result<Answer, Error> {
        let path = format!("{}{path}", self.repository);
        self.send(Request::new(Method::POST, path).json(body)?)
            .await
    }

    async fn send(&self, request: Request) -> Result<Answer, Error> {
        let request = request
            .header("accept", "application/vnd.github+json")
            .header("x-github-api-version", VERSION);
        let mut last_write = self.last_write.lock().await;
        if request.is_read() {
            return self.api.send(&request).await;
        }
        if let Some(at) = *last_write {
            sleep_until(at + WRITE_PAUSE).await;
        }
        let answer = self.api.send(&request).await;
        *last_write = Some(Instant::now());
        answer
    }

    /// What was asked for; where GitHub says "not found", whether it is that or the whole repository.
    async fn found<T: DeserializeOwned>(
        &self,
        answer: &Answer,
        missing: impl Fn() -> String,
    ) -> Result<T, Error> {
        if answer.status != 404 {
            return expected(answer);
        }
        self.overview().await?;
        Err(Error::stopped(missing()))
    }

    fn unseen(&self) -> String {
        format!(
            "the repository `{}` does not exist, or the token may not see it",
            self.project
        )
    }
}

#[derive(Deserialize)]
struct Listing {
    tree: Vec<Entry>,
    truncated: bool,
}

#[derive(Deserialize)]
struct Entry {
    path: String,
    mode: String,
    sha: String,
}

fn no_branch(branch: &str) -> String {
    format!("the branch `{branch}` does not exist")
}

/// What a successful answer holds.
fn expected<T: DeserializeOwned>(answer: &Answer) -> Result<T, Error> {
    succeeded(answer)?;
    answer.json()
}

fn succeeded(answer: &Answer) -> Result<(), Error> {
    match answer.is_success() {
        true => Ok(()),
        false => Err(Error::stopped(refusal(answer))),
    }
}
