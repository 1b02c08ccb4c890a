//! Why something is done, as a value with its numbers; the sentence is made once, here.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::draw::Share;
use crate::evidence::{Evidence, Side};
use crate::name::RolloutId;
use crate::numbers::{counted, percent, ratio, thousands};
use crate::time::Timestamp;

/// Why something is done, or not done yet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "kebab-case")]
pub enum Reason {
    /// A person asked for the rollout.
    Created,
    /// A version is younger than the policy asks.
    TooYoung {
        /// Which package.
        package: String,
        /// When it is old enough.
        until: Timestamp,
    },
    /// The calendar is closed.
    CalendarClosed {
        /// When it opens; none within the horizon.
        opens: Option<Timestamp>,
    },
    /// Under so many environments nothing is promoted without a person.
    PopulationTooSmall {
        /// Active environments.
        have: u32,
        /// How many it takes.
        need: u32,
    },
    /// The epoch lasts longer.
    Baking {
        /// When it ends at the earliest.
        until: Timestamp,
    },
    /// Too few environments reported in the epoch.
    TooFewEnvironments {
        /// Reported.
        have: u32,
        /// How many the policy asks for.
        need: u32,
    },
    /// The first environments get the candidate.
    Begun {
        /// Active environments.
        population: u32,
    },
    /// The windows of the epoch have ended.
    WindowsEnded {
        /// The epoch's exposed side.
        exposed: Side,
        /// The epoch's control.
        control: Side,
    },
    /// No detector fired in the epoch.
    NoHarmSeen {
        /// The epoch's exposed side.
        exposed: Side,
        /// The epoch's control.
        control: Side,
        /// ln of the evidence of harm.
        log_e: f64,
        /// ln of the threshold.
        log_threshold: f64,
    },
    /// No detector fired, but nothing bounds the harm that is not seen.
    HarmNotBounded {
        /// The rollout's exposed side.
        exposed: Side,
        /// The rollout's control.
        control: Side,
        /// ln of the evidence of harm.
        log_e: f64,
        /// ln of the threshold.
        log_threshold: f64,
    },
    /// The evidence says harmful.
    Harmful {
        /// The rollout's exposed side.
        exposed: Side,
        /// The rollout's control.
        control: Side,
        /// The share at which it was found.
        share: Share,
        /// ln of the evidence of harm.
        log_e: f64,
        /// ln of the threshold.
        log_threshold: f64,
        /// What most of the evidence is about.
        target: String,
    },
    /// A person asked for it.
    Asked {
        /// In their words; may be empty.
        words: String,
    },
    /// Another rollout took its packages.
    TakenOver {
        /// Which one; none: an import changed them.
        by: Option<RolloutId>,
    },
    /// Evidence could not be read.
    EvidenceUnreadable {
        /// What the store said.
        cause: String,
    },
    /// Somebody halted it.
    Halted {
        /// Who.
        by: String,
    },
    /// Automation stopped itself.
    Frozen {
        /// Why.
        cause: String,
    },
    /// It has ended.
    Ended,
}

impl Reason {
    /// The reason for going on at the end of an epoch.
    pub fn no_harm_seen(evidence: &Evidence) -> Self {
        Self::NoHarmSeen {
            exposed: evidence.exposed,
            control: evidence.control,
            log_e: evidence.log_e,
            log_threshold: evidence.log_threshold,
        }
    }

    /// The reason for giving it to everybody although nothing bounds the harm.
    pub fn harm_not_bounded(evidence: &Evidence) -> Self {
        Self::HarmNotBounded {
            exposed: evidence.exposed_total,
            control: evidence.control_total,
            log_e: evidence.log_e,
            log_threshold: evidence.log_threshold,
        }
    }

