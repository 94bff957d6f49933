use super::{Given, yaml};
use crate::config::{Environment, Loader};

/// A configuration and every line that refuses it.
type Case = (&'static str, &'static [&'static str]);

fn check(cases: &[Case]) {
    for (text, lines) in cases {
        assert_eq!(yaml(text).lines(), *lines, "{text}");
    }
}

#[test]
fn unknown_keys_are_all_named_with_what_was_meant() {
    check(&[
        ("listn: x", &["listn: unknown key (did you mean listen?)"]),
        (
            "client: {pingInterval: 3s}",
            &["client.pingInterval: unknown key (did you mean client.ping_interval?)"],
        ),
        (
            "ping_interval: 3s",
            &["ping_interval: unknown key (did you mean client.ping_interval or bus.nats.ping_interval?)"],
        ),
        (
            "page: {colour: red}",
            &["page.colour: unknown key (keys here: enabled)"],
        ),
        (
            "{rooms: {namespaces: [{name: a}, {name: b, hue: 3}]}, logg: {}, 7: x}",
            &[
                "rooms.namespaces[1].hue: unknown key (keys here: name, subscribe, publish, subscribe_cel, publish_cel, presence_cel, history_cel, degraded, payload, delta, tags_filter, batch_window, publication_rate, subscribe_proxy, sub_refresh_proxy, publish_proxy, presence, presence_read, presence_limit, join_leave, force_push_join_leave, history)",
                "logg: unknown key (did you mean log?)",
                "configuration: the key 7 is not text (names of settings)",
            ],
        ),
    ]);
}

#[test]
fn wrong_types_are_all_named() {
    check(&[
        ("client: 3", &[
            "client: a number where a section belongs (keys: anonymous, user_id_header, ping_interval, pong_timeout, \
             stale_timeout, message_size_limit, queue_max_size, connection_limit, connection_rate_limit, \
             user_connection_limit, address_connection_limit, rate_limit, channel_limit, channel_max_length, recovery_limit, history_limit, close_timeout, \
             expired_close_delay, expired_sub_close_delay, subscribe_to_user_personal_channel, compression, connect_proxy, refresh_proxy, rpc_proxy)",
        ]),
        ("http: {allowed_origins: https://a.example}", &[
            "http.allowed_origins: text where a list belongs ([a, b], or a line with a dash for each)",
        ]),
        (
            "{listen: 8000, workers: -1, client: {ping_interval: 25, message_size_limit: 64KB, channel_limit: 1.5,
              anonymous: maybe, user_id_header: 'a b'}, page: {enabled: yes}, node_name: 12}",
            &[
                "listen: 8000 is not an address (an IP address and a port, such as 127.0.0.1:8000 or [::1]:8000)",
                "workers: -1 is not a whole number (digits, such as 128)",
                "client.ping_interval: 25 is not a duration (a number with a unit, such as 25s or 1m 30s)",
                "client.message_size_limit: \"64KB\" is not a size (bytes, or a number with a unit such as 64KiB or 1MiB)",
                "client.channel_limit: 1.5 is not a whole number (digits, such as 128)",
                "client.anonymous: \"maybe\" is not a choice here (loopback, allow or deny)",
                "client.user_id_header: \"a b\" is not a header name (such as x-user-id)",
                "page.enabled: \"yes\" is not a switch (true or false)",
                "node_name: 12 is not text (text, in quotes if it looks like a number)",
            ],
        ),
        (
            "{log: {level: inof, format: xml}, tracing: {sample_ratio: half, otlp_endpoint: 'grpc://c:4318'}}",
            &[
                "log.level: \"inof\" is not a log filter (a level such as info, or info,natter_gateway=debug)",
                "log.format: \"xml\" is not a choice here (pretty or json)",
                "tracing.sample_ratio: \"half\" is not a number (such as 0.01)",
                "tracing.otlp_endpoint: the value is not the URL of a collector (such as http://collector:4318 or \
                 https://collector:4318, without credentials)",
            ],
        ),
        (
            "rooms: {default: {subscribe: subscribers}, namespaces: [7, {name: 8, publish: nobody}]}",
            &[
                "rooms.default.subscribe: \"subscribers\" is not a choice here (anyone, users, token or server)",
                "rooms.namespaces[0]: a number where a section belongs (keys: name, subscribe, publish, subscribe_cel, publish_cel, presence_cel, history_cel, degraded, payload, delta, tags_filter, batch_window, publication_rate, subscribe_proxy, sub_refresh_proxy, publish_proxy, presence, presence_read, presence_limit, join_leave, force_push_join_leave, history)",
                "rooms.namespaces[1].name: 8 is not text (text, in quotes if it looks like a number)",
                "rooms.namespaces[1].publish: \"nobody\" is not a choice here (anyone, users, subscribers, token or server)",
            ],
        ),
        ("metrics: {delivery_sample: 4294967296}", &[
            "metrics.delivery_sample: 4294967296 is not a whole number (digits, such as 128)",
        ]),
    ]);
}

