//! Whether a run passed, and if not, in which category: from how it ended and what its tests reported.

use crate::v1::Category;

use super::counts::Counts;
use super::fingerprint::Fingerprint;

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
    Whole(Counts),
    /// It ends early or breaks off.
    Broken(Counts),
    /// It is not there, or the run did not write it.
    Missing,
}

impl TestReport {
    fn counts(&self) -> Option<&Counts> {
        match self {
            Self::Whole(counts) | Self::Broken(counts) => Some(counts),
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

impl Verdict {
    /// The same; a failure about whose look the reports say nothing gets this one.
    pub fn or_look(mut self, look: impl FnOnce() -> Option<Fingerprint>) -> Self {
        if let Self::Failed { fingerprint, .. } = &mut self {
            *fingerprint = fingerprint.or_else(look);
        }
        self
    }
}

/// Concludes. `stated` is the category of a failure about which nothing else is known.
///
/// A signal is a crash, and so is an exit of 129 to 159, by which a shell passes a signal on. Any other
/// exit than 0 is a failure, with or without a report; so is exit 0 with a failing test in a report.
/// Errors where no test ran are a failed build: nothing could be imported.
pub fn conclude(ending: Ending, reports: &[TestReport], stated: Category) -> Verdict {
    let category = match ending {
        Ending::Signal(_) | Ending::Exit(129..=159) => Category::Crash,
        Ending::Exit(0) if !have_failures(reports) => return Verdict::Passed,
        Ending::Exit(_) => category(reports, stated),
    };
    Verdict::Failed {
        category,
        fingerprint: fingerprint(reports),
        despite_exit_0: ending == Ending::Exit(0),
    }
}

/// Concludes from reports alone, where nobody knows how the command ended; `None` if they do not say.
///
/// Failures are seen wherever the report breaks off. That it passed is known only from whole reports, of
/// which none is missing, and in which there is a test.
pub fn conclude_reports(reports: &[TestReport], stated: Category) -> Option<Verdict> {
    if have_failures(reports) {
        return Some(Verdict::Failed {
            category: category(reports, stated),
            fingerprint: fingerprint(reports),
            despite_exit_0: false,
        });
    }
    let is_whole = |report: &TestReport| matches!(report, TestReport::Whole(_));
    let has_tests = counts(reports).any(|counts| counts.tests > 0);
    (has_tests && reports.iter().all(is_whole)).then_some(Verdict::Passed)
}

fn counts(reports: &[TestReport]) -> impl Iterator<Item = &Counts> {
    reports.iter().filter_map(TestReport::counts)
}

fn have_failures(reports: &[TestReport]) -> bool {
    counts(reports).any(Counts::has_failures)
}

fn category(reports: &[TestReport], stated: Category) -> Category {
    let sum = |of: fn(&Counts) -> u32| counts(reports).map(|counts| u64::from(of(counts))).sum();
    let failed: u64 = sum(|counts| counts.failed);
    let broken: u64 = sum(|counts| counts.errors) + sum(|counts| counts.suite_failures);
    let not_built: u64 = sum(|counts| counts.build_failures);
    let passed: u64 = sum(|counts| counts.passed);
    match (failed, broken, passed) {
        (0, 0, _) => stated,
        (0, _, 0) => Category::Build,
        (0, broken, _) if broken == not_built => Category::Build,
        (_, _, _) => Category::Test,
    }
}

/// The look that most failures share, in the first report that has one.
fn fingerprint(reports: &[TestReport]) -> Option<Fingerprint> {
    counts(reports).find_map(|counts| counts.fingerprints.first().copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(tests: u32, failed: u32, errors: u32) -> TestReport {
        TestReport::Whole(Counts {
            tests,
            passed: tests - failed - errors,
            failed,
            errors,
            ..Counts::default()
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
        let broken = TestReport::Broken(Counts {
            tests: 3,
            ..Counts::default()
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

    #[test]
    fn reports_alone_say_passed_only_when_they_are_whole() {
        let alone = |reports: &[TestReport]| conclude_reports(reports, Category::Test);
        assert_eq!(alone(&[report(3, 0, 0)]), Some(Verdict::Passed));
        assert_eq!(alone(&[report(0, 0, 0)]), None, "no test ran");
        assert_eq!(alone(&[report(3, 0, 0), TestReport::Missing]), None);
        let broken = |failed| {
            TestReport::Broken(Counts {
                tests: 3,
                failed,
                ..Counts::default()
            })
        };
        assert_eq!(alone(&[broken(0)]), None);
        assert!(matches!(alone(&[broken(1)]), Some(Verdict::Failed { .. })));
    }

    #[test]
    fn what_did_not_build_is_a_failed_build_although_other_packages_passed() {
        let counts = Counts {
            tests: 3,
            passed: 3,
            suite_failures: 1,
            build_failures: 1,
            ..Counts::default()
        };
        let found = category(Ending::Exit(1), &[TestReport::Whole(counts)]);
        assert_eq!(found, Some(Category::Build));
    }
}
