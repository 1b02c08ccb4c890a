//! What holds on every Gitea.

use pinion_server::forge::{
    Change, ChangeState, Error, FileEdit, FiledOutcome, Finding, ForgeConfig, Target, Via,
};
use serde_json::{Value, json};

use crate::place::{LABELS, Place, filed_change};
use crate::repository::{AFTER, PINS};

const WAYS: [Via; 2] = [Via::Push, Via::Rest];

pub(crate) fn stopped<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    match result {
        Err(Error::Stopped { answer }) => answer,
        other => panic!("expected a stop, got {other:?}"),
    }
}

/// Checks that the pull request is the change, to the byte.
pub(crate) async fn assert_filed(place: &Place, change: &Change, pull: &Value, commit: &str) {
    assert_eq!(pull["head"]["sha"], commit);
    assert_eq!(pull["base"]["ref"], change.branch.as_str());
    assert_eq!(pull["title"], change.subject.as_str());
    let body = pull["body"].as_str().expect("a body");
    assert_eq!(body.trim_end(), change.body);
    let name = format!("refs/pull/{}/head", pull["number"]);
    place.ada.fetch(&place.own, &name);
    assert_eq!(place.own.file(commit, PINS), AFTER);
    let raw = place.own.git(&["cat-file", "commit", commit]);
    let (header, message) = raw.split_once("\n\n").expect("a message");
    let person = "Pinion <pinion@example.org> 1772446500 +0000";
    let wanted = format!(
        "\nparent {}\nauthor {person}\ncommitter {person}",
        change.parent
    );
    assert!(header.ends_with(&wanted), "{header}");
    assert_eq!(message, format!("{}\n\n{}", change.subject, change.body));
}

pub(crate) async fn a_push_files_one_pull_request_with_the_exact_commit_and_words(place: &Place) {
    let (change, forge) = (place.change(), place.forge(Via::Push));
    let filed = forge.ensure_change(&change).await.expect("filed");
    assert_eq!(
        (filed.outcome, filed.state),
        (FiledOutcome::Created, ChangeState::Open)
    );
    let pull = place.pull().await;
    assert_filed(place, &change, &pull, &filed.commit).await;
    assert!(filed.url.is_some_and(|url| url.ends_with("/pulls/1")));
    let branches = place.ada.branches(&place.own);
    assert_eq!(branches.keys().collect::<Vec<_>>(), ["master"]);
    for forge in [forge, place.forge(Via::Push)] {
        let again = forge.ensure_change(&change).await.expect("filed");
        assert_eq!(
            (again.outcome, again.state, again.commit.as_str()),
            (
                FiledOutcome::Existed,
                ChangeState::Open,
                filed.commit.as_str()
            )
        );
    }
    place.pull().await;
    let state = place.forge(Via::Push);
    let sought = filed_change(&change, &filed.commit);
    assert_eq!(state.state(&sought).await, Ok(ChangeState::Open));
}

pub(crate) async fn requests_file_one_pull_request_with_the_very_same_commit(place: &Place) {
    let (change, forge) = (place.change(), place.forge(Via::Rest));
    let filed = forge.ensure_change(&change).await.expect("filed");
    assert_eq!(
        (filed.outcome, filed.state),
        (FiledOutcome::Created, ChangeState::Open)
    );
    assert_filed(place, &change, &place.pull().await, &filed.commit).await;
    let branches = place.ada.branches(&place.own);
    assert_eq!(branches.get(&change.head), Some(&filed.commit));
    assert_eq!(branches.len(), 2);
    for forge in [forge, place.forge(Via::Rest)] {
        let again = forge.ensure_change(&change).await.expect("filed");
        assert_eq!(
            (again.outcome, again.commit.as_str()),
            (FiledOutcome::Existed, filed.commit.as_str())
        );
    }
    place.pull().await;
    let sought = filed_change(&change, &filed.commit);
    let state = place.forge(Via::Push).state(&sought).await;
    assert_eq!(state, Ok(ChangeState::Open));
}

pub(crate) async fn each_way_finds_what_the_other_filed(place: &Place) {
    let change = place.change();
    let first = place.forge(Via::Push).ensure_change(&change).await;
    let second = place.forge(Via::Rest).ensure_change(&change).await;
    let (first, second) = (first.expect("filed"), second.expect("filed"));
    assert_eq!(second.outcome, FiledOutcome::Existed);
    assert_eq!(first.commit, second.commit);
    let other = Change {
        head: "rollback/other".into(),
        body: change.body.replace(change.key.as_str(), "none"),
        key: other_key(),
        ..change
    };
    let third = place.forge(Via::Rest).ensure_change(&other).await;
    let fourth = place.forge(Via::Push).ensure_change(&other).await;
    assert_eq!(third.expect("filed").outcome, FiledOutcome::Created);
    assert_eq!(fourth.expect("filed").outcome, FiledOutcome::Existed);
    assert_eq!(place.pulls().await.len(), 2);
}

