//! The evidence of one open rollout in memory, as its cells have it.

use std::collections::BTreeSet;

use pinion_core::draw::{Draw, Share};
use pinion_core::event_trail::{EventTrail, TrailFailure};
use pinion_core::evidence::{
    Cell, Detectors, EpochEvidence, Event, Evidence, Mark, Member, Order, Ordinal, RETURN_MIN,
    Totals, digest,
};
use pinion_core::mixture::Target;
use pinion_core::name::RolloutId;
use pinion_core::outcome::Fingerprint;
use pinion_core::rollout::{Epoch, Restart, Rollout};
use sha2::{Digest, Sha256};

use super::looks::Looks;
use crate::controller::{NotedExposure, read_all};
use crate::snapshot::Snapshot;
use crate::store::records::{
    CELLS_PER_CHUNK, MEMBERS_PER_CHUNK, decode, decode_cells, decode_members, encode_cells,
    encode_members,
};
use crate::store::{Error, Key, Operation, Store, keys};

/// The evidence of one open rollout.
#[derive(Debug)]
pub struct Track {
    /// The epoch that runs; 0 before the first.
    epoch: u32,
    running: Option<Running>,
    trail: EventTrail,
    totals: Totals,
    /// The share of every epoch, each with the revision up to which everything had been counted before.
    shares: Vec<(u64, Share)>,
    /// Chunks of cells of the epoch that runs that are not in the store as they are here.
    dirty: BTreeSet<u32>,
    /// Draw keys that have pulled the candidate.
    connected: BTreeSet<Ordinal>,
}

/// The epoch that runs, and what is bet, bounded and tested in its windows.
#[derive(Clone, Debug)]
pub struct Running {
    /// Who is in the pool, what each did, and who was revealed.
    pub evidence: EpochEvidence,
    /// With the reveals of the epoch.
    pub detectors: Detectors,
}

impl Track {
    /// A track before the first epoch.
    pub fn new(rollout: &Rollout) -> Self {
        Self {
            epoch: 0,
            running: None,
            trail: EventTrail::new(rollout.policy.alpha, &platforms(rollout)),
            totals: Totals::default(),
            shares: Vec::new(),
            dirty: BTreeSet::new(),
            connected: BTreeSet::new(),
        }
    }

    /// The track that the store has of a rollout.
    ///
    /// # Errors
    /// If an epoch, a pool or a cell cannot be read, or a pool is not the one that its epoch was opened with.
    pub async fn load(
        store: &dyn Store,
        snapshot: &Snapshot,
        rollout: &Rollout,
        looks: &Looks,
    ) -> Result<Self, Error> {
        let mut track = Self::new(rollout);
        let Some(running) = &rollout.epoch else {
            return Ok(track);
        };
        let mut epochs: Vec<Epoch> = Vec::new();
        for entry in read_all(store, &keys::epoch_prefix(&rollout.id)).await? {
            epochs.push(decode(&entry.key, &entry.value)?);
        }
        for epoch in &epochs {
            track.shares.push((epoch.folded, epoch.share));
            track.trail.open_epoch(epoch, &platforms(rollout));
            let mut cells = load_cells(store, rollout, epoch.index).await?;
            if epoch.index == running.index && running.settled.is_none() {
                track.dirty = unsilenced(&mut cells);
            }
            for (ordinal, cell) in &cells {
                track.count(snapshot, rollout, epoch.share, *ordinal, cell);
                track.note_failure(snapshot, rollout, looks, *ordinal, cell);
            }
            for restart in restarts(rollout, epoch.index) {
                track.trail.restart(restart.folded);
            }
            if epoch.index == running.index {
                track.epoch = epoch.index;
                track.running =
                    Some(load_running(store, snapshot, rollout, running, &cells).await?);
            }
        }
        if track.running.is_none() {
            return Err(Error::Damaged {
                key: keys::epoch(&rollout.id, running.index).to_string(),
                cause: "the epoch that runs is not there".to_owned(),
            });
        }
        Ok(track)
    }

