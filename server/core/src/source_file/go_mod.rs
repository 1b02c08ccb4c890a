//! `go.mod`: what the module requires, and replacements by another version of the same module. `exclude` and `retract`
//! are left alone.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::dialect::Dialect;
use super::entry::{Entry, Says, Scope, Wanted};
use super::literal::Literal;
use super::text::{Malformed, Text};
use crate::ecosystem::Ecosystem;
use crate::name::PackageName;

/// A word of a line.
#[derive(Clone, Copy, Debug)]
struct Word<'a> {
    /// Without quotes.
    text: &'a str,
    /// Where it begins in the body of the file, behind a quote.
    at: usize,
}

/// A line of a directive, in a block or alone.
#[derive(Debug)]
struct Line<'a> {
    directive: &'a str,
    words: Vec<Word<'a>>,
}

/// What replaces a module.
#[derive(Clone, Copy, Debug)]
struct Replacement<'a> {
    /// The version that is replaced; none: each.
    of: Option<&'a str>,
    /// The version of the same module that takes its place; none: something else does.
    by: Option<Word<'a>>,
}

/// What a module requires and replaces.
pub(super) fn entries<'a>(text: &Text<'a>, wanted: &Wanted) -> Result<Vec<Entry<'a>>, Malformed> {
    let lines = lines(text)?;
    let mut replaced: BTreeMap<&str, Vec<Replacement<'a>>> = BTreeMap::new();
    for line in lines.iter().filter(|line| line.directive == "replace") {
        if let Some((module, replacement)) = replacement(line) {
            replaced.entry(module).or_default().push(replacement);
        }
    }
    let mut entries = Vec::new();
    for line in lines.iter().filter(|line| line.directive == "require") {
        let [module, version] = line.words.as_slice() else {
            let at = line.words.first().map_or(0, |word| word.at);
            return Err(text.malformed(at, "a requirement is a module and a version".to_owned()));
        };
        let Some(package) = wanted.package(Ecosystem::Go, module.text) else {
            continue;
        };
        let replacements = replaced.get(module.text).map_or(&[][..], Vec::as_slice);
        let decisive = replacements
            .iter()
            .find(|replacement| replacement.of == Some(version.text))
            .or_else(|| {
                replacements
                    .iter()
                    .find(|replacement| replacement.of.is_none())
            });
        match decisive {
            None => entries.push(versions(&package, *version)),
            Some(Replacement { by: None, .. }) => {
                let says = Says::Nothing("something else replaces it".to_owned());
                entries.push(Entry::new(package, module.at, says));
            }
            Some(Replacement { by: Some(by), .. }) => {
                entries.push(versions(&package, *by));
                entries.push(Entry {
                    scope: Scope::Following,
                    ..versions(&package, *version)
                });
            }
        }
    }
    entries.extend(unrequired(&lines, &replaced, wanted));
    Ok(entries)
}

/// Replacements of modules that are required by others only.
fn unrequired<'a>(
    lines: &[Line<'a>],
    replaced: &BTreeMap<&'a str, Vec<Replacement<'a>>>,
    wanted: &Wanted,
) -> Vec<Entry<'a>> {
    let required: std::collections::BTreeSet<&str> = lines
        .iter()
        .filter(|line| line.directive == "require")
        .filter_map(|line| line.words.first().map(|word| word.text))
        .collect();
    let others = replaced
        .iter()
        .filter(|(module, _)| !required.contains(*module));
    others
        .flat_map(|(module, replacements)| {
            let package = wanted.package(Ecosystem::Go, module);
            let whole = replacements
                .iter()
                .filter(|replacement| replacement.of.is_none());
            let by = whole.filter_map(|replacement| replacement.by);
            by.filter_map(move |by| Some(versions(package.as_ref()?, by)))
        })
        .collect()
}

