//! What was done can be checked later: decisions are made again from what is kept, and whoever changed a record is
//! found.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

#[allow(dead_code, reason = "each test file uses a part of it")]
#[path = "evidence/fleet.rs"]
mod fleet;

use std::path::Path;

use fleet::{Did, end_epoch, policy, pull_all, server, tell, tell_of, with_history};
use pinion_core::log::LogEntry;
use pinion_core::rollout::Rollout;
use pinion_proto::v1 as proto;
use pinion_proto::v1::DecisionCheck::{Chain, DecidedAgain, Refolded};
use pinion_proto::v1::admin_service_client::AdminServiceClient;
use pinion_proto::v1::audit_service_client::AuditServiceClient;
use pinion_server::store::records::{decode, encode};
use pinion_server::store::sled::{SledOptions, SledStore};
use pinion_server::store::{Key, Operation, Store, Transaction};
use support::{Environment, SET, Server, with_token};
use tempfile::{TempDir, tempdir};

async fn verify(server: &Server, id: &str) -> Vec<proto::VerifyDecisionsResponse> {
    let mut client = AuditServiceClient::new(server.channel.clone());
    let request = proto::VerifyDecisionsRequest {
        rollout: id.to_owned(),
    };
    let request = with_token(request, &server.manager);
    let mut stream = client.verify_decisions(request).await.unwrap().into_inner();
    let mut checked = Vec::new();
    while let Some(one) = stream.message().await.unwrap() {
        checked.push(one);
    }
    assert_eq!(checked.last().unwrap().sequence, 0);
    checked
}

/// Every problem with the number of its decision.
async fn problems(server: &Server, id: &str) -> Vec<(u64, String)> {
    let checked = verify(server, id).await.into_iter();
    let of = |checked: proto::VerifyDecisionsResponse| {
        let sequence = checked.sequence;
        checked
            .problems
            .into_iter()
            .map(move |problem| (sequence, problem))
    };
    checked.flat_map(of).collect()
}

async fn entries(server: &Server) -> Vec<proto::AuditEntry> {
    let mut client = AuditServiceClient::new(server.channel.clone());
    let mut request = proto::ListAuditEntriesRequest {
        page_size: 2,
        ..Default::default()
    };
    let mut entries = Vec::new();
    loop {
        let asked = with_token(request.clone(), &server.manager);
        let response = client.list_audit_entries(asked).await.unwrap().into_inner();
        assert!(response.entries.len() <= 2);
        entries.extend(response.entries);
        request.page_token = response.next_page_token;
        if request.page_token.is_empty() {
            return entries;
        }
    }
}

async fn audit_problems(server: &Server) -> Vec<(u64, String)> {
    let mut client = AuditServiceClient::new(server.channel.clone());
    let request = with_token(proto::VerifyAuditEntriesRequest {}, &server.manager);
    let checked = client.verify_audit_entries(request).await.unwrap();
    let problems = checked.into_inner().problems.into_iter();
    problems
        .map(|problem| (problem.sequence, problem.problem))
        .collect()
}

/// A rollout through several epochs to its rollback.
async fn rolled_back(dir: &TempDir) -> (Server, Vec<Environment>, String) {
    let server = server(dir, policy(&[0.2, 0.5])).await;
    let environments = server.enroll_many(60).await;
    with_history(&server, &environments).await;
    let id = server.start_rollout("requests", "2.0").await.unwrap().id;
    server.app.controller.tick().await;
    pull_all(&server, &environments).await;
    tell(&server, &environments, |place| match place % 7 {
        0 => Did::FailedLike(7),
        1 => Did::Announced,
        _ => Did::Passed,
    })
    .await;
    end_epoch(&server).await;
    let pulled = pull_all(&server, &environments).await;
    let places: Vec<usize> = (0..environments.len()).collect();
    tell_of(&server, &environments, &places, |place| {
        match pulled[place].is_empty() {
            true => Did::Passed,
            false => Did::FailedLike(99),
        }
    })
    .await;
    server.app.controller.tick().await;
    let state = server.rollout(&id).await.state();
    assert_eq!(state, proto::RolloutState::RolledBack);
    (server, environments, id)
}

