//! Whole files of both versions, and single options that go wrong.

use super::*;
use crate::config::{Namespace, Settings, Signs, Who};

mod proxies;

/// As version 6 has it, in YAML.
const NESTED: &str = "
http_server: {port: 9000, internal_port: '9001'}
log: {level: fatal}
node: {name: eu-1}
broker: {enabled: true, type: nats, nats: {url: 'nats://a:4222,nats://b:4222', prefix: chat}}
client:
  user_id_http_header: X-User-Id
  allowed_origins: ['https://chat.example']
  ping_interval: 12s
  stale_close_delay: 1m30s
  channel_limit: 64
  presence_update_interval: 27s
channel:
  max_length: 200
  namespace_boundary: ':'
  without_namespace: {presence: false}
  namespaces:
    - {name: chat, allow_subscribe_for_client: true, allow_publish_for_subscriber: true, history_size: 50,
       history_ttl: 24h, force_recovery: true, allow_history_for_subscriber: true}
    - {name: news, allow_subscribe_for_client: true, allow_subscribe_for_anonymous: true, history_size: 10, history_ttl: 300s,
       allow_recovery: true, force_recovery_mode: cache}
    - {name: bytes, allow_subscribe_for_client: true, allow_publish_for_client: true, publication_data_format: binary}
http_api: {key: a-key-that-is-long-enough}
websocket: {compression: true, compression_min_size: 128, message_size_limit: 32768, write_timeout: 1s}
sse: {enabled: true}
prometheus: {enabled: true}
";

/// As version 5 has it, in JSON: the same in the main.
const FLAT: &str = r#"{
    "port": 9000, "internal_port": "9001", "log_level": "fatal", "name": "eu-1",
    "broker": "nats", "nats_url": "nats://a:4222,nats://b:4222", "nats_prefix": "chat",
    "client_user_id_http_header": "X-User-Id", "allowed_origins": ["https://chat.example"],
    "ping_interval": "12s", "client_stale_close_delay": "1m30s", "client_channel_limit": 64, "client_presence_update_interval": "27s",
    "channel_max_length": 200, "channel_namespace_boundary": ":", "presence": false,
    "namespaces": [
        {"name": "chat", "allow_subscribe_for_client": true, "allow_publish_for_subscriber": true, "history_size": 50,
         "history_ttl": "24h", "force_recovery": true, "allow_history_for_subscriber": true},
        {"name": "news", "allow_subscribe_for_client": true, "allow_subscribe_for_anonymous": true, "history_size": 10,
         "history_ttl": "300s", "allow_recovery": true, "force_recovery_mode": "cache"},
        {"name": "bytes", "allow_subscribe_for_client": true, "allow_publish_for_client": true, "publication_data_format": "binary"}
    ],
    "api_key": "a-key-that-is-long-enough",
    "websocket_compression": true, "websocket_compression_min_size": 128, "websocket_message_size_limit": 32768, "websocket_write_timeout": "1s",
    "sse": true, "prometheus": true
}"#;

const EXPECTED: &str = "
listen: 0.0.0.0:9000
ops_listen: 0.0.0.0:9001
node_name: eu-1
log: {level: error}
bus: {prefix: chat, nats: {servers: ['nats://a:4222', 'nats://b:4222']}}
client:
  user_id_header: x-user-id
  anonymous: deny
  ping_interval: 12s
  stale_timeout: 1m 30s
  channel_limit: 64
  channel_max_length: 200
  message_size_limit: 32768
  compression: {enabled: true, min_size: 128}
http: {allowed_origins: ['https://chat.example']}
api: {keys: [a-key-that-is-long-enough]}
rooms:
  default: {subscribe: token, publish: token}
  namespaces:
    - {name: chat, subscribe: users, publish: subscribers, history: {size: 50, ttl: 1day, read: subscribers, force_recovery: true}}
    - {name: news, subscribe: anyone, publish: token, history: {size: 10, ttl: 5m, read: subscribers, recovery_mode: cache}}
    - {name: bytes, subscribe: users, publish: users, payload: binary}
";

