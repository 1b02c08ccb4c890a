//! The GitHub forge, against a stand-in that keeps its objects in a real repository.

#[path = "forge_github/check.rs"]
mod check;
#[path = "forge_github/contract.rs"]
mod contract;
#[path = "forge_github/cuts.rs"]
mod cuts;
#[path = "forge_github/faults.rs"]
mod faults;
#[path = "forge_github/objects.rs"]
mod objects;
#[allow(dead_code, reason = "shared with the git forge's tests")]
#[path = "forge_git/repository.rs"]
mod repository;
#[path = "forge_github/stand_in.rs"]
mod stand_in;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use pinion_server::forge::{
    Change, ChangeState, Error, FileEdit, FiledChange, FiledOutcome, Forge, ForgeConfig, open,
};
use tempfile::TempDir;

use self::repository::{AFTER, BEFORE, PINS, forge_at};
use self::stand_in::{Github, NAME, OWNER, TOKEN};

fn work() -> TempDir {
    let work = tempfile::tempdir().expect("a folder");
    std::fs::write(work.path().join("token"), TOKEN).expect("a token");
    work
}

fn config(github: &Github, work: &TempDir) -> ForgeConfig {
    ForgeConfig {
        project: Some(format!("{OWNER}/{NAME}")),
        password_file: Some(work.path().join("token")),
        author_email: "pinion@example.org".into(),
        timeout_s: 20,
        ..ForgeConfig::new(
            "pins".parse().expect("a name"),
            "github",
            &format!("http://{}", github.address),
        )
    }
}

fn forge(github: &Github, work: &TempDir) -> Arc<dyn Forge> {
    open(&config(github, work), work.path()).expect("a forge")
}

/// The change as it was filed, to ask what became of it.
fn sought(change: &Change, commit: &str) -> FiledChange {
    FiledChange {
        key: change.key.clone(),
        branch: change.branch.clone(),
        head: change.head.clone(),
        commit: commit.to_owned(),
    }
}

/// The commit that the plain-git forge makes of the change.
async fn commit_by_git(github: &Github, change: &Change) -> String {
    let copy = tempfile::tempdir().expect("a folder");
    let copied = copy.path().join("copy.git");
    let copied = copied.to_str().expect("UTF-8");
    github.repository.git(&[
        "clone",
        "--quiet",
        "--bare",
        &github.repository.url(),
        copied,
    ]);
    let forge = forge_at(copied, &copy.path().join("work"), 60);
    forge.ensure_change(change).await.expect("filed").commit
}

fn stopped<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    match result {
        Err(Error::Stopped { answer }) => answer,
        other => panic!("expected a stop, got {other:?}"),
    }
}

#[tokio::test]
async fn the_tip_and_the_exact_bytes_of_the_file_are_read() {
    let (github, work) = (Github::start().await, work());
    let forge = forge(&github, &work);
    let first = forge.read("master", PINS).await.expect("a tip");
    assert_eq!(first.bytes, BEFORE);
    assert_eq!(
        Some(&first.commit),
        github.repository.branch("master").as_ref()
    );
    let large: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    let moved = github.repository.commit("master", &[(PINS, &large)]);
    let second = forge.read("master", PINS).await.expect("a tip");
    assert_eq!((second.commit, second.bytes), (moved, large));
    let before = forge.read_at("master", &first.commit, PINS).await;
    assert_eq!(before.as_deref(), Ok(BEFORE));
    assert_eq!(forge.project(), "acme/pins");
}

