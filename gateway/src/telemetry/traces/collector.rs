//! The requests to the collector: by the gateway's own client, so that TLS is what it is elsewhere, with headers whose values
//! stand in a file.

use std::{io, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::ResponseFuture;
use opentelemetry_http::HttpError;
use tokio::{runtime::Handle, time::timeout};

use super::EXPORT_TIMEOUT;
use crate::{
    config::{StaticHeader, TracingSettings},
    outbound::{self, Authorities, HttpClient, Identity},
    proxy::read_headers,
    watched_file::WatchedFile,
};

/// How soon a file of headers that was replaced is read again.
const FRESH: Duration = Duration::from_secs(5);
/// Largest answer in bytes; nobody reads it but for its status.
const MAX_ANSWER: usize = 64 * 1024;
/// One batch is on its way at a time.
const CONNECTIONS: usize = 1;

/// What a file of the collector's settings is good for, or why it is not.
#[derive(Debug, thiserror::Error)]
pub enum CollectorError {
    #[error("tracing.otlp_headers_file: {0}")]
    Headers(#[from] crate::proxy::HeadersError),
    #[error("TLS to the collector: {0}")]
    Tls(#[from] io::Error),
}

/// Sends spans.
#[derive(Debug)]
pub(super) struct Collector {
    client: HttpClient,
    /// Drives the requests; exports run on a thread of their own.
    runtime: Handle,
    headers: Option<WatchedFile<Vec<StaticHeader>>>,
}

impl Collector {
    pub(super) fn new(settings: &TracingSettings, runtime: Handle) -> Result<Self, CollectorError> {
        let is_secure = settings
            .otlp_endpoint
            .as_ref()
            .is_some_and(|endpoint| endpoint.starts_with("https:"));
        let identity = match (&settings.otlp_certificate_file, &settings.otlp_key_file) {
            (Some(certificate), Some(key)) => Some(Identity { certificate, key }),
            _ => None,
        };
        let authorities = Authorities::of(is_secure, settings.otlp_ca_file.as_deref());
        let headers = settings
            .otlp_headers_file
            .clone()
            .map(|path| WatchedFile::open("headers for the collector", FRESH, move || read_headers(&path)));
        Ok(Self {
            client: outbound::client(authorities, identity, CONNECTIONS)?,
            runtime,
            headers: headers.transpose()?,
        })
    }
}

#[async_trait]
impl opentelemetry_http::HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let mut request = request.map(Full::new);
        let headers = self.headers.as_ref().map(WatchedFile::current);
        for header in headers.iter().flat_map(|headers| headers.iter()) {
            let StaticHeader { name, value } = header.clone();
            request.headers_mut().insert(name, value);
        }
        let asking = self.client.request(request);
        // The time limit begins where there is a clock.
        let asked = self
            .runtime
            .spawn(async move { timeout(EXPORT_TIMEOUT, answer(asking)).await });
        Ok(asked.await???)
    }
}

async fn answer(asking: ResponseFuture) -> Result<Response<Bytes>, String> {
    let response = asking.await.map_err(|error| outbound::chain(&error))?;
    let (parts, body) = response.into_parts();
    let body = Limited::new(body, MAX_ANSWER).collect().await;
    let body = body.map_err(|error| outbound::chain(&*error))?;
    Ok(Response::from_parts(parts, body.to_bytes()))
}
