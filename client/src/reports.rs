//! Reporting outcomes: the reports of one run, and sending them.
//!
//! A report's id is made once; sent again, the same report changes nothing.

use uuid::Uuid;

use crate::connection::Connection;
use crate::error::Error;
use crate::ingest::Fingerprint;
use crate::pins::Pins;
use crate::v1::{self, Category, Outcome, Repeat, Report, ReportOutcomesResponse};

/// The most reports one batch may hold.
pub const BATCH_MAX: usize = 100;

/// The most rollouts one report may name.
const ROLLOUTS_MAX: usize = 64;

/// One run of a command with certain pins, to be reported about.
#[derive(Clone, Debug)]
pub struct Run {
    id: String,
    pins_etag: String,
    rollouts: Vec<String>,
}

impl Run {
    /// A new run with these pins.
    pub fn of(pins: &Pins) -> Self {
        Self::with(&pins.etag, &pins.rollouts)
    }

    /// A new run with the pins that `etag` names and their rollouts; both may be empty.
    pub fn with(etag: &str, rollouts: &[String]) -> Self {
        Self {
            id: Uuid::new_v4().to_string(),
            pins_etag: etag.to_owned(),
            rollouts: rollouts.iter().take(ROLLOUTS_MAX).cloned().collect(),
        }
    }

    /// The same run with those of its rollouts that are among `rollouts`: what it really used.
    pub fn narrowed(&self, rollouts: &[String]) -> Self {
        let used = self.rollouts.iter();
        Self {
            rollouts: used.filter(|one| rollouts.contains(one)).cloned().collect(),
            ..self.clone()
        }
    }

    /// The report that it began.
    pub fn started(&self) -> Report {
        self.report(Outcome::Started, Category::Unspecified, None)
    }

    /// The report that it passed.
    pub fn passed(&self) -> Report {
        self.report(Outcome::Passed, Category::Unspecified, None)
    }

    /// The report that it failed.
    pub fn failed(&self, category: Category, fingerprint: Option<&Fingerprint>) -> Report {
        self.report(Outcome::Failed, category, fingerprint)
    }

    fn report(
        &self,
        outcome: Outcome,
        category: Category,
        fingerprint: Option<&Fingerprint>,
    ) -> Report {
        Report {
            report_id: Uuid::now_v7().to_string(),
            run_id: self.id.clone(),
            outcome: outcome.into(),
            category: category.into(),
            fingerprint: fingerprint.map(ToString::to_string).unwrap_or_default(),
            pins_etag: self.pins_etag.clone(),
            rollouts: self.rollouts.clone(),
            repeat: Repeat::Unspecified.into(),
        }
    }
}

/// Sends a batch of 1 to [`BATCH_MAX`] reports; `Ok` means that every one of them is durable.
///
/// A batch is taken whole or not at all, and may be sent again after any error.
pub async fn send(
    connection: &Connection,
    reports: &[Report],
) -> Result<ReportOutcomesResponse, Error> {
    let request = v1::ReportOutcomesRequest {
        reports: reports.to_vec(),
    };
    let mut client = connection.outcomes();
    connection.answer(client.report_outcomes(request)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_of_a_run_share_the_run_and_nothing_else_that_names_them() {
        let run = Run::with("etag", &["ro-1".to_owned()]);
        let (started, failed) = (run.started(), run.failed(Category::Test, None));
        assert_eq!(started.run_id, failed.run_id);
        assert_ne!(started.report_id, failed.report_id);
        let id = Uuid::parse_str(&started.report_id).expect("a UUID");
        assert_eq!(id.get_version_num(), 7);
        assert_eq!(failed.rollouts, ["ro-1"]);
    }
}
