//! Pins: package to exact version, with a marker where it holds for some environments only.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use pep508_rs::{ExtraOperator, MarkerExpression, MarkerTree};
use serde::{Deserialize, Serialize};

use crate::ecosystem::Ecosystem;
use crate::name::PackageName;
use crate::version::Version;

/// The longest marker, in bytes.
pub const MARKER_BYTES_MAX: usize = 512;

/// An environment marker (PEP 508), such as `python_version>='3.11'`.
///
/// Keeps its text; markers that differ in blanks and quotes only are equal.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Marker {
    written: String,
    normal: String,
}

/// A text that is no marker.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no environment marker: {cause}")]
pub struct InvalidMarker {
    text: String,
    cause: String,
}

impl Marker {
    /// The marker that a text is in an ecosystem.
    ///
    /// # Errors
    /// If it is none, or the ecosystem has none.
    pub fn parse(ecosystem: Ecosystem, text: &str) -> Result<Self, InvalidMarker> {
        let text = text.trim();
        let refuse = |cause: String| InvalidMarker {
            text: text.chars().take(64).collect(),
            cause,
        };
        if ecosystem != Ecosystem::Pypi {
            return Err(refuse(format!("{ecosystem} has none")));
        }
        if text.is_empty() || text.len() > MARKER_BYTES_MAX {
            return Err(refuse(format!("give 1 to {MARKER_BYTES_MAX} bytes")));
        }
        // The grammar has none, and the parser cannot count them.
        if !text.is_ascii() {
            return Err(refuse("it has a character that is not ASCII".to_owned()));
        }
        let _: MarkerTree =
            MarkerTree::from_str(text).map_err(|error| refuse(first_line(&error.to_string())))?;
        let quoted = text.replace('"', "'");
        let normal = quoted.split_whitespace().collect::<Vec<_>>().join(" ");
        let normal =
            ["==", "!=", "<=", ">=", "~=", "<", ">"]
                .iter()
                .fold(normal, |normal, operator| {
                    normal
                        .replace(&format!(" {operator}"), operator)
                        .replace(&format!("{operator} "), operator)
                });
        Ok(Self {
            written: text.to_owned(),
            normal,
        })
    }

    /// Whether an environment may exist in which all of these hold; none of `markers` says no.
    pub fn coexist<'a>(markers: impl IntoIterator<Item = Option<&'a Self>>) -> bool {
        let mut markers = markers.into_iter().flatten();
        let Some(first) = markers.next() else {
            return true;
        };
        let mut all = first.tree();
        for marker in markers {
            all.and(marker.tree());
        }
        !all.is_false()
    }

    /// The marker of a requirement as it holds where no extra is asked for: `None` if it holds nowhere then,
    /// `Some(None)` if everywhere.
    ///
    /// # Errors
    /// If it is none.
    pub(crate) fn without_extras(text: &str) -> Result<Option<Option<Self>>, InvalidMarker> {
        let marker = Self::parse(Ecosystem::Pypi, text)?;
        if !text.contains("extra") {
            return Ok(Some(Some(marker)));
        }
        let is_extra = |one: &MarkerExpression| matches!(one, MarkerExpression::Extra { .. });
        let is_asked = |one: &MarkerExpression| {
            let MarkerExpression::Extra { operator, .. } = one else {
                return false;
            };
            *operator == ExtraOperator::Equal
        };
        let mut anywhere = MarkerTree::FALSE;
        for every in marker.tree().to_dnf() {
            if every.iter().any(is_asked) {
                continue;
            }
            let mut here = MarkerTree::TRUE;
            for one in every.into_iter().filter(|one| !is_extra(one)) {
                here.and(MarkerTree::expression(one));
            }
            anywhere.or(here);
        }
        if anywhere.is_false() {
            return Ok(None);
        }
        // What has no text that is a marker counts everywhere.
        let text = anywhere.try_to_string();
        Ok(Some(
            text.and_then(|text| Self::parse(Ecosystem::Pypi, &text).ok()),
        ))
    }

    // It was parsed when it was made; what holds everywhere rules nothing out.
    fn tree(&self) -> MarkerTree {
        MarkerTree::from_str(&self.written).unwrap_or(MarkerTree::TRUE)
    }

    /// The marker as written.
    pub fn as_str(&self) -> &str {
        &self.written
    }
}

pub(crate) fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

impl fmt::Display for Marker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

impl TryFrom<String> for Marker {
    type Error = InvalidMarker;

    fn try_from(text: String) -> Result<Self, InvalidMarker> {
        Self::parse(Ecosystem::Pypi, &text)
    }
}

impl From<Marker> for String {
    fn from(marker: Marker) -> Self {
        marker.written
    }
}

impl PartialEq for Marker {
    fn eq(&self, other: &Self) -> bool {
        self.normal == other.normal
    }
}

