//! A token that another server has made a moment ago is good here too: whoever shows it waits until it is known.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::HeaderMap;
use http::header::AUTHORIZATION;

use crate::controller::Controller;

/// Lets a request wait for its token.
pub(super) async fn awaited(
    State(controller): State<Arc<Controller>>,
    request: Request,
    next: Next,
) -> Response {
    if let Some(secret) = secret_of(request.headers()) {
        controller.await_token(secret).await;
    }
    next.run(request).await
}

/// The token that a call carries.
fn secret_of(headers: &HeaderMap) -> Option<&str> {
    let header = headers.get(AUTHORIZATION)?.to_str().ok()?;
    header.strip_prefix("Bearer ")
}
