//! Every key once: its kind, whether a reload applies it, and its line in the reference.
//!
//! Defaults are not here: they are read from the raw types' `Default`.

use super::kind::Kind::{
    self, Address, ApiKeys, Between, Choice, Count, Duration, Endpoint, Filter, Header, HeaderNames, Issuers,
    Names, Namespaces, NatsUrls, Networks, Nullable, OneOf, Origins, Proxies, ProxyUrl, Ratio, Secrets, Size,
    StaticHeaders, Switch, Text,
};

/// A key of the configuration.
pub(super) struct Key {
    /// Dotted path; `[]` stands for any element of a list.
    pub(super) path: &'static str,
    pub(super) kind: Kind,
    /// Whether a reload applies a new value; otherwise it needs a restart.
    pub(super) live: bool,
    /// One line for the reference.
    pub(super) doc: &'static str,
}

const fn live(path: &'static str, kind: Kind, doc: &'static str) -> Key {
    Key {
        path,
        kind,
        live: true,
        doc,
    }
}

const fn fixed(path: &'static str, kind: Kind, doc: &'static str) -> Key {
    Key {
        path,
        kind,
        live: false,
        doc,
    }
}

const JOIN: Kind = Choice(&["anyone", "users", "token", "server"]);
const WHO: Kind = Choice(&["anyone", "users", "subscribers", "token", "server"]);
const DEGRADED: Kind = Choice(&["refuse", "local"]);
const DELTA: Kind = Choice(&["none", "fossil"]);
const PAYLOAD: Kind = Choice(&["json", "binary"]);
const RECOVERY: Kind = Choice(&["stream", "cache"]);
const LEVEL: Kind = Between(1, 9);
const PARTITIONS: Kind = Between(1, 64);
const REPLICAS: Kind = OneOf(&[1, 3, 5]);
const STORAGE: Kind = Choice(&["file", "memory"]);
const DISCARD: Kind = Choice(&["old", "new"]);

