//! JUnit XML, streamed: how many tests ran, how many failed, and what the failures look like.
//!
//! The dialects of pytest, unittest, Surefire, jest, nextest, Go and others, and Jenkins' own (`<result>`
//! with suites of cases). No document type is accepted, so no entity, internal or external, is ever
//! expanded. Several documents may follow each other in one file.

mod case;

use std::io::BufRead;

use quick_xml::events::{BytesStart, Event};
use quick_xml::{Error, Reader, XmlVersion};

use super::counts::{Marks, Tally};
use super::fingerprint::Fingerprint;
use super::reading::{Fault, Position};
use super::source::{Excerpt, Source};

use case::Case;

/// Elements inside each other that are followed.
const DEPTH_MAX: usize = 64;

/// Reads reports until the end of the source.
pub(super) fn read(source: Source<impl BufRead>, tally: &mut Tally) -> Result<(), Fault> {
    let mut reader = Reader::from_reader(source);
    let mut walk = Walk::new(tally);
    let mut buffer = Vec::new();
    loop {
        buffer.clear();
        let taken = match reader.read_event_into(&mut buffer) {
            Ok(Event::Eof) if walk.is_complete() => {
                walk.finish();
                return Ok(());
            }
            Ok(Event::Eof) => Err(Refused::Truncated(
                "it ends before its last element does".to_owned(),
            )),
            Ok(event) => walk.take(event),
            Err(error) => Err(refusal(&error)),
        };
        let Err(refused) = taken else {
            continue;
        };
        walk.finish();
        let source = reader.get_mut();
        let at = Position {
            byte: source.byte(),
            line: Some(source.line()),
        };
        return Err(match refused {
            Refused::Other(root) => Fault::OtherXml { root },
            Refused::Truncated(problem) => Fault::truncated(at, problem),
            Refused::Unclosed(problem) if source.is_at_end() => Fault::truncated(at, problem),
            Refused::Unclosed(problem) | Refused::Malformed(problem) => {
                Fault::malformed(at, problem)
            }
        });
    }
}

enum Refused {
    /// The outermost element is another one.
    Other(String),
    Malformed(String),
    /// Something is not closed; whether that is the fault of the end, the source knows.
    Unclosed(String),
    Truncated(String),
}

fn refusal(error: &Error) -> Refused {
    match error {
        Error::Syntax(_) => Refused::Unclosed(error.to_string()),
        _ => Refused::Malformed(error.to_string()),
    }
}

/// Where the reading stands.
struct Walk<'a> {
    tally: &'a mut Tally,
    depth: usize,
    has_root: bool,
    /// Open test cases, the innermost last.
    cases: Vec<Case>,
    /// The failure of a whole suite whose element is open, with its depth.
    suite_failure: Option<(usize, Failure)>,
    /// Failures and errors by the word of the outermost elements, and of the suites right below them.
    declared: (u32, u32),
}

/// What a failure element says.
#[derive(Default)]
struct Failure {
    kind: String,
    message: String,
    text: Excerpt,
}

impl Failure {
    fn of(element: &BytesStart<'_>) -> Self {
        Self {
            kind: attribute(element, "type"),
            message: attribute(element, "message"),
            text: Excerpt::default(),
        }
    }

    fn fingerprint(&self) -> Option<Fingerprint> {
        Fingerprint::of_failure(&self.kind, &self.message, &self.text.text())
    }
}

impl<'a> Walk<'a> {
    fn new(tally: &'a mut Tally) -> Self {
        Self {
            tally,
            depth: 0,
            has_root: false,
            cases: Vec::new(),
            suite_failure: None,
            declared: (0, 0),
        }
    }

    fn is_complete(&self) -> bool {
        self.has_root && self.depth == 0
    }

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
                    Ok(Some(character)) => character.to_string(),
                    Ok(None) => match quick_xml::escape::resolve_predefined_entity(&name) {
                        Some(text) => text.to_owned(),
                        None => {
                            let problem = "it uses an entity of its own, which is refused";
                            return Err(Refused::Malformed(problem.to_owned()));
                        }
                    },
                    // A reference to what is no character, as some writers make of control characters.
                    Err(_) => char::REPLACEMENT_CHARACTER.to_string(),
                };
                self.keep(&character);
            }
            Event::DocType(_) => {
                let problem = "it has a document type, which is refused";
                return Err(Refused::Malformed(problem.to_owned()));
            }
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) | Event::Eof => {}
        }
        Ok(())
    }

    fn open(&mut self, element: &BytesStart<'_>) -> Result<(), Refused> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            let problem = format!("more than {DEPTH_MAX} elements lie inside each other");
            return Err(Refused::Malformed(problem));
        }
        let name = element.local_name();
        let name: &str = name.as_ref();
        if self.depth == 1 {
            let is_known = matches!(name, "testsuites" | "testsuite" | "result" | "testResult");
            if !is_known {
                return Err(Refused::Other(name.chars().take(60).collect()));
            }
            self.has_root = true;
        }
        if self.depth <= 2 && name.starts_with("testsuite") {
            self.declare(element);
        }
        match (self.cases.last_mut(), name) {
            (_, "testcase" | "case") => self.cases.push(Case::new(self.depth, element)),
            (Some(case), _) => case.open(self.depth, element),
            (None, "failure" | "error") => {
                // A whole suite that could not be loaded.
                self.tally.suite_failure();
                self.suite_failure = Some((self.depth, Failure::of(element)));
            }
            (None, _) => {}
        }
        Ok(())
    }

    fn declare(&mut self, element: &BytesStart<'_>) {
        let count = |key| attribute(element, key).trim().parse().unwrap_or(0);
        let failures = u32::saturating_add(count("failures"), count("errors"));
        let declared = match self.depth {
            1 => &mut self.declared.0,
            _ => &mut self.declared.1,
        };
        *declared = declared.saturating_add(failures);
    }

    fn keep(&mut self, text: &str) {
        match (self.cases.last_mut(), &mut self.suite_failure) {
            (Some(case), _) => case.keep(self.depth, text),
            (None, Some((_, failure))) => failure.text.push(text),
            (None, None) => {}
        }
    }

    fn close(&mut self) {
        let depth = self.depth;
        if let Some(case) = self.cases.pop_if(|case| case.depth() == depth) {
            case.count(self.tally);
        } else if let Some(case) = self.cases.last_mut() {
            case.close(depth);
        }
        if let Some((_, failure)) = self.suite_failure.take_if(|(at, _)| *at == depth) {
            self.tally.look(|| failure.fingerprint());
        }
        self.depth -= 1;
    }

    fn finish(&mut self) {
        // Cut off inside a failing test: the failure was seen. Inside another one, its end was not.
        while let Some(case) = self.cases.pop() {
            match case.is_failing() {
                true => case.count(self.tally),
                false => self.tally.test(Marks::NOT_RUN),
            }
        }
        if let Some((_, failure)) = self.suite_failure.take() {
            self.tally.look(|| failure.fingerprint());
        }
        // A report whose cases name no failure is taken at its word.
        if !self.tally.counts().has_failures() {
            self.tally
                .suite_failures(self.declared.0.max(self.declared.1));
        }
    }
}

fn attribute(element: &BytesStart<'_>, key: &str) -> String {
    let value = element.try_get_attribute(key).ok().flatten();
    let value = value.and_then(|value| value.normalized_value(XmlVersion::Explicit1_0).ok());
    value.map(|value| value.into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod facts;
