//! `pinion ingest`: what test reports would become. Nothing is sent.

use std::path::Path;
use std::process::ExitCode;

use pinion_client::ingest::{
    Counts, Ending, Format, Reading, ReportError, TestReport, Verdict, conclude, conclude_reports,
    read_report, read_report_from,
};
use pinion_client::v1::Category;
use serde::Serialize;

use crate::args::environment::Ingest;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::table::Table;

use super::report::category_name;
use super::report_files::{self, Named};
use super::run::stated;

/// What standard input is called.
const STDIN: &str = "-";

pub(super) fn ingest(session: &Session, args: &Ingest) -> Result<ExitCode, Failure> {
    let mut exit = Exit::Ok;
    let mut rows = Vec::new();
    let mut reports = Vec::new();
    let named = report_files::named(&args.files);
    for (name, read) in named.iter().flat_map(read_named) {
        let (row, report) = match read {
            Ok(reading) => Row::of(name, reading, stated(args.category)),
            Err(error) => {
                session
                    .terminal
                    .fail(&Failure::new(report_files::exit(&error), error.to_string()));
                exit = worse(exit, report_files::exit(&error));
                Row::of_error(name, error, stated(args.category))
            }
        };
        rows.push(row);
        reports.push(report);
    }
    let category = stated(args.category);
    let verdict = match args.exit_status {
        Some(status) => Some(conclude(
            Ending::Exit(i32::from(status)),
            &reports,
            category,
        )),
        None => conclude_reports(&reports, category),
    };
    let total = Total {
        counts: Numbers::sum(rows.iter().map(|row| &row.counts)),
        outcome: Outcome::of(verdict.as_ref()),
    };
    match session.terminal.is_json() {
        true => {
            let answer = Answer {
                reports: rows,
                total,
            };
            let text = serde_json::to_string_pretty(&answer).expect("plain data");
            session.terminal.print(&format!("{text}\n"));
        }
        false => session.terminal.print(&table(session, &rows, &total)),
    }
    Ok(exit.into())
}

/// A malformed report is told before one that is not there.
fn worse(one: Exit, other: Exit) -> Exit {
    match (one, other) {
        (Exit::Invalid, _) | (_, Exit::Invalid) => Exit::Invalid,
        (Exit::Ok, other) => other,
        (one, _) => one,
    }
}

type Read = (String, Result<Reading, ReportError>);

fn read_named(named: &Named) -> Vec<Read> {
    if named.is_stdin() {
        let read = read_report_from("standard input", std::io::stdin().lock());
        return vec![(STDIN.to_owned(), read)];
    }
    let mut files = named.files();
    if files.is_empty() {
        // Reading it says why there is nothing.
        files.push(named.to_string().into());
    }
    let read = |path: &Path| (path.display().to_string(), read_report(path));
    files.iter().map(|path| read(path)).collect()
}

/// The answer as JSON; client/README.md documents it.
#[derive(Serialize)]
struct Answer {
    reports: Vec<Row>,
    total: Total,
}

#[derive(Serialize)]
struct Row {
    file: String,
    format: Option<&'static str>,
    #[serde(flatten)]
    counts: Numbers,
    #[serde(flatten)]
    outcome: Outcome,
    fingerprints: Vec<String>,
    truncated: bool,
    error: Option<String>,
}

#[derive(Serialize)]
struct Total {
    #[serde(flatten)]
    counts: Numbers,
    #[serde(flatten)]
    outcome: Outcome,
}

#[derive(Default, Serialize)]
struct Numbers {
    tests: u64,
    passed: u64,
    failed: u64,
    errors: u64,
    skipped: u64,
    expected_failures: u64,
    flaky: u64,
    suite_failures: u64,
}

#[derive(Serialize)]
struct Outcome {
    outcome: &'static str,
    category: Option<String>,
    fingerprint: Option<String>,
}

impl Row {
    fn of(file: String, reading: Reading, category: Category) -> (Self, TestReport) {
        let report = TestReport::Whole(reading.counts.clone());
        let row = Self::new(
            file,
            Some(reading.format),
            &report,
            &reading.counts,
            category,
        );
        (row, report)
    }

