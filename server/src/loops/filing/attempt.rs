//! One try to file a change.

use std::time::Duration;

use pinion_core::filing::{FilingKey, Kind};
use pinion_core::source_file::{EditError, edit};
use pinion_core::time::Timestamp;

use super::{Filing, PAUSE_MAX, pause_after};
use crate::controller::Refusal;
use crate::forge::{Change, ChangeState, Error as ForgeError, FileEdit, Filed, Forge};
use crate::snapshot::Stored;
use crate::store::records::{FilingRecord, FilingState};

/// How long a filing waits when as many are open as its forge may have.
const HELD_BACK: Duration = Duration::from_secs(600);
const DAY: Duration = Duration::from_secs(86_400);

/// What the branch needs.
enum Needed {
    /// These edits; and what was left out of them, in words.
    Edits(Vec<FileEdit>, Vec<String>),
    /// Nothing.
    Nothing,
}

/// Why a change cannot be made up.
enum Trouble {
    Forge(ForgeError),
    /// A person has to look at the file.
    File(String),
}

impl Filing {
    /// Tries to file the change; `parent`: the commit it is built on, once that was read.
    pub(super) async fn attempt(
        &self,
        filing: Stored<FilingRecord>,
        parent: Option<String>,
    ) -> Result<(), Refusal> {
        let mut record = FilingRecord::clone(&filing.record);
        record.tries = record.tries.saturating_add(1);
        let now = self.controller.clock.now();
        let later = |pause: Duration, parent: Option<String>| FilingState::Pending {
            parent,
            next_try: now.plus(pause),
        };
        let Some(forge) = self.controller.forges.get(&record.source.forge).cloned() else {
            let answer = format!("no forge `{}` is configured", record.source.forge);
            let state = later(PAUSE_MAX, parent);
            return self.note(&filing, record, state, &answer).await;
        };
        let (filing, parent) = match parent {
            Some(parent) => (filing, parent),
            None => {
                if let Some(answer) = self.held_back(&record, now) {
                    record.tries = filing.record.tries;
                    return self
                        .note(&filing, record, later(HELD_BACK, None), &answer)
                        .await;
                }
                match forge.read(&record.source.branch, &record.source.path).await {
                    Ok(tip) => {
                        record.state = FilingState::Pending {
                            parent: Some(tip.commit.clone()),
                            next_try: now,
                        };
                        self.write(&filing, &record).await?;
                        let Some(stored) = self.stored(&record.key) else {
                            return Ok(());
                        };
                        (stored, tip.commit)
                    }
                    Err(error) => {
                        let state = match pause_after(&error, record.tries) {
                            Some(pause) => later(pause, None),
                            None => FilingState::Stopped { parent: None },
                        };
                        return self.note(&filing, record, state, error.answer()).await;
                    }
                }
            }
        };
        let (state, answer) = match self.file(forge.as_ref(), &record, &parent).await {
            Ok(Some((filed, left_out))) => {
                record.filed_at = record.filed_at.or(Some(now));
                record.url = filed.url;
                let commit = filed.commit;
                let state = match filed.state {
                    ChangeState::Open => FilingState::Filed {
                        commit,
                        next_look: now.plus(super::review::SOONEST),
                    },
                    ChangeState::Merged => FilingState::Merged { commit },
                    ChangeState::Declined => FilingState::Declined { commit },
                };
                (state, [vec![filed.answer], left_out].concat().join("; "))
            }
            Ok(None) => {
                let answer = format!(
                    "`{}` on `{}` has the version already",
                    record.source.path, record.source.branch
                );
                (FilingState::Unneeded, answer)
            }
            Err(Trouble::File(answer)) => (
                FilingState::Stopped {
                    parent: Some(parent),
                },
                answer,
            ),
            Err(Trouble::Forge(error)) => {
                let state = match pause_after(&error, record.tries) {
                    Some(pause) => later(pause, Some(parent)),
                    None => FilingState::Stopped {
                        parent: Some(parent),
                    },
                };
                (state, error.answer().to_owned())
            }
        };
        self.note(&filing, record, state, &answer).await
    }

    fn stored(&self, key: &FilingKey) -> Option<Stored<FilingRecord>> {
        self.controller
            .snapshot()
            .filings()
            .find(|filing| filing.record.key == *key)
            .cloned()
    }

    /// Why a filing that has not been begun waits: as many are open, or were filed in 24 hours, as its forge may have.
    fn held_back(&self, record: &FilingRecord, now: Timestamp) -> Option<String> {
        let rules = self.controller.forges.rules(&record.source.forge)?;
        let snapshot = self.controller.snapshot();
        let (mut open, mut today) = (0u32, 0u32);
        for other in snapshot.filings().map(|other| &other.record) {
            if other.source.forge != record.source.forge || other.key == record.key {
                continue;
            }
            let is_begun = matches!(
                other.state,
                FilingState::Pending {
                    parent: Some(_),
                    ..
                }
            );
            open += u32::from(is_begun || matches!(other.state, FilingState::Filed { .. }));
            let is_of_today = other.filed_at.is_some_and(|at| at.plus(DAY) > now);
            today += u32::from(is_begun || is_of_today);
        }
        let forge = &record.source.forge;
        if open >= rules.open_max {
            Some(format!(
                "held back: {open} changes wait for people on `{forge}`, as many as its `open_max` allows; see to those, or \
                 raise it"
            ))
        } else if today >= rules.per_day_max {
            Some(format!(
                "held back: {today} changes were filed on `{forge}` in 24 hours, as many as its `per_day_max` allows"
            ))
        } else {
            None
        }
    }

    /// A pure function of the record and its parent, but for what the forge answers; nothing where nothing is needed.
    async fn file(
        &self,
        forge: &dyn Forge,
        record: &FilingRecord,
        parent: &str,
    ) -> Result<Option<(Filed, Vec<String>)>, Trouble> {
        let (edits, left_out) = match needed(forge, record, parent).await? {
            Needed::Edits(edits, left_out) => (edits, left_out),
            Needed::Nothing => return Ok(None),
        };
        let change = Change {
            key: record.key.clone(),
            author: forge.author().clone(),
            branch: record.source.branch.clone(),
            head: record.head.clone(),
            parent: parent.to_owned(),
            edits,
            subject: record.subject.clone(),
            body: record.body.clone(),
            at_unix_s: record.decided_at.unix_ms().div_euclid(1000),
        };
        let filed = forge.ensure_change(&change).await.map_err(Trouble::Forge)?;
        Ok(Some((filed, left_out)))
    }
}

/// The edits of the files at the parent.
async fn needed(forge: &dyn Forge, record: &FilingRecord, parent: &str) -> Result<Needed, Trouble> {
    let source = &record.source;
    let read = async |path: &str| {
        let bytes = forge.read_at(&source.branch, parent, path).await;
        bytes.map_err(Trouble::Forge)
    };
    let mut edits = Vec::new();
    let left_out = Vec::new();
    let before = read(&source.path).await?;
    let after = edit(record.ecosystem, &before, &record.changes)
        .map_err(|error| not_editable(&error, &source.path))?;
    if after.bytes != before {
        edits.push(FileEdit {
            path: source.path.clone(),
            bytes: after.bytes,
        });
    }
    if let (Kind::RollBack, Some(path)) = (record.kind, &source.exclusions_path) {
        let _ = path;
    }
    Ok(match edits.is_empty() {
        true => Needed::Nothing,
        false => Needed::Edits(edits, left_out),
    })
}

fn not_editable(error: &EditError, path: &str) -> Trouble {
    Trouble::File(format!(
        "`{path}` cannot be edited: {error}; a person has to look at it"
    ))
}
