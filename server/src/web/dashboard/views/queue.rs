//! What waits for its trial in a pin set, and why.

use maud::{Markup, html};
use pinion_core::name::PinSetName;
use pinion_core::time::Timestamp;

use super::parts::{ago, nothing, table, words};
use super::set_action::{SetForm, Shown};
use crate::controller::{Planned, Verdict};
use crate::web::dashboard::told::sentence;

/// What the page shows.
#[derive(Debug)]
pub(in crate::web::dashboard) struct QueuePage {
    pub(in crate::web::dashboard) pin_set: PinSetName,
    /// The oldest first.
    pub(in crate::web::dashboard) waiting: Vec<Planned>,
    pub(in crate::web::dashboard) now: Timestamp,
    pub(in crate::web::dashboard) may_act: bool,
    pub(in crate::web::dashboard) csrf: String,
    /// A form that was refused.
    pub(in crate::web::dashboard) form: Option<SetForm>,
}

/// The page.
pub(in crate::web::dashboard) fn queue(page: &QueuePage) -> Markup {
    let shown = Shown {
        pin_set: &page.pin_set,
        csrf: &page.csrf,
        form: page.form.as_ref(),
    };
    let is_shown = |form: &SetForm| {
        page.may_act && page.waiting.iter().any(|one| packages(one) == form.package)
    };
    let mut heads = vec!["Candidate", "Waits because", "Since", "Asked by", "In"];
    if page.may_act {
        heads.push("");
    }
    let rows = page.waiting.iter().map(|planned| {
        let since = planned.wanted.iter().map(|wanted| wanted.since).min();
        let first = planned.wanted.first();
        let mut row = vec![
            words(changes_of(planned)),
            words(sentence(&why(planned))),
            since.map_or_else(nothing, |since| ago(since, page.now)),
            first.map_or_else(nothing, |wanted| words(&wanted.by)),
            first.map_or_else(nothing, |wanted| words(&wanted.from)),
        ];
        if page.may_act {
            row.push(shown.drop(&packages(planned)));
        }
        row
    });
    html! {
        p.crumb { a href="/" { "Overview" } " / " a href={ "/pin-sets/" (page.pin_set) } { (page.pin_set) } }
        h1 { "Queue of " (page.pin_set) }
        p.quiet { "Newer versions of imported and followed files wait here for their trial, the oldest first; those that need each other are one." }
        (shown.orphan(is_shown))
        @if page.waiting.is_empty() {
            p.nothing { "Nothing waits." }
        } @else {
            (table("The next first.", &heads, rows))
        }
    }
}

fn why(planned: &Planned) -> String {
    match &planned.verdict {
        Verdict::Starts => "it is about to start".to_owned(),
        verdict => verdict.words(),
    }
}

/// What would be tried, in words.
pub(super) fn changes_of(planned: &Planned) -> String {
    let changes: Vec<String> = planned.changes.iter().map(ToString::to_string).collect();
    changes.join(", ")
}

fn packages(planned: &Planned) -> String {
    let packages = planned.wanted.iter().map(|wanted| wanted.package.written());
    packages.collect::<Vec<_>>().join(" ")
}
