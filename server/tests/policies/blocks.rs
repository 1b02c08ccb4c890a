//! Blocks that several people lift.

use pinion_proto::v1 as proto;
use tonic::{Code, Status};

use super::Stage;
use super::support::{SET, with_token};

async fn lift(stage: &Stage, token: &str) -> Result<proto::LiftBlockResponse, Status> {
    let request = proto::LiftBlockRequest {
        pin_set: SET.to_owned(),
        package: "requests".to_owned(),
        version: "2.0".to_owned(),
        reason: "fixed upstream".to_owned(),
    };
    let request = with_token(request, token);
    Ok(stage.server.sets().lift_block(request).await?.into_inner())
}

async fn blocks(stage: &Stage) -> Vec<proto::Block> {
    let request = proto::ListBlocksRequest {
        pin_set: SET.to_owned(),
        ..Default::default()
    };
    let request = with_token(request, &stage.server.manager);
    let answer = stage.server.sets().list_blocks(request).await;
    answer.unwrap().into_inner().blocks
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_is_lifted_when_as_many_people_have_asked_as_the_policy_says() {
    let of_requests = proto::PolicyOverride {
        packages: vec!["requests".to_owned()],
        rules: Some(proto::PolicyRules {
            lift_approvals: Some(2),
            ..Default::default()
        }),
        ..Default::default()
    };
    let mut stage = Stage::with(proto::Policy {
        overrides: vec![of_requests],
        ..Default::default()
    })
    .await;
    let ann = stage
        .server
        .token("ann", proto::Role::ReleaseManager, "")
        .await;
    let id = stage.start("requests", "2.0").await;
    let ended = stage.server.roll_back(&id).await.unwrap();
    let why = ended.reason;

    let first = lift(&stage, &stage.server.manager).await.unwrap();
    assert!(!first.lifted);
    stage.server = stage.server.restart().await;
    let block = blocks(&stage).await.remove(0);
    assert_eq!(block.lift_votes[0].actor, "manager");
    assert_eq!(block.lift_votes_missing, 1);
    let again = lift(&stage, &stage.server.manager).await.unwrap_err();
    assert_eq!(again.code(), Code::FailedPrecondition);
    assert!(again.message().contains("2 different people"), "{again}");
    let still = stage.server.start_rollout("requests", "2.0").await;
    assert_eq!(still.unwrap_err().code(), Code::FailedPrecondition);

    assert!(lift(&stage, &ann).await.unwrap().lifted);
    assert!(blocks(&stage).await.is_empty());
    let log = stage.server.decisions(&id).await;
    let last: Vec<_> = log[log.len() - 2..]
        .iter()
        .map(|one| (one.actor.as_str(), one.action.as_str(), one.reason.as_str()))
        .collect();
    assert_eq!(
        last,
        [
            (
                "manager",
                "lift",
                "a person asked to lift the block of requests 2.0, 1 of 2: fixed upstream"
            ),
            (
                "ann",
                "lift",
                "the block of requests 2.0 was lifted, as 2 people asked: fixed upstream"
            ),
        ]
    );
    let shown = stage.server.rollout(&id).await;
    assert_eq!(shown.reason, why, "why it ended stays");
    stage.server.start_rollout("requests", "2.0").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn by_default_one_person_lifts_a_block() {
    let stage = Stage::with(proto::Policy::default()).await;
    let id = stage.start("requests", "2.0").await;
    stage.server.roll_back(&id).await.unwrap();
    assert!(lift(&stage, &stage.server.manager).await.unwrap().lifted);
    assert_eq!(stage.last(&id).await.1, "lift");
    assert_eq!(
        lift(&stage, &stage.server.manager)
            .await
            .unwrap_err()
            .code(),
        Code::NotFound
    );
}
