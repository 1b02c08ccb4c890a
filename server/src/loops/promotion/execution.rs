//! A decision carried out: the next state of a rollout with everything that goes with it, in one transaction.

use std::sync::Arc;

use pinion_core::decide::{Action, Decision, less_exposed};
use pinion_core::draw::Share;
use pinion_core::evidence::{Detectors, Evidence};
use pinion_core::filing::Kind;
use pinion_core::name::RolloutId;
use pinion_core::path::Step as PathStep;
use pinion_core::policy::OnHarm;
use pinion_core::reason::Reason;
use pinion_core::rollout::{Epoch, Fleet, Opening, Rollout, Settled};
use pinion_core::state::{Actor, State, Step};
use pinion_core::time::Timestamp;

use super::super::fold::Pool;
use super::super::track::pool_changes;
use super::Promotion;
use crate::controller::{Draft, Note, Refusal, logged};
use crate::loops::filing::{self, Intent};
use crate::store::records::encode;
use crate::store::{Error, keys};

impl Promotion {
    pub(super) async fn execute(
        &mut self,
        rollout: &Rollout,
        decision: Decision,
        fleet: Fleet,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let actor = &Actor::Controller;
        let Decision { action, reason } = decision;
        match action {
            Action::Wait => Ok(()),
            Action::Settle => self.settle(rollout, reason, now).await,
            Action::Raise(step, share) => {
                self.raise(rollout, (step, share), fleet, reason, actor, now)
                    .await
            }
            Action::Watch(until) => {
                let next = rollout.watch(until, now)?;
                self.write(
                    rollout,
                    next,
                    Step::Watch,
                    reason,
                    actor,
                    Draft::default(),
                    now,
                )
                .await?;
                Ok(())
            }
            Action::Conclude => {
                let state = State::Inconclusive;
                self.enter(rollout, Step::Conclude, state, reason, actor, now)
                    .await
            }
            Action::Freeze => {
                let state = State::Frozen {
                    cause: reason.to_string(),
                };
                self.enter(rollout, Step::Freeze, state, reason, actor, now)
                    .await
            }
            Action::Complete => self.complete(rollout, reason, actor, now).await,
            Action::RollBack => self.roll_back(rollout, reason, actor, None, now).await,
            Action::Part(partner) => self.part(rollout, &partner, reason, now).await,
            Action::Pause => {
                let state = State::Paused {
                    by: Actor::Controller,
                };
                self.enter(rollout, Step::Pause, state, reason, actor, now)
                    .await
            }
        }
    }

    async fn settle(
        &mut self,
        rollout: &Rollout,
        reason: Reason,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let Some(mut running) = self.fold.track(rollout).running().cloned() else {
            return Ok(());
        };
        let snapshot = self.controller.snapshot();
        let gone = |ordinal| snapshot.is_gone(ordinal);
        let doubtful = rollout.has_doubtful_windows();
        let silent = running
            .evidence
            .settle(&mut running.detectors, doubtful, gone);
        let track = self.fold.track(rollout);
        let changes = track.changes_of_end(&rollout.id, &running, &silent);
        self.fold.commit_in_parts(changes).await?;
        let settled = Settled {
            at: now,
            folded: self.fold.folded(),
            control: running.evidence.control_by_stratum(),
        };
        let next = rollout.settle(settled)?;
        let mut draft = Draft::default();
        draft.put(keys::detectors(&next.id), encode(&running.detectors));
        let actor = &Actor::Controller;
        self.write(rollout, next, Step::Settle, reason, actor, draft, now)
            .await?;
        let track = self.fold.track(rollout);
        track.settled(&snapshot, rollout, running, &silent);
        Ok(())
    }

    pub(super) async fn raise(
        &mut self,
        rollout: &Rollout,
        to: (PathStep, Share),
        fleet: Fleet,
        reason: Reason,
        actor: &Actor,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let snapshot = self.controller.snapshot();
        let Pool {
            members,
            platforms,
            partners,
        } = self.fold.pool(&snapshot, rollout, now);
        let (changes, pool) = pool_changes(rollout, rollout.epoch_index() + 1, &members);
        self.fold.commit_in_parts(changes).await?;
        let folded = self.fold.folded();
        let opening = Opening {
            fleet,
            to,
            by_person: *actor != Actor::Controller,
            folded,
            pool,
            platforms,
            partners,
        };
        let next = rollout.raise(opening, now)?;
        let Some(epoch) = &next.epoch else {
            return Ok(());
        };
        let detectors = self.detectors_of(rollout, &next, epoch);
        let mut draft = Draft::default();
        draft.create(keys::epoch(&next.id, epoch.index), encode(epoch));
        draft.put(keys::detectors(&next.id), encode(&detectors));
        let next = self
            .write(rollout, next, Step::Raise, reason, actor, draft, now)
            .await?;
        let snapshot = self.controller.snapshot();
        self.fold
            .track(&next)
            .open_epoch(&snapshot, &next, members, detectors);
        Ok(())
    }

