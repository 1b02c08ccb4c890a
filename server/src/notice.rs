//! Routes: how notices reach people. The trait [`Sender`] stands beside its kinds, one file each.
//!
//! A sender is given a notice whose words are made, and chooses nothing. It contacts only what the operator's
//! configuration names, and follows no redirects, so that no request and no text leads it elsewhere.

mod config;
mod http;
mod mail;
mod slack;
mod webhook;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pinion_core::name::{NoticeId, RouteName};
use pinion_core::notice::{Kind, Notice, Pattern};
use pinion_core::time::Timestamp;

pub use self::config::{ConfigError, MailTls, RouteConfig};
use crate::loops::Wake;

/// Routes of one configuration, at most: a notice's record lists all that it goes by.
pub const ROUTES_MAX: usize = 16;

type Open = fn(&RouteConfig) -> Result<Arc<dyn Sender>, ConfigError>;

const KINDS: &[(&str, Open)] = &[
    ("webhook", webhook::open),
    ("slack", slack::open),
    ("mail", mail::open),
];

/// One try to bring a notice to people.
#[derive(Clone, Copy, Debug)]
pub struct Sending<'a> {
    /// The same on every try.
    pub id: &'a NoticeId,
    /// What is told.
    pub notice: &'a Notice,
    /// Now.
    pub at: Timestamp,
}

/// A way by which notices go.
#[async_trait]
pub trait Sender: fmt::Debug + Send + Sync {
    /// Sends the notice and gives the receiver's words. The same one again is recognised by its id.
    ///
    /// # Errors
    /// Why it was not taken, as far as that can be told, and whether the same again may help.
    async fn send(&self, sending: Sending<'_>) -> Result<String, Error>;

    /// Where to, without secrets.
    fn target(&self) -> &str;
}

/// Why a notice was not taken. Neither answer has a secret in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It may be taken later. It may have arrived all the same.
    #[error("{answer}")]
    Retry {
        /// What was said.
        answer: String,
        /// How long the receiver asks to wait.
        retry_after: Option<Duration>,
    },
    /// The receiver does not take it.
    #[error("{answer}")]
    Refused {
        /// What was said.
        answer: String,
    },
}

impl Error {
    fn retry(answer: impl Into<String>) -> Self {
        Self::Retry {
            answer: answer.into(),
            retry_after: None,
        }
    }

    fn refused(answer: impl Into<String>) -> Self {
        Self::Refused {
            answer: answer.into(),
        }
    }
}

/// A route of the configuration.
#[derive(Debug)]
pub struct Route {
    /// Its name.
    pub name: RouteName,
    /// Such as `webhook`.
    pub kind: &'static str,
    /// The names of notices that go by it.
    pub events: Vec<Pattern>,
    /// The pin sets whose notices go by it.
    pub pin_sets: Vec<Pattern>,
    /// How long one try takes at most.
    pub timeout: Duration,
    pub(crate) sender: Arc<dyn Sender>,
    pub(crate) wake: Wake,
}

impl Route {
    /// Whether a notice goes by it.
    fn wants(&self, kind: Kind, pin_set: &str) -> bool {
        self.events.iter().any(|one| one.matches(kind.as_str()))
            && self.pin_sets.iter().any(|one| one.matches(pin_set))
    }
}

/// The routes of the configuration, in its order.
#[derive(Clone, Debug, Default)]
pub struct Routes(Arc<Vec<Arc<Route>>>);

impl Routes {
    /// Opens every route; nothing is contacted.
    ///
    /// # Errors
    /// What is wrong with which route, naming the key.
    pub fn open(configs: &[RouteConfig]) -> Result<Self, ConfigError> {
        let mut routes: Vec<Arc<Route>> = Vec::new();
        for config in configs {
            if routes.len() == ROUTES_MAX {
                return Err(config.error(format!("is one too many; at most {ROUTES_MAX}")));
            }
            if routes.iter().any(|route| route.name == config.name) {
                return Err(config.error("is configured twice; give each route its own name"));
            }
            let Some((kind, open)) = KINDS.iter().find(|(kind, _)| *kind == config.kind) else {
                let known: Vec<_> = KINDS.iter().map(|(kind, _)| format!("`{kind}`")).collect();
                let (kind, known) = (&config.kind, known.join(", "));
                return Err(config.error(format!("`kind` is `{kind}`; known: {known}")));
            };
            if config.allow_plaintext {
                tracing::warn!(route = %config.name, "`allow_plaintext` is set: others on the network may read these notices, and secrets with them");
            }
            let (events, pin_sets) = config.patterns()?;
            routes.push(Arc::new(Route {
                name: config.name.clone(),
                kind,
                events,
                pin_sets,
                timeout: config.timeout()?,
                sender: open(config)?,
                wake: Wake::default(),
            }));
        }
        Ok(Self(Arc::new(routes)))
    }

    /// Whether nobody is told anything.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Every route.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.0.iter()
    }

    /// The route of this name.
    pub fn get(&self, name: &RouteName) -> Option<&Arc<Route>> {
        self.0.iter().find(|route| route.name == *name)
    }

    /// The routes by which a notice goes.
    pub fn of(&self, notice: &Notice) -> Vec<RouteName> {
        let pin_set = notice.pin_set.as_ref().map_or("", |name| name.as_str());
        let wanting = self.0.iter();
        wanting
            .filter(|route| route.wants(notice.kind, pin_set))
            .map(|route| route.name.clone())
            .collect()
    }
}
