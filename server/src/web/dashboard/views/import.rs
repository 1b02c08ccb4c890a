//! The form that imports a file of pins, and what it would do.

use maud::{Markup, html};
use pinion_core::name::PinSetName;
use pinion_core::numbers::counted;

use super::parts::{table, words};
use super::queue::changes_of;
use crate::controller::{Imported, Verdict};
use crate::web::dashboard::told::sentence;

/// Changes that are listed.
const LISTED_MAX: usize = 200;

/// What the page shows.
#[derive(Debug)]
pub(in crate::web::dashboard) struct ImportPage {
    pub(in crate::web::dashboard) pin_set: PinSetName,
    pub(in crate::web::dashboard) revision: u64,
    pub(in crate::web::dashboard) csrf: String,
    pub(in crate::web::dashboard) content: String,
    pub(in crate::web::dashboard) requires: String,
    pub(in crate::web::dashboard) keep_unkept: bool,
    pub(in crate::web::dashboard) supersede: bool,
    pub(in crate::web::dashboard) at_once: bool,
    /// What it would do, where that was asked.
    pub(in crate::web::dashboard) checked: Option<Imported>,
    pub(in crate::web::dashboard) fault: Option<String>,
}

/// The page.
pub(in crate::web::dashboard) fn import(page: &ImportPage) -> Markup {
    let choice = |name: &str, is_chosen: bool, meaning: &str| {
        html! {
            label.choice {
                input type="checkbox" name=(name) value="yes" checked[is_chosen];
                " " (meaning)
            }
        }
    };
    html! {
        p.crumb { a href="/" { "Overview" } " / " a href={ "/pin-sets/" (page.pin_set) } { (page.pin_set) } }
        h1 { "Import into " (page.pin_set) }
        div data-still="" {}
        p.quiet { "Newer versions become rollouts or wait for a place; older ones, added and removed pins are taken at once. A pin set without pins takes the whole file at once." }
        @if let Some(fault) = &page.fault {
            div.fault role="alert" #fault { p { (fault) } }
        }
        form.stack method="post" action={ "/pin-sets/" (page.pin_set) "/import" } {
            input type="hidden" name="csrf" value=(page.csrf);
            input type="hidden" name="expected_revision" value=(page.revision);
            @if let Some(imported) = &page.checked { (would(imported)) }
            div {
                label for="content" { "The file " span.hint { "a constraints or requirements file, whole" } }
                textarea.wide #content name="content" rows="14" required spellcheck="false" autocomplete="off"
                    aria-describedby=[page.fault.as_ref().map(|_| "fault")] { "\n" (page.content) }
            }
            div {
                label for="requires" { "What versions need " span.hint { "as MarkupSafe: Jinja2>=3, one a line; may be empty" } }
                textarea #requires name="requires" rows="2" maxlength="4000" spellcheck="false" { (page.requires) }
            }
            (choice("keep_unkept", page.keep_unkept, "Keep lines that are no exact pins, and serve them as they stand"))
            (choice("supersede", page.supersede, "End open rollouts whose packages the file changes at once"))
            (choice("at_once", page.at_once, "Replace the baseline by the file at once, without trying anything"))
            div.buttons {
                button type="submit" name="step" value="check" { "Look what that would do" }
                @if page.checked.is_some() {
                    button.go type="submit" name="step" value="import" { "Import into " (page.pin_set) }
                }
            }
        }
    }
}

fn would(imported: &Imported) -> Markup {
    let changes = imported.changes.iter().take(LISTED_MAX);
    let waiting = imported
        .waiting
        .iter()
        .map(|planned| match &planned.verdict {
            Verdict::Starts => format!("{} would start", changes_of(planned)),
            verdict => format!("{} waits: {}", changes_of(planned), verdict.words()),
        });
    html! {
        section.card aria-labelledby="would" {
            h2 #would { "It would change " (counted(imported.changes.len() as u64, "pin")) }
            @if imported.at_once > 0 { p { (imported.at_once) " of them at once." } }
            ul {
                @for words in waiting { li { (sentence(&words)) } }
                @for words in &imported.refused { li { "Not tried: " (words) } }
                @for id in &imported.superseded { li { "Rollout " (id) " would end as superseded." } }
                @for line in &imported.unkept { li { "Line " (line.line) " is no pin (" (line.reason) "): " code { (line.text) } } }
            }
            @if !imported.changes.is_empty() {
                details {
                    summary { "The pins that differ" }
                    (table("", &["Change"], changes.map(|change| vec![words(change)])))
                    @if imported.changes.len() > LISTED_MAX { p.quiet { "The first " (LISTED_MAX) "." } }
                }
            }
        }
    }
}

/// What an import did, in a sentence.
pub(in crate::web::dashboard) fn imported_in_words(imported: &Imported) -> String {
    format!(
        "Imported: {}, {} at once; {} started, {} waiting, {} not tried.",
        counted(imported.changes.len() as u64, "pin") + " changed",
        imported.at_once,
        counted(imported.started.len() as u64, "rollout"),
        imported.waiting.len(),
        imported.refused.len()
    )
}
