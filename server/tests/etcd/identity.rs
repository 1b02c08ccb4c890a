//! Whose store it is, and what others do to its keys.

use pinion_server::store::etcd::EtcdStore;
use pinion_server::store::{Error, Key, Store, front};
use tempfile::TempDir;
use tokio::time::timeout;

use crate::cluster::{Cluster, has_etcd};
use crate::{PATIENCE, open, options, put, refusal};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_start_at_once_agree_on_the_store() {
    if !has_etcd() {
        return;
    }
    let cluster = Cluster::start(1);
    let options = options(&cluster);
    let opening = (0..6).map(|_| EtcdStore::open(&options, None));
    let stores = futures_util::future::try_join_all(opening).await.unwrap();
    let mut ids = Vec::new();
    for store in &stores {
        let entry = store.get(&Key::new(front::ID_KEY)).await.unwrap();
        ids.push(entry.unwrap().value);
        put(store, "t/a", "x").await.unwrap();
    }
    ids.dedup();
    assert_eq!(ids.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_was_replaced_takes_nothing_from_who_had_it_open_or_has_noted_it() {
    if !has_etcd() {
        return;
    }
    let cluster = Cluster::start(1);
    let dir = TempDir::new().unwrap();
    let note = dir.path().join("etcd-store-id");
    let options = options(&cluster);
    let store = EtcdStore::open(&options, Some(&note)).await.unwrap();
    put(&store, "t/a", "x").await.unwrap();

    cluster.etcdctl_ok(&["del", "--prefix", "pinion/"]);
    let failed = store.failed();
    let error = put(&store, "t/b", "x").await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("no longer the store that was opened"),
        "{error}"
    );
    let cause = timeout(PATIENCE, failed)
        .await
        .expect("the store has failed");
    assert!(cause.contains("replaced from a backup"), "{cause}");
    assert_eq!(cluster.etcdctl_ok(&["get", "--prefix", "pinion/"]), "");

    let error = EtcdStore::open(&options, Some(&note)).await.unwrap_err();
    assert!(
        error.to_string().contains("remove `etcd-store-id`"),
        "{error}"
    );
    // Another one in its place is not taken either.
    open(&cluster).await;
    let error = EtcdStore::open(&options, Some(&note)).await.unwrap_err();
    assert!(
        error.to_string().contains("this server has worked with"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_put_is_named_and_never_taken_for_a_record() {
    if !has_etcd() {
        return;
    }
    let cluster = Cluster::start(1);
    let store = open(&cluster).await;
    put(&store, "t/a", "x").await.unwrap();
    put(&store, "t/b", "x").await.unwrap();
    cluster.etcdctl_ok(&["put", "pinion/t/a", "something"]);
    for result in [
        store.get(&Key::new("t/a")).await.map(drop),
        store.page("t/", None, 10).await.map(drop),
    ] {
        let error = result.unwrap_err();
        assert!(
            matches!(&error, Error::Damaged { key, .. } if key == "t/a"),
            "{error}"
        );
    }
    assert!(store.get(&Key::new("t/b")).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prefix_with_keys_but_no_store_is_refused() {
    if !has_etcd() {
        return;
    }
    let cluster = Cluster::start(1);
    cluster.etcdctl_ok(&["put", "pinion/else", "x"]);
    let error = refusal(&options(&cluster)).await;
    assert!(
        error.contains("keys under the prefix, but no store"),
        "{error}"
    );
}
