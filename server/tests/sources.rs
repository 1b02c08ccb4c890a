//! Pin sets that follow a file in a repository.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

use std::path::Path;
use std::time::Duration;

use pinion_proto::v1 as proto;
use pinion_server::forge::ForgeConfig;
use support::repository::{branches, git, merge, repository};
use support::{DAY, FORGE, SET, Server, source, with_token};
use tempfile::tempdir;

/// A server whose pin set is empty at first and follows the repository's file.
async fn following(dir: &Path) -> Server {
    let url = repository(dir);
    let secret = dir.join("webhook");
    std::fs::write(&secret, "s3cret\n").unwrap();
    let forge = ForgeConfig {
        webhook_secret_file: Some(secret),
        ..ForgeConfig::git(FORGE.parse().unwrap(), &url)
    };
    let file = proto::Source {
        follow: true,
        ..source("upper-constraints.txt")
    };
    Server::start_on(&dir.join("data"), "", Some(forge), Some(file), false).await
}

async fn pin_set(server: &Server) -> proto::PinSet {
    let request = proto::GetPinSetRequest {
        name: SET.to_owned(),
        ..Default::default()
    };
    let response = server
        .sets()
        .get_pin_set(with_token(request, &server.manager))
        .await;
    response.unwrap().into_inner().pin_set.unwrap()
}

