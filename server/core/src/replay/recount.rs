//! The evidence of a rollout, counted again from its pools and cells.

use std::collections::BTreeSet;

use super::machine::Control;
use super::{FirstSeen, Kept, KeptEpoch};
use crate::event_trail::{EventTrail, TrailFailure};
use crate::evidence::{
    Cell, Detectors, EpochEvidence, Evidence, HarmBounds, Order, Ordinal, Side, Totals, Wealth,
    digest,
};
use crate::log::LogEntry;
use crate::mixture::Target;
use crate::outcome::Fingerprint;
use crate::rollout::{Epoch, Rollout};
use crate::state::Step;

/// Numbers that are nearer to each other than this, and this part of them, are the same: the guard adds in the order in
/// which reports came.
const SAME: f64 = 1e-9;

/// What counting again came to.
#[derive(Debug, Default)]
pub(super) struct Counted {
    /// Whether all of the evidence was counted again.
    pub(super) is_whole: bool,
    /// Why not, or what was taken as it was recorded.
    pub(super) note: Option<String>,
    /// What differs.
    pub(super) problems: Vec<String>,
}

/// The evidence as it grows from decision to decision.
pub(super) struct Recount<'a> {
    kept: &'a Kept,
    first_seen: &'a dyn Fn(Fingerprint) -> FirstSeen,
    platforms: Vec<String>,
    trail: EventTrail,
    totals: Totals,
    noted: BTreeSet<(u32, Ordinal)>,
    running: Option<Running<'a>>,
    /// Why the evidence cannot be counted again from here on.
    lost: Option<String>,
    /// Whether a look was forgotten, so that detector E cannot be fed as it was.
    has_forgotten: bool,
}

struct Running<'a> {
    epoch: Epoch,
    kept: &'a KeptEpoch,
    evidence: EpochEvidence,
    detectors: Detectors,
    is_settled: bool,
}

impl<'a> Recount<'a> {
    pub(super) fn new(kept: &'a Kept, first_seen: &'a dyn Fn(Fingerprint) -> FirstSeen) -> Self {
        let platforms: Vec<String> = kept
            .rollout
            .platforms
            .iter()
            .map(ToString::to_string)
            .collect();
        Self {
            trail: EventTrail::new(kept.rollout.policy.alpha, &platforms),
            kept,
            first_seen,
            platforms,
            totals: Totals::default(),
            noted: BTreeSet::new(),
            running: None,
            lost: None,
            has_forgotten: false,
        }
    }

    /// Counts up to the revision that an entry names, and compares.
    pub(super) fn check(&mut self, before: &Rollout, entry: &LogEntry) -> Counted {
        let mut counted = Counted::default();
        let Some(running) = &self.running else {
            if before.epoch.is_none() {
                counted.is_whole = true;
                if entry.evidence != Evidence::default() {
                    counted
                        .problems
                        .push("it has evidence although nobody had the candidate yet".to_owned());
                }
            } else {
                counted.note.clone_from(&self.lost);
            }
            return counted;
        };
        let has_same_cells = self.has_same_cells(running, entry);
        if has_same_cells == Some(false) {
            counted.problems.push(format!(
                "the cells of epoch {} are not those that it was decided on",
                running.epoch.index
            ));
        }
        if let Some(lost) = &self.lost {
            let intact = match has_same_cells {
                Some(true) => "; the cells are those that it was decided on",
                _ => "",
            };
            counted.note = Some(format!("{lost}{intact}"));
            return counted;
        }
        self.count(before, entry.folded);
        let Some(evidence) = self.evidence() else {
            return counted;
        };
        let (mut differences, mut notes) = self.compare(&entry.evidence, &evidence);
        if !differences.is_empty()
            && let Some(with_silent) = self.with_silent()
        {
            // A server that died while it ended the windows had noted who was silent, and counted them before it ended
            // them again.
            let (again, its_notes) = self.compare(&entry.evidence, &with_silent);
            if again.is_empty() {
                (differences, notes) = (again, its_notes);
            }
        }
        counted.is_whole = !self.has_forgotten;
        if self.has_forgotten {
            notes.push("what failures looked like is forgotten in part, so that detector E was taken as recorded".to_owned());
        }
        counted.note = (!notes.is_empty()).then(|| notes.join("; "));
        counted.problems.extend(differences);
        counted
    }

    /// Whether the cells are those that a decision was made on; none where it does not say.
    fn has_same_cells(&self, running: &Running<'_>, entry: &LogEntry) -> Option<bool> {
        let recorded = entry.cells.as_ref()?;
        let cells: Vec<(Ordinal, Cell)> = running
            .kept
            .cells
            .iter()
            .map(|kept| (kept.ordinal, kept.cell.until(entry.folded)))
            .collect();
        Some(digest(cells.iter().map(|(ordinal, cell)| (*ordinal, cell))) == *recorded)
    }

