//! The form that starts a rollout, and what it would start.

use maud::{Markup, html};
use pinion_core::name::{PinSetName, RolloutId};
use pinion_core::rollout::Rollout;

use super::parts::{facts, moment, nothing, words};
use super::policy::rules;
use crate::web::dashboard::told::candidate;

/// What the page shows.
#[derive(Debug)]
pub(in crate::web::dashboard) struct StartPage {
    pub(in crate::web::dashboard) pin_set: PinSetName,
    pub(in crate::web::dashboard) revision: u64,
    pub(in crate::web::dashboard) has_security_lane: bool,
    pub(in crate::web::dashboard) csrf: String,
    pub(in crate::web::dashboard) fault: Option<String>,
    /// What would be started, where that was asked for and is possible.
    pub(in crate::web::dashboard) trial: Option<Trial>,
    pub(in crate::web::dashboard) candidates: String,
    pub(in crate::web::dashboard) requires: String,
    pub(in crate::web::dashboard) published: String,
    pub(in crate::web::dashboard) is_security: bool,
    pub(in crate::web::dashboard) is_downgrade: bool,
}

/// A rollout that is checked and not started yet.
#[derive(Debug)]
pub(in crate::web::dashboard) struct Trial {
    pub(in crate::web::dashboard) rollout: Rollout,
    /// Open rollouts that would end.
    pub(in crate::web::dashboard) superseded: Vec<RolloutId>,
}

/// The page.
pub(in crate::web::dashboard) fn start(page: &StartPage) -> Markup {
    html! {
        p.crumb { a href="/" { "Overview" } " / " a href={ "/pin-sets/" (page.pin_set) } { (page.pin_set) } }
        h1 { "Start a rollout in " (page.pin_set) }
        div data-still="" {}
        @if let Some(fault) = &page.fault {
            div.fault role="alert" #fault { p { (fault) } }
        }
        @if let Some(trial) = &page.trial { (confirmation(page, trial)) }
        (form(page))
    }
}

fn form(page: &StartPage) -> Markup {
    html! {
        form.stack method="get" action={ "/pin-sets/" (page.pin_set) "/start" } {
            @if page.trial.is_some() { h2 { "Or another one" } }
            div {
                label for="candidates" { "Versions " span.hint { "as requests==2.32.0; those that move together one a line" } }
                textarea #candidates name="candidates" rows="3" required maxlength="4000" spellcheck="false"
                    aria-describedby=[page.fault.as_ref().map(|_| "fault")] { (page.candidates) }
            }
            div {
                label for="published" { "Published " span.hint { "as 2026-11-24 09:30, UTC; policies with a minimum age ask" } }
                input #published name="published" value=(page.published) maxlength="40" autocomplete="off" spellcheck="false";
            }
            div {
                label for="requires" { "What a version needs " span.hint { "as MarkupSafe: Jinja2>=3, one a line; may be empty" } }
                textarea #requires name="requires" rows="2" maxlength="4000" spellcheck="false" { (page.requires) }
            }
            @if page.has_security_lane {
                label.choice {
                    input type="checkbox" name="security" value="yes" checked[page.is_security];
                    " As a security fix, by the policy's rules for those"
                }
            }
            label.choice {
                input type="checkbox" name="downgrade" value="yes" checked[page.is_downgrade];
                " Versions that are not newer too"
            }
            div { button type="submit" { "Look what that would be" } }
        }
    }
}

fn confirmation(page: &StartPage, trial: &Trial) -> Markup {
    let rollout = &trial.rollout;
    let superseded: Vec<String> = trial.superseded.iter().map(ToString::to_string).collect();
    html! {
        section.card aria-labelledby="would" {
            h2 #would { "It would be " (candidate(rollout)) }
            (facts([
                ("Not before", rollout.not_before.as_ref().map_or_else(nothing, |(at, package)| html! { (moment(*at)) ", when " (package) " is old enough" })),
                ("Ends", words(superseded.join(", "))),
            ]))
            form method="post" action={ "/pin-sets/" (page.pin_set) "/start" } {
                input type="hidden" name="csrf" value=(page.csrf);
                input type="hidden" name="expected_revision" value=(page.revision);
                input type="hidden" name="candidates" value=(page.candidates);
                input type="hidden" name="requires" value=(page.requires);
                input type="hidden" name="published" value=(page.published);
                @if page.is_security { input type="hidden" name="security" value="yes"; }
                @if page.is_downgrade { input type="hidden" name="downgrade" value="yes"; }
                div { button.go type="submit" { "Start " (candidate(rollout)) } }
            }
            h3 { "By these rules" }
            (rules(rollout.policy.in_words()))
        }
    }
}
