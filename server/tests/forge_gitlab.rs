//! The GitLab forge against a stand-in with a real git side.

mod forge_http;
#[path = "forge_git/repository.rs"]
#[allow(dead_code, reason = "the other tests use the rest of it")]
mod repository;
#[path = "forge_gitlab/stand_in.rs"]
mod stand_in;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use pinion_server::forge::{
    Change, ChangeState, Error, FileEdit, FiledChange, FiledOutcome, Finding, Forge, ForgeConfig,
    Target, Via, open,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use self::forge_http::person::Person;
use self::forge_http::{Fault, Front};
use self::repository::{AFTER, PINS, Repository};
use self::stand_in::{GitLab, Switches};

const TOKEN: &str = "glpat-b0t-t0ken";
const MERGE_REQUESTS: &str = "/projects/infra%2Fpins/merge_requests";
/// More tries than one fault can need.
const TRIES_MAX: usize = 4;

/// A project with a person and our account.
struct Place {
    ada: Person,
    own: Repository,
    front: Front,
    switches: Arc<Switches>,
    work: TempDir,
}

impl Place {
    async fn new() -> Self {
        let gitlab = GitLab::new();
        let (root, switches) = (gitlab.root(), Arc::clone(&gitlab.switches));
        let tokens = [(TOKEN, "bot"), ("ada-token", "ada")];
        let front = Front::start(root, gitlab, &tokens).await;
        let ada = Person {
            url: front.url(),
            project: "infra/pins".into(),
            name: "ada".into(),
            token: "ada-token".into(),
            scheme: ("private-token", ""),
            api: "/api/v4",
        };
        let place = Self {
            ada,
            own: Repository::new(),
            front,
            switches,
            work: tempfile::tempdir().expect("a folder"),
        };
        place.write_token(TOKEN);
        place.ada.push(&place.own, "master:refs/heads/master");
        place
    }

    fn write_token(&self, token: &str) {
        std::fs::write(self.work.path().join("token"), token).expect("a file");
    }

    fn config(&self) -> ForgeConfig {
        ForgeConfig {
            project: Some("infra/pins".into()),
            password_file: Some(self.work.path().join("token")),
            author_email: "pinion@example.org".into(),
            ..ForgeConfig::new("pins".parse().expect("a name"), "gitlab", &self.ada.url)
        }
    }

    /// A forge that works in a folder of its own.
    fn forge_with(&self, config: &ForgeConfig) -> Arc<dyn Forge> {
        let folder = tempfile::tempdir_in(self.work.path()).expect("a folder");
        open(config, &folder.keep()).expect("a forge")
    }

    fn forge(&self) -> Arc<dyn Forge> {
        self.forge_with(&self.config())
    }

    fn change(&self) -> Change {
        self.own.rollback()
    }

    /// The only merge request there is.
    async fn merge_request(&self) -> Value {
        let path = format!("{MERGE_REQUESTS}?state=all");
        let found = self.ada.must("GET", &path, None).await;
        let found = found.as_array().expect("a list");
        assert_eq!(found.len(), 1, "{found:?}");
        found[0].clone()
    }

    async fn has_none(&self) -> bool {
        let path = format!("{MERGE_REQUESTS}?state=all");
        self.ada.must("GET", &path, None).await == json!([])
    }

    async fn act(&self, act: &str) {
        let path = format!("{MERGE_REQUESTS}/1");
        self.ada.must("PUT", &path, Some(json!({"act": act}))).await;
    }

    /// Files until it is done; passing faults only.
    async fn file_until_done(&self) -> String {
        let change = self.change();
        for _ in 0..TRIES_MAX {
            match self.forge().ensure_change(&change).await {
                Ok(filed) => {
                    assert_eq!(filed.state, ChangeState::Open);
                    return filed.commit;
                }
                Err(Error::Retry { .. }) => {}
                Err(error) => panic!("a passing fault stopped it: {error}"),
            }
        }
        panic!("it was not done in {TRIES_MAX} tries");
    }

