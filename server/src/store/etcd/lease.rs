//! Leases: a key under a lease of etcd's, which ends with its holder.
//!
//! Whoever creates the key has it. Within a process who waits longest is next; between processes it is
//! whoever comes first once the key is gone. The holder that cannot have its lease confirmed in time
//! counts it as lost, no later than etcd does.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use pinion_etcd_api::{
    LeaseGrantRequest, LeaseKeepAliveRequest, LeaseRevokeRequest, RangeRequest, TxnRequest,
};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::{Response, Status};

use super::EtcdStore;
use super::endpoints::{Line, Repeat};
use super::fault::Fault;
use super::transact::{created_at, found, get, put};
use crate::store::leases::Turn;
use crate::store::{Error, Key, Leader, LeaderGuard, Revision, front};

/// How often it is confirmed within the time that it lasts.
const CONFIRMATIONS: u32 = 3;
/// How long a waiter trusts its watch before it looks.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// A lease of etcd's that is given back when dropped.
struct Held {
    id: i64,
    /// Until when it surely lasts.
    lasts_until: Instant,
    ttl: Duration,
    release: DropGuard,
}

impl EtcdStore {
    /// Waits for the lease `name` and keeps it.
    pub(super) async fn win(&self, name: &str, ttl: Duration) -> Result<Leader, Error> {
        let key = front::lease_key(name)?;
        let turn = self.leases.turn(name).await;
        loop {
            self.until_free(&key).await?;
            let held = self.grant(ttl).await?;
            match self.take(&key, &held).await? {
                Some(token) => return Ok(self.leader(key, token, held, turn)),
                // Another process was faster.
                None => drop(held),
            }
        }
    }

    async fn until_free(&self, key: &Key) -> Result<(), Error> {
        loop {
            self.check_open()?;
            let range = RangeRequest {
                key: self.space.key(key.as_str()),
                ..RangeRequest::default()
            };
            let answer = self.range(range).await.map_err(Fault::of_read)?;
            if answer.kvs.is_empty() {
                return Ok(());
            }
            let revision = self
                .space
                .revision(answer.header.unwrap_or_default().revision);
            let mut changes = self.follow(key.as_str(), revision);
            // An end is looked at like a change.
            let _ = timeout(LOOK_INTERVAL, changes.next()).await;
        }
    }

    async fn grant(&self, ttl: Duration) -> Result<Held, Error> {
        // Chosen here, so that it can be given back even if the answer is lost.
        let id = fastrand::i64(1..i64::MAX);
        let seconds = ttl.as_millis().div_ceil(1000).max(1);
        let request = LeaseGrantRequest {
            id,
            ttl: i64::try_from(seconds).unwrap_or(i64::MAX),
        };
        let release = self.release_when_cancelled(id);
        let begun = Instant::now();
        let send = |line: Line| {
            let request = line.request(request);
            async move { line.lease().lease_grant(request).await }
        };
        let granted = self
            .endpoints
            .call(Repeat::Never, send)
            .await
            .map_err(Fault::of_commit)?;
        let ttl = Duration::from_secs(granted.ttl.unsigned_abs());
        Ok(Held {
            id,
            lasts_until: begun + ttl,
            ttl,
            release,
        })
    }

    /// Takes the key; gives its token, or nothing if another one has it.
    async fn take(&self, key: &Key, held: &Held) -> Result<Option<Revision>, Error> {
        let native = self.space.key(key.as_str());
        let request = TxnRequest {
            compare: vec![created_at(native.clone(), 0), self.is_same_store()],
            success: vec![put(&self.space, key.as_str(), &[], held.id)],
            failure: vec![get(native)],
        };
        let answer = self
            .txn(Repeat::Harmless, request)
            .await
            .map_err(Fault::of_commit)?;
        if answer.succeeded {
            let native = answer.header.unwrap_or_default().revision;
            return Ok(Some(self.space.revision(native)));
        }
        // Where the answer of a first try was lost, the key is there, under this lease.
        let own = found(&answer, 0).filter(|found| found.lease == held.id);
        Ok(own.map(|found| self.space.revision(found.create_revision)))
    }

    fn leader(&self, key: Key, token: Revision, held: Held, turn: Turn) -> Leader {
        let (lose, lost) = watch::channel(false);
        let stop = CancellationToken::new();
        let (store, stopped, closing) = (self.clone(), stop.clone(), self.closing.clone());
        self.tasks.spawn(async move {
            let keep = store.keep(&held);
            tokio::select! {
                () = keep => tracing::warn!("a lease was not confirmed in time and is lost"),
                () = stopped.cancelled() => {}
                () = closing.cancelled() => {}
            }
            // Whoever looks at it may be gone.
            let _ = lose.send(true);
            drop(held.release);
        });
        Leader {
            key,
            token,
            lost,
            guard: LeaderGuard::new(move || {
                stop.cancel();
                drop(turn);
            }),
        }
    }

    /// Confirms the lease until that fails for as long as it lasts.
    async fn keep(&self, held: &Held) {
        let mut lasts_until = held.lasts_until;
        let pause = held.ttl / CONFIRMATIONS;
        loop {
            sleep(pause.min(lasts_until.saturating_duration_since(Instant::now()))).await;
            let confirmed = timeout_at(lasts_until, self.until_confirmed(held.id)).await;
            match confirmed {
                Ok(Some(until)) => lasts_until = until,
                Ok(None) | Err(_) => return,
            }
        }
    }

    /// Until when it lasts now, as soon as a member confirms it; nothing if it has ended.
    async fn until_confirmed(&self, id: i64) -> Option<Instant> {
        loop {
            let begun = Instant::now();
            let send = |line: Line| async move { confirm(line, id).await };
            match self.endpoints.call(Repeat::Harmless, send).await {
                Ok(0) => return None,
                Ok(seconds) => return Some(begun + Duration::from_secs(seconds)),
                Err(fault) => {
                    tracing::debug!(?fault, "a lease is not confirmed yet");
                    sleep(RETRY_PAUSE).await;
                }
            }
        }
    }

    /// Gives a lease back when the guard is dropped, or the store is closed.
    fn release_when_cancelled(&self, id: i64) -> DropGuard {
        let release = CancellationToken::new();
        let (store, released) = (self.clone(), release.clone());
        let endpoints = Arc::clone(&self.endpoints);
        self.tasks.spawn(async move {
            tokio::select! {
                () = released.cancelled() => {}
                () = store.closing.cancelled() => {}
            }
            let send = |line: Line| {
                let request = line.request(LeaseRevokeRequest { id });
                async move { line.lease().lease_revoke(request).await }
            };
            // What cannot be given back ends by itself.
            let _ = timeout(endpoints.timeout(), endpoints.call(Repeat::Harmless, send)).await;
        });
        release.drop_guard()
    }
}

/// The seconds that the lease lasts from now; 0 if it has ended.
async fn confirm(line: Line, id: i64) -> Result<Response<u64>, Status> {
    let once = futures_util::stream::iter([LeaseKeepAliveRequest { id }]);
    let request = line.request(once);
    let mut answers = line.lease().lease_keep_alive(request).await?.into_inner();
    let answer = answers.message().await?;
    let answer = answer.ok_or_else(|| Status::unavailable("the stream ended"))?;
    Ok(Response::new(u64::try_from(answer.ttl).unwrap_or_default()))
}
