//! Versions that wait for their trial: put in by imports and followed files alike, and started as
//! places become free, the oldest first.
//!
//! A version is taken out after its rollout was created, in a transaction of its own: what is on trial, or the baseline,
//! is taken out whenever that is seen, so that a server that dies between the two starts nothing twice.

use std::collections::BTreeMap;

use pinion_core::name::{PackageName, PinSetName, RolloutId};
use pinion_core::pin::{PackageChange, Pins};
use pinion_core::policy::Overlap;
use pinion_core::queue::{Asked, Wanted, bundles, put};
use pinion_core::reason::Reason;
use pinion_core::requires::Requirements;
use pinion_core::resolve::unmet;
use pinion_core::rollout::{Lane, Origin, Rollout};
use pinion_core::state::{Actor, State};
use pinion_core::time::Timestamp;

use super::{Candidate, Controller, Draft, Identity, NewRollout, Refusal};
use crate::snapshot::{PinSetEntry, Snapshot};
use crate::store::records::{Role, WantChunk, encode};
use crate::store::{Condition, keys};

/// Bytes of a queue, at most: it is changed in one transaction.
const QUEUE_BYTES_MAX: usize = 440 * 1024;
/// Why something waits of which is not known yet what it needs.
const UNREAD: &str = "it is not read yet from the index what it needs";
/// Bytes of a part of a queue.
const CHUNK_BYTES: usize = 12 * 1024;

/// What goes out in one rollout, and when.
#[derive(Clone, Debug)]
pub struct Planned {
    /// What waits, the oldest first.
    pub wanted: Vec<Wanted>,
    /// What it changes.
    pub changes: Vec<PackageChange>,
    /// Whether it starts.
    pub verdict: Verdict,
}

/// Whether something that waits is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is started now.
    Starts,
    /// As many rollouts are open as the policy allows.
    NoPlace {
        /// How many that is.
        open: usize,
        /// How many wait for a place before it.
        before: usize,
    },
    /// It is old enough then.
    TooYoung(Timestamp),
    /// Something else stands in the way; what, in words.
    Waits(String),
}

impl Verdict {
    /// Why it waits; empty: it is started now.
    pub fn words(&self) -> String {
        match self {
            Self::Starts => String::new(),
            Self::NoPlace { open, before } => {
                let open = match open {
                    1 => "1 rollout is open".to_owned(),
                    open => format!("{open} rollouts are open"),
                };
                let turn = match before {
                    0 => "it is the next".to_owned(),
                    1 => "1 waits before it".to_owned(),
                    before => format!("{before} wait before it"),
                };
                format!("{open}, as many as the policy allows; {turn}")
            }
            Self::TooYoung(until) => format!("too young; it is old enough on {until}"),
            Self::Waits(words) => words.clone(),
        }
    }
}

/// What became of a queue.
#[derive(Debug, Default)]
pub(super) struct Started {
    /// The rollouts that were started.
    pub(super) rollouts: Vec<RolloutId>,
    /// What waits still.
    pub(super) waiting: Vec<Planned>,
}

/// What differs between a baseline and a file, by what is done about it.
#[derive(Debug, Default)]
pub(super) struct Differences {
    /// Older versions, added and removed pins.
    pub(super) at_once: Vec<PackageChange>,
    /// Newer versions.
    pub(super) bumps: BTreeMap<PackageName, Vec<PackageChange>>,
}

/// Sorts what differs: a newer version is tried. An older one is a person's decision to go back, which is never delayed,
/// and an added or a removed pin has no other version to be compared with.
pub(super) fn sorted(changes: &[PackageChange]) -> Differences {
    let mut differences = Differences::default();
    for change in changes {
        match (&change.from, &change.to) {
            (Some(from), Some(to)) if to.is_newer_than(from) => {
                let bumps = differences.bumps.entry(change.package.clone()).or_default();
                bumps.push(change.clone());
            }
            _ => differences.at_once.push(change.clone()),
        }
    }
    differences
}

