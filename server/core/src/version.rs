//! Exact versions, compared as their ecosystem does.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ecosystem::Ecosystem;

/// The longest version, in bytes.
pub const VERSION_BYTES_MAX: usize = 128;

/// An exact version. Keeps its text; versions that the ecosystem takes for the same are equal, such as
/// `1.0` and `1.0.0` in pypi. 1 to [`VERSION_BYTES_MAX`] bytes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct Version {
    ecosystem: Ecosystem,
    written: String,
    parsed: Parsed,
}

#[derive(Clone, Debug)]
enum Parsed {
    Pep440(pep440_rs::Version),
    SemVer(semver::Version),
}

#[derive(Serialize, Deserialize)]
struct Stored {
    ecosystem: Ecosystem,
    version: String,
}

/// The release number of a version, such as 2.31.0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// Before everything else, in PEP 440; else 0.
    pub epoch: u64,
    /// As many as are written, at least one.
    pub places: Vec<u64>,
}

/// A text that is no exact version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no exact version of {ecosystem}: {cause}")]
pub struct InvalidVersion {
    /// The text, cut at 64 characters.
    text: String,
    /// Where.
    ecosystem: Ecosystem,
    /// What is wrong.
    cause: String,
}

impl Version {
    /// The version that a text is in an ecosystem.
    ///
    /// # Errors
    /// If it is none there, or a range.
    pub fn parse(ecosystem: Ecosystem, text: &str) -> Result<Self, InvalidVersion> {
        let refuse = |cause: String| InvalidVersion {
            text: text.chars().take(64).collect(),
            ecosystem,
            cause,
        };
        if text.is_empty() || text.len() > VERSION_BYTES_MAX {
            return Err(refuse(format!("give 1 to {VERSION_BYTES_MAX} bytes")));
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(refuse(
                "it has a character that is not printable ASCII".to_owned(),
            ));
        }
        let semver = |text: &str| {
            semver::Version::parse(text)
                .map(Parsed::SemVer)
                .map_err(|error| refuse(error.to_string()))
        };
        let parsed = match ecosystem {
            Ecosystem::Pypi => pep440_rs::Version::from_str(text)
                .map(Parsed::Pep440)
                .map_err(|error| refuse(error.to_string().replace('\n', " ")))?,
            Ecosystem::Cargo | Ecosystem::Npm => semver(text)?,
            Ecosystem::Go => semver(
                text.strip_prefix('v')
                    .ok_or_else(|| refuse("it begins with `v`".to_owned()))?,
            )?,
        };
        Ok(Self {
            ecosystem,
            written: text.to_owned(),
            parsed,
        })
    }

    /// The version as written.
    pub fn as_str(&self) -> &str {
        &self.written
    }

    /// Its release number.
    pub fn release(&self) -> Release {
        match &self.parsed {
            Parsed::Pep440(version) => Release {
                epoch: version.epoch(),
                places: version.release().to_vec(),
            },
            Parsed::SemVer(version) => Release {
                epoch: 0,
                places: vec![version.major, version.minor, version.patch],
            },
        }
    }

    /// The order of the ecosystem: PEP 440, or SemVer's precedence, which leaves build metadata out.
    pub fn cmp_precedence(&self, other: &Self) -> Ordering {
        match (&self.parsed, &other.parsed) {
            (Parsed::Pep440(a), Parsed::Pep440(b)) => a.cmp(b),
            (Parsed::SemVer(a), Parsed::SemVer(b)) => a.cmp_precedence(b),
            (Parsed::Pep440(_), Parsed::SemVer(_)) | (Parsed::SemVer(_), Parsed::Pep440(_)) => {
                self.ecosystem.cmp(&other.ecosystem)
            }
        }
    }

    pub(crate) const fn pep440(&self) -> Option<&pep440_rs::Version> {
        match &self.parsed {
            Parsed::Pep440(version) => Some(version),
            Parsed::SemVer(_) => None,
        }
    }

