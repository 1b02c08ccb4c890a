//! From what a command left behind, its exit and its test reports, to one outcome.
//!
//! Reports are streamed: JUnit XML, subunit v2, TAP, libtest JSON and `go test -json`. Which one it is, is
//! told from its content. None of them is trusted: sizes, depths and what is kept in memory are limited.

mod counts;
mod detection;
mod fingerprint;
mod format;
mod go_json;
mod json_lines;
mod junit;
mod libtest;
mod output;
mod reading;
mod source;
mod subunit;
mod tap;
mod verdict;

pub use counts::Counts;
pub use fingerprint::Fingerprint;
pub use format::Format;
pub use output::category_of_output;
pub use reading::{
    Position, REPORT_BYTES_MAX, Reading, ReportError, read_report, read_report_from,
};
pub use verdict::{Ending, TestReport, Verdict, conclude, conclude_reports};
