//! What a restore keeps, and when it is refused.

use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pinion_server::store::backup::{Backup, RestoreError, Writer};
use pinion_server::store::etcd::{EtcdOptions, EtcdStore};
use pinion_server::store::sled::{SledOptions, SledStore};
use pinion_server::store::{
    Commit, Condition, Entry, Error, Event, Key, Operation, Store, Transaction,
};
use tempfile::TempDir;
use tokio::time::timeout;

use futures_util::StreamExt;

use crate::support::cluster::{Cluster, has_etcd};

async fn commit(
    store: &dyn Store,
    conditions: Vec<Condition>,
    operations: Vec<Operation>,
) -> Commit {
    let transaction = Transaction {
        conditions,
        operations,
    };
    store.commit(transaction).await.unwrap()
}

fn put(key: &str, value: &str) -> Operation {
    Operation::Put(Key::new(key), value.to_owned().into())
}

async fn back_up(store: &dyn Store, dir: &Path, name: &str) -> Backup {
    let path: PathBuf = dir.join(name);
    let file = std::fs::File::create(&path).unwrap();
    let mut writer = Writer::new(BufWriter::new(file)).unwrap();
    let revision = store.export(&mut writer).await.unwrap();
    writer.end(revision).unwrap();
    Backup::check(&path).unwrap()
}

fn entries(backup: &Backup) -> Vec<Entry> {
    backup.entries().unwrap().map(Result::unwrap).collect()
}