#[test]
fn values_out_of_range_are_all_named() {
    check(&[
        (
            "{workers: 65, node_name: 'a b', client: {ping_interval: 25h, stale_timeout: 0s, message_size_limit: 1GiB,
              channel_limit: 0, channel_max_length: 256, recovery_limit: 0, history_limit: 10001,
              compression: {min_size: 129KiB, min_members: 0}}}",
            &[
                "workers: 65 is too large (1 to 64)",
                "node_name: \"a b\" is not a name (1 to 253 printable ASCII characters, no spaces)",
                "client.ping_interval: 1day 1h is too large (1s to 1day)",
                "client.stale_timeout: 0s is too small (1ms to 1day)",
                "client.message_size_limit: 1GiB is too large (128 to 64MiB)",
                "client.channel_limit: 0 is too small (1 to 100000)",
                "client.channel_max_length: 256 is too large (1 to 255)",
                "client.recovery_limit: 0 is too small (1 to 10000)",
                "client.history_limit: 10001 is too large (1 to 10000)",
                "client.compression.min_size: 129KiB is too large (1 to 128KiB)",
                "client.compression.min_members: 0 is too small (1 to 1000000)",
            ],
        ),
        (
            "{client: {user_connection_limit: 1000001, rate_limit: {commands: 1000001, user_reads: 1000001}}, http: {handshake_limit: 63},
              api: {rate_limit: 1000001}, rooms: {default: {publication_rate: 1000001}}}",
            &[
                "client.user_connection_limit: 1000001 is too large (0 to 1000000)",
                "client.rate_limit.commands: 1000001 is too large (0 to 1000000)",
                "client.rate_limit.user_reads: 1000001 is too large (0 to 1000000)",
                "http.handshake_limit: 63 is too small (64 to 1000000)",
                "api.rate_limit: 1000001 is too large (0 to 1000000)",
                "rooms.default.publication_rate: 1000001 is too large (0 to 1000000)",
            ],
        ),
        ("client: {ping_interval: 1500ms, pong_timeout: 1s}", &[
            "client.ping_interval: 1s 500ms is not whole seconds (such as 25s)",
        ]),
        (
            "{tracing: {sample_ratio: 1.5}, metrics: {delivery_sample: 0}, http: {header_max_size: 10}}",
            &[
                "http.header_max_size: 10 is too small (1KiB to 1MiB)",
                "tracing.sample_ratio: 1.5 is too large (0 to 1)",
                "metrics.delivery_sample: 0 is too small (1 to 4294967295)",
            ],
        ),
        (
            "revocation: {lease: 1s, max_rules: 1000001}",
            &[
                "revocation.lease: 1s is too small (2s to 1m)",
                "revocation.max_rules: 1000001 is too large (1 to 1000000)",
            ],
        ),
        (
            "{revocation: {lease: 10s}, bus: {nats: {servers: ['nats://h']}}}",
            &["http.request_timeout: 10s is too short for calls that revoke (more than 10s 500ms: revocation.lease and half a second)"],
        ),
        (
            "{bus: {prefix: a.b, nats: {servers: [], join_concurrency: 1025}}, rooms: {namespaces: [{name: a}, {}, {name: 'a:b'}, {name: a}, {name: default}]}}",
            &[
                "rooms.namespaces[1].name: missing (1 to 64 letters, digits, _ or -)",
                "rooms.namespaces[2].name: \"a:b\" is not a name (1 to 64 letters, digits, _ or -)",
                "rooms.namespaces[3].name: \"a\" is there twice (one entry for each namespace)",
                "rooms.namespaces[4].name: \"default\" is taken (another name; rooms.default is the policy of rooms without \
                 one)",
                "bus.prefix: \"a.b\" is not a name (1 to 64 letters, digits, _ or -)",
                "bus.nats.servers: no server (at least one URL such as nats://host:4222, or bus.nats: null for the embedded \
                 bus)",
                "bus.nats.join_concurrency: 1025 is too large (1 to 1024)",
            ],
        ),
    ]);
}

