//! Spans of the way of a message: one for accepting a publication, one per gateway that delivers it, never
//! one per socket. Exported by OTLP over HTTP (protobuf) from a thread of its own; off by default.
//!
//! The choice to sample is made before anything is allocated: a parent's flag decides, without a parent the
//! ratio. A publication that is not sampled carries no trace context on the bus, so nobody behind it pays
//! either. `tracestate` of a parent is not carried further.

mod collector;
mod endpoint;
mod export;
mod spans;
mod traceparent;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry::trace::{SpanBuilder, SpanContext, SpanKind, TraceContextExt, TracerProvider as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{ExporterBuildError, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider, Span};
use thiserror::Error;
use tokio::runtime::Handle;

pub use collector::CollectorError;
pub use endpoint::{EndpointError, check_endpoint};
pub use spans::{AskSpan, DeliverSpan, PublishSpan};

use self::collector::Collector;
use crate::config::TracingSettings;
use crate::metrics::TraceMetrics;

/// Longest time of one export, retries included. The queue absorbs it.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest time that the last export may take when the gateway stops.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);

/// What tracing needs to know.
#[derive(Clone, Debug)]
pub struct TraceSettings<'a> {
    /// Base address of the collector, as [`check_endpoint`] accepts it.
    pub endpoint: &'a str,
    /// What else is said about it.
    pub collector: &'a TracingSettings,
    /// Share of publications without a parent that are traced, 0 to 1.
    pub sample_ratio: f64,
    /// Identifies this gateway among all, also in its traces.
    pub node_id: &'a str,
    /// The gateway's name for people.
    pub node_name: &'a str,
    /// `messaging.system` of the semantic conventions: `nats`, or a name for the embedded bus.
    pub messaging_system: &'static str,
}

/// Why tracing cannot start.
#[derive(Debug, Error)]
pub enum TraceError {
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    #[error(transparent)]
    Collector(#[from] CollectorError),
    #[error("cannot build the OTLP exporter: {0}")]
    Exporter(#[from] ExporterBuildError),
}

/// Starts spans, or does nothing for the price of a branch.
#[derive(Clone)]
pub struct Tracer {
    enabled: Option<Arc<Enabled>>,
}

struct Enabled {
    tracer: SdkTracer,
    sample_ratio: f64,
    messaging_system: &'static str,
}

/// Ends tracing in order. Dropped without [`TraceGuard::shutdown`], the last spans may be lost.
pub struct TraceGuard {
    provider: SdkTracerProvider,
}

impl TraceGuard {
    /// Exports what is queued, for at most two seconds.
    pub async fn shutdown(self) {
        let flushed =
            tokio::task::spawn_blocking(move || self.provider.shutdown_with_timeout(SHUTDOWN_TIMEOUT)).await;
        match flushed {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "last spans were not exported"),
            Err(error) => tracing::warn!(%error, "last spans were not exported"),
        }
    }
}

impl Tracer {
    /// Traces nothing.
    pub fn disabled() -> Self {
        Self { enabled: None }
    }

    /// Starts the exporting thread, whose requests the runtime drives that this is called on. The collector need not be there: failed exports are counted and logged,
    /// and nobody waits for them.
    pub fn start(
        settings: &TraceSettings<'_>,
        metrics: TraceMetrics,
    ) -> Result<(Self, TraceGuard), TraceError> {
        let exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_http()
            .with_endpoint(endpoint::traces_url(settings.endpoint)?)
            .with_timeout(EXPORT_TIMEOUT)
            .with_http_client(Collector::new(settings.collector, Handle::current())?)
            .build()?;
        // The choice was made before a span is built, see `publish` and `deliver`.
        let provider = SdkTracerProvider::builder()
            .with_sampler(Sampler::AlwaysOn)
            .with_resource(resource(settings))
            .with_span_processor(export::processor(exporter, metrics))
            .build();
        let enabled = Enabled {
            tracer: provider.tracer("natter-gateway"),
            sample_ratio: settings.sample_ratio,
            messaging_system: settings.messaging_system,
        };
        Ok((
            Self {
                enabled: Some(Arc::new(enabled)),
            },
            TraceGuard { provider },
        ))
    }

