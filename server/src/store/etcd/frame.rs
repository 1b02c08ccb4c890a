//! What is put for each key: the value behind a header that shows damage.
//!
//! Format 1, big-endian: format (1 byte), CRC-32 (4) of the key and the value, then the value. The
//! revisions are etcd's own. etcd checks its log, but not the pages of its database, and anybody with
//! `etcdctl` can put something else: both show here. The key is checked without the store's prefix.

use bytes::Bytes;

/// The format that this program writes, of frames and of the store.
pub(super) const FORMAT: u8 = 1;

const HEADER_BYTES: usize = 5;

/// The frame of a value.
pub(super) fn seal(key: &str, value: &[u8]) -> Bytes {
    let mut frame = Vec::with_capacity(HEADER_BYTES + value.len());
    frame.push(FORMAT);
    frame.extend_from_slice(&checksum(key, value).to_be_bytes());
    frame.extend_from_slice(value);
    frame.into()
}

/// The value of the frame that was found under `key`; the error says what is wrong with it.
pub(super) fn open(key: &str, frame: &[u8]) -> Result<Bytes, String> {
    match frame.first() {
        None => return Err("it is empty".to_owned()),
        Some(&FORMAT) => {}
        Some(format) => {
            return Err(format!(
                "it has the format `{format}`, this program reads `{FORMAT}`"
            ));
        }
    }
    let Some((header, value)) = frame.split_at_checked(HEADER_BYTES) else {
        return Err(format!(
            "its frame has {} bytes, at least {HEADER_BYTES} are needed",
            frame.len()
        ));
    };
    let stored = u32::from_be_bytes(header[1..].try_into().expect("4 bytes follow the format"));
    let found = checksum(key, value);
    if stored != found {
        return Err(format!(
            "its checksum is `{found:08x}`, `{stored:08x}` was stored"
        ));
    }
    // Copied, since a slice of an answer would keep all of the answer in memory.
    Ok(Bytes::copy_from_slice(value))
}

fn checksum(key: &str, value: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key.as_bytes());
    hasher.update(&[0]);
    hasher.update(value);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_flipped_bit_any_cut_and_any_other_key_shows() {
        let frame = seal("t/a", b"value");
        assert_eq!(open("t/a", &frame).expect("sound"), "value");
        for byte in 0..frame.len() {
            for bit in 0..8 {
                let mut flipped = frame.to_vec();
                flipped[byte] ^= 1 << bit;
                open("t/a", &flipped).expect_err("flipped");
            }
            open("t/a", &frame[..byte]).expect_err("cut");
        }
        open("t/b", &frame).expect_err("another key");
    }
}
