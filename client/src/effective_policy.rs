//! What a policy comes to: defaults for what it leaves out, and whether it is valid. As the server does it.

use std::str::FromStr;
use std::time::Duration;

use pinion_client::v1;
use pinion_core::calendar::{Calendar, Freeze};
use pinion_core::draw::Share;
use pinion_core::policy::{
    Bump, InvalidPolicy, OnHarm, OnInconclusive, Overlap, Override, Policy, Rules,
};
use pinion_core::time::Timestamp;

/// The policy with every default that the server would fill in.
pub(crate) fn with_defaults(mut policy: v1::Policy) -> v1::Policy {
    let default = Policy::default();
    if policy.stages.is_empty() {
        policy.stages = default.stages.iter().map(|share| share.value()).collect();
    }
    policy.pilot.get_or_insert(default.pilot);
    policy.pilot_bake.get_or_insert(to_wire(default.pilot_bake));
    policy.bake.get_or_insert(to_wire(default.bake));
    policy.alpha.get_or_insert(default.alpha);
    policy.beta.get_or_insert(default.beta);
    policy
        .minimum_environments
        .get_or_insert(default.minimum_environments);
    policy
        .minimum_age
        .get_or_insert(to_wire(default.minimum_age));
    policy
        .gate_timeout
        .get_or_insert(to_wire(default.gate_timeout));
    policy.gate_runs.get_or_insert(default.gate_runs);
    policy.lift_approvals.get_or_insert(default.lift_approvals);
    if policy.on_harm() == v1::OnHarm::Unspecified {
        policy.on_harm = v1::OnHarm::RollBack.into();
    }
    if policy.on_inconclusive() == v1::OnInconclusive::Unspecified {
        policy.on_inconclusive = v1::OnInconclusive::Wait.into();
    }
    if policy.overlap() == v1::Overlap::Unspecified {
        policy.overlap = v1::Overlap::Refuse.into();
    }
    policy
        .open_rollouts_max
        .get_or_insert(default.open_rollouts_max);
    let calendar = policy.calendar.get_or_insert_default();
    let default = default.calendar;
    if calendar.time_zone.is_empty() {
        calendar.time_zone = default.time_zone;
    }
    if calendar.days.is_empty() {
        let open = (1..).zip(default.days).filter(|(_, open)| *open);
        calendar.days = open.map(|(day, _)| day).collect();
    }
    calendar
        .opens_minute
        .get_or_insert(default.opens_minute.into());
    calendar
        .closes_minute
        .get_or_insert(default.closes_minute.into());
    policy
}

/// Why a policy is refused, and which value of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    /// Names of tables and keys, and places in arrays.
    pub(crate) place: Vec<String>,
    /// What is wrong and what would be right.
    pub(crate) words: String,
}

impl Refused {
    fn at(place: &[&str], error: &impl ToString) -> Self {
        let field = place.last().copied().unwrap_or_default();
        Self {
            place: place.iter().map(|part| (*part).to_owned()).collect(),
            words: format!("`{field}`: {}", error.to_string()),
        }
    }
}

impl From<InvalidPolicy> for Refused {
    fn from(error: InvalidPolicy) -> Self {
        Self {
            place: error.place(),
            words: error.to_string(),
        }
    }
}

/// The policy as decisions are made by it; `policy` has its defaults.
///
/// # Errors
/// The first value that is refused.
pub(crate) fn effective(policy: &v1::Policy) -> Result<Policy, Refused> {
    let default = Policy::default();
    let effective = Policy {
        stages: shares(&policy.stages, &["stages"])?,
        pilot: policy.pilot.unwrap_or(default.pilot),
        pilot_bake: of_wire(policy.pilot_bake.as_ref()),
        bake: of_wire(policy.bake.as_ref()),
        alpha: policy.alpha.unwrap_or(default.alpha),
        beta: policy.beta.unwrap_or(default.beta),
        margin: policy.margin,
        minimum_environments: policy.minimum_environments.unwrap_or_default(),
        minimum_age: of_wire(policy.minimum_age.as_ref()),
        gates: names(&policy.gates, &["gates"])?,
        gate_timeout: of_wire(policy.gate_timeout.as_ref()),
        gate_runs: policy.gate_runs.unwrap_or_default(),
        on_harm: match policy.on_harm() {
            v1::OnHarm::Pause => OnHarm::Pause,
            v1::OnHarm::Unspecified | v1::OnHarm::RollBack => OnHarm::RollBack,
        },
        on_inconclusive: match policy.on_inconclusive() {
            v1::OnInconclusive::Complete => OnInconclusive::Complete,
            v1::OnInconclusive::Unspecified | v1::OnInconclusive::Wait => OnInconclusive::Wait,
        },
        repeat_failures: policy.repeat_failures,
        overlap: match policy.overlap() {
            v1::Overlap::Supersede => Overlap::Supersede,
            v1::Overlap::Unspecified | v1::Overlap::Refuse => Overlap::Refuse,
        },
        open_rollouts_max: policy.open_rollouts_max.unwrap_or_default(),
        approvals: policy.approvals,
        approvers: names(&policy.approvers, &["approvers"])?,
        lift_approvals: policy.lift_approvals.unwrap_or(default.lift_approvals),
        shadow: policy.shadow,
        calendar: calendar(&policy.calendar.clone().unwrap_or_default()),
        overrides: (0..)
            .zip(&policy.overrides)
            .map(|(n, one)| candidates_rules(n, one))
            .collect::<Result<_, _>>()?,
        security: policy
            .security
            .as_ref()
            .map(|security| rules(security, &["security"]))
            .transpose()?,
    };
    effective.validate()?;
    Ok(effective)
}

