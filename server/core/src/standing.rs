//! How an open rollout fares.

use serde::{Deserialize, Serialize};

use crate::draw::Share;
use crate::evidence::Evidence;
use crate::outcome::Fingerprint;
use crate::path::Step as PathStep;
use crate::reason::Reason;

/// What is known of a rollout, as of the last look at its evidence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// The counts.
    pub evidence: Evidence,
    /// What is waited for, or why it ended.
    pub reason: Reason,
    /// The planned points of its path that lie ahead.
    pub ahead: Vec<(PathStep, Share)>,
    /// Reports up to this revision are counted.
    pub folded: u64,
    /// What failures with the candidate looked like, the most frequent first, each with its environments.
    pub fingerprints: Vec<(Fingerprint, u32)>,
}
