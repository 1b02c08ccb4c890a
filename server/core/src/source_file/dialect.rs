//! The languages in which requirements are written.

use std::cmp::Ordering;
use std::ops::Range;

use semver::VersionReq;

use super::clause::{self, sole_clause};
use super::{npm, pep508, poetry};
use crate::ecosystem::Ecosystem;
use crate::version::Version;

/// The language of a requirement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Version specifiers of PEP 440, such as `>=1.3,<2`.
    Pep440,
    /// Poetry's, which are those and `^`, `~`, `||` and a bare version.
    Poetry,
    /// Cargo's, where a bare version is `^`.
    Cargo,
    /// npm's, where a bare version is exact.
    Npm,
    /// One version and nothing else: Go's, and that of lines of pins.
    Version(Ecosystem),
}

/// Whether two versions are the same to a requirement: what follows a `+` in semantic versions is not told apart.
pub(super) fn is_same(one: &Version, other: &Version) -> bool {
    one.cmp_precedence(other) == Ordering::Equal
}

impl Dialect {
    /// The version of an exact requirement and where it stands; none if more versions are admitted.
    pub(super) fn exact(self, text: &str) -> Option<(Version, Range<usize>)> {
        let (ecosystem, operators): (_, &[&str]) = match self {
            Self::Pep440 => (Ecosystem::Pypi, &["==", "==="]),
            Self::Poetry => (Ecosystem::Pypi, &["", "=", "==", "==="]),
            Self::Cargo => (Ecosystem::Cargo, &["="]),
            Self::Npm => (Ecosystem::Npm, &["", "="]),
            Self::Version(ecosystem) => {
                let version = Version::parse(ecosystem, text).ok()?;
                return Some((version, 0..text.len()));
            }
        };
        let clause = sole_clause(text).filter(|clause| operators.contains(&clause.operator))?;
        let version = Version::parse(ecosystem, clause.version).ok()?;
        Some((version, clause.at))
    }

    /// A version where only that is admitted.
    pub(super) fn write_exact(self, version: &Version) -> String {
        let written = self.write(version);
        match self {
            Self::Pep440 => format!("=={written}"),
            Self::Cargo => format!("={written}"),
            Self::Poetry | Self::Npm | Self::Version(_) => written,
        }
    }

    /// A version behind an operator. Cargo and npm leave out what follows a `+`.
    pub(super) fn write(self, version: &Version) -> String {
        let written = version.as_str();
        match self {
            Self::Cargo | Self::Npm => written.split('+').next().unwrap_or(written).to_owned(),
            Self::Pep440 | Self::Poetry | Self::Version(_) => written.to_owned(),
        }
    }

    /// Whether a requirement admits a version, be it only because no other is left; none if the text is no requirement.
    pub(super) fn admits(self, text: &str, version: &Version) -> Option<bool> {
        match self {
            Self::Pep440 => pep508::admits(text, version),
            Self::Poetry => poetry::admits(text, version),
            Self::Cargo => {
                let requirement = VersionReq::parse(text.trim()).ok()?;
                let version = semver::Version::parse(version.as_str()).ok()?;
                Some(requirement.matches(&version))
            }
            Self::Npm => npm::admits(text, version),
            Self::Version(_) => None,
        }
    }

    /// Whether a tool would take a version for a requirement: pre-releases only where they are named.
    pub(super) fn takes(self, text: &str, version: &Version) -> bool {
        let is_named = || match self {
            Self::Pep440 | Self::Poetry => {
                !pep508::is_prerelease(version) || pep508::names_prerelease(text)
            }
            // These do not admit others at all.
            Self::Cargo | Self::Npm | Self::Version(_) => true,
        };
        self.admits(text, version) == Some(true) && is_named()
    }

    /// The version that a clause names, with zeros for the parts that it leaves out.
    pub(super) fn named(self, written: &str) -> Option<Version> {
        match self {
            Self::Pep440 | Self::Poetry => Version::parse(Ecosystem::Pypi, written).ok(),
            Self::Cargo => semantic(Ecosystem::Cargo, written),
            Self::Npm => semantic(Ecosystem::Npm, written),
            Self::Version(ecosystem) => Version::parse(ecosystem, written).ok(),
        }
    }

    /// What has to be inserted so that a version is no longer admitted; none if that cannot be said.
    pub(super) fn exclusion(self, text: &str, version: &Version) -> Option<(Range<usize>, String)> {
        let clause = format!("!={}", self.write(version));
        match self {
            Self::Pep440 => Some(pep508::addition(text, &clause)),
            Self::Poetry => poetry::addition(text, &clause),
            Self::Cargo | Self::Npm | Self::Version(_) => None,
        }
    }

    /// What has to be inserted so that a version is the lowest; none if that is not said by adding.
    pub(super) fn lower_bound(
        self,
        text: &str,
        version: &Version,
    ) -> Option<(Range<usize>, String)> {
        let clause = format!(">={}", self.write(version));
        match self {
            Self::Pep440 => Some(pep508::addition(text, &clause)),
            Self::Poetry => poetry::addition(text, &clause),
            Self::Cargo | Self::Npm | Self::Version(_) => None,
        }
    }
}

fn semantic(ecosystem: Ecosystem, written: &str) -> Option<Version> {
    let written = clause::without_v(written);
    let zeros = match written.split('.').count() {
        1 => ".0.0",
        2 => ".0",
        _ => "",
    };
    Version::parse(ecosystem, &format!("{written}{zeros}")).ok()
}
