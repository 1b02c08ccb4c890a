//! A server for tests: real store, real gRPC and HTTP on a free port, a clock that the test moves.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test file uses a part of it"
)]
#![allow(missing_docs, clippy::unwrap_used, reason = "for tests only")]

pub mod cluster;
pub mod repository;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use pinion_core::time::Timestamp;
use pinion_proto::v1 as proto;
use pinion_proto::v1::admin_service_client::AdminServiceClient;
use pinion_proto::v1::environment_service_client::EnvironmentServiceClient;
use pinion_proto::v1::outcome_service_client::OutcomeServiceClient;
use pinion_proto::v1::pin_service_client::PinServiceClient;
use pinion_proto::v1::pin_set_service_client::PinSetServiceClient;
use pinion_proto::v1::rollout_service_client::RolloutServiceClient;
use pinion_server::app::{App, World};
use pinion_server::clock::{Clock, ManualClock};
use pinion_server::config::Config;
use pinion_server::forge::ForgeConfig;
use pinion_server::random::SeededRandom;
use pinion_server::store::Store;
use tonic::transport::Channel;
use tonic::{Request, Status};

/// Tuesday, 2024-03-05, 10:00 UTC.
pub const TUESDAY_TEN: Timestamp = Timestamp::from_unix_ms(1_709_632_800_000);
pub const SET: &str = "set";
pub const FORGE: &str = "requirements";
pub const HOUR: Duration = Duration::from_secs(3600);
pub const DAY: Duration = Duration::from_secs(86_400);

/// A server in this process, and what it takes to talk to it.
pub struct Server {
    pub app: App,
    pub clock: Arc<ManualClock>,
    pub admin: String,
    pub manager: String,
    pub team: String,
    pub channel: Channel,
    config: Config,
    seed: u64,
    only_when_asked: bool,
}

/// An enrolled environment.
#[derive(Clone, Debug)]
pub struct Environment {
    pub id: String,
    pub token: String,
}

/// A file on `master` of the forge [`FORGE`].
pub fn source(path: &str) -> proto::Source {
    proto::Source {
        forge: FORGE.to_owned(),
        branch: "master".to_owned(),
        path: path.to_owned(),
        ..Default::default()
    }
}

pub fn with_token<T>(message: T, token: &str) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert(
        "authorization",
        format!("Bearer {token}").parse().expect("ASCII"),
    );
    request
}

pub fn uuid_at(now: Timestamp) -> String {
    let mut bytes = [0u8; 10];
    fastrand::fill(&mut bytes);
    uuid::Builder::from_unix_timestamp_millis(now.unix_ms().unsigned_abs(), &bytes)
        .into_uuid()
        .to_string()
}

impl Server {
    /// A server with its state in `dir`, and the pin set [`SET`] with `pins` as its baseline.
    pub async fn start(dir: &Path, pins: &str) -> Self {
        Self::start_with(dir, pins, None).await
    }

    /// The same, with a file in a git repository (its URL) as the pin set's source.
    pub async fn start_with(dir: &Path, pins: &str, repository: Option<&str>) -> Self {
        Self::start_as(dir, pins, repository, false).await
    }

    /// The same; `only_when_asked`: it counts and decides only when somebody asks it to, as [`Server::pass`] does.
    pub async fn start_as(
        dir: &Path,
        pins: &str,
        repository: Option<&str>,
        only_when_asked: bool,
    ) -> Self {
        let forge = repository.map(|url| ForgeConfig::git(FORGE.parse().expect("a name"), url));
        let source = repository.map(|_| source("upper-constraints.txt"));
        Self::start_on(dir, pins, forge, source, only_when_asked).await
    }

    /// The same, with any forge of the name [`FORGE`].
    pub async fn start_on(
        dir: &Path,
        pins: &str,
        forge: Option<ForgeConfig>,
        source: Option<proto::Source>,
        only_when_asked: bool,
    ) -> Self {
        let config = Config {
            forges: forge.into_iter().collect(),
            ..Config::default()
        };
        Self::start_configured(dir, pins, config, source, only_when_asked).await
    }

    /// The same, with any configuration; on a free port, unless it names another one than servers have by default.
    pub async fn start_configured(
        dir: &Path,
        pins: &str,
        config: Config,
        source: Option<proto::Source>,
        only_when_asked: bool,
    ) -> Self {
        let listen = match config.listen == Config::default().listen {
            true => std::net::SocketAddr::from(([127, 0, 0, 1], 0)),
            false => config.listen,
        };
        let config = Config {
            listen,
            data_dir: dir.to_owned(),
            ..config
        };
        let clock = Arc::new(ManualClock::new(TUESDAY_TEN));
        let app = Self::app(&config, &clock, 1, only_when_asked).await;
        Self::set_up(app, clock, config, pins, source, only_when_asked).await
    }

