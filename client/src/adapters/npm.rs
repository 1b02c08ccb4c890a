//! npm: direct dependencies by `npm install --no-save`, which touches `node_modules` alone; what only others
//! ask for by `overrides` in package.json, journaled together with the lockfile.
//!
//! An override `name@version: version` applies to those who admit the version, and to nobody else: a tree
//! with several majors of a package keeps them.

use std::path::PathBuf;

use pinion_core::ecosystem::Ecosystem;
use serde_json::Value;

use super::attempt::as_many_as_go;
use super::npm_range::admits;
use super::npm_tree::{Dependent, Resolution, nodes};
use super::overlay::Overlay;
use super::package_json::PackageJson;
use super::pinned::Pinned;
use super::process::{Call, Place, ToolError};
use super::verification::{Reasons, Resolved};
use super::{Adapter, Put};

pub(super) struct Npm;

pub(super) const LOCKFILES: [&str; 2] = ["npm-shrinkwrap.json", "package-lock.json"];

impl Adapter for Npm {
    fn edits(&self, place: &Place) -> Result<Vec<PathBuf>, ToolError> {
        let files = ["package.json"].into_iter().chain(LOCKFILES);
        Ok(files.map(|file| place.root.join(file)).collect())
    }

    fn apply(&self, place: &Place, pins: &[Pinned]) -> Result<Put, ToolError> {
        let manifest = PackageJson::read(place)?;
        let there = self.resolved(place, &Overlay::default(), &[])?;
        let other = there.other_than(Ecosystem::Npm, pins);
        let (direct, transitive): (Vec<_>, Vec<_>) = other
            .into_iter()
            .partition(|pinned| manifest.range(pinned.name()).is_some());
        let mut refused = Reasons::new();
        override_all(place, &manifest, transitive, &mut refused)?;
        install_all(place, &manifest, direct, &mut refused)?;
        let now = self.resolved(place, &Overlay::default(), &[])?;
        for pinned in now.other_than(Ecosystem::Npm, pins) {
            if !refused.contains_key(pinned.package.normal()) {
                let why = explain(place, pinned)?;
                refused.insert(pinned.package.normal().to_owned(), why);
            }
        }
        Ok(Put {
            refused,
            ..Put::default()
        })
    }

    /// Applying has done it.
    fn install(&self, _: &Place, _: &Overlay, _: &[Pinned]) -> Result<(), ToolError> {
        Ok(())
    }

    fn restore(&self, place: &Place, _: &Resolved) -> Result<(), ToolError> {
        if !place.root.join("node_modules").is_dir() {
            return Ok(());
        }
        let has_lock = LOCKFILES.iter().any(|file| place.root.join(file).is_file());
        let words: &[&str] = match has_lock {
            true => &["install", "--no-save"],
            false => &["install", "--no-save", "--no-package-lock"],
        };
        npm(place, words).done().map(drop)
    }

    fn always_installs(&self) -> bool {
        true
    }

    fn resolved(&self, place: &Place, _: &Overlay, _: &[Pinned]) -> Result<Resolved, ToolError> {
        let installed = place.root.join("node_modules").is_dir();
        let words: &[&str] = match installed {
            true => &["ls", "--json", "--all"],
            false => &["ls", "--json", "--all", "--package-lock-only"],
        };
        // It fails for a tree with problems too, and lists it all the same.
        let answer = npm(place, words).answer()?;
        let Ok(tree) = answer.json::<Value>() else {
            return Err(answer.failed());
        };
        let mut resolved = Resolved::default();
        collect(&tree, &mut resolved);
        Ok(resolved)
    }
}

pub(super) fn npm(place: &Place, words: &[&str]) -> Call {
    let quiet = [
        "--no-audit",
        "--no-fund",
        "--no-update-notifier",
        "--loglevel=error",
    ];
    place.call("npm", &[words, &quiet].concat())
}

