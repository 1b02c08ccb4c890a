//! Overrides of a policy on the wire: what is left out stays as it is.

use pinion_core::policy::{Bump, OnHarm, OnInconclusive, Override, Rules};
use pinion_proto::v1 as proto;

use super::{Unreadable, from_duration, name, to_duration, to_share};

pub(super) fn to_overrides(
    overrides: Vec<proto::PolicyOverride>,
) -> Result<Vec<Override>, Unreadable> {
    let numbered = (1..).zip(overrides);
    numbered
        .map(|(number, one)| to_override(number, one))
        .collect()
}

fn to_override(number: usize, one: proto::PolicyOverride) -> Result<Override, Unreadable> {
    let proto::PolicyOverride {
        packages,
        bumps,
        rules,
    } = one;
    let place = format!("policy.overrides[{number}]");
    let field = |field: &str| format!("{place}.{field}");
    Ok(Override {
        packages: packages
            .iter()
            .map(|pattern| name(&field("packages"), pattern))
            .collect::<Result<Vec<_>, _>>()?,
        bumps: bumps
            .into_iter()
            .map(|bump| to_bump(&field("bumps"), bump))
            .collect::<Result<Vec<_>, _>>()?,
        rules: to_rules(&place, rules.unwrap_or_default())?,
    })
}

fn to_bump(field: &str, bump: i32) -> Result<Bump, Unreadable> {
    match proto::Bump::try_from(bump) {
        Ok(proto::Bump::Major) => Ok(Bump::Major),
        Ok(proto::Bump::Minor) => Ok(Bump::Minor),
        Ok(proto::Bump::Patch) => Ok(Bump::Patch),
        Ok(proto::Bump::Unspecified) | Err(_) => {
            Err(Unreadable::new(field, "say major, minor or patch"))
        }
    }
}

pub(super) fn to_rules(place: &str, rules: proto::PolicyRules) -> Result<Rules, Unreadable> {
    let proto::PolicyRules {
        stages,
        pilot,
        pilot_bake,
        bake,
        alpha,
        minimum_environments,
        minimum_age,
        on_harm,
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
    } = rules;
    let field = |field: &str| format!("{place}.{field}");
    let duration = |name: &str, duration: Option<prost_types::Duration>| {
        let given = duration.map(|duration| to_duration(&field(name), duration));
        given.transpose()
    };
    let shares = |shares: proto::Shares| {
        let shares = shares.shares.iter();
        shares
            .map(|share| to_share(&field("stages"), *share))
            .collect::<Result<Vec<_>, _>>()
    };
    Ok(Rules {
        stages: stages.map(shares).transpose()?,
        pilot,
        pilot_bake: duration("pilot_bake", pilot_bake)?,
        bake: duration("bake", bake)?,
        alpha,
        beta,
        margin,
        minimum_environments,
        minimum_age: duration("minimum_age", minimum_age)?,
        gates: gates
            .map(|gates| names(&field("gates"), &gates))
            .transpose()?,
        gate_timeout: duration("gate_timeout", gate_timeout)?,
        gate_runs,
        on_harm: match proto::OnHarm::try_from(on_harm) {
            Ok(proto::OnHarm::Unspecified) => None,
            Ok(proto::OnHarm::RollBack) => Some(OnHarm::RollBack),
            Ok(proto::OnHarm::Pause) => Some(OnHarm::Pause),
            Err(_) => return Err(Unreadable::new(field("on_harm"), "say roll-back or pause")),
        },
        on_inconclusive: match proto::OnInconclusive::try_from(on_inconclusive) {
            Ok(proto::OnInconclusive::Unspecified) => None,
            Ok(proto::OnInconclusive::Wait) => Some(OnInconclusive::Wait),
            Ok(proto::OnInconclusive::Complete) => Some(OnInconclusive::Complete),
            Err(_) => {
                let hint = "say wait or complete";
                return Err(Unreadable::new(field("on_inconclusive"), hint));
            }
        },
        repeat_failures,
        approvals,
        approvers: approvers
            .map(|approvers| names(&field("approvers"), &approvers))
            .transpose()?,
        lift_approvals,
        shadow,
    })
}

fn names<T: std::str::FromStr<Err: ToString>>(
    field: &str,
    names: &proto::Names,
) -> Result<Vec<T>, Unreadable> {
    names.names.iter().map(|text| name(field, text)).collect()
}

pub(super) fn from_override(one: &Override) -> proto::PolicyOverride {
    let Override {
        packages,
        bumps,
        rules,
    } = one;
    proto::PolicyOverride {
        packages: packages.iter().map(ToString::to_string).collect(),
        bumps: bumps.iter().map(|bump| from_bump(*bump).into()).collect(),
        rules: Some(from_rules(rules)),
    }
}

pub(crate) const fn from_bump(bump: Bump) -> proto::Bump {
    match bump {
        Bump::Major => proto::Bump::Major,
        Bump::Minor => proto::Bump::Minor,
        Bump::Patch => proto::Bump::Patch,
    }
}

pub(super) fn from_rules(rules: &Rules) -> proto::PolicyRules {
    let Rules {
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
        on_harm,
        on_inconclusive,
        repeat_failures,
        approvals,
        approvers,
        lift_approvals,
        shadow,
    } = rules;
    proto::PolicyRules {
        stages: stages.as_ref().map(|stages| proto::Shares {
            shares: stages.iter().map(|share| share.value()).collect(),
        }),
        pilot: *pilot,
        pilot_bake: pilot_bake.map(from_duration),
        bake: bake.map(from_duration),
        alpha: *alpha,
        minimum_environments: *minimum_environments,
        minimum_age: minimum_age.map(from_duration),
        on_harm: on_harm
            .map_or(proto::OnHarm::Unspecified, from_on_harm)
            .into(),
        beta: *beta,
        margin: *margin,
        on_inconclusive: on_inconclusive
            .map_or(proto::OnInconclusive::Unspecified, from_on_inconclusive)
            .into(),
        repeat_failures: *repeat_failures,
        gates: gates.as_ref().map(|gates| from_names(gates)),
        gate_timeout: gate_timeout.map(from_duration),
        gate_runs: *gate_runs,
        approvals: *approvals,
        approvers: approvers.as_ref().map(|approvers| from_names(approvers)),
        lift_approvals: *lift_approvals,
        shadow: *shadow,
    }
}

fn from_names<T: ToString>(names: &[T]) -> proto::Names {
    proto::Names {
        names: names.iter().map(ToString::to_string).collect(),
    }
}

pub(super) const fn from_on_harm(on_harm: OnHarm) -> proto::OnHarm {
    match on_harm {
        OnHarm::RollBack => proto::OnHarm::RollBack,
        OnHarm::Pause => proto::OnHarm::Pause,
    }
}

pub(super) const fn from_on_inconclusive(on_inconclusive: OnInconclusive) -> proto::OnInconclusive {
    match on_inconclusive {
        OnInconclusive::Wait => proto::OnInconclusive::Wait,
        OnInconclusive::Complete => proto::OnInconclusive::Complete,
    }
}
