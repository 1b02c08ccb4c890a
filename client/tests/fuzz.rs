//! Hostile reports and outputs: nothing panics, and what is counted adds up, whatever the bytes.
//!
//! Each target takes real files apart and puts them together wrongly. In the suite each runs some hundred
//! cases; PINION_FUZZ_SECONDS=600 makes each run ten minutes. client/CONTRIBUTING.md has the commands.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use pinion_client::ingest::{Counts, Fingerprint, ReportError, read_report_from};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

#[test]
fn junit() {
    fuzz_report(
        &["xml"],
        &[
            "<testsuites>",
            "</testsuites>",
            "<testsuite>",
            "</testsuite>",
            "<testcase>",
            "</testcase>",
            "<testcase/>",
            "<failure message='KeyError: a'>",
            "</failure>",
            "<error/>",
            "<skipped/>",
            "<flakyFailure/>",
            "<rerunError/>",
            "<![CDATA[",
            "]]>",
            "<!--",
            "-->",
            "<!DOCTYPE a>",
            "&#0;",
            "&#x110000;",
            "&own;",
            "&amp;",
            "<?xml version='1.0' encoding='utf-16'?>",
            "<result>",
            "<case>",
            "</case>",
            "<errorDetails>x</errorDetails>",
            "\u{feff}",
            "xmlns:a='b'",
            "=",
            "'",
            "\"",
        ],
    );
}

#[test]
fn subunit() {
    fuzz_report(
        &["subunit"],
        &[
            "\u{b3}",
            "\u{b3})",
            "\u{c2}",
            "\u{0}",
            "\u{7f}\u{ff}",
            "\u{bf}\u{ff}\u{ff}",
            "\u{ff}\u{ff}\u{ff}\u{ff}",
            "noise\n",
        ],
    );
}

#[test]
fn tap() {
    fuzz_report(
        &["tap"],
        &[
            "TAP version 14\n",
            "1..3\n",
            "1..0 # SKIP\n",
            "1..99999999999999999999\n",
            "18446744073709551615..0\n",
            "ok 1\n",
            "not ok 2 - x\n",
            "    not ok 1 # TODO\n",
            "  ---\n",
            "  ...\n",
            "Bail out! x\n",
            "# Subtest: y\n",
            "\\#",
            "#",
            "\r\n",
            "\t",
            "ok",
            "not ",
        ],
    );
}

#[test]
fn libtest() {
    fuzz_report(
        &["libtest.jsonl"],
        &[
            "{\"type\":\"suite\",\"event\":\"started\"}\n",
            "{\"type\":\"suite\",\"event\":\"failed\"}\n",
            "{\"type\":\"test\",\"event\":\"started\",\"name\":\"a\"}\n",
            "{\"type\":\"test\",\"event\":\"failed\",\"name\":\"a\",\"stdout\":\"thread 'a' panicked at x:1:2:\\nbad\"}\n",
            "{",
            "}",
            "\"",
            "\n",
            "null",
            "[[[[",
            "\\u0000",
            "1e999",
        ],
    );
}

#[test]
fn go_json() {
    fuzz_report(
        &["go.jsonl", "golang-json.json"],
        &[
            "{\"Action\":\"start\",\"Package\":\"a\"}\n",
            "{\"Action\":\"run\",\"Package\":\"a\",\"Test\":\"T\"}\n",
            "{\"Action\":\"fail\",\"Package\":\"a\",\"Test\":\"T\"}\n",
            "{\"Action\":\"fail\",\"Package\":\"a\"}\n",
            "{\"Action\":\"build-fail\",\"ImportPath\":\"a\"}\n",
            "{\"Action\":\"output\",\"Package\":\"a\",\"Output\":\"panic: x\\n\"}\n",
            "{",
            "}",
            "\"",
            "\n",
            "\\ud800",
        ],
    );
}

#[test]
fn detection() {
    let bytes = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..300),
        // Formats that begin in the middle of others.
        prop::collection::vec(prop::sample::select(corpus(&[""])), 1..3).prop_map(|files| {
            let halves = files.iter().enumerate();
            halves
                .flat_map(|(n, file)| file[n * file.len() / 2..].to_vec())
                .collect()
        }),
    ];
    fuzz(bytes, |bytes| check_report(bytes));
}

#[test]
fn normaliser() {
    let outputs = texts(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/fingerprints"),
        "txt",
    );
    let tokens = [
        "'",
        "\"",
        "`",
        "(",
        ")",
        "<path>",
        "#",
        "<",
        ">",
        "/",
        "\\",
        "C:\\",
        "@",
        "0x",
        "://",
        "::1",
        "1.2.3-rc.1+g",
        "\u{1b}[31m",
        "E   ",
        "Traceback (most recent call last):\n",
        "Caused by: ",
        "\n",
        "panic: ",
        "goroutine ",
        "thread '",
        "' panicked at ",
        "error[E",
        "\u{0}",
        "ä",
        "\u{202e}",
        "2024-01-",
        "tmp",
    ];
    let text =
        mutated(outputs, &tokens).prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    fuzz(
        prop_oneof![text, ".{0,400}", "[-'\"`#<>()/\\\\:@.0-9a-f \n]{0,200}"],
        |text| {
            let look = Fingerprint::of_output(text);
            assert_eq!(look, Fingerprint::of_output(text));
            let look = Fingerprint::of_failure(text, text, text);
            assert_eq!(look, Fingerprint::of_failure(text, text, text));
        },
    );
}

