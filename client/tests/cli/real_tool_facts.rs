//! Facts about real tools: an interpreter's own words, and a terminal.

use std::path::PathBuf;
use std::process::Command;

use pinion_client::ingest::Fingerprint;
use pinion_client::v1::Category;

use super::developer::{Developer, said};
use super::stub::Stub;

/// A program's path as `find` prints it; nothing where it is missing and its absence is allowed.
pub(crate) fn part(name: &str, find: &[&str]) -> Option<PathBuf> {
    let found = Command::new(find[0]).args(&find[1..]).output();
    let path = found.ok().filter(|output| output.status.success());
    let path = path.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    match path.filter(|path| !path.is_empty()) {
        Some(path) => Some(path.into()),
        None if std::env::var_os("PINION_REQUIRE_PARTS").is_some() => {
            panic!("{name} is required")
        }
        None => {
            eprintln!("skipped: {name} is needed");
            None
        }
    }
}

const UNIT_TEST: &str = "\
import unittest
class T(unittest.TestCase):
    def test_count(self):
        self.assertEqual(len('abc'), 7)
";

#[test]
fn what_python_prints_looks_alike_wherever_it_stands() {
    // The interpreter itself: a shim in the search path may look for its settings in the home folder.
    let executable = ["python3", "-c", "import sys; print(sys.executable)"];
    let Some(python) = part("python3", &executable) else {
        return;
    };
    let python = python.to_str().expect("text");
    let stub = Stub::start();
    let look_of = |directory: &str, text: &str| {
        let developer = Developer::joined(&stub, &["--accept-reporting"]);
        let place = developer.checkout().join(directory);
        std::fs::create_dir_all(&place).expect("made");
        std::fs::write(place.join("test_it.py"), text).expect("written");
        let file = place.join("test_it.py");
        let file = file.to_str().expect("text");
        let words = ["run", "--read-output", "--", python, "-m", "unittest", file];
        let (code, _, err) = developer.says(&words);
        assert_eq!(code, 1, "{err}");
        let report = stub
            .heard(|heard| heard.reports.last().cloned())
            .expect("a report");
        (report.category(), report.fingerprint)
    };
    let expected = Fingerprint::of_failure("", "AssertionError: 3 != 7", "").expect("a look");
    let failed = (Category::Test, expected.to_string());
    assert_eq!(look_of("a", UNIT_TEST), failed);
    let moved = format!("\n\n# moved\n{}", UNIT_TEST.replace('7', "12"));
    assert_eq!(look_of("elsewhere/deeper", &moved), failed);
    let broken = format!("import no_such_module\n{UNIT_TEST}");
    let missing = "ModuleNotFoundError: No module named 'no_such_module'";
    let missing = Fingerprint::of_failure("", missing, "").expect("a look");
    let not_built = (Category::Build, missing.to_string());
    assert_eq!(look_of("a", &broken), not_built);
}

#[cfg(unix)]
#[test]
fn a_terminal_stays_the_command_s_own() {
    let Some(script) = part("script", &["sh", "-c", "command -v script"]) else {
        return;
    };
    let stub = Stub::start();
    let developer = Developer::joined(&stub, &["--accept-reporting"]);
    developer.says(&["sync"]);
    let program = env!("CARGO_BIN_EXE_pinion");
    let asks = "test -t 0 && test -t 1 && test -t 2 && echo all are terminals; exit 3";
    let inner = format!("'{program}' run --read-output sh -c '{asks}'");
    let outside = developer.pinion(&[]);
    let mut command = Command::new(script);
    command
        .args(["-q", "-e", "-c", &inner, "/dev/null"])
        .current_dir(developer.checkout())
        .stdin(std::process::Stdio::null())
        .env_clear();
    for (name, value) in outside.get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    let (code, out, err) = said(&mut command);
    assert_eq!(code, 3, "{out}{err}");
    assert!(out.contains("all are terminals"), "{out}{err}");
}
