//! What the forge does when the server or the network fails, and what only a stand-in can be switched to.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pinion_server::forge::{ChangeState, Error, FiledOutcome, ForgeConfig, Via};

use crate::facts::{assert_filed, stopped};
use crate::forge_http::{Fault, Front};
use crate::place::{Place, TOKEN, filed_change};

const WAYS: [Via; 2] = [Via::Push, Via::Rest];
/// More tries than one fault can need.
const TRIES_MAX: usize = 4;

/// Files until it is done; gives how often that failed.
async fn file_until_done(place: &Place, via: Via) -> (String, usize) {
    let change = place.change();
    for failures in 0..TRIES_MAX {
        match place.forge(via).ensure_change(&change).await {
            Ok(filed) => {
                assert_eq!(filed.state, ChangeState::Open);
                return (filed.commit, failures);
            }
            Err(Error::Retry { .. }) => {}
            Err(error) => panic!("a passing fault stopped it: {error}"),
        }
    }
    panic!("it was not done in {TRIES_MAX} tries");
}

async fn assert_filed_once(place: &Place, via: Via, commit: &str) {
    let change = place.change();
    assert_filed(place, &change, &place.pull().await, commit).await;
    let branches = place.ada.branches(&place.own).len();
    assert_eq!(branches, if via == Via::Push { 1 } else { 2 });
}

/// What is asked when nothing fails.
async fn requests(via: Via) -> Vec<String> {
    let (place, front, _) = Place::stand_in().await;
    let before = front.requests().len();
    file_until_done(&place, via).await;
    front.requests().split_off(before)
}

/// Cuts the n-th request, and files all the same.
async fn cut(via: Via, n: usize, fault: Fault) {
    let (place, front, _) = Place::stand_in().await;
    front.fail(n, fault);
    let (commit, _) = file_until_done(&place, via).await;
    assert_filed_once(&place, via, &commit).await;
}

