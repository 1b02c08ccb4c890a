//! Why no server answered: each that was asked, and what it said.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{Response, StatusCode};
use tonic::{Code, ConnectError, Status, TimeoutExpired};

use crate::connection::chain;

/// Why one server did not answer.
#[derive(Debug)]
pub(super) enum Cause {
    /// The request was never made: there is no connection.
    NotReached(tonic::transport::Error),
    /// The connection broke; the request may have arrived.
    Broken(tonic::transport::Error),
    /// Nothing came for so long; the request may have arrived.
    Late(Duration),
    /// It is there and says, in these words, that it cannot answer now.
    Unavailable(String),
    /// Something before it says that it is not there; the request may have arrived.
    Away(StatusCode),
}

impl Cause {
    /// Tells by its causes how a call failed.
    pub(super) fn of(error: tonic::transport::Error) -> Self {
        if has_cause::<ConnectError>(&error) {
            return Self::NotReached(error);
        }
        match has_cause::<TimeoutExpired>(&error) {
            true => Self::Late(Duration::ZERO),
            false => Self::Broken(error),
        }
    }

    /// What a response says that is no answer; none: it is one.
    pub(super) fn said_by<T>(response: &Response<T>) -> Option<Self> {
        let Some(code) = response.headers().get("grpc-status") else {
            let status = response.status();
            let is_away = matches!(
                status,
                StatusCode::BAD_GATEWAY
                    | StatusCode::SERVICE_UNAVAILABLE
                    | StatusCode::GATEWAY_TIMEOUT
            );
            return is_away.then_some(Self::Away(status));
        };
        match Code::from_bytes(code.as_bytes()) {
            Code::Unavailable => Some(Self::Unavailable(words(response))),
            // It heeds the caller's deadline, and goes on with what it has begun.
            Code::DeadlineExceeded => Some(Self::Late(Duration::ZERO)),
            _ => None,
        }
    }

    /// Whether the request may have arrived.
    pub(super) const fn has_arrived(&self) -> bool {
        !matches!(self, Self::NotReached(_))
    }

    /// Whether what was asked may have been done although no answer came.
    const fn may_be_done(&self) -> bool {
        match self {
            // A server that could not says so itself.
            Self::NotReached(_) | Self::Unavailable(_) => false,
            Self::Broken(_) | Self::Late(_) | Self::Away(_) => true,
        }
    }

    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::NotReached(error) | Self::Broken(error) => Some(error),
            Self::Late(_) | Self::Unavailable(_) | Self::Away(_) => None,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotReached(error) | Self::Broken(error) => formatter.write_str(&chain(error)),
            Self::Late(wait) => write!(formatter, "no answer within {:?}", rounded(*wait)),
            Self::Unavailable(words) => formatter.write_str(words),
            Self::Away(status) => write!(formatter, "HTTP status {status}"),
        }
    }
}

/// No server answered.
#[derive(Debug)]
pub struct Unanswered {
    /// The servers that were asked, in that order; without a name where there is only one.
    tried: Vec<(Option<String>, Cause)>,
    may_be_done: bool,
}

impl Unanswered {
    /// Of the only server.
    pub(super) fn by_one(cause: Cause, may_be_made_twice: bool) -> Self {
        Self::new(vec![(None, cause)], may_be_made_twice)
    }

    /// Of several: their URLs, and why each did not answer.
    pub(super) fn by_several(tried: Vec<(String, Cause)>, may_be_made_twice: bool) -> Self {
        let tried = tried.into_iter();
        let tried = tried.map(|(url, cause)| (Some(url), cause)).collect();
        Self::new(tried, may_be_made_twice)
    }

    fn new(tried: Vec<(Option<String>, Cause)>, may_be_made_twice: bool) -> Self {
        let may_be_done = tried.iter().any(|(_, cause)| cause.may_be_done());
        Self {
            tried,
            may_be_done: may_be_done && !may_be_made_twice,
        }
    }

