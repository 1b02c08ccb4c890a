//! The text of a file, and what line and column a byte is in.

/// A file that is not of its format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {cause}")]
pub struct Malformed {
    /// Counted from 1.
    pub line: usize,
    /// In characters, counted from 1.
    pub column: usize,
    /// What is wrong.
    pub cause: String,
}

/// The text of a file without its byte order mark.
#[derive(Clone, Copy, Debug)]
pub(super) struct Text<'a> {
    pub(super) mark: &'a str,
    pub(super) body: &'a str,
}

impl<'a> Text<'a> {
    /// The text that bytes are.
    pub(super) fn of(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let whole = std::str::from_utf8(bytes).map_err(|error| {
            let (before, _) = bytes.split_at(error.valid_up_to());
            let before = std::str::from_utf8(before).unwrap_or_default();
            Text::without_mark(before).malformed(before.len(), "it is not UTF-8".to_owned())
        })?;
        Ok(Self::without_mark(whole))
    }

    fn without_mark(whole: &'a str) -> Self {
        let body = whole.strip_prefix('\u{feff}').unwrap_or(whole);
        let (mark, body) = whole.split_at(whole.len() - body.len());
        Self { mark, body }
    }

    /// That something is wrong at a byte of the body.
    pub(super) fn malformed(&self, at: usize, cause: String) -> Malformed {
        let bytes = self.body.as_bytes();
        let before = bytes.get(..at).unwrap_or(bytes);
        let line_start = before
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |end| end + 1);
        let column = before.get(line_start..).unwrap_or_default();
        Malformed {
            line: self.lines().of(at),
            column: String::from_utf8_lossy(column).chars().count() + 1,
            cause,
        }
    }

    /// Where its lines begin.
    pub(super) fn lines(&self) -> Lines {
        let ends = self.body.bytes().enumerate();
        let starts = ends
            .filter(|(_, byte)| *byte == b'\n')
            .map(|(at, _)| at + 1);
        Lines(starts.collect())
    }
}

/// Where the lines of a file begin, but for the first.
#[derive(Debug)]
pub(super) struct Lines(Vec<usize>);

impl Lines {
    /// The line of a byte of the body, counted from 1.
    pub(super) fn of(&self, at: usize) -> usize {
        self.0.partition_point(|start| *start <= at) + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_text_is_told_with_its_place() {
        let error = |bytes: &[u8]| Text::of(bytes).expect_err("no text").to_string();
        assert_eq!(error(b"\xff"), "line 1, column 1: it is not UTF-8");
        assert_eq!(error(b"a\nb\xff"), "line 2, column 2: it is not UTF-8");
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_text() {
        let text = Text::of("\u{feff}a\nb".as_bytes()).expect("text");
        assert_eq!((text.mark, text.body), ("\u{feff}", "a\nb"));
        assert_eq!([0, 1, 2, 9].map(|at| text.lines().of(at)), [1, 1, 2, 2]);
    }
}
