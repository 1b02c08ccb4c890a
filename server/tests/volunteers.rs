//! Owners who take a candidate at once: they get it whatever the draw, and count on no side of the evidence.
#![allow(missing_docs, reason = "tests")]

mod support;

use pinion_proto::v1 as proto;
use pinion_proto::v1::environment_service_client::EnvironmentServiceClient;
use pinion_proto::v1::pin_service_client::PinServiceClient;
use support::{Environment, HOUR, SET, Server, with_token};
use tempfile::tempdir;
use tonic::{Code, Status};

const PACKAGE: &str = "requests";
const PINS: &str = "requests==1.0\nsix==1.0\n";

async fn update(
    server: &Server,
    environment: &Environment,
    request: proto::UpdateEnvironmentRequest,
) -> Result<proto::Environment, Status> {
    let mut client = EnvironmentServiceClient::new(server.channel.clone());
    let response = client
        .update_environment(with_token(request, &environment.token))
        .await?;
    Ok(response.into_inner().environment.expect("an environment"))
}

async fn volunteer(server: &Server, environment: &Environment, packages: &[&str]) {
    let request = proto::UpdateEnvironmentRequest {
        replace_volunteers: true,
        volunteers: packages.iter().map(ToString::to_string).collect(),
        ..Default::default()
    };
    let stored = update(server, environment, request).await.expect("updates");
    assert_eq!(stored.volunteers, packages);
}

async fn version(server: &Server, environment: &Environment) -> String {
    server.version(&environment.token, PACKAGE).await
}

/// A rollout whose first epoch runs, with a share that draws few.
async fn begun(server: &Server) -> String {
    let id = server
        .start_rollout(PACKAGE, "2.0")
        .await
        .expect("starts")
        .id;
    server.app.controller.tick().await;
    // With fewer than eight environments nothing begins without a person.
    if server.rollout(&id).await.state() == proto::RolloutState::Gating {
        server.promote(&id, 0.000_1).await.expect("promotes");
    }
    id
}

/// One of those who were not drawn.
async fn undrawn<'a>(server: &Server, environments: &'a [Environment]) -> &'a Environment {
    for environment in environments {
        if version(server, environment).await == "1.0" {
            return environment;
        }
    }
    panic!("all of {} were drawn", environments.len());
}

#[tokio::test]
async fn a_volunteer_gets_the_candidate_from_the_first_epoch_on_whatever_the_draw() {
    let dir = tempdir().expect("a folder");
    let server = Server::start_as(dir.path(), PINS, None, true).await;
    let others = server.enroll_many(12).await;
    let eager = server.enroll_many(8).await;
    for environment in &eager {
        volunteer(&server, environment, &["Requests"]).await;
    }
    let id = server
        .start_rollout(PACKAGE, "2.0")
        .await
        .expect("starts")
        .id;
    let with = |version: &'static str| server.count_with(&eager, PACKAGE, version);
    assert_eq!(with("1.0").await, 8, "nobody has it yet");
    server.app.controller.tick().await;
    assert_eq!(with("2.0").await, 8);
    assert!(server.count_with(&others, PACKAGE, "2.0").await < 6);

    // What it does with the candidate it may name, as those who were drawn may.
    let failed = proto::Report {
        rollouts: vec![id.clone()],
        ..server.report(proto::Outcome::Failed)
    };
    let taken = server
        .send(&eager[0].token, vec![failed])
        .await
        .expect("taken");
    assert_eq!(taken.accepted, 1);

    server.abort(&id).await.expect("aborts");
    assert_eq!(with("1.0").await, 8, "nobody has it any more");
    server.app.stop().await;
}

#[tokio::test]
async fn a_hold_wins_and_without_consent_there_is_no_candidate() {
    let dir = tempdir().expect("a folder");
    let server = Server::start(dir.path(), PINS).await;
    server.enroll_many(4).await;
    let (torn, silent) = (
        server.enroll(true, "").await,
        server.enroll(false, "").await,
    );
    volunteer(&server, &torn, &[PACKAGE]).await;
    volunteer(&server, &silent, &[PACKAGE]).await;
    let hold = proto::UpdateEnvironmentRequest {
        replace_holds: true,
        holds: vec![proto::Hold {
            package: PACKAGE.to_owned(),
            version: "2.0".to_owned(),
        }],
        ..Default::default()
    };
    update(&server, &torn, hold).await.expect("held");
    begun(&server).await;
    assert_eq!(version(&server, &torn).await, "1.0");
    assert_eq!(version(&server, &silent).await, "1.0");
    server.app.stop().await;
}

