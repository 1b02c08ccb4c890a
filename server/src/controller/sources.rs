//! Pin sets that follow a file in a repository: what the file says is taken, each part in its own way.
//!
//! A newer version becomes a rollout, by way of the [`queue`](super::queue). An older one is a person's decision to go back, which is never delayed; an added or a
//! removed pin has no other version to be compared with: these are taken at once. A rollout that the file asked for ends
//! when the file no longer has its version. A version that was rolled back or aborted is not tried again by itself.

use std::collections::HashMap;
use std::sync::PoisonError;

use pinion_core::audit::{self, Act};
use pinion_core::name::PinSetName;
use pinion_core::pin::{PackageChange, Pins};
use pinion_core::queue::Asked;
use pinion_core::reason::Reason;
use pinion_core::rollout::{Origin, Rollout};
use pinion_core::state::{Actor, State, Step};
use pinion_core::time::Timestamp;

use super::pin_sets::{check_blocks, put_baseline};
use super::queue::{Planned, Verdict, enqueued, is_in, put_queue, sorted};
use super::rollouts::{Closing, close};
use super::{Controller, Draft, Refusal};
use crate::store::records::SourceRecord;

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
        problems.extend(self.queue_newer(pin_set, followed).await?);
        let started = self.start_waiting(pin_set).await?;
        let mut without_place = 0;
        let is_of_file = |planned: &&Planned| matches!(planned.wanted[0].from, Asked::Source(_));
        for planned in started.waiting.iter().filter(is_of_file) {
            match &planned.verdict {
                Verdict::NoPlace { .. } => without_place += 1,
                Verdict::Waits(words) => {
                    problems.push(format!("{}: {words}", planned.wanted[0].package.written()))
                }
                Verdict::Starts | Verdict::TooYoung(_) => {}
            }
        }
        if without_place > 0 {
            problems.push(format!(
                "{without_place} newer versions wait, since as many rollouts are open as the policy allows"
            ));
        }
        Ok(problems)
    }

    /// Queues the newer versions that the file has, and takes out those that it has no longer; gives those that are
    /// refused, in words.
    async fn queue_newer(
        &self,
        pin_set: &PinSetName,
        followed: &Followed,
    ) -> Result<Vec<String>, Refusal> {
        let _lock = self.lock().await;
        let snapshot = self.snapshot();
        let entry = snapshot
            .pin_set(pin_set)
            .ok_or_else(|| Refusal::no_pin_set(pin_set))?;
        let differences = sorted(&entry.baseline.diff(&followed.pins));
        let asked = Asked::Source(origin(followed));
        let by = (&asked, &Actor::Controller, self.clock.now());
        let mut enqueued = enqueued(&snapshot, entry, &differences.bumps, by);
        let before = enqueued.queue.len();
        enqueued.queue.retain(|wanted| {
            !matches!(wanted.from, Asked::Source(_)) || is_in(wanted, &followed.pins)
        });
        if enqueued.is_changed || enqueued.queue.len() < before {
            let mut draft = Draft::default();
            put_queue(&mut draft, &snapshot, pin_set, &enqueued.queue)?;
            self.commit(draft).await?;
        }
        Ok(enqueued.refused)
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
        let file = format!("`{}` on `{}`", followed.source.path, followed.source.branch);
        check_removals(entry.baseline.len(), &differences.at_once, &file)?;
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

/// A file that has lost most of its pins was more likely spoiled than meant.
pub(super) fn check_removals(
    pins: usize,
    changes: &[PackageChange],
    file: &str,
) -> Result<(), Refusal> {
    let removed = changes.iter().filter(|change| change.to.is_none()).count();
    if removed > REMOVED_FEW && removed as f64 > pins as f64 * REMOVED_SHARE_MAX {
        return Err(Refusal::Precondition {
            code: "MOST_PINS_GONE",
            cause: format!(
                "{file} has {removed} of {pins} pins no longer, which is not taken without a person"
            ),
            hint: "if it is meant, import the file with `pinion pin-set import --at-once`"
                .to_owned(),
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