    /// The detectors with which an epoch opens.
    fn detectors_of(&mut self, before: &Rollout, next: &Rollout, epoch: &Epoch) -> Detectors {
        let running = self.fold.track(before).running();
        let mut detectors = match (running, &next.fleet) {
            (Some(running), _) => running.detectors.clone(),
            (None, fleet) => {
                let platforms: Vec<&str> =
                    next.platforms.iter().map(|name| name.as_str()).collect();
                // A rollout that raises its share has its fleet since its first epoch, which this one is.
                let fleet = fleet.clone().unwrap_or_else(|| Fleet {
                    population: 0,
                    prediction: epoch.prediction.clone(),
                });
                Detectors::new(&next.policy, &fleet, &platforms)
            }
        };
        let is_cut_short = before
            .epoch
            .as_ref()
            .is_some_and(|epoch| epoch.settled.is_none());
        if is_cut_short {
            detectors.windows.close_early();
        }
        detectors.open_epoch(epoch);
        detectors
    }

    async fn complete(
        &mut self,
        rollout: &Rollout,
        reason: Reason,
        actor: &Actor,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let next = rollout.enter(Step::Complete, State::Completed { at: now }, now)?;
        let snapshot = self.controller.snapshot();
        let mut draft = Draft::default();
        // What was only played is nobody's baseline, and nothing is filed for it.
        if rollout.is_shadow() {
            self.write(rollout, next, Step::Complete, reason, actor, draft, now)
                .await?;
            return Ok(());
        }
        self.controller
            .put_candidate(&mut draft, &snapshot, rollout, now)?;
        let evidence = self.evidence_now(rollout);
        let fingerprints = self.fold.track(rollout).fingerprints();
        let intent = Intent {
            rollout,
            reason: &reason,
            evidence: &evidence,
            actor,
            at: now,
            kind: Kind::Complete,
            fingerprints: &fingerprints,
            together_with: None,
            link: self.controller.page_of(&rollout.id),
        };
        // What the repository itself asked for stands there already.
        if rollout.origin.is_none() {
            filing::intend(&mut draft, &snapshot, &self.controller.forges, &intent);
        }
        self.write(rollout, next, Step::Complete, reason, actor, draft, now)
            .await?;
        self.controller.wake_filing();
        Ok(())
    }

    pub(super) async fn roll_back(
        &mut self,
        rollout: &Rollout,
        reason: Reason,
        actor: &Actor,
        survivor: Option<&Rollout>,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        if rollout.is_shadow() {
            let state = State::RolledBack {
                at: now,
                filing: None,
            };
            return self
                .enter(rollout, Step::RollBack, state, reason, actor, now)
                .await;
        }
        let snapshot = self.controller.snapshot();
        let evidence = self.evidence_now(rollout);
        let fingerprints = self.fold.track(rollout).fingerprints();
        let mut draft = Draft::default();
        let intent = Intent {
            rollout,
            reason: &reason,
            evidence: &evidence,
            actor,
            at: now,
            kind: Kind::RollBack,
            fingerprints: &fingerprints,
            together_with: survivor,
            link: self.controller.page_of(&rollout.id),
        };
        let filing = filing::intend(&mut draft, &snapshot, &self.controller.forges, &intent);
        self.controller.put_blocks(
            &mut draft,
            &snapshot,
            rollout,
            (&reason, actor),
            survivor,
            now,
        );
        if let Some(survivor) = survivor {
            self.put_restart(&mut draft, survivor, &rollout.id, now)?;
        }
        let next = rollout.enter(Step::RollBack, State::RolledBack { at: now, filing }, now)?;
        self.write(rollout, next, Step::RollBack, reason, actor, draft, now)
            .await?;
        if let Some(survivor) = survivor {
            let folded = self.fold.folded();
            self.fold.track(survivor).restart(folded);
        }
        self.controller.wake_filing();
        Ok(())
    }

    /// Of two rollouts that are harmful together, rolls back the less exposed; the other starts afresh.
    ///
    /// A partner that has completed is part of everybody's baseline, so it cannot be the one that goes. One
    /// that is gone already can do no more harm, so nobody has to go.
    async fn part(
        &mut self,
        rollout: &Rollout,
        partner: &RolloutId,
        reason: Reason,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let snapshot = self.controller.snapshot();
        let stored = snapshot
            .rollout(partner)
            .map(|stored| Arc::clone(&stored.record));
        let actor = &Actor::Controller;
        match stored {
            Some(partner) if partner.state.is_open() => {
                // A partner whose policy has people decide is not taken from them.
                let goes = match partner.policy.on_harm {
                    OnHarm::RollBack => less_exposed(rollout, &partner),
                    OnHarm::Pause => rollout,
                };
                let stays = if goes.id == rollout.id {
                    &*partner
                } else {
                    rollout
                };
                let evidence = self.evidence_now(rollout);
                let (share, with) = (rollout.share(), stays.id.clone());
                let reason = Reason::harmful_together(&evidence, share, with);
                self.roll_back(goes, reason, actor, Some(stays), now).await
            }
            Some(partner) if !matches!(partner.state, State::Completed { .. }) => {
                let folded = self.fold.folded();
                let next = rollout.restart(folded, now)?;
                let reason = Reason::PartnerRolledBack {
                    partner: partner.id.clone(),
                };
                self.write(
                    rollout,
                    next,
                    Step::Restart,
                    reason,
                    actor,
                    Draft::default(),
                    now,
                )
                .await?;
                self.fold.track(rollout).restart(folded);
                Ok(())
            }
            _ => self.roll_back(rollout, reason, actor, None, now).await,
        }
    }

