//! What differs between the servers that are measured. One adapter for each protocol.

mod centrifuge;
mod nats;
mod socketio;

use std::fmt::Debug;

pub use centrifuge::CentrifugeJson;
pub use nats::NatsText;
pub use socketio::SocketIo;

/// What a message of the server says. The texts are those of the server.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A command was carried out.
    Answered(&'a [u8]),
    /// A publication in a room that the connection is in.
    Delivered(&'a [u8]),
    /// The server wants to know whether the client is there.
    Ping,
    /// A command failed, or the server said something that a load does not expect.
    Refused(&'a [u8]),
}

/// All adapters.
static ALL: [&dyn Protocol; 3] = [&CentrifugeJson, &NatsText, &SocketIo];

/// The one of this name.
pub fn named(name: &str) -> Option<&'static dyn Protocol> {
    ALL.into_iter().find(|protocol| protocol.name() == name)
}

/// A client's side of a protocol over WebSocket, with text messages.
pub trait Protocol: Debug + Sync {
    /// By which another process of this program finds it.
    fn name(&self) -> &'static str;

    /// The commands that make a connection of a socket and join `room`, if any, each sent when the one before it was
    /// answered.
    fn join(&self, room: Option<&str>) -> Vec<String>;

    /// The command that publishes `data`, which is JSON. `id` is unique for its connection and not 0.
    fn publish(&self, id: u64, room: &str, data: &str) -> String;

    /// The answer to [`Event::Ping`].
    fn pong(&self) -> &'static str;

    /// Whether publications are taken by HTTP at all.
    fn takes_http(&self) -> bool {
        true
    }

    /// Path and body of the HTTP request that publishes `data`: those of Centrifugo's server API, where a server has no
    /// form of its own.
    fn publish_by_http(&self, room: &str, data: &str) -> (&'static str, String) {
        ("/api/publish", format!(r#"{{"channel":"{room}","data":{data}}}"#))
    }

    /// Whether the body of a response with status 200 says that the publication was taken.
    fn is_published(&self, body: &[u8]) -> bool {
        body.starts_with(br#"{"result":"#)
    }

    /// Reads one message, which may hold several events.
    fn read(&self, message: &[u8], event: &mut dyn FnMut(Event<'_>));
}