impl Eq for Marker {}

impl PartialOrd for Marker {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Marker {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.normal.cmp(&other.normal)
    }
}

impl Hash for Marker {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.normal.hash(state);
    }
}

/// What a pin is a pin of: a package, everywhere or where a marker holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PinKey {
    /// The package.
    pub package: PackageName,
    /// Where it holds; none: everywhere.
    pub marker: Option<Marker>,
}

/// A package at one exact version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// The package.
    pub package: PackageName,
    /// The version.
    pub version: Version,
    /// Where it holds; none: everywhere.
    pub marker: Option<Marker>,
}

impl Pin {
    /// What it is a pin of.
    pub fn key(&self) -> PinKey {
        PinKey {
            package: self.package.clone(),
            marker: self.marker.clone(),
        }
    }
}

/// One package from one version to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageChange {
    /// The package.
    pub package: PackageName,
    /// Where the pin holds; none: everywhere.
    pub marker: Option<Marker>,
    /// The version before; none: there was no such pin.
    pub from: Option<Version>,
    /// The version after; none: the pin goes.
    pub to: Option<Version>,
}

impl PackageChange {
    /// The change that undoes this one.
    #[must_use]
    pub fn reversed(&self) -> Self {
        Self {
            from: self.to.clone(),
            to: self.from.clone(),
            ..self.clone()
        }
    }
}

impl fmt::Display for PackageChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let package = self.package.written();
        match (&self.from, &self.to) {
            (Some(from), Some(to)) => write!(f, "{package} {from} -> {to}"),
            (None, Some(to)) => write!(f, "{package} {to} (new)"),
            (Some(from), None) => write!(f, "{package} {from} (removed)"),
            (None, None) => f.write_str(package),
        }
    }
}

/// Pins in the order of their packages' normal names, then markers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pins(BTreeMap<PinKey, Pin>);

impl Pins {
    /// Puts a pin in; returns the one it takes the place of.
    pub fn insert(&mut self, pin: Pin) -> Option<Pin> {
        self.0.insert(pin.key(), pin)
    }

    /// The pin of a key.
    pub fn get(&self, key: &PinKey) -> Option<&Pin> {
        self.0.get(key)
    }

    /// Takes a pin out.
    pub fn remove(&mut self, key: &PinKey) -> Option<Pin> {
        self.0.remove(key)
    }

    /// The pins of a package: one for each marker.
    pub fn of_package<'a>(
        &'a self,
        package: &PackageName,
    ) -> impl Iterator<Item = &'a Pin> + use<'a> {
        let first = PinKey {
            package: package.clone(),
            marker: None,
        };
        let package = package.clone();
        self.0
            .range(first..)
            .map(|(_, pin)| pin)
            .take_while(move |pin| pin.package == package)
    }

    /// Every pin, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Pin> {
        self.0.values()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Does what a change says, whatever was there before.
    pub fn apply(&mut self, change: &PackageChange) {
        let pin = |version: &Version| Pin {
            package: change.package.clone(),
            version: version.clone(),
            marker: change.marker.clone(),
        };
        match &change.to {
            Some(version) => drop(self.insert(pin(version))),
            None => drop(self.remove(&PinKey {
                package: change.package.clone(),
                marker: change.marker.clone(),
            })),
        }
    }

    /// What leads from these pins to `newer`, in order.
    pub fn diff(&self, newer: &Self) -> Vec<PackageChange> {
        let change = |pin: &Pin, from: Option<&Version>, to: Option<&Version>| PackageChange {
            package: pin.package.clone(),
            marker: pin.marker.clone(),
            from: from.cloned(),
            to: to.cloned(),
        };
        let mut changes: BTreeMap<&PinKey, PackageChange> = BTreeMap::new();
        for (key, pin) in &self.0 {
            match newer.0.get(key) {
                None => drop(changes.insert(key, change(pin, Some(&pin.version), None))),
                Some(other) if other.version.as_str() != pin.version.as_str() => {
                    changes.insert(key, change(other, Some(&pin.version), Some(&other.version)));
                }
                Some(_) => {}
            }
        }
        for (key, pin) in newer.0.iter().filter(|(key, _)| !self.0.contains_key(*key)) {
            changes.insert(key, change(pin, None, Some(&pin.version)));
        }
        changes.into_values().collect()
    }
}

impl FromIterator<Pin> for Pins {
    fn from_iter<I: IntoIterator<Item = Pin>>(pins: I) -> Self {
        Self(pins.into_iter().map(|pin| (pin.key(), pin)).collect())
    }
}

