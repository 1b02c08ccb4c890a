//! What servers that do not lead are asked, and what they are told: both by way of the store.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use pinion_core::name::RolloutId;
use tokio::time::Instant;

use super::Promotion;
use crate::controller::{Draft, Refusal, Standing};
use crate::store::records::{AnswerRecord, AskRecord, StandingRecord, encode};
use crate::store::{Operation, VALUE_BYTES_MAX, keys};

/// What was asked longer ago is not carried out any more: whoever asked has been told that it was not.
const ASK_AGE_MAX: Duration = Duration::from_secs(300);
/// How often others are told how a rollout fares, at most.
const TELL_INTERVAL: Duration = Duration::from_secs(1);
/// Looks of which others are told, the most frequent first.
const FINGERPRINTS_TOLD: usize = 50;

/// What others were told of each rollout, and when.
#[derive(Debug, Default)]
pub(super) struct Told(BTreeMap<RolloutId, (Instant, Arc<Standing>)>);

impl Promotion {
    /// Carries out what other servers were asked, the oldest first.
    pub(super) async fn carry_out_relayed(&mut self) {
        let snapshot = self.controller.snapshot();
        for (key, stored) in snapshot.asks() {
            let ask = &stored.record;
            let age = self.controller.clock.now().since(ask.at);
            if age > ASK_AGE_MAX {
                let delete = vec![Operation::Delete(key.clone())];
                if let Err(error) = self.fold.commit_in_parts(delete).await {
                    tracing::warn!(%error, "what was asked long ago could not be removed");
                }
                continue;
            }
            if ask.answer.is_some() {
                continue;
            }
            self.relayed = Some((key.clone(), stored.clone()));
            let AskRecord {
                rollout,
                verb,
                actor,
                words,
                expected_revision,
                ..
            } = AskRecord::clone(ask);
            let result = self
                .try_carry_out(&rollout, verb, actor, words, expected_revision)
                .await;
            if self.is_doubtful {
                return;
            }
            self.answer_relayed(result).await;
        }
    }

    /// Answers what was not answered with the decision itself.
    async fn answer_relayed(&mut self, result: Result<(), Refusal>) {
        let Some((key, stored)) = self.relayed.take() else {
            return;
        };
        let answer = match result {
            Ok(()) => AnswerRecord::Done,
            Err(refusal @ (Refusal::Raced | Refusal::Store(_))) => {
                tracing::warn!(%refusal, "what another server was asked is tried again");
                return;
            }
            Err(refusal) => AnswerRecord::Refused(refusal.record()),
        };
        let mut draft = Draft::default();
        draft.replace(
            key,
            stored.modified,
            encode(&answered(&stored.record, answer)),
        );
        let answered = match self.controller.fence() {
            Ok(fence) => {
                draft.require(fence);
                self.controller.commit_alone(draft).await
            }
            Err(error) => Err(error.into()),
        };
        if let Err(refusal) = answered {
            tracing::warn!(%refusal, "what another server was asked could not be answered; it is tried again");
        }
    }

    /// Puts the answer into the transaction that does what another server was asked.
    pub(super) fn put_answer(&self, draft: &mut Draft) {
        if let Some((key, stored)) = &self.relayed {
            let record = answered(&stored.record, AnswerRecord::Done);
            draft.replace(key.clone(), stored.modified, encode(&record));
        }
    }

    /// Tells other servers how rollouts fare, and forgets what was told of those that have ended.
    pub(super) async fn tell(&mut self, standings: &HashMap<RolloutId, Arc<Standing>>) {
        if !self.controller.is_shared() {
            return;
        }
        let now = Instant::now();
        let mut news = Vec::new();
        for (id, standing) in standings {
            let is_due = self.told.0.get(id).is_none_or(|(at, told)| {
                told != standing && now.duration_since(*at) >= TELL_INTERVAL
            });
            if is_due && let Some(value) = record_of(standing) {
                news.push(Operation::Put(keys::standing(id), value));
                self.told.0.insert(id.clone(), (now, Arc::clone(standing)));
            }
        }
        let snapshot = self.controller.snapshot();
        for (id, _) in snapshot.standings() {
            if !standings.contains_key(id) {
                news.push(Operation::Delete(keys::standing(id)));
                self.told.0.remove(id);
            }
        }
        if !news.is_empty()
            && let Err(error) = self.fold.commit_in_parts(news).await
        {
            self.told.0.clear();
            tracing::warn!(%error, "other servers could not be told how rollouts fare; it is tried again");
        }
    }
}

fn answered(ask: &AskRecord, answer: AnswerRecord) -> AskRecord {
    AskRecord {
        answer: Some(answer),
        ..ask.clone()
    }
}

/// What is told of a rollout; none where even that is too large.
fn record_of(standing: &Standing) -> Option<bytes::Bytes> {
    let mut standing = standing.clone();
    standing.fingerprints.truncate(FINGERPRINTS_TOLD);
    let value = encode(&StandingRecord { standing });
    (value.len() <= VALUE_BYTES_MAX).then_some(value)
}
