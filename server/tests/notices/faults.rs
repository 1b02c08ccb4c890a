//! Receivers that fail, refuse, are slow, or are not configured any more.

use std::sync::Arc;
use std::time::Duration;

use pinion_server::config::Config;
use pinion_server::loops::notices::Notices;
use tempfile::tempdir;
use tokio_util::sync::CancellationToken;

use crate::receiver::{Answer, Receiver, taken};
use crate::route::{listed, server, wait_until, webhook};
use crate::support::{DAY, Server};

/// Moves the clock on until so many requests have come.
async fn pass_until(server: &Server, receiver: &Receiver, count: usize) {
    for _ in 0..400 {
        if receiver.got().len() >= count {
            return;
        }
        server.clock.advance(Duration::from_secs(1));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{count} were to come: {:?}", receiver.kinds());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_fails_for_a_while_is_told_later_with_the_same_id_and_bytes() {
    let dir = tempdir().unwrap();
    let receiver = Receiver::start().await;
    let server = server(
        dir.path(),
        vec![webhook(dir.path(), "ops", &receiver.url, "")],
    )
    .await;
    let broken = || Answer::With("503 Service Unavailable", "", "later".to_owned());
    receiver.answer([broken(), Answer::Cut, Answer::Nothing, taken()]);
    server.start_rollout("requests", "2.0").await.unwrap();
    pass_until(&server, &receiver, 4).await;
    let sent = wait_until(&server, "sent", 1).await;
    assert_eq!(sent[0].deliveries[0].tries, 4);
    let got = receiver.got();
    for again in &got[1..] {
        assert_eq!(again.body, got[0].body);
        assert_eq!(again.header("webhook-id"), got[0].header("webhook-id"));
    }
    assert_ne!(
        got[3].header("webhook-signature"),
        got[0].header("webhook-signature"),
        "the time of the try is signed too"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_is_left_alone_for_as_long_as_it_asks() {
    let dir = tempdir().unwrap();
    let receiver = Receiver::start().await;
    let server = server(
        dir.path(),
        vec![webhook(dir.path(), "ops", &receiver.url, "")],
    )
    .await;
    let busy = Answer::With(
        "429 Too Many Requests",
        "retry-after: 600\r\n",
        String::new(),
    );
    receiver.answer([busy]);
    let id = server.start_rollout("requests", "2.0").await.unwrap().id;
    receiver.wait_for(1).await;
    for _ in 0..100 {
        if listed(&server, "waiting").await[0].deliveries[0].last_answer == "answered 429" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // Another notice of the route waits too.
    server.abort(&id).await.unwrap();
    server.clock.advance(Duration::from_secs(590));
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(receiver.got().len(), 1);
    server.clock.advance(Duration::from_secs(11));
    receiver.wait_for(3).await;
    wait_until(&server, "sent", 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_ends_it_with_the_receivers_words_and_holds_up_nobody_else() {
    let dir = tempdir().unwrap();
    let (refuses, takes) = (Receiver::start().await, Receiver::start().await);
    let routes = vec![
        webhook(dir.path(), "refuses", &refuses.url, ""),
        webhook(dir.path(), "takes", &takes.url, ""),
    ];
    let server = server(dir.path(), routes).await;
    let moved = Answer::With(
        "307 Temporary Redirect",
        "location: https://eve.example/steal?all\r\n",
        String::new(),
    );
    let gone = Answer::With("410 Gone", "", "no such hook\r\nany more".to_owned());
    refuses.answer([gone, moved]);
    let id = server.start_rollout("requests", "2.0").await.unwrap().id;
    server.abort(&id).await.unwrap();
    takes.wait_for(2).await;
    let refused = wait_until(&server, "refused", 2).await;
    let of = |notice: &pinion_proto::v1::Notice, route: &str| {
        let mut found = notice.deliveries.iter().filter(|one| one.route == route);
        found.next().unwrap().clone()
    };
    assert_eq!(
        of(&refused[1], "refuses").last_answer,
        "answered 410: no such hook any more"
    );
    let answer = of(&refused[0], "refuses").last_answer;
    assert!(
        answer.contains("a redirect to https://eve.example, which is not followed"),
        "{answer}"
    );
    server.clock.advance(DAY);
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(refuses.got().len(), 2, "not tried again");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_sent_for_a_day_is_given_up_and_what_ended_a_week_ago_is_removed() {
    let dir = tempdir().unwrap();
    let receiver = Receiver::start().await;
    let server = server(
        dir.path(),
        vec![webhook(dir.path(), "ops", &receiver.url, "")],
    )
    .await;
    receiver.answer(vec![Answer::Cut; 2]);
    server.start_rollout("requests", "2.0").await.unwrap();
    receiver.wait_for(1).await;
    for _ in 0..100 {
        if !listed(&server, "waiting").await[0].deliveries[0]
            .last_answer
            .is_empty()
        {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    server.clock.advance(DAY);
    let given_up = wait_until(&server, "given-up", 1).await;
    assert!(
        given_up[0].deliveries[0]
            .last_answer
            .starts_with("no answer: "),
        "{given_up:?}"
    );
    assert_eq!(receiver.got().len(), 1);
    server.clock.advance(7 * DAY);
    wait_until(&server, "", 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_route_that_is_gone_is_dropped_and_the_rest_is_sent_after_a_restart() {
    let dir = tempdir().unwrap();
    let receiver = Receiver::start().await;
    let routes = vec![
        webhook(dir.path(), "gone", "http://127.0.0.1:9", ""),
        webhook(dir.path(), "stays", "http://127.0.0.1:9", ""),
    ];
    let server = server(dir.path(), routes).await;
    server.start_rollout("requests", "2.0").await.unwrap();
    let stays = webhook(dir.path(), "stays", &receiver.url, "");
    let server = server
        .restart_as(|config| Config {
            routes: vec![stays],
            ..config
        })
        .await;
    wait_until(&server, "dropped", 1).await;
    pass_until(&server, &receiver, 1).await;
    wait_until(&server, "sent", 1).await;
    assert_eq!(receiver.kinds(), ["rollout.created"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_loops_on_one_store_send_each_notice_once() {
    let dir = tempdir().unwrap();
    let receiver = Receiver::start().await;
    let server = server(
        dir.path(),
        vec![webhook(dir.path(), "ops", &receiver.url, "")],
    )
    .await;
    let stop = CancellationToken::new();
    let second = Notices::new(Arc::clone(&server.app.controller)).run(stop.clone());
    let second = tokio::spawn(second);
    for _ in 0..15 {
        let id = server.start_rollout("requests", "2.0").await.unwrap().id;
        server.abort(&id).await.unwrap();
    }
    receiver.wait_for(30).await;
    wait_until(&server, "sent", 30).await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    stop.cancel();
    second.await.unwrap();
    let mut ids: Vec<String> = receiver
        .got()
        .iter()
        .map(|got| got.header("webhook-id").to_owned())
        .collect();
    ids.sort();
    ids.dedup();
    assert_eq!((ids.len(), receiver.got().len()), (30, 30));
}
