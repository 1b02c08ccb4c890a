//! What holds for one candidate: its packages' rules, resolved, and of several packages the strictest of each.

use super::{OnHarm, OnInconclusive, Policy};
use crate::ecosystem::Ecosystem;
use crate::name::Approver;
use crate::pin::PackageChange;
use crate::rollout::Lane;

/// What the fleet resolves at the least where no margin is stated.
const MARGIN_MIN: f64 = 0.02;

/// By field, which of two rules is the stricter one; [`Policy::effective`] goes by it.
pub const STRICTEST: [(&str, &str); 19] = [
    ("stages", "the shares of both"),
    ("pilot", "with a pilot"),
    ("pilot_bake", "the longer one"),
    ("bake", "the longer one"),
    ("alpha", "the smaller one"),
    ("beta", "the smaller one"),
    (
        "margin",
        "the smaller one; one that is left out counts as 0.02",
    ),
    ("minimum_environments", "the larger one"),
    ("minimum_age", "the larger one"),
    ("gates", "those of both"),
    (
        "gate_timeout",
        "the longer one, so that every gate has its time",
    ),
    ("gate_runs", "the smaller one"),
    ("on_harm", "`roll-back`"),
    ("on_inconclusive", "`wait`"),
    ("repeat_failures", "repeated"),
    ("approvals", "the larger one"),
    (
        "approvers",
        "those named by both, of rules that ask for approvals",
    ),
    ("lift_approvals", "the larger one"),
    ("shadow", "in shadow"),
];

/// Packages of one candidate have no approver in common.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the policy names approvers for some of its packages and others for others, and nobody for all of them; try them one by one, or name an approver in all of these overrides"
)]
pub struct NoCommonApprover;

impl Policy {
    /// The rules for a candidate, frozen: overrides applied in their order, each field taken from the last one that
    /// matches and has it; of several packages, the strictest; then those of the lane.
    ///
    /// # Errors
    /// If its packages have no approver in common.
    pub fn effective(
        &self,
        ecosystem: Ecosystem,
        changes: &[PackageChange],
        lane: Lane,
    ) -> Result<Self, NoCommonApprover> {
        let mut of_packages = changes
            .iter()
            .map(|change| self.of_change(ecosystem, change));
        let first = of_packages.next().unwrap_or_else(|| self.bare());
        let strictest = of_packages.try_fold(first, Self::stricter)?;
        Ok(match (lane, &self.security) {
            (Lane::Security, Some(rules)) => strictest.with(rules),
            (Lane::Ordinary, _) | (Lane::Security, None) => strictest,
        })
    }

    /// Which overrides hold for a change, counted from 1.
    pub fn overrides_of(&self, ecosystem: Ecosystem, change: &PackageChange) -> Vec<usize> {
        let numbered = (1..).zip(&self.overrides);
        numbered
            .filter(|(_, other)| other.matches(ecosystem, change))
            .map(|(number, _)| number)
            .collect()
    }

    fn of_change(&self, ecosystem: Ecosystem, change: &PackageChange) -> Self {
        self.overrides
            .iter()
            .filter(|other| other.matches(ecosystem, change))
            .fold(self.bare(), |policy, other| policy.with(&other.rules))
    }

    /// The policy without its overrides.
    pub(super) fn bare(&self) -> Self {
        Self {
            overrides: Vec::new(),
            security: None,
            ..self.clone()
        }
    }

