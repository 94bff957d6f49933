//! A TCP socket on which a test writes handshakes and frames by hand, also such as no library would send.
//!
//! Frames are encoded here and not by `natter-websocket`: a test of the framing must not lean on it.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The bound of every wait.
const LIMIT: Duration = Duration::from_secs(10);

/// The largest head of a response that is read before giving up.
const HEAD_MAX: usize = 64 * 1024;

/// A valid opening handshake (the key is the example of RFC 6455 section 1.3).
const HANDSHAKE: &str = "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{more}\r\n";

/// A frame as a client sends it (RFC 6455 section 5.2), right or wrong on purpose.
#[derive(Clone, Debug)]
pub struct Frame {
    pub fin: bool,
    /// The three reserved bits, 0 to 7.
    pub reserved: u8,
    pub opcode: u8,
    /// `None` leaves the payload unmasked, which the RFC forbids to clients.
    pub mask: Option<[u8; 4]>,
    /// The length that the header claims; `None`: the true one.
    pub claimed: Option<u64>,
    pub payload: Vec<u8>,
}

impl Frame {
    /// A whole, masked frame.
    pub fn new(opcode: u8, payload: impl Into<Vec<u8>>) -> Self {
        let mask = Some([0x37, 0xfa, 0x21, 0x3d]);
        Self {
            fin: true,
            reserved: 0,
            opcode,
            mask,
            claimed: None,
            payload: payload.into(),
        }
    }

    /// A text frame.
    pub fn text(payload: impl Into<Vec<u8>>) -> Self {
        Self::new(0x1, payload)
    }

    /// A close frame with a code and a reason.
    pub fn close(code: u16, reason: &str) -> Self {
        Self::new(0x8, [&code.to_be_bytes(), reason.as_bytes()].concat())
    }

    /// The bytes on the wire, with the shortest form of the length.
    pub fn encode(&self) -> Vec<u8> {
        let flag: u8 = if self.mask.is_some() { 0x80 } else { 0 };
        let mut bytes = vec![u8::from(self.fin) << 7 | (self.reserved & 7) << 4 | self.opcode & 0xf];
        let length = self.claimed.unwrap_or(self.payload.len() as u64);
        match (u8::try_from(length), u16::try_from(length)) {
            (Ok(short @ 0..126), _) => bytes.push(flag + short),
            (_, Ok(medium)) => {
                bytes.push(flag + 126);
                bytes.extend(medium.to_be_bytes());
            }
            _ => {
                bytes.push(flag + 127);
                bytes.extend(length.to_be_bytes());
            }
        }
        bytes.extend(self.mask.into_iter().flatten());
        let mask = self.mask.unwrap_or_default();
        bytes.extend(
            self.payload
                .iter()
                .zip(mask.iter().cycle())
                .map(|(byte, mask)| byte ^ mask),
        );
        bytes
    }
}

/// A connection without any protocol of its own.
pub struct RawSocket {
    stream: TcpStream,
    /// Bytes received and not given out yet.
    buffer: Vec<u8>,
}

impl RawSocket {
    /// Opens a TCP connection.
    pub async fn connect(address: SocketAddr) -> Result<Self> {
        let opened = timeout(LIMIT, TcpStream::connect(address)).await;
        let stream = opened
            .context("connecting took too long")?
            .with_context(|| format!("cannot connect to {address}"))?;
        stream.set_nodelay(true).context("cannot set TCP_NODELAY")?;
        Ok(Self {
            stream,
            buffer: Vec::new(),
        })
    }

    /// Opens a TCP connection and makes a valid handshake at `path`; fails unless the answer is 101.
    pub async fn upgraded(address: SocketAddr, path: &str) -> Result<Self> {
        Ok(Self::upgraded_with(address, path, "").await?.0)
    }

    /// As [`upgraded`](Self::upgraded), with header lines of its own (`name: value` and CR LF each); gives the head of the
    /// answer as well.
    pub async fn upgraded_with(address: SocketAddr, path: &str, headers: &str) -> Result<(Self, String)> {
        let mut socket = Self::connect(address).await?;
        let request = HANDSHAKE
            .replace("{path}", path)
            .replace("{host}", &address.to_string())
            .replace("{more}", headers);
        socket.write(request.as_bytes()).await?;
        let head = socket.read_head().await?;
        ensure!(
            head.starts_with("HTTP/1.1 101 "),
            "the handshake was answered by {head:?}"
        );
        Ok((socket, head))
    }

