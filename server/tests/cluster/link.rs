//! The way from a server to a member of etcd, which can be cut, go silent and be slow.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// How a link is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    /// As good as none.
    Open,
    /// Connections end, and new ones end at once.
    Cut,
    /// Connections stay, and nothing arrives until it is open again.
    Silent,
    /// Everything takes this much longer.
    Slow(Duration),
}

/// A relay of connections.
pub(crate) struct Link {
    pub(crate) url: String,
    mood: watch::Sender<Mood>,
}

impl Link {
    /// A link to what is at this address, `host:port`.
    pub(crate) async fn to(address: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (mood, felt) = watch::channel(Mood::Open);
        let address = address.to_owned();
        tokio::spawn(async move {
            // It ends with the test's runtime.
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(relay(client, address.clone(), felt.clone()));
            }
        });
        Self { url, mood }
    }

    pub(crate) fn set(&self, mood: Mood) {
        self.mood.send_replace(mood);
    }
}

async fn relay(client: TcpStream, address: String, mut mood: watch::Receiver<Mood>) {
    if *mood.borrow() == Mood::Cut {
        return;
    }
    let Ok(server) = TcpStream::connect(address).await else {
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        () = pump(from_client, to_server, mood.clone()) => {}
        () = pump(from_server, to_client, mood.clone()) => {}
        _ = mood.wait_for(|mood| *mood == Mood::Cut) => {}
    }
}

/// Carries bytes until either end closes.
async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut mood: watch::Receiver<Mood>,
) {
    let mut bytes = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        let felt = mood.wait_for(|mood| *mood != Mood::Silent).await;
        let Ok(felt) = felt.map(|felt| *felt) else {
            return;
        };
        if let Mood::Slow(by) = felt {
            tokio::time::sleep(by).await;
        }
        if to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}
