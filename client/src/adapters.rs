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
//! applied.undo()?; // dropping it does the same; `keep` leaves the pins in place
//! # Ok(())
//! # }
//! ```

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::pins::Pins;
use crate::v1::{Ecosystem, Pin};

/// A checkout's directory, and the folder outside it where overlays and journals are kept.
#[derive(Clone, Debug)]
pub struct Project {
    root: PathBuf,
    state: PathBuf,
}

/// How far pins reach when they are applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The next install or build of the tool resolves them.
    Resolved,
    /// What is installed in the checkout already has them too; undoing installs what was there.
    Installed,
}

/// Variables that make a tool take the pins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overlay {
    environment: Vec<(OsString, OsString)>,
}

impl Overlay {
    /// The variables, by name; a list such as PIP_CONSTRAINT keeps what this process was given.
    pub fn environment(&self) -> impl Iterator<Item = (&OsString, &OsString)> {
        self.environment.iter().map(|(name, value)| (name, value))
    }
}

/// A tool that resolves and installs packages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tool {
    /// pip, and uv's `uv pip`, share their variables and their constraints file.
    Pip,
    /// `uv pip`.
    UvPip,
    /// A project with a `uv.lock`.
    UvProject,
    /// npm.
    Npm,
    /// pnpm.
    Pnpm,
    /// yarn, classic and berry.
    Yarn,
    /// cargo.
    Cargo,
    /// Go modules.
    Go,
}

/// What verifying found: every pin of the set is in one of the three lists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verification {
    /// Pins whose version is the one that resolved.
    pub took: Vec<Pin>,
    /// Pins of packages that resolved to another version.
    pub missed: Vec<Missed>,
    /// Pins of packages that the checkout does not use.
    pub unused: Vec<Pin>,
}

/// A pin that did not take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missed {
    /// The pin.
    pub pin: Pin,
    /// The versions that resolved instead.
    pub found: Vec<String>,
    /// Why, as far as that is known.
    pub reason: Option<String>,
}

/// Pins in place for now: undone when this is dropped, unless they are kept.
#[derive(Debug)]
pub struct Applied {
    project: Project,
    tool: Tool,
    pins: Pins,
    overlay: Overlay,
}

// Signatures to build on:
//   Tool::detect(&Project, Ecosystem) -> Result<Detected { tool, because }, DetectError>
//   Tool::apply(self, &Project, &Pins, Effect) -> Result<Applied, ApplyError>
//   Applied::overlay(&self) -> &Overlay
//   Applied::verify(&self) -> Result<Verification, VerifyError>
//   Applied::undo(self) -> Result<(), UndoError>    (Drop does the same, silently)
//   Applied::keep(self)                             (what `pinion sync` does)

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
}

impl Applied {
    /// The variables that a command needs to see the pins.
    pub fn overlay(&self) -> &Overlay {
        &self.overlay
    }
}
