//! What must hold of the detectors whatever is reported: order, repeats, fairness, and fleets of hardly anybody.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;

use pinion_core::clearance::{Cell, Clearance, margin};
use pinion_core::draw::{Draw, Share};
use pinion_core::event_bet::{EventBet, FailureEvent};
use pinion_core::evidence::Ordinal;
use pinion_core::guard::AssignmentGuard;
use pinion_core::outcome::{Category, Fingerprint};
use pinion_core::path;
use pinion_core::policy::Policy;
use pinion_core::prediction::{Prediction, STRATA};
use pinion_core::simulation::{Ending, Harm, Scenario, simulate};
use pinion_core::window_bet::{Counts, EpochRates, Reveal, WindowBet};
use proptest::prelude::*;
use proptest::sample::Index;

const ALPHA: f64 = 0.005;
const PLATFORMS: [&str; 2] = ["linux", "macos"];
const PARTNERS: [&str; 2] = ["ro-1", "ro-2"];
const CATEGORIES: [f64; 5] = [0.02, 0.26, 0.62, 0.05, 0.05];
const ROUNDING: f64 = 1e-9;

/// What an environment does, whoever has the candidate.
#[derive(Clone, Copy, Debug)]
struct Conduct {
    stratum: usize,
    failure: Option<Category>,
    platform: usize,
    partners: usize,
}

fn conduct() -> impl Strategy<Value = Conduct> {
    (0..STRATA, 0..7usize, 0..2usize, 0..=2usize).prop_map(
        |(stratum, failure, platform, partners)| Conduct {
            stratum,
            failure: Category::from_index(failure),
            platform,
            partners,
        },
    )
}

fn rates() -> impl Strategy<Value = [f64; STRATA]> {
    prop::array::uniform5(0.002..0.97)
}

fn reveal(bet: &mut WindowBet, conduct: &Conduct, exposed: bool) {
    bet.reveal(Reveal {
        stratum: conduct.stratum,
        failure: conduct.failure,
        exposed,
        platform: Some(PLATFORMS[conduct.platform]),
        partners: &PARTNERS[..conduct.partners],
        count: 1,
    });
}

fn windows(rho: f64, rates: [f64; STRATA]) -> WindowBet {
    let mut bet = WindowBet::new(ALPHA, &PLATFORMS);
    bet.start_epoch(epoch(rho, rates));
    bet
}

fn epoch(rho: f64, rates: [f64; STRATA]) -> EpochRates {
    EpochRates {
        rho,
        rates,
        categories: CATEGORIES,
    }
}

