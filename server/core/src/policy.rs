//! How rollouts of a pin set proceed.

mod bump;
mod overrides;
pub(crate) mod pattern;
mod strictest;
pub mod words;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::calendar::{Calendar, InvalidCalendar};
use crate::draw::Share;
use crate::name::{Approver, ConsumerName};

pub use bump::Bump;
pub use overrides::{Override, Rules};
pub use pattern::{InvalidPattern, PackagePattern};
pub use strictest::{NoCommonApprover, STRICTEST};

/// Planned shares, at most.
pub const STAGES_MAX: usize = 32;
/// Gates of one policy, at most.
pub const GATES_MAX: usize = 16;
/// Failing runs that a gate may take, at most.
pub const GATE_RUNS_MAX: u32 = 10;
/// The most rollouts of one pin set that may be open at a time: one and its 32 partner slots.
pub const OPEN_ROLLOUTS_MAX: u32 = 33;
/// People who may be asked to approve one thing, at most.
pub const APPROVALS_MAX: u32 = 5;
/// Approvers of one policy, at most.
pub const APPROVERS_MAX: usize = 16;
/// Overrides of one policy, at most.
pub const OVERRIDES_MAX: usize = 32;
/// Patterns of one override, at most.
pub const PATTERNS_MAX: usize = 32;
/// A policy, at most, in bytes of JSON: it stands in a record with other things.
pub const POLICY_BYTES_MAX: usize = 10 * 1024;
/// Roles whose tokens are machines'.
const MACHINES: [&str; 2] = ["environment", "ci"];
/// Roles whose tokens are people's; any number of them.
const PEOPLE: [&str; 3] = ["viewer", "release-manager", "admin"];

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
    /// People other than who started a rollout who must approve it before the first environment gets the candidate: 0
    /// to [`APPROVALS_MAX`].
    #[serde(default, skip_serializing_if = "is_zero")]
    pub approvals: u32,
    /// Who may approve, at most [`APPROVERS_MAX`], each once; nobody named: who may run rollouts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approvers: Vec<Approver>,
    /// People who must ask for it before the block of a version is lifted: 1 to [`APPROVALS_MAX`].
    #[serde(default = "default_lift_approvals", skip_serializing_if = "is_one")]
    pub lift_approvals: u32,
    /// Whether rollouts are only played: drawn, decided and recorded, and nothing is served, blocked or filed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shadow: bool,
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
    /// Other rules for some candidates, later ones before earlier ones; at most [`OVERRIDES_MAX`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<Override>,
    /// Other rules for security fixes; none: the pin set has no lane for them. They cannot change what weighs evidence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security: Option<Rules>,
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
    /// More people than [`APPROVALS_MAX`], or, to lift a block, nobody.
    #[error("`{field}` of {given} lies outside {least} to {APPROVALS_MAX}")]
    Approvals {
        /// Which.
        field: &'static str,
        /// As given.
        given: u32,
        /// What may be given at the least.
        least: u32,
    },
    /// More approvers than [`APPROVERS_MAX`], or one twice.
    #[error(
        "`approvers` names {0} approvers or one twice; name at most {APPROVERS_MAX}, each once"
    )]
    Approvers(usize),
    /// Machines do not approve.
    #[error(
        "`approvers` names the role `{0}`, whose tokens are machines'; name a token, or the role release-manager, admin or viewer"
    )]
    Machine(Approver),
    /// So many approvals can never come together.
    #[error(
        "`approvals` of {approvals} can never come together, since `approvers` names {approvers} tokens; name more, or a role"
    )]
    TooFewApprovers {
        /// As given.
        approvals: u32,
        /// Tokens that are named.
        approvers: usize,
    },
    /// There are more than [`OVERRIDES_MAX`].
    #[error("{0} overrides are more than the {OVERRIDES_MAX} that a policy may have")]
    TooManyOverrides(usize),
    /// An override is refused.
    #[error("override {number}: {cause}")]
    Override {
        /// Counted from 1.
        number: usize,
        /// Why.
        cause: InvalidOverride,
    },
    /// The rules of the security lane are refused.
    #[error("security: {0}")]
    Security(InvalidOverride),
    /// Its JSON is longer than [`POLICY_BYTES_MAX`].
    #[error(
        "the policy has {0} bytes, of at most {POLICY_BYTES_MAX}; shorten names, reasons or lists"
    )]
    TooLarge(usize),
    /// The calendar is refused.
    #[error(transparent)]
    Calendar(#[from] InvalidCalendar),
}

