//! What is known of an epoch: one cell per environment, and the counts that follow from it.
//!
//! Labels (who is exposed) are never stored: they follow from the seed. Draw keys are meant wherever
//! environments are counted: those that share one are one.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::outcome::{Category, Fingerprint, Outcome};
use crate::prediction::STRATA;
use crate::time::Timestamp;
use crate::window_bet::{Reveal, WindowBet};

/// The number of a draw key, given once and for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ordinal(pub u32);

/// The place of a report among all reports: the store's revision of its record, then its index there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Order(u64);

impl Order {
    /// The place of the `index`-th report of the record that was stored at `revision` (below 2⁴⁸).
    pub const fn new(revision: u64, index: u16) -> Self {
        Self((revision << 16) | index as u64)
    }

    /// The place as one number, for storage.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// The place that [`Order::as_u64`] gave.
    pub const fn from_u64(order: u64) -> Self {
        Self(order)
    }
}

/// That something happened, when, and in which place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// Its place.
    pub order: Order,
    /// When the server took it.
    pub at: Timestamp,
}

/// A first failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Its place and time.
    pub mark: Mark,
    /// Its kind.
    pub category: Category,
    /// What it looks like.
    pub fingerprint: Option<Fingerprint>,
    /// Whether the report before it had failed already.
    pub previous_failed: bool,
}

/// What one environment did in one epoch: the first of each, so that repeats and replays change nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    /// First pull of pins.
    pub polled: Option<Mark>,
    /// First announcement of a run.
    pub announced: Option<Mark>,
    /// First passing run.
    pub passed: Option<Mark>,
    /// First failing run.
    pub failed: Option<Failure>,
}

/// What an environment did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It pulled pins.
    Polled,
    /// It told of a run.
    Reported {
        /// What it told.
        outcome: Outcome,
        /// Whether its report before this had failed.
        previous_failed: bool,
    },
}

impl Cell {
    /// The cell after an event alone.
    pub fn of(event: Event, mark: Mark) -> Self {
        let empty = Self::default();
        match event {
            Event::Polled => Self {
                polled: Some(mark),
                ..empty
            },
            Event::Reported {
                outcome: Outcome::Started,
                ..
            } => Self {
                announced: Some(mark),
                ..empty
            },
            Event::Reported {
                outcome: Outcome::Passed,
                ..
            } => Self {
                passed: Some(mark),
                ..empty
            },
            Event::Reported {
                outcome:
                    Outcome::Failed {
                        category,
                        fingerprint,
                    },
                previous_failed,
            } => Self {
                failed: Some(Failure {
                    mark,
                    category,
                    fingerprint,
                    previous_failed,
                }),
                ..empty
            },
        }
    }

    /// Takes in what another copy of the cell knows: of each, the one with the lowest place stays.
    ///
    /// Commutative, associative and idempotent, so copies never conflict.
    pub fn merge(&mut self, other: &Self) {
        keep_first(&mut self.polled, other.polled, |mark| mark.order);
        keep_first(&mut self.announced, other.announced, |mark| mark.order);
        keep_first(&mut self.passed, other.passed, |mark| mark.order);
        keep_first(&mut self.failed, other.failed, |failure| failure.mark.order);
    }

    /// When the environment was first heard of in the epoch.
    pub fn first_heard(&self) -> Option<Timestamp> {
        [
            self.polled,
            self.announced,
            self.passed,
            self.failed.map(|failure| failure.mark),
        ]
        .into_iter()
        .flatten()
        .min()
        .map(|mark| mark.at)
    }

    fn has_reported(&self) -> bool {
        self.announced.is_some() || self.passed.is_some() || self.failed.is_some()
    }
}

fn keep_first<T: Copy>(mine: &mut Option<T>, other: Option<T>, order: impl Fn(&T) -> Order) {
    if let Some(other) = other
        && mine.is_none_or(|mine| order(&other) < order(&mine))
    {
        *mine = Some(other);
    }
}

/// An environment of an epoch's pool, as fixed before the epoch's draw was used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Whose.
    pub ordinal: Ordinal,
    /// The stratum of its own history.
    pub stratum: u8,
    /// Its platform's slot, if it has one.
    pub platform: Option<u8>,
    /// Slots of the other rollouts it is exposed to, as bits.
    pub partners: u32,
}

