//! A plain branch in a git repository, by the `git` program.
//!
//! The commit is a pure function of the change, so looking for it, making it and looking again can
//! be repeated from any point. Nothing is merged, rebased or deleted, and no branch that exists is
//! moved.

mod answer;
mod check;
mod names;
mod program;
mod remote;
mod workspace;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Mutex;

use self::answer::{Meaning, condense, of_failure, of_refusal};
use self::names::{check_branch, check_change, check_path};
use self::program::{Call, Output, Program};
use self::remote::Remote;
pub(super) use self::remote::without_userinfo;
use self::workspace::Workspace;
use super::{Change, ConfigError, Error, Filed, FiledOutcome, Forge, ForgeConfig, Signature, Tip};

/// Where fetched commits are kept from being forgotten, in our own repository.
const FETCHED: &str = "refs/pinion/fetched";

/// A git repository that changes are pushed to, one branch a change.
#[derive(Debug)]
pub struct GitForge {
    remote: Remote,
    author: Signature,
    workspace: Workspace,
    turn: Mutex<()>,
}

/// Opens the forge; nothing is contacted. It works in `folder`, which can be deleted at any time.
pub fn open(config: &ForgeConfig, folder: &Path) -> Result<Arc<dyn Forge>, ConfigError> {
    let remote = Remote::parse(config.url.as_str(), config.password_file.as_deref())
        .map_err(|problem| config.error(problem))?;
    let folder = std::path::absolute(folder).map_err(|error| config.error(error.to_string()))?;
    let timeout = Duration::from_secs(config.timeout_s);
    let program = Program::new(
        folder.join("home"),
        remote.protocol,
        config.ca_file.clone(),
        timeout,
    );
    Ok(Arc::new(GitForge {
        remote,
        author: Signature {
            name: config.author_name.clone(),
            email: config.author_email.clone(),
        },
        workspace: Workspace::new(folder.join("repository"), program),
        turn: Mutex::new(()),
    }))
}

/// Why a step failed.
#[derive(Debug)]
enum Fault {
    /// Perhaps our own repository is damaged; it is made afresh and the step tried once more.
    Own(String),
    /// The forge cannot, or will not.
    Forge(Error),
}

impl Fault {
    fn stopped(answer: impl Into<String>) -> Self {
        Self::Forge(Error::Stopped {
            answer: answer.into(),
        })
    }

    fn io(error: &io::Error) -> Self {
        let answer = format!("the working folder of the forge cannot be used: {error}");
        Self::Forge(Error::Retry {
            answer,
            retry_after: None,
        })
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Forge(error)
    }
}

#[async_trait]
impl Forge for GitForge {
    fn project(&self) -> &str {
        &self.remote.url
    }

    fn author(&self) -> &Signature {
        &self.author
    }

    #[tracing::instrument(name = "forge read", skip_all, fields(project = self.project(), branch))]
    async fn read(&self, branch: &str, path: &str) -> Result<Tip, Error> {
        check_branch(branch)?;
        check_path(path)?;
        let _turn = self.turn.lock().await;
        let mut done = self.try_read(branch, path).await;
        if self.starts_afresh(done.as_ref().err()).await {
            done = self.try_read(branch, path).await;
        }
        done.map_err(|fault| self.error(fault))
    }

    #[tracing::instrument(name = "forge read at", skip_all, fields(project = self.project(), commit))]
    async fn read_at(&self, branch: &str, commit: &str, path: &str) -> Result<Vec<u8>, Error> {
        check_branch(branch)?;
        check_path(path)?;
        let _turn = self.turn.lock().await;
        let mut done = self.try_read_at(branch, commit, path).await;
        if self.starts_afresh(done.as_ref().err()).await {
            done = self.try_read_at(branch, commit, path).await;
        }
        done.map_err(|fault| self.error(fault))
    }

    #[tracing::instrument(name = "forge ensure change", skip_all, fields(project = self.project(), head = change.head))]
    async fn ensure_change(&self, change: &Change) -> Result<Filed, Error> {
        check_change(change)?;
        let _turn = self.turn.lock().await;
        let mut done = self.try_ensure_change(change).await;
        if self.starts_afresh(done.as_ref().err()).await {
            done = self.try_ensure_change(change).await;
        }
        done.map_err(|fault| self.error(fault))
    }

