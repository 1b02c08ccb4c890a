//! What a rollout does next, and why. Equal inputs give equal decisions.

use crate::calendar::StandingFreeze;
use crate::draw::Share;
use crate::evidence::Evidence;
use crate::gate::{Gate, GateState};
use crate::mixture::Target;
use crate::name::RolloutId;
use crate::path::{POPULATION_MIN, Step as PathStep};
use crate::policy::{OnHarm, OnInconclusive};
use crate::reason::Reason;
use crate::requires::Unmet;
use crate::rollout::{Epoch, Fleet, Rollout};
use crate::state::State;
use crate::time::Timestamp;

/// The log of the evidence of detector E from which on the share waits.
const WATCHED: f64 = 1.791_759_469_228_055;
/// How often in a row the share waits because of it.
pub const WATCHES_MAX: u32 = 2;

/// Whether the share waits for more evidence: detector E stands at 6 to 1 or more.
pub fn is_watched(log_e: f64) -> bool {
    log_e >= WATCHED
}

/// What is done.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Nothing yet.
    Wait,
    /// The windows of the epoch end; what follows is decided next.
    Settle,
    /// The share is raised.
    Raise(PathStep, Share),
    /// The share stays until then, and it is decided again.
    Watch(Timestamp),
    /// The path has ended without an answer.
    Conclude,
    /// The candidate becomes the baseline.
    Complete,
    /// The baseline is served at once, the versions are blocked and the rollback is filed.
    RollBack,
    /// The less exposed of this rollout and that one is rolled back, the other starts afresh.
    Part(RolloutId),
    /// The share stays until a person has looked.
    Pause,
    /// Automation stops itself.
    Freeze,
}

/// What is done, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// What.
    pub action: Action,
    /// Why, with its numbers.
    pub reason: Reason,
}

impl Decision {
    fn wait(reason: Reason) -> Self {
        Self {
            action: Action::Wait,
            reason,
        }
    }

    /// The decision, unless it gives the candidate to more environments while the baseline does not admit it: that
    /// waits until it does. Nothing that takes a candidate back waits.
    #[must_use]
    pub fn unless(self, unmet: Option<Unmet>) -> Self {
        match (&self.action, unmet) {
            (Action::Raise(..) | Action::Complete, Some(unmet)) => {
                Self::wait(Reason::RequirementUnmet {
                    unmet: Box::new(unmet),
                })
            }
            _ => self,
        }
    }
}

/// Decides what `rollout` does next on `evidence`, in a fleet as it is `now`; `gates`: those of its policy, `freeze`: that
/// of its pin set. Of a rollout that is only played it says what would be done.
pub fn decide(
    rollout: &Rollout,
    evidence: &Evidence,
    gates: &[Gate],
    fleet: &Fleet,
    freeze: Option<&StandingFreeze>,
    now: Timestamp,
) -> Decision {
    let decision = decide_state(rollout, evidence, gates, fleet, freeze, now);
    match rollout.is_shadow() {
        true => Decision {
            reason: decision.reason.in_shadow(),
            ..decision
        },
        false => decision,
    }
}

fn decide_state(
    rollout: &Rollout,
    evidence: &Evidence,
    gates: &[Gate],
    fleet: &Fleet,
    freeze: Option<&StandingFreeze>,
    now: Timestamp,
) -> Decision {
    match &rollout.state {
        State::Gating => decide_beginning(rollout, gates, fleet, freeze, now),
        State::Baking => decide_epoch(rollout, evidence, freeze, now),
        State::Paused { by } => harm(rollout, evidence, false)
            .unwrap_or_else(|| Decision::wait(Reason::Halted { by: by.to_string() })),
        State::Frozen { cause } => Decision::wait(Reason::Frozen {
            cause: cause.clone(),
        }),
        State::Inconclusive => harm(rollout, evidence, false)
            .unwrap_or_else(|| Decision::wait(Reason::inconclusive(evidence))),
        State::Completed { .. }
        | State::RolledBack { .. }
        | State::Aborted { .. }
        | State::Superseded { .. } => Decision::wait(Reason::Ended),
    }
}

