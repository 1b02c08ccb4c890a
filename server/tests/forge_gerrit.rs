//! The Gerrit forge, against a real Gerrit.

#[path = "forge_gerrit/interrupted.rs"]
mod interrupted;
#[path = "forge_gerrit/project.rs"]
mod project;
#[path = "forge_gerrit/proxy.rs"]
mod proxy;
#[path = "forge_gerrit/refusals.rs"]
mod refusals;
#[path = "forge_gerrit/rollout.rs"]
mod rollout;
#[path = "forge_gerrit/server.rs"]
mod server;
#[path = "forge_gerrit/stand_in.rs"]
mod stand_in;
mod support;

use pinion_server::forge::{
    Change, ChangeState, Error, FileEdit, Filed, FiledOutcome, ForgeConfig, Via, open,
};
use reqwest::Method;
use serde_json::json;
use tempfile::TempDir;

use self::project::{ADA, ADMIN, AFTER, BEFORE, PASSWORD, PINS, Project, as_filed};

const WAYS: [Via; 2] = [Via::Push, Via::Rest];

fn work() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

/// Files the change with a forge that has never worked before.
async fn file_afresh(project: &Project, via: Via, change: &Change) -> Filed {
    let work = work();
    let filed = project.forge(via, work.path()).ensure_change(change).await;
    filed.expect("filed")
}

fn stopped<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    match result {
        Err(Error::Stopped { answer }) => answer,
        other => panic!("expected a stop, got {other:?}"),
    }
}

#[tokio::test]
async fn the_tip_and_the_exact_bytes_of_the_file_are_read_by_both_ways() {
    let Some(project) = Project::new().await else {
        return;
    };
    let first = project.tip();
    let second = project.commit(&[(PINS, b"\0new\r")]);
    for via in WAYS {
        let work = work();
        let forge = project.forge(via, work.path());
        let tip = forge.read("main", PINS).await.expect("a tip");
        assert_eq!(
            (tip.commit, tip.bytes),
            (second.clone(), b"\0new\r".to_vec())
        );
        let before = forge.read_at("main", &first, PINS).await;
        assert_eq!(before, Ok(BEFORE.to_vec()));
    }
}

#[tokio::test]
async fn a_change_has_exactly_its_edit_and_its_words_and_is_filed_once_by_both_ways() {
    let Some(project) = Project::new().await else {
        return;
    };
    for (number, via, other) in [(1, Via::Push, Via::Rest), (2, Via::Rest, Via::Push)] {
        let change = project.change(number);
        let filed = file_afresh(&project, via, &change).await;
        assert_eq!(
            (filed.outcome, filed.state),
            (FiledOutcome::Created, ChangeState::Open),
            "{}",
            filed.answer
        );
        project.assert_filed(&change, &filed).await;
        for again in [via, other] {
            let again = file_afresh(&project, again, &change).await;
            assert_eq!(again.outcome, FiledOutcome::Existed, "{}", again.answer);
            assert_eq!((&again.commit, &again.url), (&filed.commit, &filed.url));
        }
        project.assert_filed(&change, &filed).await;
    }
    assert_eq!(project.changes().await.len(), 2);
}

#[tokio::test]
async fn a_push_is_the_same_commit_on_every_server() {
    let Some(project) = Project::new().await else {
        return;
    };
    let change = project.change(1);
    let filed = file_afresh(&project, Via::Push, &change).await;
    let path = format!("/changes/{}~main~{}", project.name, filed.branch);
    project.admin(Method::DELETE, &path, json!({})).await;
    assert_eq!(project.changes().await.len(), 0);
    let again = file_afresh(&project, Via::Push, &change).await;
    assert_eq!(
        (again.outcome, again.commit),
        (FiledOutcome::Created, filed.commit)
    );
}

