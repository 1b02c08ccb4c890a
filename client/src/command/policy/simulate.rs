//! `pinion policy simulate`: what a policy would do, good candidates and bad ones, next to other ways.

use indicatif::{ProgressBar, ProgressStyle};
use pinion_core::policy::Policy;
use pinion_core::simulation::{Comparison, svg};

use crate::args::policy::SimulatePolicy;
use crate::failure::Failure;
use crate::session::Session;

use super::monte_carlo::tallies;
use super::report;

pub(super) fn simulate(session: &Session, args: &SimulatePolicy) -> Result<(), Failure> {
    let mut policy = match &args.policy {
        Some(file) => super::read(file)?.1,
        None => Policy::default(),
    };
    policy.repeat_failures |= args.verified;
    let Some(compared) = compared(session, args, &policy) else {
        return Ok(());
    };
    match session.terminal.is_json() {
        true => session
            .terminal
            .print(&format!("{:#}\n", report::to_json(&compared))),
        false => session.terminal.print(&report::to_text(&compared)),
    }
    if let Some(path) = &args.plot {
        std::fs::write(path, svg(&compared))
            .map_err(|cause| Failure::file("write", path, &cause))?;
        session
            .terminal
            .note(format_args!("the picture is in `{}`", path.display()));
    }
    Ok(())
}

fn compared(session: &Session, args: &SimulatePolicy, policy: &Policy) -> Option<Comparison> {
    let scenarios = Comparison::scenarios(policy, args.fleet, args.failure_rate);
    let bar = progress(session, scenarios.len() as u64 * args.rollouts);
    let found = tallies(&scenarios, args.rollouts, args.seed, || bar.inc(1));
    bar.finish_and_clear();
    Comparison::of(&scenarios, found, args.seed)
}

/// A bar on stderr; without a terminal there, or where notes are silenced, nothing.
fn progress(session: &Session, simulations: u64) -> ProgressBar {
    if session.globals.quiet {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("simulating {bar:40} {percent:>3} % {eta:>5} to go")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(simulations).with_style(style)
}
