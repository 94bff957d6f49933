//! A member of a room that negotiated compression, and sees of every message whether it came compressed.

use anyhow::{Context, Result, ensure};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use natter_tests::gateway::Gateway;
use natter_tests::raw::{Frame, RawSocket};
use serde_json::Value;

use crate::raw_member::PATH;

/// The offer of most browsers.
pub(crate) const OFFER: &str = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";

/// More than any message of these tests.
const LARGEST: usize = 1 << 20;
/// What ends a flushed block and is not sent (RFC 7692 section 7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];
/// FIN, RSV1 and the opcode of text.
const COMPRESSED_TEXT: u8 = 0xc1;
const TEXT: u8 = 0x81;

pub(crate) struct CompressedMember {
    pub(crate) socket: RawSocket,
}

impl CompressedMember {
    /// Negotiates, connects and joins.
    pub(crate) async fn join(gateway: &Gateway, channel: &str) -> Result<Self> {
        let (socket, head) = RawSocket::upgraded_with(gateway.public(), PATH, OFFER).await?;
        ensure!(
            head.contains("permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n"),
            "not negotiated: {head}"
        );
        let mut member = Self { socket };
        member.say("{\"id\":1,\"connect\":{}}").await?;
        member
            .say(&format!(
                "{{\"id\":2,\"subscribe\":{{\"channel\":\"{channel}\"}}}}"
            ))
            .await?;
        member.text().await?;
        let (_, joined) = member.text().await?;
        ensure!(
            joined == "{\"id\":2,\"subscribe\":{}}",
            "joining was answered by {joined}"
        );
        Ok(member)
    }

    /// Sends a compressed message.
    pub(crate) async fn say(&mut self, text: &str) -> Result<()> {
        self.socket
            .write_frame(&compressed(deflate(text.as_bytes())))
            .await
    }

    /// The next message, and whether it came compressed.
    pub(crate) async fn text(&mut self) -> Result<(bool, String)> {
        let (first, payload) = self.socket.read_flagged_frame().await?;
        ensure!(
            matches!(first, TEXT | COMPRESSED_TEXT),
            "a frame beginning with {first:#x} came where text was due"
        );
        let is_compressed = first == COMPRESSED_TEXT;
        let payload = if is_compressed {
            inflate(&payload)?
        } else {
            payload
        };
        let text = String::from_utf8(payload).context("a message is not UTF-8")?;
        Ok((is_compressed, text))
    }

    /// The `data` of the next publication, and whether it came compressed; replies before it are passed over.
    pub(crate) async fn data(&mut self) -> Result<(bool, Value)> {
        loop {
            let (is_compressed, text) = self.text().await?;
            let mut value: Value = serde_json::from_str(&text)?;
            if value.get("push").is_some() {
                return Ok((is_compressed, value["push"]["pub"]["data"].take()));
            }
        }
    }
}

/// A whole frame that says that its payload is compressed.
pub(crate) fn compressed(payload: Vec<u8>) -> Frame {
    Frame {
        reserved: 4,
        ..Frame::text(payload)
    }
}

/// The payload of a compressed message.
pub(crate) fn deflate(message: &[u8]) -> Vec<u8> {
    deflate_at(Compression::best(), message)
}

/// The payload of a message in blocks without compression, which is longer than the message.
pub(crate) fn stored(message: &[u8]) -> Vec<u8> {
    deflate_at(Compression::none(), message)
}

fn deflate_at(level: Compression, message: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(message.len() + 1024);
    let done = Compress::new(level, false).compress_vec(message, &mut bytes, FlushCompress::Sync);
    assert!(done.is_ok() && bytes.ends_with(&TAIL), "zlib did not finish");
    bytes.truncate(bytes.len() - TAIL.len());
    bytes
}

fn inflate(payload: &[u8]) -> Result<Vec<u8>> {
    let mut message = Vec::with_capacity(LARGEST);
    let input = [payload, &TAIL].concat();
    Decompress::new(false)
        .decompress_vec(&input, &mut message, FlushDecompress::Sync)
        .context("a message cannot be inflated")?;
    Ok(message)
}
