//! The plain-git forge, against real repositories.

#[path = "forge_git/faults.rs"]
mod faults;
#[path = "forge_git/repository.rs"]
mod repository;
#[path = "forge_git/server.rs"]
mod server;

use std::sync::Arc;

use pinion_server::forge::{
    Change, ChangeState, Error, FileEdit, FiledChange, FiledOutcome, Finding, Forge, Target,
};
use tempfile::TempDir;

use self::repository::{AFTER, BEFORE, PINS, Repository, forge_at};

fn work() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn forge(repository: &Repository, work: &TempDir) -> Arc<dyn Forge> {
    forge_at(&repository.url(), work.path(), 60)
}

/// Files the change with a forge that has never worked before.
async fn file_afresh(repository: &Repository, change: &Change) -> (String, FiledOutcome) {
    let filed = forge(repository, &work())
        .ensure_change(change)
        .await
        .expect("filed");
    (filed.commit, filed.outcome)
}

fn stopped<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    match result {
        Err(Error::Stopped { answer }) => answer,
        other => panic!("expected a stop, got {other:?}"),
    }
}

fn retry<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    match result {
        Err(Error::Retry { answer, .. }) => answer,
        other => panic!("expected a retry, got {other:?}"),
    }
}

#[tokio::test]
async fn the_tip_and_the_exact_bytes_of_the_file_are_read() {
    let (repository, work) = (Repository::new(), work());
    let forge = forge(&repository, &work);
    let first = forge.read("master", PINS).await.expect("a tip");
    assert_eq!(first.bytes, BEFORE);
    assert_eq!(Some(first.commit), repository.branch("master"));
    let moved = repository.commit("master", &[(PINS, b"\0new\r")]);
    let second = forge.read("master", PINS).await.expect("a tip");
    assert_eq!((second.commit, second.bytes), (moved, b"\0new\r".to_vec()));
}

#[tokio::test]
async fn a_change_is_one_commit_with_exactly_its_edit_and_its_words() {
    let (repository, work) = (Repository::new(), work());
    let change = repository.rollback();
    let filed = forge(&repository, &work)
        .ensure_change(&change)
        .await
        .expect("filed");
    assert_eq!(
        (filed.outcome, &filed.branch),
        (FiledOutcome::Created, &change.head)
    );
    assert_eq!(repository.branch(&change.head), Some(filed.commit.clone()));
    assert_eq!(repository.file(&filed.commit, PINS), AFTER);
    let difference = [
        "-c",
        "core.quotePath=false",
        "diff-tree",
        "-r",
        "--name-status",
        &change.parent,
        &filed.commit,
    ];
    assert_eq!(repository.git(&difference), format!("M\t{PINS}"));
    let raw = repository.git(&["cat-file", "commit", &filed.commit]);
    let (header, message) = raw.split_once("\n\n").expect("a message");
    let person = "Pinion <pinion@example.org> 1772446500 +0000";
    assert!(
        header.ends_with(&format!(
            "\nparent {}\nauthor {person}\ncommitter {person}",
            change.parent
        )),
        "{header}"
    );
    assert_eq!(message, format!("{}\n\n{}", change.subject, change.body));
}

#[tokio::test]
async fn the_same_change_is_the_same_commit_on_every_try_and_every_server() {
    let (repository, work) = (Repository::new(), work());
    let change = repository.rollback();
    let forge = forge(&repository, &work);
    let first = forge.ensure_change(&change).await.expect("filed");
    let again = forge.ensure_change(&change).await.expect("filed");
    assert_eq!(
        (again.commit, again.outcome),
        (first.commit.clone(), FiledOutcome::Existed)
    );
    assert_eq!(
        file_afresh(&repository, &change).await,
        (first.commit.clone(), FiledOutcome::Existed)
    );
    repository.git(&["branch", "-D", &change.head]);
    assert_eq!(
        file_afresh(&repository, &change).await,
        (first.commit, FiledOutcome::Created)
    );
    assert_eq!(repository.branches(), ["master", change.head.as_str()]);
}

#[tokio::test]
async fn two_at_once_file_one_commit() {
    let (repository, one, two) = (Repository::new(), work(), work());
    let change = repository.rollback();
    let two = forge_at(&format!("file://{}", repository.url()), two.path(), 60);
    let one = forge(&repository, &one);
    let (a, b, c) = tokio::join!(
        one.ensure_change(&change),
        one.ensure_change(&change),
        two.ensure_change(&change)
    );
    let (a, b, c) = (a.expect("filed"), b.expect("filed"), c.expect("filed"));
    assert_eq!((&a.commit, &b.commit), (&b.commit, &c.commit));
    assert_eq!(repository.branches(), ["master", change.head.as_str()]);
    assert_eq!(
        repository.git(&["rev-list", "--count", &format!("master..{}", change.head)]),
        "1"
    );
}

