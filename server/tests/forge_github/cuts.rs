//! A filing that is cut at every single request, before or after it is carried out.

use std::sync::Arc;

use futures_util::future::join_all;
use pinion_server::forge::{ChangeState, Error, Filed, open};

use super::repository::{AFTER, PINS};
use super::stand_in::{Fault, Github};
use super::{config, work};

/// Requests of a filing that nothing disturbs: 6 that look, 4 that make the commit and the branch, the pull request.
const REQUESTS: usize = 11;

/// Files a change while one request is disturbed, again and again until it is filed.
async fn file_through(number: usize, fault: Option<Fault>) -> (Arc<Github>, Filed, usize) {
    let (github, work) = (Github::start().await, work());
    let config = config(&github, &work);
    let change = github.repository.rollback();
    github
        .state()
        .faults
        .extend(fault.map(|fault| (number, fault)));
    for tries in 1..4 {
        // Nothing is remembered between tries, as after a crash.
        let forge = open(&config, work.path()).expect("a forge");
        match forge.ensure_change(&change).await {
            Ok(filed) => return (github, filed, tries),
            Err(Error::Retry { .. }) => {}
            Err(error) => panic!("request {number}: {error}"),
        }
    }
    panic!("request {number}: not filed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whatever_is_lost_there_is_one_branch_and_one_pull_request() {
    let undisturbed = async {
        let (github, _, _) = file_through(0, None).await;
        github.state().asked.len()
    };
    let disturbed = (0..REQUESTS)
        .flat_map(|number| [(number, Fault::LostBefore), (number, Fault::LostAfter)])
        .map(|(number, fault)| async move {
            let named = format!("{fault:?} of request {number}");
            (named, file_through(number, Some(fault)).await)
        });
    let (requests, disturbed) = tokio::join!(undisturbed, join_all(disturbed));
    assert_eq!(requests, REQUESTS);
    for (fault, (github, filed, tries)) in disturbed {
        let change = github.repository.rollback();
        assert!(github.state().faults.is_empty(), "{fault}");
        assert_eq!(tries, 2, "{fault}");
        assert_eq!(filed.state, ChangeState::Open, "{fault}");
        let branches = github.repository.branches();
        assert_eq!(branches, ["master", change.head.as_str()], "{fault}");
        let tip = github.repository.branch(&change.head);
        assert_eq!(tip.as_ref(), Some(&filed.commit), "{fault}");
        assert_eq!(
            github.repository.file(&filed.commit, PINS),
            AFTER,
            "{fault}"
        );
        let raw = github
            .repository
            .git(&["cat-file", "commit", &filed.commit]);
        let message = format!("\n\n{}\n\n{}", change.subject, change.body);
        assert!(raw.ends_with(&message), "{fault}: {raw}");
        let pulls = github.state().pulls.clone();
        assert_eq!(pulls.len(), 1, "{fault}");
        let body = format!("```text\n{}\n```", change.body);
        assert_eq!((&pulls[0].title, &pulls[0].body), (&change.subject, &body));
    }
}
