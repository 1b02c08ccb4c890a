//! A server with canned answers and wilful faults. What a real server decides is tested with a real one.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use pinion_client::v1;
use pinion_client::v1::admin_service_server::{AdminService, AdminServiceServer};
use pinion_client::v1::environment_service_server::{EnvironmentService, EnvironmentServiceServer};
use pinion_client::v1::outcome_service_server::{OutcomeService, OutcomeServiceServer};
use pinion_client::v1::pin_service_server::{PinService, PinServiceServer};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// How the stub treats its callers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    /// It answers.
    Well,
    /// It takes every question and never answers.
    Hanging,
    /// It refuses every report for good.
    RefusingReports,
    /// It says that it forgets, and does not.
    Remembering,
}

/// What a stub has been told.
#[derive(Default)]
pub(crate) struct Heard {
    pub(crate) enrolled: Vec<v1::EnrollRequest>,
    pub(crate) reports: Vec<v1::Report>,
    pub(crate) authorizations: Vec<String>,
    pub(crate) forgotten: u32,
    pub(crate) updates: Vec<v1::UpdateEnvironmentRequest>,
}

/// A running stub; it ends with its value.
pub(crate) struct Stub {
    address: SocketAddr,
    is_secure: bool,
    shared: Arc<Shared>,
    runtime: Option<tokio::runtime::Runtime>,
}

struct Shared {
    mood: Mutex<Mood>,
    heard: Mutex<Heard>,
    version: Mutex<String>,
    served: Mutex<Option<v1::GetPinsResponse>>,
    baseline: Mutex<Option<v1::GetPinsResponse>>,
}

#[derive(Clone)]
struct Services(Arc<Shared>);

impl Stub {
    pub(crate) fn start() -> Self {
        Self::start_with(Server::builder())
    }

    /// One that speaks TLS, and the authority (PEM) that vouches for it.
    pub(crate) fn start_secure() -> (Self, String) {
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]);
        let made = made.expect("a certificate");
        let identity = Identity::from_pem(made.cert.pem(), made.signing_key.serialize_pem());
        let server = Server::builder().tls_config(ServerTlsConfig::new().identity(identity));
        let mut stub = Self::start_with(server.expect("TLS"));
        stub.is_secure = true;
        (stub, made.cert.pem())
    }

    fn start_with(mut server: Server) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let shared = Arc::new(Shared {
            mood: Mutex::new(Mood::Well),
            heard: Mutex::default(),
            version: Mutex::new("1.0".to_owned()),
            served: Mutex::default(),
            baseline: Mutex::default(),
        });
        let services = Services(shared.clone());
        let _inside = runtime.enter();
        let incoming = TcpIncoming::bind(([127, 0, 0, 1], 0).into()).expect("a free port");
        let address = incoming.local_addr().expect("bound");
        runtime.spawn(
            server
                .add_service(AdminServiceServer::new(services.clone()))
                .add_service(EnvironmentServiceServer::new(services.clone()))
                .add_service(PinServiceServer::new(services.clone()))
                .add_service(OutcomeServiceServer::new(services))
                .serve_with_incoming(incoming),
        );
        drop(_inside);
        Self {
            address,
            is_secure: false,
            shared,
            runtime: Some(runtime),
        }
    }

    pub(crate) fn url(&self) -> String {
        match self.is_secure {
            true => format!("https://{}", self.address),
            false => format!("http://{}", self.address),
        }
    }

    pub(crate) fn turn(&self, mood: Mood) {
        *self.shared.mood.lock().expect("not poisoned") = mood;
    }

    pub(crate) fn pin(&self, version: &str) {
        *self.shared.version.lock().expect("not poisoned") = version.to_owned();
    }

    /// Serves these pins instead.
    pub(crate) fn serve(&self, pins: v1::GetPinsResponse) {
        *self.shared.served.lock().expect("not poisoned") = Some(pins);
    }

    /// Serves these pins to who asks for the baseline.
    pub(crate) fn serve_baseline(&self, pins: v1::GetPinsResponse) {
        *self.shared.baseline.lock().expect("not poisoned") = Some(pins);
    }

    pub(crate) fn heard<T>(&self, look: impl FnOnce(&Heard) -> T) -> T {
        look(&self.shared.heard.lock().expect("not poisoned"))
    }

    /// Ends the server; its port refuses from then on.
    pub(crate) fn stop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Services {
    async fn enter<T>(&self, request: Request<T>) -> T {
        let authorization = request.metadata().get("authorization");
        let authorization = authorization
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        self.heard(|heard| heard.authorizations.push(authorization.to_owned()));
        if self.mood() == Mood::Hanging {
            std::future::pending::<()>().await;
        }
        request.into_inner()
    }

    fn heard(&self, note: impl FnOnce(&mut Heard)) {
        note(&mut self.0.heard.lock().expect("not poisoned"));
    }

    fn mood(&self) -> Mood {
        *self.0.mood.lock().expect("not poisoned")
    }
}

