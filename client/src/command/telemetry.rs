//! `pinion telemetry`: what is reported, and whether.

use pinion_client::v1;

use crate::args::environment::Telemetry;
use crate::checkout::Checkout;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::{Patience, Session, do_not_track};

use super::consent;

pub(super) async fn telemetry(session: &Session, args: &Telemetry) -> Result<(), Failure> {
    let checkout = session.joined()?;
    match args {
        Telemetry::Show => show(session, &checkout),
        Telemetry::On => on(session, checkout).await,
        Telemetry::Off => off(session, checkout).await,
    }
}

fn show(session: &Session, checkout: &Checkout) -> Result<(), Failure> {
    let outbox = checkout.outbox();
    let sent = outbox.sent();
    let waiting = outbox.waiting();
    session.terminal.note(format_args!(
        "reporting is {}; {} reports were sent lately, {} wait",
        match checkout.membership.reporting && !do_not_track() {
            true => "on",
            false => "off",
        },
        sent.len(),
        waiting.len(),
    ));
    let mut lines = sent;
    lines.extend(
        waiting
            .iter()
            .map(|report| pinion_proto::to_json(report).to_string()),
    );
    lines.push(String::new());
    session.terminal.print(&lines.join("\n"));
    Ok(())
}

async fn on(session: &Session, checkout: Checkout) -> Result<(), Failure> {
    if do_not_track() {
        return Err(Failure::new(
            Exit::Refused,
            "DO_NOT_TRACK is set, so nothing may be reported",
        )
        .next("unset it if you want to report outcomes"));
    }
    let agreed = !session.terminal.is_attended() || {
        session.terminal.tell(&consent::explanation());
        session
            .terminal
            .confirm("Report outcomes of `pinion run` from this checkout?")?
    };
    match agreed {
        true => change(session, checkout, true).await,
        false => Err(Failure::new(Exit::Refused, "nothing was changed")),
    }
}

async fn off(session: &Session, mut checkout: Checkout) -> Result<(), Failure> {
    // Here first: from now on nothing is sent, even if the server cannot be told.
    checkout.membership.reporting = false;
    checkout.save()?;
    checkout.outbox().clear()?;
    change(session, checkout, false)
        .await
        .map_err(|mut failure| {
            failure
                .sentences
                .push("nothing is sent from here any more, but the server does not know it".into());
            failure.next("repeat `pinion telemetry off` when the server is back")
        })
}

async fn change(session: &Session, mut checkout: Checkout, reporting: bool) -> Result<(), Failure> {
    let connection = session.connect_checkout(&checkout, Patience::Asked)?;
    let request = v1::UpdateEnvironmentRequest {
        reporting: Some(reporting),
        ..v1::UpdateEnvironmentRequest::default()
    };
    let mut client = connection.environments();
    let response = connection
        .answer(client.update_environment(request))
        .await?;
    checkout.membership.reporting = reporting;
    checkout.save()?;
    session.terminal.answer(&response, || match reporting {
        true => "outcomes of `pinion run` are reported from now on\n".to_owned(),
        false => "nothing is reported from now on\n".to_owned(),
    });
    Ok(())
}
