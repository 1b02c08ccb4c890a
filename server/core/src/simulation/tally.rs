//! What many simulated rollouts came to.

use std::collections::BTreeMap;

use crate::mixture::Target;

use super::{Course, Ending};

/// Courses, counted. Tallies of parts add up to the tally of the whole.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tally {
    complete: u64,
    rolled_back: u64,
    inconclusive: u64,
    frozen: u64,
    open: u64,
    /// Rollouts by the environments they harmed.
    harmed: BTreeMap<u32, u64>,
    /// Rollouts by the hours until everybody had the candidate.
    full_h: BTreeMap<u32, u64>,
    blamed: BTreeMap<Target, u64>,
}

impl Tally {
    /// Counts a course.
    pub fn add(&mut self, course: &Course) {
        let count = match &course.ending {
            Ending::Complete => &mut self.complete,
            Ending::RolledBack { blamed } => {
                *self.blamed.entry(blamed.clone()).or_default() += 1;
                &mut self.rolled_back
            }
            Ending::Inconclusive => &mut self.inconclusive,
            Ending::Frozen => &mut self.frozen,
            Ending::Open => &mut self.open,
        };
        *count += 1;
        *self.harmed.entry(course.harmed).or_default() += 1;
        if let Some(hours) = course.full_h {
            *self.full_h.entry(hours).or_default() += 1;
        }
    }

    /// Counts what another tally has counted.
    pub fn merge(&mut self, other: &Self) {
        let Self {
            complete,
            rolled_back,
            inconclusive,
            frozen,
            open,
            harmed,
            full_h,
            blamed,
        } = other;
        self.complete += complete;
        self.rolled_back += rolled_back;
        self.inconclusive += inconclusive;
        self.frozen += frozen;
        self.open += open;
        add_all(&mut self.harmed, harmed);
        add_all(&mut self.full_h, full_h);
        add_all(&mut self.blamed, blamed);
    }

    /// The rollouts.
    pub const fn total(&self) -> u64 {
        self.complete + self.rolled_back + self.inconclusive + self.frozen + self.open
    }

    /// The part of the rollouts in which everybody got the candidate, 0 to 1.
    pub fn complete(&self) -> f64 {
        self.part(self.complete)
    }

    /// The part that was rolled back, 0 to 1.
    pub fn rolled_back(&self) -> f64 {
        self.part(self.rolled_back)
    }

    /// The part that waits for a person, 0 to 1: harm above the margin is not excluded, the guard stopped
    /// it, or it is under way still.
    pub fn waiting(&self) -> f64 {
        self.part(self.inconclusive + self.frozen + self.open)
    }

    /// The part that the guard stopped, 0 to 1.
    pub fn frozen(&self) -> f64 {
        self.part(self.frozen)
    }

    fn part(&self, count: u64) -> f64 {
        count as f64 / self.total().max(1) as f64
    }

    /// The environments harmed in this part of the rollouts at most: 0.5 for the median, 0.9 ...
    pub fn harmed(&self, part: f64) -> Option<u32> {
        quantile(&self.harmed, part)
    }

    /// The same for the hours until everybody had the candidate, of those that came so far.
    pub fn full_h(&self, part: f64) -> Option<u32> {
        quantile(&self.full_h, part)
    }

    /// Rollouts by what was blamed.
    pub const fn blamed(&self) -> &BTreeMap<Target, u64> {
        &self.blamed
    }
}

fn add_all<K: Clone + Ord>(counts: &mut BTreeMap<K, u64>, others: &BTreeMap<K, u64>) {
    for (key, count) in others {
        *counts.entry(key.clone()).or_default() += count;
    }
}

/// The smallest value that at least this part does not exceed.
fn quantile(counts: &BTreeMap<u32, u64>, part: f64) -> Option<u32> {
    let total: u64 = counts.values().sum();
    let mut so_far = 0;
    counts
        .iter()
        .find(|(_, count)| {
            so_far += **count;
            so_far as f64 >= part * total as f64
        })
        .map(|(value, _)| *value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn course(harmed: u32) -> Course {
        Course {
            ending: Ending::Complete,
            full_h: Some(40),
            harmed,
            share_peak: 1.0,
        }
    }

    #[test]
    fn quantiles_are_values_that_occurred() {
        let mut tally = Tally::default();
        assert_eq!(tally.harmed(0.5), None);
        for harmed in 1..=10 {
            tally.add(&course(harmed));
        }
        assert_eq!(tally.harmed(0.5), Some(5));
        assert_eq!(tally.harmed(0.9), Some(9));
        assert_eq!(tally.harmed(1.0), Some(10));
        assert_eq!(tally.full_h(0.5), Some(40));
    }

    #[test]
    fn parts_add_up_to_the_whole() {
        let (mut whole, mut parts) = (Tally::default(), [Tally::default(), Tally::default()]);
        for harmed in 0..7 {
            whole.add(&course(harmed));
            parts[harmed as usize % 2].add(&course(harmed));
        }
        let [mut one, other] = parts;
        one.merge(&other);
        assert_eq!(one, whole);
        assert_eq!(one.total(), 7);
    }
}
