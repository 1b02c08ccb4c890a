//! The test reports that a run was to write, and whether it did.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use pinion_client::ingest::TestReport;

use crate::command::report_files::{self, Named};
use crate::terminal::Terminal;

/// The files as they were before the run.
pub(in crate::command) struct WrittenReports {
    named: Vec<Named>,
    before: BTreeMap<PathBuf, Trace>,
}

/// What tells one writing of a file from another.
type Trace = (SystemTime, u64);

impl WrittenReports {
    /// Looks at the files before the run, so that an old one is not taken for a new one.
    pub(in crate::command) fn before(names: &[PathBuf]) -> Self {
        let named = report_files::named(names);
        let files = named.iter().flat_map(Named::files);
        let before = files.filter_map(|path| Some((path.clone(), trace(&path)?)));
        Self {
            before: before.collect(),
            named,
        }
    }

    /// Reads what the run wrote; says which reports are missing, old or broken.
    pub(in crate::command) fn after(self, terminal: &Terminal) -> Vec<TestReport> {
        let mut reports = Vec::new();
        let mut read = Vec::new();
        for named in &self.named {
            let files = named.files();
            let (old, new): (Vec<_>, Vec<_>) =
                files.into_iter().partition(|path| self.is_old(path));
            if new.is_empty() {
                terminal.warn(match old.is_empty() {
                    true => format!("the run left no test report `{named}`"),
                    false => {
                        format!("the run did not write the test report `{named}`: it is ignored")
                    }
                });
                reports.push(TestReport::Missing);
            }
            for path in new
                .into_iter()
                .filter(|path| !read.contains(path))
                .collect::<Vec<_>>()
            {
                reports.push(report_files::read(&path, terminal));
                read.push(path);
            }
        }
        reports
    }

    fn is_old(&self, path: &Path) -> bool {
        let before = self.before.get(path);
        before.is_some() && before == trace(path).as_ref()
    }
}

fn trace(path: &Path) -> Option<Trace> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}
