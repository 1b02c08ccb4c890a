//! Pins that stay applied until they are undone.

use serde::{Deserialize, Serialize};

use super::journal::{Journal, Restored};
use super::overlay::Overlay;
use super::pinned::Pinned;
use super::process::{Place, ToolError};
use super::tool::Tool;
use super::verification::{Reasons, Verification};
use super::{Project, whole};
use crate::v1::Pin;

/// Pins that [`Tool::keep`] left in place.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Kept {
    pub(super) tool: Tool,
    pub(super) etag: String,
    pub(super) overlay: Overlay,
    pub(super) refused: Reasons,
    #[serde(skip)]
    pub(super) put_back: Vec<Restored>,
}

impl Kept {
    /// What is in place in a checkout.
    ///
    /// # Errors
    /// If its note cannot be read.
    pub fn find(project: &Project) -> Result<Option<Self>, ToolError> {
        let path = project.state.join("applied.json");
        let bytes = whole::read_if_there(&path).map_err(ToolError::file("read", &path))?;
        let parse = |bytes: Vec<u8>| {
            serde_json::from_slice(&bytes).map_err(|error| ToolError::Broken {
                path: path.clone(),
                problem: error.to_string(),
            })
        };
        bytes.map(parse).transpose()
    }

    /// The tool that took them.
    pub fn tool(&self) -> Tool {
        self.tool
    }

    /// Names the pins, exactly.
    pub fn etag(&self) -> &str {
        &self.etag
    }

    /// The variables that a command needs to see the pins.
    pub fn overlay(&self) -> &Overlay {
        &self.overlay
    }

    /// The files that were put back before these pins were applied; none once it was found again.
    pub fn put_back(&self) -> &[Restored] {
        &self.put_back
    }

    /// Whether the edited files are as they were left.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn is_in_place(&self, project: &Project) -> Result<bool, ToolError> {
        match Journal::at(&project.state).layers()?.first() {
            Some(layer) => layer.is_as_left(),
            None => Ok(true),
        }
    }

    /// What really resolved, held against pins.
    ///
    /// # Errors
    /// If a pin is none in its ecosystem, or the tool cannot list what resolved.
    pub fn verify(&self, project: &Project, pins: &[Pin]) -> Result<Verification, ToolError> {
        let ecosystem = self.tool.ecosystem();
        let pinned = Pinned::parse_all(ecosystem, pins)
            .map_err(|error| ToolError::Unsupported(error.to_string()))?;
        let place = Place::lasting(project);
        let resolved = self
            .tool
            .adapter()
            .resolved(&place, &self.overlay, &pinned)?;
        Ok(Verification::of(
            ecosystem,
            &pinned,
            &resolved,
            &self.refused,
        ))
    }

    pub(super) fn store(&self, project: &Project) -> Result<(), ToolError> {
        let path = project.state.join("applied.json");
        let text = serde_json::to_vec_pretty(self).expect("it is plain data");
        whole::write(&path, &text, None).map_err(ToolError::file("write", &path))
    }

    pub(super) fn forget(project: &Project) -> Result<(), ToolError> {
        let path = project.state.join("applied.json");
        match std::fs::remove_file(&path) {
            Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => {
                Err(ToolError::file("remove", &path)(cause))
            }
            _ => Ok(()),
        }
    }
}
