//! Delivery figures in words, the same in every place in which people read them.

use std::time::Duration;

use super::{Ended, Ending, Figures, Spread};
use crate::time::{Timestamp, in_words};

impl Spread {
    /// `2 d 4 h, 90 % 3 d`: the median, and what nine of ten took at most.
    pub fn in_words(&self) -> String {
        match (self.median, self.p90) {
            (Some(median), Some(p90)) if median != p90 => {
                format!("{}, 90 % {}", in_words(median), in_words(p90))
            }
            (Some(median), _) => in_words(median),
            (None, _) if self.unknown > 0 => "not known".to_owned(),
            (None, _) => "-".to_owned(),
        }
    }
}

impl Figures {
    /// What the figures leave out, in sentences.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let created = self.completed.saturating_sub(self.published);
        if created > 0 {
            notes.push(format!(
                "of {created} of {} completed the time of publication is not known; their lead time begins with the rollout",
                self.completed
            ));
        }
        if self.time_to_restore.unknown > 0 {
            notes.push(format!(
                "of {} rolled back it is not known when the last environment was back, or when it failed first",
                self.time_to_restore.unknown
            ));
        }
        if self.not_back > 0 {
            notes.push(format!(
                "{} environments that had a version when it was rolled back are not known to be back",
                self.not_back
            ));
        }
        if self.aborted + self.superseded > 0 {
            notes.push(format!(
                "{} aborted and {} superseded are no releases",
                self.aborted, self.superseded
            ));
        }
        notes
    }
}

/// Rollouts that ended in one stretch of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stretch {
    /// Those that gave everybody a version.
    pub completed: u32,
    /// Those that were rolled back.
    pub rolled_back: u32,
}

/// Rollouts by when they ended, in stretches of `length` that end at `until`, the oldest first.
pub fn by_time<'a>(
    ended: impl IntoIterator<Item = &'a Ended>,
    until: Timestamp,
    length: Duration,
    count: usize,
) -> Vec<Stretch> {
    let mut stretches = vec![Stretch::default(); count];
    let length_ms = length.as_millis().max(1);
    for one in ended {
        let age = until.since(one.ended_at).as_millis() / length_ms;
        let place = usize::try_from(age).ok().filter(|age| *age < count);
        let Some(stretch) = place.map(|age| &mut stretches[count - 1 - age]) else {
            continue;
        };
        match one.ending {
            Ending::Completed => stretch.completed += 1,
            Ending::RolledBack => stretch.rolled_back += 1,
            Ending::Aborted | Ending::Superseded => {}
        }
    }
    stretches
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::RolloutId;

    #[test]
    fn spreads_are_told_by_what_is_known_of_them() {
        let hours = |hours: u64| Some(Duration::from_secs(hours * 3600));
        let spread = |median, p90, unknown| Spread {
            median,
            p90,
            known: 1,
            unknown,
        };
        assert_eq!(
            spread(hours(2), hours(50), 0).in_words(),
            "2 h, 90 % 2 d 2 h"
        );
        assert_eq!(spread(hours(2), hours(2), 3).in_words(), "2 h");
        assert_eq!(spread(None, None, 3).in_words(), "not known");
        assert_eq!(Spread::default().in_words(), "-");
    }

    #[test]
    fn what_ended_lately_stands_at_the_end_and_what_is_older_nowhere() {
        let until = Timestamp::from_unix_ms(1_709_640_000_000);
        let week = Duration::from_secs(7 * 86_400);
        let ended = |ending, ago: Duration| Ended {
            rollout: RolloutId::from_random([1; 8]),
            pin_set: "nova".parse().expect("a name"),
            packages: Vec::new(),
            published_at: None,
            created_at: until,
            ended_at: until.minus(ago),
            ending,
            was_exposed: true,
            first_failure_at: None,
            returning: None,
        };
        let all = [
            ended(Ending::Completed, Duration::ZERO),
            ended(Ending::RolledBack, week / 2),
            ended(Ending::Aborted, week / 2),
            ended(Ending::Completed, week + week / 2),
            ended(Ending::Completed, week * 9),
        ];
        let stretch = |completed, rolled_back| Stretch {
            completed,
            rolled_back,
        };
        assert_eq!(
            by_time(&all, until, week, 3),
            [stretch(0, 0), stretch(1, 0), stretch(1, 1)]
        );
    }
}
