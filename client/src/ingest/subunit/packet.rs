//! The packets of a stream.

use std::io::BufRead;

use super::super::reading::{Fault, Position};
use super::super::source::Source;

/// Begins every packet; no character of UTF-8 begins so.
const SIGNATURE: u8 = 0xb3;

/// The longest packet, by the format: 4 MiB - 1.
const PACKET_BYTES_MAX: usize = 4 * 1024 * 1024 - 1;

/// Signature, flags, length and checksum.
const PACKET_BYTES_MIN: usize = 8;

const HAS_TEST_ID: u16 = 0x0800;
const HAS_ROUTE_CODE: u16 = 0x0400;
const HAS_TIMESTAMP: u16 = 0x0200;
const HAS_TAGS: u16 = 0x0080;
const HAS_FILE_CONTENT: u16 = 0x0040;
const HAS_MIME_TYPE: u16 = 0x0020;

/// What a packet says of its test.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Status {
    #[default]
    None,
    Exists,
    InProgress,
    Success,
    UnexpectedSuccess,
    Skip,
    Failed,
    ExpectedFailure,
}

/// What is read of a packet.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Packet<'a> {
    pub(super) test_id: Option<&'a str>,
    pub(super) status: Status,
    /// An attachment's name and a part of its content.
    pub(super) file: Option<(&'a str, &'a [u8])>,
}

/// Whether the first bytes of a stream hold a packet, or its beginning.
pub(in crate::ingest) fn begins_in(head: &[u8]) -> bool {
    let is_version_2 = |bytes: &[u8]| bytes.get(1).is_some_and(|flags| flags >> 4 == 2);
    if head.first() == Some(&SIGNATURE) {
        return is_version_2(head);
    }
    let starts = (0..head.len()).filter(|&at| head[at] == SIGNATURE);
    let mut starts = starts.filter(|&at| is_version_2(&head[at..]));
    starts.any(|at| {
        let length = length(&head[at..]).ok();
        let whole = length.and_then(|length| head.get(at..at + length));
        whole.is_some_and(|whole| parse(whole).is_ok())
    })
}

