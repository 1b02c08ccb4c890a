//! Taking a file in: what is newer is tried, the rest is taken at once; or all of it is, where a person says so.

use std::sync::Arc;

use pinion_core::audit::{self, Act};
use pinion_core::constraints;
use pinion_core::pin::{PackageChange, Pins};
use pinion_core::queue::{Asked, Wanted};
use pinion_core::reason::Reason;
use pinion_core::requires::Requirements;
use pinion_core::rollout::Rollout;
use pinion_core::state::{State, Step};

use super::pin_sets::{check_blocks, check_lengths, current, put_baseline, unkept_in_words};
use super::queue::{Differences, Enqueued, Planned, enqueued, put_queue, sorted};
use super::requires::{declared, put_declared, with_declared};
use super::rollouts::{Closing, close};
use super::sources::check_removals;
use super::{Controller, Draft, Identity, Import, Imported, NewerVersions, Refusal, UnkeptLines};
use crate::snapshot::{PinSetEntry, Snapshot};
use crate::store::records::Role;

/// A queue, and what is known of what its versions need.
type Waiting = (Vec<Wanted>, Requirements);

/// An imported file, read and compared.
struct Read {
    pins: Pins,
    verbatim: Vec<String>,
    unkept: Vec<constraints::UnkeptLine>,
    changes: Vec<PackageChange>,
}

impl Controller {
    /// Takes the pins of a file: newer versions become rollouts or wait for a place, everything else is the baseline at
    /// once, as one new revision; all of it where the pin set has no pins yet, or the import says so.
    ///
    /// # Errors
    /// If the revision is stale, a line cannot be kept, a version that is taken at once is blocked or in the way of an
    /// open rollout, or most pins are gone.
    pub async fn import_pins(
        &self,
        caller: &Identity,
        import: &Import,
    ) -> Result<Imported, Refusal> {
        caller.require(&[Role::ReleaseManager])?;
        caller.require_pin_set(&import.name)?;
        let (mut imported, waiting) = self.take(caller, import).await?;
        let of_file: Vec<PackageChange> = sorted(&imported.changes)
            .bumps
            .into_values()
            .flatten()
            .collect();
        let concerns_file = |planned: &Planned| {
            let is_of_file = |change: &PackageChange| {
                let mut of_file = of_file.iter();
                of_file.any(|other| other.package == change.package)
            };
            planned.changes.iter().any(is_of_file)
        };
        let mut planned = match (waiting, import.validate_only) {
            (None, _) => Vec::new(),
            (Some((queue, requirements)), true) => {
                self.plan(&import.name, &queue, &requirements).await?
            }
            (Some(_), false) => {
                let started = self.start_waiting(&import.name).await?;
                imported.started = started.rollouts;
                started.waiting
            }
        };
        planned.retain(concerns_file);
        imported.waiting = planned;
        Ok(imported)
    }

