//! A repository of a forge, by the `git` program: files are read, commits made, references pushed.
//!
//! A commit is a pure function of its change, so every step can be repeated from any point. Nothing is merged, rebased or
//! deleted here.

mod answer;
mod branch;
mod check;
mod names;
mod program;
mod remote;
mod workspace;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::Mutex;

pub(super) use self::answer::condense;
use self::answer::{Meaning, is_login_refused, of_failure, of_refusal};
pub(super) use self::branch::other_push;
pub(super) use self::names::{check_branch, check_change, check_path};
use self::program::{Call, Output, Program};
use self::remote::Remote;
pub(crate) use self::remote::is_loopback;
pub(super) use self::remote::without_userinfo;
use self::workspace::Workspace;
use super::{Change, ConfigError, Error, FiledChange, ForgeConfig, Tip};

/// Where fetched commits are kept from being forgotten, in our own repository.
const FETCHED: &str = "refs/pinion/fetched";
/// A depth that means all of the history.
const WHOLE: &str = "--depth=2147483647";

/// A repository that changes are pushed to. Its methods take turns and may be repeated without harm.
#[derive(Debug)]
pub(super) struct Repository {
    remote: Remote,
    workspace: Workspace,
    turn: Mutex<()>,
}

/// Where a commit is pushed to.
#[derive(Debug)]
pub(super) struct Destination<'a> {
    /// The whole reference, such as `refs/heads/x` or `refs/for/main%topic=x`.
    pub(super) reference: &'a str,
    /// Refuses to move a reference that exists.
    pub(super) only_if_new: bool,
    /// Push options, as for `git push -o`.
    pub(super) options: &'a [String],
}

/// What the forge said to a push that git could deliver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pushed {
    /// Whether it refused.
    pub(super) is_refused: bool,
    /// git's summary, such as `[new reference]`, or the reason of the refusal, such as `no new changes`.
    pub(super) summary: String,
    /// What the forge wrote beside it, a line each, without `remote: `.
    pub(super) remarks: Vec<String>,
}

impl Pushed {
    /// The refusal as an error, where nothing better is known of it.
    pub(super) fn refusal(&self) -> Error {
        of_refusal(&self.summary, &self.remarks)
    }
}

/// Whether a change has reached its branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reached {
    /// The branch holds the commit, or one with the same `Filing-Id`.
    pub(super) is_in_branch: bool,
    /// The branch that was made for it exists.
    pub(super) has_head: bool,
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
        Self::Forge(Error::stopped(answer))
    }

    fn io(error: &io::Error) -> Self {
        Self::Forge(Error::retry(format!(
            "the working folder of the forge cannot be used: {error}"
        )))
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Forge(error)
    }
}

impl Repository {
    /// A repository at `url`; nothing is contacted. It works in `folder`, which can be deleted at any time.
    pub(super) fn open(
        config: &ForgeConfig,
        url: &str,
        folder: &Path,
    ) -> Result<Self, ConfigError> {
        let secret = config.secret()?;
        let remote = Remote::parse(url, config.user.as_deref(), secret.as_ref())
            .map_err(|problem| config.error(problem))?;
        let folder =
            std::path::absolute(folder).map_err(|error| config.error(error.to_string()))?;
        let program = Program::new(
            folder.join("home"),
            remote.protocol,
            config.ca_file.clone(),
            Duration::from_secs(config.timeout_s),
        );
        Ok(Self {
            remote,
            workspace: Workspace::new(folder.join("repository"), program),
            turn: Mutex::new(()),
        })
    }

    /// Its address, without secrets.
    pub(super) fn url(&self) -> &str {
        &self.remote.url
    }

    /// The tip of the branch, and the file there.
    pub(super) async fn read(&self, branch: &str, path: &str) -> Result<Tip, Error> {
        check_branch(branch)?;
        check_path(path)?;
        self.attempt(|| Box::pin(self.try_read(branch, path))).await
    }

    /// The file in a commit that was once read from the branch.
    pub(super) async fn read_at(
        &self,
        branch: &str,
        commit: &str,
        path: &str,
    ) -> Result<Vec<u8>, Error> {
        check_branch(branch)?;
        check_path(path)?;
        self.attempt(|| Box::pin(self.try_read_at(branch, commit, path)))
            .await
    }

    /// The commits of these branches, where they exist.
    pub(super) async fn branches(&self, names: &[&str]) -> Result<BTreeMap<String, String>, Error> {
        names.iter().try_for_each(|name| check_branch(name))?;
        self.attempt(|| Box::pin(self.try_branches(names))).await
    }

    /// Makes the commit of the change in our own repository, and gives its id.
    pub(super) async fn commit(&self, change: &Change) -> Result<String, Error> {
        check_change(change)?;
        self.attempt(|| Box::pin(self.try_commit(change))).await
    }

    /// The tree of a commit that [`Repository::commit`] made.
    pub(super) async fn tree(&self, commit: &str) -> Result<String, Error> {
        let name = format!("{commit}^{{tree}}");
        self.attempt(|| {
            let name = &name;
            Box::pin(async move { self.workspace.object(name).await })
        })
        .await
    }

