//! The filing loop: carries out what the outbox holds, worded when it was decided. Nothing is chosen here.
//!
//! The tip of the branch is read once and stored before the first push; from then on every try makes the
//! same commit, so a try whose answer was lost is simply made again.

use std::sync::Arc;
use std::time::Duration;

use pinion_core::evidence::Evidence;
use pinion_core::filing::{
    self, CategoryCount, FilingKey, FingerprintCount, Kind, Side, Wording, branch_name, message,
};
use pinion_core::outcome::{Category, Fingerprint};
use pinion_core::pin::PackageChange;
use pinion_core::reason::Reason;
use pinion_core::rollout::Rollout;
use pinion_core::source_file::{EditError, edit};
use pinion_core::state::Actor;
use pinion_core::time::Timestamp;
use tokio_util::sync::CancellationToken;

use super::Wake;
use crate::controller::{Controller, Draft, Refusal, changes_in_words};
use crate::forge::{Change, Error as ForgeError, FileEdit, Forge, Registry};
use crate::snapshot::{Snapshot, Stored};
use crate::store::keys;
use crate::store::records::{FilingRecord, FilingState, encode};

/// How often it looks without being woken.
const INTERVAL: Duration = Duration::from_secs(5);
/// The longest pause between two tries.
const PAUSE_MAX: Duration = Duration::from_secs(3600);
/// The longest answer of a forge that is kept, in characters.
const ANSWER_MAX: usize = 1000;

/// Kinds of failure that a message lists.
const FINGERPRINTS_MAX: usize = 5;

/// A change that is decided and not worded yet.
#[derive(Debug)]
pub(crate) struct Intent<'a> {
    pub(crate) rollout: &'a Rollout,
    pub(crate) reason: &'a Reason,
    pub(crate) evidence: &'a Evidence,
    pub(crate) actor: &'a Actor,
    pub(crate) at: Timestamp,
    pub(crate) kind: Kind,
    pub(crate) fingerprints: &'a [(Fingerprint, u32)],
    /// The rollout together with which it was harmful.
    pub(crate) together_with: Option<&'a Rollout>,
}

/// Puts the filing of a decision, worded, into the transaction of that decision; nothing where the pin set has no source.
pub(crate) fn intend(
    draft: &mut Draft,
    snapshot: &Snapshot,
    intent: &Intent<'_>,
) -> Option<FilingKey> {
    let rollout = intent.rollout;
    let pin_set = &snapshot.pin_set(&rollout.pin_set)?.stored.record;
    let source = pin_set.source.clone()?;
    let changes: Vec<PackageChange> = match intent.kind {
        Kind::RollBack => rollout
            .changes
            .iter()
            .map(PackageChange::reversed)
            .collect(),
        Kind::Complete => rollout.changes.clone(),
    };
    let moves: Vec<filing::PackageChange> = changes.iter().map(in_words).collect();
    // The rollout's id stands for the attempt: another rollout of the same move is another filing.
    let key = FilingKey::new(
        rollout.id.as_str(),
        source.forge.as_str(),
        &source.branch,
        &moves,
        1,
    );
    let message = message(&wording(intent, moves.clone()), &key);
    let record = FilingRecord {
        head: branch_name(intent.kind, first_package(&moves), &key),
        key: key.clone(),
        rollout: rollout.id.clone(),
        source,
        ecosystem: pin_set.ecosystem,
        changes,
        subject: message.subject,
        body: message.body,
        decided_at: intent.at,
        state: FilingState::Pending {
            parent: None,
            next_try: intent.at,
        },
        tries: 0,
        last_answer: String::new(),
    };
    draft.create(keys::filing(&key), encode(&record));
    Some(key)
}

/// The package that the branch is named after: the first one by name.
fn first_package(moves: &[filing::PackageChange]) -> &str {
    moves
        .iter()
        .map(|change| change.package.as_str())
        .min()
        .unwrap_or_default()
}

fn in_words(change: &PackageChange) -> filing::PackageChange {
    let version = |version: &Option<pinion_core::version::Version>| {
        version
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default()
    };
    filing::PackageChange {
        package: change.package.written().to_owned(),
        from_version: version(&change.from),
        to_version: version(&change.to),
    }
}

