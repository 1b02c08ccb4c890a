//! Questions to an index: conditional, bounded in time and size, faults sorted by whom they concern.

use std::fs;
use std::io::Read as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::read::MultiGzDecoder;
use reqwest::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, ETAG, HeaderMap, HeaderName,
    HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED,
};
use reqwest::redirect::{Attempt, Policy};
use url::Url;

use super::{Error, IndexConfig};
use crate::forge::{is_loopback, said_by, wait_asked};
use crate::secret::{Secret, Source};

/// The largest answer that is read, in bytes, before and after it is unpacked: packages of npm with thousands of versions
/// come to some tens of megabytes.
const ANSWER_BYTES_MAX: usize = 96 * 1024 * 1024;
/// Redirects that are followed one after the other.
const REDIRECTS_MAX: usize = 5;
/// The longest contact, in bytes.
const CONTACT_BYTES_MAX: usize = 200;

/// By what an index tells whether an answer has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Validator {
    etag: Option<HeaderValue>,
    last_modified: Option<HeaderValue>,
}

/// What came of a question.
pub(super) enum Fetched {
    /// The same as last time.
    Unchanged,
    /// Nothing is there for us; in words.
    Absent(String),
    /// An answer.
    Body(Answer),
}

/// An answer as it came.
pub(super) struct Answer {
    /// What was asked, in words.
    pub(super) asked: String,
    /// Where the answer came from, redirects included.
    pub(super) url: Url,
    /// By what the next question is made conditional.
    pub(super) validator: Option<Validator>,
    raw: Vec<u8>,
    is_packed: bool,
}

impl Answer {
    /// Its bytes, unpacked.
    pub(super) fn body(&self) -> Result<Vec<u8>, Error> {
        if !self.is_packed {
            return Ok(self.raw.clone());
        }
        let mut body = Vec::new();
        let mut unpacked = MultiGzDecoder::new(&self.raw[..]).take(ANSWER_BYTES_MAX as u64 + 1);
        unpacked.read_to_end(&mut body).map_err(|error| {
            Error::garbled(format!("{}: it cannot be unpacked: {error}", self.asked))
        })?;
        match body.len() > ANSWER_BYTES_MAX {
            true => Err(too_large(&self.asked)),
            false => Ok(body),
        }
    }
}

fn too_large(asked: &str) -> Error {
    Error::garbled(format!("{asked}: more than {ANSWER_BYTES_MAX} bytes"))
}

/// The interface of an index.
#[derive(Debug)]
pub(super) struct Api {
    client: reqwest::Client,
    /// Without a slash at its end.
    base: String,
    origin: url::Origin,
    plain: Plain,
    user: Option<String>,
    secret: Option<Arc<Secret>>,
}

impl Api {
    /// The index of a configuration, or what is wrong with it; nothing is contacted.
    pub(super) fn open(config: &IndexConfig) -> Result<Self, String> {
        let text = config.url.as_str();
        let text = text.strip_prefix("sparse+").unwrap_or(text);
        let url = Url::parse(text).map_err(|error| format!("`url` cannot be read: {error}"))?;
        check(&url, Plain::OnLoopback)?;
        let plain = match url.scheme() {
            "https" => Plain::Never,
            _ => Plain::OnLoopback,
        };
        if !(1..=600).contains(&config.timeout_s) {
            return Err(format!("`timeout_s` is {}; use 1 to 600", config.timeout_s));
        }
        if !(1..=100).contains(&config.requests_per_s) {
            let have = config.requests_per_s;
            return Err(format!("`requests_per_s` is {have}; use 1 to 100"));
        }
        // A second call finds one, and it is the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let timeout = Duration::from_secs(config.timeout_s);
        let mut client = reqwest::Client::builder()
            .user_agent(user_agent(config.contact.as_deref())?)
            .redirect(Policy::custom(move |attempt| follow(attempt, plain)))
            .connect_timeout(timeout)
            .timeout(timeout);
        if let Some(file) = &config.ca_file {
            let problem = |error: String| format!("`ca_file` `{}`: {error}", file.display());
            let pem = fs::read(file).map_err(|error| problem(error.to_string()))?;
            let certificates = reqwest::Certificate::from_pem_bundle(&pem)
                .map_err(|error| problem(error.to_string()))?;
            if certificates.is_empty() {
                return Err(problem("holds no certificate".to_owned()));
            }
            client = client.tls_certs_only(certificates);
        }
        Ok(Self {
            client: client.build().map_err(|error| said_by(&error))?,
            base: url.as_str().trim_end_matches('/').to_owned(),
            origin: url.origin(),
            plain,
            user: config.user.clone(),
            secret: secret(config)?,
        })
    }

