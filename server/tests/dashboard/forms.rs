//! What people do in the dashboard, over plain HTTP: every form asks for the same rights as gRPC.

use std::time::Duration;

use pinion_proto::v1 as proto;
use tempfile::tempdir;

use crate::support::{HOUR, SET, Server, with_token};
use crate::web::Visitor;

async fn approved_by(count: u32, approvers: &[&str]) -> (tempfile::TempDir, Server) {
    let dir = tempdir().unwrap();
    let server = Server::start(dir.path(), "requests==1.0\n").await;
    let policy = proto::Policy {
        approvals: count,
        approvers: approvers.iter().map(|name| (*name).to_owned()).collect(),
        lift_approvals: Some(2),
        ..Default::default()
    };
    let request = proto::UpdatePinSetRequest {
        name: SET.to_owned(),
        policy: Some(policy),
        ..Default::default()
    };
    server
        .sets()
        .update_pin_set(with_token(request, &server.manager))
        .await
        .unwrap();
    (dir, server)
}

async fn signed_in(server: &Server, name: &str, role: proto::Role) -> Visitor {
    let token = server.token(name, role, "").await;
    Visitor::signed_in(server.app.address, &token).await
}

/// Sends a form of a page as it stands there, with these fields changed.
async fn send(visitor: &Visitor, page: &str, path: &str, fields: &[(&str, &str)]) -> u16 {
    let page = visitor.get(page).await;
    let revision = match page.body.contains("name=\"expected_revision\"") {
        true => page.field("expected_revision").to_owned(),
        false => "0".to_owned(),
    };
    let mut form = vec![
        ("csrf", page.field("csrf")),
        ("expected_revision", &revision),
    ];
    form.extend(fields);
    visitor.post(path, &form, "").await.status
}

