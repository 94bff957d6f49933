//! A backend whose answers the test gives one by one.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use natter_tests::gateway::Gateway;
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot},
    time::timeout,
};

use crate::scene::{LIMIT, gateway};

type Answer = oneshot::Sender<Response>;
type Door = mpsc::UnboundedSender<Asked>;

/// A backend that listens until it is dropped.
pub(crate) struct Backend {
    address: String,
    asked: mpsc::UnboundedReceiver<Asked>,
}

/// A request that waits for its answer; dropped, its connection ends.
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Value,
    answer: Answer,
}

async fn ask(State(door): State<Door>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let (answer, given) = oneshot::channel();
    let text = |value: &axum::http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let asked = Asked {
        path: uri.path().to_owned(),
        headers: headers
            .iter()
            .map(|(name, value)| (name.to_string(), text(value)))
            .collect(),
        body: serde_json::from_slice(&body).unwrap_or_default(),
        answer,
    };
    // The test has ended.
    let _ = door.send(asked);
    let gone = || StatusCode::INTERNAL_SERVER_ERROR.into_response();
    given.await.unwrap_or_else(|_| gone())
}

impl Backend {
    pub(crate) async fn start() -> Result<Self> {
        let (door, asked) = mpsc::unbounded_channel();
        let router = Router::new().fallback(ask).with_state(door);
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { address, asked })
    }

    /// A gateway that knows this backend as `backend`, with `proxy` as more YAML of the proxy (begun by a comma) and `more`
    /// beside it.
    pub(crate) async fn gateway(&self, proxy: &str, more: &str) -> Result<Gateway> {
        let url = self.url();
        gateway(&format!(
            "proxies: [{{name: backend, endpoint: '{url}', timeout: 30s{proxy}}}]\n{more}"
        ))
        .await
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/ask", self.address)
    }

    /// The next request.
    pub(crate) async fn asked(&mut self) -> Result<Asked> {
        let asked = timeout(LIMIT, self.asked.recv()).await;
        asked.context("nobody asked")?.context("the backend ended")
    }

    /// Whether a request waits to be taken.
    pub(crate) fn is_asked(&self) -> bool {
        !self.asked.is_empty()
    }
}

impl Asked {
    pub(crate) fn answer(self, body: &Value) -> Result<()> {
        self.text(body.to_string())
    }

    pub(crate) fn text(self, body: impl IntoResponse) -> Result<()> {
        let given = self.answer.send(body.into_response());
        ensure!(given.is_ok(), "the gateway does not wait for this answer");
        Ok(())
    }

    pub(crate) fn result(self, result: &Value) -> Result<()> {
        self.answer(&json!({ "result": result }))
    }

    /// Waits until the gateway gives the request up.
    pub(crate) async fn given_up(mut self) -> Result<()> {
        timeout(LIMIT, self.answer.closed())
            .await
            .context("the gateway still waits")
    }
}
