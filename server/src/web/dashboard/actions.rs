//! What people ask of a rollout, as forms. The controller decides whether it may be done.

use axum::Form;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use http::StatusCode;
use maud::html;
use pinion_core::draw::Share;
use pinion_core::name::RolloutId;
use pinion_core::rollout::Rollout;
use serde::Deserialize;

use super::signed::Signed;
use super::views::{Action, ActionForm};
use super::{Dashboard, pages};
use crate::controller::{MissingApprovals, Refusal, Verb};

/// A form that was sent.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Sent {
    #[serde(default)]
    csrf: String,
    /// The rollout's revision that the form was made for.
    expected_revision: u64,
    #[serde(default)]
    reason: String,
    /// Of a promotion: to which share; empty: to the next planned one.
    #[serde(default)]
    share: String,
    /// Of a promotion: to go past missing approvals; anything means yes.
    #[serde(default)]
    past_approvals: String,
}

/// Does what a form asks for. Whatever comes of it, nothing that was typed is lost.
pub(super) async fn act(
    State(dashboard): State<Dashboard>,
    Path((id, verb)): Path<(String, String)>,
    signed: Signed,
    Form(sent): Form<Sent>,
) -> Response {
    if !signed.has_sent(&sent.csrf) {
        return forged(&signed);
    }
    let id: RolloutId = match id.parse() {
        Ok(id) => id,
        Err(error) => return signed.refused(&Refusal::invalid("rollout", error)),
    };
    let Some(action) = Action::of_path(&verb) else {
        let refusal = Refusal::invalid("action", format!("there is no `{verb}`"));
        return signed.refused(&refusal);
    };
    match done(&dashboard, &signed, &id, action, &sent).await {
        Ok(rollout) => {
            let note = action.done(&rollout);
            dashboard.sessions.leave_note(&signed.session.id, note);
            Redirect::to(&format!("/rollouts/{id}")).into_response()
        }
        Err(refusal) => {
            let form = ActionForm {
                action,
                reason: sent.reason,
                share: sent.share,
                past_approvals: !sent.past_approvals.is_empty(),
                fault: Some(super::told::sentence(&refusal.to_string())),
            };
            let page = pages::rollout_page(&dashboard, &signed, &id, Some(form)).await;
            match page {
                Ok(page) => (crate::web::status_of(&refusal), page).into_response(),
                Err(refusal) => signed.refused(&refusal),
            }
        }
    }
}

async fn done(
    dashboard: &Dashboard,
    signed: &Signed,
    id: &RolloutId,
    action: Action,
    sent: &Sent,
) -> Result<std::sync::Arc<Rollout>, Refusal> {
    let controller = &dashboard.controller;
    let Some(verb) = action.verb() else {
        let (caller, revision) = (&signed.caller, sent.expected_revision);
        return controller
            .file_rollout(caller, id, revision, &sent.reason)
            .await;
    };
    let verb = match verb {
        Verb::Promote { .. } => Verb::Promote {
            share: share(&sent.share)?,
            approvals: match sent.past_approvals.is_empty() {
                true => MissingApprovals::Respect,
                false => MissingApprovals::Override,
            },
        },
        verb => verb,
    };
    let (caller, revision) = (&signed.caller, sent.expected_revision);
    controller
        .act(caller, id, verb, revision, &sent.reason)
        .await
}

fn share(text: &str) -> Result<Option<Share>, Refusal> {
    if text.is_empty() {
        return Ok(None);
    }
    let share = text
        .parse()
        .map_err(|_| Refusal::invalid("share", format!("`{text}` is no number")))?;
    let share = Share::new(share).map_err(|error| Refusal::invalid("share", error))?;
    Ok(Some(share))
}

/// What is answered to a form that no page of this session has made.
pub(super) fn forged(signed: &Signed) -> Response {
    let title = "Nothing was done";
    let body = html! {
        h1 { (title) }
        div.fault role="alert" {
            p { "This form does not belong to your session: you may have signed out and in again since it was made. "
                "Open the page again and repeat it there." }
        }
        p { a href="/" { "To the overview" } }
    };
    (StatusCode::FORBIDDEN, signed.page(title, title, body)).into_response()
}

/// The page on which a form stands, by where it is sent.
pub(super) fn page_of_form(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').collect();
    match parts.as_slice() {
        // These have a page of their own.
        ["", "pin-sets", _, "start" | "import"] => path.to_owned(),
        ["", place @ ("rollouts" | "pin-sets"), name, _] => format!("/{place}/{name}"),
        _ => "/".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_must_sign_in_first_comes_back_to_the_page_of_the_form() {
        assert_eq!(page_of_form("/rollouts/ro-1/abort"), "/rollouts/ro-1");
        assert_eq!(page_of_form("/pin-sets/nova/freeze"), "/pin-sets/nova");
        assert_eq!(page_of_form("/pin-sets/nova/start"), "/pin-sets/nova/start");
        assert_eq!(page_of_form("/sign-out"), "/");
    }

    #[test]
    fn a_share_is_a_number_between_nobody_and_everybody() {
        assert_eq!(share("").expect("none"), None);
        assert_eq!(share("0.25").expect("a share"), Some(Share::clamped(0.25)));
        for refused in ["x", "2", "-1", "NaN"] {
            assert!(share(refused).is_err(), "{refused}");
        }
    }
}
