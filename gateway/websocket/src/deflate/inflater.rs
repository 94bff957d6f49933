//! From the payload of a compressed message to what was said (section 7.2.2).

use flate2::{Decompress, FlushDecompress, Status};

use crate::ProtocolError;

/// What the sender left out, and a last block without content behind it. An inflater gets to the end of that block only
/// if the message ended with a whole block, so a message that was cut short does not pass for a shorter one.
const END: [u8; 9] = [0, 0, 0xff, 0xff, 1, 0, 0, 0xff, 0xff];
/// Text is about so many times longer than compressed.
const USUAL_RATIO: usize = 4;

/// Inflates messages one after another. Its tables, some 50 KiB, are made for the first one.
#[derive(Default)]
pub struct Inflater {
    state: Option<Decompress>,
}

impl Inflater {
    /// The message, of at most `limit` bytes; no more than that and one byte is ever allocated, whatever it would become.
    pub fn inflate(&mut self, payload: &[u8], limit: usize) -> Result<Vec<u8>, ProtocolError> {
        let state = self.state.get_or_insert_with(|| Decompress::new(false));
        state.reset(false);
        let mut output = Vec::new();
        output.reserve_exact(USUAL_RATIO.saturating_mul(payload.len()).min(limit) + 1);
        inflate(state, payload, &mut output, limit)?;
        if inflate(state, &END, &mut output, limit)? {
            Ok(output)
        } else {
            Err(ProtocolError::InvalidDeflate)
        }
    }
}

/// Takes all of `input`; says whether it ended with a block that its sender marked as the last one. What follows such a
/// block begins anew (section 7.2.3.5).
fn inflate(
    state: &mut Decompress,
    mut input: &[u8],
    output: &mut Vec<u8>,
    limit: usize,
) -> Result<bool, ProtocolError> {
    loop {
        let (taken, written) = (state.total_in(), output.len());
        let status = state
            .decompress_vec(input, output, FlushDecompress::None)
            .map_err(|_| ProtocolError::InvalidDeflate)?;
        if output.len() > limit {
            return Err(ProtocolError::MessageTooBig { limit });
        }
        // What is taken is a part of `input`.
        let taken = usize::try_from(state.total_in() - taken).unwrap_or(usize::MAX);
        input = input.get(taken..).unwrap_or_default();
        if status == Status::StreamEnd {
            state.reset(false);
            if input.is_empty() {
                return Ok(true);
            }
        } else if output.len() == output.capacity() {
            let longer = (2 * output.capacity()).min(limit + 1);
            output.reserve_exact(longer - output.len());
        } else if input.is_empty() {
            return Ok(false);
        } else if taken == 0 && output.len() == written {
            return Err(ProtocolError::InvalidDeflate);
        }
    }
}
