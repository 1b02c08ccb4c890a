//! `pinion policy`: check a policy file, and simulate what it would do. No server is asked.

mod monte_carlo;
mod plot;
mod report;
mod simulate;

use std::path::Path;

use pinion_client::v1;
use pinion_core::policy::Policy as Effective;

use crate::args::policy::Policy;
use crate::effective_policy::{effective, with_defaults};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::policy_file::read_policy;
use crate::session::Session;
use crate::view;

pub(super) fn policy(session: &Session, args: &Policy) -> Result<(), Failure> {
    match args {
        Policy::Check { file } => check(session, file),
        Policy::Simulate(args) => simulate::simulate(session, args),
    }
}

fn check(session: &Session, file: &Path) -> Result<(), Failure> {
    let (policy, _) = read(file)?;
    session.terminal.answer(&policy, || view::policy(&policy));
    session
        .terminal
        .note(format_args!("`{}` is a policy", file.display()));
    Ok(())
}

/// A policy file with every default, as it is shown and as it is decided by.
fn read(file: &Path) -> Result<(v1::Policy, Effective), Failure> {
    let policy = with_defaults(read_policy(file)?);
    let effective = effective(&policy).map_err(|problem| {
        let sentence = format!("`{}` is no policy: {problem}", file.display());
        Failure::new(Exit::Invalid, sentence)
    })?;
    Ok((policy, effective))
}
