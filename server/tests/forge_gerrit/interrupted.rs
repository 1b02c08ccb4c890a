//! Filing that was cut off between any two requests is finished by the next try, whichever way that goes.

use pinion_server::forge::{Change, ChangeState, ForgeConfig, SecretUrl, Via, open};
use reqwest::Method;
use serde_json::{Value, json};

use super::project::{PASSWORD, PINS, Project};
use super::proxy::{Fault, Proxy};
use super::{FiledOutcome, file_afresh, work};

/// More requests than any way makes.
const REQUESTS_MAX: usize = 60;

/// Files by `first` through a network that is cut at every request in turn, then by `then` without a fault.
async fn is_finished_wherever_it_was_cut(first: Via, then: Via, fault: Fault) {
    let Some(project) = Project::new().await else {
        return;
    };
    let proxy = Proxy::to(&project.gerrit.url).await;
    let work = work();
    let config = ForgeConfig {
        url: SecretUrl::new(&proxy.url),
        reviewers: vec!["ada@example.org".into()],
        labels: vec!["rollout".into()],
        ..project.config(first, work.path())
    };
    let forge = open(&config, work.path()).expect("a forge");
    // What is fetched once is not fetched again.
    forge.read("main", PINS).await.expect("a tip");
    let mut cuts = 0;
    for number in 1..REQUESTS_MAX {
        let change = project.change(number as u32);
        proxy.fail_at(number, fault.clone());
        let cut = forge.ensure_change(&change).await;
        let is_over = proxy.seen() < number;
        assert_eq!(is_over, cut.is_ok(), "cut at request {number}: {cut:?}");
        cuts += usize::from(!is_over);
        let then_config = ForgeConfig {
            url: SecretUrl::new(&project.gerrit.url),
            via: Some(then),
            ..config.clone()
        };
        let folder = super::work();
        let forge = open(&then_config, folder.path()).expect("a forge");
        let filed = forge.ensure_change(&change).await.expect("filed");
        assert_eq!(filed.state, ChangeState::Open);
        let found = project.assert_filed(&change, &filed).await;
        assert_eq!(found["work_in_progress"], Value::Null, "{filed:?}");
        assert_eq!(found["reviewers"]["REVIEWER"][0]["username"], "ada");
        assert_eq!(found["hashtags"], json!(["rollout"]));
        if is_over {
            assert!(cuts >= 4, "only {cuts} requests");
            assert_eq!(project.changes().await.len(), number);
            return;
        }
    }
    panic!("it never came through");
}

#[tokio::test]
async fn a_push_whose_requests_are_lost_is_finished_by_a_push() {
    is_finished_wherever_it_was_cut(Via::Push, Via::Push, Fault::RequestLost).await;
}

#[tokio::test]
async fn a_push_whose_answers_are_lost_is_finished_by_a_push() {
    is_finished_wherever_it_was_cut(Via::Push, Via::Push, Fault::AnswerLost).await;
}

#[tokio::test]
async fn a_push_whose_answers_are_lost_is_finished_by_rest() {
    is_finished_wherever_it_was_cut(Via::Push, Via::Rest, Fault::AnswerLost).await;
}

#[tokio::test]
async fn rest_whose_requests_are_lost_is_finished_by_rest() {
    is_finished_wherever_it_was_cut(Via::Rest, Via::Rest, Fault::RequestLost).await;
}

#[tokio::test]
async fn rest_whose_answers_are_lost_is_finished_by_rest() {
    is_finished_wherever_it_was_cut(Via::Rest, Via::Rest, Fault::AnswerLost).await;
}

#[tokio::test]
async fn rest_whose_answers_are_lost_is_finished_by_a_push() {
    is_finished_wherever_it_was_cut(Via::Rest, Via::Push, Fault::AnswerLost).await;
}

#[tokio::test]
async fn an_edit_that_was_left_open_with_other_content_is_dropped() {
    let Some(project) = Project::new().await else {
        return;
    };
    for (number, via) in [(1, Via::Push), (2, Via::Rest)] {
        let change = project.change(number);
        let id = begin(&project, &change).await;
        edit(&project, &id, "README", "stale").await;
        edit(
            &project,
            &id,
            "pins%2Fgr%C3%B6%C3%9Fe%2Fupper-constraints.txt",
            "stale",
        )
        .await;
        let filed = file_afresh(&project, via, &change).await;
        assert_eq!(filed.outcome, FiledOutcome::Created);
        project.assert_filed(&change, &filed).await;
    }
}

#[tokio::test]
async fn content_of_our_account_that_is_not_what_was_decided_is_put_right() {
    let Some(project) = Project::new().await else {
        return;
    };
    for (number, via) in [(1, Via::Push), (2, Via::Rest)] {
        let change = project.change(number);
        let id = begin(&project, &change).await;
        edit(
            &project,
            &id,
            "pins%2Fgr%C3%B6%C3%9Fe%2Fupper-constraints.txt",
            "stale",
        )
        .await;
        as_bot(&project, Method::POST, &format!("{id}/edit:publish")).await;
        let filed = file_afresh(&project, via, &change).await;
        project.assert_filed(&change, &filed).await;
    }
}

/// Makes the change as REST begins it, by the bot's account; gives its path.
async fn begin(project: &Project, change: &Change) -> String {
    let (status, said) = create(project, change).await;
    assert_eq!(status, 201, "{said}");
    format!("/a/changes/{}~main~I{}", project.name, change.key)
}

/// Does so twice at the same time; gives how many changes have come of it, which Gerrit does not always keep to one.
pub(crate) async fn begin_at_once(project: &Project, change: &Change) -> usize {
    let both = tokio::join!(create(project, change), create(project, change));
    let made = [both.0, both.1]
        .iter()
        .filter(|(status, _)| *status == 201)
        .count();
    assert!(made > 0);
    made
}

async fn create(project: &Project, change: &Change) -> (u16, Value) {
    let body = change.body.replace("\n# kept", "\n # kept");
    let subject = format!("{}\n\n{body}\nChange-Id: I{}", change.subject, change.key);
    let made = json!({
        "project": project.name, "branch": "main", "subject": subject, "base_commit": change.parent,
        "topic": change.head.replace('/', "-"), "work_in_progress": true,
    });
    let bot = (project.name.as_str(), PASSWORD);
    project
        .rest(bot, Method::POST, "/a/changes/", Some(made))
        .await
}

async fn edit(project: &Project, id: &str, path: &str, text: &str) {
    let url = format!("{}{id}/edit/{path}", project.gerrit.url);
    let request = reqwest::Client::new().put(url).body(text.to_owned());
    let request = request.header("content-type", "application/octet-stream");
    let login = super::project::basic((&project.name, PASSWORD));
    let response = request.header("authorization", login).send().await;
    assert_eq!(response.expect("an answer").status(), 204);
}

async fn as_bot(project: &Project, method: Method, path: &str) {
    let bot = (project.name.as_str(), PASSWORD);
    let (status, said) = project.rest(bot, method, path, Some(json!({}))).await;
    assert!((200..300).contains(&status), "{status} {said}");
}
