//! A rollout's page: what it is, why it stands where it does, who has it, what happens next, how to stop it.

use maud::{Markup, html};
use pinion_core::calendar::StandingFreeze;
use pinion_core::evidence::words::{failures_of, harm_in_words};
use pinion_core::evidence::{Evidence, HarmBounds, Side};
use pinion_core::gate::GateState;
use pinion_core::log::LogEntry;
use pinion_core::numbers::{percent, ratio};
use pinion_core::outcome::Category;
use pinion_core::rollout::{Lane, Rollout};

use super::action::{Action, ActionForm, actions};
use super::decisions::decision_rows;
use super::overview::{stages, who};
use super::parts::rollout_link;
use super::parts::{ago, badge, facts, filing, frozen, moment, nothing, share_bar, table, words};
use crate::controller::{Exposure, GateStanding};
use crate::web::dashboard::picture::Pictures;
use crate::web::dashboard::told::{Told, sentence};

/// What the page shows.
#[derive(Debug)]
pub(in crate::web::dashboard) struct RolloutPage {
    pub(in crate::web::dashboard) told: Told,
    pub(in crate::web::dashboard) exposure: Exposure,
    /// The oldest first.
    pub(in crate::web::dashboard) decisions: Vec<LogEntry>,
    /// Whether older ones were left out.
    pub(in crate::web::dashboard) has_older: bool,
    pub(in crate::web::dashboard) pictures: Pictures,
    /// Other open rollouts that it is watched together with.
    pub(in crate::web::dashboard) partners: Vec<std::sync::Arc<Rollout>>,
    /// What the reader may ask of it as it stands.
    pub(in crate::web::dashboard) allowed: Vec<Action>,
    /// Whether the reader may promote it past approvals that are missing.
    pub(in crate::web::dashboard) may_override: bool,
    /// Of its whole pin set.
    pub(in crate::web::dashboard) freeze: Option<StandingFreeze>,
    /// What its versions need of others, a sentence each.
    pub(in crate::web::dashboard) requires: Vec<String>,
    pub(in crate::web::dashboard) csrf: String,
    /// A form that is open.
    pub(in crate::web::dashboard) form: Option<ActionForm>,
}

/// The page.
pub(in crate::web::dashboard) fn rollout(page: &RolloutPage) -> Markup {
    let told = &page.told;
    let health = told.health();
    html! {
        p.crumb { a href="/" { "Overview" } " / " a href={ "/pin-sets/" (told.rollout.pin_set) } { (told.rollout.pin_set) } }
        h1 { (told.headline()) }
        div class={ "card " (health.class()) } {
            div.head {
                (badge(&health))
                span { "state: " strong { (told.rollout.state.kind()) } }
            }
            div.bar {
                (share_bar(told.rollout.share(), &stages(told)))
                span.share-words { (told.rollout.share()) }
            }
            (standing(page))
        }
        (answers(page))
        (actions(page))
        (pictures(page))
        @if !told.gates.is_empty() { (gates(&told.gates)) }
        (failures(page))
        (filed(told))
        (decisions(page))
        (details(page))
    }
}

/// What holds of it beside its state.
fn standing(page: &RolloutPage) -> Markup {
    let rollout = &page.told.rollout;
    facts([
        (
            "Shadow",
            match rollout.is_shadow() {
                true => words("only played: nobody has the candidate, nothing is blocked or filed"),
                false => nothing(),
            },
        ),
        (
            "Security",
            match rollout.lane {
                Lane::Security => {
                    words("started as a security fix, by the policy's rules for those")
                }
                Lane::Ordinary => nothing(),
            },
        ),
        (
            "Frozen",
            page.freeze
                .as_ref()
                .filter(|_| rollout.state.is_open())
                .map_or_else(nothing, frozen),
        ),
        ("Approvals", approvals(rollout)),
    ])
}

