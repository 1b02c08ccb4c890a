//! What a check finds, and that it files nothing.

use pinion_server::forge::{Finding, ForgeConfig, Target, open};

use super::repository::PINS;
use super::stand_in::Github;
use super::{config, forge, work};

fn target() -> Target {
    Target {
        branch: "master".into(),
        path: PINS.into(),
    }
}

fn found<'a>(findings: &'a [Finding], what: &str) -> &'a Result<String, String> {
    let finding = findings.iter().find(|finding| finding.what == what);
    &finding
        .unwrap_or_else(|| panic!("no `{what}`: {findings:?}"))
        .found
}

#[tokio::test]
async fn a_check_looks_at_everything_and_files_nothing() {
    let (github, work) = (Github::start().await, work());
    let end = "2199-12-31 10:31:26 UTC".to_owned();
    github.state().headers = vec![("github-authentication-token-expiration", end)];
    let findings = forge(&github, &work).check(Some(&target())).await;
    let whats: Vec<_> = findings
        .iter()
        .map(|finding| finding.what.as_str())
        .collect();
    let read = format!("read `{PINS}` on `master`");
    assert_eq!(
        whats,
        [
            "log in",
            "see when the token ends",
            "reach the repository",
            &read,
            "see who may write to `master`",
            "push a branch",
            "open a pull request"
        ]
    );
    for finding in &findings {
        assert!(finding.found.is_ok(), "{finding:?}");
    }
    assert_eq!(
        found(&findings, "log in").as_deref(),
        Ok("the token is of `pinion-bot`")
    );
    assert_eq!(github.repository.branches(), ["master"]);
    assert!(github.state().pulls.is_empty());
}

#[tokio::test]
async fn what_is_missing_is_said() {
    let (github, work) = (Github::start().await, work());
    let forge = forge(&github, &work);
    {
        let mut state = github.state();
        state.is_app = true;
        state.writes = (false, false);
        let end = "2001-12-31 10:31:26 UTC".to_owned();
        state.headers = vec![("github-authentication-token-expiration", end)];
    }
    let findings = forge.check(None).await;
    let missing = |what: &str| {
        let found = found(&findings, what).as_ref();
        found.expect_err(what).clone()
    };
    assert_eq!(
        found(&findings, "log in").as_deref(),
        Ok("the token is of an installation of an app")
    );
    assert!(missing("see when the token ends").contains("it ended on 2001-12-31"));
    assert!(missing("push a branch").contains("the token needs `contents=write`"));
    assert!(missing("open a pull request").contains("the token needs `pull_requests=write`"));
    github.state().may_push = false;
    let findings = forge.check(None).await;
    let role = found(&findings, "reach the repository").clone();
    assert!(
        role.expect_err("read only")
            .contains("give it the role Write")
    );
    github.state().archived = true;
    let findings = forge.check(None).await;
    let archived = found(&findings, "reach the repository").clone();
    assert!(archived.expect_err("archived").contains("is archived"));
    let config = ForgeConfig {
        project: Some("Acme/pins".into()),
        ..config(&github, &work)
    };
    let other = open(&config, work.path()).expect("a forge");
    let findings = other.check(None).await;
    let name = found(&findings, "reach the repository").clone();
    assert!(
        name.expect_err("another name")
            .contains("GitHub calls it `acme/pins`")
    );
    github.state().token = "other".into();
    for finding in forge.check(Some(&target())).await {
        let answer = finding.found.expect_err("no login");
        assert!(answer.contains("Bad credentials"), "{answer}");
    }
}
