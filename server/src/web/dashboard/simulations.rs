//! What policies would do, simulated in the background: one at a time, on half of one core, for as long as somebody looks.
//!
//! A simulation is found again by what it follows from; what was found is kept for a while.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use pinion_core::policy::Policy;
use pinion_core::simulation::{Comparison, Tally, seed_of, simulate};
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Answers that are kept; of more, those are forgotten that nobody looked at for the longest time.
const KEPT_MAX: usize = 32;
/// Simulations that wait or run, at most.
const UNDER_WAY_MAX: usize = 4;
/// A simulation that nobody asked for in this time is given up; pages ask once a minute.
const PATIENCE: Duration = Duration::from_secs(150);
/// As of `pinion policy simulate`.
const SEED: u64 = 1;
/// Environments of a fleet: smaller ones show nothing, larger ones take too long for a page.
pub(super) const FLEET: std::ops::RangeInclusive<u32> = 20..=5000;

/// What a page asks for.
#[derive(Clone, Debug)]
pub(super) struct Question {
    /// Its overrides are not asked.
    pub(super) policy: Policy,
    /// Within [`FLEET`].
    pub(super) environments: u32,
    /// In (0, 1).
    pub(super) failure_rate: f64,
}

/// What is known of it.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    Known(Arc<Comparison>),
    /// It is on its way; the part that is done, in percent.
    Computing(u32),
    /// Too many others are on their way.
    Busy,
}

#[derive(Debug)]
struct Kept {
    asked: Instant,
    answer: Answer,
}

/// Every simulation.
#[derive(Clone, Debug)]
pub(super) struct Simulations {
    kept: Arc<Mutex<HashMap<String, Kept>>>,
    turn: Arc<Semaphore>,
    stopping: CancellationToken,
}

impl Question {
    /// By what it is found again.
    pub(super) fn key(&self) -> String {
        let policy = serde_json::to_vec(&self.policy).unwrap_or_default();
        let digest = Sha256::new()
            .chain_update(policy)
            .chain_update(self.environments.to_be_bytes())
            .chain_update(self.failure_rate.to_bits().to_be_bytes())
            .finalize();
        hex::encode(&digest[..16])
    }

    /// Simulated rollouts of each kind: fewer in larger fleets, so that all take about as long.
    const fn rollouts(&self) -> u64 {
        match self.environments {
            0..=500 => 200,
            501..=2000 => 50,
            _ => 20,
        }
    }
}

impl Simulations {
    /// Nothing is simulated any more once `stopping` is cancelled.
    pub(super) fn new(stopping: CancellationToken) -> Self {
        Self {
            kept: Arc::default(),
            turn: Arc::new(Semaphore::new(1)),
            stopping,
        }
    }

    /// What is known of a question; it is begun with, if it is new. `done` is called when it is answered.
    pub(super) fn ask(&self, question: Question, done: impl FnOnce() + Send + 'static) -> Answer {
        let key = question.key();
        let mut kept = self.lock();
        if let Some(known) = kept.get_mut(&key) {
            known.asked = Instant::now();
            return known.answer.clone();
        }
        let is_under_way = |kept: &&Kept| matches!(kept.answer, Answer::Computing(_));
        if kept.values().filter(is_under_way).count() >= UNDER_WAY_MAX {
            return Answer::Busy;
        }
        make_room(&mut kept);
        let answer = Answer::Computing(0);
        let new = Kept {
            asked: Instant::now(),
            answer: answer.clone(),
        };
        kept.insert(key.clone(), new);
        drop(kept);
        let simulations = self.clone();
        tokio::spawn(async move { simulations.answer(key, question, done).await });
        answer
    }

    /// What was found of a question, by its key.
    pub(super) fn known(&self, key: &str) -> Option<Arc<Comparison>> {
        match &self.lock().get(key)?.answer {
            Answer::Known(comparison) => Some(Arc::clone(comparison)),
            Answer::Computing(_) | Answer::Busy => None,
        }
    }

