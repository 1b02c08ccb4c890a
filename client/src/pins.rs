//! Pulling pins: once, or whenever they change.

use std::time::Duration;

use tokio_stream::{Stream, StreamExt as _};

use crate::connection::Connection;
use crate::error::Error;
use crate::v1;

/// What an environment should install, and which rollouts it is part of.
#[derive(Clone, Debug, PartialEq)]
pub struct Pins {
    /// Names these pins exactly: equal etags are equal pins.
    pub etag: String,
    /// The pin set.
    pub pin_set: String,
    /// Its ecosystem.
    pub ecosystem: v1::Ecosystem,
    /// The revision of the pin set they were made from.
    pub revision: u64,
    /// Ordered by normalised name, then marker.
    pub pins: Vec<v1::Pin>,
    /// Lines that are no pins and are installed as they stand.
    pub verbatim_lines: Vec<String>,
    /// Rollouts whose candidate is among the pins.
    pub rollouts: Vec<String>,
    /// Whether a failing run is to be repeated once with the baseline, see [`Pins::baseline`].
    pub repeat_failures: bool,
    /// What each of them tries.
    pub exposures: Vec<v1::Exposure>,
}

/// What a server answered to a pull.
#[derive(Clone, Debug, PartialEq)]
pub struct Pulled {
    /// The pins; none: the ones that were known are still right.
    pub pins: Option<Pins>,
    /// How old they may be, where the server is cut off from its store and gives what it knew last.
    pub age: Option<Duration>,
}

impl Pins {
    /// Asks for the pins of the calling environment; `None` when `known_etag` still names them.
    pub async fn get(
        connection: &Connection,
        known_etag: Option<&str>,
    ) -> Result<Option<Self>, Error> {
        let pulled = Self::pull(connection, known_etag).await?;
        Ok(pulled.pins)
    }

    /// The same, with how old the answer may be.
    pub async fn pull(connection: &Connection, known_etag: Option<&str>) -> Result<Pulled, Error> {
        let response = Self::ask(connection, known_etag, false).await?;
        if response.unchanged && known_etag.is_none() {
            let problem = "it says \"unchanged\" to a caller that has no pins".to_owned();
            return Err(Error::Answer { problem });
        }
        let age = response.age.and_then(|age| age.try_into().ok());
        let pins = (!response.unchanged).then(|| Self::from(response));
        Ok(Pulled { pins, age })
    }

    /// The pins without any candidate, as they are for everybody: to compare with, or to repeat a failing
    /// run with. It counts as no pull.
    pub async fn baseline(connection: &Connection) -> Result<Self, Error> {
        Self::ask(connection, None, true).await.map(Self::from)
    }

    async fn ask(
        connection: &Connection,
        known_etag: Option<&str>,
        baseline: bool,
    ) -> Result<v1::GetPinsResponse, Error> {
        let request = v1::GetPinsRequest {
            pin_set: String::new(),
            etag: known_etag.unwrap_or_default().to_owned(),
            baseline,
        };
        let mut client = connection.pins();
        connection.answer(client.get_pins(request)).await
    }

    /// The pins now, unless `known_etag` names them, and again whenever they change.
    ///
    /// The stream ends when the server stops or the connection breaks; watch again with the last etag: of several servers,
    /// another one goes on.
    pub async fn watch(
        connection: &Connection,
        known_etag: Option<&str>,
    ) -> Result<impl Stream<Item = Result<Self, Error>> + use<>, Error> {
        let request = v1::WatchPinsRequest {
            pin_set: String::new(),
            etag: known_etag.unwrap_or_default().to_owned(),
        };
        let mut client = connection.for_streams().pins();
        let stream = connection.answer(client.watch_pins(request)).await?;
        let server = connection.server().to_owned();
        Ok(stream.filter_map(move |item| match item {
            Ok(message) => message
                .pins
                .filter(|pins| !pins.unchanged)
                .map(|pins| Ok(pins.into())),
            Err(status) => Some(Err(Error::from_status(&server, &status))),
        }))
    }
}

impl From<v1::GetPinsResponse> for Pins {
    fn from(response: v1::GetPinsResponse) -> Self {
        let ecosystem = response.ecosystem();
        let v1::GetPinsResponse {
            etag,
            revision,
            unchanged: _,
            pins,
            verbatim_lines,
            rollouts,
            pin_set,
            ecosystem: _,
            repeat_failures,
            exposures,
            age: _,
            store_revision: _,
        } = response;
        Self {
            etag,
            pin_set,
            ecosystem,
            revision,
            pins,
            verbatim_lines,
            rollouts,
            repeat_failures,
            exposures,
        }
    }
}
