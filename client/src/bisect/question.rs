//! Whether one configuration is bad, asked until the answer is beyond doubt.

use super::rates::{ln_bad, ln_good};
use super::{Answer, Counts};

/// What the earlier trials tell about flakiness, to judge later ones by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Experience {
    pub(super) good: Counts,
    pub(super) bad: Counts,
}

/// The trials of one configuration.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Question {
    counts: Counts,
    is_untestable: bool,
}

impl Question {
    pub(super) fn learn(&mut self, answer: Answer) {
        self.counts.add(answer);
        self.is_untestable |= answer == Answer::Untestable;
    }

    /// Whether it is bad, if that is known with at most this chance of error.
    ///
    /// Wald's sequential test on the predictive likelihoods; what cannot be tested does not fail.
    pub(super) fn is_bad(&self, experience: Experience, error: f64) -> Option<bool> {
        if self.is_untestable {
            return Some(false);
        }
        let Experience { good, bad } = experience;
        let if_bad = ln_bad(bad + self.counts) - ln_bad(bad);
        let if_good = ln_good(good + self.counts) - ln_good(good);
        let odds = if_bad - if_good;
        let beyond = ((1.0 - error) / error).ln();
        (odds.abs() >= beyond).then_some(odds > 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flakiness_makes_it_ask_more_often() {
        let asked = |experience| {
            let mut question = Question::default();
            let mut asked = 0;
            while question.is_bad(experience, 0.001).is_none() {
                question.learn(Answer::Failed);
                asked += 1;
            }
            assert_eq!(question.is_bad(experience, 0.001), Some(true));
            asked
        };
        let steady = Experience {
            good: Counts {
                failed: 0,
                passed: 20,
            },
            bad: Counts {
                failed: 20,
                passed: 0,
            },
        };
        let flaky = Experience {
            good: Counts {
                failed: 6,
                passed: 14,
            },
            bad: Counts {
                failed: 14,
                passed: 6,
            },
        };
        assert!(asked(steady) <= 2);
        assert!(asked(flaky) >= 6);
    }
}
