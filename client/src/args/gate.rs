//! What a consumer's CI types.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Parser, Subcommand};
use pinion_client::adapters::Tool;

use super::environment::{Category, tool};

/// `pinion gate`.
#[derive(Debug, Subcommand)]
pub(crate) enum Gate {
    /// List the gates of rollouts that nobody has the candidate of yet.
    List {
        /// Only of this consumer.
        #[arg(
            long,
            value_name = "NAME",
            default_value = "",
            hide_default_value = true
        )]
        consumer: String,
        /// Only of this pin set.
        #[arg(
            long,
            value_name = "NAME",
            default_value = "",
            hide_default_value = true
        )]
        pin_set: String,
    },
    /// Run a consumer's tests with the oldest candidate that waits for them, and report how it went.
    Run(RunGate),
}

/// `pinion gate run`.
#[derive(Debug, Parser)]
#[command(after_long_help = "\
Takes the oldest gate that waits for the consumer, puts the pins of its candidate in place for the command (as \
`pinion exec` does: PIP_CONSTRAINT, GOWORK, ..., or edits that are undone), runs it, and reports what `pinion run` \
would. It exits with 0 and runs nothing when nothing waits, so it can run every few minutes. No checkout needs to \
have joined, and no consent is asked: a CI job acts for its owner, by a token of the role ci.

The command must install what it tests, or --install must: the pins take with the next install. If the candidate is \
found not to have taken, a run that passed is not reported and pinion exits with 1; --no-verify is for commands that \
install elsewhere, such as tox.

A failing run is repeated by the next job that takes the gate, until one passes or as many in a row failed as the \
policy's gate_runs. Nothing is reported of a command that somebody stopped, by Ctrl-C or SIGTERM: its gate waits \
again when the lease runs out.

pinion exits as the command did (see `pinion run`). When the command passed and its report was not taken, it exits \
with 5 if the server is away, else with 1.

  pinion gate run --consumer nova --install 'pip install -r requirements.txt' -- pytest -q")]
pub(crate) struct RunGate {
    /// Whose tests these are, as the policy names it.
    #[arg(long, value_name = "NAME")]
    pub(crate) consumer: String,
    /// Only candidates of this pin set.
    #[arg(
        long,
        value_name = "NAME",
        default_value = "",
        hide_default_value = true
    )]
    pub(crate) pin_set: String,
    /// A shell command that installs the packages; if it fails, that is the outcome.
    #[arg(long, value_name = "LINE")]
    pub(crate) install: Option<String>,
    /// A test report that the command writes, or a pattern in quotes such as 'reports/*.xml'; may be given
    /// several times.
    #[arg(long, visible_alias = "junit", value_name = "FILE")]
    pub(crate) report: Vec<PathBuf>,
    /// Where to see more, for people; without it: the job's page, where GitHub, GitLab or Jenkins tell it.
    #[arg(long, value_name = "URL")]
    pub(crate) link: Option<String>,
    /// The tool that the pins are for; without it: what lockfiles and manifests tell.
    #[arg(long, value_name = "NAME", value_parser = tool())]
    pub(crate) tool: Option<Tool>,
    /// Do not look whether the candidate took.
    #[arg(long)]
    pub(crate) no_verify: bool,
    /// What a failure of this command means.
    #[arg(long, value_name = "CATEGORY", default_value = "test")]
    pub(crate) category: Category,
    /// The command and its arguments.
    #[arg(
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "COMMAND"
    )]
    pub(crate) command: Vec<OsString>,
}
