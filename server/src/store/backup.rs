//! A backup: every entry of one revision in a file that shows any damage, the same for every engine.
//!
//! | part | bytes, big-endian |
//! |---|---|
//! | magic | `pinion-backup/1` and a line feed |
//! | each entry | length of the key (2, not 0), key, created (8), modified (8), length of the value (4), value, CRC-32 (4) of all these |
//! | end | 0 (2), the store's revision (8), how many entries (8), CRC-32 (4) of all these, SHA-256 (32) of the whole file before it |
//!
//! Entries keep their revisions, since records name them, and stand in key order. What an engine keeps
//! for itself ([`front::is_own_key`]) is left out: a restored store has an id of its own.

pub mod lines;
mod read;
#[cfg(test)]
mod tests;

use std::io::{self, Write};

use sha2::{Digest, Sha256};

pub use self::read::{Backup, Entries, Refused};
use super::{Entry, Error, Revision, Sink, front};

const MAGIC: &[u8; 16] = b"pinion-backup/1\n";
const DIGEST_BYTES: usize = 32;

/// Why a backup was not restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The backup cannot be used.
    #[error(transparent)]
    Backup(#[from] Refused),
    /// Something is there already; nothing was changed.
    #[error("a backup is restored where there is no store yet, but there is: {0}")]
    NotEmpty(String),
    /// The engine cannot take it.
    #[error(transparent)]
    Store(#[from] Error),
}

/// Writes a backup.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
    digest: Sha256,
    entries: u64,
}

impl<W: Write + Send> Writer<W> {
    /// Begins a backup.
    ///
    /// # Errors
    /// If `out` takes nothing.
    pub fn new(out: W) -> io::Result<Self> {
        let mut writer = Self {
            out,
            digest: Sha256::new(),
            entries: 0,
        };
        writer.write(MAGIC)?;
        Ok(writer)
    }

    /// Ends it as one of this revision, and gives back where it was written to.
    ///
    /// # Errors
    /// If that takes nothing more.
    pub fn end(mut self, revision: Revision) -> io::Result<W> {
        let mut end = vec![0, 0];
        end.extend_from_slice(&revision.to_be_bytes());
        end.extend_from_slice(&self.entries.to_be_bytes());
        self.write_checked(end)?;
        let digest = self.digest.finalize_reset();
        self.out.write_all(&digest)?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn write_checked(&mut self, mut bytes: Vec<u8>) -> io::Result<()> {
        let checksum = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&checksum.to_be_bytes());
        self.write(&bytes)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.digest.update(bytes);
        self.out.write_all(bytes)
    }
}

impl<W: Write + Send> Sink for Writer<W> {
    fn entry(&mut self, entry: &Entry) -> io::Result<()> {
        if front::is_own_key(&entry.key) {
            return Ok(());
        }
        let key = entry.key.as_str();
        let too_long = |_| io::Error::other(format!("`{key}` is too long for a backup"));
        let key_bytes = u16::try_from(key.len()).map_err(too_long)?;
        let value_bytes = u32::try_from(entry.value.len()).map_err(too_long)?;
        let mut bytes = Vec::with_capacity(26 + key.len() + entry.value.len());
        bytes.extend_from_slice(&key_bytes.to_be_bytes());
        bytes.extend_from_slice(key.as_bytes());
        bytes.extend_from_slice(&entry.created.to_be_bytes());
        bytes.extend_from_slice(&entry.modified.to_be_bytes());
        bytes.extend_from_slice(&value_bytes.to_be_bytes());
        bytes.extend_from_slice(&entry.value);
        self.entries += 1;
        self.write_checked(bytes)
    }
}
