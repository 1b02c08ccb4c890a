//! What happened in one environment.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The kind of a failure, in the order of the statistics (install is 1, silent is 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Category {
    /// The packages could not be installed or resolved.
    Install,
    /// The consumer could not be built or imported.
    Build,
    /// A test failed.
    Test,
    /// The run was ended by a signal or an abort.
    Crash,
    /// A run began and never came back. Concluded, never reported.
    Silent,
}

impl Category {
    /// Every category, in order.
    pub const ALL: [Self; 5] = [
        Self::Install,
        Self::Build,
        Self::Test,
        Self::Crash,
        Self::Silent,
    ];

    /// The position in [`Category::ALL`], 0 to 4.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The category at a position of [`Category::ALL`].
    pub fn from_index(index: usize) -> Option<Self> {
        Self::ALL.get(index).copied()
    }

    /// Its name, as people and programs see it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Install => "install",
            Self::Build => "build",
            Self::Test => "test",
            Self::Crash => "crash",
            Self::Silent => "silent",
        }
    }
}

impl fmt::Display for Category {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What an environment tells of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A run began.
    Started,
    /// A run passed.
    Passed,
    /// A run failed.
    Failed {
        /// The kind of the failure; never [`Category::Silent`].
        category: Category,
        /// What it looks like, if known.
        fingerprint: Option<Fingerprint>,
        /// What its repetition with the baseline came to.
        repeat: Repeat,
    },
}

/// What came of the repetition of a failing run with the baseline of every open rollout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Repeat {
    /// It was not repeated: the failure counts as it is.
    #[default]
    NotRepeated,
    /// The repetition passed: the failure counts.
    Passed,
    /// The repetition failed too, so the environment is broken by itself: the failure does not count.
    Failed,
}

/// A hash of what a failure looks like: 64 bits, 16 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Fingerprint(pub u64);

/// A text that is no fingerprint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no fingerprint; give 16 hexadecimal digits")]
pub struct InvalidFingerprint(String);

impl FromStr for Fingerprint {
    type Err = InvalidFingerprint;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = || InvalidFingerprint(text.chars().take(32).collect());
        if text.len() != 16 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(refuse());
        }
        u64::from_str_radix(text, 16)
            .map(Self)
            .map_err(|_| refuse())
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = InvalidFingerprint;

    fn try_from(text: String) -> Result<Self, InvalidFingerprint> {
        text.parse()
    }
}

impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> Self {
        fingerprint.to_string()
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_sixteen_hexadecimal_digits() {
        assert_eq!("00000000000000ff".parse(), Ok(Fingerprint(255)));
        assert_eq!(Fingerprint(255).to_string(), "00000000000000ff");
        for bad in [
            "",
            "ff",
            "+0000000000000ff",
            "00000000000000fg",
            "00000000000000ff0",
        ] {
            assert!(bad.parse::<Fingerprint>().is_err(), "{bad}");
        }
    }

    #[test]
    fn categories_keep_their_order() {
        for (index, category) in Category::ALL.into_iter().enumerate() {
            assert_eq!(category.index(), index);
            assert_eq!(Category::from_index(index), Some(category));
        }
        assert_eq!(Category::from_index(5), None);
    }
}
