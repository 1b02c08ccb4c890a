//! Exclusions of versions from the ranges of a requirements file that goes with a constraints file.

use super::Edited;
use super::by_package;
use super::clause::{Clause, clauses};
use super::dialect::{Dialect, is_same};
use super::entry::{Entry, Says, Scope, Wanted};
use super::error::EditError;
use super::format::Format;
use super::literal::Literal;
use super::pep508;
use super::splice::splice;
use super::text::{Lines, Text};
use crate::ecosystem::Ecosystem;
use crate::pin::PackageChange;
use crate::version::Version;

/// Excludes the version that each change moves away from, in every range of its package that admits it.
///
/// For files such as OpenStack's `global-requirements.txt`, which stand beside the constraints. Whatever their
/// markers, ranges get `!=` and the version, in the order of the specifiers where they are in order
/// (`tooz!=9.0.0,>=1.28.0`). A lower bound that is the old version becomes the new one (`>=9.0.0` to
/// `!=9.0.0,>=8.1.0`), and exact pins of it move along. Packages that the file does not name are told in
/// [`Edited::missing`].
///
/// # Errors
/// If the format is not known, or a range that admits the old version does not admit the new one; then nothing is
/// changed.
pub fn exclude(path: &str, bytes: &[u8], changes: &[PackageChange]) -> Result<Edited, EditError> {
    let format = Format::of(Ecosystem::Pypi, path)?;
    let text = Text::of(bytes)?;
    let lines = text.lines();
    let packages = changes
        .iter()
        .map(|change| change.package.clone())
        .collect();
    let entries = by_package(format.entries(&text, &Wanted::These(packages))?);
    let mut excluded = vec![false; changes.len()];
    let mut replacements = Vec::new();
    for (package, entries) in &entries {
        for entry in entries {
            let (Says::Versions(dialect, literal) | Says::Hashed(dialect, literal)) = &entry.says
            else {
                continue;
            };
            let part = literal.part();
            let mut now = part.to_owned();
            for (change, excluded) in changes.iter().zip(&mut excluded) {
                if change.package == *package
                    && let Some(without) = without(entry, *dialect, &now, change, &lines)?
                {
                    (now, *excluded) = (without, true);
                }
            }
            if now != part {
                replacements.push(replacement(entry, literal, &now, &lines)?);
            }
        }
    }
    let mut edited = Edited {
        bytes: splice(&text, replacements),
        already: Vec::new(),
        missing: Vec::new(),
    };
    for (change, _) in changes
        .iter()
        .zip(excluded)
        .filter(|(_, excluded)| !excluded)
    {
        match entries.contains_key(&change.package) {
            true => edited.already.push(change.clone()),
            false => edited.missing.push(change.clone()),
        }
    }
    Ok(edited)
}

/// A requirement without the old version of a change; none if it does not admit that.
fn without(
    entry: &Entry<'_>,
    dialect: Dialect,
    part: &str,
    change: &PackageChange,
    lines: &Lines,
) -> Result<Option<String>, EditError> {
    let Some(from) = &change.from else {
        return Ok(None);
    };
    let exact = dialect.exact(part);
    let is_left_alone = match &exact {
        Some((found, _)) => !is_same(found, from),
        None => entry.scope == Scope::Following || dialect.admits(part, from) != Some(true),
    };
    if is_left_alone {
        return Ok(None);
    }
    let replacement = match (exact, &change.to) {
        (Some((_, at)), Some(to)) => Some((at, dialect.write(to))),
        (Some(_), None) => None,
        (None, _) if dialect == Dialect::Pep440 => Some(pep508::insertion(
            part,
            &format!("!={}", dialect.write(from)),
        )),
        (None, _) => dialect.exclusion(part, from),
    };
    let excluded = replacement.map(|(range, with)| {
        let mut part = part.to_owned();
        part.replace_range(range, &with);
        part
    });
    let admits = |part: &str, to: &Version| dialect.admits(part, to) == Some(true);
    let kept = excluded.and_then(|part| match &change.to {
        Some(to) if !admits(&part, to) => {
            lowered(dialect, &part, from, to).filter(|part| admits(part, to))
        }
        _ => Some(part),
    });
    kept.map(Some).ok_or_else(|| EditError::Lost {
        package: entry.package.written().to_owned(),
        line: lines.of(entry.at),
        found: part.to_owned(),
        from: from.to_string(),
        to: change
            .to
            .as_ref()
            .map_or_else(|| "any other version".to_owned(), Version::to_string),
    })
}

