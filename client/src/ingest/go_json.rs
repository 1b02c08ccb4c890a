//! The JSON lines of `go test -json`: `go doc cmd/test2json`.

use std::collections::BTreeMap;
use std::io::BufRead;

use serde::Deserialize;

use super::counts::{Marks, Tally};
use super::fingerprint::Fingerprint;
use super::json_lines;
use super::reading::Fault;
use super::source::{Excerpt, Source};

/// What is read of an event.
#[derive(Deserialize)]
struct Event {
    #[serde(rename = "Action")]
    action: String,
    #[serde(rename = "Package", default)]
    package: String,
    #[serde(rename = "ImportPath", default)]
    import_path: String,
    #[serde(rename = "Test")]
    test: Option<String>,
    #[serde(rename = "Output", default)]
    output: String,
    #[serde(rename = "FailedBuild")]
    failed_build: Option<String>,
}

pub(super) fn read(mut source: Source<impl BufRead>, tally: &mut Tally) -> Result<(), Fault> {
    let mut run = Run::default();
    let read = json_lines::for_each(&mut source, |event| run.take(event, tally));
    let is_open = run.is_open();
    run.unfinished(tally);
    read?;
    match is_open {
        true => Err(Fault::truncated(
            json_lines::here(&source),
            "it ends before its packages do",
        )),
        false => Ok(()),
    }
}

#[derive(Default)]
struct Run {
    packages: BTreeMap<String, Package>,
    builds: BTreeMap<String, Excerpt>,
}

#[derive(Default)]
struct Package {
    state: State,
    has_failed: bool,
    output: Excerpt,
    running: BTreeMap<String, Running>,
    /// The failed tests, in case that they are repeated.
    failed: BTreeMap<String, Option<Fingerprint>>,
}

#[derive(Default)]
struct Running {
    /// Whether its beginning was seen; output may also come after the end of its test.
    has_begun: bool,
    output: Excerpt,
}

#[derive(Default, PartialEq, Eq)]
enum State {
    #[default]
    Running,
    Ended,
    /// It ended, and its failed tests are being repeated.
    Repeating,
}

impl Run {
    fn take(&mut self, event: Event, tally: &mut Tally) {
        match (event.action.as_str(), event.test.is_some()) {
            ("build-output", _) => self
                .builds
                .entry(event.import_path)
                .or_default()
                .push(&event.output),
            ("build-fail", _) => {
                tally.build_failure();
                if let Some(output) = self.builds.remove(&event.import_path) {
                    tally.look(|| Fingerprint::of_failure("", "", &output.text()));
                }
            }
            _ if event.package.is_empty() => {}
            (_, is_test) => {
                let package = self.packages.entry(event.package.clone()).or_default();
                match is_test {
                    true => package.take_test(event, tally),
                    false => package.take(event, tally),
                }
            }
        }
    }

    fn is_open(&self) -> bool {
        self.packages
            .values()
            .any(|package| package.state != State::Ended)
    }

    fn unfinished(&mut self, tally: &mut Tally) {
        for package in self.packages.values_mut() {
            package.unfinished(tally);
        }
    }
}

impl Package {
    fn take(&mut self, event: Event, tally: &mut Tally) {
        match event.action.as_str() {
            "start" => self.begin(),
            "output" => self.output.push(&event.output),
            "fail" => {
                self.unfinished(tally);
                self.fail(event.failed_build.is_some(), tally);
                self.state = State::Ended;
            }
            "pass" | "skip" => {
                self.unfinished(tally);
                self.state = State::Ended;
            }
            _ => {}
        }
    }

    /// A failure without a failed test: it did not build, or `TestMain` or an `init` failed.
    fn fail(&mut self, build_has_failed: bool, tally: &mut Tally) {
        let output = std::mem::take(&mut self.output).text();
        // Until Go 1.24 only the output told of a failed build.
        let is_build = output.contains("[build failed]") || output.contains("[setup failed]");
        match (self.has_failed, build_has_failed, is_build) {
            // The build has been counted.
            (true, _, _) | (_, true, _) => return,
            (_, _, true) => tally.build_failure(),
            (_, _, false) => tally.suite_failure(),
        }
        self.has_failed = true;
        tally.look(|| Fingerprint::of_failure("", "", &without_framing(&output)));
    }

    fn begin(&mut self) {
        if self.state == State::Ended {
            self.state = State::Repeating;
        }
    }

    fn take_test(&mut self, event: Event, tally: &mut Tally) {
        let name = event.test.unwrap_or_default();
        let marks = match event.action.as_str() {
            "run" => {
                self.begin();
                self.running.entry(name).or_default().has_begun = true;
                return;
            }
            "output" => {
                self.running
                    .entry(name)
                    .or_default()
                    .output
                    .push(&event.output);
                return;
            }
            "pass" | "bench" => Marks::PASSED,
            "skip" => Marks::SKIPPED,
            "fail" => Marks::FAILED,
            _ => return,
        };
        let output = self.running.remove(&name).unwrap_or_default().output;
        self.end_test(name, marks, &output, tally);
    }

    fn end_test(&mut self, name: String, marks: Marks, output: &Excerpt, tally: &mut Tally) {
        if self.state == State::Repeating
            && let Some(look) = self.failed.get(&name).copied()
        {
            if !marks.is_failing() {
                self.failed.remove(&name);
                tally.passed_after_all(look);
            }
            return;
        }
        tally.test(marks);
        if marks.is_failing() {
            self.has_failed = true;
            let text = without_framing(&output.text());
            let look = tally.look(|| Fingerprint::of_failure("", "", &text));
            self.failed.insert(name, look);
        }
    }

    /// What still runs when the package ends was taken down with it.
    fn unfinished(&mut self, tally: &mut Tally) {
        let running = std::mem::take(&mut self.running);
        for test in running.into_values().filter(|test| test.has_begun) {
            tally.test(Marks::ERROR);
            self.has_failed = true;
            let text = without_framing(&test.output.text());
            tally.look(|| Fingerprint::of_failure("", "", &text));
        }
    }
}

/// The output without the lines by which Go frames it.
fn without_framing(output: &str) -> String {
    let is_framing = |line: &&str| {
        let line = line.trim_start();
        let marks = ["=== ", "--- ", "FAIL", "PASS", "ok  \t", "exit status "];
        marks.iter().any(|mark| line.starts_with(mark))
    };
    let lines = output.lines().filter(|line| !is_framing(line));
    lines.collect::<Vec<_>>().join("\n")
}
