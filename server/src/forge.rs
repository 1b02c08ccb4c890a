//! Where changes are filed. A forge carries out what was decided and worded elsewhere, and knows of no rollout.
//!
//! One shape serves every forge: look first, create, take "exists" for success, read back. Every change is a
//! pure function of its values, so that the same change filed twice is one.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pinion_core::name::{ForgeName, InvalidName};
use serde::Deserialize;

mod git;

/// A forge in the configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForgeConfig {
    /// What pin sets call it.
    pub name: ForgeName,
    /// What it is.
    pub kind: Kind,
    /// The repository, as git takes it: a URL of the scheme `https`, `ssh` or `file`. Never with a secret in it.
    pub url: String,
    /// The author of commits.
    #[serde(default = "default_author_name")]
    pub author_name: String,
    /// The author's address.
    #[serde(default = "default_author_email")]
    pub author_email: String,
}

/// The kinds of forges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A branch in a git repository, without a review system.
    Git,
}

fn default_author_name() -> String {
    "Pinion".to_owned()
}

fn default_author_email() -> String {
    "pinion@localhost".to_owned()
}

impl ForgeConfig {
    /// A plain git repository.
    ///
    /// # Errors
    /// If the name is none.
    pub fn git(name: &str, url: &str) -> Result<Self, InvalidName> {
        Ok(Self {
            name: name.parse()?,
            kind: Kind::Git,
            url: url.to_owned(),
            author_name: default_author_name(),
            author_email: default_author_email(),
        })
    }
}

/// The tip of a branch, and a file there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tip {
    /// The commit, hexadecimal.
    pub commit: String,
    /// The file's bytes.
    pub bytes: Vec<u8>,
}

/// A change to be filed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The branch it is meant for.
    pub branch: String,
    /// The branch that holds it.
    pub head: String,
    /// The commit it is built on, hexadecimal.
    pub parent: String,
    /// What changes.
    pub edits: Vec<FileEdit>,
    /// The first line of the message.
    pub subject: String,
    /// The rest of the message.
    pub body: String,
    /// The date of the commit, in seconds since 1970.
    pub at_unix_s: i64,
}

/// A file with its new bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileEdit {
    /// Its path in the repository.
    pub path: String,
    /// Its bytes after the change.
    pub bytes: Vec<u8>,
}

/// A change that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filed {
    /// Its commit, hexadecimal.
    pub commit: String,
    /// What the forge says of it.
    pub answer: String,
}

/// Why a forge could not do it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// A passing fault: the same may be tried again.
    Retry {
        /// In the forge's words.
        answer: String,
        /// When the forge asks to be tried again.
        retry_after: Option<Duration>,
    },
    /// A person has to look at it: a setting, a right, or what somebody else did.
    Stopped {
        /// In the forge's words.
        answer: String,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Retry { answer, .. } | Self::Stopped { answer }) = self;
        f.write_str(answer)
    }
}

impl std::error::Error for Error {}

/// A place where changes are reviewed or taken.
#[async_trait]
pub trait Forge: Send + Sync + fmt::Debug {
    /// The tip of a branch and a file there.
    async fn read(&self, branch: &str, path: &str) -> Result<Tip, Error>;

    /// A file as it was in a commit that [`Forge::read`] gave.
    async fn read_at(&self, branch: &str, commit: &str, path: &str) -> Result<Vec<u8>, Error>;

    /// Makes sure that the change is there, once; repeating it is harmless.
    async fn ensure_change(&self, change: &Change) -> Result<Filed, Error>;
}

/// Sets up a forge; what it needs to keep goes into `work_dir`, which may be removed while it is not in use.
///
/// # Errors
/// If its settings cannot work.
pub fn open(config: &ForgeConfig, work_dir: &Path) -> Result<Arc<dyn Forge>, Error> {
    match config.kind {
        Kind::Git => Ok(Arc::new(git::Git::open(config, work_dir)?)),
    }
}
