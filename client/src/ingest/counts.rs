//! What a test report says, as counts; and the counting.

use std::collections::HashMap;

use super::fingerprint::Fingerprint;

/// Different looks of failures that are told apart in one report; further ones are counted only.
const LOOKS_MAX: usize = 100;

/// Failures whose look is worked out; further ones are counted only.
const LOOKED_AT_MAX: usize = 10_000;

/// What a report says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Tests in all; those that did not run or did not end are in none of the numbers below.
    pub tests: u32,
    /// Of those, the ones that ran and passed, flaky ones included.
    pub passed: u32,
    /// Of those, the ones with a failed assertion.
    pub failed: u32,
    /// Of those, the ones that could not be run to their end, such as collection errors. A test may both
    /// have failed and have an error, as when its teardown breaks too.
    pub errors: u32,
    /// Of those, the ones that were skipped.
    pub skipped: u32,
    /// Of those, the ones that were expected to fail and did.
    pub expected_failures: u32,
    /// Of the passed ones, those that failed first and passed when repeated.
    pub flaky: u32,
    /// Failures that belong to no test: a suite that could not be loaded, a bail-out, a broken plan.
    pub suite_failures: u32,
    /// Of those, the ones that did not build.
    pub build_failures: u32,
    /// What the failures look like, the most frequent first; at most 100.
    pub fingerprints: Vec<Fingerprint>,
    /// Whether it ends before the tests did.
    pub is_truncated: bool,
}

impl Counts {
    /// Whether anything failed.
    pub fn has_failures(&self) -> bool {
        self.failed > 0 || self.errors > 0 || self.suite_failures > 0
    }
}

/// What became of one test; a report may say several things of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Marks {
    pub(super) failed: bool,
    pub(super) error: bool,
    pub(super) skipped: bool,
    pub(super) expected_failure: bool,
    pub(super) flaky: bool,
    pub(super) not_run: bool,
}

impl Marks {
    pub(super) const PASSED: Self = Self {
        failed: false,
        error: false,
        skipped: false,
        expected_failure: false,
        flaky: false,
        not_run: false,
    };
    pub(super) const FAILED: Self = Self {
        failed: true,
        ..Self::PASSED
    };
    pub(super) const ERROR: Self = Self {
        error: true,
        ..Self::PASSED
    };
    pub(super) const SKIPPED: Self = Self {
        skipped: true,
        ..Self::PASSED
    };
    pub(super) const EXPECTED_FAILURE: Self = Self {
        expected_failure: true,
        ..Self::PASSED
    };
    /// Switched off, or its end was not seen.
    pub(super) const NOT_RUN: Self = Self {
        not_run: true,
        ..Self::PASSED
    };
    pub(super) const FLAKY: Self = Self {
        flaky: true,
        ..Self::PASSED
    };

    pub(super) fn is_failing(self) -> bool {
        self.failed || self.error
    }
}

/// Counts while a report is read.
#[derive(Debug, Default)]
pub(super) struct Tally {
    counts: Counts,
    looks: HashMap<Fingerprint, u32>,
    looked_at: usize,
}

impl Tally {
    /// Counts one test.
    pub(super) fn test(&mut self, marks: Marks) {
        let counts = &mut self.counts;
        let passes =
            !(marks.is_failing() || marks.skipped || marks.expected_failure || marks.not_run);
        for (count, applies) in [
            (&mut counts.tests, true),
            (&mut counts.passed, passes),
            (&mut counts.failed, marks.failed),
            (&mut counts.errors, marks.error),
            (&mut counts.skipped, marks.skipped),
            (&mut counts.expected_failures, marks.expected_failure),
            (&mut counts.flaky, marks.flaky && passes),
        ] {
            *count = count.saturating_add(u32::from(applies));
        }
    }

    /// Turns a test that was counted as failed into one that passed when repeated.
    pub(super) fn passed_after_all(&mut self, look: Option<Fingerprint>) {
        let counts = &mut self.counts;
        counts.failed = counts.failed.saturating_sub(1);
        counts.passed = counts.passed.saturating_add(1);
        counts.flaky = counts.flaky.saturating_add(1);
        if let Some(seen) = look.and_then(|look| self.looks.get_mut(&look)) {
            *seen = seen.saturating_sub(1);
        }
    }

    /// Counts a failure that belongs to no test.
    pub(super) fn suite_failure(&mut self) {
        self.suite_failures(1);
    }

    /// Counts several failures that belong to no test.
    pub(super) fn suite_failures(&mut self, count: u32) {
        self.counts.suite_failures = self.counts.suite_failures.saturating_add(count);
    }

    /// Counts a suite that did not build.
    pub(super) fn build_failure(&mut self) {
        self.suite_failure();
        self.counts.build_failures = self.counts.build_failures.saturating_add(1);
    }

    /// Notes what a failure looks like, and returns it.
    pub(super) fn look(
        &mut self,
        look: impl FnOnce() -> Option<Fingerprint>,
    ) -> Option<Fingerprint> {
        if self.looked_at >= LOOKED_AT_MAX {
            return None;
        }
        self.looked_at += 1;
        let look = look()?;
        if self.looks.len() < LOOKS_MAX || self.looks.contains_key(&look) {
            *self.looks.entry(look).or_default() += 1;
        }
        Some(look)
    }

    /// Notes that the report ends before the tests did.
    pub(super) fn truncate(&mut self) {
        self.counts.is_truncated = true;
    }

    /// The counts so far.
    pub(super) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// The counts, with the looks in their order.
    pub(super) fn finish(self) -> Counts {
        let mut looks: Vec<_> = self
            .looks
            .into_iter()
            .filter(|(_, seen)| *seen > 0)
            .collect();
        // The same tests in another order give the same list.
        looks.sort_by_key(|(look, seen)| (std::cmp::Reverse(*seen), *look));
        Counts {
            fingerprints: looks.into_iter().map(|(look, _)| look).collect(),
            ..self.counts
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_frequent_look_comes_first_whatever_the_order() {
        let look = |text: &str| Fingerprint::of_failure("", text, "");
        let count = |texts: &[&str]| {
            let mut tally = Tally::default();
            for text in texts {
                tally.test(Marks::FAILED);
                tally.look(|| look(text));
            }
            tally.finish()
        };
        let one = count(&["KeyError: a", "ValueError: b", "ValueError: b"]);
        assert_eq!(
            one,
            count(&["ValueError: b", "ValueError: b", "KeyError: a"])
        );
        assert_eq!(one.fingerprints.first().copied(), look("ValueError: b"));
    }

    #[test]
    fn a_test_that_failed_and_broke_counts_as_both_and_as_one_test() {
        let mut tally = Tally::default();
        tally.test(Marks {
            error: true,
            ..Marks::FAILED
        });
        tally.test(Marks::FLAKY);
        let counts = tally.finish();
        assert_eq!((counts.tests, counts.failed, counts.errors), (2, 1, 1));
        assert_eq!((counts.passed, counts.flaky), (1, 1));
    }
}
