//! pip: a constraints file outside the project, named by PIP_CONSTRAINT and UV_CONSTRAINT.
//!
//! pip itself refuses an install whose requirements do not admit a pin. A version that is installed already
//! stays until something installs again, so the pins are verified in what is installed, not in the file.

use std::path::PathBuf;
use std::str::FromStr as _;

use pep508_rs::{Requirement, VerbatimUrl, VersionOrUrl};
use pinion_core::ecosystem::Ecosystem;
use serde::Deserialize;

use super::overlay::Overlay;
use super::pinned::{Pinned, normal};
use super::process::{Call, Place, ToolError, python};
use super::verification::{Reasons, Resolved};
use super::{Adapter, Put};

/// The constraints file's name in the folder of what is generated.
pub(super) const CONSTRAINTS: &str = "constraints.txt";

pub(super) struct Pip;

/// `pip inspect`, as far as it matters here.
#[derive(Deserialize)]
struct Inspection {
    installed: Vec<Installed>,
}

#[derive(Deserialize)]
struct Installed {
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
    version: String,
    #[serde(default)]
    requires_dist: Vec<String>,
}

impl Adapter for Pip {
    fn edits(&self, _: &Place) -> Result<Vec<PathBuf>, ToolError> {
        Ok(Vec::new())
    }

    fn apply(&self, place: &Place, _: &[Pinned]) -> Result<Put, ToolError> {
        Ok(constrain(place))
    }

    fn install(&self, place: &Place, overlay: &Overlay, pins: &[Pinned]) -> Result<(), ToolError> {
        let installed = self.resolved(place, overlay, &[])?;
        let wanted = wanted(&installed, pins);
        match wanted.is_empty() {
            true => Ok(()),
            false => pip(place, &[&["install", "--quiet"], &*words(&wanted)].concat())
                .with(overlay)
                .done()
                .map(drop),
        }
    }

    fn restore(&self, place: &Place, before: &Resolved) -> Result<(), ToolError> {
        let now = self.resolved(place, &Overlay::default(), &[])?;
        let Difference { changed, new } = difference(before, &now);
        if !new.is_empty() {
            let uninstall = [&["uninstall", "--quiet", "--yes"], &*words(&new)].concat();
            pip(place, &uninstall).done()?;
        }
        match changed.is_empty() {
            true => Ok(()),
            false => {
                let install = ["install", "--quiet", "--no-deps"];
                pip(place, &[&install, &*words(&changed)].concat())
                    .without("PIP_CONSTRAINT")
                    .done()
                    .map(drop)
            }
        }
    }

    fn resolved(&self, place: &Place, _: &Overlay, pins: &[Pinned]) -> Result<Resolved, ToolError> {
        let inspection: Inspection = pip(place, &["inspect", "--local"]).done()?.json()?;
        let mut resolved = Resolved::default();
        for Installed { metadata } in &inspection.installed {
            resolved.add(Ecosystem::Pypi, &metadata.name, &metadata.version);
        }
        resolved.reasons = bounds(&inspection, pins);
        Ok(resolved)
    }
}

/// Points pip and uv at the constraints file, which was written already.
pub(super) fn constrain(place: &Place) -> Put {
    let file = place.folder.join(CONSTRAINTS);
    let kept = [place.state.join(CONSTRAINTS)];
    let overlay =
        Overlay::default()
            .add("PIP_CONSTRAINT", &file, &kept)
            .add("UV_CONSTRAINT", &file, &kept);
    Put {
        overlay,
        ..Put::default()
    }
}

/// Packages at versions, as pip's command line has them.
pub(super) type Requirements = Vec<String>;

/// What to install so that the pins of installed packages are met.
pub(super) fn wanted(installed: &Resolved, pins: &[Pinned]) -> Requirements {
    let other = installed.other_than(Ecosystem::Pypi, pins);
    let requirement = |pinned: &&Pinned| match pinned.pin.marker.as_str() {
        "" => format!("{}=={}", pinned.name(), pinned.version),
        marker => format!("{}=={} ; {marker}", pinned.name(), pinned.version),
    };
    other.iter().map(requirement).collect()
}

