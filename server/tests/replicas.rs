//! Several servers on one store: every one of them answers everything, and one of them at a time does what nobody asks
//! for. On a store in memory, so that what is tested is the servers; on etcd, with faults, see `cluster`.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use pinion_proto::v1 as proto;
use pinion_proto::v1::admin_service_client::AdminServiceClient;
use pinion_server::store::memory::MemoryStore;
use pinion_server::store::{PAGE_MAX, Store};
use support::{DAY, Environment, HOUR, SET, Server, with_token};
use tempfile::TempDir;

const PINS: &str = "requests==2.31.0\nurllib3==2.0.7\n";

/// Three servers on one store.
struct Fleet {
    servers: Vec<Server>,
    store: Arc<dyn Store>,
    _dir: TempDir,
}

async fn three() -> Fleet {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let dir = tempfile::tempdir().unwrap();
    let first = Server::start_sharing(&store, &dir.path().join("0"), PINS, None).await;
    let second = first.beside(&store, &dir.path().join("1")).await;
    let third = first.beside(&store, &dir.path().join("2")).await;
    Fleet {
        servers: vec![first, second, third],
        store,
        _dir: dir,
    }
}

/// Waits until it holds, and says what did not if it never does.
async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..400 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("it never came to be that {what}");
}

impl Fleet {
    /// The servers that lead.
    fn leading(&self) -> Vec<usize> {
        let leads = |index: &usize| self.servers[*index].app.controller.leads();
        (0..self.servers.len()).filter(leads).collect()
    }

    /// A server that does not lead.
    fn follower(&self) -> &Server {
        self.servers
            .iter()
            .find(|server| !server.app.controller.leads())
            .unwrap()
    }

    /// Environments, enrolled at one server after the other, that have reported on the last days.
    async fn environments(&self, count: usize) -> Vec<Environment> {
        let mut environments = Vec::new();
        for index in 0..count {
            let server = &self.servers[index % self.servers.len()];
            environments.push(server.enroll(true, "").await);
        }
        environments
    }

    async fn keys(&self, prefix: &str) -> Vec<String> {
        let page = self.store.page(prefix, None, PAGE_MAX).await.unwrap();
        let keys = page.entries.iter();
        keys.map(|entry| entry.key.to_string()).collect()
    }
}