    /// Where it is, without secrets.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// Asks for `path`, which begins with `/`, below the index's address.
    pub(super) async fn get(
        &self,
        path: &str,
        accept: &'static str,
        known: Option<&Validator>,
    ) -> Result<Fetched, Error> {
        let url = format!("{}{path}", self.base);
        let url = Url::parse(&url)
            .map_err(|error| Error::garbled(format!("`{path}` is no address: {error}")))?;
        self.get_at(url, accept, known).await
    }

    /// Asks for an address that the index named; the login is shown to the index's own host alone.
    pub(super) async fn get_at(
        &self,
        url: Url,
        accept: &'static str,
        known: Option<&Validator>,
    ) -> Result<Fetched, Error> {
        check(&url, self.plain)
            .map_err(|problem| Error::garbled(problem.replace("`url`", "its address")))?;
        let asked = format!("GET {}", url.path());
        let secret = match &self.secret {
            Some(secret) if url.origin() == self.origin => {
                Some(secret.get().await.map_err(refused)?)
            }
            _ => None,
        };
        let mut response = self.send(&url, accept, known, secret.as_deref()).await?;
        if response.status() == 401
            && let (Some(source), Some(old)) = (&self.secret, &secret)
            && let Some(renewed) = source.renewed(old).await.map_err(refused)?
        {
            response = self.send(&url, accept, known, Some(&renewed)).await?;
        }
        self.understood(response, asked).await
    }

    async fn send(
        &self,
        url: &Url,
        accept: &'static str,
        known: Option<&Validator>,
        secret: Option<&str>,
    ) -> Result<reqwest::Response, Error> {
        let mut request = self
            .client
            .get(url.clone())
            .header(ACCEPT, accept)
            .header(ACCEPT_ENCODING, "gzip");
        if let Some(known) = known {
            // An index that has both goes by the first.
            let headers = [
                (IF_NONE_MATCH, &known.etag),
                (IF_MODIFIED_SINCE, &known.last_modified),
            ];
            for (name, value) in headers {
                if let Some(value) = value {
                    request = request.header(name, value.clone());
                }
            }
        }
        if let Some(secret) = secret {
            request = request.header(AUTHORIZATION, self.login(secret)?);
        }
        request.send().await.map_err(|error| self.unsent(&error))
    }

    fn login(&self, secret: &str) -> Result<HeaderValue, Error> {
        let value = match &self.user {
            Some(user) => format!("Basic {}", STANDARD.encode(format!("{user}:{secret}"))),
            None => format!("Bearer {secret}"),
        };
        let mut value = HeaderValue::try_from(value).map_err(|_| {
            refused("the password or token has characters that no header takes".to_owned())
        })?;
        value.set_sensitive(true);
        Ok(value)
    }

