//! The filing loop: carries out what the outbox holds, worded when it was decided, and looks what became of it. Nothing is
//! chosen here.
//!
//! The tip of the branch is read once and stored before the first push; from then on every try makes the
//! same commit, so a try whose answer was lost is simply made again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use pinion_core::name::ForgeName;
use pinion_core::notice::{Kind, Notice, change_became};
use tokio_util::sync::CancellationToken;

use super::Wake;
use crate::controller::{Controller, Draft, Refusal};
use crate::forge::Error as ForgeError;
use crate::snapshot::Stored;
use crate::store::keys;
use crate::store::records::{FilingRecord, FilingState, encode};

mod attempt;
mod intent;
mod review;

pub(crate) use intent::{Intent, again, intend};

/// How often it looks without being woken.
const INTERVAL: Duration = Duration::from_secs(5);
/// The longest pause between two tries.
const PAUSE_MAX: Duration = Duration::from_secs(3600);
/// The longest answer of a forge that is kept, in bytes: a filing has to fit into one record.
const ANSWER_BYTES_MAX: usize = 600;

/// The filing loop.
#[derive(Clone, Debug)]
pub struct Filing {
    controller: Arc<Controller>,
    wake: Wake,
}

impl Filing {
    /// A loop that files on the forges of the controller.
    pub fn new(controller: Arc<Controller>, wake: Wake) -> Self {
        Self { controller, wake }
    }

    /// Runs until it is cancelled.
    pub async fn run(self, cancelled: CancellationToken) {
        if let Err(refusal) = self.try_stopped_again().await {
            tracing::error!(%refusal, "filings that had stopped stay so until the next start");
        }
        loop {
            tokio::select! {
                biased;
                () = cancelled.cancelled() => return,
                () = self.do_due() => {}
            }
            tokio::select! {
                () = cancelled.cancelled() => return,
                () = self.wake.woken() => {}
                () = tokio::time::sleep(INTERVAL) => {}
            }
        }
    }

    /// Makes filings that had stopped due: whoever started the server may have seen to the cause.
    async fn try_stopped_again(&self) -> Result<(), Refusal> {
        let now = self.controller.clock.now();
        for filing in self.controller.snapshot().filings() {
            if let FilingState::Stopped { parent } = &filing.record.state {
                let state = FilingState::Pending {
                    parent: parent.clone(),
                    next_try: now,
                };
                let record = FilingRecord {
                    state,
                    ..FilingRecord::clone(&filing.record)
                };
                self.write(filing, &record).await?;
            }
        }
        Ok(())
    }

    /// Does what is due, once: forges side by side, the filings of one forge in the order in which they were decided.
    async fn do_due(&self) {
        let now = self.controller.clock.now();
        let snapshot = self.controller.snapshot();
        let spoken = self.controller.take_spoken();
        let mut due: BTreeMap<ForgeName, Vec<Stored<FilingRecord>>> = BTreeMap::new();
        for filing in snapshot.filings() {
            let forge = filing.record.source.forge.clone();
            let is_spoken_of =
                spoken.contains(&forge) && matches!(filing.record.state, FilingState::Filed { .. });
            let is_due = filing.record.state.due().is_some_and(|due| due <= now);
            if is_due || is_spoken_of {
                due.entry(forge).or_default().push(filing.clone());
            }
        }
        let mut tasks = tokio::task::JoinSet::new();
        for (_, mut filings) in due {
            filings.sort_by(|a, b| {
                let order = |filing: &Stored<FilingRecord>| {
                    (filing.record.decided_at, filing.record.key.clone())
                };
                order(a).cmp(&order(b))
            });
            let this = self.clone();
            tasks.spawn(async move { this.do_all(filings).await });
        }
        // Dropping the set, where the loop is cancelled, ends the tasks; what they have begun is tried again.
        while tasks.join_next().await.is_some() {}
    }

