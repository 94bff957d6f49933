//! An OTLP/HTTP receiver that decodes the spans a gateway exports.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use parking_lot::Mutex;
use prost::Message;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::secrets;
use crate::wait::eventually;

/// The media type of OTLP/HTTP with Protobuf bodies (OTLP specification, section OTLP/HTTP).
const PROTOBUF: &str = "application/x-protobuf";

/// One span as exported; ids are lower-case hexadecimal, as in `traceparent`.
#[derive(Clone, Debug)]
pub struct Span {
    pub name: String,
    pub trace_id: String,
    pub span_id: String,
    /// Empty for the root of a trace.
    pub parent_id: String,
    pub kind: SpanKind,
    pub attributes: BTreeMap<String, Value>,
    /// What describes the exporting process: `service.name` and others.
    pub resource: BTreeMap<String, Value>,
    /// Trace and span id of each linked span.
    pub links: Vec<(String, String)>,
    /// Nanoseconds since 1970.
    pub start: u64,
    /// Nanoseconds since 1970.
    pub end: u64,
}

/// A receiver of this test on a port of its own.
pub struct OtlpReceiver {
    address: SocketAddr,
    spans: Arc<Mutex<Vec<Span>>>,
    task: JoinHandle<()>,
}

impl OtlpReceiver {
    /// Starts a receiver on a free loopback port.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .context("cannot bind the OTLP receiver")?;
        let address = listener
            .local_addr()
            .context("cannot read the receiver's address")?;
        let spans = Arc::new(Mutex::default());
        let router = Router::new()
            .route("/v1/traces", post(receive))
            .with_state(Arc::clone(&spans));
        let task = tokio::spawn(async move {
            // Accepting goes on after errors, so this ends only when the receiver is dropped.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { address, spans, task })
    }

    /// The base endpoint, as `OTEL_EXPORTER_OTLP_ENDPOINT` wants it: without `/v1/traces`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The full URL of the traces signal.
    pub fn traces_url(&self) -> String {
        format!("{}/v1/traces", self.endpoint())
    }

    /// Every span so far, in order of arrival.
    pub fn spans(&self) -> Vec<Span> {
        self.spans.lock().clone()
    }

    /// Waits for a span that fits.
    pub async fn wait_span(&self, fits: impl Fn(&Span) -> bool, limit: Duration) -> Result<Span> {
        eventually("a span arrives", limit, async || {
            let spans = self.spans.lock();
            let found = spans.iter().find(|span| fits(span)).cloned();
            found.ok_or_else(|| format!("{:?}", spans.iter().map(|span| &span.name).collect::<Vec<_>>()))
        })
        .await
    }
}

impl Drop for OtlpReceiver {
    fn drop(&mut self) {
        self.task.abort();
        let spans = self.spans.lock();
        let leaks = spans
            .iter()
            .flat_map(|span| secrets::shown_in("a span", &format!("{span:?}")));
        secrets::fail(&leaks.collect::<Vec<_>>());
    }
}

type Answer = Result<([(header::HeaderName, &'static str); 1], Vec<u8>), (StatusCode, String)>;

async fn receive(State(spans): State<Arc<Mutex<Vec<Span>>>>, headers: HeaderMap, body: Bytes) -> Answer {
    if headers
        .get(header::CONTENT_TYPE)
        .is_none_or(|media| media != PROTOBUF)
    {
        return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, format!("expected {PROTOBUF}")));
    }
    let request = ExportTraceServiceRequest::decode(body);
    let request = request.map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))?;
    spans.lock().extend(flatten(request));
    Ok((
        [(header::CONTENT_TYPE, PROTOBUF)],
        ExportTraceServiceResponse::default().encode_to_vec(),
    ))
}

