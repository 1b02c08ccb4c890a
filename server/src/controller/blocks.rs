//! Versions that are blocked, and how a block is lifted: by name, once as many people have asked as the policy says.

use pinion_core::audit::Act;
use pinion_core::evidence::Evidence;
use pinion_core::name::{PackageName, PinSetName};
use pinion_core::notice::{BlockedVersion, block_lifted, lift_asked};
use pinion_core::reason::Reason;
use pinion_core::rollout::{Approval, Rollout};
use pinion_core::version::Version;

use super::policies::lift_approvals;
use super::rollouts::{LIFT, words_of};
use super::{Controller, Draft, Identity, Note, Refusal, logged};
use crate::snapshot::{Snapshot, Stored};
use crate::store::records::{BlockRecord, Role, encode};
use crate::store::{Condition, keys};

/// What became of the wish to lift a block.
#[derive(Clone, Debug)]
pub struct Lift {
    /// The block, with everybody who has asked.
    pub block: BlockRecord,
    /// How many more people have to; 0: it was lifted.
    pub missing: u32,
}

impl Controller {
    /// Lifts the block of one version, named exactly, if enough people have asked with this one.
    ///
    /// # Errors
    /// If the version is not blocked, or this person has asked already and others have to.
    pub async fn lift_block(
        &self,
        caller: &Identity,
        pin_set: &PinSetName,
        package: &str,
        version: &str,
        words: &str,
    ) -> Result<Lift, Refusal> {
        caller.require(&[Role::ReleaseManager])?;
        caller.require_pin_set(pin_set)?;
        let words = words_of(words)?;
        let _lock = self.lock().await;
        let snapshot = self.snapshot();
        let entry = snapshot
            .pin_set(pin_set)
            .ok_or_else(|| Refusal::no_pin_set(pin_set))?;
        let ecosystem = entry.stored.record.ecosystem;
        let package = PackageName::parse(ecosystem, package)
            .map_err(|error| Refusal::invalid("package", error))?;
        let version = Version::parse(ecosystem, version)
            .map_err(|error| Refusal::invalid("version", error))?;
        let stored =
            snapshot
                .block(pin_set, &package, &version)
                .ok_or_else(|| Refusal::NotFound {
                    kind: "block",
                    name: format!("{} {version}", package.written()),
                    hint: "`pinion pin-set blocks` shows those of a pin set",
                })?;
        let need = lift_approvals(entry, &package, &version);
        let lift = asked(&stored.record, caller, need, self.clock.now())?;
        let mut draft = Draft::default();
        put(&mut draft, stored, &lift);
        self.put_lift_in_log(&mut draft, &snapshot, caller, &lift, need, words.clone());
        if lift.missing == 0 {
            let act = Act::BlockLifted {
                pin_set: pin_set.clone(),
                package: package.written().to_owned(),
                version: version.to_string(),
                rollout: lift.block.rollout.clone(),
            };
            self.put_audit(&mut draft, &caller.actor, act, &words)
                .await?;
        }
        self.commit(draft).await?;
        tracing::info!(actor = %caller.actor, %pin_set, package = package.written(), %version, missing = lift.missing, reason = words, "asked to lift a block");
        Ok(lift)
    }

    /// How many more people have to ask before a block is lifted.
    pub fn lift_votes_missing(&self, block: &BlockRecord) -> u32 {
        let snapshot = self.snapshot();
        let need = snapshot.pin_set(&block.pin_set).map_or(1, |entry| {
            lift_approvals(entry, &block.package, &block.version)
        });
        need.saturating_sub(count(block)).max(1)
    }

    /// Tells of what was asked, and puts it into the log of the rollout that was rolled back.
    fn put_lift_in_log(
        &self,
        draft: &mut Draft,
        snapshot: &Snapshot,
        caller: &Identity,
        lift: &Lift,
        need: u32,
        words: String,
    ) {
        let block = &lift.block;
        let (package, version) = (
            block.package.written().to_owned(),
            block.version.to_string(),
        );
        let have = count(block);
        let reason = match lift.missing {
            0 => Reason::BlockLifted {
                package: package.clone(),
                version: version.clone(),
                have,
                words,
            },
            _ => Reason::LiftAsked {
                package: package.clone(),
                version: version.clone(),
                have,
                need,
                words,
            },
        };
        let blocked = BlockedVersion {
            pin_set: &block.pin_set,
            package: &package,
            version: &version,
            rollout: &block.rollout,
        };
        let now = self.clock.now();
        draft.tell([match lift.missing {
            0 => block_lifted(blocked, &reason, &caller.actor, now),
            missing => lift_asked(blocked, &reason, missing, &caller.actor, now),
        }]);
        let Some(stored) = snapshot.rollout(&block.rollout) else {
            return;
        };
        let note = Note {
            actor: caller.actor.clone(),
            action: LIFT,
            reason,
            evidence: Evidence::default(),
            folded: 0,
            cells: None,
            exposure: None,
        };
        let rollout = &stored.record;
        let next = logged(draft, Some(rollout), Rollout::clone(rollout), note, now);
        draft.replace(keys::rollout(&next.id), stored.modified, encode(&next));
    }
}

/// The block with this person's wish.
fn asked(
    block: &BlockRecord,
    caller: &Identity,
    need: u32,
    now: pinion_core::time::Timestamp,
) -> Result<Lift, Refusal> {
    let mut block = block.clone();
    let has_asked = block.lift_votes.iter().any(|vote| vote.by == caller.actor);
    if !has_asked {
        block.lift_votes.push(Approval {
            by: caller.actor.clone(),
            at: now,
        });
    }
    let missing = need.saturating_sub(count(&block));
    if has_asked && missing > 0 {
        return Err(Refusal::Precondition {
            code: "ASKED_ALREADY",
            cause: format!(
                "{} has asked for it already, and it takes {need} different people",
                caller.actor
            ),
            hint: format!("{missing} more have to ask by `pinion pin-set lift`"),
        });
    }
    Ok(Lift { block, missing })
}

/// How many have asked.
fn count(block: &BlockRecord) -> u32 {
    u32::try_from(block.lift_votes.len()).unwrap_or(u32::MAX)
}

fn put(draft: &mut Draft, stored: &Stored<BlockRecord>, lift: &Lift) {
    let block = &stored.record;
    let key = keys::block(&block.pin_set, &block.package, &block.version);
    match lift.missing {
        0 => {
            draft.require(Condition::Modified(key.clone(), stored.modified));
            draft.delete(key);
        }
        _ => draft.replace(key, stored.modified, encode(&lift.block)),
    }
}
