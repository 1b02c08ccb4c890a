//! One test case, from its opening to its end.

use quick_xml::events::BytesStart;

use super::super::counts::{Marks, Tally};
use super::super::fingerprint::Fingerprint;
use super::super::source::Excerpt;
use super::{Failure, attribute};

pub(super) struct Case {
    depth: usize,
    marks: Marks,
    /// The first failure that counts.
    failure: Option<Failure>,
    /// What the test printed, for reports whose failures say nothing themselves.
    output: Excerpt,
    /// The child whose text is being read.
    open: Option<Child>,
    /// Whether it is expected to fail, as node:test marks it.
    is_todo: bool,
    /// The text of one of Jenkins' children.
    word: String,
}

/// A child of a case that matters.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Child {
    Failure,
    Output,
    /// Jenkins has the message and the trace each in an element.
    Details,
    Trace,
    /// Jenkins' `<skipped>true</skipped>`.
    Skipped,
    /// Jenkins' `<status>REGRESSION</status>`.
    Status,
}

/// Letters of a status that are read.
const WORD_BYTES_MAX: usize = 64;

impl Case {
    pub(super) fn new(depth: usize, element: &BytesStart<'_>) -> Self {
        let says = |key: &str, words: &[&str]| {
            let value = attribute(element, key);
            words.iter().any(|word| value.eq_ignore_ascii_case(word))
        };
        // GoogleTest, CTest and others have no element for a test that is switched off.
        let is_off = says("status", &["notrun", "disabled", "skipped", "ignored"])
            || says("result", &["suppressed", "skipped"]);
        Self {
            depth,
            marks: Marks {
                not_run: is_off,
                ..Marks::PASSED
            },
            failure: None,
            output: Excerpt::default(),
            open: None,
            is_todo: false,
            word: String::new(),
        }
    }

    pub(super) fn depth(&self) -> usize {
        self.depth
    }

    pub(super) fn is_failing(&self) -> bool {
        self.marks.is_failing()
    }

    /// Takes the opening of an element inside the case.
    pub(super) fn open(&mut self, depth: usize, element: &BytesStart<'_>) {
        if depth != self.depth + 1 {
            return;
        }
        let name = element.local_name();
        self.open = match name.as_ref() {
            "failure" => self.fail(element, false),
            "error" => self.fail(element, true),
            // Beside a failure: how it failed when repeated.
            "rerunFailure" if !self.is_failing() => self.fail(element, false),
            "rerunError" if !self.is_failing() => self.fail(element, true),
            "flakyFailure" | "flakyError" => {
                self.marks.flaky = true;
                None
            }
            "skipped" => {
                // Jenkins' element says of every case whether it was; all others are empty or have a reason.
                self.marks.skipped = true;
                self.is_todo = attribute(element, "type") == "todo";
                Some(Child::Skipped)
            }
            "system-out" | "system-err" | "stdout" | "stderr" => Some(Child::Output),
            "errorDetails" => Some(Child::Details),
            "errorStackTrace" => Some(Child::Trace),
            "status" => Some(Child::Status),
            _ => None,
        };
        self.word.clear();
    }

    fn fail(&mut self, element: &BytesStart<'_>, is_error: bool) -> Option<Child> {
        match is_error {
            true => self.marks.error = true,
            false => self.marks.failed = true,
        }
        if self.failure.is_some() {
            return None;
        }
        self.failure = Some(Failure::of(element));
        Some(Child::Failure)
    }

    /// Takes text inside the case.
    pub(super) fn keep(&mut self, depth: usize, text: &str) {
        if depth <= self.depth {
            return;
        }
        match self.open {
            Some(Child::Failure) => self.jenkins_failure().text.push(text),
            Some(Child::Output) => self.output.push(text),
            Some(Child::Details) if !text.trim().is_empty() => {
                self.marks.failed = true;
                self.jenkins_failure().message.push_str(text);
            }
            Some(Child::Trace) if !text.trim().is_empty() => {
                self.marks.failed = true;
                self.jenkins_failure().text.push(text);
            }
            Some(Child::Skipped | Child::Status) => {
                if self.word.len() + text.len() <= WORD_BYTES_MAX {
                    self.word.push_str(text);
                }
            }
            Some(Child::Details | Child::Trace) | None => {}
        }
    }

    fn jenkins_failure(&mut self) -> &mut Failure {
        self.failure.get_or_insert_default()
    }

    /// Takes the end of an element inside the case.
    pub(super) fn close(&mut self, depth: usize) {
        if depth != self.depth + 1 {
            return;
        }
        match (self.open.take(), self.word.trim()) {
            (Some(Child::Skipped), "false") => self.marks.skipped = false,
            (Some(Child::Status), "FAILED" | "REGRESSION") => self.marks.failed = true,
            (Some(Child::Status), "SKIPPED") => self.marks.skipped = true,
            _ => {}
        }
    }

    /// Counts it.
    pub(super) fn count(self, tally: &mut Tally) {
        if self.is_todo && self.is_failing() {
            tally.test(Marks::EXPECTED_FAILURE);
            return;
        }
        tally.test(self.marks);
        if self.is_failing() {
            let failure = self.failure.unwrap_or_default();
            tally.look(|| failure.fingerprint_beside(&self.output));
        }
    }
}

impl Failure {
    /// Its look; what the test printed speaks where the failure says nothing but that it failed.
    fn fingerprint_beside(&self, output: &Excerpt) -> Option<Fingerprint> {
        let own = self.fingerprint();
        let exits = ["exit code", "exit status", "exited with"];
        let is_vague = exits.iter().any(|words| self.message.contains(words));
        match own {
            Some(own) if !is_vague => Some(own),
            own => Fingerprint::of_output(&output.text()).or(own),
        }
    }
}
