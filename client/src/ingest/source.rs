//! The bytes of a report: limited in number, with their position.

use std::io::{self, BufRead, Read};

/// Counts what is consumed, in bytes and lines.
pub(super) struct Source<R> {
    inner: R,
    byte: u64,
    line: u64,
}

impl<R: BufRead> Source<R> {
    pub(super) fn new(inner: R) -> Self {
        Self {
            inner,
            byte: 0,
            line: 1,
        }
    }

    /// Bytes consumed so far.
    pub(super) fn byte(&self) -> u64 {
        self.byte
    }

    /// The line that the next byte belongs to, from 1.
    pub(super) fn line(&self) -> u64 {
        self.line
    }

    /// Whether everything is consumed.
    pub(super) fn is_at_end(&mut self) -> bool {
        self.fill_buf().is_ok_and(<[u8]>::is_empty)
    }

    /// Reads a line without its end into `line`, of which at most `bytes_max` bytes are kept; `None` at the
    /// end of the source.
    pub(super) fn line_into(
        &mut self,
        line: &mut String,
        bytes_max: usize,
    ) -> io::Result<Option<LineEnd>> {
        let mut bytes = Vec::new();
        let mut is_cut = false;
        let mut has_any = false;
        let end = loop {
            let chunk = self.fill_buf()?;
            if chunk.is_empty() {
                break match has_any {
                    true => LineEnd::Missing,
                    false => return Ok(None),
                };
            }
            has_any = true;
            let newline = chunk.iter().position(|&byte| byte == b'\n');
            let content = &chunk[..newline.unwrap_or(chunk.len())];
            let room = bytes_max - bytes.len();
            bytes.extend_from_slice(&content[..content.len().min(room)]);
            is_cut |= content.len() > room;
            let used = newline.map_or(chunk.len(), |at| at + 1);
            self.consume(used);
            if newline.is_some() {
                break match is_cut {
                    true => LineEnd::Cut,
                    false => LineEnd::Newline,
                };
            }
        };
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
        line.clear();
        line.push_str(&String::from_utf8_lossy(&bytes));
        Ok(Some(end))
    }
}

/// How a line ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LineEnd {
    /// As it should.
    Newline,
    /// With the source.
    Missing,
    /// Later; the rest was passed over.
    Cut,
}

impl<R: BufRead> Read for Source<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let chunk = self.fill_buf()?;
        let length = chunk.len().min(buffer.len());
        buffer[..length].copy_from_slice(&chunk[..length]);
        self.consume(length);
        Ok(length)
    }
}

impl<R: BufRead> BufRead for Source<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        // What `fill_buf` returned is still there, so this reads nothing.
        if let Ok(chunk) = self.inner.fill_buf() {
            let used = &chunk[..amount.min(chunk.len())];
            self.line += used.iter().filter(|&&byte| byte == b'\n').count() as u64;
        }
        self.byte += amount as u64;
        self.inner.consume(amount);
    }
}

/// Fails once more than a number of bytes were read.
pub(super) struct Limited<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Limited<R> {
    pub(super) fn new(inner: R, bytes_max: u64) -> Self {
        Self {
            inner,
            left: bytes_max,
        }
    }
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.left = self.left.checked_sub(read as u64).ok_or_else(|| {
            io::Error::new(io::ErrorKind::FileTooLarge, "it is too large to be read")
        })?;
        Ok(read)
    }
}

/// Text of which the beginning and the end are kept: Java names the error first, Python last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Excerpt {
    head: String,
    tail: String,
}

/// Bytes of each end that are kept.
const EXCERPT_HALF_BYTES_MAX: usize = 16 * 1024;

impl Excerpt {
    pub(super) fn push(&mut self, text: &str) {
        let room = EXCERPT_HALF_BYTES_MAX.saturating_sub(self.head.len());
        let at = match self.tail.is_empty() {
            true => floor(text, room),
            false => 0,
        };
        self.head.push_str(&text[..at]);
        self.tail.push_str(&text[at..]);
        if self.tail.len() > 2 * EXCERPT_HALF_BYTES_MAX {
            let from = ceiling(&self.tail, self.tail.len() - EXCERPT_HALF_BYTES_MAX);
            self.tail.drain(..from);
        }
    }

    pub(super) fn text(&self) -> String {
        [self.head.as_str(), &self.tail].concat()
    }
}

fn floor(text: &str, at: usize) -> usize {
    (0..=at.min(text.len()))
        .rfind(|&at| text.is_char_boundary(at))
        .unwrap_or_default()
}

fn ceiling(text: &str, at: usize) -> usize {
    (at..=text.len())
        .find(|&at| text.is_char_boundary(at))
        .unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_with_how_they_end() {
        let mut source = Source::new(io::BufReader::with_capacity(3, &b"ab\r\nlonger\nlast"[..]));
        let mut line = String::new();
        let mut next = || {
            let end = source.line_into(&mut line, 4).expect("readable");
            (line.clone(), end)
        };
        assert_eq!(next(), ("ab".to_owned(), Some(LineEnd::Newline)));
        assert_eq!(next(), ("long".to_owned(), Some(LineEnd::Cut)));
        assert_eq!(next(), ("last".to_owned(), Some(LineEnd::Missing)));
        assert_eq!(next().1, None);
        assert_eq!((source.byte(), source.line()), (15, 3));
    }

    #[test]
    fn too_many_bytes_are_an_error() {
        let mut text = String::new();
        assert!(
            Limited::new(&b"abc"[..], 3)
                .read_to_string(&mut text)
                .is_ok()
        );
        assert!(
            Limited::new(&b"abcd"[..], 3)
                .read_to_string(&mut text)
                .is_err()
        );
    }

    #[test]
    fn an_excerpt_keeps_both_ends() {
        let mut excerpt = Excerpt::default();
        excerpt.push("first ");
        for _ in 0..100_000 {
            excerpt.push("mitten ä ");
        }
        excerpt.push("last");
        let text = excerpt.text();
        assert!(text.starts_with("first ") && text.ends_with("last"));
        assert!(text.len() <= 3 * EXCERPT_HALF_BYTES_MAX + 16);
    }
}