/// In the order of the reference; a section that is a key itself stands before its own keys.
#[rustfmt::skip]
pub(super) const KEYS: &[Key] = &[
    fixed("listen", Address, "Where clients, the server API and the page are served; port 0 takes a free one."),
    fixed("ops_listen", Address, "Where `/livez`, `/readyz`, `/metrics` and `/control` are served."),
    fixed("workers", Count, "Worker threads, at most 64; 0 = one per core."),
    fixed("node_name", Text, "This gateway's name in logs, in `info` and at NATS; null = the host name."),

    live("client.anonymous", Choice(&["loopback", "allow", "deny"]), "Whether clients without a user id may connect; `loopback` = only while `listen` is a loopback address."),
    live("client.user_id_header", Header, "Request header in which an authenticating proxy passes the user id. Trusted as it is: the proxy must remove it from what clients send, and must be the only way to the gateway."),
    live("client.ping_interval", Duration, "Time between two pings to a client, in whole seconds."),
    live("client.pong_timeout", Duration, "Time after a ping in which a client must answer; shorter than `client.ping_interval`."),
    live("client.stale_timeout", Duration, "Time from the upgrade in which a client must send its connect command."),
    live("client.message_size_limit", Size, "Largest message from a client; a larger one closes the connection with 1009."),
    live("client.queue_max_size", Size, "Bytes of publications that may wait for a slow reader before it is closed with 3008."),
    live("client.connection_limit", Count, "Connections that one gateway has; more are refused with HTTP 503; 0 = as many as there are descriptors for."),
    live("client.connection_rate_limit", Count, "New connections a second at one gateway, twice as many at once; more are refused with HTTP 503; 0 = no limit."),
    live("client.user_connection_limit", Count, "Connections of one user; a further one is closed with 3504; 0 = no limit. Over several gateways it is kept approximately: see docs/limits.md."),
    live("client.address_connection_limit", Count, "Connections of one address (IPv6: of one /64 network) at one gateway; more are refused with HTTP 429; 0 = no limit. Behind a load balancer that hides addresses, all clients have the same one."),
    live("client.rate_limit.commands", Count, "Commands a second of one connection, twice as many at once; beyond it the connection is not read until it may say more; 0 = no limit. WebSocket pings and pongs count."),
    live("client.rate_limit.publications", Count, "Publications a second of one connection, twice as many at once; more are refused with 111; 0 = no limit."),
    live("client.rate_limit.reads", Count, "Questions a second of one connection for history, presence and presence statistics, twice as many at once; more are refused with 111; 0 = no limit."),
    live("client.rate_limit.user_commands", Count, "As `client.rate_limit.commands`, of all connections of a user at one gateway."),
    live("client.rate_limit.user_publications", Count, "As `client.rate_limit.publications`, of all connections of a user at one gateway."),
    live("client.rate_limit.user_reads", Count, "As `client.rate_limit.reads`, of all connections of a user at one gateway."),
    live("client.channel_limit", Count, "Rooms one connection may be in."),
    live("client.channel_max_length", Count, "Longest channel name in bytes, at most 255."),
    live("client.recovery_limit", Count, "Publications that one recovery may bring, at most 10000; a client that missed more, or more than 4 MiB, is told `recovered: false`."),
    live("client.history_limit", Count, "Largest page of a client's history command, in publications, at most 10000; it ends at 4 MiB."),
    live("client.close_timeout", Duration, "Time for a client to answer a close before its socket is cut."),
    live("client.expired_close_delay", Duration, "Time that a connection which has expired is kept, for its client to renew it; then it is closed with 3005."),
    live("client.expired_sub_close_delay", Duration, "The same of a subscription, which is then ended with 2501; of one that the server made the connection is closed with 3006."),
    live("client.subscribe_to_user_personal_channel.enabled", Switch, "Whether every client with a user id is in its user's own room, `#<user>`, from the beginning."),
    live("client.subscribe_to_user_personal_channel.personal_channel_namespace", Text, "Namespace of these rooms, `<namespace>:#<user>`; null = rooms without a namespace."),
    live("client.compression.enabled", Switch, "Whether clients that offer permessage-deflate may send compressed messages and get them; what was agreed with a connection stays."),
    live("client.compression.level", LEVEL, "How much time is given to compression: 1 = fastest, 9 = shortest."),
    live("client.compression.min_size", Size, "Smallest publication that is compressed; those beyond 128KiB never are."),
    live("client.compression.min_members", Count, "Members of a room on this gateway that must take compressed messages before its publications are compressed, each once for all of them; every worker thread judges by its share of them."),

    live("client.connect_proxy", Text, "Name of the proxy that is asked about every new connection; null = nobody is asked."),
    live("client.refresh_proxy", Text, "Name of the proxy that is asked about connections that have expired, which their clients then cannot renew; null = nobody is asked."),
    live("client.rpc_proxy", Text, "Name of the proxy that answers calls of clients (`rpc`); null = they are refused with 108."),

    live("tokens", Issuers, "Who signs the tokens of clients (JWT); see docs/tokens.md."),
    live("tokens[].name", Text, "In logs and metrics: 1 to 64 letters, digits, `_` or `-`."),
    live("tokens[].signs", Choice(&["both", "connections", "subscriptions"]), "What it may sign tokens for."),
    live("tokens[].hmac_secrets", Secrets, "Secrets for HS256, HS384 and HS512, any of which may have signed; at least 32 characters where `listen` is not a loopback address."),
    live("tokens[].hmac_secrets_file", Text, "File with more of them, one a line; read again every 5s; null = none."),
    live("tokens[].public_keys_file", Text, "File with public keys in PEM (RSA, ECDSA with P-256 or P-384, Ed25519), any of which may have signed; read like `hmac_secrets_file`; null = none."),
    live("tokens[].jwks_url", ProxyUrl, "Where public keys are fetched, as a JWK Set; null = nowhere."),
    live("tokens[].jwks_ca_file", Text, "File with the certificates of the authorities that are trusted there with https, in PEM; null = the system's."),
    live("tokens[].jwks_refresh", Duration, "Time between two looks for new keys. A token whose key is not known has them looked for at once, at most every 5s."),
    live("tokens[].issuer", Text, "What the claim `iss` must be; null = anything."),
    live("tokens[].audience", Text, "What the claim `aud` must be, or list; null = anything."),
    live("tokens[].user_claim", Text, "The claim with the user id."),
    live("tokens[].leeway", Duration, "By how much clocks may differ, at most 5m."),

    fixed("revocation.lease", Duration, "How long a gateway goes on without news of what is revoked, 2s to 1m; then rooms with access rules wait until it has caught up. The same for all gateways; see docs/revocation.md."),
    live("revocation.max_rules", Count, "Revocations that there may be at once, at most 1000000; more are refused with 106. One takes some 600 bytes of every gateway's memory."),

    live("http.allowed_origins", Origins, "Web pages that may connect: `*` = all, `scheme://host[:port]` where the host may start with `*.`; empty = the gateway's own origin only."),
    live("http.trusted_proxies", Networks, "Networks of the proxies in front of the gateway. Of their `X-Forwarded-For` the last address that is none of theirs is the client's; what others say in it, and in `client.user_id_header`, is ignored. Empty = the client is who connects."),
    live("http.proxy_protocol", Switch, "Whether connections from `http.trusted_proxies` begin with a header of the PROXY protocol (version 1 or 2) that names the client; one without it is cut. Those from elsewhere have none."),
    fixed("http.tls.certificate_file", Text, "Certificate of the public port, in PEM, with those behind it; read again every 5s; null = no TLS. See docs/tls.md."),
    fixed("http.tls.key_file", Text, "Private key, in PEM, of `http.tls.certificate_file`; read with it."),
    fixed("http.tls.client_ca_file", Text, "Certificates, in PEM, of the authorities that must have signed the certificate of every client; read with the others; null = clients need none."),
    live("http.header_timeout", Duration, "Time in which a request's head must have arrived; with TLS the handshake before it has as much."),
    live("http.handshake_limit", Count, "Sockets at one gateway whose first request has not arrived yet, 64 to 1000000; when one more comes, the oldest of them is closed. As many beside them may wait for another request without having shown an API key, and as many may send the body of a request to `/emulation` or for a stream, which counts once for each `http.header_max_size` that has arrived."),
    live("http.header_max_size", Size, "Largest head of a request."),
    live("http.body_max_size", Size, "Largest body of a server API request."),
    live("http.request_timeout", Duration, "Time limit of a server API call."),

    live("api.keys", Secrets, "Keys of the server API (`X-API-Key`); any of them opens it, none of any kind = the API is off. At least 16 characters where `listen` is not a loopback address."),
    live("api.keys_file", Text, "File with more of them, one a line, each at least 16 characters; read again every 5s; null = none."),
    live("api.scoped_keys", ApiKeys, "Keys that may do less than everything; see docs/api.md."),
    live("api.scoped_keys[].name", Text, "In logs and metrics: 1 to 64 letters, digits, `_` or `-`; not `unscoped`."),
    live("api.scoped_keys[].keys", Secrets, "The keys, any of which is good, as in `api.keys`."),
    live("api.scoped_keys[].keys_file", Text, "File with more of them, as `api.keys_file`; null = none."),
    live("api.scoped_keys[].methods", Names, "Methods of the server API that they may call; empty = all. REST counts as `publish`, `history` and `history_remove`."),
    live("api.scoped_keys[].namespaces", Names, "Namespaces whose rooms they may name, `default` for rooms without one; empty = all. Methods that name no room then have to stand in `methods`."),
    live("api.rate_limit", Count, "Calls a second with one key at one gateway, each of a batch, twice as many at once; more are refused with 111; 0 = no limit."),
    live("api.wrong_key_limit", Count, "Requests a second without a valid key, from one address, that are answered with 401, twice as many at once; more are answered with 429; 0 = no limit. As many requests to `/emulation` may name sessions that there are not, before connections are closed."),
    fixed("api.nats", Switch, "Whether the server API is served over NATS too, on `<bus.prefix>.api.<method>`: to everybody whom NATS lets publish there. Needs `bus.nats`."),

    fixed("ops.control.token_file", Text, "File with the bearer tokens that control calls on the ops port need, one a line, at least 16 characters each; read again when it changes; null = control calls are off."),

    live("page.enabled", Switch, "Whether the demo page is served at `/`."),

    live("rooms.default", Nullable, "Policy of rooms without a namespace; null = such rooms are refused with 102."),
    live("rooms.default.subscribe", JOIN, "Who may join rooms without a namespace."),
    live("rooms.default.publish", WHO, "Which clients may publish to rooms without a namespace."),
    live("rooms.default.subscribe_cel", Text, "As `rooms.namespaces[].subscribe_cel`."),
    live("rooms.default.publish_cel", Text, "As `rooms.namespaces[].publish_cel`."),
    live("rooms.default.presence_cel", Text, "As `rooms.namespaces[].presence_cel`."),
    live("rooms.default.history_cel", Text, "As `rooms.namespaces[].history_cel`."),
    live("rooms.default.degraded", DEGRADED, "As `rooms.namespaces[].degraded`."),
    fixed("rooms.default.payload", PAYLOAD, "As `rooms.namespaces[].payload`."),
    live("rooms.default.delta", DELTA, "As `rooms.namespaces[].delta`."),
    live("rooms.default.tags_filter", Switch, "As `rooms.namespaces[].tags_filter`."),
    live("rooms.default.batch_window", Duration, "As `rooms.namespaces[].batch_window`."),
    live("rooms.default.publication_rate", Count, "As `rooms.namespaces[].publication_rate`."),
    live("rooms.default.subscribe_proxy", Text, "As `rooms.namespaces[].subscribe_proxy`."),
    live("rooms.default.sub_refresh_proxy", Text, "As `rooms.namespaces[].sub_refresh_proxy`."),
    live("rooms.default.publish_proxy", Text, "As `rooms.namespaces[].publish_proxy`."),
    fixed("rooms.default.presence", Switch, "As `rooms.namespaces[].presence`."),
    live("rooms.default.presence_read", WHO, "As `rooms.namespaces[].presence_read`."),
    live("rooms.default.presence_limit", Count, "As `rooms.namespaces[].presence_limit`."),
    fixed("rooms.default.join_leave", Switch, "As `rooms.namespaces[].join_leave`."),
    live("rooms.default.force_push_join_leave", Switch, "As `rooms.namespaces[].force_push_join_leave`."),
    fixed("rooms.default.history", Nullable, "As `rooms.namespaces[].history`, for rooms without a namespace; the keys below it alike."),
    fixed("rooms.default.history.size", Count, "As `rooms.namespaces[].history.size`."),
    fixed("rooms.default.history.ttl", Duration, "As `rooms.namespaces[].history.ttl`."),
    live("rooms.default.history.read", WHO, "As `rooms.namespaces[].history.read`."),
    live("rooms.default.history.force_recovery", Switch, "As `rooms.namespaces[].history.force_recovery`."),
    live("rooms.default.history.force_positioning", Switch, "As `rooms.namespaces[].history.force_positioning`."),
    live("rooms.default.history.recovery_mode", RECOVERY, "As `rooms.namespaces[].history.recovery_mode`."),
    fixed("rooms.default.history.idempotency_window", Duration, "As `rooms.namespaces[].history.idempotency_window`."),
    fixed("rooms.default.history.stream.managed", Switch, "As `rooms.namespaces[].history.stream.managed`."),
    fixed("rooms.default.history.stream.partitions", PARTITIONS, "As `rooms.namespaces[].history.stream.partitions`."),
    fixed("rooms.default.history.stream.replicas", REPLICAS, "As `rooms.namespaces[].history.stream.replicas`."),
    fixed("rooms.default.history.stream.storage", STORAGE, "As `rooms.namespaces[].history.stream.storage`."),
    fixed("rooms.default.history.stream.max_bytes", Size, "As `rooms.namespaces[].history.stream.max_bytes`."),
    fixed("rooms.default.history.stream.discard", DISCARD, "As `rooms.namespaces[].history.stream.discard`."),
    live("rooms.namespaces", Namespaces, "Policies of named namespaces; a namespace that is not listed is refused with 102."),
    live("rooms.namespaces[].name", Text, "What stands before the colon of a room's name: 1 to 64 letters, digits, `_` or `-`; not `default`."),
    live("rooms.namespaces[].subscribe", JOIN, "Who may join; `users` = clients with a user id, `token` = whom a token, a proxy's answer or `subscribe_cel` lets, `server` = only by a server API call."),
    live("rooms.namespaces[].publish", WHO, "Which clients may publish; `subscribers` = members of the room, `token` = whom a capability, a proxy's answer or `publish_cel` lets, `server` = the server API only."),
    live("rooms.namespaces[].subscribe_cel", Text, "Expression in CEL that lets clients join, such as `'admin' in meta.roles`; `subscribe` is `token` beside it."),
    live("rooms.namespaces[].publish_cel", Text, "The same of publishing; `publish` is `token` beside it."),
    live("rooms.namespaces[].presence_cel", Text, "The same of asking who is there; `presence_read` is `token` beside it."),
    live("rooms.namespaces[].history_cel", Text, "The same of history, recovery and positioning; `history.read` has to be `token` beside it."),
    live("rooms.namespaces[].degraded", DEGRADED, "What ephemeral rooms do while the bus is away: `refuse` joins and publications, or go on among the members of each gateway (`local`), where somebody may be kept out for `revocation.lease`."),
    fixed("rooms.namespaces[].payload", PAYLOAD, "What messages are: `json` = JSON texts, whatever else is refused with 107; `binary` = any bytes, untouched, in rooms that only clients which speak Protobuf can join. A durable namespace keeps what it has: take a new name to change it."),
    live("rooms.namespaces[].delta", DELTA, "Whether members that ask for it are given the difference to the publication before in place of the whole (`fossil`); pays where a message is much like the one before. The gateway keeps the last publication of each live room for it."),
    live("rooms.namespaces[].tags_filter", Switch, "Whether a subscription may ask for publications with certain tags only (`tf`)."),
    live("rooms.namespaces[].batch_window", Duration, "How long the publications of a room are collected, to be written together, while one more comes within it on average (half as long once there are two); 0s = never, at most 100ms. A room with fewer publications is never held up."),
    live("rooms.namespaces[].publication_rate", Count, "Publications of clients a second in one room, twice as many at once; more are refused with 111; 0 = no limit. Those of other gateways and of the server API count where the room has members."),
    live("rooms.namespaces[].subscribe_proxy", Text, "Name of the proxy that is asked about joins of clients, after `subscribe` has let them; null = nobody is asked."),
    live("rooms.namespaces[].sub_refresh_proxy", Text, "Name of the proxy that is asked about subscriptions that have expired, which their clients then cannot renew; null = nobody is asked."),
    live("rooms.namespaces[].publish_proxy", Text, "Name of the proxy that is asked about what clients publish, after `publish` has let them; null = nobody is asked."),
    fixed("rooms.namespaces[].presence", Switch, "Whether it can be asked who is in a room (`presence`, `presence_stats`); false = 108. Takes some 270 bytes for each member, and about as much at every other gateway with members of the room."),
    live("rooms.namespaces[].presence_read", WHO, "Which clients may ask; `subscribers` = members of the room, `token` = whom a capability or `presence_cel` lets, `server` = the server API only."),
    live("rooms.namespaces[].presence_limit", Count, "Members of a room, at most 20000, above which they are only counted: `presence` is refused with 106 and nobody is told who joins and leaves, until a quarter of them has left."),
    fixed("rooms.namespaces[].join_leave", Switch, "Whether members that ask for it (`join_leave` of the subscribe command) are told who joins and leaves."),
    live("rooms.namespaces[].force_push_join_leave", Switch, "Whether members that do not ask are told as well; needs `join_leave`."),
    fixed("rooms.namespaces[].history", Nullable, "Makes the rooms durable; `{}` = with every default, null = ephemeral rooms, delivered at most once. A new namespace may bring it by a reload."),
    fixed("rooms.namespaces[].history.size", Count, "Publications kept per room, at most 1000000."),
    fixed("rooms.namespaces[].history.ttl", Duration, "Age at which a publication is forgotten, 1s to 10years."),
    live("rooms.namespaces[].history.read", WHO, "Which clients may ask for history, recovery and positioning; `subscribers` = members of the room, `token` = whom a capability or `history_cel` lets, `server` = the server API only."),
    live("rooms.namespaces[].history.force_recovery", Switch, "Whether every client that comes back gets what it missed, asked for or not."),
    live("rooms.namespaces[].history.force_positioning", Switch, "Whether every client's position is watched and a loss told, asked for or not."),
    live("rooms.namespaces[].history.recovery_mode", RECOVERY, "What a client that comes back gets: `stream` = everything it missed, `cache` = the latest publication."),
    fixed("rooms.namespaces[].history.idempotency_window", Duration, "How long an idempotency key is remembered, 1s to 1day and at most `ttl`; not written: 5m, or `ttl` if that is shorter. A key takes up to 195 bytes of the server's memory."),
    fixed("rooms.namespaces[].history.stream.managed", Switch, "Whether the gateway makes and changes the streams at NATS; false = an administrator does, and they are only checked."),
    fixed("rooms.namespaces[].history.stream.partitions", PARTITIONS, "Streams that the rooms are spread over, fixed when they are made; null = 1 on a single NATS server, 4 on a cluster."),
    fixed("rooms.namespaces[].history.stream.replicas", REPLICAS, "NATS servers that hold each partition; 3 outlive the loss of one, 5 of two."),
    fixed("rooms.namespaces[].history.stream.storage", STORAGE, "Where a partition is kept; `memory` is gone when all its servers are down at once."),
    fixed("rooms.namespaces[].history.stream.max_bytes", Size, "Bytes that one partition may hold, 1MiB to 1024TiB; null = no limit but the server's."),
    fixed("rooms.namespaces[].history.stream.discard", DISCARD, "What gives way at `max_bytes`: `old` = the partition's oldest publications, `new` = new ones, which are refused."),

    live("proxies", Proxies, "Backends that are asked about what clients do, by Centrifugo's proxy protocol; see docs/proxies.md."),
    live("proxies[].name", Text, "By which the proxy is chosen, and its label in metrics: 1 to 64 letters, digits, `_` or `-`."),
    live("proxies[].endpoint", ProxyUrl, "Where the backend is asked, by POST: an http or https URL without credentials. With https the authorities of `ca_file` are trusted, or the system's."),
    live("proxies[].timeout", Duration, "Time limit of a call, retries included, at most 30s."),
    live("proxies[].http_headers", HeaderNames, "Headers of the client's request for its connection that the backend is given; no others leave the gateway."),
    live("proxies[].static_headers", StaticHeaders, "Headers of every call, each `Name: value`; one that the client sends and `http_headers` lists goes over it."),
    live("proxies[].static_headers_file", Text, "File with more of them, one a line; read again when it changes; null = none."),
    live("proxies[].ca_file", Text, "File with the certificates of the authorities that are trusted with https, in PEM; read when the proxy is new or changed; null = the system's."),
    live("proxies[].binary_encoding", Switch, "Whether data travels as base64 (`b64data`), whatever it is; otherwise as JSON, and what is none is refused with 107."),
    live("proxies[].include_connection_meta", Switch, "Whether the backend is given the `meta` that it answered to connect."),
    live("proxies[].retries", Count, "How often a call that failed is made again where that is safe, at most 5."),
    live("proxies[].max_in_flight", Count, "Calls that one gateway has under way at once; more are refused with 111."),
    live("proxies[].breaker_failures", Count, "Failures in a row after which the backend is left alone; 0 = never."),
    live("proxies[].breaker_pause", Duration, "How long it is left alone before one call tries it again, at most 10m; a fifth more or less."),
    live("proxies[].answer_max_size", Size, "Largest answer; a larger one is none, and its call is answered with 100."),

    fixed("bus.prefix", Text, "First token of every subject, so that clusters can share one NATS: 1 to 64 letters, digits, `_` or `-`."),
    fixed("bus.linger", Duration, "How long a room's subscription outlives its last member; 0s = not at all."),
    fixed("bus.critical", Switch, "Whether a gateway without its bus is not ready and refuses new connections."),
    fixed("bus.join_timeout", Duration, "How long a join may wait for the bus before it answers a temporary error."),
    fixed("bus.nats", Nullable, "Connection to NATS; null = the embedded bus of a single gateway."),
    fixed("bus.nats.servers", NatsUrls, "Servers to connect to, `nats://` or `tls://`; credentials, `user:password@` or `token@`, are the same in every URL, percent-encoded and never logged."),
    fixed("bus.nats.credentials_file", Text, "File to log in with: a `.creds` file (JWT and seed), or the seed of a user's NKey; read at every connection; null = what stands in the URLs."),
    fixed("bus.nats.ca_file", Text, "Certificates, in PEM, of the authorities that are trusted instead of the system's; connections then need TLS."),
    fixed("bus.nats.certificate_file", Text, "Certificate, in PEM, that the gateway shows to NATS, with `bus.nats.key_file`; read at every connection."),
    fixed("bus.nats.key_file", Text, "Private key, in PEM, of `bus.nats.certificate_file`."),
    fixed("bus.nats.ping_interval", Duration, "Time between two pings to the NATS server."),
    fixed("bus.nats.request_timeout", Duration, "Time limit of every other wait on NATS."),
    fixed("bus.nats.store_timeout", Duration, "Time in which a publication to a durable room must be acknowledged by its stream, and in which a page of history must be read or a gap filled; a stream that loses its leader is back after about 5 seconds."),
    fixed("bus.nats.join_concurrency", Count, "First joins of rooms that NATS is asked for at once, at most 1024; more wait their turn, up to `bus.join_timeout`."),
    fixed("bus.nats.manage_streams", Switch, "Whether the gateway makes and changes its streams; false = its user at NATS need not be permitted to: `natter-gateway setup-bus` makes them, the gateway checks them and is not ready before all are there. See docs/nats-permissions.md."),
    fixed("bus.nats.name", Text, "Client name that NATS shows, with ` rooms` behind it for the connection of the rooms; null = `node_name`."),

    live("drain.accept", Duration, "Time after SIGTERM in which new clients are still accepted, for load balancers to notice."),
    live("drain.duration", Duration, "Time over which the connections are then closed."),
    live("drain.deadline", Duration, "Time from SIGTERM to the exit whatever is left; longer than `drain.accept` and `drain.duration` together."),
    live("drain.retry_after", Duration, "`Retry-After` of refused clients, in whole seconds."),

    live("log.level", Filter, "Lowest level, or a filter such as `info,natter_gateway=debug`."),
    fixed("log.format", Choice(&["pretty", "json"]), "`pretty` for people, `json` for machines: one object a line."),

    fixed("tracing.otlp_endpoint", Endpoint, "OTLP/HTTP collector that receives traces; `/v1/traces` is added where it is missing; null = tracing is off."),
    fixed("tracing.otlp_ca_file", Text, "File with the certificates of the authorities that are trusted with https, in PEM; null = the system's."),
    fixed("tracing.otlp_certificate_file", Text, "Certificate, in PEM, that the gateway shows to the collector, with `tracing.otlp_key_file`."),
    fixed("tracing.otlp_key_file", Text, "Private key, in PEM, of `tracing.otlp_certificate_file`."),
    fixed("tracing.otlp_headers_file", Text, "File with headers of every export, one `Name: value` a line, such as the collector's key; read again every 5s; null = none."),
    fixed("tracing.sample_ratio", Ratio, "Share of publications that are traced, 0 to 1."),

    live("metrics.delivery_sample", Count, "One message in this many is timed to the socket."),
];

