//! Reports that wait to be sent, and those that were.
//!
//! A report is a file of its own until the server has it, so that runs side by side need no lock:
//! sent twice, it changes nothing.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use pinion_client::reports::{self, BATCH_MAX};
use pinion_client::v1::{Category, Outcome, Repeat, Report};
use pinion_client::{Connection, Error};
use serde_json::Value;

use crate::failure::Failure;

use super::files;

/// Reports older than this are refused by the server, so they are thrown away: 7 days, less an hour.
const AGE_SECONDS_MAX: u64 = 7 * 86_400 - 3_600;

/// Reports that wait at most; beyond it the oldest go.
const WAITING_MAX: usize = 1_000;

/// Sent reports that are kept to be shown.
const SENT_MAX: usize = 200;

/// What became of the reports that waited.
#[derive(Debug, Default)]
pub(crate) struct Delivery {
    /// Reports that are durable now.
    pub(crate) sent: usize,
    /// Reports the server will never take, with its reason; they are thrown away.
    pub(crate) refused: Vec<String>,
    /// Why the rest still waits.
    pub(crate) stopped: Option<Error>,
}

/// The reports of one checkout.
pub(crate) struct Outbox {
    waiting: PathBuf,
    sent: PathBuf,
}

impl Outbox {
    pub(super) fn at(state: &Path) -> Self {
        Self {
            waiting: state.join("outbox"),
            sent: state.join("sent.jsonl"),
        }
    }

    /// Keeps a report until it is delivered.
    pub(crate) fn put(&self, report: &Report) -> Result<(), Failure> {
        files::make_private_directory(&self.waiting)?;
        let text = pinion_proto::to_json(report).to_string();
        files::write_private(&self.file_of(&report.report_id), &text)
    }

    /// The reports that wait, the oldest first. Too old and unreadable ones are thrown away.
    pub(crate) fn waiting(&self) -> Vec<Report> {
        let entries = std::fs::read_dir(&self.waiting)
            .into_iter()
            .flatten()
            .flatten();
        let files = entries.map(|entry| entry.path());
        let mut files: Vec<_> = files
            .filter(|path| path.extension().is_some_and(|e| e == "json"))
            .collect();
        // Ids of version 7 begin with their time.
        files.sort();
        let surplus = files.len().saturating_sub(WAITING_MAX);
        let mut reports = Vec::new();
        for (index, path) in files.iter().enumerate() {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            match serde_json::from_str(&text)
                .ok()
                .and_then(|value| from_json(&value))
            {
                Some(report) if index >= surplus && is_young(&report) => reports.push(report),
                _ => drop(std::fs::remove_file(path)),
            }
        }
        reports
    }

