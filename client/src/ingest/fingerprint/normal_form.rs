//! A line without what differs between machines, runs and versions.

use std::sync::LazyLock;

use regex::Regex;

/// Bytes of a line that are read.
const LINE_BYTES_MAX: usize = 8 * 1024;

/// Bytes of a normal form that are kept: cut after the replacing, so that a long path moves no cut.
const NORMAL_BYTES_MAX: usize = 512;

/// The replacements, in order: each may rely on those before it.
const REPLACEMENTS: &[(&str, &str)] = &[
    // Colours and other orders to a terminal.
    (r"\x1b\[[0-9;?]*[ -/]*[@-~]", ""),
    // A root that another tool made anonymous before.
    (r"<\w+>([\\/])", "$1"),
    (r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\x22`<>()\[\]]+", "<url>"),
    // Who, and where: an object's identity first, then package@version, then people and machines.
    (
        r"\S+@(?:\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}|[0-9a-f]{12}\b)(?::\S*)?",
        "<address>",
    ),
    (r"([\w.$]+(?:\[\])?)@[0-9a-f]{5,16}\b", "$1@#"),
    (r"@(?:npm:)?(?:latest|next|canary)\b", "@#"),
    (r"\b[\w.+-]+@[A-Za-z][\w.-]*(?::\S+)?", "<address>"),
    (
        r"(?i)\b(for user|user(?:name)?[:=]|login[:=]|user) ?['\x22`][^'\x22`]*['\x22`]",
        "$1 <user>",
    ),
    (
        r"(?i)\b(for user|user(?:name)?[:=]|login[:=]|hostname[:=]?) *[\w.-]+",
        "$1 <user>",
    ),
    (
        r"(?i)\b[\w-]+(?:\.[\w-]+)*\.(?:local|internal|lan|corp|localdomain)\b",
        "<host>",
    ),
    // When.
    (
        r"\b\d{4}[-/]\d\d[-/]\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?: ?(?:Z|UTC|GMT|[+-]\d\d:?\d\d))?)?",
        "<time>",
    ),
    (r"\b\d{1,2}:\d\d:\d\d(?:[.,]\d+)?\b", "<time>"),
    (
        r"(?:\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,? +)?(?:\b\d{1,2} )?\b(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sep(?:t(?:ember)?)?|Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?) +\d{1,4}(?:,? +\d{4})?(?: +<time>)?(?: +[A-Z]{3,4}\b)?(?: +\d{4}\b)?",
        "<time>",
    ),
    // Where on the disk; inside quotes or parentheses with its blanks.
    (
        r"'(?:[A-Za-z]:[\\/]|\\\\|~|\.{0,2}/\w|\.{1,2}\\)[^']*'",
        "<path>",
    ),
    (
        r"\x22(?:[A-Za-z]:[\\/]|\\\\|~|\.{0,2}/\w|\.{1,2}\\)[^\x22]*\x22",
        "<path>",
    ),
    (
        r"`(?:[A-Za-z]:[\\/]|\\\\|~|\.{0,2}/\w|\.{1,2}\\)[^`]*`",
        "<path>",
    ),
    (r"\((?:[A-Za-z]:[\\/]|/\w)[^()]*\)", "(<path>)"),
    (
        r"(?i)\b[a-z]:[\\/]+(?:users|documents and settings)[\\/]+[^\\/:]+",
        "<path>",
    ),
    (
        r"(^|[\s('\x22`=:,;<>\[|])(?:<path>|~\w*/|\.{1,2}[\\/]|/|[A-Za-z]:[\\/]|\\\\)[^\s'\x22`<>()\[\]{},;:|]+(?::\d+){0,2}",
        "$1<path>",
    ),
    (
        r"(?:[\w.@+-]+[\\/])+[\w.@+-]*\.(?:py[cxid]?|so|dll|dylib|[cm]?[jt]sx?|json|go|rs|java|kt|scala|class|jar|rb|php|cc?|cpp|cxx|hh?|hpp|cs|toml|ya?ml|xml|txt|cfg|ini|lock|log|whl|gz|zip|html|css|sql|sh|md|node|wasm|snap|vue)\b(?::\d+){0,2}",
        "<path>",
    ),
    (r"<path>(?:[:;,] *<path>)+", "<path>"),
    // Names made up for a moment.
    (r"\btmp[a-z0-9_]{8}\b", "<tmp>"),
    (
        r"(?i)\bte?mp[._-]?[a-z0-9_]*[0-9][a-z0-9_]*(?:\.[a-z0-9]{4,})?",
        "<tmp>",
    ),
    // Numbers that stand for themselves.
    (
        r"\b[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}\b",
        "#",
    ),
    (r"\b0[xX][0-9A-Fa-f]+\b", "#"),
    (r"\b[0-9a-f]{12,128}\b", "#"),
    (r"\b(?:[0-9A-Fa-f]{1,4}:){3,7}[0-9A-Fa-f]{1,4}\b", "#"),
    (r"\bfe80:[0-9a-f:]+(?:%\w+)?", "#"),
    (r"\[?::1\]?", "#"),
    // Versions, with what they may end in, and ranges of them.
    (r"-(?:cp|pp|py)\d[\w.-]*\.whl\b", ".whl"),
    (
        r"(?i)\bv?(?:\d+!)?\d+(?:\.\d+|\.[x*])*(?:[-._+]?(?:alpha|beta|rc|cr|dev|post|preview|pre|snapshot|release|final|ga|next|canary|nightly|incompatible|a|b|c|m|g[0-9a-f]{6,40})(?:[-._]?\d+)?)*(?:\+[a-z0-9.]+)?\b",
        "#",
    ),
    (
        r"(?i)#\.?\s?(?:[kmgtp]i?b|bytes?|ns|us|µs|ms|s|secs?|seconds?|m|mins?|minutes?|h|hours?)\b",
        "#",
    ),
    (r"(?:[<>=!~^]|===?|[<>!~]=)#", "#"),
    (r"(^|[\s(=,\[:])[+-]#", "$1#"),
];

/// Takes everything out of a line that differs between machines, runs and versions.
///
/// The result has at most 512 bytes; equal lines have equal results.
pub(super) fn normal_form(line: &str) -> String {
    let mut text = cut(line, LINE_BYTES_MAX).to_owned();
    for (pattern, replacement) in REPLACERS.iter() {
        text = pattern.replace_all(&text, *replacement).into_owned();
    }
    let unquoted = drop_quotes(&text);
    let words = unquoted.split_whitespace().map(without_digits);
    let joined = words.collect::<Vec<_>>().join(" ");
    let collapsed = SERIES.replace_all(&joined, "#");
    cut(&collapsed, NORMAL_BYTES_MAX).trim_end().to_owned()
}

static REPLACERS: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    let compile = |(pattern, replacement): &(&str, &'static str)| {
        let pattern = Regex::new(pattern).expect("the patterns above are well formed");
        (pattern, *replacement)
    };
    REPLACEMENTS.iter().map(compile).collect()
});

