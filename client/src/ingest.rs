//! From what a command left behind, its exit and its test reports, to one outcome.

mod fingerprint;
mod junit;
mod verdict;

pub use fingerprint::Fingerprint;
pub use junit::{JUNIT_BYTES_MAX, JunitError, JunitSummary, read_junit};
pub use verdict::{Ending, TestReport, Verdict, conclude};
