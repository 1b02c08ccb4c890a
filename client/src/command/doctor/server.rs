//! The server: whether it answers, over what, to whom, and at what time.

use std::time::Duration;

use http::Uri;
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use pinion_client::connection::{check_server, is_loopback};
use pinion_client::{ConnectOptions, Error, v1};
use tonic::metadata::MetadataMap;
use tonic::{Code, Response};

use crate::failure::Failure;
use crate::session::{Place, Session};
use crate::view;

use super::check::Check;

/// A clock this far off makes ages and times wrong; reports are refused beyond a day.
const CLOCK_TOLERANCE_S: i64 = 120;
const CLOCK_LIMIT_S: i64 = 86_400;

/// What is asked for only to look is waited for no longer.
const WAIT: Duration = Duration::from_secs(3);

pub(super) async fn checks(session: &Session, place: &Place, token: Option<String>) -> Vec<Check> {
    let uri = match check_server(&place.server, place.insecure_http) {
        Ok(uri) => uri,
        Err(error) => return vec![Check::of_failure("server", error.into())],
    };
    let has_token = token.is_some();
    let mut checks = match ask(session, place, token).await {
        Ok(answer) => of_answer(place, has_token, answer),
        Err(failure) => vec![Check::of_failure("server", failure)],
    };
    checks.insert(1, of_transport(&uri, place));
    checks
}

/// What the server says of the caller, and its time, if it tells.
struct Answer {
    caller: Result<v1::GetCallerResponse, Error>,
    time: Option<Timestamp>,
}

async fn ask(session: &Session, place: &Place, token: Option<String>) -> Result<Answer, Failure> {
    let options = session.options(place)?;
    let options = match token {
        Some(token) => options.token(token),
        None => options,
    };
    let connection = ConnectOptions::open(options.connect_timeout(WAIT).deadline(WAIT))?;
    let mut client = connection.admin();
    let mut time = None;
    let call = async {
        match client.get_caller(v1::GetCallerRequest {}).await {
            Ok(response) => {
                time = date_of(response.metadata());
                Ok(Response::new(response.into_inner()))
            }
            Err(status) => {
                time = date_of(status.metadata());
                Err(status)
            }
        }
    };
    let caller = connection.answer(call).await;
    match caller {
        Err(error @ Error::Unreachable { .. }) => Err(error.into()),
        caller => Ok(Answer { caller, time }),
    }
}

fn of_answer(place: &Place, has_token: bool, answer: Answer) -> Vec<Check> {
    let at = &place.server;
    let (server, token) = match answer.caller {
        Ok(caller) => {
            let pin_set = match caller.pin_set.as_str() {
                "" => "every pin set".to_owned(),
                name => format!("pin set `{name}`"),
            };
            let role = view::role(caller.role());
            (
                of_version(at, &caller.server_version),
                Check::ok("token", format!("{}, {role}, for {pin_set}", caller.name)),
            )
        }
        Err(error) if error.code() == Some(Code::Unauthenticated) => {
            let (found, next) = match has_token {
                true => (error.to_string(), "`pinion leave --local`, then join again"),
                false => (
                    "there is none".to_owned(),
                    "give one by --token-file or PINION_TOKEN",
                ),
            };
            (
                Check::ok("server", format!("{at} answers")),
                Check::problem("token", found, next),
            )
        }
        Err(error) => return vec![Check::of_failure("server", error.into())],
    };
    let clock = answer.time.map(|time| of_clock(time, Timestamp::now()));
    [server, token].into_iter().chain(clock).collect()
}

fn of_version(at: &str, version: &str) -> Check {
    let ours = env!("CARGO_PKG_VERSION");
    let line = |version: &str| {
        let mut parts = version.split('.');
        (
            parts.next().map(str::to_owned),
            parts.next().map(str::to_owned),
        )
    };
    let found = format!("{at} answers, version {version}");
    match line(version) == line(ours) {
        true => Check::ok("server", found),
        false => Check::warning(
            "server",
            format!("{found}; this is {ours}"),
            "install the client of the server's version",
        ),
    }
}

fn of_transport(uri: &Uri, place: &Place) -> Check {
    let host = uri.host().unwrap_or_default();
    match (uri.scheme_str(), &place.ca_file) {
        (Some("https"), Some(file)) => {
            Check::ok("transport", format!("TLS, trusting `{}`", file.display()))
        }
        (Some("https"), None) => Check::ok("transport", "TLS, trusting this system's authorities"),
        _ if is_loopback(host) => Check::ok("transport", "plain http within this machine"),
        _ => Check::warning(
            "transport",
            format!("plain http to `{host}`: everybody on the way can read the token"),
            "serve https, and join again",
        ),
    }
}

fn of_clock(theirs: Timestamp, ours: Timestamp) -> Check {
    let ahead = ours.as_second() - theirs.as_second();
    let words = match ahead {
        0.. => format!("{ahead} s ahead of the server"),
        _ => format!("{} s behind the server", -ahead),
    };
    let next = "set the clock, best by NTP";
    match ahead.abs() {
        0..=CLOCK_TOLERANCE_S => Check::ok("clock", words),
        ..=CLOCK_LIMIT_S => Check::warning("clock", words, next),
        _ => Check::problem("clock", format!("{words}: reports are refused"), next),
    }
}

fn date_of(metadata: &MetadataMap) -> Option<Timestamp> {
    let date = metadata.get("date")?.to_str().ok()?;
    let zoned = rfc2822::DateTimeParser::new()
        .parse_zoned_datetime(date)
        .ok()?;
    Some(zoned.timestamp())
}

#[cfg(test)]
mod tests {
    use super::super::check::State;
    use super::*;

    #[test]
    fn a_clock_is_judged_by_how_far_it_is_off() {
        let at = |seconds| Timestamp::from_second(seconds).expect("in range");
        let state = |ours| of_clock(at(1_000_000), at(ours)).state;
        assert_eq!(state(1_000_060), State::Ok);
        assert_eq!(state(999_000), State::Warning);
        assert_eq!(state(1_100_000), State::Problem);
    }

    #[test]
    fn a_patch_release_apart_is_no_difference() {
        let ours = env!("CARGO_PKG_VERSION");
        assert_eq!(of_version("http://x", ours).state, State::Ok);
        assert_eq!(of_version("http://x", "99.0.0").state, State::Warning);
    }

    #[test]
    fn the_server_s_time_is_read() {
        let mut metadata = MetadataMap::new();
        metadata.insert(
            "date",
            "Wed, 25 Nov 2026 01:30:36 GMT".parse().expect("ASCII"),
        );
        let time = date_of(&metadata).expect("a time");
        assert_eq!(time.to_string(), "2026-11-25T01:30:36Z");
    }
}
