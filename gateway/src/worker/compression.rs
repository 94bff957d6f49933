//! Compressed messages: once for each message and gateway, shared by all its members who take them.
//!
//! No context is kept between two messages (`natter_websocket::Deflater`), so a worker needs one deflater and one
//! inflater for all its connections; both are made when the first message asks for them. The first worker that has
//! enough takers compresses; another one that comes to the same message meanwhile waits for it, as it would otherwise
//! do the same work. That is bounded by [`CompressionSettings::MAX_SIZE`].
//!
//! A worker judges from its own members: `min_members` is that of the gateway, over whose workers the kernel spreads the
//! connections evenly. Answers to a single client are not compressed: nobody shares the work, and clients that come back
//! together ask for many at once.

use std::{
    cell::{RefCell, RefMut},
    sync::Arc,
};

use natter_websocket::{Deflater, Inflater, Opcode};
use tokio::time::Instant;

use super::Worker;
use crate::{config::CompressionSettings, frame::Frame, room::Room, session::Session};

/// What a worker compresses and inflates with.
#[derive(Default)]
pub(super) struct Codec {
    deflater: RefCell<Option<Deflater>>,
    inflater: RefCell<Inflater>,
}

/// A publication as the members of a room get it.
pub(super) struct Forms<'a> {
    plain: &'a Arc<Frame>,
    compressed: Option<&'a Arc<Frame>>,
}

impl<'a> Forms<'a> {
    /// The forms that were made already.
    pub(super) fn known(frame: &'a Arc<Frame>) -> Self {
        Self {
            plain: frame,
            compressed: frame.known_compressed(),
        }
    }
}

impl Worker {
    /// For the messages of a client that may compress them.
    pub fn inflater(&self) -> RefMut<'_, Inflater> {
        self.codec.inflater.borrow_mut()
    }

    /// The forms of a publication for the members of `room`: compressed where that pays, or where another worker has done
    /// it already.
    pub(super) fn forms<'a>(&self, room: &Room, frame: &'a Arc<Frame>) -> Forms<'a> {
        let live = self.live();
        let settings = &live.settings.client.compression;
        let takers = room.takers();
        let compressed = if takers == 0 || !settings.enabled {
            None
        } else if takers >= settings.min_members.div_ceil(self.gateway.workers())
            && frame.payload().len() >= settings.min_size
        {
            frame.compressed(|payload| self.compress(payload, settings.level))
        } else {
            frame.known_compressed()
        };
        Forms {
            plain: frame,
            compressed,
        }
    }

    /// The form of a publication for one member.
    pub(super) fn form<'a>(&self, forms: &Forms<'a>, session: &Session) -> &'a Arc<Frame> {
        match forms.compressed {
            Some(compressed) if session.takes_compressed() => {
                let spared = forms.plain.bytes().len() - compressed.bytes().len();
                self.counters.spared(spared);
                compressed
            }
            _ => forms.plain,
        }
    }

    fn compress(&self, payload: &[u8], level: u8) -> Option<Box<[u8]>> {
        let metrics = &self.gateway.metrics.compression;
        if payload.len() > CompressionSettings::MAX_SIZE {
            metrics.too_large();
            return None;
        }
        let mut deflater = self.codec.deflater.borrow_mut();
        // A reload may have changed the level.
        deflater.take_if(|deflater| deflater.level() != level);
        let deflater = deflater.get_or_insert_with(|| Deflater::new(level));
        let began = Instant::now();
        let frame = deflater.encode(Opcode::Text, payload);
        metrics.compressed(payload.len(), frame.as_deref().map(<[u8]>::len), began.elapsed());
        frame
    }
}
