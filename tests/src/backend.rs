//! A backend whose answers the test gives one by one.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result, ensure};
use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot},
    time::timeout,
};

/// The longest wait for a question, or for a gateway to give one up.
const LIMIT: Duration = Duration::from_secs(10);

type Answer = oneshot::Sender<Response>;
type Door = mpsc::UnboundedSender<Asked>;

/// A backend that listens until it is dropped.
pub struct Backend {
    address: String,
    asked: mpsc::UnboundedReceiver<Asked>,
}

/// A request that waits for its answer; dropped, its connection ends.
pub struct Asked {
    pub path: String,
    pub headers: BTreeMap<String, String>,
    pub body: Value,
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
    /// Listens on a free port.
    pub async fn start() -> Result<Self> {
        let (door, asked) = mpsc::unbounded_channel();
        let router = Router::new().fallback(ask).with_state(door);
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { address, asked })
    }

    /// The YAML of a gateway that knows this backend as `backend`, with `more` of the proxy (begun by a comma).
    pub fn proxies(&self, more: &str) -> String {
        format!("proxies: [{}]\n", self.proxy("backend", more))
    }

    /// The same as one of several `proxies`, under any name.
    pub fn proxy(&self, name: &str, more: &str) -> String {
        format!("{{name: {name}, endpoint: '{}', timeout: 30s{more}}}", self.url())
    }

    pub fn url(&self) -> String {
        format!("http://{}/ask", self.address)
    }

    /// The next request.
    pub async fn asked(&mut self) -> Result<Asked> {
        let asked = timeout(LIMIT, self.asked.recv()).await;
        asked.context("nobody asked")?.context("the backend ended")
    }

    /// Whether a request waits to be taken.
    pub fn is_asked(&self) -> bool {
        !self.asked.is_empty()
    }
}

impl Asked {
    pub fn answer(self, body: &Value) -> Result<()> {
        self.text(body.to_string())
    }

    pub fn text(self, body: impl IntoResponse) -> Result<()> {
        let given = self.answer.send(body.into_response());
        ensure!(given.is_ok(), "the gateway does not wait for this answer");
        Ok(())
    }

    pub fn result(self, result: &Value) -> Result<()> {
        self.answer(&json!({ "result": result }))
    }

    /// Waits until the gateway gives the request up.
    pub async fn given_up(mut self) -> Result<()> {
        timeout(LIMIT, self.answer.closed())
            .await
            .context("the gateway still waits")
    }
}