#[tokio::test]
async fn a_change_is_one_pull_request_with_exactly_its_edits_and_its_words() {
    let (github, work) = (Github::start().await, work());
    let config = ForgeConfig {
        labels: vec!["rollback".into(), "deps".into()],
        reviewers: vec!["ada".into(), "acme/release".into()],
        draft: true,
        ..config(&github, &work)
    };
    let forge = open(&config, work.path()).expect("a forge");
    let mut change = github.repository.rollback();
    change.edits.push(FileEdit {
        path: "run.sh".into(),
        bytes: b"#!/bin/sh\nexit 1\n".to_vec(),
    });
    let filed = forge.ensure_change(&change).await.expect("filed");
    assert_eq!(
        (filed.outcome, filed.state, filed.answer.as_str()),
        (FiledOutcome::Created, ChangeState::Open, "pull request 1")
    );
    assert_eq!(
        filed.url,
        Some(format!("http://{}/acme/pins/pull/1", github.address))
    );
    assert_eq!(
        github.repository.branch(&change.head),
        Some(filed.commit.clone())
    );
    assert_eq!(github.repository.file(&filed.commit, PINS), AFTER);
    assert_eq!(filed.commit, commit_by_git(&github, &change).await);
    let pull = github.state().pulls[0].clone();
    assert_eq!(
        (pull.title, pull.head, pull.base, pull.draft),
        (
            change.subject.clone(),
            change.head.clone(),
            "master".into(),
            true
        )
    );
    assert_eq!(pull.body, format!("```text\n{}\n```", change.body));
    assert_eq!(pull.labels, ["rollback", "deps"]);
    assert_eq!(
        (pull.reviewers, pull.teams),
        (vec!["ada".into()], vec!["release".into()])
    );

    assert_eq!(github.running_max.load(Ordering::SeqCst), 1);
    let written = github.written();
    assert_eq!(written.len(), 8);
    for pair in written.windows(2) {
        let pause = pair[1].began - pair[0].ended.expect("it was carried out");
        assert!(pause >= Duration::from_secs(1), "{pause:?}");
    }
    let again = forge.ensure_change(&change).await.expect("filed");
    assert_eq!(
        (again.commit, again.outcome),
        (filed.commit, FiledOutcome::Existed)
    );
    assert_eq!(github.written().len(), 8, "nothing was missing");
}

#[tokio::test]
async fn two_at_once_file_one_pull_request() {
    let (github, work, other) = (Github::start().await, work(), self::work());
    let change = github.repository.rollback();
    let (one, two) = (forge(&github, &work), forge(&github, &other));
    let (a, b) = tokio::join!(one.ensure_change(&change), two.ensure_change(&change));
    let (a, b) = (a.expect("filed"), b.expect("filed"));
    assert_eq!((&a.commit, &a.url), (&b.commit, &b.url));
    assert_eq!(github.state().pulls.len(), 1);
    assert_eq!(
        github.repository.branches(),
        ["master", change.head.as_str()]
    );
}

#[tokio::test]
async fn what_people_made_of_a_pull_request_is_respected() {
    let (github, work) = (Github::start().await, work());
    let (forge, change) = (forge(&github, &work), github.repository.rollback());
    github.open_pull(&change);
    let more = github
        .repository
        .commit(&change.head, &[("README", b"more")]);
    let sought = sought(&change, "0123");
    let filed = forge.ensure_change(&change).await.expect("filed");
    assert_eq!(
        (filed.commit, filed.state),
        (more.clone(), ChangeState::Open)
    );
    assert_eq!(forge.state(&sought).await, Ok(ChangeState::Open));

    github.state().pulls[0].base = "stable".into();
    let filed = forge.ensure_change(&change).await.expect("filed");
    assert_eq!(
        filed.answer,
        "pull request 1, which a person has aimed at `stable` instead"
    );
    github.state().pulls[0].base = "master".into();

    github.state().pulls[0].is_open = false;
    let filed = forge.ensure_change(&change).await.expect("filed");
    assert_eq!(
        (filed.outcome, filed.state),
        (FiledOutcome::Existed, ChangeState::Declined)
    );
    assert_eq!(forge.state(&sought).await, Ok(ChangeState::Declined));

    github.state().pulls[0].is_merged = true;
    let head = format!("refs/heads/{}", change.head);
    github.repository.git(&["update-ref", "-d", &head]);
    let filed = forge.ensure_change(&change).await.expect("filed");
    assert_eq!(
        (filed.outcome, filed.state),
        (FiledOutcome::Existed, ChangeState::Merged)
    );
    assert_eq!(forge.state(&sought).await, Ok(ChangeState::Merged));
    assert_eq!(github.written().len(), 0);
}

