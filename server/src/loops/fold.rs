//! Journal records become cells and history: in the order of their commits, each report once.
//!
//! Cells are written before the journal record is removed, and merge to the same whatever happens twice,
//! so a fold that dies half way is done again without harm.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use pinion_core::draw::Share;
use pinion_core::evidence::{Event, Evidence, Mark, Member, Order, Ordinal, Traits, Wealth};
use pinion_core::mixture::{PAIR_SLOTS, PLATFORM_SLOTS, Target, accomplice};
use pinion_core::name::{Platform, RolloutId};
use pinion_core::outcome::{Outcome, Repeat};
use pinion_core::prediction::{HISTORY_DAYS, Prediction, stratum};
use pinion_core::rollout::{Fleet, Rollout};
use pinion_core::time::Timestamp;

use super::history::{ACTIVE_DAYS, History};
use super::looks::Looks;
use super::track::Track;
use crate::controller::{
    Controller, DRAFT_ITEMS_MAX, Journaled, SEEN_DAYS, claim_number, order, read_all,
};
use crate::snapshot::{Snapshot, subject};
use crate::store::records::{EnvironmentRecord, JournalEntry, JournalEvent, encode_seen};
use crate::store::{
    Commit, Error, Key, Operation, Revision, Store, TXN_BYTES_MAX, Transaction, keys,
};

/// Records that are folded before their removal is written.
const BATCH: usize = 64;

/// Everything that reports have led to, in memory.
#[derive(Debug)]
pub struct Fold {
    controller: Arc<Controller>,
    /// Keys with it are this fold's alone.
    number: u64,
    history: History,
    looks: Looks,
    tracks: BTreeMap<RolloutId, Track>,
    /// Looks that the store does not have yet.
    unwritten_looks: Vec<Operation>,
    /// Records of report ids by the day of the reports.
    seen: Vec<(i64, Key)>,
    folded: Revision,
    sequence: u64,
    /// Pulls since the last look, while somebody is waited for who had a candidate that was taken back.
    returned: Vec<(Ordinal, Timestamp)>,
}

impl Fold {
    /// The fold as the store has it, with everything counted that is acknowledged: only then is it known up to which
    /// revision that is.
    ///
    /// # Errors
    /// If history cannot be read, what was counted not kept, or the store not read at all. A rollout whose evidence is damaged is returned with the cause.
    pub async fn load(
        controller: Arc<Controller>,
    ) -> Result<(Self, Vec<(Arc<Rollout>, Error)>), Error> {
        let store = controller.store.as_ref();
        // What is not in the journal was counted before this number was taken.
        let (number, folded) = claim_number(store).await?;
        controller.learn_seen().await?;
        let snapshot = controller.snapshot();
        let history = History::load(store).await?;
        let looks = Looks::load(store).await?;
        let mut tracks = BTreeMap::new();
        let mut unreadable = Vec::new();
        for rollout in snapshot.all_open_rollouts() {
            match Track::load(store, &snapshot, rollout, &looks).await {
                Ok(track) => {
                    tracks.insert(rollout.id.clone(), track);
                }
                Err(error @ Error::Damaged { .. }) => {
                    unreadable.push((Arc::clone(rollout), error));
                }
                // It can be read later.
                Err(error) => return Err(error),
            }
        }
        let mut fold = Self {
            number,
            history,
            looks,
            tracks,
            unwritten_looks: Vec::new(),
            seen: seen_records(store).await?,
            folded,
            sequence: 0,
            returned: Vec::new(),
            controller,
        };
        fold.fold_all().await?;
        Ok((fold, unreadable))
    }

    /// Reports up to this revision are counted.
    pub const fn folded(&self) -> Revision {
        self.folded
    }

    /// Who has pulled since this was last asked, while somebody was waited for.
    pub fn take_returned(&mut self) -> Vec<(Ordinal, Timestamp)> {
        std::mem::take(&mut self.returned)
    }

