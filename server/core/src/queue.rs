//! Versions that wait for their trial: which of them go together, in which order, and what each waits for.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::name::{PackageName, RolloutId};
use crate::pin::{Marker, PackageChange, Pin, PinKey, Pins};
use crate::requires::{Requirements, Unmet};
use crate::resolve::{breaches, unmet};
use crate::rollout::{CANDIDATES_MAX, Origin, Rollout};
use crate::state::Actor;
use crate::time::Timestamp;
use crate::version::Version;

/// Newer versions of the pins of one package, that wait for their trial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// The package.
    pub package: PackageName,
    /// The version of each of its pins that is to change, by marker.
    pub versions: Vec<(Option<Marker>, Version)>,
    /// When the youngest was published, where that is known.
    #[serde(default)]
    pub published_at: Option<Timestamp>,
    /// Since when the package waits.
    pub since: Timestamp,
    /// Who asked.
    pub by: Actor,
    /// Where it was asked for.
    pub from: Asked,
}

/// Where a version was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum Asked {
    /// A person imported a file.
    Import,
    /// A followed file has it.
    Source(Origin),
    /// The index of its ecosystem has it.
    Index,
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Import => f.write_str("import"),
            Self::Index => f.write_str("index"),
            Self::Source(origin) => {
                write!(f, "{} at {}", origin.path, origin.commit12())
            }
        }
    }
}

impl Wanted {
    /// What it changes in a baseline: the pins that it has newer.
    pub fn changes(&self, baseline: &Pins) -> Vec<PackageChange> {
        let change = |(marker, to): &(Option<Marker>, Version)| {
            let key = PinKey {
                package: self.package.clone(),
                marker: marker.clone(),
            };
            let pin: &Pin = baseline.get(&key)?;
            to.is_newer_than(&pin.version).then(|| PackageChange {
                package: pin.package.clone(),
                marker: marker.clone(),
                from: Some(pin.version.clone()),
                to: Some(to.clone()),
            })
        };
        self.versions.iter().filter_map(change).collect()
    }

    /// Whether it takes the place of what waits for the same package: it has a newer version, or the same one who asked
    /// has changed its mind.
    pub fn replaces(&self, waiting: &Self) -> bool {
        let is_newer = |(marker, version): &(Option<Marker>, Version)| {
            let mut others = waiting.versions.iter();
            let other = others.find(|(other, _)| other == marker);
            other.is_none_or(|(_, other)| version.is_newer_than(other))
        };
        let asks_again =
            std::mem::discriminant(&self.from) == std::mem::discriminant(&waiting.from);
        self.versions != waiting.versions && (asks_again || self.versions.iter().any(is_newer))
    }
}

/// Puts a version into a queue, in place of what waits for its package if it [replaces](Wanted::replaces) that: it keeps
/// the place of that, so that a package with a release a day has its turn. Says whether the queue has changed.
pub fn put(queue: &mut Vec<Wanted>, mut wanted: Wanted) -> bool {
    match queue
        .iter_mut()
        .find(|other| other.package == wanted.package)
    {
        Some(waiting) if wanted.replaces(waiting) => {
            wanted.since = waiting.since;
            *waiting = wanted;
            true
        }
        Some(_) => false,
        None => {
            let place = |other: &Wanted| (other.since, other.package.clone());
            let at = queue.partition_point(|other| place(other) <= place(&wanted));
            queue.insert(at, wanted);
            true
        }
    }
}

/// Packages that go out in one rollout.
#[derive(Clone, Debug, PartialEq)]
pub struct Bundle {
    /// Places in the queue, in order.
    pub members: Vec<usize>,
    /// What they change.
    pub changes: Vec<PackageChange>,
    /// What they wait for, beyond a free place; `None`: nothing.
    pub wait: Option<Wait>,
}

/// What a bundle waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Something in the queue that it needs.
    Queued {
        /// What it needs.
        unmet: Unmet,
        /// The package that will do.
        package: PackageName,
    },
    /// An open rollout that brings what it needs.
    OnTrial {
        /// What it needs.
        unmet: Unmet,
        /// Which one.
        rollout: RolloutId,
    },
    /// Nothing that is known brings what it needs.
    Nowhere(Unmet),
    /// An open rollout whose candidate excludes it.
    Excluded {
        /// How.
        unmet: Unmet,
        /// Which one.
        rollout: RolloutId,
    },
    /// They need each other and are more than one rollout may have.
    TooMany(usize),
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Queued { unmet, package } => write!(
                f,
                "{unmet}; the newer version of {} waits too and goes first",
                package.written()
            ),
            Self::OnTrial { unmet, rollout } => {
                write!(f, "{unmet}; rollout {rollout} tries what it needs")
            }
            Self::Nowhere(unmet) => {
                write!(f, "{unmet}; nothing that waits or is on trial brings that")
            }
            Self::Excluded { unmet, rollout } => {
                write!(f, "with the candidate of rollout {rollout}, {unmet}")
            }
            Self::TooMany(pins) => write!(
                f,
                "{pins} pins need each other, and one rollout may have {CANDIDATES_MAX}; start a part by hand"
            ),
        }
    }
}

