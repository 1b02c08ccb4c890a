//! npm, pnpm and both yarns.

use pinion_client::v1::Ecosystem;

use super::checkout::{Checkout, has};

/// Asks for is-even 1.0.0, which asks for is-odd ^0.1.2, is-number ^3.0.0 and kind-of ^3.0.2 in turn.
const MANIFEST: &str = "{\n    \"name\": \"app\",\n    \"version\": \"1.0.0\",\n    \"license\": \"MIT\",\n    \"dependencies\": { \"is-even\": \"1.0.0\", \"is-number\": \"^6.0.0 || ^7.0.0\" }\n}\n";

fn version(checkout: &Checkout, path: &str) -> String {
    let text = checkout.read(&format!("node_modules/{path}/package.json"));
    let manifest: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    manifest["version"].as_str().expect("text").to_owned()
}

#[test]
fn npm_takes_direct_pins_without_touching_a_tracked_file() {
    if !has(&["npm", "git"]) {
        return;
    }
    let checkout = Checkout::with(&[("package.json", MANIFEST)]);
    checkout.run("npm", &["install", "--silent"]);
    assert_eq!(version(&checkout, "is-number"), "7.0.0");
    let before = checkout.commit();
    checkout.pin(
        Ecosystem::Npm,
        &[("is-number", "6.0.0"), ("is-even", "0.1.2")],
    );
    let synced = checkout.pinions(&["sync"]);
    assert!(
        synced.err.contains("the tool is npm, by package-lock.json"),
        "{synced:?}"
    );
    checkout.is_as(&before);
    assert_eq!(version(&checkout, "is-number"), "6.0.0");
    let why = "package.json asks for `1.0.0`".to_owned();
    let missed = vec![("is-even".to_owned(), why)];
    assert_eq!(checkout.verified(), (vec!["is-number".to_owned()], missed));
    checkout.pinions(&["undo"]);
    checkout.is_as(&before);
    assert_eq!(
        version(&checkout, "is-number"),
        "7.0.0",
        "what was installed is back"
    );
}

#[test]
fn npm_overrides_what_others_ask_for_and_undo_leaves_no_trace() {
    if !has(&["npm", "git"]) {
        return;
    }
    let checkout = Checkout::with(&[("package.json", MANIFEST)]);
    checkout.run("npm", &["install", "--silent"]);
    let before = checkout.commit();
    let newest = version(&checkout, "kind-of");
    checkout.pin(Ecosystem::Npm, &[("kind-of", "3.1.0"), ("is-odd", "2.0.0")]);
    let synced = checkout.pinions(&["sync"]);
    assert_eq!(checkout.status(), " M package-lock.json\n M package.json\n");
    let manifest = checkout.read("package.json");
    assert!(
        manifest.starts_with(MANIFEST.trim_end_matches("\n}\n")),
        "{manifest}"
    );
    assert!(
        manifest.contains("        \"kind-of@3.1.0\": \"3.1.0\""),
        "{manifest}"
    );
    assert_eq!(version(&checkout, "kind-of"), "3.1.0");
    assert!(
        synced.err.contains("`is-even@1.0.0` asks for `^0.1.2`"),
        "{synced:?}"
    );
    let (took, missed) = checkout.verified();
    assert_eq!((took, missed.len()), (vec!["kind-of".to_owned()], 1));
    checkout.pinions(&["undo"]);
    checkout.is_as(&before);
    assert_eq!(version(&checkout, "kind-of"), newest);
}

#[test]
fn npm_without_a_lockfile_gets_none() {
    if !has(&["npm", "git"]) {
        return;
    }
    let checkout = Checkout::with(&[("package.json", MANIFEST)]);
    checkout.run("npm", &["install", "--silent", "--no-package-lock"]);
    let before = checkout.commit();
    checkout.pin(
        Ecosystem::Npm,
        &[("kind-of", "3.1.0"), ("is-number", "6.0.0")],
    );
    checkout.pinions(&["sync", "--no-apply"]);
    let ran = checkout.pinions(&["exec", "--", "npm", "ls", "--all"]);
    assert!(
        ran.out.contains("kind-of@3.1.0") && ran.out.contains("is-number@6.0.0"),
        "{ran:?}"
    );
    assert!(ran.err.contains("of the pins 2 took"), "{ran:?}");
    checkout.is_as(&before);
}

