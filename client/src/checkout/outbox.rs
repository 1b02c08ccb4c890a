//! Reports that wait to be sent, and those that were.
//!
//! A report is a file of its own until the server has it, so that runs side by side need no lock:
//! sent twice, it changes nothing. What the owner agreed to is looked at here each time a report is kept
//! or sent, so that a withdrawal holds from that moment on, also for runs that began before it.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use pinion_client::reports::{self, BATCH_MAX};
use pinion_client::v1::{Category, Outcome, Repeat, Report};
use pinion_client::{Connection, Error};
use serde_json::Value;

use crate::failure::Failure;
use crate::session::do_not_track;

use super::{Consent, Membership, files};

/// Reports older than this are refused by the server, so they are thrown away: 7 days, less an hour.
const AGE_SECONDS_MAX: i64 = 7 * 86_400 - 3_600;

/// Reports that wait at most; beyond it the oldest go.
const WAITING_MAX: usize = 1_000;

/// Sent reports that are kept to be shown, and as many of those that stay here.
const SHOWN_MAX: usize = 200;

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
    state: PathBuf,
    waiting: PathBuf,
    sent: PathBuf,
    recorded: PathBuf,
    dropped: PathBuf,
}

impl Outbox {
    pub(super) fn at(state: &Path) -> Self {
        Self {
            state: state.to_owned(),
            waiting: state.join("outbox"),
            sent: state.join("sent.jsonl"),
            recorded: state.join("recorded.jsonl"),
            dropped: state.join("dropped"),
        }
    }

    /// Keeps a report until it is delivered; or for its owner only, or not at all, as was agreed.
    pub(crate) fn put(&self, report: &Report) -> Result<(), Failure> {
        match self.consent()? {
            Consent::Off => return Ok(()),
            Consent::Local => return self.record(std::slice::from_ref(report)),
            Consent::On => {}
        }
        files::make_private_directory(&self.waiting)?;
        let text = pinion_proto::to_json(report).to_string();
        // Twice a run, on the way of the developer's command: a report is worth less than the wait.
        files::write_private_soon(&self.file_of(&report.report_id), &text)
    }

    /// The reports that wait, the oldest first. Too many, too old and unreadable ones are thrown away, and
    /// counted in [`Outbox::dropped`]; those from before the consent as well, and not counted.
    pub(crate) fn waiting(&self) -> Vec<Report> {
        self.read(&self.files())
    }

    /// How many reports wait.
    pub(crate) fn count(&self) -> usize {
        self.files().len()
    }

    /// The files of the reports that wait, the oldest first; a thousand at most.
    fn files(&self) -> Vec<PathBuf> {
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
        self.drop_files(files.drain(..surplus));
        files
    }

    fn read(&self, files: &[PathBuf]) -> Vec<Report> {
        let since = self.consented();
        let mut reports = Vec::new();
        let mut unfit = Vec::new();
        for path in files {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            let value = serde_json::from_str(&text).ok();
            match value.and_then(|value| Self::report_of(&value)) {
                // It was never to be sent.
                Some(report) if made_at(&report).is_none_or(|at| at < since) => {
                    drop(std::fs::remove_file(path));
                }
                Some(report) if is_young(&report) => reports.push(report),
                _ => unfit.push(path.clone()),
            }
        }
        self.drop_files(unfit.into_iter());
        reports
    }

    /// Throws away reports that are lost by it.
    fn drop_files(&self, files: impl Iterator<Item = PathBuf>) {
        // Counted once: by the process that took it away.
        let dropped = files.filter(|path| std::fs::remove_file(path).is_ok());
        let dropped = dropped.count();
        if dropped > 0 {
            // A count that cannot be kept is no reason to keep the reports.
            let _ = std::fs::write(&self.dropped, (self.dropped() + dropped).to_string());
        }
    }

    /// Reports that were thrown away unsent since that was last told.
    pub(crate) fn dropped(&self) -> usize {
        let text = std::fs::read_to_string(&self.dropped).unwrap_or_default();
        text.trim().parse().unwrap_or(0)
    }

