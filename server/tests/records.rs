//! State that an older server wrote stays readable: `fixtures/records/format-<n>.jsonl` holds what one left
//! behind, key by key, and a server of today goes on from it.
//!
//! `PINION_WRITE_FIXTURE=1` writes the file of the current format anew, for a format that no release has had.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pinion_core::evidence::Ordinal;
use pinion_core::outcome::Outcome;
use pinion_proto::v1 as proto;
use pinion_proto::v1::gate_service_client::GateServiceClient;
use pinion_proto::v1::notice_service_client::NoticeServiceClient;
use pinion_proto::v1::pin_set_service_client::PinSetServiceClient;
use pinion_proto::v1::rollout_service_client::RolloutServiceClient;
use pinion_server::app::{App, World};
use pinion_server::clock::{Clock, ManualClock};
use pinion_server::config::Config;
use pinion_server::forge::ForgeConfig;
use pinion_server::random::SeededRandom;
use pinion_server::store::records::{JournalEntry, JournalEvent, JournalRecord};
use pinion_server::store::sled::{SledOptions, SledStore};
use pinion_server::store::{Key, Operation, Store, Transaction, front, keys};
use serde::{Deserialize, Serialize};
use support::{DAY, HOUR, SET, Server, TUESDAY_TEN, with_token};
use tempfile::tempdir;
use tonic::transport::Channel;

const PINS: &str = "requests==1.0\nsix==1.0 ; python_version >= '3'\n";
/// Nobody listens there, so the rollback stays to be filed.
const REPOSITORY: &str = "https://127.0.0.1:9/pins.git";
/// Nobody listens there either, so what is told waits.
const ROUTE: &str = "name = 'ops'\nkind = 'mail'\nserver = '127.0.0.1'\nport = 9\ntls = 'none'\n\
    from = 'pinion@example.org'\nto = ['ops@example.org']\nevents = ['rollout.rolled_back']\n";
/// The pin set whose rollouts have a gate before them.
const GATED: &str = "gated";
#[derive(Serialize, Deserialize)]
struct Line {
    key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    json: Option<serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hex: Option<String>,
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/records")
}

fn config(dir: &Path) -> Config {
    Config {
        listen: std::net::SocketAddr::from(([127, 0, 0, 1], 0)),
        data_dir: dir.to_owned(),
        forges: vec![ForgeConfig::git(
            "requirements".parse().unwrap(),
            REPOSITORY,
        )],
        routes: vec![toml::from_str(ROUTE).unwrap()],
        ..Config::default()
    }
}

/// A server's life with one of everything in its store.
async fn live(dir: &Path) {
    let source = Some(support::source("upper-constraints.txt"));
    let server = Server::start_configured(dir, PINS, config(dir), source, false).await;
    let environments = server.enroll_many(30).await;
    server.enroll(false, "team-a").await;
    let bad = server.start_rollout("requests", "2.0").await.unwrap().id;
    server.pass(HOUR).await;
    for (n, environment) in environments.iter().enumerate() {
        server.pins(&environment.token).await.unwrap();
        let mut report = server.report(if n % 3 == 0 {
            proto::Outcome::Failed
        } else {
            proto::Outcome::Passed
        });
        report.fingerprint = if n % 3 == 0 {
            "00000000000000aa".to_owned()
        } else {
            String::new()
        };
        server.send(&environment.token, vec![report]).await.unwrap();
    }
    server.pass(DAY).await;
    server.roll_back(&bad).await.unwrap();
    server.start_rollout("six", "1.1").await.unwrap();
    server.pass(HOUR).await;
    server.leave(&environments[29]).await;
    run_a_gate(&server).await;
    server.app.stop().await;
    // Acknowledged, and not folded: what a server leaves that was killed.
    let record = JournalRecord {
        entries: vec![JournalEntry {
            ordinal: Ordinal(0),
            report: 77,
            at: server.clock.now(),
            event: JournalEvent::Reported(Outcome::Passed),
        }],
    };
    let operation = Operation::Put(keys::journal(1, 999_999), record.encode());
    let store = SledStore::open(&dir.join("store"), SledOptions::default()).unwrap();
    put(&store, operation).await;
    store.close().await;
}

