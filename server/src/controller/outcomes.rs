//! Reports: durable before they are acknowledged, and counted once however often they are sent.
//!
//! Nothing is decided here. Which epoch a report belongs to is found when it is folded.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pinion_core::evidence::{Order, Ordinal};
use pinion_core::name::RolloutId;
use pinion_core::outcome::Outcome;
use pinion_core::time::Timestamp;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::{Controller, Identity, Refusal};
use crate::snapshot::{Snapshot, subject};
use crate::store::records::{
    EnvironmentRecord, JournalEntry, JournalEvent, JournalRecord, Role, decode_seen,
};
use crate::store::{
    Commit, Condition, Error, Key, Operation, PAGE_MAX, Revision, Transaction, keys,
};

/// Reports of one batch, at most.
pub const REPORTS_MAX: usize = 100;
/// Rollouts that one report may name.
const ROLLOUTS_MAX: usize = 64;
/// The oldest report that is taken: a repeat is recognised for longer than that.
const AGE_MAX: Duration = Duration::from_secs(7 * 86_400);
/// How far ahead of ours an environment's clock may be.
const AHEAD_MAX: Duration = Duration::from_secs(86_400);
/// For how many days report ids are remembered.
pub(crate) const SEEN_DAYS: i64 = 9;
/// Pulls of one journal record.
const PULLS: usize = 500;
/// Journal records that wait for the fold, at most; beyond it reports are refused until it has caught up.
const BACKLOG_MAX: u64 = 10_000;

/// One report.
#[derive(Clone, Debug)]
pub struct Report {
    /// A UUID, version 7.
    pub id: Uuid,
    /// What happened.
    pub outcome: Outcome,
    /// Rollouts whose candidate the run used, as it was told.
    pub rollouts: Vec<RolloutId>,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// New reports.
    pub accepted: u32,
    /// Reports that had been taken before.
    pub repeated: u32,
}

/// A journal record that is durable and not counted yet.
#[derive(Debug)]
pub(crate) struct Journaled {
    /// Its key.
    pub(crate) key: Key,
    /// The revision of its commit.
    pub(crate) revision: Revision,
    /// What it holds.
    pub(crate) record: JournalRecord,
}

/// What this process has journaled.
#[derive(Debug, Default)]
pub(super) struct Journal {
    sequence: AtomicU64,
    /// Records that are not folded yet, as far as that is known.
    backlog: AtomicU64,
    seen: Mutex<Seen>,
}

/// Pulls that are not journaled yet.
#[derive(Debug)]
pub(super) struct Pulls {
    noted: mpsc::UnboundedSender<Ordinal>,
    waiting: tokio::sync::Mutex<mpsc::UnboundedReceiver<Ordinal>>,
}

impl Default for Pulls {
    fn default() -> Self {
        let (noted, waiting) = mpsc::unbounded_channel();
        Self {
            noted,
            waiting: tokio::sync::Mutex::new(waiting),
        }
    }
}

/// Report ids of the last days, each with the place at which it was first taken.
#[derive(Debug, Default)]
pub(super) struct Seen {
    days: BTreeMap<i64, HashMap<u64, Order>>,
}

impl Seen {
    fn contains(&self, report: u64) -> bool {
        self.days.values().any(|day| day.contains_key(&report))
    }

    /// Notes where a report was taken; of two places the first one stays. Returns the one that stays.
    fn note(&mut self, day: i64, report: u64, order: Order) -> Order {
        if let Some(first) = self.days.values_mut().find_map(|day| day.get_mut(&report)) {
            *first = (*first).min(order);
            return *first;
        }
        self.days.entry(day).or_default().insert(report, order);
        order
    }

    fn forget_before(&mut self, day: i64) {
        self.days = self.days.split_off(&day);
    }
}

fn note_all(seen: &mut Seen, record: &JournalRecord, revision: u64) {
    for (index, entry) in record
        .entries
        .iter()
        .enumerate()
        .filter(|(_, entry)| entry.report != 0)
    {
        seen.note(entry.at.day(), entry.report, order(revision, index));
    }
}

/// The place of an entry of a journal record.
pub(crate) fn order(revision: u64, index: usize) -> Order {
    Order::new(revision, u16::try_from(index).unwrap_or(u16::MAX))
}

