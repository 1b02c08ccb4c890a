//! The cluster engine: etcd, version 3.4 or later, best the newest 3.6.
//!
//! A transaction is one of etcd's, conditional on its create and mod revisions; durable means that a
//! majority of the members has it. Several installations share one etcd, each under its own prefix.
//! Nothing is kept in this process: reads ask the leader, so that every server sees what any committed.
//! Members that do not answer are passed over, every call ends, and what may have happened is said to
//! be unknown.

mod endpoints;
mod fault;
mod frame;
mod lease;
mod open;
mod options;
mod read;
mod restore;
mod space;
mod tail;
mod transact;
mod watch;

use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::endpoints::Endpoints;
pub use self::options::{EtcdOptions, InvalidOptions};
use self::space::Space;
use super::backup::{Backup, RestoreError};
use super::leases::Leases;
use super::{
    Commit, Entry, Error, Event, Key, Leader, Page, Revision, Sink, Store, Transaction, front,
};

/// What is said when the store's id is no longer the one that was found.
const REPLACED: &str = "what etcd has under the prefix is no longer the store that was opened: \
     it was removed, or replaced from a backup";

/// A store in etcd, open in any number of processes at a time. Cheap to clone.
#[derive(Clone, Debug)]
pub struct EtcdStore(Arc<Inner>);

/// What the clones of a store share.
#[derive(Debug)]
pub struct Inner {
    endpoints: Arc<Endpoints>,
    space: Space,
    /// When the store's id came into being, as etcd counts.
    created: i64,
    can_miss_deletes: bool,
    leases: Leases,
    closing: CancellationToken,
    tasks: TaskTracker,
    failed: tokio::sync::watch::Sender<Option<String>>,
}

impl Deref for EtcdStore {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl EtcdStore {
    /// Opens the store under the prefix, making it where there is nothing.
    ///
    /// Waits a while for a member to be ready. `note` is a file that keeps the store's id, so that an etcd which
    /// has lost its store is not taken for a new one.
    ///
    /// # Errors
    /// [`Error::Invalid`] names the option that is refused; [`Error::Unavailable`] says what is in the
    /// way: nobody there, a version or an alarm of etcd's, members of two clusters, what is under the prefix.
    pub async fn open(options: &EtcdOptions, note: Option<&Path>) -> Result<Self, Error> {
        options
            .validate()
            .map_err(|cause| Error::Invalid(cause.to_string()))?;
        let endpoints = Endpoints::new(options)?;
        let health = open::check_members(&endpoints).await?;
        if health.can_miss_deletes {
            tracing::info!(
                "a member of etcd may be older than 3.5.18, whose watches can miss deletes: everything watched is listed again every minute"
            );
        }
        let mut space = Space::new(&options.prefix);
        let noted = note.map(open::read_note).transpose()?.flatten();
        let identity = open::identify(&endpoints, &mut space, noted.as_deref()).await?;
        if let Some(note) = note {
            open::write_note(note, &identity.id)?;
        }
        Ok(Self(Arc::new(Inner {
            endpoints: Arc::new(endpoints),
            space,
            created: identity.created,
            can_miss_deletes: health.can_miss_deletes,
            leases: Leases::default(),
            closing: CancellationToken::new(),
            tasks: TaskTracker::new(),
            failed: tokio::sync::watch::Sender::new(None),
        })))
    }

    /// Makes the store under the prefix from a backup; nothing may be there. Servers open it once it is whole; if it
    /// is interrupted, it goes on when it is run again with the same backup.
    ///
    /// # Errors
    /// What is in the way.
    pub async fn restore(options: &EtcdOptions, backup: &Backup) -> Result<(), RestoreError> {
        restore::restore(options, backup).await
    }

    /// Gives its leases back and ends its watches; later calls answer [`Error::Unavailable`].
    pub async fn close(&self) {
        self.closing.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Waits until the store can no longer be used and says why; the process should then end and start again.
    ///
    /// Waits for ever if that never happens: an etcd that cannot be reached is waited for.
    pub fn failed(&self) -> impl Future<Output = String> + Send + use<> {
        let mut failed = self.failed.subscribe();
        async move {
            let cause = failed.wait_for(Option::is_some).await;
            let cause = cause.ok().and_then(|cause| cause.clone());
            match cause {
                Some(cause) => cause,
                None => std::future::pending().await,
            }
        }
    }
}

impl Inner {
    fn check_open(&self) -> Result<(), Error> {
        if let Some(cause) = &*self.failed.borrow() {
            return Err(Error::Unavailable(cause.clone()));
        }
        if self.closing.is_cancelled() {
            return Err(Error::Unavailable("it is closed".to_owned()));
        }
        Ok(())
    }

    fn fail(&self, cause: &str) {
        tracing::error!(cause, "the store has failed");
        self.failed.send_replace(Some(cause.to_owned()));
    }
}

#[async_trait]
impl Store for EtcdStore {
    async fn get(&self, key: &Key) -> Result<Option<Entry>, Error> {
        front::check_key(key)?;
        self.check_open()?;
        self.read(key).await
    }

    async fn page(&self, prefix: &str, after: Option<&Key>, max: usize) -> Result<Page, Error> {
        front::check_page(prefix, max)?;
        self.check_open()?;
        self.read_page(prefix, after, max).await
    }

    async fn commit(&self, transaction: Transaction) -> Result<Commit, Error> {
        front::check_transaction(&transaction)?;
        self.check_open()?;
        self.transact(&transaction).await
    }

    async fn watch(
        &self,
        prefix: &str,
        from: Revision,
    ) -> Result<BoxStream<'static, Event>, Error> {
        front::check_prefix(prefix)?;
        self.check_open()?;
        Ok(self.follow(prefix, from))
    }

    async fn lead(&self, name: &str, ttl: Duration) -> Result<Leader, Error> {
        self.win(name, ttl).await
    }

    async fn export(&self, sink: &mut (dyn Sink + '_)) -> Result<Revision, Error> {
        self.check_open()?;
        self.read_all(sink).await
    }
}
