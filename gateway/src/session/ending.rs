//! Why a connection ends. One name for each reason gives the close code, the log field and the metric label.

use natter_protocol::DisconnectCode;
use natter_websocket::ProtocolError;

/// The reason for the end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// A reason of the client protocol.
    Disconnect(DisconnectCode),
    /// Code and reason chosen by the caller of the server API, or by a backend that was asked.
    Chosen { code: u16, reason: String },
    /// The bytes were no WebSocket frames (RFC 6455 section 7.4.1).
    Framing(ProtocolError),
    /// The peer closed, with its code if it sent one.
    ClosedByPeer(Option<u16>),
    /// The peer is gone without a close frame.
    Lost,
    /// The kernel refused to write.
    WriteFailed,
}

/// Close code of an answer to a close frame that had none (RFC 6455 section 7.1.5 has no code for it on the wire).
const NORMAL_CLOSURE: u16 = 1000;

impl Ending {
    const CHOSEN: &str = "chosen";
    const CLOSED_BY_PEER: &str = "closed_by_peer";
    const LOST: &str = "lost";
    const WRITE_FAILED: &str = "write_failed";

    /// Code and reason of the close frame; `None` when the peer cannot get one any more.
    pub fn close_frame(&self) -> Option<(u16, &str)> {
        match self {
            Self::Disconnect(code) => Some((code.code(), code.reason())),
            Self::Chosen { code, reason } => Some((*code, reason)),
            Self::Framing(error) => Some((error.close_code(), error.label())),
            Self::ClosedByPeer(code) => Some((code.unwrap_or(NORMAL_CLOSURE), "")),
            Self::Lost | Self::WriteFailed => None,
        }
    }

    /// Metric label and log field, from a closed set.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Disconnect(code) => code.label(),
            Self::Chosen { .. } => Self::CHOSEN,
            Self::Framing(error) => error.label(),
            Self::ClosedByPeer(_) => Self::CLOSED_BY_PEER,
            Self::Lost => Self::LOST,
            Self::WriteFailed => Self::WRITE_FAILED,
        }
    }

    /// Every label, for series that exist before their first event.
    pub fn labels() -> impl Iterator<Item = &'static str> {
        let unnumbered = [Self::CHOSEN, Self::CLOSED_BY_PEER, Self::LOST, Self::WRITE_FAILED];
        DisconnectCode::ALL
            .iter()
            .map(|code| code.label())
            .chain(ProtocolError::LABELS)
            .chain(unnumbered)
    }

    /// Whether SDKs come back by themselves: the ranges of the protocol, which also hold for chosen codes.
    pub fn reconnects(&self) -> bool {
        let code = self.close_frame().map_or(0, |(code, _)| code);
        !matches!(code, 3500..=3999 | 4500..=4999)
    }

    /// Whether somebody ordered it, who may have published before.
    pub fn is_ordered(&self) -> bool {
        matches!(
            self,
            Self::Chosen { .. }
                | Self::Disconnect(
                    DisconnectCode::Shutdown | DisconnectCode::ForceReconnect | DisconnectCode::Expired
                )
        )
    }

    /// Whether the peer did something that an operator may want to look at.
    pub fn is_peers_fault(&self) -> bool {
        match self {
            Self::Framing(_) => true,
            Self::Disconnect(code) => matches!(
                code,
                DisconnectCode::BadRequest
                    | DisconnectCode::InvalidToken
                    | DisconnectCode::Slow
                    | DisconnectCode::Stale
                    | DisconnectCode::TooManyRequests
                    | DisconnectCode::ConnectionLimit
                    | DisconnectCode::NotAvailable
            ),
            Self::Chosen { .. } | Self::ClosedByPeer(_) | Self::Lost | Self::WriteFailed => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_ending_is_among_the_labels_once() {
        let labels: Vec<_> = Ending::labels().collect();
        for ending in [
            Ending::Disconnect(DisconnectCode::Slow),
            Ending::Chosen {
                code: 4000,
                reason: String::new(),
            },
            Ending::Framing(ProtocolError::InvalidUtf8),
            Ending::ClosedByPeer(None),
            Ending::Lost,
            Ending::WriteFailed,
        ] {
            let count = labels.iter().filter(|label| **label == ending.label()).count();
            assert_eq!(count, 1, "{ending:?}");
        }
    }
}
