//! The rules that hold for a candidate, and for the lift of a block.

use pinion_core::name::{PackageName, PinSetName};
use pinion_core::pin::PackageChange;
use pinion_core::policy::Policy;
use pinion_core::rollout::{CANDIDATES_MAX, Lane};
use pinion_core::version::Version;

use super::{Controller, Identity, Refusal};
use crate::snapshot::PinSetEntry;
use crate::store::records::{PinSetRecord, Role};

/// A question for the rules of a candidate.
#[derive(Clone, Debug)]
pub struct Resolve {
    /// The pin set.
    pub pin_set: PinSetName,
    /// Packages that move together, and the versions they would go to.
    pub candidates: Vec<(String, String)>,
    /// In which lane.
    pub lane: Lane,
}

/// The rules of a candidate.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// What a rollout would have.
    pub policy: Policy,
    /// Each step, and the places of the overrides that match it, counted from 1.
    pub changes: Vec<(PackageChange, Vec<usize>)>,
}

impl Controller {
    /// The rules that a rollout of a candidate would have, whether or not it could be started now.
    ///
    /// # Errors
    /// If a package is not in the pin set, a version is none, or there are no such rules.
    pub fn resolve_policy(
        &self,
        caller: &Identity,
        resolve: &Resolve,
    ) -> Result<Resolved, Refusal> {
        caller.require(&[Role::Viewer])?;
        caller.require_pin_set(&resolve.pin_set)?;
        let count = resolve.candidates.len();
        if !(1..=CANDIDATES_MAX).contains(&count) {
            let cause = format!("{count} packages; give 1 to {CANDIDATES_MAX}");
            return Err(Refusal::invalid("candidates", cause));
        }
        let snapshot = self.snapshot();
        let entry = snapshot
            .pin_set(&resolve.pin_set)
            .ok_or_else(|| Refusal::no_pin_set(&resolve.pin_set))?;
        let record = &entry.stored.record;
        let mut steps = Vec::new();
        for (package, version) in &resolve.candidates {
            let package = PackageName::parse(record.ecosystem, package)
                .map_err(|error| Refusal::invalid("candidates.package", error))?;
            let version = Version::parse(record.ecosystem, version)
                .map_err(|error| Refusal::invalid("candidates.version", error))?;
            steps.extend(steps_to(entry, &package, &version)?);
        }
        let numbered = |change: PackageChange| {
            let overrides = record.policy.overrides_of(record.ecosystem, &change);
            (change, overrides)
        };
        Ok(Resolved {
            policy: effective(record, &steps, resolve.lane)?,
            changes: steps.into_iter().map(numbered).collect(),
        })
    }
}

/// The steps of a package's pins to a version.
fn steps_to(
    entry: &PinSetEntry,
    package: &PackageName,
    version: &Version,
) -> Result<Vec<PackageChange>, Refusal> {
    let steps: Vec<PackageChange> = entry
        .baseline
        .of_package(package)
        .map(|pin| PackageChange {
            package: pin.package.clone(),
            marker: pin.marker.clone(),
            from: Some(pin.version.clone()),
            to: Some(version.clone()),
        })
        .collect();
    match steps.is_empty() {
        true => Err(Refusal::NotFound {
            kind: "package",
            name: package.written().to_owned(),
            hint: "`pinion pin-set show --pins` lists its packages",
        }),
        false => Ok(steps),
    }
}

/// The rules of a pin set for a candidate, as a rollout of it would have them.
///
/// # Errors
/// If the policy has no lane for security fixes, or the rules of the packages do not go together.
pub(super) fn effective(
    record: &PinSetRecord,
    changes: &[PackageChange],
    lane: Lane,
) -> Result<Policy, Refusal> {
    if lane == Lane::Security && record.policy.security.is_none() {
        return Err(Refusal::Precondition {
            code: "NO_SECURITY_LANE",
            cause: format!(
                "the policy of `{}` has no rules for security fixes",
                record.name
            ),
            hint: "give it a `[security]` table, or start the rollout without `--security`"
                .to_owned(),
        });
    }
    let apart = |cause: String| Refusal::Precondition {
        code: "RULES_APART",
        cause,
        hint: "`pinion policy show` tells the rules of each package".to_owned(),
    };
    let policy = record
        .policy
        .effective(record.ecosystem, changes, lane)
        .map_err(|error| apart(error.to_string()))?;
    policy
        .validate()
        .map_err(|error| apart(format!("the rules of its packages together: {error}")))?;
    Ok(policy)
}

/// How many people have to ask before the block of a version is lifted, by the policy as it is now.
pub(super) fn lift_approvals(entry: &PinSetEntry, package: &PackageName, version: &Version) -> u32 {
    let record = &entry.stored.record;
    // What is no longer in the pin set is matched by its name, as a step of the largest kind.
    let steps = steps_to(entry, package, version).unwrap_or_else(|_| {
        vec![PackageChange {
            package: package.clone(),
            marker: None,
            from: None,
            to: Some(version.clone()),
        }]
    });
    let of_step = |step: &PackageChange| {
        let policy =
            record
                .policy
                .effective(record.ecosystem, std::slice::from_ref(step), Lane::Ordinary);
        policy.map_or(record.policy.lift_approvals, |policy| policy.lift_approvals)
    };
    steps.iter().map(of_step).max().unwrap_or(1)
}
