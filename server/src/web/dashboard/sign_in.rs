//! Signing in with a token, and out again. A token travels in the body of the form and is not kept.

use std::time::Instant;

use axum::Form;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use http::header::SET_COOKIE;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;

use super::signed::{MaybeSigned, Signed, page};
use super::{Dashboard, sessions, views};
use crate::random::SystemRandom;
use crate::store::keys;
use crate::store::records::Role;

#[derive(Debug, Deserialize)]
pub(super) struct Next {
    #[serde(default)]
    next: String,
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
    MaybeSigned(signed): MaybeSigned,
    Query(Next { next }): Query<Next>,
) -> Response {
    let next = local(&next);
    match signed {
        Some(_) => Redirect::to(next).into_response(),
        None => page(views::sign_in(next, None)),
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
                page(views::sign_in(next, Some(&why))),
            )
                .into_response();
        }
    };
    if caller.require(&[Role::Viewer]).is_err() {
        return (StatusCode::FORBIDDEN, page(views::for_machines(&caller))).into_response();
    }
    if let Some(before) = dashboard.signed(&headers, "/sign-in") {
        dashboard.sessions.end(&before.session.id);
    }
    // Not from the server's own source, which a demo repeats: a cookie must not be guessable there either.
    let secret = dashboard
        .sessions
        .begin(keys::token(token), &SystemRandom, Instant::now());
    tracing::info!(actor = %caller.actor, role = caller.role.as_str(), "signed in to the dashboard");
    let cookie = dashboard.cookie(&secret, sessions::LONGEST.as_secs());
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
    fn cookie(&self, value: &str, seconds: u64) -> String {
        let secure = if self.is_https() { "; Secure" } else { "" };
        format!(
            "{}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}",
            self.cookie_name()
        )
    }
}

/// A path of this server, or the overview: nobody is sent elsewhere.
fn local(next: &str) -> &str {
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
