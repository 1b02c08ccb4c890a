//! The machines: three servers, each with its own ways to the three members of one etcd, and a repository in which
//! changes are filed.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use pinion_core::time::Timestamp;
use pinion_proto::v1 as proto;
use pinion_proto::v1::admin_service_client::AdminServiceClient;
use pinion_proto::v1::audit_service_client::AuditServiceClient;
use pinion_proto::v1::environment_service_client::EnvironmentServiceClient;
use pinion_proto::v1::outcome_service_client::OutcomeServiceClient;
use pinion_proto::v1::pin_service_client::PinServiceClient;
use pinion_proto::v1::pin_set_service_client::PinSetServiceClient;
use pinion_proto::v1::rollout_service_client::RolloutServiceClient;
use pinion_server::forge::ForgeConfig;
use pinion_server::store::etcd::{EtcdOptions, EtcdStore};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

use crate::eventually;
use crate::link::{Link, Mood};
use crate::support::cluster::Cluster;
use crate::support::repository::{merge, repository};
use crate::support::{Environment, FORGE, SET, source, uuid_at, with_token};

pub(crate) const SERVERS: usize = 3;
pub(crate) const PACKAGE: &str = "requests";
/// How long a machine may take to be there.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long those who can ask another server wait for one.
pub(crate) const LOAD_PATIENCE: Duration = Duration::from_secs(3);
/// How long a member of etcd may take to answer a server, in seconds.
const ETCD_TIMEOUT_S: u64 = 2;

/// Everything that runs.
pub(crate) struct Machines {
    pub(crate) etcd: Cluster,
    pub(crate) servers: Vec<Server>,
    pub(crate) manager: String,
    pub(crate) team: String,
    pub(crate) environments: Vec<Environment>,
    /// The test's own way to the store, past everything that fails.
    pub(crate) store: EtcdStore,
    dir: TempDir,
}

/// A server, or what there is to start it again.
pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) channel: Channel,
    address: String,
    links: Vec<Link>,
    dir: PathBuf,
    process: Option<Child>,
    /// What is started the next time.
    program: PathBuf,
}

/// The server that is tested.
const PROGRAM: &str = env!("CARGO_BIN_EXE_piniond");

/// With what each server starts first: an older one, if there is one to upgrade from.
fn first_program() -> PathBuf {
    std::env::var_os("PINION_PREVIOUS").map_or_else(|| PROGRAM.into(), PathBuf::from)
}

pub(crate) fn now() -> Timestamp {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("after 1970");
    Timestamp::from_unix_ms(i64::try_from(since.as_millis()).expect("before the year 292 million"))
}

/// The file that the version with this number is in.
pub(crate) fn file(minor: u32) -> String {
    format!("{PACKAGE}===1.{minor}\nsix===1.0\n")
}

/// A bare repository whose file has the first version; its URL.
pub(crate) fn new_repository(dir: &Path) -> String {
    let url = repository(dir);
    merge(dir, &file(0));
    url
}

/// The forge of every server.
pub(crate) fn forge(url: &str) -> ForgeConfig {
    ForgeConfig {
        open_max: 1000,
        per_day_max: 10_000,
        ..ForgeConfig::git(FORGE.parse().expect("a name"), url)
    }
}

impl Machines {
    /// Starts everything, with so many environments.
    pub(crate) async fn start(environments: usize) -> Self {
        // The test asks for pages of HTTP.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let etcd = tokio::task::block_in_place(|| Cluster::start(3));
        let dir = TempDir::new().unwrap();
        let repository = new_repository(dir.path());
        let options = EtcdOptions {
            timeout_s: ETCD_TIMEOUT_S,
            ..EtcdOptions::new(etcd.endpoints())
        };
        let store = EtcdStore::open(&options, None).await.unwrap();
        let mut servers = Vec::new();
        for number in 0..SERVERS {
            let dir = dir.path().join(format!("server-{number}"));
            let mut server = Server::new(&etcd, dir, &repository).await;
            server.spawn();
            server.until_ready().await;
            servers.push(server);
        }
        let token = servers[0].dir.join("first-admin-token");
        let admin = std::fs::read_to_string(token).unwrap().trim().to_owned();
        let known = set_up(&servers[0].channel, &admin, environments).await;
        let machines = Self {
            etcd,
            servers,
            manager: known.manager,
            team: known.team,
            environments: known.environments,
            store,
            dir,
        };
        machines.until_all_know_all().await;
        machines
    }

