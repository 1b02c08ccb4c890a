//! What is served is worked out once and remembered; whatever changes, it is what would be worked out anew.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use pinion_core::resolve::resolve;
use pinion_proto::v1 as proto;
use pinion_proto::v1::environment_service_client::EnvironmentServiceClient;
use pinion_proto::v1::pin_service_client::PinServiceClient;
use support::{Environment, HOUR, SET, Server, with_token};
use tempfile::tempdir;
use tonic::{Code, Status};

const PINS: &str = "a==1.0\nb==1.0\nc==1.0\nd==1.0\n";
const PACKAGES: [&str; 4] = ["a", "b", "c", "d"];
const CHANGES: usize = 60;

/// Changes something at random; whether it was anything that may be changed now.
async fn change(
    server: &Server,
    rng: &mut fastrand::Rng,
    environments: &[Environment],
    started: &mut Vec<String>,
    minor: &mut u32,
) -> bool {
    let environment = &environments[rng.usize(..environments.len())];
    let package = PACKAGES[rng.usize(..PACKAGES.len())];
    let rollout = match started.is_empty() {
        true => String::new(),
        false => started[rng.usize(..started.len())].clone(),
    };
    *minor += 1;
    let version = format!("1.{minor}");
    match rng.u8(..12) {
        0 => {
            let hold = proto::Hold {
                package: package.to_owned(),
                ..Default::default()
            };
            let request = proto::UpdateEnvironmentRequest {
                replace_holds: true,
                holds: rng.bool().then_some(hold).into_iter().collect(),
                ..Default::default()
            };
            update(server, environment, request).await.is_ok()
        }
        1 => {
            let request = proto::UpdateEnvironmentRequest {
                reporting: Some(rng.u8(..4) > 0),
                repeats: Some(rng.bool()),
                ..Default::default()
            };
            update(server, environment, request).await.is_ok()
        }
        2 => {
            let volunteers = rng.bool().then(|| package.to_owned());
            let request = proto::UpdateEnvironmentRequest {
                replace_volunteers: true,
                volunteers: volunteers.into_iter().collect(),
                ..Default::default()
            };
            update(server, environment, request).await.is_ok()
        }
        3 => {
            let request = proto::UpdateEnvironmentRequest {
                draw_key: Some(format!("key-{}", rng.u8(..3))),
                ..Default::default()
            };
            update(server, environment, request).await.is_ok()
        }
        4..=6 => match start(server, rng, package, &version).await {
            Ok(id) => {
                started.push(id);
                true
            }
            Err(_) => false,
        },
        7 => server.promote(&rollout, rng.f64()).await.is_ok(),
        8 => server.pause(&rollout).await.is_ok() && server.resume(&rollout).await.is_ok(),
        9 => match rng.bool() {
            true => server.abort(&rollout).await.is_ok(),
            false => server.roll_back(&rollout).await.is_ok(),
        },
        10 => {
            let line = |name: &&str| {
                format!(
                    "{name}=={}\n",
                    if *name == package { &version } else { "1.0" }
                )
            };
            let content: String = PACKAGES.iter().map(line).collect();
            server.import_at_once(SET, &content).await.is_ok()
        }
        _ => {
            server.pass(HOUR).await;
            true
        }
    }
}

async fn start(
    server: &Server,
    rng: &mut fastrand::Rng,
    package: &str,
    version: &str,
) -> Result<String, Status> {
    let other = PACKAGES[rng.usize(..PACKAGES.len())];
    let requires = (rng.u8(..3) == 0 && other != package).then(|| proto::Requirement {
        package: package.to_owned(),
        needs: format!("{other}>=1.{}", rng.u8(..20)),
    });
    let request = proto::CreateRolloutRequest {
        pin_set: SET.to_owned(),
        candidates: vec![proto::Candidate {
            package: package.to_owned(),
            version: version.to_owned(),
            ..Default::default()
        }],
        requires: requires.into_iter().collect(),
        ..Default::default()
    };
    let created = server
        .rollouts()
        .create_rollout(with_token(request, &server.manager))
        .await?;
    let id = created.into_inner().rollout.expect("a rollout").id;
    // Where nothing begins without a person, one begins it.
    let _ = server.promote(&id, rng.f64()).await;
    Ok(id)
}

async fn update(
    server: &Server,
    environment: &Environment,
    request: proto::UpdateEnvironmentRequest,
) -> Result<(), Status> {
    EnvironmentServiceClient::new(server.channel.clone())
        .update_environment(with_token(request, &environment.token))
        .await?;
    Ok(())
}

