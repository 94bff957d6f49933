use std::time::Duration;

use super::yaml;
use crate::config::{Anonymous, Degraded, DeltaKind, LogFormat, PayloadKind, RoomOptions, Settings, Who};

#[test]
fn nothing_at_all_is_a_valid_configuration() {
    for text in [
        "",
        "# a comment\n",
        "{}",
        "client:\nrooms:\n",
        "client: {ping_interval: null}\nbus: {nats: null}\n",
    ] {
        let settings = yaml(text).load().unwrap();
        assert_eq!(settings.listen.to_string(), "127.0.0.1:8000", "{text:?}");
        assert_eq!(settings.ops_listen.to_string(), "127.0.0.1:9000");
        assert_eq!((settings.workers, settings.node_name.as_str()), (8, "gateway-0"));
        assert_eq!(settings.client.ping_interval, Duration::from_secs(25));
        assert_eq!(settings.rooms.default.as_ref().unwrap().publish, Who::Anyone);
        assert!(settings.bus.nats.is_none() && settings.api.keys.is_empty() && settings.page.enabled);
        assert!(settings.allows_anonymous());
    }
}

#[test]
fn every_key_can_be_written() {
    let settings = yaml(
        "
listen: '[::1]:0'
ops_listen: 0.0.0.0:9100
workers: 3
node_name: chat-7
client: {anonymous: allow, user_id_header: X-User-Id, ping_interval: 1m 30s, pong_timeout: 500ms, stale_timeout: 3s,
         message_size_limit: 1024, queue_max_size: 2MiB, channel_limit: 7, channel_max_length: 64, recovery_limit: 9,
         history_limit: 8, close_timeout: 1s}
http: {allowed_origins: ['*', 'https://*.chat.example', 'http://localhost:5173', 'https://[::1]:8443', 'capacitor://localhost'],
       header_timeout: 1s, header_max_size: 8 KiB, body_max_size: 64KiB, request_timeout: 6s}
api: {keys: [short, another]}
page: {enabled: false}
rooms: {default: null, namespaces: [{name: news, subscribe: anyone, publish: server, degraded: local, batch_window: 0s, presence: true, presence_read: anyone, presence_limit: 50, join_leave: true, force_push_join_leave: true}, {name: chat_1-x}]}
bus: {prefix: a_B-9, linger: 0s, critical: true, join_timeout: 1s,
      nats: {servers: ['nats://u:p%40@one', 'tls://u:p%40@two:5000', 'nats://u:p%40@[::1]:4222/'], ping_interval: 1s, request_timeout: 1s,
             store_timeout: 9s, name: x, ca_file: /a, certificate_file: /b, key_file: /c}}
drain: {accept: 0s, duration: 0s, deadline: 1s, retry_after: 1s}
log: {level: 'warn,natter_gateway::session=debug,[turn]=trace', format: json}
tracing: {otlp_endpoint: 'http://collector:4318', sample_ratio: 1}
metrics: {delivery_sample: 1}
",
    )
    .load()
    .unwrap();
    assert!(settings.listen.ip().is_ipv6());
    assert_eq!(settings.workers, 3);
    assert_eq!(settings.client.anonymous, Anonymous::Allow);
    assert_eq!(settings.client.user_id_header.as_ref().unwrap(), "x-user-id");
    assert_eq!(settings.client.ping_interval, Duration::from_secs(90));
    assert_eq!(settings.client.pong_timeout, Duration::from_millis(500));
    assert_eq!(
        (settings.client.message_size_limit, settings.client.queue_max_size),
        (1024, 2 << 20)
    );
    assert_eq!(
        (settings.client.recovery_limit, settings.client.history_limit),
        (9, 8)
    );
    assert_eq!(settings.http.header_max_size, 8 << 10);
    assert!(settings.api.keys[1].matches(b"another") && !settings.api.keys[1].matches(b"anothe"));
    assert_eq!(settings.rooms.default, None);
    let news = RoomOptions {
        subscribe: Who::Anyone,
        publish: Who::Server,
        subscribe_cel: None,
        publish_cel: None,
        presence_cel: None,
        history_cel: None,
        degraded: Degraded::Local,
        payload: PayloadKind::Json,
        delta: DeltaKind::None,
        tags_filter: false,
        batch_window: Duration::ZERO,
        publication_rate: 0,
        subscribe_proxy: None,
        sub_refresh_proxy: None,
        publish_proxy: None,
        presence: true,
        presence_read: Who::Anyone,
        presence_limit: 50,
        join_leave: true,
        force_push_join_leave: true,
        history: None,
    };
    assert_eq!(named(&settings, "news"), Some(&news));
    let safe = RoomOptions {
        subscribe: Who::Users,
        publish: Who::Users,
        degraded: Degraded::Refuse,
        batch_window: Duration::from_millis(4),
        presence: false,
        presence_read: Who::Subscribers,
        presence_limit: 2_000,
        join_leave: false,
        force_push_join_leave: false,
        ..news.clone()
    };
    assert_eq!(named(&settings, "chat_1-x"), Some(&safe));
    assert_eq!(named(&settings, "other"), None);
    let nats = settings.bus.nats.unwrap();
    assert_eq!(nats.store_timeout, Duration::from_secs(9));
    let servers: Vec<String> = nats.servers.iter().map(ToString::to_string).collect();
    assert_eq!(
        servers,
        [
            "nats://***@one:4222",
            "tls://***@two:5000",
            "nats://***@[::1]:4222"
        ]
    );
    assert!(nats.servers[1].address().has_user_pass());
    assert_eq!(settings.log.format, LogFormat::Json);
    assert_eq!(
        settings.tracing.otlp_endpoint.as_deref(),
        Some("http://collector:4318")
    );
}

