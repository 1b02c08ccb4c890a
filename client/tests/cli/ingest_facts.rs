//! Facts about `pinion ingest`: what reports become, and what is said of files that are none.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::developer::{Developer, said};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/reports")
}

/// What `pinion ingest` says of files as JSON, with its exit code and stderr.
fn ingest(developer: &Developer, words: &[&str]) -> (i32, Value, String) {
    let words = [&["ingest", "--output", "json"], words].concat();
    let (code, out, err) = developer.says(&words);
    let value = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}{err}"));
    (code, value, err)
}

/// The counts that a manifest expects of one of its reports, by our names.
fn expected(entry: &Value) -> Vec<(&'static str, u64)> {
    let of = |from: &Value, key: &str| from[key].as_u64();
    if let counts @ Value::Object(_) = &entry["counts"] {
        let names = [
            "tests",
            "passed",
            "failed",
            "errors",
            "skipped",
            "flaky",
            "expected_failures",
            "suite_failures",
        ];
        return names
            .map(|name| (name, of(counts, name).unwrap_or(0)))
            .to_vec();
    }
    let expected = &entry["expected"];
    let pairs = match entry["format"].as_str() {
        Some("subunit-v2") => vec![
            ("tests", of(expected, "tests")),
            ("passed", of(&expected["final"], "success")),
            ("skipped", of(&expected["final"], "skip")),
            ("failed", of(&expected["final"], "fail")),
        ],
        _ if expected.is_object() => vec![
            ("tests", of(expected, "testcases")),
            ("failed", of(expected, "with_failure")),
            ("errors", of(expected, "with_error")),
            ("skipped", of(expected, "skipped")),
            ("flaky", of(expected, "flaky")),
        ],
        _ => vec![],
    };
    pairs
        .into_iter()
        .map(|(name, count)| (name, count.unwrap_or(0)))
        .collect()
}

fn format_of(entry: &Value) -> &'static str {
    match entry["format"].as_str().expect("a format") {
        "subunit-v2" => "subunit",
        "tap" => "tap",
        "go-test-json" => "go-json",
        "libtest-json" => "libtest",
        _ => "junit",
    }
}

/// Compares every report of a manifest; returns how many there were.
fn matrix(reports: &Path) -> usize {
    let developer = Developer::new();
    let manifest = std::fs::read_to_string(reports.join("MANIFEST.json")).expect("a manifest");
    let manifest: Vec<Value> = serde_json::from_str(&manifest).expect("JSON");
    for entry in &manifest {
        let name = entry["file"].as_str().expect("a file");
        // Neither name nor place tells the format.
        let nameless = developer.checkout().join("report");
        std::fs::copy(reports.join(name), &nameless).expect("copied");
        let (code, found, err) = ingest(&developer, &["report"]);
        let row = &found["reports"][0];
        if entry["bytes"] == 0 {
            assert_eq!((code, &row["outcome"]), (7, &json!("unknown")), "{name}");
            assert!(err.contains("is empty"), "{name}: {err}");
            continue;
        }
        assert_eq!((code, err.as_str()), (0, ""), "{name}");
        assert_eq!(row["format"], format_of(entry), "{name}");
        for (count, number) in expected(entry) {
            assert_eq!(row[count], json!(number), "{name}: {count}: {row}");
        }
        let number = |count: &str| row[count].as_u64().expect("a number");
        let fails = number("failed") + number("errors") + number("suite_failures") > 0;
        let outcome = match (fails, number("tests")) {
            (true, _) => "failed",
            (false, 0) => "unknown",
            (false, _) => "passed",
        };
        assert_eq!(row["outcome"], outcome, "{name}");
        assert_eq!(row["category"].is_null(), !fails, "{name}");
    }
    manifest.len()
}

#[test]
fn real_reports_give_the_counts_that_their_manifest_expects() {
    assert!(matrix(&fixtures()) >= 20);
}

#[test]
fn the_shared_reports_do_too_where_they_are() {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/reports");
    if !shared.is_dir() {
        println!("skipped: the shared reports are not beside this checkout");
        return;
    }
    assert!(matrix(&shared) >= 12);
}

#[test]
fn the_same_failures_look_alike_in_every_format() {
    let developer = Developer::new();
    let looks = |file: &str| {
        let path = fixtures().join("made").join(file);
        let found = ingest(&developer, &[path.to_str().expect("text")]).1;
        let looks = found["reports"][0]["fingerprints"]
            .as_array()
            .expect("a list")
            .clone();
        assert!(!looks.is_empty(), "{file}");
        looks
    };
    assert_eq!(looks("libtest.xml"), looks("libtest.jsonl"));
    let subunit = looks("unittest.subunit");
    let shared = looks("unittest-xmlrunner.xml")
        .into_iter()
        .filter(|look| subunit.contains(look));
    assert!(shared.count() >= 3, "{subunit:?}");
    let node = looks("node.xml");
    assert!(
        looks("node.tap").iter().any(|look| node.contains(look)),
        "{node:?}"
    );
}

