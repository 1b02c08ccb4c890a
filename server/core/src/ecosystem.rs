//! Where names and versions come from.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Decides how a name is normalised and how versions compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ecosystem {
    /// Python: names by PEP 503, versions by PEP 440.
    Pypi,
    /// Rust: SemVer 2.0.0.
    Cargo,
    /// JavaScript: SemVer 2.0.0, scoped names.
    Npm,
    /// Go modules: SemVer 2.0.0 with a leading `v`.
    Go,
}

/// A text that names no ecosystem.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no ecosystem; give `pypi`, `cargo`, `npm` or `go`")]
pub struct UnknownEcosystem(String);

impl Ecosystem {
    /// Every ecosystem.
    pub const ALL: [Self; 4] = [Self::Pypi, Self::Cargo, Self::Npm, Self::Go];

    /// Its name, as people and programs see it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pypi => "pypi",
            Self::Cargo => "cargo",
            Self::Npm => "npm",
            Self::Go => "go",
        }
    }
}

impl fmt::Display for Ecosystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Ecosystem {
    type Err = UnknownEcosystem;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|ecosystem| ecosystem.as_str() == text)
            .ok_or_else(|| UnknownEcosystem(text.chars().take(32).collect()))
    }
}