fn import(text: &str, ending: &str) -> Outcome {
    convert(&Source::parse(text, ending).unwrap()).unwrap()
}

fn yaml(text: &str) -> Outcome {
    import(text, "yaml")
}

fn settings(outcome: &Outcome) -> Settings {
    outcome.config.parse().unwrap()
}

/// What was left, without what every file without a word about its clients leaves.
fn left(outcome: &Outcome) -> Vec<&str> {
    let options = outcome.left.iter().map(|note| note.option.as_str());
    options
        .filter(|option| *option != "http_server.address")
        .collect()
}

#[test]
fn both_versions_become_one_configuration() {
    let expected = EXPECTED.parse::<Settings>().unwrap();
    for outcome in [yaml(NESTED), import(FLAT, "json")] {
        assert_eq!(outcome.left, [], "{}", outcome.config);
        assert!(settings(&outcome) == expected, "{}", outcome.config);
        let spared: Vec<_> = outcome.spared.iter().map(|note| note.option.as_str()).collect();
        assert_eq!(spared.len(), 5, "{spared:?}");
    }
}

#[test]
fn toml_is_read_too() {
    let outcome = import(
        "[client]\nchannel_limit = 7\nallow_anonymous_connect_without_token = true\n",
        "toml",
    );
    assert_eq!(outcome.left, []);
    assert_eq!(settings(&outcome).client.channel_limit, 7);
}

#[test]
fn what_is_not_there_yet_is_named_with_its_namespace() {
    let outcome = yaml(
        "client: {insecure: true, token: {hmac_secret_key: secret}}
channel: {namespaces: [{name: a}, {name: b, subscribe_stream_proxy_enabled: true}]}
rpc: {ping: {enabled: true}}",
    );
    assert_eq!(
        left(&outcome),
        [
            "rpc.ping.enabled",
            "client.token.hmac_secret_key",
            "channel.namespaces[1].subscribe_stream_proxy_enabled"
        ]
    );
    let text = format!("{outcome:?}");
    assert!(!text.contains("secret\""), "a secret is shown: {text}");
}

#[test]
fn whoever_signs_tokens_is_taken_over_unless_that_would_let_others_in() {
    let secret = "0123456789abcdef0123456789abcdef";
    let outcome = yaml(&format!(
        "client: {{token: {{hmac_secret_key: {secret}, audience: chat, user_id_claim: email}},
  subscription_token: {{enabled: true, jwks_public_endpoint: 'https://id/jwks'}}}}"
    ));
    assert_eq!(outcome.left, []);
    let tokens = settings(&outcome).tokens;
    let [connections, subscriptions] = tokens.as_slice() else {
        panic!("{tokens:?}");
    };
    assert_eq!(
        (connections.signs, subscriptions.signs),
        (Signs::Connections, Signs::Subscriptions)
    );
    assert!(connections.hmac_secrets[0].matches(secret.as_bytes()));
    assert_eq!(
        (connections.audience.as_deref(), connections.user_claim.as_str()),
        (Some("chat"), "email")
    );
    assert!(subscriptions.jwks_url.is_some());
    assert_eq!(settings(&outcome).listen.to_string(), "0.0.0.0:8000");

    for guarded in [
        format!("{{hmac_secret_key: {secret}, issuer_regex: 'a.*'}}"),
        "{jwks_public_endpoint: 'https://id/jwks', audience_regex: 'a.*'}".to_owned(),
        "{hmac_secret_key: short, issuer: me}".to_owned(),
        "{rsa_public_key: pem}".to_owned(),
    ] {
        let outcome = yaml(&format!("client: {{token: {guarded}}}"));
        assert!(settings(&outcome).tokens.is_empty(), "{guarded}");
        assert!(settings(&outcome).listen.ip().is_loopback(), "{guarded}");
        assert!(!outcome.left.is_empty(), "{guarded}");
    }
}

#[test]
fn an_unknown_option_is_named_as_it_stands_in_the_file() {
    let outcome = yaml(
        "chanel_limit: 3\nclient: {insecure: true, chanel_limit: 3}\nnamespaces: [{name: a, histroy_size: 1}]",
    );
    assert_eq!(
        left(&outcome),
        [
            "chanel_limit",
            "client.chanel_limit",
            "namespaces[0].histroy_size"
        ]
    );
    assert!(
        outcome.left.iter().all(|note| note.why.starts_with("unknown")),
        "{outcome:?}"
    );
}

