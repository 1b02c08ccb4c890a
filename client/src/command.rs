//! The subcommands, one file each; here only who does what.

mod apply;
mod audit;
mod bisect;
mod completions;
mod consent;
mod doctor;
mod env;
mod exec;
mod figures;
mod forge;
mod gate;
mod hold;
mod index;
mod ingest;
mod join;
mod leave;
mod man;
mod notice;
mod now;
mod pin_set;
mod policy;
mod repeat;
mod report;
mod report_files;
mod rollout;
mod run;
mod status;
mod sync;
mod telemetry;
mod token;
mod undo;
mod verify;
mod watch;
mod why;

use std::process::ExitCode;

use crate::args::{Args, Command};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::terminal::Terminal;

/// Does what was asked and says how the process should exit.
pub(crate) async fn run(args: Args) -> ExitCode {
    let session = Session {
        terminal: Terminal::new(&args.globals),
        globals: args.globals,
    };
    match dispatch(&session, args.command).await {
        Ok(code) => code,
        Err(failure) => {
            session.terminal.fail(&failure);
            failure.exit.into()
        }
    }
}

async fn dispatch(session: &Session, command: Command) -> Result<ExitCode, Failure> {
    let done = match command {
        Command::Run(args) => return run::run(session, &args).await,
        Command::Doctor => return doctor::doctor(session).await,
        Command::Bisect(args) => return bisect::bisect(session, &args).await,
        Command::Exec(args) => return exec::exec(session, &args).await,
        Command::Verify(_) => return verify::verify(session),
        Command::Forge(args) => return forge::forge(session, args).await,
        Command::Notice(args) => return notice::notice(session, args).await,
        Command::Index(args) => return index::index(session, args).await,
        Command::Audit(args) => return audit::audit(session, args).await,
        Command::Gate(args) => return gate::gate(session, args).await,
        Command::Rollout(args) => return rollout::rollout(session, args).await,
        Command::Join(args) => join::join(session, &args).await,
        Command::Leave(args) => leave::leave(session, &args).await,
        Command::Sync(args) => sync::sync(session, &args).await,
        Command::Env(args) => env::env(session, &args),
        Command::Undo(args) => undo::undo(session, &args),
        Command::Report(args) => report::report(session, &args).await,
        Command::Ingest(args) => return ingest::ingest(session, &args),
        Command::Repeat(args) => repeat::repeat(session, args).await,
        Command::Why(args) => why::why(session, args).await,
        Command::Status => status::status(session).await,
        Command::Hold(args) => hold::hold(session, args).await,
        Command::Unhold(args) => hold::unhold(session, args).await,
        Command::Never(args) => hold::never(session, args).await,
        Command::Now(args) => now::now(session, args).await,
        Command::Telemetry(args) => telemetry::telemetry(session, &args).await,
        Command::Figures(args) => figures::figures(session, args).await,
        Command::Policy(args) => policy::policy(session, &args).await,
        Command::PinSet(args) => pin_set::pin_set(session, args).await,
        Command::Token(args) => token::token(session, args).await,
        Command::Completions(args) => completions::completions(session, &args),
        Command::Man(args) => man::man(session, &args),
    };
    done.map(|()| Exit::Ok.into())
}