    /// Notes again what could not be written.
    pub fn keep_returned(&mut self, returned: Vec<(Ordinal, Timestamp)>) {
        self.returned.extend(returned);
    }

    /// The evidence of a rollout.
    pub fn track(&mut self, rollout: &Rollout) -> &mut Track {
        self.tracks
            .entry(rollout.id.clone())
            .or_insert_with(|| Track::new(rollout))
    }

    /// The counts that a decision uses. Where they say harmful, a partner that the failures need is to blame
    /// with the rollout.
    pub fn evidence(&mut self, snapshot: &Snapshot, rollout: &Rollout) -> Evidence {
        let mut evidence = self.track(rollout).evidence();
        let windows = self.accomplice(snapshot, rollout, &evidence.windows);
        let events = self.accomplice(snapshot, rollout, &evidence.events);
        for (wealth, partner) in [
            (&mut evidence.windows, windows),
            (&mut evidence.events, events),
        ] {
            if let Some(partner) = partner {
                wealth.target = Target::Pair(partner.to_string());
            }
        }
        evidence
    }

    /// The partner whose labels show that the failures which a detector found need it too.
    fn accomplice(
        &self,
        snapshot: &Snapshot,
        rollout: &Rollout,
        found: &Wealth,
    ) -> Option<RolloutId> {
        if !found.is_harmful() || matches!(found.target, Target::Pair(_)) {
            return None;
        }
        let hits = self.tracks.get(&rollout.id)?.hits(rollout, &found.target);
        let partners = snapshot
            .open_rollouts(&rollout.pin_set)
            .iter()
            .filter(|partner| partner.id != rollout.id && partner.share() > Share::ZERO)
            .filter(|partner| are_partners(rollout, partner))
            .filter_map(|partner| Some((partner, self.tracks.get(&partner.id)?)));
        let labels = partners.map(|(partner, track)| {
            let label = |(ordinal, order): &(Ordinal, Order)| {
                let share = track.share_at(*order);
                let draw = snapshot.draw(partner, *ordinal)?;
                let is_drawn = snapshot
                    .members(*ordinal)
                    .any(|member| snapshot.is_eligible(member, partner));
                is_drawn.then(|| (share.exposes(draw), share.value()))
            };
            (
                partner.id.as_str(),
                hits.iter().filter_map(label).collect::<Vec<_>>(),
            )
        });
        accomplice(labels).and_then(|id| id.parse().ok())
    }

    /// Forgets the evidence of rollouts that have ended.
    pub fn keep_open(&mut self, snapshot: &Snapshot) {
        self.tracks.retain(|id, _| {
            snapshot
                .rollout(id)
                .is_some_and(|rollout| rollout.record.state.is_open())
        });
    }

    /// Counts everything that is acknowledged.
    ///
    /// # Errors
    /// If the store cannot keep what was counted.
    pub async fn fold_all(&mut self) -> Result<(), Error> {
        self.controller.journal_pulls().await?;
        // A record that could not be written off is counted again: twice changes nothing.
        let unfolded = self.controller.unfolded().await?;
        if !unfolded.is_empty() {
            // Whoever reported may have enrolled at another server a moment before.
            self.controller.catch_up_whole().await?;
        }
        for batch in unfolded.chunks(BATCH) {
            self.fold_batch(batch).await?;
        }
        // What an earlier batch, or windows that did not end, left over.
        self.write_counted().await?;
        self.controller.measure_backlog().await
    }

    async fn fold_batch(&mut self, batch: &[Journaled]) -> Result<(), Error> {
        let snapshot = self.controller.snapshot();
        let mut reports: BTreeMap<i64, Vec<u64>> = BTreeMap::new();
        for journaled in batch {
            for (index, entry) in journaled.record.entries.iter().enumerate() {
                let mark = Mark {
                    order: order(journaled.revision, index),
                    at: entry.at,
                };
                if entry.report != 0 {
                    if !self.controller.counts_at(entry, mark.order) {
                        continue;
                    }
                    reports
                        .entry(entry.at.day())
                        .or_default()
                        .push(entry.report);
                }
                self.fold_entry(&snapshot, entry, mark);
            }
            self.folded = self.folded.max(journaled.revision);
        }
        self.write_counted().await?;
        self.write_off(batch, reports).await
    }

