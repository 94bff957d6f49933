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

impl Worker {
    /// For the messages of a client that may compress them.
    pub fn inflater(&self) -> RefMut<'_, Inflater> {
        self.codec.inflater.borrow_mut()
    }

    /// A frame of `room` as one member gets it.
    pub(super) fn for_member<'a>(
        &self,
        room: &Room,
        frame: &'a Arc<Frame>,
        session: &Session,
    ) -> &'a Arc<Frame> {
        let compressed = session
            .takes_compressed()
            .then(|| self.compressed(room, frame, session.wire().opcode()))
            .flatten();
        let Some(compressed) = compressed else {
            return frame;
        };
        self.counters
            .spared(frame.bytes().len() - compressed.bytes().len());
        compressed
    }

    /// A frame compressed for those members of `room` who take that, where it pays or another worker has done it already.
    pub(super) fn compressed<'a>(
        &self,
        room: &Room,
        frame: &'a Frame,
        opcode: Opcode,
    ) -> Option<&'a Arc<Frame>> {
        let live = self.live();
        let settings = &live.settings.client.compression;
        if !settings.enabled {
            None
        } else if room.takers() >= settings.min_members.div_ceil(self.gateway.workers())
            && frame.payload().len() >= settings.min_size
        {
            frame.compressed(|payload| self.compress(opcode, payload, settings.level))
        } else {
            frame.known_compressed()
        }
    }

    fn compress(&self, opcode: Opcode, payload: &[u8], level: u8) -> Option<Box<[u8]>> {
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
        let frame = deflater.encode(opcode, payload);
        metrics.compressed(payload.len(), frame.as_deref().map(<[u8]>::len), began.elapsed());
        frame
    }
}
