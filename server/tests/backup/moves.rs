//! A server with an open rollout moves from sled to etcd and back, and its rollout goes on.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pinion_proto::v1 as proto;
use pinion_proto::v1::audit_service_client::AuditServiceClient;
use pinion_proto::v1::outcome_service_client::OutcomeServiceClient;
use pinion_server::args::Remote;
use pinion_server::backup;
use pinion_server::store::engine::EngineOptions;
use pinion_server::store::etcd::EtcdOptions;
use tempfile::TempDir;

use crate::fleet::{Did, end_epoch, policy, pull_all, server, tell, tell_of, with_history};
use crate::support::cluster::{Cluster, has_etcd};
use crate::support::{Environment, Server, with_token};

/// Takes a backup while reports come in, each of which is acknowledged.
async fn taken(server: &Server, environments: &[Environment], dir: &TempDir) -> PathBuf {
    let (file, token_file) = (dir.path().join("backup"), dir.path().join("token"));
    std::fs::write(&token_file, &server.admin).unwrap();
    let is_over = Arc::new(AtomicBool::new(false));
    let reporting: Vec<_> = environments
        .iter()
        .take(4)
        .map(|environment| {
            let (channel, token) = (server.channel.clone(), environment.token.clone());
            let (is_over, report) = (Arc::clone(&is_over), server.report(proto::Outcome::Passed));
            let now = server.clock_minus_days(0);
            tokio::spawn(async move {
                let mut count = 0;
                while !is_over.load(Ordering::SeqCst) {
                    let reports = vec![proto::Report {
                        report_id: crate::support::uuid_at(now),
                        ..report.clone()
                    }];
                    let request = with_token(proto::ReportOutcomesRequest { reports }, &token);
                    let mut client = OutcomeServiceClient::new(channel.clone());
                    client.report_outcomes(request).await.unwrap();
                    count += 1;
                }
                count
            })
        })
        .collect();
    let remote = Remote {
        file: file.clone(),
        server: Some(server.url()),
        token_file: Some(token_file),
        ca_file: None,
    };
    for _ in 0..3 {
        let backup = backup::take(server.config(), &remote).await.unwrap();
        assert!(backup.entries > 100, "{}", backup.entries);
    }
    is_over.store(true, Ordering::SeqCst);
    for task in reporting {
        assert!(task.await.unwrap() > 0);
    }
    file
}

/// The server on what a backup of it holds, in another engine.
async fn moved(server: Server, file: PathBuf, dir: &TempDir, store: EngineOptions) -> Server {
    let change = |config: &mut pinion_server::config::Config| {
        config.data_dir = dir.path().to_owned();
        config.store = store;
    };
    let restore = async |config: &pinion_server::config::Config| {
        backup::restore(config, &file).await.unwrap();
    };
    server.restart_on(change, restore).await
}

async fn assert_verified(server: &Server, id: &str) {
    let mut client = AuditServiceClient::new(server.channel.clone());
    let request = proto::VerifyDecisionsRequest {
        rollout: id.to_owned(),
    };
    let asked = client.verify_decisions(with_token(request, &server.manager));
    let mut stream = asked.await.unwrap().into_inner();
    let mut count = 0;
    while let Some(checked) = stream.message().await.unwrap() {
        assert!(checked.problems.is_empty(), "{checked:?}");
        count += 1;
    }
    assert!(count > 1);
    let asked = client.verify_audit_entries(with_token(
        proto::VerifyAuditEntriesRequest {},
        &server.manager,
    ));
    assert!(asked.await.unwrap().into_inner().problems.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_rollout_goes_on_in_etcd_and_back_in_sled_and_can_still_be_verified() {
    if !has_etcd() {
        return;
    }
    let (first, second, third) = (
        TempDir::new().unwrap(),
        TempDir::new().unwrap(),
        TempDir::new().unwrap(),
    );
    let server = server(&first, policy(&[0.2, 0.5])).await;
    let environments = server.enroll_many(60).await;
    with_history(&server, &environments).await;
    let id = server.start_rollout("requests", "2.0").await.unwrap().id;
    server.app.controller.tick().await;
    let pulled = pull_all(&server, &environments).await;
    tell(&server, &environments, |place| match place % 7 {
        0 => Did::FailedLike(7),
        1 => Did::Announced,
        _ => Did::Passed,
    })
    .await;
    let file = taken(&server, &environments, &first).await;

    let cluster = Cluster::start(1);
    let etcd = EngineOptions::Etcd(EtcdOptions::new(cluster.endpoints()));
    let server = moved(server, file, &second, etcd).await;
    assert_eq!(pull_all(&server, &environments).await, pulled);
    assert_verified(&server, &id).await;
    end_epoch(&server).await;
    assert_verified(&server, &id).await;
    let raised = pull_all(&server, &environments).await;
    assert!(raised != pulled, "the share was raised");
    let decided = server.decisions(&id).await.len();
    let file = taken(&server, &environments, &second).await;

    let server = moved(server, file, &third, EngineOptions::Sled {}).await;
    assert_eq!(pull_all(&server, &environments).await, raised);
    assert_eq!(server.decisions(&id).await.len(), decided);
    let places: Vec<usize> = (0..environments.len()).collect();
    tell_of(&server, &environments, &places, |place| {
        match raised[place].is_empty() {
            true => Did::Passed,
            false => Did::FailedLike(99),
        }
    })
    .await;
    server.app.controller.tick().await;
    let state = server.rollout(&id).await.state();
    assert_eq!(state, proto::RolloutState::RolledBack);
    assert_verified(&server, &id).await;
}
