//! Test reports as they are named on the command line: files, and patterns of files.

use std::fmt;
use std::path::{Path, PathBuf};

use pinion_client::ingest::{ReportError, TestReport, read_report};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::terminal::Terminal;

/// Files that one pattern may match; further ones are not read.
const FILES_MAX: usize = 10_000;

/// A file, or a pattern such as `reports/*.xml`.
#[derive(Clone, Debug)]
pub(super) struct Named(PathBuf);

/// The reports that were named.
pub(super) fn named(names: &[PathBuf]) -> Vec<Named> {
    names.iter().cloned().map(Named).collect()
}

impl fmt::Display for Named {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(formatter)
    }
}

impl Named {
    /// Whether it names standard input.
    pub(super) fn is_stdin(&self) -> bool {
        self.0.as_os_str() == "-"
    }

    /// The file of this name, or the files that match; in order, and none when there are none.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        if self.0.exists() {
            return vec![self.0.clone()];
        }
        let pattern = self
            .0
            .to_str()
            .filter(|name| name.contains(['*', '?', '[']));
        // What is no pattern, such as `a[b`, can only be a file, and that is not there.
        let matches = pattern.and_then(|pattern| glob::glob(pattern).ok());
        let files = matches.into_iter().flatten().flatten();
        files
            .filter(|path| path.is_file())
            .take(FILES_MAX)
            .collect()
    }
}

/// Reads a report, and says what is wrong with it.
pub(super) fn read(path: &Path, terminal: &Terminal) -> TestReport {
    match read_report(path) {
        Ok(reading) => TestReport::Whole(reading.counts),
        Err(error) => {
            terminal.warn(&error);
            what_is_left(error)
        }
    }
}

/// What counts of a report that cannot be read to its end.
pub(super) fn what_is_left(error: ReportError) -> TestReport {
    match error {
        ReportError::Broken { until_there, .. } => TestReport::Broken(*until_there),
        ReportError::Unreadable { .. } | ReportError::Unknown { .. } => TestReport::Missing,
    }
}

/// The exit code of what is wrong with a report.
pub(super) fn exit(error: &ReportError) -> Exit {
    match error {
        ReportError::Unreadable { cause, .. } if cause.kind() == std::io::ErrorKind::NotFound => {
            Exit::NotFound
        }
        ReportError::Unreadable { .. } => Exit::Refused,
        ReportError::Unknown { .. } | ReportError::Broken { .. } => Exit::Invalid,
    }
}

/// That nothing of this name is there.
pub(super) fn missing(named: &Named) -> Failure {
    Failure::new(Exit::NotFound, format!("there is no test report `{named}`"))
        .next("name a file, or a pattern in quotes such as 'reports/*.xml'")
}