    fn fold_entry(&mut self, snapshot: &Snapshot, entry: &JournalEntry, mark: Mark) {
        if entry.event == JournalEvent::Polled && snapshot.returning().next().is_some() {
            self.returned.push((entry.ordinal, entry.at));
        }
        let event = match entry.event {
            JournalEvent::Polled => Event::Polled,
            JournalEvent::Reported(outcome) => {
                // A failure whose repetition failed too is the environment's own and no failing day.
                let failure = match outcome {
                    Outcome::Started | Outcome::Passed => None,
                    Outcome::Failed {
                        repeat: Repeat::Failed,
                        ..
                    } => None,
                    Outcome::Failed {
                        category,
                        fingerprint,
                        ..
                    } => {
                        if let Some(look) = fingerprint {
                            self.looks.note(look, mark.order, entry.at);
                        }
                        Some(category)
                    }
                };
                let previous_failed = outcome != Outcome::Started
                    && self.history.note(entry.ordinal, entry.at, failure);
                Event::Reported {
                    outcome,
                    previous_failed,
                }
            }
        };
        for rollout in concerned(snapshot, entry.ordinal) {
            let counts = rollout
                .epoch
                .as_ref()
                .is_some_and(|epoch| mark.order >= order(epoch.folded + 1, 0));
            if counts && let Some(track) = self.tracks.get_mut(&rollout.id) {
                let news = (entry.ordinal, event, mark);
                track.note(snapshot, rollout, &self.looks, news);
            }
        }
    }

    /// Writes what is counted and the store does not have yet, so that what is decided on it can be decided again.
    ///
    /// # Errors
    /// If the store cannot keep it. It is written the next time.
    pub async fn write_counted(&mut self) -> Result<(), Error> {
        let now = self.controller.clock.now();
        let tracks = self.tracks.iter();
        let mut counted: Vec<Operation> =
            tracks.flat_map(|(id, track)| track.changes(id)).collect();
        self.unwritten_looks
            .extend(self.looks.take_changes(self.number, now));
        counted.extend(self.unwritten_looks.iter().cloned());
        // After the cells, which say whether the report before a failure had failed: counted again without them, a report
        // must not be taken for the one before it.
        counted.extend(self.history.changes(now));
        self.commit_in_parts(counted).await?;
        self.tracks.values_mut().for_each(Track::written);
        self.unwritten_looks.clear();
        self.history.written(now);
        Ok(())
    }

    /// Removes journal records whose reports are counted, in transactions of their own.
    async fn write_off(
        &mut self,
        batch: &[Journaled],
        reports: BTreeMap<i64, Vec<u64>>,
    ) -> Result<(), Error> {
        let now = self.controller.clock.now();
        // Report ids before the records that they are of, should it take more than one transaction.
        let mut removal: Vec<Operation> = Vec::new();
        for (day, reports) in reports {
            for reports in reports.chunks(1500) {
                self.sequence += 1;
                let key = keys::seen(day, self.number, self.sequence);
                removal.push(Operation::Put(key.clone(), encode_seen(reports)));
                self.seen.push((day, key));
            }
        }
        let counted = batch.iter().map(|journaled| journaled.key.clone());
        removal.extend(counted.map(Operation::Delete));
        let oldest = now.day() - SEEN_DAYS;
        let is_old = |(day, _): &(i64, Key)| *day < oldest;
        removal.extend(
            self.seen
                .iter()
                .filter(|record| is_old(record))
                .map(|(_, key)| Operation::Delete(key.clone())),
        );
        self.commit_in_parts(removal).await?;
        self.seen.retain(|record| !is_old(record));
        Ok(())
    }

