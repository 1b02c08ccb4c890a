//! What happened lately, for watchers of an engine within one process.
//!
//! A bounded list that the writer appends to and every watcher reads at its own pace: who falls
//! behind its end is told to resync, so a slow watcher costs the writer nothing.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use tokio::sync::watch;

use super::{Entry, Event, Key, Revision};

/// The most changes that are kept.
const CHANGES_MAX: usize = 4096;
/// The most bytes of keys and values that are kept.
const BYTES_MAX: usize = 8 * 1024 * 1024;

/// One durable transaction.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) revision: Revision,
    pub(super) puts: Vec<Entry>,
    pub(super) deletes: Vec<Key>,
}

/// The last changes, and who waits for the next.
#[derive(Debug)]
pub(super) struct History {
    kept: Mutex<Kept>,
    /// Told whenever `kept` has grown; dropped by `close`.
    grown: Mutex<Option<watch::Sender<()>>>,
}

#[derive(Debug)]
struct Kept {
    changes: VecDeque<Arc<Change>>,
    bytes: usize,
    /// Every change after this revision is in `changes`.
    floor: Revision,
    /// The revision of the last change, or that of the start.
    tip: Revision,
}

impl History {
    /// A history that knows nothing up to and including `revision`.
    pub(super) fn starting_after(revision: Revision) -> Arc<Self> {
        let kept = Kept {
            changes: VecDeque::new(),
            bytes: 0,
            floor: revision,
            tip: revision,
        };
        Arc::new(Self {
            kept: Mutex::new(kept),
            grown: Mutex::new(Some(watch::Sender::new(()))),
        })
    }

    /// Adds durable changes, in order; what they changed must already be readable.
    pub(super) fn append(&self, changes: impl IntoIterator<Item = Change>) {
        let mut kept = lock(&self.kept);
        for change in changes {
            kept.push(change);
        }
        drop(kept);
        if let Some(grown) = &*lock(&self.grown) {
            grown.send_replace(());
        }
    }

    /// Ends every watcher's stream once it has been given what is kept.
    pub(super) fn close(&self) {
        lock(&self.grown).take();
    }

    /// The changes under `prefix` after `from`.
    pub(super) fn watch(
        self: &Arc<Self>,
        prefix: &str,
        from: Revision,
    ) -> BoxStream<'static, Event> {
        let watcher = Watcher {
            history: Arc::clone(self),
            grown: lock(&self.grown).as_ref().map(watch::Sender::subscribe),
            prefix: prefix.to_owned(),
            seen: from,
        };
        stream::unfold(watcher, Watcher::next).boxed()
    }

    /// The next event under `prefix` after `seen`, with how far the history is seen then.
    fn next_event(&self, prefix: &str, seen: Revision) -> (Option<Event>, Revision) {
        let kept = lock(&self.kept);
        // A revision from the future belongs to another history, such as that before a restore.
        if seen < kept.floor || seen > kept.tip {
            return (Some(Event::Resync), kept.tip);
        }
        let first = kept
            .changes
            .partition_point(|change| change.revision <= seen);
        let event = kept
            .changes
            .range(first..)
            .find_map(|change| change.event_under(prefix));
        match event {
            Some((event, revision)) => (Some(event), revision),
            None => (None, kept.tip),
        }
    }
}

struct Watcher {
    history: Arc<History>,
    grown: Option<watch::Receiver<()>>,
    prefix: String,
    seen: Revision,
}

impl Watcher {
    async fn next(mut self) -> Option<(Event, Self)> {
        loop {
            if let Some(grown) = &mut self.grown {
                grown.borrow_and_update();
            }
            let (event, seen) = self.history.next_event(&self.prefix, self.seen);
            self.seen = seen;
            if let Some(event) = event {
                return Some((event, self));
            }
            if self.grown.as_mut()?.changed().await.is_err() {
                self.grown = None;
            }
        }
    }
}

impl Kept {
    fn push(&mut self, change: Change) {
        self.tip = change.revision;
        self.bytes += change.bytes();
        self.changes.push_back(Arc::new(change));
        while self.changes.len() > CHANGES_MAX || self.bytes > BYTES_MAX {
            let Some(oldest) = self.changes.pop_front() else {
                break;
            };
            self.bytes -= oldest.bytes();
            self.floor = oldest.revision;
        }
    }
}

impl Change {
    fn bytes(&self) -> usize {
        let puts: usize = self
            .puts
            .iter()
            .map(|put| put.key.as_str().len() + put.value.len())
            .sum();
        let deletes: usize = self.deletes.iter().map(|key| key.as_str().len()).sum();
        puts + deletes
    }

    fn event_under(&self, prefix: &str) -> Option<(Event, Revision)> {
        let is_under = |key: &Key| key.as_str().starts_with(prefix);
        let puts: Vec<_> = self
            .puts
            .iter()
            .filter(|put| is_under(&put.key))
            .cloned()
            .collect();
        let deletes: Vec<_> = self
            .deletes
            .iter()
            .filter(|key| is_under(key))
            .cloned()
            .collect();
        if puts.is_empty() && deletes.is_empty() {
            return None;
        }
        Some((
            Event::Change {
                revision: self.revision,
                puts,
                deletes,
            },
            self.revision,
        ))
    }
}

/// A panic elsewhere cannot leave these lists half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