#[tokio::test]
async fn a_pull_request_of_a_fork_is_another_change() {
    let (github, work) = (Github::start().await, work());
    let (forge, change) = (forge(&github, &work), github.repository.rollback());
    github.open_pull(&change);
    github.state().pulls[0].from = Some(format!("{OWNER}/fork"));
    let sought = sought(
        &change,
        &github.repository.branch(&change.head).expect("a head"),
    );
    let answer = stopped(forge.state(&sought).await);
    assert!(answer.contains("there is no pull request"), "{answer}");
    github.state().pulls[0].from = None;
    stopped(forge.state(&sought).await);
}

#[tokio::test]
async fn a_branch_that_a_person_took_or_that_is_in_the_way_is_left_alone() {
    let (taken, in_the_way, work) = (Github::start().await, Github::start().await, work());
    let change = taken.repository.rollback();
    let theirs = taken
        .repository
        .commit(&change.head, &[("README", b"theirs")]);
    in_the_way
        .repository
        .commit("rollback", &[("README", b"theirs")]);
    let other = in_the_way.repository.rollback();
    let (one, two) = (forge(&taken, &work), forge(&in_the_way, &work));
    let (one, two) = tokio::join!(one.ensure_change(&change), two.ensure_change(&other));
    let (one, two) = (stopped(one), stopped(two));
    assert!(
        one.contains("a person pushed") && one.contains(&theirs),
        "{one}"
    );
    assert!(two.contains("the branch `rollback` is in the way"), "{two}");
    assert_eq!(taken.repository.branch(&change.head), Some(theirs));
    assert!(taken.state().pulls.is_empty());
}

