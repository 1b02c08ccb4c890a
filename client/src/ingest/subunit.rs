//! subunit, version 2: packets of a binary stream, with other output between them.
//!
//! The format is documented in the README of python-subunit. Of several statuses of one test the last
//! counts; a test that failed before its last status was a success is flaky.

mod packet;

use std::collections::BTreeMap;
use std::io::BufRead;

use super::counts::{Marks, Tally};
use super::fingerprint::Fingerprint;
use super::reading::{Fault, Position};
use super::source::{Excerpt, Source};

use packet::{Packet, Status};

pub(super) use packet::begins_in;

pub(super) fn read(mut source: Source<impl BufRead>, tally: &mut Tally) -> Result<(), Fault> {
    let mut tests = Tests::default();
    let read = packet::for_each(&mut source, |packet| tests.take(packet));
    let is_open = tests.count(tally);
    read?;
    match is_open {
        true => Err(Fault::truncated(
            Position {
                byte: source.byte(),
                line: None,
            },
            "it ends before its tests do",
        )),
        false => Ok(()),
    }
}

/// The tests by their ids.
#[derive(Default)]
struct Tests {
    tests: BTreeMap<String, Test>,
}

#[derive(Default)]
struct Test {
    status: Status,
    has_failed: bool,
    output: Excerpt,
}

impl Tests {
    fn take(&mut self, packet: Packet<'_>) {
        // Without an id it is about the run: nothing is decided by that.
        let Some(id) = packet.test_id else {
            return;
        };
        if !self.tests.contains_key(id) {
            self.tests.insert(id.to_owned(), Test::default());
        }
        let Some(test) = self.tests.get_mut(id) else {
            return;
        };
        if packet.status == Status::InProgress {
            test.output = Excerpt::default();
        }
        if let Some((_, content)) = packet.file.filter(|(name, _)| !is_log(name)) {
            test.output.push(&String::from_utf8_lossy(content));
        }
        match packet.status {
            Status::None => return,
            Status::Failed | Status::UnexpectedSuccess => test.has_failed = true,
            // Only a failure's output is looked at.
            _ if packet.status != Status::InProgress => test.output = Excerpt::default(),
            _ => {}
        }
        test.status = packet.status;
    }

    /// Counts every test by its last status; whether one of them has none.
    fn count(self, tally: &mut Tally) -> bool {
        let mut is_open = false;
        for test in self.tests.into_values() {
            let marks = match test.status {
                // Listed, or only printed something: it did not run.
                Status::None | Status::Exists => continue,
                Status::InProgress => {
                    is_open = true;
                    Marks::ERROR
                }
                Status::Success if test.has_failed => Marks::FLAKY,
                Status::Success => Marks::PASSED,
                Status::Skip => Marks::SKIPPED,
                Status::ExpectedFailure => Marks::EXPECTED_FAILURE,
                Status::Failed | Status::UnexpectedSuccess => Marks::FAILED,
            };
            tally.test(marks);
            let said = match test.status {
                Status::UnexpectedSuccess => "unexpected success",
                _ => "",
            };
            if marks.is_failing() {
                tally.look(|| Fingerprint::of_failure("", said, &test.output.text()));
            }
        }
        is_open
    }
}

/// Whether an attachment is what the test logged rather than how it failed.
fn is_log(name: &str) -> bool {
    let is = |prefix: &str| name == prefix || name.starts_with(&format!("{prefix}:"));
    ["pythonlogging", "stdout", "stderr"].into_iter().any(is)
}

#[cfg(test)]
mod facts;
