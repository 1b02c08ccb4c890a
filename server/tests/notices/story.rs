//! What happens, and who is told of it in which words.

use http::HeaderMap;
use pinion_proto::v1 as proto;
use pinion_proto::v1::gate_service_client::GateServiceClient;
use pinion_proto::v1::notice_service_client::NoticeServiceClient;
use standardwebhooks::Webhook;
use tempfile::tempdir;
use tonic::Code;

use crate::receiver::{Got, Receiver};
use crate::route::{PINS, SECRET, listed, route, server, wait_until, webhook};
use crate::support::repository::{git, merge, repository};
use crate::support::{DAY, FORGE, HOUR, SET, Server, source, with_token};

/// Rollouts that start from now on have no pilot, and their calendar never closes.
async fn set_policy(server: &Server, policy: proto::Policy) {
    let request = proto::UpdatePinSetRequest {
        name: SET.to_owned(),
        policy: Some(proto::Policy {
            stages: vec![0.5],
            pilot: Some(false),
            calendar: Some(proto::Calendar {
                days: (1..=7).collect(),
                opens_minute: Some(0),
                closes_minute: Some(1440),
                ..Default::default()
            }),
            ..policy
        }),
        ..Default::default()
    };
    let request = with_token(request, &server.manager);
    server.sets().update_pin_set(request).await.unwrap();
}

/// Everybody who has the candidate fails, and nobody else.
async fn fail_with(server: &Server, environments: &[crate::support::Environment]) {
    for environment in environments {
        let pins = server.pins(&environment.token).await.unwrap();
        let outcome = match pins.rollouts.is_empty() {
            true => proto::Outcome::Passed,
            false => proto::Outcome::Failed,
        };
        let report = server.report(outcome);
        server.send(&environment.token, vec![report]).await.unwrap();
    }
}

