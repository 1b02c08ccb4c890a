//! Keys, pages and exports.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pinion_server::store::{Error, front};

use crate::fixtures::Fixture;
use crate::shorthand::{Kept, delete, done, get, key, keys, put, value};

pub(crate) async fn an_empty_value_is_not_absence(fixture: &mut impl Fixture) {
    let store = &*fixture.store();
    assert_eq!(get(store, "t/a").await, None);
    done(store, [], [put("t/a", "")]).await;
    assert_eq!(value(store, "t/a").await.unwrap(), "");
}

pub(crate) async fn the_store_has_a_format_and_an_id(fixture: &mut impl Fixture) {
    let store = &*fixture.store();
    assert_eq!(value(store, front::FORMAT_KEY).await.unwrap(), "1");
    let id = value(store, front::ID_KEY).await.unwrap();
    uuid::Uuid::try_parse_ascii(&id).unwrap();
    if let Some(store) = fixture.restart().await {
        assert_eq!(value(&*store, front::ID_KEY).await.unwrap(), id);
    }
}

pub(crate) async fn pages_are_in_key_order_and_say_whether_more_follow(fixture: &mut impl Fixture) {
    let store = &*fixture.store();
    done(
        store,
        [],
        ["t/b", "t/a", "t/d", "t/c", "t/e"].map(|key| put(key, key)),
    )
    .await;
    let first = store.page("t/", None, 2).await.unwrap();
    assert_eq!(
        (keys(&first.entries), first.more),
        (vec!["t/a", "t/b"], true)
    );
    let second = store.page("t/", Some(&key("t/b")), 2).await.unwrap();
    assert_eq!(
        (keys(&second.entries), second.more),
        (vec!["t/c", "t/d"], true)
    );
    let last = store.page("t/", Some(&key("t/d")), 1).await.unwrap();
    assert_eq!((keys(&last.entries), last.more), (vec!["t/e"], false));
    let none = store.page("t/", Some(&key("t/e")), 2).await.unwrap();
    assert_eq!((keys(&none.entries), none.more), (vec![], false));
    assert_eq!(last.entries[0].value, "t/e");
}

pub(crate) async fn a_page_goes_on_after_a_key_that_is_gone(fixture: &mut impl Fixture) {
    let store = &*fixture.store();
    done(store, [], ["t/a", "t/b", "t/c"].map(|key| put(key, ""))).await;
    done(store, [], [delete("t/b")]).await;
    let page = store.page("t/", Some(&key("t/b")), 9).await.unwrap();
    assert_eq!(keys(&page.entries), ["t/c"]);
    // A key before the prefix is before all of it, and one behind it is behind all of it.
    let page = store.page("t/", Some(&key("a/z")), 9).await.unwrap();
    assert_eq!(keys(&page.entries), ["t/a", "t/c"]);
    let page = store.page("t/", Some(&key("u/a")), 9).await.unwrap();
    assert_eq!(keys(&page.entries), [""; 0]);
}

pub(crate) async fn a_prefix_is_no_more_and_no_less_than_its_characters(
    fixture: &mut impl Fixture,
) {
    let store = &*fixture.store();
    let all = [
        "t/a", "t/a!", "t/a/1", "t/a0", "t/a~", "t/b", "t/~", "t0", "t~~",
    ];
    done(store, [], all.map(|key| put(key, ""))).await;
    let page = async |prefix: &str| store.page(prefix, None, 100).await.unwrap().entries;
    assert_eq!(
        keys(&page("t/a").await),
        ["t/a", "t/a!", "t/a/1", "t/a0", "t/a~"]
    );
    assert_eq!(keys(&page("t/a/").await), ["t/a/1"]);
    assert_eq!(keys(&page("t/~").await), ["t/~"]);
    assert_eq!(keys(&page("t~").await), ["t~~"]);
    assert_eq!(keys(&page("t").await), all);
    assert_eq!(keys(&page("t/a/1/2").await), [""; 0]);
    // The whole store: all of ours, and what the engine keeps.
    assert_eq!(page("").await.len(), all.len() + page("meta/").await.len());
}

pub(crate) async fn a_page_is_of_its_revision(fixture: &mut impl Fixture) {
    let store = fixture.store();
    let is_over = Arc::new(AtomicBool::new(false));
    let writer = {
        let (store, is_over) = (fixture.store(), Arc::clone(&is_over));
        tokio::spawn(async move {
            for round in 0..50 {
                let value = round.to_string();
                done(&*store, [], [put("t/a", value.clone()), put("t/b", value)]).await;
            }
            is_over.store(true, Ordering::SeqCst);
        })
    };
    while !is_over.load(Ordering::SeqCst) {
        let page = store.page("t/", None, 9).await.unwrap();
        if let [a, b] = &page.entries[..] {
            assert_eq!(a.value, b.value);
            assert_eq!(a.modified, b.modified);
            assert!(a.modified <= page.revision);
        }
        tokio::task::yield_now().await;
    }
    writer.await.unwrap();
}

pub(crate) async fn an_export_is_complete_and_in_order(fixture: &mut impl Fixture) {
    let store = &*fixture.store();
    for first in 0..12 {
        let keys = (0..100).map(|second| format!("t/{first}/{second}"));
        let puts: Vec<_> = keys.map(|key| put(&key, key.clone())).collect();
        done(store, [], puts).await;
    }
    let mut kept = Kept::default();
    let revision = store.export(&mut kept).await.unwrap();
    assert_eq!(revision, store.page("", None, 1).await.unwrap().revision);
    assert!(kept.entries.is_sorted_by(|a, b| a.key < b.key));
    let ours = kept
        .entries
        .iter()
        .filter(|entry| entry.key.as_str().starts_with("t/"));
    assert_eq!(ours.clone().count(), 1200);
    for entry in ours.step_by(100) {
        assert_eq!(get(store, entry.key.as_str()).await.as_ref(), Some(entry));
    }
    assert!(
        kept.entries
            .iter()
            .any(|entry| entry.key.as_str() == front::ID_KEY)
    );
}

pub(crate) async fn an_export_is_of_one_revision(fixture: &mut impl Fixture) {
    let store = fixture.store();
    for first in 0..5 {
        let puts: Vec<_> = (0..100)
            .map(|second| put(&format!("t/{first}{second}"), "0"))
            .collect();
        done(&*store, [], puts).await;
    }
    let writer = {
        let store = fixture.store();
        tokio::spawn(async move {
            for round in 1..50 {
                let value = round.to_string();
                done(
                    &*store,
                    [],
                    [put("a/first", value.clone()), put("z/last", value)],
                )
                .await;
            }
        })
    };
    while !writer.is_finished() {
        let mut kept = Kept::default();
        let revision = store.export(&mut kept).await.unwrap();
        let find = |key| kept.entries.iter().find(|entry| entry.key.as_str() == key);
        assert_eq!(
            find("a/first").map(|e| &e.value),
            find("z/last").map(|e| &e.value)
        );
        assert!(kept.entries.iter().all(|entry| entry.modified <= revision));
        tokio::task::yield_now().await;
    }
    writer.await.unwrap();
}

pub(crate) async fn a_sink_that_refuses_ends_the_export(fixture: &mut impl Fixture) {
    let store = &*fixture.store();
    done(store, [], ["t/a", "t/b", "t/c"].map(|key| put(key, ""))).await;
    let mut kept = Kept {
        refuse_after: Some(2),
        ..Kept::default()
    };
    let error = store.export(&mut kept).await.unwrap_err();
    assert!(matches!(error, Error::Export(ref cause) if cause.to_string() == "the tape is full"));
    assert_eq!(kept.entries.len(), 2);
}
