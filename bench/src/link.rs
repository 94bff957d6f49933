//! One socket of the load, without a buffer of its own.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    pin::Pin,
    task::{Poll, ready},
};

use anyhow::{Context, bail, ensure};
use memchr::memmem;
use natter_websocket::{Opcode, client::encode_masked};
use tokio::{
    io::{AsyncRead, ReadBuf},
    net::{
        TcpSocket,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

use crate::run::Run;

/// What one read may take: many frames when the client is behind, and the largest frame that it understands.
const SCRATCH: usize = 256 * 1024;
/// Connections from one source address. The kernel has 28,000 ports for each by default.
const PER_SOURCE: usize = 16_000;

/// Shared by all sockets of the thread.
#[derive(Debug)]
pub struct Scratch(RefCell<Box<[u8]>>);

impl Default for Scratch {
    fn default() -> Self {
        Self(RefCell::new(vec![0; SCRATCH].into()))
    }
}

/// Opens the connection with this number among all of the run, which decides about its addresses.
pub async fn open(run: &Run, number: usize) -> anyhow::Result<(Receiver, Sender)> {
    let server = run.server.address(number);
    let socket = match server {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    if let Some(source) = source(server, number) {
        socket.bind(source)?;
    }
    if let Some(bytes) = run.receive_buffer {
        // Before connecting, so that the peer knows windows of this size alone and fills them.
        socket.set_recv_buffer_size(bytes)?;
    }
    let stream = socket.connect(server).await;
    let stream = stream.with_context(|| format!("cannot connect to {server}"))?;
    stream.set_nodelay(true)?;
    let (receiver, sender) = stream.into_split();
    let receiver = Receiver {
        half: receiver,
        tail: Vec::new(),
    };
    let sender = Sender {
        half: sender,
        unsent: RefCell::default(),
        sent: Cell::default(),
    };
    Ok((receiver, sender))
}

/// Loopback has a network of addresses; elsewhere the machine's one must do.
fn source(server: SocketAddr, number: usize) -> Option<SocketAddr> {
    let last = u8::try_from(1 + number / PER_SOURCE).ok()?;
    let needed = last > 1 && matches!(server.ip(), IpAddr::V4(ip) if ip.is_loopback());
    needed.then(|| (Ipv4Addr::new(127, 0, 0, last), 0).into())
}

/// Offers compressed messages, as a header line.
const OFFER: &str = "Sec-WebSocket-Extensions: permessage-deflate\r\n";

/// Opens a WebSocket; with `compression`, one whose messages may be compressed.
pub async fn open_websocket(
    run: &Run,
    number: usize,
    compression: bool,
) -> anyhow::Result<(Receiver, Sender)> {
    let offer = if compression { OFFER } else { "" };
    let (mut receiver, sender) = open(run, number).await?;
    let (server, path) = (run.server.address(number), &run.server.path);
    // The key is the example of RFC 6455 section 1.3: who knows the server need not prove that it speaks WebSocket.
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {server}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{offer}\r\n"
    );
    sender.send(request.as_bytes())?;
    let mut is_open = false;
    while !is_open {
        let read = |bytes: &[u8]| {
            let Some(end) = memmem::find(bytes, b"\r\n\r\n") else {
                return Ok(0);
            };
            let head = String::from_utf8_lossy(&bytes[..end]);
            ensure!(
                head.starts_with("HTTP/1.1 101 "),
                "the upgrade was answered by {head:?}"
            );
            ensure!(
                !compression || head.contains("permessage-deflate"),
                "the server does not compress"
            );
            is_open = true;
            Ok(end + 4)
        };
        receiver.receive(&run.scratch, read).await?;
    }
    Ok((receiver, sender))
}

/// The reading half.
#[derive(Debug)]
pub struct Receiver {
    half: OwnedReadHalf,
    /// What was left of the last read; without a heap allocation when that was nothing.
    tail: Vec<u8>,
}

impl Receiver {
    /// Waits for bytes and shows them, behind what was left of those before, to `take`, which returns how many of them
    /// it is done with. The end of the connection is an error.
    pub async fn receive(
        &mut self,
        scratch: &Scratch,
        mut take: impl FnMut(&[u8]) -> anyhow::Result<usize>,
    ) -> anyhow::Result<()> {
        poll_fn(|cx| {
            let mut scratch = scratch.0.borrow_mut();
            let kept = self.tail.len();
            scratch[..kept].copy_from_slice(&self.tail);
            let mut space = ReadBuf::new(&mut scratch[kept..]);
            ready!(Pin::new(&mut self.half).poll_read(cx, &mut space)).context("cannot read")?;
            let end = kept + space.filled().len();
            if end == kept {
                return Poll::Ready(Err(anyhow::anyhow!("the server ended the connection")));
            }
            let taken = take(&scratch[..end])?;
            if end - taken == scratch.len() {
                return Poll::Ready(Err(anyhow::anyhow!(
                    "the server sent a message of over {SCRATCH} bytes"
                )));
            }
            self.tail = scratch[taken..end].to_vec();
            Poll::Ready(Ok(()))
        })
        .await
    }
}

/// The writing half.
#[derive(Debug)]
pub struct Sender {
    half: OwnedWriteHalf,
    unsent: RefCell<Vec<u8>>,
    sent: Cell<usize>,
}

impl Sender {
    /// Queues a text message.
    pub fn queue_text(&self, text: &str) {
        self.queue(&encode_masked(
            Opcode::Text,
            text.as_bytes(),
            fastrand::u32(..).to_ne_bytes(),
        ));
    }

    pub fn queue(&self, bytes: &[u8]) {
        self.unsent.borrow_mut().extend_from_slice(bytes);
    }

    /// Queues `bytes` and writes.
    pub fn send(&self, bytes: &[u8]) -> anyhow::Result<()> {
        self.queue(bytes);
        self.flush()
    }

    /// Writes what the kernel takes; the rest goes with the next call.
    pub fn flush(&self) -> anyhow::Result<()> {
        let mut unsent = self.unsent.borrow_mut();
        while self.sent.get() < unsent.len() {
            match self.half.try_write(&unsent[self.sent.get()..]) {
                Ok(0) => bail!("the server takes nothing any more"),
                Ok(written) => self.sent.set(self.sent.get() + written),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error).context("cannot write"),
            }
        }
        self.sent.set(0);
        *unsent = Vec::new();
        Ok(())
    }

    pub fn is_flushed(&self) -> bool {
        self.unsent.borrow().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_connections_come_from_several_addresses() {
        let server = "127.0.0.1:8000".parse().unwrap();
        assert_eq!(source(server, PER_SOURCE - 1), None);
        assert_eq!(source(server, PER_SOURCE), Some("127.0.0.2:0".parse().unwrap()));
        assert_eq!(source("192.0.2.1:8000".parse().unwrap(), PER_SOURCE), None);
    }
}
