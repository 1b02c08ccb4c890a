//! What people ask of a rollout, carried out on the evidence of the moment.

use std::sync::Arc;

use pinion_core::draw::Share;
use pinion_core::gate::GateState;
use pinion_core::name::RolloutId;
use pinion_core::path::Step as PathStep;
use pinion_core::reason::Reason;
use pinion_core::rollout::{Fleet, Rollout};
use pinion_core::state::{Actor, State, Step};
use pinion_core::time::Timestamp;

use super::{Ask, Promotion};
use crate::controller::{Draft, Refusal, Verb, check_approved, not_taken};
use crate::snapshot::Snapshot;

impl Promotion {
    pub(super) async fn carry_out(&mut self, ask: Ask) {
        let Ask {
            rollout: id,
            verb,
            actor,
            words,
            expected_revision,
            answer,
        } = ask;
        let result = self
            .try_carry_out(&id, verb, actor, words, expected_revision)
            .await;
        let result = result.and_then(|()| {
            let snapshot = self.controller.snapshot();
            snapshot
                .rollout(&id)
                .map(|stored| Arc::clone(&stored.record))
                .ok_or_else(|| Refusal::no_rollout(&id))
        });
        // The person may have gone; what was asked for has happened all the same.
        let _ = answer.send(result);
    }

    pub(super) async fn try_carry_out(
        &mut self,
        id: &RolloutId,
        verb: Verb,
        actor: Actor,
        words: String,
        expected: u64,
    ) -> Result<(), Refusal> {
        // Reports of which not all could be counted just now are no reason not to do it.
        self.fold.write_counted().await?;
        let snapshot = self.controller.snapshot();
        let stored = snapshot
            .rollout(id)
            .ok_or_else(|| Refusal::no_rollout(id))?;
        let rollout = &stored.record;
        if expected != 0 && expected != rollout.decisions {
            return Err(Refusal::Stale {
                what: format!("rollout `{id}`"),
                now: format!("at revision {}", rollout.decisions),
            });
        }
        rollout.check(verb.step())?;
        let now = self.controller.clock.now();
        let asked = |words: String| Reason::Asked { words };
        match verb {
            Verb::Pause => {
                self.enter(
                    rollout,
                    Step::Pause,
                    State::Paused { by: actor.clone() },
                    asked(words),
                    &actor,
                    now,
                )
                .await
            }
            Verb::Resume => self.resume(rollout, asked(words), &actor, now).await,
            Verb::Abort => {
                let state = State::Aborted {
                    at: now,
                    by: actor.clone(),
                };
                self.enter(rollout, Step::Abort, state, asked(words), &actor, now)
                    .await
            }
            Verb::RollBack => {
                self.roll_back(rollout, asked(words), &actor, None, now)
                    .await
            }
            Verb::Approve | Verb::Withdraw | Verb::Deny => {
                self.vote(rollout, verb, words, &actor, now).await
            }
            Verb::Promote { share, approvals } => {
                let missing = check_approved(rollout, approvals)?;
                let fleet = self.fold.fleet(&snapshot, rollout, now);
                let to = promotion_target(rollout, share, &fleet)?;
                let reason = past(&snapshot, rollout, missing, words, now);
                self.raise(rollout, to, fleet, reason, &actor, now).await
            }
        }
    }
}

impl Promotion {
    /// Takes a person's approval, takes it back, or ends the rollout for want of it.
    async fn vote(
        &mut self,
        rollout: &Rollout,
        verb: Verb,
        words: String,
        actor: &Actor,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let need = rollout.policy.approvals;
        let next = match verb {
            Verb::Approve => rollout.approve(actor, now),
            Verb::Withdraw => rollout.withdraw(actor, now),
            _ => rollout.deny(actor, now),
        };
        let next = next.map_err(|error| not_taken(rollout, error))?;
        let have = u32::try_from(next.approvals.len()).unwrap_or(u32::MAX);
        let reason = match verb {
            Verb::Approve => Reason::Approved { have, need, words },
            Verb::Withdraw => Reason::ApprovalWithdrawn { have, need, words },
            _ => Reason::Denied { words },
        };
        let (step, draft) = (verb.step(), Draft::default());
        self.write(rollout, next, step, reason, actor, draft, now)
            .await?;
        Ok(())
    }
}

/// The reason of a person's promotion, which says what it goes past: before the first epoch approvals and gates that
/// are missing, and always a freeze of the pin set.
fn past(
    snapshot: &Snapshot,
    rollout: &Rollout,
    approvals: u32,
    words: String,
    now: Timestamp,
) -> Reason {
    let gates = match rollout.state {
        State::Gating => snapshot.gates(rollout),
        _ => Vec::new(),
    };
    let outstanding = gates.iter().filter(|gate| gate.state != GateState::Passed);
    let gates: Vec<_> = outstanding.map(|gate| gate.consumer.clone()).collect();
    let frozen = snapshot.freeze(&rollout.pin_set, now).is_some();
    match (approvals, gates.is_empty(), frozen) {
        (0, true, false) => Reason::Asked { words },
        (0, false, false) => Reason::AskedPastGates { gates, words },
        _ => Reason::AskedPast {
            approvals,
            gates,
            frozen,
            words,
        },
    }
}

/// Where a person's promotion leads.
fn promotion_target(
    rollout: &Rollout,
    share: Option<Share>,
    fleet: &Fleet,
) -> Result<(PathStep, Share), Refusal> {
    let at = rollout.last_share();
    match share {
        Some(share) if share > at => Ok((
            if share == Share::ONE {
                PathStep::Full
            } else {
                PathStep::Stage
            },
            share,
        )),
        Some(share) => Err(Refusal::invalid(
            "share",
            format!("{share} is not above the present {at}; the share never falls"),
        )),
        None => rollout
            .next(fleet, true)
            .ok_or_else(|| Refusal::Precondition {
                code: "NO_STAGE_AHEAD",
                cause: format!(
                    "rollout `{}` is at {at} and no stage lies ahead",
                    rollout.id
                ),
                hint: "it completes when its epoch is over".to_owned(),
            }),
    }
}
