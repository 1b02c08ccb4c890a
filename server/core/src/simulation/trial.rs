//! One simulated rollout under the real detectors, guard, clearance and path.

use crate::clearance::{Clearance, cells, margin};
use crate::decide::{WATCHES_MAX, is_watched};
use crate::draw::Share;
use crate::event_bet::{EventBet, FailureEvent, RATE_ALREADY_FAILING};
use crate::evidence::Ordinal;
use crate::guard::AssignmentGuard;
use crate::mixture::{PAIR_SLOTS, Target};
use crate::path::{self, POPULATION_MIN, Step};
use crate::policy::OnInconclusive;
use crate::prediction::{Prediction, STRATA};
use crate::window_bet::{Counts, EpochRates, Reveal, WindowBet};

use super::cohort::Cohort;
use super::fleet::Environment;
use super::world::{FailingRun, Partners};
use super::{DAY_H, Ending, Scenario, hours};

/// The platforms of the fleet, the rare one last.
const PLATFORMS: [&str; 2] = ["common", "rare"];

/// Which evidence says harmful.
#[derive(Clone, Copy, Debug)]
pub(super) enum Detector {
    /// Detector W.
    Windows,
    /// Detector E.
    Events,
}

/// A rollout's statistics and where on the path it is.
#[derive(Debug)]
pub(super) struct Trial {
    pub(super) cohort: Cohort,
    prediction: Prediction,
    /// The variance when it started.
    variance: f64,
    windows: WindowBet,
    events: EventBet,
    clearance: Clearance,
    guard: AssignmentGuard,
    place: Option<(Step, Share)>,
    epoch: Epoch,
    /// First failures of exposed environments.
    failures: Vec<ExposedFailure>,
    /// Whose first failure is there.
    has_failed: Vec<bool>,
    /// The hour in which it is decided about next.
    due: u32,
    watched: u32,
    /// The hour in which everybody was given the candidate.
    pub(super) full: Option<u32>,
    pub(super) ending: Option<Ending>,
}

/// The first failure of an environment that was exposed.
#[derive(Debug)]
pub(super) struct ExposedFailure {
    pub(super) run: FailingRun,
    /// The others that it had.
    pub(super) partners: Partners,
    /// The shares of all rollouts then.
    pub(super) shares: Vec<f64>,
}

/// What was fixed when the share was raised, and who has been revealed since.
#[derive(Debug)]
struct Epoch {
    number: u32,
    before: Share,
    rho: f64,
    is_open: bool,
    strata: Vec<u8>,
    partners: Vec<Partners>,
    /// The last epoch in which an environment was revealed.
    revealed: Vec<u32>,
    counts: Counts,
}

impl Trial {
    pub(super) fn new(
        scenario: &Scenario,
        cohort: Cohort,
        prediction: &Prediction,
        begins: u32,
    ) -> Self {
        let variance = prediction.variance;
        let margin = scenario
            .policy
            .margin
            .unwrap_or_else(|| margin(scenario.environments, variance));
        let environments = scenario.environments as usize;
        Self {
            cohort,
            prediction: prediction.clone(),
            variance,
            windows: WindowBet::new(scenario.policy.alpha, &PLATFORMS),
            events: EventBet::new(scenario.policy.alpha, &PLATFORMS),
            clearance: Clearance::new(margin, variance, scenario.policy.beta),
            guard: AssignmentGuard::default(),
            place: None,
            epoch: Epoch {
                number: 0,
                before: Share::ZERO,
                rho: 0.0,
                is_open: false,
                strata: vec![0; environments],
                partners: vec![Partners::default(); environments],
                revealed: vec![0; environments],
                counts: Counts::default(),
            },
            failures: Vec::new(),
            has_failed: vec![false; environments],
            due: if scenario.environments < POPULATION_MIN {
                u32::MAX
            } else {
                begins
            },
            watched: 0,
            full: None,
            ending: None,
        }
    }

    pub(super) const fn is_due(&self, hour: u32) -> bool {
        self.ending.is_none() && hour >= self.due
    }

    /// Ends the epoch whose time has come and decides what follows. Returns the detector that
    /// says harmful.
    pub(super) fn take_turn(
        &mut self,
        scenario: &Scenario,
        hour: u32,
        fleet: &[Environment],
        names: &[String],
        partners: impl Fn(usize) -> Partners,
    ) -> Option<Detector> {
        if self.epoch.is_open {
            if self.pool().len() < scenario.policy.minimum_environments as usize {
                self.due = hour + self.bake(scenario);
                return None;
            }
            if let Some(fired) = self.end_epoch(fleet, names) {
                return Some(fired);
            }
        }
        if self.ending.is_none() {
            self.decide(scenario, hour, fleet, partners);
        }
        None
    }

