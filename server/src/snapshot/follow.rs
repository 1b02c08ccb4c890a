//! How the snapshot follows the store: everything is read once, and then every change is taken in the order of its
//! revision, whoever made it.
//!
//! Pages are read at different revisions, so what was read is complete only once every change since the first page was
//! taken in. A mark of our own is written after the last page; when it comes along, so has everything before it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt};

use super::Snapshot;
use crate::store::records::{ServerRecord, encode};
use crate::store::{
    Commit, Entry, Error, Event, Operation, PAGE_MAX, Revision, Store, Transaction, keys,
};

/// How long the own mark may take to come along.
const MARK_TIME_MAX: Duration = Duration::from_secs(10);
/// Changes that are taken in at once, at most, before they are shown.
const CHANGES_AT_ONCE: usize = 256;

/// Follows the control records of a store.
pub(crate) struct Follower {
    store: Arc<dyn Store>,
    server: ServerRecord,
    started: Instant,
    changes: Changes,
}

type Changes = BoxStream<'static, Event>;

impl fmt::Debug for Follower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follower")
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}

/// What has come along.
#[derive(Debug)]
pub(crate) struct News {
    /// With it.
    pub(crate) snapshot: Snapshot,
    /// What was put, as far as it is known one by one.
    pub(crate) puts: Vec<Entry>,
    /// Whether more has come along than that servers run.
    pub(crate) is_change: bool,
    /// Whether anything has come along from which somebody's pins follow.
    pub(crate) touches_pins: bool,
}

impl Follower {
    /// Reads everything that there is, for a server that says with `server` that it runs, and counts its marks from
    /// `started` on.
    ///
    /// # Errors
    /// If the store cannot be read or written, or a record is damaged.
    pub(crate) async fn start(
        store: Arc<dyn Store>,
        mut server: ServerRecord,
        started: Instant,
    ) -> Result<(Self, Snapshot), Error> {
        let (snapshot, changes) = read(store.as_ref(), &mut server, started).await?;
        let follower = Self {
            store,
            server,
            started,
            changes,
        };
        Ok((follower, snapshot))
    }

    /// Waits for changes and takes them into `snapshot`; none: the store is closed.
    ///
    /// # Errors
    /// If a record is damaged, or everything had to be read again and could not; [`Follower::again`] does it.
    pub(crate) async fn next(&mut self, snapshot: &Snapshot) -> Result<Option<News>, Error> {
        let Some(event) = self.changes.next().await else {
            return Ok(None);
        };
        let mut news = News {
            snapshot: snapshot.clone(),
            puts: Vec::new(),
            is_change: false,
            touches_pins: false,
        };
        let mut next = Some(event);
        let mut taken = 0;
        while let Some(event) = next {
            match event {
                Event::Resync => return self.again().await.map(Some),
                Event::Change {
                    revision,
                    puts,
                    deletes,
                } => {
                    news.snapshot.apply(&puts, &deletes, revision)?;
                    let mut keys = puts.iter().map(|put| &put.key).chain(&deletes);
                    news.is_change |= keys.any(|key| !key.as_str().starts_with(keys::SERVER));
                    let mut keys = puts.iter().map(|put| &put.key).chain(&deletes);
                    news.touches_pins |= keys.any(keys::is_of_pins);
                    news.puts.extend(puts);
                }
            }
            taken += 1;
            let is_full = taken == CHANGES_AT_ONCE;
            next = match is_full {
                true => None,
                false => self.changes.next().now_or_never().flatten(),
            };
        }
        Ok(Some(news))
    }

    /// Reads everything again.
    ///
    /// # Errors
    /// As for [`Follower::start`].
    pub(crate) async fn again(&mut self) -> Result<News, Error> {
        let (snapshot, changes) = read(self.store.as_ref(), &mut self.server, self.started).await?;
        self.changes = changes;
        Ok(News {
            snapshot,
            puts: Vec::new(),
            is_change: true,
            touches_pins: true,
        })
    }
}

/// Everything that there is, and what changes from then on.
async fn read(
    store: &dyn Store,
    server: &mut ServerRecord,
    started: Instant,
) -> Result<(Snapshot, Changes), Error> {
    // A watcher that is told to resync while it reads has fallen far behind; it seldom does twice.
    for _ in 0..5 {
        if let Some(read) = try_read(store, server, started).await? {
            return Ok(read);
        }
    }
    Err(Error::Unavailable(
        "the store changes faster than it can be read".to_owned(),
    ))
}

async fn try_read(
    store: &dyn Store,
    server: &mut ServerRecord,
    started: Instant,
) -> Result<Option<(Snapshot, Changes)>, Error> {
    let mut page = store.page(keys::CONTROL, None, PAGE_MAX).await?;
    let first: Revision = page.revision;
    let mut snapshot = Snapshot::default();
    loop {
        snapshot.apply(&page.entries, &[], first)?;
        let Some(last) = page.entries.last().filter(|_| page.more) else {
            break;
        };
        page = store.page(keys::CONTROL, Some(&last.key), PAGE_MAX).await?;
    }
    snapshot.reassemble();
    let mut changes = store.watch(keys::CONTROL, first).await?;
    server.mark = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let key = keys::server(server.process);
    let put = Transaction {
        conditions: Vec::new(),
        operations: vec![Operation::Put(key.clone(), encode(server))],
    };
    let Commit::Done(marked) = store.commit(put).await? else {
        return Ok(None);
    };
    while snapshot.revision < marked {
        match tokio::time::timeout(MARK_TIME_MAX, changes.next()).await {
            Ok(Some(Event::Change {
                revision,
                puts,
                deletes,
            })) => snapshot.apply(&puts, &deletes, revision)?,
            Ok(Some(Event::Resync)) => return Ok(None),
            Ok(None) => return Err(Error::Unavailable("the store was closed".to_owned())),
            Err(_) => {
                return Err(Error::Unavailable(format!(
                    "nothing that was written in the last {} s came along",
                    MARK_TIME_MAX.as_secs()
                )));
            }
        }
    }
    Ok(Some((snapshot, changes)))
}