/// What is known of newer versions that somebody asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nothing stands in the way.
    New,
    /// A rollout of them is open.
    OnTrial,
    /// They are not tried; why, in words.
    Refused(String),
}

/// What is known of the newer versions `changes` of one package, asked for in `from` since `since`.
pub(super) fn standing_of(
    snapshot: &Snapshot,
    pin_set: &PinSetName,
    changes: &[PackageChange],
    (from, since): (&Asked, Timestamp),
) -> Standing {
    let is_of = |rollout: &Rollout| changes.iter().all(|change| has(rollout, change));
    if snapshot
        .open_rollouts(pin_set)
        .iter()
        .any(|rollout| is_of(rollout))
    {
        return Standing::OnTrial;
    }
    for change in changes {
        let Some(to) = &change.to else { continue };
        if let Some(block) = snapshot.block(pin_set, &change.package, to)
            && block.record.incompatible_with.is_empty()
        {
            let where_from = match from {
                Asked::Source(_) => ", and the file still has it",
                Asked::Import | Asked::Index => "",
            };
            return Standing::Refused(format!(
                "{} {to} is blocked since rollout {} was rolled back{where_from}",
                change.package.written(),
                block.record.rollout
            ));
        }
    }
    let stopped = snapshot
        .rollouts()
        .map(|stored| &stored.record)
        .filter(|rollout| rollout.pin_set == *pin_set && is_of(rollout))
        .max_by_key(|rollout| rollout.created_at);
    let Some(stopped) = stopped else {
        return Standing::New;
    };
    let is_asked_anew = *from == Asked::Import && stopped.updated_at < since;
    match &stopped.state {
        State::Aborted { by, .. } if *by != Actor::Controller && !is_asked_anew => {
            Standing::Refused(aborted(changes, &stopped.id, by))
        }
        State::Completed { .. } | State::RolledBack { .. }
            if stopped.is_shadow()
                && !is_asked_anew
                && is_still_in_shadow(snapshot, pin_set, changes) =>
        {
            Standing::Refused(played(stopped))
        }
        _ => Standing::New,
    }
}

/// Whether a rollout of the changes would only be played, by the policy as it is now.
fn is_still_in_shadow(
    snapshot: &Snapshot,
    pin_set: &PinSetName,
    changes: &[PackageChange],
) -> bool {
    snapshot.pin_set(pin_set).is_some_and(|entry| {
        let record = &entry.stored.record;
        let policy = record
            .policy
            .effective(record.ecosystem, changes, Lane::Ordinary);
        policy.is_ok_and(|policy| policy.shadow)
    })
}

fn played(rollout: &Rollout) -> String {
    format!(
        "{} was played in shadow by rollout {}, which ended as {}; with `shadow = false` in the policy it is tried",
        super::pins::changes_in_words(rollout),
        rollout.id,
        rollout.state.kind()
    )
}

fn aborted(changes: &[PackageChange], id: &RolloutId, by: &Actor) -> String {
    let named = changes.first().map_or_else(String::new, |change| {
        let to = change
            .to
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default();
        format!("{} {to}", change.package.written())
    });
    format!(
        "{named} is not tried again by itself, since {by} aborted rollout {id}; `pinion rollout start` tries it"
    )
}

fn has(rollout: &Rollout, change: &PackageChange) -> bool {
    rollout.changes.iter().any(|other| {
        other.package == change.package && other.marker == change.marker && other.to == change.to
    })
}

/// Newer versions of one package as they wait.
pub(super) fn wanted_of(
    package: &PackageName,
    changes: &[PackageChange],
    (from, by, since): (Asked, Actor, Timestamp),
) -> Wanted {
    let version = |change: &PackageChange| Some((change.marker.clone(), change.to.clone()?));
    Wanted {
        package: package.clone(),
        versions: changes.iter().filter_map(version).collect(),
        published_at: None,
        since,
        by,
        from,
    }
}

