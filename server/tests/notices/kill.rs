//! `kill -9` of the server between sending and noting, again and again: every notice arrives, none of what was not
//! committed, and a repeat has the same id. And: no secret in what the server says.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use pinion_proto::v1 as proto;
use pinion_proto::v1::notice_service_client::NoticeServiceClient;
use pinion_proto::v1::rollout_service_client::RolloutServiceClient;
use standardwebhooks::Webhook;
use tempfile::tempdir;

use crate::process::Process;
use crate::receiver::{Answer, Call, Receiver};
use crate::route::{PINS, SECRET};
use crate::support::{SET, with_token};

/// Kills of the server.
const KILLS: usize = 6;

fn route(dir: &std::path::Path, url: &str) -> String {
    std::fs::write(dir.join("secret"), SECRET).unwrap();
    format!(
        "[[notice]]\nname = 'ops'\nkind = 'webhook'\nurl = '{url}'\nsecret_file = '{}'\ntimeout_s = 1\n\
         events = ['rollout.created', 'rollout.aborted']\n",
        dir.join("secret").display()
    )
}

/// Starts a rollout and aborts it; gives what was acknowledged of that.
async fn start_and_abort(process: &Process, admin: &str, version: usize) -> Vec<(String, String)> {
    let mut rollouts = RolloutServiceClient::new(process.channel.clone());
    let create = proto::CreateRolloutRequest {
        pin_set: SET.to_owned(),
        candidates: vec![proto::Candidate {
            package: "requests".to_owned(),
            version: format!("2.{version}"),
            ..Default::default()
        }],
        ..Default::default()
    };
    let Ok(created) = rollouts.create_rollout(with_token(create, admin)).await else {
        return Vec::new();
    };
    let id = created.into_inner().rollout.unwrap().id;
    let created = (id.clone(), "rollout.created".to_owned());
    let aborted = abort(process, admin, id).await;
    std::iter::once(created).chain(aborted).collect()
}

/// Aborts a rollout; gives that, if it was acknowledged.
async fn abort(process: &Process, admin: &str, id: String) -> Option<(String, String)> {
    let mut rollouts = RolloutServiceClient::new(process.channel.clone());
    let abort = proto::AbortRolloutRequest {
        id: id.clone(),
        ..Default::default()
    };
    let aborted = rollouts.abort_rollout(with_token(abort, admin)).await;
    aborted.is_ok().then(|| (id, "rollout.aborted".to_owned()))
}

