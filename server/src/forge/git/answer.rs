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

/// The refusal in the report of `git push --porcelain`, if there is one.
pub(super) fn of_refusal(report: &str, messages: &str) -> Option<Error> {
    let refusal = report
        .lines()
        .find(|line| line.starts_with('!'))?
        .rsplit('\t')
        .next()?;
    let said: Vec<_> = messages
        .lines()
        .filter(|line| line.starts_with("remote: "))
        .collect();
    let answer = condense(&format!("{refusal}\n{}", said.join("\n")));
    let is_passing = PASSING_REFUSALS
        .iter()
        .any(|word| refusal.to_lowercase().contains(word));
    Some(match is_passing {
        true => Error::Retry {
            answer,
            retry_after: None,
        },
        false => Error::Stopped { answer },
    })
}

/// What was printed, on one line, without git's advice and without control characters.
pub(super) fn condense(messages: &str) -> String {
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
        let refusal = |why: &str| {
            let report = format!("To /srv/a\n!\tabc:refs/heads/x\t{why}\nDone\n");
            of_refusal(
                &report,
                "remote: no way        \nerror: failed to push some refs\n",
            )
        };
        let stopped = refusal("[remote rejected] (pre-receive hook declined)").expect("a refusal");
        assert_eq!(
            stopped,
            Error::Stopped {
                answer: "[remote rejected] (pre-receive hook declined); remote: no way".to_owned()
            }
        );
        assert!(matches!(
            refusal("[rejected] (stale info)"),
            Some(Error::Retry { .. })
        ));
        assert!(matches!(
            refusal("[remote rejected] (failed to update ref)"),
            Some(Error::Retry { .. })
        ));
        assert_eq!(
            of_refusal("To /srv/a\n*\tabc:refs/heads/x\t[new branch]\nDone\n", ""),
            None
        );
    }

    #[test]
    fn answers_are_one_short_line() {
        assert_eq!(condense("fatal: a\u{7}b\n\nerror: c\nhint: d\n"), "a b; c");
        assert_eq!(condense("\n"), "git failed without a word");
        assert!(condense(&"é".repeat(600)).len() <= ANSWER_BYTES_MAX + '…'.len_utf8());
    }
}
