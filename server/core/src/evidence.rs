//! What is known of an epoch: one cell per environment, and the counts that follow from it.
//!
//! Labels (who is exposed) are never stored: they follow from the seed. Draw keys are meant wherever
//! environments are counted: those that share one are one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clearance::{self, Clearance};
use crate::draw::Draw;
use crate::guard::AssignmentGuard;
use crate::mixture::Target;
use crate::outcome::{Category, Fingerprint, Outcome, Repeat};
use crate::path::Step as PathStep;
use crate::policy::Policy;
use crate::prediction::STRATA;
use crate::rollout::{Epoch, Fleet};
use crate::time::Timestamp;
use crate::window_bet::{EpochRates, Reveal, WindowBet};

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
    /// What was fixed of the environment when the epoch opened.
    pub traits: Traits,
}

/// What is fixed of an environment when an epoch opens, before its draw is used. Of one that joins later
/// nothing is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traits {
    /// The stratum of its own history.
    pub stratum: u8,
    /// Its platform's slot, if it has one.
    pub platform: Option<u8>,
    /// Slots of the other rollouts it is exposed to, as bits.
    pub partners: u32,
    /// Whether its failing runs are repeated with the baseline.
    pub repeats: bool,
    /// Whether it normally reports on every working day.
    pub regular: bool,
}

/// What one environment did in one epoch: the first of each, so that repeats and replays change nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    /// First pull of pins.
    pub polled: Option<Mark>,
    /// The next pull after it, [`RETURN_MIN`] later at the earliest.
    pub polled_again: Option<Mark>,
    /// First announcement of a run.
    pub announced: Option<Mark>,
    /// First passing run.
    pub passed: Option<Mark>,
    /// First failing run that failed with the baseline too.
    pub dismissed: Option<Mark>,
    /// First failing run that counts.
    pub failed: Option<Failure>,
    /// Whether it was silent when its window ended.
    pub silent: bool,
}

/// A pull sooner after the first says nothing of whether the environment still works.
pub const RETURN_MIN: Duration = Duration::from_secs(3600);

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
    /// The cell after an event alone, of an environment with these traits.
    ///
    /// Whose failing runs are not repeated by plan, its repetitions do not count: who repeats must not
    /// depend on the draw.
    pub fn of(event: Event, mark: Mark, traits: Traits) -> Self {
        let mut cell = Self::default();
        match event {
            Event::Polled => cell.polled = Some(mark),
            Event::Reported {
                outcome,
                previous_failed,
            } => match outcome {
                Outcome::Started => cell.announced = Some(mark),
                Outcome::Passed => cell.passed = Some(mark),
                Outcome::Failed {
                    repeat: Repeat::Failed,
                    ..
                } if traits.repeats => cell.dismissed = Some(mark),
                Outcome::Failed {
                    category,
                    fingerprint,
                    ..
                } => {
                    cell.failed = Some(Failure {
                        mark,
                        category,
                        fingerprint,
                        previous_failed,
                        traits,
                    });
                }
            },
        }
        cell
    }

    /// Takes in what another copy of the cell knows: of each, the one with the lowest place stays.
    ///
    /// Commutative, associative and idempotent, so copies never conflict.
    pub fn merge(&mut self, other: &Self) {
        (self.polled, self.polled_again) = first_two([
            self.polled,
            self.polled_again,
            other.polled,
            other.polled_again,
        ]);
        keep_first(&mut self.announced, other.announced, |mark| mark.order);
        keep_first(&mut self.passed, other.passed, |mark| mark.order);
        keep_first(&mut self.dismissed, other.dismissed, |mark| mark.order);
        keep_first(&mut self.failed, other.failed, |failure| failure.mark.order);
        self.silent |= other.silent;
    }

    /// What was known of it up to the revision, of which every report is taken.
    #[must_use]
    pub fn until(&self, revision: u64) -> Self {
        let last = Order::new(revision, u16::MAX);
        let known = |mark: &Mark| mark.order <= last;
        Self {
            polled: self.polled.filter(known),
            polled_again: self.polled_again.filter(known),
            announced: self.announced.filter(known),
            passed: self.passed.filter(known),
            dismissed: self.dismissed.filter(known),
            failed: self.failed.filter(|failure| known(&failure.mark)),
            silent: self.silent,
        }
    }

    /// When the environment was first heard of in the epoch.
    pub fn first_heard(&self) -> Option<Timestamp> {
        [
            self.polled,
            self.announced,
            self.passed,
            self.dismissed,
            self.failed.map(|failure| failure.mark),
        ]
        .into_iter()
        .flatten()
        .min()
        .map(|mark| mark.at)
    }

    fn has_reported(&self) -> bool {
        self.announced.is_some()
            || self.passed.is_some()
            || self.dismissed.is_some()
            || self.failed.is_some()
    }

    /// The kind of its first failure, silence included.
    fn failure(&self) -> Option<Category> {
        let silent = self.silent.then_some(Category::Silent);
        silent.or(self.failed.map(|failure| failure.category))
    }
}

