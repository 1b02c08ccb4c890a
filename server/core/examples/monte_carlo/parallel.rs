//! Simulations on all cores; the result does not depend on how many there are.

use std::sync::atomic::{AtomicU64, Ordering};

use pinion_core::simulation::seed_of;

/// What `simulate` makes of each of `count` seeds, merged.
pub(crate) fn merged<T: Default + Send>(
    seed: u64,
    count: u64,
    simulate: impl Fn(u64, &mut T) + Sync,
    merge: impl Fn(&mut T, T),
) -> T {
    let next = AtomicU64::new(0);
    let work = || {
        let mut part = T::default();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return part;
            }
            simulate(seed_of(seed, number), &mut part);
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let parts: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let mut whole = T::default();
        for part in parts {
            merge(
                &mut whole,
                part.join().expect("a simulation panics nowhere"),
            );
        }
        whole
    })
}
