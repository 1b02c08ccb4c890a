//! What was simulated and what came of it, as a table and as JSON.

use pinion_core::numbers::{percent, thousands};
use pinion_core::simulation::Comparison;
use serde_json::{Value, json};

use crate::table::Table;

/// As a table, with what its columns mean.
pub(super) fn to_text(report: &Comparison) -> String {
    let mut table = Table::new([
        "CANDIDATE",
        "RULE",
        "EVERYBODY",
        "WAITS",
        "BACK",
        "HARMED",
        "90 %",
        "HOURS",
    ]);
    let mut before = "";
    for row in &report.rows {
        let tally = &row.tally;
        let candidate = if row.candidate == before {
            ""
        } else {
            row.candidate
        };
        before = row.candidate;
        table.row([
            candidate.to_owned(),
            row.rule.to_owned(),
            part(tally.complete()),
            part(tally.waiting()),
            part(tally.rolled_back()),
            number(tally.harmed(0.5)),
            number(tally.harmed(0.9)),
            number(tally.full_h(0.5)),
        ]);
    }
    format!(
        "{}.\n\n{}\n{}",
        report.subject(),
        table.render(None),
        legend(report)
    )
}

fn legend(report: &Comparison) -> String {
    format!(
        "EVERYBODY, WAITS, BACK: rollouts that reached everybody, wait for a person, were taken back.\n\
             HARMED: environments with a failure they would not have had, in ten working days: median, and\n\
             at most in 90 % of the rollouts. HOURS: working hours until everybody had it, median.\n\
             A harmless candidate is promised to be rolled back in at most {} of the rollouts.\n",
        percent(report.alpha, 2)
    )
}

/// For programs.
pub(super) fn to_json(report: &Comparison) -> Value {
    let rows = report.rows.iter().map(|row| {
        let tally = &row.tally;
        json!({
            "candidate": row.candidate,
            "rule": row.rule,
            "complete": tally.complete(),
            "waiting": tally.waiting(),
            "rolledBack": tally.rolled_back(),
            "harmedMedian": tally.harmed(0.5),
            "harmed90": tally.harmed(0.9),
            "hoursMedian": tally.full_h(0.5),
        })
    });
    json!({
        "environments": report.environments,
        "failureRate": report.failure_rate,
        "verified": report.verified,
        "rollouts": report.rollouts,
        "seed": report.seed,
        "alpha": report.alpha,
        "rows": rows.collect::<Vec<_>>(),
    })
}

fn part(part: f64) -> String {
    percent(part, 1)
}

fn number(number: Option<u32>) -> String {
    number.map_or_else(|| "-".to_owned(), |number| thousands(u64::from(number)))
}
