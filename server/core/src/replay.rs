//! The decision log of a rollout, held against what is kept of it: every decision is made again.
//!
//! Three checks, each stronger than the one before: the chain of hashes; the decision, made again on the evidence that
//! was recorded, in the state that the decisions before it had led to; the evidence, counted again from pools and
//! cells up to the revision that the decision names. What an entry cannot be held against any more is said, and is no
//! problem: of who has left, no draw is kept once the rollout has ended.

mod machine;
mod recount;

use crate::draw::Draw;
use crate::evidence::{Cell, Member, Order, Ordinal};
use crate::gate::Gate;
use crate::log::LogEntry;
use crate::outcome::Fingerprint;
use crate::rollout::{Epoch, Rollout};

use machine::{Again, Machine};
use recount::Recount;

/// Everything that is kept of a rollout.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Its record, as it is now.
    pub rollout: Rollout,
    /// Its epochs, the first first.
    pub epochs: Vec<KeptEpoch>,
    /// Its gates, as they are now.
    pub gates: Vec<Gate>,
    /// Its decisions, the oldest first.
    pub log: Vec<KeptEntry>,
    /// Decisions of the rollouts that it was found harmful together with.
    pub partners: Vec<LogEntry>,
}

/// A decision as the store has it.
#[derive(Clone, Debug)]
pub struct KeptEntry {
    /// The number in its key.
    pub sequence: u64,
    /// The entry, or why it cannot be read.
    pub entry: Result<LogEntry, String>,
}

/// An epoch as the store has it.
#[derive(Clone, Debug)]
pub struct KeptEpoch {
    /// As it was opened, or why that cannot be read.
    pub epoch: Result<Epoch, String>,
    /// Everybody who was active when it opened, each with its draw if that is still known.
    pub members: Vec<(Member, Option<Draw>)>,
    /// What each draw key did.
    pub cells: Vec<KeptCell>,
    /// What is wrong with its pool or its cells, each with the record's key.
    pub damage: Vec<String>,
}

/// What a draw key did in an epoch.
#[derive(Clone, Copy, Debug)]
pub struct KeptCell {
    /// Whose.
    pub ordinal: Ordinal,
    /// Its draw, if that is still known.
    pub draw: Option<Draw>,
    /// What it did.
    pub cell: Cell,
}

/// Where a look was first seen, as far as that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstSeen {
    /// There.
    At(Order),
    /// It was forgotten since.
    Forgotten,
}

/// The strongest check that a decision passed, or failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Check {
    /// Its place in the chain of hashes.
    Chain,
    /// And that it follows from what is recorded with it.
    DecidedAgain,
    /// The chain, and its evidence, counted again; a person decided.
    Counted,
    /// Everything: its evidence was counted again, and it was decided again on that.
    Refolded,
}

impl Check {
    /// Its name, as people and programs see it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Chain => "chain only",
            Self::DecidedAgain => "decided again",
            Self::Counted => "counted again",
            Self::Refolded => "refolded",
        }
    }
}

/// What came of checking one decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Which decision.
    pub sequence: u64,
    /// How far it could be checked.
    pub check: Check,
    /// Why not farther, in words; empty where nothing more could be asked.
    pub note: String,
    /// What does not agree; none: it is what was decided then.
    pub problems: Vec<String>,
}

/// What came of checking a rollout.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// By decision, the oldest first.
    pub decisions: Vec<Checked>,
    /// What does not agree between the log and the rollout.
    pub problems: Vec<String>,
}

impl Verified {
    /// Whether everything agrees.
    pub fn is_intact(&self) -> bool {
        self.problems.is_empty()
            && self
                .decisions
                .iter()
                .all(|decision| decision.problems.is_empty())
    }
}

/// Checks every decision of a rollout. `first_seen` tells where a look was first seen.
pub fn verify(kept: &Kept, first_seen: &dyn Fn(Fingerprint) -> FirstSeen) -> Verified {
    let mut machine = Machine::new(kept);
    let mut recount = Recount::new(kept, first_seen);
    let mut verified = Verified::default();
    let mut last_hash = Some(String::new());
    for (place, kept_entry) in kept.log.iter().enumerate() {
        let expected = place as u64 + 1 + missing(&verified);
        let mut checked = Checked {
            sequence: kept_entry.sequence,
            check: Check::Chain,
            note: String::new(),
            problems: Vec::new(),
        };
        if kept_entry.sequence != expected {
            checked.problems.push(format!(
                "decision {expected} is not there, and {} follows",
                kept_entry.sequence
            ));
            last_hash = None;
            machine.lose("a decision before it is not there");
        }
        match &kept_entry.entry {
            Err(cause) => {
                checked.problems.push(cause.clone());
                last_hash = None;
                machine.lose("a decision before it cannot be read");
            }
            Ok(entry) => {
                check_chain(
                    entry,
                    kept_entry.sequence,
                    last_hash.as_deref(),
                    &mut checked,
                );
                last_hash = Some(entry.hash.clone());
                check_entry(entry, &mut machine, &mut recount, &mut checked);
            }
        }
        verified.decisions.push(checked);
    }
    verified.problems = machine.differences();
    let last = kept.log.last().map_or(0, |entry| entry.sequence);
    if kept.rollout.decisions != last {
        verified.problems.push(format!(
            "the rollout counts {} decisions, and the last one in the log is {last}",
            kept.rollout.decisions
        ));
    } else if last_hash.is_some_and(|hash| hash != kept.rollout.last_hash) {
        verified
            .problems
            .push("the rollout names another hash than that of its last decision".to_owned());
    }
    verified
}

/// Decisions that are missing before the next one.
fn missing(verified: &Verified) -> u64 {
    let last = verified.decisions.last();
    last.map_or(0, |last| {
        last.sequence
            .saturating_sub(verified.decisions.len() as u64)
    })
}

fn check_chain(entry: &LogEntry, sequence: u64, last_hash: Option<&str>, checked: &mut Checked) {
    if !entry.is_intact() {
        checked
            .problems
            .push("it was changed: its hash is not that of what it says".to_owned());
    }
    if entry.sequence != sequence {
        checked
            .problems
            .push(format!("it says that it is decision {}", entry.sequence));
    }
    if last_hash.is_some_and(|hash| hash != entry.previous_hash) {
        checked
            .problems
            .push("the decision before it has another hash than it names".to_owned());
    }
}

fn check_entry(
    entry: &LogEntry,
    machine: &mut Machine<'_>,
    recount: &mut Recount<'_>,
    checked: &mut Checked,
) {
    let Some(before) = machine.state() else {
        checked.note = machine.lost().to_owned();
        return;
    };
    let (before, mut notes) = (before.clone(), Vec::new());
    let again = machine.decide_again(&before, entry);
    let counted = match entry.cells.is_some() || again != Again::NotDecided {
        true => recount.check(&before, entry),
        false => recount::Counted::default(),
    };
    checked.check = match (&again, counted.is_whole) {
        (Again::NotDecided, false) => Check::Chain,
        (Again::NotDecided, true) => Check::Counted,
        (_, false) => Check::DecidedAgain,
        (_, true) => Check::Refolded,
    };
    if let Again::Differs(why) = again {
        checked.problems.push(why);
    }
    notes.extend(counted.note);
    checked.problems.extend(counted.problems);
    let control = recount.follow(&before, entry);
    if let Err(why) = machine.follow(&before, entry, control) {
        checked.problems.push(why);
    }
    if let Some(opened) = machine.state().filter(|_| machine.has_opened()) {
        recount.open(&before, opened);
    }
    checked.note = notes.join("; ");
}
