//! How the pins of a trial reach pip and uv: by variables alone.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use crate::checkout::write_whole;
use crate::failure::Failure;
use pinion_client::adapters::location;

/// Variables that make pip and uv take the pins of a file.
const VARIABLES: [&str; 2] = ["PIP_CONSTRAINT", "UV_CONSTRAINT"];

/// Pins for one trial at a time, in a file of their own; it goes with this value.
pub(super) struct Overlay {
    file: PathBuf,
    /// Files whose place the trial's file takes.
    replaced: Vec<String>,
}

impl Overlay {
    /// An overlay whose file is `file`, in the place of those that the command would use else.
    pub(super) fn new(file: PathBuf, replaced: &[&Path]) -> Self {
        let names = replaced.iter().flat_map(|path| names(path));
        Self {
            replaced: names.collect(),
            file,
        }
    }

    /// Puts the pins in place; the variables that a command must be given to have them.
    pub(super) fn apply(&self, pins: &str) -> Result<Vec<(OsString, OsString)>, Failure> {
        write_whole(&self.file, pins)?;
        let ours = location(&self.file);
        let value = |name| self.beside(std::env::var_os(name).as_deref(), &ours);
        Ok(VARIABLES
            .map(|name| (OsString::from(name), value(name)))
            .into())
    }

    /// Constraints that were given otherwise stay.
    fn beside(&self, given: Option<&OsStr>, ours: &str) -> OsString {
        let given = given.map(OsStr::to_string_lossy).unwrap_or_default();
        let kept = given
            .split_whitespace()
            .filter(|file| !names(Path::new(file)).any(|name| self.replaced.contains(&name)));
        let files: Vec<_> = kept.chain([ours]).collect();
        files.join(" ").into()
    }
}

/// What a file may be called in a variable: as given, in full, and as a URL.
fn names(path: &Path) -> impl Iterator<Item = String> + use<> {
    let whole = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    [
        path.display().to_string(),
        whole.display().to_string(),
        location(&whole),
    ]
    .into_iter()
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
        let own = Path::new("/state/constraints.txt");
        let overlay = Overlay::new("/state/trial.txt".into(), &[own]);
        let beside = |given: &str| overlay.beside(Some(OsStr::new(given)), "/state/trial.txt");
        assert_eq!(beside(""), "/state/trial.txt");
        assert_eq!(beside("/state/constraints.txt"), "/state/trial.txt");
        assert_eq!(
            beside("/theirs.txt /state/constraints.txt"),
            "/theirs.txt /state/trial.txt"
        );
    }
}
