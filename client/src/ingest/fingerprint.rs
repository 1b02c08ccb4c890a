//! What a failure looks like, as a hash that is the same in every environment.

pub(super) mod error_line;
mod normal_form;

use std::fmt;

use sha2::{Digest as _, Sha256};

use error_line::ErrorLine;
use normal_form::normal_form;

/// The first 8 bytes of the SHA-256 of a normalised error line.
///
/// Of a traceback, a panic or a report's message, one line is looked at: the one that names the error.
/// Numbers, versions, addresses, paths, times and names of people and machines are taken out of it first,
/// so that two environments with the same failure agree; nothing of the text can be read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 8]);

impl Fingerprint {
    /// The fingerprint of a failing test's kind, message and text; `None` when there is nothing to go by.
    ///
    /// `kind` is the exception's type where the report has it; what is no type's name is not looked at.
    pub fn of_failure(kind: &str, message: &str, text: &str) -> Option<Self> {
        let found = error_line::find(text).or_else(|| error_line::find(message));
        if let Some(line) = found {
            return Self::of_line(&line);
        }
        let line = first_words(message)
            .or_else(|| first_words(text))
            .unwrap_or_default();
        // Of what is no name of a type, such as `test failure with exit code 101`, nothing is learned.
        let is_type = kind.contains(char::is_uppercase);
        let kind = if is_type {
            normal_form(kind)
        } else {
            String::new()
        };
        match (kind.is_empty(), line.is_empty()) {
            (true, true) => None,
            // The type often stands in the line too; a report that has it twice is the same failure.
            (false, false) if !line.contains(&kind) => Some(Self::hash(&format!("{kind}: {line}"))),
            (_, true) => Some(Self::hash(&kind)),
            (_, false) => Some(Self::hash(&line)),
        }
    }

    /// The fingerprint of the last error that a command's output names; `None` when it names none.
    ///
    /// `output` may begin anywhere: the last 64 KiB are enough.
    pub fn of_output(output: &str) -> Option<Self> {
        let line = error_line::find(output).or_else(|| error_line::find_complaint(output))?;
        Self::of_line(&line)
    }

    fn of_line(line: &ErrorLine) -> Option<Self> {
        let normal = normal_form(&line.text);
        match (&line.code, normal.is_empty()) {
            (None, true) => None,
            (None, false) => Some(Self::hash(&normal)),
            (Some(code), _) => Some(Self::hash(&format!("{code} {normal}"))),
        }
    }

    fn hash(normal: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"pinion failure 2\n");
        hash.update(normal.as_bytes());
        let digest = hash.finalize();
        let mut first = [0; 8];
        first.copy_from_slice(&digest[..8]);
        Self(first)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex::encode(self.0))
    }
}

/// Lines of a message that are looked through for words.
const LINES_MAX: usize = 50;

/// The normal form of the first line that says something.
fn first_words(text: &str) -> Option<String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    // Go's frame around the output of a test.
    let said = lines.filter(|line| !line.starts_with("=== ") && !line.starts_with("--- "));
    said.take(LINES_MAX)
        .map(normal_form)
        .find(|line| has_words(line))
}

/// Whether anything is left but placeholders, signs and what every failure may be called.
fn has_words(normal: &str) -> bool {
    let names = ["failed", "failure", "error", "test failed"];
    if names.iter().any(|name| normal.eq_ignore_ascii_case(name)) {
        return false;
    }
    let words = normal.split_whitespace();
    let mut words = words.filter(|word| !(word.starts_with('<') && word.contains('>')));
    words.any(|word| word.contains(char::is_alphabetic))
}

#[cfg(test)]
#[path = "fingerprint/facts.rs"]
mod facts;
