//! Conditions, operations and revisions.

use pinion_server::store::{Commit, Condition};
use tokio::task::JoinSet;

use crate::fixtures::Fixture;
use crate::shorthand::{conflicts, contents, delete, done, get, key, put, transaction, value};

pub(crate) async fn an_absent_key_can_be_created_once(fixture: &mut impl Fixture) {
    let store = &*fixture.store();
    let revision = done(store, [Condition::Absent(key("t/a"))], [put("t/a", "one")]).await;
    conflicts(store, [Condition::Absent(key("t/a"))], [put("t/a", "two")]).await;
    let entry = get(store, "t/a").await.unwrap();
    assert_eq!(&*entry.value, b"one");
    assert_eq!((entry.created, entry.modified), (revision, revision));
}

pub(crate) async fn a_put_keeps_created_and_raises_modified(fixture: &mut impl Fixture) {
    let store = &*fixture.store();
    let first = done(store, [], [put("t/a", "one")]).await;
    let second = done(store, [], [put("t/a", "two")]).await;
    let entry = get(store, "t/a").await.unwrap();
    assert_eq!((entry.created, entry.modified), (first, second));
    assert_eq!(&*entry.value, b"two");
}

pub(crate) async fn a_modified_condition_holds_for_the_last_put_only(fixture: &mut impl Fixture) {
    let store = &*fixture.store();
    let first = done(store, [], [put("t/a", "one")]).await;
    let second = done(
        store,
        [Condition::Modified(key("t/a"), first)],
        [put("t/a", "two")],
    )
    .await;
    conflicts(
        store,
        [Condition::Modified(key("t/a"), first)],
        [put("t/a", "three")],
    )
    .await;
    conflicts(
        store,
        [Condition::Modified(key("t/b"), second)],
        [put("t/b", "three")],
    )
    .await;
    done(
        store,
        [Condition::Modified(key("t/a"), second)],
        [put("t/b", "other")],
    )
    .await;
    done(
        store,
        [Condition::Modified(key("t/a"), second)],
        [put("t/a", "three")],
    )
    .await;
    assert_eq!(value(store, "t/a").await.unwrap(), "three");
}

pub(crate) async fn a_created_condition_holds_until_the_key_is_deleted(fixture: &mut impl Fixture) {
    let store = &*fixture.store();
    let created = done(store, [], [put("t/a", "one")]).await;
    let is_same = [Condition::Created(key("t/a"), created)];
    done(store, is_same.clone(), [put("t/a", "two")]).await;
    done(store, is_same.clone(), [put("t/b", "guarded")]).await;
    done(store, is_same.clone(), [delete("t/a")]).await;
    conflicts(store, is_same.clone(), [put("t/b", "late")]).await;
    done(store, [], [put("t/a", "again")]).await;
    conflicts(store, is_same, [put("t/b", "late")]).await;
    assert_eq!(value(store, "t/b").await.unwrap(), "guarded");
}

pub(crate) async fn a_conflict_leaves_nothing(fixture: &mut impl Fixture) {
    let store = &*fixture.store();
    done(store, [], [put("t/kept", "old"), put("t/there", "old")]).await;
    let before = store.page("", None, 100).await.unwrap();
    let conditions = [
        Condition::Absent(key("t/free")),
        Condition::Absent(key("t/there")),
    ];
    conflicts(
        store,
        conditions,
        [
            put("t/free", "new"),
            put("t/kept", "new"),
            delete("t/there"),
        ],
    )
    .await;
    assert_eq!(store.page("", None, 100).await.unwrap(), before);
}

pub(crate) async fn a_transaction_happens_in_one_revision(fixture: &mut impl Fixture) {
    let store = &*fixture.store();
    done(store, [], [put("t/old", "x")]).await;
    let revision = done(
        store,
        [],
        [put("t/b", "2"), delete("t/old"), put("t/a", "1")],
    )
    .await;
    let page = store.page("t/", None, 10).await.unwrap();
    assert_eq!(page.revision, revision);
    assert_eq!(page.entries.len(), 2);
    assert!(
        page.entries
            .iter()
            .all(|entry| entry.created == revision && entry.modified == revision)
    );
}

