use super::*;
use crate::draw::Draw;
use crate::draw::Share;
use crate::outcome::{Outcome, Repeat};
use crate::path::Step as PathStep;
use crate::policy::Policy;
use crate::prediction::Prediction;
use crate::rollout::{Epoch, Fleet};

const POOL: u32 = 40;

/// A tenth of the environments is exposed.
fn opened(step: PathStep) -> (Epoch, Detectors) {
    let prediction = Prediction::from_history(&[0; 11], &[0; 5]);
    let epoch = Epoch {
        index: 1,
        step,
        before: Share::ZERO,
        share: Share::clamped(0.1),
        since: Timestamp::from_unix_ms(0),
        ends: Timestamp::from_unix_ms(1333),
        last_opening: Timestamp::from_unix_ms(1000),
        folded: 0,
        pool: String::new(),
        settled: None,
        partners: Vec::new(),
        prediction: prediction.clone(),
        rebased: false,
    };
    let fleet = Fleet {
        population: POOL,
        prediction,
    };
    let mut detectors = Detectors::new(&Policy::default(), &fleet, &[]);
    detectors.open_epoch(&epoch);
    (epoch, detectors)
}

fn pool_of(epoch: &Epoch, traits: Traits) -> EpochEvidence {
    let member = |i| {
        let draw = if i % 10 == 0 { 0.05 } else { 0.5 };
        let ordinal = Ordinal(i);
        (Member { ordinal, traits }, Draw::clamped(draw))
    };
    EpochEvidence::new(epoch, Vec::new(), (0..POOL).map(member))
}

fn pool() -> (EpochEvidence, Detectors) {
    let (epoch, detectors) = opened(PathStep::Stage);
    (pool_of(&epoch, Traits::default()), detectors)
}

fn mark(revision: u64) -> Mark {
    Mark {
        order: Order::new(revision, 0),
        at: Timestamp::from_unix_ms(revision.cast_signed()),
    }
}

fn cell_of(outcome: Outcome, revision: u64, traits: Traits) -> Cell {
    let event = Event::Reported {
        outcome,
        previous_failed: false,
    };
    Cell::of(event, mark(revision), traits)
}

fn cell(outcome: Outcome, revision: u64) -> Cell {
    cell_of(outcome, revision, Traits::default())
}

fn pull(revision: u64) -> Cell {
    Cell::of(Event::Polled, mark(revision), Traits::default())
}

fn repeated(repeat: Repeat) -> Outcome {
    Outcome::Failed {
        category: Category::Test,
        fingerprint: None,
        repeat,
    }
}

fn failed() -> Outcome {
    repeated(Repeat::NotRepeated)
}

fn log_e(detectors: &Detectors) -> f64 {
    detectors.windows.log_e()
}

fn silent(epoch: &EpochEvidence) -> u32 {
    let silent = |side: &Side| side.by_category[Category::Silent.index()];
    silent(epoch.control()) + silent(epoch.exposed())
}

#[test]
fn one_environment_that_fails_500_times_moves_the_evidence_once() {
    let (mut epoch, mut detectors) = pool();
    epoch.merge(Ordinal(0), &cell(failed(), 1), &mut detectors);
    let once = log_e(&detectors);
    for revision in 2..500 {
        epoch.merge(Ordinal(0), &cell(failed(), revision), &mut detectors);
    }
    assert!(once > 0.0);
    assert!((log_e(&detectors) - once).abs() < 1e-15);
    assert_eq!(epoch.exposed().failed, 1);
}

#[test]
fn the_order_of_reveals_does_not_matter() {
    let (mut forward, mut first) = pool();
    let (mut backward, mut second) = pool();
    let outcome = |i: u32| match i % 3 {
        0 => failed(),
        _ => Outcome::Passed,
    };
    for i in 0..POOL {
        forward.merge(Ordinal(i), &cell(outcome(i), 1), &mut first);
    }
    for i in (0..POOL).rev() {
        backward.merge(Ordinal(i), &cell(outcome(i), 1), &mut second);
    }
    forward.settle(&mut first, false, |_| false);
    backward.settle(&mut second, false, |_| false);
    assert_eq!(first.windows, second.windows);
    assert_eq!(first.clearance, second.clearance);
    assert!((first.guard.log_e() - second.guard.log_e()).abs() < 1e-12);
}

#[test]
fn a_run_that_never_came_back_is_silent_and_a_pull_alone_says_nothing() {
    let (mut epoch, mut detectors) = pool();
    epoch.merge(Ordinal(1), &cell(Outcome::Started, 1), &mut detectors);
    epoch.merge(Ordinal(2), &pull(1), &mut detectors);
    epoch.settle(&mut detectors, false, |_| false);
    assert_eq!(silent(&epoch), 1);
    assert_eq!(epoch.control_by_stratum()[0], (1, 1));
}

