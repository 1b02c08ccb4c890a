//! What an override changes, and for which candidates.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Bump, OnHarm, OnInconclusive, PackagePattern, Policy};
use crate::draw::Share;
use crate::ecosystem::Ecosystem;
use crate::name::{Approver, ConsumerName};
use crate::pin::PackageChange;

/// Other rules for some candidates. It matches a package whose name is one of the patterns and whose step is of one of
/// the kinds; no patterns: every package, no kinds: every step. It has at least one of the two.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Override {
    /// Which packages, at most [`super::PATTERNS_MAX`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub packages: Vec<PackagePattern>,
    /// Which steps, each once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bumps: Vec<Bump>,
    /// What it changes.
    pub rules: Rules,
}

impl Override {
    /// Whether it holds for a change.
    pub fn matches(&self, ecosystem: Ecosystem, change: &PackageChange) -> bool {
        let of_package = |pattern: &PackagePattern| pattern.matches(ecosystem, &change.package);
        (self.packages.is_empty() || self.packages.iter().any(of_package))
            && (self.bumps.is_empty() || self.bumps.contains(&Bump::of(change)))
    }
}

/// A part of the rules: what is `None` stays as it is. The fields are those of [`Policy`]; what belongs to the whole pin
/// set (its calendar, how rollouts overlap and how many may be open) is not among them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rules {
    /// See [`Policy::stages`]; at least one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stages: Option<Vec<Share>>,
    /// See [`Policy::pilot`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pilot: Option<bool>,
    /// See [`Policy::pilot_bake`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pilot_bake: Option<Duration>,
    /// See [`Policy::bake`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bake: Option<Duration>,
    /// See [`Policy::alpha`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alpha: Option<f64>,
    /// See [`Policy::beta`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beta: Option<f64>,
    /// See [`Policy::margin`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub margin: Option<f64>,
    /// See [`Policy::minimum_environments`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minimum_environments: Option<u32>,
    /// See [`Policy::minimum_age`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minimum_age: Option<Duration>,
    /// See [`Policy::gates`]; may be none at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gates: Option<Vec<ConsumerName>>,
    /// See [`Policy::gate_timeout`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gate_timeout: Option<Duration>,
    /// See [`Policy::gate_runs`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gate_runs: Option<u32>,
    /// See [`Policy::on_harm`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_harm: Option<OnHarm>,
    /// See [`Policy::on_inconclusive`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_inconclusive: Option<OnInconclusive>,
    /// See [`Policy::repeat_failures`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repeat_failures: Option<bool>,
    /// See [`Policy::approvals`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approvals: Option<u32>,
    /// See [`Policy::approvers`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approvers: Option<Vec<Approver>>,
    /// See [`Policy::lift_approvals`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lift_approvals: Option<u32>,
    /// See [`Policy::shadow`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shadow: Option<bool>,
}

impl Rules {
    /// The first field that weighs evidence, if one is changed: those are what the security lane cannot change.
    pub(super) const fn weighs_evidence(&self) -> Option<&'static str> {
        match self {
            Self { alpha: Some(_), .. } => Some("alpha"),
            Self { beta: Some(_), .. } => Some("beta"),
            Self {
                margin: Some(_), ..
            } => Some("margin"),
            Self {
                minimum_environments: Some(_),
                ..
            } => Some("minimum_environments"),
            Self {
                on_harm: Some(_), ..
            } => Some("on_harm"),
            Self {
                on_inconclusive: Some(_),
                ..
            } => Some("on_inconclusive"),
            Self {
                repeat_failures: Some(_),
                ..
            } => Some("repeat_failures"),
            Self {
                lift_approvals: Some(_),
                ..
            } => Some("lift_approvals"),
            Self {
                shadow: Some(_), ..
            } => Some("shadow"),
            _ => None,
        }
    }
}

impl Policy {
    /// The policy with what `rules` says in place of its own.
    pub(super) fn with(self, rules: &Rules) -> Self {
        let Rules {
            stages,
            pilot,
            pilot_bake,
            bake,
            alpha,
            beta,
            margin,
            minimum_environments,
            minimum_age,
            gates,
            gate_timeout,
            gate_runs,
            on_harm,
            on_inconclusive,
            repeat_failures,
            approvals,
            approvers,
            lift_approvals,
            shadow,
        } = rules.clone();
        Self {
            stages: stages.unwrap_or(self.stages),
            pilot: pilot.unwrap_or(self.pilot),
            pilot_bake: pilot_bake.unwrap_or(self.pilot_bake),
            bake: bake.unwrap_or(self.bake),
            alpha: alpha.unwrap_or(self.alpha),
            beta: beta.unwrap_or(self.beta),
            margin: margin.or(self.margin),
            minimum_environments: minimum_environments.unwrap_or(self.minimum_environments),
            minimum_age: minimum_age.unwrap_or(self.minimum_age),
            gates: gates.unwrap_or(self.gates),
            gate_timeout: gate_timeout.unwrap_or(self.gate_timeout),
            gate_runs: gate_runs.unwrap_or(self.gate_runs),
            on_harm: on_harm.unwrap_or(self.on_harm),
            on_inconclusive: on_inconclusive.unwrap_or(self.on_inconclusive),
            repeat_failures: repeat_failures.unwrap_or(self.repeat_failures),
            approvals: approvals.unwrap_or(self.approvals),
            approvers: approvers.unwrap_or(self.approvers),
            lift_approvals: lift_approvals.unwrap_or(self.lift_approvals),
            shadow: shadow.unwrap_or(self.shadow),
            ..self
        }
    }
}
