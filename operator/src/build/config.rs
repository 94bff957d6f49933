//! The gateways' configuration file, from the spec and from what the operator decides.

use serde_json::{Map, Value, json};

use super::{
    BuildError, Names,
    gateway::{
        nats_settings, refer_api_keys, refer_proxies, refer_tokens, tls_settings, token_path,
        tracing_settings,
    },
};
use crate::validate::ValidCluster;

/// Where a gateway's ports are. 8000 is for clients, 9000 for the kubelet, the operator and Prometheus.
pub(super) const HTTP_PORT: i32 = 8000;
pub const OPS_PORT: i32 = 9000;
/// Time that a gateway gets beyond its drain to end what is left.
const DRAIN_SLACK_SECONDS: u64 = 5;

/// What only a restart changes, as `docs/configuration.md` says; a test compares. A namespace is known by its name, so that
/// its place in the list means nothing.
pub const RESTART: &[&str] = &[
    "listen",
    "ops_listen",
    "ops",
    "workers",
    "node_name",
    "revocation.lease",
    "http.tls",
    "api.nats",
    "rooms.default.payload",
    "rooms.default.presence",
    "rooms.default.join_leave",
    "rooms.default.history",
    "rooms.default.history.size",
    "rooms.default.history.ttl",
    "rooms.default.history.idempotency_window",
    "rooms.default.history.stream",
    "rooms.namespaces[].payload",
    "rooms.namespaces[].presence",
    "rooms.namespaces[].join_leave",
    "rooms.namespaces[].history",
    "rooms.namespaces[].history.size",
    "rooms.namespaces[].history.ttl",
    "rooms.namespaces[].history.idempotency_window",
    "rooms.namespaces[].history.stream",
    "bus",
    "log.format",
    "tracing",
];

/// The file as JSON, which is YAML as well.
pub(super) fn file(cluster: &ValidCluster, names: &Names) -> Result<Value, BuildError> {
    let error = |source| BuildError {
        what: "the gateways' configuration",
        source,
    };
    let written = serde_json::to_value(&cluster.spec.gateways.config).map_err(error)?;
    let mut file = match snake_case(written) {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    if let Some(Value::Object(mut api)) = file.remove("api") {
        // These come from a Secret, by a variable.
        api.remove("keys");
        if let Some(entries) = api.get_mut("scoped_keys") {
            refer_api_keys(entries);
        }
        if !api.is_empty() {
            file.insert("api".to_owned(), Value::Object(api));
        }
    }
    if let Some(tls) = &cluster.spec.gateways.tls {
        put(&mut file, "http", "tls", Value::Object(tls_settings(tls)));
    }
    if let Some(proxies) = file.get_mut("proxies") {
        refer_proxies(proxies);
    }
    if let Some(tokens) = file.get_mut("tokens") {
        refer_tokens(tokens);
    }
    file.insert("listen".to_owned(), json!(format!("0.0.0.0:{HTTP_PORT}")));
    file.insert("ops_listen".to_owned(), json!(format!("0.0.0.0:{OPS_PORT}")));
    file.insert("ops".to_owned(), json!({"control": {"token_file": token_path()}}));
    put(&mut file, "log", "format", json!("json"));
    let deadline = cluster.drain.accept.as_secs() + cluster.drain.duration.as_secs() + DRAIN_SLACK_SECONDS;
    put(&mut file, "drain", "deadline", json!(format!("{deadline}s")));
    if let Some(tracing) = &cluster.spec.tracing {
        file.insert("tracing".to_owned(), Value::Object(tracing_settings(tracing)));
    }
    put(&mut file, "bus", "prefix", json!(names.bus_prefix()));
    // The servers of a managed NATS are a variable, as they come with a password.
    if let Some(bus) = file.get_mut("bus").and_then(Value::as_object_mut)
        && let Some(external) = &cluster.spec.bus.external
    {
        let written = bus.entry("nats").or_insert_with(|| json!({}));
        if let Some(written) = written.as_object_mut() {
            written.extend(nats_settings(external));
        }
    }
    let rooms = file.entry("rooms").or_insert_with(|| json!({}));
    if let Some(rooms) = rooms.as_object_mut() {
        complete_rooms(rooms, cluster);
    }
    Ok(Value::Object(file))
}

/// Seconds from SIGTERM until a gateway has ended whatever happens, a moment for its last log lines included.
pub(super) fn leave_seconds(cluster: &ValidCluster) -> u64 {
    cluster.drain.accept.as_secs() + cluster.drain.duration.as_secs() + 2 * DRAIN_SLACK_SECONDS
}

/// Rooms without a namespace need a policy that somebody wrote. Streams of a managed NATS outlive the loss of a server unless
/// the spec says otherwise.
fn complete_rooms(rooms: &mut Map<String, Value>, cluster: &ValidCluster) {
    rooms.entry("default").or_insert(Value::Null);
    let replicas = cluster.nats.as_ref().map_or(1, |nats| nats.spec.replicas.min(3));
    if replicas == 1 {
        return;
    }
    for policies in rooms.values_mut() {
        match policies {
            Value::Array(namespaces) => namespaces
                .iter_mut()
                .for_each(|policy| replicate(policy, replicas)),
            default => replicate(default, replicas),
        }
    }
}

fn replicate(policy: &mut Value, replicas: i32) {
    if let Some(history) = policy.get_mut("history").and_then(Value::as_object_mut) {
        let stream = history.entry("stream").or_insert_with(|| json!({}));
        if let Some(stream) = stream.as_object_mut() {
            stream.entry("replicas").or_insert(json!(replicas));
        }
    }
}

/// Writes a field into a section, which is made where it is missing.
fn put(fields: &mut Map<String, Value>, section: &str, name: &str, value: Value) {
    let section = fields.entry(section).or_insert_with(|| json!({}));
    if let Some(section) = section.as_object_mut() {
        section.insert(name.to_owned(), value);
    }
}

/// What of a configuration only a restart changes.
pub(super) fn restart_part(file: &Value) -> Value {
    part("", file).unwrap_or(Value::Null)
}

fn part(path: &str, value: &Value) -> Option<Value> {
    if RESTART.contains(&path) && !is_history(path) {
        return Some(value.clone());
    }
    match value {
        Value::Object(fields) => {
            let kept: Map<_, _> = fields
                .iter()
                .filter_map(|(name, value)| Some((name.clone(), part(&join(path, name), value)?)))
                .collect();
            // A history that says nothing is still one.
            (!kept.is_empty() || is_history(path)).then_some(Value::Object(kept))
        }
        Value::Array(items) => {
            let below = format!("{path}[]");
            let kept: Map<_, _> = items
                .iter()
                .filter_map(|item| Some((item.get("name")?.as_str()?.to_owned(), part(&below, item)?)))
                .collect();
            (!kept.is_empty()).then_some(Value::Object(kept))
        }
        _ => None,
    }
}

fn is_history(path: &str) -> bool {
    path.ends_with(".history")
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

/// `pingInterval` as the gateway spells it: `ping_interval`.
fn snake_case(value: Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(
            fields
                .into_iter()
                .map(|(name, value)| (snake(&name), snake_case(value)))
                .collect(),
        ),
        Value::Array(items) => items.into_iter().map(snake_case).collect(),
        other => other,
    }
}

/// A name in the gateway's spelling.
pub fn snake(name: &str) -> String {
    let mut text = String::with_capacity(name.len() + 4);
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            text.push('_');
        }
        text.push(letter.to_ascii_lowercase());
    }
    text
}