impl Controller {
    /// Takes a batch of reports, whole or not at all; when this returns they are durable.
    ///
    /// # Errors
    /// If the caller is no environment with consent, or a report cannot be taken; then none was.
    pub async fn report(&self, caller: &Identity, reports: &[Report]) -> Result<Taken, Refusal> {
        caller.require(&[Role::Environment, Role::Ci])?;
        let Some(id) = &caller.environment else {
            return Err(Refusal::Precondition {
                code: "NOT_ENROLLED",
                cause: "this token belongs to no environment, so its reports cannot be counted"
                    .to_owned(),
                hint: "`pinion join` enrols one".to_owned(),
            });
        };
        let snapshot = self.snapshot();
        let environment = &snapshot
            .environment(id)
            .ok_or_else(|| Refusal::no_environment(id))?
            .stored
            .record;
        if !environment.reporting {
            return Err(Refusal::no_consent());
        }
        if reports.is_empty() || reports.len() > REPORTS_MAX {
            return Err(Refusal::invalid(
                "reports",
                format!(
                    "a batch of {} reports; send 1 to {REPORTS_MAX} at a time",
                    reports.len()
                ),
            ));
        }
        let now = self.clock.now();
        for (index, report) in reports.iter().enumerate() {
            check_report(report, now).map_err(|refusal| at_index(refusal, index))?;
        }
        if self.check_exposures(environment, reports).is_err() {
            // Another server may have given it a candidate of which this one has not heard yet.
            self.catch_up().await?;
            self.check_exposures(environment, reports)?;
        }
        let taken = self.journal_reports(environment, reports, now).await?;
        self.metrics.reports(taken.accepted, taken.repeated);
        self.wake_promotion();
        Ok(taken)
    }

    /// Whether the environment had every candidate that a report names.
    fn check_exposures(
        &self,
        environment: &EnvironmentRecord,
        reports: &[Report],
    ) -> Result<(), Refusal> {
        let snapshot = self.snapshot();
        for (index, report) in reports.iter().enumerate() {
            for id in &report.rollouts {
                check_exposure(&snapshot, environment, id)
                    .map_err(|refusal| at_index(refusal, index))?;
            }
        }
        Ok(())
    }

    async fn journal_reports(
        &self,
        environment: &EnvironmentRecord,
        reports: &[Report],
        now: Timestamp,
    ) -> Result<Taken, Refusal> {
        if self.journal.backlog.load(Ordering::Relaxed) >= BACKLOG_MAX {
            return Err(Refusal::Exhausted {
                cause: format!("{BACKLOG_MAX} batches of reports wait to be counted"),
                hint: "send this one again in a minute; nothing of it was kept".to_owned(),
            });
        }
        let mut entries: Vec<JournalEntry> = Vec::with_capacity(reports.len());
        if let Ok(seen) = self.journal.seen.lock() {
            for report in reports {
                let hash = hash_of(environment, report.id);
                if !seen.contains(hash) && entries.iter().all(|entry| entry.report != hash) {
                    let event = JournalEvent::Reported(report.outcome);
                    entries.push(JournalEntry {
                        ordinal: environment.ordinal,
                        report: hash,
                        at: now,
                        event,
                    });
                }
            }
        }
        let accepted = u32::try_from(entries.len()).unwrap_or(u32::MAX);
        let repeated = u32::try_from(reports.len()).unwrap_or(u32::MAX) - accepted;
        if !entries.is_empty() {
            self.journal(JournalRecord { entries }).await?;
        }
        Ok(Taken { accepted, repeated })
    }

    /// Makes a record durable.
    pub(crate) async fn journal(&self, record: JournalRecord) -> Result<(), Error> {
        let sequence = self.journal.sequence.fetch_add(1, Ordering::Relaxed);
        let key = keys::journal(self.process, sequence);
        let put = Transaction {
            conditions: vec![Condition::Absent(key.clone())],
            operations: vec![Operation::Put(key.clone(), record.encode())],
        };
        let revision = match self.store.commit(put).await? {
            Commit::Done(revision) => revision,
            Commit::Conflict => return Err(Error::Unknown(format!("`{key}` exists already"))),
        };
        if let Ok(mut seen) = self.journal.seen.lock() {
            note_all(&mut seen, &record, revision);
        }
        self.journal.backlog.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Notes that a draw key pulled pins; a loop makes it durable.
    pub(super) fn note_poll(&self, ordinal: Ordinal) {
        // The receiver is held beside the sender.
        let _ = self.pulls.noted.send(ordinal);
    }

    /// Makes the pulls durable that were noted.
    ///
    /// # Errors
    /// If the store cannot keep them.
    pub(crate) async fn journal_pulls(&self) -> Result<(), Error> {
        let mut waiting = self.pulls.waiting.lock().await;
        let at = self.clock.now();
        let mut entries = Vec::new();
        while let Ok(ordinal) = waiting.try_recv() {
            entries.push(JournalEntry {
                ordinal,
                report: 0,
                at,
                event: JournalEvent::Polled,
            });
        }
        for entries in entries.chunks(PULLS) {
            let entries = entries.to_vec();
            self.journal(JournalRecord { entries }).await?;
        }
        Ok(())
    }

    /// Everything that any server has acknowledged and that is not counted yet, in the order of its commits.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(crate) async fn unfolded(&self) -> Result<Vec<Journaled>, Error> {
        let mut journaled: Vec<Journaled> = Vec::new();
        // What was committed after the first page was read may be on later ones without what was committed before it.
        let mut known_until = None;
        loop {
            let last = journaled.last().map(|journaled| journaled.key.clone());
            let page = self
                .store
                .page(keys::JOURNAL, last.as_ref(), PAGE_MAX)
                .await?;
            known_until.get_or_insert(page.revision);
            for entry in page.entries {
                journaled.push(Journaled {
                    record: JournalRecord::decode(&entry.key, &entry.value)?,
                    key: entry.key,
                    revision: entry.created,
                });
            }
            if !page.more {
                break;
            }
        }
        journaled.retain(|journaled| known_until.is_none_or(|until| journaled.revision <= until));
        journaled.sort_by_key(|journaled| journaled.revision);
        Ok(journaled)
    }

