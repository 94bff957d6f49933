//! Names on NATS. Every name starts with the cluster's prefix, so that two clusters can share one NATS.
//!
//! | family | who publishes | who subscribes |
//! |---|---|---|
//! | `<prefix>.msg.<namespace>.<partition>.<room>` | gateways | streams |
//! | `<prefix>.live.<namespace>.<partition>.<room>` | `RePublish` of the streams, gateways | gateways |
//! | `<prefix>.eph.<partition>.<room>` | gateways | gateways |
//! | `<prefix>.ctl.all`, `<prefix>.ctl.node.<node>` | gateways | gateways |
//! | `<prefix>.ctl.echo`, `<prefix>.ctl.echoed.<node>` | gateways | gateways |
//! | `<prefix>.api`, `<prefix>.api.<method>` | backends | gateways, as a queue group |
//! | `<prefix>.inbox.>`, `<prefix>.admin.inbox.>` | NATS, in answers | gateways; whoever sets the bus up |
//! | `$KV.<prefix>_revocations.<key>` | gateways | the bucket's stream only |
//!
//! On `eph` and `live` gateways also tell each other about their members of the room (header `Natter-Presence`), for
//! whoever has some listens there already. Nothing else of a gateway goes to `live`: a stored message is known by the
//! headers of its stream.
//!
//! Streams are named `<prefix>_<namespace>_<partition>`, with every `_` of prefix and namespace written as `=`, which
//! neither may contain: prefix `a` with namespace `b_c` and prefix `a_b` with namespace `c` stay apart.

use std::fmt::Write;

use uuid::Uuid;

/// Partition of every ephemeral room: core NATS needs no spreading, the token keeps the shape of all room subjects.
const EPHEMERAL_PARTITION: u16 = 0;

/// Families with a subject for each gateway.
const CONTROL: &str = "ctl.node";
const ECHOED: &str = "ctl.echoed";

