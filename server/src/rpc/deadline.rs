//! How long a call may take: as long as its caller waits for it, and never longer than [`CALL_TIME_MAX`].
//!
//! A call that was begun is carried out to its end, whoever waits: if it stopped between the store and the memory
//! that pins are served from, the two would differ until the next start.

use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use futures_util::StreamExt;
use http::HeaderMap;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tracing::Instrument;

/// The longest time from a call to the beginning of its answer, its own message included. A stream, once begun, has
/// no end of this kind.
const CALL_TIME_MAX: Duration = Duration::from_secs(60);

/// Answers within the caller's deadline (`grpc-timeout`), and within ours.
pub(super) async fn kept(request: Request, next: Next) -> Response {
    let allowed = allowed(request.headers());
    let over = CancellationToken::new();
    let request = request.map(|body| {
        Body::from_stream(
            body.into_data_stream()
                .take_until(over.clone().cancelled_owned()),
        )
    });
    // Of a message that has not come whole until then, nothing more is read.
    let guard = over.drop_guard();
    let call = tokio::spawn(next.run(request).in_current_span());
    let status = match tokio::time::timeout(allowed, call).await {
        Ok(Ok(response)) => {
            // What has begun to answer may read on.
            guard.disarm();
            return response;
        }
        Ok(Err(error)) => {
            tracing::error!(%error, "a call ended badly");
            Status::internal("the call ended badly; the server's log says more")
        }
        Err(_) => too_late(allowed),
    };
    status.into_http()
}

/// How long a call may take.
pub(super) fn allowed(headers: &HeaderMap) -> Duration {
    asked(headers).map_or(CALL_TIME_MAX, |asked| asked.min(CALL_TIME_MAX))
}

/// What is said of a call that took longer.
pub(super) fn too_late(allowed: Duration) -> Status {
    Status::deadline_exceeded(format!(
        "no answer within {} ms; see whether it has taken effect before you send it again",
        allowed.as_millis()
    ))
}

/// The caller's deadline: 1 to 8 digits and a unit. What is no deadline is ignored, as gRPC has it.
fn asked(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if !(1..=8).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(count * 3600)),
        "M" => Some(Duration::from_secs(count * 60)),
        "S" => Some(Duration::from_secs(count)),
        "m" => Some(Duration::from_millis(count)),
        "u" => Some(Duration::from_micros(count)),
        "n" => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(text: &str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert("grpc-timeout", text.parse().expect("a header"));
        super::asked(&headers)
    }

    #[test]
    fn a_deadline_is_digits_and_a_unit() {
        assert_eq!(asked("20S"), Some(Duration::from_secs(20)));
        assert_eq!(asked("1500m"), Some(Duration::from_millis(1500)));
        assert_eq!(
            asked("99999999H"),
            Some(Duration::from_secs(359_999_996_400))
        );
        for bad in ["", "S", "20", "+2S", "123456789S", "2X", "2 S"] {
            assert_eq!(asked(bad), None, "{bad:?}");
        }
    }
}