    async fn understood(
        &self,
        mut response: reqwest::Response,
        asked: String,
    ) -> Result<Fetched, Error> {
        let status = response.status().as_u16();
        let said = format!("{asked} was answered with {status}");
        let away = |wait: Option<Duration>| Error::Away {
            answer: said.clone(),
            retry_after: wait,
        };
        match status {
            304 => return Ok(Fetched::Unchanged),
            200 => {}
            // Some indexes refuse what others do not have.
            403 | 404 | 410 | 451 => return Ok(Fetched::Absent(said)),
            401 | 407 => {
                return Err(refused(format!(
                    "{said}; set `password_file` of the index, or a login that it takes"
                )));
            }
            408 | 425 | 429 | 500..=599 => {
                return Err(away(wait_asked(response.headers(), SystemTime::now())));
            }
            _ => return Err(Error::garbled(said)),
        }
        let headers = response.headers();
        let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let is_packed = match text(CONTENT_ENCODING).unwrap_or_default() {
            "" | "identity" => false,
            "gzip" | "x-gzip" => true,
            other => {
                return Err(Error::garbled(format!(
                    "{asked}: packed as `{other}`, which was not asked for"
                )));
            }
        };
        let validator = validator(headers);
        let url = response.url().clone();
        let mut raw = Vec::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| self.unsent(&error))?
        {
            raw.extend_from_slice(&chunk);
            if raw.len() > ANSWER_BYTES_MAX {
                return Err(too_large(&asked));
            }
        }
        Ok(Fetched::Body(Answer {
            asked,
            url,
            validator,
            raw,
            is_packed,
        }))
    }

    /// What became of a question without an answer.
    fn unsent(&self, error: &reqwest::Error) -> Error {
        let said = said_by(error);
        let said = match &self.secret {
            Some(secret) => secret.redact(&said),
            None => said,
        };
        match (
            said.to_lowercase().contains("certificate"),
            error.is_redirect(),
        ) {
            (true, _) => refused(format!(
                "{said}; set `ca_file` if the index has a certificate of your own"
            )),
            (false, true) => refused(said),
            (false, false) => Error::Away {
                answer: said,
                retry_after: None,
            },
        }
    }
}

fn refused(answer: String) -> Error {
    Error::Refused { answer }
}

fn validator(headers: &HeaderMap) -> Option<Validator> {
    let validator = Validator {
        etag: headers.get(ETAG).cloned(),
        last_modified: headers.get(LAST_MODIFIED).cloned(),
    };
    (validator != Validator::default()).then_some(validator)
}

/// Follows a redirect unless it leads out of https. The login stays behind where it leads to another host.
fn follow(attempt: Attempt<'_>, plain: Plain) -> reqwest::redirect::Action {
    if attempt.previous().len() > REDIRECTS_MAX {
        return attempt.error("it redirects again and again");
    }
    match check(attempt.url(), plain) {
        Ok(()) => attempt.follow(),
        Err(problem) => attempt.error(problem.replace("`url`", "a redirect")),
    }
}

/// Where plain http is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plain {
    /// By an index that is itself on loopback.
    OnLoopback,
    /// Nowhere: no index sends us to what listens on this machine.
    Never,
}

fn check(url: &Url, plain: Plain) -> Result<(), String> {
    match url.scheme() {
        "https" => {}
        "http" if is_loopback(url) && plain == Plain::OnLoopback => {}
        "http" => {
            return Err("`url` is plain http, which is for loopback only; use https".to_owned());
        }
        other => return Err(format!("`url` has the scheme `{other}`; use https")),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(
            "`url` has a user or a password; use `user`, and `password_file` or `password_command`"
                .to_owned(),
        );
    }
    Ok(())
}

fn user_agent(contact: Option<&str>) -> Result<String, String> {
    let own = concat!("pinion/", env!("CARGO_PKG_VERSION"));
    let Some(contact) = contact else {
        return Ok(own.to_owned());
    };
    let is_plain = contact.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    match is_plain && (1..=CONTACT_BYTES_MAX).contains(&contact.len()) {
        true => Ok(format!("{own} ({contact})")),
        false => Err(format!(
            "`contact` is 1 to {CONTACT_BYTES_MAX} printable ASCII characters, such as an e-mail address"
        )),
    }
}

fn secret(config: &IndexConfig) -> Result<Option<Arc<Secret>>, String> {
    let source = match (&config.password_file, &config.password_command) {
        (None, None) if config.user.is_some() => {
            return Err(
                "`user` has no password; give `password_file` or `password_command`".into(),
            );
        }
        (None, None) => return Ok(None),
        (Some(path), None) => Source::File(path.clone()),
        (None, Some(words)) if words.first().is_some_and(|word| !word.is_empty()) => {
            Source::Command(words.clone())
        }
        (None, Some(_)) => return Err("`password_command` is empty".to_owned()),
        (Some(_), Some(_)) => {
            return Err(
                "both `password_file` and `password_command` are given; give one".to_owned(),
            );
        }
    };
    Ok(Some(Arc::new(Secret::new(source))))
}