    pub(crate) fn repository(&self) -> &Path {
        self.dir.path()
    }

    /// Ways to the servers for those who soon ask another one.
    pub(crate) fn channels(&self) -> Vec<Channel> {
        let urls = self.servers.iter().map(|server| &server.url);
        urls.map(|url| connect(url, LOAD_PATIENCE)).collect()
    }

    async fn until_all_know_all(&self) {
        for server in &self.servers {
            for environment in &self.environments {
                eventually("every server knows everybody", PATIENCE, async || {
                    server.pins(&environment.token).await.is_ok()
                })
                .await;
            }
        }
    }

    async fn rollouts(&self, server: &Server) -> Vec<proto::Rollout> {
        let request = proto::ListRolloutsRequest {
            pin_set: SET.to_owned(),
            page_size: 1000,
            ..Default::default()
        };
        let mut client = server.rollouts();
        let list = client.list_rollouts(with_token(request, &self.manager));
        list.await.unwrap().into_inner().rollouts
    }

    /// All servers come to tell the same of every rollout.
    pub(crate) async fn check_agreement(&self) {
        eventually("all servers tell the same", PATIENCE, async || {
            let mut told = Vec::new();
            for server in &self.servers {
                let rollouts = self.rollouts(server).await.into_iter();
                let told_of = |one: proto::Rollout| (one.id, one.revision, one.state, one.filing);
                told.push(rollouts.map(told_of).collect::<Vec<_>>());
            }
            told.iter().all(|one| *one == told[0])
        })
        .await;
    }

    /// How many decisions cannot be made again from what is stored, and of how many.
    pub(crate) async fn verify(&self) -> (usize, usize) {
        let (mut differing, mut decisions) = (0, 0);
        for rollout in self.rollouts(&self.servers[0]).await {
            let request = proto::VerifyDecisionsRequest {
                rollout: rollout.id,
            };
            let mut client = AuditServiceClient::new(self.servers[0].channel.clone());
            let verified = client.verify_decisions(with_token(request, &self.manager));
            let mut verified = verified.await.unwrap().into_inner();
            while let Some(checked) = verified.message().await.unwrap() {
                decisions += usize::from(checked.sequence > 0);
                differing += usize::from(!checked.problems.is_empty());
            }
        }
        (differing, decisions)
    }

    /// The server that leads, once it is the only one.
    pub(crate) async fn leader(&self) -> usize {
        let mut leading = Vec::new();
        eventually("one server leads", PATIENCE, async || {
            leading.clear();
            for (number, server) in self.servers.iter().enumerate() {
                if server.gauge("pinion_leads").await == Some(1) {
                    leading.push(number);
                }
            }
            leading.len() == 1
        })
        .await;
        leading[0]
    }
}

impl Drop for Machines {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for server in &self.servers {
                server.tell();
            }
        }
    }
}

impl Server {
    async fn new(etcd: &Cluster, dir: PathBuf, repository: &str) -> Self {
        let mut links = Vec::new();
        for endpoint in etcd.endpoints() {
            links.push(Link::to(endpoint.trim_start_matches("http://")).await);
        }
        let address = free_address();
        let urls: Vec<&str> = links.iter().map(|link| link.url.as_str()).collect();
        std::fs::create_dir_all(&dir).unwrap();
        let config = format!(
            "listen = \"{address}\"\ndata_dir = {dir:?}\n\n\
             [store]\nengine = \"etcd\"\nendpoints = {urls:?}\ntimeout_s = {ETCD_TIMEOUT_S}\n\n\
             [[forge]]\nname = \"{FORGE}\"\nkind = \"git\"\nurl = \"{repository}\"\nopen_max = 1000\nper_day_max = 10000\n"
        );
        std::fs::write(dir.join("pinion.toml"), config).unwrap();
        let url = format!("http://{address}");
        let channel = connect(&url, Duration::from_secs(8));
        Self {
            url,
            channel,
            address,
            links,
            dir,
            process: None,
            program: first_program(),
        }
    }

