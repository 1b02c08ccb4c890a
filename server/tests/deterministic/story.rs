//! What is played with a seed, and what must hold at its end.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pinion_core::evidence::Evidence;
use pinion_core::log::LogEntry;
use pinion_core::name::{EnvironmentId, ForgeName, PinSetName, RolloutId};
use pinion_core::outcome::{Category, Outcome, Repeat};
use pinion_core::policy::Policy;
use pinion_core::replay::{Check, Verified};
use pinion_core::rollout::{Lane, Rollout};
use pinion_core::state::State;
use pinion_core::time::Timestamp;
use pinion_server::app::World;
use pinion_server::clock::Clock;
use pinion_server::config::Config;
use pinion_server::controller::{
    Candidate, Controller, Enrolment, Identity, Import, MissingApprovals, NewRollout, NewToken,
    NewerVersions, PinsQuery, Refusal, Report, UnkeptLines, Verb,
};
use pinion_server::forge::{Forge, Registry, Rules};
use pinion_server::random::SeededRandom;
use pinion_server::store::memory::MemoryStore;
use pinion_server::store::records::{FilingRecord, Role, SourceRecord, decode, decode_seen};
use pinion_server::store::{Entry, PAGE_MAX, Sink, Store, keys};
use pinion_server::worker::{Home, Outside, Worker};
use sha2::{Digest, Sha256};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::forge::Shelf;
use crate::link::Link;

const SERVERS: usize = 3;
const ENVIRONMENTS: usize = 14;
const STEPS: usize = 26;
const SET: &str = "set";
const PACKAGE: &str = "requests";
const PINS: &str = "requests==1.0\nurllib3==2.0.7\n";
/// Tuesday, 2024-03-05, 10:00 UTC.
const START_MS: i64 = 1_709_632_800_000;

/// What a story was.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// The same for the same story.
    pub(crate) digest: String,
    acknowledged: usize,
    decisions: usize,
    rolled_back: usize,
    completed: usize,
    kills: usize,
    cuts: usize,
    pulls: usize,
}

impl Told {
    pub(crate) fn add(&mut self, other: &Self) {
        self.acknowledged += other.acknowledged;
        self.decisions += other.decisions;
        self.rolled_back += other.rolled_back;
        self.completed += other.completed;
        self.kills += other.kills;
        self.cuts += other.cuts;
        self.pulls += other.pulls;
    }

    pub(crate) fn is_eventful(&self) -> bool {
        let happened = [
            self.rolled_back,
            self.completed,
            self.kills,
            self.cuts,
            self.acknowledged / 100,
        ];
        happened.iter().all(|count| *count > 10)
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} reports acknowledged, {} pulls, {} decisions, {} rolled back, {} completed, {} kills, {} cuts",
            self.acknowledged,
            self.pulls,
            self.decisions,
            self.rolled_back,
            self.completed,
            self.kills,
            self.cuts
        )
    }
}

/// A clock that the story moves, and that is wrong by a little on each server.
#[derive(Debug)]
struct StoryClock {
    at_ms: Arc<AtomicI64>,
    skew_ms: AtomicI64,
}

impl Clock for StoryClock {
    fn now(&self) -> Timestamp {
        let ms = self.at_ms.load(Ordering::Relaxed) + self.skew_ms.load(Ordering::Relaxed);
        Timestamp::from_unix_ms(ms)
    }
}

/// A machine on which a server runs, or has been killed.
struct Machine {
    link: Link,
    clock: Arc<StoryClock>,
    worker: Option<Worker>,
    /// Requests under way, which end with the server.
    requests: JoinSet<()>,
    starts: u64,
}

#[derive(Clone)]
struct Environment {
    id: EnvironmentId,
    secret: String,
}

/// What an environment was given.
#[derive(Debug)]
struct Pull {
    environment: EnvironmentId,
    version: String,
    revision: u64,
}

/// What requests have led to.
#[derive(Debug, Default)]
struct Seen {
    /// Reports that were acknowledged, each with its environment's number.
    acknowledged: BTreeMap<Uuid, usize>,
    pulls: Vec<Pull>,
    /// Reports without an answer, each with its environment's number.
    unanswered: BTreeMap<Uuid, (usize, Outcome)>,
}

