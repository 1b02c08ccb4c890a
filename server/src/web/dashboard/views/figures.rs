//! Delivery figures: how often versions are released, how long that takes, how often one is taken back, and how long
//! until nobody has it any more.

use std::time::Duration;

use maud::{Markup, html};
use pinion_core::figures::words::Stretch;
use pinion_core::figures::{Delivery, Figures, Spread};
use pinion_core::name::PinSetName;
use pinion_core::numbers::{counted, percent};
use pinion_core::time::{Timestamp, in_words};

use super::parts::{nothing, table, words};
use crate::web::dashboard::told::sentence;

/// How far back one may look, in days.
const PERIODS: [u32; 4] = [30, 90, 365, 1095];

/// What the page shows.
#[derive(Debug)]
pub(in crate::web::dashboard) struct FiguresPage {
    pub(in crate::web::dashboard) delivery: Delivery,
    /// Rollouts by when they ended, the oldest first.
    pub(in crate::web::dashboard) bars: Vec<Stretch>,
    /// How long each of them is.
    pub(in crate::web::dashboard) bar: Duration,
    pub(in crate::web::dashboard) now: Timestamp,
    pub(in crate::web::dashboard) days: u32,
    pub(in crate::web::dashboard) pin_set: Option<PinSetName>,
    pub(in crate::web::dashboard) package: String,
    pub(in crate::web::dashboard) pin_sets: Vec<PinSetName>,
}

/// The page.
pub(in crate::web::dashboard) fn figures(page: &FiguresPage) -> Markup {
    let whole = &page.delivery.whole;
    let has_any = whole.completed + whole.rolled_back + whole.aborted + whole.superseded > 0;
    html! {
        h1 { "Delivery figures" }
        p.quiet { "Of rollouts that ended in the last " (page.days) " days: the four key figures of software delivery." }
        (filter(page))
        @if has_any {
            (keys(whole))
            (over_time(page))
            h2 { "By pin set" }
            @let sets = page.delivery.by_pin_set.iter().map(|(name, figures)| (html! { a href={ "/pin-sets/" (name) } { (name) } }, figures));
            (rows("Pin set", sets.collect()))
            h2 { "By package" }
            @let packages = page.delivery.by_package.iter().map(|(name, figures)| (words(name), figures));
            (rows("Package", packages.collect()))
            ul.small.quiet {
                @for note in whole.notes() { li { (sentence(&note)) } }
            }
        } @else {
            p.nothing { "No rollout ended in this time." }
        }
    }
}

fn filter(page: &FiguresPage) -> Markup {
    let chosen = page.pin_set.as_ref().map(ToString::to_string);
    html! {
        form.inline method="get" action="/figures" role="search" {
            div {
                label for="pin_set" { "Pin set" }
                select #pin_set name="pin_set" {
                    option value="" { "all" }
                    @for name in &page.pin_sets {
                        option value=(name) selected[chosen.as_deref() == Some(name.as_str())] { (name) }
                    }
                }
            }
            div {
                label for="package" { "Package" }
                input #package name="package" value=(page.package) maxlength="214" autocomplete="off" spellcheck="false";
            }
            div {
                label for="days" { "Last" }
                select #days name="days" {
                    @for days in PERIODS { option value=(days) selected[days == page.days] { (days) " days" } }
                    @if !PERIODS.contains(&page.days) { option value=(page.days) selected { (page.days) " days" } }
                }
            }
            div { button type="submit" { "Show" } }
        }
    }
}

/// The four figures, large.
fn keys(whole: &Figures) -> Markup {
    let median = |spread: &Spread| spread.median.map_or_else(|| "-".to_owned(), in_words);
    let most = |spread: &Spread| match spread.p90 {
        Some(p90) => format!("nine of ten within {}", in_words(p90)),
        None if spread.unknown > 0 => "not known".to_owned(),
        None => String::new(),
    };
    let failed = whole.failure_share.map(|share| percent(share, 1));
    let cards = [
        (
            "Releases a week",
            format!("{:.1}", whole.per_week),
            format!("{} in all", counted(u64::from(whole.completed), "release")),
        ),
        (
            "Lead time, median",
            median(&whole.lead_time),
            most(&whole.lead_time),
        ),
        (
            "Taken back",
            failed.unwrap_or_else(|| "-".to_owned()),
            format!(
                "{} in all",
                counted(u64::from(whole.rolled_back), "rollback")
            ),
        ),
        (
            "Time to restore, median",
            median(&whole.time_to_restore),
            most(&whole.time_to_restore),
        ),
    ];
    html! {
        dl.keyfigures {
            @for (name, value, more) in cards {
                div { dt { (name) } dd { strong { (value) } @if !more.is_empty() { span.small.quiet { (more) } } } }
            }
        }
    }
}

