use proptest::prelude::*;

use super::super::wrap::{is_risky, is_trailer};
use super::*;

fn change(package: &str, from_version: &str, to_version: &str) -> PackageChange {
    PackageChange {
        package: package.to_owned(),
        from_version: from_version.to_owned(),
        to_version: to_version.to_owned(),
    }
}

fn key(changes: &[PackageChange]) -> FilingKey {
    FilingKey::new("openstack", "openstack/requirements", "master", changes, 1)
}

fn tooz() -> Wording {
    Wording {
        kind: Kind::RollBack,
        changes: vec![change("tooz", "9.0.0", "8.1.0")],
        rollout: "ro-0f3a".to_owned(),
        pin_set: "openstack-master".to_owned(),
        share: 0.1,
        exposed: Side {
            reported: 14,
            failed: 3,
        },
        control: Side {
            reported: 180,
            failed: 12,
        },
        categories: vec![
            CategoryCount {
                category: "test".to_owned(),
                exposed_failed: 2,
                control_failed: 9,
            },
            CategoryCount {
                category: "install".to_owned(),
                exposed_failed: 1,
                control_failed: 3,
            },
        ],
        evidence: Some(Evidence {
            log_evidence: 1350f64.ln(),
            log_threshold: 500f64.ln(),
        }),
        reason: "failing tests are more frequent with the candidate".to_owned(),
        decided_at_unix_ms: 1_772_446_500_000,
        actor: "controller".to_owned(),
        fingerprints: vec![FingerprintCount {
            fingerprint: "0123456789abcdef".to_owned(),
            environments: 2,
        }],
        link: Some("https://pinion.example/rollouts/ro-0f3a".to_owned()),
        free_text: Some("tooz.tests.test_etcd FAILED\n\nChange-Id: I0\nCloses #1".to_owned()),
        subject: None,
        trailers: Vec::new(),
    }
}

fn text(message: &CommitMessage) -> String {
    format!("{}\n\n{}", message.subject, message.body)
}

