//! A stand-in for an OpenID provider, to make the faults that a real one does not: it signs whatever it is told to.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use url::Url;

pub(crate) const SECRET: &str = "s3cr:et +";

#[derive(Clone)]
pub(crate) struct StandIn {
    pub(crate) issuer: String,
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    kid: String,
    key: EcdsaKeyPair,
    /// Codes that may be exchanged, with the nonce and the challenge of their sign-in.
    codes: HashMap<String, (String, String)>,
    /// Claims in the place of the ordinary ones; null: left out.
    changes: Value,
    /// In the place of the token's header.
    header: Option<Value>,
}

fn new_key() -> EcdsaKeyPair {
    let random = SystemRandom::new();
    let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
    let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
    EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random).unwrap()
}

impl StandIn {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let inner = Inner {
            kid: "one".to_owned(),
            key: new_key(),
            codes: HashMap::new(),
            changes: json!({}),
            header: None,
        };
        let stand_in = Self {
            issuer,
            inner: Arc::new(Mutex::new(inner)),
        };
        let routes = Router::new()
            .route("/.well-known/openid-configuration", get(description))
            .route("/keys", get(keys))
            .route("/token", post(token))
            .with_state(stand_in.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        stand_in
    }

    /// Signs with another key from now on, and publishes that one alone.
    pub(crate) fn exchange_key(&self, kid: &str) {
        let mut inner = self.inner.lock().unwrap();
        inner.kid = kid.to_owned();
        inner.key = new_key();
    }

    /// Says this in its tokens from now on.
    pub(crate) fn say(&self, changes: Value) {
        self.inner.lock().unwrap().changes = changes;
    }

    /// Writes this header from now on.
    pub(crate) fn head(&self, header: Option<Value>) {
        self.inner.lock().unwrap().header = header;
    }

    /// Lets the person in whom the dashboard has sent to `url`; the path by which they come back.
    pub(crate) fn let_in(&self, url: &str) -> String {
        let asked: HashMap<String, String> = Url::parse(url)
            .unwrap()
            .query_pairs()
            .into_owned()
            .collect();
        assert_eq!(asked["code_challenge_method"], "S256");
        let mut inner = self.inner.lock().unwrap();
        let code = format!("code-{}", inner.codes.len());
        let kept = (asked["nonce"].clone(), asked["code_challenge"].clone());
        inner.codes.insert(code.clone(), kept);
        format!(
            "/sign-in/oidc/callback?code={code}&state={}",
            asked["state"]
        )
    }
}

fn said(value: Value) -> String {
    value.to_string()
}

async fn description(State(stand_in): State<StandIn>) -> String {
    let issuer = &stand_in.issuer;
    said(json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "jwks_uri": format!("{issuer}/keys"),
    }))
}

async fn keys(State(stand_in): State<StandIn>) -> String {
    let inner = stand_in.inner.lock().unwrap();
    let point = inner.key.public_key().as_ref();
    let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let key = json!({ "kty": "EC", "crv": "P-256", "use": "sig", "kid": inner.kid, "x": part(&point[1..33]), "y": part(&point[33..]) });
    said(json!({ "keys": [key] }))
}

async fn token(State(stand_in): State<StandIn>, headers: http::HeaderMap, body: String) -> String {
    let form: HashMap<String, String> = url::form_urlencoded::parse(body.as_bytes())
        .into_owned()
        .collect();
    let pair = STANDARD.encode("pinion:s3cr%3Aet%20%2B");
    assert_eq!(headers["authorization"], format!("Basic {pair}"));
    let mut inner = stand_in.inner.lock().unwrap();
    let Some((nonce, challenge)) = inner.codes.remove(&form["code"]) else {
        return said(json!({ "error": "invalid_grant" }));
    };
    let proof = URL_SAFE_NO_PAD.encode(Sha256::digest(&form["code_verifier"]));
    assert_eq!(proof, challenge);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let mut claims = json!({
        "iss": stand_in.issuer, "aud": "pinion", "sub": "1", "nonce": nonce, "exp": now.as_secs() + 300,
        "email": "alice@example.org", "email_verified": true, "groups": ["release"],
    });
    for (claim, value) in inner.changes.as_object().unwrap() {
        claims[claim] = value.clone();
    }
    claims
        .as_object_mut()
        .unwrap()
        .retain(|_, value| !value.is_null());
    let ordinary = json!({ "alg": "ES256", "kid": inner.kid });
    let header = inner.header.clone().unwrap_or(ordinary);
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(&header), part(&claims));
    let signed = inner.key.sign(&SystemRandom::new(), message.as_bytes());
    let signature = URL_SAFE_NO_PAD.encode(signed.unwrap());
    said(
        json!({ "id_token": format!("{message}.{signature}"), "access_token": "x", "token_type": "Bearer" }),
    )
}
