//! The provider: what it publishes, and the two requests of a sign-in.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{DecodingKey, Validation, decode, decode_header};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use url::Url;
use url::form_urlencoded::Serializer;

use super::claims::Claims;
use super::config::is_safe;
use super::verification::{self, ALGORITHMS, is_for};
use super::{Error, InvalidOidc, OidcConfig, Person};
use crate::random::{Random, bytes};

/// How long one request takes at most: a person waits.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of an answer, at most.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// How long what a provider publishes is taken as it was.
const PUBLISHED_FOR: Duration = Duration::from_secs(3600);
/// Seconds by which the clocks of two machines may differ.
const LEEWAY_S: u64 = 60;

/// An OpenID provider.
#[derive(Debug)]
pub struct Provider {
    config: OidcConfig,
    client: reqwest::Client,
    published: Mutex<Option<(Instant, Arc<Published>)>>,
}

/// What has to be known when somebody comes back from the provider.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// What the provider repeats in the address.
    pub state: String,
    /// What it repeats in the token.
    nonce: String,
    /// What proves that who asks for the token has begun the sign-in.
    verifier: String,
}

#[derive(Debug)]
struct Published {
    authorization: Url,
    token: Url,
    /// Whether the secret goes into the body, where the provider takes it nowhere else.
    secret_in_body: bool,
    /// Where it tells of a person what their token leaves out.
    userinfo: Option<Url>,
    keys: JwkSet,
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    userinfo_endpoint: Option<String>,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Vec<String>,
}

#[derive(Deserialize)]
struct Tokens {
    id_token: Option<String>,
    access_token: Option<String>,
    error: Option<String>,
}

