//! Why a file cannot be edited or read.

use super::format::UnknownFormat;
use super::text::Malformed;

/// Why a file cannot be edited.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// Its format is not known.
    #[error(transparent)]
    Format(#[from] UnknownFormat),
    /// It is not of its format.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// Two changes are of the same pin.
    #[error("two changes are of `{0}`; give one")]
    Repeated(String),
    /// It does not name the package.
    #[error("it has no pin of `{0}`")]
    Missing(String),
    /// Somebody moved the pin elsewhere.
    #[error("it pins `{package}` to {found}, which is neither {from} nor {to}")]
    OtherVersion {
        /// The package.
        package: String,
        /// The version it has.
        found: String,
        /// The version it was to have.
        from: String,
        /// The version it was to get.
        to: String,
    },
    /// It asks for versions to which the change does not belong.
    #[error("line {line} asks for `{package}` at `{found}`, which admits neither {from} nor {to}")]
    OtherRange {
        /// The package.
        package: String,
        /// Its line, counted from 1.
        line: usize,
        /// What it asks for.
        found: String,
        /// The version it was to admit.
        from: String,
        /// The version it was to get.
        to: String,
    },
    /// Without the version that is excluded, nothing of what is asked for remains.
    #[error(
        "line {line} asks for `{package}` at `{found}`, which does not admit {to}; without {from} it has to be widened first"
    )]
    Lost {
        /// The package.
        package: String,
        /// Its line, counted from 1.
        line: usize,
        /// What it asks for.
        found: String,
        /// The version that is excluded.
        from: String,
        /// The version that is to remain.
        to: String,
    },
    /// The pin stands in a line with a hash.
    #[error("line {0} carries a hash, which a new version would not match")]
    Hashed(usize),
    /// It names the package without a version.
    #[error("line {line} names `{package}` without a version that could change: {reason}")]
    NoVersion {
        /// The package.
        package: String,
        /// Its line, counted from 1.
        line: usize,
        /// What stands there.
        reason: String,
    },
    /// A pin is to come or to go where only people decide what is required.
    #[error(
        "`{package}` cannot be {what} `{format}`, whose requirements are the project's own; pins come and go in constraints files"
    )]
    Unheld {
        /// The package.
        package: String,
        /// `added to` or `removed from`.
        what: &'static str,
        /// The format's file name.
        format: &'static str,
    },
}

/// Why the pins of a file cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Its format is not known.
    #[error(transparent)]
    Format(#[from] UnknownFormat),
    /// It is not of its format.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// It pins a package to two versions.
    #[error("line {line} pins `{package}` to {version}, but line {other_line} to {other}")]
    Conflicting {
        /// The package.
        package: String,
        /// The later line, counted from 1.
        line: usize,
        /// Its version.
        version: String,
        /// The earlier line.
        other_line: usize,
        /// Its version.
        other: String,
    },
}
