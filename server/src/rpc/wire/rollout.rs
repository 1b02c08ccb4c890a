//! Rollouts on the wire.

use std::collections::HashMap;

use pinion_core::calendar::StandingFreeze;
use pinion_core::evidence::{Evidence, HarmBounds, Side, Wealth};
use pinion_core::log::LogEntry;
use pinion_core::outcome::Category;
use pinion_core::reason::Reason;
use pinion_core::rollout::{Approval, Lane, Rollout};
use pinion_core::state::{Actor, State};
use pinion_proto::v1 as proto;

use super::{
    Unreadable, from_change, from_policy, from_timestamp, gate, name, pin_set, to_timestamp,
};
use crate::controller::{Candidate, Declared, GateStanding, NewRollout, Standing};
use crate::store::records::{FilingRecord, FilingState};

pub(crate) fn new_rollout(request: proto::CreateRolloutRequest) -> Result<NewRollout, Unreadable> {
    let proto::CreateRolloutRequest {
        pin_set,
        candidates,
        allow_downgrade,
        expected_revision,
        validate_only,
        security,
        requires,
    } = request;
    let (lane, reason) = match security {
        true => (Lane::Security, Reason::CreatedForSecurity),
        false => (Lane::Ordinary, Reason::Created),
    };
    Ok(NewRollout {
        pin_set: name("pin_set", &pin_set)?,
        candidates: candidates
            .into_iter()
            .map(candidate)
            .collect::<Result<Vec<_>, _>>()?,
        allow_downgrade,
        expected_revision,
        validate_only,
        lane,
        origin: None,
        reason,
        requires: requires.into_iter().map(declared).collect(),
    })
}

pub(crate) fn declared(requirement: proto::Requirement) -> Declared {
    let proto::Requirement { package, needs } = requirement;
    Declared { package, needs }
}

fn candidate(candidate: proto::Candidate) -> Result<Candidate, Unreadable> {
    let proto::Candidate {
        package,
        version,
        marker,
        publish_time,
    } = candidate;
    let published_at = publish_time
        .map(|time| to_timestamp("candidates.publish_time", time))
        .transpose()?;
    Ok(Candidate {
        package,
        version,
        marker,
        published_at,
    })
}

/// A rollout with what is known of it: the standing of the last tick, or the last decision of one that has ended.
pub(crate) fn rollout(
    rollout: &Rollout,
    standing: Option<&Standing>,
    last: Option<&LogEntry>,
    filing: Option<&FilingRecord>,
    gates: &[GateStanding],
    freeze: Option<&StandingFreeze>,
) -> proto::Rollout {
    let Rollout {
        id,
        pin_set,
        changes,
        seed,
        policy,
        lane,
        approvals,
        created_at,
        created_by,
        origin,
        not_before: _,
        published_at: _,
        state,
        updated_at,
        fleet,
        epoch,
        shares: _,
        prediction: _,
        platforms: _,
        begun_after: _,
        watched: _,
        watched_until,
        interfered: _,
        restarts: _,
        overruled: _,
        decisions,
        last_hash: _,
    } = rollout;
    let epoch = epoch.as_ref();
    let ahead: Vec<f64> = standing
        .filter(|_| state.is_open())
        .map(|standing| {
            standing
                .ahead
                .iter()
                .map(|(_, share)| share.value())
                .collect()
        })
        .unwrap_or_default();
    let evidence_now = standing
        .filter(|_| state.is_open())
        .map(|standing| &standing.evidence);
    let evidence_shown = evidence_now.or(last.map(|entry| &entry.evidence));
    let reason = match (standing.filter(|_| state.is_open()), last) {
        (Some(standing), _) => standing.reason.to_string(),
        (None, Some(entry)) => entry.reason.to_string(),
        (None, None) => String::new(),
    };
    proto::Rollout {
        id: id.to_string(),
        pin_set: pin_set.to_string(),
        changes: changes.iter().map(from_change).collect(),
        state: from_state(state).into(),
        revision: *decisions,
        share: rollout.share().value(),
        epoch: rollout.epoch_index(),
        epoch_start_time: epoch.map(|epoch| from_timestamp(epoch.since)),
        epoch_end_time: epoch.map(|epoch| from_timestamp(watched_until.unwrap_or(epoch.ends))),
        next_share: ahead.first().copied().unwrap_or(0.0),
        created_by: created_by.to_string(),
        // What is known by pin set, not by rollout; whoever tells it puts it in.
        requires: Vec::new(),
        source_commit: origin
            .as_ref()
            .map(|origin| origin.commit.clone())
            .unwrap_or_default(),
        create_time: Some(from_timestamp(*created_at)),
        update_time: Some(from_timestamp(*updated_at)),
        seed_sha256: seed.sha256(),
        seed: if state.is_open() {
            String::new()
        } else {
            seed.reveal()
        },
        evidence: evidence_shown.map(evidence),
        reason,
        filing: filing.map(from_filing),
        policy: Some(from_policy(policy)),
        population: fleet.as_ref().map_or(0, |fleet| fleet.population),
        planned_shares: ahead,
        actor: actor_of(state, last),
        gates: gates.iter().map(gate::gate).collect(),
        approvals: approvals.iter().map(approval).collect(),
        approvals_missing: match state {
            State::Gating => rollout.approvals_missing(),
            _ => 0,
        },
        security: *lane == Lane::Security,
        shadow: rollout.is_shadow(),
        freeze: freeze.filter(|_| state.is_open()).map(pin_set::from_freeze),
    }
}

