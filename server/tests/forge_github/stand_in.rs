//! A stand-in for GitHub: its REST API, as far as it is used, over a real bare repository and with its own words.
//!
//! It refuses a second open pull request of a branch, as GitHub does, and can lose or spoil any request.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use axum::body::{Body, HttpBody, to_bytes};
use http::{HeaderMap, Method, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use percent_encoding::percent_decode_str;
use pinion_server::forge::Change;
use serde_json::{Value, json};

use super::objects::Objects;
use super::repository::{AFTER, PINS, Repository};

pub(crate) const OWNER: &str = "acme";
pub(crate) const NAME: &str = "pins";
pub(crate) const TOKEN: &str = "ghp_s3cret";
const PEOPLE: [&str; 2] = ["ada", "grace"];
const TEAMS: [&str; 1] = ["release"];

/// What becomes of a request.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// The connection is cut before anything happens.
    LostBefore,
    /// The connection is cut after it has been carried out.
    LostAfter,
    /// It is never answered.
    Hang,
    /// It is refused with this status, header and message.
    Refuse(u16, &'static str, String, &'static str),
}

/// One request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) began: Instant,
    pub(crate) ended: Option<Instant>,
}

/// A pull request.
#[derive(Clone, Debug)]
pub(crate) struct Pull {
    pub(crate) head: String,
    pub(crate) base: String,
    pub(crate) title: String,
    pub(crate) body: String,
    pub(crate) draft: bool,
    pub(crate) is_open: bool,
    pub(crate) is_merged: bool,
    /// The repository that its head is in.
    pub(crate) from: Option<String>,
    pub(crate) sha: String,
    pub(crate) labels: Vec<String>,
    pub(crate) reviewers: Vec<String>,
    pub(crate) teams: Vec<String>,
}

/// What can be set and seen.
pub(crate) struct State {
    pub(crate) token: String,
    /// Headers of every answer.
    pub(crate) headers: Vec<(&'static str, String)>,
    /// By the number of the request, from 0.
    pub(crate) faults: BTreeMap<usize, Fault>,
    pub(crate) asked: Vec<Asked>,
    pub(crate) pulls: Vec<Pull>,
    pub(crate) archived: bool,
    pub(crate) may_push: bool,
    pub(crate) is_app: bool,
    /// The rights of the token to write contents and pull requests.
    pub(crate) writes: (bool, bool),
}

/// The server; it ends with the test's runtime.
pub(crate) struct Github {
    pub(crate) repository: Repository,
    pub(crate) address: SocketAddr,
    state: Mutex<State>,
    running: AtomicUsize,
    pub(crate) running_max: AtomicUsize,
}

/// An answer: status, perhaps a header, and JSON.
pub(crate) enum Reply {
    Json(u16, Value),
    Header(u16, &'static str, String, Value),
}

impl Reply {
    pub(crate) fn not_found() -> Self {
        Self::message(404, "Not Found")
    }

    pub(crate) fn message(status: u16, words: &str) -> Self {
        let status_text = status.to_string();
        Self::Json(
            status,
            json!({"message": words, "documentation_url": "https://docs.github.com/rest", "status": status_text}),
        )
    }

