//! Who may approve a rollout, and who may go past approvals that are missing.

use pinion_core::name::Approver;
use pinion_core::rollout::{ApprovalError, Rollout};

use super::{Controller, Identity, MissingApprovals, Refusal, Verb};
use crate::store::records::Role;

/// Roles whose names mean the role, and no token that is called so.
const ROLES: [Role; 3] = [Role::Viewer, Role::ReleaseManager, Role::Admin];

impl Controller {
    /// Whether a caller may ask this of a rollout, as it stands: their role, their pin set, and its state.
    pub fn may(&self, caller: &Identity, rollout: &Rollout, verb: Verb) -> bool {
        // Whether a reason is given is seen when it is asked.
        const ANY_WORDS: &str = "-";
        let (by, now) = (&caller.actor, self.clock.now());
        let is_open_to_them = match verb {
            Verb::Approve => rollout.approve(by, now).is_ok(),
            Verb::Withdraw => rollout.withdraw(by, now).is_ok(),
            Verb::Deny => rollout.deny(by, now).is_ok(),
            Verb::Promote { approvals, .. } => {
                rollout.share().value() < 1.0 && check_approved(rollout, approvals).is_ok()
            }
            Verb::Pause | Verb::Resume | Verb::RollBack | Verb::Abort => true,
        };
        is_open_to_them
            && rollout.state.kind().allows(verb.step())
            && caller.require_pin_set(&rollout.pin_set).is_ok()
            && check_right(caller, rollout, verb, ANY_WORDS).is_ok()
    }
}

/// Fails unless the caller may ask this of the rollout.
pub(super) fn check_right(
    caller: &Identity,
    rollout: &Rollout,
    verb: Verb,
    words: &str,
) -> Result<(), Refusal> {
    match verb {
        Verb::Approve | Verb::Withdraw | Verb::Deny => check_approver(caller, rollout),
        Verb::Promote {
            approvals: MissingApprovals::Override,
            ..
        } => {
            caller.require(&[Role::Admin])?;
            match words.trim() {
                "" => Err(Refusal::invalid(
                    "reason",
                    "to go past missing approvals, say why",
                )),
                _ => Ok(()),
            }
        }
        Verb::Pause | Verb::Resume | Verb::Promote { .. } | Verb::RollBack | Verb::Abort => {
            caller.require(&[Role::ReleaseManager])
        }
    }
}

fn check_approver(caller: &Identity, rollout: &Rollout) -> Result<(), Refusal> {
    let approvers = &rollout.policy.approvers;
    if approvers.is_empty() {
        return caller.require(&[Role::ReleaseManager]);
    }
    let is_role = |approver: &Approver| ROLES.iter().any(|role| role.as_str() == approver.as_str());
    let is_meant = |approver: &Approver| match is_role(approver) {
        true => caller.role.as_str() == approver.as_str(),
        false => caller.actor.to_string() == approver.as_str(),
    };
    let is_person = ROLES.contains(&caller.role);
    match is_person && approvers.iter().any(is_meant) {
        true => Ok(()),
        false => Err(Refusal::NotApprover {
            actor: caller.actor.clone(),
            rollout: rollout.id.clone(),
            approvers: approvers.clone(),
        }),
    }
}

/// Fails if approvals are missing and nobody may go past them.
pub(crate) fn check_approved(
    rollout: &Rollout,
    approvals: MissingApprovals,
) -> Result<u32, Refusal> {
    let missing = match rollout.epoch {
        Some(_) => 0,
        None => rollout.approvals_missing(),
    };
    match (missing, approvals) {
        (0, _) | (_, MissingApprovals::Override) => Ok(missing),
        (_, MissingApprovals::Respect) => Err(Refusal::Precondition {
            code: "APPROVALS_MISSING",
            cause: format!(
                "{missing} of {} approvals of rollout `{}` are missing",
                rollout.policy.approvals, rollout.id
            ),
            hint: format!(
                "`pinion rollout approve {}` approves it; an admin may go past that with `--override-approvals`",
                rollout.id
            ),
        }),
    }
}

/// Why an approval is not taken.
pub(crate) fn not_taken(rollout: &Rollout, error: ApprovalError) -> Refusal {
    match error {
        ApprovalError::Step(step) => step.into(),
        error => Refusal::Precondition {
            code: "APPROVAL_NOT_TAKEN",
            cause: format!("rollout `{}`: {error}", rollout.id),
            hint: "`pinion rollout show` tells who has approved it and who may".to_owned(),
        },
    }
}
