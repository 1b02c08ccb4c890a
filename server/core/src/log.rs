//! The decision log: what was done and why, each entry bound to the one before.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::draw::Share;
use crate::evidence::Evidence;
use crate::reason::Reason;
use crate::state::{Actor, EpochIndex};
use crate::time::Timestamp;

/// One decision. Written once, never changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogEntry {
    /// Counted from 1 within the rollout.
    pub sequence: u64,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: Actor,
    /// What was done, in the words of the steps; the first is `create`.
    pub action: String,
    /// Why.
    pub reason: Reason,
    /// The share before.
    pub share_before: Share,
    /// The share after.
    pub share_after: Share,
    /// The epoch it was made in; 0 before the first.
    pub epoch: EpochIndex,
    /// The store's revision up to which reports were counted.
    pub folded: u64,
    /// The counts it was made on.
    pub evidence: Evidence,
    /// The hash of what had been counted in the epoch ([`crate::evidence::digest`]); none where nothing was counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cells: Option<String>,
    /// The hash of the entry before; empty for the first.
    pub previous_hash: String,
    /// SHA-256 of this entry's JSON with this field empty, hexadecimal.
    pub hash: String,
}

impl LogEntry {
    /// The entry with its hash filled in.
    ///
    /// # Panics
    /// Never: an entry has a JSON form.
    pub fn sealed(mut self) -> Self {
        self.hash = String::new();
        let json = serde_json::to_vec(&self).expect("an entry has a JSON form");
        self.hash = hex::encode(Sha256::digest(json));
        self
    }

    /// Whether the hash is that of the entry.
    pub fn is_intact(&self) -> bool {
        self.clone().sealed().hash == self.hash
    }
}
