//! The states that the decisions led through, and each decision made again in the state before it.

use super::Kept;
use crate::decide::{Action, Decision, decide};
use crate::draw::Share;
use crate::log::LogEntry;
use crate::name::RolloutId;
use crate::prediction::STRATA;
use crate::reason::Reason;
use crate::rollout::{ApprovalError, Epoch, Fleet, Opening, Rollout, Settled};
use crate::state::{Actor, State, Step};

/// Failed of reporting among revealed control environments, by stratum.
pub(super) type Control = [(u64, u64); STRATA];

/// What deciding again came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Again {
    /// The same.
    Same,
    /// Something else, in words.
    Differs(String),
    /// It was not decided by rule: a person, an import or a file asked for it.
    NotDecided,
}

/// A rollout that goes through its decisions.
#[derive(Debug)]
pub(super) struct Machine<'a> {
    kept: &'a Kept,
    state: Option<Rollout>,
    lost: &'static str,
    has_opened: bool,
}

impl<'a> Machine<'a> {
    pub(super) fn new(kept: &'a Kept) -> Self {
        Self {
            kept,
            state: Some(as_created(&kept.rollout)),
            lost: "",
            has_opened: false,
        }
    }

    /// The rollout before the next decision; none once the trail was lost.
    pub(super) const fn state(&self) -> Option<&Rollout> {
        self.state.as_ref()
    }

