//! Detector E: bets on the labels of environments at their failures, over the whole rollout
//! (STATISTICS §3.3).
//!
//! Who was revealed as exposed is retired; who was revealed as not exposed at a share can be bet on again
//! once the share has grown beyond it. Unlike detector W this depends on the order of events, through the
//! fingerprints that are registered and the partners that get a slot: feed it in record order.

use std::collections::BTreeMap;

use crate::draw::{Draw, Share};
use crate::evidence::Ordinal;
use crate::mixture::{
    self, Masses, PAIR_SLOTS, PLATFORM_SLOTS, Target, gain, log_mass, log_mixture, log_odds_bet,
};
use crate::outcome::{Category, Fingerprint};
use crate::prediction::category_rate;

/// The part of `alpha` that detector E may spend.
pub const ALPHA_SHARE: f64 = 0.6;
/// The rate that is predicted for an environment whose report before had failed, where failures are not
/// verified by repeating them.
pub const RATE_ALREADY_FAILING: f64 = 0.8;

const SIZES: [f64; 5] = [0.015, 0.05, 0.15, 0.5, 2.5];
const SIZES_PAIR: [f64; 3] = [0.15, 0.5, 2.5];
/// What a shared new look multiplies the odds of "exposed" by.
const FACTORS: [f64; 3] = [4.0, 30.0, 1000.0];
const WEIGHT_ANY: f64 = 0.30;
const WEIGHT_CATEGORIES: f64 = 0.20;
const WEIGHT_PLATFORMS: f64 = 0.10;
const WEIGHT_PAIRS: f64 = 0.15;
const WEIGHT_FINGERPRINTS: f64 = 0.25;

/// A failing report of one environment. What is predicted of it was known before its label.
#[derive(Clone, Copy, Debug)]
pub struct FailureEvent<'a> {
    /// Whose.
    pub ordinal: Ordinal,
    /// Its position in the rollout.
    pub draw: Draw,
    /// The share when it failed.
    pub share: Share,
    /// The kind of the failure.
    pub category: Category,
    /// The predicted chance that it fails on a day.
    pub rate: f64,
    /// The predicted share of each category among failures.
    pub categories: &'a [f64; 5],
    /// Its platform.
    pub platform: Option<&'a str>,
    /// Other rollouts it is exposed to.
    pub partners: &'a [&'a str],
    /// What the failure looks like, if nobody had that look before the rollout began.
    pub new_fingerprint: Option<Fingerprint>,
}

/// What is known of a label.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Label {
    Exposed,
    /// Not exposed at this share.
    Control(Share),
}

#[derive(Clone, Debug, PartialEq)]
struct Ledger {
    target: Target,
    weight: f64,
    /// Log wealth by size.
    wealths: Vec<f64>,
}

/// The wealth of all bets of one rollout.
#[derive(Clone, Debug, PartialEq)]
pub struct EventBet {
    log_threshold: f64,
    log_scale: f64,
    ledgers: Vec<Ledger>,
    labels: BTreeMap<Ordinal, Label>,
    /// Labels at this share are known whatever was revealed.
    base: Share,
    /// How often a new look was bet on.
    sightings: BTreeMap<Fingerprint, u32>,
    registered: u32,
}

impl EventBet {
    /// Bets for a rollout that may falsely be rolled back with probability `alpha`, on at most
    /// [`PLATFORM_SLOTS`] platforms; further ones are not bet on.
    pub fn new(alpha: f64, platforms: &[&str]) -> Self {
        let mut bet = Self {
            log_threshold: -(alpha * ALPHA_SHARE).ln(),
            log_scale: 0.0,
            ledgers: Vec::new(),
            labels: BTreeMap::new(),
            base: Share::ZERO,
            sightings: BTreeMap::new(),
            registered: 0,
        };
        bet.add(Target::Any, WEIGHT_ANY, SIZES.len());
        for category in Category::ALL {
            let weight = WEIGHT_CATEGORIES / Category::ALL.len() as f64;
            bet.add(Target::Category(category), weight, SIZES.len());
        }
        for platform in platforms.iter().take(PLATFORM_SLOTS) {
            let weight = WEIGHT_PLATFORMS / PLATFORM_SLOTS as f64;
            bet.add(
                Target::Platform((*platform).to_owned()),
                weight,
                SIZES.len(),
            );
        }
        bet
    }

    fn add(&mut self, target: Target, weight: f64, sizes: usize) {
        self.ledgers.push(Ledger {
            target,
            weight,
            wealths: vec![0.0; sizes],
        });
    }

