//! What can go wrong between here and a server, typed, with the server's details as sentences.

use std::fmt;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::connection::{Unanswered, chain, each_server};

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server's address cannot be used.
    #[error("`{server}` cannot be the server's address: {problem}")]
    Address {
        /// As given.
        server: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Plain http would carry the token over a network.
    #[error("refusing plain http to `{host}`: everybody on the way could read the token")]
    PlainHttp {
        /// The host it would have gone to.
        host: String,
    },
    /// The token is empty or holds characters that cannot be sent.
    #[error("the token is no token: it is empty or holds spaces or other invisible characters")]
    Token,
    /// The certificate authorities cannot be read.
    #[error("the certificate authorities cannot be used: {cause}")]
    Certificates {
        /// Why.
        cause: String,
    },
    /// No answer came: the server is away, slow, or the network is.
    #[error("{}: {cause}", headline(server))]
    Unreachable {
        /// Its URL, or those of several.
        server: String,
        /// Why; of several servers, each that was asked with what it said.
        cause: String,
        /// Whether something was asked for that changes things, and may have been done although no answer came.
        may_be_done: bool,
    },
    /// The server answered with something that breaks the contract.
    #[error("the server's answer cannot be used: {problem}")]
    Answer {
        /// What is wrong with it.
        problem: String,
    },
    /// The server said no.
    #[error("{0}")]
    Refused(Box<Refusal>),
}

impl Error {
    /// Types a gRPC status.
    pub fn from_status(server: &str, status: &Status) -> Self {
        let source = std::error::Error::source(status);
        let unanswered = source.and_then(|source| source.downcast_ref::<Unanswered>());
        let unreachable = || Self::Unreachable {
            server: server.to_owned(),
            cause: reach_failure(status),
            may_be_done: unanswered.is_some_and(Unanswered::may_be_done),
        };
        match status.code() {
            // Whatever code its words were given.
            _ if unanswered.is_some() => unreachable(),
            Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled => unreachable(),
            // A peer that speaks no gRPC ends up here with the transport's error inside.
            Code::Unknown if source.is_some() => unreachable(),
            _ => Self::Refused(Box::new(Refusal::from_status(status))),
        }
    }

    /// The gRPC code of a refusal.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Refused(refusal) => Some(refusal.code),
            _ => None,
        }
    }

    /// Whether the same call may succeed later without anything being changed.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Refused(refusal) => matches!(
                refusal.code,
                Code::ResourceExhausted | Code::Aborted | Code::Internal | Code::Unknown
            ),
            _ => false,
        }
    }
}

/// What happened; of several servers, those that were asked are named where it says why.
fn headline(server: &str) -> String {
    match each_server(server).count() {
        1 => format!("the server at `{server}` cannot be reached"),
        _ => "no server answered".to_owned(),
    }
}

fn reach_failure(status: &Status) -> String {
    match std::error::Error::source(status) {
        // It has told its causes itself.
        Some(source) if source.is::<Unanswered>() => source.to_string(),
        Some(source) => chain(source),
        None => status.message().to_owned(),
    }
}

