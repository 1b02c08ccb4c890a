//! What is served of candidates: which of them an environment has, what is known of what they need, and which wait.

use std::collections::BTreeSet;
use std::sync::Arc;

use pinion_core::name::{PackageName, PinSetName};
use pinion_core::pin::PackageChange;
use pinion_core::requires::{Requirement, Requires, Unmet};
use pinion_core::resolve::{breaches, unmet};
use pinion_core::rollout::Rollout;
use pinion_core::version::Version;

use super::{Snapshot, Stored, subject};
use crate::store::records::{EnvironmentRecord, RequiresRecord, WantChunk};
use crate::store::{Key, keys};

impl Snapshot {
    /// The open rollouts whose candidate an environment has, in the order of their creation.
    pub fn exposures(&self, environment: &EnvironmentRecord) -> Vec<&Arc<Rollout>> {
        let subject = subject(environment);
        let open = self.open_rollouts(&environment.pin_set).iter();
        let drawn = open.filter(|rollout| subject.is_exposed(rollout)).collect();
        self.admitted(&environment.pin_set, drawn)
    }

    /// The open rollouts whose candidate an environment has if it is drawn for `rollout`, whatever its draw there is.
    pub fn exposures_with(
        &self,
        environment: &EnvironmentRecord,
        rollout: &Rollout,
    ) -> Vec<&Arc<Rollout>> {
        let drawn = self.drawn_with(environment, rollout);
        self.admitted(&environment.pin_set, drawn)
    }

    /// Why an environment does not get the candidate of an open rollout even if it is drawn for it: the rest of its pins
    /// does not admit it. Says nothing of its draw there.
    pub fn unmet(&self, environment: &EnvironmentRecord, rollout: &Rollout) -> Option<Unmet> {
        let entry = self.pin_set(&environment.pin_set)?;
        if entry.requirements.is_empty() {
            return None;
        }
        let drawn = self.drawn_with(environment, rollout);
        let place = drawn.iter().position(|other| other.id == rollout.id)?;
        let reasons = unmet(&entry.baseline, &entry.requirements, &changes(&drawn));
        reasons.into_iter().nth(place).flatten()
    }

    /// Whether a rollout can draw an environment, and give it the candidate then.
    ///
    /// It goes by the environment's draws in other rollouts and never by its draw in this one, so that among those who
    /// are eligible the draw is as fair as among all.
    pub fn is_eligible(&self, environment: &EnvironmentRecord, rollout: &Rollout) -> bool {
        subject(environment).is_eligible(rollout) && self.unmet(environment, rollout).is_none()
    }

    /// What keeps the baseline from taking the candidate of a rollout.
    pub fn breaches(&self, rollout: &Rollout) -> Vec<Unmet> {
        self.pin_set(&rollout.pin_set)
            .map_or_else(Vec::new, |entry| {
                breaches(&entry.baseline, &entry.requirements, &rollout.changes)
            })
    }

    /// What is known of what the versions of a pin set need.
    pub fn requires(&self, pin_set: &PinSetName) -> impl Iterator<Item = (&Key, &RequiresRecord)> {
        let prefix = keys::requires_prefix(pin_set);
        self.requires
            .range(Key::new(prefix.clone())..)
            .take_while(move |(key, _)| key.as_str().starts_with(&prefix))
            .map(|(key, record)| (key, &**record))
    }

    /// What is known of what one version needs.
    pub fn requires_of(
        &self,
        pin_set: &PinSetName,
        package: &PackageName,
        version: &Version,
    ) -> Option<&RequiresRecord> {
        let key = keys::requires(pin_set, package, version);
        self.requires.get(&key).map(|record| &**record)
    }

    /// The parts of a queue, in order.
    pub fn queue_chunks(
        &self,
        pin_set: &PinSetName,
    ) -> impl Iterator<Item = (&Key, &Stored<WantChunk>)> {
        let prefix = keys::want_prefix(pin_set);
        self.wants
            .range(Key::new(prefix.clone())..)
            .take_while(move |(key, _)| key.as_str().starts_with(&prefix))
    }

    /// The open rollouts that an environment is drawn for, and `rollout`, in the order of their creation.
    fn drawn_with(&self, environment: &EnvironmentRecord, rollout: &Rollout) -> Vec<&Arc<Rollout>> {
        let subject = subject(environment);
        let open = self.open_rollouts(&environment.pin_set).iter();
        open.filter(|other| other.id == rollout.id || subject.is_exposed(other))
            .collect()
    }

    fn admitted<'a>(
        &'a self,
        pin_set: &PinSetName,
        drawn: Vec<&'a Arc<Rollout>>,
    ) -> Vec<&'a Arc<Rollout>> {
        let Some(entry) = self.pin_set(pin_set) else {
            return drawn;
        };
        if drawn.is_empty() || entry.requirements.is_empty() {
            return drawn;
        }
        let reasons = unmet(&entry.baseline, &entry.requirements, &changes(&drawn));
        let admitted = drawn.into_iter().zip(reasons);
        admitted
            .filter(|(_, reason)| reason.is_none())
            .map(|(rollout, _)| rollout)
            .collect()
    }

    /// Puts together anew what these keys are parts of.
    pub(super) fn assemble_candidates<'a>(&mut self, touched: impl Iterator<Item = &'a Key>) {
        let names: BTreeSet<PinSetName> = touched.filter_map(keys::pin_set_of).collect();
        for name in names {
            let requirements = self.requires(&name).map(|(_, record)| known(record));
            let requirements = Arc::new(requirements.collect());
            let chunks = self.queue_chunks(&name);
            let queue = chunks.flat_map(|(_, chunk)| chunk.record.wanted.iter().cloned());
            let queue = Arc::new(queue.collect());
            if let Some(entry) = self.pin_sets.get_mut(&name) {
                entry.requirements = requirements;
                entry.queue = queue;
                entry.combinations = Arc::default();
            }
        }
    }
}

fn changes<'a>(rollouts: &[&'a Arc<Rollout>]) -> Vec<&'a [PackageChange]> {
    rollouts
        .iter()
        .map(|rollout| rollout.changes.as_slice())
        .collect()
}

/// A record as core sees it: of a package about which a person said something, that alone counts.
pub(crate) fn known(record: &RequiresRecord) -> Requires {
    let is_declared = |one: &&Requirement| {
        let mut declared = record.declared.iter();
        declared.any(|other| other.package == one.package)
    };
    let published = record.published.iter().flatten();
    let published = published.filter(|one| !is_declared(one));
    Requires {
        package: record.package.clone(),
        version: record.version.clone(),
        requirements: record.declared.iter().chain(published).cloned().collect(),
    }
}

#[cfg(test)]
mod tests {
    use pinion_core::ecosystem::Ecosystem;
    use pinion_core::name::PackageName;

    use super::*;

    #[test]
    fn what_a_person_says_of_a_package_takes_the_place_of_what_the_index_says() {
        let requirement = |text| Requirement::parse(Ecosystem::Pypi, text).expect("one");
        let record = RequiresRecord {
            pin_set: "set".parse().expect("a name"),
            package: PackageName::parse(Ecosystem::Pypi, "a").expect("a name"),
            version: Version::parse(Ecosystem::Pypi, "1").expect("a version"),
            declared: vec![requirement("b>=1")],
            published: Some(vec![requirement("B>=2"), requirement("c>=3")]),
        };
        let words = known(&record).requirements;
        let words: Vec<String> = words.iter().map(ToString::to_string).collect();
        assert_eq!(words, ["b >=1", "c >=3"]);
    }
}
