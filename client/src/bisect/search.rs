//! The whole search: first where failing begins, then, if it takes more than one change, which.

use std::collections::BTreeMap;

use super::boundary::{Boundary, Posterior, Shape};
use super::ddmin::ddmin;
use super::question::{Experience, Question};
use super::{Answer, Confidence, Counts, Rates, Trial};

/// The share of the error that the first stage may use, and the second. A quarter is kept back, since the
/// prior over the flakiness is an average and a command may be worse.
const FIRST_SHARE: f64 = 0.25;
const SECOND_SHARE: f64 = 0.5;

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Try these changes.
    Try(Trial),
    /// It is settled.
    Settled(Conclusion),
}

/// What a search has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Conclusion {
    /// These changes together make the command fail, and without any one of them it does not.
    Culprit(Vec<usize>),
    /// The command fails alike with and without the changes: so often in all trials.
    NoDifference(Counts),
}

/// A search among changes; see the [module](super).
#[derive(Clone, Debug)]
pub struct Search {
    changes: usize,
    error: f64,
    runs: u32,
    posterior: Posterior,
    minimising: Option<Minimising>,
    step: Step,
}

/// The second stage.
#[derive(Clone, Debug)]
struct Minimising {
    /// The change at the boundary, known to be needed; none if the boundary is not known.
    held: Option<usize>,
    /// What may be needed with it.
    rest: Vec<usize>,
    experience: Experience,
    /// Questions by their changes, with the place in which they were first asked.
    asked: BTreeMap<Trial, (u32, Question)>,
}

impl Search {
    /// A search among so many changes, numbered in an order that makes sense applied from the front.
    ///
    /// No change at all makes no difference, which is settled at once.
    pub fn new(changes: usize, confidence: Confidence) -> Self {
        let mut search = Self {
            changes,
            error: confidence.error(),
            runs: 0,
            posterior: Posterior::new(changes.max(1)),
            minimising: None,
            step: Step::Settled(Conclusion::NoDifference(Counts::default())),
        };
        if changes > 0 {
            search.step = search.decide();
        }
        search
    }

    /// What to do next.
    pub fn step(&self) -> &Step {
        &self.step
    }

    /// Takes in the answer to the trial that [`Search::step`] asked for; nothing once it is settled.
    pub fn learn(&mut self, answer: Answer) {
        let Step::Try(trial) = &self.step else {
            return;
        };
        self.runs += 1;
        match &mut self.minimising {
            Some(minimising) if *trial != minimising.whole() => minimising.learn(trial, answer),
            Some(minimising) => {
                minimising.learn(trial, answer);
                self.posterior.learn(shape_of(trial), answer);
            }
            None => self.posterior.learn(shape_of(trial), answer),
        }
        self.step = self.decide();
    }

    /// Trials so far.
    pub fn runs(&self) -> u32 {
        self.runs
    }

    /// How often trials err, as far as it is known.
    pub fn rates(&self) -> Rates {
        let (good, bad) = self.posterior.counts();
        Rates::after(good, bad)
    }

    /// The change under the strongest suspicion and its probability of being where failing begins.
    pub fn leading(&self) -> Option<(usize, f64)> {
        (self.changes > 0).then(|| self.posterior.leading())
    }

    /// How many changes are minimised together with the leading one; 0 in the first stage.
    pub fn minimising(&self) -> usize {
        let stage = self.minimising.as_ref();
        stage.map_or(0, |minimising| minimising.rest.len())
    }

    fn decide(&mut self) -> Step {
        if let Some(minimising) = &self.minimising {
            match minimising.outcome(self.error * SECOND_SHARE) {
                Outcome::Minimal(culprit) => return Step::Settled(Conclusion::Culprit(culprit)),
                Outcome::Ask(trial) => return Step::Try(trial),
                // The first stage erred; it has learnt meanwhile.
                Outcome::WholePasses => self.minimising = None,
            }
        }
        match self.posterior.next(self.error * FIRST_SHARE) {
            Ok(shape) => Step::Try(self.trial_of(shape)),
            Err(Boundary::Alone(change)) => Step::Settled(Conclusion::Culprit(vec![change])),
            Err(Boundary::Nowhere(all)) => Step::Settled(Conclusion::NoDifference(all)),
            Err(Boundary::Joint(change)) => self.minimise(Some(change), change),
            Err(Boundary::UpTo(change)) => self.minimise(None, change + 1),
        }
    }

    fn minimise(&mut self, held: Option<usize>, below: usize) -> Step {
        let (good, bad) = self.posterior.counts();
        let minimising = Minimising {
            held,
            rest: (0..below).collect(),
            experience: Experience { good, bad },
            asked: BTreeMap::new(),
        };
        let first = minimising.whole();
        self.minimising = Some(minimising);
        Step::Try(first)
    }

    fn trial_of(&self, shape: Shape) -> Trial {
        match shape {
            Shape::First(count) => (0..count).collect(),
            Shape::Alone(change) => vec![change],
        }
    }
}

fn shape_of(trial: &Trial) -> Shape {
    match trial.as_slice() {
        [change] if *change > 0 => Shape::Alone(*change),
        first => Shape::First(first.len()),
    }
}

/// How far the second stage is.
enum Outcome {
    Minimal(Vec<usize>),
    Ask(Trial),
    WholePasses,
}

impl Minimising {
    fn learn(&mut self, trial: &Trial, answer: Answer) {
        let next = u32::try_from(self.asked.len()).unwrap_or(u32::MAX - 1) + 1;
        let (_, question) = self
            .asked
            .entry(trial.clone())
            .or_insert((next, Question::default()));
        question.learn(answer);
    }

    /// Everything that may be needed.
    fn whole(&self) -> Trial {
        self.with_held(&self.rest)
    }

    fn outcome(&self, error: f64) -> Outcome {
        let minimal = || {
            // Asked first, since everything below is in vain if the boundary is elsewhere.
            if !self.is_bad(self.whole(), error)? {
                return Ok(Outcome::WholePasses);
            }
            self.minimal(error).map(Outcome::Minimal)
        };
        minimal().unwrap_or_else(Outcome::Ask)
    }

    /// The minimal set, or the trial that has to be made for it.
    ///
    /// The change that is held is needed, since the first stage has seen that without it the command passes.
    fn minimal(&self, error: f64) -> Result<Vec<usize>, Trial> {
        let others = ddmin(&self.rest, |part| match part {
            // And it has seen that the change alone, or no change, does not suffice.
            [] => Ok(false),
            part => self.is_bad(self.with_held(part), error),
        })?;
        Ok(self.with_held(&others))
    }

    fn with_held(&self, part: &[usize]) -> Trial {
        part.iter().copied().chain(self.held).collect()
    }

    fn is_bad(&self, trial: Trial, error: f64) -> Result<bool, Trial> {
        let Some((place, question)) = self.asked.get(&trial) else {
            return Err(trial);
        };
        // The shares of all places, however many, sum to one.
        let share = 6.0 / (std::f64::consts::PI * f64::from(*place)).powi(2);
        question.is_bad(self.experience, error * share).ok_or(trial)
    }
}