/// Who has approved it, and how many have to; nothing where its policy asks for none.
fn approvals(rollout: &Rollout) -> Markup {
    let policy = &rollout.policy;
    if policy.approvals == 0 {
        return nothing();
    }
    html! {
        (rollout.approvals.len()) " of " (policy.approvals)
        @for (place, one) in rollout.approvals.iter().enumerate() {
            (if place == 0 { ": " } else { ", " }) (one.by) " on " (moment(one.at))
        }
        @if rollout.approvals_missing() > 0 && !policy.approvers.is_empty() {
            "; counts that of " (policy.approvers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
        }
    }
}

fn answers(page: &RolloutPage) -> Markup {
    let told = &page.told;
    html! {
        div.answers {
            section.wide aria-labelledby="why" {
                h2 #why { "Why" }
                p { (told.why()) }
                (way(told))
            }
            section aria-labelledby="affected" {
                h2 #affected { @if told.rollout.state.is_open() { "Who has it now" } @else { "Who had it" } }
                (affected(page))
            }
            section aria-labelledby="next" {
                h2 #next { "What happens next" }
                p { (told.next()) }
                @if let Some(change) = told.filing.as_deref() {
                    p { "Filed change " (filing(change)) }
                }
            }
        }
    }
}

/// How close it is to a rollback.
fn way(told: &Told) -> Markup {
    let (Some(way), Some(evidence)) = (told.way_to_rollback(), told.evidence()) else {
        return nothing();
    };
    const WIDTH: f64 = 1000.0;
    let leading = evidence.leading();
    let done = way.min(1.0) * WIDTH;
    let class = if way >= 0.5 { "far" } else { "done" };
    let is_open = told.rollout.state.is_open();
    html! {
        svg.way viewBox="0 0 1000 16" preserveAspectRatio="none" role="img"
            aria-label={ "the way to a rollback: " (percent(way, 0)) } {
            rect.track width="1000" height="16" rx="4" {}
            rect class=(class) width=(format!("{done:.1}")) height="16" rx="4" {}
        }
        p.small {
            @if is_open {
                (percent(way, 0)) " of the way to a rollback: the evidence of harm is "
            } @else {
                "When it ended, the evidence of harm was "
            }
            (ratio(leading.log_e)) ", a rollback takes " (ratio(leading.log_threshold)) "."
        }
    }
}

fn affected(page: &RolloutPage) -> Markup {
    let (told, exposure) = (&page.told, &page.exposure);
    let is_open = told.rollout.state.is_open();
    let evidence = told.evidence();
    html! {
        @if is_open {
            p { (sentence(&who(exposure))) }
        } @else if let Some(evidence) = evidence {
            p { (sentence(&format!("{} environments, at {} when it was at its largest", evidence.exposed_total.environments, told.rollout.last_share()))) }
        }
        @if let Some(evidence) = evidence {
            @if let (Some(exposed), Some(control)) = (evidence.exposed_total.failed_share(), evidence.control_total.failed_share()) {
                p {
                    "Of those that reported, " strong { (evidence.exposed_total.failed) " of " (evidence.exposed_total.reporting) }
                    " failed (" (percent(exposed, 1)) "); with the baseline "
                    (evidence.control_total.failed) " of " (evidence.control_total.reporting) " (" (percent(control, 1)) ")."
                }
            }
        }
        @let platforms = exposure.by_platform.iter().filter(|(platform, _)| !platform.is_empty());
        @let platforms: Vec<String> = platforms.map(|(platform, count)| format!("{count} on {platform}")).collect();
        @if !platforms.is_empty() { p.small.quiet { (platforms.join(", ")) } }
        @if let Some(ids) = exposure.ids.as_ref().filter(|ids| !ids.is_empty()) {
            details {
                summary { "Which environments" }
                ul.ids {
                    @for id in ids {
                        li { a.mono href={ "/environments?id=" (id) } { (id) } }
                    }
                }
                @if ids.len() < exposure.exposed as usize { p.small.quiet { "The first " (ids.len()) " of " (exposure.exposed) "." } }
            }
        }
    }
}

fn pictures(page: &RolloutPage) -> Markup {
    let Pictures {
        ramp,
        failures,
        evidence,
    } = &page.pictures;
    let told = &page.told;
    let ratio_words = told.way_to_rollback().map(|way| percent(way, 0));
    html! {
        section aria-labelledby="pictures" {
            h2 #pictures { "Over time" }
            noscript { p.quiet { "Pictures are drawn by a script; the table of decisions has the same numbers." } }
            div.pictures {
                (figure("ramp", &ramp.to_string(), "Share of the environments that have it",
                    "Each step is a decision.",
                    &format!("a line of the share over time, now {}", told.rollout.share()),
                    &[("ramp", "share")]))
                (figure("evidence", &evidence.to_string(), "How close it is to a rollback",
                    "At 100 % of the way it is rolled back. Two ways to look for harm: failures by the end of a stage, and each failure as it comes.",
                    &format!("lines of the evidence of harm over time, now at {} of the way to a rollback", ratio_words.unwrap_or_else(|| "0 %".to_owned())),
                    &[("windows", "by windows"), ("events", "by events"), ("limit dash", "rollback")]))
                (figure("failures", &failures.to_string(), "Environments that failed",
                    "Of those that reported, over the whole rollout. Bands: where 95 of 100 such samples would lie; decisions do not go by them.",
                    "lines of the failing share of environments with the candidate and with the baseline; the table of decisions has the numbers",
                    &[("exposed", "with the candidate"), ("control dash", "with the baseline")]))
            }
        }
    }
}

fn figure(
    id: &str,
    data: &str,
    title: &str,
    explanation: &str,
    seen: &str,
    keys: &[(&str, &str)],
) -> Markup {
    html! {
        figure #{ "picture-" (id) } {
            figcaption { (title) span { (explanation) } }
            div.plot role="img" aria-label=(seen) data-plot=(data) data-keep="" {}
            ul.keys {
                @for (class, name) in keys { li class=(class) { (name) } }
            }
        }
    }
}

