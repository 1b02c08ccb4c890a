//! The first page: which rollouts are open, how far, how they fare, what they wait for. And the list of all.

use maud::{Markup, html};
use pinion_core::draw::Share;
use pinion_core::ecosystem::Ecosystem;
use pinion_core::name::PinSetName;
use pinion_core::numbers::{counted, percent, ratio};

use super::parts::{
    ago, badge, facts, filing, moment, nothing, pages, rollout_link, share_bar, table, words,
};
use crate::controller::{Exposure, ForgeListing};
use crate::snapshot::PinSetEntry;
use crate::store::records::FilingRecord;
use crate::web::dashboard::told::{Health, Told};

/// A rollout that is open.
#[derive(Debug)]
pub(in crate::web::dashboard) struct OpenRollout {
    pub(in crate::web::dashboard) told: Told,
    pub(in crate::web::dashboard) exposure: Exposure,
}

/// What the page shows.
#[derive(Debug)]
pub(in crate::web::dashboard) struct Overview {
    /// Those in trouble first.
    pub(in crate::web::dashboard) open: Vec<OpenRollout>,
    /// The last to end first.
    pub(in crate::web::dashboard) ended: Vec<Told>,
    /// Changes that wait for a person.
    pub(in crate::web::dashboard) stuck: Vec<FilingRecord>,
    /// Each with its environments, those that report, and its open rollouts.
    pub(in crate::web::dashboard) pin_sets: Vec<(PinSetEntry, (u32, u32), usize)>,
    pub(in crate::web::dashboard) forges: Vec<ForgeListing>,
    pub(in crate::web::dashboard) may_act: bool,
    pub(in crate::web::dashboard) csrf: String,
}

impl Overview {
    /// The page in one sentence.
    pub(in crate::web::dashboard) fn headline(&self) -> String {
        let count = |is: fn(&Health) -> bool| {
            let open = self.open.iter();
            open.filter(|open| is(&open.told.health())).count() as u64
        };
        let trouble = count(|health| matches!(health, Health::Trouble(_)));
        let person = count(|health| matches!(health, Health::Person(_)));
        let waiting = count(|health| matches!(health, Health::Waiting(_)));
        let course = count(|health| matches!(health, Health::OnCourse));
        let verb = |n: u64, one: &str, many: &str| match n {
            1 => one.to_owned(),
            _ => many.to_owned(),
        };
        let mut parts = Vec::new();
        for (n, words) in [
            (trouble, verb(trouble, "is in trouble", "are in trouble")),
            (person, verb(person, "needs a person", "need a person")),
            (waiting, verb(waiting, "waits", "wait")),
            (course, verb(course, "is on course", "are on course")),
        ] {
            match (n, parts.is_empty()) {
                (0, _) => {}
                (n, true) => parts.push(format!("{} {words}", counted(n, "rollout"))),
                (n, false) => parts.push(format!("{n} {words}")),
            }
        }
        match (parts.is_empty(), self.stuck.len() as u64) {
            (true, 0) => "No rollout is open".to_owned(),
            (true, n) => format!("No rollout is open; {} a person", stuck(n)),
            (false, 0) => parts.join(", "),
            (false, n) => format!("{}; {} a person", parts.join(", "), stuck(n)),
        }
    }
}

fn stuck(n: u64) -> String {
    let verb = if n == 1 { "needs" } else { "need" };
    format!("{} {verb}", counted(n, "filed change"))
}

/// The page.
pub(in crate::web::dashboard) fn overview(page: &Overview) -> Markup {
    html! {
        h1 { (page.headline()) }
        @if page.open.is_empty() {
            div.nothing {
                p { "Nothing is on trial: every environment has the baseline." }
                @if page.may_act && !page.pin_sets.is_empty() {
                    p { "To try a version, start a rollout on the page of a pin set." }
                }
            }
        } @else {
            h2.hidden { "Open rollouts" }
            ul.cards {
                @for open in &page.open { (card(open, page.may_act)) }
            }
        }
        @if !page.stuck.is_empty() {
            h2 { "Filed changes that need a person" }
            (table("They stopped, or somebody declined them; who may act files them again on the rollout's page.",
                &["Change", "Where it stands"],
                page.stuck.iter().map(|change| vec![
                    html! { a href={ "/rollouts/" (change.rollout) "#filed" } { (change.subject) } },
                    filing(change),
                ])))
        }
        h2 { "Recently ended" }
        @if page.ended.is_empty() {
            p.quiet { "None has ended yet." }
        } @else {
            (ended(&page.ended))
            p { a href="/rollouts" { "All rollouts" } }
        }
        h2 { "Pin sets" }
        @if page.pin_sets.is_empty() {
            div.nothing {
                p { "There is none yet." }
            }
        } @else {
            (pin_sets(page))
        }
        @if page.may_act { (new_pin_set(page)) }
        @if !page.forges.is_empty() {
            h2 { "Forges" }
            (table("Where changes are filed.", &["Name", "Kind", "Project", "Pin sets", "Open changes"],
                page.forges.iter().map(|forge| vec![
                    words(&forge.name), words(&forge.kind), html! { code { (forge.project) } },
                    words(forge.pin_sets.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
                    words(forge.open_filings),
                ])))
        }
    }
}

/// The form that makes a pin set.
fn new_pin_set(page: &Overview) -> Markup {
    html! {
        details.action.alone #new-pin-set {
            summary { "Make a pin set…" }
            form method="post" action="/pin-sets" {
                input type="hidden" name="csrf" value=(page.csrf);
                p { "It is empty, follows no file and has the default policy; its pins are imported next." }
                div {
                    label for="new-name" { "Name " span.hint { "a-z, 0-9, - and ." } }
                    input #new-name name="name" required maxlength="63" autocomplete="off" spellcheck="false";
                }
                div {
                    label for="new-ecosystem" { "Ecosystem" }
                    select #new-ecosystem name="ecosystem" {
                        @for ecosystem in Ecosystem::ALL { option value=(ecosystem) { (ecosystem) } }
                    }
                }
                div { button.go type="submit" { "Make it" } }
            }
        }
    }
}

