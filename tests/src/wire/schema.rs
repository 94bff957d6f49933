//! The client protocol's messages, as its definition numbers their fields.

use super::protobuf::{
    Field,
    Kind::{Json, Many, Map, Number, One, Switch, Tags, Text, Texts},
};

/// The key of the field `data` of an emulation request, which holds any bytes.
pub(super) const EMULATION_DATA: u8 = 3 << 3 | 2;

pub(super) const EMULATION: &[Field] = &[Field(1, "node", Text), Field(2, "session", Text)];

const CHANNEL: &[Field] = &[Field(1, "channel", Text)];
const DATA: &[Field] = &[Field(1, "data", Json)];
const NONE: &[Field] = &[];
const POSITION: &[Field] = &[Field(1, "offset", Number), Field(2, "epoch", Text)];

/// Its nodes are filters again.
static FILTER: [Field; 6] = [
    Field(1, "op", Text),
    Field(2, "key", Text),
    Field(3, "cmp", Text),
    Field(4, "val", Text),
    Field(5, "vals", Texts),
    Field(6, "nodes", Many(&FILTER)),
];

const SUBSCRIBE: &[Field] = &[
    Field(1, "channel", Text),
    Field(2, "token", Text),
    Field(3, "recover", Switch),
    Field(6, "epoch", Text),
    Field(7, "offset", Number),
    Field(8, "data", Json),
    Field(9, "positioned", Switch),
    Field(10, "recoverable", Switch),
    Field(11, "join_leave", Switch),
    Field(12, "delta", Text),
    Field(13, "tf", One(&FILTER)),
    Field(14, "flag", Number),
];

pub(super) const COMMAND: &[Field] = &[
    Field(1, "id", Number),
    Field(
        4,
        "connect",
        One(&[
            Field(1, "token", Text),
            Field(2, "data", Json),
            Field(3, "subs", Map(SUBSCRIBE)),
            Field(4, "name", Text),
            Field(5, "version", Text),
        ]),
    ),
    Field(5, "subscribe", One(SUBSCRIBE)),
    Field(6, "unsubscribe", One(CHANNEL)),
    Field(
        7,
        "publish",
        One(&[Field(1, "channel", Text), Field(2, "data", Json)]),
    ),
    Field(8, "presence", One(CHANNEL)),
    Field(9, "presence_stats", One(CHANNEL)),
    Field(
        10,
        "history",
        One(&[
            Field(1, "channel", Text),
            Field(7, "limit", Number),
            Field(8, "since", One(POSITION)),
            Field(9, "reverse", Switch),
        ]),
    ),
    Field(11, "ping", One(NONE)),
    Field(12, "send", One(DATA)),
    Field(
        13,
        "rpc",
        One(&[Field(1, "data", Json), Field(2, "method", Text)]),
    ),
    Field(14, "refresh", One(&[Field(1, "token", Text)])),
    Field(
        15,
        "sub_refresh",
        One(&[Field(1, "channel", Text), Field(2, "token", Text)]),
    ),
];

const INFO: &[Field] = &[
    Field(1, "user", Text),
    Field(2, "client", Text),
    Field(3, "conn_info", Json),
    Field(4, "chan_info", Json),
];

const PUBLICATION: &[Field] = &[
    Field(4, "data", Json),
    Field(5, "info", One(INFO)),
    Field(6, "offset", Number),
    Field(7, "tags", Tags),
    Field(8, "delta", Switch),
    Field(9, "time", Number),
    Field(10, "channel", Text),
];

const SUBSCRIBED: &[Field] = &[
    Field(1, "expires", Switch),
    Field(2, "ttl", Number),
    Field(3, "recoverable", Switch),
    Field(6, "epoch", Text),
    Field(7, "publications", Many(PUBLICATION)),
    Field(8, "recovered", Switch),
    Field(9, "offset", Number),
    Field(10, "positioned", Switch),
    Field(11, "data", Json),
    Field(12, "was_recovering", Switch),
    Field(13, "delta", Switch),
];

const MEMBER: &[Field] = &[Field(1, "info", One(INFO))];

const PUSH: &[Field] = &[
    Field(2, "channel", Text),
    Field(4, "pub", One(PUBLICATION)),
    Field(5, "join", One(MEMBER)),
    Field(6, "leave", One(MEMBER)),
    Field(
        7,
        "unsubscribe",
        One(&[Field(2, "code", Number), Field(3, "reason", Text)]),
    ),
    Field(
        9,
        "subscribe",
        One(&[
            Field(1, "recoverable", Switch),
            Field(4, "epoch", Text),
            Field(5, "offset", Number),
            Field(6, "positioned", Switch),
            Field(7, "data", Json),
        ]),
    ),
    Field(
        11,
        "disconnect",
        One(&[
            Field(1, "code", Number),
            Field(2, "reason", Text),
            Field(3, "reconnect", Switch),
        ]),
    ),
    Field(
        12,
        "refresh",
        One(&[Field(1, "expires", Switch), Field(2, "ttl", Number)]),
    ),
];

pub(super) const REPLY: &[Field] = &[
    Field(1, "id", Number),
    Field(
        2,
        "error",
        One(&[
            Field(1, "code", Number),
            Field(2, "message", Text),
            Field(3, "temporary", Switch),
        ]),
    ),
    Field(4, "push", One(PUSH)),
    Field(
        5,
        "connect",
        One(&[
            Field(1, "client", Text),
            Field(2, "version", Text),
            Field(3, "expires", Switch),
            Field(4, "ttl", Number),
            Field(5, "data", Json),
            Field(6, "subs", Map(SUBSCRIBED)),
            Field(7, "ping", Number),
            Field(8, "pong", Switch),
            Field(9, "session", Text),
            Field(10, "node", Text),
        ]),
    ),
    Field(6, "subscribe", One(SUBSCRIBED)),
    Field(7, "unsubscribe", One(NONE)),
    Field(8, "publish", One(NONE)),
    Field(9, "presence", One(&[Field(1, "presence", Map(INFO))])),
    Field(
        10,
        "presence_stats",
        One(&[Field(1, "num_clients", Number), Field(2, "num_users", Number)]),
    ),
    Field(
        11,
        "history",
        One(&[
            Field(1, "publications", Many(PUBLICATION)),
            Field(2, "epoch", Text),
            Field(3, "offset", Number),
        ]),
    ),
    Field(13, "rpc", One(DATA)),
    Field(
        14,
        "refresh",
        One(&[
            Field(1, "client", Text),
            Field(2, "version", Text),
            Field(3, "expires", Switch),
            Field(4, "ttl", Number),
        ]),
    ),
    Field(
        15,
        "sub_refresh",
        One(&[Field(1, "expires", Switch), Field(2, "ttl", Number)]),
    ),
];
