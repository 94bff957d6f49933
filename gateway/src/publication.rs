//! A publication: accepted by one gateway, carried by the bus.

mod tags;

use std::fmt;

use bytes::Bytes;

pub use self::tags::Tags;
use crate::clock::since_epoch;

/// One message in a room. `info` and `tags` are JSON texts without raw newlines, and `data` is one unless `is_binary`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    pub id: MessageId,
    /// Its place in a durable room; 0 in an ephemeral one.
    pub offset: u64,
    /// Unix time in nanoseconds at which a gateway accepted it, by that gateway's clock.
    pub accepted_at: u64,
    pub data: Bytes,
    /// `data` is any bytes, which nobody who speaks JSON can be given.
    pub is_binary: bool,
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
            is_binary: false,
            info: None,
            tags: None,
            traceparent: None,
        }
    }

    /// As the protocol has it, in replies and pushes. No door lets in who or tags that are no text.
    pub fn as_protocol(&self) -> natter_protocol::Publication<'_> {
        fn text(bytes: Option<&Bytes>) -> Option<&str> {
            std::str::from_utf8(bytes?).ok()
        }
        natter_protocol::Publication {
            data: &self.data,
            info: text(self.info.as_ref()),
            offset: self.offset,
            tags: text(self.tags.as_ref()),
            ..natter_protocol::Publication::default()
        }
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
    u64::try_from(since_epoch().as_nanos()).unwrap_or(u64::MAX)
}