fn approval(approval: &Approval) -> proto::Approval {
    let Approval { by, at } = approval;
    proto::Approval {
        actor: by.to_string(),
        time: Some(from_timestamp(*at)),
    }
}

const fn from_state(state: &State) -> proto::RolloutState {
    match state {
        State::Gating => proto::RolloutState::Gating,
        State::Baking => proto::RolloutState::Baking,
        State::Paused { .. } => proto::RolloutState::Paused,
        State::Frozen { .. } => proto::RolloutState::Frozen,
        State::Inconclusive => proto::RolloutState::Inconclusive,
        State::Completed { .. } => proto::RolloutState::Completed,
        State::RolledBack { .. } => proto::RolloutState::RolledBack,
        State::Aborted { .. } => proto::RolloutState::Aborted,
        State::Superseded { .. } => proto::RolloutState::Superseded,
    }
}

fn actor_of(state: &State, last: Option<&LogEntry>) -> String {
    match (state, last) {
        (State::Paused { by } | State::Aborted { by, .. }, _) => by.to_string(),
        (state, Some(entry)) if !state.is_open() => entry.actor.to_string(),
        (State::Frozen { .. }, _) => Actor::Controller.to_string(),
        _ => String::new(),
    }
}

fn evidence(evidence: &Evidence) -> proto::Evidence {
    let Evidence {
        exposed,
        control,
        exposed_total,
        control_total,
        windows,
        events,
        harm,
        guard_log_e,
    } = evidence;
    let leading = detector(evidence.leading());
    proto::Evidence {
        exposed: Some(side(exposed)),
        control: Some(side(control)),
        exposed_total: Some(side(exposed_total)),
        control_total: Some(side(control_total)),
        log_evidence: leading.log_evidence,
        log_threshold: leading.log_threshold,
        leading_target: leading.leading_target,
        exposed_failed_by_category: by_category(exposed_total),
        control_failed_by_category: by_category(control_total),
        windows: Some(detector(windows)),
        events: Some(detector(events)),
        harm: harm.as_ref().map(from_harm),
        guard_log_evidence: *guard_log_e,
    }
}

fn detector(wealth: &Wealth) -> proto::Detector {
    let Wealth {
        log_e,
        log_threshold,
        target,
    } = wealth;
    proto::Detector {
        log_evidence: *log_e,
        log_threshold: *log_threshold,
        leading_target: target.to_string(),
    }
}

const fn from_harm(harm: &HarmBounds) -> proto::HarmBounds {
    let HarmBounds {
        lower,
        upper,
        margin,
    } = harm;
    proto::HarmBounds {
        lower: *lower,
        upper: *upper,
        margin: *margin,
    }
}

fn side(side: &Side) -> proto::Side {
    let Side {
        environments,
        reporting,
        failed,
        by_category: _,
    } = side;
    proto::Side {
        environments: *environments,
        reporting: *reporting,
        failed: *failed,
    }
}

fn by_category(side: &Side) -> HashMap<String, u32> {
    Category::ALL
        .into_iter()
        .map(|category| (category.to_string(), side.by_category[category.index()]))
        .filter(|(_, failed)| *failed > 0)
        .collect()
}

fn from_filing(filing: &FilingRecord) -> proto::Filing {
    let FilingRecord {
        key,
        rollout: _,
        kind: _,
        attempt,
        source,
        ecosystem: _,
        changes: _,
        head,
        subject,
        body: _,
        decided_at: _,
        state,
        tries,
        filed_at,
        url,
        last_answer,
    } = filing;
    let next_try = match state {
        FilingState::Pending { next_try, .. } => Some(*next_try),
        _ => None,
    };
    proto::Filing {
        key: key.to_string(),
        state: state.as_str().to_owned(),
        forge: source.forge.to_string(),
        branch: head.clone(),
        commit: state.commit().unwrap_or_default().to_owned(),
        subject: subject.clone(),
        last_answer: last_answer.clone(),
        next_try_time: next_try.map(from_timestamp),
        tries: *tries,
        url: url.clone().unwrap_or_default(),
        attempt: *attempt,
        file_time: filed_at.map(from_timestamp),
    }
}

/// A decision on the wire.
///
/// # Panics
/// Never: reasons and evidence have a JSON form.
pub(crate) fn decision(entry: &LogEntry) -> proto::Decision {
    let LogEntry {
        sequence,
        at,
        actor,
        action,
        reason,
        share_before,
        share_after,
        epoch,
        folded,
        evidence,
        cells,
        previous_hash,
        hash,
    } = entry;
    proto::Decision {
        sequence: *sequence,
        time: Some(from_timestamp(*at)),
        actor: actor.to_string(),
        action: action.clone(),
        reason: reason.to_string(),
        reason_json: serde_json::to_string(reason).expect("a reason has a JSON form"),
        share_before: share_before.value(),
        share_after: share_after.value(),
        epoch: *epoch,
        folded_revision: *folded,
        hash: hash.clone(),
        previous_hash: previous_hash.clone(),
        evidence_json: serde_json::to_string(evidence).expect("evidence has a JSON form"),
        cells_sha256: cells.clone().unwrap_or_default(),
        shadow: matches!(reason, Reason::InShadow { .. }),
    }
}
