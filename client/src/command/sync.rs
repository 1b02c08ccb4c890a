//! `pinion sync`: fetch the pins, keep the last good ones, apply them.

use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use pinion_client::adapters::{DetectError, Overlay, Tool};
use pinion_client::{Error, Pins, Pulled, constraints, v1};

use crate::args::environment::Sync;
use crate::checkout::{Checkout, SavedPins, write_whole};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::{Patience, Session, do_not_track};
use crate::times::age;
use crate::view;

use super::apply;
use super::env::exports;

pub(super) async fn sync(session: &Session, args: &Sync) -> Result<(), Failure> {
    let checkout = session.joined()?;
    let connection = session.connect_checkout(&checkout, patience(&checkout, args))?;
    let before = checkout.saved_pins()?;
    // Without its file an etag stands for nothing.
    let known = before
        .as_ref()
        .filter(|pins| checkout.constraints().is_file() && pins.whole().is_some());
    let pulled = Pins::pull(&connection, known.map(|pins| pins.etag.as_str())).await;
    if let Ok(Pulled { age: Some(age), .. }) = &pulled {
        let now = Timestamp::now();
        let since = now - SignedDuration::try_from(*age).unwrap_or_default();
        session.terminal.warn(format_args!(
            "the server at `{}` is cut off from its store; what it gives is {} old",
            connection.answering(),
            crate::times::age(since, now)
        ));
    }
    let answer = pulled.map(|pulled| pulled.pins);
    match (answer, known) {
        (Ok(Some(pins)), _) => take(session, &checkout, before.as_ref(), &pins)?,
        (Ok(None), Some(known)) => confirm(session, &checkout, known)?,
        (Ok(None), None) => unreachable!("an answer to a question without an etag is whole"),
        (Err(error @ Error::Unreachable { .. }), Some(known)) => {
            keep(session, known, args, error)?;
        }
        (Err(error), _) => return Err(error.into()),
    }
    if checkout.membership.consent.sends() && !do_not_track() {
        checkout.outbox().deliver(&connection).await;
    }
    if let Some(out) = &args.out {
        copy(&checkout.constraints(), out)?;
    }
    let Some(overlay) = apply(session, &checkout, args)? else {
        return Ok(());
    };
    if !session.terminal.is_json() {
        session.terminal.print(&exports(&overlay, args.shell));
    }
    Ok(())
}

/// Applies the pins that are here now; nothing if nobody can say how.
fn apply(session: &Session, checkout: &Checkout, args: &Sync) -> Result<Option<Overlay>, Failure> {
    let pins = apply::pins(checkout.saved_pins()?.as_ref())?;
    if args.no_apply {
        return Ok(None);
    }
    if args.tool.is_none()
        && let Err(error @ DetectError::Nothing { .. }) =
            Tool::detect(&checkout.project(), pins.ecosystem)
    {
        session.terminal.warn(format_args!(
            "{error}: the pins are here, but not applied; name it by --tool"
        ));
        return Ok(None);
    }
    let kept = match apply::keep(session, checkout, &pins, args.tool) {
        // A uv project where uv is not: whoever installs there does it with the constraints file.
        Err(failure)
            if failure.exit == Exit::NotFound
                && args.tool.is_none()
                && pins.ecosystem == v1::Ecosystem::Pypi =>
        {
            session
                .terminal
                .warn(format_args!("{failure}; the pins are applied as for pip"));
            apply::keep(session, checkout, &pins, Some(Tool::Pip))?
        }
        kept => kept?,
    };
    Ok(Some(kept.overlay().clone()))
}

/// Pins that are here already need not be waited for long.
fn patience(checkout: &Checkout, args: &Sync) -> Patience {
    match checkout.constraints().is_file() && !args.fresh {
        true => Patience::HasLast,
        false => Patience::Asked,
    }
}

fn take(
    session: &Session,
    checkout: &Checkout,
    before: Option<&SavedPins>,
    pins: &Pins,
) -> Result<(), Failure> {
    let text = constraints::render(pins)?;
    let saved = SavedPins::of(pins, Timestamp::now());
    checkout.save_pins(&saved, &text)?;
    let changes = saved.changes_since(before);
    session.terminal.note(match (before, changes.len()) {
        (None, _) => format!(
            "{} pins of `{}`, revision {}",
            saved.len(),
            saved.pin_set,
            saved.revision
        ),
        (Some(_), 0) => format!("no version changed; revision {}", saved.revision),
        (Some(_), count) => format!("{count} changed; revision {}", saved.revision),
    });
    if before.is_some() {
        for change in &changes {
            session
                .terminal
                .note(format_args!("  {}", view::change(change)));
        }
    }
    if !saved.rollouts.is_empty() {
        let rollouts = saved.rollouts.join(", ");
        session
            .terminal
            .note(format_args!("in the rollouts {rollouts}"));
    }
    if session.terminal.is_json() {
        print_json(session, pins, &changes);
    }
    Ok(())
}

fn confirm(session: &Session, checkout: &Checkout, known: &SavedPins) -> Result<(), Failure> {
    let mut confirmed = known.clone();
    confirmed.confirmed = Timestamp::now();
    checkout.confirm_pins(&confirmed)?;
    session
        .terminal
        .note(format_args!("unchanged; revision {}", known.revision));
    print_known(session, &confirmed, false);
    Ok(())
}

fn keep(session: &Session, known: &SavedPins, args: &Sync, error: Error) -> Result<(), Failure> {
    let since = age(known.confirmed, Timestamp::now());
    if args.fresh {
        let failure = Failure::from(error);
        return Err(failure.next(format!(
            "without --fresh the pins from {since} ago are used"
        )));
    }
    session.terminal.warn(error);
    session.terminal.warn(format_args!(
        "the last pins stay in use: revision {}, {since} old",
        known.revision
    ));
    print_known(session, known, true);
    Ok(())
}

/// Pins that are here already, as JSON; `stale` when the server could not confirm them.
fn print_known(session: &Session, known: &SavedPins, stale: bool) {
    if session.terminal.is_json() {
        let value = serde_json::json!({
            "unchanged": true,
            "stale": stale,
            "etag": known.etag,
            "pin_set": known.pin_set,
            "revision": known.revision,
            "rollouts": known.rollouts,
            "confirmed": known.confirmed.to_string(),
        });
        session.terminal.print(&format!("{value:#}\n"));
    }
}

fn print_json(session: &Session, pins: &Pins, changes: &[v1::PackageChange]) {
    let changes: Vec<_> = changes.iter().map(pinion_proto::to_json).collect();
    let list: Vec<_> = pins.pins.iter().map(pinion_proto::to_json).collect();
    let value = serde_json::json!({
        "unchanged": false,
        "stale": false,
        "etag": pins.etag,
        "pin_set": pins.pin_set,
        "revision": pins.revision,
        "rollouts": pins.rollouts,
        "pins": list,
        "verbatim_lines": pins.verbatim_lines,
        "changes": changes,
    });
    session.terminal.print(&format!("{value:#}\n"));
}

fn copy(from: &Path, out: &Path) -> Result<(), Failure> {
    let text =
        std::fs::read_to_string(from).map_err(|cause| Failure::file("read", from, &cause))?;
    write_whole(out, &text)
}
