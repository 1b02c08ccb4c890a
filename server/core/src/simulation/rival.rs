//! How others raise the share, for comparison.

use crate::draw::Share;
use crate::mixture::Target;

use super::cohort::Cohort;
use super::{DAY_H, Ending, Rule};

/// The daily shares of the fixed threshold.
const STAGES: [f64; 6] = [0.01, 0.05, 0.10, 0.25, 0.50, 1.0];
/// So much more than usual is too much.
const THRESHOLD: f64 = 0.05;
/// The ramp's step and how long it lasts.
const RAMP: (f64, u32) = (0.10, 2);

/// A rollout under another rule.
#[derive(Debug)]
pub(super) struct Rival {
    pub(super) cohort: Cohort,
    rule: Rule,
    /// The share of the environments that failed on a day before the rollout.
    usual: f64,
    /// The last day, counted from 1, on which an environment was seen to fail.
    failed: Vec<u32>,
    failed_today: u32,
    pub(super) full: Option<u32>,
    pub(super) ending: Option<Ending>,
}

impl Rival {
    pub(super) fn new(rule: Rule, cohort: Cohort, environments: u32, usual: f64) -> Self {
        Self {
            cohort,
            rule,
            usual,
            failed: vec![0; environments as usize],
            failed_today: 0,
            full: None,
            ending: None,
        }
    }

    /// Sets the share of the hour, after a look at the day before where the rule looks.
    pub(super) fn take_turn(&mut self, hour: u32) {
        if self.ending.is_some() || self.full.is_some() {
            return;
        }
        let share = match self.rule {
            Rule::EveryoneAtOnce => 1.0,
            Rule::Ramp => RAMP.0 * f64::from(1 + hour / RAMP.1),
            Rule::Threshold if !hour.is_multiple_of(u32::from(DAY_H)) => return,
            Rule::Threshold if self.is_too_much() => {
                self.cohort.set_share(Share::ZERO);
                self.ending = Some(Ending::RolledBack {
                    blamed: Target::Any,
                });
                return;
            }
            Rule::Threshold | Rule::Pinion => {
                let day = (hour / u32::from(DAY_H)) as usize;
                STAGES[day.min(STAGES.len() - 1)]
            }
        };
        self.failed_today = 0;
        self.cohort.set_share(Share::clamped(share));
        if self.cohort.share() == Share::ONE {
            self.full = Some(hour);
        }
    }

    fn is_too_much(&self) -> bool {
        let exposed = self.cohort.sides().0.len();
        exposed > 0 && f64::from(self.failed_today) / exposed as f64 > self.usual + THRESHOLD
    }

    /// Takes in a failing run.
    pub(super) fn observe(&mut self, index: usize, hour: u32) {
        let day = hour / u32::from(DAY_H) + 1;
        if self.cohort.exposes(index) && self.failed[index] != day {
            self.failed[index] = day;
            self.failed_today += 1;
        }
    }
}
