//! Versions that were taken back by those who published them, while they are on trial.

use std::sync::Arc;

use pinion_core::reason::Reason;
use pinion_core::state::{Actor, State, Step};

use super::{Promotion, Yanked};

impl Promotion {
    /// Gives everybody the baseline. Nothing is blocked and nothing filed: no harm was seen here, and what is not yanked
    /// any more may be tried again.
    pub(super) async fn halt_yanked(&mut self, yanked: Yanked) {
        let Yanked {
            rollout: id,
            package,
            version,
            words,
        } = yanked;
        let snapshot = self.controller.snapshot();
        let Some(stored) = snapshot.rollout(&id) else {
            return;
        };
        let rollout = Arc::clone(&stored.record);
        // It is told again for as long as it is open, and may have ended meanwhile.
        if rollout.check(Step::Abort).is_err() {
            return;
        }
        let now = self.controller.clock.now();
        let state = State::Aborted {
            at: now,
            by: Actor::Controller,
        };
        let reason = Reason::Yanked {
            package: package.written().to_owned(),
            version: version.to_string(),
            words,
        };
        tracing::warn!(rollout = %id, %reason, "halted");
        let actor = &Actor::Controller;
        if let Err(refusal) = self
            .enter(&rollout, Step::Abort, state, reason, actor, now)
            .await
        {
            tracing::error!(rollout = %id, %refusal, "a yanked version could not be halted; it is tried again");
        }
    }
}