/// The two marks with the lowest places, each place once.
fn first_two(marks: [Option<Mark>; 4]) -> (Option<Mark>, Option<Mark>) {
    let mut marks: Vec<Mark> = marks.into_iter().flatten().collect();
    marks.sort();
    marks.dedup_by_key(|mark| mark.order);
    let mut marks = marks.into_iter();
    (marks.next(), marks.next())
}

fn keep_first<T: Copy>(mine: &mut Option<T>, other: Option<T>, order: impl Fn(&T) -> Order) {
    if let Some(other) = other
        && mine.is_none_or(|mine| order(&other) < order(&mine))
    {
        *mine = Some(other);
    }
}

/// An environment that is active when an epoch opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Whose.
    pub ordinal: Ordinal,
    /// What is fixed of it.
    pub traits: Traits,
}

/// Counts of one side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Side {
    /// Environments of the side.
    pub environments: u32,
    /// Of those, the ones that reported, or count as silent.
    pub reporting: u32,
    /// Of those, the ones that failed, or count as silent.
    pub failed: u32,
    /// Failed environments by the category of their first failure.
    pub by_category: [u32; 5],
}

impl Side {
    /// The share of reporting environments that failed, 0 to 1; `None` if none reported.
    pub fn failed_share(&self) -> Option<f64> {
        (self.reporting > 0).then(|| f64::from(self.failed) / f64::from(self.reporting))
    }

    /// Takes in that an environment's cell has changed.
    fn change(&mut self, before: &Cell, after: &Cell) {
        let is_known = |cell: &Cell| cell.has_reported() || cell.silent;
        self.reporting += u32::from(!is_known(before) && is_known(after));
        if let (None, Some(category)) = (before.failure(), after.failure()) {
            self.add_failure(category);
        }
    }

    fn add_failure(&mut self, category: Category) {
        self.failed += 1;
        self.by_category[category.index()] += 1;
    }
}

/// What is bet, bounded and tested in windows. Detector E has its own place: see [`crate::event_trail`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Detectors {
    /// Detector W.
    pub windows: WindowBet,
    /// The bounds on the average harm.
    pub clearance: Clearance,
    /// The test of the assignment.
    pub guard: AssignmentGuard,
}

impl Detectors {
    /// Detectors of a rollout in `fleet`, on at most eight platforms.
    pub fn new(policy: &Policy, fleet: &Fleet, platforms: &[&str]) -> Self {
        let variance = fleet.prediction.variance;
        let margin = policy
            .margin
            .unwrap_or_else(|| clearance::margin(fleet.population, variance));
        Self {
            windows: WindowBet::new(policy.alpha, platforms),
            clearance: Clearance::new(margin, variance, policy.beta),
            guard: AssignmentGuard::default(),
        }
    }

