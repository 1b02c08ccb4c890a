//! Facts about reading reports of every format.

use std::io;

use super::*;

fn read(bytes: &[u8]) -> Result<Reading, ReportError> {
    read_report_from("r", bytes)
}

#[test]
fn a_file_that_is_not_there_is_unreadable() {
    let error = read_report(Path::new("no/such/report.xml")).expect_err("not there");
    assert!(
        matches!(&error, ReportError::Unreadable { cause, .. } if cause.kind() == io::ErrorKind::NotFound)
    );
    assert!(
        error.to_string().contains("`no/such/report.xml`"),
        "{error}"
    );
}

#[test]
fn a_report_that_goes_on_for_ever_is_given_up() {
    let text = format!("<testsuite>{}", "<testcase/>\n".repeat(100_000));
    match read_limited("r", text.as_bytes(), 1_000_000) {
        Err(ReportError::Broken {
            problem,
            until_there,
            ..
        }) => {
            assert!(problem.contains("too large"), "{problem}");
            assert!(until_there.tests > 10_000);
        }
        other => panic!("{other:?}"),
    }
    assert!(read_limited("r", &b"1..1\nok 1\n"[..], 10).is_ok());
    assert!(matches!(
        read_limited("r", &b"1..1\nok 1\n"[..], 9),
        Err(ReportError::Unreadable { .. })
    ));
}

#[test]
fn words_before_a_report_are_passed_over() {
    let reading =
        read("> npm test\n\n<?xml version='1.0'?>\n<testsuite><testcase/></testsuite>".as_bytes());
    assert_eq!(reading.expect("a report").counts.tests, 1);
}

#[test]
fn libtest_counts_suites_one_after_the_other() {
    let lines = r#"{ "type": "suite", "event": "started", "test_count": 3 }
{ "type": "test", "event": "started", "name": "a" }
{ "type": "test", "name": "a", "event": "ok" }
{ "type": "test", "event": "started", "name": "b" }
{ "type": "test", "event": "timeout", "name": "b" }
{ "type": "test", "name": "b", "event": "failed", "stdout": "thread 'b' panicked at src/x.rs:1:2:\nbad\n" }
{ "type": "test", "name": "c", "event": "ignored", "message": "slow" }
{ "type": "suite", "event": "failed", "passed": 1, "failed": 1 }
     Running tests
{ "type": "suite", "event": "started", "test_count": 1 }
{ "type": "test", "event": "started", "name": "dies" }
{ "type": "suite", "event": "started", "test_count": 0 }
{ "type": "suite", "event": "ok" }
"#;
    let counts = read(lines.as_bytes()).expect("whole").counts;
    assert_eq!(
        (counts.tests, counts.passed, counts.failed, counts.skipped),
        (4, 1, 1, 1)
    );
    assert_eq!(
        (counts.errors, counts.suite_failures),
        (1, 1),
        "the second program died"
    );
    assert_eq!(counts.fingerprints.len(), 1);
}

#[test]
fn json_lines_that_end_early_are_truncated() {
    let libtest = "{\"type\":\"suite\",\"event\":\"started\"}\n{\"type\":\"test\",\"event\":\"started\",\"name\":\"a\"}\n";
    let go = "{\"Action\":\"start\",\"Package\":\"a\"}\n{\"Action\":\"run\",\"Package\":\"a\",\"Test\":\"T\"}\n";
    for lines in [
        libtest.to_owned(),
        go.to_owned(),
        format!("{go}{{\"Act"),
        format!("{libtest}{{\"ty"),
    ] {
        match read(lines.as_bytes()) {
            Err(ReportError::Broken {
                until_there, at, ..
            }) => {
                assert!(until_there.is_truncated, "{lines}");
                assert_eq!((until_there.tests, until_there.errors), (1, 1), "{lines}");
                assert_eq!(at.line, Some(3), "{lines}");
            }
            other => panic!("{lines}: {other:?}"),
        }
    }
}

#[test]
fn a_line_that_is_no_json_is_told_by_its_number() {
    let error = read(b"{\"Action\":\"start\",\"Package\":\"a\"}\n{oops}\n").expect_err("malformed");
    assert!(error.to_string().contains("line 2 (byte 33)"), "{error}");
    assert!(matches!(error, ReportError::Broken { until_there, .. } if !until_there.is_truncated));
}

#[test]
fn a_go_test_that_passes_when_repeated_is_flaky() {
    let event = |action: &str, test: &str| match test {
        "" => format!("{{\"Action\":\"{action}\",\"Package\":\"a\"}}\n"),
        test => format!("{{\"Action\":\"{action}\",\"Package\":\"a\",\"Test\":\"{test}\"}}\n"),
    };
    let lines: String = [
        ("start", ""),
        ("run", "T"),
        ("fail", "T"),
        ("run", "U"),
        ("pass", "U"),
        ("fail", ""),
        ("start", ""),
        ("run", "T"),
        ("pass", "T"),
        ("pass", ""),
    ]
    .map(|(action, test)| event(action, test))
    .concat();
    let counts = read(lines.as_bytes()).expect("whole").counts;
    assert_eq!(
        (counts.tests, counts.passed, counts.failed, counts.flaky),
        (2, 2, 0, 1)
    );
    assert!(!counts.has_failures());
}

#[test]
fn a_go_package_that_fails_without_a_failed_test_is_a_failure() {
    let lines = "{\"Action\":\"start\",\"Package\":\"a\"}\n\
        {\"Action\":\"output\",\"Package\":\"a\",\"Output\":\"panic: no database\\n\"}\n\
        {\"Action\":\"output\",\"Package\":\"a\",\"Output\":\"goroutine 1 [running]:\\n\"}\n\
        {\"Action\":\"fail\",\"Package\":\"a\"}\n\
        {\"Action\":\"start\",\"Package\":\"b\"}\n\
        {\"Action\":\"output\",\"Package\":\"b\",\"Output\":\"FAIL\\tb [build failed]\\n\"}\n\
        {\"Action\":\"fail\",\"Package\":\"b\"}\n\
        {\"Action\":\"skip\",\"Package\":\"c\"}\n";
    let counts = read(lines.as_bytes()).expect("whole").counts;
    assert_eq!(
        (counts.tests, counts.suite_failures, counts.build_failures),
        (0, 2, 1)
    );
    assert_eq!(
        counts.fingerprints.first().copied(),
        super::super::Fingerprint::of_output("panic: no database\ngoroutine 1 [running]:")
    );
}
