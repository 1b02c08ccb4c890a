//! What Gerrit refuses, in its words, with what a person can do; and what a check finds of it beforehand.

use pinion_server::forge::{Error, FileEdit, Finding, ForgeConfig, SecretUrl, Target, Via, open};
use serde_json::json;
use std::time::Duration;

use super::project::{BEFORE, PINS, Project};
use super::proxy::{Fault, Proxy};
use super::{Change, WAYS, stopped, work};

fn target() -> Target {
    Target {
        branch: "main".into(),
        path: PINS.into(),
    }
}

async fn findings(config: &ForgeConfig) -> Vec<Finding> {
    let work = work();
    let forge = open(config, work.path()).expect("a forge");
    forge.check(Some(&target())).await
}

/// The words of the one finding that is bad.
fn only_problem(findings: &[Finding]) -> String {
    let bad: Vec<_> = findings
        .iter()
        .filter_map(|finding| finding.found.as_ref().err())
        .collect();
    match bad[..] {
        [problem] => problem.clone(),
        _ => panic!("not one problem: {findings:#?}"),
    }
}

#[tokio::test]
async fn a_check_finds_everything_in_order_and_files_nothing() {
    let Some(project) = Project::new().await else {
        return;
    };
    for via in WAYS {
        let work = work();
        let config = ForgeConfig {
            reviewers: vec!["ada@example.org".into()],
            ..project.config(via, work.path())
        };
        let findings = findings(&config).await;
        assert!(
            findings.iter().all(|finding| finding.found.is_ok()),
            "{findings:#?}"
        );
        let what: Vec<_> = findings
            .iter()
            .map(|finding| finding.what.as_str())
            .collect();
        assert!(what.contains(&"put changes forward for `main`"), "{what:?}");
    }
    assert_eq!(project.changes().await.len(), 0);
}

#[tokio::test]
async fn a_missing_right_is_named_with_what_gives_it() {
    let Some(project) = Project::new().await else {
        return;
    };
    let block = json!({"push": {"rules": {"global:Registered-Users": {"action": "BLOCK"}}}});
    project.access("refs/for/refs/heads/*", block).await;
    for via in WAYS {
        let work = work();
        let config = project.config(via, work.path());
        let forge = open(&config, work.path()).expect("a forge");
        let refused = stopped(forge.ensure_change(&project.change(1)).await);
        for words in [refused, only_problem(&findings(&config).await)] {
            assert!(
                words.contains("not permitted: create change on refs/heads/main")
                    && words.contains("`Push` on `refs/for/refs/heads/*`"),
                "{words}"
            );
        }
    }
    assert_eq!(project.changes().await.len(), 0);
}

#[tokio::test]
async fn a_project_that_takes_no_changes_is_named() {
    let Some(project) = Project::new().await else {
        return;
    };
    let path = format!("/projects/{}/config", project.name);
    project
        .admin(reqwest::Method::PUT, &path, json!({"state": "READ_ONLY"}))
        .await;
    for via in WAYS {
        let work = work();
        let config = project.config(via, work.path());
        let forge = open(&config, work.path()).expect("a forge");
        let refused = stopped(forge.ensure_change(&project.change(1)).await);
        for words in [refused, only_problem(&findings(&config).await)] {
            assert!(words.contains("does not permit write"), "{words}");
        }
    }
}

#[tokio::test]
async fn an_address_that_is_not_the_accounts_is_named_with_those_that_are() {
    let Some(project) = Project::new().await else {
        return;
    };
    let work = work();
    let config = ForgeConfig {
        author_email: "other@example.org".into(),
        ..project.config(Via::Push, work.path())
    };
    let forge = open(&config, work.path()).expect("a forge");
    let change = Change {
        author: forge.author().clone(),
        ..project.change(1)
    };
    let refused = stopped(forge.ensure_change(&change).await);
    assert!(
        refused.contains("invalid committer") && refused.contains("set `author_email`"),
        "{refused}"
    );
    let problem = only_problem(&findings(&config).await);
    let own = format!("`{}@example.org`", project.name);
    assert!(
        problem.contains("`other@example.org`") && problem.contains(&own),
        "{problem}"
    );
    assert_eq!(project.changes().await.len(), 0);
}