/// Counts of one side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Side {
    /// Environments of the side.
    pub environments: u32,
    /// Of those, the ones that reported.
    pub reporting: u32,
    /// Of those, the ones that failed.
    pub failed: u32,
    /// Failed environments by the category of their first failure.
    pub by_category: [u32; 5],
}

impl Side {
    /// The share of reporting environments that failed, 0 to 1; `None` if none reported.
    pub fn failed_share(&self) -> Option<f64> {
        (self.reporting > 0).then(|| f64::from(self.failed) / f64::from(self.reporting))
    }

    fn add_failure(&mut self, category: Category) {
        self.failed += 1;
        self.by_category[category.index()] += 1;
    }
}

/// The evidence of one epoch: who is in the pool, what each did, and who was revealed.
#[derive(Clone, Debug)]
pub struct EpochEvidence {
    members: BTreeMap<Ordinal, (Member, bool)>,
    cells: BTreeMap<Ordinal, Cell>,
    revealed: BTreeSet<Ordinal>,
    /// A first call after this opens no window.
    last_opening: Timestamp,
    settled: bool,
    /// By label (control, exposed).
    sides: [Side; 2],
    /// Failed of reporting among revealed control environments, by stratum.
    control: [(u64, u64); STRATA],
}

impl EpochEvidence {
    /// An epoch in which nothing has happened. `members` come with their labels; a first call after
    /// `last_opening` opens no window.
    pub fn new(members: impl IntoIterator<Item = (Member, bool)>, last_opening: Timestamp) -> Self {
        let members: BTreeMap<Ordinal, (Member, bool)> = members
            .into_iter()
            .map(|(member, exposed)| (member.ordinal, (member, exposed)))
            .collect();
        let mut sides = [Side::default(); 2];
        for (_, exposed) in members.values() {
            sides[usize::from(*exposed)].environments += 1;
        }
        Self {
            members,
            cells: BTreeMap::new(),
            revealed: BTreeSet::new(),
            last_opening,
            settled: false,
            sides,
            control: [(0, 0); STRATA],
        }
    }

    /// Takes in what is known of an environment, in the pool or not, and bets on its label if that is its
    /// first failure in the window.
    pub fn merge(&mut self, ordinal: Ordinal, news: &Cell, bet: &mut WindowBet) {
        let cell = self.cells.entry(ordinal).or_default();
        let before = *cell;
        cell.merge(news);
        let after = *cell;
        if let Some((_, exposed)) = self.members.get(&ordinal) {
            let side = &mut self.sides[usize::from(*exposed)];
            side.reporting += u32::from(!before.has_reported() && after.has_reported());
            if let (None, Some(failure)) = (before.failed, after.failed) {
                side.add_failure(failure.category);
            }
        }
        if !self.settled {
            self.reveal(ordinal, false, bet);
        }
    }

    /// An epoch whose windows have ended: what comes in is shown and bet on no more.
    #[must_use]
    pub fn settled(mut self) -> Self {
        self.settled = true;
        self
    }

    /// Ends the windows: environments without a failure are revealed as passing, or as silent where a run
    /// was announced and no outcome came. Nothing is revealed afterwards.
    pub fn settle(&mut self, bet: &mut WindowBet) {
        let members: Vec<Ordinal> = self.members.keys().copied().collect();
        for ordinal in members {
            self.reveal(ordinal, true, bet);
        }
        self.settled = true;
    }

    fn reveal(&mut self, ordinal: Ordinal, ended: bool, bet: &mut WindowBet) {
        let (Some((member, exposed)), Some(cell)) =
            (self.members.get(&ordinal), self.cells.get(&ordinal))
        else {
            return;
        };
        if self.revealed.contains(&ordinal) {
            return;
        }
        let Some(failure) = observed(cell, self.last_opening, ended) else {
            return;
        };
        self.revealed.insert(ordinal);
        let side = &mut self.sides[usize::from(*exposed)];
        if failure == Some(Category::Silent) {
            side.add_failure(Category::Silent);
        }
        if !exposed {
            let (failed, reporting) =
                &mut self.control[usize::from(member.stratum).min(STRATA - 1)];
            *failed += u64::from(failure.is_some());
            *reporting += 1;
        }
        bet.reveal(Reveal {
            stratum: usize::from(member.stratum),
            failure,
            exposed: *exposed,
            platform: None,
            partners: &[],
            count: 1,
        });
    }

    /// The exposed side of the pool.
    pub const fn exposed(&self) -> &Side {
        &self.sides[1]
    }

