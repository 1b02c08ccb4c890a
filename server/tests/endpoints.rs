//! What machines ask of a server beside the five services: health, reflection, readiness, metrics.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

use std::net::SocketAddr;

use pinion_proto::v1 as proto;
use support::Server;
use tempfile::tempdir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

/// The whole answer, from its status line.
async fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_told_for_the_server_and_for_each_service() {
    let dir = tempdir().unwrap();
    let server = Server::start(dir.path(), "requests==1.0\n").await;
    for service in ["", "pinion.v1.PinService", "pinion.v1.OutcomeService"] {
        let request = HealthCheckRequest {
            service: service.to_owned(),
        };
        let answer = HealthClient::new(server.channel.clone())
            .check(request)
            .await
            .unwrap();
        assert_eq!(
            answer.into_inner().status(),
            ServingStatus::Serving,
            "`{service}`"
        );
    }
    let request = HealthCheckRequest {
        service: "pinion.v1.Nothing".to_owned(),
    };
    let status = HealthClient::new(server.channel.clone())
        .check(request)
        .await
        .unwrap_err();
    assert_eq!(status.code(), tonic::Code::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn reflection_lists_every_service() {
    let dir = tempdir().unwrap();
    let server = Server::start(dir.path(), "requests==1.0\n").await;
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let answer = ServerReflectionClient::new(server.channel.clone())
        .server_reflection_info(tokio_stream::iter([request]))
        .await
        .unwrap();
    let answer = answer.into_inner().message().await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(listed)) = answer.message_response else {
        panic!("{answer:?}");
    };
    let names: Vec<_> = listed
        .service
        .iter()
        .map(|service| service.name.as_str())
        .collect();
    for name in [
        "Pin",
        "Environment",
        "Outcome",
        "Rollout",
        "PinSet",
        "Admin",
    ] {
        assert!(
            names.contains(&format!("pinion.v1.{name}Service").as_str()),
            "{name} is not in {names:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_and_metrics_need_no_token_and_tell_no_secret() {
    let dir = tempdir().unwrap();
    let server = Server::start(dir.path(), "requests==1.0\n").await;
    let environment = server.enroll(true, "").await;
    server.start_rollout("requests", "2.0").await.unwrap();
    server
        .send(
            &environment.token,
            vec![server.report(proto::Outcome::Passed)],
        )
        .await
        .unwrap();
    server.app.controller.tick().await;

    for path in ["/healthz", "/readyz"] {
        let answer = get(server.app.address, path).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{path}: {answer}");
    }
    let metrics = get(server.app.address, "/metrics").await;
    for line in [
        "pinion_open_rollouts 1",
        "pinion_environments 1",
        "pinion_pending_filings 0",
    ] {
        assert!(
            metrics.contains(&format!("\n{line}\n")),
            "`{line}` is not in:\n{metrics}"
        );
    }
    assert!(metrics.contains("pinion_reports_total{"), "{metrics}");
    for secret in [
        &server.admin,
        &server.manager,
        &environment.token,
        &environment.id,
    ] {
        assert!(!metrics.contains(secret.as_str()));
    }
    let missing = get(server.app.address, "/no/such/page").await;
    assert!(missing.starts_with("HTTP/1.1 404 "), "{missing}");
}
