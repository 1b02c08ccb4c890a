//! Constraints and requirements files of pip, and files of pins a line in other ecosystems.

use std::borrow::Cow;
use std::ops::Range;

use super::dialect::Dialect;
use super::entry::{Entry, Says, Wanted};
use super::literal::Literal;
use super::pep508::{self, Asks};
use super::splice::Replacement;
use super::text::Text;
use crate::constraints::{Found, Logical, PinLine, find_pin, logical_lines, without_comment};
use crate::ecosystem::Ecosystem;
use crate::pin::{Marker, Pin, PinKey};

/// The lines that name packages. Options and what names none are left out.
pub(super) fn entries<'a>(
    ecosystem: Ecosystem,
    text: &Text<'a>,
    wanted: &Wanted,
) -> Vec<Entry<'a>> {
    logical_lines(text.body)
        .filter_map(|line| match ecosystem {
            Ecosystem::Pypi => requirement(&line, wanted),
            Ecosystem::Cargo | Ecosystem::Npm | Ecosystem::Go => pin(ecosystem, &line, wanted),
        })
        .collect()
}

fn requirement<'a>(line: &Logical<'a>, wanted: &Wanted) -> Option<Entry<'a>> {
    let code = joined(without_comment(line.text));
    if code.trim_start().starts_with('-') {
        return None;
    }
    let is_hashed = code.contains("--hash");
    let code = match options(&code) {
        Some(at) => up_to(code, at),
        None => code,
    };
    let found = pep508::scan(&code)?;
    let package = wanted.package(Ecosystem::Pypi, code.get(found.name)?)?;
    let marker = found.marker.and_then(|marker| code.get(marker));
    let marker = marker.map(|marker| Marker::parse(Ecosystem::Pypi, marker));
    let (marker, says) = match (marker.transpose(), found.asks) {
        (Err(error), _) => (None, Says::Nothing(error.to_string())),
        (Ok(marker), Asks::Address) => {
            (marker, Says::Nothing("an address stands in for it".into()))
        }
        (Ok(marker), Asks::Specifiers(range)) => {
            let literal = Literal::verbatim(code, line.start).with_part(range);
            (
                marker,
                match is_hashed {
                    true => Says::Hashed(Dialect::Pep440, literal),
                    false => Says::Versions(Dialect::Pep440, literal),
                },
            )
        }
    };
    Some(Entry {
        marker,
        whole: Some(line.start..line.start + line.text.len()),
        ..Entry::new(package, line.start, says)
    })
}

fn pin<'a>(ecosystem: Ecosystem, line: &Logical<'a>, wanted: &Wanted) -> Option<Entry<'a>> {
    let Found { pin, version } = find_pin(ecosystem, line.text).ok()??;
    let package = wanted.package(ecosystem, pin.package.written())?;
    let literal = Literal::verbatim(Cow::Borrowed(line.text), line.start).with_part(version);
    Some(Entry {
        whole: Some(line.start..line.start + line.text.len()),
        ..Entry::new(
            package,
            line.start,
            Says::Versions(Dialect::Version(ecosystem), literal),
        )
    })
}

/// A line with blanks in the place of what continues it, so that every byte stays where it is.
fn joined(line: &str) -> Cow<'_, str> {
    if !line.contains('\\') {
        return Cow::Borrowed(line);
    }
    Cow::Owned(line.replace("\\\r\n", "   ").replace("\\\n", "  "))
}

/// Where the options of a requirement begin.
fn options(code: &str) -> Option<usize> {
    let mut dashes = code.match_indices("--");
    dashes
        .find(|(at, _)| {
            code.get(..*at)
                .is_some_and(|before| before.ends_with(char::is_whitespace))
        })
        .map(|(at, _)| at)
}

