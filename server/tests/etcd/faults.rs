//! Members that are killed, that stop without a word, and that are full.

use std::collections::HashSet;
use std::time::Duration;

use pinion_server::store::{Commit, Error, Event, Store};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::cluster::{Cluster, has_etcd};
use crate::{PATIENCE, create, keys, next, open, options, put, put_at_last};

const WRITERS: usize = 12;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_when_the_leader_is_killed_and_then_everyone() {
    if !has_etcd() {
        return;
    }
    let mut cluster = Cluster::start(3);
    let store = open(&cluster).await;
    let stop = CancellationToken::new();
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let (store, stop) = (store.clone(), stop.clone());
        writers.spawn(async move {
            let (mut acknowledged, mut late) = (Vec::new(), 0);
            for round in 0.. {
                if stop.is_cancelled() {
                    break;
                }
                let key = format!("t/{writer:02}/{round:06}");
                // The same again until the answer is known: a conflict means that it had happened.
                while let Err(error) = create(&store, &key).await {
                    let may_be_tried_again =
                        matches!(error, Error::Unknown(_) | Error::Unavailable(_));
                    assert!(may_be_tried_again, "{error}");
                    late += 1;
                }
                acknowledged.push(key);
            }
            (acknowledged, late)
        });
    }
    sleep(Duration::from_millis(500)).await;
    let leader = cluster.leader();
    cluster.kill(leader);
    sleep(Duration::from_secs(3)).await;
    cluster.restart(leader);
    // Everyone at once, while they write.
    cluster.restart_all();
    put_at_last(&store, "t/again").await;
    stop.cancel();
    let ended = timeout(PATIENCE * 2, writers.join_all())
        .await
        .expect("all writers end");
    let acknowledged: Vec<_> = ended.iter().flat_map(|(keys, _)| keys.clone()).collect();
    let found: HashSet<_> = keys(&store, "t/").await.into_iter().collect();
    let lost: Vec<_> = acknowledged
        .iter()
        .filter(|key| !found.contains(*key))
        .collect();
    assert!(lost.is_empty(), "{lost:?} of {}", acknowledged.len());
    assert!(acknowledged.len() > WRITERS);
    let late: u32 = ended.iter().map(|(_, late)| late).sum();
    println!(
        "{} acknowledged, {late} answers were not known at once",
        acknowledged.len()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_stops_without_a_word_is_passed_over() {
    if !has_etcd() {
        return;
    }
    let cluster = Cluster::start(3);
    let store = open(&cluster).await;
    let leader = store
        .lead("promote", Duration::from_secs(10))
        .await
        .unwrap();
    let from = store.page("", None, 1).await.unwrap().revision;
    let mut watcher = store.watch("t/", from).await.unwrap();
    put_at_last(&store, "t/before").await;
    assert!(matches!(next(&mut watcher).await, Event::Change { .. }));

    // The first one is asked as long as it answers.
    cluster.pause(0);
    let paused = Instant::now();
    put_at_last(&store, "t/meanwhile").await;
    assert!(
        paused.elapsed() < Duration::from_secs(10),
        "{:?}",
        paused.elapsed()
    );
    let told = loop {
        match next(&mut watcher).await {
            Event::Change { puts, .. } => break puts,
            Event::Resync => {}
        }
    };
    assert_eq!(told[0].key.as_str(), "t/meanwhile");
    let begun = Instant::now();
    for round in 0..20 {
        put(&store, &format!("t/{round}"), "x").await.unwrap();
    }
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    assert!(!*leader.lost.borrow(), "two of three members confirm it");
    cluster.resume(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_that_nobody_confirms_is_lost_in_time_and_free_afterwards() {
    if !has_etcd() {
        return;
    }
    let cluster = Cluster::start(1);
    let store = open(&cluster).await;
    let leader = store.lead("promote", Duration::from_secs(2)).await.unwrap();
    let mut lost = leader.lost.clone();
    // Longer than it lasts: it is confirmed.
    assert!(
        timeout(Duration::from_secs(3), lost.wait_for(|lost| *lost))
            .await
            .is_err()
    );
    cluster.pause(0);
    timeout(Duration::from_secs(3), lost.wait_for(|lost| *lost))
        .await
        .expect("told that it is lost")
        .unwrap();
    cluster.resume(0);
    let second = open(&cluster).await;
    let next = timeout(PATIENCE, second.lead("promote", Duration::from_secs(2))).await;
    assert!(next.unwrap().unwrap().token > leader.token);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_is_gone_frees_its_lease_by_silence_and_one_that_closes_at_once() {
    if !has_etcd() {
        return;
    }
    let cluster = Cluster::start(1);
    let (first, second) = (open(&cluster).await, open(&cluster).await);
    let leader = first
        .lead("promote", Duration::from_secs(30))
        .await
        .unwrap();
    let waiting = tokio::spawn({
        let second = second.clone();
        async move { second.lead("promote", Duration::from_secs(30)).await }
    });
    sleep(Duration::from_millis(300)).await;
    assert!(!waiting.is_finished());
    first.close().await;
    let next = timeout(Duration::from_secs(5), waiting)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert!(next.token > leader.token);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_etcd_says_what_to_do_and_takes_commits_again_once_that_is_done() {
    if !has_etcd() {
        return;
    }
    let cluster = Cluster::start_with(1, &["--quota-backend-bytes", "8388608"], None);
    let store = open(&cluster).await;
    let mut refused = None;
    for round in 0..1000 {
        if let Err(error) = put(&store, "t/full", vec![b'x'; 16 * 1024]).await {
            refused = Some(error.to_string());
            break;
        }
        assert!(round < 999, "never full");
    }
    let refused = refused.unwrap();
    assert!(refused.contains("database space exceeded"), "{refused}");
    assert!(refused.contains("etcdctl alarm disarm"), "{refused}");
    // Reading goes on; a server that starts says the same.
    assert_eq!(keys(&store, "t/").await, ["t/full"]);
    let at_start = crate::refusal(&options(&cluster)).await;
    assert!(at_start.contains("etcdctl alarm disarm"), "{at_start}");

    let status = cluster.etcdctl_ok(&["endpoint", "status", "-w", "json"]);
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    let revision = status[0]["Status"]["header"]["revision"].to_string();
    cluster.etcdctl_ok(&["compact", &revision]);
    cluster.etcdctl_ok(&["defrag"]);
    cluster.etcdctl_ok(&["alarm", "disarm"]);
    assert!(matches!(
        put(&store, "t/again", "x").await,
        Ok(Commit::Done(_))
    ));
}