fn flatten(request: ExportTraceServiceRequest) -> Vec<Span> {
    let mut found = Vec::new();
    for exported in request.resource_spans {
        let resource = attributes(exported.resource.unwrap_or_default().attributes);
        for span in exported.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            found.push(Span {
                kind: span.kind(),
                name: span.name,
                trace_id: hex(&span.trace_id),
                span_id: hex(&span.span_id),
                parent_id: hex(&span.parent_span_id),
                attributes: attributes(span.attributes),
                resource: resource.clone(),
                links: span
                    .links
                    .iter()
                    .map(|link| (hex(&link.trace_id), hex(&link.span_id)))
                    .collect(),
                start: span.start_time_unix_nano,
                end: span.end_time_unix_nano,
            });
        }
    }
    found
}

fn attributes(pairs: Vec<KeyValue>) -> BTreeMap<String, Value> {
    pairs
        .into_iter()
        .map(|pair| (pair.key, pair.value.map_or(Value::Null, json)))
        .collect()
}

fn json(value: AnyValue) -> Value {
    match value.value {
        Some(any_value::Value::StringValue(text)) => text.into(),
        Some(any_value::Value::BoolValue(flag)) => flag.into(),
        Some(any_value::Value::IntValue(number)) => number.into(),
        Some(any_value::Value::DoubleValue(number)) => number.into(),
        Some(any_value::Value::ArrayValue(array)) => array.values.into_iter().map(json).collect(),
        Some(any_value::Value::KvlistValue(list)) => attributes(list.values).into_iter().collect(),
        Some(any_value::Value::BytesValue(bytes)) => hex(&bytes).into(),
        _ => Value::Null,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::resource::v1::Resource;
    use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span as WireSpan};

    use super::*;
    use crate::http;

    const LIMIT: Duration = Duration::from_secs(5);

    fn attribute(key: &str, value: any_value::Value) -> KeyValue {
        KeyValue {
            key: key.to_owned(),
            value: Some(AnyValue { value: Some(value) }),
            ..KeyValue::default()
        }
    }

    fn request() -> ExportTraceServiceRequest {
        let span = WireSpan {
            name: "deliver".to_owned(),
            trace_id: vec![0xab; 16],
            span_id: vec![1; 8],
            parent_span_id: vec![2; 8],
            kind: SpanKind::Consumer.into(),
            attributes: vec![attribute("members", any_value::Value::IntValue(3))],
            ..WireSpan::default()
        };
        let service = attribute(
            "service.name",
            any_value::Value::StringValue("natter-gateway".to_owned()),
        );
        let resource = Some(Resource {
            attributes: vec![service],
            ..Resource::default()
        });
        let scope_spans = vec![ScopeSpans {
            spans: vec![span],
            ..ScopeSpans::default()
        }];
        let resource_spans = vec![ResourceSpans {
            resource,
            scope_spans,
            ..ResourceSpans::default()
        }];
        ExportTraceServiceRequest { resource_spans }
    }

    async fn post(receiver: &OtlpReceiver, media: &str, body: Vec<u8>) -> u16 {
        let request = http::client()
            .unwrap()
            .post(receiver.traces_url())
            .header("content-type", media);
        request.body(body).send().await.unwrap().status().as_u16()
    }

    #[tokio::test]
    async fn decodes_an_export() {
        let receiver = OtlpReceiver::start().await.unwrap();
        assert_eq!(post(&receiver, PROTOBUF, request().encode_to_vec()).await, 200);
        let span = receiver
            .wait_span(|span| span.name == "deliver", LIMIT)
            .await
            .unwrap();
        assert_eq!(
            (span.trace_id.as_str(), span.parent_id.as_str()),
            ("abababababababababababababababab", "0202020202020202")
        );
        assert_eq!(
            (&span.attributes["members"], &span.resource["service.name"]),
            (&3.into(), &"natter-gateway".into())
        );
        assert_eq!(span.kind, SpanKind::Consumer);
    }

    #[tokio::test]
    async fn refuses_what_it_cannot_read() {
        let receiver = OtlpReceiver::start().await.unwrap();
        assert_eq!(post(&receiver, "application/json", b"{}".to_vec()).await, 415);
        assert_eq!(post(&receiver, PROTOBUF, vec![0xff; 7]).await, 400);
        assert!(receiver.spans().is_empty());
    }
}
