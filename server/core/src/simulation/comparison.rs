//! What a policy would do with good candidates and bad ones, next to other ways of giving them out.

mod picture;

use crate::numbers::{counted, percent};
use crate::policy::Policy;

use super::{Harm, Rule, Scenario, Tally};

pub use picture::svg;

/// What a candidate may do, with its name for people; the harmless one first.
const CANDIDATES: [(&str, Harm); 7] = [
    ("harmless", Harm::None),
    ("breaks 90 %", Harm::Break),
    ("breaks with another one (25 %)", Harm::BreakWithOther),
    ("breaks one platform (5 %)", Harm::BreakOnPlatform),
    ("20 points more failing days", Harm::BadDays(0.20)),
    ("5 points more failing days", Harm::BadDays(0.05)),
    ("2 points more failing days", Harm::BadDays(0.02)),
];
/// How it may be given out; as this crate does first.
const RULES: [(&str, Rule); 4] = [
    ("Pinion", Rule::Pinion),
    ("5-point threshold", Rule::Threshold),
    ("10 % every 2 h", Rule::Ramp),
    ("everyone at once", Rule::EveryoneAtOnce),
];

/// Every candidate under every rule, in many simulated rollouts.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// Environments of the fleet.
    pub environments: u32,
    /// The mean chance of a bad day of an environment's own making, 0 to 1.
    pub failure_rate: f64,
    /// Whether failing runs are repeated with the baseline.
    pub verified: bool,
    /// Simulated rollouts of each kind.
    pub rollouts: u64,
    /// From which all of them follow.
    pub seed: u64,
    /// How many harmless ones are promised to be rolled back at most, 0 to 1.
    pub alpha: f64,
    /// By candidate, then by rule; Pinion is the first rule, the harmless candidate the first.
    pub rows: Vec<Row>,
}

/// One candidate under one rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// What the candidate does.
    pub candidate: &'static str,
    /// How it is given out.
    pub rule: &'static str,
    /// What became of the rollouts.
    pub tally: Tally,
}

impl Comparison {
    /// What has to be simulated under a policy without its overrides, in the order of the rows.
    pub fn scenarios(policy: &Policy, environments: u32, failure_rate: f64) -> Vec<Scenario> {
        let harmless = Scenario::new(policy.clone(), environments, failure_rate);
        let of = |harm: Harm, rule: Rule| Scenario {
            harm,
            rule,
            ..harmless.clone()
        };
        CANDIDATES
            .iter()
            .flat_map(|(_, harm)| RULES.map(|(_, rule)| of(*harm, rule)))
            .collect()
    }

    /// What came of the scenarios of a policy, of each a tally, in their order; none of no scenario.
    pub fn of(scenarios: &[Scenario], tallies: Vec<Tally>, seed: u64) -> Option<Self> {
        let first = scenarios.first()?;
        let names = CANDIDATES
            .iter()
            .flat_map(|(candidate, _)| RULES.map(|(rule, _)| (*candidate, rule)));
        Some(Self {
            environments: first.environments,
            failure_rate: first.failure_rate,
            verified: first.policy.repeat_failures,
            rollouts: tallies.first().map_or(0, Tally::total),
            seed,
            alpha: first.policy.alpha,
            rows: names
                .zip(tallies)
                .map(|((candidate, rule), tally)| Row {
                    candidate,
                    rule,
                    tally,
                })
                .collect(),
        })
    }

    /// What was simulated, in a sentence.
    pub fn subject(&self) -> String {
        format!(
            "{}, {} of their days failing by themselves{}; {} each",
            counted(u64::from(self.environments), "environment"),
            percent(self.failure_rate, 1),
            match self.verified {
                true => ", failing runs repeated",
                false => "",
            },
            counted(self.rollouts, "rollout"),
        )
    }
}
