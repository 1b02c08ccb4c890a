//! One server among several on the same store: what it shows, whether it leads, and what it asks of the one that does.
//!
//! Every server answers everything. One at a time holds the lease and does what nobody asks for; correctness rests on
//! the conditions of transactions and on the lease's token in those of the loops, never on there being one leader.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use pinion_core::rollout::Rollout;

use super::{Controller, Draft, Refusal};
use crate::snapshot::News;
use crate::store::records::{AnswerRecord, AskRecord, ServerRecord, decode, encode};
use crate::store::{Commit, Condition, Error, Key, Operation, Revision, Transaction, keys};

/// How long what was written may take to be shown, before whoever wrote it is answered all the same.
const SHOWN_TIME_MAX: Duration = Duration::from_secs(10);
/// How long the server that leads may take for what it is asked; another one leads well before that.
const ASK_TIME_MAX: Duration = Duration::from_secs(30);
/// What is shown is called old from then on.
pub(crate) const STALE_AFTER: Duration = Duration::from_secs(10);

impl Controller {
    /// Whether other servers may write to the store too.
    pub(crate) const fn is_shared(&self) -> bool {
        self.shared
    }

    /// Whether this server does what nobody asks for.
    pub fn leads(&self) -> bool {
        self.fence.load().is_some()
    }

    /// Notes under which condition this server leads; none: it does not.
    pub(crate) fn set_fence(&self, fence: Option<Condition>) {
        self.fence.store(fence.map(Arc::new));
        self.note_change();
    }

    /// What must hold in every transaction of the loops that decide.
    ///
    /// # Errors
    /// If this server leads no more.
    pub(crate) fn fence(&self) -> Result<Condition, Error> {
        match self.fence.load().as_deref() {
            Some(fence) => Ok(fence.clone()),
            None => Err(Error::Unavailable("another server leads now".to_owned())),
        }
    }

    /// Shows what has come along.
    pub(crate) fn show(&self, news: News) {
        let News {
            snapshot,
            puts,
            is_change,
            touches_pins,
        } = news;
        let revision = snapshot.revision;
        if let Some(own) = snapshot.server(self.process) {
            self.fresh_ms.fetch_max(own.mark, Ordering::Relaxed);
        }
        self.snapshot.store(Arc::new(snapshot));
        for put in puts {
            let key = &put.key;
            if key.as_str().starts_with(keys::ASK) {
                self.wake_promotion.wake();
            } else if key.as_str().starts_with(keys::FILING) {
                self.wake_filing.wake();
            } else if key.as_str().starts_with(keys::NOTICE) {
                self.wake_notices();
            } else if let Some(forge) = keys::forge_of_spoken(key) {
                self.note_spoken(&forge);
            }
        }
        self.shown.send_replace(revision);
        if is_change {
            self.note_change();
        }
        if touches_pins {
            self.pins_changed.send_modify(|n| *n += 1);
        }
    }

    /// Waits until what was written is shown.
    pub(super) async fn wait_until_shown(&self, revision: Revision) {
        let mut shown = self.shown.subscribe();
        let wait = shown.wait_for(|shown| *shown >= revision);
        if tokio::time::timeout(SHOWN_TIME_MAX, wait).await.is_err() {
            tracing::warn!(revision, "what was written is not shown yet");
        }
    }

    /// Waits until everything is shown that any server has written so far.
    pub(crate) async fn catch_up(&self) {
        if !self.shared {
            return;
        }
        match self.store.get(&keys::head()).await {
            Ok(Some(head)) => self.wait_until_shown(head.modified).await,
            Ok(None) => {}
            // Whatever is written on what is old is refused.
            Err(error) => tracing::warn!(%error, "what others wrote is not known"),
        }
    }

    /// How old what is shown may be.
    pub fn age(&self) -> Duration {
        match self.shared {
            true => {
                let fresh = Duration::from_millis(self.fresh_ms.load(Ordering::Relaxed));
                self.started.elapsed().saturating_sub(fresh)
            }
            false => Duration::ZERO,
        }
    }

    /// How old what is shown may be, once that is long: this server is cut off from the store.
    pub fn staleness(&self) -> Option<Duration> {
        Some(self.age()).filter(|age| *age > STALE_AFTER)
    }

