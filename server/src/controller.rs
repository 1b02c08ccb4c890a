//! What is asked of us: every request of a person or an environment, understood and authorised.
//!
//! A change reads the snapshot, commits on the condition that what it read is still true, and shows the
//! snapshot what it wrote once that is durable. No request decides a promotion.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::{ArcSwap, ArcSwapOption};
use pinion_core::name::{EnvironmentId, ForgeName, PinSetName, RolloutId};
use pinion_core::notice::Notice;
use pinion_core::rollout::Rollout;
use pinion_core::state::Actor;
use pinion_core::time::Timestamp;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::clock::Clock;
use crate::config::PublicUrl;
use crate::forge::Registry;
use crate::index::Indexes;
use crate::loops::Wake;
use crate::loops::promotion::{Ask, Command, Yanked};
use crate::metrics::Metrics;
use crate::notice::Routes;
use crate::random::Random;
use crate::snapshot::{Follower, Snapshot};
use crate::store::records::{AskRecord, Role, ServerRecord, decode, encode};
use crate::store::{
    Commit, Condition, Entry, Error, Key, Operation, PAGE_MAX, Revision, Store, TXN_BYTES_MAX,
    Transaction, keys,
};

/// Records that one transaction of ours may change, at most; the head and a lease may come to them.
pub(crate) const DRAFT_ITEMS_MAX: usize = 100;

mod approvals;
mod audit;
mod blocks;
mod decisions;
mod effects;
mod environments;
mod exports;
mod exposure;
mod figures;
mod filings;
mod freezes;
mod gates;
mod import;
mod indexes;
mod notices;
mod outcomes;
mod pin_sets;
mod pins;
mod policies;
mod queue;
pub(crate) mod race;
mod refusal;
mod replicas;
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
pub use notices::{NoticeFilter, RouteListing, Tested};
pub(crate) use outcomes::{Journaled, SEEN_DAYS, order};
pub use outcomes::{REPORTS_MAX, Report, Taken};
pub use pin_sets::{Import, Imported, NewerVersions, UnkeptLines};
pub use pinion_core::ask::{MissingApprovals, Verb};
pub use pinion_core::standing::Standing;
pub(crate) use pins::changes_in_words;
pub use pins::{Explained, Explanation, PinsAnswer, PinsQuery};
pub use policies::{Resolve, Resolved};
pub use queue::{Planned, Verdict};
pub use refusal::Refusal;
pub(crate) use replicas::unconditional;
pub use requires::Declared;
pub use rollouts::{Candidate, NewRollout};
pub(crate) use rollouts::{Exposure as NotedExposure, Note, logged};
pub use sources::Following;
pub(crate) use sources::{Followed, in_words};
pub use tokens::{Caller, NewToken};
pub use tracking::Tracking;
pub(crate) use tracking::{Known, Said, Unread};

/// What every request works on.
pub struct Controller {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) metrics: Arc<Metrics>,
    snapshot: ArcSwap<Snapshot>,
    /// The revision up to which control records are shown.
    shown: watch::Sender<Revision>,
    /// Held while a control record is read, committed and shown, so that one process does not conflict with itself.
    writer: tokio::sync::Mutex<()>,
    /// The last control transaction that the holder of `writer` knows of.
    known_head: AtomicU64,
    /// Whether other servers may write to the store too.
    shared: bool,
    /// When this process started, by its monotonic clock.
    started: Instant,
    /// How long after its start what is shown was last known to be everything, in milliseconds.
    fresh_ms: AtomicU64,
    /// When it was last looked for a token that was unknown.
    looked: Mutex<Option<Instant>>,
    /// The token of the lease, while this server leads.
    fence: ArcSwapOption<Condition>,
    /// What was asked here of the server that leads, and waits for its answer.
    asks: AtomicU64,
    /// Held while waiting versions are started, so that none is started twice.
    starting: tokio::sync::Mutex<()>,
    /// Rises when the snapshot or what is known of a rollout changes.
    changed: watch::Sender<u64>,
    /// Rises when somebody's pins may have changed.
    pins_changed: watch::Sender<u64>,
    /// The number of this process.
    process: u64,
    journal: outcomes::Journal,
    standings: ArcSwap<HashMap<RolloutId, Arc<Standing>>>,
    last_uses: Mutex<HashMap<Key, Timestamp>>,
    wake_promotion: Wake,
    wake_filing: Wake,
    pub(crate) forges: Registry,
    pub(crate) routes: Routes,
    /// Keeps the ids of notices of one moment in order; begins again after 65,535.
    notices_so_far: AtomicU16,
    /// Where people reach this server, if that is known.
    public_url: Option<PublicUrl>,
    followings: sources::Followings,
    pub(crate) indexes: Indexes,
    watched: tracking::Watched,
    /// Forges that said that something has happened there.
    spoken: Mutex<BTreeSet<ForgeName>>,
    wake_sources: Wake,
    pulls: outcomes::Pulls,
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
    /// By which people are told.
    pub routes: Routes,
    /// Where versions are published.
    pub indexes: Indexes,
    /// Where people reach this server.
    pub public_url: Option<PublicUrl>,
    /// Where the promotion loop takes what people ask.
    pub to_promotion: mpsc::Sender<Command>,
    /// Whether other servers may write to the store too.
    pub shared: bool,
}

