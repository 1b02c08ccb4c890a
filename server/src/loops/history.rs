//! Own history of each draw key: on which of the last days it reported, and on which it failed.

use std::collections::{BTreeMap, BTreeSet};

use pinion_core::evidence::Ordinal;
use pinion_core::outcome::Category;
use pinion_core::prediction::HISTORY_DAYS;
use pinion_core::time::Timestamp;

use crate::controller::read_all;
use crate::store::records::{HISTORY_PER_CHUNK, HistoryChunk};
use crate::store::{Error, Operation, Store, keys};

/// Somebody who reported or enrolled within so many days is active.
pub const ACTIVE_DAYS: i64 = 7;

/// Fewer days say nothing of what is normal.
const REGULAR_DAYS_MIN: usize = 5;

type ChunkOfDay = (i64, u32);

/// Where what is kept begins.
fn oldest_kept(now: Timestamp) -> ChunkOfDay {
    (now.day() - HISTORY_DAYS as i64 - 1, 0)
}

/// Bitmaps of the last days, and which of them differ from the store.
#[derive(Debug, Default)]
pub struct History {
    days: BTreeMap<ChunkOfDay, HistoryChunk>,
    dirty: BTreeSet<ChunkOfDay>,
}

impl History {
    /// The history that the store has.
    ///
    /// # Errors
    /// If it cannot be read.
    pub async fn load(store: &dyn Store) -> Result<Self, Error> {
        let mut history = Self::default();
        for entry in read_all(store, keys::HISTORY).await? {
            let place = keys::place_of_history(&entry.key).ok_or_else(|| Error::Damaged {
                key: entry.key.to_string(),
                cause: "its key names no day".to_owned(),
            })?;
            history
                .days
                .insert(place, HistoryChunk::decode(&entry.key, &entry.value)?);
        }
        Ok(history)
    }

    /// Notes a finished run, and tells whether the one before it had failed.
    pub fn note(&mut self, ordinal: Ordinal, at: Timestamp, failure: Option<Category>) -> bool {
        let (chunk, place) = keys::chunk_of(ordinal, HISTORY_PER_CHUNK);
        let previous = self.last_failed(ordinal);
        self.days
            .entry((at.day(), chunk))
            .or_default()
            .note(place, failure);
        self.dirty.insert((at.day(), chunk));
        previous
    }

    fn last_failed(&self, ordinal: Ordinal) -> bool {
        let (chunk, place) = keys::chunk_of(ordinal, HISTORY_PER_CHUNK);
        self.days
            .iter()
            .rev()
            .filter(|((_, of), _)| *of == chunk)
            .map(|(_, day)| day.get(place))
            .find(|(reported, _, _)| *reported)
            .is_some_and(|(_, _, failed_last)| failed_last)
    }

    /// Failing days among the last ten before the day of `now`.
    pub fn failing_days(&self, ordinal: Ordinal, now: Timestamp) -> u32 {
        let (chunk, place) = keys::chunk_of(ordinal, HISTORY_PER_CHUNK);
        let days = now.day() - HISTORY_DAYS as i64..now.day();
        let failing = days.filter(|day| {
            self.days
                .get(&(*day, chunk))
                .is_some_and(|day| day.get(place).1)
        });
        u32::try_from(failing.count()).unwrap_or(u32::MAX)
    }

    /// Whether it normally reports on every day that counts: it did on all but one of at least five of the
    /// last ten days before the day of `now` for which `counts` holds.
    pub fn is_regular(
        &self,
        ordinal: Ordinal,
        now: Timestamp,
        counts: impl Fn(i64) -> bool,
    ) -> bool {
        let (chunk, place) = keys::chunk_of(ordinal, HISTORY_PER_CHUNK);
        let days = (now.day() - HISTORY_DAYS as i64..now.day()).filter(|day| counts(*day));
        let (mut all, mut reported) = (0, 0);
        for day in days {
            all += 1;
            reported += usize::from(
                self.days
                    .get(&(day, chunk))
                    .is_some_and(|day| day.get(place).0),
            );
        }
        all >= REGULAR_DAYS_MIN && reported + 1 >= all
    }

    /// Whether it reported within the last seven days.
    pub fn is_active(&self, ordinal: Ordinal, now: Timestamp) -> bool {
        let (chunk, place) = keys::chunk_of(ordinal, HISTORY_PER_CHUNK);
        (now.day() - ACTIVE_DAYS..=now.day()).any(|day| {
            self.days
                .get(&(day, chunk))
                .is_some_and(|day| day.get(place).0)
        })
    }

    /// Draw keys that failed, by category, once a day each, over the last ten days before the day of `now`.
    pub fn failures(&self, now: Timestamp) -> [u64; 5] {
        let mut sum = [0; 5];
        for (_, day) in self
            .days
            .range((now.day() - HISTORY_DAYS as i64, 0)..(now.day(), 0))
        {
            sum.iter_mut()
                .zip(day.failures())
                .for_each(|(sum, n)| *sum += u64::from(*n));
        }
        sum
    }

    /// What must be written so that the store has it too; days that are too old to count are removed.
    pub fn changes(&self, now: Timestamp) -> Vec<Operation> {
        let oldest = oldest_kept(now);
        let put = |place: &ChunkOfDay| {
            let value = self.days.get(place)?.encode();
            Some(Operation::Put(keys::history(place.0, place.1), value))
        };
        let delete = |place: &ChunkOfDay| Operation::Delete(keys::history(place.0, place.1));
        let puts = self.dirty.range(oldest..).filter_map(put);
        let gone = self.days.range(..oldest).map(|(place, _)| delete(place));
        puts.chain(gone).collect()
    }

    /// Notes that the store has the changes as of `now`.
    pub fn written(&mut self, now: Timestamp) {
        self.dirty.clear();
        self.days = self.days.split_off(&oldest_kept(now));
    }
}