fn environment(reporting: bool) -> v1::Environment {
    v1::Environment {
        id: "env-00000000000000000000000000000001".into(),
        pin_set: "nova".into(),
        reporting,
        ..Default::default()
    }
}

#[tonic::async_trait]
impl EnvironmentService for Services {
    async fn enroll(
        &self,
        request: Request<v1::EnrollRequest>,
    ) -> Result<Response<v1::EnrollResponse>, Status> {
        let request = self.enter(request).await;
        let environment = environment(request.reporting);
        self.heard(|heard| heard.enrolled.push(request));
        let token = "environment-secret".to_owned();
        Ok(Response::new(v1::EnrollResponse {
            environment: Some(environment),
            token,
        }))
    }

    async fn get_environment(
        &self,
        request: Request<v1::GetEnvironmentRequest>,
    ) -> Result<Response<v1::GetEnvironmentResponse>, Status> {
        self.enter(request).await;
        if self.0.heard.lock().expect("not poisoned").forgotten > 0 && self.mood() == Mood::Well {
            return Err(Status::not_found("no such environment"));
        }
        let environment = Some(environment(true));
        Ok(Response::new(v1::GetEnvironmentResponse { environment }))
    }

    async fn update_environment(
        &self,
        request: Request<v1::UpdateEnvironmentRequest>,
    ) -> Result<Response<v1::UpdateEnvironmentResponse>, Status> {
        let request = self.enter(request).await;
        let mut changed = environment(request.reporting.unwrap_or(true));
        changed.volunteers.clone_from(&request.volunteers);
        changed.holds.clone_from(&request.holds);
        self.heard(|heard| heard.updates.push(request));
        let environment = Some(changed);
        Ok(Response::new(v1::UpdateEnvironmentResponse { environment }))
    }

    async fn delete_environment(
        &self,
        request: Request<v1::DeleteEnvironmentRequest>,
    ) -> Result<Response<v1::DeleteEnvironmentResponse>, Status> {
        self.enter(request).await;
        self.heard(|heard| heard.forgotten += 1);
        Ok(Response::new(v1::DeleteEnvironmentResponse {
            id: environment(true).id,
        }))
    }
}

#[tonic::async_trait]
impl AdminService for Services {
    async fn create_token(
        &self,
        _: Request<v1::CreateTokenRequest>,
    ) -> Result<Response<v1::CreateTokenResponse>, Status> {
        Err(Status::unimplemented("a stub gives no tokens"))
    }

    async fn list_tokens(
        &self,
        _: Request<v1::ListTokensRequest>,
    ) -> Result<Response<v1::ListTokensResponse>, Status> {
        Err(Status::unimplemented("a stub has no tokens"))
    }

    async fn revoke_token(
        &self,
        _: Request<v1::RevokeTokenRequest>,
    ) -> Result<Response<v1::RevokeTokenResponse>, Status> {
        Err(Status::unimplemented("a stub has no tokens"))
    }

    type ExportStoreStream = tokio_stream::Once<Result<v1::ExportStoreResponse, Status>>;