/// The queue as bundles, the oldest first: packages of which each needs the other are one, every other is its own.
///
/// A package that needs another one which does not need it comes after that has become the baseline: alone each is
/// tried more sharply, and neither goes down with the other. `open`: the open rollouts, the oldest first.
pub fn bundles(
    queue: &[Wanted],
    baseline: &Pins,
    requirements: &Requirements,
    open: &[&Rollout],
) -> Vec<Bundle> {
    let changes: Vec<Vec<PackageChange>> = queue
        .iter()
        .map(|wanted| wanted.changes(baseline))
        .collect();
    let breached: Vec<Vec<Unmet>> = changes
        .iter()
        .map(|changes| breaches(baseline, requirements, changes))
        .collect();
    let needs: Vec<BTreeSet<usize>> = breached
        .iter()
        .map(|breached| {
            let bringing = breached
                .iter()
                .filter_map(|unmet| bringing(unmet, &changes, requirements));
            bringing.collect()
        })
        .collect();
    let reached: Vec<BTreeSet<usize>> = (0..queue.len()).map(|one| reach(&needs, one)).collect();
    let mut bundles = Vec::new();
    for place in 0..queue.len() {
        let is_with = |other: &usize| {
            *other == place || (reached[place].contains(other) && reached[*other].contains(&place))
        };
        let members: Vec<usize> = (0..queue.len()).filter(is_with).collect();
        // Each bundle stands where its oldest member does.
        if members.first() != Some(&place) || changes[place].is_empty() {
            continue;
        }
        let of_bundle: Vec<PackageChange> = members
            .iter()
            .flat_map(|member| changes[*member].iter().cloned())
            .collect();
        let outside = |unmet: &Unmet| {
            bringing(unmet, &changes, requirements).filter(|other| !members.contains(other))
        };
        let wait = breaches(baseline, requirements, &of_bundle)
            .into_iter()
            .next()
            .map(
                |unmet| match (on_trial(&unmet, open, requirements), outside(&unmet)) {
                    (Some(rollout), _) => Wait::OnTrial { unmet, rollout },
                    (None, Some(other)) => Wait::Queued {
                        unmet,
                        package: queue[other].package.clone(),
                    },
                    (None, None) => Wait::Nowhere(unmet),
                },
            )
            .or_else(|| excluded(baseline, requirements, &of_bundle, open))
            .or_else(|| (of_bundle.len() > CANDIDATES_MAX).then(|| Wait::TooMany(of_bundle.len())));
        bundles.push(Bundle {
            members,
            changes: of_bundle,
            wait,
        });
    }
    bundles
}

/// The first of these changes that ends what is unmet: the needed package in range, or the needing one at a version that
/// no longer minds.
fn bringing(
    unmet: &Unmet,
    changes: &[Vec<PackageChange>],
    requirements: &Requirements,
) -> Option<usize> {
    changes
        .iter()
        .position(|changes| brings(unmet, changes, requirements))
}

fn brings(unmet: &Unmet, changes: &[PackageChange], requirements: &Requirements) -> bool {
    let needed = &unmet.requirement;
    changes.iter().any(|change| {
        let Some(to) = &change.to else { return false };
        let is_in_range = change.package == needed.package && needed.admits(to);
        let minds = |to: &Version| {
            let mut of = requirements.of(&change.package, to);
            of.any(|other| other.package == needed.package && !other.admits(&unmet.have))
        };
        let no_longer_minds = change.package == unmet.package && *to != unmet.version && !minds(to);
        is_in_range || no_longer_minds
    })
}

fn on_trial(unmet: &Unmet, open: &[&Rollout], requirements: &Requirements) -> Option<RolloutId> {
    let mut open = open.iter();
    let found = open.find(|rollout| brings(unmet, &rollout.changes, requirements));
    found.map(|rollout| rollout.id.clone())
}

/// The open rollout with whose candidate these changes cannot be had.
fn excluded(
    baseline: &Pins,
    requirements: &Requirements,
    changes: &[PackageChange],
    open: &[&Rollout],
) -> Option<Wait> {
    let overlaps = |rollout: &Rollout| {
        let mut changes = changes.iter();
        changes.any(|change| rollout.concerns(&change.package))
    };
    open.iter()
        .filter(|rollout| !overlaps(rollout))
        .find_map(|rollout| {
            let reasons = unmet(baseline, requirements, &[&rollout.changes, changes]);
            let unmet = reasons.into_iter().nth(1).flatten()?;
            Some(Wait::Excluded {
                unmet,
                rollout: rollout.id.clone(),
            })
        })
}

