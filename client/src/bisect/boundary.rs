//! Where in the order of the changes failing begins: the posterior, and the trial that tells most about it.

use std::collections::BTreeMap;

use super::rates::{Rates, ln_alike, ln_alike_at_best, ln_bad, ln_good, mean_alike};
use super::{Answer, Counts};

/// How likely it is beforehand that the changes make no difference.
const NO_DIFFERENCE: f64 = 0.25;

/// How likely it is beforehand that the change at the boundary needs others before it.
const JOINT: f64 = 0.1;

/// A trial is worth its run if it tells at least this much, in nats.
const WORTH: f64 = 1e-4;

/// A change other than the likeliest is tried alone if it is the culprit with at least this probability.
const SUSPECT: f64 = 0.05;

/// A trial of this stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Shape {
    /// The first so many changes.
    First(usize),
    /// One change alone, not the first one.
    Alone(usize),
}

/// What is settled about the boundary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Boundary {
    /// This change alone makes the command fail.
    Alone(usize),
    /// This change does, together with others before it.
    Joint(usize),
    /// Within the changes up to this one; more cannot be told.
    UpTo(usize),
    /// The changes make no difference; all trials so far.
    Nowhere(Counts),
}

/// The trials so far and the posterior that follows.
#[derive(Clone, Debug)]
pub(super) struct Posterior {
    changes: usize,
    first: BTreeMap<usize, Counts>,
    alone: BTreeMap<usize, Counts>,
    untestable: Vec<Shape>,
    /// The probability that change `j` is at the boundary and suffices.
    sole: Vec<f64>,
    /// The probability that change `j` is at the boundary and does not suffice.
    joint: Vec<f64>,
    /// The probability that the changes make no difference, at the failure rate that fits best. So a change is
    /// blamed only on evidence against every rate, and wrongly no more often than stated at any (Ville).
    nowhere: f64,
}

impl Posterior {
    /// Nothing tried yet, of at least one change.
    pub(super) fn new(changes: usize) -> Self {
        let mut posterior = Self {
            changes,
            first: BTreeMap::new(),
            alone: BTreeMap::new(),
            untestable: Vec::new(),
            sole: vec![0.0; changes],
            joint: vec![0.0; changes],
            nowhere: NO_DIFFERENCE,
        };
        posterior.weigh();
        posterior
    }

    /// Takes in the answer to a trial.
    pub(super) fn learn(&mut self, shape: Shape, answer: Answer) {
        if answer == Answer::Untestable {
            self.untestable.push(shape);
        } else {
            let counts = match shape {
                Shape::First(count) => self.first.entry(count).or_default(),
                Shape::Alone(change) => self.alone.entry(change).or_default(),
            };
            counts.add(answer);
        }
        self.weigh();
    }

    /// The next trial, or what is settled with at most this chance of error.
    pub(super) fn next(&self, error: f64) -> Result<Shape, Boundary> {
        // Both ends come first: they are what people expect to see, and they tell the flakiness.
        for end in [self.changes, 0] {
            let shape = Shape::First(end);
            if !self.first.contains_key(&end) && !self.untestable.contains(&shape) {
                return Ok(shape);
            }
        }
        if let Some(settled) = self.settled(error) {
            return Err(settled);
        }
        self.most_telling()
            .ok_or_else(|| self.as_far_as_it_goes(error))
    }

    /// Trials of good and of bad configurations, as the likeliest hypothesis has them.
    pub(super) fn counts(&self) -> (Counts, Counts) {
        let (change, is_sole) = self.likeliest();
        let bad = self.bad_counts(change, is_sole);
        (self.all() - bad, bad)
    }

    /// The likeliest change at the boundary and the probability that it is there.
    pub(super) fn leading(&self) -> (usize, f64) {
        let (change, _) = self.likeliest();
        (change, self.sole[change] + self.joint[change])
    }