    /// The JSON of the reports that were sent last, the oldest first.
    pub(crate) fn sent(&self) -> Vec<String> {
        let text = std::fs::read_to_string(&self.sent).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Throws away what waits.
    pub(crate) fn clear(&self) -> Result<(), Failure> {
        match std::fs::remove_dir_all(&self.waiting) {
            Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => {
                Err(Failure::file("remove", &self.waiting, &cause))
            }
            _ => Ok(()),
        }
    }

    /// Sends what waits, in batches, until all is sent or the server does not answer.
    pub(crate) async fn deliver(&self, connection: &Connection) -> Delivery {
        let mut delivery = Delivery::default();
        for batch in self.waiting().chunks(BATCH_MAX) {
            if !self.deliver_batch(connection, batch, &mut delivery).await {
                break;
            }
        }
        delivery
    }

    /// Whether to go on after this batch.
    async fn deliver_batch(
        &self,
        connection: &Connection,
        batch: &[Report],
        delivery: &mut Delivery,
    ) -> bool {
        match reports::send(connection, batch).await {
            Ok(_) => {
                delivery.sent += batch.len();
                self.settle(batch, true);
            }
            // Taken whole or not at all: one report that is not wanted must not hold up the others.
            Err(error) if is_final(&error) && batch.len() > 1 => {
                for report in batch {
                    let alone = std::slice::from_ref(report);
                    if !Box::pin(self.deliver_batch(connection, alone, delivery)).await {
                        return false;
                    }
                }
            }
            Err(error) if is_final(&error) => {
                delivery.refused.push(error.to_string());
                self.settle(batch, false);
            }
            Err(error) => {
                delivery.stopped = Some(error);
                return false;
            }
        }
        true
    }

    fn settle(&self, batch: &[Report], was_sent: bool) {
        if was_sent {
            // The log is for its owner's eyes; without it the report has still arrived.
            let _ = self.log(batch);
        }
        for report in batch {
            let _ = std::fs::remove_file(self.file_of(&report.report_id));
        }
    }

    fn log(&self, batch: &[Report]) -> std::io::Result<()> {
        let mut lines = String::new();
        for report in batch {
            lines.push_str(&pinion_proto::to_json(report).to_string());
            lines.push('\n');
        }
        let known = self.sent();
        if known.len() + batch.len() > 2 * SENT_MAX {
            let kept = known[known.len().saturating_sub(SENT_MAX)..].join("\n");
            return std::fs::write(&self.sent, format!("{kept}\n{lines}"));
        }
        let mut file = std::fs::File::options()
            .create(true)
            .append(true)
            .open(&self.sent)?;
        file.write_all(lines.as_bytes())
    }

    fn file_of(&self, report_id: &str) -> PathBuf {
        self.waiting.join(format!("{report_id}.json"))
    }
}

/// Whether the server will say the same about this report for ever.
fn is_final(error: &Error) -> bool {
    use tonic::Code;
    matches!(
        error.code(),
        Some(Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange)
    )
}

fn is_young(report: &Report) -> bool {
    let time = uuid::Uuid::parse_str(&report.report_id)
        .ok()
        .and_then(|id| id.get_timestamp());
    let now = jiff::Timestamp::now().as_second();
    time.is_some_and(|time| {
        let age = u64::try_from(now)
            .unwrap_or(0)
            .saturating_sub(time.to_unix().0);
        age < AGE_SECONDS_MAX
    })
}

fn from_json(value: &Value) -> Option<Report> {
    let text = |key: &str| value[key].as_str().map(str::to_owned);
    let rollouts = value["rollouts"].as_array()?.iter();
    Some(Report {
        report_id: text("report_id")?,
        run_id: text("run_id")?,
        outcome: Outcome::from_str_name(&text("outcome")?)?.into(),
        category: Category::from_str_name(&text("category")?)?.into(),
        fingerprint: text("fingerprint")?,
        pins_etag: text("pins_etag")?,
        rollouts: rollouts
            .map(|id| id.as_str().map(str::to_owned))
            .collect::<Option<_>>()?,
        // A report that was kept before there were repetitions says nothing of one.
        repeat: text("repeat")
            .and_then(|name| Repeat::from_str_name(&name))
            .unwrap_or_default()
            .into(),
    })
}

#[cfg(test)]
mod tests {
    use pinion_client::Run;

    use super::*;

    #[test]
    fn a_report_waits_unchanged_and_in_order() {
        let dir = tempfile::tempdir().expect("dir");
        let outbox = Outbox::at(dir.path());
        let run = Run::with("etag", &["ro-1".to_owned()]);
        let reports = [run.started(), run.failed(Category::Crash, None)];
        for report in &reports {
            outbox.put(report).expect("kept");
        }
        assert_eq!(outbox.waiting(), reports);
        outbox.settle(&reports[..1], true);
        assert_eq!(outbox.waiting(), reports[1..]);
        assert_eq!(outbox.sent().len(), 1);
        outbox.clear().expect("cleared");
        assert_eq!(outbox.waiting(), []);
    }

    #[test]
    fn a_report_that_would_be_refused_for_its_age_is_thrown_away() {
        let dir = tempfile::tempdir().expect("dir");
        let outbox = Outbox::at(dir.path());
        let mut report = Run::with("", &[]).passed();
        report.report_id = "017f22e2-79b0-7cc3-98c4-dc0c0c07398f".into();
        outbox.put(&report).expect("kept");
        assert_eq!(outbox.waiting(), []);
        assert!(!outbox.file_of(&report.report_id).exists());
    }

    #[test]
    fn the_log_of_sent_reports_stays_small() {
        let dir = tempfile::tempdir().expect("dir");
        let outbox = Outbox::at(dir.path());
        let report = Run::with("", &[]).passed();
        for _ in 0..(3 * SENT_MAX) {
            outbox.log(std::slice::from_ref(&report)).expect("logged");
        }
        assert!(
            outbox.sent().len() <= 2 * SENT_MAX,
            "{}",
            outbox.sent().len()
        );
    }
}
