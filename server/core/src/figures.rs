//! Delivery figures of rollouts that have ended: how often versions are released, how long that takes, how often one had
//! to be taken back, and how long until nobody had it any more.
//!
//! After the four keys of Forsgren, Humble and Kim, Accelerate (2018). What is not known counts nowhere, and how often
//! that was is told beside each figure.

pub mod words;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::evidence::Ordinal;
use crate::name::{PinSetName, RolloutId};
use crate::rollout::Rollout;
use crate::state::State;
use crate::time::Timestamp;

/// Environments whose return is waited for by name, at most: they stand in the rollout's record of its end.
pub const WAITING_MAX: usize = 600;
/// How long returns are waited for.
pub const RETURN_MAX: Duration = Duration::from_secs(14 * 86_400);
/// The shortest time over which a frequency is told: with less a single release would look like many.
const WEEK: Duration = Duration::from_secs(7 * 86_400);

/// How a rollout ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// Everybody got it.
    Completed,
    /// It was taken back, and blocked.
    RolledBack,
    /// It was taken back.
    Aborted,
    /// Another took its packages.
    Superseded,
}

/// What the figures need of a rollout that has ended; written with its end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ended {
    /// Which rollout.
    pub rollout: RolloutId,
    /// Its pin set.
    pub pin_set: PinSetName,
    /// Its packages, as written, each once.
    pub packages: Vec<String>,
    /// When its youngest version was published, if that was told.
    pub published_at: Option<Timestamp>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it ended.
    pub ended_at: Timestamp,
    /// How.
    pub ending: Ending,
    /// Whether anybody ever had it.
    pub was_exposed: bool,
    /// The first report of a failure with the candidate, if there was one; unknown of rollouts that ended before this
    /// was kept.
    pub first_failure_at: Option<Timestamp>,
    /// Who had it when it was taken back; none where it was not, or that is not known.
    pub returning: Option<Returning>,
}

/// How those who had a version come back to the baseline.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Returning {
    /// Draw keys that had pulled the candidate.
    pub connected: u32,
    /// Those that have pulled the baseline since.
    pub back: u32,
    /// When the last of them did.
    pub last_back_at: Option<Timestamp>,
    /// Those that have not yet, for as long as they are waited for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiting: Vec<Ordinal>,
    /// Whether nobody is waited for any more.
    pub is_over: bool,
}

impl Returning {
    /// Nobody is back yet. Of more than [`WAITING_MAX`] only the number is known.
    pub fn of(connected: Vec<Ordinal>) -> Self {
        let count = u32::try_from(connected.len()).unwrap_or(u32::MAX);
        let is_over = connected.is_empty() || connected.len() > WAITING_MAX;
        Self {
            connected: count,
            waiting: if is_over { Vec::new() } else { connected },
            is_over,
            ..Self::default()
        }
    }

    /// Takes in that a draw key pulled; whether that is news.
    pub fn note(&mut self, ordinal: Ordinal, at: Timestamp) -> bool {
        let Some(place) = self.waiting.iter().position(|waiting| *waiting == ordinal) else {
            return false;
        };
        self.waiting.swap_remove(place);
        self.back += 1;
        self.last_back_at = self.last_back_at.max(Some(at));
        self.is_over = self.waiting.is_empty();
        true
    }

    /// Waits no longer.
    pub fn give_up(&mut self) {
        self.waiting.clear();
        self.is_over = true;
    }

    /// When the last one was back; none while one is not, or where that is not known. `ended_at`: when it was taken
    /// back, which is what counts where nobody had it.
    fn all_back_at(&self, ended_at: Timestamp) -> Option<Timestamp> {
        match self.connected {
            0 => Some(ended_at),
            connected if connected == self.back => self.last_back_at,
            _ => None,
        }
    }
}

impl Ended {
    /// What follows from a rollout alone; none while it is open.
    pub fn of(rollout: &Rollout) -> Option<Self> {
        let (ending, ended_at) = match &rollout.state {
            State::Completed { at } => (Ending::Completed, *at),
            State::RolledBack { at, .. } => (Ending::RolledBack, *at),
            State::Aborted { at, .. } => (Ending::Aborted, *at),
            State::Superseded { at, .. } => (Ending::Superseded, *at),
            State::Gating
            | State::Baking
            | State::Paused { .. }
            | State::Frozen { .. }
            | State::Inconclusive => return None,
        };
        let changes = rollout.changes.iter();
        let mut packages: Vec<String> = changes
            .map(|change| change.package.written().to_owned())
            .collect();
        packages.dedup();
        Some(Self {
            rollout: rollout.id.clone(),
            pin_set: rollout.pin_set.clone(),
            packages,
            published_at: rollout.published_at,
            created_at: rollout.created_at,
            ended_at,
            ending,
            was_exposed: !rollout.shares.is_empty(),
            first_failure_at: None,
            returning: None,
        })
    }

    /// From the version's publication, else the rollout's creation, until everybody had it.
    pub fn lead_time(&self) -> Option<Duration> {
        (self.ending == Ending::Completed).then(|| {
            let begun = self.published_at.unwrap_or(self.created_at);
            self.ended_at.since(begun.min(self.ended_at))
        })
    }