struct Story {
    rng: fastrand::Rng,
    seed: u64,
    store: Arc<MemoryStore>,
    shelf: Arc<Shelf>,
    at_ms: Arc<AtomicI64>,
    machines: Vec<Machine>,
    manager: String,
    environments: Vec<Environment>,
    seen: Arc<Mutex<Seen>>,
    next_version: u32,
    told: Told,
}

/// Plays the story of a seed, and checks its end.
pub(crate) async fn tell(seed: u64) -> Told {
    let mut story = Story::begin(seed).await;
    for _ in 0..STEPS {
        story.step().await;
    }
    story.heal().await;
    story.check().await;
    story.told
}

async fn pause(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}

impl Story {
    async fn begin(seed: u64) -> Self {
        let store = Arc::new(MemoryStore::new());
        let shelf = Shelf::new(seed, PINS);
        let at_ms = Arc::new(AtomicI64::new(START_MS));
        let machine = |number: usize| Machine {
            link: Link::new(Arc::clone(&store), seed ^ ((number as u64 + 1) << 32)),
            clock: Arc::new(StoryClock {
                at_ms: Arc::clone(&at_ms),
                skew_ms: AtomicI64::new(0),
            }),
            worker: None,
            requests: JoinSet::new(),
            starts: 0,
        };
        let mut story = Self {
            rng: fastrand::Rng::with_seed(seed),
            seed,
            machines: (0..SERVERS).map(machine).collect(),
            store,
            shelf,
            at_ms,
            manager: String::new(),
            environments: Vec::new(),
            seen: Arc::default(),
            next_version: 1,
            told: Told::default(),
        };
        let mut admin = None;
        for number in 0..SERVERS {
            admin = admin.or(story.start(number).await);
        }
        story
            .set_up(&admin.expect("the first start makes a token"))
            .await;
        for machine in &story.machines {
            machine.link.set_faults(0.04);
        }
        story.shelf.set_faults(0.3);
        story
    }

    /// Starts the server of a machine; its first admin token, if it made that.
    async fn start(&mut self, number: usize) -> Option<String> {
        let machine = &mut self.machines[number];
        machine.starts += 1;
        let name: ForgeName = "shelf".parse().unwrap();
        let rules = Rules {
            kind: "shelf".to_owned(),
            subject_rollback: None,
            subject_complete: None,
            trailers: Vec::new(),
            open_max: 100,
            per_day_max: 100,
        };
        let forges = Registry::of([(name, Arc::clone(&self.shelf) as Arc<dyn Forge>, rules)]);
        let outside = Outside {
            forges,
            ..Outside::default()
        };
        let config = Config {
            data_dir: PathBuf::from("unused"),
            ..Config::default()
        };
        let random = self.seed ^ (machine.starts << 8) ^ number as u64;
        let world = World {
            clock: Arc::clone(&machine.clock) as Arc<dyn Clock>,
            random: Arc::new(SeededRandom::new(random)),
            exporter: None,
            is_simulated: false,
        };
        let home = Home::Shared(Arc::new(machine.link.clone()) as Arc<dyn Store>);
        // What cannot be reached now is tried again by whoever watches over the process.
        match Worker::start(home, outside, &config, world).await {
            Ok(mut worker) => {
                let admin = worker.first_admin.take();
                machine.worker = Some(worker);
                admin
            }
            Err(_) => None,
        }
    }

