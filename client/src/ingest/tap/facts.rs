//! Facts about reading TAP.

use super::super::counts::Counts;
use super::super::reading::{ReportError, read_report_from};
use super::Fingerprint;

fn read(text: &str) -> Result<Counts, ReportError> {
    read_report_from("r.tap", text.as_bytes()).map(|reading| reading.counts)
}

fn counts(text: &str) -> Counts {
    read(text).expect("a whole report")
}

#[test]
fn directives_tell_what_a_result_means() {
    let found = counts(
        "TAP version 14\n1..6\nok 1\nnot ok 2 - bad\nnot ok 3 # TODO later\nok 4 # todo done\n\
         ok 5 # SKIP no net\nnot ok 6 # skip\n",
    );
    assert_eq!((found.tests, found.passed, found.failed), (6, 2, 1));
    assert_eq!((found.skipped, found.expected_failures), (2, 1));
}

#[test]
fn a_subtest_counts_as_the_point_that_sums_it_up() {
    let found = counts(
        "TAP version 14\n# Subtest: outer\n    # Subtest: inner\n        not ok 1 - deep\n          ---\n          \
         message: 'KeyError: a'\n          ...\n        1..1\n    not ok 1 - inner\n    1..1\nnot ok 1 - outer\n  ---\n  \
         message: '1 subtest failed'\n  ...\n1..1\n",
    );
    assert_eq!((found.tests, found.failed), (1, 1));
    let deep = Fingerprint::of_failure("", "KeyError: a", "");
    assert_eq!(found.fingerprints.first().copied(), deep);
    assert_eq!(found.fingerprints.len(), 1);
}

#[test]
fn what_fails_inside_of_what_may_fail_is_no_failure() {
    let found = counts("1..1\n    not ok 1 - inner\n    1..1\nnot ok 1 - outer # TODO\n");
    assert!(
        !found.has_failures() && found.fingerprints.is_empty(),
        "{found:?}"
    );
}

#[test]
fn yaml_that_looks_like_results_is_none() {
    let found = counts("1..1\nnot ok 1\n  ---\n  got: |\n    not ok 2\n1..7\n  ok 3\n  ...\n");
    assert_eq!(found.tests, 1, "{found:?}");
}

#[test]
fn dashes_in_output_begin_no_block() {
    let found = counts("1..2\nok 1\n# a picture\n---\nok 2\n");
    assert_eq!((found.tests, found.suite_failures), (2, 0));
}

#[test]
fn a_bail_out_is_a_failure_and_ends_the_counting() {
    let found = counts("1..5\nok 1\n    Bail out! disk full\nok 2\nnot ok 3\n");
    assert_eq!(
        (
            found.tests,
            found.passed,
            found.failed,
            found.suite_failures
        ),
        (1, 1, 0, 1)
    );
    assert_eq!(found.fingerprints.len(), 1);
}

#[test]
fn a_plan_that_does_not_hold_is_a_failure() {
    let few = counts("1..3\nok 1\nok 2\n");
    assert_eq!((few.suite_failures, few.is_truncated), (1, true));
    let many = counts("ok 1\nok 2\n1..1\n");
    assert_eq!((many.suite_failures, many.is_truncated), (1, false));
    assert!(!counts("1..2\nok 1\nok 2\n").has_failures());
}

#[test]
fn without_its_plan_it_ends_early() {
    match read("TAP version 13\nok 1\nnot ok 2 - x\n") {
        Err(ReportError::Broken { until_there, .. }) => {
            assert!(until_there.is_truncated && until_there.failed == 1);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_plan_may_skip_everything() {
    let found = counts("1..0 # SKIP no database\n");
    assert_eq!(
        (found.tests, found.skipped, found.has_failures()),
        (1, 1, false)
    );
    assert_eq!(counts("TAP version 13\n1..0\n").tests, 0);
}

#[test]
fn documents_may_follow_each_other() {
    let found = counts("TAP version 13\n1..1\nok 1\nTAP version 13\n1..2\nok 1\nnot ok 2\n");
    assert_eq!((found.tests, found.failed, found.suite_failures), (3, 1, 0));
}
