//! Rollouts: a line, a row, a page; and what was decided.

use pinion_client::v1::{self, RolloutState};
use pinion_core::evidence::HarmBounds;
use pinion_core::evidence::words::{failures_of, harm_in_words};
use pinion_core::numbers::ratio;

use crate::table::Table;
use crate::terminal::clean;
use crate::times::show_time;

use super::pin_set::frozen;
use super::{changes, facts, gate_standing, next_share, percent};

/// What a rollout tries.
pub(crate) fn candidate(rollout: &v1::Rollout) -> String {
    changes(&rollout.changes)
}

/// Where a rollout stands, and whether it is only played.
pub(crate) fn standing(rollout: &v1::Rollout) -> String {
    let state = state(rollout.state());
    match rollout.shadow {
        true => format!("{state} (shadow)"),
        false => state,
    }
}

/// A state's name, in the words of the glossary.
fn state(state: RolloutState) -> String {
    let name = state.as_str_name().trim_start_matches("ROLLOUT_STATE_");
    name.to_lowercase().replace('_', " ")
}

/// A rollout in one line.
pub(crate) fn headline(rollout: &v1::Rollout) -> String {
    let line = format!(
        "{} {}: {} at {}, {}",
        rollout.id,
        candidate(rollout),
        standing(rollout),
        percent(rollout.share),
        progress(rollout)
    );
    clean(&line)
}

/// How it fares: environments and failures on both sides, and the evidence against its threshold.
pub(crate) fn progress(rollout: &v1::Rollout) -> String {
    let Some(evidence) = &rollout.evidence else {
        return "no evidence yet".to_owned();
    };
    format!(
        "exposed {}, control {}, evidence {}",
        side(evidence.exposed_total.as_ref()),
        side(evidence.control_total.as_ref()),
        against_threshold(evidence),
    )
}

/// Rollouts as a table.
pub(crate) fn rollouts(rollouts: &[v1::Rollout]) -> Table {
    let mut table = Table::new(["ID", "PIN SET", "CANDIDATE", "STATE", "SHARE", "REASON"]);
    for rollout in rollouts {
        table.row([
            rollout.id.clone(),
            rollout.pin_set.clone(),
            candidate(rollout),
            standing(rollout),
            percent(rollout.share),
            rollout.reason.clone(),
        ]);
    }
    table
}

/// A rollout as a page.
pub(crate) fn rollout(rollout: &v1::Rollout) -> String {
    let planned: Vec<_> = rollout
        .planned_shares
        .iter()
        .copied()
        .map(percent)
        .collect();
    let next = match rollout.next_share {
        share if share > 0.0 => next_share(share, rollout.epoch_end_time.as_ref()),
        _ => String::new(),
    };
    let mut lines = vec![
        ("rollout", rollout.id.clone()),
        ("pin set", rollout.pin_set.clone()),
        ("candidate", candidate(rollout)),
        ("state", standing(rollout)),
        (
            "shadow",
            match rollout.shadow {
                true => {
                    "only played: nobody has the candidate, nothing is blocked or filed".to_owned()
                }
                false => String::new(),
            },
        ),
        (
            "security",
            match rollout.security {
                true => "started as a security fix, by the policy's rules for those".to_owned(),
                false => String::new(),
            },
        ),
        (
            "FROZEN",
            rollout.freeze.as_ref().map(frozen).unwrap_or_default(),
        ),
        ("reason", rollout.reason.clone()),
        ("approvals", approvals(rollout)),
        ("share", percent(rollout.share)),
        ("next share", next),
        ("planned", planned.join(", ")),
        (
            "epoch",
            match rollout.epoch {
                0 => "none has begun".to_owned(),
                epoch => format!(
                    "{epoch}, since {}",
                    show_time(rollout.epoch_start_time.as_ref())
                ),
            },
        ),
        (
            "population",
            match rollout.population {
                0 => String::new(),
                population => population.to_string(),
            },
        ),
    ];
    lines.extend(rollout.gates.iter().map(|gate| {
        let words = format!("{}: {}", gate.consumer, gate_standing(gate));
        ("gate", words)
    }));
    if let Some(evidence) = &rollout.evidence {
        lines.extend(evidence_facts(evidence));
    }
    if let Some(filing) = &rollout.filing {
        lines.push(("filing", filed(filing)));
    }
    if !rollout.requires.is_empty() {
        lines.push(("requires", rollout.requires.join("; ")));
    }
    lines.extend([
        (
            "created",
            match rollout.source_commit.as_str() {
                "" => by(show_time(rollout.create_time.as_ref()), &rollout.created_by),
                commit => format!(
                    "{} since the followed file has it, commit {}",
                    show_time(rollout.create_time.as_ref()),
                    commit.get(..12).unwrap_or(commit)
                ),
            },
        ),
        (
            "changed",
            by(show_time(rollout.update_time.as_ref()), &rollout.actor),
        ),
        ("revision", rollout.revision.to_string()),
        ("seed", rollout.seed.clone()),
        ("seed SHA-256", rollout.seed_sha256.clone()),
    ]);
    facts(&lines)
}