    /// Opens an epoch. Where everybody is exposed nothing is left to bet on.
    pub fn open_epoch(&mut self, epoch: &Epoch) {
        let rho = epoch.rho();
        if rho < 1.0 {
            self.windows.start_epoch(EpochRates {
                rho,
                rates: epoch.window_rates(),
                categories: epoch.prediction.categories,
            });
        } else {
            self.windows.end_epoch();
        }
        self.guard.start_epoch(rho);
    }

    /// Ends the windows of an epoch at its planned end. Of doubtful ones nothing counts as harm, and nothing is
    /// excluded by them: who is missing among those who reported is not known.
    fn settle(&mut self, epoch: &Epoch, doubtful: bool) {
        if doubtful {
            self.windows.close_early();
        } else if epoch.step == PathStep::Stage {
            let cells = clearance::cells(&self.windows.counts());
            self.clearance
                .settle(epoch.rho(), &epoch.window_rates(), &cells);
        }
        self.windows.end_epoch();
    }
}

/// Where an environment stood when an epoch opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// It had the candidate before.
    Before,
    /// In the pool, and so labelled.
    Pool { exposed: bool },
}

/// The evidence of one epoch: who is in the pool, what each did, and who was revealed.
#[derive(Clone, Debug)]
pub struct EpochEvidence {
    epoch: Epoch,
    platforms: Vec<String>,
    partners: Vec<String>,
    members: BTreeMap<Ordinal, (Traits, Place)>,
    cells: BTreeMap<Ordinal, Cell>,
    revealed: BTreeSet<Ordinal>,
    settled: bool,
    /// By label (control, exposed).
    sides: [Side; 2],
    /// Failed of reporting among revealed control environments, by stratum.
    control: [(u64, u64); STRATA],
}

impl EpochEvidence {
    /// An epoch in which nothing has happened, of a rollout with these platforms by slot. `members` come
    /// with their draws; those that had the candidate before are not in its pool.
    pub fn new(
        epoch: &Epoch,
        platforms: Vec<String>,
        members: impl IntoIterator<Item = (Member, Draw)>,
    ) -> Self {
        let place = |draw| match epoch.before.exposes(draw) {
            true => Place::Before,
            false => Place::Pool {
                exposed: epoch.share.exposes(draw),
            },
        };
        let members: BTreeMap<Ordinal, (Traits, Place)> = members
            .into_iter()
            .map(|(member, draw)| (member.ordinal, (member.traits, place(draw))))
            .collect();
        let mut sides = [Side::default(); 2];
        for (_, place) in members.values() {
            if let Place::Pool { exposed } = place {
                sides[usize::from(*exposed)].environments += 1;
            }
        }
        Self {
            partners: epoch.partners.iter().map(ToString::to_string).collect(),
            epoch: epoch.clone(),
            platforms,
            members,
            cells: BTreeMap::new(),
            revealed: BTreeSet::new(),
            settled: epoch.settled.is_some(),
            sides,
            control: [(0, 0); STRATA],
        }
    }

    /// What was fixed of an environment when the epoch opened; none if it was not active then.
    pub fn traits(&self, ordinal: Ordinal) -> Option<Traits> {
        self.members.get(&ordinal).map(|(traits, _)| *traits)
    }

    /// Takes in what is known of an environment, in the pool or not, and bets on its label if that is its
    /// first failure in the window.
    pub fn merge(&mut self, ordinal: Ordinal, news: &Cell, detectors: &mut Detectors) {
        let cell = self.cells.entry(ordinal).or_default();
        let before = *cell;
        cell.merge(news);
        let after = *cell;
        if let Some((_, Place::Pool { exposed })) = self.members.get(&ordinal) {
            self.sides[usize::from(*exposed)].change(&before, &after);
            if !self.settled && !before.has_reported() && after.has_reported() {
                detectors.guard.label(*exposed);
            }
        }
        if !self.settled {
            self.reveal(ordinal, None, &mut detectors.windows);
        }
    }

