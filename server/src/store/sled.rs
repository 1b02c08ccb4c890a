//! The embedded engine: sled, behind the rules without which it loses acknowledged data.
//!
//! One thread owns sled and commits what waits as one group: write, flush, fsync, publish, answer.
//! Reads are served from a copy of all entries in memory, so they neither wait for the disk nor see
//! what is not durable. Any failure to write ends the store: its process exits, and starts again.

mod disk;
mod files;
mod frame;
mod group;
mod high;
mod open;
mod owner;
mod restore;
mod shared;
mod view;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use tokio::sync::oneshot;
use tokio::time::timeout;

use self::disk::Disk;
use self::owner::{Owner, Request};
pub use self::shared::Alarm;
use self::shared::{Shared, Status};
use self::view::View;
use super::backup::{Backup, RestoreError};
use super::leases::Leases;
use super::{
    Commit, Condition, Entry, Error, Event, Key, Leader, LeaderGuard, Operation, Page, Revision,
    Sink, Store, Transaction, front,
};

/// The most that [`SledOptions::cache_bytes`] can be; sled uses several times as much memory.
pub const CACHE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// After how many entries an export lets others run.
const EXPORT_YIELD_ENTRIES: usize = 256;

/// What may differ between two stores.
#[derive(Clone, Debug)]
pub struct SledOptions {
    /// sled's page cache, in bytes, at most [`CACHE_BYTES_MAX`].
    pub cache_bytes: u64,
    /// The free bytes without which the store is not opened.
    pub open_bytes_free_min: u64,
    /// The free bytes without which transactions are refused.
    pub commit_bytes_free_min: u64,
    /// How long a transaction may take until the disk counts as broken.
    pub stall_max: Duration,
}

impl Default for SledOptions {
    fn default() -> Self {
        Self {
            cache_bytes: 32 * 1024 * 1024,
            open_bytes_free_min: 64 * 1024 * 1024,
            commit_bytes_free_min: 256 * 1024 * 1024,
            stall_max: Duration::from_secs(60),
        }
    }
}

/// A store in a folder of its own, open in one process at a time.
#[derive(Debug)]
pub struct SledStore {
    requests: Sender<Request>,
    shared: Arc<Shared>,
    leases: Leases,
    stall_max: Duration,
}

impl SledStore {
    /// Opens the store in the folder `dir`, making both where they are missing.
    ///
    /// Blocks until everything is read and checked, and up to 5 s while the store is still open elsewhere.
    ///
    /// Errors: [`Error::Unavailable`] says what is in the way; [`Error::Damaged`] that acknowledged
    /// records are lost. A single damaged record is no reason to refuse: see [`SledStore::alarms`].
    pub fn open(dir: &Path, options: SledOptions) -> Result<Self, Error> {
        if options.cache_bytes > CACHE_BYTES_MAX {
            return Err(Error::Invalid(format!(
                "a cache of {} bytes was asked for, at most {CACHE_BYTES_MAX} are allowed",
                options.cache_bytes
            )));
        }
        let dir = dir.to_owned();
        let opening = options.clone();
        Self::start(options, move || open::open(&dir, &opening))
    }

    /// Makes the store in the folder `dir` from a backup; there must be none. It is there whole, or not at all.
    ///
    /// Blocks until that is done.
    ///
    /// # Errors
    /// What is in the way.
    pub fn restore(dir: &Path, options: &SledOptions, backup: &Backup) -> Result<(), RestoreError> {
        restore::restore(dir, options, backup)
    }

    /// Commits what waits and lets go of all files; later calls answer [`Error::Unavailable`].
    pub async fn close(&self) {
        let (answer, closed) = oneshot::channel();
        if self.requests.send(Request::Close(answer)).is_ok() {
            // Without an answer it has already ended.
            let _ = closed.await;
        }
    }

    /// Waits until the store has failed and says why; the process should then end and start again.
    ///
    /// Waits for ever if the store never fails.
    pub fn failed(&self) -> impl Future<Output = String> + Send + use<> {
        let mut status = self.shared.status.subscribe();
        async move {
            loop {
                if let Status::Failed(cause) = &*status.borrow_and_update() {
                    return cause.clone();
                }
                if status.changed().await.is_err() {
                    return std::future::pending().await;
                }
            }
        }
    }

    /// The dangers that an operator should look at, none in good times.
    pub fn alarms(&self) -> Vec<Alarm> {
        self.shared.alarms()
    }

