//! A Centrifuge client reduced to the wire: JSON commands out, replies and pushes in, nothing hidden.
//!
//! The WebSocket side is `tokio-tungstenite`, which shares no code with the gateway's own framing.

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::frame::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

/// The bound of every wait of a client, unless changed by [`Client::set_limit`].
const LIMIT: Duration = Duration::from_secs(10);

/// What carries the bytes.
trait Carrier: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Carrier for T {}

/// One connection of a test.
pub struct Client {
    socket: WebSocketStream<Box<dyn Carrier>>,
    /// Values read and not yet given out.
    waiting: VecDeque<Value>,
    close: Option<(u16, String)>,
    last_id: u32,
    answer_pings: bool,
    limit: Duration,
}

impl Client {
    /// Opens the WebSocket; no command is sent yet.
    pub async fn connect(url: &str) -> Result<Self> {
        Self::open(url).await
    }

    /// As [`connect`](Self::connect), by a request that may carry headers of its own.
    pub async fn open(request: impl IntoClientRequest) -> Result<Self> {
        let request = request.into_client_request().context("not a request")?;
        let url = request.uri().clone();
        let opening = async {
            let address = url.authority().context("no address")?.as_str();
            let stream: Box<dyn Carrier> = Box::new(TcpStream::connect(address).await?);
            Ok((client_async(request, stream).await?).0)
        };
        let opened: Result<Result<_>, _> = timeout(LIMIT, opening).await;
        let opened = opened.with_context(|| format!("{url} did not answer within {LIMIT:?}"))?;
        Ok(Self::on(opened.with_context(|| format!("cannot open {url}"))?))
    }

    /// Opens the WebSocket on a stream that is there already.
    pub async fn on_stream(
        stream: impl AsyncRead + AsyncWrite + Send + Sync + Unpin + 'static,
        request: impl IntoClientRequest,
    ) -> Result<Self> {
        let request = request.into_client_request().context("not a request")?;
        let stream: Box<dyn Carrier> = Box::new(stream);
        let opened = timeout(LIMIT, client_async(request, stream)).await;
        let (socket, _) = opened
            .context("no answer to the upgrade")?
            .context("cannot upgrade")?;
        Ok(Self::on(socket))
    }

    fn on(socket: WebSocketStream<Box<dyn Carrier>>) -> Self {
        Self {
            socket,
            waiting: VecDeque::new(),
            close: None,
            last_id: 0,
            answer_pings: true,
            limit: LIMIT,
        }
    }

    /// Opens the WebSocket and sends `{"connect": request}`; gives the client and the result of the command.
    pub async fn connected(url: &str, request: Value) -> Result<(Self, Value)> {
        let mut client = Self::connect(url).await?;
        let mut reply = client.request(json!({ "connect": request })).await?;
        ensure!(reply.get("connect").is_some(), "connect was answered by {reply}");
        Ok((client, reply["connect"].take()))
    }

    /// Whether pings (`{}`) are answered and kept from the caller (the default), or given out like anything else.
    pub fn answer_pings(&mut self, answer: bool) {
        self.answer_pings = answer;
    }

    /// Changes the bound of every wait.
    pub fn set_limit(&mut self, limit: Duration) {
        self.limit = limit;
    }

    /// Sends one JSON value in a text frame.
    pub async fn send(&mut self, command: &Value) -> Result<()> {
        self.send_text(command.to_string()).await
    }

    /// Sends several commands in one text frame, separated by newlines.
    pub async fn send_batch(&mut self, commands: &[Value]) -> Result<()> {
        let lines: Vec<_> = commands.iter().map(Value::to_string).collect();
        self.send_text(lines.join("\n")).await
    }

    /// Sends any text.
    pub async fn send_text(&mut self, text: impl Into<String>) -> Result<()> {
        self.send_message(Message::text(text.into())).await
    }

    /// Sends a binary frame.
    pub async fn send_binary(&mut self, bytes: impl Into<bytes::Bytes>) -> Result<()> {
        self.send_message(Message::binary(bytes)).await
    }

    async fn send_message(&mut self, message: Message) -> Result<()> {
        let sent = timeout(self.limit, self.socket.send(message)).await;
        sent.with_context(|| format!("could not send within {:?}", self.limit))?
            .context("cannot send")
    }

    /// The next reply or push, in order of arrival.
    pub async fn recv(&mut self) -> Result<Value> {
        self.recv_until(Instant::now() + self.limit).await
    }

