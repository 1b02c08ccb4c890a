//! What a release manager types.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use crate::times::HumanDuration;

/// `pinion pin-set`.
#[derive(Debug, Subcommand)]
pub(crate) enum PinSet {
    /// Create an empty pin set.
    Create(CreatePinSet),
    /// Take the pins of a file; `-` is stdin. Newer versions become rollouts or wait for a place; the rest is taken at once.
    Import(ImportPins),
    /// List the versions that wait for their trial and why, or take some out.
    Queue(Queue),
    /// Show a pin set, its policy and, if asked, its pins.
    Show {
        /// The pin set.
        name: String,
        /// List the baseline too.
        #[arg(long)]
        pins: bool,
    },
    /// List the pin sets.
    List,
    /// Change the policy or the source of a pin set.
    Update(UpdatePinSet),
    /// List the versions that are never proposed again.
    Blocks {
        /// The pin set.
        name: String,
    },
    /// Raise no share from now on, of any rollout of a pin set. Stopping is not delayed.
    Freeze {
        /// The pin set.
        name: String,
        /// Until when, such as 2026-12-01T08:00:00Z; without it: until it is unfrozen.
        #[arg(long, value_name = "RFC3339")]
        until: Option<jiff::Timestamp>,
        /// Why, for people.
        #[arg(long)]
        reason: String,
    },
    /// Take the freeze of a pin set away.
    Unfreeze {
        /// The pin set.
        name: String,
        /// Why, for the log.
        #[arg(long, default_value = "", hide_default_value = true)]
        reason: String,
    },
    /// Lift the block of one version, or ask for it where the policy takes several people.
    Lift {
        /// The pin set.
        name: String,
        /// The package.
        package: String,
        /// The exact version.
        version: String,
        /// Why, for the log.
        #[arg(long)]
        reason: String,
    },
}

/// `pinion pin-set create`.
#[derive(Debug, Parser)]
pub(crate) struct CreatePinSet {
    /// The new name: 1 to 63 of a-z, 0-9, "-", ".".
    pub(crate) name: String,
    /// Where names and versions come from.
    #[arg(long)]
    pub(crate) ecosystem: Ecosystem,
    /// The policy, a TOML file; what it leaves out takes its default.
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) source: Source,
    /// Watch the index of the ecosystem: new versions of the pins become rollouts.
    #[arg(long, conflicts_with = "follow")]
    pub(crate) track: bool,
}

/// The file that changes are filed against.
#[derive(Debug, clap::Args)]
pub(crate) struct Source {
    /// A forge of the server's configuration, where changes are filed.
    #[arg(long, requires_all = ["branch", "path"])]
    pub(crate) forge: Option<String>,
    /// The branch there, such as master.
    #[arg(long, requires = "forge")]
    pub(crate) branch: Option<String>,
    /// The file there, such as upper-constraints.txt.
    #[arg(long, requires = "forge")]
    pub(crate) path: Option<String>,
    /// A file beside it in which a rollback also excludes the version, such as global-requirements.txt.
    #[arg(long, requires = "forge", value_name = "PATH")]
    pub(crate) exclusions_path: Option<String>,
    /// Follow the file: a newer version in it becomes a rollout; an older one, an added and a removed pin are taken at once.
    #[arg(long, requires = "forge")]
    pub(crate) follow: bool,
}

/// `pinion forge`.
#[derive(Debug, Subcommand)]
pub(crate) enum Forge {
    /// List the forges of the server's configuration.
    List,
    /// Try what filing a change takes, and file nothing; exits with 1 if anything is missing.
    Check {
        /// The forge.
        name: String,
        /// The branch of a file to look at, instead of those of the pin sets.
        #[arg(long, requires = "path")]
        branch: Option<String>,
        /// The path of that file.
        #[arg(long, requires = "branch")]
        path: Option<String>,
    },
}

/// `pinion notice`.
#[derive(Debug, Subcommand)]
pub(crate) enum Notice {
    /// List what was told in the last week, what waits, and what the receivers said; the newest first.
    List {
        /// Only those that stand so on some route.
        #[arg(long)]
        state: Option<NoticeState>,
        /// Only of this pin set.
        #[arg(
            long,
            value_name = "NAME",
            default_value = "",
            hide_default_value = true
        )]
        pin_set: String,
    },
    /// List the routes of the server's configuration.
    Routes,
    /// Send a test by a route now, as an admin, and show what the receiver said; exits with 1 if it was not taken.
    Test {
        /// The route.
        name: String,
    },
}

/// How a notice stands on a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum NoticeState {
    /// It is to be tried, for the first time or again.
    Waiting,
    /// The receiver has taken it.
    Sent,
    /// The receiver does not take it.
    Refused,
    /// It could not be sent for a day.
    GivenUp,
    /// Its route is not configured any more.
    Dropped,
}

