//! Clients of every transport and encoding, reduced to the wire: commands in, replies and pushes out, all as JSON values.
//!
//! What a reply is does not depend on how it came: [`canonical`] makes the two encodings comparable.

mod protobuf;
mod schema;
mod stream;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use stream::Stream;

/// The bound of every wait.
const LIMIT: Duration = Duration::from_secs(20);

/// What carries commands and replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    WebSocket,
    Sse,
    HttpStream,
}

/// How commands and replies are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Json,
    Protobuf,
}

/// One connection.
pub struct Wire {
    carrier: Carrier,
    encoding: Encoding,
    waiting: VecDeque<Value>,
    last_id: u32,
    pings: u32,
    pong: bool,
}

enum Carrier {
    Socket(Box<WebSocketStream<MaybeTlsStream<TcpStream>>>),
    Stream(Box<Stream>),
}

/// A reply as both encodings have it: fields that hold their default are left out.
pub fn canonical(reply: &Value) -> Result<Value> {
    let bytes = protobuf::encode(schema::REPLY, reply).with_context(|| format!("{reply} is no reply"))?;
    protobuf::decode(schema::REPLY, &bytes)
}

/// The body of a request that says `commands` in the name of a stream, itself in `encoding`; `names` has `session` and `node`.
pub fn emulation_request(encoding: Encoding, names: &Value, commands: &[u8]) -> Result<Vec<u8>> {
    let mut request = json!({ "session": names["session"], "node": names["node"] });
    if encoding == Encoding::Json {
        request["data"] = std::str::from_utf8(commands)?.into();
        return Ok(request.to_string().into_bytes());
    }
    let mut body = protobuf::encode(schema::EMULATION, &request)?;
    body.push(schema::EMULATION_DATA);
    protobuf::put_bytes(&mut body, commands);
    Ok(body)
}

impl Wire {
    /// Opens a connection and sends its connect command; gives the client and the whole reply.
    pub async fn connect(
        gateway: SocketAddr,
        transport: Transport,
        encoding: Encoding,
        request: Value,
    ) -> Result<(Self, Value)> {
        let first = encoding.write(&[json!({ "id": 1, "connect": request })])?;
        let mut wire = Self::open(gateway, transport, encoding, first).await?;
        let reply = wire.recv().await?.context("it ended at once")?;
        wire.pong = reply["connect"]["pong"] == true;
        if let Carrier::Stream(stream) = &mut wire.carrier {
            stream.open(&reply["connect"]);
        }
        Ok((wire, reply))
    }

    /// Opens a connection with any bytes as its first frame or request; no answer is waited for.
    pub async fn open(
        gateway: SocketAddr,
        transport: Transport,
        encoding: Encoding,
        first: Vec<u8>,
    ) -> Result<Self> {
        let with = |carrier| Self {
            carrier,
            encoding,
            waiting: VecDeque::new(),
            last_id: 1,
            pings: 0,
            pong: false,
        };
        let stream = match transport {
            Transport::WebSocket => {
                let mut wire = with(Carrier::Socket(Box::new(socket(gateway, encoding).await?)));
                wire.send_bytes(first).await?;
                return Ok(wire);
            }
            Transport::Sse => Stream::events(gateway, first).await?,
            Transport::HttpStream => Stream::body(gateway, encoding, first).await?,
        };
        Ok(with(Carrier::Stream(Box::new(stream))))
    }

    /// Sends commands together: in one frame, or in one request.
    pub async fn send(&mut self, commands: &[Value]) -> Result<()> {
        let bytes = self.encoding.write(commands)?;
        self.send_bytes(bytes).await
    }

    /// Sends any bytes as one frame or request.
    pub async fn send_bytes(&mut self, bytes: Vec<u8>) -> Result<()> {
        match &mut self.carrier {
            Carrier::Stream(stream) => stream.write(self.encoding, bytes).await,
            Carrier::Socket(socket) => {
                let message = match self.encoding {
                    Encoding::Json => Message::text(String::from_utf8(bytes)?),
                    Encoding::Protobuf => Message::binary(bytes),
                };
                timeout(LIMIT, socket.send(message)).await?.context("cannot send")
            }
        }
    }

    /// Sends a command under the next id and waits for its reply; pushes stay for later.
    pub async fn request(&mut self, mut command: Value) -> Result<Value> {
        let id = self.next_id();
        command["id"] = id.into();
        self.send(&[command]).await?;
        self.recv_where(|value| value["id"] == id).await
    }

    /// An id that no command had yet.
    pub fn next_id(&mut self) -> u32 {
        self.last_id += 1;
        self.last_id
    }

    /// The next value that fits; others stay for later, in order.
    pub async fn recv_where(&mut self, fits: impl Fn(&Value) -> bool) -> Result<Value> {
        let mut aside = VecDeque::new();
        let found = loop {
            match self.recv().await? {
                Some(value) if fits(&value) => break value,
                Some(value) => aside.push_back(value),
                None => bail!("the connection ended; before that came {aside:?}"),
            }
        };
        aside.append(&mut self.waiting);
        self.waiting = aside;
        Ok(found)
    }

