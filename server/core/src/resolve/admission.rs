//! Which candidates the rest of an environment's pins admits.
//!
//! *The rule.* Of the candidates that an environment was drawn for, in rounds, all are dropped at once whose requirements
//! the pins with the others do not meet, or whom a pin that stays excludes; until a round drops none. What is left
//! breaks no requirement that the baseline keeps.
//!
//! *Why no order matters.* A round looks at a set and drops a set, so that the answer depends on nothing but the
//! candidates, the baseline and what is known. Where no two candidates exclude each other, more can be said: with fewer
//! candidates never fewer of them are unmet, so that the answer is the largest set that breaks nothing, dropping one
//! at a time in any order leads to it too, and who is drawn for more never gets less.
//!
//! *Two that exclude each other* (the one needs less of a package than the other brings, and the baseline has it right)
//! cannot both be had: the younger one is dropped, so that nobody loses an older candidate because of a younger one.

use crate::pin::{Marker, PackageChange, PinKey, Pins};
use crate::requires::{Requirement, Requirements, Unmet};
use crate::version::Version;

/// For each candidate, the oldest first, why an environment that was drawn for all of them does not get it; `None`: it
/// does.
pub fn unmet(
    baseline: &Pins,
    requirements: &Requirements,
    drawn: &[&[PackageChange]],
) -> Vec<Option<Unmet>> {
    let mut reasons = vec![None; drawn.len()];
    let mut changes = drawn.iter().copied().flatten();
    if !changes.any(|change| requirements.concern(&change.package)) {
        return reasons;
    }
    loop {
        let given = Given {
            baseline,
            requirements,
            drawn,
            is_in: reasons.iter().map(Option::is_none).collect(),
        };
        let dropped: Vec<(usize, Unmet)> = (0..drawn.len())
            .filter(|index| given.is_in[*index])
            .filter_map(|index| {
                let mut breaches = given.breaches(index);
                let unmet = breaches.find(|(_, blamed)| *blamed == index)?.0;
                Some((index, unmet))
            })
            .collect();
        if dropped.is_empty() {
            return reasons;
        }
        for (index, unmet) in dropped {
            reasons[index] = Some(unmet);
        }
    }
}

/// Every requirement that a candidate by itself breaks: its own that the baseline does not meet, and those of the
/// baseline that it does not meet any more.
pub fn breaches(
    baseline: &Pins,
    requirements: &Requirements,
    candidate: &[PackageChange],
) -> Vec<Unmet> {
    let given = Given {
        baseline,
        requirements,
        drawn: &[candidate],
        is_in: vec![true],
    };
    given.breaches(0).map(|(unmet, _)| unmet).collect()
}

/// The baseline with those candidates that are still in.
struct Given<'a> {
    baseline: &'a Pins,
    requirements: &'a Requirements,
    drawn: &'a [&'a [PackageChange]],
    is_in: Vec<bool>,
}

/// A pin, and the candidate that it comes from; none: the baseline.
type Placed<'a> = (Option<&'a Marker>, &'a Version, Option<usize>);

impl<'a> Given<'a> {
    /// The requirements that are broken with a part of the candidate `index`, each with the candidate to drop for it.
    fn breaches(&self, index: usize) -> impl Iterator<Item = (Unmet, usize)> {
        self.drawn[index].iter().flat_map(move |change| {
            let needing = self.needs_of(index, change);
            needing.into_iter().chain(self.needs_on(index, change))
        })
    }

    /// What the changed pin needs and does not get.
    fn needs_of(&self, index: usize, change: &'a PackageChange) -> Vec<(Unmet, usize)> {
        let Some(to) = &change.to else {
            return Vec::new();
        };
        let mut found = Vec::new();
        for requirement in self.requirements.of(&change.package, to) {
            for (marker, have, from) in self.pins_of(&requirement.package) {
                let markers = [change.marker.as_ref(), requirement.marker.as_ref(), marker];
                if requirement.admits(have) || !Marker::coexist(markers) {
                    continue;
                }
                let blamed = match from {
                    Some(other) if other != index && self.met_before(requirement, marker) => {
                        index.max(other)
                    }
                    _ => index,
                };
                let unmet = Unmet {
                    package: change.package.clone(),
                    version: to.clone(),
                    requirement: requirement.clone(),
                    have: have.clone(),
                };
                found.push((unmet, blamed));
            }
        }
        found
    }

    /// Whose need of the package the changed pin does not meet.
    fn needs_on(&self, index: usize, change: &'a PackageChange) -> Vec<(Unmet, usize)> {
        let Some(to) = &change.to else {
            return Vec::new();
        };
        let mut found = Vec::new();
        for dependent in self.requirements.on(&change.package) {
            let requirement = &dependent.requirement;
            // What the baseline breaks already is not this candidate's doing.
            if requirement.admits(to) || !self.met_before(requirement, change.marker.as_ref()) {
                continue;
            }
            for (marker, version, from) in self.pins_of(&dependent.package) {
                let markers = [marker, requirement.marker.as_ref(), change.marker.as_ref()];
                if *version != dependent.version || from == Some(index) || !Marker::coexist(markers)
                {
                    continue;
                }
                let unmet = Unmet {
                    package: dependent.package.clone(),
                    version: dependent.version.clone(),
                    requirement: requirement.clone(),
                    have: to.clone(),
                };
                found.push((unmet, from.map_or(index, |other| index.max(other))));
            }
        }
        found
    }

    /// Whether the baseline's own pin meets the requirement; what is not pinned does.
    fn met_before(&self, requirement: &Requirement, marker: Option<&Marker>) -> bool {
        let key = PinKey {
            package: requirement.package.clone(),
            marker: marker.cloned(),
        };
        let pin = self.baseline.get(&key);
        pin.is_none_or(|pin| requirement.admits(&pin.version))
    }

    /// The pins of a package as they are with the candidates that are in.
    fn pins_of(&self, package: &crate::name::PackageName) -> Vec<Placed<'a>> {
        let candidates = self.drawn.iter().enumerate();
        let changes: Vec<(usize, &'a PackageChange)> = candidates
            .filter(|(index, _)| self.is_in[*index])
            .flat_map(|(index, changes)| changes.iter().map(move |change| (index, change)))
            .filter(|(_, change)| change.package == *package)
            .collect();
        let is_changed = |marker: Option<&Marker>| {
            let mut changes = changes.iter();
            changes.any(|(_, change)| change.marker.as_ref() == marker)
        };
        let kept = self.baseline.of_package(package);
        let kept = kept.filter(|pin| !is_changed(pin.marker.as_ref()));
        let mut pins: Vec<Placed<'a>> = kept
            .map(|pin| (pin.marker.as_ref(), &pin.version, None))
            .collect();
        for (index, change) in &changes {
            if let Some(to) = &change.to {
                pins.push((change.marker.as_ref(), to, Some(*index)));
            }
        }
        pins
    }
}

#[cfg(test)]
mod tests;
