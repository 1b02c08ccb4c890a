//! Wires everything. Here alone concrete strategies are named: which store, which clock, which forges.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::middleware::from_fn_with_state;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, SystemClock};
use crate::config::{self, Config};
use crate::controller::{Controller, Refusal};
use crate::forge::{self, Registry};
use crate::index::{self, Indexes};
use crate::metrics;
use crate::notice::{self, Routes};
use crate::oidc::{InvalidOidc, Provider};
use crate::random::{Random, SystemRandom};
use crate::rpc;
use crate::serve::{self, TlsError};
use crate::store::engine::Engine;
use crate::store::{self, Store};
use crate::telemetry;
use crate::web::{self, Surroundings};
use crate::worker::{self, Home, Outside, Worker};

/// Why the server could not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration is refused.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// The store cannot be opened or read.
    #[error("the state cannot be used")]
    Store(#[from] store::Error),
    /// A forge cannot be set up.
    #[error(transparent)]
    Forge(#[from] forge::ConfigError),
    /// A route of notices is configured wrongly.
    #[error(transparent)]
    Notice(#[from] notice::ConfigError),
    /// The identity provider cannot be set up.
    #[error(transparent)]
    Oidc(#[from] InvalidOidc),
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
    FirstAdmin(#[source] Refusal),
}

impl From<worker::Error> for Error {
    fn from(error: worker::Error) -> Self {
        match error {
            worker::Error::Store(error) => Self::Store(error),
            worker::Error::FirstAdmin(refusal) => Self::FirstAdmin(refusal),
            worker::Error::Metrics(error) => Self::Metrics(error),
        }
    }
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
    worker: Worker,
    /// The store that is configured; none: it was given.
    engine: Option<Engine>,
    stopping: CancellationToken,
    server: JoinSet<()>,
}

impl App {
    /// Starts a server on the store that is configured.
    ///
    /// # Errors
    /// If anything it needs cannot be had.
    pub async fn start(config: &Config, world: World) -> Result<Self, Error> {
        config.validate()?;
        let engine = Engine::open(&config.store, &config.data_dir).await?;
        let home = match engine {
            Engine::Sled(_) => Home::Alone(engine.store()),
            Engine::Etcd(_) => Home::Shared(engine.store()),
        };
        Self::start_in(home, Some(engine), config, world).await
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
        Self::start_in(Home::Shared(store), None, config, world).await
    }

    async fn start_in(
        home: Home,
        engine: Option<Engine>,
        config: &Config,
        world: World,
    ) -> Result<Self, Error> {
        let tls = config
            .tls
            .as_ref()
            .map(|tls| serve::tls(&tls.certificate, &tls.key))
            .transpose()?;
        let routes = Routes::open(&config.routes)?;
        let oidc = config.oidc.clone().map(Provider::new).transpose()?;
        let oidc = oidc.map(Arc::new);
        let forges = Registry::open(&config.forges, &config.data_dir.join("forges"))?;
        let outside = Outside {
            forges,
            routes,
            indexes: Indexes::open(&config.indexes)?,
        };
        let mut worker = Worker::start(home, outside, config, world).await?;
        let controller = Arc::clone(&worker.controller);
        let first_admin = worker.first_admin.take();
        let stopping = CancellationToken::new();

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
            oidc,
        };
        let routes = web::routes(
            Arc::clone(&controller),
            grpc,
            surroundings,
            stopping.clone(),
        )
        .layer(from_fn_with_state(
            Arc::clone(&controller.metrics),
            rpc::trace::traced,
        ))
        .merge(rpc::pulls::routes(&controller, telemetry::is_exporting()));
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
            worker,
            engine,
            stopping,
            server,
        })
    }

    /// Waits until the store has failed, and says why: the process should end and start again.
    pub fn store_failed(&self) -> impl Future<Output = String> + Send + use<> {
        let failed = self.engine.as_ref().map(Engine::failed);
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
        self.worker.stop().await;
        self.controller.metrics.shutdown();
        if let Some(engine) = &self.engine {
            engine.close().await;
        }
    }
}