    fn invalid_pull(error: Value) -> Self {
        Self::Json(
            422,
            json!({"message": "Validation Failed", "errors": [error], "status": "422"}),
        )
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the connection is cut")]
struct Cut;

impl Github {
    pub(crate) async fn start() -> Arc<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let github = Arc::new(Self {
            repository: Repository::new(),
            address: listener.local_addr().expect("an address"),
            state: Mutex::new(State {
                token: TOKEN.to_owned(),
                headers: Vec::new(),
                faults: BTreeMap::new(),
                asked: Vec::new(),
                pulls: Vec::new(),
                archived: false,
                may_push: true,
                is_app: false,
                writes: (true, true),
            }),
            running: AtomicUsize::new(0),
            running_max: AtomicUsize::new(0),
        });
        let served = Arc::clone(&github);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                let served = Arc::clone(&served);
                let service = tower::service_fn(move |request| {
                    let served = Arc::clone(&served);
                    async move { served.answer(request).await }
                });
                tokio::spawn(async move {
                    // An error is a connection that was cut, by either side.
                    let _ = auto::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service))
                        .await;
                });
            }
        });
        github
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panicked with it")
    }

    /// The requests that write, as `POST /repos/…`, without those of another method.
    pub(crate) fn written(&self) -> Vec<Asked> {
        let state = self.state();
        let writes = state
            .asked
            .iter()
            .filter(|asked| asked.method != Method::GET);
        writes.cloned().collect()
    }

    /// Has the change as an open pull request, without a word to the forge.
    pub(crate) fn open_pull(&self, change: &Change) {
        let head = format!("refs/heads/{}", change.head);
        self.repository.git(&["update-ref", &head, &change.parent]);
        let sha = self.repository.commit(&change.head, &[(PINS, AFTER)]);
        self.state().pulls.push(Pull {
            head: change.head.clone(),
            base: change.branch.clone(),
            title: change.subject.clone(),
            body: change.body.clone(),
            draft: false,
            is_open: true,
            is_merged: false,
            from: Some(format!("{OWNER}/{NAME}")),
            sha,
            labels: Vec::new(),
            reviewers: Vec::new(),
            teams: Vec::new(),
        });
    }

    async fn answer<B>(&self, request: Request<B>) -> Result<Response<Body>, Cut>
    where
        B: HttpBody<Data = bytes::Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.running_max.fetch_max(running, Ordering::SeqCst);
        let answer = self.answer_one(request).await;
        self.running.fetch_sub(1, Ordering::SeqCst);
        answer
    }

    async fn answer_one<B>(&self, request: Request<B>) -> Result<Response<Body>, Cut>
    where
        B: HttpBody<Data = bytes::Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (head, body) = request.into_parts();
        let body = to_bytes(Body::new(body), usize::MAX)
            .await
            .map_err(|_| Cut)?
            .to_vec();
        let (number, fault) = {
            let mut state = self.state();
            state.asked.push(Asked {
                method: head.method.clone(),
                target: head.uri.to_string(),
                headers: head.headers.clone(),
                body: body.clone(),
                began: Instant::now(),
                ended: None,
            });
            let number = state.asked.len() - 1;
            (number, state.faults.remove(&number))
        };
        match &fault {
            Some(Fault::LostBefore) => return Err(Cut),
            Some(Fault::Hang) => {
                tokio::time::sleep(Duration::from_secs(60)).await;
                return Err(Cut);
            }
            Some(Fault::Refuse(status, name, value, message)) => {
                return Ok(self.response(Reply::Header(
                    *status,
                    name,
                    value.clone(),
                    json!({"message": message}),
                )));
            }
            Some(Fault::LostAfter) | None => {}
        }
        let reply = self.carry_out(&head.method, &head.uri, &head.headers, &body);
        self.state().asked[number].ended = Some(Instant::now());
        match fault {
            Some(_) => Err(Cut),
            None => Ok(self.response(reply)),
        }
    }

    fn response(&self, reply: Reply) -> Response<Body> {
        let mut response = Response::builder();
        for (name, value) in &self.state().headers {
            response = response.header(*name, value);
        }
        let (status, body) = match reply {
            Reply::Json(status, body) => (status, body),
            Reply::Header(status, name, value, body) => {
                response = response.header(name, value);
                (status, body)
            }
        };
        response
            .status(status)
            .header("content-type", "application/json; charset=utf-8")
            .body(Body::from(body.to_string()))
            .expect("a response")
    }

    fn carry_out(
        &self,
        method: &Method,
        uri: &http::Uri,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Reply {
        let header = |name: &str| {
            let mut values = headers.get_all(name).iter();
            let value = values.next().and_then(|value| value.to_str().ok());
            assert!(values.next().is_none(), "`{name}` came twice");
            value.unwrap_or_default().to_owned()
        };
        if header("authorization") != format!("Bearer {}", self.state().token) {
            return Reply::message(401, "Bad credentials");
        }
        if header("user-agent").is_empty() || header("x-github-api-version") != "2022-11-28" {
            return Reply::message(403, "Request forbidden by administrative rules.");
        }
        assert_eq!(header("accept"), "application/vnd.github+json");
        let parts: Vec<String> = uri
            .path()
            .trim_start_matches("/api/v3")
            .trim_start_matches('/')
            .split('/')
            .map(decoded)
            .collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let query: HashMap<String, String> = uri
            .query()
            .unwrap_or_default()
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| (name.to_owned(), decoded(value)))
            .collect();
        let sent: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
        match (method.as_str(), &parts[..]) {
            ("GET", ["user"]) if self.state().is_app => {
                Reply::message(403, "Resource not accessible by integration")
            }
            ("GET", ["user"]) => Reply::Json(200, json!({"login": "pinion-bot", "id": 7})),
            ("GET", ["installation", "repositories"]) if self.state().is_app => {
                Reply::Json(200, json!({"total_count": 1, "repositories": []}))
            }
            ("GET", ["installation", "repositories"]) => Reply::message(
                403,
                "You must authenticate with an installation access token in order to list repositories for an installation.",
            ),
            (_, ["repos", owner, NAME, rest @ ..]) if owner.eq_ignore_ascii_case(OWNER) => {
                match method.as_str() {
                    "GET" => self.look(rest, &query),
                    "POST" => self.write(rest, &sent),
                    _ => Reply::not_found(),
                }
            }
            _ => Reply::not_found(),
        }
    }

    fn look(&self, parts: &[&str], query: &HashMap<String, String>) -> Reply {
        let objects = Objects(&self.repository);
        match parts {
            [] => {
                let state = self.state();
                Reply::Json(
                    200,
                    json!({
                        "full_name": format!("{OWNER}/{NAME}"), "default_branch": "master", "archived": state.archived,
                        "permissions": {"admin": false, "push": state.may_push, "pull": true},
                    }),
                )
            }
            ["branches", name] => match self.repository.branch(name) {
                Some(sha) => Reply::Json(
                    200,
                    json!({"name": name, "commit": {"sha": sha}, "protected": *name == "master"}),
                ),
                None => Reply::message(404, "Branch not found"),
            },
            ["pulls"] => self.pulls(query),
            ["git", kind, id] => objects.look(kind, id),
            ["compare", range] => objects.compare(range),
            _ => Reply::not_found(),
        }
    }

    fn write(&self, parts: &[&str], sent: &Value) -> Reply {
        let (contents, pulls) = self.state().writes;
        let refused = |needed: &str| {
            Reply::Header(
                403,
                "x-accepted-github-permissions",
                needed.to_owned(),
                json!({"message": "Resource not accessible by personal access token", "status": "403"}),
            )
        };
        match parts {
            ["git", ..] if !contents => refused("contents=write"),
            ["pulls" | "issues", ..] if !pulls => refused("pull_requests=write"),
            // One at a time, since git has one index here.
            ["git", kind] => {
                let _turn = self.state();
                Objects(&self.repository).create(kind, sent)
            }
            ["pulls"] => self.create_pull(sent),
            ["issues", number, "labels"] => self.with_pull(number, |pull| {
                pull.labels.extend(names(&sent["labels"]));
                Reply::Json(200, json!([]))
            }),
            ["pulls", number, "requested_reviewers"] => self.with_pull(number, |pull| {
                let (people, teams) = (names(&sent["reviewers"]), names(&sent["team_reviewers"]));
                if !people.iter().all(|name| PEOPLE.contains(&name.as_str()))
                    || !teams.iter().all(|name| TEAMS.contains(&name.as_str()))
                {
                    return Reply::message(422, "Reviews may only be requested from collaborators. One or more of the users or teams you specified is not a collaborator of the acme/pins repository.");
                }
                pull.reviewers.extend(people);
                pull.teams.extend(teams);
                Reply::Json(201, json!({}))
            }),
            _ => Reply::not_found(),
        }
    }

    fn with_pull(&self, number: &str, act: impl FnOnce(&mut Pull) -> Reply) -> Reply {
        let index = number.parse::<usize>().expect("a number") - 1;
        match self.state().pulls.get_mut(index) {
            Some(pull) => act(pull),
            None => Reply::not_found(),
        }
    }

    fn pulls(&self, query: &HashMap<String, String>) -> Reply {
        let wanted = |name: &str| query.get(name).map(String::as_str);
        let state = self.state();
        let found = state.pulls.iter().enumerate().filter(|(_, pull)| {
            let owner = pull.from.as_deref().unwrap_or("gone/gone");
            let owner = owner.split('/').next().unwrap_or_default();
            wanted("head").is_none_or(|head| head == format!("{owner}:{}", pull.head))
                && wanted("base").is_none_or(|base| base == pull.base)
                && (wanted("state") == Some("all") || pull.is_open)
        });
        Reply::Json(200, found.map(|(at, pull)| self.shown(at, pull)).collect())
    }

    fn create_pull(&self, sent: &Value) -> Reply {
        let text = |name: &str| sent[name].as_str().unwrap_or_default().to_owned();
        let (head, base) = (text("head"), text("base"));
        let invalid = |field: &str| {
            Reply::invalid_pull(
                json!({"resource": "PullRequest", "field": field, "code": "invalid"}),
            )
        };
        let custom = |words: String| {
            Reply::invalid_pull(
                json!({"resource": "PullRequest", "code": "custom", "message": words}),
            )
        };
        let mut state = self.state();
        let Some(sha) = self.repository.branch(&head) else {
            return invalid("head");
        };
        if self.repository.branch(&base).is_none() {
            return invalid("base");
        }
        let is_same = |pull: &&Pull| pull.is_open && pull.head == head && pull.base == base;
        if state.pulls.iter().find(is_same).is_some() {
            return custom(format!("A pull request already exists for {OWNER}:{head}."));
        }
        let range = format!("refs/heads/{base}..refs/heads/{head}");
        if self.repository.git(&["rev-list", "--count", &range]) == "0" {
            return custom(format!("No commits between {base} and {head}"));
        }
        state.pulls.push(Pull {
            head,
            base,
            title: text("title"),
            body: text("body"),
            draft: sent["draft"] == json!(true),
            is_open: true,
            is_merged: false,
            from: Some(format!("{OWNER}/{NAME}")),
            sha,
            labels: Vec::new(),
            reviewers: Vec::new(),
            teams: Vec::new(),
        });
        let at = state.pulls.len() - 1;
        Reply::Json(201, self.shown(at, &state.pulls[at]))
    }

    fn shown(&self, at: usize, pull: &Pull) -> Value {
        let number = at + 1;
        let sha = self
            .repository
            .branch(&pull.head)
            .unwrap_or_else(|| pull.sha.clone());
        let repo = |name: &Option<String>| name.as_ref().map(|name| json!({"full_name": name}));
        let state = if pull.is_open { "open" } else { "closed" };
        json!({
            "number": number, "html_url": format!("http://{}/{OWNER}/{NAME}/pull/{number}", self.address),
            "state": state, "draft": pull.draft, "title": pull.title, "body": pull.body,
            "merged_at": pull.is_merged.then_some("2026-03-02T12:00:00Z"),
            "head": {"label": format!("{OWNER}:{}", pull.head), "ref": pull.head, "sha": sha, "repo": repo(&pull.from)},
            "base": {"label": format!("{OWNER}:{}", pull.base), "ref": pull.base,
                     "sha": self.repository.branch(&pull.base), "repo": {"full_name": format!("{OWNER}/{NAME}")}},
            "labels": pull.labels.iter().map(|name| json!({"name": name})).collect::<Vec<_>>(),
            "requested_reviewers": pull.reviewers.iter().map(|login| json!({"login": login})).collect::<Vec<_>>(),
            "requested_teams": pull.teams.iter().map(|slug| json!({"slug": slug})).collect::<Vec<_>>(),
        })
    }
}

fn decoded(text: &str) -> String {
    percent_decode_str(text)
        .decode_utf8()
        .expect("UTF-8")
        .into_owned()
}

fn names(list: &Value) -> Vec<String> {
    let list = list.as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter()
        .map(|name| name.as_str().expect("a name").to_owned())
        .collect()
}
