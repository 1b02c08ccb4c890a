//! What was decided, by whom and why: of one rollout, and of all.

use maud::{Markup, html};
use pinion_core::draw::Share;
use pinion_core::evidence::Side;
use pinion_core::log::LogEntry;
use pinion_core::name::PinSetName;
use pinion_core::numbers::ratio;

use super::parts::{moment, nothing, rollout_link, table, words};
use crate::controller::{DecisionFilter, DecisionPage};

/// What the page shows.
#[derive(Debug)]
pub(in crate::web::dashboard) struct DecisionsPage {
    pub(in crate::web::dashboard) filter: DecisionFilter,
    pub(in crate::web::dashboard) page: DecisionPage,
    pub(in crate::web::dashboard) pin_sets: Vec<PinSetName>,
    /// Where the next page is.
    pub(in crate::web::dashboard) next: Option<String>,
    pub(in crate::web::dashboard) is_first: bool,
}

/// What a decision may be called.
const ACTIONS: [&str; 14] = [
    "create",
    "promote",
    "settle",
    "watch",
    "pause",
    "resume",
    "freeze",
    "conclude",
    "complete",
    "roll back",
    "abort",
    "supersede",
    "restart",
    "file",
];

/// The decisions of one rollout as rows.
pub(super) fn decision_rows<'a>(
    entries: impl Iterator<Item = &'a LogEntry>,
) -> impl Iterator<Item = Vec<Markup>> {
    entries.map(|entry| {
        let (exposed, control) = (&entry.evidence.exposed_total, &entry.evidence.control_total);
        let leading = entry.evidence.leading();
        vec![
            words(entry.sequence),
            moment(entry.at),
            html! { strong { (entry.action) } },
            words(shares(entry.share_before, entry.share_after)),
            words(&entry.actor),
            words(&entry.reason),
            counts(exposed),
            counts(control),
            match leading.log_threshold > 0.0 {
                true => words(ratio(leading.log_e)),
                false => nothing(),
            },
        ]
    })
}

fn shares(before: Share, after: Share) -> String {
    match before == after {
        true => after.to_string(),
        false => format!("{before} → {after}"),
    }
}

fn counts(side: &Side) -> Markup {
    match side.environments {
        0 => nothing(),
        _ => words(format!("{} of {} failed", side.failed, side.reporting)),
    }
}

/// The log of all rollouts.
pub(in crate::web::dashboard) fn decisions(page: &DecisionsPage) -> Markup {
    let DecisionFilter {
        pin_set,
        actor,
        action,
    } = &page.filter;
    let chosen = pin_set
        .as_ref()
        .map(ToString::to_string)
        .unwrap_or_default();
    let actor = actor.as_deref().unwrap_or_default();
    let action = action.as_deref().unwrap_or_default();
    let rows = page.page.decisions.iter().map(|decision| {
        let entry = &decision.entry;
        vec![
            moment(entry.at),
            html! { (rollout_link(&decision.rollout)) " " span.quiet.small { "in " (decision.rollout.pin_set) } },
            html! { strong { (entry.action) } },
            words(shares(entry.share_before, entry.share_after)),
            words(&entry.actor),
            words(&entry.reason),
        ]
    });
    html! {
        h1 { "Decisions" }
        p.quiet { "Every step of every rollout: who or what decided it, and why. Nothing here is ever changed." }
        form.inline method="get" action="/decisions" role="search" {
            div {
                label for="pin_set" { "Pin set" }
                select #pin_set name="pin_set" {
                    option value="" { "all" }
                    @for name in &page.pin_sets {
                        option value=(name) selected[chosen == name.as_str()] { (name) }
                    }
                }
            }
            div {
                label for="actor" { "By " span.hint { "a token's name, or controller" } }
                input #actor name="actor" value=(actor) maxlength="100";
            }
            div {
                label for="action" { "What" }
                select #action name="action" {
                    option value="" { "everything" }
                    @for name in ACTIONS { option value=(name) selected[action == name] { (name) } }
                }
            }
            div { button type="submit" { "Show" } }
        }
        @if page.page.decisions.is_empty() && page.next.is_none() {
            p.nothing { "No decision matches." }
        } @else {
            (table("The newest first.", &["When", "Rollout", "What", "Share", "By", "Why"], rows))
        }
        @if page.page.is_cut_short {
            p.quiet { "That is what was found so far; few decisions match." }
        }
        nav.pages aria-label="Pages" {
            @if !page.is_first { a href="/decisions" { "← The newest" } }
            @if let Some(next) = &page.next { a rel="next" href=(next) { "Older →" } }
        }
    }
}
