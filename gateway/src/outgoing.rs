//! A publication on its way to the members of its room on this gateway.

mod change;

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use natter_protocol::{Filter, Push};

use self::change::Change;
use crate::{
    channel::Channel,
    frame::{DeliveryMark, Frame},
    publication::{MessageId, Publication, Tags},
    wire::{Frames, Wire},
};

/// What a frame holds beside payload, channel and publisher, about.
const AROUND: usize = 64;

pub struct Outgoing {
    pub channel: Channel,
    publication: Arc<Publication>,
    mark: DeliveryMark,
    frames: Frames,
    /// Members may be given the difference to what came before it, and of what comes next to it.
    is_origin: bool,
    previous: Option<Arc<Publication>>,
    /// For members that undo differences, once there is one.
    change: OnceLock<Box<Change>>,
    /// For members with filters, once there is one.
    tags: OnceLock<Tags>,
}

/// How a member is given a publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Plain,
    /// As members are given it that undo differences and have not what came before it.
    Whole,
    /// As the difference to what came before it, or whole where that is no longer.
    Delta,
}

impl Outgoing {
    pub fn new(channel: Channel, publication: Arc<Publication>, mark: DeliveryMark) -> Self {
        Self {
            channel,
            publication,
            mark,
            frames: Frames::default(),
            is_origin: false,
            previous: None,
            change: OnceLock::new(),
            tags: OnceLock::new(),
        }
    }

    /// Lets members be given the difference to what came before it in the room on this gateway, and of what comes next to it.
    #[must_use]
    pub fn after(self, previous: Option<Arc<Publication>>) -> Self {
        Self {
            is_origin: true,
            previous,
            ..self
        }
    }

    /// Whether members may be given the difference of what comes next to it.
    pub fn is_origin(&self) -> bool {
        self.is_origin
    }

    pub fn id(&self) -> MessageId {
        self.publication.id
    }

    /// What came before it in the room, where members may be given the difference.
    pub fn previous(&self) -> Option<MessageId> {
        self.previous.as_ref().map(|previous| previous.id)
    }

    /// Whether somebody with this filter wants it.
    pub fn matches(&self, filter: &Filter) -> bool {
        self.tags.get_or_init(|| Tags::of(&self.publication)).fit(filter)
    }

    /// Its place in a durable room; 0 in an ephemeral one.
    pub fn offset(&self) -> u64 {
        self.publication.offset
    }

    /// What it counts for while it waits: about the bytes of a frame.
    pub fn size(&self) -> usize {
        self.publication.data.len() + self.around()
    }

    fn around(&self) -> usize {
        let info = self.publication.info.as_ref().map_or(0, Bytes::len);
        info + self.channel.len() + AROUND
    }

    pub fn mark(&self) -> &DeliveryMark {
        &self.mark
    }

    /// The push that members get who speak so.
    pub fn frame(&self, wire: Wire, form: Form) -> &Arc<Frame> {
        if form == Form::Plain {
            return self.frames.get_or_make(wire, || self.push(wire, None, false));
        }
        let change = self.change.get_or_init(Box::default);
        let delta = (form == Form::Delta)
            .then(|| change.delta(self.previous.as_deref(), &self.publication))
            .flatten();
        match delta {
            Some(delta) => (change.deltas).get_or_make(wire, || self.push(wire, Some(delta), true)),
            None => {
                (change.wholes).get_or_make(wire, || self.push(wire, Some(&self.publication.data), false))
            }
        }
    }

    /// `data` is for members that undo differences, with `delta` one.
    fn push(&self, wire: Wire, data: Option<&[u8]>, delta: bool) -> Frame {
        let data = data.map(|data| wire.encoding.undoable(data));
        let mut publication = self.publication.as_protocol();
        publication.data = data.as_deref().unwrap_or(publication.data);
        publication.delta = delta;
        let push = Push::Publication {
            channel: &self.channel,
            publication: &publication,
        };
        wire.push(publication.data.len() + self.around(), &push)
            .with_delivery(self.mark.clone())
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

#[cfg(test)]
mod tests;