#[test]
fn pnpm_takes_pins_from_outside_and_keeps_what_its_lockfile_has() {
    if !has(&["pnpm", "git"]) {
        return;
    }
    let older = MANIFEST.replace("^6.0.0 || ^7.0.0", "6.0.0");
    let checkout = Checkout::with(&[("package.json", &older)]);
    checkout.run("pnpm", &["install", "--silent"]);
    checkout.write("package.json", MANIFEST);
    checkout.run("pnpm", &["install", "--silent", "--no-frozen-lockfile"]);
    assert_eq!(
        version(&checkout, "is-number"),
        "6.0.0",
        "held by the lockfile"
    );
    let before = checkout.commit();
    checkout.pin(Ecosystem::Npm, &[("kind-of", "3.1.0"), ("is-odd", "2.0.0")]);
    let synced = checkout.pinions(&["sync"]);
    assert!(
        synced.err.contains("the tool is pnpm, by pnpm-lock.yaml"),
        "{synced:?}"
    );
    assert!(
        synced.out.contains("export PNPM_CONFIG_GLOBAL_PNPMFILE="),
        "{synced:?}"
    );
    checkout.pinions(&["exec", "--", "pnpm", "install", "--silent"]);
    checkout.is_as(&before);
    let (took, missed) = checkout.verified();
    assert_eq!(took, ["kind-of"]);
    assert_eq!(missed.len(), 1, "is-odd is held back by its dependent");
    assert_eq!(
        version(&checkout, "is-number"),
        "6.0.0",
        "the newest is not taken"
    );
    checkout.pinions(&["undo"]);
    checkout.is_as(&before);
}

#[test]
fn yarn_classic_takes_resolutions_and_undo_leaves_no_trace() {
    if !has(&["yarn", "git"]) {
        return;
    }
    let checkout = Checkout::with(&[("package.json", MANIFEST)]);
    checkout.run("yarn", &["install", "--silent"]);
    let before = checkout.commit();
    let newest = version(&checkout, "kind-of");
    checkout.pin(
        Ecosystem::Npm,
        &[
            ("kind-of", "3.1.0"),
            ("is-number", "7.0.0"),
            ("is-odd", "2.0.0"),
        ],
    );
    let synced = checkout.pinions(&["sync"]);
    assert!(
        synced.err.contains("the tool is yarn, by yarn.lock"),
        "{synced:?}"
    );
    assert_eq!(checkout.status(), " M package.json\n M yarn.lock\n");
    let (took, missed) = checkout.verified();
    assert_eq!(took, ["kind-of", "is-number"]);
    let why = "the project asks for `^0.1.2`".to_owned();
    assert_eq!(missed, [("is-odd".to_owned(), why)]);
    assert_eq!(version(&checkout, "kind-of"), "3.1.0");
    checkout.pinions(&["undo"]);
    checkout.is_as(&before);
    assert_eq!(version(&checkout, "kind-of"), newest);
}

#[test]
fn yarn_classic_takes_a_pin_of_what_the_project_asks_for_itself_although_it_is_locked() {
    if !has(&["yarn", "git"]) {
        return;
    }
    let manifest = "{\n  \"name\": \"app\",\n  \"version\": \"1.0.0\",\n  \"license\": \"MIT\",\n  \"dependencies\": { \"ms\": \"^2.0.0\" }\n}\n";
    let checkout = Checkout::with(&[("package.json", manifest)]);
    checkout.run("yarn", &["install", "--silent"]);
    let before = checkout.commit();
    let newest = version(&checkout, "ms");
    checkout.pin(Ecosystem::Npm, &[("ms", "2.1.1")]);
    checkout.pinions(&["sync"]);
    let (took, missed) = checkout.verified();
    assert_eq!((took, missed), (vec!["ms".to_owned()], vec![]));
    assert_eq!(version(&checkout, "ms"), "2.1.1");
    checkout.pinions(&["undo"]);
    checkout.is_as(&before);
    assert_eq!(version(&checkout, "ms"), newest);
}

#[test]
fn yarn_berry_sets_each_range_that_admits_the_pin() {
    if !has(&["yarn", "npm", "node", "git"]) {
        return;
    }
    let program = tempfile::tempdir().expect("a directory");
    let checkout = Checkout::with(&[("package.json", MANIFEST), ("yarn.lock", "")]);
    let prefix = program.path().display().to_string();
    checkout.run(
        "npm",
        &[
            "install",
            "--silent",
            "--prefix",
            &prefix,
            "@yarnpkg/cli-dist@4",
        ],
    );
    let yarn = program
        .path()
        .join("node_modules/@yarnpkg/cli-dist/bin/yarn.js");
    let settings = format!("yarnPath: {}\nnodeLinker: node-modules\n", yarn.display());
    checkout.write(".yarnrc.yml", &settings);
    checkout.run("yarn", &["install"]);
    let before = checkout.commit();
    let newest = version(&checkout, "kind-of");
    checkout.pin(
        Ecosystem::Npm,
        &[
            ("kind-of", "3.1.0"),
            ("is-number", "6.0.0"),
            ("is-odd", "2.0.0"),
        ],
    );
    checkout.pinions(&["sync"]);
    assert_eq!(checkout.status(), " M yarn.lock\n");
    let (took, missed) = checkout.verified();
    assert_eq!(took, ["kind-of", "is-number"]);
    let why = "the project asks for `npm:^0.1.2`".to_owned();
    assert_eq!(missed, [("is-odd".to_owned(), why)]);
    assert_eq!(version(&checkout, "kind-of"), "3.1.0");
    checkout.pinions(&["undo"]);
    checkout.is_as(&before);
    assert_eq!(version(&checkout, "kind-of"), newest);
}
