//! Many simulations on all cores. What comes out does not depend on how many there are.

use std::sync::atomic::{AtomicU64, Ordering};

use pinion_core::simulation::{Scenario, Tally, seed_of, simulate};

/// Simulates each scenario `rollouts` times, all with the same seeds; `simulated` is called after each.
pub(super) fn tallies(
    scenarios: &[Scenario],
    rollouts: u64,
    seed: u64,
    simulated: impl Fn() + Sync,
) -> Vec<Tally> {
    let next = AtomicU64::new(0);
    let work = || {
        let mut tallies = vec![Tally::default(); scenarios.len()];
        loop {
            // One fleet after the other, so that slow scenarios are spread over the cores.
            let number = next.fetch_add(1, Ordering::Relaxed);
            let (fleet, scenario) = (
                number / scenarios.len() as u64,
                usize::try_from(number % scenarios.len() as u64).unwrap_or(0),
            );
            if fleet >= rollouts {
                return tallies;
            }
            let course = simulate(&scenarios[scenario], seed_of(seed, fleet));
            tallies[scenario].add(&course);
            simulated();
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        let mut whole = vec![Tally::default(); scenarios.len()];
        for worker in workers {
            let part = match worker.join() {
                Ok(part) => part,
                Err(panic) => std::panic::resume_unwind(panic),
            };
            for (whole, part) in whole.iter_mut().zip(&part) {
                whole.merge(part);
            }
        }
        whole
    })
}

#[cfg(test)]
mod tests {
    use pinion_core::policy::Policy;
    use pinion_core::simulation::Harm;

    use super::*;

    #[test]
    fn the_work_of_all_cores_is_that_of_one() {
        let harmless = Scenario::new(Policy::default(), 20, 0.15);
        let harmful = Scenario {
            harm: Harm::Break,
            ..harmless.clone()
        };
        let scenarios = [harmless, harmful];
        let counted = AtomicU64::new(0);
        let found = tallies(&scenarios, 20, 7, || {
            counted.fetch_add(1, Ordering::Relaxed);
        });
        let one = scenarios.map(|scenario| {
            let mut tally = Tally::default();
            (0..20).for_each(|k| tally.add(&simulate(&scenario, seed_of(7, k))));
            tally
        });
        assert_eq!(found, one);
        assert_eq!(counted.into_inner(), 40);
    }
}
