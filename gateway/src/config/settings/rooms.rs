//! Who may join and write where. `namespace:name` picks the policy; what is not said is refused or `users`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::HistoryOptions;
use crate::config::units::duration;

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
            default: Some(Written::default().options(open::WHO)),
            namespaces: Vec::new(),
        }
    }
}

/// What may be done in a room, by whom, and what is kept of it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of its own")]
pub struct RoomOptions {
    /// Who may join; never [`Who::Subscribers`].
    pub subscribe: Who,
    /// Who may publish as a client.
    pub publish: Who,
    /// Who else may join, publish, ask who is there, read history: whom an expression lets, where the group is [`Who::Token`].
    pub subscribe_cel: Option<String>,
    pub publish_cel: Option<String>,
    pub presence_cel: Option<String>,
    pub history_cel: Option<String>,
    /// What ephemeral rooms do while the bus is away; durable ones always refuse.
    pub degraded: Degraded,
    /// What messages are.
    pub payload: PayloadKind,
    /// Whether members may be given differences.
    pub delta: DeltaKind,
    /// Whether a subscription may ask for publications with some tags only.
    pub tags_filter: bool,
    /// How long publications of a busy room are collected, at most 100 ms; zero: not at all.
    pub batch_window: Duration,
    /// Publications of clients a second in one room, twice as many at once; 0: no limit.
    pub publication_rate: u32,
    /// Who is asked about joins of clients; `None`: nobody.
    pub subscribe_proxy: Option<String>,
    /// Who renews subscriptions that expire; `None`: their clients.
    pub sub_refresh_proxy: Option<String>,
    /// Who is asked about what clients publish; `None`: nobody.
    pub publish_proxy: Option<String>,
    /// Whether it can be asked who is in a room.
    pub presence: bool,
    /// Which clients may ask.
    pub presence_read: Who,
    /// Members of a room from which on they are only counted.
    pub presence_limit: usize,
    /// Whether members may be told who joins and leaves.
    pub join_leave: bool,
    /// Whether members are told that did not ask for it.
    pub force_push_join_leave: bool,
    /// `None`: ephemeral rooms, delivered at most once and never kept.
    pub history: Option<HistoryOptions>,
}

/// What becomes of an ephemeral room while the bus is away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Degraded {
    /// Joins and publications are refused with 100.
    #[default]
    Refuse,
    /// The members of one gateway go on among themselves.
    Local,
}

/// What the messages of a room are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PayloadKind {
    /// JSON texts: whatever else comes is refused with 107, whoever sends it.
    #[default]
    Json,
    /// Any bytes, untouched: only clients that speak Protobuf can be in the room.
    Binary,
}

/// What members of a room may be given in place of whole publications, if they can undo it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeltaKind {
    #[default]
    None,
    /// The difference to the publication before, in Fossil's format.
    Fossil,
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
    /// Nobody by itself: whom a token, a proxy's answer or an expression of the namespace lets.
    Token,
    /// No client, whatever it brings: the server API only.
    Server,
}

/// A named namespace and its policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub struct Namespace {
    /// What stands before the colon in a room's name: `[A-Za-z0-9_-]{1,64}`.
    pub name: String,
    pub options: RoomOptions,
}

impl Default for Namespace {
    fn default() -> Self {
        Written::default().into()
    }
}

/// A policy as it is written: the options stand beside the name, and `rooms.default` has none.
#[derive(Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of its own")]
struct Written {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    subscribe: Option<Who>,
    publish: Option<Who>,
    subscribe_cel: Option<String>,
    publish_cel: Option<String>,
    presence_cel: Option<String>,
    history_cel: Option<String>,
    degraded: Degraded,
    payload: PayloadKind,
    delta: DeltaKind,
    tags_filter: bool,
    #[serde(with = "duration")]
    batch_window: Duration,
    publication_rate: u32,
    subscribe_proxy: Option<String>,
    sub_refresh_proxy: Option<String>,
    publish_proxy: Option<String>,
    presence: bool,
    presence_read: Option<Who>,
    presence_limit: usize,
    join_leave: bool,
    force_push_join_leave: bool,
    history: Option<HistoryOptions>,
}

