//! A client that speaks Protobuf and takes data as the bytes that they are, which JSON values cannot hold.

pub(crate) mod messages;

use std::collections::VecDeque;

use anyhow::{Context, Result, ensure};
use natter_tests::gateway::Gateway;
use natter_tests::raw::{Frame, RawSocket};
use prost::Message;

use crate::raw_member::PATH;
use messages::{Command, Reply};

const PROTOBUF: &str = "Sec-WebSocket-Protocol: centrifuge-protobuf\r\n";

/// Opcode of a binary frame.
const BINARY: u8 = 2;

pub(crate) struct BytesClient {
    socket: RawSocket,
    /// Read and not given out yet.
    waiting: VecDeque<Reply>,
    last_id: u32,
}

impl BytesClient {
    /// Opens the WebSocket; no command is sent yet.
    pub(crate) async fn open(gateway: &Gateway) -> Result<Self> {
        let (socket, _) = RawSocket::upgraded_with(gateway.public(), PATH, PROTOBUF).await?;
        Ok(Self {
            socket,
            waiting: VecDeque::new(),
            last_id: 0,
        })
    }

    pub(crate) async fn connected(gateway: &Gateway) -> Result<Self> {
        let mut client = Self::open(gateway).await?;
        let reply = client.request(Command::connect(b"")).await?;
        ensure!(reply.connect.is_some(), "connect was answered by {reply:?}");
        Ok(client)
    }

    /// A client in a room.
    pub(crate) async fn member(gateway: &Gateway, room: &str) -> Result<Self> {
        let mut client = Self::connected(gateway).await?;
        let reply = client.request(Command::subscribe(room, b"")).await?;
        ensure!(reply.subscribe.is_some(), "joining was answered by {reply:?}");
        Ok(client)
    }

    /// Sends a command under the next id, which is returned.
    pub(crate) async fn send(&mut self, mut command: Command) -> Result<u32> {
        self.last_id += 1;
        command.id = self.last_id;
        let frame = command.encode_length_delimited_to_vec();
        self.socket.write_frame(&Frame::new(BINARY, frame)).await?;
        Ok(self.last_id)
    }

    /// The reply to a command that was sent; pushes stay for later.
    pub(crate) async fn reply(&mut self, id: u32) -> Result<Reply> {
        self.recv_where(|reply| reply.id == id).await
    }

    pub(crate) async fn request(&mut self, command: Command) -> Result<Reply> {
        let id = self.send(command).await?;
        self.reply(id).await
    }

    /// The next publication's data.
    pub(crate) async fn heard(&mut self) -> Result<Vec<u8>> {
        let reply = self.recv_where(|reply| reply.push.is_some()).await?;
        let push = reply.push.context("no push")?;
        Ok(push.r#pub.context("a push of another kind")?.data)
    }

    /// Whether a push has come that nobody took.
    pub(crate) fn has_unheard(&self) -> bool {
        self.waiting.iter().any(|reply| reply.push.is_some())
    }

    /// The code with which the server closes.
    pub(crate) async fn closed(mut self) -> Result<u16> {
        Ok(self.socket.read_close().await?.0)
    }

    async fn recv_where(&mut self, fits: impl Fn(&Reply) -> bool) -> Result<Reply> {
        loop {
            let found = self.waiting.iter().position(&fits);
            if let Some(reply) = found.and_then(|index| self.waiting.remove(index)) {
                return Ok(reply);
            }
            let (opcode, frame) = self.socket.read_frame().await?;
            ensure!(opcode == BINARY, "opcode {opcode} came where bytes were due");
            let mut unread = frame.as_slice();
            while !unread.is_empty() {
                self.waiting
                    .push_back(Reply::decode_length_delimited(&mut unread)?);
            }
        }
    }
}
