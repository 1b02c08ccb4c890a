//! Approvals: who may give them, what waits for them, and that stopping does not.

use std::time::Duration;

use pinion_proto::v1 as proto;
use pinion_proto::v1::RolloutState;
use pinion_proto::v1::pin_service_client::PinServiceClient;
use tonic::{Code, Status};

use super::Stage;
use super::support::{DAY, with_token};

async fn asking(approvals: u32, approvers: &[&str]) -> Stage {
    Stage::with(proto::Policy {
        approvals,
        approvers: approvers.iter().map(|one| (*one).to_owned()).collect(),
        ..Default::default()
    })
    .await
}

async fn person(stage: &Stage, name: &str) -> String {
    let role = proto::Role::ReleaseManager;
    stage.server.token(name, role, "").await
}

async fn withdraw(stage: &Stage, id: &str, token: &str) -> Result<proto::Rollout, Status> {
    let request = proto::WithdrawApprovalRequest {
        id: id.to_owned(),
        ..Default::default()
    };
    let request = with_token(request, token);
    let answer = stage.server.rollouts().withdraw_approval(request).await?;
    Ok(answer.into_inner().rollout.unwrap())
}

async fn deny(stage: &Stage, id: &str, token: &str) -> Result<proto::Rollout, Status> {
    let request = proto::DenyRolloutRequest {
        id: id.to_owned(),
        reason: "not before the release".to_owned(),
        ..Default::default()
    };
    let request = with_token(request, token);
    let answer = stage.server.rollouts().deny_rollout(request).await?;
    Ok(answer.into_inner().rollout.unwrap())
}

