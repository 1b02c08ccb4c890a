//! One epoch: who is in its pool, who was revealed, and what is bet, bounded and tested in its windows.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Cell, Ordinal, Side, Traits};
use crate::clearance::{self, Clearance};
use crate::draw::Draw;
use crate::guard::AssignmentGuard;
use crate::outcome::Category;
use crate::path::Step as PathStep;
use crate::policy::Policy;
use crate::prediction::STRATA;
use crate::rollout::{Epoch, Fleet};
use crate::window_bet::{Counts, EpochRates, Reveal, WindowBet};

/// An environment that is active when an epoch opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Whose.
    pub ordinal: Ordinal,
    /// What is fixed of it.
    pub traits: Traits,
}
/// What is bet, bounded and tested in windows. Detector E has its own place: see [`crate::event_trail`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Detectors {
    /// Detector W.
    pub windows: WindowBet,
    /// The bounds on the average harm.
    pub clearance: Clearance,
    /// The test of the assignment.
    pub guard: AssignmentGuard,
}

impl Detectors {
    /// Detectors of a rollout in `fleet`, on at most eight platforms.
    pub fn new(policy: &Policy, fleet: &Fleet, platforms: &[&str]) -> Self {
        let variance = fleet.prediction.variance;
        let margin = policy
            .margin
            .unwrap_or_else(|| clearance::margin(fleet.population, variance));
        Self {
            windows: WindowBet::new(policy.alpha, platforms),
            clearance: Clearance::new(margin, variance, policy.beta),
            guard: AssignmentGuard::default(),
        }
    }

    /// Opens an epoch. Where everybody is exposed nothing is left to bet on.
    pub fn open_epoch(&mut self, epoch: &Epoch) {
        let rho = epoch.rho();
        if rho < 1.0 {
            self.windows.start_epoch(EpochRates {
                rho,
                rates: epoch.window_rates(),
                categories: epoch.prediction.categories,
            });
        } else {
            self.windows.end_epoch();
        }
        self.guard.start_epoch(rho);
    }

    /// Ends the windows of an epoch at its planned end. Of doubtful ones nothing counts as harm, and nothing is
    /// excluded by them: who is missing among those who reported is not known.
    fn settle(&mut self, epoch: &Epoch, reveals: &Counts, doubtful: bool) {
        if doubtful {
            self.windows.close_early();
        } else if epoch.step == PathStep::Stage {
            self.clearance.settle(
                epoch.rho(),
                &epoch.window_rates(),
                &clearance::cells(reveals),
            );
        }
        self.windows.end_epoch();
    }
}

/// Where an environment stood when an epoch opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// It had the candidate before.
    Before,
    /// In the pool, and so labelled.
    Pool { exposed: bool },
}

/// The evidence of one epoch: who is in the pool, what each did, and who was revealed.
#[derive(Clone, Debug)]
pub struct EpochEvidence {
    epoch: Epoch,
    platforms: Vec<String>,
    partners: Vec<String>,
    members: BTreeMap<Ordinal, (Traits, Place)>,
    cells: BTreeMap<Ordinal, Cell>,
    revealed: BTreeSet<Ordinal>,
    settled: bool,
    /// By label (control, exposed).
    sides: [Side; 2],
    /// Everybody who was revealed, also before the detectors started afresh, as detector W does not count them:
    /// failures come before passes, so that what is left of an epoch would bias the bounds.
    reveals: Counts,
}

impl EpochEvidence {
    /// An epoch in which nothing has happened, of a rollout with these platforms by slot. `members` come
    /// with their draws; those that had the candidate before are not in its pool.
    pub fn new(
        epoch: &Epoch,
        platforms: Vec<String>,
        members: impl IntoIterator<Item = (Member, Draw)>,
    ) -> Self {
        let place = |draw| match epoch.before.exposes(draw) {
            true => Place::Before,
            false => Place::Pool {
                exposed: epoch.share.exposes(draw),
            },
        };
        let members: BTreeMap<Ordinal, (Traits, Place)> = members
            .into_iter()
            .map(|(member, draw)| (member.ordinal, (member.traits, place(draw))))
            .collect();
        let mut sides = [Side::default(); 2];
        for (_, place) in members.values() {
            if let Place::Pool { exposed } = place {
                sides[usize::from(*exposed)].environments += 1;
            }
        }
        Self {
            partners: epoch.partners.iter().map(ToString::to_string).collect(),
            epoch: epoch.clone(),
            platforms,
            members,
            cells: BTreeMap::new(),
            revealed: BTreeSet::new(),
            settled: epoch.settled.is_some(),
            sides,
            reveals: Counts::default(),
        }
    }

    /// What was fixed of an environment when the epoch opened; none if it was not active then.
    pub fn traits(&self, ordinal: Ordinal) -> Option<Traits> {
        self.members.get(&ordinal).map(|(traits, _)| *traits)
    }

    /// Takes in what is known of an environment, in the pool or not, and bets on its label if that is its
    /// first failure in the window.
    pub fn merge(&mut self, ordinal: Ordinal, news: &Cell, detectors: &mut Detectors) {
        let cell = self.cells.entry(ordinal).or_default();
        let before = *cell;
        cell.merge(news);
        let after = *cell;
        if let Some((_, Place::Pool { exposed })) = self.members.get(&ordinal) {
            self.sides[usize::from(*exposed)].change(&before, &after);
            if !self.settled && !before.has_reported() && after.has_reported() {
                detectors.guard.label(*exposed);
            }
        }
        if !self.settled {
            self.reveal(ordinal, None, &mut detectors.windows);
        }
    }

