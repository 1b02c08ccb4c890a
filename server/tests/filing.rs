//! A rollback is filed once, whatever happens between the decision and the push.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

use std::time::Duration;

use pinion_proto::v1 as proto;
use pinion_server::config::{Config, PublicUrl};
use pinion_server::forge::ForgeConfig;
use support::repository::{FILE, branches, git, merge_file, repository};
use support::{DAY, FORGE, HOUR, Server, source, with_token};
use tempfile::tempdir;
use tonic::Code;

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

/// A rollout of `requests` 2.0 that was rolled back, and whose change waits for people.
async fn filed(server: &Server) -> (String, proto::Filing) {
    let id = server.start_rollout("requests", "2.0").await.unwrap().id;
    server.roll_back(&id).await.unwrap();
    let filing = filing(server, &id, "filed").await;
    (id, filing)
}

async fn file_again(server: &Server, id: &str) -> Result<proto::Filing, tonic::Status> {
    let request = proto::FileRolloutRequest {
        id: id.to_owned(),
        reason: "we want it after all".to_owned(),
        ..Default::default()
    };
    let response = server
        .rollouts()
        .file_rollout(with_token(request, &server.manager))
        .await?;
    let rollout = response.into_inner().rollout.expect("a rollout");
    Ok(rollout.filing.expect("a filing"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merged_change_is_seen_and_shown() {
    let dir = tempdir().unwrap();
    let url = repository(dir.path());
    let pins = "requests==1.0\nsix==1.0\n";
    let server = Server::start_with(&dir.path().join("data"), pins, Some(&url)).await;
    let (id, filed) = filed(&server).await;
    assert_eq!((filed.attempt, filed.file_time.is_some()), (1, true));
    let bare = dir.path().join("pins.git");
    git(&bare, &["update-ref", "refs/heads/master", &filed.commit]);
    let merged = filing(&server, &id, "merged").await;
    assert_eq!(merged.commit, filed.commit);
    let refused = file_again(&server, &id).await.expect_err("it is merged");
    assert_eq!(refused.code(), Code::FailedPrecondition);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_declined_change_is_filed_again_only_when_a_person_asks() {
    let dir = tempdir().unwrap();
    let url = repository(dir.path());
    let pins = "requests==1.0\nsix==1.0\n";
    let server = Server::start_with(&dir.path().join("data"), pins, Some(&url)).await;
    let (id, first) = filed(&server).await;
    let bare = dir.path().join("pins.git");
    git(&bare, &["branch", "--quiet", "-D", &first.branch]);
    filing(&server, &id, "declined").await;
    // Neither time nor a restart brings it back.
    let server = server.restart().await;
    server.clock.advance(DAY * 30);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(server.rollout(&id).await.filing.unwrap().state, "declined");
    assert_eq!(branches(dir.path()), ["master"]);

    let reason = server.rollout(&id).await.reason;
    let second = file_again(&server, &id).await.unwrap();
    assert_eq!((second.attempt, second.state.as_str()), (2, "pending"));
    let second = filing(&server, &id, "filed").await;
    assert_ne!(second.key, first.key);
    assert_eq!(branches(dir.path()), ["master", second.branch.as_str()]);
    let message = git(&bare, &["log", "-1", "--format=%B", &second.branch]);
    assert!(message.contains(&format!("Filing-Id: {}", second.key)));
    assert!(!message.contains(&first.key), "{message}");
    let rollout = server.rollout(&id).await;
    assert_eq!(rollout.reason, reason, "why it was rolled back stays");
    let decisions = server.decisions(&id).await;
    let last = decisions.last().unwrap();
    assert_eq!(
        (last.action.as_str(), last.actor.as_str()),
        ("file", "manager")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_filing_goes_on_when_a_person_asks() {
    let dir = tempdir().unwrap();
    let url = repository(dir.path());
    let pins = "requests==1.0\nsix==1.0\n";
    let server = Server::start_with(&dir.path().join("data"), pins, Some(&url)).await;
    let id = server.start_rollout("requests", "2.0").await.unwrap().id;
    let (bare, away) = (dir.path().join("pins.git"), dir.path().join("away.git"));
    std::fs::rename(&bare, &away).unwrap();
    server.roll_back(&id).await.unwrap();
    filing(&server, &id, "stopped").await;
    std::fs::rename(&away, &bare).unwrap();
    file_again(&server, &id).await.unwrap();
    filing(&server, &id, "filed").await;
    let six = server.start_rollout("six", "1.1").await.unwrap().id;
    let refused = file_again(&server, &six).await.expect_err("it is open");
    assert!(refused.message().contains("has not ended"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_changes_are_open_at_once_than_the_forge_may_have() {
    let dir = tempdir().unwrap();
    let url = repository(dir.path());
    let pins = "requests==1.0\nsix==1.0\n";
    merge_file(
        dir.path(),
        "upper-constraints.txt",
        "requests===2.0\nsix===1.1\n",
    );
    let forge = ForgeConfig {
        open_max: 1,
        ..ForgeConfig::git(FORGE.parse().unwrap(), &url)
    };
    let file = source("upper-constraints.txt");
    let data = dir.path().join("data");
    let server = Server::start_on(&data, pins, Some(forge), Some(file), false).await;
    let (_, first) = filed(&server).await;
    let six = server.start_rollout("six", "1.1").await.unwrap().id;
    server.roll_back(&six).await.unwrap();
    let mut held = None;
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let filing = server.rollout(&six).await.filing.unwrap();
        if filing.last_answer.contains("held back") {
            held = Some(filing);
            break;
        }
    }
    let held = held.expect("held back");
    assert_eq!((held.state.as_str(), held.tries), ("pending", 0));
    assert!(
        held.last_answer.contains("`open_max`"),
        "{}",
        held.last_answer
    );
    assert_eq!(branches(dir.path()).len(), 2);
    let bare = dir.path().join("pins.git");
    git(&bare, &["update-ref", "refs/heads/master", &first.commit]);
    filing(&server, &six, "filed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_words_the_subject_and_adds_its_trailers() {
    let dir = tempdir().unwrap();
    let url = repository(dir.path());
    let forge = ForgeConfig {
        subject_rollback: Some("Revert \"Updated {package} to {from}\"".to_owned()),
        trailers: vec!["Signed-off-by: Pinion <pinion@example.org>".to_owned()],
        ..ForgeConfig::git(FORGE.parse().unwrap(), &url)
    };
    let file = source("upper-constraints.txt");
    let data = dir.path().join("data");
    let pins = "requests==1.0\nsix==1.0\n";
    let server = Server::start_on(&data, pins, Some(forge), Some(file), false).await;
    let (_, filed) = filed(&server).await;
    assert_eq!(filed.subject, "Revert \"Updated requests to 2.0\"");
    let bare = dir.path().join("pins.git");
    let trailers = git(
        &bare,
        &["log", "-1", "--format=%(trailers:only)", &filed.branch],
    );
    assert!(
        trailers.ends_with("Signed-off-by: Pinion <pinion@example.org>"),
        "{trailers}"
    );
    assert!(trailers.contains("Reverts-Pin: requests 2.0"), "{trailers}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filed_change_leads_to_the_page_of_its_rollout() {
    let dir = tempdir().unwrap();
    let url = repository(dir.path());
    let place = "https://pinion.example.org/staging".to_owned();
    let config = Config {
        forges: vec![ForgeConfig::git(FORGE.parse().unwrap(), &url)],
        public_url: Some(PublicUrl::try_from(place).unwrap()),
        ..Config::default()
    };
    let data = dir.path().join("data");
    let pins = "requests==1.0\nsix==1.0\n";
    let file = Some(source("upper-constraints.txt"));
    let server = Server::start_configured(&data, pins, config, file, false).await;
    let (id, filed) = filed(&server).await;
    let message = git(
        &dir.path().join("pins.git"),
        &["log", "-1", "--format=%B", &filed.branch],
    );
    let link = format!("https://pinion.example.org/staging/rollouts/{id}");
    assert!(message.contains(&link), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_says_what_works_and_what_is_missing_and_files_nothing() {
    let dir = tempdir().unwrap();
    let url = repository(dir.path());
    let server = Server::start_with(&dir.path().join("data"), "requests==1.0\n", Some(&url)).await;
    let channel = server.channel.clone();
    let mut client = proto::forge_service_client::ForgeServiceClient::new(channel);
    let check = |branch: &str, path: &str| proto::CheckForgeRequest {
        name: FORGE.to_owned(),
        branch: branch.to_owned(),
        path: path.to_owned(),
    };
    let response = client
        .check_forge(with_token(check("", ""), &server.manager))
        .await
        .unwrap();
    let findings = response.into_inner().findings;
    assert_eq!(findings.len(), 4);
    assert!(findings.iter().all(|finding| finding.works), "{findings:?}");
    let request = with_token(check("nope", "upper-constraints.txt"), &server.manager);
    let findings = client
        .check_forge(request)
        .await
        .unwrap()
        .into_inner()
        .findings;
    let missing: Vec<_> = findings.iter().filter(|finding| !finding.works).collect();
    assert_eq!(missing.len(), 1);
    assert!(missing[0].what.contains("`nope`"), "{findings:?}");
    assert_eq!(branches(dir.path()), ["master"]);
    let refused = client
        .check_forge(with_token(check("", ""), &server.team))
        .await;
    assert_eq!(refused.expect_err("a role").code(), Code::PermissionDenied);
    let unknown = proto::CheckForgeRequest {
        name: "other".to_owned(),
        ..check("", "")
    };
    let refused = client
        .check_forge(with_token(unknown, &server.manager))
        .await;
    assert_eq!(refused.expect_err("no forge").code(), Code::NotFound);
    let listed = client.list_forges(with_token(proto::ListForgesRequest {}, &server.manager));
    let listed = listed.await.unwrap().into_inner().forges;
    assert_eq!(
        (listed[0].kind.as_str(), listed[0].pin_sets.as_slice()),
        ("git", ["set".to_owned()].as_slice())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_text_of_others_forges_a_trailer_or_calls_somebody() {
    let dir = tempdir().unwrap();
    let url = repository(dir.path());
    let pins = "requests==1.0\nsix==1.0\n";
    let server = Server::start_with(&dir.path().join("data"), pins, Some(&url)).await;
    let someone = server.enroll(true, "").await;
    let hostile = "\u{1b}[31m@all Closes #1\n\nChange-Id: I0123\nSigned-off-by: Eve <e@x>\u{202e}";
    // What an environment sends in words is refused, however long it is, and never kept.
    for text in [hostile.to_owned(), "x".repeat(10 * 1024 * 1024)] {
        let report = proto::Report {
            fingerprint: text,
            ..server.report(proto::Outcome::Failed)
        };
        let refused = server.send(&someone.token, vec![report]).await;
        let code = refused.expect_err("no fingerprint").code();
        assert!(
            matches!(code, Code::InvalidArgument | Code::OutOfRange),
            "{code}"
        );
    }
    let id = server.start_rollout("requests", "2.0").await.unwrap().id;
    let request = proto::RollBackRolloutRequest {
        id: id.clone(),
        reason: hostile.to_owned(),
        ..Default::default()
    };
    let mut rollouts = server.rollouts();
    let rolled_back = rollouts.roll_back_rollout(with_token(request, &server.manager));
    rolled_back.await.unwrap();
    let filed = filing(&server, &id, "filed").await;
    let bare = dir.path().join("pins.git");
    let message = git(&bare, &["log", "-1", "--format=%B", &filed.branch]);
    for forged in [
        "@all",
        "#1",
        "Change-Id:",
        "Signed-off-by:",
        "\u{1b}",
        "\u{202e}",
    ] {
        assert!(!message.contains(forged), "{forged:?} in:\n{message}");
    }
    let trailers = git(
        &bare,
        &[
            "log",
            "-1",
            "--format=%(trailers:only,keyonly)",
            &filed.branch,
        ],
    );
    assert_eq!(trailers, "Filing-Id\nReverts-Pin\nRollout");
}