/// Which of two rollouts that are harmful together is rolled back: the less exposed, of equals the younger.
pub fn less_exposed<'a>(one: &'a Rollout, other: &'a Rollout) -> &'a Rollout {
    let key = |rollout: &Rollout| {
        (
            rollout.share().value(),
            std::cmp::Reverse((rollout.created_at, rollout.id.clone())),
        )
    };
    if key(one) <= key(other) { one } else { other }
}

fn decide_beginning(
    rollout: &Rollout,
    gates: &[Gate],
    fleet: &Fleet,
    freeze: Option<&StandingFreeze>,
    now: Timestamp,
) -> Decision {
    if let Some(wait) = unapproved(rollout) {
        return wait;
    }
    if let Some((until, package)) = &rollout.not_before
        && now < *until
    {
        return Decision::wait(Reason::TooYoung {
            package: package.clone(),
            until: *until,
        });
    }
    let wait = gated(gates, now).or_else(|| too_small(fleet));
    if let Some(wait) = wait.or_else(|| closed(rollout, freeze, now)) {
        return wait;
    }
    let reason = Reason::Begun {
        population: fleet.population,
    };
    match rollout.next(fleet, false) {
        Some((step, share)) => Decision {
            action: Action::Raise(step, share),
            reason,
        },
        None => Decision::wait(Reason::Ended),
    }
}

/// The wait for people.
fn unapproved(rollout: &Rollout) -> Option<Decision> {
    let missing = rollout.approvals_missing();
    let names = rollout.approvals.iter();
    (missing > 0).then(|| {
        Decision::wait(Reason::ApprovalsOutstanding {
            approved: names.map(|approval| approval.by.to_string()).collect(),
            missing,
            approvers: rollout.policy.approvers.clone(),
        })
    })
}

/// The wait for gates: until all have passed, and for a person once one has failed.
fn gated(gates: &[Gate], now: Timestamp) -> Option<Decision> {
    if let Some(failed) = gates.iter().find(|gate| gate.state == GateState::Failed) {
        return Some(Decision::wait(Reason::GateFailed {
            consumer: failed.consumer.clone(),
            runs: failed.failed_runs(),
            category: failed.last_failure().map(|failure| failure.category),
        }));
    }
    let of = |is: fn(&GateState) -> bool| {
        let those = gates.iter().filter(|gate| is(gate.standing(now)));
        those.map(|gate| gate.consumer.clone()).collect::<Vec<_>>()
    };
    let waiting = of(|state| *state == GateState::Waiting);
    let running = of(|state| matches!(state, GateState::Leased(_)));
    let outstanding = waiting.len() + running.len();
    (outstanding > 0).then(|| {
        Decision::wait(Reason::GatesOutstanding {
            waiting,
            running,
            passed: u32::try_from(gates.len() - outstanding).unwrap_or(u32::MAX),
        })
    })
}

/// What is done about harm, if the evidence says harmful; `may_pause`: the state allows to pause.
fn harm(rollout: &Rollout, evidence: &Evidence, may_pause: bool) -> Option<Decision> {
    let partner = match &evidence.blaming()?.target {
        Target::Pair(partner) => partner.parse().ok(),
        _ => None,
    };
    let action = match (rollout.policy.on_harm, partner) {
        (OnHarm::Pause, _) if may_pause => Action::Pause,
        (OnHarm::Pause, _) => return None,
        (OnHarm::RollBack, Some(partner)) => Action::Part(partner),
        (OnHarm::RollBack, None) => Action::RollBack,
    };
    Some(Decision {
        action,
        reason: Reason::harmful(evidence, rollout.share()),
    })
}