    /// Bets on the label of an environment that failed. Returns whether there was anything to bet on:
    /// not when everybody is exposed, and not when its label at this share is known.
    pub fn event(&mut self, event: &FailureEvent<'_>) -> bool {
        let Some(rho) = self.chance_of_exposure(event) else {
            return false;
        };
        let exposed = event.share.exposes(event.draw);
        for partner in event.partners {
            self.open_pair(partner);
        }
        let category_rate = category_rate(event.rate, event.categories, event.category);
        for ledger in &mut self.ledgers {
            // A platform or a partner without a slot is not bet on.
            let (sizes, rate): (&[f64], f64) = match &ledger.target {
                Target::Any => (&SIZES, event.rate),
                Target::Category(category) if *category == event.category => {
                    (&SIZES, category_rate)
                }
                Target::Platform(platform) if event.platform == Some(platform) => {
                    (&SIZES, event.rate)
                }
                Target::Pair(partner) if event.partners.contains(&partner.as_str()) => {
                    (&SIZES_PAIR, event.rate)
                }
                _ => continue,
            };
            for (wealth, size) in ledger.wealths.iter_mut().zip(sizes) {
                *wealth += log_odds_bet(rho, gain(*size, rate), exposed);
            }
        }
        if let Some(fingerprint) = event.new_fingerprint {
            self.bet_on_look(fingerprint, rho, exposed);
        }
        let label = if exposed {
            Label::Exposed
        } else {
            Label::Control(event.share)
        };
        self.labels.insert(event.ordinal, label);
        true
    }

    /// `(share − ell) / (1 − ell)` for the largest share `ell` at which it is known as not exposed.
    fn chance_of_exposure(&self, event: &FailureEvent<'_>) -> Option<f64> {
        if event.share == Share::ONE || self.base.exposes(event.draw) {
            return None;
        }
        let known = match self.labels.get(&event.ordinal) {
            Some(Label::Exposed) => return None,
            Some(Label::Control(share)) if *share > self.base => *share,
            _ => self.base,
        };
        (known < event.share).then(|| event.share.raise_from(known))
    }

    fn open_pair(&mut self, partner: &str) {
        let (mut known, mut open) = (false, 0);
        for ledger in &self.ledgers {
            if let Target::Pair(name) = &ledger.target {
                open += 1;
                known |= name == partner;
            }
        }
        if !known && open < PAIR_SLOTS {
            let weight = WEIGHT_PAIRS / PAIR_SLOTS as f64;
            self.add(Target::Pair(partner.to_owned()), weight, SIZES_PAIR.len());
        }
    }

    /// A new look is registered, and bet on, from its second sighting on.
    fn bet_on_look(&mut self, fingerprint: Fingerprint, rho: f64, exposed: bool) {
        let sightings = self.sightings.entry(fingerprint).or_default();
        *sightings += 1;
        if *sightings < 2 {
            return;
        }
        let target = Target::Fingerprint(fingerprint);
        if *sightings == 2 {
            self.registered += 1;
            let j = f64::from(self.registered);
            self.add(
                target.clone(),
                WEIGHT_FINGERPRINTS / (j * (j + 1.0)),
                FACTORS.len(),
            );
        }
        let ledger = self.ledgers.iter_mut().find(|l| l.target == target);
        if let Some(ledger) = ledger {
            for (wealth, factor) in ledger.wealths.iter_mut().zip(FACTORS) {
                *wealth += log_odds_bet(rho, factor - 1.0, exposed);
            }
        }
    }

    /// The natural logarithm of the evidence of harm (an e-value).
    pub fn log_e(&self) -> f64 {
        self.log_scale
            + log_mixture(
                self.ledgers
                    .iter()
                    .map(|ledger| (ledger.weight, ledger.wealths.as_slice())),
            )
    }

    /// The logarithm that [`EventBet::log_e`] must reach: `ln(1 / (0.6 · alpha))`.
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
            .map(|ledger| {
                let mass = log_mass(ledger.weight, &ledger.wealths);
                (ledger.target.clone(), self.log_scale + mass)
            })
            .collect()
    }

    /// The target that carries the evidence, see [`mixture::blame`].
    pub fn blame(&self) -> Target {
        mixture::blame(&self.masses())
    }

    /// A person changed the path after looking: every label at `share` counts as known, and the wealth so
    /// far is kept only as far as it is below 1.
    pub fn rebase(&mut self, share: Share) {
        self.log_scale -= self.log_e().max(0.0);
        if share > self.base {
            self.base = share;
        }
    }

    /// Starts afresh with half the error budget: the partner of a blamed pair was rolled back.
    pub fn restart(&mut self) {
        for ledger in &mut self.ledgers {
            ledger.wealths.fill(0.0);
        }
        self.log_scale = 0.0;
        self.log_threshold += std::f64::consts::LN_2;
    }
}