fn gates(gates: &[GateStanding]) -> Markup {
    let rows = gates.iter().map(|standing| {
        let gate = &standing.gate;
        let state = match (&standing.state, standing.not_before) {
            (GateState::Waiting, Some(time)) => html! { "waiting, not before " (moment(time)) },
            (GateState::Waiting, None) => words("waiting"),
            (GateState::Leased(lease), _) => {
                html! { "run by " (lease.by) " until " (moment(lease.until)) }
            }
            (GateState::Passed, _) => words("✓ passed"),
            (GateState::Failed, _) => words("▲ failed"),
        };
        let runs = html! {
            @for run in &gate.runs {
                p.small {
                    (if run.report.failure.is_some() { "failed" } else { "passed" })
                    " " (moment(run.at)) " by " (run.by)
                    @if run.report.link.starts_with("https://") || run.report.link.starts_with("http://") {
                        ", " a href=(run.report.link) rel="noreferrer" { "its job" }
                    }
                }
            }
        };
        vec![words(&gate.consumer), state, runs]
    });
    html! {
        h2 { "Gates" }
        (table("Consumers whose tests must pass with it before the first environment gets it.", &["Consumer", "Stands", "Runs"], rows))
    }
}

fn failures(page: &RolloutPage) -> Markup {
    let told = &page.told;
    let Some(evidence) = told
        .evidence()
        .filter(|evidence| evidence.windows.log_threshold > 0.0)
    else {
        return nothing();
    };
    let fingerprints = told
        .standing
        .as_ref()
        .map(|standing| standing.fingerprints.as_slice())
        .unwrap_or_default();
    let categories = Category::ALL.into_iter().filter(|category| {
        let at = category.index();
        evidence.exposed_total.by_category[at] + evidence.control_total.by_category[at] > 0
    });
    let categories: Vec<Category> = categories.collect();
    html! {
        h2 { "What failed" }
        (facts([
            ("With the candidate", side(&evidence.exposed_total)),
            ("With the baseline", side(&evidence.control_total)),
            ("Harm", words(harm_in_words(evidence.harm.as_ref()))),
            ("For everybody", words(evidence.harm.as_ref().map(HarmBounds::for_everybody).unwrap_or_default())),
            ("Most of the evidence", words(about(evidence))),
        ]))
        @if !categories.is_empty() {
            (table("Environments by how they failed first.", &["Failed in", "With the candidate", "With the baseline"],
                categories.into_iter().map(|category| vec![
                    words(category),
                    words(evidence.exposed_total.by_category[category.index()]),
                    words(evidence.control_total.by_category[category.index()]),
                ])))
        }
        @if !fingerprints.is_empty() {
            h3 { "What the failures look like" }
            (table("With the candidate, the most frequent first; the same look has the same fingerprint on every machine.",
                &["Fingerprint", "Environments"],
                fingerprints.iter().take(10).map(|(fingerprint, count)| vec![
                    html! { code { (fingerprint) } }, words(count),
                ])))
        }
        @if !page.partners.is_empty() {
            h3 { "Watched together with" }
            p.small.quiet { "Environments that have both tell whether two candidates are harmful only together." }
            ul {
                @for partner in &page.partners {
                    li { (rollout_link(partner)) ", at " (partner.share()) }
                }
            }
        }
    }
}

