//! What became of a change that was filed: it waits, was merged, or was declined.

use std::time::Duration;

use super::{Filing, pause_after};
use crate::controller::Refusal;
use crate::forge::{ChangeState, FiledChange};
use crate::snapshot::Stored;
use crate::store::records::{FilingRecord, FilingState};

/// The pause before the first look, and the shortest between two.
pub(super) const SOONEST: Duration = Duration::from_secs(60);
/// The longest pause between two looks.
const LATEST: Duration = Duration::from_secs(1800);

impl Filing {
    /// Looks what became of the change; where the forge cannot be asked, it is asked again later.
    pub(super) async fn look(
        &self,
        filing: Stored<FilingRecord>,
        commit: String,
    ) -> Result<(), Refusal> {
        let record = FilingRecord::clone(&filing.record);
        let now = self.controller.clock.now();
        let age = record.filed_at.map_or(Duration::ZERO, |at| now.since(at));
        // A tenth of its age: a change that has waited for a day is looked at less often than a new one.
        let pause = (age / 10).clamp(SOONEST, LATEST);
        let again = |pause: Duration| FilingState::Filed {
            commit: commit.clone(),
            next_look: now.plus(pause),
        };
        let Some(forge) = self.controller.forges.get(&record.source.forge).cloned() else {
            let answer = format!(
                "no forge `{}` is configured any more; what became of the change is not known",
                record.source.forge
            );
            return self.note(&filing, record, again(LATEST), &answer).await;
        };
        let sought = FiledChange {
            key: record.key.clone(),
            branch: record.source.branch.clone(),
            head: record.head.clone(),
            commit: commit.clone(),
        };
        let state = match forge.state(&sought).await {
            Ok(ChangeState::Open) => {
                let record = FilingRecord {
                    state: again(pause),
                    ..record
                };
                return self.write(&filing, &record).await;
            }
            Ok(ChangeState::Merged) => FilingState::Merged { commit },
            Ok(ChangeState::Declined) => FilingState::Declined { commit },
            Err(error) => {
                let wait = pause_after(&error, 0).unwrap_or(LATEST).max(pause);
                let answer = format!("what became of it cannot be seen: {}", error.answer());
                return self.note(&filing, record, again(wait), &answer).await;
            }
        };
        let answer = match state {
            FilingState::Merged { .. } => "a person merged it",
            _ => "a person closed it without taking it; it is not filed again unless somebody asks",
        };
        self.note(&filing, record, state, answer).await
    }
}
