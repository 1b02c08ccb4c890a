//! Edits of the file in a repository that says the versions: the intended ones change, and no other byte.
//!
//! One format a file below. A format only finds where a file names a package and what it asks for there
//! ([`entry::Entry`]); what becomes of that is decided in one place (`step`), in the words of the dialect that the
//! requirement is written in, and carried out as replacements of byte ranges (`splice`). Nothing is written anew from
//! what was parsed. Lockfiles are not edited: the tools that own them do that.

use std::collections::{BTreeMap, BTreeSet};

use crate::ecosystem::Ecosystem;
use crate::name::PackageName;
use crate::pin::{PackageChange, PinKey, Pins};

mod cargo_toml;
mod clause;
mod dialect;
mod entry;
mod error;
mod exclusion;
mod format;
mod go_mod;
mod literal;
mod npm;
mod outcome;
mod package_json;
mod pep508;
mod poetry;
mod pyproject;
mod requirements;
mod splice;
mod step;
#[cfg(test)]
mod testing;
mod text;
mod toml_tree;

use dialect::is_same;
use entry::{Entry, Wanted};
pub use error::{EditError, ReadError};
pub use exclusion::exclude;
pub use format::{Format, UnknownFormat};
use outcome::{Outcome, Place};
use splice::splice;
use text::Text;

/// A file with its changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edited {
    /// Its bytes; as they were if there was nothing to do.
    pub bytes: Vec<u8>,
    /// Changes that the file already had.
    pub already: Vec<PackageChange>,
    /// Changes of packages that the file does not name; [`exclude`] leaves them out, [`edit`] refuses them.
    pub missing: Vec<PackageChange>,
}

/// What a file pins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Its exact pins. Those that stand in it twice are one.
    pub pins: Pins,
    /// What it says of packages without pinning them, in its order.
    pub unpinned: Vec<Unpinned>,
}

/// A place in a file that names a package and is no exact pin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unpinned {
    /// Its line, counted from 1.
    pub line: usize,
    /// The package.
    pub package: PackageName,
    /// Why it is no pin, such as ``it allows `^1.3` ``.
    pub reason: String,
}

/// Changes the versions that a file asks for.
///
/// Afterwards no requirement of a changed package admits `from`, and those that did admit `to`:
/// - an exact pin gets the new version in the place of the old one;
/// - so does a range that names the old version, if it then no longer admits that (`^1.3.0` to `^1.2.0`);
/// - where the version goes up, a lower bound rises to it;
/// - where it goes down and the format can exclude, the old version is excluded (`>=1.0` to `>=1.0,!=1.3.0`);
/// - else the requirement becomes an exact one.
///
/// Requirements without a version (paths, repositories, workspaces, tags, peers) are left alone, and so are exact
/// pins at a third version if another place has the one to change. A pin comes or goes in constraints and
/// requirements files only. A change with a marker concerns the requirements under that marker; one without concerns
/// all that no other change does, but in constraints and requirements files those without a marker if there are any.
///
/// # Errors
/// If the format is not known or the file is not of it, or a change cannot be made; then nothing is changed.
pub fn edit(
    ecosystem: Ecosystem,
    path: &str,
    bytes: &[u8],
    changes: &[PackageChange],
) -> Result<Edited, EditError> {
    let format = Format::of(ecosystem, path)?;
    let text = Text::of(bytes)?;
    let subjects = subjects(changes)?;
    let packages = changes
        .iter()
        .map(|change| change.package.clone())
        .collect();
    let entries = by_package(format.entries(&text, &Wanted::These(packages))?);
    let (mut replacements, mut additions, mut already) = (Vec::new(), Vec::new(), Vec::new());
    for change in changes {
        let place = Place {
            format,
            text: &text,
            subjects: &subjects,
            entries: entries.get(&change.package).map_or(&[], Vec::as_slice),
        };
        match place.outcome(change)? {
            Outcome::Already => already.push(change.clone()),
            Outcome::Added(pin) => additions.push(pin),
            Outcome::Replaced(found) => replacements.extend(found),
        }
    }
    replacements.extend(requirements::insertions(ecosystem, &text, additions));
    Ok(Edited {
        bytes: splice(&text, replacements),
        already,
        missing: Vec::new(),
    })
}

