//! `pinion doctor`: whether everything is as it must be for pins to arrive and outcomes to be reported.

mod check;
mod local;
mod server;
mod tools;

use std::process::ExitCode;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::{Place, Session};
use crate::settings::Settings;

use check::{Check, State};
use tools::Used;

pub(super) async fn doctor(session: &Session) -> Result<ExitCode, Failure> {
    let checkout = session.checkout()?;
    let mut checks = match &checkout {
        Some(checkout) => {
            let place = session.place_of(checkout);
            let token = checkout.token();
            server::checks(session, &place, token.ok()).await
        }
        None => without_checkout(session).await?,
    };
    checks.extend(local::checks(checkout.as_ref())?);
    let used = checkout.as_ref().map(Used::by).transpose()?.flatten();
    checks.extend(tools::checks(used).await);
    print(session, &checks);
    let has_problem = checks.iter().any(|check| check.state == State::Problem);
    Ok(match has_problem {
        true => Exit::Refused,
        false => Exit::Ok,
    }
    .into())
}

/// The server that is named otherwise, if there is one.
async fn without_checkout(session: &Session) -> Result<Vec<Check>, Failure> {
    let settings = Settings::load()?;
    let place: Place = match session.place(&settings, None) {
        Ok(place) => place,
        Err(failure) => return Ok(vec![Check::of_failure("server", failure)]),
    };
    let token = session.given_token(&settings)?;
    Ok(server::checks(session, &place, token).await)
}

fn print(session: &Session, checks: &[Check]) {
    let count = |state| checks.iter().filter(|check| check.state == state).count();
    let (problems, warnings) = (count(State::Problem), count(State::Warning));
    if session.terminal.is_json() {
        let value = serde_json::json!({
            "problems": problems,
            "warnings": warnings,
            "checks": checks.iter().map(Check::to_json).collect::<Vec<_>>(),
        });
        session.terminal.print(&format!("{value:#}\n"));
        return;
    }
    let widest = checks.iter().map(|check| check.name.len()).max();
    let lines: String = checks
        .iter()
        .map(|check| check.line(widest.unwrap_or(0)))
        .collect();
    session.terminal.print(&lines);
    session.terminal.note(match (problems, warnings) {
        (0, 0) => "everything is as it should be".to_owned(),
        (problems, warnings) => format!("problems: {problems}, warnings: {warnings}"),
    });
}