/// What is served to an environment, and what follows from the records without anything that was remembered.
async fn compare(server: &Server, environment: &Environment) -> proto::GetPinsResponse {
    let served = server.pins(&environment.token).await.expect("pins");
    let snapshot = server.app.controller.snapshot();
    let id = environment.id.parse().expect("an id");
    let record = &snapshot
        .environment(&id)
        .expect("is enrolled")
        .stored
        .record;
    let entry = snapshot.pin_set(&record.pin_set).expect("a pin set");
    let exposed = snapshot.exposures(record);
    let rollouts: Vec<String> = exposed.iter().map(|one| one.id.to_string()).collect();
    assert_eq!(served.rollouts, rollouts);
    let pins = resolve(&entry.baseline, exposed.iter().map(AsRef::as_ref));
    let words = |package: &str, version: &str| format!("{package}=={version}");
    let anew: Vec<String> = pins
        .iter()
        .map(|pin| words(pin.package.written(), &pin.version.to_string()))
        .collect();
    let told: Vec<String> = served
        .pins
        .iter()
        .map(|pin| words(&pin.package, &pin.version))
        .collect();
    assert_eq!(told, anew);
    assert_eq!(served.revision, entry.stored.record.revision);
    assert_eq!(served.exposures.len(), rollouts.len());
    assert_eq!((served.pin_set.as_str(), served.unchanged), (SET, false));
    served
}

async fn watched(server: &Server, token: &str) -> tonic::Streaming<proto::WatchPinsResponse> {
    let request = with_token(proto::WatchPinsRequest::default(), token);
    let mut client = PinServiceClient::new(server.channel.clone());
    client
        .watch_pins(request)
        .await
        .expect("watches")
        .into_inner()
}

/// The last that a stream tells, once it tells nothing more.
async fn last(stream: &mut tonic::Streaming<proto::WatchPinsResponse>) -> proto::GetPinsResponse {
    let mut last = None;
    while let Ok(told) = tokio::time::timeout(Duration::from_millis(500), stream.message()).await {
        last = told.expect("no error").expect("has not ended").pins;
    }
    last.expect("something was told")
}

#[tokio::test]
async fn what_is_remembered_is_what_would_be_worked_out_anew() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    let dir = tempdir().unwrap();
    let server = Server::start_as(dir.path(), PINS, None, true).await;
    let environments = server.enroll_many(12).await;
    let mut stream = watched(&server, &environments[0].token).await;
    let (mut started, mut minor, mut changed) = (Vec::new(), 0, 0);
    let mut by_etag: BTreeMap<String, Vec<proto::Pin>> = BTreeMap::new();
    let mut combinations = BTreeSet::new();
    for _ in 0..CHANGES {
        let has_changed = change(&server, &mut rng, &environments, &mut started, &mut minor).await;
        changed += usize::from(has_changed);
        for environment in &environments {
            let first = compare(&server, environment).await;
            let again = compare(&server, environment).await;
            assert_eq!(
                (&first.etag, &first.pins, first.repeat_failures),
                (&again.etag, &again.pins, again.repeat_failures)
            );
            let pins = by_etag
                .entry(first.etag)
                .or_insert_with(|| first.pins.clone());
            assert_eq!(*pins, first.pins, "equal etags are equal pins");
            combinations.insert(first.rollouts);
        }
    }
    assert!(
        changed > CHANGES / 4,
        "{changed} of {CHANGES} changes were made"
    );
    assert!(
        combinations.len() > 3,
        "{} combinations",
        combinations.len()
    );
    let told = last(&mut stream).await;
    let now = compare(&server, &environments[0]).await;
    assert_eq!(
        (told.etag, told.pins, told.rollouts),
        (now.etag, now.pins, now.rollouts)
    );
}

#[tokio::test]
async fn who_has_the_pins_is_told_so_and_what_changes_besides() {
    let dir = tempdir().unwrap();
    let server = Server::start_as(dir.path(), PINS, None, true).await;
    let environment = server.enroll(true, "").await;
    let pins = server.pins(&environment.token).await.unwrap();
    let ask = || async {
        let request = proto::GetPinsRequest {
            etag: pins.etag.clone(),
            ..Default::default()
        };
        let mut client = PinServiceClient::new(server.channel.clone());
        let request = with_token(request, &environment.token);
        client.get_pins(request).await.unwrap().into_inner()
    };
    let before = ask().await;
    assert!(before.unchanged && before.pins.is_empty());
    assert_eq!(before.store_revision, pins.store_revision);
    // Another environment changes the store and none of these pins.
    server.enroll(true, "").await;
    let after = ask().await;
    assert!(after.unchanged && after.store_revision > before.store_revision);
    assert_eq!((after.etag, after.revision), (before.etag, before.revision));
}

#[tokio::test]
async fn a_stream_of_a_token_that_is_nobodys_any_more_ends() {
    let dir = tempdir().unwrap();
    let server = Server::start_as(dir.path(), PINS, None, true).await;
    let environment = server.enroll(true, "").await;
    let mut stream = watched(&server, &environment.token).await;
    assert_eq!(
        stream
            .message()
            .await
            .unwrap()
            .unwrap()
            .pins
            .unwrap()
            .pins
            .len(),
        4
    );
    server.leave(&environment).await;
    let refused = stream.message().await.expect_err("it has left");
    assert_eq!(refused.code(), Code::Unauthenticated);
}
