//! Small worlds, every one whole: of each, every set of candidates that somebody may be drawn for.

use proptest::prelude::*;

use super::*;
use crate::ecosystem::Ecosystem;
use crate::name::PackageName;
use crate::pin::Pin;
use crate::requires::Requires;

fn package(text: &str) -> PackageName {
    PackageName::parse(Ecosystem::Pypi, text).expect("a name")
}

fn version(text: &str) -> Version {
    Version::parse(Ecosystem::Pypi, text).expect("a version")
}

fn baseline(pins: &[(&str, &str)]) -> Pins {
    let pin = |(name, at): &(&str, &str)| Pin {
        package: package(name),
        version: version(at),
        marker: None,
    };
    pins.iter().map(pin).collect()
}

fn change(name: &str, from: &str, to: &str) -> PackageChange {
    PackageChange {
        package: package(name),
        marker: None,
        from: Some(version(from)),
        to: Some(version(to)),
    }
}

fn requires(name: &str, at: &str, needs: &[&str]) -> Requires {
    let parse = |text: &&str| Requirement::parse(Ecosystem::Pypi, text).expect("a requirement");
    Requires {
        package: package(name),
        version: version(at),
        requirements: needs.iter().map(parse).collect(),
    }
}

fn words(reasons: &[Option<Unmet>]) -> Vec<String> {
    let text = |reason: &Option<Unmet>| {
        reason
            .as_ref()
            .map_or_else(|| "given".to_owned(), ToString::to_string)
    };
    reasons.iter().map(text).collect()
}

#[test]
fn a_candidate_goes_only_to_who_has_what_it_needs() {
    let pins = baseline(&[("jinja2", "2.11"), ("markupsafe", "1.1")]);
    let known = [requires("markupsafe", "2.1", &["jinja2>=3"])]
        .into_iter()
        .collect();
    let jinja = [change("jinja2", "2.11", "3.0")];
    let markup = [change("markupsafe", "1.1", "2.1")];
    assert_eq!(
        words(&unmet(&pins, &known, &[&markup])),
        ["markupsafe 2.1 needs jinja2 >=3, and jinja2 is at 2.11"]
    );
    assert_eq!(
        words(&unmet(&pins, &known, &[&jinja, &markup])),
        ["given", "given"]
    );
    assert_eq!(
        words(&unmet(&pins, &known, &[&markup, &jinja])),
        ["given", "given"]
    );
}

#[test]
fn what_falls_takes_with_it_what_stood_on_it() {
    let pins = baseline(&[("a", "1"), ("b", "1"), ("c", "1"), ("d", "1")]);
    let known = [
        requires("a", "2", &["b>=2"]),
        requires("b", "2", &["c>=2"]),
        requires("c", "2", &["d>=2"]),
    ];
    let known = known.into_iter().collect();
    let of = |name| [change(name, "1", "2")];
    let (a, b, c, d) = (of("a"), of("b"), of("c"), of("d"));
    let given = |drawn: &[&[PackageChange]]| {
        let reasons = unmet(&pins, &known, drawn).into_iter();
        reasons.filter(Option::is_none).count()
    };
    assert_eq!(given(&[&a, &b, &c]), 0);
    assert_eq!(given(&[&a, &b, &c, &d]), 4);
}

#[test]
fn a_pin_of_the_baseline_keeps_out_what_it_cannot_live_with() {
    let pins = baseline(&[("flask", "1.0"), ("jinja2", "2.11")]);
    let known = [requires("flask", "1.0", &["jinja2<3"])];
    let known = known.into_iter().collect();
    let jinja = [change("jinja2", "2.11", "3.0")];
    let flask = [change("flask", "1.0", "2.0")];
    assert_eq!(
        words(&unmet(&pins, &known, &[&jinja])),
        ["flask 1.0 needs jinja2 <3, and jinja2 is at 3.0"]
    );
    assert_eq!(
        words(&unmet(&pins, &known, &[&jinja, &flask])),
        ["given", "given"]
    );
    // What the baseline breaks itself keeps nothing out.
    let broken = baseline(&[("flask", "1.0"), ("jinja2", "3.0")]);
    let newer = [change("jinja2", "3.0", "3.1")];
    assert_eq!(words(&unmet(&broken, &known, &[&newer])), ["given"]);
}