#[tokio::test(flavor = "multi_thread")]
async fn whose_approval_it_takes_gives_it_takes_it_back_or_denies_and_nobody_else_is_asked() {
    let (_dir, server) = approved_by(1, &["viewer"]).await;
    let id = server.start_rollout("requests", "2.0").await.unwrap().id;
    server.app.controller.tick().await;
    let page = format!("/rollouts/{id}");
    let approve = format!("{page}/approve");
    let manager = Visitor::signed_in(server.app.address, &server.manager).await;
    let shown = manager.get(&page).await;
    assert!(
        !shown.body.contains(&approve),
        "who started it approves nothing"
    );
    assert!(!shown.body.contains("/promote\""), "approvals are missing");
    assert!(
        shown.body.contains("needs a person: 1 approval missing"),
        "{}",
        shown.body
    );
    assert_eq!(send(&manager, &page, &approve, &[]).await, 403);

    let viewer = signed_in(&server, "eve", proto::Role::Viewer).await;
    assert!(!viewer.get(&page).await.body.contains("/abort\""));
    assert_eq!(
        send(&viewer, &page, &approve, &[("reason", "read it")]).await,
        303
    );
    let shown = viewer.get(&page).await;
    assert!(shown.body.contains("1 of 1: eve on "), "{}", shown.body);
    assert!(!shown.body.contains(&approve));

    server.abort(&id).await.unwrap();
    let id = server.start_rollout("requests", "3.0").await.unwrap().id;
    let page = format!("/rollouts/{id}");
    assert_eq!(
        send(&viewer, &page, &format!("{page}/deny"), &[]).await,
        303
    );
    assert_eq!(
        server.rollout(&id).await.state(),
        proto::RolloutState::Aborted
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_goes_past_missing_approvals_with_a_reason_and_a_manager_does_not() {
    let (_dir, server) = approved_by(2, &[]).await;
    let id = server.start_rollout("requests", "2.0").await.unwrap().id;
    server.app.controller.tick().await;
    let page = format!("/rollouts/{id}");
    let promote = format!("{page}/promote");
    let past = ("past_approvals", "yes");
    let manager = signed_in(&server, "mo", proto::Role::ReleaseManager).await;
    assert_eq!(
        send(&manager, &page, &promote, &[past, ("reason", "x")]).await,
        403
    );
    let admin = Visitor::signed_in(server.app.address, &server.admin).await;
    assert_eq!(send(&admin, &page, &promote, &[past]).await, 400);
    assert_eq!(
        send(&admin, &page, &promote, &[past, ("reason", "it burns")]).await,
        303
    );
    let shown = admin.get(&page).await;
    assert!(
        shown.body.contains("2 approvals were missing: it burns"),
        "{}",
        shown.body
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pin_set_is_frozen_and_unfrozen_with_a_reason_by_who_may() {
    let dir = tempdir().unwrap();
    let server = Server::start(dir.path(), "requests==1.0\n").await;
    let page = format!("/pin-sets/{SET}");
    let (freeze, unfreeze) = (format!("{page}/freeze"), format!("{page}/unfreeze"));
    let manager = Visitor::signed_in(server.app.address, &server.manager).await;
    let shown = manager.get(&page).await;
    let forged = [("csrf", "x"), ("reason", "incident")];
    assert_eq!(manager.post(&freeze, &forged, "").await.status, 403);
    let past = [
        ("csrf", shown.field("csrf")),
        ("reason", "<i>incident</i>"),
        ("until", "2020-01-01T00:00"),
    ];
    let refused = manager.post(&freeze, &past, "").await;
    assert_eq!(refused.status, 400);
    assert!(refused.body.contains("has passed") && refused.body.contains("&lt;i&gt;incident"));
    assert!(refused.body.contains("value=\"2020-01-01T00:00\""));
    let viewer = signed_in(&server, "eve", proto::Role::Viewer).await;
    let shown = viewer.get(&page).await;
    assert!(!shown.body.contains("/freeze\""));
    let form = [("csrf", shown.field("csrf")), ("reason", "incident")];
    assert_eq!(viewer.post(&freeze, &form, "").await.status, 403);

    assert_eq!(
        send(&manager, &page, &freeze, &[("reason", "incident")]).await,
        303
    );
    let shown = viewer.get(&page).await;
    assert!(
        shown.body.contains(": incident; no share is raised"),
        "{}",
        shown.body
    );
    assert_eq!(send(&manager, &page, &unfreeze, &[]).await, 303);
    assert!(!viewer.get(&page).await.body.contains("no share is raised"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_is_lifted_when_as_many_people_asked_as_the_policy_says() {
    let (_dir, server) = approved_by(0, &[]).await;
    let id = server.start_rollout("requests", "2.0").await.unwrap().id;
    server.roll_back(&id).await.unwrap();
    let page = format!("/pin-sets/{SET}");
    let lift = format!("{page}/lift");
    let version = [
        ("package", "requests"),
        ("version", "2.0"),
        ("reason", "fixed"),
    ];
    let manager = Visitor::signed_in(server.app.address, &server.manager).await;
    assert_eq!(send(&manager, &page, &lift, &version[..2]).await, 400);
    assert_eq!(send(&manager, &page, &lift, &version).await, 303);
    let shown = manager.get(&page).await;
    assert!(
        shown.body.contains("manager asked, 1 more must"),
        "{}",
        shown.body
    );
    assert_eq!(send(&manager, &page, &lift, &version).await, 409);
    let other = signed_in(&server, "mo", proto::Role::ReleaseManager).await;
    assert_eq!(send(&other, &page, &lift, &version).await, 303);
    assert!(other.get(&page).await.body.contains("may be tried again"));
    server.start_rollout("requests", "2.0").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_is_looked_at_with_its_rules_before_it_is_started() {
    let dir = tempdir().unwrap();
    let server = Server::start(dir.path(), "requests==1.0\nsix==1.0\n").await;
    let manager = Visitor::signed_in(server.app.address, &server.manager).await;
    let path = format!("/pin-sets/{SET}/start");
    let looked = manager
        .get(&format!("{path}?candidates=requests%3D%3D2.0"))
        .await;
    assert!(
        looked.body.contains("It would be requests 1.0 -&gt; 2.0"),
        "{}",
        looked.body
    );
    assert!(looked.body.contains("1 %, 5 %, 10 %, 25 %, 50 %"));
    assert!(!manager.get("/rollouts").await.body.contains("requests 1.0"));
    let wrong = manager
        .get(&format!("{path}?candidates=requests%3E%3D2.0"))
        .await;
    assert!(wrong.body.contains("write it as requests==2.32.0"));
    assert!(!wrong.body.contains("It would be"));

    let csrf = looked.field("csrf");
    let stale = [
        ("csrf", csrf),
        ("candidates", "requests==2.0"),
        ("expected_revision", "999"),
    ];
    assert_eq!(manager.post(&path, &stale, "").await.status, 409);
    let form = [
        ("csrf", csrf),
        ("candidates", "requests==2.0"),
        ("expected_revision", looked.field("expected_revision")),
    ];
    let started = manager.post(&path, &form, "").await;
    assert_eq!(started.status, 303);
    let rollout = manager.get(started.header("location")).await;
    assert!(
        rollout.body.contains("Started: what it waits for"),
        "{}",
        rollout.body
    );
    let viewer = signed_in(&server, "eve", proto::Role::Viewer).await;
    assert_eq!(viewer.get(&path).await.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_imported_after_a_look_and_what_waits_can_be_taken_out() {
    let dir = tempdir().unwrap();
    let server = Server::start(dir.path(), "requests==1.0\nsix==1.0\n").await;
    let policy = proto::Policy {
        open_rollouts_max: Some(1),
        ..Default::default()
    };
    server.create_set("busy", policy, None).await.unwrap();
    server
        .import("busy", "requests==1.0\nsix==1.0\n")
        .await
        .unwrap();
    let manager = Visitor::signed_in(server.app.address, &server.manager).await;
    let path = "/pin-sets/busy/import";
    let form = manager.get(path).await;
    let content = ("content", "requests==2.0\r\nsix==2.0\r\nidna==3.0\r\n");
    let fields = [("csrf", form.field("csrf")), content, ("step", "check")];
    let looked = manager.post(path, &fields, "").await;
    assert_eq!(looked.status, 200);
    assert!(
        looked.body.contains("It would change 3 pins"),
        "{}",
        looked.body
    );
    assert!(
        looked.body.contains("idna==3.0"),
        "what was pasted is there still"
    );
    assert_eq!(server.waiting().await.len(), 0);
    let wrong = [("csrf", form.field("csrf")), ("content", "requests>=2\n")];
    let refused = manager.post(path, &wrong, "").await;
    assert_eq!(refused.status, 400);
    assert!(refused.body.contains("requests&gt;=2"));

    let revision = looked.field("expected_revision");
    let fields = [
        ("csrf", form.field("csrf")),
        content,
        ("step", "import"),
        ("expected_revision", revision),
    ];
    assert_eq!(manager.post(path, &fields, "").await.status, 303);
    let page = manager.get("/pin-sets/busy").await;
    assert!(
        page.body.contains("1 rollout started, 1 waiting"),
        "{}",
        page.body
    );
    let queue = "/pin-sets/busy/queue";
    let shown = manager.get(queue).await;
    assert!(
        shown.body.contains("as many as the policy allows"),
        "{}",
        shown.body
    );
    let waiting = match shown.body.contains("value=\"six\"") {
        true => "six",
        false => "requests",
    };
    let drop = "/pin-sets/busy/drop";
    assert_eq!(
        send(&manager, queue, drop, &[("package", waiting)]).await,
        303
    );
    assert!(manager.get(queue).await.body.contains("Nothing waits."));
    assert_eq!(
        manager
            .post(
                drop,
                &[("csrf", form.field("csrf")), ("package", "idna")],
                ""
            )
            .await
            .status,
        404
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_when_its_token_does() {
    let dir = tempdir().unwrap();
    let server = Server::start(dir.path(), "requests==1.0\n").await;
    let request = proto::CreateTokenRequest {
        name: "brief".to_owned(),
        role: proto::Role::Viewer.into(),
        lifetime: Some(prost_types::Duration {
            seconds: 7200,
            nanos: 0,
        }),
        ..Default::default()
    };
    let token = proto::admin_service_client::AdminServiceClient::new(server.channel.clone())
        .create_token(with_token(request, &server.admin))
        .await
        .unwrap()
        .into_inner()
        .secret;
    let visitor = Visitor::signed_in(server.app.address, &token).await;
    server.clock.advance(HOUR);
    assert_eq!(visitor.get("/rollouts").await.status, 200);
    server.clock.advance(HOUR);
    let answer = visitor.get("/rollouts").await;
    assert_eq!(answer.status, 303);
    assert!(answer.header("location").starts_with("/sign-in"));
    let update = "accept: text/html\r\nx-pinion-update: 1\r\n";
    assert_eq!(visitor.get_with("/rollouts", update).await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_is_told_and_simulated_in_the_background_with_a_picture() {
    let dir = tempdir().unwrap();
    let server = Server::start(dir.path(), "requests==1.0\n").await;
    let visitor = signed_in(&server, "eve", proto::Role::Viewer).await;
    let path = format!("/pin-sets/{SET}/policy?fleet=20&package=requests&to=2.0");
    let page = visitor.get(&path).await;
    assert!(
        page.body.contains("Mon Tue Wed Thu Fri 09:00-17:00 UTC"),
        "{}",
        page.body
    );
    assert!(
        page.body
            .contains("requests 1.0 -&gt; 2.0: major, no override matches"),
        "{}",
        page.body
    );
    assert!(page.body.contains("It is being computed"), "{}", page.body);
    let mut waited = Duration::ZERO;
    let page = loop {
        let page = visitor.get(&path).await;
        if page.body.contains("/simulations/") {
            break page;
        }
        assert!(waited < Duration::from_secs(60), "{}", page.body);
        waited += Duration::from_millis(200);
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    let (_, rest) = page.body.split_once("src=\"/simulations/").unwrap();
    let name = rest.split('"').next().unwrap();
    let picture = visitor.get(&format!("/simulations/{name}")).await;
    assert_eq!(picture.header("content-type"), "image/svg+xml");
    assert!(picture.body.contains("What the policy would do"));
    let nobody = Visitor::new(server.app.address);
    assert_eq!(
        nobody.get(&format!("/simulations/{name}")).await.status,
        303
    );
    assert_eq!(visitor.get("/simulations/none.svg").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pin_set_is_made_and_its_pins_are_imported_next() {
    let dir = tempdir().unwrap();
    let server = Server::start(dir.path(), "requests==1.0\n").await;
    let manager = Visitor::signed_in(server.app.address, &server.manager).await;
    let page = manager.get("/").await;
    let form = |name| {
        [
            ("csrf", page.field("csrf")),
            ("name", name),
            ("ecosystem", "cargo"),
        ]
    };
    let made = manager.post("/pin-sets", &form("crates"), "").await;
    assert_eq!(made.header("location"), "/pin-sets/crates/import");
    let shown = manager.get("/pin-sets/crates").await;
    assert!(shown.body.contains("It has no pins yet."), "{}", shown.body);
    assert_eq!(
        manager.post("/pin-sets", &form("crates"), "").await.status,
        409
    );
    assert_eq!(manager.post("/pin-sets", &form("No"), "").await.status, 400);
    let viewer = signed_in(&server, "eve", proto::Role::Viewer).await;
    let page = viewer.get("/").await;
    assert!(!page.body.contains("Make a pin set"));
    let form = [
        ("csrf", page.field("csrf")),
        ("name", "x"),
        ("ecosystem", "cargo"),
    ];
    assert_eq!(viewer.post("/pin-sets", &form, "").await.status, 403);
}
