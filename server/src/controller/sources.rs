//! Pin sets that follow a file in a repository: what the file says is taken, each part in its own way.
//!
//! A newer version becomes a rollout. An older one is a person's decision to go back, which is never delayed; an added or a
//! removed pin has no other version to be compared with: these are taken at once. A rollout that the file asked for ends
//! when the file no longer has its version. A version that was rolled back or aborted is not tried again by itself.

use std::collections::{BTreeMap, HashMap};
use std::sync::PoisonError;

use pinion_core::audit::{self, Act};
use pinion_core::name::{PackageName, PinSetName, RolloutId};
use pinion_core::pin::{PackageChange, Pins};
use pinion_core::reason::Reason;
use pinion_core::rollout::{Lane, Origin, Rollout};
use pinion_core::state::{Actor, State, Step};
use pinion_core::time::Timestamp;

use super::pin_sets::{check_blocks, put_baseline};
use super::rollouts::{Closing, close};
use super::{Candidate, Controller, Draft, Identity, NewRollout, Refusal};
use crate::snapshot::Snapshot;
use crate::store::records::{Role, SourceRecord};

/// Problems that are told, at most; the rest is counted.
const PROBLEMS_MAX: usize = 5;
/// A file that takes out more than this part of the pins at once is not followed there.
const REMOVED_SHARE_MAX: f64 = 0.5;
/// Fewer removed pins than this are taken in any case.
const REMOVED_FEW: usize = 5;

/// How following a file goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Following {
    /// The commit that was read last; empty: none yet.
    pub commit: String,
    /// When.
    pub read_at: Option<Timestamp>,
    /// What stands in the way, in words; empty: nothing.
    pub problem: String,
}

/// What a followed file says.
#[derive(Clone, Debug)]
pub(crate) struct Followed {
    /// Where.
    pub(crate) source: SourceRecord,
    /// The commit it was read at.
    pub(crate) commit: String,
    /// Its pins.
    pub(crate) pins: Pins,
    /// Its lines that are no pins and are served as they stand.
    pub(crate) verbatim: Vec<String>,
}

/// What differs between the baseline and the file, by what is done about it.
#[derive(Debug, Default)]
struct Differences {
    at_once: Vec<PackageChange>,
    bumps: BTreeMap<PackageName, Vec<PackageChange>>,
}

/// How following the files goes, by pin set.
pub(super) type Followings = std::sync::Mutex<HashMap<PinSetName, Following>>;

impl Controller {
    /// How following its file goes; `None` where it follows none or has not read it yet.
    pub fn following(&self, pin_set: &PinSetName) -> Option<Following> {
        let followings = self.followings.lock();
        followings
            .unwrap_or_else(PoisonError::into_inner)
            .get(pin_set)
            .cloned()
    }

    pub(crate) fn show_following(&self, pin_set: &PinSetName, following: Following) {
        let followings = self.followings.lock();
        let mut followings = followings.unwrap_or_else(PoisonError::into_inner);
        if following.problem.is_empty() {
            tracing::debug!(%pin_set, commit = following.commit, "followed file read");
        } else if followings
            .get(pin_set)
            .is_none_or(|before| before.problem != following.problem)
        {
            tracing::warn!(%pin_set, commit = following.commit, problem = following.problem, "followed file");
        }
        followings.insert(pin_set.clone(), following);
    }

