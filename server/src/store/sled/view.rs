//! All entries in memory, as of one revision: what is read, and what conditions are judged on.

use std::ops::Bound;
use std::sync::Arc;

use imbl::OrdMap;

use super::frame::{Record, Totals};
use crate::store::{Entry, Error, Key, Page};

/// The entries as of the revision in `totals`. Cheap to clone: a change copies only its path.
#[derive(Clone, Debug, Default)]
pub(super) struct View {
    pub(super) slots: OrdMap<Key, Slot>,
    pub(super) totals: Totals,
}

/// What is known about a key that exists.
#[derive(Clone, Debug)]
pub(super) enum Slot {
    /// It can be trusted.
    Sound(Arc<Record>),
    /// It cannot, for this cause. Its place is kept: it must not look absent.
    Damaged(Arc<str>),
}

impl View {
    /// The record of a key.
    pub(super) fn record(&self, key: &Key) -> Result<Option<&Record>, Error> {
        self.slots.get(key).map(|slot| slot.record(key)).transpose()
    }

    /// The entry of a key.
    pub(super) fn get(&self, key: &Key) -> Result<Option<Entry>, Error> {
        Ok(self.record(key)?.map(|record| record.entry.clone()))
    }

    /// At most `max` entries under `prefix` after `after`.
    pub(super) fn page(
        &self,
        prefix: &str,
        after: Option<&Key>,
        max: usize,
    ) -> Result<Page, Error> {
        let mut slots = self.under(prefix, after);
        let entries = slots
            .by_ref()
            .take(max)
            .map(|(key, slot)| Ok(slot.record(key)?.entry.clone()))
            .collect::<Result<_, Error>>()?;
        Ok(Page {
            entries,
            revision: self.totals.revision,
            more: slots.next().is_some(),
        })
    }

    /// The keys that begin with `prefix` and lie after `after`, in order.
    pub(super) fn under<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a Key>,
    ) -> impl Iterator<Item = (&'a Key, &'a Slot)> {
        let start = match after.map(Key::as_str) {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let slots = self.slots.range::<_, str>((start, Bound::Unbounded));
        slots.take_while(move |(key, _)| key.as_str().starts_with(prefix))
    }

    /// The keys of the records that cannot be trusted.
    pub(super) fn damaged(&self) -> impl Iterator<Item = &Key> {
        self.slots
            .iter()
            .filter(|(_, slot)| matches!(slot, Slot::Damaged(_)))
            .map(|(key, _)| key)
    }
}

impl Slot {
    /// The record, unless it is damaged.
    pub(super) fn record(&self, key: &Key) -> Result<&Record, Error> {
        match self {
            Self::Sound(record) => Ok(record),
            Self::Damaged(cause) => Err(Error::Damaged {
                key: key.as_str().to_owned(),
                cause: cause.to_string(),
            }),
        }
    }
}
