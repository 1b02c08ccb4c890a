//! Applying pins for now, or until they are undone.

use std::fs::{File, TryLockError};
use std::io;

use super::journal::{Insist, Journal, Layer, Restored, UndoError};
use super::kept::Kept;
use super::overlay::Overlay;
use super::pinned::{InvalidPin, Pinned};
use super::pip::CONSTRAINTS;
use super::process::{Place, ToolError};
use super::tool::{DetectError, Tool};
use super::verification::{Reasons, Resolved, Verification};
use super::{Adapter, Project, Put};
use crate::constraints;
use crate::pins::Pins;
use crate::v1;

/// How far pins reach when they are applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The tool's next install or build takes them. npm and yarn cannot resolve without installing.
    Resolved,
    /// What is installed in the checkout has them already; undoing installs what was there.
    Installed,
}

/// Why pins were not applied. Nothing is left of the attempt.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// A pin is none in its ecosystem.
    #[error(transparent)]
    Pin(#[from] InvalidPin),
    /// The tool is for another ecosystem.
    #[error(transparent)]
    Tool(#[from] DetectError),
    /// Another pinion is at work in this checkout.
    #[error("another pinion is at work in this checkout")]
    Busy,
    /// What was kept before could not be undone.
    #[error(transparent)]
    Undo(#[from] UndoError),
    /// An edit that was cut short is still in place.
    #[error("an edit by `{0}` was cut short in this checkout")]
    CutShort(Tool),
    /// The tool, or a file of the checkout, did not go along.
    #[error(transparent)]
    Failed(#[from] ToolError),
    /// It failed, and what had been edited could not be put back.
    #[error("{failure}; and what it had changed could not be put back: {left}")]
    Left {
        /// What failed.
        failure: ToolError,
        /// Why it could not be put back.
        left: Box<UndoError>,
    },
}

/// What undoing did.
#[derive(Debug, Default)]
pub struct Undone {
    /// The files that were put back.
    pub restored: Vec<Restored>,
    /// Why what was installed before could not be installed again, if it could not.
    pub not_installed: Option<ToolError>,
}

/// Pins in place for now: undone when this is dropped.
#[derive(Debug)]
pub struct Applied {
    work: Work,
    pins: Vec<Pinned>,
    /// None once it was undone.
    lock: Option<Lock>,
}

/// Pins in place, and what it takes to undo them.
#[derive(Debug)]
struct Work {
    tool: Tool,
    place: Place,
    overlay: Overlay,
    refused: Reasons,
    layer: Option<Layer>,
    /// What was there before, if something was installed.
    before: Option<Resolved>,
}

/// One pinion at a time changes a checkout; the system lets go when a process dies.
#[derive(Debug)]
struct Lock {
    _file: File,
}

impl Tool {
    /// Applies exactly these pins until the guard is undone or dropped, on top of what is kept.
    ///
    /// Commands of the owner's that should see the pins get [`Applied::overlay`].
    ///
    /// # Errors
    /// As [`ApplyError`] has it; the checkout is then as it was. A pin that the tool refuses is no error: the
    /// others are applied, and [`Applied::verify`] tells.
    pub fn apply(
        self,
        project: &Project,
        pins: &Pins,
        effect: Effect,
    ) -> Result<Applied, ApplyError> {
        let pinned = self.parse(pins)?;
        let lock = Lock::take(project)?.ok_or(ApplyError::Busy)?;
        let place = Place {
            root: project.root.clone(),
            folder: project.state.join("for-now"),
            state: project.state.clone(),
        };
        write_constraints(&place, pins)?;
        let work = Work::begin(self, project, place, &pinned, effect)?;
        Ok(Applied {
            work,
            pins: pinned,
            lock: Some(lock),
        })
    }

    /// Applies pins until [`undo`], in the place of those that are kept already.
    ///
    /// # Errors
    /// As [`ApplyError`] has it. What was kept before is undone first and stays so.
    pub fn keep(self, project: &Project, pins: &Pins, effect: Effect) -> Result<Kept, ApplyError> {
        let pinned = self.parse(pins)?;
        let _lock = Lock::take(project)?.ok_or(ApplyError::Busy)?;
        // What is installed is left for the new pins to replace.
        let (put_back, _) = put_back(project, Insist::No)?;
        let place = Place::lasting(project);
        write_constraints(&place, pins)?;
        let work = Work::begin(self, project, place, &pinned, effect)?;
        let kept = Kept {
            tool: self,
            etag: pins.etag.clone(),
            overlay: work.overlay.clone(),
            refused: work.refused.clone(),
            put_back,
        };
        match kept.store(project) {
            Ok(()) => Ok(kept),
            Err(failure) => Err(work.give_up(failure)),
        }
    }

    fn parse(self, pins: &Pins) -> Result<Vec<Pinned>, ApplyError> {
        self.suits(pins.ecosystem)?;
        Ok(Pinned::parse_all(self.ecosystem(), &pins.pins)?)
    }
}

/// The file that pip and uv are pointed at; it says where it is from, and has the lines that are no pins.
fn write_constraints(place: &Place, pins: &Pins) -> Result<(), ApplyError> {
    if pins.ecosystem != v1::Ecosystem::Pypi {
        return Ok(());
    }
    let text = constraints::render(pins).map_err(|error| InvalidPin {
        package: pins.pin_set.clone(),
        problem: error.to_string(),
    })?;
    place.generate(CONSTRAINTS, &text)?;
    Ok(())
}

impl Place {
    /// Where overlays are that stay.
    pub(super) fn lasting(project: &Project) -> Self {
        Self {
            root: project.root.clone(),
            folder: project.state.clone(),
            state: project.state.clone(),
        }
    }
}

/// Undoes everything that is in place, kept or left behind by a process that died, the newest first.
///
/// # Errors
/// [`UndoError::Changed`] if somebody else changed a file since and it is not insisted; what is newer than
/// that edit is undone by then.
pub fn undo(project: &Project, insist: Insist) -> Result<Undone, UndoError> {
    let _lock = Lock::take(project)?.ok_or(UndoError::Busy)?;
    let kept = Kept::find(project)?.map(|kept| kept.tool);
    let (restored, cut) = put_back(project, insist)?;
    let tool = kept.or(cut).filter(|tool| tool.adapter().always_installs());
    let installed = tool.map(|tool| {
        let place = Place::lasting(project);
        tool.adapter().restore(&place, &Resolved::default())
    });
    Ok(Undone {
        restored,
        not_installed: installed.and_then(Result::err),
    })
}

/// Puts all files back, and says of which tool they were.
fn put_back(project: &Project, insist: Insist) -> Result<(Vec<Restored>, Option<Tool>), UndoError> {
    let mut restored = Vec::new();
    let mut tool = None;
    for layer in Journal::at(&project.state).layers()? {
        tool = Some(layer.tool());
        restored.extend(layer.undo(insist)?);
    }
    Kept::forget(project)?;
    Ok((restored, tool))
}

impl Applied {
    /// The variables that a command needs to see the pins.
    pub fn overlay(&self) -> &Overlay {
        &self.work.overlay
    }

    /// What really resolved.
    ///
    /// # Errors
    /// If the tool cannot list it.
    pub fn verify(&self) -> Result<Verification, ToolError> {
        let Work {
            tool,
            place,
            overlay,
            refused,
            ..
        } = &self.work;
        let resolved = tool.adapter().resolved(place, overlay, &self.pins)?;
        let ecosystem = tool.ecosystem();
        Ok(Verification::of(ecosystem, &self.pins, &resolved, refused))
    }

    /// Puts back what was there before.
    ///
    /// # Errors
    /// If somebody else changed an edited file meanwhile: it is left alone, and so is its journal.
    pub fn undo(mut self) -> Result<Undone, UndoError> {
        let undone = self.work.undo();
        self.lock = None;
        undone
    }
}

impl Drop for Applied {
    fn drop(&mut self) {
        if self.lock.is_some() {
            // Nobody is there to be told; the journal stays for `undo`.
            let _ = self.work.undo();
        }
    }
}

impl Work {
    fn begin(
        tool: Tool,
        project: &Project,
        place: Place,
        pins: &[Pinned],
        effect: Effect,
    ) -> Result<Self, ApplyError> {
        let adapter = tool.adapter();
        let journal = Journal::at(&project.state);
        if let Some(cut) = journal.layers()?.iter().find(|layer| !layer.is_finished()) {
            return Err(ApplyError::CutShort(cut.tool()));
        }
        let edits = adapter.edits(&place)?;
        let layer = match edits.is_empty() {
            true => None,
            false => Some(journal.begin(tool, &edits)?),
        };
        let mut work = Self {
            tool,
            place,
            overlay: Overlay::default(),
            refused: Reasons::new(),
            layer,
            before: None,
        };
        match work.put(adapter, pins, effect) {
            Ok(()) => Ok(work),
            Err(failure) => Err(work.give_up(failure)),
        }
    }

    fn put(
        &mut self,
        adapter: &dyn Adapter,
        pins: &[Pinned],
        effect: Effect,
    ) -> Result<(), ToolError> {
        self.before = match effect {
            _ if adapter.always_installs() => Some(Resolved::default()),
            Effect::Installed => Some(adapter.resolved(&self.place, &Overlay::default(), &[])?),
            Effect::Resolved => None,
        };
        let Put { overlay, refused } = adapter.apply(&self.place, pins)?;
        self.overlay = overlay;
        self.refused = refused;
        if effect == Effect::Installed {
            adapter.install(&self.place, &self.overlay, pins)?;
        }
        if let Some(layer) = &mut self.layer {
            layer.finish()?;
        }
        match self.layer.take_if(|layer| layer.is_empty()) {
            Some(layer) => layer.forget(),
            None => Ok(()),
        }
    }

    fn give_up(mut self, failure: ToolError) -> ApplyError {
        match self.undo() {
            Ok(_) => ApplyError::Failed(failure),
            Err(left) => ApplyError::Left {
                failure,
                left: Box::new(left),
            },
        }
    }

    fn undo(&mut self) -> Result<Undone, UndoError> {
        let mut undone = Undone::default();
        if let Some(layer) = self.layer.take() {
            undone.restored = layer.undo(Insist::No)?;
        }
        if let Some(before) = self.before.take() {
            let restored = self.tool.adapter().restore(&self.place, &before);
            undone.not_installed = restored.err();
        }
        Ok(undone)
    }
}

impl Lock {
    /// None: another process has it.
    fn take(project: &Project) -> Result<Option<Self>, ToolError> {
        let path = project.state.join("adapters.lock");
        std::fs::create_dir_all(&project.state).map_err(ToolError::file("make", &project.state))?;
        let open = File::options().create(true).append(true).open(&path);
        let file = open.map_err(ToolError::file("open", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            // A file system without locks has to do without.
            Err(TryLockError::Error(cause)) if cause.kind() == io::ErrorKind::Unsupported => {
                Ok(Some(Self { _file: file }))
            }
            Err(TryLockError::Error(cause)) => Err(ToolError::file("lock", &path)(cause)),
        }
    }
}
