//! Ranges of versions, read as their ecosystem reads them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ecosystem::Ecosystem;
use crate::pin::first_line;
use crate::version::Version;

/// The longest range, in bytes.
pub const RANGE_BYTES_MAX: usize = 256;

/// Versions that will do: PEP 440 specifiers, Cargo's or npm's ranges, or a least version of a Go module.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct Range {
    ecosystem: Ecosystem,
    written: String,
    parsed: Parsed,
}

#[derive(Clone, Debug)]
enum Parsed {
    Pep440(pep440_rs::VersionSpecifiers),
    Cargo(semver::VersionReq),
    Npm(nodejs_semver::Range),
    /// Go's only form: this version or a newer one.
    AtLeast(Version),
}

#[derive(Serialize, Deserialize)]
struct Stored {
    ecosystem: Ecosystem,
    range: String,
}

/// A text that is no range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no range of versions: {cause}")]
pub struct InvalidRange {
    text: String,
    cause: String,
}

impl Range {
    /// The range that a text is in an ecosystem.
    ///
    /// # Errors
    /// If it is none there, or longer than [`RANGE_BYTES_MAX`].
    pub fn parse(ecosystem: Ecosystem, text: &str) -> Result<Self, InvalidRange> {
        let text = text.trim();
        let refuse = |cause: String| InvalidRange {
            text: text.chars().take(64).collect(),
            cause: first_line(&cause),
        };
        if text.is_empty() || text.len() > RANGE_BYTES_MAX {
            return Err(refuse(format!("give 1 to {RANGE_BYTES_MAX} bytes")));
        }
        let parsed = match ecosystem {
            Ecosystem::Pypi => pep440_rs::VersionSpecifiers::from_str(text)
                .map(Parsed::Pep440)
                .map_err(|error| refuse(error.to_string()))?,
            Ecosystem::Cargo => semver::VersionReq::parse(text)
                .map(Parsed::Cargo)
                .map_err(|error| refuse(error.to_string()))?,
            Ecosystem::Npm => nodejs_semver::Range::parse(text)
                .map(Parsed::Npm)
                .map_err(|error| refuse(error.to_string()))?,
            Ecosystem::Go => Version::parse(ecosystem, text.trim_start_matches(['>', '=', ' ']))
                .map(Parsed::AtLeast)
                .map_err(|error| refuse(error.to_string()))?,
        };
        Ok(Self {
            ecosystem,
            written: text.to_owned(),
            parsed,
        })
    }

    /// Whether a version will do; one of another ecosystem never does.
    pub fn has(&self, version: &Version) -> bool {
        match &self.parsed {
            Parsed::Pep440(specifiers) => version
                .pep440()
                .is_some_and(|version| specifiers.contains(version)),
            Parsed::Cargo(range) => version
                .semver()
                .is_some_and(|version| range.matches(version)),
            Parsed::Npm(range) => nodejs_semver::Version::parse(version.as_str())
                .is_ok_and(|version| range.satisfies(&version)),
            Parsed::AtLeast(least) => !least.is_newer_than(version),
        }
    }
}

impl Range {
    /// Whether it has a version that is compatible with this one by Cargo's rule, which asks the same of the leftmost
    /// number that is not zero; false outside Cargo.
    pub fn has_compatible(&self, version: &Version) -> bool {
        let (Parsed::Cargo(range), Some(version)) = (&self.parsed, version.semver()) else {
            return false;
        };
        // A range begins where a comparator stands or next to it, or at the first version of all.
        let first = match (version.major, version.minor) {
            (0, 0) => semver::Version::new(0, 0, version.patch),
            (0, minor) => semver::Version::new(0, minor, 0),
            (major, _) => semver::Version::new(major, 0, 0),
        };
        let bounds = range.comparators.iter().flat_map(bounds);
        let mut probes = std::iter::once(first.clone()).chain(bounds);
        probes.any(|probe| is_compatible(&first, &probe) && range.matches(&probe))
    }
}

/// The version of a comparator, and those after it with which a range that leaves it out begins.
fn bounds(comparator: &semver::Comparator) -> [semver::Version; 4] {
    let (major, minor) = (comparator.major, comparator.minor.unwrap_or(0));
    let patch = comparator.patch.unwrap_or(0);
    let exact = semver::Version {
        pre: comparator.pre.clone(),
        ..semver::Version::new(major, minor, patch)
    };
    [
        exact,
        semver::Version::new(major, minor, patch.saturating_add(1)),
        semver::Version::new(major, minor.saturating_add(1), 0),
        semver::Version::new(major.saturating_add(1), 0, 0),
    ]
}