/// Reads the exact pins of a file, for a pin set that follows it.
///
/// Pins that hold for a part of the dependencies only (an override below one parent, a requirement of the build
/// system) and what is no exact pin is told as such. Of Go, what a module requires is a pin.
///
/// # Errors
/// If the format is not known, the file is not of it, or it pins a package to two versions.
pub fn read(ecosystem: Ecosystem, path: &str, bytes: &[u8]) -> Result<Reading, ReadError> {
    let format = Format::of(ecosystem, path)?;
    let text = Text::of(bytes)?;
    let mut reading = Reading::default();
    let lines = text.lines();
    let mut first: BTreeMap<PinKey, usize> = BTreeMap::new();
    let mut entries = format.entries(&text, &Wanted::All)?;
    entries.sort_by_key(|entry| entry.at);
    for entry in entries {
        let line = lines.of(entry.at);
        let pin = match entry.pin() {
            Ok(pin) => pin,
            Err(reason) => {
                let package = entry.package;
                reading.unpinned.push(Unpinned {
                    line,
                    package,
                    reason,
                });
                continue;
            }
        };
        let key = pin.key();
        if let Some(other) = reading.pins.get(&key)
            && !is_same(&other.version, &pin.version)
        {
            return Err(ReadError::Conflicting {
                package: pin.package.written().to_owned(),
                line,
                version: pin.version.to_string(),
                other_line: first.get(&key).copied().unwrap_or_default(),
                other: other.version.to_string(),
            });
        }
        if reading.pins.get(&key).is_none() {
            first.insert(key, line);
            reading.pins.insert(pin);
        }
    }
    Ok(reading)
}

/// What the changes are of: each pin once.
fn subjects(changes: &[PackageChange]) -> Result<BTreeSet<PinKey>, EditError> {
    let mut subjects = BTreeSet::new();
    for change in changes {
        let is_new = subjects.insert(PinKey {
            package: change.package.clone(),
            marker: change.marker.clone(),
        });
        if !is_new {
            return Err(EditError::Repeated(change.package.written().to_owned()));
        }
    }
    Ok(subjects)
}

