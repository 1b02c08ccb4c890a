//! One POST to a receiver: no redirects, bounded in time and size, its answer sorted into passing and lasting faults.

use std::error::Error as _;
use std::time::{Duration, SystemTime};

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER};
use url::Url;

use super::config::place;
use super::{ConfigError, Error, RouteConfig};

/// What is read of an answer, in bytes.
const ANSWER_BYTES_MAX: usize = 4096;
/// What a receiver that is asked too often and does not say for how long is given.
const RATE_LIMIT_WAIT: Duration = Duration::from_secs(60);
/// The longest wait that a receiver may ask for.
const WAIT_MAX: Duration = Duration::from_secs(6 * 3600);

/// What posts.
#[derive(Clone, Debug)]
pub(super) struct Client(reqwest::Client);

impl Client {
    /// A client for a route; nothing is contacted.
    pub(super) fn open(config: &RouteConfig) -> Result<Self, ConfigError> {
        // A second call finds one, and it is the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let timeout = config.timeout()?;
        let mut client = reqwest::Client::builder()
            .user_agent(concat!("pinion/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(timeout)
            .timeout(timeout);
        if let Some(pem) = config.certificates()? {
            let certificates = reqwest::Certificate::from_pem_bundle(&pem)
                .map_err(|error| config.error(format!("`ca_file`: {error}")))?;
            if certificates.is_empty() {
                return Err(config.error("`ca_file` holds no certificate"));
            }
            client = client.tls_certs_only(certificates);
        }
        let client = client.build();
        Ok(Self(client.map_err(|error| config.error(said_by(error)))?))
    }

    /// Posts JSON, and gives what the receiver said; `blot` takes secrets out of that.
    pub(super) async fn post(
        &self,
        url: &Url,
        headers: &[(HeaderName, HeaderValue)],
        body: Vec<u8>,
        blot: &(dyn Fn(&str) -> String + Sync),
    ) -> Result<String, Error> {
        let mut request = self
            .0
            .post(url.clone())
            .header(CONTENT_TYPE, "application/json")
            .body(body);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let unsent =
            |error: reqwest::Error| Error::retry(format!("no answer: {}", blot(&said_by(error))));
        let mut response = request.send().await.map_err(unsent)?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let mut said = Vec::new();
        // What comes after the status decides nothing, so that a cut there is no fault.
        while let Ok(Some(chunk)) = response.chunk().await {
            said.extend_from_slice(&chunk);
            if said.len() >= ANSWER_BYTES_MAX {
                said.truncate(ANSWER_BYTES_MAX);
                break;
            }
        }
        let said = blot(String::from_utf8_lossy(&said).trim());
        let answer = match said.is_empty() {
            true => format!("answered {status}"),
            false => format!("answered {status}: {said}"),
        };
        judged(status, answer, &headers)
    }
}

fn judged(status: u16, answer: String, headers: &HeaderMap) -> Result<String, Error> {
    let wait = wait_asked(headers, SystemTime::now());
    match status {
        200..=299 => Ok(answer),
        300..=399 => {
            let to = headers.get(LOCATION).and_then(|value| value.to_str().ok());
            let to = to.and_then(|text| Url::parse(text).ok());
            let to = to.map_or_else(|| "elsewhere".to_owned(), |url| place(&url));
            Err(Error::refused(format!(
                "{answer}, a redirect to {to}, which is not followed; put the address it leads to into the configuration"
            )))
        }
        429 => Err(Error::Retry {
            answer,
            retry_after: Some(wait.unwrap_or(RATE_LIMIT_WAIT)),
        }),
        408 | 425 | 500..=599 => Err(Error::Retry {
            answer,
            retry_after: wait,
        }),
        _ => Err(Error::refused(answer)),
    }
}

/// `Retry-After` in seconds or as a date.
fn wait_asked(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match value.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let until = httpdate::parse_http_date(value).ok()?;
            until.duration_since(now).unwrap_or(Duration::ZERO)
        }
    };
    Some(wait.min(WAIT_MAX))
}

/// The error with its causes, without the address, which may be a secret.
fn said_by(error: reqwest::Error) -> String {
    if error.is_timeout() {
        return "it took too long (`timeout_s`)".to_owned();
    }
    let error = error.without_url();
    let mut words = Vec::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        words.push(error.to_string());
        cause = error.source();
    }
    match words.is_empty() {
        true => error.to_string(),
        false => words.join(": "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_sorted_into_taken_passing_and_lasting() {
        let judge = |status: u16| judged(status, String::new(), &HeaderMap::new());
        assert!(judge(200).is_ok() && judge(204).is_ok());
        for status in [408, 425, 429, 500, 502, 503, 504, 507] {
            assert!(
                matches!(judge(status), Err(Error::Retry { .. })),
                "{status}"
            );
        }
        for status in [301, 400, 401, 403, 404, 410, 413] {
            assert!(
                matches!(judge(status), Err(Error::Refused { .. })),
                "{status}"
            );
        }
    }

    #[test]
    fn a_receiver_is_given_the_time_that_it_asks_for_within_bounds() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let wait = |value: &'static str| {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(value))]);
            wait_asked(&headers, now).map(|wait| wait.as_secs())
        };
        assert_eq!(wait("7"), Some(7));
        assert_eq!(wait("Sun, 06 Nov 1994 08:50:37 GMT"), Some(60));
        assert_eq!(wait("999999999"), Some(WAIT_MAX.as_secs()));
        assert_eq!(wait("soon"), None);
    }
}
