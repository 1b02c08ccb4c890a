//! `pinion audit`: what was done, as a list, as JSON lines, and whether it is still what it was.

use std::process::ExitCode;

use pinion_client::{Connection, v1};
use serde_json::{Value, json};

use crate::args::audit::{Audit, Kind, Selection};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::times::to_wire_time;
use crate::view;

pub(super) async fn audit(session: &Session, args: Audit) -> Result<ExitCode, Failure> {
    match args {
        Audit::List(selection) => list(session, &selection).await,
        Audit::Export {
            selection,
            only,
            rollout,
        } => export(session, &selection, only, rollout).await,
        Audit::Verify => verify(session).await,
    }
}

async fn list(session: &Session, selection: &Selection) -> Result<ExitCode, Failure> {
    let connection = session.connect()?;
    let mut entries = Vec::new();
    let mut request = selection.request();
    loop {
        let response = page(&connection, &request).await?;
        entries.extend(response.entries);
        request.page_token = response.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    session
        .terminal
        .answers(&entries, || match entries.is_empty() {
            true => "nothing was done\n".to_owned(),
            false => entries.iter().map(view::audit_entry).collect(),
        });
    Ok(Exit::Ok.into())
}

async fn page(
    connection: &Connection,
    request: &v1::ListAuditEntriesRequest,
) -> Result<v1::ListAuditEntriesResponse, Failure> {
    let mut client = connection.audit();
    Ok(connection
        .answer(client.list_audit_entries(request.clone()))
        .await?)
}

/// Page by page, so that a long history takes no memory.
async fn export(
    session: &Session,
    selection: &Selection,
    only: Option<Kind>,
    rollout: Option<String>,
) -> Result<ExitCode, Failure> {
    let connection = session.connect()?;
    if let Some(id) = rollout {
        let mut client = connection.rollouts();
        let request = v1::GetRolloutRequest { id };
        let response = connection.answer(client.get_rollout(request)).await?;
        let rollout = response.rollout.unwrap_or_default();
        export_decisions(session, &connection, selection, &rollout).await?;
        return Ok(Exit::Ok.into());
    }
    if only != Some(Kind::Decisions) {
        let mut request = selection.request();
        loop {
            let response = page(&connection, &request).await?;
            for entry in &response.entries {
                print(session, act_line(entry)?);
            }
            request.page_token = response.next_page_token;
            if request.page_token.is_empty() {
                break;
            }
        }
    }
    if only != Some(Kind::Acts) {
        export_rollouts(session, &connection, selection).await?;
    }
    Ok(Exit::Ok.into())
}

async fn export_rollouts(
    session: &Session,
    connection: &Connection,
    selection: &Selection,
) -> Result<(), Failure> {
    let mut client = connection.rollouts();
    let mut request = v1::ListRolloutsRequest {
        pin_set: selection.pin_set.clone(),
        ..Default::default()
    };
    loop {
        let response = connection
            .answer(client.list_rollouts(request.clone()))
            .await?;
        for rollout in &response.rollouts {
            let changed = rollout.update_time.as_ref().map(|time| time.seconds);
            let is_older = selection
                .since()
                .is_some_and(|since| changed.is_some_and(|changed| changed < since.as_second()));
            if !is_older {
                export_decisions(session, connection, selection, rollout).await?;
            }
        }
        request.page_token = response.next_page_token;
        if request.page_token.is_empty() {
            return Ok(());
        }
    }
}

async fn export_decisions(
    session: &Session,
    connection: &Connection,
    selection: &Selection,
    rollout: &v1::Rollout,
) -> Result<(), Failure> {
    let mut client = connection.rollouts();
    let mut request = v1::ListDecisionsRequest {
        rollout: rollout.id.clone(),
        ..Default::default()
    };
    loop {
        let response = connection
            .answer(client.list_decisions(request.clone()))
            .await?;
        for decision in &response.decisions {
            if selection.covers(decision.time.as_ref()) {
                print(session, decision_line(rollout, decision)?);
            }
        }
        request.page_token = response.next_page_token;
        if request.page_token.is_empty() {
            return Ok(());
        }
    }
}

async fn verify(session: &Session) -> Result<ExitCode, Failure> {
    let connection = session.connect()?;
    let mut client = connection.audit();
    let response = connection
        .answer(client.verify_audit_entries(v1::VerifyAuditEntriesRequest {}))
        .await?;
    session
        .terminal
        .answer(&response, || view::audit_checked(&response));
    Ok(match response.problems.is_empty() {
        true => Exit::Ok,
        false => Exit::Refused,
    }
    .into())
}

fn print(session: &Session, line: Value) {
    session.terminal.print(&format!("{line}\n"));
}

fn act_line(entry: &v1::AuditEntry) -> Result<Value, Failure> {
    Ok(json!({
        "kind": "act",
        "sequence": entry.sequence,
        "time": time(entry.time.as_ref()),
        "actor": entry.actor,
        "act": entry.act,
        "pin_set": entry.pin_set,
        "summary": entry.summary,
        "detail": parsed(&entry.act_json)?,
        "reason": entry.reason,
        "hash": entry.hash,
        "previous_hash": entry.previous_hash,
    }))
}

fn decision_line(rollout: &v1::Rollout, decision: &v1::Decision) -> Result<Value, Failure> {
    let changes: Vec<String> = rollout.changes.iter().map(view::change).collect();
    Ok(json!({
        "kind": "decision",
        "rollout": rollout.id,
        "pin_set": rollout.pin_set,
        "changes": changes,
        "sequence": decision.sequence,
        "time": time(decision.time.as_ref()),
        "actor": decision.actor,
        "action": decision.action,
        "reason": decision.reason,
        "detail": parsed(&decision.reason_json)?,
        "share_before": decision.share_before,
        "share_after": decision.share_after,
        "epoch": decision.epoch,
        "folded_revision": decision.folded_revision,
        "evidence": parsed(&decision.evidence_json)?,
        "cells_sha256": decision.cells_sha256,
        "hash": decision.hash,
        "previous_hash": decision.previous_hash,
    }))
}

fn parsed(text: &str) -> Result<Value, Failure> {
    serde_json::from_str(text).map_err(|error| {
        Failure::new(
            Exit::Refused,
            format!("the server sent what is no JSON: {error}"),
        )
    })
}

/// RFC 3339, in UTC, with milliseconds; null where there is none.
fn time(time: Option<&prost_types::Timestamp>) -> Value {
    let time = time.and_then(|time| jiff::Timestamp::new(time.seconds, time.nanos).ok());
    time.map_or(Value::Null, |time| format!("{time:.3}").into())
}

impl Selection {
    fn since(&self) -> Option<jiff::Timestamp> {
        self.since
            .map(|moment| moment.before(jiff::Timestamp::now()))
    }

    fn until(&self) -> Option<jiff::Timestamp> {
        self.until
            .map(|moment| moment.before(jiff::Timestamp::now()))
    }

    fn request(&self) -> v1::ListAuditEntriesRequest {
        v1::ListAuditEntriesRequest {
            pin_set: self.pin_set.clone(),
            since: self.since().map(to_wire_time),
            until: self.until().map(to_wire_time),
            ..Default::default()
        }
    }

    fn covers(&self, time: Option<&prost_types::Timestamp>) -> bool {
        let time = time.and_then(|time| jiff::Timestamp::new(time.seconds, time.nanos).ok());
        time.is_none_or(|time| {
            self.since().is_none_or(|since| time >= since)
                && self.until().is_none_or(|until| time < until)
        })
    }
}
