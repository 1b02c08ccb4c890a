//! Facts about joining, leaving and syncing.

use pinion_client::v1;

use super::developer::{Developer, said};
use super::stub::{Mood, Stub};

#[test]
fn consent_is_off_unless_it_is_given() {
    let stub = Stub::start();
    Developer::joined(&stub, &[]);
    Developer::joined(&stub, &["--no-reporting"]);
    Developer::joined(&stub, &["--accept-reporting"]);
    let agreed: Vec<_> =
        stub.heard(|heard| heard.enrolled.iter().map(|one| one.reporting).collect());
    assert_eq!(agreed, [false, false, true]);
}

#[test]
fn do_not_track_wins_over_consent_and_says_so() {
    let stub = Stub::start();
    let developer = Developer::new();
    let url = stub.url();
    let mut join = developer.pinion(&[
        "join",
        "--server",
        &url,
        "--pin-set",
        "nova",
        "--accept-reporting",
    ]);
    let (code, _, err) = said(join.env("PINION_TOKEN", "secret").env("DO_NOT_TRACK", "1"));
    assert_eq!(code, 0, "{err}");
    assert!(err.contains("DO_NOT_TRACK is set"), "{err}");
    assert!(!stub.heard(|heard| heard.enrolled[0].reporting));
}

#[test]
fn a_join_touches_no_file_of_the_checkout_and_shows_no_token() {
    let stub = Stub::start();
    let developer = Developer::new();
    let url = stub.url();
    let mut join = developer.pinion(&["join", "--server", &url, "--pin-set", "nova"]);
    let (code, out, err) = said(join.env("PINION_TOKEN", "enrolling-secret"));
    assert_eq!(code, 0, "{err}");
    assert!(!format!("{out}{err}").contains("secret"), "{out}{err}");
    assert_eq!(
        std::fs::read_dir(developer.checkout())
            .expect("readable")
            .count(),
        0
    );
    let token = std::fs::read_to_string(developer.file("token")).expect("kept");
    assert_eq!(token.trim(), "environment-secret");
    let told: Vec<_> = stub.heard(|heard| heard.authorizations.clone());
    assert_eq!(told, ["Bearer enrolling-secret"]);

    let (code, _, err) = developer.says(&["join", "--server", &url, "--pin-set", "nova"]);
    assert_eq!(code, 1, "{err}");
    assert!(err.contains("follows `nova` already"), "{err}");
}

#[test]
fn a_sync_writes_the_constraints_and_says_what_changed() {
    let stub = Stub::start();
    let developer = Developer::joined(&stub, &[]);
    let (code, out, err) = developer.says(&["sync"]);
    assert_eq!(code, 0, "{err}");
    let constraints = developer.file("constraints.txt");
    let path = constraints.to_str().expect("text");
    assert_eq!(
        out,
        format!("export PIP_CONSTRAINT={path}\nexport UV_CONSTRAINT={path}\n")
    );
    let text = std::fs::read_to_string(&constraints).expect("written");
    assert!(text.ends_with("\nrequests==1.0\n"), "{text}");

    assert!(developer.says(&["sync"]).2.contains("unchanged"));
    stub.pin("1.1");
    let (_, out, err) = developer.says(&["sync", "--shell", "fish", "--out", "pins.txt"]);
    assert!(
        err.contains("requests 1.0 -> 1.1") && err.contains("ro-0000000000000001"),
        "{err}"
    );
    assert!(out.starts_with("set -gx PIP_CONSTRAINT "), "{out}");
    let copied = std::fs::read_to_string(developer.checkout().join("pins.txt")).expect("written");
    assert!(copied.contains("requests==1.1"), "{copied}");
}

#[test]
fn pins_that_no_tool_is_found_for_are_fetched_and_not_applied() {
    let stub = Stub::start();
    let developer = Developer::joined(&stub, &[]);
    stub.serve(v1::GetPinsResponse {
        etag: "e1".into(),
        ecosystem: v1::Ecosystem::Cargo.into(),
        ..Default::default()
    });
    let (code, out, err) = developer.says(&["sync"]);
    assert_eq!((code, out.as_str()), (0, ""), "{err}");
    assert!(err.contains("not applied; name it by --tool"), "{err}");
    let (code, _, err) = developer.says(&["sync", "--tool", "npm"]);
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("`npm` does not take pins of cargo"), "{err}");
    for words in [&["env"], &["verify"]] {
        let (code, out, err) = developer.says(words);
        assert_eq!((code, out.as_str()), (1, ""), "{err}");
        assert!(err.contains("pinion exec -- COMMAND"), "{err}");
    }
}