    async fn set_up(
        app: App,
        clock: Arc<ManualClock>,
        config: Config,
        pins: &str,
        source: Option<proto::Source>,
        only_when_asked: bool,
    ) -> Self {
        let admin = app.first_admin.clone().expect("a new directory");
        let channel = connect(&app).await;
        let mut server = Self {
            app,
            clock,
            admin,
            manager: String::new(),
            team: String::new(),
            channel,
            config,
            seed: 1,
            only_when_asked,
        };
        server.manager = server
            .token("manager", proto::Role::ReleaseManager, "")
            .await;
        server.team = server.token("team", proto::Role::Environment, "").await;
        server
            .create_set(SET, proto::Policy::default(), source)
            .await
            .expect("creates");
        if !pins.is_empty() {
            server.import(SET, pins).await.expect("imports");
        }
        server
    }

    /// Another server beside this one, on the store that they share; the same clock, tokens and pin sets.
    pub async fn beside(&self, store: &Arc<dyn Store>, dir: &Path) -> Self {
        let config = Config {
            data_dir: dir.to_owned(),
            ..self.config.clone()
        };
        let seed = fastrand::u64(..);
        let world = Self::world(&self.clock, seed, self.only_when_asked);
        let app = App::start_beside(Arc::clone(store), &config, world).await;
        let app = app.expect("starts");
        let channel = connect(&app).await;
        Self {
            app,
            clock: Arc::clone(&self.clock),
            admin: self.admin.clone(),
            manager: self.manager.clone(),
            team: self.team.clone(),
            channel,
            config,
            seed,
            only_when_asked: self.only_when_asked,
        }
    }

    /// The first server on a store that others will share, with the pin set [`SET`] with `pins` as its baseline.
    pub async fn start_sharing(
        store: &Arc<dyn Store>,
        dir: &Path,
        pins: &str,
        forge: Option<ForgeConfig>,
    ) -> Self {
        let source = forge.as_ref().map(|_| source("upper-constraints.txt"));
        let config = Self::config_in(dir, forge);
        let clock = Arc::new(ManualClock::new(TUESDAY_TEN));
        let world = Self::world(&clock, 1, false);
        let app = App::start_beside(Arc::clone(store), &config, world).await;
        let app = app.expect("starts");
        Self::set_up(app, clock, config, pins, source, false).await
    }

    fn config_in(dir: &Path, forge: Option<ForgeConfig>) -> Config {
        Config {
            listen: std::net::SocketAddr::from(([127, 0, 0, 1], 0)),
            data_dir: dir.to_owned(),
            forges: forge.into_iter().collect(),
            ..Config::default()
        }
    }

    fn world(clock: &Arc<ManualClock>, seed: u64, only_when_asked: bool) -> World {
        World {
            clock: Arc::clone(clock) as Arc<dyn Clock>,
            random: Arc::new(SeededRandom::new(seed)),
            exporter: None,
            is_simulated: only_when_asked,
        }
    }

    async fn app(
        config: &Config,
        clock: &Arc<ManualClock>,
        seed: u64,
        only_when_asked: bool,
    ) -> App {
        let world = Self::world(clock, seed, only_when_asked);
        App::start(config, world).await.expect("starts")
    }

    /// Stops the server and starts it again on the same state.
    pub async fn restart(self) -> Self {
        self.restart_after(|| ()).await
    }

    /// The same, with something done while no server runs.
    pub async fn restart_after(self, meanwhile: impl FnOnce()) -> Self {
        self.restart_as(|config| {
            meanwhile();
            config
        })
        .await
    }

    /// The same, with another configuration.
    pub async fn restart_as(self, change: impl FnOnce(Config) -> Config) -> Self {
        let Self {
            app,
            clock,
            admin,
            manager,
            team,
            config,
            seed,
            only_when_asked,
            ..
        } = self;
        app.stop().await;
        let config = change(config);
        let app = Self::app(&config, &clock, seed + 1, only_when_asked).await;
        let channel = connect(&app).await;
        Self {
            app,
            clock,
            admin,
            manager,
            team,
            channel,
            config,
            seed: seed + 1,
            only_when_asked,
        }
    }

    /// Stops the server, lets something be done with a changed configuration, and starts it on that.
    pub async fn restart_on(
        mut self,
        change: impl FnOnce(&mut Config),
        meanwhile: impl AsyncFnOnce(&Config),
    ) -> Self {
        self.app.stop().await;
        change(&mut self.config);
        meanwhile(&self.config).await;
        self.seed += 1;
        self.app = Self::app(&self.config, &self.clock, self.seed, self.only_when_asked).await;
        self.channel = connect(&self.app).await;
        self
    }

