//! One request to a backend.

use std::io;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Collected, Full, LengthLimitError, Limited};

use crate::{
    config::{ProxySettings, ProxyUrl},
    outbound::{self, Authorities, HttpClient, chain},
};

pub(super) struct Http {
    client: HttpClient,
    endpoint: ProxyUrl,
    answer_max_size: usize,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    /// The backend saw nothing of it.
    #[error("the request could not be sent: {0}")]
    Unsent(String),
    /// It may have seen all of it.
    #[error("the connection ended: {0}")]
    Cut(String),
    #[error("it was answered with status {0}")]
    Status(StatusCode),
    #[error("the answer is too large")]
    TooLarge,
}

impl Http {
    pub(super) fn new(settings: &ProxySettings) -> io::Result<Self> {
        // The settings were validated: without an endpoint there is no proxy.
        let endpoint = settings.endpoint.clone().ok_or(io::ErrorKind::InvalidInput)?;
        let authorities = Authorities::of(endpoint.is_secure(), settings.ca_file.as_deref());
        let client = outbound::client(authorities, None, settings.max_in_flight)?;
        Ok(Self {
            client,
            endpoint,
            answer_max_size: settings.answer_max_size,
        })
    }

    /// The body of the answer.
    pub(super) async fn post(&self, headers: HeaderMap, body: Bytes) -> Result<Bytes, Failed> {
        let mut request = Request::post(self.endpoint.uri().clone())
            .body(Full::new(body))
            .map_err(|error| Failed::Unsent(error.to_string()))?;
        *request.headers_mut() = headers;
        let answer = self
            .client
            .request(request)
            .await
            .map_err(|error| failed(&error))?;
        if answer.status() != StatusCode::OK {
            return Err(Failed::Status(answer.status()));
        }
        let read = Limited::new(answer.into_body(), self.answer_max_size).collect();
        read.await.map(Collected::to_bytes).map_err(|error| {
            if error.is::<LengthLimitError>() {
                Failed::TooLarge
            } else {
                Failed::Cut(error.to_string())
            }
        })
    }
}

fn failed(error: &hyper_util::client::legacy::Error) -> Failed {
    let source = std::error::Error::source(error);
    let is_unsent = error.is_connect()
        || source
            .and_then(|source| source.downcast_ref::<hyper::Error>())
            .is_some_and(hyper::Error::is_canceled);
    let text = chain(error);
    if is_unsent {
        Failed::Unsent(text)
    } else {
        Failed::Cut(text)
    }
}
