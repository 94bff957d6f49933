//! An answer that does not end, and requests that speak for it.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use reqwest::{Client, RequestBuilder, Response, Url};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{Encoding, LIMIT, emulation_request};

pub(super) struct Stream {
    http: Client,
    emulation: String,
    response: Response,
    unread: Vec<u8>,
    /// What the connect reply says of the session and its gateway.
    names: Value,
}

impl Stream {
    /// Server-sent events, which are JSON.
    pub(super) async fn events(gateway: SocketAddr, first: Vec<u8>) -> Result<Self> {
        let first = String::from_utf8(first)?;
        let url = Url::parse_with_params(
            &format!("http://{gateway}/connection/sse"),
            [("cf_connect", first)],
        )?;
        Self::start(gateway, |http| http.get(url)).await
    }

    pub(super) async fn body(gateway: SocketAddr, encoding: Encoding, first: Vec<u8>) -> Result<Self> {
        let url = format!("http://{gateway}/connection/http_stream");
        Self::start(gateway, |http| typed(http.post(url), encoding).body(first)).await
    }

    async fn start(gateway: SocketAddr, request: impl FnOnce(&Client) -> RequestBuilder) -> Result<Self> {
        let http = Client::builder().no_proxy().build()?;
        let response = timeout(LIMIT, request(&http).send()).await??;
        ensure!(response.status() == 200, "{}", response.status());
        Ok(Self {
            http,
            emulation: format!("http://{gateway}/emulation"),
            response,
            unread: Vec::new(),
            names: json!({}),
        })
    }

    /// Remembers whom later requests are for.
    pub(super) fn open(&mut self, connected: &Value) {
        self.names = connected.clone();
    }

    /// What has come, at least one message; `None` at the end.
    pub(super) async fn read(&mut self, encoding: Encoding) -> Result<Option<Vec<Value>>> {
        let mut messages = Vec::new();
        loop {
            while let Some(message) = encoding.take(&mut self.unread)? {
                messages.push(message);
            }
            if !messages.is_empty() {
                return Ok(Some(messages));
            }
            match self.response.chunk().await {
                Ok(Some(chunk)) => self.unread.extend_from_slice(&chunk),
                Ok(None) | Err(_) => return Ok(None),
            }
        }
    }

    pub(super) async fn write(&self, encoding: Encoding, commands: Vec<u8>) -> Result<()> {
        let body = emulation_request(encoding, &self.names, &commands)?;
        let request = typed(self.http.post(&self.emulation), encoding).body(body);
        let answer = timeout(LIMIT, request.send()).await?.context("/emulation")?;
        ensure!(answer.status() == 204, "/emulation: {}", answer.status());
        Ok(())
    }
}

fn typed(request: RequestBuilder, encoding: Encoding) -> RequestBuilder {
    request.header("content-type", encoding.media_type())
}
