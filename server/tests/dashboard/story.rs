//! A server as it looks on a day on which something is wrong.

use std::path::Path;
use std::time::Duration;

use futures_util::future::join_all;
use pinion_proto::v1 as proto;
use pinion_proto::v1::pin_service_client::PinServiceClient;
use pinion_server::forge::ForgeConfig;

use crate::fleet::{self, Did, enrol, is_own_failure, tell, tell_one};
use crate::support::repository::{merge, repository};
use crate::support::{DAY, Environment, FORGE, HOUR, Server, source, with_token};

pub(crate) const OPENSTACK: &str = "openstack-master";
const PINS: &str = include_str!("../../src/demo/upper-constraints.txt");
const FLEET: usize = 120;
const PLATFORMS: [&str; 3] = [
    "linux-x86_64-py3.8",
    "linux-x86_64-py3.10",
    "macos-arm64-py3.10",
];

/// A server, and the ids of its rollouts.
pub(crate) struct Story {
    pub(crate) server: Server,
    pub(crate) environments: Vec<Environment>,
    /// On course, at a quarter.
    pub(crate) good: String,
    /// Open, with much evidence of harm.
    pub(crate) suspicious: String,
    /// Halted by a person.
    pub(crate) paused: String,
    /// Taken back by itself, and filed.
    pub(crate) rolled_back: String,
    /// Everybody has it.
    pub(crate) complete: String,
    /// Waits for the tests of consumers.
    pub(crate) gating: String,
}

impl Story {
    pub(crate) async fn tell(dir: &Path) -> Self {
        let url = repository_with_pins(dir);
        let forge = ForgeConfig::git(FORGE.parse().unwrap(), &url);
        let server =
            Server::start_on(&dir.join("data"), "six==1.0\n", Some(forge), None, true).await;
        let policy = proto::Policy {
            on_inconclusive: proto::OnInconclusive::Complete.into(),
            ..fleet::policy(&[0.1, 0.25, 0.5])
        };
        let policy_with_gates = proto::Policy {
            gates: vec!["nova".to_owned(), "neutron".to_owned()],
            ..policy.clone()
        };
        let source = Some(source("upper-constraints.txt"));
        server.create_set(OPENSTACK, policy, source).await.unwrap();
        server.import(OPENSTACK, PINS).await.unwrap();
        server
            .create_set("gated", policy_with_gates, None)
            .await
            .unwrap();
        server
            .import("gated", "oslo.messaging==12.0.0\nflask==2.0.2\n")
            .await
            .unwrap();
        let one_at_a_time = proto::Policy {
            open_rollouts_max: Some(1),
            ..proto::Policy::default()
        };
        server
            .create_set("busy", one_at_a_time, None)
            .await
            .unwrap();
        for version in ["1.0", "2.0"] {
            let pins = format!("six=={version}\nidna=={version}\nclick=={version}\n");
            server.import("busy", &pins).await.unwrap();
        }
        let mut environments = Vec::new();
        for place in 0..FLEET {
            let request = proto::EnrollRequest {
                pin_set: OPENSTACK.to_owned(),
                platform: PLATFORMS[place % 3].to_owned(),
                ..Default::default()
            };
            environments.push(enrol(&server, request).await);
        }
        let mut story = Self {
            server,
            environments,
            good: String::new(),
            suspicious: String::new(),
            paused: String::new(),
            rolled_back: String::new(),
            complete: String::new(),
            gating: String::new(),
        };
        story.unfold().await;
        story
    }