    /// Ends the windows: environments without a failure are revealed as passing, or as silent. Nothing is
    /// revealed afterwards. `doubtful`: those who reported are not those who were drawn. `gone` tells whether an
    /// environment has left, or withdrew its consent. Returns those that were silent; their cells say so from
    /// now on.
    pub fn settle(
        &mut self,
        detectors: &mut Detectors,
        doubtful: bool,
        gone: impl Fn(Ordinal) -> bool,
    ) -> Vec<Ordinal> {
        let members: Vec<Ordinal> = self.members.keys().copied().collect();
        for ordinal in &members {
            self.reveal(*ordinal, Some(gone(*ordinal)), &mut detectors.windows);
        }
        detectors.settle(&self.epoch, &self.reveals, doubtful);
        self.settled = true;
        let silent = |ordinal: &Ordinal| self.cells.get(ordinal).is_some_and(|cell| cell.silent);
        members.into_iter().filter(silent).collect()
    }

    /// Reveals an environment if its window says something; `ended` says that the windows have, and
    /// whether it is gone.
    fn reveal(&mut self, ordinal: Ordinal, ended: Option<bool>, bet: &mut WindowBet) {
        let Some((traits, Place::Pool { exposed })) = self.members.get(&ordinal) else {
            return;
        };
        if self.revealed.contains(&ordinal) {
            return;
        }
        let Some(cell) = self.cells.get_mut(&ordinal) else {
            return;
        };
        let Some(failure) = observed(cell, traits, &self.epoch, ended) else {
            return;
        };
        self.revealed.insert(ordinal);
        if failure == Some(Category::Silent) {
            let before = *cell;
            cell.silent = true;
            self.sides[usize::from(*exposed)].change(&before, cell);
        }
        let stratum = usize::from(traits.stratum).min(STRATA - 1);
        self.reveals[stratum][usize::from(failure.is_some())][usize::from(*exposed)] += 1;
        bet.reveal(Reveal {
            stratum: usize::from(traits.stratum),
            failure,
            exposed: *exposed,
            platform: platform_of(traits, &self.platforms),
            partners: &partners_of(traits, &self.partners),
            count: 1,
        });
    }

    /// The exposed side of the pool.
    pub const fn exposed(&self) -> &Side {
        &self.sides[1]
    }

    /// The side of the pool that has the baseline.
    pub const fn control(&self) -> &Side {
        &self.sides[0]
    }

    /// Environments that were active when the epoch opened: with the baseline, and with the candidate, since
    /// this epoch or before.
    pub fn environments(&self) -> [u32; 2] {
        let before =
            self.members.len() - (self.sides[0].environments + self.sides[1].environments) as usize;
        let before = u32::try_from(before).unwrap_or(u32::MAX);
        [
            self.sides[0].environments,
            self.sides[1].environments + before,
        ]
    }

    /// Environments of the pool that reported, on both sides.
    pub const fn reporting(&self) -> u32 {
        self.sides[0].reporting + self.sides[1].reporting
    }

    /// Failed of reporting among revealed control environments, by stratum.
    pub fn control_by_stratum(&self) -> [(u64, u64); STRATA] {
        let [passed, failed] = [0, 1];
        self.reveals.map(|by_outcome| {
            let control = |outcome: usize| by_outcome[outcome][0];
            (control(failed), control(failed) + control(passed))
        })
    }

    /// What every environment did that was heard of, in the pool or not.
    pub const fn cells(&self) -> &BTreeMap<Ordinal, Cell> {
        &self.cells
    }
}

/// The platform in an environment's slot.
pub fn platform_of<'a>(traits: &Traits, platforms: &'a [String]) -> Option<&'a str> {
    let slot = usize::from(traits.platform?);
    platforms.get(slot).map(String::as_str)
}

/// The rollouts in an environment's partner slots.
pub fn partners_of<'a>(traits: &Traits, partners: &'a [String]) -> Vec<&'a str> {
    let slots = partners.iter().enumerate().take(32);
    slots
        .filter(|(slot, _)| traits.partners & 1 << slot != 0)
        .map(|(_, partner)| partner.as_str())
        .collect()
}

/// What a cell says of its environment's window: nothing yet, no failure, or its first failure.
///
/// The window runs from the first call until the end of the epoch; one that would open after the epoch's
/// last opening does not. At its end an environment is silent if it announced a run and told no outcome, if
/// it is gone without having told any, or if it called once, was not heard of again, and normally reports
/// on every working day (a window of the pilot is too short to say that). A call alone says nothing else.
fn observed(
    cell: &Cell,
    traits: &Traits,
    epoch: &Epoch,
    ended: Option<bool>,
) -> Option<Option<Category>> {
    if cell
        .first_heard()
        .is_none_or(|heard| heard > epoch.last_opening)
    {
        return None;
    }
    if let Some(failure) = cell.failed {
        return Some(Some(failure.category));
    }
    let gone = ended?;
    if cell.passed.is_some() || cell.dismissed.is_some() {
        return Some(None);
    }
    let never_came_back =
        traits.regular && cell.polled_again.is_none() && !matches!(epoch.step, PathStep::Pilot(_));
    (cell.announced.is_some() || gone || never_came_back).then_some(Some(Category::Silent))
}
