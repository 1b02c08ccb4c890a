//! Transactions that become durable together, judged one after the other.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use sled::Batch;

use super::frame::Record;
use super::view::{Slot, View};
use crate::store::history::Change;
use crate::store::{Commit, Condition, Entry, Error, Key, Operation, Transaction};

/// The key of the totals; no key of the trait can be it.
pub(super) const TOTALS_KEY: &[u8] = b"\0totals";

/// What a group does to the view it began with.
#[derive(Debug)]
pub(super) struct Group {
    /// The view after the transactions so far.
    pub(super) view: View,
    /// What they changed, in order.
    pub(super) changes: Vec<Change>,
    /// The last frame of each changed key, or that it is gone.
    frames: BTreeMap<Key, Option<Vec<u8>>>,
}

impl Group {
    /// A group that begins with `view`.
    pub(super) fn on(view: &View) -> Self {
        Self {
            view: view.clone(),
            changes: Vec::new(),
            frames: BTreeMap::new(),
        }
    }

    /// Judges a transaction on what the ones before it left, and applies it if its conditions hold.
    ///
    /// A transaction that touches a damaged record is refused.
    pub(super) fn take(&mut self, transaction: &Transaction) -> Result<Commit, Error> {
        for operation in &transaction.operations {
            self.view.record(operation.key())?;
        }
        for condition in &transaction.conditions {
            if !self.holds(condition)? {
                return Ok(Commit::Conflict);
            }
        }
        self.apply(&transaction.operations);
        Ok(Commit::Done(self.view.totals.revision))
    }

    /// Whether there is nothing to write.
    pub(super) fn is_unchanged(&self) -> bool {
        self.changes.is_empty()
    }

    /// All changes as one batch, with the totals that go with them.
    pub(super) fn batch(&mut self) -> Batch {
        let mut batch = Batch::default();
        for (key, frame) in std::mem::take(&mut self.frames) {
            match frame {
                Some(frame) => batch.insert(key.as_str(), frame),
                None => batch.remove(key.as_str()),
            }
        }
        batch.insert(TOTALS_KEY, self.view.totals.seal());
        batch
    }

    fn holds(&self, condition: &Condition) -> Result<bool, Error> {
        let entry = self
            .view
            .record(condition.key())?
            .map(|record| &record.entry);
        Ok(match condition {
            Condition::Absent(_) => entry.is_none(),
            Condition::Modified(_, revision) => {
                entry.is_some_and(|entry| entry.modified == *revision)
            }
            Condition::Created(_, revision) => {
                entry.is_some_and(|entry| entry.created == *revision)
            }
        })
    }

    fn apply(&mut self, operations: &[Operation]) {
        let revision = self.view.totals.revision + 1;
        let mut change = Change {
            revision,
            puts: Vec::new(),
            deletes: Vec::new(),
        };
        for operation in operations {
            match operation {
                Operation::Put(key, value) => self.put(key, value, &mut change),
                Operation::Delete(key) => self.delete(key, &mut change),
            }
        }
        if !(change.puts.is_empty() && change.deletes.is_empty()) {
            self.view.totals.revision = revision;
            self.changes.push(change);
        }
    }

    fn put(&mut self, key: &Key, value: &Bytes, change: &mut Change) {
        let replaced = self.remove(key);
        let entry = Entry {
            key: key.clone(),
            // Copied, since a slice of a received message would keep all of the message in memory.
            value: Bytes::copy_from_slice(value),
            created: replaced.map_or(change.revision, |record| record.entry.created),
            modified: change.revision,
        };
        change.puts.push(entry.clone());
        let (record, frame) = Record::seal(entry);
        self.view.totals.add(&record);
        self.view
            .slots
            .insert(key.clone(), Slot::Sound(Arc::new(record)));
        self.frames.insert(key.clone(), Some(frame));
    }

    fn delete(&mut self, key: &Key, change: &mut Change) {
        if self.remove(key).is_some() {
            change.deletes.push(key.clone());
            self.frames.insert(key.clone(), None);
        }
    }

    fn remove(&mut self, key: &Key) -> Option<Arc<Record>> {
        match self.view.slots.remove(key)? {
            Slot::Sound(record) => {
                self.view.totals.remove(&record);
                Some(record)
            }
            Slot::Damaged(_) => {
                unreachable!("transactions that touch a damaged record are refused")
            }
        }
    }
}
