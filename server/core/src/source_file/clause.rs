//! The clauses of a requirement, such as `>=1.3` in `>=1.3, <2`: operators and versions are written alike everywhere.

use std::ops::Range;

use crate::version::Version;

/// An operator and its version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Clause<'a> {
    pub(super) operator: &'a str,
    /// Without a leading `v`.
    pub(super) version: &'a str,
    /// Where the version stands.
    pub(super) at: Range<usize>,
}

impl Clause<'_> {
    /// Whether it says what the lowest version is.
    pub(super) fn is_lower_bound(&self) -> bool {
        matches!(self.operator, "" | "^" | "~" | "~=" | "~>" | ">=")
    }

    /// How `to` can be written in its place: with as few parts as it has where nothing but zeros is lost, and in full.
    pub(super) fn substitutes(&self, to: &Version) -> Vec<String> {
        let full = without_v(to.as_str());
        let parts = self.version.split('.').count();
        let short: Vec<&str> = full.split('.').take(parts).collect();
        let is_short = is_plain(self.version)
            && is_plain(full)
            && full.split('.').skip(parts).all(|part| part == "0");
        match is_short {
            true => vec![short.join("."), full.to_owned()],
            false => vec![full.to_owned()],
        }
    }
}

/// Digits and points only.
fn is_plain(version: &str) -> bool {
    version
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.')
}

pub(super) fn without_v(version: &str) -> &str {
    version.strip_prefix(['v', 'V']).unwrap_or(version)
}

/// The clauses of a text, which need not be a requirement.
pub(super) fn clauses(text: &str) -> Vec<Clause<'_>> {
    let bytes = text.as_bytes();
    let skip = |from: usize, is_part: fn(u8) -> bool| {
        bytes
            .iter()
            .skip(from)
            .position(|byte| !is_part(*byte))
            .map_or(bytes.len(), |length| from + length)
    };
    let (mut at, mut found) = (0, Vec::new());
    while at < bytes.len() {
        let operator = at..skip(at, is_operator);
        let mut start = skip(operator.end, |byte| byte.is_ascii_whitespace());
        if bytes.get(start).is_some_and(|byte| byte | 0x20 == b'v') {
            start += 1;
        }
        let end = skip(start, is_version);
        if bytes.get(start).is_some_and(u8::is_ascii_digit) {
            found.push(Clause {
                operator: text.get(operator).unwrap_or_default(),
                version: text.get(start..end).unwrap_or_default(),
                at: start..end,
            });
        }
        at = end.max(at + 1);
    }
    found
}

/// The clause that a text is, if it is one and nothing else.
pub(super) fn sole_clause(text: &str) -> Option<Clause<'_>> {
    let clause = clauses(text).into_iter().next()?;
    let before = text.get(..clause.at.start)?.trim_end_matches(['v', 'V']);
    let after = text.get(clause.at.end..)?;
    (before.trim() == clause.operator && after.trim().is_empty()).then_some(clause)
}

fn is_operator(byte: u8) -> bool {
    b"<>=!~^".contains(&byte)
}

fn is_version(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b".+-*_!".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ecosystem::Ecosystem;

    #[test]
    fn clauses_are_found_in_every_dialect() {
        let found = |text| -> Vec<(String, String)> {
            clauses(text)
                .into_iter()
                .map(|clause| {
                    assert_eq!(text.get(clause.at.clone()), Some(clause.version));
                    (clause.operator.to_owned(), clause.version.to_owned())
                })
                .collect()
        };
        let pair = |operator: &str, version: &str| (operator.to_owned(), version.to_owned());
        assert_eq!(found(">= 1.3, <2!0"), [pair(">=", "1.3"), pair("<", "2!0")]);
        assert_eq!(
            found("^v1.0.0-rc.1 || 2.x"),
            [pair("^", "1.0.0-rc.1"), pair("", "2.x")]
        );
        assert_eq!(found("1 - 2"), [pair("", "1"), pair("", "2")]);
        assert_eq!(found("latest"), []);
    }

    #[test]
    fn a_version_is_written_as_short_as_the_one_before() {
        let substitutes = |text: &'static str, to: &str| {
            let clauses = clauses(text);
            clauses[0].substitutes(&Version::parse(Ecosystem::Cargo, to).expect("a version"))
        };
        assert_eq!(substitutes("1.2", "1.3.0"), ["1.3", "1.3.0"]);
        assert_eq!(substitutes("1.2", "1.3.1"), ["1.3.1"]);
        assert_eq!(substitutes("1.2.*", "1.3.0"), ["1.3.0"]);
    }
}