    /// Why the trail was lost.
    pub(super) const fn lost(&self) -> &'static str {
        self.lost
    }

    /// Whether the last decision opened an epoch.
    pub(super) const fn has_opened(&self) -> bool {
        self.has_opened
    }

    pub(super) fn lose(&mut self, why: &'static str) {
        self.state = None;
        self.lost = why;
    }

    pub(super) fn decide_again(&self, before: &Rollout, entry: &LogEntry) -> Again {
        let plain = entry.reason.plain();
        let partner = match plain {
            Reason::PartnerRolledBack { partner } => Some(partner),
            reason if is_by_rule(reason) => None,
            _ => return Again::NotDecided,
        };
        if entry.actor != Actor::Controller {
            return Again::NotDecided;
        }
        let fleet = before.fleet.as_ref().or(self.kept.rollout.fleet.as_ref());
        let nobody = Fleet {
            population: 0,
            prediction: crate::prediction::Prediction::from_history(&[0; 11], &[0; 5]),
        };
        let decision = decide(
            before,
            &entry.evidence,
            &self.kept.gates,
            fleet.unwrap_or(&nobody),
            // What was raised or completed by rule was so while nothing was frozen.
            None,
            entry.at,
        );
        match (plain, partner) {
            // Where it survived a partner that the partner's own evidence, or this one's, made go.
            (_, Some(partner)) => match decision.action {
                Action::Part(found) if found == *partner => Again::Same,
                _ => Again::NotDecided,
            },
            (Reason::HarmfulTogether { with, .. }, _) => {
                self.together(before, entry, with, &decision)
            }
            _ => compare(entry, &decision),
        }
    }

    /// The numbers are those of the rollout that found the harm: this one, or the partner, whose restart stands in the
    /// same transaction.
    fn together(
        &self,
        before: &Rollout,
        entry: &LogEntry,
        with: &RolloutId,
        decision: &Decision,
    ) -> Again {
        let is_of = |reason: Reason| reason == entry.reason;
        let own = Reason::harmful_together(&entry.evidence, before.share(), with.clone());
        if matches!(&decision.action, Action::Part(partner) if partner == with) && is_of(own) {
            return Again::Same;
        }
        let found_by_partner = self.kept.partners.iter().any(|restart| {
            let reason =
                Reason::harmful_together(&restart.evidence, restart.share_before, with.clone());
            restart.is_intact() && restart.at == entry.at && is_of(reason)
        });
        match found_by_partner {
            true => Again::Same,
            false => Again::Differs(
                "neither its evidence nor that of its partner says that they are harmful together"
                    .to_owned(),
            ),
        }
    }

    /// Takes the step that an entry tells of; fails where it does not lead to what the entry says.
    pub(super) fn follow(
        &mut self,
        before: &Rollout,
        entry: &LogEntry,
        control: Option<Control>,
    ) -> Result<(), String> {
        self.has_opened = false;
        let after = match self.after(before, entry, control) {
            Ok(after) => after,
            Err(why) => {
                self.lose("a step before it could not be followed");
                return Err(why);
            }
        };
        let mut differences = Vec::new();
        let mut hold = |what: &str, says: String, is: String| {
            if says != is {
                differences.push(format!("it says {what} {says}, and that was {is}"));
            }
        };
        let text = |share: Share| share.to_string();
        hold(
            "share before",
            text(entry.share_before),
            text(before.share()),
        );
        hold("share after", text(entry.share_after), text(after.share()));
        hold(
            "epoch",
            entry.epoch.to_string(),
            after.epoch_index().to_string(),
        );
        self.state = Some(after);
        match differences.is_empty() {
            true => Ok(()),
            false => Err(differences.join("; ")),
        }
    }

    fn after(
        &mut self,
        before: &Rollout,
        entry: &LogEntry,
        control: Option<Control>,
    ) -> Result<Rollout, String> {
        let at = entry.at;
        let refused = |error: crate::rollout::IllegalStep| error.to_string();
        let Some(step) = step_of(&entry.action) else {
            return Ok(before.clone());
        };
        let voted =
            |after: Result<Rollout, ApprovalError>| after.map_err(|error| error.to_string());
        let after = match (step, entry.reason.plain()) {
            (Step::Approve, _) => return voted(before.approve(&entry.actor, at)),
            (Step::Withdraw, _) => return voted(before.withdraw(&entry.actor, at)),
            (Step::Deny, _) => return voted(before.deny(&entry.actor, at)),
            (Step::Raise, _) => return self.opened(before, entry),
            (Step::Settle, _) => {
                let control = control.unwrap_or_default();
                before.settle(Settled {
                    at,
                    folded: entry.folded,
                    control,
                })
            }
            (Step::Watch, Reason::Watched { until, .. }) => before.watch(*until, at),
            (Step::Watch, _) => return Err("it says not until when it waits".to_owned()),
            (Step::Pause, _) => {
                let by = entry.actor.clone();
                before.enter(step, State::Paused { by }, at)
            }
            (Step::Resume, _) => before.resume(&entry.evidence, entry.folded, at),
            (Step::Restart, _) => before.restart(entry.folded, at),
            (Step::Freeze, reason) => {
                let cause = reason.to_string();
                before.enter(step, State::Frozen { cause }, at)
            }
            (Step::Conclude, _) => before.enter(step, State::Inconclusive, at),
            (Step::Complete | Step::RollBack | Step::Abort | Step::Supersede, _) => {
                before.enter(step, self.kept.rollout.state.clone(), at)
            }
        };
        after.map_err(refused)
    }

    /// The next epoch: as it was kept, and as it follows from what was known.
    fn opened(&mut self, before: &Rollout, entry: &LogEntry) -> Result<Rollout, String> {
        let index = before.epoch_index() + 1;
        let kept = self.kept.epochs.iter().find_map(|kept| match &kept.epoch {
            Ok(epoch) if epoch.index == index => Some(epoch),
            _ => None,
        });
        let Some(kept) = kept else {
            return Err(format!("epoch {index}, which it opened, is not kept"));
        };
        let (Some(fleet), platforms) = (&self.kept.rollout.fleet, &self.kept.rollout.platforms)
        else {
            return Err("the fleet that it began with is not kept".to_owned());
        };
        let opening = Opening {
            fleet: fleet.clone(),
            to: (kept.step, kept.share),
            by_person: entry.actor != Actor::Controller,
            folded: entry.folded,
            pool: kept.pool.clone(),
            platforms: platforms.clone(),
            partners: kept.partners.clone(),
        };
        let mut after = before
            .raise(opening, entry.at)
            .map_err(|error| error.to_string())?;
        let was_counted = before
            .epoch
            .as_ref()
            .and_then(|epoch| epoch.settled.as_ref())
            .is_none_or(|settled| settled.control != Control::default());
        if let Some(epoch) = &mut after.epoch {
            if !was_counted {
                epoch.prediction = kept.prediction.clone();
            }
            if let Some(what) = difference(kept, epoch) {
                return Err(format!("epoch {index} was opened with {what}"));
            }
            after.prediction = Some(epoch.prediction.clone());
        }
        self.has_opened = true;
        Ok(after)
    }

    /// Where the rollout's record is not what its decisions have led to.
    pub(super) fn differences(&self) -> Vec<String> {
        let Some(state) = &self.state else {
            return Vec::new();
        };
        let record = &self.kept.rollout;
        let of = |rollout: &Rollout| {
            [
                ("state", rollout.state.kind().to_string()),
                ("epoch", rollout.epoch_index().to_string()),
                ("share", rollout.share().to_string()),
                ("shares so far", format!("{:?}", rollout.shares)),
                ("fresh starts", format!("{:?}", rollout.restarts)),
                ("waits", rollout.watched.to_string()),
            ]
        };
        let pairs = of(record).into_iter().zip(of(state));
        pairs
            .filter(|((_, is), (_, must))| is != must)
            .map(|((what, is), (_, must))| {
                format!("the rollout's {what} is {is}, and its decisions led to {must}")
            })
            .collect()
    }
}

