//! Starting a rollout: what is asked for is shown with its rules first, and confirmed then.

use axum::Form;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use pinion_core::name::PinSetName;
use pinion_core::pin::{split_candidate, split_need};
use pinion_core::reason::Reason;
use pinion_core::rollout::Lane;
use serde::Deserialize;

use super::Dashboard;
use super::actions::forged;
use super::pages::name;
use super::pin_sets::moment;
use super::signed::Signed;
use super::told::sentence;
use super::views::{self, StartPage, Trial};
use crate::controller::{Candidate, Declared, NewRollout, Refusal};

/// A trial, as it is typed.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    csrf: String,
    /// One `PACKAGE==VERSION` a line.
    #[serde(default)]
    candidates: String,
    /// One `PACKAGE: NEEDS` a line.
    #[serde(default)]
    requires: String,
    #[serde(default)]
    published: String,
    /// Anything means yes.
    #[serde(default)]
    security: String,
    #[serde(default)]
    downgrade: String,
    /// The pin set's revision that was looked at.
    #[serde(default)]
    expected_revision: u64,
}

/// The form; with something in it also what would be started.
pub(super) async fn form(
    State(dashboard): State<Dashboard>,
    Path(pin_set): Path<String>,
    signed: Signed,
    Query(asked): Query<Asked>,
) -> Response {
    let shown = async {
        let name: PinSetName = name("pin_set", &pin_set)?;
        signed
            .caller
            .require(&[crate::store::records::Role::ReleaseManager])?;
        page(&dashboard, &signed, &name, asked, None).await
    };
    shown
        .await
        .unwrap_or_else(|refusal: Refusal| signed.refused(&refusal))
}

/// Starts it.
pub(super) async fn start(
    State(dashboard): State<Dashboard>,
    Path(pin_set): Path<String>,
    signed: Signed,
    Form(asked): Form<Asked>,
) -> Response {
    if !signed.has_sent(&asked.csrf) {
        return forged(&signed);
    }
    let name: PinSetName = match name("pin_set", &pin_set) {
        Ok(name) => name,
        Err(refusal) => return signed.refused(&refusal),
    };
    let started = async {
        let new = new_rollout(&name, &asked, false)?;
        dashboard
            .controller
            .create_rollout(&signed.caller, &new)
            .await
    };
    match started.await {
        Ok((rollout, superseded)) => {
            let mut note = "Started: what it waits for is told below.".to_owned();
            for id in superseded {
                note.push_str(&format!(" Rollout {id} ended as superseded."));
            }
            dashboard.sessions.leave_note(&signed.session.id, note);
            Redirect::to(&format!("/rollouts/{}", rollout.id)).into_response()
        }
        Err(refusal) => {
            let fault = sentence(&refusal.to_string());
            match page(&dashboard, &signed, &name, asked, Some(fault)).await {
                Ok(page) => (crate::web::status_of(&refusal), page).into_response(),
                Err(refusal) => signed.refused(&refusal),
            }
        }
    }
}

async fn page(
    dashboard: &Dashboard,
    signed: &Signed,
    name: &PinSetName,
    asked: Asked,
    fault: Option<String>,
) -> Result<Response, Refusal> {
    let controller = &dashboard.controller;
    let entry = controller.visible_pin_set(&signed.caller, name)?;
    let mut page = StartPage {
        pin_set: name.clone(),
        revision: entry.stored.record.revision,
        has_security_lane: entry.stored.record.policy.security.is_some(),
        csrf: signed.session.csrf.clone(),
        fault,
        trial: None,
        is_security: !asked.security.is_empty(),
        is_downgrade: !asked.downgrade.is_empty(),
        candidates: asked.candidates.clone(),
        requires: asked.requires.clone(),
        published: asked.published.clone(),
    };
    let is_asked = !asked.candidates.trim().is_empty();
    if is_asked && page.fault.is_none() {
        let checked = async {
            let new = new_rollout(name, &asked, true)?;
            controller.create_rollout(&signed.caller, &new).await
        };
        match checked.await {
            Ok((rollout, superseded)) => {
                page.trial = Some(Trial {
                    rollout,
                    superseded,
                })
            }
            Err(refusal) => page.fault = Some(sentence(&refusal.to_string())),
        }
    }
    let title = format!("Start a rollout in {name}");
    Ok(signed.page(&title, "", views::start(&page)))
}

fn new_rollout(
    pin_set: &PinSetName,
    asked: &Asked,
    validate_only: bool,
) -> Result<NewRollout, Refusal> {
    let published_at = moment("published", &asked.published)?;
    let candidate = |line: &str| {
        let Some((package, version, marker)) = split_candidate(line) else {
            let cause = format!("`{line}` is no candidate; write it as requests==2.32.0");
            return Err(Refusal::invalid("candidates", cause));
        };
        Ok(Candidate {
            package: package.to_owned(),
            version: version.to_owned(),
            marker: marker.to_owned(),
            published_at,
        })
    };
    let lane = match asked.security.is_empty() {
        true => Lane::Ordinary,
        false => Lane::Security,
    };
    Ok(NewRollout {
        pin_set: pin_set.clone(),
        candidates: lines(&asked.candidates)
            .map(candidate)
            .collect::<Result<_, _>>()?,
        allow_downgrade: !asked.downgrade.is_empty(),
        expected_revision: asked.expected_revision,
        validate_only,
        lane,
        origin: None,
        reason: match lane {
            Lane::Ordinary => Reason::Created,
            Lane::Security => Reason::CreatedForSecurity,
        },
        requires: needs(&asked.requires)?,
    })
}

/// What versions need, one a line.
pub(super) fn needs(text: &str) -> Result<Vec<Declared>, Refusal> {
    let need = |line: &str| match split_need(line) {
        Some((package, needs)) => Ok(Declared {
            package: package.to_owned(),
            needs: needs.to_owned(),
        }),
        None => Err(Refusal::invalid(
            "requires",
            format!("`{line}` is no requirement; write it as MarkupSafe: Jinja2>=3"),
        )),
    };
    lines(text).map(need).collect()
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_becomes_a_trial_line_by_line() {
        let asked = Asked {
            candidates: " requests==2.32.0\n\nurllib3==2.0 ; python_version > '3.8'\n".to_owned(),
            requires: "requests: urllib3>=2".to_owned(),
            security: "yes".to_owned(),
            ..Asked::default()
        };
        let set: PinSetName = "set".parse().expect("a name");
        let new = new_rollout(&set, &asked, true).expect("a trial");
        let packages: Vec<&str> = new.candidates.iter().map(|one| &*one.package).collect();
        assert_eq!(packages, ["requests", "urllib3"]);
        assert_eq!(new.candidates[1].marker, "python_version > '3.8'");
        assert_eq!((new.lane, new.requires.len()), (Lane::Security, 1));
        for wrong in ["requests", "requests>=2"] {
            let asked = Asked {
                candidates: wrong.to_owned(),
                ..Asked::default()
            };
            assert!(new_rollout(&set, &asked, true).is_err(), "{wrong}");
        }
    }
}