    /// Ends the windows: environments without a failure are revealed as passing, or as silent. Nothing is
    /// revealed afterwards. `doubtful`: those who reported are not those who were drawn. `gone` tells whether an
    /// environment has left, or withdrew its consent. Returns those that were silent; their cells say so from
    /// now on.
    pub fn settle(
        &mut self,
        detectors: &mut Detectors,
        doubtful: bool,
        gone: impl Fn(Ordinal) -> bool,
    ) -> Vec<Ordinal> {
        let members: Vec<Ordinal> = self.members.keys().copied().collect();
        for ordinal in &members {
            self.reveal(*ordinal, Some(gone(*ordinal)), &mut detectors.windows);
        }
        detectors.settle(&self.epoch, doubtful);
        self.settled = true;
        let silent = |ordinal: &Ordinal| self.cells.get(ordinal).is_some_and(|cell| cell.silent);
        members.into_iter().filter(silent).collect()
    }

    /// Reveals an environment if its window says something; `ended` says that the windows have, and
    /// whether it is gone.
    fn reveal(&mut self, ordinal: Ordinal, ended: Option<bool>, bet: &mut WindowBet) {
        let Some((traits, Place::Pool { exposed })) = self.members.get(&ordinal) else {
            return;
        };
        if self.revealed.contains(&ordinal) {
            return;
        }
        let Some(cell) = self.cells.get_mut(&ordinal) else {
            return;
        };
        let Some(failure) = observed(cell, traits, &self.epoch, ended) else {
            return;
        };
        self.revealed.insert(ordinal);
        if failure == Some(Category::Silent) {
            let before = *cell;
            cell.silent = true;
            self.sides[usize::from(*exposed)].change(&before, cell);
        }
        if !exposed {
            let (failed, reporting) =
                &mut self.control[usize::from(traits.stratum).min(STRATA - 1)];
            *failed += u64::from(failure.is_some());
            *reporting += 1;
        }
        bet.reveal(Reveal {
            stratum: usize::from(traits.stratum),
            failure,
            exposed: *exposed,
            platform: platform_of(traits, &self.platforms),
            partners: &partners_of(traits, &self.partners),
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

    /// Environments that were active when the epoch opened: with the baseline, and with the candidate, since
    /// this epoch or before.
    pub fn environments(&self) -> [u32; 2] {
        let before =
            self.members.len() - (self.sides[0].environments + self.sides[1].environments) as usize;
        let before = u32::try_from(before).unwrap_or(u32::MAX);
        [
            self.sides[0].environments,
            self.sides[1].environments + before,
        ]
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

/// The platform in an environment's slot.
pub fn platform_of<'a>(traits: &Traits, platforms: &'a [String]) -> Option<&'a str> {
    let slot = usize::from(traits.platform?);
    platforms.get(slot).map(String::as_str)
}

/// The rollouts in an environment's partner slots.
pub fn partners_of<'a>(traits: &Traits, partners: &'a [String]) -> Vec<&'a str> {
    let slots = partners.iter().enumerate().take(32);
    slots
        .filter(|(slot, _)| traits.partners & 1 << slot != 0)
        .map(|(_, partner)| partner.as_str())
        .collect()
}

/// What a cell says of its environment's window: nothing yet, no failure, or its first failure.
///
/// The window runs from the first call until the end of the epoch; one that would open after the epoch's
/// last opening does not. At its end an environment is silent if it announced a run and told no outcome, if
/// it is gone without having told any, or if it called once, was not heard of again, and normally reports
/// on every working day (a window of the pilot is too short to say that). A call alone says nothing else.
fn observed(
    cell: &Cell,
    traits: &Traits,
    epoch: &Epoch,
    ended: Option<bool>,
) -> Option<Option<Category>> {
    if cell
        .first_heard()
        .is_none_or(|heard| heard > epoch.last_opening)
    {
        return None;
    }
    if let Some(failure) = cell.failed {
        return Some(Some(failure.category));
    }
    let gone = ended?;
    if cell.passed.is_some() || cell.dismissed.is_some() {
        return Some(None);
    }
    let never_came_back =
        traits.regular && cell.polled_again.is_none() && !matches!(epoch.step, PathStep::Pilot(_));
    (cell.announced.is_some() || gone || never_came_back).then_some(Some(Category::Silent))
}

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
    /// Detector W.
    pub windows: Wealth,
    /// Detector E.
    pub events: Wealth,
    /// Where the average harm lies; none before the first epoch.
    pub harm: Option<HarmBounds>,
    /// The natural logarithm of the evidence that labels are not what was drawn.
    pub guard_log_e: f64,
}

