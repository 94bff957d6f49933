//! What a client says whose connection only brings: the body of a request of its own (`EmulationRequest`).

use std::borrow::Cow;

use serde::Deserialize;

use crate::{decode::DecodeError, json::field, payload::Payload, protobuf};

/// Commands for a session at one gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmulationRequest<'a> {
    /// The gateway, as its connect reply named it.
    pub node: Cow<'a, str>,
    /// The session, as above.
    pub session: Cow<'a, str>,
    /// A frame of commands in the session's encoding.
    pub data: Cow<'a, [u8]>,
}

/// The fields as they are encoded: in JSON `data` is a text that holds a frame.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Text<'a> {
    #[serde(borrow, deserialize_with = "field::text")]
    node: Cow<'a, str>,
    #[serde(borrow, deserialize_with = "field::text")]
    session: Cow<'a, str>,
    #[serde(borrow, deserialize_with = "field::text")]
    data: Cow<'a, str>,
}

#[derive(Default)]
pub(crate) struct Octets<'a> {
    pub(crate) node: Cow<'a, str>,
    pub(crate) session: Cow<'a, str>,
    pub(crate) data: Option<Payload<'a>>,
}

impl<'a> EmulationRequest<'a> {
    pub fn from_json(body: &'a [u8]) -> Result<Self, DecodeError> {
        let field::Object(request) = serde_json::from_slice(body)?;
        let Text { node, session, data } = request.unwrap_or_default();
        let data = match data {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        };
        Ok(Self { node, session, data })
    }

    pub fn from_protobuf(body: &'a [u8]) -> Result<Self, DecodeError> {
        let Octets { node, session, data } = protobuf::decode_emulation(body)?;
        let data = Cow::Borrowed(data.map_or(&[][..], Payload::bytes));
        Ok(Self { node, session, data })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_encodings_say_the_same() {
        let json = br#"{"session":"s","node":"n","data":"{\"id\":1}"}"#;
        let protobuf = b"\x0a\x01n\x12\x01s\x1a\x08{\"id\":1}";
        let expected = EmulationRequest {
            node: "n".into(),
            session: "s".into(),
            data: br#"{"id":1}"#.into(),
        };
        assert_eq!(EmulationRequest::from_json(json).unwrap(), expected);
        assert_eq!(EmulationRequest::from_protobuf(protobuf).unwrap(), expected);
    }

    #[test]
    fn what_is_neither_is_refused() {
        for body in [&b""[..], b"[]", b"{\"data\":1}", b"{\"session\":\"\xff\"}"] {
            assert!(EmulationRequest::from_json(body).is_err(), "{body:?}");
        }
        for body in [&b"\x0a\x05n"[..], b"\x0a\x01\xff", b"\x08"] {
            assert!(EmulationRequest::from_protobuf(body).is_err(), "{body:?}");
        }
    }
}
