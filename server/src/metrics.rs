//! What is counted about the server itself, by OpenTelemetry, and shown to Prometheus.

use std::fmt;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram, MeterProvider};
use opentelemetry_sdk::metrics::SdkMeterProvider;
use pinion_core::ecosystem::Ecosystem;
use pinion_core::figures::{Figures, Spread};
use prometheus::{Encoder, Registry, TextEncoder};

/// Where the buckets of durations end, in seconds: a pull takes a millisecond, a report a few, an import a hundred.
const SECONDS: [f64; 12] = [
    0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0,
];

/// Counters and histograms, all named `pinion_...`.
pub struct Metrics {
    registry: Registry,
    provider: SdkMeterProvider,
    reports: Counter<u64>,
    pulls: Counter<u64>,
    decisions: Counter<u64>,
    filings: Counter<u64>,
    notices: Counter<u64>,
    index_requests: Counter<u64>,
    requests: Histogram<f64>,
    ticks: Histogram<f64>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

/// Why there are no metrics.
#[derive(Debug, thiserror::Error)]
#[error("the metrics could not be set up: {0}")]
pub struct Error(String);

/// What is measured at the moment of asking.
#[derive(Clone, Debug, Default)]
pub struct Gauges {
    /// Rollouts that have not ended.
    pub open_rollouts: usize,
    /// Enrolled environments.
    pub environments: usize,
    /// Filings that are not done.
    pub pending_filings: usize,
    /// Notices that wait, once for every route.
    pub waiting_notices: usize,
    /// How long the oldest of them has waited, in seconds; 0: none waits.
    pub oldest_waiting_notice_s: u64,
    /// The store's revision that is served.
    pub revision: u64,
    /// How old what is served may be.
    pub age: Duration,
    /// Whether this server does what nobody asks for.
    pub leads: bool,
    /// Servers that have said that they run.
    pub servers: usize,
    /// Indexes that gave no answer last.
    pub failing_indexes: usize,
    /// Delivery figures by pin set, of the last 90 days.
    pub delivery: Vec<(String, Figures)>,
}

impl Metrics {
    /// Metrics that Prometheus can read, and that go to `exporter` too, if there is one.
    ///
    /// # Errors
    /// If the exporter cannot be set up.
    pub fn new(exporter: Option<opentelemetry_otlp::MetricExporter>) -> Result<Self, Error> {
        let registry = Registry::new();
        let reader = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .build()
            .map_err(|error| Error(error.to_string()))?;
        let mut provider = SdkMeterProvider::builder().with_reader(reader);
        if let Some(exporter) = exporter {
            provider = provider.with_periodic_exporter(exporter);
        }
        let provider = provider.build();
        let meter = provider.meter("pinion");
        Ok(Self {
            reports: meter
                .u64_counter("pinion_reports")
                .with_description("Reports taken")
                .build(),
            pulls: meter
                .u64_counter("pinion_pulls")
                .with_description("Pulls of pins answered")
                .build(),
            decisions: meter
                .u64_counter("pinion_decisions")
                .with_description("Decisions about rollouts")
                .build(),
            filings: meter
                .u64_counter("pinion_filings")
                .with_description("Tries to file a change")
                .build(),
            notices: meter
                .u64_counter("pinion_notices")
                .with_description("Tries to send a notice, and notices that ended without one")
                .build(),
            index_requests: meter
                .u64_counter("pinion_index_requests")
                .with_description("Questions to indexes, by what came of them")
                .build(),
            requests: meter
                .f64_histogram("pinion_request_duration_seconds")
                .with_boundaries(SECONDS.to_vec())
                .with_description("Time from a request to its answer")
                .build(),
            ticks: meter
                .f64_histogram("pinion_tick_duration_seconds")
                .with_boundaries(SECONDS.to_vec())
                .with_description("Time of one round of the promotion loop")
                .build(),
            registry,
            provider,
        })
    }

    pub(crate) fn reports(&self, accepted: u32, repeated: u32) {
        self.reports
            .add(u64::from(accepted), &[KeyValue::new("was", "new")]);
        self.reports
            .add(u64::from(repeated), &[KeyValue::new("was", "repeated")]);
    }

    pub(crate) fn pull(&self, unchanged: bool) {
        self.pulls.add(
            1,
            &[KeyValue::new(
                "answer",
                if unchanged { "unchanged" } else { "pins" },
            )],
        );
    }

