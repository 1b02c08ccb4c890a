//! A pin set's policy as a TOML file: the proto's names, durations and times as people write them.

use std::path::Path;

use pinion_client::v1;
use serde::Deserialize;
use serde::de::{self, Deserializer};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::times::{HumanDuration, to_wire_time};

/// Reads a policy; what the file leaves out stays out, and takes the server's default.
pub(crate) fn read_policy(path: &Path) -> Result<v1::Policy, Failure> {
    let text =
        std::fs::read_to_string(path).map_err(|cause| Failure::file("read", path, &cause))?;
    parse(&text).map_err(|error| {
        let sentence = format!(
            "`{}` is no policy: {}",
            path.display(),
            error.to_string().trim_end()
        );
        Failure::new(Exit::Invalid, sentence)
    })
}

fn parse(text: &str) -> Result<v1::Policy, toml::de::Error> {
    toml::from_str::<PolicyFile>(text).map(PolicyFile::into_wire)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyFile {
    #[serde(default)]
    stages: Vec<f64>,
    pilot: Option<bool>,
    #[serde(default, deserialize_with = "duration")]
    pilot_bake: Option<HumanDuration>,
    #[serde(default, deserialize_with = "duration")]
    bake: Option<HumanDuration>,
    alpha: Option<f64>,
    beta: Option<f64>,
    margin: Option<f64>,
    minimum_environments: Option<u32>,
    #[serde(default, deserialize_with = "duration")]
    minimum_age: Option<HumanDuration>,
    #[serde(default)]
    gates: Vec<String>,
    #[serde(default, deserialize_with = "duration")]
    gate_timeout: Option<HumanDuration>,
    gate_runs: Option<u32>,
    on_harm: Option<OnHarm>,
    on_inconclusive: Option<OnInconclusive>,
    #[serde(default)]
    repeat_failures: bool,
    overlap: Option<Overlap>,
    open_rollouts_max: Option<u32>,
    calendar: Option<CalendarFile>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum OnHarm {
    RollBack,
    Pause,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum OnInconclusive {
    Wait,
    Complete,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Overlap {
    Refuse,
    Supersede,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CalendarFile {
    #[serde(default)]
    time_zone: String,
    #[serde(default)]
    days: Vec<Day>,
    #[serde(default, deserialize_with = "minute_of_day")]
    opens: Option<u32>,
    #[serde(default, deserialize_with = "minute_of_day")]
    closes: Option<u32>,
    #[serde(default)]
    freezes: Vec<FreezeFile>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Day {
    Mon = 1,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FreezeFile {
    #[serde(deserialize_with = "moment")]
    start: jiff::Timestamp,
    #[serde(deserialize_with = "moment")]
    end: jiff::Timestamp,
    #[serde(default)]
    reason: String,
}

impl PolicyFile {
    fn into_wire(self) -> v1::Policy {
        let on_harm = match self.on_harm {
            None => v1::OnHarm::Unspecified,
            Some(OnHarm::RollBack) => v1::OnHarm::RollBack,
            Some(OnHarm::Pause) => v1::OnHarm::Pause,
        };
        let on_inconclusive = match self.on_inconclusive {
            None => v1::OnInconclusive::Unspecified,
            Some(OnInconclusive::Wait) => v1::OnInconclusive::Wait,
            Some(OnInconclusive::Complete) => v1::OnInconclusive::Complete,
        };
        let overlap = match self.overlap {
            None => v1::Overlap::Unspecified,
            Some(Overlap::Refuse) => v1::Overlap::Refuse,
            Some(Overlap::Supersede) => v1::Overlap::Supersede,
        };
        v1::Policy {
            stages: self.stages,
            pilot: self.pilot,
            pilot_bake: self.pilot_bake.map(HumanDuration::to_wire),
            bake: self.bake.map(HumanDuration::to_wire),
            alpha: self.alpha,
            minimum_environments: self.minimum_environments,
            minimum_age: self.minimum_age.map(HumanDuration::to_wire),
            on_harm: on_harm.into(),
            overlap: overlap.into(),
            open_rollouts_max: self.open_rollouts_max,
            calendar: self.calendar.map(CalendarFile::into_wire),
            beta: self.beta,
            margin: self.margin,
            on_inconclusive: on_inconclusive.into(),
            repeat_failures: self.repeat_failures,
            gates: self.gates,
            gate_timeout: self.gate_timeout.map(HumanDuration::to_wire),
            gate_runs: self.gate_runs,
        }
    }
}

impl CalendarFile {
    fn into_wire(self) -> v1::Calendar {
        let freeze = |freeze: FreezeFile| v1::Freeze {
            start_time: Some(to_wire_time(freeze.start)),
            end_time: Some(to_wire_time(freeze.end)),
            reason: freeze.reason,
        };
        v1::Calendar {
            time_zone: self.time_zone,
            days: self.days.into_iter().map(|day| day as u32).collect(),
            opens_minute: self.opens,
            closes_minute: self.closes,
            freezes: self.freezes.into_iter().map(freeze).collect(),
        }
    }
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<HumanDuration>, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map(Some).map_err(de::Error::custom)
}

fn minute_of_day<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let two_digits = |part: &str| {
        (part.len() == 2)
            .then(|| part.parse::<u32>().ok())
            .flatten()
    };
    let parts = text
        .split_once(':')
        .and_then(|(h, m)| Some((two_digits(h)?, two_digits(m)?)));
    match parts {
        Some((hour @ 0..=23, minute @ 0..=59)) => Ok(Some(hour * 60 + minute)),
        Some((24, 0)) => Ok(Some(24 * 60)),
        _ => Err(de::Error::custom(format!(
            "`{text}` is no time of day; write it as 09:00"
        ))),
    }
}

fn moment<'de, D: Deserializer<'de>>(deserializer: D) -> Result<jiff::Timestamp, D::Error> {
    let text = match toml::Value::deserialize(deserializer)? {
        toml::Value::Datetime(datetime) => datetime.to_string(),
        toml::Value::String(text) => text,
        other => other.to_string(),
    };
    text.parse().map_err(|_| {
        let problem =
            format!("`{text}` is no moment; write it with its offset, as 2026-12-20T00:00:00Z");
        de::Error::custom(problem)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_policy_is_read_as_written() {
        let policy = parse(
            r#"
            stages = [0.01, 0.1, 0.5]
            pilot = false
            pilot_bake = "30m"
            bake = "8h"
            alpha = 0.01
            minimum_environments = 3
            minimum_age = "2d"
            gates = ["nova", "neutron"]
            gate_timeout = "90m"
            gate_runs = 5
            on_harm = "pause"
            overlap = "supersede"
            open_rollouts_max = 5

            [calendar]
            time_zone = "Europe/Berlin"
            days = ["mon", "sun"]
            opens = "09:30"
            closes = "24:00"

            [[calendar.freezes]]
            start = 2026-12-20T00:00:00Z
            end = "2027-01-04T00:00:00+01:00"
            reason = "holidays"
            "#,
        )
        .expect("a policy");
        assert_eq!(policy.stages, [0.01, 0.1, 0.5]);
        assert_eq!(policy.pilot, Some(false));
        assert_eq!(policy.pilot_bake.map(|d| d.seconds), Some(1_800));
        assert_eq!(policy.minimum_age.map(|d| d.seconds), Some(172_800));
        assert_eq!(policy.gates, ["nova", "neutron"]);
        assert_eq!(policy.gate_timeout.map(|d| d.seconds), Some(5_400));
        assert_eq!(policy.gate_runs, Some(5));
        assert_eq!(policy.on_harm(), v1::OnHarm::Pause);
        assert_eq!(policy.overlap(), v1::Overlap::Supersede);
        let calendar = policy.calendar.expect("a calendar");
        assert_eq!(calendar.days, [1, 7]);
        assert_eq!(
            (calendar.opens_minute, calendar.closes_minute),
            (Some(570), Some(1_440))
        );
        let freeze = &calendar.freezes[0];
        let seconds =
            |time: &Option<prost_types::Timestamp>| time.as_ref().map(|time| time.seconds);
        assert_eq!(seconds(&freeze.start_time), Some(1_797_724_800));
        assert_eq!(seconds(&freeze.end_time), Some(1_799_017_200));
    }

    #[test]
    fn the_policy_in_the_readme_is_one() {
        let readme = include_str!("../README.md");
        let example = readme
            .split("```toml")
            .nth(1)
            .and_then(|rest| rest.split("```").next());
        let policy = parse(example.expect("an example")).expect("a policy");
        assert!(
            policy.alpha.is_some()
                && policy
                    .calendar
                    .is_some_and(|calendar| !calendar.freezes.is_empty())
        );
    }

    #[test]
    fn an_empty_policy_leaves_everything_to_the_server() {
        assert_eq!(parse("").expect("a policy"), v1::Policy::default());
    }

    #[test]
    fn a_mistake_is_told_with_its_line_and_column() {
        for (text, line, words) in [
            ("alpha = 0.01\nbakes = \"8h\"", 2, "unknown field `bakes`"),
            ("\nbake = \"8 hours\"", 2, "no duration"),
            ("[calendar]\n\nopens = \"9\"", 3, "no time of day"),
            ("on_harm = \"explode\"", 1, "unknown variant `explode`"),
            (
                "[[calendar.freezes]]\nstart = 2026-12-20\nend = 2026-12-21T00:00:00Z",
                2,
                "no moment",
            ),
            (
                "[calendar]\ndays = [\"monday\"]",
                2,
                "unknown variant `monday`",
            ),
        ] {
            let error = parse(text).expect_err(text).to_string();
            assert!(error.contains(&format!("line {line}, column")), "{error}");
            assert!(error.contains(words), "{error}");
        }
    }
}
