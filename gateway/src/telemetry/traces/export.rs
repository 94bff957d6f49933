//! The way of ended spans to the collector: a bounded queue, a thread that exports, counters and few log
//! lines.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Span, SpanData, SpanExporter, SpanProcessor,
};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::metrics::TraceMetrics;

/// Spans that wait or are being exported; more are dropped and counted.
const QUEUE: usize = 4096;
const BATCH: usize = 512;
/// How long a span waits for others.
const DELAY: Duration = Duration::from_secs(2);
/// A collector that stays away is mentioned so often.
const REMIND_EVERY: Duration = Duration::from_mins(1);

/// Queue, thread and exporter in one.
pub(super) fn processor<E: SpanExporter + 'static>(
    exporter: E,
    metrics: TraceMetrics,
) -> impl SpanProcessor + 'static {
    let queued = Arc::new(AtomicUsize::new(0));
    let exporter = CountingExporter {
        inner: exporter,
        queued: queued.clone(),
        metrics: metrics.clone(),
        outage: Mutex::default(),
    };
    let config = BatchConfigBuilder::default()
        .with_max_queue_size(QUEUE)
        .with_max_export_batch_size(BATCH)
        .with_scheduled_delay(DELAY)
        .build();
    BoundedProcessor {
        inner: BatchSpanProcessor::new(exporter, config),
        queued,
        metrics,
    }
}

/// The SDK's processor drops spans silently when its queue is full; this one bounds and counts before it.
#[derive(Debug)]
struct BoundedProcessor {
    inner: BatchSpanProcessor,
    queued: Arc<AtomicUsize>,
    metrics: TraceMetrics,
}

impl SpanProcessor for BoundedProcessor {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.inner.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if self.queued.fetch_add(1, Ordering::Relaxed) < QUEUE {
            return self.inner.on_end(span);
        }
        self.queued.fetch_sub(1, Ordering::Relaxed);
        self.metrics.dropped();
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

#[derive(Debug)]
struct CountingExporter<E> {
    inner: E,
    queued: Arc<AtomicUsize>,
    metrics: TraceMetrics,
    outage: Mutex<Option<Outage>>,
}

/// Exports fail since some time.
#[derive(Debug)]
struct Outage {
    mentioned: Instant,
    lost: usize,
}

impl<E> CountingExporter<E> {
    fn succeeded(&self, spans: usize) {
        self.metrics.exported(spans as u64);
        if let Some(outage) = self.outage.lock().take() {
            tracing::info!(lost = outage.lost, "spans are exported again");
        }
    }

    fn failed(&self, spans: usize, error: &OTelSdkError) {
        self.metrics.failed(spans as u64);
        let mut outage = self.outage.lock();
        let lost = spans + outage.as_ref().map_or(0, |outage| outage.lost);
        let mentioned = match outage.as_ref() {
            Some(outage) if outage.mentioned.elapsed() < REMIND_EVERY => outage.mentioned,
            _ => {
                tracing::warn!(%error, lost, "spans cannot be exported");
                Instant::now()
            }
        };
        *outage = Some(Outage { mentioned, lost });
    }
}

impl<E: SpanExporter> SpanExporter for CountingExporter<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let result = self.inner.export(batch).await;
        match &result {
            Ok(()) => self.succeeded(spans),
            Err(error) => self.failed(spans, error),
        }
        self.queued.fetch_sub(spans, Ordering::Relaxed);
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn shutdown(&self) -> OTelSdkResult {
        self.inner.shutdown()
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}
