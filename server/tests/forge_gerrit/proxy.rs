//! Stands between the forge and Gerrit and fails as networks and busy servers do.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// What becomes of the request at which it fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It never arrives, and no later one does.
    RequestLost,
    /// Its answer never arrives, and no later request does.
    AnswerLost,
    /// This one is answered with these bytes instead.
    Answered(String),
    /// This one never arrives, and is never answered.
    Silence,
    /// This one arrives, and is answered after the client has gone.
    AnswerLate,
}

/// A relay of HTTP/1.1 requests, one a connection, that counts them.
pub(crate) struct Proxy {
    pub(crate) url: String,
    plan: Arc<Mutex<Plan>>,
}

#[derive(Debug, Default)]
struct Plan {
    seen: usize,
    fault: Option<(usize, Fault)>,
}

impl Proxy {
    pub(crate) async fn to(url: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let proxy = Self {
            url: format!("http://{}", listener.local_addr().expect("an address")),
            plan: Arc::default(),
        };
        let server = url.trim_start_matches("http://").to_owned();
        let plan = Arc::clone(&proxy.plan);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (server, plan) = (server.clone(), Arc::clone(&plan));
                tokio::spawn(async move {
                    // A client that goes away is no fault.
                    let _ = relay(client, &server, &plan).await;
                });
            }
        });
        proxy
    }

    /// Counts from 1 again, and fails at the request with this number.
    pub(crate) fn fail_at(&self, number: usize, fault: Fault) {
        *self.plan.lock().expect("a plan") = Plan {
            seen: 0,
            fault: Some((number, fault)),
        };
    }

    /// Counts from 1 again, and relays everything.
    pub(crate) fn heal(&self) {
        *self.plan.lock().expect("a plan") = Plan::default();
    }

    /// How many requests have come since.
    pub(crate) fn seen(&self) -> usize {
        self.plan.lock().expect("a plan").seen
    }
}

async fn relay(mut client: TcpStream, server: &str, plan: &Mutex<Plan>) -> std::io::Result<()> {
    let Some(request) = read_request(&mut client).await? else {
        return Ok(());
    };
    let fault = {
        let mut plan = plan.lock().expect("a plan");
        plan.seen += 1;
        match &plan.fault {
            Some((at, fault)) if plan.seen == *at => Some(fault.clone()),
            Some((at, Fault::RequestLost | Fault::AnswerLost)) if plan.seen > *at => {
                Some(Fault::RequestLost)
            }
            _ => None,
        }
    };
    match fault {
        Some(Fault::RequestLost) => return Ok(()),
        Some(Fault::Answered(answer)) => return client.write_all(answer.as_bytes()).await,
        Some(Fault::Silence) => return std::future::pending().await,
        Some(Fault::AnswerLost | Fault::AnswerLate) | None => {}
    }
    let mut upstream = TcpStream::connect(server).await?;
    upstream.write_all(&request).await?;
    let mut answer = Vec::new();
    upstream.read_to_end(&mut answer).await?;
    match fault {
        None => client.write_all(&answer).await,
        Some(Fault::AnswerLate) => std::future::pending().await,
        Some(_) => Ok(()),
    }
}

/// One whole request, changed so that the server closes the connection after its answer.
async fn read_request(client: &mut TcpStream) -> std::io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        if client.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut length = 0;
    let mut request = String::new();
    for line in head.trim_end().split("\r\n") {
        let lower = line.to_lowercase();
        assert!(
            !lower.starts_with("transfer-encoding"),
            "no request is that long"
        );
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().expect("a length");
        }
        if !lower.starts_with("connection:") {
            request += line;
            request += "\r\n";
        }
    }
    request += "Connection: close\r\n\r\n";
    while bytes.len() < end + length {
        if client.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
    }
    Ok(Some(
        [request.as_bytes(), &bytes[end..end + length]].concat(),
    ))
}
