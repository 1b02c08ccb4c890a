//! Gates on the wire.

use pinion_core::gate::{Failure, Gate, GateState, Lease, Report, Run};
use pinion_core::outcome::Category;
use pinion_proto::v1 as proto;

use super::outcome::to_category;
use super::{Unreadable, from_change, from_ecosystem, from_pin, from_timestamp, name, optional};
use crate::controller::{GateReport, GateStanding, Leased};

pub(crate) fn gate(standing: &GateStanding) -> proto::Gate {
    let GateStanding {
        rollout,
        gate,
        state,
        not_before,
    } = standing;
    let Gate {
        consumer,
        state: _,
        runs,
        lapsed,
    } = gate;
    let lease = match state {
        GateState::Leased(lease) => Some(lease),
        GateState::Waiting | GateState::Passed | GateState::Failed => None,
    };
    proto::Gate {
        rollout: rollout.id.to_string(),
        pin_set: rollout.pin_set.to_string(),
        consumer: consumer.to_string(),
        state: from_state(state).into(),
        runs: runs.iter().map(run).collect(),
        runs_max: rollout.policy.gate_runs,
        lapsed_leases: *lapsed,
        leased_by: lease.map(|lease| lease.by.to_string()).unwrap_or_default(),
        lease_expire_time: lease.map(|lease| from_timestamp(lease.until)),
        not_before: not_before.map(from_timestamp),
        changes: rollout.changes.iter().map(from_change).collect(),
    }
}

const fn from_state(state: &GateState) -> proto::GateState {
    match state {
        GateState::Waiting => proto::GateState::Waiting,
        GateState::Leased(_) => proto::GateState::Leased,
        GateState::Passed => proto::GateState::Passed,
        GateState::Failed => proto::GateState::Failed,
    }
}

fn run(run: &Run) -> proto::GateRun {
    let Run {
        // It is known to its job alone.
        lease: _,
        by,
        at,
        report: Report { failure, link },
    } = run;
    let (outcome, category, fingerprint) = match failure {
        None => (proto::Outcome::Passed, proto::Category::Unspecified, None),
        Some(Failure {
            category,
            fingerprint,
        }) => (
            proto::Outcome::Failed,
            from_category(*category),
            *fingerprint,
        ),
    };
    proto::GateRun {
        actor: by.to_string(),
        report_time: Some(from_timestamp(*at)),
        outcome: outcome.into(),
        category: category.into(),
        fingerprint: fingerprint.map(String::from).unwrap_or_default(),
        link: link.clone(),
    }
}

const fn from_category(category: Category) -> proto::Category {
    match category {
        Category::Install => proto::Category::Install,
        Category::Build => proto::Category::Build,
        Category::Test => proto::Category::Test,
        Category::Crash => proto::Category::Crash,
        Category::Silent => proto::Category::Silent,
    }
}

pub(crate) fn lease(leased: &Leased) -> proto::GateLease {
    let Leased {
        standing,
        lease: Lease { id, by: _, until },
        pin_set,
        pins,
    } = leased;
    let record = &pin_set.stored.record;
    proto::GateLease {
        lease_id: id.to_string(),
        expire_time: Some(from_timestamp(*until)),
        gate: Some(gate(standing)),
        ecosystem: from_ecosystem(record.ecosystem).into(),
        revision: record.revision,
        pins: pins.iter().map(from_pin).collect(),
        verbatim_lines: pin_set.verbatim.to_vec(),
    }
}

pub(crate) fn gate_report(request: proto::ReportGateRequest) -> Result<GateReport, Unreadable> {
    let proto::ReportGateRequest {
        lease_id,
        outcome,
        category,
        fingerprint,
        link,
    } = request;
    let failure = match proto::Outcome::try_from(outcome) {
        Ok(proto::Outcome::Passed) => None,
        Ok(proto::Outcome::Failed) => Some(Failure {
            category: to_category(category)?,
            fingerprint: optional("fingerprint", &fingerprint)?,
        }),
        Ok(proto::Outcome::Started | proto::Outcome::Unspecified) | Err(_) => {
            return Err(Unreadable::new("outcome", "say passed or failed"));
        }
    };
    Ok(GateReport {
        lease: name("lease_id", &lease_id)?,
        report: Report { failure, link },
    })
}