    fn spawn(&mut self) {
        let log = File::options().create(true).append(true).open(self.log());
        let program = std::mem::replace(&mut self.program, PROGRAM.into());
        let child = Command::new(program)
            .arg("--config")
            .arg(self.dir.join("pinion.toml"))
            .env("RUST_LOG", "info")
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.unwrap())
            .spawn();
        self.process = Some(child.expect("starts"));
    }

    fn log(&self) -> PathBuf {
        self.dir.join("log")
    }

    /// What it has said.
    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(self.log()).unwrap()
    }

    fn tell(&self) {
        let said = self.said();
        // Of requests everybody tells what became of them.
        let lines = said.lines().filter(|line| !line.contains("request{"));
        let lines: Vec<&str> = lines.collect();
        eprintln!("{}:", self.url);
        for line in &lines[lines.len().saturating_sub(40)..] {
            eprintln!("  {line}");
        }
    }

    /// Starts it if it does not run.
    pub(crate) fn start(&mut self) {
        let ended = self.process.as_mut().map(Child::try_wait);
        if !matches!(ended, Some(Ok(None))) {
            self.spawn();
        }
    }

    /// Waits until it listens; it is started again whenever it gives up, as whoever watches over it would.
    pub(crate) async fn until_ready(&mut self) {
        let begun = Instant::now();
        while tokio::net::TcpStream::connect(&self.address).await.is_err() {
            assert!(begun.elapsed() < PATIENCE, "{} never listens", self.url);
            self.start();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Ends it as a power cut would.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// Asks it to end, and waits until it has.
    pub(crate) async fn stop(&mut self) {
        self.signal(Signal::TERM);
        if let Some(mut process) = self.process.take() {
            let ended = tokio::task::block_in_place(|| process.wait());
            assert!(ended.unwrap().success(), "it ends well");
        }
    }

    /// Stops it from running, while its connections stay.
    pub(crate) fn pause(&self) {
        self.signal(Signal::STOP);
    }

    pub(crate) fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        if let Some(process) = &self.process {
            kill_process(Pid::from_child(process), signal).unwrap();
        }
    }

    /// How it reaches etcd from now on.
    pub(crate) fn link(&self, mood: Mood) {
        for link in &self.links {
            link.set(mood);
        }
    }

    pub(crate) fn rollouts(&self) -> RolloutServiceClient<Channel> {
        RolloutServiceClient::new(self.channel.clone())
    }

    pub(crate) async fn pins(&self, token: &str) -> Result<proto::GetPinsResponse, Status> {
        pins(&self.channel, token).await
    }

    pub(crate) async fn report(&self, token: &str) -> Result<(), Status> {
        let report = report(false);
        send(&self.channel, token, &report).await
    }

    /// A page of HTTP: its head and its body.
    pub(crate) async fn page(
        &self,
        path: &str,
        token: Option<&str>,
    ) -> Option<(http::HeaderMap, String)> {
        let request = reqwest::Client::new()
            .get(format!("{}{path}", self.url))
            .timeout(Duration::from_secs(2));
        let request = match token {
            Some(token) => request.basic_auth("x", Some(token)),
            None => request,
        };
        let response = request.send().await.ok()?;
        let headers = response.headers().clone();
        Some((headers, response.text().await.ok()?))
    }

    pub(crate) async fn gauge(&self, name: &str) -> Option<u64> {
        let (_, text) = self.page("/metrics", None).await?;
        let line = text
            .lines()
            .find(|line| line.starts_with(&format!("{name} ")))?;
        line.rsplit(' ').next()?.parse().ok()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A way to a server, which gives an answer up after a while.
pub(crate) fn connect(url: &str, patience: Duration) -> Channel {
    Endpoint::from_shared(url.to_owned())
        .unwrap()
        .connect_timeout(Duration::from_secs(1))
        .timeout(patience)
        .connect_lazy()
}

/// An address that was free a moment ago, below those that the system gives to connections: those to a server that is
/// down could otherwise get its own port and keep it.
fn free_address() -> String {
    loop {
        let port = fastrand::u16(10_000..32_000);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return format!("127.0.0.1:{port}");
        }
    }
}

pub(crate) async fn pins(channel: &Channel, token: &str) -> Result<proto::GetPinsResponse, Status> {
    let request = proto::GetPinsRequest {
        pin_set: SET.to_owned(),
        ..Default::default()
    };
    let answer = PinServiceClient::new(channel.clone())
        .get_pins(with_token(request, token))
        .await?;
    Ok(answer.into_inner())
}

pub(crate) fn report(failed: bool) -> proto::Report {
    let (outcome, category) = match failed {
        true => (proto::Outcome::Failed, proto::Category::Test),
        false => (proto::Outcome::Passed, proto::Category::Unspecified),
    };
    proto::Report {
        report_id: uuid_at(now()),
        outcome: outcome.into(),
        category: category.into(),
        ..Default::default()
    }
}

pub(crate) async fn send(
    channel: &Channel,
    token: &str,
    report: &proto::Report,
) -> Result<(), Status> {
    let request = proto::ReportOutcomesRequest {
        reports: vec![report.clone()],
    };
    OutcomeServiceClient::new(channel.clone())
        .report_outcomes(with_token(request, token))
        .await
        .map(drop)
}

/// Who is known to the servers.
pub(crate) struct Known {
    pub(crate) manager: String,
    pub(crate) team: String,
    pub(crate) environments: Vec<Environment>,
}

/// Tokens, the pin set, and so many environments.
pub(crate) async fn set_up(channel: &Channel, admin: &str, environments: usize) -> Known {
    let token = async |name: &str, role: proto::Role| {
        let request = proto::CreateTokenRequest {
            name: name.to_owned(),
            role: role.into(),
            ..Default::default()
        };
        let made = AdminServiceClient::new(channel.clone())
            .create_token(with_token(request, admin))
            .await;
        made.unwrap().into_inner().secret
    };
    let manager = token("manager", proto::Role::ReleaseManager).await;
    let team = token("team", proto::Role::Environment).await;
    let always = proto::Calendar {
        days: (1..=7).collect(),
        opens_minute: Some(0),
        closes_minute: Some(1440),
        ..Default::default()
    };
    let create = proto::CreatePinSetRequest {
        name: SET.to_owned(),
        ecosystem: proto::Ecosystem::Pypi.into(),
        policy: Some(proto::Policy {
            calendar: Some(always),
            pilot: Some(false),
            bake: Some(prost_types::Duration {
                seconds: 60,
                nanos: 0,
            }),
            on_inconclusive: proto::OnInconclusive::Complete.into(),
            ..Default::default()
        }),
        source: Some(source("upper-constraints.txt")),
        track: false,
    };
    let mut sets = PinSetServiceClient::new(channel.clone());
    let created = sets.create_pin_set(with_token(create, &manager)).await;
    created.unwrap();
    let import = proto::ImportPinsRequest {
        name: SET.to_owned(),
        content: file(0).replace("===", "=="),
        ..Default::default()
    };
    let imported = sets.import_pins(with_token(import, &manager)).await;
    imported.unwrap();
    let mut enrolled = Vec::new();
    for _ in 0..environments {
        enrolled.push(enroll(channel, &team).await);
    }
    Known {
        manager,
        team,
        environments: enrolled,
    }
}

/// Enrols an environment that reports.
pub(crate) async fn enroll(channel: &Channel, team: &str) -> Environment {
    let request = proto::EnrollRequest {
        pin_set: SET.to_owned(),
        reporting: true,
        ..Default::default()
    };
    let answer = EnvironmentServiceClient::new(channel.clone())
        .enroll(with_token(request, team))
        .await;
    let answer = answer.unwrap().into_inner();
    Environment {
        id: answer.environment.unwrap().id,
        token: answer.token,
    }
}
