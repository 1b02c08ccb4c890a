//! How the pins of a trial reach the checkout, and leave it again.
//!
//! pip and uv in its place take them from variables alone, and install when the command says so. For every
//! other tool its adapter applies them, and undoes that when the trial is over.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use pinion_client::Pins;
use pinion_client::adapters::{
    Applied, ApplyError, Effect, Insist, Missed, Project, Tool, ToolError, undo,
};

use crate::checkout::{StateFolder, write_whole};
use crate::command::undo::tell_restored;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;

use super::overlay::Overlay;
use super::pins::Mixture;

/// How pins are put in place.
pub(super) enum Placement {
    Variables(Overlay),
    Adapter(Adapter),
}

/// A tool that applies pins to the checkout.
pub(super) struct Adapter {
    tool: Tool,
    project: Project,
    /// There while pins of a trial are in place, so that they are found after a kill.
    note: PathBuf,
}

/// What came of putting pins in place.
pub(super) enum Put {
    InPlace(InPlace),
    /// The tool refused them, in its words.
    Refused(String),
}

/// Pins in place for one trial.
pub(super) struct InPlace {
    /// What a command must be given to have them.
    pub(super) variables: Vec<(OsString, OsString)>,
    applied: Option<Box<Applied>>,
}

impl Placement {
    /// How a tool's pins are put in place; the files `replaced` are no constraints beside them.
    pub(super) fn of(tool: Tool, folder: &StateFolder, replaced: &[&Path]) -> Self {
        match tool {
            Tool::Pip | Tool::UvPip => {
                let file = folder.file("bisect-constraints.txt");
                Self::Variables(Overlay::new(file, replaced))
            }
            Tool::Uv | Tool::Npm | Tool::Pnpm | Tool::Yarn | Tool::Cargo | Tool::Go => {
                Self::Adapter(Adapter {
                    tool,
                    project: folder.project(),
                    note: folder.file("bisect-in-place"),
                })
            }
        }
    }

    /// The tool whose adapter applies pins, where one does.
    pub(super) fn tool(&self) -> Option<Tool> {
        match self {
            Self::Variables(_) => None,
            Self::Adapter(adapter) => Some(adapter.tool),
        }
    }

    /// Undoes what a bisection left behind that was killed.
    pub(super) async fn clear(&self, session: &Session) -> Result<(), Failure> {
        match self {
            Self::Variables(_) => Ok(()),
            Self::Adapter(adapter) => adapter.clear(session).await,
        }
    }

    pub(super) async fn put(&self, mixture: &Mixture) -> Result<Put, Failure> {
        match self {
            Self::Variables(overlay) => Ok(Put::InPlace(InPlace {
                variables: overlay.apply(&mixture.to_text())?,
                applied: None,
            })),
            Self::Adapter(adapter) => adapter.put(mixture.to_pins()).await,
        }
    }

    /// Takes the pins of a trial away again.
    pub(super) async fn take_back(
        &self,
        session: &Session,
        in_place: InPlace,
    ) -> Result<(), Failure> {
        match (self, in_place.applied) {
            (Self::Adapter(adapter), Some(applied)) => adapter.take_back(session, applied).await,
            _ => Ok(()),
        }
    }
}

impl Adapter {
    async fn clear(&self, session: &Session) -> Result<(), Failure> {
        if !self.note.exists() {
            return Ok(());
        }
        session
            .terminal
            .note("an earlier bisection was killed; what it had in place is undone");
        let project = self.project.clone();
        let undone = blocking(move || undo(&project, Insist::No)).await??;
        tell_restored(session, &undone);
        session
            .terminal
            .note("if a sync had applied pins here, `pinion sync` does it again");
        self.forget()
    }

    async fn put(&self, pins: Pins) -> Result<Put, Failure> {
        write_whole(&self.note, "")?;
        let (tool, project) = (self.tool, self.project.clone());
        match blocking(move || tool.apply(&project, &pins, effect(tool))).await? {
            Ok(applied) => Ok(Put::InPlace(InPlace {
                variables: applied.overlay().environment(),
                applied: Some(Box::new(applied)),
            })),
            Err(left @ ApplyError::Left { .. }) => Err(left.into()),
            // All others leave the checkout as it was.
            Err(error) => {
                self.forget()?;
                match error {
                    ApplyError::Failed(error @ ToolError::Failed { .. }) => {
                        Ok(Put::Refused(error.to_string()))
                    }
                    error => Err(error.into()),
                }
            }
        }
    }

    async fn take_back(&self, session: &Session, applied: Box<Applied>) -> Result<(), Failure> {
        let undone = blocking(move || applied.undo()).await??;
        if undone.not_installed.is_some() {
            // That the files are as they were is no news after each trial.
            tell_restored(session, &undone);
        }
        self.forget()
    }

    fn forget(&self) -> Result<(), Failure> {
        std::fs::remove_file(&self.note)
            .map_err(|cause| Failure::file("remove", &self.note, &cause))
    }
}

impl InPlace {
    /// The pins that did not take, as the tool lists what is there; none where variables are all there is.
    pub(super) fn missed(&self) -> Result<Vec<Missed>, ToolError> {
        match &self.applied {
            None => Ok(Vec::new()),
            Some(applied) => Ok(applied.verify()?.missed),
        }
    }
}

/// cargo and Go take the pins with the next build; for the others the packages must be there.
fn effect(tool: Tool) -> Effect {
    match tool {
        Tool::Cargo | Tool::Go => Effect::Resolved,
        Tool::Pip | Tool::UvPip | Tool::Uv | Tool::Npm | Tool::Pnpm | Tool::Yarn => {
            Effect::Installed
        }
    }
}

/// Runs a tool without keeping signals from being noticed.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Failure::new(Exit::Refused, format!("the tool was not run: {error}")))
}
