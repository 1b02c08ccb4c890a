//! A text in a file, as it means and as it stands there.

use std::borrow::Cow;
use std::ops::Range;

use super::splice::Replacement;

/// How a text is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writing {
    /// Byte for byte as it means.
    Verbatim,
    /// With escapes between double quotes, which JSON and TOML read alike.
    Escaped,
}

/// A text in a file: what it means, of which a part is a requirement, and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Literal<'a> {
    meaning: Cow<'a, str>,
    part: Range<usize>,
    /// In the body of the file, between the quotes.
    place: Range<usize>,
    writing: Writing,
}

impl<'a> Literal<'a> {
    /// A text that stands in the file as it means, or with another byte for some that mean nothing.
    pub(super) fn verbatim(meaning: Cow<'a, str>, at: usize) -> Self {
        Self {
            part: 0..meaning.len(),
            place: at..at + meaning.len(),
            meaning,
            writing: Writing::Verbatim,
        }
    }

    /// A string of JSON or TOML with its quotes at `place` in `body`.
    pub(super) fn quoted(body: &str, place: Range<usize>, meaning: &Cow<'a, str>) -> Self {
        let raw = body.get(place.clone()).unwrap_or_default();
        let is_long = raw.starts_with("\"\"\"") || raw.starts_with("'''");
        let quotes = if is_long { 3 } else { 1 };
        let mut inner = place.start + quotes..place.end.saturating_sub(quotes);
        // A line end straight after three quotes is no part of the string.
        if is_long && !meaning.starts_with(['\r', '\n']) {
            let text = body.get(inner.clone()).unwrap_or_default();
            inner.start +=
                text.len() - text.trim_start_matches('\r').trim_start_matches('\n').len();
        }
        let is_verbatim = body.get(inner.clone()) == Some(meaning.as_ref());
        Self {
            part: 0..meaning.len(),
            place: inner,
            meaning: meaning.clone(),
            writing: if is_verbatim {
                Writing::Verbatim
            } else {
                Writing::Escaped
            },
        }
    }

    /// The same text of which only a part is the requirement.
    pub(super) fn with_part(self, part: Range<usize>) -> Self {
        Self { part, ..self }
    }

    /// The requirement.
    pub(super) fn part(&self) -> &str {
        self.meaning.get(self.part.clone()).unwrap_or_default()
    }

    /// What a replacement in the requirement is in the file.
    pub(super) fn replacement(&self, range: Range<usize>, with: &str) -> Replacement {
        let range = self.part.start + range.start..self.part.start + range.end;
        match self.writing {
            Writing::Verbatim => (
                self.place.start + range.start..self.place.start + range.end,
                with.to_owned(),
            ),
            Writing::Escaped => {
                let mut meaning = self.meaning.clone().into_owned();
                meaning.replace_range(range, with);
                (self.place.clone(), escaped(&meaning))
            }
        }
    }
}

/// The escapes that JSON and TOML share.
fn escaped(text: &str) -> String {
    text.chars().fold(String::new(), |mut escaped, c| {
        match c {
            '"' | '\\' => escaped.extend(['\\', c]),
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\t' => escaped.push_str("\\t"),
            c if c.is_control() => escaped.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => escaped.push(c),
        }
        escaped
    })
}
