//! What was simulated and what came of it, as a table and as JSON.

use pinion_core::numbers::{counted, percent, thousands};
use pinion_core::simulation::Tally;
use serde_json::{Value, json};

use crate::table::Table;

/// The answer to `pinion policy simulate`.
pub(super) struct Report {
    pub(super) environments: u32,
    pub(super) failure_rate: f64,
    pub(super) verified: bool,
    pub(super) rollouts: u64,
    pub(super) seed: u64,
    pub(super) alpha: f64,
    /// By candidate, then by rule; Pinion is the first rule, the harmless candidate the first.
    pub(super) rows: Vec<Row>,
}

/// One candidate under one rule.
pub(super) struct Row {
    pub(super) candidate: &'static str,
    pub(super) rule: &'static str,
    pub(super) tally: Tally,
}

impl Report {
    /// What was simulated, in a sentence.
    pub(super) fn subject(&self) -> String {
        format!(
            "{}, {} of their days failing by themselves{}; {} each",
            counted(u64::from(self.environments), "environment"),
            percent(self.failure_rate, 1),
            match self.verified {
                true => ", failing runs repeated",
                false => "",
            },
            counted(self.rollouts, "rollout"),
        )
    }

    pub(super) fn to_text(&self) -> String {
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
        for row in &self.rows {
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
            self.subject(),
            table.render(None),
            self.legend()
        )
    }

    fn legend(&self) -> String {
        format!(
            "EVERYBODY, WAITS, BACK: rollouts that reached everybody, wait for a person, were taken back.\n\
             HARMED: environments with a failure they would not have had, in ten working days: median, and\n\
             at most in 90 % of the rollouts. HOURS: working hours until everybody had it, median.\n\
             A harmless candidate is promised to be rolled back in at most {} of the rollouts.\n",
            percent(self.alpha, 2)
        )
    }

    pub(super) fn to_json(&self) -> Value {
        let rows = self.rows.iter().map(|row| {
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
            "environments": self.environments,
            "failureRate": self.failure_rate,
            "verified": self.verified,
            "rollouts": self.rollouts,
            "seed": self.seed,
            "alpha": self.alpha,
            "rows": rows.collect::<Vec<_>>(),
        })
    }
}

fn part(part: f64) -> String {
    percent(part, 1)
}

fn number(number: Option<u32>) -> String {
    number.map_or_else(|| "-".to_owned(), |number| thousands(u64::from(number)))
}
