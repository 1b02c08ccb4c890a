//! What both detectors are: a weighted mixture of products of fair bets on labels, in natural logarithms
//! (STATISTICS §3.2). Weight that no target has stays in cash.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::outcome::{Category, Fingerprint};

/// Platforms that can be bet on.
pub const PLATFORM_SLOTS: usize = 8;
/// Partner rollouts that can be bet on.
pub const PAIR_SLOTS: usize = 32;

const LN_2: f64 = std::f64::consts::LN_2;
/// Bounds of a rate that is bet with.
const RATE: (f64, f64) = (1e-4, 0.98);

/// What a bet is on: "exposed environments additionally fail like this".
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// Any failure.
    #[default]
    Any,
    /// A failure of this category.
    Category(Category),
    /// Failures that look like this, which nobody had before the rollout.
    Fingerprint(Fingerprint),
    /// Any failure where another rollout is exposed too.
    Pair(String),
    /// Any failure on this platform.
    Platform(String),
}

impl Target {
    const fn is_pair(&self) -> bool {
        matches!(self, Self::Pair(_))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::Category(category) => write!(f, "{category}"),
            Self::Fingerprint(fingerprint) => write!(f, "looks like {fingerprint}"),
            Self::Pair(rollout) => write!(f, "with {rollout}"),
            Self::Platform(platform) => write!(f, "on {platform}"),
        }
    }
}

/// The log wealth of every target, each with its weight.
pub type Masses = BTreeMap<Target, f64>;

/// The target that carries the evidence: a pair if it explains at least twice as much as everything else
/// together, otherwise the best of the rollout's own.
pub fn blame(masses: &Masses) -> Target {
    let best = |pairs: bool| {
        let mut best: Option<(&Target, f64)> = None;
        for (target, mass) in masses
            .iter()
            .filter(|(target, _)| target.is_pair() == pairs)
        {
            if best.is_none_or(|(_, most)| *mass > most) {
                best = Some((target, *mass));
            }
        }
        best
    };
    let own = masses
        .iter()
        .filter(|(target, _)| !target.is_pair())
        .map(|(_, mass)| *mass);
    match (best(true), best(false)) {
        (Some((pair, mass)), _) if mass > log_sum_exp(own) + LN_2 => pair.clone(),
        (_, Some((target, _))) => target.clone(),
        _ => Target::Any,
    }
}

/// Parts of the failures that a pair does, for which it is asked whether it does.
const PAIR_PARTS: [f64; 3] = [0.5, 0.8, 0.98];
/// How sure a partner's part must be, over all partners.
const PAIR_SURE: f64 = 20.0;

/// Which partner the failures that are put down to a rollout need too, if any.
///
/// Each partner comes with the failures of exposed environments: whether the environment had the partner as
/// well, and the partner's share then. If the rollout does the harm alone, these are coins of known bias, so
/// that one is named wrongly with a chance of 1 in 20 at most, over all partners.
pub fn accomplice<'a, F>(partners: impl IntoIterator<Item = (&'a str, F)>) -> Option<&'a str>
where
    F: IntoIterator<Item = (bool, f64)>,
{
    let mut asked = 0u32;
    let mut best: Option<(&str, f64)> = None;
    for (name, failures) in partners {
        asked += 1;
        let log_e = log_e_of_pair(failures);
        if best.is_none_or(|(_, most)| log_e > most) {
            best = Some((name, log_e));
        }
    }
    let sure = (PAIR_SURE * f64::from(asked.max(1))).ln();
    best.filter(|(_, log_e)| *log_e >= sure)
        .map(|(name, _)| name)
}

/// The log of how much likelier the partner's labels are if a part of the failures needs it than if none does.
fn log_e_of_pair(failures: impl IntoIterator<Item = (bool, f64)>) -> f64 {
    let mut logs = [0.0; PAIR_PARTS.len()];
    for (has_partner, share) in failures {
        for (log, part) in logs.iter_mut().zip(PAIR_PARTS) {
            *log += if has_partner {
                (part / share.max(RATE.0) + 1.0 - part).ln()
            } else {
                (1.0 - part).ln()
            };
        }
    }
    log_sum_exp(logs.into_iter()) - (PAIR_PARTS.len() as f64).ln()
}