/// Bars of what ended, by time.
fn over_time(page: &FiguresPage) -> Markup {
    const WIDTH: f64 = 1000.0;
    const HEIGHT: f64 = 200.0;
    /// Room for the numbers and for the days.
    const LEFT: f64 = 40.0;
    const BOTTOM: f64 = 26.0;
    let most = page.bars.iter().map(|bar| bar.completed + bar.rolled_back);
    let most = most.max().unwrap_or(0).max(4);
    let step = (WIDTH - LEFT) / page.bars.len().max(1) as f64;
    let high = |count: u32| f64::from(count) / f64::from(most) * (HEIGHT - BOTTOM - 12.0);
    let ground = HEIGHT - BOTTOM;
    let day = |place: usize| {
        let ago = page.bar * u32::try_from(page.bars.len() - place).unwrap_or(u32::MAX);
        let words = page.now.minus(ago).to_string();
        words.split(' ').next().unwrap_or_default().to_owned()
    };
    let each = (page.bars.len() / 6).max(1);
    let number = |value: f64| format!("{value:.1}");
    let total = |of: fn(&Stretch) -> u32| page.bars.iter().map(of).sum::<u32>();
    let seen = format!(
        "bars of the rollouts that ended, by time: {} completed and {} rolled back",
        total(|bar| bar.completed),
        total(|bar| bar.rolled_back)
    );
    html! {
        figure {
            figcaption { "What ended, by time" span { "Each bar is " (in_words(page.bar)) "; its label is the day on which it begins." } }
            svg.bars viewBox="0 0 1000 200" role="img" aria-label=(seen) {
                @for count in [0, most / 2, most] {
                    @let y = ground - high(count);
                    line.grid x1=(LEFT) x2=(WIDTH) y1=(number(y)) y2=(number(y)) {}
                    text.end x=(LEFT - 6.0) y=(number(y + 4.0)) { (count) }
                }
                @for (place, bar) in page.bars.iter().enumerate() {
                    @let x = LEFT + step * place as f64;
                    @let width = number((step * 0.8).min(60.0));
                    @let (good, bad) = (high(bar.completed), high(bar.rolled_back));
                    rect.good x=(number(x + step * 0.1)) y=(number(ground - good)) width=(width) height=(number(good)) {}
                    rect.bad x=(number(x + step * 0.1)) y=(number(ground - good - bad)) width=(width) height=(number(bad)) {}
                    @if place % each == 0 {
                        text class={ "day" @if place / each % 2 == 1 { " odd" } } x=(number(x)) y=(number(HEIGHT - 6.0)) { (day(place)) }
                    }
                }
            }
            ul.keys { li.good { "completed" } li.bad { "rolled back" } }
        }
    }
}

fn rows(head: &str, figures: Vec<(Markup, &Figures)>) -> Markup {
    let longest = figures
        .iter()
        .filter_map(|(_, one)| one.lead_time.p90)
        .max();
    let longest = longest.unwrap_or_default();
    let rows = figures.iter().map(|(name, one)| {
        vec![
            name.clone(),
            words(one.completed),
            words(format!("{:.1}", one.per_week)),
            html! { (one.lead_time.in_words()) (spread(&one.lead_time, longest)) },
            words(one.rolled_back),
            one.failure_share
                .map_or_else(nothing, |share| words(percent(share, 1))),
            words(one.time_to_roll_back.in_words()),
            words(one.time_to_restore.in_words()),
        ]
    });
    let heads = [
        head,
        "Completed",
        "A week",
        "Lead time",
        "Rolled back",
        "Share taken back",
        "To roll back",
        "To restore",
    ];
    table("", &heads, rows)
}

/// A bar from nothing to the median, and a line to what nine of ten took at most.
fn spread(spread: &Spread, longest: Duration) -> Markup {
    let (Some(median), Some(p90)) = (spread.median, spread.p90) else {
        return nothing();
    };
    let place = |time: Duration| {
        let part = time.as_secs_f64() / longest.as_secs_f64().max(1.0);
        format!("{:.1}", part.min(1.0) * 200.0)
    };
    html! {
        svg.spread viewBox="0 0 200 8" preserveAspectRatio="none" aria-hidden="true" {
            rect.most width=(place(p90)) height="8" {}
            rect.half width=(place(median)) height="8" {}
        }
    }
}