fn versions<'a>(package: &PackageName, version: Word<'a>) -> Entry<'a> {
    let literal = Literal::verbatim(Cow::Borrowed(version.text), version.at);
    let says = Says::Versions(Dialect::Version(Ecosystem::Go), literal);
    Entry::new(package.clone(), version.at, says)
}

/// `module [version] => module [version]`.
fn replacement<'a>(line: &Line<'a>) -> Option<(&'a str, Replacement<'a>)> {
    let arrow = line.words.iter().position(|word| word.text == "=>")?;
    let (old, new) = line.words.split_at(arrow);
    let module = old.first()?.text;
    let by = match new {
        [_, other, version] if other.text == module => Some(*version),
        _ => None,
    };
    let of = old.get(1).map(|word| word.text);
    Some((module, Replacement { of, by }))
}

/// The lines of directives, those of blocks with the directive of the block.
fn lines<'a>(text: &Text<'a>) -> Result<Vec<Line<'a>>, Malformed> {
    let (mut lines, mut block, mut start) = (Vec::new(), None, 0);
    for line in text.body.split_inclusive('\n') {
        let mut words = words(text, line, start)?;
        match (block, words.as_slice()) {
            (_, []) => {}
            (Some(_), [word]) if word.text == ")" => block = None,
            (Some((directive, _)), _) => lines.push(Line { directive, words }),
            (None, [first, .., last]) if last.text == "(" => block = Some((first.text, first.at)),
            (None, [first, ..]) => {
                let directive = first.text;
                words.remove(0);
                lines.push(Line { directive, words });
            }
        }
        start += line.len();
    }
    match block {
        Some((directive, at)) => Err(text.malformed(at, format!("`{directive} (` is not closed"))),
        None => Ok(lines),
    }
}

/// The words of a line that begins at `start`, up to a comment.
fn words<'a>(text: &Text<'a>, line: &'a str, start: usize) -> Result<Vec<Word<'a>>, Malformed> {
    let (mut words, mut at) = (Vec::new(), 0);
    while let Some(rest) = line.get(at..) {
        let blank = rest.len() - rest.trim_start().len();
        at += blank;
        let rest = rest.trim_start();
        let Some(first) = rest.chars().next().filter(|_| !rest.starts_with("//")) else {
            break;
        };
        if matches!(first, '"' | '`') {
            let inner = rest.get(1..).unwrap_or_default();
            let Some(length) = inner.find(first) else {
                return Err(text.malformed(start + at, format!("`{first}` is not closed")));
            };
            words.push(Word {
                text: inner.get(..length).unwrap_or_default(),
                at: start + at + 1,
            });
            at += length + 2;
            continue;
        }
        let length = match first {
            '(' | ')' => 1,
            _ => word_length(rest),
        };
        words.push(Word {
            text: rest.get(..length).unwrap_or_default(),
            at: start + at,
        });
        at += length;
    }
    Ok(words)
}

