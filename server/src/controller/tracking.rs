//! Pin sets whose index is watched: what the index said, what follows for their queues and for what is on trial, and how
//! it goes. When an index is asked is decided by its [loop](crate::loops::indexes).
//!
//! What an index said is kept in memory, since it is cheap to ask again; what versions need is kept in the store. Nothing
//! is queued before it is known what the baseline's pins need, so that no candidate breaks what one of them asks for.

mod choice;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pinion_core::ecosystem::Ecosystem;
use pinion_core::name::{PackageName, PinSetName};
use pinion_core::pin::{PackageChange, Pin};
use pinion_core::requires::Requirement;
use pinion_core::rollout::CANDIDATES_MAX;
use pinion_core::version::Version;

use super::requires::record_of;
use super::{Controller, Draft, NewRollout, Refusal};
use crate::index::{Error as IndexError, Listed, Listing, Needs, Validator};
use crate::loops::promotion::Yanked;
use crate::snapshot::{PinSetEntry, Snapshot};
use crate::store::keys;
use crate::store::records::encode;

/// Bytes of what is kept of what one version needs, at most: a record has to hold it.
const PUBLISHED_BYTES_MAX: usize = 10 * 1024;

/// How long a person waits for an index, who starts a rollout.
const READ_WAIT: Duration = Duration::from_secs(10);

/// How watching an index goes for a pin set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tracking {
    /// Packages that are watched.
    pub packages: usize,
    /// Of those, the ones that the index has answered for.
    pub answered: usize,
    /// Pins of which is not read yet what they need.
    pub unread: usize,
    /// Packages that the index does not have.
    pub absent: Vec<String>,
    /// Pins of the baseline that were taken back, in words.
    pub yanked: Vec<String>,
    /// What stands in the way, in words; empty: nothing.
    pub problem: String,
}

/// What an index said of a package last.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    /// What.
    pub(crate) said: Said,
    /// By which it tells whether that has changed.
    pub(crate) validator: Option<Validator>,
    /// The oldest version that was kept.
    pub(crate) floor: Version,
}

/// What an index said.
#[derive(Clone, Debug)]
pub(crate) enum Said {
    /// It has these versions, from the oldest that anybody has.
    Found(Arc<Vec<Listed>>),
    /// It has no such package.
    Absent,
    /// Nothing that is understood; in words.
    Garbled(String),
}

impl Known {
    fn listed(&self, version: &Version) -> Option<&Listed> {
        let Said::Found(listed) = &self.said else {
            return None;
        };
        listed.iter().find(|one| one.release.version == *version)
    }
}

/// A version of which is to be read what it needs.
#[derive(Clone, Debug)]
pub(crate) struct Unread {
    pub(crate) package: PackageName,
    pub(crate) version: Version,
    pub(crate) needs: Needs,
}

/// What the indexes said, by ecosystem.
pub(super) type Watched = Mutex<HashMap<Ecosystem, OfIndex>>;

/// What one index said.
#[derive(Debug, Default)]
pub(super) struct OfIndex {
    known: HashMap<PackageName, Known>,
    /// Versions whose requirements were asked for and not understood.
    vain: HashSet<(PackageName, Version)>,
    /// Why it gave no answer last; empty: it did.
    problem: String,
}

impl OfIndex {
    /// Whether it is known what a version needs, as far as it ever will be.
    fn has_read(&self, snapshot: &Snapshot, at: (&PinSetName, &PackageName, &Version)) -> bool {
        let (pin_set, package, version) = at;
        let record = snapshot.requires_of(pin_set, package, version);
        record.is_some_and(|record| record.published.is_some())
            || self.vain.contains(&(package.clone(), version.clone()))
            || match self.known.get(package) {
                None => false,
                Some(known) => known.listed(version).is_none(),
            }
    }
}

impl Controller {
    fn of_index<T>(&self, ecosystem: Ecosystem, of: impl FnOnce(&mut OfIndex) -> T) -> T {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        of(watched.entry(ecosystem).or_default())
    }

