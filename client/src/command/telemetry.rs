//! `pinion telemetry`: what is reported, and whether.

use pinion_client::v1::{self, Report};
use prost::Message as _;
use serde_json::{Value, json};

use crate::args::environment::Telemetry;
use crate::checkout::{Checkout, Consent, Outbox};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::{Patience, Session, do_not_track};

use super::consent;

pub(super) async fn telemetry(session: &Session, args: &Telemetry) -> Result<(), Failure> {
    let checkout = session.joined()?;
    match args {
        Telemetry::Show => show(session, &checkout),
        Telemetry::On => on(session, checkout).await,
        Telemetry::Local => less(session, checkout, Consent::Local).await,
        Telemetry::Off => less(session, checkout, Consent::Off).await,
    }
}

fn show(session: &Session, checkout: &Checkout) -> Result<(), Failure> {
    let outbox = checkout.outbox();
    let (sent, waiting, recorded) = (outbox.sent(), outbox.waiting(), outbox.recorded());
    if session.terminal.is_json() {
        let value = json!({
            "consent": checkout.membership.consent.to_string(),
            "do_not_track": do_not_track(),
            "sent": sent.iter().map(|line| entry(line)).collect::<Vec<_>>(),
            "waiting": waiting.iter().map(with_bytes).collect::<Vec<_>>(),
            "never_sent": recorded.iter().map(|line| entry(line)).collect::<Vec<_>>(),
            "dropped": outbox.dropped(),
        });
        session.terminal.print(&format!("{value:#}\n"));
        return Ok(());
    }
    tell_counts(session, checkout, &outbox, waiting.len());
    let waiting = waiting
        .iter()
        .map(|report| pinion_proto::to_json(report).to_string());
    let mut lines: Vec<_> = sent.into_iter().chain(waiting).collect();
    if checkout.membership.consent == Consent::Local {
        lines.extend(recorded);
    }
    lines.push(String::new());
    session.terminal.print(&lines.join("\n"));
    Ok(())
}

fn tell_counts(session: &Session, checkout: &Checkout, outbox: &Outbox, waiting: usize) {
    let consent = checkout.membership.consent;
    let silenced = match consent.keeps() && do_not_track() {
        true => ", but DO_NOT_TRACK is set: nothing is sent or kept",
        false => "",
    };
    let terminal = &session.terminal;
    terminal.note(format_args!(
        "reporting is {consent}{silenced}; {} reports were sent lately, {waiting} wait",
        outbox.sent().len(),
    ));
    let recorded = outbox.recorded().len();
    if recorded > 0 {
        terminal.note(format_args!(
            "{recorded} outcomes were kept on this machine only and are never sent"
        ));
    }
    if let Some(dropped) = outbox.take_dropped() {
        terminal.warn(format_args!("{dropped} reports were thrown away unsent"));
    }
}

/// A line of a log, with the bytes that it goes out as.
fn entry(line: &str) -> Value {
    let value: Value = serde_json::from_str(line).unwrap_or_else(|_| json!(line));
    match Outbox::report_of(&value) {
        Some(report) => with_bytes(&report),
        None => json!({ "report": value }),
    }
}

/// A report, and its bytes in a `ReportOutcomesRequest`, hexadecimal.
fn with_bytes(report: &Report) -> Value {
    let request = v1::ReportOutcomesRequest {
        reports: vec![report.clone()],
    };
    json!({
        "report": pinion_proto::to_json(report),
        "bytes": hex::encode(request.encode_to_vec()),
    })
}

async fn on(session: &Session, mut checkout: Checkout) -> Result<(), Failure> {
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
    if !agreed {
        return Err(Failure::new(Exit::Refused, "nothing was changed"));
    }
    let response = tell_server(session, &checkout, true).await?;
    if !checkout.membership.consent.sends() {
        checkout.outbox().clear()?;
        checkout.agree(Consent::On)?;
    }
    answer(session, Consent::On, &response);
    Ok(())
}

/// Withdraws consent, wholly or but for what stays here.
async fn less(session: &Session, mut checkout: Checkout, consent: Consent) -> Result<(), Failure> {
    // Here first: from now on nothing is sent, even if the server cannot be told.
    checkout.agree(consent)?;
    match consent {
        Consent::Local => checkout.outbox().keep_here()?,
        Consent::Off | Consent::On => checkout.outbox().clear()?,
    }
    let told = tell_server(session, &checkout, false).await;
    let response = told.map_err(|mut failure| {
        failure
            .sentences
            .push("nothing is sent from here any more, but the server does not know it".into());
        failure.next(format!(
            "repeat `pinion telemetry {consent}` when the server is back"
        ))
    })?;
    answer(session, consent, &response);
    Ok(())
}

async fn tell_server(
    session: &Session,
    checkout: &Checkout,
    reporting: bool,
) -> Result<v1::UpdateEnvironmentResponse, Failure> {
    let connection = session.connect_checkout(checkout, Patience::Asked)?;
    let request = v1::UpdateEnvironmentRequest {
        reporting: Some(reporting),
        ..v1::UpdateEnvironmentRequest::default()
    };
    let mut client = connection.environments();
    let answer = connection.answer(client.update_environment(request)).await;
    Ok(answer?)
}

fn answer(session: &Session, consent: Consent, response: &v1::UpdateEnvironmentResponse) {
    session.terminal.answer(response, || {
        let words = match consent {
            Consent::On => "outcomes of `pinion run` are reported from now on",
            Consent::Local => {
                "outcomes of `pinion run` are kept on this machine from now on, and never sent"
            }
            Consent::Off => "nothing is reported from now on",
        };
        format!("{words}\n")
    });
}