/// Newer versions put into a copy of a queue.
#[derive(Debug)]
pub(super) struct Enqueued {
    /// The queue with them.
    pub(super) queue: Vec<Wanted>,
    /// Whether it differs.
    pub(super) is_changed: bool,
    /// Why some are not in it.
    pub(super) refused: Vec<String>,
}

/// The queue with newer versions put in, those that are on trial or refused left out.
pub(super) fn enqueued(
    snapshot: &Snapshot,
    entry: &PinSetEntry,
    bumps: &BTreeMap<PackageName, Vec<PackageChange>>,
    (from, by, since): (&Asked, &Actor, Timestamp),
) -> Enqueued {
    let mut enqueued = Enqueued {
        queue: entry.queue.to_vec(),
        is_changed: false,
        refused: Vec::new(),
    };
    for (package, changes) in bumps {
        let name = &entry.stored.record.name;
        match standing_of(snapshot, name, changes, (from, since)) {
            Standing::New => {
                let wanted = wanted_of(package, changes, (from.clone(), by.clone(), since));
                enqueued.is_changed |= put(&mut enqueued.queue, wanted);
            }
            Standing::OnTrial => {}
            Standing::Refused(words) => enqueued.refused.push(words),
        }
    }
    enqueued
}

impl Controller {
    /// What waits in a pin set, the oldest first, and why.
    ///
    /// # Errors
    /// If the pin set is unknown, or the caller may not see it.
    pub async fn queue(
        &self,
        caller: &Identity,
        pin_set: &PinSetName,
    ) -> Result<Vec<Planned>, Refusal> {
        caller.require(&[Role::Viewer])?;
        caller.require_pin_set(pin_set)?;
        let snapshot = self.snapshot();
        let entry = entry_of(&snapshot, pin_set)?;
        self.plan(pin_set, &entry.queue, &entry.requirements).await
    }

    /// Takes what waits for these packages out of the queue.
    ///
    /// # Errors
    /// If nothing waits for one of them.
    pub async fn drop_wanted(
        &self,
        caller: &Identity,
        pin_set: &PinSetName,
        packages: &[String],
    ) -> Result<Vec<Wanted>, Refusal> {
        caller.require(&[Role::ReleaseManager])?;
        caller.require_pin_set(pin_set)?;
        // What is being started just now is not dropped as well.
        let _starting = self.starting.lock().await;
        let _lock = self.lock().await;
        let snapshot = self.snapshot();
        let entry = entry_of(&snapshot, pin_set)?;
        let ecosystem = entry.stored.record.ecosystem;
        let mut queue = entry.queue.to_vec();
        let mut dropped = Vec::new();
        for (index, text) in packages.iter().enumerate() {
            let package = PackageName::parse(ecosystem, text)
                .map_err(|error| Refusal::invalid(format!("packages[{index}]"), error))?;
            let place = queue.iter().position(|wanted| wanted.package == package);
            let place = place.ok_or_else(|| Refusal::NotFound {
                kind: "waiting version of",
                name: package.written().to_owned(),
                hint: "`pinion pin-set queue` lists what waits",
            })?;
            if queue[place].from == Asked::Index {
                return Err(Refusal::Precondition {
                    code: "INDEX_HAS_IT",
                    cause: format!(
                        "the index has the version of `{}`, and would bring it back",
                        package.written()
                    ),
                    hint: "start it and abort it, then it is not tried again by itself; or watch the index no longer with `pinion pin-set update --no-track`".to_owned(),
                });
            }
            dropped.push(queue.remove(place));
        }
        let mut draft = Draft::default();
        put_queue(&mut draft, &snapshot, pin_set, &queue)?;
        self.commit(draft).await?;
        for wanted in &dropped {
            tracing::info!(actor = %caller.actor, %pin_set, package = wanted.package.written(), "taken out of the queue");
        }
        Ok(dropped)
    }

