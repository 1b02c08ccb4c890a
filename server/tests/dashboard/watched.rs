//! Rollouts watched in a browser while they go on.

use pinion_proto::v1 as proto;
use tempfile::tempdir;

use crate::browser::Browser;
use crate::fleet::{Did, end_epoch, policy, pull_all, server, sides, tell, tell_one};

/// Whether a canvas has anything drawn on it.
const PAINTED: &str = "return document.querySelectorAll('canvas').length === 3 && [...document.querySelectorAll('canvas')].every((canvas) => canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.some((byte) => byte !== 0))";

#[tokio::test(flavor = "multi_thread")]
async fn rollouts_are_watched_to_everybody_and_to_a_rollback_and_stopped_by_hand_without_a_reload()
{
    let Some(browser) = Browser::find().await else {
        return;
    };
    let dir = tempdir().unwrap();
    let rules = proto::Policy {
        on_inconclusive: proto::OnInconclusive::Complete.into(),
        ..policy(&[0.01, 0.25, 0.5])
    };
    let server = server(&dir, rules).await;
    let environments = server.enroll_many(60).await;
    let url = server.url();
    browser.sign_in(&url, &server.manager).await;

    let id = server.start_rollout("requests", "2.0").await.unwrap().id;
    server.promote(&id, 0.01).await.ok();
    server.app.controller.tick().await;
    browser.go(&format!("{url}/rollouts/{id}")).await;
    browser.until_says("h1", "is at 1 %").await;
    browser.run("window.notReloaded = true").await;
    for _ in 0..8 {
        pull_all(&server, &environments).await;
        tell(&server, &environments, |_| Did::Passed).await;
        end_epoch(&server).await;
    }
    browser.until_says("h1", "everybody has it").await;
    browser.until(PAINTED).await;
    browser.until("return window.notReloaded === true").await;

    let id = server.start_rollout("urllib3", "2.0").await.unwrap().id;
    server.app.controller.tick().await;
    server.promote(&id, 0.5).await.unwrap();
    server.app.controller.tick().await;
    browser.go(&format!("{url}/rollouts/{id}")).await;
    browser.until_says("h1", "is at 50 %").await;
    browser.run("window.notReloaded = true").await;
    let (exposed, _) = sides(&server, &environments, &id).await;
    for place in exposed {
        tell_one(&server, &environments[place], Did::Failed).await;
    }
    server.app.controller.tick().await;
    browser.until_says("h1", "was rolled back at 50 %").await;
    browser.until("return window.notReloaded === true").await;

    let id = server.start_rollout("six", "2.0").await.unwrap().id;
    server.app.controller.tick().await;
    browser.go(&format!("{url}/rollouts/{id}")).await;
    browser.click("#act-abort > summary").await;
    browser.click("#act-abort button").await;
    browser.until_says(".note", "Stopped").await;
    assert_eq!(
        server.rollout(&id).await.state(),
        proto::RolloutState::Aborted
    );
    browser.check_console().await;
}