    async fn set_up(&mut self, admin: &str) {
        let controller = self.controller(0).expect("runs");
        let admin = controller.identify(Some(admin)).unwrap();
        let token = |name: &str, role| NewToken {
            name: name.parse().unwrap(),
            role,
            pin_set: None,
            lifetime: None,
        };
        let made = controller.create_token(&admin, token("manager", Role::ReleaseManager));
        self.manager = made.await.unwrap().1;
        let team = controller.create_token(&admin, token("team", Role::Environment));
        let team = controller.identify(Some(&team.await.unwrap().1)).unwrap();
        let manager = controller.identify(Some(&self.manager)).unwrap();
        let policy = Policy {
            pilot_bake: Duration::from_secs(600),
            bake: Duration::from_secs(1800),
            ..Policy::default()
        };
        let source = SourceRecord {
            forge: "shelf".parse().unwrap(),
            branch: "master".to_owned(),
            path: "upper-constraints.txt".to_owned(),
            exclusions_path: None,
            follow: false,
        };
        let set = set();
        let created = controller.create_pin_set(
            &manager,
            &set,
            pinion_core::ecosystem::Ecosystem::Pypi,
            (policy, Some(source)),
            false,
        );
        created.await.unwrap();
        let import = Import {
            name: set.clone(),
            content: PINS.to_owned(),
            expected_revision: 0,
            unkept_lines: UnkeptLines::Refuse,
            supersede: false,
            validate_only: false,
            newer: NewerVersions::Try,
            requires: Vec::new(),
        };
        controller.import_pins(&manager, &import).await.unwrap();
        for _ in 0..ENVIRONMENTS {
            let enrolment = Enrolment {
                pin_set: set.clone(),
                reporting: true,
                draw_key: None,
                platform: None,
                repeats: false,
            };
            let (record, secret) = controller.enroll(&team, enrolment).await.unwrap();
            self.environments.push(Environment {
                id: record.id,
                secret,
            });
        }
        pause(500).await;
    }

    fn controller(&self, number: usize) -> Option<Arc<Controller>> {
        let worker = self.machines[number].worker.as_ref()?;
        Some(Arc::clone(&worker.controller))
    }

    async fn step(&mut self) {
        let minutes = self.rng.i64(5..60);
        self.at_ms.fetch_add(minutes * 60_000, Ordering::Relaxed);
        self.something_fails().await;
        if self.rng.f64() < 0.35 {
            self.manager_acts();
        }
        for number in 0..ENVIRONMENTS {
            if self.rng.f64() < 0.8 {
                self.environment_runs(number);
            }
        }
        self.send_again();
        pause(self.rng.u64(500..3500)).await;
    }

    async fn something_fails(&mut self) {
        let number = self.rng.usize(0..SERVERS);
        match self.rng.u32(0..100) {
            0..=9 => {
                self.told.kills += 1;
                self.machines[number].worker = None;
                self.machines[number].requests = JoinSet::new();
            }
            10..=19 => {
                self.told.cuts += 1;
                self.machines[number].link.cut(true);
            }
            20..=24 => {
                let skew = self.rng.i64(-90_000..90_000);
                self.machines[number]
                    .clock
                    .skew_ms
                    .store(skew, Ordering::Relaxed);
            }
            25..=60 => {
                for number in 0..SERVERS {
                    self.machines[number].link.cut(false);
                    if self.machines[number].worker.is_none() {
                        self.start(number).await;
                    }
                }
            }
            _ => {}
        }
    }

    /// Somewhere, a release manager starts or steers a rollout.
    fn manager_acts(&mut self) {
        let number = self.rng.usize(0..SERVERS);
        let Some(controller) = self.controller(number) else {
            return;
        };
        let Ok(manager) = controller.identify(Some(&self.manager)) else {
            return;
        };
        let snapshot = controller.snapshot();
        let set = set();
        let open = snapshot
            .open_rollouts(&set)
            .first()
            .map(|one| one.id.clone());
        let verb = match self.rng.u32(0..12) {
            0 => Verb::Pause,
            1..=3 => Verb::Resume,
            4..=6 => Verb::Promote {
                share: None,
                approvals: MissingApprovals::Respect,
            },
            7 => Verb::RollBack,
            8 => Verb::Abort,
            _ => Verb::Resume,
        };
        let version = format!("1.{}", self.next_version);
        self.next_version += 1;
        self.machines[number].requests.spawn(async move {
            // Whether it could be done is not what is looked at here.
            let _ = match open {
                Some(id) => controller.act(&manager, &id, verb, 0, "").await.map(|_| ()),
                None => start_rollout(&controller, &manager, version).await,
            };
        });
    }

