//! A server that starts anew knows what the one before it knew, and goes on as that would have.

use pinion_proto::v1 as proto;
use tempfile::{TempDir, tempdir};

use crate::fleet::{
    Did, check_log, enrol, is_own_failure, log_e, policy, pull, server, tell_one, update,
};
use crate::silence::entries;
use crate::support::{DAY, Environment, HOUR, Server};

const COUNT: usize = 90;
/// Parts of a day, each with everybody's pull and run.
const ROUNDS: usize = 16;

/// What two servers must agree on.
fn assert_same(one: &proto::Evidence, other: &proto::Evidence, when: &str) {
    assert_eq!(one.exposed, other.exposed, "{when}");
    assert_eq!(one.control, other.control, "{when}");
    assert_eq!(one.exposed_total, other.exposed_total, "{when}");
    assert_eq!(one.control_total, other.control_total, "{when}");
    let by_category = |evidence: &proto::Evidence| {
        (
            evidence.exposed_failed_by_category.clone(),
            evidence.control_failed_by_category.clone(),
        )
    };
    assert_eq!(by_category(one), by_category(other), "{when}");
    let near = |one: f64, other: f64| {
        assert!((one - other).abs() < 1e-12, "{when}: {one} is not {other}");
    };
    for (one, other) in [(&one.windows, &other.windows), (&one.events, &other.events)] {
        near(log_e(one), log_e(other));
        let (one, other) = (one.as_ref().unwrap(), other.as_ref().unwrap());
        near(one.log_threshold, other.log_threshold);
        assert_eq!(one.leading_target, other.leading_target, "{when}");
    }
    near(one.guard_log_evidence, other.guard_log_evidence);
    match (&one.harm, &other.harm) {
        (Some(one), Some(other)) => {
            near(one.lower, other.lower);
            near(one.upper, other.upper);
            near(one.margin, other.margin);
        }
        (one, other) => assert_eq!(one, other, "{when}"),
    }
}

struct Life {
    server: Server,
    environments: Vec<Environment>,
    ids: Vec<String>,
}

impl Life {
    /// Two rollouts in a fleet of two platforms with some history.
    async fn begin(dir: &TempDir) -> Self {
        let policy = proto::Policy {
            pilot: Some(true),
            repeat_failures: true,
            calendar: None,
            open_rollouts_max: Some(5),
            ..policy(&[0.3, 0.5])
        };
        let server = server(dir, policy).await;
        let mut environments = Vec::new();
        for place in 0..COUNT {
            let request = proto::EnrollRequest {
                platform: ["linux-x86_64", "linux-aarch64"][place % 2].to_owned(),
                repeats: place % 3 == 0,
                draw_key: match place {
                    80..84 => "team-nova".to_owned(),
                    _ => String::new(),
                },
                ..Default::default()
            };
            environments.push(enrol(&server, request).await);
        }
        for day in 0..3 {
            for (place, environment) in environments.iter().enumerate() {
                let did = match is_own_failure(place, day) {
                    true => Did::FailedLike(place as u64 % 5),
                    false => Did::Passed,
                };
                tell_one(&server, environment, did).await;
            }
            server.pass(DAY).await;
        }
        let mut ids = Vec::new();
        for package in ["requests", "urllib3"] {
            ids.push(server.start_rollout(package, "2.0").await.unwrap().id);
        }
        server.app.controller.tick().await;
        Self {
            server,
            environments,
            ids,
        }
    }

    /// Everybody does something, and two hours pass.
    async fn live(&mut self, round: usize) {
        let server = &self.server;
        for (place, environment) in self.environments.iter().enumerate() {
            if place + round == 41 || (place == 50 && round > 4) {
                continue; // Not on this day, or gone.
            }
            let rollouts = pull(server, environment).await;
            let did = match (place * 31 + round * 17) % 40 {
                0 | 1 => Did::FailedLike(1000 + rollouts.len() as u64),
                2 => Did::Announced,
                3 => Did::Repeated(proto::Repeat::Failed),
                4 => Did::Failed,
                5..12 => Did::Nothing,
                _ => Did::Passed,
            };
            tell_one(server, environment, did).await;
        }
        if round == 4 {
            server.leave(&self.environments[50]).await;
            let hold = proto::UpdateEnvironmentRequest {
                replace_holds: true,
                holds: vec![proto::Hold {
                    package: "requests".to_owned(),
                    version: String::new(),
                }],
                ..Default::default()
            };
            update(server, &self.environments[51], hold).await;
        }
        server.pass(HOUR * 2).await;
    }

    async fn evidence(&self, id: &str) -> proto::Evidence {
        self.server.rollout(id).await.evidence.unwrap()
    }

    /// Every decision, in words.
    async fn decided(&self, id: &str) -> Vec<(String, String, f64, u32)> {
        let decisions = self.server.decisions(id).await.into_iter();
        decisions
            .map(|decision| {
                (
                    decision.action,
                    decision.reason,
                    decision.share_after,
                    decision.epoch,
                )
            })
            .collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_starts_anew_after_every_round_decides_as_one_that_never_stopped() {
    let dirs = [tempdir().unwrap(), tempdir().unwrap()];
    let mut steady = Life::begin(&dirs[0]).await;
    let mut restarted = Life::begin(&dirs[1]).await;
    assert_eq!(steady.ids, restarted.ids, "twins");
    for round in 0..ROUNDS {
        steady.live(round).await;
        restarted.live(round).await;
        let before = [
            restarted.evidence(&restarted.ids[0]).await,
            restarted.evidence(&restarted.ids[1]).await,
        ];
        restarted.server = restarted.server.restart().await;
        restarted.server.app.controller.tick().await;
        for (id, before) in restarted.ids.iter().zip(before) {
            let after = restarted.evidence(id).await;
            assert_same(&before, &after, &format!("{id} after round {round}"));
            let twin = steady.evidence(id).await;
            assert_same(
                &twin,
                &after,
                &format!("{id} beside its twin in round {round}"),
            );
        }
    }
    for id in &steady.ids {
        let decided = steady.decided(id).await;
        assert_eq!(decided, restarted.decided(id).await);
        let raises = decided
            .iter()
            .filter(|decided| decided.0 == "promote")
            .count();
        assert!(raises >= 4, "it went through several epochs: {decided:?}");
        check_log(&restarted.server, id).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_of_reports_are_kept_as_long_as_they_can_be_repeated_and_no_longer() {
    let dir = tempdir().unwrap();
    let mut server = server(&dir, policy(&[0.5])).await;
    let environments = server.enroll_many(2).await;
    for day in 0..24 {
        tell_one(&server, &environments[day % 2], Did::Passed).await;
        server.pass(DAY).await;
        if day == 12 {
            server = server.restart().await;
        }
    }
    server.app.stop().await;
    let kept = entries(dir.path(), "seen/").await.len();
    assert!((8..=11).contains(&kept), "{kept} days");
}
