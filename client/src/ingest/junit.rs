//! JUnit XML, streamed: how many tests ran, how many failed, and what the first failure looks like.
//!
//! The dialects of pytest, unittest, surefire, jest, nextest and others. No document type is accepted,
//! so no entity, internal or external, is ever expanded.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

use super::fingerprint::Fingerprint;

/// The largest report that is read: 64 MiB.
pub const JUNIT_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Bytes of the first failure's text that are kept.
const FAILURE_BYTES_MAX: usize = 64 * 1024;

/// Elements inside each other that are followed.
const DEPTH_MAX: usize = 64;

/// What a report says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JunitSummary {
    /// Test cases in all.
    pub tests: u32,
    /// Of those, the ones with a failed assertion.
    pub failures: u32,
    /// Of those, the ones that could not be run to their end, such as collection errors.
    pub errors: u32,
    /// Of those, the ones that were skipped.
    pub skipped: u32,
    /// Of those, the ones that failed first and passed when repeated.
    pub flaky: u32,
    /// What the first failing one looks like.
    pub fingerprint: Option<Fingerprint>,
}

impl JunitSummary {
    /// Tests that ran and passed, flaky ones included.
    pub fn passed(&self) -> u32 {
        self.tests
            .saturating_sub(self.failures + self.errors + self.skipped)
    }

    /// Whether anything failed.
    pub fn has_failures(&self) -> bool {
        self.failures + self.errors > 0
    }
}

/// Why a report cannot be read to its end.
#[derive(Debug, thiserror::Error)]
pub enum JunitError {
    /// It is not there, or not readable.
    #[error("the test report `{path}` cannot be read: {cause}")]
    Unreadable {
        /// Its path.
        path: String,
        /// Why.
        cause: std::io::Error,
    },
    /// It ends early or is no XML; what was read until then counts.
    #[error("the test report is broken at byte {at}: {problem}")]
    Broken {
        /// Where.
        at: u64,
        /// What is wrong.
        problem: String,
        /// What it says until there.
        until_there: JunitSummary,
    },
    /// It is XML of another kind.
    #[error("`<{root}>` is no test report; `<testsuites>` or `<testsuite>` is expected")]
    OtherXml {
        /// Its outermost element.
        root: String,
    },
}

/// Reads the report at `path`.
pub fn read_junit(path: &Path) -> Result<JunitSummary, JunitError> {
    let unreadable = |cause| JunitError::Unreadable {
        path: path.display().to_string(),
        cause,
    };
    let file = File::open(path).map_err(unreadable)?;
    let size = file.metadata().map_err(unreadable)?.len();
    if size > JUNIT_BYTES_MAX {
        return Err(unreadable(std::io::Error::other(format!(
            "it has {size} bytes, more than {JUNIT_BYTES_MAX}"
        ))));
    }
    parse(file.take(JUNIT_BYTES_MAX))
}

fn parse(source: impl Read) -> Result<JunitSummary, JunitError> {
    let mut reader = Reader::from_reader(BufReader::new(source));
    let mut walk = Walk::default();
    let mut buffer = Vec::new();
    loop {
        buffer.clear();
        let problem = match reader.read_event_into(&mut buffer) {
            Ok(Event::Eof) if walk.is_complete => return Ok(walk.finish()),
            Ok(Event::Eof) => "it ends early".to_owned(),
            Ok(event) => match walk.take(event) {
                Ok(()) => continue,
                Err(Refused::Other(root)) => return Err(JunitError::OtherXml { root }),
                Err(Refused::Because(problem)) => problem.to_owned(),
            },
            Err(error) => error.to_string(),
        };
        return Err(JunitError::Broken {
            at: reader.buffer_position(),
            problem,
            until_there: walk.finish(),
        });
    }
}

