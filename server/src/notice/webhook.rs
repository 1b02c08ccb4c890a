//! Webhooks, signed as the Standard Webhooks specification (version 1) has it.

use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use pinion_core::notice::payload;
use reqwest::header::{HeaderName, HeaderValue};
use sha2::Sha256;
use url::Url;

use super::config::{check_url, place};
use super::http::Client;
use super::{ConfigError, Error, RouteConfig, Sender, Sending};
use crate::secret::{Secret, Source};

/// What a secret begins with.
const PREFIX: &str = "whsec_";
/// The bytes of a key.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

#[derive(Debug)]
struct Webhook {
    client: Client,
    address: Address,
    allow_plaintext: bool,
    /// The present secret, then the one before.
    secrets: Vec<Secret>,
    target: String,
}

#[derive(Debug)]
enum Address {
    Plain(Url),
    Secret(Secret),
}

/// Opens the route; nothing is contacted.
pub(super) fn open(config: &RouteConfig) -> Result<Arc<dyn Sender>, ConfigError> {
    config.refuse_keys(&[
        "server",
        "port",
        "tls",
        "user",
        "password_file",
        "password_command",
        "from",
        "to",
    ])?;
    let secret_url = config.secret("url", config.url_file.as_ref(), config.url_command.as_ref())?;
    let (address, target) = match (config.plain_url()?, secret_url) {
        (Some(url), None) => {
            let target = place(&url);
            (Address::Plain(url), target)
        }
        (None, Some(secret)) => (Address::Secret(secret), "a secret URL".to_owned()),
        _ => return Err(config.error("give one of `url`, `url_file` and `url_command`")),
    };
    let (file, command) = (config.secret_file.as_ref(), config.secret_command.as_ref());
    let present = config.secret("secret", file, command)?.ok_or_else(|| {
        config.error("a webhook is signed; give `secret_file` or `secret_command`")
    })?;
    let previous = config.previous_secret_file.clone();
    let previous = previous.map(|path| Secret::of("previous_secret", Source::File(path)));
    Ok(Arc::new(Webhook {
        client: Client::open(config)?,
        address,
        allow_plaintext: config.allow_plaintext,
        secrets: std::iter::once(present).chain(previous).collect(),
        target,
    }))
}

#[async_trait]
impl Sender for Webhook {
    async fn send(&self, sending: Sending<'_>) -> Result<String, Error> {
        let url = self.url().await?;
        let body = payload(sending.id, sending.notice).to_string().into_bytes();
        let at = sending.at.unix_ms().div_euclid(1000).to_string();
        let mut keys = Vec::new();
        for secret in &self.secrets {
            let text = secret.get().await.map_err(Error::retry)?;
            keys.push(key_of(&text).map_err(Error::retry)?);
        }
        let signatures = signatures(&keys, sending.id.as_str(), &at, &body);
        let header = |name: &'static str, value: &str| {
            let value = HeaderValue::try_from(value);
            value.map(|value| (HeaderName::from_static(name), value))
        };
        let headers: Result<Vec<_>, _> = [
            ("webhook-id", sending.id.as_str()),
            ("webhook-timestamp", &at),
            ("webhook-signature", &signatures),
        ]
        .map(|(name, value)| header(name, value))
        .into_iter()
        .collect();
        let headers = headers.map_err(|error| Error::refused(error.to_string()))?;
        let blot = |text: &str| {
            let text = match &self.address {
                Address::Plain(_) => text.to_owned(),
                Address::Secret(secret) => secret.redact(text),
            };
            self.secrets
                .iter()
                .fold(text, |text, secret| secret.redact(&text))
        };
        self.client.post(&url, &headers, body, &blot).await
    }

    fn target(&self) -> &str {
        &self.target
    }
}

impl Webhook {
    async fn url(&self) -> Result<Url, Error> {
        match &self.address {
            Address::Plain(url) => Ok(url.clone()),
            Address::Secret(secret) => {
                let text = secret.get().await.map_err(Error::retry)?;
                check_url(&text, self.allow_plaintext)
                    .map_err(|why| Error::retry(format!("the secret URL {why}")))
            }
        }
    }
}

/// The key of a secret as people keep it; the error repeats nothing of it.
fn key_of(secret: &str) -> Result<Vec<u8>, String> {
    let problem = || {
        format!(
            "the webhook's secret must be `{PREFIX}` and the base64 of {} to {} random bytes, such as \
             `echo {PREFIX}$(openssl rand -base64 32)` prints",
            KEY_BYTES.start(),
            KEY_BYTES.end()
        )
    };
    let text = secret.strip_prefix(PREFIX).ok_or_else(problem)?;
    let key = STANDARD.decode(text).map_err(|_| problem())?;
    match KEY_BYTES.contains(&key.len()) {
        true => Ok(key),
        false => Err(problem()),
    }
}

/// One signature for every key, set apart by blanks.
fn signatures(keys: &[Vec<u8>], id: &str, at: &str, body: &[u8]) -> String {
    let sign = |key: &Vec<u8>| {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
        mac.update(format!("{id}.{at}.").as_bytes());
        mac.update(body);
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    };
    keys.iter().map(sign).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_that_of_the_specification() {
        // The example of the Standard Webhooks specification.
        let key = key_of("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD").expect("a secret");
        let body = br#"{"email":"test@example.com","username":"test_user"}"#;
        assert_eq!(
            signatures(
                &[key],
                "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
                "1649367553",
                body
            ),
            "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw="
        );
    }

    #[test]
    fn a_secret_that_is_none_is_refused_without_repeating_it() {
        for secret in ["s3cret", "whsec_s3cret", "whsec_czNjcmV0"] {
            let error = key_of(secret).expect_err("none");
            assert!(
                !error.contains("s3cret") && !error.contains("czNj"),
                "{error}"
            );
        }
    }
}