impl Provider {
    /// A provider that is asked when somebody signs in.
    ///
    /// # Errors
    /// If the configuration makes no sense, or its certificates cannot be used.
    pub fn new(config: OidcConfig) -> Result<Self, InvalidOidc> {
        config.validate()?;
        verification::install();
        // A second call finds one, and it is the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut client = reqwest::Client::builder()
            .user_agent(concat!("pinion/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .timeout(TIMEOUT);
        if let Some(file) = &config.ca_file {
            let pem = std::fs::read(file)
                .map_err(|error| InvalidOidc::Certificates(error.to_string()))?;
            let certificates = reqwest::Certificate::from_pem_bundle(&pem)
                .map_err(|error| InvalidOidc::Certificates(error.to_string()))?;
            client = client.tls_certs_only(certificates);
        }
        let client = client
            .build()
            .map_err(|error| InvalidOidc::Certificates(error.to_string()))?;
        Ok(Self {
            config,
            client,
            published: Mutex::default(),
        })
    }

    /// What it is configured as.
    pub const fn config(&self) -> &OidcConfig {
        &self.config
    }

    /// Begins a sign-in: where the person is sent, and what has to be known when they come back to `redirect`.
    ///
    /// # Errors
    /// If the provider cannot be asked where that is.
    pub async fn begin(
        &self,
        redirect: &str,
        random: &dyn Random,
    ) -> Result<(Url, Attempt), Error> {
        let published = self.published().await?;
        let secret = || URL_SAFE_NO_PAD.encode(bytes::<32>(random));
        let attempt = Attempt {
            state: secret(),
            nonce: secret(),
            verifier: secret(),
        };
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&attempt.verifier));
        let mut url = published.authorization.clone();
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.config.client_id)
            .append_pair("redirect_uri", redirect)
            .append_pair("scope", &self.config.scopes.join(" "))
            .append_pair("state", &attempt.state)
            .append_pair("nonce", &attempt.nonce)
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256");
        Ok((url, attempt))
    }

    /// Ends a sign-in with the code that the provider gave, and says who it is.
    ///
    /// # Errors
    /// If the provider does not take the code, its token does not prove who it is, or they are not let in.
    pub async fn finish(
        &self,
        attempt: &Attempt,
        code: &str,
        redirect: &str,
    ) -> Result<Person, Error> {
        let published = self.published().await?;
        let tokens = self.exchange(&published, attempt, code, redirect).await?;
        let userinfo = published.userinfo.clone();
        let token = tokens.id_token.unwrap_or_default();
        let mut claims = self.verified(published, &token).await?;
        claims.check(&attempt.nonce, &self.config.client_id)?;
        if let (true, Some(url), Some(access)) =
            (claims.lack(&self.config), userinfo, tokens.access_token)
        {
            claims.complete(self.userinfo(url, &access).await?)?;
        }
        claims.person(&self.config)
    }

    /// What the provider tells of a person beside their token.
    async fn userinfo(&self, url: Url, access: &str) -> Result<Claims, Error> {
        const WHAT: &str = "account";
        let request = self.client.get(url);
        let request = request.header("authorization", format!("Bearer {access}"));
        let (status, body) = answer(WHAT, request.header("accept", "application/json")).await?;
        match status {
            200 => parse(WHAT, &body),
            _ => Err(Error::Answer {
                what: WHAT,
                cause: format!("it has status {status}"),
            }),
        }
    }

    /// The tokens for a code, with that of identity among them.
    async fn exchange(
        &self,
        published: &Published,
        attempt: &Attempt,
        code: &str,
        redirect: &str,
    ) -> Result<Tokens, Error> {
        const WHAT: &str = "token";
        let id = &self.config.client_id;
        let secret = self.secret().await?;
        let in_body = secret.as_deref().filter(|_| published.secret_in_body);
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", redirect),
            ("code_verifier", &attempt.verifier),
        ];
        if secret.is_none() || in_body.is_some() {
            form.push(("client_id", id));
        }
        form.extend(in_body.map(|secret| ("client_secret", secret)));
        let body = Serializer::new(String::new()).extend_pairs(form).finish();
        let mut request = self.client.post(published.token.clone());
        if let Some(secret) = secret.as_deref().filter(|_| in_body.is_none()) {
            let quoted = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
            let pair = STANDARD.encode(format!("{}:{}", quoted(id), quoted(secret)));
            request = request.header("authorization", format!("Basic {pair}"));
        }
        let request = request
            .header("content-type", "application/x-www-form-urlencoded")
            .header("accept", "application/json")
            .body(body);
        let (status, body) = answer(WHAT, request).await?;
        let tokens: Tokens = parse(WHAT, &body)?;
        if let Some(error) = tokens.error {
            return Err(Error::Refused(plain(&error)));
        }
        match status {
            200 if tokens.id_token.is_some() => Ok(tokens),
            _ => Err(Error::Answer {
                what: WHAT,
                cause: format!("it has status {status} and no identity token"),
            }),
        }
    }

    /// The claims of a token that the provider has signed, for this server, and that has not expired.
    async fn verified(&self, published: Arc<Published>, token: &str) -> Result<Claims, Error> {
        let refused = |error: jsonwebtoken::errors::Error| Error::Token(error.to_string());
        let header = decode_header(token).map_err(refused)?;
        if !ALGORITHMS.contains(&header.alg) {
            return Err(Error::Token(format!(
                "its signature is of the kind {:?}, which is not taken",
                header.alg
            )));
        }
        let fitting = |keys: &JwkSet| -> Vec<Jwk> {
            let is_named = |key: &&Jwk| match &header.kid {
                Some(kid) => key.common.key_id.as_ref() == Some(kid),
                None => true,
            };
            let keys = keys.keys.iter().filter(is_named);
            keys.filter(|key| is_for(key, header.alg))
                .cloned()
                .collect()
        };
        let mut keys = fitting(&published.keys);
        if keys.is_empty() {
            // The provider may have exchanged its keys since they were read.
            keys = fitting(&self.publish().await?.keys);
        }
        let mut validation = Validation::new(header.alg);
        validation.set_audience(&[&self.config.client_id]);
        validation.set_issuer(&[&self.config.issuer]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.validate_nbf = true;
        validation.leeway = LEEWAY_S;
        let mut last = Error::Token("the provider publishes no key for it".to_owned());
        for key in &keys {
            let key = DecodingKey::from_jwk(key).map_err(refused)?;
            match decode::<Claims>(token, &key, &validation) {
                Ok(decoded) => return Ok(decoded.claims),
                Err(error) => last = refused(error),
            }
        }
        Err(last)
    }

    /// What the provider publishes, read anew once in a while.
    async fn published(&self) -> Result<Arc<Published>, Error> {
        let known = self.lock().clone();
        match known {
            Some((at, published)) if at.elapsed() < PUBLISHED_FOR => Ok(published),
            _ => self.publish().await,
        }
    }

    async fn publish(&self) -> Result<Arc<Published>, Error> {
        const WHAT: &str = "description";
        let issuer = self.config.issuer.trim_end_matches('/');
        let place = format!("{issuer}/.well-known/openid-configuration");
        let (status, body) = answer(WHAT, self.client.get(place)).await?;
        if status != 200 {
            return Err(Error::Answer {
                what: WHAT,
                cause: format!("it has status {status}"),
            });
        }
        let discovery: Discovery = parse(WHAT, &body)?;
        if discovery.issuer != self.config.issuer {
            let cause = format!("it is that of `{}`", plain(&discovery.issuer));
            return Err(Error::Answer { what: WHAT, cause });
        }
        let methods = &discovery.token_endpoint_auth_methods_supported;
        let has = |name: &str| methods.iter().any(|method| method == name);
        let (_, keys) = answer("keys", self.client.get(endpoint(&discovery.jwks_uri)?)).await?;
        let published = Arc::new(Published {
            authorization: endpoint(&discovery.authorization_endpoint)?,
            token: endpoint(&discovery.token_endpoint)?,
            userinfo: discovery
                .userinfo_endpoint
                .as_deref()
                .map(endpoint)
                .transpose()?,
            secret_in_body: !has("client_secret_basic") && has("client_secret_post"),
            keys: parse("keys", &keys)?,
        });
        *self.lock() = Some((Instant::now(), Arc::clone(&published)));
        Ok(published)
    }

    async fn secret(&self) -> Result<Option<String>, Error> {
        let Some(path) = &self.config.client_secret_file else {
            return Ok(None);
        };
        let text = tokio::fs::read_to_string(path)
            .await
            .map_err(Error::Secret)?;
        Ok(Some(text.trim().to_owned()))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<(Instant, Arc<Published>)>> {
        self.published
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// An address that the provider names, if secrets may go there.
fn endpoint(text: &str) -> Result<Url, Error> {
    let url = Url::parse(text).ok().filter(is_safe);
    url.ok_or_else(|| Error::Answer {
        what: "description",
        cause: format!(
            "`{}` is neither https nor on a loopback address",
            plain(text)
        ),
    })
}

/// The status and the body of an answer, which is not read without end.
async fn answer(
    what: &'static str,
    request: reqwest::RequestBuilder,
) -> Result<(u16, Vec<u8>), Error> {
    let unreachable = |error: reqwest::Error| Error::Unreachable {
        what,
        cause: Box::new(error.without_url()),
    };
    let mut response = request.send().await.map_err(unreachable)?;
    let status = response.status().as_u16();
    let mut body = Vec::new();
    while let Some(part) = response.chunk().await.map_err(unreachable)? {
        body.extend_from_slice(&part);
        if body.len() > ANSWER_BYTES_MAX {
            return Err(Error::Answer {
                what,
                cause: format!("it has more than {ANSWER_BYTES_MAX} bytes"),
            });
        }
    }
    Ok((status, body))
}

fn parse<T: DeserializeOwned>(what: &'static str, body: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(body).map_err(|error| Error::Answer {
        what,
        cause: error.to_string(),
    })
}

/// A few plain characters of what a provider says, for people.
pub(crate) fn plain(text: &str) -> String {
    const CHARS_MAX: usize = 100;
    let is_plain = |c: &char| c.is_ascii_graphic() || *c == ' ';
    text.chars().filter(is_plain).take(CHARS_MAX).collect()
}