    /// The span of accepting a publication; `parent` is the W3C `traceparent` that came with it, ignored when
    /// malformed. `None` when it is not traced.
    #[inline]
    pub fn publish(
        &self,
        namespace: &str,
        channel: &str,
        message_id: impl fmt::Display,
        parent: Option<&str>,
    ) -> Option<PublishSpan> {
        let enabled = self.enabled.as_deref()?;
        let parent = parent.and_then(traceparent::parse);
        let sampled = match &parent {
            Some(parent) => parent.is_sampled(),
            None => fastrand::f64() < enabled.sample_ratio,
        };
        sampled.then(|| PublishSpan::new(enabled.start(PUBLISH, namespace, channel, &message_id, parent)))
    }

    /// The span of delivering one message at this gateway; `parent` is the `traceparent` that the bus
    /// carried. `None` when it is not traced.
    #[inline]
    pub fn deliver(
        &self,
        namespace: &str,
        channel: &str,
        message_id: impl fmt::Display,
        parent: &str,
    ) -> Option<DeliverSpan> {
        let enabled = self.enabled.as_deref()?;
        let parent = traceparent::parse(parent).filter(SpanContext::is_sampled)?;
        Some(DeliverSpan::new(enabled.start(
            DELIVER,
            namespace,
            channel,
            &message_id,
            Some(parent),
        )))
    }
}

impl Tracer {
    /// The span of asking a backend; `proxy` is its name. `None` when it is not traced.
    pub fn ask(&self, kind: &'static str, proxy: &str) -> Option<AskSpan> {
        let enabled = self.enabled.as_deref()?;
        if fastrand::f64() >= enabled.sample_ratio {
            return None;
        }
        let span = SpanBuilder::from_name(format!("ask {kind}"))
            .with_kind(SpanKind::Client)
            .with_attributes([
                KeyValue::new("http.request.method", "POST"),
                KeyValue::new("natter.proxy", proxy.to_owned()),
            ])
            .start_with_context(&enabled.tracer, &Context::new());
        Some(AskSpan::new(span))
    }
}

/// What tells the two kinds of span apart.
struct Operation {
    kind: SpanKind,
    /// `messaging.operation.name`
    name: &'static str,
    /// `messaging.operation.type`
    class: &'static str,
}

const PUBLISH: Operation = Operation {
    kind: SpanKind::Producer,
    name: "publish",
    class: "send",
};
const DELIVER: Operation = Operation {
    kind: SpanKind::Consumer,
    name: "deliver",
    class: "process",
};

impl Enabled {
    /// Names and attributes follow the OpenTelemetry semantic conventions for messaging. Channels are
    /// unbounded, so the span's name holds the namespace.
    fn start(
        &self,
        operation: Operation,
        namespace: &str,
        channel: &str,
        message_id: &dyn fmt::Display,
        parent: Option<SpanContext>,
    ) -> Span {
        let attributes = [
            KeyValue::new("messaging.system", self.messaging_system),
            KeyValue::new("messaging.operation.name", operation.name),
            KeyValue::new("messaging.operation.type", operation.class),
            KeyValue::new("messaging.destination.name", channel.to_owned()),
            KeyValue::new("messaging.message.id", message_id.to_string()),
            KeyValue::new("natter.namespace", namespace.to_owned()),
        ];
        let parent = parent.map_or_else(Context::new, |parent| {
            Context::new().with_remote_span_context(parent)
        });
        SpanBuilder::from_name(format!("{} {namespace}", operation.name))
            .with_kind(operation.kind)
            .with_attributes(attributes)
            .start_with_context(&self.tracer, &parent)
    }
}

/// `OTEL_RESOURCE_ATTRIBUTES` adds to it, as everywhere.
fn resource(settings: &TraceSettings<'_>) -> Resource {
    Resource::builder()
        .with_service_name("natter-gateway")
        .with_attributes([
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", settings.node_id.to_owned()),
            KeyValue::new("natter.node.name", settings.node_name.to_owned()),
        ])
        .build()
}

#[cfg(test)]
mod tests;
