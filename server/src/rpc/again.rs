//! Where several servers change the same records, one of two requests at the same moment finds that what it was made on
//! has changed. Nothing of it has happened, so it is made again here, and its caller notices nothing.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{Method, StatusCode};
use tonic::{Code, Status};

use super::REQUEST_BYTES_MAX;
use crate::controller::{Controller, race};

/// How often a request is made again, at most.
const TIMES_MAX: u32 = 8;
/// Services whose requests write nothing that others write too, or are read from memory.
const NEVER_RACING: [&str; 2] = ["/pinion.v1.PinService/", "/pinion.v1.OutcomeService/"];

/// Makes a request again that lost a race.
pub(crate) async fn until_won(
    State(controller): State<Arc<Controller>>,
    request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path();
    let is_racing = controller.is_shared()
        && request.method() == Method::POST
        && !NEVER_RACING.iter().any(|prefix| path.starts_with(prefix));
    if !is_racing {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    // A frame has five bytes beside its message.
    let Ok(body) = to_bytes(body, REQUEST_BYTES_MAX + 5).await else {
        let cause = format!("the request has more than {REQUEST_BYTES_MAX} bytes, or broke off");
        return Status::out_of_range(cause).into_http();
    };
    let mut times = 0;
    loop {
        let request = Request::from_parts(parts.clone(), Body::from(body.clone()));
        let (response, raced) = race::observed(next.clone().run(request)).await;
        if !raced || !has_failed(&response) || times == TIMES_MAX {
            return response;
        }
        times += 1;
        tokio::time::sleep(pause(times)).await;
    }
}

fn has_failed(response: &Response) -> bool {
    let code = response.headers().get("grpc-status");
    match code {
        Some(code) => Code::from_bytes(code.as_bytes()) == Code::Aborted,
        None => response.status() == StatusCode::CONFLICT,
    }
}

/// Up to 5, 10, 20 ... milliseconds, at random, so that those who race do not meet again.
fn pause(times: u32) -> Duration {
    Duration::from_millis(5 << times.min(6)).mul_f64(fastrand::f64())
}
