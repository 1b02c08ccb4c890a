//! Facts about what leaves a machine, and what its owner said about it.

use std::collections::BTreeSet;

use pinion_client::v1::{self, Outcome};
use prost::Message as _;
use serde_json::Value;

use super::developer::{Developer, said};
use super::stub::{Mood, Stub};

fn shown(developer: &Developer) -> Value {
    let (code, out, err) = developer.says(&["telemetry", "show", "--output", "json"]);
    assert_eq!(code, 0, "{err}");
    serde_json::from_str(&out).expect("JSON")
}

fn count(shown: &Value, list: &str) -> usize {
    shown[list].as_array().expect(list).len()
}

#[test]
fn what_is_kept_locally_is_shown_and_never_sent() {
    let stub = Stub::start();
    let developer = Developer::joined(&stub, &[]);
    let (code, out, err) = developer.says(&["telemetry", "local"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("kept on this machine"), "{out}");
    let told = stub.heard(|heard| heard.updates[0].reporting);
    assert_eq!(told, Some(false), "the server counts on no report");

    assert_eq!(developer.says(&["run", "false"]).0, 1);
    developer.says(&["sync"]);
    let lines = developer.says(&["telemetry", "show"]).1;
    let outcomes: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(outcomes[0]["outcome"], "OUTCOME_STARTED");
    assert_eq!(outcomes[1]["outcome"], "OUTCOME_FAILED");
    let json = shown(&developer);
    assert_eq!(json["consent"], "local");
    assert_eq!(
        (
            count(&json, "sent"),
            count(&json, "waiting"),
            count(&json, "never_sent")
        ),
        (0, 0, 2)
    );

    // Agreeing later changes nothing about what came before.
    assert_eq!(developer.says(&["telemetry", "on"]).0, 0);
    assert_eq!(developer.says(&["run", "true"]).0, 0);
    let mut arrived = stub.heard(|heard| heard.reports.clone());
    // A report whose answer was lost comes again, under the same id.
    let mut seen = BTreeSet::new();
    arrived.retain(|report| seen.insert(report.report_id.clone()));
    let outcomes: Vec<_> = arrived.iter().map(v1::Report::outcome).collect();
    assert_eq!(outcomes, [Outcome::Started, Outcome::Passed]);
    assert_eq!(count(&shown(&developer), "never_sent"), 2);
}

#[test]
fn a_change_to_local_keeps_what_waits_here() {
    let stub = Stub::start();
    let developer = Developer::joined(&stub, &["--accept-reporting"]);
    stub.turn(Mood::Hanging);
    developer.says(&["run", "true"]);
    stub.turn(Mood::Well);
    assert_eq!(count(&shown(&developer), "waiting"), 2);
    assert_eq!(developer.says(&["telemetry", "local"]).0, 0);
    developer.says(&["sync"]);
    let json = shown(&developer);
    assert_eq!(
        (count(&json, "waiting"), count(&json, "never_sent")),
        (0, 2)
    );
    assert!(stub.heard(|heard| heard.reports.is_empty()));
}

#[test]
fn a_withdrawal_during_a_run_holds_for_that_run() {
    let stub = Stub::start();
    let developer = Developer::joined(&stub, &["--accept-reporting"]);
    let pinion = env!("CARGO_BIN_EXE_pinion");
    let script = format!("{pinion} --quiet telemetry off");
    assert_eq!(developer.says(&["run", "sh", "-c", &script]).0, 0);
    let outcomes: Vec<_> =
        stub.heard(|heard| heard.reports.iter().map(v1::Report::outcome).collect());
    assert!(!outcomes.contains(&Outcome::Passed), "{outcomes:?}");
    assert_eq!(count(&shown(&developer), "waiting"), 0);
}

#[test]
fn the_bytes_that_are_shown_are_those_that_went_out() {
    let stub = Stub::start();
    let developer = Developer::joined(&stub, &["--accept-reporting"]);
    developer.says(&["run", "true"]);
    let sent = stub.heard(|heard| heard.reports.clone());
    let json = shown(&developer);
    let entries = json["sent"].as_array().expect("a list");
    assert_eq!(entries.len(), sent.len());
    for (entry, report) in entries.iter().zip(sent) {
        let bytes = hex::decode(entry["bytes"].as_str().expect("text")).expect("hexadecimal");
        let request = v1::ReportOutcomesRequest::decode(bytes.as_slice()).expect("a message");
        assert_eq!(request.reports, std::slice::from_ref(&report));
        assert_eq!(entry["report"], pinion_proto::to_json(&report));
    }
}

#[test]
fn do_not_track_wins_over_every_level() {
    let stub = Stub::start();
    let developer = Developer::joined(&stub, &["--accept-reporting"]);
    stub.turn(Mood::Hanging);
    developer.says(&["run", "true"]);
    stub.turn(Mood::Well);
    said(developer.pinion(&["run", "true"]).env("DO_NOT_TRACK", "1"));
    said(developer.pinion(&["sync"]).env("DO_NOT_TRACK", "1"));
    assert!(stub.heard(|heard| heard.reports.is_empty()));
    let on = said(
        developer
            .pinion(&["telemetry", "on"])
            .env("DO_NOT_TRACK", "1"),
    );
    assert_eq!(on.0, 1, "{}", on.2);
}

#[test]
fn a_volunteer_is_one_who_reports() {
    let stub = Stub::start();
    let silent = Developer::joined(&stub, &[]);
    let (code, _, err) = silent.says(&["now", "requests"]);
    assert_eq!(code, 1, "{err}");
    assert!(
        err.contains("next: agree to report: `pinion telemetry on`"),
        "{err}"
    );

    let developer = Developer::joined(&stub, &["--accept-reporting"]);
    let (code, out, err) = developer.says(&["now", "requests"]);
    assert_eq!(
        (code, out.trim()),
        (0, "candidates are taken at once of: requests"),
        "{err}"
    );
    assert!(err.contains("no part of the evidence"), "{err}");
    let update = stub
        .heard(|heard| heard.updates.last().cloned())
        .expect("told");
    assert!(
        update.replace_volunteers && !update.replace_holds,
        "{update:?}"
    );
    let (code, _, err) = developer.says(&["now", "six", "--stop"]);
    assert_eq!(code, 3, "{err}");
}

#[test]
fn never_is_a_hold_of_one_version() {
    let stub = Stub::start();
    let developer = Developer::joined(&stub, &[]);
    let (code, out, err) = developer.says(&["never", "requests", "2.0"]);
    assert_eq!((code, out.trim()), (0, "held: requests 2.0"), "{err}");
}
