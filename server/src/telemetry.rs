//! Logs to standard error; traces and metrics by OTLP where an endpoint is set.

use std::io::IsTerminal;

use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{MetricExporter, SpanExporter};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// The standard variable that switches the export on.
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

/// How logs look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Why telemetry could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("telemetry could not be set up: {0}; check `RUST_LOG` and `OTEL_EXPORTER_OTLP_ENDPOINT`")]
pub struct Error(String);

/// What has to be flushed at the end.
#[derive(Debug)]
pub struct Telemetry {
    tracer: Option<SdkTracerProvider>,
    /// The exporter of metrics, where an endpoint is set.
    pub metrics: Option<MetricExporter>,
}

/// Whether traces and metrics are exported.
pub fn is_exporting() -> bool {
    std::env::var_os(ENDPOINT).is_some_and(|endpoint| !endpoint.is_empty())
}

/// Sets up logs, and the export of traces and metrics where `OTEL_EXPORTER_OTLP_ENDPOINT` is set.
///
/// # Errors
/// If the filter in `RUST_LOG` or the endpoint cannot be understood.
pub fn set_up(format: LogFormat, default_filter: &str) -> Result<Telemetry, Error> {
    let failed = |error: &dyn std::fmt::Display| Error(error.to_string());
    opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
    let (tracer, metrics) = if is_exporting() {
        let spans = SpanExporter::builder()
            .with_tonic()
            .build()
            .map_err(|error| failed(&error))?;
        let resource = Resource::builder().with_service_name("piniond").build();
        let tracer = SdkTracerProvider::builder()
            .with_resource(resource)
            .with_batch_exporter(spans)
            .build();
        let metrics = MetricExporter::builder()
            .with_tonic()
            .build()
            .map_err(|error| failed(&error))?;
        (Some(tracer), Some(metrics))
    } else {
        (None, None)
    };
    let filter = match std::env::var("RUST_LOG") {
        Ok(filter) => EnvFilter::try_new(filter),
        Err(_) => EnvFilter::try_new(default_filter),
    };
    let text = (format == LogFormat::Text).then(|| {
        tracing_subscriber::fmt::layer()
            .with_writer(std::io::stderr)
            .with_ansi(std::io::stderr().is_terminal())
            .with_target(false)
    });
    let json = (format == LogFormat::Json).then(|| {
        tracing_subscriber::fmt::layer()
            .json()
            .with_writer(std::io::stderr)
    });
    let export = tracer
        .as_ref()
        .map(|tracer| tracing_opentelemetry::layer().with_tracer(tracer.tracer("piniond")));
    tracing_subscriber::registry()
        .with(filter.map_err(|error| failed(&error))?)
        .with(text)
        .with(json)
        .with(export)
        .try_init()
        .map_err(|error| failed(&error))?;
    Ok(Telemetry { tracer, metrics })
}

impl Telemetry {
    /// Sends what has not been sent.
    pub fn shutdown(self) {
        if let Some(tracer) = self.tracer
            && let Err(error) = tracer.shutdown()
        {
            eprintln!("piniond: traces were not all sent: {error}");
        }
    }
}