/// Overrides what only others ask for.
fn override_all<'a>(
    place: &Place,
    manifest: &PackageJson,
    mut pins: Vec<&'a Pinned>,
    refused: &mut Reasons,
) -> Result<(), ToolError> {
    pins.retain(|pinned| {
        let taken = manifest.names("overrides", pinned.name());
        if taken {
            let words = "package.json overrides it already";
            refused.insert(pinned.package.normal().to_owned(), words.to_owned());
        }
        !taken
    });
    if pins.is_empty() {
        return Ok(());
    }
    let entry = |pinned: &Pinned| {
        let version = pinned.version.to_string();
        (format!("{}@{version}", pinned.name()), version)
    };
    let resolution = Resolution::read(place)?;
    let mut good = Vec::new();
    let mut has_failed = false;
    let mut attempt = |pins: &[&'a Pinned]| {
        let all: Vec<_> = good.iter().chain(pins).copied().collect();
        let entries: Vec<_> = all.iter().map(|pinned| entry(pinned)).collect();
        manifest.write("overrides", &entries)?;
        resolution.forget(place, &all)?;
        let done = npm(place, &["install"]).done();
        match &done {
            Ok(_) => good = all,
            Err(_) => has_failed = true,
        }
        done.map(drop)
    };
    as_many_as_go(&pins, &mut attempt, refused)?;
    if has_failed {
        let entries: Vec<_> = good.iter().map(|pinned| entry(pinned)).collect();
        manifest.write("overrides", &entries)?;
        resolution.forget(place, &good)?;
        npm(place, &["install"]).done()?;
    }
    Ok(())
}

/// Installs what the project itself asks for.
fn install_all(
    place: &Place,
    manifest: &PackageJson,
    mut pins: Vec<&Pinned>,
    refused: &mut Reasons,
) -> Result<(), ToolError> {
    pins.retain(|pinned| {
        let range = manifest.range(pinned.name()).unwrap_or_default();
        let is_admitted = admits(range, pinned);
        if !is_admitted {
            let words = format!("package.json asks for `{range}`");
            refused.insert(pinned.package.normal().to_owned(), words);
        }
        is_admitted
    });
    // Without its words, the last install is undone by the next.
    let mut good: Vec<String> = Vec::new();
    let mut attempt = |pins: &[&Pinned]| {
        let mut all = good.clone();
        all.extend(
            pins.iter()
                .map(|pin| format!("{}@{}", pin.name(), pin.version)),
        );
        let head = ["install", "--no-save"];
        let words = all.iter().map(String::as_str);
        npm(place, &head.into_iter().chain(words).collect::<Vec<_>>()).done()?;
        good = all;
        Ok(())
    };
    as_many_as_go(&pins, &mut attempt, refused)
}

fn collect(node: &Value, resolved: &mut Resolved) {
    let Some(Value::Object(dependencies)) = node.get("dependencies") else {
        return;
    };
    for (name, node) in dependencies {
        if let Some(version) = node.get("version").and_then(Value::as_str) {
            resolved.add(Ecosystem::Npm, name, version);
        }
        collect(node, resolved);
    }
}

/// Who keeps a pin out, as in "`is-odd@0.1.2` asks for ^3.0.0".
fn explain(place: &Place, pinned: &Pinned) -> Result<String, ToolError> {
    let nodes = nodes(place, pinned)?;
    let dependents = nodes.iter().flat_map(|node| &node.dependents);
    let told = dependents.filter(|edge| !admits(edge.asked(), pinned));
    let told = told.map(|edge| {
        let Dependent { from, .. } = edge;
        let who = match (&from.name, &from.version) {
            (Some(name), Some(version)) => format!("{name}@{version}"),
            (Some(name), None) => name.clone(),
            (None, _) => "package.json".to_owned(),
        };
        format!("`{who}` asks for `{}`", edge.asked())
    });
    let told = told.take(3).collect::<Vec<_>>().join("; ");
    Ok(match told.as_str() {
        "" => "npm did not take it".to_owned(),
        _ => told,
    })
}
