//! What watchers are told.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use pinion_server::store::{Event, Revision};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::fixtures::Fixture;
use crate::shorthand::{delete, done, key, keys, put, value};

pub(crate) async fn a_watcher_sees_what_comes_after_its_revision(fixture: &mut impl Fixture) {
    let store = &*fixture.store();
    let first = done(store, [], [put("t/a", "1")]).await;
    let second = done(store, [], [put("t/a", "2")]).await;
    let mut late = store.watch("t/", first).await.unwrap();
    let third = done(store, [], [put("t/a", "3")]).await;
    let fourth = done(store, [], [delete("t/a")]).await;
    let (revision, puts, _) = change(&mut late).await;
    assert_eq!((revision, &*puts[0].1, puts[0].2), (second, "2", first));
    let (revision, puts, _) = change(&mut late).await;
    assert_eq!((revision, &*puts[0].1, puts[0].2), (third, "3", first));
    let (revision, puts, deletes) = change(&mut late).await;
    assert_eq!(
        (revision, puts.len(), deletes),
        (fourth, 0, vec!["t/a".to_owned()])
    );
    assert_silent(&mut late).await;
}

pub(crate) async fn a_watcher_sees_only_its_prefix(fixture: &mut impl Fixture) {
    let store = &*fixture.store();
    let from = done(store, [], [put("u/x", "")]).await;
    let mut watcher = store.watch("t/", from).await.unwrap();
    done(store, [], [put("u/a", ""), put("t", "")]).await;
    let both = done(
        store,
        [],
        [put("u/b", ""), put("t/b", "seen"), delete("u/a")],
    )
    .await;
    let (revision, puts, deletes) = change(&mut watcher).await;
    assert_eq!(
        (revision, puts.len(), &*puts[0].0, deletes.len()),
        (both, 1, "t/b", 0)
    );
    done(store, [], [delete("t/nothing")]).await;
    done(store, [], [delete("u/b")]).await;
    assert_silent(&mut watcher).await;
}

pub(crate) async fn a_watcher_sees_whole_transactions_in_order(fixture: &mut impl Fixture) {
    let store = fixture.store();
    let from = store.page("", None, 1).await.unwrap().revision;
    let mut watcher = store.watch("t/", from).await.unwrap();
    let mut writers = JoinSet::new();
    for writer in 0..8 {
        let store = fixture.store();
        writers.spawn(async move {
            for round in 0..10 {
                let own = format!("t/{writer}/{round}");
                done(
                    &*store,
                    [],
                    [put(&own, "x"), put(&format!("{own}/twin"), "x")],
                )
                .await;
            }
        });
    }
    let mut last = from;
    for _ in 0..80 {
        let (revision, puts, _) = change(&mut watcher).await;
        assert!(revision > last);
        let [(first, ..), (twin, ..)] = &puts[..] else {
            panic!("{puts:?}")
        };
        assert_eq!(*twin, format!("{first}/twin"));
        last = revision;
    }
    writers.join_all().await;
    assert_silent(&mut watcher).await;
}

pub(crate) async fn a_watcher_can_read_what_it_was_told(fixture: &mut impl Fixture) {
    let store = fixture.store();
    let from = store.page("", None, 1).await.unwrap().revision;
    let mut watcher = store.watch("t/", from).await.unwrap();
    let writer = {
        let store = fixture.store();
        tokio::spawn(async move {
            for round in 0..30 {
                done(&*store, [], [put(&format!("t/{round}"), "x")]).await;
            }
        })
    };
    for _ in 0..30 {
        let (revision, puts, _) = change(&mut watcher).await;
        assert_eq!(value(&*store, &puts[0].0).await.unwrap(), "x");
        assert!(store.page("", None, 1).await.unwrap().revision >= revision);
    }
    writer.await.unwrap();
}

