//! What Gerrit's refusals mean, and what a person can do about them.

use super::super::Error;
use super::super::repository::Pushed;

/// Refusals of a push that say how far the change is already; looking tells more.
const TELLING: [&str; 4] = [
    "no new changes",
    "already exists",
    " closed)",
    "has duplicates",
];

/// Refusals that pass, beyond those of every git server.
const PASSING: [&str; 4] = [
    "lock_failure",
    "lock failure",
    "internal server error",
    // It looked at a change that was being made.
    "missing revisions",
];

/// Words of a refusal, and what to do then.
const ADVICE: [(&str, &str); 13] = [
    (
        "not permitted: create change",
        "give the account's group `Push` on `refs/for/refs/heads/*` of the project",
    ),
    (
        "does not permit write",
        "set the project's state to active, or name another project",
    ),
    (
        "invalid committer",
        "set `author_email` to an address that is registered with the account",
    ),
    (
        "invalid author",
        "set `author_email` to an address that is registered with the account",
    ),
    (
        "signed-off-by",
        "add the line `Signed-off-by: <author_name> <author_email>` to `trailers`",
    ),
    (
        "missing change-id",
        "make sure that `trailers` are lines of the form `Word: text`",
    ),
    ("multiple change-id", "take `Change-Id` out of `trailers`"),
    (
        "cannot add patch set",
        "somebody else owns or locks the change; let its owner see to it",
    ),
    (
        "[remote rejected] (branch ",
        "make the branch, or correct the source of the pin set",
    ),
    (
        "project not found",
        "correct `project`, or let the account read it",
    ),
    (
        "error: 403",
        "is `project` right, and may the account read it?",
    ),
    (
        "edit hashtags not permitted",
        "give the account's group `Edit Hashtags`, or empty `labels`",
    ),
    (
        "contributor agreement",
        "accept the agreement with the account, or exempt its group",
    ),
];

/// Whether a refused push says that the server has the change, or had it.
pub(super) fn is_telling(summary: &str) -> bool {
    TELLING.iter().any(|words| summary.contains(words))
}

/// Whether a refused push lacked something that the server said it had.
pub(super) fn is_incomplete(pushed: &Pushed) -> bool {
    pushed.is_refused && pushed.summary.contains("unpacker error")
}

/// A refused push as an error, without what the server says of its progress.
pub(super) fn refusal(mut pushed: Pushed) -> Error {
    pushed
        .remarks
        .retain(|remark| !remark.contains("Processing changes"));
    with_advice(pushed.refusal())
}

/// The error with what to do about it, where that is known.
pub(super) fn with_advice(error: Error) -> Error {
    let lower = error.answer().to_lowercase();
    if PASSING.iter().any(|words| lower.contains(words)) {
        return Error::Retry {
            answer: error.answer().to_owned(),
            retry_after: error.retry_after(),
        };
    }
    let advice = ADVICE.iter().find(|(words, _)| lower.contains(words));
    match (error, advice) {
        (Error::Stopped { answer }, Some((_, advice))) => {
            Error::stopped(format!("{answer}; {advice}"))
        }
        (error, _) => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_has_the_commit_is_no_obstacle() {
        for summary in [
            "[remote rejected] (no new changes)",
            "[remote rejected] (commit(s) already exists (as current patchset))",
            "[remote rejected] (commit already exists (in the change))",
            "[remote rejected] (change https://review.example.org/c/pins/+/5 closed)",
            "[remote rejected] (I0123 has duplicates)",
        ] {
            assert!(is_telling(summary), "{summary}");
        }
        assert!(!is_telling("[remote rejected] (branch nope not found)"));
    }

    #[test]
    fn passing_faults_are_tried_again_and_others_come_with_advice() {
        let passing = with_advice(Error::stopped("[remote rejected] (LOCK_FAILURE)"));
        assert!(matches!(passing, Error::Retry { .. }), "{passing}");
        let lasting = with_advice(Error::stopped("(commit 50814eb: invalid committer)"));
        assert_eq!(
            lasting,
            Error::stopped(
                "(commit 50814eb: invalid committer); set `author_email` to an address that is registered with the \
                 account"
            )
        );
        let unknown = Error::stopped("never heard of");
        assert_eq!(with_advice(unknown.clone()), unknown);
    }
}
