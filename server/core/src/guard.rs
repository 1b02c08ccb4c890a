//! The guard: whether the labels of those who report really are what was drawn.
//!
//! A sequential test of the sample ratio (Lindon & Malek 2022, arXiv 2011.03567): a Beta(100 rho,
//! 100 (1 − rho)) predictive against rho itself. It fires for a broken client, or a candidate that stops
//! people from reporting; then automation freezes.

use serde::{Deserialize, Serialize};

/// The weight of the expected ratio, in labels.
const WEIGHT: f64 = 100.0;
/// The chance of a false alarm.
pub const ALPHA: f64 = 1e-4;

/// The logarithm at which the assignment cannot be trusted: 10,000 to 1.
pub fn log_threshold() -> f64 {
    -ALPHA.ln()
}

/// The evidence that labels are not Bernoulli(rho), over all epochs of a rollout.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AssignmentGuard {
    log_e: f64,
    rho: f64,
    exposed: u64,
    control: u64,
}

impl AssignmentGuard {
    /// Begins an epoch in which labels are exposed with probability `rho`, in (0, 1).
    pub fn start_epoch(&mut self, rho: f64) {
        (self.rho, self.exposed, self.control) = (rho, 0, 0);
    }

    /// Takes in the label of an environment that reports, once an epoch. Outside an epoch, and in one in
    /// which everybody is exposed, there is nothing to test.
    ///
    /// Feed it at the first report, whatever that says: failures are revealed before passes, so that harm
    /// itself would look like a wrong ratio if it were fed at reveals.
    pub fn label(&mut self, exposed: bool) {
        if !(self.rho > 0.0 && self.rho < 1.0) {
            return;
        }
        let total = WEIGHT + (self.exposed + self.control) as f64;
        let (rho, seen) = if exposed {
            (self.rho, &mut self.exposed)
        } else {
            (1.0 - self.rho, &mut self.control)
        };
        self.log_e += ((WEIGHT * rho + *seen as f64) / (total * rho)).ln();
        *seen += 1;
    }

    /// The natural logarithm of the evidence of a wrong assignment (an e-value).
    pub const fn log_e(&self) -> f64 {
        self.log_e
    }

    /// Whether the assignment cannot be trusted: evidence of 10,000 to 1.
    pub fn fires(&self) -> bool {
        self.log_e >= log_threshold()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_as_drawn_do_not_fire_and_a_missing_side_does() {
        let mut guard = AssignmentGuard::default();
        guard.start_epoch(0.5);
        for i in 0..1000 {
            guard.label(i % 2 == 0);
        }
        assert!(!guard.fires());
        for _ in 0..200 {
            guard.label(false);
        }
        assert!(guard.fires(), "{}", guard.log_e());
    }

    #[test]
    fn the_order_of_labels_does_not_matter() {
        let evidence = |labels: &[bool]| {
            let mut guard = AssignmentGuard::default();
            guard.start_epoch(0.1);
            labels.iter().for_each(|exposed| guard.label(*exposed));
            guard.log_e()
        };
        let difference = evidence(&[true, true, false, false, false])
            - evidence(&[false, true, false, true, false]);
        assert!(difference.abs() < 1e-12);
    }
}
