//! Who counts, for what, and as how many.

use pinion_proto::v1 as proto;
use tempfile::tempdir;

use crate::fleet::{
    Did, check_log, end_epoch, enrol, evidence, log_e, policy, pull, pull_all, server, sides, tell,
    tell_of, update,
};
use crate::support::SET;

#[tokio::test(flavor = "multi_thread")]
async fn who_holds_a_version_or_follows_another_pin_set_is_not_counted() {
    let dir = tempdir().unwrap();
    let server = server(&dir, policy(&[0.5])).await;
    server
        .create_set("other", policy(&[0.5]), None)
        .await
        .unwrap();
    let _fleet = server.enroll_many(20).await;
    let holder = server.enroll(true, "").await;
    let hold = proto::UpdateEnvironmentRequest {
        replace_holds: true,
        holds: vec![proto::Hold {
            package: "requests".to_owned(),
            version: String::new(),
        }],
        ..Default::default()
    };
    update(&server, &holder, hold).await;
    let stranger = proto::EnrollRequest {
        pin_set: "other".to_owned(),
        ..Default::default()
    };
    let stranger = enrol(&server, stranger).await;
    let without = server.enroll(false, "").await;
    let id = server.start_rollout("requests", "2.0").await.unwrap().id;
    let before = evidence(&server, &id).await;
    assert_eq!(server.rollout(&id).await.population, 20);
    tell(&server, &[holder, stranger], |_| Did::Failed).await;
    let report = server.report(proto::Outcome::Failed);
    assert!(server.send(&without.token, vec![report]).await.is_err());
    pull(&server, &without).await;
    assert_eq!(evidence(&server, &id).await, before);
    let server = server.restart().await;
    assert_eq!(evidence(&server, &id).await, before);
    let pool = before.exposed.unwrap().environments + before.control.unwrap().environments;
    assert_eq!(pool, 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_joins_later_counts_among_the_events_and_in_the_next_pool() {
    let dir = tempdir().unwrap();
    let server = server(&dir, policy(&[0.2, 0.5])).await;
    let environments = server.enroll_many(30).await;
    let id = server.start_rollout("requests", "2.0").await.unwrap().id;
    server.app.controller.tick().await;
    let (early, _) = sides(&server, &environments, &id).await;
    let joined = server.enroll_many(20).await;
    let (exposed, _) = sides(&server, &joined, &id).await;
    assert!(!exposed.is_empty());
    let before = evidence(&server, &id).await;
    tell_of(&server, &joined, &exposed[..1], |_| Did::Failed).await;
    let after = evidence(&server, &id).await;
    assert!(log_e(&after.events) > log_e(&before.events));
    assert_eq!(after.windows, before.windows);
    assert_eq!(after.exposed, before.exposed);
    let server = server.restart().await;
    let again = evidence(&server, &id).await;
    assert!((log_e(&again.events) - log_e(&after.events)).abs() < 1e-12);

    tell(&server, &environments, |_| Did::Passed).await;
    end_epoch(&server).await;
    let next = evidence(&server, &id).await;
    let pool = next.exposed.unwrap().environments + next.control.unwrap().environments;
    assert_eq!(pool as usize, 50 - early.len() - exposed.len());
    check_log(&server, &id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_team_that_follows_two_pin_sets_is_counted_in_each_by_itself() {
    let dir = tempdir().unwrap();
    let server = server(&dir, policy(&[0.5])).await;
    server
        .create_set("other", policy(&[0.5]), None)
        .await
        .unwrap();
    let _fleet = server.enroll_many(20).await;
    let member = |pin_set: &str| proto::EnrollRequest {
        pin_set: pin_set.to_owned(),
        draw_key: "team-nova".to_owned(),
        ..Default::default()
    };
    let mut elsewhere = Vec::new();
    for _ in 0..6 {
        elsewhere.push(enrol(&server, member("other")).await);
    }
    let here = enrol(&server, member(SET)).await;
    let id = server.start_rollout("requests", "2.0").await.unwrap().id;
    let before = evidence(&server, &id).await;
    tell(&server, &elsewhere, |_| Did::Failed).await;
    assert_eq!(
        evidence(&server, &id).await,
        before,
        "another pin set's failures"
    );
    tell(&server, &[here], |_| Did::Failed).await;
    let after = evidence(&server, &id).await;
    assert_eq!(
        after.exposed.unwrap().failed + after.control.unwrap().failed,
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_that_enrols_for_every_run_under_one_key_has_one_vote() {
    let dir = tempdir().unwrap();
    let server = server(&dir, policy(&[0.5])).await;
    let _others = server.enroll_many(20).await;
    let id = server.start_rollout("requests", "2.0").await.unwrap().id;
    server.app.controller.tick().await;
    let mut wealths = Vec::new();
    for _ in 0..6 {
        let run = server.enroll(true, "ci-fleet").await;
        tell(&server, std::slice::from_ref(&run), |_| Did::Failed).await;
        wealths.push(log_e(&evidence(&server, &id).await.events));
        server.leave(&run).await;
    }
    assert!(
        wealths[0].abs() > 1e-3,
        "the first failure counts: {wealths:?}"
    );
    for wealth in &wealths {
        assert!((wealth - wealths[0]).abs() < 1e-12, "{wealths:?}");
    }
    let total = evidence(&server, &id).await;
    let failed = total.exposed_total.unwrap().failed + total.control_total.unwrap().failed;
    assert_eq!(failed, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_environment_reveals_its_label_once_an_epoch_and_an_exposed_one_once_in_all() {
    let dir = tempdir().unwrap();
    let server = server(&dir, policy(&[0.2, 0.4])).await;
    let environments = server.enroll_many(60).await;
    let id = server.start_rollout("requests", "2.0").await.unwrap().id;
    server.app.controller.tick().await;
    let (exposed, control) = sides(&server, &environments, &id).await;
    let once = [exposed[0], control[0], control[1], control[2], control[3]];
    tell_of(&server, &environments, &once, |_| Did::Failed).await;
    let first = evidence(&server, &id).await;
    tell_of(&server, &environments, &once, |_| Did::FailedLike(9)).await;
    assert_eq!(evidence(&server, &id).await, first);
    end_epoch(&server).await;
    assert_eq!(server.rollout(&id).await.share, 0.4);
    pull_all(&server, &environments).await;
    let opened = evidence(&server, &id).await;
    tell_of(&server, &environments, &exposed[..1], |_| Did::Failed).await;
    let retired = evidence(&server, &id).await;
    assert_eq!(retired.events, opened.events, "it is revealed already");
    tell_of(&server, &environments, &control[..1], |_| Did::Failed).await;
    let again = evidence(&server, &id).await;
    assert!((log_e(&again.events) - log_e(&opened.events)).abs() > 1e-6);
}
