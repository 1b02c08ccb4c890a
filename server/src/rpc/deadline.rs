//! How long a call may take: as long as its caller waits for it, and never longer than [`CALL_TIME_MAX`].

use std::time::Duration;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http::HeaderMap;
use tonic::Status;

/// The longest time from a call to the beginning of its answer, its own message included. A stream, once begun, has
/// no end of this kind.
const CALL_TIME_MAX: Duration = Duration::from_secs(60);

/// Answers within the caller's deadline (`grpc-timeout`), and within ours; what was not answered then is dropped.
pub(super) async fn kept(request: Request, next: Next) -> Response {
    let allowed = asked(request.headers()).map_or(CALL_TIME_MAX, |asked| asked.min(CALL_TIME_MAX));
    match tokio::time::timeout(allowed, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Status::deadline_exceeded(format!(
            "no answer within {} ms; see whether it has taken effect before you send it again",
            allowed.as_millis()
        ))
        .into_http(),
    }
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
