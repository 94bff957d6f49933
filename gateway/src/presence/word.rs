//! What gateways tell each other about the members of a room.
//!
//! A [`Word`] travels on the room's own live subject and reaches exactly the gateways that have members there; a
//! [`Digest`] goes to one gateway that asked for it. `format` is raised when a field changes its meaning.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Member;

const FORMAT: u32 = 1;

/// How far a gateway's words about a room have come: each change is the next in its life of the room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Place {
    /// One stay of the room at the gateway, from the first member to the last; later ones are greater.
    pub(super) life: u64,
    pub(super) seq: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Word {
    pub(super) place: Place,
    /// Members of the room at the sender.
    pub(super) clients: u32,
    pub(super) said: Said,
    /// Whoever has members of the room sends a digest.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) asks: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Said {
    /// Nothing has changed.
    Beat,
    Changed {
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        joined: Vec<Member>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        left: Vec<Uuid>,
    },
    /// Too many to say who: so many users they are.
    Counts { users: u32 },
}

/// A part of the members that a gateway has in a room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    pub channel: String,
    /// `None`: nobody is there.
    pub(super) place: Option<Place>,
    pub(super) clients: u32,
    pub(super) users: u32,
    /// Whether it says who they are.
    pub(super) lists: bool,
    pub(super) page: u32,
    pub(super) pages: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) members: Vec<Member>,
}

#[derive(Serialize, Deserialize)]
struct Envelope {
    format: u32,
    word: Word,
}

/// Read before the rest, which may look different in another format.
#[derive(Deserialize)]
struct Head {
    format: u32,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum DecodeError {
    #[error("word about members is not readable: {0}")]
    Json(#[from] serde_json::Error),
    #[error("format {0} of a word about members is not known")]
    Format(u32),
}

impl Word {
    pub(super) fn encode(self) -> Bytes {
        let envelope = Envelope {
            format: FORMAT,
            word: self,
        };
        // Plain structs with string keys always become JSON.
        serde_json::to_vec(&envelope).unwrap_or_default().into()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let head: Head = serde_json::from_slice(bytes)?;
        if head.format != FORMAT {
            return Err(DecodeError::Format(head.format));
        }
        Ok(serde_json::from_slice::<Envelope>(bytes)?.word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_the_journey() {
        let said = Said::Changed {
            joined: vec![(*Member::fixture("ann")).clone()],
            left: vec![Uuid::new_v4()],
        };
        for said in [said, Said::Beat, Said::Counts { users: 3 }] {
            let word = Word {
                place: Place { life: 2, seq: 7 },
                clients: 5,
                said,
                asks: true,
            };
            assert_eq!(Word::decode(&word.clone().encode()).unwrap(), word);
        }
    }

    #[test]
    fn other_formats_are_refused_before_they_are_misread() {
        assert!(matches!(
            Word::decode(br#"{"format":9}"#),
            Err(DecodeError::Format(9))
        ));
        assert!(matches!(Word::decode(b"\xff"), Err(DecodeError::Json(_))));
    }
}
