//! The Gitea forge: the same facts against a stand-in with a real git side, and against a real Gitea where there is one;
//! faults against the stand-in.

#[path = "forge_gitea/facts.rs"]
mod facts;
#[path = "forge_gitea/faults.rs"]
mod faults;
mod forge_http;
#[path = "forge_gitea/place.rs"]
mod place;
#[path = "forge_gitea/real.rs"]
mod real;
#[path = "forge_git/repository.rs"]
#[allow(dead_code, reason = "the other tests use the rest of it")]
mod repository;
#[path = "forge_gitea/stand_in.rs"]
mod stand_in;

use pinion_server::forge::{ForgeConfig, open};

use self::place::Place;

/// Runs facts on a stand-in each, and all of them, by name, on whatever place there is.
macro_rules! facts {
    ($($fact:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $fact() {
                facts::$fact(&Place::stand_in().await.0).await;
            }
        )*

        /// Runs all of them, each at a place of its own.
        async fn all_facts(mut at: impl AsyncFnMut(&'static str) -> Place) {
            $(facts::$fact(&at(stringify!($fact)).await).await;)*
        }
    };
}

facts![
    a_push_files_one_pull_request_with_the_exact_commit_and_words,
    requests_file_one_pull_request_with_the_very_same_commit,
    each_way_finds_what_the_other_filed,
    what_was_begun_by_requests_is_finished,
    what_was_merged_is_not_filed_again,
    what_was_closed_is_not_filed_again,
    what_the_branch_has_already_is_not_filed,
    the_change_is_built_on_the_recorded_parent,
    branches_with_a_slash_are_filed_on,
    what_a_person_pushed_is_left_alone,
    labels_reviewers_and_drafts_are_asked_for,
    what_cannot_be_asked_for_is_remarked,
    missing_things_are_named_and_stop_the_filing,
    a_wrong_token_stops_the_filing_and_is_not_shown,
    a_reader_files_by_push_and_not_by_requests,
    a_check_says_what_works_and_files_nothing,
    a_check_says_what_is_missing,
];

#[test]
fn keys_that_are_missing_or_wrong_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let good = |kind: &str| ForgeConfig {
        project: Some("ada/pins".into()),
        password_file: Some("/nonexistent".into()),
        ..ForgeConfig::new("pins".parse().expect("a name"), kind, "https://x.example")
    };
    assert!(open(&good("gitea"), folder.path()).is_ok());
    assert!(open(&good("forgejo"), folder.path()).is_ok());
    let project = |project: &str| ForgeConfig {
        project: Some(project.into()),
        ..good("gitea")
    };
    for (bad, named) in [
        (
            ForgeConfig {
                project: None,
                ..good("forgejo")
            },
            "`forgejo` needs `project`",
        ),
        (
            ForgeConfig {
                password_file: None,
                ..good("gitea")
            },
            "a token by `password_file`",
        ),
        (project("pins"), "`owner/repository`"),
        (project("a/b/c"), "`owner/repository`"),
        (project("../b"), "`owner/repository`"),
        (project("a/b?c"), "`owner/repository`"),
        (
            ForgeConfig {
                cc: vec!["eve".into()],
                ..good("gitea")
            },
            "`cc` has no meaning",
        ),
    ] {
        let refused = open(&bad, folder.path()).expect_err(named).to_string();
        assert!(refused.contains(named), "{refused}");
    }
}