    /// Whether something was asked for that changes things, and may have been done although no answer came.
    pub const fn may_be_done(&self) -> bool {
        self.may_be_done
    }
}

impl fmt::Display for Unanswered {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, (url, cause)) in self.tried.iter().enumerate() {
            if position > 0 {
                formatter.write_str("; ")?;
            }
            match url {
                Some(url) => write!(formatter, "`{url}`: {cause}")?,
                None => write!(formatter, "{cause}")?,
            }
        }
        Ok(())
    }
}

impl Error for Unanswered {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.tried.last().and_then(|(_, cause)| cause.source())
    }
}

impl From<Unanswered> for Status {
    fn from(unanswered: Unanswered) -> Self {
        let code = match unanswered.tried.last() {
            Some((_, Cause::Late(_))) => Code::DeadlineExceeded,
            _ => Code::Unavailable,
        };
        let mut status = Self::new(code, unanswered.to_string());
        status.set_source(Arc::new(unanswered));
        status
    }
}

fn words<T>(response: &Response<T>) -> String {
    let mut headers = response.headers().clone();
    // Nobody needs them here, and reading broken ones would panic.
    headers.remove("grpc-status-details-bin");
    let status = Status::from_header_map(&headers);
    let words = status.map(|status| status.message().to_owned());
    let words = words.filter(|words| !words.is_empty());
    words.unwrap_or_else(|| Code::Unavailable.description().to_owned())
}

fn has_cause<T: Error + 'static>(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<T>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Without the fractions that nobody asked for.
fn rounded(wait: Duration) -> Duration {
    let millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
    let step = match millis {
        ..1_000 => 10,
        1_000.. => 100,
    };
    Duration::from_millis(millis.div_ceil(step) * step)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(headers: &[(&str, &str)], status: u16) -> Response<()> {
        let mut builder = Response::builder().status(status);
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        builder.body(()).expect("valid")
    }

    fn said(headers: &[(&str, &str)], status: u16) -> Option<String> {
        let cause = Cause::said_by(&answer(headers, status));
        cause.map(|cause| cause.to_string())
    }

    #[test]
    fn a_server_that_cannot_answer_now_says_why() {
        let stopping = [
            ("grpc-status", "14"),
            ("grpc-message", "the%20server%20stops"),
            ("grpc-status-details-bin", "!"),
        ];
        assert_eq!(said(&stopping, 200).as_deref(), Some("the server stops"));
        let silent = said(&[("grpc-status", "14")], 200);
        assert!(silent.is_some_and(|words| words.contains("unavailable")));
        let proxy = said(&[], 503);
        assert!(proxy.is_some_and(|words| words.contains("503")));
    }

    #[test]
    fn every_other_answer_is_an_answer() {
        for headers in [&[][..], &[("grpc-status", "0")], &[("grpc-status", "9")]] {
            assert_eq!(said(headers, 200), None);
        }
        assert_eq!(said(&[], 404), None);
    }

    #[test]
    fn what_was_done_is_in_doubt_only_where_it_may_not_be_done_twice() {
        let doubt = |cause, twice| Unanswered::by_one(cause, twice).may_be_done();
        assert!(doubt(Cause::Late(Duration::ZERO), false));
        assert!(doubt(Cause::Away(StatusCode::BAD_GATEWAY), false));
        assert!(!doubt(Cause::Late(Duration::ZERO), true));
        assert!(!doubt(Cause::Unavailable("it stops".to_owned()), false));
    }

    #[test]
    fn each_server_that_was_asked_is_named_with_what_it_said() {
        let tried = vec![
            (
                "http://a".to_owned(),
                Cause::Late(Duration::from_micros(4_999_870)),
            ),
            (
                "http://b".to_owned(),
                Cause::Unavailable("it stops".to_owned()),
            ),
        ];
        let unanswered = Unanswered::by_several(tried, true);
        assert_eq!(
            unanswered.to_string(),
            "`http://a`: no answer within 5s; `http://b`: it stops"
        );
    }
}
