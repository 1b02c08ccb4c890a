//! A fleet, its days, and the rollouts that run in it, hour by hour.

use crate::mixture::{PAIR_SLOTS, Target, accomplice};
use crate::outcome::{Category, Fingerprint};
use crate::path;
use crate::prediction::HISTORY_DAYS;

use super::cohort::Cohort;
use super::day::{Causes, Day};
use super::fleet::{self, Environment};
use super::random::Random;
use super::rival::Rival;
use super::trial::{Detector, Trial};
use super::{Course, DAY_H, Ending, HORIZON_H, Harm, Rule, Scenario, hours};

/// Rollouts that run side by side begin within so many hours.
const BEGINNINGS_H: usize = 16;
/// What the candidate's common failures look like.
const LOOK: Fingerprint = Fingerprint(1);

/// The other rollouts that an environment is exposed to, as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Partners(u32);

impl Partners {
    /// The names of these rollouts, in `room`.
    pub(super) fn names<'n, 'r>(
        self,
        names: &'n [String],
        room: &'r mut [&'n str; PAIR_SLOTS],
    ) -> &'r [&'n str] {
        let mut count = 0;
        for (slot, name) in names.iter().enumerate().take(PAIR_SLOTS) {
            if self.has(slot) {
                room[count] = name;
                count += 1;
            }
        }
        &room[..count]
    }

    const fn has(self, slot: usize) -> bool {
        self.0 >> slot & 1 == 1
    }

    const fn without(self, slot: usize) -> Self {
        Self(self.0 & !(1 << slot))
    }
}

/// A run that failed and counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct FailingRun {
    pub(super) index: usize,
    pub(super) category: Category,
    /// Whether the run of the hour before failed too.
    pub(super) previous_failed: bool,
    pub(super) on_rare_platform: bool,
    /// A look that nobody had before and that others may share. What only one environment has is no use
    /// to anybody and left out; so are looks that were known before.
    pub(super) new_look: Option<Fingerprint>,
}

#[derive(Debug)]
enum Rollout {
    Trial(Box<Trial>),
    Rival(Box<Rival>),
}

impl Rollout {
    fn cohort(&self) -> &Cohort {
        match self {
            Self::Trial(trial) => &trial.cohort,
            Self::Rival(rival) => &rival.cohort,
        }
    }

    fn full(&self) -> Option<u32> {
        match self {
            Self::Trial(trial) => trial.full,
            Self::Rival(rival) => rival.full,
        }
    }

    fn has_ended(&self) -> bool {
        match self {
            Self::Trial(trial) => trial.ending.is_some(),
            Self::Rival(rival) => rival.ending.is_some(),
        }
    }
}

/// Everything in one simulation.
pub(super) struct World<'a> {
    scenario: &'a Scenario,
    fleet: Vec<Environment>,
    day: Day,
    /// In which order the runs of an hour come in.
    order: Random,
    rollouts: Vec<Rollout>,
    begins: Vec<u32>,
    /// Their shares, where there are several.
    shares: Vec<f64>,
    /// What rollouts are called as partners; one that is in place already comes last.
    names: Vec<String>,
    /// Rollouts whose candidates do the harm, all of them together.
    guilty: Vec<usize>,
    causes: Vec<Causes>,
    runs: Vec<u32>,
    /// The hour after an environment's last failing run.
    last_failed: Vec<u32>,
    failed_today: Vec<bool>,
    is_harmed: Vec<bool>,
    harmed: u32,
}