#[test]
fn absurd_durations_are_refused_and_never_overflow() {
    let lines =
        yaml("drain: {accept: 400000000000y, duration: 400000000000y, deadline: 400000000000y}").lines();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(
        lines
            .iter()
            .all(|line| line.contains("is too large (") && line.ends_with("to 1day)")),
        "{lines:?}"
    );
}

#[test]
fn keys_must_fit_each_other() {
    check(&[
        (
            "client: {pong_timeout: 25s}",
            &["client.pong_timeout: 25s is too long (less than client.ping_interval, 25s)"],
        ),
        (
            "client: {queue_max_size: 32KiB}",
            &[
                "client.queue_max_size: 32KiB is too small (at least client.message_size_limit, 64KiB, or one message would \
             close its readers)",
            ],
        ),
        (
            "drain: {duration: 25s}",
            &["drain.deadline: 30s is too short (more than drain.accept and drain.duration together, 30s)"],
        ),
        (
            "ops_listen: 0.0.0.0:8000",
            &["ops_listen: 0.0.0.0:8000 meets listen (127.0.0.1:8000) (another port)"],
        ),
        ("{listen: '127.0.0.1:0', ops_listen: '127.0.0.1:0'}", &[]),
        ("{listen: '127.0.0.1:8000', ops_listen: '127.0.0.2:8000'}", &[]),
    ]);
}

const OPEN: &str = "client.anonymous: listen 0.0.0.0:8000 can be reached by others and nothing says who they are \
    (client.anonymous: allow lets everybody who reaches it in, without a name; tokens and \
    client.user_id_header say who users are; or listen on 127.0.0.1)";

#[test]
fn insecure_combinations_are_refused() {
    check(&[
        ("listen: 0.0.0.0:8000", &[OPEN]),
        (
            "client: {anonymous: deny}",
            &[
                "client.anonymous: deny without tokens and client.user_id_header lets nobody in (tokens: who signs them; \
             client.user_id_header: the header of an authenticating proxy)",
            ],
        ),
        (
            "client: {user_id_header: Cookie}",
            &[
                "client.user_id_header: cookie is sent by every browser and proves nothing (a header that only the proxy \
             sets, such as x-user-id)",
            ],
        ),
        (
            "{listen: '0.0.0.0:8000', client: {anonymous: allow}, api: {keys: [exactly16letters, fifteen-letters]}}",
            &[
                "api.keys[1]: 15 characters can be guessed, and listen 0.0.0.0:8000 can be reached by others (at least 16 \
               characters)",
            ],
        ),
        (
            "proxies: [{name: a, endpoint: 'http://u:p@b', timeout: 31s, retries: 6, http_headers: [Host], max_in_flight: 0}]",
            &["proxies[0].endpoint: the value is not the URL of a backend (such as http://backend:3000/centrifugo, without credentials)",
                "proxies[0].timeout: 31s is too large (1ms to 30s)",
                "proxies[0].retries: 6 is too large (0 to 5)",
                "proxies[0].max_in_flight: 0 is too small (1 to 100000)",
                "proxies[0].http_headers[0]: host belongs to one connection (a header of the request itself)",
            ],
        ),
        (
            "{proxies: [{name: a, endpoint: 'http://b'}, {name: a}], client: {rpc_proxy: c}, rooms: {namespaces: [
              {name: n, payload: binary, publish_proxy: a}]}}",
            &["proxies[1].name: \"a\" is there twice (one entry for each proxy)",
                "proxies[1].endpoint: missing (the http or https URL of the backend)",
                "rooms.namespaces[0].publish_proxy: \"a\" has messages as JSON, and the room's are any bytes (a proxy with binary_encoding: true)",
            ],
        ),
        (
            "{client: {rpc_proxy: c}, rooms: {default: {publish_proxy: d}}}",
            &["client.rpc_proxy: there is no proxy \"c\" (the name of one of proxies, or null)",
                "rooms.default.publish_proxy: there is no proxy \"d\" (the name of one of proxies, or null)",
            ],
        ),
        (
            "api: {nats: true}",
            &["api.nats: true without bus.nats (bus.nats with the servers to be called over, or false)"],
        ),
        (
            "api: {keys: ['', 'a b', x, x]}",
            &[
                "api.keys[0]: not an API key (printable ASCII characters, no spaces)",
                "api.keys[1]: not an API key (printable ASCII characters, no spaces)",
                "api.keys[3]: the same key twice (each key once)",
            ],
        ),
        (
            "http: {tls: {key_file: '', client_ca_file: /a}}",
            &[
                "http.tls.key_file: empty (the path of a file, or null)",
                "http.tls.certificate_file: one without the other (certificate_file and key_file together)",
            ],
        ),
        (
            "http: {proxy_protocol: true, trusted_proxies: []}",
            &["http.proxy_protocol: true without trusted proxies (http.trusted_proxies with the networks of those who send it)"],
        ),
        (
            "http: {trusted_proxies: [10.0.0.1, 10.0.0.0/33]}",
            &[
                "http.trusted_proxies[0]: \"10.0.0.1\" is not a network (an address with the length of its network, such as 10.0.0.0/8 or 192.0.2.1/32)",
                "http.trusted_proxies[1]: \"10.0.0.0/33\" is not a network (an address with the length of its network, such as 10.0.0.0/8 or 192.0.2.1/32)",
            ],
        ),
        (
            "http: {tls: {client_ca_file: /a}}",
            &["http.tls.client_ca_file: without a certificate (certificate_file and key_file together)"],
        ),
        (
            "api: {keys: [x], keys_file: '', scoped_keys: [{name: unscoped, keys: [x], methods: [publsh]}, {name: a, namespaces: [b, default]}]}",
            &[
                "api.keys_file: empty (the path of a file, or null)",
                "api.scoped_keys[0].name: \"unscoped\" is taken (another name for each entry)",
                "api.scoped_keys[0].keys[0]: the same key twice (each key once)",
                "api.scoped_keys[0].methods[0]: there is no method \"publsh\" (publish, broadcast, history, history_remove, presence, \
                 presence_stats, subscribe, unsubscribe, disconnect, refresh, info, channels, rpc, block_user, unblock_user, revoke_token, invalidate_user_tokens, ban_user, unban_user, revocations, batch)",
                "api.scoped_keys[1]: no keys (keys or keys_file)",
                "api.scoped_keys[1].namespaces[0]: there is no namespace \"b\" (a namespace of rooms.namespaces, or default)",
            ],
        ),
    ]);
}

