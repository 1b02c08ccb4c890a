//! What the owner thread publishes and everybody else reads.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::view::View;
use crate::store::history::{Change, History};
use crate::store::{Error, Key};

/// A danger to the store that an operator should look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Alarm {
    /// A record cannot be trusted; what needs it fails. Restore the store from a backup.
    Damaged(Key),
    /// Values are in sled's `blobs/`, where a power cut can take them.
    Blobs {
        /// How many.
        files: usize,
    },
    /// Too little space is free, so transactions are refused.
    SpaceLow {
        /// The bytes that are free.
        free: u64,
        /// The bytes below which transactions are refused.
        need: u64,
    },
}

impl fmt::Display for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged(key) => write!(
                f,
                "the record `{key}` is damaged: restore the store from a backup"
            ),
            Self::Blobs { files } => {
                write!(
                    f,
                    "{files} values are in `blobs`, which a power cut can take: export the store"
                )
            }
            Self::SpaceLow { free, need } => {
                write!(
                    f,
                    "{free} bytes are free, {need} are needed to accept transactions: free some space"
                )
            }
        }
    }
}

/// Whether transactions are taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Open,
    Closed,
    /// Broken, for this cause.
    Failed(String),
}

/// The durable state, and how the store is.
#[derive(Debug)]
pub(super) struct Shared {
    view: ArcSwap<View>,
    pub(super) history: Arc<History>,
    pub(super) status: watch::Sender<Status>,
    /// Becomes true when the leases are lost, which is when the store ends.
    pub(super) ended: watch::Sender<bool>,
    damaged: Vec<Alarm>,
    /// The alarms that come and go.
    passing: Mutex<Vec<Alarm>>,
}

impl Shared {
    /// What is published of a store that was opened at `view`.
    pub(super) fn new(view: View) -> Self {
        Self {
            history: History::starting_after(view.totals.revision),
            status: watch::Sender::new(Status::Open),
            ended: watch::Sender::new(false),
            damaged: view.damaged().cloned().map(Alarm::Damaged).collect(),
            passing: Mutex::default(),
            view: ArcSwap::from_pointee(view),
        }
    }

    /// The durable view, or why nothing is answered any more.
    pub(super) fn view(&self) -> Result<Arc<View>, Error> {
        self.check_open()?;
        Ok(self.view.load_full())
    }

    /// The last durable view.
    pub(super) fn last_view(&self) -> Arc<View> {
        self.view.load_full()
    }

    /// Makes a durable group readable, and tells the watchers.
    pub(super) fn publish(&self, view: View, changes: Vec<Change>) {
        self.view.store(Arc::new(view));
        self.history.append(changes);
    }

    /// Refuses with the cause unless the store is open.
    pub(super) fn check_open(&self) -> Result<(), Error> {
        match &*self.status.borrow() {
            Status::Open => Ok(()),
            Status::Closed => Err(Error::Unavailable("it was closed".to_owned())),
            Status::Failed(cause) => Err(Error::Unavailable(cause.clone())),
        }
    }

    /// Ends the store, once; the first reason stays.
    pub(super) fn end(&self, status: Status) {
        let is_first = self.status.send_if_modified(|now| {
            let is_open = *now == Status::Open;
            if is_open {
                *now = status;
            }
            is_open
        });
        if is_first {
            self.ended.send_replace(true);
            self.history.close();
        }
    }

    /// All alarms at the moment.
    pub(super) fn alarms(&self) -> Vec<Alarm> {
        let passing = self.passing.lock().unwrap_or_else(PoisonError::into_inner);
        self.damaged.iter().chain(&*passing).cloned().collect()
    }

    /// Replaces the alarms that come and go.
    pub(super) fn set_passing_alarms(&self, alarms: Vec<Alarm>) {
        *self.passing.lock().unwrap_or_else(PoisonError::into_inner) = alarms;
    }
}
