//! Requirements of PEP 508, such as `requests[socks] >= 2.0, < 3 ; python_version > '3'`, and specifiers of PEP 440.

use std::ops::Range;
use std::str::FromStr;

use pep440_rs::VersionSpecifiers;

use super::clause::clauses;
use crate::version::Version;

/// The parts of a requirement, as ranges of its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Requirement {
    pub(super) name: Range<usize>,
    pub(super) asks: Asks,
    /// Without the semicolon.
    pub(super) marker: Option<Range<usize>>,
}

/// What a requirement asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asks {
    /// Versions; empty where there are no specifiers: there they would go.
    Specifiers(Range<usize>),
    /// What an address leads to.
    Address,
}

/// The parts of a requirement; none if it has no name, or brackets do not close.
pub(super) fn scan(text: &str) -> Option<Requirement> {
    let blank = |from: usize| {
        let rest = text.get(from..)?;
        Some(from + rest.len() - rest.trim_start().len())
    };
    let start = blank(0)?;
    let name = start..start + name_length(text.get(start..)?)?;
    let mut end = name.end;
    let mut at = blank(end)?;
    if text.get(at..)?.starts_with('[') {
        end = at + text.get(at..)?.find(']')? + 1;
        at = blank(end)?;
    }
    if text.get(at..)?.starts_with('@') {
        return Some(Requirement {
            name,
            asks: Asks::Address,
            marker: None,
        });
    }
    let stop = text
        .get(at..)?
        .find(';')
        .map_or(text.len(), |stop| at + stop);
    let marker = text
        .get(stop..)?
        .starts_with(';')
        .then(|| stop + 1..text.len());
    let mut specifiers = at..stop;
    if text.get(at..)?.starts_with('(') {
        let close = text.get(specifiers.clone())?.rfind(')')?;
        if !text.get(at + close + 1..stop)?.trim().is_empty() {
            return None;
        }
        specifiers = at + 1..at + close;
        end = at + 1;
    }
    let asked = text.get(specifiers.clone())?;
    if asked.trim().is_empty() {
        specifiers = end..end;
    } else {
        specifiers.start += asked.len() - asked.trim_start().len();
        specifiers.end = specifiers.start + asked.trim().len();
    }
    Some(Requirement {
        name,
        asks: Asks::Specifiers(specifiers),
        marker,
    })
}

fn name_length(text: &str) -> Option<usize> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let name = text.split(|c| !is_part(c)).next()?;
    (!name.is_empty()).then_some(name.len())
}

/// The specifiers of a text; the empty one has none and admits every version.
fn specifiers(text: &str) -> Option<VersionSpecifiers> {
    // `packaging` takes a comma at the end.
    let text = text.trim().trim_end_matches(',');
    VersionSpecifiers::from_str(text).ok()
}

/// Whether specifiers admit a version, pre-releases as any other; none if they are none.
pub(super) fn admits(text: &str, version: &Version) -> Option<bool> {
    let version = pep440_rs::Version::from_str(version.as_str()).ok()?;
    Some(specifiers(text)?.contains(&version))
}

/// Whether a version is a pre-release or a developers' one.
pub(super) fn is_prerelease(version: &Version) -> bool {
    pep440_rs::Version::from_str(version.as_str()).is_ok_and(|version| version.any_prerelease())
}

/// Whether specifiers name a pre-release, so that pip takes such.
pub(super) fn names_prerelease(text: &str) -> bool {
    clauses(text).iter().any(|clause| {
        clause.operator != "!="
            && pep440_rs::Version::from_str(clause.version)
                .is_ok_and(|version| version.any_prerelease())
    })
}

/// Where and how a specifier is added at the end, with the blanks that the others have.
pub(super) fn addition(text: &str, specifier: &str) -> (Range<usize>, String) {
    let kept = text.trim_end().trim_end_matches(',').trim_end();
    let comma = match separator(kept) {
        _ if kept.trim().is_empty() => "",
        separator => separator,
    };
    let end = if kept.trim().is_empty() {
        text.len()
    } else {
        kept.len()
    };
    (end..end, format!("{comma}{specifier}"))
}

/// Where and how a specifier is inserted so that specifiers that are in order stay so; at the end of others.
pub(super) fn insertion(text: &str, specifier: &str) -> (Range<usize>, String) {
    let mut parts = Vec::new();
    let mut at = 0;
    for part in text.split(',') {
        let start = at + part.len() - part.trim_start().len();
        if !part.trim().is_empty() {
            parts.push((start, without_blanks(part)));
        }
        at += part.len() + 1;
    }
    let is_sorted = parts.is_sorted_by(|(_, one), (_, other)| one <= other);
    let later = parts.iter().find(|(_, part)| part.as_str() > specifier);
    match later {
        Some((start, _)) if is_sorted => {
            (*start..*start, format!("{specifier}{}", separator(text)))
        }
        _ => addition(text, specifier),
    }
}

fn without_blanks(text: &str) -> String {
    text.split_whitespace().collect()
}

fn separator(text: &str) -> &'static str {
    match text.split_once(',') {
        // Two blanks and more stand for a continued line.
        Some((_, rest)) if rest.starts_with(' ') && !rest.starts_with("  ") => ", ",
        _ => ",",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> Option<(&str, &str, Option<&str>)> {
        let requirement = scan(text)?;
        let asks = match requirement.asks {
            Asks::Specifiers(range) => text.get(range)?,
            Asks::Address => "@",
        };
        let marker = requirement.marker.and_then(|range| text.get(range));
        Some((text.get(requirement.name)?, asks, marker))
    }

    #[test]
    fn requirements_are_taken_apart() {
        for (text, name, asks, marker) in [
            ("six", "six", "", None),
            (" six == 1.0 ", "six", "== 1.0", None),
            ("six[a, b]>=1,<2;x=='1'", "six", ">=1,<2", Some("x=='1'")),
            ("six (>=1.0) ; x", "six", ">=1.0", Some(" x")),
            ("six @ https://example.org/a;b", "six", "@", None),
            ("zope.interface~=5", "zope.interface", "~=5", None),
        ] {
            assert_eq!(parts(text), Some((name, asks, marker)), "{text}");
        }
        for bad in ["", "[a]", "six[a", "six (1", "six (>=1) x", ">=1"] {
            assert_eq!(parts(bad), None, "{bad}");
        }
    }

    #[test]
    fn specifiers_that_are_in_order_stay_so() {
        let inserted = |text: &str, specifier| {
            let (range, with) = insertion(text, specifier);
            let mut text = text.to_owned();
            text.replace_range(range, &with);
            text
        };
        assert_eq!(inserted(">=1.28.0", "!=9.0.0"), "!=9.0.0,>=1.28.0");
        assert_eq!(
            inserted("!=1.17.0,!=2.6.0,>=1.16.0", "!=1.17.1"),
            "!=1.17.0,!=1.17.1,!=2.6.0,>=1.16.0"
        );
        assert_eq!(inserted("!=1, >=0", "!=2"), "!=1, !=2, >=0");
        assert_eq!(inserted(">=1,<2", "!=1.5"), ">=1,<2,!=1.5");
        assert_eq!(inserted("", "!=1.5"), "!=1.5");
        assert_eq!(inserted(">=1, ", "!=1.5"), "!=1.5, >=1, ");
    }
}
