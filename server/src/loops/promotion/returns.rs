//! How those who had a candidate that was taken back come back to the baseline: by their first pull after it.

use pinion_core::evidence::Ordinal;
use pinion_core::figures::{Ended, RETURN_MAX};
use pinion_core::time::Timestamp;

use super::Promotion;
use crate::controller::Draft;
use crate::snapshot::Stored;
use crate::store::keys;
use crate::store::records::encode;

/// Ends that are changed in one transaction, at most.
const AT_ONCE: usize = 50;

impl Promotion {
    /// Notes who is back, and waits no longer for those who stayed away.
    pub(super) async fn note_returns(&mut self) {
        let returned = self.fold.take_returned();
        let controller = std::sync::Arc::clone(&self.controller);
        let _lock = controller.lock().await;
        let snapshot = controller.snapshot();
        let now = controller.clock.now();
        let mut draft = Draft::default();
        let changed = snapshot
            .returning()
            .filter_map(|stored| Some((stored, news(stored, &returned, now)?)));
        for (stored, ended) in changed.take(AT_ONCE) {
            let key = keys::ended(&ended.rollout);
            draft.replace(key, stored.modified, encode(&ended));
        }
        if draft.is_empty() {
            return;
        }
        if let Err(refusal) = controller.commit(draft).await {
            tracing::warn!(%refusal, "who is back on the baseline could not be written; it is tried again");
            self.fold.keep_returned(returned);
        }
    }
}

/// The end with what has changed; none where nothing has.
fn news(
    stored: &Stored<Ended>,
    returned: &[(Ordinal, Timestamp)],
    now: Timestamp,
) -> Option<Ended> {
    let mut ended = Ended::clone(&stored.record);
    let ended_at = ended.ended_at;
    let returning = ended.returning.as_mut()?;
    let mut has_changed = false;
    for (ordinal, at) in returned.iter().filter(|(_, at)| *at >= ended_at) {
        has_changed |= returning.note(*ordinal, *at);
    }
    if now >= ended_at.plus(RETURN_MAX) && !returning.is_over {
        returning.give_up();
        has_changed = true;
    }
    has_changed.then_some(ended)
}
