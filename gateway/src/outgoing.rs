//! A publication on its way to the members of its room on this gateway.

use std::sync::Arc;

use bytes::Bytes;
use natter_protocol::Push;

use crate::{
    channel::Channel,
    frame::{DeliveryMark, Frame},
    publication::Publication,
    wire::{Frames, Wire},
};

/// What a frame holds beside payload, channel and publisher, about.
const AROUND: usize = 64;

pub struct Outgoing {
    pub channel: Channel,
    publication: Arc<Publication>,
    mark: DeliveryMark,
    frames: Frames,
}

impl Outgoing {
    pub fn new(channel: Channel, publication: Arc<Publication>, mark: DeliveryMark) -> Self {
        Self {
            channel,
            publication,
            mark,
            frames: Frames::default(),
        }
    }

    /// Its place in a durable room; 0 in an ephemeral one.
    pub fn offset(&self) -> u64 {
        self.publication.offset
    }

    /// What it counts for while it waits: about the bytes of a frame.
    pub fn size(&self) -> usize {
        let info = self.publication.info.as_ref().map_or(0, Bytes::len);
        self.publication.data.len() + info + self.channel.len() + AROUND
    }

    pub fn mark(&self) -> &DeliveryMark {
        &self.mark
    }

    /// The push that members get who speak so.
    pub fn frame(&self, wire: Wire) -> &Arc<Frame> {
        self.frames.get_or_make(wire, || {
            let push = Push::Publication {
                channel: &self.channel,
                publication: &self.publication.as_protocol(),
            };
            wire.push(self.size(), &push).with_delivery(self.mark.clone())
        })
    }
}

#[cfg(test)]
impl Outgoing {
    /// A publication of so many bytes.
    pub fn fixture(offset: u64, length: usize) -> Self {
        let mut publication = Publication::new(vec![b'1'; length]);
        publication.offset = offset;
        Self::of(publication.into())
    }

    pub fn of(publication: Arc<Publication>) -> Self {
        let mark = DeliveryMark {
            namespace: crate::metrics::Metrics::new().unwrap().namespace("chat"),
            accepted_at: None,
            span: None,
        };
        Self::new(Channel::from("room"), publication, mark)
    }
}
