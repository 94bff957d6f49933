//! What is written to a socket in one piece, encoded once and shared by pointer by every socket it goes to: a WebSocket
//! frame, or a message of another carrier.

use std::{
    slice,
    sync::{Arc, OnceLock},
};

use natter_websocket::{FrameBuilder, MAX_HEADER};

use crate::{metrics::NamespaceMetrics, telemetry::DeliverSpan};

/// Header and payload in one piece, ready for the kernel; or several such pieces that are written as one.
pub struct Frame {
    bytes: Vec<u8>,
    /// Where the header begins: room for the longest one was reserved before the payload's length was known.
    start: usize,
    deliveries: Deliveries,
    /// The same message compressed, once somebody wanted it; `None` inside where that is no shorter.
    compressed: OnceLock<Option<Arc<Frame>>>,
}

/// The publications of a frame.
#[derive(Clone)]
enum Deliveries {
    None,
    One(DeliveryMark),
    Several(Box<[DeliveryMark]>),
}

/// What is measured when a frame that carries a publication has been handed to the kernel.
#[derive(Clone)]
pub struct DeliveryMark {
    pub namespace: Arc<NamespaceMetrics>,
    /// Unix time in nanoseconds at which a gateway accepted the publication, when this message is timed.
    pub accepted_at: Option<u64>,
    /// Ends when the last socket has let go of the frame, in whatever form.
    pub span: Option<Arc<DeliverSpan>>,
}

impl Frame {
    /// A whole piece that was encoded elsewhere.
    pub fn from_bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            bytes: bytes.into(),
            start: 0,
            deliveries: Deliveries::None,
            compressed: OnceLock::new(),
        }
    }

    #[must_use]
    pub fn with_delivery(mut self, mark: DeliveryMark) -> Self {
        self.deliveries = Deliveries::One(mark);
        self
    }

    /// Frames that leave together, one behind the other; compressed is what of `parts` was compressed before.
    pub fn joined<'a>(parts: impl Iterator<Item = &'a Self> + Clone) -> Self {
        let plain = Self::concatenated(parts.clone());
        let is_compressed = parts.clone().any(|part| part.known_compressed().is_some());
        let compressed = is_compressed.then(|| {
            let shortest = parts.map(|part| part.known_compressed().map_or(part, |compressed| compressed));
            Arc::new(Self::concatenated(shortest))
        });
        Self {
            compressed: OnceLock::from(compressed),
            ..plain
        }
    }

    fn concatenated<'a>(parts: impl Iterator<Item = &'a Self> + Clone) -> Self {
        let mut bytes = Vec::with_capacity(parts.clone().map(|part| part.bytes().len()).sum());
        for part in parts.clone() {
            bytes.extend_from_slice(part.bytes());
        }
        let marks = parts.flat_map(Self::deliveries).cloned();
        Self {
            bytes,
            start: 0,
            deliveries: Deliveries::Several(marks.collect()),
            compressed: OnceLock::new(),
        }
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// The message in a WebSocket frame. What was encoded elsewhere is never asked for it.
    pub fn payload(&self) -> &[u8] {
        self.bytes.get(MAX_HEADER..).unwrap_or_default()
    }

    /// The same message compressed, by `compress` if nobody has done it yet: it gives a whole frame for a payload, or
    /// `None` where that would not be shorter.
    pub fn compressed(&self, compress: impl FnOnce(&[u8]) -> Option<Box<[u8]>>) -> Option<&Arc<Self>> {
        let compressed = self.compressed.get_or_init(|| {
            let bytes = compress(self.payload())?.into_vec();
            Some(Arc::new(Self {
                bytes,
                start: 0,
                deliveries: self.deliveries.clone(),
                compressed: OnceLock::new(),
            }))
        });
        compressed.as_ref()
    }

    /// The same message compressed, if that was done already.
    pub fn known_compressed(&self) -> Option<&Arc<Self>> {
        self.compressed.get()?.as_ref()
    }

    /// The publications that it carries; none in what is for one socket alone.
    pub fn deliveries(&self) -> &[DeliveryMark] {
        match &self.deliveries {
            Deliveries::None => &[],
            Deliveries::One(mark) => slice::from_ref(mark),
            Deliveries::Several(marks) => marks,
        }
    }
}

impl From<FrameBuilder> for Frame {
    fn from(builder: FrameBuilder) -> Self {
        let (bytes, start) = builder.finish();
        Self {
            bytes,
            start,
            deliveries: Deliveries::None,
            compressed: OnceLock::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use natter_websocket::Opcode;

    use super::*;

    fn text(text: &[u8]) -> Frame {
        let mut builder = FrameBuilder::with_capacity(Opcode::Text, text.len());
        builder.payload().extend_from_slice(text);
        builder.into()
    }

    #[test]
    fn a_message_is_compressed_once_and_keeps_what_is_measured() {
        let mark = DeliveryMark {
            namespace: crate::metrics::Metrics::new().unwrap().namespace("chat"),
            accepted_at: Some(7),
            span: None,
        };
        let frame = text(b"text").with_delivery(mark);
        assert!(frame.known_compressed().is_none());
        let compress = |payload: &[u8]| {
            assert_eq!(payload, b"text");
            Some(Box::from(*b"short"))
        };
        let compressed = frame.compressed(compress).unwrap().clone();
        assert_eq!(compressed.bytes(), b"short");
        assert_eq!(compressed.deliveries()[0].accepted_at, Some(7));
        let again = frame.compressed(|_| panic!("compressed twice")).unwrap();
        assert!(Arc::ptr_eq(again, &compressed));
        assert!(Arc::ptr_eq(frame.known_compressed().unwrap(), &compressed));
    }

    #[test]
    fn joined_frames_are_as_short_as_their_parts_and_carry_all_publications() {
        let namespace = crate::metrics::Metrics::new().unwrap().namespace("chat");
        let part = |text: &[u8], accepted_at| {
            let mark = DeliveryMark {
                namespace: namespace.clone(),
                accepted_at: Some(accepted_at),
                span: None,
            };
            Frame::from_bytes(text).with_delivery(mark)
        };
        let accepted = |frame: &Frame| -> Vec<_> {
            let marks = frame.deliveries().iter();
            marks.filter_map(|mark| mark.accepted_at).collect()
        };
        let parts = [part(b"first ", 1), part(b"second", 2)];
        let joined = Frame::joined(parts.iter());
        assert_eq!(joined.bytes(), b"first second");
        assert_eq!(accepted(&joined), [1, 2]);
        assert!(joined.known_compressed().is_none());

        parts[0].compressed(|_| Some(Box::from(*b"1st ")));
        let joined = Frame::joined(parts.iter());
        assert_eq!(joined.bytes(), b"first second");
        let compressed = joined.known_compressed().unwrap();
        assert_eq!(compressed.bytes(), b"1st second");
        assert_eq!(accepted(compressed), [1, 2]);
    }

    #[test]
    fn what_does_not_become_shorter_is_tried_once() {
        let frame = text(b"text");
        assert!(frame.compressed(|_| None).is_none());
        assert!(frame.compressed(|_| panic!("tried twice")).is_none());
        assert!(frame.known_compressed().is_none());
    }
}