#[test]
fn of_two_that_exclude_each_other_the_older_stays() {
    let pins = baseline(&[("a", "1"), ("b", "1")]);
    let known = [requires("a", "2", &["b<2"])].into_iter().collect();
    let (a, b) = ([change("a", "1", "2")], [change("b", "1", "2")]);
    let told = "a 2 needs b <2, and b is at 2";
    assert_eq!(words(&unmet(&pins, &known, &[&a, &b])), ["given", told]);
    assert_eq!(words(&unmet(&pins, &known, &[&b, &a])), ["given", told]);
    assert_eq!(words(&unmet(&pins, &known, &[&a])), ["given"]);
}

#[test]
fn a_bundle_that_contradicts_itself_goes_to_nobody() {
    let pins = baseline(&[("a", "1"), ("b", "1")]);
    let known = [requires("a", "2", &["b<2"])].into_iter().collect();
    let both = [change("a", "1", "2"), change("b", "1", "2")];
    assert!(unmet(&pins, &known, &[&both])[0].is_some());
}

#[test]
fn a_requirement_asks_nothing_of_a_pin_that_is_never_there_with_it() {
    let marker = |text| Some(Marker::parse(Ecosystem::Pypi, text).expect("a marker"));
    let mut pins = baseline(&[("a", "1")]);
    for (at, text) in [
        ("1.0", "python_version<'3'"),
        ("2.0", "python_version>='3'"),
    ] {
        pins.insert(Pin {
            package: package("b"),
            version: version(at),
            marker: marker(text),
        });
    }
    let a = [change("a", "1", "2")];
    let with = |need: &str| {
        let known = [requires("a", "2", &[need])].into_iter().collect();
        unmet(&pins, &known, &[&a])[0].is_none()
    };
    assert!(with("b>=2; python_version >= '3'"));
    assert!(!with("b>=2"));
    assert!(!with("b>=2; sys_platform == 'win32'"));
}

/// Packages are numbers below five, versions 1 to 3; the baseline has all at 1 or 2.
#[derive(Clone, Debug)]
struct SmallWorld {
    pins: Pins,
    known: Requirements,
    /// Packages of no two overlap; the oldest first.
    candidates: Vec<Vec<PackageChange>>,
}

const PACKAGES: [&str; 5] = ["a", "b", "c", "d", "e"];

/// Requirements with upper bounds too, or with lower ones alone.
fn small_world(upper_bounds: bool) -> impl Strategy<Value = SmallWorld> {
    let bounds = if upper_bounds { 4usize } else { 2 };
    let need = (0..5usize, 2..=3u32, 0..5usize, 0..bounds, 0..3u32);
    let needs = prop::collection::vec(need, 0..8);
    let at = prop::collection::vec(1..=2u32, 5);
    let bundle = prop::collection::vec(0..4usize, 5);
    let of_baseline = any::<bool>();
    (needs, at, bundle, of_baseline).prop_map(move |(needs, at, bundle, of_baseline)| {
        let pins = PACKAGES.iter().zip(&at).map(|(name, at)| Pin {
            package: package(name),
            version: version(&at.to_string()),
            marker: None,
        });
        let known = needs
            .iter()
            .map(|(needing, at_version, needed, form, bound)| {
                let operator = [">=", ">", "<=", "!="][*form];
                let of = if of_baseline && *at_version == 2 {
                    at[*needing]
                } else {
                    *at_version
                };
                let need = format!("{}{operator}{bound}", PACKAGES[*needed]);
                requires(PACKAGES[*needing], &of.to_string(), &[&need])
            });
        let mut candidates: Vec<Vec<PackageChange>> = vec![Vec::new(); 4];
        for (index, place) in bundle.iter().enumerate() {
            let from = at[index].to_string();
            let to = if index % 2 == 0 { 3 } else { at[index] + 1 };
            candidates[*place].push(change(PACKAGES[index], &from, &to.to_string()));
        }
        candidates.retain(|changes| !changes.is_empty());
        SmallWorld {
            pins: pins.collect(),
            known: known.collect(),
            candidates,
        }
    })
}

