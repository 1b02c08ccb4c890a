//! How pins are applied to a checkout, tool by tool, and undone byte for byte.
//!
//! Two ways, the less invasive first: an *overlay* (variables and files outside the project; no tracked
//! file is touched), else an *edit* of the project's files, journaled before it happens. Nothing here
//! prints, asks, or talks to a server; what is kept goes into the folder that the caller names.
//!
//! ```no_run
//! use pinion_client::adapters::{Effect, Project, Tool};
//! # fn example(pins: &pinion_client::Pins) -> Result<(), Box<dyn std::error::Error>> {
//! let project = Project::new("/src/app", "/state/of/app");
//! let tool = Tool::detect(&project, pins.ecosystem)?.tool;
//! let applied = tool.apply(&project, pins, Effect::Installed)?;
//! let status = std::process::Command::new("pytest")
//!     .envs(applied.overlay().environment())
//!     .status()?;
//! println!("{status}; not taken: {:?}", applied.verify()?.missed);
//! applied.undo()?; // dropping it does the same, and tells nobody if it cannot
//! # Ok(())
//! # }
//! ```
//!
//! [`Tool::apply`] is for now, [`Tool::keep`] until [`undo`]. A process that is killed in between leaves its
//! journal behind, and [`undo`] goes on from there.

mod applied;
mod attempt;
mod difference;
mod journal;
mod kept;
mod overlay;
mod pinned;
mod process;
mod tool;
mod verification;
mod whole;

mod cargo;
mod go;
mod npm;
mod npm_range;
mod npm_tree;
mod package_json;
mod pip;
mod pnpm;
mod uv;
mod uv_pip;
mod yarn;
mod yarn_classic;

use std::path::{Path, PathBuf};

pub use applied::{Applied, ApplyError, Effect, Undone, undo};
pub use journal::{Difference, Insist, Restored, UndoError};
pub use kept::Kept;
pub use overlay::{Overlay, location};
pub use pinned::InvalidPin;
pub use process::ToolError;
pub use tool::{DetectError, Detected, Tool, UnknownTool};
pub use verification::{Missed, Verification};

use pinned::Pinned;
use process::Place;
use verification::{Reasons, Resolved};

/// A checkout's directory, and the folder outside it where overlays and journals are kept.
#[derive(Clone, Debug)]
pub struct Project {
    root: PathBuf,
    state: PathBuf,
}

impl Project {
    /// A checkout at `root`; `state` is made when it is needed, and lies outside `root`.
    pub fn new(root: impl Into<PathBuf>, state: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            state: state.into(),
        }
    }

    /// The checkout's directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder outside the checkout.
    pub fn state(&self) -> &Path {
        &self.state
    }
}

/// What one tool offers; each is a file beside this one.
trait Adapter {
    /// Files of the project that applying may change.
    fn edits(&self, place: &Place) -> Result<Vec<PathBuf>, ToolError>;

    /// Applies pins: writes an overlay, or changes the files that `edits` names and no other tracked ones.
    fn apply(&self, place: &Place, pins: &[Pinned]) -> Result<Put, ToolError>;

    /// Installs, so that the checkout has what its files and the overlay say.
    fn install(&self, place: &Place, overlay: &Overlay, pins: &[Pinned]) -> Result<(), ToolError>;

    /// Installs what was there before, after the files have been put back.
    fn restore(&self, place: &Place, before: &Resolved) -> Result<(), ToolError>;

    /// Whether applying installs too, for a tool that cannot do the one without the other.
    fn always_installs(&self) -> bool {
        false
    }

    /// What resolved with an overlay; with the reasons why pins are not among it, as far as listing tells.
    fn resolved(
        &self,
        place: &Place,
        overlay: &Overlay,
        pins: &[Pinned],
    ) -> Result<Resolved, ToolError>;
}

/// What applying came to.
#[derive(Debug, Default)]
struct Put {
    overlay: Overlay,
    /// Pins that the tool did not take, with what it said.
    refused: Reasons,
}

impl Tool {
    fn adapter(self) -> &'static dyn Adapter {
        match self {
            Self::Pip => &pip::Pip,
            Self::UvPip => &uv_pip::UvPip,
            Self::Uv => &uv::Uv,
            Self::Npm => &npm::Npm,
            Self::Pnpm => &pnpm::Pnpm,
            Self::Yarn => &yarn::Yarn,
            Self::Cargo => &cargo::Cargo,
            Self::Go => &go::Go,
        }
    }
}
