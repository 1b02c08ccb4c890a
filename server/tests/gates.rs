//! Gates on a real server: what a rollout waits for before its first environment, and what jobs may say of it.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

use std::time::Duration;

use pinion_proto::v1 as proto;
use pinion_proto::v1::gate_service_client::GateServiceClient;
use pinion_proto::v1::{GateState, Outcome, RolloutState};
use support::{DAY, HOUR, SET, Server, with_token};
use tempfile::{TempDir, tempdir};
use tonic::{Code, Status};

const PINS: &str = "requests==1.0\nsix==1.0\n";

/// A server whose pin set has gates, an enrolled fleet, and the token of a CI job.
struct Stage {
    server: Server,
    ci: String,
    _dir: TempDir,
}

impl Stage {
    async fn with_gates(gates: &[&str]) -> Self {
        Self::with(proto::Policy {
            gates: gates.iter().map(|name| (*name).to_owned()).collect(),
            ..Default::default()
        })
        .await
    }

    async fn with(policy: proto::Policy) -> Self {
        let dir = tempdir().unwrap();
        let server = Server::start_as(dir.path(), PINS, None, true).await;
        let request = proto::UpdatePinSetRequest {
            name: SET.to_owned(),
            policy: Some(policy),
            ..Default::default()
        };
        let request = with_token(request, &server.manager);
        server.sets().update_pin_set(request).await.unwrap();
        let ci = server.token("zuul", proto::Role::Ci, "").await;
        server.enroll_many(30).await;
        Self {
            server,
            ci,
            _dir: dir,
        }
    }

    fn gates(&self) -> GateServiceClient<tonic::transport::Channel> {
        GateServiceClient::new(self.server.channel.clone())
    }

    async fn lease_as(
        &self,
        token: &str,
        consumer: &str,
    ) -> Result<Option<proto::GateLease>, Status> {
        let request = proto::LeaseGateRequest {
            consumer: consumer.to_owned(),
            ..Default::default()
        };
        let answer = self.gates().lease_gate(with_token(request, token)).await?;
        Ok(answer.into_inner().lease)
    }

    async fn lease(&self, consumer: &str) -> proto::GateLease {
        let leased = self.lease_as(&self.ci, consumer).await.unwrap();
        leased.expect("a gate that waits")
    }

    async fn report(
        &self,
        lease: &proto::GateLease,
        outcome: Outcome,
    ) -> Result<proto::ReportGateResponse, Status> {
        let category = match outcome {
            Outcome::Failed => proto::Category::Test,
            _ => proto::Category::Unspecified,
        };
        let request = proto::ReportGateRequest {
            lease_id: lease.lease_id.clone(),
            outcome: outcome.into(),
            category: category.into(),
            link: "https://ci.example/job/1".to_owned(),
            ..Default::default()
        };
        let mut client = self.gates();
        let answer = client.report_gate(with_token(request, &self.ci)).await?;
        Ok(answer.into_inner())
    }

    /// Takes the gate of a consumer and reports a run; where the gate stands then.
    async fn run(&self, consumer: &str, outcome: Outcome) -> GateState {
        let lease = self.lease(consumer).await;
        let response = self.report(&lease, outcome).await.unwrap();
        response.gate.unwrap().state()
    }

    async fn list(&self, consumer: &str) -> Result<Vec<proto::Gate>, Status> {
        let request = proto::ListGatesRequest {
            consumer: consumer.to_owned(),
            ..Default::default()
        };
        let mut client = self.gates();
        let answer = client.list_gates(with_token(request, &self.ci)).await?;
        Ok(answer.into_inner().gates)
    }

