//! What etcd's refusals and silences mean.

use std::error::Error as _;
use std::time::Duration;

use tonic::{Code, ConnectError, Status};

use crate::store::Error;

/// What an operator does about a full etcd.
const FULL: &str = "etcd has reached its quota (database space exceeded): compact its history, `etcdctl defrag` \
     each member, raise `--quota-backend-bytes` if it is really that full, then `etcdctl alarm disarm`; \
     set `--auto-compaction-retention`, such as 5m, so that it does not come back";

/// Why a call did not end well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Surely nothing happened; another member may take it, or the same one later.
    Untaken(String),
    /// It may have happened.
    Lost(String),
    /// Nothing happened; the token is no longer good.
    Token,
    /// Nothing happened; the revision is no longer kept.
    Compacted,
    /// Nothing happened; etcd takes nothing more until an operator has made space.
    Full,
    /// Nothing happened, nor will it if it is tried again.
    Refused(String),
}

impl Fault {
    /// That nothing was heard for so long.
    pub(super) fn silence(timeout: Duration) -> Self {
        Self::Lost(format!("no answer for {timeout:?}"))
    }

    /// Whether it is the member's fault, so that another one is worth asking.
    pub(super) fn is_of_the_member(&self) -> bool {
        matches!(self, Self::Untaken(_) | Self::Lost(_))
    }

    /// What it means for a call that changes nothing.
    pub(super) fn of_read(self) -> Error {
        match self {
            Self::Lost(cause) => Error::Unavailable(format!("etcd did not answer: {cause}")),
            other => other.of_commit(),
        }
    }

    /// What it means for a call that may change something.
    pub(super) fn of_commit(self) -> Error {
        match self {
            Self::Untaken(cause) => {
                Error::Unavailable(format!("no member of etcd takes it: {cause}"))
            }
            Self::Lost(cause) => Error::Unknown(format!("etcd's answer is lost: {cause}")),
            Self::Token => Error::Unavailable("etcd does not accept its own token".to_owned()),
            Self::Compacted => Error::Unavailable(
                "etcd has compacted the revision meanwhile: try again, with a longer \
                 `--auto-compaction-retention` if it happens again"
                    .to_owned(),
            ),
            Self::Full => Error::Unavailable(FULL.to_owned()),
            Self::Refused(cause) => Error::Unavailable(format!("etcd refuses it: {cause}")),
        }
    }
}

impl From<Status> for Fault {
    fn from(status: Status) -> Self {
        let message = status.message();
        let says = |words: &str| message.contains(words);
        match status.code() {
            Code::Unauthenticated => Self::Token,
            // Authentication was switched on, or changed, after the token was given or without one.
            Code::InvalidArgument
                if says("user name is empty") || says("revision of auth store is old") =>
            {
                Self::Token
            }
            Code::OutOfRange if says("has been compacted") => Self::Compacted,
            Code::ResourceExhausted if says("space exceeded") => Self::Full,
            Code::ResourceExhausted if says("too many requests") => {
                Self::Untaken(message.to_owned())
            }
            Code::Unavailable if says("no leader") || is_unconnected(&status) => {
                Self::Untaken(causes(&status))
            }
            Code::InvalidArgument
            | Code::PermissionDenied
            | Code::FailedPrecondition
            | Code::NotFound
            | Code::OutOfRange
            | Code::Unimplemented
            | Code::DataLoss => Self::Refused(message.to_owned()),
            _ => Self::Lost(causes(&status)),
        }
    }
}

fn is_unconnected(status: &Status) -> bool {
    let mut source = status.source();
    while let Some(cause) = source {
        if cause.is::<ConnectError>() {
            return true;
        }
        source = cause.source();
    }
    false
}

/// The message with what is behind it, each cause once.
fn causes(status: &Status) -> String {
    let mut text = status.message().to_owned();
    let mut source = status.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_surely_did_not_happen_is_called_so() {
        let unavailable = |message: &str| Fault::from(Status::unavailable(message));
        assert!(matches!(
            unavailable("etcdserver: no leader"),
            Fault::Untaken(_)
        ));
        for open in [
            "etcdserver: leader changed",
            "etcdserver: request timed out",
            "etcdserver: server stopped",
            "transport is closing",
        ] {
            assert!(matches!(unavailable(open), Fault::Lost(_)), "{open}");
        }
        assert!(matches!(
            Fault::from(Status::cancelled("h2 protocol error")),
            Fault::Lost(_)
        ));
        let full = Fault::from(Status::resource_exhausted(
            "etcdserver: mvcc: database space exceeded",
        ));
        assert_eq!(full, Fault::Full);
        assert!(full.of_commit().to_string().contains("alarm disarm"));
    }
}
