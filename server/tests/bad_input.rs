//! Bad input gets a clear error with the right status, says what to do next, and changes nothing.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

use pinion_proto::v1 as proto;
use pinion_proto::v1::Outcome::{Failed, Passed};
use pinion_proto::v1::environment_service_client::EnvironmentServiceClient;
use pinion_proto::v1::pin_service_client::PinServiceClient;
use support::{SET, Server, uuid_at, with_token};
use tempfile::tempdir;
use tonic::{Code, Status};
use tonic_types::StatusExt;

const PINS: &str =
    "requests==2.0\nenum34==1.0;python_version=='2.7'\nenum34==1.1;python_version>='3'\n";

async fn server(dir: &tempfile::TempDir) -> Server {
    Server::start(dir.path(), PINS).await
}

fn says(status: &Status, code: Code, words: &[&str]) {
    assert_eq!(status.code(), code, "{status}");
    for word in words {
        assert!(
            status.message().contains(word),
            "`{word}` is not in: {}",
            status.message()
        );
    }
    assert!(
        status.get_details_error_info().is_some(),
        "details for programs: {status:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rollouts_that_make_no_sense_are_refused() {
    let dir = tempdir().unwrap();
    let server = server(&dir).await;
    let refused = async |package: &str, version: &str| {
        server.start_rollout(package, version).await.unwrap_err()
    };
    says(
        &refused("nonesuch", "1.0").await,
        Code::NotFound,
        &["nonesuch", "pin-set show"],
    );
    says(
        &refused("requests", "1.9").await,
        Code::FailedPrecondition,
        &["not newer", "--allow-downgrade"],
    );
    says(
        &refused("requests", "2.0.0").await,
        Code::FailedPrecondition,
        &["baseline"],
    );
    says(
        &refused("requests", "latest").await,
        Code::InvalidArgument,
        &["latest", "candidates[0].version"],
    );
    says(
        &refused("re quests", "3.0").await,
        Code::InvalidArgument,
        &["candidates[0].package"],
    );
    says(
        &refused("enum34", "2.0").await,
        Code::InvalidArgument,
        &["2 pins", "python_version=='2.7'"],
    );
    server
        .start_rollout_of(&[("requests", "1.9")], true)
        .await
        .expect("a deliberate downgrade");
    says(
        &refused("requests", "3.0").await,
        Code::FailedPrecondition,
        &["open rollout", "abort"],
    );
    let twice = server
        .start_rollout_of(&[("enum34", "9"), ("enum34", "9")], false)
        .await
        .unwrap_err();
    assert_eq!(twice.code(), Code::InvalidArgument);
    assert!(server.start_rollout_of(&[], false).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_exist_and_what_is_stale_is_said() {
    let dir = tempdir().unwrap();
    let server = server(&dir).await;
    let mut sets = server.sets();
    let unknown = sets
        .get_pin_set(with_token(
            proto::GetPinSetRequest {
                name: "nonesuch".to_owned(),
                ..Default::default()
            },
            &server.manager,
        ))
        .await
        .unwrap_err();
    says(&unknown, Code::NotFound, &["nonesuch", "pin-set list"]);
    let stale = sets
        .import_pins(with_token(
            proto::ImportPinsRequest {
                name: SET.to_owned(),
                content: "a==1\n".to_owned(),
                expected_revision: 1,
                ..Default::default()
            },
            &server.manager,
        ))
        .await
        .unwrap_err();
    says(&stale, Code::Aborted, &["revision 2", "look again"]);
    let id = server.start_rollout("requests", "3.0").await.unwrap().id;
    let request = proto::PauseRolloutRequest {
        id: id.clone(),
        expected_revision: 7,
        ..Default::default()
    };
    let stale = server
        .rollouts()
        .pause_rollout(with_token(request, &server.manager))
        .await
        .unwrap_err();
    assert_eq!(stale.code(), Code::Aborted);
    says(
        &server.pause(&id).await.unwrap_err(),
        Code::FailedPrecondition,
        &["gating", "pause"],
    );
    says(
        &server.pause("ro-0000000000000000").await.unwrap_err(),
        Code::NotFound,
        &["rollout list"],
    );
    says(
        &server.pause("nonsense").await.unwrap_err(),
        Code::InvalidArgument,
        &["16 hexadecimal digits"],
    );
    server.promote(&id, 0.5).await.unwrap();
    says(
        &server.promote(&id, 0.4).await.unwrap_err(),
        Code::InvalidArgument,
        &["never falls"],
    );
    says(
        &server.promote(&id, 1.5).await.unwrap_err(),
        Code::InvalidArgument,
        &["0 to 1"],
    );
    server.abort(&id).await.unwrap();
    says(
        &server.resume(&id).await.unwrap_err(),
        Code::FailedPrecondition,
        &["aborted"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_cannot_be_kept_is_refused_with_its_number_or_kept_verbatim() {
    let dir = tempdir().unwrap();
    let server = server(&dir).await;
    let text =
        "requests==2.0\n-e git+https://example.org/x#egg=x\nflask>=1\nsix==1.0 --hash=sha256:00\n";
    let refused = server.import(SET, text).await.unwrap_err();
    says(
        &refused,
        Code::InvalidArgument,
        &["line 2", "line 3", "line 4", "--keep-unkept"],
    );
    let request = proto::ImportPinsRequest {
        name: SET.to_owned(),
        content: text.to_owned(),
        unkept_lines: proto::UnkeptLines::KeepVerbatim.into(),
        ..Default::default()
    };
    let kept = server
        .sets()
        .import_pins(with_token(request, &server.manager))
        .await
        .unwrap()
        .into_inner();
    let lines: Vec<u32> = kept.unkept_lines.iter().map(|line| line.line).collect();
    assert_eq!(lines, [2, 3, 4]);
    let served = server.pins(&server.team).await.unwrap();
    assert_eq!(
        served.verbatim_lines,
        [
            "-e git+https://example.org/x#egg=x",
            "flask>=1",
            "six==1.0 --hash=sha256:00"
        ]
    );
    assert_eq!(served.pins.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_too_many_or_too_long_to_be_told_whole_are_refused_in_words_that_arrive() {
    let dir = tempdir().unwrap();
    let server = server(&dir).await;
    let hashes = " --hash=sha256:0123456789abcdef".repeat(1000);
    let long = format!("requests==2.0\nsix==1.0{hashes}\n");
    let refused = server.import(SET, &long).await.unwrap_err();
    says(&refused, Code::InvalidArgument, &["1 line", "line 2", "…"]);
    let many: String = (0..500)
        .map(|number| format!("é{number} @ https://example.org/é{number}.whl\n"))
        .collect();
    let refused = server.import(SET, &many).await.unwrap_err();
    says(
        &refused,
        Code::InvalidArgument,
        &["500 lines", "line 1", "more"],
    );
    let request = proto::ImportPinsRequest {
        name: SET.to_owned(),
        content: long,
        unkept_lines: proto::UnkeptLines::KeepVerbatim.into(),
        ..Default::default()
    };
    let refused = server
        .sets()
        .import_pins(with_token(request, &server.manager))
        .await
        .unwrap_err();
    says(&refused, Code::InvalidArgument, &["line 2", "shorten"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_does_not_run_over_an_open_rollout() {
    let dir = tempdir().unwrap();
    let server = server(&dir).await;
    let id = server.start_rollout("requests", "3.0").await.unwrap().id;
    let refused = server.import(SET, "requests==1.5\n").await.unwrap_err();
    says(&refused, Code::FailedPrecondition, &[&id, "--supersede"]);
    let request = proto::ImportPinsRequest {
        name: SET.to_owned(),
        content: "requests==1.5\n".to_owned(),
        supersede: true,
        ..Default::default()
    };
    let done = server
        .sets()
        .import_pins(with_token(request, &server.manager))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(done.superseded_rollouts, std::slice::from_ref(&id));
    assert_eq!(
        server.rollout(&id).await.state(),
        proto::RolloutState::Superseded
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_that_cannot_be_counted_are_refused_whole() {
    let dir = tempdir().unwrap();
    let server = server(&dir).await;
    let environments = server.enroll_many(40).await;
    let token = &environments[0].token;
    let id = server.start_rollout("requests", "3.0").await.unwrap().id;
    server.promote(&id, 0.06).await.unwrap();
    let mut outsider = None;
    for environment in &environments {
        if server.version(&environment.token, "requests").await == "2.0" {
            outsider = Some(environment.token.clone());
        }
    }
    let report = |change: &dyn Fn(&mut proto::Report)| {
        let mut report = server.report(Failed);
        change(&mut report);
        vec![server.report(Passed), report]
    };
    let refused = async |reports| server.send(token, reports).await.unwrap_err();
    let claim = server
        .send(
            &outsider.unwrap(),
            report(&|report| report.rollouts = vec![id.clone()]),
        )
        .await
        .unwrap_err();
    says(
        &claim,
        Code::FailedPrecondition,
        &["reports[1]", "never had the candidate"],
    );
    says(
        &refused(report(&|report| report.report_id = "x".to_owned())).await,
        Code::InvalidArgument,
        &["reports[1].report_id", "UUID"],
    );
    let old = uuid_at(server.clock_minus_days(8));
    says(
        &refused(report(&|report| report.report_id.clone_from(&old))).await,
        Code::InvalidArgument,
        &["7 d"],
    );
    let version_four = uuid::Uuid::new_v4().to_string();
    says(
        &refused(report(&|report| report.report_id.clone_from(&version_four))).await,
        Code::InvalidArgument,
        &["version 7"],
    );
    says(
        &refused(report(&|report| report.category = 0)).await,
        Code::InvalidArgument,
        &["reports[1].category"],
    );
    says(
        &refused(report(&|report| report.category = 5)).await,
        Code::InvalidArgument,
        &["concluded by the server"],
    );
    says(
        &refused(report(&|report| report.outcome = 99)).await,
        Code::InvalidArgument,
        &["reports[1].outcome"],
    );
    says(
        &refused(report(&|report| report.fingerprint = "xyz".to_owned())).await,
        Code::InvalidArgument,
        &["fingerprint"],
    );
    says(
        &refused(report(&|report| {
            report.rollouts = vec!["ro-0000000000000000".to_owned()]
        }))
        .await,
        Code::NotFound,
        &["rollout"],
    );
    let many = (0..101).map(|_| server.report(Passed)).collect();
    says(
        &refused(many).await,
        Code::InvalidArgument,
        &["101", "1 to 100"],
    );
    says(
        &refused(Vec::new()).await,
        Code::InvalidArgument,
        &["1 to 100"],
    );
    server.app.controller.tick().await;
    let evidence = server.rollout(&id).await.evidence.unwrap();
    assert_eq!(
        evidence.exposed.unwrap().reporting + evidence.control.unwrap().reporting,
        0,
        "nothing was kept"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_does_only_what_its_role_allows() {
    let dir = tempdir().unwrap();
    let server = server(&dir).await;
    let viewer = server.token("viewer", proto::Role::Viewer, "").await;
    let elsewhere = server
        .token("elsewhere", proto::Role::ReleaseManager, SET)
        .await;
    let environment = server.enroll(true, "").await;
    let create = |token: &str| {
        with_token(
            proto::CreateRolloutRequest {
                pin_set: SET.to_owned(),
                candidates: vec![proto::Candidate {
                    package: "requests".to_owned(),
                    version: "3.0".to_owned(),
                    ..Default::default()
                }],
                ..Default::default()
            },
            token,
        )
    };
    for token in [&viewer, &environment.token, &server.team] {
        let refused = server
            .rollouts()
            .create_rollout(create(token))
            .await
            .unwrap_err();
        says(&refused, Code::PermissionDenied, &["release-manager"]);
    }
    let anonymous = server
        .rollouts()
        .list_rollouts(proto::ListRolloutsRequest::default())
        .await
        .unwrap_err();
    says(
        &anonymous,
        Code::Unauthenticated,
        &["authorization: Bearer"],
    );
    let wrong = server
        .rollouts()
        .list_rollouts(with_token(
            proto::ListRolloutsRequest::default(),
            "pinion_wrong",
        ))
        .await
        .unwrap_err();
    says(&wrong, Code::Unauthenticated, &["unknown or was revoked"]);
    assert!(
        !wrong.message().contains("pinion_wrong"),
        "an error never shows a token"
    );
    let other_set = proto::CreatePinSetRequest {
        name: "other".to_owned(),
        ecosystem: 1,
        ..Default::default()
    };
    let refused = server
        .sets()
        .create_pin_set(with_token(other_set, &elsewhere))
        .await
        .unwrap_err();
    says(&refused, Code::PermissionDenied, &["`set` only"]);
    says(
        &server.pins(&viewer).await.unwrap_err(),
        Code::PermissionDenied,
        &["environment"],
    );
    let spy = proto::ExplainPinsRequest {
        package: "requests".to_owned(),
        environment: environment.id.clone(),
        ..Default::default()
    };
    let another = server.enroll(true, "").await;
    let refused = PinServiceClient::new(server.channel.clone())
        .explain_pins(with_token(spy, &another.token))
        .await
        .unwrap_err();
    says(&refused, Code::PermissionDenied, &["viewer"]);
    let meddle = proto::UpdateEnvironmentRequest {
        id: environment.id,
        reporting: Some(false),
        ..Default::default()
    };
    let refused = EnvironmentServiceClient::new(server.channel.clone())
        .update_environment(with_token(meddle, &another.token))
        .await;
    assert_eq!(refused.unwrap_err().code(), Code::PermissionDenied);
}

#[tokio::test(flavor = "multi_thread")]
async fn pin_sets_that_make_no_sense_are_refused() {
    let dir = tempdir().unwrap();
    let server = server(&dir).await;
    let create = async |name: &str, policy: proto::Policy| {
        server.create_set(name, policy, None).await.unwrap_err()
    };
    says(
        &create(SET, proto::Policy::default()).await,
        Code::AlreadyExists,
        &["another name"],
    );
    says(
        &create("Bad Name", proto::Policy::default()).await,
        Code::InvalidArgument,
        &["a-z, 0-9"],
    );
    let policy = proto::Policy {
        stages: vec![0.5, 0.1],
        ..Default::default()
    };
    says(
        &create("new", policy).await,
        Code::InvalidArgument,
        &["strictly rising"],
    );
    let calendar = proto::Calendar {
        time_zone: "Mars/Olympus".to_owned(),
        ..Default::default()
    };
    let policy = proto::Policy {
        calendar: Some(calendar),
        ..Default::default()
    };
    says(
        &create("new", policy).await,
        Code::InvalidArgument,
        &["Mars/Olympus", "Europe/Berlin"],
    );
    let source = proto::Source {
        forge: "nowhere".to_owned(),
        branch: "master".to_owned(),
        path: "x".to_owned(),
        ..Default::default()
    };
    let refused = server
        .create_set("new", proto::Policy::default(), Some(source))
        .await
        .unwrap_err();
    says(&refused, Code::InvalidArgument, &["nowhere", "configured"]);
    let binary = server.import(SET, "a==1\n\u{0}\u{1}").await.unwrap_err();
    says(&binary, Code::InvalidArgument, &["control character"]);
}
