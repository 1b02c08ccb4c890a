//! `pinion policy simulate`: what a policy would do, good candidates and bad ones, next to other ways.

use indicatif::{ProgressBar, ProgressStyle};
use pinion_core::policy::Policy;
use pinion_core::simulation::{Harm, Rule, Scenario};

use crate::args::policy::SimulatePolicy;
use crate::failure::Failure;
use crate::session::Session;

use super::monte_carlo::tallies;
use super::plot;
use super::report::{Report, Row};

/// What a candidate may do, with its name for people.
const CANDIDATES: [(&str, Harm); 7] = [
    ("harmless", Harm::None),
    ("breaks 90 %", Harm::Break),
    ("breaks with another one (25 %)", Harm::BreakWithOther),
    ("breaks one platform (5 %)", Harm::BreakOnPlatform),
    ("20 points more failing days", Harm::BadDays(0.20)),
    ("5 points more failing days", Harm::BadDays(0.05)),
    ("2 points more failing days", Harm::BadDays(0.02)),
];
const RULES: [(&str, Rule); 4] = [
    ("Pinion", Rule::Pinion),
    ("5-point threshold", Rule::Threshold),
    ("10 % every 2 h", Rule::Ramp),
    ("everyone at once", Rule::EveryoneAtOnce),
];

pub(super) fn simulate(session: &Session, args: &SimulatePolicy) -> Result<(), Failure> {
    let mut policy = match &args.policy {
        Some(file) => super::read(file)?.1,
        None => Policy::default(),
    };
    policy.repeat_failures |= args.verified;
    let report = report(session, args, policy);
    match session.terminal.is_json() {
        true => session.terminal.print(&format!("{:#}\n", report.to_json())),
        false => session.terminal.print(&report.to_text()),
    }
    if let Some(path) = &args.plot {
        std::fs::write(path, plot::svg(&report))
            .map_err(|cause| Failure::file("write", path, &cause))?;
        session
            .terminal
            .note(format_args!("the picture is in `{}`", path.display()));
    }
    Ok(())
}

fn report(session: &Session, args: &SimulatePolicy, policy: Policy) -> Report {
    let harmless = Scenario::new(policy, args.fleet, args.failure_rate);
    let scenarios: Vec<Scenario> = CANDIDATES
        .iter()
        .flat_map(|(_, harm)| RULES.map(|(_, rule)| (*harm, rule)))
        .map(|(harm, rule)| Scenario {
            harm,
            rule,
            ..harmless.clone()
        })
        .collect();
    let bar = progress(session, scenarios.len() as u64 * args.rollouts);
    let found = tallies(&scenarios, args.rollouts, args.seed, || bar.inc(1));
    bar.finish_and_clear();
    let names = CANDIDATES
        .iter()
        .flat_map(|(candidate, _)| RULES.map(|(rule, _)| (*candidate, rule)));
    Report {
        environments: args.fleet,
        failure_rate: args.failure_rate,
        verified: harmless.policy.repeat_failures,
        rollouts: args.rollouts,
        seed: args.seed,
        alpha: harmless.policy.alpha,
        rows: names
            .zip(found)
            .map(|((candidate, rule), tally)| Row {
                candidate,
                rule,
                tally,
            })
            .collect(),
    }
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
