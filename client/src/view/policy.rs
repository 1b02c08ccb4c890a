//! A policy, with every default that the server filled in.

use pinion_client::v1;
use pinion_core::reason::points;

use crate::times::{HumanDuration, show_time};

use super::{change, facts, percent};
use crate::terminal::clean;

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
        (
            "  approvals",
            approvals(Some(policy.approvals), Some(policy.approvers.as_slice())),
        ),
        ("  lift approvals", number(policy.lift_approvals)),
        ("  shadow", shadow(policy.shadow)),
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
    let mut text = facts(&lines);
    for one in &policy.overrides {
        text.push_str(&format!("\n  override: {}\n", clean(&matching(one))));
        text.push_str(&rules(&one.rules.clone().unwrap_or_default()));
    }
    if let Some(security) = &policy.security {
        text.push_str("\n  security fixes\n");
        text.push_str(&rules(security));
    }
    text
}

/// What a policy comes to for a candidate, and why.
pub(crate) fn resolved_policy(response: &v1::ResolvePolicyResponse) -> String {
    let mut text = String::new();
    for one in &response.changes {
        let step = one.change.as_ref().map(change).unwrap_or_default();
        let overrides: Vec<String> = one.overrides.iter().map(ToString::to_string).collect();
        let overrides = match overrides.as_slice() {
            [] => "no override matches".to_owned(),
            [number] => format!("override {number} matches"),
            numbers => format!("overrides {} match", numbers.join(", ")),
        };
        let words = format!("{step}: {}, {overrides}", bump(one.bump()));
        text.push_str(&(clean(&words) + "\n"));
    }
    let rules = response.policy.clone().unwrap_or_default();
    format!("{text}\npolicy\n{}", policy(&rules))
}

/// What an override matches.
fn matching(one: &v1::PolicyOverride) -> String {
    let bumps: Vec<&str> = one.bumps().map(bump).collect();
    let packages = match one.packages.as_slice() {
        [] => "every package".to_owned(),
        patterns => patterns.join(", "),
    };
    match bumps.as_slice() {
        [] => packages,
        bumps => format!("{packages}; {}", bumps.join(", ")),
    }
}

fn bump(bump: v1::Bump) -> &'static str {
    match bump {
        v1::Bump::Unspecified => "",
        v1::Bump::Major => "major",
        v1::Bump::Minor => "minor",
        v1::Bump::Patch => "patch",
    }
}

/// The rules that are changed, and no others.
fn rules(rules: &v1::PolicyRules) -> String {
    let duration = |duration: &Option<prost_types::Duration>| {
        let human = duration.as_ref().map(HumanDuration::of_wire);
        human.map(|human| human.to_string()).unwrap_or_default()
    };
    let number = |number: Option<u32>| number.map(|n| n.to_string()).unwrap_or_default();
    let rate = |rate: Option<f64>| rate.map(|rate| rate.to_string()).unwrap_or_default();
    let shares = |stages: &v1::Shares| {
        let shares: Vec<_> = stages.shares.iter().copied().map(percent).collect();
        shares.join(", ")
    };
    let names = |names: &v1::Names| match names.names.as_slice() {
        [] => "none".to_owned(),
        names => names.join(", "),
    };
    let approvers = rules.approvers.as_ref().map(|names| names.names.as_slice());
    facts(&[
        (
            "    stages",
            rules.stages.as_ref().map(shares).unwrap_or_default(),
        ),
        ("    pilot", rules.pilot.map(yes_no).unwrap_or_default()),
        ("    pilot bake", duration(&rules.pilot_bake)),
        ("    bake", duration(&rules.bake)),
        ("    alpha", rate(rules.alpha)),
        ("    beta", rate(rules.beta)),
        ("    margin", rules.margin.map(points).unwrap_or_default()),
        (
            "    minimum environments",
            number(rules.minimum_environments),
        ),
        ("    minimum age", duration(&rules.minimum_age)),
        (
            "    gates",
            rules.gates.as_ref().map(names).unwrap_or_default(),
        ),
        ("    gate timeout", duration(&rules.gate_timeout)),
        ("    gate runs", number(rules.gate_runs)),
        ("    approvals", approvals(rules.approvals, approvers)),
        ("    lift approvals", number(rules.lift_approvals)),
        ("    shadow", rules.shadow.map(shadow).unwrap_or_default()),
        ("    on harm", on_harm(rules.on_harm())),
        (
            "    on inconclusive",
            on_inconclusive(rules.on_inconclusive()),
        ),
        (
            "    repeat failures",
            rules.repeat_failures.map(yes_no).unwrap_or_default(),
        ),
    ])
}

/// How many approvals and whose; what is left out is not said.
fn approvals(count: Option<u32>, approvers: Option<&[String]>) -> String {
    let count = count.map(|count| count.to_string());
    let of = approvers.map(|names| match names {
        [] => "of release managers and admins".to_owned(),
        names => format!("of {}", names.join(", ")),
    });
    let of = of.filter(|_| count.as_deref() != Some("0"));
    let words: Vec<String> = [count, of].into_iter().flatten().collect();
    words.join(" ")
}

fn shadow(shadow: bool) -> String {
    match shadow {
        true => "yes: rollouts are only played, nothing is served".to_owned(),
        false => "no".to_owned(),
    }
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
