//! Policies on a real server: rules by package and step, approvals, blocks that several people lift, freezes, the lane
//! for security fixes, and shadow.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

#[path = "policies/approvals.rs"]
mod approvals;
#[path = "policies/blocks.rs"]
mod blocks;
#[path = "policies/freezes.rs"]
mod freezes;
#[path = "policies/overrides.rs"]
mod overrides;
#[path = "policies/shadow.rs"]
mod shadow;

use std::time::Duration;

use pinion_proto::v1 as proto;
use support::{Environment, SET, Server, with_token};
use tempfile::{TempDir, tempdir};
use tonic::Status;

const PINS: &str = "requests==1.0\nsix==1.0\noslo.config==1.0\n";

/// A server that decides when it is asked to, with a policy and an enrolled fleet.
struct Stage {
    server: Server,
    fleet: Vec<Environment>,
    dir: TempDir,
}

impl Stage {
    async fn with(policy: proto::Policy) -> Self {
        let dir = tempdir().unwrap();
        let server = Server::start_as(dir.path(), PINS, None, true).await;
        let fleet = server.enroll_many(30).await;
        let stage = Self { server, fleet, dir };
        stage.set_policy(policy).await.unwrap();
        stage
    }

    async fn set_policy(&self, policy: proto::Policy) -> Result<(), Status> {
        let request = proto::UpdatePinSetRequest {
            name: SET.to_owned(),
            policy: Some(policy),
            ..Default::default()
        };
        let request = with_token(request, &self.server.manager);
        self.server.sets().update_pin_set(request).await.map(|_| ())
    }

    async fn create(&self, request: proto::CreateRolloutRequest) -> Result<proto::Rollout, Status> {
        let request = proto::CreateRolloutRequest {
            pin_set: SET.to_owned(),
            ..request
        };
        let request = with_token(request, &self.server.manager);
        let answer = self.server.rollouts().create_rollout(request).await?;
        Ok(answer.into_inner().rollout.unwrap())
    }

    /// Starts a rollout and lets it be decided on; its id.
    async fn start(&self, package: &str, version: &str) -> String {
        let rollout = self.server.start_rollout(package, version).await.unwrap();
        self.server.pass(Duration::ZERO).await;
        rollout.id
    }

    async fn approve(&self, id: &str, token: &str) -> Result<proto::Rollout, Status> {
        let request = proto::ApproveRolloutRequest {
            id: id.to_owned(),
            reason: "read the notes".to_owned(),
            ..Default::default()
        };
        let request = with_token(request, token);
        let answer = self.server.rollouts().approve_rollout(request).await?;
        Ok(answer.into_inner().rollout.unwrap())
    }

    async fn freeze(&self, until: Option<i64>, reason: &str) -> Result<proto::PinSet, Status> {
        let request = proto::FreezePinSetRequest {
            name: SET.to_owned(),
            end_time: until.map(|seconds| prost_types::Timestamp { seconds, nanos: 0 }),
            reason: reason.to_owned(),
        };
        let request = with_token(request, &self.server.manager);
        let answer = self.server.sets().freeze_pin_set(request).await?;
        Ok(answer.into_inner().pin_set.unwrap())
    }

    /// A decision's actor, action and reason.
    async fn last(&self, id: &str) -> (String, String, String) {
        let last = self.server.decisions(id).await.pop().unwrap();
        (last.actor, last.action, last.reason)
    }

    fn now_s(&self) -> i64 {
        self.server.clock_minus_days(0).unix_ms() / 1000
    }
}

fn candidate(package: &str, version: &str) -> proto::Candidate {
    proto::Candidate {
        package: package.to_owned(),
        version: version.to_owned(),
        ..Default::default()
    }
}

fn hours(hours: i64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration {
        seconds: hours * 3600,
        nanos: 0,
    })
}
