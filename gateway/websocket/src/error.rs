//! What a client may do wrong on the wire. Every variant ends the connection.

/// A breach of RFC 6455 or of the connection's limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// A client must mask every frame (section 5.1).
    #[error("frame is not masked")]
    Unmasked,
    /// RSV1 marks the first frame of a compressed message where compression was negotiated (RFC 7692 section 6); anywhere
    /// else, and RSV2 and RSV3 always, must be 0 (section 5.2).
    #[error("reserved bits are set")]
    ReservedBits,
    /// Opcodes 3 to 7 and 11 to 15 (section 5.2).
    #[error("unknown opcode {0:#x}")]
    UnknownOpcode(u8),
    /// A control frame without FIN (section 5.5).
    #[error("control frame is fragmented")]
    FragmentedControl,
    /// A control frame with more than 125 bytes (section 5.5).
    #[error("control frame is longer than 125 bytes")]
    ControlTooLong,
    /// A continuation frame while no message is open (section 5.4).
    #[error("continuation frame without a message to continue")]
    UnexpectedContinuation,
    /// A new message before the last fragment of the open one (section 5.4).
    #[error("new message inside a fragmented message")]
    InterleavedMessage,
    /// A length written in more bytes than it needs (section 5.2).
    #[error("payload length is not written in its shortest form")]
    NonMinimalLength,
    /// A 64-bit length with its highest bit set (section 5.2).
    #[error("payload length has its highest bit set")]
    LengthHighBit,
    /// A close frame with a payload of one byte, half a code (section 5.5.1).
    #[error("close frame holds half a code")]
    InvalidClosePayload,
    /// A code that must not be on the wire (section 7.4).
    #[error("close code {0} is not allowed on the wire")]
    InvalidCloseCode(u16),
    /// Text or a close reason that is not UTF-8 (section 8.1).
    #[error("text is not valid UTF-8")]
    InvalidUtf8,
    /// A compressed message that cannot be inflated, or not to its end (RFC 7692 section 7.2.2).
    #[error("compressed message cannot be inflated")]
    InvalidDeflate,
    /// A message longer than [`Limits::message_size`](crate::Limits::message_size), by what its frames declare or once it
    /// is inflated.
    #[error("message is longer than {limit} bytes")]
    MessageTooBig {
        /// The limit, in bytes.
        limit: usize,
    },
    /// A message in more frames than [`Limits::fragments`](crate::Limits::fragments).
    #[error("message has more than {limit} fragments")]
    TooManyFragments {
        /// The limit, in frames.
        limit: usize,
    },
}

impl ProtocolError {
    /// The code for the close frame that answers this error (section 7.4.1).
    pub fn close_code(&self) -> u16 {
        match self {
            Self::InvalidUtf8 | Self::InvalidDeflate => 1007,
            Self::TooManyFragments { .. } => 1008,
            Self::MessageTooBig { .. } => 1009,
            _ => 1002,
        }
    }

    /// Every [`label`](Self::label).
    pub const LABELS: [&str; 15] = [
        "unmasked",
        "reserved_bits",
        "unknown_opcode",
        "fragmented_control",
        "control_too_long",
        "unexpected_continuation",
        "interleaved_message",
        "non_minimal_length",
        "length_high_bit",
        "invalid_close_payload",
        "invalid_close_code",
        "invalid_utf8",
        "invalid_deflate",
        "message_too_big",
        "too_many_fragments",
    ];

    /// A name for metrics, one of [`LABELS`](Self::LABELS).
    pub fn label(&self) -> &'static str {
        match self {
            Self::Unmasked => "unmasked",
            Self::ReservedBits => "reserved_bits",
            Self::UnknownOpcode(_) => "unknown_opcode",
            Self::FragmentedControl => "fragmented_control",
            Self::ControlTooLong => "control_too_long",
            Self::UnexpectedContinuation => "unexpected_continuation",
            Self::InterleavedMessage => "interleaved_message",
            Self::NonMinimalLength => "non_minimal_length",
            Self::LengthHighBit => "length_high_bit",
            Self::InvalidClosePayload => "invalid_close_payload",
            Self::InvalidCloseCode(_) => "invalid_close_code",
            Self::InvalidUtf8 => "invalid_utf8",
            Self::InvalidDeflate => "invalid_deflate",
            Self::MessageTooBig { .. } => "message_too_big",
            Self::TooManyFragments { .. } => "too_many_fragments",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ProtocolError::{self, *};

    #[test]
    fn every_label_is_listed() {
        let errors = [
            Unmasked,
            ReservedBits,
            UnknownOpcode(3),
            FragmentedControl,
            ControlTooLong,
            UnexpectedContinuation,
            InterleavedMessage,
            NonMinimalLength,
            LengthHighBit,
            InvalidClosePayload,
            InvalidCloseCode(1005),
            InvalidUtf8,
            InvalidDeflate,
            MessageTooBig { limit: 1 },
            TooManyFragments { limit: 1 },
        ];
        assert_eq!(errors.map(|error| error.label()), ProtocolError::LABELS);
    }
}