/// What stands at a path.
pub(super) enum Node {
    Section,
    Leaf(Kind),
}

/// Finds a path (`[]` for elements of lists).
pub(super) fn find(path: &str) -> Option<Node> {
    match KEYS.iter().find(|key| key.path == path) {
        Some(key) => Some(Node::Leaf(key.kind)),
        None => children(path).next().map(|_| Node::Section),
    }
}

/// The names directly below a section (`""`: the root), each once, in order.
pub(super) fn children(section: &str) -> impl Iterator<Item = &'static str> {
    let below = move |key: &Key| -> Option<&'static str> {
        let rest = if section.is_empty() {
            key.path
        } else {
            key.path.strip_prefix(section)?.strip_prefix('.')?
        };
        rest.split(['.', '[']).next()
    };
    let names: Vec<&'static str> = KEYS.iter().filter_map(below).collect();
    let mut last = None;
    names
        .into_iter()
        .filter(move |name| last.replace(*name) != Some(*name))
}

/// What an unknown key may have meant: its nearest sibling, or keys of the same name elsewhere, as whole paths.
pub(super) fn suggestions(section: &str, name: &str) -> Vec<String> {
    if let Some(sibling) = nearest(name, children(section)) {
        return vec![join(section, sibling)];
    }
    let same_name = |key: &&Key| key.path.rsplit('.').next() == Some(name) && !key.path.contains('[');
    KEYS.iter()
        .filter(same_name)
        .map(|key| key.path.to_owned())
        .collect()
}

/// The candidate that a misspelt word most likely meant.
pub(super) fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (word.len() / 3).clamp(1, 4);
    candidates
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// A path one step down.
pub(super) fn join(section: &str, name: &str) -> String {
    if section.is_empty() {
        name.to_owned()
    } else {
        format!("{section}.{name}")
    }
}
