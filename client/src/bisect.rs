//! Which of many changes makes a command fail, when the command is flaky: noisy bisection. Pure.
//!
//! Nothing here runs a command, reads a clock or draws: [`Search::step`] says which changes to try
//! next, [`Search::learn`] takes what came of it, and the same answers always give the same questions.
//! So a search is resumed by telling a new one the old answers.
//!
//! **Where failing begins.** The changes have an order. A trial applies the first `m` of them, or one
//! alone, and passes or fails. The hypotheses are: *the first `j` do not fail and the first `j + 1` do*,
//! twice for each `j` (change `j` alone suffices, or it takes others before it too), and *the changes
//! make no difference*. A configuration that is good fails with a probability, and one that is bad
//! passes with a probability, and neither is known: each hypothesis is weighed with both integrated out
//! over a prior ([`rates`]), so that the results that settle the culprit also tell the flakiness. The
//! next trial is the one whose result tells most about the hypotheses (the largest expected drop of
//! entropy), and the search ends when one hypothesis has the stated confidence. This is probabilistic
//! bisection (Horstein 1963; Burnashev and Zigangirov 1974; Waeber, Frazier and Henderson, SIAM J. Control
//! Optim. 51(3), 2013) as the Bayesian learner of noisy binary search, which is optimal up to lower
//! order terms (Ben-Or and Hassidim, FOCS 2008); choosing by entropy is optimal for the entropy
//! (Jedynak, Frazier and Sznitman, J. Appl. Probab. 49(1), 2012).
//!
//! **Joint culprits.** Where change `j` alone does not fail, it is kept and the changes before it are
//! minimised by delta debugging, `ddmin` (Zeller and Hildebrandt, IEEE Trans. Softw. Eng. 28(2), 2002).
//! Each of its questions is asked again until the answer is beyond doubt: a sequential likelihood
//! ratio with the flakiness learnt so far, and an error for the `q`-th question of
//! `6 / (π² q²)` of this stage's, so that all of them together keep the confidence, however many
//! there are. The result is 1-minimal: without any one of its changes the command does not fail. If
//! the whole that was to be minimised turns out to pass, the first stage goes on with that knowledge.
//!
//! **What the confidence means.** At least this share of the searches ends with the right set if trials
//! are independent given the configuration, each kind of configuration errs in less than 40 % of
//! trials, and adding changes to a failing configuration leaves it failing. A trial that is no
//! answer ([`Answer::Untestable`]) is not tried again; a boundary that cannot be found because of it is left
//! to `ddmin`.

mod boundary;
mod ddmin;
mod question;
pub mod rates;
mod search;

pub use rates::Rates;
pub use search::{Conclusion, Search, Step};

/// The changes of one trial, by their index, rising; the others stay as they were.
pub type Trial = Vec<usize>;

/// What came of a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The command passed.
    Passed,
    /// The command failed.
    Failed,
    /// It says nothing about the command: the configuration cannot be installed, for example.
    Untestable,
}

/// How sure an answer must be: the chance of a wrong one, in (0, 0.5).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Confidence(f64);

impl Confidence {
    /// A confidence in percent, above 50 and below 100; `None` for anything else.
    pub fn percent(percent: f64) -> Option<Self> {
        (percent > 50.0 && percent < 100.0).then(|| Self(1.0 - percent / 100.0))
    }

    /// The chance of a wrong answer.
    pub fn error(self) -> f64 {
        self.0
    }
}

/// How often trials of one kind of configuration ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Trials that failed.
    pub failed: u32,
    /// Trials that passed.
    pub passed: u32,
}

impl Counts {
    /// All of them.
    pub fn total(self) -> u32 {
        self.failed + self.passed
    }

    fn add(&mut self, answer: Answer) {
        match answer {
            Answer::Failed => self.failed += 1,
            Answer::Passed => self.passed += 1,
            Answer::Untestable => {}
        }
    }
}

impl std::ops::Add for Counts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            failed: self.failed + other.failed,
            passed: self.passed + other.passed,
        }
    }
}

impl std::ops::Sub for Counts {
    type Output = Self;

    /// What is left; `other` must be a part.
    fn sub(self, other: Self) -> Self {
        Self {
            failed: self.failed - other.failed,
            passed: self.passed - other.passed,
        }
    }
}
