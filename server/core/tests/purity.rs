//! What decides asks nobody: neither the crates that core is built with nor its own lines can wait, look at
//! the clock, draw, log or open a file.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, MetadataCommand, PackageId};

/// Crates that wait, log, draw or talk, and families of them by their beginning.
const BANNED: [&str; 14] = [
    "tokio",
    "async-",
    "futures",
    "tonic",
    "axum",
    "hyper",
    "reqwest",
    "tracing",
    "opentelemetry",
    "rand",
    "getrandom",
    "fastrand",
    "chrono",
    "sled",
];

/// Words of the standard library and of jiff by which a line could reach outside.
const BANNED_WORDS: [&str; 14] = [
    "Instant::now",
    "SystemTime",
    "Timestamp::now",
    "Zoned::now",
    "std::fs",
    "std::net",
    "std::env",
    "std::process",
    "std::thread",
    "std::io::std",
    "println!",
    "HashMap",
    "HashSet",
    "RandomState",
];

#[test]
fn core_is_built_with_nothing_that_waits_draws_logs_or_reads_a_clock() {
    let metadata = MetadataCommand::new()
        .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        // Crates of other platforms need not be on this machine.
        .other_options(["--offline", "--locked", "--filter-platform", &host()].map(str::to_owned))
        .exec()
        .expect("cargo reads its own workspace");
    let names: BTreeMap<&PackageId, &str> = metadata
        .packages
        .iter()
        .map(|package| (&package.id, package.name.as_str()))
        .collect();
    let nodes: BTreeMap<_, _> = metadata
        .resolve
        .as_ref()
        .unwrap()
        .nodes
        .iter()
        .map(|node| (&node.id, node))
        .collect();
    let core = names
        .iter()
        .find(|(_, name)| **name == "pinion-core")
        .unwrap()
        .0;
    let (mut seen, mut open) = (BTreeSet::new(), vec![*core]);
    while let Some(id) = open.pop() {
        if !seen.insert(names[id]) {
            continue;
        }
        let normal = nodes[id].deps.iter().filter(|dependency| {
            dependency
                .dep_kinds
                .iter()
                .any(|kind| kind.kind == DependencyKind::Normal)
        });
        open.extend(normal.map(|dependency| &dependency.pkg));
    }
    assert!(
        seen.contains("semver") && seen.len() > 10,
        "the walk found nothing: {seen:?}"
    );
    let banned: Vec<_> = seen
        .iter()
        .filter(|name| BANNED.iter().any(|banned| is_of_family(name, banned)))
        .collect();
    assert!(banned.is_empty(), "core is built with {banned:?}");
    let ours: Vec<_> = seen
        .iter()
        .filter(|name| name.starts_with("pinion-"))
        .collect();
    assert_eq!(ours, [&"pinion-core"], "core imports nothing of ours");
}

/// The platform that this runs on, as rustc calls it.
fn host() -> String {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = std::process::Command::new(rustc)
        .arg("-vV")
        .output()
        .expect("rustc runs");
    let text = String::from_utf8(output.stdout).unwrap();
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.expect("rustc names its host").to_owned()
}

fn is_of_family(name: &str, family: &str) -> bool {
    match family.strip_suffix('-') {
        Some(_) => name.starts_with(family),
        None => name == family || name.starts_with(&format!("{family}-")),
    }
}

#[test]
fn no_line_of_core_reaches_outside() {
    let sources = sources(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")));
    assert!(sources.len() > 20, "{sources:?}");
    for path in sources {
        let text = std::fs::read_to_string(&path).unwrap();
        for (number, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            let word = BANNED_WORDS.iter().find(|word| code.contains(**word));
            assert_eq!(word, None, "{}:{}: {line}", path.display(), number + 1);
        }
    }
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(sources(&path)),
            false if path.extension().is_some_and(|extension| extension == "rs") => {
                found.push(path)
            }
            false => {}
        }
    }
    found
}
