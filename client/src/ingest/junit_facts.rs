//! Facts about reading JUnit files: real ones, and small ones for what the real ones lack.

use std::path::PathBuf;

use super::*;

fn summary(xml: &str) -> JunitSummary {
    parse(xml.as_bytes()).expect("a whole report")
}

#[test]
fn real_reports_give_the_counts_their_manifest_expects() {
    let reports = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/reports");
    let manifest = std::fs::read_to_string(reports.join("MANIFEST.json"))
        .expect("the manifest beside the reports");
    let manifest: Vec<serde_json::Value> = serde_json::from_str(&manifest).expect("JSON");
    let mut checked = 0;
    for entry in manifest
        .iter()
        .filter(|entry| entry["format"] == "junit-xml")
    {
        let file = entry["file"].as_str().expect("a path");
        let expected = &entry["expected"];
        let found = read_junit(&reports.join(file)).expect("a whole report");
        let number = |key: &str| expected[key].as_u64().unwrap_or(0);
        assert_eq!(u64::from(found.tests), number("testcases"), "{file}");
        assert_eq!(u64::from(found.failures), number("with_failure"), "{file}");
        assert_eq!(u64::from(found.errors), number("with_error"), "{file}");
        assert_eq!(u64::from(found.skipped), number("skipped"), "{file}");
        assert_eq!(u64::from(found.flaky), number("flaky"), "{file}");
        assert_eq!(found.fingerprint.is_some(), found.has_failures(), "{file}");
        checked += 1;
    }
    assert!(checked >= 5, "only {checked} reports in the manifest");
}

#[test]
fn a_flaky_test_has_passed_and_a_rerun_one_has_failed() {
    let found = summary(
        "<testsuite>
           <testcase name='a'><flakyFailure type='X'/></testcase>
           <testcase name='b'><failure type='X'/><rerunFailure type='X'/></testcase>
         </testsuite>",
    );
    assert_eq!((found.flaky, found.failures, found.passed()), (1, 1, 1));
}

#[test]
fn a_truncated_report_keeps_what_was_seen() {
    let cut = "<testsuites><testsuite><testcase/><testcase><failure message='KeyError: a'>tex";
    match parse(cut.as_bytes()) {
        Err(JunitError::Broken { until_there, .. }) => {
            assert_eq!((until_there.tests, until_there.failures), (2, 1));
            assert!(until_there.fingerprint.is_some());
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(parse(&b""[..]), Err(JunitError::Broken { .. })));
}

#[test]
fn entities_and_document_types_are_refused() {
    for xml in [
        "<!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><testsuite>&e;</testsuite>",
        "<testsuite><testcase><failure>&own;</failure></testcase></testsuite>",
    ] {
        assert!(
            matches!(parse(xml.as_bytes()), Err(JunitError::Broken { .. })),
            "{xml}"
        );
    }
    let fine = summary("<testsuite><testcase><failure>&lt;&#65;</failure></testcase></testsuite>");
    assert_eq!(fine.failures, 1);
}

#[test]
fn other_xml_is_no_report() {
    assert!(matches!(parse(&b"<html/>"[..]), Err(JunitError::OtherXml { root }) if root == "html"));
}

#[test]
fn deep_nesting_is_refused() {
    let xml = "<testsuite>".repeat(1000);
    assert!(matches!(
        parse(xml.as_bytes()),
        Err(JunitError::Broken { .. })
    ));
}

#[test]
fn a_report_without_cases_is_taken_at_its_word() {
    let found = summary("<testsuites failures='0' errors='2'><testsuite/></testsuites>");
    assert_eq!((found.tests, found.errors), (2, 2));
}

#[test]
fn the_fingerprint_is_that_of_the_first_failure() {
    let one = summary(
        "<testsuite><testcase><failure message='KeyError: a'/></testcase>
         <testcase><failure message='ValueError: b'/></testcase></testsuite>",
    );
    assert_eq!(
        one.fingerprint,
        Fingerprint::of_failure("", "KeyError: a", "")
    );
}

proptest::proptest! {
    #[test]
    fn no_text_whatever_breaks_the_reading(
        pieces in proptest::collection::vec(
            proptest::prop_oneof![
                proptest::strategy::Just("<testsuite>".to_owned()),
                proptest::strategy::Just("</testsuite>".to_owned()),
                proptest::strategy::Just("<testcase name='a'>".to_owned()),
                proptest::strategy::Just("</testcase>".to_owned()),
                proptest::strategy::Just("<failure message='x: &lt;1'/>".to_owned()),
                proptest::strategy::Just("<error><![CDATA[E   KeyError: 1]]>".to_owned()),
                ".{0,12}",
            ],
            0..12,
        ),
    ) {
        let text = pieces.concat();
        if let Ok(found) = parse(text.as_bytes()) {
            let parts = u64::from(found.failures) + u64::from(found.errors) + u64::from(found.skipped);
            assert!(parts + u64::from(found.flaky) <= u64::from(found.tests), "{found:?}: {text}");
        }
    }

    #[test]
    fn every_failure_has_the_same_look_twice(kind in ".{0,20}", message in ".{0,200}") {
        let look = || Fingerprint::of_failure(&kind, &message, &message);
        assert_eq!(look(), look());
    }
}
