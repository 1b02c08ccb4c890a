//! The promotion loop: counts everything that is acknowledged, decides on it, and writes the decision.
//!
//! What people ask of a rollout is carried out here too, so that it is decided on the same evidence.

mod asked;
mod execution;
mod relayed;
mod returns;
mod yanked;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use pinion_core::decide::{Action, Decision, decide};
use pinion_core::name::{PackageName, RolloutId};
use pinion_core::rollout::{Fleet, Rollout};
use pinion_core::state::Actor;
use pinion_core::time::Timestamp;
use pinion_core::version::Version;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::Wake;
use super::fold::Fold;
use crate::controller::{Controller, DRAFT_ITEMS_MAX, Draft, Refusal, Standing, Verb};
use crate::snapshot::Stored;
use crate::store::records::AskRecord;
use crate::store::{Error, Key};
use relayed::Told;

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
    /// A version on trial was taken back by those who published it.
    Yanked(Yanked),
    /// Somebody waits for a tick to be over.
    Tick(oneshot::Sender<()>),
}

/// A version on trial that was taken back by those who published it.
#[derive(Clone, Debug)]
pub struct Yanked {
    pub(crate) rollout: RolloutId,
    pub(crate) package: PackageName,
    pub(crate) version: Version,
    pub(crate) words: String,
}

/// The promotion loop.
#[derive(Debug)]
pub struct Promotion {
    controller: Arc<Controller>,
    fold: Fold,
    wake: Wake,
    only_when_asked: bool,
    /// What another server was asked and is carried out just now: its answer goes into the same transaction.
    relayed: Option<(Key, Stored<AskRecord>)>,
    told: Told,
    /// Whether a decision may have been written, so that what is in memory may be what was before it.
    is_doubtful: bool,
}

impl Promotion {
    /// The loop as the store has it. Rollouts whose evidence cannot be read are frozen.
    ///
    /// # Errors
    /// If history cannot be read.
    pub async fn load(controller: Arc<Controller>, wake: Wake) -> Result<Self, Error> {
        let (fold, unreadable) = Fold::load(Arc::clone(&controller)).await?;
        let mut promotion = Self {
            controller,
            fold,
            wake,
            only_when_asked: false,
            relayed: None,
            told: Told::default(),
            is_doubtful: false,
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

    /// Runs until it is cancelled, or until what it has in memory may not be what the store has.
    pub async fn run(
        mut self,
        commands: &mut mpsc::Receiver<Command>,
        cancelled: CancellationToken,
    ) {
        let mut interval = tokio::time::interval(INTERVAL);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let command = tokio::select! {
                biased;
                () = cancelled.cancelled() => break,
                command = commands.recv() => command,
                () = self.wake.woken(), if !self.only_when_asked => None,
                _ = interval.tick(), if !self.only_when_asked => None,
            };
            let mut taken: Vec<Command> = command.into_iter().collect();
            while let Ok(command) = commands.try_recv() {
                taken.push(command);
            }
            self.tick(taken).await;
            if self.is_doubtful {
                tracing::warn!(
                    "whether a decision was written is not known; everything is read again"
                );
                return;
            }
        }
        if self.controller.leads()
            && let Err(error) = self.fold.fold_all().await
        {
            tracing::warn!(%error, "reports stay in the journal until they are counted elsewhere, or at the next start");
        }
    }

    async fn tick(&mut self, commands: Vec<Command>) {
        let started = std::time::Instant::now();
        let mut waiting = Vec::new();
        let folded = self.fold.fold_all().await;
        for command in commands {
            match command {
                // What is not counted yet must not fall between two epochs.
                Command::Ask(ask)
                    if self.is_doubtful
                        || (folded.is_err() && matches!(ask.verb, Verb::Promote { .. })) =>
                {
                    let cause = "reports could not be counted; try again".to_owned();
                    // The person may have gone.
                    let _ = ask.answer.send(Err(Error::Unavailable(cause).into()));
                }
                Command::Ask(ask) => self.carry_out(ask).await,
                Command::Yanked(yanked) => self.halt_yanked(yanked).await,
                Command::Tick(done) => waiting.push(done),
            }
        }
        if folded.is_ok() && !self.is_doubtful {
            self.carry_out_relayed().await;
        }
        match folded {
            Ok(()) if self.is_doubtful => {}
            Ok(()) => self.decide_all().await,
            Err(error) => {
                tracing::error!(%error, "reports could not be counted; nothing is decided")
            }
        }
        if self.is_doubtful {
            return;
        }
        self.note_returns().await;
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
            .take(DRAFT_ITEMS_MAX)
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
                let Some(Decided {
                    rollout,
                    standing,
                    decision,
                    fleet,
                    at,
                }) = self.decide_one(&id)
                else {
                    break;
                };
                standings.insert(id.clone(), Arc::new(standing));
                if decision.action == Action::Wait {
                    self.controller.tell_stuck(&rollout, &decision.reason).await;
                    break;
                }
                let action = decision.action.clone();
                if let Err(refusal) = self.execute(&rollout, decision, fleet, at).await {
                    tracing::error!(rollout = %id, ?action, %refusal, "a decision could not be written; it is made anew");
                    if self.is_doubtful {
                        return;
                    }
                    break;
                }
            }
        }
        self.tell(&standings).await;
        self.controller.show_standings(standings);
    }

    fn decide_one(&mut self, id: &RolloutId) -> Option<Decided> {
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
        let freeze = snapshot.freeze(&rollout.pin_set, now);
        let decision = decide(&rollout, &evidence, &gates, &fleet, freeze, now)
            .unless(snapshot.breaches(&rollout).into_iter().next());
        let standing = Standing {
            evidence,
            reason: decision.reason.clone(),
            ahead: rollout.ahead(&fleet),
            folded: self.fold.folded(),
            fingerprints: self.fold.track(&rollout).fingerprints(),
        };
        Some(Decided {
            rollout,
            standing,
            decision,
            fleet,
            at: now,
        })
    }
}

/// A decision with everything that it was made on, so that it is carried out, and made again, on just that.
struct Decided {
    rollout: Arc<Rollout>,
    standing: Standing,
    decision: Decision,
    fleet: Fleet,
    at: Timestamp,
}
