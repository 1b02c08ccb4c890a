//! Evidence, packed: fixed-size cells, pools, journal records and bitmaps. All numbers little-endian,
//! each value with a format byte before it.

use bytes::{Buf, BufMut, Bytes};
use pinion_core::evidence::{Cell, Failure, Mark, Member, Order, Ordinal, Traits};
use pinion_core::outcome::{Category, Fingerprint, Outcome, Repeat};
use pinion_core::time::Timestamp;

use crate::store::{Error, Key};

const FORMAT: u8 = 1;

/// Cells of one value: 128 · 117 bytes stay below the limit of a value.
pub const CELLS_PER_CHUNK: u32 = 128;
/// Members of one value.
pub const MEMBERS_PER_CHUNK: usize = 1024;
/// Ordinals of one value of history.
pub const HISTORY_PER_CHUNK: u32 = 16_384;

const TRAITS_BYTES: usize = 1 + 1 + 1 + 4;
const CELL_BYTES: usize = 4 + 6 * 16 + 1 + 1 + 8 + TRAITS_BYTES;
const MEMBER_BYTES: usize = 4 + TRAITS_BYTES;
const ENTRY_BYTES: usize = 4 + 8 + 8 + 1 + 1 + 8;
/// A mark that is not there.
const NO_ORDER: u64 = u64::MAX;
/// A platform that is not there.
const NO_SLOT: u8 = u8::MAX;

fn damaged(key: &Key, cause: &str) -> Error {
    Error::Damaged {
        key: key.to_string(),
        cause: cause.to_owned(),
    }
}

/// The rows of a value, after its format byte.
fn rows<'a>(
    key: &Key,
    value: &'a [u8],
    row_bytes: usize,
) -> Result<std::slice::ChunksExact<'a, u8>, Error> {
    let (format, rows) = value
        .split_first()
        .ok_or_else(|| damaged(key, "it is empty"))?;
    if *format != FORMAT {
        return Err(damaged(
            key,
            &format!("its format {format} is not known to this version"),
        ));
    }
    if rows.len() % row_bytes != 0 {
        return Err(damaged(key, "it ends in the middle of a row"));
    }
    Ok(rows.chunks_exact(row_bytes))
}

/// The cells of a chunk, as a value.
pub fn encode_cells<'a>(cells: impl IntoIterator<Item = (Ordinal, &'a Cell)>) -> Bytes {
    let mut value = vec![FORMAT];
    for (ordinal, cell) in cells {
        value.put_u32_le(ordinal.0);
        put_mark(&mut value, cell.polled);
        put_mark(&mut value, cell.polled_again);
        put_mark(&mut value, cell.announced);
        put_mark(&mut value, cell.passed);
        put_mark(&mut value, cell.dismissed);
        put_mark(&mut value, cell.failed.map(|failure| failure.mark));
        let failure = cell.failed;
        let category = failure.map_or(0, |failure| failure.category.index());
        value.put_u8(u8::try_from(category).unwrap_or(0));
        let previous = failure.is_some_and(|failure| failure.previous_failed);
        let fingerprint = failure.and_then(|failure| failure.fingerprint);
        let silent = u8::from(cell.silent) << 2;
        value.put_u8(u8::from(previous) | u8::from(fingerprint.is_some()) << 1 | silent);
        value.put_u64_le(fingerprint.map_or(0, |fingerprint| fingerprint.0));
        put_traits(
            &mut value,
            failure.map_or_else(Traits::default, |failure| failure.traits),
        );
    }
    value.into()
}

/// The cells of a value.
///
/// # Errors
/// [`Error::Damaged`] if it holds none.
pub fn decode_cells(key: &Key, value: &[u8]) -> Result<Vec<(Ordinal, Cell)>, Error> {
    rows(key, value, CELL_BYTES)?
        .map(|mut row| {
            let ordinal = Ordinal(row.get_u32_le());
            let [polled, polled_again, announced, passed, dismissed, failed] =
                std::array::from_fn(|_| get_mark(&mut row));
            let category = Category::from_index(usize::from(row.get_u8()));
            let flags = row.get_u8();
            let fingerprint = Fingerprint(row.get_u64_le());
            let fingerprint = (flags & 2 != 0).then_some(fingerprint);
            let traits = get_traits(&mut row);
            let failed = match failed {
                None => None,
                Some(mark) => {
                    let category = category.ok_or_else(|| damaged(key, "it names no category"))?;
                    Some(Failure {
                        mark,
                        category,
                        fingerprint,
                        previous_failed: flags & 1 != 0,
                        traits,
                    })
                }
            };
            Ok((
                ordinal,
                Cell {
                    polled,
                    polled_again,
                    announced,
                    passed,
                    dismissed,
                    failed,
                    silent: flags & 4 != 0,
                },
            ))
        })
        .collect()
}

