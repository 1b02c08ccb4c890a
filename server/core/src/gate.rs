//! Gates: a consumer's own tests with the candidate, which must pass before the first environment gets it.
//!
//! A gate is a sequential test of "the candidate breaks the consumer: every run fails" against "it does not: runs
//! fail by themselves, each with a chance of at most f" (A. Wald, Sequential Tests of Statistical Hypotheses,
//! Annals of Mathematical Statistics 16, 1945). A run that passes cannot happen under the first, so one is enough
//! to pass. Each that fails multiplies the likelihood ratio by 1/f, so that after n in a row it is f⁻ⁿ: a
//! candidate that breaks nothing fails the gate with a chance of at most fⁿ. The policy's `gate_runs` is n. At
//! the default of 3, consumers of which every fifth run fails by itself stop a good candidate in fewer than one
//! case in a hundred (0.2³ = 0.8 %).
//!
//! What makes tests fail more often, rather than always, passes here mostly: that is what the epochs measure.

use serde::{Deserialize, Serialize};

use crate::name::{ConsumerName, LeaseId};
use crate::outcome::{Category, Fingerprint};
use crate::state::Actor;
use crate::time::Timestamp;

/// The gate of one consumer in one rollout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gate {
    /// Whose tests.
    pub consumer: ConsumerName,
    /// Where it stands, as of its last change; [`Gate::standing`] says where it stands at a time.
    pub state: GateState,
    /// What was reported, the oldest first; as many as the policy's `gate_runs` at most.
    pub runs: Vec<Run>,
    /// Leases that ran out without a report.
    pub lapsed: u32,
}

/// Where a gate stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum GateState {
    /// For a job to take it.
    Waiting,
    /// A job has it.
    Leased(Lease),
    /// A run passed.
    Passed,
    /// As many runs in a row failed as the policy asks for.
    Failed,
}

/// The right of one job to report one run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Known to the job alone.
    pub id: LeaseId,
    /// Who took it.
    pub by: Actor,
    /// The first moment at which it is lost.
    pub until: Timestamp,
}

/// A run that was reported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// By which lease.
    pub lease: LeaseId,
    /// Who reported it.
    pub by: Actor,
    /// When.
    pub at: Timestamp,
    /// What came of it.
    pub report: Report,
}

/// What a job says of its run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// How it failed; none: it passed.
    pub failure: Option<Failure>,
    /// Where to see more, an address; may be empty.
    pub link: String,
}

/// How a run failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Its kind; never [`Category::Silent`].
    pub category: Category,
    /// What it looks like, if known.
    pub fingerprint: Option<Fingerprint>,
}

/// A gate that cannot be leased now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the gate does not wait for a run")]
pub struct NotWaiting;

/// Why a report is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    /// The lease has run out, or another one has taken its place.
    #[error("the lease ran out before the run was reported")]
    LeaseLost,
    /// Another report was made by the lease.
    #[error("another outcome was reported by this lease")]
    Contradiction,
}

impl Gate {
    /// A gate that nobody has taken yet.
    pub const fn new(consumer: ConsumerName) -> Self {
        Self {
            consumer,
            state: GateState::Waiting,
            runs: Vec::new(),
            lapsed: 0,
        }
    }

    /// Where it stands at a time: a lease that has run out is none.
    pub fn standing(&self, now: Timestamp) -> &GateState {
        match &self.state {
            GateState::Leased(lease) if lease.until <= now => &GateState::Waiting,
            state => state,
        }
    }

    /// Whether it has anything to do with a lease, present or past.
    pub fn knows(&self, id: &LeaseId) -> bool {
        let holds = matches!(&self.state, GateState::Leased(lease) if lease.id == *id);
        holds || self.runs.iter().any(|run| run.lease == *id)
    }

    /// The gate with a job at it.
    ///
    /// # Errors
    /// If another job is at it, or it has its answer.
    pub fn lease(&self, lease: Lease, now: Timestamp) -> Result<Self, NotWaiting> {
        if *self.standing(now) != GateState::Waiting {
            return Err(NotWaiting);
        }
        let has_lapsed = matches!(self.state, GateState::Leased(_));
        Ok(Self {
            state: GateState::Leased(lease),
            lapsed: self.lapsed.saturating_add(u32::from(has_lapsed)),
            ..self.clone()
        })
    }

    /// The gate after a run; `None` if that very report was made before. `runs_max`: so many failing runs in a
    /// row fail the gate, 1 or more.
    ///
    /// # Errors
    /// If the lease is lost, or said something else before.
    pub fn report(&self, run: Run, runs_max: u32) -> Result<Option<Self>, ReportError> {
        if let Some(before) = self.runs.iter().find(|before| before.lease == run.lease) {
            return match before.report == run.report {
                true => Ok(None),
                false => Err(ReportError::Contradiction),
            };
        }
        match self.standing(run.at) {
            GateState::Leased(lease) if lease.id == run.lease => {}
            _ => return Err(ReportError::LeaseLost),
        }
        let mut next = self.clone();
        let has_passed = run.report.failure.is_none();
        next.runs.push(run);
        next.state = match has_passed {
            true => GateState::Passed,
            false if next.failed_runs() >= runs_max => GateState::Failed,
            false => GateState::Waiting,
        };
        Ok(Some(next))
    }