fn other_key() -> pinion_core::filing::FilingKey {
    pinion_core::filing::FilingKey::new("other", "pins", "master", &[], 1)
}

pub(crate) async fn what_was_begun_by_requests_is_finished(place: &Place) {
    let change = place.change();
    // The branch is made and nothing committed.
    place.push(&change.parent, &change.head).await;
    let forge = place.forge(Via::Rest);
    let filed = forge.ensure_change(&change).await.expect("filed");
    assert_eq!(filed.outcome, FiledOutcome::Created);
    assert_filed(place, &change, &place.pull().await, &filed.commit).await;
    // It is committed and no pull request opened.
    let name = format!("refs/heads/{}", change.head);
    place.ada.fetch(&place.own, &name);
    let other = Change {
        head: "rollback/other".into(),
        key: other_key(),
        ..change.clone()
    };
    place.push(&filed.commit, &other.head).await;
    let close = place.pull().await;
    place.close(&close).await;
    let filed = forge.ensure_change(&other).await.expect("filed");
    assert_eq!(filed.outcome, FiledOutcome::Created);
    assert_eq!(place.pulls().await.len(), 2);
}

pub(crate) async fn what_was_merged_is_not_filed_again(place: &Place) {
    let change = place.change();
    let filed = place.forge(Via::Push).ensure_change(&change).await;
    let commit = filed.expect("filed").commit;
    place.merge(&place.pull().await).await;
    for via in WAYS {
        let forge = place.forge(via);
        let again = forge.ensure_change(&change).await.expect("filed");
        assert_eq!(
            (again.outcome, again.state),
            (FiledOutcome::Existed, ChangeState::Merged)
        );
        let sought = filed_change(&change, &commit);
        assert_eq!(forge.state(&sought).await, Ok(ChangeState::Merged));
    }
    place.pull().await;
}

pub(crate) async fn what_was_closed_is_not_filed_again(place: &Place) {
    let change = place.change();
    let other = Change {
        head: "rollback/other".into(),
        key: other_key(),
        body: format!("Filing-Id: {}", other_key()),
        ..change.clone()
    };
    for (via, change) in [(Via::Push, &change), (Via::Rest, &other)] {
        let filed = place.forge(via).ensure_change(change).await;
        let commit = filed.expect("filed").commit;
        let pulls = place.pulls().await;
        place.close(&pulls[0]).await;
        for again_via in WAYS {
            let forge = place.forge(again_via);
            let again = forge.ensure_change(change).await.expect("filed");
            assert_eq!(
                (again.outcome, again.state),
                (FiledOutcome::Existed, ChangeState::Declined)
            );
            let sought = filed_change(change, &commit);
            assert_eq!(forge.state(&sought).await, Ok(ChangeState::Declined));
        }
    }
    assert_eq!(place.pulls().await.len(), 2);
}

pub(crate) async fn what_the_branch_has_already_is_not_filed(place: &Place) {
    let change = place.change();
    let filed = place.forge(Via::Push).ensure_change(&change).await;
    let commit = filed.expect("filed").commit;
    place.ada.fetch(&place.own, "refs/pull/1/head");
    let other = Change {
        branch: "other".into(),
        ..change
    };
    place.push(&commit, "other").await;
    for via in WAYS {
        let filed = place.forge(via).ensure_change(&other).await.expect("filed");
        assert_eq!((filed.state, &filed.commit), (ChangeState::Merged, &commit));
    }
    let sought = filed_change(&other, &commit);
    let state = place.forge(Via::Push).state(&sought).await;
    assert_eq!(state, Ok(ChangeState::Merged));
    place.pull().await;
}