/// A version that somebody asks for, as `PACKAGE==VERSION` or `PACKAGE==VERSION;MARKER`: the three parts, of which the
/// marker may be empty. None where it is not written so.
pub fn split_candidate(text: &str) -> Option<(&str, &str, &str)> {
    let (exact, marker) = text.split_once(';').unwrap_or((text, ""));
    let (package, version) = exact.split_once("==")?;
    let (package, version) = (package.trim(), version.trim_start_matches('=').trim());
    (!package.is_empty() && !version.is_empty()).then_some((package, version, marker.trim()))
}

/// What a version needs of others, as `PACKAGE: NEEDS`: the two parts. None where it is not written so.
pub fn split_need(text: &str) -> Option<(&str, &str)> {
    let (package, needs) = text.split_once(':')?;
    let (package, needs) = (package.trim(), needs.trim());
    (!package.is_empty() && !needs.is_empty()).then_some((package, needs))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pin(package: &str, version: &str, marker: Option<&str>) -> Pin {
        Pin {
            package: PackageName::parse(Ecosystem::Pypi, package).expect("a name"),
            version: Version::parse(Ecosystem::Pypi, version).expect("a version"),
            marker: marker.map(|marker| Marker::parse(Ecosystem::Pypi, marker).expect("a marker")),
        }
    }

    #[test]
    fn a_marker_that_is_not_ascii_is_refused() {
        for text in [
            "python_version<'3'\u{feff}",
            "os_name=='\u{e9}'",
            "\u{2003}os_name=='x'y",
        ] {
            let refused = Marker::parse(Ecosystem::Pypi, text);
            assert!(refused.is_err(), "{text:?}");
        }
    }

    #[test]
    fn markers_are_one_whatever_their_blanks_and_quotes() {
        let marker = |text| Marker::parse(Ecosystem::Pypi, text).expect("a marker");
        assert_eq!(
            marker("python_version=='2.7'"),
            marker("python_version == \"2.7\"")
        );
        assert_ne!(
            marker("python_version=='2.7'"),
            marker("python_version=='3.4'")
        );
        assert_eq!(
            marker("python_version=='3.4' or python_version=='3.5'"),
            marker("python_version == '3.4'  or  python_version == '3.5'")
        );
        assert!(Marker::parse(Ecosystem::Pypi, "python_versio").is_err());
        assert!(Marker::parse(Ecosystem::Npm, "python_version=='2.7'").is_err());
    }

    #[test]
    fn markers_that_exclude_each_other_never_hold_together() {
        let marker = |text| Marker::parse(Ecosystem::Pypi, text).expect("a marker");
        let (old, new) = (marker("python_version<'3'"), marker("python_version>='3'"));
        let windows = marker("sys_platform=='win32'");
        assert!(!Marker::coexist([Some(&old), None, Some(&new)]));
        assert!(Marker::coexist([Some(&old), Some(&windows)]));
        assert!(Marker::coexist([None, Some(&new)]) && Marker::coexist([None]));
    }

    #[test]
    fn a_package_has_one_pin_for_each_marker() {
        let pins: Pins = [
            pin("enum34", "1.1.6", Some("python_version=='2.7'")),
            pin("Enum34", "1.1.10", None),
            pin("enum", "1.0", None),
            pin("enum35", "1.0", None),
        ]
        .into_iter()
        .collect();
        let package = PackageName::parse(Ecosystem::Pypi, "ENUM34").expect("a name");
        assert_eq!(pins.of_package(&package).count(), 2);
    }

    #[test]
    fn a_difference_applied_gives_the_newer_pins() {
        let old: Pins = [pin("a", "1", None), pin("b", "1", None)]
            .into_iter()
            .collect();
        let new: Pins = [pin("b", "2", None), pin("c", "1", None)]
            .into_iter()
            .collect();
        let changes = old.diff(&new);
        let words: Vec<String> = changes.iter().map(ToString::to_string).collect();
        assert_eq!(words, ["a 1 (removed)", "b 1 -> 2", "c 1 (new)"]);
        let mut applied = old.clone();
        changes.iter().for_each(|change| applied.apply(change));
        assert_eq!(applied, new);
        changes
            .iter()
            .for_each(|change| applied.apply(&change.reversed()));
        assert_eq!(applied, old);
    }

    #[test]
    fn what_somebody_asks_for_is_split_where_it_is_written_right() {
        let marked = "requests===2.32.0 ; python_version > '3.8'";
        let parts = Some(("requests", "2.32.0", "python_version > '3.8'"));
        assert_eq!(split_candidate(marked), parts);
        assert_eq!(split_candidate("a==1"), Some(("a", "1", "")));
        assert_eq!(
            split_need("MarkupSafe: Jinja2>=3"),
            Some(("MarkupSafe", "Jinja2>=3"))
        );
        for wrong in ["requests", "requests>=2", "==2", "requests=="] {
            assert_eq!(split_candidate(wrong), None, "{wrong}");
        }
        assert!(split_need("Jinja2>=3").is_none() && split_need(": x").is_none());
    }
}