    /// Runs that failed; until one passes, all are in a row.
    pub fn failed_runs(&self) -> u32 {
        let failed = self.runs.iter().filter(|run| run.report.failure.is_some());
        u32::try_from(failed.count()).unwrap_or(u32::MAX)
    }

    /// How the last failing run failed.
    pub fn last_failure(&self) -> Option<Failure> {
        self.runs.iter().rev().find_map(|run| run.report.failure)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const NOON: Timestamp = Timestamp::from_unix_ms(1_709_640_000_000);

    fn gate() -> Gate {
        Gate::new("nova".parse().expect("a name"))
    }

    fn lease(n: u8) -> Lease {
        Lease {
            id: LeaseId::from_random([n; 16]),
            by: Actor::Controller,
            until: NOON.plus(HOUR),
        }
    }

    fn run(n: u8, failure: Option<Category>, at: Timestamp) -> Run {
        let failure = failure.map(|category| Failure {
            category,
            fingerprint: None,
        });
        Run {
            lease: LeaseId::from_random([n; 16]),
            by: Actor::Controller,
            at,
            report: Report {
                failure,
                link: String::new(),
            },
        }
    }

    fn after(gate: &Gate, n: u8, failure: Option<Category>) -> Gate {
        let leased = gate.lease(lease(n), NOON).expect("it waits");
        let reported = leased.report(run(n, failure, NOON), 3).expect("a lease");
        reported.expect("a new report")
    }

    #[test]
    fn one_passing_run_is_enough_however_many_failed_before() {
        let failing = after(
            &after(&gate(), 1, Some(Category::Test)),
            2,
            Some(Category::Crash),
        );
        assert_eq!(failing.state, GateState::Waiting);
        let passed = after(&failing, 3, None);
        assert_eq!(passed.state, GateState::Passed);
        assert_eq!(passed.runs.len(), 3);
        assert_eq!(passed.lease(lease(4), NOON), Err(NotWaiting));
    }

    #[test]
    fn it_fails_only_when_as_many_in_a_row_failed_as_the_policy_asks_for() {
        let mut gate = gate();
        for n in 1..=2 {
            gate = after(&gate, n, Some(Category::Test));
            assert_eq!(gate.state, GateState::Waiting, "{n}");
        }
        let failed = after(&gate, 3, Some(Category::Build));
        assert_eq!(failed.state, GateState::Failed);
        assert_eq!(
            failed.last_failure().map(|one| one.category),
            Some(Category::Build)
        );
        assert_eq!(failed.lease(lease(4), NOON), Err(NotWaiting));
    }

    #[test]
    fn a_lease_that_runs_out_is_no_run_and_the_gate_waits_again() {
        let leased = gate().lease(lease(1), NOON).expect("it waits");
        let end = NOON.plus(HOUR);
        let just_before = end.minus(Duration::from_millis(1));
        assert!(matches!(leased.standing(just_before), GateState::Leased(_)));
        assert_eq!(*leased.standing(end), GateState::Waiting);
        let late = run(1, None, end);
        assert_eq!(leased.report(late, 3), Err(ReportError::LeaseLost));
        let again = leased.lease(lease(2), end).expect("it waits again");
        assert_eq!((again.lapsed, again.runs.len()), (1, 0));
        let lost = run(1, None, NOON);
        assert_eq!(again.report(lost, 3), Err(ReportError::LeaseLost));
    }

    #[test]
    fn a_report_that_comes_twice_changes_nothing_and_another_one_is_refused() {
        let failed_once = after(&gate(), 1, Some(Category::Test));
        let later = NOON.plus(5 * HOUR);
        assert_eq!(
            failed_once.report(run(1, Some(Category::Test), later), 3),
            Ok(None)
        );
        let other = run(1, None, NOON);
        assert_eq!(
            failed_once.report(other, 3),
            Err(ReportError::Contradiction)
        );
        assert!(failed_once.knows(&lease(1).id) && !failed_once.knows(&lease(2).id));
    }

    #[test]
    fn a_flaky_consumer_fails_the_gate_as_rarely_as_documented() {
        // Every sequence of three runs of a consumer that fails by itself in one of five.
        let chance = |failed: bool| if failed { 0.2 } else { 0.8 };
        let mut fails = 0.0;
        for pattern in 0..8u8 {
            let (mut gate, mut likely) = (gate(), 1.0);
            for n in 0..3u8 {
                let failed = pattern >> n & 1 == 1;
                likely *= chance(failed);
                if gate.state == GateState::Waiting {
                    gate = after(&gate, n, failed.then_some(Category::Test));
                }
            }
            if gate.state == GateState::Failed {
                fails += likely;
            }
        }
        assert!((fails - 0.008f64).abs() < 1e-12, "{fails}");
    }
}