/// Who has approved it, and how many more have to; empty where its policy asks for none.
fn approvals(rollout: &v1::Rollout) -> String {
    let policy = rollout.policy.clone().unwrap_or_default();
    if policy.approvals == 0 {
        return String::new();
    }
    let names: Vec<String> = rollout
        .approvals
        .iter()
        .map(|one| format!("{} on {}", one.actor, show_time(one.time.as_ref())))
        .collect();
    let mut words = format!("{} of {}", rollout.approvals.len(), policy.approvals);
    if !names.is_empty() {
        words.push_str(&format!(": {}", names.join(", ")));
    }
    if rollout.approvals_missing > 0 && !policy.approvers.is_empty() {
        words.push_str(&format!("; counts that of {}", policy.approvers.join(", ")));
    }
    words
}

/// A decision as two lines: what was done, and why.
pub(crate) fn decision(decision: &v1::Decision) -> String {
    let share = match decision.share_before == decision.share_after {
        true => format!("at {}", percent(decision.share_after)),
        false => format!(
            "{} -> {}",
            percent(decision.share_before),
            percent(decision.share_after)
        ),
    };
    let played = match decision.shadow {
        true => " (shadow)",
        false => "",
    };
    let head = format!(
        "{:>3}  {}  {}{played}  {share}  by {}, epoch {}",
        decision.sequence,
        show_time(decision.time.as_ref()),
        decision.action,
        decision.actor,
        decision.epoch,
    );
    format!("{}\n     {}\n", clean(&head), clean(&decision.reason))
}

fn evidence_facts(evidence: &v1::Evidence) -> Vec<(&'static str, String)> {
    let epoch = |side: Option<&v1::Side>| {
        let counts = |side: &v1::Side| {
            format!(
                "{} failed of {} reporting, {} in all",
                side.failed, side.reporting, side.environments
            )
        };
        side.map(counts).unwrap_or_default()
    };
    let both = |total: Option<&v1::Side>, now: Option<&v1::Side>| match (epoch(total), epoch(now)) {
        (total, now) if now.is_empty() => total,
        (total, now) => format!("{total}; in this epoch {now}"),
    };
    let harm = evidence.harm.as_ref().map(bounds);
    vec![
        (
            "exposed",
            both(evidence.exposed_total.as_ref(), evidence.exposed.as_ref()),
        ),
        (
            "  failed by",
            by_category(&evidence.exposed_failed_by_category),
        ),
        (
            "control",
            both(evidence.control_total.as_ref(), evidence.control.as_ref()),
        ),
        (
            "  failed by",
            by_category(&evidence.control_failed_by_category),
        ),
        ("harm", harm_in_words(harm.as_ref())),
        (
            "for all",
            harm.map(|harm| harm.for_everybody()).unwrap_or_default(),
        ),
        (
            "evidence",
            format!("{} of harm", against_threshold(evidence)),
        ),
        ("  windows", detector(evidence.windows.as_ref())),
        ("  events", detector(evidence.events.as_ref())),
    ]
}

