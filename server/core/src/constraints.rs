//! Constraints files: exact pins as pip and uv write them, and what a line is that is none.
//!
//! No line is dropped silently: what is no pin is told with its number and the reason.

use std::collections::BTreeMap;
use std::fmt;

use crate::ecosystem::Ecosystem;
use crate::name::PackageName;
use crate::pin::{Marker, Pin, PinKey, Pins};
use crate::version::Version;

mod line;

pub use line::Unkept;
pub(crate) use line::{Found, Logical, find_pin, logical_lines, without_comment};

/// The largest file, in bytes.
pub const FILE_BYTES_MAX: usize = 2 * 1024 * 1024;
/// The most pins of a file.
pub const PINS_MAX: usize = 20_000;

/// What a file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parsed {
    /// Its pins. Lines that say the same twice are one.
    pub pins: Pins,
    /// Its lines that are no pins.
    pub unkept: Vec<UnkeptLine>,
}

/// A line that is no exact pin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnkeptLine {
    /// Its number, counted from 1; of several that continue each other, the first one's.
    pub line: usize,
    /// Its text as it stands.
    pub text: String,
    /// Why it is no pin.
    pub reason: Unkept,
}

/// Why a file is refused whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidFile {
    /// It is too large.
    #[error("the file has {0} bytes; at most {FILE_BYTES_MAX} are taken")]
    TooLarge(usize),
    /// It has too many pins.
    #[error("the file has more than {PINS_MAX} pins; split it into several pin sets")]
    TooManyPins,
    /// It is no text.
    #[error("line {0} has a control character: this is no constraints file")]
    Control(usize),
    /// It has line ends that editors and pip take for such and that are none here.
    #[error(
        "line {0} has a line end other than LF and CR LF, which would hide what stands behind it; save the file with LF"
    )]
    LineEnd(usize),
}

/// Reads a constraints or requirements file of pypi, or `name==version`, `name@version` or `name version`
/// lines of another ecosystem.
///
/// # Errors
/// If the file is too large or no text. A line that is no pin is no error.
pub fn parse(ecosystem: Ecosystem, text: &str) -> Result<Parsed, InvalidFile> {
    if text.len() > FILE_BYTES_MAX {
        return Err(InvalidFile::TooLarge(text.len()));
    }
    let mut parsed = Parsed::default();
    let mut first_lines: BTreeMap<PinKey, usize> = BTreeMap::new();
    for logical in logical_lines(text) {
        if logical
            .text
            .chars()
            .any(|c| c.is_control() && !matches!(c, '\t' | '\n' | '\r'))
        {
            return Err(InvalidFile::Control(logical.number));
        }
        if has_other_line_end(logical.text) {
            return Err(InvalidFile::LineEnd(logical.number));
        }
        let unkept = |reason| UnkeptLine {
            line: logical.number,
            text: logical.text.trim_end().to_owned(),
            reason,
        };
        let pin = match find_pin(ecosystem, logical.text) {
            Ok(None) => continue,
            Ok(Some(Found { pin, .. })) => pin,
            Err(reason) => {
                parsed.unkept.push(unkept(reason));
                continue;
            }
        };
        match parsed.pins.get(&pin.key()) {
            Some(other) if other.version == pin.version => {}
            Some(other) => {
                let line = first_lines.get(&pin.key()).copied().unwrap_or(0);
                let version = other.version.to_string();
                parsed
                    .unkept
                    .push(unkept(Unkept::Conflicting { line, version }));
            }
            None => {
                first_lines.insert(pin.key(), logical.number);
                parsed.pins.insert(pin);
            }
        }
        if parsed.pins.len() > PINS_MAX {
            return Err(InvalidFile::TooManyPins);
        }
    }
    Ok(parsed)
}

/// Whether a carriage return stands alone, or one of Unicode's own line ends stands anywhere: pip begins a new line
/// there.
fn has_other_line_end(text: &str) -> bool {
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{2028}' | '\u{2029}' => return true,
            // At the end of the text there is nothing that it could hide.
            '\r' if chars.peek().is_some_and(|next| *next != '\n') => return true,
            _ => {}
        }
    }
    false
}

/// A constraints file of these pins, in the order of their normal names and markers, then the lines that
/// are no pins.
///
/// Pins are written `name==version`: pip's `===` compares texts, so that a pin of `1.0` would miss the
/// release `1.0.0`.
pub fn render(pins: &Pins, verbatim: &[String]) -> String {
    let mut text = String::new();
    for pin in pins.iter() {
        text.push_str(&PinLine(pin).to_string());
        text.push('\n');
    }
    for line in verbatim {
        text.push_str(line);
        text.push('\n');
    }
    text
}

/// A pin as a line of a file.
pub(crate) struct PinLine<'a>(pub(crate) &'a Pin);

impl fmt::Display for PinLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Pin {
            package,
            version,
            marker,
        } = self.0;
        write!(f, "{}=={version}", package.written())?;
        match marker {
            Some(marker) => write!(f, ";{marker}"),
            None => Ok(()),
        }
    }
}

