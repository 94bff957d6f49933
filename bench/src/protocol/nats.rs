//! The text protocol of NATS clients. A room is a subject. Publications are not answered, as NATS clients have it.

use std::ops::ControlFlow;

use memchr::memmem;

use super::{Event, Protocol};

const END: &[u8] = b"\r\n";

#[derive(Clone, Copy, Debug)]
pub struct NatsText;

impl Protocol for NatsText {
    fn name(&self) -> &'static str {
        "nats"
    }

    fn join(&self, room: Option<&str>) -> Vec<String> {
        // Each command is followed by a ping, whose answer says that it was carried out.
        let connect = concat!(
            r#"CONNECT {"verbose":false,"pedantic":false,"lang":"natter-bench","protocol":1,"version":""#,
            env!("CARGO_PKG_VERSION"),
            "\"}\r\nPING\r\n"
        );
        let subscribe = room.map(|room| format!("SUB {room} 1\r\nPING\r\n"));
        [connect.to_owned()].into_iter().chain(subscribe).collect()
    }

    fn publish(&self, _: u64, room: &str, data: &str) -> String {
        format!("PUB {room} {}\r\n{data}\r\n", data.len())
    }

    fn pong(&self) -> &'static str {
        "PONG\r\n"
    }

    fn takes_http(&self) -> bool {
        false
    }

    fn read(&self, message: &[u8], event: &mut dyn FnMut(Event<'_>)) {
        let mut rest = message;
        while !rest.is_empty() {
            if next(&mut rest, event).is_break() {
                return event(Event::Refused(rest));
            }
        }
    }
}

/// Takes one operation off `rest`; breaks off when it is none. The server begins a WebSocket message with an operation, and
/// ends it with one.
fn next(rest: &mut &[u8], event: &mut dyn FnMut(Event<'_>)) -> ControlFlow<()> {
    let Some(end) = memmem::find(rest, END) else {
        return ControlFlow::Break(());
    };
    let line = &rest[..end];
    let mut taken = end + END.len();
    if line.starts_with(b"MSG ") {
        let Some(length) = length(line) else {
            return ControlFlow::Break(());
        };
        let payload = rest.get(taken..taken + length);
        let Some(payload) = payload else {
            return ControlFlow::Break(());
        };
        event(Event::Delivered(payload));
        taken += length + END.len();
    } else {
        match line {
            b"PONG" => event(Event::Answered(line)),
            b"PING" => event(Event::Ping),
            // What the server can do, and when that changes.
            line if line.starts_with(b"INFO ") => {}
            other => event(Event::Refused(other)),
        }
    }
    *rest = rest.get(taken..).unwrap_or_default();
    ControlFlow::Continue(())
}

/// The last field of `MSG subject sid length`.
fn length(line: &[u8]) -> Option<usize> {
    let field = line.rsplit(|byte| *byte == b' ').next()?;
    str::from_utf8(field).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(message: &[u8]) -> Vec<String> {
        let mut events = Vec::new();
        NatsText.read(message, &mut |event| events.push(format!("{event:?}")));
        events
    }

    #[test]
    fn a_frame_holds_several_operations() {
        let expected = [
            Event::Answered(b"PONG"),
            Event::Delivered(b"{\r\n}"),
            Event::Delivered(b""),
            Event::Ping,
            Event::Refused(b"-ERR 'Slow Consumer'"),
        ];
        assert_eq!(
            events(
                b"INFO {}\r\nPONG\r\nMSG a 1 4\r\n{\r\n}\r\nMSG a 1 0\r\n\r\nPING\r\n-ERR 'Slow Consumer'\r\n"
            ),
            expected.map(|event| format!("{event:?}"))
        );
    }

    #[test]
    fn what_is_cut_off_is_refused() {
        for message in [&b"PON"[..], b"MSG a 1 9\r\n{}\r\n", b"MSG a 1 x\r\n"] {
            assert_eq!(events(message), [format!("{:?}", Event::Refused(message))]);
        }
    }
}
