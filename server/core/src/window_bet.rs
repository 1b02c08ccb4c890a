//! Detector W: bets on the labels of environments, one reveal each in every epoch (STATISTICS §3.2).
//!
//! Under "the candidate harms nobody" a label is a coin with the known bias `rho`, so each factor has mean
//! 1 and the wealth exceeds `1 / alpha` with probability at most `alpha`, however often it is looked at.
//! The wealth is a function of integer counts: the order of reveals within an epoch does not matter.

use serde::{Deserialize, Serialize};

use crate::mixture::{
    self, Masses, PAIR_SLOTS, PLATFORM_SLOTS, Target, gain, log_mass, log_mixture, log_odds_bet,
};
use crate::outcome::Category;
use crate::prediction::{STRATA, category_rate};

/// The part of `alpha` that detector W may spend.
pub const ALPHA_SHARE: f64 = 0.4;
const SIZES: [f64; 5] = [0.02, 0.06, 0.20, 0.50, 0.90];
const SIZES_PAIR: [f64; 3] = [0.20, 0.50, 0.90];
const WEIGHT_ANY: f64 = 0.35;
const WEIGHT_CATEGORIES: f64 = 0.25;
const WEIGHT_PLATFORMS: f64 = 0.15;
const WEIGHT_PAIRS: f64 = 0.25;
/// One environment's outcome and label, or several with the same.
#[derive(Clone, Copy, Debug)]
pub struct Reveal<'a> {
    /// The stratum of its own history, below [`STRATA`].
    pub stratum: usize,
    /// Its first failure in the window, or none.
    pub failure: Option<Category>,
    /// Whether it was exposed.
    pub exposed: bool,
    /// Its platform.
    pub platform: Option<&'a str>,
    /// Other rollouts it is exposed to, known before this epoch's label.
    pub partners: &'a [&'a str],
    /// How many environments.
    pub count: u64,
}

/// What is fixed for an epoch before its labels are drawn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochRates {
    /// The chance of being exposed for an environment of the pool, in (0, 1).
    pub rho: f64,
    /// The predicted chance of any failure in the window, by stratum.
    pub rates: [f64; STRATA],
    /// The predicted share of each category among failures.
    pub categories: [f64; 5],
}

/// Counts by stratum, whether the target was hit, and label (control, exposed).
pub type Counts = [[[u64; 2]; 2]; STRATA];

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Ledger {
    weight: f64,
    /// Log wealth of the epochs before, by size.
    settled: Vec<f64>,
    /// The reveals of this epoch; they are counted anew from its cells, so they are not stored here.
    #[serde(skip)]
    counts: Counts,
}

/// The wealth of all bets of one rollout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WindowBet {
    log_threshold: f64,
    log_scale: f64,
    /// Log wealth when the epoch began.
    start: f64,
    epoch: Option<EpochRates>,
    ledgers: Vec<(Target, Ledger)>,
}

impl WindowBet {
    /// Bets for a rollout that may falsely be rolled back with probability `alpha`, on at most
    /// [`PLATFORM_SLOTS`] platforms; further ones are not bet on.
    pub fn new(alpha: f64, platforms: &[&str]) -> Self {
        let mut bet = Self {
            log_threshold: -(alpha * ALPHA_SHARE).ln(),
            log_scale: 0.0,
            start: 0.0,
            epoch: None,
            ledgers: Vec::new(),
        };
        bet.add(Target::Any, WEIGHT_ANY);
        for category in Category::ALL {
            bet.add(
                Target::Category(category),
                WEIGHT_CATEGORIES / Category::ALL.len() as f64,
            );
        }
        for platform in platforms.iter().take(PLATFORM_SLOTS) {
            bet.add(
                Target::Platform((*platform).to_owned()),
                WEIGHT_PLATFORMS / PLATFORM_SLOTS as f64,
            );
        }
        bet
    }

    fn add(&mut self, target: Target, weight: f64) {
        let settled = vec![0.0; sizes(&target).len()];
        self.ledgers.push((
            target,
            Ledger {
                weight,
                settled,
                counts: Counts::default(),
            },
        ));
    }

    /// Begins an epoch: settles the one before and fixes what the bets of this one assume.
    pub fn start_epoch(&mut self, rates: EpochRates) {
        self.settle();
        self.epoch = Some(rates);
        self.start = self.log_e();
    }

    /// Ends the epoch: its wealth is settled and nothing is bet on until the next begins.
    pub fn end_epoch(&mut self) {
        self.settle();
        self.start = self.log_e();
    }

    fn settle(&mut self) {
        let Some(epoch) = self.epoch.take() else {
            return;
        };
        for (target, ledger) in &mut self.ledgers {
            ledger.settled = log_wealths(&epoch, target, ledger);
            ledger.counts = Counts::default();
        }
    }

    /// Counts an environment at its first failure, or at the end of its window as without one.
    ///
    /// A reveal outside an epoch is not counted: there is no label to bet on.
    pub fn reveal(&mut self, reveal: Reveal<'_>) {
        if self.epoch.is_none() {
            return;
        }
        for partner in reveal.partners {
            self.open_pair(partner);
        }
        for (target, ledger) in &mut self.ledgers {
            let (concerned, hit) = match target {
                Target::Any => (true, reveal.failure.is_some()),
                // Detector E alone bets on looks: a window's end has none.
                Target::Fingerprint(_) => (false, false),
                Target::Category(category) => (true, reveal.failure == Some(*category)),
                Target::Platform(platform) => (
                    reveal.platform == Some(platform.as_str()),
                    reveal.failure.is_some(),
                ),
                Target::Pair(partner) => (
                    reveal.partners.contains(&partner.as_str()),
                    reveal.failure.is_some(),
                ),
            };
            if concerned {
                ledger.counts[reveal.stratum.min(STRATA - 1)][usize::from(hit)]
                    [usize::from(reveal.exposed)] += reveal.count;
            }
        }
    }

