//! Whole rollouts by the hundred: error rates stay within what is promised, and few environments are harmed.
//!
//! Seeds are fixed, so a test says the same every time; bounds allow for what so few rollouts can differ from
//! the truth. `examples/monte_carlo` measures the same with many more.
#![allow(clippy::unwrap_used, reason = "tests")]

use pinion_core::mixture::Target;
use pinion_core::policy::Policy;
use pinion_core::simulation::{
    Ending, Harm, Rule, Scenario, Tally, name, simulate, simulate_together,
};

/// Less often than this, chance alone exceeds a bound.
const UNLIKELY: f64 = 1e-4;

#[test]
fn a_harmless_candidate_is_rolled_back_no_more_often_than_promised() {
    for (environments, count) in [(50, 300), (500, 60)] {
        for repeat_failures in [false, true] {
            let mut scenario = scenario(environments, Harm::None);
            scenario.policy.repeat_failures = repeat_failures;
            let tally = tally(&scenario, count);
            assert_at_most(tally.rolled_back(), scenario.policy.alpha, count);
        }
    }
}

#[test]
fn nor_in_a_fleet_that_drifts_has_an_outage_and_sends_noise() {
    let scenario = Scenario {
        unrest: true,
        noisy: 0.01,
        ..scenario(50, Harm::None)
    };
    assert_at_most(tally(&scenario, 300).rolled_back(), 0.005, 300);
}

#[test]
fn a_fixed_threshold_does_not_keep_that_promise() {
    let scenario = Scenario {
        rule: Rule::Threshold,
        ..scenario(50, Harm::None)
    };
    let tally = tally(&scenario, 100);
    let bound = most(100, scenario.policy.alpha);
    assert!(
        tally.rolled_back() * 100.0 > 3.0 * bound as f64,
        "{tally:?}"
    );
}

#[test]
fn a_harm_above_the_margin_reaches_everybody_no_more_often_than_promised() {
    // Detectors that hardly ever fire leave it to clearance.
    let mut scenario = scenario(50, Harm::BadDays(0.25));
    scenario.policy.margin = Some(0.1);
    scenario.policy.repeat_failures = true;
    scenario.policy.alpha = 1e-9;
    let tally = tally(&scenario, 200);
    assert!(tally.waiting() > 0.2, "clearance is not asked: {tally:?}");
    assert_at_most(tally.complete(), scenario.policy.beta, 200);
}

#[test]
fn a_harmless_candidate_completes() {
    let tally = tally(&scenario(500, Harm::None), 60);
    assert!(tally.complete() > 0.9, "{tally:?}");
    assert!(tally.full_h(0.5).unwrap() <= 40, "{tally:?}");
}

#[test]
fn a_break_harms_a_handful() {
    for (environments, count, harmed) in [(50, 100, 6), (500, 40, 5)] {
        let tally = tally(&scenario(environments, Harm::Break), count);
        assert!(tally.rolled_back() > 0.99, "{tally:?}");
        assert!(tally.harmed(0.5).unwrap() <= harmed, "{tally:?}");
    }
}

#[test]
fn everyone_at_once_harms_nearly_everybody() {
    let scenario = Scenario {
        rule: Rule::EveryoneAtOnce,
        ..scenario(50, Harm::Break)
    };
    assert!(tally(&scenario, 10).harmed(0.5).unwrap() > 40);
}

#[test]
fn less_than_a_break_harms_a_few_more() {
    for (harm, harmed) in [
        (Harm::BadDays(0.20), 12),
        (Harm::BreakWithOther, 10),
        (Harm::BreakOnPlatform, 12),
    ] {
        let tally = tally(&scenario(500, harm), 40);
        assert!(tally.harmed(0.5).unwrap() <= harmed, "{harm:?} {tally:?}");
        assert!(tally.complete() < 0.4, "{harm:?} {tally:?}");
    }
}

#[test]
fn of_several_rollouts_the_guilty_one_is_rolled_back() {
    let scenario = scenario(500, Harm::Break);
    let mut innocent = 0;
    for seed in 0..10 {
        let courses = simulate_together(&scenario, 4, seed);
        let is_back = |ending: &Ending| matches!(ending, Ending::RolledBack { .. });
        assert!(is_back(&courses[0].ending), "{courses:?}");
        innocent += courses[1..].iter().filter(|c| is_back(&c.ending)).count();
    }
    assert!(innocent as u64 <= most(30, 0.005), "{innocent}");
}

#[test]
fn a_pair_is_named_and_only_one_of_it_rolled_back() {
    let scenario = scenario(500, Harm::BreakWithOther);
    let (mut named, mut both) = (0, 0);
    for seed in 0..10 {
        let courses = simulate_together(&scenario, 3, seed);
        let blamed = |k: usize| match &courses[k].ending {
            Ending::RolledBack { blamed } => Some(blamed),
            _ => None,
        };
        let pair = |k: usize| Target::Pair(name(k));
        named += u32::from(blamed(0) == Some(&pair(1)) || blamed(1) == Some(&pair(0)));
        both += u32::from(blamed(0).is_some() && blamed(1).is_some());
    }
    assert!(named >= 8, "named {named} of 10");
    assert!(both <= 2, "both rolled back in {both} of 10");
}

#[test]
fn a_seed_gives_the_same_course_and_the_same_days_under_every_rule() {
    let scenario = scenario(50, Harm::BadDays(0.2));
    let all: Vec<_> = (0..10).map(|seed| simulate(&scenario, seed)).collect();
    let again: Vec<_> = (0..10).map(|seed| simulate(&scenario, seed)).collect();
    assert_eq!(all, again);
    // Whoever has it from the first hour, and for ten days, is harmed under no other rule only.
    let at_once = Scenario {
        rule: Rule::EveryoneAtOnce,
        ..scenario
    };
    for (seed, course) in (0..).zip(&all) {
        assert!(simulate(&at_once, seed).harmed >= course.harmed);
    }
}

fn scenario(environments: u32, harm: Harm) -> Scenario {
    Scenario {
        harm,
        ..Scenario::new(Policy::default(), environments, 0.15)
    }
}

fn tally(scenario: &Scenario, count: u64) -> Tally {
    let mut tally = Tally::default();
    (0..count).for_each(|seed| tally.add(&simulate(scenario, seed)));
    tally
}

fn assert_at_most(part: f64, promised: f64, count: u64) {
    let found = (part * count as f64).round() as u64;
    let most = most(count, promised);
    assert!(found <= most, "{found} of {count}, at most {most}");
}

/// What a binomial count exceeds with a chance below [`UNLIKELY`].
fn most(count: u64, chance: f64) -> u64 {
    let n = count as f64;
    let (mut probability, mut below) = ((1.0 - chance).powf(n), 0.0);
    for k in 0..count {
        below += probability;
        if 1.0 - below < UNLIKELY {
            return k;
        }
        let k = k as f64;
        probability *= (n - k) / (k + 1.0) * chance / (1.0 - chance);
    }
    count
}
