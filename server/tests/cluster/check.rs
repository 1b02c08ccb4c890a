//! What must hold, on everything that is stored as of one revision.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::Path;
use std::time::Duration;

use pinion_core::log::LogEntry;
use pinion_core::name::RolloutId;
use pinion_core::rollout::Rollout;
use pinion_core::state::State;
use pinion_server::store::records::{
    FilingRecord, FilingState, JournalRecord, decode, decode_seen,
};
use pinion_server::store::{Entry, Sink, Store, keys};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::eventually;
use crate::load::{Pull, Told, minor_of};
use crate::support::repository::{branches, git};

/// How long the store may take to be read, and what is under way to come to its end.
const PATIENCE: Duration = Duration::from_secs(60);

/// Everything that is stored.
#[derive(Default)]
pub(crate) struct Stored {
    revision: u64,
    entries: Vec<Entry>,
}

/// A rollout and its decisions, each with the revision at which it was stored.
struct History {
    rollout: Rollout,
    log: Vec<(u64, LogEntry)>,
}

/// What was found.
#[derive(Clone, Debug, Default)]
#[expect(dead_code, reason = "some of it is only printed")]
pub(crate) struct Found {
    pub(crate) reports: usize,
    pub(crate) decisions: usize,
    /// How many of them were what.
    actions: BTreeMap<String, usize>,
    pub(crate) rolled_back: usize,
    pub(crate) by_evidence: usize,
    pub(crate) completed: usize,
    pub(crate) filed: usize,
}

impl Sink for Stored {
    fn entry(&mut self, entry: &Entry) -> io::Result<()> {
        self.entries.push(entry.clone());
        Ok(())
    }
}

impl Stored {
    pub(crate) async fn read(store: &dyn Store) -> Self {
        let mut stored = Self::default();
        eventually("the store can be read", PATIENCE, async || {
            stored.entries.clear();
            match store.export(&mut stored).await {
                Ok(revision) => {
                    stored.revision = revision;
                    true
                }
                Err(_) => false,
            }
        })
        .await;
        stored
    }

    fn under<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a Entry> {
        let entries = self.entries.iter();
        entries.filter(move |entry| entry.key.as_str().starts_with(prefix))
    }

    fn filings(&self) -> Vec<FilingRecord> {
        let entries = self.under(keys::FILING);
        entries
            .map(|entry| decode(&entry.key, &entry.value).unwrap())
            .collect()
    }

    fn histories(&self) -> Vec<History> {
        let mut logs: HashMap<RolloutId, Vec<(u64, LogEntry)>> = HashMap::new();
        let rollouts = self.under(keys::ROLLOUT);
        let rollouts: Vec<Rollout> = rollouts
            .map(|entry| decode(&entry.key, &entry.value).unwrap())
            .collect();
        for entry in self.under("log/") {
            let id = entry.key.as_str().split('/').nth(1).unwrap();
            let decision: LogEntry = decode(&entry.key, &entry.value).unwrap();
            let log = logs.entry(id.parse().unwrap()).or_default();
            log.push((entry.created, decision));
        }
        let history = |rollout: Rollout| History {
            log: logs.remove(&rollout.id).unwrap_or_default(),
            rollout,
        };
        rollouts.into_iter().map(history).collect()
    }

    /// Nothing waits to be counted or to be filed.
    fn is_settled(&self) -> bool {
        let filings = self.filings();
        let mut states = filings.iter().map(|filing| &filing.state);
        self.under(keys::JOURNAL).next().is_none()
            && states.all(|state| !matches!(state, FilingState::Pending { .. }))
    }

    /// Everything that must hold at any time. What was acknowledged and decided is what was so before it was read.
    pub(crate) fn check(
        &self,
        told: &Told,
        acknowledged: &[(String, Uuid)],
        decided: &HashMap<String, u64>,
    ) -> Found {
        let histories = self.histories();
        for history in &histories {
            history.check();
        }
        self.check_reports(acknowledged);
        check_decided(&histories, decided);
        let pulls = told.pulls.iter();
        for pull in pulls.filter(|pull| pull.revision <= self.revision) {
            check_pull(&histories, pull);
        }
        self.check_filings(&histories);
        let ended = |state: fn(&State) -> bool| {
            let ended = histories.iter().filter(|one| state(&one.rollout.state));
            ended.count()
        };
        let mut actions: BTreeMap<String, usize> = BTreeMap::new();
        for (_, decision) in histories.iter().flat_map(|history| &history.log) {
            *actions.entry(decision.action.clone()).or_default() += 1;
        }
        Found {
            actions,
            reports: acknowledged.len(),
            decisions: histories.iter().map(|history| history.log.len()).sum(),
            rolled_back: ended(|state| matches!(state, State::RolledBack { .. })),
            by_evidence: histories.iter().filter(|one| one.is_by_evidence()).count(),
            completed: ended(|state| matches!(state, State::Completed { .. })),
            filed: self.filings().len(),
        }
    }

    /// What must hold of decisions alone.
    pub(crate) fn check_histories(&self) {
        let histories = self.histories();
        for history in &histories {
            history.check();
        }
        self.check_filings(&histories);
    }

    /// Forgets the pulls that were checked.
    pub(crate) fn forget(&self, told: &mut Told) {
        told.pulls.retain(|pull| pull.revision > self.revision);
    }

