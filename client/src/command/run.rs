//! `pinion run`: a command with the pins, and the report of how it went.
//!
//! The command comes first: nothing here may change how it ends, or keep it waiting for a server.

pub(super) mod child;
mod output;
mod repetition;
mod reporting;
pub(super) mod written_reports;

use std::ffi::OsString;
use std::process::ExitCode;

use jiff::Timestamp;
use pinion_client::adapters::Kept;
use pinion_client::ingest::{Ending, Fingerprint, Verdict, category_of_output, conclude};
use pinion_client::{Run, v1};

use crate::args::environment::{Category, Run as RunArgs};
use crate::checkout::{Checkout, SavedPins};
use crate::failure::Failure;
use crate::session::{Session, do_not_track};

use child::Command;
use repetition::Repeatable;
use reporting::Reporting;
use written_reports::WrittenReports;

use super::apply;

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
    let environment = usable.map(|_| environment(&checkout)).unwrap_or_default();
    let reports = WrittenReports::before(&args.report);

    let spawned = match args.read_output {
        true => Command::spawn_read(&args.command, environment)
            .map(|(command, output)| (command, Some(output))),
        false => Command::spawn_with(&args.command, environment).map(|command| (command, None)),
    };
    let (mut command, output) = match spawned {
        Ok(spawned) => spawned,
        Err(error) => {
            session
                .terminal
                .warn(format_args!("{error}; nothing is reported"));
            return Ok(ExitCode::from(error.exit_code()));
        }
    };
    let reporting = begin(session, &checkout, usable);
    let ending = command.ending().await;
    let tail = output.map(output::Output::tail);
    let category = kind(args.category, tail.as_deref());
    let verdict = conclude(ending, &reports.after(&session.terminal), category);
    let verdict = verdict.or_look(|| Fingerprint::of_output(tail.as_deref()?));
    warn_of_contradiction(session, &verdict);
    if let Some(mut reporting) = reporting {
        if let Some(pins) = usable
            && let Some(took) = rollouts_that_took(session, &checkout, pins).await
        {
            reporting.narrow(&took);
        }
        let repeat = match verdict {
            Verdict::Failed { .. } if !was_stopped(ending) => {
                repeat(session, &checkout, usable, args, category).await
            }
            _ => v1::Repeat::Unspecified,
        };
        reporting.end(session, &verdict, repeat).await;
    }
    Ok(ExitCode::from(child::exit_code(ending)))
}

/// Says so where the command claims success and its tests do not.
pub(super) fn warn_of_contradiction(session: &Session, verdict: &Verdict) {
    if let Verdict::Failed {
        despite_exit_0: true,
        ..
    } = verdict
    {
        let note =
            "the command exited with 0, but its test report has failures: reported as failed";
        session.terminal.warn(note);
    }
}

/// The kind of a failure about which no report says anything: as stated, or as the output shows.
fn kind(stated_as: Option<Category>, tail: Option<&str>) -> v1::Category {
    let shown = || tail.and_then(category_of_output);
    let stated_as = stated_as.map(stated);
    stated_as.or_else(shown).unwrap_or(v1::Category::Test)
}

/// Whether somebody stopped the command, who would not want to wait for it again.
pub(super) fn was_stopped(ending: Ending) -> bool {
    matches!(status(ending), 130 | 143)
}

/// Repeats the run with the baseline if its owner agreed and the server asks for it.
async fn repeat(
    session: &Session,
    checkout: &Checkout,
    pins: Option<&SavedPins>,
    args: &RunArgs,
    category: v1::Category,
) -> v1::Repeat {
    let asked = pins.is_some_and(|pins| pins.repeat_failures);
    let membership = &checkout.membership;
    match membership.repeat.as_deref() {
        Some(prepare) if asked && membership.consent.sends() => {
            let run = Repeatable {
                command: &args.command,
                reports: &args.report,
                category,
            };
            repetition::repeat(session, checkout, prepare, run).await
        }
        _ => v1::Repeat::Unspecified,
    }
}

/// The variables of what the last sync applied.
fn environment(checkout: &Checkout) -> Vec<(OsString, OsString)> {
    match Kept::find(&checkout.project()) {
        Ok(Some(kept)) => kept.overlay().environment(),
        _ => Vec::new(),
    }
}

/// The rollouts whose candidate this run really had; nothing if nobody can tell.
///
/// The tool is asked again only if it may have changed since: listing takes about half a second, which
/// every run would wait for.
async fn rollouts_that_took(
    session: &Session,
    checkout: &Checkout,
    pins: &SavedPins,
) -> Option<Vec<String>> {
    let taken = checkout.taken().ok()?;
    if !pins.may_have_changed(taken.as_ref(), Timestamp::now()) {
        return Some(pins.rollouts_that_took(taken.as_ref()));
    }
    let project = checkout.project();
    let kept = Kept::find(&project).ok()??;
    let whole = pins.whole().filter(|pins| pins.etag == kept.etag())?;
    let list = whole.pins.clone();
    // Meanwhile the announcement goes on its way.
    let listing = tokio::task::spawn_blocking(move || kept.verify(&project, &list));
    let found = listing.await.ok()?.ok()?;
    apply::tell(session, checkout, &whole, &found).ok()?;
    let taken = checkout.taken().ok()?;
    Some(pins.rollouts_that_took(taken.as_ref()))
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

pub(super) fn stated(category: Category) -> v1::Category {
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
