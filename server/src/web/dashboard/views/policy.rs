//! A policy in words, what it comes to for a candidate, and what to expect of it.

use maud::{Markup, html};
use pinion_core::name::PinSetName;
use pinion_core::numbers::{percent, thousands};
use pinion_core::policy::words::{Told, overrides_in_words};
use pinion_core::policy::{Bump, Policy};
use pinion_core::simulation::Comparison;

use super::parts::{facts, table, words};
use crate::controller::Resolved;
use crate::web::dashboard::simulations::{Answer, FLEET};

/// What the page shows.
#[derive(Debug)]
pub(in crate::web::dashboard) struct PolicyPage {
    pub(in crate::web::dashboard) pin_set: PinSetName,
    /// The whole policy.
    pub(in crate::web::dashboard) policy: Policy,
    pub(in crate::web::dashboard) package: String,
    pub(in crate::web::dashboard) to: String,
    pub(in crate::web::dashboard) is_security: bool,
    /// What it comes to for the candidate that was asked about.
    pub(in crate::web::dashboard) resolved: Option<Resolved>,
    pub(in crate::web::dashboard) fault: Option<String>,
    pub(in crate::web::dashboard) fleet: u32,
    /// Failing days, in percent.
    pub(in crate::web::dashboard) failing: f64,
    pub(in crate::web::dashboard) simulation: Answer,
    /// By which its picture is found.
    pub(in crate::web::dashboard) key: String,
}

/// The page.
pub(in crate::web::dashboard) fn policy(page: &PolicyPage) -> Markup {
    html! {
        p.crumb { a href="/" { "Overview" } " / " a href={ "/pin-sets/" (page.pin_set) } { (page.pin_set) } }
        h1 { "Policy of " (page.pin_set) }
        p { a href="#candidate" { "What it comes to for a candidate" } ", " a href="#expect" { "what to expect of it" } }
        (rules(page.policy.in_words()))
        @for (place, one) in page.policy.overrides.iter().enumerate() {
            h3 { "Override " (place + 1) ": " (one.subject()) }
            (rules(one.rules.in_words()))
        }
        @if let Some(security) = &page.policy.security {
            h3 { "Security fixes" }
            (rules(security.in_words()))
        }
        p.small.quiet { "It is changed by " code { "pinion pin-set update " (page.pin_set) " --policy FILE" } "; open rollouts keep the policy they began with." }
        h2 #candidate { "For a candidate" }
        (candidate_form(page))
        @if let Some(fault) = &page.fault {
            div.fault role="alert" { p { (fault) } }
        }
        @if let Some(resolved) = &page.resolved { (for_candidate(resolved)) }
        h2 #expect { "What to expect of it" }
        (expected(page))
    }
}

/// Rules and what they say.
pub(super) fn rules(told: Vec<Told>) -> Markup {
    let told = told.into_iter().map(|(name, text)| (name, words(text)));
    html! { div.rules { (facts(told)) } }
}

fn candidate_form(page: &PolicyPage) -> Markup {
    html! {
        form.inline method="get" action={ "/pin-sets/" (page.pin_set) "/policy#candidate" } role="search" {
            div {
                label for="package" { "Package" }
                input #package name="package" value=(page.package) maxlength="214" autocomplete="off" spellcheck="false";
            }
            div {
                label for="to" { "To version" }
                input #to name="to" value=(page.to) maxlength="100" autocomplete="off" spellcheck="false";
            }
            @if page.policy.security.is_some() {
                label.choice {
                    input type="checkbox" name="security" value="yes" checked[page.is_security];
                    " As a security fix"
                }
            }
            div { button type="submit" { "Show its rules" } }
        }
    }
}

fn for_candidate(resolved: &Resolved) -> Markup {
    html! {
        ul {
            @for (change, overrides) in &resolved.changes {
                li { (change) ": " (Bump::of(change)) ", " (overrides_in_words(overrides)) }
            }
        }
        (rules(resolved.policy.in_words()))
    }
}

fn expected(page: &PolicyPage) -> Markup {
    html! {
        p.quiet {
            "Simulated rollouts of good and bad candidates in a fleet like yours, next to other ways of giving them out. "
            @if page.resolved.is_some() { "By the rules of the candidate above." }
            @else if !page.policy.overrides.is_empty() { "Without its overrides." }
        }
        form.inline method="get" action={ "/pin-sets/" (page.pin_set) "/policy#expect" } role="search" {
            input type="hidden" name="package" value=(page.package);
            input type="hidden" name="to" value=(page.to);
            @if page.is_security { input type="hidden" name="security" value="yes"; }
            div {
                label for="fleet" { "Environments " span.hint { (FLEET.start()) " to " (thousands(u64::from(*FLEET.end()))) } }
                input #fleet type="number" name="fleet" min=(FLEET.start()) max=(FLEET.end()) value=(page.fleet);
            }
            div {
                label for="failing" { "Days failing by themselves " span.hint { "in percent" } }
                input #failing type="number" name="failing" min="0.1" max="90" step="0.1" value=(page.failing);
            }
            div { button type="submit" { "Simulate" } }
        }
        @match &page.simulation {
            Answer::Known(comparison) => { (compared(page, comparison)) }
            Answer::Computing(done) => {
                div.nothing role="status" #computing {
                    p { "It is being computed: " (done) " % are done. This page shows it as soon as it is there." }
                }
            }
            Answer::Busy => {
                div.nothing { p { "Other simulations are being computed; load this page again in a minute." } }
            }
        }
    }
}

fn compared(page: &PolicyPage, comparison: &Comparison) -> Markup {
    let mut before = "";
    let rows = comparison.rows.iter().map(|row| {
        let tally = &row.tally;
        let is_new = std::mem::replace(&mut before, row.candidate) != row.candidate;
        let number = |number: Option<u32>| {
            number.map_or_else(|| "-".to_owned(), |n| thousands(u64::from(n)))
        };
        vec![
            html! { @if is_new { (row.candidate) } @else { span.hidden { (row.candidate) } } },
            words(row.rule),
            words(percent(tally.complete(), 1)),
            words(percent(tally.waiting(), 1)),
            words(percent(tally.rolled_back(), 1)),
            words(number(tally.harmed(0.5))),
            words(number(tally.harmed(0.9))),
            words(number(tally.full_h(0.5))),
        ]
    });
    let heads = [
        "Candidate",
        "Given out by",
        "Everybody",
        "Waits",
        "Taken back",
        "Harmed, median",
        "Harmed, 90 %",
        "Hours to all",
    ];
    html! {
        figure #simulated {
            @let picture = format!("/simulations/{}.svg", page.key);
            a href=(picture) {
                img.simulation src=(picture) alt="the picture of the table below, large: for each candidate and way, what became of the rollouts and how many environments were harmed";
            }
        }
        p.small {
            "A harmless candidate is promised to be rolled back in at most " (percent(comparison.alpha, 2)) " of the rollouts. "
            "Harmed are environments with a failure that they would not have had, in ten working days; hours are working hours."
        }
        details {
            summary { "The numbers" }
            (table("", &heads, rows))
        }
    }
}