impl SmallWorld {
    /// Every set of candidates: as the cohorts and holds of some environment leave it.
    fn sets(&self) -> impl Iterator<Item = Vec<usize>> {
        let count = self.candidates.len();
        (0..1u32 << count).map(move |bits| (0..count).filter(|i| bits >> i & 1 == 1).collect())
    }

    fn given(&self, drawn: &[usize]) -> Vec<usize> {
        let changes: Vec<&[PackageChange]> = drawn
            .iter()
            .map(|index| &self.candidates[*index][..])
            .collect();
        let reasons = unmet(&self.pins, &self.known, &changes);
        let given = drawn.iter().zip(reasons);
        given
            .filter(|(_, reason)| reason.is_none())
            .map(|(index, _)| *index)
            .collect()
    }

    fn pins_with(&self, given: &[usize]) -> Pins {
        let mut pins = self.pins.clone();
        for change in given.iter().flat_map(|index| &self.candidates[*index]) {
            pins.apply(change);
        }
        pins
    }

    /// The requirements that pins break, by who needs what: read off the pins, however they came about.
    fn broken(&self, pins: &Pins) -> Vec<(String, String)> {
        let mut broken = Vec::new();
        for pin in pins.iter() {
            for requirement in self.known.of(&pin.package, &pin.version) {
                let mut needed = pins.of_package(&requirement.package);
                if needed.any(|other| !requirement.range.has(&other.version)) {
                    let needing = format!("{} {}", pin.package.written(), pin.version);
                    broken.push((needing, requirement.to_string()));
                }
            }
        }
        broken
    }
}

/// The largest set that breaks nothing that the baseline keeps, by looking at all of them.
fn largest(world: &SmallWorld, drawn: &[usize]) -> Vec<usize> {
    let own = world.broken(&world.pins);
    let is_fine = |set: &Vec<usize>| {
        set.iter().all(|index| drawn.contains(index))
            && world
                .broken(&world.pins_with(set))
                .iter()
                .all(|one| own.contains(one))
    };
    let sets = world.sets().filter(is_fine);
    let mut all: Vec<usize> = sets.flatten().collect();
    all.sort_unstable();
    all.dedup();
    all
}

proptest! {
    #[test]
    fn no_answer_breaks_what_the_baseline_keeps(world in small_world(true)) {
        let own = world.broken(&world.pins);
        for drawn in world.sets() {
            let given = world.given(&drawn);
            for broken in world.broken(&world.pins_with(&given)) {
                prop_assert!(own.contains(&broken), "{drawn:?} -> {given:?}: {broken:?}");
            }
        }
    }

    #[test]
    fn where_nothing_is_excluded_who_is_drawn_for_more_never_gets_less(world in small_world(false)) {
        let sets: Vec<Vec<usize>> = world.sets().collect();
        for more in &sets {
            let with_more = world.given(more);
            for fewer in sets.iter().filter(|set| set.iter().all(|index| more.contains(index))) {
                for index in world.given(fewer) {
                    prop_assert!(with_more.contains(&index), "{fewer:?} in {more:?}");
                }
            }
        }
    }

    #[test]
    fn what_was_given_is_given_again_when_only_that_is_drawn(world in small_world(true)) {
        for drawn in world.sets() {
            let given = world.given(&drawn);
            prop_assert_eq!(world.given(&given), given);
        }
    }

    #[test]
    fn with_lower_bounds_nothing_is_withheld_that_could_be_given(world in small_world(false)) {
        for drawn in world.sets() {
            let (given, could) = (world.given(&drawn), largest(&world, &drawn));
            // Candidates whose need the baseline breaks too are withheld all the same.
            for index in &given {
                prop_assert!(could.contains(index));
            }
            let own = world.broken(&world.pins);
            if own.is_empty() {
                prop_assert_eq!(given, could);
            }
        }
    }
}