    async fn do_all(&self, filings: Vec<Stored<FilingRecord>>) {
        for filing in filings {
            let done = match &filing.record.state {
                FilingState::Pending { parent, .. } => {
                    let parent = parent.clone();
                    self.attempt(filing, parent).await
                }
                FilingState::Filed { commit, .. } => {
                    let commit = commit.clone();
                    self.look(filing, commit).await
                }
                FilingState::Merged { .. }
                | FilingState::Declined { .. }
                | FilingState::Unneeded
                | FilingState::Stopped { .. } => Ok(()),
            };
            if let Err(refusal) = done {
                tracing::error!(%refusal, "what became of a filing could not be written; it is tried again");
            }
        }
    }

    /// Writes the filing in its new state, with the forge's words, and says so.
    async fn note(
        &self,
        stored: &Stored<FilingRecord>,
        mut record: FilingRecord,
        state: FilingState,
        answer: &str,
    ) -> Result<(), Refusal> {
        record.state = state;
        record.last_answer = short(answer, ANSWER_BYTES_MAX);
        self.controller.metrics.filing(record.state.as_str());
        tracing::info!(
            rollout = %record.rollout,
            key = %record.key,
            state = record.state.as_str(),
            tries = record.tries,
            answer = record.last_answer,
            "filing"
        );
        let told = self.told(&stored.record, &record);
        self.write_and_tell(stored, &record, told).await
    }

    /// What people are told of a filing that has come on: each of it once, and the same words of a forge once.
    fn told(&self, before: &FilingRecord, after: &FilingRecord) -> Option<Notice> {
        let is_same = before.state.as_str() == after.state.as_str();
        let kind = match after.state {
            FilingState::Filed { .. } if !is_same => Kind::ChangeFiled,
            FilingState::Merged { .. } => Kind::ChangeMerged,
            FilingState::Declined { .. } => Kind::ChangeDeclined,
            FilingState::Stopped { .. } if before.last_answer != after.last_answer => {
                Kind::ChangeStopped
            }
            _ => return None,
        };
        let snapshot = self.controller.snapshot();
        let rollout = &snapshot.rollout(&after.rollout)?.record;
        let change = (&after.source.forge, after.subject.as_str());
        let place = after.url.as_deref().unwrap_or(&after.head);
        let answer = (place, after.last_answer.as_str());
        let now = self.controller.clock.now();
        Some(change_became(kind, rollout, change, answer, now))
    }

    async fn write(
        &self,
        stored: &Stored<FilingRecord>,
        record: &FilingRecord,
    ) -> Result<(), Refusal> {
        self.write_and_tell(stored, record, None).await
    }

    async fn write_and_tell(
        &self,
        stored: &Stored<FilingRecord>,
        record: &FilingRecord,
        notice: Option<Notice>,
    ) -> Result<(), Refusal> {
        let _lock = self.controller.lock().await;
        let mut draft = Draft::default();
        draft.replace(keys::filing(&record.key), stored.modified, encode(record));
        draft.tell(notice);
        self.controller.commit(draft).await?;
        self.controller.note_change();
        Ok(())
    }
}

/// When a failed call is made again; `None`: not before a person has acted.
fn pause_after(error: &ForgeError, tries: u32) -> Option<Duration> {
    match error {
        ForgeError::Stopped { .. } => None,
        ForgeError::Retry { retry_after, .. } => {
            let asked = retry_after.map(|wait| wait.max(Duration::from_secs(1)));
            Some(asked.unwrap_or_else(|| pause(tries)))
        }
    }
}

/// 2, 4, 8 ... seconds, at most an hour, with up to half of it left out at random so that servers do not march in step.
pub(super) fn pause(tries: u32) -> Duration {
    let whole = Duration::from_secs(1)
        .saturating_mul(1 << tries.min(12))
        .min(PAUSE_MAX);
    whole.mul_f64(1.0 - fastrand::f64() / 2.0)
}

/// The answer without control characters, in at most so many bytes.
pub(super) fn short(answer: &str, bytes_max: usize) -> String {
    let mut kept = String::new();
    for c in answer.chars().filter(|c| !c.is_control() || *c == '\n') {
        if kept.len() + c.len_utf8() > bytes_max {
            break;
        }
        kept.push(c);
    }
    kept
}