/// Moves the clock until the file was read at the commit.
async fn read_at(server: &Server, commit: &str) -> proto::Following {
    for _ in 0..300 {
        let following = pin_set(server).await.following;
        if let Some(following) = following.filter(|following| following.commit == commit) {
            return following;
        }
        server.clock.advance(Duration::from_secs(61));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!(
        "never read at {commit}: {:?}",
        pin_set(server).await.following
    );
}

async fn rollouts(server: &Server) -> Vec<proto::Rollout> {
    let request = proto::ListRolloutsRequest {
        pin_set: SET.to_owned(),
        ..Default::default()
    };
    let response = server
        .rollouts()
        .list_rollouts(with_token(request, &server.manager))
        .await;
    response.unwrap().into_inner().rollouts
}

fn tip(dir: &Path) -> String {
    git(&dir.join("pins.git"), &["rev-parse", "master"])
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_pin_set_begins_with_what_the_file_has() {
    let dir = tempdir().unwrap();
    let server = following(dir.path()).await;
    let following = read_at(&server, &tip(dir.path())).await;
    assert_eq!(following.problem, "");
    let someone = server.enroll(true, "").await;
    assert_eq!(server.version(&someone.token, "requests").await, "2.0");
    assert!(rollouts(&server).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merged_bump_becomes_a_rollout_and_files_nothing_when_it_completes() {
    let dir = tempdir().unwrap();
    let server = following(dir.path()).await;
    read_at(&server, &tip(dir.path())).await;
    let _fleet = server.enroll_many(8).await;
    let commit = merge(dir.path(), "requests===2.1\nsix===1.0\n");
    read_at(&server, &commit).await;
    let open = rollouts(&server).await;
    assert_eq!(open.len(), 1);
    assert_eq!(open[0].source_commit, commit);
    assert_eq!(open[0].changes[0].to_version, "2.1");
    let decisions = server.decisions(&open[0].id).await;
    assert!(
        decisions[0]
            .reason
            .contains("`upper-constraints.txt` on `master` has it"),
        "{decisions:?}"
    );
    server.promote(&open[0].id, 1.0).await.unwrap();
    server.pass(DAY).await;
    server.pass(DAY).await;
    let rollout = server.rollout(&open[0].id).await;
    assert_eq!(rollout.state(), proto::RolloutState::Completed);
    assert!(rollout.filing.is_none(), "{:?}", rollout.filing);
    assert_eq!(branches(dir.path()), ["master"]);
    // Read again and again, it starts nothing new.
    let commit = merge(dir.path(), "requests===2.1\nsix===1.0\n# a note\n");
    read_at(&server, &commit).await;
    assert_eq!(rollouts(&server).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bump_that_was_rolled_back_is_reverted_in_the_file_and_not_tried_again() {
    let dir = tempdir().unwrap();
    let server = following(dir.path()).await;
    read_at(&server, &tip(dir.path())).await;
    let commit = merge(dir.path(), "requests===2.1\nsix===1.0\n");
    read_at(&server, &commit).await;
    let id = rollouts(&server).await[0].id.clone();
    server.roll_back(&id).await.unwrap();
    let mut filing = server.rollout(&id).await.filing.unwrap();
    for _ in 0..200 {
        if filing.state == "filed" {
            break;
        }
        server.clock.advance(Duration::from_secs(5));
        tokio::time::sleep(Duration::from_millis(50)).await;
        filing = server.rollout(&id).await.filing.unwrap();
    }
    let file = git(
        &dir.path().join("pins.git"),
        &["show", &format!("{}:upper-constraints.txt", filing.branch)],
    );
    assert_eq!(file, "requests===2.0\nsix===1.0");
    let commit = merge(dir.path(), "requests===2.1\nsix===1.0\n# still\n");
    let following = read_at(&server, &commit).await;
    assert!(
        following.problem.contains("is blocked"),
        "{}",
        following.problem
    );
    assert_eq!(rollouts(&server).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_the_file_no_longer_has_is_taken_back_at_once() {
    let dir = tempdir().unwrap();
    let server = following(dir.path()).await;
    read_at(&server, &tip(dir.path())).await;
    let commit = merge(dir.path(), "requests===2.1\nsix===1.0\n");
    read_at(&server, &commit).await;
    let id = rollouts(&server).await[0].id.clone();
    // Out of the trial.
    let commit = merge(dir.path(), "requests===2.0\nsix===1.0\n");
    read_at(&server, &commit).await;
    let rollout = server.rollout(&id).await;
    assert_eq!(rollout.state(), proto::RolloutState::Aborted);
    assert!(
        rollout.reason.contains("has it no longer"),
        "{}",
        rollout.reason
    );
    // Out of the baseline; pins come and go, too.
    let commit = merge(dir.path(), "requests===1.9\ntooz===3.0\n");
    read_at(&server, &commit).await;
    let someone = server.enroll(true, "").await;
    let pins = server.pins(&someone.token).await.unwrap().pins;
    let pins: Vec<_> = pins
        .iter()
        .map(|pin| (pin.package.as_str(), pin.version.as_str()))
        .collect();
    assert_eq!(pins, [("requests", "1.9"), ("tooz", "3.0")]);
    // Asked for again, it is tried again.
    let commit = merge(dir.path(), "requests===2.1\ntooz===3.0\n");
    read_at(&server, &commit).await;
    assert_eq!(rollouts(&server).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bump_that_a_person_aborted_stays_so_until_a_person_starts_it() {
    let dir = tempdir().unwrap();
    let server = following(dir.path()).await;
    read_at(&server, &tip(dir.path())).await;
    let commit = merge(dir.path(), "requests===2.1\nsix===1.0\n");
    read_at(&server, &commit).await;
    let id = rollouts(&server).await[0].id.clone();
    server.abort(&id).await.unwrap();
    let commit = merge(dir.path(), "requests===2.1\nsix===1.0\n# still\n");
    let following = read_at(&server, &commit).await;
    assert!(
        following.problem.contains("aborted rollout"),
        "{}",
        following.problem
    );
    assert_eq!(rollouts(&server).await.len(), 1);
    server.start_rollout("requests", "2.1").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bump_that_was_played_in_shadow_is_tried_once_shadow_ends() {
    let dir = tempdir().unwrap();
    let server = following(dir.path()).await;
    read_at(&server, &tip(dir.path())).await;
    set_shadow(&server, true).await;
    let _fleet = server.enroll_many(8).await;
    let commit = merge(dir.path(), "requests===2.1\nsix===1.0\n");
    read_at(&server, &commit).await;
    let id = rollouts(&server).await[0].id.clone();
    server.promote(&id, 1.0).await.unwrap();
    server.pass(DAY).await;
    server.pass(DAY).await;
    assert_eq!(
        server.rollout(&id).await.state(),
        proto::RolloutState::Completed
    );
    let commit = merge(dir.path(), "requests===2.1\nsix===1.0\n# still\n");
    let following = read_at(&server, &commit).await;
    let problem = following.problem;
    assert!(problem.contains("was played in shadow"), "{problem}");
    assert_eq!(rollouts(&server).await.len(), 1);

    set_shadow(&server, false).await;
    let commit = merge(dir.path(), "requests===2.1\nsix===1.0\n# real\n");
    read_at(&server, &commit).await;
    let open = rollouts(&server).await;
    assert_eq!(open.len(), 2);
    assert!(!open[0].shadow);
}

async fn set_shadow(server: &Server, shadow: bool) {
    let request = proto::UpdatePinSetRequest {
        name: SET.to_owned(),
        policy: Some(proto::Policy {
            shadow,
            ..Default::default()
        }),
        ..Default::default()
    };
    let request = with_token(request, &server.manager);
    server.sets().update_pin_set(request).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spoiled_file_changes_nothing_and_is_told() {
    let dir = tempdir().unwrap();
    let server = following(dir.path()).await;
    let many: String = (0..20).map(|i| format!("pkg{i:02}===1.0\n")).collect();
    let commit = merge(dir.path(), &many);
    read_at(&server, &commit).await;
    let commit = merge(dir.path(), "pkg00===1.0\n");
    let following = read_at(&server, &commit).await;
    assert!(
        following.problem.contains("19 of 20 pins"),
        "{}",
        following.problem
    );
    assert_eq!(pin_set(&server).await.pin_count, 20);
    // A file that cannot be read leaves what was read last, and says so.
    git(
        &dir.path().join("pins.git"),
        &["update-ref", "-d", "refs/heads/master"],
    );
    for _ in 0..100 {
        server.clock.advance(Duration::from_secs(61));
        tokio::time::sleep(Duration::from_millis(50)).await;
        let following = pin_set(&server).await.following.unwrap();
        if following.problem.contains("couldn't find remote ref") {
            assert_eq!(following.commit, commit);
            return;
        }
    }
    panic!("{:?}", pin_set(&server).await.following);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_message_of_the_forge_makes_it_read_at_once() {
    let dir = tempdir().unwrap();
    let server = following(dir.path()).await;
    read_at(&server, &tip(dir.path())).await;
    let commit = merge(dir.path(), "requests===2.1\nsix===1.0\n");
    let post = |path: &str, token: &str| {
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nX-Gitlab-Token: {token}\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}"
        );
        let address = server.app.address;
        async move {
            use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
            let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            answer.split(' ').nth(1).unwrap_or_default().to_owned()
        }
    };
    assert_eq!(post("/hooks/requirements", "wrong").await, "401");
    assert_eq!(post("/hooks/other", "s3cret").await, "404");
    assert_eq!(post("/hooks/requirements", "s3cret").await, "204");
    for _ in 0..200 {
        // The clock stands still.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let following = pin_set(&server).await.following.unwrap();
        if following.commit == commit {
            return;
        }
    }
    panic!("not read: {:?}", pin_set(&server).await.following);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_place_waits_with_the_imported_and_goes_when_the_file_loses_it() {
    let dir = tempdir().unwrap();
    let server = following(dir.path()).await;
    read_at(&server, &tip(dir.path())).await;
    let request = proto::UpdatePinSetRequest {
        name: SET.to_owned(),
        policy: Some(proto::Policy {
            open_rollouts_max: Some(1),
            ..Default::default()
        }),
        ..Default::default()
    };
    let mut sets = server.sets();
    let update = sets.update_pin_set(with_token(request, &server.manager));
    update.await.unwrap();
    let commit = merge(dir.path(), "requests===2.1\nsix===1.1\n");
    let following = read_at(&server, &commit).await;
    assert!(
        following.problem.contains("1 newer versions wait"),
        "{}",
        following.problem
    );
    let waiting = server.waiting().await;
    assert_eq!(waiting[0].changes[0].package, "six");
    let asked_in = format!("upper-constraints.txt at {}", &commit[..12]);
    assert_eq!(waiting[0].asked_in, asked_in);
    // A person's import of a newer one waits in its place; the file does not take it back.
    server
        .import(SET, "requests===2.0\nsix===1.2\n")
        .await
        .unwrap();
    let commit = merge(dir.path(), "requests===2.1\nsix===1.1\n# still\n");
    read_at(&server, &commit).await;
    let waiting = server.waiting().await;
    assert_eq!(
        (waiting.len(), &*waiting[0].changes[0].to_version),
        (1, "1.2")
    );
    assert_eq!(waiting[0].asked_by, "manager");
    let drop = proto::DropWantedRequest {
        pin_set: SET.to_owned(),
        packages: vec!["six".to_owned()],
    };
    let dropped = sets.drop_wanted(with_token(drop, &server.manager)).await;
    assert_eq!(dropped.unwrap().into_inner().dropped, ["six==1.2"]);
    let commit = merge(dir.path(), "requests===2.1\nsix===1.1\n# again\n");
    read_at(&server, &commit).await;
    assert_eq!(server.waiting().await.len(), 1);
    let commit = merge(dir.path(), "requests===2.1\nsix===1.0\n");
    read_at(&server, &commit).await;
    assert!(server.waiting().await.is_empty());
    assert_eq!(rollouts(&server).await.len(), 1);
}
