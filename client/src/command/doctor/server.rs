//! The server or servers: which answer, over what, to whom, at what time, and whether what they serve is of now.

use std::time::Duration;

use http::Uri;
use jiff::fmt::rfc2822;
use jiff::{SignedDuration, Timestamp};
use pinion_client::connection::{check_servers, is_loopback};
use pinion_client::{ConnectOptions, Connection, Error, v1};
use tonic::metadata::MetadataMap;
use tonic::{Code, Response};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::{Place, Session};
use crate::view;

use super::check::{Check, State};

/// A clock this far off makes ages and times wrong; reports are refused beyond a day.
const CLOCK_TOLERANCE_S: i64 = 120;
const CLOCK_LIMIT_S: i64 = 86_400;

/// What is asked for only to look is waited for no longer.
const WAIT: Duration = Duration::from_secs(3);

pub(super) async fn checks(session: &Session, place: &Place, token: Option<String>) -> Vec<Check> {
    let servers = match check_servers(&place.server, place.insecure_http) {
        Ok(servers) => servers,
        Err(error) => return vec![Check::of_failure("server", error.into())],
    };
    let options = match session.options(place) {
        Ok(options) => options,
        Err(failure) => return vec![Check::of_failure("server", failure)],
    };
    let has_token = token.is_some();
    let options = match token {
        Some(token) => options.token(token),
        None => options,
    };
    let options = options.connect_timeout(WAIT).deadline(WAIT);
    let asked: Vec<_> = servers
        .iter()
        .map(|(url, uri)| {
            let options = options.clone().server(*url);
            (*url, of_transport(uri, place), tokio::spawn(ask(options)))
        })
        .collect();
    let mut found = Vec::new();
    for (url, transport, asked) in asked {
        let answer = match asked.await {
            Ok(answer) => answer,
            Err(error) => Err(Failure::new(Exit::Refused, error.to_string())),
        };
        found.push((transport, of_answer(url, has_token, answer)));
    }
    together(found)
}

/// What was found out about one server.
struct Found {
    server: Check,
    token: Option<Check>,
    /// By how many seconds this machine's clock is ahead.
    ahead: Option<i64>,
}

/// What was found out about all servers, each thing once.
fn together(found: Vec<(Check, Found)>) -> Vec<Check> {
    let is_bad = |(_, found): &(Check, Found)| found.server.state == State::Problem;
    let copes = !found.iter().all(is_bad);
    let ahead = found.iter().filter_map(|(_, found)| found.ahead);
    let clock = ahead.max_by_key(|ahead| ahead.abs()).map(of_clock);
    let (mut servers, mut others) = (Vec::new(), Vec::<Check>::new());
    let mut once = |check: Check| {
        if !others.contains(&check) {
            others.push(check);
        }
    };
    let mut tokens = Vec::new();
    for (transport, found) in found {
        servers.push(match copes {
            // Another one is asked instead.
            true => found.server.softened(),
            false => found.server,
        });
        once(transport);
        tokens.extend(found.token);
    }
    tokens.into_iter().for_each(once);
    servers.into_iter().chain(others).chain(clock).collect()
}

/// What a server says of the caller, its time, and how old what it serves is.
struct Answer {
    caller: Result<v1::GetCallerResponse, Error>,
    time: Option<Timestamp>,
    age: Option<Duration>,
}

async fn ask(options: ConnectOptions) -> Result<Answer, Failure> {
    let connection = options.open()?;
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
    let caller = match connection.answer(call).await {
        Err(error @ Error::Unreachable { .. }) => return Err(error.into()),
        caller => caller,
    };
    let age = match &caller {
        Ok(caller) if caller.role() == v1::Role::Environment => age_at(&connection).await?,
        _ => None,
    };
    Ok(Answer { caller, time, age })
}

