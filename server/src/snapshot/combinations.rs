//! What environments have, worked out once and not at every pull.
//!
//! An answer follows from the records of a pin set, its open rollouts and the record of an environment, and from nothing
//! else. Whatever changes one of the former gives the pin set new [`Combinations`], and whatever changes the latter gives
//! the environment an empty memory, so what was worked out is never out of date: it is not found any more.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use bytes::Bytes;
use pinion_core::name::{PinSetName, RolloutId};
use pinion_core::pin::Pins;
use pinion_core::resolve::resolve;
use pinion_core::rollout::Rollout;
use sha2::{Digest, Sha256};

use super::{EnvironmentEntry, PinSetEntry, Snapshot};
use crate::store::records::PinSetRecord;

/// Combinations that are shared by those who have them, of one pin set; others each have their own.
const SHARED_MAX: usize = 4096;
/// Combinations whose pins and texts are kept, of one pin set; those of others are made when they are asked for.
const KEPT_MAX: usize = 64;

/// What makes a combination: whose candidates it has, and whether failing runs are repeated.
type Parts = (Vec<RolloutId>, bool);

/// The combinations of a pin set that somebody has, until anything changes that they follow from.
pub struct Combinations {
    /// No other has the same, so that what an environment remembers is known to be of these.
    number: u64,
    kept: AtomicUsize,
    shared: Mutex<HashMap<Parts, Arc<Combination>>>,
    /// The baseline alone, without and with failing runs repeated.
    baseline: [OnceLock<Arc<Combination>>; 2],
}

impl Default for Combinations {
    fn default() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            kept: AtomicUsize::new(0),
            shared: Mutex::default(),
            baseline: [const { OnceLock::new() }; 2],
        }
    }
}

impl fmt::Debug for Combinations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Combinations")
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

/// A form in which a combination is given to somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The pins, as a message.
    Message,
    /// The same without pins, for who has them.
    Unchanged,
    /// The pins, as a file.
    File,
}

/// The pins of a pin set with the candidates of some of its open rollouts.
#[derive(Debug)]
pub struct Combination {
    /// The pin set.
    pub pin_set: Arc<PinSetRecord>,
    /// Lines that are no pins.
    pub verbatim: Arc<Vec<String>>,
    /// Rollouts whose candidate is among the pins, in the order of their creation.
    pub exposed: Vec<Arc<Rollout>>,
    /// Whether a failing run is to be repeated with the baseline.
    pub repeat_failures: bool,
    /// Names the pins exactly.
    pub etag: String,
    baseline: Arc<Pins>,
    /// The number of what it belongs to.
    number: u64,
    is_kept: bool,
    pins: OnceLock<Arc<Pins>>,
    written: [OnceLock<Bytes>; 3],
}

impl Combination {
    /// The pins.
    pub fn pins(&self) -> Arc<Pins> {
        if self.exposed.is_empty() {
            return Arc::clone(&self.baseline);
        }
        let make = || {
            Arc::new(resolve(
                &self.baseline,
                self.exposed.iter().map(AsRef::as_ref),
            ))
        };
        match self.is_kept {
            true => Arc::clone(self.pins.get_or_init(make)),
            false => make(),
        }
    }

    /// It in a form, which is made with `make` the first time that it is asked for. Equal combinations give equal bytes.
    pub fn written(&self, form: Form, make: impl FnOnce(&Self) -> Vec<u8>) -> Bytes {
        match self.is_kept || form == Form::Unchanged {
            true => self.written[form as usize]
                .get_or_init(|| make(self).into())
                .clone(),
            false => make(self).into(),
        }
    }
}

impl Snapshot {
    /// What an environment has now.
    pub fn combination_of(
        &self,
        entry: &PinSetEntry,
        environment: &EnvironmentEntry,
    ) -> Arc<Combination> {
        let combinations = &entry.combinations;
        let remembered = environment.pulls.combination.load();
        if let Some(known) = remembered
            .as_ref()
            .filter(|known| known.number == combinations.number)
        {
            return Arc::clone(known);
        }
        let exposed = self.exposures(&environment.stored.record);
        let repeats = self.repeats(entry, environment);
        let combination = combinations.of(entry, &exposed, repeats);
        let remembered = Some(Arc::clone(&combination));
        environment.pulls.combination.store(remembered);
        combination
    }

    /// The baseline alone, as it is given to an environment, or to nobody in particular.
    pub fn baseline_of(
        &self,
        entry: &PinSetEntry,
        environment: Option<&EnvironmentEntry>,
    ) -> Arc<Combination> {
        let repeats = environment.is_some_and(|environment| self.repeats(entry, environment));
        entry.combinations.of(entry, &[], repeats)
    }

    /// Whether the owner agreed to repeat failing runs and a policy asks for it: that of the pin set, or of any
    /// open rollout, exposed or not, so that the answer says nothing of the draw.
    fn repeats(&self, entry: &PinSetEntry, environment: &EnvironmentEntry) -> bool {
        let record = &entry.stored.record;
        let open = self.open_rollouts(&record.name).iter();
        let mut policies = open.map(|rollout| &rollout.policy).chain([&record.policy]);
        environment.stored.record.repeats && policies.any(|policy| policy.repeat_failures)
    }

    /// Forgets what was worked out of a pin set.
    pub(super) fn forget_combinations(&mut self, pin_set: &PinSetName) {
        if let Some(entry) = self.pin_sets.get_mut(pin_set) {
            entry.combinations = Arc::default();
        }
    }
}

impl Combinations {
    fn of(
        &self,
        entry: &PinSetEntry,
        exposed: &[&Arc<Rollout>],
        repeats: bool,
    ) -> Arc<Combination> {
        if exposed.is_empty() {
            let baseline = &self.baseline[usize::from(repeats)];
            return Arc::clone(
                baseline.get_or_init(|| Arc::new(self.make(entry, exposed, repeats, true))),
            );
        }
        let key = (
            exposed.iter().map(|rollout| rollout.id.clone()).collect(),
            repeats,
        );
        let Ok(mut shared) = self.shared.lock() else {
            return Arc::new(self.make(entry, exposed, repeats, false));
        };
        if let Some(known) = shared.get(&key) {
            return Arc::clone(known);
        }
        let is_kept = self.kept.fetch_add(1, Ordering::Relaxed) < KEPT_MAX;
        let combination = Arc::new(self.make(entry, exposed, repeats, is_kept));
        if shared.len() < SHARED_MAX {
            shared.insert(key, Arc::clone(&combination));
        }
        combination
    }

    fn make(
        &self,
        entry: &PinSetEntry,
        exposed: &[&Arc<Rollout>],
        repeat_failures: bool,
        is_kept: bool,
    ) -> Combination {
        let pin_set = &entry.stored.record;
        Combination {
            pin_set: Arc::clone(pin_set),
            verbatim: Arc::clone(&entry.verbatim),
            exposed: exposed.iter().map(|rollout| Arc::clone(rollout)).collect(),
            repeat_failures,
            etag: etag(&pin_set.name, pin_set.revision, exposed),
            baseline: Arc::clone(&entry.baseline),
            number: self.number,
            is_kept,
            pins: OnceLock::new(),
            written: [const { OnceLock::new() }; 3],
        }
    }
}

fn etag(pin_set: &PinSetName, revision: u64, exposed: &[&Arc<Rollout>]) -> String {
    let mut hash = Sha256::new();
    hash.update(pin_set.as_str());
    hash.update(revision.to_le_bytes());
    for rollout in exposed {
        hash.update([0]);
        hash.update(rollout.id.as_str());
    }
    hex::encode(&hash.finalize()[..12])
}
