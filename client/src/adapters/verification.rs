//! What really resolved, held against the pins.

use std::collections::{BTreeMap, BTreeSet};

use pinion_core::ecosystem::Ecosystem;
use pinion_core::version::Version;

use super::pinned::{Pinned, normal};
use crate::v1::Pin;

/// What verifying found: every pin of the set is in one of the three lists.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verification {
    /// Pins whose version is one that resolved.
    pub took: Vec<Pin>,
    /// Pins of packages that resolved to other versions only.
    pub missed: Vec<Missed>,
    /// Pins of packages that the checkout does not use, or that hold elsewhere.
    pub unused: Vec<Pin>,
}

/// A pin that did not take.
#[derive(Clone, Debug, PartialEq)]
pub struct Missed {
    /// The pin.
    pub pin: Pin,
    /// The versions that resolved instead, in order.
    pub found: Vec<String>,
    /// Why, as far as that is known.
    pub reason: Option<String>,
}

/// What resolved, by the packages' normal names.
#[derive(Clone, Debug, Default)]
pub(super) struct Resolved {
    pub(super) versions: BTreeMap<String, BTreeSet<String>>,
    pub(super) reasons: Reasons,
}

/// Why pins did not take, by the packages' normal names.
pub(super) type Reasons = BTreeMap<String, String>;

impl Resolved {
    pub(super) fn add(&mut self, ecosystem: Ecosystem, name: &str, version: &str) {
        let versions = self.versions.entry(normal(ecosystem, name)).or_default();
        versions.insert(version.to_owned());
    }

    /// The versions of a package; none if the checkout does not use it.
    pub(super) fn of(&self, pinned: &Pinned) -> Option<&BTreeSet<String>> {
        self.versions.get(pinned.package.normal())
    }

    /// Whether a pin's version is there.
    pub(super) fn has(&self, ecosystem: Ecosystem, pinned: &Pinned) -> bool {
        self.of(pinned).is_some_and(|versions| {
            let is_it = |text: &String| equal(ecosystem, text, &pinned.version);
            versions.iter().any(is_it)
        })
    }

    /// The pins whose package is there, and not in the pinned version.
    pub(super) fn other_than<'a>(
        &self,
        ecosystem: Ecosystem,
        pins: &'a [Pinned],
    ) -> Vec<&'a Pinned> {
        let other = |pinned: &&Pinned| self.of(pinned).is_some() && !self.has(ecosystem, pinned);
        pins.iter().filter(other).collect()
    }
}

impl Verification {
    /// Holds pins against what resolved; what the tool itself found is the better reason.
    pub(super) fn of(
        ecosystem: Ecosystem,
        pins: &[Pinned],
        resolved: &Resolved,
        refused: &Reasons,
    ) -> Self {
        let took: BTreeSet<_> = pins
            .iter()
            .filter(|pinned| resolved.has(ecosystem, pinned))
            .map(|pinned| pinned.package.normal())
            .collect();
        let mut verification = Self::default();
        for pinned in pins {
            let (pin, name) = (pinned.pin.clone(), pinned.package.normal());
            match resolved.of(pinned) {
                Some(_) if resolved.has(ecosystem, pinned) => verification.took.push(pin),
                // Another pin of the package, for another marker, is the one that holds here.
                Some(found) if !took.contains(name) => verification.missed.push(Missed {
                    pin,
                    found: found.iter().cloned().collect(),
                    reason: refused.get(name).or(resolved.reasons.get(name)).cloned(),
                }),
                _ => verification.unused.push(pin),
            }
        }
        verification
    }
}

/// Whether a text is the version, as the ecosystem compares.
fn equal(ecosystem: Ecosystem, text: &str, version: &Version) -> bool {
    match Version::parse(ecosystem, text) {
        Ok(found) => found == *version,
        Err(_) => text == version.as_str(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pin(package: &str, version: &str, marker: &str) -> Pin {
        Pin {
            package: package.into(),
            version: version.into(),
            marker: marker.into(),
        }
    }

    #[test]
    fn every_pin_took_missed_or_is_not_used() {
        let pins = [
            pin("Six", "1.16", ""),
            pin("idna", "3.6", ""),
            pin("attrs", "1.0", ""),
            pin("numpy", "1.0", "python_version<'3.9'"),
            pin("numpy", "2.0", "python_version>='3.9'"),
        ];
        let pinned = Pinned::parse_all(Ecosystem::Pypi, &pins).expect("valid");
        let mut resolved = Resolved::default();
        for (name, version) in [("six", "1.16.0"), ("idna", "3.7"), ("NumPy", "2.0.0")] {
            resolved.add(Ecosystem::Pypi, name, version);
        }
        let refused = Reasons::from([("idna".to_owned(), "app needs it newer".to_owned())]);
        let verification = Verification::of(Ecosystem::Pypi, &pinned, &resolved, &refused);
        assert_eq!(verification.took, [pins[0].clone(), pins[4].clone()]);
        assert_eq!(verification.unused, [pins[2].clone(), pins[3].clone()]);
        assert_eq!(
            verification.missed,
            [Missed {
                pin: pins[1].clone(),
                found: vec!["3.7".to_owned()],
                reason: Some("app needs it newer".to_owned()),
            }]
        );
    }
}
