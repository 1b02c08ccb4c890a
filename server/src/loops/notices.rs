//! The notice loop: brings to people what the outbox holds, worded when it happened. Nothing is chosen here.
//!
//! A try is noted before it is made, on the condition that nobody else has: of two servers one makes it, and a server that
//! dies in it leaves a notice that is due again soon. So a notice is sent at least once; a second time only where a server
//! died, or lost the store, between the receiver's answer and its note, and then with the same id.

use std::sync::Arc;
use std::time::Duration;

use pinion_core::name::NoticeId;
use pinion_core::time::Timestamp;
use tokio_util::sync::CancellationToken;

use super::filing::{pause, short};
use crate::controller::{Controller, DRAFT_ITEMS_MAX, Draft, Refusal};
use crate::notice::{Error, Route, Sending};
use crate::snapshot::Stored;
use crate::store::records::{Delivery, DeliveryState, NoticeRecord, encode};
use crate::store::{Condition, keys};

/// How often it looks without being woken.
const INTERVAL: Duration = Duration::from_secs(1);
/// How often what has ended is looked through.
const SWEEP_INTERVAL: Duration = Duration::from_secs(5);
/// How long it is tried.
const GIVE_UP: Duration = Duration::from_secs(86_400);
/// The longest that one notice that fails keeps others of its route waiting.
const REST_MAX: Duration = Duration::from_secs(30);
/// What a try may take beyond what its route allows, before another is made.
const TRY_MARGIN: Duration = Duration::from_secs(5);
/// How long a try is waited for when the server stops.
const STOP_PATIENCE: Duration = Duration::from_secs(3);
/// How long notices are kept that have ended.
const KEPT: Duration = Duration::from_secs(7 * 86_400);
/// How many of those, at most.
const KEPT_MAX: usize = 1000;
/// The longest words of a receiver that are kept, in bytes: sixteen of them fit into a record.
const ANSWER_BYTES_MAX: usize = 200;
/// How often it is tried to note what became of a notice.
const NOTE_TRIES: u32 = 5;

/// The notice loop.
#[derive(Clone, Debug)]
pub struct Notices {
    controller: Arc<Controller>,
}

impl Notices {
    /// A loop that sends by the routes of the controller.
    pub const fn new(controller: Arc<Controller>) -> Self {
        Self { controller }
    }

    /// Runs until it is cancelled: every route by itself, so that none waits for another.
    pub async fn run(self, cancelled: CancellationToken) {
        let mut tasks = tokio::task::JoinSet::new();
        for route in self.controller.routes.all() {
            tasks.spawn(self.clone().serve(Arc::clone(route), cancelled.clone()));
        }
        loop {
            self.sweep().await;
            tokio::select! {
                () = cancelled.cancelled() => break,
                () = tokio::time::sleep(SWEEP_INTERVAL) => {}
            }
        }
        while tasks.join_next().await.is_some() {}
    }

    async fn serve(self, route: Arc<Route>, cancelled: CancellationToken) {
        let mut rests_until = Timestamp::from_unix_ms(0);
        while !cancelled.is_cancelled() {
            let patience = async {
                cancelled.cancelled().await;
                tokio::time::sleep(STOP_PATIENCE).await;
            };
            tokio::select! {
                () = self.send_due(&route, &mut rests_until, &cancelled) => {}
                // What became of the try is not known, so it is made again after the next start.
                () = patience => return,
            }
            tokio::select! {
                () = cancelled.cancelled() => return,
                () = route.wake.woken() => {}
                () = tokio::time::sleep(INTERVAL) => {}
            }
        }
    }

    /// Sends what is due on a route, the oldest first, until one is not taken.
    async fn send_due(
        &self,
        route: &Route,
        rests_until: &mut Timestamp,
        cancelled: &CancellationToken,
    ) {
        while !cancelled.is_cancelled() && *rests_until <= self.controller.clock.now() {
            let Some((stored, delivery)) = self.next_due(route) else {
                return;
            };
            match self.try_one(route, &stored.record, &delivery).await {
                Ok(Some(rest)) => *rests_until = self.controller.clock.now().plus(rest),
                Ok(None) => {}
                Err(refusal) => {
                    // Another server does it, or the store is away.
                    tracing::debug!(route = %route.name, %refusal, "a notice is looked at again");
                    return;
                }
            }
        }
    }

