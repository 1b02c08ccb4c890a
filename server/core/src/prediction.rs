//! How often environments fail by themselves, predicted from their own history.
//!
//! Predictions make the bets sharp; wrong ones cost power, never validity (STATISTICS §3.1).

use serde::{Deserialize, Serialize};

use crate::outcome::Category;

/// Strata of own history.
pub const STRATA: usize = 5;
/// Days of history that count.
pub const HISTORY_DAYS: usize = 10;
/// Bounds of a predicted rate.
const RATE: (f64, f64) = (0.002, 0.97);
/// The weight of a prediction, in environments, when an epoch's control is blended in.
const RATE_PRIOR: f64 = 50.0;
/// Failures that the assumed category shares are worth.
const CATEGORY_PRIOR: f64 = 50.0;
/// Category shares that are assumed before any failure was seen.
const CATEGORY_SHARES: [f64; 5] = [0.02, 0.26, 0.62, 0.05, 0.05];
/// With fewer environment-days of history, [`ASSUMED_MEAN`] and [`ASSUMED_CONCENTRATION`] stand in.
const HISTORY_MIN: u64 = 200;
const ASSUMED_MEAN: f64 = 0.15;
const ASSUMED_CONCENTRATION: f64 = 3.0;
/// Days in the middle of each stratum, for a stratum that nobody is in.
const STRATUM_MIDDLE: [f64; STRATA] = [0.0, 1.0, 2.5, 5.0, 8.5];

/// The stratum of an environment: its failing days of the last ten, as 0 | 1 | 2–3 | 4–6 | 7–10.
pub const fn stratum(failing_days: u32) -> usize {
    match failing_days {
        0 => 0,
        1 => 1,
        2 | 3 => 2,
        4..=6 => 3,
        _ => 4,
    }
}

/// What is predicted for environments that have the baseline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// The chance of any failure in a window, by stratum, each in [0.002, 0.97].
    pub rates: [f64; STRATA],
    /// The mean of rate · (1 − rate) over the environments, in [0, 0.25].
    pub variance: f64,
    /// The share of each category among failures.
    pub categories: [f64; 5],
}

impl Prediction {
    /// The empirical-Bayes prediction from history (`prior_rates` of the reference).
    ///
    /// `failing_days[h]` counts the environments with `h` failing days of the last ten; `failures` counts
    /// failures of the last ten days by category. With under 200 environment-days of history, a mean of
    /// 0.15 and a concentration of 3 are assumed.
    pub fn from_history(failing_days: &[u64; HISTORY_DAYS + 1], failures: &[u64; 5]) -> Self {
        let environments: u64 = failing_days.iter().sum();
        let (rates, variance) = if environments * HISTORY_DAYS as u64 >= HISTORY_MIN {
            prior_rates(failing_days)
        } else {
            shrunk_rates(failing_days, ASSUMED_MEAN, ASSUMED_CONCENTRATION)
        };
        Self {
            rates,
            variance,
            categories: category_shares(failures),
        }
    }

    /// The chance of a failure in a window of a pilot epoch: scaled to one report.
    pub fn pilot_rates(&self) -> [f64; STRATA] {
        self.rates.map(|rate| rate * 0.2)
    }

    /// Blends in what an epoch's control showed see [`blend`]: `control[g]` is failed of reporting.
    pub fn blend(&mut self, control: &[(u64, u64); STRATA]) {
        for (rate, (failed, reporting)) in self.rates.iter_mut().zip(control) {
            *rate = blend(*rate, *failed, *reporting);
        }
    }
}

/// A predicted rate after `failed` of `reporting` environments with the baseline failed (`update_rate`).
pub fn blend(rate: f64, failed: u64, reporting: u64) -> f64 {
    let blended = (RATE_PRIOR * rate + failed as f64) / (RATE_PRIOR + reporting as f64);
    blended.clamp(RATE.0, RATE.1)
}

/// The empirical-Bayes daily chance of a failure by stratum, and the mean of rate · (1 − rate) over the
/// environments. `failing_days[h]` counts the environments with `h` failing days of the last ten; at least one.
pub fn prior_rates(failing_days: &[u64; HISTORY_DAYS + 1]) -> ([f64; STRATA], f64) {
    let (mean, concentration) = moments(failing_days);
    shrunk_rates(failing_days, mean, concentration)
}

