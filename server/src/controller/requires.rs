//! What versions need of others: what people declare with a rollout, and whether a candidate can be had at all.

use std::sync::Arc;

use pinion_core::name::{PackageName, PinSetName};
use pinion_core::pin::{PackageChange, Pin};
use pinion_core::requires::{Requirement, Requirements};
use pinion_core::resolve::{breaches, unmet};
use pinion_core::rollout::Rollout;
use pinion_core::version::Version;

use super::{Controller, DRAFT_ITEMS_MAX, Draft, Refusal};
use crate::snapshot::{PinSetEntry, Snapshot, known};
use crate::store::keys;
use crate::store::records::{RequiresRecord, encode};

/// Requirements that are declared at once, at most.
const DECLARED_MAX: usize = 100;
/// Requirements that are kept of one version, at most.
const REQUIREMENTS_MAX: usize = 100;

/// What a person says that a version needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declared {
    /// The package that needs: at its candidate version, or at its version in the baseline if it has none.
    pub package: String,
    /// What it needs, such as `Jinja2>=3`.
    pub needs: String,
}

impl Controller {
    /// What is known that the versions of a rollout need, a sentence each.
    pub fn requires_in_words(&self, rollout: &Rollout) -> Vec<String> {
        let snapshot = self.snapshot();
        let Some(entry) = snapshot.pin_set(&rollout.pin_set) else {
            return Vec::new();
        };
        let of = |change: &PackageChange| {
            let to = change.to.as_ref();
            let known = to.map(|to| {
                let of_version = entry.requirements.of(&change.package, to);
                of_version
                    .map(|one| format!("{} {to} needs {one}", change.package.written()))
                    .collect::<Vec<_>>()
            });
            known.unwrap_or_default()
        };
        rollout.changes.iter().flat_map(of).collect()
    }

    /// Removes what versions need that are neither in a baseline nor on trial nor waiting.
    pub(crate) async fn forget_requirements(&self) {
        let _lock = self.lock().await;
        let snapshot = self.snapshot();
        let mut draft = Draft::default();
        for entry in snapshot.pin_sets() {
            let known = snapshot.requires(&entry.stored.record.name);
            let stale = known.filter(|(_, record)| !is_had(&snapshot, entry, record));
            stale
                .take(DRAFT_ITEMS_MAX - draft.len())
                .for_each(|(key, _)| draft.delete(key.clone()));
        }
        if draft.is_empty() {
            return;
        }
        if let Err(refusal) = self.commit(draft).await {
            tracing::warn!(%refusal, "what old versions need could not be removed; it is tried again");
        }
    }
}

/// Whether a pin, an open rollout or the queue has the version, or a pin may be moved to it.
fn is_had(snapshot: &Snapshot, entry: &PinSetEntry, record: &RequiresRecord) -> bool {
    let (package, version) = (&record.package, &record.version);
    let mut pins = entry.baseline.of_package(package);
    let mut open = snapshot.open_rollouts(&record.pin_set).iter();
    let mut waiting = entry.queue.iter();
    let brings =
        |change: &PackageChange| change.package == *package && change.to.as_ref() == Some(version);
    let is_ahead = |pin: &Pin| entry.stored.record.track && version.is_newer_than(&pin.version);
    pins.any(|pin| pin.version == *version || is_ahead(pin))
        || open.any(|rollout| rollout.changes.iter().any(brings))
        || waiting.any(|wanted| {
            wanted.package == *package && wanted.versions.iter().any(|(_, to)| to == version)
        })
}

/// The records of what is declared, with what they held already.
pub(super) fn declared(
    snapshot: &Snapshot,
    entry: &PinSetEntry,
    changes: &[PackageChange],
    declared: &[Declared],
) -> Result<Vec<RequiresRecord>, Refusal> {
    if declared.len() > DECLARED_MAX {
        let cause = format!(
            "{} are too many; give at most {DECLARED_MAX}",
            declared.len()
        );
        return Err(Refusal::invalid("requires", cause));
    }
    let mut records: Vec<RequiresRecord> = Vec::new();
    for (index, one) in declared.iter().enumerate() {
        let ecosystem = entry.stored.record.ecosystem;
        let package = PackageName::parse(ecosystem, &one.package)
            .map_err(|error| Refusal::invalid(format!("requires[{index}].package"), error))?;
        let requirement = Requirement::parse(ecosystem, &one.needs)
            .map_err(|error| Refusal::invalid(format!("requires[{index}].needs"), error))?;
        let versions = versions_of(entry, changes, &package);
        if versions.is_empty() {
            let cause = format!("`{}` is not in the pin set", package.written());
            return Err(Refusal::invalid(
                format!("requires[{index}].package"),
                cause,
            ));
        }
        for version in versions {
            let is_of =
                |record: &RequiresRecord| record.package == package && record.version == *version;
            let place = records.iter().position(is_of).unwrap_or_else(|| {
                records.push(record_of(snapshot, entry, &package, version));
                records.len() - 1
            });
            let of_version = &mut records[place].declared;
            if !of_version.contains(&requirement) {
                of_version.push(requirement.clone());
            }
            if of_version.len() > REQUIREMENTS_MAX {
                let cause = format!("`{}` has more than {REQUIREMENTS_MAX}", package.written());
                return Err(Refusal::invalid("requires", cause));
            }
        }
    }
    Ok(records)
}

