//! One port for gRPC and HTTP, with TLS or without, that waits for nobody for ever and stops without cutting
//! anybody off.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use futures_util::FutureExt;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

mod eager;
mod idle;

use self::eager::Eager;
use self::idle::Idle;

/// How long requests may take to end when the server stops.
const GRACE: Duration = Duration::from_secs(10);
/// How long who connected last has to say in which protocol it speaks.
const FIRST_WORDS: Duration = Duration::from_millis(100);
/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long to wait after a failed accept, such as out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long the head of an HTTP/1.1 request may take.
const HEAD: Duration = Duration::from_secs(30);
/// How often a client of HTTP/2 is asked whether it is still there, which keeps streams open on which nothing happens.
const PING: Duration = Duration::from_secs(30);
/// How long that client may take to answer.
const PONG: Duration = Duration::from_secs(20);
/// How long a connection may stay open on which not a byte moves.
const SILENCE: Duration = Duration::from_secs(90);
/// The most connections at a time; who comes then waits until one has ended.
const CONNECTIONS_MAX: usize = 4096;

/// What a connection is given.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// How long it may stay open while not a byte moves.
    pub silence: Duration,
    /// The most connections at a time, at least 1.
    pub connections_max: usize,
}

impl Default for Patience {
    /// 90 s; 4,096 connections, or half of the files that this process may open where that is less.
    fn default() -> Self {
        Self {
            silence: SILENCE,
            connections_max: CONNECTIONS_MAX.min(open_files_max() / 2).max(1),
        }
    }
}

#[cfg(unix)]
fn open_files_max() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.current.map_or(usize::MAX, |files| {
        usize::try_from(files).unwrap_or(usize::MAX)
    })
}

#[cfg(not(unix))]
fn open_files_max() -> usize {
    usize::MAX
}

/// Why TLS could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file could not be read as PEM.
    #[error("`{path}` holds no PEM of the kind it should: {cause}")]
    Pem {
        /// The file.
        path: String,
        /// What is wrong.
        cause: String,
    },
    /// Certificate and key do not fit.
    #[error("the certificate and its key are refused: {0}")]
    Refused(String),
}

/// TLS with a certificate chain and its key, both PEM files.
///
/// # Errors
/// If a file cannot be read or the key does not fit.
pub fn tls(certificate: &Path, key: &Path) -> Result<TlsAcceptor, TlsError> {
    let pem = |path: &Path, cause: String| TlsError::Pem {
        path: path.display().to_string(),
        cause,
    };
    let chain: Result<Vec<CertificateDer<'static>>, _> = CertificateDer::pem_file_iter(certificate)
        .map_err(|error| pem(certificate, error.to_string()))?
        .collect();
    let chain = chain.map_err(|error| pem(certificate, error.to_string()))?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| pem(key, error.to_string()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError::Refused(error.to_string()))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| TlsError::Refused(error.to_string()))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Answers until `stopping` is cancelled, then lets requests end for up to ten seconds.
///
/// # Errors
/// Never for a single connection; only if the listener is lost.
pub async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    routes: Router,
    patience: Patience,
    stopping: CancellationToken,
) -> io::Result<()> {
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(patience.connections_max));
    let begin = |stream, peer: SocketAddr, place: Option<OwnedSemaphorePermit>| {
        let watcher = graceful.watcher();
        let (routes, tls) = (routes.clone(), tls.clone());
        tokio::spawn(async move {
            let stream = Idle::new(stream, patience.silence);
            if let Err(error) = connection(stream, tls, routes, watcher).await {
                tracing::debug!(%peer, %error, "a connection ended badly");
            }
            drop(place);
        });
    };
    loop {
        let place = tokio::select! {
            biased;
            () = stopping.cancelled() => break,
            place = free_place(&places) => place,
        };
        let (stream, peer) = tokio::select! {
            biased;
            () = stopping.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
        };
        begin(stream, peer, place);
    }
    // Who has connected so far is answered. Who connects from now on is refused at once, and so knows that nothing of
    // what was asked has arrived; waiting here until this ends, it would not.
    while let Ok(place) = Arc::clone(&places).try_acquire_owned()
        && let Some(Ok((stream, peer))) = listener.accept().now_or_never()
    {
        begin(stream, peer, Some(place));
    }
    drop(listener);
    tokio::time::sleep(FIRST_WORDS).await;
    tokio::select! {
        () = graceful.shutdown() => {}
        () = tokio::time::sleep(GRACE) => tracing::info!("some requests were still running and were cut off"),
    }
    Ok(())
}

/// A place for one more connection; says once that there was none.
async fn free_place(places: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    if places.available_permits() == 0 {
        tracing::warn!("as many connections as there may be are open; others wait");
    }
    // Nobody closes it.
    Arc::clone(places).acquire_owned().await.ok()
}

async fn connection(
    stream: Idle<TcpStream>,
    tls: Option<TlsAcceptor>,
    routes: Router,
    watcher: hyper_util::server::graceful::Watcher,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    stream.get_ref().set_nodelay(true)?;
    let service = TowerToHyperService::new(routes);
    let mut builder = Builder::new(Eager);
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING)
        .keep_alive_timeout(PONG);
    match tls {
        None => {
            watcher
                .watch(
                    builder
                        .serve_connection(TokioIo::new(stream), service)
                        .into_owned(),
                )
                .await
        }
        Some(tls) => {
            let stream = tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await??;
            watcher
                .watch(
                    builder
                        .serve_connection(TokioIo::new(stream), service)
                        .into_owned(),
                )
                .await
        }
    }
}
