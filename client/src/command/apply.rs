//! Applying a checkout's pins with the tool it uses, and telling what came of it.

use pinion_client::adapters::{Effect, Kept, Missed, Project, Tool, Verification};
use pinion_client::{Pins, v1};

use crate::checkout::{Checkout, SavedPins, Taken};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;

use super::undo::tell_kept_aside;

/// The tool that was named, or the one the checkout uses; says which.
pub(super) fn choose(
    session: &Session,
    project: &Project,
    ecosystem: v1::Ecosystem,
    named: Option<Tool>,
) -> Result<Tool, Failure> {
    if let Some(tool) = named {
        return Ok(tool.suits(ecosystem)?);
    }
    let detected = Tool::detect(project, ecosystem)?;
    session.terminal.note(match detected.because.as_str() {
        "" => format!("the tool is {}, as nothing tells another", detected.tool),
        because => format!("the tool is {}, by {because}", detected.tool),
    });
    Ok(detected.tool)
}

/// Applies pins until they are undone; those that are in place already stay.
pub(super) fn keep(
    session: &Session,
    checkout: &Checkout,
    pins: &Pins,
    named: Option<Tool>,
) -> Result<Kept, Failure> {
    let project = checkout.project();
    let tool = choose(session, &project, pins.ecosystem, named)?;
    if let Some(kept) = in_place(&project, pins, tool)? {
        return Ok(kept);
    }
    let kept = tool.keep(&project, pins, Effect::Resolved)?;
    tell_kept_aside(session, kept.put_back());
    if tool.takes_at_once() {
        // The pins are applied whatever listing them comes to.
        match kept.verify(&project, &pins.pins) {
            Ok(verification) => {
                tell(session, checkout, pins, &verification)?;
                session.terminal.note(summary(&verification));
            }
            Err(error) => session.terminal.warn(format_args!(
                "it is not known which pins took: {error}; `pinion verify` looks again"
            )),
        }
    }
    Ok(kept)
}

/// What is kept, if it is these very pins, and nobody changed a file since.
pub(super) fn in_place(
    project: &Project,
    pins: &Pins,
    tool: Tool,
) -> Result<Option<Kept>, Failure> {
    let kept = Kept::find(project)?;
    let kept = kept.filter(|kept| kept.etag() == pins.etag && kept.tool() == tool);
    match kept {
        Some(kept) if kept.is_in_place(project)? => Ok(Some(kept)),
        _ => Ok(None),
    }
}

/// The last pins that a sync fetched, whole.
pub(super) fn pins(saved: Option<&SavedPins>) -> Result<Pins, Failure> {
    saved.and_then(SavedPins::whole).ok_or_else(|| {
        Failure::new(Exit::Refused, "there are no pins here yet").next("`pinion sync` fetches them")
    })
}

/// What is kept in a checkout.
pub(super) fn kept(checkout: &Checkout) -> Result<Kept, Failure> {
    Kept::find(&checkout.project())?.ok_or_else(|| {
        Failure::new(Exit::Refused, "no pins are applied to this checkout")
            .next("`pinion sync` applies them, `pinion exec -- COMMAND` for one command")
    })
}

/// Says loudly which pins did not take, and notes for later reports which did.
pub(super) fn tell(
    session: &Session,
    checkout: &Checkout,
    pins: &Pins,
    verification: &Verification,
) -> Result<(), Failure> {
    checkout.save_taken(&Taken::of(&pins.etag, verification))?;
    for missed in &verification.missed {
        session.terminal.warn(did_not_take(missed));
    }
    Ok(())
}

/// The counts, as a sentence.
pub(super) fn summary(verification: &Verification) -> String {
    let Verification {
        took,
        missed,
        unused,
    } = verification;
    format!(
        "of the pins {} took, {} did not, {} are not used here",
        took.len(),
        missed.len(),
        unused.len()
    )
}

/// A pin that did not take, and why, as far as that is known.
pub(super) fn did_not_take(missed: &Missed) -> String {
    let Missed { pin, found, reason } = missed;
    let found = found.join(", ");
    let why = reason
        .as_deref()
        .map_or_else(String::new, |why| format!(": {why}"));
    format!(
        "{} {} did not take, {found} is there{why}",
        pin.package, pin.version
    )
}
