//! The store in a real etcd: members that die, stop or are full, TLS, accounts, and what others do to its keys.
//! What every store must do is in `store_conformance.rs`.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "etcd/access.rs"]
mod access;
#[path = "support/cluster.rs"]
mod cluster;
#[path = "etcd/faults.rs"]
mod faults;
#[path = "etcd/history.rs"]
mod history;
#[path = "etcd/identity.rs"]
mod identity;

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use pinion_server::store::etcd::{EtcdOptions, EtcdStore};
use pinion_server::store::{Commit, Condition, Error, Event, Key, Operation, Store, Transaction};
use tokio::time::timeout;

use crate::cluster::Cluster;

const PATIENCE: Duration = Duration::from_secs(20);

fn options(cluster: &Cluster) -> EtcdOptions {
    EtcdOptions {
        timeout_s: 2,
        ..EtcdOptions::new(cluster.endpoints())
    }
}

async fn open(cluster: &Cluster) -> EtcdStore {
    EtcdStore::open(&options(cluster), None).await.unwrap()
}

/// Why a store cannot be opened.
async fn refusal(options: &EtcdOptions) -> String {
    EtcdStore::open(options, None)
        .await
        .unwrap_err()
        .to_string()
}

async fn put(store: &EtcdStore, key: &str, value: impl Into<Bytes>) -> Result<Commit, Error> {
    let operations = vec![Operation::Put(Key::new(key), value.into())];
    let transaction = Transaction {
        conditions: Vec::new(),
        operations,
    };
    store.commit(transaction).await
}

/// Puts what must be possible, as often as it takes.
async fn put_at_last(store: &EtcdStore, key: &str) {
    let until_done = async { while put(store, key, "x").await.is_err() {} };
    timeout(PATIENCE, until_done).await.expect("etcd is there");
}

async fn create(store: &EtcdStore, key: &str) -> Result<Commit, Error> {
    let key = Key::new(key);
    let transaction = Transaction {
        conditions: vec![Condition::Absent(key.clone())],
        operations: vec![Operation::Put(key, Bytes::new())],
    };
    store.commit(transaction).await
}

async fn next(watcher: &mut BoxStream<'static, Event>) -> Event {
    let event = timeout(PATIENCE, watcher.next()).await;
    event.expect("an event was due").expect("the store is open")
}

async fn keys(store: &EtcdStore, prefix: &str) -> Vec<String> {
    let (mut keys, mut after) = (Vec::new(), None);
    loop {
        let page = store.page(prefix, after.as_ref(), 1000).await.unwrap();
        after = page.entries.last().map(|entry| entry.key.clone());
        keys.extend(page.entries.iter().map(|entry| entry.key.to_string()));
        if !page.more {
            return keys;
        }
    }
}
