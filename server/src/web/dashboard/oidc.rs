//! Signing in with an OpenID provider: there, and back again in the same browser within a few minutes, once.

use std::collections::HashMap;
use std::error::Error as _;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::{Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{REFRESH, SET_COOKIE};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::sessions::Who;
use super::sign_in::{Next, local};
use super::signed::{cookie, page};
use super::told::sentence;
use super::{Dashboard, views};
use crate::oidc::{Attempt, Error, Person, Provider};
use crate::random::{SystemRandom, bytes};

/// How long a person may take at the provider.
const PATIENCE: Duration = Duration::from_secs(600);
/// Sign-ins under way at a time; of more, the oldest ones are forgotten.
const ATTEMPTS_MAX: usize = 1000;
/// Where the provider sends people back to.
const CALLBACK: &str = "sign-in/oidc/callback";

/// A sign-in under way.
#[derive(Debug)]
struct Begun {
    attempt: Attempt,
    /// The digest of the cookie of the browser that began it.
    browser: String,
    next: String,
    at: Instant,
}

/// Sign-ins under way, by what the provider repeats.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    begun: Mutex<HashMap<String, Begun>>,
}

/// With what the provider sends people back.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Back {
    #[serde(default)]
    state: String,
    #[serde(default)]
    code: String,
    #[serde(default)]
    error: String,
    #[serde(default)]
    iss: Option<String>,
}

impl Attempts {
    fn put(&self, begun: Begun) {
        let mut all = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, one| one.at.elapsed() < PATIENCE);
        while all.len() >= ATTEMPTS_MAX {
            let oldest = all.iter().min_by_key(|(_, one)| one.at);
            let Some(state) = oldest.map(|(state, _)| state.clone()) else {
                break;
            };
            all.remove(&state);
        }
        all.insert(begun.attempt.state.clone(), begun);
    }

    /// The sign-in that a browser began; it is taken, so that it ends once.
    fn take(&self, state: &str, cookie: &str) -> Option<Begun> {
        let mut all = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        let is_its = all
            .get(state)
            .is_some_and(|one| one.browser == digest(cookie) && one.at.elapsed() < PATIENCE);
        is_its.then(|| all.remove(state)).flatten()
    }
}

/// Sends a person to the provider.
pub(super) async fn begin(
    State(dashboard): State<Dashboard>,
    Query(Next { next }): Query<Next>,
) -> Response {
    let Some((provider, redirect)) = dashboard.provider() else {
        return Redirect::to("/sign-in").into_response();
    };
    match provider.begin(&redirect, &SystemRandom).await {
        Ok((url, attempt)) => {
            let secret = URL_SAFE_NO_PAD.encode(bytes::<32>(&SystemRandom));
            dashboard.attempts.put(Begun {
                attempt,
                browser: digest(&secret),
                next: local(&next).to_owned(),
                at: Instant::now(),
            });
            let cookie = dashboard.browser_cookie(&secret, PATIENCE.as_secs());
            ([(SET_COOKIE, cookie)], Redirect::to(url.as_str())).into_response()
        }
        Err(error) => dashboard.not_signed_in(&error),
    }
}

/// Lets a person in who comes back from the provider.
pub(super) async fn back(
    State(dashboard): State<Dashboard>,
    headers: HeaderMap,
    Query(back): Query<Back>,
) -> Response {
    let Some((provider, redirect)) = dashboard.provider() else {
        return Redirect::to("/sign-in").into_response();
    };
    let cookie = cookie(&headers, dashboard.browser_cookie_name()).unwrap_or_default();
    let Some(begun) = dashboard.attempts.take(&back.state, &cookie) else {
        let why = "it was not begun in this browser, took more than ten minutes, or is over already; sign in again";
        return dashboard.refused_sign_in(StatusCode::BAD_REQUEST, why);
    };
    let finished = async {
        let issuer = &provider.config().issuer;
        if back.iss.as_ref().is_some_and(|iss| iss != issuer) {
            return Err(Error::Token("another provider answered".to_owned()));
        }
        if !back.error.is_empty() {
            return Err(Error::Refused(crate::oidc::plain(&back.error)));
        }
        provider.finish(&begun.attempt, &back.code, &redirect).await
    };
    match finished.await {
        Ok(person) => dashboard.let_in(&headers, person, &begun.next),
        Err(error) => dashboard.not_signed_in(&error),
    }
}

impl Dashboard {
    /// The provider, and where it sends people back to.
    fn provider(&self) -> Option<(&Provider, String)> {
        let provider = self.surroundings.oidc.as_deref()?;
        let url = self.surroundings.public_url.as_ref()?;
        Some((provider, url.page(CALLBACK)))
    }

    fn let_in(&self, headers: &HeaderMap, person: Person, next: &str) -> Response {
        let longest = self.surroundings.oidc.as_ref();
        let longest = longest.map_or(Duration::ZERO, |provider| {
            Duration::from_secs(provider.config().session_s)
        });
        let (actor, role) = (person.actor.clone(), person.role);
        let cookie = self.begin_session(headers, Who::Person(person), longest);
        tracing::info!(actor, role = role.as_str(), "signed in to the dashboard");
        // A redirect would still be the provider's, which the cookie is not sent with; this page is ours.
        let headers = [
            (SET_COOKIE, cookie),
            (SET_COOKIE, self.browser_cookie("", 0)),
        ];
        let mut response = page(views::come_in(next)).into_response();
        for (name, value) in headers {
            if let Ok(value) = value.parse() {
                response.headers_mut().append(name, value);
            }
        }
        if let Ok(value) = format!("0; url={next}").parse() {
            response.headers_mut().insert(REFRESH, value);
        }
        response
    }

    fn not_signed_in(&self, error: &Error) -> Response {
        let status = match error {
            Error::Unreachable { .. } | Error::Answer { .. } => StatusCode::BAD_GATEWAY,
            Error::Secret(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Error::Refused(_) | Error::Token(_) | Error::NotAdmitted(_) => StatusCode::FORBIDDEN,
        };
        let cause = error.source().map(ToString::to_string);
        tracing::warn!(%error, cause, "nobody was signed in by the identity provider");
        let why = sentence(&error.to_string());
        self.refused_sign_in(status, why.trim_end_matches('.'))
    }

    fn refused_sign_in(&self, status: StatusCode, why: &str) -> Response {
        (status, page(self.sign_in_page("/", Some(why)))).into_response()
    }

    /// The cookie by which a browser is known that has been sent to the provider: sent along when it comes back.
    fn browser_cookie(&self, value: &str, seconds: u64) -> String {
        let secure = if self.is_https() { "; Secure" } else { "" };
        format!(
            "{}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}",
            self.browser_cookie_name()
        )
    }

    fn browser_cookie_name(&self) -> &'static str {
        match self.is_https() {
            true => "__Host-pinion-sign-in",
            false => "pinion-sign-in",
        }
    }
}

fn digest(cookie: &str) -> String {
    hex::encode(Sha256::digest(cookie))
}