/// The parts of a pin, as a line has them.
pub(crate) fn pin(
    ecosystem: Ecosystem,
    package: &str,
    version: &str,
    marker: Option<&str>,
) -> Result<Pin, Unkept> {
    Ok(Pin {
        package: PackageName::parse(ecosystem, package)
            .map_err(|error| Unkept::Name(error.to_string()))?,
        version: Version::parse(ecosystem, version)
            .map_err(|error| Unkept::Version(error.to_string()))?,
        marker: marker
            .map(|marker| Marker::parse(ecosystem, marker))
            .transpose()
            .map_err(|error| Unkept::Marker(error.to_string()))?,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pypi(text: &str) -> Parsed {
        parse(Ecosystem::Pypi, text).expect("a file")
    }

    fn reasons(text: &str) -> Vec<(usize, String)> {
        pypi(text)
            .unkept
            .into_iter()
            .map(|line| (line.line, line.reason.to_string()))
            .collect()
    }

    #[test]
    fn a_real_constraints_file_is_read() {
        let text = "\u{feff}# comment\r\nJinja2===2.11.3\r\n\r\nenum34==1.1.6 ; python_version == '2.7'  # why\r\nsix == 1.16.0\r\n";
        let parsed = pypi(text);
        assert_eq!(
            render(&parsed.pins, &[]),
            "enum34==1.1.6;python_version == '2.7'\nJinja2==2.11.3\nsix==1.16.0\n"
        );
        assert_eq!(parsed.unkept, []);
    }

    #[test]
    fn what_is_no_pin_is_named_with_its_line() {
        let text = "requests>=2.0\n\
            -e git+https://example.org/x.git#egg=x\n\
            foo @ https://example.org/foo-1.0.tar.gz\n\
            a==1.0 \\\n    --hash=sha256:00\n\
            b==1.*\n\
            requests[security]==2.0\n\
            --index-url https://example.org\n\
            plain\n\
            c==1.0,<2\n\
            https://example.org/bar.whl\n";
        let lines: Vec<usize> = reasons(text).iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [1, 2, 3, 4, 6, 7, 8, 9, 10, 11]);
        let hashed = pypi(text).unkept[3].text.clone();
        assert_eq!(
            hashed, "a==1.0 \\\n    --hash=sha256:00",
            "the whole of a continued line is kept"
        );
    }

    #[test]
    fn a_package_that_is_pinned_twice_is_told() {
        assert_eq!(pypi("jira===1.0.14\nJIRA===1.0.14\n").pins.len(), 1);
        let found = reasons("jira===1.0.14\n\njira===1.0.15\n");
        assert_eq!(found, [(3, "line 1 pins it to 1.0.14 already".to_owned())]);
    }

    #[test]
    fn other_ecosystems_have_plainer_lines() {
        let parsed = parse(
            Ecosystem::Npm,
            "@babel/core@7.1.0\nleft-pad 1.3.0 # kept\nis-promise==2.2.2\n",
        )
        .expect("a file");
        assert_eq!(
            render(&parsed.pins, &[]),
            "@babel/core==7.1.0\nis-promise==2.2.2\nleft-pad==1.3.0\n"
        );
        let parsed = parse(Ecosystem::Go, "golang.org/x/text v0.3.0\n").expect("a file");
        assert_eq!(parsed.pins.len(), 1);
        assert_eq!(
            parse(Ecosystem::Cargo, "serde = \"1\"\n")
                .expect("a file")
                .unkept
                .len(),
            1
        );
    }

    #[test]
    fn a_line_end_that_only_others_see_hides_nothing() {
        for bad in ["# old\ra==1\r", "# new\u{2028}a==1\n", "b==1\u{2029}"] {
            let file = format!("six==1.0\n{bad}");
            assert_eq!(
                parse(Ecosystem::Pypi, &file),
                Err(InvalidFile::LineEnd(2)),
                "{bad:?}"
            );
        }
        assert_eq!(pypi("a==1\r\nb==2\r").pins.len(), 2);
    }

    #[test]
    fn a_single_equal_sign_is_told() {
        assert_eq!(
            reasons("six=1.0\n"),
            [(1, "it has `=` where `==` should be".to_owned())]
        );
    }

    #[test]
    fn what_is_no_text_is_refused_whole() {
        assert_eq!(
            parse(Ecosystem::Pypi, "a==1\n\0"),
            Err(InvalidFile::Control(2))
        );
        assert!(parse(Ecosystem::Pypi, &"#".repeat(FILE_BYTES_MAX + 1)).is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_it_fail_badly(text in "\\PC*") {
            let _ = parse(Ecosystem::Pypi, &text);
            let _ = parse(Ecosystem::Npm, &text);
        }

        #[test]
        fn pins_survive_being_written_and_read(
            rows in proptest::collection::vec(("[A-Za-z][A-Za-z0-9._-]{0,8}[A-Za-z0-9]", 0u32..99, 0u32..99, 0usize..3), 0..40)
        ) {
            let markers = [None, Some("python_version=='2.7'"), Some("sys_platform == \"win32\"")];
            let pins: Pins = rows
                .iter()
                .map(|(name, major, minor, marker)| {
                    pin(Ecosystem::Pypi, name, &format!("{major}.{minor}"), markers[*marker]).expect("a pin")
                })
                .collect();
            let again = parse(Ecosystem::Pypi, &render(&pins, &[])).expect("a file");
            prop_assert_eq!(again.unkept, vec![]);
            prop_assert_eq!(again.pins, pins);
        }
    }
}
