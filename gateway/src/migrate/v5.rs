//! The flat names of version 5, as version 6 has them.

use super::options::rule;

/// Options whose name is no longer the beginning of another one.
const RENAMED: &[(&str, &str)] = &[
    ("address", "http_server.address"),
    ("port", "http_server.port"),
    ("internal_address", "http_server.internal_address"),
    ("internal_port", "http_server.internal_port"),
    ("tls", "http_server.tls.enabled"),
    ("tls_external", "http_server.tls_external"),
    ("tls_autocert", "http_server.tls_autocert.enabled"),
    ("http3", "http_server.http3.enabled"),
    ("name", "node.name"),
    (
        "node_info_metrics_aggregate_interval",
        "node.info_metrics_aggregate_interval",
    ),
    ("engine", "engine.type"),
    ("broker", "broker.type"),
    ("namespaces", "channel.namespaces"),
    ("rpc_namespaces", "rpc.namespaces"),
    ("allowed_origins", "client.allowed_origins"),
    (
        "allow_anonymous_connect_without_token",
        "client.allow_anonymous_connect_without_token",
    ),
    (
        "disallow_anonymous_connection_tokens",
        "client.disallow_anonymous_connection_tokens",
    ),
    (
        "separate_subscription_token_config",
        "client.subscription_token.enabled",
    ),
    ("ping_interval", "client.ping_interval"),
    ("pong_timeout", "client.pong_timeout"),
    (
        "user_subscribe_to_personal",
        "client.subscribe_to_user_personal_channel.enabled",
    ),
    (
        "user_personal_channel_namespace",
        "client.subscribe_to_user_personal_channel.personal_channel_namespace",
    ),
    (
        "user_personal_single_connection",
        "client.subscribe_to_user_personal_channel.single_connection",
    ),
    ("global_history_meta_ttl", "channel.history_meta_ttl"),
    ("global_presence_ttl", "presence_manager.redis.presence_ttl"),
    (
        "global_redis_presence_user_mapping",
        "presence_manager.redis.presence_user_mapping",
    ),
    ("granular_proxy_mode", "channel.proxy.granular"),
    ("rpc_proxy_name", "rpc.without_namespace.proxy_name"),
    ("connect_proxy_name", "client.proxy.connect.name"),
    ("refresh_proxy_name", "client.proxy.refresh.name"),
    (
        "proxy_subscribe",
        "channel.without_namespace.subscribe_proxy_enabled",
    ),
    ("proxy_publish", "channel.without_namespace.publish_proxy_enabled"),
    (
        "proxy_sub_refresh",
        "channel.without_namespace.sub_refresh_proxy_enabled",
    ),
    (
        "proxy_subscribe_stream",
        "channel.without_namespace.subscribe_stream_proxy_enabled",
    ),
    // The name that version 5 reads, whatever its documentation says.
    (
        "proxy_stream_subscribe",
        "channel.without_namespace.subscribe_stream_proxy_enabled",
    ),
    (
        "proxy_subscribe_stream_bidirectional",
        "channel.without_namespace.subscribe_stream_proxy_bidirectional",
    ),
    ("websocket_disable", "websocket.disabled"),
    ("api_disable", "http_api.disabled"),
    ("usage_stats_disable", "usage_stats.disabled"),
];

