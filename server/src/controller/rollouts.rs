//! Rollouts as release managers ask for them. What happens to one after its creation is carried out by
//! the promotion loop, on the evidence of that moment; here it is only asked for.

use std::sync::Arc;

use pinion_core::draw::{Seed, Share};
use pinion_core::evidence::{Evidence, Ordinal};
use pinion_core::figures::{Ended, Returning};
use pinion_core::log::LogEntry;
use pinion_core::name::{PackageName, PinSetName, RolloutId};
use pinion_core::notice::Told;
use pinion_core::pin::{Marker, PackageChange, Pin, Pins};
use pinion_core::policy::{Overlap, Policy};
use pinion_core::reason::Reason;
use pinion_core::rollout::{CANDIDATES_MAX, Lane, Origin, Rollout};
use pinion_core::state::{Actor, State, Step};
use pinion_core::time::Timestamp;
use pinion_core::version::Version;

use super::approvals::check_right;
use super::gates::put_gates;
use super::pin_sets::current;
use super::policies::effective;
use super::requires::{Declared, check_admission, declared, put_declared};
use super::{Controller, Draft, Identity, Refusal, Standing, Verb};
use crate::random::bytes;
use crate::snapshot::{PinSetEntry, Snapshot};
use crate::store::keys;
use crate::store::records::{Role, encode};

/// The changes of one rollout, at most, in bytes of JSON: they stand in its record and in its filing's.
const CHANGES_BYTES_MAX: usize = 6 * 1024;
/// What the decision log calls filing a change again.
pub(super) const FILE_AGAIN: &str = "file";
/// What it calls the wish to lift the block of a version.
pub(super) const LIFT: &str = "lift";
/// A new rollout, at most, in bytes of JSON: its record grows while it runs.
const ROLLOUT_BYTES_MAX: usize = 11 * 1024;
/// The longest reason of a person, in bytes.
const WORDS_MAX: usize = 500;

/// A request to start a rollout.
#[derive(Clone, Debug)]
pub struct NewRollout {
    /// The pin set.
    pub pin_set: PinSetName,
    /// Packages that move together.
    pub candidates: Vec<Candidate>,
    /// Allows a version that is not newer.
    pub allow_downgrade: bool,
    /// The pin set's revision it was decided on; 0: whatever it is.
    pub expected_revision: u64,
    /// Checks and creates nothing.
    pub validate_only: bool,
    /// Whether it is a security fix.
    pub lane: Lane,
    /// The followed file that asks for it, if it is no person.
    pub origin: Option<Origin>,
    /// Why, for the log.
    pub reason: Reason,
    /// What versions need, beside what is known already.
    pub requires: Vec<Declared>,
}

/// A candidate's package, as asked for.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The package.
    pub package: String,
    /// The version on trial.
    pub version: String,
    /// The marker of its pin, if it has several.
    pub marker: String,
    /// When the version was published.
    pub published_at: Option<Timestamp>,
}

