//! All that is known of a rollout, as its pages and its rows on other pages tell it.

use std::sync::Arc;

use pinion_core::evidence::Evidence;
use pinion_core::log::LogEntry;
use pinion_core::name::RolloutId;
use pinion_core::numbers::{counted, ratio};
use pinion_core::policy::OnHarm;
use pinion_core::reason::{Reason, suspected};
use pinion_core::rollout::Rollout;
use pinion_core::state::{Actor, State};
use pinion_core::time::{Timestamp, in_words};

use crate::controller::{Controller, GateStanding, Identity, Refusal, Standing};
use crate::store::records::{FilingRecord, FilingState};

/// From this part of the way to a rollback on, a rollout is in trouble; a harmless one gets so far now and then.
const SUSPICIOUS: f64 = 0.5;

/// A rollout with what is known of it: the standing of the last tick, or the last decision of one that has ended.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) rollout: Arc<Rollout>,
    pub(super) standing: Option<Arc<Standing>>,
    pub(super) last: Option<LogEntry>,
    pub(super) filing: Option<Arc<FilingRecord>>,
    pub(super) gates: Vec<GateStanding>,
    pub(super) now: Timestamp,
}

/// How a rollout fares; what concerns people most comes first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Health {
    /// Something is wrong; what, in a few words.
    Trouble(String),
    /// It goes on when a person says so; why, in a few words.
    Person(String),
    /// It goes on by itself, later; what it waits for.
    Waiting(String),
    /// All is as planned.
    OnCourse,
    /// It was taken back.
    TakenBack,
    /// It ended otherwise.
    Ended,
    /// Everybody has it.
    Complete,
}

impl Health {
    /// In words.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Trouble(what) => format!("trouble: {what}"),
            Self::Person(why) => format!("needs a person: {why}"),
            Self::Waiting(what) => format!("waiting for {what}"),
            Self::OnCourse => "on course".to_owned(),
            Self::TakenBack => "rolled back".to_owned(),
            Self::Ended => "ended".to_owned(),
            Self::Complete => "completed".to_owned(),
        }
    }

    /// By which its colour and its sign are found.
    pub(super) const fn class(&self) -> &'static str {
        match self {
            Self::Trouble(_) => "trouble",
            Self::Person(_) => "person",
            Self::Waiting(_) => "waiting",
            Self::OnCourse => "course",
            Self::TakenBack => "back",
            Self::Ended => "ended",
            Self::Complete => "complete",
        }
    }

    /// A sign that needs no colour.
    pub(super) const fn sign(&self) -> &'static str {
        match self {
            Self::Trouble(_) => "▲",
            Self::Person(_) => "◆",
            Self::Waiting(_) => "◷",
            Self::OnCourse => "●",
            Self::TakenBack => "↩",
            Self::Ended => "■",
            Self::Complete => "✓",
        }
    }
}

impl Told {
    /// What is known of a rollout, for a viewer.
    pub(super) async fn of(
        controller: &Controller,
        caller: &Identity,
        id: &RolloutId,
    ) -> Result<Self, Refusal> {
        let rollout = controller.visible_rollout(caller, id)?;
        let is_open = rollout.state.is_open();
        let standing = controller.standing(id).filter(|_| is_open);
        let last = match &standing {
            Some(_) => None,
            None => controller.last_decision(&rollout).await?,
        };
        let snapshot = controller.snapshot();
        let filing = snapshot.filing_of(id);
        Ok(Self {
            standing,
            last,
            filing: filing.map(|stored| Arc::clone(&stored.record)),
            gates: controller.gates_of(&rollout),
            now: controller.clock.now(),
            rollout,
        })
    }

    /// The counts, those of now or those that it ended with.
    pub(super) fn evidence(&self) -> Option<&Evidence> {
        match (&self.standing, &self.last) {
            (Some(standing), _) => Some(&standing.evidence),
            (None, Some(entry)) => Some(&entry.evidence),
            (None, None) => None,
        }
    }