    fn next_due(&self, route: &Route) -> Option<(Stored<NoticeRecord>, Delivery)> {
        let now = self.controller.clock.now();
        let snapshot = self.controller.snapshot();
        let due = snapshot.notices().filter_map(|stored| {
            let delivery = stored.record.delivery(&route.name)?;
            let is_due =
                matches!(delivery.state, DeliveryState::Waiting { next_try } if next_try <= now);
            is_due.then(|| (stored.clone(), delivery.clone()))
        });
        due.min_by_key(|(stored, _)| (stored.record.notice.at, stored.record.id.clone()))
    }

    /// Makes one try; gives how long the route rests afterwards, if the notice was not taken.
    async fn try_one(
        &self,
        route: &Route,
        record: &NoticeRecord,
        delivery: &Delivery,
    ) -> Result<Option<Duration>, Refusal> {
        let at = self.controller.clock.now();
        let is_late = |now: Timestamp| record.notice.at.plus(GIVE_UP) <= now;
        if is_late(at) && !delivery.last_answer.is_empty() {
            self.end(record, delivery, DeliveryState::GivenUp { at })
                .await?;
            return Ok(None);
        }
        let limit = route.timeout * 2;
        let tries = delivery.tries.saturating_add(1);
        let trying = Delivery {
            tries,
            state: DeliveryState::Waiting {
                next_try: at.plus(limit + TRY_MARGIN),
            },
            ..delivery.clone()
        };
        self.note(&record.id, delivery, trying.clone()).await?;
        let sending = Sending {
            id: &record.id,
            notice: &record.notice,
            at,
        };
        let sent = tokio::time::timeout(limit, route.sender.send(sending)).await;
        let sent = sent.unwrap_or_else(|_| {
            Err(Error::Retry {
                answer: "it took too long (`timeout_s`)".to_owned(),
                retry_after: None,
            })
        });
        let now = self.controller.clock.now();
        let (state, answer, rest) = match sent {
            Ok(answer) => (DeliveryState::Sent { at: now }, answer, None),
            Err(Error::Refused { answer }) => (DeliveryState::Refused { at: now }, answer, None),
            Err(Error::Retry { answer, .. }) if is_late(now) => {
                (DeliveryState::GivenUp { at: now }, answer, None)
            }
            Err(Error::Retry {
                answer,
                retry_after,
            }) => {
                let asked = retry_after.map(|wait| wait.max(Duration::from_secs(1)));
                let wait = asked.unwrap_or_else(|| pause(tries));
                let next_try = now.plus(wait);
                let rest = asked.unwrap_or(wait.min(REST_MAX));
                (DeliveryState::Waiting { next_try }, answer, Some(rest))
            }
        };
        self.say(record, route, state, tries, &answer);
        let became = Delivery {
            state,
            last_answer: in_short(&answer),
            ..trying.clone()
        };
        self.note_for_sure(&record.id, &trying, &became).await;
        Ok(rest)
    }

    fn say(
        &self,
        record: &NoticeRecord,
        route: &Route,
        state: DeliveryState,
        tries: u32,
        answer: &str,
    ) {
        let (id, kind, route) = (&record.id, record.notice.kind, &route.name);
        let name = match state {
            DeliveryState::Waiting { .. } => "failed",
            state => state.as_str(),
        };
        self.controller.metrics.notice(name);
        match state {
            DeliveryState::Sent { .. } => {
                tracing::info!(%id, %kind, %route, tries, "a notice was sent");
            }
            _ => {
                tracing::warn!(%id, %kind, %route, tries, state = name, answer, "a notice was not taken");
            }
        }
    }

