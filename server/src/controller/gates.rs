//! Gates as CI jobs ask for them: what waits for a consumer, a job's lease, and what came of its run.
//!
//! What a report means for the rollout is decided by the promotion loop, which is only woken here.

use std::collections::BTreeSet;
use std::sync::Arc;

use pinion_core::gate::{Gate, GateState, Lease, Report, ReportError, Run};
use pinion_core::name::{ConsumerName, LeaseId, PinSetName};
use pinion_core::notice::gate_ended;
use pinion_core::pin::Pins;
use pinion_core::rollout::Rollout;
use pinion_core::state::State;
use pinion_core::time::Timestamp;

use super::{Controller, Draft, Identity, Refusal};
use crate::random::bytes;
use crate::snapshot::{PinSetEntry, Snapshot, Stored};
use crate::store::keys;
use crate::store::records::{Role, encode};

/// The longest link of a report, in bytes.
const LINK_BYTES_MAX: usize = 500;

/// A gate with its rollout, and where it stands at the time it was asked for.
#[derive(Clone, Debug)]
pub struct GateStanding {
    /// The rollout.
    pub rollout: Arc<Rollout>,
    /// The gate.
    pub gate: Gate,
    /// Where it stands.
    pub state: GateState,
    /// When it can be leased at the earliest, if that lies ahead.
    pub not_before: Option<Timestamp>,
}

/// A gate that a job has taken, and what it runs with.
#[derive(Clone, Debug)]
pub struct Leased {
    /// The gate as leased.
    pub standing: GateStanding,
    /// The lease.
    pub lease: Lease,
    /// The pin set.
    pub pin_set: PinSetEntry,
    /// The baseline with the whole candidate.
    pub pins: Pins,
}

/// What a job reports.
#[derive(Clone, Debug)]
pub struct GateReport {
    /// By which lease.
    pub lease: LeaseId,
    /// What came of it.
    pub report: Report,
}

/// What became of a report.
#[derive(Clone, Debug)]
pub struct GateTaken {
    /// The gate after it.
    pub standing: GateStanding,
    /// Whether that very report had been taken before.
    pub is_repeated: bool,
}

/// Puts the gates of a new rollout into the transaction that creates it.
pub(crate) fn put_gates(draft: &mut Draft, rollout: &Rollout) {
    for consumer in &rollout.policy.gates {
        let gate = Gate::new(consumer.clone());
        draft.create(keys::gate(&rollout.id, consumer), encode(&gate));
    }
}

impl Controller {
    /// The gates of a rollout as they stand, in the order of its policy.
    pub fn gates_of(&self, rollout: &Rollout) -> Vec<GateStanding> {
        let (snapshot, now) = (self.snapshot(), self.clock.now());
        let gates = snapshot.gates(rollout).into_iter();
        let rollout = Arc::new(rollout.clone());
        gates
            .map(|gate| standing(Arc::clone(&rollout), gate, now))
            .collect()
    }

    /// The gates of rollouts that have not begun, those of the oldest first.
    ///
    /// # Errors
    /// If no policy names the consumer.
    pub fn list_gates(
        &self,
        caller: &Identity,
        consumer: Option<&ConsumerName>,
        pin_set: Option<&PinSetName>,
    ) -> Result<Vec<GateStanding>, Refusal> {
        caller.require(&[Role::Viewer, Role::Ci])?;
        let snapshot = self.snapshot();
        if let Some(pin_set) = pin_set {
            check_pin_set(&snapshot, caller, pin_set)?;
        }
        if let Some(consumer) = consumer {
            check_consumer(&snapshot, caller, consumer)?;
        }
        let rollouts = gating(&snapshot, caller, pin_set);
        let gates = rollouts.iter().flat_map(|rollout| self.gates_of(rollout));
        Ok(gates
            .filter(|one| consumer.is_none_or(|consumer| *consumer == one.gate.consumer))
            .collect())
    }

