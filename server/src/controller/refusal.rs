//! Why a request is refused: what was wrong, and what to do next.

use pinion_core::name::{Approver, EnvironmentId, PackageName, PinSetName, RolloutId};
use pinion_core::rollout::IllegalStep;
use pinion_core::state::Actor;
use pinion_core::time::Timestamp;

use crate::store::Error;
use crate::store::records::{RefusalKind, RefusalRecord, Role};

/// Why a request is refused.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// No token, or one that is unknown, revoked or expired.
    #[error("{0}; send a valid token as `authorization: Bearer ...`")]
    Unauthenticated(&'static str),
    /// The token may not do this.
    #[error("a token with the role {} may not do this; it takes {}", .has.as_str(), role_names(.needs))]
    WrongRole {
        /// Its role.
        has: Role,
        /// One of these would do.
        needs: Vec<Role>,
    },
    /// The token is good for another pin set only.
    #[error(
        "this token is good for the pin set `{own}` only, not for `{asked}`; use one that is good for it"
    )]
    OtherPinSet {
        /// The token's.
        own: PinSetName,
        /// The one asked for.
        asked: PinSetName,
    },
    /// The policy of a rollout names others as its approvers.
    #[error(
        "`{actor}` is no approver of rollout `{rollout}`; its policy names {}", .approvers.iter().map(Approver::as_str).collect::<Vec<_>>().join(", ")
    )]
    NotApprover {
        /// Who asked.
        actor: Actor,
        /// Of what.
        rollout: RolloutId,
        /// Tokens and roles.
        approvers: Vec<Approver>,
    },
    /// There is no such thing.
    #[error("there is no {kind} `{name}`; {hint}")]
    NotFound {
        /// What kind.
        kind: &'static str,
        /// As asked for.
        name: String,
        /// What to do next.
        hint: &'static str,
    },
    /// The name is taken.
    #[error("the {kind} `{name}` exists already; choose another name")]
    Exists {
        /// What kind.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// A field of the request is wrong.
    #[error("`{field}`: {cause}")]
    Invalid {
        /// Which field.
        field: String,
        /// What is wrong with it and what would be right.
        cause: String,
    },
    /// The request was made on an older state.
    #[error("{what} has changed since you looked: it is {now}; look again and repeat")]
    Stale {
        /// What.
        what: String,
        /// How it is now.
        now: String,
    },
    /// Another server changed something meanwhile; nothing happened, and the same request may succeed.
    #[error("another request was faster and changed what this one was made on; repeat it")]
    Raced,
    /// The request does not fit what is.
    #[error("{cause}; {hint}")]
    Precondition {
        /// Why not, as a short identifier for programs.
        code: &'static str,
        /// What stands in the way.
        cause: String,
        /// What to do next.
        hint: String,
    },
    /// The rollout's state does not allow it.
    #[error("{0}; `pinion rollout show` tells where it stands")]
    IllegalStep(#[from] IllegalStep),
    /// There are too many already.
    #[error("{cause}; {hint}")]
    Exhausted {
        /// Of what.
        cause: String,
        /// What to do next.
        hint: String,
    },
    /// The store could not do it.
    #[error(transparent)]
    Store(#[from] Error),
    /// The server that leads refused it.
    #[error("{}", .0.words)]
    Relayed(RefusalRecord),
}

impl Refusal {
    /// What kind of refusal it is, and its short identifier for programs.
    pub fn kind(&self) -> (RefusalKind, &str) {
        match self {
            Self::Unauthenticated(_) => (RefusalKind::Unauthenticated, "UNAUTHENTICATED"),
            Self::WrongRole { .. } => (RefusalKind::Forbidden, "WRONG_ROLE"),
            Self::OtherPinSet { .. } => (RefusalKind::Forbidden, "OTHER_PIN_SET"),
            Self::NotApprover { .. } => (RefusalKind::Forbidden, "NOT_AN_APPROVER"),
            Self::NotFound { .. } => (RefusalKind::NotFound, "NOT_FOUND"),
            Self::Exists { .. } => (RefusalKind::Exists, "EXISTS"),
            Self::Invalid { .. } => (RefusalKind::Invalid, "INVALID"),
            Self::Stale { .. } => (RefusalKind::Stale, "STALE"),
            Self::Raced => (RefusalKind::Stale, "RACED"),
            Self::Precondition { code, .. } => (RefusalKind::Precondition, code),
            Self::IllegalStep(_) => (RefusalKind::Precondition, "ILLEGAL_STEP"),
            Self::Exhausted { .. } => (RefusalKind::Exhausted, "EXHAUSTED"),
            Self::Store(Error::Invalid(_) | Error::Export(_)) => (RefusalKind::Internal, "STORE"),
            Self::Store(Error::Unknown(_) | Error::Unavailable(_)) => {
                (RefusalKind::Unavailable, "STORE")
            }
            Self::Store(Error::Damaged { .. }) => (RefusalKind::Damaged, "STORE"),
            Self::Relayed(refusal) => (refusal.kind, &refusal.code),
        }
    }

    /// The refusal as another server tells it.
    pub(crate) fn record(&self) -> RefusalRecord {
        let (kind, code) = self.kind();
        RefusalRecord {
            kind,
            code: code.to_owned(),
            words: self.to_string(),
        }
    }

    pub(crate) fn invalid(field: impl Into<String>, cause: impl ToString) -> Self {
        Self::Invalid {
            field: field.into(),
            cause: cause.to_string(),
        }
    }

    pub(crate) fn no_pin_set(name: &PinSetName) -> Self {
        Self::NotFound {
            kind: "pin set",
            name: name.to_string(),
            hint: "`pinion pin-set list` shows those there are",
        }
    }

    pub(crate) fn no_rollout(id: &RolloutId) -> Self {
        Self::NotFound {
            kind: "rollout",
            name: id.to_string(),
            hint: "`pinion rollout list --all` shows those there are",
        }
    }

    pub(crate) fn no_environment(id: &EnvironmentId) -> Self {
        Self::NotFound {
            kind: "environment",
            name: id.to_string(),
            hint: "it may have left; `pinion join` enrols it anew",
        }
    }

    pub(crate) fn no_consent() -> Self {
        Self::Precondition {
            code: "NO_CONSENT",
            cause: "the owner of this environment has not agreed to reporting, so nothing was kept"
                .to_owned(),
            hint: "`pinion telemetry on` agrees".to_owned(),
        }
    }

    pub(crate) fn blocked(
        pin_set: &PinSetName,
        package: &PackageName,
        version: &str,
        since: Timestamp,
        rollout: &RolloutId,
    ) -> Self {
        let package = package.written();
        Self::Precondition {
            code: "BLOCKED",
            cause: format!(
                "`{package}` {version} is blocked since {since}: rollout `{rollout}` was rolled back"
            ),
            hint: format!(
                "`pinion pin-set lift {pin_set} {package} {version} --reason WHY` lifts the block, by name"
            ),
        }
    }
}

fn role_names(roles: &[Role]) -> String {
    roles
        .iter()
        .map(|role| role.as_str())
        .collect::<Vec<_>>()
        .join(" or ")
}
