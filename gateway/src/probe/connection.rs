//! One socket of a probe: an opening handshake, then commands and what answers them.

use std::collections::VecDeque;

use anyhow::{Context as _, bail, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderName, HeaderValue};
use memchr::memmem;
use natter_protocol::json::PING;
use natter_websocket::{
    Opcode,
    client::{
        encode_masked,
        frames::{self, Frame},
    },
    handshake::accept_key,
};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::Address;

/// More than a head of a response, and more than a message of a probe; a server that sends more is none of ours.
const BUFFER_MAX: usize = 1 << 20;

pub(super) struct Connection {
    stream: TcpStream,
    /// Received and not read yet.
    buffer: Vec<u8>,
    /// Read and not asked for yet.
    waiting: VecDeque<Value>,
    last_id: u32,
}

/// An error of the protocol in place of an answer.
#[derive(Debug, thiserror::Error)]
#[error("refused with code {code}: {message}")]
pub(super) struct Refused {
    code: Value,
    message: Value,
    /// The same may be accepted later.
    pub(super) temporary: bool,
}

impl Refused {
    fn of(error: &Value) -> Self {
        Self {
            code: error["code"].clone(),
            message: error["message"].clone(),
            temporary: error["temporary"] == true,
        }
    }
}

impl Connection {
    /// Opens the WebSocket.
    pub(super) async fn open(
        address: &Address,
        headers: &[(HeaderName, HeaderValue)],
    ) -> anyhow::Result<Self> {
        let stream = TcpStream::connect((address.host.as_str(), address.port)).await?;
        stream.set_nodelay(true)?;
        let mut connection = Self {
            stream,
            buffer: Vec::new(),
            waiting: VecDeque::new(),
            last_id: 0,
        };
        let key = STANDARD.encode(fastrand::u128(..).to_ne_bytes());
        connection
            .stream
            .write_all(&request(address, headers, &key))
            .await?;
        let head = connection.head().await?;
        let status = head.lines().next().unwrap_or_default();
        ensure!(
            status.starts_with("HTTP/1.1 101"),
            "the upgrade was answered by {status:?}"
        );
        let accept = head
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-accept"));
        ensure!(
            accept.is_some_and(|(_, value)| value.trim() == accept_key(&key)),
            "the server did not accept a websocket: its Sec-WebSocket-Accept is wrong"
        );
        Ok(connection)
    }

    /// Sends a command and waits for its reply; an error of the protocol is one.
    pub(super) async fn request(&mut self, command: &Value) -> anyhow::Result<Value> {
        self.last_id += 1;
        let mut command = command.clone();
        command["id"] = self.last_id.into();
        self.send(Opcode::Text, command.to_string().as_bytes()).await?;
        let id = self.last_id;
        let reply = self.next(|value| value["id"] == id).await?;
        if let Some(error) = reply.get("error") {
            return Err(Refused::of(error).into());
        }
        Ok(reply)
    }

    /// Waits for this publication.
    pub(super) async fn publication(&mut self, room: &str, data: &Value) -> anyhow::Result<()> {
        self.next(|value| {
            let push = &value["push"];
            push["channel"] == room && push["pub"]["data"] == *data
        })
        .await
        .map(drop)
    }

    /// The next message that fits; others before it are kept. Pings are answered.
    async fn next(&mut self, fits: impl Fn(&Value) -> bool) -> anyhow::Result<Value> {
        let mut looked = 0;
        loop {
            if let Some(found) = self.waiting.iter().skip(looked).position(&fits) {
                return self.waiting.remove(looked + found).context("a message is gone");
            }
            looked = self.waiting.len();
            self.fill().await?;
            self.read().await?;
        }
    }

    /// Takes whole frames off the buffer.
    async fn read(&mut self) -> anyhow::Result<()> {
        let bytes = std::mem::take(&mut self.buffer);
        let mut rest = &bytes[..];
        while let Some(frame) = frames::next(&mut rest)? {
            match frame {
                Frame::Message(message) => self.message(message).await?,
                Frame::Ping(payload) => self.send(Opcode::Pong, payload).await?,
                Frame::Pong => {}
                Frame::Compressed(_) => bail!("the server compresses and was not asked to"),
            }
        }
        self.buffer = rest.to_vec();
        Ok(())
    }

    async fn message(&mut self, message: &[u8]) -> anyhow::Result<()> {
        for line in message.split(|&byte| byte == b'\n') {
            if line == PING {
                self.send(Opcode::Text, PING).await?;
                continue;
            }
            let value: Value = serde_json::from_slice(line).context("the server sent no JSON")?;
            if let Some(disconnect) = value["push"].get("disconnect") {
                bail!(
                    "disconnected with code {}: {}",
                    disconnect["code"],
                    disconnect["reason"]
                );
            }
            self.waiting.push_back(value);
        }
        Ok(())
    }

    async fn send(&mut self, opcode: Opcode, payload: &[u8]) -> anyhow::Result<()> {
        let frame = encode_masked(opcode, payload, fastrand::u32(..).to_ne_bytes());
        self.stream.write_all(&frame).await.context("cannot send")
    }

    /// The head of the response.
    async fn head(&mut self) -> anyhow::Result<String> {
        loop {
            if let Some(end) = memmem::find(&self.buffer, b"\r\n\r\n") {
                let head: Vec<u8> = self.buffer.drain(..end + 4).collect();
                return String::from_utf8(head).context("the head of the response is not text");
            }
            self.fill().await?;
        }
    }

    async fn fill(&mut self) -> anyhow::Result<()> {
        ensure!(
            self.buffer.len() < BUFFER_MAX,
            "the server sent more than {BUFFER_MAX} bytes"
        );
        let read = self.stream.read_buf(&mut self.buffer).await;
        ensure!(
            read.context("cannot receive")? > 0,
            "the server ended the connection"
        );
        Ok(())
    }
}

fn request(address: &Address, headers: &[(HeaderName, HeaderValue)], key: &str) -> Vec<u8> {
    let Address { host, port, path } = address;
    let host = if host.contains(':') {
        format!("[{host}]")
    } else {
        host.clone()
    };
    let mut request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
    )
    .into_bytes();
    for (name, value) in headers {
        request.extend_from_slice(name.as_str().as_bytes());
        request.extend_from_slice(b": ");
        request.extend_from_slice(value.as_bytes());
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    request
}