    /// Opens an epoch with everybody who is active. The store has every cell of the one before.
    pub fn open_epoch(
        &mut self,
        snapshot: &Snapshot,
        rollout: &Rollout,
        members: Vec<Member>,
        detectors: Detectors,
    ) {
        let Some(epoch) = &rollout.epoch else { return };
        if self.epoch == 0 {
            self.trail = EventTrail::new(rollout.policy.alpha, &platforms(rollout));
        }
        self.epoch = epoch.index;
        self.shares.push((epoch.folded, epoch.share));
        self.trail.open_epoch(epoch, &platforms(rollout));
        self.running = Some(Running {
            evidence: epoch_evidence(snapshot, rollout, epoch, members),
            detectors,
        });
        debug_assert!(self.dirty.is_empty(), "cells of an earlier epoch");
    }

    /// The epoch that runs.
    pub const fn running(&self) -> Option<&Running> {
        self.running.as_ref()
    }

    /// Puts in the epoch with its windows ended, in which these were silent, as the store has it.
    pub fn settled(
        &mut self,
        snapshot: &Snapshot,
        rollout: &Rollout,
        running: Running,
        silent: &[Ordinal],
    ) {
        for ordinal in silent {
            if let Some(cell) = running.evidence.cells().get(ordinal) {
                self.count(snapshot, rollout, rollout.last_share(), *ordinal, cell);
            }
        }
        self.running = Some(running);
        self.dirty.clear();
    }

    /// Starts the detectors afresh after everything up to the revision.
    pub fn restart(&mut self, revision: u64) {
        self.trail.restart(revision);
        if let Some(running) = &mut self.running {
            running.detectors.windows.restart();
        }
    }

    /// Takes in what a draw key did in the epoch that runs.
    ///
    /// Who cannot be drawn is not counted, unless that was otherwise when the epoch opened: people are counted
    /// as they were drawn, whatever they did then.
    pub fn note(
        &mut self,
        snapshot: &Snapshot,
        rollout: &Rollout,
        looks: &Looks,
        (ordinal, event, mark): (Ordinal, Event, Mark),
    ) {
        let Some(running) = &mut self.running else {
            return;
        };
        let traits = running.evidence.traits(ordinal);
        let can_be_drawn = || {
            !snapshot.has_volunteer(ordinal, rollout)
                && snapshot
                    .members(ordinal)
                    .any(|member| snapshot.is_eligible(member, rollout))
        };
        if traits.is_none() && !can_be_drawn() {
            return;
        }
        let first_pull = running
            .evidence
            .cells()
            .get(&ordinal)
            .and_then(|cell| cell.polled);
        if event == Event::Polled
            && first_pull.is_some_and(|first| mark.at < first.at.plus(RETURN_MIN))
        {
            // It says nothing more, whatever had it noted: a start of the server, or another rollout's change.
            return;
        }
        let cell = Cell::of(event, mark, traits.unwrap_or_default());
        running
            .evidence
            .merge(ordinal, &cell, &mut running.detectors);
        let merged = running.evidence.cells().get(&ordinal).copied();
        self.dirty
            .insert(keys::chunk_of(ordinal, CELLS_PER_CHUNK).0);
        self.count(snapshot, rollout, rollout.last_share(), ordinal, &cell);
        if let Some(cell) = merged {
            self.note_failure(snapshot, rollout, looks, ordinal, &cell);
        }
    }

    fn count(
        &mut self,
        snapshot: &Snapshot,
        rollout: &Rollout,
        share: Share,
        ordinal: Ordinal,
        cell: &Cell,
    ) {
        // A pool stays as it was drawn; beyond it, what is by choice counts on neither side.
        if !snapshot.has_volunteer(ordinal, rollout)
            && let Some(draw) = snapshot.draw(rollout, ordinal)
        {
            let is_exposed = share.exposes(draw);
            self.totals.merge(ordinal, is_exposed, cell);
            if is_exposed && cell.polled.is_some() {
                self.connected.insert(ordinal);
            }
        }
    }