impl Controller {
    /// A controller with everything that the store holds, and who keeps it so.
    ///
    /// # Errors
    /// If a record cannot be read.
    pub(crate) async fn load(parts: Parts) -> Result<(Arc<Self>, Follower), Error> {
        relocate(parts.store.as_ref()).await?;
        let (process, _) = claim_number(parts.store.as_ref()).await?;
        let (now, started) = (parts.clock.now(), Instant::now());
        let server = ServerRecord {
            process,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: now,
            at: now,
            mark: 0,
        };
        let (follower, snapshot) =
            Follower::start(Arc::clone(&parts.store), server, started).await?;
        // What was read is as fresh as the own mark that came along with it, however long it took.
        let mark = snapshot.server(process).map_or(0, |own| own.mark);
        let controller = Self {
            store: parts.store,
            clock: parts.clock,
            random: parts.random,
            metrics: parts.metrics,
            shown: watch::Sender::new(snapshot.revision),
            snapshot: ArcSwap::from_pointee(snapshot),
            writer: tokio::sync::Mutex::new(()),
            known_head: AtomicU64::new(0),
            shared: parts.shared,
            started,
            fresh_ms: AtomicU64::new(mark),
            looked: Mutex::default(),
            fence: ArcSwapOption::empty(),
            asks: AtomicU64::new(0),
            starting: tokio::sync::Mutex::new(()),
            changed: watch::Sender::new(0),
            pins_changed: watch::Sender::new(0),
            process,
            journal: outcomes::Journal::default(),
            standings: ArcSwap::default(),
            last_uses: Mutex::default(),
            wake_promotion: parts.wake_promotion,
            wake_filing: parts.wake_filing,
            forges: parts.forges,
            routes: parts.routes,
            notices_so_far: AtomicU16::new(0),
            public_url: parts.public_url,
            followings: sources::Followings::default(),
            indexes: parts.indexes,
            watched: tracking::Watched::default(),
            spoken: Mutex::default(),
            wake_sources: parts.wake_sources,
            pulls: outcomes::Pulls::default(),
            to_promotion: parts.to_promotion,
        };
        Ok((Arc::new(controller), follower))
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

    /// Tells when somebody's pins may have changed, which is much rarer.
    pub fn pin_changes(&self) -> watch::Receiver<u64> {
        self.pins_changed.subscribe()
    }

    pub(crate) fn note_change(&self) {
        self.changed.send_modify(|n| *n += 1);
    }

    /// What is known of each open rollout, as of the last tick of the server that leads.
    pub fn standing(&self, id: &RolloutId) -> Option<Arc<Standing>> {
        match self.leads() {
            true => self.standings.load().get(id).cloned(),
            false => self.snapshot().standing(id).cloned(),
        }
    }

    pub(crate) fn show_standings(&self, standings: HashMap<RolloutId, Arc<Standing>>) {
        if **self.standings.load() != standings {
            self.standings.store(Arc::new(standings));
            self.note_change();
        }
    }

    /// Waits for the right to change control records, on what is true then.
    pub(crate) async fn lock(&self) -> tokio::sync::MutexGuard<'_, ()> {
        let guard = self.writer.lock().await;
        if let Err(error) = self.catch_up().await {
            // Whatever is written on what is old is refused.
            tracing::warn!(%error, "what others wrote is not known");
        }
        self.known_head
            .store(self.snapshot().head(), Ordering::Relaxed);
        guard
    }

    /// Commits what was made on the present snapshot, on the condition that no control record has changed since, and
    /// waits until it is shown. The caller holds the lock.
    ///
    /// # Errors
    /// [`Refusal::Raced`] if another server was faster.
    pub(crate) async fn commit(&self, mut draft: Draft) -> Result<Revision, Refusal> {
        self.put_notices(&mut draft);
        draft.check()?;
        let head = self.known_head.load(Ordering::Relaxed);
        let next = encode(&head);
        match head {
            0 => draft.create(keys::head(), next),
            head => draft.replace(keys::head(), head, next),
        }
        let revision = self.write(draft).await?;
        self.known_head.store(revision, Ordering::Relaxed);
        Ok(revision)
    }

    /// Commits what depends on nothing but what it names, and waits until it is shown.
    ///
    /// # Errors
    /// [`Refusal::Raced`] if another request was faster.
    pub(crate) async fn commit_alone(&self, mut draft: Draft) -> Result<Revision, Refusal> {
        self.put_notices(&mut draft);
        draft.check()?;
        self.write(draft).await
    }

