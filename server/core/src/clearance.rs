//! Clearance: how large the average harm can still be, and how large it is at least (`Gate` of the
//! reference; STATISTICS §3.5).
//!
//! For any prediction `m` of an environment's outcome `y`, `(y − m)(z − rho) / (rho (1 − rho))` has the
//! candidate's effect on that environment as its mean over the label `z`. Bets on it bound the average
//! effect under randomisation alone, at every look, whatever drifts.

use serde::{Deserialize, Serialize};

use crate::mixture::log_sum_exp;
use crate::prediction::STRATA;
use crate::window_bet::Counts;

/// No margin lies below two points.
const MARGIN_MIN: f64 = 0.02;
const MARGIN_MAX: f64 = 0.9;
/// The margin is this times √(v/N).
const MARGIN_FACTOR: f64 = 10.0;
/// Harms for which it is asked whether they are excluded.
const GRID: usize = 24;
/// The place of the margin in the grid; each step is a factor of 1.25.
const GRID_MARGIN: i32 = 8;
const GRID_FACTOR: f64 = 1.25;
/// Bets against a harm, as multiples of harm over variance.
const AGAINST: [f64; 3] = [0.5, 1.0, 2.0];
const AGAINST_RANGE: (f64, f64) = (0.02, 0.9);
/// Bets on a harm.
const FOR: [f64; 5] = [0.03, 0.08, 0.20, 0.45, 0.70];

/// Environments of one epoch with the same stratum, outcome and label.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cell {
    /// Their stratum.
    pub stratum: usize,
    /// What came of them, 0 (passed) to 1 (failed).
    pub outcome: f64,
    /// Whether they were exposed.
    pub exposed: bool,
    /// How many there are.
    pub count: u64,
}

/// What is known of the candidate's average harm, in shares of environments that additionally fail.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Clearance {
    margin: f64,
    variance: f64,
    log_threshold: f64,
    /// Evidence against each harm of the grid, by bet.
    against: Vec<[f64; AGAINST.len()]>,
    /// Evidence for more harm than each of the grid, by bet.
    beyond: Vec<[f64; FOR.len()]>,
    /// Evidence for more harm than none, by bet.
    beyond_none: [f64; FOR.len()],
    upper: f64,
    lower: f64,
}

/// The least harm that must be excluded before everybody gets the candidate:
/// `max(0.02, 10 · √(v/N))`, at most 0.9. Two points, or what the fleet can resolve.
pub fn margin(population: u32, variance: f64) -> f64 {
    (MARGIN_FACTOR * (variance / f64::from(population.max(1))).sqrt()).clamp(MARGIN_MIN, MARGIN_MAX)
}

impl Clearance {
    /// Nothing known yet. `variance` is the mean of rate · (1 − rate) over the fleet; `margin`, in (0, 0.9],
    /// is the harm to exclude; a harm at the margin or above passes with probability at most `beta`.
    pub fn new(margin: f64, variance: f64, beta: f64) -> Self {
        Self {
            margin,
            variance,
            log_threshold: -beta.ln(),
            against: vec![[0.0; AGAINST.len()]; GRID],
            beyond: vec![[0.0; FOR.len()]; GRID],
            beyond_none: [0.0; FOR.len()],
            upper: 1.0,
            lower: -1.0,
        }
    }

    /// The harms of the grid.
    fn harm(&self, place: usize) -> f64 {
        let steps = i32::try_from(place).unwrap_or(i32::MAX) - GRID_MARGIN;
        (self.margin * GRID_FACTOR.powi(steps)).min(MARGIN_MAX)
    }

    /// Takes in an epoch at its planned end. `rates` are the predictions of the outcome by stratum, frozen
    /// before the epoch; `rho`, in (0, 1), is the chance of being exposed in its pool.
    pub fn settle(&mut self, rho: f64, rates: &[f64; STRATA], cells: &[Cell]) {
        for cell in cells.iter().filter(|cell| cell.count > 0) {
            self.take_in(rho, rates[cell.stratum.min(STRATA - 1)], cell);
        }
        let mut upper = 1.0;
        for place in (0..GRID).rev() {
            if self.log_against(place) < self.log_threshold {
                break;
            }
            upper = self.harm(place);
        }
        self.upper = self.upper.min(upper);
        self.lower = self.lower.max(self.lower_now());
    }

