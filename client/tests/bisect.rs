//! The search for a culprit against oracles that know it and are flaky.

use fastrand::Rng;
use pinion_client::bisect::{Answer, Conclusion, Confidence, Search, Step};

const SEEDS: u64 = 1_000;
const PERCENT: f64 = 99.0;

/// How often trials err.
#[derive(Clone, Copy, Debug)]
struct Flake {
    good_fails: f64,
    bad_passes: f64,
}

const FLAKES: [Flake; 6] = [
    flake(0.0, 0.0),
    flake(0.1, 0.1),
    flake(0.2, 0.2),
    flake(0.3, 0.3),
    flake(0.3, 0.0),
    flake(0.0, 0.3),
];

const fn flake(good_fails: f64, bad_passes: f64) -> Flake {
    Flake {
        good_fails,
        bad_passes,
    }
}

/// Searches for `culprit`, all of whose changes are needed, and gives what was found and the runs it took.
fn search(changes: usize, culprit: &[usize], flake: Flake, rng: &mut Rng) -> (Conclusion, u32) {
    let confidence = Confidence::percent(PERCENT).expect("a confidence");
    let mut search = Search::new(changes, confidence);
    loop {
        let trial = match search.step() {
            Step::Settled(conclusion) => return (conclusion.clone(), search.runs()),
            Step::Try(trial) => trial,
        };
        assert!(search.runs() < 5_000, "{search:?}");
        let is_bad = culprit.iter().all(|change| trial.contains(change));
        let errs = rng.f64()
            < if is_bad {
                flake.bad_passes
            } else {
                flake.good_fails
            };
        search.learn(if is_bad != errs {
            Answer::Failed
        } else {
            Answer::Passed
        });
    }
}

/// Right answers of all seeds and runs on average, for `size` culprits among `changes`.
fn measure(changes: usize, size: usize, flake: Flake, seeds: u64) -> (u64, f64) {
    let (mut right, mut runs) = (0, 0);
    for seed in 0..seeds {
        let mut rng = Rng::with_seed(seed);
        let mut culprit = rng.choose_multiple(0..changes, size);
        culprit.sort_unstable();
        let (found, used) = search(changes, &culprit, flake, &mut rng);
        right += u64::from(found == Conclusion::Culprit(culprit));
        runs += u64::from(used);
    }
    #[expect(clippy::cast_precision_loss, reason = "small")]
    let mean = runs as f64 / seeds as f64;
    (right, mean)
}

/// The runs that information theory asks for: the bits of the answer and of its confidence over the
/// capacity of one run.
fn bound(answers: f64, flake: Flake) -> f64 {
    let bits = answers.log2() + (1.0 / (1.0 - PERCENT / 100.0)).log2();
    bits / capacity(flake)
}

/// The capacity of a binary channel with these errors, in bits; 1 − h(p) where they are equal.
fn capacity(flake: Flake) -> f64 {
    let entropy = |p: f64| {
        let part = |p: f64| if p > 0.0 { -p * p.log2() } else { 0.0 };
        part(p) + part(1.0 - p)
    };
    let told = |bad: f64| {
        let fails = bad * (1.0 - flake.bad_passes) + (1.0 - bad) * flake.good_fails;
        entropy(fails) - bad * entropy(flake.bad_passes) - (1.0 - bad) * entropy(flake.good_fails)
    };
    (0..=1_000)
        .map(|n| told(f64::from(n) / 1_000.0))
        .fold(0.0, f64::max)
}

#[test]
fn the_culprit_is_right_in_99_of_100_seeds_within_twice_the_runs_that_must_be() {
    for flake in FLAKES {
        let (right, runs) = measure(64, 1, flake, SEEDS);
        let bound = bound(64.0, flake);
        println!(
            "64 changes, {flake:?}: {right} of {SEEDS} right, {runs:.1} runs, bound {bound:.1}"
        );
        assert!(right * 100 >= SEEDS * 99, "{flake:?}: {right} of {SEEDS}");
        assert!(runs <= 2.0 * bound, "{flake:?}: {runs} runs of {bound}");
    }
}

#[test]
fn few_and_many_changes_are_searched_as_well() {
    for (changes, seeds) in [(1, 300), (2, 300), (7, 300), (500, 50)] {
        for flake in [flake(0.0, 0.0), flake(0.2, 0.2)] {
            let (right, runs) = measure(changes, 1, flake, seeds);
            let bound = bound(f64::from(u32::try_from(changes).expect("few")), flake);
            println!(
                "{changes} changes, {flake:?}: {right} of {seeds} right, {runs:.1} runs, bound {bound:.1}"
            );
            assert!(
                right * 100 >= seeds * 99,
                "{changes}, {flake:?}: {right} of {seeds}"
            );
            assert!(
                runs <= 2.0 * bound,
                "{changes}, {flake:?}: {runs} runs of {bound}"
            );
        }
    }
}

#[test]
fn two_culprits_together_are_found() {
    for flake in [flake(0.0, 0.0), flake(0.1, 0.1), flake(0.3, 0.3)] {
        let seeds = 300;
        let (right, runs) = measure(24, 2, flake, seeds);
        let bound = bound(24.0 * 23.0 / 2.0, flake);
        println!("2 of 24, {flake:?}: {right} of {seeds} right, {runs:.1} runs, bound {bound:.1}");
        assert!(right * 100 >= seeds * 99, "{flake:?}: {right} of {seeds}");
    }
}

#[test]
fn changes_that_make_no_difference_are_blamed_in_less_than_one_of_a_hundred_seeds() {
    for rate in [0.0, 0.1, 0.5, 0.9, 1.0] {
        let (mut blamed, seeds) = (0, 200);
        for seed in 0..seeds {
            let mut rng = Rng::with_seed(seed);
            let mut search = Search::new(16, Confidence::percent(PERCENT).expect("a confidence"));
            while let Step::Try(_) = search.step() {
                assert!(search.runs() < 2_000, "{search:?}");
                let fails = rng.f64() < rate;
                search.learn(if fails {
                    Answer::Failed
                } else {
                    Answer::Passed
                });
            }
            blamed += u32::from(matches!(
                search.step(),
                Step::Settled(Conclusion::Culprit(_))
            ));
        }
        println!("no difference, failing at {rate}: {blamed} of {seeds} blamed");
        assert!(blamed <= 2, "{rate}: {blamed} of {seeds}");
    }
}

#[test]
fn the_same_answers_give_the_same_questions() {
    let confidence = Confidence::percent(PERCENT).expect("a confidence");
    let (mut first, mut again) = (Search::new(40, confidence), Search::new(40, confidence));
    let mut rng = Rng::with_seed(7);
    while let Step::Try(trial) = first.step().clone() {
        assert_eq!(again.step(), &Step::Try(trial.clone()));
        let is_bad = trial.contains(&3) && trial.contains(&21);
        let answer = match rng.u8(..10) {
            0 => Answer::Untestable,
            1 => [Answer::Failed, Answer::Passed][usize::from(is_bad)],
            _ => [Answer::Passed, Answer::Failed][usize::from(is_bad)],
        };
        first.learn(answer);
        again.learn(answer);
    }
    assert_eq!(first.step(), again.step());
}