    /// Somewhere, an environment pulls its pins, works with them, and reports.
    fn environment_runs(&mut self, index: usize) {
        let number = self.rng.usize(0..SERVERS);
        let Some(controller) = self.controller(number) else {
            return;
        };
        let environment = self.environments[index].clone();
        let Ok(caller) = controller.identify(Some(&environment.secret)) else {
            return;
        };
        let Ok(answer) = controller.pins(&caller, &PinsQuery::default()) else {
            return;
        };
        let pins = answer.combination.pins();
        let version = pins
            .iter()
            .find(|pin| pin.package.written() == PACKAGE)
            .expect("it is pinned")
            .version
            .to_string();
        let minor: u32 = version.rsplit('.').next().unwrap().parse().unwrap();
        // Every third version is bad.
        let is_bad = minor % 3 == 1 && self.rng.f64() < 0.9;
        let failed = is_bad || self.rng.f64() < 0.04;
        let outcome = match failed {
            true => Outcome::Failed {
                category: Category::Test,
                fingerprint: None,
                repeat: Repeat::NotRepeated,
            },
            false => Outcome::Passed,
        };
        self.seen.lock().unwrap().pulls.push(Pull {
            environment: environment.id.clone(),
            version,
            revision: answer.store_revision,
        });
        let mut bytes = [0; 10];
        bytes.fill_with(|| self.rng.u8(..));
        let now = self.at_ms.load(Ordering::Relaxed).unsigned_abs();
        let id = uuid::Builder::from_unix_timestamp_millis(now, &bytes).into_uuid();
        self.seen
            .lock()
            .unwrap()
            .unanswered
            .insert(id, (index, outcome));
        self.send(number, id, index, outcome);
    }

    /// What had no answer is sent again, wherever.
    fn send_again(&mut self) {
        let unanswered = self.seen.lock().unwrap().unanswered.clone();
        for (id, (index, outcome)) in unanswered {
            let number = self.rng.usize(0..SERVERS);
            self.send(number, id, index, outcome);
        }
    }

    fn send(&mut self, number: usize, id: Uuid, index: usize, outcome: Outcome) {
        let Some(controller) = self.controller(number) else {
            return;
        };
        let secret = self.environments[index].secret.clone();
        let seen = Arc::clone(&self.seen);
        self.machines[number].requests.spawn(async move {
            let Ok(caller) = controller.identify(Some(&secret)) else {
                return;
            };
            let report = Report {
                id,
                outcome,
                rollouts: Vec::new(),
            };
            match controller.report(&caller, &[report]).await {
                Ok(_) => {
                    let mut seen = seen.lock().unwrap();
                    seen.acknowledged.insert(id, index);
                    seen.unanswered.remove(&id);
                }
                // Too old to be taken: whoever waits that long drops it, too.
                Err(Refusal::Invalid { .. }) => {
                    seen.lock().unwrap().unanswered.remove(&id);
                }
                Err(_) => {}
            }
        });
    }

    /// Everything works again, and whatever is under way comes to its end.
    async fn heal(&mut self) {
        self.shelf.set_faults(0.0);
        for number in 0..SERVERS {
            let machine = &self.machines[number];
            machine.link.cut(false);
            machine.link.set_faults(0.0);
            machine.clock.skew_ms.store(0, Ordering::Relaxed);
        }
        for number in 0..SERVERS {
            if self.machines[number].worker.is_none() {
                self.start(number).await;
                assert!(self.machines[number].worker.is_some(), "it starts");
            }
        }
        for _ in 0..20 {
            pause(2000).await;
            self.send_again();
            self.at_ms.fetch_add(5 * 60_000, Ordering::Relaxed);
        }
        pause(10_000).await;
        let seen = self.seen.lock().unwrap();
        assert!(seen.unanswered.is_empty(), "everything has its answer");
    }

    async fn entries(&self, prefix: &str) -> Vec<Entry> {
        let mut entries: Vec<Entry> = Vec::new();
        loop {
            let last = entries.last().map(|entry| entry.key.clone());
            let page = self
                .store
                .page(prefix, last.as_ref(), PAGE_MAX)
                .await
                .unwrap();
            entries.extend(page.entries);
            if !page.more {
                return entries;
            }
        }
    }

