//! What a refusal is called on the wire, in one place: the status code, and details that programs can read.

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::wire::Unreadable;
use crate::controller::Refusal;
use crate::store::Error;

/// The domain of the reasons in error details.
const DOMAIN: &str = "pinion";

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        let message = refusal.to_string();
        let (code, reason) = match &refusal {
            Refusal::Unauthenticated(_) => (Code::Unauthenticated, "UNAUTHENTICATED"),
            Refusal::WrongRole { .. } => (Code::PermissionDenied, "WRONG_ROLE"),
            Refusal::OtherPinSet { .. } => (Code::PermissionDenied, "OTHER_PIN_SET"),
            Refusal::NotApprover { .. } => (Code::PermissionDenied, "NOT_AN_APPROVER"),
            Refusal::NotFound { .. } => (Code::NotFound, "NOT_FOUND"),
            Refusal::Exists { .. } => (Code::AlreadyExists, "EXISTS"),
            Refusal::Invalid { .. } => (Code::InvalidArgument, "INVALID"),
            Refusal::Stale { .. } => (Code::Aborted, "STALE"),
            Refusal::Precondition { code, .. } => (Code::FailedPrecondition, *code),
            Refusal::IllegalStep(_) => (Code::FailedPrecondition, "ILLEGAL_STEP"),
            Refusal::Exhausted { .. } => (Code::ResourceExhausted, "EXHAUSTED"),
            Refusal::Store(Error::Invalid(_) | Error::Export(_)) => (Code::Internal, "STORE"),
            Refusal::Store(Error::Unknown(_) | Error::Unavailable(_)) => {
                (Code::Unavailable, "STORE")
            }
            Refusal::Store(Error::Damaged { .. }) => (Code::DataLoss, "STORE"),
        };
        if let Refusal::Store(error) = &refusal {
            tracing::error!(%error, "the store refused");
        }
        let mut details = ErrorDetails::new();
        details.set_error_info(reason, DOMAIN, std::collections::HashMap::new());
        match refusal {
            Refusal::Invalid { field, cause } => {
                details.add_bad_request_violation(field, cause);
            }
            Refusal::NotFound { kind, name, hint } => {
                details.set_resource_info(kind, name, "", hint);
            }
            Refusal::Precondition { code, cause, hint } => {
                details.add_precondition_failure_violation(code, "", cause);
                details.add_help_link(hint, "");
            }
            _ => {}
        }
        Self::with_error_details(code, message, details)
    }
}

impl From<Unreadable> for Status {
    fn from(unreadable: Unreadable) -> Self {
        Refusal::Invalid {
            field: unreadable.field,
            cause: unreadable.cause,
        }
        .into()
    }
}
