//! How the second half is opened, or not.

use pinion_proto::v1 as proto;
use pinion_proto::v1::RolloutState::{Baking, Completed, Gating, Inconclusive};
use tempfile::tempdir;

use crate::fleet::{
    Did, actions, check_log, decision, end_epoch, evidence, policy, pull_all, server, tell,
};
use crate::support::{Environment, Server};

/// An epoch in which everybody pulls, and all but a few pass.
async fn quiet_epoch(server: &Server, environments: &[Environment], fails: impl Fn(usize) -> bool) {
    pull_all(server, environments).await;
    tell(server, environments, |place| match fails(place) {
        true => Did::Failed,
        false => Did::Passed,
    })
    .await;
    end_epoch(server).await;
}

async fn shares(server: &Server, id: &str) -> Vec<f64> {
    let decisions = server.decisions(id).await.into_iter();
    decisions
        .filter(|decision| decision.action == "promote")
        .map(|decision| decision.share_after)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_fleet_goes_from_a_half_to_everybody_once_harm_is_excluded() {
    let dir = tempdir().unwrap();
    let server = server(&dir, policy(&[0.25, 0.5])).await;
    let environments = server.enroll_many(400).await;
    let id = server.start_rollout("requests", "2.0").await.unwrap().id;
    server.app.controller.tick().await;
    for _ in 0..2 {
        quiet_epoch(&server, &environments, |place| place == 7).await;
    }
    assert_eq!(shares(&server, &id).await, [0.25, 0.5, 1.0]);
    let cleared = decision(&server, &id, "promote").await.reason;
    assert!(cleared.contains("or more is excluded, and"), "{cleared}");
    let harm = evidence(&server, &id).await.harm.unwrap();
    assert!(harm.upper <= harm.margin, "{harm:?}");
    end_epoch(&server).await;
    let rollout = server.rollout(&id).await;
    assert_eq!(rollout.state(), Completed, "{}", rollout.reason);
    assert!(
        rollout.reason.contains("or more is excluded"),
        "{}",
        rollout.reason
    );
    check_log(&server, &id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_fleet_stays_at_ninety_percent_says_what_is_not_excluded_and_waits_for_a_person() {
    let dir = tempdir().unwrap();
    let server = server(&dir, policy(&[0.25, 0.5])).await;
    let environments = server.enroll_many(20).await;
    let id = server.start_rollout("requests", "2.0").await.unwrap().id;
    server.app.controller.tick().await;
    for _ in 0..4 {
        quiet_epoch(&server, &environments, |_| false).await;
    }
    assert_eq!(shares(&server, &id).await, [0.25, 0.5, 0.75, 0.9]);
    let rollout = server.rollout(&id).await;
    assert_eq!(rollout.state(), Inconclusive, "{}", rollout.reason);
    let harm = rollout.evidence.as_ref().unwrap().harm.unwrap();
    assert!(harm.upper > harm.margin);
    let said = &rollout.reason;
    assert!(
        said.contains("is not excluded") || said.contains("no size of harm"),
        "{said}"
    );

    server.promote(&id, 1.0).await.unwrap();
    end_epoch(&server).await;
    let rollout = server.rollout(&id).await;
    assert_eq!(rollout.state(), Completed, "{}", rollout.reason);
    check_log(&server, &id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_policy_completes_what_is_inconclusive_it_does_so_and_says_what_is_not_excluded()
{
    let dir = tempdir().unwrap();
    let policy = proto::Policy {
        on_inconclusive: proto::OnInconclusive::Complete.into(),
        margin: Some(0.05),
        ..policy(&[0.5])
    };
    let server = server(&dir, policy).await;
    let environments = server.enroll_many(14).await;
    let id = server.start_rollout("requests", "2.0").await.unwrap().id;
    server.app.controller.tick().await;
    for _ in 0..4 {
        quiet_epoch(&server, &environments, |_| false).await;
    }
    assert_eq!(shares(&server, &id).await, [0.5, 0.75, 0.9, 1.0]);
    let rollout = server.rollout(&id).await;
    assert_eq!(rollout.state(), Completed, "{}", rollout.reason);
    assert!(
        rollout.reason.contains("(5 points had to be)"),
        "{}",
        rollout.reason
    );
    check_log(&server, &id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_margin_of_the_policy_decides_what_must_be_excluded() {
    for (margin, expected) in [(0.9, 1.0), (0.01, 0.75)] {
        let dir = tempdir().unwrap();
        let policy = proto::Policy {
            margin: Some(margin),
            ..policy(&[0.5])
        };
        let server = server(&dir, policy).await;
        let environments = server.enroll_many(30).await;
        let id = server.start_rollout("requests", "2.0").await.unwrap().id;
        server.app.controller.tick().await;
        quiet_epoch(&server, &environments, |_| false).await;
        assert_eq!(shares(&server, &id).await, [0.5, expected], "{margin}");
        let used = evidence(&server, &id).await.harm.unwrap().margin;
        assert!((used - margin).abs() < 1e-12);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn under_eight_environments_nothing_is_promoted_without_a_person() {
    let dir = tempdir().unwrap();
    let server = server(&dir, policy(&[0.5])).await;
    let environments = server.enroll_many(7).await;
    let id = server.start_rollout("requests", "2.0").await.unwrap().id;
    server.app.controller.tick().await;
    let rollout = server.rollout(&id).await;
    assert_eq!(rollout.state(), Gating);
    assert!(
        rollout.reason.contains("too few to decide"),
        "{}",
        rollout.reason
    );

    server.promote(&id, 0.5).await.unwrap();
    for _ in 0..3 {
        quiet_epoch(&server, &environments, |_| false).await;
    }
    let rollout = server.rollout(&id).await;
    assert_eq!((rollout.state(), rollout.share), (Baking, 0.5));
    assert!(
        rollout.reason.contains("a person may promote it"),
        "{}",
        rollout.reason
    );
    assert_eq!(actions(&server, &id).await, ["create", "promote", "settle"]);

    server.promote(&id, 1.0).await.unwrap();
    end_epoch(&server).await;
    assert_eq!(server.rollout(&id).await.state(), Completed);
}
