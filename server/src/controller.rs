//! What is asked of us: every request of a person or an environment, understood and authorised.
//!
//! A change reads the snapshot, commits on the condition that what it read is still true, and shows the
//! snapshot what it wrote once that is durable. No request decides a promotion.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use pinion_core::evidence::Ordinal;
use pinion_core::name::{EnvironmentId, ForgeName, PinSetName, RolloutId};
use pinion_core::rollout::Rollout;
use pinion_core::state::Actor;
use pinion_core::time::Timestamp;
use tokio::sync::{RwLock, mpsc, oneshot, watch};

use crate::clock::Clock;
use crate::config::PublicUrl;
use crate::forge::Registry;
use crate::index::Indexes;
use crate::loops::Wake;
use crate::loops::promotion::{Ask, Command, Yanked};
use crate::metrics::Metrics;
use crate::random::Random;
use crate::snapshot::Snapshot;
use crate::store::records::{JournalRecord, Role};
use crate::store::{
    Commit, Condition, Entry, Error, Key, Operation, PAGE_MAX, Revision, Store, TXN_ITEMS_MAX,
    Transaction, keys,
};

mod approvals;
mod audit;
mod blocks;
mod decisions;
mod effects;
mod environments;
mod exposure;
mod figures;
mod filings;
mod freezes;
mod gates;
mod import;
mod indexes;
mod outcomes;
mod pin_sets;
mod pins;
mod policies;
mod queue;
mod refusal;
mod requires;
mod rollouts;
mod sources;
mod tokens;
mod tracking;

pub(crate) use approvals::{check_approved, not_taken};
pub use audit::{AuditChecked, AuditQuery};
pub use blocks::Lift;
pub use decisions::{DecisionFilter, DecisionPage, DecisionPlace, LoggedDecision};
pub use environments::{Change as EnvironmentChange, Enrolment};
pub use exposure::Exposure;
pub use figures::FiguresQuery;
pub(crate) use figures::OVER;
pub use filings::ForgeListing;
pub use gates::{GateReport, GateStanding, GateTaken, Leased};
pub use indexes::IndexListing;
pub use outcomes::{REPORTS_MAX, Report, Taken};
pub(crate) use outcomes::{SEEN_DAYS, order};
pub use pin_sets::{Import, Imported, NewerVersions, UnkeptLines};
pub(crate) use pins::changes_in_words;
pub use pins::{Explained, Explanation, PinsAnswer, PinsQuery};
pub use policies::{Resolve, Resolved};
pub use queue::{Planned, Verdict};
pub use refusal::Refusal;
pub use requires::Declared;
pub use rollouts::{Candidate, MissingApprovals, NewRollout, Standing, Verb};
pub(crate) use rollouts::{Exposure as NotedExposure, Note, logged};
pub use sources::Following;
pub(crate) use sources::{Followed, in_words};
pub use tokens::{Caller, NewToken};
pub use tracking::Tracking;
pub(crate) use tracking::{Known, Said, Unread};

/// A journal record that is durable, on its way to the fold.
#[derive(Debug)]
pub struct Journaled {
    /// Its key.
    pub key: Key,
    /// The revision of its commit.
    pub revision: Revision,
    /// What it holds.
    pub record: JournalRecord,
}

/// What requests leave for the promotion loop.
#[derive(Debug)]
pub struct Inbox {
    /// Journal records that are durable.
    pub journaled: mpsc::UnboundedReceiver<Journaled>,
    /// Draw keys that pulled pins.
    pub pulls: mpsc::UnboundedReceiver<Ordinal>,
}