async fn state(server: &Server, id: &str) -> proto::RolloutState {
    let rollout = server.rollout(id).await;
    rollout.state()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_server_takes_every_server_serves() {
    let fleet = three().await;
    let [first, second, third] = &fleet.servers[..] else {
        unreachable!("three");
    };
    let environment = second.enroll(true, "").await;
    eventually("the third serves whom the second enrolled", async || {
        third.pins(&environment.token).await.is_ok()
    })
    .await;
    assert_eq!(
        third.version(&environment.token, "requests").await,
        "2.31.0"
    );
    third
        .import_at_once(SET, "requests==2.32.0\nurllib3==2.0.7\n")
        .await
        .unwrap();
    eventually("the first serves what the third imported", async || {
        first.version(&environment.token, "requests").await == "2.32.0"
    })
    .await;
    assert_eq!(fleet.leading().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_is_steered_from_any_server_and_rolled_back_everywhere() {
    let fleet = three().await;
    let environments = fleet.environments(30).await;
    let follower = fleet.follower();
    let rollout = follower.start_rollout("requests", "2.32.0").await.unwrap();
    let promoted = follower.promote(&rollout.id, 1.0).await.unwrap();
    assert!((promoted.share - 1.0).abs() < 1e-9, "{promoted:?}");
    for server in &fleet.servers {
        eventually("every server gives the candidate", async || {
            server.version(&environments[0].token, "requests").await == "2.32.0"
        })
        .await;
    }
    let refused = follower.promote(&rollout.id, 0.5).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::InvalidArgument, "{refused}");
    assert!(refused.message().contains("never falls"), "{refused}");

    follower.roll_back(&rollout.id).await.unwrap();
    for server in &fleet.servers {
        eventually("every server gives the baseline again", async || {
            server.version(&environments[0].token, "requests").await == "2.31.0"
        })
        .await;
    }
    let refused = follower.pause(&rollout.id).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::FailedPrecondition, "{refused}");
    eventually("nothing that was asked is left over", async || {
        fleet.keys("c/ask/").await.is_empty()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_to_any_server_are_counted_by_the_one_that_leads_and_each_once() {
    let fleet = three().await;
    let environments = fleet.environments(12).await;
    let rollout = fleet.servers[0]
        .start_rollout("requests", "2.32.0")
        .await
        .unwrap();
    fleet.servers[0].promote(&rollout.id, 1.0).await.unwrap();
    for (index, environment) in environments.iter().enumerate() {
        let report = fleet.servers[0].report(proto::Outcome::Passed);
        for server in [&fleet.servers[index % 3], &fleet.servers[(index + 1) % 3]] {
            eventually("the server knows the environment", async || {
                server
                    .send(&environment.token, vec![report.clone()])
                    .await
                    .is_ok()
            })
            .await;
        }
    }
    for server in &fleet.servers {
        eventually("every server tells that all have passed", async || {
            let standing = server.rollout(&rollout.id).await;
            let evidence = standing.evidence.unwrap_or_default();
            evidence.exposed_total.unwrap_or_default().reporting == 12
        })
        .await;
    }
    eventually("the journal is empty", async || {
        fleet.keys("j/").await.is_empty()
    })
    .await;
    let seen: BTreeSet<String> = fleet.keys("seen/").await.into_iter().collect();
    assert!(!seen.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_server_that_leads_stops_another_one_goes_on_with_the_same_history() {
    let mut fleet = three().await;
    let environments = fleet.environments(40).await;
    let rollout = fleet.servers[0]
        .start_rollout("requests", "2.32.0")
        .await
        .unwrap();
    eventually("it has begun", async || {
        state(&fleet.servers[0], &rollout.id).await == proto::RolloutState::Baking
    })
    .await;
    let before = fleet.servers[0].decisions(&rollout.id).await.len();
    let leading = fleet.leading()[0];
    let stopped = fleet.servers.remove(leading);
    for environment in &environments[..10] {
        let report = stopped.report(proto::Outcome::Passed);
        stopped
            .send(&environment.token, vec![report])
            .await
            .unwrap();
    }
    let clock = Arc::clone(&stopped.clock);
    stopped.app.stop().await;
    eventually("another one leads", async || fleet.leading().len() == 1).await;
    clock.advance(2 * HOUR);
    eventually("its epochs go on", async || {
        fleet.servers[0].decisions(&rollout.id).await.len() > before
    })
    .await;
    let decisions = fleet.servers[1].decisions(&rollout.id).await;
    let numbers: Vec<u64> = decisions.iter().map(|decision| decision.sequence).collect();
    let expected: Vec<u64> = (1..=decisions.len() as u64).collect();
    assert_eq!(numbers, expected, "one history");
    eventually("nothing waits to be counted", async || {
        fleet.keys("j/").await.is_empty()
    })
    .await;
    let servers = fleet.keys("c/server/").await;
    assert_eq!(servers.len(), 2, "who stopped has said so: {servers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_requests_at_the_same_moment_none_is_lost_and_none_happens_twice() {
    let fleet = three().await;
    let before = fleet.keys("audit/").await.len();
    // The chain of the audit log is one for all, so all of these race with each other.
    let tokens = (0..30).map(|number| {
        let server = &fleet.servers[number % 3];
        let request = proto::CreateTokenRequest {
            name: format!("ci-{number}"),
            role: proto::Role::Ci.into(),
            ..Default::default()
        };
        let request = with_token(request, &server.admin);
        let mut client = AdminServiceClient::new(server.channel.clone());
        async move { client.create_token(request).await.map(|_| ()) }
    });
    let made: Result<Vec<()>, _> = futures_util::future::join_all(tokens)
        .await
        .into_iter()
        .collect();
    made.unwrap();
    assert_eq!(fleet.keys("audit/").await.len(), before + 30);

    // Two environments never share a position that they did not ask for.
    let enrolled = (0..30).map(|number| fleet.servers[number % 3].enroll(true, ""));
    futures_util::future::join_all(enrolled).await;
    let mut ordinals = BTreeSet::new();
    for entry in fleet
        .store
        .page("c/cid/", None, PAGE_MAX)
        .await
        .unwrap()
        .entries
    {
        assert!(ordinals.insert(entry.value.to_vec()), "{}", entry.key);
    }
    assert_eq!(ordinals.len(), 30);

    // Of three rollouts of one package one is made.
    let started = fleet
        .servers
        .iter()
        .map(|server| server.start_rollout("requests", "2.32.0"));
    let started = futures_util::future::join_all(started).await;
    let (made, refused): (Vec<_>, Vec<_>) = started.into_iter().partition(Result::is_ok);
    assert_eq!(made.len(), 1);
    for refusal in refused {
        let refusal = refusal.unwrap_err();
        assert_eq!(refusal.code(), tonic::Code::FailedPrecondition, "{refusal}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_version_reported_to_all_servers_is_rolled_back_once() {
    let fleet = three().await;
    let environments = fleet.environments(60).await;
    // A history without failures.
    for _ in 0..8 {
        for (index, environment) in environments.iter().enumerate() {
            let server = &fleet.servers[index % 3];
            let report = server.report(proto::Outcome::Passed);
            server.send(&environment.token, vec![report]).await.unwrap();
        }
        fleet.servers[0].clock.advance(DAY);
    }
    let rollout = fleet
        .follower()
        .start_rollout("requests", "2.32.0")
        .await
        .unwrap();
    for _ in 0..40 {
        for (index, environment) in environments.iter().enumerate() {
            let server = &fleet.servers[index % 3];
            let pins = server.pins(&environment.token).await.unwrap();
            let outcome = match pins.exposures.is_empty() {
                true => proto::Outcome::Passed,
                false => proto::Outcome::Failed,
            };
            let report = server.report(outcome);
            server.send(&environment.token, vec![report]).await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(1100)).await;
        if state(&fleet.servers[1], &rollout.id).await == proto::RolloutState::RolledBack {
            break;
        }
        fleet.servers[0].clock.advance(HOUR);
    }
    for server in &fleet.servers {
        assert_eq!(
            state(server, &rollout.id).await,
            proto::RolloutState::RolledBack
        );
    }
    let decisions = fleet.servers[2].decisions(&rollout.id).await;
    let rolled_back = decisions
        .iter()
        .filter(|decision| decision.action == "roll back");
    assert_eq!(rolled_back.count(), 1, "{decisions:?}");
}
