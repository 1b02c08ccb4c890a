//! libtest's JSON lines, as `cargo test -- --format json` and nextest print them.

use std::collections::HashSet;
use std::io::BufRead;

use serde::Deserialize;

use super::counts::{Marks, Tally};
use super::fingerprint::Fingerprint;
use super::json_lines;
use super::reading::Fault;
use super::source::Source;

/// What is read of an event.
#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type")]
    kind: Option<String>,
    event: Option<String>,
    name: Option<String>,
    stdout: Option<String>,
    message: Option<String>,
}

pub(super) fn read(mut source: Source<impl BufRead>, tally: &mut Tally) -> Result<(), Fault> {
    let mut suites = Suites::default();
    let read = json_lines::for_each(&mut source, |event| suites.take(event, tally));
    let is_open = suites.is_open;
    if is_open {
        suites.unfinished(tally);
    }
    read?;
    match is_open {
        true => Err(Fault::truncated(
            json_lines::here(&source),
            "it ends before the suite does",
        )),
        false => Ok(()),
    }
}

/// The suites of a run, one after the other.
#[derive(Default)]
struct Suites {
    is_open: bool,
    has_failed: bool,
    running: HashSet<String>,
}

impl Suites {
    fn take(&mut self, event: Event, tally: &mut Tally) {
        let what = event.event.as_deref().unwrap_or_default();
        match (event.kind.as_deref(), what) {
            (Some("suite"), "started") => {
                if self.is_open {
                    // Its program died, and another one was started.
                    tally.suite_failure();
                    self.unfinished(tally);
                }
                *self = Self {
                    is_open: true,
                    ..Self::default()
                };
            }
            (Some("suite"), "ok" | "failed") => {
                if what == "failed" && !self.has_failed {
                    tally.suite_failure();
                }
                *self = Self::default();
            }
            (Some("test"), "started") => {
                self.running.insert(event.name.unwrap_or_default());
            }
            (Some("test"), _) => self.end(event, tally),
            (Some("bench"), _) => tally.test(Marks::PASSED),
            _ => {}
        }
    }

    fn end(&mut self, event: Event, tally: &mut Tally) {
        let marks = match event.event.as_deref() {
            Some("ok") => Marks::PASSED,
            Some("failed") => Marks::FAILED,
            Some("ignored") => Marks::SKIPPED,
            Some("allowed_failure") => Marks::EXPECTED_FAILURE,
            // `timeout` says that a test takes long, and goes on.
            _ => return,
        };
        self.running
            .remove(event.name.as_deref().unwrap_or_default());
        tally.test(marks);
        if marks.is_failing() {
            self.has_failed = true;
            let text = event.stdout.unwrap_or_default();
            let message = event.message.unwrap_or_default();
            tally.look(|| Fingerprint::of_failure("", &message, &text));
        }
    }

    /// Whatever still runs when the suite ends without a word could not be run to its end.
    fn unfinished(&mut self, tally: &mut Tally) {
        for _ in self.running.drain() {
            tally.test(Marks::ERROR);
        }
    }
}