#[tokio::test]
async fn reviewers_copies_and_labels_come_with_the_change_and_a_draft_waits() {
    let Some(project) = Project::new().await else {
        return;
    };
    for (number, (via, draft)) in [
        (Via::Push, false),
        (Via::Rest, false),
        (Via::Push, true),
        (Via::Rest, true),
    ]
    .into_iter()
    .enumerate()
    {
        let work = work();
        let config = ForgeConfig {
            reviewers: vec!["ada@example.org".into(), "gone@example.org".into()],
            cc: vec!["admin".into()],
            labels: vec!["#rollout".into(), "two words".into()],
            draft,
            ..project.config(via, work.path())
        };
        let forge = open(&config, work.path()).expect("a forge");
        let change = project.change(number as u32 + 1);
        let filed = forge.ensure_change(&change).await.expect("filed");
        assert!(
            filed
                .answer
                .contains("without `gone@example.org`, whom the server does not know"),
            "{}",
            filed.answer
        );
        let found = project.assert_filed(&change, &filed).await;
        assert_eq!(
            found["work_in_progress"].as_bool().unwrap_or(false),
            draft,
            "{found:#}"
        );
        let mut hashtags = found["hashtags"].as_array().expect("hashtags").clone();
        hashtags.sort_by_key(ToString::to_string);
        assert_eq!(hashtags, ["rollout", "two words"]);
        assert_eq!(
            found["reviewers"]["REVIEWER"][0]["email"],
            "ada@example.org"
        );
        assert_eq!(found["reviewers"]["CC"][0]["username"], "admin");
        let again = forge.ensure_change(&change).await.expect("filed");
        assert_eq!(again.outcome, FiledOutcome::Existed, "{}", again.answer);
    }
}

#[tokio::test]
async fn a_change_that_a_person_abandoned_stays_so() {
    let Some(project) = Project::new().await else {
        return;
    };
    let change = project.change(1);
    let filed = file_afresh(&project, Via::Push, &change).await;
    let path = format!("/changes/{}~main~{}/abandon", project.name, filed.branch);
    project.admin(Method::POST, &path, json!({})).await;
    for via in WAYS {
        let work = work();
        let forge = project.forge(via, work.path());
        let again = forge.ensure_change(&change).await.expect("an answer");
        assert_eq!(
            (again.outcome, again.state),
            (FiledOutcome::Existed, ChangeState::Declined),
            "{}",
            again.answer
        );
        let state = forge.state(&as_filed(&change, &filed)).await;
        assert_eq!(state, Ok(ChangeState::Declined));
    }
    assert_eq!(project.only_change().await["status"], "ABANDONED");
}

#[tokio::test]
async fn a_change_that_a_person_merged_is_done() {
    let Some(project) = Project::new().await else {
        return;
    };
    let change = project.change(1);
    let filed = file_afresh(&project, Via::Rest, &change).await;
    let work = work();
    let forge = project.forge(Via::Push, work.path());
    let filed_change = as_filed(&change, &filed);
    assert_eq!(forge.state(&filed_change).await, Ok(ChangeState::Open));
    let path = format!("/changes/{}~main~{}", project.name, filed.branch);
    let vote = json!({"labels": {"Code-Review": 2}});
    project
        .admin(
            Method::POST,
            &format!("{path}/revisions/current/review"),
            vote,
        )
        .await;
    project
        .admin(Method::POST, &format!("{path}/submit"), json!({}))
        .await;
    assert_eq!(forge.state(&filed_change).await, Ok(ChangeState::Merged));
    for via in WAYS {
        let again = file_afresh(&project, via, &change).await;
        assert_eq!(
            (again.outcome, again.state),
            (FiledOutcome::Existed, ChangeState::Merged),
            "{}",
            again.answer
        );
    }
    assert_eq!(project.only_change().await["status"], "MERGED");
    assert_eq!(forge.read("main", PINS).await.expect("a tip").bytes, AFTER);
}

