//! A change in the form that Gerrit takes: its Change-Id, its message, its topic.

use pinion_core::filing::FilingKey;

use super::super::Change;

/// The name of a change that is the same on every try: project, branch and this are its identity on Gerrit.
pub(super) fn change_id(key: &FilingKey) -> String {
    format!("I{}", key.as_str())
}

/// What groups changes on Gerrit. It is the change's own, since a server may submit a whole topic at once.
pub(super) fn topic(change: &Change) -> String {
    change.head.replace('/', "-")
}

/// The change with its Change-Id as the last trailer, worded so that push and REST give the same message: what comes by
/// REST loses its lines that begin with `#`.
pub(super) fn for_gerrit(change: &Change) -> Change {
    let lines = change.body.trim_end().lines().map(|line| match line {
        line if line.starts_with('#') => format!(" {line}"),
        line => line.to_owned(),
    });
    let last = format!("Change-Id: {}", change_id(&change.key));
    Change {
        subject: change.subject.trim_start_matches(['#', ' ']).to_owned(),
        body: lines.chain([last]).collect::<Vec<_>>().join("\n"),
        ..change.clone()
    }
}

#[cfg(test)]
mod tests {
    use pinion_core::filing::PackageChange;

    use super::super::super::{FileEdit, Signature};
    use super::*;

    fn change(subject: &str, body: &str) -> Change {
        let moved = PackageChange {
            package: "tooz".into(),
            from_version: "9.0.0".into(),
            to_version: "8.1.0".into(),
        };
        Change {
            key: FilingKey::new("test", "pins", "main", &[moved], 1),
            branch: "main".into(),
            head: "rollback/tooz-0123abcd".into(),
            parent: "1".repeat(40),
            edits: vec![FileEdit {
                path: "a".into(),
                bytes: vec![],
            }],
            subject: subject.into(),
            body: body.into(),
            author: Signature {
                name: "Pinion".into(),
                email: "pinion@example.org".into(),
            },
            at_unix_s: 0,
        }
    }

    #[test]
    fn the_change_id_is_the_last_trailer() {
        let change = change("Roll back", "Why.\n\nFiling-Id: 1\n");
        let id = change_id(&change.key);
        assert_eq!(id.len(), 41);
        assert_eq!(
            for_gerrit(&change).body,
            format!("Why.\n\nFiling-Id: 1\nChange-Id: {id}")
        );
    }

    #[test]
    fn no_line_begins_with_what_rest_drops() {
        let change = for_gerrit(&change("# Roll back", "# Why\n#1 x\n  # y\n\nFiling-Id: 1"));
        assert_eq!(change.subject, "Roll back");
        assert!(
            change
                .body
                .starts_with(" # Why\n #1 x\n  # y\n\nFiling-Id: 1\n"),
            "{}",
            change.body
        );
    }

    #[test]
    fn the_topic_is_the_changes_own() {
        assert_eq!(topic(&change("a", "b")), "rollback-tooz-0123abcd");
    }
}
