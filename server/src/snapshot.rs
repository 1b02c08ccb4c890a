//! What is served: the control records in memory, swapped whole when a commit is durable.
//!
//! A projection of the store: the same [`Snapshot::apply`] takes the entries found at start and those of
//! every commit, ours and others', in the order of their revisions. Nothing is written here that is not in the store.

mod candidates;
mod combinations;
mod follow;

pub(crate) use candidates::known;
pub use combinations::{Combination, Combinations, Form};
pub(crate) use follow::{Follower, News};

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use arc_swap::ArcSwapOption;
use pinion_core::calendar::StandingFreeze;
use pinion_core::draw::Draw;
use pinion_core::evidence::{Ordinal, RETURN_MIN};
use pinion_core::figures::Ended;
use pinion_core::gate::Gate;
use pinion_core::name::{
    ConsumerName, EnvironmentId, LeaseId, NoticeId, PackageName, PinSetName, RolloutId,
};
use pinion_core::pin::{Pin, Pins};
use pinion_core::queue::Wanted;
use pinion_core::requires::Requirements;
use pinion_core::resolve::Subject;
use pinion_core::rollout::Rollout;
use pinion_core::standing::Standing;
use pinion_core::time::Timestamp;
use pinion_core::version::Version;
use serde::de::DeserializeOwned;

use crate::store::keys;
use crate::store::records::{
    AskRecord, BaselineChunk, BlockRecord, EnvironmentRecord, FilingRecord, LeftRecord,
    NoticeRecord, PinSetRecord, RequiresRecord, ServerRecord, StandingRecord, TokenRecord,
    WantChunk, decode,
};
use crate::store::{Entry, Error, Key, Revision};

/// Draws that are nearer to each other than this are one: a record's digits may lose the last bit.
const SAME_DRAW: f64 = 1e-15;

/// A record with the store's revision of its last change, for conditions.
#[derive(Clone, Debug)]
pub struct Stored<T> {
    /// The record.
    pub record: Arc<T>,
    /// The revision of its key.
    pub modified: Revision,
}

/// An environment, and what is remembered of its pulls since its pin set last changed.
#[derive(Clone, Debug)]
pub struct EnvironmentEntry {
    /// The record.
    pub stored: Stored<EnvironmentRecord>,
    /// Its pulls.
    pub pulls: Arc<PullNotes>,
}

/// What is remembered of the pulls of an environment: what it has, and which of them were noted, which are the first one
/// since a rollout of its pin set changed, and the next one, [`RETURN_MIN`] later at the earliest.
#[derive(Debug)]
pub struct PullNotes {
    /// What it has, as it was last worked out.
    combination: ArcSwapOption<Combination>,
    /// The change of the pin set at which its first pull was noted.
    changed: AtomicU64,
    /// From when on the next pull is noted, in milliseconds of Unix time.
    next_from_ms: AtomicI64,
}

impl Default for PullNotes {
    fn default() -> Self {
        Self {
            combination: ArcSwapOption::empty(),
            changed: AtomicU64::new(0),
            next_from_ms: AtomicI64::new(i64::MAX),
        }
    }
}

impl PullNotes {
    /// Whether a pull is to be noted, once the pin set has `changed`.
    pub fn is_noteworthy(&self, changed: Revision, now: Timestamp) -> bool {
        // Most pulls find that nothing has changed, and write nothing that others read.
        if self.changed.load(Ordering::Relaxed) != changed
            && self.changed.swap(changed, Ordering::Relaxed) != changed
        {
            let next = now.plus(RETURN_MIN).unix_ms();
            self.next_from_ms.store(next, Ordering::Relaxed);
            return true;
        }
        let next = self.next_from_ms.load(Ordering::Relaxed);
        // Of several that come at once, one is noted.
        now.unix_ms() >= next && self.next_from_ms.swap(i64::MAX, Ordering::Relaxed) == next
    }
}

/// A pin set with its baseline.
#[derive(Clone, Debug)]
pub struct PinSetEntry {
    /// The record.
    pub stored: Stored<PinSetRecord>,
    /// The baseline.
    pub baseline: Arc<Pins>,
    /// Lines that are no pins.
    pub verbatim: Arc<Vec<String>>,
    /// What is known of what its versions need.
    pub requirements: Arc<Requirements>,
    /// Versions that wait for their trial, the oldest first.
    pub queue: Arc<Vec<Wanted>>,
    /// What was worked out of it for those who pull it, until it or a rollout of it changes.
    pub combinations: Arc<Combinations>,
}

