//! From flags, environment, configuration and checkout to a connection.

use std::path::{Path, PathBuf};
use std::time::Duration;

use pinion_client::connection::{check_servers, each_server, is_loopback};
use pinion_client::{ConnectOptions, Connection};

use crate::args::Globals;
use crate::checkout::Checkout;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::settings::Settings;
use crate::terminal::Terminal;

/// What every subcommand is given.
pub(crate) struct Session {
    pub(crate) globals: Globals,
    pub(crate) terminal: Terminal,
}

/// How long a connection may keep somebody waiting.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Patience {
    /// Somebody asked for the answer.
    Asked,
    /// Somebody asked, and what the last answer was will do.
    HasLast,
    /// Nobody waits: it happens beside something else.
    InPassing,
}

/// A server, or several on one store, and how to reach them.
pub(crate) struct Place {
    /// Its URL, or theirs, separated by commas.
    pub(crate) server: String,
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) insecure_http: bool,
}

impl Session {
    /// The checkout that was meant, if it has joined.
    pub(crate) fn checkout(&self) -> Result<Option<Checkout>, Failure> {
        Checkout::find(&self.globals.dir)
    }

    /// The checkout that was meant; a failure if it has not joined.
    pub(crate) fn joined(&self) -> Result<Checkout, Failure> {
        self.checkout()?.ok_or_else(|| {
            let dir = self.globals.dir.display();
            Failure::new(
                Exit::Refused,
                format!("`{dir}` is no checkout that has joined a pin set"),
            )
            .next("join: `pinion join --server URL --pin-set NAME`")
        })
    }

    /// A checkout's own connection, with its own token.
    pub(crate) fn connect_checkout(
        &self,
        checkout: &Checkout,
        patience: Patience,
    ) -> Result<Connection, Failure> {
        self.open(&self.place_of(checkout), checkout.token()?, patience)
    }

    /// The server that a checkout joined.
    pub(crate) fn place_of(&self, checkout: &Checkout) -> Place {
        let membership = &checkout.membership;
        Place {
            server: membership.server.clone(),
            ca_file: membership
                .ca_file
                .clone()
                .or_else(|| self.globals.ca_file.clone()),
            insecure_http: membership.insecure_http || self.globals.insecure_http,
        }
    }

    /// A release manager's connection.
    pub(crate) fn connect(&self) -> Result<Connection, Failure> {
        let settings = Settings::load()?;
        let checkout = self.checkout()?;
        let place = self.place(&settings, checkout.as_ref())?;
        let token = match self.given_token(&settings)? {
            Some(token) => token,
            // An environment's token goes to the server that gave it, and to no other.
            None => match checkout
                .filter(|checkout| are_among(&place.server, &checkout.membership.server))
            {
                Some(checkout) => checkout.token()?,
                None => {
                    return Err(Failure::new(Exit::Denied, "there is no token")
                        .next("give one by --token-file or PINION_TOKEN"));
                }
            },
        };
        self.open(&place, token, Patience::Asked)
    }

    /// The server that was meant: by flag or PINION_SERVER, by the configuration, by the checkout.
    pub(crate) fn place(
        &self,
        settings: &Settings,
        checkout: Option<&Checkout>,
    ) -> Result<Place, Failure> {
        let joined = checkout.map(|checkout| &checkout.membership);
        let named = self
            .globals
            .server
            .clone()
            .or_else(|| settings.server.clone());
        let is_joined = joined.is_some_and(|joined| {
            let named = named.as_ref();
            named.is_none_or(|named| are_among(named, &joined.server))
        });
        let joined = joined.filter(|_| is_joined);
        let server = named.or_else(|| joined.map(|joined| joined.server.clone()));
        let ca_file = self
            .globals
            .ca_file
            .clone()
            .or_else(|| settings.ca_file.clone());
        let place = Place {
            server: server.ok_or_else(|| {
                Failure::new(Exit::Usage, "no server is named")
                    .next("name it by --server, PINION_SERVER or the user's configuration")
            })?,
            ca_file: ca_file.or_else(|| joined.and_then(|joined| joined.ca_file.clone())),
            insecure_http: self.globals.insecure_http
                || joined.is_some_and(|joined| joined.insecure_http),
        };
        // Before a token is looked for, let alone asked for.
        check_servers(&place.server, place.insecure_http)?;
        Ok(place)
    }

    /// The token that was given: --token-file, PINION_TOKEN, PINION_TOKEN_FILE, the configuration.
    pub(crate) fn given_token(&self, settings: &Settings) -> Result<Option<String>, Failure> {
        if let Some(path) = &self.globals.token_file {
            return read_token(path).map(Some);
        }
        if let Ok(token) = std::env::var("PINION_TOKEN")
            && !token.trim().is_empty()
        {
            return Ok(Some(token));
        }
        let named = std::env::var_os("PINION_TOKEN_FILE").filter(|path| !path.is_empty());
        let path = named
            .map(PathBuf::from)
            .or_else(|| settings.token_file.clone());
        path.map(|path| read_token(&path)).transpose()
    }

    /// How to reach a server, without a token yet.
    pub(crate) fn options(&self, place: &Place) -> Result<ConnectOptions, Failure> {
        let mut options = ConnectOptions::new(&place.server);
        if let Some(path) = &place.ca_file {
            let pem = std::fs::read(path).map_err(|cause| Failure::file("read", path, &cause))?;
            options = options.ca_certificates(pem);
        }
        if place.insecure_http {
            options = options.allow_plain_http_anywhere();
        }
        Ok(options)
    }

    /// Opens a connection; says loudly when the token will be readable on the way.
    pub(crate) fn open(
        &self,
        place: &Place,
        token: String,
        patience: Patience,
    ) -> Result<Connection, Failure> {
        let mut options = self.options(place)?.token(token);
        if place.insecure_http {
            for (_, uri) in check_servers(&place.server, true)? {
                let host = uri.host().unwrap_or_default();
                if uri.scheme_str() != Some("http") || is_loopback(host) {
                    continue;
                }
                self.terminal.warn(format_args!(
                    "plain http to `{host}`: everybody on the way can read the token and change the pins"
                ));
            }
        }
        options = match patience {
            Patience::Asked => options,
            Patience::HasLast => options
                .connect_timeout(Duration::from_secs(1))
                .deadline(Duration::from_secs(2)),
            Patience::InPassing => options
                .connect_timeout(Duration::from_secs(2))
                .deadline(Duration::from_secs(2)),
        };
        Ok(options.open()?)
    }
}

/// Whether every named server is one of those that were joined.
fn are_among(named: &str, joined: &str) -> bool {
    let is_joined = |one: &str| each_server(joined).any(|other| other == one);
    each_server(named).all(is_joined)
}

/// Whether the user asked every program not to report anything (<https://consoledonottrack.com>).
pub(crate) fn do_not_track() -> bool {
    std::env::var("DO_NOT_TRACK").is_ok_and(|value| !matches!(value.trim(), "" | "0" | "false"))
}

fn read_token(path: &Path) -> Result<String, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|cause| Failure::file("read the token", path, &cause))?;
    match text.trim() {
        "" => Err(Failure::new(
            Exit::Denied,
            format!("`{}` holds no token", path.display()),
        )),
        token => Ok(token.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_goes_to_servers_that_were_joined_and_to_no_others() {
        let joined = "https://a:7460,https://b:7460";
        assert!(are_among("https://b:7460", joined));
        assert!(are_among("https://b:7460, https://a:7460", joined));
        assert!(!are_among("https://a:7460,https://c:7460", joined));
        assert!(!are_among("https://a", joined));
    }
}
