//! What the statistics cost: a reveal, an event, a look, a tick, and the memory they take.
//!
//! ```sh
//! cargo bench -p pinion-core --bench detectors
//! ```

use divan::counter::ItemsCount;
use divan::{AllocProfiler, Bencher, black_box};

use pinion_core::clearance::{Clearance, cells, margin};
use pinion_core::decide::is_watched;
use pinion_core::draw::{Draw, Seed, Share};
use pinion_core::event_bet::{EventBet, FailureEvent};
use pinion_core::evidence::Ordinal;
use pinion_core::guard::AssignmentGuard;
use pinion_core::outcome::{Category, Fingerprint};
use pinion_core::path::{self, Step};
use pinion_core::policy::Policy;
use pinion_core::prediction::Prediction;
use pinion_core::simulation::{Harm, Scenario, simulate};
use pinion_core::window_bet::{EpochRates, Reveal, WindowBet};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

const ALPHA: f64 = 0.005;
const PLATFORMS: [&str; 4] = ["linux-x86_64", "linux-aarch64", "macos", "windows"];
const PARTNERS: [&str; 4] = ["ro-1", "ro-2", "ro-3", "ro-4"];
const REVEALS: u32 = 10_000;
const ROLLOUTS: usize = 1000;
const POPULATION: u32 = 5000;

fn main() {
    divan::main();
}

fn prediction() -> Prediction {
    Prediction::from_history(&[0; 11], &[0; 5])
}

fn draw(number: u32) -> Draw {
    Seed::from_random([7; 16]).draw(&format!("env-{number}"))
}

fn windows() -> WindowBet {
    let prediction = prediction();
    let mut bet = WindowBet::new(ALPHA, &PLATFORMS);
    bet.start_epoch(EpochRates {
        rho: 0.25,
        rates: prediction.rates,
        categories: prediction.categories,
    });
    bet
}

fn reveal(bet: &mut WindowBet, number: u32) {
    let kind = number as usize;
    bet.reveal(Reveal {
        stratum: kind % 5,
        failure: Category::from_index(kind % 24),
        exposed: kind.is_multiple_of(4),
        platform: Some(PLATFORMS[kind % 4]),
        partners: &PARTNERS[..kind % 5],
        count: 1,
    });
}

fn event(bet: &mut EventBet, number: u32, draw: Draw, categories: &[f64; 5]) -> bool {
    let kind = number as usize;
    bet.event(&FailureEvent {
        ordinal: Ordinal(number),
        draw,
        share: Share::clamped(0.25),
        category: Category::ALL[kind % 5],
        rate: 0.15,
        categories,
        platform: Some(PLATFORMS[kind % 4]),
        partners: &PARTNERS[..kind % 5],
        new_fingerprint: kind
            .is_multiple_of(10)
            .then_some(Fingerprint(u64::from(number % 100))),
    })
}

fn events(environments: u32) -> EventBet {
    let categories = prediction().categories;
    let mut bet = EventBet::new(ALPHA, &PLATFORMS);
    for number in 0..environments {
        event(&mut bet, number, draw(number), &categories);
    }
    bet
}

fn full_windows() -> WindowBet {
    let mut bet = windows();
    (0..REVEALS).for_each(|number| reveal(&mut bet, number));
    bet
}

#[divan::bench]
fn reveals(bencher: Bencher<'_, '_>) {
    bencher
        .counter(ItemsCount::new(REVEALS))
        .with_inputs(windows)
        .bench_values(|mut bet| {
            (0..REVEALS).for_each(|number| reveal(&mut bet, number));
            bet
        });
}

#[divan::bench]
fn reveals_with_a_look_after_each(bencher: Bencher<'_, '_>) {
    const LOOKS: u32 = 200;
    bencher
        .counter(ItemsCount::new(LOOKS))
        .with_inputs(full_windows)
        .bench_values(|mut bet| {
            for number in 0..LOOKS {
                reveal(&mut bet, number);
                black_box(bet.fires());
            }
        });
}

