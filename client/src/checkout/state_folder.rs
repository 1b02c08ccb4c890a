//! The folder in which things are kept that belong to a directory, whether it has joined or not.

use std::path::{Path, PathBuf};

use crate::failure::Failure;

use super::{Checkout, canonical, files, key, state_root};

/// A folder outside the directory it belongs to.
#[derive(Clone, Debug)]
pub(crate) struct StateFolder(PathBuf);

impl StateFolder {
    /// The folder of the checkout that `dir` lies in, or of `dir` itself where none has joined.
    pub(crate) fn of(dir: &Path) -> Result<Self, Failure> {
        Ok(match Checkout::find(dir)? {
            Some(checkout) => Self(checkout.state().to_owned()),
            None => Self(state_root()?.join(key(&canonical(dir)?))),
        })
    }

    /// Makes the folder, if it is not there.
    pub(crate) fn make(&self) -> Result<(), Failure> {
        files::make_private_directory(&self.0)
    }

    /// A file in it.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}
