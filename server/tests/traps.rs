//! The traps that others fell into, each on a real server.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

use pinion_proto::v1 as proto;
use pinion_proto::v1::Outcome::{Failed, Passed, Started};
use pinion_proto::v1::RolloutState::{Completed, RolledBack};
use pinion_proto::v1::environment_service_client::EnvironmentServiceClient;
use pinion_proto::v1::pin_service_client::PinServiceClient;
use support::{DAY, HOUR, SET, Server, with_token};
use tempfile::tempdir;
use tonic::Code;

const PINS: &str = "requests==1.0\nurllib3==1.0\nsix==1.0\n";

async fn server(dir: &tempfile::TempDir) -> Server {
    Server::start(dir.path(), PINS).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_share_reaches_nobody_some_and_everybody_and_raising_only_adds() {
    let dir = tempdir().unwrap();
    let server = server(&dir).await;
    server.clock.advance(HOUR * 12); // At night nothing begins by itself.
    let environments = server.enroll_many(60).await;
    let id = server.start_rollout("requests", "2.0").await.unwrap().id;
    assert_eq!(
        server.count_with(&environments, "requests", "2.0").await,
        0,
        "gating is share zero"
    );
    let mut before: Vec<bool> = vec![false; environments.len()];
    for share in [0.1, 0.4, 0.9, 1.0] {
        server.promote(&id, share).await.unwrap();
        let mut now = Vec::new();
        for environment in &environments {
            now.push(server.version(&environment.token, "requests").await == "2.0");
        }
        assert!(
            before.iter().zip(&now).all(|(before, now)| !before || *now),
            "at {share} somebody lost the candidate"
        );
        before = now;
    }
    assert!(
        before.iter().all(|exposed| *exposed),
        "share one is everybody"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn packages_of_one_rollout_share_one_draw() {
    let dir = tempdir().unwrap();
    let server = server(&dir).await;
    let environments = server.enroll_many(40).await;
    let id = server
        .start_rollout_of(&[("requests", "2.0"), ("urllib3", "2.0")], false)
        .await
        .unwrap()
        .id;
    server.promote(&id, 0.5).await.unwrap();
    let mut exposed = 0;
    for environment in &environments {
        let requests = server.version(&environment.token, "requests").await;
        assert_eq!(
            requests,
            server.version(&environment.token, "urllib3").await
        );
        exposed += usize::from(requests == "2.0");
    }
    assert!((5..36).contains(&exposed), "{exposed} of 40 at a half");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_team_key_makes_all_its_environments_draw_alike_and_count_as_one() {
    let dir = tempdir().unwrap();
    let server = server(&dir).await;
    let mut team = Vec::new();
    for _ in 0..20 {
        team.push(server.enroll(true, "team-nova").await);
    }
    let others = server.enroll_many(10).await;
    let id = server.start_rollout("requests", "2.0").await.unwrap().id;
    server.app.controller.tick().await;
    assert_eq!(
        server.rollout(&id).await.population,
        11,
        "twenty of one team are one"
    );
    for share in [0.2, 0.5, 0.8] {
        server.promote(&id, share).await.unwrap();
        let exposed = server.count_with(&team, "requests", "2.0").await;
        assert!(
            exposed == 0 || exposed == team.len(),
            "{exposed} of the team at {share}"
        );
    }
    drop(others);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_consent_nobody_gets_a_candidate_before_it_is_complete() {
    let dir = tempdir().unwrap();
    let server = server(&dir).await;
    let _fleet = server.enroll_many(10).await;
    let silent = server.enroll(false, "").await;
    let id = server.start_rollout("requests", "2.0").await.unwrap().id;
    server.promote(&id, 1.0).await.unwrap();
    assert_eq!(server.version(&silent.token, "requests").await, "1.0");
    assert_eq!(
        server.version(&server.team, "requests").await,
        "1.0",
        "a plain token reports nothing"
    );
    let refused = server
        .send(&silent.token, vec![server.report(Passed)])
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(
        refused.message().contains("has not agreed to reporting"),
        "{refused}"
    );
    server.pass(DAY).await;
    server.pass(HOUR).await;
    assert_eq!(
        server.rollout(&id).await.state(),
        Completed,
        "{}",
        server.rollout(&id).await.reason
    );
    assert_eq!(server.version(&silent.token, "requests").await, "2.0");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_environment_that_fails_500_times_moves_the_evidence_once() {
    let dir = tempdir().unwrap();
    let server = server(&dir).await;
    server.clock.advance(HOUR * 12); // At night nothing begins by itself, so everybody is in the pool.
    let environments = server.enroll_many(40).await;
    let id = server.start_rollout("requests", "2.0").await.unwrap().id;
    server.promote(&id, 0.2).await.unwrap();
    let mut exposed = None;
    for environment in &environments {
        if server.version(&environment.token, "requests").await == "2.0" {
            exposed = Some(environment);
        }
    }
    let exposed = exposed.expect("somebody is exposed at a fifth of forty");
    server
        .send(&exposed.token, vec![server.report(Failed)])
        .await
        .unwrap();
    server.app.controller.tick().await;
    let once = server.rollout(&id).await.evidence.unwrap();
    for _ in 0..5 {
        let flood = (0..100).map(|_| server.report(Failed)).collect();
        server.send(&exposed.token, flood).await.unwrap();
    }
    server.app.controller.tick().await;
    let after = server.rollout(&id).await.evidence.unwrap();
    assert!(once.log_evidence > 0.0, "one failure is seen");
    assert_eq!(once.log_evidence.to_bits(), after.log_evidence.to_bits());
    assert_eq!(after.exposed.unwrap().failed, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_batch_sent_twice_changes_nothing_not_even_after_a_restart_or_in_another_epoch() {
    let dir = tempdir().unwrap();
    let server = server(&dir).await;
    let environments = server.enroll_many(30).await;
    let id = server.start_rollout("requests", "2.0").await.unwrap().id;
    server.promote(&id, 0.1).await.unwrap();
    let batch = vec![server.report(Started), server.report(Failed)];
    let token = &environments[0].token;
    let taken = server.send(token, batch.clone()).await.unwrap();
    assert_eq!((taken.accepted, taken.repeated), (2, 0));
    let taken = server.send(token, batch.clone()).await.unwrap();
    assert_eq!((taken.accepted, taken.repeated), (0, 2));
    server.app.controller.tick().await;
    let before = server.rollout(&id).await.evidence;

    let server = server.restart().await;
    server.app.controller.tick().await;
    assert_eq!(
        server.rollout(&id).await.evidence,
        before,
        "a restart counts the same"
    );
    let taken = server.send(token, batch.clone()).await.unwrap();
    assert_eq!((taken.accepted, taken.repeated), (0, 2));

    server.promote(&id, 0.5).await.unwrap();
    server.send(token, batch).await.unwrap();
    server.app.controller.tick().await;
    let evidence = server.rollout(&id).await.evidence.unwrap();
    assert_eq!(
        evidence.exposed.unwrap().failed + evidence.control.unwrap().failed,
        0,
        "an old report is no news"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_rollout_serves_the_baseline_on_the_very_next_pull_and_a_paused_one_changes_nothing()
 {
    let dir = tempdir().unwrap();
    let server = server(&dir).await;
    let environments = server.enroll_many(20).await;
    for stop in ["abort", "roll back"] {
        let version = if stop == "abort" { "2.0" } else { "3.0" };
        let id = server.start_rollout("requests", version).await.unwrap().id;
        server.promote(&id, 0.5).await.unwrap();
        let exposed = server.count_with(&environments, "requests", version).await;
        assert!(exposed > 0);
        server.pause(&id).await.unwrap();
        assert_eq!(
            server.count_with(&environments, "requests", version).await,
            exposed
        );
        server.pass(DAY * 3).await;
        assert_eq!(
            server.count_with(&environments, "requests", version).await,
            exposed,
            "a pause lasts"
        );
        server.resume(&id).await.unwrap();
        if stop == "abort" {
            server.abort(&id).await.unwrap()
        } else {
            server.roll_back(&id).await.unwrap()
        };
        assert_eq!(
            server.count_with(&environments, "requests", "1.0").await,
            environments.len(),
            "after {stop}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolled_back_version_is_refused_until_its_block_is_lifted_by_name() {
    let dir = tempdir().unwrap();
    let server = server(&dir).await;
    let id = server.start_rollout("requests", "2.0").await.unwrap().id;
    server.roll_back(&id).await.unwrap();
    let refused = server.start_rollout("Requests", "2.0.0").await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(
        refused.message().contains("is blocked") && refused.message().contains("pin-set lift"),
        "{refused}"
    );
    let file = "requests==2.0\nurllib3==1.0\nsix==1.0\n";
    let refused = server.import_at_once(SET, file).await.unwrap_err();
    assert!(refused.message().contains("is blocked"), "{refused}");
    let imported = server.import(SET, file).await.unwrap();
    assert!(imported.refused[0].contains("is blocked"), "{imported:?}");
    assert!(imported.started_rollouts.is_empty() && server.waiting().await.is_empty());
    let lift = |version: &str| proto::LiftBlockRequest {
        pin_set: SET.to_owned(),
        package: "requests".to_owned(),
        version: version.to_owned(),
        reason: "fixed on our side".to_owned(),
    };
    let wrong = server
        .sets()
        .lift_block(with_token(lift("2.1"), &server.manager))
        .await
        .unwrap_err();
    assert_eq!(wrong.code(), Code::NotFound);
    server
        .sets()
        .lift_block(with_token(lift("2.0"), &server.manager))
        .await
        .unwrap();
    server.start_rollout("requests", "2.0").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_breaks_everybody_meets_a_handful() {
    let dir = tempdir().unwrap();
    let server = server(&dir).await;
    let environments = server.enroll_many(200).await;
    let id = server.start_rollout("requests", "2.0").await.unwrap().id;
    server.app.controller.tick().await;
    for _ in 0..8 {
        for environment in &environments {
            let breaks = server.version(&environment.token, "requests").await == "2.0";
            let outcome = if breaks { Failed } else { Passed };
            server
                .send(
                    &environment.token,
                    vec![server.report(Started), server.report(outcome)],
                )
                .await
                .unwrap();
        }
        server.pass(HOUR).await;
        if server.rollout(&id).await.state() == RolledBack {
            break;
        }
    }
    let rollout = server.rollout(&id).await;
    assert_eq!(rollout.state(), RolledBack, "{}", rollout.reason);
    let harmed = rollout.evidence.unwrap().exposed_total.unwrap().failed;
    assert!((1..=25).contains(&harmed), "{harmed} were harmed");
    assert_eq!(
        server.count_with(&environments, "requests", "1.0").await,
        environments.len()
    );
    let decisions = server.decisions(&id).await;
    let actions: Vec<&str> = decisions
        .iter()
        .map(|decision| decision.action.as_str())
        .collect();
    assert_eq!(actions.first(), Some(&"create"));
    assert_eq!(actions.last(), Some(&"roll back"));
    for pair in decisions.windows(2) {
        assert_eq!(
            pair[1].previous_hash, pair[0].hash,
            "each decision is bound to the one before"
        );
    }
    assert!(
        !rollout.seed.is_empty() && !rollout.seed_sha256.is_empty(),
        "the seed is published at the end"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_seed_and_the_draw_stay_secret_while_the_rollout_runs() {
    let dir = tempdir().unwrap();
    let server = server(&dir).await;
    let environments = server.enroll_many(10).await;
    let id = server.start_rollout("requests", "2.0").await.unwrap().id;
    server.promote(&id, 0.5).await.unwrap();
    assert!(server.rollout(&id).await.seed.is_empty());
    let explain = || {
        let request = proto::ExplainPinsRequest {
            package: "requests".to_owned(),
            ..Default::default()
        };
        let mut client = PinServiceClient::new(server.channel.clone());
        let token = environments[0].token.clone();
        async move {
            client
                .explain_pins(with_token(request, &token))
                .await
                .unwrap()
                .into_inner()
        }
    };
    let open = explain().await;
    assert_eq!(open.explanations[0].draw, None);
    assert!(!open.sentences.is_empty());
    server.abort(&id).await.unwrap();
    let ended = explain().await;
    let draw = ended.explanations[0].draw.expect("shown at the end");
    let seed: [u8; 16] = hex::decode(server.rollout(&id).await.seed)
        .unwrap()
        .try_into()
        .unwrap();
    let again = pinion_core::draw::Seed::from_random(seed)
        .draw(&environments[0].id)
        .value();
    assert_eq!(
        draw.to_bits(),
        again.to_bits(),
        "anybody can check the draw"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_is_told_of_a_rollback_at_once() {
    let dir = tempdir().unwrap();
    let server = server(&dir).await;
    let environments = server.enroll_many(8).await;
    let id = server.start_rollout("requests", "2.0").await.unwrap().id;
    server.promote(&id, 1.0).await.unwrap();
    let request = proto::WatchPinsRequest::default();
    let mut client = PinServiceClient::new(server.channel.clone());
    let mut stream = client
        .watch_pins(with_token(request, &environments[0].token))
        .await
        .unwrap()
        .into_inner();
    let version = |message: Option<proto::WatchPinsResponse>| {
        let pins = message.expect("a message").pins.expect("pins").pins;
        pins.into_iter()
            .find(|pin| pin.package == "requests")
            .expect("requests")
            .version
    };
    assert_eq!(version(stream.message().await.unwrap()), "2.0");
    server.roll_back(&id).await.unwrap();
    let told = tokio::time::timeout(std::time::Duration::from_secs(10), stream.message()).await;
    assert_eq!(version(told.expect("told").unwrap()), "1.0");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_environment_that_leaves_is_forgotten_and_its_token_useless() {
    let dir = tempdir().unwrap();
    let server = server(&dir).await;
    let environments = server.enroll_many(12).await;
    let id = server.start_rollout("requests", "2.0").await.unwrap().id;
    server.promote(&id, 0.5).await.unwrap();
    for environment in &environments {
        server
            .send(&environment.token, vec![server.report(Passed)])
            .await
            .unwrap();
    }
    let mut client = EnvironmentServiceClient::new(server.channel.clone());
    let leaving = &environments[0];
    client
        .delete_environment(with_token(
            proto::DeleteEnvironmentRequest::default(),
            &leaving.token,
        ))
        .await
        .unwrap();
    assert_eq!(
        server.pins(&leaving.token).await.unwrap_err().code(),
        Code::Unauthenticated
    );
    let server = server.restart().await;
    server.pass(HOUR).await;
    assert_eq!(
        server.rollout(&id).await.state(),
        proto::RolloutState::Baking
    );
    assert_eq!(server.version(&environments[1].token, "six").await, "1.0");
}