fn by_package(entries: Vec<Entry<'_>>) -> BTreeMap<PackageName, Vec<Entry<'_>>> {
    let mut packages: BTreeMap<PackageName, Vec<Entry<'_>>> = BTreeMap::new();
    for entry in entries {
        packages
            .entry(entry.package.clone())
            .or_default()
            .push(entry);
    }
    packages
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::testing::{change, edited, marked};
    use super::*;

    #[test]
    fn several_changes_are_made_at_once_and_each_once() {
        let changes = ["a", "b"].map(|package| change(Ecosystem::Pypi, package, "1", "2"));
        assert_eq!(
            edited("x.txt", "b==1\na==1\n", &changes).as_deref(),
            Ok("b==2\na==2\n")
        );
        let twice = [changes[0].clone(), changes[0].clone()];
        assert_eq!(
            edited("x.txt", "a==1\n", &twice),
            Err(EditError::Repeated("a".to_owned()))
        );
    }

    #[test]
    fn a_file_that_has_the_version_stays_as_it_is() {
        let change = change(Ecosystem::Pypi, "six", "1.1", "1.0");
        let bytes = b"six==1.0\n";
        let edited = edit(
            Ecosystem::Pypi,
            "x.txt",
            bytes,
            std::slice::from_ref(&change),
        );
        let expected = Edited {
            bytes: bytes.to_vec(),
            already: vec![change],
            missing: Vec::new(),
        };
        assert_eq!(edited, Ok(expected));
    }

    #[test]
    fn what_is_not_of_its_format_is_told_with_its_place() {
        let refused = |ecosystem, path, text: &str| {
            let error = read(ecosystem, path, text.as_bytes()).expect_err("refused");
            error.to_string()
        };
        let toml = refused(Ecosystem::Pypi, "pyproject.toml", "[a]\nb = ");
        assert!(toml.starts_with("line 2, column 5: "), "{toml}");
        let json = refused(Ecosystem::Npm, "package.json", "{\n  \"a\": 1,\n}");
        assert!(json.starts_with("line 2, column 9: "), "{json}");
        assert_eq!(
            refused(Ecosystem::Go, "go.mod", "require (\n\tx v1.0.0\n"),
            "line 1, column 1: `require (` is not closed"
        );
    }

    #[test]
    fn a_package_that_is_pinned_to_two_versions_is_told() {
        let error = read(Ecosystem::Pypi, "x.txt", b"a==1\n\nA==2\n").expect_err("a conflict");
        assert_eq!(error.to_string(), "line 3 pins `A` to 2, but line 1 to 1");
        let lines = b"a==1;python_version=='2.7'\na==2\na==2.0\n";
        let reading = read(Ecosystem::Pypi, "x.txt", lines).expect("a file");
        assert_eq!(reading.pins.len(), 2);
    }

    #[test]
    fn a_large_file_takes_hundreds_of_changes_in_one_pass() {
        // What is quadratic would take minutes here.
        let lines = (0..100_000).map(|i| format!("package-number-{i}==1.0.{i}  # a comment\n"));
        let text: String = lines.collect();
        let moved = (0..200).map(|i| {
            let (name, from) = (
                format!("package-number-{}", i * 450),
                format!("1.0.{}", i * 450),
            );
            change(Ecosystem::Pypi, &name, &from, "2.0")
        });
        let new = (0..200).map(|i| change(Ecosystem::Pypi, &format!("new-{i}"), "", "1"));
        let changes: Vec<_> = moved.chain(new).collect();
        let after = edited("x.txt", &text, &changes).expect("edits");
        let back: Vec<_> = changes.iter().map(PackageChange::reversed).collect();
        assert!(edited("x.txt", &after, &back) == Ok(text));
    }

    #[test]
    fn a_change_without_a_marker_is_about_all_that_no_other_change_is_about() {
        let file = r#"[project]
dependencies = ['a==1; python_version<"3"', 'a==1', 'a==1; os_name=="nt"']
"#;
        let everywhere = change(Ecosystem::Pypi, "a", "1", "2");
        let windows = marked(change(Ecosystem::Pypi, "a", "1", "3"), "os_name == 'nt'");
        assert_eq!(
            edited("pyproject.toml", file, &[everywhere, windows]).as_deref(),
            Ok(r#"[project]
dependencies = ['a==2; python_version<"3"', 'a==2', 'a==3; os_name=="nt"']
"#)
        );
    }

    const FORMATS: [(Ecosystem, &str); 6] = [
        (Ecosystem::Pypi, "requirements.txt"),
        (Ecosystem::Npm, "pins.txt"),
        (Ecosystem::Pypi, "pyproject.toml"),
        (Ecosystem::Npm, "package.json"),
        (Ecosystem::Cargo, "Cargo.toml"),
        (Ecosystem::Go, "go.mod"),
    ];

    /// Pieces that the formats are made of.
    const PIECES: [&str; 48] = [
        "a",
        "==",
        "1.0.0",
        "v1.0.0",
        "\"",
        "'",
        "\n",
        "\r\n",
        "[",
        "]",
        "{",
        "}",
        ":",
        ",",
        "=",
        "=>",
        "(",
        ")",
        "require ",
        "replace ",
        "\\",
        ";",
        "#",
        "//",
        "\"\"\"",
        "dependencies",
        "version",
        "npm:",
        "@",
        "^",
        "||",
        " ",
        "--hash=",
        "python_version<'3'",
        "[project]\ndependencies=['a",
        "[dependencies]\na='",
        "']\n",
        "{\"dependencies\":{\"a\":\"",
        "\"}}",
        "[tool.poetry.dependencies]\na='",
        "\u{feff}",
        "é",
        "*",
        "!",
        "~",
        ">=",
        "<",
        "require a v1.0.0\n",
    ];

    fn noise() -> impl Strategy<Value = Vec<u8>> {
        let piece =
            prop::sample::select(PIECES.to_vec()).prop_map(|piece| piece.as_bytes().to_vec());
        let byte = any::<u8>().prop_map(|byte| vec![byte]);
        let parts = proptest::collection::vec(prop_oneof![19 => piece, 1 => byte], 0..30);
        parts.prop_map(|parts| parts.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn no_bytes_make_it_fail_badly(bytes in noise()) {
            for (ecosystem, path) in FORMATS {
                let [new, old] = match ecosystem {
                    Ecosystem::Go => ["v1.0.0", "v0.9.0"],
                    _ => ["1.0.0", "0.9.0"],
                };
                let _ = read(ecosystem, path, &bytes);
                for (from, to) in [(new, old), (old, new), ("", old), (new, "")] {
                    let change = change(ecosystem, "a", from, to);
                    let changes = std::slice::from_ref(&change);
                    if let Ok(edited) = edit(ecosystem, path, &bytes, changes) {
                        // What has been edited needs no edit any more.
                        let again = edit(ecosystem, path, &edited.bytes, changes);
                        prop_assert_eq!(again.map(|again| again.bytes), Ok(edited.bytes));
                    }
                    if ecosystem == Ecosystem::Pypi
                        && let Ok(edited) = exclude(path, &bytes, changes)
                    {
                        let again = exclude(path, &edited.bytes, changes);
                        prop_assert_eq!(again.map(|again| again.bytes), Ok(edited.bytes));
                    }
                }
            }
        }
    }
}