#[test]
fn a_missing_option_of_the_default_rooms_stays_open() {
    let settings = yaml("rooms: {default: {publish: subscribers}}").load().unwrap();
    let options = settings.rooms.default.unwrap();
    assert_eq!(
        (options.subscribe, options.publish),
        (Who::Anyone, Who::Subscribers)
    );
}

#[test]
fn who_is_anonymous_follows_the_listener_unless_said() {
    let allowed = |text: &str| yaml(text).load().unwrap().allows_anonymous();
    assert!(allowed("listen: 127.0.0.9:0"));
    assert!(!allowed(
        "{listen: '0.0.0.0:8000', client: {user_id_header: x-user-id}}"
    ));
    assert!(allowed("{listen: '0.0.0.0:8000', client: {anonymous: allow}}"));
    assert!(!allowed("client: {anonymous: deny, user_id_header: x-user-id}"));
}

#[test]
fn the_workers_of_a_large_machine_are_bounded() {
    let large = yaml("").flags(|loader| loader.on("large", 128));
    assert_eq!(large.load().unwrap().workers, 64);
}

#[test]
fn the_example_is_valid() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/examples/gateway.yaml");
    let settings: Settings = std::fs::read_to_string(path).unwrap().parse().unwrap();
    assert_eq!(settings.rooms.namespaces.len(), 3);
    let team = named(&settings, "team").unwrap();
    assert_eq!(team.history.as_ref().unwrap().stream.replicas, 3);
    assert_eq!(settings.bus.nats.unwrap().servers.len(), 3);
}

fn named<'a>(settings: &'a Settings, name: &str) -> Option<&'a RoomOptions> {
    settings
        .rooms
        .namespaces
        .iter()
        .find(|namespace| namespace.name == name)
        .map(|namespace| &namespace.options)
}

#[test]
fn where_an_expression_says_it_nobody_else_may() {
    let settings = yaml(
        "rooms: {default: {subscribe_cel: \"user != ''\"}, namespaces: [
            {name: a, subscribe_cel: \"'admin' in meta.roles\", publish_cel: \"subscribed && user == 'ann'\", presence: true,
             presence_cel: subscribed, history_cel: claims.ok, history: {read: token}},
            {name: b, subscribe_cel: \"true\", publish: users}]}",
    );
    let rooms = settings.load().unwrap().rooms;
    assert_eq!(rooms.default.unwrap().subscribe, Who::Token);
    let options = &rooms.namespaces[0].options;
    let who = (options.subscribe, options.publish, options.presence_read);
    assert_eq!(who, (Who::Token, Who::Token, Who::Token));
    assert_eq!(options.subscribe_cel.as_deref(), Some("'admin' in meta.roles"));
    let options = &rooms.namespaces[1].options;
    assert_eq!((options.subscribe, options.publish), (Who::Token, Who::Users));
}
