//! When the share may be raised. Rolling back asks no calendar.

use std::time::Duration;

use jiff::civil::{Date, Time};
use jiff::tz::{AmbiguousOffset, TimeZone};
use serde::{Deserialize, Serialize};

use crate::state::Actor;
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
    /// Days on which it opens, Monday first.
    pub days: [bool; 7],
    /// Minute of the day at which it opens, 0 to 1439.
    pub opens_minute: u16,
    /// Minute of the day at which it closes, at most 1440; below `opens_minute` it is one of the day after.
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
    /// The hours are empty, or minutes of no day.
    #[error(
        "opening at minute {opens} and closing at minute {closes} is no time of a day; give minutes of 0 to 1440 that differ, the opening below 1440"
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

impl InvalidCalendar {
    /// Which field is refused.
    pub const fn field(&self) -> &'static str {
        match self {
            Self::TimeZone(_) => "time_zone",
            Self::NoDays => "days",
            Self::Hours { .. } => "closes",
            Self::Freeze { .. } | Self::TooManyFreezes(_) => "freezes",
        }
    }
}

/// A freeze that somebody set at once, of a whole pin set: no share is raised until it is taken away or has ended.
/// Stopping is not delayed by it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StandingFreeze {
    /// Since when.
    pub since: Timestamp,
    /// The first moment that is no longer frozen; none: until somebody takes it away.
    pub until: Option<Timestamp>,
    /// By whom.
    pub by: Actor,
    /// Why, for people.
    pub reason: String,
}

impl StandingFreeze {
    /// Whether it holds.
    pub fn holds(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }
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
        let is_a_time = self.opens_minute < 1440 && self.closes_minute <= 1440;
        if !is_a_time || self.opens_minute == self.closes_minute {
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
        // What opened the day before may still be open.
        let first = first.yesterday().unwrap_or(first);
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
        let closes_on = match self.closes_minute < self.opens_minute {
            true => date.tomorrow().ok(),
            false => Some(date),
        };
        let closes = closes_on.and_then(|date| moment(date, self.closes_minute, zone));
        let (Some(opens), Some(closes)) = (moment(date, self.opens_minute, zone), closes) else {
            return Vec::new();
        };
        // Hours that the clock leaves out are none.
        let mut open = Vec::from_iter((opens < closes).then_some((opens, closes)));
        for freeze in &self.freezes {
            open = open
                .into_iter()
                .flat_map(|interval| without(interval, freeze))
                .collect();
        }
        open
    }
}

/// The first moment at which the clock of a zone shows a minute of a day, or a later one where it leaves that out.
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
    let shown = zone.to_ambiguous_timestamp(date.to_datetime(time));
    let is_left_out = matches!(shown.offset(), AmbiguousOffset::Gap { .. });
    let earlier = shown.earlier().ok()?;
    let first = match is_left_out {
        true => zone.following(earlier).next()?.timestamp(),
        false => earlier,
    };
    Some(Timestamp::from_unix_ms(first.as_millisecond()))
}

