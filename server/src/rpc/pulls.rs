//! `GetPins` and `WatchPins` on a way of their own: most calls are pulls, and most pulls change nothing.
//!
//! A pull waits for nothing and changes nothing in the store, so that of what other calls go through it needs little: no
//! task of its own that carries it out to its end, and no second try. It is counted like every call; a span it has where
//! traces are exported, or where its caller traces.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream;
use http::HeaderMap;
use http_body::Frame;
use http_body_util::StreamBody;
use pinion_proto::v1::{GetPinsRequest, WatchPinsRequest};
use tokio::sync::watch;
use tonic::Status;
use tonic::codec::CompressionEncoding;
use tonic::server::{Grpc, UnaryService};
use tower::{Layer, Service};

use super::ready::{ReadyCodec, Written};
use super::{Rpc, deadline, trace, wire};
use crate::controller::{Controller, PinsQuery};

const GET_PINS: &str = "/pinion.v1.PinService/GetPins";
const WATCH_PINS: &str = "/pinion.v1.PinService/WatchPins";

/// Both as routes; `has_spans`: every call has a span, since traces are exported.
pub fn routes(controller: &Arc<Controller>, has_spans: bool) -> Router {
    let pulls = Pulls {
        rpc: Rpc {
            controller: Arc::clone(controller),
        },
        has_spans,
    };
    Router::new()
        .route_service(GET_PINS, pulls.clone())
        .route_service(WATCH_PINS, pulls)
}

#[derive(Clone, Debug)]
struct Pulls {
    rpc: Rpc,
    has_spans: bool,
}

impl Service<Request> for Pulls {
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let rpc = self.rpc.clone();
        if self.has_spans || request.headers().contains_key("traceparent") {
            let metrics = Arc::clone(&rpc.controller.metrics);
            let answer = tower::service_fn(move |request| {
                let rpc = rpc.clone();
                async move { Ok::<_, Infallible>(answer(rpc, request).await) }
            });
            let traced = axum::middleware::from_fn_with_state(metrics, trace::traced);
            return Box::pin(traced.layer(answer).call(request));
        }
        Box::pin(async move {
            let started = Instant::now();
            let metrics = Arc::clone(&rpc.controller.metrics);
            let method = method_of(request.uri().path());
            let response = answer(rpc, request).await;
            match response.headers().get("grpc-status") {
                None => metrics.request_done(method, started.elapsed()),
                Some(_) => metrics.request(method, &trace::status_of(&response), started.elapsed()),
            }
            Ok(response)
        })
    }
}

/// A path without its first `/`.
fn method_of(path: &str) -> &'static str {
    match path {
        GET_PINS => &GET_PINS[1..],
        _ => &WATCH_PINS[1..],
    }
}

async fn answer(rpc: Rpc, request: Request) -> Response {
    let allowed = deadline::allowed(request.headers());
    let is_stream = request.uri().path() == WATCH_PINS;
    let answered = async move {
        match is_stream {
            true => watch(rpc, request).await,
            false => get_pins(rpc, request).await,
        }
    };
    match tokio::time::timeout(allowed, answered).await {
        Ok(response) => response,
        Err(_) => deadline::too_late(allowed).into_http(),
    }
}

async fn get_pins(rpc: Rpc, request: Request) -> Response {
    let mut grpc = Grpc::new(ReadyCodec::default())
        .max_decoding_message_size(super::REQUEST_BYTES_MAX)
        .accept_compressed(CompressionEncoding::Gzip)
        .send_compressed(CompressionEncoding::Gzip);
    grpc.unary(Get(rpc), request).await.map(Body::new)
}

struct Get(Rpc);

impl UnaryService<GetPinsRequest> for Get {
    type Response = Written;
    type Future = std::future::Ready<Result<tonic::Response<Written>, Status>>;

    fn call(&mut self, request: tonic::Request<GetPinsRequest>) -> Self::Future {
        std::future::ready(get(&self.0, request))
    }
}

fn get(
    rpc: &Rpc,
    request: tonic::Request<GetPinsRequest>,
) -> Result<tonic::Response<Written>, Status> {
    let caller = rpc.caller(&request)?;
    let GetPinsRequest {
        pin_set,
        etag,
        baseline,
    } = request.into_inner();
    let query = wire::query(&pin_set, etag, baseline)?;
    let answer = rpc.controller.pins(&caller, &query)?;
    Ok(tonic::Response::new(wire::written_pins(&answer)))
}

