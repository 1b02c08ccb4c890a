//! What failures have looked like: each fingerprint with the place at which it was first seen, so that a
//! rollout can tell a new look from a known one.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use pinion_core::evidence::Order;
use pinion_core::outcome::Fingerprint;
use pinion_core::time::Timestamp;

use crate::controller::read_all;
use crate::store::records::{decode_looks, encode_looks};
use crate::store::{Error, Key, Operation, Store, keys};

/// A look that nobody had for so many days is new when it comes back.
const DAYS_KEPT: i64 = 90;
/// A look that still comes is noted anew after so many days, with the place at which it was first seen.
const DAYS_BETWEEN: i64 = 30;
/// Looks that are known at a time; further ones are taken for known, so that nobody who makes them up can fill
/// the memory.
const LOOKS_MAX: usize = 1_000_000;
/// Looks of one value.
const LOOKS_PER_VALUE: usize = 1000;

/// Every look that is known.
#[derive(Debug, Default)]
pub struct Looks {
    known: HashMap<Fingerprint, Look>,
    dirty: Vec<(Fingerprint, Order)>,
    /// Values of the store by the day on which they were written.
    written: Vec<(i64, Key)>,
    sequence: u64,
}

#[derive(Clone, Copy, Debug)]
struct Look {
    first: Order,
    noted_on: i64,
}

impl Looks {
    /// The looks that the store has.
    ///
    /// # Errors
    /// If they cannot be read.
    pub async fn load(store: &dyn Store) -> Result<Self, Error> {
        let mut looks = Self::default();
        for entry in read_all(store, keys::LOOK).await? {
            let day = keys::day_of(&entry.key).ok_or_else(|| Error::Damaged {
                key: entry.key.to_string(),
                cause: "its key names no day".to_owned(),
            })?;
            for (fingerprint, order) in decode_looks(&entry.key, &entry.value)? {
                looks.keep(fingerprint, order, day);
            }
            looks.written.push((day, entry.key));
        }
        Ok(looks)
    }

    fn keep(&mut self, fingerprint: Fingerprint, order: Order, day: i64) {
        let look = Look {
            first: order,
            noted_on: day,
        };
        let known = self.known.entry(fingerprint).or_insert(look);
        known.first = known.first.min(order);
        known.noted_on = known.noted_on.max(day);
    }

    /// Notes that somebody's failure looked like this.
    pub fn note(&mut self, fingerprint: Fingerprint, order: Order, at: Timestamp) {
        let day = at.day();
        let is_full = self.known.len() >= LOOKS_MAX;
        match self.known.entry(fingerprint) {
            Entry::Vacant(_) if is_full => {}
            Entry::Vacant(place) => {
                place.insert(Look {
                    first: order,
                    noted_on: day,
                });
                self.dirty.push((fingerprint, order));
            }
            Entry::Occupied(mut known) => {
                let look = known.get_mut();
                let is_earlier = order < look.first;
                look.first = look.first.min(order);
                if is_earlier || day >= look.noted_on + DAYS_BETWEEN {
                    look.noted_on = day;
                    self.dirty.push((fingerprint, look.first));
                }
            }
        }
    }

    /// The look, unless somebody had it up to the revision.
    pub fn new_after(&self, revision: u64, fingerprint: Fingerprint) -> Option<Fingerprint> {
        let known = self.known.get(&fingerprint)?;
        (known.first > Order::new(revision, u16::MAX)).then_some(fingerprint)
    }

    /// What must be written so that the store has every look too; what nobody had for long is removed.
    pub fn take_changes(&mut self, process: u64, now: Timestamp) -> Vec<Operation> {
        let today = now.day();
        let mut operations = Vec::new();
        for looks in std::mem::take(&mut self.dirty).chunks(LOOKS_PER_VALUE) {
            self.sequence += 1;
            let key = keys::look(today, process, self.sequence);
            self.written.push((today, key.clone()));
            operations.push(Operation::Put(key, encode_looks(looks)));
        }
        let oldest = today - DAYS_KEPT;
        if self.written.iter().any(|(day, _)| *day < oldest) {
            self.known.retain(|_, look| look.noted_on >= oldest);
            let (kept, gone): (Vec<_>, Vec<_>) = std::mem::take(&mut self.written)
                .into_iter()
                .partition(|(day, _)| *day >= oldest);
            self.written = kept;
            operations.extend(gone.into_iter().map(|(_, key)| Operation::Delete(key)));
        }
        operations
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOK: Fingerprint = Fingerprint(7);

    fn day(day: i64) -> Timestamp {
        Timestamp::from_unix_ms(day * 86_400_000)
    }

    #[test]
    fn a_look_is_new_for_rollouts_that_began_before_it_was_first_seen() {
        let mut looks = Looks::default();
        looks.note(LOOK, Order::new(10, 0), day(0));
        looks.note(LOOK, Order::new(20, 0), day(1));
        assert_eq!(looks.new_after(9, LOOK), Some(LOOK));
        assert_eq!(looks.new_after(10, LOOK), None);
        assert_eq!(looks.new_after(0, Fingerprint(8)), None, "nobody had it");
    }

    #[test]
    fn a_look_that_still_comes_is_kept_and_one_that_does_not_is_forgotten() {
        let mut looks = Looks::default();
        looks.note(LOOK, Order::new(1, 0), day(0));
        looks.note(Fingerprint(8), Order::new(2, 0), day(0));
        assert_eq!(looks.take_changes(1, day(0)).len(), 1);
        looks.note(LOOK, Order::new(9, 0), day(DAYS_BETWEEN));
        assert_eq!(looks.take_changes(1, day(DAYS_BETWEEN)).len(), 1);
        let removed = looks.take_changes(1, day(DAYS_KEPT + 1));
        assert!(matches!(removed[..], [Operation::Delete(_)]));
        assert_eq!(looks.new_after(0, LOOK), Some(LOOK), "as first seen");
        assert_eq!(looks.new_after(1, LOOK), None);
        assert!(!looks.known.contains_key(&Fingerprint(8)));
    }
}
