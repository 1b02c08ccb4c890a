//! A fleet on a server whose calendar never closes, and that decides when it is asked to: who pulls pins, and
//! who tells of which run.

use std::time::Duration;

use futures_util::future::join_all;
use pinion_core::name::RolloutId;
use pinion_core::replay::Check;
use pinion_core::state::Actor;
use pinion_proto::v1 as proto;
use pinion_proto::v1::environment_service_client::EnvironmentServiceClient;
use pinion_server::controller::Identity;
use pinion_server::store::records::Role;
use tempfile::TempDir;

use crate::support::{DAY, Environment, HOUR, SET, Server, with_token};

pub(crate) const PINS: &str = "requests==1.0\nurllib3==1.0\nsix==1.0\n";
/// How long an epoch lasts.
pub(crate) const EPOCH: Duration = Duration::from_secs(8 * 3600);
/// Requests that are on their way at once.
const AT_ONCE: usize = 32;

/// What an environment does after its pull.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Did {
    /// No run.
    Nothing,
    /// A run began, and nothing more was told.
    Announced,
    /// A run passed.
    Passed,
    /// A run's tests failed.
    Failed,
    /// A run's tests failed, and the failure looked like this.
    FailedLike(u64),
    /// A run's tests failed, and this came of its repetition.
    Repeated(proto::Repeat),
}

/// No pilot, these stages, epochs of [`EPOCH`], and a calendar that never closes.
pub(crate) fn policy(stages: &[f64]) -> proto::Policy {
    proto::Policy {
        stages: stages.to_vec(),
        pilot: Some(false),
        calendar: Some(proto::Calendar {
            days: (1..=7).collect(),
            opens_minute: Some(0),
            closes_minute: Some(1440),
            ..Default::default()
        }),
        ..Default::default()
    }
}

pub(crate) async fn server(dir: &TempDir, policy: proto::Policy) -> Server {
    let server = Server::start_as(dir.path(), PINS, None, true).await;
    set_policy(&server, policy).await;
    server
}

/// Rollouts that start from now on proceed by this policy.
pub(crate) async fn set_policy(server: &Server, policy: proto::Policy) {
    let request = proto::UpdatePinSetRequest {
        name: SET.to_owned(),
        policy: Some(policy),
        ..Default::default()
    };
    let request = with_token(request, &server.manager);
    server.sets().update_pin_set(request).await.unwrap();
}

/// Enrols an environment that reports, as the request says otherwise.
pub(crate) async fn enrol(server: &Server, request: proto::EnrollRequest) -> Environment {
    let pin_set = match request.pin_set.as_str() {
        "" => SET.to_owned(),
        other => other.to_owned(),
    };
    let request = proto::EnrollRequest {
        pin_set,
        reporting: true,
        ..request
    };
    let mut client = EnvironmentServiceClient::new(server.channel.clone());
    let request = with_token(request, &server.team);
    let enrolled = client.enroll(request).await.unwrap().into_inner();
    Environment {
        id: enrolled.environment.unwrap().id,
        token: enrolled.token,
    }
}

/// Changes an environment as its owner asks.
pub(crate) async fn update(
    server: &Server,
    environment: &Environment,
    request: proto::UpdateEnvironmentRequest,
) {
    let mut client = EnvironmentServiceClient::new(server.channel.clone());
    let request = with_token(request, &environment.token);
    client.update_environment(request).await.unwrap();
}

/// Whether an environment that is by itself broken on some days is so on this one: on one of five.
pub(crate) fn is_own_failure(place: usize, day: usize) -> bool {
    let mixed = (place * 1000 + day).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    mixed.is_multiple_of(5)
}

/// A fleet with ten days of history, on each of which a fifth fails by itself.
pub(crate) async fn with_history(server: &Server, environments: &[Environment]) {
    for day in 0..10 {
        tell(server, environments, |place| {
            match is_own_failure(place, day) {
                true => Did::Failed,
                false => Did::Passed,
            }
        })
        .await;
        server.pass(DAY).await;
    }
}

/// The rollouts whose candidate an environment gets.
pub(crate) async fn pull(server: &Server, environment: &Environment) -> Vec<String> {
    server.pins(&environment.token).await.unwrap().rollouts
}

/// Everybody pulls, the places of those who have the candidate of the rollout first, then the others'.
pub(crate) async fn sides(
    server: &Server,
    environments: &[Environment],
    id: &str,
) -> (Vec<usize>, Vec<usize>) {
    let pulled = pull_all(server, environments).await;
    (0..environments.len()).partition(|place| pulled[*place].iter().any(|rollout| rollout == id))
}

/// Everybody pulls; the rollouts whose candidate each gets.
pub(crate) async fn pull_all(server: &Server, environments: &[Environment]) -> Vec<Vec<String>> {
    let mut pulled = Vec::new();
    for some in environments.chunks(AT_ONCE) {
        pulled.extend(join_all(some.iter().map(|environment| pull(server, environment))).await);
    }
    pulled
}

