//! Whole rollouts in a made-up fleet, under the real detectors, clearance, guard and path.
//!
//! The model (STATISTICS §5): every environment runs once a working hour. It has a chance of a bad day,
//! drawn from a beta distribution of concentration 3; on a bad day runs fail with probability 0.8 from a
//! random hour on. Two of a hundred days have one flaky run. Where failures are repeated with the baseline,
//! a broken run passes then with probability 0.01, a flaky one and one that the candidate broke always.
//!
//! Nothing here draws by itself: everything follows from the scenario and a seed.

mod cohort;
mod comparison;
mod day;
mod fleet;
mod random;
mod rival;
mod tally;
mod trial;
mod world;

pub use comparison::{Comparison, Row, svg};
pub use tally::Tally;

use std::time::Duration;

use crate::mixture::Target;
use crate::policy::Policy;

use random::Random;
use world::World;

/// Working hours of a day.
pub const DAY_H: u8 = 8;
/// Working hours for which harm is counted, unless the policy's path takes longer: ten days.
pub const HORIZON_H: u32 = 80;
/// The chance of a flaky run on a day of an environment.
const FLAKE: f64 = 0.02;
/// The chance that a run of a broken environment fails.
const RUN_FAILS: f64 = 0.8;

/// What is simulated.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// Its bakes are rounded up to hours, its calendar and minimum age are not asked, and who pauses on harm
    /// is taken to roll back at once.
    pub policy: Policy,
    /// Whether what follows the pilot begins with a working day, rather than as soon as the pilot is over.
    pub whole_days: bool,
    /// How the share is raised.
    pub rule: Rule,
    /// Environments of the fleet.
    pub environments: u32,
    /// The mean chance of a bad day of an environment's own making, in (0, 1).
    pub failure_rate: f64,
    /// What the candidate does.
    pub harm: Harm,
    /// Whether bad days of their own become more, twice as many in ten days, and an outage breaks half of
    /// the fleet on one of the first five days.
    pub unrest: bool,
    /// The part of the environments that sends 50 failing runs an hour, whatever version it has.
    pub noisy: f64,
}

/// How the share is raised and taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// As this crate does.
    Pinion,
    /// Everybody gets the candidate in the first hour; nobody looks.
    EveryoneAtOnce,
    /// 1, 5, 10, 25, 50, 100 % on successive days. Rolled back at the end of a day on which more of the
    /// exposed environments failed than usual, by more than 5 points; what is usual is known exactly.
    Threshold,
    /// 10 % more every two working hours; nobody looks.
    Ramp,
}

/// What a candidate does to the environments that have it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Harm {
    /// Nothing.
    None,
    /// So many more bad days, as a share of all days, with failing tests.
    BadDays(f64),
    /// Nine of ten cannot install it.
    Break,
    /// Nine of ten cannot install it on one platform, which 5 % have.
    BreakOnPlatform,
    /// Nine of ten cannot install it together with another candidate: one that a quarter of the fleet has,
    /// or, where rollouts run side by side, the second of them.
    BreakWithOther,
}

/// How a simulated rollout went.
#[derive(Clone, Debug, PartialEq)]
pub struct Course {
    /// How it ended.
    pub ending: Ending,
    /// The working hours until everybody was given the candidate; none if that never came.
    pub full_h: Option<u32>,
    /// Environments with at least one failure that they would not have had.
    pub harmed: u32,
    /// The largest share that was exposed, 0 to 1.
    pub share_peak: f64,
}

/// How a simulated rollout ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Ending {
    /// Everybody has the candidate.
    Complete,
    /// It was taken back.
    RolledBack {
        /// What carried the evidence.
        blamed: Target,
    },
    /// It waits, since harm above the margin is not excluded.
    Inconclusive,
    /// The guard stopped it.
    Frozen,
    /// It is under way still, or was never begun.
    Open,
}

impl Scenario {
    /// A harmless candidate in a fleet of this size and failure rate, under a policy.
    pub const fn new(policy: Policy, environments: u32, failure_rate: f64) -> Self {
        Self {
            policy,
            whole_days: false,
            rule: Rule::Pinion,
            environments,
            failure_rate,
            harm: Harm::None,
            unrest: false,
            noisy: 0.0,
        }
    }
}

/// Simulates one rollout. Equal scenarios and seeds give equal courses; the fleet and its days are the same
/// for equal seeds under every rule and harm.
pub fn simulate(scenario: &Scenario, seed: u64) -> Course {
    let mut courses = World::new(scenario, 1, seed).run();
    courses.swap_remove(0)
}

/// Simulates rollouts of one fleet that begin within two days, `rollouts` of them, 1 to 31. The first does
/// the harm; [`Harm::BreakWithOther`] needs the first two. As partners they are called as [`name`] says.
pub fn simulate_together(scenario: &Scenario, rollouts: u32, seed: u64) -> Vec<Course> {
    World::new(scenario, rollouts.clamp(1, 31), seed).run()
}

/// The seed of the `number`-th of many simulations; those of different base seeds have nothing in common.
pub fn seed_of(base: u64, number: u64) -> u64 {
    Random::new(base, number).bits()
}

/// What the rollout of this number, counted from 0, is called in [`Target::Pair`].
pub fn name(rollout: usize) -> String {
    format!("ro-{rollout}")
}

/// A bake as whole working hours, at least one.
fn hours(bake: Duration) -> u32 {
    u32::try_from(bake.as_secs().div_ceil(3600).max(1)).unwrap_or(u32::MAX)
}
