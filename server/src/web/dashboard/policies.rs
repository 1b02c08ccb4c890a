//! The page of a policy: what it says, what it comes to for a candidate, and what to expect of it.

use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use pinion_core::name::PinSetName;
use pinion_core::rollout::Lane;
use pinion_core::simulation::svg;
use serde::Deserialize;

use super::Dashboard;
use super::pages::name;
use super::signed::Signed;
use super::simulations::{FLEET, Question};
use super::told::sentence;
use super::views::{self, PolicyPage};
use crate::controller::{Refusal, Resolve};

/// The fleet that is simulated for a pin set that has no such fleet yet.
const FLEET_OTHERWISE: u32 = 500;
/// The part of an environment's days that fail by themselves, in percent.
const FAILING: f64 = 15.0;

#[derive(Debug, Default, Deserialize)]
pub(super) struct Asked {
    /// A candidate, for which overrides are asked.
    #[serde(default)]
    package: String,
    #[serde(default)]
    to: String,
    /// Anything means yes.
    #[serde(default)]
    security: String,
    fleet: Option<u32>,
    /// In percent.
    failing: Option<f64>,
}

pub(super) async fn policy(
    State(dashboard): State<Dashboard>,
    Path(pin_set): Path<String>,
    signed: Signed,
    Query(asked): Query<Asked>,
) -> Response {
    let shown = || {
        let name: PinSetName = name("pin_set", &pin_set)?;
        let page = page(&dashboard, &signed, &name, &asked)?;
        let title = format!("Policy of {name}");
        Ok(signed.page(&title, "", views::policy(&page)))
    };
    shown().unwrap_or_else(|refusal: Refusal| signed.refused(&refusal))
}

fn page(
    dashboard: &Dashboard,
    signed: &Signed,
    name: &PinSetName,
    asked: &Asked,
) -> Result<PolicyPage, Refusal> {
    let (controller, caller) = (&dashboard.controller, &signed.caller);
    let entry = controller.visible_pin_set(caller, name)?;
    let whole = entry.stored.record.policy.clone();
    let (package, to) = (asked.package.trim(), asked.to.trim());
    let is_security = !asked.security.is_empty();
    let resolved = (!package.is_empty() && !to.is_empty()).then(|| {
        let resolve = Resolve {
            pin_set: name.clone(),
            candidates: vec![(package.to_owned(), to.to_owned())],
            lane: match is_security {
                true => Lane::Security,
                false => Lane::Ordinary,
            },
        };
        controller.resolve_policy(caller, &resolve)
    });
    let (resolved, fault) = match resolved {
        Some(Ok(resolved)) => (Some(resolved), None),
        Some(Err(refusal)) => (None, Some(sentence(&refusal.to_string()))),
        None => (None, None),
    };
    let (_, reporting) = controller.snapshot().environment_counts(name);
    let own = FLEET.contains(&reporting).then_some(reporting);
    let fleet = asked.fleet.or(own).unwrap_or(FLEET_OTHERWISE);
    let failing = asked.failing.unwrap_or(FAILING);
    let question = Question {
        policy: resolved
            .as_ref()
            .map_or_else(|| whole.clone(), |resolved| resolved.policy.clone()),
        environments: fleet.clamp(*FLEET.start(), *FLEET.end()),
        failure_rate: failing.clamp(0.1, 90.0) / 100.0,
    };
    let key = question.key();
    let told = std::sync::Arc::clone(controller);
    let answer = dashboard
        .simulations
        .ask(question.clone(), move || told.note_change());
    Ok(PolicyPage {
        pin_set: name.clone(),
        policy: whole,
        package: package.to_owned(),
        to: to.to_owned(),
        is_security,
        resolved,
        fault,
        fleet: question.environments,
        failing: question.failure_rate * 100.0,
        simulation: answer,
        key,
    })
}

/// The picture of a simulation that is done.
pub(super) async fn picture(
    State(dashboard): State<Dashboard>,
    Path(key): Path<String>,
    signed: Signed,
) -> Response {
    let key = key.strip_suffix(".svg").unwrap_or(&key);
    let Some(comparison) = dashboard.simulations.known(key) else {
        let refusal = Refusal::NotFound {
            kind: "picture of a simulation",
            name: key.to_owned(),
            hint: "look at the policy's page, which makes it again",
        };
        return (StatusCode::NOT_FOUND, signed.refused(&refusal)).into_response();
    };
    let headers = [
        (CONTENT_TYPE, "image/svg+xml"),
        // It has its colours in itself, and nothing else.
        (
            CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
        ),
    ];
    (headers, svg(&comparison)).into_response()
}