fn decide_epoch(
    rollout: &Rollout,
    evidence: &Evidence,
    freeze: Option<&StandingFreeze>,
    now: Timestamp,
) -> Decision {
    if let Some(decision) = harm(rollout, evidence, true) {
        return decision;
    }
    let (Some(epoch), Some(fleet)) = (&rollout.epoch, &rollout.fleet) else {
        return Decision::wait(Reason::Ended);
    };
    // Not before the end of the windows: until then those who report are those who are quick.
    let have_ended = epoch.settled.is_some() || now >= epoch.ends;
    if have_ended && rollout.is_doubtful(evidence) {
        return Decision {
            action: Action::Freeze,
            reason: Reason::AssignmentDoubtful {
                exposed: evidence.exposed,
                control: evidence.control,
                log_e: evidence.guard_log_e,
            },
        };
    }
    if epoch.settled.is_none() {
        return decide_windows(rollout, epoch, evidence, now);
    }
    if let Some(until) = rollout.watched_until.filter(|until| now < *until) {
        return Decision::wait(Reason::watched(evidence, until));
    }
    if let Some(wait) = closed(rollout, freeze, now) {
        return wait;
    }
    if epoch.step == PathStep::Full {
        return Decision {
            action: Action::Complete,
            reason: Reason::completed(evidence),
        };
    }
    if let Some(wait) = too_small(fleet) {
        return wait;
    }
    decide_raise(rollout, evidence, fleet, now)
}

/// What follows an epoch in which no detector fired.
fn decide_raise(rollout: &Rollout, evidence: &Evidence, fleet: &Fleet, now: Timestamp) -> Decision {
    let next = rollout.next(fleet, evidence.is_clear());
    let in_pilot = matches!(next, Some((PathStep::Pilot(_), _)));
    if !in_pilot && is_watched(evidence.events.log_e) && rollout.watched < WATCHES_MAX {
        let until = rollout
            .policy
            .calendar
            .plus_working(now, rollout.policy.bake);
        return Decision {
            action: Action::Watch(until),
            reason: Reason::watched(evidence, until),
        };
    }
    let (action, reason) = match (next, rollout.policy.on_inconclusive) {
        (Some((PathStep::Full, share)), _) => (
            Action::Raise(PathStep::Full, share),
            Reason::cleared(evidence),
        ),
        (Some((step, share)), _) => (Action::Raise(step, share), Reason::no_harm_seen(evidence)),
        (None, OnInconclusive::Wait) => (Action::Conclude, Reason::inconclusive(evidence)),
        (None, OnInconclusive::Complete) => (
            Action::Raise(PathStep::Full, Share::ONE),
            Reason::inconclusive(evidence),
        ),
    };
    Decision { action, reason }
}

fn decide_windows(
    rollout: &Rollout,
    epoch: &Epoch,
    evidence: &Evidence,
    now: Timestamp,
) -> Decision {
    if now < epoch.ends {
        return Decision::wait(Reason::Baking { until: epoch.ends });
    }
    let (have, need) = (evidence.reporting(), rollout.policy.minimum_environments);
    if have < need && epoch.step != PathStep::Full {
        return Decision::wait(Reason::TooFewEnvironments { have, need });
    }
    let reason = Reason::WindowsEnded {
        exposed: evidence.exposed,
        control: evidence.control,
    };
    Decision {
        action: Action::Settle,
        reason,
    }
}

fn too_small(fleet: &Fleet) -> Option<Decision> {
    (fleet.population < POPULATION_MIN).then(|| {
        Decision::wait(Reason::PopulationTooSmall {
            have: fleet.population,
            need: POPULATION_MIN,
        })
    })
}

