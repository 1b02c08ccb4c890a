//! What a failure looks like, as a hash that is the same in every environment.

use std::fmt;

use sha2::{Digest as _, Sha256};

/// Bytes of a failure's line that are looked at.
const LINE_BYTES_MAX: usize = 512;

/// The first 8 bytes of the SHA-256 of a normalised exception line.
///
/// Digits, addresses, paths and quoted versions are taken out first, so that two environments with the
/// same failure agree; nothing of the text can be read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 8]);

impl Fingerprint {
    /// The fingerprint of a failing test's kind, message and text; `None` when there is nothing to go by.
    ///
    /// `kind` is the exception's type where the report has it.
    pub fn of_failure(kind: &str, message: &str, text: &str) -> Option<Self> {
        let line = exception_line(text)
            .or_else(|| exception_line(message))
            .or_else(|| first_line(message))
            .or_else(|| first_line(text));
        let line = normalise(line.unwrap_or_default());
        if kind.is_empty() && line.is_empty() {
            return None;
        }
        let mut hash = Sha256::new();
        hash.update(b"pinion failure 1\n");
        // The type often stands in the line too; a report that has it twice is the same failure.
        if !line.contains(kind) {
            hash.update(normalise(kind).as_bytes());
            hash.update(b": ");
        }
        hash.update(line.as_bytes());
        let digest = hash.finalize();
        let mut first = [0; 8];
        first.copy_from_slice(&digest[..8]);
        Some(Self(first))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex::encode(self.0))
    }
}

/// pytest marks the line with `E`; elsewhere it is the last that begins with an exception's name.
fn exception_line(text: &str) -> Option<&str> {
    let marked = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("E "))
        .map(str::trim)
        .find(|line| !line.is_empty());
    marked.or_else(|| text.lines().map(str::trim).rfind(|line| is_exception(line)))
}

fn is_exception(line: &str) -> bool {
    let name = line.split([':', ' ']).next().unwrap_or_default();
    let last = name.rsplit('.').next().unwrap_or_default();
    let is_name = !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_alphanumeric() || "._$".contains(c));
    let ends_well = [
        "Error",
        "Exception",
        "Warning",
        "Failure",
        "Exit",
        "Interrupt",
    ]
    .iter()
    .any(|ending| last.ends_with(ending));
    is_name && ends_well && (line.len() == name.len() || line[name.len()..].starts_with(':'))
}

fn first_line(text: &str) -> Option<&str> {
    text.lines().map(str::trim).find(|line| !line.is_empty())
}

/// Takes everything out of a line that differs between machines, runs and versions.
fn normalise(line: &str) -> String {
    let end = (0..=line.len().min(LINE_BYTES_MAX))
        .rfind(|&at| line.is_char_boundary(at))
        .unwrap_or_default();
    let unquoted = drop_quoted(&line[..end]);
    let words = unquoted.split_whitespace().map(normalise_word);
    words.collect::<Vec<_>>().join(" ")
}

/// Replaces quoted text that holds a digit, a slash or a blank; a quoted plain name stays.
fn drop_quoted(line: &str) -> String {
    let mut kept = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(open) = rest.find(['\'', '"', '`']) {
        let quote = &rest[open..=open];
        let inside = &rest[open + 1..];
        // An apostrophe inside a word opens nothing.
        let opens = !rest[..open].ends_with(char::is_alphanumeric);
        let Some(close) = inside.find(quote).filter(|_| opens) else {
            kept.push_str(&rest[..=open]);
            rest = inside;
            continue;
        };
        let quoted = &inside[..close];
        let differs = |c: char| c.is_ascii_digit() || c.is_whitespace() || "/\\@".contains(c);
        kept.push_str(&rest[..open]);
        kept.push_str(if quoted.contains(differs) {
            "<quoted>"
        } else {
            quoted
        });
        rest = &inside[close + 1..];
    }
    kept.push_str(rest);
    kept
}

