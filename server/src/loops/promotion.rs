//! The promotion loop: counts everything that is acknowledged, decides on it, and writes the decision.
//!
//! What people ask of a rollout is carried out here too, so that it is decided on the same evidence.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use pinion_core::decide::{Action, Decision, decide, less_exposed};
use pinion_core::draw::Share;
use pinion_core::evidence::{Detectors, Evidence};
use pinion_core::filing::Kind;
use pinion_core::gate::GateState;
use pinion_core::name::RolloutId;
use pinion_core::path::Step as PathStep;
use pinion_core::policy::OnHarm;
use pinion_core::reason::Reason;
use pinion_core::rollout::{Epoch, Fleet, Opening, Rollout, Settled};
use pinion_core::state::{Actor, State, Step};
use pinion_core::time::Timestamp;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::Wake;
use super::fold::{Fold, Pool};
use super::track::{changes_of, pool_changes};
use crate::controller::{Controller, Draft, Inbox, Note, Refusal, Standing, Verb, logged};
use crate::loops::filing::{self, Intent};
use crate::snapshot::Snapshot;
use crate::store::keys;
use crate::store::records::encode;
use crate::store::{Error, TXN_ITEMS_MAX};

/// How often it looks without being woken.
const INTERVAL: Duration = Duration::from_secs(1);
/// Decisions about one rollout in one tick: windows end, then the share rises.
const DECISIONS_PER_TICK: usize = 4;

/// What a person asks of a rollout.
#[derive(Debug)]
pub struct Ask {
    pub(crate) rollout: RolloutId,
    pub(crate) verb: Verb,
    pub(crate) actor: Actor,
    pub(crate) words: String,
    pub(crate) expected_revision: u64,
    pub(crate) answer: oneshot::Sender<Result<Arc<Rollout>, Refusal>>,
}

/// What reaches the loop.
#[derive(Debug)]
pub enum Command {
    /// A person asks.
    Ask(Ask),
    /// Somebody waits for a tick to be over.
    Tick(oneshot::Sender<()>),
}

/// The promotion loop.
#[derive(Debug)]
pub struct Promotion {
    controller: Arc<Controller>,
    fold: Fold,
    commands: mpsc::Receiver<Command>,
    wake: Wake,
    only_when_asked: bool,
}

impl Promotion {
    /// The loop as the store has it. Rollouts whose evidence cannot be read are frozen.
    ///
    /// # Errors
    /// If history cannot be read.
    pub async fn load(
        controller: Arc<Controller>,
        inbox: Inbox,
        commands: mpsc::Receiver<Command>,
        wake: Wake,
    ) -> Result<Self, Error> {
        let (fold, unreadable) = Fold::load(Arc::clone(&controller), inbox).await?;
        let mut promotion = Self {
            controller,
            fold,
            commands,
            wake,
            only_when_asked: false,
        };
        for (rollout, error) in unreadable {
            tracing::error!(rollout = %rollout.id, %error, "evidence cannot be read; the rollout is frozen");
            promotion.freeze(&rollout, error.to_string()).await;
        }
        Ok(promotion)
    }

    /// Does nothing by itself: neither after a while nor when something was reported.
    pub fn only_when_asked(self) -> Self {
        Self {
            only_when_asked: true,
            ..self
        }
    }

