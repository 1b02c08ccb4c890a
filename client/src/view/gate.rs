//! Gates: a row, and where one stands in words.

use pinion_client::v1::{self, GateState};

use crate::table::Table;
use crate::times::show_time;

use super::change;

/// Gates as a table.
pub(crate) fn gates(gates: &[v1::Gate]) -> Table {
    let mut table = Table::new(["CONSUMER", "ROLLOUT", "PIN SET", "CANDIDATE", "STANDS"]);
    for gate in gates {
        table.row([
            gate.consumer.clone(),
            gate.rollout.clone(),
            gate.pin_set.clone(),
            changes(&gate.changes),
            gate_standing(gate),
        ]);
    }
    table
}

/// What a candidate changes.
pub(crate) fn changes(changes: &[v1::PackageChange]) -> String {
    let changes: Vec<_> = changes.iter().map(change).collect();
    changes.join(", ")
}

/// Where a gate stands: its state, what it waits for, what was reported last.
pub(crate) fn gate_standing(gate: &v1::Gate) -> String {
    let mut parts = match (gate.state(), gate.runs.last()) {
        (GateState::Passed, Some(run)) => vec![told(run)],
        (_, Some(run)) => vec![state(gate), format!("last {}", told(run))],
        (_, None) => vec![state(gate)],
    };
    match gate.lapsed_leases {
        0 => {}
        1 => parts.push("1 lease ran out".to_owned()),
        many => parts.push(format!("{many} leases ran out")),
    }
    parts.join("; ")
}

fn state(gate: &v1::Gate) -> String {
    let failed = gate.runs.iter();
    let failed = failed.filter(|run| run.outcome() == v1::Outcome::Failed);
    match (gate.state(), failed.count()) {
        (GateState::Unspecified, _) => String::new(),
        (GateState::Waiting, _) if gate.not_before.is_some() => {
            let time = show_time(gate.not_before.as_ref());
            format!("waiting, not before {time}")
        }
        (GateState::Waiting, 0) => "waiting".to_owned(),
        (GateState::Waiting, failed) => format!(
            "waiting for another run, {failed} of {} failed",
            gate.runs_max
        ),
        (GateState::Leased, _) => format!(
            "run by {} until {}",
            gate.leased_by,
            show_time(gate.lease_expire_time.as_ref())
        ),
        (GateState::Passed, _) => "passed".to_owned(),
        (GateState::Failed, failed) => format!("failed, in {failed} runs of {}", gate.runs_max),
    }
}

/// What was reported, when and by whom.
fn told(run: &v1::GateRun) -> String {
    let outcome = match run.outcome() {
        v1::Outcome::Failed => {
            let name = run.category().as_str_name();
            let name = name.trim_start_matches("CATEGORY_").to_lowercase();
            format!("failed ({name})")
        }
        _ => "passed".to_owned(),
    };
    let mut text = format!(
        "{outcome} {} by {}",
        show_time(run.report_time.as_ref()),
        run.actor
    );
    for more in [&run.fingerprint, &run.link] {
        if !more.is_empty() {
            text.push_str(&format!(", {more}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_says_what_it_waits_for_and_who_reported_what() {
        let mut gate = v1::Gate {
            state: GateState::Waiting.into(),
            runs_max: 3,
            ..Default::default()
        };
        assert_eq!(gate_standing(&gate), "waiting");
        gate.lapsed_leases = 2;
        gate.runs = vec![v1::GateRun {
            actor: "zuul".into(),
            outcome: v1::Outcome::Failed.into(),
            category: v1::Category::Test.into(),
            link: "https://ci.example/1".into(),
            ..Default::default()
        }];
        let words = gate_standing(&gate);
        assert!(
            words.starts_with("waiting for another run, 1 of 3 failed; last failed (test)"),
            "{words}"
        );
        assert!(
            words.ends_with("by zuul, https://ci.example/1; 2 leases ran out"),
            "{words}"
        );
    }
}
