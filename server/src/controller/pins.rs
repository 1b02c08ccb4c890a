//! What an environment should install, and why. From memory; nothing is written, nothing is waited for.

use std::sync::Arc;
use std::time::Duration;

use pinion_core::calendar::StandingFreeze;
use pinion_core::draw::Share;
use pinion_core::name::{EnvironmentId, PackageName, PinSetName};
use pinion_core::pin::Pin;
use pinion_core::reason::Reason;
use pinion_core::resolve::resolve;
use pinion_core::rollout::Rollout;
use pinion_core::state::{State, StateKind};
use pinion_core::time::Timestamp;

use super::{Controller, Identity, Refusal};
use crate::snapshot::{Combination, EnvironmentEntry, PinSetEntry, Snapshot, subject};
use crate::store::records::{BlockRecord, Role};

/// A request for pins.
#[derive(Clone, Debug, Default)]
pub struct PinsQuery {
    /// The pin set, for a token that is bound to none.
    pub pin_set: Option<PinSetName>,
    /// What the caller has.
    pub etag: String,
    /// Whether the baseline of every open rollout is asked for.
    pub baseline: bool,
}

/// An answer to it.
#[derive(Clone, Debug)]
pub struct PinsAnswer {
    /// The pins.
    pub combination: Arc<Combination>,
    /// Whether the caller has them already.
    pub unchanged: bool,
    /// How old it may be, where this server is cut off from its store.
    pub age: Option<Duration>,
    /// The revision of the store that it is of.
    pub store_revision: u64,
}

/// Why an environment has a version.
#[derive(Clone, Debug)]
pub struct Explained {
    /// The pins of the package.
    pub pins: Vec<Pin>,
    /// Why, the most important first.
    pub sentences: Vec<String>,
    /// What each rollout of the package means here.
    pub explanations: Vec<Explanation>,
    /// Its blocked versions, each with how many more people have to ask before it is lifted.
    pub blocks: Vec<(BlockRecord, u32)>,
}

/// What one rollout means for an environment.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The rollout.
    pub rollout: Arc<Rollout>,
    /// Whether the environment has its candidate.
    pub exposed: bool,
    /// The next planned share and its earliest time.
    pub next: Option<(Share, Option<Timestamp>)>,
    /// The environment's position; only once the rollout has ended.
    pub draw: Option<f64>,
    /// What is waited for, while it is open and that is known.
    pub waits_for: Option<String>,
}

impl Controller {
    /// The caller's pins.
    ///
    /// # Errors
    /// If the pin set is unknown, not named, or not the token's.
    pub fn pins(&self, caller: &Identity, query: &PinsQuery) -> Result<PinsAnswer, Refusal> {
        caller.require(&[Role::Environment, Role::Ci])?;
        let snapshot = self.snapshot();
        let environment = match &caller.environment {
            Some(id) => Some(
                snapshot
                    .environment(id)
                    .ok_or_else(|| Refusal::no_environment(id))?,
            ),
            None => None,
        };
        let entry = pin_set_of(&snapshot, caller, environment, query.pin_set.as_ref())?;
        // To look at the baseline is no pull.
        let follower = environment.filter(|_| !query.baseline);
        if let Some(environment) = follower {
            self.note_pull(&snapshot, environment);
        }
        let combination = match follower {
            Some(environment) => snapshot.combination_of(entry, environment),
            None => snapshot.baseline_of(entry, environment),
        };
        let unchanged = combination.etag == query.etag;
        self.metrics.pull(unchanged);
        Ok(PinsAnswer {
            combination,
            unchanged,
            age: self.staleness(),
            store_revision: snapshot.revision,
        })
    }

    /// Notes an environment's first pull since a rollout of its pin set last changed, and its return.
    fn note_pull(&self, snapshot: &Snapshot, environment: &EnvironmentEntry) {
        let record = &environment.stored.record;
        let changed = snapshot.rollouts_changed(&record.pin_set);
        if record.reporting
            && (!snapshot.open_rollouts(&record.pin_set).is_empty()
                || snapshot.awaits_returns(&record.pin_set))
            && environment.pulls.is_noteworthy(changed, self.clock.now())
        {
            self.note_poll(record.ordinal);
        }
    }

