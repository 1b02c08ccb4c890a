//! From a rollout to a change on the real Gerrit and back, through a whole server.

use std::time::Duration;

use pinion_proto::v1 as proto;
use pinion_server::forge::{ForgeConfig, Via};
use reqwest::Method;
use serde_json::json;

use super::project::Project;
use super::support::repository::FILE;
use super::support::{FORGE, Server, source, with_token};
use super::work;

const PATH: &str = "upper-constraints.txt";

async fn filing(server: &Server, id: &str, state: &str) -> proto::Filing {
    for _ in 0..600 {
        // A filing that waits for its next look is due once the clock has moved.
        server.clock.advance(Duration::from_secs(60));
        let filing = server.rollout(id).await.filing.expect("a filing");
        if filing.state == state {
            return filing;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("never {state}: {:?}", server.rollout(id).await.filing);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_becomes_a_change_and_what_people_say_of_it_is_heard() {
    let Some(project) = Project::new().await else {
        return;
    };
    project.commit(&[(PATH, FILE.as_bytes())]);
    let work = work();
    let config = ForgeConfig {
        name: FORGE.parse().expect("a name"),
        ..project.config(Via::Push, work.path())
    };
    let source = proto::Source {
        branch: "main".into(),
        ..source(PATH)
    };
    let pins = "requests==1.0\nsix==1.0\n";
    let server = Server::start_on(
        &work.path().join("data"),
        pins,
        Some(config),
        Some(source),
        false,
    )
    .await;
    let id = server
        .start_rollout("requests", "2.0")
        .await
        .expect("a rollout")
        .id;
    server.roll_back(&id).await.expect("rolled back");
    let first = filing(&server, &id, "filed").await;
    let found = project.only_change().await;
    assert_eq!(found["change_id"], format!("I{}", first.key));
    assert!(first.url.ends_with(&format!("/+/{}", found["_number"])));
    let rolled_back = FILE.replace("requests===2.0", "requests===1.0");
    assert_eq!(project.file_of(&found, PATH), rolled_back.as_bytes());

    abandon(&project, &found).await;
    filing(&server, &id, "declined").await;
    assert_eq!(project.only_change().await["status"], "ABANDONED");

    // A person asks again: another change with the same content.
    let request = proto::FileRolloutRequest {
        id: id.clone(),
        reason: "we want it after all".into(),
        ..Default::default()
    };
    let asked = server
        .rollouts()
        .file_rollout(with_token(request, &server.manager))
        .await;
    asked.expect("it may be asked");
    let second = filing(&server, &id, "filed").await;
    assert_ne!(second.key, first.key);
    let changes = project.changes().await;
    let found = changes
        .iter()
        .find(|found| found["change_id"] == format!("I{}", second.key))
        .expect("the second change");
    assert_eq!(project.file_of(found, PATH), rolled_back.as_bytes());
    let path = format!("/changes/{}", found["_number"]);
    let vote = json!({"labels": {"Code-Review": 2}});
    let review = format!("{path}/revisions/current/review");
    project.admin(Method::POST, &review, vote).await;
    let submit = format!("{path}/submit");
    project.admin(Method::POST, &submit, json!({})).await;
    filing(&server, &id, "merged").await;
    assert_eq!(project.changes().await.len(), 2);
}

async fn abandon(project: &Project, found: &serde_json::Value) {
    let path = format!("/changes/{}/abandon", found["_number"]);
    project.admin(Method::POST, &path, json!({})).await;
}