/// One token of a subject, whatever it is; a room is one.
const ANY: &str = "*";

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
        let mut subject = self.ephemeral_start();
        encode_room(room, &mut subject);
        subject
    }

    /// Where those of all ephemeral rooms travel.
    pub fn all_ephemeral(&self) -> String {
        self.ephemeral_start() + ANY
    }

    fn ephemeral_start(&self) -> String {
        format!("{}.eph.{EPHEMERAL_PARTITION}.", self.prefix)
    }

    /// Where publications of a durable room are sent to be stored.
    pub fn stored(&self, namespace: &str, partition: u16, room: &str) -> String {
        self.durable("msg", namespace, partition, room)
    }

    /// Where a durable room's publications arrive once they are stored.
    pub fn live(&self, namespace: &str, partition: u16, room: &str) -> String {
        self.durable("live", namespace, partition, room)
    }

    /// Every subject that one stream takes.
    pub fn all_stored(&self, namespace: &str, partition: u16) -> String {
        format!("{}.msg.{namespace}.{partition}.>", self.prefix)
    }

    /// The subjects of the rooms that one stream keeps.
    pub fn stored_rooms(&self, namespace: &str, partition: u16) -> String {
        self.durable_start("msg", namespace, partition) + ANY
    }

    /// The subjects where they arrive live.
    pub fn live_rooms(&self, namespace: &str, partition: u16) -> String {
        self.durable_start("live", namespace, partition) + ANY
    }

    /// The subjects of the rooms of all streams.
    pub fn all_stored_rooms(&self) -> String {
        format!("{}.msg.{ANY}.{ANY}.{ANY}", self.prefix)
    }

    /// The subjects where those of all streams arrive live.
    pub fn all_live_rooms(&self) -> String {
        format!("{}.live.{ANY}.{ANY}.{ANY}", self.prefix)
    }

    /// Every subject that one stream publishes to.
    pub fn all_live(&self, namespace: &str, partition: u16) -> String {
        format!("{}.live.{namespace}.{partition}.>", self.prefix)
    }

    /// What the names of all streams of this cluster begin with, and no others'.
    pub fn stream_prefix(&self) -> String {
        format!("{}_", stream_token(&self.prefix))
    }

    /// What the names of all streams of a namespace begin with, and no others'.
    pub fn namespace_streams(&self, namespace: &str) -> String {
        format!("{}{}_", self.stream_prefix(), stream_token(namespace))
    }

    /// Name of the stream of one partition.
    pub fn stream(&self, namespace: &str, partition: u16) -> String {
        format!("{}{partition}", self.namespace_streams(namespace))
    }

    fn durable(&self, family: &str, namespace: &str, partition: u16, room: &str) -> String {
        let mut subject = self.durable_start(family, namespace, partition);
        encode_room(room, &mut subject);
        subject
    }

    fn durable_start(&self, family: &str, namespace: &str, partition: u16) -> String {
        format!("{}.{family}.{namespace}.{partition}.", self.prefix)
    }

    /// The bucket of what every gateway must know. Its name is as `NATS` wants buckets to be named, and a namespace's streams
    /// begin otherwise.
    pub fn bucket(&self) -> String {
        format!("{}_revocations", self.prefix)
    }

    /// Name of the bucket's stream.
    pub fn bucket_stream(&self) -> String {
        format!("KV_{}", self.bucket())
    }

    /// Where the value of a key is kept in the bucket.
    pub fn kept(&self, key: &str) -> String {
        format!("$KV.{}.{key}", self.bucket())
    }

    pub fn control_all(&self) -> String {
        format!("{}.ctl.all", self.prefix)
    }

    pub fn control_node(&self, node: Uuid) -> String {
        self.of_node(CONTROL, &node.simple().to_string())
    }

    /// Where every gateway gets its own control messages.
    pub fn control_nodes(&self) -> String {
        self.of_node(CONTROL, ANY)
    }

    fn of_node(&self, family: &str, node: &str) -> String {
        format!("{}.{family}.{node}", self.prefix)
    }

    /// Answered by one gateway on each NATS server.
    pub fn echo(&self) -> String {
        format!("{}.ctl.echo", self.prefix)
    }

    /// Where the echoes for one gateway arrive.
    pub fn echoed(&self, node: Uuid) -> String {
        self.of_node(ECHOED, &node.simple().to_string())
    }

    /// Where the echoes for all gateways arrive.
    pub fn all_echoed(&self) -> String {
        self.of_node(ECHOED, ANY)
    }

    /// What the subjects of answers to gateways begin with: below the prefix of the cluster, so that nobody else on NATS can be
    /// permitted to read them by the way.
    pub fn inbox(&self) -> String {
        format!("{}.inbox", self.prefix)
    }

    /// The same for whoever makes or deletes streams, apart from gateways.
    pub fn admin_inbox(&self) -> String {
        format!("{}.admin.inbox", self.prefix)
    }

    /// Where backends call the server API with commands.
    pub fn api(&self) -> String {
        format!("{}.api", self.prefix)
    }

    /// Where backends call its methods, all of them.
    pub fn api_methods(&self) -> String {
        format!("{}.api.*", self.prefix)
    }

    /// The method that is called at a subject; `None` where the body names it.
    pub fn api_method<'a>(&self, subject: &'a str) -> Option<&'a str> {
        subject.strip_prefix(&self.prefix)?.strip_prefix(".api.")
    }

    /// Whether `subject` is where some gateway of this cluster gets its echoes: the only place an echo may be sent to.
    pub fn is_echoed(&self, subject: &str) -> bool {
        subject
            .strip_prefix(&self.prefix)
            .and_then(|rest| rest.strip_prefix('.')?.strip_prefix(ECHOED)?.strip_prefix('.'))
            .is_some_and(|node| Uuid::try_parse(node).is_ok())
    }

    /// Whether a message to `subject` would be an order to NATS, or taken for one of a gateway's own: no answer goes there,
    /// for whoever may ask need not be permitted to say that.
    pub fn is_reserved(&self, subject: &str) -> bool {
        let own = subject.strip_prefix(&self.prefix);
        subject.starts_with('$') || own.is_some_and(|rest| rest.starts_with('.'))
    }
}