/// Each environment's failing days, drawn towards the mean by so many days' worth of it.
fn shrunk_rates(
    failing_days: &[u64; HISTORY_DAYS + 1],
    mean: f64,
    concentration: f64,
) -> ([f64; STRATA], f64) {
    let days = HISTORY_DAYS as f64;
    let environments: u64 = failing_days.iter().sum();
    let mut sum = [0.0; STRATA];
    let mut count = [0u64; STRATA];
    for (h, n) in failing_days.iter().enumerate() {
        let g = stratum(u32::try_from(h).unwrap_or(u32::MAX));
        sum[g] += *n as f64 * (concentration * mean + h as f64) / (concentration + days);
        count[g] += n;
    }
    let rates: [f64; STRATA] = std::array::from_fn(|g| {
        let rate = if count[g] > 0 {
            sum[g] / count[g] as f64
        } else {
            (concentration * mean + STRATUM_MIDDLE[g]) / (concentration + days)
        };
        rate.clamp(RATE.0, RATE.1)
    });
    let variance = if environments > 0 {
        (0..STRATA)
            .map(|g| count[g] as f64 / environments as f64 * rates[g] * (1.0 - rates[g]))
            .sum()
    } else {
        rates[0] * (1.0 - rates[0])
    };
    (rates, variance)
}

fn moments(failing_days: &[u64; HISTORY_DAYS + 1]) -> (f64, f64) {
    let days = HISTORY_DAYS as f64;
    let n: f64 = failing_days.iter().map(|c| *c as f64).sum();
    let first: f64 = failing_days
        .iter()
        .enumerate()
        .map(|(h, c)| h as f64 * *c as f64)
        .sum();
    let second: f64 = failing_days
        .iter()
        .enumerate()
        .map(|(h, c)| (h * h) as f64 * *c as f64)
        .sum();
    let mean = first / (n * days);
    let variance = second / (n * days * days) - mean * mean;
    let mut concentration = ASSUMED_CONCENTRATION;
    if mean > 0.0 && mean < 1.0 && variance > mean * (1.0 - mean) / days {
        let correlation =
            ((variance * days / (mean * (1.0 - mean)) - 1.0) / (days - 1.0)).clamp(0.05, 0.9);
        concentration = 1.0 / correlation - 1.0;
    }
    (mean, concentration)
}

fn category_shares(failures: &[u64; 5]) -> [f64; 5] {
    let total: u64 = failures.iter().sum();
    std::array::from_fn(|c| {
        (failures[c] as f64 + CATEGORY_PRIOR * CATEGORY_SHARES[c]) / (total as f64 + CATEGORY_PRIOR)
    })
}

/// A category's share of failures times a rate: the chance of that category in a window.
pub fn category_rate(rate: f64, categories: &[f64; 5], category: Category) -> f64 {
    rate * categories[category.index()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fleet_without_history_is_assumed_to_fail_at_fifteen_percent() {
        let prediction = Prediction::from_history(&[0; 11], &[0; 5]);
        assert!((prediction.rates[0] - 0.45 / 13.0).abs() < 1e-12);
        assert!((prediction.rates[4] - 8.95 / 13.0).abs() < 1e-12);
        assert!(prediction.variance > 0.0);
        assert!((prediction.categories.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn a_control_that_fails_more_raises_the_prediction() {
        let mut prediction = Prediction::from_history(&[0; 11], &[0; 5]);
        let before = prediction.rates;
        prediction.blend(&[(50, 50), (0, 0), (0, 0), (0, 0), (0, 0)]);
        assert!((prediction.rates[0] - (50.0 * before[0] + 50.0) / 100.0).abs() < 1e-12);
        assert!((prediction.rates[1] - before[1]).abs() < 1e-15);
    }

    #[test]
    fn strata_are_those_of_the_reference() {
        let strata: Vec<usize> = (0..=10).map(stratum).collect();
        assert_eq!(strata, [0, 1, 2, 2, 3, 3, 3, 4, 4, 4, 4]);
    }
}
