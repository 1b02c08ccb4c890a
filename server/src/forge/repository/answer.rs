//! What git's words mean: whether to try again.

use std::time::Duration;

use super::super::Error;

const ANSWER_BYTES_MAX: usize = 500;
/// What a server that limits requests without saying for how long is given.
const RATE_LIMIT_WAIT: Duration = Duration::from_secs(60);

/// Passing faults. They are looked for first: ssh ends a refused connection with words about rights, too.
const PASSING: [&str; 29] = [
    "could not resolve",
    "failed to connect",
    "couldn't connect",
    "unable to connect",
    "connection refused",
    "connection reset",
    "connection timed out",
    "connection closed",
    "connection was closed",
    "broken pipe",
    "operation timed out",
    "operation too slow",
    "network is unreachable",
    "no route to host",
    "name or service",
    "temporary failure",
    "early eof",
    "hung up unexpectedly",
    "unexpected disconnect",
    "empty reply",
    "rpc failed",
    "recv failure",
    "send failure",
    "gnutls_handshake",
    "error: 408",
    "error: 425",
    "error: 429",
    "error: 5",
    "no space left",
];

/// Faults that stay until a person acts.
const LASTING: [&str; 23] = [
    "authentication failed",
    "could not read username",
    "could not read password",
    "permission denied",
    "access denied",
    "access rights",
    "error: 4",
    "error: 3",
    "redirect",
    "not found",
    "does not appear to be a git",
    "does not exist",
    "couldn't find remote ref",
    "host key verification",
    "certificate",
    "not allowed",
    "dubious ownership",
    "not our ref",
    "unadvertised object",
    "not supported",
    "mismatched algorithms",
    "denied",
    "read-only",
];

/// Refusals of a push that come from a crowd of writers or a fault of the server.
const PASSING_REFUSALS: [&str; 8] = [
    "stale info",
    "failed to update ref",
    "failed to lock",
    "cannot lock",
    "internal",
    "unpacker error",
    "timeout",
    "no space left",
];

/// What a failed call of git means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The forge said so.
    Forge(Error),
    /// Nobody knows; the fault may be ours.
    Unknown(String),
}

/// The meaning of what git printed when it could not read from or write to the forge.
pub(super) fn of_failure(messages: &str) -> Meaning {
    let answer = condense(messages);
    let lower = messages.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    if says(&PASSING) {
        let retry_after = lower.contains("error: 429").then_some(RATE_LIMIT_WAIT);
        Meaning::Forge(Error::Retry {
            answer,
            retry_after,
        })
    } else if says(&LASTING) {
        Meaning::Forge(Error::Stopped { answer })
    } else {
        Meaning::Unknown(answer)
    }
}

/// What the reason of a refused push means.
pub(super) fn of_refusal(reason: &str, remarks: &[String]) -> Error {
    let said = remarks.iter().map(String::as_str);
    let words: Vec<_> = std::iter::once(reason).chain(said).collect();
    let answer = condense(&words.join("\n"));
    let lower = reason.to_lowercase();
    match PASSING_REFUSALS.iter().any(|word| lower.contains(word)) {
        true => Error::retry(answer),
        false => Error::stopped(answer),
    }
}

/// Whether git says that the forge does not take our login.
pub(super) fn is_login_refused(messages: &str) -> bool {
    let lower = messages.to_lowercase();
    [
        "authentication failed",
        "error: 401",
        "could not read username",
    ]
    .iter()
    .any(|words| lower.contains(words))
}

