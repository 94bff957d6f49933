//! What both encodings have in common when they read commands: the rules that span a command's fields, and the names
//! of what can be wrong.

use crate::command::{Command, Request};

/// A command as it stands in a frame, before the rules that span its fields.
#[derive(Default)]
pub(crate) struct Envelope<'a> {
    pub(crate) id: u32,
    pub(crate) request: Option<Request<'a>>,
    /// How many there are; `request` is one of them.
    pub(crate) requests: usize,
}

impl<'a> Envelope<'a> {
    pub(crate) fn add(&mut self, request: Request<'a>) {
        self.request = Some(request);
        self.requests += 1;
    }

    pub(crate) fn open(self) -> Result<Command<'a>, DecodeError> {
        let id = self.id;
        match self.request {
            _ if self.requests > 1 => Err(DecodeError::Ambiguous),
            None if id == 0 => Ok(Command {
                id,
                request: Request::Pong,
            }),
            None => Err(DecodeError::UnknownCommand),
            Some(request @ Request::Send(_)) => Ok(Command { id, request }),
            Some(_) if id == 0 => Err(DecodeError::MissingId),
            Some(request) => Ok(Command { id, request }),
        }
    }
}

/// Why a frame holds no command. Nothing of the frame is repeated here: it may hold a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("no command in the frame")]
    Empty,
    /// Not JSON; `column` is the byte of the line, counted from 1, at which that was clear.
    #[error("malformed JSON at byte {column}")]
    Syntax { column: usize },
    /// JSON, but a field has the wrong type, is out of range or is there twice.
    #[error("wrong type, value out of range or duplicate key at byte {column}")]
    Data { column: usize },
    /// The length before a Protobuf command is cut off, never ends or says more than is there: where the next command
    /// begins is unknown. `at` is the byte of the frame, counted from 0.
    #[error("length of the command at byte {at} reaches beyond the frame")]
    Length { at: usize },
    /// Not Protobuf: what begins at the byte `at` of the frame, counted from 0, is cut off, never ends, is nested too
    /// deep or has no valid number.
    #[error("malformed Protobuf field at byte {at}")]
    Wire { at: usize },
    /// Protobuf, but the field at the byte `at` of the frame has the wrong type or is out of range.
    #[error("wrong type or value out of range in the Protobuf field at byte {at}")]
    Field { at: usize },
    /// A text that is not UTF-8 in the field at the byte `at` of the frame.
    #[error("text that is not UTF-8 in the Protobuf field at byte {at}")]
    Text { at: usize },
    #[error("command without an id")]
    MissingId,
    #[error("no known request in the command")]
    UnknownCommand,
    #[error("more than one request in the command")]
    Ambiguous,
}

impl DecodeError {
    /// The name in logs and metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Syntax { .. } => "syntax",
            Self::Data { .. } => "data",
            Self::Length { .. } => "length",
            Self::Wire { .. } => "wire",
            Self::Field { .. } => "field",
            Self::Text { .. } => "text",
            Self::MissingId => "missing_id",
            Self::UnknownCommand => "unknown_command",
            Self::Ambiguous => "ambiguous",
        }
    }
}

impl From<serde_json::Error> for DecodeError {
    fn from(error: serde_json::Error) -> Self {
        let column = error.column();
        if error.is_data() {
            Self::Data { column }
        } else {
            Self::Syntax { column }
        }
    }
}
