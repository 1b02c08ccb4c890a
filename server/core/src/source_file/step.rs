//! What a change makes of one requirement.

use std::ops::Range;

use super::clause::clauses;
use super::dialect::{Dialect, is_same};
use crate::version::Version;

/// What a change makes of a requirement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It has what the change brings.
    There,
    /// This part of it becomes that.
    Replace(Range<usize>, String),
    /// It pins another version.
    OtherVersion(Version),
    /// It admits neither version.
    OtherRange,
    /// It is no requirement.
    Unread,
}

/// What moving from one version to another makes of a requirement. Afterwards it does not admit `from`, and admits
/// `to`.
pub(super) fn step(dialect: Dialect, text: &str, from: &Version, to: &Version) -> Step {
    if let Some((found, at)) = dialect.exact(text) {
        return match () {
            // `===` tells versions apart that are the same but for how they are written.
            () if found.as_str() == dialect.write(to) => Step::There,
            () if is_same(&found, from) => Step::Replace(at, dialect.write(to)),
            () if is_same(&found, to) => Step::There,
            () => Step::OtherVersion(found),
        };
    }
    match dialect.admits(text, from) {
        None => Step::Unread,
        Some(false) if dialect.takes(text, to) => Step::There,
        Some(false) => Step::OtherRange,
        Some(true) if is_same(from, to) => Step::There,
        Some(true) => {
            let fits = |(range, with): &(Range<usize>, String)| {
                let mut text = text.to_owned();
                text.replace_range(range.clone(), with);
                dialect.admits(&text, from) == Some(false) && dialect.takes(&text, to)
            };
            let (range, with) = ways(dialect, text, from, to)
                .into_iter()
                .find(fits)
                .unwrap_or_else(|| (trimmed(text), dialect.write_exact(to)));
            Step::Replace(range, with)
        }
    }
}

/// Ways to change a range, the most welcome first; not all lead where they should.
fn ways(dialect: Dialect, text: &str, from: &Version, to: &Version) -> Vec<(Range<usize>, String)> {
    let clauses = clauses(text);
    let (named, others): (Vec<_>, Vec<_>) = clauses.iter().partition(|clause| {
        let version = dialect.named(clause.version);
        clause.operator != "!=" && version.is_some_and(|version| is_same(&version, from))
    });
    let substituted = |clause: &super::clause::Clause<'_>| {
        let at = clause.at.clone();
        let substitutes = clause.substitutes(to).into_iter();
        substitutes
            .map(|with| {
                (
                    at.clone(),
                    with.split('+').next().unwrap_or_default().to_owned(),
                )
            })
            .collect::<Vec<_>>()
    };
    let mut ways: Vec<_> = named
        .iter()
        .flat_map(|clause| substituted(clause))
        .collect();
    if to.is_newer_than(from) {
        let bounds = others.iter().filter(|clause| clause.is_lower_bound());
        ways.extend(bounds.flat_map(|clause| substituted(clause)));
        if !clauses.iter().any(super::clause::Clause::is_lower_bound) {
            ways.extend(dialect.lower_bound(text, to));
        }
    } else {
        ways.extend(dialect.exclusion(text, from));
    }
    ways
}

