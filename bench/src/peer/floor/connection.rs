//! One socket of the floor.

use std::{io::Write, mem, net::TcpStream};

use anyhow::ensure;
use natter_websocket::Decoder;

use crate::peer::client_id;

pub(super) struct Connection {
    pub(super) stream: TcpStream,
    pub(super) reading: Reading,
    pub(super) client: String,
    pub(super) rooms: Vec<String>,
}

/// What is read next.
pub(super) enum Reading {
    /// HTTP, behind the incomplete tail of what came before.
    Requests(Vec<u8>),
    /// WebSocket.
    Messages(Box<Decoder>),
}

impl Connection {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            reading: Reading::Requests(Vec::new()),
            client: client_id(),
            rooms: Vec::new(),
        }
    }

    /// Leaves something in its place that costs nothing.
    pub(super) fn take_reading(&mut self) -> Reading {
        mem::replace(&mut self.reading, Reading::Requests(Vec::new()))
    }

    /// One `send` call.
    pub(super) fn send(&self, bytes: &[u8]) -> anyhow::Result<()> {
        let sent = (&self.stream).write(bytes)?;
        ensure!(sent == bytes.len(), "the socket did not take all");
        Ok(())
    }
}