    /// One merge request, one branch, the exact commit.
    async fn assert_filed_once(&self, commit: &str) {
        let change = self.change();
        let request = self.merge_request().await;
        assert_eq!(request["sha"], commit);
        assert_eq!(request["source_branch"], change.head.as_str());
        assert_eq!(request["target_branch"], "master");
        assert_eq!(request["title"], change.subject.as_str());
        assert_eq!(request["description"], change.body.as_str());
        assert_eq!(request["remove_source_branch"], true);
        let branches = self.ada.branches(&self.own);
        assert_eq!(branches.get(&change.head).map(String::as_str), Some(commit));
        assert_eq!(branches.len(), 2);
        self.ada
            .fetch(&self.own, &format!("refs/heads/{}", change.head));
        assert_eq!(self.own.file(commit, PINS), AFTER);
        let raw = self.own.git(&["cat-file", "commit", commit]);
        let (header, message) = raw.split_once("\n\n").expect("a message");
        let person = "Pinion <pinion@example.org> 1772446500 +0000";
        let wanted = format!(
            "\nparent {}\nauthor {person}\ncommitter {person}",
            change.parent
        );
        assert!(header.ends_with(&wanted), "{header}");
        assert_eq!(message, format!("{}\n\n{}", change.subject, change.body));
    }
}

fn stopped<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    match result {
        Err(Error::Stopped { answer }) => answer,
        other => panic!("expected a stop, got {other:?}"),
    }
}

fn filed_change(change: &Change, commit: &str) -> FiledChange {
    FiledChange {
        key: change.key.clone(),
        branch: change.branch.clone(),
        head: change.head.clone(),
        commit: commit.to_owned(),
    }
}