    /// Forgets how following went where a pin set follows nothing any more.
    pub(crate) fn keep_followings(&self, pin_sets: &[PinSetName]) {
        let followings = self.followings.lock();
        followings
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|name, _| pin_sets.contains(name));
    }

    /// Takes what a followed file says; gives what stands in the way, in words.
    pub(crate) async fn follow(
        &self,
        pin_set: &PinSetName,
        followed: &Followed,
    ) -> Result<Vec<String>, Refusal> {
        self.end_unasked(pin_set, followed).await?;
        let mut problems = Vec::new();
        if let Err(refusal) = self.take_at_once(pin_set, followed).await {
            problems.push(refusal.to_string());
        }
        let snapshot = self.snapshot();
        let entry = snapshot
            .pin_set(pin_set)
            .ok_or_else(|| Refusal::no_pin_set(pin_set))?;
        let differences = sorted(&entry.baseline.diff(&followed.pins));
        let mut waiting = 0;
        for (package, changes) in differences.bumps {
            match standing_of(&snapshot, pin_set, &changes) {
                Standing::New => {}
                Standing::OnTrial => continue,
                Standing::Refused(problem) => {
                    problems.push(problem);
                    continue;
                }
            }
            let new = self.rollout_of(pin_set, &changes, followed);
            match self.create_rollout(&controller(), &new).await {
                Ok((rollout, _)) => {
                    tracing::info!(%pin_set, package = package.written(), rollout = %rollout.id, commit = followed.commit, "the followed file has a newer version");
                }
                Err(Refusal::Exhausted { .. }) => waiting += 1,
                Err(refusal @ Refusal::Store(_)) => return Err(refusal),
                Err(refusal) => problems.push(format!("{}: {refusal}", package.written())),
            }
        }
        if waiting > 0 {
            problems.push(format!(
                "{waiting} newer versions wait, since as many rollouts are open as the policy allows"
            ));
        }
        Ok(problems)
    }

    fn rollout_of(
        &self,
        pin_set: &PinSetName,
        changes: &[PackageChange],
        followed: &Followed,
    ) -> NewRollout {
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
            // It exists at least since now: a minimum age counts from the first sight.
            published_at: Some(self.clock.now()),
        };
        NewRollout {
            pin_set: pin_set.clone(),
            candidates: changes.iter().map(candidate).collect(),
            allow_downgrade: false,
            expected_revision: 0,
            validate_only: false,
            lane: Lane::Ordinary,
            origin: Some(origin(followed)),
        }
    }

    /// Ends the rollouts that the file asked for and no longer has.
    async fn end_unasked(&self, pin_set: &PinSetName, followed: &Followed) -> Result<(), Refusal> {
        let _lock = self.lock().await;
        let snapshot = self.snapshot();
        let now = self.clock.now();
        let mut draft = Draft::default();
        for rollout in snapshot.open_rollouts(pin_set) {
            if rollout.origin.is_none() || !is_gone(rollout, &followed.pins) {
                continue;
            }
            let closing = Closing {
                step: Step::Abort,
                state: State::Aborted {
                    at: now,
                    by: Actor::Controller,
                },
                actor: Actor::Controller,
                reason: Reason::NoLongerInSource {
                    origin: origin(followed),
                },
            };
            let standing = self.standing(&rollout.id);
            close(
                &mut draft,
                &snapshot,
                rollout,
                standing.as_deref(),
                closing,
                now,
            )?;
        }
        self.commit_unless_empty(draft).await
    }

    /// Takes older versions, added and removed pins, and lines that are no pins.
    async fn take_at_once(&self, pin_set: &PinSetName, followed: &Followed) -> Result<(), Refusal> {
        let _lock = self.lock().await;
        let snapshot = self.snapshot();
        let entry = snapshot
            .pin_set(pin_set)
            .ok_or_else(|| Refusal::no_pin_set(pin_set))?;
        let differences = sorted(&entry.baseline.diff(&followed.pins));
        let is_same = *entry.verbatim == followed.verbatim;
        if differences.at_once.is_empty() && is_same {
            return Ok(());
        }
        check_removals(entry.baseline.len(), &differences.at_once, followed)?;
        check_blocks(&snapshot, pin_set, &differences.at_once)?;
        let now = self.clock.now();
        let mut pins = Pins::clone(&entry.baseline);
        differences
            .at_once
            .iter()
            .for_each(|change| pins.apply(change));
        let mut draft = Draft::default();
        put_baseline(&mut draft, entry, &pins, &followed.verbatim, now)?;
        let concerned = |rollout: &&std::sync::Arc<Rollout>| {
            let changes = &differences.at_once;
            changes
                .iter()
                .any(|change| rollout.concerns(&change.package))
        };
        for rollout in snapshot.open_rollouts(pin_set).iter().filter(concerned) {
            let closing = Closing {
                step: Step::Supersede,
                state: State::Superseded { at: now, by: None },
                actor: Actor::Controller,
                reason: Reason::NoLongerInSource {
                    origin: origin(followed),
                },
            };
            let standing = self.standing(&rollout.id);
            close(
                &mut draft,
                &snapshot,
                rollout,
                standing.as_deref(),
                closing,
                now,
            )?;
        }
        let act = Act::TakenFromSource {
            pin_set: pin_set.clone(),
            revision: entry.stored.record.revision + 1,
            origin: origin(followed),
            pins: audit::Pins::of(&differences.at_once),
        };
        self.put_audit(&mut draft, &Actor::Controller, act, "")
            .await?;
        tracing::info!(%pin_set, pins = differences.at_once.len(), commit = followed.commit, "taken from the followed file at once");
        self.commit_unless_empty(draft).await
    }

    async fn commit_unless_empty(&self, draft: Draft) -> Result<(), Refusal> {
        if !draft.is_empty() {
            self.commit(draft).await?;
            self.wake_promotion();
        }
        Ok(())
    }
}