/// A version and another with fewer parts, a list of three numbers and one of two: all leave one mark.
static SERIES: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"#+(?:(?:[.,:;/x_+-]| ?, ?| \|\| ?)+#+)*").expect("well formed"));

fn cut(text: &str, bytes_max: usize) -> &str {
    let end = (0..=text.len().min(bytes_max)).rfind(|&at| text.is_char_boundary(at));
    &text[..end.unwrap_or_default()]
}

/// Takes the marks of quotations out, since tools differ in them; an apostrophe inside a word stays.
fn drop_quotes(line: &str) -> String {
    let mut kept = String::with_capacity(line.len());
    let mut rest = line.chars().peekable();
    while let Some(c) = rest.next() {
        let is_inside = |next: Option<&char>| {
            kept.ends_with(char::is_alphanumeric) && next.is_some_and(|next| next.is_alphanumeric())
        };
        match c {
            '"' | '`' => {}
            '\'' if !is_inside(rest.peek()) => {}
            c => kept.push(c),
        }
    }
    kept
}

fn without_digits(word: &str) -> String {
    let mut kept = String::with_capacity(word.len());
    for run in word.split_inclusive(|c: char| !c.is_alphanumeric()) {
        let token = run.trim_end_matches(|c: char| !c.is_alphanumeric());
        push_token(&mut kept, token);
        kept.push_str(&run[token.len()..]);
    }
    kept
}