    async fn start(&self, package: &str) -> String {
        let id = self.server.start_rollout(package, "2.0").await.unwrap().id;
        self.server.pass(Duration::ZERO).await;
        id
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_waits_for_its_gates_and_goes_on_when_they_have_passed() {
    let stage = Stage::with_gates(&["nova", "neutron"]).await;
    let id = stage.start("requests").await;
    let shown = stage.server.rollout(&id).await;
    assert_eq!(shown.state(), RolloutState::Gating);
    assert_eq!(
        shown.reason,
        "the tests of consumers come first: nova and neutron wait for a job; 0 of 2 gates have passed"
    );
    assert_eq!(shown.gates.len(), 2);

    let lease = stage.lease("nova").await;
    let pin = |package: &str| {
        let mut pins = lease.pins.iter();
        pins.find(|pin| pin.package == package)
            .unwrap()
            .version
            .as_str()
    };
    assert_eq!((pin("requests"), pin("six")), ("2.0", "1.0"), "whole");
    let gate = lease.gate.clone().unwrap();
    assert_eq!(
        (gate.rollout.as_str(), gate.leased_by.as_str()),
        (id.as_str(), "zuul")
    );
    assert_eq!(
        stage.lease_as(&stage.ci, "nova").await.unwrap(),
        None,
        "held by one"
    );
    stage.server.pass(Duration::ZERO).await;
    let reason = stage.server.rollout(&id).await.reason;
    assert!(
        reason.contains("neutron waits for a job, nova runs"),
        "{reason}"
    );

    stage.report(&lease, Outcome::Passed).await.unwrap();
    assert_eq!(
        stage.run("neutron", Outcome::Passed).await,
        GateState::Passed
    );
    stage.server.pass(Duration::ZERO).await;
    let shown = stage.server.rollout(&id).await;
    assert_eq!(shown.state(), RolloutState::Baking, "{}", shown.reason);
    let run = &shown.gates[0].runs[0];
    assert_eq!(
        (run.actor.as_str(), run.outcome()),
        ("zuul", Outcome::Passed)
    );
    assert_eq!(run.link, "https://ci.example/job/1");
    assert_eq!(stage.list("").await.unwrap(), [], "nothing waits any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_gate_stops_it_until_a_person_promotes_it() {
    let stage = Stage::with_gates(&["nova", "neutron"]).await;
    let id = stage.start("requests").await;
    stage.run("neutron", Outcome::Passed).await;
    for expected in [GateState::Waiting, GateState::Waiting, GateState::Failed] {
        assert_eq!(stage.run("nova", Outcome::Failed).await, expected);
    }
    stage.server.pass(3 * DAY).await;
    let shown = stage.server.rollout(&id).await;
    assert_eq!(shown.state(), RolloutState::Gating);
    assert_eq!(
        shown.reason,
        "the gate of nova failed: 3 runs failed with the candidate, the last in test; a person may promote it all the same, or stop it"
    );
    assert_eq!(stage.lease_as(&stage.ci, "nova").await.unwrap(), None);

    let promoted = stage.server.promote(&id, 0.0).await.unwrap();
    assert_eq!(promoted.state(), RolloutState::Baking);
    let last = stage.server.decisions(&id).await.pop().unwrap();
    assert_eq!(
        (last.actor.as_str(), last.action.as_str()),
        ("manager", "promote")
    );
    assert_eq!(
        last.reason,
        "a person asked for it although the gate of nova has not passed"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flaky_gate_is_repeated_and_passes_when_a_run_does() {
    let stage = Stage::with_gates(&["nova"]).await;
    let id = stage.start("requests").await;
    assert_eq!(stage.run("nova", Outcome::Failed).await, GateState::Waiting);
    assert_eq!(stage.run("nova", Outcome::Failed).await, GateState::Waiting);
    assert_eq!(stage.run("nova", Outcome::Passed).await, GateState::Passed);
    stage.server.pass(Duration::ZERO).await;
    let shown = stage.server.rollout(&id).await;
    assert_eq!(shown.state(), RolloutState::Baking);
    assert_eq!(shown.gates[0].runs.len(), 3, "who reported what is kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_runs_out_counts_as_no_run() {
    let stage = Stage::with_gates(&["nova"]).await;
    let id = stage.start("requests").await;
    let lost = stage.lease("nova").await;
    stage.server.pass(2 * HOUR).await;
    let gate = stage.list("nova").await.unwrap().remove(0);
    assert_eq!(gate.state(), GateState::Waiting);
    let refused = stage.report(&lost, Outcome::Passed).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("`pinion gate run`"), "{refused}");

    let second = stage.lease("nova").await;
    assert_ne!(second.lease_id, lost.lease_id);
    assert_eq!(second.gate.as_ref().unwrap().lapsed_leases, 1);
    assert!(stage.report(&lost, Outcome::Passed).await.is_err());
    assert_eq!(
        stage.server.rollout(&id).await.state(),
        RolloutState::Gating
    );
    stage.report(&second, Outcome::Passed).await.unwrap();
    stage.server.pass(Duration::ZERO).await;
    assert_eq!(
        stage.server.rollout(&id).await.state(),
        RolloutState::Baking
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_report_again_changes_nothing_and_another_one_is_refused() {
    let stage = Stage::with_gates(&["nova"]).await;
    let id = stage.start("requests").await;
    let lease = stage.lease("nova").await;
    let first = stage.report(&lease, Outcome::Failed).await.unwrap();
    assert!(!first.repeated_report);
    // Also after the lease would have run out, and when another job is at it.
    stage.server.pass(2 * HOUR).await;
    let next = stage.lease("nova").await;
    let again = stage.report(&lease, Outcome::Failed).await.unwrap();
    assert!(again.repeated_report);
    assert_eq!(stage.server.rollout(&id).await.gates[0].runs.len(), 1);
    let other = stage.report(&lease, Outcome::Passed).await.unwrap_err();
    assert_eq!(other.code(), Code::FailedPrecondition);
    stage.report(&next, Outcome::Passed).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn leases_and_gates_outlive_a_restart() {
    let mut stage = Stage::with_gates(&["nova"]).await;
    let id = stage.start("requests").await;
    stage.run("nova", Outcome::Failed).await;
    let lease = stage.lease("nova").await;
    stage.server = stage.server.restart().await;
    let gate = stage.list("nova").await.unwrap().remove(0);
    assert_eq!((gate.state(), gate.runs.len()), (GateState::Leased, 1));
    stage.report(&lease, Outcome::Passed).await.unwrap();
    stage.server.pass(Duration::ZERO).await;
    assert_eq!(
        stage.server.rollout(&id).await.state(),
        RolloutState::Baking
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_rollout_comes_first_and_a_young_version_reaches_no_job() {
    let policy = proto::Policy {
        gates: vec!["nova".to_owned()],
        minimum_age: Some(prost_types::Duration {
            seconds: 86_400,
            nanos: 0,
        }),
        ..Default::default()
    };
    let stage = Stage::with(policy).await;
    let start = async |package: &str, age_s: i64| {
        let seconds = stage.server.clock_minus_days(0).unix_ms() / 1000 - age_s;
        let request = proto::CreateRolloutRequest {
            pin_set: SET.to_owned(),
            candidates: vec![proto::Candidate {
                package: package.to_owned(),
                version: "2.0".to_owned(),
                publish_time: Some(prost_types::Timestamp { seconds, nanos: 0 }),
                ..Default::default()
            }],
            ..Default::default()
        };
        let request = with_token(request, &stage.server.manager);
        let answer = stage.server.rollouts().create_rollout(request).await;
        answer.unwrap().into_inner().rollout.unwrap().id
    };
    let young = start("requests", 0).await;
    stage.server.pass(Duration::from_secs(60)).await;
    let old = start("six", 2 * 86_400).await;
    let listed = stage.list("").await.unwrap();
    let rollouts: Vec<_> = listed.iter().map(|gate| gate.rollout.as_str()).collect();
    assert_eq!(rollouts, [young.as_str(), old.as_str()]);
    assert!(listed[0].not_before.is_some() && listed[1].not_before.is_none());
    assert_eq!(stage.lease("nova").await.gate.unwrap().rollout, old);
    assert_eq!(stage.lease_as(&stage.ci, "nova").await.unwrap(), None);
    stage.server.pass(DAY).await;
    assert_eq!(stage.lease("nova").await.gate.unwrap().rollout, young);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_those_who_may_take_a_gate_and_only_of_known_consumers() {
    let stage = Stage::with_gates(&["nova"]).await;
    stage.start("requests").await;
    let viewer = stage.server.token("eye", proto::Role::Viewer, "").await;
    for token in [&viewer, &stage.server.team] {
        let refused = stage.lease_as(token, "nova").await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied);
    }
    let elsewhere = proto::Policy::default();
    stage
        .server
        .create_set("other", elsewhere, None)
        .await
        .unwrap();
    let other = stage.server.token("other", proto::Role::Ci, "other").await;
    let refused = stage.lease_as(&other, "nova").await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound, "not in its pin set");
    for consumer in ["nowa", "Nova!"] {
        let code = stage
            .lease_as(&stage.ci, consumer)
            .await
            .unwrap_err()
            .code();
        assert!(
            matches!(code, Code::NotFound | Code::InvalidArgument),
            "{code:?}"
        );
        assert!(stage.list(consumer).await.is_err());
    }
    let lease = stage.lease("nova").await;
    let bad = [
        (
            "outcome",
            Outcome::Started,
            String::new(),
            lease.lease_id.clone(),
        ),
        (
            "link",
            Outcome::Passed,
            "javascript:alert(1)".to_owned(),
            lease.lease_id.clone(),
        ),
        (
            "link",
            Outcome::Passed,
            format!("https://{}", "x".repeat(500)),
            lease.lease_id.clone(),
        ),
        (
            "lease_id",
            Outcome::Passed,
            String::new(),
            "lease-1".to_owned(),
        ),
    ];
    for (field, outcome, link, lease_id) in bad {
        let request = proto::ReportGateRequest {
            lease_id,
            outcome: outcome.into(),
            link,
            ..Default::default()
        };
        let request = with_token(request, &stage.ci);
        let refused = stage.gates().report_gate(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(refused.message().contains(field), "{refused}");
    }
    // Nothing of that used up the lease.
    stage.report(&lease, Outcome::Passed).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_s_gates_are_checked() {
    let dir = tempdir().unwrap();
    let server = Server::start(dir.path(), PINS).await;
    let named = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let many: Vec<String> = (0..17).map(|n| format!("c{n}")).collect();
    let bad = [
        proto::Policy {
            gates: named(&["nova", "nova"]),
            ..Default::default()
        },
        proto::Policy {
            gates: named(&["No Name"]),
            ..Default::default()
        },
        proto::Policy {
            gates: many,
            ..Default::default()
        },
        proto::Policy {
            gate_runs: Some(11),
            ..Default::default()
        },
    ];
    for policy in bad {
        let refused = server.create_set("x", policy, None).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(refused.message().contains("gate"), "{refused}");
    }
}