/// The log of a mixture of log wealths, of which each target has a weight and one wealth a size.
pub(crate) fn log_mixture<'a>(ledgers: impl Iterator<Item = (f64, &'a [f64])> + Clone) -> f64 {
    let cash = 1.0 - ledgers.clone().map(|(weight, _)| weight).sum::<f64>();
    let cash = (cash > 1e-12).then(|| cash.ln());
    log_sum_exp(
        ledgers
            .flat_map(|(weight, wealths)| terms(weight, wealths))
            .chain(cash),
    )
}

/// The log of one target's part of the mixture.
pub(crate) fn log_mass(weight: f64, wealths: &[f64]) -> f64 {
    log_sum_exp(terms(weight, wealths))
}

fn terms(weight: f64, wealths: &[f64]) -> impl Iterator<Item = f64> + Clone {
    let weight = (weight / wealths.len() as f64).ln();
    wealths.iter().map(move |wealth| weight + wealth)
}

/// What the odds of "exposed" are multiplied by, less one, when a target is hit that was predicted with
/// this rate: `size · (1/p − 1)`.
pub(crate) fn gain(size: f64, rate: f64) -> f64 {
    size * (1.0 / rate.clamp(RATE.0, RATE.1) - 1.0)
}

/// The log of the fair bet on a Bernoulli(`rho`) label that multiplies the odds of "exposed" by `1 + r`.
pub(crate) fn log_odds_bet(rho: f64, r: f64, exposed: bool) -> f64 {
    let fair = -(rho * r).ln_1p();
    if exposed { fair + r.ln_1p() } else { fair }
}

/// `ln Σ exp(term)`, without overflow.
pub(crate) fn log_sum_exp(terms: impl Iterator<Item = f64> + Clone) -> f64 {
    let most = terms.clone().fold(f64::NEG_INFINITY, f64::max);
    if most == f64::NEG_INFINITY {
        most
    } else {
        most + terms.map(|term| (term - most).exp()).sum::<f64>().ln()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weight_that_no_target_has_stays_in_cash() {
        let wealths = [0.0, 0.0];
        assert!(log_mixture([(0.3, &wealths[..])].into_iter()).abs() < 1e-12);
        let lost = [f64::NEG_INFINITY; 2];
        let left = log_mixture([(0.3, &lost[..])].into_iter());
        assert!((left - 0.7f64.ln()).abs() < 1e-12);
    }

    #[test]
    fn a_pair_is_blamed_only_when_it_explains_twice_as_much_as_everything_else() {
        let masses = |pair: f64| {
            Masses::from([
                (Target::Any, 1.0),
                (Target::Category(Category::Test), 1.0),
                (Target::Pair("ro-1".to_owned()), pair),
            ])
        };
        let else_ = 1.0 + LN_2;
        assert_eq!(blame(&masses(else_ + LN_2 - 0.01)), Target::Any);
        assert_eq!(
            blame(&masses(else_ + LN_2 + 0.01)),
            Target::Pair("ro-1".to_owned())
        );
    }

    #[test]
    fn a_partner_is_an_accomplice_if_hardly_any_failure_comes_without_it() {
        let with = |with: usize, of: usize| (0..of).map(move |i| (i < with, 0.05));
        let named = |a, b| accomplice([("ro-1", with(a, 4)), ("ro-2", with(b, 4))]);
        assert_eq!(named(0, 4), Some("ro-2"));
        assert_eq!(named(3, 0), Some("ro-1"));
        assert_eq!(named(1, 1), None);
        // Nearly everybody has it, so that having it says nothing.
        let everybody = [("ro-1", (0..4).map(|_| (true, 0.95)))];
        assert_eq!(accomplice(everybody), None);
    }

    #[test]
    fn the_evidence_for_an_accomplice_is_fair() {
        for share in [0.01, 0.25, 0.9] {
            let e = |label| log_e_of_pair([(label, share)]).exp();
            let mean = share * e(true) + (1.0 - share) * e(false);
            assert!((mean - 1.0).abs() < 1e-9, "{share}: {mean}");
        }
    }

    #[test]
    fn a_bet_on_a_label_is_fair() {
        for rho in [1e-6, 0.05, 0.5, 0.99] {
            for r in [-0.9, -0.02, 0.5, 40.0] {
                let mean = rho * log_odds_bet(rho, r, true).exp()
                    + (1.0 - rho) * log_odds_bet(rho, r, false).exp();
                assert!((mean - 1.0).abs() < 1e-9, "{rho} {r}: {mean}");
            }
        }
    }
}
