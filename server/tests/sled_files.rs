//! What the sled store does about the state in which a crash, a full disk or a bad sector leaves its files.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use pinion_server::store::sled::{Alarm, SledOptions, SledStore};
use pinion_server::store::{Commit, Error, Key, Operation, Store, Transaction, VALUE_BYTES_MAX};
use tempfile::tempdir;

fn key(n: usize) -> Key {
    Key::new(format!("t/{n:05}"))
}

/// A value of which no other byte sequence is a part.
fn value(n: usize) -> Vec<u8> {
    (0..200)
        .flat_map(|k| u32::try_from(n * 1000 + k).unwrap().to_le_bytes())
        .collect()
}

async fn put(store: &SledStore, key: Key, value: Vec<u8>) -> Result<Commit, Error> {
    let operations = vec![Operation::Put(key, value.into())];
    store
        .commit(Transaction {
            conditions: vec![],
            operations,
        })
        .await
}

/// A closed store with `count` records.
async fn filled(dir: &Path, count: usize) {
    let store = SledStore::open(dir, SledOptions::default()).unwrap();
    for n in 0..count {
        put(&store, key(n), value(n)).await.unwrap();
    }
    store.close().await;
}

async fn assert_all(store: &SledStore, count: usize) {
    for n in 0..count {
        let entry = store
            .get(&key(n))
            .await
            .unwrap()
            .unwrap_or_else(|| panic!("record {n} is lost"));
        assert_eq!(entry.value, value(n));
    }
}

fn unavailable(opened: Result<SledStore, Error>) -> String {
    match opened {
        Err(Error::Unavailable(cause)) => cause,
        other => panic!("{other:?}"),
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        match path.is_dir() {
            true => copy(&path, &target),
            false => drop(fs::copy(&path, &target).unwrap()),
        }
    }
}

#[tokio::test]
async fn an_unfinished_snapshot_of_a_crashed_open_is_removed() {
    let dir = tempdir().unwrap();
    filled(dir.path(), 50).await;
    // sled takes the highest number for the newest snapshot, whatever is in it.
    let unfinished = dir.path().join("store/snap.FFFFFFFFFFFFFFFF.generating");
    fs::write(&unfinished, b"half a snap").unwrap();
    let store = SledStore::open(dir.path(), SledOptions::default()).unwrap();
    assert!(!unfinished.exists());
    assert_all(&store, 50).await;
    store.close().await;
}

#[tokio::test]
async fn a_store_that_was_half_made_is_made_again() {
    let dir = tempdir().unwrap();
    let half = dir.path().join("store.new");
    fs::create_dir_all(&half).unwrap();
    fs::write(half.join("conf"), b"half").unwrap();
    let store = SledStore::open(dir.path(), SledOptions::default()).unwrap();
    put(&store, key(0), value(0)).await.unwrap();
    assert_all(&store, 1).await;
    assert!(!half.exists());
    store.close().await;
}

#[tokio::test]
async fn a_store_that_has_gone_missing_is_not_replaced_by_an_empty_one() {
    let dir = tempdir().unwrap();
    filled(dir.path(), 1).await;
    fs::remove_dir_all(dir.path().join("store")).unwrap();
    let cause = unavailable(SledStore::open(dir.path(), SledOptions::default()));
    assert!(
        cause.contains("is missing") && cause.contains("restore it from a backup"),
        "{cause}"
    );
    assert!(!dir.path().join("store").exists());
}

#[tokio::test]
async fn a_store_of_somebody_else_is_not_taken_for_ours() {
    let (ours, theirs) = (tempdir().unwrap(), tempdir().unwrap());
    filled(ours.path(), 1).await;
    filled(theirs.path(), 2).await;
    fs::remove_dir_all(ours.path().join("store")).unwrap();
    copy(&theirs.path().join("store"), &ours.path().join("store"));
    let cause = unavailable(SledStore::open(ours.path(), SledOptions::default()));
    assert!(cause.contains("store.id"), "{cause}");
}

#[tokio::test]
async fn an_older_copy_of_the_store_is_not_taken_for_the_newest() {
    let (dir, old) = (tempdir().unwrap(), tempdir().unwrap());
    filled(dir.path(), 5).await;
    copy(&dir.path().join("store"), old.path());
    let store = SledStore::open(dir.path(), SledOptions::default()).unwrap();
    put(&store, key(5), value(5)).await.unwrap();
    store.close().await;
    fs::remove_dir_all(dir.path().join("store")).unwrap();
    copy(old.path(), &dir.path().join("store"));
    let opened = SledStore::open(dir.path(), SledOptions::default());
    assert!(
        opened.is_err(),
        "an acknowledged record is gone and nobody says so"
    );
}