    /// Notes every report id that any server has taken: for the server that begins to count.
    ///
    /// # Errors
    /// If they cannot be read.
    pub(crate) async fn learn_seen(&self) -> Result<(), Error> {
        let mut known = Vec::new();
        for entry in super::read_all(self.store.as_ref(), keys::SEEN).await? {
            let day = keys::day_of(&entry.key).unwrap_or(0);
            known.push((day, decode_seen(&entry.key, &entry.value)?));
        }
        let unfolded = self.unfolded().await?;
        if let Ok(mut seen) = self.journal.seen.lock() {
            for (day, reports) in known {
                for report in reports {
                    seen.note(day, report, Order::new(0, 0));
                }
            }
            for journaled in &unfolded {
                note_all(&mut seen, &journaled.record, journaled.revision);
            }
        }
        Ok(())
    }

    /// Looks how much of what this process journaled is not folded yet, and forgets report ids that are too old to be
    /// repeated.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub(crate) async fn measure_backlog(&self) -> Result<(), Error> {
        let next = self.journal.sequence.load(Ordering::Relaxed);
        let prefix = keys::journal_prefix(self.process);
        let page = self.store.page(&prefix, None, 1).await?;
        let oldest = page
            .entries
            .first()
            .and_then(|entry| keys::sequence_of_journal(&entry.key));
        let backlog = oldest.map_or(0, |oldest| next.saturating_sub(oldest));
        self.journal.backlog.store(backlog, Ordering::Relaxed);
        if let Ok(mut seen) = self.journal.seen.lock() {
            seen.forget_before(self.clock.now().day() - SEEN_DAYS);
        }
        Ok(())
    }

    /// Whether this is the place at which a report counts; a repeat of it counts nowhere.
    pub(crate) fn counts_at(&self, entry: &JournalEntry, order: Order) -> bool {
        let Ok(mut seen) = self.journal.seen.lock() else {
            return false;
        };
        seen.note(entry.at.day(), entry.report, order) == order
    }
}

/// Whether a report has an id of the last days, and not too many rollouts.
fn check_report(report: &Report, now: Timestamp) -> Result<(), Refusal> {
    let made = report
        .id
        .get_timestamp()
        .filter(|_| report.id.get_version_num() == 7)
        .map(|time| time.to_unix())
        .and_then(|(seconds, nanos)| {
            Some(i64::try_from(seconds).ok()? * 1000 + i64::from(nanos / 1_000_000))
        })
        .map(Timestamp::from_unix_ms)
        .ok_or_else(|| {
            Refusal::invalid(
                "report_id",
                format!("`{}` is no UUID of version 7", report.id),
            )
        })?;
    if made < now.minus(AGE_MAX) || made > now.plus(AHEAD_MAX) {
        return Err(Refusal::invalid(
            "report_id",
            format!(
                "it was made on {made}, and it is {now}: reports are taken for 7 d; drop it, or set the clock"
            ),
        ));
    }
    if report.rollouts.len() > ROLLOUTS_MAX {
        return Err(Refusal::invalid(
            "rollouts",
            format!("more than {ROLLOUTS_MAX}"),
        ));
    }
    Ok(())
}

/// Whether the environment had a rollout's candidate.
fn check_exposure(
    snapshot: &Snapshot,
    environment: &EnvironmentRecord,
    id: &RolloutId,
) -> Result<(), Refusal> {
    let rollout = &snapshot
        .rollout(id)
        .ok_or_else(|| Refusal::no_rollout(id))?
        .record;
    let subject = subject(environment);
    if rollout.pin_set == environment.pin_set && subject.was_exposed(rollout) {
        return Ok(());
    }
    Err(Refusal::Precondition {
        code: "NOT_IN_ROLLOUT",
        cause: format!("this environment has never had the candidate of rollout `{id}`"),
        hint: "report the rollouts that the last pull of pins named".to_owned(),
    })
}

/// A hash of a report's id, bound to its environment so that nobody can use up another's ids. Never 0.
fn hash_of(environment: &EnvironmentRecord, id: Uuid) -> u64 {
    let digest = Sha256::new()
        .chain_update(environment.id.as_str())
        .chain_update(id.as_bytes())
        .finalize();
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&digest[..8]);
    u64::from_le_bytes(bytes).max(1)
}

fn at_index(refusal: Refusal, index: usize) -> Refusal {
    match refusal {
        Refusal::Invalid { field, cause } => Refusal::Invalid {
            field: format!("reports[{index}].{field}"),
            cause,
        },
        Refusal::Precondition { code, cause, hint } => Refusal::Precondition {
            code,
            cause: format!("reports[{index}]: {cause}"),
            hint,
        },
        other => other,
    }
}
