//! A rollout: the trial of one candidate against the baseline of one pin set.

use serde::{Deserialize, Serialize};

use crate::draw::{Draw, Seed, Share};
use crate::evidence::Evidence;
use crate::guard;
use crate::name::{PackageName, PinSetName, Platform, RolloutId};
use crate::path::{self, Step as PathStep};
use crate::pin::PackageChange;
use crate::policy::{OnHarm, Policy};
use crate::prediction::{Prediction, STRATA};
use crate::state::{Actor, EpochIndex, State, StateKind, Step};
use crate::time::Timestamp;

/// Packages of one candidate, at most.
pub const CANDIDATES_MAX: usize = 50;

/// The trial of one candidate. Everything but the evidence of its epochs, which has its own cells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rollout {
    /// Its id.
    pub id: RolloutId,
    /// The pin set.
    pub pin_set: PinSetName,
    /// What it tries: packages that move together, by one draw.
    pub changes: Vec<PackageChange>,
    /// The secret of its draws.
    pub seed: Seed,
    /// The rules it began with: those for its packages, frozen.
    pub policy: Policy,
    /// Why it may be in a hurry.
    #[serde(default, skip_serializing_if = "Lane::is_ordinary")]
    pub lane: Lane,
    /// Who approved it, each once, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approvals: Vec<Approval>,
    /// When it was created.
    pub created_at: Timestamp,
    /// Who created it.
    pub created_by: Actor,
    /// Where it was asked for, where that is a followed file and no person.
    #[serde(default)]
    pub origin: Option<Origin>,
    /// When its youngest version is old enough, and which package that is.
    pub not_before: Option<(Timestamp, String)>,
    /// When its youngest version was published, if that was told.
    #[serde(default)]
    pub published_at: Option<Timestamp>,
    /// Where it stands.
    pub state: State,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// The fleet as it was when the first epoch began.
    pub fleet: Option<Fleet>,
    /// The epoch that runs, or ran last.
    pub epoch: Option<Epoch>,
    /// The share of every epoch so far.
    pub shares: Vec<Share>,
    /// The rates that the next epoch's bets assume.
    pub prediction: Option<Prediction>,
    /// Platforms by slot, as fixed when the first epoch opened; at most eight.
    pub platforms: Vec<Platform>,
    /// Reports up to this revision were counted before the first epoch: what failures looked like until
    /// then is not new.
    pub begun_after: u64,
    /// How often in a row the share waited because detector E was not at rest.
    pub watched: u32,
    /// Until when it waits for that.
    pub watched_until: Option<Timestamp>,
    /// Whether a person let it go on after looking: the next epoch begins with detector E rebased.
    pub interfered: bool,
    /// When the detectors started afresh: a blamed partner was rolled back, or a person went on in spite of them.
    pub restarts: Vec<Restart>,
    /// When a person last went on in spite of the guard.
    #[serde(default)]
    pub overruled: Option<Overruled>,
    /// Decisions so far.
    pub decisions: u64,
    /// The hash of the last decision; empty before the first.
    pub last_hash: String,
}

/// Why a rollout may be in a hurry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lane {
    /// It may not.
    #[default]
    Ordinary,
    /// It fixes a hole that is known: the policy's rules for security fixes hold.
    Security,
}

impl Lane {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
    const fn is_ordinary(&self) -> bool {
        matches!(self, Self::Ordinary)
    }
}

/// A person's consent that a rollout begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// Whose.
    pub by: Actor,
    /// Since when.
    pub at: Timestamp,
}

/// Why an approval is not taken, or not taken back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApprovalError {
    /// Its policy asks for none.
    #[error("its policy asks for no approval")]
    NotAsked,
    /// Who starts a rollout does not approve it.
    #[error("{0} started it, and it takes others to approve it")]
    Own(Actor),
    /// One person is one approval.
    #[error("{0} has approved it already, and it takes different people")]
    Twice(Actor),
    /// As many have approved it as its policy asks for.
    #[error("it has all the approvals that it takes")]
    Enough,
    /// There is nothing to take back.
    #[error("{0} has not approved it")]
    NotApproved(Actor),
    /// It has begun, or has ended.
    #[error(transparent)]
    Step(#[from] IllegalStep),
}

/// The state of a followed file that asked for something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The path in the repository.
    pub path: String,
    /// The branch.
    pub branch: String,
    /// The commit, hexadecimal.
    pub commit: String,
}