    /// How watching its index goes; `None` where a pin set's is not watched.
    pub fn tracking(&self, entry: &PinSetEntry) -> Option<Tracking> {
        let record = &entry.stored.record;
        if !record.track {
            return None;
        }
        let snapshot = self.snapshot();
        let mut packages: Vec<&PackageName> =
            entry.baseline.iter().map(|pin| &pin.package).collect();
        packages.dedup();
        if self.indexes.get(record.ecosystem).is_none() {
            return Some(Tracking {
                packages: packages.len(),
                problem: super::pin_sets::no_index(record.ecosystem),
                ..Tracking::default()
            });
        }
        Some(self.of_index(record.ecosystem, |index| {
            let known = |package: &&&PackageName| index.known.contains_key(**package);
            let is_absent = |package: &&&PackageName| {
                let known = index.known.get(**package);
                known.is_some_and(|known| matches!(known.said, Said::Absent))
            };
            let garbled = packages.iter().find_map(|package| {
                let known = index.known.get(*package)?;
                let Said::Garbled(words) = &known.said else {
                    return None;
                };
                Some(format!("{}: {words}", package.written()))
            });
            let problem = Some(index.problem.clone()).filter(|problem| !problem.is_empty());
            let unread =
                |pin: &&Pin| !index.has_read(&snapshot, (&record.name, &pin.package, &pin.version));
            let yanked = |pin: &Pin| {
                let known = index.known.get(&pin.package)?;
                let words = known.listed(&pin.version)?.release.yanked.as_ref()?;
                Some(yanked_in_words(&pin.package, &pin.version, words))
            };
            Tracking {
                packages: packages.len(),
                answered: packages.iter().filter(known).count(),
                unread: entry.baseline.iter().filter(unread).count(),
                absent: packages
                    .iter()
                    .filter(is_absent)
                    .map(|package| package.written().to_owned())
                    .collect(),
                yanked: entry.baseline.iter().filter_map(yanked).collect(),
                problem: problem.or(garbled).unwrap_or_default(),
            }
        }))
    }

    /// Why an index gave no answer last; empty: it did, or was not asked.
    pub(super) fn index_problem(&self, ecosystem: Ecosystem) -> String {
        self.of_index(ecosystem, |index| index.problem.clone())
    }

    /// How many indexes gave no answer last.
    pub(crate) fn failing_indexes(&self) -> usize {
        let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        watched
            .values()
            .filter(|index| !index.problem.is_empty())
            .count()
    }

    /// What an index said of a package last.
    pub(crate) fn known(&self, ecosystem: Ecosystem, package: &PackageName) -> Option<Known> {
        self.of_index(ecosystem, |index| index.known.get(package).cloned())
    }

    pub(crate) fn note_known(&self, ecosystem: Ecosystem, package: &PackageName, known: Known) {
        self.of_index(ecosystem, |index| {
            index.known.insert(package.clone(), known);
        });
    }

    /// Forgets what was said of packages that nobody watches any more.
    pub(crate) fn keep_known(&self, ecosystem: Ecosystem, is_kept: impl Fn(&PackageName) -> bool) {
        self.of_index(ecosystem, |index| {
            index.known.retain(|package, _| is_kept(package));
            index.vain.retain(|(package, _)| is_kept(package));
        });
    }

    pub(crate) fn note_vain(&self, ecosystem: Ecosystem, package: PackageName, version: Version) {
        self.of_index(ecosystem, |index| index.vain.insert((package, version)));
    }

    /// Shows why an index gives no answer; empty: it does.
    pub(crate) fn show_index(&self, ecosystem: Ecosystem, problem: String) {
        self.of_index(ecosystem, |index| {
            match (index.problem.is_empty(), problem.is_empty()) {
                (true, false) => tracing::warn!(%ecosystem, problem, "the index gives no answer"),
                (false, true) => tracing::info!(%ecosystem, "the index answers again"),
                _ => {}
            }
            index.problem = problem;
        });
    }

    /// Whether it is known what these versions need, in a pin set whose index is watched.
    pub(super) fn has_read_needs(&self, entry: &PinSetEntry, changes: &[PackageChange]) -> bool {
        let record = &entry.stored.record;
        if !record.track || self.indexes.get(record.ecosystem).is_none() {
            return true;
        }
        let snapshot = self.snapshot();
        self.of_index(record.ecosystem, |index| {
            let has_read = |change: &PackageChange| {
                let to = change.to.as_ref();
                to.is_none_or(|to| index.has_read(&snapshot, (&record.name, &change.package, to)))
            };
            changes.iter().all(has_read)
        })
    }

