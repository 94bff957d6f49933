//! Log lines on stderr, and the spans of reconciles by OTLP over HTTP.

use std::{io, time::Duration};

use anyhow::Context as _;
use opentelemetry::{KeyValue, trace::TracerProvider};
use opentelemetry_otlp::WithExportConfig;
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use tracing_subscriber::{
    EnvFilter, Layer, Registry, filter::LevelFilter, filter::Targets, fmt, layer::SubscriberExt,
};

/// Longest time of one export, and of the last one when the operator stops.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// One object a line.
    Json,
}

/// What spans say of the process that they come from.
#[derive(Clone, Copy)]
pub struct Instance<'a> {
    pub release: &'a str,
    pub identity: &'a str,
}

/// Ends tracing in order.
pub struct Telemetry {
    spans: Option<SdkTracerProvider>,
}

impl Telemetry {
    /// Installs the process-wide subscriber. `endpoint`: base address of an OTLP/HTTP collector.
    pub fn install(
        level: &str,
        format: LogFormat,
        endpoint: Option<&str>,
        instance: Instance<'_>,
    ) -> anyhow::Result<Self> {
        let filter = EnvFilter::try_new(level).with_context(|| format!("invalid log filter {level:?}"))?;
        let lines = match format {
            LogFormat::Pretty => fmt::layer().with_writer(io::stderr).boxed(),
            LogFormat::Json => fmt::layer()
                .json()
                .flatten_event(true)
                .with_writer(io::stderr)
                .boxed(),
        };
        let spans = endpoint
            .map(|endpoint| provider(endpoint, instance))
            .transpose()?;
        // Only our own spans: those of the Kubernetes client are many and say little.
        let ours = Targets::new().with_target("natter_operator", LevelFilter::INFO);
        let export = spans.as_ref().map(|provider| {
            tracing_opentelemetry::layer()
                .with_tracer(provider.tracer("natter-operator"))
                .with_filter(ours)
        });
        let subscriber = Registry::default().with(lines.with_filter(filter)).with(export);
        tracing::subscriber::set_global_default(subscriber)
            .context("a log subscriber is already installed")?;
        Ok(Self { spans })
    }

    /// Exports the last spans.
    pub fn shutdown(self) {
        if let Some(spans) = self.spans
            && let Err(error) = spans.shutdown_with_timeout(EXPORT_TIMEOUT)
        {
            tracing::warn!(%error, "last spans were not exported");
        }
    }
}

fn provider(endpoint: &str, instance: Instance<'_>) -> anyhow::Result<SdkTracerProvider> {
    let url = format!(
        "{}/v1/traces",
        endpoint.trim_end_matches('/').trim_end_matches("/v1/traces")
    );
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_endpoint(url)
        .with_timeout(EXPORT_TIMEOUT)
        .build()
        .context("cannot build the OTLP exporter")?;
    let resource = Resource::builder()
        .with_service_name("natter-operator")
        .with_attributes([
            KeyValue::new("service.version", instance.release.to_owned()),
            KeyValue::new("service.instance.id", instance.identity.to_owned()),
        ])
        .build();
    Ok(SdkTracerProvider::builder()
        .with_resource(resource)
        .with_batch_exporter(exporter)
        .build())
}
