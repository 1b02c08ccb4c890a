//! A server that answers as Gerrit does, for what the real one does not do when asked; needs no Java.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pinion_core::filing::{FilingKey, PackageChange};
use pinion_server::forge::{
    Change, ChangeState, Error, FileEdit, FiledOutcome, ForgeConfig, Signature, Via, open,
};
use serde_json::{Value, json};

use super::proxy::{Fault, Proxy};
use super::{stopped, work};

const PARENT: &str = "1111111111111111111111111111111111111111";
const EMPTY: &str = "2222222222222222222222222222222222222222";
const FILLED: &str = "3333333333333333333333333333333333333333";

/// One project with one branch, one file, and at most one change.
#[derive(Debug, Default)]
struct Model {
    created: usize,
    /// Of the change, once it is there.
    message: Option<String>,
    edit: Option<Vec<u8>>,
    published: Option<Vec<u8>>,
    is_ready: bool,
    tokens: Value,
    requests: Vec<String>,
}

impl Model {
    fn answer(&mut self, method: &Method, path: &str, body: &[u8]) -> (u16, String) {
        let guarded = |value: Value| format!(")]}}'\n{value}");
        let text = |bytes: &[u8]| STANDARD.encode(bytes);
        let json = || serde_json::from_slice::<Value>(body).unwrap_or_default();
        match (method.as_str(), path) {
            ("GET", "/config/server/version") => (200, guarded(json!("3.13.5"))),
            ("GET", "/a/accounts/self") => (200, guarded(json!({"_account_id": 7, "name": "Bot"}))),
            ("GET", "/a/accounts/self/tokens") => (200, guarded(self.tokens.clone())),
            ("GET", "/a/changes/") => (200, guarded(self.changes())),
            ("GET", path) if path.contains("/commits/") => (200, text(b"before")),
            ("GET", path) if path.contains("/revisions/") => match &self.published {
                Some(bytes) => (200, text(bytes)),
                None => (404, "Not found".to_owned()),
            },
            ("POST", "/a/changes/") => {
                self.created += 1;
                self.message = json()["subject"].as_str().map(str::to_owned);
                (201, guarded(json!({})))
            }
            ("DELETE", "/a/changes/pins~5/edit") => match self.edit.take() {
                Some(_) => (204, String::new()),
                None => (404, "Not Found".to_owned()),
            },
            ("PUT", path) if path.starts_with("/a/changes/pins~5/edit/") => {
                self.edit = Some(body.to_vec());
                (204, String::new())
            }
            ("POST", "/a/changes/pins~5/edit:publish") => match self.edit.take() {
                Some(bytes) => {
                    self.published = Some(bytes);
                    (204, String::new())
                }
                None => (409, "no edit exists for change 5".to_owned()),
            },
            ("POST", "/a/changes/pins~5/revisions/current/review") => {
                self.is_ready |= json()["ready"] == true;
                (200, guarded(json!({})))
            }
            _ => (404, format!("Not found: {path}")),
        }
    }

    fn changes(&self) -> Value {
        let Some(message) = &self.message else {
            return json!([]);
        };
        let (revision, files) = match &self.published {
            Some(_) => (FILLED, json!({"pins.txt": {}})),
            None => (EMPTY, json!({})),
        };
        let bot = json!({"_account_id": 7});
        json!([{
            "_number": 5, "status": "NEW", "owner": bot, "work_in_progress": !self.is_ready,
            "has_review_started": self.is_ready, "current_revision": revision,
            "revisions": {revision: {
                "_number": 1, "uploader": bot, "files": files,
                "commit": {"parents": [{"commit": PARENT}], "message": message},
            }},
        }])
    }
}

async fn serve(
    State(model): State<Arc<Mutex<Model>>>,
    method: Method,
    uri: Uri,
    body: Bytes,
) -> (StatusCode, String) {
    let mut model = model.lock().expect("a model");
    model.requests.push(format!("{method} {}", uri.path()));
    let (status, body) = model.answer(&method, uri.path(), &body);
    (StatusCode::from_u16(status).expect("a status"), body)
}

/// The model and a proxy before it.
async fn stand_in() -> (Arc<Mutex<Model>>, Proxy) {
    let model = Arc::new(Mutex::new(Model {
        tokens: json!([{"id": "legacy"}]),
        ..Model::default()
    }));
    let router = Router::new().fallback(serve).with_state(Arc::clone(&model));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, router).await });
    (model, Proxy::to(&format!("http://{address}")).await)
}

fn config(url: &str, work: &std::path::Path) -> ForgeConfig {
    let password = work.join("password");
    std::fs::write(&password, "s3cret").expect("a file");
    ForgeConfig {
        project: Some("pins".into()),
        via: Some(Via::Rest),
        user: Some("bot".into()),
        password_file: Some(password),
        timeout_s: 1,
        ..ForgeConfig::new("pins".parse().expect("a name"), "gerrit", url)
    }
}

