//! Facts about messages.

use proptest::prelude::*;

use super::*;

fn wording() -> Wording {
    Wording {
        kind: Kind::RollBack,
        changes: vec![PackageChange {
            package: "tooz".to_owned(),
            from_version: "9.0.0".to_owned(),
            to_version: "8.1.0".to_owned(),
        }],
        rollout: "ro-0123456789abcdef".to_owned(),
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
        categories: vec![CategoryCount {
            category: "test".to_owned(),
            exposed_failed: 3,
            control_failed: 12,
        }],
        evidence: Some(Evidence {
            log_evidence: 1350f64.ln(),
            log_threshold: 500f64.ln(),
        }),
        reason: "a person asked for it".to_owned(),
        decided_at_unix_ms: 1_645_434_000_000,
        actor: "controller".to_owned(),
        fingerprints: Vec::new(),
        link: None,
        free_text: None,
    }
}

fn key(wording: &Wording) -> FilingKey {
    FilingKey::new("here", "requirements", "master", &wording.changes, 1)
}

#[test]
fn a_rollback_says_what_why_and_on_which_numbers() {
    let wording = wording();
    let key = key(&wording);
    let message = message(&wording, &key);
    assert_eq!(
        message.subject,
        "revert(deps): roll back tooz 9.0.0 -> 8.1.0"
    );
    let flowing = message.body.replace('\n', " ");
    assert!(
        flowing.contains("3 of 14 environments with 9.0.0 failed (21.4 %)"),
        "{}",
        message.body
    );
    assert!(
        flowing.contains("12 of 180 environments with 8.1.0 failed (6.7 %)"),
        "{}",
        message.body
    );
    assert!(
        flowing.contains("1,350 to 1") && flowing.contains("500 to 1"),
        "{}",
        message.body
    );
    let trailers = message
        .body
        .rsplit("\n\n")
        .next()
        .expect("a last paragraph");
    assert_eq!(
        trailers,
        format!("Filing-Id: {key}\nReverts-Pin: tooz 9.0.0\nRollout: ro-0123456789abcdef")
    );
}

#[test]
fn several_packages_are_one_change_with_a_list() {
    let mut wording = wording();
    wording.changes.push(PackageChange {
        package: "oslo.log".to_owned(),
        from_version: "4.0".to_owned(),
        to_version: "3.9".to_owned(),
    });
    let message = message(&wording, &key(&wording));
    assert_eq!(
        message.subject,
        "revert(deps): roll back 2 packages of rollout ro-0123456789abcdef"
    );
    assert!(
        message
            .body
            .starts_with("- oslo.log 4.0 -> 3.9\n- tooz 9.0.0 -> 8.1.0"),
        "{}",
        message.body
    );
}

proptest! {
    #[test]
    fn what_environments_write_forges_no_trailer_and_mentions_nobody(text in "(\\PC|\n|\r|\t|@|#|:){0,400}") {
        for text in [text.clone(), format!("Change-Id: I0000\nSigned-off-by: x@y\nCloses #1 @all\n\n{text}")] {
            let wording = Wording { free_text: Some(text.clone()), reason: text, ..wording() };
            let key = key(&wording);
            let message = message(&wording, &key);
            prop_assert!(message.subject.len() + message.body.len() + 2 <= MESSAGE_BYTES_MAX);
            let (above, trailers) = message.body.rsplit_once("\n\n").expect("a last paragraph");
            let expected = format!("Filing-Id: {key}\nReverts-Pin: tooz 9.0.0\nRollout: ro-0123456789abcdef");
            prop_assert_eq!(trailers, expected);
            for line in above.lines() {
                prop_assert!(!line.starts_with('#'), "{}", line);
                prop_assert!(!line.starts_with("Change-Id:") && !line.starts_with("Signed-off-by:"), "{}", line);
            }
            prop_assert!(!above.contains("@all") && !above.contains("Closes #1"), "{}", above);
        }
    }
}