#[test]
fn nothing_is_applied_before_the_first_sync() {
    let stub = Stub::start();
    let developer = Developer::joined(&stub, &[]);
    let (code, _, err) = developer.says(&["exec", "true"]);
    assert_eq!(code, 1, "{err}");
    assert!(err.contains("`pinion sync` fetches them"), "{err}");
}

#[test]
fn a_sync_keeps_the_last_pins_while_the_server_is_away() {
    let mut stub = Stub::start();
    let developer = Developer::joined(&stub, &[]);
    let synced = developer.says(&["sync"]);
    stub.stop();
    let (code, out, err) = developer.says(&["sync"]);
    assert_eq!((code, out), (0, synced.1), "{err}");
    assert!(
        err.contains("cannot be reached") && err.contains("revision 7"),
        "{err}"
    );
    assert!(err.contains("second"), "the age is told: {err}");
    let (_, out, _) = developer.says(&["sync", "--output", "json"]);
    let known: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(
        (&known["stale"], &known["etag"]),
        (&true.into(), &"etag-1.0".into())
    );
    let (code, _, err) = developer.says(&["sync", "--fresh"]);
    assert_eq!(code, 5, "{err}");
}

#[test]
fn a_sync_without_any_pins_fails_when_the_server_is_away() {
    let mut stub = Stub::start();
    let developer = Developer::joined(&stub, &[]);
    stub.stop();
    let (code, out, err) = developer.says(&["sync"]);
    assert_eq!((code, out.as_str()), (5, ""), "{err}");
}

#[test]
fn leaving_forgets_the_checkout_there_and_here() {
    let stub = Stub::start();
    let developer = Developer::joined(&stub, &[]);
    let (code, _, err) = developer.says(&["leave"]);
    assert_eq!(code, 0, "{err}");
    assert!(err.contains("read back: NOT_FOUND"), "{err}");
    assert_eq!(stub.heard(|heard| heard.forgotten), 1);
    assert_eq!(developer.files(), Vec::<std::path::PathBuf>::new());
    assert_eq!(developer.says(&["leave"]).0, 1);
}

#[test]
fn a_server_that_does_not_forget_is_found_out() {
    let stub = Stub::start();
    let developer = Developer::joined(&stub, &[]);
    stub.turn(Mood::Remembering);
    let (code, _, err) = developer.says(&["leave"]);
    assert_eq!(code, 1, "{err}");
    assert!(err.contains("it still knows it"), "{err}");
    assert!(developer.file("token").is_file(), "to ask again with");
}

#[test]
fn leaving_a_dead_server_needs_to_be_meant() {
    let mut stub = Stub::start();
    let developer = Developer::joined(&stub, &[]);
    stub.stop();
    let (code, _, err) = developer.says(&["leave"]);
    assert_eq!(code, 5, "{err}");
    assert!(err.contains("pinion leave --local"), "{err}");
    assert_eq!(developer.says(&["leave", "--local"]).0, 0);
    assert_eq!(developer.files(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn a_refusal_is_told_with_its_details_and_what_to_do_next() {
    let stub = Stub::start();
    let developer = Developer::joined(&stub, &[]);
    let (code, out, err) = developer.says(&["why", "a b"]);
    assert_eq!((code, out.as_str()), (3, ""), "{err}");
    assert!(err.contains("error: `a b` is not pinned"), "{err}");
    assert!(err.contains("`package`: is no name"), "{err}");
    assert!(
        err.contains("next: list the pins: pinion pin-set show --pins"),
        "{err}"
    );
}

#[test]
fn a_checkout_s_status_is_told_also_without_its_server() {
    let mut stub = Stub::start();
    let developer = Developer::joined(&stub, &[]);
    developer.says(&["sync"]);
    stub.stop();
    let (code, out, err) = developer.says(&["status"]);
    assert_eq!(code, 5, "{err}");
    assert!(
        out.contains("pin set      nova") && out.contains("reporting    off"),
        "{out}"
    );
}

#[test]
fn withdrawing_consent_takes_effect_here_even_if_the_server_cannot_be_told() {
    let mut stub = Stub::start();
    let developer = Developer::joined(&stub, &["--accept-reporting"]);
    stub.turn(Mood::Hanging);
    developer.says(&["run", "true"]);
    stub.stop();
    assert_eq!(developer.says(&["telemetry", "show"]).1.lines().count(), 2);
    let (code, _, err) = developer.says(&["telemetry", "off"]);
    assert_eq!(code, 5, "{err}");
    assert!(err.contains("nothing is sent from here any more"), "{err}");
    assert_eq!(developer.says(&["telemetry", "show"]).1, "");
}
