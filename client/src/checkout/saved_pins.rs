//! The last good pins of a checkout, kept for the time when the server is away.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;
use pinion_client::Pins;
use pinion_client::v1;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

use super::{Taken, files};

/// The time for which a candidate that took is taken to stay so, in seconds.
const VERIFIED_FOR_S: i64 = 3_600;

/// Pins, and when the server last confirmed them.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub(crate) struct SavedPins {
    pub(crate) etag: String,
    pub(crate) pin_set: String,
    pub(crate) revision: u64,
    pub(crate) rollouts: Vec<String>,
    pub(crate) confirmed: Timestamp,
    /// None: kept by a version that did not keep it.
    #[serde(default)]
    ecosystem: Option<String>,
    pins: Vec<SavedPin>,
    /// Whether a failing run is to be repeated once with the baseline.
    #[serde(default)]
    pub(crate) repeat_failures: bool,
    #[serde(default)]
    verbatim_lines: Vec<String>,
    #[serde(default)]
    exposures: Vec<SavedExposure>,
}

/// A rollout, and the packages it tries.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
struct SavedExposure {
    rollout: String,
    changes: Vec<SavedPin>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
struct SavedPin {
    package: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    marker: String,
    version: String,
}

impl SavedPins {
    pub(crate) fn of(pins: &Pins, confirmed: Timestamp) -> Self {
        let saved = |pin: &v1::Pin| SavedPin {
            package: pin.package.clone(),
            marker: pin.marker.clone(),
            version: pin.version.clone(),
        };
        Self {
            etag: pins.etag.clone(),
            pin_set: pins.pin_set.clone(),
            revision: pins.revision,
            rollouts: pins.rollouts.clone(),
            confirmed,
            ecosystem: Some(pins.ecosystem.as_str_name().to_owned()),
            pins: pins.pins.iter().map(saved).collect(),
            verbatim_lines: pins.verbatim_lines.clone(),
            exposures: pins.exposures.iter().map(SavedExposure::of).collect(),
            repeat_failures: pins.repeat_failures,
        }
    }

    /// The pins as they came; nothing if they were kept by a version that did not keep all of them.
    pub(crate) fn whole(&self) -> Option<Pins> {
        let pin = |pin: &SavedPin| v1::Pin {
            package: pin.package.clone(),
            version: pin.version.clone(),
            marker: pin.marker.clone(),
        };
        Some(Pins {
            etag: self.etag.clone(),
            pin_set: self.pin_set.clone(),
            ecosystem: v1::Ecosystem::from_str_name(self.ecosystem.as_deref()?)?,
            revision: self.revision,
            pins: self.pins.iter().map(pin).collect(),
            verbatim_lines: self.verbatim_lines.clone(),
            rollouts: self.rollouts.clone(),
            exposures: self.exposures.iter().map(SavedExposure::to_wire).collect(),
            repeat_failures: self.repeat_failures,
        })
    }

    /// The rollouts whose candidate really took, as far as that was verified with these very pins.
    ///
    /// A candidate of several packages took if none of those that are used here missed, and one took.
    pub(crate) fn rollouts_that_took(&self, taken: Option<&Taken>) -> Vec<String> {
        let Some(taken) = taken.filter(|taken| taken.etag == self.etag) else {
            return self.rollouts.clone();
        };
        let took = |rollout: &&String| {
            let exposure = self.exposures.iter().find(|one| one.rollout == **rollout);
            exposure.is_none_or(|exposure| {
                let pins: Vec<_> = exposure.changes.iter().map(SavedPin::key).collect();
                let any = |list: &[String]| {
                    let names = list.iter().map(|name| normal(name)).collect::<Vec<_>>();
                    pins.iter().any(|(name, _)| names.contains(name))
                };
                any(&taken.took) && !any(&taken.missed)
            })
        };
        self.rollouts.iter().filter(took).cloned().collect()
    }

