//! Facts about servers that are slow, dead or a black hole: what a developer's command pays for them.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use pinion_client::v1;

use super::developer::Developer;
use super::stub::Stub;

/// What `pinion run` may cost beyond its command with a server that is not there; measured times are far below.
const COST_MAX: Duration = Duration::from_millis(900);

/// Points a joined checkout at another server.
fn moved(developer: &Developer, url: &str) {
    let path = developer.file("membership.json");
    let text = std::fs::read_to_string(&path).expect("joined");
    let mut value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    value["server"] = url.into();
    std::fs::write(&path, value.to_string()).expect("written");
}

fn reporting() -> (Stub, Developer) {
    let stub = Stub::start();
    // In no rollout, so that no time goes into looking which candidates took.
    stub.serve(v1::GetPinsResponse {
        etag: "etag".into(),
        revision: 7,
        pins: vec![v1::Pin {
            package: "requests".into(),
            version: "1.0".into(),
            marker: String::new(),
        }],
        pin_set: "nova".into(),
        ecosystem: v1::Ecosystem::Pypi.into(),
        ..Default::default()
    });
    let developer = Developer::joined(&stub, &["--accept-reporting"]);
    assert_eq!(developer.says(&["sync"]).0, 0);
    (stub, developer)
}

/// Runs a command that fails, three times; the most that it took beside an immediate end.
fn cost(developer: &Developer) -> Duration {
    let mut most = Duration::ZERO;
    for _ in 0..3 {
        let begun = Instant::now();
        let (code, _, err) = developer.says(&["run", "sh", "-c", "exit 3"]);
        assert_eq!(code, 3, "the command's own status: {err}");
        assert!(err.contains("the outcome was not reported"), "{err}");
        most = most.max(begun.elapsed());
    }
    most
}

#[test]
fn a_black_hole_costs_a_fraction_of_a_second() {
    // It listens, so that connecting succeeds, and nobody ever reads or answers.
    let hole = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let (_stub, developer) = reporting();
    moved(
        &developer,
        &format!("http://{}", hole.local_addr().expect("bound")),
    );
    let cost = cost(&developer);
    println!("a black hole: {cost:?}");
    assert!(cost < COST_MAX, "{cost:?}");
}

#[test]
fn a_sync_with_pins_at_hand_does_not_wait_for_a_black_hole() {
    let hole = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let (_stub, developer) = reporting();
    moved(
        &developer,
        &format!("http://{}", hole.local_addr().expect("bound")),
    );
    let begun = Instant::now();
    let (code, _, err) = developer.says(&["sync"]);
    assert_eq!(code, 0, "{err}");
    assert!(err.contains("the last pins stay in use"), "{err}");
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn a_closed_port_costs_a_fraction_of_a_second() {
    let closed = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let address = closed.local_addr().expect("bound");
    drop(closed);
    let (_stub, developer) = reporting();
    moved(&developer, &format!("http://{address}"));
    let cost = cost(&developer);
    println!("a closed port: {cost:?}");
    assert!(cost < COST_MAX, "{cost:?}");
}

#[test]
fn the_last_pins_are_used_and_reports_arrive_once_the_server_is_back() {
    let closed = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let dead = format!("http://{}", closed.local_addr().expect("bound"));
    drop(closed);
    let (stub, developer) = reporting();
    moved(&developer, &dead);
    let (code, out, err) = developer.says(&["run", "sh", "-c", "cat $PIP_CONSTRAINT"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("requests==1.0"), "{out}");
    let (code, out, err) = developer.says(&["sync"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.starts_with("export PIP_CONSTRAINT="), "{out}");
    assert!(
        err.contains("the last pins stay in use") && err.contains(" old"),
        "{err}"
    );

    moved(&developer, &stub.url());
    for _ in 0..2 {
        assert_eq!(developer.says(&["sync"]).0, 0);
    }
    let mut ids: Vec<_> = stub.heard(|heard| {
        let ids = heard.reports.iter().map(|report| report.report_id.clone());
        ids.collect()
    });
    assert_eq!(ids.len(), 2, "start and end, each once: {ids:?}");
    ids.dedup();
    assert_eq!(ids.len(), 2);
}

#[test]
fn reports_that_were_thrown_away_are_told_loudly_and_once() {
    let (_stub, developer) = reporting();
    let state = developer.file("membership.json");
    std::fs::write(state.with_file_name("dropped"), "7").expect("written");
    let (_, _, err) = developer.says(&["run", "true"]);
    assert!(
        err.contains("warning: 7 reports were thrown away unsent"),
        "{err}"
    );
    let (_, _, err) = developer.says(&["run", "true"]);
    assert!(!err.contains("thrown away"), "{err}");
}

#[test]
fn a_long_queue_costs_no_more_while_the_server_is_away() {
    let closed = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let dead = format!("http://{}", closed.local_addr().expect("bound"));
    drop(closed);
    let (stub, developer) = reporting();
    moved(&developer, &dead);
    developer.says(&["run", "true"]);
    let waiting = developer.file("membership.json").with_file_name("outbox");
    let first = std::fs::read_dir(&waiting).expect("made").flatten().next();
    let text = std::fs::read_to_string(first.expect("one").path()).expect("readable");
    let report: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    for _ in 0..990 {
        let mut report = report.clone();
        let id = uuid::Uuid::now_v7().to_string();
        report["report_id"] = id.as_str().into();
        std::fs::write(waiting.join(format!("{id}.json")), report.to_string()).expect("written");
    }
    let cost = cost(&developer);
    println!("a closed port, 990 waiting: {cost:?}");
    assert!(cost < COST_MAX, "{cost:?}");

    moved(&developer, &stub.url());
    assert_eq!(developer.says(&["sync"]).0, 0);
    let arrived = stub.heard(|heard| heard.reports.len());
    assert_eq!(arrived, 2 + 990 + 6, "each once");
}