/// What a detector has.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Wealth {
    /// The natural logarithm of the evidence of harm.
    pub log_e: f64,
    /// The logarithm at which the candidate counts as harmful; 0: it bets on nothing yet.
    pub log_threshold: f64,
    /// What the evidence is about, if it is about anything.
    pub target: Target,
}

impl Wealth {
    /// Whether the evidence says harmful.
    pub fn is_harmful(&self) -> bool {
        self.log_threshold > 0.0 && self.log_e >= self.log_threshold
    }
}

/// Where the average harm lies, in shares of environments that additionally fail because of the candidate,
/// at the policy's confidence and at every look.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct HarmBounds {
    /// Above this, −1 to 1; −1: no harm is shown.
    pub lower: f64,
    /// Below this, 0 to 1; 1: no harm is excluded.
    pub upper: f64,
    /// What must be excluded before everybody gets the candidate.
    pub margin: f64,
}

impl HarmBounds {
    /// Whether harm at the margin is excluded.
    pub fn is_clear(&self) -> bool {
        self.upper <= self.margin * (1.0 + 1e-9)
    }
}

impl From<&Clearance> for HarmBounds {
    fn from(clearance: &Clearance) -> Self {
        Self {
            lower: clearance.lower(),
            upper: clearance.upper(),
            margin: clearance.margin(),
        }
    }
}

impl Evidence {
    /// Whether a detector says harmful.
    pub fn is_harmful(&self) -> bool {
        self.windows.is_harmful() || self.events.is_harmful()
    }

    /// The detector that is nearest to its threshold, or farthest past it.
    pub fn leading(&self) -> &Wealth {
        let ahead = |wealth: &Wealth| wealth.log_e - wealth.log_threshold;
        if ahead(&self.events) > ahead(&self.windows) {
            &self.events
        } else {
            &self.windows
        }
    }

    /// The detector that tells what is to blame: W where it says harmful, else E if that does.
    pub fn blaming(&self) -> Option<&Wealth> {
        [&self.windows, &self.events]
            .into_iter()
            .find(|wealth| wealth.is_harmful())
    }

    /// Whether harm at the margin is excluded.
    pub fn is_clear(&self) -> bool {
        self.harm.is_some_and(|harm| harm.is_clear())
    }