#[test]
fn every_option_ends_somewhere() {
    for rule in options::RULES {
        let path = rule.option.replace("[]", "[0]");
        let path = path
            .strip_suffix(".*")
            .map_or(path.clone(), |section| format!("{section}.x"));
        let path = path.strip_suffix('*').unwrap_or(&path);
        assert!(
            options::rule(path).is_some_and(|found| found.option == rule.option),
            "{path}"
        );
        assert!(
            !rule.target.is_empty() || !rule.note.is_empty(),
            "{path} has no reason"
        );
    }
}

#[test]
fn strangers_are_kept_out_where_nobody_says_who_they_are() {
    let outcome = yaml("address: 10.1.2.3\nport: 7000");
    assert_eq!(settings(&outcome).listen.to_string(), "127.0.0.1:7000");
    assert_eq!(outcome.left.len(), 1);
    assert_eq!(outcome.left[0].option, "address");

    let outcome = yaml("client: {allow_anonymous_connect_without_token: true}");
    assert_eq!(settings(&outcome).listen.to_string(), "0.0.0.0:8000");
    assert!(settings(&outcome).allows_anonymous());
    assert_eq!(outcome.left, []);
}

#[test]
fn what_the_gateway_would_refuse_is_taken_out_and_named() {
    let outcome = yaml(
        "client: {insecure: true, ping_interval: 1500ms, allowed_origins: ['https://a.example', 'b.*.example']}
http_api: {key: short}
channel: {max_length: 300}",
    );
    let mut refused = left(&outcome);
    refused.sort_unstable();
    assert_eq!(
        refused,
        [
            "channel.max_length",
            "client.allowed_origins",
            "client.ping_interval",
            "http_api.key"
        ]
    );
    let settings = settings(&outcome);
    assert_eq!(settings.api.keys.len(), 0);
    assert_eq!(settings.client.channel_max_length, 255);
    assert!(outcome.config.contains("https://a.example"), "{}", outcome.config);
}

#[test]
fn whoever_may_do_what_may_do_no_more() {
    let who = |options: &str| {
        let outcome = yaml(&format!("namespaces: [{{name: a, {options}}}]"));
        let options = settings(&outcome).rooms.namespaces[0].options.clone();
        let left = left(&outcome).len();
        (options.subscribe, options.publish, left)
    };
    assert_eq!(
        who("allow_publish_for_anonymous: true"),
        (Who::Token, Who::Token, 0)
    );
    assert_eq!(
        who("allow_publish_for_client: true, allow_publish_for_anonymous: true"),
        (Who::Token, Who::Anyone, 0)
    );
    assert_eq!(
        who("allow_subscribe_for_client: true, allow_publish_for_subscriber: true"),
        (Who::Users, Who::Subscribers, 0)
    );
    assert_eq!(
        who(
            "allow_subscribe_for_client: true, allow_subscribe_for_anonymous: true, allow_publish_for_subscriber: true"
        ),
        (Who::Anyone, Who::Server, 1)
    );
}

#[test]
fn channels_without_a_namespace_are_not_opened() {
    let default = settings(&yaml("{}")).rooms.default.unwrap();
    assert_eq!((default.subscribe, default.publish), (Who::Token, Who::Token));
    let default = settings(&yaml("client: {insecure: true}")).rooms.default.unwrap();
    assert_eq!((default.subscribe, default.publish), (Who::Anyone, Who::Anyone));
}