fn lines(got: &Got) -> Vec<String> {
    serde_json::from_value(got.json()["data"]["lines"].clone()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_is_told_with_its_why_its_numbers_and_what_to_do() {
    let dir = tempdir().unwrap();
    let receiver = Receiver::start().await;
    let server = server(
        dir.path(),
        vec![webhook(dir.path(), "ops", &receiver.url, "")],
    )
    .await;
    set_policy(&server, proto::Policy::default()).await;
    let environments = server.enroll_many(60).await;
    let id = server.start_rollout("requests", "2.0").await.unwrap().id;
    server.pass(HOUR).await;
    fail_with(&server, &environments).await;
    server.pass(HOUR).await;
    let got = receiver.wait_for(3).await;
    wait_until(&server, "sent", 3).await;
    assert_eq!(
        receiver.kinds(),
        ["rollout.created", "rollout.started", "rollout.rolled_back"]
    );
    assert_eq!(
        got[1].subject(),
        "Started at 50 %: requests 1.0 -> 2.0 in set"
    );
    let last = &got[2];
    assert_eq!(
        last.subject(),
        "Rolled back at 50 %: requests 1.0 -> 2.0 in set"
    );
    let lines = lines(last);
    assert!(
        lines[0].starts_with("Why: harmful, found at 50 %: "),
        "{lines:?}"
    );
    assert!(
        lines[0].contains("(100 %) with the candidate failed, against 0 of"),
        "{lines:?}"
    );
    let had = lines[0].split(' ').nth(6).unwrap();
    assert_eq!(
        lines[1],
        format!(
            "{had} environments had pulled it; the next pull of each gives the baseline again."
        )
    );
    let data = &last.json()["data"];
    assert_eq!(data["rollout"], id);
    assert_eq!(
        data["link"],
        format!("https://pinion.example.org/rollouts/{id}")
    );
    let ways = data["ways"].to_string();
    assert!(
        ways.contains("pinion pin-set lift set requests 2.0 --reason WHY"),
        "{ways}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_is_signed_as_the_specification_has_it_with_both_secrets_while_they_change() {
    let dir = tempdir().unwrap();
    let receiver = Receiver::start().await;
    let old = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    std::fs::write(dir.path().join("old"), old).unwrap();
    let more = format!(
        "previous_secret_file = '{}'",
        dir.path().join("old").display()
    );
    let server = server(
        dir.path(),
        vec![webhook(dir.path(), "ops", &receiver.url, &more)],
    )
    .await;
    server.start_rollout("requests", "2.0").await.unwrap();
    let got = receiver.wait_for(1).await.remove(0);
    assert_eq!(got.header("webhook-id"), got.json()["data"]["id"]);
    assert_eq!(got.header("webhook-timestamp"), "1709632800");
    let expected = [SECRET, old].map(|secret| {
        let webhook = Webhook::new(secret).unwrap();
        let signed = webhook.sign(got.header("webhook-id"), 1_709_632_800, &got.body);
        signed.unwrap()
    });
    assert_eq!(got.header("webhook-signature"), expected.join(" "));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_in_time_verifies_it_with_the_reference_library() {
    let dir = tempdir().unwrap();
    let receiver = Receiver::start().await;
    let server = server(
        dir.path(),
        vec![webhook(dir.path(), "ops", &receiver.url, "")],
    )
    .await;
    // The library asks the machine what time it is.
    let now = std::time::SystemTime::now();
    let now = now.duration_since(std::time::UNIX_EPOCH).unwrap();
    let ahead =
        now - std::time::Duration::from_millis(server.clock_minus_days(0).unix_ms().unsigned_abs());
    server.clock.advance(ahead);
    server.start_rollout("requests", "2.0").await.unwrap();
    let got = receiver.wait_for(1).await.remove(0);
    let verify =
        |body: &[u8], headers: &HeaderMap| Webhook::new(SECRET).unwrap().verify(body, headers);
    verify(&got.body, &got.headers).unwrap();
    let forged = String::from_utf8(got.body.clone())
        .unwrap()
        .replace("2.0", "6.6");
    verify(forged.as_bytes(), &got.headers).unwrap_err();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_is_told_only_what_it_asks_for_and_of_its_pin_sets() {
    let dir = tempdir().unwrap();
    let [all, backs, others] = [
        Receiver::start().await,
        Receiver::start().await,
        Receiver::start().await,
    ];
    let routes = vec![
        webhook(dir.path(), "all", &all.url, ""),
        webhook(
            dir.path(),
            "backs",
            &backs.url,
            "events = ['rollout.rolled_back', 'block.*']",
        ),
        webhook(dir.path(), "others", &others.url, "pin_sets = ['other-*']"),
    ];
    let server = server(dir.path(), routes).await;
    let id = server.start_rollout("requests", "2.0").await.unwrap().id;
    server.clock.advance(HOUR);
    server.pause(&id).await.unwrap_err();
    server.clock.advance(HOUR);
    server.roll_back(&id).await.unwrap();
    let lift = proto::LiftBlockRequest {
        pin_set: SET.to_owned(),
        package: "requests".to_owned(),
        version: "2.0".to_owned(),
        reason: "the fault is gone".to_owned(),
    };
    let mut sets = server.sets();
    sets.lift_block(with_token(lift, &server.manager))
        .await
        .unwrap();
    wait_until(&server, "sent", 4).await;
    // Of rollback and block, which are one transaction, a route is told the rollback; what was refused nobody is told.
    let expected = [
        "rollout.created",
        "rollout.person_needed",
        "rollout.rolled_back",
        "block.lifted",
    ];
    assert_eq!(all.kinds(), expected);
    assert_eq!(backs.kinds(), expected[2..]);
    assert!(others.got().is_empty());
    assert_eq!(
        all.got()[2].subject(),
        "Rolled back before it began: requests 1.0 -> 2.0 in set"
    );
    let ids = |receiver: &Receiver| {
        let got = receiver.got();
        got.iter()
            .map(|got| got.header("webhook-id").to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(ids(&all)[2..], ids(&backs), "one notice, by two routes");
}

#[tokio::test(flavor = "multi_thread")]
async fn people_are_told_what_waits_for_them() {
    let dir = tempdir().unwrap();
    let receiver = Receiver::start().await;
    let server = server(
        dir.path(),
        vec![webhook(dir.path(), "ops", &receiver.url, "")],
    )
    .await;
    let policy = proto::Policy {
        approvals: 1,
        gates: vec!["nova".to_owned()],
        gate_runs: Some(1),
        ..Default::default()
    };
    set_policy(&server, policy).await;
    let id = server.start_rollout("requests", "2.0").await.unwrap().id;
    let ci = server.token("zuul", proto::Role::Ci, "").await;
    let mut gates = GateServiceClient::new(server.channel.clone());
    let lease = proto::LeaseGateRequest {
        consumer: "nova".to_owned(),
        ..Default::default()
    };
    let lease = gates.lease_gate(with_token(lease, &ci)).await.unwrap();
    let report = proto::ReportGateRequest {
        lease_id: lease.into_inner().lease.unwrap().lease_id,
        outcome: proto::Outcome::Failed.into(),
        category: proto::Category::Test.into(),
        link: "https://ci.example/job/1".to_owned(),
        ..Default::default()
    };
    gates.report_gate(with_token(report, &ci)).await.unwrap();
    let got = receiver.wait_for(2).await;
    assert_eq!(receiver.kinds(), ["rollout.approval_needed", "gate.failed"]);
    assert_eq!(
        got[0].subject(),
        "Needs 1 approval: requests 1.0 -> 2.0 in set"
    );
    assert!(
        lines(&got[0]).contains(&"The tests of nova come before anybody gets it.".to_owned()),
        "{:?}",
        lines(&got[0])
    );
    assert_eq!(
        got[1].subject(),
        "Tests of nova fail: requests 1.0 -> 2.0 in set"
    );
    assert_eq!(lines(&got[1])[2], "The last run: https://ci.example/job/1");
    server.abort(&id).await.unwrap();

    // A fleet that is too small waits for a person; that is told once, however often it is decided.
    set_policy(&server, proto::Policy::default()).await;
    server.start_rollout("six", "2.0").await.unwrap();
    for _ in 0..3 {
        server.pass(HOUR).await;
    }
    receiver.wait_for(5).await;
    wait_until(&server, "sent", 5).await;
    assert_eq!(
        receiver.kinds()[2..],
        [
            "rollout.aborted",
            "rollout.created",
            "rollout.person_needed"
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chat_is_told_in_a_form_in_which_nothing_mentions_anybody() {
    let dir = tempdir().unwrap();
    let receiver = Receiver::start().await;
    let url = dir.path().join("chat-url");
    std::fs::write(&url, format!("{}/services/T0/B0/s3cret", receiver.url)).unwrap();
    let chat = route(&format!(
        "name = 'chat'\nkind = 'slack'\nurl_file = '{}'",
        url.display()
    ));
    let server = server(dir.path(), vec![chat]).await;
    let freeze = proto::FreezePinSetRequest {
        name: SET.to_owned(),
        reason: "release week, <!channel> @here".to_owned(),
        ..Default::default()
    };
    let mut sets = server.sets();
    sets.freeze_pin_set(with_token(freeze, &server.manager))
        .await
        .unwrap();
    let got = receiver.wait_for(1).await.remove(0);
    assert_eq!(got.path, "/services/T0/B0/s3cret");
    let text = got.json()["text"].as_str().unwrap().to_owned();
    assert_eq!(
        text,
        "Pin set frozen: set\nWhy: the pin set is frozen by manager until somebody takes that away: release week, \
         &lt;!channel&gt; @ here.\nNo rollout is open in it; shares stay where they are, and harm is rolled back all the \
         same.\n\nWhat you can do:\n- `pinion pin-set unfreeze set` takes that away\n\n\
         https://pinion.example.org/pin-sets/set"
    );
    assert_eq!(
        got.json()["blocks"][0]["text"]["text"],
        "Pin set frozen: set"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_is_tried_by_admins_and_nothing_is_kept_of_it() {
    let dir = tempdir().unwrap();
    let receiver = Receiver::start().await;
    let server = server(
        dir.path(),
        vec![webhook(dir.path(), "ops", &receiver.url, "")],
    )
    .await;
    let test = async |token: &str, name: &str| {
        let request = proto::TestRouteRequest {
            name: name.to_owned(),
        };
        NoticeServiceClient::new(server.channel.clone())
            .test_route(with_token(request, token))
            .await
            .map(tonic::Response::into_inner)
    };
    let refused = test(&server.manager, "ops").await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let refused = test(&server.admin, "nobody").await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    let sent = test(&server.admin, "ops").await.unwrap();
    assert!(sent.sent && sent.answer == "answered 200: ok", "{sent:?}");
    receiver.answer([crate::receiver::Answer::With(
        "403 Forbidden",
        "",
        "no".to_owned(),
    )]);
    let sent = test(&server.admin, "ops").await.unwrap();
    assert!(!sent.sent && sent.answer == "answered 403: no", "{sent:?}");
    assert_eq!(receiver.kinds(), ["notice.test", "notice.test"]);
    assert!(listed(&server, "").await.is_empty());

    let request = proto::ListNoticesRequest::default();
    let mut notices = NoticeServiceClient::new(server.channel.clone());
    let refused = notices
        .list_notices(with_token(request, &server.team))
        .await;
    assert_eq!(refused.unwrap_err().code(), Code::PermissionDenied);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_is_told_of_from_its_beginning_to_its_end() {
    let dir = tempdir().unwrap();
    let receiver = Receiver::start().await;
    let server = server(
        dir.path(),
        vec![webhook(dir.path(), "ops", &receiver.url, "")],
    )
    .await;
    set_policy(&server, proto::Policy::default()).await;
    let environments = server.enroll_many(30).await;
    let id = server.start_rollout("requests", "2.0").await.unwrap().id;
    server.pass(HOUR).await;
    server.pause(&id).await.unwrap();
    server.resume(&id).await.unwrap();
    server.promote(&id, 1.0).await.unwrap();
    for environment in &environments {
        server.pins(&environment.token).await.unwrap();
        let report = server.report(proto::Outcome::Passed);
        server.send(&environment.token, vec![report]).await.unwrap();
    }
    server.pass(DAY).await;
    server.pass(HOUR).await;
    wait_until(&server, "sent", 6).await;
    let subjects: Vec<String> = receiver.got().iter().map(Got::subject).collect();
    assert_eq!(
        subjects,
        [
            "New rollout: requests 1.0 -> 2.0 in set",
            "Started at 50 %: requests 1.0 -> 2.0 in set",
            "Paused at 50 %: requests 1.0 -> 2.0 in set",
            "Goes on at 50 %: requests 1.0 -> 2.0 in set",
            "Raised to 100 %: requests 1.0 -> 2.0 in set",
            "Completed: requests 1.0 -> 2.0 in set",
        ]
    );
    let all: Vec<Vec<String>> = receiver.got().iter().map(lines).collect();
    assert_eq!(
        all[2],
        [
            "By: manager.",
            "50 % of 30 environments keep it meanwhile; nobody else gets it."
        ]
    );
    assert!(
        all[5][0].starts_with("Why: everybody has it: 0 of 30 environments (0 %)"),
        "{all:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_becomes_of_a_filed_change_is_told_and_a_lasting_fault_only_once() {
    let dir = tempdir().unwrap();
    let receiver = Receiver::start().await;
    let url = repository(dir.path());
    let config = pinion_server::config::Config {
        routes: vec![webhook(
            dir.path(),
            "ops",
            &receiver.url,
            "events = ['change.*']",
        )],
        forges: vec![pinion_server::forge::ForgeConfig::git(
            FORGE.parse().unwrap(),
            &url,
        )],
        ..Default::default()
    };
    let source = Some(source("upper-constraints.txt"));
    let data = dir.path().join("data");
    let server = Server::start_configured(&data, PINS, config, source, true).await;
    let looks = async |server: &Server, count: usize| {
        for _ in 0..400 {
            if receiver.got().len() >= count {
                return;
            }
            server.clock.advance(std::time::Duration::from_secs(5));
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("{count} were to come: {:?}", receiver.kinds());
    };
    let id = server.start_rollout("requests", "2.0").await.unwrap().id;
    server.roll_back(&id).await.unwrap();
    looks(&server, 1).await;
    let filed = server.rollout(&id).await.filing.unwrap();
    let said = lines(&receiver.got()[0]);
    assert!(said[0].starts_with("It says: "), "{said:?}");
    assert!(
        said[0].contains("roll back requests 2.0 -> 1.0"),
        "{said:?}"
    );
    assert_eq!(said[1], format!("On {FORGE}: {}.", filed.branch));
    let bare = dir.path().join("pins.git");
    git(&bare, &["update-ref", "refs/heads/master", &filed.commit]);
    looks(&server, 2).await;

    // Somebody moved the pin elsewhere: a person has to look.
    let id = server.start_rollout("six", "2.0").await.unwrap().id;
    merge(dir.path(), "requests===1.0\nsix===7.0\n");
    server.roll_back(&id).await.unwrap();
    looks(&server, 3).await;
    let server = server.restart().await;
    for _ in 0..20 {
        server.clock.advance(HOUR);
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert_eq!(
        receiver.kinds(),
        ["change.filed", "change.merged", "change.stopped"]
    );
    let said = lines(&receiver.got()[2]);
    assert!(
        said[1].starts_with("Why: ") && said[1].contains("neither 2.0 nor 1.0"),
        "{said:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn many_rollouts_that_end_at_once_are_one_notice() {
    let dir = tempdir().unwrap();
    let receiver = Receiver::start().await;
    let route = webhook(
        dir.path(),
        "ops",
        &receiver.url,
        "events = ['rollout.superseded']",
    );
    let server = server(dir.path(), vec![route]).await;
    let pins = |version: &str| {
        let pins = (0..6).map(|n| format!("p{n}=={version}\n"));
        pins.collect::<String>()
    };
    server.import_at_once(SET, &pins("1.0")).await.unwrap();
    for n in 0..6 {
        server.start_rollout(&format!("p{n}"), "2.0").await.unwrap();
    }
    let import = proto::ImportPinsRequest {
        name: SET.to_owned(),
        content: pins("3.0"),
        newer_versions: proto::NewerVersions::TakeAtOnce.into(),
        supersede: true,
        ..Default::default()
    };
    let mut sets = server.sets();
    let import = sets.import_pins(with_token(import, &server.manager)).await;
    import.unwrap();
    wait_until(&server, "sent", 1).await;
    let got = receiver.wait_for(1).await.remove(0);
    assert!(
        got.subject().ends_with(" and 5 more like it"),
        "{}",
        got.subject()
    );
    assert_eq!(lines(&got)[5], "And 1 more.");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_in_whose_way_something_stands_for_a_day_is_told_of_once() {
    let dir = tempdir().unwrap();
    let receiver = Receiver::start().await;
    let route = webhook(dir.path(), "ops", &receiver.url, "events = ['candidate.*']");
    let server = server(dir.path(), vec![route]).await;
    server.start_rollout("requests", "2.0").await.unwrap();
    server
        .import(SET, &PINS.replace("requests==1.0", "requests==3.0"))
        .await
        .unwrap();
    server.clock.advance(DAY - HOUR);
    tokio::time::sleep(std::time::Duration::from_millis(2500)).await;
    assert!(receiver.got().is_empty());
    server.clock.advance(HOUR);
    let got = receiver.wait_for(1).await.remove(0);
    tokio::time::sleep(std::time::Duration::from_millis(2500)).await;
    assert_eq!(receiver.kinds(), ["candidate.person_needed"]);
    assert_eq!(
        got.subject(),
        "Waits for its trial: requests 1.0 -> 3.0 in set"
    );
    let said = lines(&got);
    assert!(said[0].contains("changes the same package"), "{said:?}");
    assert_eq!(said[1], "It has waited since 2024-03-05 10:00 UTC.");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_only_played_is_told_as_such() {
    let dir = tempdir().unwrap();
    let receiver = Receiver::start().await;
    let route = webhook(
        dir.path(),
        "ops",
        &receiver.url,
        "events = ['rollout.started', 'rollout.rolled_back', 'block.*']",
    );
    let server = server(dir.path(), vec![route]).await;
    let policy = proto::Policy {
        shadow: true,
        ..Default::default()
    };
    set_policy(&server, policy).await;
    server.enroll_many(30).await;
    let id = server.start_rollout("requests", "2.0").await.unwrap().id;
    server.pass(HOUR).await;
    server.roll_back(&id).await.unwrap();
    wait_until(&server, "sent", 2).await;
    let subjects: Vec<String> = receiver.got().iter().map(Got::subject).collect();
    assert_eq!(
        subjects,
        [
            "Shadow: Started at 50 %: requests 1.0 -> 2.0 in set",
            "Shadow: Rolled back at 50 %: requests 1.0 -> 2.0 in set",
        ]
    );
    let said = lines(&receiver.got()[1]);
    assert!(!said.concat().contains("blocked"), "{said:?}");
}
