//! A decision about a rollout as notices.

use super::words::Draft;
use super::{Kind, Notice};
use crate::log::LogEntry;
use crate::numbers::{counted, thousands};
use crate::reason::{Reason, named, sides};
use crate::rollout::Rollout;
use crate::state::{Actor, State, StateKind};

/// A decision as it was logged, and what it led from and to.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    /// The rollout before; none: it was created.
    pub before: Option<&'a Rollout>,
    /// The rollout from now on.
    pub after: &'a Rollout,
    /// The decision.
    pub entry: &'a LogEntry,
    /// How many environments had pulled a candidate that is taken back; none: that is not known.
    pub had: Option<usize>,
}

impl Told<'_> {
    /// What people are told of it; nothing where it changes nothing for them.
    pub fn notices(&self) -> Vec<Notice> {
        let Some(before) = self.before else {
            return self.created();
        };
        let has_risen = self.entry.share_after > self.entry.share_before;
        let share = self.after.last_share();
        let (kind, what) = match (before.state.kind(), self.after.state.kind()) {
            (StateKind::Gating, StateKind::Gating) => return self.voted(before),
            (StateKind::Gating, StateKind::Baking) => {
                (Kind::Started, format!("Started at {share}"))
            }
            (StateKind::Baking | StateKind::Inconclusive, StateKind::Baking) if has_risen => {
                (Kind::Raised, format!("Raised to {share}"))
            }
            (from, to) if from == to => return Vec::new(),
            (StateKind::Paused | StateKind::Frozen, StateKind::Baking) => {
                (Kind::Resumed, format!("Goes on at {share}"))
            }
            (_, StateKind::Paused) => match self.entry.actor {
                Actor::Controller => (Kind::Paused, format!("Harm seen, paused at {share}")),
                Actor::Token(_) => (Kind::Paused, format!("Paused at {share}")),
            },
            (_, StateKind::Frozen) => (Kind::Frozen, format!("Frozen at {share}, needs a person")),
            (_, StateKind::Inconclusive) => (
                Kind::Inconclusive,
                format!("No answer at {share}, needs a person"),
            ),
            (_, StateKind::Completed) => (Kind::Completed, "Completed".to_owned()),
            (StateKind::Gating, StateKind::RolledBack) => {
                (Kind::RolledBack, "Rolled back before it began".to_owned())
            }
            (_, StateKind::RolledBack) => (Kind::RolledBack, format!("Rolled back at {share}")),
            (_, StateKind::Aborted) => (Kind::Aborted, self.aborted()),
            (_, StateKind::Superseded) => (Kind::Superseded, "Superseded".to_owned()),
            (_, StateKind::Gating | StateKind::Baking) => return Vec::new(),
        };
        let blocked = kind == Kind::RolledBack && !self.after.is_shadow();
        let blocked =
            blocked.then(|| "It is blocked: nothing proposes it again by itself".to_owned());
        let draft = self
            .begun(kind, &what)
            .line(self.affected(before))
            .line(self.evidence());
        let draft = draft.line(blocked);
        vec![self.with_ways(draft, kind).done()]
    }

    /// Why, and by whom.
    fn begun(&self, kind: Kind, what: &str) -> Draft {
        let Self { after, entry, .. } = self;
        // That a person asked for it is said by who did.
        let says_more = match entry.reason.plain() {
            Reason::Created => false,
            Reason::Asked { words } => !words.is_empty(),
            _ => true,
        };
        let has_author = matches!(entry.actor, Actor::Token(_));
        Draft::new(kind, entry.at, &entry.actor)
            .of_rollout(after, what)
            .line((says_more || !has_author).then(|| format!("Why: {}", entry.reason)))
            .by(&entry.actor)
    }

    /// A new rollout, by what it waits for.
    fn created(&self) -> Vec<Notice> {
        let missing = self.after.approvals_missing();
        let gates = &self.after.policy.gates;
        let notice = |kind: Kind, what: &str| {
            let draft = self.begun(kind, what).line(self.approvals());
            let young = self.after.not_before.as_ref();
            let young = young.map(|(until, package)| {
                format!("The version of {package} is old enough on {until}")
            });
            let tests = (!gates.is_empty())
                .then(|| format!("The tests of {} come before anybody gets it", named(gates)));
            self.with_ways(draft.line(young).line(tests), kind).done()
        };
        let needed = (missing > 0).then(|| {
            let what = format!("Needs {}", counted(u64::from(missing), "approval"));
            notice(Kind::ApprovalNeeded, &what)
        });
        let tests = (!gates.is_empty()).then(|| {
            let what = format!("Waits for the tests of {}", named(gates));
            notice(Kind::GateWaiting, &what)
        });
        let created = notice(Kind::Created, "New rollout");
        needed.into_iter().chain(tests).chain([created]).collect()
    }

    /// An approval that was taken back is needed again.
    fn voted(&self, before: &Rollout) -> Vec<Notice> {
        let missing = self.after.approvals_missing();
        if missing <= before.approvals_missing() {
            return Vec::new();
        }
        let what = format!("Needs {} again", counted(u64::from(missing), "approval"));
        let draft = self
            .begun(Kind::ApprovalNeeded, &what)
            .line(self.approvals());
        vec![self.with_ways(draft, Kind::ApprovalNeeded).done()]
    }

    fn approvals(&self) -> Option<String> {
        let missing = self.after.approvals_missing();
        (missing > 0).then(|| {
            let approved = self.after.approvals.iter();
            let reason = Reason::ApprovalsOutstanding {
                approved: approved.map(|approval| approval.by.to_string()).collect(),
                missing,
                approvers: self.after.policy.approvers.clone(),
            };
            reason.to_string()
        })
    }

    fn aborted(&self) -> String {
        match (
            self.entry.reason.plain(),
            self.before.map(Rollout::last_share),
        ) {
            (Reason::Denied { .. }, _) => "Refused".to_owned(),
            (_, Some(share)) if share.value() > 0.0 => format!("Stopped at {share}"),
            _ => "Stopped".to_owned(),
        }
    }

    /// Who has the candidate, had it, or gets it.
    fn affected(&self, before: &Rollout) -> Option<String> {
        if self.after.is_shadow() {
            return None;
        }
        let population = self.after.fleet.as_ref().map(|fleet| fleet.population);
        let of = |population: u32| counted(u64::from(population), "environment");
        match (&self.after.state, population) {
            (State::RolledBack { .. }, _) if before.state == State::Gating => {
                Some("Nobody had it".to_owned())
            }
            (State::RolledBack { .. }, _) => Some(match self.had {
                Some(had) => format!(
                    "{} had pulled it; the next pull of each gives the baseline again",
                    counted(had as u64, "environment")
                ),
                None => "Whoever had it gets the baseline again with the next pull".to_owned(),
            }),
            (State::Aborted { .. } | State::Superseded { .. }, _) => {
                let share = before.last_share();
                (share.value() > 0.0).then(|| {
                    format!("{share} of the environments had it; the next pull of each gives the baseline again")
                })
            }
            (State::Completed { .. }, _) => Some("It is the baseline of everybody now".to_owned()),
            (
                State::Paused { .. } | State::Frozen { .. } | State::Inconclusive,
                Some(population),
            ) => Some(format!(
                "{} of {} keep it meanwhile; nobody else gets it",
                self.after.share(),
                of(population)
            )),
            (State::Baking, Some(population)) => Some(format!(
                "{} of {} have it with their next pull",
                self.after.share(),
                of(population)
            )),
            _ => None,
        }
    }

    /// The counts, where the reason does not say them and somebody has reported.
    fn evidence(&self) -> Option<String> {
        let evidence = &self.entry.evidence;
        let says_them = matches!(
            self.entry.reason.plain(),
            Reason::Harmful { .. }
                | Reason::HarmfulTogether { .. }
                | Reason::Completed { .. }
                | Reason::Cleared { .. }
                | Reason::NoHarmSeen { .. }
                | Reason::Inconclusive { .. }
                | Reason::AssignmentDoubtful { .. }
        );
        (!says_them && evidence.exposed_total.reporting > 0).then(|| {
            format!(
                "So far {}",
                sides(&evidence.exposed_total, &evidence.control_total)
            )
        })
    }

    fn with_ways(&self, draft: Draft, kind: Kind) -> Draft {
        let id = &self.after.id;
        let run = |verb: &str| format!("`pinion rollout {verb} {id}`");
        match kind {
            Kind::ApprovalNeeded => draft.way(format!(
                "{} approves it; {} ends it",
                run("approve"),
                run("deny")
            )),
            Kind::GateWaiting => {
                let consumers = self.after.policy.gates.iter();
                consumers.take(3).fold(draft, |draft, consumer| {
                    draft.way(format!(
                        "In the CI of {consumer}: `pinion gate run --consumer {consumer} -- COMMAND`"
                    ))
                })
            }
            Kind::RolledBack => {
                let filed = match &self.after.state {
                    State::RolledBack {
                        filing: Some(_), ..
                    } => Some("See that the change is merged which takes the version out of the file; it is being filed".to_owned()),
                    _ => None,
                };
                let lift = (!self.after.is_shadow()).then(|| {
                    format!(
                        "{} lifts the block, once the cause is gone",
                        lift(self.after)
                    )
                });
                draft.way(filed).way(lift)
            }
            Kind::Paused | Kind::Frozen => draft.way(format!(
                "{} goes on; {} takes it back and blocks it; {} only stops it",
                run("resume"),
                run("rollback"),
                run("abort")
            )),
            Kind::Inconclusive => draft.way(format!(
                "{} gives it to everybody; {} takes it back and blocks it; {} only stops it",
                run("promote"),
                run("rollback"),
                run("abort")
            )),
            Kind::Created => draft.way(format!("{} stops it", run("abort"))),
            Kind::Started | Kind::Raised | Kind::Resumed => draft.way(format!(
                "{} keeps the share, {} stops it",
                run("pause"),
                run("abort")
            )),
            _ => draft,
        }
    }
}

/// The command that lifts the block of a rollout's versions.
pub(super) fn lift(rollout: &Rollout) -> String {
    let version = match rollout.changes.as_slice() {
        [change] => change
            .to
            .as_ref()
            .map(|to| format!("{} {to}", change.package.written())),
        _ => None,
    };
    let version = version.unwrap_or_else(|| "PACKAGE VERSION".to_owned());
    format!(
        "`pinion pin-set lift {} {version} --reason WHY`",
        rollout.pin_set
    )
}

/// What a share is of, for occasions that know no more than the rollout.
pub(super) fn exposed_now(rollout: &Rollout) -> Option<String> {
    let fleet = rollout.fleet.as_ref()?;
    Some(format!(
        "{} of {} environments have it",
        rollout.share(),
        thousands(u64::from(fleet.population))
    ))
}