fn normalise_word(word: &str) -> String {
    if word.contains(['/', '\\']) || word.contains('@') {
        return "<path>".to_owned();
    }
    let mut kept = String::with_capacity(word.len());
    for run in word.split_inclusive(|c: char| !c.is_ascii_alphanumeric()) {
        let token = run.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
        kept.push_str(&normalise_token(token));
        kept.push_str(&run[token.len()..]);
    }
    // A version such as 1.2.3rc1 and another with fewer parts leave the same trace.
    let mut shorter = kept.replace("#.#", "#").replace("#-#", "#");
    while shorter != kept {
        kept = shorter;
        shorter = kept.replace("#.#", "#").replace("#-#", "#");
    }
    kept
}

fn normalise_token(token: &str) -> String {
    let is_hex = |text: &str| text.chars().all(|c| c.is_ascii_hexdigit());
    let has_digit = token.contains(|c: char| c.is_ascii_digit());
    let is_address = token.strip_prefix("0x").is_some_and(is_hex);
    if is_address || (has_digit && (token.len() >= 7 && is_hex(token))) {
        return "#".to_owned();
    }
    // 3rc1 is a version's part, utf8 is a word with a number.
    if token.starts_with(|c: char| c.is_ascii_digit()) {
        return "#".to_owned();
    }
    let mut kept = String::with_capacity(token.len());
    for c in token.chars() {
        match c.is_ascii_digit() {
            false => kept.push(c),
            true if kept.ends_with('#') => {}
            true => kept.push('#'),
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Fingerprint {
        Fingerprint::of_failure("", line, "").expect("there is a line")
    }

    #[test]
    fn the_same_failure_elsewhere_has_the_same_fingerprint() {
        for (here, there) in [
            ("AssertionError: 143 != 0", "AssertionError: 1 != 2"),
            (
                "AttributeError: <Thing object at 0x7f00deadbeef> has no x",
                "AttributeError: <Thing object at 0x10c0ffee> has no x",
            ),
            (
                "FileNotFoundError: no /home/ann/src/nova/x.py",
                "FileNotFoundError: no C:\\Users\\bob\\x.py",
            ),
            (
                "VersionConflict: needs '2.3.4' of requests",
                "VersionConflict: needs '10.0.0rc1' of requests",
            ),
            (
                "ContextualVersionConflict: requests 2.3.4 (from x)",
                "ContextualVersionConflict: requests 2.10 (from x)",
            ),
            (
                "KeyError: id 550e8400-e29b-41d4-a716-446655440000",
                "KeyError: id 123e4567-e89b-12d3-a456-426614174000",
            ),
        ] {
            assert_eq!(of(here), of(there), "{here} | {there}: {}", normalise(here));
        }
    }

    #[test]
    fn different_failures_differ() {
        assert_ne!(
            of("ImportError: No module named 'foo'"),
            of("ImportError: No module named 'bar'")
        );
        assert_ne!(of("KeyError: x"), of("ValueError: x"));
    }

    #[test]
    fn paths_addresses_and_numbers_are_gone_before_hashing() {
        let line = "OSError: can't open '/home/ann/x 1' (0xdeadbeef, errno 13) by ann@host";
        assert_eq!(
            normalise(line),
            "OSError: can't open <quoted> (#, errno #) by <path>"
        );
    }

    #[test]
    fn the_exception_line_is_found_in_a_traceback() {
        let pytest = "def test():\n> raise X\nE   ValueError: bad\n\nfile.py:3: ValueError";
        assert_eq!(exception_line(pytest), Some("ValueError: bad"));
        let unittest = "Traceback:\n  File \"x\", line 3\nos.PathError: gone\n";
        assert_eq!(exception_line(unittest), Some("os.PathError: gone"));
        assert_eq!(exception_line("expected 3"), None);
    }

    #[test]
    fn a_fingerprint_is_sixteen_hexadecimal_digits_that_never_change() {
        let text = of("ValueError: bad").to_string();
        assert_eq!(
            text, GOLDEN,
            "a new normal form makes every old failure look new"
        );
        assert_eq!(Fingerprint::of_failure("", " \n", ""), None);
    }

    const GOLDEN: &str = "666e08925c72dafd";
}
