//! Wires everything. Here alone concrete strategies are named: which store, which clock, which forges.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::middleware::from_fn_with_state;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, SystemClock};
use crate::config::{self, Config};
use crate::controller::{Controller, Parts, Refusal};
use crate::forge::{self, Registry};
use crate::loops::Wake;
use crate::loops::follow;
use crate::loops::lead::Lead;
use crate::metrics::{self, Metrics};
use crate::random::{Random, SystemRandom};
use crate::rpc;
use crate::serve::{self, TlsError};
use crate::store::sled::{SledOptions, SledStore};
use crate::store::{self, Store};
use crate::web::{self, Surroundings};

/// What people may ask of the promotion loop before it answers.
const COMMANDS_MAX: usize = 1024;

/// Why the server could not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration is refused.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// The store cannot be opened or read.
    #[error("the state in the data directory cannot be used")]
    Store(#[from] store::Error),
    /// A forge cannot be set up.
    #[error(transparent)]
    Forge(#[from] forge::ConfigError),
    /// The address cannot be listened on.
    #[error("cannot listen on `{address}`: {cause}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        cause: std::io::Error,
    },
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Metrics cannot be set up.
    #[error(transparent)]
    Metrics(#[from] metrics::Error),
    /// The first admin token could not be made.
    #[error("the first admin token could not be made")]
    FirstAdmin(#[from] Refusal),
}

/// What a server finds outside of itself.
#[derive(Debug)]
pub struct World {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Ids, secrets and seeds.
    pub random: Arc<dyn Random>,
    /// Where metrics go beside Prometheus.
    pub exporter: Option<opentelemetry_otlp::MetricExporter>,
    /// Whether the promotion loop counts and decides only when it is asked to ([`Controller::tick`]), so that a
    /// simulation does it at the same moments every time.
    pub is_simulated: bool,
}

impl Default for World {
    /// The machine's own.
    fn default() -> Self {
        Self {
            clock: Arc::new(SystemClock),
            random: Arc::new(SystemRandom),
            exporter: None,
            is_simulated: false,
        }
    }
}

/// The store of a server.
#[derive(Debug)]
enum Opened {
    /// Nobody else can write to it.
    Alone(Arc<SledStore>),
    /// Other servers use it too.
    Shared(Arc<dyn Store>),
}

impl Opened {
    fn store(&self) -> Arc<dyn Store> {
        match self {
            Self::Alone(store) => Arc::clone(store) as Arc<dyn Store>,
            Self::Shared(store) => Arc::clone(store),
        }
    }
}

/// The embedded store in the data directory.
async fn open_sled(config: &Config) -> Result<Arc<SledStore>, store::Error> {
    let dir = config.data_dir.join("store");
    let opened = tokio::task::spawn_blocking(move || SledStore::open(&dir, SledOptions::default()));
    let store = opened
        .await
        .map_err(|error| store::Error::Unavailable(error.to_string()))??;
    Ok(Arc::new(store))
}

/// A server that runs.
#[derive(Debug)]
pub struct App {
    /// Where it listens.
    pub address: SocketAddr,
    /// What requests work on.
    pub controller: Arc<Controller>,
    /// The secret of the first admin token, if this start made it.
    pub first_admin: Option<String>,
    opened: Opened,
    stopping: CancellationToken,
    loops: CancellationToken,
    server: JoinSet<()>,
    tasks: JoinSet<()>,
    followed: CancellationToken,
    following: JoinSet<()>,
}

impl App {
    /// Starts a server on the embedded store.
    ///
    /// # Errors
    /// If anything it needs cannot be had.
    pub async fn start(config: &Config, world: World) -> Result<Self, Error> {
        config.validate()?;
        let opened = Opened::Alone(open_sled(config).await?);
        Self::start_on(opened, config, world).await
    }

    /// Starts a server beside others on a store that they share.
    ///
    /// # Errors
    /// If anything it needs cannot be had.
    pub async fn start_beside(
        store: Arc<dyn Store>,
        config: &Config,
        world: World,
    ) -> Result<Self, Error> {
        config.validate()?;
        Self::start_on(Opened::Shared(store), config, world).await
    }

    async fn start_on(opened: Opened, config: &Config, world: World) -> Result<Self, Error> {
        let World {
            clock,
            random,
            exporter,
            is_simulated,
        } = world;
        let tls = config
            .tls
            .as_ref()
            .map(|tls| serve::tls(&tls.certificate, &tls.key))
            .transpose()?;
        let is_shared = matches!(opened, Opened::Shared(_));
        let forges = Registry::open(&config.forges, &config.data_dir.join("forges"))?;
        let metrics = Arc::new(Metrics::new(exporter)?);
        let (wake_promotion, wake_filing, wake_sources) =
            (Wake::default(), Wake::default(), Wake::default());
        let (to_promotion, commands) = mpsc::channel(COMMANDS_MAX);
        let parts = Parts {
            store: opened.store(),
            clock,
            random,
            metrics: Arc::clone(&metrics),
            wake_promotion: wake_promotion.clone(),
            wake_filing: wake_filing.clone(),
            wake_sources: wake_sources.clone(),
            forges,
            public_url: config.public_url.clone(),
            to_promotion,
            shared: is_shared,
        };
        let (controller, follower) = Controller::load(parts).await?;
        let (stopping, loops, followed) = (
            CancellationToken::new(),
            CancellationToken::new(),
            CancellationToken::new(),
        );
        let (mut tasks, mut following) = (JoinSet::new(), JoinSet::new());
        following.spawn(follow::follow(
            Arc::clone(&controller),
            follower,
            followed.clone(),
        ));
        if is_shared {
            tasks.spawn(follow::keep_up(Arc::clone(&controller), loops.clone()));
        }
        let lead = Lead {
            controller: Arc::clone(&controller),
            commands,
            wake_promotion,
            wake_filing,
            wake_sources,
            follow_interval: Duration::from_secs(config.follow_interval_s),
            only_when_asked: is_simulated,
        };
        let (first, led) = oneshot::channel();
        tasks.spawn(lead.run(loops.clone(), first));
        if !is_shared {
            // A server that is alone and cannot lead is none.
            let stopped = |_| store::Error::Unavailable("the loops have stopped".to_owned());
            led.await.map_err(stopped)??;
        }
        let first_admin = controller.first_admin().await?;

        let listener = TcpListener::bind(config.listen)
            .await
            .map_err(|cause| Error::Listen {
                address: config.listen,
                cause,
            })?;
        let address = listener.local_addr().map_err(|cause| Error::Listen {
            address: config.listen,
            cause,
        })?;
        let (grpc, health) = rpc::routes(Arc::clone(&controller)).await;
        let surroundings = Surroundings {
            public_url: config.public_url.clone(),
            has_tls: tls.is_some(),
        };
        let routes = web::routes(
            Arc::clone(&controller),
            grpc,
            surroundings,
            stopping.clone(),
        )
        .layer(from_fn_with_state(metrics, rpc::trace::traced));
        let mut server = JoinSet::new();
        let patience = serve::Patience::default();
        let stop_serving = stopping.clone();
        server.spawn(async move {
            if let Err(error) = serve::serve(listener, tls, routes, patience, stop_serving).await {
                tracing::error!(%error, "the listener was lost");
            }
            drop(health);
        });
        Ok(Self {
            address,
            controller,
            first_admin,
            opened,
            stopping,
            loops,
            server,
            tasks,
            followed,
            following,
        })
    }

    /// Waits until the store has failed, and says why: the process should end and start again.
    pub fn store_failed(&self) -> impl Future<Output = String> + Send + use<> {
        let failed = match &self.opened {
            Opened::Alone(store) => Some(store.failed()),
            // It comes back; until then what is known is served.
            Opened::Shared(_) => None,
        };
        async move {
            match failed {
                Some(failed) => failed.await,
                None => std::future::pending().await,
            }
        }
    }

    /// Stops without cutting anybody off: no new connections, then no new decisions, then the store.
    pub async fn stop(mut self) {
        self.stopping.cancel();
        while self.server.join_next().await.is_some() {}
        self.loops.cancel();
        while self.tasks.join_next().await.is_some() {}
        self.followed.cancel();
        while self.following.join_next().await.is_some() {}
        self.controller.metrics.shutdown();
        if let Opened::Alone(store) = &self.opened {
            store.close().await;
        }
    }
}
