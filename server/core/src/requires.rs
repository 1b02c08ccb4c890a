//! What versions need of other packages, as their ecosystem's metadata or a person says.
//!
//! Only what is known counts: a version of which nothing is known needs nothing, and what is not pinned can be had at
//! any version. Which candidates go out with it is decided in [`resolve`](crate::resolve).

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ecosystem::Ecosystem;
use crate::name::PackageName;
use crate::pin::Marker;
use crate::version::Version;

mod metadata;
mod range;

pub use metadata::{of_cargo, of_npm, of_pypi};
pub use range::{InvalidRange, RANGE_BYTES_MAX, Range};

/// Another package in a range of versions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requirement {
    /// The other package.
    pub package: PackageName,
    /// The versions that will do.
    pub range: Range,
    /// Where it is needed; none: everywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub marker: Option<Marker>,
    /// Which versions of the other package it is about.
    #[serde(default, skip_serializing_if = "Reach::is_every")]
    pub reach: Reach,
}

/// Which versions of a package a requirement is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reach {
    /// All: an environment has one version of the package.
    #[default]
    Every,
    /// Those that are compatible with one in the range, as Cargo builds others beside them.
    Compatible,
}

impl Reach {
    fn is_every(&self) -> bool {
        *self == Self::Every
    }
}

/// A text that is no requirement.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no requirement of {ecosystem}: {cause}")]
pub struct InvalidRequirement {
    text: String,
    ecosystem: Ecosystem,
    cause: String,
}

impl Requirement {
    /// The requirement that a text is in an ecosystem: a package, a range, and in pypi `;` and a marker, such as
    /// `Jinja2>=3 ; python_version >= '3.7'`. Extras in brackets are left out: they do not change which version will do.
    ///
    /// # Errors
    /// If there is no package, no range, or one of them is none.
    pub fn parse(ecosystem: Ecosystem, text: &str) -> Result<Self, InvalidRequirement> {
        let refuse = |cause: String| InvalidRequirement {
            text: text.chars().take(80).collect(),
            ecosystem,
            cause,
        };
        let (exact, marker) = match (ecosystem, text.split_once(';')) {
            (Ecosystem::Pypi, Some((exact, marker))) => (exact, Some(marker)),
            _ => (text, None),
        };
        let exact = exact.trim();
        let is_of_name = |c: char| c.is_ascii_alphanumeric() || "._-/@".contains(c);
        let end = exact.find(|c: char| !is_of_name(c)).unwrap_or(exact.len());
        let (package, range) = exact.split_at(end);
        let range = without_extras(range.trim());
        if range.is_empty() {
            return Err(refuse(
                "it names no versions; write it such as `Jinja2>=3`".to_owned(),
            ));
        }
        Ok(Self {
            package: PackageName::parse(ecosystem, package)
                .map_err(|error| refuse(error.to_string()))?,
            range: Range::parse(ecosystem, range).map_err(|error| refuse(error.to_string()))?,
            marker: marker
                .map(|marker| Marker::parse(ecosystem, marker))
                .transpose()
                .map_err(|error| refuse(error.to_string()))?,
            reach: Reach::Every,
        })
    }

    /// Whether the needed package may be at this version: it is in the range, or the requirement is not about it.
    pub fn admits(&self, version: &Version) -> bool {
        self.range.has(version)
            || (self.reach == Reach::Compatible && !self.range.has_compatible(version))
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.package.written(), self.range)
    }
}

/// What comes after `[...]` and without the parentheses of old metadata.
fn without_extras(range: &str) -> &str {
    let range = match (range.starts_with('['), range.split_once(']')) {
        (true, Some((_, rest))) => rest.trim(),
        _ => range,
    };
    let inner = range.strip_prefix('(');
    inner
        .and_then(|inner| inner.strip_suffix(')'))
        .map_or(range, str::trim)
}

/// What one version of a package needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requires {
    /// The package that needs.
    pub package: PackageName,
    /// Its version.
    pub version: Version,
    /// What it needs; all of it.
    pub requirements: Vec<Requirement>,
}

/// Everything that is known of the versions of one pin set, found from both ends.
#[derive(Clone, Debug, Default)]
pub struct Requirements {
    of: BTreeMap<PackageName, Vec<Requires>>,
    on: BTreeMap<PackageName, Vec<Dependent>>,
}

/// A version that needs the package it is looked up by.
#[derive(Clone, Debug)]
pub struct Dependent {
    /// The package that needs.
    pub package: PackageName,
    /// Its version.
    pub version: Version,
    /// What it needs.
    pub requirement: Requirement,
}