/// Beginnings that became sections. The first that fits counts.
const SECTIONS: &[(&str, &str)] = &[
    ("tls_autocert_", "http_server.tls_autocert."),
    ("tls_", "http_server.tls."),
    ("log_", "log."),
    ("subscription_token_", "client.subscription_token."),
    ("token_", "client.token."),
    ("client_", "client."),
    ("channel_", "channel."),
    ("rpc_", "rpc."),
    ("proxy_connect_", "client.proxy.connect."),
    ("proxy_refresh_", "client.proxy.refresh."),
    ("proxy_rpc_", "rpc.proxy."),
    ("proxy_publish_", "channel.proxy.publish."),
    ("proxy_subscribe_stream_", "channel.proxy.subscribe_stream."),
    ("proxy_subscribe_", "channel.proxy.subscribe."),
    ("proxy_sub_refresh_", "channel.proxy.sub_refresh."),
    ("proxy_static_http_headers", "channel.proxy.http.static_headers"),
    (
        "proxy_http_status_code_transforms",
        "channel.proxy.http.status_to_code_transforms",
    ),
    ("proxy_grpc_", "channel.proxy.grpc."),
    ("proxy_", "channel.proxy."),
    ("redis_", "engine.redis."),
    ("nats_tls.", "broker.nats.tls."),
    ("nats_raw_mode.", "broker.nats.raw_mode."),
    ("nats_", "broker.nats."),
    ("uni_websocket_", "uni_websocket."),
    ("uni_http_stream_", "uni_http_stream."),
    ("uni_sse_", "uni_sse."),
    ("uni_grpc_", "uni_grpc."),
    ("grpc_api_", "grpc_api."),
    ("api_", "http_api."),
    ("websocket_", "websocket."),
    ("webtransport_", "webtransport."),
    ("http_stream_", "http_stream."),
    ("sse_", "sse."),
    ("emulation_", "emulation."),
    ("admin_", "admin."),
    ("prometheus_", "prometheus."),
    ("health_", "health."),
    ("swagger_", "swagger."),
    ("opentelemetry_", "opentelemetry."),
    ("graphite_", "graphite."),
    ("shutdown_", "shutdown."),
    ("sockjs_", "sockjs."),
    ("tarantool_", "tarantool."),
];

/// Switches that became `enabled` of a section.
const SWITCHES: &[&str] = &[
    "sse",
    "http_stream",
    "uni_websocket",
    "uni_http_stream",
    "uni_sse",
    "uni_grpc",
    "grpc_api",
    "webtransport",
    "admin",
    "prometheus",
    "health",
    "swagger",
    "debug",
    "opentelemetry",
    "graphite",
];

/// Options of a namespace that were renamed.
const OF_NAMESPACES: &[(&str, &str)] = &[
    ("proxy_subscribe", "subscribe_proxy_enabled"),
    ("proxy_publish", "publish_proxy_enabled"),
    ("proxy_sub_refresh", "sub_refresh_proxy_enabled"),
    (
        "proxy_subscribe_stream_bidirectional",
        "subscribe_stream_proxy_bidirectional",
    ),
    ("proxy_subscribe_stream", "subscribe_stream_proxy_enabled"),
];

/// Beginnings of options of a proxy in the list.
const OF_PROXIES: &[(&str, &str)] = &[
    ("static_http_headers", "http.static_headers"),
    ("http_status_to_code_transforms", "http.status_to_code_transforms"),
    ("grpc_", "grpc."),
];

/// The name that version 6 has for an option of either version; an unknown one stays what it is.
pub(super) fn current_name(written: &str) -> String {
    if rule(written).is_some() {
        return written.to_owned();
    }
    let names = [
        in_a_namespace(written),
        in_a_proxy(written),
        renamed(written),
        switch(written),
        in_a_section(written),
        without_namespace(written),
    ];
    let known = names.into_iter().flatten().find(|name| rule(name).is_some());
    known.unwrap_or_else(|| written.to_owned())
}

fn in_a_namespace(written: &str) -> Option<String> {
    let path = if written.starts_with("namespaces[") {
        format!("channel.{written}")
    } else {
        written.to_owned()
    };
    let (namespace, option) = path.split_once("].")?;
    let renamed = OF_NAMESPACES.iter().find(|(old, _)| *old == option);
    let option = renamed.map_or(option, |(_, new)| *new);
    Some(format!("{namespace}].{option}"))
}

fn in_a_proxy(written: &str) -> Option<String> {
    let (proxy, option) = written.split_once("].")?;
    let mut renamed = OF_PROXIES.iter();
    renamed.find_map(|(old, new)| Some(format!("{proxy}].{new}{}", option.strip_prefix(old)?)))
}

fn renamed(written: &str) -> Option<String> {
    let (_, new) = RENAMED.iter().find(|(old, _)| *old == written)?;
    Some((*new).to_owned())
}

fn switch(written: &str) -> Option<String> {
    SWITCHES.contains(&written).then(|| format!("{written}.enabled"))
}

fn in_a_section(written: &str) -> Option<String> {
    SECTIONS
        .iter()
        .find_map(|(old, new)| Some(format!("{new}{}", written.strip_prefix(old)?)))
}

/// Options of channels without a namespace stood at the root.
fn without_namespace(written: &str) -> Option<String> {
    (!written.contains('.')).then(|| format!("channel.without_namespace.{written}"))
}