impl<'a> World<'a> {
    pub(super) fn new(scenario: &'a Scenario, rollouts: u32, seed: u64) -> Self {
        let (fleet, prediction) = fleet::draw(scenario, &mut Random::new(seed, 0));
        let day = Day::new(scenario, Random::new(seed, 1), Random::new(seed, 2));
        let order = Random::new(seed, 3);
        let mut beginnings = Random::new(seed, 4);
        let environments = scenario.environments;
        let usual = usual(&fleet);
        let begins: Vec<u32> = (0..rollouts)
            .map(|_| match rollouts {
                1 => 0,
                _ => u32::try_from(beginnings.below(BEGINNINGS_H)).unwrap_or(0),
            })
            .collect();
        let rollouts: Vec<Rollout> = (0u64..)
            .zip(&begins)
            .map(|(k, begins)| {
                let cohort = Cohort::new(environments, &mut Random::new(seed, 16 + k));
                match scenario.rule {
                    Rule::Pinion => {
                        let trial = Trial::new(scenario, cohort, &prediction, *begins);
                        Rollout::Trial(Box::new(trial))
                    }
                    rule => {
                        let rival = Rival::new(rule, cohort, environments, usual);
                        Rollout::Rival(Box::new(rival))
                    }
                }
            })
            .collect();
        let guilty = match (scenario.harm, rollouts.len()) {
            (Harm::BreakWithOther, 2..) => vec![0, 1],
            _ => vec![0],
        };
        let n = fleet.len();
        Self {
            scenario,
            fleet,
            day,
            order,
            names: (0..=rollouts.len()).map(super::name).collect(),
            rollouts,
            begins,
            shares: Vec::new(),
            guilty,
            causes: vec![Causes::default(); n],
            runs: Vec::new(),
            last_failed: vec![u32::MAX; n],
            failed_today: vec![false; n],
            is_harmed: vec![false; n],
            harmed: 0,
        }
    }

    /// Runs until nothing can change any more, or the horizon.
    pub(super) fn run(mut self) -> Vec<Course> {
        for hour in 0..self.horizon() {
            if hour.is_multiple_of(u32::from(DAY_H)) {
                if hour > 0 {
                    self.end_day();
                }
                let number = (hour / u32::from(DAY_H)) as usize;
                self.day.draw(self.scenario, number, &self.fleet);
            }
            self.take_turns(hour);
            if self.is_over() {
                break;
            }
            self.live_through(hour);
        }
        self.courses()
    }

    /// Ten working days, or as long as the path with its detours takes.
    fn horizon(&self) -> u32 {
        let policy = &self.scenario.policy;
        let (pilot, bake) = (hours(policy.pilot_bake), hours(policy.bake));
        let path = path::ahead(policy, self.scenario.environments, 0.25, None);
        let planned: u32 = path
            .iter()
            .map(|(step, _)| match step {
                path::Step::Pilot(_) => pilot,
                path::Step::Stage | path::Step::Full => bake,
            })
            .sum();
        let latest = self.begins.iter().max().copied().unwrap_or(0);
        // The second half in two more steps, each after a watch.
        let detours = 4 * bake;
        HORIZON_H.max(planned + detours) + latest
    }

    fn end_day(&mut self) {
        for (environment, failed) in self.fleet.iter_mut().zip(&mut self.failed_today) {
            environment.end_day(std::mem::take(failed));
        }
    }

    fn take_turns(&mut self, hour: u32) {
        for k in 0..self.rollouts.len() {
            if let Rollout::Trial(trial) = &self.rollouts[k]
                && !trial.is_due(hour)
            {
                continue;
            }
            let partners: Vec<Partners> = (0..self.fleet.len())
                .map(|index| self.partners(index).without(k))
                .collect();
            let fired = match &mut self.rollouts[k] {
                Rollout::Trial(trial) => {
                    trial.take_turn(self.scenario, hour, &self.fleet, &self.names, |index| {
                        partners[index]
                    })
                }
                Rollout::Rival(rival) => {
                    rival.take_turn(hour);
                    None
                }
            };
            if let Some(detector) = fired {
                self.take_back(k, detector);
            }
        }
        self.note_shares();
    }

    fn note_shares(&mut self) {
        if self.rollouts.len() > 1 {
            let share = |rollout: &Rollout| rollout.cohort().share().value();
            self.shares = self.rollouts.iter().map(share).collect();
        }
    }

