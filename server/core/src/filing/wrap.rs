//! Breaks prose into lines that nothing takes for anything but prose.

/// The width of a line, in characters.
const WIDTH: usize = 72;

/// Breaks `text` between words into lines of at most 72 characters where possible.
///
/// No line but the first begins with `#` (forges drop such lines), with `---` (git cuts a message
/// there) or with what looks like a trailer: the word before stays on the line instead.
pub(super) fn wrap(text: &str) -> String {
    let mut lines = String::new();
    let mut width = 0;
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (word, after) = rest.split_once(' ').unwrap_or((rest, ""));
        let length = word.chars().count();
        if width == 0 {
            width = length;
        } else if width + 1 + length > WIDTH && !is_risky(rest) {
            lines.push('\n');
            width = length;
        } else {
            lines.push(' ');
            width += 1 + length;
        }
        lines.push_str(word);
        rest = after.trim_start();
    }
    lines
}

/// Whether a line that begins so could be taken for more than prose.
pub(super) fn is_risky(line: &str) -> bool {
    line.starts_with('#') || line.starts_with("---") || is_trailer(line)
}

/// Whether git reads the line as a trailer: a token, blanks, a colon.
pub(super) fn is_trailer(line: &str) -> bool {
    let after = line.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '-');
    after.len() < line.len() && after.trim_start().starts_with(':')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_break_before_the_width_is_exceeded() {
        let text = "word ".repeat(40);
        let lines = wrap(&text);
        assert!(lines.lines().all(|line| line.len() <= WIDTH));
        assert_eq!(lines.lines().next().map(str::len), Some(69));
    }

    #[test]
    fn a_word_that_would_begin_a_trailer_stays_on_the_line() {
        let text = format!("{} Change-Id: I1", "x".repeat(70));
        assert_eq!(wrap(&text), format!("{} Change-Id:\nI1", "x".repeat(70)));
    }

    #[test]
    fn trailers_are_what_git_takes_for_one() {
        for line in ["Change-Id: I1", "Fixes:x", "a : b", "-: x"] {
            assert!(is_trailer(line), "{line}");
        }
        for line in [
            "",
            ": x",
            " Fixes: x",
            "Reason for revert: x",
            "- tooz 9.0.0",
            "| A: b",
        ] {
            assert!(!is_trailer(line), "{line}");
        }
    }

    proptest! {
        #[test]
        fn wrapping_keeps_the_words_and_makes_no_risky_line(text in "x( ?[a-z:# -]){0,200}") {
            let lines = wrap(&text);
            prop_assert!(lines.split_whitespace().eq(text.split_whitespace()));
            prop_assert!(lines.lines().skip(1).all(|line| !is_risky(line)), "{lines}");
        }
    }
}
