//! Which format a report has, told from its first bytes and never from its name.

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};
use serde::Deserialize;

use super::format::Format;
use super::subunit;

/// A format, and how to get at the report.
pub(super) struct Detected {
    pub(super) format: Format,
    /// The encoding of its text.
    pub(super) encoding: &'static Encoding,
    /// Bytes of its UTF-8 form that stand before it.
    pub(super) begins_at: u64,
}

/// Tells the format by the first bytes of a report; the error says what is there instead.
pub(super) fn detect(head: &[u8]) -> Result<Detected, String> {
    if head.iter().all(u8::is_ascii_whitespace) {
        return Err("it is empty".to_owned());
    }
    let marked = Encoding::for_bom(head).map(|(encoding, _)| encoding);
    if marked.is_none() && subunit::begins_in(head) {
        return Ok(Detected {
            format: Format::Subunit,
            encoding: UTF_8,
            begins_at: 0,
        });
    }
    let encoding = marked.unwrap_or(UTF_8);
    let (text, _, _) = encoding.decode(head);
    let (format, begins_at) = in_text(&text).ok_or_else(|| {
        "it is neither JUnit XML, subunit, TAP, libtest JSON nor `go test -json`".to_owned()
    })?;
    let encoding = match (format, marked) {
        (Format::Junit, None) => declared(&text[begins_at..])?,
        _ => encoding,
    };
    Ok(Detected {
        format,
        encoding,
        begins_at: begins_at as u64,
    })
}

/// The first line that can only be one of the formats, and where it begins.
fn in_text(text: &str) -> Option<(Format, usize)> {
    let mut begins_at = 0;
    let mut is_first = true;
    for line in text.split_inclusive('\n') {
        let content = line.trim();
        let found = match content.as_bytes().first() {
            None => None,
            Some(b'<') if is_first || is_report_xml(content) => Some(Format::Junit),
            Some(b'{') => in_json(content),
            Some(_) => is_tap(content).then_some(Format::Tap),
        };
        if let Some(format) = found {
            // An XML declaration must stand first in what is parsed.
            let indent = line.len() - line.trim_start().len();
            return Some((format, begins_at + indent));
        }
        is_first &= content.is_empty();
        begins_at += line.len();
    }
    None
}

fn is_report_xml(line: &str) -> bool {
    line.starts_with("<?xml") || line.starts_with("<testsuite")
}

#[derive(Deserialize)]
struct Probe<'a> {
    #[serde(rename = "Action")]
    action: Option<&'a str>,
    #[serde(rename = "type")]
    kind: Option<&'a str>,
}

fn in_json(line: &str) -> Option<Format> {
    let probe = serde_json::from_str::<Probe<'_>>(line);
    // The head may end in the middle of a line.
    let Ok(probe) = probe else {
        let begins = |start: &str| line.starts_with(start);
        return match () {
            () if begins(r#"{"Time":""#)
                || begins(r#"{"Action":""#)
                || begins(r#"{"ImportPath":""#) =>
            {
                Some(Format::GoJson)
            }
            () if begins(r#"{ "type": ""#) || begins(r#"{"type":""#) => Some(Format::Libtest),
            () => None,
        };
    };
    match (probe.action, probe.kind) {
        (Some(_), _) => Some(Format::GoJson),
        (_, Some("suite" | "test" | "bench" | "report")) => Some(Format::Libtest),
        _ => None,
    }
}

/// A version, a plan, or a test point with a number: a bare `ok` begins lines of other tools too.
fn is_tap(line: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if line.starts_with("TAP version ") || line.starts_with("Bail out!") {
        return true;
    }
    if let Some((first, last)) = line.split_once("..") {
        let last = last.split('#').next().unwrap_or_default().trim();
        return is_number(first) && is_number(last);
    }
    let point = line.strip_prefix("not ").unwrap_or(line);
    let number = point
        .strip_prefix("ok ")
        .and_then(|rest| rest.split_whitespace().next());
    number.is_some_and(is_number)
}

/// The encoding that an XML declaration names.
fn declared(text: &str) -> Result<&'static Encoding, String> {
    let declaration = text
        .strip_prefix("<?xml")
        .and_then(|rest| rest.split("?>").next());
    let Some((_, after)) = declaration.and_then(|text| text.split_once("encoding")) else {
        return Ok(UTF_8);
    };
    let value = after.trim_start().trim_start_matches('=').trim_start();
    let quote = value.chars().next().unwrap_or('"');
    let label = value[quote.len_utf8().min(value.len())..]
        .split(quote)
        .next()
        .unwrap_or_default();
    match Encoding::for_label(label.as_bytes()) {
        // It could be read so far, so it is not what it says: .NET says so of what it keeps in memory.
        Some(encoding) if encoding == UTF_16LE || encoding == UTF_16BE => Ok(UTF_8),
        Some(encoding) => Ok(encoding),
        None => {
            let label: String = label.chars().take(40).collect();
            Err(format!("its encoding `{label}` is unknown"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(text: &str) -> Option<Format> {
        detect(text.as_bytes()).ok().map(|detected| detected.format)
    }

    #[test]
    fn each_format_is_told_by_its_first_line() {
        for (text, expected) in [
            ("<testsuite/>", Some(Format::Junit)),
            (
                "\u{feff}<?xml version='1.0'?>\n<testsuites/>",
                Some(Format::Junit),
            ),
            (
                "npm warn x\n> test\n\n<?xml version='1.0'?><testsuites/>",
                Some(Format::Junit),
            ),
            ("TAP version 14\n1..0", Some(Format::Tap)),
            ("# a\n1..6\nok", Some(Format::Tap)),
            ("not ok 1 - x", Some(Format::Tap)),
            (
                "Compiling\n{\"type\":\"suite\",\"event\":\"started\"}\n",
                Some(Format::Libtest),
            ),
            (
                "{ \"type\": \"suite\", \"event\": \"started\" }",
                Some(Format::Libtest),
            ),
            (
                "{\"Time\":\"x\",\"Action\":\"start\",\"Package\":\"a\"}",
                Some(Format::GoJson),
            ),
            (
                "{\"ImportPath\":\"a\",\"Action\":\"build-output\"}",
                Some(Format::GoJson),
            ),
            ("ok  \tgithub.com/a/b\t0.1s", None),
            ("{\"a\": 1}", None),
            ("5 passed in 0.1s", None),
            (" \n\t", None),
        ] {
            assert_eq!(format(text), expected, "{text}");
        }
    }

    #[test]
    fn an_encoding_is_told_by_mark_or_declaration() {
        let named = |text: &[u8]| detect(text).map(|found| found.encoding.name());
        let latin = b"<?xml version=\"1.0\" encoding='ISO-8859-1' ?><testsuite/>";
        assert_eq!(named(latin), Ok("windows-1252"));
        assert_eq!(
            named(b"<?xml version='1.0' encoding=\"utf-16\"?><testsuite/>"),
            Ok("UTF-8")
        );
        assert_eq!(
            named(b"\xff\xfe<\0t\0e\0s\0t\0s\0u\0i\0t\0e\0/\0>\0"),
            Ok("UTF-16LE")
        );
        let unknown = named(b"<?xml version='1.0' encoding='klingon'?><testsuite/>");
        assert_eq!(unknown, Err("its encoding `klingon` is unknown".to_owned()));
    }
}