    /// Writes how a notice is on one route, if it is still as it was read.
    async fn note(&self, id: &NoticeId, was: &Delivery, is: Delivery) -> Result<(), Refusal> {
        let _lock = self.controller.lock().await;
        let snapshot = self.controller.snapshot();
        let stale = || Refusal::Stale {
            what: format!("notice `{id}`"),
            now: "changed or removed meanwhile".to_owned(),
        };
        let stored = snapshot.notice(id).ok_or_else(stale)?;
        let mut record = NoticeRecord::clone(&stored.record);
        let found = record.deliveries.iter_mut().find(|one| *one == was);
        *found.ok_or_else(stale)? = is;
        let mut draft = Draft::default();
        draft.replace(keys::notice(id), stored.modified, encode(&record));
        self.controller.commit(draft).await?;
        Ok(())
    }

    /// The same for what has happened already: where somebody else wrote what became of it on another route, again.
    async fn note_for_sure(&self, id: &NoticeId, was: &Delivery, is: &Delivery) {
        for _ in 0..NOTE_TRIES {
            match self.note(id, was, is.clone()).await {
                Ok(()) => return,
                Err(refusal) => {
                    tracing::warn!(%id, route = %is.route, %refusal, "what became of a notice could not be written; it may be sent again");
                    tokio::time::sleep(INTERVAL).await;
                }
            }
        }
    }
}

impl Notices {
    /// Ends what waits for a route that is not configured any more, and removes what ended long ago.
    async fn sweep(&self) {
        let now = self.controller.clock.now();
        for stored in self.controller.snapshot().notices() {
            for delivery in &stored.record.deliveries {
                let has_route = self.controller.routes.get(&delivery.route).is_some();
                if has_route || delivery.state.ended().is_some() {
                    continue;
                }
                let state = DeliveryState::Dropped { at: now };
                if let Err(refusal) = self.end(&stored.record, delivery, state).await {
                    tracing::debug!(%refusal, "a notice is dropped later");
                }
            }
        }
        if let Err(refusal) = self.remove_old(now).await {
            tracing::debug!(%refusal, "notices that have ended are removed later");
        }
    }

    /// Ends a notice on one route without a try.
    async fn end(
        &self,
        record: &NoticeRecord,
        delivery: &Delivery,
        state: DeliveryState,
    ) -> Result<(), Refusal> {
        let (id, route) = (&record.id, &delivery.route);
        let ended = Delivery {
            state,
            ..delivery.clone()
        };
        self.note(id, delivery, ended).await?;
        self.controller.metrics.notice(state.as_str());
        tracing::error!(%id, %route, kind = %record.notice.kind, subject = record.notice.subject, state = state.as_str(), tries = delivery.tries, answer = delivery.last_answer, "a notice is not sent any more");
        Ok(())
    }

    async fn remove_old(&self, now: Timestamp) -> Result<(), Refusal> {
        let snapshot = self.controller.snapshot();
        let mut ended: Vec<(Timestamp, &Stored<NoticeRecord>)> = snapshot
            .notices()
            .filter_map(|stored| Some((stored.record.ended()?, stored)))
            .collect();
        ended.sort_by_key(|(at, stored)| (std::cmp::Reverse(*at), stored.record.id.clone()));
        let old = ended.iter().enumerate();
        let old = old.filter(|(place, (at, _))| *place >= KEPT_MAX || at.plus(KEPT) <= now);
        let mut draft = Draft::default();
        for (_, (_, stored)) in old.take(DRAFT_ITEMS_MAX) {
            let key = keys::notice(&stored.record.id);
            draft.require(Condition::Modified(key.clone(), stored.modified));
            draft.delete(key);
        }
        if draft.is_empty() {
            return Ok(());
        }
        let _lock = self.controller.lock().await;
        self.controller.commit(draft).await?;
        Ok(())
    }
}

/// A receiver's words on one line, as far as they are kept.
pub(crate) fn in_short(answer: &str) -> String {
    short(&answer.replace(['\n', '\t'], " "), ANSWER_BYTES_MAX)
}
