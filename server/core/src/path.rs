//! The path of the share: pilot, stages, everybody. A function of the fleet's size and noise and the
//! policy only, never of who failed (STATISTICS §3.1), or the evidence would lose its meaning.

use serde::{Deserialize, Serialize};

use crate::draw::Share;
use crate::policy::Policy;

/// The least size of a pilot, in environments.
const PILOT_MIN: f64 = 4.0;
/// The pilot's size is this times √(v·N).
const PILOT_FACTOR: f64 = 4.5;
/// Beyond this share, clearance is needed for everybody.
const HALF: f64 = 0.5;
/// Shares without clearance, where the policy has none of its own above one half.
const TAIL: [f64; 2] = [0.75, 0.90];
/// A share is raised to the first stage that is larger by this factor at least.
const CLEARLY: f64 = 1.1;
const CLEARLY_LATE: f64 = 1.02;
/// Under so many environments nothing is promoted without a person.
pub const POPULATION_MIN: u32 = 8;

/// Where on the path a share lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// The `n`-th handful of environments, counted from 1.
    Pilot(u32),
    /// A stage of the policy, or a share that a person chose.
    Stage,
    /// Everybody.
    Full,
}

/// The pilot's size in environments: `max(4, 4.5·√(v·N))`.
pub fn pilot_size(population: u32, variance: f64) -> f64 {
    PILOT_MIN.max(PILOT_FACTOR * (variance * f64::from(population)).sqrt())
}

/// The share of pilot step 1, 2, 3, ...: 2, 6, 14, 30, ... environments in expectation, at most `size`.
///
/// `None` when the pilot is over.
pub fn next_pilot(population: u32, share: f64, step: u32, size: f64) -> Option<f64> {
    let population = f64::from(population.max(1));
    if share * population >= size - 0.5 {
        return None;
    }
    let exponent = i32::try_from(step.saturating_add(1)).unwrap_or(i32::MAX);
    Some((2f64.powi(exponent) - 2.0).min(size) / population)
}

/// The next share after the pilot; `None`: it waits as inconclusive.
///
/// Up to one half the policy's stages follow each other. The second half opens only when harm above the
/// margin is excluded (`clear`); otherwise the share rises to 75 % and 90 %, or to the policy's own stages
/// above one half, for more evidence, and stays there. A policy that stops short of one half passes it too.
pub fn next_share(stages: &[Share], share: f64, clear: bool) -> Option<f64> {
    let (first_half, second_half): (Vec<f64>, Vec<f64>) = stages
        .iter()
        .map(|stage| stage.value())
        .partition(|stage| *stage <= HALF);
    let above =
        |stages: &[f64], factor: f64| stages.iter().copied().find(|stage| *stage > factor * share);
    if let Some(stage) = above(&first_half, CLEARLY) {
        return Some(stage);
    }
    if clear {
        return Some(above(&second_half, CLEARLY).unwrap_or(1.0));
    }
    let half = (first_half.last() != Some(&HALF)).then_some(HALF);
    let tail = if second_half.is_empty() {
        TAIL.to_vec()
    } else {
        second_half
    };
    let tail: Vec<f64> = half.into_iter().chain(tail).collect();
    above(&tail, CLEARLY_LATE)
}

/// The next point of the path after `(step, share)`; `None` after everybody, and where it waits as
/// inconclusive. `clear`: harm above the margin is excluded.
pub fn next(
    policy: &Policy,
    population: u32,
    variance: f64,
    at: Option<(Step, Share)>,
    clear: bool,
) -> Option<(Step, Share)> {
    let (pilot_step, share) = match at {
        None => (policy.pilot.then_some(1), Share::ZERO),
        Some((Step::Pilot(n), share)) => (Some(n.saturating_add(1)), share),
        Some((Step::Stage, share)) => (None, share),
        Some((Step::Full, _)) => return None,
    };
    let size = pilot_size(population, variance);
    let pilot = pilot_step.and_then(|n| Some((n, next_pilot(population, share.value(), n, size)?)));
    if let Some((n, pilot)) = pilot.filter(|(_, pilot)| *pilot < 1.0) {
        return Some((Step::Pilot(n), Share::clamped(pilot)));
    }
    let share = Share::clamped(next_share(&policy.stages, share.value(), clear)?);
    let step = if share == Share::ONE {
        Step::Full
    } else {
        Step::Stage
    };
    Some((step, share))
}

/// Every point of the path that lies ahead of `at` if harm above the margin is excluded in time.
pub fn ahead(
    policy: &Policy,
    population: u32,
    variance: f64,
    at: Option<(Step, Share)>,
) -> Vec<(Step, Share)> {
    std::iter::successors(next(policy, population, variance, at, true), |at| {
        next(policy, population, variance, Some(*at), true)
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(population: u32) -> Vec<String> {
        ahead(&Policy::default(), population, 0.09, None)
            .into_iter()
            .map(|(_, share)| share.to_string())
            .collect()
    }

    #[test]
    fn a_large_fleet_starts_with_a_handful_and_ends_with_everybody() {
        assert_eq!(
            shares(100_000),
            [
                "0.002 %", "0.006 %", "0.014 %", "0.03 %", "0.062 %", "0.13 %", "0.25 %", "0.43 %",
                "1 %", "5 %", "10 %", "25 %", "50 %", "100 %"
            ]
        );
    }

    #[test]
    fn a_fleet_too_small_for_one_percent_starts_with_two() {
        assert_eq!(shares(50), ["4 %", "12 %", "19 %", "25 %", "50 %", "100 %"]);
    }

    #[test]
    fn tiny_fleets_have_a_path_that_ends() {
        for population in [0, 1, 2, 7, 8] {
            let path = ahead(&Policy::default(), population, 0.09, None);
            assert_eq!(path.last(), Some(&(Step::Full, Share::ONE)), "{population}");
            assert!(
                path.windows(2).all(|pair| pair[0].1 < pair[1].1),
                "{path:?}"
            );
        }
    }

    #[test]
    fn the_second_half_opens_with_clearance_only() {
        let stages = Policy::default().stages;
        assert_eq!(next_share(&stages, 0.25, false), Some(0.5));
        assert_eq!(next_share(&stages, 0.5, true), Some(1.0));
        assert_eq!(next_share(&stages, 0.5, false), Some(0.75));
        assert_eq!(next_share(&stages, 0.75, false), Some(0.9));
        assert_eq!(next_share(&stages, 0.9, false), None);
        assert_eq!(next_share(&stages, 0.9, true), Some(1.0));
    }

    #[test]
    fn a_policy_that_stops_short_of_one_half_passes_it_unless_it_is_clear() {
        let stages = [0.01, 0.1].map(Share::clamped);
        assert_eq!(next_share(&stages, 0.1, true), Some(1.0));
        assert_eq!(next_share(&stages, 0.1, false), Some(0.5));
        let stages = [0.1, 0.6].map(Share::clamped);
        assert_eq!(next_share(&stages, 0.1, true), Some(0.6));
        assert_eq!(next_share(&stages, 0.5, false), Some(0.6));
        assert_eq!(next_share(&stages, 0.6, false), None);
    }

    #[test]
    fn without_a_pilot_the_first_share_is_the_first_stage() {
        let policy = Policy {
            pilot: false,
            ..Policy::default()
        };
        assert_eq!(
            next(&policy, 500, 0.09, None, true),
            Some((Step::Stage, Share::clamped(0.01)))
        );
    }
}