#[test]
fn who_normally_reports_daily_is_silent_when_it_is_not_heard_of_after_its_first_pull() {
    let regular = Traits {
        regular: true,
        ..Traits::default()
    };
    for (step, expected) in [(PathStep::Stage, 1), (PathStep::Pilot(1), 0)] {
        let (epoch, mut detectors) = opened(step);
        let mut epoch = pool_of(&epoch, regular);
        epoch.merge(Ordinal(1), &pull(1), &mut detectors);
        epoch.merge(Ordinal(2), &pull(1), &mut detectors);
        epoch.merge(Ordinal(2), &pull(500), &mut detectors);
        epoch.settle(&mut detectors, false, |_| false);
        assert_eq!(silent(&epoch), expected, "{step:?}");
    }
}

#[test]
fn who_leaves_before_it_told_anything_is_silent() {
    let (mut epoch, mut detectors) = pool();
    for ordinal in [1, 2, 3] {
        epoch.merge(Ordinal(ordinal), &pull(1), &mut detectors);
    }
    epoch.merge(Ordinal(2), &cell(Outcome::Passed, 2), &mut detectors);
    epoch.settle(&mut detectors, false, |ordinal| ordinal.0 <= 2);
    assert_eq!(silent(&epoch), 1);
}

#[test]
fn a_failure_whose_repetition_failed_counts_as_a_pass_where_repeating_was_planned() {
    let repeats = Traits {
        repeats: true,
        ..Traits::default()
    };
    let dismissed = |traits| cell_of(repeated(Repeat::Failed), 1, traits);
    assert!(dismissed(repeats).failed.is_none());
    assert!(dismissed(Traits::default()).failed.is_some());
    assert!(
        cell_of(repeated(Repeat::Passed), 1, repeats)
            .failed
            .is_some()
    );
    assert!(cell_of(failed(), 1, repeats).failed.is_some());

    let (mut epoch, mut detectors) = pool();
    epoch.merge(Ordinal(1), &dismissed(repeats), &mut detectors);
    epoch.settle(&mut detectors, false, |_| false);
    assert_eq!(epoch.control_by_stratum()[0], (0, 1));
}

#[test]
fn a_first_call_in_the_last_quarter_opens_no_window() {
    let (mut epoch, mut detectors) = pool();
    epoch.merge(Ordinal(0), &cell(failed(), 1001), &mut detectors);
    assert!(log_e(&detectors).abs() < 1e-12);
    assert_eq!(epoch.exposed().failed, 1, "it is shown all the same");
}

#[test]
fn nothing_is_revealed_after_the_windows_have_ended() {
    let (mut epoch, mut detectors) = pool();
    epoch.settle(&mut detectors, false, |_| false);
    let before = detectors.clone();
    epoch.merge(Ordinal(0), &cell(failed(), 1), &mut detectors);
    assert_eq!(detectors, before);
}

#[test]
fn copies_of_a_cell_merge_to_the_same_whatever_their_order() {
    let cells = [
        cell(Outcome::Started, 5),
        cell(failed(), 9),
        cell(failed(), 7),
        cell(Outcome::Passed, 6),
        pull(3),
        pull(8),
        pull(4),
    ];
    let merged = |order: &[usize]| {
        order.iter().fold(Cell::default(), |mut all, i| {
            all.merge(&cells[*i]);
            all
        })
    };
    let all = merged(&[0, 1, 2, 3, 4, 5, 6]);
    assert_eq!(all, merged(&[6, 5, 3, 2, 1, 0, 2, 4, 6, 1]));
    assert_eq!(all.polled_again, Some(mark(4)));
    assert_eq!(
        merged(&[1, 2]).failed.map(|failure| failure.mark.order),
        Some(Order::new(7, 0))
    );
    assert_eq!(all.until(4).failed, None);
    assert_eq!(all.until(4).polled_again, Some(mark(4)));
}

#[test]
fn a_fresh_start_of_the_detectors_leaves_the_bounds_as_they_are() {
    let bounds = |starts_afresh: bool| {
        let (mut epoch, mut detectors) = pool();
        epoch.merge(Ordinal(0), &cell(failed(), 1), &mut detectors);
        if starts_afresh {
            detectors.windows.restart();
        }
        for i in 1..POOL {
            epoch.merge(Ordinal(i), &cell(Outcome::Passed, 2), &mut detectors);
        }
        epoch.settle(&mut detectors, false, |_| false);
        detectors.clearance
    };
    assert_eq!(bounds(true), bounds(false));
}
