//! What one environment did in one epoch.

use std::time::Duration;

use super::{Mark, Order};
use crate::outcome::{Category, Fingerprint, Outcome, Repeat};
use crate::time::Timestamp;

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

    pub(super) fn has_reported(&self) -> bool {
        self.announced.is_some()
            || self.passed.is_some()
            || self.dismissed.is_some()
            || self.failed.is_some()
    }

    /// The kind of its first failure, silence included.
    pub(super) fn failure(&self) -> Option<Category> {
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