impl Origin {
    /// The first digits of the commit, as people read it.
    pub fn commit12(&self) -> &str {
        self.commit.get(..12).unwrap_or(&self.commit)
    }
}

/// What is known of the environments when a rollout begins; frozen then.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fleet {
    /// Draw keys that are active: consenting, and reported or enrolled in the last 7 days.
    pub population: u32,
    /// How often they fail by themselves.
    pub prediction: Prediction,
}

/// One raise of the share, and the time until the next.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// Counted from 1.
    pub index: EpochIndex,
    /// Where on the path.
    pub step: PathStep,
    /// The share before.
    pub before: Share,
    /// The share now.
    pub share: Share,
    /// When it began.
    pub since: Timestamp,
    /// When it ends at the earliest.
    pub ends: Timestamp,
    /// A first call after this opens no window.
    pub last_opening: Timestamp,
    /// Reports up to this revision of the store belong to the epochs before.
    pub folded: u64,
    /// SHA-256 of its pool, hexadecimal.
    pub pool: String,
    /// When its windows ended, and what its control showed.
    pub settled: Option<Settled>,
    /// Other open rollouts by slot, as in the pool.
    pub partners: Vec<RolloutId>,
    /// What its bets assume of a day.
    pub prediction: Prediction,
    /// Whether a person chose it after looking: what detector E had gathered for harm does not count.
    pub rebased: bool,
}

impl Epoch {
    /// The chance of being exposed for an environment of its pool, in [0, 1].
    pub fn rho(&self) -> f64 {
        self.share.raise_from(self.before)
    }

    /// The predicted chance of a failure in a window, by stratum: in the pilot that of one report.
    pub fn window_rates(&self) -> [f64; STRATA] {
        match self.step {
            PathStep::Pilot(_) => self.prediction.pilot_rates(),
            PathStep::Stage | PathStep::Full => self.prediction.rates,
        }
    }
}

/// A fresh start of the detectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restart {
    /// In which epoch.
    pub epoch: EpochIndex,
    /// Whether the epoch's windows had ended.
    pub settled: bool,
    /// Reports up to this revision had been counted.
    pub folded: u64,
}

/// A person went on although those who reported were not those who were drawn.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Overruled {
    /// In which epoch.
    pub epoch: EpochIndex,
    /// The guard's log evidence then: only what came since counts.
    pub log_e: f64,
}

/// The end of an epoch's windows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settled {
    /// When.
    pub at: Timestamp,
    /// Reports up to this revision were counted.
    pub folded: u64,
    /// Failed of reporting among revealed control environments, by stratum.
    pub control: [(u64, u64); STRATA],
}

/// What a new epoch needs to know beyond the rollout.
#[derive(Clone, Debug)]
pub struct Opening {
    /// The fleet now; taken for the first epoch only.
    pub fleet: Fleet,
    /// Where on the path, and the share.
    pub to: (PathStep, Share),
    /// Whether a person chose it.
    pub by_person: bool,
    /// See [`Epoch::folded`].
    pub folded: u64,
    /// See [`Epoch::pool`].
    pub pool: String,
    /// See [`Rollout::platforms`]; taken for the first epoch only.
    pub platforms: Vec<Platform>,
    /// See [`Epoch::partners`].
    pub partners: Vec<RolloutId>,
}

/// A step that the state does not allow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("rollout `{id}` is {state}, which allows no `{step}`")]
pub struct IllegalStep {
    /// Which rollout.
    pub id: RolloutId,
    /// Where it stands.
    pub state: StateKind,
    /// What was asked.
    pub step: Step,
}

impl Rollout {
    /// The exposed share; nobody before the first epoch and after any end but completion.
    pub fn share(&self) -> Share {
        match (&self.state, &self.epoch) {
            (State::Completed { .. }, _) => Share::ONE,
            (State::RolledBack { .. } | State::Aborted { .. } | State::Superseded { .. }, _)
            | (_, None) => Share::ZERO,
            (_, Some(epoch)) => epoch.share,
        }
    }

    /// How many people still have to approve it.
    pub fn approvals_missing(&self) -> u32 {
        let have = u32::try_from(self.approvals.len()).unwrap_or(u32::MAX);
        self.policy.approvals.saturating_sub(have)
    }

