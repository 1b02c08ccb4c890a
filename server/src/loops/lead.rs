//! One server at a time does what nobody asks for. It holds a lease; should it lose it, whatever it writes after that is
//! refused, and another one goes on with what the store has.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Wake;
use super::candidates::Candidates;
use super::filing::Filing;
use super::indexes;
use super::notices::Notices;
use super::promotion::{Command, Promotion};
use super::sources::Sources;
use crate::controller::{Controller, Refusal, unconditional};
use crate::store::{Condition, Error, Operation, keys};

/// The lease.
const LEASE: &str = "loops";
/// How long it is kept without being renewed: another server leads after that at the latest.
const LEASE_TIME: Duration = Duration::from_secs(5);
/// How long a server that could not lead leaves it to others.
const PAUSE: Duration = Duration::from_secs(2);
/// A server that has not said for so long that it runs does not.
const GONE_AFTER: Duration = Duration::from_secs(3600);

/// Leads whenever it can.
#[derive(Debug)]
pub struct Lead {
    /// What the loops work on.
    pub controller: Arc<Controller>,
    /// What people ask of rollouts.
    pub commands: mpsc::Receiver<Command>,
    /// Wakes the promotion loop.
    pub wake_promotion: Wake,
    /// Wakes the filing loop.
    pub wake_filing: Wake,
    /// Wakes the source loop.
    pub wake_sources: Wake,
    /// How often followed files are read.
    pub follow_interval: Duration,
    /// How often indexes are asked for each package.
    pub track_interval: Duration,
    /// Whether the promotion loop does nothing by itself.
    pub only_when_asked: bool,
}

impl Lead {
    /// Leads whenever it can until it is cancelled. How the first time began is told to `first`.
    pub async fn run(
        mut self,
        cancelled: CancellationToken,
        first: oneshot::Sender<Result<(), Error>>,
    ) {
        let mut first = Some(first);
        while !cancelled.is_cancelled() {
            let store = Arc::clone(&self.controller.store);
            let lead = store.lead(LEASE, LEASE_TIME);
            let led = tokio::select! {
                () = cancelled.cancelled() => return,
                () = self.refuse_all() => return,
                leader = lead => match leader {
                    Ok(mut leader) => {
                        let fence = Condition::Created(leader.key.clone(), leader.token);
                        self.controller.set_fence(Some(fence));
                        let led = self.lead(&mut leader.lost, &cancelled, &mut first).await;
                        self.controller.set_fence(None);
                        led
                    }
                    Err(error) => Err(error),
                },
            };
            if let Err(error) = led {
                tracing::error!(%error, "this server cannot lead now");
                if let Some(first) = first.take() {
                    // Nobody may be waiting.
                    let _ = first.send(Err(error));
                }
                tokio::select! {
                    () = cancelled.cancelled() => return,
                    () = tokio::time::sleep(PAUSE) => {}
                }
            }
        }
    }

    /// Refuses what was asked while this server led, for as long as it does not; ends when nobody can ask any more.
    async fn refuse_all(&mut self) {
        if !self.controller.is_shared() {
            return std::future::pending().await;
        }
        while let Some(command) = self.commands.recv().await {
            match command {
                Command::Ask(ask) => {
                    let cause = "another server has begun to lead; try again".to_owned();
                    // The person may have gone.
                    let _ = ask
                        .answer
                        .send(Err(Refusal::Store(Error::Unavailable(cause))));
                }
                // The server that leads hears of it from the index too.
                Command::Yanked(_) => {}
                // Dropping it tells whoever waits.
                Command::Tick(_) => {}
            }
        }
    }

    /// Runs the loops until the lease is lost or all is cancelled.
    async fn lead(
        &mut self,
        lost: &mut watch::Receiver<bool>,
        cancelled: &CancellationToken,
        first: &mut Option<oneshot::Sender<Result<(), Error>>>,
    ) -> Result<(), Error> {
        let controller = &self.controller;
        controller.catch_up_whole().await?;
        let promotion =
            Promotion::load(Arc::clone(controller), self.wake_promotion.clone()).await?;
        let promotion = match self.only_when_asked {
            true => promotion.only_when_asked(),
            false => promotion,
        };
        if let Some(first) = first.take() {
            // Nobody may be waiting.
            let _ = first.send(Ok(()));
        }
        tracing::info!("this server leads");
        let stop = cancelled.child_token();
        let mut tasks = JoinSet::new();
        let filing = Filing::new(Arc::clone(controller), self.wake_filing.clone());
        let sources = Sources::new(
            Arc::clone(controller),
            self.wake_sources.clone(),
            self.follow_interval,
        );
        tasks.spawn(filing.run(stop.clone()));
        tasks.spawn(sources.run(stop.clone()));
        tasks.spawn(Notices::new(Arc::clone(controller)).run(stop.clone()));
        for watch in indexes::watches(controller, self.track_interval) {
            tasks.spawn(watch.run(stop.clone()));
        }
        tasks.spawn(Candidates::new(Arc::clone(controller)).run(stop.clone()));
        if controller.is_shared() {
            tasks.spawn(forget_gone(Arc::clone(controller), stop.clone()));
        }
        let promotion = promotion.run(&mut self.commands, stop.clone());
        tokio::pin!(promotion);
        let is_lost = tokio::select! {
            () = &mut promotion => false,
            () = is_lost(lost) => true,
        };
        stop.cancel();
        if is_lost {
            tracing::warn!("another server leads now");
            self.controller.set_fence(None);
            promotion.await;
        }
        while tasks.join_next().await.is_some() {}
        Ok(())
    }
}

/// Waits until the lease is lost.
async fn is_lost(lost: &mut watch::Receiver<bool>) {
    // Who can tell no more has lost it.
    let _ = lost.wait_for(|lost| *lost).await;
}

/// Forgets servers that ended without saying so.
async fn forget_gone(controller: Arc<Controller>, cancelled: CancellationToken) {
    loop {
        tokio::select! {
            () = cancelled.cancelled() => return,
            () = tokio::time::sleep(GONE_AFTER) => {}
        }
        let oldest = controller.clock.now().minus(GONE_AFTER);
        let snapshot = controller.snapshot();
        for server in snapshot.servers().filter(|server| server.at < oldest) {
            let delete = Operation::Delete(keys::server(server.process));
            if let Err(error) = controller.store.commit(unconditional(vec![delete])).await {
                tracing::warn!(%error, "a server that is gone could not be forgotten");
            }
        }
    }
}
