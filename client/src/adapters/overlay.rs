//! Variables that make a tool take the pins.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Variables that a command needs to see the pins. They name files outside the project.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct Overlay {
    variables: Vec<Variable>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
struct Variable {
    name: String,
    value: String,
    /// Whether the tool takes several files, with blanks between: then those of others stay.
    list: bool,
    /// Files of this checkout, whose place this one takes in a list.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    replaces: Vec<String>,
}

impl Overlay {
    pub(super) fn set(mut self, name: &str, value: impl Into<String>) -> Self {
        self.variables.push(Variable {
            name: name.to_owned(),
            value: value.into(),
            list: false,
            replaces: Vec::new(),
        });
        self
    }

    /// A variable that takes several files: those that are given already stay, but for the replaced ones.
    pub(super) fn add(mut self, name: &str, file: &Path, replaced: &[PathBuf]) -> Self {
        self.variables.push(Variable {
            name: name.to_owned(),
            value: location(file),
            list: true,
            replaces: replaced.iter().map(|file| location(file)).collect(),
        });
        self
    }

    /// Whether no variable is needed.
    pub fn is_empty(&self) -> bool {
        self.variables.is_empty()
    }

    /// The variables and their values, alone.
    pub fn variables(&self) -> impl Iterator<Item = (&str, &str)> {
        self.variables
            .iter()
            .map(|variable| (variable.name.as_str(), variable.value.as_str()))
    }

    /// The variables for a command of this process: a list such as PIP_CONSTRAINT keeps what it had.
    pub fn environment(&self) -> Vec<(OsString, OsString)> {
        let value = |variable: &Variable| match variable.list {
            true => variable.beside(std::env::var_os(&variable.name).as_deref()),
            false => OsString::from(&variable.value),
        };
        let pairs = self.variables.iter();
        pairs
            .map(|variable| (OsString::from(&variable.name), value(variable)))
            .collect()
    }
}

/// A file as pip and uv take it: both split these variables at blanks, so a path with one becomes a URL.
pub fn location(file: &Path) -> String {
    let path = file.display().to_string();
    if !path.contains(char::is_whitespace) {
        return path;
    }
    let encoded = path
        .replace('%', "%25")
        .replace(' ', "%20")
        .replace('\t', "%09");
    format!("file://{encoded}")
}

impl Variable {
    /// Files that were there already stay.
    fn beside(&self, given: Option<&OsStr>) -> OsString {
        let given = given.map(OsStr::to_string_lossy).unwrap_or_default();
        let ours = |file: &&str| *file == self.value || self.replaces.iter().any(|one| one == file);
        let theirs = given.split_whitespace().filter(|file| !ours(file));
        theirs
            .chain([self.value.as_str()])
            .collect::<Vec<_>>()
            .join(" ")
            .into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_others_stay_and_those_of_this_checkout_are_replaced() {
        let kept = PathBuf::from("/state/kept.txt");
        let overlay = Overlay::default().add("X", Path::new("/state/now.txt"), &[kept]);
        let beside = |given: Option<&str>| overlay.variables[0].beside(given.map(OsStr::new));
        assert_eq!(beside(None), "/state/now.txt");
        assert_eq!(beside(Some(" ")), "/state/now.txt");
        assert_eq!(beside(Some("/theirs")), "/theirs /state/now.txt");
        assert_eq!(
            beside(Some("/theirs /state/now.txt")),
            "/theirs /state/now.txt"
        );
        assert_eq!(
            beside(Some("/state/kept.txt /theirs")),
            "/theirs /state/now.txt"
        );
    }

    #[test]
    fn a_blank_in_the_path_does_not_make_two_files() {
        assert_eq!(location(Path::new("/a b/c%.txt")), "file:///a%20b/c%25.txt");
        assert_eq!(location(Path::new("/a/c.txt")), "/a/c.txt");
    }
}
