//! `pinion gate run`: a consumer's tests with a candidate's pins, and the report of how they went.

use std::ffi::OsString;
use std::process::ExitCode;

use pinion_client::ingest::{Ending, Verdict, conclude};
use pinion_client::{Pins, v1};

use crate::args::gate::RunGate;
use crate::command::run::child::{self, Command, SpawnError};
use crate::command::run::written_reports::WrittenReports;
use crate::command::run::{stated, warn_of_contradiction, was_stopped};
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

/// What a job came to.
enum Job {
    /// Something that is to be reported.
    Ran(Ran),
    /// Nothing that says anything of the candidate.
    Void(ExitCode),
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
    let Ran { ending, verdict } = match job(session, args, &lease).await {
        Ok(Job::Ran(ran)) => ran,
        void => {
            report::release(session, &connection, &lease.lease_id).await;
            return void.map(Job::code);
        }
    };
    let code = child::exit_code(ending);
    match report::send(session, &connection, &lease.lease_id, &verdict, link).await {
        Err(failure) if code == 0 => Err(failure),
        // The command's own failure comes first.
        Err(failure) => {
            session.terminal.fail(&failure);
            Ok(ExitCode::from(code))
        }
        Ok(()) => Ok(ExitCode::from(code)),
    }
}

impl Job {
    fn code(self) -> ExitCode {
        match self {
            Self::Ran(ran) => ExitCode::from(child::exit_code(ran.ending)),
            Self::Void(code) => code,
        }
    }
}

/// Runs the commands with the candidate's pins in place, and says what cannot be reported.
async fn job(session: &Session, args: &RunGate, lease: &v1::GateLease) -> Result<Job, Failure> {
    let terminal = &session.terminal;
    let gate = lease.gate.clone().unwrap_or_default();
    terminal.note(format_args!(
        "the tests of {} with {} (rollout {}), to be reported by {}",
        gate.consumer,
        view::changes(&gate.changes),
        gate.rollout,
        show_time(lease.expire_time.as_ref())
    ));
    let pinned = Pinned::put(session, &pins_of(lease, &gate), args.tool)?;
    let ran = commands(session, args, &pinned).await;
    let missed = match &ran {
        // A failure counts whatever took: that the candidate cannot be installed is one.
        Ok(ran) if ran.verdict == Verdict::Passed && !args.no_verify => {
            pinned.missed(session, &gate.changes)
        }
        _ => Vec::new(),
    };
    pinned.end(session);
    match ran {
        Err(error) => {
            terminal.warn(format_args!("{error}; nothing is reported"));
            Ok(Job::Void(ExitCode::from(error.exit_code())))
        }
        Ok(ran) if was_stopped(ran.ending) => {
            terminal.warn("the command was stopped, so nothing is reported");
            Ok(Job::Void(ExitCode::from(child::exit_code(ran.ending))))
        }
        Ok(_) if !missed.is_empty() => Err(without_candidate(&missed)),
        Ok(ran) => Ok(Job::Ran(ran)),
    }
}

fn without_candidate(missed: &[String]) -> Failure {
    let sentence = format!(
        "the command passed without the candidate, so nothing is reported: {}",
        missed.join(", ")
    );
    Failure::new(Exit::Refused, sentence)
        .next("install what is tested in the command or by --install")
        .next("--no-verify reports it all the same, for a command that installs elsewhere")
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
    warn_of_contradiction(session, &verdict);
    Ok(Ran { ending, verdict })
}