    /// Every report that was acknowledged is there, and counts once.
    fn check_reports(&self, acknowledged: &[(String, Uuid)]) {
        let mut times: HashMap<u64, u32> = HashMap::new();
        for entry in self.under(keys::SEEN) {
            for report in decode_seen(&entry.key, &entry.value).unwrap() {
                *times.entry(report).or_default() += 1;
            }
        }
        let twice: Vec<_> = times.iter().filter(|(_, times)| **times > 1).collect();
        assert!(twice.is_empty(), "counted twice: {twice:?}");
        for entry in self.under(keys::JOURNAL) {
            let record = JournalRecord::decode(&entry.key, &entry.value).unwrap();
            for entry in record.entries {
                times.entry(entry.report).or_default();
            }
        }
        for (environment, id) in acknowledged {
            let report = hash_of(environment, *id);
            assert!(times.contains_key(&report), "the report {id} is lost");
        }
    }

    /// What is rolled back is filed once, and nothing else is, but for what is completed.
    fn check_filings(&self, histories: &[History]) {
        let mut filed: BTreeMap<RolloutId, usize> = BTreeMap::new();
        for filing in self.filings() {
            *filed.entry(filing.rollout).or_default() += 1;
        }
        for History { rollout, .. } in histories {
            let times = filed.get(&rollout.id).copied().unwrap_or_default();
            let is_filed = matches!(
                rollout.state,
                State::RolledBack { .. } | State::Completed { .. }
            );
            assert_eq!(times, usize::from(is_filed), "filings of {}", rollout.id);
        }
    }
}

/// Waits until nothing is under way any more, and gives everything that is stored then.
pub(crate) async fn settled(store: &dyn Store) -> Stored {
    let mut stored = Stored::default();
    eventually("everything is counted and filed", PATIENCE, async || {
        stored = Stored::read(store).await;
        stored.is_settled()
    })
    .await;
    stored
}

/// Every rollback has its branch with one commit, and there is no other branch.
pub(crate) fn check_repository(stored: &Stored, repository: &Path) {
    let mut expected = BTreeSet::from(["master".to_owned()]);
    for filing in stored.filings() {
        match filing.state {
            FilingState::Filed { .. } => {
                let bare = repository.join("pins.git");
                let range = format!("master..{}", filing.head);
                let commits = git(&bare, &["rev-list", "--count", &range]);
                assert_eq!(commits, "1", "{}", filing.head);
                assert!(expected.insert(filing.head), "two filings of one branch");
            }
            // The file has that version: it was merged before it was tried.
            FilingState::Unneeded => {}
            state => panic!("{} is {}", filing.head, state.as_str()),
        }
    }
    let found: BTreeSet<String> = branches(repository).into_iter().collect();
    assert_eq!(found, expected);
}

impl History {
    /// The decisions are one chain.
    fn check(&self) {
        let id = &self.rollout.id;
        let mut previous = String::new();
        for (number, (_, decision)) in (1..).zip(&self.log) {
            assert_eq!(decision.sequence, number, "{id}");
            assert_eq!(decision.previous_hash, previous, "{id}, decision {number}");
            assert!(decision.is_intact(), "{id}, decision {number}");
            previous.clone_from(&decision.hash);
        }
        let revisions = self.log.iter().map(|(revision, _)| revision);
        assert!(
            revisions.is_sorted(),
            "{id}: in the order of their revisions"
        );
        assert_eq!(self.rollout.decisions as usize, self.log.len(), "{id}");
    }

    fn is_by_evidence(&self) -> bool {
        let last = self.log.last();
        let is_rolled_back = matches!(self.rollout.state, State::RolledBack { .. });
        is_rolled_back
            && last.is_some_and(|(_, last)| last.actor == pinion_core::state::Actor::Controller)
    }

    fn minor(&self) -> u32 {
        minor_of(self.rollout.changes[0].to.as_ref().unwrap().as_str())
    }

    /// The decision that stood at a revision.
    fn standing_at(&self, revision: u64) -> Option<&(u64, LogEntry)> {
        self.log.iter().rfind(|(at, _)| *at <= revision)
    }
}

/// Nothing that was answered as done is undone.
fn check_decided(histories: &[History], decided: &HashMap<String, u64>) {
    for (id, revision) in decided {
        let mut all = histories.iter();
        let history = all.find(|history| history.rollout.id.as_str() == id);
        let history = history.unwrap_or_else(|| panic!("the rollout {id} is lost"));
        let have = history.rollout.decisions;
        assert!(
            have >= *revision,
            "{id} had {revision} decisions, not {have}"
        );
    }
}

/// Somebody was given what the decisions of that revision give: the candidate to whom it is drawn for, the baseline to
/// all others.
fn check_pull(histories: &[History], pull: &Pull) {
    let mut baseline = (0, 0);
    let mut candidate = None;
    for history in histories {
        let Some((at, decision)) = history.standing_at(pull.revision) else {
            continue;
        };
        if decision.action == "complete" {
            baseline = baseline.max((*at, history.minor()));
        } else if decision
            .share_after
            .exposes(history.rollout.seed.draw(&pull.environment))
        {
            candidate = Some(history.minor());
        }
    }
    let expected = candidate.unwrap_or(baseline.1);
    assert_eq!(pull.minor, expected, "{pull:?}");
}

/// The hash by which a report is known: the first 8 bytes of the SHA-256 of its environment's id and its own.
fn hash_of(environment: &str, report: Uuid) -> u64 {
    let digest = Sha256::new()
        .chain_update(environment)
        .chain_update(report.as_bytes())
        .finalize();
    u64::from_le_bytes(digest[..8].try_into().unwrap())
}
