//! One span and one measurement for every request, gRPC or HTTP, joined to the caller's trace (W3C `traceparent`).

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::HeaderMap;
use opentelemetry::propagation::Extractor;
use tracing::Instrument;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::metrics::Metrics;

/// What is counted together: whatever there is not.
const OTHER: &str = "other";
/// The status of a method that there is not.
const UNIMPLEMENTED: &str = "12";

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}

/// Runs a request inside its span and counts it.
pub async fn traced(State(metrics): State<Arc<Metrics>>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = method_of(&request);
    let span = tracing::info_span!("request", otel.name = %method, otel.kind = "server", status = tracing::field::Empty);
    let parent = opentelemetry::global::get_text_map_propagator(|propagator| {
        propagator.extract(&Headers(request.headers()))
    });
    // Without a subscriber that exports traces there is no span to join.
    let _ = span.set_parent(parent);
    let response = next.run(request).instrument(span.clone()).await;
    let status = status_of(&response);
    span.record("status", status.as_str());
    let counted = if is_made_up(&response) {
        OTHER
    } else {
        &method
    };
    metrics.request(counted, &status, started.elapsed());
    response
}

/// The gRPC method, or the route; never a path that somebody made up.
fn method_of(request: &Request) -> String {
    let Some(path) = request.extensions().get::<MatchedPath>() else {
        return OTHER.to_owned();
    };
    let is_service = |path: &str| path.starts_with("/pinion.v1.") || path.starts_with("/grpc.");
    if is_service(path.as_str()) {
        request.uri().path()[1..].to_owned()
    } else {
        format!("{} {}", request.method(), path.as_str())
    }
}

/// Whether the caller asked by a method that there is not, whose name must not become a label: anybody could fill
/// the memory with such.
fn is_made_up(response: &Response) -> bool {
    let status = response.headers().get("grpc-status");
    response.status() == http::StatusCode::METHOD_NOT_ALLOWED
        || status.is_some_and(|status| status == UNIMPLEMENTED)
}

pub(super) fn status_of(response: &Response) -> String {
    match response
        .headers()
        .get("grpc-status")
        .and_then(|status| status.to_str().ok())
    {
        Some(status) => format!("grpc {status}"),
        None => response.status().as_u16().to_string(),
    }
}