/// A part of a baseline: pins, and lines that are none.
type Chunk = (Vec<Pin>, Vec<String>);

/// Everything that is served, as of one revision.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// The revision it is of.
    pub revision: Revision,
    sets: imbl::OrdMap<Key, Stored<PinSetRecord>>,
    chunks: imbl::OrdMap<Key, Arc<Chunk>>,
    pin_sets: imbl::OrdMap<PinSetName, PinSetEntry>,
    blocks: imbl::OrdMap<Key, Stored<BlockRecord>>,
    requires: imbl::OrdMap<Key, Arc<RequiresRecord>>,
    wants: imbl::OrdMap<Key, Stored<WantChunk>>,
    rollouts: imbl::OrdMap<RolloutId, Stored<Rollout>>,
    /// Open rollouts by pin set, and the revision at which any of the set's rollouts last changed.
    open: imbl::OrdMap<PinSetName, OpenRollouts>,
    filings: imbl::OrdMap<Key, Stored<FilingRecord>>,
    notices: imbl::OrdMap<Key, Stored<NoticeRecord>>,
    environments: imbl::HashMap<EnvironmentId, EnvironmentEntry>,
    members: imbl::HashMap<Ordinal, imbl::OrdSet<EnvironmentId>>,
    tokens: imbl::HashMap<Key, Stored<TokenRecord>>,
    ordinals: imbl::HashMap<Key, Ordinal>,
    gates: imbl::OrdMap<(RolloutId, ConsumerName), Stored<Gate>>,
    ended: imbl::OrdMap<RolloutId, Stored<Ended>>,
    /// Rollouts that were rolled back, and whose environments are not all back yet.
    returning: imbl::OrdSet<(PinSetName, RolloutId)>,
    /// Positions of those who have left, by rollout.
    left: imbl::OrdMap<(RolloutId, Ordinal), f64>,
    /// The revision of the last control transaction.
    head: Revision,
    asks: imbl::OrdMap<Key, Stored<AskRecord>>,
    standings: imbl::OrdMap<RolloutId, Arc<Standing>>,
    servers: imbl::OrdMap<u64, Arc<ServerRecord>>,
}

/// The open rollouts of a pin set.
#[derive(Clone, Debug, Default)]
pub struct OpenRollouts {
    /// In the order of their creation.
    pub rollouts: Vec<Arc<Rollout>>,
    /// The revision at which any rollout of the set last changed.
    pub changed: Revision,
}

impl Snapshot {
    /// Takes in a change that is durable.
    ///
    /// # Errors
    /// [`Error::Damaged`] for a record that cannot be read.
    pub fn apply(
        &mut self,
        puts: &[Entry],
        deletes: &[Key],
        revision: Revision,
    ) -> Result<(), Error> {
        let mut touched_sets: Vec<PinSetName> = Vec::new();
        for entry in puts {
            self.put(entry, &mut touched_sets)?;
        }
        for key in deletes {
            self.delete(key);
        }
        for name in touched_sets {
            self.assemble(&name);
        }
        let keys = puts.iter().map(|entry| &entry.key).chain(deletes);
        self.assemble_candidates(keys);
        self.revision = self.revision.max(revision);
        Ok(())
    }

