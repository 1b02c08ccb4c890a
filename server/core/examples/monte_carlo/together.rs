//! Blame among rollouts side by side.

use pinion_core::mixture::Target;
use pinion_core::policy::Policy;
use pinion_core::simulation::{Course, Ending, Harm, Scenario, name, simulate_together};

use super::arguments::Arguments;
use super::parallel::merged;

const PROMISED: f64 = 0.98;

#[derive(Default)]
struct Blames {
    /// Simulations in which a guilty rollout was rolled back.
    caught: u64,
    guilty_rolled_back: u64,
    innocent_rolled_back: u64,
    innocent_complete: u64,
    /// Simulations in which the pair was named.
    named: u64,
    harmed: Vec<u32>,
}

/// Prints precision and recall for every harm; returns how many are below what is promised.
pub(crate) fn print(arguments: &Arguments) -> usize {
    println!(
        "{:>6} {:>4} {:<8} {:>8} {:<12} {:>9} {:>9} {:>9} {:>12} {:>12}",
        "fleet",
        "base",
        "outcomes",
        "together",
        "harm",
        "precision",
        "recall",
        "named",
        "others done",
        "harmed",
    );
    let harms = [
        ("+5 points", Harm::BadDays(0.05)),
        ("+20 points", Harm::BadDays(0.20)),
        ("break", Harm::Break),
        ("pair", Harm::BreakWithOther),
    ];
    let mut missed = 0;
    for environments in &arguments.fleets {
        for repeat_failures in &arguments.repeats {
            for rollouts in &arguments.together {
                for (label, harm) in harms {
                    let mut scenario = Scenario::new(Policy::default(), *environments, 0.15);
                    scenario.policy.repeat_failures = *repeat_failures;
                    scenario.harm = harm;
                    missed += row(arguments, &scenario, *rollouts, label);
                }
            }
        }
    }
    missed
}

fn row(arguments: &Arguments, scenario: &Scenario, rollouts: u32, label: &str) -> usize {
    let is_pair = scenario.harm == Harm::BreakWithOther;
    let guilty = if is_pair { 2 } else { 1 };
    let mut blames = merged(
        arguments.seed,
        arguments.harmful,
        |seed, blames: &mut Blames| {
            blames.add(&simulate_together(scenario, rollouts, seed), guilty);
        },
        Blames::merge,
    );
    let count = arguments.harmful as f64;
    let rolled_back = blames.guilty_rolled_back + blames.innocent_rolled_back;
    let precision = blames.guilty_rolled_back as f64 / rolled_back.max(1) as f64;
    let recall = blames.caught as f64 / count;
    let named = blames.named as f64 / count;
    blames.harmed.sort_unstable();
    let harmed = blames.harmed.get(blames.harmed.len() / 2).copied();
    println!(
        "{:>6} {:>3}% {:<8} {:>8} {:<12} {:>9} {:>9} {:>9} {:>11.1}% {:>12}",
        scenario.environments,
        (scenario.failure_rate * 100.0).round(),
        if scenario.policy.repeat_failures {
            "repeated"
        } else {
            "raw"
        },
        rollouts,
        label,
        told(precision),
        told(recall),
        if is_pair { told(named) } else { "-".to_owned() },
        100.0 * blames.innocent_complete as f64 / (count * f64::from(rollouts - guilty)).max(1.0),
        harmed.unwrap_or(0),
    );
    [precision, recall]
        .iter()
        .filter(|part| **part < PROMISED)
        .count()
        + usize::from(is_pair && named < PROMISED)
}

fn told(part: f64) -> String {
    let mark = if part < PROMISED { "!" } else { "" };
    format!("{mark}{part:.3}")
}

impl Blames {
    fn add(&mut self, courses: &[Course], guilty: u32) {
        let guilty = guilty as usize;
        let pair = Target::Pair;
        let (mut caught, mut named) = (0, false);
        for (k, course) in courses.iter().enumerate() {
            match &course.ending {
                Ending::RolledBack { blamed } if k < guilty => {
                    caught += 1;
                    named |= *blamed == pair(name(1 - k.min(1)));
                }
                Ending::RolledBack { .. } => self.innocent_rolled_back += 1,
                Ending::Complete if k >= guilty => self.innocent_complete += 1,
                _ => {}
            }
        }
        self.guilty_rolled_back += caught;
        self.caught += u64::from(caught > 0);
        self.named += u64::from(named);
        self.harmed.push(courses[0].harmed);
    }

    fn merge(&mut self, part: Self) {
        self.caught += part.caught;
        self.guilty_rolled_back += part.guilty_rolled_back;
        self.innocent_rolled_back += part.innocent_rolled_back;
        self.innocent_complete += part.innocent_complete;
        self.named += part.named;
        self.harmed.extend(part.harmed);
    }
}