/// What every request works on.
pub struct Controller {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) metrics: Arc<Metrics>,
    snapshot: ArcSwap<Snapshot>,
    /// Held while a control record is read, committed and shown, so that one process does not conflict with itself.
    writer: tokio::sync::Mutex<()>,
    /// Held while waiting versions are started, so that none is started twice.
    starting: tokio::sync::Mutex<()>,
    /// Rises when the snapshot or what is known of a rollout changes.
    changed: watch::Sender<u64>,
    /// The number of this process.
    process: u64,
    journal: outcomes::Journal,
    standings: ArcSwap<HashMap<RolloutId, Arc<Standing>>>,
    last_uses: Mutex<HashMap<Key, Timestamp>>,
    wake_promotion: Wake,
    wake_filing: Wake,
    pub(crate) forges: Registry,
    /// Where people reach this server, if that is known.
    public_url: Option<PublicUrl>,
    followings: sources::Followings,
    pub(crate) indexes: Indexes,
    watched: tracking::Watched,
    /// Forges that said that something has happened there.
    spoken: Mutex<BTreeSet<ForgeName>>,
    wake_sources: Wake,
    pulls: mpsc::UnboundedSender<Ordinal>,
    to_promotion: mpsc::Sender<Command>,
}

impl fmt::Debug for Controller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Controller")
            .field("process", &self.process)
            .finish_non_exhaustive()
    }
}

/// What a controller is made of.
#[derive(Debug)]
pub struct Parts {
    /// Durable state.
    pub store: Arc<dyn Store>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Ids, secrets and seeds.
    pub random: Arc<dyn Random>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Wakes the promotion loop.
    pub wake_promotion: Wake,
    /// Wakes the filing loop.
    pub wake_filing: Wake,
    /// Wakes the source loop.
    pub wake_sources: Wake,
    /// Forges that a source may name.
    pub forges: Registry,
    /// Where versions are published.
    pub indexes: Indexes,
    /// Where people reach this server.
    pub public_url: Option<PublicUrl>,
    /// Where the promotion loop takes what people ask.
    pub to_promotion: mpsc::Sender<Command>,
}

impl Controller {
    /// A controller with everything that the store holds, and the way by which journal records reach the fold.
    ///
    /// # Errors
    /// If a record cannot be read.
    pub async fn load(parts: Parts) -> Result<(Arc<Self>, Inbox), Error> {
        let mut snapshot = Snapshot::default();
        for prefix in keys::CONTROL_PREFIXES {
            let entries = read_all(parts.store.as_ref(), prefix).await?;
            let revision = entries
                .iter()
                .map(|entry| entry.modified)
                .max()
                .unwrap_or(0);
            snapshot.apply(&entries, &[], revision)?;
        }
        snapshot.reassemble();
        let process = number_of_process(parts.store.as_ref()).await?;
        let (journal, journaled) = outcomes::Journal::load(parts.store.as_ref()).await?;
        let (pulls, pulled) = mpsc::unbounded_channel();
        let controller = Self {
            store: parts.store,
            clock: parts.clock,
            random: parts.random,
            metrics: parts.metrics,
            snapshot: ArcSwap::from_pointee(snapshot),
            writer: tokio::sync::Mutex::new(()),
            starting: tokio::sync::Mutex::new(()),
            changed: watch::Sender::new(0),
            process,
            journal,
            standings: ArcSwap::default(),
            last_uses: Mutex::default(),
            wake_promotion: parts.wake_promotion,
            wake_filing: parts.wake_filing,
            forges: parts.forges,
            public_url: parts.public_url,
            followings: sources::Followings::default(),
            indexes: parts.indexes,
            watched: tracking::Watched::default(),
            spoken: Mutex::default(),
            wake_sources: parts.wake_sources,
            pulls,
            to_promotion: parts.to_promotion,
        };
        Ok((
            Arc::new(controller),
            Inbox {
                journaled,
                pulls: pulled,
            },
        ))
    }

    /// What is served now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// The page of a rollout, for people elsewhere; none where it is not known where they reach this server.
    pub(crate) fn page_of(&self, rollout: &RolloutId) -> Option<String> {
        let url = self.public_url.as_ref()?;
        Some(url.page(&format!("rollouts/{rollout}")))
    }

