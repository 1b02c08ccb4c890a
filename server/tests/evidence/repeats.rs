//! Failing runs that are repeated with the baseline.

use pinion_proto::v1 as proto;
use pinion_proto::v1::Repeat;
use pinion_proto::v1::pin_service_client::PinServiceClient;
use tempfile::{TempDir, tempdir};

use crate::fleet::{Did, check_log, enrol, evidence, policy, server, sides, tell_of};
use crate::support::{Environment, SET, Server, with_token};

const COUNT: usize = 40;

/// A fleet in which failing runs are repeated, all but that of the last environment, at one half.
async fn fleet(dir: &TempDir) -> (Server, Vec<Environment>, String) {
    let policy = proto::Policy {
        repeat_failures: true,
        ..policy(&[0.5])
    };
    let server = server(dir, policy).await;
    let mut environments = Vec::new();
    for place in 0..COUNT {
        let request = proto::EnrollRequest {
            repeats: place + 1 < COUNT,
            ..Default::default()
        };
        environments.push(enrol(&server, request).await);
    }
    let id = server.start_rollout("requests", "2.0").await.unwrap().id;
    server.app.controller.tick().await;
    (server, environments, id)
}

async fn failed(server: &Server, id: &str) -> (u32, u32) {
    let evidence = evidence(server, id).await;
    (
        evidence.exposed.unwrap().failed,
        evidence.control.unwrap().failed,
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_counts_unless_its_repetition_failed_too() {
    let dir = tempdir().unwrap();
    let (server, environments, id) = fleet(&dir).await;
    let (exposed, control) = sides(&server, &environments, &id).await;
    let tells = |place: usize, repeat| {
        tell_of(
            &server,
            &environments,
            std::slice::from_ref(Box::leak(Box::new(place))),
            move |_| Did::Repeated(repeat),
        )
    };
    for side in [&exposed, &control] {
        tells(side[0], Repeat::Failed).await;
        tells(side[1], Repeat::Failed).await;
    }
    assert_eq!(failed(&server, &id).await, (0, 0));
    let before = evidence(&server, &id).await;
    tells(exposed[0], Repeat::Passed).await;
    assert_eq!(
        failed(&server, &id).await,
        (1, 0),
        "a later one that counts does"
    );
    tells(exposed[2], Repeat::Unspecified).await;
    tells(control[2], Repeat::Passed).await;
    assert_eq!(failed(&server, &id).await, (2, 1));
    assert_eq!(before.exposed.unwrap().reporting, 2, "they reported");
    let server = server.restart().await;
    assert_eq!(failed(&server, &id).await, (2, 1));
    check_log(&server, &id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whose_runs_are_not_repeated_by_plan_cannot_make_a_failure_not_count() {
    let dir = tempdir().unwrap();
    let (server, environments, id) = fleet(&dir).await;
    let last = [COUNT - 1];
    tell_of(&server, &environments, &last, |_| {
        Did::Repeated(Repeat::Failed)
    })
    .await;
    let (exposed, control) = failed(&server, &id).await;
    assert_eq!(exposed + control, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_team_repeats_only_if_every_environment_of_it_agreed() {
    let dir = tempdir().unwrap();
    let policy = proto::Policy {
        repeat_failures: true,
        ..policy(&[0.5])
    };
    let server = server(&dir, policy).await;
    let _others = server.enroll_many(10).await;
    let mut team = Vec::new();
    for repeats in [true, true, false, true, true, true] {
        let request = proto::EnrollRequest {
            repeats,
            draw_key: "team-nova".to_owned(),
            ..Default::default()
        };
        team.push(enrol(&server, request).await);
    }
    let id = server.start_rollout("requests", "2.0").await.unwrap().id;
    server.app.controller.tick().await;
    tell_of(&server, &team, &[2], |_| Did::Repeated(Repeat::Failed)).await;
    let (exposed, control) = failed(&server, &id).await;
    assert_eq!(exposed + control, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_who_agreed_is_asked_to_repeat_exposed_or_not_and_gets_the_baseline_for_it() {
    let dir = tempdir().unwrap();
    let (server, environments, id) = fleet(&dir).await;
    let (exposed, control) = sides(&server, &environments, &id).await;
    assert!(!exposed.is_empty() && !control.is_empty());
    for (place, environment) in environments.iter().enumerate() {
        let answer = server.pins(&environment.token).await.unwrap();
        assert_eq!(answer.repeat_failures, place + 1 < COUNT);
    }
    let request = proto::GetPinsRequest {
        pin_set: SET.to_owned(),
        baseline: true,
        ..Default::default()
    };
    let token = &environments[exposed[0]].token;
    assert_eq!(server.version(token, "requests").await, "2.0");
    let mut client = PinServiceClient::new(server.channel.clone());
    let answer = client
        .get_pins(with_token(request, token))
        .await
        .unwrap()
        .into_inner();
    assert!(answer.rollouts.is_empty());
    let requests = answer
        .pins
        .into_iter()
        .find(|pin| pin.package == "requests");
    assert_eq!(requests.unwrap().version, "1.0");
}