    /// Makes the commit of the change and pushes it; an error means that the push may or may not have arrived.
    pub(super) async fn push(
        &self,
        change: &Change,
        to: &Destination<'_>,
    ) -> Result<Pushed, Error> {
        check_change(change)?;
        self.attempt(|| {
            Box::pin(async move {
                let commit = self.try_commit(change).await?;
                self.try_push(&commit, to, &[]).await
            })
        })
        .await
    }

    /// Deletes our own repository, which is made afresh when it is needed.
    pub(super) async fn forget(&self) -> Result<(), Error> {
        self.attempt(|| Box::pin(self.workspace.remove())).await
    }

    /// Whether the change has reached its branch, and whether its own branch is there.
    pub(super) async fn reached(&self, change: &FiledChange) -> Result<Reached, Error> {
        check_branch(&change.branch)?;
        check_branch(&change.head)?;
        self.attempt(|| Box::pin(self.try_reached(change))).await
    }

    /// Runs a step alone, and once more if our own repository seems damaged.
    async fn attempt<'a, T>(
        &'a self,
        step: impl Fn() -> BoxFuture<'a, Result<T, Fault>> + Send,
    ) -> Result<T, Error> {
        let _turn = self.turn.lock().await;
        let mut done = self.workspace_and(&step).await;
        if let Err(Fault::Own(answer)) = &done {
            tracing::warn!(
                answer = self.remote.redact(answer),
                "the forge's own repository is made afresh"
            );
            if self.workspace.remove().await.is_ok() {
                done = self.workspace_and(&step).await;
            }
        }
        done.map_err(|fault| match fault {
            Fault::Forge(error) => error,
            Fault::Own(answer) => Error::retry(self.remote.redact(&answer)),
        })
    }

    async fn workspace_and<'a, T>(
        &'a self,
        step: &(impl Fn() -> BoxFuture<'a, Result<T, Fault>> + Send),
    ) -> Result<T, Fault> {
        self.workspace.ensure().await?;
        step().await
    }

    async fn try_read(&self, branch: &str, path: &str) -> Result<Tip, Fault> {
        self.fetch(&format!("refs/heads/{branch}"), "--depth=1")
            .await?;
        let commit = self.workspace.resolve(FETCHED).await?;
        let file = self.workspace.file(&commit, path).await?;
        let bytes = self.workspace.bytes(&file.blob).await?;
        Ok(Tip { commit, bytes })
    }

    async fn try_read_at(&self, branch: &str, commit: &str, path: &str) -> Result<Vec<u8>, Fault> {
        self.obtain(branch, commit).await?;
        let file = self.workspace.file(commit, path).await?;
        self.workspace.bytes(&file.blob).await
    }

    async fn try_branches(&self, names: &[&str]) -> Result<BTreeMap<String, String>, Fault> {
        let references: Vec<_> = names
            .iter()
            .map(|name| format!("refs/heads/{name}"))
            .collect();
        let mut arguments = vec!["ls-remote", "--", self.remote.url.as_str()];
        arguments.extend(references.iter().map(String::as_str));
        let listing = self.talk(&arguments).await?;
        let branch_of = |line: &str| {
            let (commit, reference) = line.split_once('\t')?;
            let name = reference.strip_prefix("refs/heads/")?;
            Some((name.to_owned(), commit.to_owned()))
        };
        Ok(String::from_utf8_lossy(&listing.bytes)
            .lines()
            .filter_map(branch_of)
            // git matches the ends of names, too.
            .filter(|(name, _)| names.contains(&name.as_str()))
            .collect())
    }

    async fn try_commit(&self, change: &Change) -> Result<String, Fault> {
        self.obtain(&change.branch, &change.parent).await?;
        self.workspace.commit(change).await
    }

    async fn try_reached(&self, change: &FiledChange) -> Result<Reached, Fault> {
        let names = [change.branch.as_str(), change.head.as_str()];
        let branches = self.try_branches(&names).await?;
        let has_head = branches.contains_key(&change.head);
        let Some(tip) = branches.get(&change.branch) else {
            return Ok(Reached {
                is_in_branch: false,
                has_head,
            });
        };
        self.fetch(&format!("refs/heads/{}", change.branch), WHOLE)
            .await?;
        let trailer = format!("Filing-Id: {}", change.key);
        let is_in_branch = self.workspace.is_ancestor(&change.commit, tip).await?
            || self.workspace.has_message(tip, &trailer).await?;
        Ok(Reached {
            is_in_branch,
            has_head,
        })
    }

    /// Fetches a commit of a branch unless it is here: by its id, else with the whole branch, since some servers give
    /// single commits only where a branch ends.
    async fn obtain(&self, branch: &str, commit: &str) -> Result<(), Fault> {
        if self.workspace.has_commit(commit).await? {
            return Ok(());
        }
        let reference = format!("refs/heads/{branch}");
        for (wanted, depth) in [
            (commit, "--depth=1"),
            (reference.as_str(), "--depth=1"),
            (reference.as_str(), WHOLE),
        ] {
            match self.fetch(wanted, depth).await {
                Err(fault @ Fault::Forge(Error::Retry { .. })) => return Err(fault),
                Err(fault) if depth == WHOLE => return Err(fault),
                _ if self.workspace.has_commit(commit).await? => return Ok(()),
                _ => {}
            }
        }
        Err(Fault::stopped(format!(
            "commit {commit} is no longer part of `{branch}`; was its history rewritten?"
        )))
    }

    async fn fetch(&self, wanted: &str, depth: &str) -> Result<(), Fault> {
        let refspec = format!("+{wanted}:{FETCHED}");
        self.talk(&[
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-write-fetch-head",
            depth,
            "--",
            &self.remote.url,
            &refspec,
        ])
        .await
        .map(|_| ())
    }

    async fn try_push(
        &self,
        commit: &str,
        to: &Destination<'_>,
        switches: &[&str],
    ) -> Result<Pushed, Fault> {
        let refspec = format!("{commit}:{}", to.reference);
        let lease = format!("--force-with-lease={}:", to.reference);
        let mut arguments = vec!["push", "--porcelain", "--no-verify"];
        arguments.extend(switches);
        // The lease on nothing makes git refuse to move a reference that exists.
        arguments.extend(to.only_if_new.then_some(lease.as_str()));
        for option in to.options {
            arguments.extend(["-o", option]);
        }
        arguments.extend(["--", &self.remote.url, &refspec]);
        let output = self.call(&arguments).await?;
        let report = self.remote.redact(&String::from_utf8_lossy(&output.bytes));
        match (pushed(&report, &output.messages), output.success) {
            (Some(pushed), _) => Ok(pushed),
            (None, false) => Err(meant(of_failure(&output.messages))),
            (None, true) => Err(Error::retry(format!(
                "git said nothing of what became of the push: {}",
                condense(&report)
            ))
            .into()),
        }
    }

    /// Runs git with the remote; it must succeed.
    async fn talk(&self, arguments: &[&str]) -> Result<Output, Fault> {
        let output = self.call(arguments).await?;
        match output.success {
            true => Ok(output),
            false => Err(meant(of_failure(&output.messages))),
        }
    }

    /// Runs git with the remote, once more if the login was refused and the secret has been exchanged meanwhile.
    async fn call(&self, arguments: &[&str]) -> Result<Output, Fault> {
        let authorization = self.remote.authorization().await.map_err(Fault::stopped)?;
        let header = authorization.as_ref().map(|login| login.header.as_str());
        let mut output = self.call_with(arguments, header).await?;
        if let Some(refused) = authorization
            && !output.success
            && is_login_refused(&output.messages)
            && let Some(login) = self
                .remote
                .renewed(&refused)
                .await
                .map_err(Fault::stopped)?
        {
            output = self.call_with(arguments, Some(&login.header)).await?;
        }
        output.messages = self.remote.redact(&output.messages);
        Ok(output)
    }

    /// The secret goes by the environment, which others cannot see.
    async fn call_with(&self, arguments: &[&str], header: Option<&str>) -> Result<Output, Fault> {
        let mut call = Call::new(arguments);
        if let Some(header) = header {
            call = call
                .set("GIT_CONFIG_COUNT", "1")
                .set("GIT_CONFIG_KEY_0", "http.extraHeader")
                .set("GIT_CONFIG_VALUE_0", format!("Authorization: {header}"));
        }
        self.workspace.run(call).await
    }
}