/// Begins a stream: the call is read and refused as any other, and what it begins is taken from `begun` then.
struct Watch {
    rpc: Rpc,
    begun: Arc<Mutex<Option<Watcher>>>,
}

impl UnaryService<WatchPinsRequest> for Watch {
    type Response = Written;
    type Future = std::future::Ready<Result<tonic::Response<Written>, Status>>;

    fn call(&mut self, request: tonic::Request<WatchPinsRequest>) -> Self::Future {
        std::future::ready(
            self.begin(request)
                .map(|()| tonic::Response::new(Written::default())),
        )
    }
}

impl Watch {
    fn begin(&self, request: tonic::Request<WatchPinsRequest>) -> Result<(), Status> {
        let secret = self.rpc.secret(&request);
        let WatchPinsRequest { pin_set, etag } = request.into_inner();
        let query = wire::query(&pin_set, etag, false)?;
        let controller = Arc::clone(&self.rpc.controller);
        // A wrong token or pin set is refused at once, not on the stream.
        controller.pins(&controller.identify(secret.as_deref())?, &query)?;
        let mut changes = controller.pin_changes();
        changes.mark_changed();
        let watcher = Watcher {
            controller,
            changes,
            secret,
            query,
        };
        *self.begun.lock().unwrap_or_else(PoisonError::into_inner) = Some(watcher);
        Ok(())
    }
}

async fn watch(rpc: Rpc, request: Request) -> Response {
    let begun = Arc::default();
    let watch = Watch {
        rpc,
        begun: Arc::clone(&begun),
    };
    let mut grpc = Grpc::new(ReadyCodec::default())
        .max_decoding_message_size(super::REQUEST_BYTES_MAX)
        .accept_compressed(CompressionEncoding::Gzip);
    let answer = grpc.unary(watch, request).await;
    let watcher = begun.lock().unwrap_or_else(PoisonError::into_inner).take();
    match watcher {
        Some(watcher) => {
            let frames = stream::unfold(Step::Wait(watcher), Step::next);
            answer.map(|_| Body::new(StreamBody::new(frames)))
        }
        None => answer.map(Body::new),
    }
}

/// Somebody who is told of pins.
struct Watcher {
    controller: Arc<Controller>,
    changes: watch::Receiver<u64>,
    secret: Option<String>,
    query: PinsQuery,
}

/// Where a stream is.
enum Step {
    /// Nothing is to be told.
    Wait(Watcher),
    /// The rest of a message is to be sent.
    Send(Watcher, Bytes),
    /// Everything was told.
    Over,
}

impl Step {
    /// The next frame. The bytes that others are told too are never copied: thousands of streams hold them once.
    async fn next(self) -> Option<(Result<Frame<Bytes>, Infallible>, Self)> {
        let mut watcher = match self {
            Self::Wait(watcher) => watcher,
            Self::Send(watcher, rest) => return Some((Ok(Frame::data(rest)), Self::Wait(watcher))),
            Self::Over => return None,
        };
        match watcher.news().await {
            Ok(Written { shared, own }) => {
                Some((Ok(Frame::data(own.into())), Self::Send(watcher, shared)))
            }
            Err(status) => {
                let mut trailers = HeaderMap::new();
                // What does not fit into headers is told without its details.
                if status.add_header(&mut trailers).is_err() {
                    trailers.insert("grpc-status", (status.code() as i32).into());
                }
                Some((Ok(Frame::trailers(trailers)), Self::Over))
            }
        }
    }
}

impl Watcher {
    /// Waits until the pins are others than were told last. The token is looked at again each time, so that a revoked
    /// one is told nothing more.
    async fn news(&mut self) -> Result<Written, Status> {
        loop {
            if self.changes.changed().await.is_err() {
                return Err(Status::unavailable("the server is stopping"));
            }
            let caller = self.controller.identify(self.secret.as_deref())?;
            let answer = self.controller.pins(&caller, &self.query)?;
            if !answer.unchanged {
                self.query.etag.clone_from(&answer.combination.etag);
                return Ok(wire::written_news(&answer));
            }
        }
    }
}
