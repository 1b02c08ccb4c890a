//! What people ask of a rollout.

use serde::{Deserialize, Serialize};

use crate::draw::Share;
use crate::state::Step;

/// What a person asks of a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verb {
    /// Halt it.
    Pause,
    /// Let it go on.
    Resume,
    /// Raise the share now.
    Promote {
        /// To this one; none: to the next planned one.
        share: Option<Share>,
        /// What to do about approvals that are missing.
        approvals: MissingApprovals,
    },
    /// Serve the baseline, block the versions, file the rollback.
    RollBack,
    /// Serve the baseline.
    Abort,
    /// Approve that it begins.
    Approve,
    /// Take the own approval back.
    Withdraw,
    /// End it instead of approving it.
    Deny,
}

/// What a promotion does about approvals that are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MissingApprovals {
    /// It is refused.
    Respect,
    /// It goes past them, and the log says so.
    Override,
}

impl Verb {
    /// The step it takes.
    pub const fn step(self) -> Step {
        match self {
            Self::Pause => Step::Pause,
            Self::Resume => Step::Resume,
            Self::Promote { .. } => Step::Raise,
            Self::RollBack => Step::RollBack,
            Self::Abort => Step::Abort,
            Self::Approve => Step::Approve,
            Self::Withdraw => Step::Withdraw,
            Self::Deny => Step::Deny,
        }
    }
}