fn closed(rollout: &Rollout, freeze: Option<&StandingFreeze>, now: Timestamp) -> Option<Decision> {
    if let Some(freeze) = freeze.filter(|freeze| freeze.holds(now)) {
        return Some(Decision::wait(Reason::PinSetFrozen {
            by: freeze.by.to_string(),
            until: freeze.until,
            words: freeze.reason.clone(),
        }));
    }
    let calendar = &rollout.policy.calendar;
    (!calendar.is_open(now)).then(|| {
        Decision::wait(Reason::CalendarClosed {
            opens: calendar.next_opening(now),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::Seed;
    use crate::gate::{Failure, Lease, Report, Run};
    use crate::name::LeaseId;
    use crate::outcome::Category;
    use crate::policy::Policy;
    use crate::prediction::Prediction;
    use crate::rollout::{ApprovalError, Lane};
    use crate::state::Actor;
    use std::time::Duration;

    const NOON: Timestamp = Timestamp::from_unix_ms(1_709_640_000_000);

    fn gate(consumer: &str) -> Gate {
        Gate::new(consumer.parse().expect("a name"))
    }

    fn leased(consumer: &str) -> Gate {
        let lease = Lease {
            id: LeaseId::from_random([1; 16]),
            by: Actor::Controller,
            until: NOON.plus(Duration::from_secs(60)),
        };
        gate(consumer).lease(lease, NOON).expect("it waits")
    }

    fn reported(consumer: &str, failure: Option<Failure>) -> Gate {
        let run = Run {
            lease: LeaseId::from_random([1; 16]),
            by: Actor::Controller,
            at: NOON,
            report: Report {
                failure,
                link: String::new(),
            },
        };
        let gate = leased(consumer).report(run, 1).expect("a lease");
        gate.expect("a new report")
    }

    fn waits_for(gates: &[Gate], now: Timestamp) -> String {
        gated(gates, now).map_or_else(String::new, |wait| wait.reason.to_string())
    }

    #[test]
    fn nothing_begins_until_every_gate_has_passed() {
        assert_eq!(gated(&[], NOON), None);
        assert_eq!(gated(&[reported("nova", None)], NOON), None);
        let gates = [gate("nova"), leased("neutron"), reported("cinder", None)];
        assert_eq!(
            waits_for(&gates, NOON),
            "the tests of consumers come first: nova waits for a job, neutron runs; 1 of 3 gates has passed"
        );
        assert_eq!(
            waits_for(&gates, NOON.plus(Duration::from_secs(60))),
            "the tests of consumers come first: nova and neutron wait for a job; 1 of 3 gates has passed"
        );
    }

    #[test]
    fn what_the_baseline_does_not_admit_goes_no_further_and_is_taken_back_all_the_same() {
        let package = |name| {
            let ecosystem = crate::ecosystem::Ecosystem::Pypi;
            crate::name::PackageName::parse(ecosystem, name).expect("a name")
        };
        let version = |text| {
            let ecosystem = crate::ecosystem::Ecosystem::Pypi;
            crate::version::Version::parse(ecosystem, text).expect("a version")
        };
        let unmet = Unmet {
            package: package("markupsafe"),
            version: version("2.1"),
            requirement: crate::requires::Requirement::parse(
                crate::ecosystem::Ecosystem::Pypi,
                "jinja2>=3",
            )
            .expect("a requirement"),
            have: version("2.11"),
        };
        let decision = |action| Decision {
            action,
            reason: Reason::Created,
        };
        let raise = Action::Raise(PathStep::Full, Share::ONE);
        for action in [raise.clone(), Action::Complete] {
            let held = decision(action).unless(Some(unmet.clone()));
            assert_eq!(held.action, Action::Wait);
            assert_eq!(
                held.reason.to_string(),
                "in the baseline with nothing but this candidate, markupsafe 2.1 needs jinja2 >=3, and jinja2 is at 2.11; it goes on when that has changed"
            );
        }
        assert_eq!(decision(raise.clone()).unless(None).action, raise);
        let back = decision(Action::RollBack).unless(Some(unmet));
        assert_eq!(back.action, Action::RollBack);
    }

    #[test]
    fn a_gate_that_failed_takes_a_person() {
        let failure = Failure {
            category: Category::Test,
            fingerprint: None,
        };
        let gates = [gate("nova"), reported("neutron", Some(failure))];
        let wait = gated(&gates, NOON).expect("it waits");
        assert_eq!(wait.action, Action::Wait);
        assert_eq!(
            wait.reason.to_string(),
            "the gate of neutron failed: 1 run failed with the candidate, the last in test; a person may promote it all the same, or stop it"
        );
    }

    /// A rollout that waits to begin, started by ann.
    fn gating(policy: Policy) -> Rollout {
        Rollout {
            id: RolloutId::from_random([1; 8]),
            pin_set: "mine".parse().expect("a name"),
            changes: Vec::new(),
            seed: Seed::from_random([1; 16]),
            policy,
            lane: Lane::Ordinary,
            approvals: Vec::new(),
            created_at: NOON,
            created_by: person("ann"),
            origin: None,
            published_at: None,
            not_before: None,
            state: State::Gating,
            updated_at: NOON,
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
            decisions: 1,
            last_hash: String::new(),
        }
    }

    fn person(name: &str) -> Actor {
        Actor::Token(name.to_owned())
    }

    fn decided(rollout: &Rollout, freeze: Option<&StandingFreeze>, now: Timestamp) -> Decision {
        let fleet = Fleet {
            population: 100,
            prediction: Prediction::from_history(&[0; 11], &[0; 5]),
        };
        decide(rollout, &Evidence::default(), &[], &fleet, freeze, now)
    }

    #[test]
    fn different_people_approve_and_never_who_started_it() {
        let policy = Policy {
            approvals: 2,
            ..Policy::default()
        };
        let rollout = gating(policy);
        assert_eq!(decided(&rollout, None, NOON).action, Action::Wait);
        let own = rollout.approve(&person("ann"), NOON);
        assert_eq!(own, Err(ApprovalError::Own(person("ann"))));
        let once = rollout.approve(&person("bob"), NOON).expect("another");
        let twice = once.approve(&person("bob"), NOON);
        assert_eq!(twice, Err(ApprovalError::Twice(person("bob"))));
        let wait = decided(&once, None, NOON);
        assert_eq!(
            wait.reason.to_string(),
            "1 more person must approve it before anybody gets it; bob did"
        );
        let both = once.approve(&person("cid"), NOON).expect("a third");
        assert!(matches!(
            decided(&both, None, NOON).action,
            Action::Raise(..)
        ));
        let further = both.approve(&person("dan"), NOON);
        assert_eq!(further, Err(ApprovalError::Enough));
        let back = both.withdraw(&person("bob"), NOON).expect("has approved");
        assert_eq!(back.approvals_missing(), 1);
        assert_eq!(
            back.withdraw(&person("bob"), NOON),
            Err(ApprovalError::NotApproved(person("bob")))
        );
        let plain = gating(Policy::default());
        assert_eq!(
            plain.approve(&person("bob"), NOON),
            Err(ApprovalError::NotAsked)
        );
    }

    #[test]
    fn a_freeze_of_the_pin_set_is_waited_for_while_it_holds() {
        let rollout = gating(Policy::default());
        let until = NOON.plus(Duration::from_secs(3600));
        let freeze = StandingFreeze {
            since: NOON,
            until: Some(until),
            by: person("bob"),
            reason: "incident".to_owned(),
        };
        let wait = decided(&rollout, Some(&freeze), NOON);
        assert_eq!(wait.action, Action::Wait);
        assert_eq!(
            wait.reason.to_string(),
            "the pin set is frozen by bob until 2024-03-05 13:00 UTC: incident"
        );
        assert!(matches!(
            decided(&rollout, Some(&freeze), until).action,
            Action::Raise(..)
        ));
    }

    #[test]
    fn what_is_only_played_is_decided_alike_and_says_so() {
        let real = gating(Policy::default());
        let played = gating(Policy {
            shadow: true,
            ..Policy::default()
        });
        let (real, played) = (decided(&real, None, NOON), decided(&played, None, NOON));
        assert_eq!(real.action, played.action);
        assert_eq!(
            played.reason.to_string(),
            format!("in shadow, nothing is served: {}", real.reason)
        );
        assert_eq!(played.reason.clone().in_shadow(), played.reason, "once");
    }
}