pub(crate) async fn the_change_is_built_on_the_recorded_parent(place: &Place) {
    let change = place.change();
    place.own.commit("master", &[("README", b"more\n")]);
    place.push("master", "master").await;
    let first = place.forge(Via::Push).ensure_change(&change).await;
    let other = Change {
        head: "rollback/other".into(),
        key: other_key(),
        ..change.clone()
    };
    place.close(&place.pull().await).await;
    let second = place.forge(Via::Rest).ensure_change(&other).await;
    let (first, second) = (first.expect("filed"), second.expect("filed"));
    assert_eq!(first.commit, second.commit);
    place.ada.fetch(&place.own, "refs/pull/1/head");
    let parent = place.own.git(&["rev-parse", &format!("{}^", first.commit)]);
    assert_eq!(parent, change.parent);
}

pub(crate) async fn branches_with_a_slash_are_filed_on(place: &Place) {
    place
        .ada
        .push(&place.own, "master:refs/heads/stable/2026.1");
    let change = Change {
        branch: "stable/2026.1".into(),
        ..place.change()
    };
    let forge = place.forge(Via::Push);
    let first = forge.ensure_change(&change).await.expect("filed");
    assert_eq!(first.outcome, FiledOutcome::Created);
    let pull = place.pull().await;
    assert_eq!(pull["base"]["ref"], "stable/2026.1");
    // The words no longer say so, but the ends do.
    let path = place.at("/pulls/1");
    let body = json!({"body": "A person wrote this."});
    place.ada.must("PATCH", &path, Some(body)).await;
    let second = place.forge(Via::Rest).ensure_change(&change).await;
    assert_eq!(second.expect("filed").outcome, FiledOutcome::Existed);
    place.pull().await;
}

pub(crate) async fn what_a_person_pushed_is_left_alone(place: &Place) {
    let change = place.change();
    let theirs = place.own.commit("theirs", &[("README", b"theirs")]);
    place.push("theirs", &change.head).await;
    let answer = stopped(place.forge(Via::Rest).ensure_change(&change).await);
    assert!(
        answer.contains("a person pushed") && answer.contains(&theirs),
        "{answer}"
    );
    assert!(place.pulls().await.is_empty());
    // With a pull request it is one of ours that a person went on with.
    let pull = json!({"head": change.head, "base": "master", "title": "t", "body": "b"});
    place
        .ada
        .must("POST", &place.at("/pulls"), Some(pull))
        .await;
    for via in WAYS {
        let filed = place.forge(via).ensure_change(&change).await;
        let filed = filed.expect("filed");
        assert_eq!(
            (filed.outcome, filed.commit.as_str()),
            (FiledOutcome::Existed, theirs.as_str())
        );
    }
    let branches = place.ada.branches(&place.own);
    assert_eq!(branches.get(&change.head), Some(&theirs));
    place.pull().await;
}

pub(crate) async fn labels_reviewers_and_drafts_are_asked_for(place: &Place) {
    let change = place.change();
    let other = Change {
        head: "rollback/other".into(),
        key: other_key(),
        body: "Nothing.".into(),
        ..change.clone()
    };
    for (via, change) in [(Via::Push, &change), (Via::Rest, &other)] {
        let config = ForgeConfig {
            labels: LABELS.map(str::to_owned).to_vec(),
            reviewers: vec![place.ada.name.clone()],
            draft: true,
            ..place.config(via)
        };
        for _ in 0..2 {
            let forge = place.forge_with(&config);
            let filed = forge.ensure_change(change).await.expect("filed");
            assert!(!filed.answer.contains(';'), "{}", filed.answer);
        }
        let pull = place.pulls().await[0].clone();
        let title = format!("WIP: {}", change.subject);
        assert_eq!(
            (&pull["title"], &pull["draft"]),
            (&json!(title), &json!(true))
        );
        let names = |list: &str, key: &str| -> Vec<String> {
            let list = pull[list].as_array().expect("a list");
            let name = |one: &Value| one[key].as_str().expect("a name").to_owned();
            let mut names: Vec<_> = list.iter().map(name).collect();
            names.sort_unstable();
            names
        };
        assert_eq!(names("labels", "name"), ["dependencies", "rollback"]);
        assert_eq!(
            names("requested_reviewers", "login"),
            std::slice::from_ref(&place.ada.name)
        );
    }
}

pub(crate) async fn what_cannot_be_asked_for_is_remarked(place: &Place) {
    let config = ForgeConfig {
        labels: vec!["rollback".into(), "nope".into()],
        reviewers: vec!["nobody-here".into()],
        ..place.config(Via::Push)
    };
    let forge = place.forge_with(&config);
    let filed = forge.ensure_change(&place.change()).await.expect("filed");
    assert_eq!(filed.outcome, FiledOutcome::Created);
    for remark in ["there is no label `nope`", "`nobody-here` was not asked"] {
        assert!(filed.answer.contains(remark), "{}", filed.answer);
    }
    let pull = place.pull().await;
    assert_eq!(pull["labels"].as_array().map(Vec::len), Some(1));
}