/// A requirement whose lower bound is the old version, with the new one in its place; none if it is another.
fn lowered(dialect: Dialect, part: &str, from: &Version, to: &Version) -> Option<String> {
    let is_bound = |clause: &Clause<'_>| {
        let named = dialect.named(clause.version);
        clause.operator == ">=" && named.is_some_and(|named| is_same(&named, from))
    };
    let bound = clauses(part).into_iter().find(is_bound)?;
    let mut lowered = part.to_owned();
    lowered.replace_range(bound.at, &dialect.write(to));
    Some(lowered)
}

fn replacement(
    entry: &Entry<'_>,
    literal: &Literal<'_>,
    now: &str,
    lines: &Lines,
) -> Result<super::splice::Replacement, EditError> {
    match &entry.says {
        Says::Hashed(..) => Err(EditError::Hashed(lines.of(entry.at))),
        Says::Versions(..) | Says::Nothing(_) => {
            Ok(literal.replacement(0..literal.part().len(), now))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::change;
    use super::*;
    use crate::ecosystem::Ecosystem::Pypi;

    const FILE: &str = "# tooz\n\
        tooz>=1.28.0 # Apache-2.0\n\
        oslo.messaging!=1.17.0,!=2.6.0,>=1.16.0  # Apache-2.0\n\
        pywin32>=1.0;sys_platform=='win32' # PSF\n\
        PyWin32 ; sys_platform!='win32' # PSF\n\
        pywin32<2;sys_platform=='os2' # PSF\n\
        six==9.0.0\n";

    fn excluded(package: &str, from: &str, to: &str) -> Result<String, String> {
        let change = change(Pypi, package, from, to);
        let edited = exclude("global-requirements.txt", FILE.as_bytes(), &[change]);
        let edited = edited.map_err(|error| error.to_string())?;
        Ok(String::from_utf8(edited.bytes).expect("text"))
    }

    #[test]
    fn each_range_that_admits_the_version_excludes_it_in_order() {
        assert_eq!(
            excluded("tooz", "9.0.0", "8.1.0"),
            Ok(FILE.replace("tooz>=1.28.0 #", "tooz!=9.0.0,>=1.28.0 #"))
        );
        assert_eq!(
            excluded("oslo.messaging", "2.1.0", "2.0.0"),
            Ok(FILE.replace(",!=2.6.0", ",!=2.1.0,!=2.6.0"))
        );
        assert_eq!(
            excluded("pywin32", "9.0.0", "8.1.0"),
            Ok(FILE
                .replace("pywin32>=1.0;", "pywin32!=9.0.0,>=1.0;")
                .replace("PyWin32 ;", "PyWin32!=9.0.0 ;"))
        );
        assert_eq!(
            excluded("tooz", "1.28.0", "1.27.1"),
            Ok(FILE.replace("tooz>=1.28.0 #", "tooz!=1.28.0,>=1.27.1 #"))
        );
        assert_eq!(
            excluded("six", "9.0.0", "8.1.0"),
            Ok(FILE.replace("six==9.0.0", "six==8.1.0"))
        );
    }

    #[test]
    fn what_is_there_and_what_is_missing_is_told() {
        let changes = [
            change(Pypi, "oslo.messaging", "2.6.0", "2.5.0"),
            change(Pypi, "requests", "2.0", "1.0"),
        ];
        let edited = exclude("global-requirements.txt", FILE.as_bytes(), &changes).expect("edits");
        assert_eq!(edited.bytes, FILE.as_bytes());
        assert_eq!(edited.already, [changes[0].clone()]);
        assert_eq!(edited.missing, [changes[1].clone()]);
    }

    #[test]
    fn several_versions_of_a_package_are_excluded_at_once() {
        let changes = [
            change(Pypi, "tooz", "9.0.0", "8.1.0"),
            super::super::testing::marked(
                change(Pypi, "tooz", "9.1.0", "8.1.0"),
                "python_version == '2.7'",
            ),
        ];
        let edited = exclude("global-requirements.txt", FILE.as_bytes(), &changes).expect("edits");
        let text = String::from_utf8(edited.bytes).expect("text");
        assert_eq!(
            text,
            FILE.replace("tooz>=1.28.0 #", "tooz!=9.0.0,!=9.1.0,>=1.28.0 #")
        );
    }

    #[test]
    fn a_range_without_the_version_to_go_back_to_is_told() {
        assert_eq!(
            excluded("tooz", "9.0.0", "1.0"),
            Err(
                "line 2 asks for `tooz` at `>=1.28.0`, which does not admit 1.0; without 9.0.0 it has to be widened first"
                    .to_owned()
            )
        );
        assert!(exclude("setup.cfg", b"", &[]).is_err());
    }
}