/// `pinion index`.
#[derive(Debug, Subcommand)]
pub(crate) enum Index {
    /// List the indexes of the server's configuration.
    List,
    /// Ask an index for a package, and change nothing; exits with 1 if anything is missing.
    Check {
        /// Whose index.
        ecosystem: Ecosystem,
        /// A package that it should have.
        package: String,
    },
}

/// An ecosystem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Ecosystem {
    /// Python.
    Pypi,
    /// Rust.
    Cargo,
    /// JavaScript.
    Npm,
    /// Go modules.
    Go,
}

/// `pinion pin-set import`.
#[derive(Debug, Parser)]
pub(crate) struct ImportPins {
    /// The pin set.
    pub(crate) name: String,
    /// A constraints or requirements file.
    pub(crate) file: PathBuf,
    /// Keep lines that are no exact pins and serve them as they stand, instead of refusing the file.
    #[arg(long)]
    pub(crate) keep_unkept: bool,
    /// End open rollouts whose packages the file changes at once, instead of refusing it.
    #[arg(long)]
    pub(crate) supersede: bool,
    /// Replace the baseline by the file at once, without trying anything.
    #[arg(long)]
    pub(crate) at_once: bool,
    /// What a version needs of others, such as "MarkupSafe: Jinja2>=3"; may be given several times.
    #[arg(long, value_name = "PACKAGE: NEEDS")]
    pub(crate) requires: Vec<String>,
    /// Compare and check only: show what would be started, taken at once or left waiting.
    #[arg(long)]
    pub(crate) check: bool,
    /// Refuse if the pin set has another revision.
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    pub(crate) expected_revision: u64,
}

/// `pinion pin-set queue`.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Queue {
    /// The pin set.
    #[arg(required = true)]
    pub(crate) name: Option<String>,
    #[command(subcommand)]
    pub(crate) step: Option<QueueStep>,
}

/// What is done to a queue.
#[derive(Debug, Subcommand)]
pub(crate) enum QueueStep {
    /// Take packages out: what waits for them is not tried.
    Drop {
        /// The pin set.
        name: String,
        /// The packages.
        #[arg(required = true, value_name = "PACKAGE")]
        packages: Vec<String>,
    },
}

/// `pinion pin-set update`.
#[derive(Debug, Parser)]
#[command(group(clap::ArgGroup::new("change").required(true).multiple(true).args(["policy", "forge", "clear_source"])))]
pub(crate) struct UpdatePinSet {
    /// The pin set.
    pub(crate) name: String,
    /// The new policy, whole, a TOML file. Open rollouts keep the policy they began with.
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) source: Source,
    /// File changes nowhere.
    #[arg(long, conflicts_with = "forge")]
    pub(crate) clear_source: bool,
    /// Watch the index of the ecosystem: new versions of the pins become rollouts.
    #[arg(long, conflicts_with = "follow")]
    pub(crate) track: bool,
    /// Watch it no longer; what waits from there is taken out, rollouts go on.
    #[arg(long, conflicts_with = "track")]
    pub(crate) no_track: bool,
    /// Refuse if the pin set has another revision.
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    pub(crate) expected_revision: u64,
}

/// `pinion rollout`.
#[derive(Debug, Subcommand)]
pub(crate) enum Rollout {
    /// Start the trial of one or more versions that move together.
    Start(StartRollout),
    /// List the rollouts that have not ended.
    List {
        /// The ended ones too.
        #[arg(long)]
        all: bool,
        /// Only of this pin set.
        #[arg(
            long,
            value_name = "NAME",
            default_value = "",
            hide_default_value = true
        )]
        pin_set: String,
    },
    /// Show where a rollout stands and why.
    Show {
        /// The rollout.
        id: String,
    },
    /// Follow rollouts live. With an id: until it ends; exit 0 if it completed, else 1.
    Watch {
        /// The rollout; without it: all of them.
        id: Option<String>,
        /// Only of this pin set.
        #[arg(
            long,
            value_name = "NAME",
            default_value = "",
            hide_default_value = true
        )]
        pin_set: String,
    },
    /// Keep the share where it is; the cohort keeps the candidate.
    Pause(ChangeRollout),
    /// Go on after a pause.
    Resume(ChangeRollout),
    /// Raise the share now.
    Promote {
        #[command(flatten)]
        change: ChangeRollout,
        /// The new share, as 0.25 or 25%; without it: the next planned one.
        #[arg(long, value_parser = parse_share)]
        share: Option<f64>,
        /// Go past missing approvals, as an admin, with a reason; the log says so.
        #[arg(long, requires = "reason")]
        override_approvals: bool,
    },
    /// Approve that a rollout begins, where its policy asks for approvals.
    Approve {
        #[command(flatten)]
        change: ChangeRollout,
        /// Take the own approval back.
        #[arg(long)]
        withdraw: bool,
    },
    /// End a rollout that waits for approvals, as one of those whose approval it takes.
    Deny(ChangeRollout),
    /// Serve the baseline at once; nothing is blocked or filed.
    Abort(ChangeRollout),
    /// Serve the baseline at once, block the versions and file the rollback.
    Rollback(ChangeRollout),
    /// File the change of a rollout that has ended again: one that had stopped, or that a person declined.
    File(ChangeRollout),
    /// List what was decided and why, the oldest first.
    History {
        /// The rollout.
        id: String,
        /// Make every decision again from what the server keeps, and compare; exits with 1 if any differs.
        #[arg(long)]
        verify: bool,
    },
}

