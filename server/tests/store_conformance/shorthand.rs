//! Short ways to say what a fact does.

use std::collections::BTreeMap;
use std::io;

use bytes::Bytes;
use pinion_server::store::{
    Commit, Condition, Entry, Key, Operation, PAGE_MAX, Revision, Sink, Store, Transaction,
};

pub(crate) fn key(key: &str) -> Key {
    Key::new(key)
}

pub(crate) fn put(key: &str, value: impl Into<Bytes>) -> Operation {
    Operation::Put(Key::new(key), value.into())
}

pub(crate) fn delete(key: &str) -> Operation {
    Operation::Delete(Key::new(key))
}

pub(crate) fn transaction(
    conditions: impl Into<Vec<Condition>>,
    operations: impl Into<Vec<Operation>>,
) -> Transaction {
    Transaction {
        conditions: conditions.into(),
        operations: operations.into(),
    }
}

/// Commits what must be possible.
pub(crate) async fn done(
    store: &dyn Store,
    conditions: impl Into<Vec<Condition>>,
    operations: impl Into<Vec<Operation>>,
) -> Revision {
    match store
        .commit(transaction(conditions, operations))
        .await
        .unwrap()
    {
        Commit::Done(revision) => revision,
        Commit::Conflict => panic!("a conflict that should not be"),
    }
}

/// Commits what must conflict.
pub(crate) async fn conflicts(
    store: &dyn Store,
    conditions: impl Into<Vec<Condition>>,
    operations: impl Into<Vec<Operation>>,
) {
    let commit = store
        .commit(transaction(conditions, operations))
        .await
        .unwrap();
    assert_eq!(commit, Commit::Conflict);
}

pub(crate) async fn get(store: &dyn Store, key: &str) -> Option<Entry> {
    store.get(&Key::new(key)).await.unwrap()
}

pub(crate) async fn value(store: &dyn Store, key: &str) -> Option<Bytes> {
    get(store, key).await.map(|entry| entry.value)
}

/// All keys and values under the prefix.
pub(crate) async fn contents(store: &dyn Store, prefix: &str) -> BTreeMap<String, Bytes> {
    let mut contents = BTreeMap::new();
    let mut after = None;
    loop {
        let page = store.page(prefix, after.as_ref(), PAGE_MAX).await.unwrap();
        after = page.entries.last().map(|entry| entry.key.clone());
        let pairs = page.entries.into_iter();
        contents.extend(pairs.map(|entry| (entry.key.as_str().to_owned(), entry.value)));
        if !page.more {
            return contents;
        }
    }
}

pub(crate) fn keys(entries: &[Entry]) -> Vec<&str> {
    entries.iter().map(|entry| entry.key.as_str()).collect()
}

/// A sink that keeps everything, or refuses after so many entries.
#[derive(Default)]
pub(crate) struct Kept {
    pub(crate) entries: Vec<Entry>,
    pub(crate) refuse_after: Option<usize>,
}

impl Sink for Kept {
    fn entry(&mut self, entry: &Entry) -> io::Result<()> {
        if self.refuse_after == Some(self.entries.len()) {
            return Err(io::Error::other("the tape is full"));
        }
        self.entries.push(entry.clone());
        Ok(())
    }
}
