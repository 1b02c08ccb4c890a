//! What a refusal is called on the wire, in one place: the status code, and details that programs can read.

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::wire::Unreadable;
use crate::controller::Refusal;
use crate::store::records::RefusalKind;

/// The domain of the reasons in error details.
const DOMAIN: &str = "pinion";

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        let message = refusal.to_string();
        let (kind, reason) = refusal.kind();
        let code = code_of(kind);
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

/// The code of a kind of refusal.
const fn code_of(kind: RefusalKind) -> Code {
    match kind {
        RefusalKind::Unauthenticated => Code::Unauthenticated,
        RefusalKind::Forbidden => Code::PermissionDenied,
        RefusalKind::NotFound => Code::NotFound,
        RefusalKind::Exists => Code::AlreadyExists,
        RefusalKind::Invalid => Code::InvalidArgument,
        RefusalKind::Stale => Code::Aborted,
        RefusalKind::Precondition => Code::FailedPrecondition,
        RefusalKind::Exhausted => Code::ResourceExhausted,
        RefusalKind::Unavailable => Code::Unavailable,
        RefusalKind::Damaged => Code::DataLoss,
        RefusalKind::Internal => Code::Internal,
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