async fn override_as(
    stage: &Stage,
    id: &str,
    token: &str,
    reason: &str,
) -> Result<proto::Rollout, Status> {
    let request = proto::PromoteRolloutRequest {
        id: id.to_owned(),
        reason: reason.to_owned(),
        override_approvals: true,
        ..Default::default()
    };
    let request = with_token(request, token);
    let answer = stage.server.rollouts().promote_rollout(request).await?;
    Ok(answer.into_inner().rollout.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_begins_until_different_people_have_approved() {
    let stage = asking(2, &[]).await;
    let (ann, bob) = (person(&stage, "ann").await, person(&stage, "bob").await);
    let id = stage.start("requests", "2.0").await;
    stage.server.pass(2 * DAY).await;
    let shown = stage.server.rollout(&id).await;
    assert_eq!(shown.state(), RolloutState::Gating);
    assert_eq!(
        shown.reason,
        "2 people must approve it before anybody gets it; nobody has so far"
    );

    let request = proto::ExplainPinsRequest {
        package: "requests".to_owned(),
        ..Default::default()
    };
    let request = with_token(request, &stage.fleet[0].token);
    let mut client = PinServiceClient::new(stage.server.channel.clone());
    let why = client.explain_pins(request).await.unwrap().into_inner();
    let words = why.sentences.join("\n");
    assert!(
        words.contains("nobody has it yet; 2 people must approve it"),
        "{words}"
    );

    let own = stage.approve(&id, &stage.server.manager).await.unwrap_err();
    assert_eq!(own.code(), Code::FailedPrecondition);
    assert!(own.message().contains("manager started it"), "{own}");
    stage.approve(&id, &ann).await.unwrap();
    let twice = stage.approve(&id, &ann).await.unwrap_err();
    assert!(twice.message().contains("different people"), "{twice}");
    stage.server.pass(Duration::ZERO).await;
    let shown = stage.server.rollout(&id).await;
    assert_eq!(
        shown.reason,
        "1 more person must approve it before anybody gets it; ann did"
    );
    assert_eq!((shown.approvals.len(), shown.approvals_missing), (1, 1));
    let approved = ("ann".to_owned(), "approve".to_owned());
    let last = stage.last(&id).await;
    assert_eq!((last.0, last.1), approved);
    assert_eq!(last.2, "approved, 1 of 2: read the notes");

    stage.approve(&id, &bob).await.unwrap();
    stage.server.pass(Duration::ZERO).await;
    assert_eq!(
        stage.server.rollout(&id).await.state(),
        RolloutState::Baking
    );
    let late = withdraw(&stage, &id, &bob).await.unwrap_err();
    assert_eq!(late.code(), Code::FailedPrecondition, "it has begun");
}

#[tokio::test(flavor = "multi_thread")]
async fn approvals_outlive_a_restart_and_can_be_taken_back() {
    let mut stage = asking(2, &[]).await;
    let (ann, bob) = (person(&stage, "ann").await, person(&stage, "bob").await);
    let id = stage.start("requests", "2.0").await;
    stage.approve(&id, &ann).await.unwrap();
    stage.server = stage.server.restart().await;
    let shown = stage.server.rollout(&id).await;
    assert_eq!(shown.approvals[0].actor, "ann");
    let none = withdraw(&stage, &id, &bob).await.unwrap_err();
    assert!(none.message().contains("bob has not approved it"), "{none}");
    let shown = withdraw(&stage, &id, &ann).await.unwrap();
    assert_eq!((shown.approvals.len(), shown.approvals_missing), (0, 2));
    assert_eq!(stage.last(&id).await.1, "withdraw");
    assert!(stage.dir.path().exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn only_those_whom_the_policy_names_approve() {
    let stage = asking(2, &["viewer", "ann", "admin"]).await;
    let ann = person(&stage, "ann").await;
    let bob = person(&stage, "bob").await;
    let eye = stage.server.token("eye", proto::Role::Viewer, "").await;
    // A role's name is the role, not a token that somebody called so.
    let posing = person(&stage, "admin").await;
    let id = stage.start("requests", "2.0").await;
    for token in [&bob, &posing] {
        let refused = stage.approve(&id, token).await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied);
        assert!(
            refused.message().contains("viewer, ann, admin"),
            "{refused}"
        );
    }
    let machine = stage.approve(&id, &stage.server.team).await.unwrap_err();
    assert_eq!(machine.code(), Code::PermissionDenied);
    stage.approve(&id, &eye).await.unwrap();
    let enough = stage.approve(&id, &ann).await.unwrap();
    let names = enough.approvals.iter().map(|one| one.actor.as_str());
    assert_eq!(names.collect::<Vec<_>>(), ["eye", "ann"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denial_ends_it_with_its_reason() {
    let stage = asking(1, &[]).await;
    let ann = person(&stage, "ann").await;
    let id = stage.start("requests", "2.0").await;
    let own = deny(&stage, &id, &stage.server.manager).await.unwrap_err();
    assert_eq!(
        own.code(),
        Code::FailedPrecondition,
        "who started it aborts it"
    );
    let ended = deny(&stage, &id, &ann).await.unwrap();
    assert_eq!(ended.state(), RolloutState::Aborted);
    assert_eq!(ended.actor, "ann");
    assert_eq!(
        ended.reason,
        "a person whose approval it takes refused it: not before the release"
    );
    let again = stage.server.start_rollout("requests", "2.0").await;
    assert!(again.is_ok(), "nothing is blocked");
}

#[tokio::test(flavor = "multi_thread")]
async fn promoting_goes_past_gates_and_not_past_approvals() {
    let stage = Stage::with(proto::Policy {
        approvals: 1,
        gates: vec!["nova".to_owned()],
        ..Default::default()
    })
    .await;
    let id = stage.start("requests", "2.0").await;
    let refused = stage.server.promote(&id, 0.0).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("1 of 1 approvals"), "{refused}");

    let manager = &stage.server.manager;
    let refused = override_as(&stage, &id, manager, "now").await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let refused = override_as(&stage, &id, &stage.server.admin, " ")
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert_eq!(
        stage.server.rollout(&id).await.state(),
        RolloutState::Gating
    );
    let promoted = override_as(&stage, &id, &stage.server.admin, "the site is down").await;
    assert_eq!(promoted.unwrap().state(), RolloutState::Baking);
    assert_eq!(
        stage.last(&id).await.2,
        "a person asked for it although 1 approval was missing, and the gate of nova has not passed: the site is down"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_waits_for_no_approval_no_calendar_and_no_freeze() {
    let closed = proto::Calendar {
        days: vec![7],
        ..Default::default()
    };
    let stage = asking(1, &[]).await;
    let waiting = stage.start("six", "2.0").await;
    let ann = person(&stage, "ann").await;
    stage
        .set_policy(proto::Policy {
            calendar: Some(closed),
            ..Default::default()
        })
        .await
        .unwrap();
    // By hand, since it is Tuesday and this calendar opens on Sundays.
    let paused = stage.start("requests", "2.0").await;
    let backed = stage.start("oslo.config", "2.0").await;
    for id in [&paused, &backed] {
        let reason = stage.server.rollout(id).await.reason;
        assert!(reason.contains("the calendar is closed"), "{reason}");
        stage.server.promote(id, 0.5).await.unwrap();
    }
    stage.freeze(None, "incident").await.unwrap();
    stage.server.pass(Duration::ZERO).await;

    let exposed = stage
        .server
        .count_with(&stage.fleet, "oslo.config", "2.0")
        .await;
    assert!(exposed > 0, "some have it");
    let ended = stage.server.roll_back(&backed).await.unwrap();
    assert_eq!(ended.state(), RolloutState::RolledBack);
    let exposed = stage
        .server
        .count_with(&stage.fleet, "oslo.config", "2.0")
        .await;
    assert_eq!(exposed, 0, "on the very next pull");
    let halted = stage.server.pause(&paused).await.unwrap();
    assert_eq!(halted.state(), RolloutState::Paused);
    assert_eq!(
        stage.server.abort(&paused).await.unwrap().state(),
        RolloutState::Aborted
    );
    let request = proto::AbortRolloutRequest {
        id: waiting,
        ..Default::default()
    };
    let request = with_token(request, &ann);
    let ended = stage
        .server
        .rollouts()
        .abort_rollout(request)
        .await
        .unwrap();
    assert_eq!(
        ended.into_inner().rollout.unwrap().state(),
        RolloutState::Aborted
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn harm_is_rolled_back_while_the_calendar_is_closed_and_the_pin_set_frozen() {
    let stage = Stage::with(proto::Policy::default()).await;
    let id = stage.start("requests", "2.0").await;
    stage.server.promote(&id, 0.5).await.unwrap();
    stage.freeze(None, "incident").await.unwrap();
    // From Tuesday ten to Tuesday night.
    stage.server.pass(Duration::from_secs(12 * 3600)).await;
    for environment in &stage.fleet {
        let has_it = stage.server.version(&environment.token, "requests").await == "2.0";
        let outcome = match has_it {
            true => proto::Outcome::Failed,
            false => proto::Outcome::Passed,
        };
        let report = stage.server.report(outcome);
        stage
            .server
            .send(&environment.token, vec![report])
            .await
            .unwrap();
    }
    stage.server.pass(Duration::ZERO).await;
    let shown = stage.server.rollout(&id).await;
    assert_eq!(shown.state(), RolloutState::RolledBack, "{}", shown.reason);
}
