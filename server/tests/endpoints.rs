//! What machines ask of a server beside the five services: health, reflection, readiness, metrics.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

use std::net::SocketAddr;
use std::time::Duration;

use axum::routing::get as route;
use pinion_proto::v1 as proto;
use pinion_server::serve::{Patience, serve};
use support::Server;
use tempfile::tempdir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

/// The whole answer, from its status line.
async fn get(address: SocketAddr, path: &str) -> String {
    ask(address, "GET", path, "").await
}

/// The whole answer to a request with these further header lines, whose body never comes.
async fn ask(address: SocketAddr, method: &str, path: &str, headers: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n{headers}\r\n"
    );
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

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_never_finishes_is_answered_at_its_deadline() {
    let dir = tempdir().unwrap();
    let server = Server::start(dir.path(), "requests==1.0\n").await;
    let headers = "content-type: application/grpc\r\ncontent-length: 1000\r\ngrpc-timeout: 50m\r\n";
    let path = "/pinion.v1.PinService/GetPins";
    let answer = ask(server.app.address, "POST", path, headers).await;
    assert!(answer.contains("grpc-status: 4"), "{answer}");
    assert!(
        answer.contains("no%20answer%20within%2050%20ms"),
        "{answer}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_callers_make_up_become_no_metrics() {
    let dir = tempdir().unwrap();
    let server = Server::start(dir.path(), "requests==1.0\n").await;
    let grpc = "content-type: application/grpc\r\n";
    for (method, path, headers) in [
        ("POST", "/pinion.v1.MadeUp/GetPins", grpc),
        ("POST", "/pinion.v1.PinService/MadeUp", grpc),
        ("GET", "/pin-sets/MadeUp/constraints.txt", grpc),
        ("MADEUP", "/healthz", ""),
        ("GET", "/MadeUp", ""),
    ] {
        let answer = ask(server.app.address, method, path, headers).await;
        assert!(answer.starts_with("HTTP/1.1 "), "{answer}");
    }
    let metrics = get(server.app.address, "/metrics").await;
    assert!(!metrics.to_lowercase().contains("madeup"), "{metrics}");
    assert!(metrics.contains("other"), "{metrics}");
    // Most answers take milliseconds: buckets of whole seconds would tell nothing.
    assert!(metrics.contains("le=\"0.005\""), "{metrics}");
}

/// A port with one page, `/`.
async fn port(patience: Patience) -> (SocketAddr, CancellationToken) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let stopping = CancellationToken::new();
    let routes = axum::Router::new().route("/", route(|| async { "here\n" }));
    tokio::spawn(serve(listener, None, routes, patience, stopping.clone()));
    (address, stopping)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_says_nothing_more_is_closed_and_gives_its_place_to_others() {
    let (address, _stopping) = port(Patience {
        silence: Duration::from_millis(200),
        connections_max: 3,
    })
    .await;
    let mut silent = Vec::new();
    for words in ["", "PRI * HT", "GET / HTTP/1.1\r\nhost: x\r\nslow: "] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(words.as_bytes()).await.unwrap();
        silent.push(stream);
    }
    // Every place is taken; this one waits until the others have been given up.
    let answer = get(address, "/").await;
    assert!(answer.ends_with("here\n"), "{answer}");
    for mut stream in silent {
        let mut rest = Vec::new();
        // Closed, in whatever way.
        let _ = stream.read_to_end(&mut rest).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_goes_away_leaves_nothing_half_done() {
    let dir = tempdir().unwrap();
    let server = Server::start(dir.path(), "requests==1.0\n").await;
    for patience_us in (0..6000).step_by(50) {
        let file = format!("requests==1.{patience_us}\n");
        let import = server.import_at_once(support::SET, &file);
        // Whether it was done is not known then.
        let _ = tokio::time::timeout(Duration::from_micros(patience_us), import).await;
    }
    let done = server.import_at_once(support::SET, "requests==2.0\n").await;
    let done = done.unwrap().pin_set.unwrap();
    let server = server.restart().await;
    let request = proto::GetPinSetRequest {
        name: support::SET.to_owned(),
        ..Default::default()
    };
    let shown = server
        .sets()
        .get_pin_set(support::with_token(request, &server.manager))
        .await;
    let shown = shown.unwrap().into_inner();
    assert_eq!(shown.pin_set.unwrap().revision, done.revision);
    assert_eq!(shown.pins[0].version, "2.0");
}
