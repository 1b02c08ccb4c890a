//! One rollout at a time: error rates, hours, harmed environments.

use pinion_core::policy::Policy;
use pinion_core::simulation::{Harm, Scenario, Tally, simulate};

use super::arguments::{Arguments, World};
use super::parallel::merged;

/// What is promised of a fleet at 15 % base failure.
struct Promise {
    environments: u32,
    complete: f64,
    full_h: u32,
    broken: u32,
    twenty: u32,
    other: u32,
    platform: u32,
    /// Whether what few environments can show is promised where failures are repeated only.
    needs_repeats: bool,
}

const FALSE_ROLLBACK: f64 = 0.005;

#[rustfmt::skip]
const PROMISES: [Promise; 4] = [
    Promise { environments: 50, complete: 0.95, full_h: 24, broken: 6, twenty: 25, other: 9, platform: u32::MAX, needs_repeats: true },
    Promise { environments: 500, complete: 0.95, full_h: 40, broken: 5, twenty: 12, other: 10, platform: 12, needs_repeats: false },
    Promise { environments: 5000, complete: 0.97, full_h: 42, broken: 5, twenty: 10, other: 8, platform: 8, needs_repeats: false },
    Promise { environments: 50_000, complete: 0.97, full_h: 50, broken: 5, twenty: 10, other: 7, platform: 7, needs_repeats: false },
];

/// Prints every cell, a `!` before what is not reached; returns how many are not.
pub(crate) fn print(arguments: &Arguments) -> usize {
    println!(
        "{:>6} {:>4} {:<6} {:<8} {:>10} {:>10} {:>10} {:>10} {:>10} {:>10} {:>10} {:>10}",
        "fleet",
        "base",
        "world",
        "outcomes",
        "false rb",
        "complete",
        "hours",
        "break",
        "+20 pts",
        "with other",
        "platform",
        "+5 missed",
    );
    let mut missed = 0;
    for environments in &arguments.fleets {
        for rate in &arguments.rates {
            for world in &arguments.worlds {
                for repeat_failures in &arguments.repeats {
                    let mut scenario = Scenario::new(Policy::default(), *environments, *rate);
                    scenario.policy.repeat_failures = *repeat_failures;
                    scenario.whole_days = arguments.whole_days;
                    scenario.unrest = *world == World::Unrest;
                    scenario.noisy = if *world == World::Noisy { 0.01 } else { 0.0 };
                    missed += row(arguments, &scenario, *world);
                }
            }
        }
    }
    missed
}

fn row(arguments: &Arguments, scenario: &Scenario, world: World) -> usize {
    let promise = PROMISES
        .iter()
        .find(|promise| promise.environments == scenario.environments);
    let tally = |harm, count| {
        let scenario = Scenario {
            harm,
            ..scenario.clone()
        };
        tally(&scenario, arguments.seed, count)
    };
    let harmless = tally(Harm::None, arguments.harmless);
    let harms = [
        Harm::Break,
        Harm::BadDays(0.20),
        Harm::BreakWithOther,
        Harm::BreakOnPlatform,
    ];
    let harmful = harms.map(|harm| tally(harm, arguments.harmful));
    let five = tally(Harm::BadDays(0.05), arguments.harmful);

    // Other rates of failure may cost half as much again.
    let scale = if (scenario.failure_rate - 0.15).abs() < 1e-9 {
        1.0
    } else {
        1.5
    };
    let mut cells = vec![
        cell(
            format!("{:.2}%", 100.0 * harmless.rolled_back()),
            promise.map(|_| harmless.rolled_back() <= FALSE_ROLLBACK),
        ),
        cell(
            format!("{:.1}%", 100.0 * harmless.complete()),
            promise.map(|promise| harmless.complete() >= promise.complete),
        ),
        cell(
            harmless
                .full_h(0.5)
                .map_or("-".to_owned(), |hours| hours.to_string()),
            promise.map(|promise| {
                harmless
                    .full_h(0.5)
                    .is_some_and(|hours| f64::from(hours) <= f64::from(promise.full_h) * scale)
            }),
        ),
    ];
    let bounds = promise.map(|p| [p.broken, p.twenty, p.other, p.platform]);
    for (index, tally) in harmful.iter().enumerate() {
        let median = tally.harmed(0.5).unwrap_or(0);
        let excused = index > 0
            && promise
                .is_some_and(|promise| promise.needs_repeats && !scenario.policy.repeat_failures);
        let bound = bounds
            .map(|bounds| bounds[index])
            .filter(|bound| *bound < u32::MAX && !excused);
        cells.push(cell(
            format!("{median} {:.0}%", 100.0 * tally.rolled_back()),
            bound.map(|bound| f64::from(median) <= f64::from(bound) * scale),
        ));
    }
    cells.push(cell(format!("{:.0}%", 100.0 * five.complete()), None));
    print!(
        "{:>6} {:>3}% {:<6} {:<8}",
        scenario.environments,
        (scenario.failure_rate * 100.0).round(),
        world.as_str(),
        if scenario.policy.repeat_failures {
            "repeated"
        } else {
            "raw"
        },
    );
    for (text, _) in &cells {
        print!(" {text:>10}");
    }
    println!();
    cells.iter().filter(|(_, reached)| !reached).count()
}

/// A cell's text, marked where it is not reached.
fn cell(text: String, reached: Option<bool>) -> (String, bool) {
    match reached {
        Some(false) => (format!("!{text}"), false),
        Some(true) | None => (text, true),
    }
}

fn tally(scenario: &Scenario, seed: u64, count: u64) -> Tally {
    merged(
        seed,
        count,
        |seed, tally: &mut Tally| tally.add(&simulate(scenario, seed)),
        |whole, part| whole.merge(&part),
    )
}