    /// Whether what was last found about the candidates may be out of date: they are not known to have
    /// taken, all of them, with these very pins, less than an hour ago. Where none is known, there is
    /// nothing to find.
    pub(crate) fn may_have_changed(&self, taken: Option<&Taken>, now: Timestamp) -> bool {
        let known = taken
            .filter(|taken| taken.etag == self.etag)
            .is_some_and(|taken| {
                let age_s = now.as_second() - taken.verified.as_second();
                (0..VERIFIED_FOR_S).contains(&age_s)
                    && self.rollouts_that_took(Some(taken)).len() == self.rollouts.len()
            });
        !self.exposures.is_empty() && !known
    }

    /// The number of pins.
    pub(crate) fn len(&self) -> usize {
        self.pins.len()
    }

    /// What changed since `before`, ordered by package: from and to, empty where there was no such pin.
    pub(crate) fn changes_since(&self, before: Option<&Self>) -> Vec<v1::PackageChange> {
        let old = before.map(|pins| pins.pins.as_slice()).unwrap_or_default();
        let change = |pin: &SavedPin, from: &str, to: &str| v1::PackageChange {
            package: pin.package.clone(),
            marker: pin.marker.clone(),
            from_version: from.to_owned(),
            to_version: to.to_owned(),
        };
        let mut gone: BTreeMap<_, _> = old.iter().map(|pin| (pin.key(), pin)).collect();
        let mut changes = Vec::new();
        for pin in &self.pins {
            let was = gone
                .remove(&pin.key())
                .map_or("", |was| was.version.as_str());
            if was != pin.version {
                changes.push(change(pin, was, &pin.version));
            }
        }
        changes.extend(gone.values().map(|pin| change(pin, &pin.version, "")));
        changes.sort_by_cached_key(|change| (normal(&change.package), change.marker.clone()));
        changes
    }

    pub(super) fn load(path: &Path) -> Result<Option<Self>, Failure> {
        let text = files::read_if_there(path)?;
        // Unreadable pins are fetched again, as if there were none.
        Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
    }

    pub(super) fn store(&self, path: &Path) -> Result<(), Failure> {
        let text = serde_json::to_string(self).expect("pins are plain data");
        files::write_whole(path, &text)
    }
}

impl SavedExposure {
    fn of(exposure: &v1::Exposure) -> Self {
        let change = |change: &v1::PackageChange| SavedPin {
            package: change.package.clone(),
            marker: change.marker.clone(),
            version: change.to_version.clone(),
        };
        Self {
            rollout: exposure.rollout.clone(),
            changes: exposure.changes.iter().map(change).collect(),
        }
    }

