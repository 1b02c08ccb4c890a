//! What the owner of a checkout types.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Parser, Subcommand, ValueEnum};
use pinion_client::adapters::Tool;
use pinion_client::bisect::Confidence;
use pinion_client::v1;

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
stdout has the lines that point the tool at the pins and nothing else, so that this works:
  eval \"$(pinion sync)\"

Where the tool takes pins from outside the project, no file of the checkout is touched: pip, uv pip \
(PIP_CONSTRAINT, UV_CONSTRAINT), pnpm, Go (GOWORK), cargo from 1.97. Else its files are edited: cargo \
(Cargo.lock), a uv project (uv.lock), npm and yarn (package.json and the lockfile; these install too). What \
the files held is noted outside the checkout first; `pinion undo` puts it back.

Pins that the project's own bounds keep out are told; it is no error.

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
    /// The tool that the pins are for; without it: what lockfiles and manifests tell.
    #[arg(long, value_name = "NAME", value_parser = tool())]
    pub(crate) tool: Option<Tool>,
    /// Fetch the pins and write the constraints file, and leave the checkout alone.
    #[arg(long, conflicts_with = "tool")]
    pub(crate) no_apply: bool,
}

/// The tools, as clap takes them.
pub(crate) fn tool() -> impl TypedValueParser<Value = Tool> {
    PossibleValuesParser::new(Tool::ALL.map(Tool::as_str)).try_map(|name| name.parse::<Tool>())
}

/// `pinion exec`.
#[derive(Debug, Parser)]
#[command(after_long_help = "\
The command gets the last pins that a sync fetched, by the variables of the tool, or by edits of its files \
that are undone when the command has ended, and the signals that pinion gets. Nothing is reported: that is \
what `pinion run` does.

Afterwards it is said which pins did not take. pinion exits as the command did: its own status, 128 + n \
after signal n, 127 if there is no such command, 126 if it cannot be run. If pinion itself is killed \
meanwhile, `pinion undo` puts the files back.")]
pub(crate) struct Exec {
    /// The tool that the pins are for; without it: what lockfiles and manifests tell.
    #[arg(long, value_name = "NAME", value_parser = tool())]
    pub(crate) tool: Option<Tool>,
    /// Do not look which pins took.
    #[arg(long)]
    pub(crate) no_verify: bool,
    /// The command and its arguments.
    #[arg(
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "COMMAND"
    )]
    pub(crate) command: Vec<OsString>,
}

/// `pinion env`.
#[derive(Debug, Parser)]
#[command(after_long_help = "\
Prints what the last sync printed, at once and without a server. For direnv, in .envrc:
  eval \"$(pinion env)\"")]
pub(crate) struct Env {
    /// Who reads the printed lines.
    #[arg(long, value_name = "SHELL", default_value = "sh")]
    pub(crate) shell: EnvForm,
}

/// How variables are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum EnvForm {
    /// POSIX sh, bash, zsh.
    Sh,
    /// fish.
    Fish,
    /// One JSON object.
    Json,
}

/// `pinion verify`.
#[derive(Debug, Parser)]
#[command(after_long_help = "\
Asks the tool itself (pip inspect, uv pip list, uv export, npm ls, pnpm ls, yarn info or list, cargo \
metadata, go list -m) and holds the answer against the pins that were applied. Exits with 1 if a pin did not \
take. What is found also decides what a run reports: only rollouts whose candidate really took.")]
pub(crate) struct Verify {}