/// A store in which the order of the keys is not that of their revisions.
async fn fill(store: &dyn Store, entries: usize) {
    for batch in (0..entries).rev().collect::<Vec<_>>().chunks(100) {
        let puts = batch
            .iter()
            .map(|n| put(&format!("t/{n:06}"), &n.to_string()));
        commit(store, Vec::new(), puts.collect()).await;
    }
    commit(
        store,
        Vec::new(),
        vec![put("t/000001", "again"), put("u/a", "x")],
    )
    .await;
    let leader = store.lead("promote", Duration::from_secs(5)).await.unwrap();
    commit(store, Vec::new(), vec![put("t/000002", "led")]).await;
    drop(leader);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_keep_their_revisions_from_engine_to_engine_and_what_is_new_comes_after() {
    if !has_etcd() {
        return;
    }
    let dir = TempDir::new().unwrap();
    let first = SledStore::open(&dir.path().join("first"), SledOptions::default()).unwrap();
    fill(&first, 1000).await;
    let from_sled = back_up(&first, dir.path(), "1").await;
    let before = entries(&from_sled);
    assert_eq!(before.len(), 1001);

    let cluster = Cluster::start(1);
    let options = EtcdOptions::new(cluster.endpoints());
    EtcdStore::restore(&options, &from_sled).await.unwrap();
    let etcd = EtcdStore::open(&options, None).await.unwrap();
    let from_etcd = back_up(&etcd, dir.path(), "2").await;
    assert_eq!(entries(&from_etcd), before);
    is_gone_on_with(&etcd, &from_sled).await;
    let from_etcd = back_up(&etcd, dir.path(), "3").await;

    let last_dir = dir.path().join("last");
    SledStore::restore(&last_dir, &SledOptions::default(), &from_etcd).unwrap();
    let last = SledStore::open(&last_dir, SledOptions::default()).unwrap();
    let from_last = back_up(&last, dir.path(), "4").await;
    assert_eq!(entries(&from_last), entries(&from_etcd));
    is_gone_on_with(&last, &from_etcd).await;
}

/// Conditions hold on what was restored, and revisions rise from the backup's.
async fn is_gone_on_with(store: &dyn Store, backup: &Backup) {
    let page = store.page("", None, 1).await.unwrap();
    assert!(page.revision > backup.revision);
    let old = store.get(&Key::new("t/000500")).await.unwrap().unwrap();
    let is_old = || vec![Condition::Modified(old.key.clone(), old.modified)];
    let mut watcher = store.watch("t/", page.revision).await.unwrap();
    let done = commit(store, is_old(), vec![put("t/000500", "new")]).await;
    let Commit::Done(revision) = done else {
        panic!("its revision is the one that was read")
    };
    assert!(revision > backup.revision);
    let again = commit(store, is_old(), vec![put("t/000500", "newer")]).await;
    assert_eq!(again, Commit::Conflict);
    let wrong = Condition::Modified(Key::new("t/000501"), old.modified - 1);
    let other = commit(store, vec![wrong], vec![put("t/x", "")]).await;
    assert_eq!(other, Commit::Conflict);
    let told = timeout(Duration::from_secs(10), watcher.next()).await;
    assert!(
        matches!(told, Ok(Some(Event::Change { revision: told, .. })) if told == revision),
        "{told:?}"
    );
    // A history that the engine never had.
    let mut watcher = store.watch("t/", 1).await.unwrap();
    let told = timeout(Duration::from_secs(10), watcher.next()).await;
    assert_eq!(told.unwrap(), Some(Event::Resync));
    let lead = store.lead("promote", Duration::from_secs(5)).await.unwrap();
    assert!(lead.token > backup.revision);
    drop(lead);
    while store
        .get(&Key::new("lead/promote"))
        .await
        .unwrap()
        .is_some()
    {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_restored_over_a_store() {
    let dir = TempDir::new().unwrap();
    let sled_dir = dir.path().join("store");
    let sled = SledStore::open(&sled_dir, SledOptions::default()).unwrap();
    commit(&sled, Vec::new(), vec![put("t/a", "kept")]).await;
    let backup = back_up(&sled, dir.path(), "backup").await;
    let refused = SledStore::restore(&sled_dir, &SledOptions::default(), &backup).unwrap_err();
    assert!(
        refused.to_string().contains("another process has it open"),
        "{refused}"
    );
    sled.close().await;
    let refused = SledStore::restore(&sled_dir, &SledOptions::default(), &backup).unwrap_err();
    assert!(matches!(refused, RestoreError::NotEmpty(_)), "{refused}");
    // A store that was lost may be replaced, as its error says.
    std::fs::remove_dir_all(sled_dir.join("store")).unwrap();
    let lost = SledStore::open(&sled_dir, SledOptions::default()).unwrap_err();
    assert!(
        lost.to_string().contains("restore it from a backup"),
        "{lost}"
    );
    SledStore::restore(&sled_dir, &SledOptions::default(), &backup).unwrap();
    let sled = SledStore::open(&sled_dir, SledOptions::default()).unwrap();
    assert!(sled.get(&Key::new("t/a")).await.unwrap().is_some());

    if !has_etcd() {
        return;
    }
    let cluster = Cluster::start(1);
    let options = EtcdOptions::new(cluster.endpoints());
    EtcdStore::open(&options, None).await.unwrap();
    let refused = EtcdStore::restore(&options, &backup).await.unwrap_err();
    assert!(matches!(refused, RestoreError::NotEmpty(_)), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_into_etcd_that_was_interrupted_goes_on_and_no_server_opens_it_before() {
    if !has_etcd() {
        return;
    }
    let dir = TempDir::new().unwrap();
    let sled = SledStore::open(&dir.path().join("store"), SledOptions::default()).unwrap();
    fill(&sled, 3000).await;
    let backup = back_up(&sled, dir.path(), "backup").await;
    commit(&sled, Vec::new(), vec![put("t/a", "later")]).await;
    let other = back_up(&sled, dir.path(), "other").await;
    let cluster = Cluster::start(1);
    let options = EtcdOptions::new(cluster.endpoints());
    {
        let interrupted = EtcdStore::restore(&options, &backup);
        tokio::pin!(interrupted);
        // Until the first entries are there.
        loop {
            let step = timeout(Duration::from_millis(1), &mut interrupted).await;
            assert!(step.is_err(), "it takes longer than that");
            if !cluster
                .etcdctl_ok(&[
                    "get",
                    "--prefix",
                    "pinion/t/",
                    "--keys-only",
                    "--limit",
                    "1",
                ])
                .is_empty()
            {
                break;
            }
        }
    }
    let error = EtcdStore::open(&options, None).await.unwrap_err();
    assert!(
        matches!(&error, Error::Unavailable(cause) if cause.contains("run it again, with the same backup")),
        "{error}"
    );
    let refused = EtcdStore::restore(&options, &other).await.unwrap_err();
    assert!(
        refused.to_string().contains("another backup was begun"),
        "{refused}"
    );
    EtcdStore::restore(&options, &backup).await.unwrap();
    let etcd = EtcdStore::open(&options, None).await.unwrap();
    let restored = back_up(&etcd, dir.path(), "restored").await;
    assert_eq!(entries(&restored), entries(&backup));
}