fn wording(intent: &Intent<'_>, changes: Vec<filing::PackageChange>) -> Wording {
    let evidence = intent.evidence;
    let leading = evidence.leading();
    let side = |side: &pinion_core::evidence::Side| Side {
        reported: side.reporting,
        failed: side.failed,
    };
    let mut categories: Vec<CategoryCount> = Category::ALL
        .into_iter()
        .map(|category| CategoryCount {
            category: category.to_string(),
            exposed_failed: evidence.exposed_total.by_category[category.index()],
            control_failed: evidence.control_total.by_category[category.index()],
        })
        .filter(|count| count.exposed_failed + count.control_failed > 0)
        .collect();
    categories.sort_by_key(|count| std::cmp::Reverse(count.exposed_failed));
    Wording {
        kind: intent.kind,
        changes,
        rollout: intent.rollout.id.to_string(),
        pin_set: intent.rollout.pin_set.to_string(),
        share: intent.rollout.last_share().value(),
        exposed: side(&evidence.exposed_total),
        control: side(&evidence.control_total),
        categories,
        evidence: (leading.log_threshold > 0.0).then_some(filing::Evidence {
            log_evidence: leading.log_e,
            log_threshold: leading.log_threshold,
        }),
        reason: match intent.together_with {
            None => intent.reason.to_string(),
            Some(other) => format!(
                "{}; rollout {} tries {}",
                intent.reason,
                other.id,
                changes_in_words(other)
            ),
        },
        decided_at_unix_ms: intent.at.unix_ms(),
        actor: intent.actor.to_string(),
        fingerprints: intent
            .fingerprints
            .iter()
            // What only one environment shows says little to others.
            .filter(|(_, environments)| *environments > 1)
            .take(FINGERPRINTS_MAX)
            .map(|(fingerprint, environments)| FingerprintCount {
                fingerprint: fingerprint.to_string(),
                environments: *environments,
            })
            .collect(),
        link: None,
        free_text: None,
    }
}

/// The filing loop.
#[derive(Debug)]
pub struct Filing {
    controller: Arc<Controller>,
    forges: Registry,
    wake: Wake,
}

/// What became of a try.
enum Outcome {
    Filed { commit: String, answer: String },
    Unneeded { answer: String },
    Stopped { answer: String },
    Again { pause: Duration, answer: String },
}

impl Filing {
    /// A loop that files on these forges.
    pub fn new(controller: Arc<Controller>, forges: Registry, wake: Wake) -> Self {
        Self {
            controller,
            forges,
            wake,
        }
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
                () = self.try_due() => {}
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
        let snapshot = self.controller.snapshot();
        for filing in snapshot.filings() {
            if let FilingState::Stopped { parent } = &filing.record.state {
                let state = FilingState::Pending {
                    parent: parent.clone(),
                    next_try: now,
                };
                self.write(
                    filing,
                    &FilingRecord {
                        state,
                        ..FilingRecord::clone(&filing.record)
                    },
                )
                .await?;
            }
        }
        Ok(())
    }

    /// Tries every filing that is due, once.
    async fn try_due(&self) {
        let now = self.controller.clock.now();
        let snapshot = self.controller.snapshot();
        let due: Vec<Stored<FilingRecord>> = snapshot
            .filings()
            .filter(|filing| matches!(&filing.record.state, FilingState::Pending { next_try, .. } if *next_try <= now))
            .cloned()
            .collect();
        for filing in due {
            if let Err(refusal) = self.try_one(filing).await {
                tracing::error!(%refusal, "what became of a filing could not be written; it is tried again");
            }
        }
    }

    async fn try_one(&self, filing: Stored<FilingRecord>) -> Result<(), Refusal> {
        let mut record = FilingRecord::clone(&filing.record);
        record.tries = record.tries.saturating_add(1);
        let Some(forge) = self.forges.get(&record.source.forge) else {
            let answer = format!("no forge `{}` is configured", record.source.forge);
            return self
                .note(
                    filing,
                    record,
                    Outcome::Again {
                        pause: PAUSE_MAX,
                        answer,
                    },
                )
                .await;
        };
        let FilingState::Pending { parent, .. } = &record.state else {
            return Ok(());
        };
        let parent = match parent {
            Some(parent) => parent.clone(),
            None => match forge.read(&record.source.branch, &record.source.path).await {
                Ok(tip) => {
                    let next_try = self.controller.clock.now();
                    record.state = FilingState::Pending {
                        parent: Some(tip.commit.clone()),
                        next_try,
                    };
                    self.write(&filing, &record).await?;
                    tip.commit
                }
                Err(error) => {
                    let outcome = failed(error, record.tries);
                    return self.note(filing, record, outcome).await;
                }
            },
        };
        let Some(stored) = self.stored(&record.key) else {
            return Ok(());
        };
        let outcome = self.file(forge.as_ref(), &record, parent).await;
        self.note(stored, record, outcome).await
    }

