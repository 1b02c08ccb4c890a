//! The release manager of the demo, over gRPC like any other.

use std::time::Duration;

use pinion_proto::v1 as proto;
use pinion_proto::v1::admin_service_client::AdminServiceClient;
use pinion_proto::v1::pin_set_service_client::PinSetServiceClient;
use pinion_proto::v1::rollout_service_client::RolloutServiceClient;
use tonic::Request;
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;

use super::Error;
use super::facts::Candidate;
use super::fleet::refused;

/// The pin set of the demo.
pub(super) const PIN_SET: &str = "openstack-master";
/// The forge of the demo.
pub(super) const FORGE: &str = "requirements";
/// How long the filed commit is waited for.
const FILING_MAX: Duration = Duration::from_secs(30);

/// The release manager.
pub(super) struct Manager {
    token: String,
    enrolment: String,
    admin: AdminServiceClient<Channel>,
    pin_sets: PinSetServiceClient<Channel>,
    rollouts: RolloutServiceClient<Channel>,
}

impl Manager {
    pub(super) async fn connect(url: &str, admin_token: &str) -> Result<Self, Error> {
        let channel = Channel::from_shared(url.to_owned())
            .map_err(|error| Error::Unexpected(error.to_string()))?
            .connect()
            .await?;
        let mut manager = Self {
            token: admin_token.to_owned(),
            enrolment: String::new(),
            admin: AdminServiceClient::new(channel.clone()),
            pin_sets: PinSetServiceClient::new(channel.clone()),
            rollouts: RolloutServiceClient::new(channel),
        };
        let enrolment = manager.new_token("team", proto::Role::Environment).await?;
        // From here on with no more rights than it takes.
        manager.token = manager
            .new_token("release-manager", proto::Role::ReleaseManager)
            .await?;
        manager.enrolment = enrolment;
        Ok(manager)
    }

    async fn new_token(&mut self, name: &str, role: proto::Role) -> Result<String, Error> {
        let request = proto::CreateTokenRequest {
            name: name.to_owned(),
            role: role.into(),
            pin_set: String::new(),
            lifetime: None,
        };
        let response = self
            .admin
            .create_token(with_token(request, &self.token))
            .await
            .map_err(refused("a token"))?;
        Ok(response.into_inner().secret)
    }

    /// Its own token.
    pub(super) fn token(&self) -> &str {
        &self.token
    }

    /// A token with which environments enrol.
    pub(super) fn enrolment_token(&self) -> &str {
        &self.enrolment
    }

    /// Makes the pin set, with its file in the repository as the source, and imports the baseline.
    pub(super) async fn prepare(&mut self, baseline: &str) -> Result<u32, Error> {
        let create = proto::CreatePinSetRequest {
            name: PIN_SET.to_owned(),
            ecosystem: proto::Ecosystem::Pypi.into(),
            policy: None,
            source: Some(proto::Source {
                forge: FORGE.to_owned(),
                branch: super::repository::BRANCH.to_owned(),
                path: super::repository::FILE.to_owned(),
                ..proto::Source::default()
            }),
            track: false,
        };
        self.pin_sets
            .create_pin_set(with_token(create, &self.token))
            .await
            .map_err(refused("a pin set"))?;
        let import = proto::ImportPinsRequest {
            name: PIN_SET.to_owned(),
            content: baseline.to_owned(),
            ..proto::ImportPinsRequest::default()
        };
        let imported = self
            .pin_sets
            .import_pins(with_token(import, &self.token))
            .await
            .map_err(refused("the import"))?;
        Ok(imported.into_inner().change_count)
    }

    /// Starts a rollout and returns its id.
    pub(super) async fn start(&mut self, candidate: &Candidate) -> Result<String, Error> {
        let request = proto::CreateRolloutRequest {
            pin_set: PIN_SET.to_owned(),
            candidates: vec![proto::Candidate {
                package: candidate.package.to_owned(),
                version: candidate.to.to_owned(),
                marker: String::new(),
                publish_time: None,
            }],
            ..proto::CreateRolloutRequest::default()
        };
        let response = self
            .rollouts
            .create_rollout(with_token(request, &self.token))
            .await
            .map_err(refused("a rollout"))?;
        Ok(response.into_inner().rollout.unwrap_or_default().id)
    }

    /// The rollouts of these ids.
    pub(super) async fn rollouts(&mut self, ids: &[&str]) -> Result<Vec<proto::Rollout>, Error> {
        let mut rollouts = Vec::with_capacity(ids.len());
        for id in ids {
            let request = proto::GetRolloutRequest {
                id: (*id).to_owned(),
            };
            let response = self
                .rollouts
                .get_rollout(with_token(request, &self.token))
                .await
                .map_err(refused("a look"))?;
            rollouts.push(response.into_inner().rollout.unwrap_or_default());
        }
        Ok(rollouts)
    }

    /// Waits until the rollback of a rollout is filed.
    pub(super) async fn wait_for_filing(&mut self, id: &str) -> Result<proto::Filing, Error> {
        let waited = tokio::time::Instant::now();
        loop {
            let filing = self
                .rollouts(&[id])
                .await?
                .remove(0)
                .filing
                .unwrap_or_default();
            if filing.state == "filed" {
                return Ok(filing);
            }
            if filing.state == "stopped" || waited.elapsed() > FILING_MAX {
                return Err(Error::Unexpected(format!(
                    "the rollback is {}: {}",
                    filing.state, filing.last_answer
                )));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// A request with a token.
///
/// # Panics
/// Never: tokens are ASCII.
pub(super) fn with_token<T>(message: T, token: &str) -> Request<T> {
    let mut value: MetadataValue<_> = format!("Bearer {token}").parse().expect("a token is ASCII");
    value.set_sensitive(true);
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", value);
    request
}
