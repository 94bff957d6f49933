//! From bytes read off a socket to messages (sections 5 and 8.1).
//!
//! The common case is one small whole frame in the scratch: it is unmasked where it lies and handed out borrowed, and
//! the decoder keeps nothing. What cannot be handed out yet moves into a box: the first bytes of a header, or the
//! unmasked payload of an unfinished message. That payload grows with what arrives and is never allocated by a declared
//! length, so a client must send what it wants the gateway to hold.

#![expect(
    clippy::mut_mut,
    reason = "`&mut &mut [u8]` is a slice of the scratch that shrinks from the front"
)]

mod message;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use message::Message;

use crate::header::{Header, MAX_CLIENT_HEADER};
use crate::{CloseFrame, Inflater, Opcode, ProtocolError, close, mask};

/// What a client may send.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Longest message, in bytes of payload over all its fragments. Exactly this many pass. Of a compressed message it
    /// is what counts once it is inflated.
    pub message_size: usize,
    /// Most frames of one message: empty fragments cost work without ever reaching `message_size`.
    pub fragments: usize,
}

impl Limits {
    /// Longest payload of a compressed message as it comes: what cannot be made shorter becomes a little longer.
    fn compressed_size(&self) -> usize {
        self.message_size
            .saturating_add(self.message_size / 8)
            .saturating_add(64)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_size: 64 * 1024,
            fragments: 1024,
        }
    }
}

/// The payload of a ping, at most 125 bytes, to be echoed by [`pong`](crate::pong()).
pub type ControlPayload<'a> = Cow<'a, [u8]>;

/// A whole message or a control frame. Control frames may come between the fragments of a message (section 5.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming<'a> {
    /// A text message, checked to be UTF-8.
    Text(Cow<'a, str>),
    /// A binary message.
    Binary(Cow<'a, [u8]>),
    /// A ping, to be answered by a pong with the same payload (section 5.5.2).
    Ping(ControlPayload<'a>),
    /// A pong; no ping of ours carries a payload worth comparing.
    Pong,
    /// The client closes; `None` when it gave no code. Nothing after this frame is to be read (section 5.5.1).
    Close(Option<CloseFrame<'a>>),
}

/// The reading half of one connection. After an error or a close frame it is of no further use.
#[derive(Debug, Default)]
pub struct Decoder {
    pending: Option<Box<Pending>>,
}

/// What has arrived and is not complete.
#[derive(Debug, Default)]
struct Pending {
    message: Option<Message>,
    frame: Frame,
}

/// The frame that is being received.
#[derive(Debug, Default)]
enum Frame {
    #[default]
    None,
    Header {
        bytes: [u8; MAX_CLIENT_HEADER],
        len: usize,
    },
    /// A fragment of [`Pending::message`].
    Data(Rest),
    Control {
        payload: Vec<u8>,
        rest: Rest,
    },
}

/// What is still to come of a frame.
#[derive(Debug)]
struct Rest {
    fin: bool,
    opcode: Opcode,
    remaining: usize,
    /// Turned so that its first byte is for the next byte of payload.
    key: [u8; 4],
}

impl Rest {
    /// Takes as much of the payload off the front of `input` as is there, unmasked.
    fn take<'a>(&mut self, input: &mut &'a mut [u8]) -> &'a [u8] {
        let len = self.remaining.min(input.len());
        let part = input.split_off_mut(..len).unwrap_or_default();
        mask::apply(part, self.key);
        self.key.rotate_left(len % 4);
        self.remaining -= len;
        part
    }
}

impl From<&Header> for Rest {
    fn from(header: &Header) -> Self {
        Self {
            fin: header.fin,
            opcode: header.opcode,
            remaining: header.length,
            key: header.key,
        }
    }
}

impl Decoder {
    /// Takes frames off the front of `input` until one completes a message or is a control frame.
    ///
    /// `Ok(None)` means that all of `input` was taken; an incomplete tail is kept inside. Where compression was
    /// negotiated, an inflater goes along with every call; it keeps nothing between them.
    pub fn next<'a>(
        &mut self,
        input: &mut &'a mut [u8],
        limits: &Limits,
        mut inflater: Option<&mut Inflater>,
    ) -> Result<Option<Incoming<'a>>, ProtocolError> {
        loop {
            if let Some(pending) = &mut self.pending
                && pending.in_payload()
            {
                let event = pending.resume(input, limits, inflater.as_deref_mut())?;
                if event.is_none() && pending.in_payload() {
                    return Ok(None);
                }
                self.release();
                if event.is_some() {
                    return Ok(event);
                }
            }
            let Some(header) = self.read_header(input, inflater.is_some())? else {
                return Ok(None);
            };
            let event = self.begin(header, input, limits, inflater.as_deref_mut())?;
            if event.is_some() {
                return Ok(event);
            }
        }
    }

    /// Whether nothing is kept: no frame and no message is unfinished.
    pub fn is_idle(&self) -> bool {
        self.pending.is_none()
    }

    /// Reads a header off the front of `input`, after what came of it before; keeps the bytes of an incomplete one.
    fn read_header(
        &mut self,
        input: &mut &mut [u8],
        compression: bool,
    ) -> Result<Option<Header>, ProtocolError> {
        let started = self
            .pending
            .as_ref()
            .is_some_and(|pending| matches!(pending.frame, Frame::Header { .. }));
        if !started && let Some((header, size)) = Header::parse(input, compression)? {
            *input = std::mem::take(input).get_mut(size..).unwrap_or_default();
            return Ok(Some(header));
        }
        while let Some(byte) = input.split_off_first_mut() {
            let pending = self.pending.get_or_insert_default();
            if let Some(header) = pending.push_header(*byte, compression)? {
                self.release();
                return Ok(Some(header));
            }
        }
        Ok(None)
    }

    /// Starts the frame of `header`: hands it out at once if it needs no keeping, else prepares for its payload.
    fn begin<'a>(
        &mut self,
        header: Header,
        input: &mut &'a mut [u8],
        limits: &Limits,
        inflater: Option<&mut Inflater>,
    ) -> Result<Option<Incoming<'a>>, ProtocolError> {
        let whole = header.length <= input.len();
        let mut rest = Rest::from(&header);
        if header.opcode.is_control() {
            if whole {
                return control(header.opcode, Cow::Borrowed(rest.take(input))).map(Some);
            }
            self.pending.get_or_insert_default().frame = Frame::Control {
                payload: Vec::new(),
                rest,
            };
            return Ok(None);
        }
        let open = self.pending.as_ref().and_then(|pending| pending.message.as_ref());
        message::admit(open, &header, limits)?;
        if open.is_none() && header.fin && whole {
            return message::whole(&header, rest.take(input), limits, inflater).map(Some);
        }
        let pending = self.pending.get_or_insert_default();
        pending
            .message
            .get_or_insert_with(|| Message::new(&header))
            .add_fragment();
        pending.frame = Frame::Data(rest);
        Ok(None)
    }

    /// Gives the box back when nothing is in it.
    fn release(&mut self) {
        self.pending
            .take_if(|pending| matches!(pending.frame, Frame::None) && pending.message.is_none());
    }
}

