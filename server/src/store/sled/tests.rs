//! Facts about the owner thread, on a disk that does what the test says.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use futures_util::StreamExt;
use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use super::group::Group;
use super::*;
use crate::store::Transaction;

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_committed_as_one_group() {
    let (store, disk) = start(SledOptions::default());
    let first = spawn_put(&store, "t/first");
    assert_eq!(disk.begun(), 1);
    let others: Vec<_> = (0..50)
        .map(|n| spawn_put(&store, &format!("t/{n}")))
        .collect();
    // All of them have asked before the disk is done with the first.
    sleep(SHORT).await;
    disk.step(Step::Succeed);
    assert_eq!(disk.begun(), 50);
    disk.step(Step::Succeed);
    assert_eq!(first.await.unwrap().unwrap(), Commit::Done(1));
    let mut revisions: Vec<_> = join_all(others)
        .await
        .into_iter()
        .map(|commit| commit.unwrap().unwrap())
        .collect();
    revisions.sort_by_key(|commit| format!("{commit:?}").len());
    assert_eq!(revisions.len(), 50);
    assert!((2..=51).all(|revision| revisions.contains(&Commit::Done(revision))));
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_are_judged_on_what_the_group_did_before() {
    let (store, disk) = start(SledOptions::default());
    let first = spawn_put(&store, "t/first");
    assert_eq!(disk.begun(), 1);
    let creators: Vec<_> = (0..10)
        .map(|_| {
            spawn_commit(
                &store,
                vec![Condition::Absent(key("t/a"))],
                vec![put("t/a")],
            )
        })
        .collect();
    sleep(SHORT).await;
    disk.step(Step::Succeed);
    assert_eq!(disk.begun(), 1, "only one of them changes anything");
    disk.step(Step::Succeed);
    first.await.unwrap().unwrap();
    let commits: Vec<_> = join_all(creators)
        .await
        .into_iter()
        .map(|it| it.unwrap().unwrap())
        .collect();
    assert_eq!(
        commits
            .iter()
            .filter(|commit| **commit == Commit::Done(2))
            .count(),
        1
    );
    assert_eq!(
        commits
            .iter()
            .filter(|commit| **commit == Commit::Conflict)
            .count(),
        9
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_seen_or_acknowledged_before_it_is_durable() {
    let (store, disk) = start(SledOptions::default());
    let mut watcher = store.watch("t/", 0).await.unwrap();
    let waiting = spawn_put(&store, "t/a");
    assert_eq!(disk.begun(), 1);
    // A conflict with what is not durable would give it away too.
    let conflict = spawn_commit(
        &store,
        vec![Condition::Absent(key("t/a"))],
        vec![put("t/a")],
    );
    sleep(SHORT).await;
    assert!(!waiting.is_finished() && !conflict.is_finished());
    assert_eq!(store.get(&key("t/a")).await.unwrap(), None);
    assert_eq!(store.page("", None, 1).await.unwrap().revision, 0);
    assert!(timeout(SHORT, watcher.next()).await.is_err());
    disk.step(Step::Succeed);
    assert_eq!(waiting.await.unwrap().unwrap(), Commit::Done(1));
    assert_eq!(conflict.await.unwrap().unwrap(), Commit::Conflict);
    assert!(store.get(&key("t/a")).await.unwrap().is_some());
    assert!(timeout(PATIENCE, watcher.next()).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_write_ends_the_store() {
    assert_ends_the_store(Step::Fail, "the disk is on fire").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_of_sled_ends_the_store() {
    assert_ends_the_store(Step::Panic, "sled panicked: index out of bounds").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_never_answers_ends_the_store() {
    let options = SledOptions {
        stall_max: Duration::from_millis(100),
        ..SledOptions::default()
    };
    let (store, disk) = start(options);
    let outcome = store.commit(transaction(vec![], vec![put("t/a")])).await;
    assert!(
        matches!(&outcome, Err(Error::Unknown(cause)) if cause.contains("did not answer for 100ms"))
    );
    assert!(
        timeout(PATIENCE, store.failed())
            .await
            .unwrap()
            .contains("did not answer")
    );
    // What it answers later is not published.
    disk.step(Step::Succeed);
    assert_unavailable(&store, "did not answer").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_are_refused_while_space_is_low() {
    let options = SledOptions {
        commit_bytes_free_min: 1000,
        ..SledOptions::default()
    };
    let (store, disk) = start(options);
    disk.free_bytes.store(999, Ordering::SeqCst);
    let refused = store.commit(transaction(vec![], vec![put("t/a")])).await;
    let message = "999 bytes are free, 1000 are needed to accept transactions: free some space";
    assert!(
        matches!(&refused, Err(Error::Unavailable(cause)) if cause == message),
        "{refused:?}"
    );
    assert_eq!(
        store.alarms(),
        [Alarm::SpaceLow {
            free: 999,
            need: 1000
        }]
    );
    assert_eq!(store.get(&key("t/a")).await.unwrap(), None);

    disk.free_bytes.store(1000, Ordering::SeqCst);
    disk.step(Step::Succeed);
    store
        .commit(transaction(vec![], vec![put("t/a")]))
        .await
        .unwrap();
    let since = Instant::now();
    while !store.alarms().is_empty() {
        assert!(since.elapsed() < PATIENCE, "the alarm stays");
        sleep(SHORT).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn values_outside_of_the_file_raise_an_alarm() {
    let (store, disk) = start(SledOptions::default());
    disk.blobs.store(2, Ordering::SeqCst);
    disk.step(Step::Succeed);
    store
        .commit(transaction(vec![], vec![put("t/a")]))
        .await
        .unwrap();
    let since = Instant::now();
    while store.alarms() != [Alarm::Blobs { files: 2 }] {
        assert!(since.elapsed() < PATIENCE, "no alarm is raised");
        sleep(SHORT).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waited_before_the_end_is_committed() {
    let (store, disk) = start(SledOptions::default());
    let first = spawn_put(&store, "t/first");
    assert_eq!(disk.begun(), 1);
    let last = spawn_put(&store, "t/last");
    sleep(SHORT).await;
    let closing = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.close().await }
    });
    sleep(SHORT).await;
    let late = spawn_put(&store, "t/late");
    disk.step(Step::Succeed);
    disk.step(Step::Succeed);
    first.await.unwrap().unwrap();
    last.await.unwrap().unwrap();
    closing.await.unwrap();
    assert!(matches!(late.await.unwrap(), Err(Error::Unavailable(_))));
    assert_unavailable(&store, "it was closed").await;
    assert!(
        timeout(SHORT, store.failed()).await.is_err(),
        "being closed is no failure"
    );
}

async fn assert_ends_the_store(step: Step, cause: &str) {
    let (store, disk) = start(SledOptions::default());
    disk.step(Step::Succeed);
    disk.step(Step::Succeed);
    store
        .commit(transaction(vec![], vec![put("t/a")]))
        .await
        .unwrap();
    let leader = store.lead("promote", PATIENCE).await.unwrap();
    assert_eq!((disk.begun(), disk.begun()), (1, 1));
    let mut watcher = store.watch("t/", 0).await.unwrap();
    assert!(watcher.next().await.is_some());

    let in_doubt = spawn_put(&store, "t/b");
    assert_eq!(disk.begun(), 1);
    let waiting = spawn_put(&store, "t/c");
    sleep(SHORT).await;
    disk.step(step);
    let outcome = in_doubt.await.unwrap();
    assert!(
        matches!(&outcome, Err(Error::Unknown(text)) if text.contains(cause)),
        "{outcome:?}"
    );
    let outcome = waiting.await.unwrap();
    assert!(
        matches!(&outcome, Err(Error::Unavailable(text)) if text.contains(cause)),
        "{outcome:?}"
    );
    assert!(
        timeout(PATIENCE, store.failed())
            .await
            .unwrap()
            .contains(cause)
    );
    assert_unavailable(&store, cause).await;
    assert_eq!(timeout(PATIENCE, watcher.next()).await.unwrap(), None);
    assert!(*leader.lost.borrow());
    drop(leader);
    store.close().await;
    assert_eq!(
        disk.begun.try_recv().ok(),
        None,
        "something was written after the failure"
    );
}

async fn assert_unavailable(store: &SledStore, cause: &str) {
    let errors = [
        store
            .commit(transaction(vec![], vec![put("t/z")]))
            .await
            .err(),
        store.get(&key("t/a")).await.err(),
        store.page("", None, 1).await.err(),
        store.watch("t/", 0).await.err(),
        store.lead("promote", PATIENCE).await.err(),
        store.export(&mut Nothing).await.err(),
    ];
    for error in errors {
        assert!(
            matches!(&error, Some(Error::Unavailable(text)) if text.contains(cause)),
            "{error:?}"
        );
    }
}

const PATIENCE: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(50);

#[derive(Clone, Copy)]
enum Step {
    Succeed,
    Fail,
    Panic,
}

/// The disk's end of the strings.
struct ScriptedDisk {
    begun: Sender<usize>,
    steps: Receiver<Step>,
    free_bytes: Arc<AtomicU64>,
    blobs: Arc<AtomicUsize>,
}

/// The test's end of the strings.
struct Script {
    begun: Receiver<usize>,
    steps: Sender<Step>,
    free_bytes: Arc<AtomicU64>,
    blobs: Arc<AtomicUsize>,
}

impl Script {
    /// Waits for the next group to reach the disk, and says how many transactions it has.
    fn begun(&self) -> usize {
        self.begun.recv_timeout(PATIENCE).unwrap()
    }

    fn step(&self, step: Step) {
        self.steps.send(step).unwrap();
    }
}

impl Disk for ScriptedDisk {
    fn commit(&mut self, group: &mut Group) -> Result<(), String> {
        let _ = self.begun.send(group.changes.len());
        match self.steps.recv() {
            Ok(Step::Succeed) => Ok(()),
            Ok(Step::Fail) | Err(_) => Err("the disk is on fire".to_owned()),
            Ok(Step::Panic) => panic!("index out of bounds"),
        }
    }

    fn settle(&mut self) -> Result<(), String> {
        Ok(())
    }

    fn free_bytes(&self) -> Result<u64, Error> {
        Ok(self.free_bytes.load(Ordering::SeqCst))
    }

    fn count_blobs(&self) -> Result<usize, Error> {
        Ok(self.blobs.load(Ordering::SeqCst))
    }
}

struct Nothing;

impl Sink for Nothing {
    fn entry(&mut self, _: &Entry) -> std::io::Result<()> {
        Ok(())
    }
}

fn start(options: SledOptions) -> (Arc<SledStore>, Script) {
    let (begun, begins) = channel();
    let (steps, script) = channel();
    let free_bytes = Arc::new(AtomicU64::new(u64::MAX));
    let blobs = Arc::new(AtomicUsize::new(0));
    let disk = ScriptedDisk {
        begun,
        steps: script,
        free_bytes: free_bytes.clone(),
        blobs: blobs.clone(),
    };
    let store = SledStore::start(options, move || Ok((disk, View::default()))).unwrap();
    (
        Arc::new(store),
        Script {
            begun: begins,
            steps,
            free_bytes,
            blobs,
        },
    )
}

type Committing = tokio::task::JoinHandle<Result<Commit, Error>>;

fn spawn_put(store: &Arc<SledStore>, key: &str) -> Committing {
    spawn_commit(store, vec![], vec![put(key)])
}

fn spawn_commit(
    store: &Arc<SledStore>,
    conditions: Vec<Condition>,
    operations: Vec<Operation>,
) -> Committing {
    let store = Arc::clone(store);
    tokio::spawn(async move { store.commit(transaction(conditions, operations)).await })
}

fn transaction(conditions: Vec<Condition>, operations: Vec<Operation>) -> Transaction {
    Transaction {
        conditions,
        operations,
    }
}

fn key(key: &str) -> Key {
    Key::new(key)
}

fn put(key: &str) -> Operation {
    Operation::Put(Key::new(key), Bytes::from_static(b"x"))
}