    fn settled(&self, error: f64) -> Option<Boundary> {
        let enough = 1.0 - error;
        if self.nowhere_at_an_unknown_rate() >= enough {
            return Some(Boundary::Nowhere(self.all()));
        }
        let (change, is_sole) = self.likeliest();
        match is_sole {
            true if self.sole[change] >= enough => Some(Boundary::Alone(change)),
            false if self.joint[change] >= enough => Some(Boundary::Joint(change)),
            _ => None,
        }
    }

    /// The same with the rate integrated out, which does not favour it.
    fn nowhere_at_an_unknown_rate(&self) -> f64 {
        let all = self.all();
        let odds = self.nowhere / (1.0 - self.nowhere);
        let odds = odds * (ln_alike(all) - ln_alike_at_best(all)).exp();
        odds / (1.0 + odds)
    }

    /// What to settle for when no trial tells any more, because some cannot be tested.
    fn as_far_as_it_goes(&self, error: f64) -> Boundary {
        if self.nowhere > 0.5 {
            return Boundary::Nowhere(self.all());
        }
        let mut mass = self.nowhere;
        for change in 0..self.changes {
            mass += self.sole[change] + self.joint[change];
            if mass >= 1.0 - error {
                return Boundary::UpTo(change);
            }
        }
        Boundary::UpTo(self.changes - 1)
    }

    fn likeliest(&self) -> (usize, bool) {
        let mut best = (0, true, f64::NEG_INFINITY);
        for change in 0..self.changes {
            for (is_sole, weight) in [(true, self.sole[change]), (false, self.joint[change])] {
                if weight > best.2 {
                    best = (change, is_sole, weight);
                }
            }
        }
        (best.0, best.1)
    }

    fn most_telling(&self) -> Option<Shape> {
        let (good, bad) = self.counts();
        let channel = Channel {
            rates: Rates::after(good, bad),
            alike: mean_alike(self.all()),
            nowhere: self.nowhere,
        };
        let mut best = (WORTH, None);
        let mut consider = |shape: Shape, bad: f64| {
            let told = channel.told(bad);
            if told > best.0 && !self.untestable.contains(&shape) {
                best = (told, Some(shape));
            }
        };
        let mut bad = 0.0;
        for count in 0..=self.changes {
            consider(Shape::First(count), bad);
            if count < self.changes {
                bad += self.sole[count] + self.joint[count];
            }
        }
        let (likeliest, _) = self.likeliest();
        for change in 1..self.changes {
            if self.sole[change] >= SUSPECT || change == likeliest {
                consider(Shape::Alone(change), self.sole[change]);
            }
        }
        best.1
    }

    fn all(&self) -> Counts {
        let counts = self.first.values().chain(self.alone.values());
        counts.fold(Counts::default(), |sum, counts| sum + *counts)
    }

    fn bad_counts(&self, change: usize, is_sole: bool) -> Counts {
        let above = self.first.range(change + 1..);
        let above = above.fold(Counts::default(), |sum, (_, counts)| sum + *counts);
        match self.alone.get(&change) {
            Some(alone) if is_sole => above + *alone,
            _ => above,
        }
    }

    fn weigh(&mut self) {
        let all = self.all();
        let each = ((1.0 - NO_DIFFERENCE) / self.changes_f64()).ln();
        let weight = |bad: Counts| each + ln_bad(bad) + ln_good(all - bad);
        let mut above = self
            .first
            .range(1..)
            .fold(Counts::default(), |sum, (_, counts)| sum + *counts);
        let mut weight_above = weight(above);
        for change in 0..self.changes {
            // The first change cannot need any before it.
            let joint = if change == 0 { 0.0 } else { JOINT };
            self.joint[change] = joint.ln() + weight_above;
            let without_others = match self.alone.get(&change) {
                Some(alone) => weight(above + *alone),
                None => weight_above,
            };
            self.sole[change] = (1.0 - joint).ln() + without_others;
            if self.untestable.contains(&Shape::Alone(change)) {
                // What cannot stand alone needs others.
                self.joint[change] = weight_above;
                self.sole[change] = f64::NEG_INFINITY;
            }
            // Seen from the next change, the trial of the first `change + 1` is good.
            if let Some(counts) = self.first.get(&(change + 1)) {
                above = above - *counts;
                weight_above = weight(above);
            }
        }
        self.nowhere = NO_DIFFERENCE.ln() + ln_alike_at_best(all);
        self.normalise();
    }

