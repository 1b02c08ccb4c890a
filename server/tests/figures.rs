//! Delivery figures follow from what was written when rollouts ended, and from who came back.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

#[allow(dead_code, reason = "each test file uses a part of it")]
#[path = "evidence/fleet.rs"]
mod fleet;

use std::net::SocketAddr;

use fleet::{Did, end_epoch, hours, policy, pull, pull_all, server, sides, tell, tell_of};
use pinion_proto::v1 as proto;
use pinion_proto::v1::figure_service_client::FigureServiceClient;
use support::{SET, Server, with_token};
use tempfile::tempdir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn figures(server: &Server, request: proto::GetFiguresRequest) -> proto::GetFiguresResponse {
    let mut client = FigureServiceClient::new(server.channel.clone());
    let request = with_token(request, &server.manager);
    client.get_figures(request).await.unwrap().into_inner()
}

async fn whole(server: &Server) -> proto::Figures {
    let response = figures(server, proto::GetFiguresRequest::default()).await;
    response.whole.unwrap()
}

fn hours_of(time: Option<&prost_types::Duration>) -> Option<f64> {
    time.map(|time| time.seconds as f64 / 3600.0)
}

#[tokio::test(flavor = "multi_thread")]
async fn restoring_is_told_once_the_last_one_who_had_it_is_back_also_after_a_restart() {
    let dir = tempdir().unwrap();
    let server = server(&dir, policy(&[0.3, 0.5])).await;
    let environments = server.enroll_many(40).await;
    let id = server.start_rollout("requests", "2.0").await.unwrap().id;
    server.app.controller.tick().await;
    let (exposed, _) = sides(&server, &environments, &id).await;
    assert!(exposed.len() > 4, "{exposed:?}");
    hours(&server, 1).await;
    tell_of(&server, &environments, &exposed[..1], |_| Did::Failed).await;
    hours(&server, 2).await;
    server.roll_back(&id).await.unwrap();

    let before = whole(&server).await;
    assert_eq!((before.rolled_back, before.completed), (1, 0));
    assert_eq!(before.failure_share, Some(1.0));
    let rolled_back = before.time_to_roll_back.unwrap();
    assert_eq!(hours_of(rolled_back.median.as_ref()), Some(2.0));
    assert_eq!(before.not_back as usize, exposed.len());
    assert_eq!(before.time_to_restore.unwrap().unknown, 1);

    hours(&server, 1).await;
    let (last, others) = exposed.split_last().unwrap();
    for place in others {
        assert!(pull(&server, &environments[*place]).await.is_empty());
    }
    server.app.controller.tick().await;
    assert_eq!(whole(&server).await.not_back, 1);
    let server = server.restart().await;
    hours(&server, 4).await;
    // Who is back already pulls again, and changes nothing.
    pull(&server, &environments[others[0]]).await;
    pull(&server, &environments[*last]).await;
    server.app.controller.tick().await;
    let after = whole(&server).await;
    assert_eq!(after.not_back, 0);
    let restored = after.time_to_restore.unwrap();
    assert_eq!((restored.known, restored.unknown), (1, 0));
    assert_eq!(hours_of(restored.median.as_ref()), Some(7.0));
    server.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_completed_has_a_lead_time_by_pin_set_and_package() {
    let dir = tempdir().unwrap();
    let server = server(&dir, policy(&[0.5])).await;
    let environments = server.enroll_many(20).await;
    let id = server.start_rollout("requests", "2.0").await.unwrap().id;
    server.app.controller.tick().await;
    server.promote(&id, 1.0).await.unwrap();
    pull_all(&server, &environments).await;
    tell(&server, &environments, |_| Did::Passed).await;
    end_epoch(&server).await;
    assert_eq!(
        server.rollout(&id).await.state(),
        proto::RolloutState::Completed
    );
    let response = figures(&server, proto::GetFiguresRequest::default()).await;
    let all = response.whole.unwrap();
    assert_eq!((all.completed, all.published), (1, 0));
    let lead_time = all.lead_time.unwrap();
    assert_eq!(hours_of(lead_time.median.as_ref()), Some(8.0));
    assert_eq!(response.by_pin_set[0].name, SET);
    assert_eq!(response.by_package[0].name, "requests");
    let other = proto::GetFiguresRequest {
        package: "six".to_owned(),
        ..Default::default()
    };
    let other = figures(&server, other).await;
    assert_eq!(other.whole.unwrap().completed, 0);
    let long_ago = proto::GetFiguresRequest {
        over: Some(prost_types::Duration {
            seconds: 60,
            nanos: 0,
        }),
        ..Default::default()
    };
    hours(&server, 1).await;
    assert!(figures(&server, long_ago).await.by_package.is_empty());

    let text = metrics(server.app.address).await;
    assert!(
        text.contains("pinion_delivery_lead_time_seconds{pin_set=\"set\",quantile=\"0.5\"} 28800"),
        "{text}"
    );
    server.app.stop().await;
}

/// What Prometheus is told.
async fn metrics(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET /metrics HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}