    /// Waits until everything is shown that was written before, by whomever: what is counted must be known.
    ///
    /// # Errors
    /// If that does not come along.
    pub(crate) async fn catch_up_whole(&self) -> Result<(), Error> {
        if !self.shared {
            return Ok(());
        }
        let said = self.say_present().await?;
        self.wait_until_shown(said).await;
        match *self.shown.borrow() >= said {
            true => Ok(()),
            false => Err(Error::Unavailable(
                "what others write does not come along".to_owned(),
            )),
        }
    }

    /// Says in the store that this server runs; when that comes along, so has everything before it.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) async fn say_present(&self) -> Result<Revision, Error> {
        let now = self.clock.now();
        let mark = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let before = self.snapshot().server(self.process).cloned();
        let record = ServerRecord {
            process: self.process,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: before.map_or(now, |before| before.started_at),
            at: now,
            mark,
        };
        let put = Operation::Put(keys::server(self.process), encode(&record));
        match self.store.commit(unconditional(vec![put])).await? {
            Commit::Done(revision) => Ok(revision),
            Commit::Conflict => Err(Error::Unknown(
                "a transaction without conditions conflicted".to_owned(),
            )),
        }
    }

    /// Says that this server stops.
    pub(crate) async fn say_gone(&self) {
        let delete = Operation::Delete(keys::server(self.process));
        if let Err(error) = self.store.commit(unconditional(vec![delete])).await {
            tracing::debug!(%error, "that this server stops could not be said");
        }
    }

    /// Asks the server that leads, whichever it is, by way of the store.
    pub(super) async fn ask_leader(&self, ask: AskRecord) -> Result<Arc<Rollout>, Refusal> {
        let number = self.asks.fetch_add(1, Ordering::Relaxed);
        let key = keys::ask(&format!("{:010}-{number:010}", self.process));
        let rollout = ask.rollout.clone();
        let mut draft = Draft::default();
        draft.create(key.clone(), encode(&ask));
        let asked = self.commit_alone(draft).await?;
        let answer = tokio::time::timeout(ASK_TIME_MAX, self.answer_of(&key)).await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(_) => self.take_back(&key, asked).await?,
        };
        let delete = Operation::Delete(key);
        // The server that leads removes it otherwise.
        if let Err(error) = self.store.commit(unconditional(vec![delete])).await {
            tracing::debug!(%error, "an answer could not be removed");
        }
        match answer {
            Some(AnswerRecord::Done) => {
                let snapshot = self.snapshot();
                let stored = snapshot.rollout(&rollout);
                stored
                    .map(|stored| Arc::clone(&stored.record))
                    .ok_or_else(|| Refusal::no_rollout(&rollout))
            }
            Some(AnswerRecord::Refused(refusal)) => Err(Refusal::Relayed(refusal)),
            None => Err(Refusal::Store(Error::Unavailable(
                "no server leads that could carry it out; nothing was done, so try again"
                    .to_owned(),
            ))),
        }
    }

    /// Waits for the answer; none: it was taken away unanswered.
    async fn answer_of(&self, key: &Key) -> Option<AnswerRecord> {
        let mut changes = self.changes();
        loop {
            match self.snapshot().ask(key) {
                Some(ask) if ask.record.answer.is_some() => return ask.record.answer.clone(),
                Some(_) => {}
                None => return None,
            }
            if changes.changed().await.is_err() {
                return None;
            }
        }
    }

    /// Takes back what nobody has carried out; what was carried out meanwhile has its answer.
    async fn take_back(&self, key: &Key, asked: Revision) -> Result<Option<AnswerRecord>, Refusal> {
        let taken_back = Transaction {
            conditions: vec![Condition::Modified(key.clone(), asked)],
            operations: vec![Operation::Delete(key.clone())],
        };
        if let Commit::Done(_) = self.store.commit(taken_back).await? {
            return Ok(None);
        }
        let Some(entry) = self.store.get(key).await? else {
            return Ok(None);
        };
        let ask: AskRecord = decode(key, &entry.value)?;
        Ok(ask.answer)
    }
}

/// What may happen in any case, and twice.
pub(crate) fn unconditional(operations: Vec<Operation>) -> Transaction {
    Transaction {
        conditions: Vec::new(),
        operations,
    }
}
