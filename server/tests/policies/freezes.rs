//! Freezes of a whole pin set, set at once.

use std::time::Duration;

use pinion_proto::v1 as proto;
use pinion_proto::v1::RolloutState;
use pinion_proto::v1::pin_service_client::PinServiceClient;
use tonic::Code;

use super::Stage;
use super::support::{DAY, HOUR, SET, with_token};

async fn unfreeze(stage: &Stage) -> Result<proto::PinSet, tonic::Status> {
    let request = proto::UnfreezePinSetRequest {
        name: SET.to_owned(),
        reason: "over".to_owned(),
    };
    let request = with_token(request, &stage.server.manager);
    let answer = stage.server.sets().unfreeze_pin_set(request).await?;
    Ok(answer.into_inner().pin_set.unwrap())
}

async fn why(stage: &Stage) -> String {
    let request = proto::ExplainPinsRequest {
        package: "requests".to_owned(),
        ..Default::default()
    };
    let request = with_token(request, &stage.fleet[0].token);
    let mut client = PinServiceClient::new(stage.server.channel.clone());
    let answer = client.explain_pins(request).await.unwrap().into_inner();
    answer.sentences.join("\n")
}

/// Lets everybody pull and pass, so that the share may go on.
async fn all_pass(stage: &Stage) {
    for environment in &stage.fleet {
        stage.server.pins(&environment.token).await.unwrap();
        let report = stage.server.report(proto::Outcome::Passed);
        stage
            .server
            .send(&environment.token, vec![report])
            .await
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_pin_set_raises_no_share_until_it_is_unfrozen() {
    let stage = Stage::with(proto::Policy::default()).await;
    let id = stage.start("requests", "2.0").await;
    let before = stage.server.rollout(&id).await;
    assert_eq!(before.state(), RolloutState::Baking);
    let set = stage.freeze(None, "the site is down").await.unwrap();
    assert_eq!(set.freeze.unwrap().actor, "manager");
    let last = stage.last(&id).await;
    assert_eq!(last.1, "freeze pin set");
    assert!(last.2.ends_with("the site is down"), "{}", last.2);

    let shown = stage.server.rollout(&id).await;
    assert_eq!(shown.freeze.unwrap().reason, "the site is down");

    all_pass(&stage).await;
    stage.server.pass(DAY).await;
    let waiting = stage.start("six", "2.0").await;
    for id in [&id, &waiting] {
        let shown = stage.server.rollout(id).await;
        assert_eq!(
            shown.reason,
            "the pin set is frozen by manager until somebody takes that away: the site is down"
        );
    }
    assert_eq!(stage.server.rollout(&id).await.share, before.share);
    assert!(
        why(&stage)
            .await
            .contains("the pin set is frozen by manager")
    );

    assert!(unfreeze(&stage).await.unwrap().freeze.is_none());
    stage.server.pass(Duration::ZERO).await;
    assert!(stage.server.rollout(&id).await.share > before.share);
    assert_eq!(
        stage.server.rollout(&waiting).await.state(),
        RolloutState::Baking
    );
    let none = unfreeze(&stage).await.unwrap_err();
    assert_eq!(none.code(), Code::FailedPrecondition);
    assert!(!why(&stage).await.contains("froze"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_freeze_ends_by_itself_and_outlives_a_restart() {
    let mut stage = Stage::with(proto::Policy::default()).await;
    let until = stage.now_s() + 2 * 3600;
    stage.freeze(Some(until), "deploying").await.unwrap();
    let id = stage.start("requests", "2.0").await;
    stage.server = stage.server.restart().await;
    stage.server.pass(HOUR).await;
    let reason = stage.server.rollout(&id).await.reason;
    assert_eq!(
        reason,
        "the pin set is frozen by manager until 2024-03-05 12:00 UTC: deploying"
    );
    stage.server.pass(HOUR).await;
    assert_eq!(
        stage.server.rollout(&id).await.state(),
        RolloutState::Baking
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_promotes_past_a_freeze_and_the_log_says_so() {
    let stage = Stage::with(proto::Policy::default()).await;
    stage.freeze(None, "incident").await.unwrap();
    let id = stage.start("requests", "2.0").await;
    let promoted = stage.server.promote(&id, 0.0).await.unwrap();
    assert_eq!(promoted.state(), RolloutState::Baking);
    assert_eq!(
        stage.last(&id).await.2,
        "a person asked for it although the pin set was frozen"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_freeze_needs_a_reason_and_a_future() {
    let stage = Stage::with(proto::Policy::default()).await;
    for (until, reason) in [
        (None, String::new()),
        (None, "x".repeat(201)),
        (Some(stage.now_s()), "late".to_owned()),
    ] {
        let refused = stage.freeze(until, &reason).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
    }
}
