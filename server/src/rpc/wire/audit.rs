//! The audit on the wire.

use pinion_core::audit::AuditEntry;
use pinion_core::replay::{Check, Checked, Verified};
use pinion_proto::v1 as proto;

use super::from_timestamp;
use crate::controller::AuditChecked;

/// One message a decision, then one for the rollout.
pub(crate) fn verified(verified: &Verified) -> Vec<proto::VerifyDecisionsResponse> {
    let Verified {
        decisions,
        problems,
    } = verified;
    let whole = proto::VerifyDecisionsResponse {
        sequence: 0,
        check: proto::DecisionCheck::Unspecified.into(),
        note: String::new(),
        problems: problems.clone(),
    };
    decisions.iter().map(checked).chain([whole]).collect()
}

fn checked(checked: &Checked) -> proto::VerifyDecisionsResponse {
    let Checked {
        sequence,
        check,
        note,
        problems,
    } = checked;
    let check = match check {
        Check::Chain => proto::DecisionCheck::Chain,
        Check::DecidedAgain => proto::DecisionCheck::DecidedAgain,
        Check::Counted => proto::DecisionCheck::CountedAgain,
        Check::Refolded => proto::DecisionCheck::Refolded,
    };
    proto::VerifyDecisionsResponse {
        sequence: *sequence,
        check: check.into(),
        note: note.clone(),
        problems: problems.clone(),
    }
}

/// An entry of the audit log on the wire.
///
/// # Panics
/// Never: an act has a JSON form.
pub(crate) fn audit_entry(entry: &AuditEntry) -> proto::AuditEntry {
    let AuditEntry {
        sequence,
        at,
        actor,
        act,
        reason,
        previous_hash,
        hash,
    } = entry;
    proto::AuditEntry {
        sequence: *sequence,
        time: Some(from_timestamp(*at)),
        actor: actor.to_string(),
        act: act.as_str().to_owned(),
        pin_set: act.pin_set().map(ToString::to_string).unwrap_or_default(),
        summary: act.to_string(),
        act_json: serde_json::to_string(act).expect("an act has a JSON form"),
        reason: reason.clone(),
        hash: hash.clone(),
        previous_hash: previous_hash.clone(),
    }
}

pub(crate) fn audit_checked(checked: &AuditChecked) -> proto::VerifyAuditEntriesResponse {
    let AuditChecked { entries, problems } = checked;
    let problem = |(sequence, problem): &(u64, String)| proto::AuditProblem {
        sequence: *sequence,
        problem: problem.clone(),
    };
    proto::VerifyAuditEntriesResponse {
        entries: *entries,
        problems: problems.iter().map(problem).collect(),
    }
}