/// How old what the server serves is, if that is not of now. Only an environment is served anything.
async fn age_at(connection: &Connection) -> Result<Option<Duration>, Failure> {
    // It counts as no pull.
    let request = v1::GetPinsRequest {
        baseline: true,
        ..Default::default()
    };
    let mut client = connection.pins();
    match connection.answer(client.get_pins(request)).await {
        Ok(response) => Ok(response.age.and_then(|age| age.try_into().ok())),
        // A token that enrols others has no pins.
        Err(Error::Refused(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn of_answer(at: &str, has_token: bool, answer: Result<Answer, Failure>) -> Found {
    let alone = |server| Found {
        server,
        token: None,
        ahead: None,
    };
    let answer = match answer {
        Ok(answer) => answer,
        Err(failure) => return alone(Check::of_failure("server", failure)),
    };
    let (server, token) = match answer.caller {
        Ok(caller) => {
            let pin_set = match caller.pin_set.as_str() {
                "" => "every pin set".to_owned(),
                name => format!("pin set `{name}`"),
            };
            let role = view::role(caller.role());
            (
                of_version(at, &caller.server_version, answer.age),
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
        Err(error) => return alone(Check::of_failure("server", error.into())),
    };
    let now = Timestamp::now().as_second();
    Found {
        server,
        token: Some(token),
        ahead: answer.time.map(|time| now - time.as_second()),
    }
}

fn of_version(at: &str, version: &str, age: Option<Duration>) -> Check {
    let ours = env!("CARGO_PKG_VERSION");
    let line = |version: &str| {
        let mut parts = version.split('.');
        (
            parts.next().map(str::to_owned),
            parts.next().map(str::to_owned),
        )
    };
    let found = format!("{at} answers, version {version}");
    if let Some(age) = age {
        let now = Timestamp::now();
        let since = now - SignedDuration::try_from(age).unwrap_or_default();
        let old = crate::times::age(since, now);
        return Check::warning(
            "server",
            format!("{found}; it is cut off from its store, and what it serves is {old} old"),
            "see that the server reaches its store",
        );
    }
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

/// `ahead`: by how many seconds this machine's clock is ahead of the server's.
fn of_clock(ahead: i64) -> Check {
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
    use super::*;

    #[test]
    fn a_clock_is_judged_by_how_far_it_is_off() {
        let state = |ahead| of_clock(ahead).state;
        assert_eq!(state(60), State::Ok);
        assert_eq!(state(-1_000), State::Warning);
        assert_eq!(state(100_000), State::Problem);
    }

    #[test]
    fn a_patch_release_apart_is_no_difference() {
        let ours = env!("CARGO_PKG_VERSION");
        assert_eq!(of_version("http://x", ours, None).state, State::Ok);
        assert_eq!(of_version("http://x", "99.0.0", None).state, State::Warning);
    }

    #[test]
    fn a_server_that_is_cut_off_from_its_store_is_told_with_its_age() {
        let ours = env!("CARGO_PKG_VERSION");
        let check = of_version("http://x", ours, Some(Duration::from_secs(200)));
        assert_eq!(check.state, State::Warning);
        assert!(check.line(6).contains("3m"), "{}", check.line(6));
    }

    fn found(state: State, ahead: i64) -> (Check, Found) {
        let server = match state {
            State::Problem => Check::problem("server", "it is away", "see to it"),
            _ => Check::ok("server", "it answers"),
        };
        let found = Found {
            server,
            token: Some(Check::ok("token", "me")),
            ahead: Some(ahead),
        };
        (Check::ok("transport", "TLS"), found)
    }

    #[test]
    fn a_server_that_is_away_is_a_problem_only_where_no_other_answers() {
        let states = |found| -> Vec<(&str, State)> {
            let checks = together(found).into_iter();
            checks.map(|check| (check.name, check.state)).collect()
        };
        let (ok, bad) = (State::Ok, State::Problem);
        assert_eq!(
            states(vec![found(bad, 0), found(ok, -1_000)]),
            [
                ("server", State::Warning),
                ("server", ok),
                ("transport", ok),
                ("token", ok),
                ("clock", State::Warning)
            ]
        );
        let all = states(vec![found(bad, 0), found(bad, 0)]);
        assert_eq!(all[..2], [("server", bad), ("server", bad)]);
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
