//! The Centrifuge client protocol in JSON, and Centrifugo's server API: our gateway and Centrifugo itself.

use memchr::memmem;

use super::{Event, Protocol};

#[derive(Clone, Copy, Debug)]
pub struct CentrifugeJson;

impl Protocol for CentrifugeJson {
    fn name(&self) -> &'static str {
        "centrifuge"
    }

    fn join(&self, room: Option<&str>) -> Vec<String> {
        let connect = r#"{"id":1,"connect":{"name":"bench"}}"#.to_owned();
        let subscribe = room.map(|room| format!(r#"{{"id":2,"subscribe":{{"channel":"{room}"}}}}"#));
        [connect].into_iter().chain(subscribe).collect()
    }

    fn publish(&self, id: u64, room: &str, data: &str) -> String {
        // 1 and 2 were used on joining.
        let id = id + 2;
        format!(r#"{{"id":{id},"publish":{{"channel":"{room}","data":{data}}}}}"#)
    }

    fn pong(&self) -> &'static str {
        "{}"
    }

    fn read(&self, message: &[u8], event: &mut dyn FnMut(Event<'_>)) {
        let mut rest = message;
        while !rest.is_empty() {
            let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
            event(line(&rest[..end]));
            rest = rest.get(end + 1..).unwrap_or_default();
        }
    }
}

fn line(line: &[u8]) -> Event<'_> {
    if line == b"{}" {
        Event::Ping
    } else if line.starts_with(br#"{"push":{"channel":""#) {
        Event::Delivered(line)
    } else if line.starts_with(br#"{"id":"#) && memmem::find(line, br#""error":{"#).is_none() {
        Event::Answered(line)
    } else {
        Event::Refused(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_holds_several_events() {
        let push = br#"{"push":{"channel":"a","pub":{"data":1}}}"#;
        let error = br#"{"id":4,"error":{"code":103,"message":"permission denied"}}"#;
        let answer = br#"{"id":3,"publish":{}}"#;
        let message = [&answer[..], b"{}", push, error].join(&b'\n');
        let mut events = Vec::new();
        CentrifugeJson.read(&message, &mut |event| events.push(format!("{event:?}")));
        let expected = [
            Event::Answered(answer),
            Event::Ping,
            Event::Delivered(push),
            Event::Refused(error),
        ];
        assert_eq!(events, expected.map(|event| format!("{event:?}")));
    }

    #[test]
    fn commands_are_json() {
        let data = r#"{"a":1}"#;
        let mut texts = CentrifugeJson.join(Some("room"));
        assert_eq!(texts.len(), 2);
        texts.push(CentrifugeJson.publish(1, "room", data));
        texts.push(CentrifugeJson.publish_by_http("room", data).1);
        for text in texts {
            serde_json::from_str::<serde_json::Value>(&text).unwrap();
        }
    }
}
