//! The page of a pin set and its queue, and what people do there: freeze, lift a block, take something out of the queue.

use axum::Form;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use pinion_core::ecosystem::Ecosystem;
use pinion_core::name::PinSetName;
use pinion_core::policy::Policy;
use pinion_core::time::Timestamp;
use serde::Deserialize;

use super::Dashboard;
use super::actions::forged;
use super::pages::{PAGE_MAX, name};
use super::signed::Signed;
use super::told::{Told, sentence};
use super::views::{self, Block, PinSetPage, QueuePage, SetAction, SetForm};
use crate::controller::Refusal;

/// Rollouts on the page of a pin set.
const FEW: usize = 12;
/// Pins of a page.
const PINS_MAX: usize = 100;

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
    Query(query): Query<PinSetQuery>,
) -> Response {
    let page = async {
        let name = name("pin_set", &pin_set)?;
        pin_set_page(&dashboard, &signed, &name, query, None).await
    };
    page.await
        .unwrap_or_else(|refusal| signed.refused(&refusal))
}

async fn pin_set_page(
    dashboard: &Dashboard,
    signed: &Signed,
    name: &PinSetName,
    PinSetQuery { q, page }: PinSetQuery,
    form: Option<SetForm>,
) -> Result<Response, Refusal> {
    let (controller, caller) = (&dashboard.controller, &signed.caller);
    let entry = controller.visible_pin_set(caller, name)?;
    let snapshot = controller.snapshot();
    let rollouts = controller.visible_rollouts(caller, Some(name), false)?;
    let mut told = Vec::new();
    for rollout in rollouts.iter().take(FEW) {
        told.push(Told::of(controller, caller, &rollout.id).await?);
    }
    let looked_for = q.trim().to_lowercase();
    let matching = entry
        .baseline
        .iter()
        .filter(|pin| pin.package.written().to_lowercase().contains(&looked_for));
    let matching: Vec<_> = matching.cloned().collect();
    let first = page.min(PAGE_MAX) * PINS_MAX;
    let block = |block: &crate::snapshot::Stored<_>| Block {
        missing: controller.lift_votes_missing(&block.record),
        record: block.record.as_ref().clone(),
    };
    let page = PinSetPage {
        environments: snapshot.environment_counts(name),
        following: controller.following(name),
        tracking: controller.tracking(&entry),
        blocks: snapshot.blocks(name).into_iter().map(block).collect(),
        freeze: snapshot.freeze(name, controller.clock.now()).cloned(),
        rollouts: told,
        open: snapshot.open_rollouts(name).len(),
        search: q,
        found: matching.len(),
        more: matching.len() > first + PINS_MAX,
        pins: matching.into_iter().skip(first).take(PINS_MAX).collect(),
        page,
        may_act: signed.may_act(),
        csrf: signed.session.csrf.clone(),
        form,
        entry,
    };
    let title = format!("Pin set {name}");
    Ok(signed.page(&title, "", views::pin_set(&page)))
}

pub(super) async fn queue(
    State(dashboard): State<Dashboard>,
    Path(pin_set): Path<String>,
    signed: Signed,
) -> Response {
    let page = async {
        let name = name("pin_set", &pin_set)?;
        queue_page(&dashboard, &signed, &name, None).await
    };
    page.await
        .unwrap_or_else(|refusal| signed.refused(&refusal))
}

async fn queue_page(
    dashboard: &Dashboard,
    signed: &Signed,
    name: &PinSetName,
    form: Option<SetForm>,
) -> Result<Response, Refusal> {
    let controller = &dashboard.controller;
    let page = QueuePage {
        waiting: controller.queue(&signed.caller, name).await?,
        pin_set: name.clone(),
        now: controller.clock.now(),
        may_act: signed.may_act(),
        csrf: signed.session.csrf.clone(),
        form,
    };
    let title = format!("Queue of {name}");
    Ok(signed.page(&title, "", views::queue(&page)))
}

/// A pin set that is to be made, as it was typed.
#[derive(Debug, Deserialize)]
pub(super) struct New {
    #[serde(default)]
    csrf: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    ecosystem: String,
}

/// Makes an empty pin set with the default policy.
pub(super) async fn create(
    State(dashboard): State<Dashboard>,
    signed: Signed,
    Form(new): Form<New>,
) -> Response {
    if !signed.has_sent(&new.csrf) {
        return forged(&signed);
    }
    let made = async {
        let ecosystem: Ecosystem = name("ecosystem", &new.ecosystem)?;
        let name: PinSetName = name("name", &new.name)?;
        let policy = Policy::default();
        dashboard
            .controller
            .create_pin_set(&signed.caller, &name, ecosystem, (policy, None), false)
            .await?;
        Ok(name)
    };
    match made.await {
        Ok(name) => Redirect::to(&format!("/pin-sets/{name}/import")).into_response(),
        Err(refusal) => signed.refused(&refusal),
    }
}