    fn put(&mut self, entry: &Entry, touched_sets: &mut Vec<PinSetName>) -> Result<(), Error> {
        let key = &entry.key;
        let text = key.as_str();
        if text.starts_with(keys::SET) {
            let stored: Stored<PinSetRecord> = stored(entry)?;
            touched_sets.push(stored.record.name.clone());
            self.sets.insert(key.clone(), stored);
        } else if text.starts_with(keys::BASE) {
            let chunk: BaselineChunk = decode(key, &entry.value)?;
            let pins = chunk.parse().map_err(|cause| Error::Damaged {
                key: key.to_string(),
                cause,
            })?;
            self.chunks
                .insert(key.clone(), Arc::new((pins, chunk.verbatim)));
        } else if text.starts_with(keys::BLOCK) {
            self.blocks.insert(key.clone(), stored(entry)?);
        } else if text.starts_with(keys::REQUIRES) {
            self.requires
                .insert(key.clone(), Arc::new(decode(key, &entry.value)?));
        } else if text.starts_with(keys::WANT) {
            self.wants.insert(key.clone(), stored(entry)?);
        } else if text.starts_with(keys::ROLLOUT) {
            self.put_rollout(stored(entry)?);
        } else if text.starts_with(keys::GATE) {
            let gate: Stored<Gate> = stored(entry)?;
            if let Some(rollout) = keys::rollout_of_gate(key) {
                let place = (rollout, gate.record.consumer.clone());
                self.gates.insert(place, gate);
            }
        } else if text.starts_with(keys::ENDED) {
            self.put_ended(stored(entry)?);
        } else if text.starts_with(keys::FILING) {
            self.filings.insert(key.clone(), stored(entry)?);
        } else if text.starts_with(keys::NOTICE) {
            self.notices.insert(key.clone(), stored(entry)?);
        } else if text.starts_with(keys::ENVIRONMENT) {
            self.put_environment(stored(entry)?);
        } else if text.starts_with(keys::TOKEN) {
            self.tokens.insert(key.clone(), stored(entry)?);
        } else if text.starts_with(keys::LEFT) {
            let LeftRecord { ordinal, draw } = decode(key, &entry.value)?;
            if let Some((rollout, _)) = keys::place_of_left(key) {
                self.left.insert((rollout, ordinal), draw);
            }
        } else if text.starts_with(keys::DRAW_KEY) {
            self.ordinals
                .insert(key.clone(), decode(key, &entry.value)?);
        } else if text.starts_with(keys::ASK) {
            self.asks.insert(key.clone(), stored(entry)?);
        } else if text.starts_with(keys::STANDING) {
            let StandingRecord { standing } = decode(key, &entry.value)?;
            if let Some(rollout) = keys::rollout_of_standing(key) {
                self.standings.insert(rollout, Arc::new(standing));
            }
        } else if text.starts_with(keys::SERVER) {
            let server: ServerRecord = decode(key, &entry.value)?;
            self.servers.insert(server.process, Arc::new(server));
        } else if *key == keys::head() {
            self.head = entry.modified;
        }
        Ok(())
    }

    fn put_rollout(&mut self, stored: Stored<Rollout>) {
        let open = self.open.entry(stored.record.pin_set.clone()).or_default();
        open.changed = open.changed.max(stored.modified);
        open.rollouts
            .retain(|rollout| rollout.id != stored.record.id);
        if stored.record.state.is_open() {
            open.rollouts.push(Arc::clone(&stored.record));
            open.rollouts
                .sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        }
        self.forget_combinations(&stored.record.pin_set);
        self.rollouts.insert(stored.record.id.clone(), stored);
    }

    fn put_ended(&mut self, stored: Stored<Ended>) {
        let Ended {
            pin_set, rollout, ..
        } = stored.record.as_ref();
        let place = (pin_set.clone(), rollout.clone());
        match &stored.record.returning {
            Some(returning) if !returning.is_over => self.returning.insert(place),
            _ => self.returning.remove(&place),
        };
        self.ended.insert(stored.record.rollout.clone(), stored);
    }

    fn put_environment(&mut self, stored: Stored<EnvironmentRecord>) {
        let id = stored.record.id.clone();
        self.forget_member(&id);
        self.members
            .entry(stored.record.ordinal)
            .or_default()
            .insert(id.clone());
        let pulls = Arc::default();
        self.environments
            .insert(id, EnvironmentEntry { stored, pulls });
    }

    fn forget_member(&mut self, id: &EnvironmentId) {
        if let Some(ordinal) = self
            .environments
            .get(id)
            .map(|entry| entry.stored.record.ordinal)
            && let Some(members) = self.members.get_mut(&ordinal)
        {
            members.remove(id);
            if members.is_empty() {
                self.members.remove(&ordinal);
            }
        }
    }

    fn delete(&mut self, key: &Key) {
        self.blocks.remove(key);
        self.notices.remove(key);
        self.tokens.remove(key);
        self.chunks.remove(key);
        self.requires.remove(key);
        self.wants.remove(key);
        self.ordinals.remove(key);
        self.asks.remove(key);
        if let Some(rollout) = keys::rollout_of_standing(key) {
            self.standings.remove(&rollout);
        }
        if let Some(process) = keys::process_of_server(key) {
            self.servers.remove(&process);
        }
        if let Some(id) = key
            .as_str()
            .strip_prefix(keys::ENVIRONMENT)
            .and_then(|id| id.parse().ok())
        {
            self.forget_member(&id);
            self.environments.remove(&id);
        }
        if let Some(place) = keys::place_of_left(key) {
            self.left.remove(&place);
        }
    }

