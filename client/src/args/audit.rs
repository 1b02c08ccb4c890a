//! What somebody types who looks into what was done.

use clap::Subcommand;

use crate::times::HumanDuration;

/// `pinion audit`.
#[derive(Debug, Subcommand)]
pub(crate) enum Audit {
    /// List what was done that is no decision about a rollout, the oldest first.
    List(Selection),
    /// Write everything that was done as JSON lines: acts, then decisions, rollout by rollout.
    ///
    /// The fields are in the README, and stay as they are.
    Export {
        #[command(flatten)]
        selection: Selection,
        /// Only these.
        #[arg(long, value_name = "KIND")]
        only: Option<Kind>,
        /// Only decisions about this rollout.
        #[arg(long, value_name = "ID", conflicts_with = "only")]
        rollout: Option<String>,
    },
    /// Check the chain of hashes of what was done; exits with 1 if anything is wrong.
    ///
    /// `pinion rollout history ID --verify` checks the decisions about a rollout.
    Verify,
}

/// What of it.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Selection {
    /// Only what concerns this pin set.
    #[arg(
        long,
        value_name = "NAME",
        default_value = "",
        hide_default_value = true
    )]
    pub(crate) pin_set: String,
    /// Only the last so much time, such as 90d, or from a time on, such as 2026-11-24T09:30:00Z.
    #[arg(long, value_name = "WHEN")]
    pub(crate) since: Option<Moment>,
    /// Only until so long ago, or before a time.
    #[arg(long, value_name = "WHEN")]
    pub(crate) until: Option<Moment>,
}

/// A kind of line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// What was done that is no decision about a rollout.
    Acts,
    /// Decisions about rollouts.
    Decisions,
}

/// A time, or how long ago it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// So long ago.
    Ago(HumanDuration),
    /// Then.
    At(jiff::Timestamp),
}

impl std::str::FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(ago) = text.parse() {
            return Ok(Self::Ago(ago));
        }
        text.parse().map(Self::At).map_err(|_| {
            format!("`{text}` is neither a duration, such as 90d, nor a time, such as 2026-11-24T09:30:00Z")
        })
    }
}

impl Moment {
    /// The time that is meant; the first one there is where that lies before it.
    pub(crate) fn before(self, now: jiff::Timestamp) -> jiff::Timestamp {
        match self {
            Self::Ago(ago) => now
                .checked_sub(ago.0)
                .unwrap_or(jiff::Timestamp::UNIX_EPOCH),
            Self::At(time) => time,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_time_or_how_long_ago_it_was() {
        let now: jiff::Timestamp = "2026-11-25T12:00:00Z".parse().expect("a time");
        let read = |text: &str| {
            text.parse::<Moment>()
                .map(|moment| moment.before(now).to_string())
        };
        assert_eq!(read("90m").as_deref(), Ok("2026-11-25T10:30:00Z"));
        assert_eq!(
            read("2026-11-24T09:30:00Z").as_deref(),
            Ok("2026-11-24T09:30:00Z")
        );
        assert_eq!(read("9999w").as_deref(), Ok("1835-04-08T12:00:00Z"));
        assert!(read("yesterday").is_err());
    }
}