/// Gives every packet to `take`, in order; what stands between them is passed over.
pub(super) fn for_each(
    source: &mut Source<impl BufRead>,
    mut take: impl FnMut(Packet<'_>),
) -> Result<(), Fault> {
    let mut bytes = Vec::new();
    loop {
        pass_over(source)?;
        let at = here(source);
        bytes.clear();
        read_exactly(source, &mut bytes, 5)?;
        match bytes.len() {
            0 => return Ok(()),
            5 => {}
            _ => return Err(ends_in_packet(at)),
        }
        let length = length(&bytes).map_err(|problem| Fault::malformed(at, problem))?;
        read_exactly(source, &mut bytes, length)?;
        if bytes.len() < length {
            return Err(ends_in_packet(at));
        }
        let packet = parse(&bytes).map_err(|problem| Fault::malformed(at, problem))?;
        take(packet);
    }
}

fn ends_in_packet(at: Position) -> Fault {
    Fault::truncated(at, "it ends in the middle of a packet")
}

fn here(source: &Source<impl BufRead>) -> Position {
    Position {
        byte: source.byte(),
        line: None,
    }
}

/// Passes over output until the next signature or the end.
fn pass_over(source: &mut Source<impl BufRead>) -> Result<(), Fault> {
    let at = here(source);
    // Bytes of a character that has begun: the signature's byte may be one of them.
    let mut inside = 0_u8;
    loop {
        let chunk = std::io::BufRead::fill_buf(source).map_err(|cause| Fault::io(at, &cause))?;
        if chunk.is_empty() {
            return Ok(());
        }
        let mut used = 0;
        for &byte in chunk {
            let continues = inside > 0 && byte >> 6 == 0b10;
            if byte == SIGNATURE && !continues {
                source.consume(used);
                return Ok(());
            }
            inside = match byte {
                _ if continues => inside - 1,
                0xc2..=0xdf => 1,
                0xe0..=0xef => 2,
                0xf0..=0xf4 => 3,
                _ => 0,
            };
            used += 1;
        }
        source.consume(used);
    }
}

/// Fills `bytes` up to `length`, or to the end of the source.
fn read_exactly(
    source: &mut Source<impl BufRead>,
    bytes: &mut Vec<u8>,
    length: usize,
) -> Result<(), Fault> {
    let at = here(source);
    let missing = length.saturating_sub(bytes.len()) as u64;
    let read = std::io::Read::read_to_end(&mut std::io::Read::take(source, missing), bytes);
    read.map(drop).map_err(|cause| Fault::io(at, &cause))
}

/// The length of a packet by its first five bytes.
fn length(head: &[u8]) -> Result<usize, String> {
    let mut fields = Fields {
        rest: head.get(1..).unwrap_or_default(),
    };
    let flags = fields.u16()?;
    if flags >> 12 != 2 {
        return Err(format!("the packet has version {}, not 2", flags >> 12));
    }
    let length = fields.number()?;
    match (PACKET_BYTES_MIN..=PACKET_BYTES_MAX).contains(&length) {
        true => Ok(length),
        false => Err(format!("a packet cannot have {length} bytes")),
    }
}

/// Reads a whole packet.
fn parse(bytes: &[u8]) -> Result<Packet<'_>, String> {
    let (content, checksum) = bytes
        .split_last_chunk::<4>()
        .ok_or("the packet is too short")?;
    if crc32fast::hash(content) != u32::from_be_bytes(*checksum) {
        return Err("the packet's checksum is wrong".to_owned());
    }
    let mut fields = Fields {
        rest: content.get(1..).unwrap_or_default(),
    };
    let flags = fields.u16()?;
    fields.number()?;
    let has = |flag| flags & flag != 0;
    if has(HAS_TIMESTAMP) {
        fields.take(4)?;
        fields.number()?;
    }
    let test_id = has(HAS_TEST_ID).then(|| fields.text()).transpose()?;
    if has(HAS_TAGS) {
        for _ in 0..fields.number()? {
            fields.text()?;
        }
    }
    if has(HAS_MIME_TYPE) {
        fields.text()?;
    }
    let file = match has(HAS_FILE_CONTENT) {
        true => Some((fields.text()?, fields.counted()?)),
        false => None,
    };
    if has(HAS_ROUTE_CODE) {
        fields.text()?;
    }
    Ok(Packet {
        test_id,
        status: status(flags),
        file,
    })
}

fn status(flags: u16) -> Status {
    match flags & 7 {
        1 => Status::Exists,
        2 => Status::InProgress,
        3 => Status::Success,
        4 => Status::UnexpectedSuccess,
        5 => Status::Skip,
        6 => Status::Failed,
        7 => Status::ExpectedFailure,
        _ => Status::None,
    }
}

/// The fields of a packet that are still to be read.
struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or("a field of the packet is longer than the packet")?;
        self.rest = rest;
        Ok(taken)
    }

    fn u16(&mut self) -> Result<u16, String> {
        let bytes = self.take(2)?;
        Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    /// The first two bits say how many bytes follow the first one.
    fn number(&mut self) -> Result<usize, String> {
        let first = self.take(1)?[0];
        let following = self.take(usize::from(first >> 6))?;
        let number = usize::from(first & 0x3f);
        Ok(following
            .iter()
            .fold(number, |number, &byte| number << 8 | usize::from(byte)))
    }

    fn counted(&mut self) -> Result<&'a [u8], String> {
        let length = self.number()?;
        self.take(length)
    }

    fn text(&mut self) -> Result<&'a str, String> {
        let bytes = self.counted()?;
        std::str::from_utf8(bytes).map_err(|_| "a text of the packet is no UTF-8".to_owned())
    }
}