    /// What is waited for, or why it ended.
    pub(super) fn reason(&self) -> Option<&Reason> {
        match (&self.standing, &self.last) {
            (Some(standing), _) => Some(&standing.reason),
            (None, Some(entry)) => Some(&entry.reason),
            (None, None) => None,
        }
    }

    /// The same as a sentence.
    pub(super) fn why(&self) -> String {
        if matches!(self.rollout.state, State::Gating | State::Baking)
            && self.suspicion().is_some()
            && let Some(evidence) = self.evidence()
        {
            return sentence(&suspected(evidence));
        }
        let reason = self.reason().map(ToString::to_string);
        sentence(&reason.unwrap_or_else(|| "it is not known yet".to_owned()))
    }

    /// What it tries.
    pub(super) fn candidate(&self) -> String {
        candidate(&self.rollout)
    }

    /// How it fares.
    pub(super) fn health(&self) -> Health {
        match &self.rollout.state {
            State::Completed { .. } => Health::Complete,
            State::RolledBack { .. } => Health::TakenBack,
            State::Aborted { .. } | State::Superseded { .. } => Health::Ended,
            State::Frozen { .. } => Health::Trouble("automation stopped itself".to_owned()),
            State::Paused {
                by: Actor::Controller,
            } => Health::Trouble("harm was found and it was paused".to_owned()),
            State::Paused { by } => Health::Person(format!("{by} paused it")),
            State::Inconclusive => Health::Person("not enough is known".to_owned()),
            State::Gating | State::Baking => self.suspicion().unwrap_or_else(|| self.waiting()),
        }
    }

    /// Trouble, where the evidence of harm has come far enough.
    fn suspicion(&self) -> Option<Health> {
        let leading = self.evidence()?.leading();
        let is_far =
            leading.log_threshold > 0.0 && leading.log_e >= SUSPICIOUS * leading.log_threshold;
        is_far.then(|| {
            let what = format!("the evidence of harm is {}", ratio(leading.log_e));
            Health::Trouble(what)
        })
    }

    fn waiting(&self) -> Health {
        let wait = |what: &str| Health::Waiting(what.to_owned());
        match self.reason().map(Reason::plain) {
            Some(Reason::ApprovalsOutstanding { missing, .. }) => Health::Person(format!(
                "{} missing",
                counted(u64::from(*missing), "approval")
            )),
            Some(Reason::PinSetFrozen { .. }) => wait("its pin set to be unfrozen"),
            Some(Reason::RequirementUnmet { .. }) => wait("what it needs of other packages"),
            Some(Reason::GateFailed { consumer, .. }) => {
                Health::Trouble(format!("the tests of {consumer} fail with it"))
            }
            Some(Reason::EvidenceUnreadable { .. }) => {
                Health::Trouble("its evidence cannot be read".to_owned())
            }
            Some(Reason::PopulationTooSmall { .. }) => {
                Health::Person("there are too few environments".to_owned())
            }
            Some(Reason::TooYoung { .. }) => wait("the version to be old enough"),
            Some(Reason::GatesOutstanding { .. }) => wait("the tests of consumers"),
            Some(Reason::CalendarClosed { .. }) => wait("working hours"),
            Some(Reason::TooFewEnvironments { .. }) => wait("more reports"),
            Some(Reason::Watched { .. }) => wait("the evidence to settle"),
            Some(_) if matches!(self.rollout.state, State::Baking) => Health::OnCourse,
            _ => wait("the first decision"),
        }
    }

    /// What happens next, and what would make it go on.
    pub(super) fn next(&self) -> String {
        match &self.rollout.state {
            State::Gating => "The first environments get it once this is over.".to_owned(),
            State::Baking => self.next_raise(),
            State::Paused { .. } => {
                "The share stays as it is until somebody resumes or stops it.".to_owned()
            }
            State::Frozen { .. } => {
                "Nothing is decided until somebody resumes or stops it.".to_owned()
            }
            State::Inconclusive => format!(
                "It stays at {} until somebody promotes it, rolls it back or stops it.",
                self.rollout.share()
            ),
            State::Completed { .. } => "It is the baseline; nothing more happens.".to_owned(),
            State::RolledBack { .. } => {
                "Every environment gets the baseline on its next pull; the version is blocked until its block is lifted."
                    .to_owned()
            }
            State::Aborted { .. } => {
                "Every environment gets the baseline on its next pull; nothing is blocked and nothing was filed."
                    .to_owned()
            }
            State::Superseded { .. } => "Another change took its place.".to_owned(),
        }
    }