    async fn check(&mut self) {
        let leading = (0..SERVERS).filter(|n| self.controller(*n).unwrap().leads());
        assert_eq!(leading.count(), 1, "one server leads");
        self.check_reports().await;
        let histories = self.check_histories().await;
        self.check_pulls(&histories);
        self.check_filings(&histories).await;
        self.check_servers().await;
        self.told.digest = self.digest().await;
    }

    /// Every report that was acknowledged is there, once.
    async fn check_reports(&mut self) {
        assert!(
            self.entries(keys::JOURNAL).await.is_empty(),
            "all is counted"
        );
        let mut times: BTreeMap<u64, u32> = BTreeMap::new();
        for entry in self.entries(keys::SEEN).await {
            for report in decode_seen(&entry.key, &entry.value).unwrap() {
                *times.entry(report).or_default() += 1;
            }
        }
        assert!(times.values().all(|times| *times == 1), "none counts twice");
        let seen = self.seen.lock().unwrap();
        self.told.acknowledged = seen.acknowledged.len();
        self.told.pulls = seen.pulls.len();
        for (id, index) in &seen.acknowledged {
            let report = hash_of(&self.environments[*index].id, *id);
            assert!(times.contains_key(&report), "the report {id} is lost");
        }
    }

    /// The decisions of each rollout are one chain, and each follows from its evidence.
    async fn check_histories(&mut self) -> Vec<(Rollout, Vec<(u64, LogEntry)>)> {
        let controller = self.controller(0).unwrap();
        let manager = controller.identify(Some(&self.manager)).unwrap();
        let mut histories = Vec::new();
        for entry in self.entries(keys::ROLLOUT).await {
            let rollout: Rollout = decode(&entry.key, &entry.value).unwrap();
            let mut log = Vec::new();
            for entry in self.entries(&keys::log_prefix(&rollout.id)).await {
                let decision: LogEntry = decode(&entry.key, &entry.value).unwrap();
                log.push((entry.created, decision));
            }
            let verified = controller.verify_decisions(&manager, &rollout.id).await;
            let verified = verified.unwrap();
            let is_whole = are_counted_again(&verified, &log);
            assert!(
                verified.is_intact() && is_whole,
                "{}",
                differences(&verified, &log)
            );
            assert_eq!(rollout.decisions as usize, log.len());
            self.told.decisions += log.len();
            match rollout.state {
                State::RolledBack { .. } => self.told.rolled_back += 1,
                State::Completed { .. } => self.told.completed += 1,
                _ => {}
            }
            histories.push((rollout, log));
        }
        histories
    }

    /// Nobody had a version that no state allowed.
    fn check_pulls(&self, histories: &[(Rollout, Vec<(u64, LogEntry)>)]) {
        let seen = self.seen.lock().unwrap();
        for pull in &seen.pulls {
            let share_then = |log: &[(u64, LogEntry)]| {
                let last = log.iter().rfind(|(at, _)| *at <= pull.revision);
                last.map(|(_, decision)| decision)
                    .map(|decision| (decision.share_after, decision.action.clone()))
            };
            let candidate = histories.iter().find(|(rollout, _)| {
                let to = rollout.changes[0].to.as_ref();
                to.is_some_and(|to| to.as_str() == pull.version)
            });
            let Some((rollout, log)) = candidate else {
                assert_eq!(pull.version, "1.0", "nobody offered it");
                continue;
            };
            let Some((share, action)) = share_then(log) else {
                panic!("{pull:?} came before its rollout {}", rollout.id);
            };
            let draw = rollout.seed.draw(pull.environment.as_str());
            let allowed = action == "complete" || share.exposes(draw);
            assert!(
                allowed,
                "{pull:?} at {share} after `{action}` of {}",
                rollout.id
            );
        }
    }

