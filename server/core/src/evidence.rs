//! What is known of an epoch: one cell per environment, and the counts that follow from it.
//!
//! Labels (who is exposed) are never stored: they follow from the seed. Draw keys are meant wherever
//! environments are counted: those that share one are one.

mod cell;
mod digest;
mod epoch;
mod totals;
pub mod words;

use serde::{Deserialize, Serialize};

use crate::clearance::Clearance;
use crate::event_trail::EventTrail;
use crate::mixture::Target;
use crate::outcome::Category;
use crate::time::Timestamp;

pub use cell::{Cell, Event, Failure, RETURN_MIN, Traits};
pub use digest::digest;
pub use epoch::{Detectors, EpochEvidence, Member, partners_of, platform_of};
pub use totals::Totals;

/// The number of a draw key, given once and for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ordinal(pub u32);

/// The place of a report among all reports: the store's revision of its record, then its index there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Order(u64);

impl Order {
    /// The place of the `index`-th report of the record that was stored at `revision` (below 2⁴⁸).
    pub const fn new(revision: u64, index: u16) -> Self {
        Self((revision << 16) | index as u64)
    }

    /// The place as one number, for storage.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// The place that [`Order::as_u64`] gave.
    pub const fn from_u64(order: u64) -> Self {
        Self(order)
    }
}

/// That something happened, when, and in which place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// Its place.
    pub order: Order,
    /// When the server took it.
    pub at: Timestamp,
}
/// Counts of one side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Side {
    /// Environments of the side.
    pub environments: u32,
    /// Of those, the ones that reported, or count as silent.
    pub reporting: u32,
    /// Of those, the ones that failed, or count as silent.
    pub failed: u32,
    /// Failed environments by the category of their first failure.
    pub by_category: [u32; 5],
}

impl Side {
    /// The share of reporting environments that failed, 0 to 1; `None` if none reported.
    pub fn failed_share(&self) -> Option<f64> {
        (self.reporting > 0).then(|| f64::from(self.failed) / f64::from(self.reporting))
    }

    /// Takes in that an environment's cell has changed.
    fn change(&mut self, before: &Cell, after: &Cell) {
        let is_known = |cell: &Cell| cell.has_reported() || cell.silent;
        self.reporting += u32::from(!is_known(before) && is_known(after));
        if let (None, Some(category)) = (before.failure(), after.failure()) {
            self.add_failure(category);
        }
    }

    fn add_failure(&mut self, category: Category) {
        self.failed += 1;
        self.by_category[category.index()] += 1;
    }
}
/// The counts per side that a decision uses, and nothing else.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Environments with the candidate, in the current epoch's pool.
    pub exposed: Side,
    /// Environments with the baseline, in the current epoch's pool.
    pub control: Side,
    /// Environments with the candidate, over the whole rollout.
    pub exposed_total: Side,
    /// Environments with the baseline, over the whole rollout.
    pub control_total: Side,
    /// Detector W.
    pub windows: Wealth,
    /// Detector E.
    pub events: Wealth,
    /// Where the average harm lies; none before the first epoch.
    pub harm: Option<HarmBounds>,
    /// The natural logarithm of the evidence that labels are not what was drawn.
    pub guard_log_e: f64,
}

/// What a detector has.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Wealth {
    /// The natural logarithm of the evidence of harm.
    pub log_e: f64,
    /// The logarithm at which the candidate counts as harmful; 0: it bets on nothing yet.
    pub log_threshold: f64,
    /// What the evidence is about, if it is about anything.
    pub target: Target,
}

impl Wealth {
    /// Whether the evidence says harmful.
    pub fn is_harmful(&self) -> bool {
        self.log_threshold > 0.0 && self.log_e >= self.log_threshold
    }
}

/// Where the average harm lies, in shares of environments that additionally fail because of the candidate,
/// at the policy's confidence and at every look.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct HarmBounds {
    /// Above this, −1 to 1; −1: no harm is shown.
    pub lower: f64,
    /// Below this, 0 to 1; 1: no harm is excluded.
    pub upper: f64,
    /// What must be excluded before everybody gets the candidate.
    pub margin: f64,
}

impl HarmBounds {
    /// Whether harm at the margin is excluded.
    pub fn is_clear(&self) -> bool {
        self.upper <= self.margin * (1.0 + 1e-9)
    }
}

impl From<&Clearance> for HarmBounds {
    fn from(clearance: &Clearance) -> Self {
        Self {
            lower: clearance.lower(),
            upper: clearance.upper(),
            margin: clearance.margin(),
        }
    }
}

impl Evidence {
    /// The counts of an epoch and of the whole rollout until then, with what the detectors have.
    pub fn of(
        epoch: &EpochEvidence,
        detectors: &Detectors,
        trail: &EventTrail,
        totals: &Totals,
    ) -> Self {
        let [with_baseline, with_candidate] = epoch.environments();
        let (windows, events) = (&detectors.windows, trail.bet());
        Self {
            exposed: *epoch.exposed(),
            control: *epoch.control(),
            exposed_total: totals.side(true, with_candidate),
            control_total: totals.side(false, with_baseline),
            windows: Wealth {
                log_e: windows.log_e(),
                log_threshold: windows.log_threshold(),
                target: windows.blame(),
            },
            events: Wealth {
                log_e: events.log_e(),
                log_threshold: events.log_threshold(),
                target: events.blame(),
            },
            harm: Some(HarmBounds::from(&detectors.clearance)),
            guard_log_e: detectors.guard.log_e(),
        }
    }

    /// Whether a detector says harmful.
    pub fn is_harmful(&self) -> bool {
        self.windows.is_harmful() || self.events.is_harmful()
    }

    /// The detector that is nearest to its threshold, or farthest past it.
    pub fn leading(&self) -> &Wealth {
        let ahead = |wealth: &Wealth| wealth.log_e - wealth.log_threshold;
        if ahead(&self.events) > ahead(&self.windows) {
            &self.events
        } else {
            &self.windows
        }
    }

    /// The detector that tells what is to blame: W where it says harmful, else E if that does.
    pub fn blaming(&self) -> Option<&Wealth> {
        [&self.windows, &self.events]
            .into_iter()
            .find(|wealth| wealth.is_harmful())
    }

    /// Whether harm at the margin is excluded.
    pub fn is_clear(&self) -> bool {
        self.harm.is_some_and(|harm| harm.is_clear())
    }

    /// Environments of the pool that reported in the epoch, on both sides.
    pub const fn reporting(&self) -> u32 {
        self.exposed.reporting + self.control.reporting
    }
}

#[cfg(test)]
mod tests;