#[tokio::test]
async fn a_store_is_open_in_one_place_at_a_time() {
    let dir = tempdir().unwrap();
    let store = SledStore::open(dir.path(), SledOptions::default()).unwrap();
    let cause = unavailable(SledStore::open(dir.path(), SledOptions::default()));
    assert!(cause.contains("another process has it open"), "{cause}");
    store.close().await;
    SledStore::open(dir.path(), SledOptions::default())
        .unwrap()
        .close()
        .await;
}

#[tokio::test]
async fn a_full_disk_is_noticed_before_the_store_is_opened() {
    let dir = tempdir().unwrap();
    filled(dir.path(), 1).await;
    let options = SledOptions {
        open_bytes_free_min: u64::MAX,
        ..SledOptions::default()
    };
    let cause = unavailable(SledStore::open(dir.path(), options));
    assert!(cause.contains("free some space"), "{cause}");
    let store = SledStore::open(dir.path(), SledOptions::default()).unwrap();
    assert_all(&store, 1).await;
    store.close().await;
}

#[tokio::test]
async fn the_largest_values_stay_in_the_file_that_is_synced() {
    let dir = tempdir().unwrap();
    let store = SledStore::open(dir.path(), SledOptions::default()).unwrap();
    for n in 0..200 {
        put(
            &store,
            key(n),
            vec![u8::try_from(n).unwrap(); VALUE_BYTES_MAX],
        )
        .await
        .unwrap();
    }
    let blobs = dir.path().join("store/blobs");
    let count = fs::read_dir(blobs).map_or(0, Iterator::count);
    assert_eq!(count, 0, "values lie in `blobs/`, which is never durable");
    store.close().await;
}

#[tokio::test]
async fn a_cut_file_is_an_error_and_never_a_shorter_store() {
    let (dir, whole) = (tempdir().unwrap(), tempdir().unwrap());
    filled(whole.path(), 300).await;
    let bytes = fs::metadata(whole.path().join("store/db")).unwrap().len();
    let data = last_data(&whole.path().join("store/db"));
    for part in 1..10u64 {
        let place = dir.path().join(part.to_string());
        copy(whole.path(), &place);
        let file = fs::File::options()
            .write(true)
            .open(place.join("store/db"))
            .unwrap();
        file.set_len((data * part / 10).min(bytes)).unwrap();
        match SledStore::open(&place, SledOptions::default()) {
            Err(error) => assert!(error.to_string().len() > 20, "{error}"),
            Ok(store) => {
                assert_all_or_damaged(&store, 300).await;
                store.close().await;
            }
        }
    }
}

#[tokio::test]
async fn a_flipped_bit_is_an_error_or_an_alarm_and_never_a_wrong_value() {
    let (dir, whole) = (tempdir().unwrap(), tempdir().unwrap());
    filled(whole.path(), 300).await;
    let data = last_data(&whole.path().join("store/db"));
    let mut noticed = 0;
    for round in 0..40u64 {
        let place: PathBuf = dir.path().join(round.to_string());
        copy(whole.path(), &place);
        let file = place.join("store/db");
        let mut bytes = fs::read(&file).unwrap();
        // Spread over the file, at other offsets within its pages each time.
        let at = usize::try_from(data * round / 40 + round * 13 % 97).unwrap();
        bytes[at] ^= 1 << (round % 8);
        fs::write(&file, bytes).unwrap();
        match SledStore::open(&place, SledOptions::default()) {
            Err(_) => noticed += 1,
            Ok(store) => {
                noticed += usize::from(assert_all_or_damaged(&store, 300).await);
                store.close().await;
            }
        }
        fs::remove_dir_all(&place).unwrap();
    }
    assert!(
        noticed > 5,
        "only {noticed} of 40 flips met any data: the test looks at the wrong place"
    );
}

/// Every record is as it was, or the store says that it is damaged; whether any is.
async fn assert_all_or_damaged(store: &SledStore, count: usize) -> bool {
    let mut damaged = BTreeMap::new();
    for n in 0..count {
        match store.get(&key(n)).await {
            Ok(Some(entry)) => assert_eq!(entry.value, value(n), "record {n} is another one"),
            Ok(None) => panic!("record {n} is lost and nobody says so"),
            Err(Error::Damaged { key, cause }) => drop(damaged.insert(key, cause)),
            Err(error) => panic!("{error}"),
        }
    }
    if !damaged.is_empty() {
        let alarms = store.alarms();
        assert!(
            alarms
                .iter()
                .any(|alarm| !matches!(alarm, Alarm::SpaceLow { .. })),
            "{alarms:?}"
        );
    }
    !damaged.is_empty()
}

/// Where the data of a file end: sled makes it longer than it needs.
fn last_data(file: &Path) -> u64 {
    let bytes = fs::read(file).unwrap();
    let last = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    u64::try_from(last).unwrap()
}
