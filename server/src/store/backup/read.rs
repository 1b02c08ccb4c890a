//! Reading a backup: all of it is checked before any of it is used.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::{DIGEST_BYTES, MAGIC};
use crate::store::{Entry, KEY_BYTES_MAX, Key, Revision, VALUE_BYTES_MAX, front};

/// Why a file is no backup that can be used.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// It cannot be read.
    #[error("`{path}` cannot be read")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// It is something else.
    #[error("`{0}` is no backup of pinion's, or one of a newer version")]
    Foreign(PathBuf),
    /// It ends too early.
    #[error("`{0}` is cut off: it was not written to its end; use another backup")]
    Cut(PathBuf),
    /// It is not what was written.
    #[error("`{path}` is damaged: {cause}; use another backup")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where and what.
        cause: String,
    },
}

/// A backup that was found whole.
#[derive(Clone, Debug)]
pub struct Backup {
    path: PathBuf,
    /// The store's revision that it is of.
    pub revision: Revision,
    /// How many entries it has.
    pub entries: u64,
    /// The SHA-256 that it ends with.
    pub digest: [u8; DIGEST_BYTES],
}

impl Backup {
    /// Reads and checks all of the file.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub fn check(path: &Path) -> Result<Self, Refused> {
        let mut entries = Entries::open(path)?;
        for entry in &mut entries {
            entry?;
        }
        entries.end()
    }

    /// The entries, in key order.
    ///
    /// # Errors
    /// If the file can no longer be read.
    pub fn entries(&self) -> Result<Entries, Refused> {
        Entries::open(&self.path)
    }
}

/// The entries of a backup; an error is the last.
#[derive(Debug)]
pub struct Entries {
    path: PathBuf,
    input: BufReader<File>,
    digest: Sha256,
    count: u64,
    last: Option<Entry>,
    modified_max: Revision,
    end: Option<(Revision, u64)>,
    is_over: bool,
}

impl Entries {
    fn open(path: &Path) -> Result<Self, Refused> {
        let file = File::open(path).map_err(|cause| Refused::Unreadable {
            path: path.to_owned(),
            cause,
        })?;
        let mut entries = Self {
            path: path.to_owned(),
            input: BufReader::with_capacity(64 * 1024, file),
            digest: Sha256::new(),
            count: 0,
            last: None,
            modified_max: 0,
            end: None,
            is_over: false,
        };
        let magic = entries.cut(MAGIC.len());
        match magic {
            Ok(magic) if magic == MAGIC => Ok(entries),
            Ok(_) | Err(Refused::Cut(_)) => Err(Refused::Foreign(path.to_owned())),
            Err(refused) => Err(refused),
        }
    }

    /// The next entry; nothing at the end, which is then noted.
    fn read(&mut self) -> Result<Option<Entry>, Refused> {
        let head = self.cut(2)?;
        let key_bytes = usize::from(u16::from_be_bytes([head[0], head[1]]));
        if key_bytes == 0 {
            return self.read_end(head).map(|()| None);
        }
        if key_bytes > KEY_BYTES_MAX {
            return Err(self.damaged(format!("a key has {key_bytes} bytes")));
        }
        let mut checked = head;
        checked.extend(self.cut(key_bytes + 20)?);
        let value_at = checked.len();
        let value_bytes = u32_at(&checked, value_at - 4) as usize;
        if value_bytes > VALUE_BYTES_MAX {
            return Err(self.damaged(format!("a value has {value_bytes} bytes")));
        }
        checked.extend(self.cut(value_bytes)?);
        self.check_sum(&checked)?;
        let (key, rest) = checked[2..].split_at(key_bytes);
        let entry = Entry {
            key: Key::new(String::from_utf8_lossy(key)),
            value: checked[value_at..].to_vec().into(),
            created: u64_at(rest, 0),
            modified: u64_at(rest, 8),
        };
        self.check_entry(&entry)?;
        Ok(Some(entry))
    }

    fn check_entry(&mut self, entry: &Entry) -> Result<(), Refused> {
        let key = &entry.key;
        if let Err(error) = front::check_key(key) {
            return Err(self.damaged(error.to_string()));
        }
        let is_in_order = self.last.as_ref().is_none_or(|last| last.key < *key);
        if !is_in_order || front::is_own_key(key) || entry.created > entry.modified {
            return Err(self.damaged(format!("`{key}` is not where or what it can be")));
        }
        self.count += 1;
        self.modified_max = self.modified_max.max(entry.modified);
        self.last = Some(Entry {
            value: bytes::Bytes::new(),
            ..entry.clone()
        });
        Ok(())
    }

    fn read_end(&mut self, head: Vec<u8>) -> Result<(), Refused> {
        let mut checked = head;
        checked.extend(self.cut(16)?);
        self.check_sum(&checked)?;
        let (revision, count) = (u64_at(&checked, 2), u64_at(&checked, 10));
        if count != self.count {
            return Err(self.damaged(format!(
                "it has {} entries, {count} were written",
                self.count
            )));
        }
        if self.modified_max > revision {
            return Err(self.damaged(format!("an entry is newer than its revision {revision}")));
        }
        self.end = Some((revision, count));
        Ok(())
    }

    /// What the end says, once all entries are read.
    fn end(mut self) -> Result<Backup, Refused> {
        let found: [u8; DIGEST_BYTES] = self.digest.clone().finalize().into();
        let stored = self.cut(DIGEST_BYTES)?;
        if stored != found {
            return Err(self.damaged("its SHA-256 is not that of what it holds".to_owned()));
        }
        let mut more = [0];
        match self.input.read(&mut more) {
            Ok(0) => {}
            Ok(_) => return Err(self.damaged("something follows its end".to_owned())),
            Err(cause) => return Err(self.unreadable(cause)),
        }
        let (revision, entries) = self.end.unwrap_or_default();
        Ok(Backup {
            path: self.path,
            revision,
            entries,
            digest: found,
        })
    }

    fn check_sum(&mut self, checked: &[u8]) -> Result<(), Refused> {
        let stored = self.cut(4)?;
        if u32_at(&stored, 0) == crc32fast::hash(checked) {
            return Ok(());
        }
        let after = self
            .last
            .as_ref()
            .map(|last| format!("after `{}`", last.key));
        let place = after.unwrap_or_else(|| "at the first entry".to_owned());
        Err(self.damaged(format!("a checksum does not match, {place}")))
    }

    fn cut(&mut self, count: usize) -> Result<Vec<u8>, Refused> {
        let mut bytes = vec![0; count];
        match self.input.read_exact(&mut bytes) {
            Ok(()) => {}
            Err(cause) if cause.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(Refused::Cut(self.path.clone()));
            }
            Err(cause) => return Err(self.unreadable(cause)),
        }
        self.digest.update(&bytes);
        Ok(bytes)
    }

    fn damaged(&self, cause: String) -> Refused {
        Refused::Damaged {
            path: self.path.clone(),
            cause,
        }
    }

    fn unreadable(&self, cause: io::Error) -> Refused {
        Refused::Unreadable {
            path: self.path.clone(),
            cause,
        }
    }
}

impl Iterator for Entries {
    type Item = Result<Entry, Refused>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let entry = self.read().transpose();
        self.is_over = !matches!(entry, Some(Ok(_)));
        entry
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().expect("4 bytes were cut"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(bytes[at..at + 8].try_into().expect("8 bytes were cut"))
}
