//! Makes text that others wrote harmless in a commit message or a review.
//!
//! Forges act on what stands in a message: they mention people, close issues, skip tests and count
//! sign-offs. Text from environments must do none of this.

/// What every fenced line begins with: git takes no indented line for a trailer, Markdown takes it
/// for code, and bots that look for a keyword at the start of a line find a bar.
const PREFIX: &str = "    | ";
const CUT: &str = "…";

/// Words that close an issue when a reference follows.
const CLOSERS: [&str; 21] = [
    "close",
    "closes",
    "closed",
    "closing",
    "fix",
    "fixes",
    "fixed",
    "fixing",
    "resolve",
    "resolves",
    "resolved",
    "resolving",
    "implement",
    "implements",
    "implemented",
    "implementing",
    "bug",
    "issue",
    "issues",
    "lp",
    "refs",
];

/// Trailers of one word; those with a hyphen are known by it.
const TRAILERS: [&str; 9] = [
    "bug",
    "cc",
    "link",
    "rollout",
    "topic",
    "task",
    "story",
    "issue",
    "blueprint",
];

/// What a forge's pipeline takes for "do not test this", between square brackets.
const SKIPPERS: [&str; 9] = [
    "skip ci",
    "ci skip",
    "no ci",
    "skip actions",
    "actions skip",
    "skip-ci",
    "ci-skip",
    "skip checks",
    "no-ci",
];

/// Fences text that others wrote: at most `bytes_max` bytes, every line indented behind a bar.
///
/// Control and invisible characters and empty lines go. Mentions (`@name`), references (`#123`),
/// closing words with a reference (`Closes X-1`), trailers (`Change-Id:`) and `[skip ci]` are
/// broken by a blank or an underscore that one can see. Empty if nothing is left.
pub fn fence(untrusted: &str, bytes_max: usize) -> String {
    let mut fenced = String::new();
    for line in untrusted
        .lines()
        .map(inline_text)
        .filter(|line| !line.is_empty())
    {
        let newline = usize::from(!fenced.is_empty());
        let room = bytes_max.saturating_sub(fenced.len() + newline + PREFIX.len());
        let shown = cut(&line, room);
        if shown.is_empty() {
            break;
        }
        if newline == 1 {
            fenced.push('\n');
        }
        fenced.push_str(PREFIX);
        fenced.push_str(&shown);
    }
    fenced
}

/// One harmless line of at most `bytes_max` bytes from text that others wrote, for use in prose.
pub(super) fn inline(untrusted: &str, bytes_max: usize) -> String {
    cut(&inline_text(untrusted), bytes_max)
}

/// The text without terminal escapes, control and invisible characters, on one line of at most `bytes_max` bytes.
pub(crate) fn plain_line(untrusted: &str, bytes_max: usize) -> String {
    one_line(&without_escapes(untrusted), bytes_max)
}

/// The text without control and invisible characters, blanks folded, on one line.
pub(super) fn one_line(text: &str, bytes_max: usize) -> String {
    let visible: String = text
        .chars()
        .map(|c| {
            if c.is_whitespace() || c.is_control() {
                ' '
            } else {
                c
            }
        })
        .filter(|c| !is_invisible(*c))
        .collect();
    cut(
        &visible.split_whitespace().collect::<Vec<_>>().join(" "),
        bytes_max,
    )
}

fn inline_text(untrusted: &str) -> String {
    defuse(&one_line(&without_escapes(untrusted), usize::MAX))
}

/// Drops terminal escape sequences such as colours, whole.
fn without_escapes(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '\u{1b}' {
            plain.push(c);
        } else if chars.next_if_eq(&'[').is_some() {
            while chars
                .next_if(|c| matches!(c, '0'..='9' | ';' | '?'))
                .is_some()
            {}
            chars.next_if(char::is_ascii_alphabetic);
        }
    }
    plain
}

/// Joiners, marks of direction and tags: they hide or reorder what a reader sees.
fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
    )
}

fn cut(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    match bytes_max.checked_sub(CUT.len()) {
        None | Some(0) => String::new(),
        Some(room) => {
            let end = (0..=room)
                .rev()
                .find(|at| text.is_char_boundary(*at))
                .unwrap_or(0);
            format!("{}{CUT}", &text[..end])
        }
    }
}

fn defuse(line: &str) -> String {
    let mut harmless = String::with_capacity(line.len() + 8);
    for (at, c) in line.char_indices() {
        let before = &line[..at];
        let after = &line[at + c.len_utf8()..];
        if c == ':' && ends_in_trailer(before) && !after.starts_with(':') {
            harmless.push('_');
        }
        harmless.push(c);
        match c {
            '@' if after.starts_with(is_of_name) => harmless.push(' '),
            '#' | '!' if after.starts_with(|c: char| c.is_ascii_digit()) => harmless.push(' '),
            '-' if after.starts_with(|c: char| c.is_ascii_digit()) && ends_in_forge(before) => {
                harmless.push('_');
            }
            '[' if begins_with_skipper(after) => harmless.push('_'),
            _ if is_of_word(c) && !after.starts_with(is_of_word) => {
                let word = last_word(&line[..at + c.len_utf8()]);
                if is_one_of(word, &CLOSERS) && begins_with_reference(after) {
                    harmless.push('_');
                }
            }
            _ => {}
        }
    }
    harmless
}