    /// The environments that were not exposed when the epoch began.
    fn pool(&self) -> Vec<u32> {
        let (exposed, others) = self.cohort.sides();
        let raised = exposed.iter().filter(|index| self.is_in_pool(**index));
        raised.chain(others).copied().collect()
    }

    fn is_in_pool(&self, index: u32) -> bool {
        let draw = self.cohort.draw(index as usize);
        !self.epoch.before.exposes(draw)
    }

    fn end_epoch(&mut self, fleet: &[Environment], names: &[String]) -> Option<Detector> {
        self.epoch.is_open = false;
        if matches!(self.place, Some((Step::Full, _))) {
            self.ending = Some(Ending::Complete);
            return None;
        }
        self.reveal_passes(fleet, names);
        if let Some(fired) = self.fired() {
            return Some(fired);
        }
        if self.guard.fires() {
            self.ending = Some(Ending::Frozen);
        }
        if matches!(self.place, Some((Step::Stage, _))) {
            let counts = &self.epoch.counts;
            self.clearance
                .settle(self.epoch.rho, &self.prediction.rates, &cells(counts));
            let control: [(u64, u64); STRATA] =
                std::array::from_fn(|g| (counts[g][1][0], counts[g][0][0] + counts[g][1][0]));
            self.prediction.blend(&control);
        }
        self.windows.end_epoch();
        None
    }

    /// Reveals the rest of the pool as without a failure, those who are alike together.
    fn reveal_passes(&mut self, fleet: &[Environment], names: &[String]) {
        let mut alike: Vec<(Partners, bool, u8, bool)> = self
            .pool()
            .into_iter()
            .map(|index| index as usize)
            .filter(|index| self.epoch.revealed[*index] != self.epoch.number)
            .map(|index| {
                (
                    self.epoch.partners[index],
                    fleet[index].on_rare_platform,
                    self.epoch.strata[index],
                    self.cohort.exposes(index),
                )
            })
            .collect();
        alike.sort_unstable();
        for group in alike.chunk_by(|a, b| a == b) {
            let (partners, rare, stratum, exposed) = group[0];
            let mut room = [""; PAIR_SLOTS];
            self.reveal(Reveal {
                stratum: usize::from(stratum),
                failure: None,
                exposed,
                platform: Some(PLATFORMS[usize::from(rare)]),
                partners: partners.names(names, &mut room),
                count: group.len() as u64,
            });
        }
    }

    fn reveal(&mut self, reveal: Reveal<'_>) {
        let hit = usize::from(reveal.failure.is_some());
        self.epoch.counts[reveal.stratum][hit][usize::from(reveal.exposed)] += reveal.count;
        self.windows.reveal(reveal);
    }

    fn decide(
        &mut self,
        scenario: &Scenario,
        hour: u32,
        fleet: &[Environment],
        partners: impl Fn(usize) -> Partners,
    ) {
        let clear = self.clearance.is_clear();
        let next = path::next(
            &scenario.policy,
            scenario.environments,
            self.variance,
            self.place,
            clear,
        );
        if !matches!(next, Some((Step::Pilot(_), _))) {
            if scenario.whole_days && !hour.is_multiple_of(u32::from(DAY_H)) {
                self.due = hour.next_multiple_of(u32::from(DAY_H));
                return;
            }
            if is_watched(self.events.log_e()) && self.watched < WATCHES_MAX {
                self.watched += 1;
                self.due = hour + hours(scenario.policy.bake);
                return;
            }
            self.watched = 0;
        }
        match (next, scenario.policy.on_inconclusive) {
            (Some((step, share)), _) => self.begin_epoch(step, share, fleet, partners),
            (None, OnInconclusive::Complete) => {
                self.begin_epoch(Step::Full, Share::ONE, fleet, partners);
            }
            // Detector E goes on meanwhile.
            (None, OnInconclusive::Wait) => {
                self.due = u32::MAX;
                return;
            }
        }
        self.due = hour + self.bake(scenario);
        if self.cohort.share() == Share::ONE {
            self.full = Some(hour);
        }
    }

    fn bake(&self, scenario: &Scenario) -> u32 {
        match self.place {
            Some((Step::Pilot(_), _)) => hours(scenario.policy.pilot_bake),
            _ => hours(scenario.policy.bake),
        }
    }