/// Where the average harm lies.
fn bounds(harm: &v1::HarmBounds) -> HarmBounds {
    HarmBounds {
        lower: harm.lower,
        upper: harm.upper,
        margin: harm.margin,
    }
}

fn detector(detector: Option<&v1::Detector>) -> String {
    let Some(detector) = detector.filter(|detector| detector.log_threshold != 0.0) else {
        return String::new();
    };
    let odds = ratio(detector.log_evidence);
    let threshold = format!("a rollback takes {}", ratio(detector.log_threshold));
    match detector.log_evidence > 0.0 {
        true => format!(
            "{odds}, most of it about {}; {threshold}",
            failures_of(&detector.leading_target)
        ),
        false => format!("{odds}; {threshold}"),
    }
}

fn by_category(counts: &std::collections::HashMap<String, u32>) -> String {
    let mut counts: Vec<_> = counts.iter().filter(|(_, count)| **count > 0).collect();
    counts.sort();
    let counts = counts
        .into_iter()
        .map(|(category, count)| format!("{category} {count}"));
    counts.collect::<Vec<_>>().join(", ")
}

fn side(side: Option<&v1::Side>) -> String {
    let side = side.copied().unwrap_or_default();
    format!("{} failed of {}", side.failed, side.reporting)
}

fn against_threshold(evidence: &v1::Evidence) -> String {
    if evidence.log_threshold == 0.0 {
        return "none yet".to_owned();
    }
    format!(
        "{} of {}",
        ratio(evidence.log_evidence),
        ratio(evidence.log_threshold)
    )
}

fn filed(filing: &v1::Filing) -> String {
    let mut text = format!(
        "{}: {} on {}, branch {}",
        filing.state, filing.subject, filing.forge, filing.branch
    );
    if filing.attempt > 1 {
        text.push_str(&format!(", attempt {}", filing.attempt));
    }
    if !filing.url.is_empty() {
        text.push_str(&format!(", {}", filing.url));
    }
    if !filing.last_answer.is_empty() {
        text.push_str(&format!("; the forge says: {}", filing.last_answer));
    }
    if filing.next_try_time.is_some() {
        text.push_str(&format!(
            "; next try {}",
            show_time(filing.next_try_time.as_ref())
        ));
    }
    text
}

fn by(time: String, actor: &str) -> String {
    match actor {
        "" => time,
        actor => format!("{time} by {actor}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rollout_in_one_line_has_share_counts_and_evidence() {
        let rollout = v1::Rollout {
            id: "ro-1".into(),
            changes: vec![v1::PackageChange {
                package: "requests".into(),
                from_version: "2.0".into(),
                to_version: "2.1".into(),
                ..Default::default()
            }],
            state: RolloutState::Baking.into(),
            share: 0.05,
            evidence: Some(v1::Evidence {
                exposed_total: Some(v1::Side {
                    environments: 12,
                    reporting: 10,
                    failed: 2,
                }),
                control_total: Some(v1::Side {
                    environments: 90,
                    reporting: 80,
                    failed: 3,
                }),
                log_evidence: 1.25,
                log_threshold: 6.2,
                ..Default::default()
            }),
            ..Default::default()
        };
        assert_eq!(
            headline(&rollout),
            "ro-1 requests 2.0 -> 2.1: baking at 5 %, exposed 2 failed of 10, control 3 failed of 80, evidence 3.5 to 1 of 493 to 1"
        );
        assert_eq!(state(RolloutState::RolledBack), "rolled back");
    }
}