#[tokio::test]
async fn what_a_person_pushed_is_left_alone() {
    let (repository, work) = (Repository::new(), work());
    let change = repository.rollback();
    let theirs = repository.commit(&change.head, &[("README", b"theirs")]);
    let answer = stopped(forge(&repository, &work).ensure_change(&change).await);
    assert!(
        answer.contains("a person pushed") && answer.contains(&theirs),
        "{answer}"
    );
    assert_eq!(repository.branch(&change.head), Some(theirs));
}

#[tokio::test]
async fn what_a_person_pushes_at_the_same_moment_is_left_alone() {
    let (repository, work) = (Repository::new(), work());
    let change = repository.rollback();
    let theirs = repository.commit("theirs", &[("README", b"theirs")]);
    let push = format!("git update-ref refs/heads/{} {theirs}", change.head);
    repository.hook(
        "pre-receive",
        Some(&format!("unset GIT_QUARANTINE_PATH; {push}")),
    );
    let answer = stopped(forge(&repository, &work).ensure_change(&change).await);
    assert!(answer.contains("a person pushed"), "{answer}");
    assert_eq!(repository.branch(&change.head), Some(theirs));
}

#[tokio::test]
async fn a_branch_in_the_way_is_named() {
    let (repository, work) = (Repository::new(), work());
    repository.commit("rollback", &[("README", b"theirs")]);
    let answer = stopped(
        forge(&repository, &work)
            .ensure_change(&repository.rollback())
            .await,
    );
    assert!(
        answer.contains("the branch `rollback` is in the way"),
        "{answer}"
    );
}

#[tokio::test]
async fn the_change_is_built_on_the_recorded_parent_when_the_branch_has_moved_on() {
    let (repository, work) = (Repository::new(), work());
    let change = repository.rollback();
    repository.commit("master", &[(PINS, b"other")]);
    repository.commit("master", &[("README", b"more")]);
    let filed = forge(&repository, &work)
        .ensure_change(&change)
        .await
        .expect("filed");
    assert_eq!(
        repository.git(&["rev-parse", &format!("{}^", filed.commit)]),
        change.parent
    );
    assert_eq!(repository.file(&filed.commit, PINS), AFTER);
    assert_eq!(repository.file(&filed.commit, "README"), b"pins\n");
}

#[tokio::test]
async fn a_server_that_gives_no_single_commits_is_asked_for_the_branch() {
    let (repository, work) = (Repository::new(), work());
    let change = repository.rollback();
    repository.commit("master", &[(PINS, b"other")]);
    let forge = forge(&repository, &work);
    forge.read("master", PINS).await.expect("a tip");
    // In its older protocol git gives single commits only where a branch ends.
    let own = work.path().join("pins/repository/config");
    let config = std::fs::read_to_string(&own).expect("a config") + "[protocol]\nversion = 0\n";
    std::fs::write(&own, &config).expect("a config");
    let filed = forge.ensure_change(&change).await.expect("filed");
    assert_eq!(
        repository.git(&["rev-parse", &format!("{}^", filed.commit)]),
        change.parent
    );
    assert_eq!(
        std::fs::read_to_string(&own).expect("a config"),
        config,
        "the workspace was made afresh"
    );
}

#[tokio::test]
async fn a_parent_that_is_gone_stops_the_filing() {
    let (repository, work) = (Repository::new(), work());
    let change = Change {
        parent: "1".repeat(40),
        ..repository.rollback()
    };
    let answer = stopped(forge(&repository, &work).ensure_change(&change).await);
    assert!(answer.contains("no longer part of `master`"), "{answer}");
}

#[tokio::test]
async fn a_change_that_the_branch_took_as_it_is_exists() {
    let (repository, work) = (Repository::new(), work());
    let change = repository.rollback();
    let (commit, _) = file_afresh(&repository, &change).await;
    repository.git(&["update-ref", "refs/heads/master", &commit]);
    repository.git(&["branch", "-D", &change.head]);
    let filed = forge(&repository, &work)
        .ensure_change(&change)
        .await
        .expect("filed");
    assert_eq!(
        (filed.commit, filed.outcome),
        (commit, FiledOutcome::Existed)
    );
    assert_eq!(repository.branches(), ["master"]);
}

#[tokio::test]
async fn modes_stay_as_they_are() {
    let (repository, work) = (Repository::new(), work());
    let mut change = repository.rollback();
    change.edits.push(FileEdit {
        path: "run.sh".into(),
        bytes: b"#!/bin/sh\nexit 1\n".to_vec(),
    });
    let filed = forge(&repository, &work)
        .ensure_change(&change)
        .await
        .expect("filed");
    assert!(
        repository
            .git(&["ls-tree", &filed.commit, "run.sh"])
            .starts_with("100755 ")
    );
    assert!(
        repository
            .git(&["ls-tree", &filed.commit, PINS])
            .starts_with("100644 ")
    );
    assert_eq!(
        repository.file(&filed.commit, "run.sh"),
        b"#!/bin/sh\nexit 1\n"
    );
}

