//! A pin set: what its environments get, where that comes from, what is blocked, what was tried.

use maud::{Markup, html};
use pinion_core::calendar::StandingFreeze;
use pinion_core::numbers::counted;
use pinion_core::pin::Pin;

use super::parts::{ago, badge, facts, frozen, moment, nothing, pages, rollout_link, table, words};
use super::set_action::{SetAction, SetForm, Shown};
use crate::controller::{Following, Tracking};
use crate::snapshot::PinSetEntry;
use crate::store::records::{BlockRecord, SourceRecord};
use crate::web::dashboard::told::Told;

/// Yanked pins that are listed, at most.
const LISTED_MAX: usize = 20;

/// What the page shows.
#[derive(Debug)]
pub(in crate::web::dashboard) struct PinSetPage {
    pub(in crate::web::dashboard) entry: PinSetEntry,
    /// All, and those that report.
    pub(in crate::web::dashboard) environments: (u32, u32),
    pub(in crate::web::dashboard) following: Option<Following>,
    pub(in crate::web::dashboard) tracking: Option<Tracking>,
    pub(in crate::web::dashboard) blocks: Vec<Block>,
    pub(in crate::web::dashboard) freeze: Option<StandingFreeze>,
    /// The newest first, a few.
    pub(in crate::web::dashboard) rollouts: Vec<Told>,
    pub(in crate::web::dashboard) open: usize,
    /// What is looked for.
    pub(in crate::web::dashboard) search: String,
    pub(in crate::web::dashboard) found: usize,
    pub(in crate::web::dashboard) pins: Vec<Pin>,
    pub(in crate::web::dashboard) page: usize,
    pub(in crate::web::dashboard) more: bool,
    pub(in crate::web::dashboard) may_act: bool,
    pub(in crate::web::dashboard) csrf: String,
    /// A form that was refused.
    pub(in crate::web::dashboard) form: Option<SetForm>,
}

/// A version that is blocked.
#[derive(Debug)]
pub(in crate::web::dashboard) struct Block {
    pub(in crate::web::dashboard) record: BlockRecord,
    /// How many more people have to ask before it is lifted.
    pub(in crate::web::dashboard) missing: u32,
}

/// The page.
pub(in crate::web::dashboard) fn pin_set(page: &PinSetPage) -> Markup {
    let record = &page.entry.stored.record;
    let name = &record.name;
    let (all, reporting) = page.environments;
    let shown = Shown {
        pin_set: name,
        csrf: &page.csrf,
        form: page.form.as_ref(),
    };
    html! {
        p.crumb { a href="/" { "Overview" } }
        h1 { "Pin set " (name) }
        (facts([
            ("Ecosystem", words(record.ecosystem)),
            ("Revision", html! { (record.revision) ", changed " (moment(record.updated_at)) }),
            ("Environments", words(format!("{all}, of which {reporting} report"))),
            ("Frozen", page.freeze.as_ref().map_or_else(nothing, |freeze| html! { strong { (frozen(freeze)) } })),
            ("Rollouts", words(format!("{} open", page.open))),
            ("Waiting", html! { a href={ "/pin-sets/" (name) "/queue" } { (counted(page.entry.queue.len() as u64, "package")) " in the queue" } }),
            ("Policy", html! { a href={ "/pin-sets/" (name) "/policy" } { "what holds here, and what to expect of it" } }),
            ("History", html! {
                a href={ "/figures?pin_set=" (name) } { "delivery figures" } ", "
                a href={ "/decisions?pin_set=" (name) } { "decisions" }
            }),
            ("Source", match &record.source { Some(source) => source_in_words(source), None => words("none: changes are filed nowhere") }),
            ("Following", page.following.as_ref().map_or_else(nothing, following)),
            ("Tracking", page.tracking.as_ref().map_or_else(nothing, tracking)),
            ("Without a client", html! { code { "/pin-sets/" (name) "/constraints.txt" } }),
        ]))
        (shown.orphan(|form| page.may_act && is_shown(page, form)))
        @if page.may_act {
            section aria-labelledby="do" {
                h2 #do { "What you can do" }
                div.actions {
                    a.action-link href={ "/pin-sets/" (name) "/start" } { "Start a rollout" }
                    a.action-link href={ "/pin-sets/" (name) "/import" } { "Import a file of pins" }
                    (shown.freeze(page.freeze.is_some()))
                }
            }
        }
        h2 { "Rollouts" }
        @if page.rollouts.is_empty() {
            p.quiet { "None yet." }
        } @else {
            (table("The newest first.", &["Candidate", "Stands", "Share", "Why", "Started"],
                page.rollouts.iter().map(|told| vec![
                    rollout_link(&told.rollout), badge(&told.health()), words(told.rollout.share()), words(told.why()),
                    ago(told.rollout.created_at, told.now),
                ])))
            p { a href={ "/rollouts?pin_set=" (name) } { "All rollouts of " (name) } }
        }
        h2 { "Blocked versions" }
        @if page.blocks.is_empty() {
            p.quiet { "None." }
        } @else {
            (blocks(page, &shown))
        }
        h2 #pins { "Pins" }
        form.inline method="get" action={ "/pin-sets/" (name) "#pins" } role="search" {
            div {
                label for="q" { "Package contains" }
                input #q type="search" name="q" value=(page.search) maxlength="100";
            }
            div { button type="submit" { "Find" } }
        }
        @if page.found == 0 {
            p.nothing { @if page.search.is_empty() { "It has no pins yet." } @else { "No package matches." } }
        } @else {
            (table(&format!("{} pins", page.found), &["Package", "Version", "Where", ""],
                page.pins.iter().map(|pin| vec![
                    words(pin.package.written()), html! { code { (pin.version) } },
                    pin.marker.as_ref().map_or_else(nothing, |marker| html! { code { (marker) } }),
                    html! { a href={ "/environments?pin_set=" (name) "&package=" (pin.package.written()) } { "Why?" span.hidden { " " (pin.package.written()) } } },
                ])))
            (pages(|at| format!("/pin-sets/{name}?q={}&page={at}#pins", query(&page.search)), page.page, page.more))
        }
        @if !page.entry.verbatim.is_empty() {
            p.quiet { (page.entry.verbatim.len()) " lines that are no pins are served as they stand." }
        }
    }
}

