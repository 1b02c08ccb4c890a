//! What the end of a rollout changes beside the rollout itself.

use pinion_core::notice::block_set;
use pinion_core::pin::Pins;
use pinion_core::reason::Reason;
use pinion_core::rollout::Rollout;
use pinion_core::state::Actor;
use pinion_core::time::Timestamp;

use super::pin_sets::put_baseline;
use super::{Controller, Draft, Refusal};
use crate::snapshot::Snapshot;
use crate::store::keys;
use crate::store::records::{BlockRecord, encode};

impl Controller {
    /// Makes the candidate of a rollout the baseline.
    pub(crate) fn put_candidate(
        &self,
        draft: &mut Draft,
        snapshot: &Snapshot,
        rollout: &Rollout,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let entry = snapshot
            .pin_set(&rollout.pin_set)
            .ok_or_else(|| Refusal::no_pin_set(&rollout.pin_set))?;
        let mut pins = Pins::clone(&entry.baseline);
        rollout.changes.iter().for_each(|change| pins.apply(change));
        put_baseline(draft, entry, &pins, &entry.verbatim, now)
    }

    /// Blocks the versions of a rollout, and tells of it.
    pub(crate) fn put_blocks(
        &self,
        draft: &mut Draft,
        snapshot: &Snapshot,
        rollout: &Rollout,
        (reason, actor): (&Reason, &Actor),
        together_with: Option<&Rollout>,
        now: Timestamp,
    ) {
        let incompatible_with = together_with
            .iter()
            .flat_map(|partner| &partner.changes)
            .filter_map(|change| Some((change.package.clone(), change.to.clone()?)))
            .collect::<Vec<_>>();
        let mut is_told = false;
        for change in &rollout.changes {
            let Some(version) = &change.to else { continue };
            if snapshot
                .block(&rollout.pin_set, &change.package, version)
                .is_some()
            {
                continue;
            }
            let block = BlockRecord {
                pin_set: rollout.pin_set.clone(),
                package: change.package.clone(),
                version: version.clone(),
                at: now,
                rollout: rollout.id.clone(),
                reason: reason.to_string(),
                incompatible_with: incompatible_with.clone(),
                lift_votes: Vec::new(),
            };
            draft.put(
                keys::block(&rollout.pin_set, &change.package, version),
                encode(&block),
            );
            if !std::mem::replace(&mut is_told, true) {
                draft.tell([block_set(rollout, reason, actor, now)]);
            }
        }
    }
}
