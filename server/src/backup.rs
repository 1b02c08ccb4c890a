//! Backups on the command line: taken through a running server, restored while none runs.
//!
//! A file is written under another name, checked, made durable and only then given its name, so that a
//! file of that name is a whole backup.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use pinion_proto::v1::ExportStoreRequest;
use pinion_proto::v1::admin_service_client::AdminServiceClient;
use tempfile::NamedTempFile;
use tokio::time::timeout;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Status};

use crate::args::Remote;
use crate::config::Config;
use crate::store::backup::lines::{self, InvalidLines, WriteError};
use crate::store::backup::{Backup, Refused, RestoreError};
use crate::store::engine::Engine;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long nothing may come: the server writes its backup before it sends it.
const SILENCE_MAX: Duration = Duration::from_secs(600);

/// Why a backup was not taken or not restored.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No token.
    #[error("an admin token is needed: `--token-file FILE`, or PINION_TOKEN")]
    NoToken,
    /// The server's address cannot be used.
    #[error("`{url}` is no address of a server: {cause}")]
    Address {
        /// The address.
        url: String,
        /// Why.
        cause: String,
    },
    /// The server cannot be reached.
    #[error(
        "the server at `{url}` cannot be reached; while it is stopped, start it: a backup is taken from a running server"
    )]
    Unreachable {
        /// Its address.
        url: String,
        /// Why.
        #[source]
        cause: tonic::transport::Error,
    },
    /// The server refuses.
    #[error("the server gives no backup: {0}")]
    Server(String),
    /// A file cannot be read or written.
    #[error("`{path}` cannot be used")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// What came is no whole backup.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// Lines cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// Lines cannot be read.
    #[error(transparent)]
    Lines(#[from] InvalidLines),
    /// It cannot be restored.
    #[error(transparent)]
    Restore(#[from] RestoreError),
}

/// Takes a backup from a running server into a file, which is replaced only by a whole one.
///
/// # Errors
/// What is in the way.
pub async fn take(config: &Config, remote: &Remote) -> Result<Backup, Error> {
    let file = download(config, remote, folder_of(&remote.file)).await?;
    let checked = Backup::check(file.path())?;
    keep(file, &remote.file)?;
    Ok(checked)
}

/// Takes a backup from a running server and writes it as lines; gives how many entries there are.
///
/// # Errors
/// What is in the way.
pub async fn export(config: &Config, remote: &Remote) -> Result<u64, Error> {
    let temporary = std::env::temp_dir();
    let is_terminal = remote.file == Path::new("-");
    let folder = if is_terminal {
        &temporary
    } else {
        folder_of(&remote.file)
    };
    let downloaded = download(config, remote, folder).await?;
    let backup = Backup::check(downloaded.path())?;
    if is_terminal {
        lines::write(&backup, &mut BufWriter::new(io::stdout().lock()))?;
    } else {
        let file = new_file(folder)?;
        lines::write(&backup, &mut BufWriter::new(file.as_file()))?;
        keep(file, &remote.file)?;
    }
    Ok(backup.entries)
}

/// Makes the store that is configured from a backup.
///
/// # Errors
/// What is in the way; the backup is checked before anything is written.
pub async fn restore(config: &Config, file: &Path) -> Result<Backup, Error> {
    let backup = Backup::check(file)?;
    Engine::restore(&config.store, &config.data_dir, backup.clone()).await?;
    Ok(backup)
}

/// Makes the store that is configured from lines.
///
/// # Errors
/// What is in the way; the lines are checked before anything is written.
pub async fn import(config: &Config, file: &Path) -> Result<Backup, Error> {
    let unusable = |cause| Error::File {
        path: file.to_owned(),
        cause,
    };
    let input = BufReader::new(File::open(file).map_err(unusable)?);
    let copied = new_file(&std::env::temp_dir())?;
    lines::read(input, BufWriter::new(copied.as_file()))?;
    restore(config, copied.path()).await
}

async fn download(config: &Config, remote: &Remote, folder: &Path) -> Result<NamedTempFile, Error> {
    let token = token(remote)?;
    let channel = connect(config, remote).await?;
    let mut file = new_file(folder)?;
    let mut request = Request::new(ExportStoreRequest {});
    let bearer = format!("Bearer {token}").parse();
    let mut bearer: tonic::metadata::AsciiMetadataValue = bearer.map_err(|_| Error::NoToken)?;
    bearer.set_sensitive(true);
    request.metadata_mut().insert("authorization", bearer);
    let asked = AdminServiceClient::new(channel);
    let mut chunks = soon(asked.clone().export_store(request))
        .await?
        .into_inner();
    while let Some(answer) = soon(chunks.message()).await? {
        let path = file.path().to_owned();
        file.write_all(&answer.chunk)
            .map_err(|cause| Error::File { path, cause })?;
    }
    Ok(file)
}

async fn soon<T>(answer: impl Future<Output = Result<T, Status>>) -> Result<T, Error> {
    match timeout(SILENCE_MAX, answer).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(status)) => Err(Error::Server(status.message().to_owned())),
        Err(_) => Err(Error::Server(format!("no answer for {SILENCE_MAX:?}"))),
    }
}

fn token(remote: &Remote) -> Result<String, Error> {
    let token = match &remote.token_file {
        Some(path) => std::fs::read_to_string(path).map_err(|cause| Error::File {
            path: path.clone(),
            cause,
        })?,
        None => std::env::var("PINION_TOKEN").map_err(|_| Error::NoToken)?,
    };
    Ok(token.trim().to_owned())
}

async fn connect(config: &Config, remote: &Remote) -> Result<Channel, Error> {
    let scheme = if config.tls.is_some() {
        "https"
    } else {
        "http"
    };
    let url = remote
        .server
        .clone()
        .unwrap_or_else(|| format!("{scheme}://{}", config.listen));
    let unusable = |cause: String| Error::Address {
        url: url.clone(),
        cause,
    };
    let mut endpoint = Endpoint::from_shared(url.clone())
        .map_err(|cause| unusable(cause.to_string()))?
        .connect_timeout(CONNECT_TIMEOUT);
    if url.starts_with("https") {
        let Some(path) = &remote.ca_file else {
            return Err(unusable("https needs `--ca-file`".to_owned()));
        };
        let ca = std::fs::read(path).map_err(|cause| Error::File {
            path: path.clone(),
            cause,
        })?;
        let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca));
        endpoint = endpoint
            .tls_config(tls)
            .map_err(|cause| unusable(cause.to_string()))?;
    } else if !is_loopback(endpoint.uri()) {
        return Err(unusable(
            "plain http is for loopback, since the token and everything kept would cross the network".to_owned(),
        ));
    }
    endpoint
        .connect()
        .await
        .map_err(|cause| Error::Unreachable { url, cause })
}

fn is_loopback(uri: &http::Uri) -> bool {
    let host = uri.host().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse();
    host == "localhost" || address.is_ok_and(|address: std::net::IpAddr| address.is_loopback())
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// A file that goes away unless it is kept; only its owner can read it.
fn new_file(folder: &Path) -> Result<NamedTempFile, Error> {
    NamedTempFile::new_in(folder).map_err(|cause| Error::File {
        path: folder.to_owned(),
        cause,
    })
}

/// Gives a file its name, durably.
fn keep(file: NamedTempFile, path: &Path) -> Result<(), Error> {
    let keep = || {
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        File::open(folder_of(path))?.sync_all()
    };
    keep().map_err(|cause| Error::File {
        path: path.to_owned(),
        cause,
    })
}
