//! Wires everything. Here alone concrete strategies are named: which store, which clock, which forges.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::middleware::from_fn_with_state;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, SystemClock};
use crate::config::{self, Config};
use crate::controller::{Controller, Parts, Refusal};
use crate::forge::{self, Registry};
use crate::index::{self, Indexes};
use crate::loops::Wake;
use crate::loops::candidates::Candidates;
use crate::loops::filing::Filing;
use crate::loops::indexes;
use crate::loops::promotion::Promotion;
use crate::loops::sources::Sources;
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
    /// An index cannot be set up.
    #[error(transparent)]
    Index(#[from] index::ConfigError),
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

/// A server that runs.
#[derive(Debug)]
pub struct App {
    /// Where it listens.
    pub address: SocketAddr,
    /// What requests work on.
    pub controller: Arc<Controller>,
    /// The secret of the first admin token, if this start made it.
    pub first_admin: Option<String>,
    store: Arc<SledStore>,
    stopping: CancellationToken,
    loops: CancellationToken,
    server: JoinSet<()>,
    tasks: JoinSet<()>,
}

impl App {
    /// Starts a server on the embedded store.
    ///
    /// # Errors
    /// If anything it needs cannot be had.
    pub async fn start(config: &Config, world: World) -> Result<Self, Error> {
        let World {
            clock,
            random,
            exporter,
            is_simulated,
        } = world;
        config.validate()?;
        let tls = config
            .tls
            .as_ref()
            .map(|tls| serve::tls(&tls.certificate, &tls.key))
            .transpose()?;
        let dir = config.data_dir.join("store");
        let opened =
            tokio::task::spawn_blocking(move || SledStore::open(&dir, SledOptions::default()));
        let store = Arc::new(
            opened
                .await
                .map_err(|error| store::Error::Unavailable(error.to_string()))??,
        );
        let forges = Registry::open(&config.forges, &config.data_dir.join("forges"))?;
        let indexes = Indexes::open(&config.indexes)?;
        let metrics = Arc::new(Metrics::new(exporter)?);
        let (wake_promotion, wake_filing, wake_sources) =
            (Wake::default(), Wake::default(), Wake::default());
        let (to_promotion, commands) = mpsc::channel(COMMANDS_MAX);
        let parts = Parts {
            store: Arc::clone(&store) as Arc<dyn Store>,
            clock,
            random,
            metrics: Arc::clone(&metrics),
            wake_promotion: wake_promotion.clone(),
            wake_filing: wake_filing.clone(),
            wake_sources: wake_sources.clone(),
            forges,
            indexes,
            public_url: config.public_url.clone(),
            to_promotion,
        };
        let (controller, inbox) = Controller::load(parts).await?;
        let promotion =
            Promotion::load(Arc::clone(&controller), inbox, commands, wake_promotion).await?;
        let promotion = if is_simulated {
            promotion.only_when_asked()
        } else {
            promotion
        };
        let filing = Filing::new(Arc::clone(&controller), wake_filing);
        let sources = Sources::new(
            Arc::clone(&controller),
            wake_sources,
            Duration::from_secs(config.follow_interval_s),
        );
        let watches = indexes::watches(&controller, Duration::from_secs(config.track_interval_s));
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
        let (stopping, loops) = (CancellationToken::new(), CancellationToken::new());
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
        let mut tasks = JoinSet::new();
        tasks.spawn(promotion.run(loops.clone()));
        tasks.spawn(filing.run(loops.clone()));
        tasks.spawn(sources.run(loops.clone()));
        for watch in watches {
            tasks.spawn(watch.run(loops.clone()));
        }
        tasks.spawn(Candidates::new(Arc::clone(&controller)).run(loops.clone()));
        Ok(Self {
            address,
            controller,
            first_admin,
            store,
            stopping,
            loops,
            server,
            tasks,
        })
    }

    /// Waits until the store has failed, and says why: the process should end and start again.
    pub fn store_failed(&self) -> impl Future<Output = String> + Send + use<> {
        self.store.failed()
    }

    /// Stops without cutting anybody off: no new connections, then no new decisions, then the store.
    pub async fn stop(mut self) {
        self.stopping.cancel();
        while self.server.join_next().await.is_some() {}
        self.loops.cancel();
        while self.tasks.join_next().await.is_some() {}
        self.controller.metrics.shutdown();
        self.store.close().await;
    }
}