    /// Says why an environment has a package's version.
    ///
    /// # Errors
    /// If the environment is somebody else's and the caller no viewer, or the package is not in the pin set.
    pub fn explain(
        &self,
        caller: &Identity,
        pin_set: Option<&PinSetName>,
        package: &str,
        environment: Option<&EnvironmentId>,
    ) -> Result<Explained, Refusal> {
        caller.require(&[Role::Environment, Role::Ci, Role::Viewer])?;
        let snapshot = self.snapshot();
        let environment = match environment.or(caller.environment.as_ref()) {
            Some(id) if caller.environment.as_ref() != Some(id) => {
                caller.require(&[Role::Viewer])?;
                Some(
                    snapshot
                        .environment(id)
                        .ok_or_else(|| Refusal::no_environment(id))?,
                )
            }
            Some(id) => Some(
                snapshot
                    .environment(id)
                    .ok_or_else(|| Refusal::no_environment(id))?,
            ),
            None => None,
        };
        let entry = pin_set_of(&snapshot, caller, environment, pin_set)?;
        let record = &entry.stored.record;
        let package = PackageName::parse(record.ecosystem, package)
            .map_err(|error| Refusal::invalid("package", error))?;
        if entry.baseline.of_package(&package).next().is_none() {
            return Err(Refusal::NotFound {
                kind: "package",
                name: package.written().to_owned(),
                hint: "`pinion pin-set show --pins` lists its packages",
            });
        }
        let exposed =
            environment.map_or_else(Vec::new, |entry| snapshot.exposures(&entry.stored.record));
        let pins = resolve(&entry.baseline, exposed.iter().map(AsRef::as_ref));
        let mut rollouts: Vec<&Arc<Rollout>> = snapshot
            .rollouts()
            .map(|stored| &stored.record)
            .filter(|rollout| rollout.pin_set == record.name && rollout.concerns(&package))
            .collect();
        rollouts.sort_by_key(|rollout| {
            (
                !rollout.state.is_open(),
                std::cmp::Reverse(rollout.created_at),
            )
        });
        rollouts.truncate(10);
        let explanations: Vec<Explanation> = rollouts
            .into_iter()
            .map(|rollout| self.explanation(rollout, environment, &exposed))
            .collect();
        let blocks: Vec<BlockRecord> = snapshot
            .blocks(&record.name)
            .into_iter()
            .filter(|block| block.record.package == package)
            .map(|block| BlockRecord::clone(&block.record))
            .collect();
        let pins: Vec<Pin> = pins.of_package(&package).cloned().collect();
        let mut sentences = sentences(
            &snapshot,
            &pins,
            &record.name,
            environment,
            &explanations,
            &blocks,
        );
        let freeze = snapshot.freeze(&record.name, self.clock.now());
        sentences.extend(freeze.map(frozen));
        Ok(Explained {
            pins,
            sentences,
            explanations,
            blocks: blocks
                .into_iter()
                .map(|block| {
                    let missing = self.lift_votes_missing(&block);
                    (block, missing)
                })
                .collect(),
        })
    }

    fn explanation(
        &self,
        rollout: &Arc<Rollout>,
        environment: Option<&EnvironmentEntry>,
        exposed: &[&Arc<Rollout>],
    ) -> Explanation {
        let subject = environment.map(|environment| subject(&environment.stored.record));
        let standing = self.standing(&rollout.id);
        let open = standing.as_ref().filter(|_| rollout.state.is_open());
        let waits_for = open.map(|standing| standing.reason.to_string());
        let next = standing.and_then(|standing| {
            let (_, share) = *standing.ahead.first()?;
            Some((share, rollout.epoch.as_ref().map(|epoch| epoch.ends)))
        });
        Explanation {
            exposed: exposed.iter().any(|other| other.id == rollout.id),
            next,
            draw: subject
                .filter(|_| !rollout.state.is_open())
                .map(|subject| subject.draw(rollout).value()),
            rollout: Arc::clone(rollout),
            waits_for,
        }
    }
}

fn pin_set_of<'a>(
    snapshot: &'a Snapshot,
    caller: &Identity,
    environment: Option<&EnvironmentEntry>,
    asked: Option<&PinSetName>,
) -> Result<&'a PinSetEntry, Refusal> {
    let own = environment.map(|environment| &environment.stored.record.pin_set);
    let name = match (own, asked) {
        (Some(own), Some(asked)) if own != asked => {
            return Err(Refusal::OtherPinSet {
                own: own.clone(),
                asked: asked.clone(),
            });
        }
        (Some(name), _) | (None, Some(name)) => name,
        (None, None) => match &caller.pin_set {
            Some(name) => name,
            None => {
                return Err(Refusal::invalid(
                    "pin_set",
                    "this token is bound to no pin set; name one",
                ));
            }
        },
    };
    caller.require_pin_set(name)?;
    snapshot
        .pin_set(name)
        .ok_or_else(|| Refusal::no_pin_set(name))
}