fn meant(meaning: Meaning) -> Fault {
    match meaning {
        Meaning::Forge(error) => error.into(),
        Meaning::Unknown(answer) => Fault::Own(answer),
    }
}

/// The report of `git push --porcelain` on its one reference: flag, tab, refspec, tab, summary.
fn pushed(report: &str, messages: &str) -> Option<Pushed> {
    let (flag, summary) = report.lines().find_map(|line| {
        let mut fields = line.split('\t');
        let flag = fields.next().filter(|flag| flag.chars().count() == 1)?;
        let summary = fields.nth(1)?;
        Some((flag, summary))
    })?;
    let remarks = messages
        .lines()
        .filter_map(|line| Some(line.strip_prefix("remote:")?.trim()))
        .filter(|line| !line.is_empty())
        .map(condense)
        .collect();
    Some(Pushed {
        is_refused: flag == "!",
        summary: condense(summary),
        remarks,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_of_a_push_is_read_with_the_remarks_beside_it() {
        let report = "To /srv/a\n!\tabc:refs/heads/x\t[remote rejected] (no new changes)\nDone\n";
        let messages = "remote: Processing changes: refs: 1, done    \r\nremote: no way        \nerror: failed\n";
        let refused = pushed(report, messages).expect("a report");
        assert!(refused.is_refused);
        assert_eq!(refused.summary, "[remote rejected] (no new changes)");
        assert_eq!(
            refused.remarks,
            ["Processing changes: refs: 1, done", "no way"]
        );
        let made = pushed("To /srv/a\n*\tabc:refs/heads/x\t[new branch]\nDone\n", "");
        assert_eq!(made.map(|made| made.is_refused), Some(false));
        assert_eq!(pushed("", "fatal: no"), None);
    }
}
