//! Durable state: one trait that an embedded engine and a cluster can both keep honestly.
//!
//! Keys and records live beside it; who writes which key is in `keys`. There is deliberately no
//! flush (durability is part of [`Store::commit`]), no closure transaction and no lock.

pub mod backup;
pub mod engine;
pub mod etcd;
pub mod front;
mod history;
pub mod keys;
mod leases;
pub mod memory;
pub mod records;
pub mod sled;

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;

/// A point in the store's history: strictly rising, survives restart; 0 is before everything.
pub type Revision = u64;

/// Conditions and operations of one transaction, each at most this many.
pub const TXN_ITEMS_MAX: usize = 110;
/// The largest key, in bytes.
pub const KEY_BYTES_MAX: usize = 1024;
/// The largest value, in bytes.
pub const VALUE_BYTES_MAX: usize = 16 * 1024;
/// The largest sum of keys and values of one transaction, in bytes.
pub const TXN_BYTES_MAX: usize = 512 * 1024;
/// The most entries that one [`Store::page`] returns.
pub const PAGE_MAX: usize = 1000;

/// A key: segments separated by `/`, none empty, at most [`KEY_BYTES_MAX`] bytes of printable ASCII without spaces.
///
/// Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Arc<str>);

impl Key {
    /// Makes a key; its form is checked when it is committed.
    pub fn new(key: impl Into<String>) -> Self {
        Self(key.into().into())
    }

    /// The key's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Borrow<str> for Key {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// A key with its value and the revisions of its creation and last change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: Key,
    /// The value, as it was put.
    pub value: Bytes,
    /// The revision at which the key came into being (again, after a delete).
    pub created: Revision,
    /// The revision of the last put.
    pub modified: Revision,
}

/// What must still be true for a transaction to happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The key does not exist.
    Absent(Key),
    /// The key was last put at this revision.
    Modified(Key, Revision),
    /// The key came into being at this revision: the fencing token of a lease.
    Created(Key, Revision),
}

/// What a transaction does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Sets the key to the value.
    Put(Key, Bytes),
    /// Removes the key; nothing happens if it does not exist.
    Delete(Key),
}

/// All of its operations happen, in one revision, if all of its conditions hold; else none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transaction {
    /// What must hold.
    pub conditions: Vec<Condition>,
    /// What is done; at least one, no key twice, none of the engine's own keys ([`front::is_own_key`]).
    pub operations: Vec<Operation>,
}

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commit {
    /// Durable, at this revision. Where nothing had to change (only absent keys were deleted), the
    /// store's revision stays and is given.
    Done(Revision),
    /// A condition did not hold; nothing happened.
    Conflict,
}

/// A page of entries in key order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The entries.
    pub entries: Vec<Entry>,
    /// The store's revision the page was read at.
    pub revision: Revision,
    /// Whether entries follow the last one.
    pub more: bool,
}

/// What a watcher is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// One transaction, whole, and already durable.
    Change {
        /// Its revision.
        revision: Revision,
        /// The entries it put, under the watched prefix.
        puts: Vec<Entry>,
        /// The keys it removed, under the watched prefix.
        deletes: Vec<Key>,
    },
    /// Changes may have been missed: list again, then go on.
    Resync,
}

/// Why the store could not do it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The transaction or key breaks a limit of the trait.
    #[error("{0}")]
    Invalid(String),
    /// It may or may not have happened: retry the same, which must be harmless.
    #[error("the outcome of the transaction is unknown: {0}")]
    Unknown(String),
    /// What is stored under this key cannot be trusted.
    #[error("the record `{key}` is damaged: {cause}")]
    Damaged {
        /// The key.
        key: String,
        /// What is wrong with it.
        cause: String,
    },
    /// The store is closed, full or broken; nothing more is accepted.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// The sink of an export refused an entry.
    #[error("the export could not be written")]
    Export(#[source] std::io::Error),
}

/// A lease that was won.
#[derive(Debug)]
pub struct Leader {
    /// The lease's key.
    pub key: Key,
    /// The fencing token: put `Condition::Created(key, token)` into every transaction made under the lease.
    pub token: Revision,
    /// Becomes true when the lease is lost; dropping the `Leader` gives it up.
    pub lost: tokio::sync::watch::Receiver<bool>,
    /// Gives the lease up when dropped.
    pub guard: LeaderGuard,
}

/// Gives a lease up when dropped.
pub struct LeaderGuard(Option<Box<dyn FnOnce() + Send + Sync>>);

impl LeaderGuard {
    /// Runs `release` once, when dropped.
    pub fn new(release: impl FnOnce() + Send + Sync + 'static) -> Self {
        Self(Some(Box::new(release)))
    }
}

impl fmt::Debug for LeaderGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LeaderGuard")
    }
}

impl Drop for LeaderGuard {
    fn drop(&mut self) {
        if let Some(release) = self.0.take() {
            release();
        }
    }
}

/// Takes the entries of an export, in key order.
pub trait Sink: Send {
    /// Takes one entry; an error ends the export.
    fn entry(&mut self, entry: &Entry) -> std::io::Result<()>;
}

/// A durable, conditional, revisioned map. See the module's header for what it deliberately lacks.
#[async_trait]
pub trait Store: Send + Sync + fmt::Debug {
    /// The entry of a key.
    async fn get(&self, key: &Key) -> Result<Option<Entry>, Error>;

    /// At most `max` (1 to [`PAGE_MAX`]) entries whose keys begin with `prefix` and lie after `after`, in key order.
    async fn page(&self, prefix: &str, after: Option<&Key>, max: usize) -> Result<Page, Error>;

    /// Does all of it or nothing; `Done` means durable.
    async fn commit(&self, transaction: Transaction) -> Result<Commit, Error>;

    /// Changes under `prefix` after revision `from`, in order, or [`Event::Resync`] where they are not known.
    ///
    /// After a `Resync` list again and ignore the events up to that page's revision. A watcher that
    /// lags is told to resync, and never holds up a writer. The stream ends with the store.
    async fn watch(&self, prefix: &str, from: Revision)
    -> Result<BoxStream<'static, Event>, Error>;

    /// Waits for the lease `name`, whose key is `lead/<name>`, and keeps it for `ttl` at a time.
    ///
    /// Of those who wait in one process the longest is next. An engine of a single process keeps it until it is given up.
    async fn lead(&self, name: &str, ttl: Duration) -> Result<Leader, Error>;

    /// Gives every entry to the sink as of one revision, which is returned.
    async fn export(&self, sink: &mut (dyn Sink + '_)) -> Result<Revision, Error>;
}