    /// The rollout with a person's approval.
    ///
    /// # Errors
    /// If it takes none or no more, it is the second one of that person, that person started it, or it has begun.
    pub fn approve(&self, by: &Actor, now: Timestamp) -> Result<Self, ApprovalError> {
        self.check_approver(by)?;
        self.check(Step::Approve)?;
        let mut next = self.clone();
        if next.approvals.iter().any(|approval| approval.by == *by) {
            return Err(ApprovalError::Twice(by.clone()));
        }
        if self.approvals_missing() == 0 {
            return Err(ApprovalError::Enough);
        }
        next.approvals.push(Approval {
            by: by.clone(),
            at: now,
        });
        next.updated_at = now;
        Ok(next)
    }

    /// The rollout without a person's approval.
    ///
    /// # Errors
    /// If that person has not approved it, or it has begun.
    pub fn withdraw(&self, by: &Actor, now: Timestamp) -> Result<Self, ApprovalError> {
        self.check(Step::Withdraw)?;
        let mut next = self.clone();
        next.approvals.retain(|approval| approval.by != *by);
        if next.approvals.len() == self.approvals.len() {
            return Err(ApprovalError::NotApproved(by.clone()));
        }
        next.updated_at = now;
        Ok(next)
    }

    /// The rollout as ended by a person whose approval it takes.
    ///
    /// # Errors
    /// If it takes none, that person started it, or it has begun.
    pub fn deny(&self, by: &Actor, now: Timestamp) -> Result<Self, ApprovalError> {
        self.check_approver(by)?;
        let state = State::Aborted {
            at: now,
            by: by.clone(),
        };
        Ok(self.enter(Step::Deny, state, now)?)
    }

    fn check_approver(&self, by: &Actor) -> Result<(), ApprovalError> {
        match self.policy.approvals {
            0 => Err(ApprovalError::NotAsked),
            _ if self.created_by == *by => Err(ApprovalError::Own(by.clone())),
            _ => Ok(()),
        }
    }

    /// Whether it is only played: nothing is served, blocked or filed.
    pub const fn is_shadow(&self) -> bool {
        self.policy.shadow
    }

    /// Whether the environment of this draw has the candidate now.
    pub fn exposes(&self, draw: Draw) -> bool {
        !self.is_shadow() && self.state.is_open() && self.share().exposes(draw)
    }

    /// Whether it changes any pin of `package`.
    pub fn concerns(&self, package: &PackageName) -> bool {
        self.changes.iter().any(|change| change.package == *package)
    }

    /// The epoch's number; 0 before the first.
    pub fn epoch_index(&self) -> EpochIndex {
        self.epoch.as_ref().map_or(0, |epoch| epoch.index)
    }

    /// The share at which an epoch was opened, whatever came of it.
    pub fn last_share(&self) -> Share {
        self.epoch.as_ref().map_or(Share::ZERO, |epoch| epoch.share)
    }

    /// The next point of the path; `None` after everybody, after the end, and where it waits as
    /// inconclusive. `clear`: harm above the margin is excluded.
    pub fn next(&self, fleet: &Fleet, clear: bool) -> Option<(PathStep, Share)> {
        if !self.state.is_open() {
            return None;
        }
        let fleet = self.fleet.as_ref().unwrap_or(fleet);
        path::next(
            &self.policy,
            fleet.population,
            fleet.prediction.variance,
            self.place(),
            clear,
        )
    }

    /// Where on the path it is; `None` before the first epoch.
    fn place(&self) -> Option<(PathStep, Share)> {
        self.epoch.as_ref().map(|epoch| (epoch.step, epoch.share))
    }

    /// The points of the path that lie ahead if harm above the margin is excluded in time.
    pub fn ahead(&self, fleet: &Fleet) -> Vec<(PathStep, Share)> {
        if !self.state.is_open() {
            return Vec::new();
        }
        let fleet = self.fleet.as_ref().unwrap_or(fleet);
        path::ahead(
            &self.policy,
            fleet.population,
            fleet.prediction.variance,
            self.place(),
        )
    }

    /// Fails unless the table has `step` from here.
    ///
    /// # Errors
    /// Names the state and the step.
    pub fn check(&self, step: Step) -> Result<(), IllegalStep> {
        let state = self.state.kind();
        if state.allows(step) {
            Ok(())
        } else {
            Err(IllegalStep {
                id: self.id.clone(),
                state,
                step,
            })
        }
    }

