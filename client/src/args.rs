//! The command line, as typed. What the arguments mean is decided in `command/`.

pub(crate) mod audit;
pub(crate) mod environment;
pub(crate) mod figures;
pub(crate) mod gate;
pub(crate) mod policy;
pub(crate) mod release;

#[cfg(test)]
mod ci_examples;

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use crate::exit::TABLE;

/// Staged rollouts of dependencies: pull pins, report outcomes, run rollouts.
#[derive(Debug, Parser)]
#[command(name = "pinion", version, after_help = TABLE)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) globals: Globals,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options that every subcommand takes.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Globals {
    /// The server, such as `https://pinion.example:7460`; of several on one store, their URLs, separated by commas.
    ///
    /// Of several, one at random is asked, and the next where it fails.
    ///
    /// Without it: the user's configuration, then the server that this checkout joined. What a joined
    /// checkout does for itself (sync, run, hold, leave) always goes to the server it joined.
    #[arg(long, global = true, value_name = "URL", env = "PINION_SERVER")]
    pub(crate) server: Option<String>,
    /// A file that holds the token alone. Without it: PINION_TOKEN, the file named by
    /// PINION_TOKEN_FILE, the user's configuration, this checkout's own token.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Certificate authorities to trust instead of the system's, PEM.
    #[arg(long, global = true, value_name = "FILE", env = "PINION_CA_FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// Allow plain http to other hosts: everybody on the way can read the token.
    #[arg(long, global = true)]
    pub(crate) insecure_http: bool,
    /// The checkout: this directory, or the nearest one above it that has joined.
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        default_value = ".",
        hide_default_value = true
    )]
    pub(crate) dir: PathBuf,
    /// Tables and sentences, or the server's answer as JSON.
    #[arg(long, global = true, value_name = "FORM", default_value = "text")]
    pub(crate) output: Output,
    /// Colour; `auto`: on a terminal, unless NO_COLOR is set.
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: Color,
    /// Print no notes on stderr, only warnings and errors.
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
}

/// How answers are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// When there is colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What is asked for.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Enrol this checkout, so that it follows a pin set.
    Join(environment::Join),
    /// Forget this checkout, on the server and here.
    Leave(environment::Leave),
    /// Fetch the pins and apply them to the checkout.
    Sync(environment::Sync),
    /// Run one command with the pins, applied for that time only.
    Exec(environment::Exec),
    /// Print the variables of the applied pins, for a shell or direnv.
    Env(environment::Env),
    /// Say which of the applied pins really took.
    Verify(environment::Verify),
    /// Put back every file that applying pins changed.
    Undo(environment::Undo),
    /// Run a command with the pins, and report how it went if the owner agreed.
    Run(environment::Run),
    /// Report an outcome from test reports that were written elsewhere.
    Report(environment::Report),
    /// Show what test reports would become; nothing is sent.
    Ingest(environment::Ingest),
    /// Say why this checkout has a package's version.
    Why(environment::Why),
    /// Say who this checkout is, what it follows and what it reports.
    Status,
    /// Look whether everything is as it must be, and say what to do where it is not.
    ///
    /// Exits with 1 if there is a problem; warnings are none.
    Doctor,
    /// Refuse candidates of a package, or one version of it.
    Hold(environment::Hold),
    /// Take a hold back.
    Unhold(environment::Hold),
    /// Refuse one version of a package for good.
    Never(environment::Never),
    /// Take candidates of a package at once, as a volunteer.
    Now(environment::Now),
    /// Find which changed pins break a command.
    Bisect(environment::Bisect),
    /// Show, give or withdraw the agreement to repeat failing runs with the baseline.
    #[command(subcommand)]
    Repeat(environment::Repeat),
    /// Show, give or withdraw the consent to report.
    #[command(subcommand)]
    Telemetry(environment::Telemetry),
    /// Create, fill and read pin sets.
    #[command(subcommand, name = "pin-set")]
    PinSet(release::PinSet),
    /// Start, watch and stop rollouts.
    #[command(subcommand)]
    Rollout(release::Rollout),
    /// See where changes are filed, and whether they can be.
    #[command(subcommand)]
    Forge(release::Forge),
    /// See what people are told without looking, and try the routes by which they are.
    #[command(subcommand)]
    Notice(release::Notice),
    /// See where versions are published, and whether that can be read.
    #[command(subcommand)]
    Index(release::Index),
    /// Say how delivery goes: how often, how fast, how often taken back, how soon restored.
    Figures(figures::Figures),
    /// See what was done, export it, and check that it is still what it was.
    #[command(subcommand)]
    Audit(audit::Audit),
    /// Run a consumer's tests with a candidate before anybody gets it.
    #[command(subcommand)]
    Gate(gate::Gate),
    /// Check a policy, and simulate what it would do.
    #[command(subcommand)]
    Policy(policy::Policy),
    /// Create, list and revoke tokens.
    #[command(subcommand)]
    Token(release::Token),
    /// Print a completion script for a shell.
    Completions(release::Completions),
    /// Print the manual page, or write all of them into a directory.
    Man(release::Man),
}
