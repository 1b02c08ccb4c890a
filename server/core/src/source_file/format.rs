//! Which format a file has, by its ecosystem and name.

use super::entry::{Entry, Wanted};
use super::text::{Malformed, Text};
use super::{cargo_toml, go_mod, package_json, pyproject, requirements};
use crate::ecosystem::Ecosystem;

/// The format of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// pip's constraints and requirements; in other ecosystems lines `name==version`, `name@version` or
    /// `name version`. `*.txt`, and in pypi `*.in`.
    Requirements(Ecosystem),
    /// `pyproject.toml`.
    Pyproject,
    /// `package.json`.
    PackageJson,
    /// `Cargo.toml`.
    CargoToml,
    /// `go.mod`.
    GoMod,
}

/// A file whose format is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is no file of {ecosystem} in which versions can be edited; known are {}", known(*.ecosystem))]
pub struct UnknownFormat {
    ecosystem: Ecosystem,
    name: String,
}

impl Format {
    /// The format of the file at a path, which `/` separates.
    ///
    /// # Errors
    /// If none is known; the error lists what is.
    pub fn of(ecosystem: Ecosystem, path: &str) -> Result<Self, UnknownFormat> {
        let name = path.rsplit('/').next().unwrap_or_default();
        let has_stem = |end: &str| name.len() > end.len() && name.ends_with(end);
        match (ecosystem, name) {
            (Ecosystem::Pypi, "pyproject.toml") => Ok(Self::Pyproject),
            (Ecosystem::Npm, "package.json") => Ok(Self::PackageJson),
            (Ecosystem::Cargo, "Cargo.toml") => Ok(Self::CargoToml),
            (Ecosystem::Go, "go.mod") => Ok(Self::GoMod),
            (Ecosystem::Pypi, _) if has_stem(".in") => Ok(Self::Requirements(ecosystem)),
            _ if has_stem(".txt") => Ok(Self::Requirements(ecosystem)),
            _ => Err(UnknownFormat {
                ecosystem,
                name: name.chars().take(64).collect(),
            }),
        }
    }

    /// The name of its files.
    pub(super) const fn file(self) -> &'static str {
        match self {
            Self::Requirements(_) => "*.txt",
            Self::Pyproject => "pyproject.toml",
            Self::PackageJson => "package.json",
            Self::CargoToml => "Cargo.toml",
            Self::GoMod => "go.mod",
        }
    }

    /// Where a file of it names packages, in the order of the file where that matters.
    pub(super) fn entries<'a>(
        self,
        text: &Text<'a>,
        wanted: &Wanted,
    ) -> Result<Vec<Entry<'a>>, Malformed> {
        match self {
            Self::Requirements(ecosystem) => Ok(requirements::entries(ecosystem, text, wanted)),
            Self::Pyproject => pyproject::entries(text, wanted),
            Self::PackageJson => package_json::entries(text, wanted),
            Self::CargoToml => cargo_toml::entries(text, wanted),
            Self::GoMod => go_mod::entries(text, wanted),
        }
    }
}

/// What can be edited of an ecosystem.
const fn known(ecosystem: Ecosystem) -> &'static str {
    match ecosystem {
        Ecosystem::Pypi => {
            "`pyproject.toml`, and constraints and requirements as `*.txt` or `*.in`"
        }
        Ecosystem::Npm => "`package.json`, and pins a line in `*.txt`",
        Ecosystem::Cargo => "`Cargo.toml`, and pins a line in `*.txt`",
        Ecosystem::Go => "`go.mod`, and pins a line in `*.txt`",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_follows_from_the_ecosystem_and_the_name() {
        let of = |ecosystem, path| Format::of(ecosystem, path).expect("a format");
        assert_eq!(
            of(Ecosystem::Pypi, "requirements/base.in"),
            Format::Requirements(Ecosystem::Pypi)
        );
        assert_eq!(
            of(Ecosystem::Npm, "pins.txt"),
            Format::Requirements(Ecosystem::Npm)
        );
        assert_eq!(of(Ecosystem::Cargo, "a/Cargo.toml"), Format::CargoToml);
        assert_eq!(of(Ecosystem::Go, "go.mod"), Format::GoMod);
    }

    #[test]
    fn what_is_not_known_is_told_with_what_is() {
        for (ecosystem, path) in [
            (Ecosystem::Cargo, "pyproject.toml"),
            (Ecosystem::Pypi, "setup.py"),
            (Ecosystem::Pypi, ".txt"),
            (Ecosystem::Npm, "package-lock.json"),
            (Ecosystem::Go, ""),
        ] {
            assert!(Format::of(ecosystem, path).is_err(), "{path}");
        }
        assert_eq!(
            Format::of(Ecosystem::Npm, "a/package-lock.json")
                .expect_err("unknown")
                .to_string(),
            "`package-lock.json` is no file of npm in which versions can be edited; known are `package.json`, and \
             pins a line in `*.txt`"
        );
    }
}
