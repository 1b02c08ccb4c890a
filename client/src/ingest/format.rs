//! The kinds of test reports.

use std::fmt;

/// A kind of test report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// JUnit XML, in the dialects of pytest, unittest, Surefire, jest, nextest, Go and Jenkins.
    Junit,
    /// subunit, version 2.
    Subunit,
    /// The Test Anything Protocol, versions 12 to 14.
    Tap,
    /// The JSON lines of Rust's libtest and of nextest.
    Libtest,
    /// The JSON lines of `go test -json`.
    GoJson,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 5] = [
        Self::Junit,
        Self::Subunit,
        Self::Tap,
        Self::Libtest,
        Self::GoJson,
    ];

    /// Its name in output, which never changes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Junit => "junit",
            Self::Subunit => "subunit",
            Self::Tap => "tap",
            Self::Libtest => "libtest",
            Self::GoJson => "go-json",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