// Order, repeats, merging.

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn windows_say_the_same_in_any_order_of_reveals(
        reveals in prop::collection::vec((conduct(), any::<bool>(), any::<u32>()), 0..60),
        rho in 0.001..0.999, rates in rates(),
    ) {
        let fold = |reveals: &[(Conduct, bool, u32)]| {
            let mut bet = windows(rho, rates);
            reveals.iter().for_each(|(conduct, exposed, _)| reveal(&mut bet, conduct, *exposed));
            (bet.log_e(), bet.masses(), bet.blame(), bet.counts())
        };
        let mut other = reveals.clone();
        other.sort_by_key(|(_, _, place)| *place);
        let (one, other) = (fold(&reveals), fold(&other));
        // Pairs are opened in another order, so that the last digit may differ.
        prop_assert!((one.0 - other.0).abs() <= ROUNDING);
        prop_assert_eq!(one.1, other.1);
        prop_assert_eq!(one.2, other.2);
        prop_assert_eq!(one.3, other.3);
    }

    #[test]
    fn counts_of_halves_add_up_to_those_of_the_whole(
        reveals in prop::collection::vec((conduct(), any::<bool>(), any::<bool>()), 0..60),
        rho in 0.001..0.999, rates in rates(),
    ) {
        let mut whole = windows(rho, rates);
        let mut halves = [windows(rho, rates), windows(rho, rates)];
        let mut together = BTreeMap::new();
        for (conduct, exposed, half) in &reveals {
            reveal(&mut whole, conduct, *exposed);
            reveal(&mut halves[usize::from(*half)], conduct, *exposed);
            let Conduct { stratum, failure, platform, partners } = *conduct;
            *together.entry((stratum, failure, platform, partners, *exposed)).or_insert(0) += 1;
        }
        let sum: Counts = std::array::from_fn(|g| {
            std::array::from_fn(|hit| {
                std::array::from_fn(|z| halves.iter().map(|half| half.counts()[g][hit][z]).sum())
            })
        });
        prop_assert_eq!(whole.counts(), sum);
        // What was counted elsewhere and is revealed at once gives what single reveals give.
        let mut merged = windows(rho, rates);
        for ((stratum, failure, platform, partners, exposed), count) in together {
            merged.reveal(Reveal {
                stratum,
                failure,
                exposed,
                platform: Some(PLATFORMS[platform]),
                partners: &PARTNERS[..partners],
                count,
            });
        }
        prop_assert!((merged.log_e() - whole.log_e()).abs() <= ROUNDING);
        prop_assert_eq!(merged.masses(), whole.masses());
    }

    #[test]
    fn events_depend_on_the_set_of_records_only(
        records in prop::collection::vec(record(), 1..40),
        deliveries in prop::collection::vec(any::<Index>(), 0..80),
    ) {
        let records = in_order(&records);
        let whole = fold(&records);
        // Everything comes once, some of it again, in no order.
        let mut delivered: BTreeMap<usize, Record> = BTreeMap::new();
        let everything = 0..records.len();
        let again = deliveries.iter().map(|index| index.index(records.len()));
        for place in again.chain(everything.rev()) {
            delivered.insert(place, records[place]);
        }
        let delivered: Vec<Record> = delivered.into_values().collect();
        prop_assert_eq!(&fold(&delivered), &whole);
    }

    #[test]
    fn a_repeated_event_changes_nothing(
        records in prop::collection::vec(record(), 1..40),
        again in prop::collection::vec(any::<Index>(), 0..40),
    ) {
        let records = in_order(&records);
        let mut repeated = Vec::new();
        for (place, record) in records.iter().enumerate() {
            repeated.push(*record);
            // Any event so far of the same share: what its label is, is known.
            for index in &again {
                let earlier = records[index.index(place + 1)];
                if earlier.share == record.share {
                    repeated.push(earlier);
                }
            }
        }
        prop_assert_eq!(fold(&repeated), fold(&records));
    }
}

/// A failure of one of twelve environments.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Record {
    environment: u32,
    draw: f64,
    share: f64,
    category: Category,
    rate: f64,
    platform: usize,
    partners: usize,
    look: Option<u64>,
}

fn record() -> impl Strategy<Value = Record> {
    (
        (0..12u32, 0..4usize),
        (0..5usize, 0.01..0.9),
        (0..2usize, 0..=2usize, prop::option::of(0..3u64)),
    )
        .prop_map(
            |((environment, share), (category, rate), (platform, partners, look))| Record {
                environment,
                // Fixed, as a hash is.
                draw: f64::from(environment) / 12.0 + 0.01,
                share: [0.05, 0.3, 0.6, 1.0][share],
                category: Category::from_index(category).unwrap(),
                rate,
                platform,
                partners,
                look,
            },
        )
}

/// The share only grows.
fn in_order(records: &[Record]) -> Vec<Record> {
    let mut records = records.to_vec();
    records.sort_by(|a, b| a.share.total_cmp(&b.share));
    records
}

fn fold(records: &[Record]) -> EventBet {
    let mut bet = EventBet::new(ALPHA, &PLATFORMS);
    for record in records {
        event(&mut bet, record, record.draw);
    }
    bet
}

fn event(bet: &mut EventBet, record: &Record, draw: f64) -> bool {
    bet.event(&FailureEvent {
        ordinal: Ordinal(record.environment),
        draw: Draw::clamped(draw),
        share: Share::clamped(record.share),
        category: record.category,
        rate: record.rate,
        categories: &CATEGORIES,
        platform: Some(PLATFORMS[record.platform]),
        partners: &PARTNERS[..record.partners],
        new_fingerprint: record.look.map(Fingerprint),
    })
}

// Fairness: if the candidate changes nothing, the mean of the evidence over all labels is 1.

