//! What is blamed: a pair, a new look, a platform.

use std::path::Path;
use std::process::Command;

use pinion_proto::v1 as proto;
use pinion_proto::v1::RolloutState::{Baking, RolledBack};
use tempfile::tempdir;

use crate::fleet::{
    Did, PINS, actions, check_log, decision, end_epoch, enrol, evidence, hours, is_own_failure,
    log_e, policy, pull_all, server, set_policy, sides, tell, tell_of, with_history,
};
use crate::support::{Environment, SET, Server, with_token};

const LOOK: u64 = 0xbad;
const OLD: u64 = 0x01d;

/// What somebody does on a day on which nobody's candidate matters.
fn own(place: usize) -> Did {
    match is_own_failure(place, 11) {
        true => Did::FailedLike(OLD + place as u64 % 3),
        false => Did::Passed,
    }
}

async fn blocks(server: &Server) -> Vec<proto::Block> {
    let request = proto::ListBlocksRequest {
        pin_set: SET.to_owned(),
        ..Default::default()
    };
    let request = with_token(request, &server.manager);
    server
        .sets()
        .list_blocks(request)
        .await
        .unwrap()
        .into_inner()
        .blocks
}

/// Two rollouts at these shares, of which the first one sees in its second epoch who has the other. Everybody
/// fails who has both, and more often than usual, with the candidate or without, whoever has not the second.
async fn harmful_together(
    server: &Server,
    environments: &[Environment],
    shares: [f64; 2],
) -> [String; 2] {
    set_policy(server, policy(&[0.1, shares[0]])).await;
    let first = server.start_rollout("requests", "2.0").await.unwrap().id;
    server.app.controller.tick().await;
    hours(server, 1).await;
    set_policy(server, policy(&[shares[1]])).await;
    let second = server.start_rollout("urllib3", "2.0").await.unwrap().id;
    server.app.controller.tick().await;
    pull_all(server, environments).await;
    tell(server, environments, |_| Did::Passed).await;
    hours(server, 7).await;
    for (id, share) in [(&first, shares[0]), (&second, shares[1])] {
        let rollout = server.rollout(id).await;
        assert_eq!(
            (rollout.state(), rollout.share),
            (Baking, share),
            "{}",
            rollout.reason
        );
    }
    let pulled = pull_all(server, environments).await;
    tell(server, environments, |place| {
        let has = |id: &String| pulled[place].contains(id);
        match (has(&first) && has(&second), has(&second)) {
            (true, _) => Did::Failed,
            (false, true) => own(place),
            (false, false) if place % 5 < 2 => Did::Failed,
            (false, false) => Did::Passed,
        }
    })
    .await;
    server.app.controller.tick().await;
    [first, second]
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_that_are_harmful_together_the_less_exposed_goes_and_the_other_starts_afresh() {
    for (shares, goes) in [([0.5, 0.4], 1), ([0.4, 0.5], 0)] {
        let dir = tempdir().unwrap();
        let server = server(&dir, policy(&[0.5])).await;
        let environments = server.enroll_many(340).await;
        with_history(&server, &environments).await;
        let bystander = server.start_rollout("six", "2.0").await.unwrap().id;
        server.app.controller.tick().await;
        let ids = harmful_together(&server, &environments, shares).await;
        let (gone, stays) = (&ids[goes], &ids[1 - goes]);
        let packages = ["requests", "urllib3"];

        let rollout = server.rollout(gone).await;
        assert_eq!(rollout.state(), RolledBack, "{}", rollout.reason);
        assert!(
            rollout.reason.contains(stays.as_str()),
            "{}",
            rollout.reason
        );
        let blocks = blocks(&server).await;
        let [block] = &blocks[..] else {
            panic!("{blocks:?}")
        };
        assert_eq!(block.package, packages[goes]);
        let partner = format!("{}==2.0", packages[1 - goes]);
        assert_eq!(block.incompatible_with, [partner]);

        let rollout = server.rollout(stays).await;
        assert_eq!(rollout.state(), Baking, "{}", rollout.reason);
        let restart = decision(&server, stays, "restart").await;
        assert!(restart.reason.contains(gone.as_str()), "{}", restart.reason);
        let afresh = evidence(&server, stays).await;
        for (detector, share_of_alpha) in [(&afresh.windows, 0.4), (&afresh.events, 0.6)] {
            let threshold = detector.as_ref().unwrap().log_threshold;
            let halved = -(0.005f64 * share_of_alpha / 2.0).ln();
            assert!((threshold - halved).abs() < 1e-9, "{threshold}");
            assert!(log_e(detector) < 2.0, "{afresh:?}");
        }

        // A restart of the server finds the evidence as it was, and nothing follows from what was before.
        let server = server.restart().await;
        let found = evidence(&server, stays).await;
        assert!((log_e(&found.windows) - log_e(&afresh.windows)).abs() < 1e-12);
        assert!((log_e(&found.events) - log_e(&afresh.events)).abs() < 1e-12);
        assert_eq!(server.rollout(stays).await.state(), Baking);
        assert_eq!(server.rollout(&bystander).await.state(), Baking);
        let done = actions(&server, &bystander).await;
        assert!(!done.contains(&"restart".to_owned()), "{done:?}");
        for id in ids.iter().chain([&bystander]) {
            check_log(&server, id).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_filing_of_one_that_was_harmful_together_names_the_other() {
    let dir = tempdir().unwrap();
    let url = repository(dir.path());
    let server = Server::start_as(&dir.path().join("data"), PINS, Some(&url), true).await;
    let environments = server.enroll_many(340).await;
    with_history(&server, &environments).await;
    let ids = harmful_together(&server, &environments, [0.5, 0.4]).await;
    let filing = server.rollout(&ids[1]).await.filing.expect("a filing");
    assert!(!filing.key.is_empty());
    server.app.stop().await;
    let record = filing_record(&dir.path().join("data"), &filing.key).await;
    let named = format!("rollout {} tries requests 1.0 -> 2.0", ids[0]);
    assert!(record.contains(&named), "{record}");
}

/// What the store has of a filing, on one line.
async fn filing_record(dir: &Path, key: &str) -> String {
    let entries = crate::silence::entries(dir, &format!("c/out/{key}")).await;
    let record = String::from_utf8(entries[0].value.to_vec()).unwrap();
    record.replace("\\n", " ")
}

/// A bare repository with a constraints file.
fn repository(dir: &Path) -> String {
    let git = |dir: &Path, arguments: &[&str]| {
        let done = Command::new("git")
            .args(["-c", "user.name=Dev", "-c", "user.email=dev@example.org"])
            .args(arguments)
            .current_dir(dir)
            .output()
            .expect("git is installed: the project needs it");
        assert!(done.status.success(), "git {arguments:?}");
    };
    let work = dir.join("work");
    std::fs::create_dir_all(&work).unwrap();
    git(&work, &["init", "--quiet", "--initial-branch=master", "."]);
    let file = "requests===1.0\nurllib3===1.0\nsix===1.0\n";
    std::fs::write(work.join("upper-constraints.txt"), file).unwrap();
    git(&work, &["add", "."]);
    git(&work, &["commit", "--quiet", "-m", "Update constraints"]);
    git(dir, &["clone", "--quiet", "--bare", "work", "pins.git"]);
    format!("file://{}", dir.join("pins.git").display())
}

/// The same, and no failure looks like anything.
fn without_look(place: usize) -> Did {
    match own(place) {
        Did::FailedLike(_) => Did::Failed,
        other => other,
    }
}

/// A fleet of which a fifth fails by itself as always, and a part of those with the candidate all alike.
async fn all_alike(
    server: &Server,
    environments: &[Environment],
    as_always: impl Fn(usize) -> Did,
) -> String {
    let id = server.start_rollout("requests", "2.0").await.unwrap().id;
    server.app.controller.tick().await;
    let (exposed, control) = sides(server, environments, &id).await;
    tell_of(server, environments, &control, &as_always).await;
    tell_of(server, environments, &exposed, |place| match place % 3 {
        0 => Did::Nothing,
        _ => as_always(place),
    })
    .await;
    server.app.controller.tick().await;
    assert_eq!(server.rollout(&id).await.state(), Baking);
    let alike: Vec<usize> = exposed.into_iter().filter(|place| place % 3 == 0).collect();
    for some in alike.chunks(2) {
        tell_of(server, environments, some, |_| Did::FailedLike(LOOK)).await;
        server.app.controller.tick().await;
    }
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_that_nobody_had_before_is_blamed_when_several_share_it() {
    let dir = tempdir().unwrap();
    let server = server(&dir, policy(&[0.2])).await;
    let environments = server.enroll_many(240).await;
    with_history(&server, &environments).await;
    tell(&server, &environments, own).await;
    // Whoever starts the server anew has not forgotten what failures looked like.
    let server = server.restart().await;
    let id = all_alike(&server, &environments, own).await;
    let rollout = server.rollout(&id).await;
    assert_eq!(rollout.state(), RolledBack, "{}", rollout.reason);
    let expected = format!("look like {LOOK:016x}");
    assert!(rollout.reason.contains(&expected), "{}", rollout.reason);
    check_log(&server, &id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_that_was_known_before_the_rollout_began_is_not_new_not_even_after_a_restart() {
    for restarts in [false, true] {
        let dir = tempdir().unwrap();
        let mut server = server(&dir, policy(&[0.2])).await;
        let environments = server.enroll_many(240).await;
        with_history(&server, &environments).await;
        tell(&server, &environments, without_look).await;
        tell_of(&server, &environments, &[3], |_| Did::FailedLike(LOOK)).await;
        server.app.controller.tick().await;
        if restarts {
            server = server.restart().await;
        }
        let id = all_alike(&server, &environments, without_look).await;
        let evidence = evidence(&server, &id).await;
        let blamed = evidence.events.unwrap().leading_target;
        assert!(
            !blamed.starts_with("looks like"),
            "{blamed}, restarted: {restarts}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_that_breaks_one_platform_only_is_taken_back_and_the_platform_named() {
    let dir = tempdir().unwrap();
    let server = server(&dir, policy(&[0.25])).await;
    let mut environments = Vec::new();
    for place in 0..240 {
        let platform = match place % 4 {
            0 => "linux-aarch64",
            _ => "linux-x86_64",
        };
        let request = proto::EnrollRequest {
            platform: platform.to_owned(),
            ..Default::default()
        };
        environments.push(enrol(&server, request).await);
    }
    with_history(&server, &environments).await;
    let id = server.start_rollout("requests", "2.0").await.unwrap().id;
    server.app.controller.tick().await;
    let (exposed, control) = sides(&server, &environments, &id).await;
    tell_of(&server, &environments, &control, own).await;
    let (broken, fine): (Vec<usize>, Vec<usize>) =
        exposed.iter().partition(|place| *place % 4 == 0);
    tell_of(&server, &environments, &fine, own).await;
    server.app.controller.tick().await;
    assert_eq!(server.rollout(&id).await.state(), Baking);
    tell_of(&server, &environments, &broken, |_| Did::Failed).await;
    server.app.controller.tick().await;
    end_epoch(&server).await;
    let rollout = server.rollout(&id).await;
    assert_eq!(rollout.state(), RolledBack, "{}", rollout.reason);
    assert!(
        rollout.reason.contains("on linux-aarch64"),
        "{}",
        rollout.reason
    );
    check_log(&server, &id).await;
}
