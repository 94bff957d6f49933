use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::routing::post;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::*;
use crate::metrics::Metrics;

const SAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const UNSAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

/// Keeps the spans, or refuses them all.
#[derive(Clone, Debug, Default)]
struct Kept {
    spans: Arc<Mutex<Vec<SpanData>>>,
    refuse: bool,
}

impl SpanExporter for Kept {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        if self.refuse {
            return Err(OTelSdkError::InternalFailure("no collector".into()));
        }
        self.spans.lock().extend(batch);
        Ok(())
    }
}

fn tracer(sample_ratio: f64, exporter: &Kept, metrics: &Metrics) -> (Tracer, TraceGuard) {
    let provider = SdkTracerProvider::builder()
        .with_sampler(Sampler::AlwaysOn)
        .with_span_processor(export::processor(exporter.clone(), metrics.traces.clone()))
        .build();
    let enabled = Enabled {
        tracer: provider.tracer("test"),
        sample_ratio,
        messaging_system: "nats",
    };
    (
        Tracer {
            enabled: Some(Arc::new(enabled)),
        },
        TraceGuard { provider },
    )
}

fn attribute(span: &SpanData, key: &str) -> Option<String> {
    span.attributes
        .iter()
        .find(|entry| entry.key.as_str() == key)
        .map(|entry| entry.value.to_string())
}

#[tokio::test]
async fn a_message_is_one_trace_from_publish_to_delivery() {
    let (kept, metrics) = (Kept::default(), Metrics::new().unwrap());
    let (tracer, guard) = tracer(1.0, &kept, &metrics);
    let publish = tracer.publish("chat", "chat:lobby", "m1", Some(SAMPLED)).unwrap();
    let carried = publish.traceparent();
    drop(publish);
    let deliver = Arc::new(tracer.deliver("chat", "chat:lobby", "m1", &carried).unwrap());
    let other = deliver.clone();
    std::thread::spawn(move || other.add_members(3)).join().unwrap();
    deliver.add_members(2);
    drop(deliver);
    guard.shutdown().await;

    let spans = kept.spans.lock();
    let [publish, deliver] = spans.as_slice() else {
        panic!("{spans:?}")
    };
    assert_eq!(publish.name, "publish chat");
    assert_eq!(publish.span_kind, SpanKind::Producer);
    assert_eq!(publish.parent_span_id.to_string(), "b7ad6b7169203331");
    assert_eq!(deliver.name, "deliver chat");
    assert_eq!(deliver.span_kind, SpanKind::Consumer);
    assert_eq!(deliver.parent_span_id, publish.span_context.span_id());
    assert_eq!(
        deliver.span_context.trace_id().to_string(),
        "0af7651916cd43dd8448eb211c80319c"
    );
    for (key, value) in [
        ("messaging.system", "nats"),
        ("messaging.operation.type", "process"),
        ("messaging.destination.name", "chat:lobby"),
        ("messaging.message.id", "m1"),
        ("natter.members", "5"),
    ] {
        assert_eq!(attribute(deliver, key).as_deref(), Some(value), "{key}");
    }
    assert!(
        metrics
            .encode()
            .unwrap()
            .contains(r#"natter_trace_spans_total{result="exported"} 2"#)
    );
}

#[tokio::test]
async fn a_refused_publication_is_an_error_span() {
    let (kept, metrics) = (Kept::default(), Metrics::new().unwrap());
    let (tracer, guard) = tracer(1.0, &kept, &metrics);
    tracer
        .publish("chat", "chat:lobby", "m1", None)
        .unwrap()
        .fail("bus_down");
    guard.shutdown().await;
    let spans = kept.spans.lock();
    assert_eq!(spans[0].status, opentelemetry::trace::Status::error("bus_down"));
    assert_eq!(attribute(&spans[0], "error.type").as_deref(), Some("bus_down"));
}

#[tokio::test]
async fn the_parent_decides_before_the_ratio() {
    let (kept, metrics) = (Kept::default(), Metrics::new().unwrap());
    let (never, _guard) = tracer(0.0, &kept, &metrics);
    assert!(never.publish("chat", "chat:lobby", 1, None).is_none());
    assert!(never.publish("chat", "chat:lobby", 1, Some("garbage")).is_none());
    assert!(never.publish("chat", "chat:lobby", 1, Some(SAMPLED)).is_some());
    let (always, _guard) = tracer(1.0, &kept, &metrics);
    assert!(always.publish("chat", "chat:lobby", 1, None).is_some());
    assert!(always.publish("chat", "chat:lobby", 1, Some(UNSAMPLED)).is_none());
    assert!(always.deliver("chat", "chat:lobby", 1, UNSAMPLED).is_none());
    assert!(always.deliver("chat", "chat:lobby", 1, "garbage").is_none());
    assert!(
        Tracer::disabled()
            .publish("chat", "chat:lobby", 1, Some(SAMPLED))
            .is_none()
    );
}

#[tokio::test]
async fn failed_exports_are_counted() {
    let (kept, metrics) = (
        Kept {
            refuse: true,
            ..Kept::default()
        },
        Metrics::new().unwrap(),
    );
    let (tracer, guard) = tracer(1.0, &kept, &metrics);
    for message in 0..3 {
        drop(tracer.publish("chat", "chat:lobby", message, None));
    }
    guard.shutdown().await;
    let text = metrics.encode().unwrap();
    assert!(
        text.contains(r#"natter_trace_spans_total{result="failed"} 3"#),
        "{text}"
    );
}

#[tokio::test]
async fn spans_reach_a_collector_by_http() {
    let (sender, mut bodies) = mpsc::unbounded_channel::<Bytes>();
    let collector = Router::new().route(
        "/v1/traces",
        post(move |body: Bytes| async move {
            sender.send(body).unwrap();
            StatusCode::OK
        }),
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move { axum::serve(listener, collector).await });

    let metrics = Metrics::new().unwrap();
    let settings = TraceSettings {
        endpoint: &endpoint,
        collector: &TracingSettings::default(),
        sample_ratio: 1.0,
        node_id: "node-1",
        node_name: "gateway-a",
        messaging_system: "natter-embedded",
    };
    let (tracer, guard) = Tracer::start(&settings, metrics.traces.clone()).unwrap();
    drop(tracer.publish("chat", "chat:lobby", "m1", None));
    guard.shutdown().await;
    let body = bodies.recv().await.unwrap();
    for text in [
        "natter-gateway",
        "node-1",
        "gateway-a",
        "publish chat",
        "chat:lobby",
    ] {
        assert!(
            body.windows(text.len()).any(|window| window == text.as_bytes()),
            "{text}"
        );
    }
    server.abort();
}

#[tokio::test]
async fn a_collector_that_hangs_does_not_hold_the_shutdown() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let settings = TraceSettings {
        endpoint: &endpoint,
        collector: &TracingSettings::default(),
        sample_ratio: 1.0,
        node_id: "",
        node_name: "",
        messaging_system: "nats",
    };
    let (tracer, guard) = Tracer::start(&settings, Metrics::new().unwrap().traces).unwrap();
    drop(tracer.publish("chat", "chat:lobby", "m1", None));
    let began = tokio::time::Instant::now();
    guard.shutdown().await;
    assert!(began.elapsed() < EXPORT_TIMEOUT, "{:?}", began.elapsed());
}