    pub(crate) const fn semver(&self) -> Option<&semver::Version> {
        match &self.parsed {
            Parsed::SemVer(version) => Some(version),
            Parsed::Pep440(_) => None,
        }
    }

    /// Whether it comes before a release: a development, alpha, beta or candidate version.
    pub fn is_early(&self) -> bool {
        match &self.parsed {
            Parsed::Pep440(version) => version.any_prerelease(),
            Parsed::SemVer(version) => !version.pre.is_empty(),
        }
    }

    /// Whether it comes after `other`.
    pub fn is_newer_than(&self, other: &Self) -> bool {
        self.cmp_precedence(other) == Ordering::Greater
    }
}

impl PartialEq for Version {
    /// The same version, build metadata and local version included.
    fn eq(&self, other: &Self) -> bool {
        match (&self.parsed, &other.parsed) {
            (Parsed::Pep440(a), Parsed::Pep440(b)) => a == b,
            (Parsed::SemVer(a), Parsed::SemVer(b)) => self.ecosystem == other.ecosystem && a == b,
            _ => false,
        }
    }
}

impl Eq for Version {}

impl Hash for Version {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match &self.parsed {
            Parsed::Pep440(version) => version.hash(state),
            Parsed::SemVer(version) => version.hash(state),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

impl TryFrom<Stored> for Version {
    type Error = InvalidVersion;

    fn try_from(stored: Stored) -> Result<Self, InvalidVersion> {
        Self::parse(stored.ecosystem, &stored.version)
    }
}

impl From<Version> for Stored {
    fn from(version: Version) -> Self {
        Self {
            ecosystem: version.ecosystem,
            version: version.written,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(ecosystem: Ecosystem, text: &str) -> Version {
        Version::parse(ecosystem, text).expect("a version")
    }

    #[test]
    fn pypi_versions_compare_by_pep_440() {
        let v = |text| version(Ecosystem::Pypi, text);
        let order = [
            "1.0.dev1",
            "1.0a1",
            "1.0rc1",
            "1.0",
            "1.0+local.1",
            "1.0.post1",
            "1.1",
            "1!0.5",
        ];
        for pair in order.windows(2) {
            assert!(v(pair[1]).is_newer_than(&v(pair[0])), "{pair:?}");
        }
        assert_eq!(v("1.0"), v("1.0.0"));
        assert_eq!(v("1.0.0").as_str(), "1.0.0");
        assert_ne!(v("1.0"), v("1.0+local"));
    }

    #[test]
    fn semantic_versions_compare_by_precedence() {
        let v = |text| version(Ecosystem::Cargo, text);
        assert!(v("1.0.0").is_newer_than(&v("1.0.0-rc.1")));
        assert!(v("1.10.0").is_newer_than(&v("1.9.0")));
        assert!(!v("1.0.0+b").is_newer_than(&v("1.0.0+a")));
        assert_ne!(v("1.0.0+b"), v("1.0.0+a"));
        let go = |text| version(Ecosystem::Go, text);
        assert!(go("v2.0.0+incompatible").is_newer_than(&go("v1.9.9")));
        assert!(
            go("v0.0.0-20230101000000-abcdefabcdef")
                .is_newer_than(&go("v0.0.0-20220101000000-abcdefabcdef"))
        );
    }

    #[test]
    fn ranges_and_nonsense_are_refused() {
        for bad in ["", ">=1.0", "1.*", "latest", "1.0 ", "1.0;x"] {
            assert!(Version::parse(Ecosystem::Pypi, bad).is_err(), "{bad:?}");
        }
        for bad in ["1.0", "^1.0.0", "v1.0.0", "1.0.0 "] {
            assert!(Version::parse(Ecosystem::Npm, bad).is_err(), "{bad:?}");
        }
        assert!(Version::parse(Ecosystem::Go, "1.0.0").is_err());
    }
}
