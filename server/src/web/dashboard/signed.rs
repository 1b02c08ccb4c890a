//! A request of somebody who is signed in, and how pages are answered to them.

use std::convert::Infallible;
use std::time::Instant;

use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Redirect, Response};
use http::header::{CONTENT_TYPE, COOKIE};
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use maud::{Markup, html};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use pinion_core::state::Actor;
use sha2::{Digest, Sha256};

use super::Dashboard;
use super::sessions::{Session, Who};
use super::views;
use crate::controller::{Identity, Refusal};
use crate::store::records::Role;

/// A page that a script fetches to bring the one that is shown up to date says so: nobody has clicked.
pub(super) const UPDATE_HEADER: &str = "x-pinion-update";

/// Who asks, by the session of a cookie.
#[derive(Clone, Debug)]
pub(super) struct Signed {
    pub(super) caller: Identity,
    pub(super) session: Session,
    /// The path that was asked for.
    pub(super) path: String,
    pub(super) notes: Vec<String>,
}

/// The same, or nobody.
#[derive(Clone, Debug)]
pub(super) struct MaybeSigned(pub(super) Option<Signed>);

impl Signed {
    /// Whether they may change anything.
    pub(super) fn may_act(&self) -> bool {
        self.caller.require(&[Role::ReleaseManager]).is_ok()
    }

    /// A page.
    pub(super) fn page(&self, title: &str, news: &str, body: Markup) -> Response {
        page(views::layout(Some(self), title, news, body))
    }

    /// A page that says why not.
    pub(super) fn refused(&self, refusal: &Refusal) -> Response {
        let status = crate::web::status_of(refusal);
        let title = match status {
            StatusCode::NOT_FOUND => "There is no such thing",
            StatusCode::FORBIDDEN => "This is not for your token",
            StatusCode::SERVICE_UNAVAILABLE => "The server cannot answer now",
            _ => "That could not be done",
        };
        let body = html! {
            h1 { (title) }
            div.fault role="alert" { p { (super::told::sentence(&refusal.to_string())) } }
            p { a href="/" { "To the overview" } }
        };
        (status, self.page(title, title, body)).into_response()
    }

    /// Whether a form carries the token of this session.
    pub(super) fn has_sent(&self, csrf: &str) -> bool {
        // Digests are compared, whose equal beginnings tell nothing of the token.
        Sha256::digest(csrf) == Sha256::digest(&self.session.csrf)
    }
}

/// HTML as a response.
pub(super) fn page(markup: Markup) -> Response {
    let headers = [(CONTENT_TYPE, "text/html; charset=utf-8")];
    (headers, markup.into_string()).into_response()
}

impl FromRequestParts<Dashboard> for MaybeSigned {
    type Rejection = Infallible;

    async fn from_request_parts(
        parts: &mut Parts,
        dashboard: &Dashboard,
    ) -> Result<Self, Infallible> {
        let found = dashboard.signed(&parts.headers, parts.uri.path());
        Ok(Self(found))
    }
}

impl FromRequestParts<Dashboard> for Signed {
    type Rejection = Response;

    async fn from_request_parts(
        parts: &mut Parts,
        dashboard: &Dashboard,
    ) -> Result<Self, Response> {
        if let Some(signed) = dashboard.signed(&parts.headers, parts.uri.path()) {
            return Ok(signed);
        }
        if parts.headers.contains_key(UPDATE_HEADER) || parts.uri.path() == "/events" {
            return Err((StatusCode::UNAUTHORIZED, "sign in again\n").into_response());
        }
        // A form cannot be sent again by a redirect; its page can be looked at again.
        let asked = match parts.method.is_safe() {
            true => parts.uri.to_string(),
            false => super::actions::page_of_form(parts.uri.path()),
        };
        let next = utf8_percent_encode(&asked, NON_ALPHANUMERIC);
        Err(Redirect::to(&format!("/sign-in?next={next}")).into_response())
    }
}

impl Dashboard {
    /// Who a request's cookie belongs to, while their token is good for looking.
    pub(super) fn signed(&self, headers: &HeaderMap, path: &str) -> Option<Signed> {
        let is_click = !headers.contains_key(UPDATE_HEADER) && path != "/events";
        let cookie = cookie(headers, self.cookie_name())?;
        let session = self.sessions.find(&cookie, is_click, Instant::now())?;
        let Ok(caller) = self.caller(&session) else {
            // Revoked or expired: what it had begun ends with it.
            self.sessions.end(&session.id);
            return None;
        };
        let notes = match is_click && path != "/sign-in" {
            true => self.sessions.take_notes(&session.id),
            false => Vec::new(),
        };
        Some(Signed {
            caller,
            session,
            path: path.to_owned(),
            notes,
        })
    }

    /// Who a session belongs to, while they are let in.
    pub(super) fn caller(&self, session: &Session) -> Result<Identity, Refusal> {
        match &session.who {
            Who::Token(token) => self.controller.identify_token(token),
            Who::Person(person) => Ok(Identity {
                actor: Actor::Token(person.actor.clone()),
                role: person.role,
                pin_set: person.pin_set.clone(),
                environment: None,
            }),
        }
    }

    /// With the prefix, browsers take the cookie from https and from this host alone.
    pub(super) fn cookie_name(&self) -> &'static str {
        match self.is_https() {
            true => "__Host-pinion",
            false => "pinion",
        }
    }
}

pub(super) fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(known, _)| *known == name)
        .map(|(_, value)| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cookie_is_found_among_others_and_by_its_whole_name() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, "xpinion=1; a=b".parse().expect("a header"));
        assert_eq!(cookie(&headers, "pinion"), None);
        headers.append(COOKIE, "c=d;  pinion=2".parse().expect("a header"));
        assert_eq!(cookie(&headers, "pinion").as_deref(), Some("2"));
    }
}
