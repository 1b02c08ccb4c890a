//! The last good pins of a checkout, kept for the time when the server is away.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;
use pinion_client::Pins;
use pinion_client::v1;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

use super::files;

/// Pins, and when the server last confirmed them.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub(crate) struct SavedPins {
    pub(crate) etag: String,
    pub(crate) pin_set: String,
    pub(crate) revision: u64,
    pub(crate) rollouts: Vec<String>,
    pub(crate) confirmed: Timestamp,
    pins: Vec<SavedPin>,
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
            pins: pins.pins.iter().map(saved).collect(),
        }
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
