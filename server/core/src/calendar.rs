//! When the share may be raised. Rolling back asks no calendar.

use std::time::Duration;

use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// Freezes of one calendar, at most.
pub const FREEZES_MAX: usize = 64;
/// How far ahead an opening is looked for, in days.
const HORIZON_DAYS: usize = 400;

/// Opening hours in a time zone, without the times that are frozen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calendar {
    /// An IANA time zone.
    pub time_zone: String,
    /// Open days, Monday first.
    pub days: [bool; 7],
    /// Minute of the day at which it opens, 0 to 1439.
    pub opens_minute: u16,
    /// Minute of the day at which it closes, above `opens_minute`, at most 1440.
    pub closes_minute: u16,
    /// Times in which it stays closed, at most [`FREEZES_MAX`].
    pub freezes: Vec<Freeze>,
}

/// A time in which it stays closed: from `start` until before `end`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Freeze {
    /// The first moment that is frozen.
    pub start: Timestamp,
    /// The first moment that is no longer frozen.
    pub end: Timestamp,
    /// Why, for people.
    pub reason: String,
}

/// Why a calendar is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCalendar {
    /// The zone is not in the time zone database.
    #[error("`{0}` is no IANA time zone; name one such as `Europe/Berlin` or `UTC`")]
    TimeZone(String),
    /// No day is open.
    #[error("the calendar has no open day; name at least one")]
    NoDays,
    /// The hours are empty or outside the day.
    #[error(
        "opening at minute {opens} and closing at minute {closes} is no time of a day; give 0 <= opening < closing <= 1440"
    )]
    Hours {
        /// As given.
        opens: u16,
        /// As given.
        closes: u16,
    },
    /// A freeze ends before it starts.
    #[error("a freeze ends at {end}, not after its start {start}")]
    Freeze {
        /// As given.
        start: Timestamp,
        /// As given.
        end: Timestamp,
    },
    /// There are more than [`FREEZES_MAX`].
    #[error("{0} freezes are more than the {FREEZES_MAX} that a calendar may have")]
    TooManyFreezes(usize),
}

impl Default for Calendar {
    /// Monday to Friday, 09:00 to 17:00 UTC.
    fn default() -> Self {
        Self {
            time_zone: "UTC".to_owned(),
            days: [true, true, true, true, true, false, false],
            opens_minute: 9 * 60,
            closes_minute: 17 * 60,
            freezes: Vec::new(),
        }
    }
}

impl Calendar {
    /// A calendar that never closes.
    pub fn always() -> Self {
        Self {
            days: [true; 7],
            opens_minute: 0,
            closes_minute: 1440,
            ..Self::default()
        }
    }

    /// Whether every field lies in its range.
    ///
    /// # Errors
    /// The first field that does not.
    pub fn validate(&self) -> Result<(), InvalidCalendar> {
        if TimeZone::get(&self.time_zone).is_err() {
            return Err(InvalidCalendar::TimeZone(self.time_zone.clone()));
        }
        if !self.days.contains(&true) {
            return Err(InvalidCalendar::NoDays);
        }
        if self.opens_minute >= self.closes_minute || self.closes_minute > 1440 {
            return Err(InvalidCalendar::Hours {
                opens: self.opens_minute,
                closes: self.closes_minute,
            });
        }
        if self.freezes.len() > FREEZES_MAX {
            return Err(InvalidCalendar::TooManyFreezes(self.freezes.len()));
        }
        match self
            .freezes
            .iter()
            .find(|freeze| freeze.end <= freeze.start)
        {
            Some(freeze) => Err(InvalidCalendar::Freeze {
                start: freeze.start,
                end: freeze.end,
            }),
            None => Ok(()),
        }
    }

    /// Whether the share may be raised at `at`.
    pub fn is_open(&self, at: Timestamp) -> bool {
        self.openings(at)
            .next()
            .is_some_and(|(start, _)| start <= at)
    }

    /// Whether it is open at some time of a day, counted in UTC from 1970-01-01.
    pub fn is_working_day(&self, day: i64) -> bool {
        let start = Timestamp::from_unix_ms(day * 86_400_000);
        self.is_open(start)
            || self
                .next_opening(start)
                .is_some_and(|opens| opens.day() == day)
    }

    /// The first moment from `at` on at which it is open; `None` if there is none within 400 days.
    pub fn next_opening(&self, at: Timestamp) -> Option<Timestamp> {
        self.openings(at).next().map(|(start, _)| start.max(at))
    }

    /// The moment at which it has been open for `work` since `from`.
    ///
    /// Where it does not open for that long within 400 days, the rest is counted as calendar time.
    pub fn plus_working(&self, from: Timestamp, work: Duration) -> Timestamp {
        let mut left = work;
        let mut reached = from;
        for (start, end) in self.openings(from) {
            let start = start.max(from);
            let open = end.since(start);
            if left <= open {
                return start.plus(left);
            }
            left -= open;
            reached = end;
        }
        reached.plus(left)
    }

