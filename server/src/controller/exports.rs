//! Backups of everything that is kept.

use std::fs::File;
use std::io::{BufWriter, Seek};

use super::{Controller, Identity, Refusal};
use crate::store::Error;
use crate::store::backup::Writer;
use crate::store::records::Role;

impl Controller {
    /// A backup of the store as of one revision, in a file without a name, to be read from its start.
    ///
    /// It is written before any of it is sent, so that somebody who reads slowly holds nothing up.
    ///
    /// # Errors
    /// If the caller is no admin, or the store cannot be read.
    pub async fn export(&self, caller: &Identity) -> Result<File, Refusal> {
        caller.require(&[Role::Admin])?;
        let file = tempfile::tempfile().map_err(Error::Export)?;
        let mut writer = Writer::new(BufWriter::new(file)).map_err(Error::Export)?;
        let revision = self.store.export(&mut writer).await?;
        let mut file = writer
            .end(revision)
            .and_then(|out| {
                out.into_inner()
                    .map_err(std::io::IntoInnerError::into_error)
            })
            .map_err(Error::Export)?;
        file.rewind().map_err(Error::Export)?;
        tracing::info!(by = %caller.actor, revision, "the store was exported");
        Ok(file)
    }
}
