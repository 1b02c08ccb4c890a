//! Edits of a constraints file in a repository: the version of the intended pins changes, and no other byte.

use crate::constraints::{Found, PinLine, find_pin, logical_lines};
use crate::ecosystem::Ecosystem;
use crate::pin::{PackageChange, Pin};

/// A file with its changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edited {
    /// Its bytes; as they were if there was nothing to do.
    pub bytes: Vec<u8>,
    /// Changes that the file already had.
    pub already: Vec<PackageChange>,
}

/// Why a file cannot be edited.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// It is no text.
    #[error("it is not UTF-8")]
    NotText,
    /// The package has no pin.
    #[error("it has no pin of `{0}`")]
    Missing(String),
    /// Somebody moved the pin elsewhere.
    #[error("it pins `{package}` to {found}, which is neither {from} nor {to}")]
    OtherVersion {
        /// The package.
        package: String,
        /// The version it has.
        found: String,
        /// The version it was to have.
        from: String,
        /// The version it was to get.
        to: String,
    },
    /// The pin stands in a line with a hash.
    #[error("line {0} carries a hash, which a new version would not match")]
    Hashed(usize),
}

/// A place in the file, and what takes its place.
type Replacement = (std::ops::Range<usize>, String);

/// Changes pins in the bytes of a constraints or requirements file. Operators, blanks, comments, markers, order,
/// line ends and a missing last one stay as they are.
///
/// # Errors
/// If the file is no text, or a pin is missing or holds another version; then nothing is changed.
pub fn edit(
    ecosystem: Ecosystem,
    bytes: &[u8],
    changes: &[PackageChange],
) -> Result<Edited, EditError> {
    let text = std::str::from_utf8(bytes).map_err(|_| EditError::NotText)?;
    let mut replacements: Vec<Replacement> = Vec::new();
    let mut already = Vec::new();
    for change in changes {
        let found = replacements_of(ecosystem, text, change)?;
        if found.is_empty() {
            already.push(change.clone());
        }
        replacements.extend(found);
    }
    replacements.sort_by_key(|(range, _)| std::cmp::Reverse(range.start));
    let mut edited = text.to_owned();
    for (range, with) in replacements {
        edited.replace_range(range, &with);
    }
    Ok(Edited {
        bytes: edited.into_bytes(),
        already,
    })
}

/// What a change takes; nothing if the file has it already.
fn replacements_of(
    ecosystem: Ecosystem,
    text: &str,
    change: &PackageChange,
) -> Result<Vec<Replacement>, EditError> {
    let mut replacements = Vec::new();
    let mut other: Option<Pin> = None;
    let mut is_there = false;
    for logical in logical_lines(text) {
        let (pin, version) = match find_pin(ecosystem, logical.text) {
            Ok(Some(Found { pin, version })) => (pin, version),
            Ok(None) => continue,
            Err(_) if names_with_hash(ecosystem, logical.text, change) => {
                return Err(EditError::Hashed(logical.number));
            }
            Err(_) => continue,
        };
        if pin.package != change.package || pin.marker != change.marker {
            continue;
        }
        let at = logical.start + version.start..logical.start + version.end;
        if change.to.as_ref() == Some(&pin.version) {
            is_there = true;
        } else if change.from.as_ref() == Some(&pin.version) {
            let whole = logical.start..logical.start + logical.text.len();
            replacements.push(match &change.to {
                Some(to) => (at, to.to_string()),
                None => (whole, String::new()),
            });
        } else {
            other = Some(pin);
        }
    }
    match (other, &change.from, &change.to) {
        _ if is_there || !replacements.is_empty() => Ok(replacements),
        (Some(pin), from, to) => {
            let words = |version: &Option<crate::version::Version>| {
                version
                    .as_ref()
                    .map_or_else(|| "none".to_owned(), ToString::to_string)
            };
            Err(EditError::OtherVersion {
                package: change.package.written().to_owned(),
                found: pin.version.to_string(),
                from: words(from),
                to: words(to),
            })
        }
        (None, _, None) => Ok(Vec::new()),
        (None, None, Some(to)) => {
            let pin = Pin {
                package: change.package.clone(),
                version: to.clone(),
                marker: change.marker.clone(),
            };
            Ok(vec![insertion(ecosystem, text, &pin)])
        }
        (None, Some(_), Some(_)) => Err(EditError::Missing(change.package.written().to_owned())),
    }
}

fn names_with_hash(ecosystem: Ecosystem, line: &str, change: &PackageChange) -> bool {
    let requirement = line
        .split("--hash")
        .next()
        .unwrap_or_default()
        .trim()
        .trim_end_matches('\\');
    line.contains("--hash")
        && matches!(find_pin(ecosystem, requirement), Ok(Some(found)) if found.pin.package == change.package)
}