    #[tracing::instrument(name = "forge check", skip_all, fields(project = self.project()))]
    async fn check(&self) -> Result<String, Error> {
        let _turn = self.turn.lock().await;
        let mut done = self.try_check().await;
        if self.starts_afresh(done.as_ref().err()).await {
            done = self.try_check().await;
        }
        done.map_err(|fault| self.error(fault))
    }
}

impl GitForge {
    /// Whether our own repository seemed damaged and is gone now, so that a second try is worth it.
    async fn starts_afresh(&self, fault: Option<&Fault>) -> bool {
        let Some(Fault::Own(answer)) = fault else {
            return false;
        };
        tracing::warn!(
            answer = self.remote.redact(answer),
            "the forge's own repository is made afresh"
        );
        self.workspace.remove().await.is_ok()
    }

    fn error(&self, fault: Fault) -> Error {
        match fault {
            Fault::Forge(error) => error,
            Fault::Own(answer) => Error::Retry {
                answer: self.remote.redact(&answer),
                retry_after: None,
            },
        }
    }

    async fn try_read(&self, branch: &str, path: &str) -> Result<Tip, Fault> {
        self.workspace.ensure().await?;
        self.fetch(&format!("refs/heads/{branch}"), "--depth=1")
            .await?;
        let commit = self.workspace.resolve(FETCHED).await?;
        let file = self.workspace.file(&commit, path).await?;
        let bytes = self.workspace.bytes(&file.blob).await?;
        Ok(Tip { commit, bytes })
    }

    async fn try_read_at(&self, branch: &str, commit: &str, path: &str) -> Result<Vec<u8>, Fault> {
        self.workspace.ensure().await?;
        self.obtain(branch, commit, false).await?;
        let file = self.workspace.file(commit, path).await?;
        self.workspace.bytes(&file.blob).await
    }

