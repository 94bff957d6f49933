//! What becomes of every option of Centrifugo: the one table, which docs/migration.md shows.

use super::value::Form;

/// A row of the table.
pub(super) struct Rule {
    /// As version 6 names it. `[]` stands for any section of a list; `.*` for all of a section. Channels without a namespace have
    /// the options of a namespace, and proxies without a name those of `proxies[]`.
    pub(super) option: &'static str,
    /// The key here; empty where there is none.
    pub(super) target: &'static str,
    pub(super) fate: Fate,
    /// What differs and why.
    pub(super) note: &'static str,
}

#[derive(Clone, Copy)]
pub(super) enum Fate {
    /// Means the same here.
    Copied(Form),
    /// Looked at together with other options, in `doors` and `rooms`.
    Weighed,
    /// There is nothing to say here.
    Needless,
    /// Has one value here, the one that Centrifugo has by default.
    Fixed(&'static str),
    /// Is not here.
    Missing,
}

use Fate::{Copied, Fixed, Missing, Needless, Weighed};
use Form::{Duration, List, Number, Switch, Text};

const fn to(option: &'static str, target: &'static str, fate: Fate, note: &'static str) -> Rule {
    Rule {
        option,
        target,
        fate,
        note,
    }
}

const fn none(option: &'static str, fate: Fate, note: &'static str) -> Rule {
    to(option, "", fate, note)
}

const PATHS: &str = "the paths are Centrifugo's own; have a proxy rewrite another one";
const ANSWERS: &str =
    "an https backend is trusted by `ca_file` or the system's authorities, and says errors in its answers";
const GRPC: &str = "backends are asked over HTTP";
const ENDS: &str = "a connection ends in one way, which clients know";
const BUFFERS: &str = "workers share their buffers";
const MAPS: &str = "no map subscriptions and no shared polls";

/// In the order of Centrifugo's documentation.
#[rustfmt::skip]
pub(super) const RULES: &[Rule] = &[
    to("http_server.address", "listen", Weighed, "All addresses when it is not written. Kept on `127.0.0.1` when nothing says who the clients are."),
    to("http_server.port", "listen", Weighed, "8000 when it is not written."),
    to("http_server.internal_address", "ops_listen", Weighed, "Health and metrics always have a port of their own, the server API never."),
    to("http_server.internal_port", "ops_listen", Weighed, "As above; 9000 when only the address is written."),
    none("http_server.tls.*", Missing, "write http.tls.certificate_file and key_file, in PEM; without them the port has no TLS"),
    none("http_server.tls_autocert.*", Missing, "have cert-manager or certbot get certificates, and write their files into http.tls"),
    none("http_server.tls_external", Needless, "`http.tls` is that of the port for clients alone"),
    none("http_server.internal_tls.*", Missing, "the ops port has no TLS: keep it inside"),
    none("http_server.http3.*", Missing, "HTTP/1.1 carries every transport"),
    none("http_server.h2c_external", Missing, "HTTP/1.1 carries every transport"),

    to("log.level", "log.level", Weighed, "`fatal` becomes `error`, `none` becomes `off`."),
    none("log.file", Missing, "the log goes to the standard output"),

    none("engine.type", Fixed("memory"), "rooms are bridged over NATS: write bus.nats.servers"),
    none("engine.redis.*", Missing, "rooms are bridged over NATS: write bus.nats.servers"),
    to("broker.enabled", "bus.nats", Weighed, "Without NATS, one gateway keeps its rooms in one process."),
    to("broker.type", "bus.nats", Weighed, "`nats` or `memory`."),
    to("broker.nats.url", "bus.nats.servers", Weighed, "History, recovery and idempotency work over NATS: JetStream keeps them."),
    to("broker.nats.prefix", "bus.prefix", Weighed, "Subjects are not Centrifugo's: the two do not meet in one NATS."),
    none("broker.nats.dial_timeout", Needless, "`bus.nats.request_timeout` bounds every wait"),
    none("broker.nats.write_timeout", Needless, "`bus.nats.request_timeout` bounds every wait"),
    none("broker.nats.tls.*", Missing, "write bus.nats.ca_file, certificate_file and key_file"),
    none("broker.nats.allow_wildcards", Missing, "a subject of NATS stands for one room"),
    none("broker.nats.raw_mode.*", Missing, "subjects carry marks of the bus"),
    none("broker.redis.*", Missing, "rooms are bridged over NATS"),
    none("broker.postgres.*", Missing, "rooms are bridged over NATS"),
    none("broker.redisnats.*", Missing, "rooms are bridged over NATS"),
    none("tarantool.*", Missing, "rooms are bridged over NATS: write bus.nats.servers"),
    none("presence_manager.*", Needless, "gateways tell each other who is there"),
    none("controller.*", Needless, "gateways speak to each other over the bus"),

    to("client.allowed_origins", "http.allowed_origins", Copied(List), "`*`, or `scheme://host[:port]` where the host may start with `*.`; other patterns are refused."),
    to("client.user_id_http_header", "client.user_id_header", Weighed, "The same trust: only a proxy may set it. Clients without it are refused."),
    to("client.insecure", "client.anonymous", Weighed, "`allow`, and `anyone` for every namespace."),
    to("client.allow_anonymous_connect_without_token", "client.anonymous", Weighed, "`allow`."),
    none("client.disallow_anonymous_connection_tokens", Missing, "a token without a user is of an anonymous client; `users` in a permission keeps it out"),
    to("client.token.hmac_secret_key", "tokens[].hmac_secrets", Weighed, "At least 32 characters."),
    to("client.token.hmac_previous_secret_key", "tokens[].hmac_secrets", Weighed, "Beside the other, until you take it out."),
    none("client.token.hmac_previous_secret_key_valid_until", Missing, "a former secret is good until it is taken out of `tokens[].hmac_secrets`"),
    none("client.token.rsa_public_key", Missing, "keys stand in a file: `tokens[].public_keys_file`"),
    none("client.token.ecdsa_public_key", Missing, "keys stand in a file: `tokens[].public_keys_file`"),
    to("client.token.jwks_public_endpoint", "tokens[].jwks_url", Weighed, "Fetched every 5 minutes, and when a token names a key that is not known; no patterns in the address."),
    to("client.token.audience", "tokens[].audience", Weighed, ""),
    to("client.token.issuer", "tokens[].issuer", Weighed, ""),
    to("client.token.user_id_claim", "tokens[].user_claim", Weighed, ""),
    none("client.token.audience_regex", Missing, "one issuer has one `iss` and one `aud`: write several entries of `tokens`"),
    none("client.token.issuer_regex", Missing, "one issuer has one `iss` and one `aud`: write several entries of `tokens`"),
    none("client.token.*", Missing, "not here"),
    to("client.subscription_token.enabled", "tokens[].signs", Weighed, "A second entry of `tokens`, which signs `subscriptions`."),
    to("client.subscription_token.hmac_secret_key", "tokens[].hmac_secrets", Weighed, "As above."),
    to("client.subscription_token.hmac_previous_secret_key", "tokens[].hmac_secrets", Weighed, "As above."),
    none("client.subscription_token.hmac_previous_secret_key_valid_until", Missing, "a former secret is good until it is taken out of `tokens[].hmac_secrets`"),
    none("client.subscription_token.rsa_public_key", Missing, "keys stand in a file: `tokens[].public_keys_file`"),
    none("client.subscription_token.ecdsa_public_key", Missing, "keys stand in a file: `tokens[].public_keys_file`"),
    to("client.subscription_token.jwks_public_endpoint", "tokens[].jwks_url", Weighed, "As above."),
    to("client.subscription_token.audience", "tokens[].audience", Weighed, ""),
    to("client.subscription_token.issuer", "tokens[].issuer", Weighed, ""),
    to("client.subscription_token.user_id_claim", "tokens[].user_claim", Weighed, ""),
    none("client.subscription_token.audience_regex", Missing, "one issuer has one `iss` and one `aud`: write several entries of `tokens`"),
    none("client.subscription_token.issuer_regex", Missing, "one issuer has one `iss` and one `aud`: write several entries of `tokens`"),
    none("client.subscription_token.*", Missing, "not here"),
    none("client.insecure_skip_token_signature_verify", Missing, "a token that is not verified says nothing"),
    to("client.proxy.connect.enabled", "client.connect_proxy", Weighed, "The backend says who the clients are. The gateway is kept on `127.0.0.1` when it cannot be asked."),
    to("client.proxy.connect.endpoint", "proxies[].endpoint", Weighed, "As those of `proxies[]`, under the name `connect`."),
    to("client.proxy.connect.timeout", "proxies[].timeout", Weighed, "As above."),
    to("client.proxy.connect.http_headers", "proxies[].http_headers", Weighed, "As above."),
    to("client.proxy.connect.http.static_headers", "proxies[].static_headers", Weighed, "As above."),
    to("client.proxy.connect.http.static_headers.*", "proxies[].static_headers", Weighed, "As above."),
    to("client.proxy.connect.binary_encoding", "proxies[].binary_encoding", Weighed, "As above."),
    to("client.proxy.connect.include_connection_meta", "proxies[].include_connection_meta", Weighed, "As above."),
    to("client.proxy.connect.name", "client.connect_proxy", Weighed, "Of version 5."),
    none("client.proxy.connect.*", Missing, "as those of `proxies[]`"),
    to("client.proxy.refresh.enabled", "client.refresh_proxy", Weighed, "A backend without an answer is asked again within `client.expired_close_delay` only."),
    to("client.proxy.refresh.endpoint", "proxies[].endpoint", Weighed, "As those of `proxies[]`, under the name `refresh`."),
    to("client.proxy.refresh.timeout", "proxies[].timeout", Weighed, "As above."),
    to("client.proxy.refresh.http_headers", "proxies[].http_headers", Weighed, "As above."),
    to("client.proxy.refresh.http.static_headers", "proxies[].static_headers", Weighed, "As above."),
    to("client.proxy.refresh.http.static_headers.*", "proxies[].static_headers", Weighed, "As above."),
    to("client.proxy.refresh.binary_encoding", "proxies[].binary_encoding", Weighed, "As above."),
    to("client.proxy.refresh.include_connection_meta", "proxies[].include_connection_meta", Weighed, "As above."),
    to("client.proxy.refresh.name", "client.refresh_proxy", Weighed, "Of version 5."),
    none("client.proxy.refresh.*", Missing, "as those of `proxies[]`"),
    to("client.ping_interval", "client.ping_interval", Copied(Duration), "In whole seconds."),
    to("client.pong_timeout", "client.pong_timeout", Copied(Duration), ""),
    to("client.stale_close_delay", "client.stale_timeout", Copied(Duration), ""),
    to("client.expired_close_delay", "client.expired_close_delay", Copied(Duration), ""),
    to("client.expired_sub_close_delay", "client.expired_sub_close_delay", Copied(Duration), ""),
    to("client.channel_limit", "client.channel_limit", Copied(Number), ""),
    to("client.queue_max_size", "client.queue_max_size", Copied(Number), "Counts publications; answers have bounds of their own."),
    to("client.history_max_publication_limit", "client.history_limit", Copied(Number), "A page ends at 4 MiB, too."),
    to("client.recovery_max_publication_limit", "client.recovery_limit", Copied(Number), "A recovery ends at 4 MiB, too."),
    none("client.presence_update_interval", Needless, "nothing is repeated while a client stays"),
    none("client.concurrency", Needless, "commands are answered in their order, and wait for the bus side by side"),
    none("client.channel_position_check_delay", Needless, "a gap is seen at the next message, a lost last message within 30 s"),
    none("client.channel_position_max_time_lag", Needless, "as above"),
    to("client.connection_limit", "client.connection_limit", Copied(Number), "Descriptors bound the connections of a gateway, too."),
    to("client.user_connection_limit", "client.user_connection_limit", Copied(Number), "Of all gateways together, approximately, and not of each: docs/limits.md."),
    to("client.connection_rate_limit", "client.connection_rate_limit", Copied(Number), "Twice as many at once."),
    none("client.connect_include_server_time", Missing, "the connect reply has no time"),
    to("client.subscribe_to_user_personal_channel.enabled", "client.subscribe_to_user_personal_channel.enabled", Copied(Switch), ""),
    to("client.subscribe_to_user_personal_channel.personal_channel_namespace", "client.subscribe_to_user_personal_channel.personal_channel_namespace", Copied(Text), ""),
    none("client.subscribe_to_user_personal_channel.single_connection", Missing, "a user may have several connections"),
    none("client.connect_code_to_unidirectional_disconnect.*", Missing, ENDS),

    to("channel.max_length", "client.channel_max_length", Copied(Number), "At most 255 bytes."),
    none("channel.private_prefix", Fixed("$"), "a prefix has no meaning"),
    none("channel.namespace_boundary", Fixed(":"), "a colon ends the namespace"),
    none("channel.user_boundary", Fixed("#"), "the mark of personal channels is not chosen"),
    none("channel.user_separator", Fixed(","), "the mark of personal channels is not chosen"),
    none("channel.history_meta_ttl", Needless, "a position is the stream's, which does not forget it"),
    to("channel.publication_data_format", "rooms.namespaces[].payload", Weighed, "As that of a namespace, for those that say nothing."),
    to("channel.proxy.http_headers", "proxies[].http_headers", Weighed, "Of version 5, where proxies without a name share it."),
    to("channel.proxy.http.static_headers", "proxies[].static_headers", Weighed, "As above."),
    to("channel.proxy.http.static_headers.*", "proxies[].static_headers", Weighed, "As above."),
    to("channel.proxy.binary_encoding", "proxies[].binary_encoding", Weighed, "As above."),
    to("channel.proxy.include_connection_meta", "proxies[].include_connection_meta", Weighed, "As above."),
    none("channel.proxy.http.*", Missing, ANSWERS),
    none("channel.proxy.grpc.*", Missing, GRPC),
    none("channel.proxy.granular", Needless, "every proxy has a name"),
    none("channel.proxy.subscribe_stream.*", Missing, "a backend publishes by the server API"),
    none("channel.proxy.map_publish.*", Missing, MAPS),
    none("channel.proxy.map_remove.*", Missing, MAPS),
    none("channel.proxy.shared_poll_refresh.*", Missing, MAPS),
    none("channel.proxy.*", Missing, "a backend is asked about other things"),

    none("channel.namespaces", Needless, "there is none"),
    to("channel.namespaces[].name", "rooms.namespaces[].name", Weighed, "Letters, digits, `_` and `-`: no dots, and not `default`."),
    to("channel.namespaces[].allow_subscribe_for_client", "rooms.namespaces[].subscribe", Weighed, "`users`; with `…_for_anonymous` `anyone`; without it `token`: whom a token lets."),
    to("channel.namespaces[].allow_subscribe_for_anonymous", "rooms.namespaces[].subscribe", Weighed, "As above."),
    to("channel.namespaces[].allow_publish_for_client", "rooms.namespaces[].publish", Weighed, "`users`; with `…_for_anonymous` `anyone`; else `token`: whom a capability lets."),
    to("channel.namespaces[].allow_publish_for_subscriber", "rooms.namespaces[].publish", Weighed, "`subscribers`, among whom are those without a user id where `anyone` may join."),
    to("channel.namespaces[].allow_publish_for_anonymous", "rooms.namespaces[].publish", Weighed, "As above."),
    to("channel.namespaces[].subscribe_cel", "rooms.namespaces[].subscribe_cel", Weighed, "What the switches allow is written into it, as it is all that counts here. No `vars` and no `labels`; `claims` are all of the token."),
    to("channel.namespaces[].publish_cel", "rooms.namespaces[].publish_cel", Weighed, "As above."),
    to("channel.namespaces[].presence_cel", "rooms.namespaces[].presence_cel", Weighed, "As above."),
    to("channel.namespaces[].history_cel", "rooms.namespaces[].history_cel", Weighed, "As above."),
    to("channel.namespaces[].history_size", "rooms.namespaces[].history.size", Weighed, "History needs this and `history_ttl`, there and here."),
    to("channel.namespaces[].history_ttl", "rooms.namespaces[].history.ttl", Weighed, "Counted for each publication, not from the last one."),
    none("channel.namespaces[].history_meta_ttl", Needless, "a position is the stream's, which does not forget it"),
    to("channel.namespaces[].allow_history_for_client", "rooms.namespaces[].history.read", Weighed, "`users`; with `…_for_anonymous` `anyone`; else `token`."),
    to("channel.namespaces[].allow_history_for_subscriber", "rooms.namespaces[].history.read", Weighed, "`subscribers`."),
    to("channel.namespaces[].allow_history_for_anonymous", "rooms.namespaces[].history.read", Weighed, "As above."),
    to("channel.namespaces[].allow_recovery", "rooms.namespaces[].history.read", Weighed, "At least `subscribers`: who may recover may read what it recovers."),
    to("channel.namespaces[].allow_positioning", "rooms.namespaces[].history.read", Weighed, "As above."),
    to("channel.namespaces[].force_recovery", "rooms.namespaces[].history.force_recovery", Weighed, ""),
    to("channel.namespaces[].force_positioning", "rooms.namespaces[].history.force_positioning", Weighed, ""),
    to("channel.namespaces[].force_recovery_mode", "rooms.namespaces[].history.recovery_mode", Weighed, "`stream` or `cache`."),
    none("channel.namespaces[].auto_cache_recover", Missing, "a client asks for the newest message by recovering"),
    to("channel.namespaces[].publication_data_format", "rooms.namespaces[].payload", Weighed, "`binary` rooms are for clients that speak Protobuf; `json_object` is held to be JSON only; without it, JSON is asked for."),
    to("channel.namespaces[].presence", "rooms.namespaces[].presence", Weighed, "Above `presence_limit` members a room only counts them."),
    to("channel.namespaces[].join_leave", "rooms.namespaces[].join_leave", Weighed, "For whom asks for it; joins and leaves of one moment come together, or not at all when they cancel out."),
    to("channel.namespaces[].force_push_join_leave", "rooms.namespaces[].force_push_join_leave", Weighed, "Needs `join_leave`."),
    to("channel.namespaces[].allow_presence_for_client", "rooms.namespaces[].presence_read", Weighed, "`users`; with `…_for_anonymous` `anyone`; else `token`."),
    to("channel.namespaces[].allow_presence_for_subscriber", "rooms.namespaces[].presence_read", Weighed, "`subscribers`."),
    to("channel.namespaces[].allow_presence_for_anonymous", "rooms.namespaces[].presence_read", Weighed, "As above."),
    none("channel.namespaces[].map_clients_presence_channel_prefix", Missing, MAPS),
    none("channel.namespaces[].map_users_presence_channel_prefix", Missing, MAPS),
    to("channel.namespaces[].allowed_delta_types", "rooms.namespaces[].delta", Weighed, "`fossil`."),
    none("channel.namespaces[].delta_publish", Needless, "every message is given as a difference to whom asks for that"),
    to("channel.namespaces[].allow_tags_filter", "rooms.namespaces[].tags_filter", Weighed, ""),
    none("channel.namespaces[].allow_user_limited_channels", Needless, "a `#` in a name always lists the users who may join"),
    none("channel.namespaces[].channel_regex", Missing, "names are bounded by their length alone"),
    to("channel.namespaces[].subscribe_proxy_enabled", "rooms.namespaces[].subscribe_proxy", Weighed, "There the proxy alone decides; here `subscribe` comes first, and is written as `anyone`; as `server` when the proxy cannot be had."),
    to("channel.namespaces[].subscribe_proxy_name", "rooms.namespaces[].subscribe_proxy", Weighed, "`subscribe` where it is not written: the proxy of `channel.proxy.subscribe`."),
    to("channel.namespaces[].publish_proxy_enabled", "rooms.namespaces[].publish_proxy", Weighed, "There the proxy alone decides; here `publish` comes first, and is written as `anyone`; as `server` when the proxy cannot be had."),
    to("channel.namespaces[].publish_proxy_name", "rooms.namespaces[].publish_proxy", Weighed, "`publish` where it is not written: the proxy of `channel.proxy.publish`."),
    to("channel.namespaces[].sub_refresh_proxy_enabled", "rooms.namespaces[].sub_refresh_proxy", Weighed, "A backend without an answer is asked again within `client.expired_sub_close_delay` only."),
    to("channel.namespaces[].sub_refresh_proxy_name", "rooms.namespaces[].sub_refresh_proxy", Weighed, "`sub_refresh` where it is not written: the proxy of `channel.proxy.sub_refresh`."),
    to("channel.namespaces[].subscribe_stream_proxy_enabled", "rooms.namespaces[].subscribe", Weighed, "`server`, as `publish`, unless another proxy is asked: a backend publishes by the server API."),
    to("channel.namespaces[].subscribe_stream_proxy_name", "rooms.namespaces[].subscribe", Weighed, "As above, in version 5."),
    none("channel.namespaces[].subscribe_stream_proxy_bidirectional", Missing, "a backend publishes by the server API"),
    none("channel.namespaces[].subscription_type", Missing, MAPS),
    none("channel.namespaces[].map.*", Missing, MAPS),
    none("channel.namespaces[].shared_poll.*", Missing, MAPS),
    none("map_broker.*", Missing, MAPS),
    none("shared_poll.*", Missing, MAPS),

    to("proxies[].name", "proxies[].name", Weighed, "Those of `client.proxy.connect`, `client.proxy.refresh`, `channel.proxy.subscribe`, `channel.proxy.sub_refresh`, `channel.proxy.publish` and `rpc.proxy` are called `connect`, `refresh`, `subscribe`, `sub_refresh`, `publish` and `rpc`."),
    to("proxies[].endpoint", "proxies[].endpoint", Weighed, "`http://` or `https://`, without credentials: those belong into a header. gRPC is not spoken."),
    to("proxies[].timeout", "proxies[].timeout", Weighed, "At most 30 s, retries included."),
    to("proxies[].http_headers", "proxies[].http_headers", Weighed, ""),
    to("proxies[].http.static_headers", "proxies[].static_headers", Weighed, "A list of lines; better in `static_headers_file`."),
    to("proxies[].http.static_headers.*", "proxies[].static_headers", Weighed, "As above."),
    to("proxies[].binary_encoding", "proxies[].binary_encoding", Weighed, ""),
    to("proxies[].include_connection_meta", "proxies[].include_connection_meta", Weighed, ""),
    none("proxies[].http.*", Missing, ANSWERS),
    none("proxies[].grpc.*", Missing, GRPC),
    none("proxies[].grpc_metadata", Missing, GRPC),
    none("proxies[].emulated_headers", Missing, "headers of a request are its own"),
    none("proxies", Needless, "there is none"),
    to("rpc.without_namespace.proxy_enabled", "client.rpc_proxy", Weighed, "One proxy answers all calls."),
    to("rpc.without_namespace.proxy_name", "client.rpc_proxy", Weighed, "`rpc` where it is not written: the proxy of `rpc.proxy`."),
    none("rpc.*", Missing, "one proxy answers all calls"),

    to("http_api.key", "api.keys", Weighed, "A list, so that keys can be changed one after another; at least 16 characters where others reach `listen`."),
    to("http_api.disabled", "api.keys", Weighed, "Without a key the API is off."),
    none("http_api.insecure", Missing, "the API needs a key"),
    none("http_api.external", Needless, "the API stands beside the clients' endpoints, behind its key"),
    none("http_api.error_mode", Missing, "a backend asks for it by the header `X-Centrifugo-Error-Mode`"),
    none("http_api.handler_prefix", Fixed("/api"), PATHS),
    none("grpc_api.*", Missing, "the server API is spoken over HTTP"),
    none("consumers", Missing, "a backend publishes by the server API"),

    none("websocket.disabled", Missing, "clients always may use a WebSocket"),
    none("websocket.handler_prefix", Fixed("/connection/websocket"), PATHS),
    to("websocket.compression", "client.compression.enabled", Copied(Switch), "Once for each message, for all members that take it."),
    to("websocket.compression_min_size", "client.compression.min_size", Copied(Number), "At least 1."),
    to("websocket.compression_level", "client.compression.level", Copied(Number), "1 to 9."),
    to("websocket.message_size_limit", "client.message_size_limit", Copied(Number), "For streams, too."),
    none("websocket.decompressed_message_size_limit", Needless, "`client.message_size_limit` holds for what a message becomes"),
    none("websocket.read_buffer_size", Needless, BUFFERS),
    none("websocket.write_buffer_size", Needless, BUFFERS),
    none("websocket.use_write_buffer_pool", Needless, BUFFERS),
    none("websocket.write_timeout", Needless, "a slow reader is closed by the bytes that wait for it"),
    none("sse.enabled", Needless, "always on"),
    none("sse.handler_prefix", Fixed("/connection/sse"), PATHS),
    none("sse.max_request_body_size", Needless, "`client.message_size_limit` holds"),
    none("http_stream.enabled", Needless, "always on"),
    none("http_stream.handler_prefix", Fixed("/connection/http_stream"), PATHS),
    none("http_stream.max_request_body_size", Needless, "`client.message_size_limit` holds"),
    none("emulation.handler_prefix", Fixed("/emulation"), PATHS),
    none("emulation.max_request_body_size", Needless, "`client.message_size_limit` holds"),
    none("webtransport.*", Missing, "browsers fall back to a WebSocket"),
    none("uni_websocket.enabled", Needless, "always on"),
    none("uni_websocket.handler_prefix", Fixed("/connection/uni_websocket"), PATHS),
    none("uni_websocket.disable_closing_handshake", Missing, ENDS),
    none("uni_websocket.disable_disconnect_push", Missing, ENDS),
    none("uni_websocket.join_push_messages", Missing, "messages that are written together stay messages"),
    none("uni_websocket.*", Needless, "what holds for a WebSocket holds"),
    none("uni_sse.enabled", Needless, "always on"),
    none("uni_sse.handler_prefix", Fixed("/connection/uni_sse"), PATHS),
    none("uni_sse.max_request_body_size", Needless, "`client.message_size_limit` holds"),
    none("uni_sse.connect_code_to_http_response.*", Missing, ENDS),
    none("uni_http_stream.enabled", Needless, "always on"),
    none("uni_http_stream.handler_prefix", Fixed("/connection/uni_http_stream"), PATHS),
    none("uni_http_stream.max_request_body_size", Needless, "`client.message_size_limit` holds"),
    none("uni_http_stream.connect_code_to_http_response.*", Missing, ENDS),
    none("uni_grpc.*", Missing, "no gRPC"),
    none("sockjs.*", Missing, "SDKs fall back to HTTP streaming and server-sent events"),
    none("init.*", Missing, "clients connect at once"),

    none("admin.*", Missing, "no administration page; metrics and the server API tell"),
    none("prometheus.enabled", Needless, "always on, at the ops port"),
    none("prometheus.handler_prefix", Fixed("/metrics"), PATHS),
    none("prometheus.instrument_http_handlers", Needless, "names of metrics are other ones: docs/observability.md"),
    none("prometheus.recovered_publications_histogram", Needless, "names of metrics are other ones: docs/observability.md"),
    none("prometheus.native_histograms", Missing, "histograms have buckets"),
    none("health.enabled", Needless, "always on, at the ops port: `/livez` and `/readyz`"),
    none("health.handler_prefix", Missing, "the paths are `/livez` and `/readyz`, at the ops port"),
    none("swagger.*", Needless, "the description of the API is at `/openapi.json`"),
    none("debug.*", Missing, "no profiles over HTTP"),
    none("opentelemetry.enabled", Missing, "write tracing.otlp_endpoint, the collector's address"),
    none("opentelemetry.api", Needless, "calls of the API are traced where tracing is on"),
    none("opentelemetry.consuming", Missing, "nothing is consumed"),
    none("opentelemetry.google_cloud_adc_auth", Missing, "a collector beside the gateway has the credentials"),
    none("graphite.*", Missing, "metrics are Prometheus's"),
    none("usage_stats.*", Needless, "nothing is sent to anybody"),
    to("node.name", "node_name", Copied(Text), ""),
    none("node.info_metrics_aggregate_interval", Needless, "`info` has no metrics"),
    to("shutdown.timeout", "drain.deadline", Copied(Duration), "More than `drain.accept` and `drain.duration` together, 25 s: clients leave at a pace."),
    none("shutdown.termination_delay", Needless, "`drain.accept`"),
    none("pid_file", Missing, "a supervisor knows the process"),
    none("gomaxprocs", Needless, "`workers` follows the cores"),
    none("enable_unreleased_features", Needless, "there are none"),
];

/// The row of an option by its path in a file, such as `channel.namespaces[2].presence`.
pub(super) fn rule(path: &str) -> Option<&'static Rule> {
    let general = general(path);
    RULES.iter().find(|rule| match rule.option.strip_suffix("*") {
        Some(section) => general.starts_with(section) || section.strip_suffix('.') == Some(&general),
        None => general == rule.option,
    })
}

/// `[]` for the number of a section in a list, and for sections that stand alone and have the same options.
fn general(path: &str) -> String {
    const ALIKE: [(&str, &str); 5] = [
        ("channel.without_namespace.", "channel.namespaces[]."),
        ("channel.proxy.subscribe.", "proxies[]."),
        ("channel.proxy.sub_refresh.", "proxies[]."),
        ("channel.proxy.publish.", "proxies[]."),
        ("rpc.proxy.", "proxies[]."),
    ];
    for (alone, listed) in ALIKE {
        if let Some(option) = path.strip_prefix(alone) {
            return format!("{listed}{option}");
        }
    }
    match (path.split_once('['), path.split_once(']')) {
        (Some((list, _)), Some((_, option))) => format!("{list}[]{option}"),
        _ => path.to_owned(),
    }
}
