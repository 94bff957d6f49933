//! A publication on its way: accepted by one gateway, carried by the bus, encoded once for every socket.

use std::{
    fmt,
    time::{SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use natter_protocol::{Push, json};

use crate::frame::Frame;

/// One message in a room. `data`, `info` and `tags` are JSON texts without raw newlines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    pub id: MessageId,
    /// Its place in a durable room; 0 in an ephemeral one.
    pub offset: u64,
    /// Unix time in nanoseconds at which a gateway accepted it, by that gateway's clock.
    pub accepted_at: u64,
    pub data: Bytes,
    /// Who published, when it was a client.
    pub info: Option<Bytes>,
    pub tags: Option<Bytes>,
    /// W3C trace context of the publish span, when the message is traced.
    pub traceparent: Option<String>,
}

impl Publication {
    pub fn new(data: impl Into<Bytes>) -> Self {
        Self {
            id: MessageId::random(),
            offset: 0,
            accepted_at: unix_nanos(),
            data: data.into(),
            info: None,
            tags: None,
            traceparent: None,
        }
    }

    /// As the protocol has it, in replies and pushes; `None` when the texts are not UTF-8, which no door lets in.
    pub fn as_protocol(&self) -> Option<natter_protocol::Publication<'_>> {
        Some(natter_protocol::Publication {
            data: &self.data,
            info: self
                .info
                .as_ref()
                .map(|info| std::str::from_utf8(info))
                .transpose()
                .ok()?,
            offset: self.offset,
            tags: self
                .tags
                .as_ref()
                .map(|tags| std::str::from_utf8(tags))
                .transpose()
                .ok()?,
            ..natter_protocol::Publication::default()
        })
    }

    /// The push that every member of `channel` gets, as one finished frame.
    pub fn encode(&self, channel: &str) -> Option<Frame> {
        let publication = self.as_protocol()?;
        let capacity = self.data.len() + channel.len() + self.info.as_ref().map_or(0, Bytes::len) + 64;
        Some(Frame::text(capacity, |out| {
            json::encode_push(
                &Push::Publication {
                    channel,
                    publication: &publication,
                },
                out,
            );
        }))
    }
}

/// Correlates one message across log lines, traces and gateways.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MessageId(pub u64);

impl MessageId {
    pub fn random() -> Self {
        Self(fastrand::u64(..))
    }

    pub fn parse(text: &str) -> Option<Self> {
        u64::from_str_radix(text, 16).ok().map(Self)
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Wall-clock time, the only clock that two gateways share.
pub fn unix_nanos() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX)
}
