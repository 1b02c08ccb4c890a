//! `pinion status`: who this checkout is.

use jiff::Timestamp;
use pinion_client::{Connection, Error, v1};

use crate::checkout::{Checkout, Consent};
use crate::failure::Failure;
use crate::session::{Patience, Session, do_not_track};
use crate::terminal::clean;
use crate::times::age;

use super::{hold, now};

pub(super) async fn status(session: &Session) -> Result<(), Failure> {
    match session.checkout()? {
        Some(checkout) => of_checkout(session, &checkout).await,
        None => of_token(session).await,
    }
}

async fn of_checkout(session: &Session, checkout: &Checkout) -> Result<(), Failure> {
    let connection = session.connect_checkout(checkout, Patience::Asked)?;
    let asked = ask(&connection).await;
    if let (true, Ok(response)) = (session.terminal.is_json(), &asked) {
        session.terminal.answer(response, String::new);
        return Ok(());
    }
    // What is known here is told also when the server is away.
    let stored = asked
        .as_ref()
        .ok()
        .and_then(|response| response.environment.as_ref());
    let holds = stored.map(|environment| hold::list(&environment.holds));
    let volunteers = stored.map(|environment| now::list(&environment.volunteers));
    let text = describe(checkout, holds.as_deref(), volunteers.as_deref())?;
    if !session.terminal.is_json() {
        session.terminal.print(&text);
    }
    asked.map(drop).map_err(Failure::from)
}

async fn ask(connection: &Connection) -> Result<v1::GetEnvironmentResponse, Error> {
    let request = v1::GetEnvironmentRequest { id: String::new() };
    let mut client = connection.environments();
    connection.answer(client.get_environment(request)).await
}

fn describe(
    checkout: &Checkout,
    holds: Option<&str>,
    volunteers: Option<&str>,
) -> Result<String, Failure> {
    let known = &checkout.membership;
    let reporting = match (known.consent, do_not_track()) {
        (Consent::On, true) => "agreed to, but DO_NOT_TRACK is set: nothing is sent",
        (Consent::On, false) => "on",
        (Consent::Local, _) => "local: outcomes are kept here and never sent",
        (Consent::Off, _) => "off",
    };
    let saved = checkout.saved_pins()?;
    let pins = match &saved {
        None => "none yet; `pinion sync` fetches them".to_owned(),
        Some(pins) => format!(
            "{} of revision {}, confirmed {} ago",
            pins.len(),
            pins.revision,
            age(pins.confirmed, Timestamp::now())
        ),
    };
    let rollouts = saved
        .map(|pins| pins.rollouts.join(", "))
        .unwrap_or_default();
    let rollouts = match rollouts.as_str() {
        "" => "in none",
        rollouts => rollouts,
    };
    let checkout_path = known.checkout.display().to_string();
    let constraints = checkout.constraints().display().to_string();
    let waiting = checkout.outbox().count().to_string();
    let lines = [
        ("environment", known.environment.as_str()),
        ("checkout", &checkout_path),
        ("server", &known.server),
        ("pin set", &known.pin_set),
        ("pins", &pins),
        ("constraints", &constraints),
        ("rollouts", rollouts),
        ("holds", holds.unwrap_or("unknown while the server is away")),
        (
            "volunteers",
            volunteers.unwrap_or("unknown while the server is away"),
        ),
        ("reporting", reporting),
        ("waiting", &waiting),
    ];
    let line = |(name, value): (&str, &str)| format!("{name:<12} {}\n", clean(value));
    Ok(lines.map(line).concat())
}

async fn of_token(session: &Session) -> Result<(), Failure> {
    let connection = session.connect()?;
    let mut client = connection.admin();
    let response = connection
        .answer(client.get_caller(v1::GetCallerRequest {}))
        .await?;
    session.terminal.answer(&response, || {
        let role = response.role().as_str_name().trim_start_matches("ROLE_");
        let role = role.to_lowercase().replace('_', "-");
        let pin_set = match response.pin_set.as_str() {
            "" => "every pin set".to_owned(),
            name => format!("pin set `{name}`"),
        };
        let name = &response.name;
        let version = &response.server_version;
        let server = connection.answering();
        let text = format!("{name}, {role}, for {pin_set}, at {server} (version {version})");
        clean(&text) + "\n"
    });
    Ok(())
}
