//! REST calls to a forge: one login, no redirects, bounded in time and size, faults sorted into passing and lasting ones.

use std::error::Error as _;
use std::fs;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
pub(super) use reqwest::Method;
use reqwest::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::Url;

use super::repository::{condense, is_loopback};
use super::{ConfigError, Error, ForgeConfig};
use crate::secret::Secret;

/// The largest answer that is read, in bytes; the same as for git.
const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;
/// What a forge that limits requests without saying for how long is given.
const RATE_LIMIT_WAIT: Duration = Duration::from_secs(60);
/// The longest wait that a forge may ask for.
const WAIT_MAX: Duration = Duration::from_secs(24 * 3600);
/// What stays as it is in a part of a path.
const PLAIN: AsciiSet = NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// How the secret is shown to the forge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    /// `Authorization: Basic`, for this user.
    Basic(String),
    /// `Authorization: Bearer`.
    Bearer,
    /// `Authorization: token`, as Gitea has it.
    Token,
    /// `PRIVATE-TOKEN`, as GitLab has it.
    PrivateToken,
}

/// The API of a forge.
#[derive(Debug)]
pub(super) struct Api {
    client: reqwest::Client,
    /// Without a slash at its end.
    base: String,
    scheme: Scheme,
    secret: Option<Arc<Secret>>,
}

/// One request. Its path is encoded already and begins with `/`; it may have a query.
#[derive(Clone, Debug)]
pub(super) struct Request {
    method: Method,
    path: String,
    content: Option<(&'static str, Vec<u8>)>,
    headers: Vec<(&'static str, &'static str)>,
}

/// An answer that is neither a passing fault nor a refused login.
#[derive(Debug)]
pub(super) struct Answer {
    /// 200 to 599.
    pub(super) status: u16,
    /// Its body.
    pub(super) body: Vec<u8>,
    headers: HeaderMap,
    asked: String,
    secret: Option<Arc<Secret>>,
}

impl Request {
    /// Asks for something.
    pub(super) fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }

    /// A request without a body.
    pub(super) fn new(method: Method, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            content: None,
            headers: Vec::new(),
        }
    }

    /// With a JSON body.
    pub(super) fn json(mut self, body: &impl Serialize) -> Result<Self, Error> {
        let body = serde_json::to_vec(body)
            .map_err(|error| Error::stopped(format!("the request has no JSON form: {error}")))?;
        self.content = Some(("application/json", body));
        Ok(self)
    }

    /// With these bytes as its body.
    pub(super) fn bytes(mut self, body: Vec<u8>) -> Self {
        self.content = Some(("application/octet-stream", body));
        self
    }

    /// With a further header, its name in small letters; `accept` takes the place of ours.
    pub(super) fn header(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Whether it alters nothing.
    pub(super) fn is_read(&self) -> bool {
        self.method == Method::GET
    }

    fn has_header(&self, name: &HeaderName) -> bool {
        self.headers.iter().any(|(other, _)| name == *other)
    }
}

impl Answer {
    /// Whether it is 2xx.
    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// A header, where it is there and readable.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// What was asked and answered, in words: for errors.
    pub(super) fn words(&self) -> String {
        self.words_of(&String::from_utf8_lossy(&self.body))
    }

    /// The same with these words in place of the body.
    pub(super) fn words_of(&self, body: &str) -> String {
        let said = match body.trim() {
            "" => "nothing".to_owned(),
            body => condense(&redact(self.secret.as_deref(), body)),
        };
        format!("{} answered {}: {said}", self.asked, self.status)
    }

    /// Its body, which must be JSON of this shape.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        self.json_after("")
    }

    /// The same after a line that keeps scripts of other pages from reading it.
    pub(super) fn json_after<T: DeserializeOwned>(&self, guard: &str) -> Result<T, Error> {
        let body = self
            .body
            .strip_prefix(guard.as_bytes())
            .unwrap_or(&self.body);
        serde_json::from_slice(body).map_err(|error| {
            Error::stopped(format!(
                "{}, which is not understood ({error}); is `url` the forge's address?",
                self.words()
            ))
        })
    }

    /// Whether it is GitHub's refusal of too many requests, which may come without a header that says so.
    fn is_rate_limit(&self) -> bool {
        let body = String::from_utf8_lossy(&self.body).to_lowercase();
        body.contains("rate limit") || body.contains("abuse detection")
    }

    /// The answer, which must be 2xx; else a lasting fault with the forge's words.
    pub(super) fn succeeded(self) -> Result<Self, Error> {
        match self.is_success() {
            true => Ok(self),
            false => Err(Error::stopped(self.words())),
        }
    }

    /// The answer, which must be 2xx, or nothing where there is nothing (404).
    pub(super) fn found(self) -> Result<Option<Self>, Error> {
        match self.status {
            404 => Ok(None),
            _ => self.succeeded().map(Some),
        }
    }
}

/// A part of a path or of a query, with everything encoded that could be taken for more.
pub(super) fn encoded(part: &str) -> String {
    utf8_percent_encode(part, &PLAIN).to_string()
}