enum Refused {
    Other(String),
    Because(&'static str),
}

/// Where the reading stands.
#[derive(Default)]
struct Walk {
    summary: JunitSummary,
    depth: usize,
    is_complete: bool,
    case: Option<Case>,
    /// The first failure's type, message and text; the text grows while its element is open.
    first: Option<(String, String, String)>,
    /// The depth of the element whose text is being kept.
    keeping: Option<usize>,
    /// The outermost element's own counts, for reports without test cases.
    declared: (u32, u32),
}

#[derive(Default)]
struct Case {
    depth: usize,
    failed: bool,
    error: bool,
    skipped: bool,
    flaky: bool,
}

impl Walk {
    fn take(&mut self, event: Event<'_>) -> Result<(), Refused> {
        match event {
            Event::Start(element) => self.open(&element)?,
            Event::Empty(element) => {
                self.open(&element)?;
                self.close();
            }
            Event::End(_) => self.close(),
            Event::Text(text) => self.keep(&text.xml_content(XmlVersion::Explicit1_0)),
            Event::CData(text) => self.keep(&text.xml_content(XmlVersion::Explicit1_0)),
            Event::GeneralRef(entity) => {
                let name = entity.clone().into_inner();
                let character = match entity.resolve_char_ref() {
                    Ok(Some(character)) => Some(character.to_string()),
                    Ok(None) => {
                        quick_xml::escape::resolve_predefined_entity(&name).map(str::to_owned)
                    }
                    Err(_) => None,
                };
                let refused = Refused::Because("it uses an entity of its own");
                self.keep(&character.ok_or(refused)?);
            }
            Event::DocType(_) => return Err(Refused::Because("it has a document type")),
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) | Event::Eof => {}
        }
        Ok(())
    }

    fn open(&mut self, element: &BytesStart<'_>) -> Result<(), Refused> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(Refused::Because("its elements are nested too deeply"));
        }
        let name = element.local_name();
        let name: &str = name.as_ref();
        if self.depth == 1 {
            if !matches!(name, "testsuites" | "testsuite") {
                return Err(Refused::Other(name.chars().take(60).collect()));
            }
            let count = |key| attribute(element, key).parse().unwrap_or(0);
            self.declared = (count("failures"), count("errors"));
        }
        match name {
            "testcase" => {
                self.summary.tests += 1;
                self.case = Some(Case {
                    depth: self.depth,
                    ..Case::default()
                });
            }
            "failure" | "rerunFailure" => self.fail(element, false),
            "error" | "rerunError" => self.fail(element, true),
            "flakyFailure" | "flakyError" => self.mark(|case| case.flaky = true),
            "skipped" => self.mark(|case| case.skipped = true),
            _ => {}
        }
        Ok(())
    }

    fn mark(&mut self, mark: impl FnOnce(&mut Case)) {
        if let Some(case) = &mut self.case {
            mark(case);
        }
    }

    fn fail(&mut self, element: &BytesStart<'_>, is_error: bool) {
        match &mut self.case {
            Some(case) if is_error => case.error = true,
            Some(case) => case.failed = true,
            // A whole suite that could not be loaded: one test that could not be run.
            None => {
                self.summary.tests += 1;
                self.summary.errors += 1;
            }
        }
        if self.first.is_none() {
            let kind = attribute(element, "type");
            self.first = Some((kind, attribute(element, "message"), String::new()));
            self.keeping = Some(self.depth);
        }
    }

    fn close(&mut self) {
        if self.keeping == Some(self.depth) {
            self.keeping = None;
        }
        if let Some(case) = self.case.take_if(|case| case.depth == self.depth) {
            let count = match case {
                Case { failed: true, .. } => Some(&mut self.summary.failures),
                Case { error: true, .. } => Some(&mut self.summary.errors),
                Case { skipped: true, .. } => Some(&mut self.summary.skipped),
                Case { flaky: true, .. } => Some(&mut self.summary.flaky),
                _ => None,
            };
            if let Some(count) = count {
                *count += 1;
            }
        }
        self.depth -= 1;
        self.is_complete |= self.depth == 0;
    }

    fn keep(&mut self, text: &str) {
        if let (Some(_), Some((_, _, kept))) = (self.keeping, &mut self.first) {
            let room = FAILURE_BYTES_MAX.saturating_sub(kept.len());
            let end = (0..=room.min(text.len())).rfind(|&at| text.is_char_boundary(at));
            kept.push_str(&text[..end.unwrap_or_default()]);
        }
    }

    fn finish(mut self) -> JunitSummary {
        // Cut off inside a failing test: the failure was seen.
        if let Some(case) = self.case.take() {
            self.summary.failures += u32::from(case.failed);
            self.summary.errors += u32::from(case.error && !case.failed);
        }
        if self.summary.tests == 0 {
            (self.summary.failures, self.summary.errors) = self.declared;
            self.summary.tests = self.declared.0.saturating_add(self.declared.1);
        }
        self.summary.fingerprint = self
            .first
            .and_then(|(kind, message, text)| Fingerprint::of_failure(&kind, &message, &text));
        self.summary
    }
}

fn attribute(element: &BytesStart<'_>, key: &str) -> String {
    let value = element.try_get_attribute(key).ok().flatten();
    let value = value.and_then(|value| value.normalized_value(XmlVersion::Explicit1_0).ok());
    value.map(|value| value.into_owned()).unwrap_or_default()
}

#[cfg(test)]
#[path = "junit_facts.rs"]
mod facts;
