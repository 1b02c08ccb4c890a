//! cargo: `cargo update --precise`, in a lockfile outside the project where cargo can (from 1.97), else in
//! the project's own, journaled.
//!
//! cargo 1.97 made `resolver.lockfile-path` stable: the environment variable names another `Cargo.lock`,
//! and every cargo command uses it. Older ones say that they ignore it.

use std::path::{Path, PathBuf};

use pinion_core::ecosystem::Ecosystem;
use serde::Deserialize;

use super::overlay::Overlay;
use super::pinned::Pinned;
use super::process::{Place, ToolError};
use super::verification::{Reasons, Resolved};
use super::{Adapter, Put};

/// The variable that names a lockfile elsewhere; its file is called `Cargo.lock` too, or cargo refuses it.
const LOCKFILE_PATH: &str = "CARGO_RESOLVER_LOCKFILE_PATH";

/// The first cargo that takes it without a nightly's flag.
const WITH_LOCKFILE_PATH: (u64, u64) = (1, 97);

pub(super) struct Cargo;

/// `cargo metadata`, as far as it matters here.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    /// None: a member of the workspace, or a path.
    source: Option<String>,
}

impl Adapter for Cargo {
    fn edits(&self, place: &Place) -> Result<Vec<PathBuf>, ToolError> {
        Ok(vec![lockfile(place)?])
    }

    fn apply(&self, place: &Place, pins: &[Pinned]) -> Result<Put, ToolError> {
        let overlay = match takes_lockfile_path(place)? {
            true => copy_lockfile(place)?,
            false => Overlay::default(),
        };
        let mut refused = Reasons::new();
        // A package can be held back by another that is yet to be moved, so as long as something moves, again.
        loop {
            let resolved = list(place, &overlay, Lockfile::MayChange)?;
            let mut moved = false;
            refused.clear();
            for pinned in resolved.other_than(Ecosystem::Cargo, pins) {
                let found = resolved.of(pinned).into_iter().flatten();
                match update(place, &overlay, pinned, found)? {
                    None => moved = true,
                    Some(words) => {
                        refused.insert(pinned.package.normal().to_owned(), words);
                    }
                }
            }
            if !moved || refused.is_empty() {
                return Ok(Put { overlay, refused });
            }
        }
    }

    /// The next build takes the lockfile.
    fn install(&self, _: &Place, _: &Overlay, _: &[Pinned]) -> Result<(), ToolError> {
        Ok(())
    }

    fn restore(&self, _: &Place, _: &Resolved) -> Result<(), ToolError> {
        Ok(())
    }

    fn resolved(
        &self,
        place: &Place,
        overlay: &Overlay,
        _: &[Pinned],
    ) -> Result<Resolved, ToolError> {
        list(place, overlay, Lockfile::Stays)
    }
}

/// What listing may do to the lockfile.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lockfile {
    /// It is written if there is none, or if the manifests ask for more than it has.
    MayChange,
    /// Listing fails rather than write it.
    Stays,
}

fn list(place: &Place, overlay: &Overlay, lockfile: Lockfile) -> Result<Resolved, ToolError> {
    let mut words = vec![
        "metadata",
        "--format-version=1",
        "--all-features",
        "--quiet",
    ];
    if lockfile == Lockfile::Stays {
        words.push("--locked");
    }
    let answer = place.call("cargo", &words).with(overlay).done()?;
    let metadata: Metadata = answer.json()?;
    let mut resolved = Resolved::default();
    let foreign = metadata.packages.iter().filter(|package| {
        let source = package.source.as_deref();
        source.is_some_and(|source| !source.starts_with("git+"))
    });
    for package in foreign {
        resolved.add(Ecosystem::Cargo, &package.name, &package.version);
    }
    Ok(resolved)
}

/// Moves a package to its pin; what cargo said if it refused.
fn update<'a>(
    place: &Place,
    overlay: &Overlay,
    pinned: &Pinned,
    found: impl Iterator<Item = &'a String>,
) -> Result<Option<String>, ToolError> {
    // Of several versions side by side, the one that the pin can take the place of.
    let (near, far): (Vec<_>, Vec<_>) = found.partition(|found| is_near(found, pinned));
    let mut refused = None;
    for found in near.into_iter().chain(far) {
        let spec = format!("{}@{found}", pinned.name());
        let words = [
            "update",
            "--quiet",
            &spec,
            "--precise",
            pinned.version.as_str(),
        ];
        match place.call("cargo", &words).with(overlay).done() {
            Ok(_) => return Ok(None),
            Err(error) => {
                let words = error.words()?;
                refused.get_or_insert(words);
            }
        }
    }
    Ok(refused)
}

/// Whether two versions are compatible as cargo has it: the same leftmost number that is not 0.
fn is_near(found: &str, pinned: &Pinned) -> bool {
    let key = |text: &str| {
        let version = semver::Version::parse(text).ok()?;
        Some(match (version.major, version.minor) {
            (0, 0) => (0, 0, version.patch),
            (0, minor) => (0, minor, 0),
            (major, _) => (major, 0, 0),
        })
    };
    key(found) == key(pinned.version.as_str())
}

fn takes_lockfile_path(place: &Place) -> Result<bool, ToolError> {
    let answer = place.call("cargo", &["--version"]).done()?;
    let version = answer.stdout.split_whitespace().nth(1);
    let version = version.and_then(|text| semver::Version::parse(text).ok());
    let version = version.ok_or_else(|| answer.unreadable("it names no version"))?;
    Ok((version.major, version.minor) >= WITH_LOCKFILE_PATH)
}

/// Copies the project's lockfile to where the overlay points.
fn copy_lockfile(place: &Place) -> Result<Overlay, ToolError> {
    let from = lockfile(place)?;
    let to = place.folder.join("Cargo.lock");
    match super::whole::read_if_there(&from).map_err(ToolError::file("read", &from))? {
        Some(bytes) => {
            place.generate("Cargo.lock", &String::from_utf8_lossy(&bytes))?;
        }
        None => remove_if_there(&to)?,
    }
    Ok(Overlay::default().set(LOCKFILE_PATH, to.display().to_string()))
}

fn remove_if_there(path: &Path) -> Result<(), ToolError> {
    match std::fs::remove_file(path) {
        Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => {
            Err(ToolError::file("remove", path)(cause))
        }
        _ => Ok(()),
    }
}

/// The lockfile of the workspace.
fn lockfile(place: &Place) -> Result<PathBuf, ToolError> {
    let words = ["locate-project", "--workspace", "--message-format=plain"];
    let answer = place.call("cargo", &words).done()?;
    Ok(Path::new(answer.stdout.trim()).with_file_name("Cargo.lock"))
}