    async fn export_store(
        &self,
        _: Request<v1::ExportStoreRequest>,
    ) -> Result<Response<Self::ExportStoreStream>, Status> {
        Err(Status::unimplemented("a stub keeps nothing"))
    }

    async fn get_caller(
        &self,
        request: Request<v1::GetCallerRequest>,
    ) -> Result<Response<v1::GetCallerResponse>, Status> {
        self.enter(request).await;
        Ok(Response::new(v1::GetCallerResponse {
            name: environment(true).id,
            role: v1::Role::Environment.into(),
            pin_set: "nova".into(),
            server_version: env!("CARGO_PKG_VERSION").into(),
        }))
    }
}

#[tonic::async_trait]
impl PinService for Services {
    async fn get_pins(
        &self,
        request: Request<v1::GetPinsRequest>,
    ) -> Result<Response<v1::GetPinsResponse>, Status> {
        let request = self.enter(request).await;
        let baseline = self.0.baseline.lock().expect("not poisoned").clone();
        if let Some(pins) = baseline.filter(|_| request.baseline) {
            return Ok(Response::new(pins));
        }
        if let Some(pins) = self.0.served.lock().expect("not poisoned").clone() {
            let unchanged = request.etag == pins.etag;
            return Ok(Response::new(match unchanged {
                true => v1::GetPinsResponse {
                    etag: pins.etag,
                    unchanged,
                    ..Default::default()
                },
                false => pins,
            }));
        }
        let version = self.0.version.lock().expect("not poisoned").clone();
        let etag = format!("etag-{version}");
        if request.etag == etag {
            let unchanged = true;
            return Ok(Response::new(v1::GetPinsResponse {
                etag,
                unchanged,
                ..Default::default()
            }));
        }
        Ok(Response::new(v1::GetPinsResponse {
            etag,
            revision: 7,
            pins: vec![v1::Pin {
                package: "requests".into(),
                version,
                marker: String::new(),
            }],
            rollouts: vec!["ro-0000000000000001".into()],
            pin_set: "nova".into(),
            ecosystem: v1::Ecosystem::Pypi.into(),
            ..Default::default()
        }))
    }

    type WatchPinsStream = tokio_stream::Once<Result<v1::WatchPinsResponse, Status>>;

    async fn watch_pins(
        &self,
        request: Request<v1::WatchPinsRequest>,
    ) -> Result<Response<Self::WatchPinsStream>, Status> {
        assert!(
            request.metadata().get("grpc-timeout").is_none(),
            "a stream has no deadline"
        );
        let request = request.map(|watch| v1::GetPinsRequest {
            baseline: false,
            pin_set: watch.pin_set,
            etag: watch.etag,
        });
        let pins = Some(self.get_pins(request).await?.into_inner());
        Ok(Response::new(tokio_stream::once(Ok(
            v1::WatchPinsResponse { pins },
        ))))
    }

    async fn explain_pins(
        &self,
        request: Request<v1::ExplainPinsRequest>,
    ) -> Result<Response<v1::ExplainPinsResponse>, Status> {
        let package = self.enter(request).await.package;
        let mut details = ErrorDetails::with_bad_request_violation("package", "is no name: `a b`");
        details.add_help_link("list the pins", "pinion pin-set show --pins");
        let message = format!("`{package}` is not pinned");
        Err(Status::with_error_details(
            tonic::Code::NotFound,
            message,
            details,
        ))
    }
}

#[tonic::async_trait]
impl OutcomeService for Services {
    async fn report_outcomes(
        &self,
        request: Request<v1::ReportOutcomesRequest>,
    ) -> Result<Response<v1::ReportOutcomesResponse>, Status> {
        let request = self.enter(request).await;
        if self.mood() == Mood::RefusingReports {
            return Err(Status::failed_precondition(
                "the environment is not in the rollout",
            ));
        }
        let accepted = u32::try_from(request.reports.len()).expect("few");
        self.heard(|heard| heard.reports.extend(request.reports));
        Ok(Response::new(v1::ReportOutcomesResponse {
            accepted,
            repeated: 0,
        }))
    }
}