/// Why an override is refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum InvalidOverride {
    /// It names neither packages nor kinds of step.
    #[error(
        "it matches everything; give `packages` or `bumps`, or write its rules at the top of the policy"
    )]
    MatchesEverything,
    /// It changes nothing.
    #[error("it changes nothing; give at least one rule")]
    ChangesNothing,
    /// More patterns than [`PATTERNS_MAX`].
    #[error("`packages` has {0} patterns; at most {PATTERNS_MAX}")]
    Packages(usize),
    /// A kind stands twice.
    #[error("`bumps` names `{0}` twice")]
    BumpTwice(Bump),
    /// It changes what weighs evidence.
    #[error(
        "`{0}` stays as it is in the security lane, which may be faster and never takes less evidence"
    )]
    WeighsEvidence(&'static str),
    /// What it changes is refused.
    #[error(transparent)]
    Rules(Box<InvalidPolicy>),
}

impl InvalidPolicy {
    /// Where in a policy the value stands: names of fields, and numbers of overrides, counted from 0.
    pub fn place(&self) -> Vec<String> {
        let field = match self {
            Self::Stages(_) => "stages",
            Self::Bake { field, .. } | Self::Approvals { field, .. } => field,
            Self::Alpha(_) => "alpha",
            Self::Beta(_) => "beta",
            Self::Margin(_) => "margin",
            Self::MinimumEnvironments(_) => "minimum_environments",
            Self::MinimumAge(_) => "minimum_age",
            Self::Gates(_) | Self::GateTwice(_) => "gates",
            Self::GateTimeout(_) => "gate_timeout",
            Self::GateRuns(_) => "gate_runs",
            Self::OpenRollouts(_) => "open_rollouts_max",
            Self::Approvers(_) | Self::Machine(_) => "approvers",
            Self::TooFewApprovers { .. } => "approvals",
            Self::TooManyOverrides(_) => "override",
            Self::Override { number, cause } => {
                let place = ["override".to_owned(), (number - 1).to_string()];
                return place.into_iter().chain(cause.place()).collect();
            }
            Self::Security(cause) => {
                let place = ["security".to_owned()];
                return place.into_iter().chain(cause.place()).collect();
            }
            Self::TooLarge(_) => return Vec::new(),
            Self::Calendar(cause) => return vec!["calendar".to_owned(), cause.field().to_owned()],
        };
        vec![field.to_owned()]
    }
}