#[test]
fn a_malformed_file_gives_one_clear_error_and_7() {
    let developer = Developer::new();
    for (bytes, problem) in [
        (&b""[..], "is empty"),
        (b" \n\n", "is empty"),
        (
            b"hello\n",
            "neither JUnit XML, subunit, TAP, libtest JSON nor `go test -json`",
        ),
        (b"<html></html>", "outermost element is `<html>`"),
        (
            b"<testsuite>\n<testcase>\n",
            "broken at line 3 (byte 23): it ends before its last element does",
        ),
        (
            b"<testsuite>\n<testcase></testsuite>",
            "(junit) is broken at line 2",
        ),
        (
            b"<!DOCTYPE x>\n<testsuite/>",
            "it has a document type, which is refused",
        ),
        (
            b"<testsuite>&xxe;</testsuite>",
            "an entity of its own, which is refused",
        ),
        (
            b"<?xml version='1.0' encoding='klingon'?><testsuite/>",
            "encoding `klingon` is unknown",
        ),
        (
            b"\xb3\x29\x03\x0d\x01a\x00\x00\x00\x00\x00\x00\x00",
            "(subunit) is broken at byte 0: the packet's checksum is wrong",
        ),
        (
            b"\xb3\x29",
            "(subunit) is broken at byte 0: it ends in the middle of a packet",
        ),
        (
            b"TAP version 13\nok 1\n",
            "(tap) is broken at line 3 (byte 20): it ends before its plan",
        ),
        (
            b"{\"type\":\"suite\",\"event\":\"started\"}\n{\"type\":\n",
            "(libtest) is broken at line 2 (byte 35): it is no JSON",
        ),
        (
            b"{\"Action\":\"start\",\"Package\":\"a\"}\n",
            "(go-json) is broken at line 2 (byte 33): it ends before its packages do",
        ),
    ] {
        std::fs::write(developer.checkout().join("r"), bytes).expect("written");
        let (code, found, err) = ingest(&developer, &["r"]);
        assert_eq!(code, 7, "{problem}");
        assert_eq!(err.lines().count(), 1, "{err}");
        assert!(
            err.starts_with("pinion: error: ") && err.contains("`r`") && err.contains(problem),
            "{err}"
        );
        let row = &found["reports"][0];
        assert!(
            row["error"]
                .as_str()
                .is_some_and(|error| err.contains(error)),
            "{row}"
        );
        assert_eq!(row["outcome"], "unknown", "{row}");
    }
}

#[test]
fn a_truncated_report_says_so_and_its_failures_count() {
    let developer = Developer::new();
    let cut = "<testsuite><testcase/><testcase><failure message='KeyError: a'/></testcase>";
    std::fs::write(developer.checkout().join("cut.xml"), cut).expect("written");
    let (code, found, _) = ingest(&developer, &["cut.xml"]);
    let row = &found["reports"][0];
    assert_eq!(
        (code, &row["truncated"], &row["outcome"]),
        (7, &json!(true), &json!("failed"))
    );
    assert_eq!(found["total"]["outcome"], "failed");
    let (_, out, _) = developer.says(&["ingest", "cut.xml"]);
    assert!(out.contains("failed (test), truncated"), "{out}");
}

#[test]
fn files_patterns_and_standard_input_are_read() {
    let developer = Developer::new();
    for (name, inside) in [
        ("a.xml", "<testcase/>"),
        ("b.xml", "<testcase><skipped/></testcase>"),
    ] {
        let xml = format!("<testsuite>{inside}</testsuite>");
        std::fs::write(developer.checkout().join(name), xml).expect("written");
    }
    let (code, found, _) = ingest(&developer, &["*.xml"]);
    assert_eq!(code, 0);
    let files: Vec<_> = found["reports"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|row| &row["file"])
        .collect();
    assert_eq!(files, ["a.xml", "b.xml"]);
    assert_eq!(found["total"]["tests"], 2);
    assert_eq!(found["total"]["outcome"], "passed");

    let input = std::fs::File::open(developer.checkout().join("a.xml")).expect("there");
    let (code, out, err) = said(developer.pinion(&["ingest", "-"]).stdin(input));
    assert_eq!((code, err.as_str()), (0, ""));
    let expected = "\
TESTS  PASSED  FAILED  ERRORS  SKIPPED  FLAKY  FORMAT  OUTCOME  FINGERPRINT  FILE
1      1       0       0       0        0      junit   passed   -            -

outcome: passed
";
    assert_eq!(out, expected);

    let (code, _, err) = ingest(&developer, &["a.xml", "gone-*.xml"]);
    assert_eq!(code, 3);
    assert!(err.contains("`gone-*.xml` cannot be read"), "{err}");
    assert_eq!(developer.says(&["ingest"]).0, 2);
}

#[test]
fn an_exit_status_counts_beside_the_reports() {
    let developer = Developer::new();
    let total = |words: &[&str]| ingest(&developer, words).1["total"].clone();
    for (status, outcome, category) in [
        ("0", "passed", json!(null)),
        ("4", "failed", json!("test")),
        ("139", "failed", json!("crash")),
    ] {
        let found = total(&["--exit-status", status]);
        assert_eq!(
            (&found["outcome"], &found["category"]),
            (&json!(outcome), &category)
        );
    }
    let found = total(&["--exit-status", "1", "--category", "install"]);
    assert_eq!(found["category"], "install");
}

#[test]
fn the_json_has_the_fields_that_the_readme_names() {
    let developer = Developer::new();
    std::fs::write(developer.checkout().join("r"), "1..1\nnot ok 1 - x\n").expect("written");
    let found = ingest(&developer, &["r"]).1;
    let readme = include_str!("../../README.md");
    for part in [&found["reports"][0], &found["total"]] {
        for field in part.as_object().expect("an object").keys() {
            assert!(
                readme.contains(&format!("`{field}`")),
                "{field} is not in the README"
            );
        }
    }
    assert_eq!(
        found["reports"][0].as_object().expect("an object").len(),
        16
    );
}