    /// Open intervals that end after `from`, in order.
    fn openings(&self, from: Timestamp) -> impl Iterator<Item = (Timestamp, Timestamp)> + '_ {
        let zone = TimeZone::get(&self.time_zone).unwrap_or(TimeZone::UTC);
        let first = jiff::Timestamp::from_millisecond(from.unix_ms())
            .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
            .to_zoned_datetime(zone.clone())
            .date();
        let mut dates =
            std::iter::successors(Some(first), |date| date.tomorrow().ok()).take(HORIZON_DAYS);
        let mut today: std::vec::IntoIter<(Timestamp, Timestamp)> = Vec::new().into_iter();
        std::iter::from_fn(move || {
            loop {
                if let Some(interval) = today.find(|(_, end)| *end > from) {
                    return Some(interval);
                }
                today = self.openings_of(dates.next()?, &zone).into_iter();
            }
        })
    }

    fn openings_of(&self, date: Date, zone: &TimeZone) -> Vec<(Timestamp, Timestamp)> {
        let weekday = usize::from(date.weekday().to_monday_zero_offset().unsigned_abs());
        if !self.days[weekday] {
            return Vec::new();
        }
        let (Some(opens), Some(closes)) = (
            moment(date, self.opens_minute, zone),
            moment(date, self.closes_minute, zone),
        ) else {
            return Vec::new();
        };
        let mut open = vec![(opens, closes)];
        for freeze in &self.freezes {
            open = open
                .into_iter()
                .flat_map(|interval| without(interval, freeze))
                .collect();
        }
        open
    }
}

fn moment(date: Date, minute: u16, zone: &TimeZone) -> Option<Timestamp> {
    let (date, minute) = if minute == 1440 {
        (date.tomorrow().ok()?, 0)
    } else {
        (date, minute)
    };
    let time = Time::new(
        i8::try_from(minute / 60).ok()?,
        i8::try_from(minute % 60).ok()?,
        0,
        0,
    )
    .ok()?;
    let zoned = zone.to_zoned_datetime(date.to_datetime(time)).ok()?;
    Some(Timestamp::from_unix_ms(zoned.timestamp().as_millisecond()))
}

fn without((start, end): (Timestamp, Timestamp), freeze: &Freeze) -> Vec<(Timestamp, Timestamp)> {
    [(start, end.min(freeze.start)), (start.max(freeze.end), end)]
        .into_iter()
        .filter(|(start, end)| start < end)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn at(text: &str) -> Timestamp {
        let time: jiff::Timestamp = text.parse().expect("a test's own time");
        Timestamp::from_unix_ms(time.as_millisecond())
    }

    #[test]
    fn working_time_skips_nights_and_weekends() {
        let calendar = Calendar::default();
        // 2024-03-01 is a Friday.
        let end = calendar.plus_working(at("2024-03-01T15:00:00Z"), 8 * HOUR);
        assert_eq!(end, at("2024-03-04T15:00:00Z"));
    }

    #[test]
    fn it_opens_at_the_first_minute_and_not_at_the_last() {
        let calendar = Calendar::default();
        assert!(calendar.is_open(at("2024-03-01T09:00:00Z")));
        assert!(!calendar.is_open(at("2024-03-01T08:59:59Z")));
        assert!(!calendar.is_open(at("2024-03-01T17:00:00Z")));
        assert_eq!(
            calendar.next_opening(at("2024-03-01T17:00:00Z")),
            Some(at("2024-03-04T09:00:00Z"))
        );
    }

    #[test]
    fn hours_are_those_of_the_zone_also_when_clocks_change() {
        let calendar = Calendar {
            time_zone: "Europe/Berlin".to_owned(),
            ..Calendar::default()
        };
        assert!(calendar.is_open(at("2024-03-29T08:00:00Z")));
        assert!(!calendar.is_open(at("2024-03-29T07:59:00Z")));
        assert!(calendar.is_open(at("2024-04-02T07:00:00Z")));
    }

    #[test]
    fn a_freeze_closes_it() {
        let freeze = Freeze {
            start: at("2024-03-01T10:00:00Z"),
            end: at("2024-03-01T12:00:00Z"),
            reason: String::new(),
        };
        let calendar = Calendar {
            freezes: vec![freeze],
            ..Calendar::default()
        };
        assert!(!calendar.is_open(at("2024-03-01T11:00:00Z")));
        assert_eq!(
            calendar.plus_working(at("2024-03-01T09:00:00Z"), 2 * HOUR),
            at("2024-03-01T13:00:00Z")
        );
    }

    #[test]
    fn a_calendar_that_never_closes_counts_every_hour() {
        let calendar = Calendar::always();
        assert_eq!(
            calendar.plus_working(at("2024-03-02T23:30:00Z"), 30 * HOUR),
            at("2024-03-04T05:30:00Z")
        );
    }

    #[test]
    fn a_calendar_frozen_for_years_still_has_an_end() {
        let freeze = Freeze {
            start: at("2024-01-01T00:00:00Z"),
            end: at("2034-01-01T00:00:00Z"),
            reason: String::new(),
        };
        let calendar = Calendar {
            freezes: vec![freeze],
            ..Calendar::default()
        };
        assert_eq!(calendar.next_opening(at("2024-03-01T09:00:00Z")), None);
        assert!(
            calendar.plus_working(at("2024-03-01T09:00:00Z"), HOUR) > at("2024-03-01T09:00:00Z")
        );
    }

    #[test]
    fn what_is_no_calendar_is_refused() {
        let bad = Calendar {
            time_zone: "Mars/Olympus".to_owned(),
            ..Calendar::default()
        };
        assert_eq!(
            bad.validate(),
            Err(InvalidCalendar::TimeZone("Mars/Olympus".to_owned()))
        );
        let bad = Calendar {
            opens_minute: 600,
            closes_minute: 600,
            ..Calendar::default()
        };
        assert!(bad.validate().is_err());
        assert_eq!(Calendar::always().validate(), Ok(()));
    }
}
