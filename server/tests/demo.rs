//! The README's first command: a good version completes, a famous bad one is rolled back and filed.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

use std::process::{Command, Output};

fn demo(seed: &str) -> (Output, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_piniond"))
        .args(["demo", "--environments", "200", "--seed", seed])
        .output()
        .expect("runs");
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    (output, text)
}

/// What does not depend on the port and on how fast the machine is.
fn story(text: &str) -> Vec<&str> {
    text.lines()
        .filter(|line| !line.contains("http://") && !line.starts_with("Days of work in"))
        .collect()
}

#[test]
fn it_ends_with_one_complete_one_rolled_back_and_the_filed_commit_and_repeats_with_its_seed() {
    let (output, text) = demo("11");
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    for words in [
        "requests 2.21.0 -> 2.22.0 is complete",
        "MarkupSafe 2.0.1 -> 2.1.0 was rolled back after",
        "would have harmed",
        "revert(deps): roll back MarkupSafe 2.1.0 -> 2.0.1",
        "-MarkupSafe===2.1.0",
        "+MarkupSafe===2.0.1",
        "Filing-Id: ",
        "pinion -- rollout start",
    ] {
        assert!(text.contains(words), "`{words}` is not in:\n{text}");
    }
    let (_, again) = demo("11");
    assert_eq!(
        story(&text),
        story(&again),
        "the same seed tells the same story"
    );
}