async fn cut_each(via: Via) {
    let requests = requests(via).await;
    assert!(requests.len() > 8, "{requests:?}");
    for (at, request) in requests.iter().enumerate() {
        cut(via, at + 1, Fault::RequestLost).await;
        // To what only reads, both faults are the same.
        if request.starts_with("POST") {
            cut(via, at + 1, Fault::AnswerLost).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_request_of_a_push_is_lost_it_files_once() {
    cut_each(Via::Push).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_request_of_the_other_way_is_lost_it_files_once() {
    cut_each(Via::Rest).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_way_began_the_other_finishes() {
    for (first, second) in [(Via::Push, Via::Rest), (Via::Rest, Via::Push)] {
        let writes = requests(first).await;
        let last = writes
            .iter()
            .rposition(|request| request.starts_with("POST"))
            .expect("a write");
        let (place, front, _) = Place::stand_in().await;
        front.fail(last + 1, Fault::AnswerLost);
        let change = place.change();
        // Whether this try finds out is not what is asked.
        let _ = place.forge(first).ensure_change(&change).await;
        let filed = place.forge(second).ensure_change(&change).await;
        assert_eq!(filed.expect("filed").outcome, FiledOutcome::Existed);
        place.pull().await;
    }
}

async fn refused(front: &Front, place: &Place, fault: Fault) -> Error {
    front.fail(1, fault);
    let change = place.change();
    let filed = place.forge(Via::Push).ensure_change(&change).await;
    filed.expect_err("refused")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_asks_to_wait_is_obeyed() {
    let (place, front, _) = Place::stand_in().await;
    let seconds = Fault::Refused(429, Some("7".into()));
    let error = refused(&front, &place, seconds).await;
    assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
    let date = std::time::SystemTime::now() + Duration::from_secs(100);
    let date = Fault::Refused(429, Some(httpdate::fmt_http_date(date)));
    let wait = refused(&front, &place, date).await.retry_after();
    let wait = wait.expect("a wait").as_secs();
    assert!((90..=100).contains(&wait), "{wait}");
    let error = refused(&front, &place, Fault::Refused(503, None)).await;
    assert!(
        matches!(
            error,
            Error::Retry {
                retry_after: None,
                ..
            }
        ),
        "{error}"
    );
    assert!(place.pulls().await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_server_is_given_up() {
    for via in WAYS {
        let count = requests(via).await.len();
        let (place, front, _) = Place::stand_in().await;
        let config = ForgeConfig {
            timeout_s: 1,
            ..place.config(via)
        };
        // The first is a request, and one in the middle is git's.
        for n in [1, count / 2] {
            front.fail(n, Fault::Silence);
            let forge = place.forge_with(&config);
            let error = forge.ensure_change(&place.change()).await;
            assert!(matches!(error, Err(Error::Retry { .. })), "{error:?}");
        }
        let (commit, _) = file_until_done(&place, via).await;
        assert_filed_once(&place, via, &commit).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_was_exchanged_is_fetched_again() {
    for via in WAYS {
        let (place, front, _) = Place::stand_in().await;
        let file = place.config(via).password_file.expect("a file");
        let config = ForgeConfig {
            password_file: None,
            password_command: Some(vec!["cat".into(), file.display().to_string()]),
            ..place.config(via)
        };
        let forge = place.forge_with(&config);
        forge
            .read("master", crate::repository::PINS)
            .await
            .expect("a tip");
        front.rotate("n3w-t0ken", "bot");
        let answer = stopped(forge.ensure_change(&place.change()).await);
        assert!(answer.contains("may be wrong or have expired"), "{answer}");
        place.write_token("n3w-t0ken");
        let filed = forge.ensure_change(&place.change()).await;
        assert_eq!(filed.expect("filed").outcome, FiledOutcome::Created);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_at_once_file_one_pull_request_by_requests() {
    let (place, _front, _) = Place::stand_in().await;
    let change = place.change();
    let (one, two) = (place.forge(Via::Rest), place.forge(Via::Rest));
    let (one, two) = tokio::join!(one.ensure_change(&change), two.ensure_change(&change));
    for filed in [one, two] {
        match filed {
            Ok(_) | Err(Error::Retry { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    let (commit, _) = file_until_done(&place, Via::Rest).await;
    assert_filed_once(&place, Via::Rest, &commit).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_the_server_signed_is_ours() {
    let (place, front, switches) = Place::stand_in().await;
    switches.signs.store(true, Ordering::SeqCst);
    let change = place.change();
    let writes = requests(Via::Rest).await;
    let last = writes
        .iter()
        .rposition(|request| request.starts_with("POST"));
    front.fail(last.expect("a write") + 1, Fault::RequestLost);
    let error = place.forge(Via::Rest).ensure_change(&change).await;
    assert!(error.is_err(), "the pull request was opened");
    let (signed, _) = file_until_done(&place, Via::Rest).await;
    assert_eq!(place.pull().await["head"]["sha"], signed.as_str());
    // What looks like it and holds another file is a person's.
    let (place, _front, switches) = Place::stand_in().await;
    switches.signs.store(true, Ordering::SeqCst);
    let tree = place.own.commit("theirs", &[("README", b"theirs")]);
    let tree = place.own.git(&["rev-parse", &format!("{tree}^{{tree}}")]);
    let message = format!("{}\n\n{}", change.subject, change.body);
    let parent = place.change().parent;
    let theirs = ["commit-tree", &tree, "-p", &parent, "-m", &message];
    let theirs = place.own.git(&theirs);
    place.push(&theirs, &change.head).await;
    let answer = stopped(place.forge(Via::Rest).ensure_change(&place.change()).await);
    assert!(answer.contains("a person pushed"), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_server_and_another_account_are_found_by_the_trailer() {
    let (place, front, switches) = Place::stand_in().await;
    switches.is_old.store(true, Ordering::SeqCst);
    let change = place.change();
    let (commit, _) = file_until_done(&place, Via::Push).await;
    let again = place.forge(Via::Push).ensure_change(&change).await;
    assert_eq!(again.expect("filed").outcome, FiledOutcome::Existed);
    front.rotate("other-t0ken", "eve");
    place.write_token("other-t0ken");
    for via in WAYS {
        let again = place.forge(via).ensure_change(&change).await;
        assert_eq!(again.expect("filed").outcome, FiledOutcome::Existed);
    }
    let sought = filed_change(&change, &commit);
    let state = place.forge(Via::Push).state(&sought).await;
    assert_eq!(state, Ok(ChangeState::Open));
    place.pull().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_hides_its_account_needs_it_in_the_configuration() {
    let (place, _front, switches) = Place::stand_in().await;
    switches.hides_user.store(true, Ordering::SeqCst);
    let change = place.change();
    let answer = stopped(place.forge(Via::Push).ensure_change(&change).await);
    assert!(answer.contains("`read:user`"), "{answer}");
    let config = ForgeConfig {
        user: Some("bot".into()),
        ..place.config(Via::Push)
    };
    for outcome in [FiledOutcome::Created, FiledOutcome::Existed] {
        let filed = place.forge_with(&config).ensure_change(&change).await;
        assert_eq!(filed.expect("filed").outcome, outcome);
    }
}

/// Looks at all processes while it files, and at all files afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_token_is_in_no_command_line_and_in_no_file() {
    let (place, _front, _) = Place::stand_in().await;
    static IS_DONE: AtomicBool = AtomicBool::new(false);
    let watch = std::thread::spawn(|| {
        let mut seen = Vec::new();
        while !IS_DONE.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(5));
            for process in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
                let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
                let line = String::from_utf8_lossy(&line).into_owned();
                if line.contains(TOKEN) {
                    seen.push(line);
                }
            }
        }
        seen
    });
    for via in WAYS {
        file_until_done(&place, via).await;
    }
    IS_DONE.store(true, Ordering::SeqCst);
    assert_eq!(watch.join().expect("it ends"), Vec::<String>::new());
    let token = place.config(Via::Push).password_file.expect("a file");
    let work = token.parent().expect("a folder");
    let found = std::process::Command::new("grep")
        .args(["-rlF", TOKEN])
        .arg(work)
        .output()
        .expect("grep runs");
    let found = String::from_utf8_lossy(&found.stdout).into_owned();
    assert_eq!(found.trim_end(), token.display().to_string());
}