    /// Runs until it is cancelled.
    pub async fn run(mut self, cancelled: CancellationToken) {
        let mut interval = tokio::time::interval(INTERVAL);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let command = tokio::select! {
                biased;
                () = cancelled.cancelled() => break,
                command = self.commands.recv() => command,
                () = self.wake.woken(), if !self.only_when_asked => None,
                _ = interval.tick(), if !self.only_when_asked => None,
            };
            let mut commands: Vec<Command> = command.into_iter().collect();
            while let Ok(command) = self.commands.try_recv() {
                commands.push(command);
            }
            self.tick(commands).await;
        }
        if let Err(error) = self.fold.fold_all().await {
            tracing::warn!(%error, "reports stay in the journal until the next start");
        }
    }

    async fn tick(&mut self, commands: Vec<Command>) {
        let started = std::time::Instant::now();
        let mut waiting = Vec::new();
        let folded = self.fold.fold_all().await;
        for command in commands {
            match command {
                // What is not counted yet must not fall between two epochs.
                Command::Ask(ask) if folded.is_err() && matches!(ask.verb, Verb::Promote(_)) => {
                    let cause = "reports could not be counted; try again".to_owned();
                    // The person may have gone.
                    let _ = ask.answer.send(Err(Error::Unavailable(cause).into()));
                }
                Command::Ask(ask) => self.carry_out(ask).await,
                Command::Tick(done) => waiting.push(done),
            }
        }
        match folded {
            Ok(()) => self.decide_all().await,
            Err(error) => {
                tracing::error!(%error, "reports could not be counted; nothing is decided")
            }
        }
        self.forget_who_left().await;
        let snapshot = self.controller.snapshot();
        self.fold.keep_open(&snapshot);
        self.controller.metrics.tick(started.elapsed());
        for done in waiting {
            // Nobody may be waiting any more.
            let _ = done.send(());
        }
    }

    /// Removes the positions that were kept for rollouts which have ended since.
    async fn forget_who_left(&self) {
        let mut draft = Draft::default();
        let snapshot = self.controller.snapshot();
        snapshot
            .left_behind()
            .take(TXN_ITEMS_MAX)
            .for_each(|key| draft.delete(key));
        if draft.is_empty() {
            return;
        }
        let _lock = self.controller.lock().await;
        if let Err(refusal) = self.controller.commit(draft).await {
            tracing::warn!(%refusal, "positions of those who left could not be removed; it is tried again");
        }
    }

    async fn decide_all(&mut self) {
        let mut standings = HashMap::new();
        let open: Vec<RolloutId> = self
            .controller
            .snapshot()
            .all_open_rollouts()
            .map(|rollout| rollout.id.clone())
            .collect();
        for id in open {
            for _ in 0..DECISIONS_PER_TICK {
                let Some((rollout, standing, decision)) = self.decide_one(&id) else {
                    break;
                };
                standings.insert(id.clone(), Arc::new(standing));
                if decision.action == Action::Wait {
                    break;
                }
                let action = decision.action.clone();
                if let Err(refusal) = self.execute(&rollout, decision, &Actor::Controller).await {
                    tracing::error!(rollout = %id, ?action, %refusal, "a decision could not be written; it is made anew");
                    break;
                }
            }
        }
        self.controller.show_standings(standings);
    }

    fn decide_one(&mut self, id: &RolloutId) -> Option<(Arc<Rollout>, Standing, Decision)> {
        let snapshot = self.controller.snapshot();
        let rollout = Arc::clone(&snapshot.rollout(id)?.record);
        let now = self.controller.clock.now();
        // Once a rollout has begun, it goes by the fleet as it was then.
        let fleet = match &rollout.fleet {
            Some(fleet) => fleet.clone(),
            None => self.fold.fleet(&snapshot, &rollout, now),
        };
        let evidence = self.evidence_now(&rollout);
        let gates = snapshot.gates(&rollout);
        let decision = decide(&rollout, &evidence, &gates, &fleet, now);
        let standing = Standing {
            evidence,
            reason: decision.reason.clone(),
            ahead: rollout.ahead(&fleet),
            folded: self.fold.folded(),
        };
        Some((rollout, standing, decision))
    }

    async fn execute(
        &mut self,
        rollout: &Rollout,
        decision: Decision,
        actor: &Actor,
    ) -> Result<(), Refusal> {
        let now = self.controller.clock.now();
        let Decision { action, reason } = decision;
        match action {
            Action::Wait => Ok(()),
            Action::Settle => self.settle(rollout, reason, now).await,
            Action::Raise(step, share) => {
                self.raise(rollout, (step, share), reason, actor, now).await
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

    async fn carry_out(&mut self, ask: Ask) {
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

    async fn try_carry_out(
        &mut self,
        id: &RolloutId,
        verb: Verb,
        actor: Actor,
        words: String,
        expected: u64,
    ) -> Result<(), Refusal> {
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
        let reason = Reason::Asked { words };
        match verb {
            Verb::Pause => {
                self.enter(
                    rollout,
                    Step::Pause,
                    State::Paused { by: actor.clone() },
                    reason,
                    &actor,
                    now,
                )
                .await
            }
            Verb::Resume => self.resume(rollout, reason, &actor, now).await,
            Verb::Abort => {
                let state = State::Aborted {
                    at: now,
                    by: actor.clone(),
                };
                self.enter(rollout, Step::Abort, state, reason, &actor, now)
                    .await
            }
            Verb::RollBack => self.roll_back(rollout, reason, &actor, None, now).await,
            Verb::Promote(share) => {
                let fleet = self.fold.fleet(&snapshot, rollout, now);
                let to = promotion_target(rollout, share, &fleet)?;
                let reason = past_gates(&snapshot, rollout, reason);
                self.raise(rollout, to, reason, &actor, now).await
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
        self.fold
            .commit_in_parts(changes_of(rollout, &running, &silent))
            .await?;
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

    async fn raise(
        &mut self,
        rollout: &Rollout,
        to: (PathStep, Share),
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
        let fleet = self.fold.fleet(&snapshot, rollout, now);
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
        };
        filing::intend(&mut draft, &snapshot, &intent);
        self.write(rollout, next, Step::Complete, reason, actor, draft, now)
            .await?;
        self.controller.wake_filing();
        Ok(())
    }

    async fn roll_back(
        &mut self,
        rollout: &Rollout,
        reason: Reason,
        actor: &Actor,
        survivor: Option<&Rollout>,
        now: Timestamp,
    ) -> Result<(), Refusal> {
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
        };
        let filing = filing::intend(&mut draft, &snapshot, &intent);
        self.controller
            .put_blocks(&mut draft, &snapshot, rollout, &reason, survivor, now);
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
        };
        let next = logged(draft, Some(survivor), next, note, now);
        draft.replace(keys::rollout(&next.id), stored.modified, encode(&next));
        Ok(())
    }

    /// Lets a rollout go on, in spite of what made it stop by itself.
    async fn resume(
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

    async fn enter(
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

    async fn freeze(&mut self, rollout: &Rollout, cause: String) {
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

    fn evidence_now(&mut self, rollout: &Rollout) -> Evidence {
        let snapshot = self.controller.snapshot();
        self.fold.evidence(&snapshot, rollout)
    }

    /// Writes the next state of a rollout with its decision and everything that goes with it, in one transaction.
    #[expect(clippy::too_many_arguments, reason = "the parts of one transaction")]
    async fn write(
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
        };
        let after = logged(&mut draft, Some(before), after, note, now);
        draft.replace(keys::rollout(&after.id), stored.modified, encode(&after));
        controller.commit(draft).await?;
        controller.metrics.decision(step.as_str());
        tracing::info!(rollout = %after.id, action = step.as_str(), actor = %actor, share = after.share().value(), reason = sentence, "decided");
        Ok(after)
    }
}

/// The reason of a person's promotion, which says what gates of a rollout that has not begun it goes past.
fn past_gates(snapshot: &Snapshot, rollout: &Rollout, reason: Reason) -> Reason {
    let gates = match rollout.state {
        State::Gating => snapshot.gates(rollout),
        _ => Vec::new(),
    };
    let outstanding = gates.iter().filter(|gate| gate.state != GateState::Passed);
    let outstanding: Vec<_> = outstanding.map(|gate| gate.consumer.clone()).collect();
    match reason {
        Reason::Asked { words } if !outstanding.is_empty() => Reason::AskedPastGates {
            gates: outstanding,
            words,
        },
        reason => reason,
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