/// A form of a pin set that was sent.
#[derive(Debug, Deserialize)]
pub(super) struct Sent {
    #[serde(default)]
    csrf: String,
    #[serde(default)]
    reason: String,
    /// Of a freeze.
    #[serde(default)]
    until: String,
    /// Of a lift, and of what leaves the queue: several are set apart by blanks.
    #[serde(default)]
    package: String,
    #[serde(default)]
    version: String,
}

/// Does what a form asks for. Whatever comes of it, nothing that was typed is lost.
pub(super) async fn act(
    State(dashboard): State<Dashboard>,
    Path((pin_set, verb)): Path<(String, String)>,
    signed: Signed,
    Form(sent): Form<Sent>,
) -> Response {
    if !signed.has_sent(&sent.csrf) {
        return forged(&signed);
    }
    let name: PinSetName = match name("pin_set", &pin_set) {
        Ok(name) => name,
        Err(refusal) => return signed.refused(&refusal),
    };
    let Some(action) = SetAction::of_path(&verb) else {
        let refusal = Refusal::invalid("action", format!("there is no `{verb}`"));
        return signed.refused(&refusal);
    };
    match done(&dashboard, &signed, &name, action, &sent).await {
        Ok(note) => {
            dashboard.sessions.leave_note(&signed.session.id, note);
            Redirect::to(&action.page(&name)).into_response()
        }
        Err(refusal) => {
            let form = SetForm {
                action,
                reason: sent.reason,
                until: sent.until,
                package: sent.package,
                version: sent.version,
                fault: sentence(&refusal.to_string()),
            };
            let page = match action {
                SetAction::Drop => queue_page(&dashboard, &signed, &name, Some(form)).await,
                _ => {
                    let query = PinSetQuery::default();
                    pin_set_page(&dashboard, &signed, &name, query, Some(form)).await
                }
            };
            match page {
                Ok(page) => (crate::web::status_of(&refusal), page).into_response(),
                Err(refusal) => signed.refused(&refusal),
            }
        }
    }
}

/// Does it, and says what was done.
async fn done(
    dashboard: &Dashboard,
    signed: &Signed,
    name: &PinSetName,
    action: SetAction,
    sent: &Sent,
) -> Result<String, Refusal> {
    let (controller, caller) = (&dashboard.controller, &signed.caller);
    let reason = sent.reason.trim();
    match action {
        SetAction::Freeze => {
            let until = moment("until", &sent.until)?;
            controller
                .freeze_pin_set(caller, name, until, reason)
                .await?;
            Ok(format!(
                "{name} is frozen: no share is raised. Stopping is not delayed."
            ))
        }
        SetAction::Unfreeze => {
            controller.unfreeze_pin_set(caller, name, reason).await?;
            Ok(format!("{name} is no longer frozen."))
        }
        SetAction::Lift => {
            let (package, version) = (&sent.package, &sent.version);
            if reason.is_empty() {
                return Err(Refusal::invalid("reason", "say why, for the log"));
            }
            let lift = controller
                .lift_block(caller, name, package, version, reason)
                .await?;
            Ok(match lift.missing {
                0 => format!("{package} {version} may be tried again."),
                missing => format!("{package} {version} stays blocked: {missing} more must ask."),
            })
        }
        SetAction::Drop => {
            let packages: Vec<String> =
                sent.package.split_whitespace().map(str::to_owned).collect();
            controller.drop_wanted(caller, name, &packages).await?;
            Ok(format!("{} is no longer waiting.", packages.join(", ")))
        }
    }
}

/// A moment that was typed, in UTC where it does not say otherwise; none where nothing was typed.
pub(super) fn moment(field: &str, text: &str) -> Result<Option<Timestamp>, Refusal> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let parsed = text
        .parse::<jiff::Timestamp>()
        .or_else(|_| format!("{text}Z").parse());
    let at = parsed.map_err(|_| {
        Refusal::invalid(
            field,
            format!("`{text}` is no moment; write it as 2026-12-01 08:00, in UTC"),
        )
    })?;
    Ok(Some(Timestamp::from_unix_ms(at.as_millisecond())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_taken_as_people_and_as_programs_write_them() {
        let read = |text| moment("until", text).expect(text);
        assert_eq!(read(" "), None);
        let at = read("2026-12-01 08:00").expect("a moment");
        assert_eq!(read("2026-12-01T08:00"), Some(at));
        assert_eq!(at.to_string(), "2026-12-01 08:00 UTC");
        assert_eq!(read("2026-12-01T08:00:00Z"), Some(at));
        assert_eq!(read("2026-12-01T09:00:00+01:00"), Some(at));
        assert!(moment("until", "tomorrow").is_err());
    }
}
