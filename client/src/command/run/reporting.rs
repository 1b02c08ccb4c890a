//! Telling the server how a run goes, without keeping anybody waiting.
//!
//! A report is kept on disk before it is sent. What a short try does not deliver goes with the next
//! run or sync, under the same id.

use std::time::Duration;

use pinion_client::ingest::Verdict;
use pinion_client::v1::{self, Report};
use pinion_client::{Connection, Run};
use tokio::task::JoinHandle;

use crate::checkout::{Checkout, Delivery, Outbox};
use crate::session::{Patience, Session};

/// The time that a finished command waits for its report to be delivered.
const LAST_WAIT: Duration = Duration::from_millis(400);

/// A run that was announced.
pub(super) struct Reporting {
    run: Run,
    outbox: Outbox,
    link: Option<(Connection, JoinHandle<Delivery>)>,
}

impl Reporting {
    /// Announces a run; the announcement travels while the command works.
    pub(super) fn begin(session: &Session, checkout: &Checkout, run: Run) -> Self {
        let outbox = checkout.outbox();
        keep(session, &outbox, &run.started());
        let connection = match session.connect_checkout(checkout, Patience::InPassing) {
            Ok(connection) => Some(connection),
            Err(failure) => {
                session
                    .terminal
                    .warn(format_args!("nothing can be reported: {failure}"));
                None
            }
        };
        let link = connection.map(|connection| {
            let (outbox, to) = (checkout.outbox(), connection.clone());
            let announcing = tokio::spawn(async move { outbox.deliver(&to).await });
            (connection, announcing)
        });
        Self { run, outbox, link }
    }

    /// Reports from now on about these rollouts of the announced ones alone.
    pub(super) fn narrow(&mut self, rollouts: &[String]) {
        self.run = self.run.narrowed(rollouts);
    }

    /// Reports how it ended, and says so if that could not be done.
    pub(super) async fn end(self, session: &Session, verdict: &Verdict, repeat: v1::Repeat) {
        let mut report = match verdict {
            Verdict::Passed => self.run.passed(),
            Verdict::Failed {
                category,
                fingerprint,
                ..
            } => self.run.failed(*category, fingerprint.as_ref()),
        };
        report.repeat = repeat.into();
        keep(session, &self.outbox, &report);
        let Some((connection, announcing)) = self.link else {
            return;
        };
        let stop = announcing.abort_handle();
        let delivered = tokio::time::timeout(LAST_WAIT, async {
            // However the announcement fared: what did not arrive with it waits still.
            let _ = announcing.await;
            self.outbox.deliver(&connection).await
        });
        match delivered.await {
            Ok(delivery) => tell(session, delivery),
            Err(_) => {
                stop.abort();
                let server = connection.server();
                tell_waiting(session, &format!("`{server}` did not answer in time"));
            }
        }
    }
}

fn keep(session: &Session, outbox: &Outbox, report: &Report) {
    if let Err(failure) = outbox.put(report) {
        session.terminal.warn(format_args!(
            "the report cannot be kept, so it may be lost: {failure}"
        ));
    }
    if let Some(count) = outbox.take_dropped() {
        session.terminal.warn(format_args!(
            "{count} reports were thrown away unsent: they waited for a week, or more than 1,000 did"
        ));
    }
}

fn tell(session: &Session, delivery: Delivery) {
    for reason in &delivery.refused {
        session
            .terminal
            .warn(format_args!("the server refused the report: {reason}"));
    }
    if let Some(error) = delivery.stopped {
        tell_waiting(session, &error.to_string());
    }
}

fn tell_waiting(session: &Session, why: &str) {
    session.terminal.warn(format_args!(
        "the outcome was not reported: {why}; the next run or sync sends it"
    ));
}