/// What it takes to come back to what was installed before.
pub(super) struct Difference {
    /// Installed before, in another version or not any more.
    pub(super) changed: Requirements,
    /// Not installed before: names alone.
    pub(super) new: Requirements,
}

pub(super) fn difference(before: &Resolved, now: &Resolved) -> Difference {
    let changed = before
        .versions
        .iter()
        .filter(|(name, versions)| now.versions.get(*name) != Some(versions))
        .flat_map(|(name, versions)| versions.iter().map(move |v| format!("{name}=={v}")));
    let new = now.versions.keys();
    Difference {
        changed: changed.collect(),
        new: new
            .filter(|name| !before.versions.contains_key(*name))
            .cloned()
            .collect(),
    }
}

pub(super) fn words(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

fn pip(place: &Place, words: &[&str]) -> Call {
    let module = ["-m", "pip", "--disable-pip-version-check"];
    place.call(python(&place.root), &[&module, words].concat())
}

/// For each pin, the bounds of installed packages that keep it out, as in "`app` needs six<1.17".
fn bounds(inspection: &Inspection, pins: &[Pinned]) -> Reasons {
    let mut reasons = Reasons::new();
    for Installed { metadata } in &inspection.installed {
        for text in &metadata.requires_dist {
            // What only an extra asks for binds nobody who has not asked for the extra.
            let requirement = Requirement::<VerbatimUrl>::from_str(text);
            let Some(requirement) = requirement.ok().filter(|_| !text.contains("extra ==")) else {
                continue;
            };
            let name = normal(Ecosystem::Pypi, requirement.name.as_ref());
            for pinned in pins.iter().filter(|pinned| pinned.package.normal() == name) {
                if excludes(&requirement, pinned) {
                    let words = format!("`{}` needs {text}", metadata.name);
                    let told = reasons.entry(name.clone()).or_default();
                    *told = match told.as_str() {
                        "" => words,
                        told => format!("{told}; {words}"),
                    };
                }
            }
        }
    }
    reasons
}

fn excludes(requirement: &Requirement<VerbatimUrl>, pinned: &Pinned) -> bool {
    let Some(VersionOrUrl::VersionSpecifier(bound)) = &requirement.version_or_url else {
        return false;
    };
    let version = pep440_rs::Version::from_str(pinned.version.as_str());
    version.is_ok_and(|version| !bound.contains(&version))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::Pin;

    #[test]
    fn the_bounds_that_keep_a_pin_out_are_told() {
        let inspection = serde_json::json!({"installed": [
            {"metadata": {"name": "app", "version": "1", "requires_dist": [
                "Six<1.17", "six>=1", "idna<3; extra == 'old'"
            ]}},
            {"metadata": {"name": "six", "version": "1.16"}},
        ]});
        let inspection = serde_json::from_value(inspection).expect("as pip has it");
        let pin = |package: &str, version: &str| Pin {
            package: package.into(),
            version: version.into(),
            marker: String::new(),
        };
        let pins = [pin("six", "1.17.0"), pin("idna", "3.6")];
        let pinned = Pinned::parse_all(Ecosystem::Pypi, &pins).expect("valid");
        let reasons = bounds(&inspection, &pinned);
        assert_eq!(
            reasons,
            Reasons::from([("six".into(), "`app` needs Six<1.17".into())])
        );
    }

    #[test]
    fn what_was_installed_comes_back_and_what_is_new_goes() {
        let resolved = |list: &[(&str, &str)]| {
            let mut resolved = Resolved::default();
            for (name, version) in list {
                resolved.add(Ecosystem::Pypi, name, version);
            }
            resolved
        };
        let before = resolved(&[("a", "1"), ("b", "1"), ("c", "1")]);
        let now = resolved(&[("a", "1"), ("b", "2"), ("d", "1")]);
        let Difference { changed, new } = difference(&before, &now);
        assert_eq!(
            (changed, new),
            (vec!["b==1".into(), "c==1".into()], vec!["d".into()])
        );
    }
}