    pub const fn config(&self) -> &Config {
        &self.config
    }

    pub async fn token(&self, name: &str, role: proto::Role, pin_set: &str) -> String {
        let request = proto::CreateTokenRequest {
            name: name.to_owned(),
            role: role.into(),
            pin_set: pin_set.to_owned(),
            lifetime: None,
        };
        let response = AdminServiceClient::new(self.channel.clone())
            .create_token(with_token(request, &self.admin))
            .await;
        response.expect("creates").into_inner().secret
    }

    pub fn sets(&self) -> PinSetServiceClient<Channel> {
        PinSetServiceClient::new(self.channel.clone())
    }

    pub fn rollouts(&self) -> RolloutServiceClient<Channel> {
        RolloutServiceClient::new(self.channel.clone())
    }

    pub async fn create_set(
        &self,
        name: &str,
        policy: proto::Policy,
        source: Option<proto::Source>,
    ) -> Result<proto::PinSet, Status> {
        let request = proto::CreatePinSetRequest {
            name: name.to_owned(),
            ecosystem: proto::Ecosystem::Pypi.into(),
            policy: Some(policy),
            source,
            track: false,
        };
        let response = self
            .sets()
            .create_pin_set(with_token(request, &self.manager))
            .await?;
        Ok(response.into_inner().pin_set.expect("a pin set"))
    }

    pub async fn import(
        &self,
        name: &str,
        content: &str,
    ) -> Result<proto::ImportPinsResponse, Status> {
        let request = proto::ImportPinsRequest {
            name: name.to_owned(),
            content: content.to_owned(),
            ..Default::default()
        };
        Ok(self
            .sets()
            .import_pins(with_token(request, &self.manager))
            .await?
            .into_inner())
    }

    /// Replaces the baseline, without trying anything.
    pub async fn import_at_once(
        &self,
        name: &str,
        content: &str,
    ) -> Result<proto::ImportPinsResponse, Status> {
        let request = proto::ImportPinsRequest {
            name: name.to_owned(),
            content: content.to_owned(),
            newer_versions: proto::NewerVersions::TakeAtOnce.into(),
            ..Default::default()
        };
        let response = self
            .sets()
            .import_pins(with_token(request, &self.manager))
            .await?;
        Ok(response.into_inner())
    }

    /// What waits in [`SET`], the oldest first.
    pub async fn waiting(&self) -> Vec<proto::Wanted> {
        let request = proto::ListWantedRequest {
            pin_set: SET.to_owned(),
            page_size: 1000,
            ..Default::default()
        };
        let response = self
            .sets()
            .list_wanted(with_token(request, &self.manager))
            .await;
        response.expect("lists").into_inner().wanted
    }

    pub async fn enroll(&self, reporting: bool, draw_key: &str) -> Environment {
        let request = proto::EnrollRequest {
            pin_set: SET.to_owned(),
            reporting,
            draw_key: draw_key.to_owned(),
            ..Default::default()
        };
        let mut client = EnvironmentServiceClient::new(self.channel.clone());
        let response = client
            .enroll(with_token(request, &self.team))
            .await
            .expect("enrols")
            .into_inner();
        Environment {
            id: response.environment.expect("an environment").id,
            token: response.token,
        }
    }

    pub async fn enroll_many(&self, count: usize) -> Vec<Environment> {
        let mut environments = Vec::with_capacity(count);
        for _ in 0..count {
            environments.push(self.enroll(true, "").await);
        }
        environments
    }

    /// Forgets an environment, as its owner asks.
    pub async fn leave(&self, environment: &Environment) {
        let mut client = EnvironmentServiceClient::new(self.channel.clone());
        let request = proto::DeleteEnvironmentRequest::default();
        client
            .delete_environment(with_token(request, &environment.token))
            .await
            .expect("leaves");
    }

    pub async fn pins(&self, token: &str) -> Result<proto::GetPinsResponse, Status> {
        let request = proto::GetPinsRequest {
            pin_set: SET.to_owned(),
            ..Default::default()
        };
        Ok(PinServiceClient::new(self.channel.clone())
            .get_pins(with_token(request, token))
            .await?
            .into_inner())
    }

    /// The version of a package that a token gets.
    pub async fn version(&self, token: &str, package: &str) -> String {
        let pins = self.pins(token).await.expect("pins").pins;
        pins.into_iter()
            .find(|pin| pin.package == package)
            .expect("the package")
            .version
    }

    /// How many of the environments get this version.
    pub async fn count_with(
        &self,
        environments: &[Environment],
        package: &str,
        version: &str,
    ) -> usize {
        let mut count = 0;
        for environment in environments {
            count += usize::from(self.version(&environment.token, package).await == version);
        }
        count
    }