    /// Environments of the pool that reported in the epoch, on both sides.
    pub const fn reporting(&self) -> u32 {
        self.exposed.reporting + self.control.reporting
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::Share;
    use crate::prediction::Prediction;

    const POOL: u32 = 40;

    /// A tenth of the environments is exposed.
    fn opened(step: PathStep) -> (Epoch, Detectors) {
        let prediction = Prediction::from_history(&[0; 11], &[0; 5]);
        let epoch = Epoch {
            index: 1,
            step,
            before: Share::ZERO,
            share: Share::clamped(0.1),
            since: Timestamp::from_unix_ms(0),
            ends: Timestamp::from_unix_ms(1333),
            last_opening: Timestamp::from_unix_ms(1000),
            folded: 0,
            pool: String::new(),
            settled: None,
            partners: Vec::new(),
            prediction: prediction.clone(),
            rebased: false,
        };
        let fleet = Fleet {
            population: POOL,
            prediction,
        };
        let mut detectors = Detectors::new(&Policy::default(), &fleet, &[]);
        detectors.open_epoch(&epoch);
        (epoch, detectors)
    }

    fn pool_of(epoch: &Epoch, traits: Traits) -> EpochEvidence {
        let member = |i| {
            let draw = if i % 10 == 0 { 0.05 } else { 0.5 };
            let ordinal = Ordinal(i);
            (Member { ordinal, traits }, Draw::clamped(draw))
        };
        EpochEvidence::new(epoch, Vec::new(), (0..POOL).map(member))
    }

    fn pool() -> (EpochEvidence, Detectors) {
        let (epoch, detectors) = opened(PathStep::Stage);
        (pool_of(&epoch, Traits::default()), detectors)
    }

    fn mark(revision: u64) -> Mark {
        Mark {
            order: Order::new(revision, 0),
            at: Timestamp::from_unix_ms(revision.cast_signed()),
        }
    }

    fn cell_of(outcome: Outcome, revision: u64, traits: Traits) -> Cell {
        let event = Event::Reported {
            outcome,
            previous_failed: false,
        };
        Cell::of(event, mark(revision), traits)
    }

    fn cell(outcome: Outcome, revision: u64) -> Cell {
        cell_of(outcome, revision, Traits::default())
    }

    fn pull(revision: u64) -> Cell {
        Cell::of(Event::Polled, mark(revision), Traits::default())
    }

    fn repeated(repeat: Repeat) -> Outcome {
        Outcome::Failed {
            category: Category::Test,
            fingerprint: None,
            repeat,
        }
    }

    fn failed() -> Outcome {
        repeated(Repeat::NotRepeated)
    }

    fn log_e(detectors: &Detectors) -> f64 {
        detectors.windows.log_e()
    }

    fn silent(epoch: &EpochEvidence) -> u32 {
        let silent = |side: &Side| side.by_category[Category::Silent.index()];
        silent(epoch.control()) + silent(epoch.exposed())
    }

    #[test]
    fn one_environment_that_fails_500_times_moves_the_evidence_once() {
        let (mut epoch, mut detectors) = pool();
        epoch.merge(Ordinal(0), &cell(failed(), 1), &mut detectors);
        let once = log_e(&detectors);
        for revision in 2..500 {
            epoch.merge(Ordinal(0), &cell(failed(), revision), &mut detectors);
        }
        assert!(once > 0.0);
        assert!((log_e(&detectors) - once).abs() < 1e-15);
        assert_eq!(epoch.exposed().failed, 1);
    }

    #[test]
    fn the_order_of_reveals_does_not_matter() {
        let (mut forward, mut first) = pool();
        let (mut backward, mut second) = pool();
        let outcome = |i: u32| match i % 3 {
            0 => failed(),
            _ => Outcome::Passed,
        };
        for i in 0..POOL {
            forward.merge(Ordinal(i), &cell(outcome(i), 1), &mut first);
        }
        for i in (0..POOL).rev() {
            backward.merge(Ordinal(i), &cell(outcome(i), 1), &mut second);
        }
        forward.settle(&mut first, false, |_| false);
        backward.settle(&mut second, false, |_| false);
        assert_eq!(first.windows, second.windows);
        assert_eq!(first.clearance, second.clearance);
        assert!((first.guard.log_e() - second.guard.log_e()).abs() < 1e-12);
    }

    #[test]
    fn a_run_that_never_came_back_is_silent_and_a_pull_alone_says_nothing() {
        let (mut epoch, mut detectors) = pool();
        epoch.merge(Ordinal(1), &cell(Outcome::Started, 1), &mut detectors);
        epoch.merge(Ordinal(2), &pull(1), &mut detectors);
        epoch.settle(&mut detectors, false, |_| false);
        assert_eq!(silent(&epoch), 1);
        assert_eq!(epoch.control_by_stratum()[0], (1, 1));
    }

    #[test]
    fn who_normally_reports_daily_is_silent_when_it_is_not_heard_of_after_its_first_pull() {
        let regular = Traits {
            regular: true,
            ..Traits::default()
        };
        for (step, expected) in [(PathStep::Stage, 1), (PathStep::Pilot(1), 0)] {
            let (epoch, mut detectors) = opened(step);
            let mut epoch = pool_of(&epoch, regular);
            epoch.merge(Ordinal(1), &pull(1), &mut detectors);
            epoch.merge(Ordinal(2), &pull(1), &mut detectors);
            epoch.merge(Ordinal(2), &pull(500), &mut detectors);
            epoch.settle(&mut detectors, false, |_| false);
            assert_eq!(silent(&epoch), expected, "{step:?}");
        }
    }

    #[test]
    fn who_leaves_before_it_told_anything_is_silent() {
        let (mut epoch, mut detectors) = pool();
        for ordinal in [1, 2, 3] {
            epoch.merge(Ordinal(ordinal), &pull(1), &mut detectors);
        }
        epoch.merge(Ordinal(2), &cell(Outcome::Passed, 2), &mut detectors);
        epoch.settle(&mut detectors, false, |ordinal| ordinal.0 <= 2);
        assert_eq!(silent(&epoch), 1);
    }

    #[test]
    fn a_failure_whose_repetition_failed_counts_as_a_pass_where_repeating_was_planned() {
        let repeats = Traits {
            repeats: true,
            ..Traits::default()
        };
        let dismissed = |traits| cell_of(repeated(Repeat::Failed), 1, traits);
        assert!(dismissed(repeats).failed.is_none());
        assert!(dismissed(Traits::default()).failed.is_some());
        assert!(
            cell_of(repeated(Repeat::Passed), 1, repeats)
                .failed
                .is_some()
        );
        assert!(cell_of(failed(), 1, repeats).failed.is_some());

        let (mut epoch, mut detectors) = pool();
        epoch.merge(Ordinal(1), &dismissed(repeats), &mut detectors);
        epoch.settle(&mut detectors, false, |_| false);
        assert_eq!(epoch.control_by_stratum()[0], (0, 1));
    }

    #[test]
    fn a_first_call_in_the_last_quarter_opens_no_window() {
        let (mut epoch, mut detectors) = pool();
        epoch.merge(Ordinal(0), &cell(failed(), 1001), &mut detectors);
        assert!(log_e(&detectors).abs() < 1e-12);
        assert_eq!(epoch.exposed().failed, 1, "it is shown all the same");
    }

    #[test]
    fn nothing_is_revealed_after_the_windows_have_ended() {
        let (mut epoch, mut detectors) = pool();
        epoch.settle(&mut detectors, false, |_| false);
        let before = detectors.clone();
        epoch.merge(Ordinal(0), &cell(failed(), 1), &mut detectors);
        assert_eq!(detectors, before);
    }

    #[test]
    fn copies_of_a_cell_merge_to_the_same_whatever_their_order() {
        let cells = [
            cell(Outcome::Started, 5),
            cell(failed(), 9),
            cell(failed(), 7),
            cell(Outcome::Passed, 6),
            pull(3),
            pull(8),
            pull(4),
        ];
        let merged = |order: &[usize]| {
            order.iter().fold(Cell::default(), |mut all, i| {
                all.merge(&cells[*i]);
                all
            })
        };
        let all = merged(&[0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(all, merged(&[6, 5, 3, 2, 1, 0, 2, 4, 6, 1]));
        assert_eq!(all.polled_again, Some(mark(4)));
        assert_eq!(
            merged(&[1, 2]).failed.map(|failure| failure.mark.order),
            Some(Order::new(7, 0))
        );
        assert_eq!(all.until(4).failed, None);
        assert_eq!(all.until(4).polled_again, Some(mark(4)));
    }
}
