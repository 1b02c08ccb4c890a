//! Where a rollout stands and which steps lead on: a table, and the diagram drawn from it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::filing::FilingKey;
use crate::name::RolloutId;
use crate::time::Timestamp;

/// The number of an epoch, counted from 1; 0 before the first.
pub type EpochIndex = u32;

/// Who did it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Actor {
    /// The promotion loop.
    Controller,
    /// The holder of a token, by the token's name or the environment's id.
    Token(String),
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Controller => f.write_str("controller"),
            Self::Token(name) => f.write_str(name),
        }
    }
}

/// Where a rollout stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum State {
    /// Nobody has the candidate yet.
    Gating,
    /// The share of the epoch has the candidate; evidence is gathered.
    Baking,
    /// Halted; the cohort keeps the candidate, evidence goes on.
    Paused {
        /// By whom.
        by: Actor,
    },
    /// Automation stopped itself.
    Frozen {
        /// Why.
        cause: String,
    },
    /// The plan has ended without an answer.
    Inconclusive,
    /// The candidate is the baseline.
    Completed {
        /// Since when.
        at: Timestamp,
    },
    /// The baseline is served, the versions are blocked.
    RolledBack {
        /// Since when.
        at: Timestamp,
        /// The change that was filed, if the pin set has a source.
        filing: Option<FilingKey>,
    },
    /// The baseline is served.
    Aborted {
        /// Since when.
        at: Timestamp,
        /// By whom.
        by: Actor,
    },
    /// Another rollout, or an import, took its packages.
    Superseded {
        /// Since when.
        at: Timestamp,
        /// By which rollout; none: by an import.
        by: Option<RolloutId>,
    },
}

/// A state without its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StateKind {
    /// See [`State::Gating`].
    Gating,
    /// See [`State::Baking`].
    Baking,
    /// See [`State::Paused`].
    Paused,
    /// See [`State::Frozen`].
    Frozen,
    /// See [`State::Inconclusive`].
    Inconclusive,
    /// See [`State::Completed`].
    Completed,
    /// See [`State::RolledBack`].
    RolledBack,
    /// See [`State::Aborted`].
    Aborted,
    /// See [`State::Superseded`].
    Superseded,
}

/// A step from one state to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// The share is raised and a new epoch begins.
    Raise,
    /// The windows of the epoch end.
    Settle,
    /// Somebody, or the policy, halts it.
    Pause,
    /// Somebody lets it go on.
    Resume,
    /// Automation stops itself.
    Freeze,
    /// The plan ends without an answer.
    Conclude,
    /// The candidate becomes the baseline.
    Complete,
    /// The baseline is served, the versions are blocked and the rollback is filed.
    RollBack,
    /// The baseline is served.
    Abort,
    /// Another takes its packages.
    Supersede,
    /// The share waits for more evidence.
    Watch,
    /// The detectors start afresh: a partner that was blamed together with it is gone.
    Restart,
    /// Somebody approves it.
    Approve,
    /// Somebody takes their approval back.
    Withdraw,
    /// Somebody whose approval it takes refuses it: the baseline is served.
    Deny,
}

/// Every step that exists.
pub const TRANSITIONS: &[(StateKind, Step, StateKind)] = {
    use StateKind::{
        Aborted, Baking, Completed, Frozen, Gating, Inconclusive, Paused, RolledBack, Superseded,
    };
    use Step::{
        Abort, Approve, Complete, Conclude, Deny, Freeze, Pause, Raise, Restart, Resume, RollBack,
        Settle, Supersede, Watch, Withdraw,
    };
    &[
        (Gating, Approve, Gating),
        (Gating, Withdraw, Gating),
        (Gating, Deny, Aborted),
        (Gating, Raise, Baking),
        (Gating, Abort, Aborted),
        (Gating, RollBack, RolledBack),
        (Gating, Supersede, Superseded),
        (Baking, Settle, Baking),
        (Baking, Raise, Baking),
        (Baking, Watch, Baking),
        (Baking, Restart, Baking),
        (Baking, Pause, Paused),
        (Baking, Freeze, Frozen),
        (Baking, Conclude, Inconclusive),
        (Baking, Complete, Completed),
        (Baking, RollBack, RolledBack),
        (Baking, Abort, Aborted),
        (Baking, Supersede, Superseded),
        (Paused, Resume, Baking),
        (Paused, Freeze, Frozen),
        (Paused, Restart, Paused),
        (Paused, RollBack, RolledBack),
        (Paused, Abort, Aborted),
        (Paused, Supersede, Superseded),
        (Frozen, Resume, Baking),
        (Frozen, Restart, Frozen),
        (Frozen, RollBack, RolledBack),
        (Frozen, Abort, Aborted),
        (Frozen, Supersede, Superseded),
        (Inconclusive, Raise, Baking),
        (Inconclusive, Restart, Inconclusive),
        (Inconclusive, Complete, Completed),
        (Inconclusive, RollBack, RolledBack),
        (Inconclusive, Abort, Aborted),
        (Inconclusive, Supersede, Superseded),
    ]
};

