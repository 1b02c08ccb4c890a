//! A uv project: `uv lock -P`, with `uv.lock` journaled.
//!
//! uv has overlays too (`uv run --with-requirements`, `uv pip install` with UV_NO_SYNC), but those install
//! over the lockfile without asking whether the project admits the version. The lock does ask, and every
//! `uv run` follows it.

use std::path::PathBuf;

use pinion_core::ecosystem::Ecosystem;

use super::attempt::as_many_as_go;
use super::overlay::Overlay;
use super::pinned::Pinned;
use super::pip::constrain;
use super::process::{Place, ToolError};
use super::verification::{Reasons, Resolved};
use super::{Adapter, Put};

pub(super) struct Uv;

/// Everything that the lock has, whatever group, extra or member of a workspace it is for.
const EXPORT: [&str; 10] = [
    "export",
    "--frozen",
    "--quiet",
    "--all-packages",
    "--all-extras",
    "--all-groups",
    "--no-emit-workspace",
    "--no-hashes",
    "--no-annotate",
    "--no-header",
];

impl Adapter for Uv {
    fn edits(&self, place: &Place) -> Result<Vec<PathBuf>, ToolError> {
        Ok(vec![place.root.join("uv.lock")])
    }

    fn apply(&self, place: &Place, pins: &[Pinned]) -> Result<Put, ToolError> {
        let mut refused = Reasons::new();
        let locked = self.resolved(place, &Overlay::default(), pins)?;
        let mut wanted = locked.other_than(Ecosystem::Pypi, pins);
        wanted.retain(|pinned| {
            let plain = pinned.pin.marker.is_empty();
            if !plain {
                let words =
                    "a pin with a marker does not go into a uv.lock, which is for every platform";
                refused.insert(pinned.package.normal().to_owned(), words.to_owned());
            }
            plain
        });
        let mut lock = |pins: &[&Pinned]| {
            let pins = pins
                .iter()
                .map(|pin| format!("{}=={}", pin.name(), pin.version));
            let mut words = vec!["lock".to_owned(), "--quiet".to_owned()];
            words.extend(pins.flat_map(|pin| ["-P".to_owned(), pin]));
            place.call("uv", &words).done().map(drop)
        };
        as_many_as_go(&wanted, &mut lock, &mut refused)?;
        // For those who run `uv pip` in the project's environment.
        let Put { overlay, .. } = constrain(place);
        Ok(Put { overlay, refused })
    }

    fn install(&self, place: &Place, _: &Overlay, _: &[Pinned]) -> Result<(), ToolError> {
        sync(place)
    }

    fn restore(&self, place: &Place, _: &Resolved) -> Result<(), ToolError> {
        sync(place)
    }

    fn resolved(&self, place: &Place, _: &Overlay, _: &[Pinned]) -> Result<Resolved, ToolError> {
        let answer = place.call("uv", &EXPORT).done()?;
        let mut resolved = Resolved::default();
        for line in answer.stdout.lines() {
            if let Some((name, version)) = requirement(line) {
                resolved.add(Ecosystem::Pypi, name, version);
            }
        }
        Ok(resolved)
    }
}

/// What else is installed stays, as with `uv run`.
fn sync(place: &Place) -> Result<(), ToolError> {
    let words = ["sync", "--frozen", "--inexact", "--quiet"];
    place.call("uv", &words).done().map(drop)
}

/// The package and version of a line such as `six==1.16.0 ; sys_platform == 'win32'`.
fn requirement(line: &str) -> Option<(&str, &str)> {
    let requirement = line.split(';').next()?.trim();
    let (name, version) = requirement.split_once("==")?;
    Some((name.split('[').next()?.trim(), version.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exported_lines_are_read() {
        assert_eq!(requirement("six==1.16.0"), Some(("six", "1.16.0")));
        let line = "colorama==0.4.6 ; sys_platform == 'win32'";
        assert_eq!(requirement(line), Some(("colorama", "0.4.6")));
        assert_eq!(requirement("a[b]==1"), Some(("a", "1")));
        assert_eq!(requirement("-e ./member"), None);
    }
}