    /// Every rollback was filed, once.
    async fn check_filings(&self, histories: &[(Rollout, Vec<(u64, LogEntry)>)]) {
        let made = self.shelf.changes();
        let mut filed: BTreeMap<RolloutId, Vec<FilingRecord>> = BTreeMap::new();
        for entry in self.entries(keys::FILING).await {
            let record: FilingRecord = decode(&entry.key, &entry.value).unwrap();
            filed
                .entry(record.rollout.clone())
                .or_default()
                .push(record);
        }
        for (rollout, _) in histories {
            let filings = filed.get(&rollout.id).map_or(0, Vec::len);
            match rollout.state {
                State::RolledBack { .. } | State::Completed { .. } => {
                    assert_eq!(filings, 1, "{} is filed once", rollout.id);
                }
                _ => assert_eq!(filings, 0, "{} has nothing to file", rollout.id),
            }
        }
        let keys: BTreeSet<&str> = filed
            .values()
            .flatten()
            .map(|record| record.key.as_str())
            .collect();
        for (key, times) in &made {
            assert!(keys.contains(key.as_str()), "nobody decided to file {key}");
            assert_eq!(*times, 1);
        }
    }

    /// All servers know the same.
    async fn check_servers(&self) {
        let tip = self.store.page(keys::CONTROL, None, 1).await.unwrap();
        let of = |number: usize| {
            let snapshot = self.controller(number).unwrap().snapshot();
            let rollouts = snapshot.rollouts();
            let states = rollouts.map(|stored| (stored.record.id.clone(), stored.record.decisions));
            (snapshot.head(), states.collect::<Vec<_>>())
        };
        for number in 1..SERVERS {
            assert_eq!(of(0), of(number), "as of revision {}", tip.revision);
        }
    }

    /// A hash of everything that was written, but for what depends on when a process looks at its own watch.
    async fn digest(&self) -> String {
        struct Hash(Sha256);
        impl Sink for Hash {
            fn entry(&mut self, entry: &Entry) -> io::Result<()> {
                let key = entry.key.as_str();
                if !key.starts_with(keys::SERVER) && !key.starts_with("meta/") {
                    self.0.update(key);
                    self.0.update([0]);
                    self.0.update(&entry.value);
                }
                Ok(())
            }
        }
        let mut hash = Hash(Sha256::new());
        self.store.export(&mut hash).await.unwrap();
        hex::encode(hash.0.finalize())
    }
}

/// The hash by which a report is known: the first 8 bytes of the SHA-256 of its environment's id and its own.
fn hash_of(environment: &EnvironmentId, report: Uuid) -> u64 {
    let digest = Sha256::new()
        .chain_update(environment.as_str())
        .chain_update(report.as_bytes())
        .finalize();
    u64::from_le_bytes(digest[..8].try_into().unwrap())
}

/// Whether whatever was decided on evidence was held against it: nobody leaves, so that all of it is known.
fn are_counted_again(verified: &Verified, log: &[(u64, LogEntry)]) -> bool {
    let mut decisions = verified.decisions.iter().zip(log);
    decisions.all(|(checked, (_, entry))| {
        entry.evidence == Evidence::default() || checked.check >= Check::Counted
    })
}

/// What cannot be made again, between the decisions around it.
fn differences(verified: &Verified, log: &[(u64, LogEntry)]) -> String {
    let mut text = verified.problems.join("\n");
    for (checked, (at, entry)) in verified.decisions.iter().zip(log) {
        text.push_str(&format!(
            "\n{} at {at}: {} by {}, {} counted to {}, epoch {}, {}: {}",
            entry.sequence,
            entry.action,
            entry.actor,
            entry.share_after,
            entry.folded,
            entry.epoch,
            checked.check.as_str(),
            checked.problems.join("; ")
        ));
    }
    text
}

fn set() -> PinSetName {
    SET.parse().unwrap()
}

async fn start_rollout(
    controller: &Controller,
    manager: &Identity,
    version: String,
) -> Result<(), Refusal> {
    let new = NewRollout {
        pin_set: set(),
        candidates: vec![Candidate {
            package: PACKAGE.to_owned(),
            version,
            marker: String::new(),
            published_at: None,
        }],
        allow_downgrade: false,
        expected_revision: 0,
        validate_only: false,
        lane: Lane::Ordinary,
        origin: None,
        reason: pinion_core::reason::Reason::Asked {
            words: String::new(),
        },
        requires: Vec::new(),
    };
    controller.create_rollout(manager, &new).await.map(|_| ())
}
