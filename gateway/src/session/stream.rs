//! Sessions whose connection is a stream: what the gateway says goes down the stream, what the client says is brought by
//! requests of their own.

use std::{fmt, rc::Rc, sync::Arc};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Phase, Session};
use crate::{
    cluster::Hearing,
    frame::Frame,
    rooms::WorkerId,
    wire::{Carrier, Encoding},
    worker::Worker,
};

/// The `session` of the protocol: by which requests of a client find its stream, and which nobody else knows.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StreamKey {
    pub worker: WorkerId,
    /// Nil is nobody's.
    pub secret: Uuid,
}

impl StreamKey {
    pub fn parse(text: &str) -> Option<Self> {
        let (worker, secret) = text.split_once('-')?;
        Some(Self {
            worker: worker.parse().ok()?,
            secret: Uuid::try_parse(secret).ok()?,
        })
    }
}

/// Without the secret.
impl fmt::Debug for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut key = f.debug_struct("StreamKey");
        key.field("worker", &self.worker).finish_non_exhaustive()
    }
}

/// With the secret, as the client is told it.
impl fmt::Display for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.worker, self.secret.simple())
    }
}

impl Session {
    pub(super) fn is_stream(&self) -> bool {
        self.wire.carrier != Carrier::WebSocket
    }

    /// Whether the client answers pings: from a stream that would be a request each time.
    pub(super) fn answers_pings(&self) -> bool {
        !self.is_stream() && !self.wire.one_way
    }

    /// Of a stream: what its client's requests name.
    pub fn stream_key(&self, worker: &Worker) -> Option<StreamKey> {
        self.secret.as_deref().map(|secret| StreamKey {
            worker: worker.id,
            secret: *secret,
        })
    }

    /// Serves a stream to its end. `head` is the beginning of the answer that it is.
    pub async fn run_stream(self: Rc<Self>, worker: Rc<Worker>, head: Vec<u8>, commands: Bytes) {
        self.push(&worker, &Arc::new(Frame::from_bytes(head)));
        self.open(&worker);
        if self.wire.one_way {
            self.say_once(&worker, &commands);
        } else {
            self.hear(&worker, &commands);
        }
        drop(commands);
        self.serve(worker).await;
    }

    /// Takes commands of the client, from wherever they came.
    pub fn hear(self: &Rc<Self>, worker: &Rc<Worker>, data: &[u8]) -> Hearing {
        if self.is_over() || self.wire.one_way {
            return Hearing::Unknown;
        }
        if self.replies.borrow().is_full()
            || self.phase.get() == Phase::Admitting
            || self.has_said_too_much(worker)
        {
            return Hearing::Busy;
        }
        worker.counters().received(data.len());
        match self.wire.encoding {
            Encoding::Json => match std::str::from_utf8(data) {
                Ok(text) => self.say_text(worker, text, 0),
                Err(_) => self.refuse(worker, "invalid_utf8"),
            },
            Encoding::Protobuf => self.say_bytes(worker, data, 0),
        }
        Hearing::Heard
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_it_was_written() {
        let key = StreamKey {
            worker: 3,
            secret: Uuid::new_v4(),
        };
        assert_eq!(StreamKey::parse(&key.to_string()), Some(key));
        assert_eq!(format!("{key:?}"), "StreamKey { worker: 3, .. }");
        for text in ["", "3", "3-", "x-00000000000000000000000000000000", "-"] {
            assert_eq!(StreamKey::parse(text), None, "{text}");
        }
    }
}