fn fuzz_report(endings: &[&str], tokens: &[&str]) {
    let files = corpus(endings);
    assert!(
        !files.is_empty(),
        "no file to begin with ends in {endings:?}"
    );
    fuzz(mutated(files, tokens), |bytes| check_report(bytes));
}

/// Reads a report twice and sees that what it says adds up.
fn check_report(bytes: &[u8]) {
    let read = || match read_report_from("fuzzed", bytes) {
        Ok(reading) => Some(reading.counts),
        Err(ReportError::Broken {
            until_there,
            at,
            problem,
            ..
        }) => {
            assert!(!problem.is_empty());
            // A byte that is no text takes three in its UTF-8 form.
            assert!(at.byte <= 3 * bytes.len() as u64, "{at}");
            Some(*until_there)
        }
        Err(ReportError::Unknown { .. }) => None,
        Err(error @ ReportError::Unreadable { .. }) => panic!("{error}"),
    };
    let counts = read();
    assert_eq!(counts, read(), "the same bytes say the same");
    if let Some(counts) = counts {
        check_counts(&counts);
    }
}

fn check_counts(counts: &Counts) {
    let at_most_all = [
        counts.passed,
        counts.failed,
        counts.errors,
        counts.skipped,
        counts.expected_failures,
    ];
    assert!(
        at_most_all.iter().all(|&count| count <= counts.tests),
        "{counts:?}"
    );
    assert!(counts.flaky <= counts.passed, "{counts:?}");
    assert!(
        counts.passed + counts.failed.max(counts.errors) <= counts.tests,
        "{counts:?}"
    );
    assert!(counts.build_failures <= counts.suite_failures, "{counts:?}");
    assert!(
        counts.has_failures() || counts.fingerprints.is_empty(),
        "{counts:?}"
    );
}

/// Some hundred cases, or as many as the seconds of PINION_FUZZ_SECONDS allow.
fn fuzz<S: Strategy>(cases: S, check: impl Fn(&S::Value)) {
    let seconds = std::env::var("PINION_FUZZ_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok());
    let until = Instant::now() + Duration::from_secs(seconds.unwrap_or(0));
    let mut rounds = 0_u64;
    loop {
        let config = Config {
            cases: 256,
            failure_persistence: None,
            ..Config::default()
        };
        let ran = TestRunner::new(config).run(&cases, |case| {
            check(&case);
            Ok(())
        });
        rounds += 1;
        if let Err(found) = ran {
            panic!("{found}");
        }
        if Instant::now() >= until {
            println!("{} cases", rounds * 256);
            return;
        }
    }
}

/// One step of taking a file apart.
#[derive(Clone, Debug)]
enum Change {
    Put(f64, Vec<u8>),
    Cut(f64, usize),
    Flip(f64, u8),
    Repeat(f64, usize),
    End(f64),
}

/// Files with some changes.
fn mutated(files: Vec<Vec<u8>>, tokens: &[&str]) -> impl Strategy<Value = Vec<u8>> + use<> {
    // A token's characters below U+0100 are bytes, so that binary formats have tokens too.
    let bytes_of = |token: &str| match token.chars().all(|c| (c as u32) < 0x100) {
        true => token.chars().map(|c| c as u8).collect(),
        false => token.as_bytes().to_vec(),
    };
    let tokens: Vec<Vec<u8>> = tokens.iter().map(|token| bytes_of(token)).collect();
    let at = 0.0..1.0_f64;
    let change = prop_oneof![
        4 => (at.clone(), prop::sample::select(tokens)).prop_map(|(at, token)| Change::Put(at, token)),
        1 => (at.clone(), prop::collection::vec(any::<u8>(), 1..8)).prop_map(|(at, bytes)| Change::Put(at, bytes)),
        2 => (at.clone(), 1..400_usize).prop_map(|(at, length)| Change::Cut(at, length)),
        2 => (at.clone(), any::<u8>()).prop_map(|(at, mask)| Change::Flip(at, mask)),
        1 => (at.clone(), 1..400_usize).prop_map(|(at, length)| Change::Repeat(at, length)),
        1 => at.prop_map(Change::End),
    ];
    (
        prop::sample::select(files),
        prop::collection::vec(change, 0..12),
    )
        .prop_map(|(mut bytes, changes)| {
            for change in changes {
                apply(&mut bytes, change);
            }
            bytes
        })
}

fn apply(bytes: &mut Vec<u8>, change: Change) {
    let place = |at: f64| (at * bytes.len() as f64) as usize;
    match change {
        Change::Put(at, token) => {
            let at = place(at);
            bytes.splice(at..at, token);
        }
        Change::Cut(at, length) => {
            let at = place(at);
            bytes.drain(at..(at + length).min(bytes.len()));
        }
        Change::Flip(at, mask) => {
            let at = place(at);
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= mask;
            }
        }
        Change::Repeat(at, length) => {
            let at = place(at);
            let piece = bytes[at..(at + length).min(bytes.len())].to_vec();
            bytes.splice(at..at, piece);
        }
        Change::End(at) => bytes.truncate(place(at)),
    }
}

/// The reports among the fixtures whose names end so.
fn corpus(endings: &[&str]) -> Vec<Vec<u8>> {
    let reports = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/reports");
    endings
        .iter()
        .flat_map(|ending| texts(&reports, ending))
        .collect()
}

/// The files below a directory whose names end so.
fn texts(directory: &Path, ending: &str) -> Vec<Vec<u8>> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    let read = |path: PathBuf| match path.is_dir() {
        true => texts(&path, ending),
        false if path.to_string_lossy().ends_with(ending) => vec![std::fs::read(&path).unwrap()],
        false => vec![],
    };
    paths.into_iter().flat_map(read).collect()
}
