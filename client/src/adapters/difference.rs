//! The difference of two files, for people.

use similar::TextDiff;

/// The most lines that are told.
const LINES_MAX: usize = 60;

/// A unified diff without a header; what is no text is said to differ.
pub(super) fn difference(left: &[u8], found: &[u8]) -> String {
    let (Ok(left), Ok(found)) = (std::str::from_utf8(left), std::str::from_utf8(found)) else {
        return "the bytes differ".to_owned();
    };
    let diff = TextDiff::from_lines(left, found);
    let text = diff.unified_diff().context_radius(1).to_string();
    match text.lines().count() {
        0 => "only its permissions differ".to_owned(),
        count if count > LINES_MAX => {
            let lines: Vec<_> = text.lines().take(LINES_MAX).collect();
            format!(
                "{}\n... and {} lines more",
                lines.join("\n"),
                count - LINES_MAX
            )
        }
        _ => text.trim_end().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_difference_is_cut() {
        let lines: String = (0..100).map(|n| format!("{n}\n")).collect();
        let text = difference(b"", lines.as_bytes());
        assert!(text.ends_with("... and 41 lines more"), "{text}");
        assert_eq!(difference(b"a", &[0xff]), "the bytes differ");
        assert_eq!(difference(b"a\n", b"b\n"), "@@ -1 +1 @@\n-a\n+b");
    }
}
