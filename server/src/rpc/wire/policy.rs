//! Policies on the wire: what is left out takes its default.

use pinion_core::calendar::{Calendar, Freeze};
use pinion_core::policy::{OnHarm, OnInconclusive, Overlap, Policy};
use pinion_proto::v1 as proto;

use super::rules::{
    from_on_harm, from_on_inconclusive, from_override, from_rules, to_overrides, to_rules,
};
use super::{Unreadable, from_duration, from_timestamp, name, to_duration, to_share, to_timestamp};

/// The longest reason of a freeze, in bytes.
const REASON_BYTES_MAX: usize = 200;

pub(crate) fn to_policy(policy: proto::Policy) -> Result<Policy, Unreadable> {
    let proto::Policy {
        stages,
        pilot,
        pilot_bake,
        bake,
        alpha,
        minimum_environments,
        minimum_age,
        on_harm,
        overlap,
        open_rollouts_max,
        calendar,
        beta,
        margin,
        on_inconclusive,
        repeat_failures,
        gates,
        gate_timeout,
        gate_runs,
        approvals,
        approvers,
        lift_approvals,
        shadow,
        overrides,
        security,
    } = policy;
    let default = Policy::default();
    let duration = |field: &'static str, duration: Option<prost_types::Duration>, default| {
        duration.map_or(Ok(default), |duration| to_duration(field, duration))
    };
    let shares = stages
        .iter()
        .map(|share| to_share("policy.stages", *share))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Policy {
        stages: if shares.is_empty() {
            default.stages
        } else {
            shares
        },
        pilot: pilot.unwrap_or(default.pilot),
        pilot_bake: duration("policy.pilot_bake", pilot_bake, default.pilot_bake)?,
        bake: duration("policy.bake", bake, default.bake)?,
        alpha: alpha.unwrap_or(default.alpha),
        beta: beta.unwrap_or(default.beta),
        margin,
        minimum_environments: minimum_environments.unwrap_or(default.minimum_environments),
        minimum_age: duration("policy.minimum_age", minimum_age, default.minimum_age)?,
        gates: gates
            .iter()
            .map(|consumer| name("policy.gates", consumer))
            .collect::<Result<Vec<_>, _>>()?,
        gate_timeout: duration("policy.gate_timeout", gate_timeout, default.gate_timeout)?,
        gate_runs: gate_runs.unwrap_or(default.gate_runs),
        approvals,
        approvers: approvers
            .iter()
            .map(|approver| name("policy.approvers", approver))
            .collect::<Result<Vec<_>, _>>()?,
        lift_approvals: lift_approvals.unwrap_or(default.lift_approvals),
        shadow,
        on_harm: match proto::OnHarm::try_from(on_harm) {
            Ok(proto::OnHarm::Unspecified | proto::OnHarm::RollBack) => OnHarm::RollBack,
            Ok(proto::OnHarm::Pause) => OnHarm::Pause,
            Err(_) => return Err(Unreadable::new("policy.on_harm", "say roll-back or pause")),
        },
        on_inconclusive: match proto::OnInconclusive::try_from(on_inconclusive) {
            Ok(proto::OnInconclusive::Unspecified | proto::OnInconclusive::Wait) => {
                OnInconclusive::Wait
            }
            Ok(proto::OnInconclusive::Complete) => OnInconclusive::Complete,
            Err(_) => {
                let hint = "say wait or complete";
                return Err(Unreadable::new("policy.on_inconclusive", hint));
            }
        },
        repeat_failures,
        overlap: match proto::Overlap::try_from(overlap) {
            Ok(proto::Overlap::Unspecified | proto::Overlap::Refuse) => Overlap::Refuse,
            Ok(proto::Overlap::Supersede) => Overlap::Supersede,
            Err(_) => return Err(Unreadable::new("policy.overlap", "say refuse or supersede")),
        },
        open_rollouts_max: open_rollouts_max.unwrap_or(default.open_rollouts_max),
        calendar: calendar.map_or(Ok(default.calendar), to_calendar)?,
        overrides: to_overrides(overrides)?,
        security: security
            .map(|rules| to_rules("policy.security", rules))
            .transpose()?,
    })
}

