//! Histories that are compacted, and more at once than a reply may hold.

use std::time::Duration;

use bytes::Bytes;
use pinion_server::store::{Entry, Event, Key, Operation, Sink, Store, Transaction};
use tokio::time::sleep;

use crate::cluster::{Cluster, has_etcd};
use crate::{next, open, put};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watcher_whose_history_was_compacted_is_told_to_resync_and_goes_on() {
    if !has_etcd() {
        return;
    }
    let cluster = Cluster::start(1);
    let store = open(&cluster).await;
    let old = store.page("", None, 1).await.unwrap().revision;
    for round in 0..10 {
        put(&store, "t/a", round.to_string()).await.unwrap();
    }
    let now = store.page("", None, 1).await.unwrap().revision;
    cluster.etcdctl_ok(&["compact", &now.to_string()]);
    let mut watcher = store.watch("t/", old).await.unwrap();
    assert_eq!(next(&mut watcher).await, Event::Resync);
    put(&store, "t/b", "x").await.unwrap();
    let Event::Change { revision, .. } = next(&mut watcher).await else {
        panic!("one resync is enough")
    };
    assert!(revision > now);
    // What is listed afterwards is all there is.
    let page = store.page("t/", None, 10).await.unwrap();
    assert_eq!(page.entries.len(), 2);
}

/// Together they are larger than a message may be, so etcd sends them in fragments.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_transactions_arrive_whole_and_large_pages_complete() {
    if !has_etcd() {
        return;
    }
    let cluster = Cluster::start(1);
    let store = open(&cluster).await;
    let from = store.page("", None, 1).await.unwrap().revision;
    for round in 0..14 {
        let puts = (0..31).map(|n| {
            let value = Bytes::from(vec![b'v'; 16 * 1024]);
            Operation::Put(Key::new(format!("t/{round:02}/{n:02}")), value)
        });
        let transaction = Transaction {
            conditions: Vec::new(),
            operations: puts.collect(),
        };
        store.commit(transaction).await.unwrap();
    }
    let mut watcher = store.watch("t/", from).await.unwrap();
    for round in 0..14 {
        let Event::Change { puts, .. } = next(&mut watcher).await else {
            panic!("it fits")
        };
        assert_eq!(puts.len(), 31);
        let own = format!("t/{round:02}/");
        assert!(puts.iter().all(|put| put.key.as_str().starts_with(&own)));
    }
    let page = store.page("t/", None, 1000).await.unwrap();
    assert_eq!((page.entries.len(), page.more), (14 * 31, false));
    let page = store.page("t/", None, 14 * 31 - 1).await.unwrap();
    assert_eq!((page.entries.len(), page.more), (14 * 31 - 1, true));
}

/// A sink during whose first entry etcd's history is compacted.
struct Compacting<'a> {
    cluster: &'a Cluster,
    entries: usize,
}

impl Sink for Compacting<'_> {
    fn entry(&mut self, _: &Entry) -> std::io::Result<()> {
        if self.entries == 0 {
            let put = self.cluster.etcdctl_ok(&["put", "else", "x", "-w", "json"]);
            let put: serde_json::Value = serde_json::from_str(&put)?;
            let revision = put["header"]["revision"].to_string();
            self.cluster.etcdctl_ok(&["compact", &revision]);
        }
        self.entries += 1;
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_whose_revision_is_compacted_fails_and_says_so() {
    if !has_etcd() {
        return;
    }
    let cluster = Cluster::start(1);
    let store = open(&cluster).await;
    for hundred in 0..4 {
        let puts = (0..100).map(|n| {
            let key = Key::new(format!("t/{hundred}{n:02}"));
            Operation::Put(key, Bytes::new())
        });
        let transaction = Transaction {
            conditions: Vec::new(),
            operations: puts.collect(),
        };
        store.commit(transaction).await.unwrap();
    }
    let mut sink = Compacting {
        cluster: &cluster,
        entries: 0,
    };
    let error = store.export(&mut sink).await.unwrap_err().to_string();
    assert!(error.contains("`--auto-compaction-retention`"), "{error}");
    assert!(sink.entries < 400, "it did not go on with another revision");
    sink.entries = 1;
    store.export(&mut sink).await.unwrap();
    assert_eq!(sink.entries, 403);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_goes_on_after_its_member_was_killed() {
    if !has_etcd() {
        return;
    }
    let mut cluster = Cluster::start(1);
    let store = open(&cluster).await;
    let from = store.page("", None, 1).await.unwrap().revision;
    let mut watcher = store.watch("t/", from).await.unwrap();
    put(&store, "t/a", "x").await.unwrap();
    next(&mut watcher).await;
    cluster.restart_all();
    crate::put_at_last(&store, "t/b").await;
    let told = next(&mut watcher).await;
    assert!(
        matches!(&told, Event::Change { puts, .. } if puts[0].key.as_str() == "t/b"),
        "{told:?}"
    );
    drop(watcher);
    sleep(Duration::from_millis(50)).await;
    store.close().await;
}