/// `pinion rollout start`.
#[derive(Debug, Parser)]
pub(crate) struct StartRollout {
    /// The pin set.
    pub(crate) pin_set: String,
    /// The versions on trial, as PACKAGE==VERSION or "PACKAGE==VERSION;MARKER".
    #[arg(required = true, value_name = "PACKAGE==VERSION")]
    pub(crate) candidates: Vec<String>,
    /// Allow versions that are not newer.
    #[arg(long)]
    pub(crate) allow_downgrade: bool,
    /// When the versions were published, such as 2026-11-24T09:30:00Z; policies with a minimum age ask.
    #[arg(long, value_name = "RFC3339")]
    pub(crate) published: Option<jiff::Timestamp>,
    /// What a version needs of others, such as "MarkupSafe: Jinja2>=3"; may be given several times.
    #[arg(long, value_name = "PACKAGE: NEEDS")]
    pub(crate) requires: Vec<String>,
    /// As a security fix, by the policy's rules for those: sooner, and not on less evidence.
    #[arg(long)]
    pub(crate) security: bool,
    /// Check only, show the rules it would have, and start nothing.
    #[arg(long)]
    pub(crate) check: bool,
    /// Refuse if the pin set has another revision.
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    pub(crate) expected_revision: u64,
}

/// A rollout and why it is changed.
#[derive(Debug, clap::Args)]
pub(crate) struct ChangeRollout {
    /// The rollout.
    pub(crate) id: String,
    /// Why, for the log.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) reason: String,
    /// Refuse if the rollout has another revision.
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    pub(crate) expected_revision: u64,
    /// Ask nothing.
    #[arg(long, short)]
    pub(crate) yes: bool,
}

/// `pinion token`.
#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    /// Create a token; its secret goes to stdout, alone, once.
    Create {
        /// What it is called in logs and decisions.
        name: String,
        /// What it may do.
        #[arg(long)]
        role: Role,
        /// The only pin set it is good for.
        #[arg(
            long,
            value_name = "NAME",
            default_value = "",
            hide_default_value = true
        )]
        pin_set: String,
        /// How long it works, such as 90d or 12h; without it: until it is revoked.
        #[arg(long, value_name = "DURATION")]
        lifetime: Option<HumanDuration>,
    },
    /// List the tokens that were created by hand.
    List,
    /// Make a token useless from now on.
    Revoke {
        /// Its name.
        name: String,
    },
}

/// What a token may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// Enrol, pull pins, report.
    Environment,
    /// The same, for CI fleets.
    Ci,
    /// Read everything but secrets.
    Viewer,
    /// Run rollouts and pin sets.
    ReleaseManager,
    /// Everything.
    Admin,
}

/// `pinion completions`.
#[derive(Debug, Parser)]
pub(crate) struct Completions {
    /// The shell.
    pub(crate) shell: clap_complete::Shell,
}

/// `pinion man`.
#[derive(Debug, Parser)]
pub(crate) struct Man {
    /// Write one page for each subcommand into this directory.
    #[arg(value_name = "DIR")]
    pub(crate) into: Option<PathBuf>,
}

fn parse_share(text: &str) -> Result<f64, String> {
    let (digits, unit) = match text.strip_suffix('%') {
        Some(digits) => (digits.trim(), 100.0),
        None => (text, 1.0),
    };
    let share = digits.parse::<f64>().map(|number| number / unit);
    match share {
        Ok(share) if share > 0.0 && share <= 1.0 => Ok(share),
        _ => Err("a share is above 0 and at most 1, such as 0.25 or 25%".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_fraction_or_a_percentage() {
        assert_eq!(parse_share("25%"), Ok(0.25));
        assert_eq!(parse_share("1"), Ok(1.0));
        for text in ["0", "25", "101%", "-1", "NaN", ""] {
            assert!(parse_share(text).is_err(), "{text}");
        }
    }
}
