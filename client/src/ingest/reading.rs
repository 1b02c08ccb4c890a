//! Reading a test report, whatever its format.

use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use encoding_rs::Encoding;
use encoding_rs_io::DecodeReaderBytesBuilder;

use super::counts::{Counts, Tally};
use super::detection::{self, Detected};
use super::format::Format;
use super::source::{Limited, Source};
use super::{go_json, junit, libtest, subunit, tap};

/// The largest report that is read: 128 MiB.
pub const REPORT_BYTES_MAX: u64 = 128 * 1024 * 1024;

/// The first bytes, by which the format is told.
const HEAD_BYTES: u64 = 64 * 1024;

/// A report that was read to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// What it was.
    pub format: Format,
    /// What it says.
    pub counts: Counts,
}

/// A place in a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Bytes before it; in a report that is not UTF-8, of its UTF-8 form.
    pub byte: u64,
    /// Its line, from 1, where the format has lines.
    pub line: Option<u64>,
}

impl fmt::Display for Position {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(formatter, "line {line} (byte {})", self.byte),
            None => write!(formatter, "byte {}", self.byte),
        }
    }
}

/// Why a report cannot be read to its end.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// It is not there, or not readable.
    #[error("the test report `{name}` cannot be read: {cause}")]
    Unreadable {
        /// Its path.
        name: String,
        /// Why.
        cause: io::Error,
    },
    /// It is something else.
    #[error("`{name}` is no test report: {problem}")]
    Unknown {
        /// Its path.
        name: String,
        /// What it is instead.
        problem: String,
    },
    /// It ends early or is malformed; what was read until then counts.
    #[error("the test report `{name}` ({format}) is broken at {at}: {problem}")]
    Broken {
        /// Its path.
        name: String,
        /// What it was until there.
        format: Format,
        /// Where.
        at: Position,
        /// What is wrong.
        problem: String,
        /// What it says until there.
        until_there: Box<Counts>,
    },
}

/// Why a reader stopped before the end.
pub(super) enum Fault {
    /// It is malformed.
    Malformed { at: Position, problem: String },
    /// It ends early.
    Truncated { at: Position, problem: String },
    /// It is XML of another kind.
    OtherXml { root: String },
}

impl Fault {
    pub(super) fn malformed(at: Position, problem: impl Into<String>) -> Self {
        let problem = problem.into();
        Self::Malformed { at, problem }
    }

    pub(super) fn truncated(at: Position, problem: impl Into<String>) -> Self {
        let problem = problem.into();
        Self::Truncated { at, problem }
    }

    /// Reading failed on the way.
    pub(super) fn io(at: Position, cause: &io::Error) -> Self {
        Self::malformed(at, cause.to_string())
    }
}

/// Reads the report at `path`, which may also be a pipe.
pub fn read_report(path: &Path) -> Result<Reading, ReportError> {
    let name = path.display().to_string();
    match File::open(path) {
        Ok(file) => read_report_from(&name, file),
        Err(cause) => Err(ReportError::Unreadable { name, cause }),
    }
}

/// Reads a report that errors call `name`: at most [`REPORT_BYTES_MAX`] bytes, streamed.
pub fn read_report_from(name: &str, source: impl Read) -> Result<Reading, ReportError> {
    read_limited(name, source, REPORT_BYTES_MAX)
}

fn read_limited(name: &str, source: impl Read, bytes_max: u64) -> Result<Reading, ReportError> {
    let named = || name.to_owned();
    let mut source = Limited::new(source, bytes_max);
    let mut head = Vec::new();
    source
        .by_ref()
        .take(HEAD_BYTES)
        .read_to_end(&mut head)
        .map_err(|cause| ReportError::Unreadable {
            name: named(),
            cause,
        })?;
    let detected = detection::detect(&head).map_err(|problem| ReportError::Unknown {
        name: named(),
        problem,
    })?;
    let mut tally = Tally::default();
    let whole = io::Cursor::new(head).chain(source);
    let (at, problem) = match parse(&detected, whole, &mut tally) {
        Ok(()) => {
            return Ok(Reading {
                format: detected.format,
                counts: tally.finish(),
            });
        }
        Err(Fault::OtherXml { root }) => {
            let problem = format!(
                "its outermost element is `<{root}>`; `<testsuites>`, `<testsuite>` or Jenkins' `<result>` is expected"
            );
            let name = named();
            return Err(ReportError::Unknown { name, problem });
        }
        Err(Fault::Malformed { at, problem }) => (at, problem),
        Err(Fault::Truncated { at, problem }) => {
            tally.truncate();
            (at, problem)
        }
    };
    Err(ReportError::Broken {
        name: named(),
        format: detected.format,
        at,
        problem,
        until_there: Box::new(tally.finish()),
    })
}

fn parse(detected: &Detected, source: impl Read, tally: &mut Tally) -> Result<(), Fault> {
    if detected.format == Format::Subunit {
        return subunit::read(Source::new(BufReader::new(source)), tally);
    }
    let mut source = Source::new(BufReader::new(in_utf8(source, detected.encoding)));
    // What stands before the report, such as a tool's greeting.
    let skipped = io::copy(
        &mut source.by_ref().take(detected.begins_at),
        &mut io::sink(),
    );
    skipped.map_err(|cause| {
        Fault::io(
            Position {
                byte: 0,
                line: None,
            },
            &cause,
        )
    })?;
    match detected.format {
        Format::Junit => junit::read(source, tally),
        Format::Tap => tap::read(source, tally),
        Format::Libtest => libtest::read(source, tally),
        Format::GoJson | Format::Subunit => go_json::read(source, tally),
    }
}

/// The same text in UTF-8, without a byte order mark; what is no text becomes U+FFFD.
fn in_utf8(source: impl Read, encoding: &'static Encoding) -> impl Read {
    DecodeReaderBytesBuilder::new()
        .encoding(Some(encoding))
        .bom_override(true)
        .strip_bom(true)
        .build(source)
}

#[cfg(test)]
#[path = "reading_facts.rs"]
mod facts;