/// The candidate versions of a package, or those of the baseline if it has none.
fn versions_of<'a>(
    entry: &'a PinSetEntry,
    changes: &'a [PackageChange],
    package: &PackageName,
) -> Vec<&'a Version> {
    let candidates: Vec<&Version> = changes
        .iter()
        .filter(|change| change.package == *package)
        .filter_map(|change| change.to.as_ref())
        .collect();
    if !candidates.is_empty() {
        return candidates;
    }
    let pins = entry.baseline.of_package(package);
    pins.map(|pin| &pin.version).collect()
}

/// What is known of a version already, or a new record.
pub(super) fn record_of(
    snapshot: &Snapshot,
    entry: &PinSetEntry,
    package: &PackageName,
    version: &Version,
) -> RequiresRecord {
    let name = &entry.stored.record.name;
    snapshot
        .requires_of(name, package, version)
        .cloned()
        .unwrap_or_else(|| RequiresRecord {
            pin_set: name.clone(),
            package: package.clone(),
            version: version.clone(),
            declared: Vec::new(),
            published: None,
        })
}

pub(super) fn put_declared(draft: &mut Draft, records: &[RequiresRecord]) {
    for record in records {
        let key = keys::requires(&record.pin_set, &record.package, &record.version);
        draft.put(key, encode(record));
    }
}

/// What is known of a pin set's versions, with what is being declared in place of what was known of the same versions.
pub(super) fn with_declared(
    snapshot: &Snapshot,
    pin_set: &PinSetName,
    declared: &[RequiresRecord],
) -> Requirements {
    let is_declared = |record: &RequiresRecord| {
        let mut declared = declared.iter();
        declared.any(|one| one.package == record.package && one.version == record.version)
    };
    let kept = snapshot.requires(pin_set).map(|(_, record)| record);
    let kept = kept.filter(|record| !is_declared(record));
    kept.chain(declared).map(known).collect()
}

/// Fails if nothing that is the baseline or on trial meets what the candidate needs, or an open rollout excludes it.
pub(super) fn check_admission(
    snapshot: &Snapshot,
    entry: &PinSetEntry,
    changes: &[PackageChange],
    superseded: &[&Arc<Rollout>],
    declared: &[RequiresRecord],
) -> Result<(), Refusal> {
    let name = &entry.stored.record.name;
    let requirements = with_declared(snapshot, name, declared);
    // Of a rollout that is only played nobody gets anything.
    let stays = |rollout: &&Arc<Rollout>| {
        !rollout.is_shadow() && superseded.iter().all(|other| other.id != rollout.id)
    };
    let open: Vec<&Arc<Rollout>> = snapshot.open_rollouts(name).iter().filter(stays).collect();
    if let Some(breach) = breaches(&entry.baseline, &requirements, changes).first() {
        let mut drawn: Vec<&[PackageChange]> =
            open.iter().map(|rollout| &rollout.changes[..]).collect();
        drawn.push(changes);
        let with_all = unmet(&entry.baseline, &requirements, &drawn);
        if with_all.last().is_some_and(Option::is_none) {
            return Ok(());
        }
        return Err(Refusal::Precondition {
            code: "REQUIRES_UNMET",
            cause: breach.to_string(),
            hint:
                "start them together, as one rollout of both, or this one when that is the baseline"
                    .to_owned(),
        });
    }
    for rollout in open {
        let reasons = unmet(&entry.baseline, &requirements, &[&rollout.changes, changes]);
        if let Some(Some(breach)) = reasons.get(1) {
            return Err(Refusal::Precondition {
                code: "REQUIRES_EXCLUDED",
                cause: format!(
                    "with the candidate of the open rollout `{}`, {breach}",
                    rollout.id
                ),
                hint: format!(
                    "wait until it has ended, or `pinion rollout abort {}`",
                    rollout.id
                ),
            });
        }
    }
    Ok(())
}
