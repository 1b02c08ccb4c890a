//! `pinion bisect` with tools that resolve by files of the checkout.

use std::collections::BTreeMap;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use pinion_client::v1::Ecosystem;

use super::cargo_facts::version_in;
use super::checkout::{Checkout, has};

const MANIFEST: &str = "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2021\"\n\n[dependencies]\neither = \"1\"\nform_urlencoded = \"1\"\nitoa = \"1.0.4\"\npercent-encoding = \"2\"\n";

/// It compiles with `either` from 1.7 only.
const MAIN: &str = "fn main() {\n    let one: either::Either<&u8, &u8> = either::Either::Left(&1);\n    println!(\"{:?}\", one.copied());\n}\n";

const GOOD: &str = "either 1.13.0\nform_urlencoded 1.0.1\nitoa 1.0.4\npercent-encoding 2.1.0\n";

/// `form_urlencoded` 1.2.1 wants a `percent-encoding` of 2.3 at least; the manifest keeps `itoa` 1.0.3 out.
const BAD: &str = "either 1.6.1\nform_urlencoded 1.2.1\nitoa 1.0.3\npercent-encoding 2.3.1\n";

type Tracked = BTreeMap<String, Vec<u8>>;

/// A crate, the pins beside it, and everything that is tracked.
fn app() -> (Checkout, Tracked) {
    let checkout = Checkout::with(&[
        ("Cargo.toml", MANIFEST),
        ("src/main.rs", MAIN),
        ("good.txt", GOOD),
        ("bad.txt", BAD),
    ]);
    checkout.run("cargo", &["generate-lockfile", "--quiet"]);
    let before = checkout.commit();
    (checkout, before)
}

const BISECT: [&str; 8] = [
    "bisect",
    "--good",
    "good.txt",
    "--bad",
    "bad.txt",
    "--confidence",
    "80",
    "--",
];

/// A bisection whose first trial waits.
fn waiting(checkout: &Checkout) -> Child {
    let line = "mkdir -p target && touch target/waits && exec sleep 20";
    let child = checkout
        .command(
            env!("CARGO_BIN_EXE_pinion"),
            &[&BISECT[..], &["sh", "-c", line]].concat(),
        )
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    let begun = Instant::now();
    while !checkout.path("target/waits").exists() {
        assert!(begun.elapsed() < Duration::from_secs(60), "it never waited");
        std::thread::sleep(Duration::from_millis(20));
    }
    std::fs::remove_file(checkout.path("target/waits")).expect("there");
    child
}

#[test]
fn the_pin_that_breaks_a_crate_is_found_and_its_lockfile_is_as_before() {
    if !has(&["cargo", "git"]) {
        return;
    }
    let (checkout, before) = app();
    let check = ["cargo", "check", "--quiet", "--locked"];
    let said = checkout.pinions(&[&BISECT[..], &check].concat());
    let (out, err) = (&said.out, &said.err);
    assert!(
        out.starts_with("culprit: either 1.13.0 -> 1.6.1\nfound among 4 changes"),
        "{said:?}"
    );
    assert!(err.contains("the tool is cargo, by Cargo.toml"), "{err}");
    // A pin without the one it needs is refused by cargo, and blamed for nothing.
    assert!(err.contains("2 of 4 changes could not be tested"), "{err}");
    let told = "warning: itoa 1.0.3 did not take, ";
    assert_eq!(err.matches(told).count(), 1, "{err}");
    checkout.is_as(&before);
}

#[test]
fn the_pins_of_the_checkout_are_held_against_the_baseline_beside_what_a_sync_applied() {
    if !has(&["cargo", "git"]) {
        return;
    }
    let (checkout, before) = app();
    let own = [("either", "1.6.1"), ("itoa", "1.0.6")];
    checkout.pin(Ecosystem::Cargo, &own);
    checkout.pin_baseline(Ecosystem::Cargo, &[("either", "1.13.0"), ("itoa", "1.0.4")]);
    checkout.pinions(&["sync"]);
    let synced = checkout.tracked();
    let check = ["cargo", "check", "--quiet", "--locked"];
    let words = ["bisect", "--confidence", "80", "--"];
    let said = checkout.pinions(&[&words[..], &check].concat());
    assert!(
        said.out
            .starts_with("culprit: either 1.13.0 -> 1.6.1\nfound among 2 changes"),
        "{said:?}"
    );
    assert!(checkout.tracked() == synced, "a file differs");
    assert_eq!(checkout.verified().0, ["either", "itoa"]);
    checkout.pinions(&["undo"]);
    checkout.is_as(&before);
}

