//! yarn: `yarn set resolution` for each range that admits the pin, with `yarn.lock` journaled; yarn 1 has no
//! such command and takes `resolutions` in package.json.

use std::collections::BTreeSet;
use std::path::PathBuf;

use pinion_core::ecosystem::Ecosystem;
use serde::Deserialize;

use super::npm_range::admits;
use super::overlay::Overlay;
use super::pinned::Pinned;
use super::process::{Call, Place, ToolError};
use super::verification::{Reasons, Resolved};
use super::{Adapter, Put, yarn_classic};

pub(super) struct Yarn;

/// The two programs that are called yarn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    /// yarn 1.
    Classic,
    /// yarn 2 and later.
    Berry,
}

/// A line of `yarn info --json`, as far as it matters here.
#[derive(Deserialize)]
struct Info {
    value: String,
    #[serde(default)]
    children: Children,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Children {
    version: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    descriptor: String,
}

impl Adapter for Yarn {
    fn edits(&self, place: &Place) -> Result<Vec<PathBuf>, ToolError> {
        let files: &[&str] = match line(place)? {
            Line::Classic => &["package.json", "yarn.lock"],
            Line::Berry => {
                refuse_tracked_cache(place)?;
                &["package.json", "yarn.lock", ".pnp.cjs", ".pnp.loader.mjs"]
            }
        };
        Ok(files.iter().map(|file| place.root.join(file)).collect())
    }

    fn apply(&self, place: &Place, pins: &[Pinned]) -> Result<Put, ToolError> {
        let refused = match line(place)? {
            Line::Classic => {
                let there = self.resolved(place, &Overlay::default(), &[])?;
                yarn_classic::apply(place, there.other_than(Ecosystem::Npm, pins))?
            }
            Line::Berry => set_resolutions(place, pins)?,
        };
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
        let installed = ["node_modules", ".pnp.cjs"];
        if !installed.iter().any(|file| place.root.join(file).exists()) {
            return Ok(());
        }
        let words: &[&str] = match line(place)? {
            Line::Classic => &["install", "--frozen-lockfile", "--non-interactive"],
            Line::Berry => &["install", "--immutable"],
        };
        yarn(place, words).done().map(drop)
    }

    fn always_installs(&self) -> bool {
        true
    }

    fn resolved(&self, place: &Place, _: &Overlay, _: &[Pinned]) -> Result<Resolved, ToolError> {
        if line(place)? == Line::Classic {
            return yarn_classic::resolved(place);
        }
        let mut resolved = Resolved::default();
        for info in infos(place)? {
            if let Some((name, range)) = split(&info.value)
                && range.starts_with("npm:")
            {
                resolved.add(Ecosystem::Npm, name, &info.children.version);
            }
        }
        Ok(resolved)
    }
}

pub(super) fn yarn(place: &Place, words: &[&str]) -> Call {
    place
        .call("yarn", words)
        .set("YARN_ENABLE_TELEMETRY", "0")
        // In CI it is on, and forbids every change of the lockfile.
        .set("YARN_ENABLE_IMMUTABLE_INSTALLS", "0")
}

fn line(place: &Place) -> Result<Line, ToolError> {
    let answer = yarn(place, &["--version"]).done()?;
    match answer.stdout.trim().split('.').next() {
        Some("1") => Ok(Line::Classic),
        Some(major) if major.parse::<u32>().is_ok() => Ok(Line::Berry),
        _ => Err(answer.unreadable("it is no version")),
    }
}

/// A cache that is tracked would change with the pins, and nobody notes what it held.
fn refuse_tracked_cache(place: &Place) -> Result<(), ToolError> {
    let tracked = place
        .call("git", &["ls-files", "--", ".yarn/cache"])
        .answer();
    match tracked {
        Ok(answer) if !answer.stdout.trim().is_empty() => Err(ToolError::Unsupported(
            "the packages themselves are tracked in .yarn/cache, which pins would change"
                .to_owned(),
        )),
        _ => Ok(()),
    }
}

/// Sets every descriptor that admits its pin to it.
fn set_resolutions(place: &Place, pins: &[Pinned]) -> Result<Reasons, ToolError> {
    let infos = infos(place)?;
    let descriptors: BTreeSet<_> = infos
        .iter()
        .flat_map(|info| &info.children.dependencies)
        .filter_map(|dependency| split(&dependency.descriptor))
        .collect();
    let mut refused = Reasons::new();
    for pinned in pins {
        let asked = descriptors
            .iter()
            .filter(|(name, _)| *name == pinned.name());
        let (admitting, other): (Vec<_>, Vec<_>) =
            asked.partition(|(_, range)| admits(range, pinned));
        if admitting.is_empty() && !other.is_empty() {
            let ranges: Vec<_> = other
                .iter()
                .map(|(_, range)| format!("`{range}`"))
                .collect();
            let words = format!("the project asks for {}", ranges.join(", "));
            refused.insert(pinned.package.normal().to_owned(), words);
        }
        let resolution = format!("{}@npm:{}", pinned.name(), pinned.version);
        if infos.iter().any(|info| info.value == resolution) {
            continue;
        }
        for (name, range) in admitting {
            let descriptor = format!("{name}@{range}");
            let version = format!("npm:{}", pinned.version);
            let set = yarn(place, &["set", "resolution", &descriptor, &version]).done();
            if let Err(error) = set {
                refused.insert(pinned.package.normal().to_owned(), error.words()?);
            }
        }
    }
    Ok(refused)
}

fn infos(place: &Place) -> Result<Vec<Info>, ToolError> {
    let answer = yarn(place, &["info", "--all", "--recursive", "--json"]).done()?;
    let lines = answer.stdout.lines().filter(|line| !line.is_empty());
    lines
        .map(|line| {
            serde_json::from_str(line).map_err(|error| answer.unreadable(&error.to_string()))
        })
        .collect()
}

/// Name and range of a descriptor such as `a@npm:^1` or, with its peers, `a@virtual:0123#npm:^1`.
fn split(descriptor: &str) -> Option<(&str, &str)> {
    let at = descriptor.get(1..)?.find('@')? + 1;
    let (name, range) = (&descriptor[..at], &descriptor[at + 1..]);
    match range.strip_prefix("virtual:") {
        Some(rest) => Some((name, rest.split_once('#')?.1)),
        None => Some((name, range)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_split() {
        assert_eq!(split("a@npm:^1.0.0"), Some(("a", "npm:^1.0.0")));
        assert_eq!(split("@s/a@npm:1 || 2"), Some(("@s/a", "npm:1 || 2")));
        assert_eq!(split("a@virtual:0a#npm:^1"), Some(("a", "npm:^1")));
        assert_eq!(split("app"), None);
    }
}