    /// Puts every pin set together, once everything that the store holds was taken in.
    pub fn reassemble(&mut self) {
        let names: Vec<PinSetName> = self
            .sets
            .values()
            .map(|set| set.record.name.clone())
            .collect();
        names.iter().for_each(|name| self.assemble(name));
    }

    /// Puts a pin set together from its record and its parts.
    fn assemble(&mut self, name: &PinSetName) {
        let Some(stored) = self.sets.get(&keys::pin_set(name)).cloned() else {
            return;
        };
        let mut baseline = Pins::default();
        let mut verbatim = Vec::new();
        for chunk in (0..stored.record.chunks)
            .filter_map(|chunk| self.chunks.get(&keys::baseline(name, chunk)))
        {
            for pin in &chunk.0 {
                baseline.insert(pin.clone());
            }
            verbatim.extend(chunk.1.iter().cloned());
        }
        let before = self.pin_sets.get(name);
        let entry = PinSetEntry {
            stored,
            baseline: Arc::new(baseline),
            verbatim: Arc::new(verbatim),
            requirements: before
                .map(|entry| Arc::clone(&entry.requirements))
                .unwrap_or_default(),
            queue: before
                .map(|entry| Arc::clone(&entry.queue))
                .unwrap_or_default(),
            combinations: Arc::default(),
        };
        self.pin_sets.insert(name.clone(), entry);
    }

    /// A pin set.
    pub fn pin_set(&self, name: &PinSetName) -> Option<&PinSetEntry> {
        self.pin_sets.get(name)
    }

    /// The freeze of a pin set that holds, if any.
    pub fn freeze(&self, pin_set: &PinSetName, now: Timestamp) -> Option<&StandingFreeze> {
        let freeze = self.pin_set(pin_set)?.stored.record.freeze.as_ref();
        freeze.filter(|freeze| freeze.holds(now))
    }

    /// Every pin set, by name.
    pub fn pin_sets(&self) -> impl Iterator<Item = &PinSetEntry> {
        self.pin_sets.values()
    }

    /// A rollout.
    pub fn rollout(&self, id: &RolloutId) -> Option<&Stored<Rollout>> {
        self.rollouts.get(id)
    }

    /// Every rollout.
    pub fn rollouts(&self) -> impl Iterator<Item = &Stored<Rollout>> {
        self.rollouts.values()
    }

    /// What is kept of the end of every rollout that has ended; what follows from the rollout alone of those that did
    /// before that was kept.
    pub fn ended(&self) -> impl Iterator<Item = Arc<Ended>> {
        self.rollouts().filter_map(|stored| {
            let rollout = &stored.record;
            match self.ended.get(&rollout.id) {
                Some(ended) => Some(Arc::clone(&ended.record)),
                None => Ended::of(rollout).map(Arc::new),
            }
        })
    }

    /// Ends of rollouts whose environments are not all back on the baseline yet.
    pub fn returning(&self) -> impl Iterator<Item = &Stored<Ended>> {
        self.returning
            .iter()
            .filter_map(|(_, rollout)| self.ended.get(rollout))
    }

    /// Whether environments of a pin set are not all back on the baseline yet.
    pub fn awaits_returns(&self, pin_set: &PinSetName) -> bool {
        self.returning.iter().any(|(waiting, _)| waiting == pin_set)
    }

    /// The rollouts of a pin set that have not ended, in the order of their creation.
    pub fn open_rollouts(&self, pin_set: &PinSetName) -> &[Arc<Rollout>] {
        self.open.get(pin_set).map_or(&[], |open| &open.rollouts)
    }

    /// Every rollout that has not ended.
    pub fn all_open_rollouts(&self) -> impl Iterator<Item = &Arc<Rollout>> {
        self.open.values().flat_map(|open| &open.rollouts)
    }

    /// The revision at which a rollout of the pin set last changed.
    pub fn rollouts_changed(&self, pin_set: &PinSetName) -> Revision {
        self.open.get(pin_set).map_or(0, |open| open.changed)
    }

    /// An environment.
    pub fn environment(&self, id: &EnvironmentId) -> Option<&EnvironmentEntry> {
        self.environments.get(id)
    }

