//! How each engine is started, and started again.

use std::sync::Arc;

use pinion_server::store::Store;
use pinion_server::store::etcd::{EtcdOptions, EtcdStore};
use pinion_server::store::memory::MemoryStore;
use pinion_server::store::sled::{SledOptions, SledStore};
use tempfile::TempDir;

use crate::cluster::{Cluster, has_etcd};

/// A fresh store.
#[async_trait::async_trait]
pub(crate) trait Fixture: Send + Sync {
    /// Nothing where the machine does not have the engine, and that is allowed.
    async fn start() -> Option<Self>
    where
        Self: Sized;

    fn store(&self) -> Arc<dyn Store>;

    /// Ends the store and starts it again, if it outlives that at all.
    async fn restart(&mut self) -> Option<Arc<dyn Store>>;
}

pub(crate) struct Memory(Arc<MemoryStore>);

#[async_trait::async_trait]
impl Fixture for Memory {
    async fn start() -> Option<Self> {
        Some(Self(Arc::new(MemoryStore::new())))
    }

    fn store(&self) -> Arc<dyn Store> {
        self.0.clone()
    }

    async fn restart(&mut self) -> Option<Arc<dyn Store>> {
        None
    }
}

pub(crate) struct Sled {
    store: Arc<SledStore>,
    dir: TempDir,
}

impl Sled {
    fn open(dir: &TempDir) -> Arc<SledStore> {
        Arc::new(SledStore::open(dir.path(), SledOptions::default()).unwrap())
    }
}

#[async_trait::async_trait]
impl Fixture for Sled {
    async fn start() -> Option<Self> {
        let dir = TempDir::new().unwrap();
        Some(Self {
            store: Self::open(&dir),
            dir,
        })
    }

    fn store(&self) -> Arc<dyn Store> {
        self.store.clone()
    }

    async fn restart(&mut self) -> Option<Arc<dyn Store>> {
        self.store.close().await;
        self.store = Self::open(&self.dir);
        Some(self.store.clone())
    }
}

/// An etcd of its own, since some facts are about revisions that only the store itself moves on.
pub(crate) struct Etcd {
    store: Arc<EtcdStore>,
    cluster: Cluster,
}

impl Etcd {
    async fn open(cluster: &Cluster) -> Arc<EtcdStore> {
        let options = EtcdOptions::new(cluster.endpoints());
        Arc::new(EtcdStore::open(&options, None).await.unwrap())
    }
}

#[async_trait::async_trait]
impl Fixture for Etcd {
    async fn start() -> Option<Self> {
        if !has_etcd() {
            return None;
        }
        let cluster = Cluster::start(1);
        Some(Self {
            store: Self::open(&cluster).await,
            cluster,
        })
    }

    fn store(&self) -> Arc<dyn Store> {
        self.store.clone()
    }

    async fn restart(&mut self) -> Option<Arc<dyn Store>> {
        self.store.close().await;
        self.cluster.restart_all();
        self.store = Self::open(&self.cluster).await;
        Some(self.store.clone())
    }
}