    fn normalise(&mut self) {
        let weights = self.sole.iter().chain(&self.joint);
        let most = weights.copied().fold(self.nowhere, f64::max);
        let mut sum = 0.0;
        let all = self.sole.iter_mut().chain(&mut self.joint);
        for weight in all.chain([&mut self.nowhere]) {
            *weight = (*weight - most).exp();
            sum += *weight;
        }
        let all = self.sole.iter_mut().chain(&mut self.joint);
        for weight in all.chain([&mut self.nowhere]) {
            *weight /= sum;
        }
    }

    fn changes_f64(&self) -> f64 {
        f64::from(u32::try_from(self.changes).unwrap_or(u32::MAX))
    }
}

/// What a trial's result depends on.
struct Channel {
    rates: Rates,
    alike: f64,
    nowhere: f64,
}

impl Channel {
    /// How much a trial tells, in nats, that is bad with this probability (the mutual information of its
    /// result and the hypotheses).
    fn told(&self, bad: f64) -> f64 {
        let bad = bad.clamp(0.0, 1.0 - self.nowhere);
        let good = 1.0 - self.nowhere - bad;
        let Rates {
            good_fails,
            bad_passes,
        } = self.rates;
        let fails = bad * (1.0 - bad_passes) + good * good_fails + self.nowhere * self.alike;
        entropy(fails)
            - bad * entropy(bad_passes)
            - good * entropy(good_fails)
            - self.nowhere * entropy(self.alike)
    }
}

/// The entropy of a coin, in nats.
fn entropy(p: f64) -> f64 {
    let part = |p: f64| if p > 0.0 { -p * p.ln() } else { 0.0 };
    part(p) + part(1.0 - p)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_are_tried_first_and_then_the_middle() {
        let mut posterior = Posterior::new(64);
        let mut tried = Vec::new();
        for answer in [Answer::Failed, Answer::Passed, Answer::Passed] {
            let shape = posterior.next(0.01).expect("a trial");
            tried.push(shape);
            posterior.learn(shape, answer);
        }
        assert_eq!(tried[..2], [Shape::First(64), Shape::First(0)]);
        let Shape::First(middle) = tried[2] else {
            panic!("{tried:?}")
        };
        assert!((24..=40).contains(&middle), "{middle}");
    }

    #[test]
    fn a_command_that_always_fails_is_not_blamed_on_a_change() {
        let mut posterior = Posterior::new(8);
        for _ in 0..100 {
            match posterior.next(0.01) {
                Ok(shape) => posterior.learn(shape, Answer::Failed),
                Err(Boundary::Nowhere(counts)) => {
                    assert!(counts.failed < 20 && counts.passed == 0, "{counts:?}");
                    return;
                }
                Err(other) => panic!("{other:?}"),
            }
        }
        panic!("not settled: {posterior:?}");
    }

    #[test]
    fn a_boundary_behind_untestable_trials_is_told_as_a_range() {
        // Change 3 of 8 is the culprit; the first 2 to 5 cannot be tested, and neither can any alone.
        let mut posterior = Posterior::new(8);
        for _ in 0..100 {
            match posterior.next(0.01) {
                Ok(Shape::First(count @ 2..=5)) => {
                    posterior.learn(Shape::First(count), Answer::Untestable);
                }
                Ok(Shape::First(count)) => {
                    let answer = if count > 3 {
                        Answer::Failed
                    } else {
                        Answer::Passed
                    };
                    posterior.learn(Shape::First(count), answer);
                }
                Ok(alone) => posterior.learn(alone, Answer::Untestable),
                Err(boundary) => {
                    assert_eq!(boundary, Boundary::UpTo(5));
                    return;
                }
            }
        }
        panic!("not settled: {posterior:?}");
    }
}
