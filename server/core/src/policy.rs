//! How rollouts of a pin set proceed.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::calendar::{Calendar, InvalidCalendar};
use crate::draw::Share;
use crate::name::ConsumerName;

/// Planned shares, at most.
pub const STAGES_MAX: usize = 32;
/// Gates of one policy, at most.
pub const GATES_MAX: usize = 16;
/// Failing runs that a gate may take, at most.
pub const GATE_RUNS_MAX: u32 = 10;
/// The most rollouts of one pin set that may be open at a time: one and its 32 partner slots.
pub const OPEN_ROLLOUTS_MAX: u32 = 33;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// The rules of a pin set's rollouts. Working time is time in which the calendar is open.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Planned shares after the pilot, strictly rising, in (0, 1); 1 follows by itself.
    pub stages: Vec<Share>,
    /// Whether 2, 6, 14, 30 ... environments go before the first stage.
    pub pilot: bool,
    /// The least working time a pilot epoch lasts: 1 min to 30 d.
    pub pilot_bake: Duration,
    /// The least working time any later epoch lasts: 1 min to 30 d.
    pub bake: Duration,
    /// The chance that a harmless rollout is ever rolled back, in (0, 0.2].
    pub alpha: f64,
    /// The chance that everybody gets a candidate whose average harm is at the margin or above, in (0, 0.5].
    pub beta: f64,
    /// The average harm that must be excluded before everybody gets the candidate, in (0, 0.9], as a share
    /// of environments that additionally fail; none: what the fleet can resolve, two points at the least.
    pub margin: Option<f64>,
    /// Environments that must have reported in an epoch before the share is raised.
    pub minimum_environments: u32,
    /// The least age of a version before the first environment gets it, in calendar time: 0 to 365 d.
    pub minimum_age: Duration,
    /// Consumers whose tests must pass with the candidate before the first environment gets it; at most
    /// [`GATES_MAX`], each once.
    #[serde(default)]
    pub gates: Vec<ConsumerName>,
    /// How long a job may hold a gate: 1 min to 24 h.
    #[serde(default = "default_gate_timeout")]
    pub gate_timeout: Duration,
    /// Runs of a gate that must fail in a row before it fails: 1 to [`GATE_RUNS_MAX`]; see [`crate::gate`].
    #[serde(default = "default_gate_runs")]
    pub gate_runs: u32,
    /// What is done when the evidence says harmful.
    pub on_harm: OnHarm,
    /// What is done when the path has ended and harm at the margin is not excluded.
    pub on_inconclusive: OnInconclusive,
    /// Whether failing runs are repeated once with the baseline, on both sides alike, where the
    /// environment's owner agrees; then a failure counts only if the repetition passes.
    pub repeat_failures: bool,
    /// What a new rollout does to an open one that changes the same package.
    pub overlap: Overlap,
    /// Rollouts of the pin set open at a time: 1 to [`OPEN_ROLLOUTS_MAX`].
    pub open_rollouts_max: u32,
    /// When the share may be raised.
    pub calendar: Calendar,
}

/// What is done when the evidence says harmful.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnHarm {
    /// Serve the baseline at once, block the versions and file the rollback.
    RollBack,
    /// Keep the share and wait for a person.
    Pause,
}

/// What is done when the path has ended and harm at the margin is not excluded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnInconclusive {
    /// Keep the share and wait for a person.
    Wait,
    /// Give it to everybody, saying how large a harm is not excluded.
    Complete,
}

/// What a new rollout does to an open one that changes the same package.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Overlap {
    /// The new one is refused.
    Refuse,
    /// The open one ends as superseded.
    Supersede,
}