fn card(open: &OpenRollout, may_act: bool) -> Markup {
    let told = &open.told;
    let rollout = &told.rollout;
    let health = told.health();
    html! {
        li class={ "card " (health.class()) } #{ "card-" (rollout.id) } data-rollout=(rollout.id) {
            div.head {
                h3 { (rollout_link(rollout)) }
                (badge(&health))
                span.quiet { "in " a href={ "/pin-sets/" (rollout.pin_set) } { (rollout.pin_set) } }
                @if may_act {
                    a.end href={ "/rollouts/" (rollout.id) "?open=abort#act-abort" } {
                        "Stop…" span.hidden { " " (told.candidate()) }
                    }
                }
            }
            div.bar {
                (share_bar(rollout.share(), &stages(told)))
                span.share-words { (rollout.share()) }
            }
            (facts([
                // Of what goes as planned, what happens next says why.
                ("Why", if health == Health::OnCourse { nothing() } else { words(told.why()) }),
                ("Next", words(told.next())),
                ("Who has it", words(who(&open.exposure))),
                ("Failed", failed(told)),
            ]))
        }
    }
}

/// Who has a candidate, in words.
pub(super) fn who(exposure: &Exposure) -> String {
    match exposure.exposed {
        0 => format!(
            "nobody of {}",
            counted(u64::from(exposure.environments), "environment")
        ),
        exposed => format!(
            "{exposed} of {} ({})",
            counted(u64::from(exposure.environments), "environment"),
            percent(f64::from(exposed) / f64::from(exposure.environments), 1)
        ),
    }
}

/// What failed on both sides and what that is worth.
fn failed(told: &Told) -> Markup {
    let Some(evidence) = told
        .evidence()
        .filter(|evidence| evidence.windows.log_threshold > 0.0)
    else {
        return nothing();
    };
    let (exposed, control, leading) = (
        &evidence.exposed_total,
        &evidence.control_total,
        evidence.leading(),
    );
    html! {
        (exposed.failed) " of " (exposed.reporting) " with the candidate, "
        (control.failed) " of " (control.reporting) " with the baseline: evidence of harm "
        (ratio(leading.log_e)) ", a rollback takes " (ratio(leading.log_threshold))
    }
}

/// The points of the path, those behind and those ahead.
pub(super) fn stages(told: &Told) -> Vec<Share> {
    let ahead = told.standing.iter().flat_map(|standing| &standing.ahead);
    let behind = told.rollout.shares.iter().copied();
    behind.chain(ahead.map(|(_, share)| *share)).collect()
}

fn ended(ended: &[Told]) -> Markup {
    let rows = ended.iter().map(|told| {
        vec![
            rollout_link(&told.rollout),
            words(&told.rollout.pin_set),
            badge(&told.health()),
            words(told.why()),
            ago(told.rollout.updated_at, told.now),
        ]
    });
    table(
        "The last to end first.",
        &["Candidate", "Pin set", "Ended as", "Why", "When"],
        rows,
    )
}

fn pin_sets(page: &Overview) -> Markup {
    let rows = page.pin_sets.iter().map(|(entry, (all, reporting), open)| {
        let record = &entry.stored.record;
        vec![
            html! { a href={ "/pin-sets/" (record.name) } { (record.name) } },
            words(record.ecosystem),
            words(entry.baseline.iter().count()),
            words(format!("{all}, of which {reporting} report")),
            words(open),
        ]
    });
    table(
        "What environments follow.",
        &["Name", "Ecosystem", "Pins", "Environments", "Open rollouts"],
        rows,
    )
}

/// All rollouts, a page of them.
pub(in crate::web::dashboard) fn rollouts(
    told: &[Told],
    pin_set: Option<&PinSetName>,
    page: usize,
    more: bool,
) -> Markup {
    let rows = told.iter().map(|told| {
        vec![
            rollout_link(&told.rollout),
            html! { a href={ "/pin-sets/" (told.rollout.pin_set) } { (told.rollout.pin_set) } },
            badge(&told.health()),
            words(told.rollout.share()),
            words(told.why()),
            moment(told.rollout.created_at),
        ]
    });
    html! {
        h1 { "Rollouts" @if let Some(name) = pin_set { " of " (name) } }
        @if told.is_empty() {
            p.quiet { "There is none." }
        } @else {
            (table("The newest first.", &["Candidate", "Pin set", "Stands", "Share", "Why", "Started"], rows))
            @let of = pin_set.map(|name| format!("&pin_set={name}")).unwrap_or_default();
            (pages(|page| format!("/rollouts?page={page}{of}"), page, more))
        }
    }
}
