//! Rules by package and step, and the lane for security fixes.

use pinion_proto::v1 as proto;
use pinion_proto::v1::gate_service_client::GateServiceClient;
use pinion_proto::v1::{Bump, RolloutState};
use tonic::Code;

use super::support::{SET, with_token};
use super::{Stage, candidate, hours};

fn policy() -> proto::Policy {
    let names = |names: &[&str]| proto::Names {
        names: names.iter().map(|name| (*name).to_owned()).collect(),
    };
    proto::Policy {
        overrides: vec![
            proto::PolicyOverride {
                packages: vec!["oslo.*".to_owned()],
                rules: Some(proto::PolicyRules {
                    gates: Some(names(&["nova"])),
                    bake: hours(24),
                    ..Default::default()
                }),
                ..Default::default()
            },
            proto::PolicyOverride {
                bumps: vec![Bump::Major.into()],
                rules: Some(proto::PolicyRules {
                    minimum_age: hours(48),
                    approvals: Some(1),
                    ..Default::default()
                }),
                ..Default::default()
            },
        ],
        security: Some(proto::PolicyRules {
            minimum_age: hours(0),
            approvals: Some(0),
            stages: Some(proto::Shares { shares: vec![0.5] }),
            ..Default::default()
        }),
        ..Default::default()
    }
}

