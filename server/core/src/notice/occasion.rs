//! What is no decision about a rollout as notices: gates, changes on forges, blocks, pin sets, and what is stuck.

use super::decision::{exposed_now, lift};
use super::words::{Draft, in_short};
use super::{Kind, Notice};
use crate::gate::{Gate, GateState};
use crate::name::{ForgeName, PinSetName, RolloutId, RouteName};
use crate::pin::PackageChange;
use crate::reason::Reason;
use crate::rollout::Rollout;
use crate::state::Actor;
use crate::time::Timestamp;

/// A version whose block is spoken of.
#[derive(Clone, Copy, Debug)]
pub struct BlockedVersion<'a> {
    /// Where.
    pub pin_set: &'a PinSetName,
    /// The package.
    pub package: &'a str,
    /// The version.
    pub version: &'a str,
    /// The rollout that was rolled back.
    pub rollout: &'a RolloutId,
}

/// A gate that has ended, after the run of `actor`; nothing while it goes on.
pub fn gate_ended(rollout: &Rollout, gate: &Gate, actor: &Actor, at: Timestamp) -> Option<Notice> {
    let consumer = &gate.consumer;
    match gate.state {
        GateState::Passed => Some(
            Draft::new(Kind::GatePassed, at, actor)
                .of_rollout(rollout, &format!("Tests of {consumer} passed"))
                .by(actor)
                .done(),
        ),
        GateState::Failed => {
            let reason = Reason::GateFailed {
                consumer: consumer.clone(),
                runs: gate.failed_runs(),
                category: gate.last_failure().map(|failure| failure.category),
            };
            let last = gate.runs.last().map(|run| run.report.link.as_str());
            let last = last.filter(|link| !link.is_empty());
            let id = &rollout.id;
            Some(
                Draft::new(Kind::GateFailed, at, actor)
                    .of_rollout(rollout, &format!("Tests of {consumer} fail"))
                    .line(format!("Why: {reason}"))
                    .line("Nobody has it".to_owned())
                    .line(last.map(|link| format!("The last run: {link}")))
                    .way(format!(
                        "`pinion rollout promote {id}` begins all the same; `pinion rollout abort {id}` stops it"
                    ))
                    .done(),
            )
        }
        GateState::Waiting | GateState::Leased(_) => None,
    }
}

/// What became of a change on a forge: `kind` is one of those of changes, `subject` that of its message, `place` its URL
/// or branch, `answer` what the forge said.
pub fn change_became(
    kind: Kind,
    rollout: &Rollout,
    (forge, subject): (&ForgeName, &str),
    (place, answer): (&str, &str),
    at: Timestamp,
) -> Notice {
    let again = format!("`pinion rollout file {}`", rollout.id);
    let (what, way) = match kind {
        Kind::ChangeFiled => ("Change filed", "Review it and merge it".to_owned()),
        Kind::ChangeMerged => ("Change merged", String::new()),
        Kind::ChangeDeclined => (
            "Change declined",
            format!("{again} files it once more, if that was a mistake"),
        ),
        _ => (
            "Change cannot be filed, needs a person",
            format!("See to the cause, then {again} tries it again"),
        ),
    };
    let mut draft = Draft::new(kind, at, &Actor::Controller)
        .of_rollout(rollout, what)
        .line(format!("It says: {subject}"))
        .line((kind != Kind::ChangeStopped).then(|| format!("On {forge}: {place}")));
    let said = (kind == Kind::ChangeStopped).then(|| format!("Why: {answer}"));
    draft = draft.line(said);
    draft.way((!way.is_empty()).then_some(way)).done()
}

/// The versions of a rollout that was rolled back are blocked.
pub fn block_set(rollout: &Rollout, reason: &Reason, actor: &Actor, at: Timestamp) -> Notice {
    Draft::new(Kind::BlockSet, at, actor)
        .of_rollout(rollout, "Blocked")
        .line(format!("Why: {reason}"))
        .line("It is not proposed again until the block is lifted".to_owned())
        .way(format!("{} lifts the block", lift(rollout)))
        .done()
}

/// A person asked for a block to be lifted, and `missing` more have to.
pub fn lift_asked(
    blocked: BlockedVersion<'_>,
    reason: &Reason,
    missing: u32,
    actor: &Actor,
    at: Timestamp,
) -> Notice {
    let BlockedVersion {
        pin_set,
        package,
        version,
        ..
    } = blocked;
    let people = match missing {
        1 => "one more person has to ask".to_owned(),
        many => format!("{many} more people have to ask"),
    };
    let mut notice = Draft::new(Kind::LiftAsked, at, actor)
        .about(
            pin_set,
            &format!("Block of {package} {version} in {pin_set}: {people}"),
        )
        .line(format!("Why: {reason}"))
        .by(actor)
        .way(format!(
            "`pinion pin-set lift {pin_set} {package} {version} --reason WHY` asks for it too"
        ))
        .done();
    notice.rollout = Some(blocked.rollout.clone());
    notice
}