    /// Gives a job the oldest gate of a consumer that waits; `None` if none does.
    ///
    /// # Errors
    /// If no policy names the consumer, or another job was faster on another server.
    pub async fn lease_gate(
        &self,
        caller: &Identity,
        consumer: &ConsumerName,
        pin_set: Option<&PinSetName>,
    ) -> Result<Option<Leased>, Refusal> {
        caller.require(&[Role::Ci, Role::ReleaseManager])?;
        let _lock = self.lock().await;
        let snapshot = self.snapshot();
        if let Some(pin_set) = pin_set {
            check_pin_set(&snapshot, caller, pin_set)?;
        }
        check_consumer(&snapshot, caller, consumer)?;
        let now = self.clock.now();
        for rollout in gating(&snapshot, caller, pin_set) {
            if is_too_young(&rollout, now) || !rollout.policy.gates.contains(consumer) {
                continue;
            }
            let lease = Lease {
                id: LeaseId::from_random(bytes(self.random.as_ref())),
                by: caller.actor.clone(),
                until: now.plus(rollout.policy.gate_timeout),
            };
            let stored = snapshot.gate(&rollout.id, consumer);
            let before = match stored {
                Some(stored) => Gate::clone(&stored.record),
                None => Gate::new(consumer.clone()),
            };
            let Ok(gate) = before.lease(lease.clone(), now) else {
                continue;
            };
            let pin_set = snapshot
                .pin_set(&rollout.pin_set)
                .ok_or_else(|| Refusal::no_pin_set(&rollout.pin_set))?
                .clone();
            let mut draft = Draft::default();
            let key = keys::gate(&rollout.id, consumer);
            match stored {
                Some(stored) => draft.replace(key, stored.modified, encode(&gate)),
                None => draft.create(key, encode(&gate)),
            }
            self.commit(draft).await?;
            self.wake_promotion();
            let mut pins = Pins::clone(&pin_set.baseline);
            rollout.changes.iter().for_each(|change| pins.apply(change));
            return Ok(Some(Leased {
                standing: standing(rollout, gate, now),
                lease,
                pin_set,
                pins,
            }));
        }
        Ok(None)
    }

    /// Takes what came of a run; that very report again changes nothing.
    ///
    /// # Errors
    /// If the lease is lost, or something else was reported by it.
    pub async fn report_gate(
        &self,
        caller: &Identity,
        report: GateReport,
    ) -> Result<GateTaken, Refusal> {
        caller.require(&[Role::Ci, Role::ReleaseManager])?;
        check_link(&report.report.link)?;
        let _lock = self.lock().await;
        let snapshot = self.snapshot();
        let now = self.clock.now();
        let (rollout, stored) = leased(&snapshot, caller, &report.lease)?;
        let run = Run {
            lease: report.lease,
            by: caller.actor.clone(),
            at: now,
            report: report.report,
        };
        let after = match stored.record.report(run, rollout.policy.gate_runs) {
            Ok(after) => after,
            Err(ReportError::LeaseLost) => return Err(lease_lost()),
            Err(error @ ReportError::Contradiction) => {
                return Err(Refusal::Precondition {
                    code: "ALREADY_REPORTED",
                    cause: error.to_string(),
                    hint: "one lease is one run; take the gate again to run it again".to_owned(),
                });
            }
        };
        let is_repeated = after.is_none();
        let gate = match after {
            None => Gate::clone(&stored.record),
            Some(gate) => {
                self.replace_gate(rollout, stored, &gate).await?;
                tracing::info!(rollout = %rollout.id, consumer = %gate.consumer, state = ?gate.state, actor = %caller.actor, "a gate was reported");
                gate
            }
        };
        Ok(GateTaken {
            standing: standing(Arc::clone(rollout), gate, now),
            is_repeated,
        })
    }

    /// Gives a gate back that was not run; one that the job does not have any more stays as it is.
    ///
    /// # Errors
    /// If there never was such a lease.
    pub async fn release_gate(
        &self,
        caller: &Identity,
        lease: &LeaseId,
    ) -> Result<GateStanding, Refusal> {
        caller.require(&[Role::Ci, Role::ReleaseManager])?;
        let _lock = self.lock().await;
        let snapshot = self.snapshot();
        let now = self.clock.now();
        let (rollout, stored) = leased(&snapshot, caller, lease)?;
        let gate = match stored.record.release(lease, now) {
            None => Gate::clone(&stored.record),
            Some(gate) => {
                self.replace_gate(rollout, stored, &gate).await?;
                gate
            }
        };
        Ok(standing(Arc::clone(rollout), gate, now))
    }

    /// Writes what became of a gate. The caller holds the lock.
    async fn replace_gate(
        &self,
        rollout: &Rollout,
        stored: &Stored<Gate>,
        gate: &Gate,
    ) -> Result<(), Refusal> {
        let mut draft = Draft::default();
        let key = keys::gate(&rollout.id, &gate.consumer);
        draft.replace(key, stored.modified, encode(gate));
        if let Some(run) = gate
            .runs
            .last()
            .filter(|_| gate.state != stored.record.state)
        {
            draft.tell(gate_ended(rollout, gate, &run.by, self.clock.now()));
        }
        self.commit(draft).await?;
        self.wake_promotion();
        Ok(())
    }
}