    /// Starts what waits in a pin set and has a place, in every pin set that has a queue.
    pub async fn start_all_waiting(&self) {
        let snapshot = self.snapshot();
        for entry in snapshot.pin_sets() {
            let name = &entry.stored.record.name;
            if entry.queue.is_empty() {
                continue;
            }
            match self.start_waiting(name).await {
                Ok(started) => self.tell_waiting(name, &started.waiting).await,
                Err(refusal) => {
                    tracing::warn!(pin_set = %name, %refusal, "what waits could not be started; it is tried again");
                }
            }
        }
    }

    /// Starts what waits in a pin set and has a place.
    pub(super) async fn start_waiting(&self, pin_set: &PinSetName) -> Result<Started, Refusal> {
        let _starting = self.starting.lock().await;
        self.take_out_settled(pin_set).await?;
        let snapshot = self.snapshot();
        let entry = entry_of(&snapshot, pin_set)?;
        let mut started = Started::default();
        let plan = self.plan(pin_set, &entry.queue, &entry.requirements);
        for mut planned in plan.await? {
            if planned.verdict == Verdict::Starts {
                let (caller, new) = rollout_of(pin_set, &planned, Purpose::Start);
                match self.create_rollout(&caller, &new).await {
                    Ok((rollout, _)) => {
                        tracing::info!(%pin_set, rollout = %rollout.id, packages = rollout.changes.len(), "a waiting version is tried");
                        started.rollouts.push(rollout.id);
                        continue;
                    }
                    Err(refusal @ Refusal::Store(_)) => return Err(refusal),
                    Err(refusal) => planned.verdict = Verdict::Waits(refusal.to_string()),
                }
            }
            started.waiting.push(planned);
        }
        if !started.rollouts.is_empty() {
            self.take_out_settled(pin_set).await?;
        }
        Ok(started)
    }

    /// Takes out what is on trial, the baseline or refused.
    async fn take_out_settled(&self, pin_set: &PinSetName) -> Result<(), Refusal> {
        let _lock = self.lock().await;
        let snapshot = self.snapshot();
        let entry = entry_of(&snapshot, pin_set)?;
        let waits = |wanted: &&Wanted| {
            let changes = wanted.changes(&entry.baseline);
            if changes.is_empty() {
                return false;
            }
            match standing_of(&snapshot, pin_set, &changes, (&wanted.from, wanted.since)) {
                Standing::New => true,
                Standing::OnTrial => false,
                Standing::Refused(words) => {
                    tracing::info!(%pin_set, package = wanted.package.written(), words, "taken out of the queue");
                    false
                }
            }
        };
        let queue: Vec<Wanted> = entry.queue.iter().filter(waits).cloned().collect();
        if queue.len() == entry.queue.len() {
            return Ok(());
        }
        let mut draft = Draft::default();
        put_queue(&mut draft, &snapshot, pin_set, &queue)?;
        self.commit(draft).await?;
        Ok(())
    }

    /// What of a queue would be started now, and what the rest waits for.
    pub(super) async fn plan(
        &self,
        pin_set: &PinSetName,
        queue: &[Wanted],
        requirements: &Requirements,
    ) -> Result<Vec<Planned>, Refusal> {
        let snapshot = self.snapshot();
        let entry = entry_of(&snapshot, pin_set)?;
        let open: Vec<&Rollout> = snapshot
            .open_rollouts(pin_set)
            .iter()
            .map(AsRef::as_ref)
            .collect();
        let mut plan = Plan {
            entry,
            requirements,
            open: open.clone(),
            taken: open.len(),
            before: 0,
            starting: Vec::new(),
        };
        let bundles = bundles(queue, &entry.baseline, requirements, &open);
        let mut all = Vec::new();
        for bundle in bundles {
            let mut planned = Planned {
                wanted: bundle
                    .members
                    .iter()
                    .map(|member| queue[*member].clone())
                    .collect(),
                changes: bundle.changes,
                verdict: Verdict::Starts,
            };
            planned.verdict = match bundle.wait {
                _ if !self.has_read_needs(entry, &planned.changes) => {
                    Verdict::Waits(UNREAD.to_owned())
                }
                Some(wait) => Verdict::Waits(wait.to_string()),
                None => match plan.place_for(&planned.changes) {
                    Verdict::Starts => self.examined(pin_set, &planned).await?,
                    waits => waits,
                },
            };
            plan.note(&planned);
            all.push(planned);
        }
        Ok(all)
    }

