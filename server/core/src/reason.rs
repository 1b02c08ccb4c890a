//! Why something is done, as a value with its numbers; the sentence is made once, here.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::draw::Share;
use crate::evidence::words::failures_of;
use crate::evidence::{Evidence, HarmBounds, Side};
use crate::name::{Approver, ConsumerName, RolloutId};
use crate::numbers::{counted, percent, ratio, thousands};
use crate::outcome::Category;
use crate::requires::Unmet;
use crate::rollout::Origin;
use crate::time::Timestamp;

/// Why something is done, or not done yet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "kebab-case")]
pub enum Reason {
    /// A person asked for the rollout.
    Created,
    /// A person asked for the rollout, as the fix of a hole that is known.
    CreatedForSecurity,
    /// A followed file has the version.
    InSource {
        /// The file, as it was read.
        origin: Origin,
    },
    /// A followed file no longer has the version.
    NoLongerInSource {
        /// The file, as it was read.
        origin: Origin,
    },
    /// The index of the ecosystem has the version.
    InIndex,
    /// The version was taken back by those who published it.
    Yanked {
        /// Which package.
        package: String,
        /// Which version.
        version: String,
        /// In their words; may be empty.
        words: String,
    },
    /// A version is younger than the policy asks.
    TooYoung {
        /// Which package.
        package: String,
        /// When it is old enough.
        until: Timestamp,
    },
    /// People have not approved it yet.
    ApprovalsOutstanding {
        /// Who has.
        approved: Vec<String>,
        /// How many more have to.
        missing: u32,
        /// Whose approval counts; empty: that of all who run rollouts.
        approvers: Vec<Approver>,
    },
    /// A person approved it.
    Approved {
        /// How many have, this one included.
        have: u32,
        /// How many have to.
        need: u32,
        /// In their words; may be empty.
        words: String,
    },
    /// A person took their approval back.
    ApprovalWithdrawn {
        /// How many are left.
        have: u32,
        /// How many have to.
        need: u32,
        /// In their words; may be empty.
        words: String,
    },
    /// A person whose approval it takes refused it.
    Denied {
        /// In their words; may be empty.
        words: String,
    },
    /// Consumers' tests have not all passed with the candidate.
    GatesOutstanding {
        /// Those that no job has taken.
        waiting: Vec<ConsumerName>,
        /// Those that a job is at.
        running: Vec<ConsumerName>,
        /// How many have passed.
        passed: u32,
    },
    /// A consumer's tests fail with the candidate.
    GateFailed {
        /// Whose.
        consumer: ConsumerName,
        /// Runs that failed, all there were.
        runs: u32,
        /// How the last one failed.
        category: Option<Category>,
    },
    /// The calendar is closed.
    CalendarClosed {
        /// When it opens; none within the horizon.
        opens: Option<Timestamp>,
    },
    /// Somebody froze the whole pin set.
    PinSetFrozen {
        /// Who.
        by: String,
        /// Until when; none: until somebody takes the freeze away.
        until: Option<Timestamp>,
        /// In their words; may be empty.
        words: String,
    },
    /// Somebody took the freeze of the whole pin set away.
    PinSetUnfrozen {
        /// In their words; may be empty.
        words: String,
    },
    /// Under so many environments nothing is promoted without a person.
    PopulationTooSmall {
        /// Active environments.
        have: u32,
        /// How many it takes.
        need: u32,
    },
    /// The baseline does not meet what a version needs, or has what needs another version.
    RequirementUnmet {
        /// What is needed, and what is there.
        unmet: Box<Unmet>,
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
    /// Harm at the margin is excluded.
    Cleared {
        /// The rollout's exposed side.
        exposed: Side,
        /// The rollout's control.
        control: Side,
        /// Where the average harm lies.
        harm: HarmBounds,
    },
    /// Everybody has it, and no harm was seen.
    Completed {
        /// The rollout's exposed side.
        exposed: Side,
        /// The rollout's control.
        control: Side,
        /// Where the average harm lies, if that is known.
        harm: Option<HarmBounds>,
    },
    /// The path has ended, and harm at the margin is not excluded.
    Inconclusive {
        /// The rollout's exposed side.
        exposed: Side,
        /// The rollout's control.
        control: Side,
        /// Where the average harm lies, if that is known.
        harm: Option<HarmBounds>,
    },
    /// The evidence of harm is too high to go on, and too low to roll back.
    Watched {
        /// ln of the evidence of harm.
        log_e: f64,
        /// ln of the threshold.
        log_threshold: f64,
        /// Until when it waits.
        until: Timestamp,
    },
    /// Those who report are not those who were drawn.
    AssignmentDoubtful {
        /// The epoch's exposed side.
        exposed: Side,
        /// The epoch's control.
        control: Side,
        /// ln of the evidence against the assignment.
        log_e: f64,
    },
    /// The rollout that it was harmful together with is gone.
    PartnerRolledBack {
        /// Which one.
        partner: RolloutId,
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
    /// The evidence says harmful where another rollout is exposed too, and of the two this one was the less
    /// exposed. The numbers are those of the rollout that found it.
    HarmfulTogether {
        /// The other one.
        with: RolloutId,
        /// The exposed side.
        exposed: Side,
        /// The control.
        control: Side,
        /// The share at which it was found.
        share: Share,
        /// ln of the evidence of harm.
        log_e: f64,
        /// ln of the threshold.
        log_threshold: f64,
    },
    /// A person asked for it.
    Asked {
        /// In their words; may be empty.
        words: String,
    },
    /// A person asked for it although gates had not passed.
    AskedPastGates {
        /// Those that had not.
        gates: Vec<ConsumerName>,
        /// In their words; may be empty.
        words: String,
    },
    /// A person asked for it although something else would have been waited for.
    AskedPast {
        /// Approvals that were missing.
        approvals: u32,
        /// Gates that had not passed.
        gates: Vec<ConsumerName>,
        /// Whether the pin set was frozen.
        frozen: bool,
        /// In their words; may be empty.
        words: String,
    },
    /// A person asked for the block of a version to be lifted, and others have to.
    LiftAsked {
        /// The package.
        package: String,
        /// The version.
        version: String,
        /// How many have asked, this one included.
        have: u32,
        /// How many have to.
        need: u32,
        /// In their words; may be empty.
        words: String,
    },
    /// The block of a version was lifted.
    BlockLifted {
        /// The package.
        package: String,
        /// The version.
        version: String,
        /// How many asked for it.
        have: u32,
        /// In the words of the last one; may be empty.
        words: String,
    },
    /// The rollout is only played: the reason for what would be done.
    InShadow {
        /// That reason.
        reason: Box<Reason>,
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
    /// The reason, said of a rollout that is only played.
    pub fn in_shadow(self) -> Self {
        match self {
            Self::InShadow { .. } => self,
            reason => Self::InShadow {
                reason: Box::new(reason),
            },
        }
    }

    /// The reason itself, whether it is only played or not.
    pub fn plain(&self) -> &Self {
        match self {
            Self::InShadow { reason } => reason.plain(),
            reason => reason,
        }
    }

    /// The reason for going on at the end of an epoch.
    pub fn no_harm_seen(evidence: &Evidence) -> Self {
        let leading = evidence.leading();
        Self::NoHarmSeen {
            exposed: evidence.exposed,
            control: evidence.control,
            log_e: leading.log_e,
            log_threshold: leading.log_threshold,
        }
    }

    /// The reason for giving it to everybody.
    pub fn cleared(evidence: &Evidence) -> Self {
        match evidence.harm {
            Some(harm) => Self::Cleared {
                exposed: evidence.exposed_total,
                control: evidence.control_total,
                harm,
            },
            None => Self::no_harm_seen(evidence),
        }
    }

    /// The reason for ending it well.
    pub fn completed(evidence: &Evidence) -> Self {
        Self::Completed {
            exposed: evidence.exposed_total,
            control: evidence.control_total,
            harm: evidence.harm,
        }
    }

    /// The reason for not knowing.
    pub fn inconclusive(evidence: &Evidence) -> Self {
        Self::Inconclusive {
            exposed: evidence.exposed_total,
            control: evidence.control_total,
            harm: evidence.harm,
        }
    }

    /// The reason for waiting for more evidence.
    pub const fn watched(evidence: &Evidence, until: Timestamp) -> Self {
        Self::Watched {
            log_e: evidence.events.log_e,
            log_threshold: evidence.events.log_threshold,
            until,
        }
    }

    /// The reason for taking it back because it and `with` are harmful together.
    pub fn harmful_together(evidence: &Evidence, share: Share, with: RolloutId) -> Self {
        let blaming = evidence.blaming().unwrap_or_else(|| evidence.leading());
        Self::HarmfulTogether {
            with,
            exposed: evidence.exposed_total,
            control: evidence.control_total,
            share,
            log_e: blaming.log_e,
            log_threshold: blaming.log_threshold,
        }
    }

    /// The reason for taking it back.
    pub fn harmful(evidence: &Evidence, share: Share) -> Self {
        let blaming = evidence.blaming().unwrap_or_else(|| evidence.leading());
        Self::Harmful {
            exposed: evidence.exposed_total,
            control: evidence.control_total,
            share,
            log_e: blaming.log_e,
            log_threshold: blaming.log_threshold,
            target: blaming.target.to_string(),
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
            Self::CreatedForSecurity => f.write_str(
                "a person asked for it as a security fix, by the policy's rules for those",
            ),
            Self::ApprovalsOutstanding {
                approved,
                missing,
                approvers,
            } => f.write_str(&unapproved(approved, *missing, approvers)),
            Self::Approved { have, need, words } => {
                write!(f, "approved, {have} of {need}{}", said(words))
            }
            Self::ApprovalWithdrawn { have, need, words } => write!(
                f,
                "an approval was taken back, which leaves {have} of {need}{}",
                said(words)
            ),
            Self::Denied { words } => {
                write!(
                    f,
                    "a person whose approval it takes refused it{}",
                    said(words)
                )
            }
            Self::GatesOutstanding {
                waiting,
                running,
                passed,
            } => f.write_str(&outstanding(waiting, running, *passed)),
            Self::GateFailed {
                consumer,
                runs,
                category,
            } => {
                let runs = counted(u64::from(*runs), "run");
                let last = category.map_or_else(String::new, |one| format!(", the last in {one}"));
                write!(
                    f,
                    "the gate of {consumer} failed: {runs} failed with the candidate{last}; a person may promote it all the same, or stop it"
                )
            }
            Self::CalendarClosed { opens: Some(opens) } => {
                write!(f, "the calendar is closed; it opens on {opens}")
            }
            Self::CalendarClosed { opens: None } => f.write_str(
                "the calendar is closed and has no opening ahead; change the policy's calendar",
            ),
            Self::PinSetFrozen { by, until, words } => {
                let until = match until {
                    Some(until) => format!("until {until}"),
                    None => "until somebody takes that away".to_owned(),
                };
                write!(f, "the pin set is frozen by {by} {until}{}", said(words))
            }
            Self::PinSetUnfrozen { words } => {
                write!(f, "the freeze of the pin set was taken away{}", said(words))
            }
            Self::PopulationTooSmall { have, need } => write!(
                f,
                "with {} there are too few to decide anything from (it takes {need}); a person may promote it",
                counted(u64::from(*have), "active environment")
            ),
            Self::RequirementUnmet { unmet } => write!(
                f,
                "in the baseline with nothing but this candidate, {unmet}; it goes on when that has changed"
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
            Self::Cleared {
                exposed,
                control,
                harm,
            } => write!(
                f,
                "harm of {} or more is excluded, and {} had to be: {}",
                points(harm.upper),
                points(harm.margin),
                sides(exposed, control)
            ),
            Self::Completed {
                exposed,
                control,
                harm,
            } => write!(
                f,
                "everybody has it: {}{}",
                sides(exposed, control),
                not_excluded(harm.as_ref())
            ),
            Self::Inconclusive {
                exposed,
                control,
                harm,
            } => write!(
                f,
                "no harm seen, and not enough known to exclude it: {}{}",
                sides(exposed, control),
                not_excluded(harm.as_ref())
            ),
            Self::Watched {
                log_e,
                log_threshold,
                until,
            } => write!(
                f,
                "{}, and too high to go on; it is looked at again on {until}",
                odds(*log_e, *log_threshold)
            ),
            Self::AssignmentDoubtful {
                exposed,
                control,
                log_e,
            } => write!(
                f,
                "those who report are not those who were drawn: {} of {} with the candidate and {} of {} with the baseline reported, {} against chance; is a client broken, or does the candidate stop people from reporting?",
                thousands(u64::from(exposed.reporting)),
                counted(u64::from(exposed.environments), "environment"),
                thousands(u64::from(control.reporting)),
                counted(u64::from(control.environments), "environment"),
                ratio(*log_e)
            ),
            Self::PartnerRolledBack { partner } => write!(
                f,
                "rollout {partner}, with which it was harmful, was rolled back; its own evidence starts afresh"
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
                about(target)
            ),
            Self::HarmfulTogether {
                with,
                exposed,
                control,
                share,
                log_e,
                log_threshold,
            } => write!(
                f,
                "harmful together with rollout {with}, found at {share}: {}; {}",
                sides(exposed, control),
                odds(*log_e, *log_threshold)
            ),
            Self::Asked { words } if words.is_empty() => f.write_str("a person asked for it"),
            Self::Asked { words } => write!(f, "a person asked for it: {words}"),
            Self::AskedPastGates { gates, words } => write!(
                f,
                "a person asked for it although {}{}",
                not_passed(gates),
                said(words)
            ),
            Self::AskedPast {
                approvals,
                gates,
                frozen,
                words,
            } => {
                let missing = match approvals {
                    1 => "1 approval was missing".to_owned(),
                    many => format!("{many} approvals were missing"),
                };
                let parts = [
                    (*approvals > 0).then_some(missing),
                    (!gates.is_empty()).then(|| not_passed(gates)),
                    frozen.then(|| "the pin set was frozen".to_owned()),
                ];
                let parts: Vec<String> = parts.into_iter().flatten().collect();
                write!(
                    f,
                    "a person asked for it although {}{}",
                    parts.join(", and "),
                    said(words)
                )
            }
            Self::LiftAsked {
                package,
                version,
                have,
                need,
                words,
            } => write!(
                f,
                "a person asked to lift the block of {package} {version}, {have} of {need}{}",
                said(words)
            ),
            Self::BlockLifted {
                package,
                version,
                have,
                words,
            } => {
                let people = match have {
                    1 => "a person".to_owned(),
                    many => format!("{many} people"),
                };
                write!(
                    f,
                    "the block of {package} {version} was lifted, as {people} asked{}",
                    said(words)
                )
            }
            Self::InShadow { reason } => write!(f, "in shadow, nothing is served: {reason}"),
            Self::InSource { origin } => write!(
                f,
                "`{}` on `{}` has it, as of commit {}",
                origin.path,
                origin.branch,
                origin.commit12()
            ),
            Self::NoLongerInSource { origin } => write!(
                f,
                "`{}` on `{}` has it no longer, as of commit {}",
                origin.path,
                origin.branch,
                origin.commit12()
            ),
            Self::InIndex => f.write_str("the index has it"),
            Self::Yanked {
                package,
                version,
                words,
            } => write!(
                f,
                "{package} {version} was taken back by those who published it{}",
                said(words)
            ),
            Self::TakenOver { by: Some(by) } => write!(f, "rollout {by} took over its packages"),
            Self::TakenOver { by: None } => f.write_str("an import changed its packages"),
            Self::EvidenceUnreadable { cause } => write!(f, "its evidence cannot be read: {cause}"),
            Self::Halted { by } => write!(
                f,
                "paused by {by}; the cohort keeps the candidate until it is resumed or stopped"
            ),
            Self::Frozen { cause } => write!(
                f,
                "automation stopped itself: {cause}; a person may resume or stop it"
            ),
            Self::Ended => f.write_str("it has ended"),
        }
    }
}

/// What is waited for before the first environment, in words.
fn outstanding(waiting: &[ConsumerName], running: &[ConsumerName], passed: u32) -> String {
    let doing = |those: &[ConsumerName], one: &str, many: &str| match those {
        [] => None,
        [name] => Some(format!("{name} {one}")),
        names => Some(format!("{} {many}", named(names))),
    };
    let parts = [
        doing(waiting, "waits for a job", "wait for a job"),
        doing(running, "runs", "run"),
    ];
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    let have = if passed == 1 { "has" } else { "have" };
    format!(
        "the tests of consumers come first: {}; {passed} of {} {have} passed",
        parts.join(", "),
        counted(
            (waiting.len() + running.len()) as u64 + u64::from(passed),
            "gate"
        ),
    )
}

/// Gates that have not passed, in words.
fn not_passed(gates: &[ConsumerName]) -> String {
    match gates {
        [one] => format!("the gate of {one} has not passed"),
        many => format!("the gates of {} have not passed", named(many)),
    }
}

/// A person's words after a sentence.
fn said(words: &str) -> String {
    match words {
        "" => String::new(),
        words => format!(": {words}"),
    }
}

/// Who has approved and who has to, in words.
fn unapproved(approved: &[String], missing: u32, approvers: &[Approver]) -> String {
    let names: Vec<&str> = approvers.iter().map(Approver::as_str).collect();
    let of = match names.as_slice() {
        [] => String::new(),
        names => format!(" of {}", names.join(", ")),
    };
    let (more, people) = match (approved.is_empty(), missing) {
        (true, 1) => ("", "person"),
        (true, _) => ("", "people"),
        (false, 1) => ("more ", "person"),
        (false, _) => ("more ", "people"),
    };
    let so_far = match approved {
        [] => "nobody has so far".to_owned(),
        names => format!("{} did", names.join(", ")),
    };
    format!("{missing} {more}{people}{of} must approve it before anybody gets it; {so_far}")
}

/// Names in a row, such as "nova, neutron and cinder".
pub(crate) fn named(names: &[ConsumerName]) -> String {
    let names: Vec<&str> = names.iter().map(ConsumerName::as_str).collect();
    match names.split_last() {
        Some((last, before)) if !before.is_empty() => format!("{} and {last}", before.join(", ")),
        Some((last, _)) => (*last).to_owned(),
        None => String::new(),
    }
}

/// What most of the evidence is about, in words.
fn about(target: &str) -> String {
    match target {
        "any" => String::new(),
        target => format!(", most of it from {}", failures_of(target)),
    }
}

fn not_excluded(harm: Option<&HarmBounds>) -> String {
    match harm {
        Some(harm) if harm.is_clear() => {
            format!("; harm of {} or more is excluded", points(harm.upper))
        }
        Some(harm) if harm.upper < 1.0 => format!(
            "; harm of up to {} is not excluded ({} had to be)",
            points(harm.upper),
            points(harm.margin)
        ),
        _ => "; no size of harm is excluded".to_owned(),
    }
}

/// What is said of a rollout whose evidence of harm has come far, and not far enough to take it back.
pub fn suspected(evidence: &Evidence) -> String {
    let leading = evidence.leading();
    format!(
        "it may be harmful: {}; {}{}",
        sides(&evidence.exposed_total, &evidence.control_total),
        odds(leading.log_e, leading.log_threshold),
        about(&leading.target.to_string())
    )
}

/// A share of environments that additionally fail, such as "2.5 points".
pub fn points(share: f64) -> String {
    let points = format!("{:.1}", share * 100.0);
    let points = points.strip_suffix(".0").unwrap_or(&points);
    let plural = if points == "1" { "" } else { "s" };
    format!("{points} point{plural}")
}

/// How both sides fared, in words.
pub(crate) fn sides(exposed: &Side, control: &Side) -> String {
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