    fn take_in(&mut self, rho: f64, rate: f64, cell: &Cell) {
        let (lambda, count) = (rho.min(1.0 - rho), cell.count as f64);
        let surprise = cell.outcome - rate;
        let effect = if cell.exposed {
            lambda * (surprise / rho)
        } else {
            lambda * (-surprise / (1.0 - rho))
        };
        for place in 0..GRID {
            let harm = self.harm(place);
            for (log_e, multiple) in self.against[place].iter_mut().zip(AGAINST) {
                let bet = (multiple * harm / self.variance).clamp(AGAINST_RANGE.0, AGAINST_RANGE.1);
                *log_e += count * (-bet * effect + bet * lambda * harm).ln_1p();
            }
            for (log_e, bet) in self.beyond[place].iter_mut().zip(FOR) {
                let bet = bet.min(0.95 / (rate.max(1.0 - rate) + lambda * harm));
                *log_e += count * (bet * effect - bet * lambda * harm).ln_1p();
            }
        }
        for (log_e, bet) in self.beyond_none.iter_mut().zip(FOR) {
            *log_e += count * (bet * effect).ln_1p();
        }
    }

    fn lower_now(&self) -> f64 {
        let log_mean =
            |log_e: &[f64]| log_sum_exp(log_e.iter().copied()) - (log_e.len() as f64).ln();
        if log_mean(&self.beyond_none) < self.log_threshold {
            return -1.0;
        }
        let excluded =
            (0..GRID).take_while(|place| log_mean(&self.beyond[*place]) >= self.log_threshold);
        excluded.last().map_or(0.0, |place| self.harm(place))
    }

    /// The log of the evidence against the harm at a place of the grid, 0 to 23.
    fn log_against(&self, place: usize) -> f64 {
        log_sum_exp(self.against[place].iter().copied()) - (AGAINST.len() as f64).ln()
    }

    /// The log of the evidence against each harm of the grid, the smallest harm first.
    pub fn log_against_all(&self) -> Vec<f64> {
        (0..GRID).map(|place| self.log_against(place)).collect()
    }

    /// The average harm lies below this, with confidence 1 − `beta` at every look; 1: nothing is excluded.
    pub const fn upper(&self) -> f64 {
        self.upper
    }

    /// The average harm lies above this, with confidence 1 − `beta` at every look; −1: nothing is excluded.
    pub const fn lower(&self) -> f64 {
        self.lower
    }

    /// The harm that must be excluded.
    pub const fn margin(&self) -> f64 {
        self.margin
    }

    /// Whether the average harm lies below the margin.
    pub fn is_clear(&self) -> bool {
        self.upper <= self.margin * (1.0 + 1e-9)
    }
}

/// The cells of an epoch from what detector W counted.
pub fn cells(counts: &Counts) -> Vec<Cell> {
    let mut cells = Vec::new();
    for (stratum, by_hit) in counts.iter().enumerate() {
        for (hit, by_label) in by_hit.iter().enumerate() {
            for (label, count) in by_label.iter().enumerate() {
                cells.push(Cell {
                    stratum,
                    outcome: hit as f64,
                    exposed: label == 1,
                    count: *count,
                });
            }
        }
    }
    cells
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATES: [f64; STRATA] = [0.1; STRATA];

    fn epoch(exposed_failed: u64, control_failed: u64) -> Vec<Cell> {
        let side = |exposed, failed| {
            [(1.0, failed), (0.0, 1000 - failed)].map(|(outcome, count)| Cell {
                stratum: 0,
                outcome,
                exposed,
                count,
            })
        };
        [side(true, exposed_failed), side(false, control_failed)].concat()
    }

    #[test]
    fn a_candidate_that_does_as_the_baseline_is_cleared() {
        let mut clearance = Clearance::new(margin(2000, 0.09), 0.09, 0.05);
        assert!(!clearance.is_clear());
        clearance.settle(0.5, &RATES, &epoch(100, 100));
        assert!(clearance.is_clear(), "{}", clearance.upper());
        assert!(clearance.lower() < 0.0);
    }

    #[test]
    fn a_harmful_one_is_not_and_its_harm_lies_between_the_bounds() {
        let mut clearance = Clearance::new(margin(2000, 0.09), 0.09, 0.05);
        clearance.settle(0.5, &RATES, &epoch(300, 100));
        assert!(!clearance.is_clear());
        assert!(clearance.lower() > 0.1 && clearance.lower() < 0.2);
        assert!(clearance.upper() > 0.2 && clearance.upper() < 0.5);
    }

    #[test]
    fn bounds_only_tighten() {
        let mut clearance = Clearance::new(0.1, 0.09, 0.05);
        clearance.settle(0.5, &RATES, &epoch(100, 100));
        let upper = clearance.upper();
        clearance.settle(0.5, &RATES, &epoch(400, 100));
        assert!(clearance.upper() <= upper);
    }
}