#[test]
fn a_refused_value_causes_no_second_finding() {
    check(&[
        (
            "{listen: '0.0.0.0:8000', client: {anonymous: never}}",
            &["client.anonymous: \"never\" is not a choice here (loopback, allow or deny)"],
        ),
        (
            "{drain: {duration: 1h, deadline: long}}",
            &["drain.deadline: \"long\" is not a duration (a number with a unit, such as 25s or 1m 30s)"],
        ),
        (
            "{bus: {nats: {servers: ['http://h']}}}",
            &["bus.nats.servers[0]: the value is not a NATS URL (nats://host:4222 or tls://host:4222)"],
        ),
        (
            "{bus: {nats: {servers: ['nats://a:b@h', 'nats://g']}}}",
            &[
                "bus.nats.servers: servers with different credentials (the same in every URL: they are servers of one NATS)",
            ],
        ),
        (
            "{bus: {nats: {servers: ['nats://a:b@h'], credentials_file: /c, ca_file: '', key_file: /k}}}",
            &[
                "bus.nats.ca_file: empty (the path of a file, or null)",
                "bus.nats.certificate_file: one without the other (both of certificate_file and key_file, or none)",
                "bus.nats.credentials_file: two ways to log in (a file, or credentials in the URLs of bus.nats.servers)",
            ],
        ),
    ]);
}

#[test]
fn a_file_that_is_no_section_or_no_yaml_is_refused_by_its_name() {
    let refused = |text: &str| {
        let given = yaml(text);
        let name = given.loader.file().unwrap().display().to_string();
        given
            .lines()
            .iter()
            .map(|line| line.replace(&name, "FILE"))
            .collect::<Vec<_>>()
    };
    let keys = "keys: listen, ops_listen, workers, node_name, client, tokens, revocation, http, api, ops, page, rooms, proxies, bus, drain, log, tracing, metrics";
    assert_eq!(
        refused("- a"),
        [format!("FILE: a list where a section belongs ({keys})")]
    );
    let broken = refused("client: {");
    assert_eq!(broken.len(), 1, "{broken:?}");
    assert!(
        broken[0].starts_with("FILE: not YAML: ") && broken[0].contains("line"),
        "{broken:?}"
    );
}