fn change() -> Change {
    let moved = PackageChange {
        package: "tooz".into(),
        from_version: "9.0.0".into(),
        to_version: "8.1.0".into(),
    };
    let key = FilingKey::new("test", "pins", "main", &[moved], 1);
    Change {
        branch: "main".into(),
        head: format!("rollback/tooz-{}", key.key8()),
        parent: PARENT.into(),
        edits: vec![FileEdit {
            path: "pins.txt".into(),
            bytes: b"after".to_vec(),
        }],
        subject: "Roll back".into(),
        body: format!("Filing-Id: {key}"),
        author: Signature {
            name: "Pinion".into(),
            email: "pinion@example.org".into(),
        },
        at_unix_s: 0,
        key,
    }
}

fn answered(head: &str) -> Fault {
    let end = "Content-Length: 0\r\nConnection: close\r\n\r\n";
    Fault::Answered(format!("HTTP/1.1 {head}\r\n{end}"))
}

/// Every kind of passing fault at every request: what is said, and that the next tries finish the change, once.
#[tokio::test]
async fn every_passing_fault_at_every_request_ends_in_one_whole_change() {
    let far = "429 Too Many Requests\r\nRetry-After: Fri, 31 Dec 9999 23:59:59 GMT";
    let day = Duration::from_secs(24 * 3600);
    for (fault, wait) in [
        (
            answered("429 Too Many Requests\r\nRetry-After: 7"),
            Some(Duration::from_secs(7)),
        ),
        (answered(far), Some(day)),
        (
            answered("429 Too Many Requests"),
            Some(Duration::from_secs(60)),
        ),
        (answered("503 Service Unavailable"), None),
        (answered("500 Internal Server Error"), None),
        (Fault::RequestLost, None),
        (Fault::AnswerLost, None),
        (Fault::AnswerLate, None),
    ] {
        let mut number = 1;
        loop {
            let (model, proxy) = stand_in().await;
            let work = work();
            let forge = open(&config(&proxy.url, work.path()), work.path()).expect("a forge");
            proxy.fail_at(number, fault.clone());
            let first = forge.ensure_change(&change()).await;
            let is_over = proxy.seen() < number;
            match &first {
                Ok(_) => assert!(is_over, "{fault:?} at {number}"),
                Err(Error::Retry { retry_after, .. }) => assert_eq!(*retry_after, wait),
                Err(error) => panic!("{fault:?} at {number}: {error}"),
            }
            proxy.heal();
            let filed = forge.ensure_change(&change()).await.expect("filed");
            assert_eq!(
                (filed.commit.as_str(), filed.state),
                (FILLED, ChangeState::Open)
            );
            let again = forge.ensure_change(&change()).await.expect("filed");
            assert_eq!(again.outcome, FiledOutcome::Existed);
            let model = model.lock().expect("a model");
            assert_eq!(
                model.created, 1,
                "{fault:?} at {number}: {:#?}",
                model.requests
            );
            assert_eq!(model.published.as_deref(), Some(b"after".as_slice()));
            assert!(model.is_ready, "{fault:?} at {number}");
            if is_over {
                break;
            }
            number += 1;
        }
        assert!(number > 8, "{fault:?}: only {number} requests");
    }
}

#[tokio::test]
async fn a_lasting_refusal_and_a_redirect_stop_the_filing_and_show_no_password() {
    for (head, words) in [
        ("401 Unauthorized", "may be wrong or have expired"),
        ("403 Forbidden", "answered 403"),
        (
            "302 Found\r\nLocation: https://evil.example/",
            "not followed with a password",
        ),
    ] {
        let (model, proxy) = stand_in().await;
        let work = work();
        let forge = open(&config(&proxy.url, work.path()), work.path()).expect("a forge");
        proxy.fail_at(1, answered(head));
        let answer = stopped(forge.ensure_change(&change()).await);
        assert!(
            answer.contains(words) && !answer.contains("s3cret"),
            "{answer}"
        );
        assert_eq!(model.lock().expect("a model").created, 0);
    }
}

#[tokio::test]
async fn a_token_that_ends_soon_is_found_by_a_check() {
    let (model, proxy) = stand_in().await;
    let work = work();
    let forge = open(&config(&proxy.url, work.path()), work.path()).expect("a forge");
    for (end, is_good) in [
        ("2001-01-01 00:00:00.000000000", false),
        ("9999-01-01 00:00:00.000000000", true),
    ] {
        model.lock().expect("a model").tokens = json!([{"id": "t1", "expiration": end}]);
        let findings = forge.check(None).await;
        let found: HashMap<_, _> = findings
            .iter()
            .map(|finding| (finding.what.as_str(), &finding.found))
            .collect();
        let tokens = found["use the account's tokens"];
        assert_eq!(tokens.is_ok(), is_good, "{findings:#?}");
        let words = tokens.as_ref().unwrap_or_else(|words| words);
        assert!(
            words.contains("`t1`") && words.contains(&end[..16]),
            "{words}"
        );
    }
}
