//! What a change makes of all that a file says of its package.

use std::collections::BTreeSet;

use super::dialect::is_same;
use super::entry::{Entry, Says, Scope};
use super::error::EditError;
use super::format::Format;
use super::requirements;
use super::splice::Replacement;
use super::step::{Step, step};
use super::text::Text;
use crate::pin::{PackageChange, Pin, PinKey};
use crate::version::Version;

/// What a change makes of a file.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Nothing: the file has it.
    Already,
    /// A new line with this pin.
    Added(Pin),
    /// These.
    Replaced(Vec<Replacement>),
}

/// What a file says of one package.
#[derive(Debug)]
pub(super) struct Place<'a> {
    pub(super) format: Format,
    pub(super) text: &'a Text<'a>,
    /// What all the changes are of.
    pub(super) subjects: &'a BTreeSet<PinKey>,
    pub(super) entries: &'a [Entry<'a>],
}

impl<'a> Place<'a> {
    /// What a change of the package makes of it.
    pub(super) fn outcome(&self, change: &PackageChange) -> Result<Outcome, EditError> {
        match (&change.from, &change.to) {
            (Some(from), Some(to)) => self.moved(change, from, to),
            (None, Some(to)) => self.added(change, to),
            (_, None) => self.removed(change),
        }
    }

    fn moved(
        &self,
        change: &PackageChange,
        from: &Version,
        to: &Version,
    ) -> Result<Outcome, EditError> {
        let (mut replaced, mut is_there, mut problem) = (Vec::new(), false, None);
        for entry in self.concerned(change) {
            let (dialect, literal, is_hashed) = match &entry.says {
                Says::Versions(dialect, literal) => (*dialect, literal, false),
                Says::Hashed(dialect, literal) => (*dialect, literal, true),
                Says::Nothing(reason) => {
                    problem.get_or_insert_with(|| self.no_version(entry, reason.clone()));
                    continue;
                }
            };
            let is_following = entry.scope == Scope::Following;
            if is_following
                && !matches!(dialect.exact(literal.part()), Some((found, _)) if is_same(&found, from))
            {
                continue;
            }
            match step(dialect, literal.part(), from, to) {
                Step::There => is_there = true,
                Step::Replace(..) if is_hashed => {
                    return Err(EditError::Hashed(self.text.lines().of(entry.at)));
                }
                Step::Replace(range, with) => replaced.push(literal.replacement(range, &with)),
                Step::OtherVersion(found) => {
                    problem.get_or_insert_with(|| other_version(change, &found));
                }
                Step::OtherRange => {
                    problem.get_or_insert_with(|| EditError::OtherRange {
                        package: change.package.written().to_owned(),
                        line: self.text.lines().of(entry.at),
                        found: literal.part().to_owned(),
                        from: from.to_string(),
                        to: to.to_string(),
                    });
                }
                Step::Unread => {
                    let reason = format!("`{}` is no requirement", literal.part());
                    problem.get_or_insert_with(|| self.no_version(entry, reason));
                }
            }
        }
        match problem {
            _ if !replaced.is_empty() => Ok(Outcome::Replaced(replaced)),
            _ if is_there => Ok(Outcome::Already),
            Some(problem) => Err(problem),
            None => Err(EditError::Missing(change.package.written().to_owned())),
        }
    }

    fn added(&self, change: &PackageChange, to: &Version) -> Result<Outcome, EditError> {
        let mut problem = None;
        for entry in self.concerned(change) {
            match exact(entry) {
                Some(found) if is_same(&found, to) => return Ok(Outcome::Already),
                Some(found) => {
                    problem.get_or_insert_with(|| other_version(change, &found));
                }
                None => {
                    let reason = entry.pin().err().unwrap_or_default();
                    problem.get_or_insert_with(|| self.no_version(entry, reason));
                }
            }
        }
        match (problem, self.format) {
            (Some(problem), _) => Err(problem),
            (None, Format::Requirements(_)) => Ok(Outcome::Added(Pin {
                package: change.package.clone(),
                version: to.clone(),
                marker: change.marker.clone(),
            })),
            (None, _) => Err(self.unheld(change, "added to")),
        }
    }

    /// Ranges are no pins, so that they stay.
    fn removed(&self, change: &PackageChange) -> Result<Outcome, EditError> {
        let is_pins = matches!(self.format, Format::Requirements(_));
        let (mut replaced, mut problem) = (Vec::new(), None);
        for entry in self.concerned(change) {
            let Some(found) = exact(entry) else { continue };
            let is_old = change
                .from
                .as_ref()
                .is_some_and(|from| is_same(&found, from));
            match &entry.whole {
                Some(whole) if is_old && is_pins => {
                    replaced.push((requirements::removal(self.text, whole), String::new()));
                }
                _ if is_old => return Err(self.unheld(change, "removed from")),
                _ => {
                    problem.get_or_insert_with(|| other_version(change, &found));
                }
            }
        }
        match problem {
            _ if !replaced.is_empty() => Ok(Outcome::Replaced(replaced)),
            Some(problem) => Err(problem),
            None => Ok(Outcome::Already),
        }
    }

    /// The entries that a change is about. Where a line is a pin, its marker is a part of what it is a pin of, so that
    /// one without a marker comes first; elsewhere a marker only says where a requirement holds.
    fn concerned(&self, change: &PackageChange) -> Vec<&'a Entry<'a>> {
        let is_unclaimed = |entry: &Entry<'_>| {
            let key = PinKey {
                package: entry.package.clone(),
                marker: entry.marker.clone(),
            };
            entry.marker.is_none() || !self.subjects.contains(&key)
        };
        let is_pins = matches!(self.format, Format::Requirements(_));
        let same_marker = self
            .entries
            .iter()
            .filter(|entry| entry.marker == change.marker);
        let same_marker: Vec<_> = same_marker.collect();
        let is_move = change.from.is_some() && change.to.is_some();
        if change.marker.is_some() || is_pins && (!same_marker.is_empty() || !is_move) {
            return same_marker;
        }
        self.entries
            .iter()
            .filter(|entry| is_unclaimed(entry))
            .collect()
    }

    fn no_version(&self, entry: &Entry<'_>, reason: String) -> EditError {
        EditError::NoVersion {
            package: entry.package.written().to_owned(),
            line: self.text.lines().of(entry.at),
            reason,
        }
    }

    fn unheld(&self, change: &PackageChange, what: &'static str) -> EditError {
        EditError::Unheld {
            package: change.package.written().to_owned(),
            what,
            format: self.format.file(),
        }
    }
}

/// The version that an entry pins, hashed or not.
fn exact(entry: &Entry<'_>) -> Option<Version> {
    match &entry.says {
        Says::Versions(dialect, literal) | Says::Hashed(dialect, literal) => {
            Some(dialect.exact(literal.part())?.0)
        }
        Says::Nothing(_) => None,
    }
}

fn other_version(change: &PackageChange, found: &Version) -> EditError {
    let words = |version: &Option<Version>| {
        version
            .as_ref()
            .map_or_else(|| "none".to_owned(), ToString::to_string)
    };
    EditError::OtherVersion {
        package: change.package.written().to_owned(),
        found: found.to_string(),
        from: words(&change.from),
        to: words(&change.to),
    }
}
