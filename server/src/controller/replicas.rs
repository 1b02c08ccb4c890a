//! One server among several on the same store: what it shows, whether it leads, and what it asks of the one that does.
//!
//! Every server answers everything. One at a time holds the lease and does what nobody asks for; correctness rests on
//! the conditions of transactions and on the lease's token in those of the loops, never on there being one leader.

use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use pinion_core::rollout::Rollout;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{Controller, Draft, Refusal};
use crate::snapshot::News;
use crate::store::records::{AnswerRecord, AskRecord, ServerRecord, decode, encode};
use crate::store::{Commit, Condition, Error, Key, Operation, Revision, Transaction, keys};

/// How long what was written may take to be shown, before whoever wrote it is answered all the same.
const SHOWN_TIME_MAX: Duration = Duration::from_secs(10);
/// How long the server that leads may take for what it is asked; another one leads well before that.
const ASK_TIME_MAX: Duration = Duration::from_secs(30);
/// How long who asked waits for what a server has done that leads no more.
const LAST_WORD_TIME_MAX: Duration = Duration::from_secs(1);
/// How often it is looked whether another server has made a token that is unknown here, at most: whoever shows wrong ones
/// costs the store no more.
const NEWCOMER_INTERVAL: Duration = Duration::from_millis(100);
/// How long one who shows an unknown token waits for that.
const NEWCOMER_TIME_MAX: Duration = Duration::from_secs(2);
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

    /// Waits until every control record is shown that any server has written so far.
    ///
    /// # Errors
    /// If they do not come along.
    pub(crate) async fn catch_up(&self) -> Result<(), Error> {
        if !self.shared {
            return Ok(());
        }
        self.check_in_touch()?;
        match self.store.get(&keys::head()).await? {
            Some(head) => self.wait_until_known(head.modified).await,
            None => Ok(()),
        }
    }

    /// Waits until what another server wrote is shown.
    async fn wait_until_known(&self, revision: Revision) -> Result<(), Error> {
        self.wait_until_shown(revision).await;
        match *self.shown.borrow() >= revision {
            true => Ok(()),
            false => Err(Error::Unavailable(
                "what others write does not come along".to_owned(),
            )),
        }
    }

    /// Fails at once where the store has been out of reach for long: whoever asks does not wait for that to be found out
    /// again.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub(super) fn check_in_touch(&self) -> Result<(), Error> {
        match self.staleness() {
            None => Ok(()),
            Some(age) => Err(Error::Unavailable(format!(
                "this server has been cut off from it for {} s; nothing was done",
                age.as_secs()
            ))),
        }
    }

    /// Waits for a token that is unknown here, where another server has made it a moment ago.
    pub(crate) async fn await_token(&self, secret: &str) {
        let key = keys::token(secret);
        let is_known = self.snapshot().token(&key).is_some();
        if !self.shared || is_known || self.check_in_touch().is_err() || !self.may_look() {
            return;
        }
        let looked = async {
            match self.store.get(&key).await? {
                Some(token) => self.wait_until_known(token.modified).await,
                None => Ok(()),
            }
        };
        match tokio::time::timeout(NEWCOMER_TIME_MAX, looked).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "whether a token is new is not known"),
            Err(_) => tracing::debug!("whether a token is new is not known in time"),
        }
    }

    /// Whether it is time again to look for an unknown token.
    fn may_look(&self) -> bool {
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = looked.is_none_or(|at| at.elapsed() >= NEWCOMER_INTERVAL);
        if is_due {
            *looked = Some(Instant::now());
        }
        is_due
    }

    /// The answer of the loop that was asked while this server led; where it leads no more and the loop is stuck in
    /// something, that is not waited for.
    pub(super) async fn answer_of_loop(
        &self,
        answered: oneshot::Receiver<Result<Arc<Rollout>, Refusal>>,
    ) -> Result<Arc<Rollout>, Refusal> {
        let stopping = || Refusal::Store(Error::Unavailable("the server is stopping".to_owned()));
        if !self.shared {
            return answered.await.map_err(|_| stopping())?;
        }
        let gone = async {
            let mut changes = self.changes();
            // It never fails: what tells of changes is held here.
            while self.leads() && changes.changed().await.is_ok() {}
            tokio::time::sleep(LAST_WORD_TIME_MAX).await;
        };
        tokio::select! {
            biased;
            answer = answered => answer.map_err(|_| stopping())?,
            () = gone => Err(Refusal::Store(Error::Unknown(
                "this server leads no more; look at the rollout before you ask again".to_owned(),
            ))),
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
        self.wait_until_known(said).await
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