    fn begin_epoch(
        &mut self,
        step: Step,
        share: Share,
        fleet: &[Environment],
        partners: impl Fn(usize) -> Partners,
    ) {
        let epoch = &mut self.epoch;
        epoch.number += 1;
        epoch.before = self.cohort.share();
        epoch.rho = share.raise_from(epoch.before);
        epoch.is_open = true;
        epoch.counts = Counts::default();
        for (index, environment) in fleet.iter().enumerate() {
            epoch.strata[index] = u8::try_from(environment.stratum()).unwrap_or(0);
            epoch.partners[index] = partners(index);
        }
        self.place = Some((step, share));
        self.cohort.set_share(share);
        if share == Share::ONE {
            return;
        }
        let rates = match step {
            Step::Pilot(_) => self.prediction.pilot_rates(),
            Step::Stage | Step::Full => self.prediction.rates,
        };
        self.windows.start_epoch(EpochRates {
            rho: self.epoch.rho,
            rates,
            categories: self.prediction.categories,
        });
        // Everybody reports within the first hour.
        self.guard.start_epoch(self.epoch.rho);
        for index in self.pool() {
            self.guard.label(self.cohort.exposes(index as usize));
        }
    }

    /// Takes in a run that counts as failed. Returns the detector that says harmful.
    pub(super) fn observe(
        &mut self,
        scenario: &Scenario,
        run: &FailingRun,
        partners: Partners,
        names: &[String],
        shares: &[f64],
    ) -> Option<Detector> {
        let share = self.cohort.share();
        if self.ending.is_some() || share == Share::ZERO || share == Share::ONE {
            return None;
        }
        let exposed = self.cohort.exposes(run.index);
        let revealed = self.reveal_failure(run, exposed, names);
        let rate = if run.previous_failed && !scenario.policy.repeat_failures {
            RATE_ALREADY_FAILING
        } else {
            self.prediction.rates[usize::from(self.epoch.strata[run.index])]
        };
        let mut room = [""; PAIR_SLOTS];
        let bet = self.events.event(&FailureEvent {
            ordinal: Ordinal(u32::try_from(run.index).unwrap_or(u32::MAX)),
            draw: self.cohort.draw(run.index),
            share,
            category: run.category,
            rate,
            categories: &self.prediction.categories,
            platform: Some(platform_of(run)),
            partners: partners.names(names, &mut room),
            new_fingerprint: run.new_look,
        });
        // What others show hardly adds evidence; it is seen with the next exposed failure.
        if !exposed || !(revealed || bet) {
            return None;
        }
        if !std::mem::replace(&mut self.has_failed[run.index], true) {
            self.failures.push(ExposedFailure {
                run: *run,
                partners,
                shares: shares.to_vec(),
            });
        }
        self.fired()
    }

    fn reveal_failure(&mut self, run: &FailingRun, exposed: bool, names: &[String]) -> bool {
        let epoch = &mut self.epoch;
        let is_in_pool = !epoch.before.exposes(self.cohort.draw(run.index));
        if !epoch.is_open || !is_in_pool || epoch.revealed[run.index] == epoch.number {
            return false;
        }
        epoch.revealed[run.index] = epoch.number;
        let stratum = usize::from(epoch.strata[run.index]);
        let mut room = [""; PAIR_SLOTS];
        let partners = epoch.partners[run.index].names(names, &mut room);
        self.reveal(Reveal {
            stratum,
            failure: Some(run.category),
            exposed,
            platform: Some(platform_of(run)),
            partners,
            count: 1,
        });
        true
    }

    fn fired(&self) -> Option<Detector> {
        if self.windows.fires() {
            Some(Detector::Windows)
        } else if self.events.fires() {
            Some(Detector::Events)
        } else {
            None
        }
    }

    /// What carries the evidence.
    pub(super) fn blame(&self, detector: Detector) -> Target {
        match detector {
            Detector::Windows => self.windows.blame(),
            Detector::Events => self.events.blame(),
        }
    }

    /// First failures of exposed environments that hit a target.
    pub(super) fn failures<'a>(
        &'a self,
        target: &'a Target,
    ) -> impl Iterator<Item = &'a ExposedFailure> {
        self.failures.iter().filter(move |failure| match target {
            Target::Any | Target::Pair(_) => true,
            Target::Category(category) => failure.run.category == *category,
            Target::Fingerprint(look) => failure.run.new_look == Some(*look),
            Target::Platform(platform) => *platform == platform_of(&failure.run),
        })
    }

    /// Everybody has the baseline again.
    pub(super) fn roll_back(&mut self, blamed: Target) {
        self.cohort.set_share(Share::ZERO);
        self.full = None;
        self.ending = Some(Ending::RolledBack { blamed });
    }

    /// The partner of a blamed pair was rolled back.
    pub(super) fn restart(&mut self) {
        self.windows.restart();
        self.events.restart();
    }

    /// How it stands when the simulation is over.
    pub(super) fn ending_at_last(&self) -> Ending {
        match (&self.ending, self.full) {
            (Some(ending), _) => ending.clone(),
            (None, Some(_)) => Ending::Complete,
            (None, None) if self.place.is_some() && self.due == u32::MAX => Ending::Inconclusive,
            (None, None) => Ending::Open,
        }
    }
}

const fn platform_of(run: &FailingRun) -> &'static str {
    PLATFORMS[run.on_rare_platform as usize]
}