fn to_calendar(calendar: proto::Calendar) -> Result<Calendar, Unreadable> {
    let proto::Calendar {
        time_zone,
        days,
        opens_minute,
        closes_minute,
        freezes,
    } = calendar;
    let default = Calendar::default();
    let mut open = [false; 7];
    for day in &days {
        let day = usize::try_from(*day)
            .ok()
            .filter(|day| (1..=7).contains(day));
        let day = day.ok_or_else(|| {
            Unreadable::new("policy.calendar.days", "a day is 1 (Monday) to 7 (Sunday)")
        })?;
        open[day - 1] = true;
    }
    let minute = |field: &'static str, minute: Option<u32>, default: u16| match minute {
        None => Ok(default),
        Some(minute) => u16::try_from(minute)
            .map_err(|_| Unreadable::new(field, "a minute of the day is 0 to 1440")),
    };
    Ok(Calendar {
        time_zone: if time_zone.is_empty() {
            default.time_zone
        } else {
            time_zone
        },
        days: if days.is_empty() { default.days } else { open },
        opens_minute: minute(
            "policy.calendar.opens_minute",
            opens_minute,
            default.opens_minute,
        )?,
        closes_minute: minute(
            "policy.calendar.closes_minute",
            closes_minute,
            default.closes_minute,
        )?,
        freezes: freezes
            .into_iter()
            .map(to_freeze)
            .collect::<Result<Vec<_>, _>>()?,
    })
}

fn to_freeze(freeze: proto::Freeze) -> Result<Freeze, Unreadable> {
    let proto::Freeze {
        start_time,
        end_time,
        reason,
    } = freeze;
    let field = "policy.calendar.freezes";
    let needed = || Unreadable::new(field, "a freeze has a start and an end");
    if reason.len() > REASON_BYTES_MAX {
        return Err(Unreadable::new(
            field,
            format!("a reason has at most {REASON_BYTES_MAX} bytes"),
        ));
    }
    Ok(Freeze {
        start: to_timestamp(field, start_time.ok_or_else(needed)?)?,
        end: to_timestamp(field, end_time.ok_or_else(needed)?)?,
        reason,
    })
}

pub(crate) fn from_policy(policy: &Policy) -> proto::Policy {
    let Policy {
        stages,
        pilot,
        pilot_bake,
        bake,
        alpha,
        beta,
        margin,
        minimum_environments,
        minimum_age,
        gates,
        gate_timeout,
        gate_runs,
        approvals,
        approvers,
        lift_approvals,
        shadow,
        on_harm,
        on_inconclusive,
        repeat_failures,
        overlap,
        open_rollouts_max,
        calendar,
        overrides,
        security,
    } = policy;
    proto::Policy {
        stages: stages.iter().map(|share| share.value()).collect(),
        pilot: Some(*pilot),
        pilot_bake: Some(from_duration(*pilot_bake)),
        bake: Some(from_duration(*bake)),
        alpha: Some(*alpha),
        minimum_environments: Some(*minimum_environments),
        minimum_age: Some(from_duration(*minimum_age)),
        on_harm: from_on_harm(*on_harm).into(),
        overlap: match overlap {
            Overlap::Refuse => proto::Overlap::Refuse.into(),
            Overlap::Supersede => proto::Overlap::Supersede.into(),
        },
        open_rollouts_max: Some(*open_rollouts_max),
        calendar: Some(from_calendar(calendar)),
        beta: Some(*beta),
        margin: *margin,
        on_inconclusive: from_on_inconclusive(*on_inconclusive).into(),
        repeat_failures: *repeat_failures,
        gates: gates.iter().map(ToString::to_string).collect(),
        gate_timeout: Some(from_duration(*gate_timeout)),
        gate_runs: Some(*gate_runs),
        approvals: *approvals,
        approvers: approvers.iter().map(ToString::to_string).collect(),
        lift_approvals: Some(*lift_approvals),
        shadow: *shadow,
        overrides: overrides.iter().map(from_override).collect(),
        security: security.as_ref().map(from_rules),
    }
}

fn from_calendar(calendar: &Calendar) -> proto::Calendar {
    let Calendar {
        time_zone,
        days,
        opens_minute,
        closes_minute,
        freezes,
    } = calendar;
    proto::Calendar {
        time_zone: time_zone.clone(),
        days: (1..)
            .zip(days)
            .filter(|(_, open)| **open)
            .map(|(day, _)| day)
            .collect(),
        opens_minute: Some(u32::from(*opens_minute)),
        closes_minute: Some(u32::from(*closes_minute)),
        freezes: freezes
            .iter()
            .map(|Freeze { start, end, reason }| proto::Freeze {
                start_time: Some(from_timestamp(*start)),
                end_time: Some(from_timestamp(*end)),
                reason: reason.clone(),
            })
            .collect(),
    }
}