fn blocks(page: &PinSetPage, shown: &Shown<'_>) -> Markup {
    let mut heads = vec![
        "Package",
        "Version",
        "Since",
        "Rollout",
        "Why",
        "Asked to lift",
    ];
    if page.may_act {
        heads.push("");
    }
    let rows = page.blocks.iter().map(|block| {
        let record = &block.record;
        let package = record.package.written();
        let version = record.version.to_string();
        let mut row = vec![
            words(package),
            words(&version),
            moment(record.at),
            html! { a.mono href={ "/rollouts/" (record.rollout) } { (record.rollout) } },
            words(&record.reason),
            votes(block),
        ];
        if page.may_act {
            row.push(shown.lift(package, &version, block.missing));
        }
        row
    });
    table(
        "Never proposed again until somebody lifts the block.",
        &heads,
        rows,
    )
}

/// Who has asked for it to be lifted, and how many more have to; nothing where nobody has.
fn votes(block: &Block) -> Markup {
    let names = block
        .record
        .lift_votes
        .iter()
        .map(|vote| vote.by.to_string());
    let names: Vec<String> = names.collect();
    match names.is_empty() {
        true => nothing(),
        false => words(format!(
            "{} asked, {} more must",
            names.join(", "),
            block.missing
        )),
    }
}

/// Whether the form of what was refused is on the page still.
fn is_shown(page: &PinSetPage, form: &SetForm) -> bool {
    match form.action {
        SetAction::Freeze => page.freeze.is_none(),
        SetAction::Unfreeze => page.freeze.is_some(),
        SetAction::Lift => page.blocks.iter().any(|block| {
            block.record.package.written() == form.package
                && block.record.version.to_string() == form.version
        }),
        SetAction::Drop => false,
    }
}

fn query(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

fn source_in_words(source: &SourceRecord) -> Markup {
    html! {
        (source.forge) ", branch " (source.branch) ", " code { (source.path) }
        @if let Some(path) = &source.exclusions_path { "; exclusions in " code { (path) } }
        @if source.follow { "; followed" }
    }
}

fn following(following: &Following) -> Markup {
    html! {
        @match (following.commit.get(..12), following.read_at) {
            (Some(commit), Some(at)) => { "commit " code { (commit) } ", read " (moment(at)) }
            _ => { "not read yet" }
        }
        @if !following.problem.is_empty() { "; " strong { (following.problem) } }
    }
}

fn tracking(tracking: &Tracking) -> Markup {
    html! {
        "the index has answered for " (tracking.answered) " of " (tracking.packages) " packages"
        @if tracking.unread > 0 {
            "; nothing is tried until it is read what " (tracking.unread) " pins need"
        }
        @if !tracking.problem.is_empty() { "; " strong { (tracking.problem) } }
        @for yanked in tracking.yanked.iter().take(LISTED_MAX) { br; strong { (yanked) } }
    }
}
