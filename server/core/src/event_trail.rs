//! Detector E fed from cells, in record order however the records were delivered.
//!
//! An environment's label can be bet on once an epoch, at its first failure there: that is what its cell
//! keeps. So the cells of all epochs, in order, give the same wealth on every server and at every replay,
//! and nothing of it needs to be stored.

use std::collections::{BTreeMap, BTreeSet};

use crate::draw::{Draw, Share};
use crate::event_bet::{EventBet, FailureEvent, RATE_ALREADY_FAILING};
use crate::evidence::{Failure, Order, Ordinal, partners_of, platform_of};
use crate::outcome::Fingerprint;
use crate::prediction::{Prediction, STRATA};
use crate::rollout::Epoch;

/// A failure with what else its bet needs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrailFailure {
    /// Whose.
    pub ordinal: Ordinal,
    /// Its position in the rollout.
    pub draw: Draw,
    /// Its first failure in the epoch.
    pub failure: Failure,
    /// What it looks like, if nobody had that look before the rollout began.
    pub new_fingerprint: Option<Fingerprint>,
}

/// Detector E with the failures of the epoch that runs.
#[derive(Clone, Debug)]
pub struct EventTrail {
    bet: EventBet,
    /// As it was when the epoch opened.
    opened: EventBet,
    epoch: Option<OpenEpoch>,
    failures: BTreeMap<Order, TrailFailure>,
    places: BTreeMap<Ordinal, Order>,
    /// Looks that an environment had in the epochs before: what only it has, it does not share with itself.
    looks: BTreeSet<(Ordinal, Fingerprint)>,
    /// Restarts in this epoch, each by the revision up to which everything had been counted.
    restarts: Vec<u64>,
}

/// What the bets of an epoch assume.
#[derive(Clone, Debug)]
struct OpenEpoch {
    share: Share,
    prediction: Prediction,
    platforms: Vec<String>,
    partners: Vec<String>,
}

impl EventTrail {
    /// A trail before the first epoch.
    pub fn new(alpha: f64, platforms: &[String]) -> Self {
        let platforms: Vec<&str> = platforms.iter().map(String::as_str).collect();
        let bet = EventBet::new(alpha, &platforms);
        Self {
            opened: bet.clone(),
            bet,
            epoch: None,
            failures: BTreeMap::new(),
            places: BTreeMap::new(),
            looks: BTreeSet::new(),
            restarts: Vec::new(),
        }
    }

    /// The detector as of the failures so far.
    pub const fn bet(&self) -> &EventBet {
        &self.bet
    }

    /// Opens an epoch of a rollout with these platforms by slot.
    pub fn open_epoch(&mut self, epoch: &Epoch, platforms: &[String]) {
        if epoch.rebased {
            self.bet.rebase(epoch.before);
        }
        self.opened = self.bet.clone();
        self.epoch = Some(OpenEpoch {
            share: epoch.share,
            prediction: epoch.prediction.clone(),
            platforms: platforms.to_vec(),
            partners: epoch.partners.iter().map(ToString::to_string).collect(),
        });
        let had = self.failures.values();
        self.looks
            .extend(had.filter_map(|failed| Some((failed.ordinal, failed.new_fingerprint?))));
        self.failures.clear();
        self.places.clear();
        self.restarts.clear();
    }

    /// Takes in an environment's first failure in the epoch, as its cell has it now. A place before those
    /// that are known has everything after it bet anew.
    pub fn note(&mut self, mut failure: TrailFailure) {
        let is_its_own = |look: &Fingerprint| self.looks.contains(&(failure.ordinal, *look));
        failure.new_fingerprint = failure.new_fingerprint.filter(|look| !is_its_own(look));
        let order = failure.failure.mark.order;
        match self.places.insert(failure.ordinal, order) {
            Some(known) if known == order => {}
            Some(known) => {
                self.failures.remove(&known);
                self.failures.insert(order, failure);
                self.replay();
            }
            None => {
                let is_last = self
                    .failures
                    .keys()
                    .next_back()
                    .is_none_or(|last| *last < order)
                    && self
                        .restarts
                        .iter()
                        .all(|restart| is_after(order, *restart));
                self.failures.insert(order, failure);
                if is_last {
                    bet_on(&mut self.bet, self.epoch.as_ref(), &failure);
                } else {
                    self.replay();
                }
            }
        }
    }

    /// Starts afresh with half the error budget, after everything up to the revision.
    pub fn restart(&mut self, revision: u64) {
        self.restarts.push(revision);
        self.replay();
    }

    fn replay(&mut self) {
        let mut bet = self.opened.clone();
        let mut restarts = self.restarts.iter().peekable();
        for (order, failure) in &self.failures {
            while restarts
                .next_if(|restart| is_after(*order, **restart))
                .is_some()
            {
                bet.restart();
            }
            bet_on(&mut bet, self.epoch.as_ref(), failure);
        }
        for _ in restarts {
            bet.restart();
        }
        self.bet = bet;
    }
}

