//! A repository on a Gitea, stand-in or real, with a person and our account.

use std::sync::Arc;

use pinion_server::forge::{Change, FiledChange, Forge, ForgeConfig, Via, open};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::forge_http::Front;
use crate::forge_http::person::Person;
use crate::repository::Repository;
use crate::stand_in::{Gitea, Switches};

/// Our account's token on a stand-in.
pub(crate) const TOKEN: &str = "b0t-t0ken";
/// The labels that a repository has.
pub(crate) const LABELS: [&str; 2] = ["rollback", "dependencies"];

/// The repository.
pub(crate) struct Place {
    /// Its owner.
    pub ada: Person,
    /// Ada's own repository, from which she pushes.
    pub own: Repository,
    /// Our account's name.
    pub bot: String,
    work: TempDir,
}

impl Place {
    /// A fresh repository, with our account as a collaborator and the labels made. The token is our account's.
    pub(crate) async fn new(ada: Person, bot: &str, token: &str) -> Self {
        let place = Self {
            ada,
            own: Repository::new(),
            bot: bot.to_owned(),
            work: tempfile::tempdir().expect("a folder"),
        };
        place.write_token(token);
        place.push("master", "master").await;
        place
    }

    /// A stand-in of its own.
    pub(crate) async fn stand_in() -> (Self, Front, Arc<Switches>) {
        let gitea = Gitea::new();
        let (root, switches) = (gitea.root(), Arc::clone(&gitea.switches));
        let tokens = [(TOKEN, "bot"), ("ada-token", "ada")];
        let front = Front::start(root, gitea, &tokens).await;
        let ada = Person {
            url: front.url(),
            project: "ada/pins".into(),
            name: "ada".into(),
            token: "ada-token".into(),
            scheme: ("authorization", "token "),
            api: "/api/v1",
        };
        (Self::new(ada, "bot", TOKEN).await, front, switches)
    }

    /// Our account's token from now on.
    pub(crate) fn write_token(&self, token: &str) {
        std::fs::write(self.token_file(), token).expect("a file");
    }

    fn token_file(&self) -> std::path::PathBuf {
        self.work.path().join("token")
    }

    pub(crate) fn config(&self, via: Via) -> ForgeConfig {
        ForgeConfig {
            project: Some(self.ada.project.clone()),
            via: Some(via),
            password_file: Some(self.token_file()),
            author_email: "pinion@example.org".into(),
            ..ForgeConfig::new("pins".parse().expect("a name"), "gitea", &self.ada.url)
        }
    }

    /// A forge that works in a folder of its own.
    pub(crate) fn forge_with(&self, config: &ForgeConfig) -> Arc<dyn Forge> {
        let folder = tempfile::tempdir_in(self.work.path()).expect("a folder");
        open(config, &folder.keep()).expect("a forge")
    }

    pub(crate) fn forge(&self, via: Via) -> Arc<dyn Forge> {
        self.forge_with(&self.config(via))
    }

    /// The rollback of tooz on top of Ada's `master`.
    pub(crate) fn change(&self) -> Change {
        self.own.rollback()
    }

    /// A path of the repository in the API.
    pub(crate) fn at(&self, path: &str) -> String {
        format!("/repos/{}{path}", self.ada.project)
    }

    /// Ada pushes a commit of her own repository to a branch; a real server takes a moment to see it.
    pub(crate) async fn push(&self, commit: &str, branch: &str) {
        let commit = self.own.git(&["rev-parse", commit]);
        let refspec = format!("{commit}:refs/heads/{branch}");
        self.ada.push(&self.own, &refspec);
        let path = self.at(&format!("/branches/{branch}"));
        for _ in 0..100 {
            let (_, found) = self.ada.ask("GET", &path, None).await;
            let (_, project) = self.ada.ask("GET", &self.at(""), None).await;
            if found["commit"]["id"] == commit.as_str() && project["empty"] == false {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("the server does not see what was pushed to `{branch}`");
    }

    /// All pull requests, whatever became of them.
    pub(crate) async fn pulls(&self) -> Vec<Value> {
        let path = self.at("/pulls?state=all&limit=50");
        let pulls = self.ada.must("GET", &path, None).await;
        pulls.as_array().expect("a list").clone()
    }

    /// The only pull request there is.
    pub(crate) async fn pull(&self) -> Value {
        let pulls = self.pulls().await;
        let [pull] = pulls.as_slice() else {
            panic!("one pull request, not {}", pulls.len());
        };
        pull.clone()
    }

    /// Ada merges it; a real server takes a moment to see whether it can.
    pub(crate) async fn merge(&self, pull: &Value) {
        let path = self.at(&format!("/pulls/{}/merge", pull["number"]));
        for _ in 0..100 {
            let (status, _) = self
                .ada
                .ask("POST", &path, Some(json!({"Do": "squash"})))
                .await;
            if status == 200 {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        panic!("it cannot be merged");
    }

    /// Ada lets our account read and no more.
    pub(crate) async fn as_reader(&self) {
        let path = self.at(&format!("/collaborators/{}", self.bot));
        let read = json!({"permission": "read"});
        self.ada.must("PUT", &path, Some(read)).await;
    }

    /// Ada closes it.
    pub(crate) async fn close(&self, pull: &Value) {
        let path = self.at(&format!("/pulls/{}", pull["number"]));
        let closed = json!({"state": "closed"});
        self.ada.must("PATCH", &path, Some(closed)).await;
    }
}

/// What a change is found by later on.
pub(crate) fn filed_change(change: &Change, commit: &str) -> FiledChange {
    FiledChange {
        key: change.key.clone(),
        branch: change.branch.clone(),
        head: change.head.clone(),
        commit: commit.to_owned(),
    }
}
