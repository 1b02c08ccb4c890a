//! A candidate's pins, in place while a job runs.

use std::ffi::OsString;

use pinion_client::adapters::{Applied, Effect, Project, Tool};
use pinion_client::{Pins, v1};
use tempfile::TempDir;

use crate::command::apply;
use crate::command::undo::tell_restored;
use crate::failure::Failure;
use crate::session::Session;

/// Pins for one job.
pub(super) struct Pinned {
    applied: Applied,
    /// Where overlays and journals are of a checkout that has not joined; it goes with the job.
    state: Option<TempDir>,
}

impl Pinned {
    /// Puts pins in place, instead of those that this checkout has from a sync.
    pub(super) fn put(
        session: &Session,
        pins: &Pins,
        named: Option<Tool>,
    ) -> Result<Self, Failure> {
        let (project, state) = project(session)?;
        let tool = apply::choose(session, &project, pins.ecosystem, named)?;
        let applied = tool.apply(&project, pins, Effect::Resolved)?;
        Ok(Self { applied, state })
    }

    /// The variables that a command needs to see the pins.
    pub(super) fn environment(&self) -> Vec<(OsString, OsString)> {
        self.applied.overlay().environment()
    }

    /// The packages of the candidate that are there in other versions, in words; says so where nobody can tell.
    pub(super) fn missed(&self, session: &Session, changes: &[v1::PackageChange]) -> Vec<String> {
        let verification = match self.applied.verify() {
            Ok(verification) => verification,
            Err(error) => {
                let words = format!("it is not known whether the candidate took: {error}");
                session.terminal.warn(words);
                return Vec::new();
            }
        };
        let of_candidate = |pin: &v1::Pin| {
            let mut changes = changes.iter();
            changes.any(|change| change.package == pin.package && change.marker == pin.marker)
        };
        let missed = verification.missed.iter();
        missed
            .filter(|missed| of_candidate(&missed.pin))
            .map(|missed| {
                let (pin, found) = (&missed.pin, missed.found.join(", "));
                format!("{} {found} is there, not {}", pin.package, pin.version)
            })
            .collect()
    }

    /// Undoes what was for the job alone.
    pub(super) fn end(self, session: &Session) {
        match self.applied.undo() {
            Ok(undone) => tell_restored(session, &undone),
            Err(error) => {
                session.terminal.warn(&error);
                match self.state.map(TempDir::keep) {
                    Some(kept) => session.terminal.warn(format_args!(
                        "what the files held is in `{}`",
                        kept.display()
                    )),
                    None => session.terminal.warn("`pinion undo` tries again"),
                }
            }
        }
    }
}

/// The checkout, with its own state if it has joined: then what a sync applied gives way to the candidate.
fn project(session: &Session) -> Result<(Project, Option<TempDir>), Failure> {
    if let Some(checkout) = session.checkout()? {
        return Ok((checkout.project(), None));
    }
    let dir = &session.globals.dir;
    let root = std::fs::canonicalize(dir).map_err(|cause| Failure::file("open", dir, &cause))?;
    let folder = std::env::temp_dir();
    let state = tempfile::Builder::new()
        .prefix("pinion-gate-")
        .tempdir_in(&folder)
        .map_err(|cause| Failure::file("write in", &folder, &cause))?;
    Ok((Project::new(root, state.path()), Some(state)))
}