#[test]
fn a_trial_that_is_interrupted_is_undone() {
    if !has(&["cargo", "git"]) {
        return;
    }
    let (checkout, before) = app();
    let child = waiting(&checkout);
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("alive");
    let output = child.wait_with_output().expect("ends");
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{err}");
    assert!(err.contains("stopped after 0 runs"), "{err}");
    checkout.is_as(&before);
}

#[test]
fn what_a_killed_bisection_left_is_undone_by_the_next() {
    if !has(&["cargo", "git"]) {
        return;
    }
    let (checkout, before) = app();
    let mut child = waiting(&checkout);
    child.kill().expect("alive");
    child.wait().expect("ends");
    if checkout.status().is_empty() {
        eprintln!("skipped: this cargo has its lockfile elsewhere");
        return;
    }
    assert_eq!(version_in(&checkout.read("Cargo.lock"), "either"), "1.6.1");
    let next = checkout.pinion(&[&BISECT[..4], &["bad.txt", "--restart", "--", "true"]].concat());
    assert!(
        next.err.contains("an earlier bisection was killed"),
        "{next:?}"
    );
    assert!(next.err.contains("restored `"), "{next:?}");
    assert!(next.err.contains("the pins make no difference"), "{next:?}");
    checkout.is_as(&before);
}

#[test]
fn what_a_killed_bisection_left_is_undone_by_undo_where_nobody_joined_too() {
    if !has(&["cargo", "git"]) {
        return;
    }
    let (mut checkout, before) = app();
    let elsewhere = tempfile::tempdir().expect("a directory");
    checkout.set("XDG_STATE_HOME", elsewhere.path());
    assert_eq!(checkout.pinion(&["undo"]).code, 1, "nothing is kept here");
    let mut child = waiting(&checkout);
    child.kill().expect("alive");
    child.wait().expect("ends");
    checkout.pinions(&["undo"]);
    checkout.is_as(&before);
}

#[test]
fn a_tool_that_cannot_resolve_at_all_is_no_culprit() {
    if !has(&["cargo", "git"]) {
        return;
    }
    let (checkout, _) = app();
    checkout.write("Cargo.toml", "[package\n");
    let before = checkout.commit();
    let said = checkout.pinion(&[&BISECT[..], &["true"]].concat());
    assert_eq!((said.code, said.out.as_str()), (1, ""), "{said:?}");
    assert!(
        said.err.contains("the bad pins cannot be installed"),
        "{said:?}"
    );
    assert!(
        said.err.contains("next: see to what cargo says"),
        "{said:?}"
    );
    checkout.is_as(&before);
}

/// npm installs with the trial, and what was there before after it.
#[test]
fn the_package_that_breaks_a_node_program_is_found_and_node_modules_is_as_before() {
    if !has(&["npm", "node", "git"]) {
        return;
    }
    let manifest =
        r#"{"name":"app","version":"1.0.0","dependencies":{"is-number":">=6","is-odd":"^3.0.0"}}"#;
    let checkout = Checkout::with(&[
        ("package.json", manifest),
        ("good.txt", "is-number 7.0.0\nis-odd 3.0.1\n"),
        ("bad.txt", "is-number 6.0.0\nis-odd 3.0.0\n"),
    ]);
    checkout.run("npm", &["install", "--silent", "--no-audit", "--no-fund"]);
    let before = checkout.commit();
    let installed = || checkout.run("npm", &["ls", "--all", "--json"]);
    let had = installed();
    let program = "process.exit(require('is-odd/package.json').version === '3.0.0' ? 1 : 0)";
    let said = checkout.pinions(&[&BISECT[..], &["node", "-e", program]].concat());
    assert!(
        said.out.starts_with("culprit: is-odd 3.0.1 -> 3.0.0\n"),
        "{said:?}"
    );
    assert_eq!(installed(), had);
    checkout.is_as(&before);
}
