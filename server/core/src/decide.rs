//! What a rollout does next, and why. Equal inputs give equal decisions.

use crate::draw::Share;
use crate::evidence::Evidence;
use crate::path::{POPULATION_MIN, Step as PathStep};
use crate::policy::OnHarm;
use crate::reason::Reason;
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
    /// The candidate becomes the baseline.
    Complete,
    /// The baseline is served at once, the versions are blocked and the rollback is filed.
    RollBack,
    /// The share stays until a person has looked.
    Pause,
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
}

/// Decides what `rollout` does next on `evidence`, in a fleet as it is `now`.
pub fn decide(rollout: &Rollout, evidence: &Evidence, fleet: &Fleet, now: Timestamp) -> Decision {
    match &rollout.state {
        State::Gating => decide_beginning(rollout, fleet, now),
        State::Baking => decide_epoch(rollout, evidence, now),
        State::Paused { .. }
            if evidence.is_harmful() && rollout.policy.on_harm == OnHarm::RollBack =>
        {
            Decision {
                action: Action::RollBack,
                reason: Reason::harmful(evidence, rollout.share()),
            }
        }
        State::Paused { by } => Decision::wait(Reason::Halted { by: by.to_string() }),
        State::Frozen { cause } => Decision::wait(Reason::Frozen {
            cause: cause.clone(),
        }),
        State::Inconclusive => Decision::wait(Reason::harm_not_bounded(evidence)),
        State::Completed { .. }
        | State::RolledBack { .. }
        | State::Aborted { .. }
        | State::Superseded { .. } => Decision::wait(Reason::Ended),
    }
}

fn decide_beginning(rollout: &Rollout, fleet: &Fleet, now: Timestamp) -> Decision {
    if let Some((until, package)) = &rollout.not_before
        && now < *until
    {
        return Decision::wait(Reason::TooYoung {
            package: package.clone(),
            until: *until,
        });
    }
    if fleet.population < POPULATION_MIN {
        return Decision::wait(Reason::PopulationTooSmall {
            have: fleet.population,
            need: POPULATION_MIN,
        });
    }
    raise(
        rollout,
        fleet,
        now,
        Reason::Begun {
            population: fleet.population,
        },
    )
}

fn decide_epoch(rollout: &Rollout, evidence: &Evidence, now: Timestamp) -> Decision {
    if evidence.is_harmful() {
        let action = match rollout.policy.on_harm {
            OnHarm::RollBack => Action::RollBack,
            OnHarm::Pause => Action::Pause,
        };
        return Decision {
            action,
            reason: Reason::harmful(evidence, rollout.share()),
        };
    }
    let (Some(epoch), Some(fleet)) = (&rollout.epoch, &rollout.fleet) else {
        return Decision::wait(Reason::Ended);
    };
    if epoch.settled.is_none() {
        return decide_windows(rollout, epoch, evidence, now);
    }
    if epoch.step == PathStep::Full {
        return match closed(rollout, now) {
            Some(wait) => wait,
            None => Decision {
                action: Action::Complete,
                reason: Reason::harm_not_bounded(evidence),
            },
        };
    }
    if fleet.population < POPULATION_MIN {
        return Decision::wait(Reason::PopulationTooSmall {
            have: fleet.population,
            need: POPULATION_MIN,
        });
    }
    raise(rollout, fleet, now, Reason::no_harm_seen(evidence))
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

fn raise(rollout: &Rollout, fleet: &Fleet, now: Timestamp, reason: Reason) -> Decision {
    if let Some(wait) = closed(rollout, now) {
        return wait;
    }
    match (rollout.next(fleet, true), reason) {
        (
            Some((PathStep::Full, share)),
            Reason::NoHarmSeen {
                exposed,
                control,
                log_e,
                log_threshold,
            },
        ) => Decision {
            action: Action::Raise(PathStep::Full, share),
            reason: Reason::HarmNotBounded {
                exposed,
                control,
                log_e,
                log_threshold,
            },
        },
        (Some((step, share)), reason) => Decision {
            action: Action::Raise(step, share),
            reason,
        },
        (None, _) => Decision::wait(Reason::Ended),
    }
}

fn closed(rollout: &Rollout, now: Timestamp) -> Option<Decision> {
    let calendar = &rollout.policy.calendar;
    (!calendar.is_open(now)).then(|| {
        Decision::wait(Reason::CalendarClosed {
            opens: calendar.next_opening(now),
        })
    })
}