/// What one needs, and what that needs, and so on.
fn reach(needs: &[BTreeSet<usize>], from: usize) -> BTreeSet<usize> {
    let mut reached = BTreeSet::new();
    let mut ahead: Vec<usize> = needs[from].iter().copied().collect();
    while let Some(one) = ahead.pop() {
        if reached.insert(one) {
            ahead.extend(&needs[one]);
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ecosystem::Ecosystem;
    use crate::requires::{Requirement, Requires};

    fn package(text: &str) -> PackageName {
        PackageName::parse(Ecosystem::Pypi, text).expect("a name")
    }

    fn version(text: &str) -> Version {
        Version::parse(Ecosystem::Pypi, text).expect("a version")
    }

    fn baseline(names: &[&str]) -> Pins {
        let pin = |name: &&str| Pin {
            package: package(name),
            version: version("1"),
            marker: None,
        };
        names.iter().map(pin).collect()
    }

    fn wanted(name: &str, to: &str, since: i64) -> Wanted {
        Wanted {
            package: package(name),
            versions: vec![(None, version(to))],
            published_at: None,
            since: Timestamp::from_unix_ms(since),
            by: Actor::Controller,
            from: Asked::Import,
        }
    }

    fn known(rows: &[(&str, &str, &str)]) -> Requirements {
        let requires = |(name, at, need): &(&str, &str, &str)| Requires {
            package: package(name),
            version: version(at),
            requirements: vec![Requirement::parse(Ecosystem::Pypi, need).expect("one")],
        };
        rows.iter().map(requires).collect()
    }

    fn planned(queue: &[Wanted], known: &Requirements) -> Vec<(Vec<String>, String)> {
        let baseline = baseline(&["a", "b", "c", "d"]);
        let shown = |bundle: Bundle| {
            let names = bundle
                .changes
                .iter()
                .map(|change| change.package.written().to_owned());
            let wait = bundle.wait.map(|wait| wait.to_string());
            (names.collect(), wait.unwrap_or_default())
        };
        let bundles = bundles(queue, &baseline, known, &[]);
        bundles.into_iter().map(shown).collect()
    }

    #[test]
    fn packages_go_alone_and_the_oldest_first() {
        let mut queue = Vec::new();
        for (name, since) in [("b", 2), ("a", 2), ("c", 1)] {
            assert!(put(&mut queue, wanted(name, "2", since)));
        }
        let free = |name: &str| (vec![name.to_owned()], String::new());
        assert_eq!(
            planned(&queue, &Requirements::default()),
            [free("c"), free("a"), free("b")]
        );
    }

    #[test]
    fn packages_that_need_each_other_go_together_and_others_one_after_the_other() {
        let queue = [("a", 1), ("b", 2), ("c", 3), ("d", 4)].map(|(n, at)| wanted(n, "2", at));
        let known = known(&[
            ("a", "2", "c>=2"),
            // The old one cannot live with the new one.
            ("a", "1", "c<2"),
            ("b", "2", "d>=2"),
        ]);
        let planned = planned(&queue, &known);
        assert_eq!(planned[0], (vec!["a".into(), "c".into()], String::new()));
        assert_eq!(planned[1].0, ["b"]);
        assert!(
            planned[1].1.contains("newer version of d waits too"),
            "{planned:?}"
        );
        assert_eq!(planned[2], (vec!["d".into()], String::new()));
    }

    #[test]
    fn what_nobody_brings_is_waited_for_and_told() {
        let queue = [wanted("a", "2", 1)];
        let planned = planned(&queue, &known(&[("a", "2", "b>=5")]));
        assert_eq!(
            planned[0].1,
            "a 2 needs b >=5, and b is at 1; nothing that waits or is on trial brings that"
        );
    }

    #[test]
    fn a_newer_version_takes_the_place_of_the_waiting_one() {
        let mut queue = vec![wanted("a", "2", 1), wanted("b", "2", 2)];
        assert!(put(&mut queue, wanted("a", "3", 9)));
        assert_eq!(queue[0].versions[0].1.as_str(), "3");
        assert_eq!(queue[0].since, Timestamp::from_unix_ms(1));
        assert!(!put(&mut queue, wanted("a", "3", 10)), "it waits already");
        // An older one counts only from where the waiting one came from.
        let source = Origin {
            path: "c.txt".to_owned(),
            branch: "master".to_owned(),
            commit: "0".repeat(40),
        };
        let from_file = Wanted {
            from: Asked::Source(source),
            ..wanted("a", "2", 11)
        };
        assert!(!put(&mut queue, from_file));
        assert!(put(&mut queue, wanted("a", "2", 12)));
        assert_eq!(queue.len(), 2);
    }
}