    /// The candidates that an environment has now.
    fn partners(&self, index: usize) -> Partners {
        let mut bits = 0;
        for (k, rollout) in self.rollouts.iter().enumerate() {
            let has = !rollout.has_ended() && rollout.cohort().exposes(index);
            bits |= u32::from(has) << k;
        }
        if self.has_other_in_place() {
            bits |= u32::from(self.fleet[index].has_other) << self.rollouts.len();
        }
        Partners(bits)
    }

    fn has_other_in_place(&self) -> bool {
        self.scenario.harm == Harm::BreakWithOther && self.guilty.len() == 1
    }

    /// Rolls back what is blamed: of a pair the less exposed, and the other starts afresh.
    fn take_back(&mut self, fired: usize, detector: Detector) {
        let blamed = self.blame(fired, detector);
        let partner = match &blamed {
            Target::Pair(name) => self.open_trial(name),
            _ => None,
        };
        let share = |k: usize| self.rollouts[k].cohort().share();
        let (loser, blamed, other) = match partner {
            Some(partner) if share(partner) < share(fired) => {
                let blamed = Target::Pair(self.names[fired].clone());
                (partner, blamed, Some(fired))
            }
            partner => (fired, blamed, partner),
        };
        if let Rollout::Trial(trial) = &mut self.rollouts[loser] {
            trial.roll_back(blamed);
        }
        if let Some(Rollout::Trial(trial)) = other.map(|k| &mut self.rollouts[k]) {
            trial.restart();
        }
        self.note_shares();
    }

    /// What the detector blames; where it blames the rollout alone, a partner that the failures need too.
    fn blame(&self, fired: usize, detector: Detector) -> Target {
        let Rollout::Trial(trial) = &self.rollouts[fired] else {
            return Target::Any;
        };
        let blamed = trial.blame(detector);
        if matches!(blamed, Target::Pair(_)) {
            return blamed;
        }
        let others = (0..self.rollouts.len())
            .filter(|k| *k != fired && !self.rollouts[*k].has_ended() && !self.exposes_nobody(*k));
        let partners = others.map(|k| {
            let failures = trial.failures(&blamed);
            let labels = failures.map(move |failure| (failure.partners.has(k), failure.shares[k]));
            (self.names[k].as_str(), labels)
        });
        let accomplice = accomplice(partners).map(str::to_owned);
        accomplice.map_or(blamed, Target::Pair)
    }

    fn open_trial(&self, name: &str) -> Option<usize> {
        let named = |k: &usize| self.names[*k] == name && !self.rollouts[*k].has_ended();
        (0..self.rollouts.len()).find(named)
    }

    fn is_over(&self) -> bool {
        let is_decided = |rollout: &Rollout| rollout.has_ended() || rollout.full().is_some();
        let is_harmless = self.scenario.harm == Harm::None
            || self
                .guilty
                .iter()
                .any(|k| self.rollouts[*k].has_ended() && self.exposes_nobody(*k));
        self.rollouts.iter().all(is_decided) && is_harmless
    }

    fn exposes_nobody(&self, k: usize) -> bool {
        self.rollouts[k].cohort().sides().0.is_empty()
    }

    fn live_through(&mut self, hour: u32) {
        self.gather_runs(hour);
        let mut runs = std::mem::take(&mut self.runs);
        self.order.shuffle(&mut runs);
        for index in runs.drain(..) {
            self.run_fails(hour, index as usize);
        }
        self.runs = runs;
    }

    /// Every environment whose run of this hour may fail, once, with the causes.
    fn gather_runs(&mut self, hour: u32) {
        let (causes, runs) = (&mut self.causes, &mut self.runs);
        let mut add = |index: u32, cause: Causes| {
            let before = &mut causes[index as usize];
            if *before == Causes::default() {
                runs.push(index);
            }
            *before = before.with(cause);
        };
        for (index, cause) in self.day.hour(hour) {
            add(*index, *cause);
        }
        if matches!(self.scenario.harm, Harm::None | Harm::BadDays(_)) {
            return;
        }
        for index in self.rollouts[self.guilty[0]].cohort().sides().0 {
            let environment = &self.fleet[*index as usize];
            if environment.breaks && self.scenario.harm.concerns(environment, &self.guilty) {
                add(*index, Causes::CANDIDATE);
            }
        }
    }