/// The rollout before anything was decided.
fn as_created(rollout: &Rollout) -> Rollout {
    Rollout {
        state: State::Gating,
        updated_at: rollout.created_at,
        fleet: None,
        epoch: None,
        shares: Vec::new(),
        prediction: None,
        platforms: Vec::new(),
        begun_after: 0,
        watched: 0,
        watched_until: None,
        interfered: false,
        restarts: Vec::new(),
        overruled: None,
        approvals: Vec::new(),
        decisions: 0,
        last_hash: String::new(),
        ..rollout.clone()
    }
}

/// Whether [`decide`] gives such a reason for doing something.
const fn is_by_rule(reason: &Reason) -> bool {
    matches!(
        reason,
        Reason::Begun { .. }
            | Reason::WindowsEnded { .. }
            | Reason::NoHarmSeen { .. }
            | Reason::Cleared { .. }
            | Reason::Completed { .. }
            | Reason::Inconclusive { .. }
            | Reason::Watched { .. }
            | Reason::AssignmentDoubtful { .. }
            | Reason::Harmful { .. }
            | Reason::HarmfulTogether { .. }
    )
}

const ALL: [Step; 15] = [
    Step::Approve,
    Step::Withdraw,
    Step::Deny,
    Step::Raise,
    Step::Settle,
    Step::Pause,
    Step::Resume,
    Step::Freeze,
    Step::Conclude,
    Step::Complete,
    Step::RollBack,
    Step::Abort,
    Step::Supersede,
    Step::Watch,
    Step::Restart,
];

/// The step that the log calls so; none where the rollout stays as it is.
fn step_of(action: &str) -> Option<Step> {
    ALL.into_iter().find(|step| step.as_str() == action)
}

const fn step_for(action: &Action) -> Option<Step> {
    match action {
        Action::Wait => None,
        Action::Settle => Some(Step::Settle),
        Action::Raise(..) => Some(Step::Raise),
        Action::Watch(_) => Some(Step::Watch),
        Action::Conclude => Some(Step::Conclude),
        Action::Complete => Some(Step::Complete),
        // A partner that has completed cannot go, so that this one does.
        Action::RollBack | Action::Part(_) => Some(Step::RollBack),
        Action::Pause => Some(Step::Pause),
        Action::Freeze => Some(Step::Freeze),
    }
}

fn compare(entry: &LogEntry, decision: &Decision) -> Again {
    let (was, is) = (step_of(&entry.action), step_for(&decision.action));
    let raised = match &decision.action {
        Action::Raise(_, share) => Some(*share),
        _ => None,
    };
    if was != is {
        let is = is.map_or("wait", Step::as_str);
        return Again::Differs(format!("decided again it is to {is}: {}", decision.reason));
    }
    if let Some(share) = raised.filter(|share| *share != entry.share_after) {
        return Again::Differs(format!("decided again it raises the share to {share}"));
    }
    match decision.reason == entry.reason {
        true => Again::Same,
        false => Again::Differs(format!("decided again its reason is: {}", decision.reason)),
    }
}

/// What of an epoch is not as it was opened.
fn difference(kept: &Epoch, opened: &Epoch) -> Option<&'static str> {
    let Epoch {
        index,
        step,
        before,
        share,
        since,
        ends,
        last_opening,
        folded,
        pool: _,
        settled: _,
        partners: _,
        prediction,
        rebased,
    } = kept;
    let same = [
        (*index == opened.index, "another number than is kept"),
        (*step == opened.step, "another step than is kept"),
        (
            *before == opened.before,
            "another share before than is kept",
        ),
        (*share == opened.share, "another share than is kept"),
        (*since == opened.since, "another beginning than is kept"),
        (*ends == opened.ends, "another end than is kept"),
        (
            *last_opening == opened.last_opening,
            "another last opening of windows than is kept",
        ),
        (*folded == opened.folded, "another revision than is kept"),
        (
            *prediction == opened.prediction,
            "other predictions than are kept",
        ),
        (*rebased == opened.rebased, "another basis than is kept"),
    ];
    same.into_iter()
        .find(|(is_same, _)| !is_same)
        .map(|(_, what)| what)
}