    /// The same, and from now on it is told.
    pub(crate) fn take_dropped(&self) -> Option<usize> {
        let dropped = self.dropped();
        (dropped > 0 && std::fs::remove_file(&self.dropped).is_ok()).then_some(dropped)
    }

    /// Reads a report as it was kept.
    pub(crate) fn report_of(value: &Value) -> Option<Report> {
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

    /// The JSON of the reports that were sent last, the oldest first.
    pub(crate) fn sent(&self) -> Vec<String> {
        lines(&self.sent)
    }

    /// The JSON of the outcomes that were kept for their owner only, the oldest first.
    pub(crate) fn recorded(&self) -> Vec<String> {
        lines(&self.recorded)
    }

    /// Takes what waits out of the way of the server, for its owner's eyes only.
    pub(crate) fn keep_here(&self) -> Result<(), Failure> {
        self.record(&self.waiting())?;
        self.clear()
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
        if do_not_track() || !self.consent().is_ok_and(Consent::sends) {
            return delivery;
        }
        // Read batch by batch, so that a long queue costs nothing while the server is away.
        for files in self.files().chunks(BATCH_MAX) {
            let batch = self.read(files);
            if !batch.is_empty() && !self.deliver_batch(connection, &batch, &mut delivery).await {
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
            let _ = append(&self.sent, batch);
        }
        for report in batch {
            let _ = std::fs::remove_file(self.file_of(&report.report_id));
        }
    }

    fn record(&self, reports: &[Report]) -> Result<(), Failure> {
        append(&self.recorded, reports)
            .map_err(|cause| Failure::file("write", &self.recorded, &cause))
    }

    /// What is agreed to at this moment; nothing once the checkout has left.
    fn consent(&self) -> Result<Consent, Failure> {
        let membership = Membership::load(&self.state)?;
        Ok(membership.map_or(Consent::Off, |membership| membership.consent))
    }

    /// Since when reports may be sent, in milliseconds of Unix time.
    fn consented(&self) -> i64 {
        let membership = Membership::load(&self.state).ok().flatten();
        membership.map_or(i64::MAX, |membership| {
            let since = membership.consented.unwrap_or(membership.joined);
            since.as_millisecond()
        })
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

/// When a report was made, in milliseconds of Unix time.
fn made_at(report: &Report) -> Option<i64> {
    let id = uuid::Uuid::parse_str(&report.report_id).ok()?;
    let (seconds, nanos) = id.get_timestamp()?.to_unix();
    Some(i64::try_from(seconds).ok()? * 1_000 + i64::from(nanos / 1_000_000))
}

fn is_young(report: &Report) -> bool {
    let now = jiff::Timestamp::now().as_millisecond();
    made_at(report).is_some_and(|at| now - at < AGE_SECONDS_MAX * 1_000)
}

fn lines(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// Adds reports to a log that stays small.
fn append(path: &Path, reports: &[Report]) -> std::io::Result<()> {
    let mut added = String::new();
    for report in reports {
        added.push_str(&pinion_proto::to_json(report).to_string());
        added.push('\n');
    }
    let known = lines(path);
    if known.len() + reports.len() > 2 * SHOWN_MAX {
        let kept = known[known.len().saturating_sub(SHOWN_MAX)..].join("\n");
        return std::fs::write(path, format!("{kept}\n{added}"));
    }
    let mut file = std::fs::File::options()
        .create(true)
        .append(true)
        .open(path)?;
    file.write_all(added.as_bytes())
}

#[cfg(test)]
mod tests {
    use pinion_client::Run;

    use super::*;

    /// The outbox of a checkout whose owner agreed to this, an hour ago.
    fn agreed(dir: &Path, consent: Consent) -> Outbox {
        let hour_ago = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(1);
        let membership = Membership {
            checkout: dir.to_owned(),
            server: "http://localhost:1".into(),
            environment: "env-1".into(),
            pin_set: "nova".into(),
            consent,
            consented: consent.sends().then_some(hour_ago),
            repeat: None,
            ca_file: None,
            insecure_http: false,
            joined: hour_ago,
        };
        let text = serde_json::to_string(&membership).expect("plain data");
        std::fs::write(dir.join("membership.json"), text).expect("written");
        Outbox::at(dir)
    }

    /// The id of a report that was made so many seconds ago.
    fn made_ago(seconds: u64) -> String {
        let now = u64::try_from(jiff::Timestamp::now().as_second()).expect("after 1970");
        let time = uuid::Timestamp::from_unix(uuid::NoContext, now - seconds, 0);
        uuid::Uuid::new_v7(time).to_string()
    }

    #[test]
    fn a_report_waits_unchanged_and_in_order() {
        let dir = tempfile::tempdir().expect("dir");
        let outbox = agreed(dir.path(), Consent::On);
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
    fn what_is_thrown_away_for_its_age_is_counted_until_it_is_told() {
        let dir = tempfile::tempdir().expect("dir");
        let outbox = agreed(dir.path(), Consent::On);
        let mut membership = Membership::load(dir.path())
            .expect("reads")
            .expect("joined");
        membership.consented = Some(jiff::Timestamp::UNIX_EPOCH);
        let text = serde_json::to_string(&membership).expect("plain data");
        std::fs::write(dir.path().join("membership.json"), text).expect("written");
        let mut report = Run::with("", &[]).passed();
        report.report_id = made_ago(8 * 86_400);
        outbox.put(&report).expect("kept");
        assert_eq!(outbox.waiting(), []);
        assert!(!outbox.file_of(&report.report_id).exists());
        assert_eq!(outbox.dropped(), 1);
        assert_eq!(outbox.take_dropped(), Some(1));
        assert_eq!(outbox.take_dropped(), None);
    }

    #[test]
    fn beyond_a_thousand_the_oldest_go() {
        let dir = tempfile::tempdir().expect("dir");
        let outbox = agreed(dir.path(), Consent::On);
        files::make_private_directory(&outbox.waiting).expect("made");
        let mut report = Run::with("", &[]).passed();
        let ids: Vec<_> = (0..WAITING_MAX as u64 + 3)
            .map(|n| made_ago(2_000 - n))
            .collect();
        for id in &ids {
            report.report_id.clone_from(id);
            let text = pinion_proto::to_json(&report).to_string();
            std::fs::write(outbox.file_of(id), text).expect("written");
        }
        let waiting = outbox.waiting();
        assert_eq!(waiting.len(), WAITING_MAX);
        assert_eq!(waiting[0].report_id, ids[3]);
        assert_eq!(outbox.dropped(), 3);
    }

    #[test]
    fn nothing_from_before_the_consent_waits() {
        let dir = tempfile::tempdir().expect("dir");
        let outbox = agreed(dir.path(), Consent::On);
        let mut report = Run::with("", &[]).passed();
        report.report_id = made_ago(2 * 3_600);
        outbox.put(&report).expect("kept");
        assert_eq!(outbox.waiting(), []);
        assert_eq!(outbox.dropped(), 0, "it was never to be sent");
    }

    #[test]
    fn what_is_recorded_here_never_waits() {
        let dir = tempfile::tempdir().expect("dir");
        let outbox = agreed(dir.path(), Consent::Local);
        outbox.put(&Run::with("", &[]).passed()).expect("kept");
        assert_eq!((outbox.recorded().len(), outbox.waiting()), (1, vec![]));
        agreed(dir.path(), Consent::On);
        assert_eq!(outbox.waiting(), [], "also when consent is given later");
        agreed(dir.path(), Consent::Off);
        outbox.put(&Run::with("", &[]).passed()).expect("ignored");
        assert_eq!((outbox.recorded().len(), outbox.waiting()), (1, vec![]));
    }

    #[test]
    fn the_log_of_sent_reports_stays_small() {
        let dir = tempfile::tempdir().expect("dir");
        let outbox = agreed(dir.path(), Consent::On);
        let report = Run::with("", &[]).passed();
        for _ in 0..(3 * SHOWN_MAX) {
            append(&outbox.sent, std::slice::from_ref(&report)).expect("logged");
        }
        assert!(
            outbox.sent().len() <= 2 * SHOWN_MAX,
            "{}",
            outbox.sent().len()
        );
    }
}