/// Frees `_` for use between the parts of a stream's name.
fn stream_token(part: &str) -> String {
    part.replace('_', "=")
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
    fn durable_rooms_have_a_subject_to_store_and_one_to_hear() {
        let subjects = Subjects::new("natter");
        assert_eq!(
            subjects.stored("chat", 3, "chat:a.b"),
            "natter.msg.chat.3.chat:a%2Eb"
        );
        assert_eq!(
            subjects.live("chat", 3, "chat:a.b"),
            "natter.live.chat.3.chat:a%2Eb"
        );
        assert_eq!(subjects.all_stored("chat", 3), "natter.msg.chat.3.>");
        assert_eq!(subjects.all_live("chat", 3), "natter.live.chat.3.>");
        assert_eq!(subjects.stream("chat", 3), "natter_chat_3");
    }

    #[test]
    fn answers_go_neither_to_nats_nor_to_gateways() {
        let subjects = Subjects::new("natter");
        for reserved in [
            "$JS.API.STREAM.PURGE.natter_chat_0",
            "$SYS.REQ.SERVER.PING",
            "natter.eph.0.room",
            "natter.ctl.all",
        ] {
            assert!(subjects.is_reserved(reserved), "{reserved}");
        }
        for inbox in ["_INBOX.a.b", "natters.inbox", "backend.answers"] {
            assert!(!subjects.is_reserved(inbox), "{inbox}");
        }
    }

    #[test]
    fn different_clusters_never_share_a_stream() {
        assert_eq!(Subjects::new("a").stream("b_c", 0), "a_b=c_0");
        assert_eq!(Subjects::new("a_b").stream("c", 0), "a=b_c_0");
        assert_eq!(Subjects::new("a_").stream("b", 0), "a=_b_0");
        assert_eq!(Subjects::new("a").stream("_b", 0), "a_=b_0");
    }

    #[test]
    fn different_rooms_never_share_a_subject() {
        let subjects = Subjects::new("n");
        assert_ne!(subjects.ephemeral("a.b"), subjects.ephemeral("a%2Eb"));
    }

    /// The room that a token stands for, bytes for bytes.
    fn decode(token: &str) -> Vec<u8> {
        let mut room = Vec::new();
        let mut rest = token.as_bytes();
        while let [first, tail @ ..] = rest {
            if let (b'%', [high, low, after @ ..]) = (first, tail) {
                let digits = [*high, *low];
                let digits = std::str::from_utf8(&digits).unwrap();
                room.push(u8::from_str_radix(digits, 16).unwrap());
                rest = after;
            } else {
                room.push(*first);
                rest = tail;
            }
        }
        room
    }

    /// Whoever can be decoded shares its token with nobody.
    fn assert_one_token_of_its_own(room: &str) {
        let mut token = String::new();
        encode_room(room, &mut token);
        assert_eq!(decode(&token), room.as_bytes(), "{token}");
        let printable = |byte: u8| byte.is_ascii_graphic() && !b".*>".contains(&byte);
        assert!(token.bytes().all(printable), "{token}");
    }

    #[test]
    fn every_byte_has_a_token_of_its_own() {
        for character in '\0'..='\u{fff}' {
            assert_one_token_of_its_own(&character.to_string());
        }
        // The remaining first bytes of UTF-8.
        for character in ['\u{1000}', '\u{ffff}', '\u{10000}', '\u{10ffff}'] {
            assert_one_token_of_its_own(&character.to_string());
        }
    }

    proptest::proptest! {
        #[test]
        fn every_room_has_a_token_of_its_own(room in proptest::arbitrary::any::<String>()) {
            assert_one_token_of_its_own(&room);
        }

        /// Where what is escaped and what escapes meet.
        #[test]
        fn rooms_that_look_escaped_do_too(room in "[%.*>2E0-9A-F é]{0,12}") {
            assert_one_token_of_its_own(&room);
        }
    }
}
