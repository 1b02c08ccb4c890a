//! `pinion verify`: which pins really took.

use std::process::ExitCode;

use pinion_client::adapters::{Missed, Tool, Verification};
use pinion_client::v1::Pin;

use crate::checkout::Taken;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::table::Table;

use super::apply;

pub(super) fn verify(session: &Session) -> Result<ExitCode, Failure> {
    let checkout = session.joined()?;
    let kept = apply::kept(&checkout)?;
    let pins = apply::pins(checkout.saved_pins()?.as_ref())?;
    let verification = kept.verify(&checkout.project(), &pins.pins)?;
    checkout.save_taken(&Taken::of(&pins.etag, &verification))?;
    if session.terminal.is_json() {
        session.terminal.print(&format!(
            "{:#}\n",
            json(kept.tool(), &pins.etag, &verification)
        ));
    } else {
        if !verification.missed.is_empty() {
            let table = table(&verification.missed);
            session.terminal.print(&session.terminal.table(&table, ""));
        }
        let summary = apply::summary(&verification);
        session
            .terminal
            .print(&format!("{}: {summary}\n", kept.tool()));
    }
    Ok(match verification.missed.is_empty() {
        true => Exit::Ok.into(),
        false => Exit::Refused.into(),
    })
}

fn table(missed: &[Missed]) -> Table {
    let mut table = Table::new(["did not take", "pinned", "there is", "why"]);
    for Missed { pin, found, reason } in missed {
        table.row([
            pin.package.clone(),
            pin.version.clone(),
            found.join(", "),
            reason.clone().unwrap_or_else(|| "not known".to_owned()),
        ]);
    }
    table
}

fn json(tool: Tool, etag: &str, verification: &Verification) -> serde_json::Value {
    let pins = |pins: &[Pin]| -> Vec<_> { pins.iter().map(pinion_proto::to_json).collect() };
    let missed = |missed: &Missed| {
        serde_json::json!({
            "package": missed.pin.package,
            "version": missed.pin.version,
            "marker": missed.pin.marker,
            "found": missed.found,
            "reason": missed.reason,
        })
    };
    serde_json::json!({
        "tool": tool.as_str(),
        "etag": etag,
        "took": pins(&verification.took),
        "missed": verification.missed.iter().map(missed).collect::<Vec<_>>(),
        "unused": pins(&verification.unused),
    })
}
