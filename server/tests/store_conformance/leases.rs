//! Leases, their tokens and their queue.

use std::time::Duration;

use pinion_server::store::{Condition, Leader, Store};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use crate::fixtures::Fixture;
use crate::shorthand::{conflicts, done, get, put, value};

pub(crate) async fn a_lease_is_a_key_whose_creation_is_the_token(fixture: &mut impl Fixture) {
    let store = &*fixture.store();
    let leader = lead(store, "promote").await;
    assert_eq!(leader.key.as_str(), "lead/promote");
    assert_eq!(
        get(store, "lead/promote").await.unwrap().created,
        leader.token
    );
    assert!(!*leader.lost.borrow());
    done(store, [fence(&leader)], [put("t/a", "led")]).await;
    drop(leader);
    until_absent(store, "lead/promote").await;
}

pub(crate) async fn a_lease_has_one_holder_at_a_time(fixture: &mut impl Fixture) {
    let store = fixture.store();
    let first = lead(&*store, "promote").await;
    let mut waiting = tokio::spawn({
        let store = fixture.store();
        async move { lead(&*store, "promote").await }
    });
    assert!(
        timeout(SHORT, &mut waiting).await.is_err(),
        "two led at once"
    );
    let token = first.token;
    drop(first);
    let second = timeout(PATIENCE, waiting).await.unwrap().unwrap();
    assert!(second.token > token);
    assert_eq!(
        get(&*store, "lead/promote").await.unwrap().created,
        second.token
    );
}

pub(crate) async fn leases_of_other_names_do_not_wait(fixture: &mut impl Fixture) {
    let store = &*fixture.store();
    let first = lead(store, "promote").await;
    let second = lead(store, "file").await;
    done(store, [fence(&first), fence(&second)], [put("t/a", "both")]).await;
}

pub(crate) async fn a_former_holder_is_fenced(fixture: &mut impl Fixture) {
    let store = &*fixture.store();
    let first = lead(store, "promote").await;
    let old = fence(&first);
    drop(first);
    let second = lead(store, "promote").await;
    conflicts(store, [old.clone()], [put("t/a", "stale")]).await;
    done(store, [fence(&second)], [put("t/a", "fresh")]).await;
    drop(second);
    conflicts(store, [old], [put("t/a", "stale")]).await;
    assert_eq!(value(store, "t/a").await.unwrap(), "fresh");
}

pub(crate) async fn who_waits_longest_is_next(fixture: &mut impl Fixture) {
    let store = fixture.store();
    let first = lead(&*store, "promote").await;
    let (won, mut winners) = mpsc::unbounded_channel();
    for waiter in 0..4 {
        let (store, won) = (fixture.store(), won.clone());
        tokio::spawn(async move {
            let leader = lead(&*store, "promote").await;
            won.send(waiter).unwrap();
            drop(leader);
        });
        // So that the next one comes later.
        sleep(SHORT).await;
    }
    drop(first);
    for waiter in 0..4 {
        assert_eq!(
            timeout(PATIENCE, winners.recv()).await.unwrap(),
            Some(waiter)
        );
    }
}

pub(crate) async fn who_stops_waiting_is_passed_over(fixture: &mut impl Fixture) {
    let store = fixture.store();
    let first = lead(&*store, "promote").await;
    assert!(timeout(SHORT, lead(&*store, "promote")).await.is_err());
    drop(first);
    drop(lead(&*store, "promote").await);
    // Given up at every point of winning: what it left behind is in nobody's way.
    for round in 0..20 {
        let store = fixture.store();
        let waiting = tokio::spawn(async move { lead(&*store, "promote").await });
        sleep(Duration::from_micros(round * 100)).await;
        waiting.abort();
        let _ = waiting.await;
    }
    let last = lead(&*store, "promote").await;
    done(&*store, [fence(&last)], [put("t/a", "led")]).await;
}

pub(crate) async fn a_lease_is_free_after_a_restart(fixture: &mut impl Fixture) {
    let leader = lead(&*fixture.store(), "promote").await;
    let mut lost = leader.lost.clone();
    let Some(store) = fixture.restart().await else {
        return;
    };
    timeout(PATIENCE, lost.wait_for(|lost| *lost))
        .await
        .expect("told that it lost")
        .unwrap();
    conflicts(&*store, [fence(&leader)], [put("t/a", "stale")]).await;
    let next = lead(&*store, "promote").await;
    assert!(next.token > leader.token);
    // What the former process does with its lease no longer matters.
    drop(leader);
    sleep(SHORT).await;
    done(&*store, [fence(&next)], [put("t/a", "fresh")]).await;
}

const PATIENCE: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(50);

async fn lead(store: &dyn Store, name: &str) -> Leader {
    store.lead(name, Duration::from_secs(2)).await.unwrap()
}

fn fence(leader: &Leader) -> Condition {
    Condition::Created(leader.key.clone(), leader.token)
}

async fn until_absent(store: &dyn Store, key: &str) {
    let gone = async {
        while get(store, key).await.is_some() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, gone)
        .await
        .expect("a lease that was given up is gone");
}
