//! Facts about what is looked at of a failure.

use super::*;

#[test]
fn a_type_counts_beside_a_message_and_once() {
    let typed = Fingerprint::of_failure("KeyError", "no such key", "");
    assert_ne!(
        typed,
        Fingerprint::of_failure("ValueError", "no such key", "")
    );
    assert_eq!(
        typed,
        Fingerprint::of_failure("", "KeyError: no such key", "")
    );
    let twice = Fingerprint::of_failure("KeyError", "KeyError: no such key", "");
    assert_eq!(typed, twice);
    assert!(Fingerprint::of_failure("KeyError", "", "").is_some());
}

#[test]
fn what_every_failure_may_be_called_is_no_look() {
    for (kind, message, text) in [
        ("", "Failed", "=== RUN   TestX\n--- FAIL: TestX (0.00s)\n"),
        ("test failure with exit code 101", "", ""),
        ("failure", "error", " \n"),
        ("", "12.5 / 3", "/home/ann/x.cc:12"),
    ] {
        assert_eq!(
            Fingerprint::of_failure(kind, message, text),
            None,
            "{message}"
        );
    }
}

#[test]
fn the_text_s_error_line_goes_before_a_message() {
    let text = "Traceback (most recent call last):\n  File \"a\", line 1\nKeyError: 'a'\n";
    let look = Fingerprint::of_failure("", "test setup failure", text);
    assert_eq!(look, Fingerprint::of_failure("", "KeyError: 'a'", ""));
}