    /// From the first failure with the candidate until it was decided to take it back.
    pub fn time_to_roll_back(&self) -> Option<Duration> {
        let failed_at = self.first_failure_at?;
        (self.ending == Ending::RolledBack).then(|| self.ended_at.since(failed_at))
    }

    /// From the first failure with the candidate until the last of those who had it was back on the baseline.
    pub fn time_to_restore(&self) -> Option<Duration> {
        let back_at = self.returning.as_ref()?.all_back_at(self.ended_at)?;
        let failed_at = self.first_failure_at?;
        (self.ending == Ending::RolledBack).then(|| back_at.since(failed_at))
    }
}

/// Times of several rollouts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spread {
    /// Half took no longer; none of none.
    pub median: Option<Duration>,
    /// Nine of ten took no longer.
    pub p90: Option<Duration>,
    /// How many are known.
    pub known: u32,
    /// How many are not.
    pub unknown: u32,
}

impl Spread {
    /// The nearest rank of the known ones.
    fn of(times: impl IntoIterator<Item = Option<Duration>>) -> Self {
        let mut spread = Self::default();
        let mut known: Vec<Duration> = Vec::new();
        for time in times {
            match time {
                Some(time) => known.push(time),
                None => spread.unknown += 1,
            }
        }
        known.sort();
        let rank = |share: f64| {
            let place = (share * known.len() as f64).ceil() as usize;
            known.get(place.saturating_sub(1)).copied()
        };
        Self {
            median: rank(0.5),
            p90: rank(0.9),
            known: u32::try_from(known.len()).unwrap_or(u32::MAX),
            ..spread
        }
    }
}

/// Figures of one pin set, one package, or all of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// Rollouts that gave everybody a version.
    pub completed: u32,
    /// Rollouts that were rolled back.
    pub rolled_back: u32,
    /// Rollouts that were aborted.
    pub aborted: u32,
    /// Rollouts that another superseded.
    pub superseded: u32,
    /// Completed ones a week.
    pub per_week: f64,
    /// From publication (else creation) until everybody had it.
    pub lead_time: Spread,
    /// How many of the completed ones have a time of publication.
    pub published: u32,
    /// From the first failure until it was decided to roll back.
    pub time_to_roll_back: Spread,
    /// From the first failure until the last environment was back.
    pub time_to_restore: Spread,
    /// Environments that had a version when it was rolled back, and were not heard of since.
    pub not_back: u32,
    /// Rolled back of those that ended after somebody had them, 0 to 1; none of none.
    pub failure_share: Option<f64>,
}

impl Figures {
    /// The figures of these rollouts, which ended in a time of this length.
    pub fn of<'a>(ended: impl IntoIterator<Item = &'a Ended>, over: Duration) -> Self {
        let ended: Vec<&Ended> = ended.into_iter().collect();
        let with = |ending: Ending| {
            ended
                .iter()
                .copied()
                .filter(move |one| one.ending == ending)
        };
        let count = |ending| u32::try_from(with(ending).count()).unwrap_or(u32::MAX);
        let completed = count(Ending::Completed);
        let rolled_back = || with(Ending::RolledBack).filter(|one| one.was_exposed);
        let exposed = ended.iter().filter(|one| one.was_exposed).count();
        let not_back = |one: &Ended| {
            let returning = one.returning.as_ref();
            returning.map_or(0, |returning| {
                returning.connected - returning.back.min(returning.connected)
            })
        };
        let weeks = over.max(WEEK).as_secs_f64() / WEEK.as_secs_f64();
        Self {
            completed,
            rolled_back: count(Ending::RolledBack),
            aborted: count(Ending::Aborted),
            superseded: count(Ending::Superseded),
            per_week: f64::from(completed) / weeks,
            lead_time: Spread::of(with(Ending::Completed).map(Ended::lead_time)),
            published: u32::try_from(
                with(Ending::Completed)
                    .filter(|one| one.published_at.is_some())
                    .count(),
            )
            .unwrap_or(u32::MAX),
            time_to_roll_back: Spread::of(rolled_back().map(Ended::time_to_roll_back)),
            time_to_restore: Spread::of(rolled_back().map(Ended::time_to_restore)),
            not_back: rolled_back().map(not_back).sum(),
            failure_share: (exposed > 0).then(|| rolled_back().count() as f64 / exposed as f64),
        }
    }
}

/// Figures of a selection, of each of its pin sets and of each of its packages.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Delivery {
    /// Of all.
    pub whole: Figures,
    /// By pin set.
    pub by_pin_set: Vec<(PinSetName, Figures)>,
    /// By package, as it was written last, those with the most rollouts first.
    pub by_package: Vec<(String, Figures)>,
}

