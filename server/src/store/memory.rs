//! The reference engine: a sorted map behind a lock, gone with the process.
//!
//! The other engines are compared with it, so it is written to be obviously right; it shares no
//! transaction code with them.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use tokio::sync::watch;
use uuid::Uuid;

use super::history::{Change, History};
use super::leases::Leases;
use super::{
    Commit, Condition, Entry, Error, Event, Key, Leader, LeaderGuard, Operation, Page, Revision,
    Sink, Store, Transaction, front,
};

/// A store in memory.
#[derive(Debug)]
pub struct MemoryStore {
    state: Arc<State>,
    leases: Leases,
    /// Never becomes true: a lease in memory is kept until it is given up.
    lost: watch::Sender<bool>,
}

#[derive(Debug)]
struct State {
    map: Mutex<Map>,
    history: Arc<History>,
}

#[derive(Debug, Default)]
struct Map {
    entries: BTreeMap<Key, Entry>,
    revision: Revision,
}

impl MemoryStore {
    /// An empty store with a new id.
    pub fn new() -> Self {
        let state = State {
            map: Mutex::default(),
            history: History::starting_after(0),
        };
        let id = Uuid::new_v4().to_string();
        state.commit(&Transaction {
            conditions: Vec::new(),
            operations: vec![
                Operation::Put(Key::new(front::FORMAT_KEY), Bytes::from_static(b"1")),
                Operation::Put(Key::new(front::ID_KEY), id.into()),
            ],
        });
        Self {
            state: Arc::new(state),
            leases: Leases::default(),
            lost: watch::Sender::new(false),
        }
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for MemoryStore {
    fn drop(&mut self) {
        self.state.history.close();
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn get(&self, key: &Key) -> Result<Option<Entry>, Error> {
        front::check_key(key)?;
        Ok(self.state.map().entries.get(key).cloned())
    }

    async fn page(&self, prefix: &str, after: Option<&Key>, max: usize) -> Result<Page, Error> {
        front::check_page(prefix, max)?;
        let map = self.state.map();
        let start = match after {
            Some(after) if after.as_str() >= prefix => Bound::Excluded(after.as_str()),
            _ => Bound::Included(prefix),
        };
        let mut entries: Vec<Entry> = map
            .entries
            .range::<str, _>((start, Bound::Unbounded))
            .map(|(_, entry)| entry)
            .take_while(|entry| entry.key.as_str().starts_with(prefix))
            .take(max + 1)
            .cloned()
            .collect();
        let more = entries.len() > max;
        entries.truncate(max);
        Ok(Page {
            entries,
            revision: map.revision,
            more,
        })
    }

    async fn commit(&self, transaction: Transaction) -> Result<Commit, Error> {
        front::check_transaction(&transaction)?;
        Ok(self.state.commit(&transaction))
    }

    async fn watch(
        &self,
        prefix: &str,
        from: Revision,
    ) -> Result<BoxStream<'static, Event>, Error> {
        front::check_prefix(prefix)?;
        Ok(self.state.history.watch(prefix, from))
    }

    async fn lead(&self, name: &str, _ttl: Duration) -> Result<Leader, Error> {
        let key = front::lease_key(name)?;
        let turn = self.leases.turn(name).await;
        let put = Operation::Put(key.clone(), Bytes::new());
        let Commit::Done(token) = self.state.commit(&operation(put)) else {
            return Err(Error::Unavailable(format!(
                "the lease `{name}` could not be taken"
            )));
        };
        let state = Arc::clone(&self.state);
        let delete = Operation::Delete(key.clone());
        let guard = LeaderGuard::new(move || {
            state.commit(&operation(delete));
            drop(turn);
        });
        Ok(Leader {
            key,
            token,
            lost: self.lost.subscribe(),
            guard,
        })
    }

    async fn export(&self, sink: &mut (dyn Sink + '_)) -> Result<Revision, Error> {
        let (entries, revision) = {
            let map = self.state.map();
            (map.entries.clone(), map.revision)
        };
        for entry in entries.values() {
            sink.entry(entry).map_err(Error::Export)?;
        }
        Ok(revision)
    }
}

impl State {
    fn map(&self) -> MutexGuard<'_, Map> {
        self.map.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn commit(&self, transaction: &Transaction) -> Commit {
        let mut map = self.map();
        if !transaction
            .conditions
            .iter()
            .all(|condition| map.holds(condition))
        {
            return Commit::Conflict;
        }
        if let Some(change) = map.apply(&transaction.operations) {
            // Under the lock, so that the history is in the order of the revisions.
            self.history.append([change]);
        }
        Commit::Done(map.revision)
    }
}

impl Map {
    fn holds(&self, condition: &Condition) -> bool {
        match condition {
            Condition::Absent(key) => !self.entries.contains_key(key),
            Condition::Modified(key, revision) => self
                .entries
                .get(key)
                .is_some_and(|entry| entry.modified == *revision),
            Condition::Created(key, revision) => self
                .entries
                .get(key)
                .is_some_and(|entry| entry.created == *revision),
        }
    }

    fn apply(&mut self, operations: &[Operation]) -> Option<Change> {
        let revision = self.revision + 1;
        let mut change = Change {
            revision,
            puts: Vec::new(),
            deletes: Vec::new(),
        };
        for operation in operations {
            match operation {
                Operation::Put(key, value) => {
                    let created = self
                        .entries
                        .get(key)
                        .map_or(revision, |entry| entry.created);
                    let entry = Entry {
                        key: key.clone(),
                        value: value.clone(),
                        created,
                        modified: revision,
                    };
                    self.entries.insert(key.clone(), entry.clone());
                    change.puts.push(entry);
                }
                Operation::Delete(key) => {
                    if self.entries.remove(key).is_some() {
                        change.deletes.push(key.clone());
                    }
                }
            }
        }
        if change.puts.is_empty() && change.deletes.is_empty() {
            return None;
        }
        self.revision = revision;
        Some(change)
    }
}

fn operation(operation: Operation) -> Transaction {
    Transaction {
        conditions: Vec::new(),
        operations: vec![operation],
    }
}