    fn stored(&self, key: &FilingKey) -> Option<Stored<FilingRecord>> {
        self.controller
            .snapshot()
            .filings()
            .find(|filing| filing.record.key == *key)
            .cloned()
    }

    /// A pure function of the record and its parent, but for what the forge answers.
    async fn file(&self, forge: &dyn Forge, record: &FilingRecord, parent: String) -> Outcome {
        let path = &record.source.path;
        let bytes = match forge.read_at(&record.source.branch, &parent, path).await {
            Ok(bytes) => bytes,
            Err(error) => return failed(error, record.tries),
        };
        let edited = match edit(record.ecosystem, path, &bytes, &record.changes) {
            Ok(edited) => edited,
            Err(error) => {
                return Outcome::Stopped {
                    answer: not_editable(&error, path),
                };
            }
        };
        if edited.bytes == bytes {
            return Outcome::Unneeded {
                answer: format!(
                    "`{path}` on `{}` has the version already",
                    record.source.branch
                ),
            };
        }
        let change = Change {
            key: record.key.clone(),
            author: forge.author().clone(),
            branch: record.source.branch.clone(),
            head: record.head.clone(),
            parent,
            edits: vec![FileEdit {
                path: path.clone(),
                bytes: edited.bytes,
            }],
            subject: record.subject.clone(),
            body: record.body.clone(),
            at_unix_s: record.decided_at.unix_ms().div_euclid(1000),
        };
        match forge.ensure_change(&change).await {
            Ok(filed) => Outcome::Filed {
                commit: filed.commit,
                answer: filed.answer,
            },
            Err(error) => failed(error, record.tries),
        }
    }

    async fn note(
        &self,
        stored: Stored<FilingRecord>,
        mut record: FilingRecord,
        outcome: Outcome,
    ) -> Result<(), Refusal> {
        let parent = match &record.state {
            FilingState::Pending { parent, .. } => parent.clone(),
            FilingState::Filed { .. } | FilingState::Unneeded | FilingState::Stopped { .. } => None,
        };
        let (state, answer) = match outcome {
            Outcome::Filed { commit, answer } => (FilingState::Filed { commit }, answer),
            Outcome::Unneeded { answer } => (FilingState::Unneeded, answer),
            Outcome::Stopped { answer } => (FilingState::Stopped { parent }, answer),
            Outcome::Again { pause, answer } => (
                FilingState::Pending {
                    parent,
                    next_try: self.controller.clock.now().plus(pause),
                },
                answer,
            ),
        };
        record.state = state;
        record.last_answer = answer
            .chars()
            .filter(|c| !c.is_control() || *c == '\n')
            .take(ANSWER_MAX)
            .collect();
        self.controller.metrics.filing(record.state.as_str());
        tracing::info!(
            rollout = %record.rollout,
            key = %record.key,
            state = record.state.as_str(),
            tries = record.tries,
            answer = record.last_answer,
            "filing"
        );
        self.write(&stored, &record).await
    }

    async fn write(
        &self,
        stored: &Stored<FilingRecord>,
        record: &FilingRecord,
    ) -> Result<(), Refusal> {
        let _lock = self.controller.lock().await;
        let mut draft = Draft::default();
        draft.replace(keys::filing(&record.key), stored.modified, encode(record));
        self.controller.commit(draft).await?;
        Ok(())
    }
}

fn failed(error: ForgeError, tries: u32) -> Outcome {
    match error {
        ForgeError::Stopped { answer } => Outcome::Stopped { answer },
        ForgeError::Retry {
            answer,
            retry_after,
        } => Outcome::Again {
            pause: retry_after.unwrap_or_else(|| pause(tries)),
            answer,
        },
    }
}

/// 2, 4, 8 ... seconds, at most an hour, with up to half of it left out at random so that servers do not march in step.
fn pause(tries: u32) -> Duration {
    let whole = Duration::from_secs(1)
        .saturating_mul(1 << tries.min(12))
        .min(PAUSE_MAX);
    whole.mul_f64(1.0 - fastrand::f64() / 2.0)
}

fn not_editable(error: &EditError, path: &str) -> String {
    format!("`{path}` cannot be edited: {error}; a person has to look at it")
}
