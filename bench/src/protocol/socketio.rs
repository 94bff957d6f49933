//! socket.io (protocol 5) over engine.io (protocol 4): each packet is a text message whose first digits are its types.

use super::{Event, Protocol};

#[derive(Clone, Copy, Debug)]
pub struct SocketIo;

impl Protocol for SocketIo {
    fn name(&self) -> &'static str {
        "socket.io"
    }

    fn join(&self, room: Option<&str>) -> Vec<String> {
        // Into the main namespace; then an event with an acknowledgement.
        let join = room.map(|room| format!(r#"420["join","{room}"]"#));
        ["40".to_owned()].into_iter().chain(join).collect()
    }

    fn publish(&self, id: u64, room: &str, data: &str) -> String {
        format!(r#"42{id}["publish","{room}",{data}]"#)
    }

    fn pong(&self) -> &'static str {
        "3"
    }

    fn read(&self, message: &[u8], event: &mut dyn FnMut(Event<'_>)) {
        event(match message {
            // The handshake of engine.io, which asks nothing of the client.
            [b'0', ..] => return,
            b"2" => Event::Ping,
            [b'4', b'2', ..] => Event::Delivered(message),
            [b'4', b'0' | b'3', ..] => Event::Answered(message),
            other => Event::Refused(other),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_told_apart() {
        let mut events = Vec::new();
        for packet in [
            r#"0{"sid":"a"}"#,
            r#"40{"sid":"b"}"#,
            "430[]",
            "2",
            r#"42["message",{}]"#,
            "41",
        ] {
            SocketIo.read(packet.as_bytes(), &mut |event| events.push(format!("{event:?}")));
        }
        let expected = [
            Event::Answered(br#"40{"sid":"b"}"#),
            Event::Answered(b"430[]"),
            Event::Ping,
            Event::Delivered(br#"42["message",{}]"#),
            Event::Refused(b"41"),
        ];
        assert_eq!(events, expected.map(|event| format!("{event:?}")));
    }
}
