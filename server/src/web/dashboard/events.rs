//! Tells pages that something has changed, by server-sent events; what it is they fetch themselves.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use http::StatusCode;
use http::header::RETRY_AFTER;
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::Dashboard;
use super::sessions::Session;
use super::signed::Signed;

/// Pages that are told of changes at the same time, at most; further ones are refreshed by hand.
pub(super) const LISTENERS_MAX: usize = 512;
/// The least time between two events: many changes are told as one.
const PAUSE: Duration = Duration::from_millis(300);
/// How often a connection shows that it is there, and looks whether its session still is.
const ALIVE: Duration = Duration::from_secs(15);
/// How long a browser waits before it comes back.
const RETRY: Duration = Duration::from_secs(2);

/// A page that listens.
struct Listener {
    dashboard: Dashboard,
    session: Session,
    changes: watch::Receiver<u64>,
    is_new: bool,
    has_ended: bool,
    _place: OwnedSemaphorePermit,
}

pub(super) async fn events(State(dashboard): State<Dashboard>, signed: Signed) -> Response {
    let Ok(place) = std::sync::Arc::clone(&dashboard.listeners).try_acquire_owned() else {
        let text = "as many pages as may be are told of changes; load the page again to see them\n";
        return (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "30")], text).into_response();
    };
    let listener = Listener {
        changes: dashboard.controller.changes(),
        dashboard,
        session: signed.session,
        is_new: true,
        has_ended: false,
        _place: place,
    };
    let told = stream::unfold(listener, |mut listener| async move {
        let event = listener.next().await?;
        Some((Ok::<_, Infallible>(event), listener))
    });
    Sse::new(told)
        .keep_alive(KeepAlive::new().interval(ALIVE))
        .into_response()
}

impl Listener {
    /// The next event; none when the server stops or the session has ended.
    async fn next(&mut self) -> Option<Event> {
        if self.has_ended {
            return None;
        }
        if std::mem::take(&mut self.is_new) {
            let number = *self.changes.borrow_and_update();
            return Some(event("hello", number).retry(RETRY));
        }
        let stopping = self.dashboard.stopping.clone();
        loop {
            tokio::select! {
                () = stopping.cancelled() => return None,
                changed = self.changes.changed() => {
                    changed.ok()?;
                    tokio::select! {
                        () = stopping.cancelled() => return None,
                        () = tokio::time::sleep(PAUSE) => {}
                    }
                    if !self.is_signed_in() {
                        break;
                    }
                    let number = *self.changes.borrow_and_update();
                    return Some(event("changed", number));
                }
                () = tokio::time::sleep(ALIVE) => if !self.is_signed_in() {
                    break;
                },
            }
        }
        self.has_ended = true;
        Some(event("signed-out", 0))
    }

    fn is_signed_in(&self) -> bool {
        let dashboard = &self.dashboard;
        let now = std::time::Instant::now();
        dashboard.sessions.is_there(&self.session.id, now)
            && dashboard.caller(&self.session).is_ok()
    }
}

fn event(name: &str, number: u64) -> Event {
    Event::default().event(name).data(number.to_string())
}