impl Default for Written {
    fn default() -> Self {
        Self {
            name: None,
            subscribe: None,
            publish: None,
            subscribe_cel: None,
            publish_cel: None,
            presence_cel: None,
            history_cel: None,
            degraded: Degraded::default(),
            payload: PayloadKind::default(),
            delta: DeltaKind::default(),
            tags_filter: false,
            batch_window: Duration::from_millis(4),
            publication_rate: 0,
            subscribe_proxy: None,
            sub_refresh_proxy: None,
            publish_proxy: None,
            presence: false,
            presence_read: None,
            presence_limit: 2_000,
            join_leave: false,
            force_push_join_leave: false,
            history: None,
        }
    }
}

impl Written {
    /// The options, where `missing` stands for whom nothing is said about: where an expression says it nobody else may.
    fn options(self, missing: Who) -> RoomOptions {
        let who = |written: Option<Who>, expression: Option<&String>, missing| {
            written.unwrap_or(if expression.is_some() { Who::Token } else { missing })
        };
        RoomOptions {
            subscribe: who(self.subscribe, self.subscribe_cel.as_ref(), missing),
            publish: who(self.publish, self.publish_cel.as_ref(), missing),
            presence_read: who(self.presence_read, self.presence_cel.as_ref(), Who::Subscribers),
            subscribe_cel: self.subscribe_cel,
            publish_cel: self.publish_cel,
            presence_cel: self.presence_cel,
            history_cel: self.history_cel,
            degraded: self.degraded,
            payload: self.payload,
            delta: self.delta,
            tags_filter: self.tags_filter,
            batch_window: self.batch_window,
            publication_rate: self.publication_rate,
            subscribe_proxy: self.subscribe_proxy,
            sub_refresh_proxy: self.sub_refresh_proxy,
            publish_proxy: self.publish_proxy,
            presence: self.presence,
            presence_limit: self.presence_limit,
            join_leave: self.join_leave,
            force_push_join_leave: self.force_push_join_leave,
            history: self.history,
        }
    }
}

impl From<RoomOptions> for Written {
    fn from(options: RoomOptions) -> Self {
        Self {
            name: None,
            subscribe: Some(options.subscribe),
            publish: Some(options.publish),
            subscribe_cel: options.subscribe_cel,
            publish_cel: options.publish_cel,
            presence_cel: options.presence_cel,
            history_cel: options.history_cel,
            degraded: options.degraded,
            payload: options.payload,
            delta: options.delta,
            tags_filter: options.tags_filter,
            batch_window: options.batch_window,
            publication_rate: options.publication_rate,
            subscribe_proxy: options.subscribe_proxy,
            sub_refresh_proxy: options.sub_refresh_proxy,
            publish_proxy: options.publish_proxy,
            presence: options.presence,
            presence_read: Some(options.presence_read),
            presence_limit: options.presence_limit,
            join_leave: options.join_leave,
            force_push_join_leave: options.force_push_join_leave,
            history: options.history,
        }
    }
}

impl From<Written> for Namespace {
    /// Safe by default: a namespace opens to everybody only where that is written.
    fn from(mut written: Written) -> Self {
        Self {
            name: written.name.take().unwrap_or_default(),
            options: written.options(Who::Users),
        }
    }
}

impl From<Namespace> for Written {
    fn from(namespace: Namespace) -> Self {
        Self {
            name: Some(namespace.name),
            ..namespace.options.into()
        }
    }
}

/// serde for `rooms.default`, whose missing options are the open ones of the first start.
mod open {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{RoomOptions, Who, Written};

    pub(super) const WHO: Who = Who::Anyone;

    #[expect(clippy::ref_option, reason = "serde passes fields by reference")]
    pub(super) fn serialize<S: Serializer>(
        value: &Option<RoomOptions>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        value.clone().map(Written::from).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<RoomOptions>, D::Error> {
        let written = Option::<Written>::deserialize(deserializer)?;
        Ok(written.map(|written| written.options(WHO)))
    }
}
