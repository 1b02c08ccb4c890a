//! The environments of a simulated fleet, as they are before a rollout begins.

use crate::prediction::{HISTORY_DAYS, Prediction, stratum};

use super::random::Random;
use super::{DAY_H, FLAKE, RUN_FAILS, Scenario};

/// Chances that a run that its environment breaks passes when it is repeated with the baseline.
pub(super) const BROKEN_REPEAT_PASSES: f64 = 0.01;
/// Failing runs that a noisy environment sends in an hour.
const NOISY_RUNS: i32 = 50;
/// Part of the environments on the platform that a candidate may break.
const RARE_PLATFORM: f64 = 0.05;
/// Part of the exposed environments that a break hits.
const BREAK: f64 = 0.9;
/// Part of a candidate's failures that look alike.
const ALIKE: f64 = 0.7;
/// Part of the environments that have the other candidate, where one is in place already.
pub(super) const OTHER_SHARE: f64 = 0.25;
/// How much propensities to fail differ: the concentration of their beta distribution.
const CONCENTRATION: f64 = 3.0;
/// Shares of the categories among failures of an environment's own making.
const CATEGORIES: [f64; 4] = [0.02, 0.28, 0.65, 0.05];

/// One environment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Environment {
    /// The chance of a bad day.
    pub(super) propensity: f64,
    /// The last ten days as bits, 1 for a failing one; the latest is the lowest.
    history: u16,
    /// Sends failing runs without end.
    pub(super) noisy: bool,
    /// Runs on the rare platform.
    pub(super) on_rare_platform: bool,
    /// Would be hit by a break.
    pub(super) breaks: bool,
    /// Would show the candidate's common look.
    pub(super) looks_alike: bool,
    /// Has the other candidate, where one is in place already.
    pub(super) has_other: bool,
}

impl Environment {
    fn drawn(scenario: &Scenario, random: &mut Random) -> Self {
        let propensity = random.beta(scenario.failure_rate, CONCENTRATION);
        let noisy = random.chance(scenario.noisy);
        Self {
            propensity,
            history: 0,
            noisy,
            on_rare_platform: random.chance(RARE_PLATFORM),
            breaks: random.chance(BREAK),
            looks_alike: random.chance(ALIKE),
            has_other: random.chance(OTHER_SHARE),
        }
    }

    /// Adds a day to its history.
    pub(super) const fn end_day(&mut self, failed: bool) {
        self.history = (self.history << 1 | failed as u16) & ((1 << HISTORY_DAYS) - 1);
    }

    pub(super) const fn failing_days(&self) -> u32 {
        self.history.count_ones()
    }

    /// The stratum of its own history.
    pub(super) const fn stratum(&self) -> usize {
        stratum(self.failing_days())
    }
}

/// The chance that at least one of an hour's failing runs of a noisy environment passes when repeated.
pub(super) fn noisy_repeat_passes() -> f64 {
    1.0 - (1.0 - BROKEN_REPEAT_PASSES).powi(NOISY_RUNS)
}

/// A category of an environment's own failure, as an index.
pub(super) fn own_category(random: &mut Random) -> u8 {
    let mut position = random.unit();
    for (category, share) in (0..).zip(CATEGORIES) {
        if position < share {
            return category;
        }
        position -= share;
    }
    2
}

/// A fleet with ten days of history, and what is predicted from it.
pub(super) fn draw(scenario: &Scenario, random: &mut Random) -> (Vec<Environment>, Prediction) {
    let mut environments: Vec<Environment> = (0..scenario.environments)
        .map(|_| Environment::drawn(scenario, random))
        .collect();
    let chances = day_fails(scenario);
    let mut categories = [0; 5];
    let mut failing_days = [0; HISTORY_DAYS + 1];
    for environment in &mut environments {
        for _ in 0..HISTORY_DAYS {
            let failed = fails_on_a_day(scenario, environment, &chances, random);
            environment.end_day(failed);
            if failed {
                categories[usize::from(own_category(random))] += 1;
            }
        }
        failing_days[environment.failing_days() as usize] += 1;
    }
    (
        environments,
        Prediction::from_history(&failing_days, &categories),
    )
}

fn fails_on_a_day(
    scenario: &Scenario,
    environment: &Environment,
    chances: &[f64; DAY_H as usize],
    random: &mut Random,
) -> bool {
    if environment.noisy {
        return !scenario.policy.repeat_failures
            || random.chance(1.0 - (1.0 - noisy_repeat_passes()).powi(i32::from(DAY_H)));
    }
    let is_bad = random.chance(environment.propensity);
    let broke = is_bad && {
        let start = random.below(chances.len());
        random.chance(chances[start])
    };
    // A flake fails once, and passes when it is repeated.
    let flaked = random.chance(FLAKE);
    broke || flaked
}

/// The chance that a bad day counts as failing, by the hour in which it begins.
fn day_fails(scenario: &Scenario) -> [f64; DAY_H as usize] {
    let hour = if scenario.policy.repeat_failures {
        RUN_FAILS * BROKEN_REPEAT_PASSES
    } else {
        RUN_FAILS
    };
    std::array::from_fn(|start| 1.0 - (1.0 - hour).powi(i32::from(DAY_H) - start as i32))
}