async fn resolve(
    stage: &Stage,
    candidates: &[(&str, &str)],
) -> Result<proto::ResolvePolicyResponse, tonic::Status> {
    let resolved = |(package, version): &(&str, &str)| proto::ResolvedCandidate {
        package: (*package).to_owned(),
        version: (*version).to_owned(),
    };
    let request = proto::ResolvePolicyRequest {
        pin_set: SET.to_owned(),
        candidates: candidates.iter().map(resolved).collect(),
        security: false,
    };
    let request = with_token(request, &stage.server.manager);
    let answer = stage.server.sets().resolve_policy(request).await?;
    Ok(answer.into_inner())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_keeps_the_rules_of_its_packages_and_steps() {
    let stage = Stage::with(policy()).await;
    let list = proto::ListGatesRequest {
        consumer: "nova".to_owned(),
        ..Default::default()
    };
    let list = with_token(list, &stage.server.manager);
    let mut gates = GateServiceClient::new(stage.server.channel.clone());
    gates
        .list_gates(list)
        .await
        .expect("an override names the consumer");
    let started = stage
        .server
        .start_rollout("Oslo_Config", "1.1")
        .await
        .unwrap();
    let rules = started.policy.unwrap();
    assert_eq!(rules.gates, ["nova"]);
    assert_eq!((rules.bake, rules.approvals), (hours(24), 0));
    assert!(rules.overrides.is_empty() && rules.security.is_none());
    assert_eq!(started.gates.len(), 1);

    // The rules that it began with stay, whatever the pin set's become.
    stage.set_policy(proto::Policy::default()).await.unwrap();
    let shown = stage.server.rollout(&started.id).await;
    assert_eq!(shown.policy.unwrap().gates, ["nova"]);
    assert_eq!(shown.gates.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_hold_is_told_and_of_several_packages_it_is_the_strictest() {
    let stage = Stage::with(policy()).await;
    let told = resolve(&stage, &[("oslo.config", "1.1"), ("six", "2.0")])
        .await
        .unwrap();
    let of: Vec<_> = told
        .changes
        .iter()
        .map(|one| (one.bump(), one.overrides.as_slice()))
        .collect();
    assert_eq!(of, [(Bump::Minor, &[1][..]), (Bump::Major, &[2][..])]);
    let rules = told.policy.unwrap();
    assert_eq!(rules.gates, ["nova"]);
    assert_eq!((rules.bake, rules.minimum_age), (hours(24), hours(48)));
    assert_eq!(rules.approvals, 1);

    let unknown = resolve(&stage, &[("nothing", "1")]).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    let none = resolve(&stage, &[]).await.unwrap_err();
    assert_eq!(none.code(), Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_minimum_age_of_an_override_is_asked_for_and_kept() {
    let stage = Stage::with(policy()).await;
    let major = || proto::CreateRolloutRequest {
        candidates: vec![candidate("six", "2.0")],
        ..Default::default()
    };
    let refused = stage.create(major()).await.unwrap_err();
    assert!(refused.message().contains("minimum age"), "{refused}");
    stage
        .create(proto::CreateRolloutRequest {
            candidates: vec![candidate("six", "1.1")],
            ..Default::default()
        })
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_security_fix_is_sooner_and_says_so() {
    let stage = Stage::with(policy()).await;
    let fix = proto::CreateRolloutRequest {
        candidates: vec![candidate("six", "2.0")],
        security: true,
        ..Default::default()
    };
    let started = stage.create(fix.clone()).await.unwrap();
    assert!(started.security);
    let rules = started.policy.unwrap();
    assert_eq!((rules.minimum_age, rules.approvals), (hours(0), 0));
    assert_eq!(rules.stages, [0.5]);
    assert_eq!(rules.alpha, Some(0.005), "not on less evidence");
    stage.server.pass(std::time::Duration::ZERO).await;
    assert_eq!(
        stage.server.rollout(&started.id).await.state(),
        RolloutState::Baking
    );
    let first = stage.server.decisions(&started.id).await.remove(0);
    assert!(
        first.reason.contains("as a security fix"),
        "{}",
        first.reason
    );

    stage.server.abort(&started.id).await.unwrap();
    stage.set_policy(proto::Policy::default()).await.unwrap();
    let refused = stage.create(fix).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("`[security]`"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_that_leaves_no_room_for_its_rules_is_refused() {
    let moment = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
    let freeze = |n: i64| proto::Freeze {
        start_time: moment(n * 86_400),
        end_time: moment((n + 1) * 86_400),
        reason: "x".repeat(170),
    };
    let stage = Stage::with(proto::Policy {
        calendar: Some(proto::Calendar {
            freezes: (0..40).map(freeze).collect(),
            ..Default::default()
        }),
        ..Default::default()
    })
    .await;
    let names: Vec<String> = (0..12).map(|n| format!("{}{n}", "p".repeat(100))).collect();
    let pins: String = names.iter().map(|name| format!("{name}==1.0\n")).collect();
    stage.server.import(SET, &pins).await.unwrap();
    let request = proto::CreateRolloutRequest {
        candidates: names.iter().map(|name| candidate(name, "2.0")).collect(),
        ..Default::default()
    };
    let refused = stage.create(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("past freezes"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_s_overrides_are_checked() {
    let stage = Stage::with(proto::Policy::default()).await;
    let with = |one: proto::PolicyOverride| proto::Policy {
        overrides: vec![one],
        ..Default::default()
    };
    let of = |packages: &[&str], rules: proto::PolicyRules| proto::PolicyOverride {
        packages: packages.iter().map(|one| (*one).to_owned()).collect(),
        rules: Some(rules),
        ..Default::default()
    };
    let alpha = |alpha| proto::PolicyRules {
        alpha: Some(alpha),
        ..Default::default()
    };
    let long = "x".repeat(214);
    let lane = |rules| proto::Policy {
        security: Some(rules),
        ..Default::default()
    };
    for (policy, words) in [
        (with(of(&[], alpha(0.1))), "matches everything"),
        (with(of(&["a"], alpha(0.5))), "override 1: `alpha` of 0.5"),
        (
            with(of(&["a"], proto::PolicyRules::default())),
            "changes nothing",
        ),
        (
            with(of(&["a b"], alpha(0.1))),
            "no pattern of package names",
        ),
        (lane(alpha(0.1)), "never takes less evidence"),
        (
            proto::Policy {
                approvals: 6,
                ..Default::default()
            },
            "outside 0 to 5",
        ),
        (
            proto::Policy {
                overrides: vec![of(&[long.as_str(); 32], alpha(0.1)); 2],
                ..Default::default()
            },
            "shorten names, reasons or lists",
        ),
    ] {
        let refused = stage.set_policy(policy).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(refused.message().contains(words), "{refused}");
    }
}