/// What is known of a newer version that a file has.
enum Standing {
    New,
    /// A rollout of it is open.
    OnTrial,
    /// It is not tried again by itself; why, in words.
    Refused(String),
}

fn standing_of(snapshot: &Snapshot, pin_set: &PinSetName, changes: &[PackageChange]) -> Standing {
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
            return Standing::Refused(format!(
                "{} {to} is blocked since rollout {} was rolled back, and the file still has it",
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
    match stopped.map(|rollout| (rollout, &rollout.state)) {
        Some((rollout, State::Aborted { by, .. })) if *by != Actor::Controller => {
            Standing::Refused(aborted(changes, &rollout.id, by))
        }
        Some((rollout, State::Completed { .. } | State::RolledBack { .. }))
            if rollout.is_shadow() && is_still_in_shadow(snapshot, pin_set, changes) =>
        {
            Standing::Refused(played(rollout))
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

/// Whether the file has none of what the rollout tries: neither its versions nor newer ones, which supersede it.
fn is_gone(rollout: &Rollout, pins: &Pins) -> bool {
    rollout.changes.iter().any(|change| {
        let Some(from) = &change.from else {
            return false;
        };
        let of_package = pins.of_package(&change.package);
        let in_file = of_package
            .filter(|pin| pin.marker == change.marker)
            .map(|pin| &pin.version)
            .next();
        in_file.is_none_or(|version| !version.is_newer_than(from))
    })
}

fn sorted(changes: &[PackageChange]) -> Differences {
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

/// A file that has lost most of its pins was more likely spoiled than meant.
fn check_removals(
    pins: usize,
    changes: &[PackageChange],
    followed: &Followed,
) -> Result<(), Refusal> {
    let removed = changes.iter().filter(|change| change.to.is_none()).count();
    if removed > REMOVED_FEW && removed as f64 > pins as f64 * REMOVED_SHARE_MAX {
        return Err(Refusal::Precondition {
            code: "MOST_PINS_GONE",
            cause: format!(
                "`{}` on `{}` has {removed} of {pins} pins no longer, which is not taken without a person",
                followed.source.path, followed.source.branch
            ),
            hint: "if it is meant, import the file with `pinion pin-set import`".to_owned(),
        });
    }
    Ok(())
}

fn origin(followed: &Followed) -> Origin {
    Origin {
        path: followed.source.path.clone(),
        branch: followed.source.branch.clone(),
        commit: followed.commit.clone(),
    }
}

fn controller() -> Identity {
    Identity {
        actor: Actor::Controller,
        role: Role::Admin,
        pin_set: None,
        environment: None,
    }
}

/// Problems as one text.
pub(crate) fn in_words(problems: &[String]) -> String {
    let mut words = problems
        .iter()
        .take(PROBLEMS_MAX)
        .cloned()
        .collect::<Vec<_>>()
        .join("; ");
    if problems.len() > PROBLEMS_MAX {
        words.push_str(&format!("; and {} more", problems.len() - PROBLEMS_MAX));
    }
    words
}
