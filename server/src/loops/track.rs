//! The evidence of one open rollout in memory, as its cells have it.

use std::collections::BTreeSet;

use pinion_core::draw::Share;
use pinion_core::evidence::{Cell, EpochEvidence, Evidence, Member, Ordinal, Totals};
use pinion_core::outcome::Fingerprint;
use pinion_core::rollout::{Epoch, Rollout};
use pinion_core::window_bet::WindowBet;
use sha2::{Digest, Sha256};

use crate::controller::read_all;
use crate::snapshot::Snapshot;
use crate::store::records::{
    CELLS_PER_CHUNK, MEMBERS_PER_CHUNK, decode_cells, decode_members, encode_cells, encode_members,
};
use crate::store::{Error, Key, Operation, Store, keys};

/// The evidence of one open rollout.
#[derive(Debug)]
pub struct Track {
    /// The rollout as of which this is.
    pub epoch: u32,
    /// The epoch that runs; none before the first.
    pub evidence: Option<EpochEvidence>,
    /// Detector W with the reveals of the epoch.
    pub bet: WindowBet,
    totals: Totals,
    dirty: BTreeSet<u32>,
}

impl Track {
    /// A track before the first epoch.
    pub fn new(rollout: &Rollout) -> Self {
        Self {
            epoch: 0,
            evidence: None,
            bet: rollout.bet.clone(),
            totals: Totals::default(),
            dirty: BTreeSet::new(),
        }
    }

    /// The track that the store has of a rollout.
    ///
    /// # Errors
    /// If a pool or a cell cannot be read, or a pool is not the one that its epoch was opened with.
    pub async fn load(
        store: &dyn Store,
        snapshot: &Snapshot,
        rollout: &Rollout,
    ) -> Result<Self, Error> {
        let mut track = Self::new(rollout);
        let Some(epoch) = &rollout.epoch else {
            return Ok(track);
        };
        track.epoch = epoch.index;
        let members = load_pool(store, rollout, epoch).await?;
        let evidence = EpochEvidence::new(
            labelled(snapshot, rollout, epoch.share, members),
            epoch.last_opening,
        );
        track.evidence = Some(if epoch.settled.is_some() {
            evidence.settled()
        } else {
            evidence
        });
        for (index, share) in (1u32..).zip(&rollout.shares) {
            for entry in read_all(store, &keys::cells_prefix(&rollout.id, index)).await? {
                for (ordinal, cell) in decode_cells(&entry.key, &entry.value)? {
                    track.merge(snapshot, rollout, (index, *share), ordinal, &cell);
                }
            }
        }
        track.dirty.clear();
        Ok(track)
    }

    /// Opens an epoch with its pool.
    pub fn open_epoch(&mut self, snapshot: &Snapshot, rollout: &Rollout, members: Vec<Member>) {
        let Some(epoch) = &rollout.epoch else { return };
        self.epoch = epoch.index;
        self.bet = rollout.bet.clone();
        self.evidence = Some(EpochEvidence::new(
            labelled(snapshot, rollout, epoch.share, members),
            epoch.last_opening,
        ));
        self.dirty.clear();
    }

    /// Takes in what is known of a draw key in the epoch that runs.
    pub fn note(&mut self, snapshot: &Snapshot, rollout: &Rollout, ordinal: Ordinal, cell: &Cell) {
        let at = (self.epoch, rollout.last_share());
        self.merge(snapshot, rollout, at, ordinal, cell);
    }

    fn merge(
        &mut self,
        snapshot: &Snapshot,
        rollout: &Rollout,
        (index, share): (u32, Share),
        ordinal: Ordinal,
        cell: &Cell,
    ) {
        if index == self.epoch
            && let Some(evidence) = &mut self.evidence
        {
            evidence.merge(ordinal, cell, &mut self.bet);
            self.dirty
                .insert(keys::chunk_of(ordinal, CELLS_PER_CHUNK).0);
        }
        // A pool stays as it was drawn; beyond it, what is by choice counts on neither side.
        if !snapshot.has_volunteer(ordinal, rollout)
            && let Some(exposed) = label(snapshot, rollout, share, ordinal)
        {
            self.totals.merge(ordinal, exposed, cell);
        }
    }

    /// What must be written so that the store has every cell too.
    pub fn take_changes(&mut self, rollout: &Rollout) -> Vec<Operation> {
        let Some(evidence) = &self.evidence else {
            return Vec::new();
        };
        std::mem::take(&mut self.dirty)
            .into_iter()
            .map(|chunk| {
                let first = Ordinal(chunk * CELLS_PER_CHUNK);
                let last = Ordinal(first.0 + (CELLS_PER_CHUNK - 1));
                let cells = evidence
                    .cells()
                    .range(first..=last)
                    .map(|(ordinal, cell)| (*ordinal, cell));
                Operation::Put(
                    keys::cells(&rollout.id, self.epoch, chunk),
                    encode_cells(cells),
                )
            })
            .collect()
    }

    /// What failures looked like with the candidate, the most frequent first.
    pub fn fingerprints(&self) -> Vec<(Fingerprint, u32)> {
        self.totals.fingerprints(true)
    }

    /// The counts that a decision uses.
    pub fn evidence(&self, rollout: &Rollout, population: u32) -> Evidence {
        let (exposed, control) = match &self.evidence {
            Some(evidence) => (*evidence.exposed(), *evidence.control()),
            None => Default::default(),
        };
        let share = rollout.last_share().value();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of a u32 is one"
        )]
        let in_cohort = (f64::from(population) * share).round() as u32;
        Evidence {
            exposed,
            control,
            exposed_total: self.totals.side(true, in_cohort),
            control_total: self.totals.side(false, population - in_cohort),
            log_e: self.bet.log_e(),
            log_threshold: self.bet.log_threshold(),
            leading: self.bet.blame().to_string(),
        }
    }
}

/// The members of a pool with their labels; those of whom nobody is left have none.
fn labelled<'a>(
    snapshot: &'a Snapshot,
    rollout: &'a Rollout,
    share: Share,
    members: Vec<Member>,
) -> impl Iterator<Item = (Member, bool)> + 'a {
    members.into_iter().filter_map(move |member| {
        let exposed = label(snapshot, rollout, share, member.ordinal)?;
        Some((member, exposed))
    })
}

/// Whether a draw key was in the cohort at a share; none if nobody has it any more.
fn label(snapshot: &Snapshot, rollout: &Rollout, share: Share, ordinal: Ordinal) -> Option<bool> {
    let member = snapshot.members(ordinal).next()?;
    Some(share.exposes(rollout.seed.draw(member.draw_key())))
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