impl Controller {
    /// Starts the trial of a candidate.
    ///
    /// # Errors
    /// If a package is not in the pin set, a version is blocked or not newer, or an open rollout is in the way.
    pub async fn create_rollout(
        &self,
        caller: &Identity,
        new: &NewRollout,
    ) -> Result<(Rollout, Vec<RolloutId>), Refusal> {
        caller.require(&[Role::ReleaseManager])?;
        caller.require_pin_set(&new.pin_set)?;
        let _lock = self.lock().await;
        let snapshot = self.snapshot();
        let entry = current(&snapshot, &new.pin_set, new.expected_revision)?;
        let changes = changes(&snapshot, entry, new)?;
        self.check_yanked(entry, &changes)?;
        let policy = effective(&entry.stored.record, &changes, new.lane)?;
        let new = &self.dated(entry, new);
        let not_before = not_before(new, &changes, &policy)?;
        let superseded = in_the_way(&snapshot, entry, &changes)?;
        let declared = declared(&snapshot, entry, &changes, &new.requires)?;
        check_admission(&snapshot, entry, &changes, &superseded, &declared)?;
        let now = self.clock.now();
        let rollout = Rollout {
            id: RolloutId::from_random(bytes(self.random.as_ref())),
            pin_set: new.pin_set.clone(),
            changes,
            seed: Seed::from_random(bytes(self.random.as_ref())),
            created_at: now,
            created_by: caller.actor.clone(),
            origin: new.origin.clone(),
            not_before,
            // A followed file tells when it was first seen there.
            published_at: new
                .candidates
                .iter()
                .filter_map(|candidate| candidate.published_at)
                .max()
                .filter(|_| new.origin.is_none()),
            state: State::Gating,
            updated_at: now,
            fleet: None,
            epoch: None,
            shares: Vec::new(),
            prediction: None,
            platforms: Vec::new(),
            begun_after: 0,
            watched: 0,
            watched_until: None,
            interfered: false,
            restarts: Vec::new(),
            overruled: None,
            policy,
            lane: new.lane,
            approvals: Vec::new(),
            decisions: 0,
            last_hash: String::new(),
        };
        check_size(&rollout)?;
        let superseded_ids = superseded
            .iter()
            .map(|rollout| rollout.id.clone())
            .collect();
        if new.validate_only {
            return Ok((rollout, superseded_ids));
        }
        let mut draft = Draft::default();
        for old in superseded {
            let closing = Closing {
                step: Step::Supersede,
                state: State::Superseded {
                    at: now,
                    by: Some(rollout.id.clone()),
                },
                actor: caller.actor.clone(),
                reason: Reason::TakenOver {
                    by: Some(rollout.id.clone()),
                },
            };
            close(
                &mut draft,
                &snapshot,
                old,
                self.standing(&old.id).as_deref(),
                closing,
                now,
            )?;
        }
        let rollout = logged(
            &mut draft,
            None,
            rollout,
            Note {
                actor: caller.actor.clone(),
                action: "create",
                reason: new.reason.clone(),
                evidence: Evidence::default(),
                folded: 0,
                cells: None,
                exposure: None,
            },
            now,
        );
        draft.create(keys::rollout(&rollout.id), encode(&rollout));
        put_declared(&mut draft, &declared);
        put_gates(&mut draft, &rollout);
        self.commit(draft).await?;
        self.wake_promotion();
        Ok((rollout, superseded_ids))
    }

    /// Asks the promotion loop to do something to a rollout, and waits until it is durable.
    ///
    /// # Errors
    /// If the rollout's state does not allow it, or the caller's view of it is stale.
    pub async fn act(
        &self,
        caller: &Identity,
        id: &RolloutId,
        verb: Verb,
        expected_revision: u64,
        words: &str,
    ) -> Result<Arc<Rollout>, Refusal> {
        // Who may do nothing here is not told what there is.
        caller.require(&[Role::Viewer])?;
        let words = words_of(words)?;
        if self.snapshot().rollout(id).is_none() {
            // Another server may have made it a moment ago.
            self.catch_up().await?;
        }
        let snapshot = self.snapshot();
        let rollout = &snapshot
            .rollout(id)
            .ok_or_else(|| Refusal::no_rollout(id))?
            .record;
        caller.require_pin_set(&rollout.pin_set)?;
        check_right(caller, rollout, verb, &words)?;
        self.ask_promotion(
            id.clone(),
            verb,
            caller.actor.clone(),
            words,
            expected_revision,
        )
        .await
    }

    /// The decisions of a rollout after `after`, at most `max`, and whether more follow.
    ///
    /// # Errors
    /// If there is no such rollout.
    pub async fn decisions(
        &self,
        caller: &Identity,
        id: &RolloutId,
        after: u64,
        max: usize,
    ) -> Result<(Vec<LogEntry>, bool), Refusal> {
        self.visible_rollout(caller, id)?;
        let last = (after > 0).then(|| keys::log(id, after));
        let page = self
            .store
            .page(&keys::log_prefix(id), last.as_ref(), max)
            .await?;
        let entries: Result<Vec<LogEntry>, _> = page
            .entries
            .iter()
            .map(|entry| crate::store::records::decode(&entry.key, &entry.value))
            .collect();
        Ok((entries?, page.more))
    }