    /// The stricter of both, field by field, as [`STRICTEST`] says. What belongs to the whole pin set is equal.
    fn stricter(self, other: Self) -> Result<Self, NoCommonApprover> {
        let approvers = common_approvers(&self, &other)?;
        let Self {
            mut stages,
            pilot,
            pilot_bake,
            bake,
            alpha,
            beta,
            margin,
            minimum_environments,
            minimum_age,
            mut gates,
            gate_timeout,
            gate_runs,
            on_harm,
            on_inconclusive,
            repeat_failures,
            approvals,
            approvers: _,
            lift_approvals,
            shadow,
            overlap,
            open_rollouts_max,
            calendar,
            overrides,
            security,
        } = self;
        stages.extend(other.stages);
        stages.sort_by(|a, b| a.value().total_cmp(&b.value()));
        stages.dedup();
        let further = other.gates.into_iter();
        let further: Vec<_> = further.filter(|gate| !gates.contains(gate)).collect();
        gates.extend(further);
        Ok(Self {
            stages,
            pilot: pilot || other.pilot,
            pilot_bake: pilot_bake.max(other.pilot_bake),
            bake: bake.max(other.bake),
            alpha: alpha.min(other.alpha),
            beta: beta.min(other.beta),
            margin: smaller_margin(margin, other.margin),
            minimum_environments: minimum_environments.max(other.minimum_environments),
            minimum_age: minimum_age.max(other.minimum_age),
            gates,
            gate_timeout: gate_timeout.max(other.gate_timeout),
            gate_runs: gate_runs.min(other.gate_runs),
            on_harm: match (on_harm, other.on_harm) {
                (OnHarm::Pause, OnHarm::Pause) => OnHarm::Pause,
                _ => OnHarm::RollBack,
            },
            on_inconclusive: match (on_inconclusive, other.on_inconclusive) {
                (OnInconclusive::Complete, OnInconclusive::Complete) => OnInconclusive::Complete,
                _ => OnInconclusive::Wait,
            },
            repeat_failures: repeat_failures || other.repeat_failures,
            approvals: approvals.max(other.approvals),
            approvers,
            lift_approvals: lift_approvals.max(other.lift_approvals),
            shadow: shadow || other.shadow,
            overlap,
            open_rollouts_max,
            calendar,
            overrides,
            security,
        })
    }
}

fn smaller_margin(one: Option<f64>, other: Option<f64>) -> Option<f64> {
    let least = |margin: Option<f64>| margin.unwrap_or(MARGIN_MIN);
    match least(one).total_cmp(&least(other)) {
        std::cmp::Ordering::Less => one,
        std::cmp::Ordering::Greater => other,
        // Of equals, the one that says so: what is left out may come to more.
        std::cmp::Ordering::Equal => one.or(other),
    }
}