fn put_mark(value: &mut Vec<u8>, mark: Option<Mark>) {
    value.put_u64_le(mark.map_or(NO_ORDER, |mark| mark.order.as_u64()));
    value.put_i64_le(mark.map_or(0, |mark| mark.at.unix_ms()));
}

fn get_mark(row: &mut &[u8]) -> Option<Mark> {
    let (order, at) = (row.get_u64_le(), row.get_i64_le());
    (order != NO_ORDER).then(|| Mark {
        order: Order::from_u64(order),
        at: Timestamp::from_unix_ms(at),
    })
}

fn put_traits(value: &mut Vec<u8>, traits: Traits) {
    value.put_u8(traits.stratum);
    value.put_u8(traits.platform.unwrap_or(NO_SLOT));
    value.put_u8(u8::from(traits.repeats) | u8::from(traits.regular) << 1);
    value.put_u32_le(traits.partners);
}

fn get_traits(row: &mut &[u8]) -> Traits {
    let (stratum, platform, flags) = (row.get_u8(), row.get_u8(), row.get_u8());
    Traits {
        stratum,
        platform: (platform != NO_SLOT).then_some(platform),
        partners: row.get_u32_le(),
        repeats: flags & 1 != 0,
        regular: flags & 2 != 0,
    }
}

/// Members of a pool, as a value.
pub fn encode_members(members: &[Member]) -> Bytes {
    let mut value = vec![FORMAT];
    for member in members {
        value.put_u32_le(member.ordinal.0);
        put_traits(&mut value, member.traits);
    }
    value.into()
}

/// The members of a value.
///
/// # Errors
/// [`Error::Damaged`] if it holds none.
pub fn decode_members(key: &Key, value: &[u8]) -> Result<Vec<Member>, Error> {
    let members = rows(key, value, MEMBER_BYTES)?.map(|mut row| Member {
        ordinal: Ordinal(row.get_u32_le()),
        traits: get_traits(&mut row),
    });
    Ok(members.collect())
}

/// What one process took in at once: durable before it is acknowledged, removed when folded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JournalRecord {
    /// In the order in which they were sent; at most 500.
    pub entries: Vec<JournalEntry>,
}

/// One pull or report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalEntry {
    /// Of which draw key.
    pub ordinal: Ordinal,
    /// A hash of the report's id; 0 for a pull.
    pub report: u64,
    /// When the server took it.
    pub at: Timestamp,
    /// What happened.
    pub event: JournalEvent,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JournalEvent {
    /// Pins were pulled.
    Polled,
    /// A run was told of.
    Reported(Outcome),
}

impl JournalRecord {
    /// The record as a value.
    pub fn encode(&self) -> Bytes {
        let mut value = vec![FORMAT];
        for entry in &self.entries {
            value.put_u32_le(entry.ordinal.0);
            value.put_u64_le(entry.report);
            value.put_i64_le(entry.at.unix_ms());
            let (kind, category, fingerprint) = match entry.event {
                JournalEvent::Polled => (0, 0, None),
                JournalEvent::Reported(Outcome::Started) => (1, 0, None),
                JournalEvent::Reported(Outcome::Passed) => (2, 0, None),
                JournalEvent::Reported(Outcome::Failed {
                    category,
                    fingerprint,
                    repeat,
                }) => {
                    let kind = if fingerprint.is_some() { 4 } else { 3 };
                    (kind, put_category(category, repeat), fingerprint)
                }
            };
            value.put_u8(kind);
            value.put_u8(category);
            value.put_u64_le(fingerprint.map_or(0, |fingerprint| fingerprint.0));
        }
        value.into()
    }