    /// Writes bytes; fails when the peer takes none within 10 s or is gone.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let written = timeout(LIMIT, self.stream.write_all(bytes)).await;
        written
            .context("the peer takes no more bytes")?
            .context("cannot write")
    }

    /// Writes a frame.
    pub async fn write_frame(&mut self, frame: &Frame) -> Result<()> {
        self.write(&frame.encode()).await
    }

    /// Says that nothing more will be written (FIN).
    pub async fn finish(&mut self) -> Result<()> {
        self.stream.shutdown().await.context("cannot shut down")
    }

    /// An HTTP response up to and with its empty line; what follows stays for later.
    pub async fn read_head(&mut self) -> Result<String> {
        loop {
            if let Some(end) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                let head = self.buffer.drain(..end + 4).collect();
                return String::from_utf8(head).context("the head is not UTF-8");
            }
            ensure!(self.buffer.len() < HEAD_MAX, "the head does not end");
            ensure!(
                self.fill().await? > 0,
                "the connection ended within the head {:?}",
                lossy(&self.buffer)
            );
        }
    }

    /// A server's frame: its opcode and payload. Fails at the end of the connection.
    pub async fn read_frame(&mut self) -> Result<(u8, Vec<u8>)> {
        let (first, payload) = self.read_flagged_frame().await?;
        Ok((first & 0xf, payload))
    }

    /// As [`read_frame`](Self::read_frame), with FIN and the reserved bits before the opcode.
    pub async fn read_flagged_frame(&mut self) -> Result<(u8, Vec<u8>)> {
        loop {
            if let Some((first, start, end)) = frame(&self.buffer)? {
                let payload = self.buffer[start..end].to_vec();
                self.buffer.drain(..end);
                return Ok((first, payload));
            }
            ensure!(self.fill().await? > 0, "the connection ended before a frame");
        }
    }

    /// The code and reason of the next close frame; other frames before it are passed over.
    pub async fn read_close(&mut self) -> Result<(u16, String)> {
        loop {
            let (opcode, payload) = self.read_frame().await?;
            match (opcode, payload.split_first_chunk()) {
                (0x8, Some((code, reason))) => return Ok((u16::from_be_bytes(*code), lossy(reason))),
                (0x8, None) => bail!("a close frame without a code"),
                _ => {}
            }
        }
    }

    /// All bytes up to the end of the connection; a reset counts as an end.
    pub async fn read_to_end(&mut self) -> Result<Vec<u8>> {
        loop {
            match self.fill().await {
                Ok(0) => return Ok(std::mem::take(&mut self.buffer)),
                Ok(_) => {}
                Err(error) if reset(&error) => return Ok(std::mem::take(&mut self.buffer)),
                Err(error) => return Err(error),
            }
        }
    }

    async fn fill(&mut self) -> Result<usize> {
        let read = timeout(LIMIT, self.stream.read_buf(&mut self.buffer)).await;
        read.with_context(|| format!("nothing within {LIMIT:?}"))?
            .context("cannot read")
    }
}

fn reset(error: &anyhow::Error) -> bool {
    let kind = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    kind == Some(std::io::ErrorKind::ConnectionReset)
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// First byte, start and end of the payload of the whole frame at the head of `bytes`, if it is there.
fn frame(bytes: &[u8]) -> Result<Option<(u8, usize, usize)>> {
    let &[first, second, ref rest @ ..] = bytes else {
        return Ok(None);
    };
    ensure!(
        second & 0x80 == 0,
        "the server masked a frame (RFC 6455 section 5.1)"
    );
    let (start, length): (usize, usize) = match second {
        126 => match rest.first_chunk() {
            Some(length) => (4, usize::from(u16::from_be_bytes(*length))),
            None => return Ok(None),
        },
        127 => match rest.first_chunk() {
            Some(length) => (
                10,
                usize::try_from(u64::from_be_bytes(*length)).context("a frame of this length")?,
            ),
            None => return Ok(None),
        },
        short => (2, usize::from(short)),
    };
    let end = start.checked_add(length).context("a frame of this length")?;
    Ok((bytes.len() >= end).then_some((first, start, end)))
}

#[cfg(test)]
mod tests {
    use futures_util::{SinkExt, StreamExt};
    use tokio::net::TcpListener;
    use tokio_tungstenite::accept_async;

    use super::*;

    #[test]
    fn encodes_the_example_of_the_rfc() {
        // RFC 6455 section 5.7: a single-frame masked text message "Hello".
        let bytes = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        assert_eq!(Frame::text("Hello").encode(), bytes);
    }

    #[tokio::test]
    async fn an_independent_server_understands_every_length() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let mut socket = accept_async(listener.accept().await.unwrap().0).await.unwrap();
            while let Some(Ok(message)) = socket.next().await {
                // A close is answered by the library when it is asked for the next message.
                if message.is_text() {
                    socket.send(message).await.unwrap();
                }
            }
        });
        let mut socket = RawSocket::upgraded(address, "/any").await.unwrap();
        for length in [0, 125, 126, 65_535, 65_536] {
            let payload = vec![b'x'; length];
            socket.write_frame(&Frame::text(payload.clone())).await.unwrap();
            assert_eq!(socket.read_frame().await.unwrap(), (1, payload));
        }
        socket.write_frame(&Frame::close(1000, "done")).await.unwrap();
        assert_eq!(socket.read_close().await.unwrap(), (1000, "done".to_owned()));
        socket.finish().await.unwrap();
        server.await.unwrap();
    }
}