    /// The side of the pool that has the baseline.
    pub const fn control(&self) -> &Side {
        &self.sides[0]
    }

    /// Environments of the pool that reported, on both sides.
    pub const fn reporting(&self) -> u32 {
        self.sides[0].reporting + self.sides[1].reporting
    }

    /// Failed of reporting among revealed control environments, by stratum.
    pub const fn control_by_stratum(&self) -> &[(u64, u64); STRATA] {
        &self.control
    }

    /// What every environment did that was heard of, in the pool or not.
    pub const fn cells(&self) -> &BTreeMap<Ordinal, Cell> {
        &self.cells
    }
}

/// What a cell says of its environment's window: nothing yet, no failure, or its first failure.
///
/// The window runs from the first call until the end of the epoch; one that would open after `last_opening`
/// does not. A pull alone says nothing.
fn observed(cell: &Cell, last_opening: Timestamp, ended: bool) -> Option<Option<Category>> {
    if cell.first_heard().is_none_or(|heard| heard > last_opening) {
        return None;
    }
    if let Some(failure) = cell.failed {
        return Some(Some(failure.category));
    }
    if !ended {
        return None;
    }
    if cell.passed.is_some() {
        return Some(None);
    }
    cell.announced.map(|_| Some(Category::Silent))
}

/// Environments of both sides over a whole rollout, each once.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    reported: [BTreeSet<Ordinal>; 2],
    failed: [BTreeMap<Ordinal, (Category, Option<Fingerprint>)>; 2],
}

impl Totals {
    /// Takes in what is known of an environment that had the candidate (`exposed`) or the baseline.
    pub fn merge(&mut self, ordinal: Ordinal, exposed: bool, news: &Cell) {
        let side = usize::from(exposed);
        if news.has_reported() {
            self.reported[side].insert(ordinal);
        }
        if let Some(failure) = news.failed {
            self.failed[side]
                .entry(ordinal)
                .or_insert((failure.category, failure.fingerprint));
        }
    }

    /// What failures looked like on one side, each with its environments, the most frequent first.
    pub fn fingerprints(&self, exposed: bool) -> Vec<(Fingerprint, u32)> {
        let mut counts: BTreeMap<Fingerprint, u32> = BTreeMap::new();
        let looks = self.failed[usize::from(exposed)].values();
        for fingerprint in looks.filter_map(|(_, fingerprint)| *fingerprint) {
            *counts.entry(fingerprint).or_default() += 1;
        }
        let mut counts: Vec<(Fingerprint, u32)> = counts.into_iter().collect();
        counts.sort_by_key(|(_, environments)| std::cmp::Reverse(*environments));
        counts
    }

    /// The counts of one side, of so many environments.
    pub fn side(&self, exposed: bool, environments: u32) -> Side {
        let side = usize::from(exposed);
        let mut counts = Side {
            environments,
            reporting: u32::try_from(self.reported[side].len()).unwrap_or(u32::MAX),
            ..Side::default()
        };
        for (category, _) in self.failed[side].values() {
            counts.add_failure(*category);
        }
        counts
    }
}

/// The counts per side that a decision uses, and nothing else.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Environments with the candidate, in the current epoch's pool.
    pub exposed: Side,
    /// Environments with the baseline, in the current epoch's pool.
    pub control: Side,
    /// Environments with the candidate, over the whole rollout.
    pub exposed_total: Side,
    /// Environments with the baseline, over the whole rollout.
    pub control_total: Side,
    /// The natural logarithm of the evidence of harm.
    pub log_e: f64,
    /// The logarithm at which the candidate counts as harmful.
    pub log_threshold: f64,
    /// What most of the evidence is about, such as `any` or `install`.
    pub leading: String,
}

impl Evidence {
    /// Whether the evidence says harmful.
    pub fn is_harmful(&self) -> bool {
        self.log_threshold > 0.0 && self.log_e >= self.log_threshold
    }