/// The rollouts that the store has, each with whether it was aborted.
async fn committed(process: &Process, admin: &str) -> BTreeMap<String, bool> {
    let request = proto::ListRolloutsRequest {
        page_size: 1000,
        ..Default::default()
    };
    let mut rollouts = RolloutServiceClient::new(process.channel.clone());
    let listed = rollouts.list_rollouts(with_token(request, admin)).await;
    let listed = listed.unwrap().into_inner().rollouts;
    listed
        .into_iter()
        .map(|rollout| {
            (
                rollout.id.clone(),
                rollout.state() == proto::RolloutState::Aborted,
            )
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_between_sending_and_noting_tells_everything_and_nothing_else() {
    let dir = tempdir().unwrap();
    let receiver = Receiver::start().await;
    let notices = route(dir.path(), &receiver.url);
    let mut acknowledged = BTreeSet::new();
    let mut admin = String::new();
    for kill in 0..KILLS {
        let process = Process::start(dir.path(), &notices, "error");
        if kill == 0 {
            admin = Process::admin(dir.path());
            process.prepare(&admin, PINS).await;
        }
        for (id, was_aborted) in committed(&process, &admin).await {
            if !was_aborted {
                // What the server before was killed in stands in the way of the next.
                acknowledged.extend(abort(&process, &admin, id).await);
            }
        }
        // The receiver has it; the server dies before it can know. Now and then the second one is hit.
        let takes = std::iter::repeat_with(crate::receiver::taken).take(kill % 2);
        receiver.answer(takes.chain([Answer::Call(Call(process.killer()))]));
        for version in 0..50 {
            acknowledged.extend(start_and_abort(&process, &admin, kill * 50 + version).await);
            if process.has_ended() {
                break;
            }
        }
        assert!(process.has_ended(), "nothing was sent in round {kill}");
    }
    let process = Process::start(dir.path(), &notices, "error");
    let mut listing = NoticeServiceClient::new(process.channel.clone());
    for _ in 0..600 {
        let request = proto::ListNoticesRequest {
            state: "waiting".to_owned(),
            ..Default::default()
        };
        let waiting = listing.list_notices(with_token(request, &admin)).await;
        if waiting.unwrap().into_inner().notices.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let committed = committed(&process, &admin).await;
    let mut told: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    for got in receiver.got() {
        Webhook::new(SECRET)
            .unwrap()
            .verify(&got.body, &got.headers)
            .unwrap();
        let rollout = got.json()["data"]["rollout"].as_str().unwrap().to_owned();
        let id = got.header("webhook-id").to_owned();
        told.entry((rollout, got.kind())).or_default().insert(id);
    }
    for what in &acknowledged {
        assert!(
            told.contains_key(what),
            "{what:?} was acknowledged and never told"
        );
    }
    let mut expected = BTreeSet::new();
    for (id, was_aborted) in committed {
        expected.insert((id.clone(), "rollout.created".to_owned()));
        if was_aborted {
            expected.insert((id, "rollout.aborted".to_owned()));
        }
    }
    let told_of: BTreeSet<_> = told.keys().cloned().collect();
    assert_eq!(
        told_of, expected,
        "what is committed is told, and nothing else"
    );
    assert!(
        told.values().all(|ids| ids.len() == 1),
        "a repeat has the same id: {told:?}"
    );
    let repeats = receiver.got().len() - told.len();
    println!(
        "{} notices, {repeats} of them twice, {KILLS} kills",
        told.len()
    );
    assert!((1..=KILLS).contains(&repeats), "{repeats}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_stands_in_a_log_or_an_answer() {
    let dir = tempdir().unwrap();
    let (receiver, hook) = (Receiver::start().await, Receiver::start().await);
    let url = format!("{}/services/T0/B0/s3cr3tpath", receiver.url);
    std::fs::write(dir.path().join("chat"), &url).unwrap();
    let chat = |name: &str, file: &str| {
        format!(
            "[[notice]]\nname = '{name}'\nkind = 'slack'\nurl_file = '{}'\ntimeout_s = 1\n",
            dir.path().join(file).display()
        )
    };
    // Nobody listens there.
    std::fs::write(
        dir.path().join("away"),
        "http://127.0.0.1:9/services/s3cr3tpath",
    )
    .unwrap();
    std::fs::write(dir.path().join("wrong"), "ftp://s3cr3tpath.example").unwrap();
    let notices = [
        chat("chat", "chat"),
        chat("away", "away"),
        chat("wrong", "wrong"),
        route(dir.path(), &hook.url),
    ];
    let process = Process::start(dir.path(), &notices.concat(), "trace,h2=info,sled=info");
    let admin = Process::admin(dir.path());
    process.prepare(&admin, PINS).await;
    let echo = |status| {
        Answer::With(
            status,
            "",
            format!("no such hook: {url}, /services/T0/B0/s3cr3tpath"),
        )
    };
    let redirect = Answer::With(
        "302 Found",
        "location: /services/T0/B0/s3cr3tpath\r\n",
        String::new(),
    );
    hook.answer([Answer::With("400 Bad Request", "", SECRET.to_owned())]);
    receiver.answer([
        echo("404 Not Found"),
        echo("500 Oh"),
        redirect,
        echo("403 No"),
    ]);
    start_and_abort(&process, &admin, 0).await;
    receiver.wait_for(3).await;
    hook.wait_for(2).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut listing = NoticeServiceClient::new(process.channel.clone());
    let listed = listing
        .list_notices(with_token(proto::ListNoticesRequest::default(), &admin))
        .await;
    let routes = listing
        .list_routes(with_token(proto::ListRoutesRequest::default(), &admin))
        .await;
    let answers = format!(
        "{:?}{:?}",
        listed.unwrap().into_inner(),
        routes.unwrap().into_inner()
    );
    assert!(
        answers.contains("answered 404: no such hook: ***, ***"),
        "{answers}"
    );
    assert!(
        answers.contains("the secret URL has the scheme"),
        "{answers}"
    );
    let said = process.said.lock().unwrap().clone();
    assert!(said.contains("a notice was not taken"), "{said}");
    let key = SECRET.strip_prefix("whsec_").unwrap();
    for secret in ["s3cr3tpath", key] {
        assert!(!answers.contains(secret), "{answers}");
        let line = said.lines().find(|line| line.contains(secret));
        assert_eq!(line, None);
    }
}
