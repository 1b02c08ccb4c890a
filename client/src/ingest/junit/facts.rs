//! Facts about reading JUnit XML: small reports for what the real ones among the fixtures lack.

use super::super::counts::Counts;
use super::super::reading::{ReportError, read_report_from};
use super::Fingerprint;

fn read(xml: impl AsRef<[u8]>) -> Result<Counts, ReportError> {
    read_report_from("r.xml", xml.as_ref()).map(|reading| reading.counts)
}

fn counts(xml: impl AsRef<[u8]>) -> Counts {
    read(xml).expect("a whole report")
}

fn broken(xml: &str) -> Counts {
    match read(xml) {
        Err(ReportError::Broken { until_there, .. }) => *until_there,
        other => panic!("{xml}: {other:?}"),
    }
}

#[test]
fn a_flaky_test_has_passed_and_a_rerun_one_has_failed() {
    let found = counts(
        "<testsuite>
           <testcase name='a'><flakyFailure type='X'><stackTrace>t</stackTrace></flakyFailure></testcase>
           <testcase name='b'><flakyError type='X'/><flakyFailure type='X'/></testcase>
           <testcase name='c'><failure type='X'/><rerunFailure type='X'/><rerunError type='X'/></testcase>
           <testcase name='d'><error type='X'/><rerunFailure type='X'/></testcase>
         </testsuite>",
    );
    assert_eq!((found.tests, found.passed, found.flaky), (4, 2, 2));
    assert_eq!((found.failed, found.errors), (1, 1));
}

#[test]
fn a_case_with_a_failure_and_an_error_counts_in_both_and_as_one_test() {
    let found = counts("<testsuite><testcase><skipped/><failure/><error/></testcase></testsuite>");
    assert_eq!((found.tests, found.passed), (1, 0));
    assert_eq!((found.failed, found.errors, found.skipped), (1, 1, 1));
}

#[test]
fn suites_lie_in_suites_and_documents_follow_each_other() {
    let found = counts(
        "<?xml version='1.0'?>
         <testsuites><testsuite><testsuite><testcase/></testsuite><testcase/></testsuite></testsuites>
         <?xml version='1.0'?>
         <testsuite><testcase><failure/></testcase></testsuite>
         <testsuite xmlns:n='urn:n'><n:testcase><n:error/></n:testcase></testsuite>",
    );
    assert_eq!((found.tests, found.failed, found.errors), (4, 1, 1));
}

#[test]
fn only_a_case_s_own_children_say_what_became_of_it() {
    let found = counts(
        "<testsuite><testcase>
           <system-out><![CDATA[<failure/>]]> &lt;error/> <failure/></system-out>
           <properties><property><error/></property></properties>
         </testcase></testsuite>",
    );
    assert_eq!((found.tests, found.passed), (1, 1));
}

#[test]
fn jenkins_own_dialect_is_read() {
    let case = |inside: &str| format!("<case><testName>t</testName>{inside}</case>");
    let result = format!(
        "<result plugin='junit@1'><suites><suite><name>s</name><cases>{}{}{}</cases></suite></suites></result>",
        case("<skipped>false</skipped><failedSince>0</failedSince>"),
        case("<skipped>true</skipped><skippedMessage>why</skippedMessage>"),
        case(
            "<skipped>false</skipped><errorStackTrace>java.lang.Bang: x\n\tat a.B.c(B.java:1)</errorStackTrace><errorDetails>x</errorDetails>"
        ),
    );
    let found = counts(&result);
    assert_eq!(
        (found.tests, found.passed, found.failed, found.skipped),
        (3, 1, 1, 1)
    );
    let served = "<testResult><suite><case><status>REGRESSION</status></case>\
                  <case><status>PASSED</status></case></suite></testResult>";
    let found = counts(served);
    assert_eq!((found.tests, found.passed, found.failed), (2, 1, 1));
}

#[test]
fn a_suite_that_could_not_be_loaded_is_a_failure_of_no_test() {
    let found =
        counts("<testsuites><testsuite><error type='ImportError'/></testsuite></testsuites>");
    assert_eq!((found.tests, found.errors, found.suite_failures), (0, 0, 1));
    assert!(found.has_failures() && found.fingerprints.len() == 1);
    let by_its_word = counts("<testsuites failures='0' errors='2'><testsuite/></testsuites>");
    assert_eq!((by_its_word.tests, by_its_word.suite_failures), (0, 2));
}

