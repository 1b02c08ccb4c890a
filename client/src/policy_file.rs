//! A pin set's policy as a TOML file: the proto's names, durations and times as people write them.

mod place;
mod rules;

use std::path::Path;

use pinion_client::v1;
use serde::Deserialize;
use serde::de::{self, Deserializer};

use crate::effective_policy::{Refused, effective, with_defaults};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::times::{HumanDuration, to_wire_time};

use place::pointed;
use rules::RulesFile;

/// Reads and checks a policy; what the file leaves out stays out, and takes the server's default.
pub(crate) fn read_policy(path: &Path) -> Result<v1::Policy, Failure> {
    let text =
        std::fs::read_to_string(path).map_err(|cause| Failure::file("read", path, &cause))?;
    checked(&text).map_err(|problem| {
        let sentence = format!("`{}` is no policy: {problem}", path.display());
        Failure::new(Exit::Invalid, sentence)
    })
}

/// The policy of a text, or what is wrong with it and where.
fn checked(text: &str) -> Result<v1::Policy, String> {
    let file = parse(text).map_err(|error| error.to_string().trim_end().to_owned())?;
    let wire = file.into_wire();
    let wire = wire.and_then(|policy| effective(&with_defaults(policy.clone())).map(|_| policy));
    wire.map_err(|Refused { place, words }| pointed(text, &place, &words))
}

fn parse(text: &str) -> Result<PolicyFile, toml::de::Error> {
    toml::from_str(text)
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
    approvals: Option<u32>,
    #[serde(default)]
    approvers: Vec<String>,
    lift_approvals: Option<u32>,
    #[serde(default)]
    shadow: bool,
    calendar: Option<CalendarFile>,
    #[serde(default, rename = "override")]
    overrides: Vec<RulesFile>,
    security: Option<RulesFile>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum OnHarm {
    RollBack,
    Pause,
}

#[derive(Clone, Copy, Deserialize)]
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

impl From<OnHarm> for v1::OnHarm {
    fn from(on_harm: OnHarm) -> Self {
        match on_harm {
            OnHarm::RollBack => Self::RollBack,
            OnHarm::Pause => Self::Pause,
        }
    }
}

impl From<OnInconclusive> for v1::OnInconclusive {
    fn from(on_inconclusive: OnInconclusive) -> Self {
        match on_inconclusive {
            OnInconclusive::Wait => Self::Wait,
            OnInconclusive::Complete => Self::Complete,
        }
    }
}

impl PolicyFile {
    fn into_wire(self) -> Result<v1::Policy, Refused> {
        let on_harm = self.on_harm.map_or(v1::OnHarm::Unspecified, OnHarm::into);
        let on_inconclusive = self
            .on_inconclusive
            .map_or(v1::OnInconclusive::Unspecified, OnInconclusive::into);
        let security = self.security.map(RulesFile::into_security).transpose();
        let security = security.map_err(|field| Refused {
            place: vec!["security".to_owned(), field.to_owned()],
            words: format!("`security` holds for every package; take `{field}` out"),
        })?;
        let overlap = match self.overlap {
            None => v1::Overlap::Unspecified,
            Some(Overlap::Refuse) => v1::Overlap::Refuse,
            Some(Overlap::Supersede) => v1::Overlap::Supersede,
        };
        let overrides = self.overrides.into_iter();
        Ok(v1::Policy {
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
            approvals: self.approvals.unwrap_or_default(),
            approvers: self.approvers,
            lift_approvals: self.lift_approvals,
            shadow: self.shadow,
            overrides: overrides.map(RulesFile::into_override).collect(),
            security,
        })
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
        let policy = checked(
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
            approvals = 2
            approvers = ["alice", "bob"]
            lift_approvals = 2
            shadow = true
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

            [[override]]
            packages = ["oslo.*"]
            bumps = ["major", "minor"]
            gates = []
            repeat_failures = false

            [security]
            minimum_age = "0s"
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
        assert_eq!((policy.approvals, policy.lift_approvals), (2, Some(2)));
        assert_eq!(policy.approvers, ["alice", "bob"]);
        assert!(policy.shadow);
        let one = &policy.overrides[0];
        assert_eq!(one.packages, ["oslo.*"]);
        assert_eq!(one.bumps, [v1::Bump::Major as i32, v1::Bump::Minor as i32]);
        let rules = one.rules.as_ref().expect("rules");
        assert_eq!(rules.gates, Some(v1::Names::default()), "none at all");
        assert_eq!((rules.repeat_failures, &rules.stages), (Some(false), &None));
        let security = policy.security.as_ref().expect("a lane");
        assert_eq!(security.minimum_age.map(|age| age.seconds), Some(0));
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
        let policy = checked(example.expect("an example")).expect("a policy");
        assert!(
            policy.alpha.is_some()
                && policy
                    .calendar
                    .is_some_and(|calendar| !calendar.freezes.is_empty())
        );
    }

    #[test]
    fn an_empty_policy_leaves_everything_to_the_server() {
        assert_eq!(checked("").expect("a policy"), v1::Policy::default());
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
            (
                "\n[[override]]\npackages = [\"a\"]\noverlap = \"refuse\"",
                4,
                "belongs to the whole pin set",
            ),
            (
                "[[override]]\nbumps = [\"huge\"]",
                2,
                "expected one of `major`, `minor`, `patch`",
            ),
            ("[[override]]\nalpha = 0.01", 1, "it matches everything"),
            (
                "[[override]]\npackages = [\"a b\"]\nalpha = 0.01",
                2,
                "no pattern of package names",
            ),
            (
                "[[override]]\npackages = [\"a\"]\n",
                1,
                "it changes nothing",
            ),
            (
                "\n[[override]]\npackages = [\"a\"]\nalpha = 0.5",
                4,
                "override 1: `alpha` of 0.5",
            ),
            (
                "\n[[override]]\npackages = [\"a\"]\nstages = []",
                4,
                "strictly rising",
            ),
            (
                "[security]\nbake = \"1h\"\nbeta = 0.2",
                3,
                "never takes less evidence",
            ),
            (
                "[security]\nbumps = [\"major\"]",
                2,
                "holds for every package",
            ),
            ("approvals = 6", 1, "outside 0 to 5"),
            (
                "approvals = 2\napprovers = [\"alice\"]",
                1,
                "names 1 tokens",
            ),
            ("approvers = [\"ci\"]", 1, "machines'"),
            ("stages = [0.5, 0.1]", 1, "strictly rising"),
            ("[calendar]\ntime_zone = \"Mars\"", 2, "no IANA time zone"),
            (
                "[calendar]\nopens = \"09:00\"\ncloses = \"09:00\"",
                3,
                "that differ",
            ),
        ] {
            let error = checked(text).expect_err(text);
            assert!(error.contains(&format!("line {line}, column")), "{error}");
            assert!(error.contains(words), "{error}");
        }
    }
}
