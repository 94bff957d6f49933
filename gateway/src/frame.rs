//! A finished WebSocket frame, encoded once and shared by pointer by every socket it goes to.

use std::sync::Arc;

use natter_websocket::{FrameBuilder, Opcode};

use crate::{metrics::NamespaceMetrics, telemetry::DeliverSpan};

/// Header and payload in one piece, ready for the kernel.
pub struct Frame {
    bytes: Vec<u8>,
    /// Where the header begins: room for the longest one was reserved before the payload's length was known.
    start: usize,
    delivery: Option<DeliveryMark>,
}

/// What is measured when a frame that carries a publication has been handed to the kernel.
pub struct DeliveryMark {
    pub namespace: Arc<NamespaceMetrics>,
    /// Unix time in nanoseconds at which a gateway accepted the publication, when this message is timed.
    pub accepted_at: Option<u64>,
    /// Ends when the last socket has let go of the frame.
    pub span: Option<DeliverSpan>,
}

impl Frame {
    /// A text frame around what `write` appends, about `capacity` bytes.
    pub fn text(capacity: usize, write: impl FnOnce(&mut Vec<u8>)) -> Self {
        let mut builder = FrameBuilder::with_capacity(Opcode::Text, capacity);
        write(builder.payload());
        let (bytes, start) = builder.finish();
        Self {
            bytes,
            start,
            delivery: None,
        }
    }

    /// A frame that was encoded elsewhere: control frames.
    pub fn from_bytes(bytes: Box<[u8]>) -> Self {
        Self {
            bytes: bytes.into_vec(),
            start: 0,
            delivery: None,
        }
    }

    #[must_use]
    pub fn with_delivery(mut self, mark: DeliveryMark) -> Self {
        self.delivery = Some(mark);
        self
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    pub fn delivery(&self) -> Option<&DeliveryMark> {
        self.delivery.as_ref()
    }
}
