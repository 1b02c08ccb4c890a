//! HTTP servers that do not do what git hopes for.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// A server that takes one connection and never answers; tells when the other side has closed it.
pub(crate) async fn silent() -> (SocketAddr, oneshot::Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let (tell, closed) = oneshot::channel();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut request = Vec::new();
        // A reset is a close, too.
        let _ = stream.read_to_end(&mut request).await;
        tell.send(()).expect("the test waits");
    });
    (address, closed)
}

/// A server that answers every request with the status; gives the first request.
pub(crate) async fn answering(status: &'static str) -> (SocketAddr, oneshot::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let (tell, asked) = oneshot::channel();
    tokio::spawn(async move {
        let mut tell = Some(tell);
        loop {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut request = vec![0; 8192];
            let length = stream.read(&mut request).await.expect("a request");
            let answer = format!(
                "HTTP/1.1 {status}\r\nLocation: http://{address}/elsewhere\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
            stream
                .write_all(answer.as_bytes())
                .await
                .expect("git reads");
            if let Some(tell) = tell.take() {
                // The test may not ask for it.
                let _ = tell.send(String::from_utf8_lossy(&request[..length]).into_owned());
            }
        }
    });
    (address, asked)
}
