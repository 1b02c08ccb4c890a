//! The loops over indexes, one each: they ask for the packages of the pin sets that are tracked, and hand what is said to
//! the controller. They choose nothing.
//!
//! A package is asked for once in an interval, with what tells the index that nothing has changed; no more than so many a
//! second, so that a start asks for everything one after the other; and not at all while the index asks for patience.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
use std::sync::Arc;
use std::time::Duration;

use pinion_core::ecosystem::Ecosystem;
use pinion_core::name::PackageName;
use pinion_core::time::Timestamp;
use pinion_core::version::Version;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::controller::{Controller, Known, Said, Unread};
use crate::index::{Configured, Error, Found, Index, Listed, Listing, Needs};
use crate::snapshot::{PinSetEntry, Snapshot};

/// How often it looks whether something is to be asked.
const INTERVAL: Duration = Duration::from_secs(1);
/// The first pause after an index gave no answer; it doubles.
const PAUSE: Duration = Duration::from_secs(30);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(3600);
/// How soon it is asked once more whether something is gone: a mirror may lag.
const DOUBT: Duration = Duration::from_secs(60);
/// Versions whose requirements are written down at once, at most.
const READ_MAX: usize = 50;
/// How often it is looked without an answer whether versions have grown old enough.
const LOOK: Duration = Duration::from_secs(30);

/// A loop for each index of the configuration.
pub fn watches(controller: &Arc<Controller>, interval: Duration) -> Vec<Watch> {
    let watch = |(ecosystem, configured): (Ecosystem, &Configured)| Watch {
        controller: Arc::clone(controller),
        ecosystem,
        index: Arc::clone(&configured.index),
        requests_per_s: configured.requests_per_s as usize,
        interval,
        turns: HashMap::new(),
        failures: 0,
        paused_until: None,
        looked: None,
    };
    controller.indexes.iter().map(watch).collect()
}

/// The loop over one index.
#[derive(Debug)]
pub struct Watch {
    controller: Arc<Controller>,
    ecosystem: Ecosystem,
    index: Arc<dyn Index>,
    requests_per_s: usize,
    interval: Duration,
    turns: HashMap<PackageName, Turn>,
    /// Times in a row that the index gave no answer.
    failures: u32,
    paused_until: Option<Timestamp>,
    /// The state that was looked at last, and when.
    looked: Option<(u64, Timestamp)>,
}

/// When a package is asked for next.
#[derive(Clone, Copy, Debug)]
struct Turn {
    next: Timestamp,
    /// Whether the last answer missed what the one before had.
    is_in_doubt: bool,
}

/// Packages with the oldest version of each that anybody has.
type Floors = HashMap<PackageName, Version>;

impl Watch {
    /// Runs until it is cancelled.
    pub async fn run(mut self, cancelled: CancellationToken) {
        loop {
            tokio::select! {
                biased;
                () = cancelled.cancelled() => return,
                () = self.turn() => {}
            }
            tokio::select! {
                () = cancelled.cancelled() => return,
                () = tokio::time::sleep(INTERVAL) => {}
            }
        }
    }

    async fn turn(&mut self) {
        let now = self.controller.clock.now();
        let snapshot = self.controller.snapshot();
        let floors = self.floors(&snapshot);
        self.turns.retain(|package, _| floors.contains_key(package));
        let is_kept = |package: &PackageName| floors.contains_key(package);
        self.controller.keep_known(self.ecosystem, is_kept);
        let mut is_news = false;
        if self.paused_until.is_none_or(|until| until <= now) {
            is_news |= self.ask_due(&floors, now).await;
        }
        let is_due = self
            .looked
            .is_none_or(|(revision, at)| revision != snapshot.revision || at.plus(LOOK) <= now);
        if !is_news && !is_due {
            return;
        }
        self.looked = Some((snapshot.revision, now));
        if self.paused_until.is_none_or(|until| until <= now) && self.read_needs().await {
            // There may be more than one round may ask for.
            self.looked = None;
        }
        self.follow().await;
    }

