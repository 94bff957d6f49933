//! Who may join and write where. `namespace:name` picks the policy; what is not said is refused or `users`.

use serde::{Deserialize, Serialize};

/// The policies of all rooms.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RoomSettings {
    /// Rooms without a namespace; `None`: such rooms are refused with 102.
    #[serde(with = "open")]
    pub default: Option<RoomOptions>,
    /// Named namespaces; a namespace that is not listed is refused with 102.
    pub namespaces: Vec<Namespace>,
}

impl Default for RoomSettings {
    fn default() -> Self {
        Self {
            default: Some(open::OPTIONS),
            namespaces: Vec::new(),
        }
    }
}

/// What may be done in a room, and by whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomOptions {
    /// Who may join; never [`Who::Subscribers`].
    pub subscribe: Who,
    /// Who may publish as a client.
    pub publish: Who,
}

/// A group of clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Who {
    /// Every client that may connect.
    Anyone,
    /// Clients with a user id.
    Users,
    /// Members of the room.
    Subscribers,
    /// No client: the server API only.
    Server,
}

/// A named namespace and its policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "WrittenNamespace", into = "WrittenNamespace")]
pub struct Namespace {
    /// What stands before the colon in a room's name: `[A-Za-z0-9_-]{1,64}`.
    pub name: String,
    pub options: RoomOptions,
}

/// A namespace as it is written: the options stand beside the name.
#[derive(Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct WrittenNamespace {
    name: String,
    subscribe: Who,
    publish: Who,
}

impl Default for WrittenNamespace {
    /// Safe by default: a namespace opens to everybody only where that is written.
    fn default() -> Self {
        Self {
            name: String::new(),
            subscribe: Who::Users,
            publish: Who::Users,
        }
    }
}

impl Default for Namespace {
    fn default() -> Self {
        WrittenNamespace::default().into()
    }
}

impl From<WrittenNamespace> for Namespace {
    fn from(
        WrittenNamespace {
            name,
            subscribe,
            publish,
        }: WrittenNamespace,
    ) -> Self {
        Self {
            name,
            options: RoomOptions { subscribe, publish },
        }
    }
}

impl From<Namespace> for WrittenNamespace {
    fn from(
        Namespace {
            name,
            options: RoomOptions { subscribe, publish },
        }: Namespace,
    ) -> Self {
        Self {
            name,
            subscribe,
            publish,
        }
    }
}

/// serde for `rooms.default`, whose missing options are the open ones of the first start.
mod open {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{RoomOptions, Who};

    pub(super) const OPTIONS: RoomOptions = RoomOptions {
        subscribe: Who::Anyone,
        publish: Who::Anyone,
    };

    #[derive(Serialize, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Written {
        subscribe: Who,
        publish: Who,
    }

    impl Default for Written {
        fn default() -> Self {
            Self {
                subscribe: OPTIONS.subscribe,
                publish: OPTIONS.publish,
            }
        }
    }

    #[expect(clippy::ref_option, reason = "serde passes fields by reference")]
    pub(super) fn serialize<S: Serializer>(
        value: &Option<RoomOptions>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        value
            .as_ref()
            .map(|options| Written {
                subscribe: options.subscribe,
                publish: options.publish,
            })
            .serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<RoomOptions>, D::Error> {
        let written = Option::<Written>::deserialize(deserializer)?;
        Ok(written.map(|Written { subscribe, publish }| RoomOptions { subscribe, publish }))
    }
}
