//! Changes on forges, as release managers ask for them. What is filed is carried out by the filing loop.

use std::sync::Arc;

use pinion_core::evidence::Evidence;
use pinion_core::name::{ForgeName, PinSetName, RolloutId};
use pinion_core::reason::Reason;
use pinion_core::rollout::Rollout;

use super::rollouts::{FILE_AGAIN, words_of};
use super::{Controller, Draft, Identity, Note, Refusal, logged};
use crate::forge::{Finding, Target};
use crate::loops::filing::again;
use crate::store::keys;
use crate::store::records::{FilingRecord, FilingState, Role, encode};

/// A forge, as people see it.
#[derive(Clone, Debug)]
pub struct ForgeListing {
    /// What sources call it.
    pub name: ForgeName,
    /// Such as `gerrit`.
    pub kind: String,
    /// The repository, without secrets.
    pub project: String,
    /// Pin sets that have a file there.
    pub pin_sets: Vec<PinSetName>,
    /// Changes that wait for people there.
    pub open_filings: usize,
}

impl Controller {
    /// Files the change of a rollout again: at once where it waits or had stopped, as a new change where a person declined it.
    ///
    /// # Errors
    /// If the rollout has no change, or one that waits for people, is merged or is not needed.
    pub async fn file_rollout(
        &self,
        caller: &Identity,
        id: &RolloutId,
        expected_revision: u64,
        words: &str,
    ) -> Result<Arc<Rollout>, Refusal> {
        caller.require(&[Role::ReleaseManager])?;
        let words = words_of(words)?;
        let _lock = self.lock().await;
        let snapshot = self.snapshot();
        let stored = snapshot
            .rollout(id)
            .ok_or_else(|| Refusal::no_rollout(id))?;
        let rollout = &stored.record;
        caller.require_pin_set(&rollout.pin_set)?;
        if expected_revision != 0 && expected_revision != rollout.decisions {
            return Err(Refusal::Stale {
                what: format!("rollout `{id}`"),
                now: format!("at revision {}", rollout.decisions),
            });
        }
        let now = self.clock.now();
        let filing = snapshot
            .filing_of(id)
            .ok_or_else(|| nothing_to_file(rollout))?;
        let mut draft = Draft::default();
        match &filing.record.state {
            FilingState::Pending { parent, .. } | FilingState::Stopped { parent } => {
                let state = FilingState::Pending {
                    parent: parent.clone(),
                    next_try: now,
                };
                let record = FilingRecord {
                    state,
                    ..FilingRecord::clone(&filing.record)
                };
                let key = keys::filing(&record.key);
                draft.replace(key, filing.modified, encode(&record));
            }
            FilingState::Declined { .. } => {
                let record = again(&filing.record, now);
                draft.create(keys::filing(&record.key), encode(&record));
            }
            state @ (FilingState::Filed { .. }
            | FilingState::Merged { .. }
            | FilingState::Unneeded) => {
                return Err(Refusal::Precondition {
                    code: "NOT_TO_BE_FILED",
                    cause: format!(
                        "the change of rollout `{id}` is {} ({})",
                        state.as_str(),
                        filing.record.last_answer
                    ),
                    hint: "there is nothing to file again".to_owned(),
                });
            }
        }
        let note = Note {
            actor: caller.actor.clone(),
            action: FILE_AGAIN,
            reason: Reason::Asked { words },
            evidence: Evidence::default(),
            folded: 0,
            cells: None,
            exposure: None,
        };
        let next = logged(
            &mut draft,
            Some(rollout),
            Rollout::clone(rollout),
            note,
            now,
        );
        draft.replace(keys::rollout(id), stored.modified, encode(&next));
        self.commit(draft).await?;
        self.wake_filing();
        Ok(Arc::new(next))
    }

    /// The forges of the configuration, by name.
    ///
    /// # Errors
    /// If the caller may not see them.
    pub fn list_forges(&self, caller: &Identity) -> Result<Vec<ForgeListing>, Refusal> {
        caller.require(&[Role::Viewer])?;
        let snapshot = self.snapshot();
        let mut listed = Vec::new();
        for name in self.forges.names() {
            let (Some(forge), Some(rules)) = (self.forges.get(name), self.forges.rules(name))
            else {
                continue;
            };
            let is_open = |filing: &FilingRecord| {
                filing.source.forge == *name && matches!(filing.state, FilingState::Filed { .. })
            };
            listed.push(ForgeListing {
                name: name.clone(),
                kind: rules.kind.clone(),
                project: forge.project().to_owned(),
                pin_sets: self
                    .targets(caller, name)
                    .into_iter()
                    .map(|(pin_set, _)| pin_set)
                    .collect(),
                open_filings: snapshot
                    .filings()
                    .filter(|filing| is_open(&filing.record))
                    .count(),
            });
        }
        Ok(listed)
    }

    /// Tries what filing a change takes, for this file or for those of the pin sets, and files nothing.
    ///
    /// # Errors
    /// If no such forge is configured, or the caller may not ask.
    pub async fn check_forge(
        &self,
        caller: &Identity,
        name: &ForgeName,
        target: Option<Target>,
    ) -> Result<Vec<Finding>, Refusal> {
        caller.require(&[Role::ReleaseManager])?;
        let forge = self.forges.get(name).ok_or_else(|| Refusal::NotFound {
            kind: "forge",
            name: name.to_string(),
            hint: "`pinion forge list` shows those of the server's configuration",
        })?;
        let mut targets: Vec<Target> = match target {
            Some(target) => vec![target],
            None => self
                .targets(caller, name)
                .into_iter()
                .map(|(_, target)| target)
                .collect(),
        };
        targets.dedup();
        let mut findings = forge.check(targets.first()).await;
        for target in targets.iter().skip(1) {
            let read = forge.read(&target.branch, &target.path).await;
            findings.push(Finding::of_file(target, read));
        }
        Ok(findings)
    }

    /// The files that pin sets have on a forge.
    fn targets(&self, caller: &Identity, name: &ForgeName) -> Vec<(PinSetName, Target)> {
        let snapshot = self.snapshot();
        let mut targets = Vec::new();
        for entry in snapshot.pin_sets() {
            let record = &entry.stored.record;
            let source = record
                .source
                .as_ref()
                .filter(|source| source.forge == *name);
            let Some(source) = source.filter(|_| caller.require_pin_set(&record.name).is_ok())
            else {
                continue;
            };
            for path in std::iter::once(&source.path).chain(&source.exclusions_path) {
                let target = Target {
                    branch: source.branch.clone(),
                    path: path.clone(),
                };
                targets.push((record.name.clone(), target));
            }
        }
        targets
    }
}

fn nothing_to_file(rollout: &Rollout) -> Refusal {
    let (cause, hint) = match rollout.state.is_open() {
        true => (
            format!("rollout `{}` has not ended", rollout.id),
            "a change is filed when it completes or is rolled back",
        ),
        false => (
            format!(
                "rollout `{}` ended without a change to be filed",
                rollout.id
            ),
            "a change is filed where the pin set had a source when the rollout completed or was rolled back",
        ),
    };
    Refusal::Precondition {
        code: "NOTHING_TO_FILE",
        cause,
        hint: hint.to_owned(),
    }
}