impl Api {
    /// The API at `base`; nothing is contacted.
    pub(super) fn open(
        config: &ForgeConfig,
        base: &str,
        scheme: Scheme,
    ) -> Result<Self, ConfigError> {
        let url = Url::parse(base)
            .map_err(|error| config.error(format!("`url` cannot be read: {error}")))?;
        match url.scheme() {
            "https" => {}
            "http" if is_loopback(&url) => {}
            "http" => {
                return Err(
                    config.error("`url` is plain http, which is for loopback only; use https")
                );
            }
            other => {
                return Err(config.error(format!("`url` has the scheme `{other}`; use https")));
            }
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(config.error(
                "`url` has a user or a password; use `user`, and `password_file` or `password_command`",
            ));
        }
        // A second call finds one, and it is the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let timeout = Duration::from_secs(config.timeout_s);
        let mut client = reqwest::Client::builder()
            .user_agent(concat!("pinion/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(timeout)
            .timeout(timeout);
        if let Some(file) = &config.ca_file {
            let problem =
                |error: String| config.error(format!("`ca_file` `{}`: {error}", file.display()));
            let pem = fs::read(file).map_err(|error| problem(error.to_string()))?;
            let certificates = reqwest::Certificate::from_pem_bundle(&pem)
                .map_err(|error| problem(error.to_string()))?;
            if certificates.is_empty() {
                return Err(problem("holds no certificate".to_owned()));
            }
            client = client.tls_certs_only(certificates);
        }
        Ok(Self {
            client: client
                .build()
                .map_err(|error| config.error(said_by(&error)))?,
            base: url.as_str().trim_end_matches('/').to_owned(),
            scheme,
            secret: config.secret()?,
        })
    }

    /// Sends the request; once more if the login was refused and the secret has been exchanged meanwhile.
    ///
    /// # Errors
    /// [`Error::Retry`] for passing faults, after which a request that creates something may have arrived;
    /// [`Error::Stopped`] for a refused login, a redirect, or a certificate that is not trusted. Any other
    /// answer is given to the caller.
    pub(super) async fn send(&self, request: &Request) -> Result<Answer, Error> {
        let secret = match &self.secret {
            Some(secret) => Some(secret.get().await.map_err(Error::stopped)?),
            None => None,
        };
        let mut response = self.send_with(request, secret.as_deref()).await?;
        if response.status() == 401
            && let (Some(source), Some(refused)) = (&self.secret, &secret)
            && let Some(renewed) = source.renewed(refused).await.map_err(Error::stopped)?
        {
            response = self.send_with(request, Some(&renewed)).await?;
        }
        self.understood(request, response).await
    }

    async fn send_with(
        &self,
        request: &Request,
        secret: Option<&str>,
    ) -> Result<reqwest::Response, Error> {
        let mut builder = self.client.request(
            request.method.clone(),
            format!("{}{}", self.base, request.path),
        );
        if !request.has_header(&ACCEPT) {
            builder = builder.header(ACCEPT, "application/json");
        }
        for (name, value) in &request.headers {
            builder = builder.header(*name, *value);
        }
        if let Some((name, value)) = secret.map(|secret| self.login(secret)).transpose()? {
            builder = builder.header(name, value);
        }
        if let Some((kind, body)) = &request.content {
            builder = builder.header(CONTENT_TYPE, *kind).body(body.clone());
        }
        builder.send().await.map_err(|error| self.unsent(&error))
    }

    fn login(&self, secret: &str) -> Result<(&'static str, HeaderValue), Error> {
        let (name, value) = match &self.scheme {
            Scheme::Basic(user) => (
                AUTHORIZATION.as_str(),
                format!("Basic {}", STANDARD.encode(format!("{user}:{secret}"))),
            ),
            Scheme::Bearer => (AUTHORIZATION.as_str(), format!("Bearer {secret}")),
            Scheme::Token => (AUTHORIZATION.as_str(), format!("token {secret}")),
            Scheme::PrivateToken => ("private-token", secret.to_owned()),
        };
        let mut value = HeaderValue::try_from(value).map_err(|_| {
            Error::stopped("the password or token has characters that no header takes")
        })?;
        value.set_sensitive(true);
        Ok((name, value))
    }

    async fn understood(
        &self,
        request: &Request,
        mut response: reqwest::Response,
    ) -> Result<Answer, Error> {
        let status = response.status().as_u16();
        let wait = wait_asked(response.headers(), SystemTime::now());
        let is_exhausted = response
            .headers()
            .get("x-ratelimit-remaining")
            .is_some_and(|left| left == "0");
        let target = response
            .headers()
            .get(LOCATION)
            .and_then(|location| location.to_str().ok())
            .map(str::to_owned);
        let headers = response.headers().clone();
        let mut body = Vec::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| self.unsent(&error))?
        {
            body.extend_from_slice(&chunk);
            if body.len() > ANSWER_BYTES_MAX {
                return Err(Error::stopped(format!(
                    "the forge answered with more than {ANSWER_BYTES_MAX} bytes"
                )));
            }
        }
        let path = request.path.split('?').next().unwrap_or_default();
        let answer = Answer {
            status,
            body,
            headers,
            asked: format!("{} {path}", request.method),
            secret: self.secret.clone(),
        };
        match status {
            408 | 425 | 500 | 502 | 503 | 504 => Err(Error::Retry {
                answer: answer.words(),
                retry_after: wait,
            }),
            429 => Err(Error::Retry {
                answer: answer.words(),
                retry_after: Some(wait.unwrap_or(RATE_LIMIT_WAIT)),
            }),
            403 if is_exhausted || wait.is_some() || answer.is_rate_limit() => Err(Error::Retry {
                answer: answer.words(),
                retry_after: Some(wait.unwrap_or(RATE_LIMIT_WAIT)),
            }),
            401 => Err(Error::stopped(format!(
                "the forge does not take the login, which may be wrong or have expired: {}",
                answer.words()
            ))),
            300..=399 => Err(Error::stopped(format!(
                "{}, a redirect to `{}`, which is not followed with a password; put the address it leads to into the \
                 configuration",
                answer.words(),
                target.map_or_else(|| "nowhere".to_owned(), |target| self.redact(&target))
            ))),
            _ => Ok(answer),
        }
    }

    /// What became of a request without an answer.
    fn unsent(&self, error: &reqwest::Error) -> Error {
        let said = self.redact(&said_by(error));
        match said.to_lowercase().contains("certificate") {
            true => Error::stopped(format!(
                "{said}; set `ca_file` if the forge has a certificate of your own"
            )),
            false => Error::retry(format!("the forge gave no answer: {said}")),
        }
    }

    fn redact(&self, text: &str) -> String {
        redact(self.secret.as_deref(), text)
    }
}

fn redact(secret: Option<&Secret>, text: &str) -> String {
    match secret {
        Some(secret) => secret.redact(text),
        None => text.to_owned(),
    }
}

/// The error with its causes, without the address, which stands in the configuration.
pub(crate) fn said_by(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "it took too long (`timeout_s`)".to_owned();
    }
    let mut words = Vec::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        words.push(error.to_string());
        cause = error.source();
    }
    match words.is_empty() {
        true => condense(&error.to_string()),
        false => condense(&words.join("\n")),
    }
}