    pub fn report(&self, outcome: proto::Outcome) -> proto::Report {
        let category = match outcome {
            proto::Outcome::Failed => proto::Category::Test,
            _ => proto::Category::Unspecified,
        };
        proto::Report {
            report_id: uuid_at(self.clock.now()),
            outcome: outcome.into(),
            category: category.into(),
            ..Default::default()
        }
    }

    pub async fn send(
        &self,
        token: &str,
        reports: Vec<proto::Report>,
    ) -> Result<proto::ReportOutcomesResponse, Status> {
        let mut client = OutcomeServiceClient::new(self.channel.clone());
        Ok(client
            .report_outcomes(with_token(proto::ReportOutcomesRequest { reports }, token))
            .await?
            .into_inner())
    }

    pub async fn start_rollout(
        &self,
        package: &str,
        version: &str,
    ) -> Result<proto::Rollout, Status> {
        self.start_rollout_of(&[(package, version)], false).await
    }

    pub async fn start_rollout_of(
        &self,
        candidates: &[(&str, &str)],
        allow_downgrade: bool,
    ) -> Result<proto::Rollout, Status> {
        let request = proto::CreateRolloutRequest {
            pin_set: SET.to_owned(),
            candidates: candidates
                .iter()
                .map(|(package, version)| proto::Candidate {
                    package: (*package).to_owned(),
                    version: (*version).to_owned(),
                    ..Default::default()
                })
                .collect(),
            allow_downgrade,
            ..Default::default()
        };
        let response = self
            .rollouts()
            .create_rollout(with_token(request, &self.manager))
            .await?;
        Ok(response.into_inner().rollout.expect("a rollout"))
    }

    pub async fn rollout(&self, id: &str) -> proto::Rollout {
        let request = proto::GetRolloutRequest { id: id.to_owned() };
        let response = self
            .rollouts()
            .get_rollout(with_token(request, &self.manager))
            .await;
        response
            .expect("is there")
            .into_inner()
            .rollout
            .expect("a rollout")
    }

    pub async fn promote(&self, id: &str, share: f64) -> Result<proto::Rollout, Status> {
        let request = proto::PromoteRolloutRequest {
            id: id.to_owned(),
            share,
            ..Default::default()
        };
        let response = self
            .rollouts()
            .promote_rollout(with_token(request, &self.manager))
            .await?;
        Ok(response.into_inner().rollout.expect("a rollout"))
    }

    pub async fn pause(&self, id: &str) -> Result<proto::Rollout, Status> {
        let request = proto::PauseRolloutRequest {
            id: id.to_owned(),
            ..Default::default()
        };
        let response = self
            .rollouts()
            .pause_rollout(with_token(request, &self.manager))
            .await?;
        Ok(response.into_inner().rollout.expect("a rollout"))
    }

    pub async fn resume(&self, id: &str) -> Result<proto::Rollout, Status> {
        let request = proto::ResumeRolloutRequest {
            id: id.to_owned(),
            ..Default::default()
        };
        let response = self
            .rollouts()
            .resume_rollout(with_token(request, &self.manager))
            .await?;
        Ok(response.into_inner().rollout.expect("a rollout"))
    }

    pub async fn roll_back(&self, id: &str) -> Result<proto::Rollout, Status> {
        let request = proto::RollBackRolloutRequest {
            id: id.to_owned(),
            ..Default::default()
        };
        let response = self
            .rollouts()
            .roll_back_rollout(with_token(request, &self.manager))
            .await?;
        Ok(response.into_inner().rollout.expect("a rollout"))
    }

    pub async fn abort(&self, id: &str) -> Result<proto::Rollout, Status> {
        let request = proto::AbortRolloutRequest {
            id: id.to_owned(),
            ..Default::default()
        };
        let response = self
            .rollouts()
            .abort_rollout(with_token(request, &self.manager))
            .await?;
        Ok(response.into_inner().rollout.expect("a rollout"))
    }

    /// Moves the clock on and lets the promotion loop count and decide.
    pub async fn pass(&self, by: Duration) {
        self.clock.advance(by);
        self.app.controller.tick().await;
    }

    pub async fn decisions(&self, id: &str) -> Vec<proto::Decision> {
        let request = proto::ListDecisionsRequest {
            rollout: id.to_owned(),
            ..Default::default()
        };
        let response = self
            .rollouts()
            .list_decisions(with_token(request, &self.manager))
            .await;
        response.expect("lists").into_inner().decisions
    }

    pub fn clock_minus_days(&self, days: u32) -> Timestamp {
        self.clock.now().minus(DAY * days)
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.app.address)
    }
}

async fn connect(app: &App) -> Channel {
    Channel::from_shared(format!("http://{}", app.address))
        .expect("a URL")
        .connect()
        .await
        .expect("connects")
}