    fn run_fails(&mut self, hour: u32, index: usize) {
        let causes = std::mem::take(&mut self.causes[index]);
        let is_exposed = |k: &usize| self.rollouts[*k].cohort().exposes(index);
        let by_candidate = causes.has(Causes::CANDIDATE) && self.guilty.iter().all(is_exposed);
        if !by_candidate && !causes.is_own() {
            return;
        }
        if !causes.is_own() && !std::mem::replace(&mut self.is_harmed[index], true) {
            self.harmed += 1;
        }
        let previous_failed = self.last_failed[index] == hour;
        self.last_failed[index] = hour + 1;
        // With the baseline, what the candidate or a flake has broken passes; what is broken does not.
        let passes = !causes.has(Causes::BROKEN) || causes.has(Causes::REPEAT_PASSES);
        if self.scenario.policy.repeat_failures && !passes {
            return;
        }
        self.failed_today[index] = true;
        let environment = &self.fleet[index];
        let breaks = by_candidate && !matches!(self.scenario.harm, Harm::BadDays(_));
        let category = if breaks {
            Category::Install
        } else if causes.is_own() {
            self.own_category(index)
        } else {
            Category::Test
        };
        let looks_new = by_candidate && environment.looks_alike && (breaks || !causes.is_own());
        let run = FailingRun {
            index,
            category,
            previous_failed,
            on_rare_platform: environment.on_rare_platform,
            new_look: looks_new.then_some(LOOK),
        };
        self.observe(hour, &run);
    }

    fn own_category(&self, index: usize) -> Category {
        let category = usize::from(self.day.own_category(index));
        Category::from_index(category).unwrap_or(Category::Test)
    }

    fn observe(&mut self, hour: u32, run: &FailingRun) {
        let partners = self.partners(run.index);
        for k in 0..self.rollouts.len() {
            let fired = match &mut self.rollouts[k] {
                Rollout::Trial(trial) => {
                    let partners = partners.without(k);
                    trial.observe(self.scenario, run, partners, &self.names, &self.shares)
                }
                Rollout::Rival(rival) => {
                    rival.observe(run.index, hour);
                    None
                }
            };
            if let Some(detector) = fired {
                self.take_back(k, detector);
            }
        }
    }

    fn courses(self) -> Vec<Course> {
        let course = |(k, rollout): (usize, &Rollout)| {
            let ending = match rollout {
                Rollout::Trial(trial) => trial.ending_at_last(),
                Rollout::Rival(rival) => match (&rival.ending, rival.full) {
                    (Some(ending), _) => ending.clone(),
                    (None, Some(_)) => Ending::Complete,
                    (None, None) => Ending::Open,
                },
            };
            Course {
                ending,
                full_h: rollout.full().map(|hour| hour - self.begins[k]),
                harmed: if self.guilty.contains(&k) {
                    self.harmed
                } else {
                    0
                },
                share_peak: rollout.cohort().peak().value(),
            }
        };
        self.rollouts.iter().enumerate().map(course).collect()
    }
}

impl Harm {
    /// Whether a break can hit this environment at all, if it has the candidate.
    fn concerns(self, environment: &Environment, guilty: &[usize]) -> bool {
        match self {
            Self::None => false,
            Self::BadDays(_) | Self::Break => true,
            Self::BreakOnPlatform => environment.on_rare_platform,
            Self::BreakWithOther => guilty.len() > 1 || environment.has_other,
        }
    }
}

/// The share of the environments that failed on a day of their history.
fn usual(fleet: &[Environment]) -> f64 {
    let days: u32 = fleet.iter().map(Environment::failing_days).sum();
    f64::from(days) / (fleet.len() * HISTORY_DAYS).max(1) as f64
}
