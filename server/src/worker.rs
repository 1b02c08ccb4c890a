//! A server without its port: what it knows, and what it does unasked.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::app::World;
use crate::config::Config;
use crate::controller::{Controller, Parts, Refusal};
use crate::forge::Registry;
use crate::index::Indexes;
use crate::loops::lead::Lead;
use crate::loops::{Wake, follow};
use crate::metrics::Metrics;
use crate::notice::Routes;
use crate::store::{self, Store};

/// What people may ask of the promotion loop before it answers.
const COMMANDS_MAX: usize = 1024;

/// Why a worker could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store cannot be read or written.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The first admin token could not be made.
    #[error(transparent)]
    FirstAdmin(Refusal),
    /// Metrics cannot be set up.
    #[error(transparent)]
    Metrics(#[from] crate::metrics::Error),
}

/// Whom a worker speaks to by itself.
#[derive(Clone, Debug, Default)]
pub struct Outside {
    /// Where changes are filed.
    pub forges: Registry,
    /// By which people are told.
    pub routes: Routes,
    /// Where versions are published.
    pub indexes: Indexes,
}

/// The store of a worker.
#[derive(Clone, Debug)]
pub enum Home {
    /// Nobody else can write to it.
    Alone(Arc<dyn Store>),
    /// Other workers use it too.
    Shared(Arc<dyn Store>),
}

/// A server without its port. Dropped, it ends where it stands, as if it were killed.
#[derive(Debug)]
pub struct Worker {
    /// What requests work on.
    pub controller: Arc<Controller>,
    /// The secret of the first admin token, if this start made it.
    pub first_admin: Option<String>,
    loops: CancellationToken,
    tasks: JoinSet<()>,
    followed: CancellationToken,
    following: JoinSet<()>,
}

impl Worker {
    /// Starts a worker.
    ///
    /// # Errors
    /// If the store cannot be used.
    pub async fn start(
        home: Home,
        outside: Outside,
        config: &Config,
        world: World,
    ) -> Result<Self, Error> {
        let World {
            clock,
            random,
            exporter,
            is_simulated,
        } = world;
        let (store, shared) = match home {
            Home::Alone(store) => (store, false),
            Home::Shared(store) => (store, true),
        };
        let (wake_promotion, wake_filing, wake_sources) =
            (Wake::default(), Wake::default(), Wake::default());
        let (to_promotion, commands) = mpsc::channel(COMMANDS_MAX);
        let parts = Parts {
            store,
            clock,
            random,
            metrics: Arc::new(Metrics::new(exporter)?),
            wake_promotion: wake_promotion.clone(),
            wake_filing: wake_filing.clone(),
            wake_sources: wake_sources.clone(),
            forges: outside.forges,
            routes: outside.routes,
            indexes: outside.indexes,
            public_url: config.public_url.clone(),
            to_promotion,
            shared,
        };
        let (controller, follower) = Controller::load(parts).await?;
        let (loops, followed) = (CancellationToken::new(), CancellationToken::new());
        let (mut tasks, mut following) = (JoinSet::new(), JoinSet::new());
        let follow = follow::follow(Arc::clone(&controller), follower, followed.clone());
        following.spawn(follow);
        if shared {
            tasks.spawn(follow::keep_up(Arc::clone(&controller), loops.clone()));
        }
        let lead = Lead {
            controller: Arc::clone(&controller),
            commands,
            wake_promotion,
            wake_filing,
            wake_sources,
            follow_interval: Duration::from_secs(config.follow_interval_s),
            track_interval: Duration::from_secs(config.track_interval_s),
            only_when_asked: is_simulated,
        };
        let (first, led) = oneshot::channel();
        tasks.spawn(lead.run(loops.clone(), first));
        if !shared {
            // A server that is alone and cannot lead is none.
            let stopped = |_| store::Error::Unavailable("the loops have stopped".to_owned());
            led.await.map_err(stopped)??;
        }
        let first_admin = controller.first_admin().await.map_err(Error::FirstAdmin)?;
        Ok(Self {
            controller,
            first_admin,
            loops,
            tasks,
            followed,
            following,
        })
    }

    /// Ends what is done unasked, whole steps at a time.
    pub async fn stop(mut self) {
        self.loops.cancel();
        while self.tasks.join_next().await.is_some() {}
        self.followed.cancel();
        while self.following.join_next().await.is_some() {}
    }
}