    /// Takes in everything up to the revision.
    fn count(&mut self, before: &Rollout, revision: u64) {
        let Some(running) = &mut self.running else {
            return;
        };
        let share = running.epoch.share;
        for kept in &running.kept.cells {
            let mut cell = kept.cell.until(revision);
            cell.silent &= running.is_settled;
            if cell.first_heard().is_none() {
                continue;
            }
            running
                .evidence
                .merge(kept.ordinal, &cell, &mut running.detectors);
            let Some(draw) = kept.draw else { continue };
            self.totals.merge(kept.ordinal, share.exposes(draw), &cell);
            let place = (running.epoch.index, kept.ordinal);
            let Some(failure) = cell.failed.filter(|_| self.noted.insert(place)) else {
                continue;
            };
            let begun_after = Order::new(first_folded(self.kept, before), u16::MAX);
            let new_fingerprint = match failure
                .fingerprint
                .map(|look| (look, (self.first_seen)(look)))
            {
                Some((look, FirstSeen::At(first))) if first <= failure.mark.order => {
                    (first > begun_after).then_some(look)
                }
                Some(_) => {
                    self.has_forgotten = true;
                    None
                }
                None => None,
            };
            self.trail.note(TrailFailure {
                ordinal: kept.ordinal,
                draw,
                failure,
                new_fingerprint,
            });
        }
    }

    fn evidence(&self) -> Option<Evidence> {
        let running = self.running.as_ref()?;
        Some(Evidence::of(
            &running.evidence,
            &running.detectors,
            &self.trail,
            &self.totals,
        ))
    }

    /// The evidence if who was silent at the end of the windows counts as silent already.
    fn with_silent(&self) -> Option<Evidence> {
        let running = self
            .running
            .as_ref()
            .filter(|running| !running.is_settled)?;
        let (mut evidence, mut totals) = (running.evidence.clone(), self.totals.clone());
        let mut detectors = running.detectors.clone();
        for kept in running.kept.cells.iter().filter(|kept| kept.cell.silent) {
            let silent = Cell {
                silent: true,
                ..Cell::default()
            };
            evidence.merge(kept.ordinal, &silent, &mut detectors);
            if let Some(draw) = kept.draw {
                totals.merge(kept.ordinal, running.epoch.share.exposes(draw), &silent);
            }
        }
        Some(Evidence::of(&evidence, &detectors, &self.trail, &totals))
    }

    /// What an entry changes in the detectors; gives what the control showed where windows ended.
    pub(super) fn follow(&mut self, before: &Rollout, entry: &LogEntry) -> Option<Control> {
        if self.lost.is_some() {
            return None;
        }
        // Also where the entry was not held against it: with what it does, an epoch or the bets so far may end.
        self.count(before, entry.folded);
        let running = self.running.as_mut()?;
        if entry.action == Step::Settle.as_str() {
            let cells = &running.kept.cells;
            let silent: BTreeSet<Ordinal> = cells
                .iter()
                .filter(|kept| kept.cell.silent)
                .map(|kept| kept.ordinal)
                .collect();
            let doubtful = before.has_doubtful_windows();
            let gone = |ordinal| silent.contains(&ordinal);
            running
                .evidence
                .settle(&mut running.detectors, doubtful, gone);
            running.is_settled = true;
            return Some(running.evidence.control_by_stratum());
        }
        let starts_afresh = entry.action == Step::Restart.as_str()
            || (entry.action == Step::Resume.as_str()
                && before
                    .resume(&entry.evidence, entry.folded, entry.at)
                    .is_ok_and(|after| after.restarts.len() > before.restarts.len()));
        if starts_afresh {
            self.trail.restart(entry.folded);
            running.detectors.windows.restart();
        }
        None
    }

    /// Goes on with the epoch that a decision opened.
    pub(super) fn open(&mut self, before: &Rollout, opened: &Rollout) {
        let Some(epoch) = opened.epoch.clone() else {
            return;
        };
        let is_this = |kept: &&KeptEpoch| {
            kept.epoch
                .as_ref()
                .is_ok_and(|other| other.index == epoch.index)
        };
        let Some(kept) = self.kept.epochs.iter().find(is_this) else {
            self.lost = Some(format!("epoch {} is not kept", epoch.index));
            self.running = None;
            return;
        };
        self.lost = self.lost.take().or_else(|| lost_in(kept, epoch.index));
        let mut detectors = match (&self.running, &opened.fleet) {
            (Some(running), _) => running.detectors.clone(),
            (None, Some(fleet)) => {
                let platforms: Vec<&str> = self.platforms.iter().map(String::as_str).collect();
                Detectors::new(&opened.policy, fleet, &platforms)
            }
            (None, None) => return,
        };
        let is_cut_short = before
            .epoch
            .as_ref()
            .is_some_and(|epoch| epoch.settled.is_none());
        if is_cut_short {
            detectors.windows.close_early();
        }
        detectors.open_epoch(&epoch);
        self.trail.open_epoch(&epoch, &self.platforms);
        let members = kept
            .members
            .iter()
            .filter_map(|(member, draw)| Some((*member, (*draw)?)));
        self.running = Some(Running {
            evidence: EpochEvidence::new(&epoch, self.platforms.clone(), members),
            epoch,
            kept,
            detectors,
            is_settled: false,
        });
    }