    /// The last decision about a rollout itself: filing its change again is none, nor is a block that is lifted.
    ///
    /// # Errors
    /// If it cannot be read.
    pub async fn last_decision(&self, rollout: &Rollout) -> Result<Option<LogEntry>, Refusal> {
        for sequence in (1..=rollout.decisions).rev() {
            let key = keys::log(&rollout.id, sequence);
            let Some(entry) = self.store.get(&key).await? else {
                break;
            };
            let entry: LogEntry = crate::store::records::decode(&key, &entry.value)?;
            if ![FILE_AGAIN, LIFT].contains(&entry.action.as_str()) {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    /// A rollout, for a viewer.
    ///
    /// # Errors
    /// If there is none, or the caller may not see it.
    pub fn visible_rollout(
        &self,
        caller: &Identity,
        id: &RolloutId,
    ) -> Result<Arc<Rollout>, Refusal> {
        caller.require(&[Role::Viewer])?;
        let snapshot = self.snapshot();
        let rollout = &snapshot
            .rollout(id)
            .ok_or_else(|| Refusal::no_rollout(id))?
            .record;
        caller.require_pin_set(&rollout.pin_set)?;
        Ok(Arc::clone(rollout))
    }
}

impl Controller {
    /// The rollouts that a viewer may see, the newest first.
    ///
    /// # Errors
    /// If the caller is no viewer.
    pub fn visible_rollouts(
        &self,
        caller: &Identity,
        pin_set: Option<&PinSetName>,
        open_only: bool,
    ) -> Result<Vec<Arc<Rollout>>, Refusal> {
        caller.require(&[Role::Viewer])?;
        let snapshot = self.snapshot();
        let mut rollouts: Vec<_> = snapshot
            .rollouts()
            .map(|stored| &stored.record)
            .filter(|rollout| pin_set.is_none_or(|name| *name == rollout.pin_set))
            .filter(|rollout| caller.require_pin_set(&rollout.pin_set).is_ok())
            .filter(|rollout| !open_only || rollout.state.is_open())
            .cloned()
            .collect();
        rollouts.sort_by(|a, b| (b.created_at, &b.id).cmp(&(a.created_at, &a.id)));
        Ok(rollouts)
    }
}

/// The reason that a person gives, on one line.
pub(super) fn words_of(words: &str) -> Result<String, Refusal> {
    if words.len() > WORDS_MAX {
        return Err(Refusal::invalid(
            "reason",
            format!("{} bytes; at most {WORDS_MAX}", words.len()),
        ));
    }
    Ok(words
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect())
}

type NotBefore = Option<(Timestamp, String)>;

/// What the candidates change, each checked, in their order.
fn changes(
    snapshot: &Snapshot,
    entry: &PinSetEntry,
    new: &NewRollout,
) -> Result<Vec<PackageChange>, Refusal> {
    if new.candidates.is_empty() || new.candidates.len() > CANDIDATES_MAX {
        return Err(Refusal::invalid(
            "candidates",
            format!(
                "{} packages; give 1 to {CANDIDATES_MAX}",
                new.candidates.len()
            ),
        ));
    }
    let record = &entry.stored.record;
    let mut changes: Vec<PackageChange> = Vec::new();
    for (index, candidate) in new.candidates.iter().enumerate() {
        let field = |name: &str| format!("candidates[{index}].{name}");
        let change = change(entry, candidate, new.allow_downgrade, &field)?;
        if changes
            .iter()
            .any(|other| other.package == change.package && other.marker == change.marker)
        {
            return Err(Refusal::invalid(
                field("package"),
                format!("`{}` is named twice", candidate.package),
            ));
        }
        if let Some(to) = &change.to
            && let Some(block) = snapshot.block(&record.name, &change.package, to)
        {
            let block = &block.record;
            return Err(Refusal::blocked(
                &record.name,
                &change.package,
                to.as_str(),
                block.at,
                &block.rollout,
            ));
        }
        changes.push(change);
    }
    let bytes = encode(&changes).len();
    if bytes > CHANGES_BYTES_MAX {
        let cause = format!(
            "{} packages are too many for one rollout ({bytes} bytes of at most {CHANGES_BYTES_MAX}); split them",
            changes.len()
        );
        return Err(Refusal::invalid("candidates", cause));
    }
    Ok(changes)
}

/// When the youngest version is old enough, and which package that is.
fn not_before(
    new: &NewRollout,
    changes: &[PackageChange],
    policy: &Policy,
) -> Result<NotBefore, Refusal> {
    let mut not_before: NotBefore = None;
    if policy.minimum_age.is_zero() {
        return Ok(not_before);
    }
    for (index, (candidate, change)) in new.candidates.iter().zip(changes).enumerate() {
        let published = candidate.published_at.ok_or_else(|| {
            Refusal::invalid(
                format!("candidates[{index}].publish_time"),
                "the policy asks for a minimum age; say when the version was published",
            )
        })?;
        let old_enough = published.plus(policy.minimum_age);
        if not_before
            .as_ref()
            .is_none_or(|(latest, _)| old_enough > *latest)
        {
            not_before = Some((old_enough, change.package.written().to_owned()));
        }
    }
    Ok(not_before)
}

/// Whether the record of a new rollout leaves room for what comes.
fn check_size(rollout: &Rollout) -> Result<(), Refusal> {
    match encode(rollout).len() {
        bytes if bytes > ROLLOUT_BYTES_MAX => Err(Refusal::invalid(
            "candidates",
            format!(
                "the packages and the rules for them have {bytes} bytes together, of at most {ROLLOUT_BYTES_MAX}; split the candidate, or take past freezes out of the policy"
            ),
        )),
        _ => Ok(()),
    }
}

fn change(
    entry: &PinSetEntry,
    candidate: &Candidate,
    allow_downgrade: bool,
    field: &dyn Fn(&str) -> String,
) -> Result<PackageChange, Refusal> {
    let record = &entry.stored.record;
    let package = PackageName::parse(record.ecosystem, &candidate.package)
        .map_err(|error| Refusal::invalid(field("package"), error))?;
    let version = Version::parse(record.ecosystem, &candidate.version)
        .map_err(|error| Refusal::invalid(field("version"), error))?;
    let pin = pin_of(
        &entry.baseline,
        &package,
        record.ecosystem,
        &candidate.marker,
        field,
    )?;
    let written = pin.package.written();
    if version == pin.version {
        return Err(Refusal::Precondition {
            code: "BASELINE_ALREADY",
            cause: format!(
                "`{written}` {version} is the baseline of `{}` already",
                record.name
            ),
            hint: "there is nothing to try".to_owned(),
        });
    }
    if !version.is_newer_than(&pin.version) && !allow_downgrade {
        return Err(Refusal::Precondition {
            code: "NOT_NEWER",
            cause: format!(
                "`{written}` {version} is not newer than the baseline {}",
                pin.version
            ),
            hint: "`--allow-downgrade` starts it all the same".to_owned(),
        });
    }
    Ok(PackageChange {
        package: pin.package.clone(),
        marker: pin.marker.clone(),
        from: Some(pin.version.clone()),
        to: Some(version),
    })
}

fn pin_of<'a>(
    baseline: &'a Pins,
    package: &PackageName,
    ecosystem: pinion_core::ecosystem::Ecosystem,
    marker: &str,
    field: &dyn Fn(&str) -> String,
) -> Result<&'a Pin, Refusal> {
    let marker = (!marker.is_empty())
        .then(|| Marker::parse(ecosystem, marker))
        .transpose()
        .map_err(|error| Refusal::invalid(field("marker"), error))?;
    let pins: Vec<&Pin> = baseline
        .of_package(package)
        .filter(|pin| marker.is_none() || pin.marker == marker)
        .collect();
    match pins[..] {
        [pin] => Ok(pin),
        [] => Err(Refusal::NotFound {
            kind: "package",
            name: package.written().to_owned(),
            hint: "`pinion pin-set show --pins` lists its packages; import the file that has it first",
        }),
        _ => {
            let markers: Vec<String> = pins
                .iter()
                .map(|pin| {
                    pin.marker
                        .as_ref()
                        .map_or_else(|| "none".to_owned(), |m| format!("`{m}`"))
                })
                .collect();
            Err(Refusal::invalid(
                field("marker"),
                format!(
                    "`{}` has {} pins; name the marker of one: {}",
                    package.written(),
                    pins.len(),
                    markers.join(", ")
                ),
            ))
        }
    }
}

/// Open rollouts that the policy ends for the new one.
fn in_the_way<'a>(
    snapshot: &'a Snapshot,
    entry: &PinSetEntry,
    changes: &[PackageChange],
) -> Result<Vec<&'a Arc<Rollout>>, Refusal> {
    let record = &entry.stored.record;
    let open = snapshot.open_rollouts(&record.name);
    let overlapping: Vec<&Arc<Rollout>> = open
        .iter()
        .filter(|rollout| {
            changes
                .iter()
                .any(|change| rollout.concerns(&change.package))
        })
        .collect();
    if let (Some(rollout), Overlap::Refuse) = (overlapping.first(), record.policy.overlap) {
        return Err(Refusal::Precondition {
            code: "OVERLAP",
            cause: format!(
                "the open rollout `{}` changes the same package ({})",
                rollout.id,
                super::pins::changes_in_words(rollout)
            ),
            hint: format!(
                "wait until it has ended, or `pinion rollout abort {}`",
                rollout.id
            ),
        });
    }
    let most = record.policy.open_rollouts_max as usize;
    if open.len() - overlapping.len() >= most {
        return Err(Refusal::Exhausted {
            cause: format!(
                "{} rollouts of `{}` are open, as many as its policy allows",
                open.len(),
                record.name
            ),
            hint: "wait until one has ended, or raise `open_rollouts_max`".to_owned(),
        });
    }
    Ok(overlapping)
}

