//! How the pins of a trial reach the tools that the command starts.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use crate::checkout::write_whole;
use crate::command::sync::location;
use crate::failure::Failure;

/// Variables that make pip and uv take the pins of a file.
const VARIABLES: [&str; 2] = ["PIP_CONSTRAINT", "UV_CONSTRAINT"];

/// Pins for one trial at a time, in a file of their own; it goes with this value.
pub(super) struct Overlay {
    file: PathBuf,
    /// Files of this checkout, whose place the trial's file takes.
    replaced: Vec<String>,
}

impl Overlay {
    /// An overlay whose file is `file`; `checkouts` is the constraints file that the checkout uses else.
    pub(super) fn new(file: PathBuf, checkouts: &Path) -> Self {
        let replaced = [location(checkouts), checkouts.display().to_string()];
        Self {
            file,
            replaced: replaced.into(),
        }
    }

    /// Puts the pins in place; the variables that a command must be given to have them.
    pub(super) fn apply(&self, pins: &str) -> Result<Vec<(&'static str, OsString)>, Failure> {
        write_whole(&self.file, pins)?;
        let ours = location(&self.file);
        let value = |name| self.beside(std::env::var_os(name).as_deref(), &ours);
        Ok(VARIABLES.map(|name| (name, value(name))).into())
    }

    /// Constraints that were given otherwise stay.
    fn beside(&self, given: Option<&OsStr>, ours: &str) -> OsString {
        let given = given.map(OsStr::to_string_lossy).unwrap_or_default();
        let kept = given
            .split_whitespace()
            .filter(|file| !self.replaced.iter().any(|replaced| replaced == file));
        let files: Vec<_> = kept.chain([ours]).collect();
        files.join(" ").into()
    }
}

impl Drop for Overlay {
    fn drop(&mut self) {
        // A file that cannot be removed is in the state folder and named by nothing.
        let _ = std::fs::remove_file(&self.file);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_trial_takes_the_place_of_the_checkout_s_own_pins_only() {
        let overlay = Overlay::new(
            "/state/trial.txt".into(),
            Path::new("/state/constraints.txt"),
        );
        let beside = |given: &str| overlay.beside(Some(OsStr::new(given)), "/state/trial.txt");
        assert_eq!(beside(""), "/state/trial.txt");
        assert_eq!(beside("/state/constraints.txt"), "/state/trial.txt");
        assert_eq!(
            beside("/theirs.txt /state/constraints.txt"),
            "/theirs.txt /state/trial.txt"
        );
    }
}
