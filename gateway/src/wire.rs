//! How a connection speaks: the encoding of what is said, and what carries it.
//!
//! A message is encoded once for each combination that members of its room use on this gateway ([`Frames`]); everything
//! behind the encoding, from the outbox to the kernel, is the same for all of them.

use std::{
    borrow::Cow,
    sync::{Arc, OnceLock},
};

use natter_protocol::{Push, Reply, json, protobuf};
use natter_websocket::{FrameBuilder, Opcode};

use crate::{frame::Frame, publication::Publication};

/// What stands around one message of an event stream (WHATWG HTML, section 9.2.5).
const EVENT: (&[u8], &[u8]) = (b"data: ", b"\n\n");

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    #[default]
    Json,
    /// Of the Centrifuge protocol, each message behind its length.
    Protobuf,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Carrier {
    #[default]
    WebSocket,
    /// Server-sent events: what the client says comes by requests of their own.
    EventStream,
    /// The endless body of an HTTP answer; as above.
    HttpStream,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wire {
    pub encoding: Encoding,
    pub carrier: Carrier,
    /// The client says nothing but what it wants to be connected to.
    pub one_way: bool,
}

impl Encoding {
    /// Data for readers that undo differences. Those of JSON do it on texts, so theirs is a string with the text in it,
    /// whether or not it is a difference. Neither a text nor the difference between two is anything but UTF-8.
    pub fn undoable(self, data: &[u8]) -> Cow<'_, [u8]> {
        match self {
            Self::Json => {
                let text = String::from_utf8_lossy(data);
                // Strings always become JSON.
                Cow::Owned(serde_json::to_vec(&text).unwrap_or_default())
            }
            Self::Protobuf => Cow::Borrowed(data),
        }
    }
}

impl Wire {
    /// How many there are: who only listens speaks JSON.
    const COUNT: usize = 9;

    fn index(self) -> usize {
        if self.one_way {
            6 + self.carrier as usize
        } else {
            self.carrier as usize * 2 + self.encoding as usize
        }
    }

    /// The kind of WebSocket frame that holds its messages.
    pub fn opcode(self) -> Opcode {
        match self.encoding {
            Encoding::Json => Opcode::Text,
            Encoding::Protobuf => Opcode::Binary,
        }
    }

    /// Whether a reader can be given the publication.
    pub fn takes(self, publication: &Publication) -> bool {
        !publication.is_binary || self.encoding == Encoding::Protobuf
    }

    pub fn reply(self, capacity: usize, reply: &Reply<'_>) -> Frame {
        self.frame(capacity, |out| match self.encoding {
            Encoding::Json => json::encode_reply(reply, out),
            Encoding::Protobuf => protobuf::encode_reply(reply, out),
        })
    }

    pub fn push(self, capacity: usize, push: &Push<'_>) -> Frame {
        self.frame(capacity, |out| match self.encoding {
            Encoding::Json if self.one_way => json::encode_uni_push(push, out),
            Encoding::Json => json::encode_push(push, out),
            Encoding::Protobuf => protobuf::encode_push(push, out),
        })
    }

    pub fn ping(self) -> Frame {
        let ping = match self.encoding {
            Encoding::Json => json::PING,
            Encoding::Protobuf => protobuf::PING,
        };
        self.frame(ping.len(), |out| out.extend_from_slice(ping))
    }

    /// What carries the message that `write` appends, of about `capacity` bytes.
    fn frame(self, capacity: usize, write: impl FnOnce(&mut Vec<u8>)) -> Frame {
        let (before, after) = match (self.carrier, self.encoding) {
            (Carrier::WebSocket, _) => {
                let mut builder = FrameBuilder::with_capacity(self.opcode(), capacity);
                write(builder.payload());
                return builder.into();
            }
            (Carrier::EventStream, _) => EVENT,
            (Carrier::HttpStream, Encoding::Json) => (&b""[..], &b"\n"[..]),
            (Carrier::HttpStream, Encoding::Protobuf) => (&b""[..], &b""[..]),
        };
        let mut bytes = Vec::with_capacity(before.len() + capacity + after.len());
        bytes.extend_from_slice(before);
        write(&mut bytes);
        bytes.extend_from_slice(after);
        Frame::from_bytes(bytes)
    }
}

/// One message as it is on each wire, made when the first connection of its kind asks.
#[derive(Default)]
pub struct Frames([OnceLock<Arc<Frame>>; Wire::COUNT]);

impl Frames {
    pub fn get_or_make(&self, wire: Wire, make: impl FnOnce() -> Frame) -> &Arc<Frame> {
        self.0[wire.index()].get_or_init(|| Arc::new(make()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PING: &[(Encoding, Carrier, &[u8])] = &[
        (Encoding::Json, Carrier::WebSocket, b"\x81\x02{}"),
        (Encoding::Protobuf, Carrier::WebSocket, b"\x82\x01\0"),
        (Encoding::Json, Carrier::EventStream, b"data: {}\n\n"),
        (Encoding::Json, Carrier::HttpStream, b"{}\n"),
        (Encoding::Protobuf, Carrier::HttpStream, b"\0"),
    ];

    #[test]
    fn each_wire_has_its_own_form() {
        let frames = Frames::default();
        let wires = || {
            let both = [false, true].into_iter();
            let rows = both.flat_map(|one_way| PING.iter().map(move |row| (one_way, row)));
            rows.filter(|(one_way, row)| !one_way || row.0 == Encoding::Json)
        };
        for (one_way, &(encoding, carrier, expected)) in wires() {
            let wire = Wire {
                encoding,
                carrier,
                one_way,
            };
            assert_eq!(frames.get_or_make(wire, || wire.ping()).bytes(), expected);
        }
        let mut made: Vec<_> = wires()
            .map(|(one_way, &(encoding, carrier, _))| {
                let wire = Wire {
                    encoding,
                    carrier,
                    one_way,
                };
                Arc::as_ptr(frames.get_or_make(wire, || panic!("made twice")))
            })
            .collect();
        made.sort();
        made.dedup();
        assert_eq!(made.len(), wires().count(), "two wires share a frame");
    }

    #[test]
    fn who_only_listens_gets_pushes_without_a_reply_around_them() {
        let push = Push::Message { data: b"[1]" };
        let wire = Wire {
            carrier: Carrier::HttpStream,
            ..Wire::default()
        };
        assert_eq!(
            wire.push(16, &push).bytes(),
            b"{\"push\":{\"message\":{\"data\":[1]}}}\n"
        );
        let one_way = Wire {
            one_way: true,
            ..wire
        };
        assert_eq!(one_way.push(16, &push).bytes(), b"{\"message\":{\"data\":[1]}}\n");
    }
}