pub(crate) async fn missing_things_are_named_and_stop_the_filing(place: &Place) {
    let change = place.change();
    for via in WAYS {
        let forge = place.forge(via);
        let branch = Change {
            branch: "nope".into(),
            ..change.clone()
        };
        let answer = stopped(forge.ensure_change(&branch).await);
        assert!(answer.contains("`nope` does not exist"), "{answer}");
        let file = Change {
            edits: vec![FileEdit {
                path: "nope".into(),
                bytes: vec![],
            }],
            ..change.clone()
        };
        let answer = stopped(forge.ensure_change(&file).await);
        assert!(answer.contains("`nope` does not exist"), "{answer}");
        let project = ForgeConfig {
            project: Some(format!("{}/nope", place.ada.name)),
            ..place.config(via)
        };
        let answer = stopped(place.forge_with(&project).ensure_change(&change).await);
        assert!(answer.contains("/nope` is not there"), "{answer}");
    }
    assert!(place.pulls().await.is_empty());
    assert_eq!(place.ada.branches(&place.own).len(), 1);
}

pub(crate) async fn a_wrong_token_stops_the_filing_and_is_not_shown(place: &Place) {
    let change = place.change();
    place.write_token("s3cret-and-wr0ng");
    for via in WAYS {
        let forge = place.forge(via);
        let error = forge.ensure_change(&change).await.expect_err("refused");
        let read = forge.read("master", PINS).await.expect_err("refused");
        for shown in [
            format!("{error} {error:?} {read} {read:?} {forge:?}"),
            format!("{:?}", forge.check(None).await),
        ] {
            assert!(!shown.contains("s3cret"), "{shown}");
        }
        assert!(matches!(error, Error::Stopped { .. }), "{error}");
        assert!(matches!(read, Error::Stopped { .. }), "{read}");
    }
    assert!(place.pulls().await.is_empty());
}

pub(crate) async fn a_reader_files_by_push_and_not_by_requests(place: &Place) {
    place.as_reader().await;
    let change = place.change();
    let answer = stopped(place.forge(Via::Rest).ensure_change(&change).await);
    assert!(answer.contains("answered 403"), "{answer}");
    assert!(place.pulls().await.is_empty());
    let filed = place.forge(Via::Push).ensure_change(&change).await;
    assert_eq!(filed.expect("filed").outcome, FiledOutcome::Created);
    assert_eq!(
        failed(&place.forge(Via::Push).check(Some(&target())).await),
        Vec::<String>::new()
    );
    assert_eq!(
        failed(&place.forge(Via::Rest).check(Some(&target())).await),
        ["make a branch"]
    );
}

fn target() -> Target {
    Target {
        branch: "master".into(),
        path: PINS.into(),
    }
}

/// What did not work.
fn failed(findings: &[Finding]) -> Vec<String> {
    let failed = findings.iter().filter(|finding| finding.found.is_err());
    failed.map(|finding| finding.what.clone()).collect()
}

pub(crate) async fn a_check_says_what_works_and_files_nothing(place: &Place) {
    for (via, last) in [(Via::Push, "push for review"), (Via::Rest, "make a branch")] {
        let findings = place.forge(via).check(Some(&target())).await;
        assert_eq!(failed(&findings), Vec::<String>::new(), "{findings:?}");
        let said = format!("{findings:?}");
        assert!(said.contains(&format!("of `{}`", place.bot)), "{said}");
        assert_eq!(findings.last().expect("some").what, last);
    }
    assert!(place.pulls().await.is_empty());
    assert_eq!(place.ada.branches(&place.own).len(), 1);
}

pub(crate) async fn a_check_says_what_is_missing(place: &Place) {
    let nowhere = Target {
        branch: "nope".into(),
        path: PINS.into(),
    };
    let labelled = ForgeConfig {
        labels: vec!["nope".into()],
        ..place.config(Via::Rest)
    };
    let findings = place.forge_with(&labelled).check(Some(&nowhere)).await;
    let read = format!("read `{PINS}` on `nope`");
    assert_eq!(failed(&findings), [read.as_str(), "find the labels"]);
    place.write_token("s3cret-and-wr0ng");
    let findings = place.forge(Via::Push).check(None).await;
    assert!(
        failed(&findings).contains(&"log in".to_owned()),
        "{findings:?}"
    );
}