#[test]
fn whoever_is_there_is_told_to_the_same() {
    let outcome = yaml(
        "namespaces:
  - {name: a, presence: true, join_leave: true, force_push_join_leave: true, allow_presence_for_subscriber: true,
     allow_subscribe_for_client: true}
  - {name: b, presence: true, force_push_join_leave: true}
  - {name: c, allow_presence_for_client: true}",
    );
    assert_eq!(left(&outcome).len(), 0);
    let namespaces = settings(&outcome).rooms.namespaces;
    let all = namespaces.iter().map(|Namespace { options, .. }| {
        let told = (options.join_leave, options.force_push_join_leave);
        (options.presence, options.presence_read, told)
    });
    let expected = [
        (true, Who::Subscribers, (true, true)),
        (true, Who::Token, (false, false)),
        (false, Who::Subscribers, (false, false)),
    ];
    assert_eq!(all.collect::<Vec<_>>(), expected);
}

#[test]
fn namespaces_that_cannot_be_had_are_left_out() {
    let outcome = yaml("namespaces: [{name: a.b}, {name: default}, {name: ok}, {name: ok}]");
    assert_eq!(
        left(&outcome),
        ["namespaces[0].name", "namespaces[1].name", "namespaces[3].name"]
    );
    assert_eq!(settings(&outcome).rooms.namespaces.len(), 1);
}

#[test]
fn durations_are_gos() {
    let outcome =
        yaml("client: {ping_interval: 30000000000, pong_timeout: 1.5s, stale_close_delay: 1h2m3s4ms}");
    let client = settings(&outcome).client;
    assert_eq!(client.ping_interval.as_secs(), 30);
    assert_eq!(client.pong_timeout.as_millis(), 1_500);
    assert_eq!(client.stale_timeout.as_millis(), 3_723_004);
    assert_eq!(
        left(&yaml("client: {ping_interval: soon}")),
        ["client.ping_interval"]
    );
}

#[test]
fn what_is_no_configuration_is_refused() {
    for (text, ending) in [
        ("[1]", "json"),
        ("{", "json"),
        ("a: [", "yaml"),
        ("a = ", "toml"),
        ("", "ini"),
    ] {
        assert!(Source::parse(text, ending).is_err(), "{text}");
    }
}

#[test]
fn the_page_has_this_very_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/migration.md");
    let page = std::fs::read_to_string(path).unwrap();
    let fresh = rewrite_table(&page).unwrap();
    assert!(
        page == fresh,
        "write it again: natter-gateway migration-table docs/migration.md"
    );
}

#[test]
fn the_addresses_of_version_5_are_enough_for_what_expires() {
    let outcome = yaml(
        "proxy_connect_endpoint: http://a/connect
proxy_refresh_endpoint: http://a/refresh
proxy_sub_refresh_endpoint: http://a/sub
namespaces: [{name: a, proxy_sub_refresh: true}]",
    );
    assert_eq!(outcome.left, [], "{}", outcome.config);
    let settings = settings(&outcome);
    assert_eq!(settings.client.refresh_proxy.as_deref(), Some("refresh"));
    let options = &settings.rooms.namespaces[0].options;
    assert_eq!(options.sub_refresh_proxy.as_deref(), Some("sub_refresh"));
}

#[test]
fn proxies_keep_their_names_or_get_one() {
    let outcome = yaml(
        "client: {insecure: true}
channel:
  proxy: {publish: {endpoint: 'http://a/publish', timeout: 300ms, http_headers: [Cookie], http: {static_headers: {X-Key: k}}}}
  namespaces:
    - {name: a, publish_proxy_enabled: true}
    - {name: b, publish_proxy_enabled: true, publish_proxy_name: mine}
    - {name: c, publish_proxy_enabled: true, publish_proxy_name: gone}
rpc: {proxy: {endpoint: 'http://a/rpc'}, without_namespace: {proxy_enabled: true}}
proxies: [{name: mine, endpoint: 'https://b/', binary_encoding: true}, {name: other, endpoint: 'grpc://b'}]",
    );
    assert_eq!(
        left(&outcome),
        ["proxies[1].endpoint", "channel.namespaces[2].publish_proxy_name"]
    );
    let settings = settings(&outcome);
    let names: Vec<_> = settings.proxies.iter().map(|proxy| proxy.name.as_str()).collect();
    assert_eq!(names, ["mine", "publish", "rpc"]);
    assert_eq!(settings.proxies[1].timeout.as_millis(), 300);
    assert!(outcome.config.contains("x-key: k"), "{}", outcome.config);
    assert_eq!(settings.client.rpc_proxy.as_deref(), Some("rpc"));
    let asked = settings.rooms.namespaces.iter().map(|namespace| {
        let options = &namespace.options;
        (options.publish_proxy.as_deref(), options.publish)
    });
    let expected = [
        (Some("publish"), Who::Anyone),
        (Some("mine"), Who::Anyone),
        (None, Who::Server),
    ];
    assert_eq!(asked.collect::<Vec<_>>(), expected);

    let outcome = yaml(
        "client_insecure: true\nproxy_rpc_endpoint: http://a/\nproxy_publish_endpoint: http://b/\nproxy_publish: true",
    );
    assert_eq!(outcome.left, []);
}

