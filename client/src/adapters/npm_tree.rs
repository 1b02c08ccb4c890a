//! Where npm has a package, and making it choose again there.
//!
//! npm keeps what its lockfile, or without one `node_modules`, has already, whatever an override for another
//! version of it says. So what is to be moved is taken out of there before npm installs.

use std::path::{Component, Path, PathBuf};

use jsonc_parser::ParseOptions;
use jsonc_parser::cst::CstRootNode;
use serde::Deserialize;

use super::npm::{LOCKFILES, npm};
use super::npm_range::is_near;
use super::pinned::Pinned;
use super::process::{Place, ToolError};
use super::whole;

/// One place where a package is, as `npm explain` has it.
#[derive(Deserialize)]
pub(super) struct Node {
    version: String,
    /// Such as `node_modules/a/node_modules/b`.
    location: String,
    #[serde(default)]
    pub(super) dependents: Vec<Dependent>,
}

/// Who asks for it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Dependent {
    spec: String,
    /// Before overrides.
    raw_spec: Option<String>,
    pub(super) from: From,
}

/// The package that asks; the project itself has no name here.
#[derive(Deserialize)]
pub(super) struct From {
    pub(super) name: Option<String>,
    pub(super) version: Option<String>,
}

impl Dependent {
    /// The range that it asks for itself.
    pub(super) fn asked(&self) -> &str {
        self.raw_spec.as_deref().unwrap_or(&self.spec)
    }
}

/// What npm has chosen before any pin: by its lockfile, or by what is installed.
pub(super) enum Resolution {
    Locked { path: PathBuf, text: String },
    Installed,
}

impl Resolution {
    pub(super) fn read(place: &Place) -> Result<Self, ToolError> {
        for path in LOCKFILES.map(|file| place.root.join(file)) {
            let bytes = whole::read_if_there(&path).map_err(ToolError::file("read", &path))?;
            if let Some(bytes) = bytes {
                let text = String::from_utf8_lossy(&bytes).into_owned();
                return Ok(Self::Locked { path, text });
            }
        }
        Ok(Self::Installed)
    }

    /// Leaves npm what it had, but for the versions that these pins can take the place of.
    pub(super) fn forget(&self, place: &Place, pins: &[&Pinned]) -> Result<(), ToolError> {
        // In the lockfile as it was: an attempt before may have changed it.
        if let Self::Locked { path, text } = self {
            write(path, text)?;
        }
        let mut locations = Vec::new();
        for pinned in pins {
            let there = nodes(place, pinned)?.into_iter();
            let movable = there.filter(|node| is_near(&node.version, pinned));
            locations.extend(movable.map(|node| node.location));
        }
        match self {
            Self::Locked { path, text } => write(path, &without(path, text, &locations)?),
            Self::Installed => uninstall(&place.root, &locations),
        }
    }
}

/// Where a package is; nowhere, if npm knows none.
pub(super) fn nodes(place: &Place, pinned: &Pinned) -> Result<Vec<Node>, ToolError> {
    let answer = npm(place, &["explain", "--json", pinned.name()]).answer()?;
    Ok(answer.json().unwrap_or_default())
}

fn without(path: &Path, text: &str, locations: &[String]) -> Result<String, ToolError> {
    let root = CstRootNode::parse(text, &ParseOptions::default());
    let root = root.map_err(|error| ToolError::Broken {
        path: path.to_owned(),
        problem: error.to_string(),
    })?;
    let packages = root
        .object_value()
        .and_then(|root| root.object_value("packages"));
    for location in locations {
        let entry = packages
            .as_ref()
            .and_then(|packages| packages.get(location));
        if let Some(entry) = entry {
            entry.remove();
        }
    }
    Ok(root.to_string())
}

fn uninstall(root: &Path, locations: &[String]) -> Result<(), ToolError> {
    // npm's own note of what is installed has it too.
    let note = root.join("node_modules/.package-lock.json");
    match std::fs::remove_file(&note) {
        Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => {
            return Err(ToolError::file("remove", &note)(cause));
        }
        _ => {}
    }
    for location in locations
        .iter()
        .map(Path::new)
        .filter(|path| is_below_modules(path))
    {
        let path = root.join(location);
        if path.is_dir() {
            std::fs::remove_dir_all(&path).map_err(ToolError::file("remove", &path))?;
        }
    }
    Ok(())
}

fn is_below_modules(location: &Path) -> bool {
    let is_plain = |part: Component<'_>| matches!(part, Component::Normal(_));
    location.starts_with("node_modules")
        && location != Path::new("node_modules")
        && location.components().all(is_plain)
}

fn write(path: &Path, text: &str) -> Result<(), ToolError> {
    let permissions = std::fs::metadata(path).map(|metadata| metadata.permissions());
    let permissions = permissions.map_err(ToolError::file("read", path))?;
    whole::write(path, text.as_bytes(), Some(permissions)).map_err(ToolError::file("write", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_forgotten_leaves_the_rest_of_the_lockfile() {
        let text = "{\n  \"packages\": {\n    \"\": {},\n    \"node_modules/a\": {},\n    \"node_modules/b\": {}\n  }\n}\n";
        let locations = ["node_modules/b".to_owned(), "node_modules/c".to_owned()];
        let left = without(Path::new("package-lock.json"), text, &locations).expect("edited");
        let left: serde_json::Value = serde_json::from_str(&left).expect("JSON");
        assert_eq!(
            left,
            serde_json::json!({"packages": {"": {}, "node_modules/a": {}}})
        );
    }

    #[test]
    fn nothing_outside_node_modules_is_removed() {
        for (location, expected) in [
            ("node_modules/a/node_modules/b", true),
            ("node_modules", false),
            ("node_modules/../src", false),
            ("packages/a", false),
            ("/node_modules/a", false),
        ] {
            assert_eq!(
                is_below_modules(Path::new(location)),
                expected,
                "{location}"
            );
        }
    }
}