fn is_after(order: Order, revision: u64) -> bool {
    order > Order::new(revision, u16::MAX)
}

fn bet_on(bet: &mut EventBet, epoch: Option<&OpenEpoch>, failed: &TrailFailure) {
    let Some(epoch) = epoch else { return };
    let Failure {
        category,
        previous_failed,
        traits,
        ..
    } = failed.failure;
    let rate = if previous_failed && !traits.repeats {
        RATE_ALREADY_FAILING
    } else {
        epoch.prediction.rates[usize::from(traits.stratum).min(STRATA - 1)]
    };
    bet.event(&FailureEvent {
        ordinal: failed.ordinal,
        draw: failed.draw,
        share: epoch.share,
        category,
        rate,
        categories: &epoch.prediction.categories,
        platform: platform_of(&traits, &epoch.platforms),
        partners: &partners_of(&traits, &epoch.partners),
        new_fingerprint: failed.new_fingerprint,
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Mark, Traits};
    use crate::mixture::Target;
    use crate::outcome::Category;
    use crate::path::Step;
    use crate::time::Timestamp;

    fn epoch(before: f64, share: f64, rebased: bool) -> Epoch {
        Epoch {
            index: 1,
            step: Step::Stage,
            before: Share::clamped(before),
            share: Share::clamped(share),
            since: Timestamp::from_unix_ms(0),
            ends: Timestamp::from_unix_ms(1),
            last_opening: Timestamp::from_unix_ms(1),
            folded: 0,
            pool: String::new(),
            settled: None,
            partners: Vec::new(),
            prediction: Prediction::from_history(&[0; 11], &[0; 5]),
            rebased,
        }
    }

    fn failure(ordinal: u32, revision: u64, look: u64) -> TrailFailure {
        TrailFailure {
            ordinal: Ordinal(ordinal),
            draw: Draw::clamped(f64::from(ordinal % 10) / 10.0),
            failure: Failure {
                mark: Mark {
                    order: Order::new(revision, 0),
                    at: Timestamp::from_unix_ms(0),
                },
                category: Category::Test,
                fingerprint: Some(Fingerprint(look)),
                previous_failed: false,
                traits: Traits::default(),
            },
            new_fingerprint: Some(Fingerprint(look)),
        }
    }

    fn fed(failures: &[TrailFailure]) -> EventTrail {
        let mut trail = EventTrail::new(0.005, &[]);
        trail.open_epoch(&epoch(0.0, 0.25, false), &[]);
        failures.iter().for_each(|failure| trail.note(*failure));
        trail
    }

    #[test]
    fn the_order_of_delivery_does_not_matter() {
        // Looks are shared, so that their registration depends on the order of the records.
        let failures: Vec<TrailFailure> = (1..30)
            .map(|i| failure(i, u64::from(i), u64::from(i % 3)))
            .collect();
        let backward: Vec<TrailFailure> = failures.iter().rev().copied().collect();
        let twice: Vec<TrailFailure> = [failures.clone(), backward.clone()].concat();
        let forward = fed(&failures);
        assert!(forward.bet().log_e().abs() > 1e-3);
        assert_eq!(forward.bet(), fed(&backward).bet());
        assert_eq!(forward.bet(), fed(&twice).bet());
    }

    #[test]
    fn an_environment_does_not_share_a_look_with_itself() {
        let shared_by = |later: u32| {
            let mut trail = fed(&[failure(5, 1, 7)]);
            trail.open_epoch(&epoch(0.25, 0.6, false), &[]);
            trail.note(failure(later, 2, 7));
            let look = Target::Fingerprint(Fingerprint(7));
            trail.bet().masses().contains_key(&look)
        };
        assert!(shared_by(6));
        assert!(!shared_by(5));
    }

    #[test]
    fn an_earlier_first_failure_takes_the_place_of_a_later_one() {
        let (late, early, other) = (failure(1, 9, 1), failure(1, 2, 2), failure(2, 5, 2));
        assert_eq!(fed(&[other, late, early]).bet(), fed(&[early, other]).bet());
    }

    #[test]
    fn a_restart_forgets_what_came_before_it_and_nothing_else() {
        let (before, after) = (failure(1, 3, 1), failure(2, 7, 2));
        let mut first = fed(&[before]);
        first.restart(5);
        assert!(first.bet().log_e().abs() < 1e-12);
        first.note(after);
        let mut second = fed(&[after, before]);
        second.restart(5);
        assert_eq!(first.bet(), second.bet());
        assert!(first.bet().log_e().abs() > 1e-6);
    }

    #[test]
    fn what_a_person_chose_after_looking_counts_for_the_candidate_only() {
        let failures: Vec<TrailFailure> = (0..20)
            .map(|i| failure(i * 10, 1 + u64::from(i), 1))
            .collect();
        let mut trail = fed(&failures);
        assert!(trail.bet().fires());
        trail.open_epoch(&epoch(0.25, 0.5, true), &[]);
        assert!(trail.bet().log_e().abs() < 1e-9);
    }
}