/// A block was lifted.
pub fn block_lifted(
    blocked: BlockedVersion<'_>,
    reason: &Reason,
    actor: &Actor,
    at: Timestamp,
) -> Notice {
    let BlockedVersion {
        pin_set,
        package,
        version,
        rollout,
    } = blocked;
    let mut notice = Draft::new(Kind::BlockLifted, at, actor)
        .about(
            pin_set,
            &format!("Block lifted: {package} {version} in {pin_set}"),
        )
        .line(format!("Why: {reason}"))
        .by(actor)
        .line(format!(
            "It had been rolled back by rollout {rollout}; it may be tried again now"
        ))
        .done();
    notice.rollout = Some(rollout.clone());
    notice
}

/// Somebody froze a pin set in which so many rollouts are open.
pub fn pin_set_frozen(
    pin_set: &PinSetName,
    reason: &Reason,
    open: usize,
    actor: &Actor,
    at: Timestamp,
) -> Notice {
    Draft::new(Kind::PinSetFrozen, at, actor)
        .about(pin_set, &format!("Pin set frozen: {pin_set}"))
        .line(format!("Why: {reason}"))
        .line(format!(
            "{} in it; shares stay where they are, and harm is rolled back all the same",
            rollouts(open)
        ))
        .way(format!(
            "`pinion pin-set unfreeze {pin_set}` takes that away"
        ))
        .done()
}

/// Somebody took the freeze of a pin set away.
pub fn pin_set_unfrozen(
    pin_set: &PinSetName,
    reason: &Reason,
    open: usize,
    actor: &Actor,
    at: Timestamp,
) -> Notice {
    Draft::new(Kind::PinSetUnfrozen, at, actor)
        .about(pin_set, &format!("Pin set no longer frozen: {pin_set}"))
        .line(format!("Why: {reason}"))
        .by(actor)
        .line(format!("{} in it, by its policy again", rollouts(open)))
        .done()
}

fn rollouts(open: usize) -> String {
    match open {
        0 => "No rollout is open".to_owned(),
        1 => "1 rollout is open".to_owned(),
        many => format!("{many} rollouts are open"),
    }
}

/// A rollout that cannot go on without a person, although nothing is wrong with it; nothing where it only waits.
pub fn rollout_stuck(rollout: &Rollout, reason: &Reason, at: Timestamp) -> Option<Notice> {
    let id = &rollout.id;
    let way = match reason.plain() {
        Reason::PopulationTooSmall { .. } => format!(
            "`pinion rollout promote {id}` raises the share without evidence; `pinion rollout abort {id}` stops it"
        ),
        Reason::CalendarClosed { opens: None } => format!(
            "`pinion pin-set update {} --policy FILE` takes another calendar for the next rollouts; `pinion rollout promote {id}` goes on now",
            rollout.pin_set
        ),
        _ => return None,
    };
    let draft = Draft::new(Kind::Stuck, at, &Actor::Controller)
        .of_rollout(rollout, "Waits for a person")
        .line(format!("Why: {reason}"))
        .line(exposed_now(rollout));
    Some(draft.way(way).done())
}

/// A version that has waited for its trial for long, since something stands in its way; what, in words.
pub fn candidate_stuck(
    pin_set: &PinSetName,
    changes: &[PackageChange],
    since: Timestamp,
    words: &str,
    at: Timestamp,
) -> Notice {
    let mut notice = Draft::new(Kind::CandidateStuck, at, &Actor::Controller)
        .about(
            pin_set,
            &format!("Waits for its trial: {} in {pin_set}", in_short(changes)),
        )
        .line(format!("Why: {words}"))
        .line(format!("It has waited since {since}"))
        .way(format!(
            "`pinion pin-set queue {pin_set}` shows what waits; `pinion pin-set queue drop {pin_set} PACKAGE` takes it out"
        ))
        .done();
    notice.changes = super::named_changes(changes);
    notice
}

/// A notice by which a person tries a route.
pub fn test(route: &RouteName, actor: &Actor, at: Timestamp) -> Notice {
    Draft::new(Kind::Test, at, actor)
        .with_subject(&format!("Test of the route {route}"))
        .line(format!(
            "{actor} asked Pinion for this test; nothing has happened"
        ))
        .line("Whoever reads it is told of rollouts by this route".to_owned())
        .done()
}
