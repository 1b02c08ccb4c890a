//! What is put for each key: the value behind a header that shows damage.
//!
//! Format 1, big-endian: format (1 byte), CRC-32 (4) of the key and the value, then the value. The
//! revisions are etcd's own. etcd checks its log, but not the pages of its database, and anybody with
//! `etcdctl` can put something else: both show here. The key is checked without the store's prefix.
//!
//! Format 2 is that of an entry which was restored from a backup and not put since: between format and
//! checksum, and in the checksum, stand the revisions (8 bytes each) at which it was created and
//! modified in its former life, since other records name them.

use bytes::Bytes;

use crate::store::{Entry, Revision};

/// The format that this program writes, of frames and of the store.
pub(super) const FORMAT: u8 = 1;

/// The format of frames that were restored.
const RESTORED: u8 = 2;
const REVISIONS_BYTES: usize = 16;

/// What a frame holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Opened {
    pub(super) value: Bytes,
    /// When it was created and modified in its former life.
    pub(super) restored: Option<(Revision, Revision)>,
}

/// The frame of a value.
pub(super) fn seal(key: &str, value: &[u8]) -> Bytes {
    frame(key, FORMAT, &[], value)
}

/// The frame of an entry from a backup.
pub(super) fn seal_restored(entry: &Entry) -> Bytes {
    let mut revisions = [0; REVISIONS_BYTES];
    revisions[..8].copy_from_slice(&entry.created.to_be_bytes());
    revisions[8..].copy_from_slice(&entry.modified.to_be_bytes());
    frame(entry.key.as_str(), RESTORED, &revisions, &entry.value)
}

/// What is in the frame that was found under `key`; the error says what is wrong with it.
pub(super) fn open(key: &str, frame: &[u8]) -> Result<Opened, String> {
    let revisions_bytes = match frame.first() {
        None => return Err("it is empty".to_owned()),
        Some(&FORMAT) => 0,
        Some(&RESTORED) => REVISIONS_BYTES,
        Some(format) => {
            return Err(format!(
                "it has the format `{format}`, this program reads `{FORMAT}` and `{RESTORED}`"
            ));
        }
    };
    let header_bytes = 1 + revisions_bytes + 4;
    let Some((header, value)) = frame.split_at_checked(header_bytes) else {
        return Err(format!(
            "its frame has {} bytes, at least {header_bytes} are needed",
            frame.len()
        ));
    };
    let (revisions, stored) = header[1..].split_at(revisions_bytes);
    let stored = u32::from_be_bytes(stored.try_into().expect("4 bytes are left"));
    let found = checksum(key, revisions, value);
    if stored != found {
        return Err(format!(
            "its checksum is `{found:08x}`, `{stored:08x}` was stored"
        ));
    }
    let revision =
        |bytes: &[u8]| Revision::from_be_bytes(bytes.try_into().expect("8 bytes were cut"));
    Ok(Opened {
        // Copied, since a slice of an answer would keep all of the answer in memory.
        value: Bytes::copy_from_slice(value),
        restored: (revisions_bytes > 0)
            .then(|| (revision(&revisions[..8]), revision(&revisions[8..]))),
    })
}

fn frame(key: &str, format: u8, revisions: &[u8], value: &[u8]) -> Bytes {
    let mut frame = Vec::with_capacity(5 + revisions.len() + value.len());
    frame.push(format);
    frame.extend_from_slice(revisions);
    frame.extend_from_slice(&checksum(key, revisions, value).to_be_bytes());
    frame.extend_from_slice(value);
    frame.into()
}

fn checksum(key: &str, revisions: &[u8], value: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key.as_bytes());
    hasher.update(&[0]);
    hasher.update(revisions);
    hasher.update(value);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_flipped_bit_any_cut_and_any_other_key_shows() {
        let restored = Entry {
            key: crate::store::Key::new("t/a"),
            value: Bytes::from_static(b"value"),
            created: 3,
            modified: 1 << 40,
        };
        for (frame, revisions) in [
            (seal("t/a", b"value"), None),
            (seal_restored(&restored), Some((3, 1 << 40))),
        ] {
            let opened = open("t/a", &frame).expect("sound");
            assert_eq!(
                (&*opened.value, opened.restored),
                (&b"value"[..], revisions)
            );
            damage(&frame);
        }
    }

    fn damage(frame: &[u8]) {
        for byte in 0..frame.len() {
            for bit in 0..8 {
                let mut flipped = frame.to_vec();
                flipped[byte] ^= 1 << bit;
                open("t/a", &flipped).expect_err("flipped");
            }
            open("t/a", &frame[..byte]).expect_err("cut");
        }
        open("t/b", frame).expect_err("another key");
    }
}