    /// Starts the owner thread, which opens a disk and serves it.
    fn start<D: Disk>(
        options: SledOptions,
        open: impl FnOnce() -> Result<(D, View), Error> + Send + 'static,
    ) -> Result<Self, Error> {
        let (opened, is_open) = mpsc::sync_channel(1);
        let (requests, received) = mpsc::channel();
        let stall_max = options.stall_max;
        let own = move || match owner::guarded(open, Error::Unavailable) {
            Ok((disk, view)) => {
                let shared = Arc::new(Shared::new(view));
                let owner = Owner::new(disk, Arc::clone(&shared), options.commit_bytes_free_min);
                if opened.send(Ok(shared)).is_ok() {
                    owner.run(received);
                }
            }
            // The caller waits, so the answer arrives.
            Err(cause) => drop(opened.send(Err(cause))),
        };
        thread::Builder::new()
            .name("store-owner".to_owned())
            .spawn(own)
            .map_err(|cause| Error::Unavailable(format!("its thread did not start: {cause}")))?;
        let shared = is_open
            .recv()
            .map_err(|_| Error::Unavailable("its thread ended while it was opened".to_owned()))??;
        Ok(Self {
            requests,
            shared,
            leases: Leases::default(),
            stall_max,
        })
    }

    async fn commit_checked(&self, transaction: Transaction) -> Result<Commit, Error> {
        self.shared.check_open()?;
        let (answer, outcome) = oneshot::channel();
        self.send(Request::Commit(transaction, Some(answer)))?;
        match timeout(self.stall_max, outcome).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(self.ended()),
            Err(_) => {
                let cause = format!("the disk did not answer for {:?}", self.stall_max);
                tracing::error!(
                    cause,
                    "the store has failed: it takes nothing more until it is opened again"
                );
                self.shared.end(Status::Failed(cause.clone()));
                Err(Error::Unknown(cause))
            }
        }
    }

    fn send(&self, request: Request) -> Result<(), Error> {
        self.requests.send(request).map_err(|_| self.ended())
    }

    fn ended(&self) -> Error {
        let ended = self.shared.check_open().err();
        ended.unwrap_or_else(|| Error::Unavailable("its thread has ended".to_owned()))
    }
}

impl Drop for SledStore {
    fn drop(&mut self) {
        // Leases that are still held keep the channel open, so its end is asked for.
        let _ = self.requests.send(Request::Close(oneshot::channel().0));
    }
}

#[async_trait]
impl Store for SledStore {
    async fn get(&self, key: &Key) -> Result<Option<Entry>, Error> {
        front::check_key(key)?;
        self.shared.view()?.get(key)
    }

    async fn page(&self, prefix: &str, after: Option<&Key>, max: usize) -> Result<Page, Error> {
        front::check_page(prefix, max)?;
        self.shared.view()?.page(prefix, after, max)
    }

    async fn commit(&self, transaction: Transaction) -> Result<Commit, Error> {
        front::check_transaction(&transaction)?;
        self.commit_checked(transaction).await
    }

    async fn watch(
        &self,
        prefix: &str,
        from: Revision,
    ) -> Result<BoxStream<'static, Event>, Error> {
        front::check_prefix(prefix)?;
        self.shared.check_open()?;
        Ok(self.shared.history.watch(prefix, from))
    }

    async fn lead(&self, name: &str, _ttl: Duration) -> Result<Leader, Error> {
        let key = front::lease_key(name)?;
        self.shared.check_open()?;
        let turn = self.leases.turn(name).await;
        let release = Transaction {
            conditions: Vec::new(),
            operations: vec![Operation::Delete(key.clone())],
        };
        // The key is there if the one before gave up waiting for its own put.
        self.send(Request::Commit(release.clone(), None))?;
        let take = Transaction {
            conditions: vec![Condition::Absent(key.clone())],
            operations: vec![Operation::Put(key.clone(), Bytes::new())],
        };
        let Commit::Done(token) = self.commit_checked(take).await? else {
            return Err(Error::Unavailable(format!(
                "the lease `{name}` could not be taken"
            )));
        };
        let requests = self.requests.clone();
        let guard = LeaderGuard::new(move || {
            // A store that has ended removes the key when it is opened again.
            let _ = requests.send(Request::Commit(release, None));
            drop(turn);
        });
        Ok(Leader {
            key,
            token,
            lost: self.shared.ended.subscribe(),
            guard,
        })
    }

    async fn export(&self, sink: &mut (dyn Sink + '_)) -> Result<Revision, Error> {
        let view = self.shared.view()?;
        for (exported, (key, slot)) in view.slots.iter().enumerate() {
            sink.entry(&slot.record(key)?.entry)
                .map_err(Error::Export)?;
            if exported % EXPORT_YIELD_ENTRIES == 0 {
                tokio::task::yield_now().await;
            }
        }
        Ok(view.totals.revision)
    }
}
