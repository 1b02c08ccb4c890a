//! Changes and edits in short, for the tests of the formats.

use std::str::FromStr;

use super::{EditError, edit, read};
use crate::ecosystem::Ecosystem;
use crate::name::PackageName;
use crate::pin::{Marker, PackageChange};
use crate::version::Version;

/// A change of a package from one version to another; an empty one is none.
pub(super) fn change(ecosystem: Ecosystem, package: &str, from: &str, to: &str) -> PackageChange {
    let version = |text: &str| {
        let version = (!text.is_empty()).then(|| Version::parse(ecosystem, text));
        version.transpose().expect("a version")
    };
    PackageChange {
        package: PackageName::parse(ecosystem, package).expect("a name"),
        marker: None,
        from: version(from),
        to: version(to),
    }
}

/// The same where a marker holds.
pub(super) fn marked(change: PackageChange, marker: &str) -> PackageChange {
    let marker = Marker::parse(Ecosystem::Pypi, marker).expect("a marker");
    PackageChange {
        marker: Some(marker),
        ..change
    }
}

/// The text of a file after changes.
pub(super) fn edited(
    path: &str,
    text: &str,
    changes: &[PackageChange],
) -> Result<String, EditError> {
    let edited = edit(ecosystem(path), path, text.as_bytes(), changes)?;
    Ok(String::from_utf8(edited.bytes).expect("text"))
}

/// What a file says: its pins as `name version`, then what is no pin as `line name: reason`.
pub(super) fn reading(path: &str, text: &str) -> Vec<String> {
    let reading = read(ecosystem(path), path, text.as_bytes()).expect("a file");
    let pins = reading.pins.iter().map(|pin| match &pin.marker {
        Some(marker) => format!("{} {}; {marker}", pin.package.written(), pin.version),
        None => format!("{} {}", pin.package.written(), pin.version),
    });
    let others = reading.unpinned.iter().map(|other| {
        let package = other.package.written();
        format!("{} {package}: {}", other.line, other.reason)
    });
    pins.chain(others).collect()
}

/// The ecosystem that a path is of in these tests.
fn ecosystem(path: &str) -> Ecosystem {
    let name = match path {
        "Cargo.toml" => "cargo",
        "package.json" => "npm",
        "go.mod" => "go",
        _ => "pypi",
    };
    Ecosystem::from_str(name).expect("an ecosystem")
}
