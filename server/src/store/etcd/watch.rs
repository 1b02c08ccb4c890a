//! Watches: one stream of etcd's for each watcher, begun again where it ended.
//!
//! A stream that ends, a member that goes silent, a history that is compacted: the watcher is told what
//! happened after what it has seen, or to resync. Where the members' version can miss a delete, the
//! watcher is told to resync every minute. etcd's progress notices are a sign of life only: some
//! versions send them before the events that they are about.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use pinion_etcd_api::event::EventType;
use pinion_etcd_api::watch_request::RequestUnion;
use pinion_etcd_api::{
    Event as NativeEvent, WatchCreateRequest, WatchProgressRequest, WatchRequest, WatchResponse,
};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, sleep_until, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::DropGuard;
use tonic::{Status, Streaming};

use super::EtcdStore;
use super::endpoints::Line;
use super::fault::Fault;
use super::tail::Tail;
use crate::store::{Event, Revision};

/// How often a member is asked for a sign of life.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(3);
/// How long a member may give none.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// The pause before a stream is begun again, on average.
const RETRY_PAUSE: Duration = Duration::from_millis(100);
/// How often a watcher resyncs where deletes can be missed.
const RESYNC_INTERVAL: Duration = Duration::from_secs(60);

/// What a watcher has seen whose history is not known.
const UNKNOWN: i64 = i64::MAX;

/// One watcher's view of etcd.
struct Watcher {
    store: EtcdStore,
    key: Vec<u8>,
    range_end: Vec<u8>,
    /// Everything up to this revision of etcd's is told.
    seen: i64,
    /// Parts of a message that was too large for one.
    parts: Vec<NativeEvent>,
    /// When it resyncs, where deletes can be missed.
    resync_at: Instant,
    tail: Arc<Tail>,
}

/// Why a stream of etcd's is left.
enum End {
    /// It is begun again.
    Fault(Fault),
    /// What comes after `seen` is gone.
    Compacted,
}

impl EtcdStore {
    /// Changes under `prefix` after `from`, until the stream is dropped or the store is closed.
    pub(super) fn follow(&self, prefix: &str, from: Revision) -> BoxStream<'static, Event> {
        let tail = Arc::new(Tail::default());
        let watcher = Watcher {
            store: self.clone(),
            key: self.space.key(prefix),
            range_end: self.space.end(prefix),
            seen: self.space.native(from).unwrap_or(UNKNOWN),
            parts: Vec::new(),
            resync_at: Instant::now() + RESYNC_INTERVAL,
            tail: Arc::clone(&tail),
        };
        let stop = self.closing.child_token();
        let stopped = stop.clone();
        self.tasks.spawn(async move {
            let tail = Arc::clone(&watcher.tail);
            stopped.run_until_cancelled(watcher.run()).await;
            tail.close();
        });
        let is_watched: (Arc<Tail>, DropGuard) = (tail, stop.drop_guard());
        let take = |watched: (Arc<Tail>, DropGuard)| async move {
            let event = watched.0.next().await?;
            Some((event, watched))
        };
        stream::unfold(is_watched, take).boxed()
    }
}

impl Watcher {
    async fn run(mut self) {
        loop {
            match self.watch_once().await {
                End::Compacted => self.seen = UNKNOWN,
                End::Fault(fault) => tracing::debug!(?fault, "a watch of etcd is begun again"),
            }
            self.parts.clear();
            sleep(RETRY_PAUSE.mul_f64(0.5 + fastrand::f64())).await;
        }
    }

    async fn watch_once(&mut self) -> End {
        if let Err(fault) = self.place().await {
            return End::Fault(fault);
        }
        let (place, line) = match self.store.endpoints.open_line().await {
            Ok(opened) => opened,
            Err(fault) => return End::Fault(fault),
        };
        let end = self.read(&line).await;
        if let End::Fault(fault) = &end {
            self.store
                .endpoints
                .fared(place, &line, Some(fault.clone()))
                .await;
        }
        end
    }

    /// Makes sure that `seen` is a revision of this etcd's; one from the future belongs to another history.
    async fn place(&mut self) -> Result<(), Fault> {
        let now = self.store.native_revision().await?;
        if self.seen > now {
            // First, so that nothing is missed between what the watcher then lists and what it is told.
            self.seen = now;
            self.tail.push(Event::Resync);
        }
        Ok(())
    }