/// `pinion undo`.
#[derive(Debug, Parser)]
#[command(after_long_help = "\
Puts back every file that applying pins changed, byte for byte, also after a pinion that was killed. A file \
that somebody else changed since is left alone, and so is everything else: the difference is shown and the \
exit code is 1.")]
pub(crate) struct Undo {
    /// Put back files that somebody else changed since, too; what they hold now is kept aside.
    #[arg(long)]
    pub(crate) force: bool,
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
The command gets what the last sync printed (PIP_CONSTRAINT, GOWORK, ...), and the signals that pinion gets. pinion exits as it \
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
    /// What a failure of this command means. Left out: what its output says where that is read (a failed
    /// install or import), else test.
    #[arg(long, value_name = "CATEGORY")]
    pub(crate) category: Option<Category>,
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

impl From<Category> for v1::Category {
    fn from(category: Category) -> Self {
        match category {
            Category::Install => Self::Install,
            Category::Build => Self::Build,
            Category::Test => Self::Test,
        }
    }
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

/// `pinion never`.
#[derive(Debug, Parser)]
pub(crate) struct Never {
    /// The package.
    pub(crate) package: String,
    /// The exact version.
    pub(crate) version: String,
}

/// `pinion now`.
#[derive(Debug, Parser)]
#[command(after_long_help = "\
A volunteer gets the candidate of every rollout of the package from the moment it begins, whatever the draw. \
What happens here then is reported, but decides nothing: who chooses for themselves is no fair comparison. \
Environments that share a team key are one unit, so that one volunteer takes its whole team out of the \
evidence of that rollout. A hold wins.")]
pub(crate) struct Now {
    /// The package.
    pub(crate) package: String,
    /// Wait for the draw again.
    #[arg(long)]
    pub(crate) stop: bool,
}

/// `pinion bisect`.
#[derive(Debug, Parser)]
#[command(after_long_help = "\
Runs the command with mixtures of the good and the bad pins until the culprit is beyond doubt: the smallest \
set of changed pins that makes it fail. Flaky commands are run again as often as it takes; how flaky they \
are is learnt on the way. Good is the baseline and bad what this checkout has, or two files that are named.

With pip the command (and --install before it) gets PIP_CONSTRAINT and UV_CONSTRAINT for each trial, so it \
must install what it tests. Other tools have the pins applied for each trial, as `pinion exec` does it, and \
undone after it; npm, pnpm, yarn and uv projects are installed with them, so --install is for nothing of \
theirs. The command passes with 0 and fails with anything else, but 125 says that it cannot tell; a failing \
--install says the same, and so does a tool that refuses a mixture.

Ctrl-C stops; the same command goes on from there. If pinion itself is killed, `pinion undo` or the same \
command puts the files back. At the end --install is run once more with the pins as they were. The culprit \
is reported only by a checkout that agreed to report, and then as a failure with the rollouts that it belongs \
to.

  pinion bisect --good good.txt --bad bad.txt -- cargo test
  pinion bisect --install 'pip install -q -r requirements.txt' -- pytest -q")]
pub(crate) struct Bisect {
    /// Constraints with which the command passes; without: the baseline.
    #[arg(long, value_name = "FILE", requires = "bad")]
    pub(crate) good: Option<PathBuf>,
    /// Constraints with which it fails; without: this checkout's pins.
    #[arg(long, value_name = "FILE", requires = "good")]
    pub(crate) bad: Option<PathBuf>,
    /// The tool that the pins are for; without it: what lockfiles and manifests tell.
    #[arg(long, value_name = "NAME", value_parser = tool())]
    pub(crate) tool: Option<Tool>,
    /// A shell command that installs the packages, run before each trial.
    #[arg(long, value_name = "LINE")]
    pub(crate) install: Option<String>,
    /// How sure the answer must be, in percent.
    #[arg(long, value_name = "PERCENT", default_value = "99", value_parser = confidence)]
    pub(crate) confidence: f64,
    /// Give up after so many runs.
    #[arg(long, value_name = "COUNT", default_value = "1000")]
    pub(crate) max_runs: u32,
    /// Throw away an unfinished bisection of this checkout.
    #[arg(long)]
    pub(crate) restart: bool,
    /// Show what the command prints, on stderr.
    #[arg(long)]
    pub(crate) show_output: bool,
    /// What a failure of this command means, if it is reported.
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

fn confidence(text: &str) -> Result<f64, String> {
    let percent = text.parse().ok();
    percent
        .filter(|percent| Confidence::percent(*percent).is_some())
        .ok_or_else(|| format!("`{text}` is no percentage above 50 and below 100"))
}

/// `pinion repeat`.
#[derive(Debug, Subcommand)]
#[command(after_long_help = "\
A failure that comes with the baseline too is the environment's own and says nothing of a candidate. Where the \
policy asks for it, `pinion run` therefore repeats a failing run once, with the baseline and in a virtual \
environment of its own, whether this checkout has a candidate or not; test reports are put back as the run \
itself left them, and its exit status stays. It costs one run more for each that fails.")]
pub(crate) enum Repeat {
    /// Agree to repeat failing runs once with the baseline.
    On {
        /// What installs the run's packages, by `sh`, such as "pip install -q -r requirements.txt".
        #[arg(long, value_name = "COMMAND")]
        prepare: String,
    },
    /// Repeat nothing.
    Off,
    /// Say what was agreed.
    Show,
}

/// `pinion telemetry`.
#[derive(Debug, Subcommand)]
pub(crate) enum Telemetry {
    /// Print the last reports, sent and waiting, exactly as they go out, one JSON a line.
    ///
    /// With `--output json` one document: what was sent, what waits, and what was kept here and is never sent,
    /// each report with its bytes on the wire (protobuf, hexadecimal).
    Show,
    /// Agree to report outcomes.
    On,
    /// Keep outcomes on this machine, to be shown, and send nothing.
    Local,
    /// Report nothing from now on; reports still waiting are thrown away.
    Off,
}