/// A rollout that waits for a gate of which one run failed, in a pin set of its own.
async fn run_a_gate(server: &Server) {
    let policy = proto::Policy {
        gates: vec!["nova".to_owned()],
        open_rollouts_max: Some(1),
        ..Default::default()
    };
    server.create_set(GATED, policy, None).await.unwrap();
    server.import(GATED, PINS).await.unwrap();
    let request = proto::CreateRolloutRequest {
        pin_set: GATED.to_owned(),
        candidates: vec![proto::Candidate {
            package: "six".to_owned(),
            version: "2.0".to_owned(),
            ..Default::default()
        }],
        requires: vec![proto::Requirement {
            package: "six".to_owned(),
            needs: "requests>=1.0".to_owned(),
        }],
        ..Default::default()
    };
    let request = with_token(request, &server.manager);
    server.rollouts().create_rollout(request).await.unwrap();
    // It waits, since that one is open.
    let newer = PINS.replace("requests==1.0", "requests==1.5");
    server.import(GATED, &newer).await.unwrap();
    let mut gates = GateServiceClient::new(server.channel.clone());
    let request = proto::LeaseGateRequest {
        consumer: "nova".to_owned(),
        ..Default::default()
    };
    let request = with_token(request, &server.manager);
    let leased = gates.lease_gate(request).await.unwrap().into_inner();
    let request = proto::ReportGateRequest {
        lease_id: leased.lease.unwrap().lease_id,
        outcome: proto::Outcome::Failed.into(),
        category: proto::Category::Test.into(),
        fingerprint: "00000000000000aa".to_owned(),
        link: "https://ci.example/job/1".to_owned(),
    };
    let request = with_token(request, &server.manager);
    gates.report_gate(request).await.unwrap();
}

async fn put(store: &SledStore, operation: Operation) {
    let transaction = Transaction {
        conditions: vec![],
        operations: vec![operation],
    };
    store.commit(transaction).await.unwrap();
}

async fn lines_of(dir: &Path) -> Vec<Line> {
    let store = SledStore::open(&dir.join("store"), SledOptions::default()).unwrap();
    let page = store.page("", None, 1000).await.unwrap();
    assert!(!page.more);
    let lines = page
        .entries
        .into_iter()
        .filter(|entry| !front::is_own_key(&entry.key));
    let lines = lines
        .map(|entry| {
            let json = serde_json::from_slice(&entry.value).ok();
            let hex = json.is_none().then(|| hex::encode(&entry.value));
            Line {
                key: entry.key.to_string(),
                json,
                hex,
            }
        })
        .collect();
    store.close().await;
    lines
}

async fn restore(dir: &Path, lines: &[Line]) {
    let store = SledStore::open(&dir.join("store"), SledOptions::default()).unwrap();
    for line in lines {
        let value = match (&line.json, &line.hex) {
            (Some(json), None) => serde_json::to_vec(json).unwrap(),
            (None, Some(hex)) => hex::decode(hex).unwrap(),
            _ => panic!("{} has no value", line.key),
        };
        put(&store, Operation::Put(Key::new(&line.key), value.into())).await;
    }
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_goes_on_from_what_an_older_one_left_behind() {
    if std::env::var_os("PINION_WRITE_FIXTURE").is_some() {
        let dir = tempdir().unwrap();
        live(dir.path()).await;
        let lines = lines_of(dir.path()).await;
        let text: String = lines
            .iter()
            .map(|line| serde_json::to_string(line).unwrap() + "\n")
            .collect();
        std::fs::create_dir_all(fixtures()).unwrap();
        std::fs::write(fixtures().join("format-1.jsonl"), text).unwrap();
    }
    let mut formats = 0;
    for file in std::fs::read_dir(fixtures()).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        let lines: Vec<Line> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_every_kind(&lines);
        goes_on(&lines).await;
        formats += 1;
    }
    assert!(formats > 0);
}