fn sentences(
    snapshot: &Snapshot,
    pins: &[Pin],
    pin_set: &PinSetName,
    environment: Option<&EnvironmentEntry>,
    explanations: &[Explanation],
    blocks: &[BlockRecord],
) -> Vec<String> {
    let mut sentences = Vec::new();
    for pin in pins {
        let name = pin.package.written();
        let exposed = explanations.iter().find(|explanation| {
            explanation.exposed
                && explanation
                    .rollout
                    .changes
                    .iter()
                    .any(|change| change.package == pin.package)
        });
        let chose = |rollout: &Rollout| {
            environment.is_some_and(|environment| {
                subject(&environment.stored.record).volunteers_for(rollout)
            })
        };
        sentences.push(match exposed {
            Some(explanation) if chose(&explanation.rollout) => format!(
                "you have {name} {} because this environment volunteers for candidates of rollout {}; it is no part of the evidence",
                pin.version, explanation.rollout.id,
            ),
            Some(explanation) => format!(
                "you have {name} {} because this environment is in the cohort of rollout {} (share {})",
                pin.version,
                explanation.rollout.id,
                explanation.rollout.share()
            ),
            None => format!("you have {name} {} because it is the baseline of {pin_set}", pin.version),
        });
    }
    for explanation in explanations {
        let rollout = &explanation.rollout;
        let changes = changes_in_words(rollout);
        match rollout.state.kind() {
            _ if explanation.exposed => {}
            _ if rollout.is_shadow() => sentences.push(format!(
                "rollout {} of {changes} is in shadow, {} at {}: it is only played, and nobody gets it",
                rollout.id,
                rollout.state.kind(),
                rollout.share()
            )),
            StateKind::Gating => {
                let waits_for = explanation.waits_for.iter();
                let waits_for: String = waits_for.map(|words| format!("; {words}")).collect();
                sentences.push(format!(
                    "rollout {} of {changes} has not begun: nobody has it yet{waits_for}",
                    rollout.id
                ));
            }
            StateKind::Baking | StateKind::Paused | StateKind::Frozen | StateKind::Inconclusive => {
                sentences.push(not_exposed(snapshot, rollout, environment, &changes));
            }
            StateKind::Completed => {
                if matches!(rollout.state, State::Completed { .. }) && sentences.len() < 4 {
                    sentences.push(format!(
                        "rollout {} of {changes} completed on {}",
                        rollout.id, rollout.updated_at
                    ));
                }
            }
            StateKind::RolledBack | StateKind::Aborted | StateKind::Superseded => {
                sentences.push(format!(
                    "rollout {} of {changes} ended as {} on {}",
                    rollout.id,
                    rollout.state.kind(),
                    rollout.updated_at
                ))
            }
        }
        if let (true, Some((share, Some(earliest)))) = (rollout.state.is_open(), explanation.next) {
            sentences.push(format!(
                "rollout {} goes on to {share} on {earliest} at the earliest",
                rollout.id
            ));
        }
    }
    for block in blocks {
        sentences.push(format!(
            "{} {} is blocked: {}",
            block.package.written(),
            block.version,
            block.reason
        ));
    }
    sentences
}

/// A freeze that holds, in words.
fn frozen(freeze: &StandingFreeze) -> String {
    let reason = Reason::PinSetFrozen {
        by: freeze.by.to_string(),
        until: freeze.until,
        words: freeze.reason.clone(),
    };
    format!("no share is raised now: {reason}")
}

fn not_exposed(
    snapshot: &Snapshot,
    rollout: &Rollout,
    environment: Option<&EnvironmentEntry>,
    changes: &str,
) -> String {
    let id = &rollout.id;
    let share = rollout.share();
    match environment.map(|environment| &environment.stored.record) {
        None => format!(
            "you do not have {changes} of rollout {id}: this token belongs to no environment, so it gets what is complete"
        ),
        Some(record) if !record.reporting => format!(
            "you do not have {changes} of rollout {id}: this environment has not agreed to reporting, so it gets what is complete"
        ),
        Some(record) if record.holds.iter().any(|hold| hold.refuses(rollout)) => {
            format!(
                "you do not have {changes} of rollout {id}: a hold of this environment refuses it"
            )
        }
        // Told to whoever it holds for, in its cohort or not, so that it says nothing of the draw.
        Some(record) => match snapshot.unmet(record, rollout) {
            Some(unmet) => {
                format!("you do not have {changes} of rollout {id}: with your other pins, {unmet}")
            }
            None => format!(
                "you do not have {changes} of rollout {id}: it is at {share} and this environment is not in its cohort yet"
            ),
        },
    }
}

/// What a rollout tries, in words.
pub(crate) fn changes_in_words(rollout: &Rollout) -> String {
    let words: Vec<String> = rollout
        .changes
        .iter()
        .take(3)
        .map(ToString::to_string)
        .collect();
    let more = rollout.changes.len().saturating_sub(3);
    if more == 0 {
        words.join(", ")
    } else {
        format!("{} and {more} more", words.join(", "))
    }
}
