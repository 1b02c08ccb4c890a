//! Edits that are cut short, and files that somebody else changed. cargo stands for all that edit.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use pinion_client::v1::Ecosystem;
use tempfile::TempDir;

use super::cargo_facts::{app, version_in};
use super::checkout::{Checkout, has};

/// Where in the edit cargo stops for ever.
#[derive(Clone, Copy)]
enum Stop {
    BeforeTheEdit,
    AfterTheEdit,
}

/// A cargo before the real one, that says it is old, and stops at an update until its process is ended.
struct StoppingCargo {
    directory: TempDir,
}

impl StoppingCargo {
    fn new(stop: Stop) -> Self {
        let directory = TempDir::new().expect("a directory");
        let script = directory.path().join("cargo");
        let here = directory.path().display();
        let edit = match stop {
            Stop::BeforeTheEdit => "",
            Stop::AfterTheEdit => "\"$real\" \"$@\"",
        };
        // The path without this directory has the real one.
        let text = format!(
            "#!/bin/sh\nPATH=${{PATH#*:}}\nreal=$(command -v cargo)\n\
             case \"$1\" in\n--version) echo 'cargo 1.95.0' ;;\n\
             update) {edit}\necho $$ > {here}/stopped.new; mv {here}/stopped.new {here}/stopped\nexec sleep 600 ;;\n\
             *) exec \"$real\" \"$@\" ;;\nesac\n"
        );
        std::fs::write(&script, text).expect("written");
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).expect("set");
        Self { directory }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Waits until it has stopped, and returns its process.
    fn stopped(&self) -> String {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            match std::fs::read_to_string(self.path().join("stopped")) {
                Ok(process) => return process.trim().to_owned(),
                Err(_) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(error) => panic!("cargo was not asked to update: {error}"),
            }
        }
    }
}

/// Starts pinion, and kills it where its cargo stops.
fn killed(checkout: &Checkout, cargo: &StoppingCargo, words: &[&str]) {
    let mut pinion = checkout.command(env!("CARGO_BIN_EXE_pinion"), words);
    let mut child: Child = pinion.spawn().expect("starts");
    let process = cargo.stopped();
    child.kill().expect("killed");
    child.wait().expect("ended");
    checkout.run("kill", &[&process]);
}

#[test]
fn a_pinion_that_was_killed_before_its_edit_leaves_what_undo_understands() {
    if !has(&["cargo", "git"]) {
        return;
    }
    let mut checkout = app();
    let before = checkout.commit();
    let cargo = StoppingCargo::new(Stop::BeforeTheEdit);
    checkout.put_first(cargo.path());
    checkout.pin(Ecosystem::Cargo, &[("itoa", "1.0.6")]);
    killed(&checkout, &cargo, &["sync"]);
    assert!(checkout.state_file("journal/0/journal.json").is_some());
    // Nothing else is applied on top of it.
    let exec = checkout.pinion(&["exec", "--", "true"]);
    assert_eq!(exec.code, 1, "{exec:?}");
    assert!(
        exec.err.contains("cut short") && exec.err.contains("pinion undo"),
        "{exec:?}"
    );
    checkout.pinions(&["undo"]);
    checkout.is_as(&before);
    assert!(checkout.state_file("journal/0/journal.json").is_none());
}

#[test]
fn a_pinion_that_was_killed_after_its_edit_is_undone_and_the_edit_is_kept_aside() {
    if !has(&["cargo", "git"]) {
        return;
    }
    let mut checkout = app();
    let before = checkout.commit();
    let cargo = StoppingCargo::new(Stop::AfterTheEdit);
    checkout.put_first(cargo.path());
    checkout.pin(Ecosystem::Cargo, &[("itoa", "1.0.6")]);
    checkout.pinions(&["sync", "--no-apply"]);
    killed(&checkout, &cargo, &["exec", "--", "true"]);
    assert_eq!(version_in(&checkout.read("Cargo.lock"), "itoa"), "1.0.6");
    let undone = checkout.pinions(&["undo"]);
    checkout.is_as(&before);
    let (_, kept) = undone.err.split_once("is kept in `").expect("told");
    let kept = kept.split('`').next().expect("a path");
    let kept = std::fs::read_to_string(kept).expect("readable");
    assert_eq!(version_in(&kept, "itoa"), "1.0.6");
}

#[test]
fn undo_refuses_and_shows_the_difference_when_somebody_else_changed_the_file() {
    if !has(&["cargo", "git"]) {
        return;
    }
    let mut checkout = app();
    let old = OldCargo::new();
    checkout.put_first(old.path());
    let before = checkout.commit();
    checkout.pin(Ecosystem::Cargo, &[("itoa", "1.0.6")]);
    checkout.pinions(&["sync"]);
    let theirs = checkout.read("Cargo.lock") + "\n# mine\n";
    checkout.write("Cargo.lock", &theirs);
    for words in [&["undo"] as &[_], &["sync"], &["leave"]] {
        let refused = checkout.pinion(words);
        assert_eq!(refused.code, 1, "{refused:?}");
        assert!(refused.err.contains("+# mine"), "{refused:?}");
        assert!(refused.err.contains("pinion undo --force"), "{refused:?}");
        assert_eq!(checkout.read("Cargo.lock"), theirs);
    }
    let forced = checkout.pinions(&["undo", "--force"]);
    assert!(forced.err.contains("is kept in"), "{forced:?}");
    checkout.is_as(&before);
}

#[test]
fn leaving_puts_the_files_back_first() {
    if !has(&["cargo", "git"]) {
        return;
    }
    let mut checkout = app();
    let old = OldCargo::new();
    checkout.put_first(old.path());
    let before = checkout.commit();
    checkout.pin(Ecosystem::Cargo, &[("itoa", "1.0.6")]);
    checkout.pinions(&["sync"]);
    assert_eq!(checkout.status(), " M Cargo.lock\n");
    checkout.pinions(&["leave"]);
    checkout.is_as(&before);
}

#[test]
fn a_second_pinion_waits_its_turn() {
    if !has(&["cargo", "git"]) {
        return;
    }
    let mut checkout = app();
    let old = OldCargo::new();
    checkout.put_first(old.path());
    let before = checkout.commit();
    checkout.pin(Ecosystem::Cargo, &[("itoa", "1.0.6")]);
    checkout.pinions(&["sync", "--no-apply"]);
    let pinion = env!("CARGO_BIN_EXE_pinion");
    let both = checkout.pinion(&["exec", "--", pinion, "undo"]);
    assert_eq!(both.code, 1, "{both:?}");
    assert!(both.err.contains("another pinion is at work"), "{both:?}");
    checkout.is_as(&before);
}

/// The real cargo, which says that it is older than `resolver.lockfile-path`.
struct OldCargo {
    directory: TempDir,
}

impl OldCargo {
    fn new() -> Self {
        let directory = TempDir::new().expect("a directory");
        let script = directory.path().join("cargo");
        let text = "#!/bin/sh\nPATH=${PATH#*:}\n[ \"$1\" = --version ] && echo 'cargo 1.95.0' && exit\nexec cargo \"$@\"\n";
        std::fs::write(&script, text).expect("written");
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).expect("set");
        Self { directory }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }
}
