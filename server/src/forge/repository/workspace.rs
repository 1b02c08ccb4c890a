//! The own bare repository in which commits are made. It holds nothing that cannot be made again.

use std::io;
use std::path::{Path, PathBuf};

use super::super::{Change, Error, FileEdit};
use super::Fault;
use super::answer::condense;
use super::program::{Call, NoAnswer, Output, Program};

/// More packs than this and the repository is made afresh, since git never tidies it up.
const PACKS_MAX: usize = 200;
const REGULAR_MODES: [&str; 2] = ["100644", "100755"];

/// The repository and the program that works on it.
#[derive(Debug)]
pub(super) struct Workspace {
    folder: PathBuf,
    pub(super) program: Program,
}

/// A file in a commit.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct File {
    mode: String,
    pub(super) blob: String,
}

impl Workspace {
    pub(super) fn new(folder: PathBuf, program: Program) -> Self {
        Self { folder, program }
    }

    /// Runs git on the repository, for better or worse.
    pub(super) async fn run(&self, call: Call) -> Result<Output, Fault> {
        self.program
            .run(&self.folder, call)
            .await
            .map_err(|no_answer| {
                let answer = no_answer.to_string();
                Fault::Forge(match no_answer {
                    NoAnswer::Missing | NoAnswer::TooLarge => Error::Stopped { answer },
                    NoAnswer::Timeout(_) | NoAnswer::Io(_) => Error::Retry {
                        answer,
                        retry_after: None,
                    },
                })
            })
    }

    /// Makes the repository unless it is there.
    pub(super) async fn ensure(&self) -> Result<(), Fault> {
        if self.count_packs() > PACKS_MAX {
            self.remove().await?;
        }
        if !self.folder.join("HEAD").is_file() {
            self.make(["init", "--quiet", "--bare", "--template="])
                .await?;
        }
        Ok(())
    }

