//! The Test Anything Protocol, versions 12 to 14.
//!
//! <https://testanything.org/tap-version-14-specification.html>. The test points of the outermost level
//! are counted: a subtest is summed up by the one that follows it. What a failure looks like is told by
//! the innermost one, since the others only say that something below them failed.

mod diagnostics;
mod line;

use std::io::BufRead;

use super::counts::{Marks, Tally};
use super::fingerprint::Fingerprint;
use super::json_lines::here;
use super::reading::Fault;
use super::source::{Excerpt, Source};

use line::{Directive, Line, Plan, Point};

/// Bytes of a line that are looked at.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// Failures inside one subtest whose looks are kept.
const INNER_MAX: usize = 1000;

pub(super) fn read(mut source: Source<impl BufRead>, tally: &mut Tally) -> Result<(), Fault> {
    let mut document = Document::default();
    let mut line = String::new();
    loop {
        let at = here(&source);
        let end = source.line_into(&mut line, LINE_BYTES_MAX);
        if end.map_err(|cause| Fault::io(at, &cause))?.is_none() {
            let finished = document.finish(tally);
            return finished.map_err(|problem| Fault::truncated(at, problem));
        }
        document.take(&line, tally);
    }
}

/// One document; several may follow each other.
#[derive(Default)]
struct Document {
    plan: Option<Plan>,
    points: u64,
    has_bailed_out: bool,
    /// A failed point whose diagnostics are being read.
    failure: Option<Failure>,
    /// Looks of failures inside the subtest that is being read.
    inner: Vec<Option<Fingerprint>>,
    /// The indent of the last failure that said how it looks: points above it only sum it up.
    told_at: Option<usize>,
    /// The indent of the point on the line before, behind which a block of YAML may begin.
    point_before: Option<usize>,
    /// The indent of the open block of YAML.
    block: Option<usize>,
}

struct Failure {
    indent: usize,
    description: String,
    /// Lines of its block of YAML, or its comments.
    said: Excerpt,
}

impl Failure {
    fn fingerprint(&self) -> Option<Fingerprint> {
        let said = diagnostics::read(&self.said.text());
        let look = Fingerprint::of_failure(&said.kind, &said.message, &said.text);
        // Without diagnostics a failure is known by what it is about.
        look.or_else(|| Fingerprint::of_failure("", &self.description, ""))
    }
}

impl Document {
    fn take(&mut self, line: &str, tally: &mut Tally) {
        let indent = line.len() - line.trim_start().len();
        if let Some(block) = self.block {
            let is_end = indent <= block && matches!(line.trim(), "...");
            // A block that is left without its end ends with the first line to its left.
            if is_end || (indent < block && !line.trim().is_empty()) {
                self.block = None;
            }
            if is_end {
                return;
            }
            if self.block.is_some() {
                self.keep(line);
                return;
            }
        }
        let point_before = self.point_before.take();
        match line::parse(line) {
            Line::BlockBegin if point_before.is_some_and(|before| indent > before) => {
                self.block = Some(indent);
            }
            Line::Version if indent == 0 => self.restart(tally),
            Line::Plan(plan) if indent == 0 => self.plan = self.plan.take().or(Some(plan)),
            Line::Point(point) => self.point(indent, &point, tally),
            Line::BailOut(reason) => self.bail_out(reason, tally),
            Line::Comment(said) if !is_harness_comment(said) => self.keep(said),
            Line::Version | Line::Plan(_) | Line::BlockBegin | Line::Comment(_) | Line::Other => {}
        }
    }

    fn keep(&mut self, said: &str) {
        if let Some(failure) = &mut self.failure {
            failure.said.push(said);
            failure.said.push("\n");
        }
    }

    fn point(&mut self, indent: usize, point: &Point<'_>, tally: &mut Tally) {
        self.tell(tally);
        self.point_before = Some(indent);
        let marks = match (point.directive, point.is_ok) {
            (Directive::Skip, _) => Marks::SKIPPED,
            (Directive::Todo, false) => Marks::EXPECTED_FAILURE,
            (Directive::None, false) => Marks::FAILED,
            (Directive::Todo | Directive::None, true) => Marks::PASSED,
        };
        if indent == 0 && !self.has_bailed_out {
            self.points += 1;
            tally.test(marks);
        }
        let is_told = self.told_at.is_some_and(|told| told > indent);
        match (marks.is_failing(), is_told) {
            (true, false) => {
                self.failure = Some(Failure {
                    indent,
                    description: point.description.to_owned(),
                    said: Excerpt::default(),
                });
            }
            (true, true) => self.told_at = Some(indent),
            (false, true) => self.told_at = None,
            (false, false) => {}
        }
        match (indent, marks.is_failing()) {
            (0, true) => self.tell_inner(tally),
            // What failed inside of what is expected to fail, or was forgiven, is no failure.
            (0, false) => self.inner.clear(),
            _ => {}
        }
    }

    /// Notes the look of the failure whose diagnostics have been read.
    fn tell(&mut self, tally: &mut Tally) {
        let Some(failure) = self.failure.take() else {
            return;
        };
        self.told_at = Some(failure.indent);
        match failure.indent {
            0 => drop(tally.look(|| failure.fingerprint())),
            _ if self.inner.len() < INNER_MAX => self.inner.push(failure.fingerprint()),
            _ => {}
        }
    }

    fn tell_inner(&mut self, tally: &mut Tally) {
        for look in self.inner.drain(..) {
            tally.look(|| look);
        }
    }

    fn bail_out(&mut self, reason: &str, tally: &mut Tally) {
        self.tell(tally);
        self.tell_inner(tally);
        if !self.has_bailed_out {
            self.has_bailed_out = true;
            tally.suite_failure();
            let said = if reason.is_empty() {
                "bail out"
            } else {
                reason
            };
            tally.look(|| Fingerprint::of_failure("", said, ""));
        }
    }

    fn restart(&mut self, tally: &mut Tally) {
        if self.plan.is_some() || self.points > 0 || self.has_bailed_out {
            let document = std::mem::take(self);
            // A document in the middle that has no plan lacks its end.
            if document.finish(tally).is_err() {
                tally.suite_failure();
            }
        }
    }

    /// Compares what came with what was planned; the error says that it ends early.
    fn finish(mut self, tally: &mut Tally) -> Result<(), &'static str> {
        self.tell(tally);
        match self.plan {
            _ if self.has_bailed_out => Ok(()),
            None => {
                // A subtest that failed although nobody is left to sum it up.
                if !self.inner.is_empty() {
                    tally.suite_failure();
                    self.tell_inner(tally);
                }
                Err("it ends before its plan")
            }
            Some(Plan {
                tests: 0,
                is_skip: true,
            }) if self.points == 0 => {
                tally.test(Marks::SKIPPED);
                Ok(())
            }
            Some(plan) => {
                if plan.tests != self.points {
                    tally.suite_failure();
                    self.tell_inner(tally);
                }
                if plan.tests > self.points {
                    tally.truncate();
                }
                Ok(())
            }
        }
    }
}

/// Names of subtests, and sums such as `# pass 3`.
fn is_harness_comment(said: &str) -> bool {
    let said = said.trim();
    let is_number = |word: &str| word.parse::<f64>().is_ok();
    let is_sum = said
        .split_once(' ')
        .is_some_and(|(_, rest)| is_number(rest.trim()));
    is_sum || said.starts_with("Subtest:") || said.starts_with("Looks like ")
}

#[cfg(test)]
mod facts;
