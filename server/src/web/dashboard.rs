//! The dashboard: what a release manager sees and may do, in a browser.
//!
//! Pages are made here and work without a script; scripts add pictures and updates. Every look and every step goes
//! through the same functions of the controller as gRPC, with the same roles and limits.

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderName, HeaderValue, Method, StatusCode};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::config::PublicUrl;
use crate::controller::Controller;
use crate::oidc::Provider;

mod actions;
mod assets;
mod events;
mod figures;
mod imports;
mod oidc;
mod origin;
mod pages;
mod picture;
mod pin_sets;
mod policies;
mod sessions;
mod sign_in;
mod signed;
mod simulations;
mod told;
mod trials;
mod views;

use oidc::Attempts;
use sessions::Sessions;
use simulations::Simulations;

/// Bytes of a form, at most; of one with a file in it, see [`imports::BYTES_MAX`].
const FORM_BYTES_MAX: usize = 16 * 1024;

/// What the dashboard has to know of the server around it.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// Where people reach this server, if that is known.
    pub public_url: Option<PublicUrl>,
    /// Whether this server does TLS itself.
    pub has_tls: bool,
    /// With whom people sign in beside tokens, if with anybody; it takes a `public_url`.
    pub oidc: Option<Arc<Provider>>,
}

/// What every page works on.
#[derive(Clone, Debug)]
pub(super) struct Dashboard {
    controller: Arc<Controller>,
    sessions: Arc<Sessions>,
    attempts: Arc<Attempts>,
    simulations: Simulations,
    /// One for each page that may be told of changes at the same time.
    listeners: Arc<Semaphore>,
    stopping: CancellationToken,
    surroundings: Arc<Surroundings>,
}

impl Dashboard {
    pub(super) fn new(
        controller: Arc<Controller>,
        surroundings: Surroundings,
        stopping: CancellationToken,
    ) -> Self {
        Self {
            controller,
            sessions: Arc::default(),
            attempts: Arc::default(),
            simulations: Simulations::new(stopping.clone()),
            listeners: Arc::new(Semaphore::new(events::LISTENERS_MAX)),
            stopping,
            surroundings: Arc::new(surroundings),
        }
    }

    /// Whether browsers reach this server by https alone.
    fn is_https(&self) -> bool {
        let public = self.surroundings.public_url.as_ref();
        self.surroundings.has_tls || public.is_some_and(PublicUrl::is_https)
    }
}

/// The pages.
pub(super) fn routes(dashboard: Dashboard) -> Router {
    let pages = Router::new()
        .route("/", get(pages::front))
        .route("/sign-in", get(sign_in::form).post(sign_in::sign_in))
        .route("/sign-in/oidc", get(oidc::begin))
        .route("/sign-in/oidc/callback", get(oidc::back))
        .route("/sign-out", post(sign_in::sign_out))
        .route("/rollouts", get(pages::rollouts))
        .route("/rollouts/{id}", get(pages::rollout))
        .route("/rollouts/{id}/{verb}", post(actions::act))
        .route("/pin-sets", post(pin_sets::create))
        .route("/pin-sets/{pin_set}", get(pin_sets::pin_set))
        .route("/pin-sets/{pin_set}/queue", get(pin_sets::queue))
        .route("/pin-sets/{pin_set}/policy", get(policies::policy))
        .route(
            "/pin-sets/{pin_set}/start",
            get(trials::form).post(trials::start),
        )
        .route("/pin-sets/{pin_set}/{verb}", post(pin_sets::act))
        .route("/simulations/{key}", get(policies::picture))
        .route("/figures", get(figures::figures))
        .route("/environments", get(pages::environment))
        .route("/decisions", get(pages::decisions))
        .route("/events", get(events::events))
        .layer(DefaultBodyLimit::max(FORM_BYTES_MAX))
        .route(
            "/pin-sets/{pin_set}/import",
            get(imports::form)
                .post(imports::import)
                .layer(DefaultBodyLimit::max(imports::BYTES_MAX)),
        )
        .layer(from_fn(never_kept))
        .layer(from_fn_with_state(dashboard.clone(), from_here))
        .with_state(dashboard);
    pages
        .route("/static/{file}", get(assets::asset))
        .layer(from_fn(secured))
}

/// Refuses what another site makes a browser send.
async fn from_here(
    State(dashboard): State<Dashboard>,
    request: axum::extract::Request,
    next: Next,
) -> Response {
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD);
    let public_url = dashboard.surroundings.public_url.as_ref();
    if changes && origin::is_foreign(request.uri(), request.headers(), public_url) {
        let text = "this was sent by another site, and nothing was done; open the dashboard and do it there\n";
        return (StatusCode::FORBIDDEN, text).into_response();
    }
    next.run(request).await
}

/// Pages are the caller's alone, and of this moment.
pub(super) async fn never_kept(request: axum::extract::Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// What browsers are told about every page.
pub(super) async fn secured(request: axum::extract::Request, next: Next) -> Response {
    // Nothing from elsewhere, no script or style in a page itself, no frame around it.
    const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
         form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let policy = HeaderValue::from_static(POLICY);
    headers.entry(CONTENT_SECURITY_POLICY).or_insert(policy);
    for (name, value) in [
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // Without any referrer, browsers name no origin for forms.
        (REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("x-frame-options"), "DENY"),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("permissions-policy"),
            "camera=(), geolocation=(), microphone=()",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