/// How a rollout ends.
pub(crate) struct Closing {
    pub(crate) step: Step,
    pub(crate) state: State,
    pub(crate) actor: Actor,
    pub(crate) reason: Reason,
}

/// Puts the end of a rollout, with its decision, into a transaction.
pub(crate) fn close(
    draft: &mut Draft,
    snapshot: &Snapshot,
    rollout: &Rollout,
    standing: Option<&Standing>,
    closing: Closing,
    now: Timestamp,
) -> Result<(), Refusal> {
    let modified = snapshot
        .rollout(&rollout.id)
        .ok_or_else(|| Refusal::no_rollout(&rollout.id))?
        .modified;
    let next = rollout.enter(closing.step, closing.state, now)?;
    let note = Note {
        actor: closing.actor,
        action: closing.step.as_str(),
        reason: closing.reason,
        evidence: standing
            .map(|standing| standing.evidence.clone())
            .unwrap_or_default(),
        folded: standing.map_or(0, |standing| standing.folded),
        cells: None,
        exposure: None,
    };
    let next = logged(draft, Some(rollout), next, note, now);
    draft.replace(keys::rollout(&next.id), modified, encode(&next));
    Ok(())
}

/// What the decision log says beside the rollout itself.
pub(crate) struct Note {
    pub(crate) actor: Actor,
    pub(crate) action: &'static str,
    pub(crate) reason: Reason,
    pub(crate) evidence: Evidence,
    pub(crate) folded: u64,
    /// The hash of what was counted, where that was done for the decision.
    pub(crate) cells: Option<String>,
    /// Who had the candidate, where it is taken back.
    pub(crate) exposure: Option<Exposure>,
}

