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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::{NoticeId, RouteName};
    use crate::state::Actor;

    const AT: Timestamp = Timestamp::from_unix_ms(1_709_632_800_000);

    fn frozen(words: &str) -> Notice {
        let pin_set: PinSetName = "set".parse().expect("a name");
        let reason = crate::reason::Reason::PinSetFrozen {
            by: "ada".to_owned(),
            until: None,
            words: words.to_owned(),
        };
        let actor = Actor::Token("ada".to_owned());
        pin_set_frozen(&pin_set, &reason, 1, &actor, AT)
    }

    #[test]
    fn kinds_are_known_by_their_names_and_each_name_is_one() {
        let names: std::collections::BTreeSet<&str> =
            Kind::ALL.iter().map(|kind| kind.as_str()).collect();
        assert_eq!(names.len(), Kind::ALL.len());
        for kind in Kind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(*kind));
        }
        assert!("rollout.exploded".parse::<Kind>().is_err());
    }

    #[test]
    fn what_others_wrote_is_one_line_of_bounded_length() {
        let notice = frozen(&format!(
            "a\r\nBcc: eve@x.example\u{202e}\u{1b}[31m{}",
            "é".repeat(600)
        ));
        let line = &notice.lines[0];
        assert!(
            line.starts_with(
                "Why: the pin set is frozen by ada until somebody takes that away: a Bcc: eve"
            ),
            "{line}"
        );
        assert!(
            line.len() <= LINE_BYTES_MAX && line.ends_with('…'),
            "{line}"
        );
        assert!(
            !line.contains(|c: char| c.is_control() || c == '\u{202e}'),
            "{line:?}"
        );
    }

    #[test]
    fn a_body_says_why_then_what_one_can_do_then_where() {
        let notice = Notice {
            link: Some("https://pinion.example/pin-sets/set".to_owned()),
            ..frozen("release week")
        };
        assert_eq!(notice.subject, "Pin set frozen: set");
        assert_eq!(
            notice.body(),
            "Why: the pin set is frozen by ada until somebody takes that away: release week.\n\
             1 rollout is open in it; shares stay where they are, and harm is rolled back all the same.\n\n\
             What you can do:\n- `pinion pin-set unfreeze set` takes that away\n\n\
             https://pinion.example/pin-sets/set"
        );
    }

    #[test]
    fn many_alike_are_one_that_names_the_first() {
        let others = vec![frozen("b"); 7];
        let all = digest(frozen("a"), &others);
        assert_eq!(all.subject, "Pin set frozen: set and 7 more like it");
        assert_eq!(all.lines.len(), LINES_MAX);
        assert_eq!(all.lines[LINES_MAX - 1], "And 3 more.");
        assert_eq!((all.kind, all.ways.len()), (Kind::PinSetFrozen, 0));
    }

    #[test]
    fn programs_get_its_name_its_time_and_its_words() {
        let id = NoticeId::from_bytes([7; 12]);
        let route: RouteName = "ops".parse().expect("a name");
        let notice = test(&route, &Actor::Token("root".to_owned()), AT);
        let body = payload(&id, &notice);
        assert_eq!(body["type"], "notice.test");
        assert_eq!(body["timestamp"], "2024-03-05T10:00:00Z");
        assert_eq!(body["data"]["id"], "nt-070707070707070707070707");
        assert_eq!(body["data"]["subject"], "Test of the route ops");
        assert_eq!(body["data"]["pin_set"], serde_json::Value::Null);
    }
}
