//! The subject of filed changes, as a project's convention has it.

use std::fmt;

use super::fence::one_line;
use super::message::Wording;
use super::wrap::is_risky;

/// The longest subject, in bytes; what does not fit is cut.
const SUBJECT_BYTES_MAX: usize = 200;
/// The longest template, in bytes.
const TEMPLATE_BYTES_MAX: usize = 200;

/// A subject with places for what changes, such as `Revert "Updated {package} to {from}"`.
///
/// The places are `{package}`, `{from}`, `{to}`, `{what}` (`tooz 9.0.0 -> 8.1.0`), `{rollout}` and `{pin_set}`. In a
/// change of several packages, `{package}` is such as `3 packages`, `{what}` is such as `3 packages of rollout ro-1`, and
/// `{from}` and `{to}` are `candidate` and `baseline`, or the reverse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Place(Place),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Package,
    From,
    To,
    What,
    Rollout,
    PinSet,
}

const PLACES: [(&str, Place); 6] = [
    ("package", Place::Package),
    ("from", Place::From),
    ("to", Place::To),
    ("what", Place::What),
    ("rollout", Place::Rollout),
    ("pin_set", Place::PinSet),
];

/// Why a template is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseTemplateError {
    /// It is empty or too long.
    #[error("it must have 1 to {TEMPLATE_BYTES_MAX} bytes on one line")]
    Length,
    /// It begins with what forges drop or git takes for more than a subject.
    #[error("it begins with `#` or `---`, which git and Gerrit do not take for a subject")]
    Beginning,
    /// A brace is open, or closed without having been opened.
    #[error("it has a single brace; `{{` and `}}` enclose a place")]
    Brace,
    /// No such place.
    #[error(
        "it has the unknown place `{0}`; known: {{package}}, {{from}}, {{to}}, {{what}}, {{rollout}}, {{pin_set}}"
    )]
    Unknown(String),
    /// It would be the same for every change.
    #[error(
        "it names nothing of the change; use at least one of {{package}}, {{what}}, {{rollout}}"
    )]
    SameForAll,
}

/// What a template is filled with.
pub(super) struct Filling<'a> {
    pub(super) package: &'a str,
    pub(super) from: &'a str,
    pub(super) to: &'a str,
    pub(super) what: &'a str,
    pub(super) wording: &'a Wording,
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// What is wrong with it, and what would be right.
    pub fn parse(text: &str) -> Result<Self, ParseTemplateError> {
        let is_line = !text.trim().is_empty()
            && text.len() <= TEMPLATE_BYTES_MAX
            && !text.contains(char::is_control);
        if !is_line {
            return Err(ParseTemplateError::Length);
        }
        if text.trim_start().starts_with(['#']) || text.trim_start().starts_with("---") {
            return Err(ParseTemplateError::Beginning);
        }
        let mut parts = Vec::new();
        let mut rest = text.trim();
        while let Some(at) = rest.find(['{', '}']) {
            let (before, from_brace) = rest.split_at(at);
            let (name, after) = from_brace
                .strip_prefix('{')
                .and_then(|inner| inner.split_once('}'))
                .ok_or(ParseTemplateError::Brace)?;
            let place = PLACES.iter().find(|(known, _)| *known == name);
            let (_, place) =
                place.ok_or_else(|| ParseTemplateError::Unknown(format!("{{{name}}}")))?;
            parts.push(Part::Text(before.to_owned()));
            parts.push(Part::Place(*place));
            rest = after;
        }
        parts.push(Part::Text(rest.to_owned()));
        let tells = [Place::Package, Place::What, Place::Rollout];
        let is_telling = |part: &Part| matches!(part, Part::Place(place) if tells.contains(place));
        match parts.iter().any(is_telling) {
            true => Ok(Self(parts)),
            false => Err(ParseTemplateError::SameForAll),
        }
    }

    /// The subject: one line of at most 200 bytes that nothing takes for more than that.
    pub(super) fn fill(&self, filling: &Filling<'_>) -> String {
        let text: String = self
            .0
            .iter()
            .map(|part| match part {
                Part::Text(text) => text.as_str(),
                Part::Place(Place::Package) => filling.package,
                Part::Place(Place::From) => filling.from,
                Part::Place(Place::To) => filling.to,
                Part::Place(Place::What) => filling.what,
                Part::Place(Place::Rollout) => &filling.wording.rollout,
                Part::Place(Place::PinSet) => &filling.wording.pin_set,
            })
            .collect();
        let line = one_line(&text, SUBJECT_BYTES_MAX);
        // Only `#` and `---` matter here: `revert(deps): x` and `Fixes: x` are subjects like any other.
        match is_risky(&line) && line.starts_with(['#', '-']) {
            true => format!("Pins: {line}"),
            false => line,
        }
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.0 {
            match part {
                Part::Text(text) => f.write_str(text)?,
                Part::Place(place) => {
                    let name = PLACES.iter().find(|(_, known)| known == place);
                    write!(f, "{{{}}}", name.map_or("", |(name, _)| *name))?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_read_and_shown_again() {
        for text in [
            "Revert \"Updated {package} to {from}\"",
            "{what}",
            "[{pin_set}] {rollout}: {package} {to}",
        ] {
            assert_eq!(
                Template::parse(text).map(|t| t.to_string()).as_deref(),
                Ok(text)
            );
        }
    }

    #[test]
    fn what_is_no_template_is_refused_with_what_would_be() {
        for (text, words) in [
            ("", "1 to 200 bytes"),
            ("{package}\nx", "one line"),
            ("# {package}", "begins with"),
            ("a {package", "single brace"),
            ("a } {package}", "single brace"),
            ("{pkg}", "unknown place `{pkg}`; known: {package}"),
            ("Roll back", "names nothing"),
        ] {
            let error = Template::parse(text).expect_err(text).to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