#[tokio::test]
async fn missing_things_are_named_and_stop_the_filing() {
    let (github, work) = (Github::start().await, work());
    let forge = forge(&github, &work);
    let repository = &github.repository;
    let change = repository.rollback();
    let tip = change.parent.clone();
    let blob = repository.git(&["rev-parse", "master:README"]);
    repository.git(&["read-tree", "master"]);
    for (mode, id, name) in [("120000", &blob, "link"), ("160000", &tip, "module")] {
        repository.git(&["update-index", "--add", "--cacheinfo", mode, id, name]);
    }
    let tree = repository.git(&["write-tree"]);
    let odd = repository.git(&["commit-tree", &tree, "-p", &tip, "-m", "odd"]);
    repository.git(&["update-ref", "refs/heads/odd", &odd]);
    for (branch, path, why) in [
        ("nope", PINS, "the branch `nope` does not exist"),
        ("master", "nope", "`nope` does not exist in commit"),
        ("master", "pins/größe/nope", "does not exist in commit"),
        ("master", "README/nope", "does not exist in commit"),
        ("master", "pins", "`pins` is a folder"),
        ("odd", "link", "`link` is a symbolic link"),
        ("odd", "module", "`module` is a submodule"),
        ("odd", "../x", "no path"),
        ("a..b", PINS, "no name for a branch"),
    ] {
        let answer = stopped(forge.read(branch, path).await);
        assert!(answer.contains(why), "{answer}");
    }
    let nowhere = stopped(forge.read_at("master", &"1".repeat(40), PINS).await);
    assert!(nowhere.contains("no longer in the repository"), "{nowhere}");
    for (change, why) in [
        (
            Change {
                branch: "nope".into(),
                ..change.clone()
            },
            "the branch `nope` does not exist",
        ),
        (
            Change {
                edits: vec![FileEdit {
                    path: "nope".into(),
                    bytes: vec![],
                }],
                ..change.clone()
            },
            "`nope` does not exist",
        ),
        (
            Change {
                parent: odd,
                ..change.clone()
            },
            "no longer part of `master`",
        ),
        (
            Change {
                edits: vec![],
                ..change.clone()
            },
            "edits no file",
        ),
    ] {
        let answer = stopped(forge.ensure_change(&change).await);
        assert!(answer.contains(why), "{answer}");
    }
    assert_eq!(github.written().len(), 0);
    let config = ForgeConfig {
        project: Some("acme/secret".into()),
        ..config(&github, &work)
    };
    let unseen = open(&config, work.path()).expect("a forge");
    for answer in [
        stopped(unseen.read("master", PINS).await),
        stopped(unseen.ensure_change(&change).await),
    ] {
        assert!(
            answer.contains("`acme/secret` does not exist, or the token"),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn a_change_that_alters_nothing_is_refused() {
    let (github, work) = (Github::start().await, work());
    let mut change = github.repository.rollback();
    change.edits[0].bytes = BEFORE.to_vec();
    let answer = stopped(forge(&github, &work).ensure_change(&change).await);
    assert!(answer.contains("alters nothing"), "{answer}");
    assert_eq!(github.repository.branches(), ["master"]);
}

#[tokio::test]
async fn a_change_that_the_branch_took_as_it_is_has_reached_it() {
    let (github, work) = (Github::start().await, work());
    let (forge, change) = (forge(&github, &work), github.repository.rollback());
    let commit = commit_by_git(&github, &change).await;
    let copied = forge.ensure_change(&change);
    let taken = async {
        // After the first look, before the pull request.
        while github.repository.branch(&change.head).is_none() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        github
            .repository
            .git(&["update-ref", "refs/heads/master", &commit]);
        github.repository.commit("master", &[("README", b"more")]);
    };
    let taken = tokio::time::timeout(Duration::from_secs(20), taken);
    let (filed, taken) = tokio::join!(copied, taken);
    let filed = filed.expect("filed");
    taken.expect("the branch is made");
    assert_eq!((&filed.commit, filed.state), (&commit, ChangeState::Merged));
    assert!(
        filed.answer.contains("No commits between"),
        "{}",
        filed.answer
    );
    assert_eq!(
        forge.state(&sought(&change, &commit)).await,
        Ok(ChangeState::Merged)
    );
    assert!(github.state().pulls.is_empty());
}

#[tokio::test]
async fn labels_and_reviewers_that_are_not_taken_are_only_remarked() {
    let (github, work) = (Github::start().await, work());
    let change = github.repository.rollback();
    github.open_pull(&change);
    let config = ForgeConfig {
        labels: vec!["deps".into()],
        reviewers: vec!["eve".into()],
        ..config(&github, &work)
    };
    let forge = open(&config, Path::new("/nonexistent")).expect("a forge");
    let filed = forge.ensure_change(&change).await.expect("filed");
    assert!(
        filed
            .answer
            .starts_with("pull request 1; without reviewers: ")
            && filed
                .answer
                .contains("Reviews may only be requested from collaborators"),
        "{}",
        filed.answer
    );
    assert_eq!(github.state().pulls[0].labels, ["deps"]);
}

#[tokio::test]
async fn keys_without_meaning_are_refused() {
    let (github, work) = (Github::start().await, work());
    let whole = config(&github, &work);
    for (key, config) in [
        (
            "user",
            ForgeConfig {
                user: Some("eve".into()),
                ..whole.clone()
            },
        ),
        (
            "cc",
            ForgeConfig {
                cc: vec!["eve".into()],
                ..whole.clone()
            },
        ),
        (
            "project",
            ForgeConfig {
                project: None,
                ..whole
            },
        ),
    ] {
        let error = open(&config, work.path()).expect_err(key).to_string();
        assert!(error.contains(&format!("`{key}`")), "{error}");
    }
}