#[tokio::test]
async fn missing_things_are_named_and_stop_the_filing() {
    let (repository, work) = (Repository::new(), work());
    let forge = forge(&repository, &work);
    let change = repository.rollback();
    assert!(stopped(forge.read("nope", PINS).await).contains("refs/heads/nope"));
    assert!(stopped(forge.read("master", "nope").await).contains("`nope` does not exist"));
    assert!(stopped(forge.read("master", "pins").await).contains("`pins` is a folder"));
    let branch = Change {
        branch: "nope".into(),
        ..change.clone()
    };
    assert!(
        stopped(forge.ensure_change(&branch).await).contains("the branch `nope` does not exist")
    );
    let file = Change {
        edits: vec![FileEdit {
            path: "nope".into(),
            bytes: vec![],
        }],
        ..change.clone()
    };
    assert!(stopped(forge.ensure_change(&file).await).contains("`nope` does not exist"));
    let same = Change {
        edits: vec![FileEdit {
            path: PINS.into(),
            bytes: BEFORE.into(),
        }],
        ..change.clone()
    };
    assert!(stopped(forge.ensure_change(&same).await).contains("alters nothing"));
    std::fs::remove_dir_all(repository.path()).expect("the repository");
    let missing = |findings: Vec<Finding>| findings[1].found.clone().expect_err("missing");
    for answer in [
        stopped(forge.ensure_change(&change).await),
        missing(forge.check(None).await),
    ] {
        assert!(
            answer.contains("does not appear to be a git repository"),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn names_that_git_could_misread_are_refused() {
    let (repository, work) = (Repository::new(), work());
    let forge = forge(&repository, &work);
    let change = repository.rollback();
    stopped(forge.read("--upload-pack=touch x", PINS).await);
    stopped(forge.read("master", "../x").await);
    for bad in [
        Change {
            head: "-x".into(),
            ..change.clone()
        },
        Change {
            branch: "a:b".into(),
            ..change.clone()
        },
        Change {
            head: "master".into(),
            ..change.clone()
        },
        Change {
            parent: "--all".into(),
            ..change.clone()
        },
        Change {
            edits: vec![FileEdit {
                path: ".git/config".into(),
                bytes: vec![],
            }],
            ..change.clone()
        },
        Change {
            edits: vec![],
            ..change.clone()
        },
        Change {
            subject: "a\nb".into(),
            ..change.clone()
        },
        Change {
            body: "a\0b".into(),
            ..change.clone()
        },
    ] {
        stopped(forge.ensure_change(&bad).await);
    }
    assert_eq!(repository.branches(), ["master"]);
}

#[tokio::test]
async fn a_check_reaches_the_repository_and_files_nothing() {
    let (repository, work) = (Repository::new(), work());
    let target = Target {
        branch: "master".into(),
        path: PINS.into(),
    };
    let findings = forge(&repository, &work).check(Some(&target)).await;
    let found: Vec<_> = findings
        .iter()
        .map(|finding| (finding.what.as_str(), finding.found.is_ok()))
        .collect();
    let read = format!("read `{PINS}` on `master`");
    assert_eq!(
        found,
        [
            ("run git", true),
            ("reach the repository", true),
            (read.as_str(), true),
            ("push a branch", true)
        ]
    );
    assert_eq!(repository.branches(), ["master"]);
}

#[tokio::test]
async fn what_became_of_a_change_is_seen_in_the_branches() {
    let (repository, work) = (Repository::new(), work());
    let (forge, change) = (forge(&repository, &work), repository.rollback());
    let filed = forge.ensure_change(&change).await.expect("filed");
    let sought = FiledChange {
        key: change.key.clone(),
        branch: change.branch.clone(),
        head: change.head.clone(),
        commit: filed.commit.clone(),
    };
    assert_eq!(forge.state(&sought).await, Ok(ChangeState::Open));
    // Taken as another commit, with its trailers, as a review system does.
    let tip = repository.commit("master", &[("README", b"more\n")]);
    let tree = repository.git(&["rev-parse", &format!("{}^{{tree}}", filed.commit)]);
    let message = format!("Taken\n\nFiling-Id: {}", change.key);
    let taken = repository.git(&["commit-tree", &tree, "-p", &tip, "-m", &message]);
    repository.git(&["update-ref", "refs/heads/master", &taken]);
    assert_eq!(forge.state(&sought).await, Ok(ChangeState::Merged));
    repository.git(&["update-ref", "refs/heads/master", &tip]);
    let head = format!("refs/heads/{}", change.head);
    repository.git(&["update-ref", "-d", &head]);
    assert_eq!(forge.state(&sought).await, Ok(ChangeState::Declined));
    repository.git(&["update-ref", "refs/heads/master", &filed.commit]);
    assert_eq!(forge.state(&sought).await, Ok(ChangeState::Merged));
}