impl Delivery {
    /// The figures of these rollouts, which ended in a time of this length; of so many packages at most.
    pub fn of(ended: &[&Ended], over: Duration, packages_max: usize) -> Self {
        let mut by_pin_set: BTreeMap<&PinSetName, Vec<&Ended>> = BTreeMap::new();
        let mut by_package: BTreeMap<&str, Vec<&Ended>> = BTreeMap::new();
        for one in ended.iter().copied() {
            by_pin_set.entry(&one.pin_set).or_default().push(one);
            for package in &one.packages {
                by_package.entry(package).or_default().push(one);
            }
        }
        let mut by_package: Vec<_> = by_package.into_iter().collect();
        by_package.sort_by_key(|(name, ended)| (std::cmp::Reverse(ended.len()), *name));
        by_package.truncate(packages_max);
        let figures = |ended: Vec<&Ended>| Figures::of(ended, over);
        Self {
            whole: Figures::of(ended.iter().copied(), over),
            by_pin_set: by_pin_set
                .into_iter()
                .map(|(name, ended)| (name.clone(), figures(ended)))
                .collect(),
            by_package: by_package
                .into_iter()
                .map(|(name, ended)| (name.to_owned(), figures(ended)))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const BEGUN: Timestamp = Timestamp::from_unix_ms(1_709_640_000_000);

    fn ended(ending: Ending, hours: u32) -> Ended {
        Ended {
            rollout: RolloutId::from_random([1; 8]),
            pin_set: "nova".parse().expect("a name"),
            packages: vec!["requests".to_owned()],
            published_at: None,
            created_at: BEGUN,
            ended_at: BEGUN.plus(HOUR * hours),
            ending,
            was_exposed: true,
            first_failure_at: None,
            returning: None,
        }
    }

    #[test]
    fn lead_times_go_from_publication_where_that_is_known() {
        let mut published = ended(Ending::Completed, 10);
        published.published_at = Some(BEGUN.minus(HOUR * 30));
        let all = [
            published,
            ended(Ending::Completed, 20),
            ended(Ending::Completed, 30),
        ];
        let figures = Figures::of(&all, WEEK * 2);
        assert_eq!(figures.lead_time.median, Some(HOUR * 30));
        assert_eq!(figures.lead_time.p90, Some(HOUR * 40));
        assert_eq!((figures.published, figures.completed), (1, 3));
        assert!((figures.per_week - 1.5).abs() < 1e-12);
        assert_eq!(figures.failure_share, Some(0.0));
    }

    #[test]
    fn restoring_takes_until_the_last_one_is_back_and_is_unknown_before() {
        let mut one = ended(Ending::RolledBack, 5);
        one.first_failure_at = Some(BEGUN.plus(HOUR * 4));
        one.returning = Some(Returning::of(vec![Ordinal(1), Ordinal(2)]));
        let note = |one: &mut Ended, ordinal, hours| {
            let returning = one.returning.as_mut().expect("it waits");
            returning.note(Ordinal(ordinal), BEGUN.plus(HOUR * hours))
        };
        assert!(note(&mut one, 1, 6));
        assert!(!note(&mut one, 1, 7), "once");
        let figures = Figures::of([&one], WEEK);
        assert_eq!(figures.time_to_restore.known, 0);
        assert_eq!((figures.time_to_restore.unknown, figures.not_back), (1, 1));
        assert_eq!(figures.time_to_roll_back.median, Some(HOUR));
        assert!(note(&mut one, 2, 9));
        assert!(
            one.returning
                .as_ref()
                .is_some_and(|returning| returning.is_over)
        );
        assert_eq!(one.time_to_restore(), Some(HOUR * 5));
    }

    #[test]
    fn of_too_many_to_name_it_is_said_that_their_return_is_not_known() {
        let many = (0..=u32::try_from(WAITING_MAX).expect("few"))
            .map(Ordinal)
            .collect();
        let mut one = ended(Ending::RolledBack, 5);
        one.first_failure_at = Some(BEGUN);
        one.returning = Some(Returning::of(many));
        assert_eq!(one.time_to_restore(), None);
        assert_eq!(Figures::of([&one], WEEK).not_back, 601);
    }

    #[test]
    fn what_nobody_ever_had_is_no_failed_change() {
        let mut gated = ended(Ending::Aborted, 1);
        gated.was_exposed = false;
        let all = [
            gated,
            ended(Ending::Completed, 1),
            ended(Ending::RolledBack, 1),
        ];
        let figures = Figures::of(&all, WEEK);
        assert_eq!(figures.failure_share, Some(0.5));
        assert_eq!(figures.time_to_restore.unknown, 1);
        assert_eq!(Figures::of(&[], WEEK).failure_share, None);
    }

    #[test]
    fn figures_are_told_by_pin_set_and_by_package() {
        let mut other = ended(Ending::Completed, 1);
        other.pin_set = "neutron".parse().expect("a name");
        other.packages.push("six".to_owned());
        let (one, two) = (ended(Ending::Completed, 2), ended(Ending::RolledBack, 3));
        let delivery = Delivery::of(&[&one, &two, &other], WEEK, 1);
        let names: Vec<&str> = delivery
            .by_pin_set
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        assert_eq!(names, ["neutron", "nova"]);
        assert_eq!(delivery.by_package.len(), 1);
        assert_eq!(delivery.by_package[0].0, "requests");
        assert_eq!(delivery.whole.completed, 2);
    }
}
