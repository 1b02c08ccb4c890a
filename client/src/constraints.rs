//! Pins as the text of a constraints file.

use std::fmt::Write as _;

use crate::error::Error;
use crate::pins::Pins;
use crate::v1::{Ecosystem, Pin};

/// The file's text: a comment that says where it is from, a line for each pin, the verbatim lines.
///
/// For pypi `Name==version` and `Name==version;marker` (`===` would compare texts and miss `1.0.0` for `1.0`); for other
/// ecosystems `name version`. Refuses a pin that would not stay on its own line.
pub fn render(pins: &Pins) -> Result<String, Error> {
    let rollouts = match pins.rollouts.as_slice() {
        [] => "none".to_owned(),
        rollouts => rollouts.join(" "),
    };
    let mut text = format!(
        "# pin set {}, revision {}, etag {}\n# rollouts: {}\n# why a version is here: pinion why PACKAGE\n",
        one_line(&pins.pin_set)?,
        pins.revision,
        one_line(&pins.etag)?,
        one_line(&rollouts)?,
    );
    for pin in &pins.pins {
        writeln!(text, "{}", line(pins.ecosystem, pin)?).expect("writing to a string cannot fail");
    }
    for line in &pins.verbatim_lines {
        text.push_str(verbatim(line)?);
        text.push('\n');
    }
    Ok(text)
}

/// A line as it stands: with those that continue it, such as hashes, and no other.
fn verbatim(line: &str) -> Result<&str, Error> {
    let mut parts = line
        .split('\n')
        .map(|part| part.trim_end_matches('\r'))
        .peekable();
    while let Some(part) = parts.next() {
        one_line(part)?;
        if parts.peek().is_some() && !part.ends_with('\\') {
            let problem = format!("`{}` is more than one line", line.escape_debug());
            return Err(Error::Answer { problem });
        }
    }
    Ok(line)
}

fn line(ecosystem: Ecosystem, pin: &Pin) -> Result<String, Error> {
    let (package, version) = (one_line(&pin.package)?, one_line(&pin.version)?);
    Ok(match (ecosystem, one_line(&pin.marker)?) {
        (Ecosystem::Pypi, "") => format!("{package}=={version}"),
        (Ecosystem::Pypi, marker) => format!("{package}=={version};{marker}"),
        (_, _) => format!("{package} {version}"),
    })
}

// A line break inside a name would smuggle another line into the file.
fn one_line(text: &str) -> Result<&str, Error> {
    if text.chars().any(|c| c.is_control() && c != '\t') {
        let problem = format!("`{}` holds a control character", text.escape_debug());
        return Err(Error::Answer { problem });
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pin(package: &str, version: &str, marker: &str) -> Pin {
        Pin {
            package: package.into(),
            version: version.into(),
            marker: marker.into(),
        }
    }

    fn pins(ecosystem: Ecosystem, pins: Vec<Pin>) -> Pins {
        Pins {
            etag: "e1".into(),
            pin_set: "nova".into(),
            ecosystem,
            revision: 7,
            pins,
            verbatim_lines: vec!["git+https://example.org/x#egg=x".into()],
            rollouts: vec!["ro-1".into(), "ro-2".into()],
            repeat_failures: false,
            exposures: vec![],
        }
    }

    #[test]
    fn python_pins_are_exact_and_keep_their_markers() {
        let list = vec![
            pin("Babel", "2.3.4", ""),
            pin("futures", "3.2.0", "python_version=='2.7'"),
        ];
        assert_eq!(
            render(&pins(Ecosystem::Pypi, list)).expect("renders"),
            "# pin set nova, revision 7, etag e1\n\
             # rollouts: ro-1 ro-2\n\
             # why a version is here: pinion why PACKAGE\n\
             Babel==2.3.4\n\
             futures==3.2.0;python_version=='2.7'\n\
             git+https://example.org/x#egg=x\n"
        );
    }

    #[test]
    fn other_ecosystems_get_names_and_versions() {
        let text =
            render(&pins(Ecosystem::Cargo, vec![pin("serde", "1.0.1", "")])).expect("renders");
        assert!(text.contains("\nserde 1.0.1\n"), "{text}");
    }

    #[test]
    fn a_verbatim_line_keeps_the_lines_that_continue_it_and_no_others() {
        let with = |line: &str| {
            let mut pins = pins(Ecosystem::Pypi, Vec::new());
            pins.verbatim_lines = vec![line.to_owned()];
            render(&pins)
        };
        let hashed = "a==1.0 \\\r\n    --hash=sha256:00 \\\r\n    --hash=sha256:11";
        assert!(
            with(hashed)
                .expect("renders")
                .ends_with(&format!("{hashed}\n"))
        );
        for bad in ["a==1.0\n--index-url https://evil.example", "a==1.0\u{b}"] {
            assert!(with(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_pin_cannot_smuggle_in_another_line() {
        let list = vec![pin("a", "1\n--index-url https://evil.example", "")];
        assert!(render(&pins(Ecosystem::Pypi, list)).is_err());
    }
}
