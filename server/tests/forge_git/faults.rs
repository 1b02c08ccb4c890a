//! What the forge does when servers, networks, disks or processes fail.

use std::path::Path;
use std::time::Duration;

use pinion_server::forge::{Error, FiledOutcome, ForgeConfig, open};

use super::repository::{BEFORE, PINS, Repository, config_at, forge_at};
use super::server::{answering, silent};
use super::{file_afresh, forge, retry, stopped, work};

#[tokio::test]
async fn what_a_killed_server_left_behind_is_finished() {
    let (repository, work) = (Repository::new(), work());
    let change = repository.rollback();
    let forge = forge(&repository, &work);
    repository.hook("pre-receive", Some("exit 1"));
    let refused = stopped(forge.ensure_change(&change).await);
    assert!(refused.contains("pre-receive hook declined"), "{refused}");
    assert_eq!(repository.branch(&change.head), None);
    repository.hook("pre-receive", None);
    let own = work.path().join("pins/repository");
    std::fs::write(own.join("pinion-index/index.lock"), "").expect("a stale lock");
    let filed = forge.ensure_change(&change).await.expect("filed");
    assert_eq!(filed.outcome, FiledOutcome::Created);
    assert_eq!(
        file_afresh(&repository, &change).await,
        (filed.commit, FiledOutcome::Existed)
    );
}

#[tokio::test]
async fn a_damaged_or_locked_workspace_is_made_afresh() {
    let (repository, work) = (Repository::new(), work());
    let change = repository.rollback();
    let forge = forge(&repository, &work);
    forge.read("master", PINS).await.expect("a tip");
    let own = work.path().join("pins/repository");
    std::fs::write(own.join("shallow.lock"), "").expect("a stale lock");
    repository.commit("master", &[("README", b"moved")]);
    forge.read("master", PINS).await.expect("a tip");
    assert!(!own.join("shallow.lock").exists());
    std::fs::remove_dir_all(own.join("objects")).expect("objects");
    std::fs::create_dir(own.join("objects")).expect("no objects");
    assert_eq!(
        forge.ensure_change(&change).await.expect("filed").outcome,
        FiledOutcome::Created
    );
    // What a server leaves behind that was killed while git made the repository.
    std::fs::remove_dir_all(own.join("objects")).expect("objects");
    std::fs::remove_dir_all(own.join("refs")).expect("refs");
    forge.read("master", PINS).await.expect("a tip");
    std::fs::remove_dir_all(work.path()).expect("all of the workspace");
    assert_eq!(
        forge.ensure_change(&change).await.expect("filed").outcome,
        FiledOutcome::Existed
    );
}

#[tokio::test]
async fn a_workspace_with_many_packs_is_made_afresh() {
    let (repository, work) = (Repository::new(), work());
    let forge = forge(&repository, &work);
    forge.read("master", PINS).await.expect("a tip");
    let packs = work.path().join("pins/repository/objects/pack");
    for number in 0..402 {
        std::fs::write(packs.join(format!("pack-{number}.keep")), "").expect("a file");
    }
    assert_eq!(
        forge.read("master", PINS).await.expect("a tip").bytes,
        BEFORE
    );
    assert!(std::fs::read_dir(packs).expect("packs").count() < 10);
}

#[tokio::test]
async fn a_push_whose_answer_is_lost_is_found_by_looking_again() {
    let (repository, work) = (Repository::new(), work());
    let change = repository.rollback();
    repository.hook("post-receive", Some("exec sleep 30"));
    let forge = forge_at(&repository.url(), work.path(), 3);
    let started = std::time::Instant::now();
    let filed = forge.ensure_change(&change).await.expect("filed");
    assert!(
        started.elapsed() >= Duration::from_secs(3),
        "the push was answered"
    );
    assert_eq!(
        (filed.outcome, filed.answer.as_str()),
        (FiledOutcome::Created, "the branch holds it")
    );
}

#[tokio::test]
async fn a_silent_server_is_given_up_and_its_connection_closed() {
    let (address, closed) = silent().await;
    let work = work();
    let forge = forge_at(&format!("http://{address}/pins.git"), work.path(), 1);
    let answer = retry(forge.read("master", PINS).await);
    assert!(answer.contains("no answer within 1 s"), "{answer}");
    let closed = tokio::time::timeout(Duration::from_secs(10), closed).await;
    closed
        .expect("the connection is closed")
        .expect("git connected");
}

#[tokio::test]
async fn nobody_listening_is_a_passing_fault() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let work = work();
    retry(
        forge_at(&format!("http://{address}/pins.git"), work.path(), 20)
            .read("master", PINS)
            .await,
    );
}

#[tokio::test]
async fn passwords_go_to_the_server_and_into_no_error() {
    let work = work();
    for (status, is_passing) in [
        ("401 No", false),
        ("403 No", false),
        ("503 Later", true),
        ("302 There", false),
    ] {
        let (address, asked) = answering(status).await;
        let password = work.path().join("password");
        std::fs::write(&password, "s3cr@t\n").expect("a file");
        let config = ForgeConfig {
            user: Some("eve".into()),
            password_file: Some(password.clone()),
            ..config_at(&format!("http://{address}/pins.git"), 20)
        };
        let forge = open(&config, &work.path().join("forges")).expect("a forge");
        let error = forge
            .read("master", PINS)
            .await
            .expect_err("the server refuses");
        assert_eq!(
            matches!(error, Error::Retry { .. }),
            is_passing,
            "{status}: {error}"
        );
        for shown in [
            format!("{error} {error:?}"),
            format!("{forge:?}"),
            files_under(&work.path().join("forges")),
        ] {
            assert!(
                !shown.contains("s3cr") && !shown.contains("ZXZlOnMzY3JAdA=="),
                "{shown}"
            );
        }
        let request = asked.await.expect("git asked").to_lowercase();
        assert!(
            request.contains("authorization: basic zxzlonmzy3jada=="),
            "{request}"
        );
    }
}

#[tokio::test]
async fn a_server_that_asks_to_wait_is_given_a_minute() {
    let (address, _asked) = answering("429 Slowly").await;
    let work = work();
    let error = forge_at(&format!("http://{address}/pins.git"), work.path(), 20)
        .read("master", PINS)
        .await;
    assert_eq!(
        error.expect_err("a limit").retry_after(),
        Some(Duration::from_secs(60))
    );
}

/// Runs itself again without `PATH`, since a test cannot change it for itself alone.
#[tokio::test]
async fn a_missing_git_is_named() {
    const AGAIN: &str = "PINION_TEST_WITHOUT_GIT";
    if std::env::var_os(AGAIN).is_none() {
        let this = std::env::current_exe().expect("this test");
        let mut again = std::process::Command::new(this);
        again
            .args(["--exact", "faults::a_missing_git_is_named"])
            .env(AGAIN, "1")
            .env("PATH", "/nonexistent");
        return assert!(again.status().expect("this test runs").success());
    }
    let work = work();
    let answer = stopped(
        forge_at("/nonexistent", work.path(), 20)
            .read("master", PINS)
            .await,
    );
    assert!(
        answer.contains("`git` was not found; install git"),
        "{answer}"
    );
}

/// Everything that lies in the folder, as text.
fn files_under(folder: &Path) -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        text += &match path.is_dir() {
            true => files_under(&path),
            false => String::from_utf8_lossy(&std::fs::read(&path).expect("a file")).into_owned(),
        };
    }
    text
}