/// What did not work.
fn failed(findings: &[Finding]) -> Vec<&str> {
    let failed = findings.iter().filter(|finding| finding.found.is_err());
    failed.map(|finding| finding.what.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_is_one_branch_and_one_merge_request() {
    let place = Place::new().await;
    let (change, forge) = (place.change(), place.forge());
    let filed = forge.ensure_change(&change).await.expect("filed");
    assert_eq!(
        (filed.outcome, filed.state, filed.answer.as_str()),
        (FiledOutcome::Created, ChangeState::Open, "merge request !1")
    );
    assert!(
        filed
            .url
            .is_some_and(|url| url.ends_with("/merge_requests/1"))
    );
    for forge in [forge, place.forge()] {
        let again = forge.ensure_change(&change).await.expect("filed");
        assert_eq!(
            (again.outcome, again.commit.as_str()),
            (FiledOutcome::Existed, filed.commit.as_str())
        );
        let state = forge.state(&filed_change(&change, &filed.commit)).await;
        assert_eq!(state, Ok(ChangeState::Open));
    }
    place.assert_filed_once(&filed.commit).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_request_is_lost_it_files_once() {
    let place = Place::new().await;
    let before = place.front.requests().len();
    place.file_until_done().await;
    let requests = place.front.requests().split_off(before);
    assert!(requests.len() > 8, "{requests:?}");
    for (at, request) in requests.iter().enumerate() {
        // To what only reads, both faults are the same.
        let faults = match request.starts_with("POST") {
            true => vec![Fault::RequestLost, Fault::AnswerLost],
            false => vec![Fault::RequestLost],
        };
        for fault in faults {
            let place = Place::new().await;
            place.front.fail(at + 1, fault);
            let commit = place.file_until_done().await;
            place.assert_filed_once(&commit).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_branch_that_was_pushed_gets_its_merge_request() {
    let (other, place) = (Place::new().await, Place::new().await);
    let change = place.change();
    // What another server pushed before it died; the same commit wherever it is made.
    let commit = other.file_until_done().await;
    let head = format!("refs/heads/{}", change.head);
    other.ada.fetch(&place.own, &head);
    place.ada.push(&place.own, &format!("{commit}:{head}"));
    let filed = place.forge().ensure_change(&change).await.expect("filed");
    assert_eq!(
        (filed.outcome, &filed.commit),
        (FiledOutcome::Created, &commit)
    );
    place.assert_filed_once(&commit).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_at_once_file_one_merge_request() {
    let place = Place::new().await;
    let change = place.change();
    let (one, two) = (place.forge(), place.forge());
    let (one, two) = tokio::join!(one.ensure_change(&change), two.ensure_change(&change));
    let (one, two) = (one.expect("filed"), two.expect("filed"));
    assert_eq!(one.commit, two.commit);
    place.assert_filed_once(&one.commit).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_person_merged_or_closed_is_not_filed_again() {
    for (act, state) in [
        ("merge", ChangeState::Merged),
        ("close", ChangeState::Declined),
    ] {
        let place = Place::new().await;
        let change = place.change();
        let commit = place.file_until_done().await;
        place.act(act).await;
        let again = place.forge().ensure_change(&change).await.expect("filed");
        assert_eq!((again.outcome, again.state), (FiledOutcome::Existed, state));
        let sought = filed_change(&change, &commit);
        assert_eq!(place.forge().state(&sought).await, Ok(state));
        place.merge_request().await;
        // Even its traces being deleted, what the branch holds is not filed again.
        if state == ChangeState::Merged {
            let path = format!("{MERGE_REQUESTS}/1");
            place.ada.must("DELETE", &path, None).await;
            assert_eq!(place.forge().state(&sought).await, Ok(state));
            let again = place.forge().ensure_change(&change).await.expect("filed");
            assert_eq!(again.state, state);
            assert!(place.has_none().await);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_person_pushed_is_left_alone() {
    let place = Place::new().await;
    let change = place.change();
    let theirs = place.own.commit("theirs", &[("README", b"theirs")]);
    let push = format!("theirs:refs/heads/{}", change.head);
    place.ada.push(&place.own, &push);
    let answer = stopped(place.forge().ensure_change(&change).await);
    assert!(
        answer.contains("a person pushed") && answer.contains(&theirs),
        "{answer}"
    );
    assert!(place.has_none().await);
    // A fork's merge request from a branch of the same name is not ours.
    let request =
        json!({"source_branch": change.head, "target_branch": "master", "source_project_id": 9});
    let path = MERGE_REQUESTS;
    place.ada.must("POST", path, Some(request)).await;
    stopped(place.forge().ensure_change(&change).await);
    place.ada.must("DELETE", &format!("{path}/1"), None).await;
    // With a merge request it is one of ours that a person went on with.
    let request = json!({"source_branch": change.head, "target_branch": "master"});
    place.ada.must("POST", path, Some(request)).await;
    let filed = place.forge().ensure_change(&change).await.expect("filed");
    assert_eq!(
        (filed.outcome, filed.commit.as_str()),
        (FiledOutcome::Existed, theirs.as_str())
    );
    let branches = place.ada.branches(&place.own);
    assert_eq!(branches.get(&change.head), Some(&theirs));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn labels_reviewers_and_drafts_are_asked_for() {
    let place = Place::new().await;
    let config = ForgeConfig {
        labels: vec!["rollback".into(), "dependencies".into()],
        reviewers: vec!["ada".into(), "nobody-here".into()],
        draft: true,
        ..place.config()
    };
    let change = Change {
        body: "/merge\nGood.".into(),
        ..place.change()
    };
    let forge = place.forge_with(&config);
    let filed = forge.ensure_change(&change).await.expect("filed");
    assert_eq!(
        filed.answer,
        "merge request !1; there is no user `nobody-here` to ask"
    );
    let request = place.merge_request().await;
    assert_eq!(request["labels"], "rollback,dependencies");
    assert_eq!(request["reviewer_ids"], json!([1]));
    let title = format!("Draft: {}", change.subject);
    assert_eq!(request["title"], title.as_str());
    assert_eq!(request["description"], "\\/merge\nGood.");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passing_faults_are_told_from_lasting_ones() {
    let place = Place::new().await;
    let change = place.change();
    let date = std::time::SystemTime::now() + Duration::from_secs(100);
    let date = httpdate::fmt_http_date(date);
    for (fault, least, most) in [
        (Fault::Refused(429, Some("7".into())), Some(7), Some(7)),
        (Fault::Refused(429, Some(date)), Some(90), Some(100)),
        (Fault::Refused(429, None), Some(60), Some(60)),
        (Fault::Refused(503, None), None, None),
    ] {
        place.front.fail(1, fault.clone());
        let error = place.forge().ensure_change(&change).await;
        let error = error.expect_err("refused");
        assert!(matches!(error, Error::Retry { .. }), "{fault:?}: {error}");
        let wait = error.retry_after().map(|wait| wait.as_secs());
        assert!(least <= wait && wait <= most, "{fault:?}: {wait:?}");
    }
    let config = ForgeConfig {
        timeout_s: 1,
        ..place.config()
    };
    for n in [1, 3] {
        place.front.fail(n, Fault::Silence);
        let error = place.forge_with(&config).ensure_change(&change).await;
        assert!(matches!(error, Err(Error::Retry { .. })), "{error:?}");
    }
    place.switches.lags.store(true, Ordering::SeqCst);
    let error = place.forge().ensure_change(&change).await;
    assert!(matches!(error, Err(Error::Retry { .. })), "{error:?}");
    let commit = place.file_until_done().await;
    place.assert_filed_once(&commit).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_things_are_named_and_stop_the_filing() {
    let place = Place::new().await;
    let (change, forge) = (place.change(), place.forge());
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
        project: Some("infra/nope".into()),
        ..place.config()
    };
    let answer = stopped(place.forge_with(&project).ensure_change(&change).await);
    assert!(answer.contains("`infra/nope` is not there"), "{answer}");
    place.switches.is_reporter.store(true, Ordering::SeqCst);
    let answer = stopped(forge.ensure_change(&change).await);
    assert!(answer.contains("the role Developer"), "{answer}");
    assert!(place.has_none().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_exchanged_while_it_runs_and_shown_nowhere() {
    let place = Place::new().await;
    let file = place.work.path().join("token").display().to_string();
    let config = ForgeConfig {
        password_file: None,
        password_command: Some(vec!["cat".into(), file.clone()]),
        ..place.config()
    };
    let (change, forge) = (place.change(), place.forge_with(&config));
    forge.read("master", PINS).await.expect("a tip");
    place.front.rotate("glpat-n3w", "bot");
    let error = forge.ensure_change(&change).await.expect_err("refused");
    let read = forge.read("master", PINS).await.expect_err("refused");
    let check = forge.check(None).await;
    let shown = format!("{error} {error:?} {read} {read:?} {forge:?} {check:?}");
    assert!(!shown.contains("glpat"), "{shown}");
    stopped::<()>(Err(error));
    place.write_token("glpat-n3w");
    let filed = forge.ensure_change(&change).await.expect("filed");
    assert_eq!(filed.outcome, FiledOutcome::Created);
    let found = std::process::Command::new("grep")
        .args(["-rlF", "glpat"])
        .arg(place.work.path())
        .output()
        .expect("grep runs");
    assert_eq!(String::from_utf8_lossy(&found.stdout).trim_end(), file);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_says_what_works_and_what_is_missing() {
    let place = Place::new().await;
    let target = Target {
        branch: "master".into(),
        path: PINS.into(),
    };
    let findings = place.forge().check(Some(&target)).await;
    assert_eq!(failed(&findings), Vec::<&str>::new(), "{findings:?}");
    let said = format!("{findings:?}");
    assert!(
        said.contains("`pinion`, which expires on 2027-01-31"),
        "{said}"
    );
    let switches = &place.switches;
    switches.is_old.store(true, Ordering::SeqCst);
    let findings = place.forge().check(None).await;
    assert!(format!("{findings:?}").contains("of `bot`"), "{findings:?}");
    switches.is_old.store(false, Ordering::SeqCst);
    switches.is_narrow.store(true, Ordering::SeqCst);
    switches.is_reporter.store(true, Ordering::SeqCst);
    let findings = place.forge().check(Some(&target)).await;
    assert_eq!(failed(&findings), ["log in", "have the role"]);
    let nowhere = Target {
        path: "nope".into(),
        ..target
    };
    let findings = place.forge().check(Some(&nowhere)).await;
    assert!(failed(&findings).contains(&"read `nope` on `master`"));
    assert!(place.has_none().await);
    assert_eq!(place.ada.branches(&place.own).len(), 1);
}

#[test]
fn keys_that_are_missing_or_wrong_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let good = || ForgeConfig {
        project: Some("infra/sub/pins".into()),
        password_file: Some("/nonexistent".into()),
        ..ForgeConfig::new(
            "pins".parse().expect("a name"),
            "gitlab",
            "https://x.example",
        )
    };
    assert!(open(&good(), folder.path()).is_ok());
    type Spoil = fn(&mut ForgeConfig);
    let cases: [(Spoil, &str); 7] = [
        (|config| config.project = None, "`gitlab` needs `project`"),
        (|config| config.password_file = None, "a token by"),
        (
            |config| config.project = Some("pins".into()),
            "the whole path",
        ),
        (
            |config| config.project = Some("a/../b".into()),
            "the whole path",
        ),
        (
            |config| config.via = Some(Via::Rest),
            "`via` has no meaning",
        ),
        (
            |config| config.cc = vec!["eve".into()],
            "`cc` has no meaning",
        ),
        (|config| config.labels = vec!["a,b".into()], "a comma"),
    ];
    for (spoil, named) in cases {
        let mut config = good();
        spoil(&mut config);
        let refused = open(&config, folder.path()).expect_err(named).to_string();
        assert!(refused.contains(named), "{refused}");
    }
}
