//! The fields of a message, one after another, borrowed from the frame.

use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

use crate::decode::DecodeError;

/// What is left of a message in a frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    /// Where `rest` ends in the frame.
    end: usize,
}

/// One field, its value not yet understood.
pub(super) struct Field<'a> {
    pub(super) number: u32,
    /// Where it begins in the frame.
    at: usize,
    value: Value<'a>,
}

enum Value<'a> {
    /// A number or flag.
    Varint(u64),
    /// A text, bytes or a message.
    Delimited(Reader<'a>),
    /// Of a type that the protocol has no use for: fixed numbers and groups.
    Foreign,
}

impl<'a> Reader<'a> {
    pub(super) fn new(frame: &'a [u8]) -> Self {
        Self {
            rest: frame,
            end: frame.len(),
        }
    }

    /// Where it stands in the frame.
    pub(super) fn at(&self) -> usize {
        self.end - self.rest.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// As many bytes as the number before them says; `None` if there are fewer or the number is none.
    pub(super) fn delimited(&mut self) -> Option<Self> {
        let length = decode_varint(&mut self.rest).ok()?;
        let (bytes, rest) = self.rest.split_at_checked(usize::try_from(length).ok()?)?;
        self.rest = rest;
        Some(Self {
            rest: bytes,
            end: self.at(),
        })
    }

    /// The next field; `None` at the end of the message.
    pub(super) fn field(&mut self) -> Result<Option<Field<'a>>, DecodeError> {
        if self.is_empty() {
            return Ok(None);
        }
        let at = self.at();
        let malformed = DecodeError::Wire { at };
        let (number, wire_type) = decode_key(&mut self.rest).map_err(|_| malformed)?;
        let value = match wire_type {
            WireType::Varint => Value::Varint(decode_varint(&mut self.rest).map_err(|_| malformed)?),
            WireType::LengthDelimited => Value::Delimited(self.delimited().ok_or(malformed)?),
            // Groups in groups only so deep as prost goes itself.
            _ => skip_field(wire_type, number, &mut self.rest, DecodeContext::default())
                .map(|()| Value::Foreign)
                .map_err(|_| malformed)?,
        };
        Ok(Some(Field { number, at, value }))
    }
}

impl<'a> Field<'a> {
    /// A message as if it stood in a field.
    pub(super) fn whole(message: &'a [u8]) -> Self {
        Self {
            number: 0,
            at: 0,
            value: Value::Delimited(Reader::new(message)),
        }
    }

    pub(super) fn varint(&self) -> Result<u64, DecodeError> {
        match self.value {
            Value::Varint(value) => Ok(value),
            Value::Delimited(_) | Value::Foreign => Err(self.wrong()),
        }
    }

    pub(super) fn message(&self) -> Result<Reader<'a>, DecodeError> {
        match self.value {
            Value::Delimited(fields) => Ok(fields),
            Value::Varint(_) | Value::Foreign => Err(self.wrong()),
        }
    }

    pub(super) fn bytes(&self) -> Result<&'a [u8], DecodeError> {
        self.message().map(|bytes| bytes.rest)
    }

    pub(super) fn text(&self) -> Result<&'a str, DecodeError> {
        str::from_utf8(self.bytes()?).map_err(|_| DecodeError::Text { at: self.at })
    }

    /// It has the wrong type or is out of range.
    pub(super) fn wrong(&self) -> DecodeError {
        DecodeError::Field { at: self.at }
    }
}
