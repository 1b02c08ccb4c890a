//! What the forge does when requests are refused for a while or never answered, and what it lets nobody see.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pinion_server::forge::{Error, ForgeConfig, open};

use super::repository::PINS;
use super::stand_in::{Fault, Github, TOKEN};
use super::{config, forge, stopped, work};

#[tokio::test]
async fn labels_and_reviewers_that_are_lost_are_only_remarked_and_asked_for_again() {
    for fault in [Fault::LostBefore, Fault::LostAfter] {
        let (github, work) = (Github::start().await, work());
        let config = ForgeConfig {
            labels: vec!["rollback".into()],
            reviewers: vec!["grace".into()],
            ..config(&github, &work)
        };
        let change = github.repository.rollback();
        github.open_pull(&change);
        github.state().faults.insert(1, fault);
        for remark in [
            "pull request 1; without labels: the forge gave no answer",
            "pull request 1",
        ] {
            let forge = open(&config, work.path()).expect("a forge");
            let filed = forge.ensure_change(&change).await.expect("filed");
            assert!(filed.answer.starts_with(remark), "{}", filed.answer);
        }
        let pull = github.state().pulls[0].clone();
        assert_eq!(
            (pull.labels, pull.reviewers),
            (vec!["rollback".into()], vec!["grace".into()])
        );
    }
}

#[tokio::test]
async fn passing_refusals_say_how_long_to_wait() {
    let (github, work) = (Github::start().await, work());
    let forge = forge(&github, &work);
    let in_an_hour = std::time::SystemTime::now() + Duration::from_secs(3600);
    let date = httpdate::fmt_http_date(in_an_hour);
    let secondary =
        "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.";
    for (status, header, value, message, wait) in [
        (429, "retry-after", "7", "Too many", Some(7..=7)),
        (429, "retry-after", &date, "Too many", Some(3500..=3600)),
        (403, "retry-after", "30", secondary, Some(30..=30)),
        (403, "x-ratelimit-remaining", "9", secondary, Some(60..=60)),
        (
            403,
            "x-ratelimit-remaining",
            "0",
            "API rate limit exceeded",
            Some(60..=60),
        ),
        (503, "x-none", "", "Unavailable", None),
    ] {
        let next = github.state().asked.len();
        let fault = Fault::Refuse(status, header, value.to_owned(), message);
        github.state().faults.insert(next, fault);
        let error = forge.read("master", PINS).await.expect_err(message);
        let Error::Retry { retry_after, .. } = &error else {
            panic!("{status}: {error}");
        };
        let waits = |seconds: u64| wait.as_ref().is_some_and(|wait| wait.contains(&seconds));
        assert_eq!(retry_after.is_some(), wait.is_some(), "{error:?}");
        assert!(
            retry_after.is_none_or(|after| waits(after.as_secs())),
            "{error:?}"
        );
        forge.read("master", PINS).await.expect("a tip");
    }
}

#[tokio::test]
async fn a_request_that_is_never_answered_is_given_up() {
    let (github, work) = (Github::start().await, work());
    let config = ForgeConfig {
        timeout_s: 1,
        ..config(&github, &work)
    };
    let forge = open(&config, work.path()).expect("a forge");
    github.state().faults.insert(0, Fault::Hang);
    let error = forge.read("master", PINS).await.expect_err("no answer");
    assert!(
        matches!(&error, Error::Retry { answer, .. } if answer.contains("took too long")),
        "{error}"
    );
    forge.read("master", PINS).await.expect("a tip");
}

#[tokio::test]
async fn a_token_that_has_ended_stops_the_filing_until_it_is_exchanged() {
    let (github, work) = (Github::start().await, work());
    let (forge, change) = (forge(&github, &work), github.repository.rollback());
    github.open_pull(&change);
    github.state().token = "ghp_new".into();
    let answer = stopped(forge.ensure_change(&change).await);
    assert!(answer.contains("may be wrong or have expired"), "{answer}");
    std::fs::write(work.path().join("token"), "ghp_new\n").expect("a token");
    forge.ensure_change(&change).await.expect("filed");
    // A command is run again when its token is refused, within the same request.
    let by_command = ForgeConfig {
        password_file: None,
        password_command: Some(vec![
            "cat".into(),
            work.path().join("token").display().to_string(),
        ]),
        ..config(&github, &work)
    };
    let forge = open(&by_command, work.path()).expect("a forge");
    forge.ensure_change(&change).await.expect("filed");
    github.state().token = "ghp_newer".into();
    std::fs::write(work.path().join("token"), "ghp_newer").expect("a token");
    forge.ensure_change(&change).await.expect("filed");
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("a log").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_token_is_in_no_error_and_no_log() {
    let (log, github, work) = (Log::default(), Github::start().await, work());
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let _logging = tracing::subscriber::set_default(subscriber);
    tracing::info!("begins");
    let forge = forge(&github, &work);
    let change = github.repository.rollback();
    let echo: &'static str = "you sent Bearer ghp_s3cret";
    for (status, token) in [
        (401, "other"),
        (403, TOKEN),
        (404, TOKEN),
        (500, TOKEN),
        (200, TOKEN),
        (302, TOKEN),
    ] {
        github.state().token = token.into();
        let next = github.state().asked.len();
        let fault = Fault::Refuse(
            status,
            "location",
            format!("http://x.example/?{TOKEN}"),
            echo,
        );
        github.state().faults.insert(next, fault);
        let error = forge.ensure_change(&change).await.expect_err("refused");
        let shown = format!("{error} {error:?} {forge:?}");
        assert!(!shown.contains("s3cret"), "{shown}");
        let asked = github.state().asked[next].headers["authorization"].clone();
        assert_eq!(asked, format!("Bearer {TOKEN}"));
    }
    let log = log.0.lock().expect("a log");
    let log = String::from_utf8_lossy(&log);
    assert!(log.contains("begins") && !log.contains("s3cret"), "{log}");
}
