//! From the bytes of a frame to commands.

use super::{
    reader::{Field, Reader},
    requests::Merge,
};
use crate::{
    command::{Command, Request},
    decode::{DecodeError, Envelope},
};

/// Reads the commands of a frame. A frame without any command yields one [`DecodeError::Empty`]; a command of no bytes
/// is a pong. Behind a length that cannot be there is nothing more to read.
pub fn decode(frame: &[u8]) -> Commands<'_> {
    Commands {
        rest: Reader::new(frame),
        blank: frame.is_empty(),
    }
}

/// The commands of one frame, in order; made by [`decode`].
#[derive(Clone, Debug)]
pub struct Commands<'a> {
    rest: Reader<'a>,
    blank: bool,
}

impl<'a> Iterator for Commands<'a> {
    type Item = Result<Command<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if std::mem::take(&mut self.blank) {
            return Some(Err(DecodeError::Empty));
        }
        if self.rest.is_empty() {
            return None;
        }
        let at = self.rest.at();
        let Some(fields) = self.rest.delimited() else {
            self.rest = Reader::new(&[]);
            return Some(Err(DecodeError::Length { at }));
        };
        Some(envelope(fields).and_then(Envelope::open))
    }
}

fn envelope(mut fields: Reader<'_>) -> Result<Envelope<'_>, DecodeError> {
    let mut envelope = Envelope::default();
    while let Some(field) = fields.field()? {
        if field.number == 1 {
            envelope.id.merge_from(&field)?;
        } else if let Some(request) = request(&field)? {
            envelope.add(request);
        }
    }
    Ok(envelope)
}

/// The request in a field; `None` when the field is unknown.
fn request<'a>(field: &Field<'a>) -> Result<Option<Request<'a>>, DecodeError> {
    Ok(Some(match field.number {
        4 => Request::Connect(read(field)?),
        5 => Request::Subscribe(read(field)?),
        6 => Request::Unsubscribe(read(field)?),
        7 => Request::Publish(read(field)?),
        8 => Request::Presence(read(field)?),
        9 => Request::PresenceStats(read(field)?),
        10 => Request::History(read(field)?),
        11 => read::<()>(field).map(|()| Request::Ping)?,
        12 => Request::Send(read(field)?),
        13 => Request::Rpc(read(field)?),
        14 => Request::Refresh(read(field)?),
        15 => Request::SubRefresh(read(field)?),
        _ => return Ok(None),
    }))
}

fn read<'a, M: Merge<'a>>(field: &Field<'a>) -> Result<M, DecodeError> {
    let mut message = M::default();
    message.merge_from(field)?;
    Ok(message)
}
