//! Freezes of a whole pin set, set and taken away at once. Stopping asks no freeze.

use pinion_core::calendar::StandingFreeze;
use pinion_core::evidence::Evidence;
use pinion_core::name::PinSetName;
use pinion_core::notice::{pin_set_frozen, pin_set_unfrozen};
use pinion_core::reason::Reason;
use pinion_core::rollout::Rollout;
use pinion_core::time::Timestamp;

use super::pin_sets::current;
use super::rollouts::words_of;
use super::{Controller, Draft, Identity, Note, Refusal, logged};
use crate::snapshot::{PinSetEntry, Snapshot};
use crate::store::keys;
use crate::store::records::{PinSetRecord, Role, encode};

/// The longest reason of a freeze, in bytes.
const REASON_BYTES_MAX: usize = 200;
/// What the logs of the open rollouts call it.
const FREEZE: &str = "freeze pin set";
const UNFREEZE: &str = "unfreeze pin set";

impl Controller {
    /// Raises no share of a pin set from now on, until a moment or until the freeze is taken away.
    ///
    /// # Errors
    /// If the moment has passed, or no reason is given.
    pub async fn freeze_pin_set(
        &self,
        caller: &Identity,
        name: &PinSetName,
        until: Option<Timestamp>,
        reason: &str,
    ) -> Result<(), Refusal> {
        caller.require(&[Role::ReleaseManager])?;
        caller.require_pin_set(name)?;
        if !(1..=REASON_BYTES_MAX).contains(&reason.len()) {
            let cause = format!("give 1 to {REASON_BYTES_MAX} bytes: people will ask why");
            return Err(Refusal::invalid("reason", cause));
        }
        let reason = words_of(reason)?;
        let _lock = self.lock().await;
        let now = self.clock.now();
        if let Some(until) = until.filter(|until| *until <= now) {
            let cause = format!("{until} has passed; give a moment in the future, or none");
            return Err(Refusal::invalid("end_time", cause));
        }
        let freeze = StandingFreeze {
            since: now,
            until,
            by: caller.actor.clone(),
            reason: reason.clone(),
        };
        let why = Reason::PinSetFrozen {
            by: caller.actor.to_string(),
            until,
            words: reason,
        };
        let snapshot = self.snapshot();
        let entry = current(&snapshot, name, 0)?;
        self.put_freeze(&snapshot, entry, Some(freeze), (FREEZE, why), caller)
            .await
    }

    /// Takes the freeze of a pin set away.
    ///
    /// # Errors
    /// If there is none.
    pub async fn unfreeze_pin_set(
        &self,
        caller: &Identity,
        name: &PinSetName,
        words: &str,
    ) -> Result<(), Refusal> {
        caller.require(&[Role::ReleaseManager])?;
        caller.require_pin_set(name)?;
        let words = words_of(words)?;
        let _lock = self.lock().await;
        let snapshot = self.snapshot();
        let entry = current(&snapshot, name, 0)?;
        if snapshot.freeze(name, self.clock.now()).is_none() {
            return Err(Refusal::Precondition {
                code: "NOT_FROZEN",
                cause: format!("`{name}` is not frozen"),
                hint: "freezes that a calendar plans are part of its policy".to_owned(),
            });
        }
        let why = Reason::PinSetUnfrozen { words };
        self.put_freeze(&snapshot, entry, None, (UNFREEZE, why), caller)
            .await
    }

    /// Writes the pin set's freeze, and into the logs of its open rollouts that it did. The caller holds the lock.
    async fn put_freeze(
        &self,
        snapshot: &Snapshot,
        entry: &PinSetEntry,
        freeze: Option<StandingFreeze>,
        (action, reason): (&'static str, Reason),
        caller: &Identity,
    ) -> Result<(), Refusal> {
        let now = self.clock.now();
        let before = &entry.stored.record;
        let record = PinSetRecord {
            freeze,
            revision: before.revision + 1,
            updated_at: now,
            ..PinSetRecord::clone(before)
        };
        let mut draft = Draft::default();
        let key = keys::pin_set(&record.name);
        draft.replace(key, entry.stored.modified, encode(&record));
        for rollout in snapshot.open_rollouts(&record.name) {
            let stored = snapshot
                .rollout(&rollout.id)
                .ok_or_else(|| Refusal::no_rollout(&rollout.id))?;
            let standing = self.standing(&rollout.id);
            let note = Note {
                actor: caller.actor.clone(),
                action,
                reason: reason.clone(),
                evidence: standing
                    .as_ref()
                    .map_or_else(Evidence::default, |standing| standing.evidence.clone()),
                folded: standing.map_or(0, |standing| standing.folded),
                cells: None,
                exposure: None,
            };
            let next = logged(
                &mut draft,
                Some(rollout),
                Rollout::clone(rollout),
                note,
                now,
            );
            draft.replace(keys::rollout(&next.id), stored.modified, encode(&next));
        }
        let open = snapshot.open_rollouts(&record.name).len();
        let told = match action {
            FREEZE => pin_set_frozen,
            _ => pin_set_unfrozen,
        };
        draft.tell([told(&record.name, &reason, open, &caller.actor, now)]);
        self.commit(draft).await?;
        tracing::info!(actor = %caller.actor, pin_set = %record.name, action, %reason, "a freeze was changed");
        self.wake_promotion();
        Ok(())
    }
}
