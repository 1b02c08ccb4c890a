//! A branch in a plain git repository, by the `git` program: the commit is made in a work repository of our
//! own and pushed on the condition that the branch does not exist.
//!
//! Protocol: git-push(1), `--force-with-lease=<ref>:` ("only if new").

use std::path::Path;

use async_trait::async_trait;
use tokio::sync::Mutex;

use super::{Change, Error, FileEdit, Filed, Forge, ForgeConfig, Tip};

mod command;

use command::Program;

/// The file mode of a file that is not there yet.
const PLAIN_FILE: &str = "100644";

/// A plain git repository.
#[derive(Debug)]
pub(super) struct Git {
    program: Program,
    author: (String, String),
    /// One at a time: the work repository has one index.
    work: Mutex<()>,
}

impl Git {
    /// # Errors
    /// If the URL is of another scheme, or carries a secret.
    pub(super) fn open(config: &ForgeConfig, work_dir: &Path) -> Result<Self, Error> {
        check_url(&config.url)?;
        // Git runs in a folder of its own, where a relative path would lead elsewhere.
        let work_dir = std::path::absolute(work_dir).map_err(|cause| Error::Stopped {
            answer: format!(
                "the work folder `{}` cannot be used: {cause}",
                work_dir.display()
            ),
        })?;
        Ok(Self {
            program: Program::new(&config.url, &work_dir),
            author: (config.author_name.clone(), config.author_email.clone()),
            work: Mutex::new(()),
        })
    }

    /// Makes the work repository if it is missing, and fetches the tip of a branch into it.
    async fn fetch(&self, branch: &str) -> Result<String, Error> {
        self.program.prepare().await?;
        let listed = self.tip_of(branch).await?;
        let Some(tip) = listed else {
            return Err(Error::Stopped {
                answer: format!(
                    "the repository has no branch `{branch}`; check the pin set's source"
                ),
            });
        };
        let refspec = format!("+refs/heads/{branch}:refs/pinion/{branch}");
        self.program
            .remote(&[
                "fetch",
                "--quiet",
                "--no-tags",
                "--no-write-fetch-head",
                self.program.url(),
                &refspec,
            ])
            .await?;
        Ok(tip)
    }

    /// The commit at the tip of a branch of the remote repository.
    async fn tip_of(&self, branch: &str) -> Result<Option<String>, Error> {
        let name = format!("refs/heads/{branch}");
        let listed = self
            .program
            .remote(&["ls-remote", "--quiet", self.program.url(), &name])
            .await?;
        let row = listed
            .lines()
            .find(|row| row.split('\t').nth(1) == Some(name.as_str()));
        Ok(row
            .and_then(|row| row.split('\t').next())
            .map(str::to_owned))
    }

    async fn file_at(&self, commit: &str, path: &str) -> Result<Vec<u8>, Error> {
        let output = self
            .program
            .local(&["cat-file", "blob", &format!("{commit}:{path}")], &[])
            .await?;
        if output.success {
            return Ok(output.stdout);
        }
        Err(Error::Stopped {
            answer: format!(
                "there is no file `{path}` in commit {commit}; check the pin set's source"
            ),
        })
    }

    /// The commit of a change: a pure function of the change.
    async fn commit(&self, change: &Change) -> Result<String, Error> {
        let index = self.program.fresh_index();
        let index = [("GIT_INDEX_FILE", index.as_str())];
        self.program
            .local_ok(&["read-tree", &change.parent], &index, &[])
            .await?;
        for FileEdit { path, bytes } in &change.edits {
            let blob = self
                .program
                .local_ok(&["hash-object", "-w", "--stdin"], &[], bytes)
                .await?;
            let mode = self.mode_of(&change.parent, path).await?;
            let entry = format!("{mode},{blob},{path}");
            self.program
                .local_ok(
                    &["update-index", "--add", "--cacheinfo", &entry],
                    &index,
                    &[],
                )
                .await?;
        }
        let tree = self.program.local_ok(&["write-tree"], &index, &[]).await?;
        let message = format!("{}\n\n{}\n", change.subject, change.body);
        let date = format!("{} +0000", change.at_unix_s);
        let (name, email) = (self.author.0.as_str(), self.author.1.as_str());
        let signature = [
            ("GIT_AUTHOR_NAME", name),
            ("GIT_AUTHOR_EMAIL", email),
            ("GIT_AUTHOR_DATE", date.as_str()),
            ("GIT_COMMITTER_NAME", name),
            ("GIT_COMMITTER_EMAIL", email),
            ("GIT_COMMITTER_DATE", date.as_str()),
        ];
        self.program
            .local_ok(
                &["commit-tree", &tree, "-p", &change.parent, "-F", "-"],
                &signature,
                message.as_bytes(),
            )
            .await
    }

