//! Poetry's version constraints.

use std::ops::Range;
use std::str::FromStr;

use pep440_rs::VersionSpecifiers;

use crate::version::Version;

/// Whether a constraint admits a version; none if it is no constraint.
pub(super) fn admits(text: &str, version: &Version) -> Option<bool> {
    let version = pep440_rs::Version::from_str(version.as_str()).ok()?;
    let alternatives: Option<Vec<VersionSpecifiers>> = text
        .split('|')
        // `||` is the same as `|`.
        .filter(|alternative| !alternative.is_empty())
        .map(specifiers)
        .collect();
    let alternatives = alternatives.filter(|alternatives| !alternatives.is_empty())?;
    Some(
        alternatives
            .iter()
            .any(|specifiers| specifiers.contains(&version)),
    )
}

/// Where and how a clause is added; none where it would count for one of several alternatives only.
pub(super) fn addition(text: &str, clause: &str) -> Option<(Range<usize>, String)> {
    let trimmed = text.trim();
    let start = text.len() - text.trim_start().len();
    match trimmed {
        _ if text.contains('|') => None,
        "*" => Some((start..start + 1, clause.to_owned())),
        _ => Some(super::pep508::addition(text, clause)),
    }
}

/// The specifiers of PEP 440 that an alternative means.
fn specifiers(alternative: &str) -> Option<VersionSpecifiers> {
    let spaced = alternative.replace(',', " ");
    let mut specifiers = Vec::new();
    let mut operator = "";
    for word in spaced.split_whitespace() {
        let version = word.trim_start_matches(['^', '~', '=', '!', '<', '>']);
        let (before, _) = word.split_at(word.len() - version.len());
        if !before.is_empty() && !operator.is_empty() {
            return None;
        }
        operator = if before.is_empty() { operator } else { before };
        if !version.is_empty() {
            specifiers.extend(specifier(operator, version)?);
            operator = "";
        }
    }
    let is_whole = operator.is_empty() && !spaced.trim().is_empty();
    let text = specifiers.join(",");
    is_whole.then(|| VersionSpecifiers::from_str(&text).ok())?
}

fn specifier(operator: &str, version: &str) -> Option<Vec<String>> {
    if version == "*" {
        return matches!(operator, "" | "=" | "==").then(Vec::new);
    }
    Some(match operator {
        "" | "=" | "==" => vec![format!("=={version}")],
        "^" => vec![
            format!(">={version}"),
            format!("<{}", above_caret(version)?),
        ],
        "~" => vec![
            format!(">={version}"),
            format!("<{}", above_tilde(version)?),
        ],
        other => vec![format!("{other}{version}")],
    })
}

/// The version below which `^` stays: the leftmost part that is not zero rises, else the last one that is given.
fn above_caret(version: &str) -> Option<String> {
    let release = release(version)?;
    let last = release.len().checked_sub(1)?;
    let rising = release.iter().position(|part| *part != 0).unwrap_or(last);
    raised(&release, rising)
}

/// The version below which `~` stays: the second part rises, or the only one.
fn above_tilde(version: &str) -> Option<String> {
    let release = release(version)?;
    raised(&release, release.len().checked_sub(1)?.min(1))
}

fn release(version: &str) -> Option<Vec<u64>> {
    let version = pep440_rs::Version::from_str(version).ok()?;
    Some(version.release().to_vec())
}

fn raised(release: &[u64], part: usize) -> Option<String> {
    let (kept, _) = release.split_at_checked(part + 1)?;
    let mut parts: Vec<u64> = kept.to_vec();
    let last = parts.last_mut()?;
    *last = last.checked_add(1)?;
    let parts: Vec<String> = parts.iter().map(u64::to_string).collect();
    Some(parts.join("."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ecosystem::Ecosystem;

    #[test]
    fn constraints_admit_what_poetry_says() {
        for (constraint, inside, outside) in [
            ("^1.2.3", "1.9", "2.0"),
            ("^0.2.3", "0.2.9", "0.3"),
            ("^0.0.3", "0.0.3", "0.0.4"),
            ("^0.0", "0.0.9", "0.1"),
            ("^0", "0.9", "1"),
            ("~1.2.3", "1.2.9", "1.3"),
            ("~1.2", "1.2.9", "1.3"),
            ("~1", "1.9", "2"),
            ("1.2.*", "1.2.9", "1.3"),
            ("1.2", "1.2.0", "1.2.1"),
            (">=1.2 <2", "1.9", "2"),
            (">= 1.2, != 1.3", "1.4", "1.3"),
            ("^1.0 || ^3.0", "3.1", "2.0"),
            ("~=1.2", "1.9", "2.0"),
        ] {
            let version = |text| Version::parse(Ecosystem::Pypi, text).expect("a version");
            assert_eq!(
                admits(constraint, &version(inside)),
                Some(true),
                "{constraint}"
            );
            assert_eq!(
                admits(constraint, &version(outside)),
                Some(false),
                "{constraint}"
            );
        }
    }

    #[test]
    fn what_is_no_constraint_is_told() {
        let version = Version::parse(Ecosystem::Pypi, "1").expect("a version");
        for bad in ["", "|", "^", "^x", "latest", ">=", "> >= 1", "1 2 !"] {
            assert_eq!(admits(bad, &version), None, "{bad:?}");
        }
        assert_eq!(admits("*", &version), Some(true));
    }
}