    /// Environments of the pool that reported in the epoch, on both sides.
    pub const fn reporting(&self) -> u32 {
        self.exposed.reporting + self.control.reporting
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prediction::Prediction;
    use crate::window_bet::EpochRates;

    const LATE: Timestamp = Timestamp::from_unix_ms(1000);

    fn bet() -> WindowBet {
        let prediction = Prediction::from_history(&[0; 11], &[0; 5]);
        let mut bet = WindowBet::new(0.005, &[]);
        bet.start_epoch(EpochRates {
            rho: 0.1,
            rates: prediction.rates,
            categories: prediction.categories,
        });
        bet
    }

    fn epoch(n: u32) -> EpochEvidence {
        let member = |i| {
            (
                Member {
                    ordinal: Ordinal(i),
                    stratum: 0,
                    platform: None,
                    partners: 0,
                },
                i % 10 == 0,
            )
        };
        EpochEvidence::new((0..n).map(member), LATE)
    }

    fn cell(outcome: Outcome, revision: u64) -> Cell {
        let mark = Mark {
            order: Order::new(revision, 0),
            at: Timestamp::from_unix_ms(revision.cast_signed()),
        };
        Cell::of(
            Event::Reported {
                outcome,
                previous_failed: false,
            },
            mark,
        )
    }

    fn failed() -> Outcome {
        Outcome::Failed {
            category: Category::Test,
            fingerprint: None,
        }
    }

    #[test]
    fn one_environment_that_fails_500_times_moves_the_evidence_once() {
        let (mut epoch, mut bet) = (epoch(20), bet());
        epoch.merge(Ordinal(0), &cell(failed(), 1), &mut bet);
        let once = bet.log_e();
        for revision in 2..500 {
            epoch.merge(Ordinal(0), &cell(failed(), revision), &mut bet);
        }
        assert!(once > 0.0);
        assert!((bet.log_e() - once).abs() < 1e-15);
        assert_eq!(epoch.exposed().failed, 1);
    }

    #[test]
    fn the_order_of_reveals_does_not_matter() {
        let (mut forward, mut first) = (epoch(40), bet());
        let (mut backward, mut second) = (epoch(40), bet());
        for i in 0..40 {
            forward.merge(
                Ordinal(i),
                &cell(
                    if i % 3 == 0 {
                        failed()
                    } else {
                        Outcome::Passed
                    },
                    1,
                ),
                &mut first,
            );
        }
        for i in (0..40).rev() {
            backward.merge(
                Ordinal(i),
                &cell(
                    if i % 3 == 0 {
                        failed()
                    } else {
                        Outcome::Passed
                    },
                    1,
                ),
                &mut second,
            );
        }
        forward.settle(&mut first);
        backward.settle(&mut second);
        assert_eq!(first, second);
        assert!((first.log_e() - second.log_e()).abs() == 0.0);
    }

    #[test]
    fn a_run_that_never_came_back_is_silent_and_a_pull_alone_says_nothing() {
        let (mut epoch, mut bet) = (epoch(20), bet());
        epoch.merge(Ordinal(1), &cell(Outcome::Started, 1), &mut bet);
        let pull = Cell::of(
            Event::Polled,
            Mark {
                order: Order::new(1, 0),
                at: Timestamp::from_unix_ms(1),
            },
        );
        epoch.merge(Ordinal(2), &pull, &mut bet);
        epoch.settle(&mut bet);
        assert_eq!(epoch.control().by_category[Category::Silent.index()], 1);
        assert_eq!(epoch.control_by_stratum()[0], (1, 1));
    }

    #[test]
    fn a_first_call_in_the_last_quarter_opens_no_window() {
        let (mut epoch, mut bet) = (epoch(20), bet());
        epoch.merge(Ordinal(0), &cell(failed(), 1001), &mut bet);
        assert!((bet.log_e()).abs() < 1e-12);
        assert_eq!(epoch.exposed().failed, 1, "it is shown all the same");
    }

    #[test]
    fn nothing_is_revealed_after_the_windows_have_ended() {
        let (mut epoch, mut bet) = (epoch(20), bet());
        epoch.settle(&mut bet);
        epoch.merge(Ordinal(0), &cell(failed(), 1), &mut bet);
        assert!((bet.log_e()).abs() < 1e-12);
    }

    #[test]
    fn copies_of_a_cell_merge_to_the_same_whatever_their_order() {
        let cells = [
            cell(Outcome::Started, 5),
            cell(failed(), 9),
            cell(failed(), 7),
            cell(Outcome::Passed, 6),
        ];
        let merged = |order: &[usize]| {
            order.iter().fold(Cell::default(), |mut all, i| {
                all.merge(&cells[*i]);
                all
            })
        };
        assert_eq!(merged(&[0, 1, 2, 3]), merged(&[3, 2, 1, 0, 2, 1]));
        assert_eq!(
            merged(&[1, 2]).failed.map(|failure| failure.mark.order),
            Some(Order::new(7, 0))
        );
    }
}
