//! Names on NATS. Every name starts with the cluster's prefix, so that two clusters can share one NATS.
//!
//! | family | who publishes | who subscribes |
//! |---|---|---|
//! | `<prefix>.eph.<partition>.<room>` | gateways | gateways |
//! | `<prefix>.ctl.all`, `<prefix>.ctl.node.<node>` | gateways | gateways |
//! | `<prefix>.ctl.echo`, `<prefix>.ctl.echoed.<node>` | gateways | gateways |
//!
//! `<prefix>.msg.…` and `<prefix>.live.…` are kept free for durable rooms.

use std::fmt::Write;

use uuid::Uuid;

/// Partition of every ephemeral room: core NATS needs no spreading, the token keeps the shape of all room subjects.
const EPHEMERAL_PARTITION: u16 = 0;

#[derive(Clone, Debug)]
pub struct Subjects {
    prefix: String,
}

impl Subjects {
    pub fn new(prefix: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
        }
    }

    /// Where publications of an ephemeral room travel.
    pub fn ephemeral(&self, room: &str) -> String {
        let mut subject = format!("{}.eph.{EPHEMERAL_PARTITION}.", self.prefix);
        encode_room(room, &mut subject);
        subject
    }

    pub fn control_all(&self) -> String {
        format!("{}.ctl.all", self.prefix)
    }

    pub fn control_node(&self, node: Uuid) -> String {
        format!("{}.ctl.node.{}", self.prefix, node.simple())
    }

    /// Answered by one gateway on each NATS server.
    pub fn echo(&self) -> String {
        format!("{}.ctl.echo", self.prefix)
    }

    /// Where the echoes for one gateway arrive.
    pub fn echoed(&self, node: Uuid) -> String {
        format!("{}.ctl.echoed.{}", self.prefix, node.simple())
    }

    /// Whether `subject` is where some gateway of this cluster gets its echoes: the only place an echo may be sent to.
    pub fn is_echoed(&self, subject: &str) -> bool {
        subject
            .strip_prefix(&self.prefix)
            .and_then(|rest| rest.strip_prefix(".ctl.echoed."))
            .is_some_and(|node| Uuid::try_parse(node).is_ok())
    }
}

/// Writes `room` as one token of a subject: what NATS gives a meaning, and `%` itself, become `%XX`. Two rooms never
/// share a token.
fn encode_room(room: &str, subject: &mut String) {
    for byte in room.bytes() {
        match byte {
            b'.' | b'*' | b'>' | b'%' | 0..=b' ' | 0x7f.. => {
                // Writing to a string cannot fail.
                let _ = write!(subject, "%{byte:02X}");
            }
            plain => subject.push(char::from(plain)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_become_one_token() {
        let subjects = Subjects::new("natter");
        for (room, token) in [
            ("lobby", "lobby"),
            ("chat:lobby", "chat:lobby"),
            ("a.b", "a%2Eb"),
            ("*", "%2A"),
            ("a>", "a%3E"),
            ("50%", "50%25"),
            ("two words", "two%20words"),
            ("#42", "#42"),
        ] {
            assert_eq!(subjects.ephemeral(room), format!("natter.eph.0.{token}"));
        }
    }

    #[test]
    fn different_rooms_never_share_a_subject() {
        let subjects = Subjects::new("n");
        assert_ne!(subjects.ephemeral("a.b"), subjects.ephemeral("a%2Eb"));
    }
}