/// A server's no, with its details.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// The gRPC code.
    pub code: Code,
    /// The server's message.
    pub message: String,
    /// Which fields were wrong and how: pairs of a field's path and what is wrong with it.
    pub violations: Vec<(String, String)>,
    /// The machine-readable reason, such as `VERSION_BLOCKED`, and its values, ordered by key.
    pub reason: Option<(String, Vec<(String, String)>)>,
    /// What to do next: pairs of a sentence and an address, which may be empty.
    pub help: Vec<(String, String)>,
    /// How long to wait before trying again.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    /// Reads a status and the details it carries.
    pub fn from_status(status: &Status) -> Self {
        let details = status.get_error_details();
        let violations = details
            .bad_request()
            .map(|bad| bad.field_violations.as_slice())
            .unwrap_or_default()
            .iter()
            .map(|violation| (violation.field.clone(), violation.description.clone()));
        let preconditions = details
            .precondition_failure()
            .map(|failure| failure.violations.as_slice())
            .unwrap_or_default()
            .iter()
            .map(|violation| (violation.subject.clone(), violation.description.clone()));
        let reason = details.error_info().map(|info| {
            let mut values: Vec<_> = info.metadata.clone().into_iter().collect();
            values.sort();
            (info.reason.clone(), values)
        });
        let help = details
            .help()
            .map(|help| help.links.as_slice())
            .unwrap_or_default()
            .iter()
            .map(|link| (link.description.clone(), link.url.clone()))
            .collect();
        Self {
            code: status.code(),
            message: status.message().to_owned(),
            violations: violations.chain(preconditions).collect(),
            reason,
            help,
            retry_after: details.retry_info().and_then(|info| info.retry_delay),
        }
    }

    /// What was wrong, a sentence each, the server's message first; nothing is said twice.
    pub fn sentences(&self) -> Vec<String> {
        let mut sentences = vec![self.headline()];
        for (field, description) in &self.violations {
            if sentences
                .iter()
                .any(|said| said.contains(description.as_str()))
            {
                continue;
            }
            sentences.push(match field.as_str() {
                "" => description.clone(),
                field => format!("`{field}`: {description}"),
            });
        }
        if let Some((_, values)) = &self.reason {
            let unsaid = values
                .iter()
                .filter(|(_, value)| !sentences.iter().any(|said| said.contains(value.as_str())))
                .map(|(key, value)| format!("{} {value}", key.replace('_', " ")));
            let unsaid = unsaid.collect::<Vec<_>>().join(", ");
            if !unsaid.is_empty() {
                sentences.push(unsaid);
            }
        }
        sentences
    }

    /// What to do next, a sentence each.
    pub fn next_steps(&self) -> Vec<String> {
        let wait = self
            .retry_after
            .map(|wait| format!("try again in {} s", wait.as_secs().max(1)));
        let help = self.help.iter().map(|(words, url)| match url.as_str() {
            "" => words.clone(),
            url => format!("{words}: {url}"),
        });
        help.chain(wait).collect()
    }

    fn headline(&self) -> String {
        // A message often ends in what the help says too.
        let step = self.help.iter().find_map(|(words, _)| {
            let said = self.message.strip_suffix(words.as_str())?;
            said.strip_suffix("; ")
        });
        match step.unwrap_or(&self.message) {
            "" => format!("the server refused: {}", self.code.description()),
            message => message.to_owned(),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.sentences().join("; "))
    }
}

#[cfg(test)]
mod tests {
    use tonic_types::{ErrorDetails, FieldViolation};

    use super::*;

    #[test]
    fn every_detail_of_a_refusal_becomes_a_sentence() {
        let mut details = ErrorDetails::with_bad_request(vec![FieldViolation::new(
            "policy.stages[1]",
            "must rise: 0.05 comes after 0.1",
        )]);
        details.set_error_info(
            "STAGES_NOT_RISING",
            "pinion",
            [("pin_set".into(), "nova".into())],
        );
        details.add_help_link("see the policy reference", "https://pinion.example/policy");
        details.set_retry_info(Some(Duration::from_millis(400)));
        let status =
            Status::with_error_details(Code::InvalidArgument, "the policy is invalid", details);
        let Error::Refused(refusal) = Error::from_status("http://localhost", &status) else {
            panic!("a refusal is expected");
        };
        assert_eq!(
            refusal.sentences(),
            [
                "the policy is invalid",
                "`policy.stages[1]`: must rise: 0.05 comes after 0.1",
                "pin set nova",
            ]
        );
        assert_eq!(
            refusal.next_steps(),
            [
                "see the policy reference: https://pinion.example/policy",
                "try again in 1 s"
            ]
        );
    }

    #[test]
    fn what_the_message_says_already_is_not_said_again() {
        let mut details = ErrorDetails::with_bad_request_violation("content", "line 4 is no pin");
        details.add_help_link("import with `--keep-unkept`", "");
        let message = "`content`: line 4 is no pin; import with `--keep-unkept`";
        let status = Status::with_error_details(Code::InvalidArgument, message, details);
        let refusal = Refusal::from_status(&status);
        assert_eq!(refusal.sentences(), ["`content`: line 4 is no pin"]);
        assert_eq!(refusal.next_steps(), ["import with `--keep-unkept`"]);
    }

    #[test]
    fn an_absent_server_is_no_refusal() {
        let error = Error::from_status("http://localhost", &Status::unavailable("down"));
        assert!(matches!(error, Error::Unreachable { .. }) && error.is_transient());
        let refused = Error::from_status("http://localhost", &Status::not_found("no such pin set"));
        assert_eq!(refused.code(), Some(Code::NotFound));
        assert!(!refused.is_transient());
    }
}
