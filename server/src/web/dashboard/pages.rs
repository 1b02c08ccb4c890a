//! The pages that only show: what each asks the controller for.

use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_TYPE, VARY};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use pinion_core::log::LogEntry;
use pinion_core::name::{EnvironmentId, PinSetName, RolloutId};
use serde::Deserialize;

use super::signed::{MaybeSigned, Signed};
use super::told::{Told, is_stuck, sentence};
use super::views::{
    self, Action, ActionForm, DecisionsPage, EnvironmentPage, OpenRollout, Overview, PinSetPage,
    RolloutPage,
};
use super::{Dashboard, picture};
use crate::controller::{DecisionFilter, DecisionPlace, Refusal};
use crate::store::records::FilingRecord;

/// Rollouts of the overview that have ended.
const ENDED_MAX: usize = 8;
/// Rollouts of a page.
const ROLLOUTS_MAX: usize = 50;
/// Rollouts on the page of a pin set.
const FEW: usize = 12;
/// Pins of a page.
const PINS_MAX: usize = 100;
/// Decisions of a page.
const DECISIONS_MAX: usize = 50;
/// Decisions on the page of a rollout: the last ones.
const HISTORY_MAX: u64 = 500;
/// Decisions that are read at once.
const READ_MAX: usize = 100;
/// Pages that one can turn to.
const PAGE_MAX: usize = 100_000;

/// `/`: the overview to browsers, and to machines what there is.
pub(super) async fn front(
    State(dashboard): State<Dashboard>,
    MaybeSigned(signed): MaybeSigned,
    headers: HeaderMap,
) -> Response {
    let accepted = headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    if !accepted.is_some_and(|accepted| accepted.contains("text/html")) {
        let headers = [(CONTENT_TYPE, crate::web::TEXT), (VARY, "accept")];
        return (headers, crate::web::FRONT).into_response();
    }
    let Some(signed) = signed else {
        return axum::response::Redirect::to("/sign-in").into_response();
    };
    match overview(&dashboard, &signed).await {
        Ok(page) => page,
        Err(refusal) => signed.refused(&refusal),
    }
}