fn push_token(kept: &mut String, token: &str) {
    let has_digit = token.contains(|c: char| c.is_ascii_digit());
    if !has_digit {
        kept.push_str(token);
        return;
    }
    let is_hex = token.len() >= 7 && token.chars().all(|c| c.is_ascii_hexdigit());
    // 3rc1 is a version's part, x2x9k was drawn by lot, utf8 is a word with a number.
    if is_hex || token.starts_with(|c: char| c.is_ascii_digit()) || changes(token) >= 3 {
        kept.push('#');
        return;
    }
    for c in token.chars() {
        match c.is_ascii_digit() {
            false => kept.push(c),
            true if kept.ends_with('#') => {}
            true => kept.push('#'),
        }
    }
}

/// How often a token goes from letters to digits or back.
fn changes(token: &str) -> usize {
    let kinds = token.chars().map(|c| c.is_ascii_digit());
    kinds
        .clone()
        .zip(kinds.skip(1))
        .filter(|(a, b)| a != b)
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_between_machines_is_gone() {
        for (line, normal) in [
            (
                "OSError: can't open '/home/ann/x 1' (0xdeadbeef, errno 13) by ann@host",
                "OSError: can't open <path> (#, errno #) by <address>",
            ),
            (
                "ImportError: cannot import name 'x' from 'y' (/env/lib/python3.11/site-packages/y/__init__.py)",
                "ImportError: cannot import name x from y (<path>)",
            ),
            (
                "no file C:\\Users\\Bob Smith\\src\\a.py and none in \\\\share\\x",
                "no file <path> and none in <path>",
            ),
            (
                "dial tcp 127.0.0.1:54321: connect: connection refused",
                "dial tcp #: connect: connection refused",
            ),
            (
                "GET https://ann:secret@example.org:8080/a?b=1 timed out after 30 seconds",
                "GET <url> timed out after #",
            ),
            (
                "at 2024-01-02T03:04:05.123Z, on Mon Jan  2 15:04:05 UTC 2006, in 0.05s",
                "at <time>, on <time>, in #",
            ),
            (
                "cannot find module '@babel/core' nor 'lodash/merge'",
                "cannot find module @babel/core nor lodash/merge",
            ),
            (
                "java.lang.Object@1b2c3d4 for user ann on build-7.internal",
                "java.lang.Object@# for user <user> on <host>",
            ),
            (
                "Found: react@17.0.2 needs peer react@\"^16.8.0 || ^17.0.0\"",
                "Found: react@# needs peer react@#",
            ),
        ] {
            assert_eq!(normal_form(line), normal, "{line}");
        }
    }

    #[test]
    fn a_version_leaves_the_same_mark_however_it_is_written() {
        for version in [
            "1.2.3",
            "v2.0",
            "10",
            "2.0.0rc1",
            "1.0-SNAPSHOT",
            "3.0.0-beta.2",
            "2.0.0.dev3+g1a2b3c4",
            "5.0.0.Final",
            "1.0.post1",
            "2024.1",
            "4.0.0-alpha1",
            "1!2.0",
        ] {
            for line in ["needs V of x", "needs 'V' of x", "needs (V) of x"] {
                let line = line.replace('V', version);
                let normal = normal_form(&line).replace("(#)", "#");
                assert_eq!(normal, "needs # of x", "{line}");
            }
            let named = normal_form(&format!("no x=={version},<9 or x-{version}.tar"));
            assert_eq!(named, "no x# or x-#.tar", "{version}");
        }
    }

    #[test]
    fn words_that_make_the_kind_of_a_message_stay() {
        for (one, other) in [
            ("assert 1 == 2", "assert 1 != 2"),
            ("Decimal 10 is no", "Marker 10 is no"),
            ("`left == right` failed", "`left != right` failed"),
            ("No module named 'foo'", "No module named 'bar'"),
            (
                "NoClassDefFoundError: org/slf4j/Logger",
                "NoClassDefFoundError: org/slf4j/Marker",
            ),
            (
                "NoSuchMethodError: 'void a.B.c(int, long)'",
                "NoSuchMethodError: 'void a.B.d(int, long)'",
            ),
            (
                "cannot find package github.com/a/b",
                "cannot find package github.com/a/c",
            ),
        ] {
            assert_ne!(normal_form(one), normal_form(other));
        }
        assert_eq!(
            normal_form("/ by zero, read/write"),
            "/ by zero, read/write"
        );
    }

    #[test]
    fn a_normal_form_is_short() {
        assert!(normal_form(&"word ".repeat(10_000)).len() <= NORMAL_BYTES_MAX);
    }
}
