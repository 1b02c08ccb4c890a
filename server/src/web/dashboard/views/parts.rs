//! What several pages have.

use maud::{Markup, PreEscaped, html};
use pinion_core::calendar::StandingFreeze;
use pinion_core::draw::Share;
use pinion_core::rollout::Rollout;
use pinion_core::time::{Timestamp, in_words};

use crate::store::records::{FilingRecord, FilingState};
use crate::web::dashboard::told::{Health, candidate};

/// How a rollout fares.
pub(super) fn badge(health: &Health) -> Markup {
    html! {
        span class={ "badge " (health.class()) } {
            span aria-hidden="true" { (health.sign()) }
            span { (health.words()) }
        }
    }
}

/// How far a rollout is: the share, and where it stops on its way.
pub(super) fn share_bar(share: Share, stages: &[Share]) -> Markup {
    const WIDTH: f64 = 1000.0;
    let place = |share: Share| format!("{:.1}", share.value() * WIDTH);
    // One in a thousand is to be seen too.
    let done = match share.value() {
        nothing if nothing <= 0.0 => 0.0,
        value => (value * WIDTH).max(6.0),
    };
    html! {
        svg.share viewBox="0 0 1000 14" preserveAspectRatio="none" role="img" aria-label={ "share: " (share) } {
            rect.track width="1000" height="14" rx="4" {}
            rect.done width=(format!("{done:.1}")) height="14" rx="4" {}
            @for stage in stages.iter().filter(|stage| stage.value() < 1.0) {
                rect.stage x=(place(*stage)) width="2" height="14" {}
            }
        }
    }
}

/// A moment.
pub(super) fn moment(at: Timestamp) -> Markup {
    let words = at.to_string();
    let machine = words.replacen(' ', "T", 1).replace(" UTC", "Z");
    html! { time datetime=(machine) { (words) } }
}

/// A moment, and how long ago that is.
pub(super) fn ago(at: Timestamp, now: Timestamp) -> Markup {
    html! {
        (moment(at))
        @if now > at { span.quiet { " (" (in_words(now.since(at))) " ago)" } }
    }
}

/// A rollout's name, leading to its page.
pub(super) fn rollout_link(rollout: &Rollout) -> Markup {
    html! { a href={ "/rollouts/" (rollout.id) } { (candidate(rollout)) } }
}

/// A table that becomes a list of cards where there is little room; the first cell names the row.
///
/// The roles are those that tables have anyway, for browsers that forget them when rows become cards.
pub(super) fn table(
    caption: &str,
    heads: &[&str],
    rows: impl IntoIterator<Item = Vec<Markup>>,
) -> Markup {
    html! {
        table role="table" {
            caption { (caption) }
            thead role="rowgroup" {
                tr role="row" {
                    @for head in heads { th role="columnheader" scope="col" { (head) } }
                }
            }
            tbody role="rowgroup" {
                @for row in rows {
                    tr role="row" {
                        @for (place, (head, cell)) in heads.iter().zip(row).enumerate() {
                            @if place == 0 {
                                th role="rowheader" scope="row" { (cell) }
                            } @else if cell.0.is_empty() {
                                td role="cell" {}
                            } @else {
                                td role="cell" data-head=(head) { (cell) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Words as a cell.
pub(super) fn words(words: impl ToString) -> Markup {
    html! { (words.to_string()) }
}

/// Names and values.
pub(super) fn facts<'a>(facts: impl IntoIterator<Item = (&'a str, Markup)>) -> Markup {
    html! {
        dl.facts {
            @for (name, value) in facts {
                @if !value.0.is_empty() {
                    dt { (name) }
                    dd { (value) }
                }
            }
        }
    }
}

/// Links to the pages before and after.
pub(super) fn pages(address: impl Fn(usize) -> String, page: usize, more: bool) -> Markup {
    html! {
        @if page > 0 || more {
            nav.pages aria-label="Pages" {
                @if page > 0 { a rel="prev" href=(address(page - 1)) { "← Before" } }
                span.quiet { "Page " (page + 1) }
                @if more { a rel="next" href=(address(page + 1)) { "Next →" } }
            }
        }
    }
}

/// A freeze of a pin set, in the words of `pinion pin-set show`.
pub(super) fn frozen(freeze: &StandingFreeze) -> Markup {
    html! {
        @match freeze.until {
            Some(until) => { "until " (moment(until)) }
            None => { "until it is unfrozen" }
        }
        ", by " (freeze.by) " since " (moment(freeze.since)) ": " (freeze.reason) "; no share is raised"
    }
}

/// What became of a change that is filed, in the words of `pinion rollout show`.
pub(super) fn filing(filing: &FilingRecord) -> Markup {
    html! {
        strong { (filing.state.as_str()) } ": " (filing.subject) " on " (filing.source.forge)
        ", branch " code { (filing.head) }
        @if filing.attempt > 1 { ", attempt " (filing.attempt) }
        @if let Some(url) = filing.url.as_deref().filter(|url| is_web(url)) {
            ", " a href=(url) rel="noreferrer" { (url) }
        }
        @if !filing.last_answer.is_empty() { "; the forge says: " (filing.last_answer) }
        @if let FilingState::Pending { next_try, .. } = filing.state { "; next try " (moment(next_try)) }
    }
}

/// Whether an address that came from a forge is one that a browser may follow.
fn is_web(url: &str) -> bool {
    url.starts_with("https://") || url.starts_with("http://")
}

/// Markup that is nothing.
pub(super) const fn nothing() -> Markup {
    PreEscaped(String::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_that_is_no_page_is_not_followed() {
        assert!(is_web("https://review.example/1"));
        assert!(!is_web("javascript:alert(1)") && !is_web("data:text/html,x"));
    }

    #[test]
    fn the_smallest_share_is_seen_and_none_is_not() {
        let bar = |share| share_bar(Share::clamped(share), &[]).into_string();
        assert!(bar(0.001).contains("width=\"6.0\""));
        assert!(bar(0.0).contains("width=\"0.0\""));
        assert!(bar(0.5).contains("width=\"500.0\""));
    }

    #[test]
    fn a_moment_is_told_to_machines_too() {
        let told = moment(Timestamp::from_unix_ms(1_699_999_980_000)).into_string();
        assert!(told.contains("datetime=\"2023-11-14T22:13Z\""), "{told}");
    }
}
