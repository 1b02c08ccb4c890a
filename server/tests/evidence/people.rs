//! What a person does early, and what waits for a person or for a day.

use pinion_proto::v1 as proto;
use pinion_proto::v1::RolloutState::{Baking, Paused};
use tempfile::{TempDir, tempdir};

use crate::fleet::{
    Did, actions, check_log, end_epoch, evidence, fail_until, last_decision, log_e, policy, server,
    sides, tell_of,
};
use crate::support::{Environment, Server};

/// A rollout at a fifth, and the places of both sides.
async fn fleet(dir: &TempDir) -> (Server, Vec<Environment>, String, Vec<usize>, Vec<usize>) {
    let policy = policy(&[0.2, 0.4]);
    let server = server(dir, policy).await;
    let environments = server.enroll_many(80).await;
    let id = server.start_rollout("requests", "2.0").await.unwrap().id;
    server.app.controller.tick().await;
    let (exposed, control) = sides(&server, &environments, &id).await;
    (server, environments, id, exposed, control)
}

#[tokio::test(flavor = "multi_thread")]
async fn promoting_early_drops_the_evidence_of_harm() {
    let dir = tempdir().unwrap();
    let (server, environments, id, exposed, _) = fleet(&dir).await;
    fail_until(&server, &environments, &id, &exposed, 1.0).await;
    let before = evidence(&server, &id).await;
    assert!(log_e(&before.windows) > 0.1, "{before:?}");
    server.promote(&id, 0.3).await.unwrap();
    let after = evidence(&server, &id).await;
    assert!(log_e(&after.events) <= 1e-9, "{after:?}");
    assert!(
        log_e(&after.windows) <= 1e-9,
        "as when the epoch began: {after:?}"
    );
    let server = server.restart().await;
    let again = evidence(&server, &id).await;
    assert!((log_e(&again.events) - log_e(&after.events)).abs() < 1e-12);
    assert!((log_e(&again.windows) - log_e(&after.windows)).abs() < 1e-12);
    check_log(&server, &id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn promoting_early_keeps_the_evidence_for_the_candidate() {
    let dir = tempdir().unwrap();
    let (server, environments, id, exposed, control) = fleet(&dir).await;
    tell_of(&server, &environments, &exposed, |_| Did::Passed).await;
    tell_of(&server, &environments, &control[..6], |_| Did::Failed).await;
    let before = evidence(&server, &id).await;
    assert!(
        log_e(&before.windows) < -0.1 && log_e(&before.events) < -0.1,
        "{before:?}"
    );
    server.promote(&id, 0.3).await.unwrap();
    let after = evidence(&server, &id).await;
    assert!((log_e(&after.events) - log_e(&before.events)).abs() < 1e-9);
    assert!((log_e(&after.windows) - log_e(&before.windows)).abs() < 1e-9);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_that_a_person_ended_drops_the_evidence_of_harm_at_the_next_raise() {
    let dir = tempdir().unwrap();
    let (server, environments, id, exposed, _) = fleet(&dir).await;
    fail_until(&server, &environments, &id, &exposed, 1.0).await;
    server.pause(&id).await.unwrap();
    server.resume(&id).await.unwrap();
    let before = evidence(&server, &id).await;
    assert!(log_e(&before.events) > 1.0, "it stays until then");
    while server.rollout(&id).await.share < 0.3 {
        end_epoch(&server).await;
    }
    let after = evidence(&server, &id).await;
    assert!(log_e(&after.events) <= 1e-9, "{after:?}");
    assert_eq!(server.rollout(&id).await.state(), Baking);
    check_log(&server, &id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_harm_pauses_a_person_may_go_on_and_the_evidence_starts_afresh() {
    let dir = tempdir().unwrap();
    let policy = proto::Policy {
        on_harm: proto::OnHarm::Pause.into(),
        ..policy(&[0.2])
    };
    let server = server(&dir, policy).await;
    let environments = server.enroll_many(160).await;
    let id = server.start_rollout("requests", "2.0").await.unwrap().id;
    server.app.controller.tick().await;
    let (exposed, _) = sides(&server, &environments, &id).await;
    tell_of(&server, &environments, &exposed[..6], |_| Did::Failed).await;
    server.app.controller.tick().await;
    assert_eq!(server.rollout(&id).await.state(), Paused);
    server.resume(&id).await.unwrap();
    let server = server.restart().await;
    let evidence = evidence(&server, &id).await;
    assert!(log_e(&evidence.events).abs() < 1e-9, "{evidence:?}");
    assert_eq!(server.rollout(&id).await.state(), Baking);
    tell_of(&server, &environments, &exposed[6..], |_| Did::Failed).await;
    server.app.controller.tick().await;
    assert_eq!(
        server.rollout(&id).await.state(),
        Paused,
        "what comes then counts"
    );
    check_log(&server, &id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_waits_twice_at_most_when_the_events_are_not_at_rest_and_says_until_when() {
    let dir = tempdir().unwrap();
    let (server, environments, id, exposed, control) = fleet(&dir).await;
    let failed = fail_until(&server, &environments, &id, &exposed, 2.0).await;
    for side in [&exposed[failed.len()..], &control] {
        tell_of(&server, &environments, side, |_| Did::Passed).await;
    }
    for watches in 1..=2 {
        end_epoch(&server).await;
        let watched = last_decision(&server, &id).await;
        assert_eq!(watched.action, "watch", "{}", watched.reason);
        assert!(
            watched.reason.contains("looked at again on 2024-03-0"),
            "{}",
            watched.reason
        );
        let rollout = server.rollout(&id).await;
        assert_eq!(rollout.share, 0.2);
        assert!(
            rollout.reason.contains("looked at again on 2024-03-0"),
            "{}",
            rollout.reason
        );
        let done = actions(&server, &id).await;
        let count = done.iter().filter(|action| *action == "watch").count();
        assert_eq!(count, watches);
    }
    let server = server.restart().await;
    end_epoch(&server).await;
    assert_eq!(server.rollout(&id).await.share, 0.4, "twice is enough");
    let after = evidence(&server, &id).await;
    assert!(log_e(&after.events) >= 1.7, "a watch costs no evidence");
    check_log(&server, &id).await;
}