    async fn read(&mut self, line: &Line) -> End {
        let patience = self.store.endpoints.timeout();
        let (ask, asked) = mpsc::channel(2);
        let create = RequestUnion::CreateRequest(WatchCreateRequest {
            key: self.key.clone(),
            range_end: self.range_end.clone(),
            start_revision: self.seen + 1,
            progress_notify: true,
            fragment: true,
        });
        let begin = async {
            // The channel has room for it.
            let _ = ask.send(request(create)).await;
            let request = line.request(ReceiverStream::new(asked));
            line.watch().watch(request).await
        };
        let answers = match timeout(patience, begin).await {
            Ok(Ok(answers)) => answers.into_inner(),
            Ok(Err(status)) => return End::Fault(status.into()),
            Err(_) => return End::Fault(Fault::silence(patience)),
        };
        self.take_all(&ask, answers).await
    }

    async fn take_all(
        &mut self,
        ask: &mpsc::Sender<WatchRequest>,
        mut answers: Streaming<WatchResponse>,
    ) -> End {
        let mut progress = interval_at(Instant::now() + PROGRESS_INTERVAL, PROGRESS_INTERVAL);
        progress.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last_sign = Instant::now();
        loop {
            tokio::select! {
                answer = answers.message() => {
                    last_sign = Instant::now();
                    if let Some(end) = self.take(answer) {
                        return end;
                    }
                }
                _ = progress.tick() => {
                    if last_sign.elapsed() > SILENCE_MAX {
                        return End::Fault(Fault::silence(SILENCE_MAX));
                    }
                    // Where it does not fit, one is on its way.
                    let _ = ask.try_send(request(RequestUnion::ProgressRequest(WatchProgressRequest {})));
                }
                () = sleep_until(self.resync_at), if self.store.can_miss_deletes => {
                    self.resync_at = Instant::now() + RESYNC_INTERVAL;
                    self.tail.push(Event::Resync);
                }
            }
        }
    }

    fn take(&mut self, answer: Result<Option<WatchResponse>, Status>) -> Option<End> {
        let answer = match answer {
            Ok(Some(answer)) => answer,
            Ok(None) => return Some(End::Fault(Fault::Untaken("the stream ended".to_owned()))),
            Err(status) => return Some(End::Fault(status.into())),
        };
        if answer.compact_revision > 0 {
            return Some(End::Compacted);
        }
        if answer.canceled {
            return Some(End::Fault(cancelled(&answer.cancel_reason)));
        }
        self.parts.extend(answer.events);
        if !answer.fragment {
            let events = std::mem::take(&mut self.parts);
            for of_revision in events.chunk_by(|a, b| modified(a) == modified(b)) {
                self.tell(of_revision);
            }
        }
        None
    }

    /// Tells one transaction.
    fn tell(&mut self, events: &[NativeEvent]) {
        let native = events.first().map(modified).unwrap_or_default();
        self.seen = self.seen.max(native);
        match self.change(native, events) {
            Ok(change) => self.tail.push(change),
            Err(error) => {
                tracing::error!(%error, "a watch of etcd came upon a damaged record");
                // Whoever lists it is told the same.
                self.tail.push(Event::Resync);
            }
        }
    }

    fn change(&self, native: i64, events: &[NativeEvent]) -> Result<Event, crate::store::Error> {
        let space = &self.store.space;
        let (mut puts, mut deletes) = (Vec::new(), Vec::new());
        for event in events {
            let Some(found) = &event.kv else { continue };
            match event.r#type() {
                EventType::Put => puts.push(space.entry(found)?),
                EventType::Delete => deletes.push(space.own_key(&found.key)),
            }
        }
        Ok(Event::Change {
            revision: space.revision(native),
            puts,
            deletes,
        })
    }
}

fn modified(event: &NativeEvent) -> i64 {
    event.kv.as_ref().map_or(0, |found| found.mod_revision)
}

fn request(union: RequestUnion) -> WatchRequest {
    WatchRequest {
        request_union: Some(union),
    }
}

fn cancelled(reason: &str) -> Fault {
    match reason {
        reason if reason.contains("invalid auth token") || reason.contains("permission denied") => {
            Fault::Token
        }
        reason => Fault::Untaken(format!("the watch was cancelled: {reason}")),
    }
}
