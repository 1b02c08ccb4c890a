//! What the owner of a checkout types.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

/// `pinion join`.
#[derive(Debug, Parser)]
#[command(after_long_help = "\
The token that enrols (role environment or ci) comes from --token-file, PINION_TOKEN, the file named by \
PINION_TOKEN_FILE, or stdin. The checkout gets a token of its own, kept in the user's state directory \
(XDG_STATE_HOME, else ~/.local/state) with mode 0600. No file of the checkout is touched.

Reporting is off unless it is agreed to: on a terminal you are asked, elsewhere it takes \
--accept-reporting. DO_NOT_TRACK=1 in the environment always means no.")]
pub(crate) struct Join {
    /// The pin set to follow.
    #[arg(long, value_name = "NAME")]
    pub(crate) pin_set: String,
    /// Environments with the same key get candidates together and count as one.
    #[arg(
        long,
        value_name = "KEY",
        default_value = "",
        hide_default_value = true
    )]
    pub(crate) team: String,
    /// Such as linux-x86_64-py3.11; without it: this machine's system and processor.
    #[arg(long, value_name = "PLATFORM")]
    pub(crate) platform: Option<String>,
    /// Agree to report outcomes, without being asked.
    #[arg(long, conflicts_with = "no_reporting")]
    pub(crate) accept_reporting: bool,
    /// Report nothing, without being asked.
    #[arg(long)]
    pub(crate) no_reporting: bool,
}

/// `pinion leave`.
#[derive(Debug, Parser)]
pub(crate) struct Leave {
    /// Remove the local state only: for a server that is gone.
    #[arg(long)]
    pub(crate) local: bool,
}

/// `pinion sync`.
#[derive(Debug, Parser)]
#[command(after_long_help = "\
stdout has the lines that point pip and uv at the file and nothing else, so that this works:
  eval \"$(pinion sync)\"

When the server is away, the last good pins stay in use: a warning says how old they are, and the exit \
code is 0, or 5 with --fresh. Without any pins yet it is 5.")]
pub(crate) struct Sync {
    /// Write the constraints here as well as into the state directory.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// The shell that reads the printed lines.
    #[arg(long, value_name = "SHELL", default_value = "sh")]
    pub(crate) shell: Shell,
    /// Fail with 5 when the server is away, even though older pins are here.
    #[arg(long)]
    pub(crate) fresh: bool,
}

/// A shell whose syntax is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shell {
    /// POSIX sh, bash, zsh.
    Sh,
    /// fish.
    Fish,
}

/// `pinion run`.
#[derive(Debug, Parser)]
#[command(after_long_help = "\
The command gets PIP_CONSTRAINT and UV_CONSTRAINT, and the signals that pinion gets. pinion exits as it \
did: its own status, 128 + n after signal n, 127 if there is no such command, 126 if it cannot be run.

What is reported, and only with consent:
  passed        exit 0, and no failing test in a report
  crash         ended by a signal, or exit 129 to 159 (a shell's way of saying so)
  test          failing tests, whatever the exit status
  build         errors in the reports although no test ran (collection, imports, compilation)
  --category    any other exit; also when the reports are missing, cut off or old

So pytest's exit 2 (interrupted), 4 (usage error, as when a plugin is gone) and 5 (no tests collected) \
are failures of the stated category unless the reports say more.

Reports are JUnit XML, subunit v2, TAP, libtest JSON or `go test -json`; which, is told from the content. \
`pinion ingest FILE` shows what one would become.

A server that is away costs a fraction of a second and never the run: the report is kept and sent with \
the next run or sync, under the same id.")]
pub(crate) struct Run {
    /// A test report that the command writes, or a pattern in quotes such as 'reports/*.xml'; may be given
    /// several times.
    #[arg(long, visible_alias = "junit", value_name = "FILE")]
    pub(crate) report: Vec<PathBuf>,
    /// Read what the command prints, to tell failures apart about which no report says anything. Never
    /// what goes to a terminal; what is printed after the command's end, from the background, may be lost.
    #[arg(long)]
    pub(crate) read_output: bool,
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

/// `pinion report`.
#[derive(Debug, Parser)]
#[command(after_long_help = "\
For tests that ran elsewhere, as in another step of a CI job. Like `pinion run` it needs a checkout that \
has joined and whose owner agreed to report; the pins are those of the last `pinion sync`.

Without --exit-status the reports must say by themselves how it went: passed, if all of them are whole and \
there is a test; failed, if there is a failure in any. Else nothing is reported, and the exit code is 7.

When the server is away the exit code is 5; the report is kept and sent with the next run or sync.")]
pub(crate) struct Report {
    /// A test report, or a pattern in quotes such as 'reports/*.xml'; may be given several times.
    #[arg(long, value_name = "FILE", required_unless_present = "exit_status")]
    pub(crate) report: Vec<PathBuf>,
    /// What the command exited with; 128 + n for signal n.
    #[arg(long, value_name = "N")]
    pub(crate) exit_status: Option<u8>,
    /// What a failure of the command means.
    #[arg(long, value_name = "CATEGORY", default_value = "test")]
    pub(crate) category: Category,
}

/// `pinion ingest`.
#[derive(Debug, Parser)]
#[command(after_long_help = "\
Reads test reports as `pinion run` and `pinion report` do, prints what they would become, and sends \
nothing. No checkout needs to have joined.

Reports are JUnit XML, subunit v2, TAP, libtest JSON or `go test -json`; which, is told from the content. \
The exit code is 7 if a report is malformed, cut off or of no known kind (what was read until there is \
shown), and 3 if it is not there; failing tests are no error.")]
pub(crate) struct Ingest {
    /// A test report, a pattern in quotes such as 'reports/*.xml', or - for standard input.
    #[arg(value_name = "FILE", required_unless_present = "exit_status")]
    pub(crate) files: Vec<PathBuf>,
    /// What the command exited with, if that is to count too; 128 + n for signal n.
    #[arg(long, value_name = "N")]
    pub(crate) exit_status: Option<u8>,
    /// What a failure of the command means.
    #[arg(long, value_name = "CATEGORY", default_value = "test")]
    pub(crate) category: Category,
}

/// What a command does, and so what its failure means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Category {
    /// It installs or resolves packages.
    Install,
    /// It builds or imports.
    Build,
    /// It tests.
    Test,
}

/// `pinion why`.
#[derive(Debug, Parser)]
pub(crate) struct Why {
    /// The package.
    pub(crate) package: String,
    /// Another environment; needs the role viewer.
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    pub(crate) environment: String,
    /// Its pin set, where this is no joined checkout.
    #[arg(
        long,
        value_name = "NAME",
        default_value = "",
        hide_default_value = true
    )]
    pub(crate) pin_set: String,
}

/// `pinion hold` and `pinion unhold`.
#[derive(Debug, Parser)]
pub(crate) struct Hold {
    /// The package.
    pub(crate) package: String,
    /// One exact version; without it: every candidate of the package.
    #[arg(default_value = "", hide_default_value = true)]
    pub(crate) version: String,
}

/// `pinion telemetry`.
#[derive(Debug, Subcommand)]
pub(crate) enum Telemetry {
    /// Print the last reports, sent and waiting, exactly as they go out, one JSON a line.
    Show,
    /// Agree to report outcomes.
    On,
    /// Report nothing from now on; reports still waiting are thrown away.
    Off,
}
