//! Asks a server on this machine whether it is ready, for places where nothing else could ask: a container without a
//! shell has no other program.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use http::StatusCode;

/// How long the answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why a server does not count as ready.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody answers as a server does.
    #[error("no server answers on `{address}`")]
    NoAnswer {
        /// Where it was asked.
        address: SocketAddr,
        /// Why not.
        #[source]
        cause: reqwest::Error,
    },
    /// It says that it is not ready.
    #[error("the server on `{address}` is not ready: {status}: {text}")]
    NotReady {
        /// Where it was asked.
        address: SocketAddr,
        /// Its status.
        status: StatusCode,
        /// Its words.
        text: String,
    },
}

/// What the server that listens on `listen` says about itself when it is ready, in one line.
///
/// # Errors
/// If it is not, or gives no answer within five seconds.
pub async fn ask(listen: SocketAddr, has_tls: bool) -> Result<String, Error> {
    let address = near(listen);
    let unanswered = |cause| Error::NoAnswer { address, cause };
    // A second call finds one, and it is the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let scheme = if has_tls { "https" } else { "http" };
    let answer = reqwest::Client::builder()
        // The certificate names the service, not this address; nothing secret is sent, and nothing told is acted upon.
        .tls_danger_accept_invalid_certs(true)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(PATIENCE)
        .build()
        .map_err(unanswered)?
        .get(format!("{scheme}://{address}/readyz"))
        .send()
        .await
        .map_err(unanswered)?;
    let status = answer.status();
    let text = answer.text().await.map_err(unanswered)?;
    match status {
        StatusCode::OK => Ok(text),
        _ => Err(Error::NotReady {
            address,
            status,
            text: text.trim_end().to_owned(),
        }),
    }
}

/// Where a server on this machine is reached that listens on `listen`.
fn near(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_on_every_address_is_asked_on_loopback() {
        for (listen, near_by) in [
            ("0.0.0.0:7460", "127.0.0.1:7460"),
            ("[::]:7460", "[::1]:7460"),
            ("10.1.2.3:80", "10.1.2.3:80"),
        ] {
            let listen: SocketAddr = listen.parse().expect("an address");
            assert_eq!(near(listen).to_string(), near_by);
        }
    }
}