/// Where a new pin goes: before the first pin of a later name, else at the end, with the file's line ends.
fn insertion(ecosystem: Ecosystem, text: &str, pin: &Pin) -> Replacement {
    let line_end = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let later = logical_lines(text).find(|logical| {
        matches!(find_pin(ecosystem, logical.text), Ok(Some(found)) if found.pin.package.normal() > pin.package.normal())
    });
    match later {
        Some(logical) => (
            logical.start..logical.start,
            format!("{}{line_end}", PinLine(pin)),
        ),
        None if text.is_empty() || text.ends_with('\n') => (
            text.len()..text.len(),
            format!("{}{line_end}", PinLine(pin)),
        ),
        None => (
            text.len()..text.len(),
            format!("{line_end}{}", PinLine(pin)),
        ),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::constraints::{parse, pin};
    use crate::name::PackageName;
    use crate::version::Version;

    fn change(
        package: &str,
        marker: Option<&str>,
        from: Option<&str>,
        to: Option<&str>,
    ) -> PackageChange {
        let version = |text| Version::parse(Ecosystem::Pypi, text).expect("a version");
        let with_marker = pin(Ecosystem::Pypi, package, "1", marker).expect("a pin");
        PackageChange {
            package: PackageName::parse(Ecosystem::Pypi, package).expect("a name"),
            marker: with_marker.marker,
            from: from.map(version),
            to: to.map(version),
        }
    }

    fn edited(text: &str, changes: &[PackageChange]) -> Result<String, EditError> {
        let edited = edit(Ecosystem::Pypi, text.as_bytes(), changes)?;
        Ok(String::from_utf8(edited.bytes).expect("text"))
    }

    #[test]
    fn only_the_version_changes() {
        let text = "\u{feff}# top\r\nJinja2 === 2.11.3  # why\r\nMarkupSafe===2.1.0;python_version>='3.7'\r\nsix==1.0";
        let change = change(
            "markupsafe",
            Some("python_version >= '3.7'"),
            Some("2.1.0"),
            Some("2.0.1"),
        );
        assert_eq!(
            edited(text, &[change]).expect("edits"),
            "\u{feff}# top\r\nJinja2 === 2.11.3  # why\r\nMarkupSafe===2.0.1;python_version>='3.7'\r\nsix==1.0"
        );
    }

    #[test]
    fn a_file_that_has_the_version_stays_as_it_is() {
        let change = change("six", None, Some("1.1"), Some("1.0"));
        let result = edit(
            Ecosystem::Pypi,
            b"six==1.0\n",
            std::slice::from_ref(&change),
        )
        .expect("edits");
        assert_eq!(
            (result.bytes, result.already),
            (b"six==1.0\n".to_vec(), vec![change])
        );
    }

    #[test]
    fn what_cannot_be_edited_is_said() {
        let change = change("six", None, Some("1.1"), Some("1.0"));
        let refused = |text: &str| {
            edited(text, std::slice::from_ref(&change))
                .expect_err("refused")
                .to_string()
        };
        assert_eq!(
            refused("six==1.2\n"),
            "it pins `six` to 1.2, which is neither 1.1 nor 1.0"
        );
        assert_eq!(refused("a==1\n"), "it has no pin of `six`");
        assert_eq!(
            refused("a==1\nsix==1.1 \\\n  --hash=sha256:00\n"),
            "line 2 carries a hash, which a new version would not match"
        );
        assert_eq!(
            edit(Ecosystem::Pypi, b"\xff", &[change]),
            Err(EditError::NotText)
        );
    }

    #[test]
    fn pins_come_and_go_in_their_place() {
        let come = change("foo", None, None, Some("1.0"));
        assert_eq!(
            edited("a==1\nz==1\n", std::slice::from_ref(&come)).expect("edits"),
            "a==1\nfoo==1.0\nz==1\n"
        );
        assert_eq!(
            edited("a==1", std::slice::from_ref(&come)).expect("edits"),
            "a==1\nfoo==1.0"
        );
        let go = come.reversed();
        assert_eq!(
            edited("a==1\nfoo==1.0\nz==1\n", &[go]).expect("edits"),
            "a==1\nz==1\n"
        );
    }

    proptest! {
        #[test]
        fn an_edit_changes_the_intended_pin_and_its_reverse_restores_every_byte(
            versions in proptest::collection::vec((0u32..50, "[ \t]{0,2}", "(|  # note|;python_version=='3[.]8')"), 1..30),
            which in any::<prop::sample::Index>(),
            ends in any::<bool>(),
        ) {
            let end = if ends { "\r\n" } else { "\n" };
            let lines: Vec<String> = versions
                .iter()
                .enumerate()
                .map(|(i, (version, blank, tail))| format!("pkg{i}{blank}==={blank}{version}.0{tail}"))
                .collect();
            let text = lines.join(end);
            let i = which.index(versions.len());
            let marker = versions[i].2.strip_prefix(';');
            let change = change(&format!("pkg{i}"), marker, Some(&format!("{}.0", versions[i].0)), Some("99.9"));
            let after = edited(&text, std::slice::from_ref(&change)).expect("edits");
            let before_pins = parse(Ecosystem::Pypi, &text).expect("a file").pins;
            let after_pins = parse(Ecosystem::Pypi, &after).expect("a file").pins;
            prop_assert_eq!(before_pins.diff(&after_pins), vec![change.clone()]);
            prop_assert_eq!(edited(&after, &[change.reversed()]).expect("edits"), text);
        }
    }
}