    /// Fails if a version was taken back by those who published it.
    pub(super) fn check_yanked(
        &self,
        entry: &PinSetEntry,
        changes: &[PackageChange],
    ) -> Result<(), Refusal> {
        let record = &entry.stored.record;
        if !record.track {
            return Ok(());
        }
        for change in changes {
            let Some(to) = &change.to else { continue };
            let known = self.known(record.ecosystem, &change.package);
            let listed = known.as_ref().and_then(|known| known.listed(to));
            if let Some(words) = listed.and_then(|listed| listed.release.yanked.as_ref()) {
                return Err(Refusal::Precondition {
                    code: "YANKED",
                    cause: yanked_in_words(&change.package, to, words),
                    hint: "try another version".to_owned(),
                });
            }
        }
        Ok(())
    }

    /// A request for a rollout, with when its versions were published, where only the index tells.
    pub(super) fn dated(&self, entry: &PinSetEntry, new: &NewRollout) -> NewRollout {
        let record = &entry.stored.record;
        let mut new = new.clone();
        if !record.track {
            return new;
        }
        for candidate in &mut new.candidates {
            let at = || {
                let package = PackageName::parse(record.ecosystem, &candidate.package).ok()?;
                let version = Version::parse(record.ecosystem, &candidate.version).ok()?;
                let known = self.known(record.ecosystem, &package)?;
                known.listed(&version)?.release.published_at
            };
            candidate.published_at = candidate.published_at.or_else(at);
        }
        new
    }

    /// Reads what the candidates of a rollout need, before a person starts it in a pin set that is tracked. What cannot be
    /// read now is read by the loop.
    pub async fn read_needs(&self, new: &NewRollout) {
        let snapshot = self.snapshot();
        let Some(entry) = snapshot.pin_set(&new.pin_set) else {
            return;
        };
        let record = &entry.stored.record;
        let Some(configured) = self.indexes.get(record.ecosystem).filter(|_| record.track) else {
            return;
        };
        let reading = async {
            let mut read = Vec::new();
            for candidate in new.candidates.iter().take(CANDIDATES_MAX) {
                let (Ok(package), Ok(version)) = (
                    PackageName::parse(record.ecosystem, &candidate.package),
                    Version::parse(record.ecosystem, &candidate.version),
                ) else {
                    continue;
                };
                let known = snapshot.requires_of(&record.name, &package, &version);
                if known.is_some_and(|known| known.published.is_some()) {
                    continue;
                }
                let index = &configured.index;
                let Listing::Found(found) = index.listing(&package, None).await? else {
                    continue;
                };
                let mut releases = found.releases.into_iter();
                if let Some(listed) = releases.find(|one| one.release.version == version) {
                    read.push((package, version, index.needs(&listed.needs).await?));
                }
            }
            Ok::<_, IndexError>(read)
        };
        match tokio::time::timeout(READ_WAIT, reading).await {
            Ok(Ok(read)) => {
                if let Err(refusal) = self.put_published(&record.name, read).await {
                    tracing::warn!(%refusal, "what the candidates need could not be kept");
                }
            }
            Ok(Err(error)) => tracing::info!(%error, "what the candidates need is read later"),
            Err(_) => tracing::info!("the index is slow; what the candidates need is read later"),
        }
    }

    /// The versions of a pin set of which is to be read what they need, those of its baseline first.
    pub(crate) fn unread(&self, entry: &PinSetEntry) -> Vec<Unread> {
        let snapshot = self.snapshot();
        let record = &entry.stored.record;
        let of_baseline = entry
            .baseline
            .iter()
            .map(|pin| (pin.package.clone(), pin.version.clone()));
        let of_queue = entry.queue.iter().flat_map(|wanted| {
            let versions = wanted.versions.iter();
            versions.map(|(_, version)| (wanted.package.clone(), version.clone()))
        });
        let open = snapshot.open_rollouts(&record.name).iter();
        let of_open = open
            .flat_map(|rollout| rollout.changes.iter())
            .filter_map(|change| Some((change.package.clone(), change.to.clone()?)));
        let mut all: Vec<(PackageName, Version)> =
            of_baseline.chain(of_queue).chain(of_open).collect();
        all.extend(
            self.chosen(&snapshot, entry)
                .into_iter()
                .flat_map(|chosen| chosen.changes)
                .filter_map(|change| Some((change.package, change.to?))),
        );
        // Pins of one package by marker move to the same version; one that is written in two ways is kept by both.
        let mut seen = HashSet::new();
        all.retain(|(package, version)| seen.insert((package.clone(), version.to_string())));
        self.of_index(record.ecosystem, |index| {
            let unread = |(package, version): (PackageName, Version)| {
                let at = (&record.name, &package, &version);
                if index.has_read(&snapshot, at) {
                    return None;
                }
                let needs = index.known.get(&package)?.listed(&version)?.needs.clone();
                Some(Unread {
                    package,
                    version,
                    needs,
                })
            };
            all.into_iter().filter_map(unread).collect()
        })
    }

