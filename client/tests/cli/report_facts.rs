//! Facts about `pinion report`: an outcome from reports that were written elsewhere.

use pinion_client::v1::{Category, Outcome, Report};

use super::developer::{Developer, said};
use super::stub::{Mood, Stub};

const FAILING: &str =
    "<testsuite><testcase/><testcase><failure message='KeyError: a'/></testcase></testsuite>";
const PASSING: &str = "<testsuite><testcase/></testsuite>";

fn reporting(stub: &Stub, files: &[(&str, &str)]) -> Developer {
    let developer = Developer::joined(stub, &["--accept-reporting"]);
    for (name, text) in files {
        std::fs::write(developer.checkout().join(name), text).expect("written");
    }
    developer
}

fn outcomes(stub: &Stub) -> Vec<(Outcome, Category)> {
    let of = |report: &Report| (report.outcome(), report.category());
    stub.heard(|heard| heard.reports.iter().map(of).collect())
}

#[test]
fn reports_from_elsewhere_become_one_run_with_its_pins() {
    let stub = Stub::start();
    let developer = reporting(
        &stub,
        &[("a.xml", PASSING), ("b.tap", "1..1\nnot ok 1 - x\n")],
    );
    developer.says(&["sync"]);
    let (code, out, err) = developer.says(&["report", "--report", "*.xml", "--report", "b.tap"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(
        out.starts_with("reported: failed (test), fingerprint "),
        "{out}"
    );
    let reports = stub.heard(|heard| heard.reports.clone());
    let told: Vec<_> = reports.iter().map(Report::outcome).collect();
    assert_eq!(told, [Outcome::Started, Outcome::Failed]);
    assert_eq!(reports[0].run_id, reports[1].run_id);
    assert_eq!(reports[1].pins_etag, "etag-1.0");
    assert_eq!(reports[1].rollouts, ["ro-0000000000000001"]);
    assert_eq!(reports[1].fingerprint.len(), 16);

    let (code, out, _) = developer.says(&["report", "--report", "a.xml"]);
    assert_eq!((code, out.as_str()), (0, "reported: passed\n"));
}

#[test]
fn an_exit_status_speaks_where_there_is_no_report() {
    let stub = Stub::start();
    let developer = reporting(&stub, &[("old.xml", PASSING)]);
    for (words, expected) in [
        (
            &["--exit-status", "0"][..],
            (Outcome::Passed, Category::Unspecified),
        ),
        (
            &["--exit-status", "4", "--report", "gone.xml"],
            (Outcome::Failed, Category::Test),
        ),
        (
            &["--exit-status", "5", "--report", "old.xml"],
            (Outcome::Failed, Category::Test),
        ),
        (
            &["--exit-status", "1", "--category", "install"],
            (Outcome::Failed, Category::Install),
        ),
        (
            &["--exit-status", "139"],
            (Outcome::Failed, Category::Crash),
        ),
    ] {
        let words = [&["report"], words].concat();
        assert_eq!(developer.says(&words).0, 0, "{words:?}");
        assert_eq!(outcomes(&stub).last(), Some(&expected), "{words:?}");
    }
}

#[test]
fn what_reports_do_not_say_is_not_reported() {
    let stub = Stub::start();
    let developer = reporting(
        &stub,
        &[
            ("cut.xml", "<testsuite><testcase/>"),
            ("none.xml", "<testsuite/>"),
            ("x.txt", "hello"),
        ],
    );
    for file in ["cut.xml", "none.xml", "x.txt"] {
        let (code, _, err) = developer.says(&["report", "--report", file]);
        assert_eq!(code, 7, "{file}: {err}");
        assert!(
            err.contains("do not say whether the tests passed") && err.contains("--exit-status"),
            "{err}"
        );
    }
    let (code, _, err) = developer.says(&["report", "--report", "gone-*.xml"]);
    assert_eq!(code, 3, "{err}");
    assert!(
        err.contains("there is no test report `gone-*.xml`"),
        "{err}"
    );
    assert_eq!(developer.says(&["report"]).0, 2);
    assert!(outcomes(&stub).is_empty());
}

#[test]
fn without_joining_or_consent_nothing_is_sent() {
    let stub = Stub::start();
    assert_eq!(
        Developer::new().says(&["report", "--exit-status", "0"]).0,
        1
    );
    let silent = Developer::joined(&stub, &["--no-reporting"]);
    let (code, _, err) = silent.says(&["report", "--exit-status", "0"]);
    assert_eq!(code, 1);
    assert!(
        err.contains("did not agree") && err.contains("telemetry on"),
        "{err}"
    );
    let developer = reporting(&stub, &[]);
    let mut report = developer.pinion(&["report", "--exit-status", "0"]);
    let (code, _, err) = said(report.env("DO_NOT_TRACK", "1"));
    assert_eq!(code, 1);
    assert!(err.contains("DO_NOT_TRACK"), "{err}");
    assert!(outcomes(&stub).is_empty());
}

#[test]
fn a_report_that_cannot_be_sent_waits_for_the_next_run() {
    let mut stub = Stub::start();
    let developer = reporting(&stub, &[("f.xml", FAILING)]);
    stub.stop();
    let (code, _, err) = developer.says(&["report", "--report", "f.xml"]);
    assert_eq!(code, 5, "{err}");
    assert!(err.contains("next run or sync sends it"), "{err}");
    assert_eq!(developer.says(&["telemetry", "show"]).1.lines().count(), 2);
}

#[test]
fn a_report_the_server_refuses_is_told() {
    let stub = Stub::start();
    let developer = reporting(&stub, &[("f.xml", FAILING)]);
    stub.turn(Mood::RefusingReports);
    let (code, _, err) = developer.says(&["report", "--report", "f.xml"]);
    assert_eq!(code, 1, "{err}");
    assert!(
        err.contains("the environment is not in the rollout"),
        "{err}"
    );
}
