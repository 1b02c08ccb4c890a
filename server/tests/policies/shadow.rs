//! Shadow: everything is drawn, decided and recorded, and nothing is served, blocked or filed.

use std::time::Duration;

use pinion_proto::v1 as proto;
use pinion_proto::v1::RolloutState;
use pinion_proto::v1::pin_service_client::PinServiceClient;

use super::Stage;
use super::support::{DAY, HOUR, SET, Server, with_token};

async fn in_shadow() -> Stage {
    Stage::with(proto::Policy {
        shadow: true,
        ..Default::default()
    })
    .await
}

async fn report_all(server: &Server, stage: &Stage, fails: impl Fn(usize) -> bool) {
    for (n, environment) in stage.fleet.iter().enumerate() {
        server.pins(&environment.token).await.unwrap();
        let report = server.report(match fails(n) {
            true => proto::Outcome::Failed,
            false => proto::Outcome::Passed,
        });
        server.send(&environment.token, vec![report]).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gets_the_candidate_and_it_enters_no_baseline() {
    let stage = in_shadow().await;
    let server = &stage.server;
    let id = stage.start("requests", "2.0").await;
    let mut shares = Vec::new();
    for _ in 0..40 {
        let shown = server.rollout(&id).await;
        assert!(shown.shadow);
        shares.push(shown.share);
        if shown.state() == RolloutState::Completed {
            break;
        }
        assert_eq!(server.count_with(&stage.fleet, "requests", "2.0").await, 0);
        report_all(server, &stage, |_| false).await;
        match shown.state() {
            // With so few environments it ends open, and a person goes on.
            RolloutState::Inconclusive => {
                server.promote(&id, 1.0).await.unwrap();
            }
            _ => server.pass(8 * HOUR).await,
        }
    }
    assert!(
        shares.windows(2).all(|pair| pair[0] <= pair[1]),
        "{shares:?}"
    );
    let shown = server.rollout(&id).await;
    assert_eq!(shown.state(), RolloutState::Completed, "{}", shown.reason);
    assert_eq!(server.count_with(&stage.fleet, "requests", "1.0").await, 30);
    let evidence = shown.evidence.unwrap();
    assert!(
        evidence.exposed_total.unwrap().reporting > 0,
        "it was drawn and counted"
    );
    for decision in server.decisions(&id).await {
        assert!(decision.shadow);
        assert!(
            decision
                .reason
                .starts_with("in shadow, nothing is served: "),
            "{}",
            decision.reason
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_be_rolled_back_blocks_nothing_and_files_nothing() {
    let stage = in_shadow().await;
    let server = &stage.server;
    let id = stage.start("requests", "2.0").await;
    server.promote(&id, 0.5).await.unwrap();
    let ended = server.roll_back(&id).await.unwrap();
    assert_eq!(ended.state(), RolloutState::RolledBack);
    assert_eq!(ended.filing, None);
    assert!(ended.reason.starts_with("in shadow"), "{}", ended.reason);
    let request = proto::ListBlocksRequest {
        pin_set: SET.to_owned(),
        ..Default::default()
    };
    let request = with_token(request, &server.manager);
    let blocks = server.sets().list_blocks(request).await.unwrap();
    assert_eq!(blocks.into_inner().blocks, []);
    server.start_rollout("requests", "2.0").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn why_says_that_it_is_only_played() {
    let stage = in_shadow().await;
    let id = stage.start("requests", "2.0").await;
    stage.server.promote(&id, 1.0).await.unwrap();
    let request = proto::ExplainPinsRequest {
        package: "requests".to_owned(),
        ..Default::default()
    };
    let request = with_token(request, &stage.fleet[0].token);
    let mut client = PinServiceClient::new(stage.server.channel.clone());
    let told = client.explain_pins(request).await.unwrap().into_inner();
    assert!(told.explanations[0].shadow && !told.explanations[0].exposed);
    let words = told.sentences.join("\n");
    assert!(words.contains("because it is the baseline"), "{words}");
    assert!(words.contains("in shadow, baking at 100 %"), "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_in_shadow_is_no_partner_of_a_real_one() {
    let stage = in_shadow().await;
    let played = stage.start("six", "2.0").await;
    stage.server.promote(&played, 0.5).await.unwrap();
    stage.set_policy(proto::Policy::default()).await.unwrap();
    let real = stage.start("requests", "2.0").await;
    stage.server.promote(&real, 0.5).await.unwrap();
    // Those who have the real one fail, whatever they were drawn for in the one that is played.
    let mut fails = Vec::new();
    for environment in &stage.fleet {
        fails.push(stage.server.version(&environment.token, "requests").await == "2.0");
    }
    report_all(&stage.server, &stage, |n| fails[n]).await;
    stage.server.pass(Duration::ZERO).await;
    let shown = stage.server.rollout(&real).await;
    assert_eq!(shown.state(), RolloutState::RolledBack, "{}", shown.reason);
    assert!(!shown.reason.contains("together"), "{}", shown.reason);
    let decisions = stage.server.decisions(&played).await;
    assert!(
        decisions.iter().all(|one| one.action != "restart"),
        "{decisions:?}"
    );
    stage.server.pass(DAY).await;
}
