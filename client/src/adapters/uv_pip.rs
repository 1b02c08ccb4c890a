//! uv in pip's place: the same constraints file, uv's own listing.

use std::path::PathBuf;

use pinion_core::ecosystem::Ecosystem;
use serde::Deserialize;

use super::overlay::Overlay;
use super::pinned::Pinned;
use super::pip::{Difference, constrain, difference, wanted, words};
use super::process::{Call, Place, ToolError, python};
use super::verification::Resolved;
use super::{Adapter, Put};

pub(super) struct UvPip;

#[derive(Deserialize)]
struct Installed {
    name: String,
    version: String,
}

impl Adapter for UvPip {
    fn edits(&self, _: &Place) -> Result<Vec<PathBuf>, ToolError> {
        Ok(Vec::new())
    }

    fn apply(&self, place: &Place, _: &[Pinned]) -> Result<Put, ToolError> {
        Ok(constrain(place))
    }

    fn install(&self, place: &Place, overlay: &Overlay, pins: &[Pinned]) -> Result<(), ToolError> {
        let wanted = wanted(&self.resolved(place, overlay, &[])?, pins);
        match wanted.is_empty() {
            true => Ok(()),
            false => uv(place, "install", &words(&wanted))
                .with(overlay)
                .done()
                .map(drop),
        }
    }

    fn restore(&self, place: &Place, before: &Resolved) -> Result<(), ToolError> {
        let now = self.resolved(place, &Overlay::default(), &[])?;
        let Difference { changed, new } = difference(before, &now);
        if !new.is_empty() {
            uv(place, "uninstall", &words(&new)).done()?;
        }
        match changed.is_empty() {
            true => Ok(()),
            false => uv(
                place,
                "install",
                &[&["--no-deps"], &*words(&changed)].concat(),
            )
            .without("UV_CONSTRAINT")
            .done()
            .map(drop),
        }
    }

    fn resolved(&self, place: &Place, _: &Overlay, _: &[Pinned]) -> Result<Resolved, ToolError> {
        let list: Vec<Installed> = uv(place, "list", &["--format", "json"]).done()?.json()?;
        let mut resolved = Resolved::default();
        for Installed { name, version } in list {
            resolved.add(Ecosystem::Pypi, &name, &version);
        }
        Ok(resolved)
    }
}

fn uv(place: &Place, verb: &str, more: &[&str]) -> Call {
    let python = python(&place.root);
    let python = python.to_string_lossy();
    let head = ["pip", verb, "--quiet", "--python", &python];
    place.call("uv", &[&head, more].concat())
}
