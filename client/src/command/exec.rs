//! `pinion exec`: one command with the pins.

use std::process::ExitCode;

use pinion_client::Pins;
use pinion_client::adapters::{Applied, Effect, Kept, Overlay, ToolError, UndoError, Verification};

use crate::args::environment::Exec;
use crate::checkout::Checkout;
use crate::failure::Failure;
use crate::session::Session;

use super::apply;
use super::run::child::{self, Command};
use super::undo::tell_restored;

/// Pins in place while the command runs.
enum Pinned {
    /// By a sync; they stay.
    Kept(Kept),
    /// For the command alone.
    ForNow(Applied),
}

pub(super) async fn exec(session: &Session, args: &Exec) -> Result<ExitCode, Failure> {
    let checkout = session.joined()?;
    let pins = apply::pins(checkout.saved_pins()?.as_ref())?;
    let project = checkout.project();
    let tool = apply::choose(session, &project, pins.ecosystem, args.tool)?;
    let pinned = match apply::in_place(&project, &pins, tool)? {
        Some(kept) => Pinned::Kept(kept),
        None => Pinned::ForNow(tool.apply(&project, &pins, Effect::Resolved)?),
    };
    let code = match Command::spawn_with(&args.command, pinned.overlay().environment()) {
        Ok(mut command) => child::exit_code(command.ending().await),
        Err(error) => {
            session.terminal.warn(&error);
            error.exit_code()
        }
    };
    // From here on nothing may change how the command ended.
    if !args.no_verify {
        match pinned.verify(&checkout, &pins) {
            Ok(found) => {
                if let Err(failure) = apply::tell(session, &checkout, &pins, &found) {
                    session.terminal.warn(failure);
                }
                session.terminal.note(apply::summary(&found));
            }
            Err(error) => session
                .terminal
                .warn(format_args!("it is not known which pins took: {error}")),
        }
    }
    pinned.end(session);
    Ok(ExitCode::from(code))
}

impl Pinned {
    fn overlay(&self) -> &Overlay {
        match self {
            Self::Kept(kept) => kept.overlay(),
            Self::ForNow(applied) => applied.overlay(),
        }
    }

    fn verify(&self, checkout: &Checkout, pins: &Pins) -> Result<Verification, ToolError> {
        match self {
            Self::Kept(kept) => kept.verify(&checkout.project(), &pins.pins),
            Self::ForNow(applied) => applied.verify(),
        }
    }

    /// Undoes what was for the command alone.
    fn end(self, session: &Session) {
        let Self::ForNow(applied) = self else {
            return;
        };
        match applied.undo() {
            Ok(undone) => tell_restored(session, &undone),
            Err(UndoError::Changed(files)) => {
                for file in files {
                    session.terminal.warn(format_args!(
                        "`{}` changed while the command ran, so it keeps the pins",
                        file.path.display()
                    ));
                }
                session
                    .terminal
                    .warn("`pinion undo` shows the difference and can put the files back");
            }
            Err(error) => session
                .terminal
                .warn(format_args!("{error}; `pinion undo` tries again")),
        }
    }
}