#[tokio::test]
async fn a_change_that_a_person_deleted_was_declined() {
    let Some(project) = Project::new().await else {
        return;
    };
    let change = project.change(1);
    let filed = file_afresh(&project, Via::Rest, &change).await;
    let path = format!("/changes/{}~main~{}", project.name, filed.branch);
    project.admin(Method::DELETE, &path, json!({})).await;
    let work = work();
    let forge = project.forge(Via::Rest, work.path());
    let filed = as_filed(&change, &filed);
    assert_eq!(forge.state(&filed).await, Ok(ChangeState::Declined));
    let elsewhere = pinion_server::forge::FiledChange {
        branch: "nope".into(),
        ..filed
    };
    stopped(forge.state(&elsewhere).await);
}

#[tokio::test]
async fn what_a_person_made_of_it_is_left_alone() {
    let Some(project) = Project::new().await else {
        return;
    };
    for (number, files) in [
        (1, vec![(PINS, b"theirs".as_slice())]),
        (2, vec![(PINS, AFTER), ("README", b"theirs")]),
        (3, vec![("README", b"theirs")]),
    ] {
        let change = project.change(number);
        let filed = file_afresh(&project, Via::Push, &change).await;
        let message = format!("Theirs\n\nChange-Id: {}", filed.branch);
        project.push_as_ada(&change.parent, &message, &files);
        for via in WAYS {
            let again = file_afresh(&project, via, &change).await;
            assert_eq!(
                (again.outcome, again.state),
                (FiledOutcome::Existed, ChangeState::Open)
            );
            assert_ne!(again.commit, filed.commit);
            assert!(
                again
                    .answer
                    .contains("patch set 2 by ada <ada@example.org>"),
                "{}",
                again.answer
            );
        }
    }
    assert_eq!(project.changes().await.len(), 3);
}

#[tokio::test]
async fn a_change_of_somebody_else_with_our_change_id_is_left_alone() {
    let Some(project) = Project::new().await else {
        return;
    };
    let change = project.change(1);
    let message = format!("Theirs\n\nChange-Id: I{}", change.key);
    project.push_as_ada(&change.parent, &message, &[(PINS, b"theirs")]);
    for via in WAYS {
        let filed = file_afresh(&project, via, &change).await;
        assert!(
            filed.answer.contains("patch set 1 by ada"),
            "{}",
            filed.answer
        );
    }
    assert_eq!(project.only_change().await["owner"]["username"], ADA.0);
}

#[tokio::test]
async fn the_change_is_built_on_the_recorded_parent_when_the_branch_has_moved_on() {
    let Some(project) = Project::new().await else {
        return;
    };
    let changes = [project.change(1), project.change(2)];
    project.commit(&[(PINS, b"other")]);
    project.commit(&[("README", b"more")]);
    for (change, via) in changes.iter().zip(WAYS) {
        let filed = file_afresh(&project, via, change).await;
        project.assert_filed(change, &filed).await;
    }
}

#[tokio::test]
async fn several_files_are_one_change() {
    let Some(project) = Project::new().await else {
        return;
    };
    for (number, via, other) in [(1, Via::Push, Via::Rest), (2, Via::Rest, Via::Push)] {
        let mut change = project.change(number);
        change.edits.push(FileEdit {
            path: "README".into(),
            bytes: b"more pins\n".to_vec(),
        });
        file_afresh(&project, via, &change).await;
        let again = file_afresh(&project, other, &change).await;
        assert_eq!(again.outcome, FiledOutcome::Existed, "{}", again.answer);
        let changes = project.changes().await;
        assert_eq!(changes.len(), number as usize);
        assert_eq!(project.file_of(&changes[0], PINS), AFTER);
        assert_eq!(project.file_of(&changes[0], "README"), b"more pins\n");
    }
}