/// Everybody tells what it does, by its place.
pub(crate) async fn tell(
    server: &Server,
    environments: &[Environment],
    habit: impl Fn(usize) -> Did,
) {
    let places: Vec<usize> = (0..environments.len()).collect();
    tell_of(server, environments, &places, habit).await;
}

/// These tell what they do, by their place.
pub(crate) async fn tell_of(
    server: &Server,
    environments: &[Environment],
    places: &[usize],
    habit: impl Fn(usize) -> Did,
) {
    for some in places.chunks(AT_ONCE) {
        join_all(
            some.iter()
                .map(|place| tell_one(server, &environments[*place], habit(*place))),
        )
        .await;
    }
}

pub(crate) async fn tell_one(server: &Server, environment: &Environment, did: Did) {
    if did != Did::Nothing {
        let report = report(server, did);
        server.send(&environment.token, vec![report]).await.unwrap();
    }
}

fn report(server: &Server, did: Did) -> proto::Report {
    let failed = || server.report(proto::Outcome::Failed);
    match did {
        Did::Nothing | Did::Announced => server.report(proto::Outcome::Started),
        Did::Passed => server.report(proto::Outcome::Passed),
        Did::Failed => failed(),
        Did::FailedLike(look) => proto::Report {
            fingerprint: format!("{look:016x}"),
            ..failed()
        },
        Did::Repeated(repeat) => proto::Report {
            repeat: repeat.into(),
            ..failed()
        },
    }
}

/// What is known of a rollout once everything that was told is counted.
pub(crate) async fn evidence(server: &Server, id: &str) -> proto::Evidence {
    server.app.controller.tick().await;
    server.rollout(id).await.evidence.unwrap()
}

pub(crate) fn log_e(detector: &Option<proto::Detector>) -> f64 {
    detector.as_ref().unwrap().log_evidence
}

/// Exposed environments fail one after another until detector E stands at `least` or higher; who did.
pub(crate) async fn fail_until(
    server: &Server,
    environments: &[Environment],
    id: &str,
    exposed: &[usize],
    least: f64,
) -> Vec<usize> {
    let mut failed = Vec::new();
    for place in exposed {
        if log_e(&evidence(server, id).await.events) >= least {
            return failed;
        }
        tell_one(server, &environments[*place], Did::Failed).await;
        failed.push(*place);
    }
    panic!("{} failures are not enough", exposed.len());
}

/// What was done about a rollout so far.
pub(crate) async fn actions(server: &Server, id: &str) -> Vec<String> {
    let decisions = server.decisions(id).await.into_iter();
    decisions.map(|decision| decision.action).collect()
}

/// The last decision about a rollout.
pub(crate) async fn last_decision(server: &Server, id: &str) -> proto::Decision {
    server.decisions(id).await.pop().unwrap()
}

/// The last decision of this kind.
pub(crate) async fn decision(server: &Server, id: &str, action: &str) -> proto::Decision {
    let decisions = server.decisions(id).await;
    let of_kind = decisions
        .into_iter()
        .rfind(|decision| decision.action == action);
    of_kind.unwrap_or_else(|| panic!("no `{action}`"))
}

/// Every decision is bound to the one before, and comes out the same when it is made again from what is kept.
pub(crate) async fn check_log(server: &Server, id: &str) {
    let caller = Identity {
        actor: Actor::Controller,
        role: Role::Admin,
        pin_set: None,
        environment: None,
    };
    let id: RolloutId = id.parse().unwrap();
    let controller = &server.app.controller;
    let (entries, more) = controller.decisions(&caller, &id, 0, 1000).await.unwrap();
    assert!(!more && !entries.is_empty());
    let mut previous = String::new();
    for (index, entry) in entries.iter().enumerate() {
        assert_eq!(entry.sequence, index as u64 + 1);
        assert!(entry.is_intact(), "{entry:?}");
        assert_eq!(entry.previous_hash, previous, "{entry:?}");
        previous.clone_from(&entry.hash);
    }
    let verified = controller.verify_decisions(&caller, &id).await.unwrap();
    assert!(verified.is_intact(), "{verified:#?}");
    for (entry, checked) in entries.iter().zip(&verified.decisions) {
        let is_counted = checked.check == Check::Refolded || checked.check == Check::Counted;
        assert!(
            is_counted || entry.cells.is_none() || !checked.note.is_empty(),
            "{checked:?}"
        );
    }
}

/// Lets the epoch end, and what follows be decided.
pub(crate) async fn end_epoch(server: &Server) {
    server.pass(EPOCH).await;
}

/// Hours pass.
pub(crate) async fn hours(server: &Server, hours: u32) {
    server.pass(HOUR * hours).await;
}