    /// Whether a rollout of it would be created, and is old enough.
    async fn examined(&self, pin_set: &PinSetName, planned: &Planned) -> Result<Verdict, Refusal> {
        let (caller, new) = rollout_of(pin_set, planned, Purpose::Examine);
        let now = self.clock.now();
        match self.create_rollout(&caller, &new).await {
            Ok((rollout, _)) => Ok(match rollout.not_before {
                // It waits here, where it takes no place from those who are old enough.
                Some((until, _)) if until > now => Verdict::TooYoung(until),
                _ => Verdict::Starts,
            }),
            Err(refusal @ Refusal::Store(_)) => Err(refusal),
            Err(refusal) => Ok(Verdict::Waits(refusal.to_string())),
        }
    }
}

/// A plan in the making.
struct Plan<'a> {
    entry: &'a PinSetEntry,
    requirements: &'a Requirements,
    open: Vec<&'a Rollout>,
    /// Places that are taken, by open rollouts and by what starts.
    taken: usize,
    /// How many wait for a place.
    before: usize,
    /// What starts.
    starting: Vec<Vec<PackageChange>>,
}

impl Plan<'_> {
    fn overlapping(&self, changes: &[PackageChange]) -> Vec<&Rollout> {
        let concerns = |rollout: &&&Rollout| {
            let mut changes = changes.iter();
            changes.any(|change| rollout.concerns(&change.package))
        };
        self.open.iter().filter(concerns).copied().collect()
    }

    fn place_for(&self, changes: &[PackageChange]) -> Verdict {
        let policy = &self.entry.stored.record.policy;
        let overlapping = self.overlapping(changes);
        if let (Some(rollout), Overlap::Refuse) = (overlapping.first(), policy.overlap) {
            return Verdict::Waits(format!(
                "the open rollout {} changes the same package",
                rollout.id
            ));
        }
        let most = policy.open_rollouts_max as usize;
        if self.taken.saturating_sub(overlapping.len()) >= most {
            return Verdict::NoPlace {
                open: most,
                before: self.before,
            };
        }
        let mut drawn: Vec<&[PackageChange]> = self.starting.iter().map(Vec::as_slice).collect();
        drawn.push(changes);
        let reasons = unmet(&self.entry.baseline, self.requirements, &drawn);
        match reasons.into_iter().next_back().flatten() {
            Some(unmet) => Verdict::Waits(format!("with what starts before it, {unmet}")),
            None => Verdict::Starts,
        }
    }

    fn note(&mut self, planned: &Planned) {
        match planned.verdict {
            Verdict::Starts => {
                let ended = self.overlapping(&planned.changes).len();
                self.taken = self.taken.saturating_sub(ended) + 1;
                self.starting.push(planned.changes.clone());
            }
            Verdict::NoPlace { .. } => self.before += 1,
            Verdict::TooYoung(_) | Verdict::Waits(_) => {}
        }
    }
}

/// What a rollout is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Start,
    Examine,
}

