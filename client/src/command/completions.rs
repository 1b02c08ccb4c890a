//! `pinion completions`: a completion script.

use clap::CommandFactory as _;

use crate::args::{Args, release};
use crate::failure::Failure;
use crate::session::Session;

pub(super) fn completions(session: &Session, args: &release::Completions) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Args::command(), "pinion", &mut script);
    session.terminal.print(&String::from_utf8_lossy(&script));
    Ok(())
}
