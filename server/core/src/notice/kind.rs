//! What people are told of. The names are stable: configurations and receivers go by them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal,)*) => {
        /// What happened. Of several in one transaction about one rollout, a route is told the first of this order.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub enum Kind {
            $($(#[$doc])* $kind,)*
        }

        impl Kind {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$kind,)*];

            /// Its name, as people and programs see it.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)*
                }
            }
        }
    };
}

kinds! {
    /// The candidate was taken back: everybody gets the baseline, the versions are blocked.
    RolledBack = "rollout.rolled_back",
    /// Automation stopped itself; a person is needed.
    Frozen = "rollout.frozen",
    /// Somebody halted it, or harm was seen and the policy has people decide.
    Paused = "rollout.paused",
    /// The plan has ended without an answer; a person is needed.
    Inconclusive = "rollout.inconclusive",
    /// It cannot go on by itself; a person is needed.
    Stuck = "rollout.person_needed",
    /// The candidate is the baseline.
    Completed = "rollout.completed",
    /// A person ended it, or the file that asked for it has it no longer.
    Aborted = "rollout.aborted",
    /// Another rollout, or an import, took its packages.
    Superseded = "rollout.superseded",
    /// People have to approve it before it begins.
    ApprovalNeeded = "rollout.approval_needed",
    /// Consumers' tests come first.
    GateWaiting = "gate.waiting",
    /// A rollout was created.
    Created = "rollout.created",
    /// The first environments get the candidate.
    Started = "rollout.started",
    /// More environments get it.
    Raised = "rollout.raised",
    /// It goes on.
    Resumed = "rollout.resumed",
    /// A consumer's tests fail with the candidate.
    GateFailed = "gate.failed",
    /// A consumer's tests have passed with it.
    GatePassed = "gate.passed",
    /// A change could not be filed and waits for a person.
    ChangeStopped = "change.stopped",
    /// A person closed a change without taking it.
    ChangeDeclined = "change.declined",
    /// A change was filed and waits for people.
    ChangeFiled = "change.filed",
    /// A person merged it.
    ChangeMerged = "change.merged",
    /// A version is never proposed again until its block is lifted.
    BlockSet = "block.set",
    /// A person asked for a block to be lifted, and others have to.
    LiftAsked = "block.lift_asked",
    /// A block was lifted.
    BlockLifted = "block.lifted",
    /// No share of a pin set is raised.
    PinSetFrozen = "pin_set.frozen",
    /// Its shares are raised again.
    PinSetUnfrozen = "pin_set.unfrozen",
    /// A version has waited for its trial for a day, and something stands in its way.
    CandidateStuck = "candidate.person_needed",
    /// Somebody tries a route.
    Test = "notice.test",
}

/// A text that names no kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no kind of notice")]
pub struct UnknownKind(String);

impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        let found = Self::ALL.iter().find(|kind| kind.as_str() == text);
        found.copied().ok_or_else(|| UnknownKind(text.to_owned()))
    }
}

impl TryFrom<String> for Kind {
    type Error = UnknownKind;

    fn try_from(text: String) -> Result<Self, UnknownKind> {
        text.parse()
    }
}

impl From<Kind> for String {
    fn from(kind: Kind) -> Self {
        kind.as_str().to_owned()
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