fn is_compatible(a: &semver::Version, b: &semver::Version) -> bool {
    match (a.major, a.minor) {
        (0, 0) => (b.major, b.minor, b.patch) == (0, 0, a.patch),
        (0, minor) => (b.major, b.minor) == (0, minor),
        (major, _) => b.major == major,
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

impl PartialEq for Range {
    fn eq(&self, other: &Self) -> bool {
        self.ecosystem == other.ecosystem && self.written == other.written
    }
}

impl Eq for Range {}

impl TryFrom<Stored> for Range {
    type Error = InvalidRange;

    fn try_from(stored: Stored) -> Result<Self, InvalidRange> {
        Self::parse(stored.ecosystem, &stored.range)
    }
}

impl From<Range> for Stored {
    fn from(range: Range) -> Self {
        Self {
            ecosystem: range.ecosystem,
            range: range.written,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_ecosystem_has_ranges_of_its_own() {
        let has = |ecosystem, range, version| {
            let version = Version::parse(ecosystem, version).expect("a version");
            Range::parse(ecosystem, range).expect(range).has(&version)
        };
        for (ecosystem, range, inside, outside) in [
            (Ecosystem::Pypi, ">=3,<4,!=3.1.0", "3.0", "3.1"),
            (Ecosystem::Pypi, "~=2.2", "2.9", "3.0"),
            (Ecosystem::Cargo, "1.2", "1.9.0", "2.0.0"),
            (Ecosystem::Cargo, "=1.2.3", "1.2.3", "1.2.4"),
            (Ecosystem::Npm, "1.2.3", "1.2.3", "1.2.4"),
            (Ecosystem::Npm, "^18 || ^20", "20.1.0", "19.0.0"),
            (Ecosystem::Npm, ">=1.2 <3", "2.9.9", "3.0.0"),
            (Ecosystem::Go, ">=v1.2.0", "v1.3.0", "v1.1.0"),
            (Ecosystem::Go, "v1.2.0", "v1.2.0", "v1.1.9"),
        ] {
            assert!(has(ecosystem, range, inside), "{range} {inside}");
            assert!(!has(ecosystem, range, outside), "{range} {outside}");
        }
        for (ecosystem, text) in [
            (Ecosystem::Pypi, "3"),
            (Ecosystem::Cargo, "one"),
            (Ecosystem::Npm, "not-a-range"),
            (Ecosystem::Go, "1.2"),
            (Ecosystem::Pypi, ""),
        ] {
            assert!(Range::parse(ecosystem, text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn versions_that_cargo_builds_side_by_side_are_not_compatible() {
        let about = |range, version| {
            let version = Version::parse(Ecosystem::Cargo, version).expect("a version");
            let range = Range::parse(Ecosystem::Cargo, range).expect(range);
            range.has_compatible(&version)
        };
        for (range, inside, outside) in [
            ("^1.0.100", "1.0.50", "2.0.0"),
            ("=1.0.229", "1.0.228", "0.9.0"),
            ("0.3", "0.3.1", "0.4.0"),
            ("=0.0.3", "0.0.3", "0.0.4"),
            (">=1, <3", "2.5.0", "3.0.0"),
            (">1", "2.0.0", "1.0.0"),
            (">1.2.3", "1.0.0", "0.9.0"),
            ("<2", "0.1.0", "2.0.0"),
            ("1.*", "1.9.9", "2.0.0"),
        ] {
            assert!(about(range, inside), "{range} {inside}");
            assert!(!about(range, outside), "{range} {outside}");
        }
        assert!(about("*", "7.0.0"));
        assert!(about("^2.0.0-rc.1", "2.0.0"));
    }

    #[test]
    fn a_range_is_stored_as_it_was_written() {
        let range = Range::parse(Ecosystem::Npm, "^18 || ^20").expect("a range");
        let text = serde_json::to_string(&range).expect("serialises");
        let back: Range = serde_json::from_str(&text).expect("deserialises");
        assert_eq!(back, range);
    }
}