fn candidates_rules(n: usize, one: &v1::PolicyOverride) -> Result<Override, Refused> {
    let number = n.to_string();
    let place = ["override", &number];
    let bump = |bump: v1::Bump| match bump {
        v1::Bump::Major => Some(Bump::Major),
        v1::Bump::Minor => Some(Bump::Minor),
        v1::Bump::Patch => Some(Bump::Patch),
        v1::Bump::Unspecified => None,
    };
    Ok(Override {
        packages: names(&one.packages, &["override", &number, "packages"])?,
        bumps: one.bumps().filter_map(bump).collect(),
        rules: rules(&one.rules.clone().unwrap_or_default(), &place)?,
    })
}

fn rules(rules: &v1::PolicyRules, place: &[&str]) -> Result<Rules, Refused> {
    let at = |field: &'static str| [place, &[field]].concat();
    let duration = |given: Option<prost_types::Duration>| given.map(|one| of_wire(Some(&one)));
    Ok(Rules {
        stages: rules
            .stages
            .as_ref()
            .map(|stages| shares(&stages.shares, &at("stages")))
            .transpose()?,
        pilot: rules.pilot,
        pilot_bake: duration(rules.pilot_bake),
        bake: duration(rules.bake),
        alpha: rules.alpha,
        beta: rules.beta,
        margin: rules.margin,
        minimum_environments: rules.minimum_environments,
        minimum_age: duration(rules.minimum_age),
        gates: rules
            .gates
            .as_ref()
            .map(|gates| names(&gates.names, &at("gates")))
            .transpose()?,
        gate_timeout: duration(rules.gate_timeout),
        gate_runs: rules.gate_runs,
        on_harm: match rules.on_harm() {
            v1::OnHarm::Unspecified => None,
            v1::OnHarm::RollBack => Some(OnHarm::RollBack),
            v1::OnHarm::Pause => Some(OnHarm::Pause),
        },
        on_inconclusive: match rules.on_inconclusive() {
            v1::OnInconclusive::Unspecified => None,
            v1::OnInconclusive::Wait => Some(OnInconclusive::Wait),
            v1::OnInconclusive::Complete => Some(OnInconclusive::Complete),
        },
        repeat_failures: rules.repeat_failures,
        approvals: rules.approvals,
        approvers: rules
            .approvers
            .as_ref()
            .map(|approvers| names(&approvers.names, &at("approvers")))
            .transpose()?,
        lift_approvals: rules.lift_approvals,
        shadow: rules.shadow,
    })
}

fn shares(shares: &[f64], place: &[&str]) -> Result<Vec<Share>, Refused> {
    let shares = shares.iter().map(|share| Share::new(*share));
    shares
        .collect::<Result<_, _>>()
        .map_err(|error| Refused::at(place, &error))
}

fn names<T: FromStr<Err: ToString>>(names: &[String], place: &[&str]) -> Result<Vec<T>, Refused> {
    let names = names.iter().map(|name| name.parse());
    names
        .collect::<Result<_, _>>()
        .map_err(|error: T::Err| Refused::at(place, &error))
}

fn calendar(calendar: &v1::Calendar) -> Calendar {
    let mut days = [false; 7];
    for day in &calendar.days {
        let place = usize::try_from(*day)
            .ok()
            .and_then(|day| day.checked_sub(1));
        if let Some(open) = place.and_then(|place| days.get_mut(place)) {
            *open = true;
        }
    }
    let minute = |minute: Option<u32>| minute.and_then(|m| u16::try_from(m).ok()).unwrap_or(0);
    let moment = |time: &Option<prost_types::Timestamp>| {
        let time = time.unwrap_or_default();
        Timestamp::from_unix_ms(time.seconds.saturating_mul(1000))
    };
    let freeze = |freeze: &v1::Freeze| Freeze {
        start: moment(&freeze.start_time),
        end: moment(&freeze.end_time),
        reason: freeze.reason.clone(),
    };
    Calendar {
        time_zone: calendar.time_zone.clone(),
        days,
        opens_minute: minute(calendar.opens_minute),
        closes_minute: minute(calendar.closes_minute),
        freezes: calendar.freezes.iter().map(freeze).collect(),
    }
}

fn to_wire(duration: Duration) -> prost_types::Duration {
    crate::times::HumanDuration(duration).to_wire()
}

fn of_wire(duration: Option<&prost_types::Duration>) -> Duration {
    duration.map_or(Duration::ZERO, |duration| {
        crate::times::HumanDuration::of_wire(duration).0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_that_says_nothing_is_the_default_one() {
        let policy = with_defaults(v1::Policy::default());
        assert_eq!(effective(&policy), Ok(Policy::default()));
        assert_eq!(with_defaults(policy.clone()), policy);
    }

    #[test]
    fn what_is_said_is_kept_and_checked() {
        let policy = with_defaults(v1::Policy {
            stages: vec![0.5, 0.2],
            ..Default::default()
        });
        assert!(
            effective(&policy)
                .expect_err("stages fall")
                .words
                .contains("0.5, 0.2")
        );
        let policy = with_defaults(v1::Policy {
            alpha: Some(0.01),
            calendar: Some(v1::Calendar {
                days: vec![6, 7],
                ..Default::default()
            }),
            ..Default::default()
        });
        let policy = effective(&policy).expect("a policy");
        assert!((policy.alpha - 0.01).abs() < 1e-12);
        let weekend = [false, false, false, false, false, true, true];
        assert_eq!(policy.calendar.days, weekend);
    }
}
