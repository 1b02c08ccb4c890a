//! What we do unasked. A loop takes no input, can be woken early, may run twice at once in two processes,
//! and commits only if what it read is still true.

use std::sync::Arc;

use tokio::sync::Notify;

pub mod candidates;
pub mod filing;
pub mod fold;
pub(crate) mod follow;
pub mod history;
pub mod indexes;
pub mod lead;
pub mod looks;
pub mod notices;
pub mod promotion;
pub mod sources;
pub mod track;

/// Wakes a loop early.
#[derive(Clone, Debug, Default)]
pub struct Wake(Arc<Notify>);

impl Wake {
    /// Wakes the loop, once however often it is called until the loop has run.
    pub fn wake(&self) {
        self.0.notify_one();
    }

    pub(crate) async fn woken(&self) {
        self.0.notified().await;
    }
}
