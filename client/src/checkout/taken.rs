//! Which pins really took, when that was last verified.

use std::path::Path;

use jiff::Timestamp;
use pinion_client::adapters::Verification;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

use super::files;

/// What verifying found. Packages that the checkout does not use are in neither list.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub(crate) struct Taken {
    /// Names the pins that were verified.
    pub(crate) etag: String,
    pub(crate) verified: Timestamp,
    /// Packages whose pinned version resolved.
    pub(crate) took: Vec<String>,
    /// Packages that resolved to another.
    pub(crate) missed: Vec<String>,
}

impl Taken {
    pub(crate) fn of(etag: &str, verification: &Verification) -> Self {
        let missed = verification.missed.iter();
        Self {
            etag: etag.to_owned(),
            verified: Timestamp::now(),
            took: verification
                .took
                .iter()
                .map(|pin| pin.package.clone())
                .collect(),
            missed: missed.map(|missed| missed.pin.package.clone()).collect(),
        }
    }

    pub(super) fn load(path: &Path) -> Result<Option<Self>, Failure> {
        let text = files::read_if_there(path)?;
        // What cannot be read is verified again, as if it never had been.
        Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
    }

    pub(super) fn store(&self, path: &Path) -> Result<(), Failure> {
        let text = serde_json::to_string(self).expect("it is plain data");
        files::write_whole(path, &text)
    }
}