    /// Commits operations that are harmless to repeat, in as many transactions as it takes, while this server leads.
    ///
    /// # Errors
    /// If the store cannot keep them, or another server leads now.
    pub async fn commit_in_parts(&self, operations: Vec<Operation>) -> Result<(), Error> {
        let mut part: Vec<Operation> = Vec::new();
        let mut bytes = 0;
        let mut parts = Vec::new();
        for operation in operations {
            let size = match &operation {
                Operation::Put(key, value) => key.as_str().len() + value.len(),
                Operation::Delete(key) => key.as_str().len(),
            };
            if part.len() == DRAFT_ITEMS_MAX || bytes + size > TXN_BYTES_MAX {
                parts.push(std::mem::take(&mut part));
                bytes = 0;
            }
            bytes += size;
            part.push(operation);
        }
        parts.extend((!part.is_empty()).then_some(part));
        for operations in parts {
            match self
                .controller
                .store
                .commit(Transaction {
                    conditions: vec![self.controller.fence()?],
                    operations,
                })
                .await?
            {
                Commit::Done(_) => {}
                Commit::Conflict => {
                    return Err(Error::Unavailable("another server leads now".to_owned()));
                }
            }
        }
        Ok(())
    }

    /// The draw keys of a pin set that a rollout can draw and that are active, each with one of its environments.
    fn active<'a>(
        &self,
        snapshot: &'a Snapshot,
        rollout: &Rollout,
        now: Timestamp,
        is_eligible: impl Fn(&EnvironmentRecord) -> bool,
    ) -> BTreeMap<Ordinal, &'a EnvironmentRecord> {
        let oldest = now.day() - ACTIVE_DAYS;
        let volunteers = snapshot.volunteers(rollout);
        let mut active = BTreeMap::new();
        for environment in snapshot
            .environments()
            .filter(|environment| environment.pin_set == rollout.pin_set)
        {
            let eligible = is_eligible(environment) && !volunteers.contains(&environment.ordinal);
            let is_active = environment.created_at.day() >= oldest
                || self.history.is_active(environment.ordinal, now);
            if eligible && is_active {
                let one = active
                    .entry(environment.ordinal)
                    .or_insert(environment.as_ref());
                // Of a team always the same one, on every server.
                if environment.id < one.id {
                    *one = environment.as_ref();
                }
            }
        }
        active
    }

    /// The fleet of a rollout as it is now, also those whose other pins do not admit the candidate yet: they do once
    /// another rollout has completed, and shares and pilots must be small enough for all who may come to have it.
    pub fn fleet(&self, snapshot: &Snapshot, rollout: &Rollout, now: Timestamp) -> Fleet {
        let active = self.active(snapshot, rollout, now, |environment| {
            subject(environment).is_eligible(rollout)
        });
        let mut failing_days = [0u64; HISTORY_DAYS + 1];
        for ordinal in active.keys() {
            let days = self.history.failing_days(*ordinal, now) as usize;
            failing_days[days.min(HISTORY_DAYS)] += 1;
        }
        Fleet {
            population: u32::try_from(active.len()).unwrap_or(u32::MAX),
            prediction: Prediction::from_history(&failing_days, &self.history.failures(now)),
        }
    }

    /// Everybody who is active when an epoch opens, with what is fixed before its draw is used; those who are
    /// not exposed yet are its pool.
    pub fn pool(&self, snapshot: &Snapshot, rollout: &Rollout, now: Timestamp) -> Pool {
        let active = self.active(snapshot, rollout, now, |environment| {
            snapshot.is_eligible(environment, rollout)
        });
        let platforms = match &rollout.epoch {
            Some(_) => rollout.platforms.clone(),
            None => most_common_platforms(active.values().copied()),
        };
        let partners: Vec<Arc<Rollout>> = snapshot
            .open_rollouts(&rollout.pin_set)
            .iter()
            .filter(|other| other.id != rollout.id && are_partners(rollout, other))
            .take(PAIR_SLOTS)
            .cloned()
            .collect();
        let calendar = &rollout.policy.calendar;
        let working_days: BTreeSet<i64> = (now.day() - HISTORY_DAYS as i64..now.day())
            .filter(|day| calendar.is_working_day(*day))
            .collect();
        let members = active
            .into_iter()
            .map(|(ordinal, environment)| Member {
                ordinal,
                traits: Traits {
                    stratum: u8::try_from(stratum(self.history.failing_days(ordinal, now)))
                        .unwrap_or(u8::MAX),
                    platform: slot(&platforms, environment),
                    partners: partner_bits(
                        &partners,
                        &snapshot.exposures_with(environment, rollout),
                    ),
                    repeats: rollout.policy.repeat_failures
                        && snapshot.members(ordinal).all(|member| member.repeats),
                    regular: self
                        .history
                        .is_regular(ordinal, now, |day| working_days.contains(&day)),
                },
            })
            .collect();
        Pool {
            members,
            platforms,
            partners: partners.iter().map(|partner| partner.id.clone()).collect(),
        }
    }
}