    /// Tells when the snapshot or what is known of a rollout has changed.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    pub(crate) fn note_change(&self) {
        self.changed.send_modify(|n| *n += 1);
    }

    /// What is known of each open rollout, as of the last tick.
    pub fn standing(&self, id: &RolloutId) -> Option<Arc<Standing>> {
        self.standings.load().get(id).cloned()
    }

    pub(crate) fn show_standings(&self, standings: HashMap<RolloutId, Arc<Standing>>) {
        if **self.standings.load() != standings {
            self.standings.store(Arc::new(standings));
            self.note_change();
        }
    }

    /// Waits for the right to change control records.
    pub(crate) async fn lock(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.writer.lock().await
    }

    /// Commits what was made on the present snapshot, and shows it. The caller holds the lock.
    ///
    /// # Errors
    /// [`Refusal::Stale`] if another process was faster.
    pub(crate) async fn commit(&self, draft: Draft) -> Result<Revision, Refusal> {
        let Draft {
            conditions,
            operations,
        } = draft;
        if operations.len().max(conditions.len()) > TXN_ITEMS_MAX {
            return Err(Refusal::Exhausted {
                cause: format!(
                    "{} records would change at once, and {TXN_ITEMS_MAX} may",
                    operations.len()
                ),
                hint: "do it in smaller steps".to_owned(),
            });
        }
        let transaction = Transaction {
            conditions,
            operations: operations.clone(),
        };
        match self.store.commit(transaction).await? {
            Commit::Conflict => Err(Refusal::Stale {
                what: "the record".to_owned(),
                now: "changed by another request meanwhile".to_owned(),
            }),
            Commit::Done(revision) => {
                let mut next = Snapshot::clone(&self.snapshot.load());
                let (puts, deletes) = split(operations, revision);
                next.apply(&puts, &deletes, revision)?;
                self.snapshot.store(Arc::new(next));
                self.note_change();
                Ok(revision)
            }
        }
    }

    /// Notes that a draw key pulled pins; the loop makes it durable.
    pub(crate) fn note_poll(&self, ordinal: Ordinal) {
        // Without the loop nothing is decided, so nothing is missed.
        let _ = self.pulls.send(ordinal);
    }

    /// Asks the promotion loop for a step, and waits until it is durable.
    pub(crate) async fn ask_promotion(
        &self,
        rollout: RolloutId,
        verb: Verb,
        actor: Actor,
        words: String,
        expected_revision: u64,
    ) -> Result<Arc<Rollout>, Refusal> {
        let (answer, answered) = oneshot::channel();
        let ask = Ask {
            rollout,
            verb,
            actor,
            words,
            expected_revision,
            answer,
        };
        let stopping = || Refusal::Store(Error::Unavailable("the server is stopping".to_owned()));
        self.to_promotion
            .send(Command::Ask(ask))
            .await
            .map_err(|_| stopping())?;
        answered.await.map_err(|_| stopping())?
    }

    /// Tells the promotion loop of a version on trial that was taken back.
    pub(crate) async fn tell_yanked(&self, yanked: Yanked) {
        // A loop that has stopped is told again after the next start.
        let _ = self.to_promotion.send(Command::Yanked(yanked)).await;
    }

    /// Waits until the promotion loop has counted and decided everything that is acknowledged now.
    pub async fn tick(&self) {
        let (done, over) = oneshot::channel();
        if self.to_promotion.send(Command::Tick(done)).await.is_ok() {
            // A loop that stops meanwhile has nothing more to decide.
            let _ = over.await;
        }
    }

    pub(crate) fn wake_promotion(&self) {
        self.wake_promotion.wake();
    }

    /// Notes that something has happened on a forge: its files are read and its changes looked at soon.
    pub(crate) fn forge_spoke(&self, forge: &ForgeName) {
        let spoken = self.spoken.lock();
        spoken
            .unwrap_or_else(PoisonError::into_inner)
            .insert(forge.clone());
        self.wake_filing.wake();
        self.wake_sources.wake();
    }

    /// The forges that spoke since this was last asked.
    pub(crate) fn take_spoken(&self) -> BTreeSet<ForgeName> {
        let spoken = self.spoken.lock();
        std::mem::take(&mut spoken.unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn wake_filing(&self) {
        self.wake_filing.wake();
    }
}

/// Operations as the entries and keys that the snapshot takes.
fn split(operations: Vec<Operation>, revision: Revision) -> (Vec<Entry>, Vec<Key>) {
    let (mut puts, mut deletes) = (Vec::new(), Vec::new());
    for operation in operations {
        match operation {
            Operation::Put(key, value) => puts.push(Entry {
                key,
                value,
                created: revision,
                modified: revision,
            }),
            Operation::Delete(key) => deletes.push(key),
        }
    }
    (puts, deletes)
}

/// A transaction in the making.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    conditions: Vec<Condition>,
    operations: Vec<Operation>,
}