    /// The next reply or push; `None` at the end. How a WebSocket was closed is given as a stream says it.
    pub async fn recv(&mut self) -> Result<Option<Value>> {
        loop {
            if let Some(value) = self.waiting.pop_front() {
                return Ok(Some(value));
            }
            if !self.fill().await? {
                return Ok(None);
            }
        }
    }

    /// Waits until the server has pinged so often.
    pub async fn pinged(&mut self, times: u32) -> Result<()> {
        while self.pings < times {
            ensure!(self.fill().await?, "the connection ended");
        }
        Ok(())
    }

    /// Reads what has come, and answers pings; false at the end.
    async fn fill(&mut self) -> Result<bool> {
        let values = timeout(LIMIT, self.read()).await;
        let values = values.with_context(|| format!("nothing within {LIMIT:?}"))??;
        let Some(values) = values else { return Ok(false) };
        for value in values {
            if value == json!({}) {
                self.ping().await?;
            } else {
                self.waiting.push_back(value);
            }
        }
        Ok(true)
    }

    async fn ping(&mut self) -> Result<()> {
        self.pings += 1;
        if self.pong {
            self.send(&[json!({})]).await?;
        }
        Ok(())
    }

    async fn read(&mut self) -> Result<Option<Vec<Value>>> {
        let Carrier::Socket(socket) = &mut self.carrier else {
            let Carrier::Stream(stream) = &mut self.carrier else {
                return Ok(None);
            };
            return stream.read(self.encoding).await;
        };
        match socket.next().await {
            Some(Ok(Message::Text(text))) => self.encoding.read(text.as_bytes()).map(Some),
            Some(Ok(Message::Binary(bytes))) => self.encoding.read(&bytes).map(Some),
            Some(Ok(Message::Close(Some(frame)))) => {
                let (code, reason) = (u16::from(frame.code), frame.reason.as_str());
                Ok(Some(vec![
                    json!({ "push": { "disconnect": { "code": code, "reason": reason } } }),
                ]))
            }
            Some(Ok(other)) => bail!("unexpected frame {other:?}"),
            Some(Err(_)) | None => Ok(None),
        }
    }
}

impl Encoding {
    /// What bodies in it are called.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Protobuf => "application/octet-stream",
        }
    }

    /// Commands as one frame has them.
    pub fn write(self, commands: &[Value]) -> Result<Vec<u8>> {
        if self == Self::Json {
            let lines: Vec<_> = commands.iter().map(Value::to_string).collect();
            return Ok(lines.join("\n").into_bytes());
        }
        let mut frame = Vec::new();
        for command in commands {
            let message = protobuf::encode(schema::COMMAND, command)?;
            protobuf::put_bytes(&mut frame, &message);
        }
        Ok(frame)
    }

    /// The replies of a whole frame.
    pub fn read(self, frame: &[u8]) -> Result<Vec<Value>> {
        let mut unread = frame.to_vec();
        if self == Self::Json {
            unread.push(b'\n');
        }
        let mut replies = Vec::new();
        while let Some(reply) = self.take(&mut unread)? {
            replies.push(reply);
        }
        ensure!(unread.is_empty(), "half a reply: {unread:?}");
        Ok(replies)
    }

    /// Takes the first reply if all of it is there.
    fn take(self, unread: &mut Vec<u8>) -> Result<Option<Value>> {
        if self == Self::Protobuf {
            let Some((start, end)) = protobuf::prefixed(unread)? else {
                return Ok(None);
            };
            let reply = protobuf::decode(schema::REPLY, &unread[start..end])?;
            unread.drain(..end);
            return Ok(Some(reply));
        }
        while let Some(end) = unread.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = unread.drain(..=end).collect();
            let line = line.trim_ascii();
            // Of an event stream: comments, and the name of the field.
            if !line.is_empty() && !line.starts_with(b":") {
                let text = line.strip_prefix(b"data: ").unwrap_or(line);
                let reply = serde_json::from_slice(text);
                return reply
                    .map(Some)
                    .with_context(|| String::from_utf8_lossy(text).into_owned());
            }
        }
        Ok(None)
    }
}

async fn socket(
    gateway: SocketAddr,
    encoding: Encoding,
) -> Result<WebSocketStream<MaybeTlsStream<TcpStream>>> {
    let mut request = format!("ws://{gateway}/connection/websocket").into_client_request()?;
    if encoding == Encoding::Protobuf {
        let protocol = HeaderValue::from_static("centrifuge-protobuf");
        request.headers_mut().insert("sec-websocket-protocol", protocol);
    }
    let opened = timeout(LIMIT, connect_async(request)).await;
    let (socket, _) = opened.with_context(|| format!("no answer within {LIMIT:?}"))??;
    Ok(socket)
}

#[cfg(test)]
mod tests;
