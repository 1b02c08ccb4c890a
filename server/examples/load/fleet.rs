//! A server with pin sets, open rollouts and environments, made as people would make them.

use std::path::Path;

use pinion_proto::v1 as proto;
use pinion_proto::v1::admin_service_client::AdminServiceClient;
use pinion_proto::v1::environment_service_client::EnvironmentServiceClient;
use pinion_proto::v1::pin_set_service_client::PinSetServiceClient;
use pinion_proto::v1::rollout_service_client::RolloutServiceClient;
use tonic::Request;
use tonic::transport::{Channel, Endpoint};

use crate::Failure;
use crate::child::Process;

/// Pins of a pin set, as OpenStack's has.
pub(crate) const PINS: usize = 575;
/// Open rollouts that one pin set may have.
const OPEN_PER_SET: usize = 33;
/// The share of every rollout.
const SHARE: f64 = 0.3;

/// A server with something to serve.
#[derive(Debug)]
pub(crate) struct Fleet {
    /// The server.
    pub(crate) process: Process,
    /// Where it listens.
    pub(crate) address: String,
    /// A token of people.
    pub(crate) manager: String,
    /// Its open rollouts.
    pub(crate) rollouts: Vec<String>,
    /// Tokens of environments of the first pin set.
    pub(crate) environments: Vec<String>,
}

/// The name of a pin set.
pub(crate) fn set_name(n: usize) -> String {
    format!("set-{n}")
}

/// A connection.
pub(crate) async fn connect(address: &str) -> Result<Channel, Failure> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))?;
    Ok(endpoint.tcp_nodelay(true).connect().await?)
}

/// A message with a token.
pub(crate) fn with_token<T>(message: T, token: &str) -> Result<Request<T>, Failure> {
    let mut request = Request::new(message);
    let header = format!("Bearer {token}").parse()?;
    request.metadata_mut().insert("authorization", header);
    Ok(request)
}

impl Fleet {
    /// Starts a server in `dir`, with `rollouts` open ones in as few pin sets as can be, and environments in the first.
    pub(crate) async fn start(
        dir: &Path,
        rollouts: usize,
        environments: usize,
    ) -> Result<Self, Failure> {
        let process = Process::start("server", dir, 2)?;
        let [address, admin] = [process.said[0].clone(), process.said[1].clone()];
        let channel = connect(&address).await?;
        let manager = token(&channel, &admin, "manager", proto::Role::ReleaseManager).await?;
        let team = token(&channel, &admin, "team", proto::Role::Environment).await?;
        let mut fleet = Self {
            process,
            address,
            manager,
            rollouts: Vec::new(),
            environments: Vec::new(),
        };
        for n in 0..rollouts.div_ceil(OPEN_PER_SET).max(1) {
            fleet.create_set(&channel, n).await?;
        }
        for _ in 0..environments {
            let request = proto::EnrollRequest {
                pin_set: set_name(0),
                reporting: true,
                ..Default::default()
            };
            let mut client = EnvironmentServiceClient::new(channel.clone());
            let enrolled = client.enroll(with_token(request, &team)?).await?;
            fleet.environments.push(enrolled.into_inner().token);
        }
        for n in 0..rollouts {
            fleet.start_rollout(&channel, n).await?;
        }
        Ok(fleet)
    }

    async fn create_set(&self, channel: &Channel, n: usize) -> Result<(), Failure> {
        let mut sets = PinSetServiceClient::new(channel.clone());
        let policy = proto::Policy {
            open_rollouts_max: Some(u32::try_from(OPEN_PER_SET)?),
            calendar: Some(proto::Calendar {
                days: (1..=7).collect(),
                opens_minute: Some(0),
                closes_minute: Some(1440),
                ..Default::default()
            }),
            ..Default::default()
        };
        let request = proto::CreatePinSetRequest {
            name: set_name(n),
            ecosystem: proto::Ecosystem::Pypi.into(),
            policy: Some(policy),
            ..Default::default()
        };
        sets.create_pin_set(with_token(request, &self.manager)?)
            .await?;
        let lines = (0..PINS).map(|pin| format!("package-number-{pin:03}==1.{pin}.0\n"));
        let request = proto::ImportPinsRequest {
            name: set_name(n),
            content: lines.collect(),
            ..Default::default()
        };
        sets.import_pins(with_token(request, &self.manager)?)
            .await?;
        Ok(())
    }

    async fn start_rollout(&mut self, channel: &Channel, n: usize) -> Result<(), Failure> {
        let (set, pin) = (n / OPEN_PER_SET, n % OPEN_PER_SET);
        let request = proto::CreateRolloutRequest {
            pin_set: set_name(set),
            candidates: vec![proto::Candidate {
                package: format!("package-number-{pin:03}"),
                version: format!("2.{pin}.0"),
                ..Default::default()
            }],
            ..Default::default()
        };
        let mut rollouts = RolloutServiceClient::new(channel.clone());
        let created = rollouts
            .create_rollout(with_token(request, &self.manager)?)
            .await?;
        let rollout = created.into_inner().rollout.ok_or("no rollout")?.id;
        // Only who has environments has shares to raise.
        if set == 0 && !self.environments.is_empty() {
            self.promote(channel, &rollout, SHARE).await?;
        }
        self.rollouts.push(rollout);
        Ok(())
    }

    /// Raises a share.
    pub(crate) async fn promote(
        &self,
        channel: &Channel,
        rollout: &str,
        share: f64,
    ) -> Result<(), Failure> {
        let request = proto::PromoteRolloutRequest {
            id: rollout.to_owned(),
            share,
            ..Default::default()
        };
        let mut rollouts = RolloutServiceClient::new(channel.clone());
        rollouts
            .promote_rollout(with_token(request, &self.manager)?)
            .await?;
        Ok(())
    }
}

async fn token(
    channel: &Channel,
    admin: &str,
    name: &str,
    role: proto::Role,
) -> Result<String, Failure> {
    let request = proto::CreateTokenRequest {
        name: name.to_owned(),
        role: role.into(),
        ..Default::default()
    };
    let mut client = AdminServiceClient::new(channel.clone());
    let created = client.create_token(with_token(request, admin)?).await?;
    Ok(created.into_inner().secret)
}