/// Everything under a prefix, while no server runs.
async fn read(dir: &Path, prefix: &str) -> Vec<(String, Vec<u8>)> {
    let store = SledStore::open(&dir.join("store"), SledOptions::default()).unwrap();
    let page = store.page(prefix, None, 1000).await.unwrap();
    store.close().await;
    let entries = page.entries.into_iter();
    entries
        .map(|entry| (entry.key.to_string(), entry.value.to_vec()))
        .collect()
}

async fn write(dir: &Path, operations: Vec<Operation>) {
    let store = SledStore::open(&dir.join("store"), SledOptions::default()).unwrap();
    let transaction = Transaction {
        conditions: vec![],
        operations,
    };
    store.commit(transaction).await.unwrap();
    store.close().await;
}

fn put(key: &str, value: Vec<u8>) -> Operation {
    Operation::Put(Key::new(key), value.into())
}

/// The server again, after something was done to its store.
async fn meanwhile<T: Send + 'static>(
    server: Server,
    work: impl Future<Output = T> + Send + 'static,
) -> (Server, T) {
    let (handle, mut done) = (tokio::runtime::Handle::current(), None);
    let server = server
        .restart_after(|| {
            let thread = std::thread::spawn(move || handle.block_on(work));
            done = Some(thread.join().unwrap());
        })
        .await;
    (server, done.unwrap())
}

/// The server again, with these records in place of what it had written.
async fn tampered(dir: &TempDir, server: Server, operations: Vec<Operation>) -> Server {
    let path = dir.path().to_owned();
    let work = async move { write(&path, operations).await };
    meanwhile(server, work).await.0
}

