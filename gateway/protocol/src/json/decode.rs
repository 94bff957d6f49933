//! From the text of a frame to commands.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, MapAccess, Visitor},
};

use super::field::Object;
use crate::{
    command::{Command, ConnectRequest, Request},
    decode::{DecodeError, Envelope},
};

/// Reads the commands of a frame: one a line, blank lines and blanks around a command ignored. A frame without
/// any command yields one [`DecodeError::Empty`].
pub fn decode(frame: &str) -> Commands<'_> {
    Commands {
        rest: Some(frame),
        blank: true,
    }
}

/// Reads all that a client says which only listens: a connect request without a command around it. `null` asks for
/// nothing.
pub fn decode_connect(text: &str) -> Result<ConnectRequest<'_>, DecodeError> {
    let request: Object<ConnectRequest<'_>> = serde_json::from_str(text)?;
    Ok(request.0.unwrap_or_default())
}

/// The commands of one frame, in order; made by [`decode`].
#[derive(Clone, Debug)]
pub struct Commands<'a> {
    rest: Option<&'a str>,
    blank: bool,
}

impl<'a> Iterator for Commands<'a> {
    type Item = Result<Command<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        while let Some(rest) = self.rest {
            let end = memchr::memchr(b'\n', rest.as_bytes());
            self.rest = end.map(|end| &rest[end + 1..]);
            let line = rest[..end.unwrap_or(rest.len())].trim_matches([' ', '\t', '\r']);
            if !line.is_empty() {
                self.blank = false;
                return Some(decode_line(line));
            }
        }
        std::mem::take(&mut self.blank).then_some(Err(DecodeError::Empty))
    }
}

fn decode_line(line: &str) -> Result<Command<'_>, DecodeError> {
    serde_json::from_str::<Envelope<'_>>(line)?.open()
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Key {
    Id,
    Connect,
    Subscribe,
    Unsubscribe,
    Publish,
    Presence,
    PresenceStats,
    History,
    Ping,
    Send,
    Rpc,
    Refresh,
    SubRefresh,
    #[serde(other)]
    Unknown,
}

impl<'de> Deserialize<'de> for Envelope<'de> {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        source.deserialize_map(EnvelopeVisitor)
    }
}

struct EnvelopeVisitor;

impl<'de> Visitor<'de> for EnvelopeVisitor {
    type Value = Envelope<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a command object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut envelope = Envelope::default();
        let mut id = None;
        while let Some(key) = map.next_key()? {
            match key {
                Key::Id if id.is_some() => return Err(A::Error::duplicate_field("id")),
                Key::Id => id = Some(map.next_value::<Option<u32>>()?.unwrap_or_default()),
                Key::Unknown => {
                    map.next_value::<IgnoredAny>()?;
                }
                kind => {
                    if let Some(request) = request(&kind, &mut map)? {
                        envelope.add(request);
                    }
                }
            }
        }
        envelope.id = id.unwrap_or_default();
        Ok(envelope)
    }
}

/// The request under `kind`; `None` when it is `null`.
fn request<'de, A: MapAccess<'de>>(kind: &Key, map: &mut A) -> Result<Option<Request<'de>>, A::Error> {
    fn read<'de, A: MapAccess<'de>, T: Deserialize<'de>>(
        map: &mut A,
        wrap: impl FnOnce(T) -> Request<'de>,
    ) -> Result<Option<Request<'de>>, A::Error> {
        Ok(map.next_value::<Object<T>>()?.0.map(wrap))
    }
    match kind {
        Key::Connect => read(map, Request::Connect),
        Key::Subscribe => read(map, Request::Subscribe),
        Key::Unsubscribe => read(map, Request::Unsubscribe),
        Key::Publish => read(map, Request::Publish),
        Key::Presence => read(map, Request::Presence),
        Key::PresenceStats => read(map, Request::PresenceStats),
        Key::History => read(map, Request::History),
        Key::Ping => read(map, |IgnoredAny| Request::Ping),
        Key::Send => read(map, Request::Send),
        Key::Rpc => read(map, Request::Rpc),
        Key::Refresh => read(map, Request::Refresh),
        Key::SubRefresh => read(map, Request::SubRefresh),
        Key::Id | Key::Unknown => Ok(None),
    }
}

#[cfg(test)]
mod tests;
