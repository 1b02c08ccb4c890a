//! Signing in with a token, and out again. A token travels in the body of the form and is not kept.

use std::time::{Duration, Instant};

use axum::Form;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use http::header::SET_COOKIE;
use http::{HeaderMap, StatusCode};
use maud::Markup;
use serde::Deserialize;

use super::sessions::Who;
use super::signed::{MaybeSigned, Signed, page};
use super::{Dashboard, sessions, views};
use crate::random::SystemRandom;
use crate::store::keys;
use crate::store::records::Role;

#[derive(Debug, Deserialize)]
pub(super) struct Next {
    #[serde(default)]
    pub(super) next: String,
}

#[derive(Deserialize)]
pub(super) struct SignIn {
    #[serde(default)]
    token: String,
    #[serde(default)]
    next: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct SignOut {
    #[serde(default)]
    csrf: String,
}

pub(super) async fn form(
    State(dashboard): State<Dashboard>,
    MaybeSigned(signed): MaybeSigned,
    Query(Next { next }): Query<Next>,
) -> Response {
    let next = local(&next);
    match signed {
        Some(_) => Redirect::to(next).into_response(),
        None => page(dashboard.sign_in_page(next, None)),
    }
}

pub(super) async fn sign_in(
    State(dashboard): State<Dashboard>,
    headers: HeaderMap,
    Form(SignIn { token, next }): Form<SignIn>,
) -> Response {
    let next = local(&next);
    let token = token.trim();
    let caller = match dashboard.controller.identify(Some(token)) {
        Ok(caller) => caller,
        Err(refusal) => {
            let why = match token.is_empty() {
                true => "the field is empty".to_owned(),
                false => views::unauthenticated(&refusal),
            };
            return (
                StatusCode::UNAUTHORIZED,
                page(dashboard.sign_in_page(next, Some(&why))),
            )
                .into_response();
        }
    };
    if caller.require(&[Role::Viewer]).is_err() {
        return (StatusCode::FORBIDDEN, page(views::for_machines(&caller))).into_response();
    }
    let who = Who::Token(keys::token(token));
    let cookie = dashboard.begin_session(&headers, who, sessions::LONGEST);
    tracing::info!(actor = %caller.actor, role = caller.role.as_str(), "signed in to the dashboard");
    ([(SET_COOKIE, cookie)], Redirect::to(next)).into_response()
}

pub(super) async fn sign_out(
    State(dashboard): State<Dashboard>,
    signed: Signed,
    Form(SignOut { csrf }): Form<SignOut>,
) -> Response {
    if !signed.has_sent(&csrf) {
        return super::actions::forged(&signed);
    }
    dashboard.sessions.end(&signed.session.id);
    let cookie = dashboard.cookie("", 0);
    ([(SET_COOKIE, cookie)], Redirect::to("/sign-in")).into_response()
}

impl Dashboard {
    /// The form by which people come in.
    pub(super) fn sign_in_page(&self, next: &str, why: Option<&str>) -> Markup {
        let provider = self.surroundings.oidc.as_deref();
        let provider = provider.map(|provider| provider.config().name.as_str());
        views::sign_in(next, why, provider)
    }

    /// Begins a session in the place of the one that the browser has, and returns its cookie.
    pub(super) fn begin_session(&self, headers: &HeaderMap, who: Who, longest: Duration) -> String {
        if let Some(before) = self.signed(headers, "/sign-in") {
            self.sessions.end(&before.session.id);
        }
        // Not from the server's own source, which a demo repeats: a cookie must not be guessable there either.
        let secret = self
            .sessions
            .begin(who, longest, &SystemRandom, Instant::now());
        self.cookie(&secret, longest.as_secs())
    }

    fn cookie(&self, value: &str, seconds: u64) -> String {
        let secure = if self.is_https() { "; Secure" } else { "" };
        format!(
            "{}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}",
            self.cookie_name()
        )
    }
}

/// A path of this server, or the overview: nobody is sent elsewhere.
pub(super) fn local(next: &str) -> &str {
    let is_path = next.starts_with('/') && !next.starts_with("//");
    let is_plain = next
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    match is_path && is_plain && next.len() <= 500 && !next.starts_with("/sign-") {
        true => next,
        false => "/",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_to_another_site() {
        assert_eq!(local("/rollouts/ro-1?a=b"), "/rollouts/ro-1?a=b");
        for elsewhere in [
            "",
            "https://evil.example",
            "//evil.example",
            "/\\evil.example",
            "/\t/evil.example",
            "javascript:alert(1)",
            "/sign-in",
        ] {
            assert_eq!(local(elsewhere), "/", "{elsewhere}");
        }
    }
}