impl Requirements {
    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.of.is_empty()
    }

    /// What a version needs.
    pub fn of<'a>(
        &'a self,
        package: &PackageName,
        version: &'a Version,
    ) -> impl Iterator<Item = &'a Requirement> {
        let known = self.of.get(package).into_iter().flatten();
        known
            .filter(move |requires| requires.version == *version)
            .flat_map(|requires| &requires.requirements)
    }

    /// The versions that need some range of a package.
    pub fn on(&self, package: &PackageName) -> &[Dependent] {
        self.on.get(package).map_or(&[], Vec::as_slice)
    }

    /// Whether anything is known that a change of a package could break or need.
    pub fn concern(&self, package: &PackageName) -> bool {
        self.of.contains_key(package) || self.on.contains_key(package)
    }
}

impl FromIterator<Requires> for Requirements {
    fn from_iter<I: IntoIterator<Item = Requires>>(known: I) -> Self {
        let mut all = Self::default();
        for mut requires in known {
            // Nothing can need another version of itself.
            requires
                .requirements
                .retain(|requirement| requirement.package != requires.package);
            if requires.requirements.is_empty() {
                continue;
            }
            for requirement in &requires.requirements {
                let on = all.on.entry(requirement.package.clone()).or_default();
                on.push(Dependent {
                    package: requires.package.clone(),
                    version: requires.version.clone(),
                    requirement: requirement.clone(),
                });
            }
            let of = all.of.entry(requires.package.clone()).or_default();
            of.push(requires);
        }
        all
    }
}

/// A requirement that the pins do not meet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unmet {
    /// The package that needs.
    pub package: PackageName,
    /// Its version.
    pub version: Version,
    /// What it needs.
    pub requirement: Requirement,
    /// The version that the needed package has instead.
    pub have: Version,
}

impl fmt::Display for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            package,
            version,
            requirement,
            have,
        } = self;
        write!(
            f,
            "{} {version} needs {requirement}, and {} is at {have}",
            package.written(),
            requirement.package.written(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(ecosystem: Ecosystem, text: &str) -> (String, String, Option<String>) {
        let requirement = Requirement::parse(ecosystem, text).expect(text);
        (
            requirement.package.written().to_owned(),
            requirement.range.to_string(),
            requirement.marker.map(|marker| marker.to_string()),
        )
    }

    #[test]
    fn a_requirement_is_a_package_in_a_range_where_a_marker_holds() {
        let of = |package: &str, range: &str, marker: Option<&str>| {
            (package.into(), range.into(), marker.map(str::to_owned))
        };
        assert_eq!(
            parsed(Ecosystem::Pypi, "Jinja2>=3,<4"),
            of("Jinja2", ">=3,<4", None)
        );
        assert_eq!(
            parsed(
                Ecosystem::Pypi,
                "urllib3[secure] (>=1.21.1) ; python_version < '3'"
            ),
            of("urllib3", ">=1.21.1", Some("python_version < '3'"))
        );
        assert_eq!(
            parsed(Ecosystem::Npm, "@types/node ^18 || ^20"),
            of("@types/node", "^18 || ^20", None)
        );
        assert_eq!(
            parsed(Ecosystem::Cargo, "serde >=1.0.100, <2"),
            of("serde", ">=1.0.100, <2", None)
        );
        for text in ["", "Jinja2", ">=3", "Jinja2>=x", "Jinja2>=3;what"] {
            let refused = Requirement::parse(Ecosystem::Pypi, text);
            assert!(refused.is_err(), "{text:?}: {refused:?}");
        }
    }

    #[test]
    fn what_is_known_is_found_from_both_ends() {
        let name = |text| PackageName::parse(Ecosystem::Pypi, text).expect("a name");
        let version = |text| Version::parse(Ecosystem::Pypi, text).expect("a version");
        let known: Requirements = [Requires {
            package: name("markupsafe"),
            version: version("2.1"),
            requirements: ["Jinja2>=3", "MarkupSafe<1"]
                .map(|text| Requirement::parse(Ecosystem::Pypi, text).expect("one"))
                .to_vec(),
        }]
        .into_iter()
        .collect();
        assert_eq!(known.of(&name("MarkupSafe"), &version("2.1.0")).count(), 1);
        assert_eq!(known.of(&name("MarkupSafe"), &version("2.0")).count(), 0);
        assert_eq!(known.on(&name("jinja2")).len(), 1);
        assert!(known.on(&name("markupsafe")).is_empty());
    }
}