#[test]
fn a_missing_file_is_one_finding_among_the_others() {
    let environment: Environment = [("NATTER_CONFIG", "no/such/file.yaml"), ("NATTER_WORKERS", "many")]
        .into_iter()
        .collect();
    let errors = Loader::new(environment).load().unwrap_err();
    assert_eq!(
        errors.to_string(),
        "no/such/file.yaml: cannot be read: No such file or directory (os error 2) (a YAML file that this user may read)\n\
         workers: \"many\" is not a whole number (digits, such as 128), set by NATTER_WORKERS"
    );
    let empty: Environment = [("NATTER_CONFIG", "")].into_iter().collect();
    let errors = Loader::new(empty).load().unwrap_err();
    assert_eq!(
        errors.to_string(),
        "NATTER_CONFIG: empty (the path of a YAML file)"
    );
}

#[test]
fn flags_are_refused_like_everything_else() {
    let given = Given::new("", []).flags(|loader| {
        loader
            .with_flag("--listen", "listen", "everywhere")
            .with_list(
                "--nats",
                "bus.nats.servers",
                vec!["nats://ok".to_owned(), "nope".to_owned()],
            )
            .with_set("no value")
            .with_set("client.ping_interval=[")
            .with_set("client.colour=red")
    });
    assert_eq!(
        given.lines(),
        [
            "--set: no path and value (path=value, such as client.ping_interval=30s)",
            "client.ping_interval: the value after --set is not YAML (a number with a unit, such as 25s or 1m 30s)",
            "listen: \"everywhere\" is not an address (an IP address and a port, such as 127.0.0.1:8000 or [::1]:8000), \
         set by --listen",
            "bus.nats.servers[1]: the value is not a NATS URL (nats://host:4222 or tls://host:4222), set by --nats",
            "client.colour: unknown key (keys here: anonymous, user_id_header, ping_interval, pong_timeout, stale_timeout, \
         message_size_limit, queue_max_size, connection_limit, connection_rate_limit, \
             user_connection_limit, address_connection_limit, rate_limit, channel_limit, channel_max_length, recovery_limit, history_limit, close_timeout, expired_close_delay, expired_sub_close_delay, \
         subscribe_to_user_personal_channel, compression, connect_proxy, refresh_proxy, rpc_proxy), set by --set",
        ]
    );
}

#[test]
fn personal_rooms_need_a_policy() {
    check(&[
        (
            "client: {subscribe_to_user_personal_channel: {enabled: true, personal_channel_namespace: me}}",
            &[
                "client.subscribe_to_user_personal_channel.personal_channel_namespace: there is no namespace \"me\" (a namespace of rooms.namespaces, or null)",
            ],
        ),
        (
            "{client: {subscribe_to_user_personal_channel: {enabled: true}}, rooms: {default: null}}",
            &[
                "client.subscribe_to_user_personal_channel.personal_channel_namespace: missing (a namespace, as rooms.default is null)",
            ],
        ),
        (
            "{client: {subscribe_to_user_personal_channel: {enabled: true, personal_channel_namespace: b}}, \
             rooms: {namespaces: [{name: b, payload: binary}]}}",
            &[
                "client.subscribe_to_user_personal_channel.personal_channel_namespace: rooms of any bytes (a namespace with payload: json, as \
                 every client is in its room)",
            ],
        ),
    ]);
}

#[test]
fn expressions_that_permit_nothing_or_to_others_too() {
    check(&[
        (
            "rooms: {namespaces: [{name: a, subscribe_cel: usr == 'ann', publish_cel: 'user ='}]}",
            &[
                "rooms.namespaces[0].subscribe_cel: there is no variable \"usr\" (an expression such as \"'admin' in meta.roles\")",
                "rooms.namespaces[0].publish_cel: no CEL: line 1, column 6: Syntax error: token recognition error at: '=' (an expression such as \"'admin' in meta.roles\")",
            ],
        ),
        (
            "rooms: {default: {subscribe: anyone, subscribe_cel: subscribed, publish: server, publish_cel: subscribed}}",
            &[
                "rooms.default.subscribe_cel: beside another subscribe than token (subscribe: token; the expression may say `subscribed` or `user != ''`)",
                "rooms.default.publish_cel: beside another publish than token (publish: token; the expression may say `subscribed` or `user != ''`)",
            ],
        ),
        (
            "rooms: {namespaces: [{name: a, presence_cel: subscribed, history_cel: subscribed}, {name: b, history_cel: subscribed, history: {}}]}",
            &[
                "rooms.namespaces[0].presence_cel: without presence: true (presence: true, or null)",
                "rooms.namespaces[0].history_cel: without history (history, or null)",
                "rooms.namespaces[1].history_cel: beside another history.read than token (history.read: token; the expression may say `subscribed` or `user != ''`)",
            ],
        ),
    ]);
}
