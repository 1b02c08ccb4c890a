//! `pinion report`: an outcome from test reports that were written elsewhere.

use pinion_client::Run;
use pinion_client::ingest::{Ending, TestReport, Verdict, conclude, conclude_reports};

use crate::args::environment::Report as ReportArgs;
use crate::checkout::Checkout;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::{Patience, Session, do_not_track};

use super::report_files;
use super::run::stated;

pub(super) async fn report(session: &Session, args: &ReportArgs) -> Result<(), Failure> {
    let checkout = session.joined()?;
    agreed(&checkout)?;
    let verdict = conclusion(session, args)?;
    let pins = checkout.saved_pins()?;
    let run = match &pins {
        Some(pins) => Run::with(&pins.etag, &pins.rollouts),
        None => Run::with("", &[]),
    };
    // Ids tell the order: that it began comes before how it ended.
    let started = run.started();
    let outcome = match &verdict {
        Verdict::Passed => run.passed(),
        Verdict::Failed {
            category,
            fingerprint,
            ..
        } => run.failed(*category, fingerprint.as_ref()),
    };
    let outbox = checkout.outbox();
    for report in [&started, &outcome] {
        outbox.put(report)?;
    }
    let connection = session.connect_checkout(&checkout, Patience::Asked)?;
    let delivery = outbox.deliver(&connection).await;
    for reason in &delivery.refused {
        session
            .terminal
            .warn(format_args!("the server refused a report: {reason}"));
    }
    if let Some(error) = delivery.stopped {
        let mut failure = Failure::from(error);
        failure.next_steps = vec!["the report is kept: the next run or sync sends it".to_owned()];
        return Err(failure);
    }
    if !delivery.refused.is_empty() {
        return Err(Failure::new(Exit::Refused, "the outcome was not reported"));
    }
    session
        .terminal
        .answer(&outcome, || format!("reported: {}\n", words(&verdict)));
    Ok(())
}

/// Reports are sent with consent only.
fn agreed(checkout: &Checkout) -> Result<(), Failure> {
    if do_not_track() {
        return Err(Failure::new(
            Exit::Refused,
            "DO_NOT_TRACK is set, so nothing may be reported",
        )
        .next("unset it if you want to report outcomes"));
    }
    match checkout.membership.consent.sends() {
        true => Ok(()),
        false => Err(Failure::new(
            Exit::Refused,
            "the owner of this checkout did not agree to report outcomes",
        )
        .next("`pinion telemetry on` agrees")),
    }
}

fn conclusion(session: &Session, args: &ReportArgs) -> Result<Verdict, Failure> {
    let mut reports = Vec::new();
    for named in &report_files::named(&args.report) {
        let files = named.files();
        match (files.is_empty(), args.exit_status) {
            (true, None) => return Err(report_files::missing(named)),
            (true, Some(_)) => {
                let sentence = format!("there is no test report `{named}`");
                session.terminal.warn(sentence);
                reports.push(TestReport::Missing);
            }
            (false, _) => {
                let read = |path| report_files::read(path, &session.terminal);
                reports.extend(files.iter().map(|path| read(path)));
            }
        }
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
    verdict.ok_or_else(|| {
        Failure::new(
            Exit::Invalid,
            "the reports do not say whether the tests passed: one is broken, or none holds a test",
        )
        .next("say what the command exited with: `--exit-status N`")
    })
}

/// A verdict in words.
pub(super) fn words(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Passed => "passed".to_owned(),
        Verdict::Failed {
            category,
            fingerprint,
            ..
        } => {
            let look = fingerprint.map(|look| format!(", fingerprint {look}"));
            let category = category_name(*category);
            format!("failed ({category}){}", look.unwrap_or_default())
        }
    }
}

/// A category as the command line has it.
pub(super) fn category_name(category: pinion_client::v1::Category) -> String {
    let name = category.as_str_name();
    name.strip_prefix("CATEGORY_")
        .unwrap_or(name)
        .to_lowercase()
}