    async fn answer(self, key: String, question: Question, done: impl FnOnce() + Send + 'static) {
        let Ok(_turn) = self.turn.clone().acquire_owned().await else {
            return;
        };
        let (this, own) = (self.clone(), key.clone());
        let worked = tokio::task::spawn_blocking(move || this.work(&own, &question));
        let found = match worked.await {
            Ok(found) => found,
            Err(error) => {
                tracing::error!(%error, "a simulation was lost");
                None
            }
        };
        let mut kept = self.lock();
        match found {
            Some(comparison) => {
                if let Some(kept) = kept.get_mut(&key) {
                    kept.answer = Answer::Known(Arc::new(comparison));
                }
                drop(kept);
                done();
            }
            None => {
                kept.remove(&key);
            }
        }
    }

    /// Simulates; nothing if it is not wanted any more.
    fn work(&self, key: &str, question: &Question) -> Option<Comparison> {
        let Question {
            policy,
            environments,
            failure_rate,
        } = question;
        let scenarios = Comparison::scenarios(policy, *environments, *failure_rate);
        let rollouts = question.rollouts();
        let mut tallies = vec![Tally::default(); scenarios.len()];
        for fleet in 0..rollouts {
            for (scenario, tally) in scenarios.iter().zip(&mut tallies) {
                if !self.is_wanted(key) {
                    return None;
                }
                let begun = Instant::now();
                tally.add(&simulate(scenario, seed_of(SEED, fleet)));
                std::thread::sleep(begun.elapsed());
            }
            self.note_progress(key, fleet + 1, rollouts);
        }
        Comparison::of(&scenarios, tallies, SEED)
    }

    fn is_wanted(&self, key: &str) -> bool {
        !self.stopping.is_cancelled()
            && self
                .lock()
                .get(key)
                .is_some_and(|kept| kept.asked.elapsed() < PATIENCE)
    }

    fn note_progress(&self, key: &str, done: u64, of: u64) {
        if let Some(kept) = self.lock().get_mut(key) {
            let percent = u32::try_from(done * 100 / of.max(1)).unwrap_or(100);
            kept.answer = Answer::Computing(percent);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Forgets the answer that nobody looked at for the longest time, if there are too many.
fn make_room(kept: &mut HashMap<String, Kept>) {
    if kept.len() < KEPT_MAX {
        return;
    }
    let known = kept
        .iter()
        .filter(|(_, kept)| matches!(kept.answer, Answer::Known(_)));
    let oldest = known.min_by_key(|(_, kept)| kept.asked);
    if let Some(key) = oldest.map(|(key, _)| key.clone()) {
        kept.remove(&key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(failure_rate: f64) -> Question {
        Question {
            policy: Policy::default(),
            environments: 20,
            failure_rate,
        }
    }

    #[tokio::test]
    async fn what_is_asked_twice_is_simulated_once_and_equals_the_command_lines() {
        let simulations = Simulations::new(CancellationToken::new());
        let (told, done) = tokio::sync::oneshot::channel();
        let first = simulations.ask(question(0.15), || told.send(()).expect("somebody waits"));
        assert!(matches!(first, Answer::Computing(0)));
        done.await.expect("an answer");
        let again = simulations.ask(question(0.15), || panic!("it is known"));
        let Answer::Known(comparison) = again else {
            panic!("{again:?}");
        };
        assert_eq!((comparison.rollouts, comparison.rows.len()), (200, 28));
        let key = question(0.15).key();
        assert_eq!(simulations.known(&key), Some(comparison));
        assert_ne!(key, question(0.16).key());
    }

    #[tokio::test]
    async fn few_are_under_way_at_a_time_and_none_once_the_server_stops() {
        let stopping = CancellationToken::new();
        let simulations = Simulations::new(stopping.clone());
        for rate in 1..=4 {
            let answer = simulations.ask(question(f64::from(rate) / 10.0), || ());
            assert!(matches!(answer, Answer::Computing(_)));
        }
        assert!(matches!(
            simulations.ask(question(0.5), || ()),
            Answer::Busy
        ));
        stopping.cancel();
        while !simulations.lock().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}
