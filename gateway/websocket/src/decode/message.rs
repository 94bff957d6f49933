//! Data messages: which frames may open or continue one, and the part of one that has arrived.

use std::borrow::Cow;

use crate::header::Header;
use crate::{Incoming, Inflater, Limits, Opcode, ProtocolError};

/// The unmasked payload of an unfinished message.
#[derive(Debug)]
pub(super) struct Message {
    text: bool,
    /// The payload is to be inflated once it is whole.
    compressed: bool,
    payload: Vec<u8>,
    /// Bytes at the front of `payload` that are whole UTF-8 characters, if this is text.
    checked: usize,
    fragments: usize,
}

/// Whether a data frame with this header may come now, judged before any of its payload is there.
pub(super) fn admit(open: Option<&Message>, header: &Header, limits: &Limits) -> Result<(), ProtocolError> {
    match (open, header.opcode) {
        (None, Opcode::Continuation) => return Err(ProtocolError::UnexpectedContinuation),
        (Some(_), Opcode::Text | Opcode::Binary) => return Err(ProtocolError::InterleavedMessage),
        _ => {}
    }
    let (len, fragments) = open.map_or((0, 0), |message| (message.len(), message.fragments));
    let longest = if open.map_or(header.compressed, |message| message.compressed) {
        limits.compressed_size()
    } else {
        limits.message_size
    };
    if len.saturating_add(header.length) > longest {
        return Err(ProtocolError::MessageTooBig {
            limit: limits.message_size,
        });
    }
    if fragments >= limits.fragments {
        return Err(ProtocolError::TooManyFragments {
            limit: limits.fragments,
        });
    }
    Ok(())
}

/// A message that came in one piece.
pub(super) fn whole<'a>(
    header: &Header,
    payload: &'a [u8],
    limits: &Limits,
    inflater: Option<&mut Inflater>,
) -> Result<Incoming<'a>, ProtocolError> {
    let text = header.opcode == Opcode::Text;
    if header.compressed {
        return owned(text, inflate(payload, limits, inflater)?);
    }
    if !text {
        return Ok(Incoming::Binary(Cow::Borrowed(payload)));
    }
    let text = simdutf8::basic::from_utf8(payload).map_err(|_| ProtocolError::InvalidUtf8)?;
    Ok(Incoming::Text(Cow::Borrowed(text)))
}

fn inflate(
    payload: &[u8],
    limits: &Limits,
    inflater: Option<&mut Inflater>,
) -> Result<Vec<u8>, ProtocolError> {
    let inflater = inflater.ok_or(ProtocolError::ReservedBits)?;
    inflater.inflate(payload, limits.message_size)
}

/// A message in memory of its own.
fn owned<'a>(text: bool, payload: Vec<u8>) -> Result<Incoming<'a>, ProtocolError> {
    if !text {
        return Ok(Incoming::Binary(Cow::Owned(payload)));
    }
    let text = String::from_utf8(payload).map_err(|_| ProtocolError::InvalidUtf8)?;
    Ok(Incoming::Text(Cow::Owned(text)))
}

impl Message {
    /// The message that the frame of `header` opens.
    pub(super) fn new(header: &Header) -> Self {
        Self {
            text: header.opcode == Opcode::Text,
            compressed: header.compressed,
            payload: Vec::new(),
            checked: 0,
            fragments: 0,
        }
    }

    pub(super) fn add_fragment(&mut self) {
        self.fragments += 1;
    }

    /// Bytes received.
    pub(super) fn len(&self) -> usize {
        self.payload.len()
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.payload.capacity()
    }

    /// Adds what arrived of a frame that will end at `end`. Doubles the buffer as a vector does, but not past `end`.
    pub(super) fn append(&mut self, part: &[u8], end: usize) -> Result<(), ProtocolError> {
        let len = self.payload.len() + part.len();
        if len > self.payload.capacity() {
            let capacity = len.max(2 * self.payload.capacity()).min(end);
            self.payload.reserve_exact(capacity - self.payload.len());
        }
        self.payload.extend_from_slice(part);
        if self.text && !self.compressed {
            self.check_text()
        } else {
            Ok(())
        }
    }

    /// Fails as soon as no further bytes could make the text valid; a character cut at the end may still become whole.
    fn check_text(&mut self) -> Result<(), ProtocolError> {
        match simdutf8::compat::from_utf8(&self.payload[self.checked..]) {
            Ok(_) => self.checked = self.payload.len(),
            Err(error) if error.error_len().is_none() => self.checked += error.valid_up_to(),
            Err(_) => return Err(ProtocolError::InvalidUtf8),
        }
        Ok(())
    }

    /// The whole message. The text is checked once more, as a string is not made otherwise without `unsafe`.
    pub(super) fn finish<'a>(
        self,
        limits: &Limits,
        inflater: Option<&mut Inflater>,
    ) -> Result<Incoming<'a>, ProtocolError> {
        let payload = if self.compressed {
            inflate(&self.payload, limits, inflater)?
        } else {
            self.payload
        };
        owned(self.text, payload)
    }
}
