//! The one place where transactions meet the disk.

use std::fs::File;

use sled::Db;

use super::files::{self, Files};
use super::group::Group;
use super::high::HighMark;
use crate::store::Error;

/// What the owner thread writes to.
pub(super) trait Disk: Send + 'static {
    /// Makes a group durable, all of it or nothing. After an error the outcome is unknown, and
    /// nothing more may be written.
    fn commit(&mut self, group: &mut Group) -> Result<(), String>;

    /// Does what can wait until there is nothing else to do.
    fn settle(&mut self) -> Result<(), String>;

    /// The bytes that are free for it.
    fn free_bytes(&self) -> Result<u64, Error>;

    /// How many values are where they are not durable.
    fn count_blobs(&self) -> Result<usize, Error>;
}

/// sled, its file once more for a real fsync, and the note of how far was acknowledged.
#[derive(Debug)]
pub(super) struct SledDisk {
    // In the order in which they are let go: the lock last.
    db: Db,
    file: File,
    high: HighMark,
    files: Files,
    _lock: File,
}

impl SledDisk {
    /// Takes over an open store.
    pub(super) fn new(files: Files, db: Db, high: HighMark, lock: File) -> Result<Self, Error> {
        let path = files.store().join("db");
        let file = File::open(&path).map_err(|cause| files::failed("open", &path, &cause))?;
        Ok(Self {
            db,
            file,
            high,
            files,
            _lock: lock,
        })
    }
}

impl Disk for SledDisk {
    fn commit(&mut self, group: &mut Group) -> Result<(), String> {
        let failed =
            |what: &str, cause: &dyn std::fmt::Display| format!("could not {what}: {cause}");
        self.db
            .apply_batch(group.batch())
            .map_err(|cause| failed("write", &cause))?;
        self.db.flush().map_err(|cause| failed("flush", &cause))?;
        // sled's flush hands the data to the disk, but asks it for nothing that outlasts a power cut.
        self.file
            .sync_all()
            .map_err(|cause| failed("sync", &cause))?;
        self.high
            .write(group.view.totals.revision)
            .map_err(|cause| cause.to_string())
    }

    fn settle(&mut self) -> Result<(), String> {
        self.high.sync().map_err(|cause| cause.to_string())
    }

    fn free_bytes(&self) -> Result<u64, Error> {
        self.files.free_bytes()
    }

    fn count_blobs(&self) -> Result<usize, Error> {
        self.files.count_blobs()
    }
}