    fn note_failure(
        &mut self,
        snapshot: &Snapshot,
        rollout: &Rollout,
        looks: &Looks,
        ordinal: Ordinal,
        cell: &Cell,
    ) {
        let (Some(failure), Some(draw)) = (cell.failed, snapshot.draw(rollout, ordinal)) else {
            return;
        };
        let new_fingerprint = failure
            .fingerprint
            .and_then(|look| looks.new_after(rollout.begun_after, look));
        self.trail.note(TrailFailure {
            ordinal,
            draw,
            failure,
            new_fingerprint,
        });
    }

    /// What must be written so that the store has every cell of the rollout with this id too.
    pub fn changes(&self, id: &RolloutId) -> Vec<Operation> {
        let Some(running) = &self.running else {
            return Vec::new();
        };
        cell_changes(id, self.epoch, &running.evidence, &self.dirty)
    }

    /// Notes that the store has every cell.
    pub fn written(&mut self) {
        self.dirty.clear();
    }

    /// What must be written so that the store has who was silent in windows that are about to end, as in `running`.
    /// Unless they do end, it is taken back with the next changes.
    pub fn changes_of_end(
        &mut self,
        id: &RolloutId,
        running: &Running,
        silent: &[Ordinal],
    ) -> Vec<Operation> {
        let chunk = |ordinal: &Ordinal| keys::chunk_of(*ordinal, CELLS_PER_CHUNK).0;
        self.dirty.extend(silent.iter().map(chunk));
        cell_changes(id, self.epoch, &running.evidence, &self.dirty)
    }

    /// The share when the report at this place was counted.
    pub fn share_at(&self, order: Order) -> Share {
        let opened = |(folded, _): &&(u64, Share)| order > Order::new(*folded, u16::MAX);
        let epoch = self.shares.iter().rev().find(opened);
        epoch.map_or(Share::ZERO, |(_, share)| *share)
    }

    /// Who failed with the candidate in a way that hits the target since the detectors last started afresh, and
    /// when.
    pub fn hits(&self, rollout: &Rollout, target: &Target) -> Vec<(Ordinal, Order)> {
        let since = rollout.restarts.last().map_or(0, |restart| restart.folded);
        let mut hits = self.totals.hits(target, &platforms(rollout));
        hits.retain(|(_, order)| *order > Order::new(since, u16::MAX));
        hits
    }

    /// What failures looked like with the candidate, the most frequent first.
    pub fn fingerprints(&self) -> Vec<(Fingerprint, u32)> {
        self.totals.fingerprints(true)
    }

    /// Who has had the candidate, and when it was first told that it fails.
    pub(crate) fn exposure(&self) -> NotedExposure {
        NotedExposure {
            first_failure_at: self.totals.first_failure_at(true),
            connected: self.connected.iter().copied().collect(),
        }
    }

    /// The counts that a decision uses.
    pub fn evidence(&self) -> Evidence {
        let Some(Running {
            evidence,
            detectors,
        }) = &self.running
        else {
            return Evidence::default();
        };
        Evidence::of(evidence, detectors, &self.trail, &self.totals)
    }

    /// The hash of what was counted in the epoch that runs; none before the first.
    pub fn digest(&self) -> Option<String> {
        let cells = self.running.as_ref()?.evidence.cells();
        Some(digest(cells.iter().map(|(ordinal, cell)| (*ordinal, cell))))
    }
}

fn platforms(rollout: &Rollout) -> Vec<String> {
    rollout.platforms.iter().map(ToString::to_string).collect()
}

/// The restarts of an epoch.
fn restarts(rollout: &Rollout, epoch: u32) -> impl Iterator<Item = &Restart> {
    rollout
        .restarts
        .iter()
        .filter(move |restart| restart.epoch == epoch)
}

fn epoch_evidence(
    snapshot: &Snapshot,
    rollout: &Rollout,
    epoch: &Epoch,
    members: Vec<Member>,
) -> EpochEvidence {
    let drawn = members.into_iter().filter_map(|member| {
        let draw: Draw = snapshot.draw(rollout, member.ordinal)?;
        Some((member, draw))
    });
    EpochEvidence::new(epoch, platforms(rollout), drawn)
}

