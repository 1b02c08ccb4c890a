//! Edits against the real history of a large constraints file: every row of it is undone, byte for byte.
//!
//! Reads the rows of OpenStack's `upper-constraints.txt` that lie beside the repository, else the part of them that is
//! in it.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;

use pinion_core::ecosystem::Ecosystem;
use pinion_core::name::PackageName;
use pinion_core::pin::{Marker, PackageChange, Pin, PinKey, Pins};
use pinion_core::source_file::{edit, read};
use pinion_core::version::Version;
use serde::Deserialize;

const PATH: &str = "upper-constraints.txt";

#[derive(Debug, Deserialize)]
struct Row {
    branch: String,
    merge: String,
    package: String,
    marker: Option<String>,
    old: Option<String>,
    new: Option<String>,
}

impl Row {
    fn change(&self) -> PackageChange {
        let version = |text: &Option<String>| {
            let version = text.as_deref();
            version.map(|text| Version::parse(Ecosystem::Pypi, text).unwrap())
        };
        let marker = self.marker.as_deref();
        PackageChange {
            package: PackageName::parse(Ecosystem::Pypi, &self.package).unwrap(),
            marker: marker.map(|text| Marker::parse(Ecosystem::Pypi, text).unwrap()),
            from: version(&self.old),
            to: version(&self.new),
        }
    }
}

/// Every branch's rows, those of one landed change together.
fn landed_changes() -> Vec<Vec<Vec<PackageChange>>> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let beside = here.join("../../../shared/data/openstack/constraints-timeline-2015-2018.jsonl");
    let part = here.join("../tests/fixtures/constraints-timeline.jsonl");
    let path = if beside.is_file() { beside } else { part };
    let text = std::fs::read_to_string(&path).expect("the rows");
    let rows: Vec<Row> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("a row"))
        .collect();
    let branches = rows.chunk_by(|one, other| one.branch == other.branch);
    branches
        .map(|rows| {
            let landed = rows.chunk_by(|one, other| one.merge == other.merge);
            landed
                .map(|rows| rows.iter().map(Row::change).collect())
                .collect()
        })
        .collect()
}

/// The file as OpenStack writes it.
fn file(pins: &Pins) -> String {
    let line = |pin: &Pin| match &pin.marker {
        Some(marker) => format!("{}==={};{marker}\n", pin.package.written(), pin.version),
        None => format!("{}==={}\n", pin.package.written(), pin.version),
    };
    pins.iter().map(line).collect()
}

fn edited(text: &str, changes: &[PackageChange]) -> String {
    let edited = edit(Ecosystem::Pypi, PATH, text.as_bytes(), changes);
    let edited = edited.unwrap_or_else(|error| panic!("{changes:?}: {error}"));
    String::from_utf8(edited.bytes).unwrap()
}

/// What a row changes, from what the pins are: the file had some lines twice, which no pins have. A line keeps its
/// spelling of the package and its marker.
fn effective(pins: &Pins, change: &PackageChange) -> PackageChange {
    let key = PinKey {
        package: change.package.clone(),
        marker: change.marker.clone(),
    };
    match pins.get(&key) {
        Some(pin) => PackageChange {
            package: pin.package.clone(),
            marker: pin.marker.clone(),
            from: Some(pin.version.clone()),
            to: change.to.clone(),
        },
        None => PackageChange {
            from: None,
            ..change.clone()
        },
    }
}

fn is_change(change: &PackageChange) -> bool {
    let written =
        |version: &Option<Version>| version.as_ref().map(|version| version.as_str().to_owned());
    written(&change.from) != written(&change.to)
}

#[test]
fn every_row_of_the_real_history_is_undone_byte_for_byte() {
    let (mut rows, mut changes) = (0, 0);
    for branch in landed_changes() {
        let mut pins = Pins::default();
        for landed in branch {
            let (older, older_pins) = (file(&pins), pins.clone());
            let mut steps = Vec::new();
            for change in &landed {
                let change = effective(&pins, change);
                let before = file(&pins);
                pins.apply(&change);
                if is_change(&change) {
                    steps.push((change.reversed(), before));
                }
            }
            rows += steps.len();
            let newer = file(&pins);
            let undone = steps
                .iter()
                .rev()
                .fold(newer.clone(), |text, (change, before)| {
                    let text = edited(&text, std::slice::from_ref(change));
                    assert_eq!(text, *before, "{change}");
                    text
                });
            assert_eq!(undone, older);
            assert_eq!(edited(&newer, &pins.diff(&older_pins)), older);
            // A file without lines does not say how it writes them.
            if !older_pins.is_empty() {
                assert_eq!(edited(&older, &older_pins.diff(&pins)), newer);
            }
            assert_eq!(
                read(Ecosystem::Pypi, PATH, newer.as_bytes()).unwrap().pins,
                pins
            );
            changes += 1;
        }
    }
    assert!(
        rows > 100 && changes > 50,
        "{rows} rows of {changes} changes"
    );
    println!("undone: {rows} rows of {changes} landed changes");
}
