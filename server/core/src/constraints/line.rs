//! One line of a file: a pin and where its version stands, or why it is none.

use std::fmt;
use std::ops::Range;

use super::pin;
use crate::ecosystem::Ecosystem;
use crate::pin::Pin;

/// Why a line is no exact pin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unkept {
    /// An option of pip.
    Option,
    /// It carries a hash, which only that one file has.
    Hash,
    /// It points to a file or a repository.
    Url,
    /// It has extras, which pip refuses in constraints.
    Extras,
    /// It allows several versions.
    Range,
    /// It names no version.
    NoVersion,
    /// It has `=` where `==` should be.
    SingleEqual,
    /// The package's name is none.
    Name(String),
    /// The version is none.
    Version(String),
    /// The marker is none.
    Marker(String),
    /// Another line pins it to another version.
    Conflicting {
        /// That line.
        line: usize,
        /// Its version.
        version: String,
    },
}

impl fmt::Display for Unkept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Option => f.write_str("an option is no pin"),
            Self::Hash => f.write_str("it carries a hash, which fits this one version only"),
            Self::Url => f.write_str("it points to a file or a repository, not to a version"),
            Self::Extras => f.write_str("it has extras, which pip refuses in constraints"),
            Self::Range => f.write_str("it allows more than one version"),
            Self::NoVersion => f.write_str("it names no version"),
            Self::SingleEqual => f.write_str("it has `=` where `==` should be"),
            Self::Name(cause) | Self::Version(cause) | Self::Marker(cause) => f.write_str(cause),
            Self::Conflicting { line, version } => {
                write!(f, "line {line} pins it to {version} already")
            }
        }
    }
}

/// A line with those that continue it.
#[derive(Clone, Debug)]
pub(crate) struct Logical<'a> {
    /// Of the first physical line, counted from 1.
    pub(crate) number: usize,
    /// Where it begins in the file, in bytes.
    pub(crate) start: usize,
    /// With line ends inside, and the one at its end.
    pub(crate) text: &'a str,
}

/// The lines of a file; a backslash at the end of one continues it on the next. A byte order mark is no part of them.
pub(crate) fn logical_lines(text: &str) -> impl Iterator<Item = Logical<'_>> {
    let mark = '\u{feff}'.len_utf8();
    let (mut start, mut number) = (
        if text.starts_with('\u{feff}') {
            mark
        } else {
            0
        },
        1,
    );
    std::iter::from_fn(move || {
        if start >= text.len() {
            return None;
        }
        let (mut end, mut lines) = (start, 0);
        for physical in text[start..].split_inclusive('\n') {
            end += physical.len();
            lines += 1;
            let is_comment = physical.trim_start().starts_with('#');
            if is_comment || !physical.trim_end_matches(['\n', '\r']).ends_with('\\') {
                break;
            }
        }
        let logical = Logical {
            number,
            start,
            text: &text[start..end],
        };
        start = end;
        number += lines;
        Some(logical)
    })
}

/// A pin, and where in its line the version stands.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) pin: Pin,
    pub(crate) version: Range<usize>,
}

/// The pin of a line; none if it is blank or a comment.
pub(crate) fn find_pin(ecosystem: Ecosystem, line: &str) -> Result<Option<Found>, Unkept> {
    let code = without_comment(line);
    let trimmed = code.trim();
    if trimmed.is_empty() {
        return Ok(None);
    }
    let offset = code.len() - code.trim_start().len();
    let parts = match ecosystem {
        Ecosystem::Pypi => pypi_parts(trimmed)?,
        Ecosystem::Cargo | Ecosystem::Npm | Ecosystem::Go => plain_parts(trimmed)?,
    };
    let version = range_in(trimmed, parts.version);
    let pin = pin(ecosystem, parts.package, parts.version, parts.marker)?;
    Ok(Some(Found {
        pin,
        version: version.start + offset..version.end + offset,
    }))
}

struct Parts<'a> {
    package: &'a str,
    version: &'a str,
    marker: Option<&'a str>,
}

fn pypi_parts(line: &str) -> Result<Parts<'_>, Unkept> {
    if line.starts_with('-') {
        return Err(Unkept::Option);
    }
    if line.contains("--hash") {
        return Err(Unkept::Hash);
    }
    let (requirement, marker) = match line.split_once(';') {
        Some((requirement, marker)) => (requirement, Some(marker.trim())),
        None => (line, None),
    };
    if requirement.contains("://") || requirement.contains('@') {
        return Err(Unkept::Url);
    }
    let operator = requirement
        .find(['=', '<', '>', '!', '~'])
        .ok_or(Unkept::NoVersion)?;
    let (package, specifier) = requirement.split_at(operator);
    if package.contains('[') {
        return Err(Unkept::Extras);
    }
    let version = specifier
        .strip_prefix("===")
        .or_else(|| specifier.strip_prefix("=="))
        .ok_or(if specifier.starts_with('=') {
            Unkept::SingleEqual
        } else {
            Unkept::Range
        })?;
    let version = version.trim();
    if version.contains([',', '*']) {
        return Err(Unkept::Range);
    }
    Ok(Parts {
        package: package.trim(),
        version,
        marker,
    })
}

/// `name==version`, `name@version` or `name version`.
fn plain_parts(line: &str) -> Result<Parts<'_>, Unkept> {
    let (package, version) = line
        .split_once("==")
        .or_else(|| line.split_once(char::is_whitespace))
        .or_else(|| {
            line.rsplit_once('@')
                .filter(|(package, _)| !package.is_empty())
        })
        .ok_or(Unkept::NoVersion)?;
    Ok(Parts {
        package: package.trim(),
        version: version.trim(),
        marker: None,
    })
}

/// A `#` begins a comment at the start of a line or after a blank, as pip has it.
pub(crate) fn without_comment(line: &str) -> &str {
    let mut before = ' ';
    for (at, c) in line.char_indices() {
        if c == '#' && before.is_whitespace() {
            return &line[..at];
        }
        before = c;
    }
    line
}

fn range_in(line: &str, part: &str) -> Range<usize> {
    let start = part.as_ptr().addr() - line.as_ptr().addr();
    start..start + part.len()
}