/// How long the forge asks to wait: `Retry-After` in seconds or as a date, else until its limit is lifted.
pub(crate) fn wait_asked(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok();
    let until = |at: SystemTime| at.duration_since(now).unwrap_or(Duration::ZERO);
    let wait = match text("retry-after") {
        Some(value) => match value.trim().parse::<u64>() {
            Ok(seconds) => Some(Duration::from_secs(seconds)),
            Err(_) => httpdate::parse_http_date(value).ok().map(until),
        },
        None if text("x-ratelimit-remaining") == Some("0") => {
            let reset = text("x-ratelimit-reset")?.parse::<u64>().ok()?;
            Some(until(
                SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(reset))?,
            ))
        }
        None => None,
    };
    wait.map(|wait| wait.min(WAIT_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                (
                    reqwest::header::HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect()
    }

    #[test]
    fn the_wait_is_read_in_every_form() {
        // Sun, 06 Nov 1994 08:49:37 GMT
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let wait = |pairs: &[_]| wait_asked(&headers(pairs), now).map(|wait| wait.as_secs());
        assert_eq!(wait(&[("retry-after", "7")]), Some(7));
        assert_eq!(
            wait(&[("retry-after", "Sun, 06 Nov 1994 08:50:37 GMT")]),
            Some(60)
        );
        assert_eq!(
            wait(&[("retry-after", "Sun, 06 Nov 1994 08:00:00 GMT")]),
            Some(0)
        );
        assert_eq!(
            wait(&[
                ("x-ratelimit-remaining", "0"),
                ("x-ratelimit-reset", "784111780")
            ]),
            Some(3)
        );
        assert_eq!(wait(&[("x-ratelimit-remaining", "9")]), None);
        assert_eq!(wait(&[("retry-after", "99999999999")]), Some(86_400));
        assert_eq!(wait(&[("retry-after", "soon")]), None);
    }

    #[test]
    fn parts_of_a_path_are_encoded_whole() {
        assert_eq!(
            encoded("openstack/a b~1.x?#%"),
            "openstack%2Fa%20b~1.x%3F%23%25"
        );
    }

    #[test]
    fn addresses_that_would_show_a_secret_are_refused() {
        let open = |base: &str| {
            let config =
                ForgeConfig::new("a".parse().expect("a name"), "github", "https://x.example");
            Api::open(&config, base, Scheme::Bearer).map(|_| ())
        };
        assert!(open("https://x.example/api/v3").is_ok());
        assert!(open("http://127.0.0.1:1/").is_ok());
        for base in [
            "http://x.example/",
            "https://eve:s3cret@x.example/",
            "ftp://x.example",
            "x",
        ] {
            let error = open(base).expect_err(base).to_string();
            assert!(!error.contains("s3cret"), "{error}");
        }
    }
}
