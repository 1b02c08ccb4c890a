//! What stands between `pinion` and a real server: it passes everything on, or fails the way that servers fail.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

/// How a relay treats what goes through it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    /// It passes everything on.
    Well,
    /// It takes connections and passes nothing on, as a process that was stopped by a signal.
    Frozen,
    /// It passes requests on, and breaks the connection when the answer comes: a server that dies after it did what was
    /// asked.
    LosingAnswers,
}

/// A relay on a free port; it ends with its value.
pub(crate) struct Relay {
    address: SocketAddr,
    mood: watch::Sender<Mood>,
    counts: Arc<Counts>,
    task: AbortHandle,
}

#[derive(Default)]
struct Counts {
    connections: AtomicUsize,
    lost: AtomicUsize,
}

impl Relay {
    pub(crate) async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (mood, heard) = watch::channel(Mood::Well);
        let counts = Arc::new(Counts::default());
        let task = tokio::spawn(relay(listener, server, heard, Arc::clone(&counts)));
        Self {
            address,
            mood,
            counts,
            task: task.abort_handle(),
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(crate) fn turn(&self, mood: Mood) {
        self.mood.send_replace(mood);
    }

    /// Ends it as a kill does: its port refuses, and its connections break.
    pub(crate) fn kill(&self) {
        self.task.abort();
    }

    /// How many connections were made to it.
    pub(crate) fn connections(&self) -> usize {
        self.counts.connections.load(Ordering::SeqCst)
    }

    /// How many answers it has lost.
    pub(crate) fn lost(&self) -> usize {
        self.counts.lost.load(Ordering::SeqCst)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.kill();
    }
}

async fn relay(
    listener: TcpListener,
    server: SocketAddr,
    mood: watch::Receiver<Mood>,
    counts: Arc<Counts>,
) {
    // Its connections end with it.
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        counts.connections.fetch_add(1, Ordering::SeqCst);
        connections.spawn(connection(client, server, mood.clone(), counts.clone()));
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(
    client: TcpStream,
    server: SocketAddr,
    mood: watch::Receiver<Mood>,
    counts: Arc<Counts>,
) {
    let Ok(server) = TcpStream::connect(server).await else {
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    // Whichever ends first ends the other.
    tokio::select! {
        _ = requests(from_client, to_server, mood.clone()) => {}
        _ = answers(from_server, to_client, mood, &counts) => {}
    }
}

async fn thawed(mood: &mut watch::Receiver<Mood>) {
    let _ = mood.wait_for(|mood| *mood != Mood::Frozen).await;
}

async fn requests(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut mood: watch::Receiver<Mood>,
) -> std::io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        thawed(&mut mood).await;
        to.write_all(&buffer[..count]).await?;
    }
}

/// Passes on frame by frame (RFC 9113, 4.1), so that the first one of an answer is known.
async fn answers(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut mood: watch::Receiver<Mood>,
    counts: &Counts,
) -> std::io::Result<()> {
    const HEADERS: u8 = 1;
    loop {
        let mut head = [0; 9];
        from.read_exact(&mut head).await?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        from.read_exact(&mut payload).await?;
        thawed(&mut mood).await;
        if *mood.borrow() == Mood::LosingAnswers && head[3] == HEADERS {
            counts.lost.fetch_add(1, Ordering::SeqCst);
            return Ok(());
        }
        to.write_all(&head).await?;
        to.write_all(&payload).await?;
    }
}

/// Waits until it holds, and says what did not if it never does.
pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..400 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("it never came to be that {what}");
}