#[test]
fn a_test_that_is_switched_off_has_not_passed() {
    let found = counts(
        "<testsuites><testsuite><testcase status='notrun'/><testcase result='suppressed'/>
         <testcase status='run' result='completed'/>
         <testcase><skipped type='todo'/><failure/></testcase></testsuite></testsuites>",
    );
    assert_eq!(
        (found.tests, found.passed, found.expected_failures),
        (4, 1, 1)
    );
    assert!(!found.has_failures());
}

#[test]
fn text_may_be_in_any_encoding() {
    let xml = "<?xml version='1.0' encoding='ISO-8859-1'?><testsuite><testcase>\
               <failure message='KeyError: gr\u{fc}n'/></testcase></testsuite>";
    let latin: Vec<u8> = xml.chars().map(|c| c as u8).collect();
    let expected = Fingerprint::of_failure("", "KeyError: gr\u{fc}n", "");
    assert_eq!(counts(latin).fingerprints.first().copied(), expected);
    let marked = format!("\u{feff}{}", xml.replace("ISO-8859-1", "utf-8"));
    assert_eq!(counts(&marked).fingerprints.first().copied(), expected);
    let mut wide = vec![0xff, 0xfe];
    wide.extend(xml.encode_utf16().flat_map(u16::to_le_bytes));
    assert_eq!(counts(wide).fingerprints.first().copied(), expected);
    let invalid =
        b"<testsuite><testcase><failure message='KeyError: \xff'/></testcase></testsuite>";
    assert_eq!(counts(invalid).failed, 1);
}

#[test]
fn a_truncated_report_keeps_what_was_seen_and_says_where_it_ends() {
    let cut = "<testsuites>\n<testsuite><testcase/><testcase><failure message='KeyError: a'>tex";
    let found = broken(cut);
    assert_eq!((found.tests, found.passed, found.failed), (2, 1, 1));
    assert!(found.is_truncated && found.fingerprints.len() == 1);
    let said = read(cut).expect_err("cut off").to_string();
    assert!(
        said.contains("`r.xml` (junit) is broken at line 2 (byte 79)"),
        "{said}"
    );
    for cut in [
        "<testsuites><testsuite><testcase/>",
        "<testsuites></testsuites><testsuite><testcase",
        "<testsuite><testcase><failure><![CDATA[abc",
        "<testsuite><!-- ",
    ] {
        assert!(broken(cut).is_truncated, "{cut}");
    }
}

#[test]
fn malformed_xml_is_not_taken_for_a_truncated_report() {
    for xml in [
        "<testsuite><testcase></testsuite>",
        "<testsuite>&own;</testsuite>",
    ] {
        assert!(!broken(xml).is_truncated, "{xml}");
    }
}

#[test]
fn entities_and_document_types_are_refused() {
    for xml in [
        "<!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><testsuite>&e;</testsuite>",
        "<testsuite><testcase><failure>&own;</failure></testcase></testsuite>",
    ] {
        let said = read(xml).expect_err("refused").to_string();
        assert!(said.contains("refused"), "{said}");
    }
    let fine =
        counts("<testsuite><testcase><failure>&lt;&#65;&#27;</failure></testcase></testsuite>");
    assert_eq!(fine.failed, 1);
}

#[test]
fn other_xml_is_no_report() {
    for root in ["html", "suites", "test-run"] {
        let said = read(format!("<{root}/>"))
            .expect_err("no report")
            .to_string();
        assert!(
            said.contains(&format!("outermost element is `<{root}>`")),
            "{said}"
        );
    }
}

#[test]
fn deep_nesting_is_refused() {
    let said = read("<testsuite>".repeat(1000))
        .expect_err("refused")
        .to_string();
    assert!(said.contains("64 elements lie inside each other"), "{said}");
}

#[test]
fn what_a_test_printed_speaks_where_its_failure_does_not() {
    let found = counts(
        "<testsuite><testcase><failure message='exited with code 1'/>
         <system-err>Traceback (most recent call last):\n  File \"a\", line 1\nKeyError: 'a'</system-err>
         </testcase></testsuite>",
    );
    let expected = Fingerprint::of_failure("", "KeyError: a", "");
    assert_eq!(found.fingerprints.first().copied(), expected);
}
