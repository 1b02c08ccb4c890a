//! Notices: what release managers are told without looking, complete when it is written.
//!
//! What happened becomes words here, once, in the transaction in which it happens; how and to whom they are brought is
//! not decided here. Text that others wrote is one line without control characters; what a medium takes for more (a
//! mention, a link) its sender breaks.

mod decision;
mod json;
mod kind;
mod occasion;
mod pattern;
mod words;

use serde::{Deserialize, Serialize};

use crate::name::{PinSetName, RolloutId};
use crate::pin::PackageChange;
use crate::time::Timestamp;

pub use decision::Told;
pub use json::payload;
pub use kind::{Kind, UnknownKind};
pub use occasion::{
    BlockedVersion, block_lifted, block_set, candidate_stuck, change_became, gate_ended,
    lift_asked, pin_set_frozen, pin_set_unfrozen, rollout_stuck, test,
};
pub use pattern::{InvalidPattern, Pattern};
pub use words::digest;

/// Lines of one notice, at most.
const LINES_MAX: usize = 6;
/// The longest line, in bytes.
const LINE_BYTES_MAX: usize = 600;
/// The longest subject, in bytes.
const SUBJECT_BYTES_MAX: usize = 200;
/// Changes that a notice names, at most.
const CHANGES_MAX: usize = 10;
/// The longest change, in bytes.
const CHANGE_BYTES_MAX: usize = 160;

/// One notice: what happened, in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// What happened.
    pub kind: Kind,
    /// When.
    pub at: Timestamp,
    /// Where; none: it is a test.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin_set: Option<PinSetName>,
    /// To which rollout, where it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<RolloutId>,
    /// Who did it, such as `controller`.
    pub actor: String,
    /// It in one line, which is all that a phone shows.
    pub subject: String,
    /// Why, who has it, and the evidence: a sentence each.
    pub lines: Vec<String>,
    /// What a person may do about it: a sentence each; empty: nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ways: Vec<String>,
    /// What is tried, such as `requests 1.0 -> 2.0`; the first [`CHANGES_MAX`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<String>,
    /// The page that shows more, where it is known where people reach the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
}

impl Notice {
    /// The whole of it as plain text, the subject left out.
    pub fn body(&self) -> String {
        let mut text = self.lines.join("\n");
        if !self.ways.is_empty() {
            text.push_str("\n\nWhat you can do:");
            for way in &self.ways {
                text.push_str(&format!("\n- {way}"));
            }
        }
        if let Some(link) = &self.link {
            text.push_str(&format!("\n\n{link}"));
        }
        text.trim_start().to_owned()
    }

    /// The same with no more than its subject and first line, for a record that is too large.
    #[must_use]
    pub fn cut(mut self) -> Self {
        self.lines.truncate(1);
        self.changes.truncate(1);
        self.ways.clear();
        self
    }
}

fn named_changes(changes: &[PackageChange]) -> Vec<String> {
    let named = changes.iter().take(CHANGES_MAX);
    named
        .map(|change| words::line(&change.to_string(), CHANGE_BYTES_MAX))
        .collect()
}