impl State {
    /// The state without its data.
    pub const fn kind(&self) -> StateKind {
        match self {
            Self::Gating => StateKind::Gating,
            Self::Baking => StateKind::Baking,
            Self::Paused { .. } => StateKind::Paused,
            Self::Frozen { .. } => StateKind::Frozen,
            Self::Inconclusive => StateKind::Inconclusive,
            Self::Completed { .. } => StateKind::Completed,
            Self::RolledBack { .. } => StateKind::RolledBack,
            Self::Aborted { .. } => StateKind::Aborted,
            Self::Superseded { .. } => StateKind::Superseded,
        }
    }

    /// Whether the rollout has not ended.
    pub const fn is_open(&self) -> bool {
        matches!(
            self.kind(),
            StateKind::Gating
                | StateKind::Baking
                | StateKind::Paused
                | StateKind::Frozen
                | StateKind::Inconclusive
        )
    }
}

impl StateKind {
    /// Its name, as people and programs see it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gating => "gating",
            Self::Baking => "baking",
            Self::Paused => "paused",
            Self::Frozen => "frozen",
            Self::Inconclusive => "inconclusive",
            Self::Completed => "completed",
            Self::RolledBack => "rolled back",
            Self::Aborted => "aborted",
            Self::Superseded => "superseded",
        }
    }

    /// Whether `step` leads on from here.
    pub fn allows(self, step: Step) -> bool {
        TRANSITIONS
            .iter()
            .any(|(from, by, _)| *from == self && *by == step)
    }
}

impl Step {
    /// Its name, as people and programs see it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Raise => "promote",
            Self::Settle => "settle",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Freeze => "freeze",
            Self::Conclude => "conclude",
            Self::Complete => "complete",
            Self::RollBack => "roll back",
            Self::Abort => "abort",
            Self::Supersede => "supersede",
            Self::Watch => "watch",
            Self::Restart => "restart",
            Self::Approve => "approve",
            Self::Withdraw => "withdraw",
            Self::Deny => "deny",
        }
    }
}

impl fmt::Display for StateKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The table as a Mermaid state diagram.
pub fn diagram() -> String {
    let mut lines = vec![
        "stateDiagram-v2".to_owned(),
        "    [*] --> gating".to_owned(),
    ];
    let node = |state: StateKind| state.as_str().replace(' ', "_");
    for (from, step, to) in TRANSITIONS {
        lines.push(format!("    {} --> {}: {step}", node(*from), node(*to)));
    }
    for (_, _, end) in TRANSITIONS
        .iter()
        .filter(|(_, _, to)| !TRANSITIONS.iter().any(|(from, _, _)| from == to))
    {
        let line = format!("    {} --> [*]", node(*end));
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_open_state_can_be_stopped_at_once() {
        use StateKind::{Baking, Frozen, Gating, Inconclusive, Paused};
        for state in [Gating, Baking, Paused, Frozen, Inconclusive] {
            assert!(
                state.allows(Step::Abort) && state.allows(Step::RollBack),
                "{state}"
            );
        }
    }

    #[test]
    fn nothing_leads_out_of_an_end() {
        use StateKind::{Aborted, Completed, RolledBack, Superseded};
        for end in [Aborted, Completed, RolledBack, Superseded] {
            assert!(TRANSITIONS.iter().all(|(from, _, _)| *from != end));
        }
    }

    #[test]
    fn a_step_leads_to_one_state() {
        for (i, (from, step, _)) in TRANSITIONS.iter().enumerate() {
            assert!(
                TRANSITIONS[..i]
                    .iter()
                    .all(|(f, s, _)| (f, s) != (from, step)),
                "{from} {step} stands twice"
            );
        }
    }

    #[test]
    fn the_drawn_diagram_is_the_table() {
        let page = include_str!("../../ARCHITECTURE.md");
        assert!(
            page.contains(&diagram()),
            "put this into server/ARCHITECTURE.md:\n{}",
            diagram()
        );
    }
}