    fn to_wire(&self) -> v1::Exposure {
        let change = |pin: &SavedPin| v1::PackageChange {
            package: pin.package.clone(),
            marker: pin.marker.clone(),
            from_version: String::new(),
            to_version: pin.version.clone(),
        };
        v1::Exposure {
            rollout: self.rollout.clone(),
            changes: self.changes.iter().map(change).collect(),
        }
    }
}

impl SavedPin {
    fn key(&self) -> (String, &str) {
        (normal(&self.package), &self.marker)
    }
}

/// One spelling for the names that PEP 503 takes for one; harmless elsewhere, since both sides get it.
fn normal(package: &str) -> String {
    let parts = package
        .split(['-', '_', '.'])
        .filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join("-").to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saved(pins: &[(&str, &str, &str)]) -> SavedPins {
        SavedPins {
            etag: "e".into(),
            pin_set: "nova".into(),
            revision: 1,
            rollouts: vec![],
            confirmed: Timestamp::UNIX_EPOCH,
            ecosystem: Some("ECOSYSTEM_PYPI".into()),
            verbatim_lines: vec![],
            repeat_failures: false,
            exposures: vec![],
            pins: pins
                .iter()
                .map(|(package, marker, version)| SavedPin {
                    package: (*package).into(),
                    marker: (*marker).into(),
                    version: (*version).into(),
                })
                .collect(),
        }
    }

    #[test]
    fn changes_are_told_by_package_and_marker() {
        let before = saved(&[
            ("Babel", "", "1"),
            ("gone", "", "2"),
            ("same", "", "3"),
            ("x", "a", "1"),
            ("x", "b", "1"),
        ]);
        let after = saved(&[
            ("babel", "", "2"),
            ("new", "", "1"),
            ("same", "", "3"),
            ("x", "a", "1"),
            ("x", "b", "2"),
        ]);
        let told: Vec<_> = after
            .changes_since(Some(&before))
            .into_iter()
            .map(|change| {
                format!(
                    "{} {} {}>{}",
                    change.package, change.marker, change.from_version, change.to_version
                )
            })
            .collect();
        assert_eq!(told, ["babel  1>2", "gone  2>", "new  >1", "x b 1>2"]);
    }

    #[test]
    fn a_rollout_counts_only_if_its_candidate_took() {
        let mut pins = saved(&[("Babel", "", "2"), ("six", "", "2"), ("idna", "", "2")]);
        for (rollout, packages) in [("ro-1", &["babel"] as &[_]), ("ro-2", &["six", "idna"])] {
            pins.rollouts.push(rollout.into());
            let change = |package: &&str| SavedPin {
                package: (*package).into(),
                marker: String::new(),
                version: "2".into(),
            };
            pins.exposures.push(SavedExposure {
                rollout: rollout.into(),
                changes: packages.iter().map(change).collect(),
            });
        }
        let taken = |etag: &str, took: &[&str], missed: &[&str]| Taken {
            etag: etag.into(),
            verified: Timestamp::UNIX_EPOCH,
            took: took.iter().map(ToString::to_string).collect(),
            missed: missed.iter().map(ToString::to_string).collect(),
        };
        let both = ["ro-1", "ro-2"].map(str::to_owned);
        assert_eq!(pins.rollouts_that_took(None), both);
        assert_eq!(
            pins.rollouts_that_took(Some(&taken("older", &[], &["six"]))),
            both
        );
        let at = |seconds| Timestamp::from_second(seconds).expect("a time");
        let all = taken("e", &["babel", "six"], &[]);
        assert!(!pins.may_have_changed(Some(&all), at(60)));
        assert!(pins.may_have_changed(Some(&all), at(VERIFIED_FOR_S)));
        assert!(pins.may_have_changed(Some(&taken("older", &["babel", "six"], &[])), at(60)));
        assert!(pins.may_have_changed(Some(&taken("e", &["babel"], &[])), at(60)));
        assert!(pins.may_have_changed(None, at(60)));
        assert!(!saved(&[]).may_have_changed(None, at(60)), "no candidate");
        let now = taken("e", &["Babel", "six"], &["idna"]);
        assert_eq!(pins.rollouts_that_took(Some(&now)), both[..1]);
        let now = taken("e", &["idna"], &[]);
        assert_eq!(pins.rollouts_that_took(Some(&now)), both[1..]);
    }

    #[test]
    fn pins_come_back_as_they_were() {
        let pins = Pins {
            etag: "e".into(),
            pin_set: "nova".into(),
            ecosystem: v1::Ecosystem::Go,
            revision: 3,
            pins: vec![v1::Pin {
                package: "rsc.io/quote".into(),
                version: "v1.5.1".into(),
                marker: String::new(),
            }],
            verbatim_lines: vec!["x".into()],
            repeat_failures: false,
            rollouts: vec!["ro-1".into()],
            exposures: vec![],
        };
        let saved = SavedPins::of(&pins, Timestamp::UNIX_EPOCH);
        assert_eq!(saved.whole(), Some(pins));
        let older = r#"{"etag":"e","pin_set":"n","revision":1,"rollouts":[],"confirmed":"1970-01-01T00:00:00Z","pins":[]}"#;
        let older: SavedPins = serde_json::from_str(older).expect("read");
        assert_eq!(older.whole(), None);
    }

    #[test]
    fn broken_pins_are_no_pins() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("pins.json");
        std::fs::write(&path, "{").expect("written");
        assert_eq!(SavedPins::load(&path).expect("readable"), None);
        let pins = saved(&[("a", "", "1")]);
        pins.store(&path).expect("stored");
        assert_eq!(SavedPins::load(&path).expect("readable"), Some(pins));
    }
}