impl Pending {
    /// Adds a byte to the header being received. Forgets the bytes once it is whole.
    fn push_header(&mut self, byte: u8, compression: bool) -> Result<Option<Header>, ProtocolError> {
        if !matches!(self.frame, Frame::Header { .. }) {
            self.frame = Frame::Header {
                bytes: [0; MAX_CLIENT_HEADER],
                len: 0,
            };
        }
        let Frame::Header { bytes, len } = &mut self.frame else {
            return Ok(None);
        };
        bytes[*len] = byte;
        *len += 1;
        let Some((header, _)) = Header::parse(&bytes[..*len], compression)? else {
            return Ok(None);
        };
        self.frame = Frame::None;
        Ok(Some(header))
    }

    /// Whether payload of the current frame is still to come.
    fn in_payload(&self) -> bool {
        matches!(self.frame, Frame::Data(_) | Frame::Control { .. })
    }

    /// Goes on with the payload of the frame, and yields what ends with it.
    fn resume<'a>(
        &mut self,
        input: &mut &mut [u8],
        limits: &Limits,
        inflater: Option<&mut Inflater>,
    ) -> Result<Option<Incoming<'a>>, ProtocolError> {
        match &mut self.frame {
            Frame::Data(rest) => {
                let Some(message) = &mut self.message else {
                    return Ok(None);
                };
                let end = message.len() + rest.remaining;
                message.append(rest.take(input), end)?;
                if rest.remaining > 0 {
                    return Ok(None);
                }
                let last = rest.fin;
                self.frame = Frame::None;
                let whole = self.message.take_if(|_| last);
                whole.map(|message| message.finish(limits, inflater)).transpose()
            }
            Frame::Control { payload, rest } => {
                payload.extend_from_slice(rest.take(input));
                if rest.remaining > 0 {
                    return Ok(None);
                }
                let event = control(rest.opcode, Cow::Owned(std::mem::take(payload)))?;
                self.frame = Frame::None;
                Ok(Some(event))
            }
            Frame::None | Frame::Header { .. } => Ok(None),
        }
    }
}

/// A whole control frame.
fn control(opcode: Opcode, payload: Cow<'_, [u8]>) -> Result<Incoming<'_>, ProtocolError> {
    Ok(match opcode {
        Opcode::Close => Incoming::Close(close::parse(payload)?),
        Opcode::Ping => Incoming::Ping(payload),
        _ => Incoming::Pong,
    })
}