fn side(side: &Side) -> Markup {
    words(format!(
        "{} failed of {} reporting, {} in all",
        side.failed, side.reporting, side.environments
    ))
}

/// What most of the evidence is about.
fn about(evidence: &Evidence) -> String {
    let leading = evidence.leading();
    if leading.log_e <= 0.0 {
        return String::new();
    }
    failures_of(&leading.target.to_string())
}

fn filed(told: &Told) -> Markup {
    let Some(change) = &told.filing else {
        return nothing();
    };
    html! {
        h2 #filed { "What was filed" }
        p { (filing(change)) }
        details {
            summary { "Its message" }
            div.message { (change.subject) "\n\n" (change.body) }
        }
    }
}

fn decisions(page: &RolloutPage) -> Markup {
    html! {
        h2 { "Decisions" }
        (table("The newest first.", &["No.", "When", "What", "Share", "By", "Why", "With the candidate", "With the baseline", "Evidence of harm"],
            decision_rows(page.decisions.iter().rev())))
        @if page.has_older {
            p.quiet { "Older ones: " code { "pinion rollout history " (page.told.rollout.id) } }
        }
    }
}

fn details(page: &RolloutPage) -> Markup {
    let told = &page.told;
    let rollout = &told.rollout;
    html! {
        h2 { "Details" }
        (facts([
            ("Rollout", html! { code { (rollout.id) } }),
            ("Changes", html! { @for change in &rollout.changes { div { (change) } } }),
            ("Created", match &rollout.origin {
                Some(origin) => html! { (moment(rollout.created_at)) " since " code { (origin.path) } " on " (origin.branch) " has it, commit " code { (origin.commit12()) } },
                None => html! { (moment(rollout.created_at)) " by " (rollout.created_by) },
            }),
            ("Changed", ago(rollout.updated_at, told.now)),
            ("Epoch", match &rollout.epoch {
                Some(epoch) => html! { (epoch.index) ", since " (moment(epoch.since)) },
                None => words("none has begun"),
            }),
            ("Requires", words(page.requires.join("; "))),
            ("Population", rollout.fleet.as_ref().map_or_else(nothing, |fleet| words(fleet.population))),
            ("Revision", words(rollout.decisions)),
            ("Seed SHA-256", html! { code { (rollout.seed.sha256()) } }),
            ("Seed", if rollout.state.is_open() { nothing() } else { html! { code { (rollout.seed.reveal()) } } }),
        ]))
    }
}
