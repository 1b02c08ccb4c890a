//! An index for tests, over real HTTP on loopback: ETags and 304, gzip where it is asked for, faults, and everything that
//! was asked of it.

use std::collections::{BTreeMap, VecDeque};
use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// What goes wrong with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// This status, with `Retry-After` in seconds or not.
    Status(u16, Option<u64>),
    /// The body ends early.
    Truncated,
    /// It is no JSON.
    Garbage,
    /// What claims to be gzip is none.
    NoGzip,
    /// It comes after this many milliseconds.
    Slow(u64),
    /// It leads to this path.
    Redirect(&'static str),
}

/// A question and the status of its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub path: String,
    pub status: u16,
    pub accept: String,
    pub agent: String,
    pub login: String,
}

#[derive(Default)]
struct World {
    bodies: BTreeMap<String, Vec<u8>>,
    /// By path, the next one first.
    faults: BTreeMap<String, VecDeque<Fault>>,
    asked: Vec<Asked>,
}

/// An index that runs until it is dropped.
#[derive(Clone)]
pub struct StandIn {
    pub address: SocketAddr,
    world: Arc<Mutex<World>>,
}

impl StandIn {
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let world = Arc::new(Mutex::new(World::default()));
        let routes = Router::new()
            .fallback(answer)
            .with_state(Arc::clone(&world));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Self { address, world }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Serves these bytes at a path.
    pub fn put(&self, path: &str, body: impl Into<Vec<u8>>) {
        let mut world = self.world.lock().unwrap();
        world.bodies.insert(path.to_owned(), body.into());
    }

    pub fn remove(&self, path: &str) {
        self.world.lock().unwrap().bodies.remove(path);
    }

    /// The next answers at a path go wrong.
    pub fn fail(&self, path: &str, faults: impl IntoIterator<Item = Fault>) {
        let mut world = self.world.lock().unwrap();
        world
            .faults
            .entry(path.to_owned())
            .or_default()
            .extend(faults);
    }

    /// What was asked since this was last asked.
    pub fn take_asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.world.lock().unwrap().asked)
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.world.lock().unwrap().asked.clone()
    }

    /// A package of a simple index, below `/simple`: version, day of March 2024 on which it was published, and what it
    /// needs.
    pub fn publish(&self, package: &str, rows: &[Row]) {
        // Hyphens end the parts of a wheel's name.
        let stem = package.replace('-', "_");
        let file = |row: &Row| {
            let name = format!("{stem}-{}-py3-none-any.whl", row.version);
            json!({
                "filename": name,
                "url": format!("../../files/{name}#sha256=00"),
                "hashes": {"sha256": "00"},
                "requires-python": ">=3.8",
                "core-metadata": {"sha256": "00"},
                "size": 1,
                "upload-time": format!("2024-03-{:02}T10:00:00.000000Z", row.day),
                "yanked": row.yanked.map_or(Value::Bool(false), Value::from),
            })
        };
        for row in rows {
            let needs = row
                .needs
                .iter()
                .map(|need| format!("Requires-Dist: {need}\n"));
            let metadata = format!(
                "Metadata-Version: 2.1\nName: {package}\nVersion: {}\n{}\nWords.\n",
                row.version,
                needs.collect::<String>()
            );
            let path = format!("/files/{stem}-{}-py3-none-any.whl.metadata", row.version);
            self.put(&path, metadata);
        }
        let project = json!({
            "meta": {"api-version": "1.3", "_last-serial": 1},
            "name": package,
            "versions": rows.iter().map(|row| row.version).collect::<Vec<_>>(),
            "files": rows.iter().map(file).collect::<Vec<_>>(),
        });
        self.put(&format!("/simple/{package}/"), project.to_string());
    }
}

/// A version of a package.
#[derive(Clone, Copy, Debug, Default)]
pub struct Row {
    pub version: &'static str,
    pub day: u32,
    pub needs: &'static [&'static str],
    pub yanked: Option<&'static str>,
}

/// A version that needs nothing.
pub fn row(version: &'static str, day: u32) -> Row {
    Row {
        version,
        day,
        ..Row::default()
    }
}

async fn answer(State(world): State<Arc<Mutex<World>>>, request: Request) -> Response {
    let headers = request.headers().clone();
    let path = request.uri().path().to_owned();
    let (fault, body) = {
        let mut world = world.lock().unwrap();
        let fault = world.faults.get_mut(&path).and_then(VecDeque::pop_front);
        (fault, world.bodies.get(&path).cloned())
    };
    if let Some(Fault::Slow(ms)) = fault {
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }
    let response = respond(&headers, fault, body);
    world.lock().unwrap().asked.push(Asked {
        path,
        status: response.status().as_u16(),
        accept: text(&headers, "accept"),
        agent: text(&headers, "user-agent"),
        login: text(&headers, "authorization"),
    });
    response
}

fn text(headers: &HeaderMap, name: &str) -> String {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.unwrap_or_default().to_owned()
}

fn respond(headers: &HeaderMap, fault: Option<Fault>, body: Option<Vec<u8>>) -> Response {
    let status = |status: u16| Response::builder().status(StatusCode::from_u16(status).unwrap());
    match fault {
        Some(Fault::Status(code, retry_after)) => {
            let mut response = status(code);
            if let Some(seconds) = retry_after {
                response = response.header("retry-after", seconds.to_string());
            }
            return response.body(Body::from("try later")).unwrap();
        }
        Some(Fault::Redirect(to)) => {
            let response = status(301).header("location", to);
            return response.body(Body::empty()).unwrap();
        }
        Some(Fault::Garbage) => {
            return status(200)
                .body(Body::from("<html>welcome</html>"))
                .unwrap();
        }
        Some(Fault::NoGzip) => {
            let response = status(200).header("content-encoding", "gzip");
            return response.body(Body::from("{}")).unwrap();
        }
        Some(Fault::Truncated | Fault::Slow(_)) | None => {}
    }
    let Some(body) = body else {
        return status(404).body(Body::from("no such thing")).unwrap();
    };
    let etag = format!("\"{}\"", hex::encode(Sha256::digest(&body)));
    if text(headers, "if-none-match") == etag {
        return status(304)
            .header("etag", etag)
            .body(Body::empty())
            .unwrap();
    }
    let mut response = status(200)
        .header("etag", etag)
        .header("content-type", "application/octet-stream");
    let is_packed = text(headers, "accept-encoding").contains("gzip");
    let mut bytes = match is_packed {
        true => packed(&body),
        false => body,
    };
    if is_packed {
        response = response.header("content-encoding", "gzip");
    }
    if fault == Some(Fault::Truncated) {
        let (half, whole) = (bytes.len() / 2, bytes.len());
        bytes.truncate(half);
        let cut = futures_util::stream::iter([
            Ok(Bytes::from(bytes)),
            Err(std::io::Error::other("cut off")),
        ]);
        let response = response.header("content-length", whole.to_string());
        return response.body(Body::from_stream(cut)).unwrap();
    }
    response.body(Body::from(bytes)).unwrap()
}

fn packed(body: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(body).unwrap();
    gzip.finish().unwrap()
}