/// The fixture is of use only if it has every kind of record.
fn assert_every_kind(lines: &[Line]) {
    let kinds: BTreeSet<&str> = lines
        .iter()
        .filter_map(|line| line.key.split('/').next())
        .collect();
    for kind in [
        "set", "base", "block", "ro", "log", "out", "env", "tok", "name", "ord", "cid", "rep", "j",
        "seen", "hist", "pool", "obs", "ep", "det", "look", "left", "gate", "audit", "chain",
        "end", "req", "want", "notice",
    ] {
        assert!(
            kinds.contains(kind),
            "no record of the kind `{kind}` in {kinds:?}"
        );
    }
}

async fn goes_on(lines: &[Line]) {
    let dir = tempdir().unwrap();
    restore(dir.path(), lines).await;
    let clock = Arc::new(ManualClock::new(TUESDAY_TEN.plus(2 * DAY)));
    let world = World {
        clock: Arc::clone(&clock) as _,
        random: Arc::new(SeededRandom::new(99)),
        exporter: None,
        is_simulated: false,
    };
    let app = App::start(&config(dir.path()), world).await.unwrap();
    app.controller.tick().await;

    // The first secret that a server with this seed makes.
    let admin = {
        let other = tempdir().unwrap();
        let server = Server::start(other.path(), PINS).await;
        server.admin.clone()
    };
    let channel = Channel::from_shared(format!("http://{}", app.address))
        .unwrap()
        .connect()
        .await
        .unwrap();
    let mut sets = PinSetServiceClient::new(channel.clone());
    let mut notices = NoticeServiceClient::new(channel.clone());
    let mut rollouts = RolloutServiceClient::new(channel);
    let request = proto::ListRolloutsRequest {
        pin_set: SET.to_owned(),
        ..Default::default()
    };
    let listed = rollouts
        .list_rollouts(with_token(request, &admin))
        .await
        .unwrap()
        .into_inner()
        .rollouts;
    let states: Vec<_> = listed
        .iter()
        .map(|rollout| (rollout.changes[0].package.as_str(), rollout.state()))
        .collect();
    assert_eq!(listed.len(), 2, "{states:?}");
    let of = |package: &str| {
        listed
            .iter()
            .find(|rollout| rollout.changes[0].package == package)
            .unwrap()
    };
    assert_eq!(of("requests").state(), proto::RolloutState::RolledBack);
    assert_eq!(of("requests").filing.as_ref().unwrap().state, "pending");
    assert_eq!(of("six").state(), proto::RolloutState::Baking);
    let evidence = of("requests").evidence.as_ref().unwrap();
    assert!(
        evidence.control_total.as_ref().unwrap().failed > 0,
        "{evidence:?}"
    );
    let request = proto::ListDecisionsRequest {
        rollout: of("requests").id.clone(),
        ..Default::default()
    };
    let decisions = rollouts
        .list_decisions(with_token(request, &admin))
        .await
        .unwrap()
        .into_inner()
        .decisions;
    assert!(decisions.len() >= 2, "{decisions:?}");
    let request = proto::ListRolloutsRequest {
        pin_set: GATED.to_owned(),
        ..Default::default()
    };
    let gated = rollouts
        .list_rollouts(with_token(request, &admin))
        .await
        .unwrap()
        .into_inner()
        .rollouts;
    assert_eq!(gated[0].state(), proto::RolloutState::Gating);
    assert_eq!(gated[0].gates[0].state(), proto::GateState::Waiting);
    assert_eq!(gated[0].gates[0].runs.len(), 1);
    assert_eq!(gated[0].requires, ["six 2.0 needs requests >=1.0"]);
    let request = proto::ListWantedRequest {
        pin_set: GATED.to_owned(),
        ..Default::default()
    };
    let waiting = sets.list_wanted(with_token(request, &admin)).await;
    let waiting = waiting.unwrap().into_inner().wanted;
    assert_eq!(waiting[0].changes[0].to_version, "1.5");
    let request = proto::ListNoticesRequest::default();
    let told = notices.list_notices(with_token(request, &admin)).await;
    let told = told.unwrap().into_inner().notices;
    assert_eq!(told[0].rollout, of("requests").id);
    assert_eq!(told[0].deliveries[0].state, "waiting");
    app.stop().await;
}
