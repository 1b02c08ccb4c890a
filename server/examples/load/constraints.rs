//! The constraints file over HTTP/1.1, beside an axum handler that returns the same bytes.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::child::Process;
use crate::drive::{self, Run, median};
use crate::fleet::{Fleet, set_name};
use crate::floor::CONSTRAINTS;
use crate::table::{Line, Reach, Table};
use crate::{Arguments, Failure};

/// Connections, each with one request at a time.
const CONNECTIONS: usize = 16;

/// A connection that is kept.
struct Connection {
    stream: TcpStream,
    request: String,
    buffer: Vec<u8>,
}

/// What was answered.
struct Answer {
    status: u16,
    etag: Option<String>,
    body: Bytes,
}

impl Connection {
    async fn open(address: &str, path: &str, headers: &str) -> Result<Self, Failure> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            request: format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n{headers}\r\n"),
            buffer: Vec::with_capacity(64 * 1024),
        })
    }

    async fn ask(&mut self) -> Result<Answer, Failure> {
        self.stream.write_all(self.request.as_bytes()).await?;
        self.buffer.clear();
        let head = loop {
            self.read().await?;
            let mut windows = self.buffer.windows(4);
            if let Some(end) = windows.position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
        };
        let text = std::str::from_utf8(&self.buffer[..head])?;
        let status = text.split(' ').nth(1).ok_or("no status")?.parse()?;
        let header = |name: &str| {
            let mut lines = text.lines().filter_map(|line| line.split_once(": "));
            let found = lines.find(|(key, _)| key.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.to_owned())
        };
        let etag = header("etag");
        let length = match header("content-length") {
            Some(length) => length.parse()?,
            None => 0,
        };
        while self.buffer.len() < head + length {
            self.read().await?;
        }
        Ok(Answer {
            status,
            etag,
            body: Bytes::copy_from_slice(&self.buffer[head..head + length]),
        })
    }

    async fn read(&mut self) -> Result<(), Failure> {
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err("the connection was closed".into()),
            _ => Ok(()),
        }
    }
}

pub(crate) fn measure<'a>(
    arguments: &'a Arguments,
    table: &'a mut Table,
) -> BoxFuture<'a, Result<(), Failure>> {
    Box::pin(measured(arguments, table))
}

async fn measured(arguments: &Arguments, table: &mut Table) -> Result<(), Failure> {
    let dir = tempfile::tempdir()?;
    let fleet = Fleet::start(&dir.path().join("server"), 20, 20).await?;
    let path = format!("/pin-sets/{}/constraints.txt", set_name(0));
    let headers = format!("authorization: Bearer {}\r\n", fleet.environments[0]);
    let mut first = Connection::open(&fleet.address, &path, &headers).await?;
    let answer = first.ask().await?;
    let etag = answer.etag.ok_or("no etag")?;
    let known = format!("{headers}if-none-match: {etag}\r\n");
    let mut again = Connection::open(&fleet.address, &path, &known).await?;
    let status = again.ask().await?.status;
    table.add(Line {
        name: "constraints, with a matching ETag".to_owned(),
        value: f64::from(status),
        unit: "(status)",
        reach: if status == 304 {
            Reach::AtMost(304.0)
        } else {
            Reach::AtMost(0.0)
        },
        detail: "304: nothing is sent".to_owned(),
        times_us: None,
    });
    std::fs::write(dir.path().join(CONSTRAINTS), &answer.body)?;
    let floor = Process::start("floor", dir.path(), 2)?;
    let (mut ratios, mut runs) = (Vec::new(), Vec::new());
    for _ in 0..arguments.rounds {
        let least = ask(&floor, &floor.said[1], "/constraints.txt", "", arguments).await?;
        let run = ask(&fleet.process, &fleet.address, &path, &headers, arguments).await?;
        ratios.push(run.per_s() / least.per_s());
        runs.push((run, least));
    }
    let middle = |of: &dyn Fn(&(Run, Run)) -> f64| median(runs.iter().map(of).collect());
    table.add(Line {
        name: format!("constraints, {} bytes", answer.body.len()),
        value: median(ratios),
        unit: "x the requests of axum",
        reach: Reach::AtLeast(0.5),
        detail: format!(
            "{:.0} a second beside {:.0}; {:.1} us of CPU each beside {:.1}",
            middle(&|(run, _)| run.per_s()),
            middle(&|(_, least)| least.per_s()),
            middle(&|(run, _)| run.cpu_us()),
            middle(&|(_, least)| least.cpu_us()),
        ),
        times_us: runs.pop().map(|(run, _)| run.times_us),
    });
    Ok(())
}

async fn ask(
    process: &Process,
    address: &str,
    path: &str,
    headers: &str,
    arguments: &Arguments,
) -> Result<Run, Failure> {
    let mut askers = Vec::new();
    for _ in 0..CONNECTIONS {
        let connection = Connection::open(address, path, headers).await?;
        let connection = std::sync::Arc::new(tokio::sync::Mutex::new(connection));
        askers.push(move || {
            let connection = std::sync::Arc::clone(&connection);
            async move {
                let answer = connection.lock().await.ask().await?;
                match answer.status {
                    200 => Ok(()),
                    status => Err(Failure::from(format!("status {status}"))),
                }
            }
        });
    }
    drive::closed(process, arguments.span(), askers).await
}