    async fn write(&self, draft: Draft) -> Result<Revision, Refusal> {
        self.check_in_touch()?;
        let Draft {
            conditions,
            operations,
            ..
        } = draft;
        let transaction = Transaction {
            conditions,
            operations,
        };
        match self.store.commit(transaction).await? {
            Commit::Conflict => {
                race::note();
                Err(Refusal::Raced)
            }
            Commit::Done(revision) => {
                self.wait_until_shown(revision).await;
                Ok(revision)
            }
        }
    }

    /// Asks the promotion loop for a step, here or where it runs, and waits until it is durable.
    pub(crate) async fn ask_promotion(
        &self,
        rollout: RolloutId,
        verb: Verb,
        actor: Actor,
        words: String,
        expected_revision: u64,
    ) -> Result<Arc<Rollout>, Refusal> {
        if self.shared && !self.leads() {
            let ask = AskRecord {
                rollout,
                verb,
                actor,
                words,
                expected_revision,
                at: self.clock.now(),
                answer: None,
            };
            return self.ask_leader(ask).await;
        }
        let (answer, answered) = oneshot::channel();
        let ask = Ask {
            rollout,
            verb,
            actor,
            words,
            expected_revision,
            answer,
        };
        self.to_promotion
            .send(Command::Ask(ask))
            .await
            .map_err(|_| Error::Unavailable("the server is stopping".to_owned()))?;
        self.answer_of_loop(answered).await
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

    /// Notes that something has happened on a forge: its files are read and its changes looked at soon, by the server
    /// that leads.
    pub(crate) async fn forge_spoke(&self, forge: &ForgeName) -> Result<(), Refusal> {
        self.note_spoken(forge);
        if self.shared && !self.leads() {
            let mut draft = Draft::default();
            draft.put(keys::spoken(forge), encode(&self.clock.now()));
            self.commit_alone(draft).await?;
        }
        Ok(())
    }

    fn note_spoken(&self, forge: &ForgeName) {
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

/// A transaction in the making.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    conditions: Vec<Condition>,
    operations: Vec<Operation>,
    /// What people are told once it is committed.
    notices: Vec<Notice>,
}

impl Draft {
    pub(crate) const fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    pub(crate) const fn len(&self) -> usize {
        self.operations.len()
    }

    /// Whether it fits into one transaction.
    fn check(&self) -> Result<(), Refusal> {
        let changes = self.operations.len();
        if changes.max(self.conditions.len()) <= DRAFT_ITEMS_MAX {
            return Ok(());
        }
        Err(Refusal::Exhausted {
            cause: format!("{changes} records would change at once, and {DRAFT_ITEMS_MAX} may"),
            hint: "do it in smaller steps".to_owned(),
        })
    }

    /// Whether a record of so many bytes can be created by it as well.
    fn has_room_for(&self, key: &Key, bytes: usize) -> bool {
        let items = self.operations.len().max(self.conditions.len());
        // The key stands in the record's condition too.
        let bytes = self.bytes() + 2 * key.as_str().len() + bytes;
        items < DRAFT_ITEMS_MAX && bytes <= TXN_BYTES_MAX
    }

    /// The bytes of its keys and values.
    fn bytes(&self) -> usize {
        let conditions = self.conditions.iter().map(|one| one.key().as_str().len());
        let operations = self.operations.iter().map(|operation| match operation {
            Operation::Put(key, value) => key.as_str().len() + value.len(),
            Operation::Delete(key) => key.as_str().len(),
        });
        conditions.chain(operations).sum()
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

    /// Tells people of it, in the same transaction.
    pub(crate) fn tell(&mut self, notices: impl IntoIterator<Item = Notice>) {
        self.notices.extend(notices);
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

/// A number that nobody had before, for keys that are to be its holder's alone, and the revision at which it was claimed.
pub(crate) async fn claim_number(store: &dyn Store) -> Result<(u64, Revision), Error> {
    let key = keys::next_process();
    loop {
        let found = store.get(&key).await?;
        let (condition, number) = match &found {
            Some(entry) => (
                Condition::Modified(key.clone(), entry.modified),
                decode(&key, &entry.value)?,
            ),
            None => (Condition::Absent(key.clone()), 1u64),
        };
        let next = Operation::Put(key.clone(), encode(&(number + 1)));
        let claim = Transaction {
            conditions: vec![condition],
            operations: vec![next],
        };
        if let Commit::Done(revision) = store.commit(claim).await? {
            return Ok((number, revision));
        }
    }
}

/// Puts control records where they are now, of a store whose last server had them elsewhere.
async fn relocate(store: &dyn Store) -> Result<(), Error> {
    for family in keys::MOVED {
        let prefix = format!("{family}/");
        loop {
            let page = store.page(&prefix, None, DRAFT_ITEMS_MAX / 2).await?;
            if page.entries.is_empty() {
                break;
            }
            let operations = page.entries.into_iter().flat_map(|entry| {
                let moved = Key::new(format!("{}{}", keys::CONTROL, entry.key));
                [
                    Operation::Put(moved, entry.value),
                    Operation::Delete(entry.key),
                ]
            });
            store.commit(unconditional(operations.collect())).await?;
        }
    }
    Ok(())
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