    async fn unfold(&mut self) {
        for day in 0..4 {
            self.ordinary(day).await;
            self.server.pass(DAY).await;
        }
        self.rolled_back = self.start(OPENSTACK, "MarkupSafe", "2.1.0").await;
        self.ordinary(4).await;
        self.harm(&self.rolled_back, 2.0).await;
        self.complete = self.start(OPENSTACK, "certifi", "2024.2.2").await;
        for day in 4..9 {
            self.epoch(day).await;
        }
        self.good = self.start(OPENSTACK, "requests", "2.31.0").await;
        self.epoch(9).await;
        self.paused = self.start(OPENSTACK, "urllib3", "2.0.7").await;
        self.suspicious = self.start(OPENSTACK, "Jinja2", "3.1.3").await;
        self.gating = self.start("gated", "flask", "3.0.0").await;
        self.ordinary(10).await;
        self.server.pass(HOUR).await;
        self.harm(&self.suspicious, 0.6).await;
        self.server.pass(HOUR * 2).await;
        // Others that fare well, among which the one in trouble has to be found.
        for package in [
            "six", "idna", "chardet", "PyYAML", "attrs", "Click", "Babel",
        ] {
            self.start(OPENSTACK, package, "99.0").await;
        }
        let request = proto::PauseRolloutRequest {
            id: self.paused.clone(),
            reason: "the release notes say that it drops TLS 1.0".to_owned(),
            ..Default::default()
        };
        let request = with_token(request, &self.server.manager);
        self.server.rollouts().pause_rollout(request).await.unwrap();
        self.server.app.controller.tick().await;
        self.wait_for_filing().await;
    }

    pub(crate) async fn start(&self, pin_set: &str, package: &str, version: &str) -> String {
        let request = proto::CreateRolloutRequest {
            pin_set: pin_set.to_owned(),
            candidates: vec![proto::Candidate {
                package: package.to_owned(),
                version: version.to_owned(),
                ..Default::default()
            }],
            ..Default::default()
        };
        let request = with_token(request, &self.server.manager);
        let started = self
            .server
            .rollouts()
            .create_rollout(request)
            .await
            .unwrap();
        self.server.app.controller.tick().await;
        started.into_inner().rollout.unwrap().id
    }

    /// Everybody pulls and runs; who fails fails by itself.
    async fn ordinary(&self, day: usize) {
        self.pull_all().await;
        tell(
            &self.server,
            &self.environments,
            |place| match is_own_failure(place, day) {
                true => Did::FailedLike(1000 + place as u64 % 7),
                false => Did::Passed,
            },
        )
        .await;
        self.server.app.controller.tick().await;
    }

    /// Everybody pulls; the rollouts whose candidate each gets.
    async fn pull_all(&self) -> Vec<Vec<String>> {
        let mut pulled = Vec::new();
        for some in self.environments.chunks(16) {
            let pulls = some.iter().map(|environment| {
                let request = with_token(proto::GetPinsRequest::default(), &environment.token);
                let mut client = PinServiceClient::new(self.server.channel.clone());
                async move {
                    client
                        .get_pins(request)
                        .await
                        .unwrap()
                        .into_inner()
                        .rollouts
                }
            });
            pulled.extend(join_all(pulls).await);
        }
        pulled
    }

    async fn epoch(&self, day: usize) {
        self.ordinary(day).await;
        self.server.pass(fleet::EPOCH).await;
        self.server.pass(Duration::from_secs(16 * 3600)).await;
    }

    /// Environments with the candidate fail until this part of the way to a rollback is gone.
    async fn harm(&self, id: &str, part: f64) {
        let pulled = self.pull_all().await;
        for (place, rollouts) in pulled.iter().enumerate() {
            self.server.app.controller.tick().await;
            let rollout = self.server.rollout(id).await;
            let evidence = rollout.evidence.clone().unwrap_or_default();
            let is_enough = evidence.log_evidence >= part * evidence.log_threshold;
            if rollout.state() != proto::RolloutState::Baking
                || (evidence.log_threshold > 0.0 && is_enough)
            {
                break;
            }
            if rollouts.iter().any(|rollout| rollout == id) {
                tell_one(
                    &self.server,
                    &self.environments[place],
                    Did::FailedLike(0xbad),
                )
                .await;
                self.server.clock.advance(HOUR / 4);
            }
        }
        self.server.app.controller.tick().await;
    }

    async fn wait_for_filing(&self) {
        for _ in 0..200 {
            let filing = self.server.rollout(&self.rolled_back).await.filing;
            if filing.is_some_and(|filing| filing.state == "filed") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!(
            "the rollback was not filed: {:?}",
            self.server.rollout(&self.rolled_back).await
        );
    }
}

/// A bare repository whose `master` has the pins, and the bump that is phased in.
fn repository_with_pins(dir: &Path) -> String {
    let url = repository(dir);
    let bumped = PINS.replace("MarkupSafe===2.0.1", "MarkupSafe===2.1.0");
    assert_ne!(bumped, PINS);
    merge(dir, &bumped);
    url
}
