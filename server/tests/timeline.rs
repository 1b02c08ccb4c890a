//! Three years of a real constraints file, one import for each landed change.
//!
//! Reads rows of any period and of any branches; see [`rows`] for where from.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pinion_core::constraints::parse;
use pinion_core::ecosystem::Ecosystem;
use pinion_core::name::PackageName;
use pinion_proto::v1 as proto;
use serde::Deserialize;
use support::{Server, with_token};

#[derive(Clone, Debug, Deserialize)]
struct Row {
    branch: String,
    merge: String,
    package: String,
    marker: Option<String>,
    old: Option<String>,
    new: Option<String>,
}

/// A line of the file, whatever its spelling: the normalised name, and the marker without blanks.
type Line = (PackageName, Option<String>);

/// Why a line may be kept as it stands instead of as a pin; anything else is a defect.
const REASONS: [&str; 3] = [
    // The real file had a few packages twice for a while, such as jira 1.0.14 and 1.0.15.
    "pins it to",
    // Versions from before PEP 440.
    "is no exact version of pypi",
    // Markers from before PEP 508.
    "is no environment marker",
];

/// The file as the rows leave it: of each line the versions it has, since the real file had some lines twice.
#[derive(Debug, Default)]
struct File(BTreeMap<Line, Vec<(String, String)>>);

impl File {
    fn line(row: &Row) -> Line {
        let package = PackageName::parse(Ecosystem::Pypi, &row.package).expect("a real package");
        (package, row.marker.as_deref().map(without_blanks))
    }

    /// Applies a row. A version that was never seen before was there all the time: a slice may begin anywhere.
    fn apply(&mut self, row: &Row) {
        let versions = self.0.entry(Self::line(row)).or_default();
        if let Some(old) = &row.old
            && let Some(place) = versions.iter().position(|(_, version)| version == old)
        {
            versions.remove(place);
        }
        if let Some(new) = &row.new {
            versions.push((row.package.clone(), new.clone()));
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for ((_, marker), versions) in &self.0 {
            for (package, version) in versions {
                let marker = marker
                    .as_ref()
                    .map(|marker| format!(";{}", with_blanks(marker)))
                    .unwrap_or_default();
                text.push_str(&format!("{package}==={version}{marker}\n"));
            }
        }
        text
    }
}

/// The rows of the file that `PINION_TIMELINE` names, else of the one that lies beside the repository, else of the
/// part of it that is in the repository.
fn rows() -> Vec<Row> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let beside = here.join("../../shared/data/openstack/constraints-timeline-2015-2018.jsonl");
    let part = here.join("tests/fixtures/constraints-timeline.jsonl");
    let path = match std::env::var_os("PINION_TIMELINE") {
        Some(path) => PathBuf::from(path),
        None if beside.is_file() => beside,
        None => part,
    };
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("`{}`: {error}", path.display()));
    text.lines()
        .map(|line| serde_json::from_str(line).expect("a row of the timeline"))
        .collect()
}

/// Rows by branch, each branch's in order, and of these the ones of each landed change together.
fn changes(rows: &[Row]) -> BTreeMap<&str, Vec<Vec<&Row>>> {
    let mut branches: BTreeMap<&str, Vec<Vec<&Row>>> = BTreeMap::new();
    for row in rows {
        let changes = branches.entry(&row.branch).or_default();
        match changes.last_mut() {
            Some(change) if change[0].merge == row.merge => change.push(row),
            _ => changes.push(vec![row]),
        }
    }
    branches
}

fn set_name(index: usize) -> String {
    format!("branch-{index}")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_landed_change_is_one_revision_and_the_pins_end_as_the_timeline_does() {
    let rows = rows();
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), "six==1.0\n").await;
    for (index, (branch, changes)) in changes(&rows).into_iter().enumerate() {
        let name = set_name(index);
        server
            .create_set(&name, proto::Policy::default(), None)
            .await
            .unwrap();
        let mut file = File::default();
        let mut revision = 1;
        let mut unkept = 0;
        for change in &changes {
            change.iter().for_each(|row| file.apply(row));
            let request = proto::ImportPinsRequest {
                name: name.clone(),
                content: file.text(),
                expected_revision: revision,
                unkept_lines: proto::UnkeptLines::KeepVerbatim.into(),
                newer_versions: proto::NewerVersions::TakeAtOnce.into(),
                ..Default::default()
            };
            let imported = server
                .sets()
                .import_pins(with_token(request, &server.manager))
                .await;
            let imported = imported
                .unwrap_or_else(|status| panic!("{branch} {}: {status}", change[0].merge))
                .into_inner();
            for line in &imported.unkept_lines {
                assert!(
                    REASONS.iter().any(|reason| line.reason.contains(reason)),
                    "{line:?}"
                );
                unkept += 1;
            }
            let now = imported.pin_set.unwrap().revision;
            assert!(
                now == revision + 1 || (now == revision && imported.change_count == 0),
                "one change, one revision"
            );
            revision = now;
        }
        assert_pins(&server, &name, &file).await;
        println!(
            "{branch}: {} changes, {} pins at the end, revision {revision}, {unkept} times a line kept as it stands",
            changes.len(),
            file.0.values().flatten().count()
        );
    }
}

/// The served pins and verbatim lines are the file's lines, no more and no less.
async fn assert_pins(server: &Server, name: &str, file: &File) {
    let request = proto::GetPinSetRequest {
        name: name.to_owned(),
        ..Default::default()
    };
    let shown = server
        .sets()
        .get_pin_set(with_token(request, &server.manager))
        .await
        .unwrap()
        .into_inner();
    assert!(
        shown.next_page_token.is_empty(),
        "the file has under 1,000 pins"
    );
    let text = file.text();
    let expected = parse(Ecosystem::Pypi, &text).unwrap();
    let served: Vec<(String, String, String)> = shown
        .pins
        .into_iter()
        .map(|pin| (pin.package, pin.version, pin.marker))
        .collect();
    let expected_pins: Vec<(String, String, String)> = expected
        .pins
        .iter()
        .map(|pin| {
            let marker = pin
                .marker
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default();
            (
                pin.package.written().to_owned(),
                pin.version.to_string(),
                marker,
            )
        })
        .collect();
    assert_eq!(served, expected_pins);
    assert_eq!(
        shown.pin_set.unwrap().verbatim_lines.len(),
        expected.unkept.len()
    );
    // Against the rows themselves, not our own reading of them: the version of every line that stands there once.
    let kept = expected
        .unkept
        .iter()
        .map(|line| line.text.as_str())
        .collect::<Vec<_>>()
        .join("\n");
    for ((package, marker), versions) in &file.0 {
        let [(written, version)] = &versions[..] else {
            continue;
        };
        let marker = marker.clone().unwrap_or_default();
        let found = served.iter().any(|(name, served, at)| {
            PackageName::parse(Ecosystem::Pypi, name).as_ref() == Ok(package)
                && served == version
                && without_blanks(at) == marker
        });
        assert!(
            found || kept.contains(&format!("{written}==={version}")),
            "{written} {version} {marker} is not served"
        );
    }
}

/// The words of a marker need blanks around them.
fn with_blanks(marker: &str) -> String {
    let spaced = ["and", "or", "notin", "in"]
        .iter()
        .fold(marker.to_owned(), |marker, word| {
            marker
                .replace(&format!("'{word}"), &format!("' {word} "))
                .replace(&format!("){word}"), &format!(") {word} "))
        });
    spaced.replace("notin", "not in")
}

fn without_blanks(marker: &str) -> String {
    marker.replace('"', "'").split_whitespace().collect()
}
