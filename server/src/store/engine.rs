//! Which engine keeps the state, as it is configured.

use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;

use super::backup::{Backup, RestoreError};
use super::etcd::{EtcdOptions, EtcdStore, InvalidOptions};
use super::sled::{SledOptions, SledStore};
use super::{Error, Store};

/// The folder of the embedded store, in the data directory.
const SLED_DIR: &str = "store";
/// The file that notes which store in etcd this server has worked with, in the data directory.
const ETCD_NOTE: &str = "etcd-store-id";

/// The engine that is configured.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "engine", rename_all = "lowercase", deny_unknown_fields)]
pub enum EngineOptions {
    /// Embedded, in the data directory; one server at a time.
    Sled {},
    /// In etcd.
    Etcd(EtcdOptions),
}

impl EngineOptions {
    /// Whether they make sense and are safe.
    ///
    /// # Errors
    /// What is wrong.
    pub fn validate(&self) -> Result<(), InvalidOptions> {
        match self {
            Self::Sled {} => Ok(()),
            Self::Etcd(options) => options.validate(),
        }
    }

    /// Where the state is, in words.
    pub fn place(&self, data_dir: &Path) -> String {
        match self {
            Self::Sled {} => data_dir.display().to_string(),
            Self::Etcd(options) => format!(
                "etcd at {}, under {}",
                options.endpoints.join(", "),
                options.prefix
            ),
        }
    }
}

/// An open engine.
#[derive(Clone, Debug)]
pub enum Engine {
    /// Embedded.
    Sled(Arc<SledStore>),
    /// In etcd.
    Etcd(EtcdStore),
}

impl Engine {
    /// Opens the store that is configured, making it where there is none.
    ///
    /// # Errors
    /// What is in the way.
    pub async fn open(options: &EngineOptions, data_dir: &Path) -> Result<Self, Error> {
        match options {
            EngineOptions::Sled {} => {
                let dir = data_dir.join(SLED_DIR);
                let open = move || SledStore::open(&dir, SledOptions::default());
                let opened = tokio::task::spawn_blocking(open).await;
                let store = opened.map_err(|error| Error::Unavailable(error.to_string()))??;
                Ok(Self::Sled(Arc::new(store)))
            }
            EngineOptions::Etcd(options) => {
                tokio::fs::create_dir_all(data_dir).await.map_err(|cause| {
                    Error::Unavailable(format!("`{}` cannot be made: {cause}", data_dir.display()))
                })?;
                let note = data_dir.join(ETCD_NOTE);
                Ok(Self::Etcd(EtcdStore::open(options, Some(&note)).await?))
            }
        }
    }

    /// Makes the store that is configured from a backup; there must be none.
    ///
    /// # Errors
    /// What is in the way.
    pub async fn restore(
        options: &EngineOptions,
        data_dir: &Path,
        backup: Backup,
    ) -> Result<(), RestoreError> {
        match options {
            EngineOptions::Sled {} => {
                let dir = data_dir.join(SLED_DIR);
                let restore = move || SledStore::restore(&dir, &SledOptions::default(), &backup);
                let restored = tokio::task::spawn_blocking(restore).await;
                restored.map_err(|error| Error::Unavailable(error.to_string()))?
            }
            EngineOptions::Etcd(options) => {
                EtcdStore::restore(options, &backup).await?;
                let note = data_dir.join(ETCD_NOTE);
                match tokio::fs::remove_file(&note).await {
                    // It is of the store that was there before.
                    Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => {
                        let cause = format!("`{}` cannot be removed: {cause}", note.display());
                        Err(Error::Unavailable(cause).into())
                    }
                    _ => Ok(()),
                }
            }
        }
    }

    /// The store.
    pub fn store(&self) -> Arc<dyn Store> {
        match self {
            Self::Sled(store) => Arc::clone(store) as Arc<dyn Store>,
            Self::Etcd(store) => Arc::new(store.clone()),
        }
    }

    /// Waits until the store has failed and says why: the process should then end and start again.
    pub fn failed(&self) -> impl Future<Output = String> + Send + use<> {
        let engine = self.clone();
        async move {
            match engine {
                Self::Sled(store) => store.failed().await,
                Self::Etcd(store) => store.failed().await,
            }
        }
    }

    /// Lets go of the store once what was begun is done.
    pub async fn close(&self) {
        match self {
            Self::Sled(store) => store.close().await,
            Self::Etcd(store) => store.close().await,
        }
    }
}