    /// A decision; one about a rollout that is only played is none that anybody needs to be woken for.
    pub(crate) fn decision(&self, action: &'static str, is_shadow: bool) {
        let action = match is_shadow {
            true => format!("{action} (shadow)"),
            false => action.to_owned(),
        };
        self.decisions.add(1, &[KeyValue::new("action", action)]);
    }

    pub(crate) fn filing(&self, state: &'static str) {
        self.filings.add(1, &[KeyValue::new("state", state)]);
    }

    /// What became of a try to send a notice, or of a notice that is not sent any more.
    pub(crate) fn notice(&self, state: &'static str) {
        self.notices.add(1, &[KeyValue::new("state", state)]);
    }

    /// A question to an index; `answer`: new, unchanged, absent, garbled, away or refused.
    pub(crate) fn index_request(&self, ecosystem: Ecosystem, answer: &'static str) {
        let attributes = [
            KeyValue::new("ecosystem", ecosystem.as_str()),
            KeyValue::new("answer", answer),
        ];
        self.index_requests.add(1, &attributes);
    }

    pub(crate) fn request(&self, method: &str, status: &str, took: Duration) {
        let attributes = [
            KeyValue::new("method", method.to_owned()),
            KeyValue::new("status", status.to_owned()),
        ];
        self.requests.record(took.as_secs_f64(), &attributes);
    }

    /// A call of gRPC that was answered well.
    pub(crate) fn request_done(&self, method: &'static str, took: Duration) {
        let attributes = [
            KeyValue::new("method", method),
            KeyValue::new("status", "200"),
        ];
        self.requests.record(took.as_secs_f64(), &attributes);
    }

    pub(crate) fn tick(&self, took: Duration) {
        self.ticks.record(took.as_secs_f64(), &[]);
    }

    /// Everything as Prometheus reads it (text format 0.0.4).
    ///
    /// # Errors
    /// If a metric has no text form.
    pub fn text(&self, gauges: Gauges) -> Result<String, Error> {
        let mut text = Vec::new();
        TextEncoder::new()
            .encode(&self.registry.gather(), &mut text)
            .map_err(|error| Error(error.to_string()))?;
        let mut text = String::from_utf8(text).map_err(|error| Error(error.to_string()))?;
        let rows = [
            (
                "pinion_open_rollouts",
                "Rollouts that have not ended",
                gauges.open_rollouts as u64,
            ),
            (
                "pinion_environments",
                "Enrolled environments",
                gauges.environments as u64,
            ),
            (
                "pinion_pending_filings",
                "Filings that are not done",
                gauges.pending_filings as u64,
            ),
            (
                "pinion_waiting_notices",
                "Notices that wait, once for every route",
                gauges.waiting_notices as u64,
            ),
            (
                "pinion_oldest_waiting_notice_seconds",
                "How long the oldest notice that waits has done so",
                gauges.oldest_waiting_notice_s,
            ),
            (
                "pinion_failing_indexes",
                "Indexes that gave no answer last",
                gauges.failing_indexes as u64,
            ),
            (
                "pinion_store_revision",
                "The revision of the store that is served",
                gauges.revision,
            ),
            (
                "pinion_snapshot_age_seconds",
                "How old what is served may be; it rises while the store is out of reach",
                gauges.age.as_secs(),
            ),
            (
                "pinion_leads",
                "1 on the server that counts, decides and files, else 0",
                u64::from(gauges.leads),
            ),
            (
                "pinion_servers",
                "Servers on the store",
                gauges.servers as u64,
            ),
        ];
        for (name, help, value) in rows {
            text.push_str(&format!(
                "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}\n"
            ));
        }
        text.push_str(&delivery(&gauges.delivery));
        Ok(text)
    }

