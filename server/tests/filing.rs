//! A rollback is filed once, whatever happens between the decision and the push.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use pinion_proto::v1 as proto;
use support::{DAY, HOUR, Server};
use tempfile::tempdir;

const FILE: &str = "# pins\nrequests===2.0  # the new one\nsix===1.0\n";

fn git(dir: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=Dev", "-c", "user.email=dev@example.org"])
        .args(arguments)
        .current_dir(dir)
        .output()
        .expect("git is installed: the project needs it");
    assert!(
        output.status.success(),
        "git {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A bare repository whose `master` has [`FILE`].
fn repository(dir: &Path) -> String {
    let work = dir.join("work");
    std::fs::create_dir_all(&work).unwrap();
    git(&work, &["init", "--quiet", "--initial-branch=master", "."]);
    std::fs::write(work.join("upper-constraints.txt"), FILE).unwrap();
    git(&work, &["add", "."]);
    git(&work, &["commit", "--quiet", "-m", "Update constraints"]);
    git(dir, &["clone", "--quiet", "--bare", "work", "pins.git"]);
    format!("file://{}", dir.join("pins.git").display())
}

fn branches(dir: &Path) -> Vec<String> {
    let listed = git(
        &dir.join("pins.git"),
        &["for-each-ref", "--format=%(refname:short)", "refs/heads"],
    );
    listed.lines().map(str::to_owned).collect()
}

async fn filing(server: &Server, id: &str, state: &str) -> proto::Filing {
    for _ in 0..600 {
        // A filing that waits for its next try is due once the clock has moved.
        server.clock.advance(Duration::from_secs(5));
        let filing = server.rollout(id).await.filing.expect("a filing");
        if filing.state == state {
            return filing;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("never {state}: {:?}", server.rollout(id).await.filing);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_ends_between_decision_and_push_files_exactly_one_commit_after_its_restart() {
    let dir = tempdir().unwrap();
    let url = repository(dir.path());
    let server = Server::start_with(
        &dir.path().join("data"),
        "requests==1.0\nsix==1.0\n",
        Some(&url),
    )
    .await;
    let id = server.start_rollout("requests", "2.0").await.unwrap().id;
    // The repository cannot be reached when the rollback is decided.
    std::fs::rename(dir.path().join("pins.git"), dir.path().join("away.git")).unwrap();
    let rollout = server.roll_back(&id).await.unwrap();
    assert_eq!(rollout.filing.unwrap().commit, "", "decided, not pushed");
    // It is back before the next start: a filing that stops is looked at again by the start after that only.
    let back =
        || std::fs::rename(dir.path().join("away.git"), dir.path().join("pins.git")).unwrap();
    let server = server.restart_after(back).await;
    let filed = filing(&server, &id, "filed").await;
    assert_eq!(branches(dir.path()), ["master", filed.branch.as_str()]);
    let pins = dir.path().join("pins.git");
    assert_eq!(
        git(
            &pins,
            &["rev-list", "--count", &format!("master..{}", filed.branch)]
        ),
        "1"
    );
    let file = git(
        &pins,
        &["show", &format!("{}:upper-constraints.txt", filed.branch)],
    );
    assert_eq!(
        file,
        FILE.replace("2.0", "1.0").trim_end(),
        "the intended pin, and no other byte"
    );
    let message = git(&pins, &["log", "-1", "--format=%B", &filed.branch]);
    for words in [
        "roll back requests 2.0 -> 1.0",
        "Reverts-Pin: requests 2.0",
        &format!("Filing-Id: {}", filed.key),
        &id,
    ] {
        assert!(message.contains(words), "`{words}` is not in:\n{message}");
    }

    // Whatever the server forgot after the push: the same again is the same commit.
    let forget = || std::fs::remove_dir_all(dir.path().join("data/forges")).unwrap();
    let server = server.restart_after(forget).await;
    assert_eq!(filing(&server, &id, "filed").await.commit, filed.commit);
    assert_eq!(branches(dir.path()).len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_branch_has_the_good_pin_nothing_is_filed() {
    let dir = tempdir().unwrap();
    let url = repository(dir.path());
    let server = Server::start_with(
        &dir.path().join("data"),
        "requests==2.0\nsix==1.0\n",
        Some(&url),
    )
    .await;
    let id = server.start_rollout("requests", "3.0").await.unwrap().id;
    server.roll_back(&id).await.unwrap();
    let filing = filing(&server, &id, "unneeded").await;
    assert!(
        filing.last_answer.contains("has the version already"),
        "{}",
        filing.last_answer
    );
    assert_eq!(branches(dir.path()), ["master"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_somebody_moved_the_pin_elsewhere_a_person_is_asked() {
    let dir = tempdir().unwrap();
    let url = repository(dir.path());
    let server = Server::start_with(
        &dir.path().join("data"),
        "requests==1.0\nsix==1.0\n",
        Some(&url),
    )
    .await;
    let id = server.start_rollout("requests", "1.5").await.unwrap().id;
    server.roll_back(&id).await.unwrap();
    let filing = filing(&server, &id, "stopped").await;
    assert!(
        filing.last_answer.contains("neither 1.5 nor 1.0"),
        "{}",
        filing.last_answer
    );
    assert_eq!(branches(dir.path()), ["master"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_completed_rollout_writes_its_version_where_the_repository_did_not_start_it() {
    let dir = tempdir().unwrap();
    let url = repository(dir.path());
    let server = Server::start_with(
        &dir.path().join("data"),
        "requests==2.0\nsix==1.0\n",
        Some(&url),
    )
    .await;
    let _fleet = server.enroll_many(8).await;
    let id = server.start_rollout("six", "1.1").await.unwrap().id;
    server.promote(&id, 1.0).await.unwrap();
    server.pass(DAY).await;
    server.pass(HOUR).await;
    assert_eq!(
        server.rollout(&id).await.state(),
        proto::RolloutState::Completed
    );
    let filed = filing(&server, &id, "filed").await;
    assert!(
        filed.branch.starts_with("complete/six-"),
        "{}",
        filed.branch
    );
    let file = git(
        &dir.path().join("pins.git"),
        &["show", &format!("{}:upper-constraints.txt", filed.branch)],
    );
    assert_eq!(file, FILE.replace("six===1.0", "six===1.1").trim_end());
}