/// What was printed, on one line, without git's advice and without control characters.
pub(in crate::forge) fn condense(messages: &str) -> String {
    let advice = [
        "Please make sure you have",
        "and the repository exists",
        "hint:",
        "warning: redirecting",
    ];
    let lines = messages
        .lines()
        .map(|line| line.rsplit('\r').next().unwrap_or_default().trim());
    let lines = lines
        .filter(|line| !line.is_empty() && !advice.iter().any(|words| line.starts_with(words)));
    let words: Vec<_> = lines.map(without_rank).collect();
    let mut answer: String = words
        .join("; ")
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if answer.len() > ANSWER_BYTES_MAX {
        let end = (0..=ANSWER_BYTES_MAX)
            .rev()
            .find(|at| answer.is_char_boundary(*at));
        answer.truncate(end.unwrap_or(0));
        answer.push('…');
    }
    match answer.is_empty() {
        true => "git failed without a word".to_owned(),
        false => answer,
    }
}

fn without_rank(line: &str) -> &str {
    ["fatal: ", "error: "]
        .iter()
        .find_map(|rank| line.strip_prefix(rank))
        .unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_retry(messages: &str) -> Option<bool> {
        match of_failure(messages) {
            Meaning::Forge(Error::Retry { .. }) => Some(true),
            Meaning::Forge(Error::Stopped { .. }) => Some(false),
            Meaning::Unknown(_) => None,
        }
    }

    #[test]
    fn passing_faults_are_retried_and_lasting_ones_are_not() {
        let refused = "ssh: connect to host x port 22: Connection refused\nfatal: Could not read from remote \
                       repository.\n\nPlease make sure you have the correct access rights\nand the repository exists.";
        let rights =
            "git@x: Permission denied (publickey).\nfatal: Could not read from remote repository.";
        for (messages, expected) in [
            (refused, Some(true)),
            (rights, Some(false)),
            (
                "fatal: unable to access 'https://x/': Could not resolve host: x",
                Some(true),
            ),
            (
                "fatal: unable to access 'https://x/': The requested URL returned error: 503",
                Some(true),
            ),
            (
                "fatal: unable to access 'https://x/': The requested URL returned error: 403",
                Some(false),
            ),
            (
                "fatal: unable to access 'https://x/': SSL certificate problem: unable to get local",
                Some(false),
            ),
            ("fatal: Authentication failed for 'https://x/'", Some(false)),
            (
                "fatal: could not read Username for 'https://x': terminal prompts disabled",
                Some(false),
            ),
            (
                "remote: Repository not found.\nfatal: repository 'https://x/' not found",
                Some(false),
            ),
            (
                "fatal: '/srv/a' does not appear to be a git repository",
                Some(false),
            ),
            (
                "fatal: couldn't find remote ref refs/heads/nope",
                Some(false),
            ),
            ("fatal: transport 'ext' not allowed", Some(false)),
            ("fatal: shallow file has changed since we read it", None),
            // Only our own repository is called this: the forge's "does not appear to be" one.
            ("fatal: not a git repository: '/srv/own'", None),
        ] {
            assert_eq!(is_retry(messages), expected, "{messages}");
        }
    }

    #[test]
    fn a_server_that_limits_requests_is_left_alone_for_a_minute() {
        let Meaning::Forge(error) = of_failure("fatal: The requested URL returned error: 429")
        else {
            panic!("429 is known");
        };
        assert_eq!(error.retry_after(), Some(RATE_LIMIT_WAIT));
    }

    #[test]
    fn a_refused_push_is_understood_from_its_report() {
        let stopped = of_refusal(
            "[remote rejected] (pre-receive hook declined)",
            &["no way".to_owned()],
        );
        assert_eq!(
            stopped,
            Error::stopped("[remote rejected] (pre-receive hook declined); no way")
        );
        for passing in [
            "[rejected] (stale info)",
            "[remote rejected] (failed to update ref)",
        ] {
            let error = of_refusal(passing, &[]);
            assert!(matches!(error, Error::Retry { .. }), "{error}");
        }
    }

    #[test]
    fn answers_are_one_short_line() {
        assert_eq!(condense("fatal: a\u{7}b\n\nerror: c\nhint: d\n"), "a b; c");
        assert_eq!(condense("\n"), "git failed without a word");
        assert!(condense(&"é".repeat(600)).len() <= ANSWER_BYTES_MAX + '…'.len_utf8());
    }
}
