//! Why an environment has a version: what `pinion why` says, for whoever is asked.

use maud::{Markup, html};
use pinion_core::name::PinSetName;

use super::parts::{facts, moment, nothing, rollout_link, words};
use crate::controller::{Explained, Explanation};
use crate::store::records::EnvironmentRecord;
use crate::web::dashboard::told::sentence;

/// What the page shows.
#[derive(Debug, Default)]
pub(in crate::web::dashboard) struct EnvironmentPage {
    pub(in crate::web::dashboard) id: String,
    pub(in crate::web::dashboard) package: String,
    pub(in crate::web::dashboard) pin_set: String,
    pub(in crate::web::dashboard) pin_sets: Vec<PinSetName>,
    pub(in crate::web::dashboard) environment: Option<EnvironmentRecord>,
    /// What each open rollout means for it.
    pub(in crate::web::dashboard) trials: Vec<Explanation>,
    pub(in crate::web::dashboard) explained: Option<Explained>,
    /// Why there is no answer.
    pub(in crate::web::dashboard) fault: Option<String>,
}

/// The page.
pub(in crate::web::dashboard) fn environment(page: &EnvironmentPage) -> Markup {
    html! {
        h1 { "Why this version?" }
        p.quiet { "For an environment, by its id (" code { "pinion status" } " shows it), or for everybody who is in no cohort." }
        form.inline method="get" action="/environments" role="search" {
            div {
                label for="id" { "Environment " span.hint { "its id; may be empty" } }
                input #id name="id" value=(page.id) maxlength="100" autocomplete="off" spellcheck="false";
            }
            div {
                label for="package" { "Package" }
                input #package name="package" value=(page.package) maxlength="214" autocomplete="off" spellcheck="false";
            }
            div {
                label for="pin_set" { "Pin set " span.hint { "where no environment is named" } }
                select #pin_set name="pin_set" {
                    option value="" {}
                    @for name in &page.pin_sets {
                        option value=(name) selected[page.pin_set == name.as_str()] { (name) }
                    }
                }
            }
            div { button type="submit" { "Explain" } }
        }
        @if let Some(fault) = &page.fault {
            div.fault role="alert" { p { (fault) } }
        }
        @if let Some(explained) = &page.explained { (explanation(&page.package, explained)) }
        @if let Some(environment) = &page.environment { (who(environment, &page.trials)) }
    }
}

fn explanation(package: &str, explained: &Explained) -> Markup {
    html! {
        h2 {
            @if explained.pins.is_empty() { (package) " is not pinned" }
            @for pin in &explained.pins {
                div { (pin.package.written()) " " (pin.version) @if let Some(marker) = &pin.marker { " where " (marker) } }
            }
        }
        ul {
            @for words in &explained.sentences { li { (sentence(words)) } }
        }
        @if !explained.explanations.is_empty() {
            h3 { "Rollouts of this package" }
            (trials(&explained.explanations))
        }
    }
}

fn who(environment: &EnvironmentRecord, explanations: &[Explanation]) -> Markup {
    let holds = environment.holds.iter().map(|hold| match &hold.version {
        Some(version) => format!("{} {version}", hold.package.written()),
        None => hold.package.written().to_owned(),
    });
    let holds = holds.collect::<Vec<_>>().join(", ");
    let volunteers = environment.volunteers.iter();
    let volunteers = volunteers
        .map(|package| package.written())
        .collect::<Vec<_>>();
    html! {
        h2 { "Environment " code { (environment.id) } }
        (facts([
            ("Pin set", html! { a href={ "/pin-sets/" (environment.pin_set) } { (environment.pin_set) } }),
            ("Reports", words(if environment.reporting { "yes: its owner agreed" } else { "no: it gets what is complete" })),
            ("Platform", environment.platform.as_ref().map_or_else(nothing, words)),
            ("Drawn by", words(if environment.draw_key.is_some() { "a key that it shares" } else { "its id" })),
            ("Holds", words(if holds.is_empty() { "none" } else { &holds })),
            ("Volunteers for", words(volunteers.join(", "))),
            ("Enrolled", moment(environment.created_at)),
        ]))
        h3 { "Open rollouts" }
        @if explanations.is_empty() {
            p.quiet { "None: it has the baseline." }
        } @else {
            (trials(explanations))
        }
    }
}

fn trials(explanations: &[Explanation]) -> Markup {
    html! {
        ul {
            @for one in explanations {
                li {
                    (rollout_link(&one.rollout)) ": " (one.rollout.state.kind()) ", at " (one.rollout.share()) "; "
                    strong { @if one.exposed { "this environment has it" } @else { "this environment does not have it" } }
                    @if let Some((share, earliest)) = one.next {
                        "; next " (share) @if let Some(at) = earliest { ", not before " (moment(at)) }
                    }
                    @if let Some(draw) = one.draw { "; its draw was " (format!("{draw:.6}")) }
                }
            }
        }
    }
}