    fn entries<'a>(
        &self,
        snapshot: &'a Snapshot,
    ) -> impl Iterator<Item = &'a PinSetEntry> + use<'a> {
        let ecosystem = self.ecosystem;
        let of_index = move |entry: &&PinSetEntry| entry.stored.record.ecosystem == ecosystem;
        snapshot.pin_sets().filter(of_index)
    }

    fn floors(&self, snapshot: &Snapshot) -> Floors {
        let mut floors = Floors::new();
        let mut add = |package: &PackageName, version: &Version| {
            let floor = floors
                .entry(package.clone())
                .or_insert_with(|| version.clone());
            if floor.is_newer_than(version) {
                *floor = version.clone();
            }
        };
        for entry in self.entries(snapshot) {
            let record = &entry.stored.record;
            if !record.track {
                continue;
            }
            for pin in entry.baseline.iter() {
                add(&pin.package, &pin.version);
            }
            let open = snapshot.open_rollouts(&record.name).iter();
            for change in open.flat_map(|rollout| &rollout.changes) {
                if let Some(to) = &change.to {
                    add(&change.package, to);
                }
            }
        }
        floors
    }

    /// Asks for the packages whose turn it is, those first that were never asked for; says whether anything is new.
    async fn ask_due(&mut self, floors: &Floors, now: Timestamp) -> bool {
        let next = |package: &PackageName| self.turns.get(package).map(|turn| turn.next);
        let mut due: Vec<&PackageName> = floors
            .keys()
            .filter(|package| next(package).is_none_or(|next| next <= now))
            .collect();
        due.sort_by_key(|package| (next(package), (*package).clone()));
        let mut asking = JoinSet::new();
        for package in due.into_iter().take(self.requests_per_s) {
            let floor = floors[package].clone();
            let before = self.controller.known(self.ecosystem, package);
            // What is older than what was kept is not known from before.
            let known = before.filter(|known| !known.floor.is_newer_than(&floor));
            let validator = known.and_then(|known| known.validator);
            let (index, package) = (Arc::clone(&self.index), package.clone());
            asking.spawn(async move {
                let listing = index.listing(&package, validator.as_ref()).await;
                (package, floor, listing)
            });
        }
        let mut is_news = false;
        while let Some(asked) = asking.join_next().await {
            match asked {
                Ok((package, floor, listing)) => {
                    is_news |= self.note(package, floor, listing, now);
                }
                Err(error) => tracing::error!(%error, "asking an index failed"),
            }
        }
        is_news
    }

    fn note(
        &mut self,
        package: PackageName,
        floor: Version,
        listing: Result<Listing, Error>,
        now: Timestamp,
    ) -> bool {
        let before = self.controller.known(self.ecosystem, &package);
        let (answer, said, validator) = match listing {
            Ok(Listing::Unchanged) => ("unchanged", None, None),
            Ok(Listing::Absent(words)) => {
                tracing::debug!(package = package.written(), words, "not in the index");
                ("absent", Some(Said::Absent), None)
            }
            Ok(Listing::Found(Found {
                mut releases,
                validator,
            })) => {
                releases.retain(|one| !floor.is_newer_than(&one.release.version));
                ("new", Some(Said::Found(Arc::new(releases))), validator)
            }
            Err(error @ (Error::Away { .. } | Error::Refused { .. })) => {
                self.pause(&error, now);
                return false;
            }
            Err(Error::Garbled { answer }) => {
                tracing::warn!(package = package.written(), answer, "not understood");
                ("garbled", Some(Said::Garbled(answer)), None)
            }
        };
        let metrics = &self.controller.metrics;
        metrics.index_request(self.ecosystem, answer);
        // What was answered beside something that was not says little.
        if self.paused_until.is_none_or(|until| until <= now) {
            self.failures = 0;
            self.controller.show_index(self.ecosystem, String::new());
        }
        let was_in_doubt = self
            .turns
            .get(&package)
            .is_some_and(|turn| turn.is_in_doubt);
        let is_in_doubt = !was_in_doubt
            && said
                .as_ref()
                .is_some_and(|said| misses(before.as_ref(), said, &floor));
        let next = match is_in_doubt {
            true => now.plus(DOUBT),
            false => now.plus(self.spread(&package, now)),
        };
        self.turns
            .insert(package.clone(), Turn { next, is_in_doubt });
        let Some(said) = said else {
            return false;
        };
        let known = match (is_in_doubt, before) {
            (false, _) => Known {
                said,
                validator,
                floor,
            },
            // It is asked for whole, and believed then.
            (true, Some(before)) => Known {
                said: joined(&before.said, &said),
                validator: None,
                floor,
            },
            (true, None) => return false,
        };
        self.controller.note_known(self.ecosystem, &package, known);
        true
    }

    /// Asks nothing for a while.
    fn pause(&mut self, error: &Error, now: Timestamp) {
        let (answer, asked) = match error {
            Error::Away { retry_after, .. } => ("away", *retry_after),
            Error::Refused { .. } | Error::Garbled { .. } => ("refused", None),
        };
        self.controller
            .metrics
            .index_request(self.ecosystem, answer);
        // Of several that failed at once, one counts.
        if self.paused_until.is_none_or(|until| until <= now) {
            self.failures = self.failures.saturating_add(1);
        }
        let longer = PAUSE.saturating_mul(1 << self.failures.saturating_sub(1).min(10));
        let until = now.plus(asked.unwrap_or(longer.min(PAUSE_MAX)));
        let until = self.paused_until.map_or(until, |other| other.max(until));
        self.paused_until = Some(until);
        let problem = format!("{error}; it is asked again on {until}");
        self.controller.show_index(self.ecosystem, problem);
    }

    /// The interval, a tenth more or less, so that what was asked for at once spreads.
    fn spread(&self, package: &PackageName, now: Timestamp) -> Duration {
        let hasher = BuildHasherDefault::<DefaultHasher>::default();
        let part = hasher.hash_one((package.normal(), now.unix_ms())) % 1_000;
        self.interval.mul_f64(0.9 + part as f64 / 5_000.0)
    }

    /// Reads what versions need, of which it is not known yet; says whether anything is.
    async fn read_needs(&mut self) -> bool {
        let snapshot = self.controller.snapshot();
        let mut requests = self.requests_per_s;
        let mut is_news = false;
        let tracked = |entry: &&PinSetEntry| entry.stored.record.track;
        for entry in self.entries(&snapshot).filter(tracked) {
            let mut unread = self.controller.unread(entry);
            unread.retain(|one| {
                let is_asked = matches!(one.needs, Needs::At(_));
                let may = !is_asked || requests > 0;
                requests -= usize::from(is_asked && may);
                may
            });
            unread.truncate(READ_MAX);
            let read = self.read(unread).await;
            is_news |= !read.is_empty();
            let name = &entry.stored.record.name;
            if let Err(refusal) = self.controller.put_published(name, read).await {
                tracing::warn!(pin_set = %name, %refusal, "what versions need could not be kept; it is tried again");
            }
        }
        is_news
    }

    async fn read(
        &mut self,
        unread: Vec<Unread>,
    ) -> Vec<(
        PackageName,
        Version,
        Vec<pinion_core::requires::Requirement>,
    )> {
        let mut asking = JoinSet::new();
        for one in unread {
            let index = Arc::clone(&self.index);
            asking.spawn(async move {
                let needs = index.needs(&one.needs).await;
                (one, needs)
            });
        }
        let mut read = Vec::new();
        while let Some(asked) = asking.join_next().await {
            match asked {
                Ok((one, Ok(needs))) => {
                    if matches!(one.needs, Needs::At(_)) {
                        let metrics = &self.controller.metrics;
                        metrics.index_request(self.ecosystem, "new");
                    }
                    read.push((one.package, one.version, needs));
                }
                Ok((one, Err(Error::Garbled { answer }))) => {
                    let (package, version) = (one.package, one.version);
                    tracing::warn!(package = package.written(), %version, answer, "what it needs is not understood");
                    self.controller.note_vain(self.ecosystem, package, version);
                }
                Ok((_, Err(error))) => self.pause(&error, self.controller.clock.now()),
                Err(error) => tracing::error!(%error, "asking an index failed"),
            }
        }
        read
    }

    /// Hands on what follows from what is known: what is next, and what was taken back.
    async fn follow(&self) {
        let snapshot = self.controller.snapshot();
        for entry in self.entries(&snapshot) {
            let name = &entry.stored.record.name;
            if entry.stored.record.track {
                for yanked in self.controller.yanked_on_trial(entry) {
                    self.controller.tell_yanked(yanked).await;
                }
            }
            if let Err(refusal) = self.controller.queue_tracked(name).await {
                tracing::warn!(pin_set = %name, %refusal, "new versions could not be queued; it is tried again");
            }
        }
    }
}

/// What an answer says, with what only the one before had.
fn joined(before: &Said, said: &Said) -> Said {
    match (before, said) {
        (Said::Found(before), Said::Found(now)) => {
            let is_missing = |one: &&Listed| {
                let mut now = now.iter();
                now.all(|other| other.release.version != one.release.version)
            };
            let missing = before.iter().filter(is_missing);
            Said::Found(Arc::new(now.iter().chain(missing).cloned().collect()))
        }
        _ => before.clone(),
    }
}

/// Whether an answer lacks what the one before had, which one more look has to confirm.
fn misses(before: Option<&Known>, said: &Said, floor: &Version) -> bool {
    let has = |listed: &[Listed], version: &Version| {
        listed.iter().any(|one| one.release.version == *version)
    };
    match (before.map(|before| &before.said), said) {
        (None | Some(Said::Found(_)), Said::Absent) => true,
        (Some(Said::Found(before)), Said::Found(now)) => {
            let mut before = before.iter().map(|one| &one.release.version);
            before.any(|version| !floor.is_newer_than(version) && !has(now, version))
        }
        _ => false,
    }
}