fn is_of_name(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '.')
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '-' | '_')
}

fn last_word(text: &str) -> &str {
    let rest = text.trim_end_matches(is_of_word);
    &text[rest.len()..]
}

fn is_one_of(word: &str, words: &[&str]) -> bool {
    words.iter().any(|known| known.eq_ignore_ascii_case(word))
}

fn ends_in_trailer(before: &str) -> bool {
    let word = last_word(before.trim_end());
    let is_hyphenated = word.contains('-') && word.contains(|c: char| c.is_ascii_alphabetic());
    is_hyphenated || is_one_of(word, &TRAILERS)
}

fn ends_in_forge(before: &str) -> bool {
    is_one_of(last_word(before), &["gh", "gl"])
}

fn begins_with_skipper(after: &str) -> bool {
    let inner = after.split(']').next().unwrap_or_default().trim();
    is_one_of(inner, &SKIPPERS)
}

/// Whether the next word, after blanks, a colon and words such as "issue", points at something.
fn begins_with_reference(after: &str) -> bool {
    let next = after.trim_start_matches([' ', ':', '#', '(', '"', '\'', '`']);
    if next.len() == after.len() {
        return false;
    }
    let word = next.split(' ').next().unwrap_or_default();
    let named = word.trim_end_matches([',', ':', '.', ';', '#']);
    if is_one_of(named, &["issue", "issues", "bug", "bugs", "and"]) {
        return begins_with_reference(&next[named.len()..]);
    }
    word.contains(|c: char| c.is_ascii_digit() || c == '#') || word.contains("://")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::wrap::is_trailer;
    use super::*;

    const LINE_SEPARATOR: char = '\u{2028}';

    #[test]
    fn what_forges_act_on_is_broken_visibly() {
        for (text, expected) in [
            ("ask @alice about it", "ask @ alice about it"),
            ("see #123 and a/b#4 and !5", "see # 123 and a/b# 4 and ! 5"),
            ("Closes ABC-12", "Closes_ ABC-12"),
            (
                "fixes: issue https://x.example/1",
                "fixes_: issue_ https://x.example/1",
            ),
            ("GH-12", "GH-_12"),
            ("Change-Id: I01", "Change-Id_: I01"),
            (
                "signed-off-by : Eve <eve@x.example>",
                "signed-off-by _: Eve <eve@ x.example>",
            ),
            (
                "x Depends-On:https://x.example",
                "x Depends-On_:https://x.example",
            ),
            ("[skip ci] please", "[_skip ci] please"),
            ("connection closed by peer", "connection closed by peer"),
            (
                "AssertionError: 1 != 2 in my-crate::tests",
                "AssertionError: 1 != 2 in my-crate::tests",
            ),
        ] {
            assert_eq!(inline(text, 200), expected);
        }
    }

    #[test]
    fn colours_and_invisible_characters_go() {
        assert_eq!(
            inline("\u{1b}[31;1mred\u{1b}[0m\ta\u{202e}b\u{0}c", 200),
            "red ab c"
        );
    }

    #[test]
    fn lines_stand_behind_a_bar_and_the_last_is_cut() {
        assert_eq!(fence("one\r\n\r\n  two\n", 100), "    | one\n    | two");
        assert_eq!(fence("one\ntwo three", 21), "    | one\n    | tw…");
        assert_eq!(fence(" \n\u{0}\n", 100), "");
    }

    #[test]
    fn a_defused_text_has_no_more_to_defuse() {
        let once = fence("Closes #1\nbug 12\nFoo-Bar: @x", 200);
        assert_eq!(
            once,
            "    | Closes_ # 1\n    | bug_ 12\n    | Foo-Bar_: @ x"
        );
    }

    proptest! {
        #[test]
        fn nothing_fenced_is_a_trailer_a_mention_or_a_reference(
            text in "([a-zA-Z]{0,6}|[-@#!: \n\r\t\\[\\]1-3]|Change-Id: |Closes |\\PC|\u{2028}|\u{85}|\u{1b}\\[1m){0,60}",
            bytes_max in 0usize..400,
        ) {
            let fenced = fence(&text, bytes_max);
            prop_assert!(fenced.len() <= bytes_max);
            for line in fenced.lines() {
                let inner = line.strip_prefix(PREFIX);
                prop_assert!(inner.is_some(), "{line:?}");
                let inner = inner.unwrap_or_default();
                prop_assert!(!is_trailer(line));
                prop_assert!(!inner.contains("Change-Id:"), "{inner:?}");
                prop_assert!(!line.contains(['\n', '\r', '\t', '\x1b', LINE_SEPARATOR]));
                let pairs = inner.chars().zip(inner.chars().skip(1));
                for (one, two) in pairs {
                    prop_assert!(!(one == '@' && is_of_name(two)), "{inner:?}");
                    prop_assert!(!(one == '#' && two.is_ascii_digit()), "{inner:?}");
                }
            }
        }
    }
}