    /// The next reply or push that fits; others stay for later, in order.
    pub async fn recv_where(&mut self, fits: impl Fn(&Value) -> bool) -> Result<Value> {
        let deadline = Instant::now() + self.limit;
        let mut aside = VecDeque::new();
        let found = loop {
            match self.recv_until(deadline).await {
                Ok(value) if fits(&value) => break Ok(value),
                Ok(value) => aside.push_back(value),
                Err(error) => break Err(error),
            }
        };
        let seen = aside.len();
        aside.append(&mut self.waiting);
        self.waiting = aside;
        found.with_context(|| format!("{seen} other values are waiting: {:?}", self.waiting.back()))
    }

    /// Sends a command under the next id and waits for the reply of that id; pushes stay for later.
    pub async fn request(&mut self, mut command: Value) -> Result<Value> {
        self.last_id += 1;
        let id = Value::from(self.last_id);
        command
            .as_object_mut()
            .context("a command is a JSON object")?
            .insert("id".to_owned(), id.clone());
        self.send(&command).await?;
        self.recv_where(|value| value["id"] == id)
            .await
            .with_context(|| format!("no reply to {command}"))
    }

    /// The next push: the value of `push`, with `channel` and `pub`, `join`, `disconnect` or another kind in it.
    pub async fn push(&mut self) -> Result<Value> {
        let mut value = self
            .recv_where(|value| value.get("push").is_some())
            .await
            .context("no push")?;
        Ok(value["push"].take())
    }

    /// Waits until the server closes, keeping what comes before; gives the code and the reason of its close frame.
    pub async fn close_frame(&mut self) -> Result<(u16, String)> {
        let deadline = Instant::now() + self.limit;
        while self.close.is_none() {
            match self.read(deadline).await {
                Ok(values) => self.waiting.extend(values),
                Err(_) if self.close.is_some() => {}
                Err(error) => return Err(error),
            }
        }
        self.close
            .clone()
            .context("the server closed without a close frame")
    }

    /// Closes with the normal code and waits for the server's answer.
    pub async fn close(mut self) -> Result<()> {
        let closed = timeout(self.limit, async {
            self.socket.close(None).await?;
            while let Some(message) = self.socket.next().await {
                message?;
            }
            Ok::<_, Error>(())
        });
        match closed
            .await
            .with_context(|| format!("the close was not answered within {:?}", self.limit))?
        {
            Ok(()) | Err(Error::ConnectionClosed) => Ok(()),
            Err(error) => Err(error).context("cannot close"),
        }
    }

    /// What has been received and not given out yet.
    pub fn waiting(&self) -> impl Iterator<Item = &Value> {
        self.waiting.iter()
    }

    async fn recv_until(&mut self, deadline: Instant) -> Result<Value> {
        loop {
            if let Some(value) = self.waiting.pop_front() {
                return Ok(value);
            }
            let values = self.read(deadline).await?;
            self.waiting.extend(values);
        }
    }

    /// The values of one frame; pings are answered here.
    async fn read(&mut self, deadline: Instant) -> Result<Vec<Value>> {
        let Ok(message) = timeout_at(deadline, self.socket.next()).await else {
            bail!("nothing within {:?}", self.limit);
        };
        match message {
            Some(Ok(Message::Text(text))) => self.values(&text).await,
            Some(Ok(Message::Close(frame))) => {
                // 1005: no status received (RFC 6455 section 7.4.1).
                let (code, reason) = frame.as_ref().map_or((1005, String::new()), parts);
                let error = anyhow::anyhow!("the server closed with {code} {reason:?}");
                self.close = Some((code, reason));
                // The library has queued the answering close frame; a server may wait for it. One that is gone does not.
                let _ = timeout_at(deadline, self.socket.flush()).await;
                Err(error)
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(Vec::new()),
            Some(Ok(other)) => bail!("unexpected frame {other:?}"),
            Some(Err(error)) => Err(error).context("the connection broke"),
            None => bail!("the connection is at its end"),
        }
    }

    async fn values(&mut self, text: &str) -> Result<Vec<Value>> {
        let mut values = Vec::new();
        for line in text.lines() {
            let value: Value = serde_json::from_str(line).with_context(|| format!("not JSON: {line}"))?;
            if self.answer_pings && value == json!({}) {
                self.send_text("{}").await?;
            } else {
                values.push(value);
            }
        }
        Ok(values)
    }
}

fn parts(frame: &CloseFrame) -> (u16, String) {
    (frame.code.into(), frame.reason.as_str().to_owned())
}

#[cfg(test)]
mod tests;
