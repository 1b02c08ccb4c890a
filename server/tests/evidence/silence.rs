//! Who is not heard of again.

use std::path::Path;
use std::time::Duration;

use pinion_proto::v1 as proto;
use pinion_server::store::sled::{SledOptions, SledStore};
use pinion_server::store::{Entry, Store};
use tempfile::{TempDir, tempdir};

use crate::fleet::{
    Did, check_log, end_epoch, evidence, hours, policy, pull, server, sides, tell, tell_of, update,
};
use crate::support::{DAY, Environment, Server};

/// Everything that the store of a server that has stopped has under a prefix.
pub(crate) async fn entries(dir: &Path, prefix: &str) -> Vec<Entry> {
    let store = SledStore::open(&dir.join("store"), SledOptions::default()).unwrap();
    let page = store.page(prefix, None, 1000).await.unwrap();
    store.close().await;
    page.entries
}

/// A rollout at one half, of a fleet that has reported on each of the last `days` days.
async fn fleet(dir: &TempDir, days: usize) -> (Server, Vec<Environment>, String) {
    let server = server(dir, policy(&[0.5])).await;
    let environments = server.enroll_many(60).await;
    for _ in 0..days {
        tell(&server, &environments, |_| Did::Passed).await;
        server.pass(DAY).await;
    }
    let id = server.start_rollout("requests", "2.0").await.unwrap().id;
    server.app.controller.tick().await;
    (server, environments, id)
}

/// Who failed silently with the candidate, and with the baseline.
async fn silent(server: &Server, id: &str) -> (u32, u32) {
    let evidence = evidence(server, id).await;
    let of = |by: &std::collections::HashMap<String, u32>| by.get("silent").copied().unwrap_or(0);
    let silent = (
        of(&evidence.exposed_failed_by_category),
        of(&evidence.control_failed_by_category),
    );
    for side in [
        evidence.exposed,
        evidence.control,
        evidence.exposed_total,
        evidence.control_total,
    ] {
        let side = side.unwrap();
        assert!(side.failed <= side.reporting, "{side:?}");
    }
    silent
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_alone_says_nothing_of_who_has_no_history_and_an_announcement_without_outcome_does()
{
    let dir = tempdir().unwrap();
    let (server, environments, id) = fleet(&dir, 0).await;
    let (exposed, control) = sides(&server, &environments, &id).await;
    for (side, announced) in [(&exposed, 3), (&control, 2)] {
        tell_of(&server, &environments, &side[..announced + 1], |_| {
            Did::Announced
        })
        .await;
        // This one comes back.
        tell_of(&server, &environments, &side[announced..=announced], |_| {
            Did::Passed
        })
        .await;
    }
    assert_eq!(silent(&server, &id).await, (0, 0), "windows have not ended");
    end_epoch(&server).await;
    assert_eq!(silent(&server, &id).await, (3, 2));
    let server = server.restart().await;
    assert_eq!(silent(&server, &id).await, (3, 2), "a restart forgets none");
    check_log(&server, &id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reports_daily_and_is_not_heard_of_after_its_first_pull_is_silent() {
    let dir = tempdir().unwrap();
    let (server, environments, id) = fleet(&dir, 10).await;
    let (exposed, control) = sides(&server, &environments, &id).await;
    server.app.controller.tick().await;
    hours(&server, 2).await;
    for (side, quiet) in [(&exposed, 2), (&control, 4)] {
        let (_, heard) = side.split_at(quiet);
        let (pulls, reports) = heard.split_at(heard.len() / 2);
        for place in pulls {
            pull(&server, &environments[*place]).await;
        }
        tell_of(&server, &environments, reports, |_| Did::Passed).await;
    }
    hours(&server, 6).await;
    assert_eq!(silent(&server, &id).await, (2, 4));
    let server = server.restart().await;
    assert_eq!(silent(&server, &id).await, (2, 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_pull_within_the_hour_is_no_return_not_even_after_a_restart() {
    let dir = tempdir().unwrap();
    let (server, environments, id) = fleet(&dir, 10).await;
    let (exposed, control) = sides(&server, &environments, &id).await;
    server.app.controller.tick().await;
    let server = server.restart().await;
    server.pass(Duration::from_secs(1800)).await;
    for (side, quiet) in [(&exposed, 2), (&control, 3)] {
        for place in &side[..quiet] {
            pull(&server, &environments[*place]).await;
        }
        tell_of(&server, &environments, &side[quiet..], |_| Did::Passed).await;
    }
    server.app.controller.tick().await;
    end_epoch(&server).await;
    assert_eq!(silent(&server, &id).await, (2, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_or_takes_back_consent_after_a_pull_is_silent_unless_it_told_an_outcome() {
    let dir = tempdir().unwrap();
    let (server, environments, id) = fleet(&dir, 0).await;
    let (exposed, control) = sides(&server, &environments, &id).await;
    server.app.controller.tick().await;
    for side in [&exposed, &control] {
        server.leave(&environments[side[0]]).await;
        let request = proto::UpdateEnvironmentRequest {
            reporting: Some(false),
            ..Default::default()
        };
        update(&server, &environments[side[1]], request).await;
        tell_of(&server, &environments, &side[2..3], |_| Did::Passed).await;
        server.app.controller.tick().await;
        server.leave(&environments[side[2]]).await;
    }
    let server = server.restart().await;
    end_epoch(&server).await;
    assert_eq!(silent(&server, &id).await, (2, 2));

    server.abort(&id).await.unwrap();
    server.app.controller.tick().await;
    check_log(&server, &id).await;
    server.app.stop().await;
    assert!(
        entries(dir.path(), "c/left/").await.is_empty(),
        "nobody's position stays"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_counts_also_of_who_leaves_right_after_it() {
    let dir = tempdir().unwrap();
    let (server, environments, id) = fleet(&dir, 0).await;
    let (exposed, control) = sides(&server, &environments, &id).await;
    for side in [&exposed, &control] {
        // Nothing is counted in between.
        tell_of(&server, &environments, &side[..1], |_| Did::Failed).await;
        server.leave(&environments[side[0]]).await;
    }
    let evidence = evidence(&server, &id).await;
    assert_eq!(evidence.exposed.unwrap().failed, 1);
    assert_eq!(evidence.control.unwrap().failed, 1);
}
