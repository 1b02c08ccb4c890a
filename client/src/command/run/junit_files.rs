//! The JUnit files that a run was to write, and whether it did.

use std::path::PathBuf;
use std::time::SystemTime;

use pinion_client::ingest::{JunitError, TestReport, read_junit};

use crate::terminal::Terminal;

/// The files as they were before the run.
pub(super) struct JunitFiles {
    files: Vec<(PathBuf, Option<Trace>)>,
}

/// What tells one writing of a file from another.
type Trace = (SystemTime, u64);

impl JunitFiles {
    /// Looks at the files before the run, so that an old one is not taken for a new one.
    pub(super) fn before(files: &[PathBuf]) -> Self {
        let files = files.iter().map(|path| (path.clone(), trace(path)));
        Self {
            files: files.collect(),
        }
    }

    /// Reads what the run wrote; says which files are missing, old or broken.
    pub(super) fn after(self, terminal: &Terminal) -> Vec<TestReport> {
        let read = |(path, before): (PathBuf, Option<Trace>)| {
            if before.is_some() && before == trace(&path) {
                let path = path.display();
                terminal.warn(format_args!(
                    "the run did not write the test report `{path}`: it is ignored"
                ));
                return TestReport::Missing;
            }
            match read_junit(&path) {
                Ok(summary) => TestReport::Whole(summary),
                Err(error) => {
                    terminal.warn(&error);
                    match error {
                        JunitError::Broken { until_there, .. } => TestReport::Broken(until_there),
                        JunitError::Unreadable { .. } | JunitError::OtherXml { .. } => {
                            TestReport::Missing
                        }
                    }
                }
            }
        };
        self.files.into_iter().map(read).collect()
    }
}

fn trace(path: &PathBuf) -> Option<Trace> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}