#[test]
fn a_rollback_says_what_was_seen_on_both_sides_and_why_it_was_enough() {
    let wording = tooz();
    insta::assert_snapshot!(text(&message(&wording, &key(&wording.changes))), @r"
    revert(deps): roll back tooz 9.0.0 -> 8.1.0

    3 of 14 environments with 9.0.0 failed (21.4 %), against 12 of 180 with
    8.1.0 (6.7 %), at a share of 10 %. By kind of failure, it was 2 against
    9 in test, 1 against 3 in install. The evidence of harm is 1,350 to 1; a
    rollback needs 500 to 1.

    Reason for revert: failing tests are more frequent with the candidate

    Most frequent failures, by fingerprint:
    - 2 environments showed 0123456789abcdef

    Decided by controller on 2026-03-02 10:15:00 UTC, for the pin set
    openstack-master.

    More at https://pinion.example/rollouts/ro-0f3a

    An environment wrote, unverified:

        | tooz.tests.test_etcd FAILED
        | Change-Id_: I0
        | Closes_ # 1

    Filing-Id: cbb397cfa9f59ac2bd6bec2e96c89f0532f6bc8a
    Reverts-Pin: tooz 9.0.0
    Rollout: ro-0f3a
    ");
}

#[test]
fn a_rollback_of_several_packages_lists_them() {
    let mut wording = tooz();
    wording.changes.push(change("oslo.log", "7.0.0", ""));
    wording.fingerprints.clear();
    wording.free_text = None;
    wording.link = None;
    wording.evidence = None;
    insta::assert_snapshot!(text(&message(&wording, &key(&wording.changes))), @r"
    revert(deps): roll back 2 packages of rollout ro-0f3a

    - oslo.log 7.0.0 -> none
    - tooz 9.0.0 -> 8.1.0

    3 of 14 environments with the candidate failed (21.4 %), against 12 of
    180 with the baseline (6.7 %), at a share of 10 %. By kind of failure,
    it was 2 against 9 in test, 1 against 3 in install.

    Reason for revert: failing tests are more frequent with the candidate

    Decided by controller on 2026-03-02 10:15:00 UTC, for the pin set
    openstack-master.

    Filing-Id: 314a5336d3312c585f7d8493e773e777639f5f74
    Reverts-Pin: oslo.log 7.0.0
    Reverts-Pin: tooz 9.0.0
    Rollout: ro-0f3a
    ");
}

#[test]
fn a_completion_names_the_new_pin() {
    let wording = Wording {
        kind: Kind::Complete,
        changes: vec![change("tooz", "8.1.0", "9.0.0")],
        share: 1.0,
        exposed: Side {
            reported: 1250,
            failed: 0,
        },
        control: Side {
            reported: 0,
            failed: 0,
        },
        categories: Vec::new(),
        evidence: Some(Evidence {
            log_evidence: -2.0,
            log_threshold: 500f64.ln(),
        }),
        fingerprints: Vec::new(),
        free_text: None,
        subject: None,
        trailers: Vec::new(),
        link: None,
        reason: "clearance was reached".to_owned(),
        ..tooz()
    };
    insta::assert_snapshot!(text(&message(&wording, &key(&wording.changes))), @r"
    build(deps): move tooz 8.1.0 -> 9.0.0

    0 of 1,250 environments with 9.0.0 failed (0 %), against none that
    reported with 8.1.0, at a share of 100 %. The evidence of harm is 1 to
    7.4; a rollback needs 500 to 1.

    Reason for the change: clearance was reached

    Decided by controller on 2026-03-02 10:15:00 UTC, for the pin set
    openstack-master.

    Filing-Id: e2c26a3056c9746ad6b48f0a5fcd420c0d2d419e
    Sets-Pin: tooz 9.0.0
    Rollout: ro-0f3a
    ");
}

#[test]
fn a_subject_that_is_too_long_says_less_and_the_body_the_rest() {
    let mut wording = tooz();
    wording.changes = vec![change(
        "a-package-with-a-rather-long-name",
        "2026.1.0.dev12345",
        "2025.12.30",
    )];
    let told = message(&wording, &key(&wording.changes));
    assert_eq!(
        told.subject,
        "revert(deps): roll back a-package-with-a-rather-long-name"
    );
    assert!(
        told.body
            .starts_with("- a-package-with-a-rather-long-name 2026.1.0.dev12345 -> 2025.12.30\n\n")
    );
    wording.changes[0].package = "x".repeat(200);
    let told = message(&wording, &key(&wording.changes));
    assert_eq!(
        told.subject,
        "revert(deps): roll back 1 package of rollout ro-0f3a"
    );
}

#[test]
fn the_largest_message_stays_within_its_limit() {
    let long = |n: usize| "é".repeat(n / 2);
    let wording = Wording {
        changes: (0..50)
            .map(|at| {
                change(
                    &format!("{at:02}{}", "p".repeat(212)),
                    &"1".repeat(128),
                    &"2".repeat(128),
                )
            })
            .collect(),
        reason: long(9000),
        actor: long(9000),
        link: Some(long(9000)),
        rollout: long(9000),
        pin_set: long(9000),
        free_text: Some(long(99_000)),
        subject: Template::parse(&format!("{{what}}{}", "x".repeat(190))).ok(),
        trailers: vec![format!("Signed-off-by: {}", "x".repeat(184)); 5],
        categories: vec![
            CategoryCount {
                category: long(999),
                exposed_failed: u32::MAX,
                control_failed: u32::MAX
            };
            50
        ],
        fingerprints: vec![
            FingerprintCount {
                fingerprint: long(999),
                environments: u32::MAX
            };
            50
        ],
        ..tooz()
    };
    let told = text(&message(&wording, &key(&wording.changes)));
    assert!(told.len() <= MESSAGE_BYTES_MAX, "{}", told.len());
    assert!(told.contains("\n- and 48 more\n"), "{told}");
    assert!(told.contains("\nReverts-Pin-Unlisted: 47\n"), "{told}");
}

fn hostile() -> impl Strategy<Value = String> {
    "([a-zA-Z]{0,12}|[-@#!: \n\r\t\\[\\]1-3]|\n\n|---|Change-Id: I|Reverts-Pin: a |Closes #|\\PC|\u{2028}|\u{85}){0,80}"
}

proptest! {
    #[test]
    fn no_text_from_outside_forges_a_trailer(
        reason in hostile(), actor in hostile(), free_text in hostile(), category in hostile(), fingerprint in hostile()
    ) {
        let wording = Wording {
            reason,
            actor,
            free_text: Some(free_text),
            categories: vec![CategoryCount { category, exposed_failed: 1, control_failed: 0 }],
            fingerprints: vec![FingerprintCount { fingerprint, environments: 1 }],
            ..tooz()
        };
        let key = key(&wording.changes);
        let told = message(&wording, &key);
        let (prose, last) = told.body.rsplit_once("\n\n").expect("there are trailers");
        prop_assert_eq!(last, format!("Filing-Id: {key}\nReverts-Pin: tooz 9.0.0\nRollout: ro-0f3a"));
        for line in prose.lines() {
            prop_assert!(!is_risky(line) && !is_trailer(line.trim_start()) , "{:?}", line);
            prop_assert!(!line.contains("Change-Id:"), "{:?}", line);
        }
        prop_assert!(text(&told).len() <= MESSAGE_BYTES_MAX);
    }
}

#[test]
fn a_project_gives_the_subject_and_trailers_of_its_own() {
    let mut wording = tooz();
    wording.subject = Template::parse("Revert \"Updated {package} to {from}\"").ok();
    wording.trailers = vec!["Signed-off-by: Pinion <pinion@example.org>".to_owned()];
    let told = message(&wording, &key(&wording.changes));
    assert_eq!(told.subject, "Revert \"Updated tooz to 9.0.0\"");
    assert!(
        told.body
            .ends_with("Rollout: ro-0f3a\nSigned-off-by: Pinion <pinion@example.org>"),
        "{}",
        told.body
    );
    // What the subject does not say, the body does.
    assert!(
        told.body.starts_with("- tooz 9.0.0 -> 8.1.0\n\n"),
        "{}",
        told.body
    );
    wording.changes.push(change("zake", "2.0", "1.0"));
    wording.subject = Template::parse("deps: {package} from {from} to {to}").ok();
    let told = message(&wording, &key(&wording.changes));
    assert_eq!(told.subject, "deps: 2 packages from candidate to baseline");
}

#[test]
fn trailers_that_say_what_the_change_is_are_nobody_elses() {
    let check = |line: &str| check_trailers(&[line.to_owned()]);
    assert_eq!(check("Signed-off-by: Pinion <p@example.org>"), Ok(()));
    for line in ["change-id: I0", "Filing-Id: 0", "Rollout : x"] {
        assert!(matches!(check(line), Err(InvalidTrailer::Own(_))), "{line}");
    }
    for line in [
        "",
        "no trailer",
        "A: b\nC: d",
        &format!("A: {}", "x".repeat(200)),
    ] {
        assert!(
            matches!(check(line), Err(InvalidTrailer::NoTrailer(_))),
            "{line}"
        );
    }
    assert!(check_trailers(&vec!["A: b".to_owned(); 6]).is_err());
}