    /// The record of a value.
    ///
    /// # Errors
    /// [`Error::Damaged`] if it is none.
    pub fn decode(key: &Key, value: &[u8]) -> Result<Self, Error> {
        let entries: Result<Vec<JournalEntry>, Error> = rows(key, value, ENTRY_BYTES)?
            .map(|mut row| {
                let (ordinal, report) = (Ordinal(row.get_u32_le()), row.get_u64_le());
                let at = Timestamp::from_unix_ms(row.get_i64_le());
                let (kind, category) = (row.get_u8(), get_category(row.get_u8()));
                let fingerprint = (kind == 4).then_some(Fingerprint(row.get_u64_le()));
                let event = match (kind, category) {
                    (0, _) => JournalEvent::Polled,
                    (1, _) => JournalEvent::Reported(Outcome::Started),
                    (2, _) => JournalEvent::Reported(Outcome::Passed),
                    (3 | 4, Some((category, repeat))) => JournalEvent::Reported(Outcome::Failed {
                        category,
                        fingerprint,
                        repeat,
                    }),
                    _ => return Err(damaged(key, "it names no event")),
                };
                Ok(JournalEntry {
                    ordinal,
                    report,
                    at,
                    event,
                })
            })
            .collect();
        Ok(Self { entries: entries? })
    }
}

/// A failure's category, and in the upper half of the byte what came of its repetition.
fn put_category(category: Category, repeat: Repeat) -> u8 {
    let repeat = match repeat {
        Repeat::NotRepeated => 0,
        Repeat::Passed => 1,
        Repeat::Failed => 2,
    };
    u8::try_from(category.index()).unwrap_or(0) | repeat << 4
}

fn get_category(byte: u8) -> Option<(Category, Repeat)> {
    let repeat = match byte >> 4 {
        0 => Repeat::NotRepeated,
        1 => Repeat::Passed,
        2 => Repeat::Failed,
        _ => return None,
    };
    Some((Category::from_index(usize::from(byte & 0x0f))?, repeat))
}

/// What failures looked like, each with the place at which it was first seen, as a value.
pub fn encode_looks(looks: &[(Fingerprint, Order)]) -> Bytes {
    let mut value = vec![FORMAT];
    for (fingerprint, order) in looks {
        value.put_u64_le(fingerprint.0);
        value.put_u64_le(order.as_u64());
    }
    value.into()
}

/// The looks of a value.
///
/// # Errors
/// [`Error::Damaged`] if it holds none.
pub fn decode_looks(key: &Key, value: &[u8]) -> Result<Vec<(Fingerprint, Order)>, Error> {
    let look = |mut row: &[u8]| {
        let fingerprint = Fingerprint(row.get_u64_le());
        (fingerprint, Order::from_u64(row.get_u64_le()))
    };
    Ok(rows(key, value, 16)?.map(look).collect())
}

/// Ids of folded reports, as a value.
pub fn encode_seen(reports: &[u64]) -> Bytes {
    let mut value = vec![FORMAT];
    reports.iter().for_each(|report| value.put_u64_le(*report));
    value.into()
}

/// The ids of a value.
///
/// # Errors
/// [`Error::Damaged`] if it holds none.
pub fn decode_seen(key: &Key, value: &[u8]) -> Result<Vec<u64>, Error> {
    Ok(rows(key, value, 8)?
        .map(|mut row| row.get_u64_le())
        .collect())
}

/// One day of [`HISTORY_PER_CHUNK`] ordinals: who reported, who failed, whose last report failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryChunk {
    bits: Vec<u8>,
    /// Ordinals by the category of their first failure of the day.
    failures: [u32; 5],
}

impl Default for HistoryChunk {
    fn default() -> Self {
        Self {
            bits: vec![0; 3 * Self::PLANE],
            failures: [0; 5],
        }
    }
}

impl HistoryChunk {
    const PLANE: usize = HISTORY_PER_CHUNK as usize / 8;

    /// Notes a report of the ordinal at `place` in the chunk.
    pub fn note(&mut self, place: u32, failure: Option<Category>) {
        self.set(0, place, true);
        if let Some(category) = failure
            && !self.bit(1, place)
        {
            self.set(1, place, true);
            self.failures[category.index()] += 1;
        }
        self.set(2, place, failure.is_some());
    }

    /// Ordinals by the category of their first failure of the day.
    pub const fn failures(&self) -> &[u32; 5] {
        &self.failures
    }

    /// Whether the ordinal at `place` reported, failed, and failed last.
    pub fn get(&self, place: u32) -> (bool, bool, bool) {
        (self.bit(0, place), self.bit(1, place), self.bit(2, place))
    }

    fn set(&mut self, plane: usize, place: u32, on: bool) {
        let byte = &mut self.bits[plane * Self::PLANE + place as usize / 8];
        let bit = 1 << (place % 8);
        *byte = if on { *byte | bit } else { *byte & !bit };
    }

    fn bit(&self, plane: usize, place: u32) -> bool {
        self.bits[plane * Self::PLANE + place as usize / 8] & (1 << (place % 8)) != 0
    }