/// Why a policy is refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum InvalidPolicy {
    /// The stages are not shares strictly between 0 and 1, strictly rising, at most [`STAGES_MAX`].
    #[error(
        "stages {0:?} are not strictly rising shares between 0 and 1, at most {STAGES_MAX}; 1 follows by itself"
    )]
    Stages(Vec<f64>),
    /// A bake time lies outside 1 min to 30 d.
    #[error("`{field}` of {seconds} s lies outside 60 s to 2592000 s (30 d)")]
    Bake {
        /// Which.
        field: &'static str,
        /// As given, in seconds.
        seconds: u64,
    },
    /// `alpha` lies outside (0, 0.2].
    #[error(
        "`alpha` of {0} lies outside (0, 0.2]; it is the chance that a harmless rollout is rolled back"
    )]
    Alpha(f64),
    /// `beta` lies outside (0, 0.5].
    #[error("`beta` of {0} lies outside (0, 0.5]; it is the chance that harm at the margin passes")]
    Beta(f64),
    /// `margin` lies outside (0, 0.9].
    #[error(
        "`margin` of {0} lies outside (0, 0.9]; it is a share of environments, 0.02 is two points"
    )]
    Margin(f64),
    /// More environments than a pin set can have.
    #[error("`minimum_environments` of {0} is more than 1000000")]
    MinimumEnvironments(u32),
    /// The age lies above 365 d.
    #[error("`minimum_age` of {0} s is more than 31536000 s (365 d)")]
    MinimumAge(u64),
    /// More consumers than [`GATES_MAX`].
    #[error("`gates` names {0} consumers; at most {GATES_MAX}")]
    Gates(usize),
    /// A consumer is named twice.
    #[error("`gates` names `{0}` twice")]
    GateTwice(ConsumerName),
    /// The time lies outside 1 min to 24 h.
    #[error("`gate_timeout` of {0} s lies outside 60 s to 86400 s (24 h)")]
    GateTimeout(u64),
    /// The number lies outside its range.
    #[error("`gate_runs` of {0} lies outside 1 to {GATE_RUNS_MAX}")]
    GateRuns(u32),
    /// The limit lies outside its range.
    #[error("`open_rollouts_max` of {0} lies outside 1 to {OPEN_ROLLOUTS_MAX}")]
    OpenRollouts(u32),
    /// The calendar is refused.
    #[error(transparent)]
    Calendar(#[from] InvalidCalendar),
}

const fn default_gate_timeout() -> Duration {
    Duration::from_secs(2 * HOUR.as_secs())
}

const fn default_gate_runs() -> u32 {
    3
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            stages: [0.01, 0.05, 0.10, 0.25, 0.50].map(Share::clamped).to_vec(),
            pilot: true,
            pilot_bake: Duration::from_secs(3600),
            bake: Duration::from_secs(8 * 3600),
            alpha: 0.005,
            beta: 0.05,
            margin: None,
            minimum_environments: 1,
            minimum_age: Duration::ZERO,
            gates: Vec::new(),
            gate_timeout: default_gate_timeout(),
            gate_runs: default_gate_runs(),
            on_harm: OnHarm::RollBack,
            on_inconclusive: OnInconclusive::Wait,
            repeat_failures: false,
            overlap: Overlap::Refuse,
            open_rollouts_max: 20,
            calendar: Calendar::default(),
        }
    }
}

