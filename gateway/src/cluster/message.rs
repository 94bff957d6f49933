//! The messages between gateways. `format` is raised when a field changes its meaning; a gateway reads its own format
//! and the one before.

use std::collections::HashMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Hearing, Order, Said, base64, presence::MembersPart};
use crate::{gateway::Gateway, presence::Digest};

const FORMAT: u32 = 1;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Envelope {
    format: u32,
    pub(super) from: Uuid,
    pub(super) message: Message,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Message {
    /// A gateway says that it is there.
    Node(Announcement),
    /// A gateway shuts down.
    Leaving,
    Order(Order),
    /// Every gateway answers with the rooms that have members there.
    CountRooms {
        survey: Uuid,
        pattern: Option<String>,
    },
    /// A client of a stream at the receiver says something.
    Emulate {
        request: Uuid,
        said: Said,
    },
    Emulated {
        request: Uuid,
        hearing: Hearing,
    },
    /// Part of an answer; `last` ends it.
    RoomCounts {
        survey: Uuid,
        rooms: HashMap<String, u64>,
        last: bool,
    },
    /// The receiver answers with a digest of its members of a room.
    AskMembers {
        channel: String,
    },
    Members(Digest),
    /// Every gateway puts a change of what is revoked in force, and says so.
    Revoke {
        question: Uuid,
        /// Names the store that has counted the change.
        epoch: String,
        sequence: u64,
        key: String,
        #[serde(with = "base64")]
        value: Bytes,
    },
    Revoked {
        question: Uuid,
    },
    /// The receivers answer which gateways they know that may have a lease.
    AskLeases {
        survey: Uuid,
        /// How long a lease can outlast the last word of a gateway, in milliseconds.
        within: u64,
    },
    Leases {
        survey: Uuid,
        nodes: Vec<Uuid>,
    },
    /// Every gateway answers with its members of a room.
    SurveyMembers {
        survey: Uuid,
        channel: String,
    },
    /// Part of an answer; `last` ends it.
    SurveyedMembers {
        survey: Uuid,
        part: MembersPart,
        last: bool,
    },
    /// The receiver answers how many connections a user has there.
    CountUser {
        survey: Uuid,
        user: String,
    },
    UserCount {
        survey: Uuid,
        connections: u64,
    },
}

/// What a gateway says of itself, and what it can.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Announcement {
    #[serde(flatten)]
    pub(super) info: NodeInfo,
    /// It answers who its members are. Those of the version before do not, and must not be waited for.
    #[serde(default)]
    pub(super) tells_members: bool,
    /// It answers how many connections a user has; as above.
    #[serde(default)]
    pub(super) counts_users: bool,
    /// It knows what is revoked, and says when a change is in force. Those of the version before let everybody in.
    #[serde(default)]
    pub(super) heeds_revocations: bool,
}

/// One gateway as the others and the server API see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeInfo {
    pub uid: Uuid,
    pub name: String,
    pub version: String,
    pub num_clients: u64,
    pub num_users: u64,
    pub num_subs: u64,
    pub num_channels: u64,
    /// Seconds since its start.
    pub uptime: u64,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum DecodeError {
    #[error("control message is not readable: {0}")]
    Json(#[from] serde_json::Error),
    #[error("format {0} of the control message is not known")]
    Format(u32),
}

/// Read before the rest, which may look different in another format.
#[derive(Deserialize)]
struct Head {
    format: u32,
}

impl Envelope {
    pub(super) fn new(from: Uuid, message: Message) -> Self {
        Self {
            format: FORMAT,
            from,
            message,
        }
    }

    pub(super) fn encode(&self) -> Bytes {
        // Plain structs with string keys always become JSON.
        serde_json::to_vec(self).unwrap_or_default().into()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let head: Head = serde_json::from_slice(bytes)?;
        if head.format != FORMAT {
            return Err(DecodeError::Format(head.format));
        }
        Ok(serde_json::from_slice(bytes)?)
    }
}

impl Announcement {
    pub(super) fn of(gateway: &Gateway) -> Self {
        Self {
            info: NodeInfo::of(gateway),
            tells_members: true,
            counts_users: true,
            heeds_revocations: true,
        }
    }
}

impl NodeInfo {
    fn of(gateway: &Gateway) -> Self {
        let metrics = &gateway.metrics.rooms;
        Self {
            uid: gateway.node,
            name: gateway.live().settings.node_name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            num_clients: gateway.clients.connected(),
            num_users: gateway.clients.users() as u64,
            num_subs: u64::try_from(metrics.subscriptions.get()).unwrap_or(0),
            num_channels: gateway.rooms.occupied() as u64,
            uptime: gateway.started.elapsed().as_secs(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cluster::Target, session::StreamKey};

    #[test]
    fn messages_survive_the_journey() {
        let order = Order::Unsubscribe {
            target: Target {
                user: Some("42".into()),
                client: None,
                session: None,
            },
            channel: Some("a".into()),
        };
        let sent = Envelope::new(Uuid::new_v4(), Message::Order(order));
        assert_eq!(Envelope::decode(&sent.encode()).unwrap(), sent);
    }

    #[test]
    fn an_order_for_a_session_is_for_nobody_where_sessions_are_not_known() {
        #[derive(Deserialize)]
        struct Former {
            user: Option<String>,
            client: Option<Uuid>,
        }
        let (key, client) = (StreamKey::default(), Uuid::new_v4());
        let target = Target::new(None, None, Some(key));
        let former: Former = serde_json::from_value(serde_json::to_value(&target).unwrap()).unwrap();
        assert_eq!((former.user, former.client), (None, Some(Uuid::nil())));
        assert!(target.is(client, Some(key)));
        assert!(!target.is(client, None));
        assert!(!Target::new(None, Some(Uuid::nil()), None).is(client, None));
    }

    #[test]
    fn a_gateway_of_the_version_before_is_read_as_one_that_does_not_tell_its_members() {
        let node = r#"{"uid":"00000000-0000-0000-0000-000000000001","name":"a","version":"1","num_clients":0,
            "num_users":0,"num_subs":0,"num_channels":0,"uptime":1}"#;
        let before = format!(
            r#"{{"format":1,"from":"{}","message":{{"node":{node}}}}}"#,
            Uuid::nil()
        );
        let Message::Node(announcement) = Envelope::decode(before.as_bytes()).unwrap().message else {
            panic!("it is no announcement");
        };
        assert!(!announcement.tells_members && !announcement.counts_users);
        let sent = Message::Node(Announcement {
            tells_members: true,
            ..announcement
        });
        let sent = Envelope::new(Uuid::nil(), sent);
        let read = sent.encode();
        assert_eq!(Envelope::decode(&read).unwrap(), sent);
        let Message::Node(announcement) = sent.message else {
            panic!("it is no announcement");
        };
        // The version before finds what it knows where it was.
        let text = String::from_utf8(read.to_vec()).unwrap();
        assert!(
            text.contains(&serde_json::to_string(&announcement.info).unwrap()[1..60]),
            "{text}"
        );
    }

    #[test]
    fn other_formats_are_refused_before_they_are_misread() {
        let newer = br#"{"format":9,"from":7,"message":{"something":"else"}}"#;
        assert!(matches!(Envelope::decode(newer), Err(DecodeError::Format(9))));
        assert!(matches!(Envelope::decode(b"{"), Err(DecodeError::Json(_))));
    }
}
