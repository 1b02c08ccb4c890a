//! The decision logs of all rollouts as one, the newest decision first.

use std::collections::BinaryHeap;
use std::fmt;
use std::str::FromStr;

use pinion_core::log::LogEntry;
use pinion_core::name::{PinSetName, RolloutId};
use pinion_core::rollout::Rollout;

use super::{Controller, Identity, Refusal};
use crate::store::records::decode;
use crate::store::{Revision, keys};

/// Decisions that one request reads, at most: a filter that nothing matches must not read the whole store.
const READ_MAX: usize = 2000;

/// Which decisions are meant; what is none does not matter.
#[derive(Clone, Debug, Default)]
pub struct DecisionFilter {
    /// Of rollouts of this pin set.
    pub pin_set: Option<PinSetName>,
    /// Made by who is called exactly this.
    pub actor: Option<String>,
    /// Exactly this action.
    pub action: Option<String>,
}

/// A place in the log of all rollouts: of what is older the page goes on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DecisionPlace {
    revision: Revision,
    rollout: RolloutId,
    sequence: u64,
}

/// A decision with its rollout.
#[derive(Clone, Debug)]
pub struct LoggedDecision {
    /// The rollout, as it is now.
    pub rollout: std::sync::Arc<Rollout>,
    /// What was decided.
    pub entry: LogEntry,
}

/// A part of the log.
#[derive(Clone, Debug, Default)]
pub struct DecisionPage {
    /// The newest first.
    pub decisions: Vec<LoggedDecision>,
    /// Where it goes on, if it may.
    pub next: Option<DecisionPlace>,
    /// Whether it ended because too much was read, rather than because it is full.
    pub is_cut_short: bool,
}

impl fmt::Display for DecisionPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.revision, self.sequence, self.rollout)
    }
}

impl FromStr for DecisionPlace {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let read = || {
            let (revision, rest) = text.split_once('.')?;
            let (sequence, rollout) = rest.split_once('.')?;
            Some(Self {
                revision: revision.parse().ok()?,
                rollout: rollout.parse().ok()?,
                sequence: sequence.parse().ok()?,
            })
        };
        read().ok_or("it is no place in the log; begin with the newest decision")
    }
}

/// The newest decision of a rollout that has not been shown: read, or known to be no newer than this.
#[derive(Debug)]
struct Head {
    place: DecisionPlace,
    entry: Option<LogEntry>,
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.place == other.place
    }
}

impl Eq for Head {}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Head {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.place.cmp(&other.place)
    }
}

impl Controller {
    /// The decisions that match, older than `before`, at most `max`.
    ///
    /// # Errors
    /// If the caller is no viewer, or a decision cannot be read.
    pub async fn decision_log(
        &self,
        caller: &Identity,
        filter: &DecisionFilter,
        before: Option<&DecisionPlace>,
        max: usize,
    ) -> Result<DecisionPage, Refusal> {
        let visible = self.visible_rollouts(caller, filter.pin_set.as_ref(), false)?;
        let snapshot = self.snapshot();
        // A rollout's record is written with each of its decisions, so none is newer than the record.
        let mut heads: BinaryHeap<Head> = visible
            .iter()
            .filter_map(|rollout| {
                let stored = snapshot.rollout(&rollout.id)?;
                let place = DecisionPlace {
                    revision: stored.modified,
                    rollout: rollout.id.clone(),
                    sequence: stored.record.decisions,
                };
                (place.sequence > 0).then_some(Head { place, entry: None })
            })
            .collect();
        let mut page = DecisionPage::default();
        let mut read = 0;
        while let Some(Head { mut place, entry }) = heads.pop() {
            let Some(entry) = entry else {
                if read >= READ_MAX {
                    // It is not read yet, so that the next page begins with it.
                    place.sequence += 1;
                    page.next = Some(place);
                    page.is_cut_short = true;
                    break;
                }
                let found = self
                    .last_before(&place.rollout, place.sequence, before, &mut read)
                    .await?;
                if let Some((place, entry)) = found {
                    let entry = Some(entry);
                    heads.push(Head { place, entry });
                }
                continue;
            };
            let matches = filter
                .actor
                .as_ref()
                .is_none_or(|actor| *actor == entry.actor.to_string())
                && filter
                    .action
                    .as_ref()
                    .is_none_or(|action| *action == entry.action);
            if matches && let Some(stored) = snapshot.rollout(&place.rollout) {
                page.decisions.push(LoggedDecision {
                    rollout: std::sync::Arc::clone(&stored.record),
                    entry,
                });
            }
            if page.decisions.len() == max {
                page.next = (!heads.is_empty() || place.sequence > 1).then_some(place);
                break;
            }
            place.sequence -= 1;
            if place.sequence > 0 {
                heads.push(Head { place, entry: None });
            }
        }
        Ok(page)
    }

    /// The last decision of a rollout up to `sequence` that is older than `before`, found by halving.
    async fn last_before(
        &self,
        rollout: &RolloutId,
        sequence: u64,
        before: Option<&DecisionPlace>,
        read: &mut usize,
    ) -> Result<Option<(DecisionPlace, LogEntry)>, Refusal> {
        let (mut low, mut high) = (1, sequence);
        let mut found = None;
        let mut at = sequence;
        while low <= high {
            *read += 1;
            let key = keys::log(rollout, at);
            let Some(stored) = self.store.get(&key).await? else {
                break;
            };
            let place = DecisionPlace {
                revision: stored.modified,
                rollout: rollout.clone(),
                sequence: at,
            };
            if before.is_none_or(|before| place < *before) {
                found = Some((place, decode(&key, &stored.value)?));
                low = at + 1;
            } else {
                high = at - 1;
            }
            at = low + (high.saturating_sub(low)) / 2;
        }
        Ok(found)
    }
}