    /// The rollout with a new epoch at a higher share.
    ///
    /// # Errors
    /// If the state does not allow it.
    pub fn raise(&self, opening: Opening, now: Timestamp) -> Result<Self, IllegalStep> {
        self.check(Step::Raise)?;
        let mut next = self.clone();
        let fleet = next.fleet.get_or_insert(opening.fleet).clone();
        if self.epoch.is_none() {
            next.platforms = opening.platforms;
            next.begun_after = opening.folded;
        }
        let mut prediction = next.prediction.take().unwrap_or(fleet.prediction);
        if let Some(Epoch {
            step: PathStep::Stage,
            settled: Some(settled),
            ..
        }) = &self.epoch
        {
            prediction.blend(&settled.control);
        }
        let (step, share) = opening.to;
        let bake = if matches!(step, PathStep::Pilot(_)) {
            self.policy.pilot_bake
        } else {
            self.policy.bake
        };
        next.epoch = Some(Epoch {
            index: self.epoch_index() + 1,
            step,
            before: self.last_share(),
            share,
            since: now,
            ends: self.policy.calendar.plus_working(now, bake),
            last_opening: self.policy.calendar.plus_working(now, bake * 3 / 4),
            folded: opening.folded,
            pool: opening.pool,
            settled: None,
            partners: opening.partners,
            prediction: prediction.clone(),
            rebased: opening.by_person || self.interfered,
        });
        next.shares.push(share);
        next.prediction = Some(prediction);
        next.interfered = false;
        next.watched = 0;
        next.watched_until = None;
        next.state = State::Baking;
        next.updated_at = now;
        Ok(next)
    }

    /// The rollout with its epoch's windows ended.
    ///
    /// # Errors
    /// If the state does not allow it.
    pub fn settle(&self, settled: Settled) -> Result<Self, IllegalStep> {
        self.check(Step::Settle)?;
        let mut next = self.clone();
        next.updated_at = settled.at;
        if let Some(epoch) = &mut next.epoch {
            epoch.settled = Some(settled);
        }
        Ok(next)
    }

    /// The rollout waiting at its share for more evidence.
    ///
    /// # Errors
    /// If the state does not allow it.
    pub fn watch(&self, until: Timestamp, now: Timestamp) -> Result<Self, IllegalStep> {
        self.check(Step::Watch)?;
        Ok(Self {
            watched: self.watched + 1,
            watched_until: Some(until),
            updated_at: now,
            ..self.clone()
        })
    }

    /// The rollout with its detectors afresh after everything up to the revision, at half the error budget.
    ///
    /// # Errors
    /// If the state does not allow it.
    pub fn restart(&self, folded: u64, now: Timestamp) -> Result<Self, IllegalStep> {
        self.check(Step::Restart)?;
        let mut next = self.clone();
        next.restarts.push(Restart {
            epoch: self.epoch_index(),
            settled: self
                .epoch
                .as_ref()
                .is_some_and(|epoch| epoch.settled.is_some()),
            folded,
        });
        next.updated_at = now;
        Ok(next)
    }

    /// The rollout going on because a person says so. What made it stop by itself is overruled: of the guard's
    /// evidence, and where the policy is to pause on harm of the detectors', only what comes from now on counts.
    ///
    /// # Errors
    /// If the state does not allow it.
    pub fn resume(
        &self,
        evidence: &Evidence,
        folded: u64,
        now: Timestamp,
    ) -> Result<Self, IllegalStep> {
        let mut next = self.enter(Step::Resume, State::Baking, now)?;
        if self.is_doubtful(evidence) {
            next.overruled = Some(Overruled {
                epoch: self.epoch_index(),
                log_e: evidence.guard_log_e,
            });
        }
        if self.policy.on_harm == OnHarm::Pause && evidence.is_harmful() {
            next = next.restart(folded, now)?;
        }
        Ok(next)
    }

    /// Whether the assignment cannot be trusted, going by what a person has not overruled.
    pub fn is_doubtful(&self, evidence: &Evidence) -> bool {
        let overruled = self.overruled.map_or(0.0, |overruled| overruled.log_e);
        evidence.guard_log_e - overruled >= guard::log_threshold()
    }

    /// Whether the assignment was doubtful in the epoch that runs, and a person went on all the same.
    pub fn has_doubtful_windows(&self) -> bool {
        self.overruled
            .is_some_and(|overruled| overruled.epoch == self.epoch_index())
    }

    /// The rollout in another state; share and epoch stay as they are.
    ///
    /// # Errors
    /// If the table has no such step.
    pub fn enter(&self, step: Step, state: State, now: Timestamp) -> Result<Self, IllegalStep> {
        self.check(step)?;
        Ok(Self {
            state,
            updated_at: now,
            interfered: self.interfered || step == Step::Resume,
            ..self.clone()
        })
    }
}
