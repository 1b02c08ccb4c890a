//! Who is next for a lease, for engines of a single process.
//!
//! The lease itself is a key in the store; this is only the queue before it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Mutex as FairMutex, OwnedMutexGuard};

/// One queue for each lease that was ever asked for.
#[derive(Debug, Default)]
pub(super) struct Leases(Mutex<HashMap<String, Arc<FairMutex<()>>>>);

/// Being first in the queue, until dropped.
pub(super) type Turn = OwnedMutexGuard<()>;

impl Leases {
    /// Waits in the queue of the lease `name`; first come, first served.
    pub(super) async fn turn(&self, name: &str) -> Turn {
        let queue = {
            let mut queues = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(queues.entry(name.to_owned()).or_default())
        };
        queue.lock_owned().await
    }
}