#[tokio::test]
async fn missing_things_are_named() {
    let Some(project) = Project::new().await else {
        return;
    };
    for via in WAYS {
        let work = work();
        let config = project.config(via, work.path());
        let forge = open(&config, work.path()).expect("a forge");
        let change = project.change(1);
        let branch = Change {
            branch: "nope".into(),
            ..change.clone()
        };
        let refused = stopped(forge.ensure_change(&branch).await);
        assert!(refused.contains("nope"), "{refused}");
        let refused = stopped(forge.read("nope", PINS).await);
        assert!(refused.contains("nope"), "{refused}");
        let refused = stopped(forge.read("main", "nope").await);
        assert!(refused.contains("`nope` does not exist"), "{refused}");
        let edit = |path: &str, bytes: &[u8]| Change {
            edits: vec![FileEdit {
                path: path.into(),
                bytes: bytes.into(),
            }],
            ..change.clone()
        };
        let refused = stopped(forge.ensure_change(&edit("nope", b"new")).await);
        assert!(refused.contains("`nope` does not exist"), "{refused}");
        let refused = stopped(forge.ensure_change(&edit(PINS, BEFORE)).await);
        assert!(refused.contains("alters nothing"), "{refused}");
        let parent = Change {
            parent: "1".repeat(40),
            ..change.clone()
        };
        let refused = stopped(forge.ensure_change(&parent).await);
        assert!(refused.contains("no longer part of"), "{refused}");
    }
    assert_eq!(project.changes().await.len(), 0);
}

#[tokio::test]
async fn a_missing_project_is_named() {
    let Some(project) = Project::new().await else {
        return;
    };
    for via in WAYS {
        let work = work();
        let config = ForgeConfig {
            project: Some("no/such".into()),
            ..project.config(via, work.path())
        };
        let forge = open(&config, work.path()).expect("a forge");
        let refused = stopped(forge.ensure_change(&project.change(1)).await);
        assert!(refused.contains("`project`"), "{refused}");
        let refused = stopped(forge.read("main", PINS).await);
        assert!(refused.contains("`project`"), "{refused}");
        let findings = findings(&config).await;
        assert_eq!(
            findings
                .iter()
                .filter(|finding| finding.found.is_err())
                .count(),
            2,
            "{findings:#?}"
        );
    }
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_reviewer_are_found_by_a_check() {
    let Some(project) = Project::new().await else {
        return;
    };
    let work = work();
    let config = ForgeConfig {
        reviewers: vec!["gone@example.org".into()],
        ..project.config(Via::Rest, work.path())
    };
    let problem = only_problem(&findings(&config).await);
    assert!(
        problem.contains("no account and no group `gone@example.org`"),
        "{problem}"
    );
    std::fs::write(work.path().join("password"), "s3cret").expect("a file");
    let problem = only_problem(&findings(&config).await);
    assert!(
        problem.contains("may be wrong or have expired"),
        "{problem}"
    );
    assert!(!problem.contains("s3cret"), "{problem}");
}

#[tokio::test]
async fn a_server_that_is_busy_or_silent_is_tried_again_when_it_asks() {
    let Some(project) = Project::new().await else {
        return;
    };
    let proxy = Proxy::to(&project.gerrit.url).await;
    let work = work();
    let config = ForgeConfig {
        url: SecretUrl::new(&proxy.url),
        timeout_s: 2,
        ..project.config(Via::Rest, work.path())
    };
    let forge = open(&config, work.path()).expect("a forge");
    let answer = |head: &str| {
        Fault::Answered(format!(
            "HTTP/1.1 {head}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        ))
    };
    let far = "Fri, 31 Dec 9999 23:59:59 GMT";
    let day = Duration::from_secs(24 * 3600);
    for (fault, wait) in [
        (
            answer("429 Too Many Requests\r\nRetry-After: 7"),
            Some(Duration::from_secs(7)),
        ),
        (
            answer(&format!("429 Too Many Requests\r\nRetry-After: {far}")),
            Some(day),
        ),
        (answer("503 Service Unavailable"), None),
        (answer("500 Internal Server Error"), None),
        (Fault::Silence, None),
    ] {
        // At the look and at the first request that changes something.
        for number in [1, 3] {
            proxy.fail_at(number, fault.clone());
            let failed = forge.ensure_change(&project.change(1)).await;
            match failed {
                Err(Error::Retry { retry_after, .. }) => assert_eq!(retry_after, wait, "{fault:?}"),
                other => panic!("{fault:?}: {other:?}"),
            }
        }
    }
    proxy.heal();
    let change = project.change(1);
    forge.ensure_change(&change).await.expect("filed");
    let filed = super::file_afresh(&project, Via::Rest, &change).await;
    project.assert_filed(&change, &filed).await;
    project.only_change().await;
}