#[test]
fn windows_of_twelve_environments_are_fair() {
    let conducts: Vec<Conduct> = (0..12)
        .map(|i| Conduct {
            stratum: i % STRATA,
            failure: Category::from_index(i % 8),
            platform: i % 2,
            partners: i % 3,
        })
        .collect();
    let mean = mean_over_labels(12, 0.3, |labels| {
        let mut bet = windows(0.3, [0.02, 0.1, 0.2, 0.4, 0.7]);
        for (conduct, exposed) in conducts.iter().zip(labels) {
            reveal(&mut bet, conduct, *exposed);
        }
        bet.log_e().exp()
    });
    assert!((mean - 1.0).abs() < ROUNDING, "{mean}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn windows_over_two_epochs_are_fair_and_cutting_one_short_costs(
        conducts in prop::collection::vec((conduct(), conduct()), 1..=6),
        rho in prop::array::uniform2(0.01..0.95), rates in prop::array::uniform2(rates()),
    ) {
        let share = rho[0] + (1.0 - rho[0]) * rho[1];
        let wealth = |joins: &[usize], cut_short: bool| {
            let mut bet = windows(rho[0], rates[0]);
            for ((first, _), joins) in conducts.iter().zip(joins) {
                reveal(&mut bet, first, *joins == 0);
            }
            bet.start_epoch(epoch(rho[1], rates[1]));
            for ((_, second), joins) in conducts.iter().zip(joins) {
                if *joins > 0 {
                    reveal(&mut bet, second, *joins == 1);
                }
            }
            if cut_short {
                bet.close_early();
            }
            bet.log_e().exp()
        };
        let chances = [rho[0], share - rho[0], 1.0 - share];
        let fair = mean_over_draws(conducts.len(), &chances, |joins| wealth(joins, false));
        prop_assert!((fair - 1.0).abs() < ROUNDING, "{}", fair);
        let cut = mean_over_draws(conducts.len(), &chances, |joins| wealth(joins, true));
        prop_assert!(cut <= 1.0 + ROUNDING, "{}", cut);
    }

    #[test]
    fn events_over_three_shares_are_fair_and_a_rebase_costs(
        records in prop::collection::vec(record(), 1..16),
    ) {
        const SHARES: [f64; 3] = [0.05, 0.3, 0.6];
        let records: Vec<Record> = in_order(&records)
            .into_iter()
            .filter(|record| record.environment < 6)
            .collect();
        let wealth = |joins: &[usize], rebased: bool| {
            let mut bet = EventBet::new(ALPHA, &PLATFORMS);
            let mut before = 0.0;
            for record in &records {
                if rebased && before < 0.3 && record.share > 0.3 {
                    bet.rebase(Share::clamped(0.3));
                }
                before = record.share;
                // Anywhere between the shares.
                let draw = [0.02, 0.2, 0.5, 0.8][joins[record.environment as usize]];
                event(&mut bet, record, draw);
            }
            bet.log_e().exp()
        };
        let chances = [SHARES[0], SHARES[1] - SHARES[0], SHARES[2] - SHARES[1], 1.0 - SHARES[2]];
        let fair = mean_over_draws(6, &chances, |joins| wealth(joins, false));
        prop_assert!((fair - 1.0).abs() < ROUNDING, "{}", fair);
        let rebased = mean_over_draws(6, &chances, |joins| wealth(joins, true));
        prop_assert!(rebased <= 1.0 + ROUNDING, "{}", rebased);
    }

    #[test]
    fn a_harm_that_is_there_is_not_excluded_in_the_mean(
        harmed in prop::collection::vec((0..STRATA, 0..3usize), 2..=9),
        rho in 0.05..0.95, rates in rates(),
    ) {
        // 0 passes, 1 fails anyway, 2 fails if it has the candidate.
        let harm = harmed.iter().filter(|(_, fate)| *fate == 2).count() as f64 / harmed.len() as f64;
        prop_assume!(harm > 0.0 && harm <= 0.9);
        let mean = mean_over_labels(harmed.len(), rho, |labels| {
            let cells: Vec<Cell> = harmed
                .iter()
                .zip(labels)
                .map(|((stratum, fate), exposed)| Cell {
                    stratum: *stratum,
                    outcome: f64::from(*fate == 1 || (*fate == 2 && *exposed)),
                    exposed: *exposed,
                    count: 1,
                })
                .collect();
            // The margin is the ninth harm that is asked about.
            let mut clearance = Clearance::new(harm, 0.1, 0.05);
            clearance.settle(rho, &rates, &cells);
            clearance.log_against_all()[8].exp()
        });
        prop_assert!(mean <= 1.0 + ROUNDING, "{}", mean);
    }

    #[test]
    fn the_guard_is_fair(rho in 0.01..0.99, n in 1..=10usize) {
        let mean = mean_over_labels(n, rho, |labels| {
            let mut guard = AssignmentGuard::default();
            guard.start_epoch(rho);
            labels.iter().for_each(|exposed| guard.label(*exposed));
            guard.log_e().exp()
        });
        prop_assert!((mean - 1.0).abs() < ROUNDING, "{}", mean);
    }
}