/// What a candidate that is taken back has done until then.
#[derive(Clone, Debug, Default)]
pub(crate) struct Exposure {
    /// When a failure with it was first reported.
    pub(crate) first_failure_at: Option<Timestamp>,
    /// Draw keys that have pulled it.
    pub(crate) connected: Vec<Ordinal>,
}

/// Puts the decision that leads from `before` to `after` into a transaction, and returns `after` bound to it.
pub(crate) fn logged(
    draft: &mut Draft,
    before: Option<&Rollout>,
    mut after: Rollout,
    note: Note,
    now: Timestamp,
) -> Rollout {
    let reason = match after.is_shadow() {
        true => note.reason.in_shadow(),
        false => note.reason,
    };
    let entry = LogEntry {
        sequence: after.decisions + 1,
        at: now,
        actor: note.actor,
        action: note.action.to_owned(),
        reason,
        share_before: before.map_or(Share::ZERO, Rollout::share),
        share_after: after.share(),
        epoch: after.epoch_index(),
        folded: note.folded,
        evidence: note.evidence,
        cells: note.cells,
        previous_hash: after.last_hash.clone(),
        hash: String::new(),
    }
    .sealed();
    draft.create(keys::log(&after.id, entry.sequence), encode(&entry));
    after.decisions = entry.sequence;
    after.last_hash.clone_from(&entry.hash);
    let told = Told {
        before,
        after: &after,
        entry: &entry,
        had: note
            .exposure
            .as_ref()
            .map(|exposure| exposure.connected.len()),
    };
    draft.tell(told.notices());
    let was_open = before.is_some_and(|before| before.state.is_open());
    if let Some(mut ended) = Ended::of(&after).filter(|_| was_open) {
        if let Some(exposure) = note.exposure {
            ended.first_failure_at = exposure.first_failure_at;
            ended.returning = Some(Returning::of(exposure.connected));
        }
        draft.put(keys::ended(&after.id), encode(&ended));
    }
    after
}