/// Who may approve for both; empty: whoever runs rollouts.
fn common_approvers(one: &Policy, other: &Policy) -> Result<Vec<Approver>, NoCommonApprover> {
    let named = |policy: &Policy| match policy.approvals {
        0 => Vec::new(),
        _ => policy.approvers.clone(),
    };
    match (named(one), named(other)) {
        _ if one.approvals.max(other.approvals) == 0 => Ok(one.approvers.clone()),
        (some, none) | (none, some) if none.is_empty() => Ok(some),
        (mut one, other) => {
            one.retain(|approver| other.contains(approver));
            if one.is_empty() {
                return Err(NoCommonApprover);
            }
            Ok(one)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::super::{Bump, Override, Rules};
    use super::*;
    use crate::draw::Share;
    use crate::name::PackageName;
    use crate::version::Version;

    const PYPI: Ecosystem = Ecosystem::Pypi;

    fn change(package: &str, from: &str, to: &str) -> PackageChange {
        let version = |text| Version::parse(PYPI, text).expect("a version");
        PackageChange {
            package: PackageName::parse(PYPI, package).expect("a name"),
            marker: None,
            from: Some(version(from)),
            to: Some(version(to)),
        }
    }

    fn of(packages: &[&str], bumps: &[Bump], rules: Rules) -> Override {
        Override {
            packages: packages
                .iter()
                .map(|text| text.parse().expect("a pattern"))
                .collect(),
            bumps: bumps.to_vec(),
            rules,
        }
    }

    fn names<T: std::str::FromStr<Err: std::fmt::Debug>>(names: &[&str]) -> Vec<T> {
        names
            .iter()
            .map(|name| name.parse().expect("a name"))
            .collect()
    }

    fn policy() -> Policy {
        let days = |days: u64| Some(Duration::from_secs(days * 86_400));
        Policy {
            gates: names(&["nova"]),
            overrides: vec![
                of(
                    &["oslo.*"],
                    &[],
                    Rules {
                        gates: Some(names(&["neutron"])),
                        minimum_age: days(1),
                        ..Rules::default()
                    },
                ),
                of(
                    &[],
                    &[Bump::Major],
                    Rules {
                        minimum_age: days(7),
                        approvals: Some(2),
                        alpha: Some(0.01),
                        ..Rules::default()
                    },
                ),
            ],
            security: Some(Rules {
                minimum_age: days(0),
                stages: Some(vec![Share::clamped(0.25)]),
                ..Rules::default()
            }),
            ..Policy::default()
        }
    }

    fn effective(changes: &[PackageChange], lane: Lane) -> Policy {
        policy()
            .effective(PYPI, changes, lane)
            .expect("approvers in common")
    }

    #[test]
    fn later_overrides_win_field_by_field() {
        let major = change("oslo.config", "1.0", "2.0");
        let found = effective(std::slice::from_ref(&major), Lane::Ordinary);
        assert_eq!(found.gates, names(&["neutron"]), "of the first");
        assert_eq!(found.minimum_age.as_secs(), 7 * 86_400, "of the second");
        assert_eq!((found.approvals, found.alpha), (2, 0.01));
        assert!(found.overrides.is_empty() && found.security.is_none());
        assert_eq!(policy().overrides_of(PYPI, &major), [1, 2]);
        let minor = effective(&[change("six", "1.0", "1.1")], Lane::Ordinary);
        assert_eq!(minor, policy().bare(), "nothing matches");
    }

    #[test]
    fn of_several_packages_the_strictest_holds() {
        let patch = change("oslo.config", "1.0.0", "1.0.1");
        let major = change("six", "1.0", "2.0");
        let found = effective(&[patch.clone(), major.clone()], Lane::Ordinary);
        assert_eq!(found.gates, names(&["neutron", "nova"]));
        assert_eq!(found.minimum_age.as_secs(), 7 * 86_400);
        assert_eq!((found.approvals, found.alpha), (2, 0.005));
    }

    #[test]
    fn the_security_lane_comes_last() {
        let major = change("six", "1.0", "2.0");
        let found = effective(&[major], Lane::Security);
        assert_eq!(found.minimum_age, Duration::ZERO);
        assert_eq!(found.stages, [Share::clamped(0.25)]);
        assert_eq!(found.approvals, 2, "what it does not say stays");
    }

    #[test]
    fn packages_without_an_approver_in_common_are_refused() {
        let asking = |package: &str, approvers: &[&str]| {
            of(
                &[package],
                &[],
                Rules {
                    approvals: Some(1),
                    approvers: Some(names(approvers)),
                    ..Rules::default()
                },
            )
        };
        let policy = Policy {
            overrides: vec![
                asking("a", &["ann", "bob"]),
                asking("b", &["bob", "cid"]),
                asking("c", &["cid"]),
            ],
            ..Policy::default()
        };
        let of = |packages: &[&str]| {
            let changes: Vec<_> = packages.iter().map(|name| change(name, "1", "2")).collect();
            let found = policy.effective(PYPI, &changes, Lane::Ordinary);
            found.map(|policy| policy.approvers)
        };
        assert_eq!(of(&["a", "b"]), Ok(names(&["bob"])));
        assert_eq!(
            of(&["a", "x"]),
            Ok(names(&["ann", "bob"])),
            "x asks for none"
        );
        assert_eq!(of(&["a", "c"]), Err(NoCommonApprover));
    }

    #[test]
    fn the_table_names_every_rule_and_stands_in_the_readme() {
        let rules: Vec<&str> = STRICTEST.iter().map(|(field, _)| *field).collect();
        let json = serde_json::to_value(full()).expect("JSON");
        let fields = json.as_object().expect("an object");
        assert_eq!(fields.len(), rules.len());
        assert!(
            rules.iter().all(|rule| fields.contains_key(*rule)),
            "{fields:?}"
        );
        let rows = STRICTEST.map(|(field, rule)| format!("| `{field}` | {rule} |\n"));
        let table = rows.concat();
        let readme = include_str!("../../../../client/README.md");
        assert!(
            readme.contains(&table),
            "put this into client/README.md:\n{table}"
        );
    }

    /// Rules of which none is left out.
    fn full() -> Rules {
        let policy = Policy::default();
        Rules {
            stages: Some(policy.stages),
            pilot: Some(true),
            pilot_bake: Some(policy.pilot_bake),
            bake: Some(policy.bake),
            alpha: Some(policy.alpha),
            beta: Some(policy.beta),
            margin: Some(0.1),
            minimum_environments: Some(1),
            minimum_age: Some(policy.minimum_age),
            gates: Some(Vec::new()),
            gate_timeout: Some(policy.gate_timeout),
            gate_runs: Some(1),
            on_harm: Some(policy.on_harm),
            on_inconclusive: Some(policy.on_inconclusive),
            repeat_failures: Some(true),
            approvals: Some(0),
            approvers: Some(Vec::new()),
            lift_approvals: Some(1),
            shadow: Some(false),
        }
    }

    fn any_policy() -> impl Strategy<Value = Policy> {
        let stages = prop::collection::btree_set(1u32..100, 1..4);
        let times = (60u64..1_000_000, 60u64..1_000_000, 0u64..1_000_000);
        let rates = (
            0.001f64..0.2,
            0.001f64..0.5,
            prop::option::of(0.001f64..0.9),
        );
        let counts = (0u32..50, 1u32..10, 0u32..5, 1u32..5);
        let gates = prop::collection::btree_set("[a-c]", 0..3);
        let choices = (
            any::<bool>(),
            any::<bool>(),
            any::<bool>(),
            any::<bool>(),
            any::<bool>(),
        );
        let parts = (stages, times, rates, counts, gates, choices);
        parts.prop_map(|(stages, times, rates, counts, gates, choices)| Policy {
            stages: stages
                .iter()
                .map(|n| Share::clamped(f64::from(*n) / 100.0))
                .collect(),
            pilot: choices.0,
            pilot_bake: Duration::from_secs(times.0),
            bake: Duration::from_secs(times.1),
            minimum_age: Duration::from_secs(times.2),
            alpha: rates.0,
            beta: rates.1,
            margin: rates.2,
            minimum_environments: counts.0,
            gate_runs: counts.1,
            approvals: counts.2,
            lift_approvals: counts.3,
            gates: gates
                .iter()
                .map(|name| name.parse().expect("a name"))
                .collect(),
            on_harm: if choices.1 {
                OnHarm::Pause
            } else {
                OnHarm::RollBack
            },
            on_inconclusive: if choices.2 {
                OnInconclusive::Wait
            } else {
                OnInconclusive::Complete
            },
            repeat_failures: choices.3,
            shadow: choices.4,
            ..Policy::default()
        })
    }

    /// The policy with its gates in order: which gate was named first does not matter.
    fn sorted(mut policy: Policy) -> Policy {
        policy.gates.sort();
        policy
    }

    proptest! {
        #[test]
        fn the_stricter_of_two_does_not_depend_on_their_order(a in any_policy(), b in any_policy(), c in any_policy()) {
            let strict = |a: &Policy, b: &Policy| sorted(a.clone().stricter(b.clone()).expect("no approvers"));
            prop_assert_eq!(strict(&a, &b), strict(&b, &a));
            prop_assert_eq!(strict(&a, &a), sorted(a.clone()));
            prop_assert_eq!(strict(&strict(&a, &b), &c), strict(&a, &strict(&b, &c)));
        }

        #[test]
        fn the_stricter_of_two_is_as_strict_as_each(a in any_policy(), b in any_policy()) {
            let strict = a.clone().stricter(b.clone()).expect("no approvers");
            for one in [a, b] {
                prop_assert!(one.stages.iter().all(|stage| strict.stages.contains(stage)));
                prop_assert!(one.gates.iter().all(|gate| strict.gates.contains(gate)));
                prop_assert!(strict.bake >= one.bake && strict.minimum_age >= one.minimum_age);
                prop_assert!(strict.alpha <= one.alpha && strict.beta <= one.beta);
                prop_assert!(strict.approvals >= one.approvals && strict.shadow >= one.shadow);
            }
        }
    }
}
