//! What the dashboard answers to whoever asks, over plain HTTP.

use std::time::Duration;

use pinion_proto::v1 as proto;
use tempfile::tempdir;

use crate::support::{SET, Server};
use crate::web::Visitor;

#[tokio::test(flavor = "multi_thread")]
async fn only_who_is_signed_in_sees_a_page_and_machines_are_told_what_there_is() {
    let dir = tempdir().unwrap();
    let server = Server::start(dir.path(), "requests==1.0\n").await;
    let nobody = Visitor::new(server.app.address);
    for path in [
        "/",
        "/rollouts",
        "/decisions",
        "/environments",
        "/pin-sets/set",
    ] {
        let answer = nobody.get(path).await;
        assert_eq!(answer.status, 303, "{path}");
        assert!(answer.header("location").starts_with("/sign-in"), "{path}");
    }
    assert_eq!(nobody.get("/events").await.status, 401);
    let told = nobody.get_with("/", "accept: */*\r\n").await;
    assert!(told.body.contains("/metrics"), "{told:?}");

    let wrong = nobody
        .post("/sign-in", &[("token", "pinion_wrong")], "")
        .await;
    assert_eq!(wrong.status, 401);
    assert!(!wrong.body.contains("pinion_wrong"), "{}", wrong.body);
    let machine = nobody
        .post("/sign-in", &[("token", &server.team)], "")
        .await;
    assert_eq!((machine.status, machine.header("set-cookie")), (403, ""));
    assert!(machine.body.contains("pinion join"), "{}", machine.body);

    let form = [("token", server.manager.as_str())];
    let cookie = nobody.post("/sign-in", &form, "").await;
    let cookie = cookie.header("set-cookie");
    assert!(cookie.contains("HttpOnly; SameSite=Strict"), "{cookie}");
    let manager = Visitor::signed_in(server.app.address, &server.manager).await;
    let page = manager.get("/").await;
    assert_eq!(page.status, 200);
    assert_eq!(page.header("cache-control"), "no-store");
    let policy = page.header("content-security-policy");
    assert!(policy.contains("script-src 'self'") && policy.contains("frame-ancestors 'none'"));
    assert!(!page.body.contains(&server.manager));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_form_a_stale_page_and_a_viewer_change_nothing() {
    let dir = tempdir().unwrap();
    let server = Server::start(dir.path(), "requests==1.0\n").await;
    let id = server.start_rollout("requests", "2.0").await.unwrap().id;
    let path = format!("/rollouts/{id}/abort");
    let manager = Visitor::signed_in(server.app.address, &server.manager).await;
    let page = manager.get(&format!("/rollouts/{id}")).await;
    let (csrf, revision) = (page.field("csrf"), page.field("expected_revision"));
    let stale = [
        ("csrf", csrf),
        ("expected_revision", "999"),
        ("reason", "<b>why</b>"),
    ];
    let fresh = [("csrf", csrf), ("expected_revision", revision)];

    let forged = [("csrf", "x"), ("expected_revision", revision)];
    assert_eq!(manager.post(&path, &forged, "").await.status, 403);
    let foreign = "origin: http://evil.example\r\n";
    assert_eq!(manager.post(&path, &fresh, foreign).await.status, 403);
    let answer = manager.post(&path, &stale, "").await;
    assert_eq!(answer.status, 409);
    assert!(answer.body.contains("has changed since you looked"));
    assert!(answer.body.contains("&lt;b&gt;why&lt;/b&gt;") && !answer.body.contains("<b>why"));
    let viewer = server.token("viewer", proto::Role::Viewer, "").await;
    let viewer = Visitor::signed_in(server.app.address, &viewer).await;
    let page = viewer.get(&format!("/rollouts/{id}")).await;
    assert!(!page.body.contains("/abort\""), "{}", page.body);
    let form = [
        ("csrf", page.field("csrf")),
        ("expected_revision", revision),
    ];
    assert_eq!(viewer.post(&path, &form, "").await.status, 403);
    assert_ne!(
        server.rollout(&id).await.state(),
        proto::RolloutState::Aborted
    );

    assert_eq!(manager.post(&path, &fresh, "").await.status, 303);
    assert_eq!(
        server.rollout(&id).await.state(),
        proto::RolloutState::Aborted
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_with_its_token_and_sees_its_pin_set_alone() {
    let dir = tempdir().unwrap();
    let server = Server::start(dir.path(), "requests==1.0\n").await;
    server
        .create_set("other", proto::Policy::default(), None)
        .await
        .unwrap();
    let viewer = server.token("viewer", proto::Role::Viewer, SET).await;
    let visitor = Visitor::signed_in(server.app.address, &viewer).await;
    assert_eq!(visitor.get("/pin-sets/set").await.status, 200);
    assert_eq!(visitor.get("/pin-sets/other").await.status, 403);
    let request = proto::RevokeTokenRequest {
        name: "viewer".to_owned(),
    };
    proto::admin_service_client::AdminServiceClient::new(server.channel.clone())
        .revoke_token(crate::support::with_token(request, &server.admin))
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(visitor.get("/pin-sets/set").await.status, 303);
}