#[divan::bench]
fn failure_events(bencher: Bencher<'_, '_>) {
    let categories = prediction().categories;
    let draws: Vec<Draw> = (0..REVEALS).map(draw).collect();
    bencher
        .counter(ItemsCount::new(REVEALS))
        .with_inputs(|| EventBet::new(ALPHA, &PLATFORMS))
        .bench_values(|mut bet| {
            for (number, draw) in (0..).zip(&draws) {
                event(&mut bet, number, *draw, &categories);
            }
            bet
        });
}

#[divan::bench]
fn repeated_failure_events(bencher: Bencher<'_, '_>) {
    let categories = prediction().categories;
    let draws: Vec<Draw> = (0..REVEALS).map(draw).collect();
    bencher
        .counter(ItemsCount::new(REVEALS))
        .with_inputs(|| events(REVEALS))
        .bench_refs(|bet| {
            for (number, draw) in (0..).zip(&draws) {
                black_box(event(bet, number, *draw, &categories));
            }
        });
}

#[divan::bench]
fn log_e_of_windows(bencher: Bencher<'_, '_>) {
    let bet = full_windows();
    bencher.bench_local(|| black_box(&bet).log_e());
}

#[divan::bench]
fn log_e_of_events(bencher: Bencher<'_, '_>) {
    let bet = events(2000);
    bencher.bench_local(|| black_box(&bet).log_e());
}

/// What a rollout's decision looks at, and what it is computed from.
struct Statistics {
    windows: WindowBet,
    events: EventBet,
    clearance: Clearance,
    guard: AssignmentGuard,
    variance: f64,
}

fn statistics() -> Statistics {
    let Prediction {
        rates, variance, ..
    } = prediction();
    let mut clearance = Clearance::new(margin(POPULATION, variance), variance, 0.05);
    let windows = full_windows();
    clearance.settle(0.25, &rates, &cells(&windows.counts()));
    Statistics {
        windows,
        events: events(500),
        clearance,
        guard: AssignmentGuard::default(),
        variance,
    }
}

#[divan::bench(sample_count = 10)]
fn tick_of_1000_open_rollouts(bencher: Bencher<'_, '_>) {
    let policy = Policy::default();
    let rollouts: Vec<Statistics> = (0..ROLLOUTS).map(|_| statistics()).collect();
    let at = Some((Step::Stage, Share::clamped(0.25)));
    bencher.counter(ItemsCount::new(ROLLOUTS)).bench_local(|| {
        for rollout in &rollouts {
            let fires = rollout.windows.fires() || rollout.events.fires() || rollout.guard.fires();
            let waits = is_watched(rollout.events.log_e());
            let clear = rollout.clearance.is_clear();
            let next = path::next(&policy, POPULATION, rollout.variance, at, clear);
            black_box((fires, waits, next));
        }
    });
}

/// The column "max alloc" is the memory of one rollout that nobody has failed in yet.
#[divan::bench(sample_size = 1, sample_count = 10)]
fn memory_of_a_rollout() -> (WindowBet, EventBet, Clearance) {
    let variance = prediction().variance;
    (
        windows(),
        EventBet::new(ALPHA, &PLATFORMS),
        Clearance::new(margin(POPULATION, variance), variance, 0.05),
    )
}

/// The column "max alloc" is that and the labels of so many environments that have failed.
#[divan::bench(sample_size = 1, sample_count = 10, args = [1000, 10_000])]
fn memory_of_labels(environments: u32) -> EventBet {
    events(environments)
}

#[divan::bench(sample_count = 10, args = [500, 5000, 50_000])]
fn simulated_harmless_rollout(bencher: Bencher<'_, '_>, environments: u32) {
    let scenario = Scenario::new(Policy::default(), environments, 0.15);
    let mut seed = 0;
    bencher.bench_local(|| {
        seed += 1;
        simulate(&scenario, seed)
    });
}

#[divan::bench(sample_count = 10, args = [500, 5000, 50_000])]
fn simulated_break(bencher: Bencher<'_, '_>, environments: u32) {
    let mut scenario = Scenario::new(Policy::default(), environments, 0.15);
    scenario.harm = Harm::Break;
    let mut seed = 0;
    bencher.bench_local(|| {
        seed += 1;
        simulate(&scenario, seed)
    });
}
