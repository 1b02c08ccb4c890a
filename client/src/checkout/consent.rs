//! What the owner of a checkout agreed to.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What is done with outcomes.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(from = "Read", rename_all = "kebab-case")]
pub(crate) enum Consent {
    /// Nothing.
    Off,
    /// They are kept on this machine and shown, and never sent.
    Local,
    /// They are sent.
    On,
}

impl Consent {
    /// Whether anything may be sent.
    pub(crate) fn sends(self) -> bool {
        self == Self::On
    }

    /// Whether anything may be kept.
    pub(crate) fn keeps(self) -> bool {
        self != Self::Off
    }
}

impl fmt::Display for Consent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Off => "off",
            Self::Local => "local",
            Self::On => "on",
        })
    }
}

/// A level, or, as files of before the levels have it, whether outcomes are reported.
#[derive(Deserialize)]
#[serde(untagged)]
enum Read {
    Reported(bool),
    Level(Level),
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Level {
    Off,
    Local,
    On,
}

impl From<Read> for Consent {
    fn from(read: Read) -> Self {
        match read {
            Read::Reported(false) | Read::Level(Level::Off) => Self::Off,
            Read::Level(Level::Local) => Self::Local,
            Read::Reported(true) | Read::Level(Level::On) => Self::On,
        }
    }
}
