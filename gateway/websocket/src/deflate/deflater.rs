//! From a message to one compressed frame (section 7.2.1).

use flate2::{Compress, Compression, FlushCompress};

use super::{TAIL, WINDOW_BITS};
use crate::Opcode;
use crate::encode::header;
use crate::header::RSV1;

/// Compresses messages one after another. Its tables, some 250 KiB, are made for the first one.
pub struct Deflater {
    level: u8,
    state: Option<Compress>,
    output: Vec<u8>,
}

impl Deflater {
    /// `level` is 1 (fastest) to 9 (shortest).
    pub fn new(level: u8) -> Self {
        Self {
            level,
            state: None,
            output: Vec::new(),
        }
    }

    /// What [`Deflater::new`] was given.
    pub fn level(&self) -> u8 {
        self.level
    }

    /// The message as one whole frame of exact size; `None` where its payload would not become shorter.
    pub fn encode(&mut self, opcode: Opcode, payload: &[u8]) -> Option<Box<[u8]>> {
        let level = Compression::new(self.level.into());
        let state = self
            .state
            .get_or_insert_with(|| Compress::new_with_window_bits(level, false, WINDOW_BITS));
        state.reset();
        self.output.clear();
        // With room for so much, the flush is complete exactly when some of it is left.
        let room = payload.len() + TAIL.len();
        self.output.reserve(room);
        state
            .compress_vec(payload, &mut self.output, FlushCompress::Sync)
            .ok()?;
        if self.output.len() >= room {
            return None;
        }
        let deflated = self.output.strip_suffix(&TAIL)?;
        let (mut header, size) = header(opcode, deflated.len());
        header[0] |= RSV1;
        Some([&header[..size], deflated].concat().into_boxed_slice())
    }
}
