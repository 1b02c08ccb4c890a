//! The parts that every notice's words are made of.

use super::{Kind, LINE_BYTES_MAX, LINES_MAX, Notice, SUBJECT_BYTES_MAX, named_changes};
use crate::filing::plain_line;
use crate::name::PinSetName;
use crate::pin::PackageChange;
use crate::rollout::Rollout;
use crate::state::Actor;
use crate::time::Timestamp;

/// Changes that a subject names.
const SUBJECT_CHANGES: usize = 2;

/// One line of at most so many bytes, without control and invisible characters.
pub(super) fn line(text: &str, bytes_max: usize) -> String {
    plain_line(text, bytes_max)
}

/// A notice in the making.
pub(super) struct Draft(Notice);

impl Draft {
    pub(super) fn new(kind: Kind, at: Timestamp, actor: &Actor) -> Self {
        Self(Notice {
            kind,
            at,
            pin_set: None,
            rollout: None,
            actor: line(&actor.to_string(), 100),
            subject: String::new(),
            lines: Vec::new(),
            ways: Vec::new(),
            changes: Vec::new(),
            link: None,
        })
    }

    /// About a rollout; the subject says `what`, then the changes and the pin set.
    pub(super) fn of_rollout(mut self, rollout: &Rollout, what: &str) -> Self {
        self.0.rollout = Some(rollout.id.clone());
        self.0.changes = named_changes(&rollout.changes);
        let shadow = if rollout.is_shadow() { "Shadow: " } else { "" };
        let changes = in_short(&rollout.changes);
        let subject = format!("{shadow}{what}: {changes} in {}", rollout.pin_set);
        self.about(&rollout.pin_set, &subject)
    }

    /// About a pin set, with this subject.
    pub(super) fn about(mut self, pin_set: &PinSetName, subject: &str) -> Self {
        self.0.pin_set = Some(pin_set.clone());
        self.with_subject(subject)
    }

    pub(super) fn with_subject(mut self, subject: &str) -> Self {
        self.0.subject = line(subject, SUBJECT_BYTES_MAX);
        self
    }

    /// With a sentence, if there is one.
    pub(super) fn line(mut self, sentence: impl Into<Option<String>>) -> Self {
        let sentence = sentence.into().map(|text| line(&text, LINE_BYTES_MAX));
        let room = LINES_MAX.saturating_sub(self.0.lines.len());
        self.0
            .lines
            .extend(sentence.map(ended).into_iter().take(room));
        self
    }

    /// Who did it, where that was a person.
    pub(super) fn by(self, actor: &Actor) -> Self {
        self.line(match actor {
            Actor::Controller => None,
            Actor::Token(name) => Some(format!("By: {name}")),
        })
    }

    /// With something that a person may do.
    pub(super) fn way(mut self, way: impl Into<Option<String>>) -> Self {
        self.0.ways.extend(way.into());
        self
    }

    pub(super) fn done(self) -> Notice {
        self.0
    }
}

/// The first changes, and how many more.
pub(super) fn in_short(changes: &[PackageChange]) -> String {
    let named: Vec<String> = changes
        .iter()
        .take(SUBJECT_CHANGES)
        .map(ToString::to_string)
        .collect();
    match changes.len().saturating_sub(SUBJECT_CHANGES) {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

/// Several notices of one kind and pin set as one.
pub fn digest(first: Notice, others: &[Notice]) -> Notice {
    let subject = format!("{} and {} more like it", first.subject, others.len());
    let mut draft = Draft(Notice {
        rollout: None,
        lines: Vec::new(),
        ways: Vec::new(),
        link: None,
        ..first.clone()
    });
    let shown = LINES_MAX - 1;
    let all: Vec<&Notice> = std::iter::once(&first).chain(others).collect();
    for notice in all.iter().take(shown) {
        draft = draft.line(notice.subject.clone());
    }
    if all.len() > shown {
        draft = draft.line(format!("And {} more", all.len() - shown));
    }
    draft.with_subject(&subject).done()
}

/// With a full stop, unless it ends in a mark already, or in an address that one would spoil.
fn ended(mut sentence: String) -> String {
    let ends_in_address = sentence
        .rsplit(' ')
        .next()
        .is_some_and(|word| word.contains("://"));
    if !ends_in_address && !sentence.ends_with(['.', '?', '!', '…']) {
        sentence.push('.');
    }
    sentence
}