    async fn try_ensure_change(&self, change: &Change) -> Result<Filed, Fault> {
        self.workspace.ensure().await?;
        let branches = self.look(change).await?;
        let Some(tip) = branches.get(&change.branch) else {
            return Err(Fault::stopped(format!(
                "the branch `{}` does not exist",
                change.branch
            )));
        };
        self.obtain(&change.branch, &change.parent, *tip == change.parent)
            .await?;
        let commit = self.workspace.commit(change).await?;
        if *tip == commit {
            return Ok(filed(
                change,
                commit,
                FiledOutcome::Existed,
                "the target branch holds it already",
            ));
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

    /// Pushes the commit as a new branch, then looks what is there: the answer to a push may be lost.
    async fn create(&self, change: &Change, commit: String) -> Result<Filed, Fault> {
        let pushed = self.push(&change.head, &commit).await;
        match (self.look(change).await?.get(&change.head), pushed) {
            (Some(found), pushed) if *found == commit => {
                let answer = pushed.unwrap_or_else(|_| "the branch holds it".to_owned());
                Ok(filed(change, commit, FiledOutcome::Created, &answer))
            }
            (Some(found), _) => Err(other_push(change, found)),
            (None, Err(fault)) => Err(fault),
            (None, Ok(answer)) => {
                let answer =
                    format!("the push was accepted ({answer}), but the branch does not exist");
                Err(Error::Retry {
                    answer,
                    retry_after: None,
                }
                .into())
            }
        }
    }

    /// The commits of the change's two branches, where they exist.
    async fn look(&self, change: &Change) -> Result<BTreeMap<String, String>, Fault> {
        let mut asked = vec![change.branch.as_str(), change.head.as_str()];
        asked.extend(
            change
                .head
                .match_indices('/')
                .map(|(at, _)| &change.head[..at]),
        );
        let references: Vec<_> = asked
            .iter()
            .map(|name| format!("refs/heads/{name}"))
            .collect();
        let mut arguments = vec!["ls-remote", "--", self.remote.url.as_str()];
        arguments.extend(references.iter().map(String::as_str));
        let listing = self.talk(arguments).await?;
        let branches: BTreeMap<_, _> = String::from_utf8_lossy(&listing.bytes)
            .lines()
            .filter_map(|line| {
                let (commit, reference) = line.split_once('\t')?;
                Some((
                    reference.strip_prefix("refs/heads/")?.to_owned(),
                    commit.to_owned(),
                ))
            })
            .collect();
        match asked[2..].iter().find(|name| branches.contains_key(**name)) {
            Some(name) => Err(Fault::stopped(format!(
                "the branch `{name}` is in the way of `{}`; git cannot have both, so rename it",
                change.head
            ))),
            None => Ok(branches),
        }
    }

    /// Fetches a commit of a branch unless it is here: by its id, or with the tip where it is that, else with
    /// the whole branch.
    async fn obtain(&self, branch: &str, commit: &str, is_tip: bool) -> Result<(), Fault> {
        let reference = format!("refs/heads/{branch}");
        if self.workspace.has_commit(commit).await? {
            return Ok(());
        }
        let wanted = if is_tip { reference.as_str() } else { commit };
        match self.fetch(wanted, "--depth=1").await {
            Err(fault @ Fault::Forge(Error::Retry { .. })) => return Err(fault),
            _ if self.workspace.has_commit(commit).await? => return Ok(()),
            _ => {}
        }
        // Some servers give single commits only where a branch ends.
        self.fetch(&reference, "--depth=2147483647").await?;
        match self.workspace.has_commit(commit).await? {
            true => Ok(()),
            false => Err(Fault::stopped(format!(
                "commit {commit} is no longer part of `{branch}`; was its history rewritten?"
            ))),
        }
    }

    async fn fetch(&self, wanted: &str, depth: &str) -> Result<(), Fault> {
        let refspec = format!("+{wanted}:{FETCHED}");
        let options = [
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-write-fetch-head",
            depth,
            "--",
        ];
        let arguments = options
            .into_iter()
            .chain([self.remote.url.as_str(), refspec.as_str()]);
        self.talk(arguments.collect()).await.map(|_| ())
    }

    /// Creates the branch; the lease on nothing makes git refuse to move one that exists.
    async fn push(&self, head: &str, commit: &str) -> Result<String, Fault> {
        let lease = format!("--force-with-lease=refs/heads/{head}:");
        let refspec = format!("{commit}:refs/heads/{head}");
        let arguments = vec![
            "push",
            "--porcelain",
            "--no-verify",
            &lease,
            "--",
            &self.remote.url,
            &refspec,
        ];
        let output = self.call(arguments).await?;
        let report = String::from_utf8_lossy(&output.bytes).into_owned();
        match output.success {
            true => Ok(condense(
                report
                    .lines()
                    .find(|line| line.starts_with('*'))
                    .unwrap_or("accepted"),
            )),
            false => Err(self.refusal(&report, &output.messages)),
        }
    }

    /// Runs git with the remote; it must succeed.
    async fn talk(&self, arguments: Vec<&str>) -> Result<Output, Fault> {
        let output = self.call(arguments).await?;
        match output.success {
            true => Ok(output),
            false => Err(meant(of_failure(&output.messages))),
        }
    }

    /// Runs git with the remote. The password goes by the environment, which others cannot see.
    async fn call(&self, arguments: Vec<&str>) -> Result<Output, Fault> {
        let mut call = Call::new(arguments);
        if let Some(value) = self.remote.authorization().await.map_err(Fault::stopped)? {
            call = call
                .set("GIT_CONFIG_COUNT", "1")
                .set("GIT_CONFIG_KEY_0", "http.extraHeader")
                .set("GIT_CONFIG_VALUE_0", format!("Authorization: {value}"));
        }
        let mut output = self.workspace.run(call).await?;
        output.messages = self.remote.redact(&output.messages);
        Ok(output)
    }

    fn refusal(&self, report: &str, messages: &str) -> Fault {
        match of_refusal(&self.remote.redact(report), messages) {
            Some(error) => error.into(),
            None => meant(of_failure(messages)),
        }
    }
}

fn meant(meaning: Meaning) -> Fault {
    match meaning {
        Meaning::Forge(error) => error.into(),
        Meaning::Unknown(answer) => Fault::Own(answer),
    }
}

fn filed(change: &Change, commit: String, outcome: FiledOutcome, answer: &str) -> Filed {
    Filed {
        commit,
        branch: change.head.clone(),
        answer: answer.to_owned(),
        outcome,
    }
}

fn other_push(change: &Change, found: &str) -> Fault {
    Fault::stopped(format!(
        "a person pushed to `{}`: it holds commit {found}, which is left as it is; delete the branch to file again",
        change.head
    ))
}