    /// Keeps what versions need.
    pub(crate) async fn put_published(
        &self,
        pin_set: &PinSetName,
        read: Vec<(PackageName, Version, Vec<Requirement>)>,
    ) -> Result<(), Refusal> {
        let _lock = self.lock().await;
        let snapshot = self.snapshot();
        let Some(entry) = snapshot.pin_set(pin_set) else {
            return Ok(());
        };
        let mut draft = Draft::default();
        for (package, version, requirements) in read {
            let mut record = record_of(&snapshot, entry, &package, &version);
            record.published = Some(kept(entry, &package, requirements));
            let key = keys::requires(pin_set, &package, &version);
            draft.put(key, encode(&record));
        }
        match draft.is_empty() {
            true => Ok(()),
            false => self.commit(draft).await.map(|_| ()),
        }
    }

    /// The versions on trial that were taken back, or are not there any more.
    pub(crate) fn yanked_on_trial(&self, entry: &PinSetEntry) -> Vec<Yanked> {
        let snapshot = self.snapshot();
        let record = &entry.stored.record;
        let mut all = Vec::new();
        for rollout in snapshot.open_rollouts(&record.name) {
            let words = |change: &PackageChange| {
                let version = change.to.as_ref()?;
                let known = self.known(record.ecosystem, &change.package)?;
                // What the index never had is none of its business.
                let had = snapshot.requires_of(&record.name, &change.package, version);
                let had = had.is_some_and(|record| record.published.is_some());
                let words = match (&known.said, known.listed(version)) {
                    (Said::Found(_), Some(listed)) => listed.release.yanked.clone()?,
                    (Said::Found(_) | Said::Absent, None) if had => {
                        "it is in its index no longer".to_owned()
                    }
                    _ => return None,
                };
                Some(Yanked {
                    rollout: rollout.id.clone(),
                    package: change.package.clone(),
                    version: version.clone(),
                    words: one_line(&words),
                })
            };
            all.extend(rollout.changes.iter().find_map(words));
        }
        all
    }
}

/// What is kept of what a version needs: if it is too much, what other pins are needed comes first.
fn kept(
    entry: &PinSetEntry,
    package: &PackageName,
    mut requirements: Vec<Requirement>,
) -> Vec<Requirement> {
    let is_pinned = |one: &Requirement| entry.baseline.of_package(&one.package).next().is_some();
    requirements.sort_by_key(|one| !is_pinned(one));
    let mut bytes = 0;
    let count = requirements.len();
    requirements.retain(|one| {
        bytes += encode(one).len();
        bytes <= PUBLISHED_BYTES_MAX
    });
    if requirements.len() < count {
        tracing::warn!(
            package = package.written(),
            count,
            kept = requirements.len(),
            "needs more than can be kept"
        );
    }
    requirements
}

fn yanked_in_words(package: &PackageName, version: &Version, words: &str) -> String {
    let package = package.written();
    match one_line(words).as_str() {
        "" => format!("{package} {version} was taken back by those who published it"),
        words => format!("{package} {version} was taken back by those who published it: {words}"),
    }
}

/// What strangers wrote, as a part of one line.
fn one_line(words: &str) -> String {
    const CHARS_MAX: usize = 200;
    let words = words.chars().map(|c| if c.is_control() { ' ' } else { c });
    let line: String = words.take(CHARS_MAX).collect();
    line.trim().to_owned()
}
