//! What is written for each key: the value behind a header that shows damage.
//!
//! Format 1, big-endian: format (1 byte), created (8), modified (8), CRC-32 (4) of the key, the 17
//! bytes before it and the value, then the value. The key is in the checksum so that a value which
//! turns up under another key is noticed.

use bytes::Bytes;

use crate::store::{Entry, Key, Revision};

/// The format that this program writes, of frames and of the store.
pub(super) const FORMAT: u8 = 1;

const CHECKED_BYTES: usize = 17;
const HEADER_BYTES: usize = CHECKED_BYTES + 4;
const TOTALS_BYTES: usize = 29;

/// An entry with the checksum of its frame.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) entry: Entry,
    pub(super) checksum: u32,
}

impl Record {
    /// The record of an entry, and its frame.
    pub(super) fn seal(entry: Entry) -> (Self, Vec<u8>) {
        let mut frame = Vec::with_capacity(HEADER_BYTES + entry.value.len());
        frame.push(FORMAT);
        frame.extend_from_slice(&entry.created.to_be_bytes());
        frame.extend_from_slice(&entry.modified.to_be_bytes());
        let checksum = checksum(entry.key.as_str(), &frame, &entry.value);
        frame.extend_from_slice(&checksum.to_be_bytes());
        frame.extend_from_slice(&entry.value);
        (Self { entry, checksum }, frame)
    }

    /// Reads the frame that was found under `key`; the error says what is wrong with it.
    pub(super) fn open(key: &str, frame: &[u8]) -> Result<Self, String> {
        check_format(frame)?;
        if frame.len() < HEADER_BYTES {
            return Err(format!(
                "its frame has {} bytes, at least {HEADER_BYTES} are needed",
                frame.len()
            ));
        }
        let (header, value) = frame.split_at(HEADER_BYTES);
        let (checked, stored) = header.split_at(CHECKED_BYTES);
        let (stored, found) = (be_u32(stored), checksum(key, checked, value));
        if stored != found {
            return Err(format!(
                "its checksum is `{found:08x}`, `{stored:08x}` was stored"
            ));
        }
        let entry = Entry {
            key: Key::new(key),
            value: Bytes::copy_from_slice(value),
            created: be_u64(&checked[1..9]),
            modified: be_u64(&checked[9..17]),
        };
        Ok(Self {
            entry,
            checksum: stored,
        })
    }
}

/// What all entries add up to. Written with every group, so that an entry which sled lost without
/// an error, alone or with all that came after it, is missed at the next start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    /// The last revision.
    pub(super) revision: Revision,
    /// How many entries there are.
    pub(super) entries: u64,
    /// The wrapping sum of the checksums of their frames.
    pub(super) checksums: u64,
}

impl Totals {
    /// Counts an entry in.
    pub(super) fn add(&mut self, record: &Record) {
        self.entries = self.entries.wrapping_add(1);
        self.checksums = self.checksums.wrapping_add(record.checksum.into());
    }

    /// Counts an entry out.
    pub(super) fn remove(&mut self, record: &Record) {
        self.entries = self.entries.wrapping_sub(1);
        self.checksums = self.checksums.wrapping_sub(record.checksum.into());
    }

    /// Format, revision, entries, checksums, and the CRC-32 of these.
    pub(super) fn seal(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(TOTALS_BYTES);
        bytes.push(FORMAT);
        bytes.extend_from_slice(&self.revision.to_be_bytes());
        bytes.extend_from_slice(&self.entries.to_be_bytes());
        bytes.extend_from_slice(&self.checksums.to_be_bytes());
        let checksum = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&checksum.to_be_bytes());
        bytes
    }

    /// Reads what [`Totals::seal`] wrote; the error says what is wrong with it.
    pub(super) fn open(bytes: &[u8]) -> Result<Self, String> {
        check_format(bytes)?;
        if bytes.len() != TOTALS_BYTES {
            return Err(format!(
                "it has {} bytes, {TOTALS_BYTES} are needed",
                bytes.len()
            ));
        }
        let (checked, stored) = bytes.split_at(TOTALS_BYTES - 4);
        if be_u32(stored) != crc32fast::hash(checked) {
            return Err("its checksum is wrong".to_owned());
        }
        Ok(Self {
            revision: be_u64(&checked[1..9]),
            entries: be_u64(&checked[9..17]),
            checksums: be_u64(&checked[17..25]),
        })
    }
}

fn check_format(bytes: &[u8]) -> Result<(), String> {
    match bytes.first() {
        None => Err("it is empty".to_owned()),
        Some(&FORMAT) => Ok(()),
        Some(format) => Err(format!(
            "it has the format `{format}`, this program reads `{FORMAT}`"
        )),
    }
}

fn checksum(key: &str, header: &[u8], value: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key.as_bytes());
    hasher.update(header);
    hasher.update(value);
    hasher.finalize()
}

fn be_u32(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes.try_into().expect("the caller cuts 4 bytes"))
}

fn be_u64(bytes: &[u8]) -> u64 {
    u64::from_be_bytes(bytes.try_into().expect("the caller cuts 8 bytes"))
}
