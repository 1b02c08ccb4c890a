//! The rules of an override as a file has them: what is left out stays as it is.

use pinion_client::v1;
use serde::Deserialize;
use serde::de::{self, Deserializer, IgnoredAny};

use super::{OnHarm, OnInconclusive, duration};
use crate::times::HumanDuration;

/// An `[[override]]`, or `[security]`, which has neither packages nor bumps.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RulesFile {
    packages: Option<Vec<String>>,
    bumps: Option<Vec<Bump>>,
    stages: Option<Vec<f64>>,
    pilot: Option<bool>,
    #[serde(deserialize_with = "duration")]
    pilot_bake: Option<HumanDuration>,
    #[serde(deserialize_with = "duration")]
    bake: Option<HumanDuration>,
    alpha: Option<f64>,
    beta: Option<f64>,
    margin: Option<f64>,
    minimum_environments: Option<u32>,
    #[serde(deserialize_with = "duration")]
    minimum_age: Option<HumanDuration>,
    gates: Option<Vec<String>>,
    #[serde(deserialize_with = "duration")]
    gate_timeout: Option<HumanDuration>,
    gate_runs: Option<u32>,
    on_harm: Option<OnHarm>,
    on_inconclusive: Option<OnInconclusive>,
    repeat_failures: Option<bool>,
    approvals: Option<u32>,
    approvers: Option<Vec<String>>,
    lift_approvals: Option<u32>,
    shadow: Option<bool>,
    #[serde(rename = "overlap", deserialize_with = "of_the_whole_set")]
    _overlap: (),
    #[serde(rename = "open_rollouts_max", deserialize_with = "of_the_whole_set")]
    _open_rollouts_max: (),
    #[serde(rename = "calendar", deserialize_with = "of_the_whole_set")]
    _calendar: (),
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Bump {
    Major,
    Minor,
    Patch,
}

impl RulesFile {
    pub(super) fn into_override(self) -> v1::PolicyOverride {
        let bump = |bump: &Bump| match bump {
            Bump::Major => v1::Bump::Major.into(),
            Bump::Minor => v1::Bump::Minor.into(),
            Bump::Patch => v1::Bump::Patch.into(),
        };
        v1::PolicyOverride {
            packages: self.packages.clone().unwrap_or_default(),
            bumps: self.bumps.iter().flatten().map(bump).collect(),
            rules: Some(self.into_rules()),
        }
    }

    /// The rules for security fixes.
    pub(super) fn into_security(self) -> Result<v1::PolicyRules, &'static str> {
        match (&self.packages, &self.bumps) {
            (None, None) => Ok(self.into_rules()),
            (Some(_), _) => Err("packages"),
            (None, Some(_)) => Err("bumps"),
        }
    }

    fn into_rules(self) -> v1::PolicyRules {
        let names = |names| v1::Names { names };
        let on_harm = self.on_harm.map_or(v1::OnHarm::Unspecified, OnHarm::into);
        let on_inconclusive = self
            .on_inconclusive
            .map_or(v1::OnInconclusive::Unspecified, OnInconclusive::into);
        v1::PolicyRules {
            stages: self.stages.map(|shares| v1::Shares { shares }),
            pilot: self.pilot,
            pilot_bake: self.pilot_bake.map(HumanDuration::to_wire),
            bake: self.bake.map(HumanDuration::to_wire),
            alpha: self.alpha,
            minimum_environments: self.minimum_environments,
            minimum_age: self.minimum_age.map(HumanDuration::to_wire),
            on_harm: on_harm.into(),
            beta: self.beta,
            margin: self.margin,
            on_inconclusive: on_inconclusive.into(),
            repeat_failures: self.repeat_failures,
            gates: self.gates.map(names),
            gate_timeout: self.gate_timeout.map(HumanDuration::to_wire),
            gate_runs: self.gate_runs,
            approvals: self.approvals,
            approvers: self.approvers.map(names),
            lift_approvals: self.lift_approvals,
            shadow: self.shadow,
        }
    }
}

/// Refuses what an override cannot change.
fn of_the_whole_set<'de, D: Deserializer<'de>>(deserializer: D) -> Result<(), D::Error> {
    IgnoredAny::deserialize(deserializer)?;
    Err(de::Error::custom(
        "this belongs to the whole pin set and is the same for every candidate; write it at the top of the policy",
    ))
}
