//! Pins for now, as the library applies them: what a bisection builds on.

use pinion_client::Pins;
use pinion_client::adapters::{Effect, Project, Tool};
use pinion_client::v1::{self, Ecosystem};
use tempfile::TempDir;

use super::cargo_facts::app;
use super::checkout::{Checkout, has};

fn pins(ecosystem: Ecosystem, package: &str, version: &str) -> Pins {
    Pins {
        etag: "trial".into(),
        pin_set: "nova".into(),
        ecosystem,
        revision: 1,
        pins: vec![v1::Pin {
            package: package.into(),
            version: version.into(),
            marker: String::new(),
        }],
        verbatim_lines: vec![],
        rollouts: vec![],
        exposures: vec![],
        repeat_failures: false,
    }
}

fn project(checkout: &Checkout, state: &TempDir) -> Project {
    Project::new(checkout.path(""), state.path())
}

#[test]
fn a_guard_that_is_dropped_puts_the_files_back() {
    if !has(&["cargo", "git"]) {
        return;
    }
    let (checkout, state) = (app(), TempDir::new().expect("a directory"));
    let before = checkout.commit();
    for version in ["1.0.6", "1.0.4"] {
        let pins = pins(Ecosystem::Cargo, "itoa", version);
        let project = project(&checkout, &state);
        let applied = Tool::Cargo.apply(&project, &pins, Effect::Installed);
        let applied = applied.expect("applied");
        let found = applied.verify().expect("listed");
        assert_eq!(found.took, pins.pins);
        drop(applied);
        checkout.is_as(&before);
    }
}

#[test]
fn what_was_installed_for_now_is_installed_no_longer_afterwards() {
    if !has(&["pnpm", "git"]) {
        return;
    }
    let manifest = r#"{"name":"app","version":"1.0.0","dependencies":{"is-odd":"^3.0.0"}}"#;
    let checkout = Checkout::with(&[("package.json", manifest)]);
    checkout.run("pnpm", &["install", "--silent"]);
    let state = TempDir::new().expect("a directory");
    let before = checkout.commit();
    let project = project(&checkout, &state);
    let is_older = || {
        let manifest = checkout.read("node_modules/is-odd/package.json");
        manifest.contains("\"version\": \"3.0.0\"")
    };
    let older = pins(Ecosystem::Npm, "is-odd", "3.0.0");
    let applied = Tool::Pnpm.apply(&project, &older, Effect::Installed);
    let applied = applied.expect("applied");
    assert!(is_older());
    assert_eq!(applied.verify().expect("listed").missed, []);
    let undone = applied.undo().expect("undone");
    assert!(undone.not_installed.is_none(), "{undone:?}");
    assert!(!is_older());
    checkout.is_as(&before);
}

#[test]
fn what_a_tool_cannot_do_leaves_the_checkout_alone() {
    if !has(&["cargo", "git"]) {
        return;
    }
    let (checkout, state) = (app(), TempDir::new().expect("a directory"));
    checkout.write("Cargo.toml", "[package\n");
    let before = checkout.commit();
    let project = project(&checkout, &state);
    for pins in [
        pins(Ecosystem::Cargo, "itoa", "1.0.6"),
        pins(Ecosystem::Cargo, "--config", "1.0.6"),
        pins(Ecosystem::Npm, "is-odd", "3.0.0"),
    ] {
        let refused = Tool::Cargo.apply(&project, &pins, Effect::Resolved);
        assert!(refused.is_err(), "{refused:?}");
        checkout.is_as(&before);
    }
}
