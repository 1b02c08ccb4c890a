//! Flakiness that is not known: likelihoods with the error rates integrated out.

use super::Counts;

/// The error rates that are thought possible, and how likely each is beforehand. Discrete, so that the
/// integral is a sum and no rate can take the place of its opposite.
const ERRORS: [(f64, f64); 10] = [
    (0.002, 0.28),
    (0.02, 0.16),
    (0.05, 0.12),
    (0.1, 0.1),
    (0.15, 0.08),
    (0.2, 0.07),
    (0.25, 0.06),
    (0.3, 0.06),
    (0.35, 0.04),
    (0.4, 0.03),
];

/// The failure rates of a command that the changes do not matter to.
const FAILURES: [(f64, f64); 13] = [
    (0.002, 0.15),
    (0.02, 0.05),
    (0.05, 0.05),
    (0.1, 0.1),
    (0.2, 0.1),
    (0.3, 0.1),
    (0.4, 0.05),
    (0.5, 0.05),
    (0.6, 0.05),
    (0.7, 0.05),
    (0.8, 0.05),
    (0.9, 0.05),
    (0.998, 0.15),
];

/// How often trials err, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// The share of trials in which a good configuration fails, 0 to 1.
    pub good_fails: f64,
    /// The share of trials in which a bad configuration passes, 0 to 1.
    pub bad_passes: f64,
}

impl Rates {
    /// The expected rates after these trials of good and of bad configurations.
    pub(super) fn after(good: Counts, bad: Counts) -> Self {
        Self {
            good_fails: errors().mean(good.failed, good.passed),
            bad_passes: errors().mean(bad.passed, bad.failed),
        }
    }
}

/// The log of the chance of these trials if the configuration is good.
pub(super) fn ln_good(counts: Counts) -> f64 {
    errors().ln_chance(counts.failed, counts.passed)
}

/// The log of the chance of these trials if the configuration is bad.
pub(super) fn ln_bad(counts: Counts) -> f64 {
    errors().ln_chance(counts.passed, counts.failed)
}

/// The log of the chance of these trials if all configurations fail alike.
pub(super) fn ln_alike(counts: Counts) -> f64 {
    failures().ln_chance(counts.failed, counts.passed)
}

/// The same at the one rate that fits best, of all there are.
pub(super) fn ln_alike_at_best(counts: Counts) -> f64 {
    let part = |part: u32| match part {
        0 => 0.0,
        part => f64::from(part) * (f64::from(part) / f64::from(counts.total())).ln(),
    };
    part(counts.failed) + part(counts.passed)
}

/// The expected failure rate after these trials if all configurations fail alike.
pub(super) fn mean_alike(counts: Counts) -> f64 {
    failures().mean(counts.failed, counts.passed)
}

/// A prior over one rate, with its logarithms.
struct Prior<const N: usize> {
    /// Rate, log of its weight, log of the rate, log of one minus the rate.
    points: [(f64, f64, f64, f64); N],
}

impl<const N: usize> Prior<N> {
    fn new(points: [(f64, f64); N]) -> Self {
        Self {
            points: points.map(|(rate, weight)| (rate, weight.ln(), rate.ln(), (1.0 - rate).ln())),
        }
    }

    /// The log of the chance of `hits` and `misses` in one order.
    fn ln_chance(&self, hits: u32, misses: u32) -> f64 {
        let terms = self.terms(hits, misses);
        let most = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        most + terms
            .iter()
            .map(|term| (term - most).exp())
            .sum::<f64>()
            .ln()
    }

    /// The expected rate after them.
    fn mean(&self, hits: u32, misses: u32) -> f64 {
        let terms = self.terms(hits, misses);
        let most = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let (mut sum, mut weights) = (0.0, 0.0);
        for (term, (rate, ..)) in terms.iter().zip(&self.points) {
            let weight = (term - most).exp();
            sum += weight * rate;
            weights += weight;
        }
        sum / weights
    }

    fn terms(&self, hits: u32, misses: u32) -> [f64; N] {
        let (hits, misses) = (f64::from(hits), f64::from(misses));
        self.points
            .map(|(_, weight, hit, miss)| weight + hits * hit + misses * miss)
    }
}

fn errors() -> &'static Prior<10> {
    static PRIOR: std::sync::LazyLock<Prior<10>> = std::sync::LazyLock::new(|| Prior::new(ERRORS));
    &PRIOR
}

fn failures() -> &'static Prior<13> {
    static PRIOR: std::sync::LazyLock<Prior<13>> =
        std::sync::LazyLock::new(|| Prior::new(FAILURES));
    &PRIOR
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(failed: u32, passed: u32) -> Counts {
        Counts { failed, passed }
    }

    #[test]
    fn the_weights_of_a_prior_sum_to_one() {
        for sum in [
            ERRORS.iter().map(|point| point.1).sum::<f64>(),
            FAILURES.iter().map(|point| point.1).sum(),
        ] {
            assert!((sum - 1.0).abs() < 1e-12, "{sum}");
        }
    }

    #[test]
    fn chances_of_all_results_sum_to_one() {
        let all = [(2, 0, 1.0), (1, 1, 2.0), (0, 2, 1.0)];
        for chance in [ln_good, ln_bad, ln_alike] {
            let sum: f64 = all
                .iter()
                .map(|(failed, passed, orders)| orders * chance(counts(*failed, *passed)).exp())
                .sum();
            assert!((sum - 1.0).abs() < 1e-12, "{sum}");
        }
    }

    #[test]
    fn the_rates_are_learnt() {
        let steady = Rates::after(counts(0, 50), counts(50, 0));
        assert!(
            steady.good_fails < 0.02 && steady.bad_passes < 0.02,
            "{steady:?}"
        );
        let flaky = Rates::after(counts(30, 70), counts(90, 10));
        assert!((flaky.good_fails - 0.3).abs() < 0.03, "{flaky:?}");
        assert!((flaky.bad_passes - 0.1).abs() < 0.03, "{flaky:?}");
    }

    #[test]
    fn ten_thousand_trials_are_still_numbers() {
        assert!(ln_good(counts(5_000, 5_000)).is_finite());
        assert!(mean_alike(counts(0, 10_000)) < 0.01);
    }
}