/// The records of report ids that the store has, by day.
async fn seen_records(store: &dyn Store) -> Result<Vec<(i64, Key)>, Error> {
    let entries = read_all(store, keys::SEEN).await?.into_iter();
    let records = entries.map(|entry| (keys::day_of(&entry.key).unwrap_or(0), entry.key));
    Ok(records.collect())
}

/// Whether two rollouts can be harmful together: nobody has the candidate of one that is only played.
fn are_partners(one: &Rollout, other: &Rollout) -> bool {
    !one.is_shadow() && !other.is_shadow()
}

/// Who is active when an epoch opens.
#[derive(Debug)]
pub struct Pool {
    /// By ordinal.
    pub members: Vec<Member>,
    /// Platforms by slot.
    pub platforms: Vec<Platform>,
    /// Other open rollouts by slot.
    pub partners: Vec<RolloutId>,
}

/// The open rollouts that can have drawn a draw key, also one whose last environment has left meanwhile.
fn concerned(snapshot: &Snapshot, ordinal: Ordinal) -> Vec<&Arc<Rollout>> {
    match snapshot.members(ordinal).next() {
        Some(member) => snapshot.open_rollouts(&member.pin_set).iter().collect(),
        None => snapshot
            .all_open_rollouts()
            .filter(|rollout| snapshot.draw(rollout, ordinal).is_some())
            .collect(),
    }
}

fn most_common_platforms<'a>(
    environments: impl Iterator<Item = &'a EnvironmentRecord>,
) -> Vec<Platform> {
    let mut counts: BTreeMap<&Platform, u32> = BTreeMap::new();
    for platform in environments.filter_map(|environment| environment.platform.as_ref()) {
        *counts.entry(platform).or_default() += 1;
    }
    let mut platforms: Vec<(&Platform, u32)> = counts.into_iter().collect();
    platforms.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    platforms
        .into_iter()
        .take(PLATFORM_SLOTS)
        .map(|(platform, _)| platform.clone())
        .collect()
}

fn slot(platforms: &[Platform], environment: &EnvironmentRecord) -> Option<u8> {
    let platform = environment.platform.as_ref()?;
    platforms
        .iter()
        .position(|other| other == platform)
        .and_then(|slot| u8::try_from(slot).ok())
}

/// The partners among the rollouts that an environment is exposed to if it is drawn.
fn partner_bits(partners: &[Arc<Rollout>], exposures: &[&Arc<Rollout>]) -> u32 {
    let exposed = partners.iter().enumerate().filter(|(_, partner)| {
        let mut exposures = exposures.iter();
        exposures.any(|exposure| exposure.id == partner.id)
    });
    exposed.fold(0, |bits, (slot, _)| bits | 1 << slot)
}
