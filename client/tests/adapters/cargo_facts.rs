//! cargo, with its lockfile edited and beside it.

use pinion_client::v1::Ecosystem;

use super::checkout::{Checkout, has, said};

const MANIFEST: &str = "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2021\"\n\n[dependencies]\nitoa = \"1.0\"\nfnv = \"1.0.3\"\n";

/// A crate whose lockfile has itoa 1.0.9.
pub(crate) fn app() -> Checkout {
    let mut checkout =
        Checkout::with(&[("Cargo.toml", MANIFEST), ("src/main.rs", "fn main() {}\n")]);
    // The toolchain that runs the tests may be named in the environment; the installed default is meant.
    checkout.set("CARGO_NET_RETRY", "3");
    checkout.run(
        "cargo",
        &["update", "--quiet", "itoa", "--precise", "1.0.9"],
    );
    checkout
}

fn locked(checkout: &Checkout, package: &str) -> String {
    let lock = checkout.read("Cargo.lock");
    version_in(&lock, package)
}

pub(crate) fn version_in(lock: &str, package: &str) -> String {
    let head = format!("name = \"{package}\"\nversion = \"");
    let (_, rest) = lock.split_once(&head).expect("locked");
    rest.split('"').next().expect("a version").to_owned()
}

/// Whether this machine's cargo has its lockfile elsewhere if it is asked to.
fn takes_lockfile_path(checkout: &Checkout) -> bool {
    let version = checkout.run("cargo", &["--version"]);
    let minor = version
        .split('.')
        .nth(1)
        .and_then(|minor| minor.parse::<u32>().ok());
    minor.expect("a version") >= 97
}

#[test]
fn a_sync_locks_the_pins_and_undo_puts_the_lockfile_back() {
    if !has(&["cargo", "git"]) {
        return;
    }
    let checkout = app();
    let before = checkout.commit();
    checkout.pin(Ecosystem::Cargo, &[("itoa", "1.0.6"), ("serde", "1.0.0")]);
    let synced = checkout.pinions(&["sync"]);
    assert!(
        synced.err.contains("the tool is cargo, by Cargo.toml"),
        "{synced:?}"
    );
    if takes_lockfile_path(&checkout) {
        checkout.is_as(&before);
    } else {
        assert_eq!(synced.out, "", "{synced:?}");
        assert_eq!(checkout.status(), " M Cargo.lock\n");
        assert_eq!(locked(&checkout, "itoa"), "1.0.6");
    }
    assert_eq!(checkout.verified(), (vec!["itoa".to_owned()], vec![]));
    assert!(checkout.pinions(&["sync"]).err.contains("unchanged"));

    checkout.pinions(&["undo"]);
    checkout.is_as(&before);
    let again = checkout.pinions(&["undo"]);
    assert!(again.err.contains("nothing to undo"), "{again:?}");
}

#[test]
fn other_pins_take_the_place_of_the_last_ones_and_undo_knows_the_first() {
    if !has(&["cargo", "git"]) {
        return;
    }
    let checkout = app();
    let before = checkout.commit();
    for version in ["1.0.6", "1.0.4"] {
        checkout.pin(Ecosystem::Cargo, &[("itoa", version)]);
        checkout.pinions(&["sync"]);
        assert_eq!(checkout.verified().0, ["itoa"], "{version}");
    }
    checkout.pinions(&["undo"]);
    checkout.is_as(&before);
}

#[test]
fn a_pin_that_the_manifest_does_not_admit_is_told_and_the_others_take() {
    if !has(&["cargo", "git"]) {
        return;
    }
    let checkout = app();
    checkout.commit();
    checkout.pin(Ecosystem::Cargo, &[("fnv", "1.0.2"), ("itoa", "1.0.6")]);
    let synced = checkout.pinions(&["sync"]);
    assert!(
        synced.err.contains("warning: fnv 1.0.2 did not take"),
        "{synced:?}"
    );
    let (took, missed) = checkout.verified();
    assert_eq!(took, ["itoa"]);
    assert_eq!(missed[0].0, "fnv");
    assert!(missed[0].1.contains("fnv = \"^1.0.3\""), "{missed:?}");
}

#[test]
fn one_command_has_the_pins_and_the_checkout_is_as_it_was_afterwards() {
    if !has(&["cargo", "git"]) {
        return;
    }
    let checkout = app();
    let before = checkout.commit();
    checkout.pin(Ecosystem::Cargo, &[("itoa", "1.0.6")]);
    checkout.pinions(&["sync", "--no-apply"]);
    checkout.is_as(&before);
    let tree = checkout.pinion(&["exec", "--", "cargo", "tree", "--quiet"]);
    assert!(tree.out.contains("itoa v1.0.6"), "{tree:?}");
    assert!(tree.err.contains("of the pins 1 took"), "{tree:?}");
    checkout.is_as(&before);
    let failed = checkout.pinion(&["exec", "--", "sh", "-c", "exit 42"]);
    assert_eq!(failed.code, 42, "{failed:?}");
    checkout.is_as(&before);
    assert_eq!(
        checkout.pinion(&["exec", "--", "no-such-program"]).code,
        127
    );
    checkout.is_as(&before);
}

/// A cargo that takes `resolver.lockfile-path` is not the default one everywhere; a nightly may be there.
#[test]
fn a_cargo_with_lockfile_path_leaves_the_checkout_alone() {
    let mut checkout = app();
    checkout.set("RUSTUP_TOOLCHAIN", "nightly");
    let found = said(&mut checkout.command("cargo", &["--version"]));
    if found.code != 0 || !takes_lockfile_path(&checkout) {
        eprintln!("skipped: a cargo of 1.97 or later is needed, found {found:?}");
        return;
    }
    let before = checkout.commit();
    checkout.pin(Ecosystem::Cargo, &[("itoa", "1.0.6")]);
    let synced = checkout.pinions(&["sync"]);
    let lock = checkout.state_file("Cargo.lock").expect("beside");
    let line = format!("export CARGO_RESOLVER_LOCKFILE_PATH={}\n", lock.display());
    assert_eq!(synced.out, line);
    checkout.is_as(&before);
    assert_eq!(
        version_in(&std::fs::read_to_string(&lock).expect("readable"), "itoa"),
        "1.0.6"
    );
    assert_eq!(checkout.verified().0, ["itoa"]);
    let tree = checkout.pinions(&["exec", "--", "cargo", "tree", "--quiet"]);
    assert!(tree.out.contains("itoa v1.0.6"), "{tree:?}");
    checkout.pinions(&["undo"]);
    checkout.is_as(&before);
}