    /// Takes what is taken at once, and queues the rest; gives what waits then, unless all was taken.
    async fn take(
        &self,
        caller: &Identity,
        import: &Import,
    ) -> Result<(Imported, Option<Waiting>), Refusal> {
        let _lock = self.lock().await;
        let snapshot = self.snapshot();
        let entry = current(&snapshot, &import.name, import.expected_revision)?;
        let read = read(entry, import)?;
        let tries = import.newer == NewerVersions::Try && !entry.baseline.is_empty();
        let Differences { at_once, bumps } = match tries {
            true => sorted(&read.changes),
            false => Differences {
                at_once: read.changes.clone(),
                ..Differences::default()
            },
        };
        if tries {
            check_removals(entry.baseline.len(), &at_once, "the file")?;
        }
        check_blocks(&snapshot, &import.name, &at_once)?;
        let in_the_way = in_the_way(&snapshot, import, &at_once)?;
        let requires = declared(&snapshot, entry, &read.changes, &import.requires)?;
        let pins = match tries {
            true => {
                let mut pins = Pins::clone(&entry.baseline);
                at_once.iter().for_each(|change| pins.apply(change));
                pins
            }
            false => read.pins,
        };
        let now = self.clock.now();
        let by = (&Asked::Import, &caller.actor, now);
        let Enqueued {
            queue,
            is_changed,
            refused,
        } = enqueued(&snapshot, entry, &bumps, by);
        let imported = Imported {
            at_once: at_once.len(),
            superseded: in_the_way
                .iter()
                .map(|rollout| rollout.id.clone())
                .collect(),
            changes: read.changes,
            unkept: read.unkept,
            started: Vec::new(),
            waiting: Vec::new(),
            refused,
        };
        let mut baseline = Draft::default();
        // A file that is too large is refused by a check too.
        put_baseline(&mut baseline, entry, &pins, &read.verbatim, now)?;
        let mut waiting = Draft::default();
        put_queue(&mut waiting, &snapshot, &import.name, &queue)?;
        let queue = tries.then(|| {
            let requirements = with_declared(&snapshot, &import.name, &requires);
            (queue, requirements)
        });
        if import.validate_only {
            return Ok((imported, queue));
        }
        put_declared(&mut waiting, &requires);
        if is_changed || !requires.is_empty() {
            self.commit(waiting).await?;
        }
        if !at_once.is_empty() || read.verbatim != *entry.verbatim {
            for rollout in in_the_way {
                let closing = Closing {
                    step: Step::Supersede,
                    state: State::Superseded { at: now, by: None },
                    actor: caller.actor.clone(),
                    reason: Reason::TakenOver { by: None },
                };
                let standing = self.standing(&rollout.id);
                close(
                    &mut baseline,
                    &snapshot,
                    rollout,
                    standing.as_deref(),
                    closing,
                    now,
                )?;
            }
            let act = Act::PinsImported {
                pin_set: import.name.clone(),
                revision: entry.stored.record.revision + 1,
                pins: audit::Pins::of(&at_once),
                superseded: imported.superseded.len() as u64,
            };
            self.put_audit(&mut baseline, &caller.actor, act, "")
                .await?;
            self.commit(baseline).await?;
            self.wake_promotion();
        }
        Ok((imported, queue))
    }
}

fn read(entry: &PinSetEntry, import: &Import) -> Result<Read, Refusal> {
    let parsed = constraints::parse(entry.stored.record.ecosystem, &import.content)
        .map_err(|error| Refusal::invalid("content", error))?;
    if import.unkept_lines == UnkeptLines::Refuse && !parsed.unkept.is_empty() {
        return Err(Refusal::invalid("content", unkept_in_words(&parsed.unkept)));
    }
    check_lengths(&parsed.unkept)?;
    Ok(Read {
        changes: entry.baseline.diff(&parsed.pins),
        verbatim: parsed.unkept.iter().map(|line| line.text.clone()).collect(),
        pins: parsed.pins,
        unkept: parsed.unkept,
    })
}

/// The open rollouts whose packages are changed at once.
fn in_the_way<'a>(
    snapshot: &'a Snapshot,
    import: &Import,
    at_once: &[PackageChange],
) -> Result<Vec<&'a Arc<Rollout>>, Refusal> {
    let concerns = |rollout: &&Arc<Rollout>| {
        let mut changes = at_once.iter();
        changes.any(|change| rollout.concerns(&change.package))
    };
    let open = snapshot.open_rollouts(&import.name).iter();
    let in_the_way: Vec<&Arc<Rollout>> = open.filter(concerns).collect();
    match (in_the_way.first(), import.supersede) {
        (Some(rollout), false) => Err(Refusal::Precondition {
            code: "ROLLOUT_OPEN",
            cause: format!(
                "the file changes packages of the open rollout `{}` ({})",
                rollout.id,
                super::pins::changes_in_words(rollout)
            ),
            hint: "wait until it has ended, abort it, or import with `--supersede`".to_owned(),
        }),
        _ => Ok(in_the_way),
    }
}
