//! Floors: the least that a server of the same parts can cost.
//!
//! Bare tonic under the paths of our own services: an echo, bytes that are ready-made, reports that are parsed and
//! nothing else. Bare axum: a file that is ready-made.

use std::convert::Infallible;
use std::task::{Context, Poll};

use axum::Router;
use axum::routing::get;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use pinion_proto::v1 as proto;
use pinion_proto::v1::outcome_service_server::{OutcomeService, OutcomeServiceServer};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::body::Body;
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::{Request, Response, Status};
use tower::Service;

use crate::Failure;
use crate::bytes_codec::BytesCodec;
use crate::child::{state_dir, until_left};

/// The file with the answer that is given ready-made.
pub(crate) const ANSWER: &str = "answer";
/// The file with the constraints that are given ready-made.
pub(crate) const CONSTRAINTS: &str = "constraints";

/// Where the echo is.
pub(crate) const ECHO: &str = "/floor.Floor/Echo";
/// Where the ready-made bytes are.
pub(crate) const READY: &str = "/floor.Floor/Ready";

#[derive(Clone, Debug)]
struct Floor {
    answer: Bytes,
}

impl NamedService for Floor {
    const NAME: &'static str = "floor.Floor";
}

struct Echo;

impl UnaryService<Bytes> for Echo {
    type Response = Bytes;
    type Future = std::future::Ready<Result<Response<Bytes>, Status>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        std::future::ready(Ok(Response::new(request.into_inner())))
    }
}

struct ReadyMade(Bytes);

impl UnaryService<Bytes> for ReadyMade {
    type Response = Bytes;
    type Future = std::future::Ready<Result<Response<Bytes>, Status>>;

    fn call(&mut self, _: Request<Bytes>) -> Self::Future {
        std::future::ready(Ok(Response::new(self.0.clone())))
    }
}

impl Service<http::Request<Body>> for Floor {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let answer = self.answer.clone();
        Box::pin(async move {
            let mut grpc = Grpc::new(BytesCodec);
            Ok(match request.uri().path() {
                ECHO => grpc.unary(Echo, request).await,
                _ => grpc.unary(ReadyMade(answer), request).await,
            })
        })
    }
}

#[derive(Clone, Debug)]
struct Parser;

#[tonic::async_trait]
impl OutcomeService for Parser {
    async fn report_outcomes(
        &self,
        request: Request<proto::ReportOutcomesRequest>,
    ) -> Result<Response<proto::ReportOutcomesResponse>, Status> {
        let reports = request.into_inner().reports;
        Ok(Response::new(proto::ReportOutcomesResponse {
            accepted: u32::try_from(reports.len()).unwrap_or(u32::MAX),
            repeated: 0,
        }))
    }
}

/// Is the floors; says where gRPC is, and where HTTP is.
pub(crate) async fn serve() -> Result<(), Failure> {
    let dir = state_dir()?;
    let read = |name: &str| std::fs::read(dir.join(name)).unwrap_or_default();
    let floor = Floor {
        answer: read(ANSWER).into(),
    };
    let text: Bytes = read(CONSTRAINTS).into();
    let grpc = TcpListener::bind("127.0.0.1:0").await?;
    let web = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}\n{}", grpc.local_addr()?, web.local_addr()?);
    let ready_made = get(move || async move { text });
    let file = Router::new().route("/constraints.txt", ready_made);
    tokio::spawn(async move { axum::serve(web, file).await });
    let serving = tonic::transport::Server::builder()
        .tcp_nodelay(true)
        .add_service(floor)
        .add_service(OutcomeServiceServer::new(Parser))
        .serve_with_incoming(TcpListenerStream::new(grpc));
    tokio::select! {
        served = serving => Ok(served?),
        () = until_left() => Ok(()),
    }
}
