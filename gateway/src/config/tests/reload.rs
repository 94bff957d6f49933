use std::collections::BTreeSet;

use super::{Given, yaml};
use crate::config::{kind::Kind, schema::KEYS};

/// A base in which every key has a value, and another value for each key.
const BASE: &str = "{http: {trusted_proxies: [10.0.0.0/8], tls: {certificate_file: /a, key_file: /a, client_ca_file: /a}}, client: {user_id_header: x-a, rpc_proxy: a}, tracing: {otlp_certificate_file: /a, otlp_key_file: /a}, bus: {nats: {servers: ['nats://a'], name: a, certificate_file: /a, key_file: /a}},
    proxies: [{name: a, endpoint: 'http://a'}, {name: b, endpoint: 'http://b'}],
    rooms: {namespaces: [{name: n}], default: {join_leave: true, presence: true, history: {read: token, idempotency_window: 1s, stream: {max_bytes: 1MiB}}}}}";

fn other(path: &str) -> &'static str {
    match path {
        "listen" | "ops_listen" => "127.0.0.1:7000",
        "client.anonymous" => "allow",
        "client.user_id_header" => "x-b",
        "http.allowed_origins" => "['*']",
        "api.keys" => "[k]",
        "http.trusted_proxies" => "[10.0.0.0/9]",
        "api.scoped_keys" => "[{name: a, keys: [k]}]",
        "rooms.default" | "rooms.default.history" | "bus.nats" => "null",
        "rooms.default.subscribe"
        | "rooms.default.publish"
        | "rooms.default.presence_read"
        | "rooms.default.history.read" => "server",
        "rooms.default.history.recovery_mode" => "cache",
        "rooms.default.history.stream.replicas" => "3",
        "rooms.default.history.stream.storage" => "memory",
        "rooms.default.history.stream.discard" => "new",
        "rooms.namespaces" => "[{name: n}, {name: m}]",
        "client.subscribe_to_user_personal_channel.personal_channel_namespace" => "n",
        "bus.prefix"
        | "node_name"
        | "bus.nats.name"
        | "client.connect_proxy"
        | "client.refresh_proxy"
        | "client.rpc_proxy"
        | "rooms.default.subscribe_proxy"
        | "rooms.default.sub_refresh_proxy"
        | "rooms.default.publish_proxy" => "b",
        "tokens" => "[{name: a, hmac_secrets: [b]}]",
        "proxies" => "[{name: a, endpoint: 'http://a', timeout: 2s}, {name: b, endpoint: 'http://b'}]",
        "bus.nats.servers" => "['nats://b']",
        "log.level" => "debug",
        "log.format" => "json",
        "tracing.otlp_endpoint" => "http://c",
        "tracing.sample_ratio" => "0.5",
        "page.enabled"
        | "bus.nats.manage_streams"
        | "rooms.default.join_leave"
        | "rooms.default.presence"
        | "rooms.default.history.stream.managed" => "false",
        "api.nats"
        | "http.proxy_protocol"
        | "bus.critical"
        | "rooms.default.tags_filter"
        | "rooms.default.force_push_join_leave"
        | "client.compression.enabled"
        | "client.subscribe_to_user_personal_channel.enabled"
        | "rooms.default.history.force_recovery"
        | "rooms.default.history.force_positioning" => "true",
        "workers"
        | "client.connection_limit"
        | "client.connection_rate_limit"
        | "client.user_connection_limit"
        | "client.address_connection_limit"
        | "client.rate_limit.commands"
        | "client.rate_limit.publications"
        | "client.rate_limit.reads"
        | "client.rate_limit.user_commands"
        | "client.rate_limit.user_publications"
        | "client.rate_limit.user_reads"
        | "client.channel_limit"
        | "client.channel_max_length"
        | "client.recovery_limit"
        | "client.history_limit"
        | "client.compression.level"
        | "rooms.default.publication_rate"
        | "rooms.default.presence_limit"
        | "api.rate_limit"
        | "api.wrong_key_limit"
        | "revocation.max_rules"
        | "rooms.default.history.size"
        | "rooms.default.history.stream.partitions"
        | "bus.nats.join_concurrency"
        | "metrics.delivery_sample" => "9",
        "client.message_size_limit"
        | "client.compression.min_size"
        | "http.handshake_limit"
        | "http.body_max_size"
        | "http.header_max_size" => "2048",
        "client.queue_max_size" | "rooms.default.history.stream.max_bytes" => "4MiB",
        "client.compression.min_members" => "2",
        "client.ping_interval" => "30s",
        "drain.deadline" => "40s",
        "rooms.default.batch_window" => "7ms",
        "rooms.default.delta" => "fossil",
        "rooms.default.payload" => "binary",
        "rooms.default.subscribe_cel"
        | "rooms.default.publish_cel"
        | "rooms.default.presence_cel"
        | "rooms.default.history_cel" => "user == 'ann'",
        _ => "7s",
    }
}

#[test]
fn exactly_the_fixed_keys_need_a_restart() {
    let old = yaml(BASE).load().unwrap();
    assert_eq!(old.check_reload(&old), Ok(()));
    // Rooms with a history have no other choice there: see the tests of history.
    let keys = KEYS.iter().filter(|key| key.path != "rooms.default.degraded");
    for key in keys.filter(|key| !key.path.contains("[]")) {
        let set = format!("{}={}", key.path, other(key.path));
        let new = yaml(BASE)
            .flags(|loader| loader.with_set(set.as_str()))
            .load()
            .expect(&set);
        assert_ne!(old, new, "{set} changes nothing");
        let expected = format!(
            "{}: changed while the gateway runs (the old value, or a restart)",
            key.path
        );
        match old.check_reload(&new) {
            Ok(()) => assert!(key.live, "{set}"),
            Err(errors) => assert_eq!((key.live, errors.to_string()), (false, expected), "{set}"),
        }
    }
}

#[test]
fn every_changed_key_is_named() {
    let (old, new) = (
        yaml("").load().unwrap(),
        yaml(BASE).flags(|l| l.with_set("workers=9").with_set("page.enabled=false")),
    );
    let errors = old.check_reload(&new.load().unwrap()).unwrap_err();
    assert_eq!(
        errors.iter().map(|e| e.path.as_str()).collect::<Vec<_>>(),
        [
            "workers",
            "http.tls.certificate_file",
            "http.tls.key_file",
            "http.tls.client_ca_file",
            "tracing.otlp_certificate_file",
            "tracing.otlp_key_file",
            "bus.nats",
            "rooms.default.history",
            "rooms.default.presence",
            "rooms.default.join_leave"
        ]
    );
}

#[test]
fn variables_are_distinct() {
    let names: BTreeSet<String> = KEYS
        .iter()
        .map(|key| crate::config::environment::variable(key.path))
        .collect();
    assert_eq!(names.len(), KEYS.len());
    let as_links: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "x")).collect();
    let refused = Given::new("", as_links).lines();
    let scalars = KEYS
        .iter()
        .filter(|key| key.kind != Kind::Text && !key.path.contains("[]"))
        .count();
    assert!(
        refused.len() >= scalars,
        "no known variable is taken for a service link: {refused:#?}"
    );
}