impl InvalidOverride {
    fn place(&self) -> Vec<String> {
        match self {
            Self::MatchesEverything | Self::ChangesNothing => Vec::new(),
            Self::Packages(_) => vec!["packages".to_owned()],
            Self::BumpTwice(_) => vec!["bumps".to_owned()],
            Self::WeighsEvidence(field) => vec![(*field).to_owned()],
            Self::Rules(cause) => cause.place(),
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
const fn is_one(number: &u32) -> bool {
    *number == 1
}

const fn default_lift_approvals() -> u32 {
    1
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
            approvals: 0,
            approvers: Vec::new(),
            lift_approvals: default_lift_approvals(),
            shadow: false,
            on_harm: OnHarm::RollBack,
            on_inconclusive: OnInconclusive::Wait,
            repeat_failures: false,
            overlap: Overlap::Refuse,
            open_rollouts_max: 20,
            calendar: Calendar::default(),
            overrides: Vec::new(),
            security: None,
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
        self.validate_approvals()?;
        self.calendar.validate()?;
        self.validate_overrides()?;
        match serde_json::to_vec(self).map_or(0, |json| json.len()) {
            bytes if bytes > POLICY_BYTES_MAX => Err(InvalidPolicy::TooLarge(bytes)),
            _ => Ok(()),
        }
    }

    /// Every consumer that it names, for some candidate or for all; one may come twice.
    pub fn consumers(&self) -> impl Iterator<Item = &ConsumerName> {
        let rules = self.overrides.iter().map(|other| &other.rules);
        let rules = rules.chain(&self.security);
        let of_rules = rules.filter_map(|rules| rules.gates.as_ref()).flatten();
        self.gates.iter().chain(of_rules)
    }

    fn validate_approvals(&self) -> Result<(), InvalidPolicy> {
        let counts = [
            ("approvals", self.approvals, 0),
            ("lift_approvals", self.lift_approvals, 1),
        ];
        for (field, given, least) in counts {
            if !(least..=APPROVALS_MAX).contains(&given) {
                return Err(InvalidPolicy::Approvals {
                    field,
                    given,
                    least,
                });
            }
        }
        let approvers = &self.approvers;
        let is_repeated = |n: usize| approvers[..n].contains(&approvers[n]);
        if approvers.len() > APPROVERS_MAX || (0..approvers.len()).any(is_repeated) {
            return Err(InvalidPolicy::Approvers(approvers.len()));
        }
        let among = |roles: &[&str], approver: &Approver| roles.contains(&approver.as_str());
        if let Some(machine) = approvers.iter().find(|one| among(&MACHINES, one)) {
            return Err(InvalidPolicy::Machine(machine.clone()));
        }
        let only_tokens = !approvers.iter().any(|one| among(&PEOPLE, one));
        if only_tokens && !approvers.is_empty() && approvers.len() < self.approvals as usize {
            return Err(InvalidPolicy::TooFewApprovers {
                approvals: self.approvals,
                approvers: approvers.len(),
            });
        }
        Ok(())
    }

    fn validate_overrides(&self) -> Result<(), InvalidPolicy> {
        if self.overrides.len() > OVERRIDES_MAX {
            return Err(InvalidPolicy::TooManyOverrides(self.overrides.len()));
        }
        for (number, other) in (1..).zip(&self.overrides) {
            self.validate_override(other)
                .map_err(|cause| InvalidPolicy::Override { number, cause })?;
        }
        let Some(rules) = &self.security else {
            return Ok(());
        };
        match rules.weighs_evidence() {
            Some(field) => Err(InvalidOverride::WeighsEvidence(field)),
            None => self.validate_rules(rules),
        }
        .map_err(InvalidPolicy::Security)
    }

    fn validate_override(&self, other: &Override) -> Result<(), InvalidOverride> {
        if other.packages.is_empty() && other.bumps.is_empty() {
            return Err(InvalidOverride::MatchesEverything);
        }
        if other.packages.len() > PATTERNS_MAX {
            return Err(InvalidOverride::Packages(other.packages.len()));
        }
        for (n, bump) in other.bumps.iter().enumerate() {
            if other.bumps[..n].contains(bump) {
                return Err(InvalidOverride::BumpTwice(*bump));
            }
        }
        self.validate_rules(&other.rules)
    }

    /// Whether the rules are in range in place of the policy's own.
    fn validate_rules(&self, rules: &Rules) -> Result<(), InvalidOverride> {
        let refused = |cause| Err(InvalidOverride::Rules(Box::new(cause)));
        if *rules == Rules::default() {
            return Err(InvalidOverride::ChangesNothing);
        }
        if rules.stages.as_ref().is_some_and(Vec::is_empty) {
            return refused(InvalidPolicy::Stages(Vec::new()));
        }
        self.bare().with(rules).validate().or_else(refused)
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