impl Draft {
    pub(crate) const fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    pub(crate) const fn len(&self) -> usize {
        self.operations.len()
    }

    pub(crate) fn require(&mut self, condition: Condition) {
        self.conditions.push(condition);
    }

    pub(crate) fn put(&mut self, key: Key, value: bytes::Bytes) {
        self.operations.push(Operation::Put(key, value));
    }

    /// Puts a record that must not exist yet.
    pub(crate) fn create(&mut self, key: Key, value: bytes::Bytes) {
        self.require(Condition::Absent(key.clone()));
        self.put(key, value);
    }

    /// Puts a record that must still be as it was read.
    pub(crate) fn replace(&mut self, key: Key, read: Revision, value: bytes::Bytes) {
        self.require(Condition::Modified(key.clone(), read));
        self.put(key, value);
    }

    pub(crate) fn delete(&mut self, key: Key) {
        self.operations.push(Operation::Delete(key));
    }
}

/// Every entry under a prefix.
///
/// # Errors
/// If the store cannot be read.
pub(crate) async fn read_all(store: &dyn Store, prefix: &str) -> Result<Vec<Entry>, Error> {
    let mut entries: Vec<Entry> = Vec::new();
    loop {
        let page = store
            .page(prefix, entries.last().map(|entry| &entry.key), PAGE_MAX)
            .await?;
        entries.extend(page.entries);
        if !page.more {
            return Ok(entries);
        }
    }
}

/// A number that no process before had: journal keys with it are ours alone.
async fn number_of_process(store: &dyn Store) -> Result<u64, Error> {
    let key = keys::next_process();
    loop {
        let found = store.get(&key).await?;
        let (condition, number) = match &found {
            Some(entry) => (
                Condition::Modified(key.clone(), entry.modified),
                crate::store::records::decode(&key, &entry.value)?,
            ),
            None => (Condition::Absent(key.clone()), 1u64),
        };
        let next = Operation::Put(key.clone(), crate::store::records::encode(&(number + 1)));
        let claim = Transaction {
            conditions: vec![condition],
            operations: vec![next],
        };
        if let Commit::Done(_) = store.commit(claim).await? {
            return Ok(number);
        }
    }
}

/// Who asks, once that is known.
#[derive(Clone, Debug)]
pub struct Identity {
    /// In logs and decisions.
    pub actor: Actor,
    /// What it may do.
    pub role: Role,
    /// The only pin set it is good for.
    pub pin_set: Option<PinSetName>,
    /// The environment whose own token it is.
    pub environment: Option<EnvironmentId>,
}

impl Identity {
    /// Fails unless the role is one of `allowed`; an admin is always allowed.
    ///
    /// # Errors
    /// [`Refusal::WrongRole`], naming what is needed.
    pub fn require(&self, allowed: &[Role]) -> Result<(), Refusal> {
        let includes = |role: &Role| {
            self.role == *role
                || self.role == Role::Admin
                || (self.role == Role::ReleaseManager && *role == Role::Viewer)
        };
        if allowed.iter().any(includes) {
            return Ok(());
        }
        Err(Refusal::WrongRole {
            has: self.role,
            needs: allowed.to_vec(),
        })
    }

    /// Fails unless the token is good for the pin set.
    ///
    /// # Errors
    /// [`Refusal::OtherPinSet`].
    pub fn require_pin_set(&self, pin_set: &PinSetName) -> Result<(), Refusal> {
        match &self.pin_set {
            Some(own) if own != pin_set => Err(Refusal::OtherPinSet {
                own: own.clone(),
                asked: pin_set.clone(),
            }),
            _ => Ok(()),
        }
    }
}

/// Held by a request that journals, so that a tick can wait until every acknowledged record is on its way.
pub(crate) type Gate = RwLock<()>;
