//! Environments of both sides over a whole rollout, each once.

use std::collections::{BTreeMap, BTreeSet};

use super::{Cell, Failure, Order, Ordinal, Side, platform_of};
use crate::mixture::Target;
use crate::outcome::{Category, Fingerprint};
use crate::time::Timestamp;

/// Environments of both sides over a whole rollout, each once.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    reported: [BTreeSet<Ordinal>; 2],
    failed: [BTreeMap<Ordinal, FirstFailure>; 2],
}

/// The first failure of an environment on one side.
#[derive(Clone, Copy, Debug)]
struct FirstFailure {
    category: Category,
    /// What was reported of it; nothing of who was silent.
    reported: Option<Failure>,
}

impl Totals {
    /// Takes in what is known of an environment that had the candidate (`exposed`) or the baseline.
    pub fn merge(&mut self, ordinal: Ordinal, exposed: bool, news: &Cell) {
        let side = usize::from(exposed);
        if news.has_reported() || news.silent {
            self.reported[side].insert(ordinal);
        }
        if let Some(category) = news.failure() {
            let reported = news.failed.filter(|_| !news.silent);
            self.failed[side]
                .entry(ordinal)
                .or_insert(FirstFailure { category, reported });
        }
    }

    /// Who failed with the candidate in a way that hits the target, and when. `platforms` are the rollout's,
    /// by slot.
    pub fn hits(&self, target: &Target, platforms: &[String]) -> Vec<(Ordinal, Order)> {
        let is_hit = |failure: &Failure| match target {
            Target::Any | Target::Pair(_) => true,
            Target::Category(category) => failure.category == *category,
            Target::Fingerprint(look) => failure.fingerprint == Some(*look),
            Target::Platform(platform) => {
                platform_of(&failure.traits, platforms) == Some(platform.as_str())
            }
        };
        self.failed[1]
            .iter()
            .filter_map(|(ordinal, first)| Some((*ordinal, first.reported.filter(is_hit)?)))
            .map(|(ordinal, failure)| (ordinal, failure.mark.order))
            .collect()
    }

    /// When a failure was first reported on one side.
    pub fn first_failure_at(&self, exposed: bool) -> Option<Timestamp> {
        let failures = self.failed[usize::from(exposed)].values();
        let marks = failures.filter_map(|first| Some(first.reported?.mark));
        marks.min().map(|mark| mark.at)
    }

    /// What failures looked like on one side, each with its environments, the most frequent first.
    pub fn fingerprints(&self, exposed: bool) -> Vec<(Fingerprint, u32)> {
        let mut counts: BTreeMap<Fingerprint, u32> = BTreeMap::new();
        let looks = self.failed[usize::from(exposed)].values();
        for fingerprint in looks.filter_map(|first| first.reported?.fingerprint) {
            *counts.entry(fingerprint).or_default() += 1;
        }
        let mut counts: Vec<(Fingerprint, u32)> = counts.into_iter().collect();
        counts.sort_by_key(|(_, environments)| std::cmp::Reverse(*environments));
        counts
    }

    /// The counts of one side, on which there are so many environments now; it has had those who reported
    /// on it at the least.
    pub fn side(&self, exposed: bool, environments: u32) -> Side {
        let side = usize::from(exposed);
        let reporting = u32::try_from(self.reported[side].len()).unwrap_or(u32::MAX);
        let mut counts = Side {
            environments: environments.max(reporting),
            reporting,
            ..Side::default()
        };
        for first in self.failed[side].values() {
            counts.add_failure(first.category);
        }
        counts
    }
}
