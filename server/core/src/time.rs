//! Moments and their arithmetic. Nobody here asks what time it is.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Milliseconds in a day.
pub const DAY_MS: i64 = 86_400_000;

/// A moment, in milliseconds since 1970-01-01T00:00:00Z.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The moment of a text such as `2024-03-05T10:00:00.123Z`; `None`: it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let at: jiff::Timestamp = text.parse().ok()?;
        Some(Self::from_unix_ms(at.as_millisecond()))
    }

    /// The moment `ms` milliseconds after 1970-01-01T00:00:00Z.
    pub const fn from_unix_ms(ms: i64) -> Self {
        Self(ms)
    }

    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub const fn unix_ms(self) -> i64 {
        self.0
    }

    /// Days since 1970-01-01, in UTC.
    pub const fn day(self) -> i64 {
        self.0.div_euclid(DAY_MS)
    }

    /// The moment `by` later; the last representable one where that overflows.
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(duration_ms(by)))
    }

    /// The moment `by` earlier; the first representable one where that overflows.
    pub fn minus(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(duration_ms(by)))
    }

    /// The time from `earlier` until this moment; zero if it is not earlier.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0).max(0).unsigned_abs())
    }
}

fn duration_ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

impl fmt::Display for Timestamp {
    /// For people, in UTC: `2026-11-25 17:00 UTC`, to the second only where that says more.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.div_euclid(1000);
        let form = match seconds.rem_euclid(60) {
            0 => "%Y-%m-%d %H:%M UTC",
            _ => "%Y-%m-%d %H:%M:%S UTC",
        };
        match jiff::Timestamp::from_second(seconds) {
            Ok(time) => write!(f, "{}", time.strftime(form)),
            Err(_) => write!(f, "{} ms after 1970", self.0),
        }
    }
}

/// A length of time for people: its two largest units, such as `1 d 4 h` or `8 min`.
pub fn in_words(duration: Duration) -> String {
    in_units(duration, 2)
}

/// A length of time for people, to the second, such as `1 d 4 h 30 min`.
pub fn in_full(duration: Duration) -> String {
    in_units(duration, 4)
}

/// A length of time in so many units, from the largest that it has.
fn in_units(duration: Duration, count: usize) -> String {
    let seconds = duration.as_secs();
    let units = [
        (seconds / 86_400, "d"),
        (seconds / 3600 % 24, "h"),
        (seconds / 60 % 60, "min"),
        (seconds % 60, "s"),
    ];
    let words: Vec<String> = units
        .iter()
        .skip_while(|(n, _)| *n == 0)
        .take(count)
        .filter(|(n, _)| *n > 0)
        .map(|(n, unit)| format!("{n} {unit}"))
        .collect();
    if words.is_empty() {
        "0 s".to_owned()
    } else {
        words.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_told_to_the_minute_or_to_the_second_where_that_says_more() {
        let told = |ms| Timestamp::from_unix_ms(ms).to_string();
        assert_eq!(told(1_700_000_000_999), "2023-11-14 22:13:20 UTC");
        assert_eq!(told(1_699_999_980_000), "2023-11-14 22:13 UTC");
    }

    #[test]
    fn days_before_1970_count_down() {
        assert_eq!(Timestamp::from_unix_ms(-1).day(), -1);
        assert_eq!(Timestamp::from_unix_ms(DAY_MS).day(), 1);
    }

    #[test]
    fn lengths_are_told_in_their_two_largest_units() {
        assert_eq!(in_words(Duration::from_secs(0)), "0 s");
        assert_eq!(in_words(Duration::from_secs(100_800)), "1 d 4 h");
        assert_eq!(in_words(Duration::from_secs(3600)), "1 h");
        assert_eq!(in_words(Duration::from_secs(86_400 + 59)), "1 d");
        assert_eq!(in_full(Duration::from_secs(91_800)), "1 d 1 h 30 min");
    }
}
