//! A policy, with every default that the server filled in.

use pinion_client::v1;
use pinion_core::reason::points;

use crate::times::{HumanDuration, show_time};

use super::{facts, percent};

/// A policy as indented lines.
pub(crate) fn policy(policy: &v1::Policy) -> String {
    let stages: Vec<_> = policy.stages.iter().copied().map(percent).collect();
    let duration = |duration: &Option<prost_types::Duration>| {
        let human = duration.as_ref().map(HumanDuration::of_wire);
        human.map(|human| human.to_string()).unwrap_or_default()
    };
    let number = |number: Option<u32>| number.map(|number| number.to_string()).unwrap_or_default();
    let rate = |rate: Option<f64>| rate.map(|rate| rate.to_string()).unwrap_or_default();
    let margin = match policy.margin {
        Some(margin) => points(margin),
        None => "what the fleet can resolve".to_owned(),
    };
    let mut lines = vec![
        ("  stages", stages.join(", ")),
        ("  pilot", policy.pilot.map(yes_no).unwrap_or_default()),
        ("  pilot bake", duration(&policy.pilot_bake)),
        ("  bake", duration(&policy.bake)),
        ("  alpha", rate(policy.alpha)),
        ("  beta", rate(policy.beta)),
        ("  margin", margin),
        (
            "  minimum environments",
            number(policy.minimum_environments),
        ),
        ("  minimum age", duration(&policy.minimum_age)),
        ("  gates", policy.gates.join(", ")),
        ("  gate timeout", duration(&policy.gate_timeout)),
        ("  gate runs", number(policy.gate_runs)),
        ("  on harm", on_harm(policy.on_harm())),
        (
            "  on inconclusive",
            on_inconclusive(policy.on_inconclusive()),
        ),
        ("  repeat failures", yes_no(policy.repeat_failures)),
        ("  overlap", overlap(policy.overlap())),
        ("  open rollouts at most", number(policy.open_rollouts_max)),
    ];
    if let Some(calendar) = &policy.calendar {
        lines.push(("  open", hours(calendar)));
        lines.extend(
            calendar
                .freezes
                .iter()
                .map(|freeze| ("  frozen", frozen(freeze))),
        );
    }
    facts(&lines)
}

fn yes_no(yes: bool) -> String {
    match yes {
        true => "yes".to_owned(),
        false => "no".to_owned(),
    }
}

fn on_harm(on_harm: v1::OnHarm) -> String {
    match on_harm {
        v1::OnHarm::Unspecified => String::new(),
        v1::OnHarm::RollBack => "roll back".to_owned(),
        v1::OnHarm::Pause => "pause and wait for a person".to_owned(),
    }
}

fn on_inconclusive(on_inconclusive: v1::OnInconclusive) -> String {
    match on_inconclusive {
        v1::OnInconclusive::Unspecified => String::new(),
        v1::OnInconclusive::Wait => "wait for a person".to_owned(),
        v1::OnInconclusive::Complete => "give it to everybody".to_owned(),
    }
}

fn overlap(overlap: v1::Overlap) -> String {
    match overlap {
        v1::Overlap::Unspecified => String::new(),
        v1::Overlap::Refuse => "refuse the new one".to_owned(),
        v1::Overlap::Supersede => "supersede the old one".to_owned(),
    }
}

fn hours(calendar: &v1::Calendar) -> String {
    const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
    let name = |day: &u32| {
        usize::try_from(*day)
            .ok()
            .and_then(|day| DAYS.get(day.wrapping_sub(1)))
    };
    let days: Vec<_> = calendar.days.iter().filter_map(name).copied().collect();
    let time = |minute: Option<u32>| {
        let minute = minute.unwrap_or(0);
        format!("{:02}:{:02}", minute / 60, minute % 60)
    };
    format!(
        "{} {}-{} {}",
        days.join(" "),
        time(calendar.opens_minute),
        time(calendar.closes_minute),
        calendar.time_zone
    )
}

fn frozen(freeze: &v1::Freeze) -> String {
    let (start, end) = (
        show_time(freeze.start_time.as_ref()),
        show_time(freeze.end_time.as_ref()),
    );
    format!("{start} to {end}: {}", freeze.reason)
}