    fn open_pair(&mut self, partner: &str) {
        let (mut known, mut open) = (false, 0);
        for (target, _) in &self.ledgers {
            if let Target::Pair(name) = target {
                open += 1;
                known |= name == partner;
            }
        }
        if !known && open < PAIR_SLOTS {
            self.add(
                Target::Pair(partner.to_owned()),
                WEIGHT_PAIRS / PAIR_SLOTS as f64,
            );
        }
    }

    /// The natural logarithm of the evidence of harm (an e-value).
    pub fn log_e(&self) -> f64 {
        let wealths: Vec<(f64, Vec<f64>)> = self
            .ledgers
            .iter()
            .map(|(target, ledger)| (ledger.weight, self.wealths(target, ledger)))
            .collect();
        self.log_scale
            + log_mixture(
                wealths
                    .iter()
                    .map(|(weight, wealths)| (*weight, wealths.as_slice())),
            )
    }

    fn wealths(&self, target: &Target, ledger: &Ledger) -> Vec<f64> {
        match &self.epoch {
            Some(epoch) => log_wealths(epoch, target, ledger),
            None => ledger.settled.clone(),
        }
    }

    /// The logarithm that [`WindowBet::log_e`] must reach: `ln(1 / (0.4 · alpha))`.
    pub const fn log_threshold(&self) -> f64 {
        self.log_threshold
    }

    /// Whether the evidence says harmful.
    pub fn fires(&self) -> bool {
        self.log_e() >= self.log_threshold
    }

    /// The log wealth of each target, with its weight.
    pub fn masses(&self) -> Masses {
        self.ledgers
            .iter()
            .map(|(target, ledger)| {
                let mass = log_mass(ledger.weight, &self.wealths(target, ledger));
                (target.clone(), self.log_scale + mass)
            })
            .collect()
    }

    /// The target that carries the evidence, see [`mixture::blame`].
    pub fn blame(&self) -> Target {
        mixture::blame(&self.masses())
    }

    /// The reveals of the epoch that runs, by stratum, whether they failed, and label.
    pub fn counts(&self) -> Counts {
        self.ledgers
            .iter()
            .find(|(target, _)| *target == Target::Any)
            .map_or_else(Counts::default, |(_, ledger)| ledger.counts)
    }

    /// Cuts the epoch short for somebody who may have seen labels that are not revealed yet: of the
    /// wealth at its start and now, the smaller is kept.
    pub fn close_early(&mut self) {
        let now = self.log_e();
        if now > self.start {
            self.log_scale += self.start - now;
        }
    }

    /// Starts afresh with half the error budget: the partner of a blamed pair was rolled back.
    pub fn restart(&mut self) {
        for (_, ledger) in &mut self.ledgers {
            ledger.settled.fill(0.0);
            ledger.counts = Counts::default();
        }
        self.log_scale = 0.0;
        self.start = 0.0;
        self.log_threshold += std::f64::consts::LN_2;
    }
}

/// The log wealth by size: the settled one plus this epoch's fair bets.
///
/// For `p` the predicted chance of the target and `r = eps·(1/p − 1)` when hit, `−eps` otherwise, a bet is
/// `z·log1p(r) − log1p(rho·r)`.
fn log_wealths(epoch: &EpochRates, target: &Target, ledger: &Ledger) -> Vec<f64> {
    let mut wealths = ledger.settled.clone();
    for (stratum, by_hit) in ledger.counts.iter().enumerate() {
        let rate = match target {
            Target::Category(category) => {
                category_rate(epoch.rates[stratum], &epoch.categories, *category)
            }
            Target::Any | Target::Fingerprint(_) | Target::Pair(_) | Target::Platform(_) => {
                epoch.rates[stratum]
            }
        };
        for (hit, by_label) in by_hit.iter().enumerate() {
            for (exposed, count) in by_label.iter().enumerate().filter(|(_, count)| **count > 0) {
                for (wealth, size) in wealths.iter_mut().zip(sizes(target)) {
                    let r = if hit == 1 { gain(*size, rate) } else { -size };
                    *wealth += *count as f64 * log_odds_bet(epoch.rho, r, exposed == 1);
                }
            }
        }
    }
    wealths
}

/// The shares of exposed environments that are bet to fail additionally.
const fn sizes(target: &Target) -> &'static [f64] {
    match target {
        Target::Pair(_) => &SIZES_PAIR,
        _ => &SIZES,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_cut_short_after_a_fresh_start_keeps_no_evidence_of_harm() {
        let rates = EpochRates {
            rho: 0.2,
            rates: [0.1; STRATA],
            categories: [0.2; 5],
        };
        let failure = Reveal {
            stratum: 0,
            failure: Some(Category::Test),
            exposed: true,
            platform: None,
            partners: &[],
            count: 1,
        };
        let mut bet = WindowBet::new(0.005, &[]);
        bet.start_epoch(rates.clone());
        bet.reveal(failure);
        // The next one starts with what the first one had against the candidate.
        bet.start_epoch(rates);
        bet.restart();
        bet.reveal(failure);
        assert!(bet.log_e() > 0.1);
        bet.close_early();
        assert!(bet.log_e() < 1e-12, "{}", bet.log_e());
    }
}