pub(crate) async fn a_deleted_key_is_created_anew(fixture: &mut impl Fixture) {
    let store = &*fixture.store();
    let first = done(store, [], [put("t/a", "one")]).await;
    done(store, [], [delete("t/a")]).await;
    assert_eq!(get(store, "t/a").await, None);
    let second = done(store, [Condition::Absent(key("t/a"))], [put("t/a", "two")]).await;
    let entry = get(store, "t/a").await.unwrap();
    assert_eq!((entry.created, entry.modified), (second, second));
    assert!(second > first);
}

pub(crate) async fn deleting_an_absent_key_changes_nothing(fixture: &mut impl Fixture) {
    let store = &*fixture.store();
    let before = done(store, [], [put("t/a", "one")]).await;
    assert_eq!(done(store, [], [delete("t/nothing")]).await, before);
    assert_eq!(store.page("", None, 1).await.unwrap().revision, before);
    let both = done(store, [], [delete("t/nothing"), delete("t/a")]).await;
    assert!(both > before);
}

pub(crate) async fn revisions_strictly_rise(fixture: &mut impl Fixture) {
    let store = &*fixture.store();
    let mut last = 0;
    for round in 0..20 {
        let operation = if round % 3 == 2 {
            delete("t/a")
        } else {
            put("t/a", "x")
        };
        let revision = done(store, [], [operation]).await;
        assert!(revision > last, "{revision} follows {last}");
        last = revision;
    }
}

pub(crate) async fn of_many_creators_exactly_one_wins(fixture: &mut impl Fixture) {
    let store = fixture.store();
    for round in 0..5 {
        let contested = format!("t/{round}");
        let mut creators = JoinSet::new();
        for creator in 0..32_u32 {
            let (store, contested) = (fixture.store(), contested.clone());
            creators.spawn(async move {
                let conditions = [Condition::Absent(key(&contested))];
                let operations = [put(&contested, creator.to_string())];
                (
                    creator,
                    store
                        .commit(transaction(conditions, operations))
                        .await
                        .unwrap(),
                )
            });
        }
        let commits = creators.join_all().await;
        let winners: Vec<_> = commits
            .iter()
            .filter(|(_, commit)| *commit != Commit::Conflict)
            .collect();
        let [(winner, Commit::Done(revision))] = winners[..] else {
            panic!("{winners:?}")
        };
        let entry = get(&*store, &contested).await.unwrap();
        assert_eq!(entry.value, winner.to_string());
        assert_eq!(entry.created, *revision);
    }
}

pub(crate) async fn concurrent_counting_loses_nothing(fixture: &mut impl Fixture) {
    let store = fixture.store();
    done(&*store, [], [put("t/count", "0")]).await;
    let mut counters = JoinSet::new();
    for _ in 0..8 {
        let store = fixture.store();
        counters.spawn(async move {
            let mut counted = 0;
            while counted < 10 {
                let entry = get(&*store, "t/count").await.unwrap();
                let count: u32 = std::str::from_utf8(&entry.value).unwrap().parse().unwrap();
                let is_unchanged = Condition::Modified(entry.key, entry.modified);
                let next = put("t/count", (count + 1).to_string());
                let commit = store
                    .commit(transaction([is_unchanged], [next]))
                    .await
                    .unwrap();
                counted += u32::from(commit != Commit::Conflict);
            }
        });
    }
    counters.join_all().await;
    assert_eq!(value(&*store, "t/count").await.unwrap(), "80");
}

pub(crate) async fn everything_survives_a_restart(fixture: &mut impl Fixture) {
    let store = fixture.store();
    done(
        &*store,
        [],
        [put("t/a", "one"), put("t/b", "gone"), put("t/empty", "")],
    )
    .await;
    done(&*store, [], [put("t/a", "two")]).await;
    let last = done(&*store, [], [delete("t/b")]).await;
    let before = (contents(&*store, "").await, get(&*store, "t/a").await);
    drop(store);
    let Some(store) = fixture.restart().await else {
        return;
    };
    assert_eq!(
        (contents(&*store, "").await, get(&*store, "t/a").await),
        before
    );
    assert!(store.page("", None, 1).await.unwrap().revision >= last);
    assert!(done(&*store, [], [put("t/c", "new")]).await > last);
}