#[tokio::test]
async fn volunteers_are_no_part_of_population_pool_or_totals() {
    let dir = tempdir().expect("a folder");
    let server = Server::start(dir.path(), PINS).await;
    let others = server.enroll_many(12).await;
    let mut eager = server.enroll_many(5).await;
    // A team of which one volunteers is out as a whole.
    let team = [
        server.enroll(true, "team").await,
        server.enroll(true, "team").await,
    ];
    eager.push(team[0].clone());
    for environment in &eager {
        volunteer(&server, environment, &[PACKAGE]).await;
    }
    let id = begun(&server).await;
    assert_eq!(server.rollout(&id).await.population, 12);

    for environment in eager.iter().chain([&team[1]]) {
        let reports = vec![server.report(proto::Outcome::Failed)];
        server
            .send(&environment.token, reports)
            .await
            .expect("taken");
    }
    let passed = vec![server.report(proto::Outcome::Passed)];
    server
        .send(&undrawn(&server, &others).await.token, passed)
        .await
        .expect("taken");
    server.pass(HOUR / 60).await;
    let server = server.restart().await;
    server.pass(HOUR / 60).await;
    let evidence = server.rollout(&id).await.evidence.expect("evidence");
    for side in [
        evidence.exposed,
        evidence.control,
        evidence.exposed_total,
        evidence.control_total,
    ] {
        assert_eq!(side.expect("a side").failed, 0, "{evidence:?}");
    }
    assert_eq!(evidence.control.map(|side| side.reporting), Some(1));
    server.app.stop().await;
}

#[tokio::test]
async fn who_volunteers_within_an_epoch_stays_in_its_pool_as_drawn() {
    let dir = tempdir().expect("a folder");
    let server = Server::start(dir.path(), PINS).await;
    let environments = server.enroll_many(12).await;
    let id = begun(&server).await;
    let late = undrawn(&server, &environments).await;
    volunteer(&server, late, &[PACKAGE]).await;
    assert_eq!(version(&server, late).await, "2.0");
    let failed = vec![server.report(proto::Outcome::Failed)];
    server.send(&late.token, failed).await.expect("taken");
    server.pass(HOUR / 60).await;
    let evidence = server.rollout(&id).await.evidence.expect("evidence");
    // To leave the side one was drawn for by knowing the draw would bias it.
    assert_eq!(evidence.control.map(|side| side.failed), Some(1));
    assert_eq!(evidence.exposed.map(|side| side.failed), Some(0));
    server.app.stop().await;
}

#[tokio::test]
async fn why_tells_a_volunteer_that_it_was_its_choice() {
    let dir = tempdir().expect("a folder");
    let server = Server::start(dir.path(), PINS).await;
    server.enroll_many(4).await;
    let eager = server.enroll(true, "").await;
    volunteer(&server, &eager, &[PACKAGE]).await;
    let id = begun(&server).await;
    let request = proto::ExplainPinsRequest {
        package: PACKAGE.to_owned(),
        ..Default::default()
    };
    let explained = PinServiceClient::new(server.channel.clone())
        .explain_pins(with_token(request, &eager.token))
        .await
        .expect("explains")
        .into_inner();
    let first = &explained.sentences[0];
    assert!(
        first.contains("volunteers") && first.contains(&id),
        "{first}"
    );
    assert!(explained.explanations[0].exposed);
    server.app.stop().await;
}

#[tokio::test]
async fn too_many_packages_and_wrong_names_are_refused() {
    let dir = tempdir().expect("a folder");
    let server = Server::start(dir.path(), PINS).await;
    let environment = server.enroll(true, "").await;
    let ask = |packages: Vec<String>, replace_volunteers| proto::UpdateEnvironmentRequest {
        replace_volunteers,
        volunteers: packages,
        ..Default::default()
    };
    for request in [
        ask((0..101).map(|n| format!("package-{n}")).collect(), true),
        ask(vec!["no name".to_owned()], true),
        ask(vec![PACKAGE.to_owned()], false),
    ] {
        let refused = update(&server, &environment, request).await;
        let status = refused.expect_err("refused");
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
        assert!(status.message().contains("volunteer"), "{status}");
    }
    server.app.stop().await;
}

#[tokio::test]
async fn the_baseline_can_be_looked_at_by_who_has_a_candidate() {
    let dir = tempdir().expect("a folder");
    let server = Server::start(dir.path(), PINS).await;
    server.enroll_many(4).await;
    let eager = server.enroll(true, "").await;
    volunteer(&server, &eager, &[PACKAGE]).await;
    begun(&server).await;
    let request = proto::GetPinsRequest {
        pin_set: SET.to_owned(),
        baseline: true,
        ..Default::default()
    };
    let baseline = PinServiceClient::new(server.channel.clone())
        .get_pins(with_token(request, &eager.token))
        .await
        .expect("answers")
        .into_inner();
    assert!(baseline.rollouts.is_empty());
    assert_eq!(baseline.pins[0].version, "1.0");
    assert_ne!(
        baseline.etag,
        server.pins(&eager.token).await.expect("pins").etag
    );
    server.app.stop().await;
}