#[tokio::test]
async fn modes_stay_as_they_are() {
    let Some(project) = Project::new().await else {
        return;
    };
    for (number, via) in [(1, Via::Push), (2, Via::Rest)] {
        let mut change = project.change(number);
        change.edits = vec![FileEdit {
            path: "run.sh".into(),
            bytes: b"#!/bin/sh\nexit 1\n".to_vec(),
        }];
        let filed = file_afresh(&project, via, &change).await;
        let number = filed.url.as_deref().and_then(|url| url.rsplit('/').next());
        let number: u32 = number
            .and_then(|number| number.parse().ok())
            .expect("a number");
        let path = format!("/a/changes/{number}/revisions/current/files");
        let (_, files) = project.rest(ADMIN, Method::GET, &path, None).await;
        assert_eq!(files["run.sh"]["new_mode"], 0o100_755, "{files:#}");
    }
}

#[tokio::test]
async fn two_at_once_file_one_change() {
    let Some(project) = Project::new().await else {
        return;
    };
    for (number, ways) in [
        (1, [Via::Push, Via::Push]),
        (2, [Via::Rest, Via::Rest]),
        (3, [Via::Push, Via::Rest]),
    ] {
        let change = project.change(number);
        let works = [work(), work()];
        let [one, two] = [0, 1].map(|at| {
            let config = ForgeConfig {
                // At times Gerrit leaves one of two pushes of the same commit without an answer.
                timeout_s: 15,
                ..project.config(ways[at], works[at].path())
            };
            open(&config, works[at].path()).expect("a forge")
        });
        let (one, two) = tokio::join!(one.ensure_change(&change), two.ensure_change(&change));
        // One may find the other at work; then the next try settles it.
        for result in [one, two] {
            assert!(
                matches!(result, Ok(_) | Err(Error::Retry { .. })),
                "{result:?}"
            );
        }
        let filed = file_afresh(&project, ways[0], &change).await;
        assert_eq!(filed.state, ChangeState::Open);
        project.assert_filed(&change, &filed).await;
    }
}

#[tokio::test]
async fn of_two_changes_that_were_made_at_once_the_older_stands() {
    let Some(project) = Project::new().await else {
        return;
    };
    let change = project.change(1);
    let twins = interrupted::begin_at_once(&project, &change).await;
    let filed = file_afresh(&project, Via::Push, &change).await;
    project.assert_filed(&change, &filed).await;
    let mut changes = project.changes().await;
    changes.sort_by_key(|found| found["_number"].as_u64());
    let states: Vec<_> = changes
        .iter()
        .map(|found| found["status"].as_str())
        .collect();
    let expected = [Some("NEW"), Some("ABANDONED")];
    assert_eq!(states, expected[..twins], "{}", filed.answer);
    // What a person then says of it counts.
    let work = work();
    let forge = project.forge(Via::Push, work.path());
    let filed = as_filed(&change, &filed);
    let state = || forge.state(&filed);
    assert_eq!(state().await, Ok(ChangeState::Open));
    let path = format!("/changes/{}/abandon", changes[0]["_number"]);
    project.admin(Method::POST, &path, json!({})).await;
    assert_eq!(state().await, Ok(ChangeState::Declined));
}

#[tokio::test]
async fn a_password_that_was_exchanged_is_read_again() {
    let Some(project) = Project::new().await else {
        return;
    };
    for (number, via) in [(1, Via::Push), (2, Via::Rest)] {
        let change = project.change(number);
        let work = work();
        let config = project.config(via, work.path());
        let file = config.password_file.clone().expect("a file");
        std::fs::write(&file, "s3cret").expect("a file");
        let forge = open(&config, work.path()).expect("a forge");
        let answer = stopped(forge.read("main", PINS).await);
        assert!(!answer.contains("s3cret"), "{answer}");
        let answer = stopped(forge.ensure_change(&change).await);
        assert!(
            answer.contains("may be wrong or have expired") && !answer.contains("s3cret"),
            "{answer}"
        );
        std::fs::write(file, PASSWORD).expect("a file");
        forge.ensure_change(&change).await.expect("filed");
    }
}
