//! The commands of a load, their answers, and what is delivered. The load writes its commands in one way only, so keys are looked
//! for in their order.

/// A command, or the body of a publication by HTTP.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Command<'a> {
    Connect {
        id: &'a str,
    },
    Join {
        id: &'a str,
        room: &'a str,
    },
    Publish {
        id: &'a str,
        room: &'a str,
        data: &'a str,
    },
    /// To a ping, which these servers do not send.
    Pong,
}

impl<'a> Command<'a> {
    /// `None` for what a load does not send.
    pub(super) fn read(text: &'a str) -> Option<Self> {
        if text == "{}" {
            return Some(Self::Pong);
        }
        let (id, rest) = text.strip_prefix(r#"{"id":"#)?.split_once(r#",""#)?;
        let (name, rest) = rest.split_once(r#"":{"#)?;
        match name {
            "connect" => Some(Self::Connect { id }),
            "subscribe" => {
                let (room, _) = room(rest)?;
                Some(Self::Join { id, room })
            }
            "publish" => {
                let (room, data) = publication(rest.strip_suffix('}')?)?;
                Some(Self::Publish { id, room, data })
            }
            _ => None,
        }
    }

    pub(super) fn answer(&self, client: &str) -> String {
        match self {
            Self::Connect { id } => format!(r#"{{"id":{id},"connect":{{"client":"{client}"}}}}"#),
            Self::Join { id, .. } => format!(r#"{{"id":{id},"subscribe":{{}}}}"#),
            Self::Publish { id, .. } => format!(r#"{{"id":{id},"publish":{{}}}}"#),
            Self::Pong => String::new(),
        }
    }
}

/// Room and data of a publication by HTTP.
pub(super) fn publication_by_http(body: &str) -> Option<(&str, &str)> {
    publication(body.strip_prefix('{')?)
}

/// What members get of a publication, by which client if it came by a socket.
pub(super) fn push(room: &str, data: &str, client: Option<&str>) -> String {
    let info = client.map_or_else(String::new, |client| {
        format!(r#","info":{{"user":"","client":"{client}"}}"#)
    });
    format!(r#"{{"push":{{"channel":"{room}","pub":{{"data":{data}{info}}}}}}}"#)
}

/// The fields of `{"channel":"room","data":data}` behind the first bracket.
fn publication(fields: &str) -> Option<(&str, &str)> {
    let (room, rest) = room(fields)?;
    Some((room, rest.strip_prefix(r#","data":"#)?.strip_suffix('}')?))
}

fn room(fields: &str) -> Option<(&str, &str)> {
    fields.strip_prefix(r#""channel":""#)?.split_once('"')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{CentrifugeJson, Protocol};

    #[test]
    fn commands_of_the_load_are_understood() {
        let protocol = CentrifugeJson;
        let joins = protocol.join(Some("a-1"));
        let connect = Command::Connect { id: "1" };
        let join = Command::Join { id: "2", room: "a-1" };
        let read: Vec<_> = joins.iter().map(|text| Command::read(text)).collect();
        assert_eq!(read, [Some(connect), Some(join)]);
        let data = r#"{"a":{"b":"}"}}"#;
        let publish = protocol.publish(7, "a-1", data);
        assert_eq!(
            Command::read(&publish),
            Some(Command::Publish {
                id: "9",
                room: "a-1",
                data
            })
        );
        let (_, body) = protocol.publish_by_http("a-1", data);
        assert_eq!(publication_by_http(&body), Some(("a-1", data)));
        assert_eq!(Command::read(protocol.pong()), Some(Command::Pong));
        assert_eq!(Command::read(r#"{"id":1,"history":{}}"#), None);
    }
}