fn rollout_of(pin_set: &PinSetName, planned: &Planned, purpose: Purpose) -> (Identity, NewRollout) {
    let of = |change: &PackageChange| {
        let mut wanted = planned.wanted.iter();
        let wanted = wanted.find(|wanted| wanted.package == change.package);
        // It exists at least since it was seen first: a minimum age counts from then.
        wanted.map(|wanted| wanted.published_at.unwrap_or(wanted.since))
    };
    let candidate = |change: &PackageChange| Candidate {
        package: change.package.written().to_owned(),
        version: change
            .to
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        marker: change
            .marker
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        published_at: of(change),
    };
    let origin = planned.wanted.iter().find_map(|wanted| match &wanted.from {
        Asked::Source(origin) => Some(Origin::clone(origin)),
        Asked::Import | Asked::Index => None,
    });
    let is_asked_by_people = |wanted: &Wanted| wanted.from != Asked::Index;
    let oldest = planned.wanted.first();
    let reason = match &origin {
        Some(origin) => Reason::InSource {
            origin: origin.clone(),
        },
        None if planned.wanted.iter().any(is_asked_by_people) => Reason::Created,
        None => Reason::InIndex,
    };
    let caller = Identity {
        actor: oldest.map_or(Actor::Controller, |wanted| wanted.by.clone()),
        role: Role::Admin,
        pin_set: None,
        environment: None,
    };
    let new = NewRollout {
        pin_set: pin_set.clone(),
        candidates: planned.changes.iter().map(candidate).collect(),
        allow_downgrade: false,
        expected_revision: 0,
        validate_only: purpose == Purpose::Examine,
        lane: Lane::Ordinary,
        origin,
        reason,
        requires: Vec::new(),
    };
    (caller, new)
}

fn entry_of<'a>(snapshot: &'a Snapshot, pin_set: &PinSetName) -> Result<&'a PinSetEntry, Refusal> {
    snapshot
        .pin_set(pin_set)
        .ok_or_else(|| Refusal::no_pin_set(pin_set))
}

/// Puts a whole queue, in parts, into a transaction, on the condition that it is as it was read.
pub(super) fn put_queue(
    draft: &mut Draft,
    snapshot: &Snapshot,
    pin_set: &PinSetName,
    queue: &[Wanted],
) -> Result<(), Refusal> {
    let mut chunks: Vec<WantChunk> = Vec::new();
    let (mut bytes, mut all) = (CHUNK_BYTES, 0);
    for wanted in queue {
        let size = encode(wanted).len();
        if bytes + size > CHUNK_BYTES {
            chunks.push(WantChunk::default());
            bytes = 0;
        }
        bytes += size;
        all += size;
        if let Some(chunk) = chunks.last_mut() {
            chunk.wanted.push(wanted.clone());
        }
    }
    if all > QUEUE_BYTES_MAX {
        return Err(Refusal::Exhausted {
            cause: format!(
                "{} versions of {all} bytes are more than the {QUEUE_BYTES_MAX} bytes that may wait in one pin set",
                queue.len()
            ),
            hint: "import with `--at-once`, or a part of the file".to_owned(),
        });
    }
    let before: Vec<_> = snapshot.queue_chunks(pin_set).collect();
    for (key, stored) in &before {
        draft.require(Condition::Modified((*key).clone(), stored.modified));
    }
    for (index, chunk) in chunks.iter().enumerate() {
        let key = keys::want(pin_set, index);
        if index >= before.len() {
            draft.require(Condition::Absent(key.clone()));
        }
        draft.put(key, encode(chunk));
    }
    for (key, _) in before.into_iter().skip(chunks.len()) {
        draft.delete(key.clone());
    }
    Ok(())
}

/// The pins of a package that a file has, as versions by marker; whether the queue's are among them.
pub(super) fn is_in(wanted: &Wanted, pins: &Pins) -> bool {
    wanted.versions.iter().any(|(marker, version)| {
        let mut of_package = pins.of_package(&wanted.package);
        of_package.any(|pin| pin.marker == *marker && pin.version == *version)
    })
}
