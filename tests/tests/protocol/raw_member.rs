//! A member of a room that shows publications byte by byte, as no JSON parser has touched them.

use anyhow::{Context, Result, ensure};
use natter_tests::gateway::Gateway;
use natter_tests::raw::{Frame, RawSocket};

/// Where a WebSocket is opened.
pub(crate) const PATH: &str = "/connection/websocket";

pub(crate) struct RawMember {
    pub(crate) socket: RawSocket,
}

impl RawMember {
    /// Connects and joins.
    pub(crate) async fn join(gateway: &Gateway, channel: &str) -> Result<Self> {
        let mut socket = RawSocket::upgraded(gateway.public(), PATH).await?;
        let commands = format!(
            "{{\"id\":1,\"connect\":{{}}}}\n{{\"id\":2,\"subscribe\":{{\"channel\":\"{channel}\"}}}}"
        );
        socket.write_frame(&Frame::text(commands)).await?;
        let mut member = Self { socket };
        member.text().await?;
        let joined = member.text().await?;
        ensure!(
            joined == "{\"id\":2,\"subscribe\":{}}",
            "joining was answered by {joined}"
        );
        Ok(member)
    }

    /// The next text frame.
    pub(crate) async fn text(&mut self) -> Result<String> {
        let (opcode, payload) = self.socket.read_frame().await?;
        ensure!(opcode == 1, "opcode {opcode} came where text was due");
        String::from_utf8(payload).context("a text frame is not UTF-8")
    }

    /// The text of the next publication's `data`; replies before it are passed over.
    pub(crate) async fn data(&mut self) -> Result<String> {
        loop {
            let text = self.text().await?;
            let Some((_, rest)) = text.split_once("\"pub\":{\"data\":") else {
                continue;
            };
            // A client's publication ends with its info, the server's with its data or tags.
            let end = rest
                .find(",\"info\":{\"user\":")
                .or_else(|| rest.strip_suffix("}}}").map(str::len));
            return Ok(rest[..end.context("a publication that does not end")?].to_owned());
        }
    }
}