    /// Puts the restart of a rollout whose partner goes into the transaction in which that goes.
    fn put_restart(
        &mut self,
        draft: &mut Draft,
        survivor: &Rollout,
        partner: &RolloutId,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let evidence = self.evidence_now(survivor);
        let folded = self.fold.folded();
        let snapshot = self.controller.snapshot();
        let stored = snapshot
            .rollout(&survivor.id)
            .ok_or_else(|| Refusal::no_rollout(&survivor.id))?;
        let next = survivor.restart(folded, now)?;
        let note = Note {
            actor: Actor::Controller,
            action: Step::Restart.as_str(),
            reason: Reason::PartnerRolledBack {
                partner: partner.clone(),
            },
            evidence,
            folded,
            cells: self.fold.track(survivor).digest(),
            exposure: None,
        };
        let next = logged(draft, Some(survivor), next, note, now);
        draft.replace(keys::rollout(&next.id), stored.modified, encode(&next));
        Ok(())
    }

    /// Lets a rollout go on, in spite of what made it stop by itself.
    pub(super) async fn resume(
        &mut self,
        rollout: &Rollout,
        reason: Reason,
        actor: &Actor,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let (evidence, folded) = (self.evidence_now(rollout), self.fold.folded());
        let next = rollout.resume(&evidence, folded, now)?;
        let starts_afresh = next.restarts.len() > rollout.restarts.len();
        let draft = Draft::default();
        self.write(rollout, next, Step::Resume, reason, actor, draft, now)
            .await?;
        if starts_afresh {
            self.fold.track(rollout).restart(folded);
        }
        Ok(())
    }

    pub(super) async fn enter(
        &mut self,
        rollout: &Rollout,
        step: Step,
        state: State,
        reason: Reason,
        actor: &Actor,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let next = rollout.enter(step, state, now)?;
        self.write(rollout, next, step, reason, actor, Draft::default(), now)
            .await?;
        Ok(())
    }

    pub(super) async fn freeze(&mut self, rollout: &Rollout, cause: String) {
        let now = self.controller.clock.now();
        let state = State::Frozen {
            cause: cause.clone(),
        };
        let reason = Reason::EvidenceUnreadable { cause };
        if rollout.check(Step::Freeze).is_err() {
            return;
        }
        if let Err(refusal) = self
            .enter(
                rollout,
                Step::Freeze,
                state,
                reason,
                &Actor::Controller,
                now,
            )
            .await
        {
            tracing::error!(rollout = %rollout.id, %refusal, "the rollout could not be frozen");
        }
    }

    pub(super) fn evidence_now(&mut self, rollout: &Rollout) -> Evidence {
        let snapshot = self.controller.snapshot();
        self.fold.evidence(&snapshot, rollout)
    }

    /// Writes the next state of a rollout with its decision and everything that goes with it, in one transaction.
    #[expect(clippy::too_many_arguments, reason = "the parts of one transaction")]
    pub(super) async fn write(
        &mut self,
        before: &Rollout,
        after: Rollout,
        step: Step,
        reason: Reason,
        actor: &Actor,
        mut draft: Draft,
        now: Timestamp,
    ) -> Result<Rollout, Refusal> {
        let evidence = self.evidence_now(before);
        let cells = self.fold.track(before).digest();
        let controller = Arc::clone(&self.controller);
        let _lock = controller.lock().await;
        let snapshot = controller.snapshot();
        let stored = snapshot
            .rollout(&before.id)
            .ok_or_else(|| Refusal::no_rollout(&before.id))?;
        if stored.record.decisions != before.decisions {
            return Err(Refusal::Stale {
                what: format!("rollout `{}`", before.id),
                now: format!("at revision {}", stored.record.decisions),
            });
        }
        let sentence = reason.to_string();
        let note = Note {
            actor: actor.clone(),
            action: step.as_str(),
            reason,
            evidence,
            folded: self.fold.folded(),
            cells,
            exposure: (step == Step::RollBack).then(|| self.fold.track(before).exposure()),
        };
        let after = logged(&mut draft, Some(before), after, note, now);
        draft.replace(keys::rollout(&after.id), stored.modified, encode(&after));
        draft.require(controller.fence()?);
        self.put_answer(&mut draft);
        let committed = controller.commit(draft).await;
        self.is_doubtful |= matches!(committed, Err(Refusal::Store(Error::Unknown(_))));
        committed?;
        self.relayed = None;
        controller
            .metrics
            .decision(step.as_str(), after.is_shadow());
        tracing::info!(rollout = %after.id, action = step.as_str(), actor = %actor, share = after.share().value(), reason = sentence, "decided");
        Ok(after)
    }
}