pub(crate) async fn a_watcher_from_the_future_is_told_to_resync(fixture: &mut impl Fixture) {
    let store = &*fixture.store();
    let now = done(store, [], [put("t/a", "")]).await;
    let mut watcher = store.watch("t/", now + 1000).await.unwrap();
    assert_eq!(next(&mut watcher).await, Event::Resync);
    let after = done(store, [], [put("t/b", "")]).await;
    assert_eq!(change(&mut watcher).await.0, after);
}

/// More is written than any engine keeps for a watcher that does not read.
pub(crate) async fn a_watcher_that_lags_is_told_and_holds_nobody_up(fixture: &mut impl Fixture) {
    let store = fixture.store();
    let from = store.page("", None, 1).await.unwrap().revision;
    let mut watcher = store.watch("t/", from).await.unwrap();
    let mut writers = JoinSet::new();
    for writer in 0..20 {
        let store = fixture.store();
        writers.spawn(async move {
            for _ in 0..50 {
                done(&*store, [], [put(&format!("t/{writer}"), vec![0; 12_000])]).await;
            }
        });
    }
    writers.join_all().await;
    // It may be given all it missed, or told that it missed something, but never skip silently.
    let mut seen = 0;
    let last = done(&*store, [], [put("t/last", "")]).await;
    loop {
        match next(&mut watcher).await {
            Event::Resync => break,
            Event::Change { revision, .. } => {
                seen += 1;
                assert!(revision <= last);
                if revision == last {
                    assert_eq!(seen, 1001);
                    break;
                }
            }
        }
    }
    let after = done(&*store, [], [put("t/after", "")]).await;
    // What comes up to the revision of a page that is listed now is to be ignored.
    let told = loop {
        match next(&mut watcher).await {
            Event::Change { revision, .. } if revision > last => break revision,
            _ => {}
        }
    };
    assert_eq!(told, after);
}

pub(crate) async fn a_watcher_after_a_restart_misses_nothing_silently(fixture: &mut impl Fixture) {
    let store = fixture.store();
    let first = done(&*store, [], [put("t/a", "")]).await;
    let missed = done(&*store, [], [put("t/b", "")]).await;
    let mut orphan = store.watch("t/", missed).await.unwrap();
    drop(store);
    let Some(store) = fixture.restart().await else {
        return;
    };
    assert_eq!(timeout(PATIENCE, orphan.next()).await.unwrap(), None);
    let mut watcher = store.watch("t/", first).await.unwrap();
    match next(&mut watcher).await {
        Event::Resync => {}
        Event::Change { revision, .. } => assert_eq!(revision, missed),
    }
    let after = done(&*store, [], [put("t/c", "")]).await;
    assert_eq!(change(&mut watcher).await.0, after);
    assert!(store.get(&key("t/b")).await.unwrap().is_some());
}

const PATIENCE: Duration = Duration::from_secs(20);
const SILENCE: Duration = Duration::from_millis(100);

async fn next(watcher: &mut BoxStream<'static, Event>) -> Event {
    timeout(PATIENCE, watcher.next())
        .await
        .expect("an event was due")
        .expect("the store is open")
}

/// The next event, which is a change: its revision, puts (key, value, created) and deletes.
async fn change(
    watcher: &mut BoxStream<'static, Event>,
) -> (Revision, Vec<(String, String, Revision)>, Vec<String>) {
    let Event::Change {
        revision,
        puts,
        deletes,
    } = next(watcher).await
    else {
        panic!("told to resync without need")
    };
    assert!(
        puts.iter().all(|put| put.modified == revision),
        "{:?}",
        keys(&puts)
    );
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let puts = puts
        .iter()
        .map(|put| (put.key.to_string(), text(&put.value), put.created))
        .collect();
    (
        revision,
        puts,
        deletes.iter().map(ToString::to_string).collect(),
    )
}

async fn assert_silent(watcher: &mut BoxStream<'static, Event>) {
    if let Ok(event) = timeout(SILENCE, watcher.next()).await {
        panic!("nothing was due, but {event:?} came");
    }
}