async fn overview(dashboard: &Dashboard, signed: &Signed) -> Result<Response, Refusal> {
    let (controller, caller) = (&dashboard.controller, &signed.caller);
    let rollouts = controller.visible_rollouts(caller, None, false)?;
    let mut open = Vec::new();
    let mut ended: Vec<_> = Vec::new();
    for rollout in &rollouts {
        if !rollout.state.is_open() {
            ended.push(rollout);
            continue;
        }
        open.push(OpenRollout {
            told: Told::of(controller, caller, &rollout.id).await?,
            exposure: controller.exposure(caller, &rollout.id)?,
        });
    }
    open.sort_by_cached_key(|open| (open.told.health(), open.told.rollout.created_at));
    ended.sort_by_key(|rollout| std::cmp::Reverse(rollout.updated_at));
    let mut told = Vec::new();
    for rollout in ended.iter().take(ENDED_MAX) {
        told.push(Told::of(controller, caller, &rollout.id).await?);
    }
    let snapshot = controller.snapshot();
    let last_filings = rollouts
        .iter()
        .filter_map(|rollout| snapshot.filing_of(&rollout.id));
    let stuck = last_filings.filter(|filing| is_stuck(&filing.record));
    let pin_sets = controller.visible_pin_sets(caller)?.into_iter();
    let page = Overview {
        open,
        ended: told,
        stuck: stuck
            .map(|filing| FilingRecord::clone(&filing.record))
            .collect(),
        pin_sets: pin_sets
            .map(|entry| {
                let name = &entry.stored.record.name;
                let counts = snapshot.environment_counts(name);
                let open = snapshot.open_rollouts(name).len();
                (entry, counts, open)
            })
            .collect(),
        forges: controller.list_forges(caller)?,
        may_act: signed.may_act(),
    };
    let headline = page.headline();
    Ok(signed.page("Overview", &headline, views::overview(&page)))
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct RolloutsQuery {
    #[serde(default)]
    page: usize,
    #[serde(default)]
    pin_set: String,
}

pub(super) async fn rollouts(
    State(dashboard): State<Dashboard>,
    signed: Signed,
    Query(query): Query<RolloutsQuery>,
) -> Response {
    let listed = async {
        let pin_set = optional("pin_set", &query.pin_set)?;
        let visible =
            dashboard
                .controller
                .visible_rollouts(&signed.caller, pin_set.as_ref(), false)?;
        let first = query.page.min(PAGE_MAX) * ROLLOUTS_MAX;
        let mut told = Vec::new();
        for rollout in visible.iter().skip(first).take(ROLLOUTS_MAX) {
            told.push(Told::of(&dashboard.controller, &signed.caller, &rollout.id).await?);
        }
        let more = visible.len() > first + ROLLOUTS_MAX;
        let body = views::rollouts(&told, pin_set.as_ref(), query.page, more);
        Ok(signed.page("Rollouts", "", body))
    };
    listed
        .await
        .unwrap_or_else(|refusal: Refusal| signed.refused(&refusal))
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct RolloutQuery {
    /// The form that is open, by its action.
    #[serde(default)]
    open: String,
}

pub(super) async fn rollout(
    State(dashboard): State<Dashboard>,
    Path(id): Path<String>,
    signed: Signed,
    Query(RolloutQuery { open }): Query<RolloutQuery>,
) -> Response {
    let form = Action::of_path(&open).map(|action| ActionForm {
        action,
        reason: String::new(),
        share: String::new(),
        fault: None,
    });
    let page = async {
        let id = name("rollout", &id)?;
        rollout_page(&dashboard, &signed, &id, form).await
    };
    page.await
        .unwrap_or_else(|refusal| signed.refused(&refusal))
}

/// The page of a rollout, with a form that is open.
pub(super) async fn rollout_page(
    dashboard: &Dashboard,
    signed: &Signed,
    id: &RolloutId,
    form: Option<ActionForm>,
) -> Result<Response, Refusal> {
    let (controller, caller) = (&dashboard.controller, &signed.caller);
    let told = Told::of(controller, caller, id).await?;
    let skipped = told.rollout.decisions.saturating_sub(HISTORY_MAX);
    let decisions = history(dashboard, signed, id, skipped).await?;
    let partners = told.rollout.epoch.iter().flat_map(|epoch| &epoch.partners);
    let partners = partners
        .filter_map(|partner| controller.visible_rollout(caller, partner).ok())
        .collect();
    let page = RolloutPage {
        exposure: controller.exposure(caller, id)?,
        pictures: picture::pictures(&told, &decisions),
        has_older: skipped > 0,
        decisions,
        partners,
        may_act: signed.may_act(),
        csrf: signed.session.csrf.clone(),
        form,
        told,
    };
    let headline = page.told.headline();
    Ok(signed.page(&page.told.candidate(), &headline, views::rollout(&page)))
}

/// The decisions of a rollout after some, oldest first.
async fn history(
    dashboard: &Dashboard,
    signed: &Signed,
    id: &RolloutId,
    mut after: u64,
) -> Result<Vec<LogEntry>, Refusal> {
    let mut decisions = Vec::new();
    loop {
        let read = dashboard
            .controller
            .decisions(&signed.caller, id, after, READ_MAX);
        let (entries, more) = read.await?;
        decisions.extend(entries);
        match decisions.last() {
            Some(last) if more => after = last.sequence,
            _ => return Ok(decisions),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct PinSetQuery {
    #[serde(default)]
    q: String,
    #[serde(default)]
    page: usize,
}

pub(super) async fn pin_set(
    State(dashboard): State<Dashboard>,
    Path(pin_set): Path<String>,
    signed: Signed,
    Query(PinSetQuery { q, page }): Query<PinSetQuery>,
) -> Response {
    let controller = &dashboard.controller;
    let shown = async {
        let name: PinSetName = name("pin_set", &pin_set)?;
        let entry = controller.visible_pin_set(&signed.caller, &name)?;
        let snapshot = controller.snapshot();
        let rollouts = controller.visible_rollouts(&signed.caller, Some(&name), false)?;
        let mut told = Vec::new();
        for rollout in rollouts.iter().take(FEW) {
            told.push(Told::of(controller, &signed.caller, &rollout.id).await?);
        }
        let looked_for = q.trim().to_lowercase();
        let matching = entry
            .baseline
            .iter()
            .filter(|pin| pin.package.written().to_lowercase().contains(&looked_for));
        let matching: Vec<_> = matching.cloned().collect();
        let first = page.min(PAGE_MAX) * PINS_MAX;
        let page = PinSetPage {
            environments: snapshot.environment_counts(&name),
            following: controller.following(&name),
            tracking: controller.tracking(&entry),
            blocks: snapshot
                .blocks(&name)
                .into_iter()
                .map(|block| block.record.as_ref().clone())
                .collect(),
            rollouts: told,
            open: snapshot.open_rollouts(&name).len(),
            search: q,
            found: matching.len(),
            more: matching.len() > first + PINS_MAX,
            pins: matching.into_iter().skip(first).take(PINS_MAX).collect(),
            page,
            entry,
        };
        let title = format!("Pin set {name}");
        Ok(signed.page(&title, "", views::pin_set(&page)))
    };
    shown
        .await
        .unwrap_or_else(|refusal: Refusal| signed.refused(&refusal))
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct EnvironmentQuery {
    #[serde(default)]
    id: String,
    #[serde(default)]
    package: String,
    #[serde(default)]
    pin_set: String,
}

pub(super) async fn environment(
    State(dashboard): State<Dashboard>,
    signed: Signed,
    Query(query): Query<EnvironmentQuery>,
) -> Response {
    let pin_sets = match dashboard.controller.visible_pin_sets(&signed.caller) {
        Ok(entries) => entries,
        Err(refusal) => return signed.refused(&refusal),
    };
    let names = pin_sets
        .iter()
        .map(|entry| entry.stored.record.name.clone());
    let mut page = EnvironmentPage {
        id: query.id.trim().to_owned(),
        package: query.package.trim().to_owned(),
        pin_set: query.pin_set,
        pin_sets: names.collect(),
        ..EnvironmentPage::default()
    };
    if let Err(refusal) = explain(&dashboard, &signed, &mut page) {
        page.fault = Some(sentence(&refusal.to_string()));
    }
    signed.page("Why this version?", "", views::environment(&page))
}

fn explain(
    dashboard: &Dashboard,
    signed: &Signed,
    page: &mut EnvironmentPage,
) -> Result<(), Refusal> {
    let (controller, caller) = (&dashboard.controller, &signed.caller);
    let id: Option<EnvironmentId> = optional("id", &page.id)?;
    let mut pin_set: Option<PinSetName> = optional("pin_set", &page.pin_set)?;
    if let Some(id) = &id {
        let environment = controller.environment(caller, Some(id))?;
        // An environment follows one pin set, whatever else was chosen.
        pin_set = Some(environment.pin_set.clone());
        for rollout in controller.visible_rollouts(caller, pin_set.as_ref(), true)? {
            let Some(change) = rollout.changes.first() else {
                continue;
            };
            let package = change.package.written();
            let explained = controller.explain(caller, pin_set.as_ref(), package, Some(id))?;
            let of_rollout = explained.explanations.into_iter();
            let mut of_rollout = of_rollout.filter(|one| one.rollout.id == rollout.id);
            page.trials.extend(of_rollout.next());
        }
        page.environment = Some(environment);
    }
    if !page.package.is_empty() {
        let package = &page.package;
        let explained = controller.explain(caller, pin_set.as_ref(), package, id.as_ref())?;
        page.explained = Some(explained);
    }
    Ok(())
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct DecisionsQuery {
    #[serde(default)]
    pin_set: String,
    #[serde(default)]
    actor: String,
    #[serde(default)]
    action: String,
    #[serde(default)]
    before: String,
}

pub(super) async fn decisions(
    State(dashboard): State<Dashboard>,
    signed: Signed,
    Query(query): Query<DecisionsQuery>,
) -> Response {
    let controller = &dashboard.controller;
    let shown = async {
        let filter = DecisionFilter {
            pin_set: optional("pin_set", &query.pin_set)?,
            actor: text(&query.actor),
            action: text(&query.action),
        };
        let before: Option<DecisionPlace> = optional("before", &query.before)?;
        let page = controller
            .decision_log(&signed.caller, &filter, before.as_ref(), DECISIONS_MAX)
            .await?;
        let next = page.next.as_ref().map(|place| {
            let quoted = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
            format!(
                "/decisions?pin_set={}&actor={}&action={}&before={place}",
                quoted(&query.pin_set),
                quoted(&query.actor),
                quoted(&query.action)
            )
        });
        let pin_sets = controller.visible_pin_sets(&signed.caller)?.into_iter();
        let page = DecisionsPage {
            filter,
            page,
            pin_sets: pin_sets
                .map(|entry| entry.stored.record.name.clone())
                .collect(),
            next,
            is_first: before.is_none(),
        };
        Ok(signed.page("Decisions", "", views::decisions(&page)))
    };
    shown
        .await
        .unwrap_or_else(|refusal: Refusal| signed.refused(&refusal))
}

/// What was typed, if anything was.
fn text(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

fn name<T>(field: &str, text: &str) -> Result<T, Refusal>
where
    T: std::str::FromStr,
    T::Err: ToString,
{
    text.trim()
        .parse()
        .map_err(|error: T::Err| Refusal::invalid(field, error))
}

fn optional<T>(field: &str, text: &str) -> Result<Option<T>, Refusal>
where
    T: std::str::FromStr,
    T::Err: ToString,
{
    match text.trim() {
        "" => Ok(None),
        text => name(field, text).map(Some),
    }
}