    /// Deletes the repository.
    pub(super) async fn remove(&self) -> Result<(), Fault> {
        match tokio::fs::remove_dir_all(&self.folder).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Fault::io(&error)),
            _ => Ok(()),
        }
    }

    fn count_packs(&self) -> usize {
        std::fs::read_dir(self.folder.join("objects/pack")).map_or(0, Iterator::count) / 2
    }

    /// Whether the commit is here.
    pub(super) async fn has_commit(&self, commit: &str) -> Result<bool, Fault> {
        let commit = format!("{commit}^{{commit}}");
        Ok(self
            .run(Call::new(["cat-file", "-e", commit.as_str()]))
            .await?
            .success)
    }

    /// Whether the branch that ends in `tip` holds the commit; a commit that is not here is in no branch that is.
    pub(super) async fn is_ancestor(&self, commit: &str, tip: &str) -> Result<bool, Fault> {
        if !self.has_commit(commit).await? {
            return Ok(false);
        }
        let call = Call::new(["merge-base", "--is-ancestor", commit, tip]);
        Ok(self.run(call).await?.success)
    }

    /// Whether a commit of the branch that ends in `tip` has this line in its message.
    pub(super) async fn has_message(&self, tip: &str, line: &str) -> Result<bool, Fault> {
        let pattern = format!("--grep=^{line}$");
        let found = self
            .make(["log", "-1", "--format=%H", pattern.as_str(), tip, "--"])
            .await?;
        Ok(!found.is_empty())
    }

    /// The commit that a reference of this repository names.
    pub(super) async fn resolve(&self, reference: &str) -> Result<String, Fault> {
        self.object(&format!("{reference}^{{commit}}")).await
    }

    /// The id of the object of this name.
    pub(super) async fn object(&self, name: &str) -> Result<String, Fault> {
        self.make(["rev-parse", "--verify", "--end-of-options", name])
            .await
    }

    /// The regular file at `path` in the commit; an error says what else stands there.
    pub(super) async fn file(&self, commit: &str, path: &str) -> Result<File, Fault> {
        let listing = self
            .make(["ls-tree", "-z", "--full-tree", commit, "--", path])
            .await?;
        let entry = listing.split('\0').find_map(|line| {
            let (entry, name) = line.split_once('\t')?;
            (name == path).then_some(entry)
        });
        let fields: Vec<&str> = entry.unwrap_or_default().split(' ').collect();
        let what = match fields[..] {
            [mode, "blob", blob] if REGULAR_MODES.contains(&mode) => {
                return Ok(File {
                    mode: mode.to_owned(),
                    blob: blob.to_owned(),
                });
            }
            [_, "blob", _] => "is a symbolic link, not a file",
            [_, "tree", _] => "is a folder, not a file",
            [_, "commit", _] => "is a submodule, not a file",
            _ => "does not exist",
        };
        Err(Fault::stopped(format!(
            "`{path}` {what} in commit {commit}"
        )))
    }

    /// The bytes of a blob.
    pub(super) async fn bytes(&self, blob: &str) -> Result<Vec<u8>, Fault> {
        succeeded(self.run(Call::new(["cat-file", "blob", blob])).await?)
    }

    /// Makes the commit of the change, the same every time, and gives its id.
    pub(super) async fn commit(&self, change: &Change) -> Result<String, Fault> {
        let tree = self.tree(&change.parent, &change.edits).await?;
        let before = format!("{}^{{tree}}", change.parent);
        if tree == self.object(&before).await? {
            return Err(Fault::stopped(format!(
                "the change alters nothing in commit {}",
                change.parent
            )));
        }
        let date = format!("@{} +0000", change.at_unix_s);
        let call = Call::new(["commit-tree", &tree, "-p", &change.parent, "-F", "-"])
            .set("GIT_AUTHOR_NAME", &change.author.name)
            .set("GIT_AUTHOR_EMAIL", &change.author.email)
            .set("GIT_AUTHOR_DATE", &date)
            .set("GIT_COMMITTER_NAME", &change.author.name)
            .set("GIT_COMMITTER_EMAIL", &change.author.email)
            .set("GIT_COMMITTER_DATE", &date)
            .input(format!("{}\n\n{}\n", change.subject, change.body));
        text(succeeded(self.run(call).await?)?)
    }

    /// A commit of nothing, for a push that is only tried.
    pub(super) async fn empty_commit(&self) -> Result<String, Fault> {
        let tree = self
            .make(["hash-object", "-w", "-t", "tree", "--stdin"])
            .await?;
        let mut call = Call::new(["commit-tree", &tree, "-m", "empty"]);
        for variable in [
            "GIT_AUTHOR_NAME",
            "GIT_AUTHOR_EMAIL",
            "GIT_COMMITTER_NAME",
            "GIT_COMMITTER_EMAIL",
        ] {
            call = call.set(variable, "nobody");
        }
        text(succeeded(self.run(call).await?)?)
    }

    async fn tree(&self, parent: &str, edits: &[FileEdit]) -> Result<String, Fault> {
        let index = self.fresh_index().await?;
        self.on_index(&index, Call::new(["read-tree", parent]))
            .await?;
        let mut entries = Vec::new();
        for edit in edits {
            let file = self.file(parent, &edit.path).await?;
            let call = Call::new(["hash-object", "-w", "--stdin"]).input(edit.bytes.clone());
            let blob = text(succeeded(self.run(call).await?)?)?;
            entries.extend(format!("{} {blob}\t{}\0", file.mode, edit.path).into_bytes());
        }
        self.on_index(
            &index,
            Call::new(["update-index", "-z", "--index-info"]).input(entries),
        )
        .await?;
        self.on_index(&index, Call::new(["write-tree"])).await
    }

    /// The path of an index that nobody has written to, not even a process that was killed.
    async fn fresh_index(&self) -> Result<PathBuf, Fault> {
        let folder = self.folder.join("pinion-index");
        match tokio::fs::remove_dir_all(&folder).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(Fault::io(&error)),
            _ => {}
        }
        tokio::fs::create_dir(&folder)
            .await
            .map_err(|error| Fault::io(&error))?;
        Ok(folder.join("index"))
    }

    async fn on_index(&self, index: &Path, call: Call) -> Result<String, Fault> {
        text(succeeded(
            self.run(call.set("GIT_INDEX_FILE", index)).await?,
        )?)
    }

    /// Runs git, which must succeed, and gives the text that it printed.
    async fn make<const N: usize>(&self, arguments: [&str; N]) -> Result<String, Fault> {
        text(succeeded(self.run(Call::new(arguments)).await?)?)
    }
}

/// What git printed; that it fails on our own repository is a fault of the repository.
fn succeeded(output: Output) -> Result<Vec<u8>, Fault> {
    match output.success {
        true => Ok(output.bytes),
        false => Err(Fault::Own(condense(&output.messages))),
    }
}

fn text(bytes: Vec<u8>) -> Result<String, Fault> {
    let text = String::from_utf8(bytes)
        .map_err(|_| Fault::Own("git printed a name that is no UTF-8".to_owned()))?;
    Ok(text.trim_end_matches('\n').to_owned())
}