#[tokio::test(flavor = "multi_thread")]
async fn every_decision_comes_out_the_same_when_it_is_made_again() {
    let dir = tempdir().unwrap();
    let (server, environments, id) = rolled_back(&dir).await;
    let checked = verify(&server, &id).await;
    let kinds: Vec<_> = checked.iter().map(|checked| checked.check()).collect();
    assert_eq!(kinds[0], Chain, "a person asked for it");
    let by_rule = &checked[1..checked.len() - 1];
    assert!(by_rule.len() >= 4, "{checked:#?}");
    for checked in by_rule {
        assert_eq!(
            (checked.check(), checked.note.as_str()),
            (Refolded, ""),
            "{checked:?}"
        );
    }
    assert_eq!(problems(&server, &id).await, []);

    // A month later, when somebody has left: nobody keeps a draw of those, and it is said.
    server.leave(&environments[3]).await;
    server.pass(support::DAY * 31).await;
    let server = server.restart().await;
    let checked = verify(&server, &id).await;
    let last = &checked[checked.len() - 2];
    assert_eq!(last.check(), DecidedAgain, "{last:?}");
    assert!(
        last.note.contains("1 environment") && last.note.contains("the cells are those"),
        "{last:?}"
    );
    assert_eq!(problems(&server, &id).await, []);
    server.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_changed_a_record_is_found_and_the_record_is_named() {
    let dir = tempdir().unwrap();
    let (server, _, id) = rolled_back(&dir).await;
    let last = server.decisions(&id).await.len() as u64;
    let log = |sequence: u64| format!("log/{id}/{sequence:010}");
    let (path, under) = (dir.path().to_owned(), id.clone());
    let reading = async move {
        let log = read(&path, &format!("log/{under}/")).await;
        let cells = read(&path, &format!("obs/{under}/00001/")).await;
        let rollout = read(&path, &format!("c/ro/{under}")).await;
        (log, cells[0].clone(), rollout[0].clone())
    };
    let (mut server, (entries, (cells, ten), (rollout_key, rollout))) =
        meanwhile(server, reading).await;
    let second = entries[1].1.clone();
    let (entry_key, entry) = entries.last().unwrap().clone();

    // A word in an entry.
    let changed = String::from_utf8(entry.clone())
        .unwrap()
        .replace("roll back", "roll-back");
    // An entry that is no JSON any more.
    let spoiled = [b"x", &entry[..]].concat();
    // A first pull in a cell, some bits later.
    let mut moved = ten.clone();
    moved[1 + 4 + 8] ^= 1;
    // An entry whose evidence was made up, with every hash as it must be for that.
    let made_up: LogEntry = {
        let mut made_up: LogEntry = decode(&Key::new(&entry_key), &entry).unwrap();
        made_up.evidence.windows.log_e += 1.0;
        made_up.sealed()
    };
    let bound: Rollout = {
        let mut bound: Rollout = decode(&Key::new(&rollout_key), &rollout).unwrap();
        bound.last_hash.clone_from(&made_up.hash);
        bound
    };
    let restored = || {
        vec![
            put(&entry_key, entry.clone()),
            put(&rollout_key, rollout.clone()),
            put(&cells, ten.clone()),
            put(&log(2), second.clone()),
        ]
    };
    let cases: Vec<(Vec<Operation>, u64, &str)> = vec![
        (
            vec![put(&entry_key, changed.into_bytes())],
            last,
            "its hash is not that",
        ),
        (vec![put(&entry_key, spoiled)], last, &entry_key),
        (
            vec![Operation::Delete(Key::new(log(2)))],
            3,
            "decision 2 is not there",
        ),
        (vec![put(&cells, moved)], 3, "the cells of epoch 1"),
        (
            vec![
                put(&entry_key, encode(&made_up).to_vec()),
                put(&rollout_key, encode(&bound).to_vec()),
            ],
            last,
            "counted again",
        ),
    ];
    for (operations, sequence, words) in cases {
        server = tampered(&dir, server, operations).await;
        let found = problems(&server, &id).await;
        let is_found = |(at, problem): &(u64, String)| *at == sequence && problem.contains(words);
        assert!(found.iter().any(is_found), "{words}: {found:#?}");
        server = tampered(&dir, server, restored()).await;
        assert_eq!(problems(&server, &id).await, [], "after {words}");
    }
    server.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_decision_about_a_rollout_is_kept_too_and_a_changed_entry_is_found() {
    let dir = tempdir().unwrap();
    let (server, _, _) = rolled_back(&dir).await;
    let request = proto::LiftBlockRequest {
        pin_set: SET.to_owned(),
        package: "requests".to_owned(),
        version: "2.0".to_owned(),
        reason: "repaired\nupstream".to_owned(),
    };
    let request = with_token(request, &server.manager);
    server.sets().lift_block(request).await.unwrap();
    let mut admin = AdminServiceClient::new(server.channel.clone());
    let request = proto::RevokeTokenRequest {
        name: "team".to_owned(),
    };
    let request = with_token(request, &server.admin);
    admin.revoke_token(request).await.unwrap();
    let kept = entries(&server).await;
    let acts: Vec<(&str, &str)> = kept
        .iter()
        .map(|entry| (entry.act.as_str(), entry.actor.as_str()))
        .collect();
    assert_eq!(
        acts,
        [
            ("token-created", "controller"),
            ("token-created", "first-admin"),
            ("token-created", "first-admin"),
            ("pin-set-created", "manager"),
            ("pins-imported", "manager"),
            ("pin-set-updated", "manager"),
            ("block-lifted", "manager"),
            ("token-revoked", "first-admin"),
        ]
    );
    assert_eq!(kept[6].reason, "repaired upstream");
    assert!(
        kept[4].summary.contains("requests none -> 1.0"),
        "{}",
        kept[4].summary
    );
    assert_eq!(audit_problems(&server).await, []);

    let mut other = AuditServiceClient::new(server.channel.clone());
    let environment = server.token("ci", proto::Role::Ci, "").await;
    let request = with_token(proto::ListAuditEntriesRequest::default(), &environment);
    let refused = other.list_audit_entries(request).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::PermissionDenied);

    let (key, path) = ("audit/0000000000000007", dir.path().to_owned());
    let changing = async move {
        let text = String::from_utf8(read(&path, key).await[0].1.clone()).unwrap();
        let changed = text.replace("repaired upstream", "it was no problem");
        assert_ne!(text, changed);
        write(&path, vec![put(key, changed.into_bytes())]).await;
    };
    let (server, ()) = meanwhile(server, changing).await;
    let found = audit_problems(&server).await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].0, 7);
    server.app.stop().await;
}
