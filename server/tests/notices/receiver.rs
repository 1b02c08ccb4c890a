//! A receiver of webhooks that does what a test tells it to, over real connections.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What the receiver does with a request.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// Answers with this status line, headers and body.
    With(&'static str, &'static str, String),
    /// Takes the request, and cuts the connection.
    Cut,
    /// Takes the request, and says nothing.
    Nothing,
    /// Takes the request, then calls this, and says nothing.
    Call(Call),
}

/// Something that is done when a request has come.
#[derive(Clone)]
pub(crate) struct Call(pub(crate) Arc<dyn Fn() + Send + Sync>);

impl std::fmt::Debug for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Call")
    }
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Got {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Got {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn kind(&self) -> String {
        self.json()["type"].as_str().unwrap().to_owned()
    }

    pub(crate) fn subject(&self) -> String {
        self.json()["data"]["subject"].as_str().unwrap().to_owned()
    }
}

/// The receiver.
#[derive(Clone, Debug)]
pub(crate) struct Receiver {
    pub(crate) url: String,
    got: Arc<Mutex<Vec<Got>>>,
    answers: Arc<Mutex<VecDeque<Answer>>>,
}

/// `200`.
pub(crate) fn taken() -> Answer {
    Answer::With("200 OK", "", "ok".to_owned())
}

impl Receiver {
    /// A receiver that takes everything.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let receiver = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            got: Arc::default(),
            answers: Arc::default(),
        };
        let serving = receiver.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let receiver = serving.clone();
                tokio::spawn(async move { receiver.serve(stream).await });
            }
        });
        receiver
    }

    /// Does these with the next requests, then takes everything again.
    pub(crate) fn answer(&self, answers: impl IntoIterator<Item = Answer>) {
        self.answers.lock().unwrap().extend(answers);
    }

    pub(crate) fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }

    /// What came, once it is at least so many.
    pub(crate) async fn wait_for(&self, count: usize) -> Vec<Got> {
        for _ in 0..400 {
            if self.got().len() >= count {
                return self.got();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{count} were to come: {:#?}", self.kinds());
    }

    pub(crate) fn kinds(&self) -> Vec<String> {
        self.got().iter().map(Got::kind).collect()
    }

    async fn serve(&self, mut stream: TcpStream) {
        let Some(got) = read(&mut stream).await else {
            return;
        };
        self.got.lock().unwrap().push(got);
        let answer = self.answers.lock().unwrap().pop_front();
        match answer.unwrap_or_else(taken) {
            Answer::With(status, headers, body) => {
                let text = format!(
                    "HTTP/1.1 {status}\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len()
                );
                // The server may have gone.
                let _ = stream.write_all(text.as_bytes()).await;
            }
            Answer::Cut => {}
            Answer::Nothing => tokio::time::sleep(Duration::from_secs(60)).await,
            Answer::Call(call) => (call.0)(),
        }
    }
}

async fn read(stream: &mut TcpStream) -> Option<Got> {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let text = String::from_utf8(bytes[..head].to_vec()).unwrap();
    let mut lines = text.split("\r\n");
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(": ")?;
        let name: HeaderName = name.parse().unwrap();
        headers.insert(name, HeaderValue::from_str(value).unwrap());
    }
    let length: usize = headers["content-length"].to_str().unwrap().parse().unwrap();
    while bytes.len() < head + 4 + length {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    Some(Got {
        path,
        headers,
        body: bytes[head + 4..].to_vec(),
    })
}