#[test]
fn what_members_ask_for_is_allowed_as_before() {
    let outcome = yaml(
        "namespaces: [{name: a, allowed_delta_types: [fossil], allow_tags_filter: true}, {name: b, allowed_delta_types: [x]}]",
    );
    assert_eq!(left(&outcome), ["namespaces[1].allowed_delta_types"]);
    assert!(outcome.config.contains("delta: fossil") && outcome.config.contains("tags_filter: true"));
}

#[test]
fn a_backend_that_is_asked_says_who_clients_are() {
    let outcome = yaml(
        "client:
  proxy:
    connect: {enabled: true, endpoint: 'http://a/connect'}
    refresh: {enabled: true, endpoint: 'http://a/refresh', timeout: 2s}
channel:
  proxy: {subscribe: {endpoint: 'http://a/subscribe'}, sub_refresh: {endpoint: 'http://a/sub_refresh'}}
  namespaces: [{name: a, subscribe_proxy_enabled: true, sub_refresh_proxy_enabled: true}]",
    );
    assert_eq!(outcome.left, [], "{}", outcome.config);
    for choice in [
        "connect_proxy: connect",
        "refresh_proxy: refresh",
        "subscribe_proxy: subscribe",
        "sub_refresh_proxy: sub_refresh",
    ] {
        assert!(outcome.config.contains(choice), "{choice}: {}", outcome.config);
    }
    assert_eq!(settings(&outcome).listen.to_string(), "0.0.0.0:8000");
}

#[test]
fn an_expression_says_all_that_its_switches_did() {
    let outcome = yaml(
        "channel: {namespaces: [
  {name: a, subscribe_cel: \"'admin' in meta.roles\", presence: true, presence_cel: claims.ok, allow_presence_for_client: true,
   history_size: 5, history_ttl: 1m, history_cel: claims.ok, allow_history_for_subscriber: true, publish_cel: ''},
  {name: b, subscribe_cel: vars.user == user, publish_cel: claims.ok, allow_publish_for_client: true,
   allow_publish_for_anonymous: true, presence_cel: claims.ok, history_cel: claims.ok}]}",
    );
    assert_eq!(left(&outcome), ["channel.namespaces[1].subscribe_cel"]);
    assert!(
        outcome
            .left
            .iter()
            .any(|note| note.why == "there is no variable \"vars\""),
        "{outcome:?}"
    );
    assert_eq!(outcome.spared.len(), 3, "{:?}", outcome.spared);
    let rooms = settings(&outcome).rooms.namespaces;
    let (a, b) = (&rooms[0].options, &rooms[1].options);
    assert_eq!(
        (a.subscribe, a.publish, a.presence_read),
        (Who::Token, Who::Token, Who::Token)
    );
    assert_eq!(a.subscribe_cel.as_deref(), Some("'admin' in meta.roles"));
    assert_eq!(a.publish_cel, None);
    assert_eq!(a.presence_cel.as_deref(), Some("user != '' || (claims.ok)"));
    assert_eq!(a.history_cel.as_deref(), Some("subscribed || (claims.ok)"));
    assert_eq!(a.history.as_ref().map(|history| history.read), Some(Who::Token));
    assert_eq!((b.subscribe, b.publish), (Who::Token, Who::Anyone));
    assert_eq!((&b.subscribe_cel, &b.publish_cel), (&None, &None));
}