    /// The chunk as a value.
    pub fn encode(&self) -> Bytes {
        let counts = self.failures.iter().flat_map(|count| count.to_le_bytes());
        std::iter::once(FORMAT)
            .chain(self.bits.iter().copied())
            .chain(counts)
            .collect()
    }

    /// The chunk of a value.
    ///
    /// # Errors
    /// [`Error::Damaged`] if it is none.
    pub fn decode(key: &Key, value: &[u8]) -> Result<Self, Error> {
        let mut rows = rows(key, value, 3 * Self::PLANE + 20)?;
        let (Some(row), None) = (rows.next(), rows.next()) else {
            return Err(damaged(key, "it is not one day"));
        };
        let (bits, mut counts) = row.split_at(3 * Self::PLANE);
        Ok(Self {
            bits: bits.to_vec(),
            failures: std::array::from_fn(|_| counts.get_u32_le()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Key {
        Key::new("a/key")
    }

    fn mark(n: u64) -> Mark {
        Mark {
            order: Order::new(n, 3),
            at: Timestamp::from_unix_ms(n.cast_signed() * 1000),
        }
    }

    #[test]
    fn cells_survive_their_encoding() {
        let failed = Failure {
            mark: mark(9),
            category: Category::Crash,
            fingerprint: Some(Fingerprint(u64::MAX)),
            previous_failed: true,
            traits: Traits {
                stratum: 4,
                platform: Some(7),
                partners: 1 << 31 | 1,
                repeats: true,
                regular: false,
            },
        };
        let bare = Failure {
            fingerprint: None,
            traits: Traits::default(),
            ..failed
        };
        let full = Cell {
            polled: Some(mark(1)),
            polled_again: Some(mark(4)),
            dismissed: Some(mark(5)),
            announced: Some(mark(2)),
            passed: Some(mark(3)),
            failed: Some(failed),
            silent: true,
        };
        let plain = Cell {
            failed: Some(bare),
            ..Cell::default()
        };
        let cells = vec![
            (Ordinal(0), Cell::default()),
            (Ordinal(1), plain),
            (Ordinal(u32::MAX), full),
        ];
        let value = encode_cells(cells.iter().map(|(ordinal, cell)| (*ordinal, cell)));
        assert_eq!(decode_cells(&key(), &value).expect("decodes"), cells);
        assert!(CELLS_PER_CHUNK as usize * CELL_BYTES < crate::store::VALUE_BYTES_MAX);
    }

    #[test]
    fn journal_records_survive_their_encoding() {
        let failed = |fingerprint, repeat| Outcome::Failed {
            category: Category::Build,
            fingerprint,
            repeat,
        };
        let events = [
            JournalEvent::Polled,
            JournalEvent::Reported(Outcome::Started),
            JournalEvent::Reported(Outcome::Passed),
            JournalEvent::Reported(failed(None, Repeat::NotRepeated)),
            JournalEvent::Reported(failed(None, Repeat::Passed)),
            JournalEvent::Reported(failed(Some(Fingerprint(7)), Repeat::Failed)),
        ];
        let entry = |event| JournalEntry {
            ordinal: Ordinal(5),
            report: 77,
            at: Timestamp::from_unix_ms(-1),
            event,
        };
        let record = JournalRecord {
            entries: events.into_iter().map(entry).collect(),
        };
        assert_eq!(
            JournalRecord::decode(&key(), &record.encode()).expect("decodes"),
            record
        );
    }

    #[test]
    fn history_keeps_who_failed_and_who_failed_last() {
        let mut day = HistoryChunk::default();
        day.note(0, Some(Category::Test));
        day.note(0, Some(Category::Build));
        day.note(0, None);
        day.note(HISTORY_PER_CHUNK - 1, Some(Category::Install));
        let day = HistoryChunk::decode(&key(), &day.encode()).expect("decodes");
        assert_eq!(day.get(0), (true, true, false));
        assert_eq!(day.get(1), (false, false, false));
        assert_eq!(day.get(HISTORY_PER_CHUNK - 1), (true, true, true));
        assert_eq!(day.failures(), &[1, 0, 1, 0, 0]);
    }

    #[test]
    fn what_was_cut_or_is_newer_is_named_as_damaged() {
        let value = encode_cells([(Ordinal(1), &Cell::default())]);
        for bad in [&value[..value.len() - 1], &[][..], &[9, 0, 0][..]] {
            let error = decode_cells(&key(), bad).expect_err("refused");
            assert!(error.to_string().contains("`a/key`"), "{error}");
        }
    }
}