    /// Every environment.
    pub fn environments(&self) -> impl Iterator<Item = &Arc<EnvironmentRecord>> {
        self.environments.values().map(|entry| &entry.stored.record)
    }

    /// The environments that share an ordinal.
    pub fn members(&self, ordinal: Ordinal) -> impl Iterator<Item = &Arc<EnvironmentRecord>> {
        self.members
            .get(&ordinal)
            .into_iter()
            .flatten()
            .filter_map(|id| self.environments.get(id))
            .map(|entry| &entry.stored.record)
    }

    /// The position of a draw key in a rollout, also once its last environment has left; none if it never
    /// had one.
    pub fn draw(&self, rollout: &Rollout, ordinal: Ordinal) -> Option<Draw> {
        match self.members(ordinal).next() {
            Some(member) => Some(rollout.seed.draw(member.draw_key())),
            None => {
                let left = self.left.get(&(rollout.id.clone(), ordinal));
                left.map(|draw| Draw::clamped(*draw))
            }
        }
    }

    /// Whether nobody who has the draw key reports any more: they have left, or withdrew their consent.
    pub fn is_gone(&self, ordinal: Ordinal) -> bool {
        self.members(ordinal).all(|member| !member.reporting)
    }

    /// Positions that were kept for rollouts which have ended since.
    pub fn left_behind(&self) -> impl Iterator<Item = Key> {
        self.left
            .keys()
            .filter(|(rollout, _)| {
                self.rollout(rollout)
                    .is_none_or(|rollout| !rollout.record.state.is_open())
            })
            .map(|(rollout, ordinal)| keys::left(rollout, *ordinal))
    }

    /// The revision of the last control transaction; 0 before the first.
    pub const fn head(&self) -> Revision {
        self.head
    }

    /// What was asked of rollouts at servers that do not lead, the oldest first.
    pub fn asks(&self) -> Vec<(&Key, &Stored<AskRecord>)> {
        let mut asks: Vec<_> = self.asks.iter().collect();
        asks.sort_by_key(|(key, ask)| (ask.record.at, *key));
        asks
    }

    /// Something that was asked of a rollout at a server that does not lead.
    pub fn ask(&self, key: &Key) -> Option<&Stored<AskRecord>> {
        self.asks.get(key)
    }

    /// How an open rollout fares, as the server that leads told.
    pub fn standing(&self, rollout: &RolloutId) -> Option<&Arc<Standing>> {
        self.standings.get(rollout)
    }

    /// Rollouts of which the server that leads told how they fare.
    pub fn standings(&self) -> impl Iterator<Item = (&RolloutId, &Arc<Standing>)> {
        self.standings.iter()
    }

    /// What a server last said of itself.
    pub fn server(&self, process: u64) -> Option<&Arc<ServerRecord>> {
        self.servers.get(&process)
    }

    /// Servers that have said that they run, and not that they stop.
    pub fn servers(&self) -> impl Iterator<Item = &Arc<ServerRecord>> {
        self.servers.values()
    }

    /// A token by its key.
    pub fn token(&self, key: &Key) -> Option<&Stored<TokenRecord>> {
        self.tokens.get(key)
    }

    /// Every token with its key.
    pub fn tokens(&self) -> impl Iterator<Item = (&Key, &Stored<TokenRecord>)> {
        self.tokens.iter()
    }

    /// The ordinal of a draw key of a pin set, also of one whose last environment has left while an open rollout
    /// still counts what it did: whoever comes back under a shared key is no new one.
    pub fn ordinal(&self, pin_set: &PinSetName, draw_key: &str) -> Option<Ordinal> {
        let known = self.ordinals.get(&keys::draw_key(pin_set, draw_key));
        known.copied().or_else(|| {
            let open = self.open_rollouts(pin_set).iter();
            open.filter_map(|rollout| self.left_at(rollout, draw_key))
                .next()
        })
    }

    /// Who has left from a draw key's position in a rollout.
    fn left_at(&self, rollout: &Rollout, draw_key: &str) -> Option<Ordinal> {
        let draw = rollout.seed.draw(draw_key).value();
        let place = |ordinal| (rollout.id.clone(), Ordinal(ordinal));
        self.left
            .range(place(0)..=place(u32::MAX))
            .find(|(_, left)| (**left - draw).abs() < SAME_DRAW)
            .map(|((_, ordinal), _)| *ordinal)
    }

