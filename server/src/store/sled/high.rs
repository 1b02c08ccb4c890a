//! How far the store was acknowledged, kept outside of sled.
//!
//! sled takes damage near the end of its file for the end of its file, and forgets what follows
//! without an error. The revision noted here shows it at the next start. It is written after what
//! it stands for is durable, so it never promises too much; it is made durable itself at most a
//! second later, so after a power cut it may promise a second's work too little.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::files;
use crate::store::{Error, Revision};

/// Two places that are written in turn, so that one of them is whole at any time.
const SLOTS: u64 = 2;
const SLOT_BYTES: u64 = 512;
const RECORD_BYTES: usize = 12;

/// The file with the last acknowledged revision.
#[derive(Debug)]
pub(super) struct HighMark {
    file: File,
    path: PathBuf,
    writes: u64,
    is_durable: bool,
}

impl HighMark {
    /// The revision noted in the file, if there is a file.
    pub(super) fn read(path: &Path) -> Result<Option<Revision>, Error> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(cause) => return Err(files::failed("read", path, &cause)),
        };
        let newest = bytes.chunks(SLOT_BYTES as usize).filter_map(parse).max();
        if newest.is_none() && !bytes.is_empty() {
            return Err(Error::Unavailable(format!(
                "`{}` is damaged: remove it to go on without knowing whether the store is complete",
                path.display()
            )));
        }
        Ok(newest)
    }

    /// Opens the file and notes `revision` durably.
    pub(super) fn open(path: &Path, revision: Revision) -> Result<Self, Error> {
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)
            .map_err(|cause| files::failed("open", path, &cause))?;
        let mut mark = Self {
            file,
            path: path.to_owned(),
            writes: 0,
            is_durable: false,
        };
        for _ in 0..SLOTS {
            mark.write(revision)?;
            mark.sync()?;
        }
        Ok(mark)
    }

    /// Notes `revision`, which must be durable; a crash of the process cannot undo it.
    pub(super) fn write(&mut self, revision: Revision) -> Result<(), Error> {
        let mut record = [0; RECORD_BYTES];
        record[..8].copy_from_slice(&revision.to_be_bytes());
        record[8..].copy_from_slice(&crc32fast::hash(&revision.to_be_bytes()).to_be_bytes());
        let place = self.writes % SLOTS * SLOT_BYTES;
        self.file
            .write_all_at(&record, place)
            .map_err(|cause| files::failed("write", &self.path, &cause))?;
        self.writes += 1;
        self.is_durable = false;
        Ok(())
    }

    /// Makes what was noted durable.
    pub(super) fn sync(&mut self) -> Result<(), Error> {
        if !self.is_durable {
            self.file
                .sync_data()
                .map_err(|cause| files::failed("sync", &self.path, &cause))?;
            self.is_durable = true;
        }
        Ok(())
    }
}

fn parse(slot: &[u8]) -> Option<Revision> {
    let revision = slot.get(..8)?;
    let stored = slot.get(8..RECORD_BYTES)?;
    (crc32fast::hash(revision).to_be_bytes() == stored)
        .then(|| u64::from_be_bytes(revision.try_into().expect("8 bytes were cut")))
}
