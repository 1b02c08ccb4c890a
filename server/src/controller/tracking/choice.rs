//! Which versions the pins of a tracked pin set are moved to next, and their way into its queue.

use pinion_core::name::{PackageName, PinSetName};
use pinion_core::pin::{PackageChange, Pin};
use pinion_core::queue::{Asked, Wanted, put};
use pinion_core::release::{Release, next};
use pinion_core::rollout::Lane;
use pinion_core::state::Actor;
use pinion_core::time::Timestamp;
use pinion_core::version::Version;

use super::super::policies::effective;
use super::super::queue::{Standing, put_queue, standing_of, wanted_of};
use super::super::{Controller, Draft, Refusal};
use super::{Known, Said};
use crate::snapshot::{PinSetEntry, Snapshot};

impl Controller {
    /// Puts the versions that are next into the queue of a pin set, and takes out those that are not any more.
    pub(crate) async fn queue_tracked(&self, pin_set: &PinSetName) -> Result<(), Refusal> {
        let _lock = self.lock().await;
        let snapshot = self.snapshot();
        let Some(entry) = snapshot.pin_set(pin_set) else {
            return Ok(());
        };
        let track = entry.stored.record.track;
        let pins: Vec<PackageChange> = entry.baseline.iter().map(as_change).collect();
        if track && !self.has_read_needs(entry, &pins) {
            return Ok(());
        }
        let chosen = match track {
            true => self.chosen(&snapshot, entry),
            false => Vec::new(),
        };
        let mut queue = entry.queue.to_vec();
        let is_chosen = |wanted: &Wanted| {
            let mut chosen = chosen.iter();
            chosen.any(|chosen| chosen.package == wanted.package)
        };
        queue.retain(|wanted| wanted.from != Asked::Index || is_chosen(wanted));
        let now = self.clock.now();
        for chosen in &chosen {
            if !self.has_read_needs(entry, &chosen.changes) {
                continue;
            }
            let by = (Asked::Index, Actor::Controller, now);
            let mut wanted = wanted_of(&chosen.package, &chosen.changes, by);
            wanted.published_at = Some(chosen.published_at);
            put(&mut queue, wanted);
        }
        if track {
            queue.iter_mut().for_each(|wanted| self.date(entry, wanted));
        }
        if queue != *entry.queue {
            let mut draft = Draft::default();
            put_queue(&mut draft, &snapshot, pin_set, &queue)?;
            self.commit(draft).await?;
        }
        Ok(())
    }

    /// Says of what waits when it was published, where the index tells.
    fn date(&self, entry: &PinSetEntry, wanted: &mut Wanted) {
        let ecosystem = entry.stored.record.ecosystem;
        let Some(known) = self.known(ecosystem, &wanted.package) else {
            return;
        };
        let of = |(_, version): &(_, Version)| known.listed(version)?.release.published_at;
        let times: Option<Vec<Timestamp>> = wanted.versions.iter().map(of).collect();
        if let Some(youngest) = times.and_then(|times| times.into_iter().max()) {
            wanted.published_at = Some(youngest);
        }
    }

    /// What the pins of a pin set are moved to next.
    pub(super) fn chosen(&self, snapshot: &Snapshot, entry: &PinSetEntry) -> Vec<Chosen> {
        let now = self.clock.now();
        let ecosystem = entry.stored.record.ecosystem;
        let mut all: Vec<Chosen> = Vec::new();
        for pin in entry.baseline.iter() {
            let Some(Known {
                said: Said::Found(listed),
                ..
            }) = self.known(ecosystem, &pin.package)
            else {
                continue;
            };
            let choice = Choice {
                snapshot,
                entry,
                pin,
                now,
            };
            let at = |release: &Release| choice.old_enough_at(release);
            let Some(release) = next(listed.iter().map(|one| &one.release), &pin.version, at, now)
            else {
                continue;
            };
            let (change, published_at) = (choice.change(release), choice.published_at(release));
            match all.last_mut().filter(|last| last.package == pin.package) {
                Some(last) => {
                    last.changes.push(change);
                    last.published_at = last.published_at.max(published_at);
                }
                None => all.push(Chosen {
                    package: pin.package.clone(),
                    changes: vec![change],
                    published_at,
                }),
            }
        }
        all
    }
}

/// What the pins of a package are moved to next.
pub(super) struct Chosen {
    package: PackageName,
    pub(super) changes: Vec<PackageChange>,
    /// When the youngest was published.
    published_at: Timestamp,
}

/// One pin whose next version is looked for.
struct Choice<'a> {
    snapshot: &'a Snapshot,
    entry: &'a PinSetEntry,
    pin: &'a Pin,
    now: Timestamp,
}

impl Choice<'_> {
    fn change(&self, release: &Release) -> PackageChange {
        PackageChange {
            package: self.pin.package.clone(),
            marker: self.pin.marker.clone(),
            from: Some(self.pin.version.clone()),
            to: Some(release.version.clone()),
        }
    }

    /// When a version was published, at the latest: where the index does not tell, when it was first seen.
    fn published_at(&self, release: &Release) -> Timestamp {
        let is_same = |wanted: &&Wanted| {
            let mut versions = wanted.versions.iter();
            wanted.package == self.pin.package
                && versions.any(|(_, version)| *version == release.version)
        };
        let waiting = self.entry.queue.iter().find(is_same);
        let seen = waiting.map(|wanted| wanted.published_at.unwrap_or(wanted.since));
        release.published_at.or(seen).unwrap_or(self.now)
    }

    /// When a version is old enough; `None`: it is on trial, or was taken back here.
    fn old_enough_at(&self, release: &Release) -> Option<Timestamp> {
        let record = &self.entry.stored.record;
        let changes = [self.change(release)];
        let by = (&Asked::Index, self.now);
        match standing_of(self.snapshot, &record.name, &changes, by) {
            Standing::New => {}
            Standing::OnTrial | Standing::Refused(_) => return None,
        }
        let policy = effective(record, &changes, Lane::Ordinary).ok()?;
        Some(self.published_at(release).plus(policy.minimum_age))
    }
}

fn as_change(pin: &Pin) -> PackageChange {
    PackageChange {
        package: pin.package.clone(),
        marker: pin.marker.clone(),
        from: None,
        to: Some(pin.version.clone()),
    }
}