/// The gate that a lease is or was of, with its rollout.
fn leased<'a>(
    snapshot: &'a Snapshot,
    caller: &Identity,
    lease: &LeaseId,
) -> Result<(&'a Arc<Rollout>, &'a Stored<Gate>), Refusal> {
    let (id, stored) = snapshot.gate_of_lease(lease).ok_or_else(lease_lost)?;
    let rollout = &snapshot
        .rollout(id)
        .ok_or_else(|| Refusal::no_rollout(id))?
        .record;
    caller.require_pin_set(&rollout.pin_set)?;
    Ok((rollout, stored))
}

fn standing(rollout: Arc<Rollout>, gate: Gate, now: Timestamp) -> GateStanding {
    let young = is_too_young(&rollout, now);
    let not_before = rollout.not_before.as_ref().map(|(until, _)| *until);
    GateStanding {
        state: gate.standing(now).clone(),
        not_before: not_before.filter(|_| young),
        rollout,
        gate,
    }
}

/// Whether a version is too young for any machine, a job's among them.
fn is_too_young(rollout: &Rollout, now: Timestamp) -> bool {
    matches!(&rollout.not_before, Some((until, _)) if now < *until)
}

/// The rollouts that a caller may see and that have not begun, the oldest first.
fn gating(
    snapshot: &Snapshot,
    caller: &Identity,
    pin_set: Option<&PinSetName>,
) -> Vec<Arc<Rollout>> {
    let mut rollouts: Vec<_> = snapshot
        .all_open_rollouts()
        .filter(|rollout| rollout.state == State::Gating)
        .filter(|rollout| pin_set.is_none_or(|name| *name == rollout.pin_set))
        .filter(|rollout| caller.require_pin_set(&rollout.pin_set).is_ok())
        .cloned()
        .collect();
    rollouts.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
    rollouts
}

fn check_pin_set(
    snapshot: &Snapshot,
    caller: &Identity,
    pin_set: &PinSetName,
) -> Result<(), Refusal> {
    caller.require_pin_set(pin_set)?;
    match snapshot.pin_set(pin_set) {
        Some(_) => Ok(()),
        None => Err(Refusal::no_pin_set(pin_set)),
    }
}

/// Fails unless a policy names the consumer: a slip would otherwise look like a gate that never waits.
fn check_consumer(
    snapshot: &Snapshot,
    caller: &Identity,
    consumer: &ConsumerName,
) -> Result<(), Refusal> {
    let of_sets = snapshot.pin_sets().map(|entry| &entry.stored.record);
    let of_sets = of_sets.map(|record| (&record.name, &record.policy));
    let of_rollouts = snapshot.all_open_rollouts();
    let of_rollouts = of_rollouts.map(|rollout| (&rollout.pin_set, &rollout.policy));
    let known: BTreeSet<&ConsumerName> = of_sets
        .chain(of_rollouts)
        .filter(|(pin_set, _)| caller.require_pin_set(pin_set).is_ok())
        .flat_map(|(_, policy)| policy.consumers())
        .collect();
    match known.contains(consumer) {
        true => Ok(()),
        false => Err(Refusal::NotFound {
            kind: "consumer",
            name: consumer.to_string(),
            hint: "no policy names it in `gates`; `pinion pin-set show` tells which are named",
        }),
    }
}

/// Fails unless a link is empty or an address that a browser may be led to.
fn check_link(link: &str) -> Result<(), Refusal> {
    let is_web = ["http://", "https://"]
        .iter()
        .any(|scheme| link.starts_with(scheme));
    let is_plain = link.chars().all(|c| !c.is_control() && !c.is_whitespace());
    if link.len() > LINK_BYTES_MAX {
        let cause = format!("{} bytes; at most {LINK_BYTES_MAX}", link.len());
        return Err(Refusal::invalid("link", cause));
    }
    match link.is_empty() || (is_web && is_plain) {
        true => Ok(()),
        false => Err(Refusal::invalid(
            "link",
            "give an http or https address, or none",
        )),
    }
}

fn lease_lost() -> Refusal {
    Refusal::Precondition {
        code: "LEASE_LOST",
        cause: "the lease ran out, or there never was one like it, so the run does not count"
            .to_owned(),
        hint: "run the gate again by `pinion gate run`; where runs take longer, raise `gate_timeout` in the policy"
            .to_owned(),
    }
}