/// Up to a blank, a bracket or a comment.
fn word_length(rest: &str) -> usize {
    let mut end = rest.len();
    for (at, c) in rest.char_indices() {
        let is_comment = rest.get(at..).is_some_and(|rest| rest.starts_with("//"));
        if c.is_whitespace() || matches!(c, '(' | ')') || is_comment {
            end = at;
            break;
        }
    }
    end
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{change, edited, reading};
    use crate::ecosystem::Ecosystem::Go;

    const MODULE: &str = "module example.org/x // v1.3.0\r\n\r\ngo 1.22\r\n\r\nrequire example.org/one v1.3.0 // why\r\n\
        require (\r\n\texample.org/two  v1.3.0 // indirect\r\n\t\"example.org/three\" `v2.3.0+incompatible`\r\n\
        \texample.org/four v1.3.0\r\n\texample.org/five v1.0.0\r\n)\r\n\r\nexclude example.org/one v1.3.0\r\n\r\n\
        replace (\r\n\texample.org/four => ../four\r\n\texample.org/five => example.org/five v1.3.0\r\n\
        \texample.org/six => example.org/six v1.3.0\r\n\texample.org/one v1.2.0 => ../one\r\n)\r\n\
        retract [v1.3.0, v1.3.1]";

    #[test]
    fn requirements_and_replacements_by_a_version_change_and_nothing_else() {
        let changes = [
            change(Go, "example.org/one", "v1.3.0", "v1.2.0"),
            change(
                Go,
                "example.org/two",
                "v1.3.0",
                "v0.0.0-20200101000000-abcdefabcdef",
            ),
            change(
                Go,
                "example.org/three",
                "v2.3.0+incompatible",
                "v2.2.0+incompatible",
            ),
            change(Go, "example.org/five", "v1.3.0", "v1.2.0"),
            change(Go, "example.org/six", "v1.3.0", "v1.2.0"),
        ];
        let after = MODULE
            .replace(
                "require example.org/one v1.3.0",
                "require example.org/one v1.2.0",
            )
            .replace("two  v1.3.0", "two  v0.0.0-20200101000000-abcdefabcdef")
            .replace("v2.3.0", "v2.2.0")
            .replace("=> example.org/five v1.3.0", "=> example.org/five v1.2.0")
            .replace("=> example.org/six v1.3.0", "=> example.org/six v1.2.0");
        assert_eq!(edited("go.mod", MODULE, &changes), Ok(after));
    }

    #[test]
    fn what_is_replaced_by_something_else_is_left_alone() {
        let change = change(Go, "example.org/four", "v1.3.0", "v1.2.0");
        let error = edited("go.mod", MODULE, &[change]).expect_err("refused");
        assert_eq!(
            error.to_string(),
            "line 9 names `example.org/four` without a version that could change: something else replaces it"
        );
    }

    #[test]
    fn what_is_required_in_the_end_are_the_pins() {
        assert_eq!(
            reading("go.mod", MODULE),
            [
                "example.org/five v1.3.0",
                "example.org/one v1.3.0",
                "example.org/six v1.3.0",
                "example.org/three v2.3.0+incompatible",
                "example.org/two v1.3.0",
                "9 example.org/four: something else replaces it",
                "10 example.org/five: another place decides its version",
            ]
        );
    }

    /// The requirements by a reading of its own: every word pair that looks like one.
    fn requirements(text: &str) -> Vec<(String, String)> {
        let lines = text
            .lines()
            .map(|line| line.split("//").next().unwrap_or_default());
        let lines = lines.map(|line| line.trim_start_matches("require"));
        let words = lines.map(|line| {
            line.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        });
        words
            .filter_map(|words| match words.as_slice() {
                [module, version] if version.starts_with('v') => {
                    Some((module.clone(), version.clone()))
                }
                _ => None,
            })
            .collect()
    }

    proptest! {
        #[test]
        fn only_the_intended_pin_differs_and_its_reverse_restores_every_byte(
            rows in proptest::collection::vec((0u32..50, any::<bool>(), "(| // indirect|//x)"), 1..20),
            which in any::<prop::sample::Index>(),
        ) {
            let lines = rows.iter().enumerate().map(|(i, (version, is_block, tail))| match is_block {
                true => format!("require (\n\tm.org/p{i}\tv1.{version}.0{tail}\n)\n"),
                false => format!("require m.org/p{i} v1.{version}.0{tail}\n"),
            });
            let text = format!("module m.org/x\n{}", lines.collect::<String>());
            let i = which.index(rows.len());
            let module = format!("m.org/p{i}");
            let change = change(Go, &module, &format!("v1.{}.0", rows[i].0), "v9.9.9+incompatible");
            let after = edited("go.mod", &text, std::slice::from_ref(&change)).expect("edits");
            let mut expected = requirements(&text);
            for (name, version) in &mut expected {
                if *name == module {
                    *version = "v9.9.9+incompatible".to_owned();
                }
            }
            prop_assert_eq!(requirements(&after), expected);
            prop_assert_eq!(edited("go.mod", &after, &[change.reversed()]).expect("edits"), text);
        }
    }
}
