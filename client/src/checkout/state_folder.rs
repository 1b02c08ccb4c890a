//! The folder in which things are kept that belong to a directory, whether it has joined or not.

use std::path::{Path, PathBuf};

use pinion_client::adapters::Project;

use crate::failure::Failure;

use super::{Checkout, canonical, files, key, state_root};

/// A folder outside the directory it belongs to.
#[derive(Clone, Debug)]
pub(crate) struct StateFolder {
    path: PathBuf,
    /// The directory it belongs to.
    owner: PathBuf,
}

impl StateFolder {
    /// The folder of the checkout that `dir` lies in, or of `dir` itself where none has joined.
    pub(crate) fn of(dir: &Path) -> Result<Self, Failure> {
        if let Some(checkout) = Checkout::find(dir)? {
            return Ok(Self {
                path: checkout.state().to_owned(),
                owner: checkout.membership.checkout,
            });
        }
        let owner = canonical(dir)?;
        let path = state_root()?.join(key(&owner));
        Ok(Self { path, owner })
    }

    /// Makes the folder, if it is not there.
    pub(crate) fn make(&self) -> Result<(), Failure> {
        files::make_private_directory(&self.path)
    }

    /// A file in it.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Whether anything was ever kept.
    pub(crate) fn is_there(&self) -> bool {
        self.path.is_dir()
    }

    /// How pins are applied to the directory, with what is kept in the folder.
    pub(crate) fn project(&self) -> Project {
        Project::new(&self.owner, &self.path)
    }
}
