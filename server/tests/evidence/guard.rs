//! Whether those who report are those who were drawn.

use pinion_proto::v1::RolloutState::{Aborted, Baking, Frozen};
use tempfile::tempdir;

use crate::fleet::{
    Did, check_log, decision, end_epoch, evidence, policy, pull_all, server, sides, tell, tell_of,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_that_stops_people_from_reporting_freezes_the_rollout_with_its_numbers() {
    let dir = tempdir().unwrap();
    let server = server(&dir, policy(&[0.5])).await;
    let environments = server.enroll_many(160).await;
    let id = server.start_rollout("requests", "2.0").await.unwrap().id;
    server.app.controller.tick().await;
    let (exposed, control) = sides(&server, &environments, &id).await;
    tell_of(&server, &environments, &control, |_| Did::Passed).await;
    server.app.controller.tick().await;
    let rollout = server.rollout(&id).await;
    assert_eq!(rollout.state(), Baking, "the others may only be slower");
    end_epoch(&server).await;
    let rollout = server.rollout(&id).await;
    assert_eq!(rollout.state(), Frozen, "{}", rollout.reason);
    let numbers = format!(
        "0 of {} environments with the candidate and {control} of {control} environments with the baseline",
        exposed.len(),
        control = control.len()
    );
    let frozen = decision(&server, &id, "freeze").await.reason;
    assert!(frozen.contains(&numbers), "{frozen}");
    assert_eq!(rollout.share, 0.5, "the cohort keeps the candidate");

    // A person who knows why lets it go on: what was known then does not freeze it again.
    let server = server.restart().await;
    server.resume(&id).await.unwrap();
    tell_of(&server, &environments, &exposed, |_| Did::Passed).await;
    for _ in 0..2 {
        server.app.controller.tick().await;
        let rollout = server.rollout(&id).await;
        assert_eq!(rollout.state(), Baking, "{}", rollout.reason);
    }
    server.abort(&id).await.unwrap();
    assert_eq!(server.rollout(&id).await.state(), Aborted);
    check_log(&server, &id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_after_a_person_went_on_freezes_it_again() {
    let dir = tempdir().unwrap();
    let server = server(&dir, policy(&[0.5, 0.75, 0.9])).await;
    let environments = server.enroll_many(300).await;
    let id = server.start_rollout("requests", "2.0").await.unwrap().id;
    server.app.controller.tick().await;
    for share in [0.5, 0.75] {
        let (_, control) = sides(&server, &environments, &id).await;
        tell_of(&server, &environments, &control, |_| Did::Passed).await;
        end_epoch(&server).await;
        let rollout = server.rollout(&id).await;
        assert_eq!(rollout.state(), Frozen, "{share}: {}", rollout.reason);
        server.resume(&id).await.unwrap();
        server.app.controller.tick().await;
        let rollout = server.rollout(&id).await;
        assert_eq!(rollout.state(), Baking, "{share}: {}", rollout.reason);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_candidate_does_not_freeze_nor_does_one_that_many_ignore() {
    let dir = tempdir().unwrap();
    let server = server(&dir, policy(&[0.1, 0.5])).await;
    let environments = server.enroll_many(160).await;
    let id = server.start_rollout("requests", "2.0").await.unwrap().id;
    server.app.controller.tick().await;
    for _ in 0..2 {
        pull_all(&server, &environments).await;
        tell(&server, &environments, |place| match place % 3 {
            0 => Did::Nothing,
            _ => Did::Passed,
        })
        .await;
        let evidence = evidence(&server, &id).await;
        assert!(evidence.guard_log_evidence < 3.0, "{evidence:?}");
        end_epoch(&server).await;
        assert_eq!(server.rollout(&id).await.state(), Baking);
    }
}