    /// The reason for taking it back.
    pub fn harmful(evidence: &Evidence, share: Share) -> Self {
        Self::Harmful {
            exposed: evidence.exposed_total,
            control: evidence.control_total,
            share,
            log_e: evidence.log_e,
            log_threshold: evidence.log_threshold,
            target: evidence.leading.clone(),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Created => f.write_str("a person asked for it"),
            Self::TooYoung { package, until } => {
                write!(
                    f,
                    "the version of {package} is too young; it is old enough on {until}"
                )
            }
            Self::CalendarClosed { opens: Some(opens) } => {
                write!(f, "the calendar is closed; it opens on {opens}")
            }
            Self::CalendarClosed { opens: None } => f.write_str(
                "the calendar is closed and has no opening ahead; change the policy's calendar",
            ),
            Self::PopulationTooSmall { have, need } => write!(
                f,
                "with {} there are too few to decide anything from (it takes {need}); a person may promote it",
                counted(u64::from(*have), "active environment")
            ),
            Self::Baking { until } => write!(f, "the epoch lasts until {until}"),
            Self::TooFewEnvironments { have, need } => write!(
                f,
                "{} reported in this epoch and the policy asks for {need}; the epoch goes on until they have",
                counted(u64::from(*have), "environment")
            ),
            Self::Begun { population } => {
                let population = counted(u64::from(*population), "active environment");
                write!(f, "the first of {population} get it")
            }
            Self::WindowsEnded { exposed, control } => {
                write!(f, "the epoch is over: {}", sides(exposed, control))
            }
            Self::NoHarmSeen {
                exposed,
                control,
                log_e,
                log_threshold,
            } => {
                write!(
                    f,
                    "no harm seen: {}; {}",
                    sides(exposed, control),
                    odds(*log_e, *log_threshold)
                )
            }
            Self::HarmNotBounded {
                exposed,
                control,
                log_e,
                log_threshold,
            } => write!(
                f,
                "no harm seen, and harm not bounded: {}; {}",
                sides(exposed, control),
                odds(*log_e, *log_threshold)
            ),
            Self::Harmful {
                exposed,
                control,
                share,
                log_e,
                log_threshold,
                target,
            } => write!(
                f,
                "harmful, found at {share}: {}; {}{}",
                sides(exposed, control),
                odds(*log_e, *log_threshold),
                if target == "any" {
                    String::new()
                } else {
                    format!(", most of it from {target} failures")
                }
            ),
            Self::Asked { words } if words.is_empty() => f.write_str("a person asked for it"),
            Self::Asked { words } => write!(f, "a person asked for it: {words}"),
            Self::TakenOver { by: Some(by) } => write!(f, "rollout {by} took over its packages"),
            Self::TakenOver { by: None } => f.write_str("an import changed its packages"),
            Self::EvidenceUnreadable { cause } => write!(f, "its evidence cannot be read: {cause}"),
            Self::Halted { by } => write!(
                f,
                "{by} paused it; the cohort keeps the candidate until it is resumed or stopped"
            ),
            Self::Frozen { cause } => write!(
                f,
                "automation stopped itself: {cause}; a person may resume or stop it"
            ),
            Self::Ended => f.write_str("it has ended"),
        }
    }
}

fn sides(exposed: &Side, control: &Side) -> String {
    format!(
        "{} with the candidate failed, against {} with the baseline",
        side(exposed),
        side(control)
    )
}

fn side(side: &Side) -> String {
    match side.failed_share() {
        Some(share) => format!(
            "{} of {} ({})",
            thousands(u64::from(side.failed)),
            counted(u64::from(side.reporting), "environment"),
            percent(share, 1)
        ),
        None => "0 of 0 environments".to_owned(),
    }
}

/// The evidence of harm against its threshold, as odds in words.
pub fn odds(log_e: f64, log_threshold: f64) -> String {
    let verb = if log_e >= log_threshold {
        "past the"
    } else {
        "short of the"
    };
    format!(
        "the evidence of harm is {}, {verb} {} that a rollback takes",
        ratio(log_e),
        ratio(log_threshold)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rollback_says_its_numbers() {
        let side = |reporting, failed| Side {
            environments: reporting,
            reporting,
            failed,
            by_category: [0; 5],
        };
        let reason = Reason::Harmful {
            exposed: side(14, 5),
            control: side(250, 21),
            share: Share::clamped(0.08),
            log_e: 1350f64.ln(),
            log_threshold: 500f64.ln(),
            target: "install".to_owned(),
        };
        assert_eq!(
            reason.to_string(),
            "harmful, found at 8 %: 5 of 14 environments (35.7 %) with the candidate failed, against 21 of 250 environments (8.4 %) with the baseline; the evidence of harm is 1,350 to 1, past the 500 to 1 that a rollback takes, most of it from install failures"
        );
    }
}
