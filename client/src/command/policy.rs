//! `pinion policy`: check a policy file and simulate what it would do, for which no server is asked; and show what holds.

mod monte_carlo;
mod report;
mod simulate;

use std::path::Path;

use pinion_client::v1;
use pinion_core::policy::Policy as Effective;

use crate::args::policy::{Policy, ShowPolicy};
use crate::effective_policy::{effective, with_defaults};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::policy_file::read_policy;
use crate::session::Session;
use crate::view;

pub(super) async fn policy(session: &Session, args: &Policy) -> Result<(), Failure> {
    match args {
        Policy::Check { file } => check(session, file),
        Policy::Show(args) => show(session, args).await,
        Policy::Simulate(args) => simulate::simulate(session, args),
    }
}

/// The rules of a pin set, or those that a candidate would have.
async fn show(session: &Session, args: &ShowPolicy) -> Result<(), Failure> {
    let connection = session.connect()?;
    let mut client = connection.pin_sets();
    if args.packages.is_empty() {
        let request = v1::GetPinSetRequest {
            name: args.pin_set.clone(),
            page_size: 1,
            ..Default::default()
        };
        let set = connection.answer(client.get_pin_set(request)).await?;
        let policy = set.pin_set.and_then(|set| set.policy).unwrap_or_default();
        session.terminal.answer(&policy, || view::policy(&policy));
        return Ok(());
    }
    if args.packages.len() != args.to.len() {
        let words = format!(
            "{} packages and {} versions; give a `--to` for each `--package`",
            args.packages.len(),
            args.to.len()
        );
        return Err(Failure::new(Exit::Usage, words));
    }
    let candidates = args.packages.iter().zip(&args.to);
    let request = v1::ResolvePolicyRequest {
        pin_set: args.pin_set.clone(),
        candidates: candidates
            .map(|(package, version)| v1::ResolvedCandidate {
                package: package.clone(),
                version: version.clone(),
            })
            .collect(),
        security: args.security,
    };
    let response = connection.answer(client.resolve_policy(request)).await?;
    session
        .terminal
        .answer(&response, || view::resolved_policy(&response));
    Ok(())
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
        let sentence = format!("`{}` is no policy: {}", file.display(), problem.words);
        Failure::new(Exit::Invalid, sentence)
    })?;
    Ok((policy, effective))
}
