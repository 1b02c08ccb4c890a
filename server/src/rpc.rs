//! gRPC: handlers of three sentences (understand, do, answer). What a message means is in [`wire`], what a
//! refusal is called in [`status`]. Nothing is decided here.

use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use pinion_proto::v1::admin_service_server::AdminServiceServer;
use pinion_proto::v1::audit_service_server::AuditServiceServer;
use pinion_proto::v1::environment_service_server::EnvironmentServiceServer;
use pinion_proto::v1::figure_service_server::FigureServiceServer;
use pinion_proto::v1::forge_service_server::ForgeServiceServer;
use pinion_proto::v1::gate_service_server::GateServiceServer;
use pinion_proto::v1::index_service_server::IndexServiceServer;
use pinion_proto::v1::notice_service_server::NoticeServiceServer;
use pinion_proto::v1::outcome_service_server::OutcomeServiceServer;
use pinion_proto::v1::pin_service_server::PinServiceServer;
use pinion_proto::v1::pin_set_service_server::PinSetServiceServer;
use pinion_proto::v1::rollout_service_server::RolloutServiceServer;
use tonic::codec::CompressionEncoding;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::controller::Controller;

mod admin;
pub(crate) mod again;
mod audit;
mod deadline;
mod environments;
mod figures;
mod forges;
mod gates;
mod indexes;
mod newcomer;
mod notices;
mod outcomes;
mod page;
mod pin_sets;
mod pins;
pub mod pulls;
mod ready;
mod rollouts;
pub mod status;
pub mod trace;
pub mod wire;

/// The largest request, in bytes: an imported file and its frame.
const REQUEST_BYTES_MAX: usize = 3 * 1024 * 1024;

/// What every handler works on.
#[derive(Clone, Debug)]
pub(crate) struct Rpc {
    controller: Arc<Controller>,
}

impl Rpc {
    /// Who sent a request.
    fn caller<T>(
        &self,
        request: &tonic::Request<T>,
    ) -> Result<crate::controller::Identity, tonic::Status> {
        Ok(self.controller.identify(self.secret(request).as_deref())?)
    }

    fn secret<T>(&self, request: &tonic::Request<T>) -> Option<String> {
        let header = request
            .metadata()
            .get("authorization")
            .and_then(|value| value.to_str().ok());
        header
            .and_then(|value| value.strip_prefix("Bearer "))
            .map(str::to_owned)
    }
}

/// Every service as routes, with health and reflection; the reporter tells health when the server stops.
///
/// # Panics
/// Never: the descriptor set was made by the build.
pub async fn routes(controller: Arc<Controller>) -> (Router, HealthReporter) {
    let rpc = Rpc {
        controller: Arc::clone(&controller),
    };
    let (health, health_service) = tonic_health::server::health_reporter();
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(pinion_proto::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .expect("the build wrote a valid descriptor set");
    macro_rules! service {
        ($server:ident) => {{
            health
                .set_service_status(
                    <$server<Rpc> as tonic::server::NamedService>::NAME,
                    ServingStatus::Serving,
                )
                .await;
            $server::new(rpc.clone())
                .max_decoding_message_size(REQUEST_BYTES_MAX)
                .accept_compressed(CompressionEncoding::Gzip)
                .send_compressed(CompressionEncoding::Gzip)
        }};
    }
    let routes = Routes::new(health_service)
        .add_service(reflection)
        .add_service(service!(PinServiceServer))
        .add_service(service!(EnvironmentServiceServer))
        .add_service(service!(OutcomeServiceServer))
        .add_service(service!(RolloutServiceServer))
        .add_service(service!(PinSetServiceServer))
        .add_service(service!(GateServiceServer))
        .add_service(service!(ForgeServiceServer))
        .add_service(service!(NoticeServiceServer))
        .add_service(service!(IndexServiceServer))
        .add_service(service!(AuditServiceServer))
        .add_service(service!(FigureServiceServer))
        .add_service(service!(AdminServiceServer));
    let routes = routes.prepare().into_axum_router();
    let routes = routes
        .layer(from_fn_with_state(
            Arc::clone(&controller),
            again::until_won,
        ))
        .layer(from_fn_with_state(controller, newcomer::awaited))
        .layer(from_fn(deadline::kept));
    (routes, health)
}
