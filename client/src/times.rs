//! Durations and times as people write and read them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// A duration written as `90d`, `8h`, `1h30m` or `45s`; days have 24 hours, weeks 7 days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HumanDuration(pub(crate) Duration);

const UNITS: [(char, u64); 5] = [
    ('w', 604_800),
    ('d', 86_400),
    ('h', 3_600),
    ('m', 60),
    ('s', 1),
];

/// Ten thousand years: what protobuf's durations can say.
const SECONDS_MAX: u64 = 315_576_000_000;

impl FromStr for HumanDuration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refused = || format!("`{text}` is no duration; write it as 90d, 8h, 30m or 1h30m");
        let mut seconds: u64 = 0;
        let mut number = None::<u64>;
        let mut largest = u64::MAX;
        for c in text.chars().filter(|c| *c != ' ') {
            if let Some(digit) = c.to_digit(10) {
                let grown = number.unwrap_or(0).checked_mul(10);
                number = grown.and_then(|n| n.checked_add(u64::from(digit)));
                number.ok_or_else(refused)?;
                continue;
            }
            let (_, unit) = UNITS
                .iter()
                .find(|(name, _)| *name == c)
                .ok_or_else(refused)?;
            // 30m1h is more likely a slip than a wish.
            if *unit >= largest {
                return Err(refused());
            }
            largest = *unit;
            let part = number.take().and_then(|n| n.checked_mul(*unit));
            seconds = part
                .and_then(|part| seconds.checked_add(part))
                .ok_or_else(refused)?;
        }
        let is_whole = number.is_none() && largest != u64::MAX;
        match is_whole && seconds <= SECONDS_MAX {
            true => Ok(Self(Duration::from_secs(seconds))),
            false => Err(refused()),
        }
    }
}

impl fmt::Display for HumanDuration {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.as_secs();
        if rest == 0 {
            return formatter.write_str("0s");
        }
        // Weeks are read, not written: 90d says more than 12w6d.
        for (name, unit) in &UNITS[1..] {
            if rest >= *unit {
                write!(formatter, "{}{name}", rest / unit)?;
                rest %= unit;
            }
        }
        Ok(())
    }
}

impl HumanDuration {
    pub(crate) fn to_wire(self) -> prost_types::Duration {
        prost_types::Duration {
            seconds: i64::try_from(self.0.as_secs()).expect("parsed durations fit"),
            nanos: 0,
        }
    }

    pub(crate) fn of_wire(duration: &prost_types::Duration) -> Self {
        Self(Duration::from_secs(
            u64::try_from(duration.seconds).unwrap_or(0),
        ))
    }
}

pub(crate) fn to_wire_time(time: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: time.as_second(),
        nanos: time.subsec_nanosecond().max(0),
    }
}

/// A time as `2026-11-24 15:04 UTC`; an absent one as `-`.
pub(crate) fn show_time(time: Option<&prost_types::Timestamp>) -> String {
    time.and_then(|time| Timestamp::new(time.seconds, 0).ok())
        .map(|time| {
            time.to_zoned_datetime(TimeZone::UTC)
                .strftime("%Y-%m-%d %H:%M UTC")
                .to_string()
        })
        .unwrap_or_else(|| "-".to_owned())
}

/// How long ago `then` was, in one unit: `3 minutes`, `2 days`.
pub(crate) fn age(then: Timestamp, now: Timestamp) -> String {
    let seconds = u64::try_from(now.as_second() - then.as_second()).unwrap_or(0);
    let (count, unit) = match seconds {
        0..=119 => (seconds, "second"),
        120..=7_199 => (seconds / 60, "minute"),
        7_200..=172_799 => (seconds / 3_600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    match count {
        1 => format!("1 {unit}"),
        count => format!("{count} {unit}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written_alike() {
        for text in ["90d", "8h", "1h30m", "45s", "0s", "2d12h"] {
            let read: HumanDuration = text.parse().expect(text);
            assert_eq!(read.to_string(), text);
        }
        assert_eq!(
            "1w".parse::<HumanDuration>().expect("a week").to_string(),
            "7d"
        );
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in [
            "",
            "1",
            "h",
            "1h2h",
            "30m1h",
            "-1h",
            "1.5h",
            "1y",
            "99999999999999999999s",
            "9999999w",
        ] {
            assert!(text.parse::<HumanDuration>().is_err(), "{text}");
        }
    }

    #[test]
    fn ages_are_told_in_one_unit() {
        let at = |seconds| Timestamp::from_second(seconds).expect("in range");
        assert_eq!(age(at(0), at(1)), "1 second");
        assert_eq!(age(at(0), at(7_199)), "119 minutes");
        assert_eq!(age(at(0), at(7_200)), "2 hours");
        assert_eq!(age(at(0), at(259_200)), "3 days");
        assert_eq!(age(at(5), at(0)), "0 seconds");
    }
}