    fn next_raise(&self) -> String {
        let ahead = self.standing.as_ref().map(|standing| &standing.ahead);
        let next = ahead.and_then(|ahead| ahead.first());
        let epoch = self.rollout.epoch.as_ref();
        let time = epoch.map(|epoch| self.rollout.watched_until.unwrap_or(epoch.ends));
        let when = match time {
            Some(time) if time > self.now => {
                let wait = in_words(time.since(self.now));
                format!("on {time} (in {wait}) at the earliest")
            }
            _ => "as soon as the above is over".to_owned(),
        };
        let raise = match next {
            Some((_, share)) => format!("If no harm is seen, it goes on to {share} {when}."),
            None => format!("If no harm is seen, it completes {when}."),
        };
        let threshold = self
            .evidence()
            .map(|evidence| evidence.leading().log_threshold)
            .filter(|threshold| *threshold > 0.0);
        let back = match (threshold, self.rollout.policy.on_harm) {
            (None, _) => String::new(),
            (Some(threshold), OnHarm::RollBack) => format!(
                " If the evidence of harm reaches {}, it is rolled back by itself.",
                ratio(threshold)
            ),
            (Some(threshold), OnHarm::Pause) => format!(
                " If the evidence of harm reaches {}, it pauses and waits for a person.",
                ratio(threshold)
            ),
        };
        raise + &back
    }

    /// The part of the way to a rollback, 0 to 1 and beyond; none where nothing is bet on yet.
    pub(super) fn way_to_rollback(&self) -> Option<f64> {
        let leading = self.evidence()?.leading();
        (leading.log_threshold > 0.0).then(|| (leading.log_e / leading.log_threshold).max(0.0))
    }

    /// The line that says it all.
    pub(super) fn headline(&self) -> String {
        let share = self.rollout.share();
        let candidate = self.candidate();
        match &self.rollout.state {
            State::Completed { .. } => format!("{candidate} is complete: everybody has it"),
            State::RolledBack { .. } => format!(
                "{candidate} was rolled back at {}",
                self.rollout.last_share()
            ),
            State::Aborted { by, .. } => format!("{candidate} was stopped by {by}"),
            State::Superseded { .. } => format!("{candidate} was superseded"),
            State::Gating => format!("{candidate} has not begun: {}", self.health().words()),
            _ => format!("{candidate} is at {share}: {}", self.health().words()),
        }
    }
}

/// What a rollout tries.
pub(super) fn candidate(rollout: &Rollout) -> String {
    crate::controller::changes_in_words(rollout)
}

/// Words as a sentence.
pub(super) fn sentence(words: &str) -> String {
    let mut letters = words.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string());
    let end = match words.ends_with(['.', '?', '!']) {
        true => "",
        false => ".",
    };
    format!("{}{}{end}", first.unwrap_or_default(), letters.as_str())
}

/// Whether a filing needs a person.
pub(super) const fn is_stuck(filing: &FilingRecord) -> bool {
    matches!(
        filing.state,
        FilingState::Stopped { .. } | FilingState::Declined { .. }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_become_a_sentence_once() {
        assert_eq!(sentence("the epoch lasts"), "The epoch lasts.");
        assert_eq!(sentence("Is it?"), "Is it?");
        assert_eq!(sentence(""), ".");
    }

    #[test]
    fn trouble_comes_first_and_what_went_well_last() {
        let trouble = Health::Trouble("x".to_owned());
        let person = Health::Person("x".to_owned());
        assert!(trouble < person && person < Health::OnCourse);
        assert!(Health::Waiting("x".to_owned()) < Health::OnCourse);
        assert!(Health::OnCourse < Health::Complete);
    }
}