impl Policy {
    /// Whether every field lies in its range.
    ///
    /// # Errors
    /// The first field that does not.
    pub fn validate(&self) -> Result<(), InvalidPolicy> {
        let stages: Vec<f64> = self.stages.iter().map(|share| share.value()).collect();
        let rising = stages.windows(2).all(|pair| pair[0] < pair[1]);
        let inside = stages.iter().all(|share| *share > 0.0 && *share < 1.0);
        if !rising || !inside || stages.len() > STAGES_MAX {
            return Err(InvalidPolicy::Stages(stages));
        }
        for (field, bake) in [("pilot_bake", self.pilot_bake), ("bake", self.bake)] {
            if !(MINUTE..=30 * DAY).contains(&bake) {
                return Err(InvalidPolicy::Bake {
                    field,
                    seconds: bake.as_secs(),
                });
            }
        }
        if !(self.alpha > 0.0 && self.alpha <= 0.2) {
            return Err(InvalidPolicy::Alpha(self.alpha));
        }
        if !(self.beta > 0.0 && self.beta <= 0.5) {
            return Err(InvalidPolicy::Beta(self.beta));
        }
        if let Some(margin) = self
            .margin
            .filter(|margin| !(*margin > 0.0 && *margin <= 0.9))
        {
            return Err(InvalidPolicy::Margin(margin));
        }
        if self.minimum_environments > 1_000_000 {
            return Err(InvalidPolicy::MinimumEnvironments(
                self.minimum_environments,
            ));
        }
        if self.minimum_age > 365 * DAY {
            return Err(InvalidPolicy::MinimumAge(self.minimum_age.as_secs()));
        }
        self.validate_gates()?;
        if !(1..=OPEN_ROLLOUTS_MAX).contains(&self.open_rollouts_max) {
            return Err(InvalidPolicy::OpenRollouts(self.open_rollouts_max));
        }
        Ok(self.calendar.validate()?)
    }

    fn validate_gates(&self) -> Result<(), InvalidPolicy> {
        if self.gates.len() > GATES_MAX {
            return Err(InvalidPolicy::Gates(self.gates.len()));
        }
        for (index, consumer) in self.gates.iter().enumerate() {
            if self.gates[..index].contains(consumer) {
                return Err(InvalidPolicy::GateTwice(consumer.clone()));
            }
        }
        if !(MINUTE..=24 * HOUR).contains(&self.gate_timeout) {
            return Err(InvalidPolicy::GateTimeout(self.gate_timeout.as_secs()));
        }
        if !(1..=GATE_RUNS_MAX).contains(&self.gate_runs) {
            return Err(InvalidPolicy::GateRuns(self.gate_runs));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_policy_is_valid_and_survives_json() {
        let policy = Policy::default();
        assert_eq!(policy.validate(), Ok(()));
        let json = serde_json::to_string(&policy).expect("serialises");
        assert_eq!(
            serde_json::from_str::<Policy>(&json).expect("deserialises"),
            policy
        );
    }

    #[test]
    fn stages_must_rise_between_nobody_and_everybody() {
        for stages in [
            vec![0.1, 0.1],
            vec![0.2, 0.1],
            vec![0.0, 0.1],
            vec![0.5, 1.0],
        ] {
            let policy = Policy {
                stages: stages.iter().copied().map(Share::clamped).collect(),
                ..Policy::default()
            };
            assert_eq!(policy.validate(), Err(InvalidPolicy::Stages(stages)));
        }
    }

    #[test]
    fn every_field_has_a_range() {
        let nova: ConsumerName = "nova".parse().expect("a name");
        let bad = [
            Policy {
                bake: Duration::from_secs(59),
                ..Policy::default()
            },
            Policy {
                pilot_bake: 31 * DAY,
                ..Policy::default()
            },
            Policy {
                alpha: 0.0,
                ..Policy::default()
            },
            Policy {
                alpha: f64::NAN,
                ..Policy::default()
            },
            Policy {
                beta: 0.6,
                ..Policy::default()
            },
            Policy {
                margin: Some(0.0),
                ..Policy::default()
            },
            Policy {
                minimum_environments: 1_000_001,
                ..Policy::default()
            },
            Policy {
                minimum_age: 366 * DAY,
                ..Policy::default()
            },
            Policy {
                gates: vec![nova.clone(); 2],
                ..Policy::default()
            },
            Policy {
                gate_timeout: 25 * HOUR,
                ..Policy::default()
            },
            Policy {
                gate_runs: 0,
                ..Policy::default()
            },
            Policy {
                open_rollouts_max: 0,
                ..Policy::default()
            },
            Policy {
                calendar: Calendar {
                    days: [false; 7],
                    ..Calendar::default()
                },
                ..Policy::default()
            },
        ];
        for policy in bad {
            assert!(policy.validate().is_err(), "{policy:?}");
        }
    }
}
