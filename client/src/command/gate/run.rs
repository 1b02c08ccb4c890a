//! `pinion gate run`: a consumer's tests with a candidate's pins, and the report of how they went.

use std::ffi::OsString;
use std::process::ExitCode;

use pinion_client::ingest::{Ending, Verdict, conclude};
use pinion_client::{Pins, v1};

use crate::args::gate::RunGate;
use crate::command::run::child::{self, Command, SpawnError};
use crate::command::run::written_reports::WrittenReports;
use crate::command::run::{stated, was_stopped};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::times::show_time;
use crate::view;

use super::place::Pinned;
use super::report::{self, Link};

/// How the job's commands went.
struct Ran {
    ending: Ending,
    verdict: Verdict,
}

pub(super) async fn run(session: &Session, args: &RunGate) -> Result<ExitCode, Failure> {
    let link = Link::of(args.link.as_deref());
    let connection = session.connect()?;
    let mut client = connection.gates();
    let request = v1::LeaseGateRequest {
        consumer: args.consumer.clone(),
        pin_set: args.pin_set.clone(),
    };
    let response = connection.answer(client.lease_gate(request)).await?;
    let Some(lease) = response.lease else {
        let words = format!("no gate waits for `{}`", args.consumer);
        session.terminal.note(words);
        return Ok(Exit::Ok.into());
    };
    let gate = lease.gate.clone().unwrap_or_default();
    session.terminal.note(format_args!(
        "the tests of {} with {} (rollout {}), to be reported by {}",
        gate.consumer,
        view::changes(&gate.changes),
        gate.rollout,
        show_time(lease.expire_time.as_ref())
    ));
    let pinned = Pinned::put(session, &pins_of(&lease, &gate), args.tool)?;
    let ran = commands(session, args, &pinned).await;
    let missed = match &ran {
        Ok(_) if args.no_verify => Vec::new(),
        Ok(_) => pinned.missed(session, &gate.changes),
        Err(_) => Vec::new(),
    };
    pinned.end(session);
    let Ran { ending, verdict } = match ran {
        Ok(ran) => ran,
        // Nothing ran, so nothing is known of the candidate.
        Err(error) => {
            session
                .terminal
                .warn(format_args!("{error}; nothing is reported"));
            return Ok(ExitCode::from(error.exit_code()));
        }
    };
    let code = child::exit_code(ending);
    if was_stopped(ending) {
        session
            .terminal
            .warn("the command was stopped, so nothing is reported; the gate waits again when the lease has run out");
        return Ok(ExitCode::from(code));
    }
    if verdict == Verdict::Passed && !missed.is_empty() {
        let sentence = format!(
            "the command passed without the candidate, so nothing is reported: {}",
            missed.join(", ")
        );
        return Err(Failure::new(Exit::Refused, sentence)
            .next("install what is tested in the command or by --install")
            .next("--no-verify reports it all the same, for a command that installs elsewhere"));
    }
    let told = report::send(session, &connection, &lease.lease_id, &verdict, link).await;
    match (told, code) {
        (Ok(()), code) => Ok(ExitCode::from(code)),
        (Err(failure), 0) => Err(failure),
        // The command's own failure comes first.
        (Err(failure), code) => {
            session.terminal.fail(&failure);
            Ok(ExitCode::from(code))
        }
    }
}

/// The candidate's pins, as an environment would get them.
fn pins_of(lease: &v1::GateLease, gate: &v1::Gate) -> Pins {
    Pins {
        etag: gate.rollout.clone(),
        pin_set: gate.pin_set.clone(),
        ecosystem: lease.ecosystem(),
        revision: lease.revision,
        pins: lease.pins.clone(),
        verbatim_lines: lease.verbatim_lines.clone(),
        rollouts: vec![gate.rollout.clone()],
        repeat_failures: false,
        exposures: Vec::new(),
    }
}

/// Installs, if that was asked for, and runs the command.
async fn commands(session: &Session, args: &RunGate, pinned: &Pinned) -> Result<Ran, SpawnError> {
    if let Some(line) = &args.install {
        let shell = ["sh", "-c", line].map(OsString::from);
        let ending = Command::spawn_with(&shell, pinned.environment())?
            .ending()
            .await;
        if ending != Ending::Exit(0) {
            let verdict = conclude(ending, &[], v1::Category::Install);
            return Ok(Ran { ending, verdict });
        }
    }
    let reports = WrittenReports::before(&args.report);
    let mut command = Command::spawn_with(&args.command, pinned.environment())?;
    let ending = command.ending().await;
    let written = reports.after(&session.terminal);
    let verdict = conclude(ending, &written, stated(args.category));
    Ok(Ran { ending, verdict })
}