    /// The blocks of a pin set, by package and version.
    pub fn blocks(&self, pin_set: &PinSetName) -> Vec<&Stored<BlockRecord>> {
        let mut blocks: Vec<_> = self
            .blocks
            .values()
            .filter(|block| block.record.pin_set == *pin_set)
            .collect();
        blocks.sort_by(|a, b| {
            (&a.record.package, a.record.version.as_str())
                .cmp(&(&b.record.package, b.record.version.as_str()))
        });
        blocks
    }

    /// The block of a version, if there is one.
    pub fn block(
        &self,
        pin_set: &PinSetName,
        package: &PackageName,
        version: &Version,
    ) -> Option<&Stored<BlockRecord>> {
        self.blocks.values().find(|block| {
            block.record.pin_set == *pin_set
                && block.record.package == *package
                && block.record.version == *version
        })
    }

    /// The gate of a consumer in a rollout, once it has a record.
    pub fn gate(&self, rollout: &RolloutId, consumer: &ConsumerName) -> Option<&Stored<Gate>> {
        self.gates.get(&(rollout.clone(), consumer.clone()))
    }

    /// The gates of a rollout, in the order of its policy.
    pub fn gates(&self, rollout: &Rollout) -> Vec<Gate> {
        let gate = |consumer: &ConsumerName| match self.gate(&rollout.id, consumer) {
            Some(stored) => Gate::clone(&stored.record),
            None => Gate::new(consumer.clone()),
        };
        rollout.policy.gates.iter().map(gate).collect()
    }

    /// The gate that a lease is or was of, with its rollout.
    pub fn gate_of_lease(&self, lease: &LeaseId) -> Option<(&RolloutId, &Stored<Gate>)> {
        let mut gates = self.gates.iter();
        let found = gates.find(|(_, stored)| stored.record.knows(lease));
        found.map(|((rollout, _), stored)| (rollout, stored))
    }

    /// Every filing.
    pub fn filings(&self) -> impl Iterator<Item = &Stored<FilingRecord>> {
        self.filings.values()
    }

    /// Every notice, in no particular order.
    pub fn notices(&self) -> impl Iterator<Item = &Stored<NoticeRecord>> {
        self.notices.values()
    }

    /// A notice.
    pub fn notice(&self, id: &NoticeId) -> Option<&Stored<NoticeRecord>> {
        self.notices.get(&keys::notice(id))
    }

    /// The filing of a rollout, in its last attempt.
    pub fn filing_of(&self, rollout: &RolloutId) -> Option<&Stored<FilingRecord>> {
        self.filings
            .values()
            .filter(|filing| filing.record.rollout == *rollout)
            .max_by_key(|filing| filing.record.attempt)
    }

    /// Environments of a pin set: all, and those that agreed to reporting.
    pub fn environment_counts(&self, pin_set: &PinSetName) -> (u32, u32) {
        let mut counts = (0, 0);
        for environment in self
            .environments()
            .filter(|environment| environment.pin_set == *pin_set)
        {
            counts.0 += 1;
            counts.1 += u32::from(environment.reporting);
        }
        counts
    }
}

impl Snapshot {
    /// The draw keys of which an environment volunteers for a rollout.
    ///
    /// Environments that share a draw key are one unit of the evidence, so that one who volunteers takes all
    /// of them out of it: what the unit shows would be partly by choice.
    pub fn volunteers(&self, rollout: &Rollout) -> BTreeSet<Ordinal> {
        let of_pin_set = self
            .environments()
            .filter(|environment| environment.pin_set == rollout.pin_set);
        of_pin_set
            .filter(|environment| subject(environment).volunteers_for(rollout))
            .map(|environment| environment.ordinal)
            .collect()
    }

    /// Whether an environment of a draw key volunteers for a rollout.
    pub fn has_volunteer(&self, ordinal: Ordinal, rollout: &Rollout) -> bool {
        self.members(ordinal)
            .any(|environment| subject(environment).volunteers_for(rollout))
    }
}

fn stored<T: DeserializeOwned>(entry: &Entry) -> Result<Stored<T>, Error> {
    Ok(Stored {
        record: Arc::new(decode(&entry.key, &entry.value)?),
        modified: entry.modified,
    })
}

/// How core sees an environment.
pub fn subject(environment: &EnvironmentRecord) -> Subject<'_> {
    Subject {
        draw_key: environment.draw_key(),
        reporting: environment.reporting,
        holds: &environment.holds,
        volunteers: &environment.volunteers,
    }
}