/// The mean over the labels of `n` environments, each exposed with probability `rho`.
fn mean_over_labels(n: usize, rho: f64, value: impl Fn(&[bool]) -> f64) -> f64 {
    mean_over_draws(n, &[rho, 1.0 - rho], |joins| {
        let labels: Vec<bool> = joins.iter().map(|joins| *joins == 0).collect();
        value(&labels)
    })
}

/// The mean over where the draws of `n` environments fall, each in place `k` with probability `chances[k]`.
fn mean_over_draws(n: usize, chances: &[f64], value: impl Fn(&[usize]) -> f64) -> f64 {
    let places = chances.len();
    let count = places.pow(u32::try_from(n).unwrap());
    let mut joins = vec![0; n];
    (0..count)
        .map(|mut number| {
            for place in &mut joins {
                (*place, number) = (number % places, number / places);
            }
            let chance: f64 = joins.iter().map(|place| chances[*place]).product();
            chance * value(&joins)
        })
        .sum()
}

// Hardly anybody, and the ends of the share.

#[test]
fn a_fleet_of_less_than_eight_is_left_to_a_person_and_one_of_eight_is_not() {
    for environments in [0, 1, 2, 7, 8] {
        let mut scenario = Scenario::new(Policy::default(), environments, 0.15);
        for harm in [Harm::None, Harm::Break, Harm::BreakWithOther] {
            scenario.harm = harm;
            for seed in 0..20 {
                let course = simulate(&scenario, seed);
                let begun = environments >= 8;
                assert_eq!(course.share_peak > 0.0, begun, "{environments} {course:?}");
                assert!(begun || course.ending == Ending::Open, "{course:?}");
                assert!(course.harmed <= environments);
            }
        }
    }
}

#[test]
fn statistics_of_hardly_anybody_are_numbers() {
    for environments in [0, 1, 2, 7, 8] {
        let prediction = Prediction::from_history(&[0; 11], &[0; 5]);
        assert!(
            prediction
                .rates
                .iter()
                .all(|rate| (0.002..=0.97).contains(rate))
        );
        let margin = margin(environments, prediction.variance);
        assert!((0.02..=0.9).contains(&margin), "{margin}");
        let path = path::ahead(&Policy::default(), environments, prediction.variance, None);
        assert_eq!(path.last().unwrap().1, Share::ONE);
        let mut clearance = Clearance::new(margin, prediction.variance, 0.05);
        clearance.settle(0.5, &prediction.rates, &[]);
        assert!(!clearance.is_clear(), "nobody has shown anything");
        assert_eq!((clearance.lower(), clearance.upper()), (-1.0, 1.0));
    }
}

#[test]
fn without_reveals_and_events_there_is_no_evidence() {
    let bet = windows(0.5, [0.1; STRATA]);
    assert!(bet.log_e().abs() < ROUNDING && !bet.fires());
    let bet = EventBet::new(ALPHA, &PLATFORMS);
    assert!(bet.log_e().abs() < ROUNDING && !bet.fires());
}

#[test]
fn where_nobody_or_everybody_is_exposed_there_is_nothing_to_bet_on() {
    let mut bet = EventBet::new(ALPHA, &PLATFORMS);
    for share in [f64::NAN, -1.0, 0.0, 1.0, 7.0] {
        let record = Record {
            environment: 1,
            draw: 0.5,
            share,
            category: Category::Test,
            rate: 0.1,
            platform: 0,
            partners: 2,
            look: Some(1),
        };
        assert!(!event(&mut bet, &record, record.draw), "{share}");
    }
    assert_eq!(bet, EventBet::new(ALPHA, &PLATFORMS));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn evidence_is_a_number_at_any_share_and_rate(
        conducts in prop::collection::vec((conduct(), any::<bool>()), 0..40),
        rho in prop_oneof![Just(1e-9), Just(1.0 - 1e-9), 0.0001..0.9999],
        rate in prop_oneof![Just(0.0), Just(1.0), 0.0..1.0],
    ) {
        let mut bet = windows(rho, [rate; STRATA]);
        for (conduct, exposed) in &conducts {
            reveal(&mut bet, conduct, *exposed);
        }
        prop_assert!(bet.log_e().is_finite());
        prop_assert!(bet.masses().values().all(|mass| mass.is_finite()));
    }
}