    /// What differs, and what was taken as recorded.
    fn compare(&self, recorded: &Evidence, counted: &Evidence) -> (Vec<String>, Vec<String>) {
        let (mut differences, mut notes) = (Vec::new(), Vec::new());
        for (what, was, is) in [
            ("exposed side", &recorded.exposed, &counted.exposed),
            ("control", &recorded.control, &counted.control),
        ] {
            if was != is {
                differences.push(format!(
                    "the {what} of the epoch has {}, and counted again {}",
                    in_words(was),
                    in_words(is)
                ));
            }
        }
        for (what, was, is) in [
            (
                "exposed side",
                &recorded.exposed_total,
                &counted.exposed_total,
            ),
            ("control", &recorded.control_total, &counted.control_total),
        ] {
            if was == is {
                continue;
            }
            // Who volunteers later counts in no total.
            match was.reporting <= is.reporting && was.failed <= is.failed {
                true => notes.push(format!(
                    "the {what} of the whole rollout was {}, and is {} with those who volunteered since",
                    in_words(was),
                    in_words(is)
                )),
                false => differences.push(format!(
                    "the {what} of the whole rollout has {}, and counted again {}",
                    in_words(was),
                    in_words(is)
                )),
            }
        }
        differences.extend(wealth("W", &recorded.windows, &counted.windows));
        if !self.has_forgotten {
            differences.extend(wealth("E", &recorded.events, &counted.events));
        }
        let near = |was: f64, is: f64| (was - is).abs() <= SAME * (1.0 + was.abs());
        if !near(recorded.guard_log_e, counted.guard_log_e) {
            differences.push(format!(
                "the guard had {}, and counted again {}",
                recorded.guard_log_e, counted.guard_log_e
            ));
        }
        let bounds =
            |harm: &Option<HarmBounds>| harm.map(|harm| [harm.lower, harm.upper, harm.margin]);
        let is_same = match (bounds(&recorded.harm), bounds(&counted.harm)) {
            (Some(was), Some(is)) => was.iter().zip(is).all(|(was, is)| near(*was, is)),
            (was, is) => was.is_none() && is.is_none(),
        };
        if !is_same {
            differences
                .push("the bounds on the average harm are others when counted again".to_owned());
        }
        (differences, notes)
    }
}

/// Up to where reports had been counted before the first epoch.
fn first_folded(kept: &Kept, before: &Rollout) -> u64 {
    match before.begun_after {
        0 => kept.rollout.begun_after,
        folded => folded,
    }
}

/// Why the evidence of an epoch cannot be counted again.
fn lost_in(kept: &KeptEpoch, index: u32) -> Option<String> {
    if let Some(damage) = kept.damage.first() {
        return Some(format!(
            "the evidence of epoch {index} cannot be read ({damage})"
        ));
    }
    let mut unknown: BTreeSet<Ordinal> = kept
        .members
        .iter()
        .filter(|(_, draw)| draw.is_none())
        .map(|(member, _)| member.ordinal)
        .collect();
    let cells = kept.cells.iter().filter(|cell| cell.draw.is_none());
    unknown.extend(cells.map(|cell| cell.ordinal));
    (!unknown.is_empty()).then(|| {
        format!(
            "its evidence cannot be counted again: of {} in epoch {index} no draw is known any more, since they have left",
            crate::numbers::counted(unknown.len() as u64, "environment")
        )
    })
}

fn wealth(name: &str, was: &Wealth, is: &Wealth) -> Option<String> {
    let near = |was: f64, is: f64| (was - is).abs() <= SAME * (1.0 + was.abs());
    // A partner that the failures need too is found by its own draws, and taken as it was recorded.
    let same_target =
        was.target == is.target || (matches!(was.target, Target::Pair(_)) && was.is_harmful());
    let is_same =
        near(was.log_e, is.log_e) && near(was.log_threshold, is.log_threshold) && same_target;
    (!is_same).then(|| {
        format!(
            "detector {name} had {:.6} against {} of {:.6}, and counted again {:.6} against {} of {:.6}",
            was.log_e, was.target, was.log_threshold, is.log_e, is.target, is.log_threshold
        )
    })
}

fn in_words(side: &Side) -> String {
    format!(
        "{} failed of {} reporting, {} in all",
        side.failed, side.reporting, side.environments
    )
}