    async fn mode_of(&self, commit: &str, path: &str) -> Result<String, Error> {
        let listed = self
            .program
            .local_ok(&["ls-tree", commit, "--", path], &[], &[])
            .await?;
        Ok(listed
            .split(' ')
            .next()
            .filter(|mode| !mode.is_empty())
            .unwrap_or(PLAIN_FILE)
            .to_owned())
    }

    async fn push(&self, commit: &str, head: &str) -> Result<Filed, Error> {
        let filed = |answer: &str| Filed {
            commit: commit.to_owned(),
            answer: format!("branch `{head}`: {answer}"),
        };
        let lease = format!("--force-with-lease=refs/heads/{head}:");
        let refspec = format!("{commit}:refs/heads/{head}");
        let pushed = self
            .program
            .remote(&["push", "--porcelain", &lease, self.program.url(), &refspec])
            .await;
        let Err(refused) = pushed else {
            return Ok(filed("created"));
        };
        match self.tip_of(head).await? {
            Some(tip) if tip == commit => Ok(filed("it was there already")),
            Some(tip) => Err(somebody_else(head, &tip)),
            None => Err(refused),
        }
    }
}

fn somebody_else(head: &str, tip: &str) -> Error {
    Error::Stopped {
        answer: format!(
            "branch `{head}` is at {tip}, which is not ours: a person pushed to it, and has the say"
        ),
    }
}

#[async_trait]
impl Forge for Git {
    async fn read(&self, branch: &str, path: &str) -> Result<Tip, Error> {
        let _alone = self.work.lock().await;
        let commit = self.fetch(branch).await?;
        let bytes = self.file_at(&commit, path).await?;
        Ok(Tip { commit, bytes })
    }

    async fn read_at(&self, branch: &str, commit: &str, path: &str) -> Result<Vec<u8>, Error> {
        let _alone = self.work.lock().await;
        self.program.prepare().await?;
        let known = self
            .program
            .local(&["cat-file", "-e", &format!("{commit}^{{commit}}")], &[])
            .await?;
        if !known.success {
            self.fetch(branch).await?;
        }
        self.file_at(commit, path).await
    }

    async fn ensure_change(&self, change: &Change) -> Result<Filed, Error> {
        let _alone = self.work.lock().await;
        self.program.prepare().await?;
        let known = self
            .program
            .local(
                &["cat-file", "-e", &format!("{}^{{commit}}", change.parent)],
                &[],
            )
            .await?;
        if !known.success {
            self.fetch(&change.branch).await?;
        }
        let commit = self.commit(change).await?;
        match self.tip_of(&change.head).await? {
            None => self.push(&commit, &change.head).await,
            Some(tip) if tip == commit => Ok(Filed {
                commit,
                answer: format!("branch `{}`: it was there already", change.head),
            }),
            Some(tip) => Err(somebody_else(&change.head, &tip)),
        }
    }
}

/// Secrets do not belong into a URL, where errors and logs would show them.
fn check_url(url: &str) -> Result<(), Error> {
    let refuse = |answer: &str| {
        Err(Error::Stopped {
            answer: answer.to_owned(),
        })
    };
    let Some((scheme, rest)) = url.split_once("://") else {
        return refuse("a forge's `url` begins with https://, ssh:// or file://");
    };
    if !["https", "http", "ssh", "file"].contains(&scheme) {
        return refuse("a forge's `url` begins with https://, ssh:// or file://");
    }
    let authority = rest.split('/').next().unwrap_or_default();
    if authority
        .rsplit_once('@')
        .is_some_and(|(user, _)| user.contains(':') || scheme.starts_with("http"))
    {
        return refuse(
            "a forge's `url` carries a secret; keep it in git's credential helper or ssh agent",
        );
    }
    // The colons of an IPv6 address are within its brackets.
    let host = authority
        .rsplit_once(':')
        .filter(|(_, port)| !port.contains(']'))
        .map_or(authority, |(host, _)| host);
    if scheme == "http" && !["127.0.0.1", "localhost", "[::1]"].contains(&host) {
        return refuse("plain http is for loopback only; use https");
    }
    Ok(())
}