    fn of_error(file: String, error: ReportError, category: Category) -> (Self, TestReport) {
        let told = Some(error.to_string());
        let (format, counts) = match &error {
            ReportError::Broken {
                format,
                until_there,
                ..
            } => (Some(*format), Counts::clone(until_there)),
            ReportError::Unreadable { .. } | ReportError::Unknown { .. } => {
                (None, Counts::default())
            }
        };
        let report = report_files::what_is_left(error);
        let row = Self::new(file, format, &report, &counts, category);
        (Self { error: told, ..row }, report)
    }

    fn new(
        file: String,
        format: Option<Format>,
        report: &TestReport,
        counts: &Counts,
        category: Category,
    ) -> Self {
        let verdict = conclude_reports(std::slice::from_ref(report), category);
        Self {
            file,
            format: format.map(Format::name),
            counts: Numbers::of(counts),
            outcome: Outcome::of(verdict.as_ref()),
            fingerprints: counts
                .fingerprints
                .iter()
                .map(ToString::to_string)
                .collect(),
            truncated: counts.is_truncated,
            error: None,
        }
    }

    fn words(&self) -> String {
        let category = self.outcome.category.as_deref();
        let category = category.map(|category| format!(" ({category})"));
        let flag = match (self.truncated, &self.error) {
            (true, _) => ", truncated",
            (false, Some(_)) if self.format.is_some() => ", broken",
            (false, _) => "",
        };
        [self.outcome.outcome, &category.unwrap_or_default(), flag].concat()
    }
}

impl Numbers {
    fn of(counts: &Counts) -> Self {
        Self {
            tests: counts.tests.into(),
            passed: counts.passed.into(),
            failed: counts.failed.into(),
            errors: counts.errors.into(),
            skipped: counts.skipped.into(),
            expected_failures: counts.expected_failures.into(),
            flaky: counts.flaky.into(),
            suite_failures: counts.suite_failures.into(),
        }
    }

    fn sum<'a>(numbers: impl Iterator<Item = &'a Self>) -> Self {
        numbers.fold(Self::default(), |sum, one| Self {
            tests: sum.tests + one.tests,
            passed: sum.passed + one.passed,
            failed: sum.failed + one.failed,
            errors: sum.errors + one.errors,
            skipped: sum.skipped + one.skipped,
            expected_failures: sum.expected_failures + one.expected_failures,
            flaky: sum.flaky + one.flaky,
            suite_failures: sum.suite_failures + one.suite_failures,
        })
    }
}

impl Outcome {
    fn of(verdict: Option<&Verdict>) -> Self {
        let (outcome, category, fingerprint) = match verdict {
            None => ("unknown", None, None),
            Some(Verdict::Passed) => ("passed", None, None),
            Some(Verdict::Failed {
                category,
                fingerprint,
                ..
            }) => (
                "failed",
                Some(category_name(*category)),
                fingerprint.map(|look| look.to_string()),
            ),
        };
        Self {
            outcome,
            category,
            fingerprint,
        }
    }
}

fn table(session: &Session, rows: &[Row], total: &Total) -> String {
    let mut table = Table::new([
        "TESTS",
        "PASSED",
        "FAILED",
        "ERRORS",
        "SKIPPED",
        "FLAKY",
        "FORMAT",
        "OUTCOME",
        "FINGERPRINT",
        "FILE",
    ]);
    for row in rows {
        let look = match row.fingerprints.as_slice() {
            [] => "-".to_owned(),
            [one] => one.clone(),
            [first, more @ ..] => format!("{first} +{}", more.len()),
        };
        table.row([
            row.counts.tests.to_string(),
            row.counts.passed.to_string(),
            row.counts.failed.to_string(),
            row.counts.errors.to_string(),
            row.counts.skipped.to_string(),
            row.counts.flaky.to_string(),
            row.format.unwrap_or("-").to_owned(),
            row.words(),
            look,
            row.file.clone(),
        ]);
    }
    let rendered = session.terminal.table(&table, "no reports");
    let category = total.outcome.category.as_deref();
    let category = category.map(|category| format!(" ({category})"));
    let outcome = [total.outcome.outcome, &category.unwrap_or_default()].concat();
    format!("{rendered}\noutcome: {outcome}\n")
}