fn without((start, end): (Timestamp, Timestamp), freeze: &Freeze) -> Vec<(Timestamp, Timestamp)> {
    [(start, end.min(freeze.start)), (start.max(freeze.end), end)]
        .into_iter()
        .filter(|(start, end)| start < end)
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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

    #[test]
    fn a_night_belongs_to_the_day_on_which_it_opens() {
        let nights = Calendar {
            opens_minute: 22 * 60,
            closes_minute: 6 * 60,
            ..Calendar::default()
        };
        assert_eq!(nights.validate(), Ok(()));
        // From Friday to Saturday, and from Sunday to Monday.
        assert!(nights.is_open(at("2024-03-02T05:59:00Z")));
        assert!(!nights.is_open(at("2024-03-02T06:00:00Z")));
        assert!(!nights.is_open(at("2024-03-02T23:00:00Z")));
        assert!(!nights.is_open(at("2024-03-04T05:00:00Z")));
        assert_eq!(
            nights.plus_working(at("2024-03-02T05:00:00Z"), 2 * HOUR),
            at("2024-03-04T23:00:00Z")
        );
    }

    #[test]
    fn hours_that_the_clock_leaves_out_are_none() {
        // On 2024-03-31 clocks in Berlin go from 02:00 to 03:00.
        let early = |opens_minute, closes_minute| Calendar {
            time_zone: "Europe/Berlin".to_owned(),
            days: [true; 7],
            opens_minute,
            closes_minute,
            freezes: Vec::new(),
        };
        let next = |calendar: &Calendar| calendar.next_opening(at("2024-03-30T12:00:00Z"));
        assert_eq!(next(&early(150, 195)), Some(at("2024-03-31T01:00:00Z")));
        assert_eq!(next(&early(130, 150)), Some(at("2024-04-01T00:10:00Z")));
        let whole = early(0, 1440);
        assert_eq!(
            whole.plus_working(at("2024-03-30T23:00:00Z"), 23 * HOUR),
            at("2024-03-31T22:00:00Z")
        );
    }

    #[test]
    fn a_standing_freeze_holds_until_its_end() {
        let freeze = |until| StandingFreeze {
            since: at("2024-03-01T10:00:00Z"),
            until,
            by: Actor::Controller,
            reason: String::new(),
        };
        let noon = at("2024-03-01T12:00:00Z");
        assert!(freeze(None).holds(noon) && !freeze(Some(noon)).holds(noon));
    }

    /// The first quarter of an hour, counted from two days before, at which a zone's clock shows the time or a later one.
    fn first_showing(zone: &TimeZone, shown: jiff::civil::DateTime) -> i64 {
        let utc = TimeZone::UTC.to_timestamp(shown).expect("in range");
        let start = utc.as_second() - 2 * 86_400;
        let shows = |second: &i64| {
            let time = jiff::Timestamp::from_second(*second).expect("in range");
            zone.to_datetime(time) >= shown
        };
        let mut quarters = (0..5 * 96).map(|n| start + n * 900);
        quarters.find(shows).expect("shown within days")
    }

    /// Whether a calendar is open, by what clocks show, quarter by quarter.
    fn is_open_slowly(calendar: &Calendar, at: Timestamp) -> bool {
        let zone = TimeZone::get(&calendar.time_zone).expect("a zone");
        let now = jiff::Timestamp::from_millisecond(at.unix_ms()).expect("in range");
        let today = zone.to_datetime(now).date();
        let is_frozen = calendar
            .freezes
            .iter()
            .any(|freeze| freeze.start <= at && at < freeze.end);
        let opened_on = |date: Date| {
            let weekday = usize::from(date.weekday().to_monday_zero_offset().unsigned_abs());
            let on = |minute: u16, date: Date| {
                let span = jiff::Span::new().minutes(minute);
                first_showing(&zone, date.at(0, 0, 0, 0).saturating_add(span))
            };
            let closes_on = match calendar.closes_minute < calendar.opens_minute {
                true => date.tomorrow().expect("in range"),
                false => date,
            };
            calendar.days[weekday]
                && on(calendar.opens_minute, date) <= now.as_second()
                && now.as_second() < on(calendar.closes_minute, closes_on)
        };
        !is_frozen && (opened_on(today) || opened_on(today.yesterday().expect("in range")))
    }

    fn any_calendar() -> impl Strategy<Value = Calendar> {
        let zones = prop::sample::select(vec![
            "UTC",
            "Europe/Berlin",
            "America/New_York",
            "Australia/Lord_Howe",
            "Asia/Kathmandu",
            "Africa/Casablanca",
            "Pacific/Apia",
        ]);
        let days = prop::array::uniform7(any::<bool>());
        let minutes = (0u16..96, 0u16..=96).prop_map(|(opens, closes)| (opens * 15, closes * 15));
        let freeze = (0i64..40 * 96, 1i64..3 * 96);
        (zones, days, minutes, freeze).prop_map(|(zone, mut days, (opens, closes), freeze)| {
            days[2] = true;
            let start = AROUND + freeze.0 * QUARTER_MS;
            Calendar {
                time_zone: zone.to_owned(),
                days,
                opens_minute: opens,
                closes_minute: if opens == closes { 1440 } else { closes },
                freezes: vec![Freeze {
                    start: Timestamp::from_unix_ms(start),
                    end: Timestamp::from_unix_ms(start + freeze.1 * QUARTER_MS),
                    reason: String::new(),
                }],
            }
        })
    }

    /// 2024-03-05, 00:00 UTC: within forty days clocks change in America, Europe, Africa and Australia.
    const AROUND: i64 = 1_709_596_800_000;
    const QUARTER_MS: i64 = 15 * 60_000;

    fn quarter(n: i64) -> Timestamp {
        Timestamp::from_unix_ms(AROUND + n * QUARTER_MS)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn it_is_open_when_clocks_say_so(calendar in any_calendar(), n in 0i64..40 * 96) {
            prop_assert_eq!(calendar.validate(), Ok(()));
            let at = quarter(n);
            prop_assert_eq!(calendar.is_open(at), is_open_slowly(&calendar, at));
            let opens = calendar.next_opening(at).expect("it opens on Wednesdays");
            prop_assert!(opens >= at && calendar.is_open(opens));
            prop_assert!(!calendar.is_open(opens.minus(Duration::from_millis(1))) || opens == at);
        }

        #[test]
        fn working_time_is_the_time_in_which_it_is_open(calendar in any_calendar(), n in 0i64..40 * 96, work in 1u32..16) {
            let from = quarter(n);
            let work = Duration::from_secs(900) * work;
            let end = calendar.plus_working(from, work);
            let until = n + (end.unix_ms() - from.unix_ms()) / QUARTER_MS;
            let open = (n..until).filter(|n| calendar.is_open(quarter(*n))).count();
            prop_assert_eq!(open as u64 * 900, work.as_secs());
            let halves = calendar.plus_working(calendar.plus_working(from, work / 2), work / 2);
            prop_assert_eq!(halves, end, "it adds up");
        }
    }
}