    /// Sends what has not been sent.
    pub fn shutdown(&self) {
        if let Err(error) = self.provider.shutdown() {
            tracing::debug!(%error, "metrics were not all sent");
        }
    }
}

/// Pin sets whose delivery figures are shown; how many more there are is counted.
const PIN_SETS_MAX: usize = 100;

/// Delivery figures as Prometheus reads them, of at most [`PIN_SETS_MAX`] pin sets.
fn delivery(figures: &[(String, Figures)]) -> String {
    let shown = &figures[..figures.len().min(PIN_SETS_MAX)];
    let mut text = String::new();
    let mut gauge = |name: &str, help: &str, rows: Vec<(String, f64)>| {
        text.push_str(&format!(
            "# HELP pinion_delivery_{name} {help}, of the last 90 days\n# TYPE pinion_delivery_{name} gauge\n"
        ));
        for (labels, value) in rows {
            text.push_str(&format!("pinion_delivery_{name}{{{labels}}} {value}\n"));
        }
    };
    let of = |name: &str| format!("pin_set=\"{name}\"");
    let rows = |value: &dyn Fn(&Figures) -> Option<f64>| {
        let rows = shown.iter();
        rows.filter_map(|(name, figures)| Some((of(name), value(figures)?)))
            .collect::<Vec<_>>()
    };
    gauge(
        "completed",
        "Rollouts that gave everybody a version",
        rows(&|figures| Some(f64::from(figures.completed))),
    );
    gauge(
        "rolled_back",
        "Rollouts that were rolled back",
        rows(&|figures| Some(f64::from(figures.rolled_back))),
    );
    gauge(
        "failure_share",
        "Rolled back of those that somebody had",
        rows(&|figures| figures.failure_share),
    );
    let spreads = |spread: &dyn Fn(&Figures) -> Spread| {
        let mut rows = Vec::new();
        for (name, figures) in shown {
            let Spread { median, p90, .. } = spread(figures);
            for (quantile, time) in [("0.5", median), ("0.9", p90)] {
                let labels = format!("{},quantile=\"{quantile}\"", of(name));
                rows.extend(time.map(|time| (labels, time.as_secs_f64())));
            }
        }
        rows
    };
    gauge(
        "lead_time_seconds",
        "Time from a version's publication, else its rollout's creation, until everybody had it",
        spreads(&|figures| figures.lead_time),
    );
    gauge(
        "restore_time_seconds",
        "Time from the first failure until the last environment was back on the baseline",
        spreads(&|figures| figures.time_to_restore),
    );
    text.push_str(&format!(
        "# HELP pinion_delivery_pin_sets_left_out Pin sets whose delivery figures are not shown\n\
         # TYPE pinion_delivery_pin_sets_left_out gauge\npinion_delivery_pin_sets_left_out {}\n",
        figures.len() - shown.len()
    ));
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use pinion_core::state::Step;

    use super::*;
    use crate::store::records::FilingState;

    /// Every name of a series that is shown once everything has happened.
    fn shown() -> (String, BTreeSet<String>) {
        let metrics = Metrics::new(None).expect("metrics");
        metrics.reports(1, 1);
        metrics.pull(true);
        metrics.decision(Step::RollBack.as_str(), false);
        metrics.filing(FilingState::Stopped { parent: None }.as_str());
        metrics.notice("sent");
        metrics.index_request(Ecosystem::Pypi, "new");
        metrics.request("GET /", "200", Duration::ZERO);
        metrics.tick(Duration::ZERO);
        let text = metrics.text(Gauges::default()).expect("text");
        let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        let names = types.flat_map(|line| match line.split_once(' ') {
            Some((name, "histogram")) => ["_bucket", "_count", "_sum"]
                .map(|part| format!("{name}{part}"))
                .to_vec(),
            Some((name, _)) => vec![name.to_owned()],
            None => Vec::new(),
        });
        let names = names.collect();
        (text, names)
    }

    #[test]
    fn whatever_alerts_and_the_dashboard_name_is_shown() {
        let (text, shown) = shown();
        for asking in [
            include_str!("../../deploy/monitoring/alerts.yaml"),
            include_str!("../../deploy/monitoring/alerts.test.yaml"),
            include_str!("../../deploy/monitoring/dashboard.json"),
            include_str!("../../deploy/README.md"),
        ] {
            let words = asking.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            let named: BTreeSet<_> = words.filter(|word| word.starts_with("pinion_")).collect();
            assert!(named.len() > 5);
            for name in named {
                // A whole histogram may be named as well.
                let is_shown = shown.contains(name) || shown.contains(&format!("{name}_count"));
                assert!(is_shown, "{name} is not shown");
            }
        }
        // What the alerts compare labels with.
        for series in [
            "pinion_decisions_total{action=\"roll back\"",
            "pinion_filings_total{state=\"stopped\"",
        ] {
            assert!(text.contains(series), "{series} is not shown in {text}");
        }
    }

    #[test]
    fn delivery_figures_have_a_bounded_number_of_rows() {
        let of = |n: usize| (format!("set-{n:03}"), Figures::default());
        let many: Vec<_> = (0..150).map(of).collect();
        let text = delivery(&many);
        assert_eq!(
            text.matches("pinion_delivery_completed{").count(),
            PIN_SETS_MAX
        );
        assert!(
            text.contains("pinion_delivery_pin_sets_left_out 50\n"),
            "{text}"
        );
        assert!(
            !text.contains("failure_share{"),
            "what is not known is not shown"
        );
    }
}
