//! A forge's server for tests: real repositories over git's smart HTTP, a REST side that each kind of forge brings, and
//! faults at the n-th request, whichever side it is for.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test file uses a part of it"
)]

pub mod backend;
pub mod person;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// What goes wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is cut off before anything was done.
    RequestLost,
    /// It is done, and its answer cut off.
    AnswerLost,
    /// It is refused with this status and `Retry-After`.
    Refused(u16, Option<String>),
    /// It is never answered.
    Silence,
}

/// A request to the REST side.
#[derive(Debug)]
pub struct Asked<'a> {
    pub user: &'a str,
    pub method: &'a str,
    /// The whole path, encoded.
    pub path: &'a str,
    pub query: BTreeMap<String, String>,
    pub body: Value,
}

impl Asked<'_> {
    /// The parts of the path, decoded.
    pub fn parts(&self) -> Vec<String> {
        let parts = self.path.split('/').filter(|part| !part.is_empty());
        parts
            .map(|part| {
                percent_encoding::percent_decode_str(part)
                    .decode_utf8()
                    .expect("UTF-8")
                    .into_owned()
            })
            .collect()
    }

    pub fn text(&self, key: &str) -> String {
        self.body[key].as_str().unwrap_or_default().to_owned()
    }
}

/// The REST side of a kind of forge.
pub trait Rest: Send + Sync + 'static {
    fn answer(&self, asked: &Asked<'_>) -> (u16, Value);
}

/// The server. It goes on for as long as the test.
pub struct Front {
    pub address: SocketAddr,
    inside: Arc<Inside>,
}

struct Inside {
    rest: Box<dyn Rest>,
    /// Where `<project>.git` lies.
    root: PathBuf,
    tokens: Mutex<BTreeMap<String, String>>,
    faults: Mutex<BTreeMap<usize, Fault>>,
    log: Mutex<Vec<String>>,
}

impl Front {
    /// Serves the repositories under `root` and the REST side to the owners of the tokens.
    pub async fn start(root: PathBuf, rest: impl Rest, tokens: &[(&str, &str)]) -> Self {
        let tokens = tokens
            .iter()
            .map(|(token, user)| ((*token).to_owned(), (*user).to_owned()));
        let inside = Arc::new(Inside {
            rest: Box::new(rest),
            root,
            tokens: Mutex::new(tokens.collect()),
            faults: Mutex::default(),
            log: Mutex::default(),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let address = listener.local_addr().expect("an address");
        let app = Router::new()
            .fallback(serve)
            .with_state(Arc::clone(&inside));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { address, inside }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The n-th request from now, counted from 1, fails so.
    pub fn fail(&self, n: usize, fault: Fault) {
        let so_far = self.requests().len();
        let mut faults = self.inside.faults.lock().expect("faults");
        faults.insert(so_far + n, fault);
    }

    /// All requests so far: method and path.
    pub fn requests(&self) -> Vec<String> {
        self.inside.log.lock().expect("a log").clone()
    }

    /// From now on only `token` is taken for its user.
    pub fn rotate(&self, token: &str, user: &str) {
        let mut tokens = self.inside.tokens.lock().expect("tokens");
        tokens.retain(|_, other| other != user);
        tokens.insert(token.to_owned(), user.to_owned());
    }
}

async fn serve(State(inside): State<Arc<Inside>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 16 * 1024 * 1024).await;
    let Ok(body) = body else { return cut() };
    let fault = {
        let mut log = inside.log.lock().expect("a log");
        log.push(format!("{} {}", parts.method, parts.uri));
        inside.faults.lock().expect("faults").remove(&log.len())
    };
    match fault {
        None => done(inside, parts, body).await,
        Some(Fault::RequestLost) => cut(),
        Some(Fault::AnswerLost) => {
            done(inside, parts, body).await;
            cut()
        }
        Some(Fault::Refused(status, wait)) => {
            let mut response = Response::builder().status(status);
            if let Some(wait) = wait {
                response = response.header("retry-after", wait);
            }
            response.body(Body::from("not now")).expect("an answer")
        }
        Some(Fault::Silence) => {
            tokio::time::sleep(Duration::from_secs(30)).await;
            cut()
        }
    }
}

async fn done(inside: Arc<Inside>, parts: axum::http::request::Parts, body: Bytes) -> Response {
    let user = token(&parts.headers)
        .and_then(|token| inside.tokens.lock().expect("tokens").get(&token).cloned());
    let Some(user) = user else {
        return Response::builder()
            .status(StatusCode::UNAUTHORIZED)
            .header("www-authenticate", "Basic realm=\"test\"")
            .body(Body::from("{\"message\":\"user does not exist\"}"))
            .expect("an answer");
    };
    if parts.uri.path().contains(".git/") {
        return backend::serve(&inside.root, &user, &parts, body).await;
    }
    // The REST side runs git, which takes a while.
    tokio::task::spawn_blocking(move || {
        let query = url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes());
        let asked = Asked {
            user: &user,
            method: parts.method.as_str(),
            path: parts.uri.path(),
            query: query.into_owned().collect(),
            body: serde_json::from_slice(&body).unwrap_or(Value::Null),
        };
        let (status, answer) = inside.rest.answer(&asked);
        Response::builder()
            .status(status)
            .header("content-type", "application/json")
            .body(Body::from(answer.to_string()))
            .expect("an answer")
    })
    .await
    .expect("the REST side answers")
}

/// The token, in each of the ways to show it.
fn token(headers: &HeaderMap) -> Option<String> {
    if let Some(token) = headers.get("private-token") {
        return token.to_str().ok().map(str::to_owned);
    }
    let shown = headers.get("authorization")?.to_str().ok()?;
    match shown.split_once(' ')? {
        ("token", token) => Some(token.to_owned()),
        ("Basic", pair) => {
            let pair = String::from_utf8(STANDARD.decode(pair).ok()?).ok()?;
            pair.split_once(':').map(|(_, token)| token.to_owned())
        }
        _ => None,
    }
}

/// An answer that ends before it has begun.
fn cut() -> Response {
    let lost = std::io::Error::other("cut off");
    let nothing = futures_util::stream::once(async { Err::<Bytes, _>(lost) });
    Response::new(Body::from_stream(nothing))
}
