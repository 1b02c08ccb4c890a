//! One working day of a fleet: which runs fail, before it is asked who has which version.
//!
//! What a candidate would do is drawn for every environment, exposed or not, so that equal seeds give
//! equal days under every rule.

use super::fleet::{self, BROKEN_REPEAT_PASSES, Environment};
use super::random::Random;
use super::{DAY_H, FLAKE, Harm, RUN_FAILS, Scenario};

/// An outage falls on one of the first days.
const OUTAGE_DAYS: usize = 5;
/// The additional chance of a bad day when there is an outage.
const OUTAGE: f64 = 0.5;
/// Drift doubles the chance of a bad day in so many days.
const DOUBLING_DAYS: f64 = 10.0;
/// The highest chance of a bad day.
const PROPENSITY_MAX: f64 = 0.97;

/// Why a run fails, as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Causes(u8);

impl Causes {
    /// The environment is broken.
    pub(super) const BROKEN: Self = Self(1);
    /// A flaky run.
    pub(super) const FLAKE: Self = Self(2);
    /// The candidate, if the environment has it.
    pub(super) const CANDIDATE: Self = Self(4);
    /// The run is broken and passes all the same when it is repeated.
    pub(super) const REPEAT_PASSES: Self = Self(8);

    pub(super) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether it fails whatever version the environment has.
    pub(super) const fn is_own(self) -> bool {
        self.has(Self::BROKEN) || self.has(Self::FLAKE)
    }
}

/// The failing runs of a day.
#[derive(Debug)]
pub(super) struct Day {
    own: Random,
    candidate: Random,
    outage: usize,
    hours: [Vec<(u32, Causes)>; DAY_H as usize],
    /// The category of each environment's own failures today.
    categories: Vec<u8>,
}

impl Day {
    pub(super) fn new(scenario: &Scenario, mut own: Random, candidate: Random) -> Self {
        let outage = own.below(OUTAGE_DAYS);
        Self {
            own,
            candidate,
            outage,
            hours: Default::default(),
            categories: vec![0; scenario.environments as usize],
        }
    }

    /// Draws the next day; `number` counts from 0.
    pub(super) fn draw(&mut self, scenario: &Scenario, number: usize, fleet: &[Environment]) {
        self.hours.iter_mut().for_each(Vec::clear);
        let drift = if scenario.unrest {
            1.0 + number as f64 / DOUBLING_DAYS
        } else {
            1.0
        };
        let outage = if scenario.unrest && number == self.outage {
            OUTAGE
        } else {
            0.0
        };
        let points = match scenario.harm {
            Harm::BadDays(points) => points,
            Harm::None | Harm::Break | Harm::BreakOnPlatform | Harm::BreakWithOther => 0.0,
        };
        for (index, environment) in (0..).zip(fleet) {
            if environment.noisy {
                self.make_noise(index);
            } else {
                let propensity = (environment.propensity * drift).min(PROPENSITY_MAX);
                self.break_environment(index, propensity + (1.0 - propensity) * outage);
                self.flake(index);
            }
            if points > 0.0 {
                self.candidate_fails(index, points);
            }
        }
    }

    fn make_noise(&mut self, index: u32) {
        self.categories[index as usize] = fleet::own_category(&mut self.own);
        for hour in &mut self.hours {
            // Of many failing runs in an hour the first says all: further ones are no news.
            let passes = self.own.chance(fleet::noisy_repeat_passes());
            hour.push((index, broken(passes)));
        }
    }

    fn break_environment(&mut self, index: u32, propensity: f64) {
        if !self.own.chance(propensity) {
            return;
        }
        self.categories[index as usize] = fleet::own_category(&mut self.own);
        let start = self.own.below(self.hours.len());
        for hour in &mut self.hours[start..] {
            if self.own.chance(RUN_FAILS) {
                hour.push((index, broken(self.own.chance(BROKEN_REPEAT_PASSES))));
            }
        }
    }

    fn flake(&mut self, index: u32) {
        if self.own.chance(FLAKE) {
            self.categories[index as usize] = fleet::own_category(&mut self.own);
            let hour = self.own.below(self.hours.len());
            self.hours[hour].push((index, Causes::FLAKE));
        }
    }

    fn candidate_fails(&mut self, index: u32, points: f64) {
        if !self.candidate.chance(points) {
            return;
        }
        let start = self.candidate.below(self.hours.len());
        for hour in &mut self.hours[start..] {
            if self.candidate.chance(RUN_FAILS) {
                hour.push((index, Causes::CANDIDATE));
            }
        }
    }

    /// The runs of an hour that fail or would; an environment may be there more than once.
    pub(super) fn hour(&self, hour: u32) -> &[(u32, Causes)] {
        &self.hours[(hour % u32::from(DAY_H)) as usize]
    }

    /// The category of an environment's own failures today.
    pub(super) fn own_category(&self, index: usize) -> u8 {
        self.categories[index]
    }
}

const fn broken(repeat_passes: bool) -> Causes {
    if repeat_passes {
        Causes::BROKEN.with(Causes::REPEAT_PASSES)
    } else {
        Causes::BROKEN
    }
}
