//! How each engine is started, and started again.

use std::sync::Arc;

use pinion_server::store::Store;
use pinion_server::store::memory::MemoryStore;
use pinion_server::store::sled::{SledOptions, SledStore};
use tempfile::TempDir;

/// A fresh store.
#[async_trait::async_trait]
pub(crate) trait Fixture: Send + Sync {
    async fn start() -> Self
    where
        Self: Sized;

    fn store(&self) -> Arc<dyn Store>;

    /// Ends the store and starts it again, if it outlives that at all.
    async fn restart(&mut self) -> Option<Arc<dyn Store>>;
}

pub(crate) struct Memory(Arc<MemoryStore>);

#[async_trait::async_trait]
impl Fixture for Memory {
    async fn start() -> Self {
        Self(Arc::new(MemoryStore::new()))
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
    async fn start() -> Self {
        let dir = TempDir::new().unwrap();
        Self {
            store: Self::open(&dir),
            dir,
        }
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
