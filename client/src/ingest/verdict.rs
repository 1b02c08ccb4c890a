//! Whether a run passed, and if not, in which category: from how it ended and what its tests reported.

use crate::v1::Category;

use super::fingerprint::Fingerprint;
use super::junit::JunitSummary;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// By itself, with this status.
    Exit(i32),
    /// By this signal.
    Signal(i32),
}

/// What is left of a test report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TestReport {
    /// It was read to its end.
    Whole(JunitSummary),
    /// It ends early or breaks off.
    Broken(JunitSummary),
    /// It is not there, or the run did not write it.
    Missing,
}

impl TestReport {
    fn summary(&self) -> Option<&JunitSummary> {
        match self {
            Self::Whole(summary) | Self::Broken(summary) => Some(summary),
            Self::Missing => None,
        }
    }
}

/// What is reported about a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It passed.
    Passed,
    /// It failed.
    Failed {
        /// The kind of the failure.
        category: Category,
        /// What it looks like, if the tests say.
        fingerprint: Option<Fingerprint>,
        /// Whether the command claimed success although a test failed.
        despite_exit_0: bool,
    },
}

/// Concludes. `stated` is the category of a failure about which nothing else is known.
///
/// A signal is a crash, and so is an exit of 129 to 159, by which a shell passes a signal on. Any other
/// exit than 0 is a failure, with or without a report; so is exit 0 with a failing test in a report.
/// Errors where no test ran are a failed build: nothing could be imported.
pub fn conclude(ending: Ending, reports: &[TestReport], stated: Category) -> Verdict {
    let summaries = || reports.iter().filter_map(TestReport::summary);
    let fails = summaries().any(JunitSummary::has_failures);
    let category = match ending {
        Ending::Signal(_) | Ending::Exit(129..=159) => Category::Crash,
        Ending::Exit(0) if !fails => return Verdict::Passed,
        Ending::Exit(_) => {
            let failures: u32 = summaries().map(|summary| summary.failures).sum();
            let errors: u32 = summaries().map(|summary| summary.errors).sum();
            let passed: u32 = summaries().map(JunitSummary::passed).sum();
            match (failures, errors, passed) {
                (0, 0, _) => stated,
                (0, _, 0) => Category::Build,
                (_, _, _) => Category::Test,
            }
        }
    };
    Verdict::Failed {
        category,
        fingerprint: summaries().find_map(|summary| summary.fingerprint),
        despite_exit_0: ending == Ending::Exit(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(tests: u32, failures: u32, errors: u32) -> TestReport {
        TestReport::Whole(JunitSummary {
            tests,
            failures,
            errors,
            ..JunitSummary::default()
        })
    }

    fn category(ending: Ending, reports: &[TestReport]) -> Option<Category> {
        match conclude(ending, reports, Category::Install) {
            Verdict::Passed => None,
            Verdict::Failed { category, .. } => Some(category),
        }
    }

    #[test]
    fn the_exit_decides_when_no_test_reports() {
        assert_eq!(category(Ending::Exit(0), &[]), None);
        assert_eq!(category(Ending::Exit(1), &[]), Some(Category::Install));
        assert_eq!(category(Ending::Signal(11), &[]), Some(Category::Crash));
        assert_eq!(category(Ending::Exit(139), &[]), Some(Category::Crash));
    }

    #[test]
    fn a_missing_or_truncated_report_never_turns_a_failure_into_a_pass() {
        assert_eq!(
            category(Ending::Exit(4), &[TestReport::Missing]),
            Some(Category::Install)
        );
        let broken = TestReport::Broken(JunitSummary {
            tests: 3,
            ..JunitSummary::default()
        });
        assert_eq!(
            category(Ending::Exit(1), &[broken]),
            Some(Category::Install)
        );
    }

    #[test]
    fn failing_tests_count_although_the_command_exits_with_0() {
        let verdict = conclude(Ending::Exit(0), &[report(3, 1, 0)], Category::Install);
        let Verdict::Failed {
            category,
            despite_exit_0,
            ..
        } = verdict
        else {
            panic!("a failing test is a failure");
        };
        assert_eq!((category, despite_exit_0), (Category::Test, true));
    }

    #[test]
    fn errors_without_a_test_that_ran_are_a_failed_build() {
        assert_eq!(
            category(Ending::Exit(2), &[report(2, 0, 2)]),
            Some(Category::Build)
        );
        assert_eq!(
            category(Ending::Exit(1), &[report(5, 0, 2)]),
            Some(Category::Test)
        );
        assert_eq!(
            category(Ending::Exit(1), &[report(2, 1, 1)]),
            Some(Category::Test)
        );
    }

    #[test]
    fn a_segmentation_fault_after_failing_tests_is_a_crash() {
        assert_eq!(
            category(Ending::Signal(11), &[report(5, 1, 0)]),
            Some(Category::Crash)
        );
    }
}
