//! HTTP: constraints files for pip and uv, what forges send, metrics and health; and the dashboard.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::header::{
    AGE, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY, WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderName, StatusCode};
use pinion_core::time::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::controller::{Controller, OVER, Refusal};
use crate::metrics::Gauges;
use crate::rpc;
use crate::store::records::{FilingState, RefusalKind};

use dashboard::Dashboard;

mod constraints;
mod dashboard;
mod hooks;

pub use dashboard::Surroundings;

const TEXT: &str = "text/plain; charset=utf-8";

/// What every page works on.
#[derive(Clone, Debug)]
struct Web {
    controller: Arc<Controller>,
    stopping: CancellationToken,
}

/// Every page as routes, beside those of gRPC; readiness ends when `stopping` is cancelled.
pub fn routes(
    controller: Arc<Controller>,
    grpc: Router,
    surroundings: Surroundings,
    stopping: CancellationToken,
) -> Router {
    let dashboard = Dashboard::new(Arc::clone(&controller), surroundings, stopping.clone());
    let until_won = from_fn_with_state(Arc::clone(&controller), rpc::again::until_won);
    Router::new()
        .route("/pin-sets/{pin_set}/constraints.txt", get(constraints_txt))
        .route("/hooks/{forge}", post(hooks::hook))
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .with_state(Web {
            controller,
            stopping,
        })
        .merge(dashboard::routes(dashboard).layer(until_won))
        .merge(grpc)
        .fallback(nothing)
}

/// What is answered where nothing is: in the words of HTTP, or of gRPC to who speaks that.
async fn nothing(headers: HeaderMap) -> Response {
    const UNIMPLEMENTED: &str = "12";
    let is_grpc = headers
        .get(CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"));
    if is_grpc {
        let headers = [
            (CONTENT_TYPE, "application/grpc"),
            (HeaderName::from_static("grpc-status"), UNIMPLEMENTED),
        ];
        return (headers, ()).into_response();
    }
    let text = "nothing is here; `/` says what there is\n";
    (StatusCode::NOT_FOUND, [(CONTENT_TYPE, TEXT)], text).into_response()
}

/// What machines are told there is.
const FRONT: &str = concat!(
    "pinion ",
    env!("CARGO_PKG_VERSION"),
    "\n\n/                                      the dashboard, in a browser\n",
    "/pin-sets/<pin set>/constraints.txt   pins for pip and uv; the token is the password\n",
    "/hooks/<forge>                        where forges say that something has happened\n",
    "/metrics /healthz /readyz             for the people who run this\n",
    "gRPC on the same port: see `pinion --help`\n",
);

async fn constraints_txt(
    State(web): State<Web>,
    Path(pin_set): Path<String>,
    headers: HeaderMap,
) -> Response {
    let secret = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(constraints::secret_of);
    if let Some(secret) = &secret {
        web.controller.await_token(secret).await;
    }
    let known = headers
        .get(IF_NONE_MATCH)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    match constraints::answer(&web.controller, &pin_set, secret.as_deref(), known) {
        Ok(constraints::Answer { etag, text, age }) => {
            let headers = [
                (ETAG, format!("\"{etag}\"")),
                (CACHE_CONTROL, "private, no-cache".to_owned()),
                (VARY, "authorization".to_owned()),
            ];
            match text {
                Some(text) => with_age((headers, [(CONTENT_TYPE, TEXT)], text), age),
                None => with_age((StatusCode::NOT_MODIFIED, headers), age),
            }
        }
        Err(refusal) => refused(&refusal),
    }
}

/// The answer; it says how old it may be as a cache does that could not ask.
fn with_age(answer: impl IntoResponse, age: Option<Duration>) -> Response {
    let mut response = answer.into_response();
    if let Some(age) = age {
        response.headers_mut().insert(AGE, age.as_secs().into());
    }
    response
}

/// The status of a refusal.
fn status_of(refusal: &Refusal) -> StatusCode {
    match refusal.kind().0 {
        RefusalKind::Unauthenticated => StatusCode::UNAUTHORIZED,
        RefusalKind::Forbidden => StatusCode::FORBIDDEN,
        RefusalKind::NotFound => StatusCode::NOT_FOUND,
        RefusalKind::Invalid => StatusCode::BAD_REQUEST,
        RefusalKind::Unavailable | RefusalKind::Damaged | RefusalKind::Internal => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        RefusalKind::Exists | RefusalKind::Stale | RefusalKind::Precondition => {
            StatusCode::CONFLICT
        }
        RefusalKind::Exhausted => StatusCode::TOO_MANY_REQUESTS,
    }
}

fn refused(refusal: &Refusal) -> Response {
    let status = status_of(refusal);
    let mut response = (status, [(CONTENT_TYPE, TEXT)], format!("{refusal}\n")).into_response();
    if status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(
            WWW_AUTHENTICATE,
            http::HeaderValue::from_static("Basic realm=\"pinion\""),
        );
    }
    response
}

async fn metrics(State(web): State<Web>) -> Response {
    let snapshot = web.controller.snapshot();
    let is_pending = |state: &FilingState| matches!(state, FilingState::Pending { .. });
    let deliveries = snapshot.notices().map(|stored| &stored.record);
    let waiting: Vec<Timestamp> = deliveries
        .flat_map(|record| record.deliveries.iter().map(|one| (record.notice.at, one)))
        .filter(|(_, delivery)| delivery.state.ended().is_none())
        .map(|(at, _)| at)
        .collect();
    let (now, oldest) = (web.controller.clock.now(), waiting.iter().min().copied());
    let gauges = Gauges {
        open_rollouts: snapshot.all_open_rollouts().count(),
        environments: snapshot.environments().count(),
        pending_filings: snapshot
            .filings()
            .filter(|filing| is_pending(&filing.record.state))
            .count(),
        waiting_notices: waiting.len(),
        oldest_waiting_notice_s: oldest.map_or(0, |at| now.since(at).as_secs()),
        revision: snapshot.revision,
        age: web.controller.age(),
        leads: web.controller.leads(),
        servers: snapshot.servers().count(),
        failing_indexes: web.controller.failing_indexes(),
        delivery: web
            .controller
            .delivery(OVER)
            .by_pin_set
            .into_iter()
            .map(|(name, figures)| (name.to_string(), figures))
            .collect(),
    };
    match web.controller.metrics.text(gauges) {
        Ok(text) => ([(CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

async fn readyz(State(web): State<Web>) -> Response {
    if web.stopping.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n").into_response();
    }
    // It goes on serving what it knows: without it, and others that are cut off as well, nobody had pins.
    if let Some(age) = web.controller.staleness() {
        let text = format!(
            "ready; cut off from the store, serving what was known {} s ago\n",
            age.as_secs()
        );
        return text.into_response();
    }
    "ready\n".into_response()
}