fn trimmed(text: &str) -> Range<usize> {
    let start = text.len() - text.trim_start().len();
    start..start + text.trim().len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ecosystem::Ecosystem;

    /// What `text` becomes by moving from one version to another.
    fn moved(dialect: Dialect, text: &str, from: &str, to: &str) -> String {
        let ecosystem = match dialect {
            Dialect::Pep440 | Dialect::Poetry => Ecosystem::Pypi,
            Dialect::Cargo => Ecosystem::Cargo,
            Dialect::Npm => Ecosystem::Npm,
            Dialect::Version(ecosystem) => ecosystem,
        };
        let version = |text| Version::parse(ecosystem, text).expect("a version");
        match step(dialect, text, &version(from), &version(to)) {
            Step::Replace(range, with) => {
                let mut text = text.to_owned();
                text.replace_range(range, &with);
                text
            }
            step => format!("{step:?}"),
        }
    }

    #[test]
    fn an_exact_pin_changes_its_version_alone() {
        assert_eq!(
            moved(Dialect::Pep440, "=== 1.3.0", "1.3.0", "1.2"),
            "=== 1.2"
        );
        assert_eq!(moved(Dialect::Pep440, "==1.3", "1.3.0", "1.2.0"), "==1.2.0");
        assert_eq!(moved(Dialect::Poetry, "1.3", "1.3.0", "1.2.0"), "1.2.0");
        assert_eq!(
            moved(Dialect::Cargo, "= 1.3.0", "1.3.0+a", "1.2.0+b"),
            "= 1.2.0"
        );
        assert_eq!(moved(Dialect::Npm, "=v1.3.0", "1.3.0", "1.2.0"), "=v1.2.0");
        let go = Dialect::Version(Ecosystem::Go);
        let (from, to) = ("v2.0.0+incompatible", "v0.0.0-20220101000000-abcdefabcdef");
        assert_eq!(moved(go, from, from, to), to);
    }

    #[test]
    fn a_range_that_names_the_old_version_names_the_new_one_if_that_excludes_the_old() {
        for (dialect, before, from, to, after) in [
            (Dialect::Cargo, "1.3.0", "1.3.0", "1.4.0", "1.4.0"),
            (Dialect::Cargo, "1.3", "1.3.0", "1.4.0", "1.4"),
            (Dialect::Cargo, "~1.3", "1.3.0", "1.2.4", "~1.2.4"),
            (Dialect::Cargo, "^0.3", "0.3.0", "0.2.0", "^0.2"),
            (Dialect::Npm, "~1.3.0", "1.3.0", "1.2.0", "~1.2.0"),
            (Dialect::Npm, "<=1.3.0", "1.3.0", "1.2.0", "<=1.2.0"),
            (Dialect::Pep440, "~=1.3.0", "1.3.0", "1.2.0", "~=1.2.0"),
            (Dialect::Pep440, ">=1.3,<2", "1.3.0", "1.4.0", ">=1.4,<2"),
            (Dialect::Poetry, "^1.3.0", "1.3.0", "2.0.0", "^2.0.0"),
        ] {
            assert_eq!(moved(dialect, before, from, to), after, "{before} to {to}");
        }
    }

    #[test]
    fn a_range_that_would_still_admit_the_old_version_becomes_exact() {
        for (dialect, before, after) in [
            (Dialect::Cargo, "1.3.0", "=1.2.0"),
            (Dialect::Cargo, "^1.3.0", "=1.2.0"),
            (Dialect::Cargo, "*", "=1.2.0"),
            (Dialect::Cargo, ">=1.0, <2", "=1.2.0"),
            (Dialect::Npm, "^1.3.0", "1.2.0"),
            (Dialect::Npm, "^1.0.0 || ^2.0.0", "1.2.0"),
            (Dialect::Npm, "1.x", "1.2.0"),
            (Dialect::Npm, "", "1.2.0"),
            (Dialect::Pep440, " >=1.3.0, <2 ", " ==1.2.0 "),
            (Dialect::Pep440, "==1.3.*", "==1.2.0"),
            (Dialect::Poetry, "^1.3.0", "1.2.0"),
            (Dialect::Poetry, "^1.0 || ^2.0", "1.2.0"),
        ] {
            assert_eq!(moved(dialect, before, "1.3.0", "1.2.0"), after, "{before}");
        }
    }

    #[test]
    fn a_range_that_does_not_name_the_version_excludes_it_on_the_way_down() {
        for (dialect, before, after) in [
            (Dialect::Pep440, ">=1.0", ">=1.0,!=1.3.0"),
            (Dialect::Pep440, ">=1.0, <2", ">=1.0, <2, !=1.3.0"),
            (Dialect::Pep440, "", "!=1.3.0"),
            (Dialect::Poetry, "^1.0", "^1.0,!=1.3.0"),
            (Dialect::Poetry, "*", "!=1.3.0"),
        ] {
            assert_eq!(moved(dialect, before, "1.3.0", "1.2.0"), after, "{before}");
        }
        assert_eq!(
            moved(Dialect::Pep440, ">=1.0", "1.3.0", "1.2.0rc1"),
            "==1.2.0rc1",
            "a pre-release is installed only where one is named"
        );
    }

    #[test]
    fn a_lower_bound_rises_on_the_way_up() {
        for (dialect, before, after) in [
            (Dialect::Pep440, ">=1.0,<2", ">=1.3,<2"),
            (Dialect::Pep440, "<2", "<2,>=1.3.0"),
            (Dialect::Pep440, "", ">=1.3.0"),
            (Dialect::Cargo, "1", "1.3.0"),
            (Dialect::Cargo, ">=1.0, <2", ">=1.3, <2"),
            (Dialect::Npm, "^1.0.0", "^1.3.0"),
            (Dialect::Npm, "*", "1.3.0"),
            (Dialect::Poetry, "*", ">=1.3.0"),
        ] {
            assert_eq!(moved(dialect, before, "1.2.0", "1.3.0"), after, "{before}");
        }
    }

    #[test]
    fn what_is_there_or_elsewhere_is_told() {
        let step = |text| moved(Dialect::Pep440, text, "1.3.0", "1.2.0");
        assert_eq!(step("==1.2"), "There");
        assert_eq!(moved(Dialect::Pep440, "===1.2", "1.2", "1.2.0"), "===1.2.0");
        assert_eq!(moved(Dialect::Pep440, "~=1.2", "1.2", "1.2.0"), "There");
        assert_eq!(step(">=1.0,!=1.3.0"), "There");
        assert_eq!(step("<1.3"), "There");
        assert_eq!(step(">=2"), "OtherRange");
        assert_eq!(step(">>1"), "Unread");
        assert!(step("==1.4").starts_with("OtherVersion"));
    }
}
