//! Importing a file of pins: what it would do is shown first, and confirmed then.

use axum::Form;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use pinion_core::name::PinSetName;
use serde::Deserialize;

use super::Dashboard;
use super::actions::forged;
use super::pages::name;
use super::signed::Signed;
use super::told::sentence;
use super::trials::needs;
use super::views::{self, ImportPage};
use crate::controller::{Import, Imported, NewerVersions, Refusal, UnkeptLines};
use crate::store::records::Role;

/// Bytes of a form with a file in it, at most: in a form, many characters take three.
pub(super) const BYTES_MAX: usize = 3 * pinion_core::constraints::FILE_BYTES_MAX;

/// A file, as it is pasted.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Sent {
    #[serde(default)]
    csrf: String,
    #[serde(default)]
    content: String,
    #[serde(default)]
    requires: String,
    /// Anything means yes.
    #[serde(default)]
    keep_unkept: String,
    #[serde(default)]
    supersede: String,
    #[serde(default)]
    at_once: String,
    /// The revision that the check was made on; 0: it was not checked yet, and nothing is changed.
    #[serde(default)]
    expected_revision: u64,
    /// `import` changes something; anything else only checks.
    #[serde(default)]
    step: String,
}

pub(super) async fn form(
    State(dashboard): State<Dashboard>,
    Path(pin_set): Path<String>,
    signed: Signed,
) -> Response {
    let shown = || {
        let name = name("pin_set", &pin_set)?;
        signed.caller.require(&[Role::ReleaseManager])?;
        page(&dashboard, &signed, &name, &Sent::default(), None)
    };
    shown().unwrap_or_else(|refusal| signed.refused(&refusal))
}

/// Checks the file, or takes its pins.
pub(super) async fn import(
    State(dashboard): State<Dashboard>,
    Path(pin_set): Path<String>,
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
    let only_checks = sent.step != "import";
    let imported = async {
        let import = asked(&name, &sent, only_checks)?;
        dashboard
            .controller
            .import_pins(&signed.caller, &import)
            .await
    };
    match imported.await {
        Ok(imported) if only_checks => {
            let shown = page(&dashboard, &signed, &name, &sent, Some(Ok(imported)));
            shown.unwrap_or_else(|refusal| signed.refused(&refusal))
        }
        Ok(imported) => {
            let note = views::imported_in_words(&imported);
            dashboard.sessions.leave_note(&signed.session.id, note);
            Redirect::to(&format!("/pin-sets/{name}")).into_response()
        }
        Err(refusal) => {
            let status = crate::web::status_of(&refusal);
            match page(&dashboard, &signed, &name, &sent, Some(Err(refusal))) {
                Ok(page) => (status, page).into_response(),
                Err(refusal) => signed.refused(&refusal),
            }
        }
    }
}

fn page(
    dashboard: &Dashboard,
    signed: &Signed,
    name: &PinSetName,
    sent: &Sent,
    checked: Option<Result<Imported, Refusal>>,
) -> Result<Response, Refusal> {
    let controller = &dashboard.controller;
    let entry = controller.visible_pin_set(&signed.caller, name)?;
    let (checked, fault) = match checked {
        Some(Ok(imported)) => (Some(imported), None),
        Some(Err(refusal)) => (None, Some(sentence(&refusal.to_string()))),
        None => (None, None),
    };
    let page = ImportPage {
        pin_set: name.clone(),
        revision: entry.stored.record.revision,
        csrf: signed.session.csrf.clone(),
        content: sent.content.clone(),
        requires: sent.requires.clone(),
        keep_unkept: !sent.keep_unkept.is_empty(),
        supersede: !sent.supersede.is_empty(),
        at_once: !sent.at_once.is_empty(),
        checked,
        fault,
    };
    let title = format!("Import into {name}");
    Ok(signed.page(&title, "", views::import(&page)))
}

fn asked(name: &PinSetName, sent: &Sent, validate_only: bool) -> Result<Import, Refusal> {
    if sent.content.trim().is_empty() {
        return Err(Refusal::invalid("content", "paste the lines of the file"));
    }
    Ok(Import {
        name: name.clone(),
        // Forms have every line end as two characters.
        content: sent.content.replace("\r\n", "\n"),
        expected_revision: if validate_only {
            0
        } else {
            sent.expected_revision
        },
        unkept_lines: match sent.keep_unkept.is_empty() {
            true => UnkeptLines::Refuse,
            false => UnkeptLines::KeepVerbatim,
        },
        supersede: !sent.supersede.is_empty(),
        validate_only,
        newer: match sent.at_once.is_empty() {
            true => NewerVersions::Try,
            false => NewerVersions::TakeAtOnce,
        },
        requires: needs(&sent.requires)?,
    })
}
