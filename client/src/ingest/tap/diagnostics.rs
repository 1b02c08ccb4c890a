//! What a failed test point says of itself, below it: a block of YAML, or comments.
//!
//! Of YAML the part that harnesses write is read: top-level keys with plain, quoted or block values.

/// The parts of a failure.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Diagnostics {
    pub(super) kind: String,
    pub(super) message: String,
    pub(super) text: String,
}

/// Reads diagnostics; comments become text.
pub(super) fn read(said: &str) -> Diagnostics {
    let mut found = Diagnostics::default();
    let mut lines = said.lines().peekable();
    let indent = said
        .lines()
        .find(|line| !line.trim().is_empty())
        .map_or(0, indent_of);
    while let Some(line) = lines.next() {
        let is_key = indent_of(line) == indent;
        let Some((key, value)) = line.trim().split_once(':').filter(|_| is_key) else {
            push_line(&mut found.text, line);
            continue;
        };
        let mut value = value.trim().to_owned();
        let is_block = value.starts_with(['|', '>']);
        if is_block || value.is_empty() {
            value.clear();
            while let Some(line) =
                lines.next_if(|line| indent_of(line) > indent || line.trim().is_empty())
            {
                push_line(&mut value, line.trim());
            }
        }
        let value = unquoted(value.trim());
        match key {
            // node:test wraps what was thrown; the name of the wrapper says nothing.
            "name" | "type" if value != "test" && value != "suite" && value != "Error" => {
                found.kind = value.to_owned();
            }
            "error" | "message" if found.message.is_empty() => found.message = value.to_owned(),
            "stack" | "trace" | "traceback" => push_line(&mut found.text, value),
            // Harnesses' own words, places and times, and values that differ from run to run.
            _ if is_plain_key(key) => {}
            _ => push_line(&mut found.text, line),
        }
    }
    found
}

fn is_plain_key(key: &str) -> bool {
    !key.is_empty()
        && key.chars().all(|c| c.is_alphanumeric() || "_-".contains(c))
        && key.chars().next().is_some_and(char::is_lowercase)
}

fn push_line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

fn indent_of(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

fn unquoted(value: &str) -> &str {
    let inside = |quote: char| value.strip_prefix(quote)?.strip_suffix(quote);
    inside('\'').or_else(|| inside('"')).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_says_kind_message_and_stack() {
        let node = "  duration_ms: 1.5
  type: 'test'
  failureType: 'testCodeFailure'
  error: |-
    Expected values to be strictly equal:

    1 !== 2

  code: 'ERR_ASSERTION'
  name: 'AssertionError'
  stack: |-
    TestContext.<anonymous> (/x/y.js:4:10)
";
        let found = read(node);
        assert_eq!(found.kind, "AssertionError");
        assert!(
            found
                .message
                .starts_with("Expected values to be strictly equal:")
        );
        assert_eq!(found.text.trim(), "TestContext.<anonymous> (/x/y.js:4:10)");
    }

    #[test]
    fn comments_are_text() {
        let perl = "   Failed test 'adds'\n   at t/a.t line 3.\n          got: '1'\n";
        assert!(read(perl).text.contains("Failed test 'adds'"));
        let python =
            " Traceback (most recent call last):\n   File \"x\", line 3, in f\n ValueError: bad\n";
        assert!(
            read(python).text.contains("ValueError: bad"),
            "{:?}",
            read(python)
        );
    }
}