/// What must be written so that the store has a pool, and the pool's hash.
pub fn pool_changes(rollout: &Rollout, epoch: u32, members: &[Member]) -> (Vec<Operation>, String) {
    let mut hash = Sha256::new();
    let puts = members
        .chunks(MEMBERS_PER_CHUNK)
        .enumerate()
        .map(|(chunk, members)| {
            let value = encode_members(members);
            hash.update(&value);
            Operation::Put(keys::pool(&rollout.id, epoch, chunk), value)
        })
        .collect();
    (puts, hex::encode(hash.finalize()))
}

fn cell_changes(
    id: &RolloutId,
    epoch: u32,
    evidence: &EpochEvidence,
    chunks: &BTreeSet<u32>,
) -> Vec<Operation> {
    let changes = chunks.iter().map(|chunk| {
        let first = Ordinal(chunk * CELLS_PER_CHUNK);
        let last = Ordinal(first.0 + (CELLS_PER_CHUNK - 1));
        let cells = evidence.cells().range(first..=last);
        let value = encode_cells(cells.map(|(ordinal, cell)| (*ordinal, cell)));
        Operation::Put(keys::cells(id, epoch, *chunk), value)
    });
    changes.collect()
}

async fn load_cells(
    store: &dyn Store,
    rollout: &Rollout,
    epoch: u32,
) -> Result<Vec<(Ordinal, Cell)>, Error> {
    let mut cells = Vec::new();
    for entry in read_all(store, &keys::cells_prefix(&rollout.id, epoch)).await? {
        cells.extend(decode_cells(&entry.key, &entry.value)?);
    }
    // Failures are bet on in the order of their records; fed so, none has to be bet on anew.
    cells.sort_by_key(|(_, cell)| cell.failed.map(|failure| failure.mark.order));
    Ok(cells)
}

/// Forgets who was silent in windows that have not ended: a server that was to end them got no further than to note it.
/// Gives the chunks that the store has otherwise.
fn unsilenced(cells: &mut [(Ordinal, Cell)]) -> BTreeSet<u32> {
    let mut chunks = BTreeSet::new();
    for (ordinal, cell) in cells.iter_mut().filter(|(_, cell)| cell.silent) {
        cell.silent = false;
        chunks.insert(keys::chunk_of(*ordinal, CELLS_PER_CHUNK).0);
    }
    chunks
}

/// The epoch that runs: the detectors as it was opened or settled with, and what its cells reveal since.
async fn load_running(
    store: &dyn Store,
    snapshot: &Snapshot,
    rollout: &Rollout,
    epoch: &Epoch,
    cells: &[(Ordinal, Cell)],
) -> Result<Running, Error> {
    let key = keys::detectors(&rollout.id);
    let stored = store.get(&key).await?.ok_or_else(|| Error::Damaged {
        key: key.to_string(),
        cause: "it is not there".to_owned(),
    })?;
    let mut detectors: Detectors = decode(&key, &stored.value)?;
    let members = load_pool(store, rollout, epoch).await?;
    let mut evidence = epoch_evidence(snapshot, rollout, epoch, members);
    // What was before the windows ended is in the detectors that were stored then.
    let is_settled = epoch.settled.is_some();
    for restart in restarts(rollout, epoch.index).filter(|restart| restart.settled == is_settled) {
        for (ordinal, cell) in cells {
            evidence.merge(*ordinal, &cell.until(restart.folded), &mut detectors);
        }
        detectors.windows.restart();
    }
    for (ordinal, cell) in cells {
        evidence.merge(*ordinal, cell, &mut detectors);
    }
    Ok(Running {
        evidence,
        detectors,
    })
}

async fn load_pool(
    store: &dyn Store,
    rollout: &Rollout,
    epoch: &Epoch,
) -> Result<Vec<Member>, Error> {
    let prefix = keys::pool_prefix(&rollout.id, epoch.index);
    let mut hash = Sha256::new();
    let mut members = Vec::new();
    for entry in read_all(store, &prefix).await? {
        hash.update(&entry.value);
        members.extend(decode_members(&entry.key, &entry.value)?);
    }
    if hex::encode(hash.finalize()) != epoch.pool {
        return Err(Error::Damaged {
            key: Key::new(prefix).to_string(),
            cause: "it is not the pool that the epoch was opened with".to_owned(),
        });
    }
    Ok(members)
}
