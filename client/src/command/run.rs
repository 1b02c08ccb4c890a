//! `pinion run`: a command with the pins, and the report of how it went.
//!
//! The command comes first: nothing here may change how it ends, or keep it waiting for a server.

mod child;
mod junit_files;
mod reporting;

use std::process::ExitCode;

use pinion_client::ingest::{Ending, Verdict, conclude};
use pinion_client::{Run, v1};

use crate::args::environment::{Category, Run as RunArgs};
use crate::checkout::{Checkout, SavedPins};
use crate::failure::Failure;
use crate::session::{Session, do_not_track};

use child::Command;
use junit_files::JunitFiles;
use reporting::Reporting;

use super::sync::location;

pub(super) async fn run(session: &Session, args: &RunArgs) -> Result<ExitCode, Failure> {
    let checkout = session.joined()?;
    let pins = checkout.saved_pins()?;
    let constraints = checkout.constraints();
    let usable = pins.as_ref().filter(|_| constraints.is_file());
    if usable.is_none() {
        session
            .terminal
            .warn("there are no pins yet, so the command runs without; `pinion sync` fetches them");
    }
    let pinned = usable.map(|_| location(&constraints));
    let junit = JunitFiles::before(&args.junit);

    let mut command = match Command::spawn(&args.command, pinned.as_deref()) {
        Ok(command) => command,
        Err(error) => {
            session
                .terminal
                .warn(format_args!("{error}; nothing is reported"));
            return Ok(ExitCode::from(error.exit_code()));
        }
    };
    let reporting = begin(session, &checkout, usable);
    let ending = command.ending().await;
    let verdict = conclude(
        ending,
        &junit.after(&session.terminal),
        stated(args.category),
    );
    if let Verdict::Failed {
        despite_exit_0: true,
        ..
    } = verdict
    {
        let note =
            "the command exited with 0, but its test report has failures: reported as failed";
        session.terminal.warn(note);
    }
    if let Some(reporting) = reporting {
        reporting.end(session, &verdict).await;
    }
    Ok(ExitCode::from(child::exit_code(ending)))
}

/// Announces the run, unless its owner did not agree to that.
fn begin(session: &Session, checkout: &Checkout, pins: Option<&SavedPins>) -> Option<Reporting> {
    if !checkout.membership.consent.keeps() {
        return None;
    }
    if do_not_track() {
        session
            .terminal
            .note("DO_NOT_TRACK is set: nothing is reported");
        return None;
    }
    let run = match pins {
        Some(pins) => Run::with(&pins.etag, &pins.rollouts),
        None => Run::with("", &[]),
    };
    Some(Reporting::begin(session, checkout, run))
}

fn stated(category: Category) -> v1::Category {
    match category {
        Category::Install => v1::Category::Install,
        Category::Build => v1::Category::Build,
        Category::Test => v1::Category::Test,
    }
}

/// The status that the ending of a command is told by.
fn status(ending: Ending) -> i32 {
    match ending {
        Ending::Exit(status) => status,
        Ending::Signal(signal) => 128 + signal,
    }
}