fn up_to(code: Cow<'_, str>, at: usize) -> Cow<'_, str> {
    match code {
        Cow::Borrowed(code) => Cow::Borrowed(code.get(..at).unwrap_or(code)),
        Cow::Owned(mut code) => {
            code.truncate(at);
            Cow::Owned(code)
        }
    }
}

/// What goes with a line: where nothing follows it and it has no end, that of the line before.
pub(super) fn removal(text: &Text<'_>, whole: &Range<usize>) -> Range<usize> {
    let is_open_end = whole.end == text.body.len() && !text.body.ends_with('\n');
    let before = text.body.get(..whole.start).unwrap_or_default();
    let start = match before.strip_suffix('\n') {
        Some(before) if is_open_end => before.strip_suffix('\r').unwrap_or(before).len(),
        _ => whole.start,
    };
    start..whole.end
}

/// Where new pins go: before the first one of a later name, behind the one that precedes that, else at the end; with
/// the file's line ends, and `===` beside lines that have it.
pub(super) fn insertions(
    ecosystem: Ecosystem,
    text: &Text<'_>,
    mut pins: Vec<Pin>,
) -> Vec<Replacement> {
    if pins.is_empty() {
        return Vec::new();
    }
    pins.sort_by_key(Pin::key);
    let entries = entries(ecosystem, text, &Wanted::All);
    let latest = latest_keys(&entries);
    let line_end = if text.body.contains("\r\n") {
        "\r\n"
    } else {
        "\n"
    };
    // A backslash at the very end would join what follows.
    let is_continued = text.body.trim_end_matches(['\r', '\n']).ends_with('\\');
    let gap = if is_continued { line_end } else { "" };
    let has_end = text.body.is_empty() || text.body.ends_with('\n');
    let whole = |entry: Option<&Entry<'_>>| entry.and_then(|entry| entry.whole.clone());
    pins.iter()
        .map(|pin| {
            let later = latest.partition_point(|key| *key <= pin.key());
            let before = later.checked_sub(1).and_then(|before| entries.get(before));
            let line = line(pin, before.or_else(|| entries.get(later)));
            let at = match (whole(before), whole(entries.get(later))) {
                (Some(before), Some(_)) => before.end,
                (None, Some(later)) => later.start,
                (_, None) => text.body.len(),
            };
            let with = match (at == text.body.len(), has_end) {
                (true, true) => format!("{gap}{line}{line_end}"),
                (true, false) => format!("{gap}{line_end}{line}"),
                (false, _) => format!("{line}{line_end}"),
            };
            (at..at, with)
        })
        .collect()
}

/// Of each entry the latest key up to there.
fn latest_keys(entries: &[Entry<'_>]) -> Vec<PinKey> {
    let mut latest: Option<PinKey> = None;
    entries
        .iter()
        .map(|entry| {
            let key = PinKey {
                package: entry.package.clone(),
                marker: entry.marker.clone(),
            };
            let key = latest.take().map_or(key.clone(), |latest| latest.max(key));
            latest.insert(key).clone()
        })
        .collect()
}

fn line(pin: &Pin, neighbour: Option<&Entry<'_>>) -> String {
    let line = PinLine(pin).to_string();
    let is_arbitrary = neighbour.is_some_and(|entry| match &entry.says {
        Says::Versions(Dialect::Pep440, literal) => literal.part().starts_with("==="),
        _ => false,
    });
    match is_arbitrary {
        true => line.replacen("==", "===", 1),
        false => line,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{change, edited, marked, reading};
    use crate::constraints::parse;
    use crate::ecosystem::Ecosystem::Pypi;

    #[test]
    fn only_the_version_changes() {
        let text = "\u{feff}# top\r\nJinja2 === 2.11.3  # why\r\nMarkupSafe===2.1.0;python_version>='3.7'\r\nsix==1.0";
        let change = change(Pypi, "markupsafe", "2.1.0", "2.0.1");
        let change = marked(change, "python_version >= '3.7'");
        assert_eq!(
            edited("x.txt", text, &[change]),
            Ok(text.replace("2.1.0", "2.0.1"))
        );
    }

    #[test]
    fn requirements_with_extras_options_and_continuations_are_edited_in_place() {
        let text = "-r base.txt\n-c upper.txt\n--index-url https://example.org/simple\n\
            -e git+https://example.org/six.git#egg=six\n./six-1.1.whl\nhttps://example.org/six-1.1.whl\n\
            requests[security, socks] ==1.1 \\\r\n  ; python_version < '3'\n\
            six>=1.0,\\\n  <2  # not 1.1\nsix==1.1 --global-option='x'\n";
        let requests = change(Pypi, "requests", "1.1", "1.0");
        let six = change(Pypi, "six", "1.1", "1.0.5");
        assert_eq!(
            edited("requirements.in", text, &[requests, six]),
            Ok(text
                .replace("==1.1 \\", "==1.0 \\")
                .replace("<2  #", "<2,!=1.1  #")
                .replace("six==1.1 --", "six==1.0.5 --"))
        );
    }

    #[test]
    fn what_cannot_be_edited_is_said() {
        let refused = |text: &str| {
            let change = change(Pypi, "six", "1.1", "1.0");
            let error = edited("x.txt", text, &[change]).expect_err("refused");
            error.to_string()
        };
        assert_eq!(
            refused("six==1.2\n"),
            "it pins `six` to 1.2, which is neither 1.1 nor 1.0"
        );
        assert_eq!(refused("a==1\n"), "it has no pin of `six`");
        assert_eq!(
            refused("a==1\nsix==1.1 \\\n  --hash=sha256:00\n"),
            "line 2 carries a hash, which a new version would not match"
        );
        assert_eq!(
            refused("six>=2 # x\n"),
            "line 1 asks for `six` at `>=2`, which admits neither 1.1 nor 1.0"
        );
        assert_eq!(
            refused("\nsix @ https://example.org/six.whl\n"),
            "line 2 names `six` without a version that could change: an address stands in for it"
        );
        assert_eq!(
            refused("six=1.1\n"),
            "line 1 names `six` without a version that could change: `=1.1` is no requirement"
        );
    }

    #[test]
    fn pins_come_and_go_in_their_place() {
        let come = change(Pypi, "foo", "", "1.0");
        for (before, after) in [
            ("a==1\nz==1\n", "a==1\nfoo==1.0\nz==1\n"),
            ("z==1\n", "foo==1.0\nz==1\n"),
            ("a==1", "a==1\nfoo==1.0"),
            ("", "foo==1.0\n"),
            (
                "a===1\r\n# of z\r\nz===1\r\n",
                "a===1\r\nfoo===1.0\r\n# of z\r\nz===1\r\n",
            ),
        ] {
            let changes = std::slice::from_ref(&come);
            assert_eq!(edited("x.txt", before, changes).as_deref(), Ok(after));
            assert_eq!(edited("x.txt", after, changes).as_deref(), Ok(after));
            assert_eq!(
                edited("x.txt", after, &[come.reversed()]).as_deref(),
                Ok(before)
            );
        }
        let others = ["c", "b"].map(|name| change(Pypi, name, "", "1"));
        assert_eq!(
            edited("x.txt", "a==1\nz==1\n", &others).as_deref(),
            Ok("a==1\nb==1\nc==1\nz==1\n")
        );
        let error = edited("x.txt", "foo>=1\n", &[come]).expect_err("refused");
        assert_eq!(
            error.to_string(),
            "line 1 names `foo` without a version that could change: it allows `>=1`"
        );
    }

    #[test]
    fn a_marker_is_a_part_of_what_a_line_pins() {
        let text = "a==1\na==1;python_version=='2.7'\nb==1;python_version=='2.7'\n";
        let plain = change(Pypi, "a", "1", "2");
        assert_eq!(
            edited("x.txt", text, std::slice::from_ref(&plain)),
            Ok(text.replacen("a==1", "a==2", 1))
        );
        let old = marked(plain, "python_version == '2.7'");
        assert_eq!(
            edited("x.txt", text, &[old]),
            Ok(text.replace("a==1;", "a==2;"))
        );
        assert_eq!(
            edited("x.txt", text, &[change(Pypi, "b", "1", "2")]),
            Ok(text.replace("b==1", "b==2")),
            "where every line has a marker, they are what is meant"
        );
    }

    #[test]
    fn pins_are_told_from_ranges() {
        assert_eq!(
            reading("x.txt", "a[x]==1\nb>=1\nc\nd==1 --hash=sha256:00\ne==1.*\n"),
            [
                "a 1",
                "2 b: it allows `>=1`",
                "3 c: it allows every version",
                "4 d: it carries a hash, which fits one version only",
                "5 e: it allows `==1.*`",
            ]
        );
    }

    proptest! {
        #[test]
        fn an_edit_changes_the_intended_pin_and_its_reverse_restores_every_byte(
            versions in proptest::collection::vec((0u32..50, "[ \t]{0,2}", "(|  # note|;python_version=='3[.]8')"), 1..30),
            which in any::<prop::sample::Index>(),
            ends in any::<bool>(),
        ) {
            let end = if ends { "\r\n" } else { "\n" };
            let lines: Vec<String> = versions
                .iter()
                .enumerate()
                .map(|(i, (version, blank, tail))| format!("pkg{i}{blank}==={blank}{version}.0{tail}"))
                .collect();
            let text = lines.join(end);
            let i = which.index(versions.len());
            let change = change(Pypi, &format!("pkg{i}"), &format!("{}.0", versions[i].0), "99.9");
            let change = match versions[i].2.strip_prefix(';') {
                Some(marker) => marked(change, marker),
                None => change,
            };
            let after = edited("x.txt", &text, std::slice::from_ref(&change)).expect("edits");
            let before_pins = parse(Pypi, &text).expect("a file").pins;
            let after_pins = parse(Pypi, &after).expect("a file").pins;
            prop_assert_eq!(before_pins.diff(&after_pins), vec![change.clone()]);
            prop_assert_eq!(edited("x.txt", &after, &[change.reversed()]).expect("edits"), text);
        }
    }
}
