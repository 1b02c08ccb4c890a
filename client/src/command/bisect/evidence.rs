//! Telling the server what was found: only with consent, and only about rollouts that this checkout is in.

use pinion_client::{Connection, Error, Run, v1};
use pinion_core::pin::PackageChange;

use crate::args::environment::Bisect;
use crate::checkout::Checkout;
use crate::failure::Failure;
use crate::session::{Patience, Session, do_not_track};

/// Reports a failure with the rollouts that the culprit belongs to, or says why not. Never fails the bisection.
pub(super) async fn report(session: &Session, args: &Bisect, culprit: &[PackageChange]) {
    if let Err(failure) = try_report(session, args, culprit).await {
        session
            .terminal
            .warn(format_args!("the culprit was not reported: {failure}"));
    }
}

async fn try_report(
    session: &Session,
    args: &Bisect,
    culprit: &[PackageChange],
) -> Result<(), Failure> {
    let terminal = &session.terminal;
    let checkout = session.joined()?;
    if !checkout.membership.consent.sends() || do_not_track() {
        terminal.note("nothing was reported: this checkout did not agree to that");
        return Ok(());
    }
    let connection = session.connect_checkout(&checkout, Patience::Asked)?;
    let rollouts = rollouts_of(&connection, culprit).await?;
    if rollouts.is_empty() {
        terminal
            .note("nothing was reported: the culprit is no candidate of a rollout that is open");
        return Ok(());
    }
    keep(&checkout, args, &rollouts)?;
    let delivery = checkout.outbox().deliver(&connection).await;
    match (delivery.refused.first(), delivery.stopped) {
        (Some(reason), _) => terminal.warn(format_args!("the server refused the report: {reason}")),
        (None, Some(error)) => terminal.warn(format_args!(
            "the culprit is not reported yet: {error}; the next run or sync sends it"
        )),
        (None, None) => terminal.note(format_args!(
            "reported as a failure with {}",
            rollouts.join(", ")
        )),
    }
    Ok(())
}

/// The open rollouts that gave this checkout the culprit.
async fn rollouts_of(
    connection: &Connection,
    culprit: &[PackageChange],
) -> Result<Vec<String>, Error> {
    let mut rollouts = Vec::new();
    for change in culprit {
        let request = v1::ExplainPinsRequest {
            package: change.package.written().to_owned(),
            ..v1::ExplainPinsRequest::default()
        };
        let mut client = connection.pins();
        let explained = connection.answer(client.explain_pins(request)).await?;
        let to = change.to.as_ref().map(ToString::to_string);
        let to = to.unwrap_or_default();
        let gave = |candidate: &v1::PackageChange| candidate.to_version == to;
        for explanation in explained.explanations {
            let is_of_package = explanation.exposed && explanation.changes.iter().any(gave);
            if is_of_package && !rollouts.contains(&explanation.rollout) {
                rollouts.push(explanation.rollout);
            }
        }
    }
    Ok(rollouts)
}

fn keep(checkout: &Checkout, args: &Bisect, rollouts: &[String]) -> Result<(), Failure> {
    let pins = checkout.saved_pins()?;
    let etag = pins.map(|pins| pins.etag).unwrap_or_default();
    let run = Run::with(&etag, rollouts);
    let outbox = checkout.outbox();
    outbox.put(&run.started())?;
    outbox.put(&run.failed(args.category.into(), None))?;
    Ok(())
}
